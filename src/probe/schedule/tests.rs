use super::*;
use crate::config::{Config, OriginId};
use crate::probe::watch::Watch;
use crate::probe::{Cause, LocalFault, Phases, Target, fixture};
use crate::time::{Now, Wall};
use crate::verdict::{Thresholds, Verdict};
use proptest::prelude::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Moment {
    Moment::from_boot(ms(millis))
}

fn key(number: u32) -> Key {
    let config: Config = fixture::flock(1, fixture::check("site"));
    let watch = Watch {
        origin: OriginId(0),
        target: Target::Address(std::net::Ipv4Addr::from(number).into()),
        port: 443,
        check: crate::config::CheckId(0),
        host: "www.example.com".into(),
    };
    watch.key(&config)
}

/// The defaults of the contract.
const USUAL: Timing = Timing {
    awaited: false,
    dear: false,
    every: Duration::from_secs(5),
    standby_every: Duration::from_secs(5),
    timeout: Duration::from_secs(2),
    fall: 3,
    confirm: Duration::from_millis(500),
    blip: Duration::from_secs(1),
};

fn saw(schedule: &Schedule, purpose: Purpose, started: Moment, finished: Moment, outcome: Outcome) -> Observation {
    Observation {
        watch: WatchId(0),
        epoch: schedule.epoch(WatchId(0)),
        purpose,
        started,
        finished,
        outcome,
        address: None,
        phases: Phases::default(),
        warnings: vec![],
        certificate: None,
        status: None,
        detail: None,
    }
}

const REFUSED: Outcome = Outcome::Failed(Cause::ConnectRefused);

/// One watch, with its first scheduled probe just started.
fn started(timing: Timing) -> (Schedule, Moment) {
    let mut schedule = Schedule::new();
    schedule.arrange(&[(key(1), timing)], at(60_000));
    let now = schedule.next_deadline().unwrap();
    assert_eq!(due(&mut schedule, now), [(WatchId(0), Purpose::Scheduled)]);
    (schedule, now)
}

/// What is to be started now.
fn due(schedule: &mut Schedule, now: Moment) -> Vec<(WatchId, Purpose)> {
    schedule.due(now).into_iter().map(|start| (start.watch, start.purpose)).collect()
}

/// What starts until `until`, as (milliseconds after `from`, purpose).
fn starts(schedule: &mut Schedule, from: Moment, until: Duration) -> Vec<(u128, Purpose)> {
    let mut starts = Vec::new();
    while let Some(now) = schedule.next_deadline().filter(|&next| next <= from + until) {
        let now = now.max(from);
        starts.extend(due(schedule, now).into_iter().map(|(_, purpose)| (now.since(from).as_millis(), purpose)));
    }
    starts
}

#[test]
fn a_failure_is_raced_by_confirmations_at_their_distances() {
    use Purpose::Confirm;
    for (fall, confirm, blip, expected) in [
        (3, 500, 1000, vec![(500, Confirm(1)), (1000, Confirm(2))]),
        (3, 500, 2000, vec![(500, Confirm(1)), (2000, Confirm(2))]),
        (4, 100, 0, vec![(100, Confirm(1)), (200, Confirm(2)), (300, Confirm(3))]),
        (2, 500, 0, vec![(500, Confirm(1))]),
        (1, 500, 700, vec![(700, Confirm(1))]),
        (1, 500, 0, vec![]),
    ] {
        let timing = Timing { fall, confirm: ms(confirm), blip: ms(blip), ..USUAL };
        let (mut schedule, first) = started(timing);
        let failed = saw(&schedule, Purpose::Scheduled, first, first + ms(5), REFUSED);
        schedule.observed(&failed, Class::Suspect, first + ms(5));
        let mut seen = starts(&mut schedule, first, ms(3000));
        seen.retain(|&(_, purpose)| purpose != Purpose::Scheduled);
        assert_eq!(seen, expected, "fall {fall}, confirm {confirm}, blip {blip}");
    }
}

#[test]
fn a_probe_that_takes_too_long_is_raced_before_it_ends() {
    let (mut schedule, first) = started(USUAL);
    assert_eq!(
        starts(&mut schedule, first, ms(1500)),
        [(500, Purpose::Confirm(1)), (1010, Purpose::Confirm(2))],
        "the last one a hair later, since the first one's real start is not known"
    );
    // It passes after all: confirmations in flight change nothing.
    let passed = saw(&schedule, Purpose::Scheduled, first, first + ms(1600), Outcome::Passed);
    schedule.observed(&passed, Class::Up, first + ms(1600));
    assert!(starts(&mut schedule, first + ms(1600), ms(500)).is_empty());
}

