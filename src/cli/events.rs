//! `failoverd events`: the journal, one line an entry; of several nodes, the first.

use crate::cli::exit::{Exit, Failure};
use crate::cli::look::{BAD, BOLD, DIM, GOOD, PLAIN, Text, WARN, line, ready_style, rung_style};
use crate::cli::node::Node;
use crate::cli::out;
use crate::control::journal::{Ending, Rehearsed, Served, Turn, What};
use crate::decision::order::{self, Order};
use crate::dns::Name;
use crate::edge::admin::view::{Event, EventsAsked};
use crate::edge::admin::words;
use crate::edge::headline;
use crate::verdict::Class;

#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Args {
    /// Go on as entries are committed, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// The last so many entries
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn events(node: &Node, args: Args) -> Result<Exit, Failure> {
    let asked = EventsAsked { after: None, limit: Some(usize::from(args.lines)), follow: args.follow };
    let mut lines = node.events(&asked).await?;
    while let Some(event) = lines.next().await? {
        if args.json {
            out::json_line(&event)?;
        } else {
            out::print(&render(&event))?;
        }
    }
    if args.follow {
        return Err(Failure::new(Exit::Unreachable, format!("{} has stopped", node.address())));
    }
    Ok(Exit::Ok)
}

/// One entry as people read it: a line, and below it what does not fit on one.
#[must_use]
pub fn render(event: &Event) -> String {
    let (word, style, said) = told(event);
    let mut out = String::new();
    let mut lines = said.into_iter();
    let head = Text::of(words::moment(event.at), DIM)
        .and(format!("  {}  ", event.node), PLAIN)
        .and(format!("{word:<8}  "), style);
    line(&mut out, Text::joined([head, lines.next().unwrap_or_default()], ""));
    for more in lines {
        line(&mut out, Text::joined([Text::from(" ".repeat(INDENT)), more], ""));
    }
    out
}

/// Columns of what follows a first line.
const INDENT: usize = 4;

/// The word of an entry, its colour, and what it says, by lines.
fn told(event: &Event) -> (&'static str, anstyle::Style, Vec<Text>) {
    let one = |text: String| vec![Text::from(text)];
    match &event.what {
        What::Started { version, generation } => {
            ("started", GOOD, one(format!("failoverd {version} serves, generation {}", generation.0)))
        }
        What::Stopped => ("stopped", WARN, one("in order".to_owned())),
        What::Turned(turn) => ("turn", BOLD, turned(turn)),
        What::Verdict { origin, target, host, from, to, why } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let style = match to.class {
                _ if to.degraded => WARN,
                Class::Up => GOOD,
                Class::Down => BAD,
                Class::Suspect | Class::Untried => WARN,
            };
            let about = Text::of(origin, BOLD).and(format!(" at {target} as {host}: {} → ", from.word()), PLAIN);
            ("verdict", PLAIN, vec![about.and(to.word(), style).and(why, PLAIN)])
        }
        What::Ordered(order) => {
            let until = match order.until {
                Some(until) => Text::from(format!(" until {}", words::clock(words::timestamp(until), event.at))),
                None => Text::of(format!(" {}", words::UNTIL_RELEASED), BAD),
            };
            let said = Text::of(&order.actor, BOLD).and(format!(" {}", ordered(order, "holds", "drains")), PLAIN);
            ("order", WARN, vec![Text::joined([said, until, format!(": {}", order.reason).into()], "")])
        }
        What::OrderEnded { order, by } => {
            let how = match by {
                Ending::Released { actor } => format!("released by {actor}"),
                Ending::Expired => "its time is up".to_owned(),
                Ending::Replaced { by } => format!("replaced by order {}", by.0),
                Ending::Vanished => "its target is no longer configured".to_owned(),
            };
            let said = ordered(order, "hold of", "drain of");
            ("order", GOOD, one(format!("order {} has ended, {how}: {said}, by {}", order.id.0, order.actor)))
        }
        What::FailbackApproved { name, actor } => {
            ("failback", GOOD, one(format!("{actor} approves the failback of {}", name.to_host())))
        }
        What::LimitReached { limit, waiting } => ("velocity", WARN, one(headline::limit_reached(*limit, *waiting))),
        What::LimitCleared { seconds } => {
            let since = words::seconds(*seconds);
            ("velocity", GOOD, one(format!("no name waits for the velocity limit any more, after {since}")))
        }
        What::MovesApproved(approved) => {
            let said = format!(" lets {} move", headline::approved_names(approved));
            ("approval", WARN, vec![Text::of(&approved.actor, BOLD).and(said, PLAIN)])
        }
        What::Reloaded { actor, warnings } => {
            let by = actor.as_ref().map(|actor| format!(" for {actor}")).unwrap_or_default();
            let warned = warnings.iter().map(|warning| Text::of(format!("warning: {warning}"), WARN));
            (
                "reload",
                GOOD,
                [Text::from(format!("configuration and zones read again{by}"))].into_iter().chain(warned).collect(),
            )
        }
        What::ReloadRefused { errors } => {
            let first = Text::of("refused; what was read before goes on serving", BAD);
            ("reload", BAD, [first].into_iter().chain(errors.lines().map(Text::from)).collect())
        }
        What::DoubtBegan { evidence } => {
            ("doubt", BAD, one(format!("our own sight is in doubt, automation is frozen: {evidence}")))
        }
        What::DoubtEnded { seconds } => {
            ("doubt", GOOD, one(format!("our own sight is good again, after {}", words::seconds(*seconds))))
        }
        What::Rehearsed(rehearsed) => rehearsal(rehearsed),
        What::SnapshotRefused(refused) => ("refused", BAD, one(format!("a snapshot was not published: {refused}"))),
    }
}

