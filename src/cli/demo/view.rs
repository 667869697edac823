//! The live picture: the ladder, what a client gets, the latest turns, the line to try; keys to break and mend.

use std::time::Duration;

use crate::cli::demo::Trouble;
use crate::cli::demo::dig::Answer;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::stage::{NAME, Stage};
use crate::config::Place;
use crate::control::journal::{Entry, Turn, What as Happened};
use crate::control::{Asked, Released, Span};
use crate::decision::order::What;
use crate::dns::Name;
use crate::edge::clock;
use crate::edge::handle::Answered;
use crate::snapshot::Snapshot;
use crate::snapshot::status::{OriginStatus, Status, SteerStatus};
use crate::verdict::{Class, Verdict};

/// Between two pictures; also how long a key may wait.
const FRAME: Duration = Duration::from_millis(100);
/// Turns shown.
const TURNS: usize = 6;
/// Journal entries read to find them.
const ENTRIES: usize = 60;
/// How long the `h` key holds.
const HOLD: Duration = Duration::from_secs(600);
/// Control-C and control-D, which raw mode hands to us.
const INTERRUPT: [u8; 2] = [3, 4];

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Shows the picture until `q`.
///
/// # Errors
/// If the terminal is gone, or an origin cannot be mended.
pub(crate) fn live(stage: &mut Stage) -> Result<(), Trouble> {
    let screen = Screen::take().map_err(Trouble::Terminal)?;
    let mut said = stage.notice.clone().unwrap_or_default();
    loop {
        let snapshot = stage.handle.snapshot();
        let entries = stage.wait_for(stage.handle.latest(ENTRIES));
        screen.show(&picture(stage, &snapshot, &entries, &said)).map_err(Trouble::Terminal)?;
        match screen.key(FRAME).map_err(Trouble::Terminal)? {
            Some(b'q' | b'Q') => return Ok(()),
            Some(key) if INTERRUPT.contains(&key) => return Ok(()),
            Some(key @ b'1'..=b'3') => {
                stage.toggle(usize::from(key - b'1'))?;
                said.clear();
            }
            Some(b'h' | b'H') => said = hold_or_release(stage, &snapshot.status),
            _ => {}
        }
    }
}

/// Holds the name on its backup, or ends the hold. What came of it.
fn hold_or_release(stage: &Stage, status: &Status) -> String {
    let Ok(name) = Name::absolute(NAME) else {
        return String::new();
    };
    let is_held = status.orders.iter().any(|order| matches!(order.what, What::Hold { .. }));
    let asked = if is_held {
        Asked::Release(Released::Name(name))
    } else {
        let what = What::Hold { name, place: Place::Backup(1) };
        Asked::Order { what, span: Span::For(HOLD), reason: "the h key".to_owned(), force: true }
    };
    match stage.wait_for(stage.handle.ask("demo", asked)) {
        Answered::Done { said, .. } => said,
        Answered::Denied { why } => why,
    }
}

fn picture(stage: &Stage, snapshot: &Snapshot, entries: &[Entry], said: &str) -> Vec<String> {
    let mut lines =
        vec![format!("{BOLD}failoverd demo{PLAIN}  {DIM}generation {}{PLAIN}", snapshot.generation.0), String::new()];
    let steers = snapshot.status.steers.iter().find(|steer| steer.steer.name.to_host() == NAME);
    if let Some(steer) = steers {
        lines.push(headline(steer));
        lines.push(String::new());
        lines.extend(ladder(stage, &snapshot.status, steer));
    }
    lines.push(String::new());
    lines.push(format!("  a client gets   {}", told(&stage.ask())));
    lines.push(format!("  try it          {CYAN}{}{PLAIN}", stage.dig_line()));
    if let Some(doubt) = &snapshot.status.doubt {
        lines.push(format!(
            "  {RED}in doubt{PLAIN}        {}: nothing moves until our own sight is back",
            doubt.evidence
        ));
    }
    lines.push(String::new());
    lines.push(format!("  {BOLD}latest turns{PLAIN}"));
    let turns = entries.iter().rev().filter_map(|entry| match &entry.what {
        Happened::Turned(turn) => Some(turned(entry, turn)),
        _ => None,
    });
    lines.extend(turns.take(TURNS));
    lines.push(String::new());
    lines.push(format!("  {DIM}[1] [2] [3] break or mend   [h] hold on the backup, release   [q] quit{PLAIN}"));
    lines.push(format!("  {YELLOW}{said}{PLAIN}"));
    lines
}

