//! The only time the core knows: handed in with each event and batch, never read.
//!
//! [`Moment`] is monotonic and counts a virtual machine's suspend; it serves intervals, hold-downs and staleness.
//! [`Wall`] is the calendar; it serves what people and other machines wrote down: the expiry of certificates and
//! orders, journal times. A jump of the wall clock never moves a verdict, a hold-down or a serial.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock: nanoseconds since the machine booted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    /// The moment `since_boot` after boot. Saturates after 584 years.
    pub fn from_boot(since_boot: Duration) -> Self {
        Self(u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since boot.
    pub fn since_boot(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A point on the calendar: milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Wall(i64);

impl Wall {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Wall {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-21T10:32:07.512Z`.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms since 1970", self.0),
        }
    }
}

impl From<Wall> for String {
    fn from(at: Wall) -> Self {
        at.to_string()
    }
}

/// RFC 3339, as [`Wall`] prints.
impl TryFrom<String> for Wall {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_millisecond()))
    }
}

/// Both clocks, read once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Now {
    pub moment: Moment,
    pub wall: Wall,
}

impl Add<Duration> for Now {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self { moment: self.moment + span, wall: self.wall + span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_prints_as_rfc_3339_with_milliseconds() {
        assert_eq!(Wall::from_millis(1_795_257_127_512).to_string(), "2026-11-21T10:32:07.512Z");
    }

    #[test]
    fn spans_never_go_below_zero() {
        let early = Moment::from_boot(Duration::from_secs(1));
        assert_eq!(early.since(early + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(Wall::from_millis(5).since(Wall::from_millis(9)), Duration::ZERO);
    }
}
