//! Fields of types one meets rarely: APL (RFC 3123), WKS (RFC 1035), NSAP (RFC 1706), ATMA, A6 (RFC 2874), NXT
//! (RFC 2535).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::field::{Measured, domain_name, ipv6, name_length, number, print_name};
use super::{Fault, Token, Words, encoding};
use crate::dns::schema::Type;

const PREFIX: &str = "a prefix as 1:192.0.2.0/24 or !2:2001:db8::/32";

/// Reads `[!]family:address/length` to the end. Zero bytes at the end of an address are left out in wire.
pub(super) fn parse_prefixes(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    for token in words {
        let Prefix { family, length, negated, address } = prefix(&token).ok_or_else(|| token.is_not(PREFIX))?;
        let used = address.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        out.extend_from_slice(&family.to_be_bytes());
        out.push(length);
        out.push(u8::try_from(used).unwrap_or_default() | if negated { 0x80 } else { 0 });
        out.extend(address.iter().take(used));
    }
    Ok(())
}

/// One prefix of APL; in wire form its address has no zero bytes at the end.
struct Prefix<A> {
    family: u16,
    length: u8,
    negated: bool,
    address: A,
}

fn prefix(token: &Token<'_>) -> Option<Prefix<Vec<u8>>> {
    let text = token.as_str()?;
    let (negated, text) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
    let (family, text) = text.split_once(':')?;
    let (address, length) = text.rsplit_once('/')?;
    let length: u8 = length.parse().ok()?;
    let (family, address, most) = match family {
        "1" => (1, address.parse::<Ipv4Addr>().ok()?.octets().to_vec(), 32),
        "2" => (2, address.parse::<Ipv6Addr>().ok()?.octets().to_vec(), 128),
        _ => return None,
    };
    (length <= most).then_some(Prefix { family, length, negated, address })
}

/// The prefix that `wire` begins with, and what follows it.
fn split_prefix(wire: &[u8]) -> Option<(Prefix<&[u8]>, &[u8])> {
    let (&[high, low, length, count], rest) = wire.split_first_chunk::<4>()?;
    let (address, rest) = rest.split_at_checked(usize::from(count & 0x7f))?;
    Some((Prefix { family: u16::from_be_bytes([high, low]), length, negated: count & 0x80 != 0, address }, rest))
}

pub(super) fn measure_prefixes(wire: &[u8]) -> Measured {
    let mut rest = wire;
    while !rest.is_empty() {
        let (prefix, after) = split_prefix(rest).ok_or("a prefix that is cut short")?;
        let (most_bits, most_bytes) = match prefix.family {
            1 => (32, 4),
            2 => (128, 16),
            _ => (u8::MAX, usize::MAX),
        };
        if prefix.length > most_bits || prefix.address.len() > most_bytes {
            return Err("a prefix longer than its address family has");
        }
        if prefix.address.last() == Some(&0) {
            return Err("a prefix with zero bytes at its end");
        }
        rest = after;
    }
    Ok(wire.len())
}

pub(super) fn print_prefixes(wire: &[u8], out: &mut String) -> Option<()> {
    let mut rest = wire;
    while !rest.is_empty() {
        let (Prefix { family, length, negated, address }, after) = split_prefix(rest)?;
        if rest.len() < wire.len() {
            out.push(' ');
        }
        let mut full = [0; 16];
        full.get_mut(..address.len())?.copy_from_slice(address);
        let mark = if negated { "!" } else { "" };
        match family {
            1 => write!(out, "{mark}1:{}/{length}", Ipv4Addr::from(*full.first_chunk::<4>()?)).ok()?,
            2 => write!(out, "{mark}2:{}/{length}", Ipv6Addr::from(full)).ok()?,
            _ => return None,
        }
        rest = after;
    }
    Some(())
}

