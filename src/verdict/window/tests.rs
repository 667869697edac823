use super::*;
use crate::probe::LocalFault;
use crate::time::{Moment, Wall};
use crate::verdict::{Class, Thresholds};
use proptest::prelude::*;

const REFUSED: Cause = Cause::ConnectRefused;
const MILLI: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Now {
    Now { moment: Moment::from_boot(MILLI * u32::try_from(millis).unwrap()), wall: Wall::default() }
}

fn down(since: u64, passes: u32, cause: Cause) -> Verdict {
    Verdict::Down { since: at(since), passes, cause }
}

fn too_many(failed: u32, lately: Option<Cause>) -> Cause {
    Cause::TooMany { failed, of: 10, lately: lately.map(Box::new) }
}

#[test]
fn every_row_of_the_windows_table() {
    let up = Verdict::Up { since: at(1) };
    let suspect =
        |cause| Verdict::Suspect { since: at(1), failures: 1, first_failure: at(50), last_failure: at(50), cause };
    let untried =
        Verdict::Untried { failures: 1, first_failure: Some(at(50)), last_failure: None, cause: Some(REFUSED) };
    let (passed, failed) = (Outcome::Passed, Outcome::Failed(REFUSED));
    let local = Outcome::Inconclusive(LocalFault::NoPorts);
    let gone = Cause::NameGone;
    for (row, before, streaks, count, outcome, after) in [
        ("up, below", up.clone(), suspect(REFUSED), 5, &failed, None),
        ("up, failed", up.clone(), suspect(REFUSED), 6, &failed, Some(down(200, 0, too_many(6, Some(REFUSED))))),
        ("up, passed", up.clone(), up.clone(), 7, &passed, Some(down(200, 1, too_many(7, None)))),
        ("suspect, passed", suspect(gone.clone()), up.clone(), 6, &passed, {
            Some(down(200, 1, too_many(6, Some(gone.clone()))))
        }),
        ("suspect, failed", suspect(gone), suspect(REFUSED), 6, &failed, {
            Some(down(200, 0, too_many(6, Some(REFUSED))))
        }),
        ("untried", Verdict::UNTRIED, untried, 6, &failed, Some(down(200, 0, too_many(6, Some(REFUSED))))),
        ("the streak was first", up.clone(), down(200, 0, REFUSED), 6, &failed, None),
        ("down, failed", down(1, 2, REFUSED), down(1, 0, REFUSED), 6, &failed, None),
        ("down, passed", down(1, 0, REFUSED), down(1, 1, REFUSED), 6, &passed, None),
        ("down, passed often enough", down(1, 2, REFUSED), up.clone(), 6, &passed, Some(down(1, 3, REFUSED))),
        ("down, passed, below", down(1, 2, REFUSED), up.clone(), 5, &passed, None),
        ("inconclusive", up.clone(), up, 10, &local, None),
    ] {
        let window = Window { failed: 6, of: 10 };
        assert_eq!(before.by_window(&streaks, count, window, outcome, at(200)), after, "{row}");
    }
}

/// One watch, fed with scheduled observations.
#[derive(Default)]
struct Watch {
    verdict: Option<Verdict>,
    failed: Marks,
}

impl Watch {
    fn observe(&mut self, outcome: &Outcome, limits: Thresholds, window: Window, now: Now) -> Class {
        if !matches!(outcome, Outcome::Inconclusive(_)) {
            self.failed.push(*outcome != Outcome::Passed);
        }
        let before = self.verdict.take().unwrap_or(Verdict::UNTRIED);
        let streaks = before.observe(outcome, now, limits, now);
        let by_window = before.by_window(&streaks, self.failed.count(window.of), window, outcome, now);
        self.verdict.insert(by_window.unwrap_or(streaks)).class()
    }
}

