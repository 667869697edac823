//! The world around the controller: origins that live and die, a network and a resolver of our own that fail, a
//! storage that commits late, operators, and a clock that can be set.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use failoverd::config::*;
use failoverd::control::journal::{Ending, Entry, What as Told};
use failoverd::control::{
    Asked, Controller, Effects, Event, Loaded, Marks, Released, Restored, RestoredDecision, Span, Ticket,
};
use failoverd::decision::Reason;
use failoverd::decision::order::{Order, What};
use failoverd::dns::Serial;
use failoverd::dns::{Name, Type};
use failoverd::probe::tripwire::{self, News, Wire};
use failoverd::probe::{Cause, Detail, LocalFault, Observation, Outcome, Phase, Phases, Request, Target};
use failoverd::snapshot::{Generation, Snapshot};
use failoverd::time::{Moment, Now, Wall};
use failoverd::verdict::{Class, Grade};
use failoverd::zone::load::{Report, Zone};
use failoverd::zone::table::{Builder, Table};

use super::grounds::{self, For, Grounds, looks_back};
use super::shadow::Shadow;
use super::tape::Tape;

/// SplitMix64: small, seeded, the same everywhere.
pub struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How an address behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Alive,
    Refuses,
    Silent,
    Expired,
    /// So many percent of the probes get no reply.
    Lossy(u8),
    /// So many milliseconds until the reply.
    Slow(u16),
    /// Passes its check, and sends its visitors away.
    Astray,
}

/// What is to happen, in the order of time; ties by number, so that a seed is one history.
#[derive(Debug)]
enum Due {
    Observed(Box<Observation>),
    Canary {
        started: Moment,
        passed: bool,
    },
    Committed(Vec<Entry>),
    Reserved(Marks),
    Deadline,
    Health(IpAddr, Health),
    Network(bool),
    Resolver(bool),
    /// IPv6, and whether there is a route to it.
    Route(bool, bool),
    Ports(bool),
    /// The same configuration once more.
    Again,
    Storage(bool),
    Wire(News),
    Wires,
    ClockJump(i64),
    Ask,
    Reload,
    Crash,
    Stop,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub turns: u64,
    pub downs: u64,
    pub restarts: u64,
    pub doubts: u64,
    /// Of the deaths, those by a window.
    pub windows: u64,
    pub degraded: u64,
    /// Decisions served of a rung with too few origins, and those in a panic.
    pub short: u64,
    pub panics: u64,
    /// How often names began to wait for the velocity limit, and were let go by a person.
    pub waits: u64,
    pub approvals: u64,
}

/// One line of a history.
enum Traced {
    Published(Wall, Generation),
    Told(Entry),
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(at, generation) => write!(f, "{at} g{}", generation.0),
            Self::Told(entry) => write!(f, "{} {:?}", entry.at, entry.what),
        }
    }
}

/// What survives a crash.
#[derive(Clone, Default)]
struct Disk {
    marks: Marks,
    decisions: BTreeMap<Name, RestoredDecision>,
    orders: BTreeMap<u64, Order>,
    sequence: u64,
    next_order: u64,
    clean: Vec<(Name, Serial, u64)>,
}

pub struct World {
    seed: u64,
    dice: Dice,
    /// Where both clocks stood at the beginning; a jump moves its wall.
    start: Now,
    now: Now,
    queue: BTreeMap<(Moment, u64), Due>,
    number: u64,
    config: Arc<Config>,
    controller: Controller,
    snapshot: Option<Arc<Snapshot>>,
    health: BTreeMap<IpAddr, Health>,
    network: bool,
    resolver: bool,
    /// To IPv4 and IPv6.
    routes: [bool; 2],
    ports: bool,
    /// All origins send their visitors to one host: a habit, and no fault.
    habit: bool,
    /// Checks are such that all is found within two rounds.
    prompt: bool,
    file_serial: u32,
    storage: bool,
    disk: Disk,
    /// This run's numbers are reserved durably; without, a crash may serve them twice, and the node says so.
    reserved: bool,
    uncommitted: Vec<Entry>,
    deadline: Option<(Moment, u64)>,
    tickets: u64,
    /// Connections to origins that are held, by the place they lead to.
    wires: BTreeMap<SocketAddr, Wire>,
    shadow: Shadow,
    grounds: Grounds,
    tally: Tally,
    trace: Vec<Traced>,
    tape: Tape,
}

