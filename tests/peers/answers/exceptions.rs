//! Where we differ from the others on purpose, each with the clause that says why.

use failoverd::dns::{Name, Type};

use super::compare::{Gist, Row};
use super::questions::Question;

/// A case in which we differ from the peers on purpose: what it is, and why.
pub(super) struct Exception {
    /// `theirs` are Knot's, NSD's and BIND's.
    pub(super) holds: fn(question: &Question, ours: Option<&Gist>, theirs: &[Option<Gist>; 3]) -> bool,
    pub(super) reason: &'static str,
}

pub(super) const EXCEPTIONS: [Exception; 5] = [
    Exception {
        holds: |_, ours, [_, _, bind]| {
            matches!((ours, bind), (Some(ours), Some(bind))
                if bind.rcode == 0
                    && bind.answer.is_subset(&ours.answer)
                    && has(bind, Type::CNAME)
                    && bind.authority.is_subset(&ours.authority)
                    && bind.authority.iter().all(|row| !matches!(row.rtype, Type::SOA | Type::NS)))
        },
        reason: "An alias leads into another zone of ours: RFC 1034 §4.3.2 step 3a, \"go back to step 1\", and step 2, the \
                 nearest zone answers for what is in it. BIND and Knot stay in the first zone. NSD goes on as we do, but \
                 takes names of an upper zone's file for names of the lower zone, looks for RRSIG and NSEC behind an \
                 alias, and denies NSEC3 before it looks",
    },
    Exception {
        holds: |question, ours, [_, _, bind]| {
            let is_long = |ours: &Gist| {
                let chain = ours.answer.iter().filter(|row| row.rtype == Type::CNAME).count();
                chain > 5 || chain > 0 && question.qtype == Type::NSEC3
            };
            ours.is_some_and(is_long) && bind.as_ref().is_none_or(|bind| bind.rcode == 2)
        },
        reason: "A long chain of aliases, or one without an end: RFC 1034 §4.3.2 step 3a. Knot ends after 5 and BIND with \
                 SERVFAIL after 11; NSD follows any number of CNAMEs and some 40 DNAMEs, but denies NSEC3 before it looks",
    },
    Exception {
        holds: |question, ours, theirs| {
            let is_more = |theirs: &Gist, ours: &Gist| {
                (theirs.rcode, theirs.aa, &theirs.answer) == (ours.rcode, ours.aa, &ours.answer)
                    && theirs.authority.len() < ours.authority.len()
                    && theirs.authority.is_subset(&ours.authority)
                    && ours.authority.difference(&theirs.authority).all(is_of_empty_wildcard)
            };
            question.dnssec && ours.is_some_and(|ours| theirs.iter().flatten().any(|theirs| is_more(theirs, ours)))
        },
        reason: "A wildcard that is an empty non-terminal: RFC 4035 §3.1.3.4 wants an NSEC that proves that the wildcard \
                 does not have the type, and one that proves that no name is closer. The others leave one of them out; \
                 Unbound and delv take their answer for bogus, and ours for good",
    },
    Exception {
        holds: |question, ours, [_, _, bind]| {
            (128..=255).contains(&question.qtype.0)
                && ours.is_some_and(|ours| ours.rcode != 1)
                && bind.as_ref().is_some_and(|bind| bind.rcode == 1)
        },
        reason: "Types without a meaning in 128–255: no data, as of any other type nobody has (RFC 8906 §3.1.2), proven \
                 as such. BIND says FORMERR to all of them, so that it is no witness where the others leave out proofs",
    },
    Exception {
        holds: |question, ours, _| {
            matches!(question.message.get(2).map(|byte| byte >> 3), Some(4 | 5))
                && ours.is_some_and(|ours| ours.rcode == 4)
        },
        reason: "NOTIFY and UPDATE, which we do not implement: RFC 8906 §3.1.4, NOTIMP, with OPT if the query has one. The \
                 others do, and each refuses in its own way",
    },
];

fn has(gist: &Gist, rtype: Type) -> bool {
    gist.answer.iter().any(|row| row.rtype == rtype)
}

/// An NSEC whose next name is below a wildcard, which so exists without data; or its signature.
fn is_of_empty_wildcard(row: &Row) -> bool {
    match row.rtype {
        Type::NSEC => {
            let next = failoverd::dns::name::wire_length(&row.rdata).map(|length| &row.rdata[..length]);
            let next = next.ok().and_then(|wire| Name::from_wire(wire).ok());
            next.is_some_and(|next| next.labels().skip(1).any(|label| label == b"*"))
        }
        Type::RRSIG => row.rdata.starts_with(&Type::NSEC.0.to_be_bytes()),
        _ => false,
    }
}
