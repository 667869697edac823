//! Decisions into zone versions, a snapshot and journal entries: what happens once per batch of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Form, OriginId, SteerId};
use crate::control::evidence::Witness;
use crate::control::explanation::Teller;
use crate::control::journal::{self, Stages, Turn};
use crate::control::names::{Memo, NameState};
use crate::control::{Controller, Effects, Reply, steer_id, watch_id};
use crate::decision::velocity::Wish;
use crate::decision::{Decision, Served, Standing};
use crate::dns::Serial;
use crate::probe::WatchId;
use crate::snapshot::status::{Former, RungStatus, Status, SteerStatus};
use crate::snapshot::{Generation, Parts, Snapshot, ZoneVersion, guard, steered};
use crate::time::{Moment, Now};
use crate::zone::table::{Change, Table};

/// A change of decision that waits for its serial.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) name: SteerId,
    from: Option<Arc<Served>>,
    to: Arc<Served>,
}

impl Controller {
    /// Decides what was touched, makes the next versions and the next snapshot, and has it served: `swap` puts it in
    /// place of the one before and tells when that was done. Only then the turns are recorded. `None` if nothing that is
    /// served or shown has changed, or if the guard refused.
    pub fn publish(
        &mut self,
        now: Now,
        fx: &mut Effects,
        swap: impl FnOnce(&Arc<Snapshot>) -> Now,
    ) -> Option<Arc<Snapshot>> {
        let touched_at = self.touched_at.take().unwrap_or(now);
        let mut moved = std::mem::take(&mut self.unpublished);
        moved.extend(self.decide(now));
        let changed = self.rebuilt
            || self.restated
            || !self.shown.is_empty()
            || !self.shown_names.is_empty()
            || !self.unnumbered.is_empty()
            || self.zones.iter().any(|zone| zone.changed || zone.silenced);
        if !changed && moved.is_empty() {
            self.reply(fx);
            return None;
        }
        let replaced = self.version();
        let serials: Vec<_> = moved.iter().map(|turn| self.serial_of(turn.name)).collect();
        for (turn, serial) in moved.iter().zip(&serials) {
            self.names[turn.name.0 as usize].serial = *serial;
        }
        for name in self.unnumbered.take() {
            self.names[name.0 as usize].serial = self.serial_of(name);
            self.shown_names.insert(name);
        }
        let snapshot = self.snapshot(&replaced);
        if let Err(refused) = guard(self.published.as_deref(), &snapshot) {
            if self.refused.as_ref() != Some(&refused) {
                self.refused = Some(refused.clone());
                self.record(journal::What::SnapshotRefused(refused.clone()), now, fx);
                fx.refused.push(refused);
            }
            self.stay(moved);
            let why = self.refused.as_ref().map(ToString::to_string).unwrap_or_default();
            for (ticket, ..) in self.waiting.drain(..) {
                fx.replies.push((ticket, Reply::Denied { why: format!("not published: {why}") }));
            }
            // Each try takes numbers.
            self.reserve(fx);
            return None;
        }
        self.refused = None;
        let snapshot = Arc::new(snapshot);
        self.published = Some(Arc::clone(&snapshot));
        let served = swap(&snapshot);
        fx.record.reserve(moved.len());
        let mut witness = Witness::default();
        let mut sequence = self.sequence;
        for (turn, serial) in moved.into_iter().zip(serials) {
            let turned = self.turn(turn, serial, snapshot.generation, touched_at, served, &mut witness);
            sequence += 1;
            fx.record.push(self.entry(sequence, journal::What::Turned(Box::new(turned)), now));
        }
        self.sequence = sequence;
        self.tell_of_waiting(now, fx);
        self.reserve(fx);
        self.reply(fx);
        Some(snapshot)
    }

    /// After a refusal: what is served stays, and all of it is tried again with the next event.
    fn stay(&mut self, moved: Vec<Moved>) {
        self.unpublished = moved;
        self.rebuilt = true;
        for zone in &mut self.zones {
            let served = self.published.as_ref().and_then(|served| served.zones.at(zone.apex.folded().as_wire()));
            if served.map(Arc::as_ptr) != zone.version.as_ref().map(Arc::as_ptr) {
                zone.version = served.cloned();
                zone.changed = true;
            }
        }
    }

