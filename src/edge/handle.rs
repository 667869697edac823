//! What the HTTP API may ask of the running daemon. Reads go to the snapshot; writes become events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::Config;
use crate::control::journal::Entry;
use crate::control::{Asked, Figures, Loaded, Reply, waits_for_restart};
use crate::dns::Name;
use crate::edge::alerts::Undelivered;
use crate::edge::encrypted::certificate::Certificates;
use crate::edge::files::{Disk, Looks};
use crate::edge::prober::heartbeat::Beats;
use crate::edge::prober::{Prober, Raced};
use crate::edge::publication::Reader;
use crate::edge::storage::Storage;
use crate::edge::{clock, load};
use crate::probe::{Epoch, Observation, Purpose, Request, WatchId};
use crate::snapshot::{Generation, Snapshot};
use crate::time::Wall;

/// How long an order waits for its commit before it is answered "in force, not durable".
const DURABLE_PATIENCE: Duration = Duration::from_secs(2);
/// Readers of the journal at once; a disk that hangs holds up so many threads and no more.
const READERS: usize = 4;
/// How long a reader of the journal waits.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// The running daemon, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

pub(super) struct Inner {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) reader: Reader,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) storage: Storage,
    pub(super) prober: Prober,
    pub(super) undelivered: Undelivered,
    /// What encrypted transports show; `None` without them.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// Where the configuration is read from.
    pub(super) path: PathBuf,
    /// The configuration the daemon was started with: some settings apply only then.
    pub(super) started_with: Arc<Config>,
    /// The files of the last loading. Held while the next one runs: one at a time.
    pub(super) looks: tokio::sync::Mutex<Looks>,
    pub(super) readers: Arc<Semaphore>,
    /// Settings that wait for a restart, for the configuration they were worked out for.
    pub(super) waiting: Mutex<Option<(Arc<Config>, Vec<&'static str>)>>,
}

/// A question to the control loop.
pub(super) enum Call {
    Ask {
        actor: String,
        asked: Asked,
        reply: oneshot::Sender<Reply>,
    },
    Reload {
        actor: Option<String>,
        loaded: Box<Loaded>,
        force: bool,
        reply: oneshot::Sender<Reply>,
    },
    ReloadRefused {
        errors: String,
        reply: oneshot::Sender<Reply>,
    },
    Inspect {
        reply: oneshot::Sender<Reply>,
    },
    Probe {
        requests: Vec<Request>,
        reply: oneshot::Sender<Vec<Observation>>,
    },
    Race {
        requests: Vec<Request>,
        reply: oneshot::Sender<Vec<(WatchId, Raced)>>,
    },
    /// A reload begins.
    Reloading {
        /// Gone once whoever asked for it has its answer, or has given up.
        under_way: Weak<()>,
    },
}

/// What became of an order.
#[derive(Clone, PartialEq, Debug)]
pub enum Answered {
    /// In force. `durable` is false if storage did not commit in time: obeyed, but a crash would forget it.
    Done { generation: Generation, durable: bool, said: String },
    /// Not done, and why.
    Denied { why: String },
}

/// Is this node fit to be asked? One reason per line where not, or where it is degraded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Zones loaded, sockets bound, first probe round done or state restored.
    pub ready: bool,
    /// Works, but not wholly: storage trouble, doubt, stale watches, settings that wait for a restart.
    pub degraded: Vec<String>,
}

