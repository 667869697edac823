//! RFC 1034 §4.3.2: random tiny zones on which the engine must agree with the algorithm written down slowly.

use failoverd::answer::Transport;
use failoverd::dns::Type;
use proptest::prelude::*;

use crate::oracle::answer::check;
use crate::oracle::input::Input;
use crate::oracle::{query, world};

const TYPES: [Type; 10] =
    [Type::A, Type::NS, Type::CNAME, Type::DNAME, Type::DS, Type::MX, Type::SRV, Type::HTTPS, Type::SOA, Type::ANY];

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_with_the_slow_algorithm(
        zones in bytes(160),
        asked in proptest::collection::vec((bytes(6), 0..TYPES.len(), any::<bool>(), any::<bool>()), 1..12),
    ) {
        let world = world::chosen(&mut Input(&zones));
        for (name, qtype, is_tcp, wants_dnssec) in asked {
            let make = if wants_dnssec { query::dnssec } else { query::plain };
            let query = make(&world::some_name(&mut Input(&name)), TYPES[qtype]);
            check(&world, &query, if is_tcp { Transport::Tcp } else { Transport::Udp });
        }
    }
}

/// Every name of every standing zone, and names beside and below it, for every type.
#[test]
fn the_engine_agrees_on_every_name_that_stands() {
    for at in 0..world::STANDING_COUNT {
        let world = world::standing(at);
        let owners: std::collections::BTreeSet<_> = world
            .zones
            .iter()
            .flat_map(|zone| zone.rows.iter().map(|row| row.owner.clone()).chain(zone.silent.clone()))
            .collect();
        for owner in owners {
            let parent = owner.parent().unwrap_or_else(|| owner.clone());
            let around = [owner.clone(), parent.clone()].into_iter();
            let beside = [&owner, &parent].into_iter().flat_map(|name| [name.child(b"x"), name.child(b"*")]);
            for qname in around.chain(beside.flatten()) {
                for qtype in TYPES.iter().chain(&[Type::TXT, Type::AAAA, Type::SVCB, Type::NAPTR, Type::PTR]) {
                    for transport in [Transport::Udp, Transport::Tcp] {
                        check(world, &query::plain(&qname, *qtype), transport);
                        check(world, &query::dnssec(&qname, *qtype), transport);
                    }
                }
            }
        }
    }
}
