//! How things look: colours, glyphs, and tables whose columns line up.
//!
//! Everything is written with colours; the stream takes them out where there is no terminal, or `NO_COLOR` is set.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::edge::admin::view::Origin;
use crate::ready::Ready;
use crate::verdict::Class;

pub const PLAIN: Style = Style::new();
pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const WARN: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// What the output is read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Glyphs for classes; words where a pipe or file is written.
    pub glyphs: bool,
    /// Columns of the terminal; `None` does not cut.
    pub width: Option<usize>,
    /// Lines of the terminal.
    pub height: Option<usize>,
}

impl Look {
    /// For pipes and files.
    pub const PIPE: Self = Self { glyphs: false, width: None, height: None };

    /// Of standard output.
    #[must_use]
    pub fn of_stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self::PIPE;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let known = |count: u16| Some(usize::from(count)).filter(|&count| count > 0);
        Self {
            glyphs: true,
            width: size.and_then(|size| known(size.ws_col)),
            height: size.and_then(|size| known(size.ws_row)),
        }
    }

    /// An origin as a rung's column has it: `● vercel`, `✗ vercel`, or `down vercel` in words.
    #[must_use]
    pub fn origin(self, origin: &Origin, unchecked: bool) -> Text {
        let (glyph, word, style) = match (origin.drained, origin.class) {
            (true, _) => ("⊘", "drained", WARN),
            (_, Class::Up) if origin.degraded.is_some() => ("◒", "degraded", WARN),
            (_, Class::Up) => ("●", "up", GOOD),
            (_, Class::Suspect) => ("◐", "suspect", WARN),
            (_, Class::Untried) if unchecked => ("○", "unasked", DIM),
            (_, Class::Untried) => ("○", "unknown", WARN),
            (_, Class::Down) => ("✗", "down", BAD),
        };
        let state = if self.glyphs { glyph } else { word };
        let mut text = Text::of(state, style).and(" ", PLAIN).and(&origin.name, PLAIN);
        if origin.stale {
            text = text.and(" (stale)", WARN);
        }
        text
    }

    /// A class in its colour, as a word.
    #[must_use]
    pub fn class(self, class: Class) -> Text {
        match class {
            Class::Up => Text::of(if self.glyphs { "● up" } else { "up" }, GOOD),
            Class::Suspect => Text::of(if self.glyphs { "◐ suspect" } else { "suspect" }, WARN),
            Class::Untried => Text::of(if self.glyphs { "○ unknown" } else { "unknown" }, WARN),
            Class::Down => Text::of(if self.glyphs { "✗ down" } else { "down" }, BAD),
        }
    }
}

/// The colour of a rung that is being served: calm, noticed, alarming.
#[must_use]
pub fn rung_style(rung: &str) -> Style {
    match rung {
        "primary" => GOOD,
        "emergency" => BAD,
        _ => WARN,
    }
}

/// The colour of readiness.
#[must_use]
pub fn ready_style(ready: Ready) -> Style {
    match ready {
        Ready::Ready => GOOD,
        Ready::Unknown => DIM,
        Ready::Warn => WARN,
        Ready::WouldFail => BAD,
    }
}

/// Pieces of text, each in its style.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Text(Vec<(String, Style)>);

impl Text {
    #[must_use]
    pub fn of(text: impl AsRef<str>, style: Style) -> Self {
        Self::default().and(text, style)
    }

    /// The same with more behind it. Control characters, which others may have put in, become `?`.
    #[must_use]
    pub fn and(mut self, text: impl AsRef<str>, style: Style) -> Self {
        self.0.push((text.as_ref().replace(char::is_control, "?"), style));
        self
    }

    /// `texts` with `between` between them.
    #[must_use]
    pub fn joined(texts: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let mut all = Self::default();
        for text in texts {
            if !all.0.is_empty() {
                all = all.and(between, PLAIN);
            }
            all.0.extend(text.0);
        }
        all
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(text, _)| text.is_empty())
    }

    /// Columns it takes on a terminal.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.width()).sum()
    }

    /// Writes it, cut with `…` where it is wider than `room`; returns the columns taken.
    fn write(&self, out: &mut String, room: usize) -> usize {
        let cut = self.width() > room;
        let mut left = if cut { room.saturating_sub(1) } else { room };
        let mut taken = 0;
        for (text, style) in &self.0 {
            let mut end = 0;
            for (at, c) in text.char_indices() {
                let wide = c.width().unwrap_or(0);
                if wide > left {
                    left = 0;
                    break;
                }
                left -= wide;
                taken += wide;
                end = at + c.len_utf8();
            }
            let piece = &text[..end];
            if *style == PLAIN {
                out.push_str(piece);
            } else if !piece.is_empty() {
                let _ = write!(out, "{style}{piece}{style:#}");
            }
        }
        if cut && room > 0 {
            out.push('…');
            taken += 1;
        }
        taken
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::of(text, PLAIN)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::of(text, PLAIN)
    }
}

