//! One name in a shard: how its bytes are laid out, read and written.
//!
//! ```text
//! flags u8 · length of the name u8 · number of RRsets u16 · name relative to the apex, folded
//! [number of child names u32, if it has any]
//! per RRset, by slot:  type u16 · records u16 · bytes u32, its highest bit set for signatures
//! per RRset, by slot:  tails u8 … · records `c00c type class ttl rdlen rdata` …
//! ```
//!
//! The RRSIG of a name are kept apart by the type they cover, behind the RRset of that type: *slots* are sorted by type,
//! and a type's signatures follow it.
//!
//! Numbers outside records are little endian. *Tails* stand before the records of NS, CNAME, PTR, MX (one byte a
//! record) and SOA (two): 0, or one more than the bytes of the RDATA's name that stand before the apex, so that a reply
//! replaces the rest by a pointer without reading the name.

use crate::dns::name::wire_length;
use crate::dns::{Class, Type};
use crate::zone::table::apart::Spot;
use crate::zone::table::hash::equal;

/// NS below the apex: a zone cut (RFC 1034 §4.2).
pub(super) const CUT: u8 = 1;
/// Owns a DNAME (RFC 6672).
pub(super) const DNAME: u8 = 1 << 1;
/// `*` exists directly below (RFC 4592 §2.1.1).
pub(super) const WILDCARD: u8 = 1 << 2;
/// Some name above is a cut or owns a DNAME.
pub(super) const UNDER: u8 = 1 << 3;
/// Queries for it get no reply.
pub(super) const SILENT: u8 = 1 << 4;
/// Owns no RRset: an empty non-terminal (RFC 4592 §2.2.2), or a name that is only silent.
pub(super) const EMPTY: u8 = 1 << 5;
/// The number of child names is stored.
const PARENT: u8 = 1 << 6;
/// Owns NSEC3 alone and stands above no name: a record of a hash, which is no name to queries (RFC 5155 §7.2.8).
pub(super) const HASHED: u8 = 1 << 7;
/// What makes names below it no data of this zone.
pub(super) const COVER: u8 = CUT | DNAME;
/// The node stands apart from its shard, and what is here is only its spot. (Nothing else is empty and owns NSEC3.)
const APART: u8 = EMPTY | HASHED;

/// Owner pointer, type, class, TTL and RDLENGTH of a stored record, in bytes.
pub const RECORD_HEAD: usize = 12;
/// A pointer to the question's name, which stands behind the header of every reply.
pub(super) const OWNER: [u8; 2] = [0xc0, 0x0c];
/// Marks the bytes of a head as those of signatures. An RRset has far fewer bytes than this.
const SIGNATURES: u32 = 1 << 31;

/// What an RRset is stored under: its type; for RRSIG the type they cover, behind the RRset of that type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Slot {
    pub(super) rtype: Type,
    pub(super) is_signature: bool,
}

impl Slot {
    /// Where a record of this type and RDATA belongs.
    pub(super) fn of(rtype: Type, rdata: &[u8]) -> Self {
        match rdata {
            [high, low, ..] if rtype == Type::RRSIG => Self::signing(Type(u16::from_be_bytes([*high, *low]))),
            _ => Self::plain(rtype),
        }
    }

    pub(super) fn plain(rtype: Type) -> Self {
        Self { rtype, is_signature: false }
    }

    pub(super) fn signing(rtype: Type) -> Self {
        Self { rtype, is_signature: true }
    }

    /// The type of the records themselves.
    pub(super) fn stored(self) -> Type {
        if self.is_signature { Type::RRSIG } else { self.rtype }
    }
}

/// The RRset of one type, as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Records<'t> {
    pub rtype: Type,
    pub count: u16,
    /// See the head of this file; empty for types whose RDATA holds no compressible name.
    pub tails: &'t [u8],
    /// Whole records, each owner a pointer to the question.
    pub wire: &'t [u8],
}

impl<'t> Records<'t> {
    /// TTL of the RRset in seconds.
    pub fn ttl(&self) -> u32 {
        self.wire.get(6..10).and_then(|ttl| ttl.try_into().ok()).map_or(0, u32::from_be_bytes)
    }

    /// The RDATA of each record, uncompressed.
    pub fn rdata(&self) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        let mut rest = self.wire;
        std::iter::from_fn(move || {
            let length = usize::from(u16::from_be_bytes([*rest.get(10)?, *rest.get(11)?]));
            let (record, after) = rest.split_at_checked(RECORD_HEAD + length)?;
            rest = after;
            Some(&record[RECORD_HEAD..])
        })
    }
}

