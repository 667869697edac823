//! A decision in a line that fits into a reply: what is served, since when, and what is wrong with the rungs before it.

use std::fmt::Write;
use std::sync::Arc;

use crate::control::names::NameState;
use crate::control::watches::WatchState;
use crate::decision::{Decision, Reason};
use crate::snapshot::status::{EXPLANATION_MAX, RungStatus};

/// `serving backup since 10:32:07Z; primary: connection refused`, the time in UTC; empty without a decision.
pub(super) fn explanation(state: &NameState, watches: &[WatchState]) -> Arc<str> {
    let Some(decision) = &state.decision else { return Arc::default() };
    let since = state.since.wall.to_string();
    let mut text = format!("serving {} since {}Z", decision.place, since.get(11..19).unwrap_or(&since));
    if let Some(why) = word(decision) {
        let _ = write!(text, ", {why}");
    }
    for (rung, seen) in state.steer.rungs.iter().zip(&state.rungs).take(decision.rung) {
        if let Some(fault) = fault(seen, watches) {
            let _ = write!(text, "; {}: {fault}", rung.place);
        }
    }
    cut(&text).into()
}

/// What is to be said of a decision that the faults of the rungs before do not tell.
fn word(decision: &Decision) -> Option<&'static str> {
    match decision.reason {
        Reason::Preferred | Reason::FailedOver => None,
        Reason::Unproven => Some("untried"),
        Reason::FailbackWaits { .. } => Some("failback waits"),
        Reason::FailbackManual => Some("failback waits for a person"),
        Reason::LastResort => Some("the last resort"),
        Reason::AllDead => Some("everything is dead"),
        Reason::Held { .. } => Some("held by order"),
        Reason::Doubt => Some("our own sight is in doubt"),
        Reason::Restored => Some("as before the restart"),
    }
}

/// Why a rung is not served, by its first origin that fails; `None` if none does.
fn fault(rung: &RungStatus, watches: &[WatchState]) -> Option<String> {
    rung.origins.iter().find_map(|origin| {
        if origin.drained {
            return Some("drained by order".to_owned());
        }
        let mut failing = origin.watches.iter().filter_map(|id| watches.get(id.0 as usize)?.verdict.cause());
        failing.next().map(ToString::to_string)
    })
}

/// One line of at most [`EXPLANATION_MAX`] bytes, whatever an origin said.
fn cut(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > EXPLANATION_MAX {
        line.truncate(line.floor_char_boundary(EXPLANATION_MAX - "…".len()));
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
