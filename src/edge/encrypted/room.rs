//! Room for connections: how many may be open, who has to go when there is none, and how much each may hold in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::Streams;
use crate::edge::clock;
use crate::edge::tcp::{Closed, client_of};
use crate::time::Moment;

/// Bytes of queries and replies that one connection may have in our memory at once: two of the largest messages.
const HELD_MAX: usize = 128 * 1024;

/// All connections of one transport.
#[derive(Debug)]
pub(super) struct Room {
    /// What the process has descriptors for.
    affordable: usize,
    seats: Mutex<Seats>,
}

#[derive(Default, Debug)]
struct Seats {
    last: u64,
    taken: BTreeMap<u64, Seat>,
}

#[derive(Debug)]
struct Seat {
    client: IpAddr,
    /// After its handshake. One that is still shaking hands goes before one that is idle.
    is_open: bool,
    /// When it was last of use.
    active: Moment,
    leave: watch::Sender<Option<Closed>>,
}

impl Room {
    pub(super) fn new(affordable: usize) -> Arc<Self> {
        Arc::new(Self { affordable, seats: Mutex::default() })
    }

    /// A place for a connection of `client`. If there are too many, another has to leave for it: the idlest, the
    /// client's own first.
    pub(super) fn enter(self: &Arc<Self>, client: SocketAddr, by: &Streams) -> Place {
        let client = client_of(client);
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.of(client) >= by.per_client {
            seats.evict(Closed::ClientFull, |seat| seat.client == client);
        }
        if seats.taken.len() >= by.connections.min(self.affordable) {
            seats.evict(Closed::Full, |_| true);
        }
        seats.last += 1;
        let (number, (sender, leave)) = (seats.last, watch::channel(None));
        seats.taken.insert(number, Seat { client, is_open: false, active: clock::moment(), leave: sender });
        Place { room: Arc::clone(self), number, leave, held: Arc::default(), owing: Arc::default() }
    }

    /// Makes the idlest leave; false if there is none.
    pub(super) fn evict_one(&self) -> bool {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).evict(Closed::NoDescriptors, |_| true)
    }

    /// Connections now.
    pub(super) fn count(&self) -> usize {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).taken.len()
    }
}

impl Seats {
    fn of(&self, client: IpAddr) -> usize {
        self.taken.values().filter(|seat| seat.client == client).count()
    }

    fn evict(&mut self, why: Closed, may: impl Fn(&Seat) -> bool) -> bool {
        let candidates = self.taken.iter().filter(|(_, seat)| may(seat));
        let Some((&number, _)) = candidates.min_by_key(|(_, seat)| (seat.is_open, seat.active)) else {
            return false;
        };
        if let Some(seat) = self.taken.remove(&number) {
            seat.leave.send_replace(Some(why));
        }
        true
    }
}

/// One connection's place in the [`Room`]; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    number: u64,
    leave: watch::Receiver<Option<Closed>>,
    /// Bytes in memory for this connection.
    held: Arc<AtomicUsize>,
    /// Replies that the client has not taken yet.
    owing: Arc<Mutex<Owing>>,
}

impl Place {
    /// Ends when the connection has to make room for another, and for what reason.
    pub(super) async fn evicted(&self) -> Closed {
        let mut leave = self.leave.clone();
        loop {
            let why = *leave.borrow_and_update();
            match why {
                Some(why) => return why,
                None if leave.changed().await.is_ok() => {}
                // Only when the room is gone.
                None => std::future::pending().await,
            }
        }
    }

    /// Takes note that the connection was of use: its handshake is over, or a query came.
    pub(super) fn used(&self) {
        let mut seats = self.room.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = seats.taken.get_mut(&self.number) {
            (seat.is_open, seat.active) = (true, clock::moment());
        }
    }

    /// When it was last of use.
    pub(super) fn active(&self) -> Moment {
        let seats = self.room.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.taken.get(&self.number).map_or(Moment::default(), |seat| seat.active)
    }

    /// A reply is ready from now on, and has to be taken.
    pub(super) fn owe(&self) -> Owed {
        let mut owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner);
        owing.last += 1;
        let number = owing.last;
        owing.since.insert(number, clock::moment());
        Owed { owing: Arc::clone(&self.owing), number }
    }

    /// Since when the oldest reply waits to be taken.
    pub(super) fn owes_since(&self) -> Option<Moment> {
        let owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner);
        owing.since.first_key_value().map(|(_, &since)| since)
    }

    /// Nothing held yet.
    pub(super) fn hold(&self) -> Hold {
        Hold { held: Arc::clone(&self.held), bytes: 0 }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.seats.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.number);
    }
}