    /// Decides every touched name anew and puts what changed into its zone's table. Names that automation wants to move
    /// are weighed together at the end: the velocity limit may have room for some of them only.
    fn decide(&mut self, now: Now) -> Vec<Moved> {
        let (touched, freed) = (self.touched.take(), std::mem::take(&mut self.freed));
        let mut round = Round::new(self, now);
        let mut velocity = std::mem::take(&mut self.velocity);
        let is_limited = velocity.limit().is_some();
        let mut memo = Memo::default();
        let (mut wishes, mut wanting) = (Vec::new(), Vec::new());
        let mut waited = false;
        let (ground, names) = self.names_on_ground(now);
        for name in touched {
            let state = &mut names[name.0 as usize];
            let before = Before::of(state);
            let next = state.decide(&ground, &mut memo).or_else(|| state.decision.clone());
            if is_limited
                && let Some(to) = state.wish(next.as_ref())
                && !freed.contains(&name)
            {
                wishes.push(Wish { name, to, is_dead: state.is_dead() });
                wanting.push((before, next));
                continue;
            }
            waited |= velocity.withdraw(name);
            round.settle(name, state, before, next, &mut memo);
        }
        if !wishes.is_empty() {
            waited = true;
            let going = velocity.weigh(&wishes, now);
            for (Wish { name, .. }, (before, next)) in wishes.into_iter().zip(wanting) {
                let state = &mut names[name.0 as usize];
                let next = match velocity.waits(name).filter(|_| !going.contains(&name)) {
                    Some(waits) => state.stay(Arc::clone(&before.standing), waits, &ground, &mut memo),
                    None => next,
                };
                round.settle(name, state, before, next, &mut memo);
            }
        }
        self.velocity = velocity;
        self.restated |= waited;
        let Round { moved, changed, wakes, shown, unnumbered, rungs, .. } = round;
        self.wakes = wakes;
        self.repace(rungs, now);
        shown.into_iter().for_each(|id| self.shown_names.insert(id));
        unnumbered.into_iter().for_each(|id| self.unnumbered.insert(id));
        for (zone, names) in changed {
            self.put(zone, names);
        }
        moved
    }

