//! A table from records in any order.
//!
//! Records are packed into 256 parts by the top bits of their owner's hash as they come, and the parts are finished one
//! after the other, each freed as its shards are made: the records are never in memory twice.

use std::fmt;
use std::sync::Arc;

use crate::dns::rdata::canonical;
use crate::dns::{Name, Type};
use crate::zone::table::apart::Apart;
use crate::zone::table::denial::Denial;
use crate::zone::table::node::{COVER, Draft, Slot, UNDER, WILDCARD};
use crate::zone::table::shard::{Placed, Shard};
use crate::zone::table::{Apex, Node, RRSET_MAX, Row, Table, hash_folded, shard_index};

/// Parts that records are sorted into while they come.
const PARTS_BITS: u8 = 8;
/// A shard should hold between half of this and this many names: 288 on average.
const SHARD_NAMES: usize = 384;
/// More shards than this are not made, whatever the number of names.
const SHARD_BITS_MAX: u8 = 24;
/// Marks a packed entry that is no record but says "this label is a child of this name".
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
    /// Relative folded name of the record before, whose ancestors are known already.
    last: Vec<u8>,
    apex_has_wildcard: bool,
}

/// A packed entry: hash of the owner, type, TTL, RDLENGTH and length of the name, then name and RDATA.
const ENTRY_HEAD: usize = 8 + 2 + 4 + 2 + 1;

#[derive(Clone, Copy)]
struct Entry<'p> {
    hash: u64,
    rtype: Type,
    ttl: u32,
    relative: &'p [u8],
    rdata: &'p [u8],
}

impl Entry<'_> {
    fn slot(&self) -> Slot {
        Slot::of(self.rtype, self.rdata)
    }
}

impl Builder {
    pub fn new(apex: Name) -> Self {
        let wire: Box<[u8]> = apex.as_wire().to_ascii_lowercase().into();
        let hash = hash_folded(&wire);
        let mut builder = Self {
            apex: Apex { name: apex, wire, hash },
            parts: vec![Vec::new(); 1 << PARTS_BITS],
            last: Vec::new(),
            apex_has_wildcard: false,
        };
        // The apex exists, whatever comes.
        builder.pack(&[], CHILD, 0, &[]);
        builder
    }

    /// Takes one record of class IN; any order. Its RDATA is uncompressed and well formed for its type.
    ///
    /// # Errors
    /// Why this record cannot stand in a table. An RRset that is too large is found by [`Builder::finish`].
    pub fn push(&mut self, owner: &Name, rtype: Type, ttl: u32, rdata: &[u8]) -> Result<(), PushError> {
        if matches!(rtype.0, 0 | 41 | 128..=255) {
            return Err(PushError::MetaType);
        }
        if rdata.len() > usize::from(u16::MAX) {
            return Err(PushError::TooLong);
        }
        let mut relative = owner.strip(&self.apex.name).ok_or(PushError::OutOfZone)?.to_vec();
        relative.make_ascii_lowercase();
        self.pack(&relative, rtype, ttl, rdata);
        if relative != self.last {
            self.pack_ancestors(&relative);
            self.last = relative;
        }
        Ok(())
    }

    /// Says of each name between `relative` and the apex that it exists and has the next one as its child, as far as
    /// the record before has not said so.
    fn pack_ancestors(&mut self, relative: &[u8]) {
        let mut front = 0;
        while front < relative.len() {
            let below = front;
            front += usize::from(relative[below]) + 1;
            let known = self.last.ends_with(&relative[below..])
                && is_label_start(&self.last, self.last.len() - (relative.len() - below));
            if known {
                return;
            }
            if front < relative.len() {
                self.pack(&relative[front..], CHILD, 0, &relative[below..front]);
            } else if &relative[below..] == b"\x01*" {
                self.apex_has_wildcard = true;
            }
        }
    }

    fn pack(&mut self, relative: &[u8], rtype: Type, ttl: u32, rdata: &[u8]) {
        let mut full = [0; 255];
        let end = relative.len() + self.apex.wire.len();
        full[..relative.len()].copy_from_slice(relative);
        full[relative.len()..end].copy_from_slice(&self.apex.wire);
        let hash = hash_folded(&full[..end]);
        let part = &mut self.parts[shard_index(hash, PARTS_BITS)];
        part.reserve(ENTRY_HEAD + relative.len() + rdata.len());
        part.extend_from_slice(&hash.to_le_bytes());
        part.extend_from_slice(&rtype.0.to_le_bytes());
        part.extend_from_slice(&ttl.to_le_bytes());
        part.extend_from_slice(&(rdata.len() as u16).to_le_bytes());
        part.push(relative.len() as u8);
        part.extend_from_slice(relative);
        part.extend_from_slice(rdata);
    }

