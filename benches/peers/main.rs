//! failoverd beside other nameservers, and beside an echo server that is the ceiling of plain sockets.
//!
//! `cargo bench --bench peers` takes about five minutes and prints Markdown. `cargo bench --bench peers -- --help` tells
//! what can be chosen. The others are those of Debian's packages; one that is not installed is left out, with the line
//! that installs it. It runs without root, a little noisier. All that are installed run at once, most of them stopped:
//! with a million names they take about 4 GB of memory.
//!
//! Each server has one worker thread on one core, the load another core, both on loopback. Servers are measured in
//! rounds, one after the other, while the others are stopped; what is to be believed are the ratios within rounds, not
//! the absolute figures. CPU time is what the kernel charged to the server's processes, over the answers.
#![expect(clippy::disallowed_methods, reason = "a bench watches the real clock")]
#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside it")]

mod contest; //   servers side by side
mod cpu; //       what the kernel charges, and who runs where
mod echo; //      the ceiling
mod flip; //      names that turn under load
mod load; //      questions, and a look at every reply
mod report; //    Markdown
mod running; //   a server as a child
mod servers; //   one function per server
mod workers; //   one and two
#[path = "../world/mod.rs"]
mod world; // the zone and the questions

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{self, Command, ExitCode};
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use contest::{Asked, Contest, Setting, Way};
use cpu::{Cores, Priority};
use load::tcp::Pace;
use report::{Extra, Summary};
use servers::{Kind, SERVERS, Server};
use world::{Shape, World};

/// Queries per second of the paced load.
const PACE: f64 = 50_000.0;
/// Different questions asked: a hundred per name, within these bounds.
const QUESTIONS: std::ops::RangeInclusive<usize> = 100_000..=1_000_000;
/// Different names that are not there: more than any cache of the others is worth.
const MISSING: usize = 1_000_000;

/// A kind of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
enum Mode {
    /// Time to the first answer, memory
    Start,
    /// As fast as answered, 192 in flight
    Udp,
    /// The same with addresses that are there alone: all servers do the same work
    Address,
    /// The same with random names that are not there
    Nxdomain,
    /// 50,000 queries per second: latency
    Paced,
    /// 50 connections, 8 queries in flight on each
    Tcp,
    /// 50 connections that send 8, wait for all 8, and send 8
    TcpBurst,
    /// A connection per query, 50 at once
    TcpConnect,
    /// failoverd with one worker and with two, to the full and at 80 %
    Workers,
    /// failoverd at half load while 10,000 steered names turn
    Flip,
}

/// Zones of how many names, how many rounds, and seconds of each, unless told otherwise.
const PROGRAMME: [(Mode, &[usize], usize, f64); 10] = [
    (Mode::Start, &[1_000, 1_000_000], 1, 0.0),
    (Mode::Udp, &[1_000, 1_000_000], 6, 1.0),
    (Mode::Address, &[1_000], 3, 1.0),
    (Mode::Nxdomain, &[1_000_000], 3, 1.0),
    (Mode::Paced, &[1_000], 3, 1.0),
    (Mode::Tcp, &[1_000], 3, 0.5),
    (Mode::TcpBurst, &[1_000], 3, 0.5),
    (Mode::TcpConnect, &[1_000], 3, 0.5),
    (Mode::Workers, &[1_000], 3, 0.5),
    (Mode::Flip, &[1_000_000], 2, 5.0),
];

