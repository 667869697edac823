//! One kind of death, again and again: an origin dies at a random moment, is seen dead in the answers, is mended, and is
//! seen well.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::origin::{Authority, Death, HOST, Origin};
use crate::server::{Kind, Pace, Server};

/// Between two questions.
const LOOK: Duration = Duration::from_millis(2);
const REPLY: Duration = Duration::from_millis(200);
/// The golden ratio's fraction: its multiples, taken modulo 1, fill an interval evenly however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// How long one death took to be seen, and one recovery; `None`: longer than [`Pace::patience`].
#[derive(Clone, Copy, Debug)]
pub struct Try {
    pub death: Option<Duration>,
    pub recovery: Option<Duration>,
}

/// A nameserver, a primary and a backup.
pub struct Lane {
    kind: Kind,
    death: Death,
    primary: (Ipv4Addr, Origin),
    backup: (Ipv4Addr, Origin),
    socket: UdpSocket,
    /// Where in its interval the next death comes.
    part: f64,
    _server: Server,
}

impl Lane {
    /// The lane of this number; waits until the primary is answered.
    pub fn start(number: u8, kind: Kind, death: Death) -> io::Result<Self> {
        let authority = Authority::new()?;
        let at = |last| Ipv4Addr::new(127, 9, number, last);
        let origin = |last| Ok::<_, io::Error>((at(last), Origin::start(at(last), death, &authority)?));
        let (primary, backup) = (origin(1)?, origin(2)?);
        let server = Server::start(number, kind, death, primary.0, backup.0, &authority)?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server.dns)?;
        socket.set_read_timeout(Some(REPLY))?;
        let part = (f64::from(number) + f64::from(std::process::id())) * GOLDEN % 1.0;
        let lane = Self { kind, death, primary, backup, socket, part, _server: server };
        if lane.wait_for(lane.primary.0).is_none() {
            return Err(io::Error::other(format!("{kind:?}, {death:?}: the primary is never answered")));
        }
        Ok(lane)
    }

    /// So many deaths and recoveries.
    pub fn run(mut self, tries: usize) -> io::Result<Vec<Try>> {
        let mut seen = Vec::new();
        for number in 0..tries {
            // Another moment between two probes than all before, once all of them have passed again.
            self.part = (self.part + GOLDEN) % 1.0;
            thread::sleep(Pace::of(self.kind).every.mul_f64(1.5 + self.part));
            if self.wait_for(self.primary.0).is_none() {
                return Err(io::Error::other(format!("{:?}, {:?}: it does not come home", self.kind, self.death)));
            }
            let died = self.primary.1.die(self.death)?;
            let death = self.wait_for(self.backup.0).map(|at| at.duration_since(died));
            let mended = self.primary.1.mend(self.death)?;
            let recovery = self.wait_for(self.primary.0).map(|at| at.duration_since(mended));
            // One that was not seen dead had nothing to recover from.
            let recovery = recovery.filter(|_| death.is_some());
            seen.push(Try { death, recovery });
            eprintln!("{:?} {:?} {}: {death:?}, back {recovery:?}", self.kind, self.death, number + 1);
        }
        Ok(seen)
    }

    /// When it was answered first.
    fn wait_for(&self, address: Ipv4Addr) -> Option<Instant> {
        let (began, patience) = (Instant::now(), Pace::of(self.kind).patience());
        while began.elapsed() < patience {
            if self.answer() == Some(address) {
                return Some(Instant::now());
            }
            thread::sleep(LOOK);
        }
        None
    }

    fn answer(&self) -> Option<Ipv4Addr> {
        let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in HOST.split('.') {
            query.push(u8::try_from(label.len()).ok()?);
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, 1, 0, 1]);
        let mut reply = [0; 512];
        self.socket.send(&query).ok()?;
        let length = self.socket.recv(&mut reply).ok()?;
        let reply = reply.get(..length)?;
        // Just one address, and nothing behind it: no EDNS was asked for.
        let is_answer = reply.get(6..8)? == [0, 1] && reply.get(8..12)? == [0; 4];
        reply.last_chunk().filter(|_| is_answer).map(|octets: &[u8; 4]| Ipv4Addr::from(*octets))
    }
}
