//! From what the files say to what they mean: references become ids, every rule between tables is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::bounds::{WATCHES_MAX, section};
use super::budget;
use super::combination::ChecksSpec;
use super::errors::{At, Findings, Located, listed, nearest, quoted};
use super::node;
use super::probing::{CheckDefaults, CheckSpec, OriginSpec};
use super::spec::Spec;
use super::steering::{CheckUse, LadderSpec, LadderUse, SteerDefaults, SteerSpec, ZoneSpec};
use super::value::{Text, preset, preset_integer, preset_span};
use super::velocity;
use super::{
    Ask, Check, CheckId, Checks, Config, Failback, Form, Origin, OriginId, Place, Platform, Quorum, Rung, Secret,
    Steer, ZoneFile, ZoneId, duration,
};
use crate::dns::Name;

/// What a positive answer is made of: the header, the end of the question, OPT, and records that point at the name
/// in the question.
const HEADER: usize = 12;
const QUESTION_END: usize = 4;
const OPT: usize = 11;
const A_RECORD: usize = 16;
const AAAA_RECORD: usize = 28;
/// The largest answer that is sent over UDP.
const UDP_ANSWER_MAX: usize = 1232;

/// Where things stand that are checked again when the zones are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Headers, by [`ZoneId`].
    pub(crate) zones: Vec<At>,
    /// Headers, by [`SteerId`].
    pub(crate) steers: Vec<At>,
    /// Values of `cname`, by [`OriginId`].
    pub(crate) cnames: Vec<Option<At>>,
}

/// A ladder whose references have been followed.
struct Resolved {
    rungs: Vec<ResolvedRung>,
    /// Something in it is wrong and has been said.
    broken: bool,
}

struct ResolvedRung {
    place: Place,
    origins: Vec<OriginId>,
    check: ResolvedCheck,
    quorum: Quorum,
}

#[derive(Clone)]
enum ResolvedCheck {
    Inherit,
    Is(Checks),
    Off,
    /// Wrong, and already said.
    Broken,
}

/// The tables that others refer to.
struct Tables<'f> {
    found: &'f mut Findings,
    zones: Vec<ZoneFile>,
    zone_ids: BTreeMap<Name, ZoneId>,
    checks: Vec<Arc<Check>>,
    check_ids: BTreeMap<String, CheckId>,
    /// By [`CheckId`]: does the check itself know a port?
    has_port: Vec<bool>,
    origins: Vec<Arc<Origin>>,
    origin_ids: BTreeMap<String, OriginId>,
    places: Places,
    used_checks: BTreeSet<u32>,
    used_origins: BTreeSet<u32>,
}

