//! The watches a configuration needs, and their identity across reloads.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::config::{Ask, Check, CheckId, Config, Form, Origin, OriginId, Web};
use crate::probe::{Target, WatchId};

/// One origin's address or host name, asked by one check for one host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Watch {
    pub origin: OriginId,
    pub target: Target,
    pub port: u16,
    pub check: CheckId,
    /// SNI and Host; empty for a check that names no host.
    pub host: Arc<str>,
}

/// What a watch asks, by value: two configurations that ask the same have the same key. Intervals and thresholds
/// are not part of it, so they may change without losing the verdict; nor is the origin's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    target: Target,
    port: u16,
    host: Arc<str>,
    kind: Kind,
    /// What is asked for, in the words of the kind.
    path: String,
    /// What is said with it.
    headers: Vec<(String, String)>,
    expect: Vec<String>,
    ca: Option<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Kind {
    Https,
    Http,
    Tcp,
    Tls,
    Dns,
    Icmp,
    Exec,
    Heartbeat,
}

/// All watches of a configuration, and where each is used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// By [`WatchId`].
    pub watches: Vec<Watch>,
    /// Per steered name, per rung, per origin of the rung.
    pub seats: Vec<Vec<Vec<Seat>>>,
}

/// One origin on one rung.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seat {
    /// Each target of the origin with the watches of each of its checks, one per host; no checks where it is served
    /// unasked.
    pub targets: Vec<(Target, Vec<Vec<WatchId>>)>,
    /// How many of the checks have to pass.
    pub need: usize,
}

impl Seat {
    /// All its watches, target by target and check by check.
    pub fn watches(&self) -> impl Iterator<Item = WatchId> + '_ {
        self.targets.iter().flat_map(|(_, checks)| checks.iter().flatten().copied())
    }
}

impl Watch {
    /// Where it asks, for people: with its port, if it has one.
    pub fn place(&self) -> String {
        match self.port {
            0 => self.target.to_string(),
            port => format!("{}:{port}", self.target),
        }
    }

    /// The identity of this watch across reloads.
    ///
    /// # Panics
    /// If the watch is not of this configuration.
    pub fn key(&self, config: &Config) -> Key {
        Key::new(self, &config.checks[self.check.0 as usize])
    }
}

impl Key {
    /// What `watch` asks by `check`, which is its own.
    pub fn new(watch: &Watch, check: &Check) -> Self {
        let (kind, path, headers) = match &check.ask {
            Ask::Https(web) => (Kind::Https, web.path.clone(), said(web)),
            Ask::Http(web) => (Kind::Http, web.path.clone(), said(web)),
            Ask::Tcp => (Kind::Tcp, String::new(), Vec::new()),
            Ask::Tls => (Kind::Tls, String::new(), Vec::new()),
            Ask::Dns(question) => (Kind::Dns, question.to_string(), Vec::new()),
            Ask::Icmp => (Kind::Icmp, String::new(), Vec::new()),
            // No word of a command holds a NUL.
            Ask::Exec(command) => (Kind::Exec, command.join("\0"), Vec::new()),
            // The check's name is in the path that is called; a new secret is not another origin.
            Ask::Heartbeat(_) => (Kind::Heartbeat, check.name.clone(), Vec::new()),
        };
        Self {
            target: watch.target.clone(),
            port: watch.port,
            host: Arc::clone(&watch.host),
            kind,
            path,
            headers,
            expect: check.expect.iter().map(|expression| expression.text.clone()).collect(),
            ca: check.ca.clone(),
        }
    }

    /// A number that spreads keys evenly, the same in every run.
    pub fn spread(&self) -> u64 {
        let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
        self.hash(&mut fnv);
        mix(fnv.0)
    }
}

/// What a request says beside its path; what is usual is left out. No header's name begins with a colon.
fn said(web: &Web) -> Vec<(String, String)> {
    let Web { method, path: _, headers, send, http2 } = web;
    let mut said = headers.clone();
    let mut add = |name: &str, value: &str| said.push((name.to_owned(), value.to_owned()));
    if method != "GET" {
        add(":method", method);
    }
    if !send.is_empty() {
        add(":send", send);
    }
    if *http2 {
        add(":version", "2");
    }
    said
}