const ZONE: &str = "fo.example.com";

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
        let (habit, prompt) = (dice.one_in(4), dice.one_in(3));
        let velocity = random_velocity(&mut Dice(seed ^ 0x7e10_c177)).filter(|_| !prompt);
        let config = Arc::new(Config { velocity, ..random_config(&mut dice, prompt) });
        let now =
            Now { moment: Moment::from_boot(Duration::from_secs(100)), wall: Wall::from_millis(1_795_000_000_000) };
        let health = config.origins.iter().flat_map(|o| o.addresses().collect::<Vec<_>>()).map(|a| (a, Health::Alive));
        let health: BTreeMap<_, _> = health.collect();
        let mut tape = Tape::default();
        let loaded = tape.read(loaded(&config, 1));
        tape.start(&loaded, &Restored::default(), now);
        let (controller, effects) = Controller::new(loaded, Restored::default(), now);
        let mut world = Self {
            seed,
            dice,
            start: now,
            now,
            queue: BTreeMap::new(),
            number: 0,
            config,
            controller,
            snapshot: None,
            health,
            network: true,
            resolver: true,
            routes: [true; 2],
            ports: true,
            habit,
            prompt,
            file_serial: 1,
            storage: true,
            reserved: false,
            disk: Disk { next_order: 1, sequence: 0, ..Disk::default() },
            uncommitted: Vec::new(),
            deadline: None,
            tickets: 0,
            wires: BTreeMap::new(),
            shadow: Shadow::default(),
            grounds: Grounds::default(),
            tally: Tally::default(),
            trace: Vec::new(),
            tape,
        };
        world.shadow.began(world.now, &world.health);
        world.weigh_soundness();
        for (address, health) in world.health.clone() {
            world.grounds.health(address, health, world.now);
        }
        world.begin(effects);
        world.plan_mischief();
        world
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    pub fn trace(&self) -> Vec<String> {
        self.trace.iter().map(ToString::to_string).collect()
    }

    pub fn tape(&mut self) -> &mut Tape {
        &mut self.tape
    }

    /// Lets `seconds` pass.
    pub fn run(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now.moment + span;
        while let Some((&(at, number), _)) = self.queue.first_key_value() {
            if at > end {
                break;
            }
            let due = self.queue.remove(&(at, number)).expect("it was first");
            // A restart takes its time, and what fell due meanwhile comes late.
            self.pass(at.max(self.now.moment));
            self.happen(due);
        }
        self.pass(end.max(self.now.moment));
    }

    /// Mischief stops; everything heals; every name must find its way home.
    pub fn settle(&mut self) {
        self.queue.retain(|_, due| {
            let is_ours = matches!(due, Due::Committed(_) | Due::Reserved(_) | Due::Deadline);
            is_ours || matches!(due, Due::Observed(_) | Due::Canary { .. } | Due::Wire(_))
        });
        (self.network, self.resolver, self.routes, self.ports, self.storage) = (true, true, [true; 2], true, true);
        self.weigh_soundness();
        self.tell(Event::Storage { trouble: None });
        self.commit();
        let addresses: Vec<_> = self.health.keys().copied().collect();
        for address in addresses {
            self.set_health(address, Health::Alive);
        }
        for order in self.snapshot.clone().map(|s| s.status.orders.to_vec()).unwrap_or_default() {
            let target = match order.what {
                What::Hold { name, .. } => Released::Name(name),
                What::Drain { origin } => Released::Origin(origin),
            };
            self.ask(Asked::Release(target));
        }
        let rounds = |check: &Check| check.every * (check.rise + 2 + looks_back(check)) + check.timeout;
        let longest = self.config.checks.iter().map(|check| rounds(check)).max().unwrap_or_default();
        // A held-back failback may have been doubled by relapses.
        let hold_down = self.config.steers.iter().map(|s| match s.failback {
            Failback::After(span) => span * 32,
            _ => Duration::ZERO,
        });
        let mut wait = longest + hold_down.max().unwrap_or_default() + Duration::from_secs(30);
        if let Some(Velocity { per, beyond, .. }) = self.config.velocity {
            let longer = if let Beyond::Confirm { longer } = beyond { longer } else { Duration::ZERO };
            // Every name goes home, some by way of a rung between.
            wait += (per + longer) * 2 * self.config.steers.len() as u32;
        }
        if self.prompt {
            let rounds = |check: &Check| check.every * 2 + check.timeout + Duration::from_secs(1);
            let two_rounds = self.config.checks.iter().map(|check| rounds(check)).max().unwrap_or_default();
            self.run_for(two_rounds);
            self.all_are_home();
        }
        let end = self.now.moment + wait;
        self.run_for(longest);
        while self.now.moment < end && !self.is_home() {
            self.run(5);
            self.approve_failbacks();
            // Where a person decides, some failbacks wait for one after the other.
            let is_asked = self.config.velocity.is_some_and(|velocity| velocity.beyond == Beyond::Person);
            if is_asked && self.snapshot.as_ref().is_some_and(|snapshot| snapshot.status.waiting.is_some()) {
                self.ask(Asked::Approve { name: None });
            }
        }
        // And there they stay.
        self.run(10);
        self.all_are_home();
    }

    fn approve_failbacks(&mut self) {
        for name in self.config.steers.clone() {
            if name.failback == Failback::Manual {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                let asked = Asked::Failback { name: name.name.clone() };
                self.shadow.approved(&name.name);
                self.tell(Event::Asked { ticket, actor: "settle".into(), asked });
            }
        }
    }

    fn is_home(&self) -> bool {
        let steers = self.snapshot.iter().flat_map(|snapshot| snapshot.status.steers.iter());
        let mut places = steers.map(|name| name.decision.as_ref().map(|decision| decision.place));
        places.all(|place| place == Some(Place::Primary))
    }

    fn all_are_home(&self) {
        let snapshot = self.snapshot.clone().expect("published");
        assert!(snapshot.status.doubt.is_none(), "doubt outlived its cause");
        assert!(snapshot.status.waiting.is_none(), "names wait without a reason");
        for state in snapshot.status.steers.iter() {
            let decision = state.decision.as_ref().expect("decided");
            assert_eq!(decision.place, Place::Primary, "{} did not come home: {:?}", state.steer.name, decision.reason);
        }
    }

    fn pass(&mut self, to: Moment) {
        self.now = self.start + to.since(self.start.moment);
    }

    fn schedule(&mut self, after: Duration, due: Due) -> (Moment, u64) {
        self.number += 1;
        let key = (self.now.moment + after, self.number);
        self.queue.insert(key, due);
        key
    }

    /// The daemon's start: reserve, publish, probe.
    fn begin(&mut self, mut effects: Effects) {
        if let Some(marks) = effects.reserve.take()
            && self.storage
        {
            self.disk.marks = marks.clone();
            self.reserved = true;
            let event = Event::Reserved { marks };
            self.tape.event(&event, self.now);
            self.controller.handle(event, self.now, &mut effects);
        }
        self.finish(effects);
    }

    fn tell(&mut self, event: Event) {
        let by = if matches!(event, Event::Elapsed) { For::Time } else { For::Another };
        let mut effects = Effects::default();
        self.tape.event(&event, self.now);
        self.controller.handle(event, self.now, &mut effects);
        self.finish_for(by, effects);
    }

    fn finish(&mut self, effects: Effects) {
        self.finish_for(For::Another, effects);
    }

    fn finish_for(&mut self, by: For, mut effects: Effects) {
        let before = self.snapshot.clone();
        let published = self.controller.publish(self.now, &mut effects, |_| self.now);
        self.tape.published(&self.controller, self.now, published.is_some(), &effects.record);
        if let Some(snapshot) = published {
            self.shadow.published(&snapshot, self.snapshot.as_deref(), &self.config, self.now);
            if let Some(before) = &self.snapshot {
                self.grounds.published(&snapshot, before, by, &self.config, self.now);
            }
            let decisions = snapshot.status.steers.iter().filter_map(|steer| steer.decision.as_ref());
            for decision in decisions {
                self.tally.short += u64::from(decision.reason == Reason::TooFew);
                self.tally.panics += u64::from(decision.reason == Reason::Panic);
            }
            self.trace.push(Traced::Published(self.now.wall, snapshot.generation));
            // A reload may still wait for its serials.
            let config = Arc::clone(self.controller.config());
            self.shadow.moved(&effects.record, &snapshot, before.as_deref(), &config, self.now);
            self.snapshot = Some(snapshot);
        }
        assert!(effects.refused.is_empty(), "the guard had to refuse: {:?}", effects.refused);
        for request in effects.probes {
            self.probe(&request);
        }
        for order in effects.wires {
            self.wire(order);
        }
        if effects.canary {
            let passed = self.network && self.resolver;
            let after = if passed { self.dice.between(1, 50) } else { 2000 };
            let started = self.now.moment;
            self.schedule(Duration::from_millis(after), Due::Canary { started, passed });
        }
        let is_turn = effects.record.iter().any(|entry| matches!(entry.what, Told::Turned(_)));
        for entry in effects.record {
            self.told(&entry);
            self.uncommitted.push(entry);
        }
        if is_turn && self.dice.one_in(4) {
            self.schedule(Duration::ZERO, Due::Again);
        }
        self.commit();
        if let Some(marks) = effects.reserve {
            let after = Duration::from_millis(self.dice.between(1, 30));
            if self.storage {
                self.schedule(after, Due::Reserved(marks));
            }
        }
        for (_, reply) in effects.replies {
            self.shadow.replied(&reply);
        }
        if let Some(key) = self.deadline.take() {
            self.queue.remove(&key);
        }
        if let Some(deadline) = self.controller.next_deadline() {
            self.deadline = Some(self.schedule(deadline.since(self.now.moment), Due::Deadline));
        }
    }

    fn told(&mut self, entry: &Entry) {
        self.trace.push(Traced::Told(entry.clone()));
        match &entry.what {
            Told::Turned(turn) => {
                self.tally.turns += 1;
                self.shadow.turned(turn, self.now);
            }
            Told::Verdict { to: Grade { degraded: true, .. }, .. } => self.tally.degraded += 1,
            Told::Verdict { to: Grade { class: Class::Down, .. }, target, why, .. } => {
                self.tally.downs += 1;
                self.tally.windows += u64::from(why.as_ref().is_some_and(|why| why.contains("of the last")));
                self.shadow.believed_dead(target, self.now, &self.config);
            }
            Told::DoubtBegan { .. } => self.tally.doubts += 1,
            Told::LimitReached { .. } => self.tally.waits += 1,
            Told::MovesApproved(_) => self.tally.approvals += 1,
            _ => {}
        }
    }

    fn commit(&mut self) {
        if self.storage && !self.uncommitted.is_empty() {
            let entries = std::mem::take(&mut self.uncommitted);
            let after = Duration::from_millis(self.dice.between(1, 20));
            self.schedule(after, Due::Committed(entries));
        }
    }

    fn probe(&mut self, request: &Request) {
        let address = match &request.target {
            Target::Address(address) => *address,
            Target::Hostname(name) => *self
                .config
                .origins
                .iter()
                .find_map(|origin| (origin.cname.as_ref() == Some(name)).then(|| origin.addresses().next()).flatten())
                .as_ref()
                .expect("every simulated host name has an address"),
            Target::Origin(_) => unreachable!("no simulated origin calls us"),
        };
        let timeout = request.check.timeout;
        let https = matches!(request.check.ask, Ask::Https(_));
        let quick = Duration::from_millis(self.dice.between(2, 120)).min(timeout);
        let (outcome, after) = if !self.ports {
            (Outcome::Inconclusive(LocalFault::NoPorts), Duration::from_millis(1))
        } else if !self.has_route(address) {
            (Outcome::Inconclusive(LocalFault::NoRoute), Duration::from_millis(1))
        } else if !self.network {
            (Outcome::Failed(Cause::ConnectTimeout), timeout)
        } else {
            match self.health[&address] {
                Health::Alive => (Outcome::Passed, quick),
                Health::Refuses => (Outcome::Failed(Cause::ConnectRefused), quick),
                Health::Silent => (Outcome::Failed(Cause::Timeout(Phase::FirstByte)), timeout),
                Health::Expired if https => (Outcome::Failed(Cause::CertExpired), quick),
                Health::Expired | Health::Astray => (Outcome::Passed, quick),
                Health::Lossy(share) if self.dice.below(100) < u64::from(share) => {
                    (Outcome::Failed(Cause::ConnectTimeout), timeout)
                }
                Health::Lossy(_) => (Outcome::Passed, quick),
                Health::Slow(millis) if u128::from(millis) < timeout.as_millis() => {
                    (Outcome::Passed, Duration::from_millis(u64::from(millis)))
                }
                Health::Slow(_) => (Outcome::Failed(Cause::Timeout(Phase::FirstByte)), timeout),
            }
        };
        // Astray is each to a host of its own: what all do is a habit.
        let location = match self.health[&address] {
            _ if outcome != Outcome::Passed => None,
            Health::Astray => Some(format!("https://astray-{}.test/", address.to_string().replace(':', "-"))),
            _ => self.habit.then(|| "https://habit.test/".to_owned()),
        };
        let detail = location.map(|location| Arc::new(Detail { location: Some(location), ..Detail::default() }));
        let observation = Observation {
            watch: request.watch,
            epoch: request.epoch,
            purpose: request.purpose,
            started: self.now.moment,
            finished: self.now.moment + after,
            outcome,
            address: Some(address),
            phases: Phases::default(),
            warnings: Vec::new(),
            certificate: None,
            status: detail.is_some().then_some(302),
            detail,
        };
        self.schedule(after, Due::Observed(Box::new(observation)));
    }

    fn wire(&mut self, order: tripwire::Order) {
        match order {
            tripwire::Order::Open(wire) => {
                assert!(self.wires.insert(wire.to, wire).is_none(), "opened twice");
                let works = self.network && self.has_route(wire.to.ip()) && self.health[&wire.to.ip()] == Health::Alive;
                self.news(wire, if works { tripwire::What::Held } else { tripwire::What::Ended });
            }
            tripwire::Order::Close(wire) => assert_eq!(self.wires.remove(&wire.to), Some(wire), "not open"),
        }
    }

    fn news(&mut self, wire: Wire, what: tripwire::What) {
        let after = Duration::from_millis(self.dice.between(1, 20));
        self.schedule(after, Due::Wire(News { wire, at: self.now.moment + after, what }));
    }

    /// Wires end: those that lead to `address`, or all of them.
    fn cut_wires(&mut self, address: Option<IpAddr>) {
        let wires: Vec<_> = self.wires.values().copied().collect();
        for wire in wires.into_iter().filter(|wire| address.is_none_or(|address| wire.to.ip() == address)) {
            self.news(wire, tripwire::What::Ended);
        }
    }

    fn set_health(&mut self, address: IpAddr, health: Health) {
        if health == Health::Refuses {
            self.cut_wires(Some(address));
        }
        self.health.insert(address, health);
        self.shadow.health(address, health, self.now);
        self.grounds.health(address, health, self.now);
    }

    fn has_route(&self, address: IpAddr) -> bool {
        self.routes[usize::from(address.is_ipv6())]
    }

    /// Something of ours failed or was mended.
    fn weigh_soundness(&mut self) {
        self.grounds.sound(self.network && self.ports && self.routes == [true; 2], self.now);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Observed(observation) if matches!(observation.outcome, Outcome::Inconclusive(_)) => {
                self.tell(Event::Elapsed);
                let before = self.snapshot.clone();
                self.tell(Event::Observed(*observation));
                if let Some((before, after)) = before.zip(self.snapshot.as_ref()) {
                    grounds::said_nothing(&before, after);
                }
            }
            Due::Observed(observation) => self.tell(Event::Observed(*observation)),
            Due::Canary { started, passed } => self.tell(Event::Canary { started, passed }),
            Due::Deadline => {
                self.deadline = None;
                self.tell(Event::Elapsed);
            }
            Due::Committed(entries) => {
                let sequence = entries.last().map_or(0, |entry| entry.sequence);
                for entry in entries {
                    self.keep(entry);
                }
                self.tell(Event::Committed { sequence });
            }
            Due::Reserved(marks) => {
                self.disk.marks = marks.clone();
                self.reserved = true;
                self.tell(Event::Reserved { marks });
            }
            Due::Health(address, health) => self.set_health(address, health),
            Due::Wire(news) => {
                if self.wires.get(&news.wire.to) == Some(&news.wire) {
                    if news.what == tripwire::What::Ended {
                        self.wires.remove(&news.wire.to);
                    }
                    self.tell(Event::Wire(news));
                }
            }
            Due::Wires => self.cut_wires(None),
            Due::Network(works) => {
                self.network = works;
                self.shadow.network(works, self.now);
                self.weigh_soundness();
            }
            Due::Resolver(works) => self.resolver = works,
            Due::Route(ipv6, works) => {
                self.routes[usize::from(ipv6)] = works;
                self.weigh_soundness();
            }
            Due::Ports(works) => {
                self.ports = works;
                self.weigh_soundness();
            }
            Due::Again => {
                self.tell(Event::Elapsed);
                let before = self.snapshot.clone();
                self.load_again();
                if let Some((before, after)) = before.zip(self.snapshot.as_ref()) {
                    grounds::nothing_moved(&before, after, "the configuration it has already");
                }
            }
            Due::Storage(works) => {
                self.storage = works;
                self.tell(Event::Storage { trouble: (!works).then(|| "disk full".to_owned()) });
                self.commit();
            }
            Due::ClockJump(seconds) => {
                self.start.wall = Wall::from_millis(self.start.wall.millis() + seconds * 1000);
                self.pass(self.now.moment);
                self.shadow.clock_jumped(self.now);
            }
            Due::Ask => {
                let asked = self.random_order();
                self.ask(asked);
            }
            Due::Reload => self.reload(),
            Due::Crash => self.restart(false),
            Due::Stop => self.restart(true),
        }
    }

    fn keep(&mut self, entry: Entry) {
        self.disk.sequence = entry.sequence;
        match entry.what {
            Told::Turned(turn) => {
                let decision = RestoredDecision {
                    name: turn.name.clone(),
                    place: turn.to.place,
                    origins: turn.to.origins.clone(),
                    at: entry.at,
                };
                self.disk.decisions.insert(turn.name.clone(), decision);
            }
            Told::Ordered(order) => {
                self.disk.next_order = order.id.0 + 1;
                self.disk.orders.insert(order.id.0, order);
            }
            Told::OrderEnded { order, by } => {
                assert!(by != Ending::Expired || order.until.is_some_and(|until| until <= entry.at));
                self.disk.orders.remove(&order.id.0);
            }
            _ => {}
        }
    }

    fn ask(&mut self, asked: Asked) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if let Asked::Failback { name } = &asked {
            self.shadow.approved(name);
        }
        self.tell(Event::Asked { ticket, actor: "operator".into(), asked });
    }

    fn random_order(&mut self) -> Asked {
        let steer = Arc::clone(&self.config.steers[self.dice.below(self.config.steers.len() as u64) as usize]);
        let origin = self.config.origins[self.dice.below(self.config.origins.len() as u64) as usize].name.clone();
        let place = steer.rungs[self.dice.below(steer.rungs.len() as u64) as usize].place;
        let span = if self.dice.one_in(3) {
            Span::UntilReleased
        } else {
            Span::For(Duration::from_secs(self.dice.between(3, 40)))
        };
        let (reason, force) = ("drill".to_owned(), self.dice.one_in(2));
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.status.waiting.is_some()) && self.dice.one_in(2) {
            return Asked::Approve { name: self.dice.one_in(2).then(|| steer.name.clone()) };
        }
        match self.dice.below(5) {
            0 | 1 => {
                let what = What::Hold { name: steer.name.clone(), place };
                Asked::Order { what, span, reason, force }
            }
            2 => Asked::Order { what: What::Drain { origin }, span, reason, force },
            3 if self.dice.one_in(2) => Asked::Release(Released::Origin(origin)),
            3 => Asked::Release(Released::Name(steer.name.clone())),
            _ => Asked::Failback { name: steer.name.clone() },
        }
    }

    fn reload(&mut self) {
        let mut config = (*self.config).clone();
        // Thresholds may change under a watch; what is asked of it stays.
        for check in &mut config.checks {
            if self.dice.one_in(2) {
                let mut changed = (**check).clone();
                (changed.fall, changed.rise) = random_thresholds(&mut self.dice, self.prompt);
                changed.every = Duration::from_millis(self.dice.between(1000, 6000));
                changed.window = random_window(&mut self.dice).filter(|_| !self.prompt);
                *check = Arc::new(changed);
            }
        }
        if self.dice.one_in(3) {
            config.origins.rotate_left(1);
            let count = config.origins.len() as u32;
            let moved = |id: OriginId| OriginId((id.0 + count - 1) % count);
            for steer in &mut config.steers {
                let mut changed = (**steer).clone();
                for rung in &mut changed.rungs {
                    rung.origins.iter_mut().for_each(|id| *id = moved(*id));
                }
                *steer = Arc::new(changed);
            }
        }
        if self.dice.one_in(2) {
            self.edit_ladder(&mut config);
        }
        if let Some(velocity) = &mut config.velocity {
            velocity.names = Names::Number(self.dice.between(1, 3) as usize);
        }
        self.config = Arc::new(config);
        self.file_serial = self.dice.between(1, 4) as u32;
        self.grounds.reloaded(self.now);
        self.load_again();
    }

    /// Has what is configured loaded.
    fn load_again(&mut self) {
        self.shadow.reloaded(self.file_serial, self.now);
        self.tickets += 1;
        let loaded = Box::new(self.tape.read(loaded(&self.config, self.file_serial)));
        let ticket = Some(Ticket(self.tickets));
        self.tell(Event::Reloaded { ticket, actor: Some("operator".into()), loaded, force: false });
    }

    /// Puts another origin in as the first backup, or takes a rung out that is not served.
    fn edit_ladder(&mut self, config: &mut Config) {
        let index = self.dice.below(config.steers.len() as u64) as usize;
        let mut steer = (*config.steers[index]).clone();
        let used: Vec<_> = steer.rungs.iter().flat_map(|rung| rung.origins.clone()).collect();
        let free = (0..config.origins.len() as u32).map(OriginId).find(|id| !used.contains(id));
        let shown =
            self.snapshot.as_ref().and_then(|s| s.status.steers.iter().find(|s| s.steer.name == steer.name).cloned());
        let served = shown.and_then(|shown| shown.decision.as_ref().map(|decision| decision.rung));
        match free {
            Some(origin) if self.dice.one_in(2) => {
                let (check, quorum) = (steer.rungs[0].check.clone(), Quorum::default());
                let rung = Rung { place: Place::Backup(1), origins: vec![origin], check, quorum };
                steer.rungs.insert(1, rung);
            }
            _ if steer.rungs.len() > 2 => {
                let gone = 1 + self.dice.below(steer.rungs.len() as u64 - 1) as usize;
                if served.is_some_and(|served| served != gone) {
                    steer.rungs.remove(gone);
                }
            }
            _ => {}
        }
        for (at, rung) in steer.rungs.iter_mut().enumerate().skip(1) {
            if rung.place != Place::Emergency {
                rung.place = Place::Backup(at as u8);
            }
        }
        config.steers[index] = Arc::new(steer);
    }

    fn restart(&mut self, clean: bool) {
        self.tally.restarts += 1;
        if clean && self.storage {
            for entry in std::mem::take(&mut self.uncommitted) {
                self.keep(entry);
            }
            let pending: Vec<_> =
                self.queue.iter().filter(|(_, due)| matches!(due, Due::Committed(_))).map(|(key, _)| *key).collect();
            for key in pending {
                if let Some(Due::Committed(entries)) = self.queue.remove(&key) {
                    entries.into_iter().for_each(|entry| self.keep(entry));
                }
            }
            self.disk.clean = self.controller.clean();
        } else {
            self.disk.clean.clear();
        }
        self.uncommitted.clear();
        // Whatever was on its way is lost with the process.
        self.queue.retain(|_, due| {
            let is_ours = matches!(due, Due::Committed(_) | Due::Reserved(_) | Due::Deadline);
            !is_ours && !matches!(due, Due::Observed(_) | Due::Canary { .. } | Due::Wire(_))
        });
        self.wires.clear();
        self.deadline = None;
        let down = Duration::from_millis(self.dice.between(50, 3000));
        self.pass(self.now.moment + down);
        let restored = Restored {
            marks: self.disk.marks.clone(),
            // The storage stamps a sign of life: a decision is as old as the process, not as its turn.
            decisions: self
                .disk
                .decisions
                .values()
                .cloned()
                .map(|d| RestoredDecision { at: self.now.wall, ..d })
                .collect(),
            orders: self.disk.orders.values().cloned().collect(),
            next_sequence: self.disk.sequence + 1,
            next_order: self.disk.next_order,
            clean: std::mem::take(&mut self.disk.clean),
        };
        self.shadow.restarted(&self.disk.decisions, std::mem::take(&mut self.reserved));
        self.snapshot = None;
        self.file_serial = 1;
        self.grounds.restarted();
        self.weigh_soundness();
        let loaded = self.tape.read(loaded(&self.config, 1));
        self.tape.start(&loaded, &restored, self.now);
        let (controller, effects) = Controller::new(loaded, restored, self.now);
        self.controller = controller;
        self.begin(effects);
    }

    /// The random history of this seed.
    fn plan_mischief(&mut self) {
        let span = super::SPAN * 1000;
        let addresses: Vec<_> = self.health.keys().copied().collect();
        let at = |dice: &mut Dice| Duration::from_millis(dice.below(span));
        for _ in 0..self.dice.between(1, 8) {
            let address = addresses[self.dice.below(addresses.len() as u64) as usize];
            let lossy = Health::Lossy(self.dice.between(30, 70) as u8);
            let slow = Health::Slow(self.dice.between(100, 900) as u16);
            let astray = if self.habit { Health::Refuses } else { Health::Astray };
            let all = [Health::Refuses, Health::Silent, Health::Expired, astray, lossy, slow];
            let health = all[self.dice.below(all.len() as u64) as usize];
            let (begin, length) = (at(&mut self.dice), self.dice.between(100, 60_000));
            self.schedule(begin, Due::Health(address, health));
            self.schedule(begin + Duration::from_millis(length), Due::Health(address, Health::Alive));
        }
        for _ in 0..self.dice.below(3) {
            let (begin, length) = (at(&mut self.dice), Duration::from_millis(self.dice.between(500, 30_000)));
            match self.dice.below(6) {
                0 => {
                    self.schedule(begin, Due::Network(false));
                    // What translates our addresses has forgotten them, too.
                    self.schedule(begin, Due::Wires);
                    self.schedule(begin + length, Due::Network(true));
                }
                1 => {
                    self.schedule(begin, Due::Resolver(false));
                    self.schedule(begin + length, Due::Resolver(true));
                }
                2 | 3 => {
                    let families = [&[false][..], &[true], &[false, true]][self.dice.below(3) as usize];
                    for &ipv6 in families {
                        self.schedule(begin, Due::Route(ipv6, false));
                        self.schedule(begin + length, Due::Route(ipv6, true));
                    }
                }
                4 => {
                    self.schedule(begin, Due::Ports(false));
                    self.schedule(begin + length, Due::Ports(true));
                }
                _ => {
                    self.schedule(begin, Due::Storage(false));
                    self.schedule(begin + length, Due::Storage(true));
                }
            }
        }
        for _ in 0..self.dice.below(5) {
            let begin = at(&mut self.dice);
            self.schedule(begin, Due::Ask);
        }
        for _ in 0..self.dice.below(4) {
            // Every wire ends, and nothing else happens.
            let begin = at(&mut self.dice);
            self.schedule(begin, Due::Wires);
        }
        if self.dice.one_in(3) {
            let begin = at(&mut self.dice);
            let jump = self.dice.below(100_000) as i64 - 50_000;
            self.schedule(begin, Due::ClockJump(jump));
        }
        if self.dice.one_in(4) {
            // A reload every second for a while, whatever else goes on.
            let begin = at(&mut self.dice);
            for second in 0..self.dice.between(5, 30) {
                self.schedule(begin + Duration::from_secs(second), Due::Reload);
            }
        } else if self.dice.one_in(2) {
            let begin = at(&mut self.dice);
            self.schedule(begin, Due::Reload);
        }
        for _ in 0..self.dice.below(3) {
            let begin = at(&mut self.dice);
            let due = if self.dice.one_in(3) { Due::Stop } else { Due::Crash };
            self.schedule(begin, due);
        }
    }
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        let Self { turns, downs, restarts, doubts, windows, degraded, short, panics, waits, approvals } = other;
        self.turns += turns;
        self.downs += downs;
        self.restarts += restarts;
        self.doubts += doubts;
        self.windows += windows;
        self.degraded += degraded;
        self.short += short;
        self.panics += panics;
        self.waits += waits;
        self.approvals += approvals;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} at {}; the last that happened:", self.seed, self.now.wall);
            for traced in self.trace.iter().rev().take(40).rev() {
                eprintln!("  {traced}");
            }
        }
    }
}

