//! Storage: journal, decisions, orders, reserved numbers and alert cursors, durable.
//!
//! One thread owns the state file. The control loop hands over and never waits: what is pending becomes one
//! transaction as soon as the one before is done, so a slow disk makes larger transactions and nothing else. What
//! the thread has done is read back by [`Storage::progress`].
//!
//! ```text
//!  control loop ──push, reserve──► pending ──► thread: one commit ──► state.redb
//!       ▲                             (bounded)      │                    │
//!       └────────────── progress ◄───────────────────┘                    ▼
//!                                               committed ──► events, alerts, replies to orders
//! ```
//!
//! A disk that is slow, full, hung or gone is trouble, told in words, and tried again until it is better. A state
//! file that cannot be understood is set aside; the thread goes on with a new one.

mod batch;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::control::journal::Entry;
use crate::control::{Marks, Restored};
use crate::dns::Name;
use crate::dns::Serial;
use crate::edge::clock;
use crate::edge::pin::give_way;
use crate::time::Moment;

use batch::{Batch, State, key};
use file::{OpenFault, StateFile, Writable};

/// How long the start waits for the state file: a dead disk must not keep the nameserver from answering.
const OPEN_PATIENCE: Duration = Duration::from_secs(2);
/// A commit that takes longer than this is trouble, though it may still succeed.
const SLOW: Duration = Duration::from_secs(2);
/// Distance of the tries after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Distance of the tries to get a file that another process holds.
const RETRY_IN_USE: Duration = Duration::from_millis(50);
/// The decisions in the file are known to be the served ones at least this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// The storage thread, from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage(Arc<Shared>);

/// Another process uses the state folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InUse {
    pub folder: PathBuf,
}

/// What the storage thread has done so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Entries up to this number are durable, as the controller counts them.
    pub durable: u64,
    /// Marks that became durable since the last look.
    pub reserved: Option<Marks>,
    /// Why nothing is committed now, in words.
    pub trouble: Option<String>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    desk: Mutex<Desk>,
    /// For the storage thread: something is pending. For those who wait for it: something is done.
    changed: Condvar,
    /// For the control loop: look at the progress.
    moved: Notify,
    /// Last durable entry, as the controller counts.
    durable: watch::Sender<u64>,
    /// Last durable entry, as the journal counts; alerts and events are told up to here.
    committed: watch::Sender<u64>,
}

/// What both sides see.
#[derive(Debug, Default)]
struct Desk {
    pending: Batch,
    /// Since when something waits to become durable.
    waiting_since: Option<Moment>,
    trouble: Option<String>,
    reserved: Option<Marks>,
    /// What the start is told; taken once.
    opened: Option<Result<Restored, InUse>>,
    /// The start did not wait: the running controller knows nothing of the file's past.
    gone_on: bool,
    /// What the running controller does not know of the file's past, in words: a restart mends it.
    late: Option<String>,
    /// The last entry in the file as this run found it, as the journal counts.
    found: u64,
    /// Cursors as last set, once the file's are known.
    cursors: Option<BTreeMap<String, u64>>,
    /// The alerts there are, once somebody has said so.
    alerts: Option<BTreeSet<String>>,
    file: Option<Arc<StateFile>>,
    closing: bool,
    closed: bool,
}

impl Desk {
    /// Takes in the cursors of the file, but for those of alerts that are no more.
    fn take_cursors(&mut self, cursors: &BTreeMap<String, u64>) {
        let mut cursors = cursors.clone();
        if let Some(alerts) = &self.alerts {
            cursors.retain(|alert, _| alerts.contains(alert));
        }
        self.cursors = Some(cursors);
    }
}

