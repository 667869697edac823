//! Decisions into zone versions, a snapshot and journal entries: what happens once per batch of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Form, OriginId, SteerId};
use crate::control::explanation::explanation;
use crate::control::journal::{self, Stages, Turn};
use crate::control::names::NameState;
use crate::control::{Controller, Effects, Reply, steer_id, watch_id};
use crate::decision::{Decision, Served};
use crate::dns::Serial;
use crate::probe::WatchId;
use crate::snapshot::status::{Former, Status, SteerStatus};
use crate::snapshot::{Generation, Parts, Snapshot, ZoneVersion, guard, steered};
use crate::time::Now;
use crate::verdict::Class;
use crate::zone::table::Change;

/// A change of decision that waits for its serial.
#[derive(Debug)]
pub(super) struct Moved {
    name: SteerId,
    from: Option<Served>,
    to: Served,
}

impl Controller {
    /// Decides what was touched, makes the next versions and the next snapshot, and records the turns. `None` if
    /// nothing that is served or shown has changed, or if the guard refused.
    pub fn publish(&mut self, now: Now, fx: &mut Effects) -> Option<Arc<Snapshot>> {
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
        for name in std::mem::take(&mut self.unnumbered) {
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
            return None;
        }
        self.refused = None;
        let snapshot = Arc::new(snapshot);
        self.published = Some(Arc::clone(&snapshot));
        for (turn, serial) in moved.into_iter().zip(serials) {
            let turned = self.turn(turn, serial, snapshot.generation, touched_at, now);
            self.record(journal::What::Turned(Box::new(turned)), now, fx);
        }
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

    /// Decides every touched name anew and puts what changed into its zone's table.
    fn decide(&mut self, now: Now) -> Vec<Moved> {
        let mut moved = Vec::new();
        let mut changes: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
        for id in std::mem::take(&mut self.touched) {
            let mut state = self.names[id.0 as usize].clone();
            let rungs_before = state.rungs.clone();
            let next = state.decide(&self.ground(now)).or_else(|| state.decision.clone());
            if next != state.decision || rungs_before != state.rungs {
                self.shown_names.insert(id);
            }
            if content(next.as_ref()) != content(state.decision.as_ref()) || !state.planted {
                state.planted = true;
                let zone = changes.entry(state.steer.zone.0 as usize).or_default();
                zone.extend(steered::changes(&state.steer.name, next.as_ref()));
            }
            if let Some(next) = &next
                && self.is_turn(&state, next)
            {
                let from = state.served.clone();
                let ttl = state.decision.as_ref().map_or(0, |before| before.ttl);
                moved.push(Moved { name: id, from: from.clone(), to: self.served(next) });
                let gone = now.wall + std::time::Duration::from_secs(u64::from(ttl));
                state.former = from.map(|served| Former { served, until: now.wall, gone });
                state.since = now;
            }
            state.served = next.as_ref().map(|next| self.served(next));
            if next.is_some() && state.serial == Serial::default() {
                self.unnumbered.insert(id);
            }
            state.decision = next;
            self.names[id.0 as usize] = state;
        }
        for (zone, changes) in changes {
            let zone = &mut self.zones[zone];
            let table = zone.table.with(&changes);
            if zone.table.same_content(&table) {
                zone.silenced = true;
            } else {
                zone.changed = true;
            }
            zone.table = table;
        }
        moved
    }

    /// A turn is a change of rung, of origins, or of data because of health. An address that its host name brought
    /// along is none.
    fn is_turn(&self, state: &NameState, next: &Decision) -> bool {
        let Some(before) = &state.decision else { return true };
        if before.place != next.place || before.origins != next.origins {
            return true;
        }
        let flattened = |id: &OriginId| self.config.origins[id.0 as usize].addresses().next().is_none();
        let follows_hostname = state.steer.form == Form::Address && next.origins.iter().any(flattened);
        before.data != next.data && !follows_hostname
    }

    fn served(&self, decision: &Decision) -> Served {
        let origins = decision.origins.iter().map(|id| self.config.origins[id.0 as usize].name.clone());
        Served { place: decision.place, origins: origins.collect(), data: decision.data.clone() }
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
            next.status.steers =
                (0..self.names.len()).map(|index| Arc::new(self.steer_status(index))).collect::<Parts<_>>();
            let names = self.names.iter().enumerate().map(|(index, state)| (&state.steer.name, steer_id(index)));
            next.status.steered = Status::index(names);
        } else {
            for version in replaced {
                next.zones = next.zones.with(Arc::clone(version));
            }
            for id in std::mem::take(&mut self.shown) {
                next.status.watches.set(id.0 as usize, self.watches[id.0 as usize].status(id));
            }
            for id in std::mem::take(&mut self.shown_names) {
                next.status.steers.set(id.0 as usize, self.steer_status(id.0 as usize));
            }
        }
        self.restated = false;
        next.status.orders = self.orders.all();
        next.status.doubt = self.doubt_shown();
        next.generation = self.generations.take();
        next
    }

