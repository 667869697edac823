//! Readiness and the ladder: every class by every class, each ready or not, against the rules told once more.

use super::*;
use crate::time::Wall;
use Class::{Down, Suspect, Untried, Up};
use proptest::prelude::*;

const HOLD: Duration = Duration::from_secs(300);

/// Class, drained, would fail.
type Seen = (Class, bool, bool);

fn at(seconds: u64) -> Now {
    let since = Duration::from_secs(seconds);
    Now { moment: Moment::from_boot(since), wall: Wall::from_millis(0) + since }
}

fn rung(place: Place, origins: &[Seen]) -> RungView {
    let view = |&(class, drained, would_fail): &Seen| OriginView { class, degraded: false, drained, would_fail };
    RungView { place, quorum: Quorum::default(), origins: origins.iter().map(view).collect() }
}

fn ladder(seen: &[Seen], emergency: bool) -> Vec<RungView> {
    let place = |index: usize| match index {
        0 => Place::Primary,
        _ if emergency && index + 1 == seen.len() => Place::Emergency,
        _ => Place::Backup(u8::try_from(index).unwrap()),
    };
    seen.iter().enumerate().map(|(index, &origin)| rung(place(index), &[origin])).collect()
}

/// Which rung, for rungs of one origin.
fn oracle(rungs: &[RungView], served: Option<usize>, strict: bool, due: bool) -> usize {
    let origin = |rung: usize| rungs[rung].origins[0];
    let alive = |rung: usize| origin(rung).class != Down && !origin(rung).drained;
    let fails = |rung: usize| alive(rung) && origin(rung).would_fail;
    let sound = |rung: usize| alive(rung) && !origin(rung).would_fail;
    let up = |rung: usize| alive(rung) && origin(rung).class == Up;
    let all = 0..rungs.len();
    let (emergency, ordinary): (Vec<usize>, Vec<usize>) = all.partition(|&rung| rungs[rung].place == Place::Emergency);
    let emergency = emergency.first().copied();
    let nothing_ready = !(0..rungs.len()).any(sound);
    let sound_elsewhere = ordinary.iter().copied().chain(emergency).any(sound);
    if let Some(served) = served
        && alive(served)
        && !(strict && fails(served) && sound_elsewhere)
    {
        let up_and_sound = ordinary.iter().copied().find(|&rung| up(rung) && sound(rung));
        if Some(served) == emergency {
            let any_up = ordinary.iter().copied().find(|&rung| up(rung) && nothing_ready);
            return up_and_sound.or(any_up).unwrap_or(served);
        }
        if fails(served)
            && let Some(better) = up_and_sound.filter(|&rung| rung < served)
        {
            return better;
        }
        let may = |rung: usize| rung < served && up(rung) && (sound(rung) || nothing_ready);
        return ordinary.iter().copied().find(|&rung| due && may(rung)).unwrap_or(served);
    }
    let best = |wanted: &dyn Fn(usize) -> bool| {
        let mut living: Vec<usize> = ordinary.iter().copied().filter(|&rung| wanted(rung)).collect();
        living.sort_by_key(|&rung| origin(rung).class);
        living.first().copied()
    };
    if let Some(best) = best(&sound) {
        return best;
    }
    if let Some(failing) = best(&fails) {
        return emergency.filter(|&rung| sound(rung)).unwrap_or(failing);
    }
    if let Some(emergency) = emergency.filter(|&rung| !origin(rung).drained) {
        return emergency;
    }
    let drained = (0..rungs.len()).find(|&rung| origin(rung).class.is_usable());
    drained.or(served).unwrap_or(0)
}

#[test]
fn every_class_by_every_class_ready_or_not() {
    let mut one: Vec<Seen> = Vec::new();
    for class in Class::ALL {
        one.extend([(class, false, false), (class, false, class != Down), (class, true, false)]);
    }
    one.dedup();
    let mut ladders: Vec<Vec<Seen>> = Vec::new();
    for &first in &one {
        for &second in &one {
            ladders.push(vec![first, second]);
            ladders.extend(one.iter().map(|&third| vec![first, second, third]));
        }
    }
    for (seen, emergency) in ladders.iter().flat_map(|seen| [(seen, false), (seen, true)]) {
        let rungs = ladder(seen, emergency);
        for served in std::iter::once(None).chain((0..rungs.len()).map(Some)) {
            for (strict, failback, due) in [
                (false, Failback::Auto, true),
                (false, Failback::After(HOLD), false),
                (false, Failback::Manual, false),
                (true, Failback::Auto, true),
                (true, Failback::After(HOLD), false),
            ] {
                let mut standing = Standing { served: served.map(|rung| rungs[rung].place), ..Standing::default() };
                let choice = decide(&rungs, failback, &mut standing, None, false, strict, at(1000));
                let case = format!("{seen:?} {emergency} {served:?} {strict} {failback:?}");
                assert_eq!(choice.rung, oracle(&rungs, served, strict, due), "{case}");
                assert_eq!(choice.origins, [0], "{case}");
                never_to_one_that_would_fail(&rungs, served, choice.rung, &case);
                let again = decide(&rungs, failback, &mut standing, None, false, strict, at(1000));
                assert_eq!(again.rung, choice.rung, "two moves at rest: {case}");
            }
        }
    }
}

