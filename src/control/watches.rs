//! The watches of the configuration in force: their verdicts, and the figures that change with every probe.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Check, Config, SteerId};
use crate::control::event::WatchFigures;
use crate::probe::watch::{Plan, Seat, Watch};
use crate::probe::{Detail, LocalFault, Observation, Outcome, Purpose, Target, WatchId};
use crate::ready::Ready;
use crate::ready::rehearsal::{Scene, host_of};
use crate::ready::standing::Standing;
use crate::snapshot::status::WatchStatus;
use crate::time::{Moment, Now};
use crate::verdict::window::{Marks, Quality};
use crate::verdict::{Class, Grade, Thresholds, Verdict};

/// Outcomes remembered per watch for people to see.
const RECENT: usize = 20;

/// Watches whose origin calls us, by the names of the origin and the check.
pub(crate) type Called = BTreeMap<(Arc<str>, Arc<str>), WatchId>;

pub(crate) fn called(watches: &[WatchState]) -> Called {
    let numbered = (0u32..).zip(watches);
    let key = |(number, state): (u32, &WatchState)| match &state.watch.target {
        Target::Origin(origin) => Some(((Arc::clone(origin), Arc::clone(&state.check_name)), WatchId(number))),
        Target::Address(_) | Target::Hostname(_) => None,
    };
    numbered.filter_map(key).collect()
}

/// One watch and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct WatchState {
    pub(crate) watch: Watch,
    pub(crate) check: Arc<Check>,
    pub(crate) origin_name: Arc<str>,
    pub(crate) check_name: Arc<str>,
    /// `192.0.2.1:443`, for people.
    pub(crate) endpoint: Arc<str>,
    pub(crate) verdict: Verdict,
    pub(crate) stale: bool,
    /// Our host has no route to its family, and it follows the other one.
    pub(crate) unseen: bool,
    /// Names that look at it.
    pub(crate) names: Vec<SteerId>,
    /// When it last turned down, and how long after the start of the first failing probe.
    pub(crate) confirmed: Option<(Moment, Duration)>,
    /// Which of the last scheduled probes failed.
    pub(crate) failed: Marks,
    quality: Quality,
    /// What is known of it before it is asked.
    pub(crate) scene: Arc<Scene>,
    /// What visitors would meet with.
    pub(crate) standing: Standing,
    /// What it showed visitors when it last passed; `None` if it never did.
    pub(crate) shows: Option<Shows>,
    /// Rungs of names that stand on it or wait for it, which is why it is asked at full pace.
    pub(crate) wanted: u32,
    /// Whether its host name has IPv4 and IPv6 addresses, once it was asked.
    pub(crate) families: Option<[bool; 2]>,
    pub(crate) last: Option<Observation>,
    recent: VecDeque<char>,
    probes: u64,
    failures: u64,
    /// By label.
    outcomes: Vec<(&'static str, u64)>,
}

/// What a rung shows its visitors, which others are compared with: its habits outlive it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shows {
    /// The host it sends them to.
    pub(crate) sends_to: Option<Box<str>>,
    /// It told browsers to insist on a valid certificate.
    pub(crate) insists: bool,
}

impl Shows {
    fn renew(&mut self, detail: Option<&Detail>) {
        let sends_to = detail.and_then(|detail| host_of(detail.location.as_deref()?));
        if self.sends_to.as_deref() != sends_to {
            self.sends_to = sends_to.map(Into::into);
        }
        self.insists = detail.is_some_and(|detail| detail.insists);
    }
}

impl WatchState {
    /// Takes an observation, as it was weighed, into the figures; it is to be kept as `last`. True if it was unseen until
    /// now.
    pub(crate) fn remember(&mut self, seen: &Observation) -> bool {
        self.probes += 1;
        *self.outcomes_of(label(&seen.outcome)) += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(sign(&seen.outcome));
        self.failures += u64::from(matches!(seen.outcome, Outcome::Failed(_)));
        if seen.outcome == Outcome::Passed {
            self.shows.get_or_insert_default().renew(seen.detail.as_deref());
        }
        match &seen.outcome {
            Outcome::Passed | Outcome::Failed(_) => std::mem::take(&mut self.unseen),
            Outcome::Inconclusive(_) => false,
        }
    }

