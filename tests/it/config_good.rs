//! Good configurations and what they mean.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use failoverd::config::{
    self, Ask, Beyond, CheckId, Checks, Failback, Form, Listen, Names, OriginId, Place, Platform, Question, Quorum,
    Read, Resolvers, Secret, SteerId, Web, ZoneId, budget,
};
use failoverd::dns::{Name, Type};
use failoverd::zone::Files;

/// Files by path.
struct Shelf(BTreeMap<PathBuf, String>);

impl Files for Shelf {
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(text.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.get_key_value(path).map(|(path, _)| path.clone()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }
}

fn shelf(files: &[(&str, &str)]) -> Shelf {
    Shelf(files.iter().map(|&(path, text)| (path.into(), text.to_owned())).collect())
}

fn read_files(files: &[(&str, &str)]) -> Read {
    let env = |name: &str| match name {
        "PROBE_TOKEN" => Some("t0ken".to_owned()),
        "FB" => Some("manual".to_owned()),
        "HOLD" => Some("90s".to_owned()),
        "R" => Some("system".to_owned()),
        _ => None,
    };
    config::read(&shelf(files), Path::new(files[0].0), &env, "ns.test").unwrap_or_else(|errors| panic!("{errors}"))
}

fn read(text: &str) -> Read {
    read_files(&[("etc/failoverd.toml", text)])
}

fn name(text: &str) -> Name {
    Name::absolute(text).unwrap()
}

/// The example of the manual, with all that a person may write.
const WHOLE: &str = r#"
contract = 1

[server]
name      = "ns1"
listen    = ["0.0.0.0:53", "[::]:53", "udp://192.0.2.1:5353", "tcp://192.0.2.1:5354"]
workers   = 2
state     = "state"
state_max_age = "30m"
resolvers = ["9.9.9.9", "[2620:fe::fe]:5353"]
watch     = true
doubt_share = 0.75
[server.rate_limit]
responses_per_second = 50
slip        = 0
ipv4_prefix = 28
exempt      = ["192.0.2.0/24", "2001:db8::1"]

[admin]
listen     = "127.0.0.1:9000"
ops_listen = "127.0.0.1:9001"
[admin.token.alice]
secret_file = "alice.token"

[alert.ops]
webhook = "https://hooks.example.com/x"
secret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

[cli]
nodes = ["http://10.0.0.2:8053/"]

[zone."Example.com"]
file = "example.com.zone"
[zone."deep.example.com"]
file = "/zones/deep.zone"

[defaults.check]
every = "10s"
fall  = 2
[defaults.steer]
ttl   = "1m"
check = "site"

[check.site]
https   = "/healthz"
headers = { X-Probe = "${PROBE_TOKEN}" }
expect  = ["status in 200..299", "body ~ 'ok'", "time < 2s"]
warn    = ["cert_days > 14"]
[check.own]
http  = "/"
every = "1s"
fall  = 5
[check.port]
tcp = 5432

[origin.vercel]
cname = "cname.vercel-dns.com"
a     = ["76.76.21.21"]
[origin.netlify]
cname = "apex-loadbalancer.netlify.com."
[origin.eu]
a     = ["192.0.2.10"]
aaaa  = ["2001:db8::10"]
probe = { port = 8443, check = "own" }
[origin.us]
a = ["192.0.2.20"]
[origin.pages]
a = ["192.0.2.30"]

[ladder.web]
primary   = "vercel"
backup    = ["netlify"]

[ladder.regions]
primary   = { all = ["eu", "us"] }
backup    = ["netlify", { origin = "vercel", check = "port" }]
emergency = { origin = "pages", check = false }

[steer."WWW.example.com."]
ladder   = "web"
host     = ["www.example.com", "example.com"]
failback = "manual"

[steer."example.com"]
ladder = "web"
ttl    = "5s"

[steer."api.deep.example.com"]
ladder   = "regions"
failback = "auto"

[steer."*.apps.example.com"]
ladder = "web"
host   = "x.apps.example.com"
"#;

const TOKEN: (&str, &str) = ("etc/alice.token", "0123456789abcdef\n");

fn whole() -> Read {
    read_files(&[("etc/failoverd.toml", WHOLE), TOKEN])
}

#[test]
fn the_node_is_as_written() {
    let config = whole().config;
    let server = &config.server;
    let limit = server.answering.rate_limit.as_ref().unwrap();
    assert_eq!((limit.responses_per_second, limit.slip, limit.ipv4_prefix, limit.ipv6_prefix), (50, 0, 28, 56));
    assert_eq!(limit.exempt, ["192.0.2.0/24".parse().unwrap(), "2001:db8::1/128".parse().unwrap()]);
    assert_eq!((server.name.as_str(), server.workers, server.watch, server.doubt_share), ("ns1", Some(2), true, 0.75));
    let listen: Vec<_> =
        server.listen.iter().map(|&Listen { address, udp, tcp }| (address.to_string(), udp, tcp)).collect();
    let expected = [
        ("0.0.0.0:53", true, true),
        ("[::]:53", true, true),
        ("192.0.2.1:5353", true, false),
        ("192.0.2.1:5354", false, true),
    ];
    assert_eq!(listen, expected.map(|(address, udp, tcp)| (address.to_owned(), udp, tcp)));
    assert_eq!(server.state, Path::new("etc/state"));
    assert_eq!(server.state_max_age, Duration::from_secs(1800));
    let resolvers = ["9.9.9.9:53", "[2620:fe::fe]:5353"].map(|address| address.parse().unwrap());
    assert_eq!(server.resolvers, Resolvers::Addresses(resolvers.into()));
    assert_eq!(config.admin.listen, "127.0.0.1:9000".parse().unwrap());
    assert_eq!(config.admin.ops_listen, "127.0.0.1:9001".parse().unwrap());
    assert_eq!(
        (config.admin.tokens[0].actor.as_str(), config.admin.tokens[0].secret.0.as_str()),
        ("alice", "0123456789abcdef")
    );
    assert_eq!(config.alerts[0].secret.as_ref().map(Vec::len), Some(24));
    assert_eq!(config.cli.nodes, ["http://10.0.0.2:8053"]);
}

#[test]
fn checks_take_their_own_values_then_the_defaults_then_the_tables() {
    let config = whole().config;
    let [site, own, port] = &config.checks[..] else { panic!("three checks") };
    assert_eq!((site.every, site.timeout), (Duration::from_secs(10), Duration::from_secs(2)));
    assert_eq!((site.fall, site.rise, site.port), (2, 3, 443));
    assert_eq!(site.ask, Ask::Https(Web { headers: vec![("X-Probe".into(), "t0ken".into())], ..Web::get("/healthz") }));
    assert_eq!((site.expect.len(), site.warn.len()), (3, 1));
    // `every` below the default of `timeout` caps it; `rise` follows a larger `fall`.
    assert_eq!(
        (own.every, own.timeout, own.confirm),
        (Duration::from_secs(1), Duration::from_secs(1), Duration::from_millis(500))
    );
    assert_eq!((own.fall, own.rise, own.port), (5, 5, 80));
    assert_eq!(own.expect.iter().map(|e| e.text.as_str()).collect::<Vec<_>>(), ["status in 200..299"]);
    assert_eq!((&port.ask, port.port, port.expect.len()), (&Ask::Tcp, 5432, 0));
}

#[test]
fn the_ways_to_ask_are_read() {
    let text = r#"
[server]
exec = true
[heartbeat]
listen = "127.0.0.1:9154"
[zone."example.com"]
file = "example.com.zone"
[check.deep]
https = "/"
send = "${PROBE_TOKEN}"
http2 = true
expect = ["json '/a' == 1"]
[check.put]
http = "/x"
method = "PUT"
[check.tls]
tls = 853
[check.tls-of-origin]
tls = true
[check.ns]
dns = "www.Example.com aaaa"
[check.soa]
dns = "."
port = 5353
expect = ["rcode == 'REFUSED'"]
[check.ping]
icmp = true
[check.script]
exec = ["/bin/check", "{address}"]
[check.script-port]
exec = ["/bin/check", "{port}"]
port = 7
[check.beat]
heartbeat = { secret_file = "beat.token" }
every = "30s"
fall = 4
[origin.eu]
a = ["192.0.2.1", "192.0.2.2"]
probe = { port = 99 }
[origin.us]
a = ["192.0.2.3"]
[steer."www.example.com"]
primary = { origin = "eu", check = "beat" }
backup = { origin = "us", check = "ping" }
[steer."b.example.com"]
primary = { origin = "eu", check = "tls-of-origin" }
emergency = { origin = "us", check = "deep" }
[steer."c.example.com"]
primary = { origin = "us", check = "script" }
"#;
    let config = read_files(&[("etc/failoverd.toml", text), ("etc/beat.token", "0123456789abcdef\n")]).config;
    let asking = config.server.asking;
    assert_eq!((asking.exec, asking.heartbeat), (true, Some("127.0.0.1:9154".parse().unwrap())));
    let check = |name: &str| config.checks.iter().find(|check| check.name == name).unwrap();
    let Ask::Https(deep) = &check("deep").ask else { panic!("https") };
    assert_eq!((deep.method.as_str(), deep.send.as_str(), deep.http2), ("POST", "t0ken", true));
    assert_eq!(check("put").ask, Ask::Http(Web { method: "PUT".into(), ..Web::get("/x") }));
    let question = |text: &str| {
        let (name, rtype) = text.split_once(' ').unwrap();
        Ask::Dns(Question { name: Name::absolute(name).unwrap(), rtype: Type::from_mnemonic(rtype).unwrap() })
    };
    for (name, ask, port, expect) in [
        ("tls", Ask::Tls, 853, ""),
        ("tls-of-origin", Ask::Tls, 0, ""),
        ("ns", question("www.example.com AAAA"), 53, "rcode == 'NOERROR'"),
        ("soa", question(". A"), 5353, "rcode == 'REFUSED'"),
        ("ping", Ask::Icmp, 0, ""),
        ("script", Ask::Exec(vec!["/bin/check".into(), "{address}".into()]), 0, "exit == 0"),
        ("script-port", Ask::Exec(vec!["/bin/check".into(), "{port}".into()]), 7, "exit == 0"),
        ("beat", Ask::Heartbeat(Secret("0123456789abcdef".into())), 0, ""),
    ] {
        let check = check(name);
        let expects = check.expect.iter().map(|expression| expression.text.as_str()).collect::<Vec<_>>().join(", ");
        assert_eq!((&check.ask, check.port, expects.as_str()), (&ask, port, expect), "{name}");
    }
    // Each missed heartbeat is waited for, and none is sent: two probes of a name remain.
    let beat = budget::budget(&config, SteerId(0));
    assert_eq!((beat.wait, beat.confirmation, beat.timeout), (secs(30), secs(90), secs(2)));
    // A program that hangs is not raced before its timeout.
    let script = budget::budget(&config, SteerId(2));
    assert_eq!((script.wait, script.confirmation, script.timeout), (secs(5), secs(2), secs(2)));
    let month = 30 * 86_400 / 5;
    let probes: Vec<u64> = budget::probes_per_month(&config).into_iter().map(|(_, probes)| probes).collect();
    assert_eq!(probes, [2 * month, 3 * month], "tls to both addresses; a ping, https and a program");
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn ladders_become_rungs_and_forms() {
    let config = whole().config;
    assert_eq!(config.zones[0].apex, name("example.com"));
    assert_eq!(config.zones[0].file, Path::new("etc/example.com.zone"));
    assert_eq!(config.zones[1].file, Path::new("/zones/deep.zone"));
    let steer = |wanted: &str| config.steers.iter().find(|steer| steer.name == name(wanted)).unwrap();

    let www = steer("www.example.com");
    assert_eq!((www.form, www.zone, www.ttl, www.failback), (Form::Cname, ZoneId(0), 60, Failback::Manual));
    assert_eq!(www.hosts, ["www.example.com", "example.com"]);
    assert_eq!(www.name.as_wire(), name("www.example.com").as_wire(), "folded");

    // A CNAME cannot stand at an apex.
    let apex = steer("example.com");
    assert_eq!((apex.form, apex.ttl, apex.failback), (Form::Address, 5, Failback::After(Duration::from_secs(300))));
    assert_eq!(apex.hosts, ["example.com"]);

    let api = steer("api.deep.example.com");
    assert_eq!((api.form, api.zone, api.failback), (Form::Address, ZoneId(1), Failback::Auto));
    let rungs: Vec<_> = api.rungs.iter().map(|rung| (rung.place, rung.origins.clone(), rung.check.clone())).collect();
    assert_eq!(
        rungs,
        [
            (Place::Primary, vec![OriginId(2), OriginId(3)], Some(CheckId(0).into())),
            (Place::Backup(1), vec![OriginId(1)], Some(CheckId(0).into())),
            (Place::Backup(2), vec![OriginId(0)], Some(CheckId(2).into())),
            (Place::Emergency, vec![OriginId(4)], None),
        ]
    );
    assert_eq!(steer("*.apps.example.com").hosts, ["x.apps.example.com"]);
    let eu = &config.origins[2];
    assert_eq!((eu.probe_port, eu.probe_check.clone()), (Some(8443), Some(CheckId(1).into())));
}

#[test]
fn connections_are_bounded_as_written() {
    let streams = |text: &str| read(text).config.server.answering.streams.clone();
    let given = streams(
        "[server.tcp]\nconnections = 2000\nper_client = 100\nidle = \"30s\"\nreceive = \"2s\"\nsend = \"3s\"\n",
    );
    let spans = [given.idle, given.receive, given.send].map(|span| span.as_secs());
    assert_eq!((given.connections, given.per_client, spans), (2000, 100, [30, 2, 3]));
    assert_eq!(streams("[server]\ntcp = { idle = \"1m\" }\n").idle, Duration::from_secs(60));
    // One client never gets more than there is for all.
    assert_eq!(streams("[server.tcp]\nconnections = 300\n").per_client, 300);
    assert_eq!(streams("").per_client, 1000);
}

#[test]
fn windows_rules_several_checks_and_quorums_are_read() {
    let text = r#"
[zone."example.com"]
file = "example.com.zone"
[defaults.check]
window = "6 of 10"
degraded = ["errors > 10% over 50"]
[defaults.steer]
check = { any = ["site", "db"] }
leave_degraded = true
[check.site]
https = "/"
degraded = ["p90 time > 800ms over 20 until < 500ms", "errors>5% over 20"]
[check.db]
tcp = 5432
window = "3 of 5"
[check.cdn]
http = "/"
window = false
degraded = []
[origin.eu]
a = ["192.0.2.10"]
probe = { check = { of = 2, checks = ["site", "db", "cdn"] } }
[origin.us]
a = ["192.0.2.20"]
[origin.ap]
a = ["192.0.2.30"]
[steer."www.example.com"]
primary = { all = ["eu", "us", "ap"], min_up = 2, panic = "67%", check = { all = ["site", "db"] } }
backup = { all = ["eu", "us"], panic = "50%" }
[steer."api.example.com"]
primary = "us"
backup = "ap"
check = "cdn"
leave_degraded = false
"#;
    let config = read(text).config;
    let windows: Vec<_> = config.checks.iter().map(|check| check.window.map(|window| window.to_string())).collect();
    assert_eq!(windows, [Some("6 of 10".to_owned()), Some("3 of 5".to_owned()), None]);
    let rules: Vec<Vec<&str>> =
        config.checks.iter().map(|check| check.degraded.iter().map(|rule| rule.text.as_ref()).collect()).collect();
    let site = vec!["p90 time > 800ms over 20 until < 500ms", "errors > 5% over 20"];
    assert_eq!(rules, [site, vec!["errors > 10% over 50"], vec![]]);

    let checks = |need, of: &[u32]| Some(Checks { need, of: of.iter().map(|&id| CheckId(id)).collect() });
    assert_eq!(config.origins[0].probe_check, checks(2, &[0, 1, 2]));
    let [www, api] = &config.steers[..] else { panic!("two names") };
    let rungs: Vec<_> = www.rungs.iter().map(|rung| (rung.check.clone(), rung.quorum)).collect();
    assert_eq!(
        rungs,
        [
            (checks(2, &[0, 1]), Quorum { min_up: 2, panic: Some(67) }),
            (checks(1, &[0, 1]), Quorum { min_up: 1, panic: Some(50) })
        ]
    );
    assert_eq!((www.leave_degraded, api.leave_degraded), (true, false));
    assert_eq!(api.rungs[0].check, checks(1, &[2]));

    // The primary's origins are asked by two or three checks; the slowest window is that of the site, of 10 probes.
    assert_eq!(
        budget::budget(&config, SteerId(0)).to_string(),
        "www.example.com: 5s next probe + 1s confirmation + 2s timeout + 1ms publication + 30s TTL = 38s1ms worst case; \
         db is the slowest of several (all of site, db); 38s1ms if each of them sees it; 1m23s if 6 of 10 probes fail, \
         though not in a row"
    );
    assert_eq!(
        budget::budget(&config, SteerId(1)).to_string(),
        "api.example.com: 5s next probe + 1s confirmation + 2s timeout + 1ms publication + 30s TTL = 38s1ms worst case"
    );
}

#[test]
fn an_empty_file_is_all_defaults() {
    let read = read("");
    let server = &read.config.server;
    assert_eq!((server.name.as_str(), server.workers, server.watch), ("ns.test", None, false));
    assert_eq!(server.state, Path::new("/var/lib/failoverd"));
    assert_eq!(server.listen.iter().map(|l| l.address.to_string()).collect::<Vec<_>>(), ["0.0.0.0:53", "[::]:53"]);
    assert_eq!(read.config.admin.listen.to_string(), "127.0.0.1:8053");
    assert_eq!(read.config.admin.ops_listen.to_string(), "127.0.0.1:9153");
    assert_eq!(read.warnings, ["there is no zone: every question will be refused"]);
}

#[test]
fn included_files_are_merged_and_paths_are_relative_to_theirs() {
    let main = "include = [\"conf.d/*.toml\", \"conf.d/10-zone.toml\"]\n[server]\nname = \"ns1\"\n";
    let zone = "[zone.\"example.com\"]\nfile = \"example.com.zone\"\n";
    let token = "[admin.token.alice]\nsecret_file = \"../alice.token\"\n";
    let files = [
        ("etc/failoverd.toml", main),
        ("etc/conf.d/10-zone.toml", zone),
        ("etc/conf.d/20-admin.toml", "[admin]\nlisten = \"127.0.0.1:1\"\n"),
        ("etc/conf.d/30-token.toml", token),
        ("etc/conf.d/.hidden.toml", "nonsense"),
        ("etc/conf.d/readme.txt", "nonsense"),
        ("etc/conf.d/../alice.token", TOKEN.1),
    ];
    let read = read_files(&files);
    assert_eq!(read.config.zones[0].file, Path::new("etc/conf.d/example.com.zone"));
    assert_eq!(read.config.admin.listen.port(), 1);
    assert_eq!(read.config.admin.tokens.len(), 1);
    let files: Vec<_> = read.files.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(
        files,
        [
            "etc/failoverd.toml",
            "etc/conf.d/10-zone.toml",
            "etc/conf.d/20-admin.toml",
            "etc/conf.d/30-token.toml",
            "etc/conf.d/../alice.token"
        ]
    );
}

#[test]
fn budget_and_probe_counts_add_up() {
    let config = whole().config;
    let id = |wanted: &str| {
        SteerId(u32::try_from(config.steers.iter().position(|s| s.name == name(wanted)).unwrap()).unwrap())
    };
    let www = budget::budget(&config, id("www.example.com"));
    assert_eq!(www.worst(), Duration::from_millis(10_000 + 1000 + 2000 + 1 + 60_000));
    assert_eq!(
        www.to_string(),
        "www.example.com: 10s next probe + 1s confirmation + 2s timeout + 1ms publication + 1m TTL = 1m13s worst case"
    );
    // The slowest of the equals counts: `us` by site, not `eu` by its own check.
    assert_eq!(budget::budget(&config, id("api.deep.example.com")).wait, Duration::from_secs(10));
    let month = 30 * 86_400;
    let counts: Vec<u64> = budget::probes_per_month(&config).into_iter().map(|(_, count)| count).collect();
    // vercel: host name for www twice and the wildcard once every 10 s, its address at the apex once every 10 s and
    // by tcp once every 10 s.
    assert_eq!(counts[0], 5 * month / 10);
    // netlify: its host name for www, wildcard and api, and for the apex, which www's second host shares.
    assert_eq!(counts[1], 4 * month / 10);
    // eu: two addresses every second; us: one every 10 s; pages goes unasked.
    assert_eq!(counts[2..], [2 * month, month / 10, 0]);
}

#[test]
fn warnings_are_one_line_each_with_their_place() {
    let text = r#"
[admin]
listen = "10.0.0.1:8053"
[zone."example.com"]
file = "z"
[check.site]
https = "/"
fall = 5
rise = 1
[check.spare]
tcp = 1
[origin.eu]
a = ["192.0.2.1"]
probe = { check = "site" }
[origin.us]
a = ["192.0.2.2"]
[ladder.unused]
primary = "eu"
backup = { all = ["eu"], check = "spare" }
[steer."www.example.com"]
primary = "eu"
"#;
    assert_eq!(
        read(text).warnings,
        [
            "etc/failoverd.toml:3:10: the API listens on 10.0.0.1:8053, which is not loopback: tokens cross the network unencrypted; keep it on a private network, or on 127.0.0.1 behind a tunnel",
            "etc/failoverd.toml:9:8: check `site` is up again after 1 passes but down only after 5 failures; an origin that flaps will be served in between; `rise` of at least `fall` is calmer",
            "etc/failoverd.toml:15:9: origin `us` stands on no ladder: it is neither probed nor served",
            "etc/failoverd.toml:17:9: ladder `unused` is used by no name",
            "etc/failoverd.toml:19:19: origin `eu` is on the primary and the backup rung of one ladder: when it is down, both are",
            "etc/failoverd.toml:19:34: origin `eu` has its own `probe.check`, which goes before the check of this rung; remove one of the two",
            "etc/failoverd.toml:20:8: the ladder of `www.example.com` has one origin only: there is nothing to fail over to; add `backup = \"…\"`",
        ]
    );
}

/// The fall and rise of a check and how often a warning says something, for these defaults and this check.
fn rise_of(defaults: &str, check: &str) -> (u32, u32, usize) {
    let read =
        read(&format!("[defaults.check]\n{defaults}\n[check.a]\ntcp = 1\n{check}\n[check.b]\ntcp = 2\n{check}\n"));
    let said = read.warnings.iter().filter(|warning| warning.contains("is up again after")).count();
    (read.config.checks[0].fall, read.config.checks[0].rise, said)
}

#[test]
fn rise_follows_fall_unless_it_is_set_there_or_nearer() {
    assert_eq!(rise_of("fall = 5", ""), (5, 5, 0));
    assert_eq!(rise_of("", "fall = 5"), (5, 5, 0));
    // Both in the defaults: kept, and said once for all checks.
    assert_eq!(rise_of("fall = 5\nrise = 2", ""), (5, 2, 1));
    assert_eq!(rise_of("rise = 1", ""), (3, 1, 1));
    // `fall` is nearer: it was set without a thought of the defaults' `rise`.
    assert_eq!(rise_of("rise = 2", "fall = 5"), (5, 5, 0));
    assert_eq!(rise_of("rise = 7", "fall = 5"), (5, 7, 0));
    assert_eq!(rise_of("fall = 5", "rise = 2"), (5, 2, 2));
    assert_eq!(rise_of("fall = 5\nrise = 1", "fall = 4\nrise = 2"), (4, 2, 2));
}

#[test]
fn the_environment_may_say_what_the_file_may() {
    let text = |failback: &str| {
        format!(
            "[server]\nresolvers = \"${{R}}\"\n[zone.\"example.com\"]\nfile = \"z\"\n[check.site]\nhttps = \"/\"\n\
             [origin.eu]\na = [\"192.0.2.1\"]\n[defaults.steer]\ncheck = \"site\"\n[steer.\"www.example.com\"]\n\
             primary = \"eu\"\nfailback = \"{failback}\"\n"
        )
    };
    let manual = read(&text("${FB}")).config;
    assert_eq!((manual.steers[0].failback, &manual.server.resolvers), (Failback::Manual, &Resolvers::System));
    let held = read(&text("${HOLD}")).config;
    assert_eq!(held.steers[0].failback, Failback::After(Duration::from_secs(90)));
}

/// Warnings about the size of the answers of a rung of `origins` origins with these addresses each.
fn size_warnings(origins: usize, a: usize, aaaa: usize) -> Vec<String> {
    let mut text = "[zone.\"example.com\"]\nfile = \"z\"\n[check.site]\nhttps = \"/\"\n".to_owned();
    for origin in 0..origins {
        let v4: Vec<_> = (0..a).map(|n| format!("\"192.0.{origin}.{}\"", n + 1)).collect();
        let v6: Vec<_> = (0..aaaa).map(|n| format!("\"2001:db8:{origin}::{n:x}\"")).collect();
        text += &format!("[origin.o{origin}]\na = [{}]\naaaa = [{}]\n", v4.join(", "), v6.join(", "));
    }
    let all: Vec<_> = (0..origins).map(|origin| format!("\"o{origin}\"")).collect();
    text += &format!("[steer.\"www.example.com\"]\ncheck = \"site\"\nprimary = {{ all = [{}] }}\n", all.join(", "));
    read(&text).warnings.into_iter().filter(|warning| warning.contains("do not fit UDP")).collect()
}

#[test]
fn answers_too_large_for_udp_are_told() {
    // 12 + 17 + 4 + 11 leave 1,188 bytes: 42 AAAA of 28 bytes, 74 A of 16.
    assert_eq!(size_warnings(6, 7, 7), [""; 0]);
    let said = size_warnings(7, 7, 7);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("the AAAA answers of the primary rung of `www.example.com` do not fit UDP (1416 bytes"),
        "{said:?}"
    );
    assert!(said[0].ends_with("clients will ask again over TCP; 42 addresses of a family fit"), "{said:?}");
}

#[test]
fn a_rate_limit_is_off_without_its_table_and_on_with_an_empty_one() {
    assert_eq!(read(config::template()).config.server.answering.rate_limit, None);
    let limit = read("[server.rate_limit]").config.server.answering.rate_limit.clone().unwrap();
    assert_eq!((limit.responses_per_second, limit.slip, limit.ipv4_prefix, limit.ipv6_prefix), (200, 2, 24, 56));
    assert_eq!(limit.exempt, []);
}

#[test]
fn secrets_do_not_show_in_debug() {
    let shown = format!("{:?}", whole());
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("MfKQ9r8"), "{shown}");
}