fn rehearsal(rehearsed: &Rehearsed) -> (&'static str, anstyle::Style, Vec<Text>) {
    let style = ready_style(rehearsed.to);
    let place = rehearsed.place.map_or_else(|| "standby".to_owned(), |place| place.to_string());
    let mut names: Vec<String> = rehearsed.names.iter().map(Name::to_host).collect();
    if rehearsed.others > 0 {
        names.push(format!("{} more", rehearsed.others));
    }
    let first = Text::from(format!("{place} {} for {}: ", rehearsed.origin, names.join(", ")));
    let mut lines = vec![Text::joined([first, Text::of(rehearsed.to.word(), style)], "")];
    for finding in &rehearsed.findings {
        lines.push(Text::of(&finding.seen, ready_style(finding.level)));
        lines.extend((!finding.advice.is_empty()).then(|| Text::of(format!("→ {}", finding.advice), PLAIN)));
    }
    ("ready", style, lines)
}

fn turned(turn: &Turn) -> Vec<Text> {
    let served = |served: &Served| {
        let place = served.place.to_string();
        Text::of(&place, rung_style(&place)).and(format!(" {}", served.origins.join(", ")), PLAIN)
    };
    let from = turn.from.as_deref().map_or(Text::from("nothing"), served);
    let reason = format!(": {}", words::reason(&turn.reason));
    let name = Text::of(turn.name.to_host(), BOLD).and("  ", PLAIN);
    let first = Text::joined([name, from, Text::of(" → ", DIM), served(&turn.to), reason.into()], "");
    let confirmed = turn
        .stages
        .confirm_ms
        .map(|millis| format!(", confirmed in {}", words::span(std::time::Duration::from_millis(millis))));
    let published = format!(
        "{}; generation {}, {} serial {}, ttl {}s{}, published in {:.2}ms",
        words::data(&turn.to.data),
        turn.generation.0,
        turn.zone.to_host(),
        turn.serial,
        turn.ttl,
        confirmed.unwrap_or_default(),
        turn.stages.publish_us as f64 / 1000.0
    );
    let evidence = turn.evidence.iter().map(|seen| Text::from(seen.as_str()));
    [first].into_iter().chain(evidence).chain([Text::of(published, DIM)]).collect()
}

fn ordered(order: &Order, hold: &str, drain: &str) -> String {
    match &order.what {
        order::What::Hold { name, place } => format!("{hold} {} on {place}", name.to_host()),
        order::What::Drain { origin } => format!("{drain} {origin}"),
    }
}
