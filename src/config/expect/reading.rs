//! The text of an expression, read from left to right; each fault at its place, with what would be right.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use jiff::SignedDuration;
use regex::bytes::RegexBuilder;
use serde_json::Value;

use super::{Comparison, ExpressionError, JsonTest, Subject, Test, TextKind, TextTest};
use crate::config;
use crate::dns::Serial;
use crate::dns::message::Rcode;

/// Memory a compiled `~~` pattern may take, in bytes; a pattern that needs more is an error of the configuration.
const REGEX_BYTES: usize = 1 << 20;
/// Rcodes there are names for end below this.
const RCODES: u16 = 24;

/// What one subject can be asked.
struct Grammar {
    word: &'static str,
    subject: Subject,
    operators: &'static [&'static str],
    example: &'static str,
}

const STATUS: &[&str] = &["in", "==", "!="];
const ORDER: &[&str] = &["<", "<=", ">", ">="];
const NUMBER: &[&str] = &["==", "!=", "<", "<=", ">", ">="];
const PIECE: &[&str] = &["~", "~~", "!~", "!~~"];
const TEXT: &[&str] = &["==", "!=", "~", "~~", "!~", "!~~"];
const ANY: &[&str] = &["==", "!=", "<", "<=", ">", ">=", "~", "~~", "!~", "!~~"];
const EITHER: &[&str] = &["==", "!="];

const GRAMMAR: [Grammar; 12] = [
    Grammar { word: "status", subject: Subject::Status, operators: STATUS, example: "status in 200..299" },
    Grammar { word: "header", subject: Subject::Header, operators: TEXT, example: "header 'x-ready' == '1'" },
    Grammar { word: "body", subject: Subject::Body, operators: PIECE, example: "body ~ 'text'" },
    Grammar { word: "json", subject: Subject::Json, operators: ANY, example: "json '/status' == 'up'" },
    Grammar { word: "time", subject: Subject::Time, operators: ORDER, example: "time < 2s" },
    Grammar { word: "cert_days", subject: Subject::CertDays, operators: ORDER, example: "cert_days > 14" },
    Grammar { word: "exit", subject: Subject::Exit, operators: NUMBER, example: "exit == 0" },
    Grammar { word: "rcode", subject: Subject::Rcode, operators: EITHER, example: "rcode == 'NOERROR'" },
    Grammar { word: "aa", subject: Subject::Authority, operators: EITHER, example: "aa == true" },
    Grammar { word: "answer", subject: Subject::Answer, operators: TEXT, example: "answer == '192.0.2.1'" },
    Grammar { word: "serial", subject: Subject::Serial, operators: NUMBER, example: "serial >= 2026112100" },
    Grammar { word: "serial_age", subject: Subject::SerialAge, operators: ORDER, example: "serial_age < 1d" },
];

/// What people call the subjects elsewhere.
const ALSO_CALLED: [(&str, &str); 18] = [
    ("code", "status"),
    ("status_code", "status"),
    ("headers", "header"),
    ("content", "body"),
    ("text", "body"),
    ("response", "body"),
    ("output", "body"),
    ("stdout", "body"),
    ("latency", "time"),
    ("duration", "time"),
    ("cert", "cert_days"),
    ("expiry", "cert_days"),
    ("certificate", "cert_days"),
    ("exit_code", "exit"),
    ("exit_status", "exit"),
    ("authoritative", "aa"),
    ("rdata", "answer"),
    ("soa", "serial"),
];

/// Reads all of `text`.
pub(super) fn test(text: &str) -> Result<Test, ExpressionError> {
    let (grammar, rest) = subject(text)?;
    let (argument, rest) = match grammar.subject {
        Subject::Header => header_name(grammar, rest)?,
        Subject::Json => pointer(grammar, rest)?,
        _ => (String::new(), rest),
    };
    let (operator, value) = operator(text, grammar, rest)?;
    Ok(match grammar.subject {
        Subject::Status => status(operator, value)?,
        Subject::Header => Test::Header(argument, text_test(operator, value)?),
        Subject::Body => Test::Body(text_test(operator, value)?),
        Subject::Json => Test::Json(argument, json(operator, value)?),
        Subject::Time => Test::Time(comparison(operator), duration(value)?),
        Subject::CertDays => Test::CertDays(comparison(operator), days(value)?),
        Subject::Exit => Test::Exit(comparison(operator), exit_code(value)?),
        Subject::Rcode => Test::Rcode { rcode: rcode(value)?, wanted: operator == "==" },
        Subject::Authority => Test::Authority(truth(value)? == (operator == "==")),
        Subject::Answer => Test::Answer(text_test(operator, value)?),
        Subject::Serial => Test::Serial(comparison(operator), serial(value)?),
        Subject::SerialAge => Test::SerialAge(comparison(operator), duration(value)?),
    })
}

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

