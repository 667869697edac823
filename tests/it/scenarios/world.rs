//! The stage a scenario plays on: the real core, with a clock that moves when the story says so.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use failoverd::answer;
use failoverd::config::{self, Config, Place};
use failoverd::control::journal::What as Told;
use failoverd::control::{
    Asked, Controller, Effects, Event, Loaded, Released, Reply, ResolveFault, Resolved, Restored, Span, Ticket,
};
use failoverd::decision::Reason;
use failoverd::decision::order::What;
use failoverd::dns::{Name, Type};
use failoverd::probe::judge::judge;
use failoverd::probe::tripwire::{self, News, Wire};
use failoverd::probe::{Cause, Detail, LocalFault, Observation, Outcome, Phase, Phases, Request, Target};
use failoverd::ready::caa::Ours;
use failoverd::ready::foresight;
use failoverd::snapshot::Snapshot;
use failoverd::time::{Moment, Now, Wall};
use failoverd::verdict::Class;
use failoverd::zone;

mod callers;
mod site;

use callers::Callers;
use site::Site;

/// The scenario's text with what really came back below each question.
pub fn tell(text: &str) -> String {
    let parts: Vec<_> = text.splitn(3, "\n----\n").collect();
    let [config, zone, story] = parts[..] else { panic!("a scenario has three parts") };
    let mut world = World::new(config, zone);
    let mut told = format!("{config}\n----\n{zone}\n----\n");
    for line in story.lines() {
        if line.starts_with(' ') && !line.trim().is_empty() {
            continue;
        }
        told.push_str(line);
        told.push('\n');
        let plain = line.split('#').next().unwrap_or("").trim();
        if let Some((at, what)) = plain.split_once(' ') {
            let seconds: f64 = at.trim_end_matches('s').parse().expect("a time in seconds");
            world.run_to(seconds);
            for answer in world.act(what.trim()) {
                told.push_str(&format!("  {answer}\n"));
            }
        }
    }
    told
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Alive,
    Refuses,
    Silent,
    /// So many percent of the probes get no reply.
    Lossy(u64),
    /// This long until the reply.
    Slow(Duration),
}

/// As stories call the address families.
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

fn family(target: &Target) -> Option<&'static str> {
    match target {
        Target::Address(address) => Some(FAMILIES[usize::from(address.is_ipv6())]),
        Target::Hostname(_) | Target::Origin(_) => None,
    }
}

enum Due {
    Observed(Box<Observation>),
    Canary(Moment),
    Resolved(Name),
    Wire(News),
    /// An origin calls us.
    Call(String),
    Deadline,
}

pub struct World {
    start: Now,
    now: Now,
    queue: BTreeMap<(Moment, u64), Due>,
    number: u64,
    config: Arc<Config>,
    controller: Controller,
    snapshot: Option<Arc<Snapshot>>,
    /// Of an origin, and where one of its checks or families fares otherwise, of that.
    health: BTreeMap<(String, Option<String>), Health>,
    /// What an origin that is alive shows, where that is not simply fine.
    sites: BTreeMap<String, Site>,
    /// What host names resolve to; without addresses they are gone.
    resolves: BTreeMap<Name, Vec<IpAddr>>,
    /// Probes of each origin since they were counted last.
    counts: BTreeMap<String, u32>,
    /// Connections that are held, by where they lead, and those opened to each origin since they were counted last.
    wires: BTreeMap<SocketAddr, Wire>,
    wired: BTreeMap<String, u32>,
    /// Origins that close idle connections, and when.
    patience: BTreeMap<String, Duration>,
    callers: Callers,
    /// This host sleeps until then: what is due waits, and who calls is not heard.
    asleep: Moment,
    warnings: Vec<String>,
    dice: u64,
    probes: u64,
    lost: u64,
    network: bool,
    /// Ours, of each address family.
    routes: BTreeMap<&'static str, bool>,
    told: Vec<String>,
    replies: Vec<Reply>,
    desk: answer::Desk,
}

/// What people were shown at one moment.
pub struct Shown(Arc<Snapshot>);

impl Shown {
    /// How many names are shown anew.
    pub fn changed_since(&self, before: &Self) -> usize {
        self.0.status.steers.unshared(Some(&before.0.status.steers)).count()
    }
}

struct Memory(BTreeMap<PathBuf, String>);

