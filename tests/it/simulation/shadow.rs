//! The shadow model: what was really true, and the promises every snapshot and every turn must keep.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use failoverd::config::{Config, Failback, Place};
use failoverd::control::journal::{Entry, Turn, What as Told};
use failoverd::control::{Reply, RestoredDecision};
use failoverd::decision::order::What;
use failoverd::decision::{Data, Decision, Reason};
use failoverd::dns::Serial;
use failoverd::dns::{Name, Type};
use failoverd::ready::Ready;
use failoverd::snapshot::status::{OriginStatus, RungStatus, SteerStatus};
use failoverd::snapshot::{Generation, Snapshot};
use failoverd::time::{Moment, Now};
use failoverd::verdict::Class;

use super::world::Health;

#[derive(Default)]
pub struct Shadow {
    generation: Generation,
    /// Last serial of the zone, and the content of every serial ever served.
    serial: Option<Serial>,
    contents: BTreeMap<u32, u64>,
    /// Since when each address is alive without a break, as the prober could see it; `None` while it is not.
    alive_since: BTreeMap<IpAddr, Option<Moment>>,
    network_since: Option<Moment>,
    /// Names that have given a reply since the last start.
    answered: BTreeMap<Name, Place>,
    reloaded_at: Option<Moment>,
    /// The serial of the zone file read last: raising it is a change of its own.
    file_serial: u32,
    jumped_at: Option<Moment>,
    /// Names whose failback a person approved, ever.
    approved: BTreeSet<Name>,
    /// When automation moved a name, since the last start.
    moves: Vec<Moment>,
    /// What the last start found committed; checked against the first snapshot.
    restored: Option<BTreeMap<Name, RestoredDecision>>,
}

impl Shadow {
    pub fn began(&mut self, now: Now, health: &BTreeMap<IpAddr, Health>) {
        self.network_since = Some(now.moment);
        self.alive_since = health.keys().map(|&address| (address, Some(now.moment))).collect();
    }

    pub fn health(&mut self, address: IpAddr, health: Health, now: Now) {
        let alive = self.alive_since.get_mut(&address).expect("known");
        *alive = match health {
            Health::Alive | Health::Astray => alive.or(Some(now.moment)),
            _ => None,
        };
    }

    pub fn network(&mut self, works: bool, now: Now) {
        self.network_since = works.then_some(now.moment);
    }

    pub fn approved(&mut self, name: &Name) {
        self.approved.insert(name.clone());
    }

    pub fn clock_jumped(&mut self, now: Now) {
        self.jumped_at = Some(now.moment);
    }

    pub fn replied(&mut self, reply: &Reply) {
        if let Reply::Done { generation, .. } = reply {
            assert!(*generation <= self.generation, "a reply speaks of a generation nobody has seen");
        }
    }

    pub fn reloaded(&mut self, file_serial: u32, now: Now) {
        self.file_serial = file_serial;
        self.reloaded_at = Some(now.moment);
    }

    /// `reserved`: the run that ended had its numbers reserved durably. One that had not (its disk was broken) could
    /// not keep them from being served again.
    pub fn restarted(&mut self, committed: &BTreeMap<Name, RestoredDecision>, reserved: bool) {
        self.answered.clear();
        self.moves.clear();
        if !reserved {
            (self.generation, self.serial) = (Generation::default(), None);
            self.contents.clear();
        }
        self.restored = Some(committed.clone());
    }

    /// No watch is believed dead whose every target was alive and reachable for longer than any probe could be old.
    pub fn believed_dead(&mut self, target: &str, now: Now, config: &Config) {
        let address: IpAddr = match target.rsplit_once(':').map(|(host, _)| host.parse()) {
            Some(Ok(address)) => address,
            _ => {
                let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
                let origin =
                    config.origins.iter().find(|o| o.cname.as_ref().is_some_and(|name| name.to_host() == host));
                origin.and_then(|origin| origin.addresses().next()).expect("a known host name")
            }
        };
        // The oldest failure that may count towards a fall of 4 at the slowest interval, with time-outs; of a window of
        // 6, while our own network failed for half a minute.
        let windowed = config.checks.iter().any(|check| check.window.is_some());
        let oldest = Duration::from_secs(if windowed { 240 } else { 100 });
        let alive = self.alive_since[&address].is_some_and(|since| now.moment.since(since) > oldest);
        let seeing = self.network_since.is_some_and(|since| now.moment.since(since) > oldest);
        assert!(!(alive && seeing), "{target} is believed dead and was alive all the time");
    }

    /// A turn has evidence.
    pub fn turned(&mut self, turn: &Turn, _now: Now) {
        assert!(!turn.evidence.is_empty());
        assert!(turn.from.as_ref().is_none_or(|from| *from != turn.to), "a turn that turns nothing: {turn:?}");
    }