/// The machine told by the whole history: 0 passed, 1 failed, else inconclusive.
fn model(history: &[u8], limits: Thresholds, window: Window, every: u64) -> Class {
    let mut class = Class::Untried;
    for end in 1..=history.len() {
        let seen = &history[..end];
        if seen[end - 1] > 1 {
            continue;
        }
        let conclusive: Vec<(usize, u8)> =
            seen.iter().copied().enumerate().filter(|&(_, outcome)| outcome < 2).collect();
        let in_a_row = |wanted: u8| conclusive.iter().rev().take_while(move |&&(_, outcome)| outcome == wanted);
        let (fails, passes) = (in_a_row(1).count(), in_a_row(0).count());
        let span = in_a_row(1).last().map_or(0, |&(first, _)| (end - 1 - first) as u64 * every);
        let bad = conclusive.iter().rev().take(window.of as usize).filter(|&&(_, outcome)| outcome == 1).count();
        let too_many = bad >= window.failed as usize;
        let dies = fails >= limits.fall as usize && u128::from(span) >= limits.blip.as_millis();
        class = match class {
            // The passes that count came after it went down; a window can take one away that lies before.
            Class::Down if passes >= limits.rise as usize && !too_many => Class::Up,
            Class::Down => Class::Down,
            _ if too_many || dies => Class::Down,
            Class::Untried if fails > 0 => Class::Untried,
            _ if fails > 0 => Class::Suspect,
            _ => Class::Up,
        };
    }
    class
}

proptest! {
    #[test]
    fn the_machine_agrees_with_the_whole_history(
        history in prop::collection::vec(0u8..3, 0..60),
        fall in 1u32..5, rise in 1u32..5, blip in 0u64..4, failed in 1u32..8, more in 0u32..8,
    ) {
        let limits = Thresholds { fall, rise, blip: MILLI * (blip as u32) * 5 };
        let window = Window { failed, of: (failed + more).max(2) };
        let mut watch = Watch::default();
        for (index, &outcome) in history.iter().enumerate() {
            let outcome = match outcome {
                0 => Outcome::Passed,
                1 => Outcome::Failed(REFUSED),
                _ => Outcome::Inconclusive(LocalFault::Throttled),
            };
            let class = watch.observe(&outcome, limits, window, at(index as u64 * 5));
            prop_assert_eq!(class, model(&history[..=index], limits, window, 5));
        }
    }

    /// Whatever happened before: when so many of so many fail, it is down by the last of them.
    #[test]
    fn a_share_of_failures_is_found_within_its_window(
        before in prop::collection::vec(any::<bool>(), 0..40),
        stretch in prop::collection::vec(any::<bool>(), 10),
        certain in Just([true, true, true, true, true, true, false, false, false, false].to_vec()).prop_shuffle(),
        fall in 1u32..9,
    ) {
        let limits = Thresholds { fall, rise: 3, blip: MILLI * 1000 };
        let window = Window { failed: 6, of: 10 };
        let stretch = stretch.into_iter().zip(certain).map(|(maybe, failed)| maybe || failed);
        let mut watch = Watch::default();
        let mut was_down = false;
        for (index, failed) in before.into_iter().chain(stretch).enumerate() {
            let outcome = if failed { Outcome::Failed(REFUSED) } else { Outcome::Passed };
            let class = watch.observe(&outcome, limits, window, at(index as u64 * 5000));
            was_down = class == Class::Down;
        }
        prop_assert!(was_down);
    }

    #[test]
    fn marks_count_as_a_list_does(all in prop::collection::vec(any::<bool>(), 0..300), over in 1u32..=100) {
        let mut marks = Marks::default();
        all.iter().for_each(|&mark| marks.push(mark));
        let counted = all.iter().rev().take(over as usize).filter(|&&mark| mark).count();
        prop_assert_eq!(marks.count(over) as usize, counted);
        prop_assert_eq!(marks.count(128) as usize, all.iter().rev().take(128).filter(|&&mark| mark).count());
    }
}