impl zone::Files for Memory {
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(text.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn list(&self, _folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.keys().cloned().collect())
    }
}

impl World {
    pub fn new(config: &str, zone_text: &str) -> Self {
        let path = PathBuf::from("/etc/failoverd/failoverd.toml");
        let zone_path = PathBuf::from("/etc/failoverd/fo.zone");
        let token = (PathBuf::from("/etc/failoverd/beat.token"), "0123456789abcdef".to_owned());
        let files = Memory([(path.clone(), config.to_owned()), (zone_path, zone_text.to_owned()), token].into());
        let read = config::read(&files, &path, &|_| None, "ns1").unwrap_or_else(|errors| panic!("{errors}"));
        let zones = read.config.zones.iter().map(|file| {
            zone::load::load(&files, &file.apex, &file.file, &|_| false).unwrap_or_else(|report| panic!("{report}"))
        });
        let zones: Vec<_> = zones.collect();
        read.against(&zones).unwrap_or_else(|errors| panic!("{errors}"));
        let config = Arc::new(read.config.clone());
        let warnings = foresight::warnings(&config, &Ours::new(zones.iter().map(|zone| &zone.table)));
        let loaded = Loaded { config: Arc::clone(&config), zones, warnings: Vec::new(), files: Arc::default() };
        let start =
            Now { moment: Moment::from_boot(Duration::from_secs(1000)), wall: Wall::from_millis(1_795_257_120_000) };
        let health = config.origins.iter().map(|origin| ((origin.name.clone(), None), Health::Alive)).collect();
        let (controller, effects) = Controller::new(loaded, Restored::default(), start);
        let mut world = Self {
            start,
            now: start,
            queue: BTreeMap::new(),
            number: 0,
            config,
            controller,
            snapshot: None,
            health,
            sites: BTreeMap::new(),
            resolves: BTreeMap::new(),
            counts: BTreeMap::new(),
            wires: BTreeMap::new(),
            wired: BTreeMap::new(),
            patience: BTreeMap::new(),
            callers: Callers::default(),
            asleep: start.moment,
            warnings,
            dice: 1,
            probes: 0,
            lost: 0,
            network: true,
            routes: FAMILIES.map(|family| (family, true)).into(),
            told: Vec::new(),
            replies: Vec::new(),
            desk: answer::Desk::new(1),
        };
        world.finish(effects);
        world
    }

    pub fn run_to(&mut self, seconds: f64) {
        let end = self.start.moment + Duration::from_secs_f64(seconds);
        while let Some((&key, _)) = self.queue.first_key_value() {
            if key.0 > end {
                break;
            }
            let due = self.queue.remove(&key).expect("it was first");
            let (at, is_asleep) = (key.0.max(self.asleep), key.0 < self.asleep);
            self.now = self.start + at.since(self.start.moment);
            match due {
                Due::Observed(observation) => self.event(Event::Observed(*observation)),
                Due::Canary(started) => self.event(Event::Canary { started, passed: self.network }),
                Due::Resolved(name) => self.resolved(name),
                Due::Wire(news) => self.tell_of_wire(news),
                Due::Call(origin) => {
                    if let Some(every) = self.callers.pace(&origin) {
                        let next = (key.0 + every, self.number);
                        self.number += 1;
                        self.queue.insert(next, Due::Call(origin.clone()));
                        if !is_asleep {
                            self.call(&origin, false);
                        }
                    }
                }
                Due::Deadline => self.event(Event::Elapsed),
            }
        }
        self.now = self.start + end.since(self.start.moment);
    }

    fn event(&mut self, event: Event) {
        let mut effects = Effects::default();
        self.controller.handle(event, self.now, &mut effects);
        self.finish(effects);
    }

    /// One call of `origin`, for each check that waits for it.
    fn call(&mut self, origin: &str, failed: bool) -> Vec<String> {
        for call in self.callers.call(&self.config, origin, failed, self.now.moment) {
            self.event(Event::Called(call));
        }
        Vec::new()
    }

    fn later(&mut self, after: Duration, due: Due) {
        self.number += 1;
        self.queue.insert((self.now.moment + after, self.number), due);
    }

