//! `failoverd status`: every steered name at a glance; of several nodes, side by side.

use std::time::Duration;

use serde::Serialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::look::{BAD, BOLD, DIM, GOOD, Look, PLAIN, Table, Text, WARN, line, ready_style, rung_style};
use crate::cli::node::{self, Node};
use crate::cli::out;
use crate::edge::admin::view::{Order, Rung, Serving, Status, Steered, Waiting};
use crate::edge::admin::words;
use crate::ready::{Finding, Ready};
use crate::verdict::Class;

/// Between two pictures of `--watch`.
const REDRAW: Duration = Duration::from_secs(1);

#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Args {
    /// Draw again every second, until interrupted
    #[arg(short, long, conflicts_with = "json")]
    watch: bool,
    /// Print the view as JSON
    #[arg(long)]
    json: bool,
}

/// One node as it was seen, or why it was not.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// Base URL.
    pub address: String,
    pub status: Result<Status, Failure>,
}

/// One node of several in `--json`.
#[derive(Serialize)]
struct Told<'a> {
    admin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

pub(super) async fn status(nodes: &[Node], args: Args) -> Result<Exit, Failure> {
    if args.watch {
        loop {
            let look = Look::of_stdout();
            out::frame(&render(&look_at(nodes).await, look), look)?;
            tokio::time::sleep(REDRAW).await;
        }
    }
    let seen = look_at(nodes).await;
    if let [Seen { status: Err(failure), .. }] = seen.as_slice() {
        return Err(failure.clone());
    }
    match (args.json, seen.as_slice()) {
        (true, [Seen { status: Ok(status), .. }]) => out::json(status)?,
        (true, several) => out::json(&several.iter().map(told).collect::<Vec<_>>())?,
        (false, seen) => out::print(&render(seen, Look::of_stdout()))?,
    }
    let missing = seen.iter().filter(|seen| seen.status.is_err()).count();
    Ok(match missing {
        0 => Exit::Ok,
        all if all == seen.len() => Exit::Unreachable,
        _ => Exit::Partial,
    })
}

async fn look_at(nodes: &[Node]) -> Vec<Seen> {
    let statuses = node::each(nodes, |node| async move { node.get::<Status>(&["status"]).await }).await;
    nodes.iter().zip(statuses).map(|(node, status)| Seen { address: node.address(), status }).collect()
}

fn told(seen: &Seen) -> Told<'_> {
    Told {
        admin: &seen.address,
        status: seen.status.as_ref().ok(),
        error: seen.status.as_ref().err().map(|failure| failure.error.as_str()),
    }
}

/// What a person is shown of these nodes.
#[must_use]
pub fn render(seen: &[Seen], look: Look) -> String {
    let mut out = String::new();
    match seen {
        [Seen { status: Ok(status), .. }] => one(&mut out, status, look),
        several => side_by_side(&mut out, several, look),
    }
    out
}

/// A node's name, version, generation and age, and what is wrong with it.
fn head(out: &mut String, status: &Status) {
    let ready = match (status.ready, status.degraded.is_empty()) {
        (true, true) => Text::of("ready", GOOD),
        (true, false) => Text::of("degraded", WARN),
        (false, _) => Text::of("not ready", BAD),
    };
    let about = format!(
        "  failoverd {}  generation {}  up {}  ",
        status.version,
        status.generation,
        words::seconds(status.uptime_seconds)
    );
    line(out, Text::joined([Text::of(&status.node, BOLD).and(about, PLAIN), ready], ""));
    if let Some(doubt) = &status.doubt {
        let since = words::seconds(doubt.since_seconds);
        let text = format!("! our own sight is in doubt for {since}: {}", doubt.evidence);
        line(out, Text::of(text, BAD));
        line(out, Text::of("! automation is frozen on the last good answers; orders still count", BAD));
    }
    if let Some(waiting) = &status.waiting {
        line(out, Text::of(format!("! {}; `failoverd approve --all`", waiting_names(waiting)), WARN));
    }
    if let Some(journal) = &status.journal {
        let waiting = journal.recorded.saturating_sub(journal.committed);
        let entries = if waiting == 1 { "1 entry is".to_owned() } else { format!("{waiting} entries are") };
        match &journal.trouble {
            Some(trouble) => {
                line(
                    out,
                    Text::of(format!("! storage: {trouble}; {entries} unrecorded and would not outlive a crash"), BAD),
                );
            }
            None if !journal.durable => line(out, Text::of(format!("! {entries} unrecorded yet"), WARN)),
            None => {}
        }
    }
    for reason in &status.degraded {
        line(out, Text::of(format!("! {reason}"), WARN));
    }
}

/// `12 names wait for the velocity limit (20 in 1m): the next may move in 34s`.
pub(super) fn waiting_names(waiting: &Waiting) -> String {
    let names = if waiting.names == 1 { "1 name waits".to_owned() } else { format!("{} names wait", waiting.names) };
    let next = match waiting.next_in_ms {
        Some(left) => format!("the next may move in {}", words::seconds(left.div_ceil(1000))),
        None => "a person decides".to_owned(),
    };
    format!("{names} for the velocity limit ({}): {next}", limit(waiting))
}

