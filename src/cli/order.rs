//! What hold, drain, release, failback and approve have in common: they go to every node, and what became of them is told
//! node by node.

use serde::Serialize;

use crate::cli::exit::{Exit, Failure, warn};
use crate::cli::look::{BAD, BOLD, GOOD, PLAIN, Text, line};
use crate::cli::node::{self, Node};
use crate::cli::out;
use crate::edge::admin::view::Done;
use crate::edge::admin::words;

/// `--for`, `--reason` and `--force` of an order.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Terms {
    /// How long it lasts: `30m`, `1h 30m`, `2d`, or `until-released`
    #[arg(long = "for", value_name = "SPAN", default_value = "1h", value_parser = span)]
    pub(super) span: String,
    /// Why, for those who find it in force
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Give it even if it leaves nothing usable
    #[arg(long)]
    pub(super) force: bool,
}

fn span(text: &str) -> Result<String, String> {
    match text {
        words::UNTIL_RELEASED => Ok(text.to_owned()),
        text => words::read_span(text).map(|_| text.to_owned()),
    }
}

/// Gives `body` to every node at once, tells what became of it, and with which exit code to end.
pub(super) async fn give(
    nodes: &[Node],
    route: &'static str,
    body: impl Serialize + Clone + Send + Sync + 'static,
) -> Result<Exit, Failure> {
    let results = node::each(nodes, |node| {
        let body = body.clone();
        async move { node.post::<Done>(&[route], &body).await }
    })
    .await;
    if let [Err(failure)] = results.as_slice() {
        return Err(failure.clone());
    }
    let addressed: Vec<(String, Result<Done, Failure>)> = nodes.iter().map(Node::address).zip(results).collect();
    out::print(&render(&addressed))?;
    for (address, _) in addressed.iter().filter(|(_, result)| result.as_ref().is_ok_and(|done| !done.durable)) {
        warn(&format!("{address}: in force, not durable: storage did not commit in time, a crash would forget it"));
    }
    Ok(exit(&addressed))
}

/// What became of an order, one line a node.
#[must_use]
pub fn render(results: &[(String, Result<Done, Failure>)]) -> String {
    let mut out = String::new();
    for (address, result) in results {
        match result {
            Ok(done) => {
                let durable = if done.durable { Text::default() } else { Text::of("  in force, not durable", BAD) };
                let said = Text::of(&done.node, BOLD).and(": ", PLAIN).and(&done.said, GOOD);
                let generation = Text::from(format!("  (generation {})", done.generation));
                line(&mut out, Text::joined([said, generation, durable], ""));
            }
            Err(failure) => {
                line(
                    &mut out,
                    Text::of(address, BOLD).and(": ", PLAIN).and("not done: ", BAD).and(&failure.error, PLAIN),
                );
                for help in &failure.help {
                    line(&mut out, format!("  {help}").into());
                }
            }
        }
    }
    out
}

/// All done, done but not durable, partly done, or what the first failure says.
fn exit(results: &[(String, Result<Done, Failure>)]) -> Exit {
    let failures: Vec<&Failure> = results.iter().filter_map(|(_, result)| result.as_ref().err()).collect();
    match failures.as_slice() {
        [] if results.iter().flat_map(|(_, result)| result).any(|done| !done.durable) => Exit::NotDurable,
        [] => Exit::Ok,
        all if all.len() < results.len() => Exit::Partial,
        all => all.first().map_or(Exit::Ok, |failure| failure.exit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_all_some_and_none_apart() {
        let done = |durable| Ok(Done { node: "ns1".into(), generation: 1, durable, said: "held".into() });
        let denied = || Err(Failure::new(Exit::Denied, "no"));
        for (results, code) in [
            (vec![done(true), done(true)], Exit::Ok),
            (vec![done(true), done(false)], Exit::NotDurable),
            (vec![done(false), denied()], Exit::Partial),
            (vec![denied(), Err(Failure::new(Exit::Unreachable, "gone"))], Exit::Denied),
        ] {
            let addressed: Vec<_> = results.into_iter().map(|result| (String::new(), result)).collect();
            assert_eq!(exit(&addressed), code);
        }
    }
}
