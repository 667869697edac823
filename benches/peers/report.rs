//! Markdown of what was measured: medians over the rounds, and medians of the ratios within each round.

use crate::contest::{Row, Sample};
use crate::running::Start;
use crate::servers::Kind;

/// More of a core than this, and figures are told to be disturbed.
const DISTURBED: f64 = 0.15;

/// What else a table shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extra {
    None,
    /// Times from question to reply.
    Latency,
    /// Connects over 900 ms.
    Late,
}

/// Ours against the ceiling and the cheapest peer, by CPU time per answer. Above 1: ours is cheaper.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    pub work: String,
    pub of_echo: Option<f64>,
    /// The peer, and what it reaches of the echo.
    pub peer: Option<(&'static str, Option<f64>)>,
    pub of_peer: Option<f64>,
}

/// A Markdown table; all columns but the first are numbers.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = format!("|---|{}\n", "---:|".repeat(header.len().saturating_sub(1)));
    line(&head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The other's cost over this one's, in each round.
fn ratios(row: &Row, other: &Row) -> Vec<f64> {
    row.samples.iter().zip(&other.samples).map(|(ours, theirs)| theirs.cost() / ours.cost().max(1e-3)).collect()
}

fn of(row: &Row, figure: impl Fn(&Sample) -> f64) -> f64 {
    median(row.samples.iter().map(figure))
}

/// `262k` for 262,345.
pub fn thousands(number: f64) -> String {
    match number {
        10_000.0.. => format!("{:.0}k", number / 1e3),
        1_000.0.. => format!("{:.1}k", number / 1e3),
        _ => format!("{number:.0}"),
    }
}

fn microseconds(nanoseconds: f64) -> String {
    format!("{:.0}", nanoseconds / 1e3)
}

/// All servers in one kind of work, with the summary of it.
pub fn compared(work: &str, rows: &[Row], extra: Extra) -> (String, Summary) {
    let echo = rows.iter().find(|row| row.kind == Kind::Echo);
    // One that only waits is not the one to beat, however little it uses meanwhile.
    let rate = |row: &Row| of(row, |sample| sample.outcome.per_second());
    let peers = || rows.iter().filter(|row| row.kind == Kind::Peer);
    let quickest = peers().map(rate).fold(0.0, f64::max);
    let best = peers()
        .filter(|row| rate(row) > quickest / 2.0)
        .min_by(|a, b| of(a, Sample::cost).total_cmp(&of(b, Sample::cost)));
    let mut header =
        vec!["server", "answers/s: median (min–max)", "CPU µs/answer (user)", "of echo", "of best peer", "busy"];
    match extra {
        Extra::None => {}
        Extra::Latency => header.push("p50 / p99 / p99.9 µs"),
        Extra::Late => header.push("connects > 900 ms"),
    }
    header.extend(["lost", "wrong"]);
    let against = |row: &Row, other: Option<&Row>| {
        other.map_or("–".to_owned(), |other| format!("{:.2}", median(ratios(row, other))))
    };
    let sum = |row: &Row, figure: fn(&Sample) -> u64| row.samples.iter().map(figure).sum::<u64>();
    let line = |row: &Row| {
        let rates = || row.samples.iter().map(|sample| sample.outcome.per_second());
        let (least, most) = (rates().fold(f64::MAX, f64::min), rates().fold(0.0, f64::max));
        let mut cells = vec![
            row.name.to_owned(),
            format!("{} ({}–{})", thousands(median(rates())), thousands(least), thousands(most)),
            format!("{:.2} ({:.2})", of(row, Sample::cost), of(row, Sample::user_cost)),
            against(row, echo),
            against(row, best),
            format!("{:.0} %", of(row, |sample| sample.busy) * 100.0),
        ];
        let quantile = |share| microseconds(of(row, |sample| sample.outcome.latency.quantile(share) as f64));
        match extra {
            Extra::None => {}
            Extra::Latency => cells.push([0.5, 0.99, 0.999].map(quantile).join(" / ")),
            Extra::Late => cells.push(sum(row, |sample| sample.outcome.late).to_string()),
        }
        cells.push(sum(row, |sample| sample.outcome.lost).to_string());
        let is_judged = row.kind != Kind::Echo;
        cells.push(if is_judged { sum(row, |sample| sample.outcome.wrong).to_string() } else { "–".to_owned() });
        cells
    };
    let mut text = table(&header, &rows.iter().map(line).collect::<Vec<_>>());
    for row in rows {
        let share =
            sum(row, |sample| sample.outcome.unlike) as f64 / sum(row, |sample| sample.outcome.received).max(1) as f64;
        if share > 0.0 {
            text += &format!(
                "\n{} gives another number of records in {:.1} % of its answers (an alias without its target is less \
                 work).\n",
                row.name,
                share * 100.0
            );
        }
    }
    let ours = rows.iter().find(|row| row.kind == Kind::Ours);
    if let (Some(ours), Some(best)) = (ours, best) {
        text += &paired(ours, best);
    }
    let others = median(rows.iter().flat_map(|row| &row.samples).map(|sample| sample.others));
    if others > DISTURBED {
        text += &format!("\nDisturbed: other processes kept {others:.2} cores busy meanwhile (median).\n");
    }
    let reached = |row: Option<&Row>, other: Option<&Row>| Some(median(ratios(row?, other?)));
    let summary = Summary {
        work: work.to_owned(),
        of_echo: reached(ours, echo),
        peer: best.map(|best| (best.name, reached(Some(best), echo))),
        of_peer: reached(ours, best),
    };
    (text, summary)
}

/// In how many rounds ours was the cheaper one, and how likely that is among equals.
fn paired(ours: &Row, other: &Row) -> String {
    let ratios = ratios(ours, other);
    let (won, all) = (ratios.iter().filter(|ratio| **ratio > 1.0).count(), ratios.len());
    let (least, most) = (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
    format!(
        "\nfailoverd used less CPU per answer than {}, the cheapest peer, in {won} of {all} rounds (sign test: p = \
         {:.2}); {} / failoverd = {:.2} ({least:.2}–{most:.2}).\n",
        other.name,
        sign_test(won, all),
        other.name,
        median(ratios.iter().copied())
    )
}

/// How likely equals differ so often or more, either way.
fn sign_test(won: usize, all: usize) -> f64 {
    let rarer = won.max(all - won);
    let mut ways = 1.0;
    let mut sum = 0.0;
    for k in 0..=all {
        if k >= rarer {
            sum += ways;
        }
        ways = ways * (all - k) as f64 / (k + 1) as f64;
    }
    (2.0 * sum / 2_f64.powi(i32::try_from(all).unwrap_or(i32::MAX))).min(1.0)
}

/// What starting took.
pub fn started(starts: &[(&'static str, Kind, Start)]) -> String {
    let peers = || starts.iter().filter(|(_, kind, _)| *kind == Kind::Peer).map(|(.., start)| start);
    let quickest = peers().map(|start| start.ready).fold(f64::NAN, f64::min);
    let smallest = peers().map(|start| start.memory.pss).fold(f64::NAN, f64::min);
    let line = |(name, _, start): &(&'static str, Kind, Start)| {
        vec![
            (*name).to_owned(),
            format!("{:.2}", start.ready),
            format!("{:.2}", start.cpu),
            format!("{:.0}", start.memory.rss),
            format!("{:.0}", start.memory.pss),
            format!("{:.2}, {:.2}", start.ready / quickest, start.memory.pss / smallest),
        ]
    };
    let header = ["server", "ready s", "CPU s", "RSS MiB", "PSS MiB", "time, memory: of best peer's"];
    table(&header, &starts.iter().map(line).collect::<Vec<_>>())
}

/// What a reader takes away.
pub fn summary(summaries: &[Summary]) -> String {
    let ratio = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
    let line = |summary: &Summary| {
        let peer = summary.peer.map_or("–".to_owned(), |(name, of_echo)| match of_echo {
            Some(of_echo) => format!("{name} {of_echo:.2}"),
            None => name.to_owned(),
        });
        vec![summary.work.clone(), ratio(summary.of_echo), peer, ratio(summary.of_peer)]
    };
    let header = ["work", "failoverd of echo", "best peer of echo", "failoverd of best peer"];
    table(&header, &summaries.iter().map(line).collect::<Vec<_>>())
}