/// `fall` and `rise`.
fn random_thresholds(dice: &mut Dice, prompt: bool) -> (u32, u32) {
    let fall = dice.between(1, if prompt { 2 } else { 4 }) as u32;
    let rise = fall + dice.below(2) as u32;
    (fall, if prompt { rise.min(2) } else { rise })
}

/// Tight: a world has few names.
fn random_velocity(dice: &mut Dice) -> Option<Velocity> {
    let seconds = |dice: &mut Dice, low, high| Duration::from_secs(dice.between(low, high));
    let names = if dice.one_in(3) { Names::Share(50) } else { Names::Number(dice.between(1, 2) as usize) };
    let (per, longer) = (seconds(dice, 5, 40), seconds(dice, 1, 15));
    let beyond = if dice.one_in(3) { Beyond::Person } else { Beyond::Confirm { longer } };
    dice.one_in(2).then_some(Velocity { names, per, beyond })
}

fn random_window(dice: &mut Dice) -> Option<Window> {
    let of = dice.between(3, 6) as u32;
    let failed = dice.between(2, u64::from(of)) as u32;
    dice.one_in(2).then_some(Window { failed, of })
}

fn random_rules(dice: &mut Dice) -> Vec<Rule> {
    let rules = ["p50 time > 200ms over 6", "p75 time > 300ms over 4 until < 150ms", "errors > 20% over 8 until < 15%"];
    let rules = rules.into_iter().filter(|_| dice.one_in(3));
    rules.map(|rule| Rule::parse(rule).expect("a rule")).collect()
}