/// `rule` after observations that passed in so many milliseconds; 0 is a failure.
fn held(rule: &str, seen: &[u32]) -> Vec<bool> {
    let rules = [Rule::parse(rule).unwrap()];
    let mut quality = Quality::default();
    let tell = |&millis: &u32| {
        let outcome = if millis == 0 { Outcome::Failed(REFUSED) } else { Outcome::Passed };
        quality.observe(&rules, &outcome, MILLI * millis);
        quality.degraded(&rules).is_some()
    };
    seen.iter().map(tell).collect()
}

#[test]
fn every_row_of_the_rules_table() {
    let (no, yes) = (false, true);
    // p50 over 4: more than 2 of 4.
    assert_eq!(held("p50 time > 10ms over 4", &[20, 20, 5, 5, 20, 20]), [no, no, no, no, no, no]);
    assert_eq!(held("p50 time > 10ms over 4", &[20, 5, 20, 20, 20]), [no, no, no, yes, yes]);
    // Without `until` it ends when the limit was kept four times in a row.
    assert_eq!(
        held("p50 time > 10ms over 4", &[20, 20, 20, 5, 5, 5, 5, 5, 5]),
        [no, no, yes, yes, yes, yes, yes, no, no]
    );
    // With it, when no more than so many are left; what lies between the two keeps it.
    assert_eq!(
        held("p50 time > 10ms over 4 until < 5ms", &[20, 20, 20, 7, 7, 7, 7, 4, 4, 4]),
        [no, no, yes, yes, yes, yes, yes, yes, no, no]
    );
    // A failure takes no time, and is an error.
    assert_eq!(held("p50 time > 10ms over 4", &[20, 20, 0, 0, 0, 20]), [no, no, no, no, no, yes]);
    assert_eq!(held("errors > 25% over 4", &[0, 20, 20, 0, 20, 20]), [no, no, no, yes, yes, yes]);
    assert_eq!(held("errors > 25% over 4 until < 25%", &[0, 0, 5, 5, 5, 5]), [no, yes, yes, yes, yes, no]);
}

#[test]
fn what_is_inconclusive_is_in_no_window_and_what_is_forgotten_is_gone() {
    let rules = [Rule::parse("errors > 25% over 4").unwrap(), Rule::parse("p50 time > 10ms over 2").unwrap()];
    let mut quality = Quality::default();
    for _ in 0..9 {
        quality.observe(&rules, &Outcome::Inconclusive(LocalFault::NoRoute), MILLI * 99);
    }
    assert_eq!(quality.degraded(&rules), None);
    quality.observe(&rules, &Outcome::Passed, MILLI * 99);
    quality.observe(&rules, &Outcome::Passed, MILLI * 99);
    assert_eq!(quality.degraded(&rules), Some(&rules[1]));
    quality.forget();
    assert_eq!(quality.degraded(&rules), None);
}

proptest! {
    /// A rule begins to hold only above its limit, and ends only below; between the two nothing moves.
    #[test]
    fn a_rule_turns_only_with_grounds(seen in prop::collection::vec(0u32..30, 0..120), own in any::<bool>()) {
        let text = if own { "p75 time > 20ms over 8 until < 10ms" } else { "p75 time > 20ms over 8" };
        let mut before = false;
        for end in 1..=seen.len() {
            let holds = held(text, &seen[..end])[end - 1];
            let passed: Vec<u32> = seen[..end].iter().copied().filter(|&millis| millis > 0).collect();
            let last: Vec<u32> = passed.iter().rev().take(8).copied().collect();
            let above = last.iter().filter(|&&millis| millis > 20).count() > 2;
            let calm = last.iter().filter(|&&millis| millis >= 10).count() <= 2;
            if holds != before && seen[end - 1] > 0 {
                let has_grounds = if holds { above } else if own { calm } else { !above };
                prop_assert!(has_grounds);
            }
            prop_assert!(!above || holds || seen[end - 1] == 0);
            before = holds;
        }
    }
}
