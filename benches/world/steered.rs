//! A controller over the zone that is measured, with steered names in it, and observations that turn them.
//!
//! Each name has two origins and fails back by itself. One check, down after one failure and up after one pass, so that
//! each observation can be a turn.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use failoverd::config;
use failoverd::control::journal::What;
use failoverd::control::{Controller, Effects, Event, Loaded, Restored};
use failoverd::dns::{Name, Type};
use failoverd::edge::clock;
use failoverd::edge::publication::{Publisher, Reader, cell};
use failoverd::probe::{Cause, Epoch, Observation, Outcome, Phases, Purpose, Request, Target, WatchId};
use failoverd::snapshot::Snapshot;
use failoverd::time::{Moment, Now, Wall};
use failoverd::zone::load;
use rustix::time::{ClockId, clock_gettime};

use super::{APEX, OneFile, World};

/// What the names turn between.
const PRIMARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const BACKUP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);

/// Who looks at the origins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    /// All names have one host: one watch of an origin speaks for all.
    Together,
    /// Each name is its own host, and has a watch of each origin to itself.
    Apart,
}

/// How long something took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// By the clock on the wall, with what else the machine was doing.
    pub wall: Duration,
    /// Of the processor, by this thread.
    pub processor: Duration,
}

/// Two clocks at one moment.
struct Clocks {
    wall: Moment,
    processor: Duration,
}

impl Clocks {
    fn read() -> Self {
        let at = clock_gettime(ClockId::ThreadCPUTime);
        let [seconds, nanoseconds] = [at.tv_sec, at.tv_nsec].map(|part| u64::try_from(part).expect("since the start"));
        Self { wall: clock::moment(), processor: Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds) }
    }

    fn since(&self, began: &Self) -> Took {
        Took { wall: self.wall.since(began.wall), processor: self.processor - began.processor }
    }
}

/// The one writer with its cell, at a moment of its own.
pub struct Steered {
    controller: Controller,
    publisher: Publisher,
    pub reader: Reader,
    pub names: Vec<Name>,
    /// Of the primary: one, or one per name.
    watches: Vec<(WatchId, Epoch)>,
    now: Now,
    /// Turns that the last call of [`Steered::turn`] recorded.
    pub recorded: usize,
}

fn text(names: usize, watched: Watched) -> String {
    let mut text = format!(
        r#"
        contract = 1
        [zone."{APEX}"]
        file = "{APEX}.zone"
        [defaults.check]
        every = "1h"
        fall = 1
        rise = 1
        blip = "0s"
        [defaults.steer]
        failback = "auto"
        check = "site"
        [check.site]
        http = "/"
        [origin.eu]
        a = ["{PRIMARY}"]
        [origin.us]
        a = ["{BACKUP}"]
        [ladder.web]
        primary = "eu"
        backup = "us"
        "#
    );
    for number in 0..names {
        let host = if watched == Watched::Together { format!("host = [\"www.{APEX}\"]\n") } else { String::new() };
        write!(text, "[steer.\"s{number}.{APEX}\"]\nladder = \"web\"\n{host}").expect("a String takes all");
    }
    text
}

impl Steered {
    /// `names` steered names in the zone of `world`, all served by their primary.
    ///
    /// # Panics
    /// If the configuration or the zone has an error, which would be one of this file.
    pub fn new(world: &World, names: usize, watched: Watched) -> Self {
        let text = text(names, watched);
        let files = OneFile(&text);
        let read =
            config::read(&files, Path::new("failoverd.toml"), &|_| None, "ns1").unwrap_or_else(|e| panic!("{e}"));
        let apex = Name::absolute(APEX).expect("a name");
        let zone = load::load(&OneFile(&world.zone), &apex, Path::new(APEX), &|_| false).expect("no errors");
        let config = Arc::new(read.config);
        let names: Vec<Name> = config.steers.iter().map(|steer| steer.name.clone()).collect();
        let loaded = Loaded { config, zones: vec![zone], warnings: Vec::new(), files: Arc::default() };
        let moment = Moment::from_boot(Duration::from_secs(1000));
        let now = Now { moment, wall: Wall::from_millis(1_795_257_120_000) };
        let (controller, effects) = Controller::new(loaded, Restored::default(), now);
        let (publisher, reader) = cell(Snapshot::default());
        let mut steered = Self { controller, publisher, reader, names, watches: Vec::new(), now, recorded: 0 };
        let watches = if watched == Watched::Together { 2 } else { 2 * steered.names.len() };
        steered.start(effects.probes, watches);
        steered
    }

