//! `failoverd replay`: decides again what was recorded, by the same configuration or beside it by another. Asks no
//! daemon and moves nothing.

pub mod render; // what came of it, for people
mod times; //      --from and --until

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::cli::exit::{Exit, Failure, warn};
use crate::cli::look::Look;
use crate::cli::{discover, events, out};
use crate::config::{self, Config, FileText};
use crate::control::Loaded;
use crate::control::journal::{Entry, What};
use crate::dns::Name;
use crate::edge::admin::show;
use crate::edge::files::Disk;
use crate::edge::{load, recorder};
use crate::record::chunk::Chunks;
use crate::record::{Load, Outcome, Reader, Replay};
use crate::time::Wall;
use crate::zone::Files;

use times::Times;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// The state folder the record is in [default: that of the configuration]
    #[arg(long, value_name = "DIR", conflicts_with = "record")]
    state: Option<PathBuf>,
    /// The folder of the record itself
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Show turns from then on: `2026-11-22 00:12`, `00:12` of the record's last day, or `30m` before its end; UTC
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    from: Option<times::Time>,
    /// Show turns up to then
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    until: Option<times::Time>,
    /// Show turns of this name alone
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<Name>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::absolute(text).map(|name| name.folded()).map_err(|error| format!("{error:?}"))
}

/// What is printed as JSON after the turns.
#[derive(Serialize)]
struct Summary<'s> {
    replay: render::Summary<'s>,
}

pub(super) fn replay(given: Option<&Path>, args: &Args) -> Result<Exit, Failure> {
    // Where the environment names a configuration, it is the one in force, and not another to be tried.
    let is_asked = given.is_some() && given.map(Path::as_os_str) != std::env::var_os("FAILOVERD_CONFIG").as_deref();
    let other = if is_asked { given.map(other).transpose()? } else { None };
    let folder = folder(given, args)?;
    let segments = recorder::list(&folder).map_err(|error| nothing(&folder, &error.to_string()))?;
    if segments.is_empty() {
        return Err(nothing(&folder, "there is no segment in it"));
    }
    let recorded =
        |load: &Load| load.read(&environment).map_err(|errors| format!("the recorded configuration: {errors}"));
    let tried = other.as_ref().map(|config| |load: &Load| Ok(under(config, load)));
    let mut replay = Replay::new(&recorded);
    if let Some(tried) = &tried {
        replay = replay.against(tried);
    }
    let mut told = Vec::new();
    let mut notes = Vec::new();
    for (path, _) in &segments {
        read(path, &mut replay, &mut told, &mut notes)?;
    }
    let times = Times::of(args.from, args.until, replay.last());
    let counts = |at: Wall, name: &Name| times.hold(at) && args.name.as_ref().is_none_or(|wanted| wanted == name);
    let outcome = replay.end(&counts);
    for note in &notes {
        warn(note);
    }
    told.retain(|entry| match &entry.what {
        What::Turned(turn) => counts(entry.at, &turn.name),
        _ => times.hold(entry.at) && args.name.is_none(),
    });
    tell(&told, &outcome, args, &segments[..])?;
    Ok(if outcome.differences.is_empty() { Exit::Ok } else { Exit::Different })
}

fn tell(told: &[Entry], outcome: &Outcome, args: &Args, segments: &[(PathBuf, u64)]) -> Result<(), Failure> {
    let bytes = segments.iter().map(|(_, size)| size).sum();
    if args.json {
        for entry in told {
            out::json_line(&show::event(entry.clone()))?;
        }
        return out::json_line(&Summary { replay: render::Summary::of(outcome, bytes) });
    }
    // Beside each other they are told below.
    if outcome.comparison.is_none() {
        for entry in told {
            out::print(&events::render(&show::event(entry.clone())))?;
        }
    }
    out::print(&render::render(outcome, bytes, Look::of_stdout()))
}

/// Where the record is.
fn folder(given: Option<&Path>, args: &Args) -> Result<PathBuf, Failure> {
    if let Some(record) = &args.record {
        return Ok(record.clone());
    }
    if let Some(state) = &args.state {
        return Ok(recorder::folder(state));
    }
    let path = discover::config(given)?;
    Ok(recorder::folder(&other(&path)?.server.state))
}

fn nothing(folder: &Path, why: &str) -> Failure {
    Failure::new(Exit::Trouble, format!("there is no record in {}: {why}", folder.display()))
        .help("`[server] record = true` and `failoverd reload` begin one")
        .help("--state names the state folder of another node, --record the folder of the record itself")
}

/// Feeds one segment in. What is of interest to people beside turns is told with them.
fn read(path: &Path, replay: &mut Replay<'_>, told: &mut Vec<Entry>, notes: &mut Vec<String>) -> Result<(), Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            notes.push(format!("{}: {error}; it is left out", path.display()));
            replay.lost();
            return Ok(());
        }
    };
    let Some(mut chunks) = Chunks::of(&text) else {
        notes.push(format!("{} is no segment of a record; it is left out", path.display()));
        replay.lost();
        return Ok(());
    };
    let mut reader = Reader::default();
    let mut failed = None;
    for chunk in chunks.by_ref() {
        let understood = reader.read(chunk, &mut |step| {
            match replay.step(step) {
                Ok(entries) => told.extend(entries.into_iter().filter(is_told)),
                Err(why) => drop(failed.get_or_insert(why)),
            };
        });
        if let Some(why) = failed {
            return Err(Failure::new(Exit::Config, why)
                .help("what it takes from the environment (`${NAME}`) has to be set here as well"));
        }
        if let Err(unreadable) = understood {
            notes.push(format!("{}: {unreadable}", path.display()));
            replay.lost();
            return Ok(());
        }
    }
    if chunks.torn() > 0 {
        let torn = chunks.torn();
        notes.push(format!(
            "{}: the last {torn} bytes are torn (a crash, or still being written) and left out",
            path.display()
        ));
        replay.lost();
    }
    Ok(())
}

/// Verdicts and rehearsals are the evidence of turns, which tell it themselves.
fn is_told(entry: &Entry) -> bool {
    !matches!(entry.what, What::Verdict { .. } | What::Rehearsed(_) | What::SnapshotRefused(_))
}

/// A configuration to be tried, without its zones.
fn other(path: &Path) -> Result<Arc<Config>, Failure> {
    let read = config::read(&Lenient(Disk::default()), path, &environment, &load::host_name());
    match read {
        Ok(read) => Ok(Arc::new(read.config)),
        Err(errors) => Err(Failure::new(Exit::Config, errors.to_string().trim_end().to_owned())),
    }
}

/// It, over zones that stand for those of the record.
fn under(config: &Arc<Config>, load: &Load) -> Loaded {
    let zones = config.zones.iter().map(|zone| load.zone(&zone.apex)).collect();
    Loaded { config: Arc::clone(config), zones, warnings: Vec::new(), files: Arc::<[FileText]>::default() }
}

/// The environment, and a secret for what it does not say: what origins were asked with does not change what they said.
fn environment(name: &str) -> Option<String> {
    Some(std::env::var(name).unwrap_or_else(|_| config::stand_in().to_owned()))
}

/// The disk; where a secret cannot be read, another does: nothing is signed and nobody let in.
struct Lenient(Disk);

impl Files for Lenient {
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        match self.0.open(path) {
            Err(error) if is_denied(&error) => Ok(Box::new(config::stand_in().as_bytes())),
            opened => opened,
        }
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.canonical(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.0.list(folder)
    }
}
