//! Squeeze: a reply written once more with every name compressed as far as it goes (RFC 1035 §4.1.4).
//!
//! Replies are written with pointers to the apex alone, which is fast. One that has no room so is squeezed; what still has
//! none is left out by whole RRsets.

use crate::dns::Type;
use crate::dns::message::{HEADER, POINTER_MAX, RecordView, record, skip_name};
use crate::dns::name::NAME_MAX;

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Squeezed {
    pub(super) length: usize,
    /// Records that found room, by section.
    pub(super) counts: [u16; 3],
    /// All of them did.
    pub(super) is_whole: bool,
}

/// Writes the message `from`, whose question ends at `question` and which has `counts` records in its sections, into
/// `into`, as far as there is room. Names keep their case, and only what is the same byte for byte becomes a pointer; if
/// that does not suffice, what is the same name.
pub(super) fn squeeze(from: &[u8], question: usize, counts: [u16; 3], into: &mut [u8]) -> Squeezed {
    let kept = pack(from, question, counts, into, false);
    if kept.is_whole { kept } else { pack(from, question, counts, into, true) }
}

fn pack(from: &[u8], question: usize, counts: [u16; 3], into: &mut [u8], folds: bool) -> Squeezed {
    let mut packer = Packer { from, out: into, at: 0, folds, places: [(0, 0); PLACES], known: 0 };
    let mut now = Squeezed { length: question, counts: [0; 3], is_whole: false };
    // What is kept if there is no room for the RRset being written.
    let mut kept = now;
    if packer.question(question).is_none() {
        return kept;
    }
    let mut at = question;
    for (section, count) in counts.into_iter().enumerate() {
        let mut last: Option<RecordView> = None;
        for _ in 0..count {
            let Some(view) = record(from, at) else { return kept };
            if !last.is_some_and(|last| packer.is_same_set(&last, &view)) {
                kept = now;
            }
            if packer.record(&view).is_none() {
                return kept;
            }
            now.length = packer.at;
            now.counts[section] += 1;
            at = view.rdata.end;
            last = Some(view);
        }
        kept = now;
    }
    Squeezed { is_whole: true, ..now }
}

/// Names remembered: more than a message over UDP holds.
const PLACES: usize = 512;
/// Above this the table would be slow.
const PLACES_USED: usize = 384;

/// A message being packed.
struct Packer<'m> {
    from: &'m [u8],
    out: &'m mut [u8],
    at: usize,
    /// Names that differ in case are one.
    folds: bool,
    /// Names in `out` by their hash: each its hash and its place; 0 is free, as no name stands in the header.
    places: [(u32, u16); PLACES],
    known: usize,
}

impl Packer<'_> {
    /// The header and the question, as they are.
    fn question(&mut self, end: usize) -> Option<()> {
        self.push(self.from.get(..end)?)?;
        if end > HEADER {
            let mut name = [0; NAME_MAX];
            let length = expand(self.from, HEADER, &mut name)?;
            let labels = Labels::of(&name[..length], self.folds);
            for index in 0..labels.count {
                self.remember(labels.hashes[index], HEADER + usize::from(labels.starts[index]));
            }
        }
        Some(())
    }

    fn record(&mut self, view: &RecordView) -> Option<()> {
        self.name_at(view.owner)?;
        let head = view.rdata.start - 10;
        self.push(self.from.get(head..view.rdata.start)?)?;
        let start = self.at;
        let (front, names) = names_in(view.rtype);
        let mut at = view.rdata.start;
        self.push(self.from.get(at..at + front)?)?;
        at += front;
        for _ in 0..names {
            self.name_at(at)?;
            at = skip_name(self.from, at)?;
        }
        self.push(self.from.get(at..view.rdata.end)?)?;
        let length = (self.at - start) as u16;
        self.out[start - 2..start].copy_from_slice(&length.to_be_bytes());
        Some(())
    }

    /// True if the record goes with the one before it: of the same RRset, or its signature.
    fn is_same_set(&self, last: &RecordView, view: &RecordView) -> bool {
        let (mut one, mut other) = ([0; NAME_MAX], [0; NAME_MAX]);
        (view.rtype == last.rtype || view.rtype == Type::RRSIG)
            && expand(self.from, last.owner, &mut one) == expand(self.from, view.owner, &mut other)
            && one == other
    }

    /// Writes the name that stands at `at` in the message.
    fn name_at(&mut self, at: usize) -> Option<()> {
        let mut name = [0; NAME_MAX];
        let length = expand(self.from, at, &mut name)?;
        let labels = Labels::of(&name[..length], self.folds);
        for index in 0..labels.count {
            let start = usize::from(labels.starts[index]);
            if let Some(place) = self.place_of(labels.hashes[index], &name[start..length]) {
                self.push(&(0xc000 | place).to_be_bytes())?;
                return Some(());
            }
            self.remember(labels.hashes[index], self.at);
            self.push(name.get(start..=start + usize::from(name[start]))?)?;
        }
        self.push(&[0])
    }

    fn place_of(&self, hash: u32, name: &[u8]) -> Option<u16> {
        let mut slot = hash as usize % PLACES;
        while self.places[slot].1 != 0 {
            let (known, place) = self.places[slot];
            if known == hash && self.is_at(usize::from(place), name) {
                return Some(place);
            }
            slot = (slot + 1) % PLACES;
        }
        None
    }

    /// True if the name stands at `at` in what was written.
    fn is_at(&self, at: usize, name: &[u8]) -> bool {
        let mut found = [0; NAME_MAX];
        let Some(length) = expand(self.out, at, &mut found) else { return false };
        found[..length] == *name || self.folds && found[..length].eq_ignore_ascii_case(name)
    }

    fn remember(&mut self, hash: u32, at: usize) {
        if at > POINTER_MAX || self.known == PLACES_USED {
            return;
        }
        self.known += 1;
        let mut slot = hash as usize % PLACES;
        while self.places[slot].1 != 0 {
            slot = (slot + 1) % PLACES;
        }
        self.places[slot] = (hash, at as u16);
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        self.out.get_mut(self.at..self.at + bytes.len())?.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }
}

