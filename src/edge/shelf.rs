//! What happens at sockets, counted; and where each answering thread leaves its counters for whoever collects them.

use std::sync::{Mutex, PoisonError};

use super::tcp::Closed;
use crate::answer::Tally;

/// Where a thread leaves a copy of its counters. On cache lines of its own: collecting never slows an answer.
#[derive(Default, Debug)]
#[repr(align(128))]
pub(super) struct Shelf(Mutex<(Tally, SocketTally)>);

impl Shelf {
    /// Copies the counters; false if they are being read at this moment, in which case nobody waits.
    pub(super) fn put(&self, tally: &Tally, sockets: &SocketTally) -> bool {
        let Ok(mut counted) = self.0.try_lock() else {
            return false;
        };
        counted.0 = *tally;
        counted.1 = *sockets;
        true
    }

    /// What was put last.
    pub(super) fn counted(&self) -> (Tally, SocketTally) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens at sockets, beside what the engine counts itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
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
