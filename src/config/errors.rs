//! What is wrong with a configuration, in words and pictures: file, line, column, a caret, and what would be right.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::recording::{FileText, STAND_IN};

/// Errors shown in full; a file with more has one mistake in a loop.
const SHOWN: usize = 200;
/// Longest part of a value quoted in a message.
const QUOTED: usize = 80;

/// A stretch of one of the files that were read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct At {
    /// Index into [`Sources`].
    pub(crate) file: usize,
    /// Byte offsets; `end` is not part of it.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl At {
    pub(crate) fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

/// One file as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// As it is shown.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One thing that is wrong, or looks wrong.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// `None`: the file as a whole.
    pub(crate) at: Option<At>,
    pub(crate) what: String,
    /// Said beside the caret.
    pub(crate) label: Option<String>,
    /// Other places that belong to it.
    pub(crate) notes: Vec<(At, String)>,
    /// What would be right.
    pub(crate) help: Vec<String>,
    /// False beyond [`SHOWN`]: not worth looking for suggestions.
    shown: bool,
}

impl Problem {
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn note(&mut self, at: At, note: impl Into<String>) -> &mut Self {
        self.notes.push((at, note.into()));
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help.push(help.into());
        self
    }

    /// `did you mean …?` where one of `known` is near enough, else the list of them.
    pub(crate) fn suggest<'k>(
        &mut self,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
        what: &str,
    ) -> &mut Self {
        if !self.shown {
            return self;
        }
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(word, known.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => self.help(format!("no {what} is defined")),
            None => self.help(format!("the {what}s are {}", listed(&known))),
        }
    }
}

/// The files read so far, and what was found in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    /// Where secrets stood, and what stands for them in the record.
    pub(crate) hidden: Vec<(At, &'static str)>,
    /// Files that the configuration names, without their secrets.
    pub(crate) attached: Vec<FileText>,
}

impl Findings {
    pub(crate) fn error(&mut self, at: impl Into<Option<At>>, what: impl Into<String>) -> &mut Problem {
        push(&mut self.errors, at.into(), what.into())
    }

    pub(crate) fn warning(&mut self, at: impl Into<Option<At>>, what: impl Into<String>) -> &mut Problem {
        push(&mut self.warnings, at.into(), what.into())
    }

    /// The text that stands there.
    pub(crate) fn text_at(&self, at: At) -> &str {
        self.sources.get(at.file).and_then(|source| source.text.get(at.start..at.end)).unwrap_or("")
    }

    /// Makes a secret unreadable in whatever is shown of its file.
    pub(crate) fn mask(&mut self, at: At) {
        let Some(source) = self.sources.get_mut(at.file) else {
            return;
        };
        let secret = source.text.get(at.start..at.end).unwrap_or("");
        let stars: String = secret.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
        if stars.len() == at.end.saturating_sub(at.start) {
            self.hidden.push((at, STAND_IN));
            Arc::make_mut(source).text.replace_range(at.start..at.end, &stars);
        }
    }

    /// The folder relative paths of this file start from.
    pub(crate) fn folder(&self, file: usize) -> &Path {
        let path = self.sources.get(file).map_or("", |source| &source.path);
        Path::new(path).parent().unwrap_or(Path::new(""))
    }

    /// `file:line:column`.
    pub(crate) fn place(&self, at: At) -> String {
        let Some(source) = self.sources.get(at.file) else {
            return String::new();
        };
        let before = source.text.get(..at.start).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("{}:{line}:{column}", source.path)
    }

    /// Each warning as one line: place, what, what would be better.
    pub(crate) fn warnings_in_words(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort_by_key(|problem| problem.at);
        let mut lines = Vec::with_capacity(warnings.len());
        for warning in warnings {
            let place = warning.at.map_or_else(String::new, |at| format!("{}: ", self.place(at)));
            let help: String = warning.help.iter().map(|help| format!("; {help}")).collect();
            lines.push(format!("{place}{}{help}", warning.what));
        }
        lines
    }

    /// All errors, if there are any.
    pub(crate) fn take_errors(&mut self) -> Result<(), Errors> {
        if self.errors.is_empty() { Ok(()) } else { Err(std::mem::take(self).into_errors()) }
    }

    /// All errors, where it is known that there are some.
    pub(crate) fn into_errors(self) -> Errors {
        let Self { sources, mut errors, .. } = self;
        errors.sort_by_key(|problem| problem.at);
        Errors { sources, problems: errors }
    }
}

fn push(problems: &mut Vec<Problem>, at: Option<At>, what: String) -> &mut Problem {
    let place = problems.len();
    problems.push(Problem { at, what, label: None, notes: Vec::new(), help: Vec::new(), shown: place < SHOWN });
    &mut problems[place]
}

