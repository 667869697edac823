//! Words for what people read: spans, times of day, rungs, reasons. Shared by the API and the command line.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::Place;
use crate::decision::{Data, Reason};
use crate::time::Wall;

/// `until-released`, as `--for` and the API take it.
pub const UNTIL_RELEASED: &str = "until-released";

/// The longest span an order may be given; beyond it, `until-released` says what is meant.
const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// A span as a person reads it, to its two greatest units: `850ms`, `12s`, `2m 10s`, `3h 4m`, `5d 2h`.
#[must_use]
pub fn span(of: Duration) -> String {
    if of < Duration::from_secs(1) {
        return format!("{}ms", of.as_millis());
    }
    let seconds = of.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |greater: u64, unit: &str, lesser: u64, lesser_unit: &str| match lesser {
        0 => format!("{greater}{unit}"),
        lesser => format!("{greater}{unit} {lesser}{lesser_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => two(minutes, "m", seconds % 60, "s"),
        (0, hours, minutes) => two(hours, "h", minutes, "m"),
        (days, hours, _) => two(days, "d", hours, "h"),
    }
}

/// [`span`] of whole seconds.
#[must_use]
pub fn seconds(of: u64) -> String {
    if of == 0 { "0s".to_owned() } else { span(Duration::from_secs(of)) }
}

/// Milliseconds as a person compares them: `0.4ms`, `12ms`, `1.25s`.
#[must_use]
pub fn millis(of: f64) -> String {
    match of {
        of if of < 9.95 => format!("{of:.1}ms"),
        of if of < 999.5 => format!("{of:.0}ms"),
        of => format!("{:.2}s", of / 1000.0),
    }
}

/// Reads a span as people write it: `90s`, `1h30m`, `1h 30m`, `2d`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span of time; write `30m`, `1h 30m`, `2d` or `{UNTIL_RELEASED}`");
    let (mut rest, mut millis) = (text.trim(), 0u64);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (count, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let count: u64 = count.parse().map_err(|_| wrong())?;
        let &(_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        millis = count.checked_mul(size).and_then(|more| millis.checked_add(more)).ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    match Duration::from_millis(millis) {
        Duration::ZERO => Err("a span of zero ends before it begins".to_owned()),
        long if long > SPAN_MAX => Err(format!("`{text}` is over a year; write `{UNTIL_RELEASED}` if that is meant")),
        fine => Ok(fine),
    }
}

/// The calendar as the API writes it; the epoch if out of its range.
#[must_use]
pub fn timestamp(at: Wall) -> Timestamp {
    Timestamp::from_millisecond(at.millis()).unwrap_or_default()
}

/// A time of day in UTC, with its date unless that is `now`'s.
#[must_use]
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    let day = at.strftime("%Y-%m-%d").to_string();
    if day == now.strftime("%Y-%m-%d").to_string() { at.strftime("%H:%M:%S UTC").to_string() } else { moment(at) }
}

/// Date and time of day in UTC.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Reads the name of a rung.
///
/// # Errors
/// What would be right.
pub fn read_place(text: &str) -> Result<Place, String> {
    let wrong = || format!("`{text}` is no rung; rungs are primary, backup (or backup-2, backup-3, …), emergency");
    match text {
        "primary" => Ok(Place::Primary),
        "backup" => Ok(Place::Backup(1)),
        "emergency" => Ok(Place::Emergency),
        text => match text.strip_prefix("backup-").map(str::parse) {
            Some(Ok(number @ 1..)) => Ok(Place::Backup(number)),
            _ => Err(wrong()),
        },
    }
}

/// The fixed word of a reason, as the journal has it.
#[must_use]
pub fn reason_word(reason: &Reason) -> &'static str {
    match reason {
        Reason::Preferred => "preferred",
        Reason::Unproven => "unproven",
        Reason::FailedOver => "failed-over",
        Reason::FailbackWaits { .. } => "failback-waits",
        Reason::FailbackManual => "failback-manual",
        Reason::LastResort => "last-resort",
        Reason::Degraded => "degraded",
        Reason::TooFew => "too-few",
        Reason::Panic => "panic",
        Reason::AllDead => "all-dead",
        Reason::Held { .. } => "held",
        Reason::Doubt => "doubt",
        Reason::Restored => "restored",
        Reason::Waits { .. } => "waits",
    }
}

