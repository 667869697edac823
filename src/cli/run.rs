//! `failoverd run`: the daemon.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::exit::{Exit, Failure};
use crate::cli::log;
use crate::edge::daemon::{self, Daemon, Options, StartError};
use crate::edge::prober::prepare_for_programs;

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
    prepare_for_programs();
    let log = log::start();
    raise_descriptors();
    let options = Options { config: config.to_owned(), is_process: true };
    let daemon = daemon::start_blocking(options).map_err(failure)?;
    tell(&daemon);
    let ended = daemon.wait();
    if let Err(broken) = &ended {
        // Not as a failure: told on a standard error that nobody reads, it would keep this process from ending.
        tracing::error!("{broken}");
    }
    log.finish();
    Ok(if ended.is_ok() { Exit::Ok } else { Exit::Trouble })
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
    // A report of the files begins with the word that every failure is told with.
    let told = error.to_string();
    Failure::new(exit, told.strip_prefix("error: ").unwrap_or(&told))
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
    let encrypted = daemon.encrypted().iter().map(|listen| format!("{} ({})", listen.address, listen.scheme));
    let zones = config.zones.iter().map(|zone| zone.apex.to_host());
    let steered = config.steers.iter().map(|steer| steer.name.to_host());
    let text = format!(
        "failoverd {} ({}) answers\n  DNS      {}\n  zones    {}\n  steered  {}\n  API      http://{}  (token: {})\n  \
         metrics  http://{}/metrics\n",
        env!("CARGO_PKG_VERSION"),
        config.server.name,
        few(listen.chain(encrypted)),
        few(zones),
        few(steered),
        daemon.admin(),
        daemon.token_path().display(),
        daemon.ops(),
    );
    // On a thread of its own: nobody may be there to take it.
    let tell = move || drop(std::io::stdout().write_all(text.as_bytes()));
    drop(thread::Builder::new().name("tell".to_owned()).spawn(tell));
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
