//! The state file: one redb database, and what its tables mean.
//!
//! ```text
//! journal    sequence          → entry, as JSON        the newest KEPT of them
//! decisions  steered name      → its last turn's end   what is served again after a restart
//! orders     number            → order in force
//! cursors    alert             → last sequence told
//! meta       marks | clean | seen | next-order → JSON
//! ```
//!
//! All tables but the journal follow from what is committed together with them, so any committed state is whole.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, Durability, Error, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{Batch, State};
use crate::control::journal::Entry;
use crate::time::Wall;

/// Entries the journal keeps: at ten an hour, more than a year.
const KEPT: u64 = 100_000;
/// redb's page cache: the journal is written in order and read at its end.
const CACHE_BYTES: usize = 4 << 20;

const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
const DECISIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("decisions");
const ORDERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("orders");
const CURSORS: TableDefinition<'_, &str, u64> = TableDefinition::new("cursors");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The open state file.
#[derive(Debug)]
pub(super) struct StateFile {
    database: Database,
}

/// Why there is no state file.
#[derive(Debug)]
pub(super) enum OpenFault {
    /// Another process holds it.
    InUse,
    /// It is there and cannot be understood.
    Unreadable(String),
    /// The disk, the folder or its permissions are at fault.
    Unavailable(String),
}

impl StateFile {
    /// Opens the state file in `folder`, or makes both. What a clean shutdown left behind is read once: from here on
    /// serials move again.
    pub(super) fn open(folder: &Path) -> Result<(Self, State), OpenFault> {
        let path = path(folder);
        create(folder, &path).map_err(|error| OpenFault::Unavailable(format!("{}: {error}", path.display())))?;
        let told = |error: Error| fault(&path, error);
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(&path).map_err(|error| told(error.into()))?;
        let file = Self { database };
        file.make_tables().map_err(told)?;
        let state = file.read().map_err(told)?;
        file.forget_clean().map_err(told)?;
        Ok((file, state))
    }

    /// Commits a batch; all of it or nothing. `seen` is the time of writing.
    pub(super) fn write(&self, batch: &Batch, seen: Wall) -> Result<(), Error> {
        let write = self.begin()?;
        {
            let mut journal = write.open_table(JOURNAL)?;
            for entry in &batch.entries {
                journal.insert(entry.sequence, json(entry)?.as_slice())?;
            }
            let last = journal.last()?.map_or(0, |(sequence, _)| sequence.value());
            while journal.first()?.is_some_and(|(sequence, _)| sequence.value() + KEPT <= last) {
                journal.pop_first()?;
            }
            let mut decisions = write.open_table(DECISIONS)?;
            let mut orders = write.open_table(ORDERS)?;
            if batch.whole {
                decisions.retain(|_, _| false)?;
                orders.retain(|_, _| false)?;
            }
            if let Some(steered) = &batch.steered {
                decisions.retain(|name, _| steered.contains(name))?;
            }
            for (name, decision) in &batch.decisions {
                decisions.insert(name.as_str(), json(decision)?.as_slice())?;
            }
            for (&number, order) in &batch.orders {
                match order {
                    Some(order) => orders.insert(number, json(order)?.as_slice())?,
                    None => orders.remove(number)?,
                };
            }
            let mut cursors = write.open_table(CURSORS)?;
            for (alert, &sequence) in &batch.cursors {
                cursors.insert(alert.as_str(), sequence)?;
            }
            let mut meta = write.open_table(META)?;
            let mut put = |key: &str, value: Vec<u8>| meta.insert(key, value.as_slice()).map(|_| ());
            if let Some(marks) = &batch.marks {
                put("marks", json(marks)?)?;
            }
            if let Some(clean) = &batch.clean {
                put("clean", json(clean)?)?;
            }
            if let Some(next) = batch.next_order {
                put("next-order", json(&next)?)?;
            }
            put("seen", json(&seen)?)?;
        }
        write.commit()?;
        Ok(())
    }

    /// Entries after `sequence`, oldest first, at most `limit`. One that a newer version wrote in a way this one does
    /// not know is left out.
    pub(super) fn entries(&self, sequence: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        let journal = self.database.begin_read()?.open_table(JOURNAL)?;
        let mut entries = Vec::new();
        for row in journal.range(sequence.saturating_add(1)..)?.take(limit) {
            let (_, value) = row?;
            entries.extend(serde_json::from_slice::<Entry>(value.value()).ok());
        }
        Ok(entries)
    }