    /// Automation moves no more names in one window than the velocity limit lets it. Where a person had a hand in what
    /// happened (`entries`), moves do not count.
    pub fn moved(&mut self, entries: &[Entry], next: &Snapshot, before: Option<&Snapshot>, config: &Config, now: Now) {
        let Some(velocity) = config.velocity else { return };
        let person = |entry: &Entry| {
            matches!(
                entry.what,
                Told::Ordered(_)
                    | Told::OrderEnded { .. }
                    | Told::Reloaded { .. }
                    | Told::FailbackApproved { .. }
                    | Told::MovesApproved(_)
            )
        };
        if entries.iter().any(person) {
            return;
        }
        let is_held = |reason: &Reason| matches!(reason, Reason::Held { .. });
        for entry in entries {
            let Told::Turned(turn) = &entry.what else { continue };
            let left = turn.from.as_ref().map(|from| from.place).filter(|&place| place != turn.to.place);
            let of =
                |snapshot: &Snapshot| snapshot.status.steers.iter().find(|one| one.steer.name == turn.name).cloned();
            let was_held =
                before.and_then(of).is_some_and(|old| old.decision.as_ref().is_some_and(|d| is_held(&d.reason)));
            let is_drained = of(next).is_some_and(|one| {
                let rung = one.rungs.iter().find(|rung| Some(rung.place) == left);
                rung.is_some_and(|rung| rung.origins.iter().all(|origin| origin.drained))
            });
            if left.is_some() && !was_held && !is_held(&turn.reason) && !is_drained {
                self.moves.push(now.moment);
            }
        }
        let recent = self.moves.iter().filter(|&&at| at + velocity.per > now.moment).count();
        let limit = velocity.names_of(config.steers.len());
        // A reload may have lowered the limit below what has moved before.
        let is_new = self.moves.last() == Some(&now.moment);
        assert!(!is_new || recent <= limit, "{recent} moves within {:?}, {limit} are allowed", velocity.per);
    }

    pub fn published(&mut self, next: &Arc<Snapshot>, before: Option<&Snapshot>, config: &Config, now: Now) {
        self.never_backwards(next, before);
        for name in next.status.steers.iter() {
            let Some(decision) = &name.decision else {
                assert!(!self.answered.contains_key(&name.steer.name), "{} fell silent", name.steer.name);
                continue;
            };
            let owner = &name.steer.name;
            let node = next.zones.find(owner.as_wire()).and_then(|(zone, _)| zone.table.get(owner)).expect("exists");
            assert!(!node.is_silent());
            match &decision.data {
                Data::Cname(target) => {
                    assert_eq!(node.rrset(Type::CNAME).map(|set| set.rdata), Some(vec![target.as_wire().to_vec()]));
                    assert!(node.rrset(Type::A).is_none());
                }
                Data::Addresses(addresses) => {
                    assert!(!addresses.is_empty(), "{owner} is empty");
                    let of = |rtype| node.rrset(rtype).map_or(0, |set| set.rdata.len());
                    assert_eq!(of(Type::A) + of(Type::AAAA), addresses.len());
                    assert!(node.rrset(Type::CNAME).is_none());
                }
            }
            assert!(!decision.origins.is_empty());
            let held = next.status.orders.iter().find_map(|order| match &order.what {
                What::Hold { name, place } if name == owner => Some((*place, order)),
                _ => None,
            });
            // An order always wins; and it always ends (the sweep comes once a second).
            if let Some((place, order)) = held {
                assert_eq!(decision.place, place, "{owner} is held and served elsewhere");
                // Or as soon as the process is back, three seconds after a crash at the most.
                let jumped = self.jumped_at.is_some_and(|at| now.moment.since(at) < Duration::from_secs(5));
                if let Some(until) = order.until.filter(|_| !jumped) {
                    assert!(now.wall.since(until) < Duration::from_secs(3), "{owner} is held beyond {until}");
                }
            }
            let classes: Vec<_> = name.rungs.iter().map(|rung| rung.class).collect();
            let served = classes[decision.rung];
            let frozen = next.status.doubt.is_some();
            // Failing over never waits: while another rung is up, a dead one is not served.
            let waits = matches!(decision.reason, Reason::Waits { .. });
            assert!(!waits || config.velocity.is_some() && held.is_none() && !frozen, "{owner} waits for nothing");
            if held.is_none() && !frozen && !waits && served == Class::Down {
                let better =
                    classes.iter().enumerate().find(|&(rung, class)| rung != decision.rung && *class == Class::Up);
                assert!(
                    better.is_none(),
                    "{owner} serves a dead rung {:?} of {classes:?}: {:?}",
                    decision.rung,
                    decision.reason
                );
            }
            self.short_rungs(name, decision, held.is_some(), frozen, config);
            // A drained origin is served only where its whole rung is drained.
            let rung = &name.rungs[decision.rung];
            let is_served = |seen: &&OriginStatus| decision.origins.contains(&seen.origin);
            let drained = rung.origins.iter().filter(is_served).any(|seen| seen.drained);
            assert!(!drained || rung.class == Class::Down, "{owner} serves a drained origin");
            let former = before.and_then(|before| before.status.steers.iter().find(|old| old.steer.name == *owner));
            if let Some(former) = former
                && let Some(old) = former.decision.as_ref()
                && held.is_none()
                && !matches!(old.reason, Reason::Held { .. })
            {
                self.moved_with_evidence(name, decision, &served_by(former, old), old, now);
            }
            self.answered.insert(owner.clone(), decision.place);
        }
        if let Some(committed) = self.restored.take() {
            self.start_is_the_last_committed(next, &committed, config);
        }
    }

