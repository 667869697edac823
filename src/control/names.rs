//! One steered name: what it stands on, and the next decision for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Form, OriginId, Place, Rung, Steer};
use crate::control::flattened::Flattened;
use crate::control::orders::OrderBook;
use crate::control::rehearsed::{Hostnames, Known};
use crate::control::watches::WatchState;
use crate::decision::{self, Choice, Data, Decision, OriginView, Reason, RungView, Served, Standing, Why};
use crate::dns::Serial;
use crate::probe::watch::Seat;
use crate::probe::{Target, WatchId};
use crate::ready::foresight::foresee;
use crate::ready::{Ready, of_targets};
use crate::snapshot::status::{Former, OriginStatus, RungStatus};
use crate::time::{Moment, Now};
use crate::verdict::Class;
use crate::verdict::origin::{goes_by, origin_class, target_class};
use crate::zone::table::Spot;

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
    pub(crate) decision: Option<Arc<Decision>>,
    /// The decision told by names, which outlive a configuration.
    pub(crate) served: Option<Arc<Served>>,
    /// Where it stands in the zone's table, once what is decided does.
    pub(crate) spot: Option<Spot>,
    /// Since when its rung is served.
    pub(crate) since: Now,
    /// Serial of the version the decision was first served in.
    pub(crate) serial: Serial,
    pub(crate) former: Option<Former>,
    pub(crate) rungs: Arc<[RungStatus]>,
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
    pub(crate) hostnames: &'c Hostnames,
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
            spot: None,
            since: now,
            serial: Serial::default(),
            former: None,
            rungs: Arc::default(),
            patience: now.moment + PATIENCE,
            wake: None,
        }
    }

    /// Decides anew. `None` while the name has no past, patience is not over and the ladder is not clear yet; or when
    /// nothing that could be served is known.
    pub(crate) fn decide(&mut self, ground: &Ground<'_>, memo: &mut Memo) -> Option<Arc<Decision>> {
        self.look(ground, memo);
        let hold = ground.orders.hold(&self.steer.name);
        if self.decision.is_none() && hold.is_none() && !self.is_clear(ground) && ground.now.moment < self.patience {
            self.wake = Some(self.patience);
            return None;
        }
        self.view(&mut memo.views);
        let (views, place) = (&memo.views, hold.map(|(place, _)| place));
        let (steer, frozen) = (&self.steer, ground.frozen);
        let choice =
            decision::decide(views, steer.failback, &mut self.standing, place, frozen, steer.strict, ground.now);
        self.wake = choice.wake;
        let chosen = self.ids(&choice);
        if choice.why == Why::Doubt
            && let Some(kept) = self.decision.as_ref().filter(|kept| kept.rung == choice.rung && kept.origins == chosen)
        {
            return Some(memo.share(Decision { reason: Reason::Doubt, ..(**kept).clone() }));
        }
        let kept = || self.decision.as_ref().filter(|kept| kept.rung == choice.rung).map(|kept| kept.data.clone());
        let (choice, data) = match self.data(&choice, ground).or_else(kept) {
            Some(data) => (choice, data),
            None => self.whatever_has_data(ground)?,
        };
        let reason = choice.why.reason(hold.map(|(_, order)| order));
        let cap = if reason == Reason::Unproven { UNPROVEN_TTL } else { u32::MAX };
        let rung = &self.steer.rungs[choice.rung];
        let (origins, ttl) = (self.ids(&choice), self.steer.ttl.min(cap));
        Some(memo.share(Decision { rung: choice.rung, place: rung.place, origins, data, ttl, reason }))
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

    /// Sees how every rung looks now. What looks as before stays the same value, and names that look at the same share it.
    pub(crate) fn look(&mut self, ground: &Ground<'_>, memo: &mut Memo) {
        let form = self.steer.form;
        if self.rungs.is_empty() {
            let rungs = self.steer.rungs.iter().zip(&self.seats);
            let steer = &*self.steer;
            self.rungs = memo.blank(form, rungs.map(|(rung, seats)| blank(steer, rung, seats, ground)).collect());
        }
        if let Some(looked) = &memo.looked
            && looked.form == form
            && Arc::ptr_eq(&looked.before, &self.rungs)
        {
            self.rungs = Arc::clone(&looked.after);
            return;
        }
        let places =
            (0..).zip(&*self.rungs).flat_map(|(rung, known)| (0..known.origins.len()).map(move |at| (rung, at)));
        memo.seen.clear();
        memo.seen.extend(places.map(|(rung, at)| {
            let (class, drained) = self.seen(rung, at, ground);
            (class, drained, self.ready(rung, at, class, ground))
        }));
        let before = Arc::clone(&self.rungs);
        let origins = before.iter().flat_map(|rung| &rung.origins);
        let known = origins.map(|origin| (origin.class, origin.drained, origin.ready));
        if !known.eq(memo.seen.iter().copied()) {
            let mut seen = memo.seen.iter().copied();
            self.rungs = before.iter().map(|rung| looked_at(rung, &mut seen)).collect();
        }
        memo.looked = Some(Looked { form, before, after: Arc::clone(&self.rungs) });
    }

    /// The class of an origin of a rung, by their indices, and if it is drained.
    pub(crate) fn seen(&self, rung: usize, at: usize, ground: &Ground<'_>) -> (Class, bool) {
        let origin = &ground.config.origins[self.steer.rungs[rung].origins[at].0 as usize];
        let needs_flattening = self.steer.form == Form::Address && origin.addresses().next().is_none();
        let servable = !needs_flattening || origin.cname.as_ref().is_some_and(|name| ground.flattened.knows(name));
        let class = if servable { origin_class(targets(&self.seats[rung][at], ground.watches)) } else { Class::Down };
        (class, ground.orders.is_drained(&origin.name))
    }

    /// How ready an origin of a rung is, by their indices, while it is of this class. A family that our host cannot see
    /// says nothing.
    fn ready(&self, rung: usize, at: usize, class: Class, ground: &Ground<'_>) -> Ready {
        if class == Class::Down {
            return Ready::WouldFail;
        }
        let state = |id: &WatchId| &ground.watches[id.0 as usize];
        let targets = self.seats[rung][at].targets.iter().map(|(_, ids)| ids);
        let seen = targets.filter(|ids| !ids.iter().any(|id| state(id).unseen)).map(|ids| {
            let class = target_class(ids.iter().map(|id| state(id).class()));
            (class, ids.iter().map(|id| state(id).ready()).max().unwrap_or_default())
        });
        let foreseen = self.rungs[rung].origins[at].foreseen.iter().map(|finding| finding.level);
        foreseen.fold(of_targets(seen), Ready::max)
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
            let class_of = |address| {
                let mut classes = seat.targets.iter().zip(goes_by(targets(seat, ground.watches)));
                let found = classes.find(|((target, _), _)| *target == Target::Address(address));
                found.map_or(Class::Untried, |(_, class)| class)
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
        let mut views = Vec::new();
        self.view(&mut views);
        views
    }

    /// The same, in place of what was there.
    fn view(&self, views: &mut Vec<RungView>) {
        views.resize(self.steer.rungs.len(), RungView { place: Place::Primary, origins: Vec::new() });
        for ((rung, seen), view) in self.steer.rungs.iter().zip(&*self.rungs).zip(views) {
            view.place = rung.place;
            view.origins.clear();
            let origins = seen.origins.iter();
            view.origins.extend(origins.map(|origin| OriginView {
                class: origin.class,
                drained: origin.drained,
                would_fail: origin.ready == Ready::WouldFail && origin.class != Class::Down,
            }));
        }
    }

    /// The rung of this place, if the ladder has one.
    pub(crate) fn rung_at(&self, place: Place) -> Option<usize> {
        self.steer.rungs.iter().position(|rung| rung.place == place)
    }
}

/// A rung that was never looked at.
fn blank(steer: &Steer, rung: &Rung, seats: &[Seat], ground: &Ground<'_>) -> RungStatus {
    let known = Known { flattened: ground.flattened, hostnames: ground.hostnames };
    let origins = rung.origins.iter().zip(seats).map(|(&id, seat)| OriginStatus {
        origin: id,
        name: ground.config.origins[id.0 as usize].name.as_str().into(),
        class: Class::Untried,
        drained: false,
        ready: Ready::Unknown,
        foreseen: foresee(ground.config, steer, rung, id, &known).into(),
        watches: seat.targets.iter().flat_map(|(_, watches)| watches).copied().collect(),
    });
    RungStatus { class: Class::Untried, origins: origins.collect() }
}

/// A rung as its origins are seen now: class, if it is drained, and how ready, of each.
fn looked_at(rung: &RungStatus, seen: &mut impl Iterator<Item = (Class, bool, Ready)>) -> RungStatus {
    let origins = rung.origins.iter().zip(seen);
    let origins: Vec<_> = origins
        .map(|(known, (class, drained, ready))| OriginStatus { class, drained, ready, ..known.clone() })
        .collect();
    let class = origins.iter().filter(|origin| !origin.drained).map(|origin| origin.class).min();
    RungStatus { class: class.unwrap_or(Class::Down), origins }
}

/// Each target of a seat with its class, the worst of its hosts, and whether our host can see it at all. A seat
/// without watches is unknown.
fn targets<'s>(
    seat: &'s Seat,
    watches: &'s [WatchState],
) -> impl Iterator<Item = (&'s Target, Class, bool)> + Clone + use<'s> {
    let class = |ids: &[WatchId]| target_class(ids.iter().map(|id| watches[id.0 as usize].class()));
    let unseen = |ids: &[WatchId]| !ids.is_empty() && ids.iter().all(|id| watches[id.0 as usize].unseen);
    seat.targets.iter().map(move |(target, ids)| (target, class(ids), unseen(ids)))
}

/// What many names that turn at once have in common is made once.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    views: Vec<RungView>,
    seen: Vec<(Class, bool, Ready)>,
    /// Rungs nobody has looked at yet.
    blank: Option<(Form, Arc<[RungStatus]>)>,
    looked: Option<Looked>,
    decision: Option<Arc<Decision>>,
    served: Option<(Arc<Decision>, Arc<Served>)>,
}