#[test]
fn the_template_is_good_as_it_stands() {
    let read = read(config::template());
    assert_eq!(read.warnings, [""; 0]);
    assert_eq!(read.config.steers[0].hosts, ["www.example.com"]);
    assert_eq!(read.config.zones[0].file, Path::new("etc/fo.example.com.zone"));
}

/// `docs/configuration.md` holds every section's table as `config::bounds` has it. `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_manual_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let (start, end) = ("<!-- every key: written by a test -->\n", "<!-- end of every key -->\n");
    let tables: Vec<String> = config::bounds::SECTIONS.iter().map(config::bounds::Section::manual).collect();
    let wanted = format!("{start}\n{}\n{end}", tables.join("\n"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let (before, rest) = text.split_once(start).expect("the opening mark");
        let (_, after) = rest.split_once(end).expect("the closing mark");
        std::fs::write(&path, format!("{before}{wanted}{after}")).unwrap();
    } else {
        assert!(text.contains(&wanted), "docs/configuration.md is not what bounds.rs says; UPDATE_EXPECT=1 writes it");
    }
}

#[test]
fn who_answers_and_who_is_told() {
    let answering = |text: &str| read(text).config.server.answering;
    let plain = answering("");
    assert_eq!((&*plain.name, plain.nsid, plain.identity, plain.cookies.enabled), ("ns.test", true, false, true));
    assert!(plain.explain_to.is_empty() && plain.cookies.secrets().next().is_none());
    let all = answering(
        r#"
        [server]
        name = "ns7"
        nsid = false
        identity = true
        explain_to = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7", "::1"]
        [server.cookies]
        enabled = false
        "#,
    );
    assert_eq!((&*all.name, all.nsid, all.identity, all.cookies.enabled), ("ns7", false, true, false));
    let prefixes: Vec<_> = all.explain_to.iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32", "::1/128"]);
}

