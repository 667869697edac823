//! Expressions of `expect` and `warn`.
//!
//! ```text
//! http, https   status         in 200..299    in [200, 204]     == 200     != 503
//!               header 'NAME'  == 'text'      and as of a body
//! and exec      body           ~ 'text'   contains       ~~ 'regex'   matches       !~ and !~~   do not
//!               json '/at/it'  == 'text'      == 5   < 100   == true      and as of a body
//! https, tls    cert_days      > 14           also < <= >=
//! exec          exit           == 0           also != < <= > >=
//! dns           rcode          == 'NOERROR'   !=
//!               aa             == true
//!               answer         == 'RDATA'     one record is     ~ and the others: the lines of all records
//!               serial         >= 2026112100  in the order of RFC 1982
//!               serial_age     < 1d           the serial is a date, or seconds since 1970
//! all           time           < 2s           also <= > >=
//! ```

mod reading; // text to expression

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use regex::bytes::Regex;
use serde_json::Value;

use crate::dns::Serial;
use crate::dns::message::Rcode;
use crate::time::Wall;

/// How much of a body is shown where it is not what was expected, in characters.
const EXCERPT: usize = 48;
/// A serial may be dated this far ahead of our clock: zones are numbered where it is tomorrow already.
const AHEAD: i64 = 86_400;

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
    /// One header of the response.
    Header,
    /// The first 64 KiB of the body, or of what a program printed.
    Body,
    /// One value of the body read as JSON, named by its pointer (RFC 6901).
    Json,
    /// The whole probe but for resolving.
    Time,
    /// Whole days until the certificate expires.
    CertDays,
    /// Exit code of a program.
    Exit,
    /// Response code of a nameserver.
    Rcode,
    /// Does the nameserver say that it is an authority?
    Authority,
    /// The records of the answer.
    Answer,
    /// The serial of the SOA record.
    Serial,
    /// How long ago that serial was made.
    SerialAge,
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
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    pub status: Option<u16>,
    /// Names in lower case.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
    /// The body, where it is JSON.
    pub json: Option<&'a Value>,
    pub time: Duration,
    /// Whole days until the certificate expires, negative after; `None` without a certificate.
    pub cert_days: Option<i64>,
    /// Exit code of a program that came to its end by itself.
    pub exit: Option<i32>,
    pub reply: Option<&'a Reply>,
    /// Now, which serials are dated by.
    pub wall: Wall,
}

/// A nameserver's reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub rcode: Rcode,
    /// The AA flag.
    pub authoritative: bool,
    /// RDATA of each record of the answer, as a master file has it.
    pub answer: Vec<String>,
    /// Of the SOA record in the answer, else of the one that tells why there is none.
    pub serial: Option<Serial>,
}

#[derive(Clone, Debug)]
enum Test {
    Status { ranges: Vec<RangeInclusive<u16>>, wanted: bool },
    Header(String, TextTest),
    Body(TextTest),
    Json(String, JsonTest),
    Time(Comparison, Duration),
    CertDays(Comparison, i64),
    Exit(Comparison, i32),
    Rcode { rcode: Rcode, wanted: bool },
    Authority(bool),
    Answer(TextTest),
    Serial(Comparison, Serial),
    SerialAge(Comparison, Duration),
}

/// What a text is asked; `wanted` is false for the operators that begin with `!`.
#[derive(Clone, Debug)]
struct TextTest {
    kind: TextKind,
    wanted: bool,
}

#[derive(Clone, Debug)]
enum TextKind {
    Is(String),
    Contains(String),
    Matches(Regex),
}

#[derive(Clone, Debug)]
enum JsonTest {
    Text(TextTest),
    Number(Comparison, f64),
    /// `true`, `false` or `null`.
    Word {
        word: Value,
        wanted: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds<T: PartialOrd>(self, seen: &T, limit: &T) -> bool {
        match self {
            Self::Equal => seen == limit,
            Self::NotEqual => seen != limit,
            Self::Less => seen < limit,
            Self::LessOrEqual => seen <= limit,
            Self::Greater => seen > limit,
            Self::GreaterOrEqual => seen >= limit,
        }
    }
}

impl TextTest {
    fn holds(&self, seen: &[u8]) -> bool {
        self.is_met(seen) == self.wanted
    }

    fn is_met(&self, seen: &[u8]) -> bool {
        match &self.kind {
            TextKind::Is(text) => seen == text.as_bytes(),
            TextKind::Contains(text) => contains(seen, text.as_bytes()),
            TextKind::Matches(pattern) => pattern.is_match(seen),
        }
    }
}

impl Expression {
    /// Reads an expression as people write it.
    ///
    /// # Errors
    /// What is wrong, where in `text`, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        Ok(Self { text: text.trim().to_owned(), test: reading::test(text)? })
    }

