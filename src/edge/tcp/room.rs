//! Who is in, and who has to go: the caps, the order in which connections make room, and their deadlines.
//!
//! Nothing here goes through all connections. Each stands in two orders: by when it was last of use, in a line of all and
//! in one of its client's, and by when it is to be looked at next. Both are put right only when they are off by more than
//! [`COARSE`] or too late, so that a busy connection seldom moves in them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::CONNECTIONS;
use super::clients::Clients;
use super::connection::{Closed, Connection};
use super::line::{Line, Links};
use crate::config::Answering;
use crate::edge::nameserver::Worker;
use crate::snapshot::Snapshot;
use crate::time::Moment;

/// How far behind the order of use may be.
const COARSE: Duration = Duration::from_millis(50);

/// One thread's part of the caps.
#[derive(Clone, Debug)]
pub(in crate::edge) struct Share {
    /// Which of the threads.
    pub number: usize,
    pub threads: usize,
    /// Connections that all threads together have descriptors for.
    pub affordable: usize,
    /// What each client has on all threads.
    pub clients: Arc<Clients>,
}

impl Share {
    /// The only thread.
    pub(in crate::edge) fn alone(affordable: usize) -> Self {
        Self { number: 0, threads: 1, affordable, clients: Arc::default() }
    }

    /// The parts of all threads add up to `whole`; none is without.
    fn of(&self, whole: usize) -> usize {
        (whole / self.threads + usize::from(self.number < whole % self.threads)).max(1)
    }

    fn connections(&self, by: &Answering) -> usize {
        self.of(by.streams.connections.min(self.affordable))
    }
}

/// By moment, then by place.
type Order = BTreeSet<(Moment, u32)>;
/// Whether it is open, and when it was last of use.
type Use = (bool, Moment);

/// Who was last of use longest ago stands first. Who is still shaking hands makes room before all who are not.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Uses {
    shaking_hands: Line,
    open: Line,
}

impl Uses {
    fn first(self) -> Option<u32> {
        self.shaking_hands.first().or(self.open.first())
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The line of those who are open, or of those who are not.
    fn line(&mut self, is_open: bool) -> &mut Line {
        if is_open { &mut self.open } else { &mut self.shaking_hands }
    }
}

/// The connections of one thread.
pub(super) struct Room {
    share: Share,
    places: Vec<Option<Place>>,
    /// Numbers of places that are empty.
    empty: Vec<u32>,
    count: usize,
    uses: Uses,
    links: Links,
    /// The same, client by client.
    clients: BTreeMap<IpAddr, Uses>,
    clients_links: Links,
    /// Who is to be looked at next, whatever happens.
    due: Order,
}

struct Place {
    /// `None` while it is worked on: should the engine panic, it is gone, and its place falls due.
    connection: Option<Connection>,
    client: IpAddr,
    used: Use,
    due: Moment,
    interest: EventFlags,
}

impl Room {
    pub(super) fn new(share: Share) -> Self {
        Self {
            share,
            places: Vec::new(),
            empty: Vec::new(),
            count: 0,
            uses: Uses::default(),
            links: Links::default(),
            clients: BTreeMap::new(),
            clients_links: Links::default(),
            due: Order::new(),
        }
    }

    /// How many are in.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// When [`Room::expire`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.due.first().map(|&(moment, _)| moment)
    }

    /// Makes sure that there is room for one more of `client`: of too many of its own it loses one itself. If none of
    /// them is on this thread it may have one more, which is the first to go here.
    pub(super) fn make_room(&mut self, client: IpAddr, snapshot: &Snapshot, worker: &mut Worker) {
        let by = &snapshot.answering;
        while let Some(own) = self.clients.get(&client)
            && self.share.clients.count(client) >= by.streams.per_client
            && let Some(at) = own.first()
        {
            self.close(at, Closed::ClientFull, worker);
        }
        while self.count() >= self.share.connections(by)
            && let Some(at) = self.uses.first()
        {
            self.close(at, Closed::Full, worker);
        }
    }

    /// Closes who has been idle for longest; false if nobody is in.
    pub(super) fn evict_one(&mut self, worker: &mut Worker) -> bool {
        let Some(at) = self.uses.first() else {
            return false;
        };
        self.close(at, Closed::NoDescriptors, worker);
        true
    }