/// Protocols and ports that WKS may name (the well-known ones; any may be given by number).
const PROTOCOLS: &[(u8, &str)] = &[(1, "icmp"), (6, "tcp"), (17, "udp")];
const SERVICES: &[(u16, &str)] = &[
    (7, "echo"),
    (9, "discard"),
    (13, "daytime"),
    (20, "ftp-data"),
    (21, "ftp"),
    (22, "ssh"),
    (23, "telnet"),
    (25, "smtp"),
    (37, "time"),
    (53, "domain"),
    (69, "tftp"),
    (79, "finger"),
    (80, "http"),
    (110, "pop3"),
    (111, "sunrpc"),
    (119, "nntp"),
    (123, "ntp"),
    (143, "imap2"),
    (443, "https"),
];

/// Reads a protocol and ports to the end.
pub(super) fn parse_services(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = words.need("a protocol")?;
    out.push(by_name(PROTOCOLS, &token).ok_or_else(|| token.is_not("a protocol (tcp, udp, or a number up to 255)"))?);
    let mut bitmap: Vec<u8> = Vec::new();
    for token in words {
        let port = by_name(SERVICES, &token).ok_or_else(|| token.is_not("a service or port number"))?;
        let at = usize::from(port / 8);
        if bitmap.len() <= at {
            bitmap.resize(at + 1, 0);
        }
        if let Some(byte) = bitmap.get_mut(at) {
            *byte |= 0x80 >> (port % 8);
        }
    }
    out.extend_from_slice(&bitmap);
    Ok(())
}

fn by_name<N: Copy + std::str::FromStr>(table: &[(N, &str)], token: &Token<'_>) -> Option<N> {
    let text = token.as_str()?;
    let known = table.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|&(number, _)| number);
    known.or_else(|| text.parse().ok())
}

pub(super) fn measure_services(wire: &[u8]) -> Measured {
    match wire {
        [] => Err("too short"),
        [_, bitmap @ ..] if bitmap.len() > 8_192 => Err("a bitmap beyond port 65535"),
        [_, .., 0] if wire.len() > 1 => Err("a bitmap with zero bytes at its end"),
        _ => Ok(wire.len()),
    }
}

pub(super) fn print_services(wire: &[u8], out: &mut String) -> Option<()> {
    let (protocol, bitmap) = wire.split_first()?;
    write!(out, "{protocol}").ok()?;
    each_bit(bitmap).try_for_each(|port| write!(out, " {port}").ok())
}

/// Numbers of the bits that are set, the highest bit of the first byte being 0.
fn each_bit(bitmap: &[u8]) -> impl Iterator<Item = usize> {
    let bits = |(at, byte): (usize, &u8)| {
        let byte = *byte;
        (0..8_usize).filter(move |bit| byte & 0x80 >> bit != 0).map(move |bit| at * 8 + bit)
    };
    bitmap.iter().enumerate().flat_map(bits)
}

/// `0x` and pairs of hexadecimal digits; dots between them mean nothing.
pub(super) fn parse_nsap(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let noun = "0x and pairs of hexadecimal digits";
    let digits = token.bytes.strip_prefix(b"0x").or_else(|| token.bytes.strip_prefix(b"0X"));
    let bytes = digits.and_then(decode_dotted).filter(|bytes| !bytes.is_empty());
    out.extend(bytes.ok_or_else(|| token.is_not(noun))?);
    Ok(())
}

fn decode_dotted(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'.').collect();
    encoding::decode_hex(&digits)
}

/// `+digits` (E.164, format 1) or hexadecimal (an AESA, format 0); dots between digits mean nothing.
pub(super) fn parse_atma(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let noun = "an ATM address: + and digits, or hexadecimal digits";
    let (format, address) = match token.bytes.strip_prefix(b"+") {
        Some(digits) => (1, Some(digits.iter().copied().filter(|&byte| byte != b'.').collect())),
        None => (0, decode_dotted(token.bytes)),
    };
    let start = out.len();
    out.push(format);
    out.extend(address.unwrap_or_default());
    measure_atma(out.get(start..).unwrap_or_default()).map(drop).map_err(|_| token.is_not(noun))
}

pub(super) fn measure_atma(wire: &[u8]) -> Measured {
    match wire {
        [] | [_] => Err("too short"),
        [1, digits @ ..] if !digits.iter().all(u8::is_ascii_digit) => Err("an E.164 address that is not digits"),
        _ => Ok(wire.len()),
    }
}

