//! The switchboard: `Controller::handle(Event, Now) -> Effects`. No thresholds, no DNS, no HTTP.
//!
//! One controller, one writer. The edge drains what is waiting and hands each event in, takes one snapshot out
//! ([`Controller::publish`]), carries out the effects, and sleeps until the next event or
//! [`Controller::next_deadline`]. Nothing here can fail and nothing here waits.
//!
//! ```text
//!            Observed                Asked          Reloaded
//!               │                      │                │
//!   schedule ── trust ── verdict    order book      watches, names
//!               │          │           │                │
//!             sight ───► names that may have moved ◄────┘
//!                          │
//!                       publish: decide each once ─► zone versions ─► guard ─► Snapshot, turns
//! ```

mod asked; //         what people ask: orders and approvals
pub mod carried; //   what it knows, for another that goes on from there
pub mod event; //     what can happen, and what the world is to do
mod evidence; //      what the probes saw, for the journal
mod explanation; //   a decision in a line, for replies
mod families; //      what our host has no route to
mod flattened; //     host names served by their addresses
pub mod journal; //   what is recorded: turns, orders, marks
mod line; //          numbers that only move forward
mod marked; //        rows to be looked at
mod names; //         one steered name
mod orders; //        what operators asked for
mod pace; //          who is asked less often
mod rehearsed; //     would those not served serve their visitors?
mod reload; //        another configuration under the same verdicts
mod turns; //         decisions into zone versions, snapshots and journal entries
mod waiting; //       names that wait for the velocity limit
mod watches; //       verdicts and figures
mod wires; //         connections whose end is a reason to ask

pub use event::*;
pub use reload::waits_for_restart;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Origin, SteerId};
use crate::decision::{Sight, Velocity};
use crate::dns::Name;
use crate::dns::Serial;
use crate::probe::schedule::{Schedule, Start};
use crate::probe::tripwire::Tripwires;
use crate::probe::trust::Trust;
use crate::probe::{Cause, Epoch, Observation, Outcome, Purpose, Request, WatchId};
use crate::snapshot::status::Doubt;
use crate::snapshot::{Refused, Snapshot, ZoneVersion};
use crate::time::{Moment, Now};
use crate::verdict::{Class, Grade, Verdict};

use flattened::Flattened;
use journal::Entry;
use line::{GenerationLine, SerialLine};
use marked::Marked;
use names::{Ground, NameState};
use orders::OrderBook;
use rehearsed::{Hostnames, Told};
use turns::Moved;
use watches::{Called, WatchState};

/// How often stale watches are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// Doubt that ends sooner was only slow witnesses and is not spoken of.
const DOUBT_SPOKEN: Duration = Duration::from_secs(2);
/// Neighbours asked when a watch turns suspect, to tell its trouble from ours.
const WITNESSES: usize = 2;
/// Other addresses of an origin that are asked when one of them first fails, to either side of it in the plan.
const SIBLINGS: usize = 16;
/// How long a reload waits for the reservation of a raised serial before it goes on without.
const RESERVATION_PATIENCE: Duration = Duration::from_secs(2);

