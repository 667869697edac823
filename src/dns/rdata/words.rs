//! The words of a master file's line (RFC 1035 §5.1): what RDATA in text is read from.

use std::fmt;

/// One word, as a range of the text it stands in. Escapes are left in; the quotes around it are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
    /// No blank stands between this word and the one before it, as in `alpn="h2"`.
    pub joined: bool,
}

/// Open parentheses: while there are any, a line end is a blank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parentheses {
    pub depth: u32,
    /// Where the outermost one stands.
    pub first: usize,
}

/// Why a line cannot be cut into words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScanError {
    OpenQuote,
    StrayParenthesis,
    TrailingBackslash,
}

/// What is wrong with RDATA in text, and at which word; one past the last word if something is missing there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub word: usize,
    pub text: String,
    pub help: Option<String>,
}

/// A cursor over words.
#[derive(Clone, Debug)]
pub struct Words<'t> {
    text: &'t [u8],
    words: &'t [Word],
    at: usize,
}

/// A word at hand.
#[derive(Clone, Copy, Debug)]
pub struct Token<'t> {
    pub bytes: &'t [u8],
    /// Its place among the words.
    pub index: usize,
    pub quoted: bool,
    pub joined: bool,
}

/// True for bytes that end an unquoted word, and for the backslash, which wants a second look.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let stops = b" \t\r\n;()\"\\";
    let mut at = 0;
    while at < stops.len() {
        ends[stops[at] as usize] = true;
        at += 1;
    }
    ends
};

/// Cuts `text[from..]`, one line, into words; their ranges count from the start of `text`.
///
/// # Errors
/// What is wrong, and where.
pub fn scan(text: &[u8], from: usize, open: &mut Parentheses, words: &mut Vec<Word>) -> Result<(), (ScanError, usize)> {
    let mut at = from;
    let mut joined = false;
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                joined = false;
                at += 1;
            }
            b';' => break,
            b'(' => {
                if open.depth == 0 {
                    open.first = at;
                }
                open.depth = open.depth.saturating_add(1);
                joined = false;
                at += 1;
            }
            b')' => {
                open.depth = open.depth.checked_sub(1).ok_or((ScanError::StrayParenthesis, at))?;
                joined = false;
                at += 1;
            }
            b'"' => {
                let end = closing_quote(text, at + 1).ok_or((ScanError::OpenQuote, at))?;
                words.push(Word { start: at + 1, end, quoted: true, joined });
                joined = true;
                at = end + 1;
            }
            _ => {
                let start = at;
                loop {
                    while let Some(&byte) = text.get(at)
                        && !ENDS[usize::from(byte)]
                    {
                        at += 1;
                    }
                    if text.get(at) != Some(&b'\\') {
                        break;
                    }
                    if matches!(text.get(at + 1), None | Some(b'\r' | b'\n')) {
                        return Err((ScanError::TrailingBackslash, at));
                    }
                    at += 2;
                }
                words.push(Word { start, end: at, quoted: false, joined });
                joined = true;
            }
        }
    }
    Ok(())
}

fn closing_quote(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\n' | b'\\'))?;
        match text[at] {
            b'"' => return Some(at),
            b'\n' => return None,
            _ => at += if text.get(at + 1) == Some(&b'\n') { 1 } else { 2 },
        }
    }
}

impl<'t> Words<'t> {
    /// Words that are ranges of `text`; ranges outside it read as empty.
    pub fn new(text: &'t [u8], words: &'t [Word]) -> Self {
        Self { text, words, at: 0 }
    }

    /// The next word without taking it.
    pub fn peek(&self) -> Option<Token<'t>> {
        let word = self.words.get(self.at)?;
        let bytes = self.text.get(word.start..word.end).unwrap_or_default();
        Some(Token { bytes, index: self.at, quoted: word.quoted, joined: word.joined })
    }

    /// Place of the next word.
    pub fn index(&self) -> usize {
        self.at
    }

    /// The next word, or a fault that says what is missing.
    ///
    /// # Errors
    /// None is left.
    pub fn need(&mut self, what: &str) -> Result<Token<'t>, Fault> {
        self.next().ok_or_else(|| self.missing(what))
    }

    /// A fault at the end.
    pub fn missing(&self, what: &str) -> Fault {
        Fault { word: self.words.len(), text: format!("missing {what}"), help: None }
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }
}

impl<'t> Token<'t> {
    /// The word as text that is only digits, letters and the like; `None` if it is not UTF-8.
    pub fn as_str(&self) -> Option<&'t str> {
        std::str::from_utf8(self.bytes).ok()
    }

    /// A fault at this word.
    pub fn fault(&self, text: impl Into<String>) -> Fault {
        Fault { word: self.index, text: text.into(), help: None }
    }

    /// The fault of a word that is something else than `what`.
    pub fn is_not(&self, what: &str) -> Fault {
        self.fault(format!("`{self}` is not {what}"))
    }
}

/// The word for a message: at most 60 characters of it, nothing unprintable.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.bytes);
        for letter in text.chars().take(60) {
            write!(f, "{}", if letter.is_control() { '\u{fffd}' } else { letter })?;
        }
        if text.chars().nth(60).is_some() { f.write_str("…") } else { Ok(()) }
    }
}

impl Fault {
    /// The fault with what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenQuote => "a quoted string is not closed on its line",
            Self::StrayParenthesis => "a closing parenthesis without an opening one",
            Self::TrailingBackslash => "a backslash with nothing behind it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Result<Vec<String>, (ScanError, usize)> {
        let mut words = Vec::new();
        scan(text.as_bytes(), 0, &mut Parentheses::default(), &mut words)?;
        let shown = |word: &Word| {
            let marks = (if word.joined { "+" } else { "" }, if word.quoted { "'" } else { "" });
            format!("{}{}{}", marks.0, marks.1, &text[word.start..word.end])
        };
        Ok(words.iter().map(shown).collect())
    }

    #[test]
    fn lines_are_cut_into_words() {
        for (text, words) in [
            ("www 300 IN A 192.0.2.1 ; x", &["www", "300", "IN", "A", "192.0.2.1"][..]),
            (r#"a TXT "b ; c" d\;e"#, &["a", "TXT", "'b ; c", r"d\;e"]),
            (r#"alpn="h2,h3" "" x"#, &["alpn=", "+'h2,h3", "'", "x"]),
            (r#""a \" b"(c)d"#, &[r#"'a \" b"#, "c", "d"]),
            ("\t@\r\n", &["@"]),
            (r"a\ b\( c", &[r"a\ b\(", "c"]),
            ("", &[]),
        ] {
            assert_eq!(cut(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_cut_says_where() {
        assert_eq!(cut("a \"b"), Err((ScanError::OpenQuote, 2)));
        assert_eq!(cut("a \"b\\\n\""), Err((ScanError::OpenQuote, 2)));
        assert_eq!(cut("a )"), Err((ScanError::StrayParenthesis, 2)));
        assert_eq!(cut("a b\\"), Err((ScanError::TrailingBackslash, 3)));
        assert_eq!(cut("a b\\\r\n"), Err((ScanError::TrailingBackslash, 3)));
    }
}
