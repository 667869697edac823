//! Bytes that a fuzzer made, taken as choices: past their end every choice is the first.

/// What is left of the bytes.
pub struct Input<'b>(pub &'b [u8]);

impl<'b> Input<'b> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A number below `count`, which is at most 256.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    pub fn one_of<'c, C: ?Sized>(&mut self, choices: &[&'c C]) -> &'c C {
        choices[self.below(choices.len())]
    }

    /// So many bytes, or those that are left.
    pub fn take(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'b [u8] {
        self.take(usize::MAX)
    }
}