/// Tail bytes per record of a type: one for each name in its RDATA that RFC 1035 lets a reply compress.
pub fn tails_of(rtype: Type) -> usize {
    match rtype {
        Type::NS | Type::CNAME | Type::PTR | Type::MX => 1,
        Type::SOA => 2,
        _ => 0,
    }
}

/// How many bytes of `name` (which may go on behind its end) stand before `apex`; `None` if it is not within it.
pub fn front_of(name: &[u8], apex: &[u8]) -> Option<usize> {
    let name = &name[..wire_length(name).ok()?];
    front_of_folded(name, apex).or_else(|| {
        let front = name.len().checked_sub(apex.len())?;
        (name[front..].eq_ignore_ascii_case(apex) && has_label_at(name, front)).then_some(front)
    })
}

/// The same of a whole wire name in the case of `apex`.
#[inline]
pub fn front_of_folded(name: &[u8], apex: &[u8]) -> Option<usize> {
    let front = name.len().checked_sub(apex.len())?;
    (equal(&name[front..], apex) && has_label_at(name, front)).then_some(front)
}

/// True if a label of the wire name begins at `place`.
#[inline]
fn has_label_at(name: &[u8], place: usize) -> bool {
    let mut at = 0;
    while at < place {
        at += usize::from(name[at]) + 1;
    }
    at == place
}

/// Reads a node's bytes. Every read is checked, and bytes that are no node read as an empty one.
#[derive(Clone, Copy)]
pub(super) struct Raw<'t>(pub(super) &'t [u8]);

impl<'t> Raw<'t> {
    pub(super) fn flags(self) -> u8 {
        self.0.first().copied().unwrap_or(0)
    }

    fn name_end(self) -> usize {
        4 + self.0.get(1).copied().map_or(0, usize::from)
    }

    /// The name relative to the apex, folded, without a closing zero; empty for the apex.
    pub(super) fn relative(self) -> &'t [u8] {
        self.0.get(4..self.name_end()).unwrap_or(&[])
    }

    /// Where the node really is, if it stands apart.
    #[inline]
    pub(super) fn spot(self) -> Option<Spot> {
        if self.flags() & APART != APART {
            return None;
        }
        Some(Spot(u32::from_le_bytes(*self.0.get(self.name_end()..)?.first_chunk()?)))
    }

    /// What a shard holds of a node that stands apart.
    pub(super) fn write_spot(relative: &[u8], spot: Spot, out: &mut Vec<u8>) {
        out.extend_from_slice(&[APART, relative.len() as u8, 0, 0]);
        out.extend_from_slice(relative);
        out.extend_from_slice(&spot.0.to_le_bytes());
    }

    /// Records of all RRsets.
    pub(super) fn record_count(self) -> usize {
        self.sets().map(|set| usize::from(set.count)).sum()
    }

    fn set_count(self) -> usize {
        self.0.get(2..4).map_or(0, |count| usize::from(u16::from_le_bytes([count[0], count[1]])))
    }

    fn heads_at(self) -> usize {
        self.name_end() + if self.flags() & PARENT == 0 { 0 } else { 4 }
    }

    /// Names directly below.
    pub(super) fn children(self) -> u32 {
        let stored = || self.0.get(self.name_end()..)?.first_chunk().copied().map(u32::from_le_bytes);
        if self.flags() & PARENT == 0 { 0 } else { stored().unwrap_or(0) }
    }

    fn head(self, heads: usize, index: usize) -> Option<(Slot, u16, usize)> {
        let &[t0, t1, c0, c1, l0, l1, l2, l3] = self.0.get(heads + 8 * index..)?.first_chunk()?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let slot = Slot { rtype: Type(u16::from_le_bytes([t0, t1])), is_signature: length & SIGNATURES != 0 };
        Some((slot, u16::from_le_bytes([c0, c1]), (length & !SIGNATURES) as usize))
    }

    /// The RRset of `rtype`; of RRSIG there is none, see [`Raw::signatures`].
    #[inline]
    pub(super) fn records(self, rtype: Type) -> Option<Records<'t>> {
        self.get(Slot::plain(rtype))
    }

    /// The signatures of the RRset of `rtype`.
    pub(super) fn signatures(self, rtype: Type) -> Option<Records<'t>> {
        self.get(Slot::signing(rtype))
    }

    #[inline]
    pub(super) fn get(self, slot: Slot) -> Option<Records<'t>> {
        let (heads, sets) = (self.heads_at(), self.set_count());
        let mut data = heads + 8 * sets;
        for index in 0..sets {
            let (stored, count, length) = self.head(heads, index)?;
            if stored == slot {
                return self.cut_out(stored, count, data, length);
            }
            if stored > slot {
                return None;
            }
            data += length;
        }
        None
    }

    fn cut_out(self, slot: Slot, count: u16, data: usize, length: usize) -> Option<Records<'t>> {
        let rtype = slot.stored();
        let (tails, wire) = self.0.get(data..data + length)?.split_at_checked(tails_of(rtype) * usize::from(count))?;
        Some(Records { rtype, count, tails, wire })
    }

    /// The types of its RRsets, RRSIG for each that holds signatures.
    pub(super) fn types(self) -> impl Iterator<Item = Type> + use<'t> {
        let heads = self.heads_at();
        (0..self.set_count()).map_while(move |index| self.head(heads, index)).map(|(slot, ..)| slot.stored())
    }

    /// All RRsets with their slots, in the order of these.
    pub(super) fn slots(self) -> impl Iterator<Item = (Slot, Records<'t>)> + use<'t> {
        let (heads, sets) = (self.heads_at(), self.set_count());
        let mut data = heads + 8 * sets;
        (0..sets).map_while(move |index| {
            let (slot, count, length) = self.head(heads, index)?;
            let records = self.cut_out(slot, count, data, length)?;
            data += length;
            Some((slot, records))
        })
    }

    /// All RRsets, by slot.
    pub(super) fn sets(self) -> impl Iterator<Item = Records<'t>> + use<'t> {
        self.slots().map(|(_, records)| records)
    }

    /// Bytes of the node, where `self` may go on behind its end.
    pub(super) fn length(self) -> usize {
        if self.flags() & APART == APART {
            return self.name_end() + size_of::<Spot>();
        }
        let (heads, sets) = (self.heads_at(), self.set_count());
        (0..sets).map_while(|index| self.head(heads, index)).fold(heads + 8 * sets, |end, (_, _, length)| end + length)
    }
}

