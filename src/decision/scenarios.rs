//! The stages from probe to decision in one little world: origins, an uplink, resolvers and a clock that can each fail,
//! on simulated time. It also shows how the pieces are meant to be put together.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{CheckId, Config, Failback, OriginId, Place};
use crate::decision::{OriginView, RungView, Sight, Standing, decide};
use crate::probe::schedule::{Schedule, Start, Timing};
use crate::probe::trust::Trust;
use crate::probe::watch::Watch;
use crate::probe::{Cause, Epoch, Observation, Outcome, Phase, Phases, Purpose, Target, WatchId, fixture};
use crate::time::{Moment, Now, Wall};
use crate::verdict::{Class, Thresholds, Verdict};

/// How an origin answers.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Answer {
    Fine,
    Refused,
    Silence,
    /// Its certificate has expired.
    Expired,
}

/// The state of the world at a moment.
#[derive(Clone)]
struct Weather {
    origins: Vec<Answer>,
    /// Our own line: without it every probe times out, as does the canary.
    uplink: bool,
    /// Our own clock: wrong, every certificate looks expired.
    clock: bool,
}

impl Weather {
    fn fine(origins: usize) -> Self {
        Self { origins: vec![Answer::Fine; origins], uplink: true, clock: true }
    }
}

struct World {
    config: Config,
    schedule: Schedule,
    trust: Trust,
    sight: Sight,
    verdicts: Vec<Verdict>,
    standing: Standing,
    now: Moment,
    flight: Vec<Observation>,
    /// Canaries on their way: start, end, outcome.
    canaries: Vec<(Moment, Moment, bool)>,
    /// Moves of the name: when, to which rung.
    moves: Vec<(Moment, usize)>,
    doubts: usize,
}

const RTT: Duration = Duration::from_millis(30);

fn at(millis: u64) -> Moment {
    Moment::from_boot(Duration::from_millis(millis))
}

impl World {
    /// A name on a ladder of `count` rungs, the last its emergency, each one https origin.
    fn new(count: u8) -> Self {
        let mut world = Self {
            config: fixture::flock(count, fixture::check("site")),
            schedule: Schedule::new(),
            trust: Trust::default(),
            sight: Sight::new(0.5),
            verdicts: Vec::new(),
            standing: Standing::default(),
            now: at(100_000),
            flight: Vec::new(),
            canaries: Vec::new(),
            moves: Vec::new(),
            doubts: 0,
        };
        world.reload();
        world
    }

    fn watches(&self) -> Vec<Watch> {
        let watch = |(id, origin): (u32, &Arc<crate::config::Origin>)| Watch {
            origin: OriginId(id),
            target: Target::Address(origin.a[0].into()),
            port: 443,
            check: CheckId(0),
            host: "www.example.com".into(),
        };
        (0..).zip(&self.config.origins).map(watch).collect()
    }

    fn reload(&mut self) {
        let watches = self.watches();
        let keys: Vec<_> =
            watches.iter().map(|watch| (watch.key(&self.config), Timing::from(&*self.config.checks[0]))).collect();
        let continued = self.schedule.arrange(&keys, self.now);
        self.trust.arrange(&watches, &self.config, &continued);
        let origins = self.config.origins.iter().map(|origin| Arc::from(origin.name.as_str())).collect();
        self.sight.arrange(0.5, origins, |epoch| self.schedule.locate(epoch).is_some());
        let former = std::mem::take(&mut self.verdicts);
        let carried = |before: Option<WatchId>| before.and_then(|WatchId(before)| former.get(before as usize).cloned());
        self.verdicts = continued.into_iter().map(|before| carried(before).unwrap_or(Verdict::UNTRIED)).collect();
    }

    fn run(&mut self, until: Moment, weather: &Weather) {
        loop {
            let landing = self.flight.iter().map(|observation| observation.finished).min();
            let canary = self.canaries.iter().map(|&(_, end, _)| end).min();
            let timers = [landing, canary, self.schedule.next_deadline(), self.sight.next_deadline()];
            let next = timers.into_iter().flatten().min().unwrap_or(until).max(self.now);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            self.land();
            self.start(weather);
            self.choose();
        }
    }