/// Everything that is wrong with a configuration, in the order of its files. Never empty.
///
/// `Display` prints each error as compilers do.
#[derive(Clone, Debug)]
pub struct Errors {
    sources: Vec<Arc<Source>>,
    problems: Vec<Problem>,
}

impl Errors {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// As `Display`, with colours for a terminal.
    pub fn styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let renderer = renderer.clone().decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for problem in self.problems.iter().take(SHOWN) {
            text += &renderer.render(&[self.group(problem)]);
            text += "\n\n";
        }
        match self.problems.len() {
            1 => text += "1 error",
            count => text += &format!("{count} errors"),
        }
        if self.problems.len() > SHOWN {
            text += &format!(", the first {SHOWN} shown");
        }
        text
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&problem.what));
        if let Some(at) = problem.at {
            group = self.with_place(group, at, AnnotationKind::Primary, problem.label.as_deref());
        }
        for (at, note) in &problem.notes {
            group = self.with_place(group, *at, AnnotationKind::Context, Some(note));
        }
        for help in &problem.help {
            group = group.element(Level::HELP.message(help));
        }
        group
    }

    /// Adds the line of `at`, the part of it on that line marked.
    fn with_place<'a>(&'a self, group: Group<'a>, at: At, kind: AnnotationKind, label: Option<&'a str>) -> Group<'a> {
        let Some(source) = self.sources.get(at.file) else {
            return group;
        };
        let text = source.text.as_str();
        let (Some(before), Some(after)) = (text.get(..at.start), text.get(at.start..)) else {
            return group.element(Origin::path(&source.path));
        };
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = at.start + after.find(['\n', '\r']).unwrap_or(after.len());
        let Some(line) = text.get(line_start..line_end.max(line_start)) else {
            return group;
        };
        let number = before.matches('\n').count() + 1;
        let start = at.start - line_start;
        let mut end = at.end.min(line_end).saturating_sub(line_start).max(start);
        while !line.is_char_boundary(end) {
            end += 1;
        }
        let annotation = kind.span(start..end).label(label);
        group.element(Snippet::source(line).line_start(number).path(&source.path).fold(false).annotation(annotation))
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Errors {}

/// A value of the file as it may stand in a message: control characters escaped, long ones cut, in backquotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(shown_char).collect();
    if text.chars().count() > QUOTED {
        shown.push('…');
    }
    format!("`{shown}`")
}

fn shown_char(c: char) -> Vec<char> {
    if c.is_control() { c.escape_debug().collect() } else { vec![c] }
}

/// `a, b, c`, at most twenty of them.
pub(crate) fn listed(words: &[&str]) -> String {
    let shown: Vec<String> = words.iter().take(20).map(|word| quoted(word)).collect();
    let more = words.len().saturating_sub(20);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// The word of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    let within = if word.len() < 3 { 1 } else { (word.len() / 3).max(1) };
    let distances = known.into_iter().map(|candidate| {
        let letters: Vec<char> = candidate.to_lowercase().chars().take(64).collect();
        (distance(&word, &letters), candidate)
    });
    distances
        .filter(|&(distance, _)| distance <= within && distance < word.len())
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| c)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_no_far_one() {
        for (word, known, meant) in [
            ("netlfy", &["vercel", "netlify", "pages"][..], Some("netlify")),
            ("evrey", &["every", "expect"], Some("every")),
            ("Netlify", &["netlify"], Some("netlify")),
            ("us", &["eu", "us-east"], None),
            ("ue", &["eu"], Some("eu")),
            ("banana", &["vercel", "pages"], None),
            ("", &["a"], None),
        ] {
            assert_eq!(nearest(word, known.iter().copied()), meant, "{word}");
        }
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = Arc::new(Source { path: "a.toml".into(), text: "é = 1\nbé = 2\n".into() });
        let findings = Findings { sources: vec![source], ..Findings::default() };
        let at = findings.sources[0].text.find('2').unwrap();
        assert_eq!(findings.place(At::new(0, at..at + 1)), "a.toml:2:6");
    }

    proptest! {
        #[test]
        fn no_span_panics(text in "[a-zé\t\r\n]{0,40}", start in 0usize..50, length in 0usize..50) {
            let source = Arc::new(Source { path: "a".into(), text });
            let mut findings = Findings { sources: vec![source], ..Findings::default() };
            findings.error(At::new(0, start..start + length), "wrong").help("right");
            let errors = findings.take_errors().unwrap_err();
            prop_assert!(errors.to_string().contains("wrong"));
        }

        #[test]
        fn distance_is_symmetric_and_zero_only_for_equals(a in "[abc]{0,6}", b in "[abc]{0,6}") {
            let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            prop_assert_eq!(distance(&x, &y), distance(&y, &x));
            prop_assert_eq!(distance(&x, &y) == 0, a == b);
        }
    }
}
