//! What is known of one watch, from probe to probe: findings that do not flap.
//!
//! Of a watch that passes, two probes in a row have to say the same before it is believed: one odd page among two
//! servers must neither alarm nor reassure. They say the same if they find the same things equally bad, in whatever words.
//! At once is believed a first pass without findings, and whatever the first pass shows of a watch that was down: it has
//! nothing to lose by one odd page, and its name would move back to it. Of a watch that is down, the last failure counts.

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
            // It was down, and has not passed since.
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
                let is_believed = self.source == Source::Passes;
                let is_first = self.source == Source::Failures || !is_believed && findings.is_empty();
                // Of what is believed already only other words are news, and these are taken when they are steady.
                let is_same = is_believed && agree(&findings, &self.findings);
                let confirms = |heard: &Vec<Finding>| *heard == findings || !is_same && agree(heard, &findings);
                if is_believed && *findings == *self.findings {
                    self.heard = None;
                    false
                } else if is_first || self.heard.as_ref().is_some_and(confirms) {
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

/// Do they find the same things, equally bad?
fn agree(some: &[Finding], others: &[Finding]) -> bool {
    let kinds = |findings: &[Finding]| findings.iter().map(|finding| (finding.kind, finding.level)).collect::<Vec<_>>();
    some.len() == others.len() && kinds(some) == kinds(others)
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
    fn what_was_down_is_believed_at_its_first_pass_and_has_to_be_clean_twice() {
        let refused = Outcome::Failed(Cause::ConnectRefused);
        let mut standing = Standing::default();
        standing.hear(&Outcome::Passed, Class::Up, vec![]);
        standing.hear(&refused, Class::Down, vec![Finding::new(Kind::Down, Ready::WouldFail, "refused", "")]);
        assert!(standing.hear(&Outcome::Passed, Class::Up, odd()));
        assert_eq!(standing.ready(Class::Up), Ready::WouldFail);
        assert!(!standing.hear(&Outcome::Passed, Class::Up, vec![]));
        assert_eq!(standing.ready(Class::Up), Ready::WouldFail);
        assert!(standing.hear(&Outcome::Passed, Class::Up, vec![]));
        assert_eq!(standing.ready(Class::Up), Ready::Ready);
    }

    #[test]
    fn the_same_trouble_in_other_words_is_the_same_trouble() {
        let to = |host: &str| vec![Finding::new(Kind::Redirect, Ready::WouldFail, host, "")];
        let mut standing = Standing::default();
        standing.hear(&Outcome::Passed, Class::Up, vec![]);
        assert!(!standing.hear(&Outcome::Passed, Class::Up, to("one")));
        assert!(standing.hear(&Outcome::Passed, Class::Up, to("two")));
        assert_eq!((standing.ready(Class::Up), &**standing.findings()), (Ready::WouldFail, &to("two")[..]));
        for host in ["one", "two", "one", "two", "one"] {
            assert!(!standing.hear(&Outcome::Passed, Class::Up, to(host)), "no news with every probe");
        }
        assert!(standing.hear(&Outcome::Passed, Class::Up, to("one")), "but other words that last");
        let warned = vec![Finding::new(Kind::Redirect, Ready::Warn, "one", "")];
        assert!(!standing.hear(&Outcome::Passed, Class::Up, warned.clone()), "another level is another trouble");
        assert!(standing.hear(&Outcome::Passed, Class::Up, warned));
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
