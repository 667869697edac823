//! `--from` and `--until`: which turns are shown.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::edge::admin::words;
use crate::time::Wall;

const DAY: i64 = 86_400_000;

/// A time as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Time {
    At(Wall),
    /// Milliseconds into the record's last day.
    OfDay(i64),
    /// So long before the record's end.
    Before(Duration),
}

/// Reads a time: `2026-11-22T00:12:31Z`, `2026-11-22 00:12`, `00:12:31`, `30m`. UTC where no other zone is said.
///
/// # Errors
/// What would be right.
pub(super) fn read(text: &str) -> Result<Time, String> {
    let text = text.trim().trim_end_matches("UTC").trim_end();
    let wall = |at: jiff::Timestamp| Wall::from_millis(at.as_millisecond());
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Time::At(wall(at)));
    }
    if let Ok(at) = text.parse::<civil::DateTime>() {
        return at.to_zoned(TimeZone::UTC).map(|at| Time::At(wall(at.timestamp()))).map_err(|error| error.to_string());
    }
    if let Ok(at) = text.parse::<civil::Time>() {
        let seconds = i64::from(at.hour()) * 3600 + i64::from(at.minute()) * 60 + i64::from(at.second());
        return Ok(Time::OfDay(seconds * 1000 + i64::from(at.millisecond())));
    }
    words::read_span(text)
        .map(Time::Before)
        .map_err(|_| format!("`{text}` is no time; write `2026-11-22 00:12`, `00:12:31` or `30m`"))
}

/// From then until then, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    from: Option<Wall>,
    until: Option<Wall>,
}

impl Times {
    /// `end` is the last moment of the record.
    pub(super) fn of(from: Option<Time>, until: Option<Time>, end: Option<Wall>) -> Self {
        let end = end.unwrap_or_default();
        let at = |time| match time {
            Time::At(at) => at,
            Time::OfDay(millis) => Wall::from_millis(end.millis() - end.millis().rem_euclid(DAY) + millis),
            Time::Before(span) => end - span,
        };
        Self { from: from.map(at), until: until.map(at) }
    }

    /// A turn of this second is one of that second.
    pub(super) fn hold(&self, at: Wall) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at.seconds() <= until.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        // 2026-11-22T00:12:31Z.
        let at = Wall::from_millis(1_795_306_351_000);
        assert_eq!(at.to_string(), "2026-11-22T00:12:31.000Z");
        for text in
            ["2026-11-22T00:12:31Z", "2026-11-22 00:12:31", "2026-11-22 00:12:31 UTC", "2026-11-22T01:12:31+01:00"]
        {
            assert_eq!(read(text), Ok(Time::At(at)), "{text}");
        }
        assert_eq!(read("00:12:31"), Ok(Time::OfDay(751_000)));
        assert_eq!(read("30m"), Ok(Time::Before(Duration::from_secs(1800))));
        assert!(read("yesterday").is_err());
    }

    #[test]
    fn a_time_of_day_is_of_the_last_day_of_the_record() {
        let end = Wall::from_millis(1_795_306_351_000);
        let times = Times::of(Some(Time::OfDay(751_000)), Some(Time::Before(Duration::ZERO)), Some(end));
        assert!(times.hold(end) && times.hold(end + Duration::from_millis(900)));
        assert!(!times.hold(end - Duration::from_millis(1)) && !times.hold(end + Duration::from_secs(1)));
    }
}
