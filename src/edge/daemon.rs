//! The daemon: wires everything, in the order in which things must happen, and stops it in the reverse.
//!
//! ```text
//!  thread     runs
//!  udp-N,
//!  tcp-N      answers, from the published snapshot             (nameserver)
//!  tls,
//!  encrypted  the same over TLS, HTTPS, QUIC; they give way    (encrypted)
//!  control    the one loop that decides and publishes          (daemon/control)
//!  probes     asks origins and resolvers, hears heartbeats     (daemon/probes)
//!  people     HTTP API, metrics, alerts, signals, file watch   (here)
//!  storage    the state file                                   (storage)
//!  retire     frees old snapshots                              (publication)
//! ```
//!
//! Nothing on `probes`, `people` or `storage` can hold up `control`, and nothing at all holds up the answers.

mod control;
mod people;
mod probes;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::config::{Config, EncryptedListen, Listen};
use crate::control::carried::Carried;
use crate::control::{Controller, Event};
use crate::edge::alerts::Undelivered;
use crate::edge::bind::BindError;
use crate::edge::encrypted::certificate::Certificates;
use crate::edge::files::Disk;
use crate::edge::handle::{Handle, Inner};
use crate::edge::nameserver::Nameserver;
use crate::edge::prober::Prober;
use crate::edge::prober::heartbeat::Door;
use crate::edge::publication::cell;
use crate::edge::recorder::Recorder;
use crate::edge::sdnotify::Notifier;
use crate::edge::signals::{Hangup, Signals};
use crate::edge::storage::{InUse, Storage};
use crate::edge::{clock, encrypted, load, secrets};
use crate::record::Load;
use crate::snapshot::Refused;

use control::Control;
use people::People;
use probes::Probes;

/// How long the first numbers may take to be reserved. Then answers begin without: a dead disk must not silence us.
const RESERVE_PATIENCE: Duration = Duration::from_secs(2);
/// Questions to the control loop that may wait. Each asker waits for its answer, so this bounds the askers.
const CALLS: usize = 64;

/// How to start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Obey SIGHUP, SIGTERM and SIGINT, and talk to the service manager: this process is the daemon and nothing else.
    pub is_process: bool,
}

/// A running daemon. Dropping it stops it in order.
pub struct Daemon {
    handle: Handle,
    nameserver: Arc<Nameserver>,
    admin: SocketAddr,
    ops: SocketAddr,
    heartbeat: Option<SocketAddr>,
    warnings: Vec<String>,
    stop: watch::Sender<bool>,
    control: Option<JoinHandle<()>>,
    probes: Option<JoinHandle<()>>,
    people: Option<JoinHandle<()>>,
}