/// Replies that wait to be taken, by number: the oldest first.
#[derive(Default, Debug)]
struct Owing {
    last: u64,
    since: BTreeMap<u64, Moment>,
}

/// A reply that waits to be taken; it was, or nobody wants it any more, when this is dropped.
#[derive(Debug)]
pub(super) struct Owed {
    owing: Arc<Mutex<Owing>>,
    number: u64,
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.owing.lock().unwrap_or_else(PoisonError::into_inner).since.remove(&self.number);
    }
}

/// Memory for one query or reply; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Hold {
    /// Takes `bytes` more; false if the connection may not have them.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > HELD_MAX {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn caps(connections: usize, per_client: usize) -> Streams {
        Streams { connections, per_client, ..Streams::default() }
    }

    fn has_to_leave(place: &Place) -> Option<Closed> {
        *place.leave.borrow()
    }

    #[test]
    fn who_is_still_shaking_hands_goes_first_then_the_idlest() {
        let (room, caps) = (Room::new(9), caps(3, 3));
        let [open, shaking, idle] =
            ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"].map(|from| room.enter(client(from), &caps));
        idle.used();
        open.used();
        let fourth = room.enter(client("192.0.2.4:1"), &caps);
        assert_eq!((has_to_leave(&shaking), has_to_leave(&idle)), (Some(Closed::Full), None));
        fourth.used();
        let _fifth = room.enter(client("192.0.2.5:1"), &caps);
        assert_eq!((has_to_leave(&idle), has_to_leave(&open)), (Some(Closed::Full), None));
        assert_eq!(room.count(), 3);
    }

    #[test]
    fn a_client_with_many_connections_loses_its_own() {
        let (room, caps) = (Room::new(9), caps(100, 2));
        let other = room.enter(client("192.0.2.1:1"), &caps);
        let [first, second, third] = [1, 2, 3].map(|host| room.enter(client(&format!("[2001:db8::{host}]:1")), &caps));
        assert_eq!(has_to_leave(&first), Some(Closed::ClientFull));
        assert!([&other, &second, &third].into_iter().all(|place| has_to_leave(place).is_none()));
        drop(second);
        let fourth = room.enter(client("[2001:db8::4]:1"), &caps);
        assert!(has_to_leave(&third).is_none(), "there is room again");
        drop((first, third, fourth));
        assert_eq!(room.count(), 1);
    }

    #[test]
    fn no_more_are_held_than_there_are_descriptors_for() {
        let (room, caps) = (Room::new(1), caps(100, 100));
        let first = room.enter(client("192.0.2.1:1"), &caps);
        let second = room.enter(client("192.0.2.2:1"), &caps);
        assert_eq!(has_to_leave(&first), Some(Closed::Full));
        assert!(room.evict_one() && has_to_leave(&second) == Some(Closed::NoDescriptors));
        assert!(!room.evict_one());
    }

    #[test]
    fn the_oldest_reply_that_is_owed_counts_whatever_becomes_of_others() {
        let (room, caps) = (Room::new(9), caps(9, 9));
        let place = room.enter(client("192.0.2.1:1"), &caps);
        assert_eq!(place.owes_since(), None);
        let first = place.owe();
        let since = place.owes_since();
        for _ in 0..9 {
            drop(place.owe());
        }
        assert!(since.is_some() && place.owes_since() == since);
        let last = place.owe();
        drop(first);
        assert!(place.owes_since() > since);
        drop(last);
        assert_eq!(place.owes_since(), None);
    }

    #[test]
    fn memory_is_bounded_by_connection_and_given_back() {
        let (room, caps) = (Room::new(9), caps(9, 9));
        let place = room.enter(client("192.0.2.1:1"), &caps);
        let (mut one, mut two) = (place.hold(), place.hold());
        assert!(one.grow(HELD_MAX) && !two.grow(1));
        assert!(room.enter(client("192.0.2.1:2"), &caps).hold().grow(HELD_MAX), "another connection has its own");
        drop(one);
        assert!(two.grow(HELD_MAX));
    }
}
