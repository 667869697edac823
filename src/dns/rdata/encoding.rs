//! Binary and strings as text: hexadecimal, base64, base32hex (RFC 4648), quoted character-strings (RFC 1035 §5.1).

use std::fmt::Write as _;

use super::{Fault, Token, Words};
use crate::dns::name::unescape;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32HEX: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Reads hexadecimal digits from all words left, maybe none; a byte may not be spread over two words' ends only if
/// the count is odd.
pub(super) fn parse_hex(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut half: Option<u8> = None;
    let mut last = None;
    for token in words.by_ref() {
        for &digit in token.bytes {
            let value = hex_value(digit).ok_or_else(|| token.is_not("hexadecimal"))?;
            half = match half {
                None => Some(value),
                Some(high) => {
                    out.push(high << 4 | value);
                    None
                }
            };
        }
        last = Some(token);
    }
    match (half, last) {
        (Some(_), Some(token)) => Err(token.fault("an odd number of hexadecimal digits")),
        _ => Ok(()),
    }
}

/// The bytes a run of hexadecimal digits stands for.
pub fn decode_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(hex_value(high)? << 4 | hex_value(low)?)).collect()
}

/// What one hexadecimal digit is worth.
pub(super) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Appends upper case digits.
pub(super) fn push_hex(bytes: &[u8], out: &mut String) {
    out.extend(bytes.iter().flat_map(|&byte| [byte >> 4, byte & 15]).map(|digit| digit_of(HEX, digit)));
}

/// Appends `\# length hex` (RFC 3597 §5).
pub(super) fn push_opaque(bytes: &[u8], out: &mut String) {
    let _infallible = write!(out, r"\# {}", bytes.len());
    if !bytes.is_empty() {
        out.push(' ');
        push_hex(bytes, out);
    }
}

/// The alphabets have 16, 32 and 64 letters; `value` is below that.
fn digit_of(alphabet: &[u8], value: u8) -> char {
    alphabet.get(usize::from(value)).copied().map_or('?', char::from)
}

/// Reads base64 with its padding from all words left, maybe none.
pub(super) fn parse_base64(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut decoder = Base64::default();
    let mut last = None;
    for token in words.by_ref() {
        if !token.bytes.iter().all(|&letter| decoder.push(letter, out)) {
            return Err(token.is_not("base64"));
        }
        last = Some(token);
    }
    match last {
        Some(token) if !decoder.is_complete() => {
            Err(token.fault("base64 that is cut short").help("its length is a multiple of four, filled up with `=`"))
        }
        _ => Ok(()),
    }
}

/// The bytes one word of base64 stands for.
pub(super) fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut decoder = Base64::default();
    text.iter().all(|&letter| decoder.push(letter, out)) && decoder.is_complete()
}

/// Base64 letter by letter: groups of four, strictly padded, no bits left over.
#[derive(Default)]
struct Base64 {
    bits: u32,
    letters: u8,
    padding: u8,
}

impl Base64 {
    /// Takes a letter; false if it cannot stand here.
    fn push(&mut self, letter: u8, out: &mut Vec<u8>) -> bool {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                self.padding += 1;
                return self.pad(out);
            }
            _ => return false,
        };
        if self.padding > 0 {
            return false;
        }
        self.bits = self.bits << 6 | u32::from(value);
        self.letters += 1;
        if self.letters == 4 {
            out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
            (self.bits, self.letters) = (0, 0);
        }
        true
    }

    /// `xx==` is one byte, `xxx=` is two; the bits behind them are zero.
    fn pad(&mut self, out: &mut Vec<u8>) -> bool {
        match (self.letters, self.padding) {
            (2, 1) => true,
            (2, 2) if self.bits & 0xf == 0 => {
                out.extend(u8::try_from(self.bits >> 4));
                self.letters = 0;
                true
            }
            (3, 1) if self.bits & 0x3 == 0 => {
                out.extend([self.bits >> 10, self.bits >> 2 & 0xff].map(|byte| u8::try_from(byte).unwrap_or_default()));
                self.letters = 0;
                true
            }
            _ => false,
        }
    }

    fn is_complete(&self) -> bool {
        self.letters == 0
    }
}

/// Appends base64 with padding.
pub(super) fn push_base64(bytes: &[u8], out: &mut String) {
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4_usize {
            if letter > group.len() {
                out.push('=');
            } else {
                let value = bits >> (18 - 6 * letter) & 0x3f;
                out.push(digit_of(BASE64, u8::try_from(value).unwrap_or_default()));
            }
        }
    }
}

/// The bytes of base32hex without padding; `None` if the letters are none or bits are left over.
pub(super) fn decode_base32(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text {
        let value = BASE32HEX.iter().position(|known| known.eq_ignore_ascii_case(letter))?;
        bits = (bits << 5 | u32::try_from(value).ok()?) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    (held < 5 && bits & ((1 << held) - 1) == 0).then_some(out)
}

/// Appends base32hex without padding.
pub(super) fn push_base32(bytes: &[u8], out: &mut String) {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let digit = |value: u32| digit_of(BASE32HEX, u8::try_from(value & 31).unwrap_or_default());
    for &byte in bytes {
        bits = (bits << 8 | u32::from(byte)) & 0xfff;
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(digit(bits >> held));
        }
    }
    if held > 0 {
        out.push(digit(bits << (5 - held)));
    }
}

/// Appends the bytes a word stands for, its escapes resolved.
pub(super) fn push_unescaped(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = token.bytes;
    while let Some(plain) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let (byte, used) = unescape(rest).ok_or_else(|| {
            token.fault("a bad escape").help("a backslash takes one character, or three digits up to 255")
        })?;
        out.push(byte);
        rest = rest.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Appends bytes in quotes, escaped where a reader would stumble.
pub fn quote(bytes: &[u8], out: &mut String) {
    out.push('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _infallible = write!(out, "\\{byte:03}");
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648_10() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foobar", "Zm9vYmFy")]
        {
            let (mut printed, mut read) = (String::new(), Vec::new());
            push_base64(bytes, &mut printed);
            assert_eq!(printed, text);
            assert!(decode_base64(text.as_bytes(), &mut read));
            assert_eq!(read, bytes);
        }
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Zm8", "Zm9=", "Zg==Zg==", "=", "Zg===", "Z-=="] {
            assert!(!decode_base64(bad.as_bytes(), &mut Vec::new()), "{bad}");
        }
    }

    #[test]
    fn base32hex_is_rfc_4648_10() {
        for (bytes, text) in [(&b"f"[..], "CO"), (b"fo", "CPNG"), (b"foobar", "CPNMUOJ1E8"), (b"", "")] {
            let mut printed = String::new();
            push_base32(bytes, &mut printed);
            assert_eq!(printed, text);
            assert_eq!(decode_base32(text.to_lowercase().as_bytes()).unwrap(), bytes);
        }
        for bad in ["C", "CP", "CW", "CO="] {
            assert_eq!(decode_base32(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn text_is_quoted_for_any_reader() {
        let mut out = String::new();
        quote(b"a \"b\\\xff;", &mut out);
        assert_eq!(out, r#""a \"b\\\255;""#);
    }
}
