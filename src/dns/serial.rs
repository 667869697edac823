//! Serial numbers of zones and their arithmetic (RFC 1982).

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
}
