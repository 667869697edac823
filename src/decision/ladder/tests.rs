use super::*;
use crate::time::Wall;
use Class::{Down, Suspect, Untried, Up};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);
const HOLD: Duration = Duration::from_secs(300);

fn at(seconds: u64) -> Now {
    let since = Duration::from_secs(seconds);
    Now { moment: Moment::from_boot(since), wall: Wall::from_millis(0) + since }
}

fn rung(place: Place, origins: &[(Class, bool)]) -> RungView {
    let origin = |&(class, drained)| OriginView { class, degraded: false, drained, would_fail: false };
    RungView { place, quorum: Quorum::default(), origins: origins.iter().map(origin).collect() }
}

/// One origin per rung; `emergency` makes the last one that.
fn ladder(classes: &[(Class, bool)], emergency: bool) -> Vec<RungView> {
    let place = |index: usize| match index {
        0 => Place::Primary,
        _ if emergency && index + 1 == classes.len() => Place::Emergency,
        _ => Place::Backup(u8::try_from(index).unwrap()),
    };
    classes.iter().enumerate().map(|(index, &origin)| rung(place(index), &[origin])).collect()
}

fn healthy(classes: &[Class]) -> Vec<RungView> {
    ladder(&classes.iter().map(|&class| (class, false)).collect::<Vec<_>>(), true)
}

/// Is a failback due?
#[derive(Clone, Copy, PartialEq, Debug)]
enum Due {
    Now,
    Later,
    Never,
}

/// The five rules, once more, for rungs of one origin: which rung?
fn oracle(rungs: &[RungView], served: Option<usize>, hold: Option<usize>, frozen: bool, due: Due) -> usize {
    let alive = |rung: usize| rungs[rung].origins[0].class != Down && !rungs[rung].origins[0].drained;
    let up = |rung: usize| alive(rung) && rungs[rung].origins[0].class == Up;
    let (mut ordinary, mut emergency) = (Vec::new(), None);
    for (index, rung) in rungs.iter().enumerate() {
        if rung.place == Place::Emergency {
            emergency = Some(index);
        } else {
            ordinary.push(index);
        }
    }
    // 1. An order decides; automation that is frozen does nothing, but a drain is an order too.
    if let Some(hold) = hold {
        return hold;
    }
    if let Some(served) = served
        && frozen
        && !rungs[served].origins[0].drained
    {
        return served;
    }
    // 2. The served rung stays while it is usable or unknown and no failback is due.
    if let Some(served) = served
        && alive(served)
    {
        let better = ordinary.iter().copied().find(|&rung| rung < served && up(rung));
        return match better {
            Some(better) if due == Due::Now || Some(served) == emergency => better,
            _ => served,
        };
    }
    // 3. Otherwise, at once, the first rung that is up, then suspect, then unknown.
    let mut living: Vec<usize> = ordinary.into_iter().filter(|&rung| alive(rung)).collect();
    living.sort_by_key(|&rung| match rungs[rung].origins[0].class {
        Up => 1,
        Suspect => 2,
        _ => 3,
    });
    if let Some(&best) = living.first() {
        return best;
    }
    // 4. The emergency only when every other rung is dead.
    if let Some(emergency) = emergency
        && !rungs[emergency].origins[0].drained
    {
        return emergency;
    }
    // A drain that leaves nothing usable gives way.
    if let Some(drained) = rungs.iter().position(|rung| matches!(rung.origins[0].class, Up | Suspect)) {
        return drained;
    }
    // 5. All dead and no emergency: the last served.
    served.unwrap_or(0)
}

