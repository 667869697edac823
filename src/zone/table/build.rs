//! A table from records in any order.
//!
//! Records are packed into 256 parts by the top bits of their owner's hash as they come, and the parts are finished one
//! after the other, each freed as its shards are made: the records are never in memory twice.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::dns::folded::Folded;
use crate::dns::rdata::canonical;
use crate::dns::{Name, Type};
use crate::zone::table::apart::Apart;
use crate::zone::table::covers::Covers;
use crate::zone::table::denial::Denial;
use crate::zone::table::node::{Draft, Slot, UNDER, WILDCARD, front_of};
use crate::zone::table::shard::{Placed, Shard};
use crate::zone::table::{Apex, RRSET_MAX, Row, Table, hash_folded, shard_index};

/// Parts that records are sorted into while they come.
const PARTS_BITS: u8 = 8;
/// A shard should hold between half of this and this many names: 288 on average.
const SHARD_NAMES: usize = 384;
/// More shards than this are not made, whatever the number of names.
const SHARD_BITS_MAX: u8 = 24;
/// When so many names have been counted, the number of all is known well enough.
const COUNTED: usize = 16_384;
/// Marks a packed record that is none but says "this label is a child of this name".
const CHILD: Type = Type(0);

/// Why a record cannot stand in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushError {
    /// The owner is not within the apex.
    OutOfZone,
    /// RDATA over 65,535 bytes.
    TooLong,
    /// A type that is asked for but never stored: 0, OPT, and 128 to 255 (RFC 6895 §3.1).
    MetaType,
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfZone => "the owner is not within the zone",
            Self::TooLong => "the record data is longer than 65,535 bytes",
            Self::MetaType => "records of this type cannot be stored",
        })
    }
}

impl std::error::Error for PushError {}

/// What a table makes of records that do not go together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Oddity {
    /// The TTLs of an RRset, or of its signatures, differed; all have the lowest now (RFC 2181 §5.2).
    MixedTtl { owner: Name, rtype: Type, lowest: u32 },
    /// The same record twice; one is left (RFC 2181 §5).
    Duplicate { owner: Name, rtype: Type },
    /// Over [`RRSET_MAX`]: no message could hold it. It was left out.
    TooLarge { owner: Name, rtype: Type, bytes: usize },
}

/// Takes records and makes a [`Table`].
pub struct Builder {
    apex: Apex,
    parts: Vec<Vec<u8>>,
    /// Owner of the record before, as it was given.
    given: Vec<u8>,
    /// The same, folded, and how many bytes of it stand before the apex.
    last: Box<Folded>,
    front: usize,
    /// The run that its next record goes on with.
    open: Option<Run>,
    /// Room for the next owner.
    next: Box<Folded>,
    covers: Covers,
    apex_has_wildcard: bool,
}

/// A run that is being packed: hash of its owner, its part, and where it begins there.
#[derive(Clone, Copy)]
struct Run {
    hash: u64,
    part: usize,
    at: usize,
}

/// A packed run, which is records of one owner that came one after the other: hash of the owner, bytes of the records,
/// length of the name, then the name, then the records.
const RUN_HEAD: usize = 8 + 4 + 1;
/// A record of a run: type, TTL, RDLENGTH, then the RDATA.
const RECORD_HEAD: usize = 2 + 4 + 2;
/// A run that has grown beyond this many bytes is followed by another one.
const RUN_MAX: usize = 1 << 24;

#[derive(Clone, Copy)]
struct Entry<'p> {
    relative: &'p [u8],
    slot: Slot,
    rtype: Type,
    ttl: u32,
    rdata: &'p [u8],
}

impl Builder {
    pub fn new(apex: Name) -> Self {
        let wire: Box<[u8]> = apex.as_wire().to_ascii_lowercase().into();
        let hash = hash_folded(&wire);
        let mut builder = Self {
            apex: Apex { name: apex, wire, hash },
            parts: vec![Vec::new(); 1 << PARTS_BITS],
            given: Vec::new(),
            last: Box::default(),
            front: 0,
            open: None,
            next: Box::default(),
            covers: Covers::default(),
            apex_has_wildcard: false,
        };
        // The apex exists, whatever comes.
        Run::begin(&mut builder.parts, hash, &[]).append(&mut builder.parts, CHILD, 0, &[]);
        builder
    }

