//! `failoverd hold NAME RUNG`: serves a rung of a name whatever the probes say.

use crate::cli::exit::{Exit, Failure};
use crate::cli::node::Node;
use crate::cli::order::{self, Terms};
use crate::edge::admin::{view, words};

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Steered name, `www.example.com`
    name: String,
    /// `primary`, `backup`, `backup-2`, `emergency`
    #[arg(value_parser = rung)]
    rung: String,
    #[command(flatten)]
    terms: Terms,
}

fn rung(text: &str) -> Result<String, String> {
    words::read_place(text).map(|place| place.to_string())
}

pub(super) async fn hold(nodes: &[Node], Args { name, rung, terms }: Args) -> Result<Exit, Failure> {
    let Terms { span, reason, force } = terms;
    order::give(nodes, "hold", view::Hold { name, rung, span: Some(span), reason, force }).await
}
