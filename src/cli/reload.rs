//! `failoverd reload`: the daemon reads its files again. A bad file never replaces a good one.

use crate::cli::exit::{Exit, Failure, warn};
use crate::cli::node::Node;
use crate::cli::out;
use crate::edge::admin::view;

#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Args {
    /// Even if a zone loses more than 30 % of its records, or a name its ladder
    #[arg(long)]
    force: bool,
}

pub(super) async fn reload(node: &Node, Args { force }: Args) -> Result<Exit, Failure> {
    let told: view::Reloaded =
        node.post(&["reload"], &view::Reload { force }).await.map_err(|failure| match failure {
            Failure { exit: Exit::Denied, error, help } if error.contains('\n') => {
                Failure { exit: Exit::Config, error: format!("the reload is refused\n{error}"), help }
            }
            other => other,
        })?;
    told.warnings.iter().for_each(|warning| warn(warning));
    out::print(&format!("{}: reloaded, generation {}\n", told.node, told.generation))?;
    Ok(Exit::Ok)
}
