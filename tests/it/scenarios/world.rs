//! The stage a scenario plays on: the real core, with a clock that moves when the story says so.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use failoverd::answer;
use failoverd::config::{self, Config, Place};
use failoverd::control::journal::What as Told;
use failoverd::control::{Asked, Controller, Effects, Event, Loaded, Released, Reply, Restored, Span, Ticket};
use failoverd::decision::order::What;
use failoverd::dns::{Name, Type};
use failoverd::probe::{Cause, Observation, Outcome, Phase, Phases, Request, Target};
use failoverd::snapshot::Snapshot;
use failoverd::time::{Moment, Now, Wall};
use failoverd::zone;

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
}

enum Due {
    Observed(Box<Observation>),
    Canary(Moment),
    Deadline,
}

struct World {
    start: Now,
    now: Now,
    queue: BTreeMap<(Moment, u64), Due>,
    number: u64,
    config: Arc<Config>,
    controller: Controller,
    snapshot: Option<Arc<Snapshot>>,
    health: BTreeMap<String, Health>,
    network: bool,
    told: Vec<String>,
    replies: Vec<Reply>,
    desk: answer::Desk,
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
    fn new(config: &str, zone_text: &str) -> Self {
        let path = PathBuf::from("/etc/failoverd/failoverd.toml");
        let zone_path = PathBuf::from("/etc/failoverd/fo.zone");
        let files = Memory([(path.clone(), config.to_owned()), (zone_path, zone_text.to_owned())].into());
        let read = config::read(&files, &path, &|_| None, "ns1").unwrap_or_else(|errors| panic!("{errors}"));
        let zones = read.config.zones.iter().map(|file| {
            zone::load::load(&files, &file.apex, &file.file, &|_| false).unwrap_or_else(|report| panic!("{report}"))
        });
        let zones: Vec<_> = zones.collect();
        read.against(&zones).unwrap_or_else(|errors| panic!("{errors}"));
        let config = Arc::new(read.config.clone());
        let loaded = Loaded { config: Arc::clone(&config), zones, warnings: Vec::new() };
        let start =
            Now { moment: Moment::from_boot(Duration::from_secs(1000)), wall: Wall::from_millis(1_795_257_120_000) };
        let health = config.origins.iter().map(|origin| (origin.name.clone(), Health::Alive)).collect();
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
            network: true,
            told: Vec::new(),
            replies: Vec::new(),
            desk: answer::Desk::new(1),
        };
        world.finish(effects);
        world
    }

    fn run_to(&mut self, seconds: f64) {
        let end = self.start.moment + Duration::from_secs_f64(seconds);
        while let Some((&key, _)) = self.queue.first_key_value() {
            if key.0 > end {
                break;
            }
            let due = self.queue.remove(&key).expect("it was first");
            self.now = self.start + key.0.since(self.start.moment);
            match due {
                Due::Observed(observation) => self.event(Event::Observed(*observation)),
                Due::Canary(started) => self.event(Event::Canary { started, passed: self.network }),
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
        if effects.canary {
            self.later(Duration::from_millis(10), Due::Canary(self.now.moment));
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
                Told::DoubtBegan { .. } => Some(format!("{at:.1}s own sight in doubt")),
                Told::DoubtEnded { .. } => Some(format!("{at:.1}s doubt ended")),
                Told::Ordered(order) => Some(format!("{at:.1}s order by {}: {:?}", order.actor, order.what)),
                Told::OrderEnded { by, .. } => Some(format!("{at:.1}s order ended: {by:?}")),
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
        let health = self.health[&origin.expect("a watch has an origin").name];
        let timeout = request.check.timeout;
        let (outcome, after) = match health {
            _ if !self.network => (Outcome::Failed(Cause::ConnectTimeout), timeout),
            Health::Alive => (Outcome::Passed, Duration::from_millis(20)),
            Health::Refuses => (Outcome::Failed(Cause::ConnectRefused), Duration::from_millis(1)),
            Health::Silent => (Outcome::Failed(Cause::Timeout(Phase::FirstByte)), timeout),
        };
        let observation = Observation {
            watch: request.watch,
            epoch: request.epoch,
            purpose: request.purpose,
            started: self.now.moment,
            finished: self.now.moment + after,
            outcome,
            address: None::<IpAddr>,
            phases: Phases::default(),
            warnings: Vec::new(),
            certificate: None,
            status: None,
        };
        self.later(after, Due::Observed(Box::new(observation)));
    }

    /// Carries out one line of the story; what is told back.
    fn act(&mut self, what: &str) -> Vec<String> {
        let words: Vec<_> = what.split_whitespace().collect();
        match words[..] {
            ["ask", name, rtype] => self.ask(name, rtype),
            ["explain", name, "to", client] => vec![self.explain(name, client)],
            ["status", name] => vec![self.status(name)],
            ["turns"] => std::mem::take(&mut self.told),
            [origin, "refuses"] => self.set(origin, Health::Refuses),
            [origin, "is", "silent"] => self.set(origin, Health::Silent),
            [origin, "heals"] => self.set(origin, Health::Alive),
            ["our", "network", "fails"] => self.set_network(false),
            ["our", "network", "heals"] => self.set_network(true),
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
            ["failback", name] => self.order(Asked::Failback { name: Name::absolute(name).expect("a name") }),
            _ => panic!("the story does not know `{what}`"),
        }
    }

    fn set(&mut self, origin: &str, health: Health) -> Vec<String> {
        *self.health.get_mut(origin).unwrap_or_else(|| panic!("no origin `{origin}`")) = health;
        Vec::new()
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

fn query(name: &str, rtype: &str) -> Vec<u8> {
    let asked = Type::from_mnemonic(rtype).expect("a type");
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(Name::absolute(name).expect("a name").as_wire());
    query.extend_from_slice(&asked.0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}