#[test]
fn a_program_is_raced_when_it_has_failed_and_not_while_it_runs() {
    use Purpose::{Confirm, Scheduled};
    let (mut schedule, first) = started(Timing { dear: true, ..USUAL });
    assert_eq!(starts(&mut schedule, first, ms(2000)), []);
    let failed = saw(&schedule, Scheduled, first, first + ms(2000), REFUSED);
    schedule.observed(&failed, Class::Suspect, first + ms(2000));
    let confirmed = starts(&mut schedule, first + ms(2000), ms(10));
    assert_eq!(confirmed, [(0, Confirm(1)), (0, Confirm(2))], "the failure took longer than the race");
}

#[test]
fn a_slow_probe_is_raced_only_once() {
    let (mut schedule, first) = started(USUAL);
    assert_eq!(starts(&mut schedule, first, ms(600)), [(500, Purpose::Confirm(1))]);
    let passed = saw(&schedule, Purpose::Confirm(1), first + ms(500), first + ms(620), Outcome::Passed);
    schedule.observed(&passed, Class::Up, first + ms(620));
    assert_eq!(starts(&mut schedule, first + ms(620), ms(1300)), []);
}

#[test]
fn slow_is_what_is_unusual() {
    let (mut schedule, first) = started(USUAL);
    let passed = saw(&schedule, Purpose::Scheduled, first, first + ms(300), Outcome::Passed);
    schedule.observed(&passed, Class::Up, first + ms(300));
    let second = schedule.next_deadline().unwrap();
    schedule.due(second);
    assert_eq!(starts(&mut schedule, second, ms(899)), [], "three times the usual 300 ms are not over");
    assert_eq!(starts(&mut schedule, second, ms(901)), [(900, Purpose::Confirm(1))]);
}

#[test]
fn a_pass_calls_off_the_rest_and_an_older_pass_does_not() {
    let (mut schedule, first) = started(USUAL);
    let failed = saw(&schedule, Purpose::Scheduled, first, first + ms(5), REFUSED);
    schedule.observed(&failed, Class::Suspect, first + ms(5));
    let older = saw(&schedule, Purpose::Witness, first - ms(1), first + ms(10), Outcome::Passed);
    schedule.observed(&older, Class::Up, first + ms(10));
    assert_eq!(starts(&mut schedule, first, ms(600)), [(500, Purpose::Confirm(1))]);
    let newer = saw(&schedule, Purpose::Confirm(1), first + ms(500), first + ms(620), Outcome::Passed);
    schedule.observed(&newer, Class::Up, first + ms(620));
    assert_eq!(starts(&mut schedule, first + ms(620), ms(1000)), []);
}

#[test]
fn a_watch_that_is_down_is_not_raced() {
    let (mut schedule, first) = started(USUAL);
    let failed = saw(&schedule, Purpose::Scheduled, first, first + ms(5), REFUSED);
    schedule.observed(&failed, Class::Down, first + ms(5));
    let seen = starts(&mut schedule, first + ms(5), ms(5000));
    assert!(seen.iter().all(|&(_, purpose)| purpose == Purpose::Scheduled), "{seen:?}");
}

#[test]
fn failures_that_fall_short_of_the_blip_get_one_more() {
    let (mut schedule, first) = started(USUAL);
    let failed = saw(&schedule, Purpose::Scheduled, first, first + ms(5), REFUSED);
    schedule.observed(&failed, Class::Suspect, first + ms(5));
    for (number, after) in [(1, 500), (2, 1000)] {
        starts(&mut schedule, first, ms(after));
        let failed = saw(&schedule, Purpose::Confirm(number), first + ms(after), first + ms(after + 5), REFUSED);
        schedule.observed(&failed, Class::Suspect, first + ms(after + 5));
    }
    assert_eq!(starts(&mut schedule, first, ms(1100)), [(1005, Purpose::Confirm(3))]);
    let failed = saw(&schedule, Purpose::Confirm(3), first + ms(1005), first + ms(1010), REFUSED);
    schedule.observed(&failed, Class::Suspect, first + ms(1010));
    assert_eq!(starts(&mut schedule, first, ms(1500)), [], "only one");
}

#[test]
fn an_inconclusive_race_leaves_it_to_the_schedule_which_may_race_again() {
    let (mut schedule, first) = started(USUAL);
    let failed = saw(&schedule, Purpose::Scheduled, first, first + ms(5), REFUSED);
    schedule.observed(&failed, Class::Suspect, first + ms(5));
    for (number, after) in [(1, 500), (2, 1000)] {
        starts(&mut schedule, first, ms(after));
        let ours = Outcome::Inconclusive(LocalFault::NoPorts);
        let ours = saw(&schedule, Purpose::Confirm(number), first + ms(after), first + ms(after + 5), ours);
        schedule.observed(&ours, Class::Suspect, first + ms(after + 5));
    }
    let second = schedule.next_deadline().unwrap();
    assert_eq!(due(&mut schedule, second), [(WatchId(0), Purpose::Scheduled)]);
    let failed = saw(&schedule, Purpose::Scheduled, second, second + ms(5), REFUSED);
    schedule.observed(&failed, Class::Suspect, second + ms(5));
    assert_eq!(starts(&mut schedule, second, ms(600)), [(500, Purpose::Confirm(1))]);
}