/// FNV-1a.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The finalizer of SplitMix64: FNV alone leaves the high bits of similar keys alike.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// What has to be watched for the steered names of `config`. Names that share an origin, a check and a host share the
/// watch.
///
/// # Panics
/// If an id in `config` does not exist, which a checked configuration rules out.
pub fn plan(config: &Config) -> Plan {
    let mut plan = Plan::default();
    let mut known: BTreeMap<Watch, WatchId> = BTreeMap::new();
    for steer in &config.steers {
        let hosts: Vec<Arc<str>> = steer.hosts.iter().map(|host| Arc::from(host.as_str())).collect();
        let mut rungs = Vec::new();
        for rung in &steer.rungs {
            let mut seats = Vec::new();
            for &id in &rung.origins {
                let origin = &config.origins[id.0 as usize];
                let checks = origin.probe_check.as_ref().or(rung.check.as_ref());
                let (need, checks) = checks.map_or((1, &[][..]), |checks| (checks.need, &checks.of));
                let mut seat = Seat { targets: Vec::new(), need };
                for target in targets(origin, steer.form) {
                    let mut of_checks = Vec::new();
                    for &check in checks {
                        let mut ids = Vec::new();
                        for watch in watches(config, id, &target, check, &hosts) {
                            let next = WatchId(u32::try_from(plan.watches.len()).unwrap_or(u32::MAX));
                            ids.push(*known.entry(watch).or_insert_with_key(|watch| {
                                plan.watches.push(watch.clone());
                                next
                            }));
                        }
                        of_checks.push(ids);
                    }
                    seat.targets.push((target, of_checks));
                }
                seats.push(seat);
            }
            rungs.push(seats);
        }
        plan.seats.push(rungs);
    }
    plan
}

/// What of an origin is asked: what would be served of it.
fn targets(origin: &Origin, form: Form) -> Vec<Target> {
    let hostname = origin.cname.iter().cloned().map(Target::Hostname);
    let addresses: Vec<Target> = origin.addresses().map(Target::Address).collect();
    match form {
        Form::Cname if origin.cname.is_some() => hostname.collect(),
        _ if addresses.is_empty() => hostname.collect(),
        _ => addresses,
    }
}