    /// What it speaks of.
    pub fn subject(&self) -> Subject {
        match self.test {
            Test::Status { .. } => Subject::Status,
            Test::Header(..) => Subject::Header,
            Test::Body(..) => Subject::Body,
            Test::Json(..) => Subject::Json,
            Test::Time(..) => Subject::Time,
            Test::CertDays(..) => Subject::CertDays,
            Test::Exit(..) => Subject::Exit,
            Test::Rcode { .. } => Subject::Rcode,
            Test::Authority(..) => Subject::Authority,
            Test::Answer(..) => Subject::Answer,
            Test::Serial(..) => Subject::Serial,
            Test::SerialAge(..) => Subject::SerialAge,
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
            Test::Header(name, test) => header(name, test, seen),
            Test::Body(test) => (test.holds(seen.body), excerpt(seen.body)),
            Test::Json(pointer, test) => json(pointer, test, seen),
            Test::Time(comparison, limit) => (comparison.holds(&seen.time, limit), brief(seen.time)),
            Test::CertDays(comparison, limit) => match seen.cert_days {
                Some(days) => (comparison.holds(&days, limit), format!("{days} days")),
                None => (false, "no certificate".to_owned()),
            },
            Test::Exit(comparison, limit) => match seen.exit {
                Some(code) => (comparison.holds(&code, limit), format!("exit {code}, {}", excerpt(seen.body))),
                None => (false, "an end by a signal".to_owned()),
            },
            Test::Rcode { .. } | Test::Authority(..) | Test::Answer(..) | Test::Serial(..) | Test::SerialAge(..) => {
                match seen.reply {
                    Some(reply) => self.of_reply(reply, seen.wall),
                    None => (false, "no reply".to_owned()),
                }
            }
        };
        if holds { Ok(()) } else { Err(instead) }
    }

    /// Whether it holds of a nameserver's reply, and what was seen.
    fn of_reply(&self, reply: &Reply, wall: Wall) -> (bool, String) {
        let no_serial = || (false, "no SOA record".to_owned());
        match (&self.test, reply.serial) {
            (Test::Rcode { rcode, wanted }, _) => ((reply.rcode == *rcode) == *wanted, reply.rcode.to_string()),
            (Test::Authority(wanted), _) => (reply.authoritative == *wanted, reply.authoritative.to_string()),
            (Test::Answer(test), _) => {
                let whole = reply.answer.join("\n");
                let met = match &test.kind {
                    TextKind::Is(_) => reply.answer.iter().any(|rdata| test.is_met(rdata.as_bytes())),
                    TextKind::Contains(_) | TextKind::Matches(_) => test.is_met(whole.as_bytes()),
                };
                let shown = if whole.is_empty() { "no record".to_owned() } else { excerpt(whole.as_bytes()) };
                (met == test.wanted, shown)
            }
            (Test::Serial(comparison, limit), Some(serial)) => (comparison.holds(&serial, limit), serial.to_string()),
            (Test::SerialAge(comparison, limit), Some(serial)) => match age(serial, wall) {
                Some(age) => (comparison.holds(&age, limit), format!("{serial}, {} ago", long(age))),
                None => (false, format!("{serial}, which is no date")),
            },
            _ => no_serial(),
        }
    }
}

/// By what stands in the file.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A header may come several times: one of them is enough.
fn header(name: &str, test: &TextTest, seen: &Seen<'_>) -> (bool, String) {
    if seen.status.is_none() {
        return (false, "no response".to_owned());
    }
    let values = || seen.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_bytes());
    let met = values().any(|value| test.is_met(value));
    let shown = values().map(excerpt).collect::<Vec<_>>().join(", ");
    (met == test.wanted, if shown.is_empty() { "no such header".to_owned() } else { shown })
}

fn json(pointer: &str, test: &JsonTest, seen: &Seen<'_>) -> (bool, String) {
    let Some(whole) = seen.json else {
        return (false, format!("no JSON but {}", excerpt(seen.body)));
    };
    let Some(value) = whole.pointer(pointer) else {
        let is_denial = match test {
            JsonTest::Text(TextTest { wanted, .. }) | JsonTest::Word { wanted, .. } => !wanted,
            JsonTest::Number(comparison, _) => *comparison == Comparison::NotEqual,
        };
        return (is_denial, "nothing there".to_owned());
    };
    let shown = value.to_string();
    let holds = match test {
        JsonTest::Text(test) => test.holds(value.as_str().unwrap_or(&shown).as_bytes()),
        JsonTest::Number(comparison, limit) => match value.as_f64() {
            Some(number) => comparison.holds(&number, limit),
            None => *comparison == Comparison::NotEqual,
        },
        JsonTest::Word { word, wanted } => (value == word) == *wanted,
    };
    (holds, excerpt_of(&shown))
}

/// How long ago a serial was made: it is a date, `YYYYMMDDnn` in UTC, or seconds since 1970. Where it could be both, it
/// is the later of those that have come.
fn age(serial: Serial, wall: Wall) -> Option<Duration> {
    let now = wall.seconds();
    let number = i64::from(serial.0);
    let [year, month, day] = [number / 1_000_000, number / 10_000 % 100, number / 100 % 100];
    let date = || {
        let (year, month, day) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        let midnight = jiff::civil::Date::new(year, month, day).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(midnight.timestamp().as_second())
    };
    let date = date().filter(|&made| made >= 0);
    let made = [Some(number), date].into_iter().flatten().filter(|&made| made <= now.saturating_add(AHEAD)).max()?;
    // A serial that only counts is no date.
    (made >= YEAR_2000).then(|| Duration::from_secs(u64::try_from(now - made).unwrap_or(0)))
}

/// 2000-01-01 in seconds since 1970: serials below are counted by hand.
const YEAR_2000: i64 = 946_684_800;

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
    let more = body.len() > EXCERPT * 8;
    format!("'{}'", cut(&front, more))
}

/// The beginning of a value of JSON, which has its own quotes.
fn excerpt_of(value: &str) -> String {
    cut(value, false)
}

fn cut(text: &str, more: bool) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
    let more = if line.chars().count() > EXCERPT || more { "…" } else { "" };
    format!("{shown}{more}")
}

/// A duration with two digits that matter: `43 ms`, `2.31 s`.
fn brief(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    format!("{:.2} s", time.as_secs_f64())
}

/// A duration of hours and days.
fn long(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) }
}

#[cfg(test)]
mod tests;
