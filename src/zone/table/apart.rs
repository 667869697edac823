//! Nodes that stand apart from their shards, because they change often: the steered names, and the apex for its serial.
//!
//! ```text
//!  shard ──► node of the name: only its number here ──► chunk of 64 ──► the node
//! ```
//!
//! A change copies the chunks its nodes are in, some KB each, and a directory of chunks; the shards stay as they are. So
//! a turn costs the same in a zone of a thousand names and in one of a million, and ten thousand turns at once copy
//! less than a megabyte instead of nearly every shard.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dns::{Name, Type};
use crate::zone::table::node::{Draft, Raw, SILENT, Slot};
use crate::zone::table::{Node, Table, hash_folded};

/// Nodes per chunk.
const CHUNK: usize = 64;
/// Bytes at the head of a chunk that say where each of its nodes ends.
const ENDS: usize = CHUNK * END;
const END: usize = size_of::<u32>();
/// The types that [`Holding`] replaces, in order.
const HELD: [Type; 3] = [Type::A, Type::CNAME, Type::AAAA];

/// Where a node that stands apart is. The same in every table made from the one it was asked of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spot(pub(super) u32);

/// What stands at a steered name from now on. Its data of other types stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding<'d> {
    /// In seconds.
    pub ttl: u32,
    pub addresses: &'d [IpAddr],
    pub cname: Option<&'d Name>,
    /// Queries for it get no reply.
    pub silent: bool,
}

/// All nodes that stand apart, by spot. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    chunks: Arc<[Arc<[u8]>]>,
}

impl Apart {
    /// The node of this spot, if there is one.
    #[inline]
    pub(super) fn get(&self, spot: Spot) -> Option<Raw<'_>> {
        let index = spot.0 as usize;
        node_in(self.chunks.get(index / CHUNK)?, index % CHUNK)
    }

    /// The first spot that was never taken.
    pub(super) fn end(&self) -> Spot {
        let Some(last) = self.chunks.last() else { return Spot(0) };
        let free = (0..CHUNK).rev().take_while(|&column| node_in(last, column).is_none()).count();
        Spot((self.chunks.len() * CHUNK - free) as u32)
    }

    /// With these nodes in place of the old ones, or added; one without bytes is gone.
    pub(super) fn with(&self, changed: &BTreeMap<Spot, Vec<u8>>) -> Self {
        let mut nodes = changed.iter().map(|(spot, bytes)| (spot.0 as usize, &bytes[..])).peekable();
        let mut chunks = self.chunks.to_vec();
        while let Some(&(first, _)) = nodes.peek() {
            let row = first / CHUNK;
            chunks.resize(chunks.len().max(row + 1), Arc::default());
            let mut copy = Making::of(&chunks[row]);
            while let Some((index, bytes)) = nodes.next_if(|&(index, _)| index / CHUNK == row) {
                copy.keep_until(index % CHUNK);
                copy.node(|into| into.extend_from_slice(bytes));
            }
            chunks[row] = copy.finish();
        }
        Self { chunks: chunks.into() }
    }

    /// The nodes that are not the same bytes in `other`. Chunks that are shared are not read.
    pub(super) fn unlike<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Raw<'a>> {
        let rows = self.chunks.iter().enumerate();
        let unshared = rows.filter(|(row, chunk)| other.chunks.get(*row).is_none_or(|old| !Arc::ptr_eq(old, chunk)));
        unshared.flat_map(move |(row, chunk)| {
            let theirs = move |column| other.chunks.get(row).and_then(|chunk| node_in(chunk, column));
            let ours = (0..CHUNK).filter_map(move |column| Some((column, node_in(chunk, column)?)));
            ours.filter(move |(column, node)| theirs(*column).is_none_or(|old| old.0 != node.0)).map(|(_, node)| node)
        })
    }

    /// Bytes it keeps allocated.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len() + size_of::<Arc<[u8]>>()).sum()
    }

    /// Chunks that both share, for tests.
    #[cfg(test)]
    pub(super) fn shared_with(&self, other: &Self) -> usize {
        self.chunks.iter().zip(other.chunks.iter()).filter(|(ours, theirs)| Arc::ptr_eq(ours, theirs)).count()
    }

    /// How many chunks there are, for tests.
    #[cfg(test)]
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}

#[inline]
fn node_in(chunk: &[u8], column: usize) -> Option<Raw<'_>> {
    let end = |column: usize| chunk.get(column * END..)?.first_chunk().map(|end| u32::from_le_bytes(*end) as usize);
    let start = if column == 0 { ENDS } else { end(column - 1)? };
    chunk.get(start..end(column)?).filter(|bytes| !bytes.is_empty()).map(Raw)
}

/// A chunk in the making, node after node.
struct Making<'c> {
    old: &'c [u8],
    bytes: Vec<u8>,
    column: usize,
}

impl<'c> Making<'c> {
    fn of(old: &'c [u8]) -> Self {
        let mut bytes = Vec::with_capacity(old.len() + ENDS);
        bytes.resize(ENDS, 0);
        Self { old, bytes, column: 0 }
    }

    /// Takes the next node from what is written.
    fn node(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        let end = self.bytes.len() as u32;
        self.bytes[self.column * END..][..END].copy_from_slice(&end.to_le_bytes());
        self.column += 1;
    }

