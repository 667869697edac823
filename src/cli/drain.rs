//! `failoverd drain ORIGIN`: serves an origin nowhere.

use crate::cli::exit::{Exit, Failure};
use crate::cli::node::Node;
use crate::cli::order::{self, Terms};
use crate::edge::admin::view;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Origin as the configuration names it
    origin: String,
    #[command(flatten)]
    terms: Terms,
}

pub(super) async fn drain(nodes: &[Node], Args { origin, terms }: Args) -> Result<Exit, Failure> {
    let Terms { span, reason, force } = terms;
    order::give(nodes, "drain", view::Drain { origin, span: Some(span), reason, force }).await
}
