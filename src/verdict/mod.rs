//! Means: observations to verdicts, one machine per watch.

pub mod origin; // classes of watches to those of targets and origins
pub mod window; // the last observations: half of them lost, or slow

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::probe::{Cause, Outcome};
use crate::time::Now;

/// What the observations of one watch mean.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "class")]
pub enum Verdict {
    /// Neither up nor down yet. `failures` counts in a row.
    Untried { failures: u32, first_failure: Option<Now>, last_failure: Option<Now>, cause: Option<Cause> },
    /// Passes.
    Up { since: Now },
    /// Up, and failing, not yet long or often enough to be down. `first_failure` and `last_failure` are the starts of
    /// the earliest and the latest probe that failed.
    Suspect { since: Now, failures: u32, first_failure: Now, last_failure: Now, cause: Cause },
    /// `passes` counts in a row towards `rise`.
    Down { since: Now, passes: u32, cause: Cause },
}

/// The class of a verdict, in the order in which rungs are preferred.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Up,
    Suspect,
    Untried,
    Down,
}

/// A class, and whether what is of it is degraded: it works, and not well. Written as its [`word`](Grade::word).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "Word", into = "Word")]
pub struct Grade {
    pub class: Class,
    /// Only of what is usable.
    pub degraded: bool,
}

impl From<Class> for Grade {
    fn from(class: Class) -> Self {
        Self { class, degraded: false }
    }
}

impl Grade {
    /// Usable, and not degraded.
    pub fn is_well(self) -> bool {
        self.class.is_usable() && !self.degraded
    }

    /// That of its class; of all that are degraded, `degraded`.
    pub fn word(self) -> &'static str {
        if self.degraded { "degraded" } else { self.class.word() }
    }
}

/// A grade as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Up,
    Suspect,
    Untried,
    Down,
    Degraded,
}

impl From<Grade> for Word {
    fn from(grade: Grade) -> Self {
        match grade.class {
            _ if grade.degraded => Self::Degraded,
            Class::Up => Self::Up,
            Class::Suspect => Self::Suspect,
            Class::Untried => Self::Untried,
            Class::Down => Self::Down,
        }
    }
}

impl From<Word> for Grade {
    fn from(word: Word) -> Self {
        match word {
            Word::Up => Class::Up.into(),
            Word::Suspect => Class::Suspect.into(),
            Word::Untried => Class::Untried.into(),
            Word::Down => Class::Down.into(),
            Word::Degraded => Self { class: Class::Up, degraded: true },
        }
    }
}

impl Class {
    /// Every class, best first.
    pub const ALL: [Self; 4] = [Self::Up, Self::Suspect, Self::Untried, Self::Down];

    /// Up or suspect.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Up | Self::Suspect)
    }

    /// The lexicon's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Untried => "untried",
            Self::Down => "down",
        }
    }
}

/// Limits a machine works under; from the watch's check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    pub fall: u32,
    pub rise: u32,
    pub blip: Duration,
}

impl From<&crate::config::Check> for Thresholds {
    fn from(check: &crate::config::Check) -> Self {
        Self { fall: check.fall, rise: check.rise, blip: check.blip }
    }
}

impl Verdict {
    /// Nothing known yet.
    pub const UNTRIED: Self = Self::Untried { failures: 0, first_failure: None, last_failure: None, cause: None };

