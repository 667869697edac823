//! Values of one table of the file, read by the rows of [`bounds`](super::bounds): a value of the wrong type or out
//! of its bounds becomes an error at its place, and reading goes on.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::bounds::{FILE_MAX, Kind, Preset, Row, Section};
use super::duration;
use super::errors::{At, Findings, Located, listed, nearest, quoted};
use super::recording;
use crate::zone::Files;

/// What reading needs of the world, and what it found.
pub(crate) struct Reading<'w> {
    pub(crate) files: &'w dyn Files,
    pub(crate) env: &'w dyn Fn(&str) -> Option<String>,
    pub(crate) found: Findings,
    /// All files read, in order, to be watched.
    pub(crate) paths: Vec<PathBuf>,
}

/// A string of the file, `${ENV}` replaced.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) at: At,
    /// The environment variable it came from: its value is not shown.
    pub(crate) env: Option<String>,
}

impl Text {
    /// For messages.
    pub(crate) fn shown(&self) -> String {
        match &self.env {
            Some(env) => format!("the value of `${{{env}}}`"),
            None => quoted(&self.value),
        }
    }
}

/// One table of the file, its keys known to be those of its section.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'t> {
    pub(crate) section: &'static Section,
    /// The header, or the whole of an inline table.
    pub(crate) at: At,
    table: &'t DeTable<'t>,
}

impl<'t> Fields<'t> {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Is there an unknown key that was probably meant to be this one?
    pub(crate) fn has_misspelt(&self, key: &str) -> bool {
        let unknown = self.table.keys().map(|key| key.get_ref().as_ref()).filter(|key| self.section.row(key).is_none());
        unknown.into_iter().any(|unknown| near(self.section, unknown) == Some(key))
    }

    /// The value as it stands there.
    pub(crate) fn raw(&self, key: &str) -> Option<(&'t DeValue<'t>, At)> {
        let value = self.table.get(key)?;
        Some((value.get_ref(), At::new(self.at.file, value.span())))
    }

    /// Where the value of a key stands; the header if it is not set.
    pub(crate) fn at_of(&self, key: &str) -> At {
        self.raw(key).map_or(self.at, |(_, at)| at)
    }
}

