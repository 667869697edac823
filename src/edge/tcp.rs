//! An answering thread over TCP: one epoll loop around the pure connection machines of [`crate::answer::stream`].
//!
//! The machines know DNS and deadlines, a [`Connection`] its socket, the [`Room`] who is in and who has to go; this
//! loop sleeps until one of them has something to do. What is idle costs nothing: no list of all connections is ever
//! gone through.
//!
//! Every worker has a listener of its own on each address (`SO_REUSEPORT`): the system spreads the connections evenly,
//! which makes an equal share of the cap for all as good as the whole, and no thread waits for another; what one client
//! has is counted for all threads together, since few connections never spread evenly. A connection is read
//! as soon as it is accepted, and mostly answered then: the kernel hands it over with its first query.

mod clients; //    how many connections each client has
mod connection; // a socket and its machine
mod line; //       orders in which each step is a few writes
mod room; //       who is in, and who has to go
mod tls; //        TLS in between

use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustls::ServerConfig;

use super::clock;
use super::nameserver::Worker;
use crate::answer::Transport;
use crate::answer::stream::READ;
use crate::snapshot::Snapshot;
use crate::time::Moment;

pub(super) use clients::Clients;
pub(crate) use connection::Closed;
pub(super) use connection::client_of;
use connection::{Connection, Wire};
use room::Room;
pub(super) use room::Share;
use tls::Session;

/// Connections accepted at each listener before those that are open get their turn.
const ACCEPTED_AT_ONCE: usize = 64;
/// Events taken at once.
const EVENTS: usize = 256;
/// Without descriptors: how long until accepting is tried again.
const BACK_OFF: Duration = Duration::from_millis(20);
/// When the daemon stops: how long clients have to take the answers of what they have asked.
const DRAIN: Duration = Duration::from_secs(2);

/// What an event is about: the bell, the listeners from here on, or the connections from there on.
const BELL: u64 = 0;
const LISTENERS: u64 = 1;
const CONNECTIONS: u64 = 1 << 32;

/// Answers what comes in at `listeners` until the bell rings, and then what has come in until then. With `tls`, over
/// TLS.
pub(super) fn serve(listeners: Vec<TcpListener>, tls: Option<Arc<ServerConfig>>, share: Share, mut worker: Worker) {
    let mut door = match Door::new(listeners, tls, share, &worker) {
        Ok(door) => door,
        Err(error) => {
            tracing::error!(%error, "TCP cannot be set up; this thread answers nothing");
            return;
        }
    };
    while !worker.ear.hears() {
        door.turn(&mut worker);
    }
    door.drain(&mut worker);
}

/// The listeners and connections of one thread.
struct Door {
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    tls: Option<Arc<ServerConfig>>,
    /// Set after the system had no descriptor for us.
    paused_until: Option<Moment>,
    room: Room,
    events: Vec<Event>,
    /// What one read brings.
    buffer: Box<[u8]>,
}