    /// A rung with too few origins is served only where nothing better is; a panic serves all of it.
    fn short_rungs(&self, name: &SteerStatus, decision: &Decision, held: bool, frozen: bool, config: &Config) {
        let owner = &name.steer.name;
        let rung = &name.rungs[decision.rung];
        assert!(name.steer.leave_degraded || decision.reason != Reason::Degraded, "{owner} left a degraded rung");
        let undrained = rung.origins.iter().filter(|seen| !seen.drained).count();
        if matches!(decision.reason, Reason::TooFew | Reason::Panic) && !frozen {
            assert!(!held);
            assert!(name.rungs.iter().all(|rung| rung.class == Class::Down), "{owner} has something better");
            let alive = rung.origins.iter().filter(|seen| !seen.drained && seen.class != Class::Down).count();
            assert!(alive > 0 && alive < rung.quorum.needs(undrained), "{owner} has {alive} of {undrained}");
            let calm = alive >= rung.quorum.calm_from(undrained);
            assert_eq!(decision.reason == Reason::TooFew, calm, "{owner}: {alive} of {undrained}");
            // What was served before and is not known since a restart or reload is served on; what would fail its visitors
            // is left out where others work.
            let usable = rung.origins.iter().filter(|seen| !seen.drained && seen.class.is_usable());
            let ready = usable.filter(|seen| seen.ready != Ready::WouldFail).count();
            let served = if calm { ready..=alive } else { undrained..=undrained };
            assert!(served.contains(&decision.origins.len()), "{owner} serves {:?}", decision.origins);
            if let Data::Addresses(answer) = &decision.data {
                let mut origins = decision.origins.iter().map(|id| &config.origins[id.0 as usize]);
                assert!(origins.all(|origin| origin.addresses().any(|address| answer.contains(&address))), "{owner}");
            }
        }
    }

    /// No flip without evidence: not of the rung, and not of the origins within it.
    fn moved_with_evidence(
        &self,
        name: &SteerStatus,
        decision: &Decision,
        before: &BTreeSet<String>,
        old: &Decision,
        now: Now,
    ) {
        let owner = &name.steer.name;
        let after = served_by(name, decision);
        let class_of = |rung: &RungStatus, origin: &str| {
            let seen = rung.origins.iter().find(|seen| *seen.name == *origin)?;
            Some(if seen.drained { Class::Down } else { seen.class })
        };
        let rung = &name.rungs[decision.rung];
        // Rungs are known by their origins: a reload may have given them other places.
        let left = name.rungs.iter().position(|rung| before.iter().any(|one| class_of(rung, one).is_some()));
        if after.is_disjoint(before) && left != Some(decision.rung) {
            let dead_or_gone = left.is_none_or(|left| name.rungs[left].class == Class::Down);
            let went_home = left.is_some_and(|left| decision.rung < left) && rung.class == Class::Up;
            let left_unready = left.is_some_and(|left| is_unready(&name.rungs[left]));
            // Nothing moves to a rung that would fail while another would not.
            if is_unready(rung) {
                let ready = name.rungs.iter().position(|rung| rung.class.is_usable() && !is_unready(rung));
                assert!(ready.is_none(), "{owner} moved to {after:?}, which would fail, and not to rung {ready:?}");
            }
            let was_unwell = left.is_some_and(|left| name.rungs[left].degraded) && name.steer.leave_degraded;
            let is_well = rung.class == Class::Up && !rung.degraded;
            if was_unwell && is_well {
                return;
            }
            // On the way home from one that would fail, a degraded one is passed over for the first that is well.
            let is_up = |rung: &RungStatus| rung.class == Class::Up;
            if left_unready && is_well && name.rungs[..left.unwrap_or(0)].iter().any(is_up) {
                return;
            }
            assert!(
                dead_or_gone || went_home || left_unready && name.steer.strict,
                "{owner} left {before:?} for {after:?} ({:?}){}",
                rung.class,
                if self.reloaded_at == Some(now.moment) { " by a reload" } else { "" }
            );
            // The emergency is left for anything better, without being asked.
            if went_home && !dead_or_gone && !left_unready && old.place != Place::Emergency {
                assert!(name.steer.failback != Failback::Manual || self.approved.contains(owner), "{owner} unasked");
            }
            return;
        }
        let usable = rung.origins.iter().any(|seen| !seen.drained && seen.class.is_usable());
        if matches!(decision.reason, Reason::Panic | Reason::Waits { .. }) {
            return;
        }
        for gone in before.difference(&after) {
            let class = class_of(rung, gone);
            let guessed = old.reason == Reason::Unproven;
            let would_fail = rung.origins.iter().any(|seen| *seen.name == **gone && seen.ready == Ready::WouldFail);
            if name.steer.strict && would_fail {
                continue;
            }
            assert!(guessed || class.is_none_or(|class| class == Class::Down), "{owner} dropped {gone}: {class:?}");
        }
        for joined in after.difference(before) {
            let class = class_of(rung, joined);
            assert!(!usable || class.is_some_and(Class::is_usable), "{owner} took {joined} in: {class:?}");
        }
    }

