//! The one table of every key: type, default, bounds, and why these bounds. Reading the file, its error messages and
//! `docs/configuration.md` all follow it.

mod keys; // the table itself

use std::fmt::{self, Write};
use std::time::Duration;

use super::duration::show;
use Preset::{Nothing, Required, Value, Words};
use keys::OTHER_WORDS;

/// The contract this binary reads: a file that asks for a newer one is refused.
pub const CONTRACT: u64 = 1;

/// Largest configuration file, certificate file and secret file, in bytes.
pub const FILE_MAX: u64 = 1 << 20;
/// Most files that `include` may bring in.
pub const INCLUDES_MAX: usize = 1000;
/// Most tables of one kind: with more, one node's probes would be late.
pub const TABLES_MAX: usize = 10_000;
/// Most watches, for the same reason.
pub const WATCHES_MAX: usize = 50_000;
/// Most resolvers: the first that answers is enough.
pub const RESOLVERS_MAX: usize = 8;
/// Most rungs between primary and emergency: a visitor never gets as far.
pub const BACKUPS_MAX: usize = 16;
/// Shortest hold-down of a failback; none at all is `"auto"`.
pub const FAILBACK_MIN: Duration = Duration::from_secs(1);
/// Longest hold-down: a longer one is forgotten, and is `"manual"` then.
pub const FAILBACK_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Every table and key, in the order of the manual.
pub const SECTIONS: &[Section] = keys::SECTIONS;

/// One table of the file, such as `[check.NAME]`, or the keys of an inline one.
#[derive(Debug)]
pub struct Section {
    /// As `server` or `admin.token`; what stands in [`Section::header`] without brackets and `NAME`.
    pub path: &'static str,
    /// As people write it.
    pub header: &'static str,
    pub meaning: &'static str,
    pub rows: &'static [Row],
}

/// One key.
#[derive(Debug)]
pub struct Row {
    pub key: &'static str,
    pub kind: Kind,
    pub default: Preset,
    pub meaning: &'static str,
    /// Why these bounds; empty where there are none.
    pub reason: &'static str,
}

/// What holds where the key is not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preset {
    /// The key must be set.
    Required,
    /// As it would stand in the file.
    Value(&'static str),
    /// In words.
    Words(&'static str),
    /// Nothing.
    Nothing,
}

/// Type and bounds of a value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Duration {
        min: Duration,
        max: Duration,
    },
    Integer {
        min: u64,
        max: u64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Boolean,
    /// At most so many bytes.
    Text {
        max: usize,
    },
    Path,
    /// `address:port`.
    Address,
    /// A list of texts.
    List {
        of: &'static str,
        max: usize,
    },
    /// One text or a list of them.
    OneOrList {
        of: &'static str,
        max: usize,
    },
    /// Name = text.
    Map {
        max: usize,
    },
    /// The name of another table.
    Reference(&'static str),
    /// A table, or tables by name.
    Table,
    /// Anything else, in words.
    Other(&'static str),
    /// Known, but not yet supported.
    Reserved,
}

impl Kind {
    /// Smallest and largest value, as people write them.
    pub fn bounds(&self) -> Option<(String, String)> {
        match *self {
            Self::Duration { min, max } => Some((show(min), show(max))),
            Self::Integer { min, max } => Some((min.to_string(), max.to_string())),
            Self::Number { min, max } => Some((min.to_string(), max.to_string())),
            _ => None,
        }
    }

    /// The bounds in words; empty where there are none.
    pub fn limits(&self) -> String {
        match (self.bounds(), self) {
            (Some((min, max)), _) if min == max => format!("only {min}"),
            (Some((min, max)), _) => format!("{min} to {max}"),
            (None, Self::Text { max }) => format!("at most {max} bytes"),
            (None, Self::List { max, .. } | Self::OneOrList { max, .. } | Self::Map { max }) => {
                format!("at most {max}")
            }
            (None, _) => String::new(),
        }
    }
}

/// The type in words, with its article.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration { .. } => f.write_str("a duration"),
            Self::Integer { .. } => f.write_str("an integer"),
            Self::Number { .. } => f.write_str("a number"),
            Self::Boolean => f.write_str("true or false"),
            Self::Text { .. } => f.write_str("a string"),
            Self::Path => f.write_str("a path"),
            Self::Address => f.write_str("an address with port"),
            Self::List { of, .. } => write!(f, "a list of {of}"),
            Self::OneOrList { of, .. } => write!(f, "a string, or a list of {of}"),
            Self::Map { .. } => f.write_str("a table of strings"),
            Self::Reference(what) => write!(f, "the name of {what}"),
            Self::Table => f.write_str("a table"),
            Self::Other(what) => f.write_str(what),
            Self::Reserved => f.write_str("reserved"),
        }
    }
}

