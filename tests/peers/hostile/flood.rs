//! Who sends the packets, and sees to what must come back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::draw::Hostile;
use super::oracle::{HEADER, fault, is_query};
use crate::support::dns;

/// Packets under way at once, and their bytes: what a socket's buffer holds by default.
const WINDOW: usize = 64;
const WINDOW_BYTES: usize = 32 * 1024;
/// A reply later than this does not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ids of packets; the query that ends a window has the one behind them.
const LAST: u16 = WINDOW as u16;

/// A flood over UDP, in windows.
pub(super) struct Udp {
    socket: UdpSocket,
    /// The other side sends back what it gets.
    is_echo: bool,
    pub(super) sent: usize,
    pub(super) replies: usize,
    /// The packets of the window; room is used again.
    window: Vec<Vec<u8>>,
    is_answered: [bool; WINDOW],
    /// So that a late reply to an earlier window is seen as one.
    round: u16,
}

impl Udp {
    pub(super) fn to(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.connect(server).expect("a server");
        let window = vec![Vec::new(); WINDOW];
        Self { socket, is_echo: false, sent: 0, replies: 0, window, is_answered: [false; WINDOW], round: 0 }
    }

    pub(super) fn to_echo(server: SocketAddr) -> Self {
        Self { is_echo: true, ..Self::to(server) }
    }

    /// Sends `count` packets.
    ///
    /// # Panics
    /// At the first reply that should not be, and the first that is missing.
    pub(super) fn flood(&mut self, hostile: &mut Hostile, count: usize) {
        let until = self.sent + count;
        while self.sent < until {
            let (mut filled, mut bytes) = (0, 0);
            while filled < WINDOW.min(until - self.sent) && bytes < WINDOW_BYTES {
                let packet = &mut self.window[filled];
                hostile.write(packet);
                set_id(packet, self.round << 7 | filled as u16);
                self.socket.send(packet).expect("sent");
                bytes += packet.len();
                filled += 1;
            }
            self.sent += filled;
            self.settle(filled);
            self.round = self.round.wrapping_add(1);
        }
    }

    /// Takes in every reply to the window.
    fn settle(&mut self, filled: usize) {
        let last = self.round << 7 | LAST;
        self.socket.send(&dns::question("last.wild.hostile.test", dns::A, false, last)).expect("sent");
        self.is_answered = [false; WINDOW];
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("after {} packets a good query was not answered: {error}", self.sent);
            });
            let reply = &buffer[..length];
            if reply.starts_with(&last.to_be_bytes()) {
                assert!(self.is_echo || dns::read(reply).is_some_and(|answer| answer.addresses() == ["192.0.2.5"]));
                break;
            }
            if self.is_echo {
                continue;
            }
            self.replies += 1;
            let id = reply.first_chunk().map_or(u16::MAX, |&id| u16::from_be_bytes(id));
            let place = usize::from(id & 0x7f);
            assert!(id >> 7 == self.round << 7 >> 7 && place < filled, "a reply to nothing: {reply:02x?}");
            let packet = &self.window[place];
            assert!(!self.is_answered[place], "two replies to {packet:02x?}");
            self.is_answered[place] = true;
            if let Some(fault) = fault(packet, reply, true) {
                panic!("{fault}:\n{packet:02x?}\n{reply:02x?}");
            }
        }
        if !self.is_echo {
            for (packet, is_answered) in self.window[..filled].iter().zip(self.is_answered) {
                // RFC 8906 §3: silence is for replies and stumps.
                assert_eq!(is_answered, is_query(packet), "{packet:02x?}");
            }
        }
    }
}

fn set_id(packet: &mut [u8], id: u16) {
    packet.iter_mut().zip(id.to_be_bytes()).for_each(|(old, new)| *old = new);
}

/// A flood over TCP: one connection after the other, each with many messages.
pub(super) struct Tcp {
    server: SocketAddr,
    /// The other side sends back what it gets.
    is_echo: bool,
    pub(super) sent: usize,
    pub(super) replies: usize,
    pub(super) connections: usize,
}

impl Tcp {
    pub(super) fn to(server: SocketAddr) -> Self {
        Self { server, is_echo: false, sent: 0, replies: 0, connections: 0 }
    }

    pub(super) fn to_echo(server: SocketAddr) -> Self {
        Self { is_echo: true, ..Self::to(server) }
    }

    /// Sends `count` packets.
    ///
    /// # Panics
    /// At the first reply that should not be, and the first that is missing.
    pub(super) fn flood(&mut self, hostile: &mut Hostile, count: usize) {
        let until = self.sent + count;
        while self.sent < until {
            let messages = (1 + hostile.below(64)).min(until - self.sent);
            self.connection(hostile, messages);
            self.sent += messages;
            self.connections += 1;
        }
    }

    fn connection(&mut self, hostile: &mut Hostile, messages: usize) {
        let (mut packets, mut bytes) = (Vec::new(), Vec::new());
        for id in 0..messages {
            let mut packet = Vec::new();
            hostile.write(&mut packet);
            set_id(&mut packet, id as u16);
            bytes.extend((packet.len() as u16).to_be_bytes());
            bytes.extend(&packet);
            packets.push(packet);
        }
        // The last one may promise more than it has.
        let is_cut = hostile.below(4) == 0;
        if is_cut {
            let last = packets.pop().unwrap_or_default();
            let at = bytes.len() - last.len() - 2;
            let told = (last.len() + 1 + hostile.below(60_000)).min(65_535) as u16;
            bytes[at..at + 2].copy_from_slice(&told.to_be_bytes());
        }
        let mut stream = TcpStream::connect(self.server).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let is_rude = hostile.below(8) == 0;
        let split = hostile.below(3) == 0;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let piece = if split { 1 + hostile.below(rest.len().min(700)) } else { rest.len() };
            let (now, later) = rest.split_at(piece);
            match stream.write_all(now) {
                Ok(()) => rest = later,
                // The daemon hangs up on what cannot be told apart any more.
                Err(_) if is_lost(&packets) => break,
                Err(error) => panic!("the daemon reads: {error}"),
            }
        }
        // Gone without a word, or a half-close: what was asked is still answered.
        if is_rude {
            return;
        }
        let is_closed = stream.shutdown(Shutdown::Write).is_err();
        assert!(!is_closed || is_lost(&packets), "half closed");
        self.take(&mut stream, &packets);
    }

    /// Reads to the end: every query was answered, in order, up to a message that is none.
    fn take(&mut self, stream: &mut TcpStream, packets: &[Vec<u8>]) {
        let mut all = Vec::new();
        match stream.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("no end of the answers: {error}"),
        }
        if self.is_echo {
            return;
        }
        let mut wanted = packets.iter().take_while(|packet| packet.len() >= HEADER).filter(|packet| is_query(packet));
        let mut rest = all.as_slice();
        while let Some((length, after)) = rest.split_first_chunk() {
            let (reply, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            rest = after;
            self.replies += 1;
            let packet = wanted.next().unwrap_or_else(|| panic!("a reply to nothing: {reply:02x?}"));
            if let Some(fault) = fault(packet, reply, false) {
                panic!("{fault}:\n{packet:02x?}\n{reply:02x?}");
            }
        }
        // A connection that is reset loses what was on its way.
        assert!(is_lost(packets) || wanted.next().is_none(), "not answered");
    }
}

/// True if a message is too short to hold a header: behind it nobody knows where the next one begins.
fn is_lost(packets: &[Vec<u8>]) -> bool {
    packets.iter().any(|packet| packet.len() < HEADER)
}
