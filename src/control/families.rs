//! Families our host has no route to: their watches follow those of the other one, of the same origin as the same host.
//!
//! ```text
//!   a watch without a route is     and of the other family                  then
//!   ──────────────────────────────────────────────────────────────────────────────────────────────────────────
//!   up, suspect, untried           an address is seen, at least as good     it follows
//!   up, suspect                    none is as good                          it keeps its class until one is
//!   untried                        all that is seen is down                 it follows with the next failure there
//!   down                           anything                                 it stays down
//! ```
//!
//! A lost route is our own trouble and moves nothing: to begin to follow what is at least as good changes no origin. What
//! is seen of the other family from then on counts for both, its death too. The first answer of its own ends it.

use crate::control::Controller;
use crate::control::watches::WatchState;
use crate::probe::{LocalFault, Observation, Outcome, WatchId};
use crate::time::Now;
use crate::verdict::Class;
use crate::verdict::origin::is_ipv4;

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

    /// Is there an address of the other family of which all that is asked is seen, and at least as good?
    fn has_equal(&self, id: WatchId) -> bool {
        let grade = self.watches[id.0 as usize].grade();
        let is_equal = |other: &WatchState| {
            let other_grade = other.grade();
            !other.unseen && other_grade.class <= grade.class && (grade.degraded || !other_grade.degraded)
        };
        let same_target = |one: &WatchState, other: &WatchState| one.watch.target == other.watch.target;
        grade.class != Class::Down
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