    fn finish(&mut self, mut effects: Effects) {
        if let Some(snapshot) = self.controller.publish(self.now, &mut effects, |_| self.now) {
            self.snapshot = Some(snapshot);
        }
        for request in effects.probes {
            self.probe(&request);
        }
        for order in effects.wires {
            self.wire(order);
        }
        if effects.canary {
            self.later(Duration::from_millis(10), Due::Canary(self.now.moment));
        }
        for name in effects.resolve {
            self.later(Duration::from_millis(10), Due::Resolved(name));
        }
        for entry in effects.record {
            let at = entry.at.since(self.start.wall).as_secs_f64();
            let line = match entry.what {
                Told::Turned(turn) => Some(format!(
                    "{at:.1}s {}: {} -> {}; {}",
                    turn.name.to_host(),
                    turn.from.map_or_else(|| "nothing".to_owned(), |from| from.place.to_string()),
                    turn.to.place,
                    turn.evidence.join("; ")
                )),
                Told::Verdict { origin, to, why: Some(rule), .. } if to.degraded => {
                    Some(format!("{at:.1}s {origin} degraded: {rule}"))
                }
                Told::Verdict { origin, from, .. } if from.degraded => {
                    Some(format!("{at:.1}s {origin} degraded no more"))
                }
                Told::DoubtBegan { .. } => Some(format!("{at:.1}s own sight in doubt")),
                Told::DoubtEnded { .. } => Some(format!("{at:.1}s doubt ended")),
                Told::Ordered(order) => Some(format!("{at:.1}s order by {}: {:?}", order.actor, order.what)),
                Told::OrderEnded { by, .. } => Some(format!("{at:.1}s order ended: {by:?}")),
                Told::LimitReached { waiting, .. } => Some(format!("{at:.1}s velocity limit reached: {waiting}")),
                Told::LimitCleared { seconds } => Some(format!("{at:.1}s nobody waits any more, after {seconds} s")),
                Told::MovesApproved(told) => {
                    Some(format!("{at:.1}s {} approves {} moves", told.actor, told.names.len() + told.others))
                }
                Told::Rehearsed(told) => Some(site::told(at, &told)),
                _ => None,
            };
            self.told.extend(line);
        }
        self.replies.extend(effects.replies.into_iter().map(|(_, reply)| reply));
        self.queue.retain(|_, due| !matches!(due, Due::Deadline));
        if let Some(deadline) = self.controller.next_deadline() {
            self.later(deadline.since(self.now.moment), Due::Deadline);
        }
    }

    fn probe(&mut self, request: &Request) {
        let origin = self.config.origins.iter().find(|origin| match &request.target {
            Target::Address(address) => origin.addresses().any(|own| own == *address),
            Target::Hostname(name) => origin.cname.as_ref() == Some(name),
            Target::Origin(name) => *origin.name == **name,
        });
        let origin = origin.expect("a watch has an origin").name.clone();
        *self.counts.entry(origin.clone()).or_default() += 1;
        let of_check = self.health.get(&(origin.clone(), Some(request.check.name.clone()))).copied();
        let family = family(&request.target).map(str::to_owned);
        let of_family = family.and_then(|family| self.health.get(&(origin.clone(), Some(family)))).copied();
        let health = of_check.or(of_family).unwrap_or_else(|| self.health[&(origin.clone(), None)]);
        let resolved = match &request.target {
            Target::Hostname(name) => self.resolves.get(name).cloned().unwrap_or_default(),
            Target::Address(_) | Target::Origin(_) => Vec::new(),
        };
        let is_gone =
            matches!(&request.target, Target::Hostname(name) if self.resolves.get(name).is_some_and(Vec::is_empty));
        let facts = self.sites.get(&origin).map(|site| site.facts(request, self.now.wall)).unwrap_or_default();
        let is_plain = !self.sites.contains_key(&origin);
        let timeout = request.check.timeout;
        let (outcome, after) = match health {
            _ if request.check.ask.is_awaited() => {
                (self.callers.look(&origin, request, self.now), Duration::from_millis(1))
            }
            _ if !self.has_route(&request.target) => {
                (Outcome::Inconclusive(LocalFault::NoRoute), Duration::from_millis(1))
            }
            _ if !self.network => (Outcome::Failed(Cause::ConnectTimeout), timeout),
            _ if is_gone => (Outcome::Failed(Cause::NameGone), Duration::from_millis(1)),
            Health::Alive if is_plain => (Outcome::Passed, Duration::from_millis(20)),
            Health::Alive => (judge(&request.check, &facts, self.now.wall).outcome, Duration::from_millis(20)),
            Health::Refuses => (Outcome::Failed(Cause::ConnectRefused), Duration::from_millis(1)),
            Health::Silent => (Outcome::Failed(Cause::Timeout(Phase::FirstByte)), timeout),
            Health::Lossy(share) if self.throw() < share => (Outcome::Failed(Cause::ConnectTimeout), timeout),
            Health::Lossy(_) => (Outcome::Passed, Duration::from_millis(20)),
            Health::Slow(span) => (Outcome::Passed, span),
        };
        self.probes += 1;
        self.lost += u64::from(matches!(outcome, Outcome::Failed(_)));
        let observation = Observation {
            watch: request.watch,
            epoch: request.epoch,
            purpose: request.purpose,
            started: self.now.moment,
            finished: self.now.moment + after,
            outcome,
            address: match &request.target {
                Target::Address(address) => Some(*address),
                Target::Hostname(_) | Target::Origin(_) => resolved.first().copied(),
            },
            phases: Phases::default(),
            warnings: Vec::new(),
            certificate: facts.certificate.clone(),
            status: facts.status,
            detail: Detail::of(&facts, &resolved),
        };
        self.later(after, Due::Observed(Box::new(observation)));
    }