    fn land(&mut self) {
        let now = self.now;
        let (landed, flying) = std::mem::take(&mut self.flight).into_iter().partition(|seen| seen.finished <= now);
        self.flight = flying;
        let landed: Vec<Observation> = landed;
        for mut seen in landed {
            let Some(watch) = self.schedule.locate(seen.epoch) else {
                continue;
            };
            seen.watch = watch;
            let weighed = self.trust.weigh(&seen, self.verdicts[watch.0 as usize].class());
            for released in &weighed.release {
                let class = self.observe(released);
                self.schedule.released(released, class, now);
            }
            seen.outcome = weighed.outcome;
            let class = self.observe(&seen);
            self.schedule.observed(&seen, class, now);
            for witness in weighed.witnesses {
                self.schedule.witness(witness, weighed.since);
            }
        }
        let (answered, waiting) = self.canaries.iter().partition(|&&(_, end, _)| end <= now);
        self.canaries = waiting;
        let answered: Vec<(Moment, Moment, bool)> = answered;
        for (started, _, passed) in answered {
            let doubted = self.sight.doubt().is_some();
            self.sight.canary(passed, started, now);
            self.reprieve(doubted);
        }
    }

    /// Feeds one outcome to its watch's verdict, as far as our sight lets it count.
    fn observe(&mut self, seen: &Observation) -> Class {
        let index = seen.watch.0 as usize;
        let (before, name) = (self.verdicts[index].clone(), self.config.origins[index].name.clone());
        let check = &self.config.checks[0];
        let both = |moment: Moment| Now { moment, wall: Wall::default() };
        let after = before.observe(&seen.outcome, both(seen.started), Thresholds::from(&**check), both(self.now));
        let doubted = self.sight.doubt().is_some();
        match &seen.outcome {
            Outcome::Passed => {
                self.sight.passed(seen.epoch, &name, seen.finished, self.now);
                self.verdicts[index] = after;
                self.reprieve(doubted);
            }
            Outcome::Failed(_) if before.class() == Class::Down => self.verdicts[index] = after,
            Outcome::Failed(_) if self.sight.counts(seen.started) => {
                self.sight.failed(seen.epoch, self.now);
                for other in (0..).map(WatchId).take(self.verdicts.len()).filter(|other| *other != seen.watch) {
                    self.schedule.witness(other, self.now);
                }
                if after.class() != Class::Down || self.sight.turns_down(seen.epoch, &name, self.now) {
                    self.verdicts[index] = after;
                } else {
                    self.doubts += 1;
                }
            }
            Outcome::Failed(_) | Outcome::Inconclusive(_) => {}
        }
        self.verdicts[index].class()
    }

    fn reprieve(&mut self, doubted: bool) {
        if doubted && self.sight.doubt().is_none() {
            self.verdicts.iter_mut().for_each(|verdict| *verdict = verdict.reprieved());
        }
    }

    fn start(&mut self, weather: &Weather) {
        let now = self.now;
        for Start { watch, purpose, .. } in self.schedule.due(now) {
            let answer = weather.origins[watch.0 as usize];
            let (outcome, took) = match answer {
                _ if !weather.uplink => (Outcome::Failed(Cause::Timeout(Phase::Tls)), Duration::from_secs(2)),
                Answer::Silence => (Outcome::Failed(Cause::ConnectTimeout), Duration::from_secs(2)),
                Answer::Refused => (Outcome::Failed(Cause::ConnectRefused), RTT),
                _ if !weather.clock => (Outcome::Failed(Cause::CertExpired), RTT),
                Answer::Expired => (Outcome::Failed(Cause::CertExpired), RTT),
                Answer::Fine => (Outcome::Passed, RTT),
            };
            let epoch: Epoch = self.schedule.epoch(watch);
            self.flight.push(observation(watch, epoch, purpose, now, now + took, outcome));
        }
        if self.sight.wants_canary(now) {
            let took = if weather.uplink { RTT } else { Duration::from_secs(2) };
            self.canaries.push((now, now + took, weather.uplink));
        }
    }

    fn choose(&mut self) {
        let place = |rung: usize| match rung {
            0 => Place::Primary,
            _ if rung + 1 == self.verdicts.len() => Place::Emergency,
            _ => Place::Backup(u8::try_from(rung).unwrap()),
        };
        let view = |(rung, verdict): (usize, &Verdict)| RungView {
            quorum: Default::default(),
            place: place(rung),
            origins: vec![OriginView { class: verdict.class(), degraded: false, drained: false, would_fail: false }],
        };
        let ladder: Vec<RungView> = self.verdicts.iter().enumerate().map(view).collect();
        let now = Now { moment: self.now, wall: Wall::default() };
        let frozen = self.sight.doubt().is_some();
        let failback = Failback::After(Duration::from_secs(60));
        let choice = decide(&ladder, failback, &mut self.standing, None, frozen, false, now);
        if self.moves.last().is_none_or(|&(_, rung)| rung != choice.rung) {
            self.moves.push((self.now, choice.rung));
        }
    }

    fn rungs(&self) -> Vec<usize> {
        self.moves.iter().map(|&(_, rung)| rung).collect()
    }

    fn classes(&self) -> Vec<Class> {
        self.verdicts.iter().map(Verdict::class).collect()
    }
}

