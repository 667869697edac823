//! How long a reply may be kept: its smallest TTL, for the HTTP caches between us and a client.

use crate::dns::Type;
use crate::dns::message::{HEADER, Header, Rcode, record, skip_name};

/// Seconds for which the reply is fresh (RFC 8484 §5.1): the smallest TTL of its answer, of a negative one what its SOA
/// allows (RFC 2308 §5). `None` for what must not be kept: failures, referrals, and what is no reply.
pub(super) fn of(reply: &[u8]) -> Option<u32> {
    let header = Header::read(reply)?;
    if !matches!(header.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN) {
        return None;
    }
    let [questions, answers, authorities, _] = header.counts;
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(reply, at)? + 4;
    }
    let mut fresh: Option<u32> = None;
    let mut keep = |ttl: u32| fresh = Some(fresh.map_or(ttl, |least| least.min(ttl)));
    for number in 0..u32::from(answers) + u32::from(authorities) {
        let view = record(reply, at)?;
        at = view.rdata.end;
        if number < u32::from(answers) {
            keep(view.ttl);
        } else if view.rtype == Type::SOA {
            // MINIMUM is the last field. An alias whose target is not there is kept no longer than that it is not.
            let minimum = reply.get(view.rdata.end - 4..view.rdata.end)?.try_into().ok()?;
            keep(view.ttl.min(u32::from_be_bytes(minimum)));
        }
    }
    fresh
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUESTION: &[u8] = b"\x03www\x07example\x03com\0\0\x01\0\x01";

    fn reply(rcode: u8, answers: &[&[u8]], authorities: &[&[u8]]) -> Vec<u8> {
        let count = |section: &[&[u8]]| u8::try_from(section.len()).expect("few");
        let head = [0, 0, 0x84, rcode, 0, 1, 0, count(answers), 0, count(authorities), 0, 0];
        [&head, QUESTION, &answers.concat(), &authorities.concat()].concat()
    }

    fn a(ttl: u8) -> Vec<u8> {
        [b"\xc0\x0c\0\x01\0\x01\0\0\0".as_slice(), &[ttl], b"\0\x04\xc0\0\x02\x01"].concat()
    }

    fn soa(ttl: u8, minimum: u8) -> Vec<u8> {
        let rdata = [b"\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0".as_slice(), &[minimum]].concat();
        [b"\xc0\x10\0\x06\0\x01\0\0\0".as_slice(), &[ttl], &[0, 22], &rdata].concat()
    }

    #[test]
    fn the_least_of_what_a_cache_would_keep() {
        let ns = b"\xc0\x10\0\x02\0\x01\0\0\0\x09\0\x02\xc0\x10";
        for (what, message, fresh) in [
            ("the smallest TTL", reply(0, &[&a(60), &a(30)], &[]), Some(30)),
            ("the authority section of a positive answer counts not", reply(0, &[&a(60)], &[ns]), Some(60)),
            ("no such name: the SOA's MINIMUM", reply(3, &[], &[&soa(60, 5)]), Some(5)),
            ("no data: the SOA's TTL", reply(0, &[], &[&soa(4, 50)]), Some(4)),
            ("an alias to what is not there", reply(3, &[&a(60)], &[&soa(60, 5)]), Some(5)),
            ("a referral", reply(0, &[], &[ns]), None),
            ("refused", reply(5, &[], &[]), None),
            ("TTL 0", reply(0, &[&a(0)], &[]), Some(0)),
            ("cut short", reply(0, &[&a(60)[..9]], &[]), None),
            ("nothing", Vec::new(), None),
        ] {
            assert_eq!(of(&message), fresh, "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = of(&bytes);
        }
    }
}