    /// Takes one record of class IN; any order. Its RDATA is uncompressed and well formed for its type.
    ///
    /// # Errors
    /// Why this record cannot stand in a table. An RRset that is too large is found by [`Builder::finish`].
    pub fn push(&mut self, owner: &Name, rtype: Type, ttl: u32, rdata: &[u8]) -> Result<(), PushError> {
        self.push_wire(owner.as_wire(), rtype, ttl, rdata)
    }

    /// The same with the owner as a well-formed wire name.
    ///
    /// # Errors
    /// As [`Builder::push`].
    pub fn push_wire(&mut self, owner: &[u8], rtype: Type, ttl: u32, rdata: &[u8]) -> Result<(), PushError> {
        if matches!(rtype.0, 0 | 41 | 128..=255) {
            return Err(PushError::MetaType);
        }
        if rdata.len() > usize::from(u16::MAX) {
            return Err(PushError::TooLong);
        }
        let run = match self.open {
            Some(run) if self.given == owner => run,
            _ => self.begin(owner)?,
        };
        let is_apex = self.front == 0;
        if rtype == Type::DNAME || (rtype == Type::NS && !is_apex) {
            self.covers.add(run.hash, is_apex);
        }
        let bytes = run.append(&mut self.parts, rtype, ttl, rdata);
        self.open = Some(run).filter(|_| bytes < RUN_MAX);
        Ok(())
    }

    /// Begins the run of an owner, and says of the names above it that they exist.
    fn begin(&mut self, owner: &[u8]) -> Result<Run, PushError> {
        let wire = self.next.set(owner).ok_or(PushError::OutOfZone)?;
        let front = front_of(wire, &self.apex.wire).ok_or(PushError::OutOfZone)?;
        let last = &self.last.as_wire()[..self.front];
        self.apex_has_wildcard |= pack_ancestors(&mut self.parts, wire, front, last);
        let run = Run::begin(&mut self.parts, hash_folded(wire), &wire[..front]);
        self.given.clear();
        self.given.extend_from_slice(owner);
        std::mem::swap(&mut self.last, &mut self.next);
        self.front = front;
        Ok(run)
    }

    /// The table, and what was odd about the records, by kind and owner. Every ancestor of a name exists as a node.
    pub fn finish(mut self) -> (Table, Vec<Oddity>) {
        self.covers.ready();
        let apex = Arc::new(self.apex);
        let mut shards = Shards::new(count_names(&self.parts));
        let mut making = Making {
            apex: &apex,
            apex_has_wildcard: self.apex_has_wildcard,
            covers: &self.covers,
            full: Folded::default(),
            draft: Draft::default(),
            records: 0,
            oddities: Vec::new(),
        };
        let (mut order, mut spare) = (Vec::new(), Vec::new());
        for part in self.parts {
            order.clear();
            order.extend(runs(&part));
            sort_by_hash(&mut order, &mut spare);
            let mut entries = Vec::new();
            for same_hash in order.chunk_by(|a, b| a.0 == b.0) {
                entries.clear();
                same_hash.iter().for_each(|&(_, at)| entries.extend(records(&part, at)));
                if entries.len() > 1 {
                    entries.sort_unstable_by(|a, b| (a.relative, a.slot).cmp(&(b.relative, b.slot)));
                }
                for same_name in entries.chunk_by(|a, b| a.relative == b.relative) {
                    making.node(same_name);
                    shards.push(same_hash[0].0, |data| making.draft.write(same_name[0].relative, data));
                }
            }
        }
        let Making { records, mut oddities, .. } = making;
        let mut table = shards.finish(apex, records);
        table.settle_absence();
        table.denial = Denial::of(&table).map(Arc::new);
        oddities.sort_unstable();
        (table, oddities)
    }
}

