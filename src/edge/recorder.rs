//! The record on the disk, written beside the control loop.
//!
//! ```text
//!  control loop ──event, published──► chunk ──► (bounded) ──► thread: record/00000017.record
//!                                                                     record/00000018.record
//! ```
//!
//! The loop never waits: what the thread does not take is missing, and the segment after it says how much. A segment
//! begins with the configuration and with all that is known, so that it can be decided again even when those before it
//! are gone. The oldest go when there is too much.

mod segments; // files by number, the oldest removed

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::config::{Config, Recording};
use crate::control::carried::Carried;
use crate::control::journal::{Entry, What};
use crate::control::{Controller, Event};
use crate::edge::clock;
use crate::edge::pin::give_way;
use crate::record::{Began, Load, Writer, began};
use crate::time::{Moment, Now};

use segments::Segments;
pub use segments::{folder, list};

/// Chunks that may wait for the disk.
const WAITING: usize = 64;
/// A chunk is handed over when it is so large, …
const CHUNK: usize = 64 << 10;
/// … or so old, or tells a turn.
const AGE: Duration = Duration::from_millis(500);
/// A segment is this share of all that is kept.
const SHARE: u64 = 8;
/// Segments are no larger, so that each is read at once.
const SEGMENT_MAX: u64 = 64 << 20;
/// Distance of the tries after trouble.
const RETRY: Duration = Duration::from_secs(10);
/// Configurations that were read and may come into force; more come only when reloads are refused one after the other.
const LOADS: usize = 16;
/// What is written is on the disk itself at least this often.
const SYNC: Duration = Duration::from_secs(10);

/// The control loop's side.
#[derive(Debug)]
pub struct Recorder {
    setting: Recording,
    run: u64,
    /// Of the next segment.
    part: u64,
    work: SyncSender<Work>,
    shared: Arc<Shared>,
    /// Gone when the thread has ended.
    ended: Receiver<()>,
    segment: Option<Segment>,
    /// Events since the last segment ended.
    missing: u64,
    retry: Moment,
    /// What was read of each configuration that is or may come to be in force.
    loads: Vec<(Arc<Config>, Arc<Load>)>,
}

/// A segment under way.
#[derive(Debug)]
struct Segment {
    writer: Writer,
    bytes: u64,
    handed_over: Moment,
    has_turned: bool,
}

/// What both sides see.
#[derive(Debug, Default)]
struct Shared {
    /// The disk did not take something.
    is_in_trouble: AtomicBool,
    /// Events that were taken and not written.
    lost: AtomicU64,
    keep: AtomicU64,
}

#[derive(Debug)]
enum Work {
    Begin(Box<Began>),
    More {
        bytes: Vec<u8>,
        events: u64,
    },
    /// Nothing more follows for now.
    Rest,
}

impl Recorder {
    /// Begins at the start of a controller, if that is configured; `state` is the folder of the state.
    pub fn start(state: &Path, config: &Arc<Config>, load: Load, carried: Carried, now: Now) -> Self {
        let setting = config.server.record;
        let (work, waiting) = sync_channel(WAITING);
        let (end, ended) = sync_channel(1);
        let shared = Arc::new(Shared { keep: setting.keep.into(), ..Shared::default() });
        let thread = Thread { shared: Arc::clone(&shared), segments: Segments::of(folder(state)), waiting };
        let run = move || {
            thread.run();
            drop(end);
        };
        // Without a thread all of it is missing, which is no reason not to answer.
        if let Err(error) = thread::Builder::new().name("record".to_owned()).spawn(run) {
            tracing::error!(%error, "nothing is recorded: this host gives no thread");
        }
        let mut recorder = Self {
            setting,
            run: now.wall.millis().unsigned_abs(),
            part: 0,
            work,
            shared,
            ended,
            segment: None,
            missing: 0,
            retry: now.moment,
            loads: vec![(Arc::clone(config), Arc::new(load))],
        };
        if setting.on {
            recorder.begin(Arc::clone(&recorder.loads[0].1), carried, now);
        }
        recorder
    }

    /// What the controller is given at `now`.
    pub fn event(&mut self, event: &Event, now: Now) {
        if let Event::Reloaded { loaded, .. } = event {
            self.loads.push((Arc::clone(&loaded.config), Arc::new(Load::of(loaded))));
            if self.loads.len() > LOADS {
                self.loads.remove(1);
            }
        }
        match &mut self.segment {
            Some(segment) => segment.writer.event(event, now),
            None => self.missing += u64::from(self.setting.on),
        }
    }

    /// What was published at `now`, and when it was served if it was news.
    pub fn published(&mut self, now: Now, served: Option<Now>, entries: &[Entry]) {
        if let Some(segment) = &mut self.segment {
            segment.writer.published(now, served, entries);
            segment.has_turned |= entries.iter().any(|entry| matches!(entry.what, What::Turned(_)));
        }
    }

    /// The daemon serves.
    pub fn started(&mut self, version: &str, now: Now) {
        if let Some(segment) = &mut self.segment {
            segment.writer.started(version, now);
        }
    }

