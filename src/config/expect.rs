//! Expressions of `expect` and `warn`.
//!
//! ```text
//! status     in 200..299     in [200, 204]     == 200     != 503
//! body       ~ 'text'   contains          ~~ 'regex'   matches          !~ and !~~   do not
//! time       < 2s            also <= > >=
//! cert_days  > 14            also < <= >=
//! ```

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use jiff::SignedDuration;
use regex::bytes::{Regex, RegexBuilder};

/// Memory a compiled `~~` pattern may take, in bytes; a pattern that needs more is an error of the configuration.
const REGEX_BYTES: usize = 1 << 20;
/// How much of a body is shown where it is not what was expected, in characters.
const EXCERPT: usize = 48;

/// One parsed expression.
#[derive(Clone, Debug)]
pub struct Expression {
    /// As it stands in the file.
    pub text: String,
    test: Test,
}

/// What an expression speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The HTTP status.
    Status,
    /// The first 64 KiB of the body.
    Body,
    /// The whole probe, from resolving to the end of the body.
    Time,
    /// Whole days until the certificate expires.
    CertDays,
}

/// Why a text is no expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpressionError {
    /// Bytes of the text that are at fault; on character boundaries.
    pub at: Range<usize>,
    pub what: String,
    /// What would be right.
    pub help: Option<String>,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

impl std::error::Error for ExpressionError {}

/// What a probe saw, as far as expressions can ask.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub status: Option<u16>,
    pub body: &'a [u8],
    pub time: Duration,
    /// Whole days until the certificate expires, negative after; `None` without a certificate.
    pub cert_days: Option<i64>,
}

#[derive(Clone, Debug)]
enum Test {
    Status { ranges: Vec<RangeInclusive<u16>>, wanted: bool },
    Contains { text: String, wanted: bool },
    Matches { pattern: Regex, wanted: bool },
    Time(Comparison, Duration),
    CertDays(Comparison, i64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds<T: Ord>(self, seen: &T, limit: &T) -> bool {
        match self {
            Self::Less => seen < limit,
            Self::LessOrEqual => seen <= limit,
            Self::Greater => seen > limit,
            Self::GreaterOrEqual => seen >= limit,
        }
    }
}

impl Expression {
    /// Reads an expression as people write it.
    ///
    /// # Errors
    /// What is wrong, where in `text`, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let (subject, rest) = subject(text)?;
        let (operator, value) = operator(text, subject, rest)?;
        let test = match subject {
            Subject::Status => status(operator, value)?,
            Subject::Body => body(operator, value)?,
            Subject::Time => Test::Time(comparison(operator), duration(value)?),
            Subject::CertDays => Test::CertDays(comparison(operator), days(value)?),
        };
        Ok(Self { text: text.trim().to_owned(), test })
    }

    /// What it speaks of.
    pub fn subject(&self) -> Subject {
        match self.test {
            Test::Status { .. } => Subject::Status,
            Test::Contains { .. } | Test::Matches { .. } => Subject::Body,
            Test::Time(..) => Subject::Time,
            Test::CertDays(..) => Subject::CertDays,
        }
    }

    /// Does it hold?
    ///
    /// # Errors
    /// What was seen instead, short and readable.
    pub fn holds(&self, seen: &Seen<'_>) -> Result<(), String> {
        let (holds, instead) = match &self.test {
            Test::Status { ranges, wanted } => match seen.status {
                Some(status) => (ranges.iter().any(|range| range.contains(&status)) == *wanted, status.to_string()),
                None => (false, "no status".to_owned()),
            },
            Test::Contains { text, wanted } => (contains(seen.body, text.as_bytes()) == *wanted, excerpt(seen.body)),
            Test::Matches { pattern, wanted } => (pattern.is_match(seen.body) == *wanted, excerpt(seen.body)),
            Test::Time(comparison, limit) => (comparison.holds(&seen.time, limit), brief(seen.time)),
            Test::CertDays(comparison, limit) => match seen.cert_days {
                Some(days) => (comparison.holds(&days, limit), format!("{days} days")),
                None => (false, "no certificate".to_owned()),
            },
        };
        if holds { Ok(()) } else { Err(instead) }
    }
}

/// By what stands in the file.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

// ---- reading

