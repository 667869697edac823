//! Tokens of a master file: entries, which are lines or several lines held together by parentheses (RFC 1035 §5.1).
//!
//! The file is read through a buffer; what is held of it is one entry.

use std::io::{BufRead, BufReader, Read};

use crate::dns::rdata::{Parentheses, ScanError, Word, Words, scan};

/// Most bytes one entry may have, comments inside its parentheses included. The longest RDATA, written as escapes,
/// takes a quarter of it.
pub const ENTRY_MAX: usize = 1 << 20;
/// What some editors put in front of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes read at once.
const BUFFER: usize = 1 << 16;

/// Cuts a file into entries.
pub struct Lexer<'f> {
    input: BufReader<Box<dyn Read + 'f>>,
    entry: Entry,
    /// Lines read so far.
    lines: usize,
}

/// One entry: its lines as they stand in the file, and the words in them.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    text: Vec<u8>,
    words: Vec<Word>,
    /// Number of its first line, from 1.
    first_line: usize,
}

/// Why there is no entry.
#[derive(Debug)]
pub enum LexError {
    /// The file cannot be read any further.
    Unreadable(std::io::Error),
    /// The entry is not well formed at this byte of its text. What follows its last line can be read.
    Scan(ScanError, usize),
    /// The parenthesis at this byte of the entry's text is not closed.
    OpenParenthesis(usize),
    /// Longer than [`ENTRY_MAX`].
    TooLong,
}

impl<'f> Lexer<'f> {
    pub fn new(input: Box<dyn Read + 'f>) -> Self {
        Self { input: BufReader::with_capacity(BUFFER, input), entry: Entry::default(), lines: 0 }
    }

    /// Reads the next entry that has words; false at the end of the file. After an error other than `Unreadable`,
    /// reading goes on behind the entry.
    ///
    /// # Errors
    /// [`LexError`]; [`Lexer::entry`] shows the text it speaks of.
    pub fn advance(&mut self) -> Result<bool, LexError> {
        let entry = &mut self.entry;
        let mut open = Parentheses::default();
        entry.clear(self.lines + 1);
        loop {
            let start = entry.text.len();
            let room = ENTRY_MAX - start;
            let read = self.input.by_ref().take(room as u64).read_until(b'\n', &mut entry.text);
            match read.map_err(LexError::Unreadable)? {
                0 if open.depth > 0 => return Err(LexError::OpenParenthesis(open.first)),
                0 => return Ok(false),
                _ => self.lines += 1,
            }
            if self.lines == 1 && entry.text.starts_with(BYTE_ORDER_MARK) {
                entry.text.drain(..BYTE_ORDER_MARK.len());
            }
            if entry.text.len() == ENTRY_MAX && !entry.text.ends_with(b"\n") {
                skip_line(&mut self.input).map_err(LexError::Unreadable)?;
                return Err(LexError::TooLong);
            }
            scan(&entry.text, start, &mut open, &mut entry.words).map_err(|(error, at)| LexError::Scan(error, at))?;
            if open.depth > 0 {
                if entry.text.len() == ENTRY_MAX {
                    return Err(LexError::OpenParenthesis(open.first));
                }
                continue;
            }
            if !entry.words.is_empty() {
                return Ok(true);
            }
            entry.clear(self.lines + 1);
        }
    }

    /// The entry read last.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, ended) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

impl Entry {
    fn clear(&mut self, first_line: usize) {
        self.text.clear();
        self.words.clear();
        self.first_line = first_line;
    }

    /// True if the entry begins with a blank, and so belongs to the owner before it.
    pub fn is_indented(&self) -> bool {
        self.text.first().is_some_and(u8::is_ascii_whitespace)
    }

    /// True if the last word ends where a comment begins.
    pub fn ends_in_comment(&self) -> bool {
        self.words.last().is_some_and(|last| !last.quoted && self.text.get(last.end) == Some(&b';'))
    }