/// A node being written: flags and RRsets without the name.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Draft {
    pub(super) flags: u8,
    pub(super) children: u32,
    /// By slot: number of records, bytes in `data`.
    heads: Vec<(Slot, u16, u32)>,
    data: Vec<u8>,
}

impl Draft {
    pub(super) fn of(node: Raw<'_>) -> Self {
        let mut draft = Self { flags: node.flags(), children: node.children(), ..Self::default() };
        for (slot, set) in node.slots() {
            draft.copy(slot, &set);
        }
        draft
    }

    /// Appends an RRset as it is stored, of a slot above all that are there.
    pub(super) fn copy(&mut self, slot: Slot, set: &Records<'_>) {
        self.heads.push((slot, set.count, (set.tails.len() + set.wire.len()) as u32));
        self.data.extend_from_slice(set.tails);
        self.data.extend_from_slice(set.wire);
    }

    pub(super) fn clear(&mut self) {
        self.flags = 0;
        self.children = 0;
        self.heads.clear();
        self.data.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    pub(super) fn record_count(&self) -> usize {
        self.heads.iter().map(|&(_, count, _)| usize::from(count)).sum()
    }

    /// Appends the RRset of a slot above all that are there. `rdata` is sorted and without duplicates.
    pub(super) fn push<'r>(
        &mut self,
        slot: Slot,
        ttl: u32,
        rdata: impl Iterator<Item = &'r [u8]> + Clone,
        apex: &[u8],
    ) {
        let rtype = slot.stored();
        let start = self.data.len();
        let mut count = 0_u16;
        for one in rdata.clone() {
            count = count.saturating_add(1);
            match rtype {
                Type::NS | Type::CNAME | Type::PTR => self.data.push(tail(one, apex)),
                Type::MX => self.data.push(tail(one.get(2..).unwrap_or(&[]), apex)),
                Type::SOA => {
                    let second = wire_length(one).map_or(&[][..], |first| &one[first..]);
                    self.data.extend_from_slice(&[tail(one, apex), tail(second, apex)]);
                }
                _ => {}
            }
        }
        for one in rdata.take(usize::from(count)) {
            let [t0, t1] = rtype.0.to_be_bytes();
            let [c0, c1] = Class::IN.0.to_be_bytes();
            let [s0, s1, s2, s3] = ttl.to_be_bytes();
            let [l0, l1] = (one.len() as u16).to_be_bytes();
            self.data.extend_from_slice(&[OWNER[0], OWNER[1], t0, t1, c0, c1, s0, s1, s2, s3, l0, l1]);
            self.data.extend_from_slice(one);
        }
        self.heads.push((slot, count, (self.data.len() - start) as u32));
        self.flags |= mark_of(slot);
    }

