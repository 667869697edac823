//! Serial numbers of zones (RFC 1982) and the choice of the next one.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A SOA serial. Its order is partial (RFC 1982 §3.2), so there is no `Ord`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(pub u32);

impl Serial {
    /// The next number; wraps.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// `steps` numbers on; meaningful below 2³¹.
    #[must_use]
    pub fn ahead(self, steps: u32) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// The greater of both; this one where neither is (distance exactly 2³¹).
    #[must_use]
    pub fn greater(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match other.0.wrapping_sub(self.0) {
            0 => Some(Ordering::Equal),
            1..0x8000_0000 => Some(Ordering::Less),
            0x8000_0000 => None,
            _ => Some(Ordering::Greater),
        }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The serial of the next version of a zone: the greatest of the file's own, one past the last served, and one past
/// the mark reserved by an earlier run. The clock is never asked: a date serial in the file must not send
/// secondaries backwards, nor a clock jump poison the line.
pub fn next(file: Serial, last: Option<Serial>, reserved: Option<Serial>) -> Serial {
    [last.map(Serial::next), reserved.map(Serial::next)].into_iter().flatten().fold(file, Serial::greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_rfc_1982() {
        assert!(Serial(1) > Serial(0));
        assert!(Serial(0) > Serial(u32::MAX));
        assert!(Serial(0x7fff_ffff) > Serial(0));
        assert_eq!(Serial(0).partial_cmp(&Serial(0x8000_0000)), None);
    }

    #[test]
    fn next_is_the_greatest_of_file_last_and_mark() {
        for (file, last, mark, next_is) in [
            (5, None, None, 5),
            (5, Some(5), None, 6),
            (2_026_112_101, Some(17), None, 2_026_112_101),
            (5, Some(9), Some(1000), 1001),
            (0, Some(u32::MAX), None, 0),
            (2_026_112_101, Some(2_026_112_205), Some(2_026_112_150), 2_026_112_206),
        ] {
            assert_eq!(next(Serial(file), last.map(Serial), mark.map(Serial)), Serial(next_is));
        }
    }
}
