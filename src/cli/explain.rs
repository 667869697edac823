//! `failoverd explain NAME`: one name through the six words: config, probe, verdict, decision, snapshot, answer.

use jiff::Timestamp;

use crate::cli::exit::{Exit, Failure};
use crate::cli::look::{BAD, BOLD, DIM, GOOD, Look, PLAIN, Table, Text, WARN, line, ready_style, rung_style};
use crate::cli::node::Node;
use crate::cli::{out, probe, status};
use crate::config::{Form, Platform};
use crate::edge::admin::view::{
    Answer, ConfiguredCheck, ConfiguredOrigin, Explain, Former, Order, Outcome, Serving, Watch,
};
use crate::edge::admin::words;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Steered name, `www.example.com`
    name: String,
    /// Print the view as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn explain(node: &Node, args: Args) -> Result<Exit, Failure> {
    let told: Explain = node.get(&["explain", &args.name]).await?;
    if args.json {
        out::json(&told)?;
    } else {
        out::print(&render(&told, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

/// Columns before the text of a section.
const MARGIN: usize = 10;

/// What a person is shown.
#[must_use]
pub fn render(told: &Explain, look: Look) -> String {
    let mut out = String::new();
    let about = format!("  in zone {}, on {}, {}", told.steered.zone, told.node, words::moment(told.now));
    line(&mut out, Text::of(&told.steered.name, BOLD).and(about, DIM));
    section(&mut out, "config", |out| config(out, told, look));
    section(&mut out, "probe", |out| probes(out, told, look));
    section(&mut out, "verdict", |out| verdicts(out, told, look));
    section(&mut out, "decision", |out| decision(out, told));
    section(&mut out, "snapshot", |out| snapshot(out, told));
    section(&mut out, "answer", |out| answer(out, told));
    out
}

/// One of the six words, and what `write` says of it beside it.
fn section(out: &mut String, word: &str, write: impl FnOnce(&mut String)) {
    let mut body = String::new();
    write(&mut body);
    out.push('\n');
    for (index, text) in body.lines().enumerate() {
        let word = if index == 0 { word } else { "" };
        out.push_str(&format!("{BOLD}{word:MARGIN$}{BOLD:#}{text}\n"));
    }
}

/// A terminal's room beside the margin.
fn beside(look: Look) -> Look {
    Look { width: look.width.map(|width| width.saturating_sub(MARGIN)), ..look }
}

fn config(out: &mut String, told: &Explain, look: Look) {
    let config = &told.config;
    let mut ladder = Table::new(&["", "", "", ""]);
    for rung in &config.ladder {
        for (index, origin) in rung.origins.iter().enumerate() {
            let quorum = rung.quorum.as_ref().map(|quorum| format!(", {quorum}")).unwrap_or_default();
            let check = match &rung.check {
                Some(check) => format!("check {check}{quorum}").into(),
                None => Text::of("unasked: served without a check", DIM),
            };
            ladder.row(vec![
                if index == 0 { rung.rung.as_str() } else { "" }.into(),
                Text::of(&origin.name, BOLD),
                lives_at(origin).into(),
                if index == 0 { check } else { Text::default() },
            ]);
        }
    }
    ladder.write(out, beside(look));
    for check in &config.checks {
        configured_check(out, check);
    }
    let form = match config.form {
        Form::Cname => "as CNAME",
        Form::Address => "by address",
    };
    line(out, format!("served {form}, ttl {}s, asked as {}", config.ttl, config.hosts.join(", ")).into());
    line(out, format!("failback {}", config.failback).into());
    if config.leave_degraded {
        line(out, "a degraded rung is left for one that is up and not degraded".into());
    }
    if config.strict {
        line(out, "strict: a rung that would fail its visitors counts as dead while any other lives".into());
    }
}

fn lives_at(origin: &ConfiguredOrigin) -> String {
    let addresses = origin.addresses.iter().map(ToString::to_string);
    let all = origin.cname.iter().cloned().chain(addresses).collect::<Vec<_>>().join(", ");
    match origin.platform {
        Platform::Plain => all,
        platform => format!("{all} on {}", platform.name()),
    }
}

fn configured_check(out: &mut String, check: &ConfiguredCheck) {
    let span = |millis| words::span(std::time::Duration::from_millis(millis));
    let standby = match check.standby_every_ms {
        millis if millis > check.every_ms => format!(" ({} as a standby)", span(millis)),
        _ => String::new(),
    };
    let port = if check.port > 0 { format!(" on port {}", check.port) } else { String::new() };
    let text = format!(
        "check {}: {}{}, every {}{standby}, timeout {}, fall {}, rise {}, confirm {}, blip {}",
        check.name,
        check.ask,
        port,
        span(check.every_ms),
        span(check.timeout_ms),
        check.fall,
        check.rise,
        span(check.confirm_ms),
        span(check.blip_ms)
    );
    let window = check.window.as_ref().map(|window| format!(", window {window}")).unwrap_or_default();
    line(out, format!("{text}{window}").into());
    for (word, expressions) in [("expect", &check.expect), ("warn", &check.warn), ("degraded", &check.degraded)] {
        if !expressions.is_empty() {
            line(out, format!("  {word} {}", expressions.join(", ")).into());
        }
    }
}

/// ` at 192.0.2.1 port 443, check site, as www.example.com`: port and host where there are any.
pub(super) fn asked(target: &str, port: u16, check: &str, host: &str) -> String {
    let port = if port > 0 { format!(" port {port}") } else { String::new() };
    let host = if host.is_empty() { String::new() } else { format!(", as {host}") };
    format!(" at {target}{port}, check {check}{host}")
}

fn probes(out: &mut String, told: &Explain, look: Look) {
    if told.watches.is_empty() {
        line(out, Text::of("nothing is asked: no rung has a check", DIM));
    }
    for watch in &told.watches {
        let place = asked(&watch.target, watch.port, &watch.check, &watch.host);
        line(out, Text::of(&watch.origin, BOLD).and(place, PLAIN));
        match &watch.last {
            None => line(out, Text::of("  not probed yet", DIM)),
            Some(last) => {
                let ago = words::span(std::time::Duration::from_millis(last.ago_ms));
                line(
                    out,
                    Text::joined([Text::from("  "), probe::outcome(last, look), format!(", {ago} ago").into()], ""),
                );
                let told = probe::phases(last);
                if !told.is_empty() {
                    line(out, format!("  {told}").into());
                }
                if let Some(certificate) = &last.certificate {
                    line(out, Text::joined([Text::from("  certificate "), probe::certificate(certificate)], ""));
                }
                for warning in &last.warnings {
                    line(out, Text::of(format!("  warning: {warning}"), WARN));
                }
            }
        }
        line(out, Text::joined([Text::from("  "), history(watch)], ""));
    }
}

/// `recent +++--, next in 3s, 120 probes, 2 failed`.
fn history(watch: &Watch) -> Text {
    let mut text = Text::default();
    if !watch.recent.is_empty() {
        text = text.and("recent ", PLAIN);
        for mark in watch.recent.chars() {
            let style = match mark {
                '+' => GOOD,
                '-' => BAD,
                _ => WARN,
            };
            text = text.and(mark.to_string(), style);
        }
        text = text.and(", ", PLAIN);
    }
    let next = match watch.next_in_ms {
        Some(millis) => format!("next in {}, ", words::span(std::time::Duration::from_millis(millis))),
        None => String::new(),
    };
    text.and(format!("{next}{} probes, {} failed", watch.probes, watch.failures), PLAIN)
}

fn verdicts(out: &mut String, told: &Explain, look: Look) {
    let mut table = Table::new(&["", "", "", "", "", ""]);
    let several = told.config.checks.len() > 1;
    for watch in &told.watches {
        let since = match (watch.since, watch.since_seconds) {
            (Some(at), Some(seconds)) => format!("since {} ({})", words::clock(at, told.now), words::seconds(seconds)),
            _ => String::new(),
        };
        let mut said: Vec<Text> = Vec::new();
        said.extend(watch.cause.as_deref().map(Text::from));
        said.extend(watch.progress.as_deref().map(Text::from));
        said.extend(watch.degraded.as_ref().map(|rule| Text::of(format!("degraded: {rule}"), WARN)));
        if watch.stale {
            said.push(Text::of("stale: no conclusive probe for three intervals, the class is kept", WARN));
        }
        if watch.unseen {
            said.push(Text::of("unseen: this host has no route to its family, it follows the other", WARN));
        }
        table.row(vec![
            Text::of(&watch.origin, BOLD),
            watch.target.as_str().into(),
            if several { Text::from(watch.check.as_str()) } else { Text::default() },
            look.class(watch.class),
            since.into(),
            Text::joined(said, "; "),
        ]);
    }
    if told.watches.is_empty() {
        line(out, Text::of("nothing is asked, so nothing is known", DIM));
    }
    table.without_empty().write(out, beside(look));
    rehearsed(out, told, look);
    let drained = told.steered.rungs.iter().flat_map(|rung| &rung.origins).filter(|origin| origin.drained);
    let mut names: Vec<&str> = drained.map(|origin| origin.name.as_str()).collect();
    names.dedup();
    for name in names {
        line(out, Text::of(format!("{name} is drained by an order, whatever its probes say"), WARN));
    }
}

/// Would each of them serve its visitors?
fn rehearsed(out: &mut String, told: &Explain, look: Look) {
    let mut table = Table::new(&["", "", "", ""]);
    for (rung, origin) in told.steered.rungs.iter().flat_map(|rung| rung.origins.iter().map(move |one| (rung, one))) {
        let mut lines = vec![Text::default()];
        for finding in &origin.findings {
            lines.push(finding.seen.as_str().into());
            lines.extend((!finding.advice.is_empty()).then(|| Text::of(format!("→ {}", finding.advice), DIM)));
        }
        for (index, said) in lines.iter().skip(usize::from(lines.len() > 1)).enumerate() {
            let first = |text: Text| if index == 0 { text } else { Text::default() };
            table.row(vec![
                first(Text::of(&origin.name, BOLD)),
                first(rung.rung.as_str().into()),
                first(Text::of(origin.ready.word(), ready_style(origin.ready))),
                said.clone(),
            ]);
        }
    }
    table.write(out, beside(look));
}

fn decision(out: &mut String, told: &Explain) {
    let steered = &told.steered;
    let Some(serving) = &steered.serving else {
        line(out, Text::of("none yet: the name gives no reply until its first probes are back", WARN));
        return;
    };
    let since =
        format!("  since {} ({})", words::clock(steered.since, told.now), words::seconds(steered.since_seconds));
    let served =
        Text::of(&serving.rung, rung_style(&serving.rung)).and(format!(" → {}", serving.origins.join(", ")), PLAIN);
    line(out, Text::joined([served, Text::of(since, DIM)], ""));
    line(out, format!("because: {}", serving.because).into());
    if let Some(order) = &steered.order {
        line(out, held(order, told.now));
    }
    if let Some(doubt) = &told.doubt {
        line(out, Text::of(format!("in doubt for {}: {}", words::seconds(doubt.since_seconds), doubt.evidence), BAD));
    }
    if let Some(waits) = waits_for(told, serving) {
        line(out, format!("waits for: {waits}").into());
    }
}

fn held(order: &Order, now: Timestamp) -> Text {
    let by =
        format!("order {}: {} by {}, given {}, ", order.id, order.kind, order.actor, words::clock(order.given, now));
    let reason = format!("; reason: {}", order.reason);
    match (order.until, order.remaining_seconds) {
        (Some(until), Some(left)) => {
            Text::of(format!("{by}ends {} (in {}){reason}", words::clock(until, now), words::seconds(left)), WARN)
        }
        _ => Text::of(by, WARN).and(words::UNTIL_RELEASED, BAD).and(reason, WARN),
    }
}

/// What would change this decision; nothing while all is well.
fn waits_for(told: &Explain, serving: &Serving) -> Option<String> {
    let before = || {
        let rungs = told.steered.rungs.iter().take_while(|rung| !rung.served);
        rungs.map(|rung| rung.rung.as_str()).collect::<Vec<_>>().join(" or ")
    };
    Some(match serving.why.as_str() {
        "failed-over" if before().is_empty() => return None,
        "failed-over" => format!("{} to be up again; then failback {}", before(), told.config.failback),
        "failback-waits" => match serving.failback_due {
            Some(due) => {
                let left = u64::try_from(due.as_second().saturating_sub(told.now.as_second())).unwrap_or(0);
                format!("{} to stay up until {} (in {})", before(), words::clock(due, told.now), words::seconds(left))
            }
            None => format!("{} to stay up", before()),
        },
        "failback-manual" => format!("a person: failoverd failback {}", told.steered.name),
        "degraded" => format!("{} to be up and not degraded; then failback {}", before(), told.config.failback),
        "last-resort" | "all-dead" | "too-few" | "panic" => {
            "any other rung to be up again; then it is served at once".to_owned()
        }
        "held" => format!("the order to end, or: failoverd release {}", told.steered.name),
        "doubt" => "a probe or a canary that passes".to_owned(),
        "waits" => {
            let asked = format!("a person: failoverd approve {}", told.steered.name);
            let wanted = serving.waits_since.map(|since| format!(" (wanted since {})", words::clock(since, told.now)));
            match told.waiting.as_ref().filter(|waiting| waiting.next_in_ms.is_some()) {
                Some(waiting) => format!(
                    "room under the velocity limit{}: {}; or {asked}",
                    wanted.unwrap_or_default(),
                    status::waiting_names(waiting)
                ),
                None => format!("{asked}{}", wanted.unwrap_or_default()),
            }
        }
        "unproven" | "restored" => "the first probes to come back".to_owned(),
        _ => return None,
    })
}

fn snapshot(out: &mut String, told: &Explain) {
    let steered = &told.steered;
    let zone = steered.zone_serial.map_or(String::new(), |serial| format!(", {} serial {serial}", steered.zone));
    line(out, format!("generation {}{zone}; this decision since serial {}", told.generation, steered.serial).into());
    line(
        out,
        match &told.journal {
            None => Text::of("the control loop does not answer: whether this is recorded is not known", BAD),
            Some(journal) if journal.durable => Text::of("recorded: it outlives a crash", PLAIN),
            Some(journal) => {
                let why = journal.trouble.as_deref().unwrap_or("the last entries wait for the disk");
                Text::of("unrecorded", BAD).and(format!(": {why}"), PLAIN)
            }
        },
    );
}

fn answer(out: &mut String, told: &Explain) {
    if told.answer.is_empty() {
        line(out, Text::of("no reply yet", WARN));
    }
    for record in &told.answer {
        line(out, Text::of(record, BOLD));
    }
    if let Some(former) = &told.steered.former {
        line(out, before(former, told.now));
    }
}

fn before(former: &Former, now: Timestamp) -> Text {
    let held = match &former.answer {
        Answer::Cname(target) => target.clone(),
        Answer::Addresses(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let was = format!(
        "before: {} → {} ({held}) until {}; ",
        former.rung,
        former.origins.join(", "),
        words::clock(former.until, now)
    );
    let gone = words::clock(former.gone, now);
    match former.remaining_seconds {
        0 => Text::of(format!("{was}no cache has held it since {gone}"), DIM),
        left => Text::of(was, PLAIN).and(format!("its last cache expires {gone} (in {})", words::seconds(left)), WARN),
    }
}

/// The outcome's colour.
pub(super) fn outcome_style(outcome: Outcome) -> anstyle::Style {
    match outcome {
        Outcome::Passed => GOOD,
        Outcome::Failed => BAD,
        Outcome::Inconclusive => WARN,
    }
}
