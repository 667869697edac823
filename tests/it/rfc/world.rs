//! Zones from text, queries, and replies as text that a person can compare.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use failoverd::answer::{Client, Desk, Disposition, Reply, Transport, answer, reach, read};
use failoverd::dns::Serial;
use failoverd::dns::message::{Header, Rcode, flag, record, skip_name};
use failoverd::dns::{Name, Type};
use failoverd::snapshot::{Generation, Snapshot, ZoneVersion};
use failoverd::zone::table::{Builder, Change, Table};

/// Types by name; all others are `TYPE123`.
const TYPES: [(&str, Type); 22] = [
    ("A", Type::A),
    ("NS", Type::NS),
    ("CNAME", Type::CNAME),
    ("SOA", Type::SOA),
    ("PTR", Type::PTR),
    ("MX", Type::MX),
    ("TXT", Type::TXT),
    ("AAAA", Type::AAAA),
    ("SRV", Type::SRV),
    ("DNAME", Type::DNAME),
    ("DS", Type::DS),
    ("RRSIG", Type::RRSIG),
    ("NSEC", Type::NSEC),
    ("DNSKEY", Type::DNSKEY),
    ("NSEC3", Type::NSEC3),
    ("NSEC3PARAM", Type::NSEC3PARAM),
    ("OPT", Type::OPT),
    ("HTTPS", Type::HTTPS),
    ("SVCB", Type::SVCB),
    ("ANY", Type::ANY),
    ("AXFR", Type::AXFR),
    ("IXFR", Type::IXFR),
];

pub(super) fn name(text: &str) -> Name {
    Name::absolute(text).unwrap()
}

pub(super) fn rtype(text: &str) -> Type {
    let known = TYPES.iter().find(|&&(word, _)| word == text).map(|&(_, rtype)| rtype);
    known.or_else(|| text.strip_prefix("TYPE")?.parse().ok().map(Type)).unwrap_or_else(|| panic!("no type {text}"))
}

pub(super) fn type_word(rtype: Type) -> String {
    TYPES
        .iter()
        .find(|&&(_, known)| known == rtype)
        .map_or_else(|| format!("TYPE{}", rtype.0), |&(word, _)| word.into())
}

/// RDATA of the words of one record; relative names take the apex.
fn rdata(rtype: Type, words: &[&str], apex: &Name) -> Vec<u8> {
    let target = |text: &str| Name::parse(text.as_bytes(), Some(apex)).unwrap().as_wire().to_vec();
    let numbers =
        |words: &[&str]| words.iter().flat_map(|word| word.parse::<u16>().unwrap().to_be_bytes()).collect::<Vec<u8>>();
    match rtype {
        Type::A => words[0].parse::<Ipv4Addr>().unwrap().octets().to_vec(),
        Type::AAAA => words[0].parse::<Ipv6Addr>().unwrap().octets().to_vec(),
        Type::NS | Type::CNAME | Type::PTR | Type::DNAME => target(words[0]),
        Type::MX | Type::SVCB | Type::HTTPS => [numbers(&words[..1]), target(words[1])].concat(),
        Type::SRV => [numbers(&words[..3]), target(words[3])].concat(),
        Type::SOA => {
            let tail: Vec<u8> = words[2..].iter().flat_map(|word| word.parse::<u32>().unwrap().to_be_bytes()).collect();
            [target(words[0]), target(words[1]), tail].concat()
        }
        Type::TXT => words.iter().flat_map(|word| [&[word.len() as u8][..], word.as_bytes()].concat()).collect(),
        _ => words.concat().into_bytes(),
    }
}

/// A zone of lines `owner [ttl] type rdata`; the TTL is 300 where it is left out.
pub(super) fn table(apex: &str, text: &str) -> Table {
    let apex = name(apex);
    let mut builder = Builder::new(apex.clone());
    for line in text.lines().map(|line| line.split(';').next().unwrap_or("").trim()).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let owner = Name::parse(words[0].as_bytes(), Some(&apex)).unwrap();
        let (ttl, rest) = match words[1].parse() {
            Ok(ttl) => (ttl, &words[2..]),
            Err(_) => (300, &words[1..]),
        };
        let rtype = rtype(rest[0]);
        builder.push(&owner, rtype, ttl, &rdata(rtype, &rest[1..], &apex)).unwrap();
    }
    let (table, oddities) = builder.finish();
    assert_eq!(oddities, []);
    table
}