    /// One more.
    pub(super) fn take_in(
        &mut self,
        epoll: &OwnedFd,
        connection: Connection,
        snapshot: &Snapshot,
        worker: &mut Worker,
    ) {
        let at = self.empty.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.links.add();
            self.clients_links.add();
            (self.places.len() - 1) as u32
        });
        let interest = connection.interest();
        let data = EventData::new_u64(CONNECTIONS + u64::from(at));
        if epoll::add(epoll, connection.wire().socket(), data, interest).is_err() {
            self.empty.push(at);
            worker.sockets.trouble += 1;
            return worker.sockets.closed(Closed::Broken);
        }
        let (client, used) = (connection.client(), connection.used());
        let (due, _) = connection.deadline(&snapshot.answering);
        self.count += 1;
        self.uses.line(used.0).join(at, &mut self.links);
        self.clients.entry(client).or_default().line(used.0).join(at, &mut self.clients_links);
        self.due.insert((due, at));
        self.share.clients.add(client);
        self.places[at as usize] = Some(Place { connection: Some(connection), client, used, due, interest });
    }

    /// Does what `flags` allow at one connection, and closes it when it is over.
    pub(super) fn turn(
        &mut self,
        epoll: &OwnedFd,
        at: usize,
        flags: EventFlags,
        snapshot: &Snapshot,
        worker: &mut Worker,
        buffer: &mut [u8],
    ) {
        let Some(mut connection) =
            self.places.get_mut(at).and_then(Option::as_mut).and_then(|one| one.connection.take())
        else {
            return;
        };
        // A reset, or both sides shut: nothing more goes either way.
        let turned = if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            Err(Closed::Broken)
        } else {
            connection.turn(snapshot, worker, buffer)
        };
        match turned {
            Ok(()) => self.put_back(epoll, at as u32, connection, snapshot, worker),
            Err(why) => self.close(at as u32, why, worker),
        }
    }

    /// Puts what has changed right: what is waited for, and where it stands in the orders.
    fn put_back(&mut self, epoll: &OwnedFd, at: u32, connection: Connection, snapshot: &Snapshot, worker: &mut Worker) {
        let Some(place) = &mut self.places[at as usize] else {
            return;
        };
        let interest = connection.interest();
        if interest != place.interest {
            let data = EventData::new_u64(CONNECTIONS + u64::from(at));
            if epoll::modify(epoll, connection.wire().socket(), data, interest).is_err() {
                worker.sockets.trouble += 1;
                return self.close(at, Closed::Broken, worker);
            }
            place.interest = interest;
        }
        let used = connection.used();
        if used.0 != place.used.0 || used.1.since(place.used.1) >= COARSE {
            self.uses.line(place.used.0).leave(at, &mut self.links);
            self.uses.line(used.0).join(at, &mut self.links);
            if let Some(own) = self.clients.get_mut(&place.client) {
                own.line(place.used.0).leave(at, &mut self.clients_links);
                own.line(used.0).join(at, &mut self.clients_links);
            }
            place.used = used;
        }
        // One that falls due later is found to when it is looked at.
        let (due, _) = connection.deadline(&snapshot.answering);
        if due < place.due {
            self.due.remove(&(place.due, at));
            self.due.insert((due, at));
            place.due = due;
        }
        place.connection = Some(connection);
    }

    /// Closes those whose time is over.
    pub(super) fn expire(&mut self, snapshot: &Snapshot, worker: &mut Worker) {
        let now = worker.desk.now.moment;
        while let Some(&(due, at)) = self.due.first()
            && due <= now
        {
            let Some(place) = self.places.get_mut(at as usize).and_then(Option::as_mut) else {
                self.due.pop_first();
                continue;
            };
            let later = match &place.connection {
                Some(connection) => connection.deadline(&snapshot.answering),
                None => (now, Closed::Broken),
            };
            match later {
                (later, _) if later > now => {
                    self.due.remove(&(due, at));
                    self.due.insert((later, at));
                    place.due = later;
                }
                (_, why) => self.close(at, why, worker),
            }
        }
    }

    /// Answers what everyone has sent until now, and closes those who have taken their answers.
    pub(super) fn drain(&mut self, epoll: &OwnedFd, snapshot: &Snapshot, worker: &mut Worker, buffer: &mut [u8]) {
        for at in 0..self.places.len() {
            let Some(mut connection) = self.places[at].as_mut().and_then(|place| place.connection.take()) else {
                continue;
            };
            match connection.drain(snapshot, worker, buffer) {
                // Answers may wait now that did not before.
                Ok(()) => self.put_back(epoll, at as u32, connection, snapshot, worker),
                Err(why) => {
                    drop(connection);
                    self.close(at as u32, why, worker);
                }
            }
        }
    }

    /// Closes all.
    pub(super) fn close_all(&mut self, worker: &mut Worker) {
        for at in 0..self.places.len() {
            self.close(at as u32, Closed::Stopped, worker);
        }
    }

    fn close(&mut self, at: u32, why: Closed, worker: &mut Worker) {
        let Some(place) = self.places.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        if let Some(connection) = &place.connection {
            connection.give_up(why);
        }
        self.count -= 1;
        self.uses.line(place.used.0).leave(at, &mut self.links);
        if let Some(own) = self.clients.get_mut(&place.client) {
            own.line(place.used.0).leave(at, &mut self.clients_links);
            if own.is_empty() {
                self.clients.remove(&place.client);
            }
        }
        self.due.remove(&(place.due, at));
        self.share.clients.remove(place.client);
        self.empty.push(at);
        worker.sockets.closed(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Streams;

    #[test]
    fn the_parts_of_all_threads_add_up_and_none_is_without() {
        let by =
            |connections| Answering { streams: Streams { connections, ..Streams::default() }, ..Answering::default() };
        for (threads, affordable, by, all) in [
            (1, usize::MAX, by(4000), 4000),
            (3, usize::MAX, by(4000), 4000),
            (7, 500, by(4000), 500),
            // Of less than one for each thread, each has one.
            (2, 0, by(256), 2),
        ] {
            let share = |number| Share { number, threads, ..Share::alone(affordable) };
            let shares: Vec<_> = (0..threads).map(share).collect();
            assert_eq!(shares.iter().map(|share| share.connections(&by)).sum::<usize>(), all, "{threads} threads");
        }
    }
}
