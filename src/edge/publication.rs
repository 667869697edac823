//! The one cell of the one snapshot: what is published here is what DNS serves and what the API shows.
//!
//! The only file that knows arc-swap. A [`Reader`] loads without a lock, once per batch, and lets go before it
//! blocks. Freeing a snapshot may mean freeing a zone of a million names, which no answering thread must ever do: so
//! each retired snapshot is kept by a background thread of low priority until that thread is its only owner.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use crate::snapshot::Snapshot;

/// Retired snapshots on their way to the freeing thread. When it is full, the publisher keeps them until its next
/// turn: it never waits.
const RETIRING: usize = 64;
/// How often the freeing thread looks whether the last reader has let go. Readers hold a batch, which is microseconds;
/// only who holds one on purpose (a page of the API) makes it look twice.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The lowest priority there is.
const NICE: i32 = 19;

/// The cell with its first snapshot: one end to write it, one to read it.
pub fn cell(first: Snapshot) -> (Publisher, Reader) {
    let cell = Arc::new(ArcSwap::from_pointee(first));
    let (retire, retired) = sync_channel(RETIRING);
    let freeing = thread::Builder::new().name("retire".into()).spawn(move || free(&retired));
    if let Err(error) = freeing {
        // The channel's other end is gone: the publisher frees what it retires.
        tracing::warn!(%error, "no thread to free retired snapshots");
    }
    (Publisher { cell: Arc::clone(&cell), retire, kept: Vec::new() }, Reader { cell })
}

/// The only writer of the cell. Not `Clone`.
#[derive(Debug)]
pub struct Publisher {
    cell: Arc<ArcSwap<Snapshot>>,
    retire: SyncSender<Arc<Snapshot>>,
    /// Retired, and not yet taken by the freeing thread.
    kept: Vec<Arc<Snapshot>>,
}

impl Publisher {
    /// From now on every load returns `next`. Does not wait for anyone who still reads the one before.
    pub fn publish(&mut self, next: Arc<Snapshot>) {
        self.kept.push(self.cell.swap(next));
        while let Some(retired) = self.kept.pop() {
            match self.retire.try_send(retired) {
                Ok(()) => {}
                Err(TrySendError::Full(retired)) => {
                    self.kept.push(retired);
                    return;
                }
                Err(TrySendError::Disconnected(retired)) => drop(retired),
            }
        }
    }
}

/// Reads the cell. Cheap to clone, lock-free.
#[derive(Clone, Debug)]
pub struct Reader {
    cell: Arc<ArcSwap<Snapshot>>,
}

impl Reader {
    /// The published snapshot, borrowed: to be let go before the thread blocks.
    pub fn load(&self) -> Loaded {
        Loaded(self.cell.load())
    }

    /// The published snapshot, to keep.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.cell.load_full()
    }
}

/// A snapshot on loan from the cell.
#[derive(Debug)]
pub struct Loaded(Guard<Arc<Snapshot>>);

impl Deref for Loaded {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// The freeing thread: ends, and frees what is left, when the publisher is gone.
fn free(retired: &Receiver<Arc<Snapshot>>) {
    // On Linux "process 0" is the calling thread. Without the permission it works all the same.
    let _ = rustix::process::setpriority_process(None, NICE);
    let mut held: Vec<Arc<Snapshot>> = Vec::new();
    loop {
        let next = if held.is_empty() {
            retired.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            retired.recv_timeout(LOOK_AGAIN)
        };
        match next {
            Ok(snapshot) => held.push(snapshot),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Nobody can come to own one that has left the cell, so a count of one stays one.
        held.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::edge::clock;
    use crate::snapshot::Generation;

    fn numbered(generation: u64) -> Snapshot {
        Snapshot { generation: Generation(generation), ..Snapshot::default() }
    }

    /// Waits for the freeing thread; the deadline only ends a broken run.
    fn is_freed(snapshot: &Weak<Snapshot>) -> bool {
        let began = clock::moment();
        while snapshot.strong_count() > 0 {
            if clock::moment().since(began) > Duration::from_secs(20) {
                return false;
            }
            thread::yield_now();
        }
        true
    }

    #[test]
    fn every_reader_sees_what_was_published_last() {
        let (mut publisher, reader) = cell(numbered(1));
        let other = reader.clone();
        assert_eq!(reader.load().generation, Generation(1));
        publisher.publish(Arc::new(numbered(2)));
        assert_eq!((reader.load().generation, other.snapshot().generation), (Generation(2), Generation(2)));
    }

    #[test]
    fn a_retired_snapshot_lives_until_its_last_reader_lets_go_and_is_freed_elsewhere() {
        let (mut publisher, reader) = cell(numbered(1));
        let held = reader.load();
        let first = Arc::downgrade(&reader.snapshot());
        publisher.publish(Arc::new(numbered(2)));
        assert_eq!(held.generation, Generation(1));
        assert_eq!(first.strong_count(), 2, "the reader, and the one who will free it");
        drop(held);
        assert!(is_freed(&first));
    }

    #[test]
    fn more_retired_than_the_channel_holds_are_all_freed_and_none_makes_the_publisher_wait() {
        let (mut publisher, reader) = cell(numbered(0));
        let mut all = Vec::new();
        for generation in 1..=u64::try_from(RETIRING * 3).unwrap() {
            all.push(Arc::downgrade(&reader.snapshot()));
            publisher.publish(Arc::new(numbered(generation)));
        }
        drop(publisher);
        assert!(all.iter().all(is_freed));
    }

    #[test]
    fn readers_never_see_a_generation_go_back_while_it_is_written() {
        let (mut publisher, reader) = cell(numbered(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                let reader = reader.clone();
                scope.spawn(move || {
                    let mut last = Generation(0);
                    while last < Generation(5_000) {
                        let seen = reader.load().generation;
                        assert!(seen >= last);
                        last = seen;
                    }
                });
            }
            for generation in 1..=5_000 {
                publisher.publish(Arc::new(numbered(generation)));
            }
        });
    }
}
