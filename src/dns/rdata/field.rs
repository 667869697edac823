//! Each field kind three ways: read from text, measured in wire, written as text.
//!
//! `measure` says how many bytes at the start of `wire` the field takes, after having looked at them: what it lets
//! pass, `print` can write and `parse` reads back to the same bytes.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Fault, Token, Words, address, dnssec, encoding, gateway, location, rare, service};
use crate::dns::name::{self, NameError, write_text};
use crate::dns::schema::{Field, Type};

/// How long a field is, or why it is none.
pub(super) type Measured = Result<usize, &'static str>;

const TOO_SHORT: &str = "too short";

impl Field {
    /// What a person is told to write.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::U8 => "a number up to 255",
            Self::U16 => "a number up to 65535",
            Self::U32 => "a number up to 4294967295",
            Self::Seconds => "a time in seconds or with units (1h30m)",
            Self::Time => "a time as YYYYMMDDHHmmSS",
            Self::Covered => "an RR type",
            Self::Algorithm => "an algorithm",
            Self::CertificateType => "a certificate type",
            Self::Scheme => "a scheme, as NOTIFY",
            Self::A => "an IPv4 address",
            Self::Aaaa => "an IPv6 address",
            Self::Eui48 => "six bytes as 00-00-5e-00-53-2a",
            Self::Eui64 => "eight bytes as 00-00-5e-ef-10-00-00-2a",
            Self::Locator => "a locator as 2001:db8:1140:1000",
            Self::Name(_) => "a domain name",
            Self::Text => "a string",
            Self::OptionalText => "a string or nothing",
            Self::Texts => "one string or more",
            Self::Digits => "at least four digits",
            Self::Tag => "a tag of letters and digits",
            Self::RestText => "a quoted string",
            Self::Hex => "hexadecimal digits",
            Self::Base64 => "base64",
            Self::OptionalBase64 => "base64 or nothing",
            Self::Base64OrDash => "base64 or `-`",
            Self::Digest(_) => "a digest type and the digest in hexadecimal",
            Self::Salt => "a salt in hexadecimal or `-`",
            Self::HashedName => "a hash in base32hex",
            Self::Types => "RR types",
            Self::OptionalTypes => "RR types or nothing",
            Self::OldTypes => "RR types below 128",
            Self::Parameters => "parameters as key=value",
            Self::Location => "a location as 52 22 23.000 N 4 53 32.000 E -2.00m",
            Self::Prefixes => "prefixes as 1:192.0.2.0/24 or !2:2001:db8::/32",
            Self::Services => "a protocol and port numbers",
            Self::Nsap => "0x and hexadecimal digits",
            Self::Atma => "+ and digits, or hexadecimal digits",
            Self::A6 => "a prefix length, an address suffix, a prefix name",
            Self::Gateway => "a gateway type, an algorithm, a gateway, a key in base64",
            Self::Relay => "a discovery bit, a relay type, a relay",
            Self::HostIdentity => "an algorithm, a host identity tag, a key in base64, rendezvous servers",
            Self::Opaque => r"`\# length hexadecimal`",
        }
    }

    /// Reads the field from text and appends its wire form.
    pub(super) fn parse(self, words: &mut Words<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let noun = self.noun();
        match self {
            Self::U8 => out.push(number(words, noun)?),
            Self::U16 => out.extend_from_slice(&number::<u16>(words, noun)?.to_be_bytes()),
            Self::U32 => out.extend_from_slice(&number::<u32>(words, noun)?.to_be_bytes()),
            Self::Seconds => {
                let token = words.need(noun)?;
                let seconds = seconds(token.bytes).ok_or_else(|| token.is_not(noun))?;
                out.extend_from_slice(&seconds.to_be_bytes());
            }
            Self::Time => {
                let token = words.need(noun)?;
                let time = dnssec::parse_time(token.bytes).ok_or_else(|| token.is_not(noun))?;
                out.extend_from_slice(&time.to_be_bytes());
            }
            Self::Covered => {
                let token = words.need(noun)?;
                let covered = Type::from_bytes(token.bytes).ok_or_else(|| token.is_not(noun))?;
                out.extend_from_slice(&covered.0.to_be_bytes());
            }
            Self::Algorithm => {
                let token = words.need(noun)?;
                out.push(dnssec::algorithm(token.bytes).ok_or_else(|| token.is_not(noun))?);
            }
            Self::Scheme => {
                let token = words.need(noun)?;
                out.push(dnssec::scheme(token.bytes).ok_or_else(|| token.is_not(noun))?);
            }
            Self::CertificateType => {
                let token = words.need(noun)?;
                let number = dnssec::certificate_type(token.bytes).ok_or_else(|| token.is_not(noun))?;
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::A => out.extend_from_slice(&ipv4(&words.need(noun)?)?.octets()),
            Self::Aaaa => out.extend_from_slice(&ipv6(&words.need(noun)?)?.octets()),
            Self::Eui48 => dashed::<6>(&words.need(noun)?, noun, out)?,
            Self::Eui64 => dashed::<8>(&words.need(noun)?, noun, out)?,
            Self::Locator => {
                let token = words.need(noun)?;
                out.extend_from_slice(&locator(token.bytes).ok_or_else(|| token.is_not(noun))?);
            }
            Self::Name(_) => domain_name(&words.need(noun)?, origin, out)?,
            Self::Text => character_string(&words.need(noun)?, out)?,
            Self::OptionalText => {
                if let Some(token) = words.next() {
                    character_string(&token, out)?;
                }
            }
            Self::Texts => {
                character_string(&words.need(noun)?, out)?;
                for token in words {
                    character_string(&token, out)?;
                }
            }
            Self::Digits | Self::Tag => {
                let token = words.need(noun)?;
                let start = out.len();
                character_string(&token, out)?;
                self.measure(out.get(start..).unwrap_or_default()).map_err(|_| token.is_not(noun))?;
            }
            Self::RestText => encoding::push_unescaped(&words.need(noun)?, out)?,
            Self::Hex => {
                words.peek().ok_or_else(|| words.missing(noun))?;
                encoding::parse_hex(words, out)?;
            }
            Self::Base64 => {
                words.peek().ok_or_else(|| words.missing(noun))?;
                encoding::parse_base64(words, out)?;
            }
            Self::OptionalBase64 => encoding::parse_base64(words, out)?,
            Self::Base64OrDash => {
                if words.peek().ok_or_else(|| words.missing(noun))?.bytes == b"-" {
                    words.next();
                } else {
                    encoding::parse_base64(words, out)?;
                }
            }
            Self::Digest(lengths) => {
                let kind = words.need("a digest type")?;
                let number = kind.as_str().and_then(|text| text.parse().ok());
                out.push(number.ok_or_else(|| kind.is_not("a digest type, which is a number up to 255"))?);
                let first = words.peek().ok_or_else(|| words.missing("the digest in hexadecimal"))?;
                let start = out.len();
                encoding::parse_hex(words, out)?;
                let found = out.len() - start;
                let known = lengths.iter().find(|&&(known, _)| Some(known) == number);
                if let Some((_, length)) = known.filter(|&&(_, length)| length != found) {
                    let text = format!("a digest of {found} bytes; one of type {kind} has {length}");
                    return Err(first.fault(text).help("compare it with what the signer printed"));
                }
            }
            Self::Salt => dnssec::parse_salt(&words.need(noun)?, out)?,
            Self::HashedName => dnssec::parse_hash(&words.need(noun)?, out)?,
            Self::Types | Self::OptionalTypes => {
                if self == Self::Types {
                    words.peek().ok_or_else(|| words.missing(noun))?;
                }
                dnssec::parse_types(words, out)?;
            }
            Self::OldTypes => rare::parse_old_types(words, out)?,
            Self::Parameters => service::parse(words, out)?,
            Self::Location => location::parse(words, out)?,
            Self::Prefixes => rare::parse_prefixes(words, out)?,
            Self::Services => rare::parse_services(words, out)?,
            Self::Nsap => rare::parse_nsap(&words.need(noun)?, out)?,
            Self::Atma => rare::parse_atma(&words.need(noun)?, out)?,
            Self::A6 => rare::parse_a6(words, origin, out)?,
            Self::Gateway => gateway::parse_gateway(words, origin, out)?,
            Self::Relay => gateway::parse_relay(words, origin, out)?,
            Self::HostIdentity => gateway::parse_host_identity(words, origin, out)?,
            Self::Opaque => {
                let token = words.need(noun)?;
                return Err(token
                    .fault("this type has no text form")
                    .help(r"write `\# length hexadecimal` (RFC 3597)"));
            }
        }
        Ok(())
    }

    /// How many bytes at the start of `wire` the field takes.
    pub(super) fn measure(self, wire: &[u8]) -> Measured {
        let fixed = |length| {
            if wire.len() < length { Err(TOO_SHORT) } else { Ok(length) }
        };
        let rest = |least: usize| {
            if wire.len() < least { Err(TOO_SHORT) } else { Ok(wire.len()) }
        };
        match self {
            Self::U8 | Self::Algorithm | Self::Scheme => fixed(1),
            Self::U16 | Self::Covered | Self::CertificateType => fixed(2),
            Self::U32 | Self::Seconds | Self::Time | Self::A => fixed(4),
            Self::Eui48 => fixed(6),
            Self::Eui64 | Self::Locator => fixed(8),
            Self::Aaaa => fixed(16),
            Self::Name(_) => name_length(wire),
            Self::Text => string_length(wire),
            Self::OptionalText => {
                if wire.is_empty() {
                    Ok(0)
                } else {
                    string_length(wire)
                }
            }
            Self::Texts => {
                let mut at = string_length(wire)?;
                while let Some(after) = wire.get(at..).filter(|after| !after.is_empty()) {
                    at += string_length(after)?;
                }
                Ok(at)
            }
            Self::Digits => string_of(wire, 4, u8::is_ascii_digit).ok_or("not a string of at least four digits"),
            Self::Tag => string_of(wire, 1, u8::is_ascii_alphanumeric).ok_or("a tag that is not of letters and digits"),
            Self::RestText | Self::OptionalBase64 | Self::Base64OrDash | Self::Opaque => rest(0),
            Self::Hex | Self::Base64 => rest(1),
            Self::Digest(lengths) => match wire {
                [kind, digest @ ..] if !digest.is_empty() => {
                    if lengths.iter().any(|&(known, length)| known == *kind && length != digest.len()) {
                        return Err("a digest of another length than its type has");
                    }
                    Ok(wire.len())
                }
                _ => Err(TOO_SHORT),
            },
            Self::Salt => string_length(wire),
            Self::HashedName => match string_length(wire)? {
                1 => Err("an empty hash"),
                length => Ok(length),
            },
            Self::Types if wire.is_empty() => Err("a type bitmap without a type"),
            Self::Types | Self::OptionalTypes => dnssec::measure_types(wire),
            Self::OldTypes => rare::measure_old_types(wire),
            Self::Parameters => service::measure(wire),
            Self::Location => location::measure(wire),
            Self::Prefixes => rare::measure_prefixes(wire),
            Self::Services => rare::measure_services(wire),
            Self::Nsap => rest(1),
            Self::Atma => rare::measure_atma(wire),
            Self::A6 => rare::measure_a6(wire),
            Self::Gateway => gateway::measure_gateway(wire),
            Self::Relay => gateway::measure_relay(wire),
            Self::HostIdentity => gateway::measure_host_identity(wire),
        }
    }

    /// Writes `wire`, which is this field and nothing else; `None` if there is no text for it.
    pub(super) fn print(self, wire: &[u8], out: &mut String) -> Option<()> {
        match self {
            Self::U8
            | Self::U16
            | Self::U32
            | Self::Seconds
            | Self::Algorithm
            | Self::CertificateType
            | Self::Scheme => {
                write!(out, "{}", wire.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte))).ok()?;
            }
            Self::Time => dnssec::print_time(u32::from_be_bytes(wire.try_into().ok()?), out),
            Self::Covered => write!(out, "{}", Type(u16::from_be_bytes(wire.try_into().ok()?))).ok()?,
            Self::A => write!(out, "{}", Ipv4Addr::from(<[u8; 4]>::try_from(wire).ok()?)).ok()?,
            Self::Aaaa => write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(wire).ok()?)).ok()?,
            Self::Eui48 | Self::Eui64 => {
                for (at, byte) in wire.iter().enumerate() {
                    write!(out, "{}{byte:02x}", if at == 0 { "" } else { "-" }).ok()?;
                }
            }
            Self::Locator => {
                for (at, pair) in wire.chunks(2).enumerate() {
                    let group = u16::from_be_bytes(pair.try_into().ok()?);
                    write!(out, "{}{group:x}", if at == 0 { "" } else { ":" }).ok()?;
                }
            }
            Self::Name(_) => print_name(wire, out)?,
            Self::Text | Self::OptionalText | Self::Texts | Self::Digits => {
                let mut rest = wire;
                while !rest.is_empty() {
                    let (string, after) = rest.split_at_checked(string_length(rest).ok()?)?;
                    if rest.len() < wire.len() {
                        out.push(' ');
                    }
                    encoding::quote(inside(string), out);
                    rest = after;
                }
            }
            Self::Tag => out.push_str(std::str::from_utf8(inside(wire)).ok()?),
            Self::RestText => encoding::quote(wire, out),
            Self::Hex => encoding::push_hex(wire, out),
            Self::Base64 | Self::OptionalBase64 => encoding::push_base64(wire, out),
            Self::Base64OrDash if wire.is_empty() => out.push('-'),
            Self::Base64OrDash => encoding::push_base64(wire, out),
            Self::Digest(_) => {
                let (kind, digest) = wire.split_first()?;
                write!(out, "{kind} ").ok()?;
                encoding::push_hex(digest, out);
            }
            Self::Salt if wire.len() == 1 => out.push('-'),
            Self::Salt => encoding::push_hex(inside(wire), out),
            Self::HashedName => encoding::push_base32(inside(wire), out),
            Self::Types | Self::OptionalTypes => dnssec::print_types(wire, out)?,
            Self::OldTypes => rare::print_old_types(wire, out)?,
            Self::Parameters => service::print(wire, out)?,
            Self::Location => location::print(wire, out)?,
            Self::Prefixes => rare::print_prefixes(wire, out)?,
            Self::Services => rare::print_services(wire, out)?,
            Self::Nsap => {
                out.push_str("0x");
                encoding::push_hex(wire, out);
            }
            Self::Atma => rare::print_atma(wire, out)?,
            Self::A6 => rare::print_a6(wire, out)?,
            Self::Gateway => gateway::print_gateway(wire, out)?,
            Self::Relay => gateway::print_relay(wire, out)?,
            Self::HostIdentity => gateway::print_host_identity(wire, out)?,
            Self::Opaque => return None,
        }
        Some(())
    }
}

