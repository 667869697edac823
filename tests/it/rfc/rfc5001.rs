//! RFC 5001: NSID.

use super::options::{NSID, answering, ask, one, option, options, world};

#[test]
fn s2_2_the_name_is_told_only_when_asked_for() {
    let mut world = world();
    assert_eq!(one(&ask(&mut world, "www.example.com A", &option(NSID, &[])), NSID), b"ns1");
    assert_eq!(options(&ask(&mut world, "www.example.com A", &[])), []);
    answering(&mut world, |answering| answering.nsid = false);
    assert_eq!(options(&ask(&mut world, "www.example.com A", &option(NSID, &[]))), []);
}

#[test]
fn s2_1_a_payload_in_a_query_is_ignored() {
    let reply = ask(&mut world(), "www.example.com A", &option(NSID, b"you?"));
    assert_eq!((reply.rcode.as_str(), one(&reply, NSID)), ("NOERROR", b"ns1".to_vec()));
}

#[test]
fn s2_4_it_is_in_every_reply_that_has_an_opt_and_is_told_once() {
    for asked in ["nobody.example.com A", "example.org A", "example.com AXFR", "example.com TYPE0"] {
        let twice = [option(NSID, &[]), option(NSID, &[])].concat();
        assert_eq!(one(&ask(&mut world(), asked, &twice), NSID), b"ns1", "{asked}");
    }
}

#[test]
fn the_longest_name_fits() {
    let mut world = world();
    let name = "n".repeat(64);
    answering(&mut world, |answering| answering.name = name.as_str().into());
    assert_eq!(one(&ask(&mut world, "www.example.com A", &option(NSID, &[])), NSID), name.as_bytes());
}