/// One watch per host, or one for a check that names none. All targets of an origin that calls us share one.
fn watches(config: &Config, origin: OriginId, target: &Target, check: CheckId, hosts: &[Arc<str>]) -> Vec<Watch> {
    let asked = &config.checks[check.0 as usize];
    let at = &config.origins[origin.0 as usize];
    let port = if asked.ask.has_port() { at.probe_port.unwrap_or(asked.port) } else { 0 };
    let target = if asked.ask.is_awaited() { Target::Origin(at.name.as_str().into()) } else { target.clone() };
    let watch = |host: &Arc<str>| Watch { origin, target: target.clone(), port, check, host: Arc::clone(host) };
    if !asked.ask.names_host() {
        return vec![watch(&Arc::from(""))];
    }
    let mut watches: Vec<Watch> = hosts.iter().map(watch).collect();
    watches.dedup();
    watches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Checks, Place, Rung, Steer, SteerId};
    use crate::probe::fixture::{self, name};
    use std::time::Duration;

    /// www (address form, 2 hosts): primary dual stack, backup two equals, emergency unasked.
    /// cdn (CNAME form): primary by host name with own addresses beside it, backup shared with nobody.
    fn config() -> Config {
        let mut config = fixture::config();
        config.checks = vec![
            Arc::new(fixture::check("site")),
            Arc::new(Check { ask: Ask::Tcp, port: 25, ..fixture::check("mail") }),
        ];
        let origin = |origin: Origin| Arc::new(origin);
        config.origins = vec![
            origin(Origin {
                a: vec!["192.0.2.1".parse().unwrap()],
                aaaa: vec!["2001:db8::1".parse().unwrap()],
                ..fixture::origin("eu")
            }),
            origin(Origin { a: vec!["192.0.2.2".parse().unwrap()], probe_port: Some(8443), ..fixture::origin("us") }),
            origin(Origin {
                a: vec!["192.0.2.3".parse().unwrap()],
                probe_check: Some(CheckId(1).into()),
                ..fixture::origin("ap")
            }),
            origin(Origin { cname: Some(name("pages.example.net")), ..fixture::origin("pages") }),
            origin(Origin {
                cname: Some(name("cdn.example.net")),
                a: vec!["192.0.2.5".parse().unwrap()],
                ..fixture::origin("cdn")
            }),
        ];
        let rung = |place, origins: &[u32], check: Option<CheckId>| Rung {
            place,
            origins: origins.iter().map(|&id| OriginId(id)).collect(),
            check: check.map(Into::into),
            quorum: Default::default(),
        };
        let www = Steer {
            hosts: vec!["www.example.com".into(), "example.com".into()],
            rungs: vec![
                rung(Place::Primary, &[0], Some(CheckId(0))),
                rung(Place::Backup(1), &[1, 2], Some(CheckId(0))),
                rung(Place::Emergency, &[3], None),
            ],
            ..fixture::steer("www.example.com")
        };
        let cdn = Steer {
            form: Form::Cname,
            rungs: vec![rung(Place::Primary, &[4], Some(CheckId(0))), rung(Place::Backup(1), &[3], Some(CheckId(0)))],
            ..fixture::steer("cdn.example.com")
        };
        let again = Steer { name: name("again.example.com"), ..www.clone() };
        config.steers = [www, cdn, again].map(Arc::new).to_vec();
        config
    }

    fn seat(plan: &Plan, steer: SteerId, rung: usize, origin: usize) -> Vec<String> {
        let seat = &plan.seats[steer.0 as usize][rung][origin];
        let shown = |(target, checks): &(Target, Vec<Vec<WatchId>>)| {
            let watch = |id: &WatchId| {
                let watch = &plan.watches[id.0 as usize];
                assert!(watch.target == *target || matches!(watch.target, Target::Origin(_)));
                format!("{}:{}:{}", watch.check.0, watch.port, watch.host)
            };
            let check = |ids: &Vec<WatchId>| ids.iter().map(watch).collect::<Vec<_>>().join(" ");
            format!("{target} [{}]", checks.iter().map(check).collect::<Vec<_>>().join(" | "))
        };
        seat.targets.iter().map(shown).collect()
    }

    #[test]
    fn every_seat_has_its_watches() {
        let plan = plan(&config());
        let www = SteerId(0);
        assert_eq!(
            seat(&plan, www, 0, 0),
            [
                "192.0.2.1 [0:443:www.example.com 0:443:example.com]",
                "2001:db8::1 [0:443:www.example.com 0:443:example.com]"
            ]
        );
        assert_eq!(seat(&plan, www, 1, 0), ["192.0.2.2 [0:8443:www.example.com 0:8443:example.com]"]);
        assert_eq!(seat(&plan, www, 1, 1), ["192.0.2.3 [1:25:]"], "its own check, which names no host");
        assert_eq!(seat(&plan, www, 2, 0), ["pages.example.net []"], "an emergency without check is unasked");
        let cdn = SteerId(1);
        assert_eq!(seat(&plan, cdn, 0, 0), ["cdn.example.net [0:443:cdn.example.com]"], "served as CNAME");
        assert_eq!(seat(&plan, cdn, 1, 0), ["pages.example.net [0:443:cdn.example.com]"]);
    }

    #[test]
    fn several_checks_have_their_own_watches_and_share_them() {
        let mut config = config();
        let mut steer = (*config.steers[0]).clone();
        steer.rungs[0].check = Some(Checks { need: 2, of: vec![CheckId(1), CheckId(0)] });
        config.steers[0] = Arc::new(steer);
        let plan = plan(&config);
        assert_eq!(
            seat(&plan, SteerId(0), 0, 0)[0],
            "192.0.2.1 [1:25: | 0:443:www.example.com 0:443:example.com]",
            "in the order of the file, the hosts of a check together"
        );
        assert_eq!((plan.seats[0][0][0].need, plan.seats[2][0][0].need), (2, 1));
        let both: Vec<_> = plan.seats[0][0][0].watches().collect();
        assert!(plan.seats[2][0][0].watches().all(|id| both.contains(&id)), "the site is asked once for both names");
        assert_eq!(plan.watches.len(), (4 + 2) + 2 + 1 + 2, "the mail of two addresses comes on top");
    }

    #[test]
    fn an_origin_that_calls_has_one_watch_whatever_its_addresses_hosts_and_port() {
        let mut config = config();
        let secret = crate::config::Secret("0123456789abcdef".into());
        config.checks[0] = Arc::new(Check { ask: Ask::Heartbeat(secret), ..fixture::check("beat") });
        let with_beats = plan(&config);
        assert_eq!(seat(&with_beats, SteerId(0), 0, 0), ["192.0.2.1 [0:0:]", "2001:db8::1 [0:0:]"]);
        assert_eq!(seat(&with_beats, SteerId(0), 1, 0), ["192.0.2.2 [0:0:]"], "no port, though the origin has one");
        assert_eq!(with_beats.watches.len(), 1 + 1 + 1 + 2, "eu, us, ap by tcp, and two by host name");
        let keys: std::collections::BTreeSet<Key> = with_beats.watches.iter().map(|watch| watch.key(&config)).collect();
        assert_eq!(keys.len(), with_beats.watches.len(), "each origin has its own");
    }

    #[test]
    fn names_share_watches_that_ask_the_same() {
        let plan = plan(&config());
        assert_eq!(plan.seats[0], plan.seats[2]);
        assert_eq!(plan.watches.len(), 4 + 2 + 1 + 2);
    }

    #[test]
    fn a_key_is_what_is_asked_and_nothing_else() {
        let before = config();
        let keys = |config: &Config| plan(config).watches.iter().map(|watch| watch.key(config)).collect::<Vec<_>>();
        let with = |change: &dyn Fn(&mut Check)| {
            let mut config = config();
            change(Arc::make_mut(&mut config.checks[0]));
            keys(&config) == keys(&before)
        };
        assert!(with(&|_| {}));
        assert!(with(&|check| check.every = Duration::from_secs(60)));
        assert!(with(&|check| check.fall = 9));
        assert!(with(&|check| check.name = "renamed".into()));
        assert!(!with(&|check| check.port = 444));
        assert!(!with(&|check| check.ca = Some("PEM".into())));
        let web = |change: &dyn Fn(&mut Web)| {
            let mut web = Web::get("/");
            change(&mut web);
            web
        };
        for asked in [
            Ask::Https(Web::get("/other")),
            Ask::Https(web(&|web| web.method = "HEAD".into())),
            Ask::Https(web(&|web| web.send = "{}".into())),
            Ask::Https(web(&|web| web.http2 = true)),
            Ask::Https(web(&|web| web.headers = vec![("X".into(), "1".into())])),
            Ask::Http(Web::get("/")),
            Ask::Tls,
            Ask::Icmp,
            Ask::Exec(vec!["/bin/true".into()]),
        ] {
            assert!(!with(&|check| check.ask = asked.clone()), "{asked:?}");
        }
        assert!(!with(&|check| check.expect.push(crate::config::expect::Expression::parse("status == 200").unwrap())));
    }

    #[test]
    fn keys_spread_over_an_interval() {
        let check = fixture::check("site");
        let mut buckets = [0; 10];
        for last in 0..=255 {
            let target = Target::Address([192, 0, 2, last].into());
            let watch = Watch { origin: OriginId(0), target, port: 443, check: CheckId(0), host: "a".into() };
            buckets[(Key::new(&watch, &check).spread() % 10) as usize] += 1;
        }
        assert!(buckets.iter().all(|count| (10..=45).contains(count)), "{buckets:?}");
    }
}