    fn wire(&mut self, order: tripwire::Order) {
        match order {
            tripwire::Order::Open(wire) => {
                let origin = self.origin_at(wire.to.ip());
                let is_seen = self.network && self.has_route(&Target::Address(wire.to.ip()));
                let is_open = is_seen && self.health[&(origin.clone(), None)] != Health::Refuses;
                let what = if is_open { tripwire::What::Held } else { tripwire::What::Ended };
                if let Some(&patience) = self.patience.get(&origin).filter(|_| is_open) {
                    self.news(wire, tripwire::What::Ended, patience);
                }
                *self.wired.entry(origin).or_default() += 1;
                assert_eq!(self.wires.insert(wire.to, wire), None, "opened twice");
                self.news(wire, what, Duration::from_millis(1));
            }
            tripwire::Order::Close(wire) => assert_eq!(self.wires.remove(&wire.to), Some(wire), "not open"),
        }
    }

    fn news(&mut self, wire: Wire, what: tripwire::What, after: Duration) {
        self.later(after, Due::Wire(News { wire, at: self.now.moment + after, what }));
    }

    /// Nothing more is told of one that was let go of, or has ended.
    fn tell_of_wire(&mut self, news: News) {
        if self.wires.get(&news.wire.to) != Some(&news.wire) {
            return;
        }
        if news.what != tripwire::What::Held {
            self.wires.remove(&news.wire.to);
        }
        self.event(Event::Wire(news));
    }

    /// The connections to this origin end, or all of them.
    fn end_wires(&mut self, origin: Option<&str>) -> Vec<String> {
        let wires: Vec<_> = self.wires.values().copied().collect();
        for wire in wires {
            if origin.is_none_or(|origin| self.origin_at(wire.to.ip()) == origin) {
                self.news(wire, tripwire::What::Ended, Duration::from_millis(1));
            }
        }
        Vec::new()
    }

    fn origin_at(&self, address: IpAddr) -> String {
        let origin = self.config.origins.iter().find(|origin| {
            let resolved = origin.cname.as_ref().and_then(|name| self.resolves.get(name));
            origin.addresses().chain(resolved.into_iter().flatten().copied()).any(|own| own == address)
        });
        origin.expect("a wire leads to an origin").name.clone()
    }

    /// Loses other packets.
    pub fn seed(&mut self, seed: u64) {
        self.dice = seed;
    }

    /// Probes made, by all watches.
    pub fn probes(&self) -> u64 {
        self.probes
    }

    /// Those that failed.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many names are served from this rung.
    pub fn on(&self, place: &str) -> usize {
        let steers = &self.snapshot.as_ref().expect("published").status.steers;
        let places = steers.iter().filter_map(|state| Some(state.decision.as_ref()?.place.to_string()));
        places.filter(|served| served == place).count()
    }

    /// How many names wait for the velocity limit.
    pub fn waiting(&self) -> usize {
        let waiting = &self.snapshot.as_ref().expect("published").status.waiting;
        waiting.as_ref().map_or(0, |waits| waits.names)
    }

    /// What people are shown now.
    pub fn shown(&self) -> Shown {
        Shown(Arc::clone(self.snapshot.as_ref().expect("published")))
    }