/// `20 in 1m`.
pub(super) fn limit(waiting: &Waiting) -> String {
    format!("{} in {}", waiting.limit, words::span(Duration::from_millis(waiting.per_ms)))
}

fn one(out: &mut String, status: &Status, look: Look) {
    head(out, status);
    out.push('\n');
    if status.names.is_empty() {
        line(out, Text::of("no steered names are configured; all data is static", DIM));
    } else {
        let whole = names(status, look, true);
        if look.width.is_none_or(|width| whole.width() <= width) {
            whole.write(out, look);
        } else {
            names(status, look, false).write(out, look);
            whys(out, &status.names);
        }
    }
    rehearsals(out, status, look);
    if !status.orders.is_empty() {
        out.push('\n');
        orders(&status.orders).write(out, look);
    }
}

/// What is not ready, a line each with what to do below it; that all standbys are ready, in one.
fn rehearsals(out: &mut String, status: &Status, look: Look) {
    let origins = status.names.iter().flat_map(|name| {
        let rungs = name.rungs.iter().flat_map(|rung| rung.origins.iter().map(move |origin| (rung, origin)));
        rungs.map(move |(rung, origin)| (name, rung, origin))
    });
    let mut table = Table::new(&["NAME", "RUNG", "ORIGIN", "READY", "WHY"]);
    let (mut standbys, mut ready, mut shown) = (0, 0, false);
    for (name, rung, origin) in origins {
        standbys += usize::from(!rung.served);
        ready += usize::from(!rung.served && origin.ready == Ready::Ready);
        if origin.ready <= Ready::Unknown {
            continue;
        }
        shown = true;
        let nothing = [Finding::of_nothing(origin.ready)];
        let findings = if origin.findings.is_empty() { &nothing[..] } else { &origin.findings };
        for (index, finding) in findings.iter().enumerate() {
            let first = |text: Text| if index == 0 { text } else { Text::default() };
            table.row(vec![
                first(Text::of(&name.name, BOLD)),
                first(rung.rung.as_str().into()),
                first(origin.name.as_str().into()),
                Text::of(finding.level.word(), ready_style(finding.level)),
                finding.told().into(),
            ]);
        }
    }
    if shown {
        out.push('\n');
        table.write(out, look);
    } else if standbys > 0 && ready == standbys {
        out.push('\n');
        line(out, Text::of("every standby is ready", DIM));
    }
}

/// One row a name; without its TTL and the reason where a terminal has no room for them.
fn names(status: &Status, look: Look, whole: bool) -> Table {
    let places = places(status.names.iter().flat_map(|name| &name.rungs));
    let mut heads = vec!["NAME".to_owned(), "SERVING".to_owned(), "SINCE".to_owned()];
    heads.extend(places.iter().map(|place| place.to_uppercase()));
    let rest: &[&str] = if whole { &["ORDER", "SERIAL", "TTL", "WHY"] } else { &["ORDER", "SERIAL"] };
    heads.extend(rest.iter().map(|&head| head.to_owned()));
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &status.names {
        let serving = name.serving.as_ref();
        let mut row = vec![
            Text::of(&name.name, BOLD),
            self::serving(serving),
            serving.map(|_| words::seconds(name.since_seconds)).unwrap_or_default().into(),
        ];
        for place in &places {
            let rung = name.rungs.iter().find(|rung| rung.rung == *place);
            row.push(rung.map(|rung| self::rung(rung, look)).unwrap_or_default());
        }
        row.push(name.order.as_ref().map(remaining).unwrap_or_default());
        row.push(name.zone_serial.unwrap_or(name.serial).to_string().into());
        if whole {
            row.push(serving.map(|serving| format!("{}s", serving.ttl)).unwrap_or_default().into());
            row.push(why(serving));
        }
        table.row(row);
    }
    table.without_empty()
}

/// Below a narrow table: why each name is not where it is best, on lines that may wrap.
fn whys(out: &mut String, names: &[Steered]) {
    let told = names.iter().filter(|name| name.serving.as_ref().is_none_or(|serving| serving.why != "preferred"));
    for (index, name) in told.enumerate() {
        if index == 0 {
            out.push('\n');
        }
        let named = Text::of(&name.name, BOLD).and(": ", PLAIN);
        line(out, Text::joined([named, why(name.serving.as_ref())], ""));
    }
}

/// Every place that stands on some ladder: primary, the backups, emergency.
fn places<'a>(rungs: impl Iterator<Item = &'a Rung>) -> Vec<String> {
    let mut places: Vec<_> = rungs.filter_map(|rung| words::read_place(&rung.rung).ok()).collect();
    places.sort_unstable();
    places.dedup();
    places.iter().map(ToString::to_string).collect()
}

fn serving(serving: Option<&Serving>) -> Text {
    match serving {
        None => Text::of("no reply yet", WARN),
        Some(serving) => {
            Text::of(&serving.rung, rung_style(&serving.rung)).and(" → ", DIM).and(serving.origins.join(", "), PLAIN)
        }
    }
}

