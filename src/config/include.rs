//! The files of a configuration: the one that was named, and those its `include` brings in.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::bounds::{CONTRACT, INCLUDES_MAX, section};
use super::errors::{At, Source, quoted};
use super::value::{Reading, Text, Unreadable, read_text};
use crate::zone::Files;

/// Reads the main file and all it includes into the findings' sources. False if the main file cannot be read or is
/// written for a newer contract: nothing else is worth saying then.
pub(crate) fn read(reading: &mut Reading<'_>, path: &Path) -> bool {
    let text = match read_text(reading.files, path) {
        Ok(text) => text,
        Err(Unreadable { why, help }) => {
            let what = format!("cannot read {}: {why}", quoted(&path.display().to_string()));
            let missing = reading.files.canonical(path).is_err();
            let help = if missing {
                "`failoverd init` writes a first configuration; `--config` names another file"
            } else {
                help
            };
            reading.found.error(None, what).help(help);
            return false;
        }
    };
    add(reading, path, text.clone());
    let (root, _) = DeTable::parse_recoverable(&text);
    let root = root.get_ref();
    if let Some(contract) = root.get("contract")
        && let DeValue::Integer(number) = contract.get_ref()
        && u64::from_str_radix(number.as_str(), number.radix()).is_ok_and(|number| number > CONTRACT)
    {
        let what = format!("this file is written for contract {number}, this failoverd knows {CONTRACT}");
        reading
            .found
            .error(At::new(0, contract.span()), what)
            .help("run a newer failoverd, or write the file for this one");
        return false;
    }
    // Opened without a check of its keys: that follows when all files are read.
    if root.contains_key("include") {
        let only: DeTable<'_> = root
            .iter()
            .filter(|(key, _)| key.get_ref() == "include")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let fields = reading.open(section(""), At { file: 0, start: 0, end: 0 }, &only);
        let mut known = BTreeSet::from([canonical(reading.files, path)]);
        for pattern in reading.texts(&fields, "include").unwrap_or_default() {
            include(reading, path, &pattern, &mut known);
        }
    }
    true
}

fn add(reading: &mut Reading<'_>, path: &Path, text: String) {
    reading.paths.push(path.to_owned());
    reading.found.sources.push(Arc::new(Source { path: path.display().to_string(), text }));
}

/// Reads all files of one pattern that are not `known` yet.
fn include(reading: &mut Reading<'_>, main: &Path, pattern: &Text, known: &mut BTreeSet<PathBuf>) {
    let found = match expand(reading.files, main.parent().unwrap_or(Path::new("")), &pattern.value) {
        Ok(found) => found,
        Err(why) => {
            let what = format!("cannot include {}: {why}", pattern.shown());
            reading
                .found
                .error(pattern.at, what)
                .help("patterns are relative to the file they stand in; `*` and `?` stand for parts of names");
            return;
        }
    };
    if found.is_empty() {
        reading.found.warning(pattern.at, format!("`include` {} matches no file", pattern.shown()));
    }
    for path in found {
        let canonical = canonical(reading.files, &path);
        if known.contains(&canonical) {
            continue;
        }
        if reading.paths.len() > INCLUDES_MAX {
            reading.found.error(pattern.at, format!("`include` brings in more than {INCLUDES_MAX} files"));
            return;
        }
        match read_text(reading.files, &path) {
            Ok(text) => {
                add(reading, &path, text);
                known.insert(canonical);
            }
            Err(Unreadable { why, help }) => {
                let what = format!("cannot read included {}: {why}", quoted(&path.display().to_string()));
                reading.found.error(pattern.at, what).help(help);
            }
        }
    }
}

/// What tells one file from another; the path itself where there is nothing to follow.
fn canonical(files: &dyn Files, path: &Path) -> PathBuf {
    files.canonical(path).unwrap_or_else(|_| path.to_owned())
}

/// The paths a pattern stands for, sorted. One without wildcards is itself, whether it exists or not.
fn expand(files: &dyn Files, folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = vec![folder.to_owned()];
    for component in Path::new(pattern).components() {
        let part = component.as_os_str();
        let wild = match component {
            Component::Normal(part) => part.to_str().filter(|part| part.contains(['*', '?'])),
            _ => None,
        };
        let Some(wild) = wild else {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let mut matched = Vec::new();
        for path in paths {
            let place = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let entries =
                files.list(place).map_err(|error| format!("{}: {error}", quoted(&place.display().to_string())))?;
            let names = entries.iter().filter_map(|entry| entry.file_name()?.to_str());
            matched.extend(names.filter(|name| matches(wild, name)).map(|name| path.join(name)));
            if matched.len() > INCLUDES_MAX {
                return Err(format!("it matches more than {INCLUDES_MAX} files"));
            }
        }
        paths = matched;
    }
    paths.sort();
    Ok(paths)
}

/// `*` is any run of characters, `?` any one; hidden files match only a pattern that begins with a dot.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where to go on after the last star took one more character.
    let mut again = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                again = Some((at + 1, seen));
                at += 1;
            }
            Some(&c) if c == '?' || c == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star, taken)) = again else { return false };
                again = Some((star, taken + 1));
                (at, seen) = (star, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use super::*;
    use crate::config::errors::Findings;

    /// A main file that includes all of a folder of as many files, each found under two names; counts what is
    /// resolved.
    struct Folder {
        files: usize,
        resolved: Cell<usize>,
    }

    impl Files for Folder {
        fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
            let is_main = path == Path::new("main");
            Ok(Box::new(if is_main { &b"include = [\"d/*\", \"d/*.toml\", \"main\"]"[..] } else { b"" }))
        }

        fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
            self.resolved.set(self.resolved.get() + 1);
            Ok(path.with_extension(""))
        }

        fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
            let names = (0..self.files).flat_map(|file| [format!("{file}"), format!("{file}.toml")]);
            Ok(names.map(|name| folder.join(name)).collect())
        }
    }

    #[test]
    fn each_path_is_resolved_once_and_each_file_read_once() {
        let folder = Folder { files: 60, resolved: Cell::new(0) };
        let mut reading = Reading { files: &folder, env: &|_| None, found: Findings::default(), paths: Vec::new() };
        assert!(read(&mut reading, Path::new("main")));
        assert_eq!(reading.paths.len(), 1 + 60);
        // The main file, both names of each, the second names again, the main file again.
        assert_eq!(folder.resolved.get(), 1 + 2 * 60 + 60 + 1);
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, fits) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", false),
            ("*.toml", "a.toml.bak", false),
            (".*", ".hidden", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("??", "ab", true),
            ("??", "abc", false),
            ("*", "", true),
            ("***", "x", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