    /// 0 to 99, the same in every run (SplitMix64).
    fn throw(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 100
    }

    /// Carries out one line of the story; what is told back.
    pub fn act(&mut self, what: &str) -> Vec<String> {
        let words: Vec<_> = what.split_whitespace().collect();
        match words[..] {
            ["ask", name, rtype] => self.ask(name, rtype),
            ["explain", name, "to", client] => vec![self.explain(name, client)],
            ["status", name] => vec![self.status(name)],
            ["look", name] => self.look(name),
            ["turns"] => std::mem::take(&mut self.told),
            [origin, "was", "asked"] => vec![format!("{} times", self.counts.remove(origin).unwrap_or_default())],
            [origin, "was", "wired"] => vec![format!("{} times", self.wired.remove(origin).unwrap_or_default())],
            [origin, "calls"] => self.call(origin, false),
            [origin, "reports", "a", "failure"] => self.call(origin, true),
            [origin, "calls", "every", span] => {
                let seconds = span.trim_end_matches('s').parse().expect("seconds");
                self.callers.begin(origin, Duration::from_secs(seconds));
                self.later(Duration::ZERO, Due::Call(origin.to_owned()));
                Vec::new()
            }
            [origin, "stops", "calling"] => {
                self.callers.end(origin);
                Vec::new()
            }
            ["we", "hear", "nobody"] => {
                self.callers.deafen(true);
                Vec::new()
            }
            ["we", "hear", "again"] => {
                self.callers.deafen(false);
                Vec::new()
            }
            ["this", "host", "sleeps", span] => {
                let seconds = span.trim_end_matches('s').parse().expect("seconds");
                self.asleep = self.now.moment + Duration::from_secs(seconds);
                Vec::new()
            }
            ["wires", "end"] => self.end_wires(None),
            ["wires", "of", origin, "end"] => self.end_wires(Some(origin)),
            [origin, "crashes"] => {
                self.set(origin, None, Health::Refuses);
                self.end_wires(Some(origin))
            }
            [origin, "closes", "idle", "connections", "after", span] => {
                let seconds = span.trim_end_matches('s').parse().expect("seconds");
                self.patience.insert(origin.to_owned(), Duration::from_secs(seconds));
                Vec::new()
            }
            [host, "resolves", "to", ref addresses @ ..] => {
                let addresses = addresses.iter().map(|address| address.parse().expect("an address"));
                self.resolves.insert(Name::absolute(host).expect("a name"), addresses.collect());
                Vec::new()
            }
            [host, "is", "gone"] => {
                self.resolves.insert(Name::absolute(host).expect("a name"), Vec::new());
                Vec::new()
            }
            ["check"] => self.warnings.clone(),
            ["ready", name] => self.ready(name),
            [origin, "shows", ref what @ ..] => {
                let site = self.sites.entry(origin.to_owned()).or_default();
                site.show(what, self.now.wall);
                Vec::new()
            }
            ["our", "network", "fails"] => self.set_network(false),
            ["our", "network", "heals"] => self.set_network(true),
            ["our", "routes", "fail"] => self.set_routes(&FAMILIES, false),
            ["our", "routes", "heal"] => self.set_routes(&FAMILIES, true),
            ["our", family, "routes", "fail"] => self.set_routes(&[family], false),
            ["our", family, "routes", "heal"] => self.set_routes(&[family], true),
            [origin, "refuses"] => self.set(origin, None, Health::Refuses),
            [origin, "refuses", check] => self.set(origin, Some(check), Health::Refuses),
            [origin, "is", "silent"] => self.set(origin, None, Health::Silent),
            [origin, "is", "silent", "to", check] => self.set(origin, Some(check), Health::Silent),
            [origin, "heals"] => self.set(origin, None, Health::Alive),
            [origin, "heals", check] => self.set(origin, Some(check), Health::Alive),
            [origin, "loses", share] => {
                self.set(origin, None, Health::Lossy(share.trim_end_matches('%').parse().expect("a share")))
            }
            [origin, "takes", span] => {
                let millis = span.trim_end_matches("ms").parse().expect("milliseconds");
                self.set(origin, None, Health::Slow(Duration::from_millis(millis)))
            }
            ["hold", name, place, "for", span] => {
                let name = Name::absolute(name).expect("a name");
                let place = match place {
                    "primary" => Place::Primary,
                    "backup" => Place::Backup(1),
                    _ => Place::Emergency,
                };
                let seconds = span.trim_end_matches('s').parse().expect("seconds");
                let span = Span::For(Duration::from_secs(seconds));
                self.order(Asked::Order {
                    what: What::Hold { name, place },
                    span,
                    reason: "drill".into(),
                    force: false,
                })
            }
            ["drain", origin] => {
                let what = What::Drain { origin: origin.to_owned() };
                self.order(Asked::Order { what, span: Span::UntilReleased, reason: "drill".into(), force: false })
            }
            ["release", "origin", origin] => self.order(Asked::Release(Released::Origin(origin.to_owned()))),
            ["release", name] => self.order(Asked::Release(Released::Name(Name::absolute(name).expect("a name")))),
            ["approve", "all"] => self.order(Asked::Approve { name: None }),
            ["approve", name] => self.order(Asked::Approve { name: Some(Name::absolute(name).expect("a name")) }),
            ["who", "waits"] => self.who_waits(),
            ["failback", name] => self.order(Asked::Failback { name: Name::absolute(name).expect("a name") }),
            _ => panic!("the story does not know `{what}`"),
        }
    }

