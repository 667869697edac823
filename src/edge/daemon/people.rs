//! What people and their machines see: HTTP API, metrics, alerts, signals, the file watch. On a thread of its own.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::config::Config;
use crate::edge::alerts::{self, Undelivered};
use crate::edge::encrypted::certificate::Certificates;
use crate::edge::handle::Handle;
use crate::edge::nameserver::Nameserver;
use crate::edge::pin::give_way;
use crate::edge::signals::Signals;
use crate::edge::storage::Storage;
use crate::edge::{admin, ops, secrets};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long files must have stayed the same before they are read.
const QUIET: Duration = Duration::from_secs(2);
/// Distance of the tries to read or make a secret.
const SECRETS_AGAIN: Duration = Duration::from_secs(2);

/// How soon a part that broke down begins anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Everything that serves people, before it runs.
pub(super) struct People {
    pub(super) handle: Handle,
    pub(super) config: Arc<Config>,
    pub(super) storage: Storage,
    pub(super) undelivered: Undelivered,
    pub(super) nameserver: Arc<Nameserver>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) admin: TcpListener,
    pub(super) ops: TcpListener,
}

impl People {
    /// Runs until `stopped`. With `signals`, a signal may say so.
    pub(super) async fn run(self, signals: Option<(Signals, watch::Sender<bool>)>, mut stopped: watch::Receiver<bool>) {
        give_way();
        let Self { handle, config, storage, undelivered, nameserver, certificates, admin, ops } = self;
        let mut all = JoinSet::new();
        if let Some((signals, stop)) = signals {
            all.spawn(signals.obey(handle.clone(), stop));
        }
        let (to, queries): (Handle, ops::Queries) = (handle.clone(), Arc::new(move || counted(&nameserver)));
        all.spawn(kept("metrics and health", AGAIN, move || {
            let (ops, to, queries) = (ops.try_clone().map(listener), to.clone(), Arc::clone(&queries));
            async move {
                match ops {
                    Ok(Some(ops)) => ops::serve(ops, to, queries).await,
                    // Told already, or no descriptor is left: the rest goes on.
                    _ => std::future::pending().await,
                }
            }
        }));
        let to = handle.clone();
        all.spawn(kept("the watch of files", AGAIN, move || watch_files(to.clone())));
        if let Some(certificates) = certificates {
            let to = handle.clone();
            let keep = move || Arc::clone(&certificates).keep(to.configs());
            all.spawn(kept("the watch of the certificate", AGAIN, keep));
        }
        let admin = Arc::new(admin);
        all.spawn(kept("the API and alerts", AGAIN, move || {
            with_secrets(handle.clone(), Arc::clone(&config), storage.clone(), undelivered.clone(), Arc::clone(&admin))
        }));
        let _ = stopped.wait_for(|&stop| stop).await;
        all.shutdown().await;
    }
}

/// What the answering threads have counted: answers, and what happens at their sockets.
fn counted(nameserver: &Nameserver) -> Vec<(&'static str, &'static str, u64)> {
    let sockets = nameserver.sockets();
    nameserver.tally().rows().chain(sockets.rows()).collect()
}

/// Runs a part for as long as this is awaited: one that breaks down or ends is told, and begins anew after `pause`.
async fn kept<F>(what: &str, pause: Duration, mut part: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut running = JoinSet::new();
        running.spawn(part());
        match running.join_next().await {
            Some(Err(error)) => {
                tracing::error!(%error, "{what} broke down; this is a defect of failoverd. It begins anew");
            }
            _ => tracing::error!("{what} ended. It begins anew"),
        }
        sleep(pause).await;
    }
}

/// What needs the secrets of the state folder, which may lie on a disk that is slow or gone.
async fn with_secrets(
    handle: Handle,
    config: Arc<Config>,
    storage: Storage,
    undelivered: Undelivered,
    admin: Arc<TcpListener>,
) {
    let state = &config.server.state;
    let api = async {
        let known = config.admin.tokens.iter().map(|token| (token.actor.clone(), token.secret.0.clone()));
        let mut tokens: Vec<_> = known.collect();
        tokio::select! {
            biased;
            token = secret(state, "operator's token", secrets::token) => tokens.push(("operator".to_owned(), token)),
            // Until there is one, those of the configuration are good.
            () = serve_api(&admin, handle.clone(), tokens.clone()) => {}
        }
        serve_api(&admin, handle.clone(), tokens).await;
    };
    let alerts = async {
        // Nothing is lost by waiting: alerts are told from a journal that lies in the same folder.
        let key = secret(state, "key that signs alerts", secrets::webhook_key).await;
        alerts::run(handle.configs(), storage, key, undelivered).await;
    };
    tokio::join!(api, alerts);
}

/// A secret of the state folder, however long it takes to have one.
async fn secret<T: Send + 'static>(state: &Path, what: &str, read: fn(&Path) -> io::Result<T>) -> T {
    let mut is_told = false;
    loop {
        let state = state.to_owned();
        match spawn_blocking(move || read(&state)).await {
            Ok(Ok(secret)) => return secret,
            Ok(Err(error)) if !is_told => {
                is_told = true;
                tracing::error!(%error, "there is no {what}: the state folder cannot be used; it is tried again");
            }
            _ => {}
        }
        sleep(SECRETS_AGAIN).await;
    }
}

async fn serve_api(admin: &TcpListener, handle: Handle, tokens: Vec<(String, String)>) {
    match admin.try_clone().map(listener) {
        Ok(Some(listener)) => admin::serve(listener, handle, tokens).await,
        // Told already, or no descriptor is left: the rest goes on.
        _ => std::future::pending().await,
    }
}

/// Reads the files again when they have changed, and stayed so for [`QUIET`].
async fn watch_files(handle: Handle) {
    loop {
        sleep(LOOK).await;
        if !handle.config().server.watch {
            continue;
        }
        let read = handle.looks().await;
        let mut seen = read.clone();
        let mut quiet = Duration::ZERO;
        loop {
            let before = seen.clone();
            let Ok(now) = spawn_blocking(move || before.now()).await else {
                return;
            };
            quiet = if now == seen { quiet + LOOK } else { Duration::ZERO };
            seen = now;
            if seen == read || quiet >= QUIET {
                break;
            }
            sleep(LOOK).await;
        }
        if seen != read {
            tracing::info!("files have changed: reloading");
            // What becomes of it is journaled and logged.
            let _ = handle.reload_by(None, false).await;
        }
    }
}

fn listener(listener: TcpListener) -> Option<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listener)
        .inspect_err(|error| tracing::error!(%error, "an HTTP listener cannot be used"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_part_that_breaks_down_begins_anew_and_harms_no_other() {
        let begun = Arc::new(AtomicU32::new(0));
        let (running, mut runs) = watch::channel(false);
        let counted = Arc::clone(&begun);
        let part = move || {
            let (number, running) = (counted.fetch_add(1, Ordering::Relaxed), running.clone());
            async move {
                assert!(number >= 2, "as meant by this test");
                running.send_replace(true);
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = kept("a part", Duration::ZERO, part) => unreachable!("it never ends"),
            it = runs.wait_for(|&runs| runs) => assert!(it.is_ok()),
        }
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }
}
