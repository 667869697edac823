//! What is asked: every name of the zones and names above, below, beside and across; every type; every way to ask; and
//! messages that are odd as messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use failoverd::answer::Draw;
use failoverd::dns::{Name, Type};
use failoverd::zone::table::Table;

use super::zones::{LABELS, pick};

/// How a question is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Via {
    /// The size in its OPT, if it has one.
    pub(super) size: Option<u16>,
    /// DO is set.
    pub(super) dnssec: bool,
    pub(super) is_tcp: bool,
}

impl Via {
    pub(super) const EDNS: Self = Self { size: Some(1232), dnssec: false, is_tcp: false };

    const ALL: [Self; 9] = [
        Self { size: None, dnssec: false, is_tcp: false },
        Self::EDNS,
        Self { size: Some(1232), dnssec: true, is_tcp: false },
        Self { size: Some(512), dnssec: true, is_tcp: false },
        Self { size: Some(512), dnssec: false, is_tcp: false },
        Self { size: Some(700), dnssec: true, is_tcp: false },
        Self { size: Some(4096), dnssec: true, is_tcp: false },
        Self { size: None, dnssec: false, is_tcp: true },
        Self { size: Some(1232), dnssec: true, is_tcp: true },
    ];
}

/// One message to all.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// What it is, for people.
    pub(super) text: String,
    pub(super) message: Vec<u8>,
    pub(super) is_tcp: bool,
    /// Odd as a message: only what the header says is compared.
    pub(super) is_odd: bool,
    pub(super) qtype: Type,
    pub(super) dnssec: bool,
}

impl Question {
    /// An ordinary one.
    pub(super) fn new(name: &str, qtype: Type, via: Via) -> Self {
        Self::of(&Name::absolute(name).expect("a name"), qtype, via)
    }

