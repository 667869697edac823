//! Tripwires: held where probes pass, and a reason to ask where one ends.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Ask;
use crate::control::watches::WatchState;
use crate::control::{Controller, Effects};
use crate::probe::tripwire::News;
use crate::probe::{Observation, Outcome, WatchId};
use crate::time::Now;
use crate::verdict::Class;

/// Names of a watch that are looked at for whether it is being served: a few tell, and thousands may share it.
const LOOKED_AT: usize = 64;

impl Controller {
    /// A probe of this watch came back, and its verdict is of this class now.
    pub(super) fn wire(&mut self, seen: &Observation, class: Class, now: Now, fx: &mut Effects) {
        let state = &self.watches[seen.watch.0 as usize];
        let order = match (&seen.outcome, seen.address) {
            (_, _) if class == Class::Down => self.tripwires.down(seen.epoch),
            (Outcome::Passed, Some(address)) if wants_wire(state) => {
                let served = || {
                    state.names.iter().take(LOOKED_AT).any(|name| {
                        let decision = &self.names[name.0 as usize].decision;
                        decision.as_ref().is_some_and(|decision| decision.origins.contains(&state.watch.origin))
                    })
                };
                let to = SocketAddr::new(address, state.watch.port);
                self.tripwires.passed(seen.epoch, to, served, now.moment)
            }
            _ => None,
        };
        fx.wires.extend(order);
    }

    /// Something became of a wire.
    pub(super) fn wired(&mut self, news: News) {
        let every = |epoch| {
            let state = self.schedule.locate(epoch).map(|WatchId(index)| &self.watches[index as usize]);
            state.map_or(Duration::MAX, |state| state.check.every)
        };
        for epoch in self.tripwires.told(news, every) {
            if let Some(id) = self.schedule.locate(epoch) {
                self.schedule.tripped(id, news.at);
            }
        }
    }

    /// Another configuration: wires of what is not watched any more, or not to have one, are let go of.
    pub(super) fn rewire(&mut self, fx: &mut Effects) {
        let wants = |epoch| {
            let state = self.schedule.locate(epoch).map(|WatchId(index)| &self.watches[index as usize]);
            state.is_some_and(wants_wire)
        };
        fx.wires.extend(self.tripwires.arrange(wants));
    }
}

/// Its check makes a connection, and may hold one.
fn wants_wire(state: &WatchState) -> bool {
    state.check.tripwire && matches!(state.check.ask, Ask::Tcp | Ask::Tls | Ask::Http(_) | Ask::Https(_))
}
