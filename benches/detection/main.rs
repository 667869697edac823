//! How long a death takes to be found, and a recovery: from the moment it happens to the first changed answer.
//!
//! `cargo bench --bench detection -- --tries 50` prints Markdown. It needs root, for a network namespace of its own with
//! packet filters in it, and `ip` and `nft`; gdnsd and PowerDNS are measured beside if they are installed. Each kind of
//! death has a nameserver, a primary and a backup to itself, and all kinds are measured at the same time: what counts
//! are seconds, and each of them is idle most of the time.
#![expect(clippy::disallowed_methods, reason = "a bench watches the real clock")]
#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside it")]

mod lane; //   one death, many times
mod origin; // stand-ins that can die in many ways
mod server; // who answers: failoverd, gdnsd, PowerDNS
mod told; //   Markdown

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use clap::Parser;

use lane::Lane;
use origin::Death;
use server::{Kind, Pace};

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "FAILOVERD_DETECTION_INSIDE";
/// Lanes do not begin together.
const APART: Duration = Duration::from_millis(150);

/// Measures how long deaths and recoveries take to be seen in the answers; prints Markdown.
#[derive(Parser, Clone)]
#[command(name = "detection")]
struct Arguments {
    /// Deaths of each kind
    #[arg(long, default_value_t = 10)]
    tries: usize,
    /// Kinds of death; all if none is given
    #[arg(long, value_delimiter = ',', value_enum)]
    deaths: Vec<Death>,
    /// Who is measured; failoverd with `every = "1s"` if none is given
    #[arg(long, value_delimiter = ',', value_enum)]
    who: Vec<Kind>,
    /// Be an origin at this address, until killed
    #[arg(long, hide = true)]
    origin: Option<SocketAddr>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    if let Some(address) = arguments.origin {
        return origin::be(address);
    }
    if std::env::var_os(INSIDE).is_none() {
        // Its addresses, ports and filters are nobody else's, and gone when it ends.
        let mut inside = Command::new("unshare");
        inside.arg("--net").arg("--").arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(INSIDE, "1");
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("unshare: {}; it needs root", inside.exec())));
    }
    // Whoever asked for certificates and TLS needs to have chosen who provides it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    origin::prepare()?;
    let who = if arguments.who.is_empty() { vec![Kind::Second] } else { arguments.who.clone() };
    let deaths = if arguments.deaths.is_empty() { Death::ALL.to_vec() } else { arguments.deaths.clone() };
    for kind in who {
        let lanes = deaths.iter().filter(|death| kind.can_see(**death)).copied();
        let mut measured = thread::scope(|scope| {
            let running: Vec<_> = (1..)
                .zip(lanes)
                .map(|(number, death)| {
                    scope.spawn(move || {
                        thread::sleep(APART * u32::from(number));
                        Lane::start(number, kind, death)?.run(arguments.tries).map(|tries| (death, tries))
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|lane| lane.join().unwrap_or_else(|_| Err(io::Error::other("a lane broke"))))
                .collect::<io::Result<Vec<_>>>()
        })?;
        measured.sort_by_key(|(death, _)| *death);
        println!("{}", told::table(kind, &Pace::of(kind), &measured));
    }
    Ok(())
}
