//! One connection: a [`Wire`] that carries bytes, and the machine that knows what they mean.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, acceptfrom_with, recv, send};
use socket2::SockRef;

use super::tls::Session;
use crate::answer::stream::{Activity, Ending, Stream};
use crate::answer::{Client, Transport};
use crate::config::Answering;
use crate::edge::nameserver::Worker;
use crate::snapshot::Snapshot;
use crate::time::Moment;

/// How often a connection is read in a row when the daemon stops.
const DRAINED_AT_ONCE: usize = 64;

/// What carries the bytes of DNS: as they are, or encrypted. Nothing here ever blocks: what cannot be done now is an
/// error of kind `WouldBlock`.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<Session>),
}

impl Wire {
    /// The descriptor whose events tell that there is something to do.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.socket(),
        }
    }

    /// Takes in what the client sent, in plain text; none of it is the end.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => Ok(recv(&*socket, buffer, RecvFlags::empty())?.0),
            Self::Tls(session) => session.receive(buffer),
        }
    }

    /// Sends plain text; how much of it was taken.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => Ok(send(&*socket, bytes, SendFlags::NOSIGNAL)?),
            Self::Tls(session) => session.send(bytes),
        }
    }

    /// True if there may be more to receive of which the socket will not tell.
    fn holds_more(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(session) => session.holds_more(),
        }
    }

    /// True if the wire itself has something to read, whoever wants its plain text: until client and server agree on
    /// keys.
    fn wants_read(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(session) => session.is_shaking_hands(),
        }
    }

    /// True if the wire itself has something to write.
    fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(session) => session.wants_write(),
        }
    }
}

/// A client's connection.
pub(super) struct Connection {
    wire: Wire,
    client: IpAddr,
    stream: Stream,
    /// True once an answer, or a part of one, is with the system.
    has_sent: bool,
}

/// Why a connection was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closed {
    /// The client was done.
    Done,
    /// It broke.
    Broken,
    /// It carried what is no DNS.
    Malformed,
    /// It was idle for too long.
    Idle,
    /// A query took too long to come.
    SlowQuery,
    /// Answers took too long to be taken.
    SlowReply,
    /// It made room for another client's.
    Full,
    /// It made room for one of the same client.
    ClientFull,
    /// It made room for others when there were no descriptors.
    NoDescriptors,
    /// The daemon stopped.
    Stopped,
    /// TLS or QUIC did not come about, or not in time.
    Handshake,
}

impl Closed {
    /// Each with its word.
    pub(crate) const ALL: [(Self, &'static str); 11] = [
        (Self::Done, "done"),
        (Self::Broken, "broken"),
        (Self::Malformed, "malformed"),
        (Self::Idle, "idle"),
        (Self::SlowQuery, "slow-query"),
        (Self::SlowReply, "slow-reply"),
        (Self::Full, "full"),
        (Self::ClientFull, "client-full"),
        (Self::NoDescriptors, "no-descriptors"),
        (Self::Stopped, "stopped"),
        (Self::Handshake, "handshake"),
    ];
}

impl Connection {
    pub(super) fn new(wire: Wire, client: SocketAddr, transport: Transport, now: Moment) -> Self {
        let stream = Stream::new(Client { address: client, transport }, now);
        Self { wire, client: client_of(client), stream, has_sent: false }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Who counts as the client.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Whether it is open, which over TLS takes a handshake, and when it last was of use.
    pub(super) fn used(&self) -> (bool, Moment) {
        (!self.wire.wants_read(), self.stream.active())
    }

    /// What is waited for.
    pub(super) fn interest(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.stream.wanted() > 0 || self.wire.wants_read());
        flags.set(EventFlags::OUT, !self.stream.outgoing().is_empty() || self.wire.wants_write());
        flags
    }

    /// When it is to be closed if nothing happens, and why then.
    pub(super) fn deadline(&self, by: &Answering) -> (Moment, Closed) {
        let (moment, activity) = self.stream.deadline(by);
        if self.wire.wants_read() {
            // Without keys there is no query yet: nothing has happened since the connection began.
            return (moment.min(self.stream.active() + by.streams.receive), Closed::Handshake);
        }
        if activity == Activity::Idle && self.wire.wants_write() {
            // The last answer left the machine, and waits encrypted.
            return (self.stream.active() + by.streams.send, Closed::SlowReply);
        }
        let why = match activity {
            Activity::Idle => Closed::Idle,
            Activity::Receiving => Closed::SlowQuery,
            Activity::Sending => Closed::SlowReply,
        };
        (moment, why)
    }

