//! A canned outage and recovery. Each step is seen by asking DNS, and must happen within its bound.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use crate::cli::demo::Trouble;
use crate::cli::demo::dig::Answer;
use crate::cli::demo::stage::{BLIP, EVERY, FAILBACK, NAME, RISE, Stage, TIMEOUT};
use crate::edge::clock;
use crate::time::Moment;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// On top of every bound: what a busy machine may take for publishing, scheduling and asking.
const SLACK: Duration = Duration::from_millis(1500);

const PRIMARY: usize = 0;
const BACKUP: usize = 1;
const EMERGENCY: usize = 2;
const RUNGS: [&str; 3] = ["primary", "backup", "emergency"];

/// One step: what happens to which origin, and where the answer goes.
struct Step {
    toy: usize,
    what: &'static str,
    goes_to: usize,
    /// Not before this long, so that a failback that does not wait is caught too.
    earliest: Duration,
    /// Not after this long, without the slack.
    latest: Duration,
}

fn steps() -> [Step; 4] {
    let falling = EVERY + BLIP + TIMEOUT;
    let rising = EVERY * (RISE + 1);
    let at_once = Duration::ZERO;
    [
        Step { toy: PRIMARY, what: "dies", goes_to: BACKUP, earliest: at_once, latest: falling },
        Step { toy: BACKUP, what: "dies too", goes_to: EMERGENCY, earliest: at_once, latest: falling },
        // Leaving the emergency waits for nothing but `rise`.
        Step { toy: BACKUP, what: "recovers", goes_to: BACKUP, earliest: at_once, latest: rising },
        // The backup works, so going back to the primary waits for the hold-down.
        Step { toy: PRIMARY, what: "recovers", goes_to: PRIMARY, earliest: FAILBACK, latest: rising + FAILBACK },
    ]
}

/// Plays the script, and prints the timeline as it happens.
///
/// # Errors
/// At the first step that does not happen as it should.
pub(crate) fn play(stage: &mut Stage) -> Result<(), Trouble> {
    let start = clock::now().moment;
    let tell = |line: &str| {
        let at = clock::now().moment.since(start).as_secs_f64();
        // Nobody may be reading; the exit code still tells.
        drop(writeln!(io::stdout(), "{at:>7.2} s  {line}"));
    };
    if let Some(notice) = &stage.notice {
        tell(notice);
    }
    tell(&format!("{NAME}: primary east, backup west, emergency static; try `{}`", stage.dig_line()));
    let mut served = PRIMARY;
    let after = watch(stage, None, served, EVERY * 3)?;
    tell(&answered(stage, served, after));
    for step in steps() {
        stage.toggle(step.toy)?;
        let name = stage.toys.get(step.toy).map_or("", |toy| toy.name);
        tell(&format!("{name} {}", step.what));
        let after = watch(stage, Some(served), step.goes_to, step.latest)?;
        if after < step.earliest {
            let why = format!("{} after {after:.1?}, before {:.1?} had passed", RUNGS[step.goes_to], step.earliest);
            return Err(Trouble::Step(why));
        }
        served = step.goes_to;
        tell(&answered(stage, served, after));
    }
    tell("done: each step happened within its bound");
    Ok(())
}

/// Asks until the answer is the rung's; anything but that or the former rung's is an error. How long it took.
fn watch(stage: &Stage, former: Option<usize>, rung: usize, latest: Duration) -> Result<Duration, Trouble> {
    let address = |rung: usize| stage.toys.get(rung).map(|toy| toy.address.ip());
    let began: Moment = clock::now().moment;
    loop {
        let answer = stage.ask();
        let after = clock::now().moment.since(began);
        match (&answer, former) {
            (Answer::Addresses(now, _), _) if is_just(now, address(rung)) => return Ok(after),
            (Answer::Addresses(now, _), Some(former)) if is_just(now, address(former)) => {}
            // The very first answer waits for the first probes.
            (Answer::Silence, None) => {}
            _ => {
                return Err(Trouble::Step(format!("waiting for {}, the answer was {answer:?}", RUNGS[rung])));
            }
        }
        if after > latest + SLACK {
            return Err(Trouble::Step(format!("no {} within {:.1?}", RUNGS[rung], latest + SLACK)));
        }
        stage.wait_for(async { tokio::time::sleep(PAUSE).await });
    }
}

fn is_just(addresses: &[IpAddr], wanted: Option<IpAddr>) -> bool {
    addresses.len() == 1 && addresses.first().copied() == wanted
}

fn answered(stage: &Stage, rung: usize, after: Duration) -> String {
    let Some(toy) = stage.toys.get(rung) else { return String::new() };
    let (place, after) = (RUNGS[rung], after.as_secs_f64());
    format!("  {NAME} → {}  {place} ({}), after {after:.2} s", toy.address.ip(), toy.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_visits_every_rung_and_ends_where_it_began_within_40_seconds() {
        let steps = steps();
        let visited: Vec<usize> = steps.iter().map(|step| step.goes_to).collect();
        assert_eq!(visited, [BACKUP, EMERGENCY, BACKUP, PRIMARY]);
        let longest: Duration = steps.iter().map(|step| step.latest + SLACK).sum();
        assert!(longest < Duration::from_secs(35), "{longest:?}");
        assert!(steps.iter().all(|step| step.earliest < step.latest));
    }
}