    /// Puts what is decided for these names of a zone into its table.
    fn put(&mut self, zone: usize, names: Vec<SteerId>) {
        let zone = &mut self.zones[zone];
        let mut table = zone.table.clone();
        let (standing, new): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|id| self.names[id.0 as usize].spot.is_some());
        if !new.is_empty() {
            let states = new.iter().map(|id| &self.names[id.0 as usize]);
            table = planted(&table, states);
            for id in new {
                let state = &mut self.names[id.0 as usize];
                state.spot = table.spot(&state.steer.name);
            }
        }
        let mut turns: Vec<_> =
            standing.into_iter().filter_map(|id| Some((self.names[id.0 as usize].spot?, id))).collect();
        turns.sort_unstable();
        let turns = turns.into_iter().map(|(spot, id)| {
            let decision = self.names[id.0 as usize].decision.as_deref();
            (spot, steered::holding(decision))
        });
        table = table.turned(turns);
        if zone.table.same_content(&table) {
            zone.silenced = true;
        } else {
            zone.changed = true;
        }
        zone.table = table;
    }

    /// Gives every changed zone its next serial, and a version of it: those that are new.
    fn version(&mut self) -> Vec<Arc<ZoneVersion>> {
        let mut replaced = Vec::new();
        for zone in &mut self.zones {
            let silenced = std::mem::take(&mut zone.silenced);
            // Planted and taken back within one batch, the content is what it was.
            let same = |version: &Arc<ZoneVersion>| {
                version.table.same_content(&zone.table)
                    && !(zone.table.is_signed() && zone.line.file() != version.serial)
                    && zone.line.file().partial_cmp(&version.serial) != Some(std::cmp::Ordering::Greater)
            };
            let changed = std::mem::take(&mut zone.changed) && !zone.version.as_ref().is_some_and(same);
            if !changed {
                if let Some(version) = zone.version.as_ref().filter(|_| silenced) {
                    let table = zone.table.with_serial(version.serial);
                    let version = Arc::new(ZoneVersion { table, ..(**version).clone() });
                    replaced.push(Arc::clone(&version));
                    zone.version = Some(version);
                }
                continue;
            }
            let resumed = zone.clean.take().filter(|&(serial, digest)| {
                zone.version.is_none() && zone.table.digest() == digest && serial >= zone.line.file()
            });
            let serial = match resumed {
                _ if zone.table.is_signed() => zone.line.follow(),
                Some((serial, _)) => {
                    zone.line.resume(serial);
                    serial
                }
                None => zone.line.take(),
            };
            zone.table = zone.table.with_serial(serial);
            let version = Arc::new(ZoneVersion { apex: zone.apex.clone(), serial, table: zone.table.clone() });
            replaced.push(Arc::clone(&version));
            zone.version = Some(version);
        }
        replaced
    }

    fn serial_of(&self, name: SteerId) -> Serial {
        let zone = &self.zones[self.names[name.0 as usize].steer.zone.0 as usize];
        zone.version.as_ref().map_or_else(Serial::default, |version| version.serial)
    }

    /// The next snapshot: the published one with what changed replaced.
    fn snapshot(&mut self, replaced: &[Arc<ZoneVersion>]) -> Snapshot {
        let mut next = match (&self.published, self.rebuilt) {
            (Some(published), false) => (**published).clone(),
            _ => Snapshot::default(),
        };
        if std::mem::take(&mut self.rebuilt) {
            self.shown.clear();
            self.shown_names.clear();
            next.answering = Arc::clone(&self.config.server.answering);
            next.zones = self.zones.iter().filter_map(|zone| zone.version.clone()).collect();
            next.status.watches =
                self.watches.iter().enumerate().map(|(index, state)| Arc::new(state.status(watch_id(index)))).collect();
            let mut teller = Teller::default();
            let steers = (0..self.names.len()).map(|index| Arc::new(self.steer_status(index, &mut teller)));
            next.status.steers = steers.collect::<Parts<_>>();
            let names = self.names.iter().enumerate().map(|(index, state)| (&state.steer.name, steer_id(index)));
            next.status.steered = Status::index(names);
        } else {
            for version in replaced {
                next.zones = next.zones.with(Arc::clone(version));
            }
            let shown = self.shown.take();
            next.status.watches.replace(shown.map(|id| (id.0 as usize, self.watches[id.0 as usize].status(id))));
            let mut teller = Teller::default();
            let shown = self.shown_names.take();
            next.status.steers.replace(shown.map(|id| (id.0 as usize, self.steer_status(id.0 as usize, &mut teller))));
        }
        self.restated = false;
        next.status.orders = self.orders.all();
        next.status.doubt = self.doubt_shown();
        next.status.waiting = self.waiting_shown();
        next.generation = self.generations.take();
        next
    }

    fn steer_status<'c>(&'c self, index: usize, teller: &mut Teller<'c>) -> SteerStatus {
        let state = &self.names[index];
        SteerStatus {
            id: steer_id(index),
            steer: Arc::clone(&state.steer),
            zone: state.steer.zone,
            spot: state.spot,
            decision: state.decision.clone(),
            since: state.since,
            serial: state.serial,
            rungs: Arc::clone(&state.rungs),
            former: state.former.clone(),
            explanation: teller.explanation(state, &self.watches),
        }
    }

    fn turn<'c>(
        &'c self,
        moved: Moved,
        serial: Serial,
        generation: Generation,
        touched_at: Now,
        served: Now,
        witness: &mut Witness<'c>,
    ) -> Turn {
        let state = &self.names[moved.name.0 as usize];
        let (reason, ttl) =
            state.decision.as_ref().map_or((crate::decision::Reason::Unproven, 0), |d| (d.reason.clone(), d.ttl));
        Turn {
            name: state.steer.name.clone(),
            zone: self.zones[state.steer.zone.0 as usize].apex.clone(),
            from: moved.from,
            to: moved.to,
            reason,
            evidence: witness.evidence(state, &self.watches),
            generation,
            serial,
            ttl,
            stages: Stages {
                confirm_ms: self.confirmed_in(state, touched_at),
                publish_us: micros(served.moment.since(touched_at.moment)),
            },
        }
    }

    /// From the start of the first failing probe to the verdict, of the slowest watch that turned down just now.
    fn confirmed_in(&self, state: &NameState, touched_at: Now) -> Option<u64> {
        let watches = state.rungs.iter().flat_map(|rung| &*rung.origins).flat_map(|origin| &*origin.watches);
        let just_now = |id: &WatchId| {
            let (at, span) = self.watches[id.0 as usize].confirmed?;
            (at >= touched_at.moment).then(|| millis(span))
        };
        watches.filter_map(just_now).max()
    }

    /// Tells those who asked, now that what they asked for is published.
    fn reply(&mut self, fx: &mut Effects) {
        let generation = self.generations.last();
        for (ticket, sequence, said) in self.waiting.drain(..) {
            fx.replies.push((ticket, Reply::Done { generation, sequence, said }));
        }
    }
}

