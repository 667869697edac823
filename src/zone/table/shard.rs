//! About 256 names in one allocation of cache lines: buckets first, then nodes.
//!
//! A bucket line holds 16 tags (15 bits of the hash) and 16 offsets of nodes. What finds its line full goes on to the
//! next one. Offsets count units of 8 bytes; a shard with more than 512 KiB of data counts in bigger ones, so that
//! RRsets of any size find room.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::zone::table::hash::equal;
use crate::zone::table::node::Raw;

/// One cache line of a shard.
#[derive(Clone, Copy, Pod, Zeroable, PartialEq, Eq, Debug)]
#[repr(C, align(64))]
pub(super) struct Line {
    tags: [u16; SLOTS],
    offsets: [u16; SLOTS],
}

impl Line {
    /// The slots, as bits, whose tag is that of `hash`: compared all at once, without a branch.
    #[inline]
    fn alike(&self, hash: u64) -> u16 {
        let tag = tag_of(hash);
        let mut alike = BITS;
        for (bit, &stored) in alike.iter_mut().zip(&self.tags) {
            *bit &= if stored == tag { u16::MAX } else { 0 };
        }
        alike.into_iter().fold(0, |all, one| all | one)
    }
}

/// The bit of each slot.
const BITS: [u16; SLOTS] = {
    let mut bits = [0; SLOTS];
    let mut slot = 0;
    while slot < SLOTS {
        bits[slot] = 1 << slot;
        slot += 1;
    }
    bits
};
/// Bytes of a cache line.
const LINE: usize = size_of::<Line>();
/// Nodes a bucket line points to.
const SLOTS: usize = 16;
/// Nodes a bucket line should point to: at 9 of 16, two lines in a hundred overflow.
const LOAD: usize = 9;
/// Nodes start at multiples of at least 2³ bytes.
const UNIT_SHIFT: u8 = 3;
/// Nodes a shard can point to: each offset but 0, less what the buckets take. A hash that spreads never comes near.
const NODES_MAX: usize = 60_000;
/// Nodes may start at multiples of at most 2³¹ bytes: 65,535 of those hold all that memory does.
const UNIT_SHIFT_MAX: u8 = 31;

/// See the head of this file.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    lines: Arc<[Line]>,
    names: u32,
    /// Lines of buckets, of which there are always fewer than nodes.
    buckets: u16,
    unit_shift: u8,
}

/// A node on its way into a shard: hash of its full name, and where its bytes stand.
pub(super) type Placed = (u64, Range<usize>);

impl Shard {
    /// From nodes sorted by hash, then name; their bytes stand in `data`. Equal nodes make equal bytes.
    pub(super) fn build(nodes: &[Placed], data: &[u8]) -> Self {
        let nodes = &nodes[..nodes.len().min(NODES_MAX)];
        let buckets = bucket_count(nodes.len());
        let (unit_shift, end) = fit(buckets * LINE, nodes);
        let mut shared: Arc<[Line]> = std::iter::repeat_n(Line::zeroed(), end.div_ceil(LINE)).collect();
        let lines = Arc::make_mut(&mut shared);
        let mut at = buckets * LINE;
        for (hash, range) in nodes {
            at = round_up(at, unit_shift);
            let Ok(offset) = u16::try_from(at >> unit_shift) else {
                break;
            };
            let mut bucket = bucket_of(*hash, buckets);
            while lines[bucket].offsets[SLOTS - 1] != 0 {
                bucket = (bucket + 1) % buckets;
            }
            let line = &mut lines[bucket];
            let slot = line.offsets.iter().position(|&offset| offset == 0).unwrap_or(SLOTS - 1);
            (line.tags[slot], line.offsets[slot]) = (tag_of(*hash), offset);
            bytemuck::must_cast_slice_mut::<Line, u8>(lines)[at..at + range.len()]
                .copy_from_slice(&data[range.clone()]);
            at += range.len();
        }
        Self { lines: shared, names: nodes.len() as u32, buckets: buckets as u16, unit_shift }
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::must_cast_slice(&self.lines)
    }

    #[inline]
    fn buckets(&self) -> usize {
        usize::from(self.buckets)
    }