    /// Takes the RRset of `slot` away.
    pub(super) fn remove(&mut self, slot: Slot) {
        let mut start = 0;
        for index in 0..self.heads.len() {
            let (stored, _, length) = self.heads[index];
            if stored == slot {
                self.data.drain(start..start + length as usize);
                self.heads.remove(index);
                break;
            }
            start += length as usize;
        }
        self.flags &= !mark_of(slot);
    }

    /// Takes all signatures away.
    pub(super) fn remove_signatures(&mut self) {
        let slots: Vec<Slot> = self.heads.iter().map(|&(slot, ..)| slot).filter(|slot| slot.is_signature).collect();
        slots.into_iter().for_each(|slot| self.remove(slot));
    }

    /// Replaces or adds the RRset of `slot`.
    pub(super) fn set<'r>(&mut self, slot: Slot, ttl: u32, rdata: impl Iterator<Item = &'r [u8]> + Clone, apex: &[u8]) {
        self.remove(slot);
        let above = self.heads.partition_point(|&(stored, ..)| stored < slot);
        let start: usize = self.heads[..above].iter().map(|&(_, _, length)| length as usize).sum();
        let (heads, data) = (self.heads.split_off(above), self.data.split_off(start));
        self.push(slot, ttl, rdata, apex);
        self.heads.extend(heads);
        self.data.extend(data);
    }

    /// Appends the node's bytes. The apex is never a cut: NS there are its own (RFC 1034 §4.2.1).
    pub(super) fn write(&self, relative: &[u8], out: &mut Vec<u8>) {
        let mut flags = self.flags & !(EMPTY | PARENT | HASHED);
        if relative.is_empty() {
            flags &= !CUT;
        }
        if self.heads.is_empty() {
            flags |= EMPTY;
        }
        if self.children > 0 {
            flags |= PARENT;
        } else if !relative.is_empty()
            && !self.heads.is_empty()
            && self.heads.iter().all(|(slot, ..)| slot.rtype == Type::NSEC3)
        {
            flags |= HASHED;
        }
        out.extend_from_slice(&[flags, relative.len() as u8]);
        out.extend_from_slice(&(self.heads.len() as u16).to_le_bytes());
        out.extend_from_slice(relative);
        if self.children > 0 {
            out.extend_from_slice(&self.children.to_le_bytes());
        }
        for &(slot, count, length) in &self.heads {
            let marked = if slot.is_signature { length | SIGNATURES } else { length };
            out.extend_from_slice(&slot.rtype.0.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
            out.extend_from_slice(&marked.to_le_bytes());
        }
        out.extend_from_slice(&self.data);
    }
}

/// The flag that an RRset gives its node.
fn mark_of(slot: Slot) -> u8 {
    match (slot.rtype, slot.is_signature) {
        (Type::NS, false) => CUT,
        (Type::DNAME, false) => DNAME,
        _ => 0,
    }
}