/// Compares failoverd with other nameservers on this machine; prints Markdown.
///
/// More rounds make medians more certain: `--rounds 20 --modes udp` is what to believe a difference of 2 % from.
#[derive(Parser)]
#[command(name = "peers")]
struct Arguments {
    /// Names in the zone: 1k, 1M, or any number; all that a mode has by itself if none is given
    #[arg(long, value_delimiter = ',', value_parser = names)]
    sizes: Vec<usize>,
    /// All if none is given
    #[arg(long, value_delimiter = ',', value_enum)]
    modes: Vec<Mode>,
    /// echo, failoverd, gdnsd, knot, nsd, bind, pdns; all if none is given
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Rounds of each mode, instead of its own number
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement, instead of the mode's own
    #[arg(long)]
    seconds: Option<f64>,
    /// Be the echo server on this port
    #[arg(long, hide = true)]
    echo: Option<u16>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn names(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    number.filter(|number| (100..=10_000_000).contains(number)).ok_or("from 100 to 10M".to_owned())
}

/// `1k` for 1,000.
fn size(names: usize) -> String {
    match names {
        _ if names.is_multiple_of(1_000_000) => format!("{}M", names / 1_000_000),
        _ if names.is_multiple_of(1_000) => format!("{}k", names / 1_000),
        _ => names.to_string(),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    if let Some(port) = arguments.echo {
        return echo::serve(port);
    }
    let mut absent = Vec::new();
    let entrants = entrants(&arguments.servers, &mut absent)?;
    let folder = tempfile::Builder::new().prefix("failoverd-peers-").tempdir()?;
    let priority = Priority::take();
    end_with_us(folder.path().to_owned(), priority.clone());
    let cores = Cores::choose();
    cpu::pin(&[cores.client]);
    if priority.is_none() {
        absent.push("Not root: servers and load run at the priority of everybody else.".to_owned());
    }
    if cores.client == cores.server {
        absent.push("One core: the load takes its time from the servers.".to_owned());
    }
    let setting = Setting { cores, entrants, folder: folder.path().to_owned() };
    say(&heading(&setting, &absent));

    let mut summaries = Vec::new();
    let mut sizes: Vec<usize> = PROGRAMME.iter().flat_map(|row| planned(arguments, row)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for names in sizes {
        of_size(&setting, arguments, names, &mut summaries)?;
    }
    if !summaries.is_empty() {
        say(&format!("\n## In short\n\nCPU per answer; above 1 is cheaper.\n\n{}", report::summary(&summaries)));
    }
    Ok(())
}

/// The sizes that a mode is measured with.
fn planned(arguments: &Arguments, (mode, sizes, ..): &(Mode, &[usize], usize, f64)) -> Vec<usize> {
    let wanted = |size: &&usize| arguments.sizes.is_empty() || arguments.sizes.contains(size);
    if arguments.modes.is_empty() {
        sizes.iter().filter(wanted).copied().collect()
    } else if !arguments.modes.contains(mode) {
        Vec::new()
    } else if arguments.sizes.is_empty() {
        sizes.to_vec()
    } else {
        arguments.sizes.clone()
    }
}

/// All that is measured with one zone.
fn of_size(setting: &Setting, arguments: &Arguments, names: usize, summaries: &mut Vec<Summary>) -> io::Result<()> {
    let label = size(names);
    eprintln!("{label} names");
    let mut world = World::new(names);
    let zone = setting.folder.join(format!("{label}.zone"));
    fs::write(&zone, std::mem::take(&mut world.zone))?;
    let count = (names * 100).clamp(*QUESTIONS.start(), *QUESTIONS.end());
    let mut field = Field { label, zone, mixed: Asked::new(&world.questions(Shape::Mixed, count, 7)), world };
    say(&format!("\n## {} names", field.label));
    let works: Vec<Work> = PROGRAMME.iter().filter_map(|row| work(arguments, row, names)).collect();
    if works.iter().any(|work| !matches!(work.mode, Mode::Workers | Mode::Flip)) {
        contests(setting, &mut field, &works, summaries)?;
    }
    for Work { mode, rounds, time } in works {
        let (title, table) = match mode {
            Mode::Workers => {
                ("One worker and two", workers::run(setting, &field.zone, &mut field.mixed, rounds, time)?)
            }
            Mode::Flip => ("Names turn", flip::run(setting, &field.world, &field.zone, rounds, time)?),
            _ => continue,
        };
        say(&format!("\n### {title}, {} names\n\n{}{table}", field.label, measured(rounds, time)));
    }
    Ok(())
}

/// A zone, and what is asked about it.
struct Field {
    label: String,
    zone: PathBuf,
    world: World,
    mixed: Asked,
}

/// What is to be measured.
struct Work {
    mode: Mode,
    rounds: usize,
    time: Duration,
}

/// A row of the programme, as the arguments have it, if it is wanted with this zone.
fn work(arguments: &Arguments, row: &(Mode, &[usize], usize, f64), names: usize) -> Option<Work> {
    let (mode, _, rounds, seconds) = *row;
    let seconds = arguments.seconds.unwrap_or(seconds).clamp(0.0, 3_600.0);
    let rounds = arguments.rounds.unwrap_or(rounds).max(1);
    planned(arguments, row).contains(&names).then(|| Work { mode, rounds, time: Duration::from_secs_f64(seconds) })
}

fn measured(rounds: usize, time: Duration) -> String {
    format!("Rounds: {rounds}, of {} s.\n\n", time.as_secs_f64())
}

/// All servers side by side.
fn contests(setting: &Setting, field: &mut Field, works: &[Work], summaries: &mut Vec<Summary>) -> io::Result<()> {
    let Field { label, zone, world, mixed } = field;
    let contest = Contest::start(setting, zone);
    if !contest.absent.is_empty() {
        say(&format!("\n- {}", contest.absent.join("\n- ")));
    }
    let judge = contest.judge().ok_or_else(|| io::Error::other("no nameserver has started"))?;
    mixed.learn(judge)?;
    for Work { mode, rounds, time } in works {
        let (title, way, extra) = match mode {
            Mode::Udp => ("UDP, 192 in flight", Way::Closed, Extra::None),
            Mode::Address => ("UDP, addresses, 192 in flight", Way::Closed, Extra::None),
            Mode::Nxdomain => ("UDP, random names that are not there, 192 in flight", Way::Closed, Extra::None),
            Mode::Paced => ("UDP, 50,000 queries/s", Way::Paced(PACE), Extra::Latency),
            Mode::Tcp => ("TCP, 50 connections × 8", Way::Pipelined(Pace::Continuous), Extra::None),
            Mode::TcpBurst => ("TCP, 50 connections, bursts of 8", Way::Pipelined(Pace::Bursts), Extra::None),
            Mode::TcpConnect => ("TCP, a connection per query, 50 at once", Way::Connects, Extra::Late),
            Mode::Start => {
                say(&format!("\n### Start, {label} names\n\n{}", report::started(&contest.starts())));
                continue;
            }
            Mode::Workers | Mode::Flip => continue,
        };
        let work = format!("{title}, {label} names");
        eprintln!("{work}");
        let mut others = match mode {
            Mode::Address => Some(Asked::new(&world.questions(Shape::Address, mixed.queries.len(), 9))),
            Mode::Nxdomain => Some(Asked::new(&world.questions(Shape::Missing, MISSING, 8))),
            _ => None,
        };
        if let Some(others) = &mut others {
            others.learn(judge)?;
        }
        let rows = contest.compare(setting, others.as_mut().unwrap_or(mixed), way, *rounds, *time)?;
        let (table, summary) = report::compared(&work, &rows, extra);
        say(&format!("\n### {work}\n\n{}{table}", measured(*rounds, *time)));
        summaries.push(summary);
    }
    Ok(())
}

/// Prints what is known so far: a run that breaks off has told something.
fn say(text: &str) {
    println!("{text}");
    let _ = io::stdout().flush();
}

/// Who takes part, and their programs; who is missing goes to `absent`.
fn entrants(wanted: &[String], absent: &mut Vec<String>) -> io::Result<Vec<(&'static Server, PathBuf)>> {
    if let Some(unknown) = wanted.iter().find(|name| SERVERS.iter().all(|server| server.name != name.as_str())) {
        let known: Vec<&str> = SERVERS.iter().map(|server| server.name).collect();
        return Err(io::Error::other(format!("no server `{unknown}`; there are {}", known.join(", "))));
    }
    let mut found = Vec::new();
    for server in SERVERS.iter().filter(|server| wanted.is_empty() || wanted.iter().any(|name| name == server.name)) {
        let program = match server.kind {
            Kind::Ours => Some(build()?),
            Kind::Echo => Some(env::current_exe()?),
            Kind::Peer => servers::find(server),
        };
        match program {
            Some(program) => found.push((server, program)),
            None => absent.push(format!(
                "{} is not installed: sudo apt-get install --no-install-recommends {}",
                server.name, server.packages
            )),
        }
    }
    Ok(found)
}

/// Our own program as it is released; benches are built with other settings. `FAILOVERD` names another one.
fn build() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os("FAILOVERD") {
        return fs::canonicalize(&path).map_err(|error| io::Error::other(format!("FAILOVERD={path:?}: {error}")));
    }
    eprintln!("building failoverd as released");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let built = Command::new(cargo)
        .args(["build", "--release", "--bin", "failoverd", "--manifest-path", manifest])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(process::Stdio::inherit())
        .output()?;
    let lines = String::from_utf8_lossy(&built.stdout).into_owned();
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let path = messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?))).next_back();
    path.filter(|_| built.status.success()).ok_or_else(|| io::Error::other("failoverd cannot be built"))
}