/// A part of the text, and where it begins.
#[derive(Clone, Copy)]
struct Part<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Part<'t> {
    fn range(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    fn trim(self) -> Self {
        let front = self.text.len() - self.text.trim_start().len();
        Self { text: self.text.trim(), at: self.at + front }
    }

    /// The characters in front that are of a kind, and the rest.
    fn split(self, kind: impl Fn(char) -> bool) -> (Self, Self) {
        let end = self.text.find(|c| !kind(c)).unwrap_or(self.text.len());
        let (front, rest) = self.text.split_at(end);
        (Self { text: front, at: self.at }, Self { text: rest, at: self.at + end })
    }

    fn without(self, prefix: &str) -> Option<Self> {
        self.text.strip_prefix(prefix).map(|text| Self { text, at: self.at + prefix.len() })
    }

    fn wrong<T>(self, what: impl Into<String>, help: impl Into<String>) -> Result<T, ExpressionError> {
        Err(ExpressionError { at: self.range(), what: what.into(), help: Some(help.into()) })
    }
}

const SUBJECTS: [(&str, Subject); 4] =
    [("status", Subject::Status), ("body", Subject::Body), ("time", Subject::Time), ("cert_days", Subject::CertDays)];

/// What people call the subjects elsewhere.
const ALSO_CALLED: [(&str, &str); 10] = [
    ("code", "status"),
    ("status_code", "status"),
    ("content", "body"),
    ("text", "body"),
    ("response", "body"),
    ("latency", "time"),
    ("duration", "time"),
    ("cert", "cert_days"),
    ("expiry", "cert_days"),
    ("certificate", "cert_days"),
];

fn subject(text: &str) -> Result<(Subject, Part<'_>), ExpressionError> {
    let whole = Part { text, at: 0 }.trim();
    if whole.text.is_empty() {
        return whole.wrong("an empty expression", "write one like `status in 200..299`");
    }
    let (word, rest) = whole.split(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if let Some(&(_, subject)) = SUBJECTS.iter().find(|(known, _)| *known == word.text) {
        return Ok((subject, rest.trim()));
    }
    let folded = word.text.to_lowercase().replace('-', "_");
    let close = SUBJECTS.iter().map(|&(known, _)| known).find(|known| distance(known, &folded) <= 2);
    let called = ALSO_CALLED.iter().find(|(other, _)| *other == folded).map(|&(_, known)| known);
    let help = match called.or(close) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "an expression begins with `status`, `body`, `time` or `cert_days`".to_owned(),
    };
    let (at, what) = if word.text.is_empty() {
        (whole, "an expression does not begin like this".to_owned())
    } else {
        (word, format!("unknown subject `{}`", word.text))
    };
    at.wrong(what, help)
}

fn operator<'t>(text: &str, subject: Subject, rest: Part<'t>) -> Result<(&'t str, Part<'t>), ExpressionError> {
    let (known, example): (&[&str], _) = match subject {
        Subject::Status => (&["in", "==", "!="], "status in 200..299"),
        Subject::Body => (&["~", "~~", "!~", "!~~"], "body ~ 'text'"),
        Subject::Time => (&["<", "<=", ">", ">="], "time < 2s"),
        Subject::CertDays => (&["<", "<=", ">", ">="], "cert_days > 14"),
    };
    let (word, value) = match rest.split(char::is_alphabetic) {
        (word, value) if !word.text.is_empty() => (word, value),
        _ => rest.split(|c| "=!<>~".contains(c)),
    };
    let value = value.trim();
    if known.contains(&word.text) {
        if value.text.is_empty() {
            let end = Part { text: "", at: text.trim_end().len() };
            return end.wrong("a value is missing", format!("write it like `{example}`"));
        }
        return Ok((word.text, value));
    }
    let meant = match (subject, word.text) {
        (Subject::Status, "=") => Some("=="),
        (Subject::Status, "<>" | "!") => Some("!="),
        (Subject::Body, "=~" | "matches") => Some("~~"),
        (Subject::Body, "contains" | "=" | "==") => Some("~"),
        (Subject::Body, "!=") => Some("!~"),
        (Subject::Time | Subject::CertDays, "=<") => Some("<="),
        (Subject::Time | Subject::CertDays, "=>") => Some(">="),
        _ => None,
    };
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("write one of `{}`, like `{example}`", known.join("`, `")),
    };
    if word.text.is_empty() {
        return word.wrong("an operator is missing", help);
    }
    word.wrong(format!("`{}` cannot be asked here", word.text), help)
}

fn comparison(operator: &str) -> Comparison {
    match operator {
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        _ => Comparison::GreaterOrEqual,
    }
}

