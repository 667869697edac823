//! What the command line shows of hand-made views, compared with the files beside this one.
//!
//! `BLESS=1 cargo test --test it cli_render` writes them anew; read the difference before it is committed.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use failoverd::cli::exit::{Exit, Failure};
use failoverd::cli::look::Look;
use failoverd::cli::status::Seen;
use failoverd::cli::{events, explain, order, probe, replay, status};
use failoverd::config::{Form, Place, Platform};
use failoverd::control::journal::{Approved, Ending, LimitTold, Rehearsed, Served, Stages, Turn, What};
use failoverd::decision::order::{Order as Ordered, OrderId, What as OrderWhat};
use failoverd::decision::{Data, Reason};
use failoverd::dns::Name;
use failoverd::dns::Serial;
use failoverd::edge::admin::view::{
    Answer, Certificate, Configured, ConfiguredCheck, ConfiguredOrigin, ConfiguredRung, Done, Doubt, Event,
    Expectation, Explain, Former, Journal, Order, Origin, Outcome, Phases, Probe, Probed, Race, Rung, Runner, Serving,
    Status, Steered, Waiting, Watch, Zone,
};
use failoverd::ready::{Finding, Kind, Ready};
use failoverd::record;
use failoverd::snapshot::{Generation, Refused};
use failoverd::time::Wall;
use failoverd::verdict::Class;
use jiff::Timestamp;

const TERMINAL: Look = Look { glyphs: true, width: Some(190), height: Some(40) };
const NOW: &str = "2026-11-21T10:32:07.512Z";

/// Compares without colours, which are told apart by [`colours_say_what_is_bad`].
fn golden(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli_render").join(file);
    let text = anstream::adapter::strip_str(text).to_string();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text == expected, "{} differs; it is now:\n{text}", path.display());
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn origin(name: &str, class: Class, cause: Option<&str>) -> Origin {
    Origin {
        name: name.into(),
        class,
        degraded: None,
        drained: false,
        served: false,
        cause: cause.map(str::to_owned),
        since_seconds: Some(130),
        stale: false,
        ready: if class == Class::Up { Ready::Ready } else { Ready::Unknown },
        findings: Vec::new(),
    }
}

fn rung(place: &str, class: Class, served: bool, origins: Vec<Origin>) -> Rung {
    Rung { rung: place.into(), class, degraded: false, needs: 1, served, unchecked: false, origins }
}

fn steered(name: &str, why: &str, because: &str, rungs: Vec<Rung>) -> Steered {
    let served = rungs.iter().find(|rung| rung.served);
    Steered {
        name: name.into(),
        zone: "example.com".into(),
        zone_serial: Some(2_026_112_103),
        serving: served.map(|rung| Serving {
            rung: rung.rung.clone(),
            origins: rung.origins.iter().map(|origin| origin.name.clone()).collect(),
            answer: Answer::Cname("example.netlify.app".into()),
            ttl: 30,
            why: why.into(),
            because: because.into(),
            failback_due: None,
            waits_since: None,
        }),
        since: at("2026-11-21T10:29:57Z"),
        since_seconds: 130,
        serial: 2_026_112_102,
        rungs,
        order: None,
        former: None,
    }
}

fn finding(kind: Kind, level: Ready, seen: &str, advice: &str) -> Finding {
    Finding { kind, level, seen: seen.into(), advice: advice.into() }
}

/// Its certificate is about to end.
fn unrenewed(origin: Origin) -> Origin {
    let seen = "its certificate ends in 6 days and has not been renewed";
    let advice = "upload a certificate for www.example.com to the Netlify site";
    let findings = vec![finding(Kind::CertificateEnds, Ready::Warn, seen, advice)];
    Origin { ready: Ready::Warn, findings, ..origin }
}

/// It sends visitors away, and has no IPv6.
fn misled(origin: Origin) -> Origin {
    let findings = vec![
        finding(Kind::Redirect, Ready::WouldFail, "it sends visitors of shop.example.com back to eu", "make it serve"),
        finding(Kind::Family, Ready::Warn, "it has no IPv6 address and the primary has one", ""),
    ];
    Origin { ready: Ready::WouldFail, findings, ..origin }
}

fn hold() -> Order {
    Order {
        id: 7,
        kind: "hold".into(),
        target: "shop.example.com".into(),
        rung: Some("backup-2".into()),
        actor: "alice".into(),
        reason: "database move".into(),
        given: at("2026-11-21T10:00:00Z"),
        until: None,
        remaining_seconds: None,
    }
}

