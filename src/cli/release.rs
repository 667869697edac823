//! `failoverd release NAME|ORIGIN`: ends the order on a name or an origin.

use crate::cli::exit::{Exit, Failure};
use crate::cli::node::Node;
use crate::cli::order;
use crate::edge::admin::view;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Steered name that is held, or origin that is drained
    #[arg(value_name = "NAME|ORIGIN")]
    target: String,
}

pub(super) async fn release(nodes: &[Node], Args { target }: Args) -> Result<Exit, Failure> {
    order::give(nodes, "release", view::Release { target }).await
}