impl Storage {
    /// Opens the state file in `folder` on a thread of its own, and what an earlier run left in it. If that takes too
    /// long or cannot be done, the start goes on without, and the thread goes on trying.
    ///
    /// # Errors
    /// If another process holds the state file, and does not let go of it in time.
    pub fn start(folder: &Path) -> Result<(Self, Restored), InUse> {
        let storage = Self(Arc::new(Shared {
            folder: folder.to_owned(),
            desk: Mutex::default(),
            changed: Condvar::new(),
            moved: Notify::new(),
            durable: watch::Sender::new(0),
            committed: watch::Sender::new(0),
        }));
        let shared = Arc::clone(&storage.0);
        let spawned = thread::Builder::new().name("storage".into()).spawn(move || Thread::new(shared).run());
        if let Err(error) = spawned {
            let mut desk = storage.0.desk();
            desk.trouble = Some(format!("no thread for the storage: {error}"));
            desk.closed = true;
            return Ok((storage.clone(), Restored { next_sequence: 1, next_order: 1, ..Restored::default() }));
        }
        let mut desk = storage.0.wait(OPEN_PATIENCE, |desk| desk.opened.is_some());
        let opened = desk.opened.take();
        desk.gone_on = opened.is_none();
        if desk.gone_on {
            desk.trouble = Some(format!("the disk of {} does not answer", folder.display()));
        }
        drop(desk);
        match opened {
            Some(Ok(restored)) => Ok((storage, restored)),
            Some(Err(in_use)) => Err(in_use),
            None => Ok((storage, Restored { next_sequence: 1, next_order: 1, ..Restored::default() })),
        }
    }

    /// Hands an entry over.
    pub fn push(&self, entry: Entry) {
        self.push_all([entry]);
    }

    /// Hands entries over, in this order.
    pub fn push_all(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_some() {
            self.hand_over(|batch| entries.for_each(|entry| batch.push(entry)));
        }
    }

    /// Asks for these numbers to be reserved, besides those that wait.
    pub fn reserve(&self, marks: Marks) {
        self.hand_over(|batch| batch.reserve(&marks));
    }

