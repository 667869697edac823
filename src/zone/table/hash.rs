//! The hash of names: flat over wire bytes, 8 at a time, so that every suffix of a name (which is contiguous bytes)
//! hashes as fast as the name itself.

/// An odd constant without pattern: the golden ratio's fraction.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// Another one: the fraction of pi.
const START: u64 = 0x243f_6a88_85a3_08d3;

/// Hash of a folded wire name, or of a folded suffix of one. The same on every machine and in every run.
#[inline]
pub fn hash_folded(wire: &[u8]) -> u64 {
    let (words, rest) = wire.as_chunks::<8>();
    let mut hash = START ^ wire.len() as u64;
    for &word in words {
        hash = mix(hash, u64::from_le_bytes(word));
    }
    if !rest.is_empty() {
        // The last 8 bytes, some of them a second time, read faster than a run of 1 to 7.
        let last = match wire.last_chunk::<8>() {
            Some(&last) => u64::from_le_bytes(last),
            None => rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        hash = mix(hash, last);
    }
    mix(hash, STEP)
}

/// True if both are the same bytes: names are too short for a call to the C library to pay.
#[inline]
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // The last bytes, some of them a second time: quicker than a run of few.
    let (Some(last), Some(other_last)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) else {
        return match (one.first_chunk::<4>(), other.first_chunk::<4>()) {
            (Some(first), Some(other_first)) => first == other_first && one.last_chunk::<4>() == other.last_chunk(),
            _ => one.iter().zip(other).all(|(one, other)| one == other),
        };
    };
    last == other_last && one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0).all(|(one, other)| one == other)
}

/// Multiplies into 128 bits and folds the halves. The old hash is added back, so that no word can wipe it out.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let wide = u128::from(hash ^ word) * u128::from(STEP);
    (wide as u64 ^ (wide >> 64) as u64).wrapping_add(hash.rotate_left(29))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn equal_bytes_hash_equally_wherever_they_stand() {
        let name = b"\x03www\x07example\x03com\0";
        assert_eq!(hash_folded(&name[4..]), hash_folded(b"\x07example\x03com\0"));
        assert_ne!(hash_folded(b"\0"), hash_folded(b"\0\0"));
    }

    #[test]
    fn equality_is_that_of_slices() {
        let name: Vec<u8> = (0..40).collect();
        for length in 0..name.len() {
            let one = &name[..length];
            assert!(equal(one, one) && !equal(one, &name[..length + 1]));
            for place in 0..length {
                let mut other = one.to_vec();
                other[place] ^= 1;
                assert!(!equal(one, &other), "{place} of {length}");
            }
        }
    }

    #[test]
    fn numbered_names_spread_over_all_bits() {
        let hashes: Vec<u64> =
            (0..4096).map(|n| hash_folded(format!("\x06h{n:05}\x07example\x03com\0").as_bytes())).collect();
        assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
        for bit in 0..64 {
            let ones = hashes.iter().filter(|&hash| hash >> bit & 1 == 1).count();
            assert!((1800..2300).contains(&ones), "bit {bit}: {ones} of 4096");
        }
    }
}
