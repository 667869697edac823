//! The query path takes nothing from the allocator: no query can make it wait for memory, or for another thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use failoverd::answer::{Ask, Client, Desk, Reply, Transport, answer, reach};
use failoverd::config::{Answering, Cookies};
use failoverd::dns::Type;
use failoverd::snapshot::Snapshot;

use crate::oracle::world::{STANDING_COUNT, standing};

/// Queries for each name of a standing world by each of these types.
const TYPES: [Type; 9] =
    [Type::A, Type::AAAA, Type::NS, Type::SOA, Type::CNAME, Type::MX, Type::TXT, Type::DS, Type::ANY];

/// A query without OPT, with a plain one, and with DO, a cookie, NSID, a subnet and padding.
fn tails() -> [Vec<u8>; 3] {
    let options = b"\0\x0a\0\x08abcdefgh\0\x03\0\0\0\x08\0\x07\0\x01\x18\0\xc0\0\x02\0\x0c\0\x04\0\0\0\0";
    let opt = |flags: u8, options: &[u8]| {
        let length = u16::try_from(options.len()).unwrap().to_be_bytes();
        [&b"\0\0\x29\x04\xd0\0\0"[..], &[flags, 0], &length, options].concat()
    };
    [Vec::new(), opt(0, b""), opt(0x80, options)]
}

#[test]
fn answers_allocate_nothing_whatever_is_asked() {
    let mut asked = 0;
    for at in 0..STANDING_COUNT {
        let world = standing(at);
        let limited = Answering {
            rate_limit: Some(failoverd::config::RateLimit::default()),
            cookies: Cookies::of([[7; 16]]),
            nsid: true,
            ..Answering::default()
        };
        let snapshot = Snapshot { answering: Arc::new(limited), ..world.snapshot.clone() };
        for transport in [Transport::Udp, Transport::Tcp, Transport::Https] {
            let via = Client { address: SocketAddr::from(([192, 0, 2, 1], 4096)), transport };
            let (mut desk, mut reply, mut ask) = (Desk::new(1), Reply::new(), Ask::default());
            desk.now.moment = desk.now.moment + Duration::from_secs(1);
            // A thread takes its table of prefixes with the first query under a limit.
            let first = b"\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01";
            ask.read(first);
            answer(first, &ask, &via, &snapshot, &mut desk, &mut reply);
            for row in world.zones.iter().flat_map(|zone| &zone.rows) {
                for (rtype, tail) in TYPES.iter().flat_map(|rtype| tails().map(|tail| (rtype, tail))) {
                    for prefix in [&b""[..], b"\x01x", b"\x07missing\x01*"] {
                        let count = u8::from(!tail.is_empty());
                        let name = [prefix, row.owner.as_wire()].concat();
                        let query = [
                            &[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, count],
                            &name[..],
                            &rtype.0.to_be_bytes(),
                            &[0, 1],
                            &tail,
                        ]
                        .concat();
                        let allocated = measure(|| {
                            ask.read(&query);
                            reach(&snapshot, std::slice::from_ref(&ask));
                            answer(&query, &ask, &via, &snapshot, &mut desk, &mut reply);
                        });
                        assert_eq!(allocated.count_total, 0, "{} {rtype} over {transport:?}", row.owner);
                        asked += 1;
                    }
                }
            }
        }
    }
    // The counter does count.
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(asked)))).count_total, 1);
    assert!(asked > 10_000, "{asked}");
}
