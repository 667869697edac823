//! Master files (RFC 1035 §5): entries to records, one after the other, with all their errors in one run.
//!
//! `$TTL` (RFC 2308 §4) lasts to the end of the zone, `$ORIGIN` and the owner to the end of their file: a file that
//! is included hands them back as they were.

use std::path::{Path, PathBuf};

use crate::dns::name::{Name, NameError, write_text};
use crate::dns::rdata::{self, Fault, Parentheses, Token, Words};
use crate::dns::schema::{Class, ROWS, Type};
use crate::zone::Files;
use crate::zone::generate::{self, Range};
use crate::zone::lexer::{Entry, LexError, Lexer};
use crate::zone::report::{Level, Problem, Report, Spot};

/// Most files that may be open in each other.
pub const INCLUDE_DEPTH_MAX: usize = 8;
/// What one zone may hold, far above what any needs: a `$GENERATE` with three zeros too many, or files that include
/// each other again and again, end in an error before they have taken all memory. A record takes some 50 bytes.
const LIMITS: Limits = Limits { records: 20_000_000, includes: 10_000 };
/// Highest TTL (RFC 2181 §8).
pub const TTL_MAX: u32 = 0x7fff_ffff;

/// A record as it was read, and where.
pub struct Parsed<'e> {
    /// In wire form, its letters as they were written.
    pub owner: &'e [u8],
    pub rtype: Type,
    pub ttl: u32,
    /// Well formed, in uncompressed wire form.
    pub rdata: &'e [u8],
    file: &'e Path,
    entry: &'e Entry,
    layout: Layout,
}

/// What of a record is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Owner,
    Type,
    Rdata,
}

/// Places of the parts among the words of the entry.
#[derive(Clone, Copy)]
struct Layout {
    owner: usize,
    rtype: usize,
    rdata: usize,
}

impl Parsed<'_> {
    /// The owner as a name of its own.
    pub fn name(&self) -> Name {
        Name::from_wire(self.owner).unwrap_or_else(|_| Name::root())
    }

    /// Where a part of it stands.
    pub fn spot(&self, part: Part) -> Spot {
        let span = match part {
            Part::Owner => self.entry.span_of(self.layout.owner),
            Part::Type => self.entry.span_of(self.layout.rtype),
            Part::Rdata => (self.entry.span_of(self.layout.rdata).0, self.entry.span_of(usize::MAX).0),
        };
        spot_of(self.file, self.entry, span)
    }
}

/// How much of a zone may still be read.
#[derive(Clone, Copy)]
struct Limits {
    records: u32,
    includes: u32,
}

/// Reads `file` and what it includes; relative names are completed with `apex` at first. Hands each record to `take`,
/// and puts what cannot be read into the report.
pub fn read(
    files: &dyn Files,
    apex: &Name,
    file: &Path,
    report: &mut Report,
    take: &mut dyn FnMut(&Parsed<'_>, &mut Report),
) {
    read_within(LIMITS, files, apex, file, report, take);
}

fn read_within(
    limits: Limits,
    files: &dyn Files,
    apex: &Name,
    file: &Path,
    report: &mut Report,
    take: &mut dyn FnMut(&Parsed<'_>, &mut Report),
) {
    let mut sources = match open(files, file.to_owned(), file, apex.clone(), Owner::None) {
        Ok(first) => vec![first],
        Err(error) => {
            let text = format!("cannot open the zone file: {error}");
            report.push(Problem { level: Level::Error, text, help: None, spot: Spot::file(file) });
            return;
        }
    };
    let mut state = State { default_ttl: None, last_ttl: None, wire: Vec::new(), limits, left: limits, is_over: false };
    while let Some(source) = sources.last_mut() {
        let asked = match source.lexer.advance() {
            Ok(false) => {
                sources.pop();
                continue;
            }
            Ok(true) => state.entry(source, report, take),
            Err(error) => {
                report.push(lexical_problem(source, &error));
                if matches!(error, LexError::Unreadable(_)) {
                    sources.pop();
                }
                continue;
            }
        };
        let result = asked.and_then(|include| match include {
            Some(include) => state.admit_include(include.word).and_then(|()| include.open(files, &sources)).map(Some),
            None => Ok(None),
        });
        match (result, sources.last()) {
            (Ok(Some(included)), _) => sources.push(included),
            (Err(fault), Some(source)) => report.push(problem_of(source, fault)),
            _ => {}
        }
        if state.is_over {
            return;
        }
    }
}

/// An open file, with what holds inside it only.
struct Source<'f> {
    lexer: Lexer<'f>,
    /// As shown to people.
    file: PathBuf,
    canonical: PathBuf,
    origin: Name,
    owner: Owner,
}

/// The owner that an indented line has.
#[derive(Clone)]
enum Owner {
    /// No record yet.
    None,
    /// In wire form.
    Known(Vec<u8>),
    /// It could not be read, and was reported; what belongs to it is passed over.
    Unreadable,
}

impl Owner {
    /// Room for the next owner.
    fn into_buffer(self) -> Vec<u8> {
        let Self::Known(mut wire) = self else { return Vec::new() };
        wire.clear();
        wire
    }
}

fn open<'f>(
    files: &'f dyn Files,
    file: PathBuf,
    path: &Path,
    origin: Name,
    owner: Owner,
) -> std::io::Result<Source<'f>> {
    let canonical = files.canonical(path)?;
    Ok(Source { lexer: Lexer::new(files.open(&canonical)?), file, canonical, origin, owner })
}

