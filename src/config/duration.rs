//! Durations as people write them: `500ms`, `30s`, `1m30s`, `1h`, `7d`. A number without a unit is an error.

use std::time::Duration;

/// Units from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Other ways people write the units; understood only to suggest the right one.
const HABITS: [(&[&str], u64); 6] = [
    (&["w", "week", "weeks"], 7 * 86_400_000),
    (&["d", "day", "days"], 86_400_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000),
    (&["", "s", "sec", "secs", "second", "seconds"], 1000),
    (&["ms", "msec", "msecs", "millis", "millisecond", "milliseconds"], 1),
];

/// Why a text is no duration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurationError {
    pub what: &'static str,
    /// The same duration as it should be written, where it can be guessed.
    pub meant: Option<String>,
}

/// Reads one or more numbers with units, from the longest unit to the shortest: `1m30s`.
///
/// # Errors
/// A missing or unknown unit, units out of order, a fraction, anything else. Never panics.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let fault = |what| DurationError { what, meant: guess(text).map(show) };
    let (mut rest, mut total, mut units) = (text, 0u64, &UNITS[..]);
    if text.is_empty() {
        return Err(fault("the duration is empty"));
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if digits == 0 {
            return Err(fault("this is not a duration"));
        }
        if unit.is_empty() {
            let what = if after.is_empty() { "the duration has no unit" } else { "this is not a duration" };
            return Err(fault(what));
        }
        let Some(place) = units.iter().position(|&(name, _)| name == unit) else {
            let known = UNITS.iter().any(|&(name, _)| name == unit);
            return Err(fault(if known {
                "units go from the longest to the shortest, each once"
            } else {
                "the unit is not one of ms, s, m, h, d"
            }));
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(units[place].1));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(|| fault("the duration is too long"))?;
        units = &units[place + 1..];
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// The shortest text that [`parse`] reads back, to the millisecond: `1m30s`.
pub fn show(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// What a text that is no duration was probably meant to be: `5 minutes`, `1.5s`, `PT30S`, `30`.
fn guess(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let lower = text.to_ascii_lowercase().replace([' ', '_', ',', '"'], "");
    let mut rest = lower.strip_prefix("pt").unwrap_or(&lower);
    let mut total = 0f64;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|&byte| byte.is_ascii_digit() || byte == b'.').count();
        let (number, after) = rest.split_at(number);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let &(_, size) = HABITS.iter().find(|(names, _)| names.contains(&unit))?;
        total += number.parse::<f64>().ok()? * size as f64;
        rest = after;
    }
    (total < 1e15).then(|| Duration::from_secs_f64((total / 1000.0).max(0.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_durations_like_this() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("5s", 5000),
            ("1m30s", 90_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1d12h", 129_600_000),
            ("1s500ms", 1500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_says_what_would_be_right() {
        for (text, what, meant) in [
            ("5", "the duration has no unit", Some("5s")),
            ("5 s", "this is not a duration", Some("5s")),
            ("5 minutes", "this is not a duration", Some("5m")),
            ("5min", "the unit is not one of ms, s, m, h, d", Some("5m")),
            ("2w", "the unit is not one of ms, s, m, h, d", Some("14d")),
            ("30s1m", "units go from the longest to the shortest, each once", Some("1m30s")),
            ("5s5s", "units go from the longest to the shortest, each once", Some("10s")),
            ("1.5s", "this is not a duration", Some("1s500ms")),
            ("PT30S", "this is not a duration", Some("30s")),
            ("5S", "the unit is not one of ms, s, m, h, d", Some("5s")),
            ("-5s", "this is not a duration", None),
            ("soon", "this is not a duration", None),
            ("", "the duration is empty", None),
            ("99999999999999999999d", "the duration is too long", None),
        ] {
            let meant = meant.map(str::to_owned);
            assert_eq!(parse(text), Err(DurationError { what, meant }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0u64..100_000_000_000) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(span)), Ok(span));
        }

        #[test]
        fn no_text_panics_and_every_suggestion_reads_back(text in "\\PC{0,24}|[0-9.dhms ]{0,16}") {
            if let Err(DurationError { meant: Some(meant), .. }) = parse(&text) {
                prop_assert!(parse(&meant).is_ok(), "{} -> {}", text, meant);
            }
        }
    }
}
