//! Fields of DNSSEC: type bitmaps, times, salts and hashes, mnemonics of algorithms, certificate types and schemes.

use std::fmt::Write as _;

use super::field::Measured;
use super::{Fault, Token, Words, encoding};
use crate::dns::schema::Type;

/// Algorithm mnemonics (IANA "DNS Security Algorithm Numbers").
const ALGORITHMS: &[(u8, &str)] = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "NSEC3DSA"),
    (7, "NSEC3RSASHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECCGOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// Certificate type mnemonics (RFC 4398 §2.1).
const CERTIFICATE_TYPES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];

/// Scheme mnemonics (IANA "DSYNC: Location of Synchronization Endpoints").
const SCHEMES: &[(u8, &str)] = &[(1, "NOTIFY")];

/// An algorithm by number or mnemonic.
pub(super) fn algorithm(text: &[u8]) -> Option<u8> {
    by_mnemonic(ALGORITHMS, text)
}

/// A certificate type by number or mnemonic.
pub(super) fn certificate_type(text: &[u8]) -> Option<u16> {
    by_mnemonic(CERTIFICATE_TYPES, text)
}

/// A scheme of DSYNC by number or mnemonic.
pub(super) fn scheme(text: &[u8]) -> Option<u8> {
    by_mnemonic(SCHEMES, text)
}

fn by_mnemonic<N: Copy + std::str::FromStr>(table: &[(N, &str)], text: &[u8]) -> Option<N> {
    let known = table.iter().find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(text)).map(|&(number, _)| number);
    known.or_else(|| std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?.parse().ok())
}

/// `YYYYMMDDHHmmSS` in UTC, or seconds since 1970 in up to ten digits (RFC 4034 §3.2).
pub(super) fn parse_time(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    if text.len() <= 10 {
        return text.parse().ok();
    }
    if text.len() != 14 {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let valid = (1970..=2106).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 61;
    if !valid || day < 1 || day > days_in(year, month) {
        return None;
    }
    let days: u32 = (1970..year).map(days_of_year).sum::<u32>()
        + (1..month).map(|month| days_in(year, month)).sum::<u32>()
        + (day - 1);
    let seconds = u64::from(days) * 86_400 + u64::from(hour * 3_600 + minute * 60 + second);
    u32::try_from(seconds).ok()
}

/// Appends `YYYYMMDDHHmmSS`.
pub(super) fn print_time(time: u32, out: &mut String) {
    let (mut days, seconds) = (time / 86_400, time % 86_400);
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let _infallible = write!(out, "{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}", days + 1);
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u32) -> u32 {
    365 + u32::from(is_leap(year))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A salt: hexadecimal up to 255 bytes, or `-`.
pub(super) fn parse_salt(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let salt = if token.bytes == b"-" { Some(Vec::new()) } else { encoding::decode_hex(token.bytes) };
    push_counted(token, salt, "a salt in hexadecimal or `-`", out)
}

/// A hash of 1 to 255 bytes in base32hex without padding.
pub(super) fn parse_hash(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let hash = encoding::decode_base32(token.bytes).filter(|hash| !hash.is_empty());
    push_counted(token, hash, "a hash in base32hex", out)
}

fn push_counted(token: &Token<'_>, bytes: Option<Vec<u8>>, noun: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let bytes = bytes.ok_or_else(|| token.is_not(noun))?;
    out.push(u8::try_from(bytes.len()).map_err(|_| token.is_not(noun))?);
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Reads mnemonics to the end into windows of bitmaps (RFC 4034 §4.1.2).
pub(super) fn parse_types(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut types = Vec::new();
    for token in words {
        types.push(Type::from_bytes(token.bytes).ok_or_else(|| token.is_not("an RR type"))?);
    }
    types.sort_unstable();
    for window in types.chunk_by(|one, two| one.0 >> 8 == two.0 >> 8) {
        let mut bitmap = [0_u8; 32];
        let mut used = 0;
        for &Type(number) in window {
            let [_, low] = number.to_be_bytes();
            let at = usize::from(low / 8);
            bitmap[at] |= 0x80 >> (low % 8);
            used = at + 1;
        }
        out.extend(window.first().map(|first| first.0.to_be_bytes()[0]));
        out.extend(u8::try_from(used));
        out.extend_from_slice(&bitmap[..used]);
    }
    Ok(())
}

/// Windows in rising order, each of 1 to 32 bytes without a zero at the end.
pub(super) fn measure_types(wire: &[u8]) -> Measured {
    let mut rest = wire;
    let mut last: Option<u8> = None;
    while let [window, length, after @ ..] = rest {
        if last.is_some_and(|last| last >= *window) {
            return Err("type bitmap windows that do not rise");
        }
        last = Some(*window);
        match after.split_at_checked(usize::from(*length)) {
            Some((bitmap, after)) if bitmap.len() <= 32 && bitmap.last().is_some_and(|&byte| byte != 0) => {
                rest = after;
            }
            _ => return Err("a type bitmap window that is empty, too long or ends in zero"),
        }
    }
    if rest.is_empty() { Ok(wire.len()) } else { Err("half a type bitmap window") }
}

/// Appends mnemonics.
pub(super) fn print_types(wire: &[u8], out: &mut String) -> Option<()> {
    let mut rest = wire;
    let mut gap = "";
    while let [window, length, after @ ..] = rest {
        let (bitmap, after) = after.split_at_checked(usize::from(*length))?;
        for (at, byte) in bitmap.iter().enumerate() {
            for bit in (0..8_u8).filter(|bit| byte & 0x80 >> bit != 0) {
                let low = u8::try_from(at).ok()?.checked_mul(8)? + bit;
                write!(out, "{gap}{}", Type(u16::from_be_bytes([*window, low]))).ok()?;
                gap = " ";
            }
        }
        rest = after;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        for (text, time) in [
            ("19700101000000", 0),
            ("20040509183619", 1_084_127_779),
            ("20240229235959", 1_709_251_199),
            ("21060207062815", u32::MAX),
        ] {
            let mut out = String::new();
            print_time(time, &mut out);
            assert_eq!(out, text);
            assert_eq!(parse_time(text.as_bytes()), Some(time));
        }
        assert_eq!(parse_time(b"1084127779"), Some(1_084_127_779));
        for bad in ["20230229000000", "20231301000000", "21060207062816", "2023010100000", "x", "", "20230101240000"] {
            assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn bitmaps_are_rfc_4034_4_3() {
        let wire = b"\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20";
        let mut out = String::new();
        print_types(wire, &mut out).unwrap();
        assert_eq!(out, "A MX RRSIG NSEC TYPE1234");
        assert_eq!(measure_types(wire), Ok(wire.len()));
        for bad in [&b"\x00"[..], b"\x00\x00", b"\x00\x01\x00", b"\x01\x01\x01\x00\x01\x01", b"\x00\x02\x01"] {
            assert!(measure_types(bad).is_err(), "{bad:?}");
        }
    }
}
