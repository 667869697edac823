//! What the files say, table by table, with the place of every value. Nothing is looked up here and no reference is
//! followed: that is [`resolve`](super::resolve)'s.
//!
//! The files are read as trees with spans and not by derived deserialisation, which would stop at the first mistake:
//! here every mistake of every file is found in one run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::bounds::{SECTIONS, Section, TABLES_MAX, section};
use super::encrypted;
use super::errors::{At, Located, nearest, quoted};
use super::node::{self, AdminSpec};
use super::probing::{self, CheckDefaults, CheckSpec, OriginSpec};
use super::steering::{self, LadderSpec, SteerDefaults, SteerSpec, ZoneSpec};
use super::value::{Reading, in_order};
use super::velocity::{self, Velocity};
use super::{Alert, Cli, Server, answering, rate_limit, streams};

/// The whole configuration as written.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) server: Server,
    pub(crate) admin: AdminSpec,
    pub(crate) heartbeat: Option<Located<SocketAddr>>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) velocity: Option<Located<Velocity>>,
    pub(crate) cli: Cli,
    pub(crate) zones: Vec<ZoneSpec>,
    pub(crate) check_defaults: CheckDefaults,
    pub(crate) steer_defaults: SteerDefaults,
    pub(crate) checks: Vec<CheckSpec>,
    pub(crate) origins: Vec<OriginSpec>,
    pub(crate) ladders: Vec<LadderSpec>,
    pub(crate) steers: Vec<SteerSpec>,
}

/// One table of one file.
#[derive(Clone)]
pub(crate) struct Block<'t> {
    section: &'static Section,
    /// NAME of `[check.NAME]`, else empty.
    pub(crate) name: Located<String>,
    pub(crate) table: &'t DeTable<'t>,
    /// The header.
    pub(crate) at: At,
}

/// All tables of one section, in the order of the files.
#[derive(Default)]
struct Blocks<'t>(Vec<Block<'t>>);

/// Reads all sources that were gathered. The second value is false if a syntax error may have hidden something, so
/// that nothing should be said about what is missing.
pub(crate) fn read(reading: &mut Reading<'_>, host_name: &str) -> (Spec, bool) {
    let texts: Vec<String> = reading.found.sources.iter().map(|source| source.text.clone()).collect();
    let mut trees = Vec::with_capacity(texts.len());
    let mut broken: Vec<(usize, Range<usize>)> = Vec::new();
    for (file, text) in texts.iter().enumerate() {
        let (tree, faults) = DeTable::parse_recoverable(text);
        for fault in faults {
            if let Some(lines) = syntax_error(reading, file, text, fault.message(), fault.span()) {
                broken.push((file, lines));
            }
        }
        trees.push(tree.into_inner());
    }
    let said = reading.found.errors.len();
    let mut blocks = Blocks::default();
    for (file, tree) in trees.iter().enumerate() {
        blocks.collect(reading, file, tree);
    }
    blocks.refuse_twins(reading);
    let spec = spec(reading, &blocks, host_name);
    // A value that recovery made up is not worth a second error on its line.
    let mut at = 0;
    reading.found.errors.retain(|problem| {
        at += 1;
        let on_broken =
            |place: At| broken.iter().any(|(file, lines)| *file == place.file && lines.contains(&place.start));
        at <= said || !problem.at.is_some_and(on_broken)
    });
    (spec, broken.is_empty())
}

