//! Idle connections to origins that work: the end of one tells of a crash at once.
//!
//! A wire is a connection to an (address, port) over which nothing is sent; watches of the same place share it. When a
//! process dies, its kernel ends all of its connections, so a wire that ends is a reason to look: each of its watches is
//! asked once, out of turn. That is all it is. What counts are that probe and its confirmations, and a wire that was
//! never there, or ended for no reason, costs nothing but a probe.
//!
//! ```text
//!            │ a watch passed          │ it is held │ it ended                     │ last watch down or gone
//! ───────────┼─────────────────────────┼────────────┼──────────────────────────────┼────────────────────────
//!  none      │ opening, if there is    │            │                              │
//!            │ room (1)                │            │                              │
//!  opening   │                         │ held       │ rests (3)                    │ none
//!  held      │                         │            │ rests (3); trips, unless by  │ none
//!            │                         │            │ habit (2)                    │
//!  rests     │ opening, once rested    │            │                              │ none
//! ```
//! (1) the last quarter of the room is kept for what is being served;
//! (2) servers end idle connections after a while of their own: a wire that ended twice at the same age, while its
//!     watches went on passing, is expected to end at that age;
//! (3) for a second; longer each time it was brief, and for an hour after the third time: that server wants no wires.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::probe::Epoch;
use crate::time::Moment;

/// Wires there are at most: what a host spares in descriptors, and its neighbours in connections that do nothing.
pub const MOST: usize = 1024;
/// Of these, open to watches of whatever is not being served.
const STANDBY_MOST: usize = MOST / 4 * 3;
/// A watch is asked for its wire once in its interval at most, or in this where that is longer.
const GAP: Duration = Duration::from_secs(5);
/// A wire that ended sooner was not welcome.
const BRIEF: Duration = Duration::from_secs(5);
/// Brief ends in a row after which no wire is held for long.
const BRIEF_MOST: u32 = 3;
const REST: Duration = Duration::from_secs(1);
const LONG_REST: Duration = Duration::from_secs(60 * 60);
/// Two ages are the same if they differ by no more than this part of them, or this long.
const SAME_PART: u32 = 8;
const SAME_WITHIN: Duration = Duration::from_secs(1);

/// One connection: its place, and a number that no other wire has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Wire {
    pub to: SocketAddr,
    pub number: u64,
}

/// What the edge is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Connect, and tell when it is held and when it ended.
    Open(Wire),
    /// Let go of it, and tell nothing more.
    Close(Wire),
}

/// What the edge tells of a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct News {
    pub wire: Wire,
    pub at: Moment,
    pub what: What,
}

/// What became of a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Held,
    /// It ended, or could not be opened.
    Ended,
    /// It is not to be held: the other side talks, or we have no descriptor for it.
    Unfit,
}

/// All wires, and what is known of their places.
#[derive(Clone, Debug, Default)]
pub struct Tripwires {
    places: BTreeMap<SocketAddr, Place>,
    /// Which place a watch is at.
    watches: BTreeMap<Epoch, Watched>,
    last_number: u64,
}

#[derive(Clone, Debug)]
struct Place {
    number: u64,
    state: State,
    watches: BTreeSet<Epoch>,
    /// Brief ends in a row.
    brief: u32,
    /// Ages at which the last two wires ended.
    ages: [Option<Duration>; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Opening,
    Held { since: Moment },
    Rests { until: Moment },
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    to: SocketAddr,
    /// When it was last asked for its wire.
    asked: Option<Moment>,
}

impl Tripwires {
    /// A probe of this watch passed at `to`. `is_served` is asked only where room is short.
    pub fn passed(
        &mut self,
        watch: Epoch,
        to: SocketAddr,
        is_served: impl FnOnce() -> bool,
        now: Moment,
    ) -> Option<Order> {
        let before = self.watches.get(&watch).copied();
        if let Some(watched) = before.filter(|watched| watched.to != to) {
            // A host name with many addresses: it keeps its wire for as long as that lasts.
            let holds = self.places.get(&watched.to).is_some_and(|place| !matches!(place.state, State::Rests { .. }));
            if holds {
                return None;
            }
            self.leave(watch);
        }
        let count = self.places.len();
        let has_room = count < STANDBY_MOST || (count < MOST && (self.places.contains_key(&to) || is_served()));
        if !has_room && !self.places.contains_key(&to) {
            return None;
        }
        let fresh = Place {
            number: 0,
            state: State::Rests { until: now },
            watches: BTreeSet::new(),
            brief: 0,
            ages: [None; 2],
        };
        let place = self.places.entry(to).or_insert(fresh);
        if place.watches.insert(watch) {
            self.watches.insert(watch, Watched { to, asked: before.and_then(|before| before.asked) });
        }
        match place.state {
            State::Rests { until } if until <= now => {
                self.last_number += 1;
                place.number = self.last_number;
                place.state = State::Opening;
                Some(Order::Open(Wire { to, number: place.number }))
            }
            _ => None,
        }
    }