/// Builds the configuration. It is worth something only if no error was found.
pub(crate) fn resolve(found: &mut Findings, spec: Spec) -> (Config, Places) {
    node::same_port(found, &spec.server, &spec.admin, spec.heartbeat.as_ref());
    needs_of_checks(found, &spec);
    let mut tables = Tables {
        found,
        zones: Vec::new(),
        zone_ids: BTreeMap::new(),
        checks: Vec::new(),
        check_ids: BTreeMap::new(),
        has_port: Vec::new(),
        origins: Vec::new(),
        origin_ids: BTreeMap::new(),
        places: Places::default(),
        used_checks: BTreeSet::new(),
        used_origins: BTreeSet::new(),
    };
    tables.zones(spec.zones);
    let check_places: Vec<At> = spec.checks.iter().map(|check| check.name.at).collect();
    tables.checks(spec.checks, &spec.check_defaults);
    let origin_places: Vec<At> = spec.origins.iter().map(|origin| origin.name.at).collect();
    tables.origins(spec.origins);

    let ladders: BTreeMap<String, (Resolved, At)> = spec
        .ladders
        .iter()
        .map(|ladder| (ladder.name.value.clone(), (tables.ladder(ladder), ladder.name.at)))
        .collect();
    let mut used_ladders = BTreeSet::new();
    let default_check = spec.steer_defaults.check.as_ref().map(|check| tables.checks_named(check.as_ref()?));
    let mut steers: Vec<Arc<Steer>> = Vec::with_capacity(spec.steers.len());
    let mut first: BTreeMap<Name, At> = BTreeMap::new();
    for steer in spec.steers {
        if let Some(&at) = first.get(&steer.name.value) {
            let what = format!("{} is steered twice", quoted(&steer.name.value.to_host()));
            let problem = tables.found.error(steer.name.at, what);
            problem
                .label("again here")
                .note(at, "first here")
                .help("keep one of them: names do not differ by case or a final dot");
            continue;
        }
        first.insert(steer.name.value.clone(), steer.name.at);
        let inline;
        let ladder = match &steer.ladder {
            LadderUse::Broken => None,
            LadderUse::Inline(ladder) => {
                inline = tables.ladder(ladder);
                Some(&inline)
            }
            LadderUse::Named(name) => match ladders.get(&name.value) {
                Some((ladder, _)) => {
                    used_ladders.insert(name.value.clone());
                    Some(ladder)
                }
                None => {
                    let what = format!("unknown ladder {}", name.shown());
                    tables.found.error(name.at, what).suggest(
                        &name.value,
                        ladders.keys().map(String::as_str),
                        "ladder",
                    );
                    None
                }
            },
        };
        let at = steer.name.at;
        if let Some(steer) = tables.steer(steer, ladder, &spec.steer_defaults, default_check.clone()) {
            tables.places.steers.push(at);
            steers.push(Arc::new(steer));
        }
    }

    let unused_checks = (0u32..).zip(check_places).filter(|(id, _)| !tables.used_checks.contains(id));
    for (id, at) in unused_checks.collect::<Vec<_>>() {
        let name = tables.checks.get(id as usize).map_or("", |check| &check.name).to_owned();
        tables.found.warning(at, format!("check {} is used by no name", quoted(&name)));
    }
    for (id, at) in (0u32..).zip(origin_places) {
        if !tables.used_origins.contains(&id) {
            let name = tables.origins.get(id as usize).map_or("", |origin| &origin.name).to_owned();
            tables
                .found
                .warning(at, format!("origin {} stands on no ladder: it is neither probed nor served", quoted(&name)));
        }
    }
    for (name, (_, at)) in ladders.iter().filter(|(name, _)| !used_ladders.contains(*name)) {
        tables.found.warning(*at, format!("ladder {} is used by no name", quoted(name)));
    }
    if tables.zones.is_empty() && steers.is_empty() {
        tables.found.warning(None, "there is no zone: every question will be refused");
    }
    if let Some(limit) = &spec.velocity {
        velocity::weigh(tables.found, limit, &steers, &tables.origins);
    }
    let Tables { zones, checks, origins, places, found, .. } = tables;
    let config = Config {
        server: spec.server,
        admin: spec.admin.admin,
        alerts: spec.alerts,
        velocity: spec.velocity.map(|limit| limit.value),
        cli: spec.cli,
        zones,
        checks,
        origins,
        steers,
    };
    if found.errors.is_empty() {
        let watches = budget::watches(&config);
        if watches > WATCHES_MAX {
            let what = format!("this configuration needs {watches} watches, {WATCHES_MAX} are allowed");
            found.error(None, what).help("a watch is (address, check, host): share hosts and origins between names, or spread the names over more nodes");
        }
    }
    (config, places)
}

/// What checks need beside their own table.
fn needs_of_checks(found: &mut Findings, spec: &Spec) {
    let mut secrets: Vec<(&Secret, At)> = Vec::new();
    for check in &spec.checks {
        match &check.ask {
            Ask::Exec(_) if !spec.server.asking.exec => {
                let what = format!("check {} runs a program, which is not allowed", quoted(&check.name.value));
                found
                    .error(check.ask_at, what)
                    .help("programs run as the user of failoverd: set `exec = true` in [server] to allow them");
            }
            Ask::Heartbeat(_) if spec.server.asking.heartbeat.is_none() => {
                let what = format!("check {} waits for calls, but nothing listens for them", quoted(&check.name.value));
                let problem = found.error(check.ask_at, what);
                problem.help("add `[heartbeat]` with `listen = \"0.0.0.0:9154\"`");
            }
            _ => {}
        }
        let Ask::Heartbeat(secret) = &check.ask else { continue };
        match secrets.iter().find(|(known, _)| *known == secret) {
            Some(&(_, first)) if !secret.0.is_empty() => {
                found
                    .error(check.ask_at, "two checks have the same secret")
                    .note(first, "the other")
                    .help("give each its own: whoever has a secret speaks for its check");
            }
            _ => secrets.push((secret, check.ask_at)),
        }
    }
}