fn node(name: &str) -> Status {
    let failed_over = steered(
        "www.example.com",
        "failed-over",
        "primary (vercel) is down: connection refused",
        vec![
            rung("primary", Class::Down, false, vec![origin("vercel", Class::Down, Some("connection refused"))]),
            rung("backup", Class::Up, true, vec![unrenewed(origin("netlify", Class::Up, None))]),
            Rung {
                unchecked: true,
                ..rung("emergency", Class::Untried, false, vec![origin("pages", Class::Untried, None)])
            },
        ],
    );
    let mut held = steered(
        "shop.example.com",
        "held",
        "held by alice: database move",
        vec![
            rung("primary", Class::Up, false, vec![origin("eu", Class::Up, None), origin("us", Class::Suspect, None)]),
            rung(
                "backup",
                Class::Untried,
                false,
                vec![Origin { stale: true, ..misled(origin("asia", Class::Untried, None)) }],
            ),
            rung("backup-2", Class::Up, true, vec![origin("pages", Class::Up, None)]),
        ],
    );
    held.order = Some(hold());
    let mut young = steered(
        "new.example.com",
        "",
        "",
        vec![rung(
            "primary",
            Class::Untried,
            false,
            vec![Origin { drained: true, ..origin("eu", Class::Untried, None) }],
        )],
    );
    young.zone_serial = None;
    let drain = Order {
        id: 8,
        kind: "drain".into(),
        target: "eu".into(),
        rung: None,
        actor: "bob".into(),
        reason: "kernel upgrade".into(),
        until: Some(at("2026-11-21T11:30:00Z")),
        remaining_seconds: Some(3_473),
        ..hold()
    };
    Status {
        node: name.into(),
        version: "0.1.0".into(),
        generation: 42,
        now: at(NOW),
        uptime_seconds: 273_600,
        ready: true,
        degraded: Vec::new(),
        doubt: None,
        waiting: None,
        journal: Some(Journal { recorded: 20, committed: 20, durable: true, trouble: None }),
        zones: vec![Zone { name: "example.com".into(), serial: 2_026_112_103 }],
        names: vec![failed_over, held, young],
        orders: vec![hold(), drain],
    }
}

fn seen(status: Status) -> Seen {
    Seen { address: format!("http://{}:8053", status.node), status: Ok(status) }
}

#[test]
fn status_of_one_node() {
    golden("status.terminal", &status::render(&[seen(node("ns1"))], TERMINAL));
    golden("status-narrow.terminal", &status::render(&[seen(node("ns1"))], Look { width: Some(100), ..TERMINAL }));
    golden("status.pipe", &status::render(&[seen(node("ns1"))], Look::PIPE));
}

#[test]
fn status_in_trouble() {
    let troubled = Status {
        ready: false,
        degraded: vec!["changes of [server] listen wait for a restart".into()],
        doubt: Some(Doubt {
            since: at("2026-11-21T10:30:00Z"),
            since_seconds: 127,
            evidence: "no watch passes and the resolvers do not answer".into(),
        }),
        journal: Some(Journal {
            recorded: 23,
            committed: 20,
            durable: false,
            trouble: Some("no space left on device".into()),
        }),
        names: Vec::new(),
        orders: Vec::new(),
        ..node("ns1")
    };
    golden("status-trouble.terminal", &status::render(&[seen(troubled)], TERMINAL));
}

/// So many names wait, the first of them for so long.
fn waiting(names: usize, next_in_ms: Option<u64>) -> Waiting {
    Waiting { names, limit: 20, per_ms: 60_000, next_in_ms }
}

/// Its primary is down, and the velocity limit has no room for it.
fn waits(mut name: Steered) -> Steered {
    let vercel = origin("vercel", Class::Down, Some("connection refused"));
    name.rungs = vec![
        rung("primary", Class::Down, true, vec![vercel]),
        rung("backup", Class::Up, false, vec![origin("netlify", Class::Up, None)]),
    ];
    let serving = name.serving.as_mut().unwrap();
    (serving.rung, serving.origins) = ("primary".into(), vec!["vercel".into()]);
    serving.why = "waits".into();
    serving.because =
        "primary (vercel) is down: connection refused; would go to backup, waits for the velocity limit".into();
    serving.waits_since = Some(at("2026-11-21T10:31:33Z"));
    name
}