/// The one writer's whole state.
#[derive(Debug)]
pub struct Controller {
    config: Arc<Config>,
    /// Its name, for entries of the journal.
    node: Arc<str>,
    zones: Vec<ZoneState>,
    /// Lines of zones a reload took out: one that comes back goes on where it was.
    retired: BTreeMap<Name, SerialLine>,
    watches: Vec<WatchState>,
    called: Called,
    schedule: Schedule,
    trust: Trust,
    tripwires: Tripwires,
    sight: Sight,
    /// Deaths that a single failure made, and that wait for a witness to come back.
    withheld: BTreeMap<Epoch, Verdict>,
    /// When the patience with the first of them ends.
    believes: Option<Moment>,
    /// The watches that are up: who may be asked because another one fails.
    well: BTreeSet<WatchId>,
    /// The last one asked.
    witness: WatchId,
    flattened: Flattened,
    hostnames: Hostnames,
    told: Told,
    /// Some check asks standbys less often.
    paced: bool,
    orders: OrderBook,
    names: Vec<NameState>,
    /// When time alone may change a name's decision: its `wake`, in order.
    wakes: BTreeSet<(Moment, SteerId)>,
    /// What automation has moved lately, and what it would move if there were room.
    velocity: Velocity,
    /// Names that move in the next round without asking for room: a person wants it.
    freed: BTreeSet<SteerId>,
    /// Since when names wait for the velocity limit, once that is told.
    reached: Option<Now>,
    /// Names to decide anew before the next snapshot, and when the first of them was touched.
    touched: Marked<SteerId>,
    touched_at: Option<Now>,
    /// Watches whose status changed since the last snapshot.
    shown: Marked<WatchId>,
    /// Names whose status changed since the last snapshot.
    shown_names: Marked<SteerId>,
    /// Names whose first decision waits for the serial it is served in.
    unnumbered: Marked<SteerId>,
    /// Turns of a snapshot that was refused.
    unpublished: Vec<Moved>,
    /// Something people are shown changed beyond names and watches.
    restated: bool,
    /// Every part of the status is new (start and reload).
    rebuilt: bool,
    doubt: Option<DoubtState>,
    generations: GenerationLine,
    published: Option<Arc<Snapshot>>,
    sequence: u64,
    committed: u64,
    storage: Option<String>,
    waiting: Vec<(Ticket, u64, String)>,
    pending_reload: Option<PendingReload>,
    next_sweep: Moment,
    /// The last refusal, so that one defect is told once.
    refused: Option<Refused>,
    /// Why the last watch turned, in words: when many fail at once, they fail alike.
    told_cause: Option<(Cause, Arc<str>)>,
}

/// One zone between two versions.
#[derive(Debug)]
struct ZoneState {
    version: Option<Arc<ZoneVersion>>,
    /// What the next version is made of, until it is published.
    table: crate::zone::table::Table,
    apex: Name,
    /// Number of records in its file, for the shrink rule.
    records: usize,
    /// Serial and content digest of a clean shutdown.
    clean: Option<(Serial, u64)>,
    line: SerialLine,
    /// The content or the file's serial changed since `version`.
    changed: bool,
    /// Only who is silent changed: a version of the same serial.
    silenced: bool,
}

#[derive(Debug)]
struct DoubtState {
    since: Now,
    evidence: String,
    spoken: bool,
}

/// Another configuration, and who wants to know.
#[derive(Debug)]
struct Reload {
    ticket: Option<Ticket>,
    loaded: Box<Loaded>,
    actor: Option<String>,
}

/// A reload that waits for the serials it raises to be reserved.
#[derive(Debug)]
struct PendingReload {
    reload: Reload,
    /// What must be reserved, by folded apex.
    wanted: Vec<(Name, Serial)>,
    /// It goes on without after this.
    until: Moment,
}

impl PendingReload {
    fn is_covered_by(&self, marks: &Marks) -> bool {
        self.wanted.iter().all(|(apex, serial)| marks.serials.iter().any(|(name, mark)| name == apex && mark >= serial))
    }
}

