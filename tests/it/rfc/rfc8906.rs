//! RFC 8906: no query that is a query is met with silence. The checks of ISC's `genreport` are here too, under its names.

use failoverd::answer::Transport;
use failoverd::dns::message::Rcode;

use super::options::{self, COOKIE, EXPIRE, NSID, SUBNET, option};
use super::world::{Answer, World, name, query, rtype};

fn world() -> World {
    World::new(&[("example.com", "@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1")])
}

fn edited(question: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Option<Answer> {
    let (mut bytes, transport) = query(question);
    edit(&mut bytes);
    world().exchange(&bytes, transport).map(|reply| Answer::parse(&reply))
}

#[test]
fn s3_1_4_unknown_opcodes_are_notimp_with_opt_if_there_was_one() {
    for opcode in 1..16 {
        let plain = edited("www.example.com A", |query| query[2] = opcode << 3).unwrap();
        assert_eq!((plain.rcode.as_str(), plain.opt, plain.bytes[2] >> 3), ("NOTIMP", None, 0x10 | opcode));
        let edns = edited("www.example.com A +edns=1232", |query| query[2] = opcode << 3).unwrap();
        assert_eq!((edns.rcode.as_str(), edns.opt), ("NOTIMP", Some((1232, false))));
    }
}

#[test]
fn s3_1_3_unknown_flags_are_ignored() {
    let reply = edited("www.example.com A", |query| query[3] |= 0x40).unwrap();
    assert_eq!(reply.rcode, "NOERROR");
}

#[test]
fn s3_1_2_types_that_cannot_be_data() {
    for (rtype, rcode) in [
        ("TYPE0", "NOERROR"),
        ("OPT", "FORMERR"),
        ("TYPE128", "FORMERR"),
        ("TYPE249", "FORMERR"),
        ("TYPE250", "FORMERR"),
        ("IXFR", "REFUSED"),
        ("TYPE253", "NOTIMP"),
        ("TYPE254", "NOTIMP"),
    ] {
        for transport in ["", "+tcp"] {
            assert_eq!(world().dig(&format!("example.com {rtype} {transport}")).rcode, rcode, "{rtype}");
        }
    }
}

#[test]
fn other_classes_are_refused() {
    for class in [0, 2, 3, 4, 254] {
        let reply = edited("www.example.com A", |query| *query.last_mut().unwrap() = class).unwrap();
        reply.is("REFUSED", &[], &[]);
    }
}

/// RFC 1034 §3.7.1 and RFC 1035 §6.2: as NSD does.
#[test]
fn class_any_is_ours_too_and_never_authoritative() {
    let ask = |question| edited(question, |query| *query.last_mut().unwrap() = 255).unwrap();
    let reply = ask("www.example.com A");
    reply.is("NOERROR", &["www.example.com. 300 A 192.0.2.1"], &[]);
    assert!(!reply.aa);
    assert_eq!(ask("nobody.example.com A").rcode, "NXDOMAIN");
    assert_eq!(ask("example.org A").rcode, "REFUSED");
}

#[test]
fn s3_1_2_transfers() {
    for (transport, axfr) in [("", "NOTIMP"), ("+tcp", "REFUSED")] {
        assert_eq!(world().dig(&format!("example.com AXFR {transport}")).rcode, axfr);
    }
    assert_eq!(world().dig("example.org AXFR +tcp").rcode, "NOTAUTH");
}

#[test]
fn replies_and_stumps_are_dropped_lest_two_servers_talk_for_ever() {
    assert_eq!(edited("www.example.com A", |query| query[2] |= 0x80), None);
    assert_eq!(edited("www.example.com A", |query| query.truncate(11)), None);
    assert_eq!(world().exchange(&[], Transport::Tcp), None);
}

#[test]
fn replies_are_counted_by_rcode() {
    let mut world = world();
    world.dig("www.example.com A");
    world.dig("nobody.example.com A +tcp");
    world.dig("example.org A +edns=1232");
    let tally = world.desk.tally;
    assert_eq!((tally.udp, tally.tcp, tally.edns, tally.dropped), (2, 1, 1, 0));
    for rcode in [Rcode::NOERROR, Rcode::NXDOMAIN, Rcode::REFUSED] {
        assert_eq!(tally.replies(rcode), 1);
    }
}

/// One check of `genreport`: what is asked about the apex, and what must be in an ok reply.
#[derive(Clone)]
struct Check {
    label: &'static str,
    qtype: &'static str,
    /// Opcode and flags of the header's second word.
    flags: u16,
    /// Version, flags, size and options.
    edns: Option<(u8, u16, u16, Vec<u8>)>,
    rcode: &'static str,
    /// Options of the reply.
    answered: &'static [u16],
    is_tcp: bool,
}

/// The zone's SOA is asked for and is to be answered.
fn dns(label: &'static str) -> Check {
    Check { label, qtype: "SOA", flags: 0, edns: None, rcode: "NOERROR", answered: &[], is_tcp: false }
}

fn edns(label: &'static str, options: &[u8]) -> Check {
    Check { edns: Some((0, 0, 4096, options.to_vec())), ..dns(label) }
}

/// EDNS version 1, which we do not speak.
fn edns1(label: &'static str, options: &[u8]) -> Check {
    Check { edns: Some((1, 0, 4096, options.to_vec())), rcode: "BADVERS", ..dns(label) }
}

fn checks() -> Vec<Check> {
    let unknown = option(100, &[]);
    let cookie = option(COOKIE, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let subnet = option(SUBNET, &[0, 1, 0, 0]);
    let (nsid, expire) = (option(NSID, &[]), option(EXPIRE, &[]));
    let all = [&nsid[..], &subnet, &cookie, &expire, &unknown].concat();
    let with = |check: Check, version: u8, flags: u16, size: u16| {
        let options = check.edns.map(|(.., options)| options).unwrap_or_default();
        Check { edns: Some((version, flags, size, options)), ..check }
    };
    vec![
        dns("dns"),
        Check { flags: 0x0400, ..dns("aa") },
        Check { flags: 0x0020, ..dns("ad") },
        Check { flags: 0x0010, ..dns("cd") },
        Check { flags: 0x0080, ..dns("ra") },
        Check { flags: 0x0100, ..dns("rd") },
        Check { flags: 0x0200, ..dns("tc") },
        Check { flags: 0x0040, ..dns("zflag") },
        Check { flags: 15 << 11, rcode: "NOTIMP", ..dns("opcode") },
        Check { flags: 15 << 11 | 0x07f0, rcode: "NOTIMP", ..dns("opcodeflg") },
        Check { qtype: "TYPE666", ..dns("type666") },
        Check { is_tcp: true, ..dns("tcp") },
        edns("edns", &[]),
        edns1("edns1", &[]),
        with(edns("edns@512", &[]), 0, 0x8000, 512),
        edns("ednsopt", &unknown),
        edns1("edns1opt", &unknown),
        with(edns("do", &[]), 0, 0x8000, 4096),
        with(Check { answered: &[COOKIE], ..edns("docookie", &cookie) }, 0, 0x8000, 4096),
        with(edns1("edns1do", &[]), 1, 0x8000, 4096),
        with(edns("ednsflags", &[]), 0, 0x0080, 4096),
        with(edns1("edns1flags", &[]), 1, 0x0080, 4096),
        Check { answered: &[NSID, COOKIE, SUBNET], ..edns("optlist", &all) },
        Check { answered: &[NSID], ..edns("ednsnsid", &nsid) },
        Check { answered: &[COOKIE], ..edns("ednscookie", &cookie) },
        edns("ednsexpire", &expire),
        Check { answered: &[SUBNET], ..edns("ednssubnet", &subnet) },
        edns1("edns1nsid", &nsid),
        edns1("edns1cookie", &cookie),
        edns1("edns1expire", &expire),
        edns1("edns1subnet", &subnet),
        Check { is_tcp: true, ..with(edns("ednstcp", &[]), 0, 0x8000, 512) },
        with(Check { flags: 0x0120, answered: &[COOKIE], ..edns("dig11", &cookie) }, 0, 0, 4096),
        with(Check { answered: &[NSID, COOKIE], ..edns("bind11", &[&nsid[..], &cookie].concat()) }, 0, 0x8000, 512),
        with(edns("signed", &[]), 0, 0x8000, 4096),
    ]
}

impl Check {
    fn query(&self) -> Vec<u8> {
        let mut bytes = vec![0x2b, 0x67, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())];
        bytes[2..4].copy_from_slice(&self.flags.to_be_bytes());
        bytes.extend_from_slice(name("example.com").as_wire());
        bytes.extend_from_slice(&rtype(self.qtype).0.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        if let Some((version, flags, size, options)) = &self.edns {
            bytes.extend_from_slice(&[0, 0, 41]);
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(&[0, *version]);
            bytes.extend_from_slice(&flags.to_be_bytes());
            bytes.extend_from_slice(&(options.len() as u16).to_be_bytes());
            bytes.extend_from_slice(options);
        }
        bytes
    }
}

/// RFC 8906 §8, and what `genreport` counts as ok.
#[test]
fn s8_every_check_of_genreport_is_ok() {
    for check in checks() {
        let transport = if check.is_tcp { Transport::Tcp } else { Transport::Udp };
        let reply = options::send(&mut options::world(), &check.query(), [192, 0, 2, 1].into(), transport);
        let (reply, label) = (reply.expect(check.label), check.label);
        assert_eq!(reply.rcode, check.rcode, "{label}");
        let soa = "example.com. 300 SOA ns.example.com. mail.example.com. 1 2 3 4 5".to_owned();
        let is_answer = check.rcode == "NOERROR" && check.qtype == "SOA";
        assert_eq!(reply.answer, if is_answer { vec![soa] } else { vec![] }, "{label}");
        let flags = u16::from_be_bytes([reply.bytes[2], reply.bytes[3]]);
        // RD and CD are copied, AA is ours, and TC, RA, Z and AD are never set.
        let aa = if check.rcode == "NOERROR" { 0x0400 } else { 0 };
        assert_eq!(flags & 0xfff0, 0x8000 | check.flags & 0x7910 | aa, "{label}");
        let wants_dnssec = |&(_, flags, ..): &(u8, u16, u16, Vec<u8>)| flags & 0x8000 != 0;
        assert_eq!(reply.opt, check.edns.as_ref().map(|edns| (1232, wants_dnssec(edns))), "{label}");
        if let Some((.., size, _)) = &check.edns {
            assert!(check.is_tcp || reply.bytes.len() <= usize::from(*size), "{label}");
            let codes: Vec<u16> = options::options(&reply).into_iter().map(|(code, _)| code).collect();
            assert_eq!(codes, check.answered, "{label}");
        }
    }
}
