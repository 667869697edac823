//! One steered name: what it stands on, and the next decision for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Form, OriginId, Place, Rung, Steer};
use crate::control::flattened::Flattened;
use crate::control::orders::OrderBook;
use crate::control::watches::WatchState;
use crate::decision::{self, Choice, Data, Decision, OriginView, Reason, RungView, Served, Standing, Why};
use crate::dns::Serial;
use crate::probe::watch::Seat;
use crate::probe::{Target, WatchId};
use crate::snapshot::status::{Former, OriginStatus, RungStatus};
use crate::time::{Moment, Now};
use crate::verdict::Class;
use crate::verdict::origin::{origin_class, target_class};

/// How long a name without a past gives no reply while its first probes are out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// TTL in seconds at most of an answer nothing is known about yet.
const UNPROVEN_TTL: u32 = 5;

/// One steered name between two events.
#[derive(Clone, Debug)]
pub(crate) struct NameState {
    pub(crate) steer: Arc<Steer>,
    /// By rung and origin: the watches that speak for it.
    pub(crate) seats: Vec<Vec<Seat>>,
    pub(crate) standing: Standing,
    pub(crate) decision: Option<Decision>,
    /// The decision told by names, which outlive a configuration.
    pub(crate) served: Option<Served>,
    /// What is decided stands in the zone's table.
    pub(crate) planted: bool,
    /// Since when its rung is served.
    pub(crate) since: Now,
    /// Serial of the version the decision was first served in.
    pub(crate) serial: Serial,
    pub(crate) former: Option<Former>,
    pub(crate) rungs: Vec<RungStatus>,
    /// Until when a name without a past stays silent.
    pub(crate) patience: Moment,
    /// When time alone may change the decision.
    pub(crate) wake: Option<Moment>,
}

/// What a decision is made from, besides the name itself.
pub(crate) struct Ground<'c> {
    pub(crate) config: &'c Config,
    pub(crate) watches: &'c [WatchState],
    pub(crate) orders: &'c OrderBook,
    pub(crate) flattened: &'c Flattened,
    /// Our own sight is in doubt.
    pub(crate) frozen: bool,
    pub(crate) now: Now,
}

impl NameState {
    /// A name nobody has decided about yet.
    pub(crate) fn new(steer: Arc<Steer>, seats: Vec<Vec<Seat>>, now: Now) -> Self {
        Self {
            steer,
            seats,
            standing: Standing::default(),
            decision: None,
            served: None,
            planted: false,
            since: now,
            serial: Serial::default(),
            former: None,
            rungs: Vec::new(),
            patience: now.moment + PATIENCE,
            wake: None,
        }
    }

    /// Decides anew. `None` while the name has no past, patience is not over and the ladder is not clear yet; or when
    /// nothing that could be served is known.
    pub(crate) fn decide(&mut self, ground: &Ground<'_>) -> Option<Decision> {
        self.rungs = self.look(ground);
        let hold = ground.orders.hold(&self.steer.name);
        if self.decision.is_none() && hold.is_none() && !self.is_clear(ground) && ground.now.moment < self.patience {
            self.wake = Some(self.patience);
            return None;
        }
        let views = self.ladder();
        let place = hold.map(|(place, _)| place);
        let choice =
            decision::decide(&views, self.steer.failback, &mut self.standing, place, ground.frozen, ground.now);
        self.wake = choice.wake;
        let chosen = self.ids(&choice);
        if choice.why == Why::Doubt
            && let Some(kept) = self.decision.as_ref().filter(|kept| kept.rung == choice.rung && kept.origins == chosen)
        {
            return Some(Decision { reason: Reason::Doubt, ..kept.clone() });
        }
        let kept = || self.decision.as_ref().filter(|kept| kept.rung == choice.rung).map(|kept| kept.data.clone());
        let (choice, data) = match self.data(&choice, ground).or_else(kept) {
            Some(data) => (choice, data),
            None => self.whatever_has_data(ground)?,
        };
        let reason = choice.why.reason(hold.map(|(_, order)| order));
        let cap = if reason == Reason::Unproven { UNPROVEN_TTL } else { u32::MAX };
        let rung = &self.steer.rungs[choice.rung];
        Some(Decision {
            rung: choice.rung,
            place: rung.place,
            origins: self.ids(&choice),
            data,
            ttl: self.steer.ttl.min(cap),
            reason,
        })
    }

    fn ids(&self, choice: &Choice) -> Vec<OriginId> {
        let rung = &self.steer.rungs[choice.rung];
        choice.origins.iter().map(|&index| rung.origins[index]).collect()
    }

    /// True if waiting longer would change nothing: the first rung that is not known to be dead is up, and nothing of
    /// it is unknown. A name with a past waits only until the rung it was on has an address again.
    fn is_clear(&self, ground: &Ground<'_>) -> bool {
        if let Some(rung) = self.standing.served().and_then(|place| self.rung_at(place)) {
            return self.data(&self.whole(rung), ground).is_some();
        }
        let first = self.rungs.iter().find(|rung| rung.class != Class::Down);
        let is_known = |rung: &RungStatus| rung.origins.iter().all(|seen| seen.drained || seen.class != Class::Untried);
        first.is_none_or(|rung| rung.class == Class::Up && is_known(rung))
    }