/// Says of each name between this one, which has `front` bytes before the apex, and the apex that it exists and has the
/// next one as its child, as far as the record before has not said so: its relative name is `last`. True if the apex has
/// a wildcard.
fn pack_ancestors(parts: &mut [Vec<u8>], wire: &[u8], front: usize, last: &[u8]) -> bool {
    let mut above = 0;
    while above < front {
        let below = above;
        above += usize::from(wire[below]) + 1;
        if last.ends_with(&wire[below..front]) && is_label_start(last, last.len() - (front - below)) {
            return false;
        }
        let label = &wire[below..above];
        if above == front {
            return label == b"\x01*";
        }
        Run::begin(parts, hash_folded(&wire[above..]), &wire[above..front]).append(parts, CHILD, 0, label);
    }
    false
}

impl Run {
    /// A new run of this relative name, whose full name has this hash.
    fn begin(parts: &mut [Vec<u8>], hash: u64, relative: &[u8]) -> Self {
        let index = shard_index(hash, PARTS_BITS);
        let part = &mut parts[index];
        let run = Self { hash, part: index, at: part.len() };
        part.reserve(RUN_HEAD + relative.len());
        part.extend_from_slice(&hash.to_le_bytes());
        part.extend_from_slice(&[0, 0, 0, 0, relative.len() as u8]);
        part.extend_from_slice(relative);
        run
    }

    /// Adds a record to the run, which is the last of its part. Returns the bytes of all records of the run.
    fn append(self, parts: &mut [Vec<u8>], rtype: Type, ttl: u32, rdata: &[u8]) -> usize {
        let part = &mut parts[self.part];
        part.reserve(RECORD_HEAD + rdata.len());
        let ([t0, t1], [s0, s1, s2, s3]) = (rtype.0.to_le_bytes(), ttl.to_le_bytes());
        let [l0, l1] = (rdata.len() as u16).to_le_bytes();
        part.extend_from_slice(&[t0, t1, s0, s1, s2, s3, l0, l1]);
        part.extend_from_slice(rdata);
        let bytes = part.len() - self.at - RUN_HEAD - usize::from(part[self.at + RUN_HEAD - 1]);
        part[self.at + 8..][..4].copy_from_slice(&(bytes as u32).to_le_bytes());
        bytes
    }
}

/// True if a label of `relative`, or its end, is at `at`.
fn is_label_start(relative: &[u8], at: usize) -> bool {
    let mut start = 0;
    while start < at {
        start += usize::from(relative[start]) + 1;
    }
    start == at
}

fn number<const BYTES: usize>(part: &[u8], at: usize) -> [u8; BYTES] {
    part[at..].first_chunk().copied().unwrap_or([0; BYTES])
}

/// Where the name of the run at `at` ends, and where its records do.
fn ends(part: &[u8], at: usize) -> (usize, usize) {
    let name = at + RUN_HEAD + usize::from(part[at + RUN_HEAD - 1]);
    (name, name + u32::from_le_bytes(number(part, at + 8)) as usize)
}

/// Hash and place of each run.
fn runs(part: &[u8]) -> impl Iterator<Item = (u64, usize)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let at = next;
        (at < part.len()).then(|| {
            next = ends(part, at).1;
            (u64::from_le_bytes(number(part, at)), at)
        })
    })
}

/// Sorts the runs of a part. Their hashes spread evenly: one pass brings nearly all of them to their place.
fn sort_by_hash(runs: &mut Vec<(u64, usize)>, spare: &mut Vec<(u64, usize)>) {
    const BITS: u8 = 10;
    if runs.len() < 1 << BITS {
        return runs.sort_unstable();
    }
    let group = |hash: u64| (hash << PARTS_BITS >> (64 - u32::from(BITS))) as usize;
    let mut ends = [0; 1 << BITS];
    runs.iter().for_each(|&(hash, _)| ends[group(hash)] += 1);
    let mut end = 0;
    // Where each group begins, at first.
    for count in &mut ends {
        end += std::mem::replace(count, end);
    }
    spare.clear();
    spare.resize(runs.len(), (0, 0));
    for &run in &*runs {
        let place = &mut ends[group(run.0)];
        spare[*place] = run;
        *place += 1;
    }
    std::mem::swap(runs, spare);
    let mut start = 0;
    for end in ends {
        runs[start..end].sort_unstable();
        start = end;
    }
}

