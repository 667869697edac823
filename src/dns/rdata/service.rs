//! Parameters of SVCB and HTTPS (RFC 9460 §2.1, §7, §8; RFC 9461 `dohpath`; RFC 9540 `ohttp`).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::field::Measured;
use super::{Fault, Token, Words, encoding};

/// How a parameter's value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Names of other parameters.
    Keys,
    /// Comma-separated strings.
    List,
    Nothing,
    Port,
    Ipv4s,
    Ipv6s,
    Base64,
    /// UTF-8.
    Text,
    /// Any bytes.
    Bytes,
}

/// The known parameters (IANA "Service Parameter Keys"). One that not every reader knows by name prints as `keyN`.
const PARAMETERS: &[(u16, &str, Value)] = &[
    (0, "mandatory", Value::Keys),
    (1, "alpn", Value::List),
    (2, "no-default-alpn", Value::Nothing),
    (3, "port", Value::Port),
    (4, "ipv4hint", Value::Ipv4s),
    (5, "ech", Value::Base64),
    (6, "ipv6hint", Value::Ipv6s),
    (7, "dohpath", Value::Text),
    (8, "ohttp", Value::Nothing),
];

/// Keys from here on are printed as `keyN`.
const PRINTED_BY_NUMBER: u16 = 7;
/// The key that must not be used (RFC 9460 §14.3.2).
const INVALID: u16 = 65_535;

fn value_of(key: u16) -> Value {
    PARAMETERS.iter().find(|(known, _, _)| *known == key).map_or(Value::Bytes, |&(_, _, value)| value)
}

/// A key by name or as `keyN`.
fn key_of(name: &[u8]) -> Option<u16> {
    if let Some(&(key, _, _)) = PARAMETERS.iter().find(|(_, known, _)| known.as_bytes() == name) {
        return Some(key);
    }
    let digits = std::str::from_utf8(name.strip_prefix(b"key")?).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|&key| plain && key != INVALID)
}

fn push_key(key: u16, out: &mut String) {
    let known = PARAMETERS.iter().find(|(known, _, _)| *known == key && key < PRINTED_BY_NUMBER);
    let _infallible = match known {
        Some((_, name, _)) => write!(out, "{name}"),
        None => write!(out, "key{key}"),
    };
}

/// Reads `key`, `key=value` and `key="value"` to the end; the wire is sorted by key.
pub(super) fn parse(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut parameters: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut first = None;
    while let Some(token) = words.next() {
        first.get_or_insert(token);
        let split = token.bytes.iter().position(|&byte| byte == b'=');
        let (name, mut value) = match split {
            Some(at) => (&token.bytes[..at], Some(Token { bytes: &token.bytes[at + 1..], ..token })),
            None => (token.bytes, None),
        };
        if let (Some(inline), Some(next)) = (value, words.peek())
            && inline.bytes.is_empty()
            && next.quoted
            && next.joined
        {
            value = words.next();
        }
        let key = key_of(name).ok_or_else(|| {
            let names: Vec<&str> = PARAMETERS.iter().map(|&(_, name, _)| name).collect();
            token
                .fault(format!("unknown parameter `{}`", String::from_utf8_lossy(name)))
                .help(format!("known are {}, and any other as key667", names.join(", ")))
        })?;
        let mut wire = Vec::new();
        parse_value(key, &token, value, &mut wire)?;
        if parameters.iter().any(|(other, _)| *other == key) {
            return Err(token.fault(format!("`{token}`: this parameter is given twice")));
        }
        parameters.push((key, wire));
    }
    parameters.sort_by_key(|&(key, _)| key);
    let start = out.len();
    for (key, value) in &parameters {
        out.extend_from_slice(&key.to_be_bytes());
        let length = u16::try_from(value.len()).ok().zip(first);
        out.extend_from_slice(&length.map_or(0, |(length, _)| length).to_be_bytes());
        out.extend_from_slice(value);
    }
    match (measure(out.get(start..).unwrap_or_default()), first) {
        (Err(what), Some(token)) => Err(token.fault(what)),
        _ => Ok(()),
    }
}

fn parse_value(key: u16, whole: &Token<'_>, value: Option<Token<'_>>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let kind = value_of(key);
    let mut bytes = Vec::new();
    if let Some(value) = value {
        encoding::push_unescaped(&value, &mut bytes)?;
    }
    if kind == Value::Nothing {
        return if bytes.is_empty() { Ok(()) } else { Err(whole.fault(format!("`{whole}`: this key takes no value"))) };
    }
    if bytes.is_empty() && kind != Value::Bytes {
        return Err(whole.fault(format!("`{whole}`: a value is missing")));
    }
    let text = || std::str::from_utf8(&bytes).unwrap_or_default();
    let wrong = |what: &str| whole.fault(format!("`{whole}`: {what}"));
    match kind {
        Value::Keys => {
            let mut keys: Vec<u16> = Vec::new();
            for name in bytes.split(|&byte| byte == b',') {
                keys.push(key_of(name).ok_or_else(|| wrong("the value is a list of parameter names"))?);
            }
            keys.sort_unstable();
            out.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        }
        Value::List => {
            for item in comma_separated(&bytes) {
                let length = u8::try_from(item.len()).ok().filter(|&length| length > 0);
                out.push(length.ok_or_else(|| wrong("each item of the list has 1 to 255 bytes"))?);
                out.extend_from_slice(&item);
            }
        }
        Value::Port => {
            let port: u16 = text().parse().map_err(|_| wrong("a port is a number up to 65535"))?;
            out.extend_from_slice(&port.to_be_bytes());
        }
        Value::Ipv4s => {
            for address in text().split(',') {
                let address: Ipv4Addr = address.parse().map_err(|_| wrong("the value is a list of IPv4 addresses"))?;
                out.extend_from_slice(&address.octets());
            }
        }
        Value::Ipv6s => {
            for address in text().split(',') {
                let address: Ipv6Addr = address.parse().map_err(|_| wrong("the value is a list of IPv6 addresses"))?;
                out.extend_from_slice(&address.octets());
            }
        }
        Value::Base64 => {
            if !encoding::decode_base64(&bytes, out) {
                return Err(wrong("the value is base64"));
            }
        }
        Value::Text if std::str::from_utf8(&bytes).is_err() => return Err(wrong("the value is UTF-8")),
        Value::Text | Value::Bytes => out.extend_from_slice(&bytes),
        Value::Nothing => {}
    }
    if out.len() > usize::from(u16::MAX) { Err(wrong("the value is over 65535 bytes")) } else { Ok(()) }
}