    /// Names that wait for the velocity limit, where they would go and since when; and when the first of them may.
    fn who_waits(&self) -> Vec<String> {
        let snapshot = self.snapshot.as_ref().expect("published");
        let names = snapshot.status.steers.iter().filter_map(|state| match state.decision.as_ref()?.reason {
            Reason::Waits { to, since } => {
                let since = since.since(self.start.wall).as_secs_f64();
                Some(format!("{} for {to} since {since:.1}s", state.steer.name.to_host()))
            }
            _ => None,
        });
        let mut lines: Vec<_> = names.collect();
        let waiting = snapshot.status.waiting.as_ref();
        assert_eq!(waiting.map_or(0, |waits| waits.names), lines.len());
        lines.push(match waiting.map(|waits| waits.next) {
            None => "nobody".to_owned(),
            Some(None) => "until a person approves".to_owned(),
            Some(Some(next)) => format!("the next may at {:.1}s", next.since(self.start.moment).as_secs_f64()),
        });
        lines
    }

    /// How ready each origin of a name is, and why.
    fn ready(&self, name: &str) -> Vec<String> {
        let name = Name::absolute(name).expect("a name");
        let snapshot = self.snapshot.as_ref().expect("published");
        let state = snapshot.status.steers.iter().find(|state| state.steer.name == name).expect("a steered name");
        let mut lines = Vec::new();
        for (rung, seen) in state.steer.rungs.iter().zip(&*state.rungs) {
            for origin in &*seen.origins {
                lines.push(format!("{} {}: {}", rung.place, origin.name, origin.ready.word()));
                let watches = origin
                    .watches
                    .iter()
                    .map(|id| &snapshot.status.watches.get(id.0 as usize).expect("a watch").findings);
                let mut findings: Vec<_> = watches.chain([&origin.foreseen]).flat_map(|all| &**all).collect();
                findings.dedup();
                lines.extend(findings.into_iter().map(|finding| format!("  {}", finding.told())));
            }
        }
        lines
    }

    fn resolved(&mut self, hostname: Name) {
        let Some(addresses) = self.resolves.get(&hostname).cloned() else { return };
        let outcome = match addresses.is_empty() {
            true => Err(ResolveFault::Gone),
            false => Ok(Resolved { addresses, ttl: Duration::from_secs(10) }),
        };
        self.event(Event::Resolved { hostname, outcome });
    }

    fn set(&mut self, origin: &str, check: Option<&str>, health: Health) -> Vec<String> {
        assert!(self.health.contains_key(&(origin.to_owned(), None)), "no origin `{origin}`");
        let is_known = |part| FAMILIES.contains(&part) || self.config.checks.iter().any(|known| known.name == part);
        assert!(check.is_none_or(is_known), "no check");
        self.health.insert((origin.to_owned(), check.map(str::to_owned)), health);
        Vec::new()
    }

    fn set_routes(&mut self, of: &[&str], works: bool) -> Vec<String> {
        self.routes.iter_mut().filter(|(family, _)| of.contains(family)).for_each(|(_, route)| *route = works);
        Vec::new()
    }

    fn has_route(&self, target: &Target) -> bool {
        family(target).map_or_else(|| self.routes.values().any(|&works| works), |family| self.routes[family])
    }

