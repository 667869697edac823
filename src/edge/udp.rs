//! An answering thread over UDP: receives what is there, answers it as one batch, and sleeps when there is no more.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::batch::{BATCH, Batch};
use super::bind::ignore_path_mtu;
use super::nameserver::Worker;
#[cfg(not(target_os = "linux"))]
use super::portable::{BATCH, Batch};
use crate::answer::{Ask, Client, Disposition, Transport, answer, reach};
use crate::snapshot::Snapshot;

/// After trouble at the socket.
const TROUBLED: Duration = Duration::from_millis(1);

/// Has `socket` ready to be answered at.
///
/// # Errors
/// As the system says.
pub(super) fn batch(socket: UdpSocket) -> io::Result<Batch> {
    ignore_path_mtu(&socket);
    Batch::new(socket)
}

/// Answers what comes in at the socket until the bell rings. `ours` are all addresses that are listened on for UDP.
pub(super) fn serve(batch: Batch, mut worker: Worker, ours: &[SocketAddr]) {
    let mut door = Door { ours, batch, asks: vec![Ask::default(); BATCH], read: 0, taken: 0 };
    while !worker.ear.hears() {
        match door.batch.receive() {
            Ok(_) => {
                (door.read, door.taken) = (0, 0);
                worker.batch(|worker, snapshot| door.read_and_answer(worker, snapshot));
                // What a panic has left over is answered too.
                while door.taken < door.batch.len() {
                    worker.batch(|worker, snapshot| door.answer(worker, snapshot));
                }
                worker.sockets.unsent += door.batch.send() as u64;
                worker.shelf.put(&worker.desk.tally, &worker.sockets);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // An ICMP error of an earlier reply, or no memory for this datagram: the next one is another matter.
            Err(_) => {
                worker.sockets.trouble += 1;
                worker.shelf.put(&worker.desk.tally, &worker.sockets);
                pause();
            }
        }
    }
}

/// Trouble that lasts costs little.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait for")]
fn pause() {
    std::thread::sleep(TROUBLED);
}

/// A socket with the queries that came in through it.
struct Door<'o> {
    /// Where we listen ourselves.
    ours: &'o [SocketAddr],
    batch: Batch,
    /// What they ask: as many are read as there are datagrams.
    asks: Vec<Ask>,
    /// How many of them have been read, and taken up.
    read: usize,
    taken: usize,
}

/// Why no client sent a query: there is nobody to reply to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Forged {
    /// From port 0.
    Portless,
    /// From an address that is nobody's or everybody's.
    Multicast,
    /// From one of our own sockets, as if we asked ourselves.
    Looped,
}

/// Who cannot have sent a query to `asked`, which is known of sockets on all addresses only.
fn forged(client: SocketAddr, asked: impl Fn() -> Option<IpAddr>, ours: &[SocketAddr]) -> Option<Forged> {
    let ip = client.ip();
    let is_everybody = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    // A socket on all addresses of a family has those of the loopback network, and the one that was asked.
    let is_ours = |our: &SocketAddr| {
        let is_local = || ip.is_loopback() || asked() == Some(ip);
        our.port() == client.port()
            && (our.ip() == ip || our.ip().is_unspecified() && our.is_ipv4() == ip.is_ipv4() && is_local())
    };
    if client.port() == 0 {
        Some(Forged::Portless)
    } else if ip.is_unspecified() || ip.is_multicast() || is_everybody {
        Some(Forged::Multicast)
    } else {
        ours.iter().any(is_ours).then_some(Forged::Looped)
    }
}

impl Door<'_> {
    /// Reads the batch, reaches for what its answers need, and then answers: the memory of one is on its way while
    /// another is worked on.
    fn read_and_answer(&mut self, worker: &mut Worker, snapshot: &Snapshot) {
        let count = self.batch.len().min(self.asks.len());
        for (number, ask) in self.asks[..count].iter_mut().enumerate() {
            ask.read(self.batch.datagram(number));
            self.read = number + 1;
        }
        reach(snapshot, &self.asks[..count]);
        self.answer(worker, snapshot);
    }

    /// Called again after a panic, it goes on behind the query that made it.
    fn answer(&mut self, worker: &mut Worker, snapshot: &Snapshot) {
        while self.taken < self.batch.len() {
            let number = self.taken;
            self.taken += 1;
            let Some(ask) = self.asks.get_mut(number) else { continue };
            if number >= self.read {
                ask.read(self.batch.datagram(number));
            }
            let client = self.batch.client(number);
            let sockets = &mut worker.sockets;
            let counter = match forged(client, || self.batch.asked(number), self.ours) {
                None => None,
                Some(Forged::Portless) => Some(&mut sockets.portless),
                Some(Forged::Multicast) => Some(&mut sockets.multicast),
                Some(Forged::Looped) => Some(&mut sockets.looped),
            };
            if let Some(counter) = counter {
                *counter += 1;
                continue;
            }
            let query = self.batch.datagram(number);
            let via = Client { address: client, transport: Transport::Udp };
            let disposition = answer(query, ask, &via, snapshot, &mut worker.desk, &mut worker.reply);
            if disposition == Disposition::Send && !self.batch.push(number, worker.reply.bytes()) {
                worker.sockets.unsent += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_replied_to_is_known() {
        let explicit = ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()];
        let all = ["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()];
        for (client, asked, ours, wanted) in [
            ("192.0.2.1:4096", None, &explicit, None),
            ("192.0.2.1:0", None, &explicit, Some(Forged::Portless)),
            ("0.0.0.0:53", None, &explicit, Some(Forged::Multicast)),
            ("255.255.255.255:53", None, &explicit, Some(Forged::Multicast)),
            ("224.0.0.251:5353", None, &explicit, Some(Forged::Multicast)),
            ("[ff02::1]:53", None, &explicit, Some(Forged::Multicast)),
            ("[::]:4096", None, &explicit, Some(Forged::Multicast)),
            ("192.0.2.53:53", None, &explicit, Some(Forged::Looped)),
            ("[2001:db8::53]:53", None, &explicit, Some(Forged::Looped)),
            ("192.0.2.53:5353", None, &explicit, None),
            // Some resolvers ask from port 53.
            ("192.0.2.1:53", None, &explicit, None),
            ("127.0.0.1:53", None, &explicit, None),
            ("127.0.0.2:53", Some("127.0.0.1"), &all, Some(Forged::Looped)),
            ("[::1]:53", Some("::1"), &all, Some(Forged::Looped)),
            ("192.0.2.9:53", Some("192.0.2.9"), &all, Some(Forged::Looped)),
            ("192.0.2.9:53", Some("192.0.2.8"), &all, None),
            ("192.0.2.9:5353", Some("192.0.2.9"), &all, None),
        ] {
            let to = || asked.map(|asked| asked.parse().unwrap());
            assert_eq!(forged(client.parse().unwrap(), to, ours), wanted, "{client} asked {asked:?}");
        }
    }
}
