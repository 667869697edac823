//! A segment of a record as it lies on the disk: a first line, then chunks, each with its length and a checksum.
//!
//! ```text
//!   "failoverd record 1\n"  │ length  checksum  bytes │ length  checksum  bytes │ …
//!                           │  4        8             │
//! ```
//!
//! A chunk is written at once. What a crash leaves of the last one does not fit its checksum: it is cut off and told.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// What every segment begins with.
pub const FIRST_LINE: &[u8] = b"failoverd record 1\n";
/// Bytes before those of a chunk.
const HEAD: usize = 4 + 8;
/// A chunk that says it is longer is none.
const LONGEST: usize = 256 << 20;

/// Puts a chunk of these bytes.
pub fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend_from_slice(&checksum(bytes).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// The chunks of a segment, one after the other.
#[derive(Clone, Debug)]
pub struct Chunks<'s> {
    rest: &'s [u8],
}

impl<'s> Chunks<'s> {
    /// `None` if that is no segment of a record.
    pub fn of(segment: &'s [u8]) -> Option<Self> {
        Some(Self { rest: segment.strip_prefix(FIRST_LINE)? })
    }

    /// Bytes after the last whole chunk, once there is none left.
    pub fn torn(&self) -> usize {
        self.rest.len()
    }
}

impl<'s> Iterator for Chunks<'s> {
    type Item = &'s [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.rest.split_at_checked(HEAD)?;
        let (length, sum) = head.split_first_chunk::<4>()?;
        let length =
            usize::try_from(u32::from_le_bytes(*length)).ok().filter(|&length| (1..=LONGEST).contains(&length));
        let (bytes, rest) = rest.split_at_checked(length?)?;
        if sum != checksum(bytes).to_le_bytes() {
            return None;
        }
        self.rest = rest;
        Some(bytes)
    }
}

/// Against torn and worn disks; the key is known to all.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut segment = FIRST_LINE.to_vec();
        chunks.iter().for_each(|chunk| put(&mut segment, chunk));
        segment
    }

    proptest! {
        #[test]
        fn what_is_whole_is_read_and_what_is_torn_is_cut_off(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cut in 0usize..400,
        ) {
            let whole = segment(&chunks);
            let cut = FIRST_LINE.len().max(whole.len().saturating_sub(cut));
            let mut read = Chunks::of(&whole[..cut]).unwrap();
            let found: Vec<Vec<u8>> = read.by_ref().map(<[u8]>::to_vec).collect();
            prop_assert!(chunks.starts_with(&found));
            prop_assert_eq!(segment(&found).len() + read.torn(), cut);
            prop_assert_eq!(found.len() == chunks.len(), cut == whole.len());
        }

        #[test]
        fn one_wrong_bit_ends_the_reading(bytes in prop::collection::vec(any::<u8>(), 1..60), at: prop::sample::Index) {
            let mut wrong = segment(std::slice::from_ref(&bytes));
            let at = FIRST_LINE.len() + at.index(wrong.len() - FIRST_LINE.len());
            wrong[at] ^= 0x10;
            prop_assert_eq!(Chunks::of(&wrong).unwrap().next(), None);
        }

        #[test]
        fn garbage_is_no_segment(bytes: Vec<u8>) {
            if let Some(chunks) = Chunks::of(&bytes) {
                prop_assert!(chunks.count() < bytes.len());
            }
        }
    }

    #[test]
    fn zeros_are_no_chunks() {
        let mut segment = segment(&[]);
        segment.extend([0; 64]);
        let mut chunks = Chunks::of(&segment).unwrap();
        assert_eq!((chunks.next(), chunks.torn()), (None, 64));
    }
}