    /// An observation that was held back as perhaps our own fault counts after all.
    pub(crate) fn remember_released(&mut self, released: &Observation) {
        let held = label(&Outcome::Inconclusive(LocalFault::ClockOrRoots));
        let count = self.outcomes_of(held);
        *count = count.saturating_sub(1);
        *self.outcomes_of(label(&released.outcome)) += 1;
        self.failures += 1;
        if let Some(last) = self.last.as_mut().filter(|last| last.started == released.started) {
            last.outcome.clone_from(&released.outcome);
            self.recent.pop_back();
            self.recent.push_back(sign(&released.outcome));
        }
    }

    fn outcomes_of(&mut self, label: &'static str) -> &mut u64 {
        let at = self.outcomes.iter().position(|&(known, _)| known == label).unwrap_or_else(|| {
            self.outcomes.push((label, 0));
            self.outcomes.len() - 1
        });
        &mut self.outcomes[at].1
    }

    pub(crate) fn class(&self) -> Class {
        self.verdict.class()
    }

    pub(crate) fn ready(&self) -> Ready {
        self.standing.ready(self.class())
    }

    /// False where nobody knows how ready it is because our host has no route to it: what is known of it still counts.
    pub(crate) fn speaks(&self) -> bool {
        !self.unseen || self.ready() != Ready::Unknown
    }

    pub(crate) fn grade(&self) -> Grade {
        Grade { class: self.class(), degraded: self.degraded().is_some() }
    }

    /// The rule by which it is degraded.
    pub(crate) fn degraded(&self) -> Option<&Arc<str>> {
        let usable = self.class().is_usable();
        self.quality.degraded(&self.check.degraded).filter(|_| usable).map(|rule| &rule.text)
    }

    /// What its window makes of the verdict that the streaks gave, if it sees it otherwise. Takes a scheduled
    /// observation in.
    pub(crate) fn by_window(&mut self, streaks: &Verdict, seen: &Observation, now: Now) -> Option<Verdict> {
        if seen.purpose == Purpose::Scheduled {
            match &seen.outcome {
                Outcome::Inconclusive(_) => {}
                outcome => self.failed.push(*outcome != Outcome::Passed),
            }
        }
        let window = self.check.window?;
        self.verdict.by_window(streaks, self.failed.count(window.of), window, &seen.outcome, now)
    }

    /// Takes an observation that counts into the rules that tell how well it is; after the verdict. True if that makes
    /// it degraded, or no more so.
    pub(crate) fn weigh(&mut self, seen: &Observation) -> bool {
        if self.check.degraded.is_empty() {
            return false;
        }
        let before = self.quality.degraded(&self.check.degraded).is_some();
        match self.class() {
            // What it was like before it died says nothing of what it will be like.
            Class::Down => self.quality.forget(),
            _ if seen.purpose != Purpose::Scheduled => {}
            _ => self.quality.observe(&self.check.degraded, &seen.outcome, seen.finished.since(seen.started)),
        }
        before != self.quality.degraded(&self.check.degraded).is_some()
    }

    /// Forgets the failures of a watch that is not down: they were seen while our own sight was in doubt. True if that
    /// shows.
    pub(crate) fn reprieve(&mut self) -> bool {
        let (before, grade) = (self.verdict.clone(), self.grade());
        if self.class() != Class::Down {
            self.failed = Marks::default();
            self.quality.forget();
        }
        self.verdict = before.reprieved();
        self.verdict != before || self.grade() != grade
    }