    /// The node of this relative name, whose full name has this hash; its bytes go on to the shard's end.
    #[inline]
    pub(super) fn find(&self, relative: &[u8], hash: u64) -> Option<Raw<'_>> {
        let buckets = self.buckets();
        let mut bucket = bucket_of(hash, buckets);
        for _ in 0..buckets {
            let line = self.lines.get(bucket)?;
            let mut alike = line.alike(hash);
            while alike != 0 {
                let slot = alike.trailing_zeros() as usize % SLOTS;
                let node = Raw(self.bytes().get(usize::from(line.offsets[slot]) << self.unit_shift..)?);
                if equal(node.relative(), relative) {
                    return Some(node);
                }
                alike &= alike - 1;
            }
            if line.offsets[SLOTS - 1] == 0 {
                return None;
            }
            bucket = (bucket + 1) % buckets;
        }
        None
    }

    /// Reads a byte of the bucket line.
    #[inline]
    pub(super) fn touch_bucket(&self, hash: u64) -> u8 {
        self.lines.get(bucket_of(hash, self.buckets())).map_or(0, |line| line.tags[0] as u8)
    }

    /// Where the node begins that the bucket line leads to first.
    #[inline]
    pub(super) fn node_at(&self, hash: u64) -> Option<usize> {
        let line = self.lines.get(bucket_of(hash, self.buckets()))?;
        let slot = line.alike(hash).trailing_zeros() as usize;
        Some(usize::from(*line.offsets.get(slot)?) << self.unit_shift)
    }

    /// Reads a byte of each of the two first lines of the node that begins there.
    #[inline]
    pub(super) fn touch_node(&self, at: usize) -> u8 {
        let byte = |at: usize| self.bytes().get(at).copied().unwrap_or(0);
        byte(at) ^ byte(at + LINE)
    }

    /// All nodes in the order they were built in.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Raw<'_>> {
        let mut at = self.buckets() * LINE;
        (0..self.names).map_while(move |_| {
            at = round_up(at, self.unit_shift);
            let rest = self.bytes().get(at..)?;
            let length = Raw(rest).length();
            at += length;
            rest.get(..length).map(Raw)
        })
    }

    /// Bytes it keeps allocated.
    pub(super) fn size(&self) -> usize {
        self.lines.len() * LINE + LINE
    }

    /// True if both are the same allocation.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lines, &other.lines)
    }

    /// True if both hold the same bytes.
    pub(super) fn is_equal(&self, other: &Self) -> bool {
        self.is_same(other)
            || (self.names == other.names && self.unit_shift == other.unit_shift && self.bytes() == other.bytes())
    }
}

fn bucket_count(names: usize) -> usize {
    names / LOAD + 1
}

/// The tag by the lowest bits of the hash; never 0, which stands in slots that are free.
#[inline]
fn tag_of(hash: u64) -> u16 {
    hash as u16 | 1
}

/// The bucket by the middle bits of the hash: the top ones chose the shard, the lowest are the tag.
#[inline]
fn bucket_of(hash: u64, buckets: usize) -> usize {
    let middle = hash >> 16 & 0xffff_ffff;
    ((middle * buckets as u64) >> 32) as usize
}

fn round_up(at: usize, shift: u8) -> usize {
    at.next_multiple_of(1 << shift)
}

/// The smallest unit in which the last node's offset is 16 bits, and the end of the nodes then.
fn fit(start: usize, nodes: &[Placed]) -> (u8, usize) {
    let mut shift = UNIT_SHIFT;
    loop {
        let (mut last, mut end) = (start, start);
        for (_, range) in nodes {
            last = round_up(end, shift);
            end = last + range.len();
        }
        if last >> shift <= usize::from(u16::MAX) || shift == UNIT_SHIFT_MAX {
            return (shift, end);
        }
        shift += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Type;
    use crate::zone::table::node::{Draft, Slot};

    /// Nodes `n0`, `n1`, … with one TXT of `size` bytes each.
    fn shard(names: usize, size: usize, hash: impl Fn(usize) -> u64) -> (Shard, Vec<(Vec<u8>, u64)>) {
        let (mut data, mut nodes, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..names {
            let label = format!("n{index}");
            let relative = [&[label.len() as u8], label.as_bytes()].concat();
            let mut draft = Draft::default();
            draft.push(Slot::plain(Type::TXT), 1, [&vec![index as u8; size][..]].into_iter(), b"\0");
            let start = data.len();
            draft.write(&relative, &mut data);
            nodes.push((hash(index), start..data.len()));
            keys.push((relative, hash(index)));
        }
        (Shard::build(&nodes, &data), keys)
    }

    fn holds_all(shard: &Shard, keys: &[(Vec<u8>, u64)]) {
        for (index, (relative, hash)) in keys.iter().enumerate() {
            let node = shard.find(relative, *hash).unwrap();
            assert_eq!(node.records(Type::TXT).unwrap().rdata().next().unwrap().first(), Some(&(index as u8)));
        }
        assert_eq!(
            shard.nodes().map(|node| node.relative().to_vec()).collect::<Vec<_>>(),
            keys.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        );
        assert!(shard.find(b"\x07missing", 77).is_none());
    }

    #[test]
    fn full_buckets_go_on_to_the_next() {
        for hash in [0, 77, u64::MAX] {
            let (shard, keys) = shard(300, 3, |_| hash);
            holds_all(&shard, &keys);
        }
    }

    #[test]
    fn what_is_fetched_ahead_is_what_is_found() {
        let (shard, keys) = shard(200, 9, |index| (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let leads = |(relative, hash): &&(Vec<u8>, u64)| {
            shard.node_at(*hash).is_some_and(|at| Raw(&shard.bytes()[at..]).relative() == relative)
        };
        // But for those that overflow into the next bucket, or share a tag.
        assert!(keys.iter().filter(leads).count() > 180);
        assert_eq!(shard.node_at(0), None, "no tag is 1 here");
    }

    #[test]
    fn data_beyond_512_kib_takes_bigger_units() {
        let (big, keys) = shard(250, 60_000, |index| (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        assert!(big.unit_shift > UNIT_SHIFT);
        holds_all(&big, &keys);
        let (none, _) = shard(0, 0, |_| 0);
        assert!(none.find(b"", 0).is_none());
        assert_eq!(none.size(), 2 * LINE);
    }
}
