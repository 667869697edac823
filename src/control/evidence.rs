//! What the probes saw of the origins of a name that turns, in lines.

use std::fmt::Write;
use std::sync::Arc;

use crate::config::{OriginId, Place};
use crate::control::names::NameState;
use crate::control::watches::WatchState;
use crate::probe::Cause;
use crate::ready::Ready;
use crate::snapshot::status::OriginStatus;
use crate::verdict::{Class, Grade};

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
    grade: Grade,
    drained: bool,
    /// Why it would fail its visitors, though it passes.
    unready: Option<&'w str>,
    failing: Option<Failing<'w>>,
}

/// What the watch says that speaks for an origin.
#[derive(PartialEq, Eq, Debug)]
struct Failing<'w> {
    why: Why<'w>,
    endpoint: &'w str,
    /// Where several ask.
    check: Option<&'w str>,
}

#[derive(PartialEq, Eq, Debug)]
enum Why<'w> {
    Cause(&'w Cause),
    /// A rule by which it is degraded.
    Rule(&'w str),
}

impl<'w> Witness<'w> {
    /// A line per origin of the ladder from the top down to the rung served.
    pub(super) fn evidence(&mut self, state: &'w NameState, watches: &'w [WatchState]) -> Arc<[String]> {
        let last = state.decision.as_ref().map_or(0, |decision| decision.rung);
        self.seen.clear();
        for rung in state.rungs.iter().take(last.max(1) + 1) {
            self.seen.extend(rung.origins.iter().map(|origin| {
                let grade = Grade { class: origin.class, degraded: origin.degraded };
                let is_unready = origin.ready == Ready::WouldFail && origin.class != Class::Down;
                let unready = if is_unready { unready(origin, watches) } else { None };
                let failing = if is_unready { None } else { failing(origin, watches) };
                let (place, drained) = (rung.place, origin.drained);
                Seen { place, origin: origin.origin, name: &origin.name, grade, drained, unready, failing }
            }));
        }
        if self.told != self.seen {
            self.lines = self.seen.iter().map(line).collect();
            std::mem::swap(&mut self.told, &mut self.seen);
        }
        Arc::clone(&self.lines)
    }
}

/// The watch that speaks for the origin: the first of its class that fails, else any that does.
fn failing<'w>(origin: &OriginStatus, watches: &'w [WatchState]) -> Option<Failing<'w>> {
    let all = || origin.watches.iter().map(|id| &watches[id.0 as usize]);
    let why = |watch: &'w WatchState| match watch.degraded().filter(|_| origin.degraded) {
        Some(rule) => Some(Why::Rule(rule)),
        None => watch.verdict.cause().map(Why::Cause),
    };
    let speaking = all().filter(|watch| watch.class() == origin.class);
    let (watch, why) = speaking.chain(all()).find_map(|watch| Some((watch, why(watch)?)))?;
    let several = all().any(|other| other.watch.check != watch.watch.check);
    let check = several.then_some(&*watch.check_name);
    Some(Failing { why, endpoint: &watch.endpoint, check })
}

/// What the first watch says that would fail its visitors.
fn unready<'w>(origin: &OriginStatus, watches: &'w [WatchState]) -> Option<&'w str> {
    let mut findings = origin.watches.iter().flat_map(|id| &**watches[id.0 as usize].standing.findings());
    findings.find(|finding| finding.level == Ready::WouldFail).map(|finding| finding.seen.as_str())
}

/// `primary eu down: connection refused ×3 (192.0.2.1:443)`, with the check before the cause where several ask;
/// `primary eu up, would fail: it sends visitors away`.
fn line(seen: &Seen<'_>) -> String {
    let drained = if seen.drained { ", drained by order" } else { "" };
    let mut line = format!("{} {} {}{drained}", seen.place, seen.name, seen.grade.word());
    if let Some(unready) = seen.unready {
        let _ = write!(line, ", would fail: {unready}");
    }
    if let Some(Failing { why, endpoint, check }) = &seen.failing {
        let check = check.map_or_else(String::new, |check| format!("{check}: "));
        // A String takes all.
        let _ = match why {
            Why::Cause(cause) => write!(line, ": {check}{cause} ({endpoint})"),
            Why::Rule(rule) => write!(line, ": {check}{rule} ({endpoint})"),
        };
    }
    line
}