/// The tail byte of one name. A name that ends in the root alone gains nothing by a pointer, and one that writes the apex
/// (folded) with capitals would lose them.
fn tail(name: &[u8], apex: &[u8]) -> u8 {
    if apex.len() <= OWNER.len() {
        return 0;
    }
    let front = wire_length(name).ok().and_then(|length| front_of_folded(&name[..length], apex));
    front.map_or(0, |front| front as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APEX: &[u8] = b"\x07example\x03com\0";

    #[test]
    fn front_is_by_labels() {
        for (name, front) in [
            (&b"\x07Example\x03com\0"[..], Some(0)),
            (b"\x03www\x07example\x03com\0", Some(4)),
            (b"\x03www\x07example\x03com\0\x00\x01 more", Some(4)),
            (b"\x03org\0", None),
            (b"\x0b\x07example\x03com\0", None),
            (b"\x05abc", None),
            (b"", None),
        ] {
            assert_eq!(front_of(name, APEX), front, "{name:?}");
        }
    }

    #[test]
    fn a_draft_reads_back_and_stays_sorted() {
        let mut draft = Draft::default();
        draft.set(Slot::plain(Type::TXT), 60, [&b"\x01a"[..]].into_iter(), APEX);
        draft.set(Slot::plain(Type::A), 30, [&[192, 0, 2, 1][..], &[192, 0, 2, 2]].into_iter(), APEX);
        draft.set(
            Slot::plain(Type::NS),
            30,
            [&b"\x02ns\x07example\x03com\0"[..], b"\x02ns\x03org\0"].into_iter(),
            APEX,
        );
        draft.set(Slot::plain(Type::A), 40, [&[192, 0, 2, 3][..]].into_iter(), APEX);
        draft.children = 7;
        let mut bytes = Vec::new();
        draft.write(b"\x03www", &mut bytes);
        bytes.extend_from_slice(b"what stands behind");
        let node = Raw(&bytes);
        assert_eq!(node.sets().map(|set| set.rtype).collect::<Vec<_>>(), [Type::A, Type::NS, Type::TXT]);
        assert_eq!((node.relative(), node.children(), node.flags() & CUT), (&b"\x03www"[..], 7, CUT));
        assert_eq!(node.length(), bytes.len() - b"what stands behind".len());
        let ns = node.records(Type::NS).unwrap();
        assert_eq!((ns.tails, ns.ttl(), ns.rdata().count()), (&[4, 0][..], 30, 2));
        assert_eq!(node.records(Type::A).unwrap().rdata().collect::<Vec<_>>(), [[192, 0, 2, 3]]);
        assert!(node.records(Type::AAAA).is_none());
        let again = Draft::of(node);
        assert_eq!((again.heads, again.data), (draft.heads, draft.data));
    }

    #[test]
    fn signatures_stand_behind_what_they_cover() {
        let signature = |covered: Type| [&covered.0.to_be_bytes()[..], &[8; 40]].concat();
        let of = |covered: Type| Slot::of(Type::RRSIG, &signature(covered));
        assert_eq!(of(Type::MX), Slot::signing(Type::MX));
        assert_eq!(Slot::of(Type::RRSIG, &[1]), Slot::plain(Type::RRSIG));
        let mut draft = Draft::default();
        for (slot, rdata) in [
            (of(Type::NS), signature(Type::NS)),
            (of(Type::TXT), signature(Type::TXT)),
            (Slot::plain(Type::TXT), b"\x01a".to_vec()),
            (of(Type::A), signature(Type::A)),
            (Slot::plain(Type::A), vec![192, 0, 2, 1]),
        ] {
            draft.set(slot, 60, [&rdata[..]].into_iter(), APEX);
        }
        let mut bytes = Vec::new();
        draft.write(b"\x03www", &mut bytes);
        let node = Raw(&bytes);
        let plain = |rtype| (Slot::plain(rtype), rtype);
        let signing = |rtype| (Slot::signing(rtype), Type::RRSIG);
        assert_eq!(
            node.slots().map(|(slot, set)| (slot, set.rtype)).collect::<Vec<_>>(),
            [plain(Type::A), signing(Type::A), signing(Type::NS), plain(Type::TXT), signing(Type::TXT)]
        );
        assert_eq!(node.signatures(Type::TXT).unwrap().rdata().next().unwrap(), signature(Type::TXT));
        assert!(node.records(Type::NS).is_none() && node.records(Type::RRSIG).is_none());
        assert_eq!(node.flags() & (CUT | HASHED), 0, "a signature of NS is no delegation");
        draft.remove_signatures();
        assert_eq!((draft.heads.len(), draft.record_count()), (2, 2));
    }

    #[test]
    fn what_owns_nsec3_alone_is_no_name() {
        let is_hashed = |slots: &[Slot], children, relative: &[u8]| {
            let mut draft = Draft { children, ..Draft::default() };
            slots.iter().for_each(|&slot| draft.set(slot, 60, [&[0; 20][..]].into_iter(), APEX));
            let mut bytes = Vec::new();
            draft.write(relative, &mut bytes);
            Raw(&bytes).flags() & HASHED != 0
        };
        let nsec3 = [Slot::plain(Type::NSEC3), Slot::signing(Type::NSEC3)];
        assert!(is_hashed(&nsec3, 0, b"\x01a") && is_hashed(&nsec3[..1], 0, b"\x01a"));
        assert!(!is_hashed(&nsec3, 1, b"\x01a") && !is_hashed(&nsec3, 0, b"") && !is_hashed(&[], 0, b"\x01a"));
        assert!(!is_hashed(&[Slot::plain(Type::A), nsec3[0]], 0, b"\x01a"));
    }
}