fn observation(
    watch: WatchId,
    epoch: Epoch,
    purpose: Purpose,
    started: Moment,
    finished: Moment,
    outcome: Outcome,
) -> Observation {
    Observation {
        watch,
        epoch,
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

/// Ten worlds each, at different phases of the interval.
fn phases() -> impl Iterator<Item = u64> {
    (0..10).map(|step| 120_000 + step * 537)
}

#[test]
fn a_primary_that_dies_is_left_in_the_promised_time_and_nobody_doubts() {
    for (answer, promised) in [(Answer::Refused, 6000 + 30), (Answer::Silence, 8000), (Answer::Expired, 6000 + 60)] {
        for death in phases() {
            let mut world = World::new(3);
            let mut weather = Weather::fine(3);
            world.run(at(death), &weather);
            weather.origins[0] = answer;
            world.run(at(death + 60_000), &weather);
            assert_eq!(world.rungs(), [0, 1], "{answer:?} at {death}");
            let took = world.moves[1].0.since(at(death));
            assert!(took <= Duration::from_millis(promised + 20), "{answer:?} at {death}: {took:?}");
            assert_eq!(world.doubts, 0);
        }
    }
}

#[test]
fn an_uplink_that_breaks_moves_nothing_not_even_when_it_is_back() {
    for broken in phases() {
        for lasts in [700, 3000, 8000, 45_000] {
            let mut world = World::new(3);
            let mut weather = Weather::fine(3);
            world.run(at(broken), &weather);
            weather.uplink = false;
            world.run(at(broken + lasts), &weather);
            weather.uplink = true;
            world.run(at(broken + lasts + 60_000), &weather);
            assert_eq!(world.rungs(), [0], "{lasts} ms from {broken}");
            assert_eq!(world.classes(), [Class::Up; 3]);
            assert_eq!(world.sight.doubt(), None);
            assert!(lasts < 45_000 || world.doubts > 0, "it was noticed");
        }
    }
}

#[test]
fn what_dies_while_we_are_blind_is_found_dead_afterwards() {
    for broken in phases() {
        let mut world = World::new(3);
        let mut weather = Weather::fine(3);
        world.run(at(broken), &weather);
        weather.uplink = false;
        weather.origins[0] = Answer::Refused;
        world.run(at(broken + 30_000), &weather);
        assert_eq!(world.rungs(), [0]);
        weather.uplink = true;
        world.run(at(broken + 60_000), &weather);
        assert_eq!(world.rungs(), [0, 1]);
    }
}

#[test]
fn a_clock_that_jumps_moves_nothing_not_even_when_it_is_set_right() {
    for jump in phases() {
        let mut world = World::new(3);
        let mut weather = Weather::fine(3);
        world.run(at(jump), &weather);
        weather.clock = false;
        world.run(at(jump + 40_000), &weather);
        assert_eq!(world.classes(), [Class::Up; 3]);
        weather.clock = true;
        world.run(at(jump + 80_000), &weather);
        assert_eq!((world.rungs(), world.doubts), (vec![0], 0));
    }
}

#[test]
fn all_that_is_ours_dies_at_once_and_the_emergency_is_served() {
    for death in phases() {
        let mut world = World::new(3);
        let mut weather = Weather::fine(3);
        world.run(at(death), &weather);
        weather.origins = vec![Answer::Silence, Answer::Refused, Answer::Refused];
        world.run(at(death + 8020), &weather);
        assert_eq!(world.rungs().last(), Some(&2), "the resolvers answer, so it is not us");
        weather.origins[0] = Answer::Fine;
        // Three passes in a row, then at once: leaving the emergency waits for nothing else.
        world.run(at(death + 8020 + 15_100), &weather);
        assert_eq!(world.rungs().last(), Some(&0));
    }
}

/// Reloads every second, each time with the origins in another order, so that every watch changes its number.
fn reload_every_second(world: &mut World, weather: &mut Weather, seconds: u64) {
    for _ in 0..seconds {
        world.run(world.now + Duration::from_secs(1), weather);
        let before = world.classes();
        world.config.origins.rotate_left(1);
        weather.origins.rotate_left(1);
        world.reload();
        assert_eq!(world.classes(), [before[1], before[2], before[0]], "verdicts follow their origins");
    }
}

#[test]
fn a_reload_every_second_neither_hides_an_outage_nor_makes_one() {
    for death in phases() {
        let mut world = World::new(3);
        let mut weather = Weather::fine(3);
        world.run(at(death), &weather);
        reload_every_second(&mut world, &mut weather, 30);
        assert_eq!(world.classes(), [Class::Up; 3]);
        weather.origins[0] = Answer::Silence;
        reload_every_second(&mut world, &mut weather, 9);
        assert_eq!(world.classes(), [Class::Down, Class::Up, Class::Up]);
    }
}