    /// This watch turned down: there is nothing left to be told of it.
    pub fn down(&mut self, watch: Epoch) -> Option<Order> {
        self.leave(watch)
    }

    /// (Re)load: the watches there still are, and want wires.
    pub fn arrange(&mut self, wants: impl Fn(Epoch) -> bool) -> Vec<Order> {
        let gone: Vec<Epoch> = self.watches.keys().copied().filter(|&watch| !wants(watch)).collect();
        gone.into_iter().filter_map(|watch| self.leave(watch)).collect()
    }

    /// Takes news in. Gives the watches to be asked at once; `every` is the interval of one.
    pub fn told(&mut self, news: News, every: impl Fn(Epoch) -> Duration) -> Vec<Epoch> {
        let News { wire, at, what } = news;
        let Some(place) = self.places.get_mut(&wire.to).filter(|place| place.number == wire.number) else {
            return Vec::new();
        };
        match (what, place.state) {
            (What::Held, State::Opening) => place.state = State::Held { since: at },
            (What::Ended, State::Opening) => place.rest(true, at),
            (What::Ended, State::Held { since }) => {
                let age = at.since(since);
                let is_habit = place.ages.iter().all(|one| one.is_some_and(|one| is_same(one, age)));
                place.ages = [place.ages[1], Some(age)];
                place.rest(age < BRIEF, at);
                if !is_habit {
                    return self.tripped(wire.to, at, every);
                }
            }
            (What::Unfit, State::Opening | State::Held { .. }) => {
                place.brief = BRIEF_MOST;
                place.state = State::Rests { until: at + LONG_REST };
            }
            _ => {}
        }
        Vec::new()
    }

    /// How many wires are held.
    pub fn held(&self) -> usize {
        self.places.values().filter(|place| matches!(place.state, State::Held { .. })).count()
    }

    /// Those watches of a place that have not just been asked.
    fn tripped(&mut self, to: SocketAddr, at: Moment, every: impl Fn(Epoch) -> Duration) -> Vec<Epoch> {
        let watches = self.places.get(&to).map(|place| &place.watches);
        let mut asked = Vec::new();
        for &watch in watches.into_iter().flatten() {
            let Some(watched) = self.watches.get_mut(&watch) else { continue };
            if watched.asked.is_none_or(|before| at.since(before) >= every(watch).min(GAP)) {
                watched.asked = Some(at);
                asked.push(watch);
            }
        }
        asked
    }

    fn leave(&mut self, watch: Epoch) -> Option<Order> {
        let Watched { to, .. } = self.watches.remove(&watch)?;
        let place = self.places.get_mut(&to)?;
        place.watches.remove(&watch);
        if !place.watches.is_empty() {
            return None;
        }
        let Place { number, state, .. } = self.places.remove(&to)?;
        (!matches!(state, State::Rests { .. })).then_some(Order::Close(Wire { to, number }))
    }
}

impl Place {
    fn rest(&mut self, was_brief: bool, at: Moment) {
        self.brief = if was_brief { self.brief + 1 } else { 0 };
        let rest = if self.brief >= BRIEF_MOST { LONG_REST } else { REST * (1 << self.brief) };
        self.state = State::Rests { until: at + rest };
    }
}

fn is_same(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= SAME_WITHIN.max(one / SAME_PART)
}

#[cfg(test)]
mod tests;
