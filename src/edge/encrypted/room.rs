//! Room for connections: how many may be open, who has to go when there is none, and how much each may hold in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::edge::clock;
use crate::edge::tcp::client_of;
use crate::time::Moment;

/// Bytes of queries and replies that one connection may have in our memory at once: two of the largest messages.
const HELD_MAX: usize = 128 * 1024;

/// All connections of one transport.
#[derive(Debug)]
pub(super) struct Room {
    connections: usize,
    per_client: usize,
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
    leave: Arc<Notify>,
}

impl Room {
    pub(super) fn new(connections: usize, per_client: usize) -> Arc<Self> {
        Arc::new(Self { connections, per_client, seats: Mutex::default() })
    }

    /// A place for a connection of `client`; true if another has to leave for it: the idlest, the client's own first.
    pub(super) fn enter(self: &Arc<Self>, client: SocketAddr) -> (Place, bool) {
        let client = client_of(client);
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let has_evicted = if seats.of(client) >= self.per_client {
            seats.evict(|seat| seat.client == client)
        } else {
            seats.taken.len() >= self.connections && seats.evict(|_| true)
        };
        seats.last += 1;
        let (number, leave) = (seats.last, Arc::new(Notify::new()));
        let seat = Seat { client, is_open: false, active: clock::moment(), leave: Arc::clone(&leave) };
        seats.taken.insert(number, seat);
        (Place { room: Arc::clone(self), number, leave, held: Arc::default() }, has_evicted)
    }

    /// Makes the idlest leave; false if there is none.
    pub(super) fn evict(&self) -> bool {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).evict(|_| true)
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

    fn evict(&mut self, may: impl Fn(&Seat) -> bool) -> bool {
        let candidates = self.taken.iter().filter(|(_, seat)| may(seat));
        let Some((&number, _)) = candidates.min_by_key(|(_, seat)| (seat.is_open, seat.active)) else {
            return false;
        };
        if let Some(seat) = self.taken.remove(&number) {
            seat.leave.notify_one();
        }
        true
    }
}

/// One connection's place in the [`Room`]; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    number: u64,
    leave: Arc<Notify>,
    /// Bytes in memory for this connection.
    held: Arc<AtomicUsize>,
}

impl Place {
    /// Ends when the connection has to make room for another.
    pub(super) async fn evicted(&self) {
        self.leave.notified().await;
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

    fn has_to_leave(place: &Place) -> bool {
        !place.room.seats.lock().expect("unbroken").taken.contains_key(&place.number)
    }

    #[test]
    fn who_is_still_shaking_hands_goes_first_then_the_idlest() {
        let room = Room::new(3, 3);
        let [(open, _), (shaking, _), (idle, _)] =
            ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"].map(|from| room.enter(client(from)));
        idle.used();
        open.used();
        let (fourth, evicts) = room.enter(client("192.0.2.4:1"));
        assert!(evicts && has_to_leave(&shaking) && !has_to_leave(&idle));
        fourth.used();
        assert!(room.enter(client("192.0.2.5:1")).1 && has_to_leave(&idle) && !has_to_leave(&open));
    }

    #[test]
    fn a_client_with_many_connections_loses_its_own() {
        let room = Room::new(100, 2);
        let (other, _) = room.enter(client("192.0.2.1:1"));
        let (first, _) = room.enter(client("[2001:db8::1]:1"));
        let (second, _) = room.enter(client("[2001:db8::2]:1"));
        let (third, evicts) = room.enter(client("[2001:db8::3]:1"));
        assert!(evicts && has_to_leave(&first));
        assert!(![&other, &second, &third].into_iter().any(has_to_leave));
        drop((second, third));
        assert!(!room.enter(client("[2001:db8::4]:1")).1, "there is room again");
        assert_eq!(room.count(), 1);
    }

    #[test]
    fn memory_is_bounded_by_connection_and_given_back() {
        let room = Room::new(9, 9);
        let (place, _) = room.enter(client("192.0.2.1:1"));
        let (mut one, mut two) = (place.hold(), place.hold());
        assert!(one.grow(HELD_MAX) && !two.grow(1));
        assert!(room.enter(client("192.0.2.1:2")).0.hold().grow(HELD_MAX), "another connection has its own");
        drop(one);
        assert!(two.grow(HELD_MAX));
    }
}