impl<'w> Reading<'w> {
    /// A table whose keys are checked against its section; unknown and reserved ones are errors.
    pub(crate) fn open<'t>(&mut self, section: &'static Section, header: At, table: &'t DeTable<'t>) -> Fields<'t> {
        for key in table.keys() {
            let (at, key) = (At::new(header.file, key.span()), key.get_ref().as_ref());
            match section.row(key) {
                Some(Row { kind: Kind::Reserved, .. }) => self.reserved(at, key),
                Some(_) => {}
                None => self.unknown_key(section, header, at, key),
            }
        }
        Fields { section, at: header, table }
    }

    pub(crate) fn reserved(&mut self, at: At, what: &str) {
        let what = format!("{} is not yet supported", quoted(what));
        self.found.error(at, what).help("the key is reserved for a later version; remove it");
    }

    fn unknown_key(&mut self, section: &'static Section, header: At, at: At, key: &str) {
        let known: Vec<&str> = section.keys().collect();
        let written = self.found.text_at(header).to_owned();
        let problem = match section.path {
            "" => self.found.error(at, format!("unknown table or key {}", quoted(key))),
            _ if written.starts_with('[') => {
                self.found.error(at, format!("unknown key {} in {}", quoted(key), quoted(&written)))
            }
            _ => self.found.error(at, format!("unknown key {} in `{}`", quoted(key), section.header)),
        };
        if let Some(near) = near(section, key) {
            problem.label(format!("did you mean `{near}`?"));
        }
        problem.help(format!(
            "{} {}",
            if section.path.is_empty() { "known are" } else { "its keys are" },
            listed(&known)
        ));
    }

    /// A value of the wrong type.
    pub(crate) fn mistyped(&mut self, key: &str, value: &DeValue<'_>, at: At, wanted: &str, right: Option<String>) {
        let what = format!("`{key}` takes {wanted}, not {}", described(value));
        let problem = self.found.error(at, what);
        if let Some(right) = right {
            problem.help(format!("write `{key} = {right}`"));
        }
    }

    /// `${ENV}` as a whole value is replaced. `None` and an error if the variable is not set.
    pub(crate) fn expand(&mut self, text: &str, at: At) -> Option<Text> {
        let Some(start) = text.find("${") else {
            return Some(Text { value: text.to_owned(), at, env: None });
        };
        let Some(length) = text[start + 2..].find('}') else {
            return Some(Text { value: text.to_owned(), at, env: None });
        };
        let name = &text[start + 2..start + 2 + length];
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name && name.len() + 3 == text.len() {
            let what = format!("{} is no name of an environment variable", quoted(name));
            self.found
                .error(at, what)
                .help("letters, digits and `_`, not a digit first: like `${API_TOKEN}`; rename the variable");
            return None;
        }
        if !is_name {
            return Some(Text { value: text.to_owned(), at, env: None });
        }
        if name.len() + 3 != text.len() {
            let what = format!("`${{{name}}}` must be the whole value, not a part of it");
            self.found
                .error(at, what)
                .help(format!("put all of the text into the variable, and write `\"${{{name}}}\"`"));
            return None;
        }
        match (self.env)(name) {
            Some(value) => Some(Text { value, at, env: Some(name.to_owned()) }),
            None => {
                self.found.error(at, format!("environment variable `{name}` is not set")).help(format!(
                    "set it where failoverd is started (systemd: `Environment={name}=…` or `EnvironmentFile=…`)"
                ));
                None
            }
        }
    }

    /// A string, not empty and not longer than its row allows.
    pub(crate) fn text(&mut self, fields: &Fields<'_>, key: &str) -> Option<Text> {
        let (value, at) = fields.raw(key)?;
        let kind = fields.section.row(key).map(|row| row.kind);
        let DeValue::String(text) = value else {
            let right = matches!(value, DeValue::Integer(_) | DeValue::Float(_))
                .then(|| format!("\"{}\"", self.found.text_at(at)));
            let wanted = kind.map_or_else(|| "a string".to_owned(), |kind| kind.to_string());
            self.mistyped(key, value, at, &wanted, right);
            return None;
        };
        let text = self.expand(text, at)?;
        if text.value.is_empty() {
            self.found.error(at, format!("`{key}` is empty"));
            return None;
        }
        if let Some(Kind::Text { max }) = kind
            && text.value.len() > max
        {
            let what = format!("`{key}` is {} bytes long, {max} are allowed", text.value.len());
            self.found.error(at, what);
            return None;
        }
        Some(text)
    }

    /// A list of strings; one string too, where the row allows it.
    pub(crate) fn texts(&mut self, fields: &Fields<'_>, key: &str) -> Option<Vec<Text>> {
        let (value, at) = fields.raw(key)?;
        let kind = fields.section.row(key)?.kind;
        let (max, one) = match kind {
            Kind::List { max, .. } => (max, false),
            Kind::OneOrList { max, .. } => (max, true),
            _ => (usize::MAX, true),
        };
        let items: Vec<&Spanned<DeValue<'_>>> = match value {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::String(text) if one => return self.expand(text, at).map(|text| vec![text]),
            _ => {
                let right = matches!(value, DeValue::String(_)).then(|| format!("[{}]", self.found.text_at(at)));
                self.mistyped(key, value, at, &kind.to_string(), right);
                return None;
            }
        };
        if items.len() > max {
            self.found.error(at, format!("`{key}` has {} items, {max} are allowed", items.len()));
            return None;
        }
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let at = At::new(at.file, item.span());
            match item.get_ref() {
                DeValue::String(text) if text.is_empty() => {
                    self.found.error(at, format!("an item of `{key}` is empty"));
                }
                DeValue::String(text) => texts.extend(self.expand(text, at)),
                other => {
                    self.found.error(at, format!("`{key}` takes {kind}; this item is {}", described(other)));
                }
            }
        }
        Some(texts)
    }

    /// A duration within its row's bounds, if set.
    pub(crate) fn span(&mut self, fields: &Fields<'_>, key: &str) -> Option<Located<Duration>> {
        let (value, at) = fields.raw(key)?;
        let Kind::Duration { min, max } = fields.section.row(key)?.kind else {
            return None;
        };
        let span = self.any_span(key, value, at)?;
        if span < min || span > max {
            self.out_of_bounds(fields, key, at, &duration::show(span));
            return None;
        }
        Some(Located { value: span, at })
    }

    /// A duration of any length.
    pub(crate) fn any_span(&mut self, key: &str, value: &DeValue<'_>, at: At) -> Option<Duration> {
        let DeValue::String(text) = value else {
            let right = match value {
                DeValue::Integer(_) | DeValue::Float(_) => {
                    duration::parse(self.found.text_at(at)).err().and_then(|fault| fault.meant)
                }
                _ => None,
            };
            let right = right.map(|right| format!("\"{right}\""));
            self.mistyped(key, value, at, "a duration in quotes, with its unit", right);
            return None;
        };
        let text = self.expand(text, at)?;
        self.span_of(key, &text)
    }

    /// The same, of a string that is expanded already.
    pub(crate) fn span_of(&mut self, key: &str, text: &Text) -> Option<Duration> {
        match duration::parse(&text.value) {
            Ok(span) => Some(span),
            Err(fault) => {
                let problem = self.found.error(text.at, format!("`{key}`: {}", fault.what));
                match fault.meant {
                    Some(meant) => problem.help(format!("write `{key} = \"{meant}\"`")),
                    None => problem.help("durations look like `500ms`, `30s`, `1m30s`, `1h`, `7d`"),
                };
                None
            }
        }
    }

    /// An integer within its row's bounds, if set.
    pub(crate) fn integer(&mut self, fields: &Fields<'_>, key: &str) -> Option<Located<u64>> {
        let (value, at) = fields.raw(key)?;
        let Kind::Integer { min, max } = fields.section.row(key)?.kind else {
            return None;
        };
        let DeValue::Integer(number) = value else {
            let unquoted = value.as_str().filter(|text| text.parse::<u64>().is_ok()).map(str::to_owned);
            self.mistyped(key, value, at, "an integer", unquoted);
            return None;
        };
        let digits = number.as_str().replace('_', "");
        match u64::from_str_radix(&digits, number.radix()).ok().filter(|number| (min..=max).contains(number)) {
            Some(value) => Some(Located { value, at }),
            None => {
                let shown = self.found.text_at(at).to_owned();
                self.out_of_bounds(fields, key, at, &shown);
                None
            }
        }
    }

    /// A number within its row's bounds, if set.
    pub(crate) fn number(&mut self, fields: &Fields<'_>, key: &str) -> Option<f64> {
        let (value, at) = fields.raw(key)?;
        let Kind::Number { min, max } = fields.section.row(key)?.kind else {
            return None;
        };
        if !matches!(value, DeValue::Integer(_) | DeValue::Float(_)) {
            self.mistyped(key, value, at, "a number", None);
            return None;
        }
        let shown = self.found.text_at(at).to_owned();
        match shown.replace('_', "").parse::<f64>().ok().filter(|number| (min..=max).contains(number)) {
            Some(number) => Some(number),
            None => {
                self.out_of_bounds(fields, key, at, &shown);
                None
            }
        }
    }

    /// True or false, if set.
    pub(crate) fn boolean(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        let (value, at) = fields.raw(key)?;
        if let DeValue::Boolean(value) = value {
            return Some(*value);
        }
        let right = value.as_str().and_then(|text| match text {
            "true" | "yes" | "on" => Some("true".to_owned()),
            "false" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        });
        self.mistyped(key, value, at, "true or false", right);
        None
    }

    fn out_of_bounds(&mut self, fields: &Fields<'_>, key: &str, at: At, shown: &str) {
        let Some(row) = fields.section.row(key) else { return };
        let Some((min, max)) = row.kind.bounds() else { return };
        let what = format!("`{key}` must be between {min} and {max}, not {}", quoted(shown));
        self.found.error(at, what).help(row.reason);
    }

    /// An inline table with the keys of `section`.
    pub(crate) fn inline<'t>(
        &mut self,
        section: &'static Section,
        key: &str,
        value: &'t DeValue<'t>,
        at: At,
    ) -> Option<Fields<'t>> {
        let DeValue::Table(table) = value else {
            self.mistyped(key, value, at, "a table", None);
            return None;
        };
        Some(self.open(section, at, table))
    }

    /// The text of a file that the configuration names, relative to the file it stands in; whole and in UTF-8.
    pub(crate) fn file(&mut self, path: &Text) -> Option<String> {
        let full = self.joined(path);
        match read_text(self.files, &full) {
            Ok(text) => {
                recording::attach(&mut self.found, full.display().to_string(), &text);
                self.paths.push(full);
                Some(text)
            }
            Err(Unreadable { why, help }) => {
                let what = format!("cannot read {}: {why}", quoted(&full.display().to_string()));
                self.found.error(path.at, what).help(help);
                None
            }
        }
    }

    /// The path, relative to the file it stands in.
    pub(crate) fn joined(&self, path: &Text) -> PathBuf {
        self.found.folder(path.at.file).join(&path.value)
    }
}

