//! `failoverd run`: the daemon.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anstream::println;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use crate::cli::exit::{Exit, Failure};
use crate::edge::daemon::{self, Daemon, Options, StartError};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Configuration file; the same as --config
    pub(crate) file: Option<PathBuf>,
}

/// Serves until a signal ends it.
///
/// # Errors
/// If it cannot start, or breaks down.
pub(crate) fn run(config: &Path) -> Result<Exit, Failure> {
    log();
    raise_descriptors();
    let options = Options { config: config.to_owned(), is_process: true };
    let daemon = daemon::start_blocking(options).map_err(failure)?;
    tell(&daemon);
    match daemon.wait() {
        Ok(()) => Ok(Exit::Ok),
        Err(broken) => Err(Failure::new(Exit::Trouble, broken.to_string())),
    }
}

/// Log lines go to standard error; `RUST_LOG` says how many. A service manager adds the time itself.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let set =
        if std::env::var_os("JOURNAL_STREAM").is_some() { format.without_time().try_init() } else { format.try_init() };
    // Somebody else's logging is as good as ours.
    drop(set);
}

/// Every probe and every TCP client is a descriptor; the soft limit of most systems is 1,024.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        // As it was is what most systems run with: no reason to complain.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

fn failure(error: StartError) -> Failure {
    let exit = match error {
        StartError::Config(_) | StartError::Refused(_) => Exit::Config,
        _ => Exit::Trouble,
    };
    Failure::new(exit, error.to_string())
}

/// What runs now, and where.
fn tell(daemon: &Daemon) {
    let config = daemon.config();
    let listen = daemon.listen().iter().map(|listen| {
        let transport = match (listen.udp, listen.tcp) {
            (true, true) => "",
            (true, false) => " (UDP)",
            (false, _) => " (TCP)",
        };
        format!("{}{transport}", listen.address)
    });
    let zones = config.zones.iter().map(|zone| zone.apex.to_host());
    let steered = config.steers.iter().map(|steer| steer.name.to_host());
    println!("failoverd {} ({}) answers", env!("CARGO_PKG_VERSION"), config.server.name);
    println!("  DNS      {}", few(listen));
    println!("  zones    {}", few(zones));
    println!("  steered  {}", few(steered));
    println!("  API      http://{}  (token: {})", daemon.admin(), daemon.token_path().display());
    println!("  metrics  http://{}/metrics", daemon.ops());
    for warning in daemon.warnings() {
        tracing::warn!("{warning}");
    }
}

/// All of them if they are few, else the first and how many more.
fn few(all: impl Iterator<Item = String>) -> String {
    const FEW: usize = 6;
    let all: Vec<_> = all.collect();
    match all.len() {
        0 => "none".to_owned(),
        1..=FEW => all.join(", "),
        more => format!("{} and {} more", all[..FEW - 1].join(", "), more - (FEW - 1)),
    }
}
