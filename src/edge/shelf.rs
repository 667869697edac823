//! What happens at sockets, counted; and where each answering thread leaves its counters for whoever collects them.

use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::{Pod, Zeroable};

use super::tcp::Closed;
use crate::answer::Tally;

/// Where a thread leaves its counters: each is true for some moment of the last batches. Only its owner writes here, and
/// on cache lines of its own, so that collecting never slows an answer and is never waited for.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shelf {
    answered: [AtomicU64; size_of::<Tally>() / COUNTER],
    sockets: [AtomicU64; size_of::<SocketTally>() / COUNTER],
}

/// Bytes of a counter.
const COUNTER: usize = size_of::<u64>();

impl Default for Shelf {
    fn default() -> Self {
        Self { answered: [const { AtomicU64::new(0) }; _], sockets: [const { AtomicU64::new(0) }; _] }
    }
}

impl Shelf {
    /// Copies the counters, which go up with each call.
    pub(super) fn put(&self, answered: &Tally, sockets: &SocketTally) {
        write(&self.answered, bytemuck::cast_slice(std::slice::from_ref(answered)));
        write(&self.sockets, bytemuck::cast_slice(std::slice::from_ref(sockets)));
    }

    /// What was put last.
    pub(super) fn counted(&self) -> (Tally, SocketTally) {
        (
            bytemuck::must_cast(self.answered.each_ref().map(read)),
            bytemuck::must_cast(self.sockets.each_ref().map(read)),
        )
    }
}

fn write(shelf: &[AtomicU64], counters: &[u64]) {
    for (place, counter) in shelf.iter().zip(counters) {
        place.store(*counter, Ordering::Relaxed);
    }
}

fn read(place: &AtomicU64) -> u64 {
    place.load(Ordering::Relaxed)
}

/// What happens at sockets, beside what the engine counts itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable, Debug)]
#[repr(C)]
pub struct SocketTally {
    /// Queries from port 0, where no reply can go.
    pub portless: u64,
    /// Queries from a broadcast, multicast or unspecified address: a reply would go to many, or to none.
    pub multicast: u64,
    /// Queries that claim to come from one of our own sockets.
    pub looped: u64,
    /// UDP replies the system did not take.
    pub unsent: u64,
    /// Connections accepted, whatever runs on them.
    pub accepted: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Connections closed, by reason.
    closed: [u64; Closed::ALL.len()],
    /// Failures to accept a connection or to receive a datagram.
    pub trouble: u64,
    /// Panics of the engine, each contained.
    pub panics: u64,
}

impl SocketTally {
    pub(super) fn closed(&mut self, why: Closed) {
        self.closed[why as usize] += 1;
    }

    /// Adds the counters of another thread.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { portless, multicast, looped, unsent, accepted, open, closed, trouble, panics } = other;
        self.portless += portless;
        self.multicast += multicast;
        self.looped += looped;
        self.unsent += unsent;
        self.accepted += accepted;
        self.open += open;
        self.closed.iter_mut().zip(closed).for_each(|(sum, one)| *sum += one);
        self.trouble += trouble;
        self.panics += panics;
    }

    /// Every figure: what it is of, the value of its label (empty if it has none), and how many.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let fixed = [
            ("connections_open", "", self.open),
            ("socket_events", "portless", self.portless),
            ("socket_events", "multicast", self.multicast),
            ("socket_events", "looped", self.looped),
            ("socket_events", "unsent", self.unsent),
            ("socket_events", "accepted", self.accepted),
            ("socket_events", "trouble", self.trouble),
            ("socket_events", "panics", self.panics),
        ];
        let words = Closed::ALL.iter().zip(self.closed);
        fixed.into_iter().chain(words.map(|((_, word), count)| ("connections_closed", *word, count)))
    }
}
