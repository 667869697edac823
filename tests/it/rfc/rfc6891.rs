//! RFC 6891: EDNS(0).

use failoverd::answer::Transport;
use proptest::prelude::*;

use super::options::{self, COOKIE, ERROR, EXPIRE, KEEPALIVE, NSID, PADDING, SUBNET, option, send, with_options};
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
    assert_eq!(reply.opt, None, "which of the two would it answer?");
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
fn s6_1_3_nothing_of_a_version_we_do_not_know_is_processed() {
    for options in [&[][..], &option(NSID, &[]), &option(COOKIE, &[1; 8]), &option(COOKIE, &[1]), &[0, 3, 0, 5]] {
        for flags in [0, 0x80, 0xff] {
            let mut bytes = with_options("www.example.com A", options);
            let version = bytes.len() - options.len() - 5;
            bytes[version] = 1;
            bytes[version + 1] = flags;
            let reply = send(&mut options::world(), &bytes, [192, 0, 2, 1].into(), Transport::Udp).unwrap();
            reply.is("BADVERS", &[], &[]);
            assert_eq!((reply.opt, options::options(&reply)), (Some((1232, flags >= 0x80)), vec![]), "{options:?}");
        }
    }
}

#[test]
fn s6_1_2_an_opt_that_is_not_at_the_root_is_formerr() {
    let (bytes, transport) = query("www.example.com A +edns=1232");
    let (head, opt) = bytes.split_at(bytes.len() - 11);
    for owner in [&b"\x01a\0"[..], b"\xc0\x0c"] {
        let reply = Answer::parse(&world().exchange(&[head, owner, &opt[1..]].concat(), transport).unwrap());
        reply.is("FORMERR", &[], &[]);
        assert_eq!(reply.bytes[5], 1, "the question comes back");
    }
}

#[test]
fn s6_1_2_options_that_do_not_fill_the_rdata_are_formerr() {
    for options in [&[0][..], &[0, 3], &[0, 3, 0], &[0, 3, 0, 1], &[0xff, 0xff, 0xff, 0xff], &[0, 3, 0, 0, 0]] {
        let reply = options::ask(&mut options::world(), "www.example.com A", &[]);
        assert_eq!(reply.rcode, "NOERROR");
        let bytes = with_options("www.example.com A", options);
        let reply = send(&mut options::world(), &bytes, [192, 0, 2, 1].into(), Transport::Udp).unwrap();
        reply.is("FORMERR", &[], &[]);
    }
}

/// Room for what was asked for is there however full the reply is.
#[test]
fn s7_room_for_options_is_set_aside_and_errors_take_what_is_left() {
    let options = [option(NSID, &[]), option(COOKIE, &[1; 8]), option(SUBNET, b"\0\x02\0\0")].concat();
    for size in 512..1300_u16 {
        let mut bytes = with_options("many.example.com A", &options);
        let at = bytes.len() - options.len() - 8;
        bytes[at..at + 2].copy_from_slice(&size.to_be_bytes());
        let reply = send(&mut options::world(), &bytes, [192, 0, 2, 1].into(), Transport::Udp).unwrap();
        assert!(reply.bytes.len() <= usize::from(size.min(1232)), "{size}");
        let codes: Vec<u16> = options::options(&reply).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, [NSID, COOKIE, SUBNET]);
    }
}

fn any_option() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![4 => prop::sample::select(vec![NSID, SUBNET, EXPIRE, COOKIE, KEEPALIVE, PADDING, ERROR]), 1 => any::<u16>()];
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..48),
        Just(vec![0, 1, 24, 0, 192, 0, 2]),
        Just(vec![5; 8]),
        Just(vec![]),
    ];
    (code, data).prop_map(|(code, data)| option(code, &data))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_options_get_a_reply_that_parses_and_fits(
        all in proptest::collection::vec(any_option(), 0..6),
        noise in proptest::collection::vec(any::<u8>(), 0..6),
        asked in prop::sample::select(vec!["www.example.com A", "many.example.com A", "nobody.example.com TXT", "example.org A"]),
        size: u16,
        version in prop_oneof![9 => Just(0_u8), 1 => any::<u8>()],
        flags: u16,
        transport in prop::sample::select(vec![Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Quic]),
        identity: bool,
    ) {
        let options = [all.concat(), noise].concat();
        let mut bytes = with_options(asked, &options);
        let at = bytes.len() - options.len();
        bytes[at - 8..at - 6].copy_from_slice(&size.to_be_bytes());
        bytes[at - 5] = version;
        bytes[at - 4..at - 2].copy_from_slice(&flags.to_be_bytes());
        let mut world = options::world();
        options::answering(&mut world, |answering| answering.identity = identity);
        let reply = send(&mut world, &bytes, [192, 0, 2, 1].into(), transport).expect("a reply");
        if transport == Transport::Udp {
            prop_assert!(reply.bytes.len() <= usize::from(size).clamp(512, 1232));
        }
        if let Some((_, wants_dnssec)) = reply.opt {
            prop_assert_eq!(wants_dnssec, flags & 0x8000 != 0);
            for (code, _) in options::options(&reply) {
                let is_ours = code == ERROR || options.windows(2).any(|two| two == code.to_be_bytes());
                prop_assert!(is_ours, "nobody asked for option {}", code);
            }
        } else {
            prop_assert_eq!(&reply.rcode, "FORMERR");
        }
    }
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