#[test]
fn status_while_names_wait_for_the_velocity_limit() {
    let mut status = node("ns1");
    status.names = vec![waits(status.names.remove(0))];
    status.orders.clear();
    status.waiting = Some(waiting(12, Some(33_500)));
    golden("status-waiting.terminal", &status::render(&[seen(status.clone())], TERMINAL));
    status.waiting = Some(waiting(1, None));
    golden("status-waiting.pipe", &status::render(&[seen(status)], Look::PIPE));
}

#[test]
fn status_of_what_is_not_well() {
    let slow = Origin { degraded: Some("p90 time > 800ms over 20".into()), ..origin("eu", Class::Up, None) };
    let mut status = node("ns1");
    status.names = vec![
        steered(
            "www.example.com",
            "degraded",
            "primary (eu) is degraded: p90 time > 800ms over 20",
            vec![
                Rung { degraded: true, ..rung("primary", Class::Up, false, vec![slow]) },
                rung("backup", Class::Up, true, vec![origin("us", Class::Up, None)]),
            ],
        ),
        steered(
            "shop.example.com",
            "failed-over",
            "primary (eu) is up, (us) is down: db: connection refused (needs 2 of 2)",
            vec![
                Rung {
                    needs: 2,
                    ..rung(
                        "primary",
                        Class::Down,
                        false,
                        vec![origin("eu", Class::Up, None), origin("us", Class::Down, Some("db: connection refused"))],
                    )
                },
                rung("backup", Class::Up, true, vec![origin("cloud", Class::Up, None)]),
            ],
        ),
    ];
    golden("status-unwell.terminal", &status::render(&[seen(status.clone())], TERMINAL));
    golden("status-unwell.pipe", &status::render(&[seen(status)], Look::PIPE));
}

#[test]
fn status_of_nodes_that_disagree() {
    let mut other = node("ns2");
    other.names[0] = steered(
        "www.example.com",
        "preferred",
        "first choice, and it works",
        vec![rung("primary", Class::Up, true, vec![origin("vercel", Class::Up, None)])],
    );
    other.names.truncate(2);
    other.orders.clear();
    let gone = Seen {
        address: "http://ns3:8053".into(),
        status: Err(Failure::new(Exit::Unreachable, "cannot reach failoverd at http://ns3:8053: connection refused")),
    };
    let all = [seen(node("ns1")), seen(other), gone];
    golden("status-nodes.terminal", &status::render(&all, TERMINAL));
    golden("status-nodes.pipe", &status::render(&all, Look::PIPE));
}

#[test]
fn colours_say_what_is_bad() {
    let text = status::render(&[seen(node("ns1"))], TERMINAL);
    for red in ["✗", "until-released"] {
        assert!(text.contains(&format!("\x1b[1m\x1b[31m{red}\x1b[0m")), "{red} is red in {text:?}");
    }
    assert!(text.contains("\x1b[32m●\x1b[0m"), "up is green in {text:?}");
}

fn refused() -> Probe {
    Probe {
        purpose: "scheduled".into(),
        started: at("2026-11-21T10:32:06.300Z"),
        ago_ms: 1_212,
        outcome: Outcome::Failed,
        label: Some("connect-refused".into()),
        cause: Some("connection refused".into()),
        address: Some("76.76.21.21".parse().unwrap()),
        status: None,
        phases: Phases { resolve_ms: Some(1.234), connect_ms: Some(12.7), ..Phases::default() },
        total_ms: 13.934,
        expect: vec![Expectation { text: "status in 200..299".into(), held: None, seen: None }],
        warnings: Vec::new(),
        certificate: None,
    }
}

fn passed() -> Probe {
    Probe {
        outcome: Outcome::Passed,
        label: None,
        cause: None,
        address: Some("2001:db8::10".parse().unwrap()),
        status: Some(200),
        phases: Phases {
            resolve_ms: None,
            connect_ms: Some(0.42),
            tls_ms: Some(24.0),
            first_byte_ms: Some(1_250.4),
            body_ms: Some(3.0),
            answer_ms: None,
        },
        total_ms: 1_277.82,
        expect: vec![
            Expectation { text: "status in 200..299".into(), held: Some(true), seen: None },
            Expectation { text: "body ~ 'ok'".into(), held: Some(true), seen: None },
        ],
        warnings: vec!["cert_days > 14: saw 9".into()],
        certificate: Some(Certificate {
            subject: "CN=www.example.com".into(),
            issuer: "CN=R11, O=Let's Encrypt".into(),
            names: vec!["www.example.com".into(), "example.com".into()],
            not_before: at("2026-09-01T00:00:00Z"),
            not_after: at("2026-11-30T12:00:00Z"),
            days_left: 9,
            chain: 2,
        }),
        ..refused()
    }
}