#[test]
fn a_failure_released_late_is_raced_at_once() {
    let (mut schedule, first) = started(USUAL);
    let held =
        saw(&schedule, Purpose::Scheduled, first, first + ms(5), Outcome::Inconclusive(LocalFault::ClockOrRoots));
    schedule.observed(&held, Class::Up, first + ms(5));
    assert_eq!(starts(&mut schedule, first, ms(700)), []);
    let released = Observation { outcome: Outcome::Failed(Cause::CertExpired), ..held };
    schedule.released(&released, Class::Suspect, first + ms(700));
    assert_eq!(starts(&mut schedule, first + ms(700), ms(400)), [(0, Purpose::Confirm(1)), (300, Purpose::Confirm(2))]);
}

#[test]
fn a_witness_is_asked_once_and_not_if_someone_else_asks_anyway() {
    let (mut schedule, first) = started(USUAL);
    schedule.witness(WatchId(0), first);
    assert_eq!(starts(&mut schedule, first, ms(1)), [], "one that started then is in flight");
    let since = first + ms(10);
    schedule.witness(WatchId(0), since);
    schedule.witness(WatchId(0), since);
    assert_eq!(due(&mut schedule, since), [(WatchId(0), Purpose::Witness)]);
    schedule.witness(WatchId(0), since);
    assert_eq!(due(&mut schedule, since), []);
    // Another question while the witness is out is asked when it is back.
    let later = since + ms(20);
    schedule.witness(WatchId(0), later);
    assert_eq!(due(&mut schedule, later), []);
    let passed = saw(&schedule, Purpose::Witness, since, later, Outcome::Passed);
    schedule.observed(&passed, Class::Up, later);
    assert_eq!(due(&mut schedule, later), [(WatchId(0), Purpose::Witness)]);
}

#[test]
fn a_manual_probe_moves_nothing() {
    let (mut schedule, first) = started(USUAL);
    let before = schedule.next_deadline();
    let manual = saw(&schedule, Purpose::Manual, first, first + ms(5), REFUSED);
    schedule.observed(&manual, Class::Up, first + ms(5));
    assert_eq!(schedule.next_deadline(), before);
}

#[test]
fn a_probe_that_never_comes_back_is_given_up() {
    let (mut schedule, first) = started(USUAL);
    let seen = starts(&mut schedule, first, Duration::from_secs(30));
    let scheduled = seen.iter().filter(|&&(_, purpose)| purpose == Purpose::Scheduled).count();
    assert!(scheduled >= 2, "{seen:?}");
    // One that comes back after it was given up does not end the one in flight now.
    let late = saw(&schedule, Purpose::Scheduled, first, first + ms(5), Outcome::Passed);
    let open = schedule.entries[0].scheduled;
    schedule.observed(&late, Class::Up, first + Duration::from_secs(30));
    assert_eq!(schedule.entries[0].scheduled.map(|open| open.start), open.map(|open| open.start));
}

#[test]
fn a_race_that_never_comes_back_makes_room_for_the_next() {
    let (mut schedule, first) = started(USUAL);
    let failed = saw(&schedule, Purpose::Scheduled, first, first + ms(5), REFUSED);
    schedule.observed(&failed, Class::Suspect, first + ms(5));
    assert_eq!(schedule.due(first + ms(1000)).len(), 2);
    let passed = first + USUAL.lost() + ms(1000);
    schedule.due(passed);
    let again = saw(&schedule, Purpose::Scheduled, passed, passed + ms(5), REFUSED);
    schedule.observed(&again, Class::Suspect, passed + ms(5));
    assert_eq!(starts(&mut schedule, passed, ms(1000)), [(500, Purpose::Confirm(1)), (1000, Purpose::Confirm(2))]);
}

#[test]
fn staleness_is_three_intervals_without_a_conclusive_observation() {
    let (mut schedule, first) = started(USUAL);
    let ours = saw(&schedule, Purpose::Scheduled, first, first + ms(10), Outcome::Inconclusive(LocalFault::Resolver));
    schedule.observed(&ours, Class::Untried, first + ms(10));
    assert!(!schedule.is_stale(WatchId(0), at(60_000 + 17_000)));
    assert!(schedule.is_stale(WatchId(0), at(60_000 + 17_001)), "counted from the arrangement");
    let failed = saw(&schedule, Purpose::Witness, first, first + ms(10), REFUSED);
    schedule.observed(&failed, Class::Untried, first + ms(10));
    assert!(!schedule.is_stale(WatchId(0), first + ms(17_010)));
    assert!(schedule.is_stale(WatchId(0), first + ms(17_011)));
}