impl Tables<'_> {
    fn zones(&mut self, specs: Vec<ZoneSpec>) {
        let mut first: BTreeMap<Name, At> = BTreeMap::new();
        for ZoneSpec { apex, file } in specs {
            if let Some(&at) = first.get(&apex.value) {
                let what = format!("the zone {} is defined twice", quoted(&apex.value.to_host()));
                self.found
                    .error(apex.at, what)
                    .label("again here")
                    .note(at, "first here")
                    .help("keep one of them: names do not differ by case or a final dot");
                continue;
            }
            first.insert(apex.value.clone(), apex.at);
            self.zone_ids.insert(apex.value.clone(), ZoneId(id(self.zones.len())));
            self.places.zones.push(apex.at);
            self.zones.push(ZoneFile { apex: apex.value, file });
        }
    }

    fn checks(&mut self, specs: Vec<CheckSpec>, defaults: &CheckDefaults) {
        let mut said = BTreeSet::new();
        for spec in specs {
            let name = spec.name.value;
            let mut times = self.times(&name, spec.name.at, &spec.times, defaults, &mut said);
            if spec.ask.is_awaited() {
                // Missed heartbeats are an interval apart: nothing confirms them, and none of them is a blip.
                (times.confirm, times.blip) = (Duration::ZERO, Duration::ZERO);
            }
            self.has_port.push(spec.port.is_some());
            self.check_ids.insert(name.clone(), CheckId(id(self.checks.len())));
            self.checks.push(Arc::new(Check {
                name,
                ask: spec.ask,
                port: spec.port.unwrap_or(0),
                expect: spec.expect,
                warn: spec.warn,
                ca: spec.ca,
                ..times
            }));
        }
    }

    /// A check with only its times: its own, else the defaults', else the table's.
    fn times(
        &mut self,
        name: &str,
        at: At,
        own: &CheckDefaults,
        defaults: &CheckDefaults,
        said: &mut BTreeSet<(At, At)>,
    ) -> Check {
        let of = section("check");
        let span = |own: &Option<Located<Duration>>, default: &Option<Located<Duration>>| {
            own.clone().or_else(|| default.clone())
        };
        let every = span(&own.every, &defaults.every);
        let every_at = every.as_ref().map_or(at, |every| every.at);
        let every = every.map_or(preset_span(of, "every"), |every| every.value);
        let standby = span(&own.standby_every, &defaults.standby_every);
        let mut capped = |key: &str, set: Option<Located<Duration>>| -> Duration {
            let Some(set) = set else {
                return preset_span(of, key).min(every);
            };
            if set.value > every && said.insert((set.at, every_at)) {
                let (long, short) = (duration::show(set.value), duration::show(every));
                let problem = self.found.error(
                    set.at,
                    format!("`{key}` of {long} is longer than `every` of {short}, in check {}", quoted(name)),
                );
                if every_at != at {
                    problem.note(every_at, "`every` is set here");
                }
                problem.help(format!("set `{key}` to {short} or less, or `every` to {long} or more"));
            }
            set.value
        };
        let timeout = capped("timeout", span(&own.timeout, &defaults.timeout));
        let confirm = capped("confirm", span(&own.confirm, &defaults.confirm));
        let number = |own: &Option<Located<u64>>, default: &Option<Located<u64>>, key: &str| {
            own.as_ref().or(default.as_ref()).map_or(preset_integer(of, key), |number| number.value)
        };
        let fall = number(&own.fall, &defaults.fall, "fall");
        let mut rise = number(&own.rise, &defaults.rise, "rise");
        // Set where `fall` is set, or nearer to the check: it is meant, though perhaps not well.
        let meant = own.rise.as_ref().or(defaults.rise.as_ref().filter(|_| own.fall.is_none()));
        match meant {
            None => rise = rise.max(fall),
            Some(set) if rise < fall => {
                // One `rise` in the defaults speaks for many checks.
                if own.rise.is_some() || said.insert((set.at, set.at)) {
                    let what = format!(
                        "check {} is up again after {rise} passes but down only after {fall} failures",
                        quoted(name)
                    );
                    self.found
                        .warning(set.at, what)
                        .help("an origin that flaps will be served in between; `rise` of at least `fall` is calmer");
                }
            }
            Some(_) => {}
        }
        Check {
            name: name.to_owned(),
            ask: Ask::Tcp,
            port: 0,
            every,
            standby_every: self.standby_every(name, &standby, every),
            timeout,
            fall: u32::try_from(fall).unwrap_or(u32::MAX),
            rise: u32::try_from(rise).unwrap_or(u32::MAX),
            confirm,
            blip: span(&own.blip, &defaults.blip).map_or(preset_span(of, "blip"), |blip| blip.value),
            expect: Vec::new(),
            warn: Vec::new(),
            ca: None,
            tripwire: own.tripwire.or(defaults.tripwire).unwrap_or(true),
            window: own.window.or(defaults.window).flatten(),
            degraded: own.degraded.clone().or_else(|| defaults.degraded.clone()).unwrap_or_default(),
        }
    }

    /// How often a standby is asked: where nothing is set, as often as the others.
    fn standby_every(&mut self, check: &str, set: &Option<Located<Duration>>, every: Duration) -> Duration {
        let Some(set) = set else { return every };
        if set.value < every {
            let (short, long) = (duration::show(set.value), duration::show(every));
            let what =
                format!("`standby_every` of {short} is shorter than `every` of {long}, in check {}", quoted(check));
            self.found
                .warning(set.at, what)
                .help(format!("a standby is asked no oftener than what is served: every {long}"));
        }
        set.value.max(every)
    }

    fn origins(&mut self, specs: Vec<OriginSpec>) {
        for spec in specs {
            let probe_check = spec.probe_check.as_ref().and_then(|check| self.checks_named(check));
            self.places.cnames.push(spec.cname.as_ref().map(|cname| cname.at));
            self.origin_ids.insert(spec.name.value.clone(), OriginId(id(self.origins.len())));
            self.origins.push(Arc::new(Origin {
                name: spec.name.value,
                platform: spec.platform.unwrap_or_else(|| {
                    let four = spec.a.iter().copied().map(IpAddr::V4);
                    let addresses = four.chain(spec.aaaa.iter().copied().map(IpAddr::V6));
                    Platform::guess(spec.cname.as_ref().map(|cname| &cname.value), addresses)
                }),
                cname: spec.cname.map(|cname| cname.value),
                a: spec.a,
                aaaa: spec.aaaa,
                probe_port: spec.probe_port,
                probe_check,
            }));
        }
    }

    fn checks_named(&mut self, spec: &ChecksSpec) -> Option<Checks> {
        let found: Vec<_> = spec.names.iter().map(|name| self.check_named(name)).collect();
        let of = found.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Checks { need: spec.need, of })
    }

    fn check_named(&mut self, name: &Text) -> Option<CheckId> {
        if let Some(&check) = self.check_ids.get(&name.value) {
            self.used_checks.insert(check.0);
            return Some(check);
        }
        let problem = self.found.error(name.at, format!("unknown check {}", name.shown()));
        problem.suggest(&name.value, self.check_ids.keys().map(String::as_str), "check");
        None
    }

    fn origin_named(&mut self, name: &Text) -> Option<OriginId> {
        if let Some(&origin) = self.origin_ids.get(&name.value) {
            self.used_origins.insert(origin.0);
            return Some(origin);
        }
        let problem = self.found.error(name.at, format!("unknown origin {}", name.shown()));
        // An address or host name written where the name of an origin belongs.
        let is_place = name.value.parse::<IpAddr>().is_ok() || name.value.matches('.').count() > 1;
        if is_place {
            problem.help(
                "a rung names an `[origin.NAME]`: define one with this host name or address, and use its name here",
            );
        } else {
            problem.suggest(&name.value, self.origin_ids.keys().map(String::as_str), "origin");
        }
        None
    }

    fn ladder(&mut self, spec: &LadderSpec) -> Resolved {
        let mut resolved = Resolved { rungs: Vec::with_capacity(spec.rungs.len()), broken: spec.rungs.is_empty() };
        let mut seen: BTreeMap<OriginId, (Place, At)> = BTreeMap::new();
        for rung in &spec.rungs {
            let mut origins = Vec::with_capacity(rung.origins.len());
            for name in &rung.origins {
                let Some(id) = self.origin_named(name) else {
                    resolved.broken = true;
                    continue;
                };
                origins.push(id);
                match seen.get(&id) {
                    Some((place, _)) if *place != rung.place => {
                        let what = format!(
                            "origin {} is on the {place} and the {} rung of one ladder: when it is down, both are",
                            name.shown(),
                            rung.place
                        );
                        self.found.warning(name.at, what);
                    }
                    _ => {
                        seen.insert(id, (rung.place, name.at));
                    }
                }
            }
            let check = match &rung.check {
                CheckUse::Inherit => ResolvedCheck::Inherit,
                CheckUse::Off(_) => ResolvedCheck::Off,
                CheckUse::Named(names) => self.checks_named(names).map_or(ResolvedCheck::Broken, ResolvedCheck::Is),
            };
            let overruled_at = match (&rung.check, &check) {
                (CheckUse::Off(at), _) => Some((*at, None)),
                (CheckUse::Named(names), ResolvedCheck::Is(checks)) => Some((names.at, Some(checks))),
                _ => None,
            };
            for &origin in &origins {
                let (Some((at, check)), Some(origin)) = (overruled_at, self.origins.get(origin.0 as usize)) else {
                    continue;
                };
                if origin.probe_check.is_some() && origin.probe_check.as_ref() != check {
                    let what = format!(
                        "origin {} has its own `probe.check`, which goes before the check of this rung",
                        quoted(&origin.name)
                    );
                    self.found.warning(at, what).help("remove one of the two");
                }
            }
            resolved.rungs.push(ResolvedRung { place: rung.place, origins, check, quorum: rung.quorum });
        }
        if let [only] = &resolved.rungs[..]
            && only.origins.len() == 1
            && !resolved.broken
        {
            let what = format!(
                "the ladder of {} has one origin only: there is nothing to fail over to",
                quoted(&spec.name.value)
            );
            self.found.warning(spec.name.at, what).help("add `backup = \"…\"`");
        }
        resolved
    }

    fn steer(
        &mut self,
        spec: SteerSpec,
        ladder: Option<&Resolved>,
        defaults: &SteerDefaults,
        default_check: Option<Option<Checks>>,
    ) -> Option<Steer> {
        let name = spec.name.value;
        let own_check = spec.own.check.as_ref().map(|check| self.checks_named(check.as_ref()?));
        // The outer option: is one asked for? The inner: does it exist?
        let asked = own_check.or(default_check);
        let zone = self.zone_of(&name, spec.name.at);
        let ladder = ladder.filter(|ladder| !ladder.broken && !ladder.rungs.is_empty())?;
        let mut rungs = Vec::with_capacity(ladder.rungs.len());
        let mut missing = None;
        for rung in &ladder.rungs {
            let from_origins = || self.origins_check(&rung.origins);
            let check = match (&rung.check, &asked) {
                (ResolvedCheck::Is(checks), _) => Some(checks.clone()),
                (ResolvedCheck::Off | ResolvedCheck::Broken, _) => None,
                (ResolvedCheck::Inherit, Some(inherited)) => inherited.clone(),
                (ResolvedCheck::Inherit, None) => from_origins(),
            };
            let excused =
                matches!(rung.check, ResolvedCheck::Off | ResolvedCheck::Broken) || matches!(asked, Some(None));
            if check.is_none() && rung.place != Place::Emergency && !excused {
                missing = missing.or(Some(rung.place));
            }
            rungs.push(Rung { place: rung.place, origins: rung.origins.clone(), check, quorum: rung.quorum });
        }
        if let Some(place) = missing {
            self.needs_check(&name, spec.name.at, place);
        }
        self.ports(&name, spec.name.at, &rungs);
        let zone = zone?;
        let apex = self.zones[zone.0 as usize].apex == name;
        let form = self.form(&name, spec.name.at, apex, &rungs);
        if form == Form::Address {
            self.sizes(&name, spec.name.at, &rungs);
        }
        let hosts = spec.hosts.filter(|hosts| !hosts.is_empty()).unwrap_or_else(|| vec![name.to_host()]);
        let of = section("steer");
        let preset_ttl = preset_span(of, "ttl").as_secs();
        Some(Steer {
            zone,
            rungs,
            ttl: spec.own.ttl.or(defaults.ttl).unwrap_or_else(|| u32::try_from(preset_ttl).unwrap_or(u32::MAX)),
            failback: spec
                .own
                .failback
                .or(defaults.failback)
                .unwrap_or_else(|| Failback::After(duration::parse(preset(of, "failback")).unwrap_or_default())),
            strict: spec.own.strict.or(defaults.strict).unwrap_or(false),
            hosts,
            form,
            leave_degraded: spec.own.leave_degraded.or(defaults.leave_degraded).unwrap_or(false),
            name,
        })
    }

    /// The check of a rung whose origins all bring their own.
    fn origins_check(&self, origins: &[OriginId]) -> Option<Checks> {
        let own = origins.iter().map(|id| self.origins.get(id.0 as usize)?.probe_check.clone());
        own.collect::<Option<Vec<_>>>()?.into_iter().next()
    }

    fn needs_check(&mut self, name: &Name, at: At, place: Place) {
        let name = name.to_host();
        let checks: Vec<&str> = self.checks.iter().map(|check| check.name.as_str()).collect();
        let example = checks.first().map_or("site".to_owned(), |check| (*check).to_owned());
        let none = checks.is_empty();
        let problem = self
            .found
            .error(at, format!("{} needs a check: nothing tells whether its {place} rung works", quoted(&name)));
        problem.help(format!("add `check = \"{example}\"` here, or under [defaults.steer] for all names"));
        if none {
            problem.help("no check is defined yet: add `[check.site]` with `https = \"/\"`");
        }
    }

    /// `tcp = true` and their like take the port from the origin.
    fn ports(&mut self, name: &Name, at: At, rungs: &[Rung]) {
        for rung in rungs {
            for origin in &rung.origins {
                let Some(origin) = self.origins.get(origin.0 as usize) else {
                    continue;
                };
                let asked = origin.probe_check.as_ref().or(rung.check.as_ref()).map_or(&[][..], |checks| &checks.of);
                let has_port = |id: &CheckId| self.has_port.get(id.0 as usize).copied().unwrap_or(true);
                let Some(id) = asked.iter().find(|id| origin.probe_port.is_none() && !has_port(id)) else {
                    continue;
                };
                let kind = self.checks[id.0 as usize].ask.word();
                let (origin, check) = (origin.name.clone(), self.checks[id.0 as usize].name.clone());
                let key = if kind == "exec" { "port" } else { kind };
                let what = format!(
                    "{}: check {} has no port for origin {}",
                    quoted(&name.to_host()),
                    quoted(&check),
                    quoted(&origin)
                );
                self.found.error(at, what).help(format!(
                    "set `{key} = PORT` in [check.{check}], or `probe = {{ port = PORT }}` in [origin.{origin}]"
                ));
            }
        }
    }

    /// Answers that are larger than a datagram.
    fn sizes(&mut self, name: &Name, at: At, rungs: &[Rung]) {
        let around = HEADER + name.as_wire().len() + QUESTION_END + OPT;
        for rung in rungs {
            let origins = rung.origins.iter().filter_map(|id| self.origins.get(id.0 as usize));
            let addresses: BTreeSet<_> = origins.flat_map(|origin| origin.addresses()).collect();
            let a = addresses.iter().filter(|address| address.is_ipv4()).count();
            let aaaa = addresses.len() - a;
            for (rtype, count, size) in [("A", a, A_RECORD), ("AAAA", aaaa, AAAA_RECORD)] {
                let bytes = around + count * size;
                if bytes > UDP_ANSWER_MAX {
                    let what = format!(
                        "the {rtype} answers of the {} rung of {} do not fit UDP ({bytes} bytes, {UDP_ANSWER_MAX} do); \
                         clients will ask again over TCP",
                        rung.place,
                        quoted(&name.to_host())
                    );
                    let most = UDP_ANSWER_MAX.saturating_sub(around) / size;
                    self.found.warning(at, what).help(format!("{most} addresses of a family fit"));
                }
            }
        }
    }

    /// The deepest zone that holds the name.
    fn holding(&self, name: &Name) -> Option<ZoneId> {
        let mut above = Some(name.clone());
        while let Some(apex) = above {
            if let Some(&zone) = self.zone_ids.get(&apex) {
                return Some(zone);
            }
            above = apex.parent();
        }
        None
    }

    /// As [`Tables::holding`]; an error if there is none.
    fn zone_of(&mut self, name: &Name, at: At) -> Option<ZoneId> {
        if let Some(zone) = self.holding(name) {
            return Some(zone);
        }
        let apexes: Vec<String> = self.zones.iter().map(|zone| zone.apex.to_host()).collect();
        let host = name.to_host();
        let parent = host.split_once('.').map_or(host.as_str(), |(_, parent)| parent);
        let problem = self.found.error(at, format!("{} is in none of our zones", quoted(&host)));
        match nearest(parent, apexes.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("did you mean a name in `{near}`?")),
            None if apexes.is_empty() => {
                problem.help(format!("add `[zone.\"{parent}\"]` with `file = \"{parent}.zone\"`"))
            }
            None => {
                let apexes: Vec<&str> = apexes.iter().map(String::as_str).collect();
                problem.help(format!("names are absolute; our zones are {}", listed(&apexes)))
            }
        };
        None
    }

    fn form(&mut self, name: &Name, at: At, apex: bool, rungs: &[Rung]) -> Form {
        let alone = |rung: &Rung| match rung.origins[..] {
            [origin] => self.origins.get(origin.0 as usize).is_some_and(|origin| origin.cname.is_some()),
            _ => false,
        };
        if !apex && rungs.iter().all(alone) {
            return Form::Cname;
        }
        for rung in rungs {
            for &id in &rung.origins {
                let Some(origin) = self.origins.get(id.0 as usize) else {
                    continue;
                };
                let flattened = origin.cname.as_ref().filter(|_| origin.a.is_empty() && origin.aaaa.is_empty());
                let Some(cname) = flattened else { continue };
                let Some(zone) = self.holding(cname) else { continue };
                let zone = &self.zones[zone.0 as usize];
                let why = if apex { "the apex of its zone" } else { "on a ladder with addresses" };
                let what = format!(
                    "{} is {why}, so {}'s host name would have to be resolved, but {} is in our own zone {}",
                    quoted(&name.to_host()),
                    quoted(&origin.name),
                    quoted(&cname.to_host()),
                    quoted(&zone.apex.to_host())
                );
                let problem = self.found.error(at, what);
                if let Some(Some(place)) = self.places.cnames.get(id.0 as usize) {
                    problem.note(*place, "this host name");
                }
                problem.help("give the origin its addresses, with `a` and `aaaa`");
            }
        }
        Form::Address
    }
}

/// A place in a table as an id.
fn id(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