    /// Takes the nodes up to this one as they were.
    fn keep_until(&mut self, column: usize) {
        while self.column < column {
            let kept = node_in(self.old, self.column);
            self.node(|into| into.extend_from_slice(kept.map_or(&[], |node| node.0)));
        }
    }

    fn finish(mut self) -> Arc<[u8]> {
        self.keep_until(CHUNK);
        self.bytes.into()
    }
}

impl Table {
    /// The name that stands apart at this spot, if there is one.
    pub fn at_spot(&self, spot: Spot) -> Option<Node<'_>> {
        Some(Node { table: self, raw: self.apart.get(spot)? })
    }

    /// True if both tables differ in nothing but what stands apart.
    pub fn is_same_but_apart(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rows, &other.rows)
    }

    /// Where the node of this name stands, if it stands apart.
    pub fn spot(&self, owner: &Name) -> Option<Spot> {
        let folded = owner.as_wire().to_ascii_lowercase();
        let front = super::front_of(&folded, &self.apex.wire)?;
        self.spot_of(&folded[..front], hash_folded(&folded))
    }

    /// The spot of a relative name, whose full name has this hash.
    pub(super) fn spot_of(&self, relative: &[u8], hash: u64) -> Option<Spot> {
        self.shard(hash)?.find(relative, hash)?.spot()
    }

    /// The table after these turns: spots ascend, and one that is not taken is left out. Copies the chunks they are in
    /// and nothing else.
    #[must_use]
    pub fn turned<'d>(&self, turns: impl IntoIterator<Item = (Spot, Holding<'d>)>) -> Self {
        let mut turns = turns.into_iter().map(|(spot, held)| (spot.0 as usize, held)).peekable();
        let mut chunks = self.apart.chunks.to_vec();
        let (mut records, mut pen) = (self.records, Pen::default());
        while let Some(&(first, _)) = turns.peek() {
            let row = first / CHUNK;
            let Some(old) = chunks.get(row).cloned() else { break };
            let mut copy = Making::of(&old);
            while let Some((index, held)) = turns.next_if(|&(index, _)| index / CHUNK == row) {
                copy.keep_until(index % CHUNK);
                let Some(node) = node_in(&old, index % CHUNK) else { continue };
                pen.renew(node, &held, &self.apex.wire);
                records = (records + pen.records).saturating_sub(node.record_count());
                copy.node(|into| pen.draft.write(node.relative(), into));
            }
            chunks[row] = copy.finish();
        }
        Self { apart: Apart { chunks: chunks.into() }, records, ..self.clone() }
    }
}

/// What a node is written with, used for one after the other.
#[derive(Default)]
struct Pen<'d> {
    draft: Draft,
    /// Records in the draft.
    records: usize,
    /// What the draft holds, if nothing else: with the flags and children of the node it was made for.
    last: Option<(Holding<'d>, u8, u32)>,
    four: Vec<[u8; 4]>,
    six: Vec<[u8; 16]>,
}

impl<'d> Pen<'d> {
    /// Makes the draft hold what `node` holds, with the steered types replaced. Names that turn at once often come to
    /// hold the same and nothing else: then it is made already.
    fn renew(&mut self, node: Raw<'_>, held: &Holding<'d>, apex: &[u8]) {
        let is_all = node.slots().all(|(slot, _)| !slot.is_signature && HELD.contains(&slot.rtype));
        let next = is_all.then(|| (*held, node.flags(), node.children()));
        if next.is_some() && next == self.last {
            return;
        }
        self.last = next;
        self.four.clear();
        self.six.clear();
        for address in held.addresses {
            match address {
                IpAddr::V4(address) => self.four.push(address.octets()),
                IpAddr::V6(address) => self.six.push(address.octets()),
            }
        }
        self.four.sort_unstable();
        self.four.dedup();
        self.six.sort_unstable();
        self.six.dedup();
        self.draft.clear();
        self.draft.flags = if held.silent { node.flags() | SILENT } else { node.flags() & !SILENT };
        self.draft.children = node.children();
        let mut fresh = HELD.into_iter().peekable();
        for (slot, set) in node.slots() {
            while let Some(rtype) = fresh.next_if(|&rtype| Slot::plain(rtype) < slot) {
                self.push(rtype, held, apex);
            }
            if slot.is_signature || !HELD.contains(&slot.rtype) {
                self.draft.copy(slot, &set);
            }
        }
        fresh.for_each(|rtype| self.push(rtype, held, apex));
        self.records = self.draft.record_count();
    }

    fn push(&mut self, rtype: Type, held: &Holding<'_>, apex: &[u8]) {
        let slot = Slot::plain(rtype);
        match rtype {
            Type::A if !self.four.is_empty() => {
                self.draft.push(slot, held.ttl, self.four.iter().map(<[u8; 4]>::as_slice), apex);
            }
            Type::AAAA if !self.six.is_empty() => {
                self.draft.push(slot, held.ttl, self.six.iter().map(<[u8; 16]>::as_slice), apex);
            }
            Type::CNAME => {
                if let Some(target) = held.cname {
                    self.draft.push(slot, held.ttl, std::iter::once(target.as_wire()), apex);
                }
            }
            _ => {}
        }
    }
}