    /// It is to be closed for that reason: what the client has not taken by now is thrown away where waiting for it
    /// would be the very thing that there is no room for. Otherwise the system would go on holding it for minutes.
    pub(super) fn give_up(&self, why: Closed) {
        let has_to_go = matches!(why, Closed::SlowReply | Closed::Full | Closed::ClientFull | Closed::NoDescriptors);
        if has_to_go && (self.has_sent || self.wire.wants_write()) {
            // Without it the rest is held for longer, and all else is as well.
            let _ = SockRef::from(self.wire.socket()).set_linger(Some(Duration::ZERO));
        }
    }

    /// Reads and answers; what one read brought leaves in one write, as far as the answers wait for no room.
    ///
    /// # Errors
    /// Why it is to be closed.
    pub(super) fn turn(&mut self, snapshot: &Snapshot, worker: &mut Worker, buffer: &mut [u8]) -> Result<(), Closed> {
        loop {
            self.receive(snapshot, worker, buffer)?;
            self.send(snapshot, worker)?;
            if !self.wire.holds_more() || self.stream.wanted() == 0 {
                break;
            }
        }
        match self.stream.is_over() {
            Some(_) if self.wire.wants_write() => Ok(()),
            Some(Ending::Ended) => Err(Closed::Done),
            Some(Ending::Malformed) => Err(Closed::Malformed),
            None => Ok(()),
        }
    }

    /// The daemon stops: answers all that the client has sent until now.
    ///
    /// # Errors
    /// It is to be closed: for that reason, once the answers are with the system.
    pub(super) fn drain(&mut self, snapshot: &Snapshot, worker: &mut Worker, buffer: &mut [u8]) -> Result<(), Closed> {
        for _ in 0..DRAINED_AT_ONCE {
            self.turn(snapshot, worker, buffer)?;
            if !self.stream.is_quiet() || self.wire.wants_write() {
                return Ok(());
            }
            // What is left unread when a connection is closed would take its answers with it.
            if !self.wire.socket().peek(&mut [0]).is_ok_and(|count| count > 0) {
                return Err(Closed::Stopped);
            }
        }
        Ok(())
    }

    fn receive(&mut self, snapshot: &Snapshot, worker: &mut Worker, buffer: &mut [u8]) -> Result<(), Closed> {
        let wanted = self.stream.wanted().min(buffer.len());
        if wanted == 0 && !self.wire.wants_read() {
            return Ok(());
        }
        match self.wire.receive(&mut buffer[..wanted]) {
            Ok(0) if wanted > 0 => self.stream.ended(),
            Ok(count) => self.stream.received(&buffer[..count], snapshot, &mut worker.desk, &mut worker.reply),
            Err(error) if is_later(&error) => {}
            Err(_) if self.wire.wants_read() => return Err(Closed::Handshake),
            Err(_) => return Err(Closed::Broken),
        }
        Ok(())
    }

    fn send(&mut self, snapshot: &Snapshot, worker: &mut Worker) -> Result<(), Closed> {
        while !self.stream.outgoing().is_empty() || self.wire.wants_write() {
            match self.wire.send(self.stream.outgoing()) {
                Ok(count) => {
                    self.has_sent |= count > 0;
                    self.stream.sent(count, worker.desk.now.moment);
                }
                Err(error) if is_later(&error) => break,
                Err(_) => return Err(Closed::Broken),
            }
            if self.stream.has_waiting() {
                self.stream.received(&[], snapshot, &mut worker.desk, &mut worker.reply);
            }
        }
        Ok(())
    }
}

/// The next connection that waits at `listener`, nonblocking; `TCP_NODELAY` it has from the listener.
pub(super) fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr), Errno> {
    let (socket, client) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let client = client.and_then(|client| SocketAddr::try_from(client).ok()).ok_or(Errno::CONNABORTED)?;
    Ok((socket.into(), client))
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Who counts as one client: an IPv4 address or an IPv6 /56, which is what one customer of a provider has.
pub(in crate::edge) fn client_of(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            const SITE: u128 = u128::MAX << (128 - 56);
            Ipv6Addr::from_bits(address.to_bits() & SITE).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_an_ipv4_address_or_an_ipv6_site() {
        for (one, other, is_same) in [
            ("192.0.2.1:1000", "192.0.2.1:2000", true),
            ("192.0.2.1:1000", "192.0.2.2:1000", false),
            ("192.0.2.1:1000", "[::ffff:192.0.2.1]:1000", true),
            ("[2001:db8:0:aa00::1]:1", "[2001:db8:0:aaff:ffff::2]:2", true),
            ("[2001:db8:0:aa00::1]:1", "[2001:db8:0:ab00::1]:1", false),
        ] {
            assert_eq!(client_of(one.parse().unwrap()) == client_of(other.parse().unwrap()), is_same, "{one} {other}");
        }
    }

    #[test]
    fn every_reason_stands_at_its_own_number() {
        for (at, (why, _)) in Closed::ALL.iter().enumerate() {
            assert_eq!(*why as usize, at);
        }
    }
}
