//! The disk, as the configuration and the zones read it, and what has changed on it since.
//!
//! A [`Disk`] remembers what was read in one loading and how it looked before it was read; so a change that comes
//! while files are read is seen too. Looking is done by asking for the file's facts again: it works on every file
//! system, and editors that replace files cannot get around it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::zone::Files;

/// The file system, with a memory of what was read.
#[derive(Debug, Default)]
pub struct Disk {
    read: Mutex<BTreeMap<PathBuf, Facts>>,
}

/// How the files of one loading looked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Looks(BTreeMap<PathBuf, Facts>);

/// What tells one state of a file from another. `None` if it is not there.
type Facts = Option<(u64, u64, i64, i64)>;

impl Disk {
    /// What was read so far, and how it looked just before.
    pub fn looks(&self) -> Looks {
        Looks(self.read.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn note(&self, path: &Path) {
        let facts = facts(path);
        self.read.lock().unwrap_or_else(PoisonError::into_inner).entry(path.to_owned()).or_insert(facts);
    }
}

impl Looks {
    /// How the same files look now.
    #[must_use]
    pub fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), facts(path))).collect())
    }

    /// These and those of `other`, which win: for a loading that failed before it had read all.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Files for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        self.note(path);
        // A folder opens, and fails only when it is read, with a riddle for a message; a pipe waits for its writer.
        let kind = fs::metadata(path)?.file_type();
        if kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"));
        }
        if !kind.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or device, not a file"));
        }
        Ok(Box::new(io::BufReader::with_capacity(64 << 10, File::open(path)?)))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        // What is opened next is the target: a link that leads to another one later would not show.
        self.note(path);
        fs::canonicalize(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.note(folder);
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }
}

fn facts(path: &Path) -> Facts {
    let facts = fs::metadata(path).ok()?;
    Some((facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_way_to_change_a_file_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "one").expect("written");
        let disk = Disk::default();
        let mut text = String::new();
        disk.open(&path("a")).expect("opens").read_to_string(&mut text).expect("reads");
        assert!(disk.open(&path("missing")).is_err() && disk.open(folder.path()).is_err());
        assert_eq!(text, "one");
        let looks = disk.looks();
        assert_eq!(looks, looks.now());

        fs::write(path("a"), "three").expect("written");
        let longer = looks.now();
        assert_ne!(longer, looks);
        fs::write(path("b"), "three").expect("written");
        fs::rename(path("b"), path("a")).expect("renamed");
        let replaced = looks.now();
        assert_ne!(replaced, longer);
        fs::write(path("missing"), "here").expect("written");
        assert_ne!(looks.now(), replaced);
    }

    #[test]
    fn a_link_that_leads_to_another_file_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "same").expect("written");
        fs::write(path("b"), "same").expect("written");
        symlink(path("a"), path("link")).expect("linked");
        let disk = Disk::default();
        let target = disk.canonical(&path("link")).expect("resolves");
        drop(disk.open(&target).expect("opens"));
        let looks = disk.looks();
        assert_eq!(looks, looks.now());
        symlink(path("b"), path("new")).expect("linked");
        fs::rename(path("new"), path("link")).expect("renamed");
        assert_ne!(looks.now(), looks);
    }

    #[test]
    fn a_pipe_is_refused_without_waiting_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("a pipe");
        // Open for writing too, so that to open it would not wait for ever.
        let _writer = File::options().read(true).write(true).open(&pipe).expect("opens");
        let error = Disk::default().open(&pipe).err().expect("refused");
        assert!(error.to_string().contains("not a file"), "{error}");
    }

    /// The folder of a zone file is that of the file, not that of a link to it.
    #[test]
    fn a_zone_file_that_is_a_link_includes_what_stands_beside_its_target() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("real/sub")).expect("made");
        fs::create_dir(path("links")).expect("made");
        let text = "$TTL 1h\n@ SOA ns.test. a. 1 2h 1h 4w 1h\n@ NS ns.test.\n$INCLUDE sub/b\n";
        fs::write(path("real/main"), text).expect("written");
        fs::write(path("real/sub/b"), "www A 192.0.2.1\nwww A 192.0.2.1\n").expect("written");
        symlink(path("real/main"), path("links/main")).expect("linked");
        let apex = crate::dns::Name::absolute("example.com").expect("a name");
        let zone = crate::zone::load::load(&Disk::default(), &apex, &path("links/main"), &|_| false);
        let zone = zone.unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(zone.records, 3);
        let real = fs::canonicalize(path("real/sub/b")).expect("resolves");
        assert_eq!(zone.report.problems[0].spot.file, real, "a warning names a file that is there");
    }

    #[test]
    fn a_new_file_in_a_listed_folder_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::default();
        assert!(disk.list(folder.path()).expect("lists").is_empty());
        let looks = disk.looks();
        fs::write(folder.path().join("new.toml"), "").expect("written");
        assert_eq!(disk.list(folder.path()).expect("lists").len(), 1);
        assert_ne!(looks.now(), looks);
    }
}