    /// Lets the first probes of all watches pass; so many of them start one after the other, for a while.
    fn start(&mut self, first: Vec<Request>, watches: usize) {
        let mut asked: BTreeMap<WatchId, Request> = first.into_iter().map(|request| (request.watch, request)).collect();
        while asked.len() < watches {
            self.now = self.now + Duration::from_millis(100);
            let mut effects = Effects::default();
            self.controller.handle(Event::Elapsed, self.now, &mut effects);
            asked.extend(effects.probes.into_iter().map(|request| (request.watch, request)));
        }
        self.watches = asked
            .values()
            .filter(|request| request.target == Target::Address(PRIMARY.into()))
            .map(|request| (request.watch, request.epoch))
            .collect();
        let mut effects = Effects::default();
        for request in asked.values() {
            let passed = self.observation((request.watch, request.epoch), true);
            self.controller.handle(passed, self.now, &mut effects);
        }
        self.publish(&mut effects);
        self.expect(PRIMARY, 0..self.names.len());
    }

    fn observation(&self, (watch, epoch): (WatchId, Epoch), passed: bool) -> Event {
        Event::Observed(Observation {
            watch,
            epoch,
            purpose: Purpose::Scheduled,
            started: self.now.moment,
            finished: self.now.moment,
            outcome: if passed { Outcome::Passed } else { Outcome::Failed(Cause::ConnectRefused) },
            address: Some(PRIMARY.into()),
            phases: Phases::default(),
            warnings: Vec::new(),
            certificate: None,
            status: None,
            detail: None,
        })
    }

    /// Time goes on, and the canary passes: nobody doubts our own sight.
    fn later(&mut self) {
        self.now = self.now + Duration::from_millis(2);
        let mut effects = Effects::default();
        self.controller.handle(Event::Canary { started: self.now.moment, passed: true }, self.now, &mut effects);
        assert!(self.controller.publish(self.now, &mut effects, |_| self.now).is_none(), "a canary changes nothing");
    }

    /// The names of these watches of the primary turn: from the first event to the swap.
    ///
    /// # Panics
    /// If nothing is published.
    pub fn turn(&mut self, watches: std::ops::Range<usize>, passes: bool) -> Took {
        self.later();
        let events: Vec<Event> = self.watches[watches].iter().map(|&watch| self.observation(watch, passes)).collect();
        let mut effects = Effects::default();
        let began = Clocks::read();
        for event in events {
            self.controller.handle(event, self.now, &mut effects);
        }
        let took = self.publish(&mut effects).since(&began);
        self.recorded = effects.record.iter().filter(|entry| matches!(entry.what, What::Turned(_))).count();
        took
    }

    /// The clocks at the swap.
    fn publish(&mut self, effects: &mut Effects) -> Clocks {
        let (now, publisher, mut swapped) = (self.now, &mut self.publisher, None);
        let published = self.controller.publish(now, effects, |snapshot| {
            publisher.publish(Arc::clone(snapshot));
            swapped = Some(Clocks::read());
            now
        });
        published.and(swapped).expect("a turn")
    }

    /// The number of watches that can turn.
    pub fn watches(&self) -> usize {
        self.watches.len()
    }

    /// Checks that what is published serves these names from there.
    ///
    /// # Panics
    /// If it does not.
    pub fn expect_turned(&self, names: std::ops::Range<usize>, passes: bool) {
        self.expect(if passes { PRIMARY } else { BACKUP }, names);
    }

    fn expect(&self, address: Ipv4Addr, names: std::ops::Range<usize>) {
        let snapshot = self.reader.load();
        for name in &self.names[names] {
            let (zone, _) = snapshot.zones.find(name.folded().as_wire()).expect("its zone");
            let served = zone.table.get(name).and_then(|node| node.rrset(Type::A)).map(|rrset| rrset.rdata);
            assert_eq!(served, Some(vec![address.octets().to_vec()]), "{name}");
        }
    }
}
