//! The daemon's log on standard error, which nothing waits for: whoever reads it may be slow, full or gone.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

/// Lines that may wait for the reader; what comes on top is dropped and counted.
const WAITING: usize = 1024;
/// How long the last lines may take at the end.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// Log lines go to standard error; `RUST_LOG` says how many. A service manager adds the time itself.
pub(super) fn start() -> Log {
    let log = Log::to(io::stderr());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let writer = log.clone();
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(move || writer.clone())
        // It would tell them on standard error, and panic where that cannot be written.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let set =
        if std::env::var_os("JOURNAL_STREAM").is_some() { format.without_time().try_init() } else { format.try_init() };
    // Somebody else's logging is as good as ours.
    drop(set);
    // The panic of a thread must not wait for the reader either.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    log
}

/// Takes lines for a thread that writes them. Never waits, never fails.
#[derive(Clone, Debug)]
pub(super) struct Log {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    /// Everything before it is written once this is dropped.
    Mark {
        _done: SyncSender<()>,
    },
}

impl Log {
    fn to(writer: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let log = Self { lines, dropped: Arc::default() };
        let dropped = Arc::clone(&log.dropped);
        // Without a thread there is no log; that is no reason not to answer.
        drop(thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&waiting, writer, &dropped)));
        log
    }

    /// Waits until what was logged is written, but not long.
    pub(super) fn finish(&self) {
        const TRY: Duration = Duration::from_millis(10);
        let (done, written) = sync_channel(0);
        let mut mark = Line::Mark { _done: done };
        let mut waited = Duration::ZERO;
        while let Err(TrySendError::Full(again)) = self.lines.try_send(mark) {
            if waited >= FLUSH_PATIENCE {
                return;
            }
            // Nobody has the mark yet: this only passes the time.
            let _ = written.recv_timeout(TRY);
            waited += TRY;
            mark = again;
        }
        // An error is either the end that was waited for, or the patience that has run out.
        let _ = written.recv_timeout(FLUSH_PATIENCE);
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Text(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until nobody logs any more. Lines that were lost are told once those that waited are written.
fn write_all(waiting: &Receiver<Line>, mut writer: impl Write, dropped: &AtomicU64) {
    loop {
        let line = waiting.try_recv().or_else(|_| {
            let lost = dropped.load(Ordering::Relaxed);
            if lost > 0 && writeln!(writer, "{lost} lines of this log were dropped: nobody took them").is_ok() {
                dropped.fetch_sub(lost, Ordering::Relaxed);
            }
            waiting.recv()
        });
        let Ok(line) = line else { return };
        match line {
            Line::Text(text) => {
                if writer.write_all(&text).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Line::Mark { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// Takes nothing while the gate is closed.
    struct Gated {
        gate: Arc<(Mutex<bool>, Condvar)>,
        taken: SyncSender<String>,
    }

    impl Write for Gated {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let (is_open, opened) = &*self.gate;
            drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
            self.taken.send(String::from_utf8_lossy(text).into_owned()).unwrap();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted_once_the_reader_is_back() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (taken, all) = sync_channel(2 * WAITING);
        let mut log = Log::to(Gated { gate: Arc::clone(&gate), taken });
        for number in 0..WAITING + 11 {
            log.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        let lost = log.dropped.load(Ordering::Relaxed);
        assert!((10..=11).contains(&lost), "{lost}: one line may be in the writer's hand");
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        log.finish();
        log.write_all(b"again\n").unwrap();
        log.finish();
        drop(log);
        let text: String = all.iter().collect();
        let told = format!("{lost} lines of this log were dropped: nobody took them\n");
        assert!(text.starts_with("0\n1\n2\n") && text.matches(&told).count() == 1, "{text}");
    }

    #[test]
    fn a_writer_that_fails_is_no_trouble() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut log = Log::to(Full);
        log.write_all(b"one\n").unwrap();
        log.finish();
        assert_eq!(log.dropped.load(Ordering::Relaxed), 1);
    }
}
