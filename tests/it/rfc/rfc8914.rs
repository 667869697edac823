//! RFC 8914: Extended DNS Errors.

use failoverd::answer::Transport;
use failoverd::dns::Type;

use super::options::{ERROR, ask, one, options, over, send, with_options, world};

const PROHIBITED: [u8; 2] = [0, 18];
const NOT_AUTHORITATIVE: [u8; 2] = [0, 20];
const NOT_SUPPORTED: [u8; 2] = [0, 21];

#[test]
fn s4_21_names_outside_our_zones() {
    let reply = ask(&mut world(), "example.org A", &[]);
    assert_eq!((reply.rcode.as_str(), one(&reply, ERROR)), ("REFUSED", NOT_AUTHORITATIVE.to_vec()));
}

#[test]
fn s4_19_transfers_that_policy_denies() {
    for (asked, transport, rcode, error) in [
        ("example.com AXFR", Transport::Tcp, "REFUSED", PROHIBITED),
        ("example.com IXFR", Transport::Udp, "REFUSED", PROHIBITED),
        ("example.org AXFR", Transport::Tcp, "NOTAUTH", NOT_AUTHORITATIVE),
        // RFC 5936 §4.2.
        ("example.com AXFR", Transport::Udp, "NOTIMP", NOT_SUPPORTED),
    ] {
        let reply = over(&mut world(), asked, &[], transport);
        assert_eq!((reply.rcode.as_str(), one(&reply, ERROR)), (rcode, error.to_vec()), "{asked}");
    }
}

#[test]
fn s4_22_classes_and_types_nobody_serves() {
    for class in [0, 2, 4, 254] {
        let mut bytes = with_options("www.example.com A", &[]);
        let at = bytes.len() - 12;
        bytes[at] = class;
        let reply = send(&mut world(), &bytes, [192, 0, 2, 1].into(), Transport::Udp).unwrap();
        assert_eq!((reply.rcode.as_str(), one(&reply, ERROR)), ("REFUSED", NOT_SUPPORTED.to_vec()), "{class}");
    }
    assert_eq!(one(&ask(&mut world(), &format!("example.com TYPE{}", Type(253).0), &[]), ERROR), NOT_SUPPORTED);
}

#[test]
fn s2_nothing_is_said_without_opt_nor_of_what_went_well() {
    let mut world = world();
    assert_eq!(world.dig("example.org A").opt, None);
    for asked in ["www.example.com A", "www.example.com TXT", "nobody.example.com A"] {
        assert_eq!(options(&ask(&mut world, asked, &[])), [], "{asked}");
    }
}