#[test]
fn secrets_of_cookies_are_lines_of_a_file_beside_the_configuration() {
    let secret = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    let read = read_files(&[
        ("etc/failoverd.toml", "[server]\n[server.cookies]\nsecret_file = \"cookies\""),
        ("etc/cookies", &format!("{secret}\n\n  445536BCD2513298075A5D379663C962\r\n")),
    ]);
    let cookies = &read.config.server.answering.cookies;
    assert_eq!(cookies.secrets().map(|secret| secret[..2].to_vec()).collect::<Vec<_>>(), [[0xe5, 0xe9], [0x44, 0x55]]);
    assert!(!format!("{:?}", read.config).contains("e5"), "secrets never show");
    assert_eq!(read.files[1], Path::new("etc/cookies"), "a change of the file is seen");
}

#[test]
fn encrypted_addresses_have_their_own_ports_and_a_certificate() {
    let read = read(
        r#"
[server]
listen = ["192.0.2.1:53", "tls://192.0.2.1", "https://[2001:db8::1]", "quic://[2001:db8::1]:8853"]
[server.tls]
certificate = "tls/fullchain.pem"
key = "/run/privkey.pem"
[zone."example.com"]
file = "example.com.zone"
"#,
    );
    assert_eq!(read.warnings, [""; 0]);
    let server = read.config.server;
    let shown: Vec<String> = server.encrypted.listen.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["tls://192.0.2.1:853", "https://[2001:db8::1]:443", "quic://[2001:db8::1]:8853"]);
    assert_eq!(server.listen.len(), 1);
    let tls = server.encrypted.tls.expect("a certificate");
    assert_eq!((tls.certificate, tls.key), ("etc/tls/fullchain.pem".into(), "/run/privkey.pem".into()));
    assert_eq!(tls.https_path, "/dns-query");
}