fn subject(text: &str) -> Result<(&'static Grammar, Part<'_>), ExpressionError> {
    let whole = Part { text, at: 0 }.trim();
    if whole.text.is_empty() {
        return whole.wrong("an empty expression", "write one like `status in 200..299`");
    }
    let (word, rest) = whole.split(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if let Some(grammar) = GRAMMAR.iter().find(|grammar| grammar.word == word.text) {
        return Ok((grammar, rest.trim()));
    }
    let folded = word.text.to_lowercase().replace('-', "_");
    let allowed = if folded.len() < 4 { 1 } else { 2 };
    let close = GRAMMAR.iter().map(|grammar| grammar.word).find(|known| distance(known, &folded) <= allowed);
    let called = ALSO_CALLED.iter().find(|(other, _)| *other == folded).map(|&(_, known)| known);
    let help = match called.or(close) {
        Some(known) => format!("did you mean `{known}`?"),
        None => {
            let known = GRAMMAR.map(|grammar| format!("`{}`", grammar.word));
            format!("an expression begins with one of {}", known.join(", "))
        }
    };
    let (at, what) = if word.text.is_empty() {
        (whole, "an expression does not begin like this".to_owned())
    } else {
        (word, format!("unknown subject `{}`", word.text))
    };
    at.wrong(what, help)
}

/// The name of a header, in lower case.
fn header_name<'t>(grammar: &Grammar, rest: Part<'t>) -> Result<(String, Part<'t>), ExpressionError> {
    let (name, rest) = argument(grammar, rest, "the name of a header")?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.text.is_empty() || !name.text.bytes().all(is_token) {
        return name.wrong(format!("`{}` is no header name", name.text), "letters, digits and `-`");
    }
    Ok((name.text.to_ascii_lowercase(), rest))
}

/// A JSON pointer (RFC 6901).
fn pointer<'t>(grammar: &Grammar, rest: Part<'t>) -> Result<(String, Part<'t>), ExpressionError> {
    let (pointer, rest) = argument(grammar, rest, "a JSON pointer")?;
    if !pointer.text.is_empty() && !pointer.text.starts_with('/') {
        let path = pointer.text.trim_start_matches(['$', '.']).replace('.', "/");
        return pointer.wrong("a JSON pointer begins with `/`", format!("write `'/{path}'`"));
    }
    Ok((pointer.text.to_owned(), rest))
}

/// The text in quotes that follows a subject, and what follows it.
fn argument<'t>(grammar: &Grammar, rest: Part<'t>, what: &str) -> Result<(Part<'t>, Part<'t>), ExpressionError> {
    let help = || format!("write it like `{}`", grammar.example);
    let Some((quote, inner)) = ["'", "\""].iter().find_map(|quote| Some((*quote, rest.without(quote)?))) else {
        let (word, _) = rest.split(|c| !c.is_whitespace());
        return word.wrong(format!("`{}` needs {what}, in quotes", grammar.word), help());
    };
    match inner.text.split_once(quote) {
        Some((text, after)) => {
            let after = Part { text: after, at: inner.at + text.len() + 1 };
            Ok((Part { text, at: inner.at }, after.trim()))
        }
        None => rest.wrong("the quote is not closed", format!("end the text with {quote}")),
    }
}

