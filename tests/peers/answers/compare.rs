//! What two replies have in common. The rules by which replies may differ and still say the same:
//!
//! 1. Order of records and case of names do not matter here (of our own replies [`faults`] wants more).
//! 2. A truncated reply says only that it is one: RFC 2181 §9 lets the asker ignore the rest.
//! 3. In the additional section only glue counts: addresses of hosts within the delegated zone, which the asker cannot do
//!    without (RFC 9471 §2.1). All else there may be left out (RFC 1034 §4.3.2 step 6).
//! 4. The NS RRset of the zone beside a positive answer may be left out: it is of no use to who already asks there.
//! 5. Where our reply is whole and another's truncated, it is compared with what the other says over TCP: how much room
//!    the same records take depends on how names are compressed. Never the other way round.
//! 6. ANY may be answered with some of the RRsets of the name (RFC 8482 §4): with any, or none at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use failoverd::dns::message::{Header, record, skip_name};
use failoverd::dns::{Name, Type, rdata};

use super::questions::Question;
use failoverd::zone::table::Table;

/// A record as compared: names folded, not compressed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) owner: Name,
    pub(super) rtype: Type,
    ttl: u32,
    pub(super) rdata: Vec<u8>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rdata = rdata::print(self.rtype, &self.rdata);
        let short: String = rdata.chars().take(60).collect();
        write!(f, "{} {} {} {short}", self.owner, self.ttl, self.rtype)
    }
}

/// A reply, read.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    header: Header,
    rcode: u16,
    sections: [Vec<Row>; 3],
    /// The same RDATA in the case it came in.
    exact: Vec<(Type, Vec<u8>)>,
    /// DO of its OPT, if it has one.
    opt: Option<bool>,
    question_end: usize,
    length: usize,
}

impl Reply {
    /// # Errors
    /// What is malformed.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let header = Header::read(bytes).ok_or("no header")?;
        let mut at = 12;
        for _ in 0..header.counts[0] {
            at = skip_name(bytes, at).ok_or("no question")? + 4;
        }
        let mut reply = Self {
            header,
            rcode: header.rcode().0,
            sections: Default::default(),
            exact: Vec::new(),
            opt: None,
            question_end: at,
            length: bytes.len(),
        };
        for (section, &count) in header.counts[1..].iter().enumerate() {
            for _ in 0..count {
                let view = record(bytes, at).ok_or_else(|| format!("no record at {at}"))?;
                at = view.rdata.end;
                if view.rtype == Type::OPT {
                    if section != 2 || reply.opt.is_some() || bytes[view.owner] != 0 {
                        return Err("an OPT out of place".into());
                    }
                    reply.rcode |= (view.ttl >> 24 << 4) as u16;
                    reply.opt = Some(view.ttl & 0x8000 != 0);
                    continue;
                }
                let owner = expanded(bytes, view.owner).ok_or("no owner")?;
                let exact = expanded_rdata(bytes, view.rtype, view.rdata.clone()).ok_or("RDATA is malformed")?;
                let folded = folded_rdata(view.rtype, &exact);
                reply.exact.push((view.rtype, exact));
                let owner = owner.folded();
                reply.sections[section].push(Row { owner, rtype: view.rtype, ttl: view.ttl, rdata: folded });
            }
        }
        if at == bytes.len() { Ok(reply) } else { Err("bytes behind the last record".into()) }
    }
}

/// The name at `at`, with its pointers followed.
fn expanded(bytes: &[u8], mut at: usize) -> Option<Name> {
    let mut wire = Vec::new();
    for _ in 0..256 {
        let label = usize::from(*bytes.get(at)?);
        match label {
            0xc0.. => at = (label & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?),
            64..0xc0 => return None,
            _ => {
                wire.extend_from_slice(bytes.get(at..=at + label)?);
                at += label + 1;
                if label == 0 {
                    return Name::from_wire(&wire).ok();
                }
            }
        }
    }
    None
}

/// Bytes before the first name in RDATA, and how many names follow.
fn names_in(rtype: Type, rdata: &[u8]) -> (usize, usize) {
    match rtype.0 {
        2..=5 | 7..=9 | 12 | 23 | 30 | 39 | 47 => (0, 1),
        6 | 14 | 17 | 58 => (0, 2),
        15 | 18 | 21 | 36 | 64 | 65 | 107 => (2, 1),
        26 => (2, 2),
        33 => (6, 1),
        24 | 46 => (18, 1),
        35 => {
            let string = |at: usize| at + 1 + usize::from(rdata.get(at).copied().unwrap_or_default());
            (string(string(string(4))), 1)
        }
        _ => (0, 0),
    }
}