/// One check, or several that speak together.
fn random_checks(dice: &mut Dice, count: usize) -> Checks {
    let mut of: Vec<_> = (0..count as u32).map(CheckId).collect();
    of.rotate_left(dice.below(count as u64) as usize);
    of.truncate(if dice.one_in(2) { 1 } else { dice.between(1, count as u64) as usize });
    Checks { need: dice.between(1, of.len() as u64) as usize, of }
}

fn random_quorum(dice: &mut Dice, origins: usize) -> Quorum {
    let min_up = if dice.one_in(2) { dice.between(1, origins as u64) as usize } else { 1 };
    let panic = dice.one_in(3).then(|| [30, 50, 67, 100][dice.below(4) as usize]);
    Quorum { min_up, panic: panic.filter(|_| origins > 1) }
}

fn random_config(dice: &mut Dice, prompt: bool) -> Config {
    let checks = (0..dice.between(1, 3)).map(|n| {
        let (fall, rise) = random_thresholds(dice, prompt);
        let every = Duration::from_millis(dice.between(1000, 8000));
        let web = Web::get("/healthz");
        let ask = if dice.one_in(2) { Ask::Https(web) } else { Ask::Http(web) };
        Arc::new(Check {
            name: format!("check{n}"),
            ask,
            port: 443 + n as u16,
            every,
            standby_every: every * dice.between(1, 2) as u32,
            timeout: Duration::from_millis(dice.between(500, 1000)),
            fall,
            rise,
            confirm: Duration::from_millis(dice.between(100, 600)),
            blip: Duration::from_millis(dice.between(0, 1500)),
            expect: Vec::new(),
            warn: Vec::new(),
            ca: None,
            tripwire: true,
            window: random_window(dice).filter(|_| !prompt),
            degraded: if prompt { Vec::new() } else { random_rules(dice) },
        })
    });
    let checks: Vec<_> = checks.collect();
    let origins = (0..dice.between(2, 6)).map(|n| {
        let a = (0..dice.between(1, 2)).map(|m| Ipv4Addr::new(192, 0, 2, (n * 8 + m + 1) as u8)).collect();
        let cname = Some(Name::absolute(&format!("origin{n}.example.net")).expect("a name"));
        Arc::new(Origin {
            name: format!("origin{n}"),
            cname,
            a,
            aaaa: if dice.one_in(2) {
                vec![Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16 + 1)]
            } else {
                Vec::new()
            },
            probe_port: None,
            probe_check: None,
            platform: Platform::Plain,
        })
    });
    let origins: Vec<_> = origins.collect();
    let steers = (0..dice.between(1, 4)).map(|n| {
        let form = if dice.one_in(3) { Form::Cname } else { Form::Address };
        let check = random_checks(dice, checks.len());
        let mut left: Vec<_> = (0..origins.len() as u32).map(OriginId).collect();
        let mut rungs = Vec::new();
        while !left.is_empty() && rungs.len() < 4 && (rungs.len() < 2 || !dice.one_in(3)) {
            let mut take = vec![left.remove(dice.below(left.len() as u64) as usize)];
            while form == Form::Address && !left.is_empty() && dice.one_in(3) {
                take.push(left.remove(0));
            }
            let quorum = random_quorum(dice, take.len());
            let place = match rungs.len() {
                0 => Place::Primary,
                n => Place::Backup(n as u8),
            };
            rungs.push(Rung { place, origins: take, check: Some(check.clone()), quorum });
        }
        if rungs.len() > 1 && dice.one_in(2) {
            rungs.last_mut().expect("two").place = Place::Emergency;
        }
        let failback = match dice.below(3) {
            _ if prompt => Failback::Auto,
            0 => Failback::Auto,
            1 => Failback::After(Duration::from_secs(dice.between(1, 20))),
            _ => Failback::Manual,
        };
        let name = Name::absolute(&format!("name{n}.{ZONE}")).expect("a name");
        let hosts = vec![name.to_host()];
        let (leave_degraded, strict) = (dice.one_in(2), dice.one_in(3));
        Arc::new(Steer { name, zone: ZoneId(0), rungs, ttl: 30, failback, strict, hosts, form, leave_degraded })
    });
    let steers = steers.collect();
    Config {
        server: Server {
            name: "ns1".into(),
            listen: Vec::new(),
            workers: Some(1),
            state: "state".into(),
            state_max_age: Duration::from_secs(3600),
            resolvers: Resolvers::System,
            watch: false,
            doubt_share: 0.5,
            answering: Default::default(),
            encrypted: Default::default(),
            asking: Default::default(),
            record: Default::default(),
        },
        admin: Admin {
            listen: "127.0.0.1:8053".parse().expect("an address"),
            ops_listen: "127.0.0.1:9153".parse().expect("an address"),
            tokens: Vec::new(),
        },
        alerts: Vec::new(),
        velocity: None,
        cli: Cli::default(),
        zones: vec![ZoneFile { apex: Name::absolute(ZONE).expect("a name"), file: "zone".into() }],
        checks,
        origins,
        steers,
    }
}

fn loaded(config: &Arc<Config>, serial: u32) -> Loaded {
    let zone = Zone {
        table: static_table(serial),
        serial: Serial(serial),
        records: 3,
        signatures_until: None,
        report: Report::default(),
    };
    Loaded { config: Arc::clone(config), zones: vec![zone], warnings: Vec::new(), files: Arc::default() }
}

fn static_table(serial: u32) -> Table {
    let apex = Name::absolute(ZONE).expect("a name");
    let ns = apex.child(b"ns1").expect("a name");
    let mut soa = [ns.as_wire(), apex.as_wire()].concat();
    for number in [serial, 3600, 600, 1_209_600, 30] {
        soa.extend(number.to_be_bytes());
    }
    let mut builder = Builder::new(apex.clone());
    builder.push(&apex, Type::SOA, 3600, &soa).expect("in zone");
    builder.push(&apex, Type::NS, 3600, ns.as_wire()).expect("in zone");
    builder.push(&ns, Type::A, 3600, &[192, 0, 2, 253]).expect("in zone");
    let (table, oddities) = builder.finish();
    assert!(oddities.is_empty());
    table
}
