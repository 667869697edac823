//! The sharded persistent table of a zone: what a version of the zone serves, ready to be copied into replies.
//!
//! Names are spread by hash over shards of about 256, and shards stand in a directory of two levels:
//!
//! ```text
//!  Table ──► directory ──► row ──► Shard ──► cache lines: 29 of buckets, then 256 nodes
//!            64 × Arc      64 × Shard        one allocation of about 18 KB
//! ```
//!
//! **A change** copies the shards its names are in, their rows and the directory; all else is shared with the version
//! before. There is no second layer that a lookup would have to ask too, and no work left for the background. Two
//! versions differ only where their pointers do.
//!
//! **Names that change often** stand apart, in chunks of 64 of some KB: see [`Table::turned`].
//!
//! **A lookup** hashes the whole name, takes the shard by the top bits, the bucket line by the middle ones, compares 16
//! tags of the lowest ones, and reads the node the tag leads to: one bucket line and one or two node lines.
//!
//! **Every ancestor of a name is a node** (an empty one is an empty non-terminal), and each node knows whether it is a
//! cut, owns a DNAME, has a wildcard below it, or stands below a cut or DNAME. So the full name may be asked first, and
//! a walk from the apex may stop at the first missing label.
//!
//! **Bytes.** For `host12345.example.com. 300 A 192.0.2.1`, one name with one record:
//!
//! | bytes | for |
//! |---:|---|
//! | 7 | 4 of bucket, at 9 used of 16 |
//! | 4 | flags, length of the name, number of RRsets |
//! | 10 | the name relative to the apex |
//! | 8 | type, number of records and bytes of the RRset |
//! | 16 | the record: owner pointer, type, class, TTL, RDLENGTH, address |
//! | 4 | on average, up to a multiple of 8 |
//!
//! 49 bytes; a second record of the RRset takes 16 more, and an RRset of another type 8 more than its records. The
//! directory adds a quarter of a byte. An offset of 16 bits, the apex left out of names, and RDATA kept where it is read
//! are what makes it small; records stay whole, because copying them in one go is what makes it fast.
//!
//! **A signed zone** has its signatures beside the RRsets they cover, and one thing more: the names of its NSEC, or the
//! hashes of its NSEC3, in order (see [`Denial`]), made anew when one of those records changes.

mod absence;
mod apart;
mod build;
mod change;
mod compare;
mod covers;
mod denial;
mod fetch;
mod hash;
mod node;
mod shard;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::dns::name::NAME_MAX;
use crate::dns::{Name, Serial, Type};

pub use absence::Absence;
pub use apart::{Holding, Spot};
pub use build::{Builder, Oddity, PushError};
pub(crate) use denial::parameters_of;
pub use denial::{Denial, HASH_LENGTH, Hashes, Names};
pub use fetch::{Bucket, fetch};
pub use hash::hash_folded;
pub use node::{RECORD_HEAD, Records, front_of, front_of_folded, tails_of};

use apart::Apart;
use node::Raw;
use shard::Shard;

/// The most bytes the records of one RRset may have in wire form: with any question and an OPT of all the options we
/// send they fill a message. Its signature, if it has one, may be what does not fit any more.
pub const RRSET_MAX: usize = 65_535 - 12 - (255 + 4) - 11 - OPTIONS_MAX;
/// The most bytes of options that room is set aside for in a reply.
pub const OPTIONS_MAX: usize = 4 * 4 + 64 + 24 + 4 + 16 + 2;

/// All RRsets of a zone. Cloning shares everything.
#[derive(Clone)]
pub struct Table {
    apex: Arc<Apex>,
    /// 2^`shard_bits` shards in rows of 2^`row_bits`.
    rows: Arc<[Row]>,
    shard_bits: u8,
    row_bits: u8,
    names: usize,
    records: usize,
    apart: Apart,
    absence: Option<Arc<Absence>>,
    /// Of a signed zone only.
    denial: Option<Arc<Denial>>,
}

type Row = Arc<[Shard]>;

