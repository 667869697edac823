//! Rungs that are degraded, short of their quorum, or in a panic.

use super::*;
use crate::time::Wall;
use Class::{Down, Suspect, Untried, Up};
use proptest::prelude::*;

const HOLD: Duration = Duration::from_secs(300);

fn at(seconds: u64) -> Now {
    let since = Duration::from_secs(seconds);
    Now { moment: Moment::from_boot(since), wall: Wall::from_millis(0) + since }
}

/// Everything that a rung can be.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Well,
    UpDegraded,
    Suspect,
    SuspectDegraded,
    Untried,
    Dead,
    /// One of two is up, and two are needed.
    Short,
    /// One of two is not known, and two are needed.
    Unsure,
    /// One of three is up, and half of them are needed.
    Panics,
    /// Up, and drained.
    Drained,
}

const KINDS: [Kind; 10] = [
    Kind::Well,
    Kind::UpDegraded,
    Kind::Suspect,
    Kind::SuspectDegraded,
    Kind::Untried,
    Kind::Dead,
    Kind::Short,
    Kind::Unsure,
    Kind::Panics,
    Kind::Drained,
];

impl Kind {
    fn is_alive(self) -> bool {
        !matches!(self, Self::Dead | Self::Short | Self::Unsure | Self::Panics | Self::Drained)
    }

    fn is_short(self) -> bool {
        matches!(self, Self::Short | Self::Unsure | Self::Panics)
    }

    fn is_degraded(self) -> bool {
        matches!(self, Self::UpDegraded | Self::SuspectDegraded)
    }

    fn rung(self, place: Place) -> RungView {
        let origin = |class, degraded, drained| OriginView { class, degraded, drained, would_fail: false };
        let (usual, two) = (Quorum::default(), Quorum { min_up: 2, panic: None });
        let (quorum, origins) = match self {
            Self::Well => (usual, vec![origin(Up, false, false)]),
            Self::UpDegraded => (usual, vec![origin(Up, true, false)]),
            Self::Suspect => (usual, vec![origin(Suspect, false, false)]),
            Self::SuspectDegraded => (usual, vec![origin(Suspect, true, false)]),
            Self::Untried => (usual, vec![origin(Untried, false, false)]),
            Self::Dead => (usual, vec![origin(Down, false, false)]),
            Self::Short => (two, vec![origin(Up, false, false), origin(Down, false, false)]),
            Self::Unsure => (two, vec![origin(Untried, false, false), origin(Down, false, false)]),
            Self::Panics => {
                let down = origin(Down, false, false);
                (Quorum { min_up: 1, panic: Some(50) }, vec![down, origin(Suspect, false, false), down])
            }
            Self::Drained => (usual, vec![origin(Up, false, true)]),
        };
        RungView { place, quorum, origins }
    }
}

fn ladder(kinds: &[Kind], emergency: bool) -> Vec<RungView> {
    let place = |index: usize| match index {
        0 => Place::Primary,
        _ if emergency && index + 1 == kinds.len() => Place::Emergency,
        _ => Place::Backup(u8::try_from(index).unwrap()),
    };
    kinds.iter().enumerate().map(|(index, kind)| kind.rung(place(index))).collect()
}

/// The table, once more, in other words: which rung?
fn oracle(kinds: &[Kind], emergency: bool, served: Option<usize>, is_due: bool) -> usize {
    let last = emergency.then(|| kinds.len() - 1);
    let ordinary = || (0..kinds.len()).filter(|&rung| Some(rung) != last);
    let first = |wanted: &[Kind]| ordinary().find(|&rung| wanted.contains(&kinds[rung]));
    let best = || first(&[Kind::Well]).or_else(|| first(&[Kind::UpDegraded]));
    if let Some(served) = served.filter(|&served| kinds[served].is_alive()) {
        if Some(served) == last {
            return best().unwrap_or(served);
        }
        if kinds[served].is_degraded() {
            return first(&[Kind::Well]).unwrap_or(served);
        }
        return first(&[Kind::Well]).filter(|&better| better < served && is_due).unwrap_or(served);
    }
    best()
        .or_else(|| first(&[Kind::Suspect, Kind::SuspectDegraded]))
        .or_else(|| first(&[Kind::Untried]))
        .or_else(|| last.filter(|&last| kinds[last].is_alive()))
        .or_else(|| served.filter(|&served| matches!(kinds[served], Kind::Short | Kind::Panics)))
        .or_else(|| first(&[Kind::Short, Kind::Panics]))
        .or_else(|| served.filter(|&served| kinds[served] == Kind::Unsure))
        .or_else(|| first(&[Kind::Unsure]))
        .or_else(|| last.filter(|&last| kinds[last] != Kind::Drained))
        .or_else(|| kinds.iter().position(|&kind| kind == Kind::Drained))
        .or(served)
        .unwrap_or(0)
}

