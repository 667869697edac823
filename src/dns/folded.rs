//! A folded wire name in a place of its own, written again and again without an allocation.

use crate::dns::name::NAME_MAX;

/// Bytes that are folded at once.
const STRIDE: usize = 16;
/// Room for the longest name, in whole strides.
const ROOM: usize = (NAME_MAX + 1).next_multiple_of(STRIDE);

/// A wire name, ASCII letters in lower case (RFC 4343 §3).
#[derive(Clone, Copy, Debug)]
pub struct Folded {
    bytes: [u8; ROOM],
    length: u8,
}

impl Default for Folded {
    fn default() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }
}

impl Folded {
    /// The name; empty if none was set.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Becomes this name; `None`, and no name, if that has over 255 bytes.
    #[inline]
    pub fn set(&mut self, name: &[u8]) -> Option<&[u8]> {
        self.length = 0;
        let length = u8::try_from(name.len()).ok()?;
        let (whole, rest) = name.as_chunks::<STRIDE>();
        let mut into = self.bytes.as_chunks_mut::<STRIDE>().0.iter_mut();
        for (stride, into) in whole.iter().zip(&mut into) {
            *into = fold(*stride);
        }
        if let Some(into) = into.next() {
            into[..rest.len()].copy_from_slice(rest);
            *into = fold(*into);
        }
        self.length = length;
        Some(self.as_wire())
    }

    /// Becomes the name `front` followed by `rest`; `None`, and no name, if that has over 255 bytes.
    pub fn join(&mut self, front: &[u8], rest: &[u8]) -> Option<&[u8]> {
        self.length = 0;
        let length = u8::try_from(front.len() + rest.len()).ok()?;
        self.bytes[..front.len()].copy_from_slice(front);
        self.bytes[front.len()..usize::from(length)].copy_from_slice(rest);
        self.length = length;
        self.bytes[..usize::from(length)].make_ascii_lowercase();
        Some(self.as_wire())
    }
}

/// All of it in lower case. Length bytes are below `A`, so that folding may run over a whole name; and behind it, over
/// what means nothing.
#[inline]
fn fold(mut stride: [u8; STRIDE]) -> [u8; STRIDE] {
    stride.make_ascii_lowercase();
    stride
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_set_last_in_lower_case(
            names in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..200), proptest::collection::vec(any::<u8>(), 0..70)), 1..5)
        ) {
            let mut folded = Folded::default();
            for (front, rest) in names {
                let whole = [&front[..], &rest].concat().to_ascii_lowercase();
                let wanted = (whole.len() <= NAME_MAX).then_some(&whole[..]);
                prop_assert_eq!(folded.join(&front, &rest), wanted);
                prop_assert_eq!(folded.set(&[&front[..], &rest].concat()), wanted);
                prop_assert_eq!(folded.as_wire(), wanted.unwrap_or_default());
            }
        }
    }
}