/// No move to a rung that would fail while another usable one would not; and a dead one is never better.
fn never_to_one_that_would_fail(rungs: &[RungView], served: Option<usize>, chosen: usize, case: &str) {
    let ready = |rung: &RungView| rung.class().is_usable() && !rung.is_unready();
    if served != Some(chosen) && rungs[chosen].is_unready() {
        assert!(!rungs.iter().any(ready), "{case}");
    }
    if rungs[chosen].is_dead() && !rungs[chosen].works_drained() {
        assert!(rungs.iter().all(RungView::is_dead), "{case}");
    }
}

#[test]
fn held_and_frozen_names_do_not_care() {
    let rungs = ladder(&[(Up, false, true), (Up, false, false)], false);
    for (hold, frozen, why) in [(Some(Place::Primary), false, Why::Held), (None, true, Why::Doubt)] {
        let mut standing = Standing { served: Some(Place::Primary), ..Standing::default() };
        let choice = decide(&rungs, Failback::Auto, &mut standing, hold, frozen, true, at(0));
        assert_eq!((choice.rung, choice.why), (0, why));
    }
}

#[test]
fn of_equals_those_that_would_fail_are_not_taken_in_and_thrown_out_by_strict_alone() {
    let good = (Up, false, false);
    let odd = (Up, false, true);
    let unknown = (Untried, false, false);
    for (origins, kept, served, strictly) in [
        (vec![good, odd], vec![], vec![0], vec![0]),
        (vec![good, odd], vec![0, 1], vec![0, 1], vec![0]),
        (vec![good, odd], vec![1], vec![0, 1], vec![0]),
        (vec![odd, odd], vec![], vec![0, 1], vec![0, 1]),
        (vec![odd, odd], vec![1], vec![1], vec![0, 1]),
        (vec![odd, unknown], vec![], vec![0], vec![0]),
        (vec![odd, unknown], vec![0, 1], vec![0, 1], vec![1]),
        (vec![(Down, false, true), odd, (Suspect, false, false)], vec![], vec![2], vec![2]),
    ] {
        for (strict, served) in [(false, served), (true, strictly)] {
            let rungs = [rung(Place::Primary, &origins)];
            let place = (!kept.is_empty()).then_some(Place::Primary);
            let mut standing = Standing { served: place, origins: kept.clone(), ..Standing::default() };
            let choice = decide(&rungs, Failback::Auto, &mut standing, None, false, strict, at(0));
            assert_eq!(choice.origins, served, "{origins:?} {kept:?} {strict}");
        }
    }
}

#[test]
fn a_failback_waits_for_readiness_and_a_person_cannot_approve_one_that_would_fail() {
    let rungs = |primary| ladder(&[primary, (Up, false, false)], false);
    let mut standing = Standing { served: Some(Place::Backup(1)), ..Standing::default() };
    let unready = rungs((Up, false, true));
    assert!(!standing.approve(&unready));
    let choice = decide(&unready, Failback::Auto, &mut standing, None, false, false, at(0));
    assert_eq!((choice.rung, choice.why), (1, Why::FailedOver));
    let ready = rungs((Up, false, false));
    assert!(standing.approve(&ready));
    let choice = decide(&ready, Failback::Manual, &mut standing, None, false, false, at(1));
    assert_eq!((choice.rung, choice.why), (0, Why::Preferred));
}

