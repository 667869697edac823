//! What came of a replay: that it is the same, or where it differs; and two configurations side by side.

use std::time::Duration;

use serde::Serialize;

use crate::cli::look::{BAD, BOLD, DIM, GOOD, Look, PLAIN, Table, Text, WARN, line, rung_style};
use crate::control::journal::Turn;
use crate::edge::admin::words;
use crate::record::{Comparison, Difference, Outcome, Pair, Sparse, Told};
use crate::time::Wall;

/// Watches told of by name; of more only how many there are.
const NAMED: usize = 5;

/// All of it as JSON.
#[derive(Serialize)]
pub struct Summary<'s> {
    from: Option<Wall>,
    until: Option<Wall>,
    bytes: u64,
    observations: u64,
    events: u64,
    starts: u64,
    rebuilt: Vec<Rebuilt>,
    turns: usize,
    same: usize,
    differences: Vec<Both<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<Other<'s>>,
}

#[derive(Serialize)]
struct Rebuilt {
    at: Wall,
    missing: u64,
}

#[derive(Serialize)]
struct Both<'s> {
    name: String,
    recorded: Option<One<'s>>,
    now: Option<One<'s>>,
}

#[derive(Serialize)]
struct One<'s> {
    at: Wall,
    #[serde(flatten)]
    turn: &'s Turn,
}

#[derive(Serialize)]
struct Other<'s> {
    moves: Vec<Both<'s>>,
    untried: &'s [String],
    sparse: Vec<Sparser<'s>>,
    confirmations: u64,
    unconfirmed: u64,
    reloads: u64,
}

#[derive(Serialize)]
struct Sparser<'s> {
    check: &'s str,
    key: &'s str,
    recorded_ms: u128,
    now_ms: u128,
}

impl<'s> Summary<'s> {
    /// `bytes` is what the record takes.
    #[must_use]
    pub fn of(outcome: &'s Outcome, bytes: u64) -> Self {
        let one = |told: &'s Option<Told>| told.as_ref().map(|told| One { at: told.at, turn: &told.turn });
        let differences = outcome.differences.iter().map(|difference| Both {
            name: difference.name.to_host(),
            recorded: one(&difference.recorded),
            now: one(&difference.decided),
        });
        let other = outcome.comparison.as_ref().map(|comparison| Other {
            moves: comparison
                .pairs
                .iter()
                .map(|pair| Both { name: pair.name.to_host(), recorded: one(&pair.recorded), now: one(&pair.other) })
                .collect(),
            untried: &comparison.untried,
            sparse: comparison
                .sparse
                .iter()
                .map(|Sparse { check, key, recorded, other }| Sparser {
                    check,
                    key,
                    recorded_ms: recorded.as_millis(),
                    now_ms: other.as_millis(),
                })
                .collect(),
            confirmations: comparison.confirmations,
            unconfirmed: comparison.unconfirmed,
            reloads: comparison.reloads,
        });
        Self {
            from: outcome.span.map(|(from, _)| from),
            until: outcome.span.map(|(_, until)| until),
            bytes,
            observations: outcome.observations,
            events: outcome.events,
            starts: outcome.starts,
            rebuilt: outcome.rebuilt.iter().map(|&(at, missing)| Rebuilt { at, missing }).collect(),
            turns: outcome.turns,
            same: outcome.same,
            differences: differences.collect(),
            other,
        }
    }
}

/// After the turns: how they compare.
#[must_use]
pub fn render(outcome: &Outcome, bytes: u64, look: Look) -> String {
    let mut out = String::new();
    if let Some(comparison) = &outcome.comparison {
        side_by_side(&mut out, comparison, look);
    }
    if let Some((from, until)) = outcome.span {
        let record = format!(
            "record from {} to {}: {} observations, {:.1} MB",
            moment(from),
            moment(until),
            outcome.observations,
            bytes as f64 / 1e6
        );
        line(&mut out, Text::of(record, DIM));
    }
    for &(at, missing) in &outcome.rebuilt {
        let why = match missing {
            0 => "what was before is not kept".to_owned(),
            missing => format!("{missing} events before it are missing"),
        };
        let what = format!("from {} on it is decided from what was known then: {why}", moment(at));
        line(&mut out, Text::of(what, WARN));
    }
    verdict(&mut out, outcome, look);
    out
}