    /// Says which names are steered: decisions about others are forgotten.
    pub fn steered<'n>(&self, names: impl Iterator<Item = &'n Name>) {
        let names: BTreeSet<_> = names.map(key).collect();
        self.hand_over(|batch| batch.steered = Some(names));
    }

    /// The last sequence number told by this alert, as the journal counts. `None` if it has told nothing yet.
    pub fn cursor(&self, alert: &str) -> Option<u64> {
        self.0.desk().cursors.as_ref()?.get(alert).copied()
    }

    /// Moves an alert's cursor, unless there is no such alert any more.
    pub fn set_cursor(&self, alert: &str, sequence: u64) {
        let mut desk = self.0.desk();
        if desk.alerts.as_ref().is_some_and(|alerts| !alerts.contains(alert)) {
            return;
        }
        if let Some(cursors) = &mut desk.cursors {
            cursors.insert(alert.to_owned(), sequence);
        }
        desk.pending.cursors.insert(alert.to_owned(), sequence);
        self.handed_over(desk);
    }

    /// Says which alerts there are: the cursors of others are forgotten, so that one that comes back begins anew.
    pub fn alerts<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let names: BTreeSet<_> = names.map(str::to_owned).collect();
        let mut desk = self.0.desk();
        if let Some(cursors) = &mut desk.cursors {
            cursors.retain(|alert, _| names.contains(alert));
        }
        desk.pending.keep_cursors(names.clone());
        desk.alerts = Some(names);
        self.handed_over(desk);
    }

    /// The last entry that this run found, as the journal counts; 0 until the file is open.
    pub fn found(&self) -> u64 {
        self.0.desk().found
    }

    /// True once the file's past is known: cursors and entries mean something.
    pub fn is_open(&self) -> bool {
        self.0.desk().cursors.is_some()
    }

    /// Waits until [`Storage::progress`] may have something new. One waiter.
    pub async fn moved(&self) {
        self.0.moved.notified().await;
    }

    /// What is done, and what is wrong.
    pub fn progress(&self, now: Moment) -> Progress {
        let mut desk = self.0.desk();
        Progress {
            durable: *self.0.durable.borrow(),
            reserved: desk.reserved.take(),
            trouble: self.0.trouble(&desk, now),
        }
    }

    /// Why nothing is committed now, or what of the last run is not in force, in words.
    pub fn trouble(&self) -> Option<String> {
        let desk = self.0.desk();
        self.0.trouble(&desk, clock::moment()).or_else(|| desk.late.clone())
    }

    /// Waits until asked-for numbers are reserved; false if that takes too long.
    pub fn wait_reserved(&self, patience: Duration) -> bool {
        self.0.wait(patience, |desk| desk.reserved.is_some() || desk.trouble.is_some()).reserved.is_some()
    }

    /// Follows the last durable entry, as the controller counts.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.0.durable.subscribe()
    }

    /// Follows the last durable entry, as the journal counts.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.0.committed.subscribe()
    }

    /// Durable entries after `sequence`, oldest first. Reads the disk: not for the control loop.
    ///
    /// # Errors
    /// In words, if the file cannot be read now.
    pub fn entries(&self, sequence: u64, limit: usize) -> Result<Vec<Entry>, String> {
        self.read(|file| file.entries(sequence, limit))
    }

    /// The last durable entries, oldest first. Reads the disk: not for the control loop.
    ///
    /// # Errors
    /// In words, if the file cannot be read now.
    pub fn latest(&self, limit: usize) -> Result<Vec<Entry>, String> {
        self.read(|file| file.latest(limit))
    }

    /// Writes what is pending and, with `clean`, that the serials in it may be served again; then ends the thread.
    /// False if that takes too long.
    pub fn close(&self, clean: Option<Vec<(Name, Serial, u64)>>, patience: Duration) -> bool {
        self.hand_over(|batch| batch.clean = clean);
        self.0.desk().closing = true;
        self.0.changed.notify_all();
        let desk = self.0.wait(patience, |desk| desk.closed);
        desk.closed && desk.pending.is_empty()
    }

    fn hand_over(&self, put: impl FnOnce(&mut Batch)) {
        let mut desk = self.0.desk();
        put(&mut desk.pending);
        self.handed_over(desk);
    }

    fn handed_over(&self, mut desk: MutexGuard<'_, Desk>) {
        desk.waiting_since.get_or_insert_with(clock::moment);
        drop(desk);
        self.0.changed.notify_all();
    }

    fn read<T>(&self, read: impl FnOnce(&StateFile) -> Result<T, redb::Error>) -> Result<T, String> {
        let file = self.0.desk().file.clone();
        let file = file.ok_or_else(|| format!("{} is not open", file::path(&self.0.folder).display()))?;
        read(&file).map_err(|error| error.to_string())
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk once `done` holds, or `patience` is over.
    fn wait(&self, patience: Duration, done: impl Fn(&Desk) -> bool) -> MutexGuard<'_, Desk> {
        let waited = self.changed.wait_timeout_while(self.desk(), patience, |desk| !done(desk));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn trouble(&self, desk: &Desk, now: Moment) -> Option<String> {
        let hangs = || {
            let since = desk.waiting_since?;
            let folder = self.folder.display();
            (now.since(since) > SLOW).then(|| format!("the disk of {folder} takes more than 2 s to write"))
        };
        let trouble = desk.trouble.clone().or_else(hangs)?;
        Some(match desk.pending.lost {
            0 => trouble,
            lost => format!("{trouble}; {lost} journal entries are lost"),
        })
    }

    fn tell(&self) {
        self.changed.notify_all();
        self.moved.notify_one();
    }
}