/// The records of the run at `at`; there is at least one.
fn records(part: &[u8], at: usize) -> impl Iterator<Item = Entry<'_>> {
    let (mut next, end) = ends(part, at);
    let relative = &part[at + RUN_HEAD..next];
    std::iter::from_fn(move || {
        (next < end).then(|| {
            let rtype = Type(u16::from_le_bytes(number(part, next)));
            let ttl = u32::from_le_bytes(number(part, next + 2));
            let length = usize::from(u16::from_le_bytes(number(part, next + 6)));
            let rdata = &part[next + RECORD_HEAD..][..length];
            next += RECORD_HEAD + length;
            Entry { relative, slot: Slot::of(rtype, rdata), rtype, ttl, rdata }
        })
    })
}

/// How many names there are. Of a big zone the first parts are counted, for hashes spread evenly: it only chooses the
/// number of shards, and the same names always make the same number.
fn count_names(parts: &[Vec<u8>]) -> usize {
    let (mut names, mut hashes) = (0, Vec::new());
    for (index, part) in parts.iter().enumerate() {
        hashes.clear();
        hashes.extend(runs(part).map(|(hash, _)| hash));
        hashes.sort_unstable();
        hashes.dedup();
        names += hashes.len();
        if names > COUNTED {
            return names * parts.len() / (index + 1);
        }
    }
    names
}

/// Makes one node after the other out of its entries.
struct Making<'a> {
    apex: &'a Apex,
    apex_has_wildcard: bool,
    covers: &'a Covers,
    full: Folded,
    draft: Draft,
    records: usize,
    oddities: Vec<Oddity>,
}

impl Making<'_> {
    /// Writes the draft of the name of these entries, which are sorted by type.
    fn node(&mut self, entries: &[Entry<'_>]) {
        self.draft.clear();
        let relative = entries[0].relative;
        if relative.is_empty() && self.apex_has_wildcard {
            self.draft.flags |= WILDCARD;
        }
        if self.covers.are_above(relative, &self.apex.wire, &mut self.full) {
            self.draft.flags |= UNDER;
        }
        for set in entries.chunk_by(|a, b| a.slot == b.slot) {
            if set[0].rtype == CHILD {
                self.children(set);
            } else {
                self.set(set);
            }
        }
        self.records += self.draft.record_count();
    }

    fn children(&mut self, said: &[Entry<'_>]) {
        let labels = || said.iter().map(|entry| entry.rdata).filter(|label| !label.is_empty());
        // By hash, where no two are the same: labels of numbered names are alike for many bytes.
        let mut hashes: Vec<u64> = labels().map(hash_folded).collect();
        hashes.sort_unstable();
        self.draft.children = if hashes.is_sorted_by(|a, b| a < b) {
            hashes.len() as u32
        } else {
            labels().collect::<BTreeSet<_>>().len() as u32
        };
        if labels().any(|label| label == b"\x01*") {
            self.draft.flags |= WILDCARD;
        }
    }

    fn set(&mut self, set: &[Entry<'_>]) {
        let (rtype, slot) = (set[0].rtype, set[0].slot);
        if let [one] = set
            && super::RECORD_HEAD + one.rdata.len() <= RRSET_MAX
        {
            return self.draft.push(slot, one.ttl, std::iter::once(one.rdata), &self.apex.wire);
        }
        let lowest = set.iter().map(|entry| entry.ttl).min().unwrap_or(0);
        let sorted = sorted(rtype, set.iter().map(|entry| entry.rdata));
        let owner = || Name::from_wire(&[set[0].relative, &self.apex.wire].concat()).unwrap_or_else(|_| Name::root());
        if set.iter().any(|entry| entry.ttl != lowest) {
            self.oddities.push(Oddity::MixedTtl { owner: owner(), rtype, lowest });
        }
        if sorted.len() < set.len() {
            self.oddities.push(Oddity::Duplicate { owner: owner(), rtype });
        }
        let bytes = wire_size(&sorted);
        if bytes > RRSET_MAX {
            return self.oddities.push(Oddity::TooLarge { owner: owner(), rtype, bytes });
        }
        self.draft.push(slot, lowest, sorted.iter().copied(), &self.apex.wire);
    }
}

/// In canonical order and without duplicates (RFC 4034 §6.3).
pub(super) fn sorted<'r>(rtype: Type, rdata: impl Iterator<Item = &'r [u8]>) -> Vec<&'r [u8]> {
    let mut keyed: Vec<_> = rdata.map(|one| (canonical(rtype, one), one)).collect();
    // By the bytes as written where they differ in case alone, so that the order records came in does not show.
    keyed.sort_unstable();
    keyed.dedup_by(|a, b| a.0 == b.0);
    keyed.into_iter().map(|(_, one)| one).collect()
}

