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

use redb::{
    Builder, Database, Durability, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, TableError, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{Batch, State};
use crate::control::journal::{Entry, What};
use crate::time::Wall;

/// Entries the journal keeps: at ten an hour, more than a year. Verdicts go first.
const KEPT: u64 = 100_000;
/// Entries it keeps at most while an alert has not been told of them.
const KEPT_UNTOLD: u64 = 2 * KEPT;
/// It is trimmed by so many at once: each time it is read to its end.
const TRIMMED: u64 = KEPT / 10;
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

/// The state file, or why it cannot be written now though it could be read.
pub(super) type Writable = Result<StateFile, String>;

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
    /// Opens the state file in `folder`, or makes both; and what an earlier run left in it.
    pub(super) fn open(folder: &Path) -> Result<(Writable, State), OpenFault> {
        let path = path(folder);
        create(folder, &path).map_err(|error| OpenFault::Unavailable(format!("{}: {error}", path.display())))?;
        let told = |error: Error| fault(&path, error);
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(&path).map_err(|error| told(error.into()))?;
        Self { database }.past().map_err(told).map(|(written, state)| match written.map_err(told) {
            Ok(file) => (Ok(file), state),
            Err(OpenFault::InUse) => (Err(format!("{}: in use", path.display())), state),
            Err(OpenFault::Unreadable(why) | OpenFault::Unavailable(why)) => (Err(why), state),
        })
    }

    /// Reads first, then writes: a full disk must not cost what can be read. What a clean shutdown left behind is
    /// read once: from here on serials move again.
    fn past(self) -> Result<(Result<Self, Error>, State), Error> {
        let state = self.read()?;
        let written = self.make_tables();
        Ok((written.map(|()| self), state))
    }

    /// Commits a batch; all of it or nothing. `seen` is the time of writing.
    pub(super) fn write(&self, batch: &Batch, seen: Wall) -> Result<(), Error> {
        let write = self.begin()?;
        {
            let mut journal = write.open_table(JOURNAL)?;
            for entry in &batch.entries {
                journal.insert(entry.sequence, json(entry)?.as_slice())?;
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
            if batch.whole {
                cursors.retain(|_, _| false)?;
            }
            if let Some(alerts) = &batch.alerts {
                cursors.retain(|alert, _| alerts.contains(alert))?;
            }
            for (alert, &sequence) in &batch.cursors {
                cursors.insert(alert.as_str(), sequence)?;
            }
            if !batch.entries.is_empty() {
                let mut told = u64::MAX;
                for row in cursors.iter()? {
                    told = told.min(row?.1.value());
                }
                trim(&mut journal, KEPT, TRIMMED, told)?;
                trim(&mut journal, KEPT_UNTOLD, TRIMMED, u64::MAX)?;
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
        write.open_table(META)?.remove("clean")?;
        write.commit()?;
        Ok(())
    }

    fn read(&self) -> Result<State, Error> {
        let read = self.database.begin_read()?;
        let mut meta: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        if let Some(table) = present(read.open_table(META))? {
            for row in table.iter()? {
                let (key, bytes) = row?;
                meta.insert(key.value().to_owned(), bytes.value().to_vec());
            }
        }
        let bytes = |key: &str| meta.get(key).map(Vec::as_slice);
        let mut state = State {
            marks: bytes("marks").map(value).transpose()?.unwrap_or_default(),
            clean: bytes("clean").map(value).transpose()?.unwrap_or_default(),
            next_order: bytes("next-order").map(value).transpose()?.unwrap_or(1),
            seen: bytes("seen").map(value).transpose()?.unwrap_or_default(),
            ..State::default()
        };
        if let Some(table) = present(read.open_table(JOURNAL))? {
            state.last_sequence = table.last()?.map_or(0, |(sequence, _)| sequence.value());
        }
        if let Some(table) = present(read.open_table(DECISIONS))? {
            for row in table.iter()? {
                let (name, decision) = row?;
                state.decisions.insert(name.value().to_owned(), value(decision.value())?);
            }
        }
        if let Some(table) = present(read.open_table(ORDERS))? {
            for row in table.iter()? {
                let (number, order) = row?;
                state.orders.insert(number.value(), value(order.value())?);
            }
        }
        if let Some(table) = present(read.open_table(CURSORS))? {
            for row in table.iter()? {
                let (alert, sequence) = row?;
                state.cursors.insert(alert.value().to_owned(), sequence.value());
            }
        }
        Ok(state)
    }
}

/// Brings a journal of more than `kept + slack` entries back to `kept`: the oldest verdicts go first, then whatever
/// is oldest; nothing that comes after `told`.
fn trim(journal: &mut Table<'_, u64, &'static [u8]>, kept: u64, slack: u64, told: u64) -> Result<(), Error> {
    let entries = journal.len()?;
    if entries <= kept.saturating_add(slack) {
        return Ok(());
    }
    // The last one stays: numbers go on from it.
    let before_last = journal.last()?.map_or(0, |(sequence, _)| sequence.value()).saturating_sub(1);
    let mut excess = entries - kept;
    for is_any in [false, true] {
        journal.retain_in(..=told.min(before_last), |_, value| {
            let goes = excess > 0 && (is_any || is_verdict(value));
            excess -= u64::from(goes);
            !goes
        })?;
    }
    Ok(())
}

fn is_verdict(entry: &[u8]) -> bool {
    serde_json::from_slice::<Entry>(entry).is_ok_and(|entry| matches!(entry.what, What::Verdict { .. }))
}

/// `None` for a table that a new file does not have yet.
fn present<T>(opened: Result<T, TableError>) -> Result<Option<T>, Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::verdict::Class;

    /// A disk that fills up.
    #[derive(Clone, Debug)]
    struct Disk(Arc<(InMemoryBackend, AtomicBool)>);

    impl Disk {
        fn room(&self) -> io::Result<&InMemoryBackend> {
            let (memory, is_full) = &*self.0;
            if is_full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(memory) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room()?.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.room()?.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room()?.write(offset, data)
        }
    }

    #[test]
    fn a_full_disk_does_not_cost_what_can_be_read() {
        let disk = Disk(Arc::new((InMemoryBackend::new(), AtomicBool::new(false))));
        let open = || StateFile { database: Builder::new().create_with_backend(disk.clone()).expect("a database") };
        let (written, fresh) = open().past().expect("readable");
        assert_eq!((fresh.last_sequence, fresh.next_order), (0, 1));
        let entry = Entry { sequence: 7, at: Wall::from_millis(0), node: Arc::default(), what: What::Stopped };
        let batch = Batch { entries: vec![entry], next_order: Some(3), ..Batch::default() };
        let file = written.expect("writable");
        file.write(&batch, Wall::from_millis(0)).expect("written");
        drop(file);

        let file = open();
        disk.0.1.store(true, Ordering::Relaxed);
        let (written, past) = file.past().expect("readable");
        assert!(matches!(written, Err(Error::Io(_))), "{written:?}");
        assert_eq!((past.last_sequence, past.next_order), (7, 3));
        drop(written);
        disk.0.1.store(false, Ordering::Relaxed);
        assert!(open().past().expect("readable").0.is_ok());
    }

    #[test]
    fn the_journal_gives_up_verdicts_first_and_nothing_untold() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::open(folder.path()).expect("readable").0.expect("writable");
        let entry = |sequence| {
            let (word, from, to) = (<Arc<str>>::default, Class::Up.into(), Class::Down.into());
            let verdict = What::Verdict { origin: word(), target: word(), host: word(), from, to, why: None };
            let what = if sequence % 2 == 0 { verdict } else { What::Stopped };
            Entry { sequence, at: Wall::from_millis(0), node: Arc::default(), what }
        };
        let batch = Batch { entries: (11..=20).map(entry).collect(), ..Batch::default() };
        file.write(&batch, Wall::from_millis(0)).expect("written");
        for (kept, slack, told, left) in [
            (8, 2, u64::MAX, &[11, 12, 13, 14, 15, 16, 17, 18, 19, 20][..]),
            (8, 0, 11, &[12, 13, 14, 15, 16, 17, 18, 19, 20]),
            (7, 1, u64::MAX, &[13, 15, 16, 17, 18, 19, 20]),
            (1, 0, 17, &[18, 19, 20]),
            (1, 0, u64::MAX, &[20]),
        ] {
            let write = file.begin().expect("begun");
            trim(&mut write.open_table(JOURNAL).expect("a table"), kept, slack, told).expect("trimmed");
            write.commit().expect("committed");
            let kept: Vec<_> = file.entries(0, 100).expect("readable").iter().map(|entry| entry.sequence).collect();
            assert_eq!(kept, left);
        }
    }
}