    /// Why it fails; `None` while it does not.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Untried { cause, .. } => cause.as_ref(),
            Self::Up { .. } => None,
            Self::Suspect { cause, .. } | Self::Down { cause, .. } => Some(cause),
        }
    }

    /// The class alone.
    pub fn class(&self) -> Class {
        match self {
            Self::Untried { .. } => Class::Untried,
            Self::Up { .. } => Class::Up,
            Self::Suspect { .. } => Class::Suspect,
            Self::Down { .. } => Class::Down,
        }
    }

    /// The verdict after a probe that started at `started` and whose outcome became known at `now`.
    ///
    /// ```text
    ///            │ passed                 │ failed                      │ inconclusive
    /// ───────────┼────────────────────────┼─────────────────────────────┼─────────────
    ///  untried   │ up                     │ untried +1, or down (1)     │ untried
    ///  up        │ up                     │ suspect +1, or down (1)     │ up
    ///  suspect   │ up, its `since` kept   │ suspect +1, or down (1)     │ suspect
    ///  down      │ down +1, or up (2)     │ down, passes start again    │ down
    /// ```
    /// (1) with `fall` failures in a row whose starts span at least `blip`;
    /// (2) with `rise` passes in a row.
    ///
    /// Probes of one watch overlap, so failures may come in another order than they started: the span is taken from
    /// the earliest start to the latest.
    #[must_use]
    pub fn observe(&self, outcome: &Outcome, started: Now, limits: Thresholds, now: Now) -> Self {
        let cause = match outcome {
            Outcome::Inconclusive(_) => return self.clone(),
            Outcome::Passed => return self.passed(limits, now),
            Outcome::Failed(cause) => cause.clone(),
        };
        let streak = |failures: u32, first: Now, last: Now| {
            let (failures, first, last) = (failures.saturating_add(1), earlier(first, started), later(last, started));
            let down = failures >= limits.fall && last.moment.since(first.moment) >= limits.blip;
            (failures, first, last, down)
        };
        match *self {
            Self::Untried { failures, first_failure, last_failure, .. } => {
                let (first, last) = (first_failure.unwrap_or(started), last_failure.unwrap_or(started));
                match streak(failures, first, last) {
                    (.., true) => Self::Down { since: now, passes: 0, cause },
                    (failures, first, last, false) => Self::Untried {
                        failures,
                        first_failure: Some(first),
                        last_failure: Some(last),
                        cause: Some(cause),
                    },
                }
            }
            Self::Up { since } => match streak(0, started, started) {
                (.., true) => Self::Down { since: now, passes: 0, cause },
                (failures, first_failure, last_failure, false) => {
                    Self::Suspect { since, failures, first_failure, last_failure, cause }
                }
            },
            Self::Suspect { since, failures, first_failure, last_failure, .. } => {
                match streak(failures, first_failure, last_failure) {
                    (.., true) => Self::Down { since: now, passes: 0, cause },
                    (failures, first_failure, last_failure, false) => {
                        Self::Suspect { since, failures, first_failure, last_failure, cause }
                    }
                }
            }
            Self::Down { since, .. } => Self::Down { since, passes: 0, cause },
        }
    }

    fn passed(&self, limits: Thresholds, now: Now) -> Self {
        match self {
            Self::Untried { .. } => Self::Up { since: now },
            Self::Up { since } | Self::Suspect { since, .. } => Self::Up { since: *since },
            Self::Down { passes, .. } if passes.saturating_add(1) >= limits.rise => Self::Up { since: now },
            Self::Down { since, passes, cause } => {
                Self::Down { since: *since, passes: passes.saturating_add(1), cause: cause.clone() }
            }
        }
    }

    /// Forgets the failures of a watch that is not down. They were seen while our own sight was in doubt, so they
    /// start to count anew.
    #[must_use]
    pub fn reprieved(&self) -> Self {
        match self {
            Self::Untried { .. } => Self::UNTRIED,
            Self::Suspect { since, .. } => Self::Up { since: *since },
            Self::Up { .. } | Self::Down { .. } => self.clone(),
        }
    }
}

fn earlier(a: Now, b: Now) -> Now {
    if b.moment < a.moment { b } else { a }
}