#[test]
fn a_rung_that_would_fail_without_some_of_its_origins_is_passed_over() {
    let (good, odd) = ((Up, false, false), (Up, false, true));
    let pair = |first, second| RungView {
        quorum: Quorum { min_up: 2, panic: None },
        ..rung(Place::Backup(1), &[first, second])
    };
    for (first, second, chosen) in [
        (good, good, 1),
        (good, odd, 2),
        (odd, odd, 2),
        (good, (Down, false, true), 2),
        (good, (Suspect, false, false), 2),
        (good, (Suspect, false, true), 2),
    ] {
        let dead = rung(Place::Primary, &[(Down, false, false)]);
        let rungs = [dead, pair(first, second), rung(Place::Backup(2), &[good])];
        let mut standing = Standing { served: Some(Place::Primary), ..Standing::default() };
        let choice = decide(&rungs, Failback::Auto, &mut standing, None, false, false, at(0));
        assert_eq!(choice.rung, chosen, "{first:?} {second:?}");
    }
}

#[test]
fn a_failback_waits_until_the_better_rung_has_been_ready_for_long_enough() {
    let (good, odd) = ((Up, false, false), (Up, false, true));
    for strict in [false, true] {
        let mut standing = Standing::default();
        let mut see = |seconds, primary: Seen, backup: Seen| {
            let rungs = ladder(&[primary, backup], false);
            let choice = decide(&rungs, Failback::After(HOLD), &mut standing, None, false, strict, at(seconds));
            (choice.rung, choice.wake.map(|wake| wake.since_boot().as_secs()))
        };
        assert_eq!(see(0, (Down, false, false), good), (1, None));
        assert_eq!(see(10, good, good), (1, Some(310)));
        assert_eq!(see(300, odd, good), (1, None));
        assert_eq!(see(305, good, good), (1, Some(605)), "the wait starts again");
        assert_eq!(see(400, good, odd), (0, None), "one that would fail is left at once");
        // What was left for being unready has relapsed with `strict`, and stays served without.
        assert_eq!(see(410, odd, good), if strict { (1, None) } else { (0, None) });
        assert_eq!(see(420, good, good), if strict { (1, Some(420 + 600)) } else { (0, None) });
    }
}

proptest! {
    /// A rung is unready if it would be worse off with its failing origins dead: not usable any more, or dead.
    #[test]
    fn an_unready_rung_stands_on_origins_that_would_fail(
        origins in prop::collection::vec((0usize..4, any::<bool>(), any::<bool>()), 1..6),
        min_up in 1usize..4,
        panic in prop::option::of(1u8..=100),
    ) {
        let seen = |with_failing: bool| {
            let origins = origins.iter().map(|&(class, drained, would_fail)| {
                let class = if would_fail && !with_failing { Down } else { Class::ALL[class] };
                OriginView { class, degraded: false, drained, would_fail }
            });
            RungView { place: Place::Primary, quorum: Quorum { min_up, panic }, origins: origins.collect() }
        };
        let (as_it_is, without) = (seen(true), seen(false).class());
        let is_unready = match as_it_is.class() {
            Up | Suspect => !without.is_usable(),
            Untried => without == Down,
            Down => false,
        };
        prop_assert_eq!(as_it_is.is_unready(), is_unready);
    }
}

/// Degraded or not by ready or not: nothing moves to a rung that would fail while another is ready, and what was decided
/// stays decided.
#[test]
fn degraded_by_ready_comes_to_rest() {
    let mut kinds = Vec::new();
    for class in Class::ALL {
        for (degraded, would_fail) in [(false, false), (true, false), (false, true), (true, true)] {
            if class.is_usable() || !degraded && (class == Untried || !would_fail) {
                kinds.push(OriginView { class, degraded, drained: false, would_fail });
            }
        }
    }
    assert_eq!(kinds.len(), 4 + 4 + 2 + 1);
    let rung = |place, origin| RungView { place, quorum: Quorum::default(), origins: vec![origin] };
    let places = |last| [Place::Primary, Place::Backup(1), last];
    let ladders = 0..kinds.len().pow(3);
    let ladders = ladders.flat_map(|number| [Place::Emergency, Place::Backup(2)].map(|last| (number, places(last))));
    for (number, places) in ladders {
        let of = |rung: usize| kinds[number / kinds.len().pow(rung as u32) % kinds.len()];
        let rungs: Vec<RungView> = places.iter().enumerate().map(|(at, &place)| rung(place, of(at))).collect();
        for served in [None, Some(0), Some(1), Some(2)] {
            for strict in [false, true] {
                let mut standing = Standing { served: served.map(|rung| places[rung]), ..Standing::default() };
                let mut decide = || decide(&rungs, Failback::Auto, &mut standing, None, false, strict, at(1000)).rung;
                let case = format!("{rungs:?} {served:?} {strict}");
                let chosen = decide();
                never_to_one_that_would_fail(&rungs, served, chosen, &case);
                assert_eq!(decide(), chosen, "{case}");
            }
        }
    }
}