fn broken() -> Probe {
    Probe {
        outcome: Outcome::Failed,
        label: Some("unexpected".into()),
        cause: Some("expected body ~ 'ok', saw 14 bytes without it".into()),
        expect: vec![
            Expectation { text: "status in 200..299".into(), held: Some(true), seen: None },
            Expectation { text: "body ~ 'ok'".into(), held: Some(false), seen: Some("14 bytes without it".into()) },
            Expectation { text: "time < 2s".into(), held: None, seen: None },
        ],
        warnings: Vec::new(),
        ..passed()
    }
}

fn watch(origin: &str, target: &str, class: Class, last: Option<Probe>) -> Watch {
    Watch {
        origin: origin.into(),
        target: target.into(),
        port: 443,
        check: "site".into(),
        host: "www.example.com".into(),
        class,
        since: Some(at("2026-11-21T10:29:57Z")),
        since_seconds: Some(130),
        progress: None,
        cause: None,
        stale: false,
        unseen: false,
        degraded: None,
        last,
        recent: "+++++".into(),
        next_in_ms: Some(3_800),
        probes: 1_204,
        failures: 3,
    }
}

fn explained() -> Explain {
    let mut told = node("ns1").names.remove(0);
    told.former = Some(Former {
        rung: "primary".into(),
        origins: vec!["vercel".into()],
        answer: Answer::Cname("cname.vercel-dns.com".into()),
        until: at("2026-11-21T10:31:50Z"),
        gone: at("2026-11-21T10:32:20Z"),
        remaining_seconds: 13,
    });
    let lives = |name: &str, cname: Option<&str>, addresses: &[&str]| ConfiguredOrigin {
        name: name.into(),
        cname: cname.map(str::to_owned),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        platform: Platform::guess(cname.map(|cname| Name::absolute(cname).unwrap()).as_ref(), []),
    };
    let stands = |place: &str, origins, check: Option<&str>| ConfiguredRung {
        rung: place.into(),
        origins,
        check: check.map(str::to_owned),
        quorum: None,
    };
    Explain {
        node: "ns1".into(),
        generation: 42,
        now: at(NOW),
        doubt: None,
        waiting: None,
        journal: Some(Journal { recorded: 20, committed: 20, durable: true, trouble: None }),
        config: Configured {
            form: Form::Cname,
            ttl: 30,
            failback: "after a better rung has been up for 5m".into(),
            leave_degraded: false,
            strict: false,
            hosts: vec!["www.example.com".into()],
            ladder: vec![
                stands("primary", vec![lives("vercel", Some("cname.vercel-dns.com"), &["76.76.21.21"])], Some("site")),
                stands(
                    "backup",
                    vec![lives("eu", None, &["192.0.2.10", "2001:db8::10"]), lives("us", None, &["198.51.100.7"])],
                    Some("site"),
                ),
                stands("emergency", vec![lives("pages", Some("example.github.io"), &[])], None),
            ],
            checks: vec![ConfiguredCheck {
                name: "site".into(),
                ask: "https /healthz".into(),
                port: 443,
                every_ms: 5_000,
                standby_every_ms: 5_000,
                timeout_ms: 2_000,
                fall: 3,
                rise: 3,
                confirm_ms: 500,
                blip_ms: 1_000,
                window: None,
                expect: vec!["status in 200..299".into(), "body ~ 'ok'".into()],
                warn: vec!["cert_days > 14".into()],
                degraded: Vec::new(),
            }],
        },
        watches: vec![
            Watch {
                progress: Some("1 of 3 passes towards up".into()),
                cause: Some("connection refused".into()),
                recent: "++++---?+".into(),
                ..watch("vercel", "cname.vercel-dns.com", Class::Down, Some(refused()))
            },
            Watch { unseen: true, ..watch("eu", "2001:db8::10", Class::Up, Some(passed())) },
            Watch {
                stale: true,
                since: None,
                since_seconds: None,
                progress: Some("no conclusive probe yet".into()),
                recent: String::new(),
                next_in_ms: None,
                ..watch("us", "198.51.100.7", Class::Untried, None)
            },
        ],
        steered: told,
        answer: vec!["www.example.com. 30 IN CNAME example.netlify.app.".into()],
    }
}

