//! RFC 1034 §4.3.2 written down slowly over lists of records, and random tiny zones on which the engine must agree.

use std::collections::BTreeSet;

use failoverd::dns::{Name, Type};
use failoverd::zone::table::Builder;
use proptest::prelude::*;

use super::world::{World, name, query, type_word};

#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    owner: Name,
    rtype: Type,
    rdata: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Zone {
    apex: Name,
    rows: Vec<Row>,
}

impl Zone {
    fn owned(&self, owner: &Name, rtype: Type) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.owner == *owner && row.rtype == rtype).collect()
    }

    fn has(&self, owner: &Name, rtype: Type) -> bool {
        !self.owned(owner, rtype).is_empty()
    }

    /// A name exists if it or a name below it owns a record (RFC 4592 §2.2).
    fn exists(&self, name: &Name) -> bool {
        *name == self.apex || self.rows.iter().any(|row| row.owner.is_within(name))
    }
}

/// What a reply should hold: records as `owner type rdata`.
#[derive(Default, PartialEq, Eq, Debug)]
struct Expected {
    rcode: String,
    aa: bool,
    answer: BTreeSet<String>,
    authority: BTreeSet<String>,
}

fn line(owner: &Name, rtype: Type, target: &[u8]) -> String {
    let text = match rtype {
        Type::A => format!("192.0.2.{}", target[3]),
        _ => Name::from_wire(target).unwrap().folded().to_string(),
    };
    format!("{} {} {text}", owner.folded(), type_word(rtype))
}

fn soa_line(zone: &Zone) -> String {
    format!("{} SOA", zone.apex)
}

fn answer_slowly(zones: &[Zone], qname: &Name, qtype: Type) -> Expected {
    let mut expected = Expected { rcode: "NOERROR".into(), ..Expected::default() };
    let (mut qname, mut seen) = (qname.clone(), Vec::new());
    'restart: loop {
        if seen.contains(&qname) || seen.len() > 64 {
            return expected;
        }
        seen.push(qname.clone());
        let first = seen.len() == 1;
        let deepest = |holds: &dyn Fn(&&Zone) -> bool| {
            zones
                .iter()
                .filter(|zone| qname.is_within(&zone.apex) && holds(zone))
                .max_by_key(|zone| zone.apex.label_count())
        };
        let above = deepest(&|zone| zone.apex != qname).filter(|_| qtype == Type::DS);
        let Some(zone) = above.or(deepest(&|_| true)) else {
            if first {
                expected.rcode = "REFUSED".into();
            }
            return expected;
        };
        expected.aa |= first;
        // From the apex down to QNAME.
        let mut path: Vec<Name> = std::iter::successors(Some(qname.clone()), Name::parent)
            .take_while(|name| name.is_within(&zone.apex))
            .collect();
        path.reverse();
        let mut node = zone.apex.clone();
        for next in &path[1..] {
            if let [dname, ..] = zone.owned(&node, Type::DNAME)[..] {
                expected.answer.insert(line(&node, Type::DNAME, &dname.rdata));
                let target = [qname.strip(&node).unwrap(), &dname.rdata].concat();
                let Ok(target) = Name::from_wire(&target) else {
                    expected.rcode = "YXDOMAIN".into();
                    return expected;
                };
                expected.answer.insert(line(&qname, Type::CNAME, target.as_wire()));
                if qtype == Type::CNAME || Name::from_wire(&dname.rdata).unwrap().is_within(&node) {
                    return expected;
                }
                qname = target;
                continue 'restart;
            }
            if !zone.exists(next) {
                let star = node.child(b"*").unwrap();
                if !zone.exists(&star) {
                    expected.rcode = "NXDOMAIN".into();
                    expected.authority.insert(soa_line(zone));
                    return expected;
                }
                node = star;
                break;
            }
            if zone.has(next, Type::NS) && !(*next == qname && qtype == Type::DS) {
                expected.aa &= !first;
                expected.authority =
                    zone.owned(next, Type::NS).iter().map(|row| line(next, Type::NS, &row.rdata)).collect();
                return expected;
            }
            node = next.clone();
        }
        let rows = zone.owned(&node, qtype);
        if !rows.is_empty() {
            expected.answer.extend(rows.iter().map(|row| line(&qname, qtype, &row.rdata)));
            return expected;
        }
        if qtype == Type::SOA && node == zone.apex {
            expected.answer.insert(soa_line(zone));
            return expected;
        }
        let [cname, ..] = zone.owned(&node, Type::CNAME)[..] else {
            expected.authority.insert(soa_line(zone));
            return expected;
        };
        expected.answer.insert(line(&qname, Type::CNAME, &cname.rdata));
        qname = Name::from_wire(&cname.rdata).unwrap();
    }
}