/// One name before it was decided anew.
struct Before {
    rungs: Arc<[RungStatus]>,
    standing: Arc<Standing>,
    wake: Option<Moment>,
}

impl Before {
    fn of(state: &NameState) -> Self {
        Self { rungs: Arc::clone(&state.rungs), standing: Arc::clone(&state.standing), wake: state.wake }
    }
}

/// What one round of decisions brings about.
struct Round {
    config: Arc<Config>,
    now: Now,
    moved: Vec<Moved>,
    /// By zone, the names whose content is another.
    changed: BTreeMap<usize, Vec<SteerId>>,
    wakes: BTreeSet<(Moment, SteerId)>,
    shown: Vec<SteerId>,
    unnumbered: Vec<SteerId>,
    paced: bool,
    /// Where some are asked less often: which rung each name stood on, and stands on now.
    rungs: Vec<(SteerId, Option<usize>, Option<usize>)>,
}

impl Round {
    fn new(controller: &mut Controller, now: Now) -> Self {
        let (config, wakes) = (Arc::clone(&controller.config), std::mem::take(&mut controller.wakes));
        let (moved, shown, unnumbered, rungs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let paced = controller.paced;
        Self { config, now, moved, changed: BTreeMap::new(), wakes, shown, unnumbered, paced, rungs }
    }

    /// The next decision of a name takes the place of the one before.
    fn settle(
        &mut self,
        id: SteerId,
        state: &mut NameState,
        before: Before,
        next: Option<Arc<Decision>>,
        memo: &mut Memo,
    ) {
        if state.wake != before.wake {
            if let Some(wake) = before.wake {
                self.wakes.remove(&(wake, id));
            }
            self.wakes.extend(state.wake.map(|wake| (wake, id)));
        }
        if next != state.decision || !Arc::ptr_eq(&before.rungs, &state.rungs) {
            self.shown.push(id);
        }
        if content(next.as_deref()) != content(state.decision.as_deref()) || state.spot.is_none() {
            self.changed.entry(state.steer.zone.0 as usize).or_default().push(id);
        }
        let served = next.as_ref().map(|next| memo.served(next, &self.config));
        if let (Some(next), Some(to)) = (&next, &served)
            && is_turn(&self.config, state, next)
        {
            let from = state.served.take();
            let ttl = state.decision.as_ref().map_or(0, |before| before.ttl);
            self.moved.push(Moved { name: id, from: from.clone(), to: Arc::clone(to) });
            let gone = self.now.wall + Duration::from_secs(u64::from(ttl));
            state.former = from.map(|served| Former { served, until: self.now.wall, gone });
            state.since = self.now;
        }
        state.served = served;
        if self.paced {
            let rung = |decision: &Option<Arc<Decision>>| decision.as_ref().map(|decision| decision.rung);
            self.rungs.push((id, rung(&state.decision), rung(&next)));
        }
        if next.is_some() && state.serial == Serial::default() {
            self.unnumbered.push(id);
        }
        state.decision = next;
    }
}

/// What of a decision stands in the zone.
fn content(decision: Option<&Decision>) -> Option<(&crate::decision::Data, u32)> {
    decision.map(|decision| (&decision.data, decision.ttl))
}

/// A turn is a change of rung, of origins, or of data because of health. An address that its host name brought along is
/// none.
fn is_turn(config: &Config, state: &NameState, next: &Decision) -> bool {
    let Some(before) = &state.decision else { return true };
    if before.place != next.place || before.origins != next.origins {
        return true;
    }
    let flattened = |id: &OriginId| config.origins[id.0 as usize].addresses().next().is_none();
    let follows_hostname = state.steer.form == Form::Address && next.origins.iter().any(flattened);
    before.data != next.data && !follows_hostname
}

/// The table with what is decided for these names in it. They stand apart from now on, and so does the apex, whose
/// serial changes whenever they do.
pub(super) fn planted<'n>(table: &Table, names: impl Iterator<Item = &'n NameState>) -> Table {
    let names = names.flat_map(|state| steered::changes(&state.steer.name, state.decision.as_deref()));
    let changes: Vec<_> = names.chain([Change::Apart { owner: table.apex().clone() }]).collect();
    table.with(&changes)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
