//! `failoverd failback NAME`: approves a failback that waits.

use crate::cli::exit::{Exit, Failure};
use crate::cli::node::Node;
use crate::cli::order;
use crate::edge::admin::view;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Steered name whose failback waits
    name: String,
}

pub(super) async fn failback(nodes: &[Node], Args { name }: Args) -> Result<Exit, Failure> {
    order::give(nodes, "failback", view::Failback { name }).await
}