fn spec(reading: &mut Reading<'_>, blocks: &Blocks<'_>, host_name: &str) -> Spec {
    let mut server = node::server(reading, blocks.one("server"), host_name);
    let answering = Arc::make_mut(&mut server.answering);
    answering.cookies = answering::cookies(reading, blocks.one("server.cookies"));
    answering.rate_limit = blocks.one("server.rate_limit").map(|block| rate_limit::read(reading, block));
    answering.streams = streams::read(reading, blocks.one("server.tcp"));
    let is_encrypted = !server.encrypted.listen.is_empty();
    server.encrypted.tls = encrypted::tls(reading, blocks.one("server.tls"), is_encrypted);
    let admin = node::admin(reading, blocks.one("admin"), blocks.all("admin.token"));
    let heartbeat = node::heartbeat(reading, blocks.one("heartbeat"));
    server.asking.heartbeat = heartbeat.as_ref().map(|listen| listen.value);
    Spec {
        alerts: blocks.all("alert").filter_map(|block| node::alert(reading, block)).collect(),
        velocity: blocks.one("velocity").and_then(|block| velocity::read(reading, block)),
        cli: node::cli(reading, blocks.one("cli")),
        zones: blocks.all("zone").filter_map(|block| steering::zone(reading, block)).collect(),
        check_defaults: probing::defaults(reading, blocks.one("defaults.check")),
        steer_defaults: steering::defaults(reading, blocks.one("defaults.steer")),
        checks: blocks.all("check").map(|block| probing::check(reading, block)).collect(),
        origins: blocks.all("origin").map(|block| probing::origin(reading, block)).collect(),
        ladders: blocks.all("ladder").map(|block| steering::ladder(reading, block)).collect(),
        steers: blocks.all("steer").filter_map(|block| steering::steer(reading, block)).collect(),
        server,
        admin,
        heartbeat,
    }
}

