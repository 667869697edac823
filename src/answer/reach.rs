//! Reach: the memory that answers will read, asked for before the first of them is written.
//!
//! A table of a million names is not in the cache, and a lookup in it waits for two lines, one after the other: that of
//! the bucket, and that of the node. So the lookups of many queries are made side by side, a step at a time. No load
//! of a step depends on another one of the same step, and the processor makes them all at once. What an answer reads
//! next, in the node of an alias's target, of a host that MX names, or of the name above, is found and asked for in
//! the same way.

use std::hint::black_box;

use crate::answer::Ask;
use crate::dns::folded::Folded;
use crate::dns::name::wire_length;
use crate::dns::{Class, Type};
use crate::snapshot::Snapshot;
use crate::zone::table::{Bucket, Node, Table, hash_folded};

/// Tables of fewer names, which take about 512 KiB, are in the cache anyway.
const REACH_FROM: usize = 10_000;
/// Queries that are reached for at once: more than a processor has loads under way.
const AT_ONCE: usize = 32;

/// One lookup of an answer.
#[derive(Clone, Copy)]
struct Lookup<'s> {
    table: &'s Table,
    bucket: Bucket<'s>,
    /// Bytes of the name that stand before the one looked up, and before the apex.
    front: usize,
    apex: usize,
}

/// Touches the memory that answers to these queries will read. Changes nothing.
#[inline]
pub fn reach(from: &Snapshot, asks: &[Ask]) {
    if from.zones.largest() >= REACH_FROM {
        asks.chunks(AT_ONCE).for_each(|asks| reach_far(from, asks));
    }
}

fn reach_far(from: &Snapshot, asks: &[Ask]) {
    let mut lookups = [None; AT_ONCE];
    for (lookup, ask) in lookups.iter_mut().zip(asks) {
        *lookup = first(from, ask);
    }
    touch(&lookups);
    // The name itself leads to another one; and so does the name above it.
    for _ in 0..2 {
        for (lookup, ask) in lookups.iter_mut().zip(asks) {
            *lookup = lookup.and_then(|lookup| next(&lookup, ask));
        }
        touch(&lookups);
    }
}

/// Reads from the lines of the buckets, and then from those of the nodes they lead to.
fn touch(lookups: &[Option<Lookup<'_>>]) {
    let buckets = lookups.iter().flatten().fold(0, |sum, lookup| sum ^ lookup.bucket.touch());
    let nodes = lookups.iter().flatten().fold(0, |sum, lookup| sum ^ lookup.bucket.touch_node());
    black_box((buckets, nodes));
}

/// The whole name.
fn first<'s>(from: &'s Snapshot, ask: &Ask) -> Option<Lookup<'s>> {
    let (zone, apex) = from.zones.find(ask.name()).filter(|_| ask.qclass == Class::IN)?;
    Some(Lookup { table: &zone.table, bucket: zone.table.bucket(ask.hash)?, front: 0, apex })
}

/// What is looked up once that is known.
fn next<'s>(lookup: &Lookup<'s>, ask: &Ask) -> Option<Lookup<'s>> {
    let Lookup { table, front, apex, .. } = *lookup;
    let name = ask.name();
    let relative = name.get(front..apex)?;
    let Some(node) = lookup.bucket.node(relative) else {
        // The walk comes to the name above; that of the apex is always at hand.
        let above = front + usize::from(*relative.first()?) + 1;
        let bucket = (above < apex).then(|| table.bucket(hash_folded(&name[above..])))??;
        return Some(Lookup { bucket, front: above, ..*lookup });
    };
    let hash = if front > 0 && node.has_wildcard() {
        hash_folded(Folded::default().set(b"\x01*", &name[front..])?)
    } else {
        target(table, node, if front > 0 { Type::NS } else { ask.qtype })?
    };
    // Where it leads to is not looked for.
    Some(Lookup { bucket: table.bucket(hash)?, front: apex, ..*lookup })
}