fn status(operator: &str, value: Part<'_>) -> Result<Test, ExpressionError> {
    if operator != "in" {
        let one = one_status(value)?;
        return Ok(Test::Status { ranges: vec![one..=one], wanted: operator == "==" });
    }
    if let Some(list) = value.without("[") {
        let Some(inner) = list.text.strip_suffix(']') else {
            return value.wrong("the list is not closed", "write it like `status in [200, 204]`");
        };
        let inner = inner.strip_suffix(',').unwrap_or(inner);
        let mut ranges = Vec::new();
        let mut at = list.at;
        for item in inner.split(',') {
            ranges.push(status_range(Part { text: item, at }.trim(), true)?);
            at += item.len() + 1;
        }
        return Ok(Test::Status { ranges, wanted: true });
    }
    Ok(Test::Status { ranges: vec![status_range(value, false)?], wanted: true })
}

/// `200..299` with both ends in it; in a list also `204` alone.
fn status_range(value: Part<'_>, alone: bool) -> Result<RangeInclusive<u16>, ExpressionError> {
    let Some((low, high)) = value.text.split_once("..") else {
        if alone {
            return one_status(value).map(|one| one..=one);
        }
        let help = match value.text.as_bytes() {
            [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => {
                format!("write `{0}00..{0}99`", char::from(*class))
            }
            _ if value.text.contains('-') => format!("write `{}`", value.text.replacen('-', "..", 1)),
            _ if value.text.contains(',') => format!("write `[{}]`", value.text),
            _ if one_status(value).is_ok() => format!("write `== {}`", value.text),
            _ => "write a range `200..299` or a list `[200, 204]`".to_owned(),
        };
        return value.wrong("neither a range nor a list of statuses", help);
    };
    let low = Part { text: low, at: value.at };
    let high_at = value.at + low.text.len() + 2;
    let high = Part { text: high, at: high_at };
    let high = high.without("=").unwrap_or(high);
    let (from, to) = (one_status(low.trim())?, one_status(high.trim())?);
    if from > to {
        return value.wrong("no status is in this range", format!("did you mean `{to}..{from}`?"));
    }
    Ok(from..=to)
}

fn one_status(value: Part<'_>) -> Result<u16, ExpressionError> {
    let digits = !value.text.is_empty() && value.text.bytes().all(|byte| byte.is_ascii_digit());
    match value.text.parse() {
        Ok(status @ 100..=599) if digits => Ok(status),
        _ if digits => value.wrong("no HTTP status", "a status is between 100 and 599"),
        _ => value.wrong(format!("`{}` is no HTTP status", value.text), "a status is a number like `200`"),
    }
}

fn body(operator: &str, value: Part<'_>) -> Result<Test, ExpressionError> {
    let wanted = !operator.starts_with('!');
    let text = quoted(value)?;
    if text.text.is_empty() {
        return value.wrong("the text is empty, and every body has that", "give the text to look for");
    }
    if !operator.ends_with("~~") {
        return Ok(Test::Contains { text: text.text.to_owned(), wanted });
    }
    match RegexBuilder::new(text.text).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build() {
        Ok(pattern) => Ok(Test::Matches { pattern, wanted }),
        Err(regex::Error::CompiledTooBig(_)) => text.wrong("the pattern is too large", "shorten its repetitions"),
        Err(error) => {
            // The crate draws its own caret over several lines; the last one says what is wrong.
            let shown = error.to_string();
            let last = shown.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            text.wrong(format!("not a regular expression: {last}"), "to look for plain text, write `~` instead of `~~`")
        }
    }
}

/// The text between two quotes of the same kind. There are no escapes: a text with one kind is put in the other.
fn quoted(value: Part<'_>) -> Result<Part<'_>, ExpressionError> {
    for quote in ["'", "\""] {
        if let Some(inner) = value.without(quote) {
            let Some(end) = inner.text.find(quote) else {
                return value.wrong("the quote is not closed", format!("end the text with {quote}"));
            };
            let after = Part { text: &inner.text[end + 1..], at: inner.at + end + 1 }.trim();
            if !after.text.is_empty() {
                return after.wrong("nothing may follow the text", "give each expression as its own item of the list");
            }
            return Ok(Part { text: &inner.text[..end], at: inner.at });
        }
    }
    value.wrong("a text stands in quotes", format!("write `'{}'`", value.text))
}

fn duration(value: Part<'_>) -> Result<Duration, ExpressionError> {
    if value.text.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.wrong("a duration needs a unit", format!("write `{0}s` or `{0}ms`", value.text));
    }
    match value.text.parse::<SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok()) {
        Some(span) if !span.is_zero() => Ok(span),
        Some(_) => value.wrong("a limit of nothing", "write a duration like `2s`"),
        None => value.wrong(format!("`{}` is no duration", value.text), "write it like `500ms`, `2s` or `1m30s`"),
    }
}

