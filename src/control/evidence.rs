//! What the probes saw of the origins of a name that turns, in lines.

use std::fmt::Write;
use std::sync::Arc;

use crate::config::{OriginId, Place};
use crate::control::names::NameState;
use crate::control::watches::WatchState;
use crate::probe::Cause;
use crate::verdict::Class;

/// Testifies for one name after the other, and shares the lines of those of which it saw the same.
#[derive(Debug, Default)]
pub(super) struct Witness<'w> {
    /// What the lines say, and what the next ones will.
    told: Vec<Seen<'w>>,
    seen: Vec<Seen<'w>>,
    lines: Arc<[String]>,
}

/// All that a line says.
#[derive(PartialEq, Eq, Debug)]
struct Seen<'w> {
    place: Place,
    origin: OriginId,
    name: &'w str,
    class: Class,
    drained: bool,
    /// Of the first watch that fails.
    failing: Option<(&'w Cause, &'w str)>,
}

impl<'w> Witness<'w> {
    /// A line per origin of the ladder from the top down to the rung served.
    pub(super) fn evidence(&mut self, state: &'w NameState, watches: &'w [WatchState]) -> Arc<[String]> {
        let last = state.decision.as_ref().map_or(0, |decision| decision.rung);
        self.seen.clear();
        for rung in state.rungs.iter().take(last.max(1) + 1) {
            self.seen.extend(rung.origins.iter().map(|origin| {
                let mut asked = origin.watches.iter().map(|id| &watches[id.0 as usize]);
                let failing = asked.find_map(|watch| Some((watch.verdict.cause()?, &*watch.endpoint)));
                let (place, class, drained) = (rung.place, origin.class, origin.drained);
                Seen { place, origin: origin.origin, name: &origin.name, class, drained, failing }
            }));
        }
        if self.told != self.seen {
            self.lines = self.seen.iter().map(line).collect();
            std::mem::swap(&mut self.told, &mut self.seen);
        }
        Arc::clone(&self.lines)
    }
}

/// `primary eu down: connection refused ×3 (192.0.2.1:443)`.
fn line(seen: &Seen<'_>) -> String {
    let drained = if seen.drained { ", drained by order" } else { "" };
    let mut line = format!("{} {} {}{drained}", seen.place, seen.name, seen.class.word());
    if let Some((cause, endpoint)) = seen.failing {
        // A String takes all.
        let _ = write!(line, ": {cause} ({endpoint})");
    }
    line
}