/// The storage thread's own side.
struct Thread {
    shared: Arc<Shared>,
    file: Option<Arc<StateFile>>,
    /// What the file holds, or would.
    state: State,
    /// Taken from the desk and not yet committed.
    batch: Batch,
    /// Added to the controller's numbers to get the journal's: not zero if the file opened only after the start.
    shift: u64,
    /// The same for the numbers of orders: those up to it are of the last run.
    order_shift: u64,
    /// The controller has been given the file's past, or has gone on without any.
    handed_over: bool,
}

impl Thread {
    fn new(shared: Arc<Shared>) -> Self {
        let (state, batch) = Default::default();
        Self { shared, file: None, state, batch, shift: 0, order_shift: 0, handed_over: false }
    }

    fn run(mut self) {
        give_way();
        loop {
            let tried = match self.file {
                Some(_) => self.commit(),
                None => self.open(),
            };
            let mut desk = self.shared.desk();
            match &tried {
                Err(trouble) => desk.trouble = Some(trouble.clone()),
                // An open file is not well again before what waited for it is in it.
                Ok(()) if self.batch.is_empty() => desk.trouble = None,
                Ok(()) => {}
            }
            if tried.is_ok() && self.file.is_some() && self.batch.is_empty() && desk.pending.is_empty() {
                desk.waiting_since = None;
            }
            if desk.closing && desk.pending.is_empty() && self.batch.is_empty() {
                desk.file = None;
                drop(desk);
                return self.end();
            }
            drop(desk);
            self.shared.tell();
            self.pause(tried.is_ok());
        }
    }

    /// Lets go of the file, so that whoever waited for the end can have it.
    fn end(self) {
        let Self { shared, file, .. } = self;
        drop(file);
        shared.desk().closed = true;
        shared.tell();
    }

    /// Waits for work, or for the time to try again.
    fn pause(&self, well: bool) {
        if well {
            let idle = |desk: &Desk| !desk.pending.is_empty() || desk.closing || !self.batch.is_empty();
            drop(self.shared.wait(SIGN_OF_LIFE, idle));
        } else {
            // What is pending keeps waiting; only the end of the process is worth another try at once.
            let was_closing = self.shared.desk().closing;
            drop(self.shared.wait(RETRY, |desk| desk.closing != was_closing));
        }
    }

    /// Commits what is pending in one transaction.
    fn commit(&mut self) -> Result<(), String> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let mut later = std::mem::take(&mut self.shared.desk().pending);
        later.shift(self.shift, self.order_shift);
        self.state.supersede(self.order_shift, &mut later);
        self.state.follow(&mut later);
        self.batch.append(later);
        let taken = clock::now();
        let written = catch_unwind(AssertUnwindSafe(|| file.write(&self.batch, taken.wall)));
        let trouble = match written {
            Ok(Ok(())) => {
                self.committed(taken.moment);
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database broke down".to_owned(),
        };
        // redb wants the file opened again after a failure.
        drop(file);
        self.file = None;
        self.shared.desk().file = None;
        Err(format!("{}: {trouble}", file::path(&self.shared.folder).display()))
    }

    fn committed(&mut self, taken: Moment) {
        let batch = std::mem::take(&mut self.batch);
        if batch.lost > 0 {
            tracing::error!(lost = batch.lost, "journal entries were lost while storage could not commit");
        }
        let mut desk = self.shared.desk();
        if batch.marks.is_some() {
            desk.reserved = batch.marks;
        }
        desk.waiting_since = if desk.pending.is_empty() { None } else { Some(taken) };
        drop(desk);
        if let Some(last) = batch.entries.last() {
            self.state.last_sequence = last.sequence;
            self.shared.durable.send_replace(last.sequence - self.shift);
            self.shared.committed.send_replace(last.sequence);
        }
    }