#[test]
fn a_certificate_for_nobody_is_worth_a_word() {
    let read =
        read("[server.tls]\ncertificate = \"a\"\nkey = \"b\"\nhttps_path = \"/q\"\n[zone.\"a.test\"]\nfile = \"z\"\n");
    assert_eq!(read.warnings.len(), 1, "{:?}", read.warnings);
    assert!(read.warnings[0].contains("`[server.tls]` is not used"), "{:?}", read.warnings);
}

#[test]
fn readiness_is_as_written_or_as_the_host_name_tells() {
    let read = read(
        r#"
[zone."example.com"]
file = "example.com.zone"
[defaults.check]
standby_every = "30s"
[defaults.steer]
strict = true
[check.site]
https = "/"
[check.fast]
https = "/"
every = "1m"
standby_every = "5s"
[origin.vercel]
cname = "cname.vercel-dns.com"
[origin.netlify]
a = ["75.2.60.5"]
[origin.ours]
cname = "pages.github.io"
platform = "plain"
[steer."www.example.com"]
primary = "vercel"
backup = "netlify"
check = "site"
[steer."x.example.com"]
primary = "ours"
backup = { origin = "netlify", check = "fast" }
check = "site"
strict = false
"#,
    );
    let platforms: Vec<_> = read.config.origins.iter().map(|origin| (origin.name.as_str(), origin.platform)).collect();
    assert_eq!(platforms, [("vercel", Platform::Vercel), ("netlify", Platform::Netlify), ("ours", Platform::Plain)]);
    let seconds: Vec<_> = read.config.checks.iter().map(|check| check.standby_every.as_secs()).collect();
    assert_eq!(seconds, [30, 60]);
    assert_eq!(
        read.warnings,
        [
            "etc/failoverd.toml:13:17: `standby_every` of 5s is shorter than `every` of 1m, in check `fast`; a standby is \
          asked no oftener than what is served: every 1m"
        ]
    );
    assert_eq!(read.config.steers.iter().map(|steer| steer.strict).collect::<Vec<_>>(), [true, false]);
    // What only stands by is counted at its own pace.
    let month = 30 * 86_400;
    assert_eq!(
        budget::probes_per_month(&read.config),
        [(OriginId(0), month / 5), (OriginId(1), month / 30 + month / 60), (OriginId(2), month / 5)]
    );
}