/// Hash of the first name in this zone that the answer of this node leads to.
fn target(table: &Table, node: Node<'_>, qtype: Type) -> Option<u64> {
    let records = node.records(qtype).or_else(|| node.records(Type::CNAME))?;
    // Only of types with names that end in the apex; SRV has them elsewhere.
    let offset = match records.rtype {
        Type::CNAME | Type::NS => 0,
        Type::MX => 2,
        Type::SRV => 6,
        _ => return None,
    };
    let name = records.rdata().next()?.get(offset..)?;
    let mut folded = Folded::default();
    let name = folded.set(name.get(..wire_length(name).ok()?)?, &[])?;
    name.ends_with(table.apex_wire()).then(|| hash_folded(name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::answer::read;
    use crate::dns::{Name, Serial};
    use crate::snapshot::{ZoneVersion, Zones};
    use crate::zone::table::Builder;

    fn name(text: &str) -> Name {
        Name::absolute(text).unwrap()
    }

    /// Names of the lookups that are made ahead of an answer, whose bucket and node are touched.
    fn looked_up(zone: &ZoneVersion, qname: &str, qtype: Type) -> Vec<String> {
        let query = [b"\0\0\0\0\0\x01\0\0\0\0\0\0", name(qname).as_wire(), &qtype.0.to_be_bytes(), b"\0\x01"].concat();
        let ask = read(&query);
        let snapshot = Snapshot { zones: Zones::from_iter([Arc::new(zone.clone())]), ..Snapshot::default() };
        let mut lookup = first(&snapshot, &ask);
        let mut names = Vec::new();
        for _ in 0..3 {
            let Some(this) = lookup else { break };
            let is_it = |node: &Node<'_>| this.bucket.node(node.relative()).is_some_and(|found| found.is_same(node));
            let found = zone.table.iter().find(is_it);
            names.push(found.map_or("nothing".into(), |node| node.owner().to_string()));
            lookup = next(&this, &ask);
        }
        names
    }

    #[test]
    fn what_an_answer_reads_is_reached_for() {
        let mut builder = Builder::new(name("test"));
        let mut push = |owner: &str, rtype, rdata: &[u8]| builder.push(&name(owner), rtype, 60, rdata).unwrap();
        push("host.test", Type::A, &[192, 0, 2, 1]);
        push("alias.test", Type::CNAME, b"\x04HOST\x04test\0");
        push("away.test", Type::CNAME, b"\x04host\x05other\0");
        push("mail.test", Type::MX, b"\0\x0a\x04host\x04test\0");
        push("_sip._tcp.test", Type::SRV, b"\0\0\0\0\0\x50\x04host\x04test\0");
        push("*.wild.test", Type::A, &[192, 0, 2, 2]);
        push("cut.test", Type::NS, b"\x02ns\x03cut\x04test\0");
        push("ns.cut.test", Type::A, &[192, 0, 2, 3]);
        let zone = ZoneVersion { apex: name("test"), serial: Serial(1), table: builder.finish().0 };
        for (qname, qtype, names) in [
            ("host.test", Type::A, &["host.test."][..]),
            ("alias.test", Type::A, &["alias.test.", "host.test."]),
            ("away.test", Type::A, &["away.test."]),
            ("mail.test", Type::MX, &["mail.test.", "host.test."]),
            ("_sip._tcp.test", Type::SRV, &["_sip._tcp.test.", "host.test."]),
            ("x.wild.test", Type::A, &["nothing", "wild.test.", "*.wild.test."]),
            ("www.cut.test", Type::A, &["nothing", "cut.test.", "ns.cut.test."]),
            ("missing.test", Type::A, &["nothing"]),
            ("host.elsewhere", Type::A, &[]),
        ] {
            assert_eq!(looked_up(&zone, qname, qtype), names, "{qname}");
        }
    }
}
