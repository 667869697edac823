//! What is known of one watch, from probe to probe: findings that do not flap.
//!
//! Of a watch that passes, two probes in a row have to say the same before it is believed: one odd page among two
//! servers must neither alarm nor reassure. Only a first pass without findings is believed at once. Of a watch that is
//! down, the last failure counts.

use std::sync::Arc;

use crate::probe::Outcome;
use crate::ready::{Finding, Ready};
use crate::verdict::Class;

/// The findings of one watch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    findings: Arc<[Finding]>,
    /// What the probe before said, if that was something else.
    heard: Option<Vec<Finding>>,
    source: Source,
}

/// What the findings were made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Source {
    #[default]
    Nothing,
    Failures,
    Passes,
}

impl Standing {
    /// What is wrong.
    pub fn findings(&self) -> &Arc<[Finding]> {
        &self.findings
    }

    /// How ready the watch is while it is of this class.
    pub fn ready(&self, class: Class) -> Ready {
        match (class, self.source) {
            (Class::Down, _) => Ready::WouldFail,
            (_, Source::Nothing) => Ready::Unknown,
            // It was down, and has not passed for long enough yet to say more.
            (_, Source::Failures) => Ready::Unknown,
            (_, Source::Passes) => self.findings.iter().map(|finding| finding.level).max().unwrap_or(Ready::Ready),
        }
    }

    /// Takes in what a probe said; `class` is the verdict's after it. True if what is wrong changed.
    pub fn hear(&mut self, outcome: &Outcome, class: Class, findings: Vec<Finding>) -> bool {
        match outcome {
            Outcome::Failed(_) if class == Class::Down => {
                self.heard = None;
                self.assume(Source::Failures, findings)
            }
            Outcome::Passed if class.is_usable() => {
                let is_news = self.source != Source::Passes || *findings != *self.findings;
                let is_first = self.source != Source::Passes && findings.is_empty();
                if !is_news {
                    self.heard = None;
                    false
                } else if is_first || self.heard.as_ref() == Some(&findings) {
                    self.heard = None;
                    self.assume(Source::Passes, findings)
                } else {
                    self.heard = Some(findings);
                    false
                }
            }
            _ => false,
        }
    }

    fn assume(&mut self, source: Source, findings: Vec<Finding>) -> bool {
        if self.source == source && *self.findings == *findings {
            return false;
        }
        self.source = source;
        self.findings = findings.into();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Cause;
    use crate::ready::Kind;

    fn odd() -> Vec<Finding> {
        vec![Finding::new(Kind::Redirect, Ready::WouldFail, "away", "")]
    }

    #[test]
    fn one_odd_page_is_not_believed_and_two_are() {
        let mut standing = Standing::default();
        assert_eq!(standing.ready(Class::Untried), Ready::Unknown);
        assert!(standing.hear(&Outcome::Passed, Class::Up, vec![]));
        assert_eq!(standing.ready(Class::Up), Ready::Ready);
        for findings in [odd(), vec![], odd(), vec![]] {
            assert!(!standing.hear(&Outcome::Passed, Class::Up, findings));
            assert_eq!(standing.ready(Class::Suspect), Ready::Ready);
        }
        assert!(!standing.hear(&Outcome::Passed, Class::Up, odd()));
        assert!(standing.hear(&Outcome::Passed, Class::Up, odd()));
        assert_eq!(standing.ready(Class::Up), Ready::WouldFail);
        assert!(!standing.hear(&Outcome::Passed, Class::Up, vec![]));
        assert!(standing.hear(&Outcome::Passed, Class::Up, vec![]));
        assert_eq!(standing.ready(Class::Up), Ready::Ready);
    }

    #[test]
    fn a_first_oddity_waits_for_the_second_and_nothing_is_known_until_then() {
        let mut standing = Standing::default();
        assert!(!standing.hear(&Outcome::Passed, Class::Up, odd()));
        assert_eq!(standing.ready(Class::Up), Ready::Unknown);
        assert!(standing.hear(&Outcome::Passed, Class::Up, odd()));
        assert_eq!(standing.ready(Class::Up), Ready::WouldFail);
    }

    #[test]
    fn the_failure_counts_while_it_is_down_and_the_pass_when_it_is_up() {
        let refused = Outcome::Failed(Cause::ConnectRefused);
        let down = vec![Finding::new(Kind::Down, Ready::WouldFail, "connection refused", "")];
        let mut standing = Standing::default();
        standing.hear(&Outcome::Passed, Class::Up, vec![]);
        assert!(!standing.hear(&refused, Class::Suspect, down.clone()), "suspicion is not told");
        assert!(standing.hear(&refused, Class::Down, down.clone()));
        assert!(!standing.hear(&refused, Class::Down, down.clone()), "no news");
        assert!(!standing.hear(&Outcome::Passed, Class::Down, vec![]), "not risen yet");
        assert_eq!((standing.ready(Class::Down), &**standing.findings()), (Ready::WouldFail, &down[..]));
        assert!(standing.hear(&Outcome::Passed, Class::Up, vec![]));
        assert_eq!(standing.ready(Class::Up), Ready::Ready);
    }
}