impl Door {
    fn new(
        listeners: Vec<TcpListener>,
        tls: Option<Arc<ServerConfig>>,
        share: Share,
        worker: &Worker,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*worker.ear.line, EventData::new_u64(BELL), EventFlags::IN)?;
        for (data, listener) in (LISTENERS..).zip(&listeners) {
            epoll::add(&epoll, listener, EventData::new_u64(data), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            listeners,
            tls,
            paused_until: None,
            room: Room::new(share),
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; READ].into(),
        })
    }

    /// Sleeps until something is to be done, and does it: first for those who are in, then for those who want in.
    fn turn(&mut self, worker: &mut Worker) {
        self.wait();
        let events = mem::take(&mut self.events);
        worker.batch(|worker, snapshot| {
            for event in &events {
                if let Some(at) = event.data.u64().checked_sub(CONNECTIONS) {
                    self.room.turn(&self.epoll, at as usize, event.flags, snapshot, worker, &mut self.buffer);
                }
            }
            self.room.expire(snapshot, worker);
        });
        let is_at = |place: u64| events.iter().any(|event| event.data.u64() == place);
        self.go_on_accepting(worker.desk.now.moment);
        for at in 0..self.listeners.len() {
            if is_at(LISTENERS + at as u64) && self.paused_until.is_none() {
                worker.batch(|worker, snapshot| self.accept(at, ACCEPTED_AT_ONCE, snapshot, worker));
            }
        }
        self.events = events;
        worker.sockets.open = self.room.count() as u64;
        worker.shelf.put(&worker.desk.tally, &worker.sockets);
    }

    /// Sleeps until something is to be done; leaves the events.
    fn wait(&mut self) {
        let now = clock::moment();
        let next = [self.room.next_deadline(), self.paused_until].into_iter().flatten().min();
        let patience = next.map(|next| timespec(next.since(now)));
        self.events.clear();
        // An error (a signal) leaves no events: the next turn asks again.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), patience.as_ref());
    }

    /// Lets in who waits at a listener, at most so many, and reads what they brought.
    fn accept(&mut self, at: usize, most: usize, snapshot: &Snapshot, worker: &mut Worker) {
        let now = worker.desk.now.moment;
        let mut has_evicted = false;
        for _ in 0..most {
            match connection::accept(&self.listeners[at]) {
                Ok((socket, client)) => {
                    worker.sockets.accepted += 1;
                    has_evicted = false;
                    let Ok(mut connection) = self.begin(socket, client, now) else {
                        worker.sockets.closed(Closed::Handshake);
                        continue;
                    };
                    match connection.turn(snapshot, worker, &mut self.buffer) {
                        Ok(()) => {
                            self.room.make_room(connection.client(), snapshot, worker);
                            self.room.take_in(&self.epoll, connection, snapshot, worker);
                        }
                        Err(why) => worker.sockets.closed(why),
                    }
                }
                Err(Errno::AGAIN) => return,
                // The whole process or system has no room for one more.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    worker.sockets.trouble += 1;
                    if has_evicted || !self.room.evict_one(worker) {
                        self.pause(now + BACK_OFF);
                        return;
                    }
                    has_evicted = true;
                }
                // The connection was gone before it was ours (ECONNABORTED and its like): the next one.
                Err(_) => worker.sockets.trouble += 1,
            }
        }
    }

    fn begin(&self, socket: TcpStream, client: SocketAddr, now: Moment) -> io::Result<Connection> {
        Ok(match &self.tls {
            None => Connection::new(Wire::Plain(socket), client, Transport::Tcp, now),
            Some(tls) => {
                let session = Session::new(socket, tls)?;
                Connection::new(Wire::Tls(Box::new(session)), client, Transport::Tls, now)
            }
        })
    }

    /// Without descriptors a listener would wake us without end.
    fn pause(&mut self, until: Moment) {
        self.paused_until = Some(until);
        self.listen(EventFlags::empty());
    }

    fn go_on_accepting(&mut self, now: Moment) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.listen(EventFlags::IN);
        }
    }

    fn listen(&self, flags: EventFlags) {
        for (data, listener) in (LISTENERS..).zip(&self.listeners) {
            let _ = epoll::modify(&self.epoll, listener, EventData::new_u64(data), flags);
        }
    }

    /// Lets nobody in who does not wait already, and gives those who are in time to take their answers.
    fn drain(&mut self, worker: &mut Worker) {
        for at in 0..self.listeners.len() {
            worker.batch(|worker, snapshot| self.accept(at, usize::from(u16::MAX), snapshot, worker));
        }
        self.listeners.clear();
        let _ = epoll::delete(&self.epoll, &*worker.ear.line);
        let until = clock::moment() + DRAIN;
        // Wakes us.
        self.paused_until = Some(until);
        loop {
            worker.batch(|worker, snapshot| self.room.drain(&self.epoll, snapshot, worker, &mut self.buffer));
            if self.room.count() == 0 || worker.desk.now.moment >= until {
                break;
            }
            self.turn(worker);
        }
        self.room.close_all(worker);
        worker.sockets.open = 0;
        worker.shelf.put(&worker.desk.tally, &worker.sockets);
    }
}

/// Rounded up to the next millisecond, so that a deadline has passed when we wake.
fn timespec(span: Duration) -> Timespec {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX - 1).saturating_add(1);
    Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
}
