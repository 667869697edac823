//! Families our host has no route to: their watches follow those of the other one, of the same origin as the same host.
//!
//! ```text
//!   a watch without a route is     and of the other family                      then
//!   ──────────────────────────────────────────────────────────────────────────────────────────────────────────
//!   up, suspect, untried           all is seen, an address at least as good     it follows
//!   up, suspect                    none is as good                              it keeps its class until one is
//!   untried                        all that is seen is down                     it follows with the next failure there
//!   down                           anything                                     it stays down
//! ```
//!
//! A lost route is our own trouble and moves nothing: to begin to follow what is at least as good changes no origin. What
//! is seen of the other family from then on counts for both, its death too. The first answer of its own ends it.

use crate::control::Controller;
use crate::control::watches::WatchState;
use crate::probe::{LocalFault, Observation, Outcome, WatchId};
use crate::time::Now;
use crate::verdict::origin::is_ipv4;
use crate::verdict::{Class, Grade};

const NO_ROUTE: Outcome = Outcome::Inconclusive(LocalFault::NoRoute);

impl Controller {
    /// Takes in what an observation tells of routes; `class` is its watch's after it.
    pub(super) fn follow(&mut self, seen: &Observation, class: Class, now: Now) {
        let id = seen.watch;
        match &seen.outcome {
            outcome if *outcome == NO_ROUTE && self.has_equal(id) => self.begin_to_follow(id, now),
            Outcome::Failed(_) if class == Class::Down => {
                let is_lost = |other: &WatchState| {
                    other.class() == Class::Untried && other.last.as_ref().is_some_and(|last| last.outcome == NO_ROUTE)
                };
                let lost = self.other_family(id).filter(|(_, other)| !other.unseen && is_lost(other));
                let lost: Vec<WatchId> = lost.map(|(other, _)| other).collect();
                lost.into_iter().for_each(|other| self.begin_to_follow(other, now));
            }
            _ => {}
        }
    }

    fn begin_to_follow(&mut self, id: WatchId, now: Now) {
        if !std::mem::replace(&mut self.watches[id.0 as usize].unseen, true) {
            self.shown.insert(id);
            self.touch_names_of(id, now);
        }
    }

    /// Is all of the other family seen, and of one of its addresses everything at least as good as the best that is
    /// known of this watch's own?
    fn has_equal(&self, id: WatchId) -> bool {
        let state = &self.watches[id.0 as usize];
        let same_target = |one: &WatchState, other: &WatchState| one.watch.target == other.watch.target;
        let beside = self.told.beside(id).iter().map(|other| &self.watches[other.0 as usize]);
        let own = beside.filter(|other| same_target(state, other)).map(WatchState::grade);
        let best = own.fold(state.grade(), |best, grade| Grade {
            class: best.class.min(grade.class),
            degraded: best.degraded && grade.degraded,
        });
        let is_equal = |other: &WatchState| {
            let grade = other.grade();
            grade.class <= best.class && (best.degraded || !grade.degraded)
        };
        state.class() != Class::Down
            && self.other_family(id).all(|(_, other)| !other.unseen)
            && self.other_family(id).any(|(_, one)| {
                self.other_family(id).filter(|(_, other)| same_target(one, other)).all(|(_, other)| is_equal(other))
            })
    }

    /// The watches of the other family; none where a host name is asked.
    fn other_family(&self, id: WatchId) -> impl Iterator<Item = (WatchId, &WatchState)> {
        let family = is_ipv4(&self.watches[id.0 as usize].watch.target);
        let beside = self.told.beside(id).iter().map(|&other| (other, &self.watches[other.0 as usize]));
        beside.filter(move |(_, other)| {
            let other = is_ipv4(&other.watch.target);
            other.is_some() && family.is_some() && other != family
        })
    }
}
