//! The cuts and DNAMEs of a zone in the making, so that of each name it is known whether it stands below one before any
//! of them is in its place.

use crate::dns::folded::Folded;
use crate::zone::table::hash_folded;

/// Bits of the first look per name that covers: one name in 16 that is below nothing needs a second one.
const BITS_PER_NAME: usize = 16;

/// The names that own NS or DNAME, by hash.
///
/// Two names of one hash are taken for each other, one pair in 2⁶⁴. The name that is flagged in vain then is found by a
/// walk from the apex instead of at once.
#[derive(Default)]
pub(super) struct Covers {
    /// Sorted, once [`Covers::ready`].
    hashes: Vec<u64>,
    /// One bit for each hash: its word by the bits from 32 on, itself by the lowest six. Their number is a power of two.
    bits: Vec<u64>,
    /// The apex owns a DNAME, so that every other name is below it.
    all: bool,
}

impl Covers {
    /// Takes a name that covers, by the hash of its full name.
    pub(super) fn add(&mut self, hash: u64, is_apex: bool) {
        self.all |= is_apex;
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    /// Gets it ready to be asked.
    pub(super) fn ready(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.bits = vec![0; (self.hashes.len() * BITS_PER_NAME / 64).next_power_of_two()];
        for index in 0..self.hashes.len() {
            let (word, bit) = self.place(self.hashes[index]);
            self.bits[word] |= bit;
        }
    }

    /// True if one of them is above this name, folded and relative to the apex. The full name is written into `full`.
    pub(super) fn are_above(&self, relative: &[u8], apex: &[u8], full: &mut Folded) -> bool {
        if self.hashes.is_empty() || relative.is_empty() {
            return false;
        }
        let mut at = usize::from(relative[0]) + 1;
        if at == relative.len() {
            return self.all;
        }
        let full = full.join(relative, apex).unwrap_or_default();
        while at < relative.len() && at < full.len() {
            if self.has(hash_folded(&full[at..])) {
                return true;
            }
            at += usize::from(full[at]) + 1;
        }
        self.all
    }

    fn has(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.bits[word] & bit != 0 && self.hashes.binary_search(&hash).is_ok()
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        let word = (hash >> 32) as usize & (self.bits.len() - 1);
        (word, 1 << (hash & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(names: &[&[u8]]) -> Covers {
        let mut covers = Covers::default();
        names.iter().for_each(|name| covers.add(hash_folded(name), *name == APEX));
        covers.ready();
        covers
    }

    const APEX: &[u8] = b"\x07example\x03com\0";

    #[test]
    fn what_is_above_covers() {
        let full = |relative: &[u8]| [relative, APEX].concat();
        let is_covered = |covers: &Covers, relative: &[u8]| covers.are_above(relative, APEX, &mut Folded::default());
        let one = covers(&[&full(b"\x01b")]);
        assert!(is_covered(&one, b"\x01a\x01b") && is_covered(&one, b"\x01a\x01a\x01b"));
        assert!(!is_covered(&one, b"\x01b") && !is_covered(&one, b"\x01a") && !is_covered(&one, b""));
        let apex = covers(&[APEX]);
        assert!(is_covered(&apex, b"\x01a") && is_covered(&apex, b"\x01a\x01b") && !is_covered(&apex, b""));
        assert!(!is_covered(&covers(&[]), b"\x01a\x01b"));
    }

    #[test]
    fn many_are_found_and_no_other() {
        let name = |number: u16| full_of(number, b"\x01d");
        let names: Vec<Vec<u8>> = (0..2_000).map(name).collect();
        let covers = covers(&names.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for number in 0..4_000 {
            let below = [&b"\x01a"[..], &name(number)].concat();
            let relative = &below[..below.len() - APEX.len()];
            assert_eq!(covers.are_above(relative, APEX, &mut Folded::default()), number < 2_000, "{number}");
        }
    }

    fn full_of(number: u16, front: &[u8]) -> Vec<u8> {
        [front, &[4], format!("{number:04}").as_bytes(), APEX].concat()
    }
}