    /// After all of a batch was recorded: hands over what is due, and begins another segment where that is. The
    /// controller has published.
    pub fn turn(&mut self, controller: &Controller, now: Now) {
        let config = controller.config();
        // Those before the one in force will not come back.
        let in_force = self.loads.iter().position(|(known, _)| Arc::ptr_eq(known, config));
        self.loads.drain(..in_force.unwrap_or(0));
        if self.setting != config.server.record {
            self.configure(config.server.record);
        }
        let Some(segment) = &self.segment else {
            if self.setting.on && now.moment >= self.retry {
                self.begin_again(controller, now);
            }
            return;
        };
        let is_due =
            segment.has_turned || segment.writer.waiting() >= CHUNK || now.moment.since(segment.handed_over) >= AGE;
        if !is_due {
            return;
        }
        let is_long = segment.bytes >= (self.setting.keep / SHARE).min(SEGMENT_MAX) || segment.writer.is_full();
        self.hand_over(now);
        if is_long && self.segment.is_some() {
            self.begin_again(controller, now);
        }
    }

    /// Writes what is left of an orderly stop, and waits for it, but not longer than `patience`.
    pub fn end(mut self, now: Now, patience: Duration) {
        if let Some(segment) = &mut self.segment {
            segment.writer.stopped(now);
        }
        self.hand_over(now);
        let Self { work, ended, .. } = self;
        drop(work);
        // An error is the end that was waited for, or the patience that has run out.
        let _ = ended.recv_timeout(patience);
    }

    fn configure(&mut self, setting: Recording) {
        self.setting = setting;
        self.shared.keep.store(setting.keep, Ordering::Relaxed);
        if setting.on {
            return;
        }
        // What is recorded later does not follow on this.
        self.part += 1;
        if self.segment.is_some() {
            self.hand_over(clock::now());
            self.segment = None;
            self.missing = 0;
            // If it does not take it, the file is closed by the next one.
            let _ = self.work.try_send(Work::Rest);
        }
    }

    fn hand_over(&mut self, now: Now) {
        let Some(segment) = &mut self.segment else { return };
        (segment.handed_over, segment.has_turned) = (now.moment, false);
        let (bytes, events) = segment.writer.take();
        if bytes.is_empty() {
            return;
        }
        segment.bytes += bytes.len() as u64;
        if self.shared.is_in_trouble.load(Ordering::Relaxed) {
            self.give_up(events, now);
        } else if let Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) =
            self.work.try_send(Work::More { bytes, events })
        {
            let events = if let Work::More { events, .. } = work { events } else { 0 };
            self.give_up(events, now);
            tracing::error!("the disk is too slow for the record; events are missing from it");
        }
    }

    /// This segment ends here; another begins when there is room.
    fn give_up(&mut self, events: u64, now: Now) {
        self.segment = None;
        self.missing += events;
        self.retry = now.moment + RETRY;
    }

    fn begin_again(&mut self, controller: &Controller, now: Now) {
        let known = self.loads.first().filter(|(known, _)| Arc::ptr_eq(known, controller.config()));
        let Some((_, load)) = known.cloned() else { return };
        self.shared.is_in_trouble.store(false, Ordering::Relaxed);
        self.missing += self.shared.lost.swap(0, Ordering::Relaxed);
        self.begin(load, controller.carried(now), now);
    }

    fn begin(&mut self, load: Arc<Load>, carried: Carried, now: Now) {
        let (run, part, missing) = (self.run, self.part, self.missing);
        let began = Box::new(Began { run, part, missing, now, load, carried });
        self.retry = now.moment + RETRY;
        self.segment = None;
        if self.work.try_send(Work::Begin(began)).is_ok() {
            self.part += 1;
            self.missing = 0;
            let writer = Writer::new(now);
            self.segment = Some(Segment { writer, bytes: 0, handed_over: now.moment, has_turned: false });
        }
    }
}

/// The thread's side.
struct Thread {
    shared: Arc<Shared>,
    segments: Segments,
    waiting: Receiver<Work>,
}

impl Thread {
    fn run(mut self) {
        give_way();
        loop {
            match self.waiting.recv_timeout(SYNC) {
                Ok(work) => self.carry_out(work),
                Err(RecvTimeoutError::Timeout) => self.segments.sync(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.segments.close();
    }

    fn carry_out(&mut self, work: Work) {
        let keep = self.shared.keep.load(Ordering::Relaxed);
        let written = match &work {
            Work::Begin(what) => self.segments.begin(&began(what), keep).map_err(Some),
            Work::More { .. } if self.shared.is_in_trouble.load(Ordering::Relaxed) => Err(None),
            Work::More { bytes, .. } => self.segments.write(bytes, keep).map_err(Some),
            Work::Rest => {
                self.segments.close();
                Ok(())
            }
        };
        if let Err(error) = written {
            let events = match work {
                Work::Begin(began) => began.missing,
                Work::More { events, .. } => events,
                Work::Rest => 0,
            };
            self.shared.lost.fetch_add(events, Ordering::Relaxed);
            self.shared.is_in_trouble.store(true, Ordering::Relaxed);
            if let Some(error) = error {
                self.segments.close();
                tracing::error!(%error, "the record cannot be written; events are missing from it");
            }
        }
    }
}