/// Splits at commas; `\,` and `\\` are a comma and a backslash inside an item (RFC 9460 appendix A.1).
fn comma_separated(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut().into_iter().for_each(|item| item.push(rest.next().copied().unwrap_or(b'\\'))),
            byte => items.last_mut().into_iter().for_each(|item| item.push(byte)),
        }
    }
    items
}

/// The parameters in wire form, one after the other; ends at the first that is cut short.
fn each(wire: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        rest = after;
        Some((u16::from_be_bytes([head[0], head[1]]), value))
    })
}

/// Keys rise, values have the form of their key, mandatory keys are there (RFC 9460 §2.2, §8).
pub(super) fn measure(wire: &[u8]) -> Measured {
    let mut last: Option<u16> = None;
    let mut length = 0;
    for (key, value) in each(wire) {
        if last.is_some_and(|last| last >= key) {
            return Err("parameters that do not rise by key");
        }
        last = Some(key);
        length += 4 + value.len();
        if !is_value(key, value) {
            return Err("a parameter whose value has not the form of its key");
        }
    }
    if length != wire.len() {
        return Err("a parameter that is cut short");
    }
    let has = |key: u16| each(wire).any(|(other, _)| other == key);
    let mandatory = each(wire).find(|&(key, _)| key == 0).map_or(&[][..], |(_, value)| value);
    if !mandatory.as_chunks::<2>().0.iter().all(|&key| has(u16::from_be_bytes(key))) {
        return Err("`mandatory` lists a parameter that is not there");
    }
    if has(2) && !has(1) {
        return Err("`no-default-alpn` needs `alpn`");
    }
    Ok(wire.len())
}

fn is_value(key: u16, value: &[u8]) -> bool {
    let some = !value.is_empty();
    match value_of(key) {
        Value::Keys => {
            let (keys, odd) = value.as_chunks::<2>();
            let rising = keys.windows(2).all(|pair| matches!(pair, [one, two] if one < two));
            some && odd.is_empty() && rising && keys.first() != Some(&[0, 0])
        }
        Value::List => some && items(value).map(|item| item.len() + 1).sum::<usize>() == value.len(),
        Value::Nothing => value.is_empty(),
        Value::Port => value.len() == 2,
        Value::Ipv4s => some && value.len().is_multiple_of(4),
        Value::Ipv6s => some && value.len().is_multiple_of(16),
        Value::Base64 => some,
        Value::Text => some && std::str::from_utf8(value).is_ok(),
        Value::Bytes => key != INVALID,
    }
}

/// Strings with a length byte each, none empty.
fn items(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        let (item, after) = after.split_at_checked(usize::from(length))?;
        rest = after;
        (!item.is_empty()).then_some(item)
    })
}

/// Appends the parameters.
pub(super) fn print(wire: &[u8], out: &mut String) -> Option<()> {
    for (at, (key, value)) in each(wire).enumerate() {
        if at > 0 {
            out.push(' ');
        }
        push_key(key, out);
        if value.is_empty() {
            continue;
        }
        out.push('=');
        match value_of(key) {
            Value::Keys => {
                for (at, &key) in value.as_chunks::<2>().0.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    push_key(u16::from_be_bytes(key), out);
                }
            }
            Value::List => {
                let mut list = Vec::new();
                for (at, item) in items(value).enumerate() {
                    list.extend((at > 0).then_some(b','));
                    for &byte in item {
                        list.extend(matches!(byte, b',' | b'\\').then_some(b'\\'));
                        list.push(byte);
                    }
                }
                encoding::quote(&list, out);
            }
            Value::Port => write!(out, "{}", u16::from_be_bytes(value.try_into().ok()?)).ok()?,
            Value::Ipv4s => {
                for (at, &octets) in value.as_chunks::<4>().0.iter().enumerate() {
                    write!(out, "{}{}", if at == 0 { "" } else { "," }, Ipv4Addr::from(octets)).ok()?;
                }
            }
            Value::Ipv6s => {
                for (at, &octets) in value.as_chunks::<16>().0.iter().enumerate() {
                    write!(out, "{}{}", if at == 0 { "" } else { "," }, Ipv6Addr::from(octets)).ok()?;
                }
            }
            Value::Base64 => encoding::push_base64(value, out),
            Value::Text | Value::Bytes | Value::Nothing => encoding::quote(value, out),
        }
    }
    Some(())
}
