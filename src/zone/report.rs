//! What is wrong with a zone file, told to the person who wrote it: file, line, column, the line itself, a caret, and
//! what would be right.

use std::fmt;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level as Title, Renderer, Snippet};

/// Most problems of one level that a report keeps; the rest are counted.
pub const KEPT_PROBLEMS: usize = 50;
/// Most bytes of a source line that a report keeps on either side of the spot.
const KEPT_LINE: usize = 120;

/// An error keeps the zone from being served; a warning does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    Error,
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub level: Level,
    pub text: String,
    /// What would be right.
    pub help: Option<String>,
    pub spot: Spot,
}

/// Where in the files: with `line` 0, the file as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spot {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line, without its end; the middle of a very long one.
    pub source: String,
    /// The bytes of `source` that are meant.
    pub span: (usize, usize),
}

/// All problems of a zone, in the order of its files and lines as they were found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    pub problems: Vec<Problem>,
    errors: usize,
    warnings: usize,
}

impl Report {
    /// Adds a problem; past [`KEPT_PROBLEMS`] of its level it is only counted.
    pub fn push(&mut self, problem: Problem) {
        if self.has_room(problem.level) {
            self.problems.push(problem.clone());
        }
        self.count(problem.level);
    }

    /// Counts a problem without keeping it.
    pub fn count(&mut self, level: Level) {
        match level {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
        }
    }

    /// True while a problem of this level would be kept.
    pub fn has_room(&self, level: Level) -> bool {
        let found = match level {
            Level::Error => self.errors,
            Level::Warning => self.warnings,
        };
        found < KEPT_PROBLEMS
    }

    /// Errors found, the kept and the counted.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Warnings found, the kept and the counted.
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// Each problem as one line, and how many were not kept.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let more = self.errors + self.warnings - self.problems.len();
        let file = self.problems.first().map(|problem| problem.spot.file.display().to_string()).unwrap_or_default();
        let rest = (more > 0).then(|| format!("{file}: {more} more not shown"));
        self.problems.iter().map(Problem::line).chain(rest)
    }

    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors + self.warnings == 0
    }
}

impl Problem {
    /// In one line: place, what, what would be right.
    fn line(&self) -> String {
        let Spot { file, line, column, .. } = &self.spot;
        let place = if *line > 0 { format!(":{line}:{column}") } else { String::new() };
        let help = self.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
        format!("{}{place}: {}{help}", file.display(), self.text)
    }
}

impl Spot {
    /// A file as a whole.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// Bytes `start..end` of `line`, which is line `number` of `file`.
    pub fn new(file: impl Into<PathBuf>, number: usize, line: &[u8], start: usize, end: usize) -> Self {
        let line = line.trim_ascii_end();
        let start = start.min(line.len());
        let end = end.clamp(start, line.len().min(start + KEPT_LINE));
        let column = String::from_utf8_lossy(line.get(..start).unwrap_or_default()).chars().count() + 1;
        let from = if line.len() > 2 * KEPT_LINE { start.saturating_sub(KEPT_LINE) } else { 0 };
        let to = if line.len() > 2 * KEPT_LINE { line.len().min(end + KEPT_LINE) } else { line.len() };
        let shown = |from: usize, to: usize| {
            let text = String::from_utf8_lossy(line.get(from..to).unwrap_or_default());
            text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect::<String>()
        };
        let (before, meant) = (shown(from, start), shown(start, end));
        let span = (before.len(), before.len() + meant.len());
        Self { file: file.into(), line: number, column, source: before + &meant + &shown(end, to), span }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = match self.level {
            Level::Error => Title::ERROR,
            Level::Warning => Title::WARNING,
        };
        let path = self.spot.file.display().to_string();
        let mut group = Group::with_title(title.primary_title(self.text.as_str()));
        if self.spot.line > 0 {
            // One byte more, so that a caret may stand behind the last letter.
            let source = format!("{} ", self.spot.source);
            let (start, end) = self.spot.span;
            let snippet = Snippet::source(source).path(path.as_str()).line_start(self.spot.line);
            group = group.element(snippet.annotation(AnnotationKind::Primary.span(start..end.max(start + 1))));
        } else {
            group = group.element(annotate_snippets::Origin::path(path.as_str()));
        }
        if let Some(help) = &self.help {
            group = group.element(Title::HELP.message(help.as_str()));
        }
        let text = Renderer::plain().render(&[group]);
        // A line of source that ends in the byte added above leaves blanks behind.
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// All problems with a blank line between, and what was found in all.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}\n")?;
        }
        let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        write!(f, "{}, {}", counted(self.errors, "error"), counted(self.warnings, "warning"))?;
        match self.errors + self.warnings - self.problems.len() {
            0 => Ok(()),
            more => write!(f, " ({more} not shown)"),
        }
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_a_caret() {
        let spot = Spot::new("a.zone", 7, b"w\xc3\xbcw\tIN AAAAA ::1\r\n", 8, 13);
        let problem = Problem { level: Level::Error, text: "no".into(), help: Some("yes".into()), spot };
        let shown = problem.to_string();
        assert!(shown.contains("a.zone:7:8"), "{shown}");
        assert!(shown.contains("7 | wüw IN AAAAA ::1\n  |        ^^^^^"), "{shown}");
        assert!(shown.contains("help: yes"), "{shown}");
    }

    #[test]
    fn a_report_is_bounded() {
        let mut report = Report::default();
        for _ in 0..KEPT_PROBLEMS + 2 {
            let spot = Spot::file("a");
            report.push(Problem { level: Level::Error, text: "x".into(), help: None, spot });
        }
        assert_eq!((report.problems.len(), report.errors()), (KEPT_PROBLEMS, KEPT_PROBLEMS + 2));
        assert!(report.to_string().ends_with("52 errors, 0 warnings (2 not shown)"));
        let lines: Vec<String> = report.lines().collect();
        assert_eq!(
            (lines.len(), lines[0].as_str(), lines[KEPT_PROBLEMS].as_str()),
            (51, "a: x", "a: 2 more not shown")
        );
    }

    #[test]
    fn a_very_long_line_is_cut() {
        let line = vec![b'x'; 100_000];
        let spot = Spot::new("a", 1, &line, 50_000, 90_000);
        assert!(spot.source.len() <= 3 * KEPT_LINE);
        assert_eq!(spot.column, 50_001);
    }
}