fn rung(rung: &Rung, look: Look) -> Text {
    let origins = Text::joined(
        rung.origins.iter().map(|origin| look.origin(origin, rung.unchecked)),
        if look.glyphs { " " } else { ", " },
    );
    let is_short = rung.class == Class::Down && rung.origins.iter().any(|one| one.class.is_usable() && !one.drained);
    if is_short { origins.and(format!(" ({} needed)", rung.needs), BAD) } else { origins }
}

/// What deserves a colour beyond its words: what is far from well.
fn why(serving: Option<&Serving>) -> Text {
    match serving {
        None => Text::of("waits for the first probes", DIM),
        Some(serving) => {
            let style = match serving.why.as_str() {
                "preferred" => DIM,
                "all-dead" | "too-few" | "panic" | "last-resort" | "doubt" => BAD,
                "waits" => WARN,
                _ => PLAIN,
            };
            Text::of(&serving.because, style)
        }
    }
}

/// `hold 58m`, `hold until-released`.
fn remaining(order: &Order) -> Text {
    let kind = Text::of(&order.kind, WARN).and(" ", PLAIN);
    match order.remaining_seconds {
        Some(left) => kind.and(words::seconds(left), PLAIN),
        None => kind.and(words::UNTIL_RELEASED, BAD),
    }
}

fn orders(orders: &[Order]) -> Table {
    let mut table = Table::new(&["ORDER", "ON", "BY", "LEFT", "REASON"]);
    for order in orders {
        let on = match &order.rung {
            Some(rung) => format!("{} on {rung}", order.target),
            None => order.target.clone(),
        };
        let left = match order.remaining_seconds {
            Some(left) => words::seconds(left).into(),
            None => Text::of(words::UNTIL_RELEASED, BAD),
        };
        table.row(vec![
            Text::of(&order.kind, WARN),
            on.into(),
            order.actor.as_str().into(),
            left,
            order.reason.as_str().into(),
        ]);
    }
    table
}

fn side_by_side(out: &mut String, seen: &[Seen], look: Look) {
    for one in seen {
        match &one.status {
            Ok(status) => head(out, status),
            Err(failure) => line(out, Text::of(format!("! {}", failure.error), BAD)),
        }
    }
    let statuses: Vec<&Status> = seen.iter().filter_map(|one| one.status.as_ref().ok()).collect();
    let mut names: Vec<&str> = Vec::new();
    for name in statuses.iter().flat_map(|status| &status.names) {
        if !names.contains(&name.name.as_str()) {
            names.push(&name.name);
        }
    }
    if names.is_empty() {
        return;
    }
    out.push('\n');
    let heads: Vec<String> = statuses.iter().map(|status| status.node.to_uppercase()).collect();
    let mut table = Table::new(&["NAME", ""].into_iter().chain(heads.iter().map(String::as_str)).collect::<Vec<_>>());
    let mut split: Vec<&str> = Vec::new();
    for name in names {
        let each: Vec<Option<&Steered>> =
            statuses.iter().map(|status| status.names.iter().find(|steered| steered.name == name)).collect();
        let agree = each.windows(2).all(|pair| said(pair[0]) == said(pair[1]));
        let mark = match (agree, look.glyphs) {
            (true, true) => Text::of("=", DIM),
            (true, false) => "agree".into(),
            (false, true) => Text::of("≠", BAD),
            (false, false) => Text::of("DISAGREE", BAD),
        };
        let mut row = vec![Text::of(name, if agree { BOLD } else { BAD }), mark];
        row.extend(each.iter().map(|steered| match steered {
            None => Text::of("not configured", BAD),
            Some(steered) => serving(steered.serving.as_ref()),
        }));
        table.row(row);
        if !agree {
            split.push(name);
        }
    }
    table.write(out, look);
    for name in split {
        out.push('\n');
        line(out, Text::of(format!("{name}: the nodes disagree"), BAD));
        let mut whys = Table::new(&["", "", "", ""]).indented(2);
        for status in &statuses {
            let Some(steered) = status.names.iter().find(|steered| steered.name == name) else {
                continue;
            };
            let serial = steered.zone_serial.unwrap_or(steered.serial);
            whys.row(vec![
                Text::of(&status.node, BOLD),
                format!("since {}", words::seconds(steered.since_seconds)).into(),
                format!("serial {serial}").into(),
                why(steered.serving.as_ref()),
            ]);
        }
        whys.write(out, look);
    }
    for status in statuses.iter().filter(|status| !status.orders.is_empty()) {
        out.push('\n');
        line(out, Text::of(format!("orders on {}", status.node), BOLD));
        orders(&status.orders).indented(2).write(out, look);
    }
}

/// What nodes must have in common to agree about a name.
fn said(steered: Option<&Steered>) -> Option<Option<(&str, &[String])>> {
    steered.map(|one| one.serving.as_ref().map(|serving| (serving.rung.as_str(), serving.origins.as_slice())))
}
