//! Ready: would an origin serve its visitors if it had to?
//!
//! A check tells whether an origin answers; visitors need more. Everything a probe with the name's own SNI and Host saw,
//! what stands in our zones, and what is known of the platform becomes findings: in words, with what to do. Nothing here
//! asks anything, and nothing here moves anything by itself: the ladder is told which origins would fail.

pub mod caa; //       who may issue certificates for a name of ours
pub mod foresight; // what can be told before anybody is asked
pub mod rehearsal; // what one probe means for visitors
pub mod standing; //  what is known of one watch, from probe to probe

#[cfg(test)]
pub(crate) mod fixture;

use serde::{Deserialize, Serialize};

use crate::verdict::Class;

/// How ready an origin is, from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    Ready,
    /// Nobody has asked yet, or nobody asks at all.
    #[default]
    Unknown,
    /// It would serve today; something has to be done.
    Warn,
    /// Visitors would not be served.
    WouldFail,
}

impl Ready {
    /// As people are told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::WouldFail => "would fail",
        }
    }
}

/// One thing that is or will be wrong with an origin, for one host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    /// [`Ready::Warn`] or [`Ready::WouldFail`].
    pub level: Ready,
    /// What was seen, in words.
    pub seen: String,
    /// What to do about it; empty where that goes without saying.
    pub advice: String,
}

impl Finding {
    pub(crate) fn new(kind: Kind, level: Ready, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind, level, seen: seen.into(), advice: advice.into() }
    }

    /// What is told of an origin that is not ready where its watches say nothing yet.
    pub fn of_nothing(level: Ready) -> Self {
        Self::new(Kind::Down, level, "it does not answer", "")
    }

    /// Both on one line.
    pub fn told(&self) -> String {
        if self.advice.is_empty() { self.seen.clone() } else { format!("{}; {}", self.seen, self.advice) }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The certificate does not cover the name.
    CertificateName,
    /// The certificate has ended, or will and was not renewed.
    CertificateEnds,
    /// The certificate does not lead to a root, or is broken.
    CertificateTrust,
    /// The platform knows nobody who has claimed the name.
    Unclaimed,
    /// Visitors are sent elsewhere.
    Redirect,
    /// Records of ours forbid the authority to issue.
    Caa,
    /// The host name does not exist any more.
    Dangling,
    /// An address family that the primary serves is missing.
    Family,
    /// The addresses are not those of the platform.
    Addresses,
    /// Another answer than the one expected.
    Answer,
    /// Its certificate is never seen: the check asks without TLS.
    Unseen,
    /// A record of ours pins what only one origin has.
    Pinned,
    /// Resolvers keep the old answer for long.
    Ttl,
    /// It does not answer.
    Down,
}

/// How ready an origin is by the targets that would be served of it: those that are not down, unless all are.
pub fn of_targets(targets: impl Iterator<Item = (Class, Ready)> + Clone) -> Ready {
    let served = targets.clone().filter(|&(class, _)| class != Class::Down).map(|(_, ready)| ready).max();
    match served {
        Some(ready) => ready,
        None if targets.clone().next().is_some() => Ready::WouldFail,
        None => Ready::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_as_ready_as_the_worst_target_that_would_be_served() {
        use Class::{Down, Untried, Up};
        for (targets, ready) in [
            (&[][..], Ready::Unknown),
            (&[(Up, Ready::Ready)], Ready::Ready),
            (&[(Up, Ready::Ready), (Up, Ready::Warn)], Ready::Warn),
            (&[(Up, Ready::Ready), (Untried, Ready::Unknown)], Ready::Unknown),
            (&[(Up, Ready::Ready), (Down, Ready::WouldFail)], Ready::Ready),
            (&[(Down, Ready::Ready)], Ready::WouldFail),
        ] {
            assert_eq!(of_targets(targets.iter().copied()), ready, "{targets:?}");
        }
    }
}
