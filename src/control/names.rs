//! One steered name: what it stands on, and the next decision for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Failback, Form, OriginId, Place, Quorum, Rung, Steer};
use crate::control::flattened::Flattened;
use crate::control::orders::OrderBook;
use crate::control::rehearsed::{Hostnames, Known};
use crate::control::watches::WatchState;
use crate::decision::velocity::Waiting;
use crate::decision::{self, Choice, Data, Decision, Order, OriginView, Reason, RungView, Served, Standing, Why};
use crate::dns::{Name, Serial};
use crate::probe::watch::Seat;
use crate::probe::{Target, WatchId};
use crate::ready::foresight::foresee;
use crate::ready::{Ready, of_targets};
use crate::snapshot::status::{Former, OriginStatus, RungStatus};
use crate::time::{Moment, Now};
use crate::verdict::origin::{goes_by, origin_grade, target_grade};
use crate::verdict::{Class, Grade};
use crate::zone::table::Spot;

/// How long a name without a past gives no reply while its first probes are out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// Rungs that fewer hold, counting what is published, are not those of many names: their name is like no other.
const ALIKE_MIN: usize = 8;
/// TTL in seconds at most of an answer nothing is known about yet.
const UNPROVEN_TTL: u32 = 5;
/// An origin with nothing to serve.
const DEAD: Grade = Grade { class: Class::Down, degraded: false };

/// One steered name between two events.
#[derive(Clone, Debug)]
pub(crate) struct NameState {
    pub(crate) steer: Arc<Steer>,
    /// By rung and origin: the watches that speak for it.
    pub(crate) seats: Vec<Vec<Seat>>,
    /// Shared by names that remember the same.
    pub(crate) standing: Arc<Standing>,
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

/// How one origin of a rung looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) class: Class,
    pub(crate) degraded: bool,
    pub(crate) drained: bool,
    pub(crate) ready: Ready,
}

impl NameState {
    /// A name nobody has decided about yet.
    pub(crate) fn new(steer: Arc<Steer>, seats: Vec<Vec<Seat>>, now: Now) -> Self {
        Self {
            steer,
            seats,
            standing: Arc::default(),
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
    /// nothing that could be served is known. Of names that are alike only the first is thought about.
    pub(crate) fn decide(&mut self, ground: &Ground<'_>, memo: &mut Memo) -> Option<Arc<Decision>> {
        let hold = ground.orders.hold(&self.steer.name);
        if hold.is_some() || self.decision.is_none() {
            return self.think(hold, ground, memo);
        }
        if let Some(known) = memo.thought.as_ref().filter(|known| known.before.is_of(self)) {
            self.rungs = Arc::clone(&known.rungs);
            self.standing = Arc::clone(&known.standing);
            self.wake = known.wake;
            return Some(Arc::clone(&known.decision));
        }
        if Arc::strong_count(&self.rungs) < ALIKE_MIN {
            return self.think(None, ground, memo);
        }
        let before = Likeness::of(self);
        let decision = self.think(None, ground, memo)?;
        let (rungs, standing) = (Arc::clone(&self.rungs), Arc::clone(&self.standing));
        memo.thought = Some(Thought { before, rungs, standing, wake: self.wake, decision: Arc::clone(&decision) });
        Some(decision)
    }

    fn think(&mut self, hold: Option<(Place, &Order)>, ground: &Ground<'_>, memo: &mut Memo) -> Option<Arc<Decision>> {
        self.look(ground, memo);
        if self.decision.is_none() && hold.is_none() && !self.is_clear(ground) && ground.now.moment < self.patience {
            self.wake = Some(self.patience);
            return None;
        }
        self.choose(hold.map(|(place, _)| place), ground, memo);
        let Memo { chosen: Some(Chosen { choice, .. }), addresses, decision: last, .. } = memo else { return None };
        self.wake = choice.wake;
        let share = |next: Next<'_>| {
            let mut known = last.iter().chain(&self.decision);
            match known.find(|known| next.is(known)) {
                Some(same) => Arc::clone(same),
                None => Arc::new(next.decision()),
            }
        };
        let kept = self.decision.as_deref().filter(|kept| kept.rung == choice.rung);
        let next = |choice: &Choice, found: Found<'_>| {
            let reason = choice.why.reason(hold.map(|(_, order)| order));
            let cap = if reason == Reason::Unproven { UNPROVEN_TTL } else { u32::MAX };
            let rung = &self.steer.rungs[choice.rung];
            share(Next { choice, rung, found, ttl: self.steer.ttl.min(cap), reason })
        };
        let decision = match kept {
            Some(kept) if choice.why == Why::Doubt && self.ids(choice).eq(kept.origins.iter().copied()) => {
                let found = Found::from(&kept.data);
                let rung = &self.steer.rungs[choice.rung];
                share(Next { choice, rung, found, ttl: kept.ttl, reason: Reason::Doubt })
            }
            _ => match self.found(choice, ground, addresses).or_else(|| kept.map(|kept| Found::from(&kept.data))) {
                Some(found) => next(choice, found),
                None => {
                    let (choice, data) = self.whatever_has_data(ground)?;
                    next(&choice, Found::from(&data))
                }
            },
        };
        memo.decision = Some(Arc::clone(&decision));
        Some(decision)
    }

