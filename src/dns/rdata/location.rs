//! LOC: where on Earth something is (RFC 1876).
//!
//! Wire: version 0, then size, horizontal and vertical precision as a digit and a power of ten of centimetres in
//! 4 bits each, latitude and longitude in thousandths of an arc second around 2³¹, altitude in centimetres above
//! 100,000 m below the ellipsoid.

use std::fmt::Write as _;

use super::field::Measured;
use super::{Fault, Words};

const EQUATOR: u32 = 1 << 31;
const DEGREE: u32 = 3_600_000;
const GROUND: i64 = 10_000_000;
/// 1 m, 10,000 m and 10 m: what size and precisions are if not given.
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

/// Reads `d [m [s]] N|S d [m [s]] E|W altitude[m] [size[m] [horizontal[m] [vertical[m]]]]`.
pub(super) fn parse(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let latitude = angle(words, 90, [b'N', b'S'])?;
    let longitude = angle(words, 180, [b'E', b'W'])?;
    let token = words.need("an altitude")?;
    let altitude = centimetres(token.bytes).and_then(|height| u32::try_from(height.checked_add(GROUND)?).ok());
    let altitude = altitude.ok_or_else(|| token.is_not("an altitude from -100000.00m to 42849672.95m"))?;
    let mut sizes = DEFAULTS;
    for size in &mut sizes {
        let Some(token) = words.next() else { break };
        let power = centimetres(token.bytes).and_then(digit_and_power);
        *size = power.ok_or_else(|| token.is_not("a size from 0 to 90000000m"))?;
    }
    out.push(0);
    out.extend_from_slice(&sizes);
    for value in [latitude, longitude, altitude] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    Ok(())
}

/// Degrees, minutes, seconds and a hemisphere, the positive one first.
fn angle(words: &mut Words<'_>, most: u32, hemispheres: [u8; 2]) -> Result<u32, Fault> {
    let noun = if most == 90 { "a latitude as 52 22 23.000 N" } else { "a longitude as 4 53 32.000 E" };
    let mut value = 0_u32;
    for (unit, limit) in [(DEGREE, most), (DEGREE / 60, 59), (1_000, 59), (0, 0)] {
        let token = words.need(noun)?;
        let hemisphere = match token.bytes {
            [letter] => hemispheres.iter().position(|known| known.eq_ignore_ascii_case(letter)),
            _ => None,
        };
        if let Some(side) = hemisphere.filter(|_| unit != DEGREE) {
            let inside = value <= most * DEGREE;
            let value = if side == 0 { EQUATOR.checked_add(value) } else { EQUATOR.checked_sub(value) };
            return value.filter(|_| inside).ok_or_else(|| token.is_not(noun));
        }
        let thousandths = match unit {
            0 => None,
            1_000 => decimal(token.bytes, 3),
            _ => decimal(token.bytes, 0).and_then(|whole| whole.checked_mul(u64::from(unit))),
        };
        let part = thousandths.filter(|&part| part < (u64::from(limit) + 1) * u64::from(unit));
        value += part.and_then(|part| u32::try_from(part).ok()).ok_or_else(|| token.is_not(noun))?;
    }
    Err(words.missing(noun))
}

/// A decimal number with up to `places` digits behind the point, times ten to the power of `places`.
fn decimal(text: &[u8], places: usize) -> Option<u64> {
    let (whole, part) = match text.iter().position(|&byte| byte == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    if whole.is_empty() || part.len() > places {
        return None;
    }
    let padding = std::iter::repeat_n(&b'0', places - part.len());
    whole.iter().chain(part).chain(padding).try_fold(0_u64, |value, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Metres with up to two decimals, a sign, and maybe `m`.
fn centimetres(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"m").or_else(|| text.strip_suffix(b"M")).unwrap_or(text);
    match text.strip_prefix(b"-") {
        Some(depth) => i64::try_from(decimal(depth, 2)?).ok()?.checked_neg(),
        None => i64::try_from(decimal(text, 2)?).ok(),
    }
}

/// Centimetres as a digit and a power of ten; further digits are lost.
fn digit_and_power(centimetres: i64) -> Option<u8> {
    let (mut digit, mut power) = (u64::try_from(centimetres).ok()?, 0_u8);
    while digit > 9 {
        digit /= 10;
        power += 1;
    }
    (power <= 9).then_some(u8::try_from(digit).ok()? << 4 | power)
}

/// Version 0, digits, and angles on the globe.
pub(super) fn measure(wire: &[u8]) -> Measured {
    let Some(&[version, size, horizontal, vertical, a, b, c, d, e, f, g, h, ..]) = wire.get(..16) else {
        return Err("too short");
    };
    let digits = [size, horizontal, vertical].iter().all(|byte| byte >> 4 <= 9 && byte & 15 <= 9);
    let within = |value: u32, most: u32| value.abs_diff(EQUATOR) <= most * DEGREE;
    match version {
        0 if !digits => Err("a size that is no digit and power of ten"),
        0 if !within(u32::from_be_bytes([a, b, c, d]), 90) => Err("a latitude beyond the pole"),
        0 if !within(u32::from_be_bytes([e, f, g, h]), 180) => Err("a longitude beyond 180 degrees"),
        0 => Ok(16),
        _ => Err("a version of LOC other than 0"),
    }
}

/// Appends the location.
pub(super) fn print(wire: &[u8], out: &mut String) -> Option<()> {
    let (head, rest) = wire.split_first_chunk::<4>()?;
    let (words, _) = rest.as_chunks::<4>();
    let &[latitude, longitude, altitude] = words else {
        return None;
    };
    for (value, hemispheres) in [(latitude, ['N', 'S']), (longitude, ['E', 'W'])] {
        let value = u32::from_be_bytes(value);
        let side = hemispheres[usize::from(value < EQUATOR)];
        let thousandths = value.abs_diff(EQUATOR);
        let (degrees, minutes) = (thousandths / DEGREE, thousandths / (DEGREE / 60) % 60);
        let (seconds, part) = (thousandths / 1_000 % 60, thousandths % 1_000);
        write!(out, "{degrees} {minutes} {seconds}.{part:03} {side} ").ok()?;
    }
    let height = i64::from(u32::from_be_bytes(altitude)) - GROUND;
    let sign = if height < 0 { "-" } else { "" };
    write!(out, "{sign}{}.{:02}m", height.abs() / 100, height.abs() % 100).ok()?;
    for &size in &head[1..] {
        // Text cannot tell nothing from nothing times a power of ten.
        if size >> 4 == 0 && size & 15 > 0 {
            return None;
        }
        let centimetres = u64::from(size >> 4) * 10_u64.pow(u32::from(size & 15));
        write!(out, " {}.{:02}m", centimetres / 100, centimetres % 100).ok()?;
    }
    Some(())
}