    /// A rung with all its origins.
    fn whole(&self, rung: usize) -> Choice {
        let origins = (0..self.steer.rungs[rung].origins.len()).collect();
        Choice { rung, origins, why: Why::AllDead, wake: None }
    }

    /// The first rung of which any address is known, when the one that was chosen has none: never empty.
    fn whatever_has_data(&self, ground: &Ground<'_>) -> Option<(Choice, Data)> {
        let mut rungs = (0..self.steer.rungs.len()).map(|rung| self.whole(rung));
        rungs.find_map(|choice| self.data(&choice, ground).map(|data| (choice, data)))
    }

    /// How every rung looks now, for those who weigh an order before it is given.
    pub(crate) fn seen(&self, ground: &Ground<'_>) -> Vec<RungStatus> {
        self.look(ground)
    }

    /// How every rung looks from here.
    fn look(&self, ground: &Ground<'_>) -> Vec<RungStatus> {
        let origin = |&id: &OriginId, seat: &Seat| {
            let origin = &ground.config.origins[id.0 as usize];
            let needs_flattening = self.steer.form == Form::Address && origin.addresses().next().is_none();
            let servable = !needs_flattening || origin.cname.as_ref().is_some_and(|name| ground.flattened.knows(name));
            OriginStatus {
                origin: id,
                name: origin.name.as_str().into(),
                class: if servable { origin_class(&targets(seat, ground.watches)).0 } else { Class::Down },
                drained: ground.orders.is_drained(&origin.name),
                watches: seat.targets.iter().flat_map(|(_, watches)| watches).copied().collect(),
            }
        };
        let rungs = self.steer.rungs.iter().zip(&self.seats);
        rungs
            .map(|(rung, seats)| {
                let origins: Vec<_> = rung.origins.iter().zip(seats).map(|(id, seat)| origin(id, seat)).collect();
                let class = origins.iter().filter(|origin| !origin.drained).map(|origin| origin.class).min();
                RungStatus { class: class.unwrap_or(Class::Down), origins }
            })
            .collect()
    }

    /// What the chosen origins make the answer hold; `None` if no address of theirs is known.
    fn data(&self, choice: &Choice, ground: &Ground<'_>) -> Option<Data> {
        let rung = &self.steer.rungs[choice.rung];
        let chosen = choice
            .origins
            .iter()
            .map(|&index| (&ground.config.origins[rung.origins[index].0 as usize], &self.seats[choice.rung][index]));
        if self.steer.form == Form::Cname {
            return chosen.filter_map(|(origin, _)| origin.cname.clone()).next().map(Data::Cname);
        }
        let mut all: Vec<(IpAddr, Class)> = Vec::new();
        for (origin, seat) in chosen {
            let (_, classes) = origin_class(&targets(seat, ground.watches));
            let class_of = |address| {
                let at = seat.targets.iter().position(|(target, _)| *target == Target::Address(address));
                at.and_then(|at| classes.get(at)).copied().unwrap_or(Class::Untried)
            };
            if origin.addresses().next().is_some() {
                all.extend(origin.addresses().map(|address| (address, class_of(address))));
            } else if let Some(name) = &origin.cname {
                all.extend(ground.flattened.addresses(name).iter().map(|&address| (address, Class::Untried)));
            }
        }
        // Addresses that are down are left out, unless that would empty the answer.
        let any_alive = all.iter().any(|&(_, class)| class != Class::Down);
        let mut kept: Vec<_> = all
            .into_iter()
            .filter(|&(_, class)| !any_alive || class != Class::Down)
            .map(|(address, _)| address)
            .collect();
        kept.sort_by_key(IpAddr::is_ipv6);
        kept.dedup();
        (!kept.is_empty()).then_some(Data::Addresses(kept))
    }

    /// The ladder as [`decision::decide`] sees it.
    pub(crate) fn ladder(&self) -> Vec<RungView> {
        self.steer.rungs.iter().zip(&self.rungs).map(|(rung, seen)| view(rung, seen)).collect()
    }

    /// The rung of this place, if the ladder has one.
    pub(crate) fn rung_at(&self, place: Place) -> Option<usize> {
        self.steer.rungs.iter().position(|rung| rung.place == place)
    }
}

fn view(rung: &Rung, seen: &RungStatus) -> RungView {
    let origins = seen.origins.iter().map(|origin| OriginView { class: origin.class, drained: origin.drained });
    RungView { place: rung.place, origins: origins.collect() }
}

/// Each target of a seat with its class, the worst of its hosts, and whether our host can see it at all. A seat
/// without watches is unknown.
fn targets(seat: &Seat, watches: &[WatchState]) -> Vec<(Target, Class, bool)> {
    let class = |ids: &[WatchId]| target_class(ids.iter().map(|id| watches[id.0 as usize].class()));
    let unseen = |ids: &[WatchId]| !ids.is_empty() && ids.iter().all(|id| watches[id.0 as usize].unseen);
    seat.targets.iter().map(|(target, ids)| (target.clone(), class(ids), unseen(ids))).collect()
}