/// Interrupted, we take all that runs with us, and the scratch folder.
fn end_with_us(folder: PathBuf, priority: Option<Priority>) {
    thread::spawn(move || {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let interrupted = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let mut terminated = signal(SignalKind::terminate())?;
                let mut interrupted = signal(SignalKind::interrupt())?;
                tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
                io::Result::Ok(())
            })
        });
        if interrupted.is_ok() {
            running::end_all();
            let _ = fs::remove_dir_all(folder);
            if let Some(priority) = &priority {
                priority.give_back();
            }
            process::exit(130);
        }
    });
}

fn heading(setting: &Setting, absent: &[String]) -> String {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.rsplit_once(": ").map_or(line.clone(), |(_, value)| value.trim().to_owned())
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let versions: Vec<String> = setting
        .entrants
        .iter()
        .map(|(server, _)| match server.kind {
            Kind::Ours => format!("failoverd {}", env!("CARGO_PKG_VERSION")),
            Kind::Echo => "echo (recvmmsg and sendmmsg of up to 64; one write per read)".to_owned(),
            Kind::Peer => format!("{} {}", server.name, servers::version(server).unwrap_or_else(|| "?".to_owned())),
        })
        .collect();
    let Cores { server, client, .. } = setting.cores;
    let mut text = format!(
        "# failoverd and its peers\n\n- {}, Linux {}; servers on core {server}, load on core {client}\n- {}\n",
        first("/proc/cpuinfo", "model name"),
        kernel.trim(),
        versions.join(", "),
    );
    absent.iter().for_each(|absent| text += &format!("- {absent}\n"));
    text + "\n\"of echo\", \"of best peer\": their CPU per answer over this server's, the median of the ratios within each \
            round; above 1 is cheaper. \"wrong\": answers unlike ours in rcode, AA or TC."
}
