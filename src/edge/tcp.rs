//! The answering thread over TCP: one poll loop around the pure connection machines of [`crate::answer::stream`].
//!
//! The machines know DNS and deadlines; this loop knows sockets and room. When there is no room for a new connection
//! the one that has been idle for longest makes it, its client's own first.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::clock;
use super::nameserver::Worker;
use crate::answer::stream::Stream;
use crate::snapshot::Snapshot;
use crate::time::Moment;

/// Connections open at once: with a few KiB each they and their descriptors stay within what a process has by default.
const CONNECTIONS: usize = 1024;
/// Of one client: an IPv4 address or an IPv6 /56, which is what one customer of a provider has. Resolvers use a few.
const PER_CLIENT: usize = 64;
/// Connections accepted before those that are open get their turn.
const ACCEPTED_AT_ONCE: usize = 64;
/// Bytes read at once: room for 200 pipelined queries.
const READ: usize = 16 * 1024;
/// Without descriptors, and with no connection whose end has given one back: how long until accepting is tried again.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long counters may be late that could not be put on the shelf at once.
const LATE: Duration = Duration::from_millis(100);

/// Answers what comes in at `listeners` until the bell rings.
pub(super) fn serve(listeners: &[TcpListener], mut worker: Worker) {
    let mut room = Room { connections: Vec::new(), paused_until: None };
    let mut buffer = vec![0; READ];
    let mut is_counted = true;
    let mut ready = Vec::new();
    while !worker.ear.hears() {
        wait(listeners, &room, &worker, is_counted, &mut ready);
        let (at_listeners, at_connections) = ready.split_at(listeners.len());
        worker.batch(|worker, snapshot| {
            // From the back: taking one out moves only what has been seen.
            for at in (0..at_connections.len()).rev() {
                room.turn(at, at_connections[at], snapshot, worker, &mut buffer);
            }
        });
        for (listener, events) in listeners.iter().zip(at_listeners) {
            if !events.is_empty() {
                worker.batch(|worker, snapshot| room.accept(listener, snapshot, worker, &mut buffer));
            }
        }
        is_counted = worker.shelf.put(&worker.desk.tally, &worker.sockets);
    }
}

/// Sleeps until something is to be done; leaves the events of the listeners and connections, in their order.
fn wait(listeners: &[TcpListener], room: &Room, worker: &Worker, is_counted: bool, ready: &mut Vec<PollFlags>) {
    let now = clock::moment();
    let is_accepting = room.paused_until.is_none_or(|until| until <= now);
    let at_listeners = if is_accepting { PollFlags::IN } else { PollFlags::empty() };
    let mut polled = vec![PollFd::new(&*worker.ear.line, PollFlags::IN)];
    polled.extend(listeners.iter().map(|listener| PollFd::new(listener, at_listeners)));
    polled.extend(room.connections.iter().map(|connection| PollFd::new(&connection.socket, connection.wants())));
    let deadlines = room.connections.iter().map(|connection| connection.stream.deadline());
    let next = deadlines.chain(room.paused_until).chain((!is_counted).then_some(now + LATE)).min();
    let patience = next.map(|next| timespec(next.since(now)));
    // An error (a signal, no memory) leaves no events: the next round asks again.
    let is_polled = poll(&mut polled, patience.as_ref()).is_ok();
    ready.clear();
    ready.extend(polled.iter().skip(1).map(|fd| if is_polled { fd.revents() } else { PollFlags::empty() }));
}

/// Rounded up to the next millisecond, so that a deadline has passed when we wake.
fn timespec(span: Duration) -> Timespec {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).saturating_add(1);
    Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
}

/// All connections.
struct Room {
    connections: Vec<Connection>,
    /// Set after the system had no descriptor for us.
    paused_until: Option<Moment>,
}

struct Connection {
    socket: TcpStream,
    client: IpAddr,
    stream: Stream,
    /// When bytes last went either way.
    active: Moment,
}

