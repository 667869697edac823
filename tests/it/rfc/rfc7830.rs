//! RFC 7830 and RFC 8467: padding.

use failoverd::answer::Transport;

use super::options::{COOKIE, ERROR, NSID, PADDING, one, option, options, over, world};

#[test]
fn s4_replies_on_encrypted_transports_are_padded_when_the_query_was() {
    for transport in [Transport::Tls, Transport::Https, Transport::Quic] {
        for (asked, blocks) in [("www.example.com A", 1), ("nobody.example.com A", 1), ("many.example.com A", 5)] {
            let reply = over(&mut world(), asked, &option(PADDING, &[0; 20]), transport);
            // RFC 8467 §4.1: "a multiple of 468 octets".
            assert_eq!(reply.bytes.len(), blocks * 468, "{asked} {transport:?}");
            assert!(one(&reply, PADDING).iter().all(|&byte| byte == 0));
        }
    }
}

#[test]
fn s6_nothing_is_padded_that_was_not_or_that_everyone_can_read() {
    for transport in [Transport::Udp, Transport::Tcp] {
        assert_eq!(options(&over(&mut world(), "www.example.com A", &option(PADDING, &[0; 20]), transport)), []);
    }
    assert_eq!(options(&over(&mut world(), "www.example.com A", &[], Transport::Tls)), []);
}

#[test]
fn the_block_is_counted_with_every_other_option() {
    let asked = [option(PADDING, &[]), option(NSID, &[]), option(COOKIE, &[1; 8])].concat();
    let reply = over(&mut world(), "example.org A", &asked, Transport::Tls);
    let codes: Vec<u16> = options(&reply).into_iter().map(|(code, _)| code).collect();
    assert_eq!((reply.bytes.len(), codes), (468, vec![NSID, COOKIE, ERROR, PADDING]));
}

#[test]
fn what_an_earlier_reply_left_in_the_buffer_does_not_leak() {
    let mut world = world();
    over(&mut world, "many.example.com A", &[], Transport::Tls);
    let reply = over(&mut world, "www.example.com A", &option(PADDING, &[]), Transport::Tls);
    assert!(one(&reply, PADDING).iter().all(|&byte| byte == 0));
}