    fn of(name: &Name, qtype: Type, via: Via) -> Self {
        let mut message = b"\0\0\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        message[11] = u8::from(via.size.is_some());
        message.extend_from_slice(name.as_wire());
        message.extend_from_slice(&qtype.0.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        if let Some(size) = via.size {
            message.extend_from_slice(&[0, 0, 41]);
            message.extend_from_slice(&size.to_be_bytes());
            message.extend_from_slice(&[0, 0, if via.dnssec { 0x80 } else { 0 }, 0, 0, 0]);
        }
        let size = via.size.map_or_else(String::new, |size| format!(" +bufsize={size}"));
        let (dnssec, tcp) = (if via.dnssec { " +dnssec" } else { "" }, if via.is_tcp { " +tcp" } else { "" });
        Self {
            text: format!("{name} {qtype}{size}{dnssec}{tcp}"),
            message,
            is_tcp: via.is_tcp,
            is_odd: false,
            qtype,
            dnssec: via.dnssec,
        }
    }

    /// The same over TCP.
    pub(super) fn over_tcp(&self) -> Self {
        Self { is_tcp: true, ..self.clone() }
    }

    /// The name it asks for, in lower case; of odd ones the root, if it cannot be read.
    pub(super) fn qname(&self) -> Name {
        let name = self.message.get(12..).and_then(|rest| {
            let length = failoverd::dns::name::wire_length(rest).ok()?;
            Name::from_wire(rest.get(..length)?).ok()
        });
        name.unwrap_or_else(Name::root).folded()
    }

    /// Bytes that a reply may have.
    pub(super) fn room(&self) -> usize {
        let end = 12 + self.qname().as_wire().len() + 4;
        let size = self.message.get(end..end + 5).map(|opt| usize::from(u16::from_be_bytes([opt[3], opt[4]])));
        if self.is_tcp { 65_535 } else { size.unwrap_or(512).clamp(512, 1232) }
    }

    fn odd(what: &str, message: Vec<u8>, is_tcp: bool) -> Self {
        let text = format!("{what}{}", if is_tcp { " +tcp" } else { "" });
        Self { text, message, is_tcp, is_odd: true, qtype: Type(0), dnssec: false }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Types asked for at every name, besides those it has.
const TYPES: [u16; 18] = [1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 43, 46, 47, 48, 50, 65, 255, 65280];

/// Names to ask for, and the types each of them has.
pub(super) fn names(tables: &[Table], draw: &mut Draw) -> BTreeMap<Name, BTreeSet<Type>> {
    let mut owned: BTreeMap<Name, BTreeSet<Type>> = BTreeMap::new();
    for table in tables {
        for node in table.iter() {
            owned.entry(node.owner().folded()).or_default().extend(node.types());
        }
    }
    let mut names = owned.clone();
    let mut add = |name: Option<Name>| {
        if let Some(name) = name {
            names.entry(name).or_default();
        }
    };
    for text in ["org", "test", "nobody.test", "invalid", "www.invalid", "."] {
        add(Name::absolute(text).ok());
    }
    for (name, types) in &owned {
        // An owner of NSEC3 is asked for by its name, and that is all.
        if types.iter().all(|&rtype| matches!(rtype, Type::NSEC3 | Type::RRSIG)) && !types.is_empty() {
            continue;
        }
        let child = |name: &Name, label: &[u8]| name.child(label).ok();
        for label in [&b"x"[..], b"*", b"a", b"\0", b"~~"] {
            add(child(name, label));
        }
        add(child(name, b"y").and_then(|name| child(&name, b"x")));
        add(child(name, b"*").and_then(|name| child(&name, b"x")));
        add(child(name, LABELS[pick(draw, LABELS.len())].as_bytes()));
        // Beside it: just before and just after.
        let Some(parent) = name.parent() else { continue };
        let label = name.labels().next().unwrap_or_default();
        add(child(&parent, &[label, b"0"].concat()));
        add(child(&parent, &label[..label.len() - 1]).filter(|_| label.len() > 1));
        add(child(&parent, b"zz"));
        add(Some(parent));
    }
    // Across: below every apex some fronts of names of other zones.
    let all: Vec<&Name> = owned.keys().collect();
    for table in tables {
        for _ in 0..20 {
            let front = all[pick(draw, all.len())];
            let labels: Vec<&[u8]> = front.labels().take(1 + pick(draw, 3)).collect();
            let name = labels.iter().rev().try_fold(table.apex().clone(), |name, label| name.child(label));
            add(name.ok());
        }
    }
    names
}

/// Names × types × ways to ask. Half of the names are in mixed case.
pub(super) fn ordinary(tables: &[Table], draw: &mut Draw) -> Vec<Question> {
    let mut questions = Vec::new();
    for (name, types) in names(tables, draw) {
        let all: BTreeSet<Type> = types.into_iter().chain(TYPES.map(Type)).collect();
        for qtype in all {
            for via in Via::ALL {
                let name = if pick(draw, 2) == 0 { mixed(&name, draw) } else { name.clone() };
                questions.push(Question::of(&name, qtype, via));
            }
        }
        // Any type at all.
        let number = if pick(draw, 2) == 0 { pick(draw, 264) } else { pick(draw, 65_536) };
        questions.push(Question::of(&name, Type(number as u16), Via::ALL[pick(draw, Via::ALL.len())]));
    }
    questions
}

/// So many of them, drawn.
pub(super) fn some(mut questions: Vec<Question>, count: usize, draw: &mut Draw) -> Vec<Question> {
    for at in 0..count.min(questions.len()) {
        let with = at + pick(draw, questions.len() - at);
        questions.swap(at, with);
    }
    questions.truncate(count);
    questions
}

fn mixed(name: &Name, draw: &mut Draw) -> Name {
    let mut bits = draw.number();
    let wire = name.as_wire().iter().map(|&byte| {
        bits = bits.rotate_left(1);
        if bits & 1 == 0 { byte.to_ascii_uppercase() } else { byte }
    });
    Name::from_wire(&wire.collect::<Vec<u8>>()).expect("length bytes are no letters")
}

/// Every type at these names.
pub(super) fn every_type(names: &[Name]) -> Vec<Question> {
    let types = (0..=264).chain([1000, 32_767, 32_768, 32_769, 65_279, 65_280, 65_534, 65_535]);
    let asked = types.flat_map(|rtype| names.iter().map(move |name| (name, rtype)));
    let ways = [Via::EDNS, Via { is_tcp: true, ..Via::EDNS }];
    asked.flat_map(|(name, rtype)| ways.map(|via| Question::of(name, Type(rtype), via))).collect()
}

/// Messages that are odd as messages, about `name`.
pub(super) fn odd(name: &str) -> Vec<Question> {
    let udp = odd_messages(name);
    let of = |is_tcp: bool| {
        move |(what, message): &(String, Vec<u8>)| Question::odd(&format!("{what} ({name})"), message.clone(), is_tcp)
    };
    udp.iter().map(of(false)).chain(udp.iter().map(of(true))).collect()
}

fn odd_messages(name: &str) -> Vec<(String, Vec<u8>)> {
    let base = |size| Question::new(name, Type::A, Via { size, ..Via::EDNS }).message;
    let (plain, edns) = (base(None), base(Some(1232)));
    let mut odd: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, base: &[u8], edit: &dyn Fn(&mut Vec<u8>)| {
        let mut message = base.to_vec();
        edit(&mut message);
        odd.push((what.into(), message));
    };
    let opt = &edns[edns.len() - 11..];
    let end = plain.len();
    for (kind, base) in [("plain", &plain), ("edns", &edns)] {
        for opcode in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] {
            add(&format!("{kind}, opcode {opcode}"), base, &|message| message[2] = opcode << 3);
        }
        for class in [0_u16, 2, 3, 4, 5, 254, 255, 256, 65_535] {
            add(&format!("{kind}, class {class}"), base, &|message| {
                message[end - 2..end].copy_from_slice(&class.to_be_bytes());
            });
        }
        for rtype in [0_u16, 41, 128, 200, 249, 250, 251, 252, 253, 254, 255, 65_535] {
            add(&format!("{kind}, type {rtype}"), base, &|message| {
                message[end - 4..end - 2].copy_from_slice(&rtype.to_be_bytes());
            });
        }
        for count in [0, 2, 255] {
            add(&format!("{kind}, {count} questions"), base, &|message| message[5] = count);
        }
        add(&format!("{kind}, two whole questions"), base, &|message| {
            message[5] = 2;
            let question = plain[12..].to_vec();
            drop(message.splice(end..end, question));
        });
        add(&format!("{kind}, bytes behind"), base, &|message| message.extend_from_slice(b"trailing"));
        add(&format!("{kind}, one byte behind"), base, &|message| message.push(0));
        add(&format!("{kind}, cut in the name"), base, &|message| message.truncate(14));
        add(&format!("{kind}, cut in the type"), base, &|message| message.truncate(end - 3));
        add(&format!("{kind}, cut in the class"), base, &|message| message.truncate(end - 1));
        add(&format!("{kind}, header only"), base, &|message| message.truncate(12));
        add(&format!("{kind}, 11 bytes"), base, &|message| message.truncate(11));
        add(&format!("{kind}, 2 bytes"), base, &|message| message.truncate(2));
        add(&format!("{kind}, pointer as a name"), base, &|message| message[12] = 0xc0);
        add(&format!("{kind}, pointer to itself"), base, &|message| {
            message[12..14].copy_from_slice(&[0xc0, 0x0c]);
        });
        for kind_of_label in [0x40, 0x80] {
            add(&format!("{kind}, label type {kind_of_label:#x}"), base, &|message| message[12] = kind_of_label | 3);
        }
        for (word, flags) in [
            ("RD off", 0x0000_u16),
            ("AA", 0x0500),
            ("TC", 0x0300),
            ("RA", 0x0180),
            ("Z", 0x0140),
            ("AD", 0x0120),
            ("CD", 0x0110),
            ("all", 0x07f0),
        ] {
            add(&format!("{kind}, flags {word}"), base, &|message| message[2..4].copy_from_slice(&flags.to_be_bytes()));
        }
        for rcode in 1..16 {
            add(&format!("{kind}, rcode {rcode}"), base, &|message| message[3] |= rcode);
        }
        add(&format!("{kind}, an answer claimed"), base, &|message| message[7] = 1);
        add(&format!("{kind}, an authority record claimed"), base, &|message| message[9] = 1);
        add(&format!("{kind}, an additional record claimed"), base, &|message| message[11] += 1);
        add(&format!("{kind}, a response"), base, &|message| message[2] |= 0x80);
        for (section, at) in [("answer", 7), ("authority", 9), ("additional", 11)] {
            for (what, record) in [
                ("an A record", &b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04abcd"[..]),
                (
                    "a SOA record",
                    b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01",
                ),
                ("a record that ends early", b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04ab"),
                ("a record of class NONE", b"\0\0\x10\0\xfe\0\0\0\0\0\x02\x01a"),
                ("a TYPE65280 record", b"\0\xff\0\0\x01\0\0\0\0\0\x02\x01a"),
                ("an OPT record", b"\0\0\x29\x04\xd0\0\0\0\0\0\0"),
            ] {
                add(&format!("{kind}, {what} in the {section} section"), base, &|message| {
                    message[at] += 1;
                    drop(message.splice(end..end, record.iter().copied()));
                });
            }
        }
    }
    add("two OPTs", &edns, &|message| {
        message[11] = 2;
        message.extend_from_slice(opt);
    });
    add("three OPTs", &edns, &|message| {
        message[11] = 3;
        message.extend_from_slice(&opt.repeat(2));
    });
    for version in [1, 2, 100, 255] {
        add(&format!("version {version}"), &edns, &|message| message[end + 6] = version);
        add(&format!("version {version} and DO"), &edns, &|message| {
            (message[end + 6], message[end + 7]) = (version, 0x80);
        });
    }
    add("version 1 and a flag", &edns, &|message| (message[end + 6], message[end + 8]) = (1, 1));
    add("version 1 and opcode 15", &edns, &|message| (message[end + 6], message[2]) = (1, 15 << 3));
    add("upper rcode", &edns, &|message| message[end + 5] = 1);
    add("unknown flags", &edns, &|message| message[end + 7..end + 9].copy_from_slice(&[0x7f, 0xff]));
    add("OPT owner not the root", &edns, &|message| drop(message.splice(end..=end, *b"\x01a\0")));
    add("OPT before another record", &edns, &|message| {
        message[11] = 2;
        message.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04abcd");
    });
    for (what, option) in [
        ("an option runs over", &[0, 9, 0, 9][..]),
        ("an option is cut", &[0, 9, 0]),
        ("an unknown option", &[0xff, 0xf0, 0, 0]),
        ("an unknown option with data", &[0xff, 0xf0, 0, 2, 1, 2]),
        ("option 0", &[0, 0, 0, 0]),
        ("option 65535", &[0xff, 0xff, 0, 1, 0]),
        ("one option twice", &[0xff, 0xf0, 0, 0, 0xff, 0xf0, 0, 0]),
        ("expire", &[0, 9, 0, 0]),
        ("keepalive", &[0, 11, 0, 0]),
        ("padding", &[0, 12, 0, 4, 0, 0, 0, 0]),
        ("NSID", &[0, 3, 0, 0]),
        ("NSID with data", &[0, 3, 0, 2, 1, 2]),
        ("client subnet", &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]),
        ("client subnet of 0", &[0, 8, 0, 4, 0, 1, 0, 0]),
        ("client subnet of IPv6", &[0, 8, 0, 11, 0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0]),
        ("DAU", &[0, 5, 0, 2, 8, 13]),
        ("extended error", &[0, 15, 0, 2, 0, 0]),
        ("chain", &[0, 13, 0, 1, 0]),
        ("key tag", &[0, 14, 0, 2, 1, 1]),
        ("report channel", &[0, 18, 0, 1, 0]),
        ("zone version", &[0, 19, 0, 0]),
    ] {
        add(what, &edns, &|message| {
            *message.last_mut().expect("RDLENGTH") = option.len() as u8;
            message.extend_from_slice(option);
        });
    }
    for size in [0_u16, 1, 511, 65_535] {
        add(&format!("size {size}"), &edns, &|message| message[end + 3..end + 5].copy_from_slice(&size.to_be_bytes()));
    }
    odd
}
