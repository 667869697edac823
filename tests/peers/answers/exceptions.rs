//! Where we differ from the others on purpose, each with the clause that says why.

use super::compare::Gist;
use super::questions::Question;

/// A case in which we differ from the peers on purpose: what it is, and why.
pub(super) struct Exception {
    pub(super) holds: fn(question: &Question, ours: Option<&Gist>, theirs: &[Option<Gist>; 3]) -> bool,
    pub(super) reason: &'static str,
}

pub(super) const EXCEPTIONS: [Exception; 0] = [];