struct Apex {
    name: Name,
    /// Folded wire.
    wire: Box<[u8]>,
    hash: u64,
}

/// One RRset as it is put into a table: its RDATA in uncompressed wire form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RRset {
    pub rtype: Type,
    pub ttl: u32,
    /// Not empty; sorted and without duplicates once in a table.
    pub rdata: Vec<Vec<u8>>,
}

/// What stands at one name after a change: the RRset of this type, or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Replaces the RRset of its type, or adds it. An empty one, and one over [`RRSET_MAX`], takes it away. RRSIG
    /// replace those of the types they cover; with none, all go.
    Set { owner: Name, rrset: RRset },
    /// Takes the RRset away; a name without RRsets and without names below it goes too.
    Remove { owner: Name, rtype: Type },
    /// While set, queries for the name get no reply at all (its first probes are still out).
    Silence { owner: Name, silent: bool },
    /// The name, if it is there, is going to change often: it stands apart from now on, as [`Table::turned`] needs it.
    Apart { owner: Name },
}

/// The SOA record (RFC 1035 §3.3.13).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Soa {
    pub mname: Name,
    pub rname: Name,
    pub serial: Serial,
    /// Seconds, as all that follow.
    pub refresh: u32,
    pub retry: u32,
    pub expire: u32,
    pub minimum: u32,
    pub ttl: u32,
}

impl Table {
    /// As it was given to the builder.
    pub fn apex(&self) -> &Name {
        &self.apex.name
    }

    /// The apex in folded wire form.
    pub fn apex_wire(&self) -> &[u8] {
        &self.apex.wire
    }

    /// Names that exist, empty non-terminals included.
    pub fn names(&self) -> usize {
        self.names
    }

    /// Records of all types.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes it keeps allocated; versions that share shards each count them.
    pub fn bytes(&self) -> usize {
        self.shards().map(|shard| shard.size() + size_of::<Shard>()).sum::<usize>()
            + self.rows.len() * size_of::<Row>()
            + self.apart.bytes()
            + self.absence().map_or(0, |absence| absence.wire.len())
            + self.denial().map_or(0, Denial::bytes)
    }