/// Bytes of the records of an RRset in wire form, owners compressed.
pub(super) fn wire_size(rdata: &[&[u8]]) -> usize {
    rdata.iter().map(|one| super::RECORD_HEAD + one.len()).sum()
}

/// Shards being filled in the order of hashes.
pub(super) struct Shards {
    bits: u8,
    done: Vec<Shard>,
    nodes: Vec<Placed>,
    data: Vec<u8>,
    names: usize,
}

impl Shards {
    pub(super) fn new(names: usize) -> Self {
        let mut bits = 0;
        while names >> bits > SHARD_NAMES && bits < SHARD_BITS_MAX {
            bits += 1;
        }
        Self { bits, done: Vec::new(), nodes: Vec::new(), data: Vec::new(), names: 0 }
    }

    /// Takes the next node: hashes ascend, and equal ones are sorted by name.
    pub(super) fn push(&mut self, hash: u64, write: impl FnOnce(&mut Vec<u8>)) {
        while self.done.len() < shard_index(hash, self.bits) {
            self.close();
        }
        let start = self.data.len();
        write(&mut self.data);
        self.nodes.push((hash, start..self.data.len()));
        self.names += 1;
    }

    fn close(&mut self) {
        self.done.push(Shard::build(&self.nodes, &self.data));
        self.nodes.clear();
        self.data.clear();
    }

    pub(super) fn finish(mut self, apex: Arc<Apex>, records: usize) -> Table {
        while self.done.len() < 1 << self.bits {
            self.close();
        }
        let row_bits = self.bits.div_ceil(2);
        let mut shards = self.done.into_iter();
        let rows: Vec<Row> =
            (0..1_usize << (self.bits - row_bits)).map(|_| shards.by_ref().take(1 << row_bits).collect()).collect();
        Table {
            apex,
            rows: rows.into(),
            shard_bits: self.bits,
            row_bits,
            names: self.names,
            records,
            apart: Apart::default(),
            absence: None,
            denial: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_sorted_whatever_their_hashes() {
        // Those of one part share their first bits.
        let spread = (0..5_000_u64).map(|number| hash_folded(&number.to_le_bytes()) >> PARTS_BITS);
        for hashes in [spread.collect::<Vec<_>>(), vec![7; 3_000], (0..3_000).rev().collect(), vec![3, 1, 2]] {
            let mut runs: Vec<(u64, usize)> = hashes.into_iter().zip(0..).collect();
            runs.reverse();
            let mut expected = runs.clone();
            expected.sort_unstable();
            sort_by_hash(&mut runs, &mut vec![(1, 1)]);
            assert_eq!(runs, expected);
        }
    }

    #[test]
    fn the_order_of_records_does_not_show() {
        let apex = Name::absolute("example.com").unwrap();
        let records: Vec<(String, [u8; 4])> =
            (0..400_u32).map(|n| (format!("h{}.{}.example.com", n % 90, n % 7), n.to_be_bytes())).collect();
        let build = |records: &mut dyn Iterator<Item = &(String, [u8; 4])>| {
            let mut builder = Builder::new(apex.clone());
            for (owner, rdata) in records {
                builder.push(&Name::absolute(owner).unwrap(), Type::A, 60, rdata).unwrap();
            }
            builder.finish().0
        };
        let mut sorted = records.clone();
        sorted.sort();
        let shouted: Vec<_> = sorted.iter().map(|(owner, rdata)| (owner.to_uppercase(), *rdata)).collect();
        let one = build(&mut records.iter());
        for other in [build(&mut sorted.iter()), build(&mut shouted.iter().rev())] {
            assert_eq!((other.names(), other.records()), (one.names(), one.records()));
            assert!(one.shards().zip(other.shards()).all(|(one, other)| one.is_equal(other)));
        }
    }
}
