//! RFC 7828: edns-tcp-keepalive.

use failoverd::answer::Transport;
use failoverd::answer::stream::IDLE;

use super::options::{KEEPALIVE, one, option, options, over, world};

#[test]
fn s3_3_2_the_idle_timeout_is_told_in_tenths_of_a_second() {
    let tenths = u16::try_from(IDLE.as_millis() / 100).unwrap().to_be_bytes();
    for transport in [Transport::Tcp, Transport::Tls] {
        let reply = over(&mut world(), "www.example.com A", &option(KEEPALIVE, &[]), transport);
        assert_eq!(one(&reply, KEEPALIVE), tenths, "{transport:?}");
        assert_eq!(options(&over(&mut world(), "www.example.com A", &[], transport)), []);
    }
}

#[test]
fn s3_2_1_over_udp_it_is_ignored() {
    for (data, transport) in [
        (&[][..], Transport::Udp),
        (&[0, 1], Transport::Udp),
        (&[0], Transport::Udp),
        // Connections of HTTP and QUIC have timeouts of their own (RFC 9250 §5.5.2).
        (&[], Transport::Https),
        (&[], Transport::Quic),
        // A client has no timeout to tell; BIND answers it, Knot and NSD do not.
        (&[0, 1], Transport::Tcp),
        (&[0], Transport::Tcp),
    ] {
        let reply = over(&mut world(), "www.example.com A", &option(KEEPALIVE, data), transport);
        assert_eq!((reply.rcode.as_str(), options(&reply)), ("NOERROR", vec![]), "{data:?} {transport:?}");
    }
}