    /// The node of exactly this name, empty non-terminals included.
    pub fn get(&self, owner: &Name) -> Option<Node<'_>> {
        let folded = owner.as_wire().to_ascii_lowercase();
        let front = front_of(&folded, &self.apex.wire)?;
        self.find(&folded[..front], hash_folded(&folded))
    }

    /// The node of this name: folded, relative to the apex, without a closing zero; `hash` is that of its full name.
    #[inline]
    pub fn find(&self, relative: &[u8], hash: u64) -> Option<Node<'_>> {
        Some(Node { table: self, raw: self.whole(self.shard(hash)?.find(relative, hash)?) })
    }

    /// The node of the apex; a table made by a [`Builder`] always has it.
    pub fn apex_node(&self) -> Option<Node<'_>> {
        self.find(&[], self.apex.hash)
    }

    /// All names, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = Node<'_>> {
        self.shards().flat_map(|shard| shard.nodes()).map(|raw| Node { table: self, raw: self.whole(raw) })
    }

    /// The SOA of the apex, if it is there and well formed.
    pub fn soa(&self) -> Option<Soa> {
        let records = self.apex_node()?.records(Type::SOA)?;
        let rdata = records.rdata().next()?;
        let (names, &numbers) = rdata.split_last_chunk::<20>()?;
        let first = crate::dns::name::wire_length(names).ok()?;
        let number = |index: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| numbers[4 * index + byte]));
        Some(Soa {
            mname: Name::from_wire(&names[..first]).ok()?,
            rname: Name::from_wire(&names[first..]).ok()?,
            serial: Serial(number(0)),
            refresh: number(1),
            retry: number(2),
            expire: number(3),
            minimum: number(4),
            ttl: records.ttl(),
        })
    }

    /// The SOA that says that something is not there; `None` if it has none.
    #[inline]
    pub fn absence(&self) -> Option<&Absence> {
        self.absence.as_deref()
    }

    /// Renders [`Table::absence`] anew if the SOA is not what it was.
    fn settle_absence(&mut self) {
        let absence = self.apex_node().and_then(Absence::of);
        if self.absence.as_deref() != absence.as_ref() {
            self.absence = absence.map(Arc::new);
        }
    }

    /// True if the SOA is signed: what is served of the zone then has its signatures.
    #[inline]
    pub fn is_signed(&self) -> bool {
        self.denial.is_some()
    }

    /// What absence is proven by, if the zone is signed.
    #[inline]
    pub fn denial(&self) -> Option<&Denial> {
        self.denial.as_deref()
    }

    /// The same table with another serial in its SOA; the table itself if it has none.
    #[must_use]
    pub fn with_serial(&self, serial: Serial) -> Self {
        let Some(mut rrset) = self.apex_node().and_then(|apex| apex.rrset(Type::SOA)) else {
            return self.clone();
        };
        for rdata in &mut rrset.rdata {
            if let Some((_, numbers)) = rdata.split_last_chunk_mut::<20>() {
                numbers[..4].copy_from_slice(&serial.0.to_be_bytes());
            }
        }
        self.with(&[Change::Set { owner: self.apex().clone(), rrset }])
    }

    /// The node itself, wherever it stands.
    #[inline]
    fn whole<'t>(&'t self, raw: Raw<'t>) -> Raw<'t> {
        raw.spot().and_then(|spot| self.apart.get(spot)).unwrap_or(raw)
    }

    #[inline]
    fn shard(&self, hash: u64) -> Option<&Shard> {
        let (row, column) = self.place(shard_index(hash, self.shard_bits));
        self.rows.get(row)?.get(column)
    }

    fn place(&self, index: usize) -> (usize, usize) {
        (index >> self.row_bits, index & ((1 << self.row_bits) - 1))
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.rows.iter().flat_map(|row| row.iter())
    }

    /// Hash of the full name of a relative one.
    fn hash_of(&self, relative: &[u8]) -> u64 {
        let mut full = [0; NAME_MAX];
        hash_folded(self.full(relative, &mut full))
    }

    /// The full name of a relative one, written into `into`; that of the apex if it were too long.
    fn full<'n>(&self, relative: &[u8], into: &'n mut [u8; NAME_MAX]) -> &'n [u8] {
        let apex = &self.apex.wire;
        let front = if relative.len() + apex.len() > NAME_MAX { 0 } else { relative.len() };
        into[..front].copy_from_slice(&relative[..front]);
        into[front..front + apex.len()].copy_from_slice(apex);
        &into[..front + apex.len()]
    }

    /// The node of a relative name.
    fn at(&self, relative: &[u8]) -> Option<Node<'_>> {
        self.find(relative, self.hash_of(relative))
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({}, {} names, {} records)", self.apex.name, self.names, self.records)
    }
}

/// The shard by the top bits of the hash.
#[inline]
fn shard_index(hash: u64, bits: u8) -> usize {
    hash.checked_shr(64 - u32::from(bits)).unwrap_or(0) as usize
}

/// One name of a table.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    table: &'t Table,
    raw: Raw<'t>,
}

impl<'t> Node<'t> {
    /// Its full name, folded.
    pub fn owner(&self) -> Name {
        Name::from_wire(&[self.raw.relative(), &self.table.apex.wire].concat()).unwrap_or_else(|_| Name::root())
    }