#[test]
fn every_kind_by_every_kind_follows_the_table() {
    let mut ladders: Vec<Vec<Kind>> = Vec::new();
    for first in KINDS {
        for second in KINDS {
            ladders.push(vec![first, second]);
            ladders.extend(KINDS.map(|third| vec![first, second, third]));
        }
    }
    let mut cases = 0;
    for (kinds, emergency) in ladders.iter().flat_map(|kinds| [(kinds, false), (kinds, true)]) {
        let rungs = ladder(kinds, emergency);
        let places: Vec<Option<usize>> = std::iter::once(None).chain((0..rungs.len()).map(Some)).collect();
        for (&served, &hold) in places.iter().flat_map(|served| places.iter().map(move |hold| (served, hold))) {
            for frozen in [false, true] {
                for (failback, is_due) in
                    [(Failback::Auto, true), (Failback::After(HOLD), false), (Failback::Manual, false)]
                {
                    let mut standing = Standing { served: served.map(|rung| rungs[rung].place), ..Standing::default() };
                    let held = hold.map(|rung| rungs[rung].place);
                    let choice = decide(&rungs, failback, &mut standing, held, frozen, false, at(1000));
                    let kept = served.filter(|&served| frozen && kinds[served] != Kind::Drained);
                    let wanted = hold.or(kept).unwrap_or_else(|| oracle(kinds, emergency, served, is_due));
                    let case = format!("{kinds:?} {emergency} {served:?} {hold:?} {frozen} {failback:?}");
                    assert_eq!(choice.rung, wanted, "{case}");
                    let origins: &[usize] = if kinds[wanted] == Kind::Panics { &[0, 1, 2] } else { &[0] };
                    assert_eq!(choice.origins, origins, "{case}");
                    check_why(kinds, &choice, &case);
                    let again = decide(&rungs, failback, &mut standing, held, frozen, false, at(1000));
                    assert_eq!(again.rung, wanted, "two moves at rest: {case}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, (100 * 9 + 1000 * 16) * 2 * 2 * 3);
}

/// The reason given must be true.
fn check_why(kinds: &[Kind], choice: &Choice, case: &str) {
    let (here, before) = (kinds[choice.rung], &kinds[..choice.rung]);
    let true_so = match choice.why {
        Why::TooFew => matches!(here, Kind::Short | Kind::Unsure) && !kinds.iter().any(|kind| kind.is_alive()),
        Why::Panic => here == Kind::Panics && !kinds.iter().any(|kind| kind.is_alive()),
        Why::Degraded => here.is_alive() && before.contains(&Kind::UpDegraded),
        Why::FailedOver => here.is_alive() && !before.contains(&Kind::UpDegraded),
        Why::Preferred => here.is_alive() && before.is_empty(),
        Why::AllDead => !kinds.iter().any(|kind| kind.is_alive() || kind.is_short()),
        Why::FailbackWaits { .. } | Why::FailbackManual => before.contains(&Kind::Well),
        Why::Unproven => here == Kind::Untried,
        Why::LastResort | Why::Held | Why::Doubt => true,
        Why::Restored | Why::Waits { .. } => false,
    };
    assert!(true_so, "{case}: {:?}", choice.why);
}

#[test]
fn failback_waits_until_the_better_rung_has_been_well_for_long_enough() {
    let mut standing = Standing::default();
    let mut see = |seconds, kinds: [Kind; 2]| {
        let choice =
            decide(&ladder(&kinds, false), Failback::After(HOLD), &mut standing, None, false, false, at(seconds));
        (choice.rung, choice.why)
    };
    assert_eq!(see(0, [Kind::Well, Kind::Well]), (0, Why::Preferred));
    assert_eq!(see(10, [Kind::UpDegraded, Kind::Well]), (1, Why::Degraded));
    assert_eq!(see(11, [Kind::SuspectDegraded, Kind::Well]), (1, Why::FailedOver));
    assert_eq!(see(20, [Kind::Well, Kind::Well]), (1, Why::FailbackWaits { until: at(320) }));
    assert_eq!(see(100, [Kind::UpDegraded, Kind::Well]), (1, Why::Degraded), "it starts again");
    assert_eq!(see(200, [Kind::Well, Kind::Well]), (1, Why::FailbackWaits { until: at(500) }));
    assert_eq!(see(210, [Kind::Well, Kind::UpDegraded]), (0, Why::Preferred), "a degraded rung is left at once");
    // Degraded again soon after: a relapse.
    assert_eq!(see(220, [Kind::UpDegraded, Kind::Well]), (1, Why::Degraded));
    assert_eq!(see(230, [Kind::Well, Kind::Well]), (1, Why::FailbackWaits { until: at(830) }), "doubled");
}

#[test]
fn what_is_short_stays_among_what_is_short_and_is_left_for_anything_alive() {
    let mut standing = Standing::default();
    let mut see = |kinds: [Kind; 3]| {
        let choice = decide(&ladder(&kinds, false), Failback::Manual, &mut standing, None, false, false, at(0));
        (choice.rung, choice.why)
    };
    assert_eq!(see([Kind::Dead, Kind::Short, Kind::Dead]), (1, Why::TooFew));
    assert_eq!(see([Kind::Short, Kind::Short, Kind::Panics]), (1, Why::TooFew));
    assert_eq!(see([Kind::Short, Kind::Dead, Kind::Panics]), (0, Why::TooFew));
    assert_eq!(see([Kind::Short, Kind::Dead, Kind::Untried]), (2, Why::Unproven));
    assert_eq!(see([Kind::Dead, Kind::Dead, Kind::Panics]), (2, Why::Panic));
}

proptest! {
    /// A rung of equals, told by counting: dead with fewer than its quorum, and what is served of it when it stands
    /// alone.
    #[test]
    fn a_quorum_counts_what_is_not_drained(
        origins in prop::collection::vec((0usize..4, any::<bool>(), any::<bool>()), 1..6),
        min_up in 1usize..4,
        panic in prop::option::of(1u8..=100),
    ) {
        let origins: Vec<OriginView> = origins
            .into_iter()
            .map(|(class, degraded, drained)| {
                let class = Class::ALL[class];
                OriginView { class, degraded: degraded && class.is_usable(), drained, would_fail: false }
            })
            .collect();
        let rung = RungView { place: Place::Primary, quorum: Quorum { min_up, panic }, origins };
        let undrained: Vec<usize> = (0..rung.origins.len()).filter(|&at| !rung.origins[at].drained).collect();
        let of = |wanted: &dyn Fn(Class) -> bool| -> Vec<usize> {
            undrained.iter().copied().filter(|&at| wanted(rung.origins[at].class)).collect()
        };
        let (usable, alive) = (of(&Class::is_usable), of(&|class| class != Down));
        let share = panic.map_or(0.0, f64::from) / 100.0 * undrained.len() as f64;
        let is_dead = alive.len() < min_up || (alive.len() as f64) < share || alive.is_empty();
        prop_assert_eq!(rung.class() == Down, is_dead);
        let choice = decide(std::slice::from_ref(&rung), Failback::Auto, &mut Standing::default(), None, false, false, at(0));
        let panics = is_dead && !alive.is_empty() && (alive.len() as f64) < share;
        prop_assert_eq!(choice.why == Why::Panic, panics);
        if panics {
            prop_assert_eq!(choice.origins, undrained);
        } else if !usable.is_empty() {
            prop_assert_eq!(choice.origins, usable);
        }
    }
}
