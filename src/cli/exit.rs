//! How a run of the command line ends.

use std::io::Write as _;
use std::process::{ExitCode, Termination};

use anstyle::{AnsiColor, Style};

/// Exit codes; `--help` lists them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The configuration or a zone file is wrong.
    Config = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No daemon answers.
    Unreachable = 3,
    /// The daemon said no: token, unknown name, or an order that cannot stand.
    Denied = 4,
    /// Some of several nodes did it, others did not.
    Partial = 5,
    /// Done and in force, but not durable: a crash would forget it.
    NotDurable = 6,
    /// This host: a file, a socket, a bug.
    Trouble = 7,
    /// A replay came to other turns than were recorded.
    Different = 8,
}

/// Part of `--help`.
pub(super) const EXIT_HELP: &str = "Exit codes:
  0  done
  1  the configuration or a zone file is wrong
  2  the command line is wrong
  3  no daemon answers
  4  the daemon said no: token, unknown name, or an order that cannot stand
  5  some of several nodes did it, others did not
  6  in force, but not durable: storage did not commit in time
  7  trouble of this host: a file, a socket
  8  a replay came to other turns than were recorded

Orders (hold, drain, release, failback) go to every node: the local one and those of [cli] nodes, or all given \
by --admin. status shows every node; all other verbs ask the first.";

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Why a verb did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub exit: Exit,
    pub error: String,
    /// What to check or do, most likely first.
    pub help: Vec<String>,
}

impl Failure {
    pub fn new(exit: Exit, error: impl Into<String>) -> Self {
        Self { exit, error: error.into(), help: Vec::new() }
    }

    /// The same, with one more thing to check or do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Tells it on standard error.
    pub fn tell(&self) {
        let (red, cyan) = (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default());
        let mut to = anstream::stderr();
        // Where it cannot be told, the exit code still is.
        let _ = writeln!(to, "{red}error{red:#}: {}", self.error);
        for help in &self.help {
            let _ = writeln!(to, "  {cyan}help{cyan:#}: {}", help.replace('\n', "\n        "));
        }
    }
}

/// Tells a warning on standard error.
pub(super) fn warn(text: &str) {
    let yellow: Style = AnsiColor::Yellow.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{yellow}warning{yellow:#}: {text}");
}

/// A verb's result as its exit code; a failure is told.
pub(super) fn end(result: Result<Exit, Failure>) -> Exit {
    result.unwrap_or_else(|failure| {
        failure.tell();
        failure.exit
    })
}