impl<'t> Blocks<'t> {
    fn one(&self, path: &str) -> Option<&Block<'t>> {
        self.0.iter().find(|block| block.section.path == path)
    }

    fn all<'b>(&'b self, path: &'b str) -> impl Iterator<Item = &'b Block<'t>> {
        self.0.iter().filter(move |block| block.section.path == path)
    }

    fn collect(&mut self, reading: &mut Reading<'_>, file: usize, root: &'t DeTable<'t>) {
        let top = reading.open(section(""), At { file, start: 0, end: 0 }, root);
        reading.integer(&top, "contract");
        for (key, span, value) in in_order(root) {
            let at = At::new(file, span);
            if matches!(key, "contract" | "include") {
                if file > 0 {
                    reading
                        .found
                        .error(at, format!("`{key}` belongs into the main file, not into an included one"))
                        .help("remove it here");
                }
                continue;
            }
            let known = top.section.row(key).is_some_and(|row| row.kind == super::bounds::Kind::Table);
            if !known {
                continue;
            }
            let table = match value.get_ref() {
                DeValue::Table(table) => table,
                DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {
                    let named = matches!(key, "zone" | "steer" | "alert" | "check" | "origin" | "ladder");
                    let right = if named { format!("[{key}.NAME]") } else { format!("[{key}]") };
                    reading
                        .found
                        .error(at, format!("`[[{key}]]` is a list of tables"))
                        .help(format!("write `{right}`, once for each"));
                    continue;
                }
                _ => {
                    reading
                        .found
                        .error(at, format!("`{key}` is a table"))
                        .help(format!("write it as `[{key}]` or `[{key}.NAME]` on a line of its own"));
                    continue;
                }
            };
            let header = At::new(file, value.span());
            match key {
                "cli" | "heartbeat" | "velocity" => self.push(section(key), key, at, table, header),
                "server" => self.server(reading, at, table, header),
                "admin" => self.admin(reading, at, table, header),
                "defaults" => self.defaults(reading, at, table, header),
                _ => self.named(reading, section(key), table, file),
            }
        }
    }

    fn admin(&mut self, reading: &mut Reading<'_>, at: At, table: &'t DeTable<'t>, header: At) {
        // `[admin.token.alice]` alone makes an `[admin]` without keys of its own.
        if table.keys().any(|key| key.get_ref() != "token") {
            self.push(section("admin"), "admin", at, table, header);
        }
        if let Some(tokens) = table.get("token") {
            match tokens.get_ref() {
                DeValue::Table(tokens) => self.named(reading, section("admin.token"), tokens, at.file),
                _ => {
                    reading
                        .found
                        .error(At::new(at.file, tokens.span()), "tokens have names")
                        .help("write `[admin.token.NAME]` with `secret_file = \"…\"`");
                }
            }
        }
    }

    /// `[server]` and the tables below it, each of which has a section of its own.
    fn server(&mut self, reading: &mut Reading<'_>, at: At, table: &'t DeTable<'t>, header: At) {
        self.push(section("server"), "server", at, table, header);
        for (key, span, value) in in_order(table) {
            let place = At::new(at.file, span);
            let path = format!("server.{key}");
            let Some(section) = SECTIONS.iter().find(|section| section.path == path) else { continue };
            match value.get_ref() {
                DeValue::Table(table) => self.push(section, key, place, table, At::new(at.file, value.span())),
                _ => {
                    reading.found.error(place, format!("`{key}` is a table")).help(format!("write `[{path}]`"));
                }
            }
        }
    }

    fn defaults(&mut self, reading: &mut Reading<'_>, at: At, table: &'t DeTable<'t>, header: At) {
        reading.open(section("defaults"), header, table);
        for (key, span, value) in in_order(table) {
            let place = At::new(at.file, span);
            let (path, header) = match key {
                "check" => ("defaults.check", At::new(at.file, value.span())),
                "steer" => ("defaults.steer", At::new(at.file, value.span())),
                _ => continue,
            };
            match value.get_ref() {
                DeValue::Table(table) => self.push(section(path), key, place, table, header),
                _ => {
                    reading.found.error(place, format!("`{key}` is a table")).help(format!("write `[{path}]`"));
                }
            }
        }
    }

    /// The tables below `[check]`, `[origin]` and so on, by their names.
    fn named(&mut self, reading: &mut Reading<'_>, of: &'static Section, tables: &'t DeTable<'t>, file: usize) {
        let mut said = false;
        for (name, span, value) in in_order(tables) {
            let at = At::new(file, span);
            let DeValue::Table(table) = value.get_ref() else {
                if std::mem::replace(&mut said, true) {
                    continue;
                }
                let what = format!("{} stands in `[{}]`, which only holds tables with names", quoted(name), of.path);
                let problem = reading.found.error(at, what);
                match of.row(name) {
                    Some(_) => problem.help(format!("give the table a name: `{}`", of.header)),
                    None => problem.help(format!("write `{}`", of.header)),
                };
                continue;
            };
            if let Some((dotted, inner, span)) = unquoted(of, name, table) {
                let what = format!("`[{}.{dotted}]` is read as tables within tables", of.path);
                reading
                    .found
                    .error(at, what)
                    .help(format!("a name with dots stands in quotes: `[{}.\"{dotted}\"]`", of.path));
                self.push(of, &dotted, at, inner, At::new(file, span.unwrap_or(value.span())));
                continue;
            }
            if !matches!(of.path, "zone" | "steer") && !is_plain(name) {
                let what = format!("{} is no name for `{}`", quoted(name), of.header);
                reading.found.error(at, what).help("names are 1 to 63 letters, digits, `-`, `_` and `.`");
            }
            self.push(of, name, at, table, At::new(file, value.span()));
        }
    }

    fn push(&mut self, section: &'static Section, name: &str, at: At, table: &'t DeTable<'t>, header: At) {
        self.0.push(Block { section, name: Located { value: name.to_owned(), at }, table, at: header });
    }

    /// The same table in two files is an error; within one file the parser has found it already.
    fn refuse_twins(&mut self, reading: &mut Reading<'_>) {
        let mut first: BTreeMap<(&str, String), At> = BTreeMap::new();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.0.retain(|block| {
            let (path, name) = (block.section.path, &block.name);
            let count = counts.entry(path).or_default();
            *count += 1;
            if *count > TABLES_MAX {
                if *count == TABLES_MAX + 1 {
                    reading
                        .found
                        .error(name.at, format!("more than {TABLES_MAX} tables of `{}`", block.section.header));
                }
                return false;
            }
            match first.get(&(path, name.value.clone())) {
                None => {
                    first.insert((path, name.value.clone()), name.at);
                    true
                }
                Some(&at) => {
                    let shown = block.section.header.replace("NAME", &name.value);
                    let problem = reading.found.error(name.at, format!("`{shown}` is defined twice"));
                    problem.label("defined again here").note(at, "first defined here");
                    problem.help("keep one of them: tables of the same name are not merged");
                    false
                }
            }
        });
    }
}