/// The section of this path.
pub(crate) fn section(path: &str) -> &'static Section {
    SECTIONS.iter().find(|section| section.path == path).unwrap_or(&SECTIONS[0])
}

impl Section {
    /// The row of this key.
    pub fn row(&self, key: &str) -> Option<&'static Row> {
        self.rows.iter().find(|row| row.key == key)
    }

    /// Keys that may be set today.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        let rows: &'static [Row] = self.rows;
        rows.iter().filter(|row| row.kind != Kind::Reserved).map(|row| row.key)
    }

    /// Our key for another tool's word.
    pub(crate) fn meant_by(&self, word: &str) -> Option<&'static str> {
        let word = word.to_ascii_lowercase().replace('-', "_");
        if let Some(key) = self.keys().find(|key| *key == word) {
            return Some(key);
        }
        let (_, ours) = OTHER_WORDS.iter().find(|(other, _)| *other == word)?;
        ours.iter().copied().find(|key| self.keys().any(|known| known == *key))
    }

    /// Other tools' words for our keys.
    pub(crate) fn other_words(&self) -> impl Iterator<Item = &'static str> + '_ {
        OTHER_WORDS.iter().map(|(other, _)| *other).filter(|other| self.meant_by(other).is_some())
    }

    /// The section's table in `docs/configuration.md`.
    pub fn manual(&self) -> String {
        let mut text = format!("## `{}`\n\n{}\n\n", self.header, self.meaning);
        if !self.header.contains(['[', '{']) {
            text = format!("## {}\n\n{}\n\n", self.header, self.meaning);
        }
        text += "| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n";
        for row in self.rows.iter().filter(|row| row.kind != Kind::Reserved) {
            let default = match row.default {
                Required => "**required**".to_owned(),
                Value(value) if matches!(row.kind, Kind::Duration { .. }) => format!("`\"{value}\"`"),
                Value(value) => format!("`{value}`"),
                Words(words) => words.to_owned(),
                Nothing => "none".to_owned(),
            };
            let bounds = match (row.kind.limits(), row.reason) {
                (limits, reason) if limits.is_empty() => reason.to_owned(),
                (limits, reason) => format!("{limits}. {reason}"),
            };
            let meaning = row.meaning;
            let _ = writeln!(text, "| `{}` | {} | {default} | {} | {meaning} |", row.key, row.kind, bounds.trim_end());
        }
        let reserved: Vec<String> = self
            .rows
            .iter()
            .filter(|row| row.kind == Kind::Reserved)
            .map(|row| format!("`{}` ({})", row.key, row.meaning.trim_end_matches('.')))
            .collect();
        if !reserved.is_empty() {
            let _ = writeln!(text, "\nReserved, not yet supported: {}.", reserved.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::duration;
    use super::*;

    #[test]
    fn every_default_is_of_its_type_and_within_its_bounds() {
        for section in SECTIONS {
            for row in section.rows {
                let Value(value) = row.default else { continue };
                let fault = format!("{} {} = {value}", section.header, row.key);
                match row.kind {
                    Kind::Duration { min, max } => {
                        assert!((min..=max).contains(&duration::parse(value).unwrap()), "{fault}");
                    }
                    Kind::Integer { min, max } => assert!((min..=max).contains(&value.parse().unwrap()), "{fault}"),
                    Kind::Number { min, max } => assert!((min..=max).contains(&value.parse().unwrap()), "{fault}"),
                    Kind::Boolean => assert!(value.parse::<bool>().is_ok(), "{fault}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn keys_stand_once_and_bounds_have_a_reason() {
        for section in SECTIONS {
            for (place, row) in section.rows.iter().enumerate() {
                let same = section.rows.iter().position(|other| other.key == row.key);
                assert_eq!(same, Some(place), "{} {}", section.header, row.key);
                assert!(!row.meaning.is_empty(), "{} {}", section.header, row.key);
                assert!(row.kind.limits().is_empty() || !row.reason.is_empty(), "{} {}", section.header, row.key);
            }
        }
    }

    #[test]
    fn bounds_said_in_words_are_those_that_hold() {
        let words = |path: &str, key: &str| format!("{:?}", section(path).row(key).unwrap());
        assert!(words("server", "resolvers").contains(&format!("up to {RESOLVERS_MAX} addresses")));
        assert!(words("ladder", "backup").contains(&format!("up to {BACKUPS_MAX} rungs")));
        assert!(words("steer", "failback").contains(&format!("from {} to {}", show(FAILBACK_MIN), show(FAILBACK_MAX))));
    }

    #[test]
    fn the_words_of_other_tools_lead_to_ours() {
        assert_eq!(section("check").meant_by("interval"), Some("every"));
        assert_eq!(section("check").meant_by("Timeout"), Some("timeout"));
        assert_eq!(section("alert").meant_by("url"), Some("webhook"));
        assert_eq!(section("check").meant_by("moon"), None);
    }
}