/// What the engine says, in the model's words: no TTL, no RDATA of SOA.
fn answer_fast(world: &mut World, qname: &Name, qtype: Type) -> Expected {
    let (wire, transport) = query(&format!("{qname} {} +tcp", type_word(qtype)));
    let reply = super::world::Answer::parse(&world.exchange(&wire, transport).unwrap());
    let words = |lines: &[String]| -> BTreeSet<String> {
        lines
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let rdata = if words[2] == "SOA" { String::new() } else { format!(" {}", words[3..].join(" ")) };
                format!("{} {}{rdata}", words[0], words[2]).to_ascii_lowercase()
            })
            .collect()
    };
    let count = reply.answer.len();
    let expected =
        Expected { rcode: reply.rcode, aa: reply.aa, answer: words(&reply.answer), authority: words(&reply.authority) };
    assert_eq!(expected.answer.len(), count, "no record twice: {:?}", reply.answer);
    expected
}

const APEXES: [&str; 3] = ["z", "s.z", "y"];
const TYPES: [Type; 5] = [Type::A, Type::NS, Type::CNAME, Type::DNAME, Type::DS];

fn names() -> impl Strategy<Value = Name> {
    let labels =
        proptest::collection::vec(prop_oneof![4 => Just("a"), 3 => Just("b"), 3 => Just("*"), 1 => Just("s")], 0..4);
    let apex = prop_oneof![5 => Just("z"), 2 => Just("s.z"), 2 => Just("y"), 1 => Just("x")];
    (labels, apex).prop_map(|(labels, apex)| name(&[labels, vec![apex]].concat().join(".")))
}

fn zones() -> impl Strategy<Value = Vec<Zone>> {
    let row = (names(), 0..4_usize, names(), 0..3_u8).prop_map(|(owner, rtype, target, host)| {
        let rtype = TYPES[rtype];
        let rdata = if rtype == Type::A { vec![192, 0, 2, host] } else { target.folded().as_wire().to_vec() };
        Row { owner, rtype, rdata }
    });
    (1..=3_usize, proptest::collection::vec(row, 0..10)).prop_map(|(count, rows)| {
        let mut zones: Vec<Zone> =
            APEXES[..count].iter().map(|apex| Zone { apex: name(apex), rows: Vec::new() }).collect();
        for row in rows {
            for zone in &mut zones {
                let others = |rtype: Type| {
                    zone.rows
                        .iter()
                        .any(|other| other.owner == row.owner && (other.rtype == Type::CNAME || rtype == Type::CNAME))
                };
                let again = matches!(row.rtype, Type::DNAME) && zone.has(&row.owner, Type::DNAME);
                let is_apex_alias = row.owner == zone.apex && row.rtype == Type::CNAME;
                if row.owner.is_within(&zone.apex)
                    && !others(row.rtype)
                    && !again
                    && !is_apex_alias
                    && !zone.rows.contains(&row)
                {
                    zone.rows.push(row.clone());
                }
            }
        }
        zones
    })
}

fn world(zones: &[Zone]) -> World {
    World::of(zones.iter().map(|zone| {
        let mut builder = Builder::new(zone.apex.clone());
        let soa = [name("ns.z").as_wire(), name("mail.z").as_wire(), &[0; 20]].concat();
        builder.push(&zone.apex, Type::SOA, 60, &soa).unwrap();
        for row in &zone.rows {
            builder.push(&row.owner, row.rtype, 60, &row.rdata).unwrap();
        }
        builder.finish().0
    }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_with_the_slow_algorithm(zones in zones(), asked in proptest::collection::vec((names(), 0..5_usize), 1..12)) {
        let mut world = world(&zones);
        for (qname, qtype) in asked {
            let expected = answer_slowly(&zones, &qname, TYPES[qtype]);
            let lower = |lines: BTreeSet<String>| lines.into_iter().map(|line| line.to_ascii_lowercase()).collect();
            let expected = Expected { answer: lower(expected.answer), authority: lower(expected.authority), ..expected };
            let reply = answer_fast(&mut world, &qname, TYPES[qtype]);
            prop_assert_eq!(reply, expected, "{} {}", qname, TYPES[qtype]);
        }
    }
}