fn headline(steer: &SteerStatus) -> String {
    let since = clock::now().moment.since(steer.since.moment).as_secs();
    match &steer.decision {
        Some(decision) => format!(
            "  {BOLD}{NAME}{PLAIN} is served from its {BOLD}{}{PLAIN} for {since} s, serial {}, TTL {} s",
            decision.place, steer.serial, decision.ttl
        ),
        None => format!("  {BOLD}{NAME}{PLAIN}: the first probes are out"),
    }
}

/// One line per origin of each rung.
fn ladder(stage: &Stage, status: &Status, steer: &SteerStatus) -> Vec<String> {
    let served = steer.decision.as_ref().map(|decision| decision.rung);
    let rungs = steer.rungs.iter().zip(&steer.steer.rungs).enumerate();
    rungs
        .flat_map(|(index, (seen, rung))| seen.origins.iter().map(move |origin| (index, rung.place, origin)))
        .map(|(index, place, origin)| {
            let arrow = if served == Some(index) { "▸" } else { " " };
            let toy = stage.toys.iter().position(|toy| toy.name == &*origin.name);
            let (key, address, is_up) = toy.and_then(|at| stage.toys.get(at).map(|toy| (at + 1, toy))).map_or(
                (0, String::new(), true),
                |(key, toy)| (key, toy.address.to_string(), toy.is_up()),
            );
            let colour = match origin.class {
                Class::Up => GREEN,
                Class::Suspect | Class::Untried => YELLOW,
                Class::Down => RED,
            };
            let deed = if is_up { "break" } else { "mend" };
            let class = format!("{:?}", origin.class).to_lowercase();
            format!(
                "  {BOLD}{arrow}{PLAIN} {:<10} {:<7} {address:<17} {colour}{class:<8}{PLAIN} {DIM}[{key}] {deed:<5}{PLAIN} {}",
                place.to_string(),
                origin.name,
                why(status, origin)
            )
        })
        .collect()
}

/// The cause, where a probe of the origin failed.
fn why(status: &Status, origin: &OriginStatus) -> String {
    let watches = origin.watches.iter().filter_map(|watch| status.watches.get(watch.0 as usize));
    watches
        .filter_map(|watch| match &watch.verdict {
            Verdict::Down { cause, .. } | Verdict::Suspect { cause, .. } => Some(cause.to_string()),
            Verdict::Up { .. } | Verdict::Untried { .. } => None,
        })
        .next()
        .unwrap_or_default()
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Addresses(addresses, ttl) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{BOLD}{}{PLAIN}, TTL {ttl} s", addresses.join(" "))
        }
        Answer::Empty(code) => format!("{RED}no address ({code}){PLAIN}"),
        Answer::Silence => format!("{DIM}no reply yet{PLAIN}"),
    }
}

fn turned(entry: &Entry, turn: &Turn) -> String {
    let at = entry.at.to_string();
    // The time of day, without date and zone.
    let at = at.split_once('T').map_or(at.as_str(), |(_, time)| time.trim_end_matches('Z'));
    let from = turn.from.as_ref().map_or("nothing".to_owned(), |served| served.place.to_string());
    // What became of the rung that was left says why; the ladder above tells the rest.
    let left = turn.from.as_ref().map_or(turn.to.place, |served| served.place).to_string();
    let evidence = turn.evidence.iter().find(|line| line.split(' ').next() == Some(left.as_str()));
    let evidence = evidence.map_or("", String::as_str);
    format!("  {DIM}{at}{PLAIN}  {from} → {BOLD}{}{PLAIN}  {DIM}{evidence}{PLAIN}", turn.to.place)
}