/// A nameserver without sockets.
pub(super) struct World {
    pub snapshot: Snapshot,
    pub desk: Desk,
    pub reply: Reply,
}

impl World {
    pub(super) fn new(zones: &[(&str, &str)]) -> Self {
        Self::of(zones.iter().map(|(apex, text)| table(apex, text)))
    }

    pub(super) fn of(tables: impl IntoIterator<Item = Table>) -> Self {
        let zones = tables
            .into_iter()
            .map(|table| Arc::new(ZoneVersion { apex: table.apex().clone(), serial: Serial(1), table }));
        let snapshot =
            Snapshot { generation: Generation(1), zones: zones.into_iter().collect(), ..Snapshot::default() };
        Self { snapshot, desk: Desk::new(1), reply: Reply::new() }
    }

    /// The same with changes made to the zone of `apex`.
    pub(super) fn change(&mut self, apex: &str, changes: &[Change]) {
        let old = self.snapshot.zones.at(name(apex).as_wire()).unwrap();
        let zone = ZoneVersion { table: old.table.with(changes), ..ZoneVersion::clone(old) };
        self.snapshot.zones = self.snapshot.zones.with(Arc::new(zone));
    }

    /// The reply's bytes; `None` if there is none.
    pub(super) fn exchange(&mut self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let client = Client { address: ([127, 0, 0, 1], 5300).into(), transport };
        let ask = read(query);
        reach(&self.snapshot, std::slice::from_ref(&ask));
        match answer(query, &ask, &client, &self.snapshot, &mut self.desk, &mut self.reply) {
            Disposition::Send => Some(self.reply.bytes().to_vec()),
            Disposition::Drop => None,
        }
    }

    /// Asks `name type [+tcp] [+edns=SIZE] [+do]`; there must be a reply.
    pub(super) fn dig(&mut self, question: &str) -> Answer {
        let (query, transport) = query(question);
        let reply = self.exchange(&query, transport).expect("a reply");
        Answer::parse(&reply)
    }
}

