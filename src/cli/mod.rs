//! The command line: one file per verb.

mod approve; //         lets names move that wait for the velocity limit
pub mod check; //       what is wrong with the files, and what they cost
pub mod completions; // for the shell
pub mod demo; //        a whole failover on one machine
pub mod discover; //    where the daemon is, and the token
pub mod drain; //       an origin is served nowhere
pub mod events; //      the journal
pub mod exit; //        exit codes, and how failures are told
pub mod explain; //     one name through the six words
pub mod failback; //    approves a failback that waits
pub mod hold; //        a name is served from this rung
pub mod init; //        a first configuration
mod log; //          the daemon's log
pub mod look; //        colours, glyphs, tables
pub mod node; //        the way to a daemon
pub mod order; //       what orders have in common
pub mod out; //         standard output
pub mod probe; //       probes now
pub mod release; //     ends an order
pub mod reload; //      reads the files again
pub mod replay; //      decides a record again
pub mod run; //         the daemon
pub mod status; //      every name at a glance

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Secret;

use discover::Given;
use exit::{EXIT_HELP, Exit, Failure};
use node::Node;

/// An authoritative DNS nameserver whose answers follow the health of the origins behind a name
#[derive(Parser, Debug)]
#[command(name = "failoverd", version, after_help = EXIT_HELP, max_term_width = 110)]
struct Arguments {
    /// Configuration file [default: ./failoverd.toml, else /etc/failoverd/failoverd.toml]
    #[arg(long, global = true, env = "FAILOVERD_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Ask the daemon at this address instead of the configured ones; may be given several times
    #[arg(long, global = true, value_name = "URL")]
    admin: Vec<String>,
    /// Read the token from this file instead of the state folder; FAILOVERD_TOKEN is the token itself
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show a whole failover on this machine: no files, no root, no network
    Demo(demo::Args),
    /// Write a first configuration and zone, commented
    Init(init::Args),
    /// Serve
    Run(run::Args),
    /// Tell all that is wrong with the configuration and its zones, and what they cost
    Check(check::Args),
    /// Every steered name at a glance
    Status(status::Args),
    /// Why a name is answered as it is: config, probe, verdict, decision, snapshot, answer
    Explain(explain::Args),
    /// Probe now, beside the schedule; moves nothing
    Probe(probe::Args),
    /// Serve a rung of a name, whatever the probes say
    Hold(hold::Args),
    /// Serve an origin nowhere
    Drain(drain::Args),
    /// End the order on a name or an origin
    Release(release::Args),
    /// Approve a failback that waits
    Failback(failback::Args),
    /// Let names move that wait for the velocity limit
    Approve(approve::Args),
    /// The journal: turns, verdicts, orders, reloads
    Events(events::Args),
    /// Let the daemon read its files again; a bad file never replaces a good one
    Reload(reload::Args),
    /// Decide again what was recorded (`[server] record`); with --config, beside it by another configuration
    Replay(replay::Args),
    /// Print completions for a shell
    Completions(completions::Args),
}

/// Does what the command line asks.
#[must_use]
pub fn main() -> Exit {
    let Arguments { config, admin, token_file, verb } = Arguments::parse();
    let token = std::env::var("FAILOVERD_TOKEN").ok().map(|token| token.trim().to_owned());
    let token = token.filter(|token| !token.is_empty()).map(Secret);
    let given = Given { config, admin, token_file, token };
    exit::end(match verb {
        Verb::Demo(args) => demo::demo(args),
        Verb::Init(args) => init::init(&args),
        Verb::Run(args) => {
            discover::config(args.file.as_deref().or(given.config.as_deref())).and_then(|path| run::run(&path))
        }
        Verb::Check(args) => check::check(args.file.as_deref().or(given.config.as_deref())),
        Verb::Replay(args) => replay::replay(given.config.as_deref(), &args),
        Verb::Completions(args) => completions::completions(args),
        verb => ask(&given, verb),
    })
}

/// The verbs that talk to a daemon.
fn ask(given: &Given, verb: Verb) -> Result<Exit, Failure> {
    let nodes: Vec<Node> = node::nodes(&discover::door(given)?)?;
    let Some(first) = nodes.first() else {
        return Err(Failure::new(Exit::Usage, "there is no node to ask"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Trouble, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match verb {
            Verb::Status(args) => status::status(&nodes, args).await,
            Verb::Explain(args) => explain::explain(first, args).await,
            Verb::Probe(args) => probe::probe(first, args).await,
            Verb::Hold(args) => hold::hold(&nodes, args).await,
            Verb::Drain(args) => drain::drain(&nodes, args).await,
            Verb::Release(args) => release::release(&nodes, args).await,
            Verb::Failback(args) => failback::failback(&nodes, args).await,
            Verb::Approve(args) => approve::approve(&nodes, args).await,
            Verb::Events(args) => events::events(first, args).await,
            Verb::Reload(args) => reload::reload(first, args).await,
            Verb::Demo(_) | Verb::Init(_) | Verb::Run(_) | Verb::Check(_) | Verb::Replay(_) | Verb::Completions(_) => {
                Ok(Exit::Usage)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn wrong_words_are_refused_before_anyone_is_asked() {
        for line in [
            "hold www.example.com third",
            "hold www.example.com backup --for 1x",
            "drain eu --for 0s",
            "status --watch --json",
            "events -n 0",
            "release",
            "approve",
            "approve www.example.com --all",
        ] {
            let words = ["failoverd"].into_iter().chain(line.split(' '));
            assert!(Arguments::try_parse_from(words).is_err(), "{line}");
        }
    }
}
