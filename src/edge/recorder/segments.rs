//! The segments of a record: files by number, the oldest removed when there is too much.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::edge::clock;
use crate::record::chunk::{self, FIRST_LINE};
use crate::time::Moment;

/// How a segment's name ends.
const ENDING: &str = "record";
/// What is written is on the disk itself at least this often, as far as anything is.
const SYNC: Duration = Duration::from_secs(10);

/// Where the record of this state folder is.
pub fn folder(state: &Path) -> PathBuf {
    state.join("record")
}

/// The segments in a folder, oldest first, with their sizes.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    Ok(numbered(folder)?.into_values().collect())
}

fn numbered(folder: &Path) -> io::Result<BTreeMap<u64, (PathBuf, u64)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|ending| ending == ENDING)) {
            let size = fs::metadata(&path)?.len();
            found.insert(number, (path, size));
        }
    }
    Ok(found)
}

/// What is written, and how much there is.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    /// By number, with their sizes; known once the first begins.
    known: BTreeMap<u64, (PathBuf, u64)>,
    open: Option<(u64, File)>,
    synced: Moment,
}

impl Segments {
    pub(super) fn of(folder: PathBuf) -> Self {
        Self { folder, known: BTreeMap::new(), open: None, synced: Moment::default() }
    }

    /// Begins the next segment with this chunk.
    pub(super) fn begin(&mut self, bytes: &[u8], keep: u64) -> io::Result<()> {
        self.close();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.known = numbered(&self.folder)?;
        let number = self.known.last_key_value().map_or(1, |(last, _)| last + 1);
        let path = self.folder.join(format!("{number:08}.{ENDING}"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(FIRST_LINE)?;
        self.known.insert(number, (path, FIRST_LINE.len() as u64));
        self.open = Some((number, file));
        self.write(bytes, keep)
    }

    /// Adds a chunk to the segment that is open. None is: a defect, and no trouble.
    pub(super) fn write(&mut self, bytes: &[u8], keep: u64) -> io::Result<()> {
        let Some((number, file)) = &mut self.open else { return Ok(()) };
        let mut framed = Vec::with_capacity(bytes.len() + 16);
        chunk::put(&mut framed, bytes);
        file.write_all(&framed)?;
        let number = *number;
        if let Some((_, size)) = self.known.get_mut(&number) {
            *size += framed.len() as u64;
        }
        self.prune(number, keep);
        if clock::moment().since(self.synced) >= SYNC {
            self.sync();
        }
        Ok(())
    }

    /// Removes the oldest while there is too much; never the one that is open.
    fn prune(&mut self, open: u64, keep: u64) {
        while self.known.values().map(|(_, size)| size).sum::<u64>() > keep
            && let Some((&oldest, (path, _))) = self.known.first_key_value()
            && oldest != open
        {
            if let Err(error) = fs::remove_file(path) {
                tracing::error!(%error, "the oldest part of the record, {}, cannot be removed", path.display());
            }
            self.known.remove(&oldest);
        }
    }

    /// What is written is to outlive a loss of power.
    pub(super) fn sync(&mut self) {
        self.synced = clock::moment();
        if let Some((_, file)) = &self.open
            && let Err(error) = file.sync_data()
        {
            tracing::error!(%error, "the record cannot be brought to the disk");
        }
    }

    pub(super) fn close(&mut self) {
        self.sync();
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::chunk::Chunks;

    #[test]
    fn the_oldest_segments_go_and_the_open_one_stays() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = folder(scratch.path());
        let mut segments = Segments::of(folder.clone());
        for number in 1..=6u8 {
            segments.begin(&[number; 10], 400).expect("begun");
            segments.write(&[number; 80], 400).expect("written");
        }
        segments.close();
        let kept = list(&folder).expect("listed");
        let numbers: Vec<_> = kept.iter().map(|(path, _)| path.file_stem().unwrap().to_str().unwrap()).collect();
        assert_eq!(numbers, ["00000004", "00000005", "00000006"]);
        assert!(kept.iter().map(|(_, size)| size).sum::<u64>() <= 400);
        // Another run goes on with the numbers.
        Segments::of(folder.clone()).begin(&[7], 10_000).expect("begun");
        let last = list(&folder).expect("listed").pop().expect("one").0;
        assert!(last.ends_with("00000007.record"));
        let text = fs::read(last).expect("read");
        assert_eq!(Chunks::of(&text).expect("a segment").next(), Some(&[7][..]));
    }

    #[test]
    fn one_that_is_too_large_alone_stays_while_it_is_written() {
        let scratch = tempfile::tempdir().expect("a folder");
        let mut segments = Segments::of(folder(scratch.path()));
        segments.begin(&[1; 500], 100).expect("begun");
        segments.write(&[2; 500], 100).expect("written");
        assert_eq!(list(&folder(scratch.path())).expect("listed").len(), 1);
    }
}
