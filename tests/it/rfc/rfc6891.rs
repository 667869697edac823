//! RFC 6891: EDNS(0).

use failoverd::answer::Transport;

use super::world::{Answer, World, query};

fn world() -> World {
    let many: String = (1..=120).map(|host| format!("many A 192.0.2.{host}\n")).collect();
    World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1\n{many}"))])
}

#[test]
fn s6_1_1_opt_answers_opt() {
    assert_eq!(world().dig("www.example.com A").opt, None);
    for asked in ["www.example.com A", "nobody.example.com A", "example.org A", "example.com AXFR", "example.com TYPE0"]
    {
        assert_eq!(world().dig(&format!("{asked} +edns=4096")).opt, Some((1232, false)), "{asked}");
    }
}

#[test]
fn s6_1_1_two_opts_are_formerr() {
    let (mut bytes, transport) = query("www.example.com A +edns=1232");
    let opt = bytes[bytes.len() - 11..].to_vec();
    bytes.extend_from_slice(&opt);
    bytes[11] = 2;
    let reply = Answer::parse(&world().exchange(&bytes, transport).unwrap());
    reply.is("FORMERR", &[], &[]);
    assert!(reply.opt.is_some());
}

#[test]
fn s6_1_3_badvers_carries_opt_of_version_0() {
    let (mut bytes, transport) = query("www.example.com A +edns=1232");
    let version = bytes.len() - 5;
    bytes[version] = 1;
    let reply = world().exchange(&bytes, transport).unwrap();
    let parsed = Answer::parse(&reply);
    parsed.is("BADVERS", &[], &[]);
    assert_eq!((parsed.opt, reply[reply.len() - 5]), (Some((1232, false)), 0));
}

#[test]
fn s6_1_2_options_we_do_not_know_are_ignored() {
    let (mut bytes, transport) = query("www.example.com A +edns=1232");
    let length = bytes.len() - 1;
    bytes[length] = 8;
    bytes.extend_from_slice(&[0xff, 0xfe, 0, 4, 1, 2, 3, 4]);
    let reply = Answer::parse(&world().exchange(&bytes, transport).unwrap());
    reply.is("NOERROR", &["www.example.com. 300 A 192.0.2.1"], &[]);
    assert!(reply.opt.is_some());
    bytes[length + 4] = 9;
    assert_eq!(
        Answer::parse(&world().exchange(&bytes, transport).unwrap()).rcode,
        "FORMERR",
        "an option runs over the end"
    );
}

#[test]
fn s6_1_4_do_comes_back_and_other_flags_do_not() {
    assert_eq!(world().dig("www.example.com A +do").opt, Some((1232, true)));
    let (mut bytes, transport) = query("www.example.com A +edns=1232");
    let flags = bytes.len() - 4;
    bytes[flags..flags + 2].copy_from_slice(&[0x7f, 0xff]);
    let reply = world().exchange(&bytes, transport).unwrap();
    assert_eq!(reply[reply.len() - 4..reply.len() - 2], [0, 0]);
}

#[test]
fn s6_2_3_sizes_below_512_are_512_and_ours_is_1232() {
    for (size, limit) in
        [(0, 512), (1, 512), (511, 512), (512, 512), (1000, 1000), (1232, 1232), (4096, 1232), (65_535, 1232)]
    {
        let reply = world().dig(&format!("many.example.com A +edns={size}"));
        assert!(reply.tc && reply.bytes.len() <= limit, "{size}");
        assert!(reply.opt.is_some());
    }
    let full = world().dig("many.example.com A +edns=512 +tcp");
    assert_eq!((full.tc, full.answer.len()), (false, 120), "the size is of UDP alone");
}

#[test]
fn s6_1_1_opt_elsewhere_than_in_the_additional_section_is_formerr() {
    let (mut bytes, _) = query("www.example.com A +edns=1232");
    bytes.swap(7, 11);
    assert_eq!(Answer::parse(&world().exchange(&bytes, Transport::Udp).unwrap()).rcode, "FORMERR");
}
