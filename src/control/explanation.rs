//! A decision in a line that fits into a reply: what is served, since when, and what is wrong with the rungs before it.

use std::fmt::Write;
use std::sync::Arc;

use crate::config::Place;
use crate::control::names::NameState;
use crate::control::watches::WatchState;
use crate::decision::{Decision, Reason};
use crate::probe::Cause;
use crate::ready::Ready;
use crate::snapshot::status::{EXPLANATION_MAX, RungStatus};

/// Tells one name after the other, and shares the line of those that say the same.
#[derive(Debug, Default)]
pub(super) struct Teller<'w> {
    text: String,
    last: Arc<str>,
    /// What the last line says.
    told: Option<Told<'w>>,
    /// What the next one says.
    faults: Vec<(Place, Fault<'w>)>,
}

/// All that a line says.
#[derive(Debug)]
struct Told<'w> {
    decision: &'w Arc<Decision>,
    /// Since when, in seconds.
    since: i64,
    faults: Vec<(Place, Fault<'w>)>,
}

impl<'w> Teller<'w> {
    /// `serving backup since 10:32:07Z; primary: connection refused`, the time in UTC; empty without a decision.
    pub(super) fn explanation(&mut self, state: &'w NameState, watches: &'w [WatchState]) -> Arc<str> {
        let Some(decision) = &state.decision else { return Arc::default() };
        let since = state.since.wall.seconds();
        self.faults.clear();
        let before = state.rungs.iter().take(decision.rung);
        self.faults.extend(before.filter_map(|seen| Some((seen.place, fault(seen, watches)?))));
        if let Some(told) = &self.told
            && told.since == since
            && Arc::ptr_eq(told.decision, decision)
            && told.faults == self.faults
        {
            return Arc::clone(&self.last);
        }
        let text = &mut self.text;
        text.clear();
        let second = since.rem_euclid(24 * 3600);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        // A String takes all.
        let _ = write!(text, "serving {} since {hour:02}:{minute:02}:{second:02}Z", decision.place);
        if let Some(why) = word(decision) {
            let _ = write!(text, ", {why}");
        }
        for (place, fault) in &self.faults {
            let _ = match fault {
                Fault::Drained => write!(text, "; {place}: drained by order"),
                Fault::Failing(cause) => write!(text, "; {place}: {cause}"),
                Fault::Unready => write!(text, "; {place}: would fail"),
            };
        }
        if text.len() > EXPLANATION_MAX || text.contains(char::is_control) {
            *text = cut(text);
        }
        if *text != *self.last {
            self.last = text.as_str().into();
        }
        self.told = Some(Told { decision, since, faults: std::mem::take(&mut self.faults) });
        Arc::clone(&self.last)
    }
}

/// What is to be said of a decision that the faults of the rungs before do not tell.
fn word(decision: &Decision) -> Option<&'static str> {
    match decision.reason {
        Reason::Preferred | Reason::FailedOver => None,
        Reason::Unproven => Some("untried"),
        Reason::FailbackWaits { .. } => Some("failback waits"),
        Reason::FailbackManual => Some("failback waits for a person"),
        Reason::LastResort => Some("the last resort"),
        Reason::Degraded => Some("a rung before it is degraded"),
        Reason::TooFew => Some("too few of its origins work"),
        Reason::Panic => Some("so few of its origins work that all are served"),
        Reason::AllDead => Some("everything is dead"),
        Reason::Held { .. } => Some("held by order"),
        Reason::Doubt => Some("our own sight is in doubt"),
        Reason::Restored => Some("as before the restart"),
        Reason::Waits { .. } => Some("waits for the velocity limit"),
    }
}

/// Why a rung is not served.
#[derive(PartialEq, Eq, Debug)]
enum Fault<'w> {
    Drained,
    Failing(&'w Cause),
    /// It passes its check and would fail its visitors.
    Unready,
}

/// That of its first origin that fails; `None` if none does.
fn fault<'w>(rung: &RungStatus, watches: &'w [WatchState]) -> Option<Fault<'w>> {
    rung.origins.iter().find_map(|origin| {
        if origin.drained {
            return Some(Fault::Drained);
        }
        let all = origin.watches.iter().filter_map(|id| watches.get(id.0 as usize));
        // Of several checks and addresses, one by which the origin is what it is.
        let speaking = all.clone().filter(|watch| watch.class() == origin.class);
        let unready = (origin.ready == Ready::WouldFail).then_some(Fault::Unready);
        speaking.chain(all).find_map(|watch| watch.verdict.cause()).map(Fault::Failing).or(unready)
    })
}

/// One line of at most [`EXPLANATION_MAX`] bytes, whatever an origin said.
fn cut(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > EXPLANATION_MAX {
        while line.len() > EXPLANATION_MAX - '…'.len_utf8() {
            line.pop();
        }
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_fits() {
        assert_eq!(
            cut("serving backup; primary: not\r\na valid response"),
            "serving backup; primary: not  a valid response"
        );
        for letter in ["a", "é", "→"] {
            let line = cut(&letter.repeat(EXPLANATION_MAX));
            assert!(line.len() <= EXPLANATION_MAX && line.len() > EXPLANATION_MAX - 4, "{line}");
        }
    }
}