/// Why the daemon did not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration or a zone; the whole report.
    Config(String),
    /// An address of `[server] listen`.
    Listen(BindError),
    /// `[admin] listen` or `ops_listen`.
    Admin { key: &'static str, address: SocketAddr, error: io::Error },
    /// Another process holds the state folder.
    InUse(InUse),
    /// The first snapshot breaks a rule.
    Refused(Vec<Refused>),
    /// The host gives no thread or no runtime.
    Host(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(report) => f.write_str(report),
            Self::Listen(error) => error.fmt(f),
            Self::Admin { key, address, error } => write!(f, "[admin] {key} = \"{address}\": {error}"),
            Self::InUse(InUse { folder }) => {
                write!(f, "another failoverd uses the state folder {} ([server] state)", folder.display())
            }
            Self::Refused(refused) => {
                let rules: Vec<_> = refused.iter().map(ToString::to_string).collect();
                write!(f, "the first snapshot cannot be served: {}", rules.join("; "))
            }
            Self::Host(error) => write!(f, "this host gives no thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Starts the daemon; it answers when this returns.
///
/// # Errors
/// What a person has to mend first. Trouble of the state folder is none: see [`Handle::readiness`].
pub async fn start(options: Options) -> Result<Daemon, StartError> {
    let started = spawn_blocking(move || start_blocking(options)).await;
    started.unwrap_or_else(|error| Err(StartError::Host(io::Error::other(error))))
}

/// The same, for callers outside a runtime.
///
/// # Errors
/// As [`start`].
pub fn start_blocking(options: Options) -> Result<Daemon, StartError> {
    let Options { config: path, is_process } = options;
    let serving = runtime()?;
    let hangup = is_process.then(|| caught(&serving, Hangup::catch)).flatten();
    let mut notifier = if is_process { Notifier::from_environment() } else { Notifier::default() };
    let disk = Disk::default();
    let loaded = load::load_from(&disk, &path).map_err(StartError::Config)?;
    let config = Arc::clone(&loaded.config);
    let warnings = loaded.warnings.clone();
    let admin = listener("listen", config.admin.listen)?;
    let ops = listener("ops_listen", config.admin.ops_listen)?;
    let door = config.server.asking.heartbeat.map(Door::open);
    // All sockets before the state: a start in vain must not cost numbers.
    let bound = Nameserver::bind(&config.server.listen, config.server.workers).map_err(StartError::Listen)?;
    let certificates = config.server.encrypted.tls.as_ref().map(Certificates::load).transpose();
    let certificates = certificates.map_err(|unfit| StartError::Config(unfit.report()))?;
    let encrypted =
        certificates.clone().map(|certificates| encrypted::Bound::bind(&config.server.encrypted, certificates));
    let bound = bound.with(encrypted.transpose().map_err(StartError::Listen)?.flatten());

    // From here on a stop is in order; before, there is nothing to be put in order.
    let signals = hangup.and_then(|hangup| caught(&serving, || Signals::catch(hangup)));
    let (storage, restored) = Storage::start(&config.server.state).map_err(StartError::InUse)?;
    let unwind = CloseUnlessStarted(Some(storage.clone()));
    let began = clock::now();
    let (load, carried) = (Load::of(&loaded), Carried { restored: restored.clone(), ..Carried::default() });
    let (mut controller, mut effects) = Controller::new(loaded, restored, began);
    let mut recorder = Recorder::start(&config.server.state, &config, load, carried, began);
    if let Some(marks) = effects.reserve.take() {
        storage.reserve(marks);
        if !storage.wait_reserved(RESERVE_PATIENCE) {
            tracing::error!("numbers cannot be reserved; answers begin without");
        }
    }
    let (now, mut served) = (clock::now(), None);
    let Some(first) = controller.publish(now, &mut effects, |_| *served.insert(clock::now())) else {
        return Err(StartError::Refused(effects.refused));
    };
    recorder.published(now, served, &effects.record);
    storage.steered(config.steers.iter().map(|steer| &steer.name));
    let (publisher, reader) = cell((*first).clone());
    let nameserver = Arc::new(bound.serve(&reader).map_err(StartError::Host)?);
    let (now, version) = (clock::now(), env!("CARGO_PKG_VERSION"));
    controller.started(version, now, &mut effects);
    recorder.started(version, now);
    notifier.ready();

    let runtime = runtime()?;
    let probing = self::runtime()?;
    let prober = {
        let _inside = probing.enter();
        Prober::new(&config.server.resolvers)
    };
    let probes = Probes::new(prober.clone());
    let (calls, called) = mpsc::channel(CALLS);
    let (stop, stopped) = watch::channel(false);
    let (in_force, configs) = watch::channel(Arc::clone(&config));
    let undelivered = Undelivered::default();
    let handle = Handle::new(Inner {
        calls,
        reader,
        config: configs,
        storage: storage.clone(),
        prober,
        undelivered: undelivered.clone(),
        certificates: certificates.clone(),
        path,
        started_with: Arc::clone(&config),
        looks: tokio::sync::Mutex::new(disk.looks()),
        readers: Handle::readers(),
        waiting: Mutex::default(),
    });
    let mut daemon = Daemon {
        handle: handle.clone(),
        admin: admin.local_addr().map_err(StartError::Host)?,
        ops: ops.local_addr().map_err(StartError::Host)?,
        heartbeat: door.as_ref().map(Door::address),
        warnings,
        stop: stop.clone(),
        control: None,
        probes: None,
        people: None,
        nameserver: Arc::clone(&nameserver),
    };
    let control =
        Control::new(controller, publisher, storage.clone(), probes.clone(), called, in_force, notifier, recorder);
    daemon.control = Some(spawn("control", runtime, control.run(effects, stopped.clone()))?);
    let mut no_longer = stopped.clone();
    let (beats, configs, told) = (handle.beats(), handle.configs(), probes.clone());
    let hearing = async move {
        match door {
            Some(door) => door.keep(beats, configs, Arc::new(move |call| told.tell(Event::Called(call)))).await,
            None => std::future::pending().await,
        }
    };
    let until_stopped = async move {
        tokio::select! {
            _ = no_longer.wait_for(|&stop| stop) => {}
            () = probes.run() => {}
            () = hearing => {}
        }
    };
    daemon.probes = Some(spawn("probes", probing, until_stopped)?);
    let people = People { handle, config, storage, undelivered, nameserver, certificates, admin, ops };
    let signals = signals.map(|signals| (signals, stop));
    daemon.people = Some(spawn("people", serving, people.run(signals, stopped))?);
    unwind.started();
    Ok(daemon)
}

impl Daemon {
    /// What the API sees.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where DNS is answered; ports that were drawn stand where 0 was asked for.
    pub fn listen(&self) -> &[Listen] {
        self.nameserver.local_addresses()
    }

    /// Where DNS is answered with encryption, likewise.
    pub fn encrypted(&self) -> &[EncryptedListen] {
        self.nameserver.encrypted_addresses()
    }

    /// Where the HTTP API is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where origins call, if they do.
    pub fn heartbeat(&self) -> Option<SocketAddr> {
        self.heartbeat
    }

    /// Where metrics and health are.
    pub fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// Where the operator's token is, or will be in a moment.
    pub fn token_path(&self) -> PathBuf {
        secrets::token_path(&self.config().server.state)
    }

    /// Warnings of the files it was started with.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.handle.config()
    }

    /// Stops in order: journals the stop, writes what is pending, then stops answering.
    pub async fn stop(self) {
        let _ = spawn_blocking(move || drop(self)).await;
    }

    /// Blocks until a signal stops it.
    ///
    /// # Errors
    /// If the control loop broke down: the process is to be started anew.
    pub fn wait(mut self) -> Result<(), Broken> {
        let ended = self.control.take().map(JoinHandle::join);
        match ended {
            Some(Err(_)) => Err(Broken),
            _ => Ok(()),
        }
    }
}

/// The control loop broke down; its panic is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the control loop broke down; this is a defect of failoverd, and the log says where")
    }
}

impl std::error::Error for Broken {}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in [self.control.take(), self.probes.take(), self.people.take()].into_iter().flatten() {
            // One that panicked has been reported by the panic itself.
            let _ = thread.join();
        }
    }
}

/// Lets go of the state file if the start fails after it was opened.
struct CloseUnlessStarted(Option<Storage>);

impl CloseUnlessStarted {
    fn started(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseUnlessStarted {
    fn drop(&mut self) {
        if let Some(storage) = self.0.take() {
            storage.close(None, RESERVE_PATIENCE);
        }
    }
}

fn listener(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| StartError::Admin { key, address, error })
}

/// Signals that are caught; without them the daemon is as good a nameserver.
fn caught<T>(runtime: &Runtime, catch: impl FnOnce() -> io::Result<T>) -> Option<T> {
    let _inside = runtime.enter();
    catch().inspect_err(|error| tracing::error!(%error, "signals cannot be caught")).ok()
}

fn runtime() -> Result<Runtime, StartError> {
    runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Host)
}

/// Runs `work` to its end on a thread of its own. What blocks in its runtime then is left behind.
fn spawn(
    name: &str,
    runtime: Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let run = move || {
        runtime.block_on(work);
        runtime.shutdown_background();
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartError::Host)
}