fn days(value: Part<'_>) -> Result<i64, ExpressionError> {
    let number = value.text.trim_end_matches("days").trim_end_matches('d').trim_end();
    match value.text.parse::<u16>() {
        Ok(days) => Ok(i64::from(days)),
        Err(_) if number.len() < value.text.len() && number.parse::<u16>().is_ok() => {
            value.wrong("the number of days has no unit", format!("write `{number}`"))
        }
        Err(_) => value.wrong(format!("`{}` is no number of days", value.text), "write it like `cert_days > 14`"),
    }
}

/// Number of single-character edits between two short words.
fn distance(known: &str, written: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (index, letter) in written.chars().enumerate().take(32) {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 1..=known.len() {
            let above = row[column];
            let replaced = diagonal + usize::from(known[column - 1] != letter);
            row[column] = replaced.min(above + 1).min(row[column - 1] + 1);
            diagonal = above;
        }
    }
    row[known.len()]
}

// ---- telling

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

/// The beginning of a body on one line.
fn excerpt(body: &[u8]) -> String {
    if body.is_empty() {
        return "an empty body".to_owned();
    }
    // A character takes at most four bytes, so this many hold the excerpt and tell whether there is more.
    let front = String::from_utf8_lossy(&body[..body.len().min(EXCERPT * 8)]);
    let line = front.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
    let more = if line.chars().count() > EXCERPT || body.len() > EXCERPT * 8 { "…" } else { "" };
    format!("'{shown}{more}'")
}