fn later(a: Now, b: Now) -> Now {
    if b.moment > a.moment { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::LocalFault;
    use crate::time::{Moment, Wall};
    use proptest::prelude::*;

    const FAULT: Cause = Cause::ConnectRefused;

    fn at(millis: u64) -> Now {
        Now { moment: Moment::from_boot(Duration::from_millis(millis)), wall: Wall::from_millis(millis as i64) }
    }

    fn limits(fall: u32, rise: u32, blip_ms: u64) -> Thresholds {
        Thresholds { fall, rise, blip: Duration::from_millis(blip_ms) }
    }

    fn untried(failures: u32, first: u64, last: u64) -> Verdict {
        Verdict::Untried {
            failures,
            first_failure: Some(at(first)),
            last_failure: Some(at(last)),
            cause: Some(Cause::ConnectTimeout),
        }
    }

    fn suspect(failures: u32, first: u64, last: u64, cause: Cause) -> Verdict {
        Verdict::Suspect { since: at(1), failures, first_failure: at(first), last_failure: at(last), cause }
    }

    fn down(since: u64, passes: u32, cause: Cause) -> Verdict {
        Verdict::Down { since: at(since), passes, cause }
    }

    #[test]
    fn every_row_of_the_table() {
        let passed = Outcome::Passed;
        let failed = Outcome::Failed(FAULT);
        let local = Outcome::Inconclusive(LocalFault::NoPorts);
        let up = |since| Verdict::Up { since: at(since) };
        let first_of_three = Verdict::Untried {
            failures: 1,
            first_failure: Some(at(100)),
            last_failure: Some(at(100)),
            cause: Some(FAULT),
        };
        let second = Verdict::Untried {
            failures: 2,
            first_failure: Some(at(50)),
            last_failure: Some(at(100)),
            cause: Some(FAULT),
        };
        // The probe starts at 100 ms and ends at 200 ms; fall 3, rise 2, blip 1 s, unless told.
        let usual = limits(3, 2, 1000);
        let table = [
            ("untried, passed", Verdict::UNTRIED, &passed, usual, up(200)),
            ("untried failing, passed", untried(2, 1, 2), &passed, usual, up(200)),
            ("untried, failed", Verdict::UNTRIED, &failed, usual, first_of_three),
            ("untried failing, failed", untried(1, 50, 50), &failed, usual, second),
            ("untried, failed often enough", untried(2, 50, 60), &failed, limits(3, 2, 50), down(200, 0, FAULT)),
            ("untried, failed once with fall 1", Verdict::UNTRIED, &failed, limits(1, 1, 0), down(200, 0, FAULT)),
            ("untried, inconclusive", untried(2, 1, 2), &local, usual, untried(2, 1, 2)),
            ("up, passed", up(1), &passed, usual, up(1)),
            ("up, failed", up(1), &failed, usual, suspect(1, 100, 100, FAULT)),
            ("up, failed, fall 1 but a blip", up(1), &failed, limits(1, 1, 1), suspect(1, 100, 100, FAULT)),
            ("up, failed, fall 1 and no blip", up(1), &failed, limits(1, 1, 0), down(200, 0, FAULT)),
            ("up, inconclusive", up(1), &local, usual, up(1)),
            ("suspect, passed", suspect(2, 50, 60, FAULT), &passed, usual, up(1)),
            ("suspect, failed", suspect(1, 50, 50, Cause::NameGone), &failed, usual, suspect(2, 50, 100, FAULT)),
            ("suspect, often but too short", suspect(9, 50, 60, FAULT), &failed, usual, suspect(10, 50, 100, FAULT)),
            (
                "suspect, long but too few",
                suspect(1, 50, 50, FAULT),
                &failed,
                limits(3, 1, 0),
                suspect(2, 50, 100, FAULT),
            ),
            ("suspect, failed enough", suspect(2, 50, 60, FAULT), &failed, limits(3, 1, 50), down(200, 0, FAULT)),
            ("suspect, the earliest comes last", suspect(2, 900, 1100, FAULT), &failed, usual, down(200, 0, FAULT)),
            ("suspect, inconclusive", suspect(2, 50, 60, FAULT), &local, usual, suspect(2, 50, 60, FAULT)),
            ("down, passed", down(1, 0, FAULT), &passed, usual, down(1, 1, FAULT)),
            ("down, passed often enough", down(1, 1, FAULT), &passed, usual, up(200)),
            ("down, passed with rise 1", down(1, 0, FAULT), &passed, limits(3, 1, 0), up(200)),
            ("down, failed", down(1, 1, Cause::NameGone), &failed, usual, down(1, 0, FAULT)),
            ("down, inconclusive", down(1, 1, FAULT), &local, usual, down(1, 1, FAULT)),
        ];
        for (row, before, outcome, limits, after) in table {
            assert_eq!(before.observe(outcome, at(100), limits, at(200)), after, "{row}");
        }
    }

    #[test]
    fn a_reprieve_forgets_failures_and_raises_nobody() {
        assert_eq!(untried(2, 1, 2).reprieved(), Verdict::UNTRIED);
        assert_eq!(suspect(2, 1, 2, FAULT).reprieved(), Verdict::Up { since: at(1) });
        assert_eq!(Verdict::Up { since: at(1) }.reprieved(), Verdict::Up { since: at(1) });
        assert_eq!(down(1, 1, FAULT).reprieved(), down(1, 1, FAULT));
    }

    /// The machine told by the history alone: what does the whole list of outcomes mean?
    fn model(history: &[(u64, u8)], limits: Thresholds) -> Class {
        let mut class = Class::Untried;
        let mut streak: Vec<u64> = Vec::new();
        let mut passes = 0;
        for &(started, outcome) in history {
            match (outcome, class) {
                (0, Class::Down) => {
                    passes += 1;
                    if passes >= limits.rise {
                        class = Class::Up;
                        streak.clear();
                    }
                }
                (0, _) => {
                    class = Class::Up;
                    streak.clear();
                }
                (1, Class::Down) => passes = 0,
                (1, before) => {
                    streak.push(started);
                    let span = streak.iter().max().unwrap() - streak.iter().min().unwrap();
                    let enough = streak.len() >= limits.fall as usize && u128::from(span) >= limits.blip.as_millis();
                    class = match before {
                        _ if enough => Class::Down,
                        Class::Untried => Class::Untried,
                        _ => Class::Suspect,
                    };
                    passes = 0;
                }
                _ => {}
            }
        }
        class
    }

    proptest! {
        #[test]
        fn the_machine_agrees_with_the_whole_history(
            history in prop::collection::vec((0u64..3000, 0u8..3), 0..40),
            fall in 1u32..5, rise in 1u32..5, blip in 0u64..2000,
        ) {
            let limits = limits(fall, rise, blip);
            let mut verdict = Verdict::UNTRIED;
            for (index, &(started, outcome)) in history.iter().enumerate() {
                let outcome = match outcome {
                    0 => Outcome::Passed,
                    1 => Outcome::Failed(FAULT),
                    _ => Outcome::Inconclusive(LocalFault::Throttled),
                };
                verdict = verdict.observe(&outcome, at(started), limits, at(5000));
                prop_assert_eq!(verdict.class(), model(&history[..=index], limits));
            }
        }
    }
}
