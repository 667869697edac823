//! Is the content of two tables the same, the serial left out? Shards they share are not read.

use crate::dns::Type;
use crate::zone::table::{Node, Records, Table, hash_folded};

/// Bytes from the serial of a SOA to the end of its RDATA, and of the serial itself.
const FROM_SERIAL: usize = 20;
const SERIAL: usize = 4;

impl Table {
    /// True if both hold the same records, apart from the serial of the SOA. Silence is no content.
    pub fn same_content(&self, other: &Self) -> bool {
        if self.apex.wire != other.apex.wire || self.records != other.records {
            return false;
        }
        if self.shard_bits != other.shard_bits {
            return self.iter().all(|node| sets_are_in(&node, other));
        }
        // As many records in both, and each of ours in theirs: the same.
        let rows =
            self.rows.iter().zip(other.rows.iter()).filter(|(ours, theirs)| !std::sync::Arc::ptr_eq(ours, theirs));
        let mut shards = rows
            .flat_map(|(ours, theirs)| ours.iter().zip(theirs.iter()))
            .filter(|(ours, theirs)| !ours.is_equal(theirs));
        let node = |raw| Node { table: self, raw };
        self.apart.unlike(&other.apart).all(|raw| sets_are_in(&node(raw), other))
            && shards.all(|(ours, _)| ours.nodes().all(|raw| sets_are_in(&node(self.whole(raw)), other)))
    }

    /// A number made of the records, apart from the serial of the SOA: the same in every run and for every layout of
    /// shards. Different content has a different one, but for one case in 2⁶⁴.
    pub fn digest(&self) -> u64 {
        let mut digest = hash_folded(&self.apex.wire);
        for node in self.iter() {
            let owner = self.hash_of(node.raw.relative());
            for set in node.sets() {
                let (before, after) = around_serial(&set);
                let parts = [owner, hash_folded(before), hash_folded(after)].map(u64::to_le_bytes);
                // A sum, as nodes come in no order.
                digest = digest.wrapping_add(hash_folded(parts.as_flattened()));
            }
        }
        digest
    }
}

fn sets_are_in(node: &Node<'_>, other: &Table) -> bool {
    let Some(theirs) = other.find(node.raw.relative(), node.table.hash_of(node.raw.relative())) else {
        return node.is_empty();
    };
    node.raw
        .slots()
        .all(|(slot, ours)| theirs.raw.get(slot).is_some_and(|theirs| around_serial(&ours) == around_serial(&theirs)))
}

/// The records without the serial, if there is one.
fn around_serial<'t>(records: &Records<'t>) -> (&'t [u8], &'t [u8]) {
    let wire = records.wire;
    match wire.len().checked_sub(FROM_SERIAL) {
        Some(serial) if records.rtype == Type::SOA => (&wire[..serial], &wire[serial + SERIAL..]),
        _ => (wire, &[]),
    }
}