impl Controller {
    /// Starts from the files and from what an earlier run left behind. The first effects reserve numbers (to be made
    /// durable before the first snapshot is served) and start the first probes.
    pub fn new(loaded: Loaded, restored: Restored, now: Now) -> (Self, Effects) {
        let Loaded { config, zones, .. } = loaded;
        let mut reserved: BTreeMap<Name, Serial> = restored.marks.serials.into_iter().collect();
        let clean = restored.clean.into_iter().map(|(apex, serial, digest)| (apex, (serial, digest)));
        let clean: BTreeMap<Name, (Serial, u64)> = clean.collect();
        let zones: Vec<_> = config
            .zones
            .iter()
            .zip(zones)
            .map(|(file, zone)| ZoneState {
                version: None,
                table: zone.table,
                apex: file.apex.clone(),
                records: zone.records,
                clean: clean.get(&file.apex).copied(),
                line: SerialLine::new(zone.serial, reserved.remove(&file.apex)),
                changed: true,
                silenced: false,
            })
            .collect();
        // Zones that are away now: one that comes back by reload goes on above what was reserved for it.
        let retired = reserved.into_iter().map(|(apex, mark)| (apex, SerialLine::new(mark, Some(mark))));
        let mut controller = Self {
            zones,
            retired: retired.collect(),
            watches: Vec::new(),
            called: Called::new(),
            schedule: Schedule::new(),
            trust: Trust::default(),
            tripwires: Tripwires::default(),
            sight: Sight::new(config.server.doubt_share),
            withheld: BTreeMap::new(),
            believes: None,
            well: BTreeSet::new(),
            witness: WatchId(0),
            flattened: Flattened::default(),
            hostnames: Hostnames::default(),
            told: Told::default(),
            paced: false,
            orders: OrderBook::restored(restored.orders, restored.next_order),
            names: Vec::new(),
            wakes: BTreeSet::new(),
            velocity: Velocity::new(Self::limit(&config)),
            freed: BTreeSet::new(),
            reached: None,
            touched: Marked::default(),
            touched_at: None,
            shown: Marked::default(),
            shown_names: Marked::default(),
            unnumbered: Marked::default(),
            unpublished: Vec::new(),
            restated: true,
            rebuilt: true,
            doubt: None,
            generations: GenerationLine::new(restored.marks.generation),
            published: None,
            sequence: restored.next_sequence.max(1) - 1,
            committed: restored.next_sequence.max(1) - 1,
            storage: None,
            waiting: Vec::new(),
            pending_reload: None,
            next_sweep: now.moment + SWEEP,
            refused: None,
            node: config.server.name.as_str().into(),
            told_cause: None,
            config: Arc::clone(&config),
        };
        let mut fx = Effects::default();
        controller.arrange(Vec::new(), &config, now);
        controller.restore(&restored.decisions, now);
        controller.sweep_orders(now, &mut fx);
        controller.touch_all(now);
        controller.tick(now, &mut fx);
        controller.reserve(&mut fx);
        (controller, fx)
    }

    /// Takes one event in. What it changed is published by the next [`Controller::publish`].
    pub fn handle(&mut self, event: Event, now: Now, fx: &mut Effects) {
        match event {
            Event::Observed(seen) => self.observed(seen, now, fx),
            Event::Wire(news) => self.wired(news),
            Event::Called(call) => {
                let key = (Arc::clone(&call.origin), Arc::clone(&call.check));
                if let Some(&id) = self.called.get(&key) {
                    self.observed(call.observed(id, self.schedule.epoch(id)), now, fx);
                }
            }
            Event::Canary { started, passed } => {
                self.sight.canary(passed, started, now.moment);
                self.weigh_doubt(now, fx);
                self.believe(now, fx);
            }
            Event::Resolved { hostname, outcome } => {
                if self.flattened.resolved(&hostname, outcome, now.moment) {
                    self.foresee_again(&hostname);
                    self.touch_users_of(&hostname, now);
                }
            }
            Event::Asked { ticket, actor, asked } => self.asked(ticket, actor, asked, now, fx),
            Event::Reloaded { ticket, actor, loaded, force } => {
                self.reloaded(Reload { ticket, loaded, actor }, force, now, fx);
            }
            Event::ReloadRefused { ticket, errors } => self.reload_refused(ticket, errors, now, fx),
            Event::Committed { sequence } => self.committed = self.committed.max(sequence),
            Event::Storage { trouble } => {
                self.restated |= self.storage != trouble;
                self.storage = trouble;
                if self.storage.is_some() {
                    self.apply_pending(now, fx);
                }
            }
            Event::Reserved { marks } => {
                if self.pending_reload.as_ref().is_some_and(|pending| pending.is_covered_by(&marks)) {
                    self.apply_pending(now, fx);
                }
            }
            Event::Inspect { ticket } => fx.replies.push((ticket, Reply::Figures(Box::new(self.figures(now))))),
            Event::Elapsed => {}
        }
        self.tick(now, fx);
    }