#[test]
fn every_class_by_every_class_follows_the_five_rules() {
    let one: Vec<(Class, bool)> = Class::ALL.into_iter().flat_map(|class| [(class, false), (class, true)]).collect();
    let mut ladders: Vec<Vec<(Class, bool)>> = Vec::new();
    for &first in &one {
        for &second in &one {
            ladders.push(vec![first, second]);
            ladders.extend(one.iter().map(|&third| vec![first, second, third]));
        }
    }
    let mut cases = 0;
    for (classes, emergency) in ladders.iter().flat_map(|classes| [(classes, false), (classes, true)]) {
        let rungs = ladder(classes, emergency);
        let places: Vec<Option<usize>> = std::iter::once(None).chain((0..rungs.len()).map(Some)).collect();
        for (&served, &hold) in places.iter().flat_map(|served| places.iter().map(move |hold| (served, hold))) {
            for frozen in [false, true] {
                for (failback, long_up, due) in [
                    (Failback::Auto, false, Due::Now),
                    (Failback::After(HOLD), true, Due::Now),
                    (Failback::After(HOLD), false, Due::Later),
                    (Failback::Manual, true, Due::Never),
                ] {
                    let mut standing = Standing { served: served.map(|rung| rungs[rung].place), ..Standing::default() };
                    if long_up {
                        standing.up_since = rungs.iter().map(|rung| (rung.place, at(0).moment)).collect();
                    }
                    let held = hold.map(|rung| rungs[rung].place);
                    let choice = decide(&rungs, failback, &mut standing, held, frozen, false, at(1000));
                    let case = format!("{classes:?} {emergency} {served:?} {hold:?} {frozen} {failback:?}");
                    assert_eq!(choice.rung, oracle(&rungs, served, hold, frozen, due), "{case}");
                    assert_eq!(choice.origins, [0], "{case}");
                    assert_eq!(standing.served(), Some(rungs[choice.rung].place), "{case}");
                    check_why(&rungs, &choice, hold, frozen && served.is_some(), due, &case);
                    let again = decide(&rungs, failback, &mut standing, held, frozen, false, at(1000));
                    assert_eq!(again.rung, choice.rung, "two moves at rest: {case}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, (64 * 9 + 512 * 16) * 2 * 2 * 4);
}

/// The reason given must be true.
fn check_why(rungs: &[RungView], choice: &Choice, hold: Option<usize>, frozen: bool, due: Due, case: &str) {
    let here = &rungs[choice.rung];
    let better_up = rungs[..choice.rung].iter().any(|rung| rung.class() == Up);
    let true_so = match choice.why {
        Why::Held => hold == Some(choice.rung),
        Why::Doubt => frozen,
        Why::Preferred => choice.rung == 0 && here.class().is_usable(),
        Why::Unproven => here.class() == Untried,
        Why::FailedOver => choice.rung > 0 && here.class().is_usable() && !better_up,
        Why::FailbackWaits { until } => due == Due::Later && better_up && until == at(1000) + HOLD,
        Why::FailbackManual => due == Due::Never && better_up,
        Why::LastResort => here.place == Place::Emergency && !better_up,
        Why::AllDead => rungs.iter().all(|rung| rung.class() == Down),
        Why::Degraded | Why::TooFew | Why::Panic | Why::Restored | Why::Waits { .. } => false,
    };
    assert!(true_so, "{case}: {:?}", choice.why);
    assert_eq!(choice.wake.is_some(), matches!(choice.why, Why::FailbackWaits { .. }), "{case}");
}

#[test]
fn a_rung_leaves_out_its_dead_and_drained_origins_but_is_never_empty() {
    let one: Vec<(Class, bool)> = Class::ALL.into_iter().flat_map(|class| [(class, false), (class, true)]).collect();
    let pairs = one.iter().flat_map(|&first| one.iter().map(move |&second| [first, second]));
    let triples: Vec<_> =
        pairs.flat_map(|[first, second]| one.iter().map(move |&third| [first, second, third])).collect();
    assert_eq!(triples.len(), 512);
    for origins in triples {
        let rungs = [rung(Place::Primary, &origins)];
        let of = |wanted: &dyn Fn(Class) -> bool| -> Vec<usize> {
            (0..3).filter(|&index| !origins[index].1 && wanted(origins[index].0)).collect()
        };
        let (usable, unknown, undrained) = (of(&Class::is_usable), of(&|class| class == Untried), of(&|_| true));
        // A drain that leaves nothing usable gives way to what works, unless the rung is held.
        let working: Vec<_> = (0..3).filter(|&index| origins[index].0.is_usable()).collect();
        let (all, none) = (vec![0, 1, 2], Vec::new());
        for hold in [None, Some(Place::Primary)] {
            let choice = decide(&rungs, Failback::Auto, &mut Standing::default(), hold, false, false, at(0));
            let working = if hold.is_some() { &none } else { &working };
            let mut by_rule = [&usable, &unknown, working, &undrained, &all].into_iter();
            let expected = by_rule.find(|some| !some.is_empty()).unwrap().clone();
            assert_eq!((choice.rung, &choice.origins), (0, &expected), "{origins:?} {hold:?}");
        }
    }
}

#[test]
fn no_ladder_and_a_hold_that_has_vanished_are_no_trouble() {
    let none = decide(&[], Failback::Auto, &mut Standing::default(), None, true, false, at(0));
    assert_eq!((none.rung, none.why), (0, Why::AllDead));
    let rungs = healthy(&[Up, Up]);
    let choice = decide(&rungs, Failback::Auto, &mut Standing::default(), Some(Place::Backup(7)), false, false, at(0));
    assert_eq!((choice.rung, choice.why), (0, Why::Preferred));
    let mut gone = Standing::restored(Place::Backup(7), vec![0]);
    assert_eq!(decide(&rungs, Failback::Manual, &mut gone, None, false, false, at(0)).rung, 0);
}

/// A name on a ladder of three, and its story.
struct Story {
    standing: Standing,
    failback: Failback,
}

impl Story {
    fn new(failback: Failback) -> Self {
        Self { standing: Standing::default(), failback }
    }

    fn see(&mut self, seconds: u64, classes: [Class; 3]) -> (usize, Why) {
        let choice = decide(&healthy(&classes), self.failback, &mut self.standing, None, false, false, at(seconds));
        (choice.rung, choice.why)
    }
}

#[test]
fn failback_waits_until_the_better_rung_has_been_up_for_long_enough() {
    let mut story = Story::new(Failback::After(HOLD));
    assert_eq!(story.see(0, [Up, Up, Up]), (0, Why::Preferred));
    assert_eq!(story.see(10, [Suspect, Up, Up]), (0, Why::Preferred));
    assert_eq!(story.see(11, [Down, Up, Up]), (1, Why::FailedOver));
    let waits = Why::FailbackWaits { until: at(400) };
    assert_eq!(story.see(100, [Up, Up, Up]), (1, waits));
    assert_eq!(story.see(200, [Suspect, Up, Up]), (1, Why::FailedOver), "a suspicion is not up");
    assert_eq!(story.see(201, [Up, Up, Up]), (1, waits), "but does not start the wait again");
    assert_eq!(story.see(399, [Up, Up, Up]), (1, waits));
    assert_eq!(story.see(400, [Up, Up, Up]), (0, Why::Preferred));
}

#[test]
fn a_death_starts_the_wait_again_and_a_dead_rung_is_left_without_one() {
    let mut story = Story::new(Failback::After(HOLD));
    story.see(0, [Down, Up, Up]);
    story.see(100, [Up, Up, Up]);
    story.see(300, [Down, Up, Up]);
    assert_eq!(story.see(350, [Up, Up, Up]), (1, Why::FailbackWaits { until: at(650) }));
    assert_eq!(story.see(360, [Up, Down, Up]), (0, Why::Preferred), "failing over never waits");
}

#[test]
fn the_emergency_is_entered_last_and_left_first() {
    let mut story = Story::new(Failback::Manual);
    assert_eq!(story.see(0, [Down, Down, Down]), (2, Why::LastResort));
    assert_eq!(story.see(1, [Untried, Suspect, Up]), (2, Why::LastResort), "until one is up");
    assert_eq!(story.see(2, [Untried, Up, Up]), (1, Why::FailedOver));
    assert_eq!(story.see(3, [Up, Up, Up]), (1, Why::FailbackManual));
}

#[test]
fn relapses_double_the_wait_and_holding_out_forgives_them() {
    let mut story = Story::new(Failback::After(HOLD));
    story.see(0, [Down, Up, Up]);
    let mut now = 0;
    for wait in [300, 600, 1200, 2400, 4800, 9600, 9600] {
        let due = at(now + 10 + wait);
        assert_eq!(story.see(now + 10, [Up, Up, Up]), (1, Why::FailbackWaits { until: due }));
        now += 10 + wait;
        assert_eq!(story.see(now, [Up, Up, Up]), (0, Why::Preferred));
        now += 60;
        assert_eq!(story.see(now, [Down, Up, Up]), (1, Why::FailedOver));
    }
    assert_eq!(story.standing.relapses(), 5);
    story.see(now, [Up, Up, Up]);
    now += 9600;
    assert_eq!(story.see(now, [Up, Up, Up]).0, 0);
    // Up for over an hour (and over ten hold-downs) after the failback.
    now += 3601;
    assert_eq!(story.see(now, [Down, Up, Up]).0, 1);
    assert_eq!(story.see(now + 10, [Up, Up, Up]).1, Why::FailbackWaits { until: at(now + 310) });
}

#[test]
fn a_doubled_wait_is_bounded_by_a_day() {
    let mut standing = Standing { relapses: 5, ..Standing::default() };
    assert_eq!(standing.hold_down(Failback::After(HOUR)), Some(24 * HOUR));
    assert_eq!(standing.hold_down(Failback::After(30 * HOUR)), Some(30 * HOUR));
    assert_eq!(standing.hold_down(Failback::After(HOLD)), Some(HOLD * 32));
    assert_eq!(standing.hold_down(Failback::Auto), Some(Duration::ZERO));
    assert_eq!(standing.hold_down(Failback::Manual), None);
    standing.relapses = 1;
    assert_eq!(standing.hold_down(Failback::After(HOLD)), Some(HOLD * 2));
}

#[test]
fn a_drain_is_no_relapse() {
    let mut story = Story::new(Failback::After(HOLD));
    story.see(0, [Down, Up, Up]);
    story.see(1, [Up, Up, Up]);
    assert_eq!(story.see(301, [Up, Up, Up]).0, 0);
    let drained = ladder(&[(Up, true), (Up, false), (Up, false)], true);
    assert_eq!(decide(&drained, story.failback, &mut story.standing, None, false, false, at(310)).rung, 1);
    assert_eq!(story.see(320, [Up, Up, Up]), (1, Why::FailbackWaits { until: at(620) }));
}

#[test]
fn a_person_approves_the_failback_that_waits_and_no_other() {
    for failback in [Failback::Manual, Failback::After(HOLD)] {
        let mut story = Story::new(failback);
        story.see(0, [Down, Up, Up]);
        assert!(!story.standing.approve(&healthy(&[Down, Up, Up])), "none waits");
        story.see(1, [Up, Up, Up]);
        assert!(story.standing.approve(&healthy(&[Up, Up, Up])));
        assert_eq!(story.see(2, [Up, Up, Up]), (0, Why::Preferred));
        story.see(3, [Down, Up, Up]);
        assert_eq!(story.see(4, [Up, Up, Up]).0, 1, "it was for that time only");
        // Approved, but the rung is not up any more when it comes to it.
        assert!(story.standing.approve(&healthy(&[Up, Up, Up])));
        assert_eq!(story.see(5, [Down, Up, Up]).0, 1);
        assert_eq!(story.see(6, [Up, Up, Up]).0, 1);
    }
}

#[test]
fn failback_takes_the_best_rung_that_is_due() {
    let mut story = Story::new(Failback::After(HOLD));
    let rungs = |classes: [Class; 3]| ladder(&classes.map(|class| (class, false)), false);
    let mut see = |seconds, classes| {
        let choice =
            decide(&rungs(classes), Failback::After(HOLD), &mut story.standing, None, false, false, at(seconds));
        (choice.rung, choice.wake.map(|wake| wake.since_boot().as_secs()))
    };
    assert_eq!(see(0, [Down, Down, Up]), (2, None));
    assert_eq!(see(10, [Down, Up, Up]), (2, Some(310)));
    assert_eq!(see(100, [Up, Up, Up]), (2, Some(310)));
    assert_eq!(see(310, [Up, Up, Up]), (1, Some(400)));
    assert_eq!(see(311, [Up, Up, Up]), (1, Some(400)));
    assert_eq!(see(400, [Up, Up, Up]), (0, None));
}

#[test]
fn a_restored_place_is_served_until_probes_speak() {
    let mut story = Story { standing: Standing::restored(Place::Backup(1), vec![0]), failback: Failback::After(HOLD) };
    assert_eq!(story.see(0, [Untried, Untried, Untried]), (1, Why::Restored));
    assert_eq!(story.see(1, [Up, Untried, Untried]), (1, Why::FailbackWaits { until: at(301) }), "waits start again");
    assert_eq!(story.see(2, [Up, Up, Untried]).0, 1);
    assert_eq!(story.see(3, [Down, Up, Untried]), (1, Why::FailedOver));
    let mut dead = Story { standing: Standing::restored(Place::Backup(1), vec![0]), failback: Failback::Auto };
    assert_eq!(dead.see(1, [Untried, Down, Up]), (0, Why::Unproven), "evidence moves it");
    let mut last = Story { standing: Standing::restored(Place::Emergency, vec![0]), failback: Failback::Auto };
    assert_eq!(last.see(0, [Untried, Untried, Untried]), (2, Why::Restored));
    assert_eq!(last.see(1, [Down, Down, Untried]), (2, Why::LastResort));
}

#[test]
fn doubt_keeps_the_origins_as_they_were_less_those_drained() {
    let mut standing = Standing::default();
    let view = |origins: &[(Class, bool)]| vec![rung(Place::Primary, origins), rung(Place::Backup(1), &[(Up, false)])];
    let mut see = |origins: &[(Class, bool)], frozen| {
        let choice = decide(&view(origins), Failback::Auto, &mut standing, None, frozen, false, at(0));
        (choice.rung, choice.origins, choice.why)
    };
    let (up, down) = ((Up, false), (Down, false));
    assert_eq!(see(&[up, down, up], false), (0, vec![0, 2], Why::Preferred));
    assert_eq!(see(&[down, down, down], true), (0, vec![0, 2], Why::Doubt));
    assert_eq!(see(&[down, up, (Down, true)], true), (0, vec![0], Why::Doubt));
    assert_eq!(see(&[(Up, true), (Up, true), (Up, true)], true).0, 1, "a drain is an order");
}

#[test]
fn reasons_are_told_with_what_belongs_to_them() {
    use crate::decision::order::{OrderId, What};
    let order = Order {
        id: OrderId(1),
        what: What::Drain { origin: "eu".into() },
        actor: "alice".into(),
        reason: "moving".into(),
        given: at(0).wall,
        until: Some(at(60).wall),
    };
    let held = Reason::Held { actor: "alice".into(), reason: "moving".into(), until: Some(at(60).wall) };
    assert_eq!(Why::Held.reason(Some(&order)), held);
    assert_eq!(Why::FailbackWaits { until: at(9) }.reason(None), Reason::FailbackWaits { until: at(9).wall });
    assert_eq!(Why::LastResort.reason(None), Reason::LastResort);
}

proptest! {
    #[test]
    fn through_any_weather_a_move_has_its_grounds(
        steps in prop::collection::vec((prop::array::uniform3((0usize..4, prop::bool::weighted(0.1))), 1u64..600), 1..60),
        emergency: bool,
        failback in prop_oneof![Just(Failback::Auto), Just(Failback::Manual), Just(Failback::After(HOLD))],
    ) {
        let (mut standing, mut now, mut before) = (Standing::default(), 0, None::<usize>);
        for (classes, later) in steps {
            now += later;
            let rungs = ladder(&classes.map(|(class, drained)| (Class::ALL[class], drained)), emergency);
            let choice = decide(&rungs, failback, &mut standing, None, false, false, at(now));
            let dead = |rung: &RungView| rung.class() == Down;
            let ordinary_alive = rungs.iter().any(|rung| rung.place != Place::Emergency && !dead(rung));
            prop_assert!(!choice.origins.is_empty());
            // A rung that is dead is served only when all are, or as the last resort.
            if dead(&rungs[choice.rung]) {
                prop_assert!(!ordinary_alive);
            }
            if let Some(before) = before.filter(|&before| before != choice.rung) {
                let left_alive = !dead(&rungs[before]);
                prop_assert!(!left_alive || (choice.rung < before && rungs[choice.rung].class() == Up));
                prop_assert!(!left_alive || failback != Failback::Manual || rungs[before].place == Place::Emergency);
                prop_assert!(rungs[choice.rung].place != Place::Emergency || !ordinary_alive);
            }
            // Asked again at the same moment, nothing changes.
            let mut again = standing.clone();
            prop_assert_eq!(&decide(&rungs, failback, &mut again, None, false, false, at(now)).rung, &choice.rung);
            if let Some(wake) = choice.wake {
                prop_assert!(wake > at(now).moment);
                let late = Now { moment: wake, wall: Wall::default() };
                prop_assert!(decide(&rungs, failback, &mut standing.clone(), None, false, false, late).rung < choice.rung);
            }
            before = Some(choice.rung);
        }
    }
}
