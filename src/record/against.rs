//! Another configuration, given the same observations: what it would have done.
//!
//! An observation is given to the watches of the other configuration that ask the same (address or host name, port, check,
//! host). Nobody asked what only the other one asks: such watches stay untried, confirmations that nobody made are
//! missing, and an interval that is shorter sees no more than there is. All of that is counted, so that nobody takes a
//! guess for a proof.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::control::carried::{Carried, CarriedWatch, Watched};
use crate::control::journal::{Turn, What};
use crate::control::{Controller, Effects, Event, Restored};
use crate::dns::Name;
use crate::probe::watch::Key;
use crate::probe::{Epoch, Purpose, WatchId};
use crate::record::Load;
use crate::record::replay::{Reload, Told, event};
use crate::record::step::Happened;
use crate::time::{Now, Wall};

/// What another configuration would have done, beside what was done.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Comparison {
    /// Name by name, in the order of time.
    pub pairs: Vec<Pair>,
    /// Watches of the other configuration that nobody asked: origin, endpoint and host.
    pub untried: Vec<String>,
    /// Settings of the other configuration that would have seen more than was recorded.
    pub sparse: BTreeSet<Sparse>,
    /// Confirmations that it asks for, and those of them that nobody made.
    pub confirmations: u64,
    pub unconfirmed: u64,
    /// Reloads in the record, which it does not follow.
    pub reloads: u64,
}

/// The same move of a name by both, or one that only one of them makes.
#[derive(Clone, PartialEq, Debug)]
pub struct Pair {
    pub name: Name,
    pub recorded: Option<Told>,
    pub other: Option<Told>,
}

/// A time that the other configuration has otherwise, so that the record does not hold what it would have seen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sparse {
    pub check: Arc<str>,
    /// `every`, `confirm` or `timeout`.
    pub key: &'static str,
    pub recorded: Duration,
    pub other: Duration,
}

/// The other controller.
pub(super) struct Other<'l> {
    load: Reload<'l>,
    run: Option<Run>,
    told: Vec<Told>,
    comparison: Comparison,
}

struct Run {
    controller: Controller,
    watched: Vec<Watched>,
    /// Watches that were given an observation.
    seen: Vec<bool>,
    fx: Effects,
    /// Confirmations it waits for.
    open: BTreeSet<(WatchId, u8)>,
    routes: Option<Routes>,
}

/// Which watches of the other configuration are given what a watch of the recorded one saw.
struct Routes {
    of: Arc<Config>,
    /// By the recorded watch's number.
    to: Vec<Vec<(WatchId, Epoch)>>,
}

impl<'l> Other<'l> {
    pub(super) fn new(load: Reload<'l>) -> Self {
        Self { load, run: None, told: Vec::new(), comparison: Comparison::default() }
    }

    /// A run begins, or goes on after a gap; `recorded` is as it stands then.
    pub(super) fn began(
        &mut self,
        load: &Load,
        carried: &Carried,
        recorded: &Controller,
        is_start: bool,
        now: Now,
    ) -> Result<(), String> {
        if !is_start && self.run.is_some() {
            return Ok(());
        }
        let mut restored = carried.restored.clone();
        if let Some(before) = self.run.take() {
            // It goes on from its own decisions.
            restored = Restored { decisions: before.controller.carried(now).restored.decisions, ..restored };
            self.comparison.untried.extend(before.untried());
        }
        let (mut controller, fx) = Controller::new((self.load)(load)?, restored, now);
        let watched = controller.watched();
        if !is_start {
            let known = recorded.watched();
            let known: BTreeMap<&Key, &CarriedWatch> =
                known.iter().map(|watched| &watched.key).zip(&carried.watches).collect();
            let fresh = controller.carried(now).watches.into_iter().zip(&watched);
            let watches = fresh.map(|(fresh, watched)| match known.get(&watched.key) {
                Some(&known) => CarriedWatch { epoch: fresh.epoch, ..known.clone() },
                None => fresh,
            });
            controller.resume(Carried { watches: watches.collect(), ..carried.clone() }, now);
            controller.publish(now, &mut Effects::default(), |_| now);
        }
        let seen = vec![false; watched.len()];
        self.run = Some(Run { controller, watched, seen, fx, open: BTreeSet::new(), routes: None });
        Ok(())
    }

    /// What happened; the recorded controller has not been told of it yet.
    pub(super) fn happened(&mut self, happened: &Happened, recorded: &Controller, now: Now) {
        let Some(run) = &mut self.run else { return };
        let events = match happened {
            Happened::Observed(seen) => run
                .route(seen.epoch, recorded)
                .iter()
                .map(|&(watch, epoch)| {
                    run.seen[watch.0 as usize] = true;
                    if let Purpose::Confirm(number) = seen.purpose {
                        run.open.remove(&(watch, number));
                    }
                    Event::Observed(crate::probe::Observation { watch, epoch, ..seen.clone() })
                })
                .collect(),
            Happened::Reloaded { .. } => {
                self.comparison.reloads += 1;
                Vec::new()
            }
            other => vec![event(other.clone())],
        };
        let events = if events.is_empty() { vec![Event::Elapsed] } else { events };
        for event in events {
            run.controller.handle(event, now, &mut run.fx);
        }
        for request in run.fx.probes.drain(..) {
            if let Purpose::Confirm(number) = request.purpose {
                self.comparison.confirmations += 1;
                // The one before under this number was never made.
                self.comparison.unconfirmed += u64::from(!run.open.insert((request.watch, number)));
            }
        }
    }

