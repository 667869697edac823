//! Markdown: quantiles beside the budget.

use std::time::Duration;

use crate::lane::Try;
use crate::origin::Death;
use crate::server::{Kind, Pace};

/// What deciding, publishing and asking may take on top, at the median and at the end.
const SLACK: Duration = Duration::from_millis(300);
const LATE_SLACK: Duration = Duration::from_millis(500);

/// The table of one who was measured.
pub fn table(kind: Kind, pace: &Pace, measured: &[(Death, Vec<Try>)]) -> String {
    let mut text = format!("**{}**\n\n", kind.told());
    if kind.is_ours() {
        text += "| death | tries | seen | p50 | goal | p99 | goal | back p50 | p99 | goal |\n";
        text += "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    } else {
        text += "| death | tries | seen | p50 | p99 | back p50 | p99 |\n|---|---:|---:|---:|---:|---:|---:|\n";
    }
    for (death, tries) in measured {
        let times = |of: fn(&Try) -> Option<Duration>| {
            let mut times: Vec<Duration> = tries.iter().filter_map(of).collect();
            times.sort();
            times
        };
        let (deaths, backs) = (times(|one| one.death), times(|one| one.recovery));
        let mut cells = vec![death.told().to_owned(), tries.len().to_string(), deaths.len().to_string()];
        let goals = kind.is_ours().then(|| goals(*death, pace));
        let pairs = [
            (quantile(&deaths, 0.5), goals.map(|goals| goals[0])),
            (quantile(&deaths, 0.99), goals.map(|goals| goals[1])),
            (quantile(&backs, 0.5), None),
            (quantile(&backs, 0.99), goals.map(|goals| goals[2])),
        ];
        for (index, (found, goal)) in pairs.into_iter().enumerate() {
            cells.push(found.map_or_else(|| "–".to_owned(), seconds));
            if kind.is_ours() && index != 2 {
                cells.push(goal.flatten().map_or_else(|| "–".to_owned(), seconds));
            }
        }
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

/// For the median and the end of detection, and the end of recovery; none where chance decides.
fn goals(death: Death, pace: &Pace) -> [Option<Duration>; 3] {
    let &Pace { every, timeout, span, rise, tripwire } = pace;
    let back = every * rise + SLACK;
    match death {
        Death::Loss => [None; 3],
        Death::Crash if tripwire => [Some(span + SLACK), Some(span + SLACK), Some(back)],
        _ if death.is_silent() => {
            [Some(every / 2 + span + timeout + SLACK), Some(every + span + timeout + LATE_SLACK), Some(back)]
        }
        _ => [Some(every / 2 + span + SLACK), Some(every + span + LATE_SLACK), Some(back)],
    }
}

/// The nearest that was measured.
fn quantile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