/// A duration with two digits that matter: `43 ms`, `2.31 s`.
fn brief(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEEN: Seen<'_> = Seen {
        status: Some(503),
        body: b"<h1>Down for\n maintenance</h1>",
        time: Duration::from_millis(2310),
        cert_days: Some(9),
    };

    fn instead(text: &str, seen: &Seen<'_>) -> Option<String> {
        Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(seen).err()
    }

    #[test]
    fn expressions_hold_or_tell_what_was_seen() {
        let body = Some("'<h1>Down for maintenance</h1>'");
        for (text, seen_instead) in [
            ("status in 200..299", Some("503")),
            ("status in 200..=503", None),
            ("status in 500 .. 599", None),
            ("status in [200, 204]", Some("503")),
            ("status in [200, 500..599,]", None),
            ("status == 503", None),
            ("status==200", Some("503")),
            ("status != 503", Some("503")),
            ("status != 200", None),
            ("body ~ 'maintenance'", None),
            ("body ~ 'Maintenance'", body),
            ("body ~ \"it's\"", body),
            ("body !~ 'maintenance'", body),
            ("body !~ 'ok'", None),
            (r"body ~~ '(?i)MAINT\w+'", None),
            ("body ~~ '^ok$'", body),
            ("body !~~ 'h[1-6]'", body),
            ("body !~~ 'ok'", None),
            ("time < 2s", Some("2.31 s")),
            ("time < 2310ms", Some("2.31 s")),
            ("time <= 2310ms", None),
            ("  time < 1m30s  ", None),
            ("time > 1.5s", None),
            ("time >= 3s", Some("2.31 s")),
            ("cert_days > 14", Some("9 days")),
            ("cert_days >= 9", None),
            ("cert_days < 9", Some("9 days")),
            ("cert_days <= 9", None),
        ] {
            assert_eq!(instead(text, &SEEN).as_deref(), seen_instead, "{text}");
        }
    }

    #[test]
    fn what_was_not_seen_does_not_hold() {
        let nothing = Seen { status: None, body: b"", time: Duration::from_millis(43), cert_days: None };
        assert_eq!(instead("status != 500", &nothing).as_deref(), Some("no status"));
        assert_eq!(instead("body ~ 'ok'", &nothing).as_deref(), Some("an empty body"));
        assert_eq!(instead("cert_days < 9", &nothing).as_deref(), Some("no certificate"));
        assert_eq!(instead("time > 1s", &nothing).as_deref(), Some("43 ms"));
    }

    #[test]
    fn long_and_binary_bodies_are_shown_short() {
        let seen = |body| Seen { body, ..SEEN };
        let long = vec![b'a'; 70_000];
        assert_eq!(instead("body ~ 'ok'", &seen(&long)), Some(format!("'{}…'", "a".repeat(EXCERPT))));
        assert_eq!(instead("body ~ 'ok'", &seen(b"\x00\xff\x1b[31m")).as_deref(), Some("'\u{fffd}[31m'"));
    }

    #[test]
    fn errors_point_at_the_fault_and_tell_what_would_be_right() {
        for (text, at, what, help) in [
            ("", "", "an empty expression", "write one like `status in 200..299`"),
            (
                "= 200",
                "= 200",
                "an expression does not begin like this",
                "an expression begins with `status`, `body`, `time` or `cert_days`",
            ),
            ("stauts == 200", "stauts", "unknown subject `stauts`", "did you mean `status`?"),
            ("Status == 200", "Status", "unknown subject `Status`", "did you mean `status`?"),
            ("latency < 2s", "latency", "unknown subject `latency`", "did you mean `time`?"),
            ("cert-days > 4", "cert-days", "unknown subject `cert-days`", "did you mean `cert_days`?"),
            (
                "frobnicate > 4",
                "frobnicate",
                "unknown subject `frobnicate`",
                "an expression begins with `status`, `body`, `time` or `cert_days`",
            ),
            ("status", "", "an operator is missing", "write one of `in`, `==`, `!=`, like `status in 200..299`"),
            ("status = 200", "=", "`=` cannot be asked here", "did you mean `==`?"),
            ("status ==", "", "a value is missing", "write it like `status in 200..299`"),
            ("status in 2xx", "2xx", "neither a range nor a list of statuses", "write `200..299`"),
            ("status in 200-299", "200-299", "neither a range nor a list of statuses", "write `200..299`"),
            ("status in 200, 204", "200, 204", "neither a range nor a list of statuses", "write `[200, 204]`"),
            ("status in 200", "200", "neither a range nor a list of statuses", "write `== 200`"),
            ("status in 299..200", "299..200", "no status is in this range", "did you mean `200..299`?"),
            ("status in [200, 2o4]", "2o4", "`2o4` is no HTTP status", "a status is a number like `200`"),
            ("status in [200", "[200", "the list is not closed", "write it like `status in [200, 204]`"),
            ("status in []", "", "`` is no HTTP status", "a status is a number like `200`"),
            ("status == 20", "20", "no HTTP status", "a status is between 100 and 599"),
            (
                "status == 200 and body ~ 'ok'",
                "200 and body ~ 'ok'",
                "`200 and body ~ 'ok'` is no HTTP status",
                "a status is a number like `200`",
            ),
            ("body ~ ok", "ok", "a text stands in quotes", "write `'ok'`"),
            ("body ~ 'ok", "'ok", "the quote is not closed", "end the text with '"),
            (
                "body ~ 'ok' and more",
                "and more",
                "nothing may follow the text",
                "give each expression as its own item of the list",
            ),
            ("body ~ ''", "''", "the text is empty, and every body has that", "give the text to look for"),
            ("body contains 'ok'", "contains", "`contains` cannot be asked here", "did you mean `~`?"),
            (
                "body ~~ '(a'",
                "(a",
                "not a regular expression: unclosed group",
                "to look for plain text, write `~` instead of `~~`",
            ),
            (r"body ~~ '(\w{100}){100}'", r"(\w{100}){100}", "the pattern is too large", "shorten its repetitions"),
            ("time < 2", "2", "a duration needs a unit", "write `2s` or `2ms`"),
            ("time < soon", "soon", "`soon` is no duration", "write it like `500ms`, `2s` or `1m30s`"),
            ("time < -2s", "-2s", "`-2s` is no duration", "write it like `500ms`, `2s` or `1m30s`"),
            ("time < 0s", "0s", "a limit of nothing", "write a duration like `2s`"),
            ("time == 2s", "==", "`==` cannot be asked here", "write one of `<`, `<=`, `>`, `>=`, like `time < 2s`"),
            ("cert_days > 14d", "14d", "the number of days has no unit", "write `14`"),
            ("cert_days > soon", "soon", "`soon` is no number of days", "write it like `cert_days > 14`"),
        ] {
            let error = Expression::parse(text).expect_err(text);
            assert_eq!((&text[error.at.clone()], error.what.as_str()), (at, what), "{text}");
            assert_eq!(error.help.as_deref(), Some(help), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_at_a_place_inside_it(text in "(status|body|time|cert_days|\\PC{0,4})? ?(in|[=!<>~]{0,3}) ?\\PC{0,20}") {
            match Expression::parse(&text) {
                Ok(expression) => prop_assert_eq!(expression.text, text.trim()),
                Err(error) => prop_assert!(text.get(error.at).is_some()),
            }
        }
    }
}