    /// The last `limit` entries, oldest first.
    pub(super) fn latest(&self, limit: usize) -> Result<Vec<Entry>, Error> {
        let journal = self.database.begin_read()?.open_table(JOURNAL)?;
        let mut entries = Vec::new();
        for row in journal.iter()?.rev().take(limit) {
            let (_, value) = row?;
            entries.extend(serde_json::from_slice::<Entry>(value.value()).ok());
        }
        entries.reverse();
        Ok(entries)
    }

    fn begin(&self) -> Result<WriteTransaction, Error> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        // After a kill, opening takes no walk over the whole file.
        write.set_quick_repair(true);
        Ok(write)
    }

    fn make_tables(&self) -> Result<(), Error> {
        let write = self.begin()?;
        write.open_table(JOURNAL)?;
        write.open_table(DECISIONS)?;
        write.open_table(ORDERS)?;
        write.open_table(CURSORS)?;
        write.open_table(META)?;
        write.commit()?;
        Ok(())
    }

    fn forget_clean(&self) -> Result<(), Error> {
        let write = self.begin()?;
        write.open_table(META)?.remove("clean")?;
        write.commit()?;
        Ok(())
    }

    fn read(&self) -> Result<State, Error> {
        let read = self.database.begin_read()?;
        let mut meta: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for row in read.open_table(META)?.iter()? {
            let (key, bytes) = row?;
            meta.insert(key.value().to_owned(), bytes.value().to_vec());
        }
        let bytes = |key: &str| meta.get(key).map(Vec::as_slice);
        let mut state = State {
            last_sequence: read.open_table(JOURNAL)?.last()?.map_or(0, |(sequence, _)| sequence.value()),
            marks: bytes("marks").map(value).transpose()?.unwrap_or_default(),
            clean: bytes("clean").map(value).transpose()?.unwrap_or_default(),
            next_order: bytes("next-order").map(value).transpose()?.unwrap_or(1),
            seen: bytes("seen").map(value).transpose()?.unwrap_or_default(),
            ..State::default()
        };
        for row in read.open_table(DECISIONS)?.iter()? {
            let (name, decision) = row?;
            state.decisions.insert(name.value().to_owned(), value(decision.value())?);
        }
        for row in read.open_table(ORDERS)?.iter()? {
            let (number, order) = row?;
            state.orders.insert(number.value(), value(order.value())?);
        }
        for row in read.open_table(CURSORS)?.iter()? {
            let (alert, sequence) = row?;
            state.cursors.insert(alert.value().to_owned(), sequence.value());
        }
        Ok(state)
    }
}

/// Where the state file of `folder` is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("state.redb")
}

/// Moves a state file that cannot be understood out of the way; where to.
pub(super) fn set_aside(folder: &Path, now: Wall) -> io::Result<PathBuf> {
    let from = path(folder);
    let to = folder.join(format!("state.redb.bad-{}", now.to_string().replace(':', "")));
    fs::rename(&from, &to)?;
    sync(folder)?;
    Ok(to)
}

/// Makes the folder and an empty file, readable by nobody else; both are durable before anything relies on them.
fn create(folder: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => sync(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Is it the file, or what it lies on?
fn fault(path: &Path, error: Error) -> OpenFault {
    let text = format!("{}: {error}", path.display());
    match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => OpenFault::InUse,
        Error::Io(io) if !matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            OpenFault::Unavailable(text)
        }
        Error::PreviousIo => OpenFault::Unavailable(text),
        _ => OpenFault::Unreadable(text),
    }
}

fn json(of: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(of).map_err(|error| Error::Io(io::Error::other(error)))
}

fn value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Corrupted(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::journal::What;

    #[test]
    fn the_journal_keeps_the_newest() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, _) = StateFile::open(folder.path()).expect("a file");
        let entry = |sequence| Entry { sequence, at: Wall::from_millis(0), node: String::new(), what: What::Stopped };
        let write = |sequences: &mut dyn Iterator<Item = u64>| {
            let batch = Batch { entries: sequences.map(entry).collect(), ..Batch::default() };
            file.write(&batch, Wall::from_millis(0)).expect("written");
        };
        // A journal that begins anywhere, and one with gaps.
        write(&mut [10, 11, 12].into_iter());
        write(&mut [9 + KEPT, 10 + KEPT].into_iter());
        let kept: Vec<_> = file.entries(0, 10).expect("readable").iter().map(|entry| entry.sequence).collect();
        assert_eq!(kept, [11, 12, 9 + KEPT, 10 + KEPT]);
        let last: Vec<_> = file.latest(2).expect("readable").iter().map(|entry| entry.sequence).collect();
        assert_eq!(last, [9 + KEPT, 10 + KEPT]);
    }
}