/// What an entry asks for that it cannot do itself.
struct Include {
    word: usize,
    path: PathBuf,
    origin: Name,
}

impl Include {
    /// Opens the file, which stands in the folder of the zone file or below it, and is not open already.
    fn open<'f>(self, files: &'f dyn Files, sources: &[Source<'f>]) -> Result<Source<'f>, Fault> {
        let fault = |text: String| Fault { word: self.word, text, help: None };
        let shown = self.path.display();
        let (Some(first), Some(last)) = (sources.first(), sources.last()) else {
            return Err(fault("no file is open".to_owned()));
        };
        if sources.len() >= INCLUDE_DEPTH_MAX {
            return Err(fault(format!("files are included {INCLUDE_DEPTH_MAX} deep")).help("include them side by side"));
        }
        let beside = |file: &Path| file.parent().unwrap_or(Path::new("")).join(&self.path);
        let canonical = files.canonical(&beside(&last.canonical)).map_err(|error| {
            fault(format!("cannot open `{shown}`: {error}")).help("paths are relative to the file that includes")
        })?;
        if !first.canonical.parent().is_some_and(|folder| canonical.starts_with(folder)) {
            return Err(fault(format!("`{shown}` is outside the folder of the zone file"))
                .help("a zone includes files from its own folder and the folders below it"));
        }
        if sources.iter().any(|source| source.canonical == canonical) {
            return Err(fault(format!("`{shown}` includes itself")).help("take one of the $INCLUDE lines away"));
        }
        // Beside a link to the zone file there may be nothing.
        let file = Some(beside(&last.file)).filter(|path| files.canonical(path).is_ok_and(|path| path == canonical));
        let file = file.unwrap_or_else(|| canonical.clone());
        open(files, file, &canonical, self.origin.clone(), last.owner.clone())
            .map_err(|error| fault(format!("cannot open `{shown}`: {error}")))
    }
}

/// What lasts over files, and a buffer.
struct State {
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    wire: Vec<u8>,
    limits: Limits,
    left: Limits,
    /// A limit is passed: nothing more is read.
    is_over: bool,
}

/// TTL, type and place of a record; class IN is checked already.
struct Head {
    ttl: Option<u32>,
    rtype: Type,
    word: usize,
}

type Take<'t> = dyn FnMut(&Parsed<'_>, &mut Report) + 't;

impl State {
    /// Counts a record, unless it is one too many.
    fn admit_record(&mut self, word: usize) -> Result<(), Fault> {
        let left = self.left.records.checked_sub(1);
        self.is_over = left.is_none();
        self.left.records = left.ok_or_else(|| {
            let text = format!("the zone has over {} records; the rest is not read", self.limits.records);
            Fault { word, text, help: None }.help("is a $GENERATE too wide, or a file included too often?")
        })?;
        Ok(())
    }