    /// Decides to stay, though the rules want to move: what is served of the present rung now. `before` is what the name
    /// remembered when it was decided that it should move.
    pub(crate) fn stay(
        &mut self,
        before: Arc<Standing>,
        waits: &Waiting,
        ground: &Ground<'_>,
        memo: &mut Memo,
    ) -> Option<Arc<Decision>> {
        self.standing = before;
        let kept = self.decision.clone()?;
        if let Some(known) = memo.stayed.as_ref().filter(|known| known.waits == *waits && known.before.is_of(self)) {
            self.standing = Arc::clone(&known.standing);
            return Some(Arc::clone(&known.decision));
        }
        self.view(&mut memo.views);
        let why = Why::Waits { to: waits.to, since: waits.since };
        let mut after = (*self.standing).clone();
        let choice = after.stay(&memo.views, kept.rung, self.steer.failback, self.steer.strict, why, ground.now.moment);
        let found = self.found(&choice, ground, &mut memo.addresses).unwrap_or(Found::from(&kept.data));
        let rung = &self.steer.rungs[choice.rung];
        let next = Next { choice: &choice, rung, found, ttl: kept.ttl, reason: why.reason(None) };
        let decision = if next.is(&kept) { Arc::clone(&kept) } else { Arc::new(next.decision()) };
        let before = Likeness::of(self);
        if after != *self.standing {
            self.standing = Arc::new(after);
        }
        let standing = Arc::clone(&self.standing);
        memo.stayed = Some(Stayed { before, waits: *waits, standing, decision: Arc::clone(&decision) });
        Some(decision)
    }

    /// The rung that automation wants to serve next in place of the present one. What an order asks for is not
    /// automation's, nor is to leave what is drained whole.
    pub(crate) fn wish(&self, next: Option<&Arc<Decision>>) -> Option<Place> {
        let (present, next) = (self.decision.as_deref()?, next?);
        let is_held = |decision: &Decision| matches!(decision.reason, Reason::Held { .. });
        let by_order = is_held(present) || is_held(next) || self.present_rung(|rung| rung.origins.iter().all(drained));
        // Without origins its rung is gone by a reload.
        let is_left = present.place != next.place && !present.origins.is_empty();
        (is_left && !by_order).then_some(next.place)
    }