    /// When to come back with [`Event::Elapsed`] if nothing else happens. A wall clock that jumps moves only the
    /// expiry of orders, which is looked at once a second.
    pub fn next_deadline(&self) -> Option<Moment> {
        let names = self.wakes.first().map(|&(wake, _)| wake);
        let reload = self.pending_reload.as_ref().map(|pending| pending.until);
        let sweep = Some(self.next_sweep);
        [
            self.schedule.next_deadline(),
            names,
            reload,
            sweep,
            self.sight.next_deadline(),
            self.believes,
            self.flattened.next_deadline(),
            self.velocity.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Serial and content digest of every zone, for a clean shutdown: the next start may serve the same serial again
    /// if the content is the same.
    pub fn clean(&self) -> Vec<(Name, Serial, u64)> {
        let versions = self.zones.iter().filter_map(|zone| zone.version.as_ref());
        versions.map(|version| (version.apex.folded(), version.serial, version.table.digest())).collect()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Records that the daemon serves; the edge says so once, after the first snapshot.
    pub fn started(&mut self, version: &str, now: Now, fx: &mut Effects) {
        let what = journal::What::Started { version: version.to_owned(), generation: self.generations.last() };
        self.record(what, now, fx);
    }

    /// Records an orderly stop.
    pub fn stopped(&mut self, now: Now, fx: &mut Effects) {
        self.record(journal::What::Stopped, now, fx);
    }

    fn observed(&mut self, mut seen: Observation, now: Now, fx: &mut Effects) {
        // Made before a reload, it finds its watch by the epoch; late, it is dropped.
        let Some(id) = self.schedule.locate_seen(&seen).filter(|_| seen.purpose != Purpose::Manual) else {
            return;
        };
        seen.watch = id;
        let weighed = self.trust.weigh(&seen, self.watches[id.0 as usize].class());
        for released in weighed.release {
            self.watches[released.watch.0 as usize].remember_released(&released);
            let class = self.count(&released, now, fx);
            self.rehearse(&released, class, now, fx);
            self.schedule.released(&released, class, now.moment);
        }
        seen.outcome = weighed.outcome;
        if self.watches[id.0 as usize].remember(&seen) {
            self.shown.insert(id);
            self.touch_names_of(id, now);
        }
        let class = self.count(&seen, now, fx);
        self.rehearse(&seen, class, now, fx);
        self.follow(&seen, class, now);
        self.schedule.observed(&seen, class, now.moment);
        self.wire(&seen, class, now, fx);
        self.watches[id.0 as usize].last = Some(seen);
        for witness in weighed.witnesses {
            self.schedule.witness(witness, weighed.since);
        }
        self.weigh_doubt(now, fx);
    }

    /// Feeds one outcome to its watch's verdict, as far as our own sight lets it count. The class after it.
    fn count(&mut self, seen: &Observation, now: Now, fx: &mut Effects) -> Class {
        let (id, epoch) = (seen.watch, seen.epoch);
        let state = &self.watches[id.0 as usize];
        let origin = Arc::clone(&state.origin_name);
        let before = state.class();
        let started = Now { moment: seen.started, wall: now.wall - now.moment.since(seen.started) };
        let mut next = state.verdict.observe(&seen.outcome, started, state.thresholds(), now);
        let counts = seen.outcome == Outcome::Passed || self.sight.counts(seen.started);
        let by_window = if counts { self.watches[id.0 as usize].by_window(&next, seen, now) } else { None };
        match (&seen.outcome, by_window) {
            (Outcome::Passed, by_window) => {
                self.sight.passed(epoch, &origin, seen.finished, now.moment);
                // What a doubt that ends just now leaves behind is forgotten, and does not count here either.
                let may_turn = before == Class::Down || self.doubt.is_none();
                if let Some(held) = by_window.filter(|_| may_turn)
                    && (before == Class::Down || self.sight.turns_down(epoch, &origin, now.moment))
                {
                    next = held;
                }
            }
            (Outcome::Failed(_), _) if before == Class::Down => {}
            (Outcome::Failed(_), by_window) if counts => {
                self.sight.failed(epoch, now.moment);
                self.ask_witnesses(id, now.moment);
                if before == Class::Up {
                    self.ask_siblings(id, now.moment);
                }
                // A window that is full does not wait for a whole streak, but for a witness to what filled it last:
                // until then the watch is suspect, and its next probe decides.
                if let Some(down) = by_window.filter(|_| self.sight.is_vouched_for(epoch)) {
                    next = down;
                }
                if next.class() == Class::Down {
                    // Its witness was asked just now and cannot be back yet.
                    if self.sight.awaits_witness(epoch, now.moment) {
                        self.withheld.insert(epoch, next);
                        let end = self.sight.patience_ends(epoch);
                        self.believes = self.believes.into_iter().chain(end).min();
                        return before;
                    }
                    if !self.sight.turns_down(epoch, &origin, now.moment) {
                        return before;
                    }
                }
            }
            (Outcome::Failed(_) | Outcome::Inconclusive(_), _) => return before,
        }
        let after = next.class();
        self.assume(id, next, now);
        if counts && self.watches[id.0 as usize].weigh(seen) {
            self.quality_changed(id, now, fx);
        }
        // A pass may have ended a doubt, and with it what was held against others.
        self.weigh_doubt(now, fx);
        self.class_changed(id, before, after, now, fx);
        if seen.outcome == Outcome::Passed {
            self.believe(now, fx);
        }
        after
    }

    /// Turns down what waited for a witness that has come; where none has come in time, our own sight is in doubt.
    fn believe(&mut self, now: Now, fx: &mut Effects) {
        let over = |epoch: &Epoch| !self.sight.awaits_witness(*epoch, now.moment);
        let over: Vec<Epoch> = self.withheld.keys().copied().filter(over).collect();
        for epoch in over {
            let verdict = self.withheld.remove(&epoch);
            let (Some(next), Some(id)) = (verdict, self.schedule.locate(epoch)) else { continue };
            let state = &self.watches[id.0 as usize];
            let (before, origin) = (state.class(), Arc::clone(&state.origin_name));
            // It may have passed since.
            let fails = before != Class::Down && self.sight.is_failing(epoch);
            if fails && self.sight.turns_down(epoch, &origin, now.moment) {
                self.assume(id, next, now);
                self.class_changed(id, before, Class::Down, now, fx);
                fx.wires.extend(self.tripwires.down(epoch));
            }
            self.weigh_doubt(now, fx);
        }
        self.believes = self.withheld.keys().filter_map(|&epoch| self.sight.patience_ends(epoch)).min();
    }

    fn assume(&mut self, id: WatchId, next: Verdict, now: Now) {
        if next.class() == Class::Up {
            self.well.insert(id);
        } else {
            self.well.remove(&id);
        }
        self.watches[id.0 as usize].assume(next, now);
    }

    fn class_changed(&mut self, id: WatchId, before: Class, after: Class, now: Now, fx: &mut Effects) {
        if before == Class::Up && after != Class::Up {
            self.wake_standbys(id, now);
        }
        if before != after {
            self.shown.insert(id);
            self.touch_names_of(id, now);
            self.record_verdict(id, before, after, now, fx);
        }
    }

    /// A watch is degraded, or no more so.
    fn quality_changed(&mut self, id: WatchId, now: Now, fx: &mut Effects) {
        self.shown.insert(id);
        self.touch_names_of(id, now);
        let state = &self.watches[id.0 as usize];
        if !state.class().is_usable() {
            return;
        }
        let (rule, to) = (state.degraded().cloned(), state.grade());
        let what = self.verdict_told(id, Grade { degraded: !to.degraded, ..to }, to, rule);
        self.record(what, now, fx);
    }

    fn verdict_told(&self, id: WatchId, from: Grade, to: Grade, why: Option<Arc<str>>) -> journal::What {
        let state = &self.watches[id.0 as usize];
        journal::What::Verdict {
            origin: Arc::clone(&state.origin_name),
            target: Arc::clone(&state.endpoint),
            host: Arc::clone(&state.watch.host),
            from,
            to,
            why,
        }
    }

    /// Asks neighbours of a failing watch, so that a pass of theirs can tell its trouble from ours. The rungs that
    /// would be served next are asked first; any other origin will do.
    fn ask_witnesses(&mut self, failing: WatchId, since: Moment) {
        let state = &self.watches[failing.0 as usize];
        if !self.sight.sees_other_than(&state.origin_name) {
            return;
        }
        let ladders = state.names.iter().flat_map(|name| &*self.names[name.0 as usize].rungs);
        let nearby = ladders.flat_map(|rung| &*rung.origins).flat_map(|origin| &*origin.watches).copied();
        let another = |id: &WatchId| self.watches[id.0 as usize].watch.origin != state.watch.origin;
        let nearby = nearby.filter(|id| self.well.contains(id));
        let elsewhere = self.well.range(self.witness..).chain(self.well.range(..self.witness)).copied();
        let mut asked: Vec<WatchId> = Vec::new();
        for id in nearby.chain(elsewhere).filter(another) {
            if !asked.contains(&id) {
                asked.push(id);
            }
            if asked.len() == WITNESSES {
                break;
            }
        }
        for id in asked {
            self.witness = id;
            self.schedule.witness(id, since);
        }
    }

    /// Asks an origin's other addresses when one of them first fails. They are watched apart, each with a race of its
    /// own, but mostly die together: a name must not wait for the next probe of each of them.
    fn ask_siblings(&mut self, failing: WatchId, since: Moment) {
        let at = failing.0 as usize;
        let failed = &self.watches[at].watch;
        let is_near = |state: &&WatchState| state.watch.origin == failed.origin;
        let before = self.watches[..at].iter().rev().take(SIBLINGS).take_while(is_near).count();
        let after = self.watches[at..].iter().take(SIBLINGS).take_while(is_near).count();
        let is_sibling = |&index: &usize| {
            let state = &self.watches[index];
            let other = &state.watch;
            let is_alike = (&other.host, other.check) == (&failed.host, failed.check);
            is_alike && other.target != failed.target && state.class() == Class::Up
        };
        let siblings: Vec<usize> = (at - before..at + after).filter(is_sibling).collect();
        for index in siblings {
            self.schedule.witness(watch_id(index), since);
        }
    }

    /// Freezes automation while nothing proves that our own sight is sound, and lets it go on when something does.
    fn weigh_doubt(&mut self, now: Now, fx: &mut Effects) {
        let doubt = self.sight.doubt().map(|(since, evidence)| (since, evidence.to_owned()));
        match (doubt, &mut self.doubt) {
            (Some((_, evidence)), None) => {
                self.doubt = Some(DoubtState { since: now, evidence, spoken: false });
                self.restated = true;
                self.touch_all(now);
            }
            (None, Some(_)) => {
                let ended = self.doubt.take();
                self.restated = true;
                for (index, state) in self.watches.iter_mut().enumerate() {
                    if state.reprieve() {
                        self.shown.insert(watch_id(index));
                    }
                }
                self.find_well();
                self.touch_all(now);
                if let Some(ended) = ended.filter(|doubt| doubt.spoken) {
                    let seconds = now.moment.since(ended.since.moment).as_secs();
                    self.record(journal::What::DoubtEnded { seconds }, now, fx);
                }
            }
            (Some((_, evidence)), Some(doubt)) => doubt.evidence = evidence,
            (None, None) => {}
        }
        fx.canary |= self.sight.wants_canary(now.moment);
    }

    /// What time alone brings: probes due, waits that are over, orders that run out, watches gone stale.
    fn tick(&mut self, now: Now, fx: &mut Effects) {
        while let Some(&(wake, id)) = self.wakes.first()
            && wake <= now.moment
        {
            self.wakes.pop_first();
            self.names[id.0 as usize].wake = None;
            self.touch(id, now);
        }
        for id in self.velocity.due(now.moment).collect::<Vec<_>>() {
            self.touch(id, now);
        }
        if self.next_sweep <= now.moment {
            self.next_sweep = now.moment + SWEEP;
            self.sweep_orders(now, fx);
            self.sweep_stale(now);
        }
        self.weigh_doubt(now, fx);
        if self.believes.is_some_and(|end| end <= now.moment) {
            self.believe(now, fx);
        }
        if self.pending_reload.as_ref().is_some_and(|pending| pending.until <= now.moment) {
            self.apply_pending(now, fx);
        }
        if let Some(doubt) = &mut self.doubt
            && !doubt.spoken
            && now.moment.since(doubt.since.moment) >= DOUBT_SPOKEN
        {
            doubt.spoken = true;
            let evidence = doubt.evidence.clone();
            self.record(journal::What::DoubtBegan { evidence }, now, fx);
        }
        for Start { watch, purpose, due } in self.schedule.due(now.moment) {
            let state = &self.watches[watch.0 as usize];
            fx.probes.push(Request {
                watch,
                epoch: self.schedule.epoch(watch),
                purpose,
                due,
                target: state.watch.target.clone(),
                port: state.watch.port,
                host: Arc::clone(&state.watch.host),
                check: Arc::clone(&state.check),
            });
        }
        fx.resolve.extend(self.flattened.due(now.moment));
    }

    /// Looks at all watches for those that are up.
    pub(super) fn find_well(&mut self) {
        let up = self.watches.iter().enumerate().filter(|(_, state)| state.class() == Class::Up);
        self.well = up.map(|(index, _)| watch_id(index)).collect();
    }

    fn sweep_stale(&mut self, now: Now) {
        for (index, state) in self.watches.iter_mut().enumerate() {
            let id = watch_id(index);
            let stale = self.schedule.is_stale(id, now.moment);
            if state.stale != stale {
                state.stale = stale;
                self.shown.insert(id);
            }
        }
    }

    fn figures(&self, now: Now) -> Figures {
        let watches = self.watches.iter().enumerate().map(|(index, state)| {
            let id = watch_id(index);
            state.figures(id, self.schedule.next_of(id))
        });
        Figures {
            watches: watches.collect(),
            recorded: self.sequence,
            committed: self.committed,
            storage: self.storage.clone(),
            room: self.velocity.room(now.moment),
        }
    }

    fn record(&mut self, what: journal::What, now: Now, fx: &mut Effects) {
        self.sequence += 1;
        fx.record.push(self.entry(self.sequence, what, now));
    }

    fn entry(&self, sequence: u64, what: journal::What, now: Now) -> Entry {
        Entry { sequence, at: now.wall, node: Arc::clone(&self.node), what }
    }

    fn record_verdict(&mut self, id: WatchId, before: Class, after: Class, now: Now, fx: &mut Effects) {
        // Suspicion comes and goes; what is told is a watch lost or won.
        if before.is_usable() == after.is_usable() && before != Class::Untried {
            return;
        }
        let why = self.watches[id.0 as usize].verdict.cause().map(|cause| match &self.told_cause {
            Some((known, text)) if known == cause => Arc::clone(text),
            _ => Arc::clone(&self.told_cause.insert((cause.clone(), cause.to_string().into())).1),
        });
        let what = self.verdict_told(id, before.into(), after.into(), why);
        self.record(what, now, fx);
    }

    fn touch(&mut self, name: SteerId, now: Now) {
        self.touched.insert(name);
        self.touched_at.get_or_insert(now);
    }

    fn touch_all(&mut self, now: Now) {
        for index in 0..self.names.len() {
            self.touch(steer_id(index), now);
        }
    }

    fn touch_names_of(&mut self, watch: WatchId, now: Now) {
        self.touched_at.get_or_insert(now);
        for &name in &self.watches[watch.0 as usize].names {
            self.touched.insert(name);
        }
    }

    fn touch_users_of(&mut self, hostname: &Name, now: Now) {
        for name in self.users_of(|origin| origin.cname.as_ref() == Some(hostname)) {
            self.touch(name, now);
        }
    }

    fn positions(&self, wanted: impl Fn(&NameState) -> bool) -> Vec<SteerId> {
        let found = self.names.iter().enumerate().filter(|(_, state)| wanted(state));
        found.map(|(index, _)| steer_id(index)).collect()
    }

    /// Names that stand on an origin of this kind.
    fn users_of(&self, wanted: impl Fn(&Origin) -> bool) -> Vec<SteerId> {
        let is_wanted: Vec<bool> = self.config.origins.iter().map(|origin| wanted(origin)).collect();
        self.positions(|state| {
            state.steer.rungs.iter().flat_map(|rung| &rung.origins).any(|id| is_wanted[id.0 as usize])
        })
    }

    fn ground(&self, now: Now) -> Ground<'_> {
        Ground {
            config: &self.config,
            watches: &self.watches,
            orders: &self.orders,
            flattened: &self.flattened,
            hostnames: &self.hostnames,
            frozen: self.doubt.is_some(),
            now,
        }
    }

    /// The same, and the names that stand on it.
    fn names_on_ground(&mut self, now: Now) -> (Ground<'_>, &mut [NameState]) {
        let ground = Ground {
            config: &self.config,
            watches: &self.watches,
            orders: &self.orders,
            flattened: &self.flattened,
            hostnames: &self.hostnames,
            frozen: self.doubt.is_some(),
            now,
        };
        (ground, &mut self.names)
    }

    fn doubt_shown(&self) -> Option<Arc<Doubt>> {
        let doubt = self.doubt.as_ref()?;
        Some(Arc::new(Doubt { since: doubt.since, evidence: doubt.evidence.clone() }))
    }
}

/// The configuration's bounds keep tables far below 2³² rows.
fn watch_id(index: usize) -> WatchId {
    WatchId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn steer_id(index: usize) -> SteerId {
    SteerId(u32::try_from(index).unwrap_or(u32::MAX))
}