/// Why a file has no text.
pub(crate) struct Unreadable {
    pub(crate) why: String,
    pub(crate) help: &'static str,
}

/// Reads a whole file of at most [`FILE_MAX`] bytes.
pub(crate) fn read_text(files: &dyn Files, path: &Path) -> Result<String, Unreadable> {
    let failed = |error: io::Error| {
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => "the user that failoverd runs as must be allowed to read it",
            io::ErrorKind::NotFound => "paths are relative to the file they stand in",
            _ => "is it a file?",
        };
        Unreadable { why: error.to_string(), help }
    };
    let mut bytes = Vec::new();
    let file = files.open(path).map_err(failed)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Unreadable { why: format!("it is larger than {FILE_MAX} bytes"), help: "is it the right file?" });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).filter(|&&byte| byte == b'\n').count() + 1;
        Unreadable { why: format!("line {line} is not UTF-8"), help: "save it as UTF-8" }
    })
}

/// A duration, integer or text default of a row, as the table of bounds has it.
pub(crate) fn preset(section: &'static Section, key: &str) -> &'static str {
    match section.row(key).map(|row| row.default) {
        Some(Preset::Value(value)) => value.trim_matches('"'),
        _ => "",
    }
}

/// The default of a duration.
pub(crate) fn preset_span(section: &'static Section, key: &str) -> Duration {
    duration::parse(preset(section, key)).unwrap_or_default()
}

/// The default of an integer.
pub(crate) fn preset_integer(section: &'static Section, key: &str) -> u64 {
    preset(section, key).parse().unwrap_or_default()
}

/// The kind of a value, with its article.
fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Our key that an unknown one was probably meant to be.
fn near(section: &'static Section, key: &str) -> Option<&'static str> {
    section.meant_by(key).or_else(|| nearest(key, section.keys())).or_else(|| {
        let other = nearest(key, section.other_words())?;
        section.meant_by(other)
    })
}

/// Where a stretch of a string's value stands in the file: quotes and escapes are stepped over. The whole value if
/// the two cannot be brought together.
pub(crate) fn within(raw: &str, at: At, value: &str, range: std::ops::Range<usize>) -> At {
    let (opening, escapes) = match raw.as_bytes() {
        [b'"', b'"', b'"', ..] => (3, true),
        [b'\'', b'\'', b'\'', ..] => (3, false),
        [b'"', ..] => (1, true),
        [b'\'', ..] => (1, false),
        _ => return at,
    };
    let opening = if opening == 3 && raw.get(3..4) == Some("\n") { 4 } else { opening };
    let mut places = BTreeMap::new();
    let (mut seen, mut read) = (opening, 0);
    for wanted in value.chars() {
        places.insert(read, seen);
        let mut rest = raw.get(seen..).unwrap_or("").chars();
        seen += match (rest.next(), rest.next()) {
            (Some('\\'), Some('u')) if escapes => 6,
            (Some('\\'), Some('U')) if escapes => 10,
            (Some('\\'), Some('x')) if escapes => 4,
            (Some('\\'), Some(other)) if escapes => 1 + other.len_utf8(),
            (Some(first), _) if first == wanted => first.len_utf8(),
            _ => return at,
        };
        read += wanted.len_utf8();
    }
    if !raw.is_char_boundary(seen) {
        return at;
    }
    places.insert(read, seen);
    match (places.get(&range.start), places.get(&range.end)) {
        (Some(&start), Some(&end)) if start <= end => At { start: at.start + start, end: at.start + end, ..at },
        _ => at,
    }
}

/// All of a table's entries in the order of the file.
pub(crate) fn in_order<'t>(table: &'t DeTable<'t>) -> Vec<(&'t str, std::ops::Range<usize>, &'t Spanned<DeValue<'t>>)> {
    let mut entries: Vec<_> = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn carets_inside_strings_step_over_quotes_and_escapes() {
        for (raw, value, range, marked) in [
            (r#""status in 2xx""#, "status in 2xx", 10..13, "2xx"),
            (r"'status in 2xx'", "status in 2xx", 10..13, "2xx"),
            (r#""body ~ \"ok\" x""#, "body ~ \"ok\" x", 12..13, "x"),
            (r#""\u00e9 x""#, "é x", 3..4, "x"),
            (r#""abc""#, "abc", 3..3, ""),
            (r#""abc""#, "abc", 2..9, r#""abc""#),
            (r#""abc""#, "other", 1..2, r#""abc""#),
        ] {
            let at = within(raw, At::new(0, 0..raw.len()), value, range);
            assert_eq!(&raw[at.start..at.end], marked, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn within_never_panics_and_stays_inside(raw in "[\"'\\\\uUxéa\n]{0,12}", value in "[aé\"\\\\]{0,8}", a in 0usize..12, b in 0usize..12) {
            let whole = At::new(0, 0..raw.len());
            let at = within(&raw, whole, &value, a.min(b)..a.max(b));
            prop_assert!(at.end <= raw.len() && raw.get(at.start..at.end).is_some());
        }
    }
}