/// A reason in a sentence, without what was seen of any origin.
#[must_use]
pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Preferred => "first choice, and it works".to_owned(),
        Reason::Unproven => "nothing is known yet; best guess by the ladder".to_owned(),
        Reason::FailedOver => "no rung before it is up".to_owned(),
        Reason::FailbackWaits { until } => {
            format!("a better rung is up again; failback at {}", timestamp(*until).strftime("%H:%M:%S UTC"))
        }
        Reason::FailbackManual => "a better rung is up again; failback waits for `failoverd failback`".to_owned(),
        Reason::LastResort => "last resort: every other rung is down".to_owned(),
        Reason::Degraded => "a rung before it is up, but degraded".to_owned(),
        Reason::TooFew => "every rung is dead; of this one too few origins work, and they are served".to_owned(),
        Reason::Panic => "every rung is dead; so few origins of this one work that all of them are served".to_owned(),
        Reason::AllDead => "everything is down: the last served rung is kept, whole".to_owned(),
        Reason::Held { actor, reason, .. } => format!("held by {actor}: {reason}"),
        Reason::Doubt => "our own sight is in doubt: the last good answer is kept".to_owned(),
        Reason::Restored => "as before the restart; not yet confirmed by probes".to_owned(),
        Reason::Waits { to, .. } => format!("would go to {to}; waits for the velocity limit"),
    }
}

/// What an answer holds, on one line.
#[must_use]
pub fn data(data: &Data) -> String {
    match data {
        Data::Cname(target) => target.to_host(),
        Data::Addresses(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_at_a_glance() {
        for (millis, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (1_000, "1s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (130_000, "2m 10s"),
            (11_040_000, "3h 4m"),
            (86_400_000, "1d"),
            (439_200_000, "5d 2h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("1h30m", 5_400), ("1h 30m", 5_400), (" 2d ", 172_800), ("1w", 604_800)] {
            assert_eq!(read_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "1", "h", "1x", "-1h", "1.5h", "0s", "400d", "99999999999999999999h", "18446744073709551615w", "é"]
        {
            assert!(read_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_rung_reads_back() {
        for place in [Place::Primary, Place::Backup(1), Place::Backup(2), Place::Backup(255), Place::Emergency] {
            assert_eq!(read_place(&place.to_string()), Ok(place));
        }
        for text in ["", "Primary", "backup-0", "backup-256", "backup-", "backup-x"] {
            assert!(read_place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_word_of_a_reason_is_the_journals() {
        for told in [
            Reason::Preferred,
            Reason::Unproven,
            Reason::FailedOver,
            Reason::FailbackWaits { until: Wall::from_millis(0) },
            Reason::FailbackManual,
            Reason::LastResort,
            Reason::Degraded,
            Reason::TooFew,
            Reason::Panic,
            Reason::AllDead,
            Reason::Held { actor: String::new(), reason: String::new(), until: None },
            Reason::Doubt,
            Reason::Restored,
            Reason::Waits { to: Place::Backup(1), since: Wall::from_millis(0) },
        ] {
            assert_eq!(serde_json::to_value(&told).unwrap()["why"], reason_word(&told));
        }
    }

    #[test]
    fn todays_times_leave_the_date_out() {
        let now = timestamp(Wall::from_millis(1_795_257_127_512));
        assert_eq!(clock(now, now), "10:32:07 UTC");
        assert_eq!(clock(timestamp(Wall::from_millis(0)), now), "1970-01-01 00:00:00 UTC");
    }
}