#[test]
fn explain_walks_the_six_words() {
    golden("explain.terminal", &explain::render(&explained(), TERMINAL));
    golden("explain.pipe", &explain::render(&explained(), Look::PIPE));
}

#[test]
fn explain_of_several_checks_that_are_not_well() {
    let mut told = explained();
    let db = ConfiguredCheck {
        name: "db".into(),
        ask: "tcp".into(),
        port: 5432,
        window: Some("6 of 10".into()),
        expect: Vec::new(),
        warn: Vec::new(),
        degraded: vec!["p90 time > 800ms over 20".into(), "errors > 10% over 50".into()],
        ..told.config.checks[0].clone()
    };
    told.config.checks.push(db);
    told.config.ladder[0].check = Some("all of site, db".into());
    told.config.ladder[0].quorum = Some("at least 2 up, panic below 50%".into());
    told.config.leave_degraded = true;
    told.watches[0].cause = Some("6 of the last 10 probes failed, lately: connect timed out".into());
    told.watches[0].check = "db".into();
    told.watches[1].degraded = Some("p90 time > 800ms over 20".into());
    golden("explain-checks.pipe", &explain::render(&told, Look::PIPE));
}

#[test]
fn explain_of_a_held_name_in_doubt_and_unrecorded() {
    let mut told = explained();
    told.doubt =
        node("ns1").doubt.or(Some(Doubt { since: at(NOW), since_seconds: 4, evidence: "nothing passes".into() }));
    told.journal = Some(Journal { recorded: 21, committed: 20, durable: false, trouble: None });
    told.steered = node("ns1").names.remove(1);
    told.steered.former = explained().steered.former.map(|former| Former {
        remaining_seconds: 0,
        gone: at("2026-11-20T10:00:00Z"),
        ..former
    });
    told.steered.rungs[0].origins[0].drained = true;
    golden("explain-held.terminal", &explain::render(&told, TERMINAL));
}

#[test]
fn explain_of_a_name_that_waits_for_the_velocity_limit() {
    let mut told = explained();
    told.steered = waits(told.steered);
    told.waiting = Some(waiting(12, Some(33_500)));
    golden("explain-waiting.pipe", &explain::render(&told, Look::PIPE));
    told.waiting = Some(waiting(1, None));
    let text = explain::render(&told, Look::PIPE);
    assert!(text.contains("waits for: a person: failoverd approve www.example.com"), "{text}");
}

#[test]
fn explain_of_a_name_without_a_first_answer() {
    let mut told = explained();
    told.steered = node("ns1").names.remove(2);
    told.watches.clear();
    told.answer.clear();
    told.journal = None;
    golden("explain-young.pipe", &explain::render(&told, Look::PIPE));
}

fn probed(origin: &str, target: &str, probe: Probe) -> Probed {
    Probed {
        origin: origin.into(),
        target: target.into(),
        port: 443,
        check: "site".into(),
        host: "www.example.com".into(),
        class: Class::Up,
        probe,
        race: None,
        no_race: None,
    }
}

#[test]
fn probes_in_a_table_and_traced() {
    let all = [
        probed("vercel", "cname.vercel-dns.com", refused()),
        probed("eu", "2001:db8::10", passed()),
        probed("us", "198.51.100.7", broken()),
    ];
    golden("probe.terminal", &probe::render(&all, TERMINAL));
    golden("probe-trace.terminal", &probe::trace(&all, TERMINAL));
    let runner = |offset_ms: f64, source_port, purpose: &str| {
        let probe = Probe { purpose: purpose.into(), ..refused() };
        Runner { offset_ms, source_port: Some(source_port), probe }
    };
    let runners = vec![
        runner(0.0, 40_112, "scheduled"),
        runner(500.3, 51_876, "confirmation 1"),
        runner(1000.4, 33_004, "confirmation 2"),
    ];
    let race = Some(Race { runners, class: Class::Down, after_ms: 1001.9 });
    golden("probe-race.terminal", &probe::trace(&[Probed { race, ..all[0].clone() }], TERMINAL));
    let silent = Probe {
        label: Some("silent".into()),
        cause: Some("no heartbeat for 720 s".into()),
        address: None,
        phases: Phases::default(),
        total_ms: 0.0,
        expect: vec![],
        ..refused()
    };
    let no_race = Some("the origin calls us, and each call that is missed counts by itself".into());
    let awaited = Probed { port: 0, host: String::new(), no_race, ..probed("cron", "cron", silent) };
    golden("probe-awaited.terminal", &probe::trace(&[awaited], TERMINAL));
    assert!(probe::render(&[], TERMINAL).contains("nothing is watched"));
}

