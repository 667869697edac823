//! Where we differ from the others on purpose, each with the clause that says why.

use failoverd::dns::Type;

use super::compare::Gist;
use super::questions::Question;

/// A case in which we differ from the peers on purpose: what it is, and why.
pub(super) struct Exception {
    pub(super) holds: fn(question: &Question, ours: Option<&Gist>, theirs: &[Option<Gist>; 3]) -> bool,
    pub(super) reason: &'static str,
}

pub(super) const EXCEPTIONS: [Exception; 1] = [Exception {
    holds: |question, ours, _| {
        question.qtype == Type::NSEC3 && ours.is_some_and(|ours| ours.answer.iter().any(|row| row.rtype == Type::CNAME))
    },
    reason: "NSEC3 asked for at an alias is looked for at its target, in whatever zone of ours that is (RFC 1034 §4.3.2 \
             step 3a: \"go back to step 1\"); Knot and BIND stay in the first zone, NSD denies NSEC3 before it looks",
}];