    /// The words of the entry.
    pub fn words(&self) -> Words<'_> {
        Words::new(&self.text, &self.words)
    }

    /// Bytes of the text that a word takes; one past its last word is where the last one ends.
    pub fn span_of(&self, word: usize) -> (usize, usize) {
        match (self.words.get(word), self.words.last()) {
            (Some(word), _) => (word.start, word.end.max(word.start + 1)),
            (None, Some(last)) => {
                let end = last.end + usize::from(last.quoted);
                (end, end + 1)
            }
            (None, None) => (0, 1),
        }
    }

    /// Number of the line that byte `at` of the text stands in, where that line begins in the text, and the line.
    pub fn line_of(&self, at: usize) -> (usize, usize, &[u8]) {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or(&self.text);
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let line = self.text.get(start..).unwrap_or_default();
        let end = line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len());
        let number = self.first_line + before.iter().filter(|&&byte| byte == b'\n').count();
        (number, start, line.get(..end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(text: &[u8]) -> Vec<String> {
        let mut lexer = Lexer::new(Box::new(text));
        let mut found = Vec::new();
        loop {
            match lexer.advance() {
                Ok(false) => return found,
                Ok(true) => {
                    let entry = lexer.entry();
                    let words: Vec<_> = entry.words().map(|token| token.to_string()).collect();
                    let mark = if entry.is_indented() { ">" } else { "" };
                    found.push(format!("{}{mark} {}", entry.first_line, words.join(" ")));
                }
                Err(LexError::Unreadable(error)) => panic!("{error}"),
                Err(error) => found.push(format!("{}! {error:?}", lexer.entry().first_line)),
            }
        }
    }

    #[test]
    fn entries_are_lines_or_what_parentheses_hold() {
        let text = b"; nothing\n\na b\n\tc ( d ; e\n\n  f ) g\r\nh \"i\" ()";
        assert_eq!(entries(text), ["3 a b", "4> c d f g", "7 h i"]);
        assert_eq!(entries(b"\xef\xbb\xbf$TTL 1\n"), ["1 $TTL 1"]);
        assert_eq!(entries(b"\"a\" b\n \"a\" b"), ["1 a b", "2> a b"]);
    }

    #[test]
    fn errors_leave_the_rest_readable() {
        assert_eq!(
            entries(b"a \"b\nc\nd )\ne"),
            ["1! Scan(OpenQuote, 2)", "2 c", "3! Scan(StrayParenthesis, 2)", "4 e"]
        );
        assert_eq!(entries(b"a\nb ( c\nd\n"), ["1 a", "2! OpenParenthesis(2)"]);
        let long = [vec![b'x'; ENTRY_MAX + 70_000], b"\na\n".to_vec()].concat();
        assert_eq!(entries(&long), ["1! TooLong", "2 a"]);
    }

    #[test]
    fn a_byte_has_a_line() {
        let mut lexer = Lexer::new(Box::new(&b"\na (\n bc\n)\n"[..]));
        assert!(lexer.advance().unwrap());
        let (start, end) = lexer.entry().span_of(1);
        assert_eq!(lexer.entry().line_of(start), (3, 4, &b" bc"[..]));
        assert_eq!((start, end), (5, 7));
        assert_eq!(lexer.entry().line_of(lexer.entry().span_of(2).0).0, 3);
    }

    proptest! {
        /// No file makes the lexer panic, loop, or lose a line.
        #[test]
        fn any_bytes_are_cut(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\n\n()\";\\ \ta".to_vec())], 0..300)) {
            let mut lexer = Lexer::new(Box::new(&bytes[..]));
            let mut entries = 0;
            while !matches!(lexer.advance(), Ok(false)) {
                let entry = lexer.entry();
                let words = entry.words().count();
                for word in 0..=words {
                    let (number, _, _) = entry.line_of(entry.span_of(word).0);
                    prop_assert!(number >= entry.first_line && number <= lexer.lines);
                }
                entries += 1;
                prop_assert!(entries <= bytes.len());
            }
        }
    }
}