    /// Opens the file and, the first time, hands its past over.
    fn open(&mut self) -> Result<(), String> {
        let opened = catch_unwind(AssertUnwindSafe(|| StateFile::open(&self.shared.folder)));
        let opened = opened.unwrap_or_else(|_| Err(OpenFault::Unreadable("the database broke down".to_owned())));
        let (file, state) = match opened {
            Ok(opened) => opened,
            Err(OpenFault::InUse) => return self.in_use(),
            Err(OpenFault::Unreadable(why)) => {
                let aside = file::set_aside(&self.shared.folder, clock::now().wall).map_err(|error| {
                    self.go_on_without();
                    format!("{why}; and it cannot be set aside: {error}")
                })?;
                tracing::error!(%why, "the state file is unreadable; it is set aside as {}", aside.display());
                return self.open_new();
            }
            Err(OpenFault::Unavailable(why)) => {
                self.go_on_without();
                return Err(why);
            }
        };
        self.opened(file, state)
    }

    /// After a file was set aside. A second failure is not about its content.
    fn open_new(&mut self) -> Result<(), String> {
        match StateFile::open(&self.shared.folder) {
            Ok((file, state)) => self.opened(file, state),
            Err(OpenFault::InUse) => self.in_use(),
            Err(OpenFault::Unreadable(why) | OpenFault::Unavailable(why)) => {
                self.go_on_without();
                Err(why)
            }
        }
    }

    /// Goes on with what the file holds, also where nothing can be written to it yet.
    fn opened(&mut self, file: Writable, state: State) -> Result<(), String> {
        let mut desk = self.shared.desk();
        self.handed_over |= desk.gone_on;
        if !self.handed_over {
            self.handed_over = true;
            desk.opened = Some(Ok(state.restored()));
            desk.found = state.last_sequence;
            desk.take_cursors(&state.cursors);
            self.shared.durable.send_replace(state.last_sequence);
            self.shared.committed.send_replace(state.last_sequence);
            self.state = state;
        } else if file.is_ok() {
            if desk.cursors.is_none() {
                // The controller counts from 1; its entries and orders follow those of the file. All that this run
                // has to say still waits, and is written over what the file holds.
                self.shift = state.last_sequence;
                self.order_shift = state.next_order.saturating_sub(1);
                desk.found = state.last_sequence;
                desk.take_cursors(&state.cursors);
                desk.late = state.late();
                if let Some(late) = &desk.late {
                    tracing::error!("{late}");
                }
                self.shared.committed.send_replace(state.last_sequence);
                self.state = state;
            } else {
                self.state.raise(&state.marks);
                // What follows from the entries that wait comes after what was known before them.
                let waiting = std::mem::replace(&mut self.batch, self.state.batch());
                self.batch.append(waiting);
            }
        }
        let file = Arc::new(file?);
        desk.file = Some(Arc::clone(&file));
        self.file = Some(file);
        Ok(())
    }

    /// Another process holds the file: the one before us may still be ending.
    fn in_use(&mut self) -> Result<(), String> {
        let folder = self.shared.folder.clone();
        let trouble = format!("another process uses {}", file::path(&folder).display());
        if self.handed_over || self.shared.desk().gone_on {
            return Err(trouble);
        }
        let began = clock::moment();
        while clock::moment().since(began) < OPEN_PATIENCE.saturating_sub(RETRY_IN_USE * 4) {
            drop(self.shared.wait(RETRY_IN_USE, |desk| desk.closing));
            match StateFile::open(&folder) {
                Ok((file, state)) => return self.opened(file, state),
                Err(OpenFault::InUse) => {}
                // The next round tells it in full.
                Err(_) => break,
            }
        }
        let mut desk = self.shared.desk();
        desk.opened = Some(Err(InUse { folder }));
        // Nobody will come for more.
        desk.closing = true;
        Err(trouble)
    }

    /// The start need not wait for a file that cannot be had now.
    fn go_on_without(&mut self) {
        if !self.handed_over {
            self.handed_over = true;
            let mut desk = self.shared.desk();
            desk.opened.get_or_insert(Ok(Restored { next_sequence: 1, next_order: 1, ..Restored::default() }));
        }
    }
}