/// Rows under heads; the last column may be cut, none wraps.
#[derive(Clone, Debug, Default)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<Text>>,
    indent: usize,
}

/// Between columns.
const GAP: usize = 2;
/// The last column keeps at least so much, or the line is left to wrap.
const LAST_MIN: usize = 12;

impl Table {
    /// With these heads; without heads if all are empty.
    #[must_use]
    pub fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|&head| head.to_owned()).collect(), rows: Vec::new(), indent: 0 }
    }

    /// The same, so many columns to the right.
    #[must_use]
    pub fn indented(mut self, by: usize) -> Self {
        self.indent = by;
        self
    }

    pub fn row(&mut self, row: Vec<Text>) {
        self.rows.push(row);
    }

    /// Leaves out columns in which no row has anything.
    #[must_use]
    pub fn without_empty(mut self) -> Self {
        let keep: Vec<bool> = (0..self.heads.len())
            .map(|column| self.rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty())))
            .collect();
        let kept = |column: usize| keep.get(column).copied().unwrap_or(false);
        self.heads = kept_of(self.heads, kept);
        self.rows = self.rows.into_iter().map(|row| kept_of(row, kept)).collect();
        self
    }

    /// The columns a terminal needs to show it uncut.
    #[must_use]
    pub fn width(&self) -> usize {
        let widths = self.widths();
        self.indent + widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(column, head): (usize, &String)| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(Text::width);
            cells.chain([head.width()]).max().unwrap_or(0)
        };
        self.heads.iter().enumerate().map(width).collect()
    }

    /// Writes the table, one line a row.
    pub fn write(&self, out: &mut String, look: Look) {
        let widths = self.widths();
        if self.heads.iter().any(|head| !head.is_empty()) {
            let heads: Vec<Text> = self.heads.iter().map(|head| Text::of(head, DIM)).collect();
            self.line(out, &heads, &widths, look);
        }
        for row in &self.rows {
            self.line(out, row, &widths, look);
        }
    }

    fn line(&self, out: &mut String, row: &[Text], widths: &[usize], look: Look) {
        let mut at = self.indent;
        out.push_str(&" ".repeat(self.indent));
        let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
        for (column, cell) in row.iter().take(last + 1).enumerate() {
            let room = match look.width {
                Some(width) if column + 1 == widths.len() => width.saturating_sub(at).max(LAST_MIN),
                _ => usize::MAX,
            };
            let taken = cell.write(out, room);
            if column < last {
                let width = widths.get(column).copied().unwrap_or(taken) + GAP;
                out.push_str(&" ".repeat(width - taken));
                at += width;
            }
        }
        out.push('\n');
    }
}

fn kept_of<T>(all: Vec<T>, kept: impl Fn(usize) -> bool) -> Vec<T> {
    all.into_iter().enumerate().filter(|(column, _)| kept(*column)).map(|(_, one)| one).collect()
}

/// Appends one line of `text`.
pub(super) fn line(out: &mut String, text: Text) {
    text.write(out, usize::MAX);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_what_they_take_on_a_terminal() {
        let mut table = Table::new(&["NAME", "EMPTY", "WHY"]);
        table.row(vec!["日本".into(), "".into(), "a".into()]);
        table.row(vec!["abc".into(), Text::default(), "b".into()]);
        let mut out = String::new();
        table.without_empty().write(&mut out, Look::PIPE);
        assert_eq!(anstream::adapter::strip_str(&out).to_string(), "NAME  WHY\n日本  a\nabc   b\n");
    }

    #[test]
    fn the_last_column_is_cut_to_the_terminal_and_escapes_do_not_get_through() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec!["x".into(), Text::of("one two three four\x1b[2J", BAD)]);
        let mut out = String::new();
        table.write(&mut out, Look { glyphs: true, width: Some(18), height: None });
        assert_eq!(anstream::adapter::strip_str(&out).to_string(), "A  B\nx  one two three …\n");
        assert!(!out.contains("\x1b[2J"));
    }
}