    /// The table, and what was odd about the records, by kind and owner. Every ancestor of a name exists as a node.
    pub fn finish(self) -> (Table, Vec<Oddity>) {
        let apex = Arc::new(self.apex);
        let names: usize = self.parts.iter().map(|part| count_names(part)).sum();
        let mut shards = Shards::new(names);
        let mut making = Making {
            apex: &apex,
            apex_has_wildcard: self.apex_has_wildcard,
            draft: Draft::default(),
            records: 0,
            has_covers: false,
            oddities: Vec::new(),
        };
        for part in self.parts {
            let mut order: Vec<(u64, usize)> = offsets(&part).map(|at| (entry(&part, at).hash, at)).collect();
            order.sort_unstable();
            for same_hash in order.chunk_by(|a, b| a.0 == b.0) {
                let mut entries: Vec<Entry<'_>> = same_hash.iter().map(|&(_, at)| entry(&part, at)).collect();
                entries.sort_by(|a, b| (a.relative, a.slot()).cmp(&(b.relative, b.slot())));
                for same_name in entries.chunk_by(|a, b| a.relative == b.relative) {
                    making.node(same_name);
                    shards.push(same_name[0].hash, |data| {
                        making.draft.write(same_name[0].relative, data);
                    });
                }
            }
        }
        let Making { records, has_covers, mut oddities, .. } = making;
        let mut table = shards.finish(apex, records);
        if has_covers {
            flag_covered(&mut table);
        }
        table.settle_absence();
        table.denial = Denial::of(&table).map(Arc::new);
        oddities.sort_unstable();
        (table, oddities)
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

fn entry(part: &[u8], at: usize) -> Entry<'_> {
    let head = &part[at..at + ENTRY_HEAD];
    let word = |from: usize| u16::from_le_bytes([head[from], head[from + 1]]);
    let hash = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|byte| head[byte]));
    let ttl = u32::from_le_bytes([head[10], head[11], head[12], head[13]]);
    let (name, end) = (at + ENTRY_HEAD, at + ENTRY_HEAD + usize::from(head[16]));
    let rdata = &part[end..end + usize::from(word(14))];
    Entry { hash, rtype: Type(word(8)), ttl, relative: &part[name..end], rdata }
}

fn offsets(part: &[u8]) -> impl Iterator<Item = usize> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let at = next;
        (at < part.len()).then(|| {
            let one = entry(part, at);
            next = at + ENTRY_HEAD + one.relative.len() + one.rdata.len();
            at
        })
    })
}

/// Distinct names of a part; names of equal hash count once, which only chooses the number of shards.
fn count_names(part: &[u8]) -> usize {
    let mut hashes: Vec<u64> = offsets(part).map(|at| entry(part, at).hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len()
}

/// Makes one node after the other out of its entries.
struct Making<'a> {
    apex: &'a Apex,
    apex_has_wildcard: bool,
    draft: Draft,
    records: usize,
    has_covers: bool,
    oddities: Vec<Oddity>,
}

impl Making<'_> {
    /// Writes the draft of the name of these entries, which are sorted by type.
    fn node(&mut self, entries: &[Entry<'_>]) {
        self.draft.clear();
        let is_apex = entries[0].relative.is_empty();
        if is_apex && self.apex_has_wildcard {
            self.draft.flags |= WILDCARD;
        }
        for set in entries.chunk_by(|a, b| a.slot() == b.slot()) {
            if set[0].rtype == CHILD {
                self.children(set);
            } else {
                self.set(set);
            }
        }
        let covers = if is_apex { COVER & !super::node::CUT } else { COVER };
        self.has_covers |= self.draft.flags & covers != 0;
        self.records += self.draft.record_count();
    }

    fn children(&mut self, said: &[Entry<'_>]) {
        let mut labels: Vec<&[u8]> = said.iter().map(|entry| entry.rdata).filter(|label| !label.is_empty()).collect();
        labels.sort_unstable();
        labels.dedup();
        self.draft.children = labels.len() as u32;
        if labels.binary_search(&&b"\x01*"[..]).is_ok() {
            self.draft.flags |= WILDCARD;
        }
    }

    fn set(&mut self, set: &[Entry<'_>]) {
        let (rtype, slot) = (set[0].rtype, set[0].slot());
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

/// Flags every name below a cut or DNAME of a table made just now.
fn flag_covered(table: &mut Table) {
    let below_apex = table.apex_node().is_some_and(|apex| apex.is_dname());
    let is_covered = |relative: &[u8]| !relative.is_empty() && (below_apex || has_cover_above(table, relative));
    let covered: Vec<Vec<usize>> = table
        .shards()
        .map(|shard| shard.nodes().filter(|(raw, _)| is_covered(raw.relative())).map(|(_, place)| place).collect())
        .collect();
    let mut covered = covered.into_iter();
    let rows = Arc::get_mut(&mut table.rows).into_iter().flatten();
    for shard in rows.flat_map(|row| Arc::get_mut(row).into_iter().flatten()) {
        shard.flag(&covered.next().unwrap_or_default(), UNDER);
    }
}

/// Whether a name between this one and the apex is a cut or owns a DNAME.
fn has_cover_above(table: &Table, relative: &[u8]) -> bool {
    let covers = |node: Node<'_>| node.is_cut() || node.is_dname();
    let mut above = relative;
    loop {
        let label = above.first().map_or(0, |&length| usize::from(length) + 1);
        above = above.get(label..).unwrap_or_default();
        if above.is_empty() || table.at(above).is_some_and(covers) {
            return !above.is_empty();
        }
    }
}