    pub(super) fn published(&mut self, now: Now, served: Option<Now>) {
        let Some(run) = &mut self.run else { return };
        run.controller.publish(now, &mut run.fx, |_| served.unwrap_or(now));
        for entry in std::mem::take(&mut run.fx).record {
            if let What::Turned(turn) = entry.what {
                self.told.push(Told { at: entry.at, turn });
            }
        }
    }

    /// Beside what the recorded configuration decided, of the turns that count; `recorded` is that configuration.
    pub(super) fn compared(
        self,
        decided: &[Told],
        recorded: Option<&Config>,
        counts: &dyn Fn(Wall, &Name) -> bool,
    ) -> Comparison {
        let Self { run, told, mut comparison, .. } = self;
        if let Some(run) = run {
            comparison.unconfirmed += run.open.len() as u64;
            if let Some(recorded) = recorded {
                comparison.sparse = run.sparse(recorded);
            }
            comparison.untried.extend(run.untried());
        }
        comparison.untried.sort_unstable();
        comparison.untried.dedup();
        let told: Vec<_> = told.into_iter().filter(|told| counts(told.at, &told.turn.name)).collect();
        comparison.pairs = pairs(decided, &told);
        comparison
    }
}

impl Run {
    /// The watches that ask what the recorded watch of this epoch asks.
    fn route(&mut self, epoch: Epoch, recorded: &Controller) -> Vec<(WatchId, Epoch)> {
        let Some(from) = recorded.locate(epoch) else { return Vec::new() };
        if self.routes.as_ref().is_none_or(|routes| !Arc::ptr_eq(&routes.of, recorded.config())) {
            let to = routes(&recorded.watched(), &self.watched);
            self.routes = Some(Routes { of: Arc::clone(recorded.config()), to });
        }
        let to = self.routes.as_ref().and_then(|routes| routes.to.get(from.0 as usize));
        to.cloned().unwrap_or_default()
    }

    fn untried(&self) -> impl Iterator<Item = String> {
        let untried = self.watched.iter().zip(&self.seen).filter(|(_, seen)| !**seen);
        untried.map(|(Watched { origin, check, endpoint, host, .. }, _)| {
            let host = if host.is_empty() { String::new() } else { format!(" as {host}") };
            format!("{origin} at {endpoint}{host} by {check}")
        })
    }

    /// What of the checks of watches that both have would have seen more.
    fn sparse(&self, recorded: &Config) -> BTreeSet<Sparse> {
        let here = self.controller.config();
        let of = |config: &Config, name: &str| config.checks.iter().find(|check| check.name == name).cloned();
        let names: BTreeSet<&Arc<str>> = self.watched.iter().map(|watched| &watched.check).collect();
        let both = names.into_iter().filter_map(|name| Some((name, of(recorded, name)?, of(here, name)?)));
        let mut sparse = BTreeSet::new();
        for (name, before, after) in both {
            let times = [
                ("every", before.every, after.every),
                ("confirm", before.confirm, after.confirm),
                ("timeout", before.timeout, after.timeout),
            ];
            for (key, recorded, other) in times {
                let sees_more = if key == "timeout" { other != recorded } else { other < recorded };
                sparse.extend(sees_more.then(|| Sparse { check: Arc::clone(name), key, recorded, other }));
            }
        }
        sparse
    }
}

/// Of several that ask the same, the first gets what the first saw; more than there were get what the last saw.
fn routes(from: &[Watched], to: &[Watched]) -> Vec<Vec<(WatchId, Epoch)>> {
    let mut by_key: BTreeMap<&Key, (Vec<usize>, usize)> = BTreeMap::new();
    for (index, watched) in from.iter().enumerate() {
        by_key.entry(&watched.key).or_default().0.push(index);
    }
    let mut routes = vec![Vec::new(); from.len()];
    for (index, watched) in (0..).zip(to) {
        if let Some((rows, given)) = by_key.get_mut(&watched.key)
            && let Some(&row) = rows.get(*given).or(rows.last())
        {
            *given += 1;
            routes[row].push((WatchId(index), watched.epoch));
        }
    }
    routes
}

/// The same moves side by side, name by name.
fn pairs(recorded: &[Told], other: &[Told]) -> Vec<Pair> {
    let mut by_name: BTreeMap<&Name, [Vec<&Told>; 2]> = BTreeMap::new();
    for (side, told) in [recorded, other].into_iter().enumerate() {
        for told in told {
            by_name.entry(&told.turn.name).or_default()[side].push(told);
        }
    }
    let mut pairs = Vec::new();
    for (name, [recorded, other]) in by_name {
        let mut push = |recorded: Option<&Told>, other: Option<&Told>| {
            pairs.push(Pair { name: name.clone(), recorded: recorded.cloned(), other: other.cloned() });
        };
        let (mut ours, mut theirs) = (recorded.into_iter().peekable(), other.into_iter().peekable());
        loop {
            match (ours.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(one), Some(two)) if is_same_move(&one.turn, &two.turn) => push(ours.next(), theirs.next()),
                (Some(one), Some(two)) if one.at <= two.at => push(ours.next(), None),
                (Some(_), None) => push(ours.next(), None),
                (_, Some(_)) => push(None, theirs.next()),
            }
        }
    }
    pairs
}

fn is_same_move(one: &Turn, two: &Turn) -> bool {
    let from = |turn: &Turn| turn.from.as_ref().map(|from| (from.place, from.origins.clone()));
    from(one) == from(two) && (one.to.place, &one.to.origins) == (two.to.place, &two.to.origins)
}