fn operator<'t>(text: &str, grammar: &Grammar, rest: Part<'t>) -> Result<(&'t str, Part<'t>), ExpressionError> {
    let (known, example) = (grammar.operators, grammar.example);
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
    let meant: &[&str] = match word.text {
        "=" | "is" => &["==", "~"],
        "==" | "contains" | "has" => &["~"],
        "<>" | "!" => &["!="],
        "!=" => &["!~"],
        "=~" | "matches" => &["~~"],
        "=<" => &["<="],
        "=>" => &[">="],
        _ => &[],
    };
    let help = match meant.iter().find(|meant| known.contains(meant)) {
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
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
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

/// A text in quotes, and what is asked of it.
fn text_test(operator: &str, value: Part<'_>) -> Result<TextTest, ExpressionError> {
    let wanted = !operator.starts_with('!');
    let text = quoted(value)?;
    if text.text.is_empty() && operator.ends_with('~') {
        return value.wrong("the text is empty, and every body has that", "give the text to look for");
    }
    let kind = match operator {
        "==" | "!=" => TextKind::Is(text.text.to_owned()),
        "~" | "!~" => TextKind::Contains(text.text.to_owned()),
        _ => match RegexBuilder::new(text.text).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build() {
            Ok(pattern) => TextKind::Matches(pattern),
            Err(regex::Error::CompiledTooBig(_)) => {
                return text.wrong("the pattern is too large", "shorten its repetitions");
            }
            Err(error) => {
                // The crate draws its own caret over several lines; the last one says what is wrong.
                let shown = error.to_string();
                let last = shown.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                let help = "to look for plain text, write `~` instead of `~~`";
                return text.wrong(format!("not a regular expression: {last}"), help);
            }
        },
    };
    Ok(TextTest { kind, wanted })
}

/// A text in quotes, a number, `true`, `false` or `null`.
fn json(operator: &str, value: Part<'_>) -> Result<JsonTest, ExpressionError> {
    let is_text = value.text.starts_with(['\'', '"']);
    if operator.contains('~') || is_text && matches!(operator, "==" | "!=") {
        return text_test(operator, value).map(JsonTest::Text);
    }
    match serde_json::from_str(value.text) {
        Ok(Value::Number(number)) => match number.as_f64() {
            Some(number) => Ok(JsonTest::Number(comparison(operator), number)),
            None => value.wrong("the number is too large", "write a smaller one"),
        },
        Ok(word @ (Value::Bool(_) | Value::Null)) if matches!(operator, "==" | "!=") => {
            Ok(JsonTest::Word { word, wanted: operator == "==" })
        }
        _ if is_text => value.wrong("only numbers have an order", "write the number without quotes"),
        _ if matches!(operator, "==" | "!=") => value.wrong(
            format!("`{}` is no value", value.text),
            format!("write a text in quotes, like `'{}'`, a number, `true`, `false` or `null`", value.text),
        ),
        _ => value.wrong(format!("`{}` is no number", value.text), "only numbers have an order"),
    }
}

fn exit_code(value: Part<'_>) -> Result<i32, ExpressionError> {
    match value.text.parse::<u8>() {
        Ok(code) => Ok(i32::from(code)),
        Err(_) => value.wrong(format!("`{}` is no exit code", value.text), "they are numbers from 0 to 255"),
    }
}

fn rcode(value: Part<'_>) -> Result<Rcode, ExpressionError> {
    let name = quoted(value)?;
    let known = (0..RCODES).map(Rcode).find(|rcode| rcode.to_string().eq_ignore_ascii_case(name.text));
    match known {
        Some(rcode) => Ok(rcode),
        None => name.wrong(
            format!("`{}` is no response code", name.text),
            "they are `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED` and others of their kind",
        ),
    }
}

fn truth(value: Part<'_>) -> Result<bool, ExpressionError> {
    match value.text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => value.wrong(format!("`{}` is neither true nor false", value.text), "write `aa == true`"),
    }
}

fn serial(value: Part<'_>) -> Result<Serial, ExpressionError> {
    match value.text.parse::<u32>() {
        Ok(serial) => Ok(Serial(serial)),
        Err(_) => value.wrong(format!("`{}` is no serial", value.text), "they are numbers up to 4294967295"),
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
    let short = value.text.parse::<SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    match short.or_else(|| config::duration::parse(value.text).ok()) {
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
