//! `$GENERATE` as BIND has it: a range, and `$`, `${offset}`, `${offset,width}`, `${offset,width,base}` in a template.
//!
//! `$$` and `\$` stand for a dollar sign. The base is d, o, x, X, or n and N for nibbles with dots, the lowest first,
//! as reverse zones of IPv6 have them.

use std::fmt::Write as _;

/// Most records one `$GENERATE` may stand for.
pub const GENERATED_MAX: u32 = 1 << 20;
/// Widest number.
const WIDTH_MAX: u32 = 127;

/// The numbers of `start-stop[/step]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

impl Range {
    /// Reads `start-stop` or `start-stop/step`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || "a range is start-stop or start-stop/step, as 1-254 or 0-62/2".to_owned();
        let (range, step) = text.split_once('/').unwrap_or((text, "1"));
        let (start, stop) = range.split_once('-').ok_or_else(form)?;
        let number = |text: &str| text.parse::<u32>().ok().filter(|&number| i32::try_from(number).is_ok());
        let (start, stop, step) =
            number(start).zip(number(stop)).zip(number(step)).map(|((a, b), c)| (a, b, c)).ok_or_else(form)?;
        if step == 0 {
            return Err("the step is at least 1".to_owned());
        }
        if stop < start {
            return Err("the range ends before it begins".to_owned());
        }
        if (stop - start) / step >= GENERATED_MAX {
            return Err(format!("one $GENERATE makes at most {GENERATED_MAX} records"));
        }
        Ok(Self { start, stop, step })
    }

    /// From the first to the last.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        (self.start..=self.stop).step_by(usize::try_from(self.step).unwrap_or(usize::MAX))
    }
}

/// Appends `template` with the number in the place of each `$`.
///
/// # Errors
/// What would be right.
pub fn expand(template: &[u8], number: u32, out: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = template;
    loop {
        rest = match rest {
            [] => return Ok(()),
            [b'$', b'$', after @ ..] => {
                out.push(b'$');
                after
            }
            [b'$', after @ ..] => {
                let (form, after) = if after.starts_with(b"{") { Form::parse(after)? } else { (Form::PLAIN, after) };
                form.write(number, out)?;
                after
            }
            [b'\\', byte, after @ ..] => {
                out.extend([b'\\', *byte]);
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

/// How a number is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Form {
    offset: i32,
    width: u32,
    base: u8,
}

impl Form {
    const PLAIN: Self = Self { offset: 0, width: 0, base: b'd' };

    /// Reads `{offset[,width[,base]]}` and what follows it.
    fn parse(text: &[u8]) -> Result<(Self, &[u8]), String> {
        let wrong =
            || "a number's form is ${offset}, ${offset,width} or ${offset,width,base} with base d, o, x, X, n or N";
        let end = text.iter().position(|&byte| byte == b'}').ok_or_else(wrong)?;
        let inside = std::str::from_utf8(&text[1..end]).map_err(|_| wrong())?;
        let mut parts = inside.split(',');
        let offset = parts.next().and_then(|offset| offset.parse().ok()).ok_or_else(wrong)?;
        let width = parts.next().map_or(Some(0), |width| width.parse().ok()).ok_or_else(wrong)?;
        let base = match parts.next().map(str::as_bytes) {
            None => b'd',
            Some(&[base @ (b'd' | b'o' | b'x' | b'X' | b'n' | b'N')]) => base,
            Some(_) => return Err(wrong().to_owned()),
        };
        if parts.next().is_some() {
            return Err(wrong().to_owned());
        }
        if width > WIDTH_MAX {
            return Err(format!("a number is at most {WIDTH_MAX} characters wide"));
        }
        Ok((Self { offset, width, base }, &text[end + 1..]))
    }

    fn write(self, number: u32, out: &mut Vec<u8>) -> Result<(), String> {
        let value = i32::try_from(number).ok().and_then(|number| number.checked_add(self.offset));
        let value = value.ok_or("the number with its offset is beyond 2147483647")?;
        let width = usize::try_from(self.width).unwrap_or_default();
        let mut text = String::new();
        let _infallible = match self.base {
            b'o' => write!(text, "{value:0width$o}"),
            b'x' => write!(text, "{value:0width$x}"),
            b'X' => write!(text, "{value:0width$X}"),
            b'n' | b'N' => {
                write_nibbles(value.cast_unsigned(), self.width, self.base == b'N', &mut text);
                Ok(())
            }
            _ => write!(text, "{value:0width$}"),
        };
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Nibbles from the lowest on with dots between them, until the value is used up and `width` characters are written;
/// a dot at the end counts and stays if the width asks for it.
fn write_nibbles(mut value: u32, width: u32, upper: bool, out: &mut String) {
    let mut left = width;
    loop {
        let digit = char::from_digit(value & 15, 16).unwrap_or('0');
        out.push(if upper { digit.to_ascii_uppercase() } else { digit });
        value >>= 4;
        left = left.saturating_sub(1);
        if left == 0 && value == 0 {
            return;
        }
        out.push('.');
        left = left.saturating_sub(1);
        if left == 0 && value == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive() {
        let numbers = |text| Range::parse(text).map(|range| range.numbers().collect::<Vec<_>>());
        assert_eq!(numbers("1-3"), Ok(vec![1, 2, 3]));
        assert_eq!(numbers("0-5/2"), Ok(vec![0, 2, 4]));
        assert_eq!(numbers("7-7"), Ok(vec![7]));
        for bad in ["", "1", "3-1", "1-3/0", "a-b", "-1-3", "0-2147483648", "0-1048576"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    /// What named-compilezone 9.18 makes of the same templates.
    #[test]
    fn numbers_are_written_as_bind_writes_them() {
        for (template, number, text) in [
            ("a$b", 7, "a7b"),
            (r"\$y$$z${-3}", 1, r"\$y$z-2"),
            ("${-3,4,x}", 1, "fffffffe"),
            ("${1,5,o}", 1, "00002"),
            ("${10,0,X}", 1, "B"),
            ("${3,3}", 1, "004"),
            ("${0,1,n}", 1, "1"),
            ("${0,4,n}", 1, "1.0."),
            ("${300,2,N}", 1, "D.2.1"),
            ("${200,7,N}", 1, "9.C.0.0"),
        ] {
            let mut out = Vec::new();
            expand(template.as_bytes(), number, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text, "{template}");
        }
        for bad in ["${", "${0", "${}", "${x}", "${0,3,q}", "${0,3,d,}", "${0,128}", "${2147483647}"] {
            assert!(expand(bad.as_bytes(), 1, &mut Vec::new()).is_err(), "{bad}");
        }
    }
}