impl Room {
    /// Does what `events` allow at one connection, and closes it when it is over.
    fn turn(&mut self, at: usize, events: PollFlags, snapshot: &Snapshot, worker: &mut Worker, buffer: &mut [u8]) {
        // Out of the room while it is worked on: should the engine panic, it is gone.
        let mut connection = self.connections.swap_remove(at);
        let is_over = if events.is_empty() {
            connection.stream.is_finished(worker.desk.now.moment)
        } else {
            // A reset, or both sides shut: nothing more goes either way.
            events.intersects(PollFlags::ERR | PollFlags::HUP) || connection.turn(snapshot, worker, buffer).is_err()
        };
        if !is_over {
            self.connections.push(connection);
            let last = self.connections.len() - 1;
            self.connections.swap(at, last);
        }
    }

    /// Lets in who waits at `listener`, and reads what they brought.
    fn accept(&mut self, listener: &TcpListener, snapshot: &Snapshot, worker: &mut Worker, buffer: &mut [u8]) {
        let now = worker.desk.now.moment;
        self.paused_until = None;
        let mut has_evicted = false;
        for _ in 0..ACCEPTED_AT_ONCE {
            match listener.accept() {
                Ok((socket, client)) => {
                    worker.sockets.accepted += 1;
                    has_evicted = false;
                    self.make_room(client_of(client), worker);
                    let Ok(mut connection) = Connection::new(socket, client, now) else {
                        continue;
                    };
                    if connection.turn(snapshot, worker, buffer).is_ok() {
                        self.connections.push(connection);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_out_of_room(&error) => {
                    worker.sockets.trouble += 1;
                    if has_evicted || !self.evict(|_| true, worker) {
                        self.paused_until = Some(now + BACK_OFF);
                        return;
                    }
                    has_evicted = true;
                }
                // The connection was gone before it was ours (ECONNABORTED and its like): the next one.
                Err(_) => worker.sockets.trouble += 1,
            }
        }
    }

    fn make_room(&mut self, client: IpAddr, worker: &mut Worker) {
        if self.connections.iter().filter(|connection| connection.client == client).count() >= PER_CLIENT {
            self.evict(|connection| connection.client == client, worker);
        } else if self.connections.len() >= CONNECTIONS {
            self.evict(|_| true, worker);
        }
    }

    /// Closes the connection that has been idle for longest among those that `may` go; false if there is none.
    fn evict(&mut self, may: impl Fn(&Connection) -> bool, worker: &mut Worker) -> bool {
        let candidates = self.connections.iter().enumerate().filter(|(_, connection)| may(connection));
        let Some((at, _)) = candidates.min_by_key(|(_, connection)| connection.active) else {
            return false;
        };
        drop(self.connections.swap_remove(at));
        worker.sockets.evicted += 1;
        true
    }
}

/// It is to be closed.
struct Over;

impl Connection {
    fn new(socket: TcpStream, client: SocketAddr, now: Moment) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, client: client_of(client), stream: Stream::new(client, now), active: now })
    }

    fn wants(&self) -> PollFlags {
        let mut wants = PollFlags::empty();
        wants.set(PollFlags::IN, self.stream.wants_read());
        wants.set(PollFlags::OUT, !self.stream.outgoing().is_empty());
        wants
    }

    /// Reads once and answers; what one read brought leaves in one write, as far as the answers wait for no room.
    fn turn(&mut self, snapshot: &Snapshot, worker: &mut Worker, buffer: &mut [u8]) -> Result<(), Over> {
        let now = worker.desk.now.moment;
        if self.stream.wants_read() {
            match self.socket.read(buffer) {
                Ok(0) => self.stream.ended(),
                Ok(count) => {
                    self.active = now;
                    self.stream.received(&buffer[..count], snapshot, &mut worker.desk, &mut worker.reply);
                }
                Err(error) if is_later(&error) => {}
                Err(_) => return Err(Over),
            }
        }
        while !self.stream.outgoing().is_empty() {
            match self.socket.write(self.stream.outgoing()) {
                Ok(count) => {
                    self.active = now;
                    self.stream.sent(count);
                }
                Err(error) if is_later(&error) => break,
                Err(_) => return Err(Over),
            }
            if self.stream.has_waiting() {
                self.stream.received(&[], snapshot, &mut worker.desk, &mut worker.reply);
            }
        }
        if self.stream.is_finished(now) { Err(Over) } else { Ok(()) }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The whole process or system has no room for one more, as opposed to this one connection being broken.
pub(super) fn is_out_of_room(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Who counts as one client.
pub(super) fn client_of(address: SocketAddr) -> IpAddr {
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
}