#[test]
fn a_velocity_limit_is_off_without_its_table_and_told_where_it_is_too_small() {
    assert_eq!(read(config::template()).config.velocity, None);
    let limit = read("[velocity]\nnames = 20").config.velocity.unwrap();
    assert_eq!((limit.names, limit.per), (Names::Number(20), secs(60)));
    assert_eq!(limit.beyond, Beyond::Confirm { longer: secs(30) });
    let limit = read("[velocity]\nnames = \"10%\"\nper = \"5m\"\nbeyond = \"person\"").config.velocity.unwrap();
    assert_eq!((limit.names, limit.per, limit.beyond), (Names::Share(10), secs(300), Beyond::Person));

    let names = |count: usize| -> String {
        let steer = |n| format!("[steer.\"n{n}.example.com\"]\nprimary = \"eu\"\nbackup = \"us\"\ncheck = \"site\"\n");
        (0..count).map(steer).collect()
    };
    let warned = |velocity: &str, count| {
        let rest = "[zone.\"example.com\"]\nfile = \"a.zone\"\n[check.site]\ntcp = true\nport = 80\n\
                    [origin.eu]\na = [\"192.0.2.1\"]\n[origin.us]\na = [\"192.0.2.2\"]\n";
        read(&format!("[velocity]\n{velocity}\n{rest}{}", names(count))).warnings
    };
    let (small, place) = ("names = 2", "etc/failoverd.toml:2:9");
    assert!(warned(small, 2).is_empty());
    let told = "names stand on `eu`, and 2 may move in 1m: when it dies, the last of them moves 2m after the first";
    assert_eq!(warned(small, 5), [format!("{place}: 5 {told}")]);
    let told = "5 names stand on `eu`, and 2 may move in 1m: when it dies, 3 of them would wait for a person";
    assert_eq!(warned("names = 2\nbeyond = \"person\"", 5), [format!("{place}: {told}")]);
    let warnings = warned("names = 9\nbeyond = \"person\"\nlonger = \"1m\"", 5);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("`longer` means nothing where names wait for a person"), "{warnings:?}");
}