    fn steer_status(&self, index: usize) -> SteerStatus {
        let state = &self.names[index];
        SteerStatus {
            id: steer_id(index),
            steer: Arc::clone(&state.steer),
            zone: state.steer.zone,
            decision: state.decision.clone(),
            since: state.since,
            serial: state.serial,
            rungs: state.rungs.clone(),
            former: state.former.clone(),
            explanation: explanation(state, &self.watches),
        }
    }

    fn turn(&self, moved: Moved, serial: Serial, generation: Generation, touched_at: Now, now: Now) -> Turn {
        let state = &self.names[moved.name.0 as usize];
        let (reason, ttl) =
            state.decision.as_ref().map_or((crate::decision::Reason::Unproven, 0), |d| (d.reason.clone(), d.ttl));
        Turn {
            name: state.steer.name.clone(),
            zone: self.zones[state.steer.zone.0 as usize].apex.clone(),
            from: moved.from,
            to: moved.to,
            reason,
            evidence: self.evidence(state),
            generation,
            serial,
            ttl,
            stages: Stages {
                confirm_ms: self.confirmed_in(state, touched_at),
                decide_ms: millis(now.moment.since(touched_at.moment)),
            },
        }
    }

    /// What the probes saw, a line per origin of the ladder from the top down to the rung served.
    fn evidence(&self, state: &NameState) -> Vec<String> {
        let last = state.decision.as_ref().map_or(0, |decision| decision.rung);
        let mut lines = Vec::new();
        for (rung, seen) in state.steer.rungs.iter().zip(&state.rungs).take(last.max(1) + 1) {
            for origin in &seen.origins {
                let drained = if origin.drained { ", drained by order" } else { "" };
                lines.push(format!(
                    "{} {} {}{drained}{}",
                    rung.place,
                    origin.name,
                    class_word(origin.class),
                    self.causes(&origin.watches)
                ));
            }
        }
        lines
    }

    /// `: connection refused ×3 (192.0.2.1:443)`, of the first failing watch; empty if none fails.
    fn causes(&self, watches: &[WatchId]) -> String {
        let failing =
            watches.iter().map(|id| &self.watches[id.0 as usize]).find(|state| state.verdict.cause().is_some());
        failing.map_or_else(String::new, |state| {
            let cause = state.verdict.cause().map(ToString::to_string).unwrap_or_default();
            format!(": {cause} ({}:{})", state.watch.target, state.watch.port)
        })
    }

    /// From the start of the first failing probe to the verdict, of the slowest watch that turned down just now.
    fn confirmed_in(&self, state: &NameState, touched_at: Now) -> Option<u64> {
        let watches = state.rungs.iter().flat_map(|rung| &rung.origins).flat_map(|origin| &origin.watches);
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

/// What of a decision stands in the zone.
fn content(decision: Option<&Decision>) -> Option<(&crate::decision::Data, u32)> {
    decision.map(|decision| (&decision.data, decision.ttl))
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The lexicon's word for a class.
pub(crate) fn class_word(class: Class) -> &'static str {
    match class {
        Class::Up => "up",
        Class::Suspect => "suspect",
        Class::Untried => "untried",
        Class::Down => "down",
    }
}