    /// Counts a file that is included, unless it is one too many.
    fn admit_include(&mut self, word: usize) -> Result<(), Fault> {
        let left = self.left.includes.checked_sub(1);
        self.is_over = left.is_none();
        self.left.includes = left.ok_or_else(|| {
            let text = format!("the zone includes over {} files; the rest is not read", self.limits.includes);
            Fault { word, text, help: None }.help("do files include the same ones again and again?")
        })?;
        Ok(())
    }

    /// Carries out one entry.
    fn entry(
        &mut self,
        source: &mut Source<'_>,
        report: &mut Report,
        take: &mut Take<'_>,
    ) -> Result<Option<Include>, Fault> {
        let Source { lexer, file, origin, owner, .. } = source;
        let entry = lexer.entry();
        let mut words = entry.words();
        let Some(first) = words.peek() else { return Ok(None) };
        if first.bytes.starts_with(b"$") && !first.quoted {
            words.next();
            if entry.is_indented() {
                return Err(first
                    .fault(format!("`{first}` is indented"))
                    .help("a directive begins in the first column"));
            }
            return self.directive(&first, &mut words, origin, file, entry, report, take);
        }
        if !entry.is_indented() {
            words.next();
            let mut wire = std::mem::replace(owner, Owner::Unreadable).into_buffer();
            write_text(first.bytes, Some(origin.as_wire()), &mut wire).map_err(|error| no_name(&first, error))?;
            *owner = Owner::Known(wire);
        }
        let head = head(&mut words, entry.is_indented())?;
        let owner = match owner {
            Owner::Known(owner) => owner,
            Owner::Unreadable => return Ok(None),
            Owner::None => {
                let fault = first.fault("a record without an owner");
                return Err(fault.help("the first record of a file has its owner in the first column"));
            }
        };
        self.wire.clear();
        let rdata_word = words.index();
        rdata::parse_words(head.rtype, &mut words, origin, &mut self.wire)?;
        let ttl = self.ttl_of(&head, file, entry, report)?;
        self.admit_record(head.word)?;
        let layout = Layout { owner: 0, rtype: head.word, rdata: rdata_word };
        if head.rtype == Type::TXT && entry.ends_in_comment() {
            report.push(Problem {
                level: Level::Warning,
                text: "a `;` right behind a string: the rest of the line is a comment".to_owned(),
                help: Some(r#"strings with `;` stand in quotes: "v=DKIM1; p=…""#.to_owned()),
                spot: spot_of(file, entry, entry.span_of(usize::MAX)),
            });
        }
        take(&Parsed { owner, rtype: head.rtype, ttl, rdata: &self.wire, file, entry, layout }, report);
        Ok(None)
    }

    /// The TTL of a record: its own, or that of `$TTL`, or that of the record before; for a first SOA its MINIMUM,
    /// which stands in the wire.
    fn ttl_of(&mut self, head: &Head, file: &Path, entry: &Entry, report: &mut Report) -> Result<u32, Fault> {
        if let Some(ttl) = head.ttl.or(self.default_ttl).or(self.last_ttl) {
            self.last_ttl = Some(ttl);
            return Ok(ttl);
        }
        let minimum =
            self.wire.last_chunk::<4>().filter(|_| head.rtype == Type::SOA).map(|&bytes| u32::from_be_bytes(bytes));
        let Some(ttl) = minimum.filter(|&ttl| ttl <= TTL_MAX) else {
            let fault = Fault { word: head.word, text: "a record without a TTL".to_owned(), help: None };
            return Err(fault.help("begin the file with a line as `$TTL 1h`"));
        };
        report.push(Problem {
            level: Level::Warning,
            text: format!("no TTL is given; the SOA's last field, {ttl}, is taken"),
            help: Some("begin the file with a line as `$TTL 1h`".to_owned()),
            spot: spot_of(file, entry, entry.span_of(head.word)),
        });
        self.default_ttl = Some(ttl);
        Ok(ttl)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a source, borrowed apart")]
    fn directive(
        &mut self,
        directive: &Token<'_>,
        words: &mut Words<'_>,
        origin: &mut Name,
        file: &Path,
        entry: &Entry,
        report: &mut Report,
        take: &mut Take<'_>,
    ) -> Result<Option<Include>, Fault> {
        let is = |name: &str| directive.bytes.eq_ignore_ascii_case(name.as_bytes());
        let mut include = None;
        if is("$ORIGIN") {
            *origin = name_of(&words.need("a domain name")?, origin)?;
        } else if is("$TTL") {
            let token = words.need("a TTL")?;
            self.default_ttl = Some(ttl(&token)?.ok_or_else(|| token.is_not("a TTL").help(TTL_HELP))?);
        } else if is("$INCLUDE") {
            let token = words.need("a file name")?;
            let path = token.as_str().ok_or_else(|| token.is_not("a file name in UTF-8"))?;
            if path.is_empty() {
                return Err(token.fault("an empty file name"));
            }
            let origin = match words.next() {
                Some(token) => name_of(&token, origin)?,
                None => origin.clone(),
            };
            include = Some(Include { word: token.index, path: path.into(), origin });
        } else if is("$GENERATE") {
            self.generate(words, origin, file, entry, report, take)?;
        } else {
            let known = ["$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE"];
            let fault = directive.fault(format!("unknown directive `{directive}`"));
            let near = nearest(&directive.to_string(), known.into_iter());
            return Err(fault.help(near.map_or_else(|| format!("known are {}", known.join(", ")), did_you_mean)));
        }
        match words.next() {
            None => Ok(include),
            Some(extra) => Err(extra.fault(format!("`{extra}` is one word too many for {directive}"))),
        }
    }

    /// `$GENERATE range owner [ttl] [class] type rdata`.
    fn generate(
        &mut self,
        words: &mut Words<'_>,
        origin: &Name,
        file: &Path,
        entry: &Entry,
        report: &mut Report,
        take: &mut Take<'_>,
    ) -> Result<(), Fault> {
        let range_word = words.need("a range")?;
        let range = Range::parse(range_word.as_str().unwrap_or_default())
            .map_err(|help| range_word.is_not("a range").help(help))?;
        let owner_word = words.need("an owner with `$` in the place of the number")?;
        let head = head(words, false)?;
        let rdata_word = words.need("RDATA with `$` in the place of the number")?;
        if let Some(extra) = words.next() {
            return Err(extra
                .fault(format!("`{extra}` is one word too many for $GENERATE"))
                .help(r#"RDATA of several words stands in quotes, as "10 mail$""#));
        }
        let template =
            if rdata_word.quoted { without_escaped_quotes(rdata_word.bytes) } else { rdata_word.bytes.into() };
        let layout = Layout { owner: owner_word.index, rtype: head.word, rdata: rdata_word.index };
        let (mut text, mut spans) = (Vec::new(), Vec::new());
        for number in range.numbers() {
            text.clear();
            generate::expand(owner_word.bytes, number, &mut text).map_err(|what| owner_word.fault(what))?;
            let owner = Name::parse(&text, Some(origin))
                .map_err(|error| owner_word.fault(format!("number {number} makes no domain name: {error}")))?;
            text.clear();
            spans.clear();
            self.wire.clear();
            generate::expand(&template, number, &mut text).map_err(|what| rdata_word.fault(what))?;
            let in_rdata = |text: String, help| Fault {
                word: rdata_word.index,
                text: format!("with number {number}: {text}"),
                help,
            };
            rdata::scan(&text, 0, &mut Parentheses::default(), &mut spans)
                .map_err(|(error, _)| in_rdata(error.to_string(), None))?;
            rdata::parse_words(head.rtype, &mut Words::new(&text, &spans), origin, &mut self.wire)
                .map_err(|fault| in_rdata(fault.text, fault.help))?;
            let ttl = self.ttl_of(&head, file, entry, report)?;
            self.admit_record(head.word)?;
            let owner = owner.as_wire();
            take(&Parsed { owner, rtype: head.rtype, ttl, rdata: &self.wire, file, entry, layout }, report);
        }
        Ok(())
    }
}

/// `\"` inside quotes as `"`, other escapes as they are: so BIND takes the RDATA of `$GENERATE` out of its quotes.
fn without_escaped_quotes(quoted: &[u8]) -> Vec<u8> {
    let mut bare = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let [byte, after @ ..] = rest {
        rest = match rest {
            [b'\\', b'"', after @ ..] => {
                bare.push(b'"');
                after
            }
            [b'\\', escaped, after @ ..] => {
                bare.extend([b'\\', *escaped]);
                after
            }
            _ => {
                bare.push(*byte);
                after
            }
        };
    }
    bare
}

const RECORD_HELP: &str = "a record is written: owner [ttl] [class] type rdata";
const TTL_HELP: &str = "seconds, or a number with units as 1h30m (w, d, h, m, s)";

/// A word that is a TTL; none if it does not look like one.
fn ttl(token: &Token<'_>) -> Result<Option<u32>, Fault> {
    if !token.bytes.first().is_some_and(u8::is_ascii_digit) {
        return Ok(None);
    }
    match rdata::seconds(token.bytes) {
        Some(ttl) if ttl <= TTL_MAX => Ok(Some(ttl)),
        None if !token.bytes.iter().all(u8::is_ascii_digit) => Ok(None),
        _ => Err(token
            .fault(format!("a TTL of {token} is too long"))
            .help(format!("it is at most {TTL_MAX} seconds, 68 years"))),
    }
}

fn name_of(token: &Token<'_>, origin: &Name) -> Result<Name, Fault> {
    Name::parse(token.bytes, Some(origin)).map_err(|error| no_name(token, error))
}

fn no_name(token: &Token<'_>, error: NameError) -> Fault {
    token.fault(format!("`{token}` is not a domain name: {error}"))
}

/// `[ttl] [class] type`, TTL and class in either order.
fn head(words: &mut Words<'_>, indented: bool) -> Result<Head, Fault> {
    let (mut seconds, mut class) = (None, None);
    loop {
        let token = words.next().ok_or_else(|| words.missing("an RR type").help(RECORD_HELP))?;
        if seconds.is_none() && !token.quoted {
            seconds = ttl(&token)?;
            if seconds.is_some() {
                continue;
            }
        }
        if let Some(rtype) = Type::from_bytes(token.bytes) {
            if rtype.is_meta() {
                return Err(token.fault(format!("{rtype} is a type of questions and messages; no zone holds it")));
            }
            return Ok(Head { ttl: seconds, rtype, word: token.index });
        }
        match (Class::from_bytes(token.bytes), class) {
            (Some(Class::IN), None) => class = Some(Class::IN),
            (Some(other), None) => {
                return Err(token.fault(format!("a record of class {other}")).help("only class IN is served"));
            }
            _ => return Err(unknown_type(&token, words, indented)),
        }
    }
}

/// The fault of a word that stands where a type should.
fn unknown_type(token: &Token<'_>, words: &Words<'_>, indented: bool) -> Fault {
    if !token.bytes.is_empty() && token.bytes.iter().all(u8::is_ascii_digit) {
        return token.fault(format!("`{token}` is a second TTL")).help(RECORD_HELP);
    }
    if token.bytes.first().is_some_and(u8::is_ascii_digit) {
        return token.is_not("a TTL or RR type").help(format!("a TTL is {TTL_HELP}"));
    }
    let fault = token.fault(format!("unknown RR type `{token}`"));
    let names_type = |token: Token<'_>| {
        Type::from_bytes(token.bytes).is_some()
            || Class::from_bytes(token.bytes).is_some()
            || matches!(ttl(&token), Ok(Some(_)))
    };
    if words.peek().is_some_and(names_type) {
        return fault.help(if indented && token.index == 0 {
            "an indented line belongs to the owner above; to name an owner, begin in the first column"
        } else {
            RECORD_HELP
        });
    }
    match nearest(&token.to_string(), ROWS.iter().map(|row| row.mnemonic)) {
        Some(near) => fault.help(did_you_mean(near)),
        None => fault.help(r"a type without a name is written as TYPE65280 \# 2 abcd (RFC 3597)"),
    }
}

fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

/// The candidate that is closest to a word in upper case, if it is close at all.
fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_ascii_uppercase();
    let most = word.len().div_ceil(4).min(2);
    let near = candidates.map(|candidate| (edits(word.as_bytes(), candidate.as_bytes()), candidate));
    near.filter(|&(edits, _)| edits <= most).min_by_key(|&(edits, _)| edits).map(|(_, candidate)| candidate)
}

/// Letters to add, take away, change, or swap with the next, to make one word of the other.
fn edits(one: &[u8], two: &[u8]) -> usize {
    let mut before = vec![usize::MAX / 2; two.len() + 1];
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in two.iter().enumerate() {
            let mut least = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && one[i - 1] == *b && *a == two[j - 1] {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[two.len()]
}

fn spot_of(file: &Path, entry: &Entry, (start, end): (usize, usize)) -> Spot {
    let (number, from, line) = entry.line_of(start);
    Spot::new(file, number, line, start - from, end.saturating_sub(from))
}

fn problem_of(source: &Source<'_>, fault: Fault) -> Problem {
    let entry = source.lexer.entry();
    let spot = spot_of(&source.file, entry, entry.span_of(fault.word));
    Problem { level: Level::Error, text: fault.text, help: fault.help, spot }
}

fn lexical_problem(source: &Source<'_>, error: &LexError) -> Problem {
    let (text, help, at) = match error {
        LexError::Unreadable(error) => {
            let text = format!("cannot read the file: {error}");
            return Problem { level: Level::Error, text, help: None, spot: Spot::file(&source.file) };
        }
        LexError::Scan(error, at) => {
            let help = match error {
                rdata::ScanError::OpenQuote => {
                    r#"a string is closed with `"` on the same line; a quote inside it is `\"`"#
                }
                rdata::ScanError::StrayParenthesis => r"in a string or name it is written `\)` or stands in quotes",
                rdata::ScanError::TrailingBackslash => {
                    r"a backslash itself is `\\`; to go on in the next line, use parentheses"
                }
            };
            (error.to_string(), help, *at)
        }
        LexError::OpenParenthesis(at) => {
            ("a parenthesis that is never closed".to_owned(), "all that follows it was taken for one record", *at)
        }
        LexError::TooLong => ("an entry of over a megabyte".to_owned(), "is a parenthesis or a line end missing?", 0),
    };
    let spot = spot_of(&source.file, source.lexer.entry(), (at, at + 1));
    Problem { level: Level::Error, text, help: Some(help.to_owned()), spot }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by path; all are beside each other.
    struct Memory(&'static [(&'static str, &'static str)]);

    impl Files for Memory {
        fn open(&self, path: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
            let file = self.0.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| Box::new(text.as_bytes()) as _).ok_or_else(|| std::io::ErrorKind::NotFound.into())
        }

        fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
            Ok(path.to_owned())
        }
    }

    #[test]
    fn reading_stops_with_one_error_where_a_zone_holds_too_much() {
        let limits = Limits { records: 4, includes: 3 };
        for (files, taken, said) in [
            (&[("/main", "a 1 A 192.0.2.1\n A 192.0.2.2\n A 192.0.2.3\n A 192.0.2.4\n")][..], 4, ""),
            (&[("/main", "$GENERATE 1-9 a 1 A 192.0.2.$\nb BAD\n")], 4, "over 4 records"),
            (
                &[("/main", "a 1 A 192.0.2.1\n$INCLUDE b\n$INCLUDE b\n"), ("/b", " A 192.0.2.1\n A 192.0.2.2\n")],
                4,
                "over 4 records",
            ),
            (&[("/main", "$INCLUDE b\n$INCLUDE b\n$INCLUDE b\na 1 A 192.0.2.1\n"), ("/b", "; nothing\n")], 1, ""),
            (
                &[("/main", "$INCLUDE b\n$INCLUDE b\na 1 A 192.0.2.1\n"), ("/b", "$INCLUDE c\n"), ("/c", "")],
                0,
                "over 3 files",
            ),
        ] {
            let (mut report, mut count) = (Report::default(), 0);
            let apex = Name::absolute("example.com").unwrap();
            read_within(limits, &Memory(files), &apex, Path::new("/main"), &mut report, &mut |_, _| count += 1);
            assert_eq!((count, report.errors()), (taken, usize::from(!said.is_empty())), "{report}");
            assert!(report.to_string().contains(said), "{report}");
        }
    }
}