/// The query of `name type [+tcp] [+edns=SIZE] [+do]`.
pub(super) fn query(question: &str) -> (Vec<u8>, Transport) {
    let words: Vec<&str> = question.split_whitespace().collect();
    let options = &words[2..];
    let size = options.iter().find_map(|option| option.strip_prefix("+edns=")).map(|size| size.parse::<u16>().unwrap());
    let size = size.or(options.contains(&"+do").then_some(1232));
    let mut query = b"\x2b\x67\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    query[11] = u8::from(size.is_some());
    query.extend_from_slice(name(words[0]).as_wire());
    query.extend_from_slice(&rtype(words[1]).0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    if let Some(size) = size {
        query.extend_from_slice(&[0, 0, 41]);
        query.extend_from_slice(&size.to_be_bytes());
        query.extend_from_slice(&[0, 0, if options.contains(&"+do") { 0x80 } else { 0 }, 0, 0, 0]);
    }
    (query, if options.contains(&"+tcp") { Transport::Tcp } else { Transport::Udp })
}

/// A reply, its records as `owner ttl type rdata` in the order of the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub rcode: String,
    pub aa: bool,
    pub tc: bool,
    pub answer: Vec<String>,
    pub authority: Vec<String>,
    pub additional: Vec<String>,
    /// Size and whether DO is set.
    pub opt: Option<(u16, bool)>,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// # Panics
    /// If the bytes are not a whole message without anything behind it.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let header = Header::read(bytes).unwrap();
        let mut at = 12;
        for _ in 0..header.counts[0] {
            at = skip_name(bytes, at).unwrap() + 4;
        }
        let (mut sections, mut opt, mut upper) = (Vec::new(), None, 0);
        for count in &header.counts[1..] {
            let mut lines = Vec::new();
            for _ in 0..*count {
                let view = record(bytes, at).unwrap();
                at = view.rdata.end;
                if view.rtype == Type::OPT {
                    assert_eq!((opt, bytes[view.owner]), (None, 0), "one OPT, owned by the root");
                    upper = (view.ttl >> 24) as u16;
                    opt = Some((view.class.0, view.ttl & 0x8000 != 0));
                } else {
                    let owner = expand(bytes, view.owner).0;
                    let rdata = rdata_text(bytes, view.rtype, view.rdata);
                    lines.push(format!("{owner} {} {} {rdata}", view.ttl, type_word(view.rtype)));
                }
            }
            sections.push(lines);
        }
        assert_eq!(at, bytes.len(), "nothing stands behind the last record");
        let [answer, authority, additional] = sections.try_into().unwrap();
        let rcode = Rcode(header.rcode().0 | upper << 4).to_string();
        let is = |bit| header.flags & bit != 0;
        assert!(is(flag::QR) && header.flags & 0x00e0 == 0, "QR, no RA, Z or AD: {:04x}", header.flags);
        Self { rcode, aa: is(flag::AA), tc: is(flag::TC), answer, authority, additional, opt, bytes: bytes.to_vec() }
    }

    /// What is compared most: rcode, AA, answer and authority as lines.
    #[track_caller]
    pub(super) fn is(&self, rcode: &str, answer: &[&str], authority: &[&str]) {
        assert_eq!(
            (self.rcode.as_str(), &self.answer[..], &self.authority[..]),
            (rcode, &owned(answer)[..], &owned(authority)[..])
        );
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

/// The name that begins at `at`, with its pointers followed, and the place behind it.
pub(super) fn expand(bytes: &[u8], at: usize) -> (Name, usize) {
    let end = skip_name(bytes, at).unwrap();
    let (mut wire, mut at, mut hops) = (Vec::new(), at, 0);
    loop {
        let label = usize::from(bytes[at]);
        if label >= 0xc0 {
            hops += 1;
            assert!(hops < 64, "pointers go round");
            at = (label & 0x3f) << 8 | usize::from(bytes[at + 1]);
        } else {
            wire.extend_from_slice(&bytes[at..=at + label]);
            at += label + 1;
            if label == 0 {
                return (Name::from_wire(&wire).unwrap(), end);
            }
        }
    }
}

fn rdata_text(bytes: &[u8], rtype: Type, range: std::ops::Range<usize>) -> String {
    let rdata = &bytes[range.clone()];
    let number = |at: usize| u16::from_be_bytes([rdata[at], rdata[at + 1]]);
    match rtype {
        Type::A => Ipv4Addr::new(rdata[0], rdata[1], rdata[2], rdata[3]).to_string(),
        Type::AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(rdata).unwrap()).to_string(),
        Type::NS | Type::CNAME | Type::PTR | Type::DNAME => {
            let (target, end) = expand(bytes, range.start);
            assert_eq!(end, range.end);
            target.to_string()
        }
        Type::MX | Type::SVCB | Type::HTTPS => format!("{} {}", number(0), expand(bytes, range.start + 2).0),
        Type::SRV => format!("{} {} {} {}", number(0), number(2), number(4), expand(bytes, range.start + 6).0),
        Type::SOA => {
            let (first, at) = expand(bytes, range.start);
            let (second, at) = expand(bytes, at);
            assert_eq!(range.end - at, 20);
            let numbers =
                bytes[at..].chunks(4).take(5).map(|four| u32::from_be_bytes(four.try_into().unwrap()).to_string());
            format!("{first} {second} {}", numbers.collect::<Vec<_>>().join(" "))
        }
        // Names in them are not compressed.
        Type::RRSIG | Type::NSEC | Type::NSEC3 | Type::DNSKEY => failoverd::dns::rdata::print(rtype, rdata),
        _ => String::from_utf8_lossy(rdata).trim_start_matches(|letter: char| letter.is_control()).to_owned(),
    }
}

#[test]
fn text_goes_through_the_engine_and_back() {
    let mut world = World::new(&[("example.com", "@ SOA ns mail 1 2 3 4 5\nwww 60 A 192.0.2.1\nwww TXT hello")]);
    world.dig("www.example.com A").is("NOERROR", &["www.example.com. 60 A 192.0.2.1"], &[]);
    world.dig("www.example.com TXT").is("NOERROR", &["www.example.com. 300 TXT hello"], &[]);
}
