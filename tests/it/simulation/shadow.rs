//! The shadow model: what was really true, and the promises every snapshot and every turn must keep.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use failoverd::config::{Config, Place};
use failoverd::control::journal::Turn;
use failoverd::control::{Reply, RestoredDecision};
use failoverd::decision::order::What;
use failoverd::decision::{Data, Reason};
use failoverd::dns::Serial;
use failoverd::dns::{Name, Type};
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
            Health::Alive => alive.or(Some(now.moment)),
            _ => None,
        };
    }

    pub fn network(&mut self, works: bool, now: Now) {
        self.network_since = works.then_some(now.moment);
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
        // The oldest failure that may count towards a fall of 4 at the slowest interval, with time-outs.
        let oldest = Duration::from_secs(60);
        let alive = self.alive_since[&address].is_some_and(|since| now.moment.since(since) > oldest);
        let seeing = self.network_since.is_some_and(|since| now.moment.since(since) > oldest);
        assert!(!(alive && seeing), "{target} is believed dead and was alive all the time");
    }

    /// A turn has evidence.
    pub fn turned(&mut self, turn: &Turn, _now: Now) {
        assert!(!turn.evidence.is_empty());
        assert!(turn.from.as_ref().is_none_or(|from| *from != turn.to), "a turn that turns nothing: {turn:?}");
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
                    assert_eq!(node.rrset(Type::A).map_or(0, |set| set.rdata.len()), addresses.len());
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
                let jumped = self.jumped_at.is_some_and(|at| now.moment.since(at) < Duration::from_secs(2));
                if let Some(until) = order.until.filter(|_| !jumped) {
                    assert!(now.wall.since(until) < Duration::from_secs(3), "{owner} is held beyond {until}");
                }
            }
            let classes: Vec<_> = name.rungs.iter().map(|rung| rung.class).collect();
            let served = classes[decision.rung];
            let frozen = next.status.doubt.is_some();
            // Failing over never waits: while another rung is up, a dead one is not served.
            if held.is_none() && !frozen && served == Class::Down {
                let better =
                    classes.iter().enumerate().find(|&(rung, class)| rung != decision.rung && *class == Class::Up);
                assert!(
                    better.is_none(),
                    "{owner} serves a dead rung {:?} of {classes:?}: {:?}",
                    decision.rung,
                    decision.reason
                );
            }
            // No flip without evidence.
            let former = before.and_then(|before| before.status.steers.iter().find(|old| old.steer.name == *owner));
            if let Some(old) = former.and_then(|old| old.decision.as_ref())
                && old.place != decision.place
            {
                let left = name.steer.rungs.iter().position(|rung| rung.place == old.place);
                let left_dead = left.is_some_and(|rung| classes[rung] == Class::Down);
                let went_home = decision.rung < left.unwrap_or(0) && served == Class::Up;
                let was_held = matches!(old.reason, Reason::Held { .. });
                assert!(
                    left_dead || went_home || held.is_some() || was_held,
                    "{owner} left a {:?} {} for a {served:?} {}",
                    left.map(|rung| classes[rung]),
                    old.place,
                    decision.place
                );
                assert!(self.reloaded_at != Some(now.moment) || left_dead || held.is_some() || was_held || went_home);
            }
            self.answered.insert(owner.clone(), decision.place);
        }
        if let Some(committed) = self.restored.take() {
            self.start_is_the_last_committed(next, &committed, config);
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
        _config: &Config,
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
            assert!(ordered || ended || decision.place == was.place, "{} moved by a restart", name.steer.name);
        }
    }
}
