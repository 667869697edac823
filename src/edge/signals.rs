//! Signals: SIGHUP reloads, SIGTERM and SIGINT stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::edge::handle::Handle;

/// SIGHUP, caught from now on: first of all, for it would end a process that still reads its files.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Catches it; in a runtime.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn catch() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }
}

/// The signals we answer to, caught from now on.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches the others too; in a runtime.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn catch(Hangup(hangup): Hangup) -> io::Result<Self> {
        Ok(Self { hangup, terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Obeys them until told to stop, which is passed on through `stop`.
    pub async fn obey(mut self, handle: Handle, stop: watch::Sender<bool>) {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => break tracing::info!("SIGTERM: stopping"),
                Some(()) = self.interrupt.recv() => break tracing::info!("SIGINT: stopping"),
                Some(()) = self.hangup.recv() => {
                    tracing::info!("SIGHUP: reloading");
                    // A stop must not wait for a long loading. What becomes of it is journaled and logged.
                    tokio::select! {
                        _ = handle.reload_by(None, false) => {}
                        Some(()) = self.terminate.recv() => break tracing::info!("SIGTERM: stopping"),
                        Some(()) = self.interrupt.recv() => break tracing::info!("SIGINT: stopping"),
                    }
                }
            }
        }
        stop.send_replace(true);
    }
}
