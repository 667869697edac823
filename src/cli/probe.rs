//! `failoverd probe [ORIGIN|NAME]`: asks the daemon to probe now, beside its schedule. Moves nothing.

use crate::cli::exit::{Exit, Failure};
use crate::cli::explain::{asked, outcome_style};
use crate::cli::look::{BAD, BOLD, DIM, GOOD, Look, PLAIN, Table, Text, WARN, line};
use crate::cli::node::Node;
use crate::cli::out;
use crate::edge::admin::view::{Certificate, Outcome, Probe, ProbeNow, Probed, Race};
use crate::edge::admin::words;

/// Certificates with fewer days left are coloured.
const DAYS_FEW: i64 = 14;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Origin to probe, or a steered name for all that it stands on; everything where left out
    origin: Option<String>,
    /// Show each probe whole, and run the race of confirmations that a failure starts
    #[arg(short, long)]
    trace: bool,
    /// Print the views as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn probe(node: &Node, args: Args) -> Result<Exit, Failure> {
    let seen: Vec<Probed> = node.post(&["probe"], &ProbeNow { origin: args.origin, race: args.trace }).await?;
    match (args.json, args.trace) {
        (true, _) => out::json(&seen)?,
        (false, true) => out::print(&trace(&seen, Look::of_stdout()))?,
        (false, false) => out::print(&render(&seen, Look::of_stdout()))?,
    }
    Ok(Exit::Ok)
}

/// One line a watch.
#[must_use]
pub fn render(seen: &[Probed], look: Look) -> String {
    let mut out = String::new();
    if seen.is_empty() {
        return "nothing is watched there: no rung that names it has a check\n".to_owned();
    }
    let mut table = Table::new(&[
        "ORIGIN",
        "TARGET",
        "HOST",
        "OUTCOME",
        "RESOLVE",
        "CONNECT",
        "TLS",
        "FIRST BYTE",
        "BODY",
        "ANSWER",
        "TOTAL",
        "SEEN",
    ]);
    for one in seen {
        let probe = &one.probe;
        let time = |took: Option<f64>| Text::from(took.map(words::millis).unwrap_or_default());
        table.row(vec![
            Text::of(&one.origin, BOLD),
            place(&one.target, one.port).into(),
            one.host.as_str().into(),
            Text::of(word(probe.outcome, look), outcome_style(probe.outcome)),
            time(probe.phases.resolve_ms),
            time(probe.phases.connect_ms),
            time(probe.phases.tls_ms),
            time(probe.phases.first_byte_ms),
            time(probe.phases.body_ms),
            time(probe.phases.answer_ms),
            time(Some(probe.total_ms)),
            seen_of(probe),
        ]);
    }
    table.without_empty().write(&mut out, look);
    out
}

/// Every probe whole.
#[must_use]
pub fn trace(seen: &[Probed], look: Look) -> String {
    if seen.is_empty() {
        return render(seen, look);
    }
    let mut out = String::new();
    for (index, one) in seen.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let probe = &one.probe;
        let place = asked(&one.target, one.port, &one.check, &one.host);
        line(&mut out, Text::of(&one.origin, BOLD).and(place, PLAIN));
        let mut table = Table::new(&["", ""]).indented(2);
        let mut fact = |name: &str, told: Text| table.row(vec![Text::of(name, DIM), told]);
        fact("outcome", outcome(probe, look));
        fact("verdict", look.class(one.class).and(" (this probe moves nothing)", DIM));
        if let Some(address) = probe.address {
            fact("address", address.to_string().into());
        }
        let phases = phases(probe);
        if !phases.is_empty() {
            fact("phases", format!("{phases} = {}", words::millis(probe.total_ms)).into());
        }
        if let Some(status) = probe.status {
            fact("status", status.to_string().into());
        }
        for expectation in &probe.expect {
            let seen = expectation.seen.as_ref().map(|seen| format!(", saw {seen}")).unwrap_or_default();
            let (mark, style) = match expectation.held {
                Some(true) => ("holds", GOOD),
                Some(false) => ("broken", BAD),
                None => ("not asked", DIM),
            };
            fact("expect", Text::of(mark, style).and(format!(": {}{seen}", expectation.text), PLAIN));
        }
        for warning in &probe.warnings {
            fact("warning", Text::of(warning, WARN));
        }
        if let Some(shown) = &probe.certificate {
            fact("certificate", certificate(shown));
            fact("", format!("names {}", shown.names.join(", ")).into());
            let span = format!("valid {} to {}", words::moment(shown.not_before), words::moment(shown.not_after));
            fact("", span.into());
            fact("", format!("{} in the chain as sent", plural(shown.chain, "certificate")).into());
        }
        table.write(&mut out, look);
        if let Some(race) = &one.race {
            run(&mut out, race, look);
        }
        if let Some(why) = &one.no_race {
            line(&mut out, Text::of(format!("  no race: {why}"), DIM));
        }
    }
    out
}

