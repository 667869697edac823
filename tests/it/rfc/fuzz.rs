//! Any bytes and mutated queries: the engine never panics, its replies parse, fit, echo what was asked, and are what the
//! slow algorithm makes of it.

use failoverd::answer::Transport;
use failoverd::dns::Type;
use failoverd::zone::table::Builder;
use proptest::prelude::*;

use super::world::{World, name, query};
use crate::oracle;
use crate::oracle::answer::check;
use crate::oracle::query::plain;

const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];

const QUESTIONS: [(&str, Type); 9] = [
    ("www.example.com", Type::A),
    ("example.com", Type::MX),
    ("example.com", Type::ANY),
    ("example.com", Type::AXFR),
    ("nobody.example.com", Type(65535)),
    ("x.example", Type::TXT),
    ("x.subdel.example", Type::A),
    ("big.example.com", Type::NS),
    ("fat.big.example.com", Type::TXT),
];

/// An option of any kind, most of them of known ones, its length mostly true.
fn option() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![6 => 0..20_u16, 1 => any::<u16>()];
    let data = prop_oneof![2 => Just(Vec::new()), 2 => proptest::collection::vec(any::<u8>(), 8..=8), 3 => proptest::collection::vec(any::<u8>(), 0..50)];
    (code, data, prop_oneof![9 => Just(0_u16), 1 => any::<u16>()]).prop_map(|(code, data, lie)| {
        let length = (data.len() as u16).wrapping_add(lie);
        [&code.to_be_bytes()[..], &length.to_be_bytes(), &data].concat()
    })
}

/// An OPT of any size, version and flags, most of them ordinary.
fn opt() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![Just(512_u16), Just(1232), any::<u16>()];
    let version = prop_oneof![9 => Just(0_u8), 1 => any::<u8>()];
    let flags = prop_oneof![Just(0_u16), Just(0x8000), any::<u16>()];
    (size, version, flags, proptest::collection::vec(option(), 0..4)).prop_map(|(size, version, flags, options)| {
        let options = options.concat();
        let head = [&[0, 0, 41][..], &size.to_be_bytes(), &[0, version], &flags.to_be_bytes()].concat();
        [&head[..], &(options.len() as u16).to_be_bytes(), &options].concat()
    })
}

#[test]
fn rdata_that_is_not_what_its_type_says_does_no_harm() {
    for rdata in [&[][..], &[0], &[63], &[5, b'a'], &[0xc0, 0x0c], &[1; 300], &[200; 65]] {
        for rtype in [Type::NS, Type::CNAME, Type::SOA, Type::MX, Type::DNAME, Type::SRV, Type::HTTPS, Type::A] {
            let mut builder = Builder::new(name("example.com"));
            for owner in ["example.com", "x.example.com"] {
                builder.push(&name(owner), rtype, 60, rdata).unwrap();
            }
            let mut world = World::of([builder.finish().0]);
            for asked in ["example.com", "x.example.com", "y.x.example.com", "nobody.example.com"] {
                for qtype in [rtype, Type::TXT, Type::SOA, Type::ANY] {
                    let (bytes, transport) = query(&format!("{asked} TYPE{} +tcp", qtype.0));
                    assert!(world.exchange(&bytes, transport).is_some());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        for (_, check) in oracle::TARGETS {
            check(&bytes);
        }
    }

    #[test]
    fn mutated_queries(
        at in 0..oracle::world::STANDING_COUNT,
        question in prop::sample::select(QUESTIONS.to_vec()),
        opts in proptest::collection::vec(opt(), 0..3),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
        transport in prop::sample::select(TRANSPORTS.to_vec()),
    ) {
        let mut bytes = plain(&name(question.0), question.1);
        bytes[11] = opts.len() as u8;
        bytes.extend(opts.concat());
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        check(oracle::world::standing(at), &bytes, transport);
    }
}