#[test]
fn a_reload_keeps_what_is_unchanged_and_finds_it_by_epoch() {
    let mut schedule = Schedule::new();
    let continued = schedule.arrange(&[(key(1), USUAL), (key(2), USUAL), (key(2), USUAL)], at(0));
    assert_eq!(continued, [None, None, None]);
    schedule.due(at(1000));
    let (one, two) = (schedule.epoch(WatchId(0)), schedule.epoch(WatchId(1)));
    let next = schedule.next_of(WatchId(0));
    let slower = Timing { fall: 9, ..USUAL };
    let continued = schedule.arrange(&[(key(2), USUAL), (key(3), USUAL), (key(1), slower)], at(1500));
    assert_eq!(continued, [Some(WatchId(1)), None, Some(WatchId(0))]);
    assert_eq!((schedule.locate(one), schedule.locate(two)), (Some(WatchId(2)), Some(WatchId(0))));
    assert_eq!(schedule.next_of(WatchId(2)), next);
    assert!(schedule.epoch(WatchId(1)) > two);
    // The probe in flight since before the reload still counts as in flight.
    let mut back = saw(&schedule, Purpose::Scheduled, at(1000), at(1600), REFUSED);
    back.epoch = one;
    assert!(schedule.is_current(&back));
    schedule.observed(&back, Class::Suspect, at(1600));
    assert!(schedule.entries[2].race.is_some());
    // What is gone stays gone, also when it comes again.
    schedule.arrange(&[(key(2), USUAL)], at(1700));
    schedule.arrange(&[(key(2), USUAL), (key(1), USUAL)], at(1800));
    assert!(!schedule.is_current(&back));
    schedule.observed(&back, Class::Up, at(1900));
}

#[test]
fn a_shorter_interval_takes_effect_at_once() {
    let mut schedule = Schedule::new();
    let slow = Timing { every: Duration::from_secs(3600), ..USUAL };
    schedule.arrange(&[(key(1), slow)], at(0));
    schedule.due(at(1000));
    schedule.arrange(&[(key(1), USUAL)], at(1500));
    assert!(schedule.next_of(WatchId(0)).unwrap() <= at(6500));
}

#[test]
fn ten_thousand_watches_are_spread_and_each_is_asked_in_every_interval() {
    let timing = Timing { every: Duration::from_secs(10), ..USUAL };
    let watches: Vec<_> = (0..10_000).map(|number| (key(number), timing)).collect();
    let mut schedule = Schedule::new();
    schedule.arrange(&watches, at(0));
    let mut counts = vec![0; watches.len()];
    let mut most = 0;
    for tick in 0..=2500 {
        let now = at(tick * 10);
        let due = schedule.due(now);
        most = most.max(due.len());
        for Start { watch: WatchId(watch), purpose, .. } in due {
            assert_eq!(purpose, Purpose::Scheduled);
            counts[watch as usize] += 1;
            let passed = Observation {
                watch: WatchId(watch),
                epoch: schedule.epoch(WatchId(watch)),
                ..saw(&schedule, purpose, now, now, Outcome::Passed)
            };
            schedule.observed(&passed, Class::Up, now);
        }
    }
    assert!(counts.iter().all(|count| (2..=3).contains(count)), "each 10 s");
    assert!(most <= 40, "{most} starts in 10 ms, where 10 is even");
}

#[test]
fn first_probes_come_within_a_second_and_a_herd_of_them_does_not() {
    let timing = Timing { every: Duration::from_secs(60), ..USUAL };
    for (count, last) in [(1, 1000), (1000, 1000), (5000, 5000), (59_000, 59_000)] {
        let watches: Vec<_> = (0..count).map(|number| (key(number), timing)).collect();
        let mut schedule = Schedule::new();
        schedule.arrange(&watches, at(60_000));
        let firsts: Vec<Moment> = (0..count).map(|number| schedule.next_of(WatchId(number)).unwrap()).collect();
        assert!(firsts.iter().all(|first| (at(60_000)..at(60_000 + last)).contains(first)));
        let mut seconds = vec![0; 60];
        for first in firsts {
            seconds[first.since(at(60_000)).as_secs() as usize] += 1;
        }
        assert!(seconds.iter().all(|&starts| starts < 1200), "{seconds:?}");
        // One more, by a reload, waits for nobody.
        let more: Vec<_> = (0..=count).map(|number| (key(number), timing)).collect();
        schedule.arrange(&more, at(60_500));
        assert!(schedule.next_of(WatchId(count)).unwrap() < at(61_500));
    }
}