/// The bytes of a character-string without its length byte.
fn inside(string: &[u8]) -> &[u8] {
    string.get(1..).unwrap_or_default()
}

/// Length of the character-string `wire` begins with, its length byte included.
fn string_length(wire: &[u8]) -> Measured {
    let length = usize::from(*wire.first().ok_or(TOO_SHORT)?) + 1;
    if wire.len() < length { Err("a string longer than the RDATA") } else { Ok(length) }
}

/// The same, if it has at least so many bytes and all of them are right.
fn string_of(wire: &[u8], least: usize, right: impl Fn(&u8) -> bool) -> Option<usize> {
    let length = string_length(wire).ok()?;
    let bytes = wire.get(1..length)?;
    (bytes.len() >= least && bytes.iter().all(right)).then_some(length)
}

/// Length of the name `wire` begins with.
pub(super) fn name_length(wire: &[u8]) -> Measured {
    name::wire_length(wire).map_err(|_| "a name that is not well formed")
}

/// Appends a wire name as text.
pub(super) fn print_name(wire: &[u8], out: &mut String) -> Option<()> {
    write!(out, "{}", name::Name::from_wire(wire).ok()?).ok()
}

/// Reads a decimal number that fits.
pub(super) fn number<N: TryFrom<u64>>(words: &mut Words<'_>, noun: &str) -> Result<N, Fault> {
    let token = words.need(noun)?;
    let add = |value: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    };
    let value = token.bytes.iter().try_fold(0, add).filter(|_| !token.bytes.is_empty());
    value.and_then(|value| N::try_from(value).ok()).ok_or_else(|| token.is_not(noun))
}