pub(super) fn print_atma(wire: &[u8], out: &mut String) -> Option<()> {
    match wire {
        [0, address @ ..] => encoding::push_hex(address, out),
        [1, digits @ ..] => {
            out.push('+');
            out.push_str(std::str::from_utf8(digits).ok()?);
        }
        _ => return None,
    }
    Some(())
}

/// Reads a prefix length, the address bits behind the prefix, and the name that has the prefix.
pub(super) fn parse_a6(words: &mut Words<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let noun = "a prefix length up to 128";
    let at = words.peek().ok_or_else(|| words.missing(noun))?;
    let length: u8 = number(words, noun)?;
    if length > 128 {
        return Err(at.is_not(noun));
    }
    out.push(length);
    if length < 128 {
        let mut octets = ipv6(&words.need("an IPv6 address")?)?.octets();
        let whole = usize::from(length / 8);
        if let Some(byte) = octets.get_mut(whole) {
            *byte &= 0xff >> (length % 8);
        }
        out.extend(octets.iter().skip(whole));
    }
    if length > 0 { domain_name(&words.need("a prefix name")?, origin, out) } else { Ok(()) }
}

/// Where the prefix name of A6 stands; the end if there is none.
pub(super) fn a6_name_at(wire: &[u8]) -> usize {
    wire.first().map_or(0, |length| 1 + 16_usize.saturating_sub(usize::from(length / 8))).min(wire.len())
}

pub(super) fn measure_a6(wire: &[u8]) -> Measured {
    let &length = wire.first().filter(|&&length| length <= 128).ok_or("a prefix length above 128")?;
    let suffix = wire.get(1..=16 - usize::from(length / 8)).ok_or("too short")?;
    if suffix.first().is_some_and(|first| first & !(0xff >> (length % 8)) != 0) {
        return Err("an address suffix with bits inside the prefix");
    }
    let name = wire.get(1 + suffix.len()..).unwrap_or_default();
    if length == 0 { Ok(1 + suffix.len()) } else { Ok(1 + suffix.len() + name_length(name)?) }
}

pub(super) fn print_a6(wire: &[u8], out: &mut String) -> Option<()> {
    let (&length, rest) = wire.split_first()?;
    let (suffix, name) = rest.split_at_checked(16_usize.checked_sub(usize::from(length / 8))?)?;
    write!(out, "{length}").ok()?;
    if !suffix.is_empty() {
        let mut octets = [0; 16];
        octets.get_mut(16 - suffix.len()..)?.copy_from_slice(suffix);
        write!(out, " {}", Ipv6Addr::from(octets)).ok()?;
    }
    if length > 0 {
        out.push(' ');
        print_name(name, out)?;
    }
    Some(())
}

/// Reads mnemonics of types 1 to 127 to the end into one bitmap.
pub(super) fn parse_old_types(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut bitmap = [0_u8; 16];
    words.peek().ok_or_else(|| words.missing("RR types"))?;
    for token in words {
        let number = Type::from_bytes(token.bytes).map_or(0, |covered| covered.0);
        match bitmap.get_mut(usize::from(number / 8)) {
            Some(byte) if number > 0 => *byte |= 0x80 >> (number % 8),
            _ => return Err(token.is_not("an RR type below 128")),
        }
    }
    let used = bitmap.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    out.extend(bitmap.iter().take(used));
    Ok(())
}

pub(super) fn measure_old_types(wire: &[u8]) -> Measured {
    match wire {
        [first, ..] if first & 0x80 != 0 => Err("a type bitmap of another format"),
        [.., last] if *last != 0 && wire.len() <= 16 => Ok(wire.len()),
        _ => Err("a type bitmap that is empty, too long or ends in zero"),
    }
}

pub(super) fn print_old_types(wire: &[u8], out: &mut String) -> Option<()> {
    for (at, number) in each_bit(wire).enumerate() {
        write!(out, "{}{}", if at == 0 { "" } else { " " }, Type(u16::try_from(number).ok()?)).ok()?;
    }
    Some(())
}
