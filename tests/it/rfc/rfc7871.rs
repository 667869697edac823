//! RFC 7871: client subnet.

use super::options::{SUBNET, ask, one, option, options, world};

#[test]
fn s7_2_1_it_comes_back_with_scope_0() {
    for sent in [
        &b"\0\x01\x18\0\xc0\0\x02"[..],
        b"\0\x01\x17\0\xc0\0\x02",
        b"\0\x01\x20\0\xc0\0\x02\x01",
        b"\0\x01\0\0",
        b"\0\x02\x38\0\x20\x01\x0d\xb8\0\0\0",
        b"\0\x02\x80\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01",
        b"\0\x02\0\0",
        b"\0\0\0\0",
    ] {
        let reply = ask(&mut world(), "www.example.com A", &option(SUBNET, sent));
        assert_eq!((reply.rcode.as_str(), one(&reply, SUBNET)), ("NOERROR", sent.to_vec()));
    }
    assert_eq!(options(&ask(&mut world(), "www.example.com A", &[])), []);
}

#[test]
fn s7_2_1_a_wrongly_formatted_one_is_formerr() {
    for (sent, why) in [
        (&b"\0\x03\x18\0\xc0\0\x02"[..], "an unknown family"),
        (b"\0\x01\x21\0\xc0\0\x02\x01\x80", "longer than an IPv4 address"),
        (b"\0\x02\x81\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x80", "longer than an IPv6 address"),
        (b"\0\x01\x18\x18\xc0\0\x02", "a scope in a query"),
        (b"\0\x01\x18\0\xc0\0", "an octet is missing"),
        (b"\0\x01\x18\0\xc0\0\x02\0", "an octet too many"),
        (b"\0\x01\0\0\0", "an octet too many"),
        (b"\0\x01\x17\0\xc0\0\x03", "bits behind the length"),
        (b"\0\0\x08\0\xc0", "an address of no family"),
        (b"\0\x01\x18", "cut"),
        (b"", "empty"),
    ] {
        let reply = ask(&mut world(), "www.example.com A", &option(SUBNET, sent));
        reply.is("FORMERR", &[], &[]);
        assert_eq!((options(&reply), reply.bytes[5]), (vec![], 1), "{why}");
    }
}
