//! The watches of the configuration in force: their verdicts, and the figures that change with every probe.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Check, Config, SteerId};
use crate::control::event::WatchFigures;
use crate::probe::watch::{Plan, Watch};
use crate::probe::{Call, LocalFault, Observation, Outcome, Target, WatchId};
use crate::snapshot::status::WatchStatus;
use crate::time::{Moment, Now};
use crate::verdict::{Class, Thresholds, Verdict};

/// Outcomes remembered per watch for people to see.
const RECENT: usize = 20;

/// One watch and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct WatchState {
    pub(crate) watch: Watch,
    pub(crate) check: Arc<Check>,
    pub(crate) origin_name: Arc<str>,
    pub(crate) verdict: Verdict,
    pub(crate) stale: bool,
    /// Our host has no route to its family.
    pub(crate) unseen: bool,
    /// Names that look at it.
    pub(crate) names: Vec<SteerId>,
    /// When it last turned down, and how long after the start of the first failing probe.
    pub(crate) confirmed: Option<(Moment, Duration)>,
    last: Option<Observation>,
    recent: VecDeque<char>,
    probes: u64,
    failures: u64,
    outcomes: BTreeMap<&'static str, u64>,
}

impl WatchState {
    /// Takes an observation, as it was weighed, into the figures. True if `unseen` changed.
    pub(crate) fn remember(&mut self, seen: Observation) -> bool {
        self.probes += 1;
        *self.outcomes.entry(label(&seen.outcome)).or_default() += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(sign(&seen.outcome));
        self.failures += u64::from(matches!(seen.outcome, Outcome::Failed(_)));
        let unseen = match &seen.outcome {
            Outcome::Passed | Outcome::Failed(_) => false,
            Outcome::Inconclusive(fault) => *fault == LocalFault::NoRoute || self.unseen,
        };
        self.last = Some(seen);
        std::mem::replace(&mut self.unseen, unseen) != unseen
    }

    /// An observation that was held back as perhaps our own fault counts after all.
    pub(crate) fn remember_released(&mut self, released: &Observation) {
        let held = label(&Outcome::Inconclusive(LocalFault::ClockOrRoots));
        if let Some(count) = self.outcomes.get_mut(held) {
            *count = count.saturating_sub(1);
        }
        *self.outcomes.entry(label(&released.outcome)).or_default() += 1;
        self.failures += 1;
        if let Some(last) = self.last.as_mut().filter(|last| last.started == released.started) {
            last.outcome.clone_from(&released.outcome);
            self.recent.pop_back();
            self.recent.push_back(sign(&released.outcome));
        }
    }

    /// Is it this watch that a call is about?
    pub(crate) fn is_called_by(&self, call: &Call) -> bool {
        let Call { origin, check, .. } = call;
        matches!(&self.watch.target, Target::Origin(name) if name == origin) && self.check.name == **check
    }

    pub(crate) fn class(&self) -> Class {
        self.verdict.class()
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
            check_name: self.check.name.as_str().into(),
            host: Arc::clone(&self.watch.host),
            verdict: self.verdict.clone(),
            stale: self.stale,
            unseen: self.unseen,
        }
    }

    pub(crate) fn figures(&self, watch: WatchId, next: Option<Moment>) -> WatchFigures {
        WatchFigures {
            watch,
            verdict: self.verdict.clone(),
            last: self.last.clone(),
            recent: self.recent.iter().collect(),
            next,
            probes: self.probes,
            failures: self.failures,
            outcomes: self.outcomes.iter().map(|(&label, &count)| (label.to_owned(), count)).collect(),
        }
    }
}

/// The watches `config` needs. One that continues a watch of `before` (`carried`, from the schedule) keeps what is
/// known of it, even when its thresholds changed.
pub(crate) fn arrange(
    config: &Config,
    plan: &Plan,
    before: Vec<WatchState>,
    carried: &[Option<WatchId>],
) -> Vec<WatchState> {
    let mut known: Vec<_> = before.into_iter().map(Some).collect();
    let mut states: Vec<_> = plan
        .watches
        .iter()
        .zip(carried)
        .map(|(watch, continues)| {
            let check = Arc::clone(&config.checks[watch.check.0 as usize]);
            let origin_name = config.origins[watch.origin.0 as usize].name.as_str().into();
            let watch = watch.clone();
            let names = Vec::new();
            match continues.and_then(|old| known.get_mut(old.0 as usize)?.take()) {
                Some(old) => WatchState { watch, check, origin_name, names, ..old },
                None => WatchState {
                    watch,
                    check,
                    origin_name,
                    names,
                    verdict: Verdict::UNTRIED,
                    stale: false,
                    unseen: false,
                    confirmed: None,
                    last: None,
                    recent: VecDeque::new(),
                    probes: 0,
                    failures: 0,
                    outcomes: BTreeMap::new(),
                },
            }
        })
        .collect();
    for (steer, rungs) in plan.seats.iter().enumerate() {
        let id = SteerId(u32::try_from(steer).unwrap_or(u32::MAX));
        for watch in rungs.iter().flatten().flat_map(|seat| &seat.targets).flat_map(|(_, watches)| watches) {
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