/// A time span: seconds, or numbers with the units w, d, h, m, s, which add up (`1h30m`).
pub fn seconds(text: &[u8]) -> Option<u32> {
    let mut total = 0_u64;
    let mut number: Option<u64> = None;
    let mut units = false;
    for &byte in text {
        if byte.is_ascii_digit() {
            let value = number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            number = Some(value);
            continue;
        }
        let unit = match byte.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
        units = true;
    }
    match (number, units) {
        (Some(value), false) => u32::try_from(value).ok(),
        (None, true) => u32::try_from(total).ok(),
        _ => None,
    }
}

pub(super) fn ipv4(token: &Token<'_>) -> Result<Ipv4Addr, Fault> {
    if let Some(octets) = address::four(token.bytes) {
        return Ok(octets.into());
    }
    let text = token.as_str().unwrap_or_default();
    text.parse().map_err(|_| {
        let fault = token.is_not("an IPv4 address");
        if text.parse::<Ipv6Addr>().is_ok() {
            fault.help("this is an IPv6 address; its type is AAAA")
        } else if text.ends_with(',') {
            fault.help("a record holds one address; write a record for each")
        } else if text.split_once(':').is_some_and(|(address, _)| address.parse::<Ipv4Addr>().is_ok()) {
            fault.help("only the address: DNS cannot tell clients a port here")
        } else if text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            fault.help("to point at a name, use CNAME")
        } else {
            fault.help("four numbers up to 255 with dots, as 192.0.2.1")
        }
    })
}