    /// Takes the next verdict, and remembers how long a death took to be believed.
    pub(crate) fn assume(&mut self, next: Verdict, now: Now) {
        if let (Verdict::Suspect { first_failure, .. }, Verdict::Down { .. }) = (&self.verdict, &next) {
            self.confirmed = Some((now.moment, now.moment.since(first_failure.moment)));
        }
        self.verdict = next;
    }

    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds { fall: self.check.fall, rise: self.check.rise, blip: self.check.blip }
    }

    pub(crate) fn status(&self, id: WatchId) -> WatchStatus {
        WatchStatus {
            id,
            origin: self.watch.origin,
            origin_name: Arc::clone(&self.origin_name),
            target: self.watch.target.clone(),
            port: self.watch.port,
            check: self.watch.check,
            check_name: Arc::clone(&self.check_name),
            host: Arc::clone(&self.watch.host),
            verdict: self.verdict.clone(),
            stale: self.stale,
            unseen: self.unseen,
            degraded: self.degraded().cloned(),
            findings: Arc::clone(self.standing.findings()),
        }
    }

    pub(crate) fn figures(&self, watch: WatchId, next: Option<Moment>) -> WatchFigures {
        let mut outcomes: Vec<_> = self.outcomes.iter().map(|&(label, count)| (label.to_owned(), count)).collect();
        outcomes.sort_unstable();
        WatchFigures {
            watch,
            verdict: self.verdict.clone(),
            last: self.last.clone(),
            recent: self.recent.iter().collect(),
            next,
            probes: self.probes,
            failures: self.failures,
            outcomes,
        }
    }
}

/// The watches `config` needs. One that continues a watch of `before` (`carried`, from the schedule) keeps what is
/// known of it, even when its thresholds changed.
pub(crate) fn arrange(
    config: &Config,
    plan: &Plan,
    scenes: Vec<Arc<Scene>>,
    before: Vec<WatchState>,
    carried: &[Option<WatchId>],
) -> Vec<WatchState> {
    let mut known: Vec<_> = before.into_iter().map(Some).collect();
    let origin_names: Vec<Arc<str>> = config.origins.iter().map(|origin| origin.name.as_str().into()).collect();
    let check_names: Vec<Arc<str>> = config.checks.iter().map(|check| check.name.as_str().into()).collect();
    let mut endpoints = BTreeMap::new();
    let mut states: Vec<_> = plan
        .watches
        .iter()
        .zip(carried)
        .zip(scenes)
        .map(|((watch, continues), scene)| {
            let check = Arc::clone(&config.checks[watch.check.0 as usize]);
            let origin_name = Arc::clone(&origin_names[watch.origin.0 as usize]);
            let check_name = Arc::clone(&check_names[watch.check.0 as usize]);
            let endpoint: &mut Arc<str> =
                endpoints.entry((&watch.target, watch.port)).or_insert_with(|| watch.place().into());
            let endpoint = Arc::clone(endpoint);
            let watch = watch.clone();
            let names = Vec::new();
            match continues.and_then(|old| known.get_mut(old.0 as usize)?.take()) {
                Some(old) => {
                    let same = old.check.degraded == check.degraded;
                    let quality = if same { old.quality.clone() } else { Quality::default() };
                    let wanted = 0;
                    WatchState { watch, check, origin_name, check_name, endpoint, names, quality, scene, wanted, ..old }
                }
                None => WatchState {
                    watch,
                    check,
                    origin_name,
                    check_name,
                    endpoint,
                    names,
                    verdict: Verdict::UNTRIED,
                    stale: false,
                    unseen: false,
                    confirmed: None,
                    failed: Marks::default(),
                    quality: Quality::default(),
                    scene,
                    standing: Standing::default(),
                    shows: None,
                    wanted: 0,
                    families: None,
                    last: None,
                    recent: VecDeque::new(),
                    probes: 0,
                    failures: 0,
                    outcomes: Vec::new(),
                },
            }
        })
        .collect();
    for (steer, rungs) in plan.seats.iter().enumerate() {
        let id = SteerId(u32::try_from(steer).unwrap_or(u32::MAX));
        for watch in rungs.iter().flatten().flat_map(Seat::watches) {
            let names = &mut states[watch.0 as usize].names;
            if names.last() != Some(&id) {
                names.push(id);
            }
        }
    }
    states
}

/// The metric label of an outcome.
fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(cause) => cause.label(),
        Outcome::Inconclusive(fault) => fault.label(),
    }
}

/// How an outcome looks in a row of recent ones.
fn sign(outcome: &Outcome) -> char {
    match outcome {
        Outcome::Passed => '+',
        Outcome::Failed(_) => '-',
        Outcome::Inconclusive(_) => '?',
    }
}
