//! `failoverd approve NAME`: lets a name move that waits for the velocity limit; `--all` lets every one.

use crate::cli::exit::{Exit, Failure};
use crate::cli::node::Node;
use crate::cli::order;
use crate::edge::admin::view;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Steered name that waits
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// Every name that waits
    #[arg(long)]
    all: bool,
}

pub(super) async fn approve(nodes: &[Node], Args { name, all }: Args) -> Result<Exit, Failure> {
    order::give(nodes, "approve", view::Approve { name, all }).await
}