pub(super) fn ipv6(token: &Token<'_>) -> Result<Ipv6Addr, Fault> {
    if let Some(octets) = address::six(token.bytes) {
        return Ok(octets.into());
    }
    let text = token.as_str().unwrap_or_default();
    text.parse().map_err(|_| {
        let fault = token.is_not("an IPv6 address");
        if text.parse::<Ipv4Addr>().is_ok() {
            fault.help("this is an IPv4 address; its type is A")
        } else {
            fault.help("groups of hexadecimal digits, as 2001:db8::1")
        }
    })
}

fn dashed<const LENGTH: usize>(token: &Token<'_>, noun: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    for pair in token.bytes.split(|&byte| byte == b'-') {
        let byte = <[u8; 2]>::try_from(pair).ok().and_then(|pair| encoding::decode_hex(&pair));
        out.extend(byte.ok_or_else(|| token.is_not(noun))?);
    }
    if out.len() - start == LENGTH { Ok(()) } else { Err(token.is_not(noun)) }
}

/// Four groups of one to four hexadecimal digits.
fn locator(text: &[u8]) -> Option<[u8; 8]> {
    let mut value = 0_u64;
    let mut groups = 0;
    for group in text.split(|&byte| byte == b':') {
        if !(1..=4).contains(&group.len()) {
            return None;
        }
        let mut number = 0;
        for &digit in group {
            number = number << 4 | u64::from(encoding::hex_value(digit)?);
        }
        value = value << 16 | number;
        groups += 1;
    }
    (groups == 4).then(|| value.to_be_bytes())
}

pub(super) fn domain_name(token: &Token<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    write_text(token.bytes, Some(origin), out).map_err(|error| name_fault(token, error))
}

/// The fault of a word that is no name.
pub(super) fn name_fault(token: &Token<'_>, error: NameError) -> Fault {
    token.fault(format!("`{token}` is not a domain name: {error}"))
}

fn character_string(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    out.push(0);
    encoding::push_unescaped(token, out)?;
    let length = out.len() - start - 1;
    let byte = u8::try_from(length).map_err(|_| {
        let text = format!("a string of {length} bytes; one string holds at most 255");
        token.fault(text).help(r#"split it into several: "first part" "second part""#)
    })?;
    if let Some(slot) = out.get_mut(start) {
        *slot = byte;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        for (text, value) in [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("1h30m", Some(5400)),
            ("1W2D", Some(777_600)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("1h30", None),
            ("h", None),
            ("", None),
            ("1y", None),
            ("99999999999999999999w", None),
            ("-1", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), value, "{text}");
        }
    }
}