    /// Folded, relative to the apex, without a closing zero.
    pub fn relative(&self) -> &'t [u8] {
        self.raw.relative()
    }

    /// The full name, folded, written into `into`.
    pub fn full_name<'n>(&self, into: &'n mut [u8; NAME_MAX]) -> &'n [u8] {
        self.table.full(self.raw.relative(), into)
    }

    /// True if both have the same name.
    pub fn is_same(&self, other: &Self) -> bool {
        self.raw.relative() == other.raw.relative() && self.table.apex.wire == other.table.apex.wire
    }

    /// Types of its RRsets, ascending; RRSIG once.
    pub fn types(&self) -> impl Iterator<Item = Type> + use<'t> {
        let raw = self.raw;
        let plain = move || raw.slots().filter(|(slot, _)| !slot.is_signature).map(|(slot, _)| slot.rtype);
        let signatures = raw.slots().any(|(slot, _)| slot.is_signature).then_some(Type::RRSIG);
        let below = plain().take_while(|&rtype| rtype < Type::RRSIG);
        below.chain(signatures).chain(plain().skip_while(|&rtype| rtype < Type::RRSIG))
    }

    /// True if it owns an RRset of a type that is so.
    pub fn has(&self, is_so: impl Fn(Type) -> bool) -> bool {
        self.raw.types().any(is_so)
    }

    /// The RRset of `rtype`, copied; for RRSIG see [`Node::signatures`].
    pub fn rrset(&self, rtype: Type) -> Option<RRset> {
        self.records(rtype).map(|records| copied(&records))
    }

    /// All RRsets, copied, by type, the signatures of each behind it.
    pub fn rrsets(&self) -> impl Iterator<Item = RRset> + use<'t> {
        self.raw.sets().map(|set| copied(&set))
    }

    /// The RRset of `rtype`, as it is stored; for RRSIG see [`Node::signatures`].
    #[inline]
    pub fn records(&self, rtype: Type) -> Option<Records<'t>> {
        self.raw.records(rtype)
    }

    /// The RRSIG that cover `rtype`, as they are stored.
    #[inline]
    pub fn signatures(&self, rtype: Type) -> Option<Records<'t>> {
        self.raw.signatures(rtype)
    }

    /// The RRSIG of the name, by the type they cover, but for those of an NSEC3, which is no data of the name.
    pub fn all_signatures(&self) -> impl Iterator<Item = Records<'t>> + use<'t> {
        let of_name = |slot: &node::Slot| slot.is_signature && slot.rtype != Type::NSEC3;
        self.raw.slots().filter(move |(slot, _)| of_name(slot)).map(|(_, records)| records)
    }

    /// All RRsets, as they are stored, by type, the signatures of each behind it.
    pub fn sets(&self) -> impl Iterator<Item = Records<'t>> + use<'t> {
        self.raw.sets()
    }

    /// Owns NS and is not the apex (RFC 1034 §4.2).
    pub fn is_cut(&self) -> bool {
        self.raw.flags() & node::CUT != 0
    }

    /// Owns a DNAME, which governs the names below it, not itself (RFC 6672 §2.3).
    pub fn is_dname(&self) -> bool {
        self.raw.flags() & node::DNAME != 0
    }

    /// Stands below a cut or a DNAME.
    pub fn is_under_cut(&self) -> bool {
        self.raw.flags() & node::UNDER != 0
    }

    /// `*` exists directly below it.
    pub fn has_wildcard(&self) -> bool {
        self.raw.flags() & node::WILDCARD != 0
    }

    /// Owns no RRset (RFC 4592 §2.2.2).
    pub fn is_empty(&self) -> bool {
        self.raw.flags() & node::EMPTY != 0
    }

    /// Owns NSEC3 and nothing else: to queries it is no name (RFC 5155 §7.2.8).
    pub fn is_hashed(&self) -> bool {
        self.raw.flags() & node::HASHED != 0
    }

    /// Queries for it get no reply.
    pub fn is_silent(&self) -> bool {
        self.raw.flags() & node::SILENT != 0
    }

    /// A name that is neither a cut nor below a cut or DNAME: asked for by its full name, it is the answer.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.raw.flags() & (node::CUT | node::UNDER | node::HASHED) == 0
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.owner(), self.types().collect::<Vec<_>>())
    }
}

fn copied(records: &Records<'_>) -> RRset {
    RRset { rtype: records.rtype, ttl: records.ttl(), rdata: records.rdata().map(<[u8]>::to_vec).collect() }
}