    fn set_network(&mut self, works: bool) -> Vec<String> {
        self.network = works;
        Vec::new()
    }

    fn order(&mut self, asked: Asked) -> Vec<String> {
        self.event(Event::Asked { ticket: Ticket(1), actor: "alice".into(), asked });
        let replies = std::mem::take(&mut self.replies);
        let said = replies.into_iter().map(|reply| match reply {
            Reply::Done { said, .. } => said,
            Reply::Denied { why } => format!("denied: {why}"),
            Reply::Figures(_) => "figures".to_owned(),
        });
        said.collect()
    }

    fn status(&self, name: &str) -> String {
        let name = Name::absolute(name).expect("a name");
        let snapshot = self.snapshot.as_ref().expect("published");
        let state = snapshot.status.steers.iter().find(|state| state.steer.name == name).expect("a steered name");
        let Some(decision) = &state.decision else {
            return "no reply yet".to_owned();
        };
        let origins = decision.origins.iter().map(|id| self.config.origins[id.0 as usize].name.as_str());
        let why = serde_json::to_value(&decision.reason).expect("a reason");
        let why = why["why"].as_str().expect("a word").to_owned();
        format!("{} {} ({why}) serial {}", decision.place, origins.collect::<Vec<_>>().join("+"), state.serial)
    }

    /// How every rung looks, a line each.
    fn look(&self, name: &str) -> Vec<String> {
        let name = Name::absolute(name).expect("a name");
        let snapshot = self.snapshot.as_ref().expect("published");
        let state = snapshot.status.steers.iter().find(|state| state.steer.name == name).expect("a steered name");
        let rungs = state.steer.rungs.iter().zip(&*state.rungs).map(|(rung, seen)| {
            let origins = seen.origins.iter().map(|origin| {
                let drained = if origin.drained { " drained" } else { "" };
                format!("{} {}{drained}", origin.name, word(origin.class, origin.degraded))
            });
            format!("{} {}: {}", rung.place, word(seen.class, seen.degraded), origins.collect::<Vec<_>>().join(", "))
        });
        rungs.collect()
    }

    /// What a client gets by UDP, in presentation format.
    fn ask(&mut self, name: &str, rtype: &str) -> Vec<String> {
        let reply = self.exchange(&query(name, rtype), "192.0.2.200");
        reply.map_or_else(|| vec!["(no reply)".to_owned()], |reply| crate::wire::lines(&reply))
    }

    /// The text of the error that a client with EDNS is told (RFC 8914 §2).
    fn explain(&mut self, name: &str, client: &str) -> String {
        let mut query = query(name, "A");
        query[11] = 1;
        query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        let Some(reply) = self.exchange(&query, client) else { return "(no reply)".to_owned() };
        let marks = reply.windows(2).rposition(|two| two == [0, 15]).filter(|&at| at > query.len());
        marks.map_or_else(
            || "(nothing)".to_owned(),
            |at| {
                let code = u16::from_be_bytes([reply[at + 4], reply[at + 5]]);
                format!("{code}: {}", std::str::from_utf8(&reply[at + 6..]).expect("text"))
            },
        )
    }

    /// Sends a query from this address over UDP.
    fn exchange(&mut self, query: &[u8], client: &str) -> Option<Vec<u8>> {
        let snapshot = self.snapshot.as_ref().expect("published");
        let address = (client.parse::<IpAddr>().expect("an address"), 4321).into();
        let client = answer::Client { address, transport: answer::Transport::Udp };
        let mut reply = answer::Reply::new();
        self.desk.now = self.now;
        let ask = answer::read(query);
        match answer::answer(query, &ask, &client, snapshot, &mut self.desk, &mut reply) {
            answer::Disposition::Drop => None,
            answer::Disposition::Send => Some(reply.bytes().to_vec()),
        }
    }
}

/// `up`, `suspect`, `untried`, `down`, and how well.
fn word(class: Class, degraded: bool) -> String {
    format!("{}{}", format!("{class:?}").to_lowercase(), if degraded { " but degraded" } else { "" })
}

fn query(name: &str, rtype: &str) -> Vec<u8> {
    let asked = Type::from_mnemonic(rtype).expect("a type");
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(Name::absolute(name).expect("a name").as_wire());
    query.extend_from_slice(&asked.0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}