fn name(text: &str) -> Name {
    Name::absolute(text).unwrap()
}

fn happenings() -> Vec<What> {
    let served = |place, origin: &str, target: &str| Served {
        place,
        origins: vec![origin.into()],
        data: Data::Cname(name(target)),
    };
    let turn = Turn {
        name: name("www.example.com"),
        zone: name("example.com"),
        from: Some(served(Place::Primary, "vercel", "cname.vercel-dns.com").into()),
        to: served(Place::Backup(1), "netlify", "example.netlify.app").into(),
        reason: Reason::FailedOver,
        evidence: ["vercel cname.vercel-dns.com: connection refused, 3 times in 1.0 s".into()].into(),
        generation: Generation(42),
        serial: Serial(2_026_112_103),
        ttl: 30,
        stages: Stages { confirm_ms: Some(1_020), publish_us: 150 },
    };
    let first =
        Turn { from: None, reason: Reason::Unproven, evidence: [].into(), stages: Stages::default(), ..turn.clone() };
    let hold = Ordered {
        id: OrderId(7),
        what: OrderWhat::Hold { name: name("www.example.com"), place: Place::Emergency },
        actor: "alice".into(),
        reason: "database move".into(),
        given: Wall::from_millis(1_795_257_127_512),
        until: None,
    };
    let drain = Ordered {
        what: OrderWhat::Drain { origin: "eu".into() },
        until: Some(Wall::from_millis(1_795_260_727_512)),
        ..hold.clone()
    };
    let ended = |by| What::OrderEnded { order: hold.clone(), by };
    let verdict = |from: Class, to: Class, why: Option<&str>| What::Verdict {
        origin: "vercel".into(),
        target: "cname.vercel-dns.com".into(),
        host: "www.example.com".into(),
        from: from.into(),
        to: to.into(),
        why: why.map(Into::into),
    };
    let rehearsed = |from, to, findings: Vec<Finding>| {
        What::Rehearsed(Box::new(Rehearsed {
            origin: "netlify".into(),
            host: "www.example.com".into(),
            place: Some(Place::Backup(1)),
            names: vec![name("www.example.com"), name("shop.example.com")],
            others: 7,
            from,
            to,
            findings,
        }))
    };
    let unready = misled(origin("netlify", Class::Up, None)).findings;
    vec![
        What::Started { version: "0.1.0".into(), generation: Generation(1) },
        What::Turned(Box::new(first)),
        verdict(Class::Up, Class::Down, Some("connection refused")),
        What::Turned(Box::new(turn)),
        What::Ordered(hold.clone()),
        What::Ordered(drain),
        ended(Ending::Released { actor: "bob".into() }),
        ended(Ending::Expired),
        ended(Ending::Replaced { by: OrderId(9) }),
        ended(Ending::Vanished),
        What::FailbackApproved { name: name("www.example.com"), actor: "alice".into() },
        What::LimitReached { limit: LimitTold { names: 20, per_ms: 60_000, person: false }, waiting: 12 },
        What::LimitReached { limit: LimitTold { names: 1, per_ms: 3_600_000, person: true }, waiting: 1 },
        What::MovesApproved(
            Approved { names: vec![name("www.example.com"), name("shop.example.com")], others: 8, actor: "bob".into() }
                .into(),
        ),
        What::LimitCleared { seconds: 94 },
        What::Reloaded { actor: Some("alice".into()), warnings: vec!["zone example.com: TTLs differ".into()] },
        What::ReloadRefused { errors: "error: unknown origin `netlfy`\n --> failoverd.toml:3:1".into() },
        What::DoubtBegan { evidence: "nothing passes".into() },
        What::DoubtEnded { seconds: 75 },
        What::SnapshotRefused(Refused::EmptyName { name: "www.example.com".into() }),
        verdict(Class::Down, Class::Up, None),
        rehearsed(Ready::Ready, Ready::WouldFail, unready),
        rehearsed(Ready::WouldFail, Ready::Ready, Vec::new()),
        What::Stopped,
    ]
}

