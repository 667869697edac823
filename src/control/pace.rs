//! Who is asked less often: rungs that come after the one served, while nothing is wrong with that.
//!
//! A rung that is served, and every better one that may be failed back to, is asked at full pace. The others are asked
//! every `standby_every`. When what is served stops being up, they are asked at once: their verdicts are needed soon.

use crate::config::SteerId;
use crate::control::Controller;
use crate::probe::WatchId;
use crate::probe::watch::Seat;
use crate::time::Now;

impl Controller {
    /// Counts anew who is wanted, after the names and watches were arranged.
    pub(super) fn pace_all(&mut self, now: Now) {
        self.paced = self.config.checks.iter().any(|check| check.standby_every > check.every);
        for state in &mut self.watches {
            state.wanted = 0;
        }
        if !self.paced {
            return;
        }
        for (name, state) in self.names.iter().enumerate() {
            let served = state.decision.as_ref().map(|decision| decision.rung);
            for watch in watches_up_to(&self.names[name].seats, served) {
                let wanted = &mut self.watches[watch.0 as usize].wanted;
                *wanted = wanted.saturating_add(1);
            }
        }
        for index in 0..self.watches.len() {
            self.pace(super::watch_id(index), now);
        }
    }

    /// These names stood on the first rung and stand on the second now; without a rung they stand on none, and wait for
    /// all.
    pub(super) fn repace(&mut self, names: Vec<(SteerId, Option<usize>, Option<usize>)>, now: Now) {
        for (name, before, after) in names {
            if before == after {
                continue;
            }
            let seats = &self.names[name.0 as usize].seats;
            let (lost, won): (Vec<_>, Vec<_>) =
                (watches_up_to(seats, before).collect(), watches_up_to(seats, after).collect());
            for watch in &won {
                let wanted = &mut self.watches[watch.0 as usize].wanted;
                *wanted = wanted.saturating_add(1);
            }
            for watch in &lost {
                let wanted = &mut self.watches[watch.0 as usize].wanted;
                *wanted = wanted.saturating_sub(1);
            }
            for watch in won.into_iter().chain(lost) {
                self.pace(watch, now);
            }
        }
    }

    fn pace(&mut self, watch: WatchId, now: Now) {
        let is_standby = self.watches[watch.0 as usize].wanted == 0;
        self.schedule.pace(watch, is_standby, now.moment);
    }

    /// What a name stands on stops being up: its standbys are asked now, unless they were asked of late.
    pub(super) fn wake_standbys(&mut self, failing: WatchId, now: Now) {
        if !self.paced || self.watches[failing.0 as usize].wanted == 0 {
            return;
        }
        for name in self.watches[failing.0 as usize].names.clone() {
            let state = &self.names[name.0 as usize];
            let served = state.decision.as_ref().map_or(0, |decision| decision.rung);
            for id in state.seats.iter().skip(served + 1).flatten().flat_map(Seat::watches) {
                let standby = &self.watches[id.0 as usize];
                if standby.wanted == 0 {
                    self.schedule.witness(id, now.moment - standby.check.every);
                }
            }
        }
    }
}

/// The watches of the rungs down to this one; of all without one.
fn watches_up_to(seats: &[Vec<Seat>], rung: Option<usize>) -> impl Iterator<Item = WatchId> + '_ {
    let rungs = rung.map_or(seats.len(), |rung| rung + 1);
    seats.iter().take(rungs).flatten().flat_map(Seat::watches)
}