/// 1 to 63 letters, digits, `-`, `_`, `.`: safe in paths, URLs, metric labels and on the command line.
fn is_plain(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// `www.example.com` of `[steer.www.example.com]`, which should have been quoted; its table and header.
fn unquoted<'t>(
    of: &'static Section,
    name: &str,
    table: &'t DeTable<'t>,
) -> Option<(String, &'t DeTable<'t>, Option<Range<usize>>)> {
    let (mut dotted, mut table, mut header) = (name.to_owned(), table, None);
    while let Some((key, value)) = table.iter().next() {
        let key = key.get_ref().as_ref();
        let DeValue::Table(inner) = value.get_ref() else { break };
        if of.row(key).is_some() || nearest(key, of.keys()).is_some() {
            break;
        }
        dotted = format!("{dotted}.{key}");
        (table, header) = (inner, Some(value.span()));
    }
    (dotted != name).then_some((dotted, table, header))
}

/// Adds a fault of the syntax. The lines on which nothing more should be said, unless the file was still understood.
fn syntax_error(
    reading: &mut Reading<'_>,
    file: usize,
    text: &str,
    message: &str,
    span: Option<Range<usize>>,
) -> Option<Range<usize>> {
    let span = span.unwrap_or(text.len()..text.len());
    let at = At::new(file, span.clone());
    if message == "duplicate key" {
        let first = twin(text, span.start);
        let what = match text.get(line_of(text, span.start)) {
            Some(line) if line.trim_start().starts_with('[') => format!("`{}` is defined twice", header_of(line)),
            _ => format!("{} is set twice", quoted(reading.found.text_at(at))),
        };
        let problem = reading.found.error(at, what).label("again here");
        if let Some(first) = first {
            problem.note(At::new(file, first), "first here");
        }
        return None;
    }
    let problem = reading.found.error(at, format!("not TOML: {message}"));
    if message.contains("string values must be quoted") {
        problem.help(format!("put the value in quotes: `\"{}\"`", text.get(span.clone()).unwrap_or("…")));
    } else if message.contains("invalid basic string") {
        problem.help("close the string with `\"` on the same line");
    } else {
        problem.help("the line does not read as `key = value` or `[table]`");
    }
    Some(line_of(text, span.start))
}

/// The line that holds this byte, with its end.
fn line_of(text: &str, at: usize) -> Range<usize> {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let end = text.get(at..).and_then(|after| after.find('\n')).map_or(text.len(), |end| at + end);
    start..end + 1
}

fn header_of(line: &str) -> &str {
    let line = line.trim();
    line.rfind(']').and_then(|end| line.get(..=end)).unwrap_or(line)
}

/// Where the key or header that is repeated at `again` stood first.
fn twin(text: &str, again: usize) -> Option<Range<usize>> {
    let line = line_of(text, again);
    let repeated = text.get(line.start..line.end.min(text.len()))?.trim();
    let header = repeated.starts_with('[');
    let key = |line: &str| -> String {
        let name = if header { header_of(line) } else { line.split('=').next().unwrap_or("") };
        name.chars().filter(|c| !c.is_whitespace() && *c != '"' && *c != '\'').collect()
    };
    let (mut start, mut found) = (0, None);
    for earlier in text.get(..line.start)?.split_inclusive('\n') {
        let trimmed = earlier.trim();
        if !header && trimmed.starts_with('[') {
            found = None;
        }
        let comparable = if header { trimmed.starts_with('[') } else { trimmed.contains('=') };
        if comparable && key(trimmed) == key(repeated) && found.is_none() {
            let from = start + (earlier.len() - earlier.trim_start().len());
            let length = if header {
                header_of(trimmed).len()
            } else {
                trimmed.split('=').next().unwrap_or("").trim_end().len()
            };
            found = Some(from..from + length);
        }
        start += earlier.len();
    }
    found
}