fn expanded_rdata(bytes: &[u8], rtype: Type, range: std::ops::Range<usize>) -> Option<Vec<u8>> {
    let raw = bytes.get(range.clone())?;
    let (front, names) = names_in(rtype, raw);
    let mut whole = raw.get(..front)?.to_vec();
    let mut at = range.start + front;
    for _ in 0..names {
        whole.extend_from_slice(expanded(bytes, at)?.as_wire());
        at = skip_name(bytes, at)?;
    }
    whole.extend_from_slice(bytes.get(at..range.end)?);
    Some(whole)
}

fn folded_rdata(rtype: Type, exact: &[u8]) -> Vec<u8> {
    let (front, names) = names_in(rtype, exact);
    let mut folded = exact.to_vec();
    let mut at = front;
    for _ in 0..names {
        let Some(end) = exact.get(at..).and_then(|rest| skip_name(rest, 0)) else { break };
        folded[at..at + end].make_ascii_lowercase();
        at += end;
    }
    folded
}

/// What is compared.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Gist {
    pub(super) rcode: u16,
    pub(super) aa: bool,
    pub(super) tc: bool,
    /// RD, RA, Z, AD and CD.
    pub(super) flags: u16,
    pub(super) has_opt: bool,
    pub(super) answer: BTreeSet<Row>,
    pub(super) authority: BTreeSet<Row>,
    pub(super) glue: BTreeSet<Row>,
}

impl fmt::Debug for Gist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rcode, aa, tc, flags, has_opt, .. } = self;
        let bits = [(*aa, " aa"), (*tc, " tc"), (*has_opt, " opt")];
        let bits: String = bits.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        write!(f, "rcode {rcode}{bits} {flags:03x}")?;
        for (word, rows) in [("an", &self.answer), ("au", &self.authority), ("gl", &self.glue)] {
            for row in rows.iter().take(8) {
                write!(f, "\n      {word} {row:?}")?;
            }
            if rows.len() > 8 {
                write!(f, "\n      {word} … {} in all", rows.len())?;
            }
        }
        Ok(())
    }
}

/// The gist of a reply; `None` if there is none, or none that can be read.
pub(super) fn gist(question: &Question, reply: Option<&[u8]>) -> Option<Gist> {
    let reply = Reply::read(reply?).ok()?;
    let set = |section: usize| reply.sections[section].iter().cloned().collect::<BTreeSet<_>>();
    let mut gist = Gist {
        rcode: reply.rcode,
        aa: reply.header.flags & 0x0400 != 0,
        tc: reply.header.flags & 0x0200 != 0,
        flags: reply.header.flags & 0x01f0,
        has_opt: reply.opt.is_some(),
        answer: set(0),
        authority: set(1),
        glue: set(2),
    };
    let cut = gist.authority.iter().find(|row| row.rtype == Type::NS).map(|row| row.owner.clone());
    gist.glue.retain(|row| {
        matches!(row.rtype, Type::A | Type::AAAA) && cut.as_ref().is_some_and(|cut| row.owner.is_within(cut))
    });
    let is_referral = !gist.aa || gist.answer.iter().any(|row| row.rtype == Type::CNAME);
    if !gist.answer.is_empty() && !is_referral {
        gist.authority.retain(|row| row.rtype != Type::NS && !covers(row, Type::NS));
        gist.glue.clear();
    }
    if gist.tc || question.is_odd || question.qtype == Type::ANY {
        gist.answer.clear();
        gist.authority.clear();
        gist.glue.clear();
    }
    gist.tc &= question.qtype != Type::ANY;
    gist.aa &= !question.is_odd;
    Some(gist)
}

/// Which parts differ.
pub(super) fn unlike(ours: Option<&Gist>, theirs: Option<&Gist>) -> String {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return if ours.is_some() { "a reply" } else { "no reply" }.into();
    };
    let mut parts = Vec::new();
    if ours.rcode != theirs.rcode {
        parts.push(format!("rcode {} for {}", ours.rcode, theirs.rcode));
    }
    for (word, differ) in [
        ("AA", ours.aa != theirs.aa),
        ("TC", ours.tc != theirs.tc),
        ("flags", ours.flags != theirs.flags),
        ("OPT", ours.has_opt != theirs.has_opt),
        ("answer", ours.answer != theirs.answer),
        ("authority", ours.authority != theirs.authority),
        ("glue", ours.glue != theirs.glue),
    ] {
        if differ {
            parts.push(word.into());
        }
    }
    parts.join(", ")
}

