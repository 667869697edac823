//! Numbers and texts as bytes: small numbers are short. Nothing that is read is trusted.

/// Longest number, in bytes: ten times seven bits.
const LONGEST: usize = 10;

/// Puts a number, seven bits a byte, the low ones first.
pub(super) fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Puts how far `to_number` is from `from`, either way.
pub(super) fn put_step(to: &mut Vec<u8>, from: u64, to_number: u64) {
    let step = to_number.wrapping_sub(from) as i64;
    put(to, (step.wrapping_shl(1) ^ (step >> 63)) as u64);
}

/// Puts a text with its length.
pub(super) fn put_text(to: &mut Vec<u8>, text: &str) {
    put(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'b>(pub(super) &'b [u8]);

impl<'b> Bytes<'b> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for at in 0..LONGEST {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(at as u32 * 7)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// The number that is so far from `from`.
    pub(super) fn step(&mut self, from: u64) -> Option<u64> {
        let folded = self.number()?;
        let step = (folded >> 1) ^ (folded & 1).wrapping_neg();
        Some(from.wrapping_add(step))
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_steps_and_texts_come_back(number: u64, from: u64, text: String) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            put_step(&mut bytes, from, number);
            put_text(&mut bytes, &text);
            let mut back = Bytes(&bytes);
            prop_assert_eq!(back.number(), Some(number));
            prop_assert_eq!(back.step(from), Some(number));
            prop_assert_eq!(back.text(), Some(&*text));
            prop_assert!(back.is_empty());
        }

        #[test]
        fn garbage_is_refused_quietly(bytes: Vec<u8>) {
            let _ = Bytes(&bytes).number();
            let _ = Bytes(&bytes).text();
        }
    }

    #[test]
    fn what_is_near_is_short() {
        for (from, to, length) in [(1000, 1000, 1), (1000, 1063, 1), (1063, 1000, 1), (0, 100_000, 3)] {
            let mut bytes = Vec::new();
            put_step(&mut bytes, from, to);
            assert_eq!(bytes.len(), length, "{from} to {to}");
        }
    }
}