#[test]
fn events_one_readable_line_each() {
    let text: String = (1..)
        .zip(happenings())
        .map(|(sequence, what)| events::render(&Event { sequence, at: at(NOW), node: "ns1".into(), what }))
        .collect();
    golden("events.pipe", &text);
}

#[test]
fn views_and_events_read_back_from_their_json() {
    let status = node("ns1");
    assert_eq!(serde_json::from_str::<Status>(&serde_json::to_string(&status).unwrap()).unwrap(), status);
    let told = explained();
    assert_eq!(serde_json::from_str::<Explain>(&serde_json::to_string(&told).unwrap()).unwrap(), told);
    for (sequence, what) in (1..).zip(happenings()) {
        let event = Event { sequence, at: at(NOW), node: "ns1".into(), what };
        assert_eq!(serde_json::from_str::<Event>(&serde_json::to_string(&event).unwrap()).unwrap(), event);
    }
}

#[test]
fn orders_tell_what_became_of_them_node_by_node() {
    let done = |node: &str, durable| {
        Ok(Done { node: node.into(), generation: 43, durable, said: "www.example.com is held on backup for 1h".into() })
    };
    let results = [
        ("http://ns1:8053".to_owned(), done("ns1", true)),
        ("http://ns2:8053".to_owned(), done("ns2", false)),
        (
            "http://ns3:8053".to_owned(),
            Err(Failure::new(Exit::Denied, "this would leave www.example.com without a usable origin")
                .help("--force does it all the same")),
        ),
    ];
    golden("orders.terminal", &order::render(&results));
}

fn served(place: Place, origin: &str) -> Arc<Served> {
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    Arc::new(Served { place, origins: vec![origin.into()], data: Data::Addresses(addresses) })
}

/// The failover of a name, so many milliseconds after noon.
fn failover(millis: i64, seen: &str) -> record::Told {
    let turn = Turn {
        name: Name::absolute("www.example.com").unwrap(),
        zone: Name::absolute("example.com").unwrap(),
        from: Some(served(Place::Primary, "eu")),
        to: served(Place::Backup(1), "us"),
        reason: Reason::FailedOver,
        evidence: [seen.to_owned()].into(),
        generation: Generation(7),
        serial: Serial(7),
        ttl: 30,
        stages: Stages::default(),
    };
    record::Told { at: Wall::from_millis(1_795_255_951_000 + millis), turn: Box::new(turn) }
}

#[test]
fn a_replay_says_what_is_the_same_and_what_the_record_cannot_tell() {
    let (now, later) =
        (failover(0, "eu: down, 3 failures"), failover(4210, "eu: down, 6 of the last 10 probes failed"));
    let name = now.turn.name.clone();
    let mut outcome = record::Outcome {
        span: Some((now.at, now.at + std::time::Duration::from_secs(3600))),
        observations: 7200,
        turns: 1,
        same: 1,
        ..record::Outcome::default()
    };
    golden("replay-same.pipe", &replay::render::render(&outcome, 172_800, Look::PIPE));
    let pair = |recorded: Option<&record::Told>, other: Option<&record::Told>| record::Pair {
        name: name.clone(),
        recorded: recorded.cloned(),
        other: other.cloned(),
    };
    let sparse = record::Sparse {
        check: "site".into(),
        key: "every",
        recorded: std::time::Duration::from_secs(5),
        other: std::time::Duration::from_secs(1),
    };
    outcome.comparison = Some(record::Comparison {
        pairs: vec![pair(Some(&now), Some(&later)), pair(Some(&later), Some(&now)), pair(None, Some(&later))],
        untried: vec!["ap at 192.0.2.3:443 as www.example.com by site".into()],
        sparse: [sparse].into(),
        confirmations: 12,
        unconfirmed: 3,
        reloads: 2,
    });
    golden("replay-beside.terminal", &replay::render::render(&outcome, 172_800, TERMINAL));
    outcome.comparison = None;
    outcome.same = 0;
    outcome.rebuilt = vec![(now.at, 31)];
    outcome.differences = vec![
        record::Difference { name: name.clone(), recorded: Some(now.clone()), decided: Some(later) },
        record::Difference { name, recorded: None, decided: Some(now) },
    ];
    golden("replay-differs.terminal", &replay::render::render(&outcome, 172_800, TERMINAL));
}
