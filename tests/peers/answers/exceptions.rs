//! Where we differ from the others on purpose, each with the clause that says why.

use std::collections::BTreeSet;

use failoverd::dns::{Name, Type};

use super::compare::{Gist, Row};
use super::questions::Question;

/// A case in which we differ from the peers on purpose: what it is, and why.
pub(super) struct Exception {
    pub(super) holds: fn(&Case) -> bool,
    /// Which questions must show it: a row that nothing needs is to go.
    pub(super) shown_by: ShownBy,
    pub(super) reason: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ShownBy {
    /// Those about the zones that are written down.
    Written,
    /// Those about drawn zones, of enough seeds.
    Drawn,
    /// Every type, odd messages.
    Odd,
}

/// A question, and replies that differ where there is room for all of them.
pub(super) struct Case<'a> {
    pub(super) question: &'a Question,
    pub(super) ours: &'a Gist,
    /// Knot's, NSD's and BIND's.
    pub(super) theirs: &'a [Option<Gist>; 3],
    /// Of the zones that all serve.
    pub(super) apexes: &'a [Name],
}

impl Case<'_> {
    /// No row excuses a header that is ours alone: some peer has it too, and `agrees` with the rest.
    fn has_peer(&self, agrees: impl Fn(&Gist) -> bool) -> bool {
        let header = |gist: &Gist| (gist.rcode, gist.aa, gist.flags, gist.has_opt);
        self.theirs.iter().flatten().any(|theirs| header(theirs) == header(self.ours) && agrees(theirs))
    }

    /// The apex of the zone that answers for a name.
    fn apex(&self, name: &Name) -> Option<&Name> {
        self.apexes.iter().filter(|apex| name.is_within(apex)).max_by_key(|apex| apex.label_count())
    }

    /// The chain of aliases that starts at QNAME leads out of a zone of ours into another one.
    fn leads_out(&self, answer: &BTreeSet<Row>) -> bool {
        let mut sought = self.question.qname();
        let mut zone = None;
        for _ in 0..=answer.len() {
            let is_alias = |row: &&Row| row.rtype == Type::CNAME && row.owner == sought;
            let Some(alias) = answer.iter().find(is_alias) else { break };
            let Ok(target) = Name::from_wire(&alias.rdata) else { return false };
            zone = self.apex(&sought);
            sought = target;
        }
        let last = self.apex(&sought);
        zone.is_some() && last.is_some() && last != zone
    }
}

pub(super) const EXCEPTIONS: [Exception; 5] = [
    Exception {
        holds: |case| {
            let (ours, [_, _, bind]) = (case.ours, case.theirs);
            bind.as_ref().is_some_and(|bind| {
                bind.rcode == 0
                    && bind.answer.is_subset(&ours.answer)
                    && case.leads_out(&bind.answer)
                    && bind.authority.is_subset(&ours.authority)
                    && bind.authority.iter().all(|row| !matches!(row.rtype, Type::SOA | Type::NS))
                    && (ours.answer.len() > bind.answer.len() || ours.authority != bind.authority)
                    && (case.has_peer(|_| true) || is_denied_by_us(case, bind))
            })
        },
        shown_by: ShownBy::Written,
        reason: "An alias leads into another zone of ours: RFC 1034 §4.3.2 step 3a, \"go back to step 1\", and step 2, the \
                 nearest zone answers for what is in it. BIND and Knot stay in the first zone. NSD goes on as we do, but \
                 takes names of an upper zone's file for names of the lower zone, looks for RRSIG and NSEC behind an \
                 alias, and denies NSEC3 before it looks",
    },
    Exception {
        holds: |case| {
            let (ours, [_, _, bind]) = (case.ours, case.theirs);
            let chain = ours.answer.iter().filter(|row| row.rtype == Type::CNAME).count();
            (chain > 5 || chain > 0 && case.question.qtype == Type::NSEC3)
                && bind.as_ref().is_none_or(|bind| bind.rcode == 2)
                && case.has_peer(|theirs| theirs.answer.is_subset(&ours.answer))
        },
        shown_by: ShownBy::Written,
        reason: "A long chain of aliases, or one without an end: RFC 1034 §4.3.2 step 3a. Knot ends after 5 and BIND with \
                 SERVFAIL after 11; NSD follows any number of CNAMEs and some 40 DNAMEs, but denies NSEC3 before it looks",
    },
    Exception {
        holds: |case| {
            let ours = case.ours;
            let is_less = |theirs: &Gist| {
                theirs.answer == ours.answer
                    && theirs.glue == ours.glue
                    && theirs.authority.len() < ours.authority.len()
                    && theirs.authority.is_subset(&ours.authority)
                    && ours.authority.difference(&theirs.authority).all(is_of_empty_wildcard)
            };
            case.question.dnssec && case.has_peer(is_less)
        },
        shown_by: ShownBy::Drawn,
        reason: "A wildcard that is an empty non-terminal: RFC 4035 §3.1.3.4 wants an NSEC that proves that the wildcard \
                 does not have the type, and one that proves that no name is closer. The others leave one of them out; \
                 Unbound and delv take their answer for bogus, and ours for good",
    },
    Exception {
        holds: |case| {
            let [knot, nsd, bind] = case.theirs;
            (128..=255).contains(&case.question.qtype.0)
                && bind.as_ref().is_some_and(|bind| bind.rcode == 1)
                && case.ours.rcode != 1
                && knot != nsd
                && case.has_peer(|theirs| theirs.answer == case.ours.answer)
        },
        shown_by: ShownBy::Drawn,
        reason: "Types without a meaning in 128–255: no data, as of any other type nobody has (RFC 8906 §3.1.2), proven \
                 as such. BIND says FORMERR to all of them, so that it is no witness where the others leave out proofs",
    },
    Exception {
        holds: |case| {
            let message = &case.question.message;
            let has_opt = message.get(11).is_some_and(|&count| count > 0);
            matches!(message.get(2).map(|byte| byte >> 3), Some(4 | 5))
                && (case.ours.rcode, case.ours.flags, case.ours.has_opt) == (4, 0, has_opt)
        },
        shown_by: ShownBy::Odd,
        reason: "NOTIFY and UPDATE, which we do not implement: RFC 8906 §3.1.4, NOTIMP, with OPT if the query has one. The \
                 others do, and each refuses in its own way",
    },
];

/// Behind the alias a name error is ours alone: nobody else looks for NSEC3 there, and NSD finds names that are hidden in
/// an upper zone's file, but answers from the same zone.
fn is_denied_by_us(case: &Case, bind: &Gist) -> bool {
    let (ours, [_, nsd, _]) = (case.ours, case.theirs);
    let has_soa = |row: &Row| row.rtype == Type::SOA && ours.authority.contains(row);
    let is_misled = |nsd: &Gist| nsd.answer == ours.answer && nsd.authority.iter().any(has_soa);
    (ours.rcode, ours.aa, ours.flags, ours.has_opt) == (3, bind.aa, bind.flags, bind.has_opt)
        && (case.question.qtype == Type::NSEC3 || nsd.as_ref().is_some_and(is_misled))
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