/// The same, or a table of what is not.
fn verdict(out: &mut String, outcome: &Outcome, look: Look) {
    let turns = match outcome.turns {
        1 => "1 turn".to_owned(),
        turns => format!("{turns} turns"),
    };
    if outcome.differences.is_empty() {
        let whose = if outcome.comparison.is_some() { "the recorded configuration comes to" } else { "" };
        let said = match (outcome.turns, whose) {
            (0, _) => "no turn was recorded, and none came".to_owned(),
            (_, "") => format!("{turns}, the same as were recorded"),
            (_, whose) => format!("{turns}: {whose} the same ones"),
        };
        return line(out, Text::of(said, GOOD));
    }
    let mut table = Table::new(&["NAME", "RECORDED", "", "REPLAYED", ""]);
    for Difference { name, recorded, decided } in &outcome.differences {
        let [(one_at, one), (two_at, two)] = [recorded, decided].map(|told| cells(told.as_ref()));
        table.row(vec![Text::of(name.to_host(), BOLD), one_at, one, two_at, two]);
    }
    table.write(out, look);
    line(out, Text::of(format!("{turns}, {} the same as were recorded", outcome.same), BAD));
}

fn cells(told: Option<&Told>) -> (Text, Text) {
    match told {
        Some(told) => {
            let reason = format!(": {}", words::reason(&told.turn.reason));
            (Text::from(clock(told.at)), way(&told.turn).and(reason, PLAIN))
        }
        None => (Text::of("none", DIM), Text::default()),
    }
}

fn side_by_side(out: &mut String, comparison: &Comparison, look: Look) {
    let mut table = Table::new(&["NAME", "MOVE", "RECORDED", "NEW", ""]);
    for Pair { name, recorded, other } in &comparison.pairs {
        let Some(told) = recorded.as_ref().or(other.as_ref()) else { continue };
        let at = |told: &Option<Told>| match told {
            Some(told) => Text::from(clock(told.at)),
            None => Text::of("never", WARN),
        };
        let row =
            vec![Text::of(name.to_host(), BOLD), way(&told.turn), at(recorded), at(other), compared(recorded, other)];
        table.row(row);
    }
    if comparison.pairs.is_empty() {
        line(out, Text::from("neither configuration moves a name"));
    } else {
        table.write(out, look);
    }
    for note in notes(comparison) {
        line(out, Text::of(note, WARN));
    }
}

/// How much sooner or later, and why where the reason is another.
fn compared(recorded: &Option<Told>, other: &Option<Told>) -> Text {
    let (Some(recorded), Some(other)) = (recorded, other) else { return Text::default() };
    let (before, after) = (other.at < recorded.at, other.at > recorded.at);
    let span = |span: Duration| words::millis(span.as_secs_f64() * 1000.0);
    let when = if before {
        Text::of(format!("{} sooner", span(recorded.at.since(other.at))), GOOD)
    } else if after {
        Text::of(format!("{} later", span(other.at.since(recorded.at))), WARN)
    } else {
        Text::of("the same", DIM)
    };
    let evidence = other.turn.evidence.iter().find(|seen| !recorded.turn.evidence.contains(seen));
    match evidence.filter(|_| before || after) {
        Some(seen) => when.and(format!(" ({seen})"), PLAIN),
        None => when,
    }
}

/// What the record cannot tell of the other configuration.
fn notes(comparison: &Comparison) -> Vec<String> {
    let Comparison { pairs: _, untried, sparse, confirmations, unconfirmed, reloads } = comparison;
    let mut notes = Vec::new();
    if !untried.is_empty() {
        let named = untried.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = untried.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (watches, have, stay) =
            if untried.len() == 1 { ("watch", "has", "stays") } else { ("watches", "have", "stay") };
        notes.push(format!(
            "{} {watches} of the new configuration {have} no record and {stay} untried: {named}{more}",
            untried.len()
        ));
    }
    for Sparse { check, key, recorded, other } in sparse {
        notes.push(format!(
            "check {check}: {key} was {} and would be {}; what that would have seen otherwise is not known",
            words::span(*recorded),
            words::span(*other)
        ));
    }
    if *unconfirmed > 0 {
        notes.push(format!(
            "{unconfirmed} of {confirmations} confirmations that the new configuration asks for were not made at the time: \
             it decides by the probes that were"
        ));
    }
    if *reloads > 0 {
        let reloads = if *reloads == 1 { "1 reload".to_owned() } else { format!("{reloads} reloads") };
        notes.push(format!("{reloads} in the record: the new configuration stays as it is"));
    }
    notes
}

/// `primary eu → backup us`.
fn way(turn: &Turn) -> Text {
    let served = |place: String, origins: &[String]| {
        let style = rung_style(&place);
        Text::of(place, style).and(format!(" {}", origins.join(", ")), PLAIN)
    };
    let from = turn.from.as_ref().map_or(Text::from("nothing"), |from| served(from.place.to_string(), &from.origins));
    Text::joined([from, Text::of(" → ", DIM), served(turn.to.place.to_string(), &turn.to.origins)], "")
}

fn moment(at: Wall) -> String {
    words::moment(words::timestamp(at))
}

/// To the millisecond: a configuration is chosen by less than a second.
fn clock(at: Wall) -> String {
    words::timestamp(at).strftime("%m-%d %H:%M:%S%.3f").to_string()
}