/// Each probe of a race in a line, and what is believed in the end.
fn run(out: &mut String, race: &Race, look: Look) {
    let mut table = Table::new(&["START", "PROBE", "FROM PORT", "FAMILY", "PHASES", "OUTCOME"]).indented(2);
    for runner in &race.runners {
        let probe = &runner.probe;
        let family = probe.address.map(|address| if address.is_ipv4() { "IPv4" } else { "IPv6" });
        table.row(vec![
            format!("+{}", words::millis(runner.offset_ms)).into(),
            probe.purpose.as_str().into(),
            runner.source_port.map(|port| port.to_string()).unwrap_or_default().into(),
            family.unwrap_or_default().into(),
            phases(probe).into(),
            outcome(probe, look),
        ]);
    }
    table.without_empty().write(out, look);
    let after = format!(" after {}, had it been up before", words::millis(race.after_ms));
    line(out, Text::joined([Text::from("  believed "), look.class(race.class), Text::from(after)], ""));
}

/// `passed`, `failed: connection refused`.
pub(super) fn outcome(probe: &Probe, look: Look) -> Text {
    let text = Text::of(word(probe.outcome, look), outcome_style(probe.outcome));
    match &probe.cause {
        Some(cause) => text.and(format!(": {cause}"), PLAIN),
        None => text,
    }
}

/// `resolve 1.2ms, connect 3.0ms`, of the phases that were reached.
pub(super) fn phases(probe: &Probe) -> String {
    let phases = &probe.phases;
    [
        ("resolve", phases.resolve_ms),
        ("connect", phases.connect_ms),
        ("tls", phases.tls_ms),
        ("first byte", phases.first_byte_ms),
        ("body", phases.body_ms),
        ("answer", phases.answer_ms),
    ]
    .into_iter()
    .filter_map(|(phase, took)| Some(format!("{phase} {}", words::millis(took?))))
    .collect::<Vec<_>>()
    .join(", ")
}

/// `CN=… by CN=…, 61 days left`.
pub(super) fn certificate(shown: &Certificate) -> Text {
    let style = match shown.days_left {
        ..0 => BAD,
        0..DAYS_FEW => WARN,
        _ => PLAIN,
    };
    let left = match shown.days_left {
        days @ ..0 => format!("expired {} ago", plural(usize::try_from(-days).unwrap_or(0), "day")),
        days => format!("{} left", plural(usize::try_from(days).unwrap_or(0), "day")),
    };
    Text::from(format!("{} by {}, ", shown.subject, shown.issuer)).and(left, style)
}

fn word(outcome: Outcome, look: Look) -> &'static str {
    match (outcome, look.glyphs) {
        (Outcome::Passed, true) => "● passed",
        (Outcome::Failed, true) => "✗ failed",
        (Outcome::Inconclusive, true) => "○ inconclusive",
        (Outcome::Passed, false) => "passed",
        (Outcome::Failed, false) => "failed",
        (Outcome::Inconclusive, false) => "inconclusive",
    }
}

/// The cause, else the status and how long the certificate is good.
fn seen_of(probe: &Probe) -> Text {
    if let Some(cause) = &probe.cause {
        return cause.as_str().into();
    }
    let status = probe.status.map(|status| Text::from(status.to_string()));
    let left = probe.certificate.as_ref().map(|shown| {
        let style = if shown.days_left < DAYS_FEW { WARN } else { DIM };
        Text::of(format!("certificate {} left", plural(usize::try_from(shown.days_left).unwrap_or(0), "day")), style)
    });
    let warnings = probe.warnings.iter().map(|warning| Text::of(format!("warning: {warning}"), WARN));
    Text::joined(status.into_iter().chain(left).chain(warnings), ", ")
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A target with its port, if it has one.
fn place(target: &str, port: u16) -> String {
    match port {
        0 => target.to_owned(),
        _ if target.contains(':') => format!("[{target}]:{port}"),
        _ => format!("{target}:{port}"),
    }
}