#[test]
fn after_a_sleep_there_is_no_herd() {
    let timing = Timing { every: Duration::from_secs(10), ..USUAL };
    let watches: Vec<_> = (0..10_000).map(|number| (key(number), timing)).collect();
    let mut schedule = Schedule::new();
    schedule.arrange(&watches, at(0));
    let awake = at(3_600_000);
    let mut seconds = vec![0; 10];
    let mut start_at = |now: Moment| {
        let due = schedule.due(now);
        for Start { watch, purpose, .. } in &due {
            let epoch = schedule.epoch(*watch);
            let passed = Observation { watch: *watch, epoch, ..saw(&schedule, *purpose, now, now, Outcome::Passed) };
            schedule.observed(&passed, Class::Up, now);
        }
        due.len()
    };
    assert_eq!(start_at(awake), AT_ONCE);
    for (second, starts) in (0..).zip(&mut seconds) {
        *starts = (1..=100).map(|tick| start_at(awake + ms(second * 1000 + tick * 10))).sum();
    }
    assert!(seconds.iter().all(|starts| (850..1150).contains(starts)), "{seconds:?}");
    assert_eq!(seconds.iter().sum::<usize>(), watches.len(), "each once in the interval that follows");
}

#[test]
fn after_a_sleep_long_intervals_are_not_waited_for_once_more() {
    let timing = Timing { every: Duration::from_secs(3600), ..USUAL };
    let watches: Vec<_> = (0..3000).map(|number| (key(number), timing)).collect();
    let mut schedule = Schedule::new();
    schedule.arrange(&watches, at(0));
    let awake = at(24 * 3_600_000);
    let mut asked = BTreeSet::new();
    for tick in 0..400 {
        let starts = schedule.due(awake + ms(tick * 10)).into_iter();
        let scheduled: Vec<_> = starts.filter(|start| start.purpose == Purpose::Scheduled).collect();
        assert!(scheduled.len() <= AT_ONCE);
        asked.extend(scheduled.into_iter().map(|start| start.watch));
    }
    assert_eq!(asked.len(), watches.len(), "all within a round of so many");
}

/// A little world: watches of origins that die and come back, on simulated time.
struct World {
    schedule: Schedule,
    timing: Timing,
    verdict: Verdict,
    limits: Thresholds,
    now: Moment,
    /// Probes in flight: when they end, what they will say.
    flight: Vec<(Moment, Observation)>,
    /// Most in flight by purpose: scheduled, confirmations, witnesses.
    most: [usize; 3],
}

/// How an origin behaves at a moment.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Weather {
    Fine,
    Refuses,
    Swallows,
    OursToBlame,
}

impl World {
    fn new(timing: Timing, rise: u32, now: Moment) -> Self {
        let mut schedule = Schedule::new();
        schedule.arrange(&[(key(7), timing)], now);
        let limits = Thresholds { fall: timing.fall, rise, blip: timing.blip };
        Self { schedule, timing, verdict: Verdict::UNTRIED, limits, now, flight: vec![], most: [0; 3] }
    }

    fn both(moment: Moment) -> Now {
        Now { moment, wall: Wall::default() }
    }

    /// Runs until `until`; a probe takes `lag` to begin and `takes` to be answered. Returns when the class became
    /// down.
    fn run(
        &mut self,
        until: Moment,
        lag: Duration,
        takes: Duration,
        weather: impl Fn(Moment) -> Weather,
    ) -> Vec<Moment> {
        let mut downs = Vec::new();
        loop {
            let landing = self.flight.iter().map(|(end, _)| *end).min();
            let next = [landing, self.schedule.next_deadline()].into_iter().flatten().min().unwrap_or(until);
            if next > until {
                self.now = until;
                return downs;
            }
            self.now = self.now.max(next);
            while let Some(index) = self.flight.iter().position(|(end, _)| *end <= self.now) {
                let (_, observation) = self.flight.remove(index);
                let before = self.verdict.class();
                let (started, now) = (Self::both(observation.started), Self::both(self.now));
                self.verdict = self.verdict.observe(&observation.outcome, started, self.limits, now);
                if before != Class::Down && self.verdict.class() == Class::Down {
                    downs.push(self.now);
                }
                self.schedule.observed(&observation, self.verdict.class(), self.now);
            }
            for Start { purpose, .. } in self.schedule.due(self.now) {
                let start = self.now + lag;
                let (outcome, took) = match weather(start) {
                    Weather::Fine => (Outcome::Passed, takes),
                    Weather::Refuses => (REFUSED, takes),
                    Weather::Swallows => (Outcome::Failed(Cause::ConnectTimeout), self.timing.timeout),
                    Weather::OursToBlame => (Outcome::Inconclusive(LocalFault::NoPorts), Duration::ZERO),
                };
                self.flight.push((start + took, saw(&self.schedule, purpose, start, start + took, outcome)));
            }
            let count = |is: fn(&Purpose) -> bool| self.flight.iter().filter(|(_, seen)| is(&seen.purpose)).count();
            let counts = [
                count(|purpose| matches!(purpose, Purpose::Scheduled)),
                count(|purpose| matches!(purpose, Purpose::Confirm(_))),
                count(|purpose| matches!(purpose, Purpose::Witness)),
            ];
            for (most, count) in self.most.iter_mut().zip(counts) {
                *most = (*most).max(count);
            }
        }
    }
}