/// Rungs as they looked before, and as they look now.
#[derive(Debug)]
struct Looked {
    form: Form,
    before: Arc<[RungStatus]>,
    after: Arc<[RungStatus]>,
}

impl Memo {
    /// The rungs, shared with the name before if they have the same origins with the same watches. (What an origin is
    /// asked by follows from these and the form.)
    fn blank(&mut self, form: Form, rungs: Arc<[RungStatus]>) -> Arc<[RungStatus]> {
        match &self.blank {
            Some((known, blank)) if *known == form && *blank == rungs => Arc::clone(blank),
            _ => Arc::clone(&self.blank.insert((form, rungs)).1),
        }
    }

    /// The decision, shared with the name before if that one's is equal.
    fn share(&mut self, decision: Decision) -> Arc<Decision> {
        match &self.decision {
            Some(last) if **last == decision => Arc::clone(last),
            _ => Arc::clone(self.decision.insert(Arc::new(decision))),
        }
    }

    /// The decision told by names.
    pub(crate) fn served(&mut self, decision: &Arc<Decision>, config: &Config) -> Arc<Served> {
        match &self.served {
            Some((last, served)) if Arc::ptr_eq(last, decision) => Arc::clone(served),
            _ => {
                let origins = decision.origins.iter().map(|id| config.origins[id.0 as usize].name.clone());
                let served = Served { place: decision.place, origins: origins.collect(), data: decision.data.clone() };
                let (_, served) = self.served.insert((Arc::clone(decision), Arc::new(served)));
                Arc::clone(served)
            }
        }
    }
}
