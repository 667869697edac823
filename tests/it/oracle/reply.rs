//! A slow, strict reader of replies: shares nothing with the engine's own.

use std::collections::{BTreeMap, BTreeSet};

use failoverd::dns::{Name, Type};

use super::model::{self, Set};

/// A record of a reply: RDATA uncompressed, the names of the types of RFC 1035 in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Record {
    pub owner: Name,
    pub rtype: Type,
    pub ttl: u32,
    pub rdata: Vec<u8>,
    /// Bytes it takes in the message.
    pub size: usize,
}

/// The OPT of a reply (RFC 6891 §6.1.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opt {
    pub size: u16,
    pub version: u8,
    pub flags: u16,
    /// Codes and data.
    pub options: Vec<(u16, Vec<u8>)>,
    /// Bytes it takes in the message.
    pub length: usize,
}

/// A reply that parses to its last byte.
#[derive(Clone, Debug)]
pub struct Reply {
    pub id: u16,
    pub flags: u16,
    pub rcode: u16,
    /// The question's bytes; empty if there is none.
    pub question: Vec<u8>,
    /// Answer, authority, additional without OPT.
    pub sections: [Vec<Record>; 3],
    pub opt: Option<Opt>,
    /// A TSIG ends the message (RFC 8945 §5.1).
    pub is_signed: bool,
    pub size: usize,
}

/// # Panics
/// If anything is not as RFC 1035 §4.1 has it: that is what the reader is for.
pub fn read(bytes: &[u8]) -> Reply {
    let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    assert!(bytes.len() >= 12, "a reply has a header");
    let mut at = 12;
    assert!(word(4) <= 1, "one question or none");
    if word(4) == 1 {
        at = name(bytes, at).1 + 4;
    }
    let question = bytes[12..at].to_vec();
    let (mut sections, mut opt, mut is_signed) = ([const { Vec::new() }; 3], None, false);
    for (section, count) in sections.iter_mut().zip([word(6), word(8), word(10)]) {
        for _ in 0..count {
            let start = at;
            let (owner, head) = name(bytes, at);
            let (rtype, class) = (Type(word(head)), word(head + 2));
            let ttl = u32::from(word(head + 4)) << 16 | u32::from(word(head + 6));
            let rdata = head + 10..head + 10 + usize::from(word(head + 8));
            at = rdata.end;
            assert!(at <= bytes.len() && !is_signed, "RDATA within the message, and nothing behind a TSIG");
            if rtype == Type::OPT {
                assert!(opt.is_none() && head == start + 1, "one OPT, owned by the root");
                let options = options(&bytes[rdata]).expect("options fill the RDATA of OPT");
                let [_, version, high, low] = ttl.to_be_bytes();
                let flags = u16::from_be_bytes([high, low]);
                opt = Some((Opt { size: class, version, flags, options, length: at - start }, (ttl >> 24) as u16));
            } else if rtype == Type(250) {
                assert_eq!((class, ttl), (255, 0), "RFC 8945 §4.2");
                is_signed = true;
            } else {
                assert_eq!(class, 1, "records of class IN");
                section.push(Record { owner, rtype, ttl, rdata: plain(bytes, rtype, rdata), size: at - start });
            }
        }
    }
    assert_eq!(at, bytes.len(), "nothing behind the last record");
    let upper = opt.as_ref().map_or(0, |&(_, upper)| upper);
    Reply {
        id: word(0),
        flags: word(2) & !0xf,
        rcode: word(2) & 0xf | upper << 4,
        question,
        sections,
        opt: opt.map(|(opt, _)| opt),
        is_signed,
        size: bytes.len(),
    }
}

/// The options of an OPT; none if they do not fill it.
pub fn options(mut rest: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut options = Vec::new();
    while !rest.is_empty() {
        let (&[c0, c1, l0, l1], after) = rest.split_first_chunk()?;
        let (data, after) = after.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        options.push((u16::from_be_bytes([c0, c1]), data.to_vec()));
        rest = after;
    }
    Some(options)
}

/// The name at `at` and the place behind it. Pointers lead backwards, to where a name is, past the header.
fn name(bytes: &[u8], at: usize) -> (Name, usize) {
    let (mut wire, mut here, mut behind, mut before) = (Vec::new(), at, None, at);
    loop {
        match bytes[here] {
            0 => {
                wire.push(0);
                return (Name::from_wire(&wire).expect("a name"), behind.unwrap_or(here + 1));
            }
            length @ 1..=63 => {
                wire.extend_from_slice(&bytes[here..=here + usize::from(length)]);
                here += usize::from(length) + 1;
            }
            high @ 0xc0.. => {
                behind.get_or_insert(here + 2);
                here = usize::from(high & 0x3f) << 8 | usize::from(bytes[here + 1]);
                assert!((12..before).contains(&here), "a pointer leads backwards");
                before = here;
            }
            _ => panic!("a label of {}", bytes[here]),
        }
    }
}

fn plain(bytes: &[u8], rtype: Type, rdata: std::ops::Range<usize>) -> Vec<u8> {
    let fields = model::layout(rtype);
    if fields.is_empty() {
        return bytes[rdata].to_vec();
    }
    let (mut out, mut at) = (Vec::new(), rdata.start);
    for field in fields {
        if let Some(length) = *field {
            out.extend_from_slice(&bytes[at..at + length]);
            at += length;
        } else {
            let (target, behind) = name(bytes, at);
            out.extend(target.as_wire().to_ascii_lowercase());
            at = behind;
        }
    }
    assert_eq!(at, rdata.end, "RDATA of {rtype} ends with its last field");
    out
}

/// Records as RRsets, in the order of their first ones; signatures of different types are different RRsets.
///
/// # Panics
/// If a record stands there twice, or an RRset has two TTLs (RFC 2181 §5).
pub fn sets(records: &[Record]) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    let mut places: BTreeMap<(Name, Type, &[u8]), usize> = BTreeMap::new();
    for record in records {
        let covered = if record.rtype == Type::RRSIG { &record.rdata[..2] } else { &[] };
        let key = (record.owner.clone(), record.rtype, covered);
        let at = *places.entry(key).or_insert_with(|| {
            let (owner, rtype, ttl) = (record.owner.clone(), record.rtype, record.ttl);
            sets.push(Set { owner, rtype, ttl, rdata: BTreeSet::new() });
            sets.len() - 1
        });
        assert_eq!(sets[at].ttl, record.ttl, "one TTL for {} {}", record.owner, record.rtype);
        assert!(sets[at].rdata.insert(record.rdata.clone()), "{} {} twice", record.owner, record.rtype);
    }
    sets
}