/// True for a signature over records of this type.
fn covers(row: &Row, rtype: Type) -> bool {
    row.rtype == Type::RRSIG && row.rdata.starts_with(&rtype.0.to_be_bytes())
}

/// RDATA of all records of the zones, by type.
pub(super) type Known = BTreeMap<Type, BTreeSet<Vec<u8>>>;

pub(super) fn known(tables: &[Table]) -> Known {
    let mut known = Known::new();
    for rrset in tables.iter().flat_map(Table::iter).flat_map(|node| node.rrsets().collect::<Vec<_>>()) {
        known.entry(rrset.rtype).or_default().extend(rrset.rdata);
    }
    known
}

/// What is wrong with a reply of ours whatever others say.
pub(super) fn faults(question: &Question, bytes: &[u8], known: &Known) -> Vec<String> {
    let reply = match Reply::read(bytes) {
        Ok(reply) => reply,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    let mut want = |is: bool, fault: &str| {
        if !is {
            faults.push(fault.to_owned());
        }
    };
    let asked = Header::read(&question.message).expect("a reply was sent");
    let echoed = 0x7910;
    want(reply.header.flags & echoed == asked.flags & echoed, "opcode, RD and CD are not as they came");
    want(reply.header.flags & 0x80e0 == 0x8000, "QR must be set, RA, Z and AD must not");
    let end = reply.question_end;
    let is_echo = reply.header.counts[0] == 0 || bytes.get(12..end) == question.message.get(12..end);
    want(is_echo, "the question is not as it came");
    want(reply.header.counts[0] == 1 || question.is_odd, "no question");
    if question.is_odd {
        return faults;
    }
    let size = question.message.get(end..end + 5).map(|opt| usize::from(u16::from_be_bytes([opt[3], opt[4]])));
    want(reply.length <= question.room(), "too long");
    want(reply.opt.is_some() == size.is_some(), "OPT must be there if it was there, and only then");
    want(reply.opt.is_none_or(|dnssec| dnssec == question.dnssec), "DO is not as it came");
    let mut seen = BTreeSet::new();
    for row in reply.sections.iter().flatten() {
        want(seen.insert((&row.owner, row.rtype, &row.rdata)), "a record stands there twice");
        let is_proof = matches!(row.rtype, Type::RRSIG | Type::NSEC | Type::NSEC3);
        let is_asked = question.qtype == row.rtype || question.qtype == Type::ANY;
        want(question.dnssec || !is_proof || is_asked, "a proof nobody asked for");
    }
    let has_dname = reply.sections[0].iter().any(|row| row.rtype == Type::DNAME);
    // A name may end in a pointer into the question or an alias, and has its case then.
    let is_lower = question.message[12..end] == question.message[12..end].to_ascii_lowercase();
    let is_lower = is_lower && !reply.sections[0].iter().any(|row| matches!(row.rtype, Type::CNAME | Type::DNAME));
    for (rtype, rdata) in &reply.exact {
        let folded = folded_rdata(*rtype, rdata);
        let is_known = known.get(rtype).is_some_and(|all| match is_lower {
            true => all.contains(rdata),
            false => all.contains(rdata) || all.iter().any(|one| folded_rdata(*rtype, one) == folded),
        });
        want(is_known || (has_dname && *rtype == Type::CNAME), "a record that no zone has");
    }
    let qname = expanded(bytes, 12).expect("a question").folded();
    if reply.header.flags & 0x0200 == 0 {
        want(is_in_order(qname, &reply.sections[0], question.qtype), "an alias stands behind its target");
    }
    faults
}

/// Every alias stands before its target, so that a stub reads the answer from top to bottom.
fn is_in_order(mut sought: Name, answer: &[Row], qtype: Type) -> bool {
    let mut is_found = false;
    for row in answer {
        let is_alias = row.rtype == Type::CNAME && qtype != Type::CNAME && qtype != Type::ANY;
        let is_redirection = row.rtype == Type::DNAME && row.owner != sought && sought.is_within(&row.owner);
        if row.rtype == Type::RRSIG && (qtype != Type::RRSIG || row.owner != sought) {
            continue;
        }
        if row.owner == sought && is_alias {
            if is_found {
                return false;
            }
            let Ok(target) = Name::from_wire(&row.rdata) else { return false };
            sought = target;
        } else if row.owner == sought {
            is_found = true;
        } else if !is_redirection {
            return false;
        }
    }
    true
}
