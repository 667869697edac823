//! The last observations of a watch, for what no streak can tell: half of the packets lost, or answers that are slow.
//!
//! Only *scheduled* probes are taken in. A confirmation follows a failure, so it would ask just when things are bad:
//! one short trouble would fill a third of a window, and the share of failures would no longer be that of time. Every
//! window thus looks back on a known time, `of × every`. What is inconclusive is in no window, nor is a failure that
//! our own sight makes doubtful.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::window::{Bad, Limit, Rule, Window};
use crate::probe::{Cause, Outcome};
use crate::time::Now;
use crate::verdict::Verdict;

/// Marks of the last 128 observations, the newest in the lowest bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Marks(u128);

impl Marks {
    /// One more; the oldest is forgotten.
    pub fn push(&mut self, marked: bool) {
        self.0 = self.0 << 1 | u128::from(marked);
    }

    /// How many of the last `over` are marked.
    pub fn count(self, over: u32) -> u32 {
        let kept = u128::MAX.checked_shl(over).map_or(u128::MAX, |older| !older);
        (self.0 & kept).count_ones()
    }
}

impl Verdict {
    /// What a window makes of the verdict that the streaks gave, if it sees it otherwise; `self` is the verdict
    /// before, `failed` how many of the last `window.of` scheduled probes failed, this one with them.
    ///
    /// ```text
    ///   before     by the streaks     failed < limit     failed ≥ limit
    ///   ────────────────────────────────────────────────────────────────────────────────────────
    ///   not down   not down           as the streaks     down, with one pass if this one passed
    ///   not down   down               as the streaks     as the streaks
    ///   down       down               as the streaks     as the streaks
    ///   down       up                 as the streaks     stays down, passes +1
    /// ```
    pub fn by_window(&self, streaks: &Self, failed: u32, window: Window, outcome: &Outcome, now: Now) -> Option<Self> {
        if failed < window.failed || matches!(outcome, Outcome::Inconclusive(_)) {
            return None;
        }
        match (self, streaks) {
            (Self::Down { since, passes, cause }, Self::Up { .. }) => {
                Some(Self::Down { since: *since, passes: passes.saturating_add(1), cause: cause.clone() })
            }
            (Self::Down { .. }, _) | (_, Self::Down { .. }) => None,
            (before, streaks) => {
                let lately = streaks.cause().or(before.cause()).cloned().map(Box::new);
                let cause = Cause::TooMany { failed, of: window.of, lately };
                Some(Self::Down { since: now, passes: u32::from(*outcome == Outcome::Passed), cause })
            }
        }
    }
}

/// How well a watch is while it is up: which rules of its check say that it is degraded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quality(Vec<RuleState>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct RuleState {
    holds: bool,
    /// Bad by the rule's `limit`, and by its `until`.
    bad: Marks,
    milder: Marks,
    /// Observations in a row at which `limit` was kept.
    calm: u32,
}

impl Quality {
    /// Takes a scheduled, conclusive observation in. One that failed took no time worth telling: it is bad by
    /// `errors`, and no rule on `time` takes it in.
    ///
    /// ```text
    ///   rule         bad ones among the last `over`             after it
    ///   ─────────────────────────────────────────────────────────────────────────────
    ///   rests        more than `limit`                          holds
    ///   rests        no more                                    rests
    ///   holds        no more than `until`                       rests
    ///   holds        no more than `limit`, `over` times in      rests, where there is
    ///                a row                                      no `until`
    ///   holds        any other                                  holds
    /// ```
    pub fn observe(&mut self, rules: &[Rule], outcome: &Outcome, took: Duration) {
        self.0.resize(rules.len(), RuleState::default());
        for (rule, state) in rules.iter().zip(&mut self.0) {
            state.observe(rule, outcome, took);
        }
    }

    /// The first rule that holds.
    pub fn degraded<'r>(&self, rules: &'r [Rule]) -> Option<&'r Rule> {
        let mut holding = rules.iter().zip(&self.0).filter(|(_, state)| state.holds);
        holding.next().map(|(rule, _)| rule)
    }

    /// Nothing is known any more.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl RuleState {
    fn observe(&mut self, rule: &Rule, outcome: &Outcome, took: Duration) {
        let Some(bad) = is_bad(rule.limit, outcome, took) else { return };
        self.bad.push(bad);
        if let Some(milder) = rule.until.and_then(|until| is_bad(until, outcome, took)) {
            self.milder.push(milder);
        }
        let over_limit = self.bad.count(rule.over) > rule.limit.most;
        self.calm = if over_limit { 0 } else { self.calm.saturating_add(1) };
        self.holds = over_limit
            || self.holds
                && match rule.until {
                    Some(until) => self.milder.count(rule.over) > until.most,
                    None => self.calm < rule.over,
                };
    }
}

/// `None` for an observation that the limit does not speak of.
fn is_bad(limit: Limit, outcome: &Outcome, took: Duration) -> Option<bool> {
    match (limit.bad, outcome) {
        (_, Outcome::Inconclusive(_)) | (Bad::Longer(_) | Bad::AsLong(_), Outcome::Failed(_)) => None,
        (Bad::Failed, outcome) => Some(*outcome != Outcome::Passed),
        (Bad::Longer(limit), Outcome::Passed) => Some(took > limit),
        (Bad::AsLong(limit), Outcome::Passed) => Some(took >= limit),
    }
}

#[cfg(test)]
mod tests;
