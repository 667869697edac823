//! `failoverd demo`: an outage on your own desk. No file, no root, no network.
//!
//! Three toy origins and a toy resolver run on loopback addresses beside the real daemon, which is started the way
//! `run` starts it, with a configuration written to a scratch folder. What is seen is therefore what would be served.

mod dig; //    one real DNS question over UDP
mod screen; // the terminal in raw mode, given back in any case
mod script; // a canned outage and recovery, each step with its bound
mod stage; //  origins, resolver, files and the daemon
mod toy; //    an HTTP origin and a resolver, as small as they can be
mod view; //   the live picture: ladder, latest turns, the line to try

use std::io::{self, IsTerminal};

use crate::cli::exit::{Exit, Failure};

/// Port of the demo's nameserver, above those that need root.
const PORT: u16 = 5300;

#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Args {
    /// Play a canned outage and recovery and print the timeline; fails if a step does not happen in its bound
    #[arg(long)]
    script: bool,
    /// Port of the nameserver on 127.0.0.1; the next free one if it is taken
    #[arg(long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// Why the demo ended early.
#[derive(Debug)]
enum Trouble {
    /// A part of the stage could not be set up; the reason in words.
    Stage(String),
    /// A step of the script did not happen as it should have.
    Step(String),
    /// The terminal could not be used.
    Terminal(io::Error),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let text = match trouble {
            Trouble::Stage(why) => format!("the demo cannot be set up: {why}"),
            Trouble::Step(why) => format!("the demo went wrong: {why}"),
            Trouble::Terminal(error) => format!("the terminal cannot be used: {error}"),
        };
        Self::new(Exit::Trouble, text)
    }
}

/// Runs the demo to its end: the script's, or the `q` key.
///
/// # Errors
/// If it cannot be set up, or a step of the script does not happen within its bound.
pub(crate) fn demo(args: Args) -> Result<Exit, Failure> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if !args.script && !is_terminal {
        let failure = Failure::new(Exit::Usage, "the live view needs a terminal");
        return Err(failure.help("without one: failoverd demo --script"));
    }
    let mut stage = stage::Stage::set(args.port)?;
    let outcome = if args.script { script::play(&mut stage) } else { view::live(&mut stage) };
    stage.strike();
    outcome?;
    Ok(Exit::Ok)
}
