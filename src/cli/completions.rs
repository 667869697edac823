//! `failoverd completions SHELL`: what a shell needs to complete verbs and flags.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::exit::{Exit, Failure};
use crate::cli::{Arguments, out};

#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Args {
    /// Whose completions
    shell: Shell,
}

pub(super) fn completions(Args { shell }: Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "failoverd", &mut script);
    out::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