impl Handle {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// How many may read the journal at once.
    pub(super) fn readers() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(READERS))
    }

    /// The snapshot that is served now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.reader.snapshot()
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0.config.borrow())
    }

    /// Follows the configuration in force.
    pub fn configs(&self) -> watch::Receiver<Arc<Config>> {
        self.0.config.clone()
    }

    /// Gives an order (or release, or failback) and waits until it is published and, for a bounded time, durable.
    pub async fn ask(&self, actor: &str, asked: Asked) -> Answered {
        match self.call(|reply| Call::Ask { actor: actor.to_owned(), asked, reply }).await {
            Some(Reply::Done { generation, sequence, said }) => {
                let mut durable = self.0.storage.durable();
                let commit = durable.wait_for(|&last| last >= sequence);
                let durable = matches!(timeout(DURABLE_PATIENCE, commit).await, Ok(Ok(_)));
                Answered::Done { generation, durable, said }
            }
            Some(Reply::Denied { why }) => Answered::Denied { why },
            Some(Reply::Figures(_)) | None => Answered::Denied { why: STOPPING.to_owned() },
        }
    }

    /// Last observation and next probe of each watch; `None` if there is no control loop any more.
    pub async fn figures(&self) -> Option<Figures> {
        match self.call(|reply| Call::Inspect { reply }).await {
            Some(Reply::Figures(figures)) => Some(*figures),
            _ => None,
        }
    }

    /// Reads the files again. The warnings, or the errors as they are printed by `check`.
    pub async fn reload(&self, actor: &str, force: bool) -> Result<Vec<String>, String> {
        self.reload_by(Some(actor.to_owned()), force).await
    }

    /// The same; without an actor it was a signal, or the files themselves.
    pub(super) async fn reload_by(&self, actor: Option<String>, force: bool) -> Result<Vec<String>, String> {
        let mut looks = self.0.looks.lock().await;
        let reload = Arc::new(());
        let _ = self.0.calls.send(Call::Reloading { under_way: Arc::downgrade(&reload) }).await;
        let path = self.0.path.clone();
        let read = spawn_blocking(move || {
            let disk = Disk::default();
            let loaded = load::reload_from(&disk, &path);
            (loaded, disk.looks())
        });
        let (loaded, seen) = match read.await {
            Ok(read) => read,
            Err(_) => (Err("the loading broke down; its log says where".to_owned()), Looks::default()),
        };
        let loaded = match loaded {
            Ok(loaded) => {
                *looks = seen;
                loaded
            }
            Err(errors) => {
                // Mending any file of either loading is worth another try.
                *looks = looks.now().with(seen);
                let told = errors.clone();
                let _ = self.call(|reply| Call::ReloadRefused { errors: told, reply }).await;
                return Err(errors);
            }
        };
        let mut warnings = loaded.warnings.clone();
        let loaded = Box::new(loaded);
        match self.call(|reply| Call::Reload { actor, loaded, force, reply }).await {
            Some(Reply::Done { .. }) => {
                let waiting = self.waits_for_restart();
                if !waiting.is_empty() {
                    warnings.push(format!("applies only at the next start: {}", waiting.join(", ")));
                }
                Ok(warnings)
            }
            Some(Reply::Denied { why }) => Err(why),
            Some(Reply::Figures(_)) | None => Err(STOPPING.to_owned()),
        }
    }

    /// How the files of the last loading looked; waits for one that runs.
    pub(super) async fn looks(&self) -> Looks {
        self.0.looks.lock().await.clone()
    }

    /// What origins have told us by calling.
    pub(in crate::edge) fn beats(&self) -> Beats {
        self.0.prober.beats().clone()
    }

    /// What the prober has counted: rows of name, label and count.
    pub fn counted(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.0.prober.rows()
    }

    /// Probes now, beside the schedule: all watches, or those of one origin or steered name. Moves nothing.
    pub async fn probe(&self, wanted: Option<&str>) -> Vec<(WatchId, Observation)> {
        let (reply, seen) = oneshot::channel();
        let call = Call::Probe { requests: self.requests(wanted), reply };
        if self.0.calls.send(call).await.is_err() {
            return Vec::new();
        }
        let mut seen: Vec<_> = seen.await.unwrap_or_default().into_iter().map(|seen| (seen.watch, seen)).collect();
        seen.sort_by_key(|&(watch, _)| watch);
        seen
    }

    /// The same, with the race that a failure starts.
    pub async fn race(&self, wanted: Option<&str>) -> Vec<(WatchId, Raced)> {
        let (reply, raced) = oneshot::channel();
        let call = Call::Race { requests: self.requests(wanted), reply };
        if self.0.calls.send(call).await.is_err() {
            return Vec::new();
        }
        let mut raced = raced.await.unwrap_or_default();
        raced.sort_by_key(|&(watch, _)| watch);
        raced
    }

    /// One for each watch of an origin or steered name, or for all.
    fn requests(&self, wanted: Option<&str>) -> Vec<Request> {
        let (snapshot, config) = (self.snapshot(), self.config());
        let name = wanted.and_then(|wanted| Name::absolute(wanted).ok()).map(|name| name.folded());
        let steered = snapshot.status.steers.iter().filter(|state| Some(&state.steer.name) == name.as_ref());
        let origins = steered.flat_map(|state| &*state.rungs).flat_map(|rung| &*rung.origins);
        let of_name: BTreeSet<WatchId> = origins.flat_map(|origin| origin.watches.iter().copied()).collect();
        let watches = snapshot.status.watches.iter();
        let wanted = watches
            .filter(|watch| wanted.is_none_or(|wanted| *watch.origin_name == *wanted || of_name.contains(&watch.id)));
        let requests = wanted.filter_map(|watch| {
            Some(Request {
                watch: watch.id,
                epoch: Epoch(0),
                purpose: Purpose::Manual,
                due: clock::moment(),
                target: watch.target.clone(),
                port: watch.port,
                host: Arc::clone(&watch.host),
                check: Arc::clone(config.checks.get(watch.check.0 as usize)?),
            })
        });
        requests.collect()
    }

    /// Committed journal entries after `sequence`, oldest first, at most `limit`.
    pub async fn entries(&self, sequence: u64, limit: usize) -> Vec<Entry> {
        self.read(move |storage| storage.entries(sequence, limit)).await
    }

    /// The last `limit` committed entries, oldest first.
    pub async fn latest(&self, limit: usize) -> Vec<Entry> {
        self.read(move |storage| storage.latest(limit)).await
    }

    /// Follows the last committed sequence number.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.0.storage.committed()
    }

    /// Reads no disk and waits for nobody.
    pub fn readiness(&self) -> Readiness {
        let snapshot = self.0.reader.load();
        let status = &snapshot.status;
        let undecided = status.steers.iter().filter(|steer| steer.decision.is_none()).count();
        let mut degraded = Vec::new();
        if undecided > 0 {
            degraded.push(format!("{undecided} steered names wait for their first probes"));
        }
        degraded.extend(self.0.storage.trouble().map(|trouble| format!("storage: {trouble}")));
        degraded.extend(status.doubt.as_ref().map(|doubt| format!("our own sight is in doubt: {}", doubt.evidence)));
        let stale = status.watches.iter().filter(|watch| watch.stale).count();
        if stale > 0 {
            degraded.push(format!("{stale} watches are stale: not probed for three intervals"));
        }
        degraded.extend(self.0.prober.resolver_trouble().map(|trouble| format!("resolvers: {trouble}")));
        let deaf = |address| self.0.prober.beats().trouble(address, clock::moment());
        let heartbeats = self.0.started_with.server.asking.heartbeat.and_then(deaf);
        degraded.extend(heartbeats.map(|trouble| format!("heartbeats: {trouble}")));
        degraded.extend(self.0.undelivered.lines());
        degraded.extend(self.0.certificates.iter().flat_map(|certificates| certificates.trouble()));
        let waiting = self.waits_for_restart();
        if !waiting.is_empty() {
            degraded.push(format!("settings wait for a restart: {}", waiting.join(", ")));
        }
        Readiness { ready: undecided == 0, degraded }
    }

    /// When the certificate of encrypted transports ends, if there are any.
    pub fn certificate_ends(&self) -> Option<Wall> {
        self.0.certificates.as_ref().map(|certificates| certificates.not_after())
    }

    /// Compared once per configuration: readiness is asked often, and listeners are many.
    fn waits_for_restart(&self) -> Vec<&'static str> {
        let config = self.config();
        let mut known = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((of, waiting)) if Arc::ptr_eq(of, &config) => waiting.clone(),
            _ => {
                let waiting = waits_for_restart(&self.0.started_with, &config);
                *known = Some((config, waiting.clone()));
                waiting
            }
        }
    }

    async fn call(&self, call: impl FnOnce(oneshot::Sender<Reply>) -> Call) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        self.0.calls.send(call(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn read(&self, read: impl FnOnce(&Storage) -> Result<Vec<Entry>, String> + Send + 'static) -> Vec<Entry> {
        let storage = self.0.storage.clone();
        let Ok(Ok(turn)) = timeout(READ_PATIENCE, Arc::clone(&self.0.readers).acquire_owned()).await else {
            return Vec::new();
        };
        let reading = spawn_blocking(move || {
            let _turn = turn;
            read(&storage)
        });
        match timeout(READ_PATIENCE, reading).await {
            Ok(Ok(Ok(entries))) => entries,
            Ok(Ok(Err(trouble))) => {
                tracing::warn!(%trouble, "the journal cannot be read");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

const STOPPING: &str = "failoverd is stopping";