    /// The rung that is served is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.present_rung(|rung| rung.class == Class::Down)
    }

    fn present_rung(&self, is_such: impl Fn(&RungStatus) -> bool) -> bool {
        self.decision.as_ref().and_then(|decision| self.rungs.get(decision.rung)).is_some_and(is_such)
    }

    /// Has the rules choose, in `memo.chosen`; names that look the same and remember the same choose the same.
    fn choose(&mut self, hold: Option<Place>, ground: &Ground<'_>, memo: &mut Memo) {
        self.view(&mut memo.views);
        let (failback, strict, views) = (self.steer.failback, self.steer.strict, &memo.views);
        let is_known = |known: &Chosen| {
            Arc::ptr_eq(&known.before, &self.standing)
                && (known.failback, known.strict) == (failback, strict)
                && known.hold == hold
                && known.views == *views
        };
        match &memo.chosen {
            Some(known) if is_known(known) => self.standing = Arc::clone(&known.after),
            former => {
                let (before, mut after) = (Arc::clone(&self.standing), (*self.standing).clone());
                let choice = decision::decide(views, failback, &mut after, hold, ground.frozen, strict, ground.now);
                let known = former.as_ref().map(|former| &former.after);
                self.standing = match [known, Some(&before)].into_iter().flatten().find(|known| ***known == after) {
                    Some(same) => Arc::clone(same),
                    None => Arc::new(after),
                };
                let (views, after) = (views.clone(), Arc::clone(&self.standing));
                memo.chosen = Some(Chosen { failback, strict, hold, views, before, choice, after });
            }
        }
    }

    fn ids(&self, choice: &Choice) -> impl Iterator<Item = OriginId> {
        let rung = &self.steer.rungs[choice.rung];
        choice.origins.iter().map(|&index| rung.origins[index])
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
            let seen = self.seen(rung, at, ground);
            Seen { ready: self.ready(rung, at, seen.class, ground), ..seen }
        }));
        let before = Arc::clone(&self.rungs);
        let known = before.iter().flat_map(|rung| &*rung.origins).map(seen_of);
        if !known.eq(memo.seen.iter().copied()) {
            let mut seen = &memo.seen[..];
            let rungs = before.iter().map(|rung| {
                let (these, others) = seen.split_at(rung.origins.len());
                seen = others;
                looked_at(rung, these)
            });
            self.rungs = rungs.collect();
        }
        memo.looked = Some(Looked { form, before, after: Arc::clone(&self.rungs) });
    }

    /// How an origin of a rung looks, by their indices; how ready it is aside.
    pub(crate) fn seen(&self, rung: usize, at: usize, ground: &Ground<'_>) -> Seen {
        let origin = &ground.config.origins[self.steer.rungs[rung].origins[at].0 as usize];
        let needs_flattening = self.steer.form == Form::Address && origin.addresses().next().is_none();
        let servable = !needs_flattening || origin.cname.as_ref().is_some_and(|name| ground.flattened.knows(name));
        let grade = if servable { origin_grade(targets(&self.seats[rung][at], ground.watches)) } else { DEAD };
        let drained = ground.orders.is_drained(&origin.name);
        Seen { class: grade.class, degraded: grade.degraded, drained, ready: Ready::Unknown }
    }

    /// How ready an origin of a rung is, by their indices, while it is of this class. A family that our host cannot see
    /// says nothing but what it said before, nor does a check that fails and is not needed.
    fn ready(&self, rung: usize, at: usize, class: Class, ground: &Ground<'_>) -> Ready {
        if class == Class::Down {
            return Ready::WouldFail;
        }
        let state = |id: &WatchId| &ground.watches[id.0 as usize];
        let seat = &self.seats[rung][at];
        let targets = seat.targets.iter().map(|(_, checks)| checks);
        let seen = targets.filter(|checks| checks.iter().flatten().all(|id| state(id).speaks())).map(|checks| {
            let class = target_grade(seat.need, checks, |id| state(id).grade()).class;
            let speaking = checks.iter().flatten().map(state).filter(|watch| watch.class() <= class);
            (class, speaking.map(WatchState::ready).max().unwrap_or_default())
        });
        let foreseen = self.rungs[rung].origins[at].foreseen.iter().map(|finding| finding.level);
        foreseen.fold(of_targets(seen), Ready::max)
    }

    fn data(&self, choice: &Choice, ground: &Ground<'_>) -> Option<Data> {
        self.found(choice, ground, &mut Vec::new()).map(|found| found.data())
    }

    /// What the chosen origins make the answer hold, which `all` is used for; `None` if no address of theirs is known.
    fn found<'f>(&self, choice: &Choice, ground: &Ground<'f>, all: &'f mut Vec<(IpAddr, Class)>) -> Option<Found<'f>> {
        let rung = &self.steer.rungs[choice.rung];
        let mut chosen = choice
            .origins
            .iter()
            .map(|&index| (&ground.config.origins[rung.origins[index].0 as usize], &self.seats[choice.rung][index]));
        if self.steer.form == Form::Cname {
            return chosen.find_map(|(origin, _)| origin.cname.as_ref()).map(Found::Cname);
        }
        // In a panic, dead origins are served on purpose: there it is their own addresses that none may be left of.
        let panics = matches!(choice.why, Why::Panic | Why::Held | Why::Waits { .. });
        all.clear();
        for (origin, seat) in chosen {
            let first = all.len();
            let class_of = |address| {
                let mut classes = seat.targets.iter().zip(goes_by(targets(seat, ground.watches)));
                let found = classes.find(|((target, _), _)| *target == Target::Address(address));
                found.map_or(Class::Untried, |(_, grade)| grade.class)
            };
            if origin.addresses().next().is_some() {
                all.extend(origin.addresses().map(|address| (address, class_of(address))));
            } else if let Some(name) = &origin.cname {
                all.extend(ground.flattened.addresses(name).iter().map(|&address| (address, Class::Untried)));
            }
            if panics {
                leave_out_dead(all, first);
            }
        }
        if !panics {
            leave_out_dead(all, 0);
        }
        all.sort_by_key(|(address, _)| address.is_ipv6());
        all.dedup_by_key(|(address, _)| *address);
        (!all.is_empty()).then_some(Found::Addresses(all))
    }

    /// The ladder as [`decision::decide`] sees it.
    pub(crate) fn ladder(&self) -> Vec<RungView> {
        let mut views = Vec::new();
        self.view(&mut views);
        views
    }

    /// The same, in place of what was there.
    fn view(&self, views: &mut Vec<RungView>) {
        let blank = RungView { place: Place::Primary, quorum: Quorum::default(), origins: Vec::new() };
        views.resize(self.steer.rungs.len(), blank);
        for ((rung, seen), view) in self.steer.rungs.iter().zip(&*self.rungs).zip(views) {
            (view.place, view.quorum) = (rung.place, rung.quorum);
            view.origins.clear();
            let origins = seen.origins.iter();
            let leaves = self.steer.leave_degraded;
            view.origins.extend(origins.map(|seen| OriginView {
                class: seen.class,
                degraded: seen.degraded && leaves,
                drained: seen.drained,
                would_fail: seen.ready == Ready::WouldFail && seen.class != Class::Down,
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
        degraded: false,
        drained: false,
        ready: Ready::Unknown,
        foreseen: foresee(ground.config, steer, rung, id, &known).into(),
        need: seat.need,
        watches: seat.watches().collect(),
    });
    let (place, quorum) = (rung.place, rung.quorum);
    RungStatus { place, class: Class::Untried, degraded: false, quorum, origins: origins.collect() }
}

/// An order keeps it from being served.
fn drained(origin: &OriginStatus) -> bool {
    origin.drained
}

/// How an origin was seen last.
fn seen_of(known: &OriginStatus) -> Seen {
    Seen { class: known.class, degraded: known.degraded, drained: known.drained, ready: known.ready }
}

/// A rung as its origins are seen now.
fn looked_at(rung: &RungStatus, seen: &[Seen]) -> RungStatus {
    if rung.origins.iter().map(seen_of).eq(seen.iter().copied()) {
        return rung.clone();
    }
    let as_seen = |(known, &Seen { class, degraded, drained, ready }): (&OriginStatus, &Seen)| OriginStatus {
        class,
        degraded,
        drained,
        ready,
        ..known.clone()
    };
    let origins: Arc<[_]> = rung.origins.iter().zip(seen).map(as_seen).collect();
    let undrained = origins.iter().filter(|origin| !origin.drained);
    let grades = undrained.map(|origin| Grade { class: origin.class, degraded: origin.degraded });
    let Grade { class, degraded } = decision::ladder::rung_grade(rung.quorum, grades);
    RungStatus { place: rung.place, class, degraded, quorum: rung.quorum, origins }
}

/// Takes addresses that are down out of those from `first` on, unless that would leave none of them.
fn leave_out_dead(all: &mut Vec<(IpAddr, Class)>, first: usize) {
    if all[first..].iter().any(|&(_, class)| class != Class::Down) {
        let mut at = 0..;
        all.retain(|&(_, class)| at.next() < Some(first) || class != Class::Down);
    }
}

/// Each target of a seat with its grade, and whether our host can see it at all. A seat without watches is unknown.
fn targets<'s>(
    seat: &'s Seat,
    watches: &'s [WatchState],
) -> impl Iterator<Item = (&'s Target, Grade, bool)> + Clone + use<'s> {
    let grade = |checks: &[Vec<WatchId>]| target_grade(seat.need, checks, |id| watches[id.0 as usize].grade());
    let unseen =
        |checks: &[Vec<WatchId>]| !checks.is_empty() && checks.iter().flatten().all(|id| watches[id.0 as usize].unseen);
    seat.targets.iter().map(move |(target, checks)| (target, grade(checks), unseen(checks)))
}

/// What is found out about one name, and holds for those that are like it: what many names that turn at once have in
/// common is made once. Good for one round of decisions, in which nothing else changes.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    views: Vec<RungView>,
    seen: Vec<Seen>,
    addresses: Vec<(IpAddr, Class)>,
    /// Rungs nobody has looked at yet.
    blank: Option<(Form, Arc<[RungStatus]>)>,
    looked: Option<Looked>,
    chosen: Option<Chosen>,
    thought: Option<Thought>,
    stayed: Option<Stayed>,
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

/// What the rules chose, and what it was chosen by.
#[derive(Debug)]
struct Chosen {
    failback: Failback,
    strict: bool,
    hold: Option<Place>,
    views: Vec<RungView>,
    before: Arc<Standing>,
    choice: Choice,
    after: Arc<Standing>,
}

/// All that became of a name that no order holds.
#[derive(Debug)]
struct Thought {
    before: Likeness,
    rungs: Arc<[RungStatus]>,
    standing: Arc<Standing>,
    wake: Option<Moment>,
    decision: Arc<Decision>,
}

/// All that became of a name that has to wait.
#[derive(Debug)]
struct Stayed {
    before: Likeness,
    waits: Waiting,
    standing: Arc<Standing>,
    decision: Arc<Decision>,
}

/// What makes names alike: these have the same ladder with the same watches (which rungs shared tell), remember the
/// same and are served the same.
#[derive(Debug)]
struct Likeness {
    form: Form,
    failback: Failback,
    leave_degraded: bool,
    strict: bool,
    ttl: u32,
    rungs: Arc<[RungStatus]>,
    standing: Arc<Standing>,
    decision: Option<Arc<Decision>>,
}

impl Likeness {
    fn of(name: &NameState) -> Self {
        let Steer { form, failback, leave_degraded, strict, ttl, .. } = *name.steer;
        let (rungs, standing, decision) = (Arc::clone(&name.rungs), Arc::clone(&name.standing), name.decision.clone());
        Self { form, failback, leave_degraded, strict, ttl, rungs, standing, decision }
    }

    fn is_of(&self, name: &NameState) -> bool {
        let decisions = self.decision.as_ref().zip(name.decision.as_ref());
        Arc::ptr_eq(&self.rungs, &name.rungs)
            && !self.rungs.is_empty()
            && Arc::ptr_eq(&self.standing, &name.standing)
            && decisions.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
            && (self.form, self.failback, self.ttl) == (name.steer.form, name.steer.failback, name.steer.ttl)
            && (self.leave_degraded, self.strict) == (name.steer.leave_degraded, name.steer.strict)
    }
}

/// What an answer will hold.
#[derive(Clone, Copy)]
enum Found<'f> {
    Cname(&'f Name),
    Addresses(&'f [(IpAddr, Class)]),
    Kept(&'f Data),
}

impl<'f> From<&'f Data> for Found<'f> {
    fn from(data: &'f Data) -> Self {
        Self::Kept(data)
    }
}

impl Found<'_> {
    fn is(self, data: &Data) -> bool {
        match (self, data) {
            (Self::Kept(kept), data) => kept == data,
            (Self::Cname(name), Data::Cname(known)) => name == known,
            (Self::Addresses(found), Data::Addresses(known)) => found.iter().map(|(address, _)| address).eq(known),
            _ => false,
        }
    }

    fn data(self) -> Data {
        match self {
            Self::Kept(kept) => kept.clone(),
            Self::Cname(name) => Data::Cname(name.clone()),
            Self::Addresses(found) => Data::Addresses(found.iter().map(|&(address, _)| address).collect()),
        }
    }
}

/// A decision in parts, made only if it is a new one.
struct Next<'n> {
    choice: &'n Choice,
    rung: &'n Rung,
    found: Found<'n>,
    ttl: u32,
    reason: Reason,
}

impl Next<'_> {
    fn origins(&self) -> impl Iterator<Item = OriginId> {
        self.choice.origins.iter().map(|&index| self.rung.origins[index])
    }

    fn is(&self, known: &Decision) -> bool {
        (known.rung, known.place, known.ttl) == (self.choice.rung, self.rung.place, self.ttl)
            && known.reason == self.reason
            && self.origins().eq(known.origins.iter().copied())
            && self.found.is(&known.data)
    }

    fn decision(self) -> Decision {
        let (rung, place, origins) = (self.choice.rung, self.rung.place, self.origins().collect());
        Decision { rung, place, origins, data: self.found.data(), ttl: self.ttl, reason: self.reason }
    }
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
