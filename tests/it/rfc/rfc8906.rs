//! RFC 8906: no query that is a query is met with silence.

use failoverd::answer::Transport;
use failoverd::dns::message::Rcode;

use super::world::{Answer, World, query};

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
        ("TYPE0", "FORMERR"),
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