    fn never_backwards(&mut self, next: &Snapshot, before: Option<&Snapshot>) {
        assert!(next.generation > self.generation, "generation {:?} after {:?}", next.generation, self.generation);
        self.generation = next.generation;
        for zone in next.zones.iter() {
            let digest = zone.table.digest();
            match self.contents.insert(zone.serial.0, digest) {
                Some(earlier) => assert_eq!(earlier, digest, "serial {} served for two contents", zone.serial),
                None => {
                    if let Some(last) = self.serial {
                        assert!(zone.serial > last, "serial {} after {last}", zone.serial);
                    }
                }
            }
            self.serial = Some(zone.serial);
            let old = before.and_then(|before| before.zones.iter().find(|old| old.apex == zone.apex));
            if let Some(old) = old.filter(|old| old.serial != zone.serial) {
                let raised = zone.serial.0 == self.file_serial;
                assert!(raised || old.table.digest() != digest, "a new serial for the same content");
            }
        }
    }

    /// A restart serves the last committed decision, unless an order says otherwise.
    fn start_is_the_last_committed(
        &self,
        first: &Snapshot,
        committed: &BTreeMap<Name, RestoredDecision>,
        config: &Config,
    ) {
        for name in first.status.steers.iter() {
            let Some(was) = committed.get(&name.steer.name) else {
                continue;
            };
            let Some(decision) = &name.decision else { continue };
            let ordered = first.status.orders.iter().any(|order| match &order.what {
                What::Hold { name: held, .. } => *held == name.steer.name,
                What::Drain { .. } => true,
            });
            let ended = matches!(decision.reason, Reason::Held { .. });
            assert!(ordered || decision.reason != Reason::Unproven, "a restored decision has its full TTL");
            let all = name.steer.rungs.iter().flat_map(|rung| &rung.origins);
            let known: BTreeSet<_> = all.map(|id| config.origins[id.0 as usize].name.clone()).collect();
            let was: BTreeSet<_> = was.origins.iter().filter(|origin| known.contains(*origin)).cloned().collect();
            let served = served_by(name, decision);
            assert!(ordered || ended || was.is_empty() || served == was, "{} moved by a restart", name.steer.name);
        }
    }
}

/// Without those that would fail their visitors too few of it were usable; or alive, where too few are usable anyway.
fn is_unready(rung: &RungStatus) -> bool {
    let undrained = || rung.origins.iter().filter(|seen| !seen.drained);
    let needed = rung.quorum.needs(undrained().count()).max(1);
    let is_enough = |wanted: &dyn Fn(&OriginStatus) -> bool| undrained().filter(|seen| wanted(seen)).count() >= needed;
    let usable = |seen: &OriginStatus| seen.class.is_usable();
    let alive = |seen: &OriginStatus| seen.class != Class::Down;
    let ready = |seen: &OriginStatus| seen.ready != Ready::WouldFail;
    match is_enough(&usable) {
        true => !is_enough(&|seen| usable(seen) && ready(seen)),
        false => is_enough(&alive) && !is_enough(&|seen| alive(seen) && ready(seen)),
    }
}

/// The names of the origins a decision serves.
fn served_by(name: &SteerStatus, decision: &Decision) -> BTreeSet<String> {
    let origins = name.rungs[decision.rung].origins.iter();
    origins.filter(|seen| decision.origins.contains(&seen.origin)).map(|seen| seen.name.to_string()).collect()
}