/// The labels of a name: where each begins, and the hash of the name from there on.
struct Labels {
    starts: [u8; NAME_MAX / 2 + 1],
    hashes: [u32; NAME_MAX / 2 + 1],
    count: usize,
}

impl Labels {
    fn of(name: &[u8], folds: bool) -> Self {
        let mut labels = Self { starts: [0; NAME_MAX / 2 + 1], hashes: [0; NAME_MAX / 2 + 1], count: 0 };
        let mut at = 0;
        while let Some(&length) = name.get(at).filter(|&&length| length > 0) {
            labels.starts[labels.count] = at as u8;
            labels.count += 1;
            at += usize::from(length) + 1;
        }
        // From the root up, so that each hash goes on from the one of the name above (FNV-1a).
        let mut hash = 0x811c_9dc5_u32;
        let mut end = at;
        for index in (0..labels.count).rev() {
            let start = usize::from(labels.starts[index]);
            for &byte in &name[start..end] {
                // Length bytes are below `A`.
                let byte = if folds { byte.to_ascii_lowercase() } else { byte };
                hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
            labels.hashes[index] = hash;
            end = start;
        }
        labels
    }
}

/// The name at `at`, with its pointers followed, into `into`; its length.
fn expand(message: &[u8], mut at: usize, into: &mut [u8; NAME_MAX]) -> Option<usize> {
    let mut length = 0;
    // Each step takes a label or goes backwards, and there are not more labels than this.
    for _ in 0..NAME_MAX {
        let label = *message.get(at)?;
        if label >= 0xc0 {
            at = usize::from(label & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            continue;
        }
        let size = usize::from(label) + 1;
        into.get_mut(length..length + size)?.copy_from_slice(message.get(at..at + size)?);
        (at, length) = (at + size, length + size);
        if label == 0 {
            return Some(length);
        }
    }
    None
}

/// Bytes of RDATA before its first name, and how many names that may be compressed follow (RFC 3597 §4: those of the
/// types of RFC 1035).
fn names_in(rtype: Type) -> (usize, usize) {
    match rtype {
        Type::NS | Type::CNAME | Type::PTR | Type(3 | 4 | 7 | 8 | 9) => (0, 1),
        Type::SOA | Type(14) => (0, 2),
        Type::MX => (2, 1),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x01a\x04Test\0\0\x0f\0\x01";

    /// A record of the question's name.
    fn of(rtype: u8, rdata: &[u8]) -> Vec<u8> {
        [&[0xc0, 12, 0, rtype, 0, 1, 0, 0, 0, 60, 0, rdata.len() as u8], rdata].concat()
    }

    fn squeezed(records: &[Vec<u8>], room: usize) -> (Squeezed, Vec<u8>) {
        let message = [QUESTION, &records.concat()].concat();
        let mut out = vec![0; room];
        let squeezed = squeeze(&message, QUESTION.len(), [records.len() as u16, 0, 0], &mut out);
        (squeezed, out[QUESTION.len()..squeezed.length].to_vec())
    }

    #[test]
    fn names_become_pointers_and_keep_their_case() {
        let records = [
            of(15, b"\0\x01\x02mx\x04host\x04Test\0"),
            of(15, b"\0\x02\x02m2\x04host\x04Test\0"),
            of(15, b"\0\x03\x02mx\x04HOST\x04test\0"),
            of(33, b"\0\0\0\0\0\0\x02mx\x04host\x04Test\0"),
        ];
        let (squeezed, written) = squeezed(&records, 512);
        assert!(squeezed.is_whole);
        let expected = [
            // `Test` of the question is at 14; `host.Test` at 41, in the first record.
            of(15, b"\0\x01\x02mx\x04host\xc0\x0e"),
            of(15, b"\0\x02\x02m2\xc0\x29"),
            of(15, b"\0\x03\x02mx\x04HOST\x04test\0"),
            of(33, b"\0\0\0\0\0\0\x02mx\x04host\x04Test\0"),
        ];
        assert_eq!(written, expected.concat());
    }

    #[test]
    fn where_room_is_short_the_case_of_names_gives_way() {
        let records = [of(5, b"\x01b\x04tEST\0"), of(5, b"\x01B\x04TEST\0")];
        let end = QUESTION.len() + 2 * 12;
        let written = |room| squeezed(&records, room);
        assert_eq!(written(end + 8 + 8).1, records.concat());
        let folded = [of(5, b"\x01b\xc0\x0e"), of(5, b"\xc0\x24")];
        assert_eq!(written(end + 4 + 2).1, folded.concat());
        assert!(!written(end + 4 + 1).0.is_whole);
    }

    #[test]
    fn what_has_no_room_is_left_out_by_rrsets() {
        let records = [of(1, b"abcd"), of(1, b"efgh"), of(46, b"signature"), of(28, b"0123456789abcdef")];
        let end = QUESTION.len() + 16 + 16 + 21 + 28;
        for (room, count) in [(end, 4), (end - 1, 3), (end - 28, 3), (end - 29, 0), (QUESTION.len(), 0)] {
            let (squeezed, written) = squeezed(&records, room);
            assert_eq!((squeezed.counts[0], squeezed.is_whole), (count, count == 4), "{room}");
            assert_eq!(written, records[..usize::from(count)].concat());
        }
    }
}
