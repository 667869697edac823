//! RDATA between text and wire, driven by the schema: a row is walked field by field.

mod address; //  addresses, as they are mostly written
mod dnssec; //   bitmaps, times, salts, mnemonics of algorithms
mod encoding; // hexadecimal, base64, base32hex, quoted text
mod field; //    each field kind: read from text, measured in wire, written as text
mod gateway; //  IPSECKEY, AMTRELAY, HIP
mod location; // LOC
mod rare; //     WKS, NSAP, ATMA, A6, APL, NXT
mod service; //  SVCB and HTTPS parameters
mod words; //    what text is cut into

use std::borrow::Cow;
use std::fmt;

use crate::dns::Name;
use crate::dns::schema::{self, Field, Row, Type};

pub use encoding::{decode_hex, quote};
pub use field::seconds;
pub use words::{Fault, Parentheses, ScanError, Token, Word, Words, scan};

/// Most bytes RDATA may have (RFC 1035 §3.2.1: its length is 16 bits).
pub const RDATA_MAX: usize = 65_535;

/// Why bytes are no RDATA of their type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RdataError {
    pub rtype: Type,
    pub what: &'static str,
}

impl fmt::Display for RdataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the RDATA of {}: {}", self.rtype, self.what)
    }
}

impl std::error::Error for RdataError {}

/// Reads the RDATA of a record from one line of text, as a master file has it.
///
/// # Errors
/// What is wrong, at which word.
pub fn parse(rtype: Type, text: &str, origin: &Name) -> Result<Vec<u8>, Fault> {
    let (mut words, mut open, mut out) = (Vec::new(), Parentheses::default(), Vec::new());
    scan(text.as_bytes(), 0, &mut open, &mut words).map_err(|(error, _)| Fault {
        word: words.len(),
        text: error.to_string(),
        help: None,
    })?;
    parse_words(rtype, &mut Words::new(text.as_bytes(), &words), origin, &mut out)?;
    Ok(out)
}

/// Reads the RDATA of a record from the words behind its type, to the last, and appends its wire form to `out`. Any
/// type may be written as `\# length hex` (RFC 3597 §5). What was appended on an error means nothing.
///
/// # Errors
/// What is wrong, at which word.
pub fn parse_words(rtype: Type, words: &mut Words<'_>, origin: &Name, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    let first = words.index();
    let row = schema::row(rtype);
    if words.peek().is_some_and(|token| token.bytes == br"\#" && !token.quoted) {
        parse_opaque(words, out)?;
    } else {
        let row = row.ok_or_else(|| {
            Fault { word: first, text: format!("{rtype} is known by its number only"), help: None }
                .help(r"write its RDATA as `\# length hexadecimal` (RFC 3597)")
        })?;
        for field in row.fields {
            field.parse(words, origin.as_wire(), out).map_err(|fault| with_example(row, fault))?;
        }
        if let Some(extra) = words.next() {
            let fault = extra.fault(format!("`{extra}` is one word too many"));
            let comment = extra.bytes.starts_with(b"#") || extra.bytes.starts_with(b"//");
            return Err(with_example(row, if comment { fault.help("a comment begins with `;`") } else { fault }));
        }
    }
    check_row(row, out.get(start..).unwrap_or_default()).map_err(|what| Fault {
        word: first,
        text: RdataError { rtype, what }.to_string(),
        help: None,
    })
}

/// `\# length hex…` (RFC 3597 §5).
fn parse_opaque(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    words.next();
    let token = words.need(r"the number of bytes behind `\#`")?;
    let length: u16 = token
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| token.is_not("a number of bytes up to 65535"))?;
    let start = out.len();
    encoding::parse_hex(words, out)?;
    let found = out.len() - start;
    if found == usize::from(length) {
        return Ok(());
    }
    Err(token.fault(format!("{length} bytes are announced, {found} are given")))
}

/// Adds an example of the type, where a fault has no better help.
fn with_example(row: &Row, mut fault: Fault) -> Fault {
    fault.help.get_or_insert_with(|| format!("as in `{} {}`", row.mnemonic, row.example));
    fault
}

/// Is this uncompressed wire well formed for the type? RDATA of types without a row always is, up to its length.
///
/// # Errors
/// What is wrong.
pub fn check(rtype: Type, rdata: &[u8]) -> Result<(), RdataError> {
    check_row(schema::row(rtype), rdata).map_err(|what| RdataError { rtype, what })
}

fn check_row(row: Option<&Row>, rdata: &[u8]) -> Result<(), &'static str> {
    if rdata.len() > RDATA_MAX {
        return Err("longer than 65535 bytes");
    }
    let Some(row) = row else { return Ok(()) };
    let mut rest = rdata;
    for field in row.fields {
        rest = rest.get(field.measure(rest)?..).ok_or("too short")?;
    }
    if rest.is_empty() { Ok(()) } else { Err("bytes are left over at the end") }
}

/// The fields of RDATA with their bytes; ends at the first that is not well formed.
pub(crate) fn pieces<'r>(fields: &'static [Field], rdata: &'r [u8]) -> impl Iterator<Item = (Field, &'r [u8])> {
    let mut rest = rdata;
    fields.iter().map_while(move |&field| {
        let (piece, after) = rest.split_at_checked(field.measure(rest).ok()?)?;
        rest = after;
        Some((field, piece))
    })
}

/// RDATA as a master file has it. Without a row, or not well formed, it is `\# length hex` (RFC 3597 §5), which any
/// reader takes.
pub fn print(rtype: Type, rdata: &[u8]) -> String {
    let mut text = String::new();
    write(rtype, rdata, &mut text);
    text
}

/// [`print`], appended.
pub fn write(rtype: Type, rdata: &[u8], out: &mut String) {
    let start = out.len();
    let printed = check(rtype, rdata).is_ok()
        && schema::row(rtype).is_some_and(|row| {
            pieces(row.fields, rdata).all(|(field, bytes)| {
                if out.len() > start && !out.ends_with(' ') {
                    out.push(' ');
                }
                field.print(bytes, out).is_some()
            })
        });
    if printed {
        out.truncate(out.trim_end_matches(' ').len().max(start));
    } else {
        out.truncate(start);
        encoding::push_opaque(rdata, out);
    }
}

/// The canonical form of well-formed RDATA (RFC 4034 §6.2, RFC 6840 §5.1): names of the old types in lower case.
pub fn canonical(rtype: Type, rdata: &[u8]) -> Cow<'_, [u8]> {
    let folds = |field: &Field| matches!(field, Field::A6) || matches!(field, Field::Name(role) if role.folds);
    if !rdata.iter().any(u8::is_ascii_uppercase) {
        return rdata.into();
    }
    let Some(row) = schema::row(rtype).filter(|row| row.fields.iter().any(folds)) else {
        return rdata.into();
    };
    let mut out = Vec::with_capacity(rdata.len());
    for (field, bytes) in pieces(row.fields, rdata) {
        let from = if field == Field::A6 { rare::a6_name_at(bytes) } else { 0 };
        let (before, name) = bytes.split_at_checked(from).unwrap_or((bytes, &[]));
        out.extend_from_slice(before);
        if folds(&field) {
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        } else {
            out.extend_from_slice(name);
        }
    }
    if out.len() == rdata.len() { out.into() } else { rdata.into() }
}

#[cfg(test)]
pub(crate) mod tests;