fn timings() -> impl Strategy<Value = Timing> {
    (1000u64..20_000, 1u32..5, 50u64..1500, 0u64..2000).prop_flat_map(|(every, fall, confirm, blip)| {
        (100..every.min(5000)).prop_map(move |timeout| Timing {
            every: ms(every),
            standby_every: ms(every),
            awaited: false,
            dear: false,
            timeout: ms(timeout),
            fall,
            confirm: ms(confirm),
            blip: ms(blip),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_death_is_seen_within_the_promised_time(
        timing in timings(), swallows: bool, death in 0u64..40_000, lag in 0u64..3, takes in 0u64..400,
    ) {
        let takes = ms(takes).min(timing.timeout);
        let mut world = World::new(timing, 3, at(100_000));
        let death = at(140_000 + death);
        let dead = if swallows { Weather::Swallows } else { Weather::Refuses };
        let answer = if swallows { timing.timeout } else { takes };
        let downs = world.run(death + ms(60_000), ms(lag), takes, |now| if now < death { Weather::Fine } else { dead });
        prop_assert_eq!(downs.len(), 1);
        let promised = timing.every + timing.race_span() + answer;
        // Two starts of our own, and the slack for the first one's.
        let allowed = promised + ms(2 * lag) + START_SLACK;
        prop_assert!(downs[0] <= death + allowed, "{:?} after {:?}", downs[0].since(death), allowed);
        prop_assert!(world.most[0] <= 1);
        prop_assert!(world.most[1] <= timing.confirmations() as usize);
    }

    #[test]
    fn no_outage_shorter_than_a_blip_turns_a_watch_down(
        timing in timings(), swallows: bool, start in 0u64..40_000, share in 0u64..1000, lag in 0u64..3,
    ) {
        let mut world = World::new(timing, 3, at(100_000));
        let from = at(140_000 + start);
        let until = from + (timing.blip * u32::try_from(share).unwrap() / 1000);
        let bad = if swallows { Weather::Swallows } else { Weather::Refuses };
        let weather = |now| if now >= from && now < until { bad } else { Weather::Fine };
        let downs = world.run(until + ms(60_000), ms(lag), ms(20), weather);
        prop_assert_eq!(downs, vec![]);
        prop_assert_eq!(world.verdict.class(), Class::Up);
    }

    #[test]
    fn whatever_happens_flight_is_bounded_and_a_lasting_end_is_seen(
        timing in timings(),
        weathers in prop::collection::vec((0u8..4, 50u64..9000), 1..30),
        takes in 0u64..3000,
        rise in 1u32..4,
    ) {
        let takes = ms(takes).min(timing.timeout);
        let mut world = World::new(timing, rise, at(100_000));
        let mut end = world.now;
        for (weather, lasts) in weathers {
            let weather = match weather {
                0 => Weather::Fine,
                1 => Weather::Refuses,
                2 => Weather::Swallows,
                _ => Weather::OursToBlame,
            };
            end = end + ms(lasts);
            // Someone asks for witnesses all the time.
            world.schedule.witness(WatchId(0), world.now);
            world.run(end, ms(1), takes, |_| weather);
        }
        prop_assert!(world.most[0] <= 1 && world.most[2] <= 1, "{:?}", world.most);
        prop_assert!(world.most[1] <= timing.confirmations().max(1) as usize, "{:?}", world.most);
        let (settled, now) = (timing.every * (timing.fall + rise + 2) + ms(30_000), world.now);
        world.run(now + settled, ms(1), takes, |_| Weather::Refuses);
        prop_assert_eq!(world.verdict.class(), Class::Down);
        let now = world.now;
        world.run(now + settled, ms(1), takes, |_| Weather::Fine);
        prop_assert_eq!(world.verdict.class(), Class::Up);
    }
}

#[test]
fn the_end_of_a_tripwire_asks_at_once_and_its_failure_starts_the_race() {
    let (mut schedule, first) = started(USUAL);
    schedule.observed(
        &saw(&schedule, Purpose::Scheduled, first, first + ms(3), Outcome::Passed),
        Class::Up,
        first + ms(3),
    );
    let ended = first + ms(10);
    schedule.tripped(WatchId(0), ended);
    assert_eq!(due(&mut schedule, ended), [(WatchId(0), Purpose::Tripwire)]);
    let seen = saw(&schedule, Purpose::Tripwire, ended, ended + ms(1), REFUSED);
    schedule.observed(&seen, Class::Suspect, ended + ms(1));
    let mut race = starts(&mut schedule, ended, ms(1100));
    race.retain(|&(_, purpose)| purpose != Purpose::Scheduled);
    assert_eq!(race, [(500, Purpose::Confirm(1)), (1000, Purpose::Confirm(2))]);
}

#[test]
fn the_end_of_a_tripwire_alone_moves_nothing() {
    let (mut schedule, first) = started(USUAL);
    schedule.observed(
        &saw(&schedule, Purpose::Scheduled, first, first + ms(3), Outcome::Passed),
        Class::Up,
        first + ms(3),
    );
    let (next, ended) = (schedule.next_of(WatchId(0)), first + ms(10));
    schedule.tripped(WatchId(0), ended);
    due(&mut schedule, ended);
    schedule.observed(
        &saw(&schedule, Purpose::Tripwire, ended, ended + ms(1), Outcome::Passed),
        Class::Up,
        ended + ms(1),
    );
    assert_eq!(schedule.next_deadline(), next, "all goes on as before");
    // One that a probe has answered already is not asked about.
    schedule.tripped(WatchId(0), ended);
    assert_eq!(schedule.next_deadline(), next);
}

#[test]
fn when_all_tripwires_end_at_once_no_herd_starts() {
    let watches: Vec<_> = (0..1024).map(|number| (key(number), USUAL)).collect();
    let mut schedule = Schedule::new();
    schedule.arrange(&watches, at(60_000));
    let mut now = at(60_000);
    let mut pass = |schedule: &mut Schedule, until: Moment| {
        let mut herd = 0;
        let mut asked = Vec::new();
        while let Some(next) = schedule.next_deadline().filter(|&next| next <= until) {
            now = now.max(next);
            let starts = due(schedule, now);
            herd = herd.max(starts.len());
            for (watch, purpose) in starts {
                let epoch = schedule.epoch(watch);
                let seen = Observation { watch, epoch, ..saw(schedule, purpose, now, now, Outcome::Passed) };
                schedule.observed(&seen, Class::Up, now);
                asked.extend((purpose == Purpose::Tripwire).then_some(watch));
            }
        }
        (herd, asked)
    };
    pass(&mut schedule, at(65_000));
    for watch in 0..1024 {
        schedule.tripped(WatchId(watch), at(65_001));
    }
    let (herd, asked) = pass(&mut schedule, at(68_000));
    assert!(herd <= AT_ONCE, "{herd} at once");
    // Some were asked by their schedule before their turn came, which does as well.
    assert!(asked.len() > 256 && asked.len() <= 1024, "{}", asked.len());
    let asked_since = |watch: u32| schedule.entries[watch as usize].last_start >= Some(at(65_001));
    assert!((0..1024).all(asked_since));
}

/// One in a hundred probes is lost, each by itself: ten thousand scheduled ones and all confirmations they cause.
#[test]
fn one_percent_of_loss_moves_nothing() {
    let mut draw = 7_u64;
    let mut is_lost = || {
        draw = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).is_multiple_of(100)
    };
    let limits = Thresholds { fall: USUAL.fall, rise: 3, blip: USUAL.blip };
    let mut schedule = Schedule::new();
    schedule.arrange(&[(key(1), USUAL)], at(60_000));
    let mut verdict = Verdict::UNTRIED;
    let (mut scheduled, mut lost, mut confirmed) = (0, 0, 0);
    // Probes that are lost come back after their timeout, others at once.
    let mut coming: BTreeMap<(Moment, u32), (Purpose, Moment, Outcome)> = BTreeMap::new();
    let mut number = 0;
    while scheduled < 10_000 {
        let next = coming.first_key_value().map(|(&(at, _), _)| at);
        let now = [next, schedule.next_deadline()].into_iter().flatten().min().unwrap();
        while let Some(entry) = coming.first_entry().filter(|entry| entry.key().0 <= now) {
            let (purpose, started, outcome) = entry.remove();
            let wall = Wall::from_millis(0);
            verdict = verdict.observe(&outcome, Now { moment: started, wall }, limits, Now { moment: now, wall });
            assert_ne!(verdict.class(), Class::Down, "after {scheduled} probes");
            schedule.observed(&saw(&schedule, purpose, started, now, outcome), verdict.class(), now);
        }
        for (_, purpose) in due(&mut schedule, now) {
            number += 1;
            scheduled += u32::from(purpose == Purpose::Scheduled);
            confirmed += u32::from(purpose != Purpose::Scheduled);
            let (outcome, after) = if is_lost() { (REFUSED, USUAL.timeout) } else { (Outcome::Passed, ms(20)) };
            lost += u32::from(outcome == REFUSED);
            coming.insert((now + after, number), (purpose, now, outcome));
        }
    }
    assert!(lost > 80 && confirmed > 80, "{lost} lost, {confirmed} confirmations");
}

#[test]
fn a_standby_is_asked_less_often_and_at_full_pace_as_soon_as_it_is_none() {
    let timing = Timing { standby_every: Duration::from_secs(60), ..USUAL };
    let mut schedule = Schedule::new();
    schedule.arrange(&[(key(1), timing)], at(0));
    let id = WatchId(0);
    let starts = |schedule: &mut Schedule, from: u64, to: u64| {
        let mut starts = 0;
        for second in from..to {
            for start in schedule.due(at(second * 1000)) {
                let now = at(second * 1000);
                starts += 1;
                let seen = saw(schedule, start.purpose, now, now, Outcome::Passed);
                schedule.observed(&seen, Class::Up, now);
            }
        }
        starts
    };
    assert!((19..=21).contains(&starts(&mut schedule, 0, 100)));
    schedule.pace(id, true, at(100_000));
    assert!((9..=10).contains(&starts(&mut schedule, 100, 700)));
    assert!(!schedule.is_stale(id, at(700_000)), "three of its own intervals");
    schedule.pace(id, false, at(700_000));
    assert!(schedule.next_of(id).is_some_and(|next| next <= at(705_000)));
    assert!(!schedule.is_stale(id, at(710_000)), "it was not asked so often until now");
    assert!((19..=21).contains(&starts(&mut schedule, 700, 800)));
}

// ---- origins that call us

const AWAITED: Timing =
    Timing { awaited: true, every: Duration::from_secs(60), timeout: Duration::from_secs(2), ..USUAL };
const NEVER: [u64; 0] = [];
const SILENT: Outcome = Outcome::Failed(Cause::Silent(None));

/// A schedule with one watch whose origin calls us, made at minute 1, and looked after once a second.
fn awaiting() -> Schedule {
    let mut schedule = Schedule::new();
    schedule.arrange(&[(key(1), AWAITED)], at(60_000));
    schedule
}

/// Looks that are due, in seconds, while a second passes after the other.
fn looks(schedule: &mut Schedule, seconds: std::ops::Range<u64>) -> Vec<u64> {
    seconds.filter(|&second| !schedule.due(at(second * 1000)).is_empty()).collect()
}

#[test]
fn an_origin_that_calls_in_time_is_never_looked_at() {
    let mut schedule = awaiting();
    for minute in 1..10 {
        assert_eq!(looks(&mut schedule, minute * 60..minute * 60 + 60), NEVER, "minute {minute}");
        // A second late each time, which is allowed.
        let now = at(minute * 60_000 + 60_999);
        let called = saw(&schedule, Purpose::Scheduled, now, now, Outcome::Passed);
        schedule.observed(&called, Class::Up, now);
        looks(&mut schedule, minute * 60 + 60..minute * 60 + 61);
    }
}

#[test]
fn each_missed_call_is_one_look_and_nothing_confirms_it() {
    let mut schedule = awaiting();
    let now = at(70_000);
    assert_eq!(looks(&mut schedule, 60..71), NEVER);
    let called = saw(&schedule, Purpose::Scheduled, now, now, Outcome::Passed);
    schedule.observed(&called, Class::Up, now);
    for missed in [132, 192, 252] {
        assert_eq!(looks(&mut schedule, missed - 59..missed + 1), [missed]);
        let now = at(missed * 1000);
        let silent = saw(&schedule, Purpose::Scheduled, now, now, SILENT);
        schedule.observed(&silent, if missed == 252 { Class::Down } else { Class::Suspect }, now);
    }
    // A report of its own is a call too.
    let now = at(260_000);
    let reported = saw(&schedule, Purpose::Scheduled, now, now, Outcome::Failed(Cause::Reported));
    schedule.observed(&reported, Class::Down, now);
    assert_eq!(looks(&mut schedule, 253..323), [322]);
}

#[test]
fn calls_missed_while_we_were_away_are_not_held_against_the_origin() {
    let mut schedule = awaiting();
    assert_eq!(looks(&mut schedule, 60..100), NEVER);
    // The machine sleeps for an hour, or for a few seconds that end just before the call is overdue.
    assert_eq!(looks(&mut schedule, 3700..3762), NEVER);
    assert_eq!(looks(&mut schedule, 3762..3763), [3762], "a call should have come since");
    let mut schedule = awaiting();
    assert_eq!(looks(&mut schedule, 60..115), NEVER);
    assert_eq!(looks(&mut schedule, 121..183), NEVER);
}

#[test]
fn an_origin_that_calls_is_no_witness() {
    let mut schedule = awaiting();
    schedule.witness(WatchId(0), at(60_001));
    assert_eq!(looks(&mut schedule, 61..122), NEVER);
}

#[test]
fn the_clock_of_an_origin_that_calls_begins_anew_with_another_interval() {
    let mut schedule = awaiting();
    let longer = Timing { every: ms(120_000), ..AWAITED };
    assert_eq!(looks(&mut schedule, 60..121), NEVER);
    schedule.arrange(&[(key(1), longer)], at(121_000));
    assert_eq!(looks(&mut schedule, 121..244), [243]);
    schedule.arrange(&[(key(1), longer)], at(244_000));
    assert_eq!(looks(&mut schedule, 244..364), [363], "unchanged, it goes on as before");
}
