//! A hand-made snapshot with its configuration and figures, for tests of what is made from them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    Admin, Ask, Check, CheckId, Cli, Config, Failback, Form, Origin, OriginId, Place, Platform, Resolvers, Rung,
    Server, Steer, SteerId, Web, ZoneFile, ZoneId,
};
use crate::control::{Figures, WatchFigures};
use crate::decision::order::{OrderId, What};
use crate::decision::{Data, Decision, Order, Reason, Served};
use crate::dns::Name;
use crate::dns::Serial;
use crate::edge::handle::Readiness;
use crate::probe::{Cause, Certificate, Epoch, Observation, Outcome, Phases, Purpose, Target, WatchId};
use crate::ready::Ready;
use crate::snapshot::status::{Former, OriginStatus, RungStatus, Status, SteerStatus, WatchStatus};
use crate::snapshot::{Generation, Snapshot, Zones};
use crate::time::{Moment, Now, Wall};
use crate::verdict::{Class, Verdict};

/// 2026-11-21T10:32:07.512Z, a day after boot.
pub(crate) fn now() -> Now {
    Now { moment: Moment::from_boot(Duration::from_secs(86_400)), wall: Wall::from_millis(1_795_257_127_512) }
}

/// So many seconds before [`now`].
pub(crate) fn ago(seconds: u64) -> Now {
    let now = now();
    let millis = i64::try_from(seconds).unwrap() * 1_000;
    Now { moment: now.moment - Duration::from_secs(seconds), wall: Wall::from_millis(now.wall.millis() - millis) }
}

pub(crate) fn name(text: &str) -> Name {
    Name::absolute(text).unwrap()
}

fn origin(label: &str) -> Arc<Origin> {
    Arc::new(Origin {
        name: label.to_owned(),
        cname: Some(name(&format!("{label}.example.net"))),
        a: Vec::new(),
        aaaa: Vec::new(),
        probe_port: None,
        probe_check: None,
        platform: Platform::Plain,
    })
}

/// One zone, one check, `www.example.com` with primary `vercel`, backup `netlify` and emergency `pages` unasked.
pub(crate) fn config() -> Config {
    let rung = |place, origin, check: Option<CheckId>| Rung {
        place,
        origins: vec![OriginId(origin)],
        check: check.map(Into::into),
        quorum: Default::default(),
    };
    Config {
        server: Server {
            name: "ns1".to_owned(),
            listen: Vec::new(),
            workers: None,
            state: "state".into(),
            state_max_age: Duration::from_secs(3_600),
            resolvers: Resolvers::System,
            watch: false,
            doubt_share: 0.5,
            answering: Default::default(),
            encrypted: Default::default(),
            asking: Default::default(),
            record: Default::default(),
        },
        admin: Admin {
            listen: "127.0.0.1:8053".parse().unwrap(),
            ops_listen: "127.0.0.1:9153".parse().unwrap(),
            tokens: Vec::new(),
        },
        alerts: Vec::new(),
        velocity: None,
        cli: Cli::default(),
        zones: vec![ZoneFile { apex: name("example.com"), file: "example.com.zone".into() }],
        checks: vec![Arc::new(Check {
            name: "site".to_owned(),
            ask: Ask::Https(Web::get("/healthz")),
            port: 443,
            every: Duration::from_secs(5),
            standby_every: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            fall: 3,
            rise: 3,
            confirm: Duration::from_millis(500),
            blip: Duration::from_secs(1),
            expect: Vec::new(),
            warn: Vec::new(),
            ca: None,
            tripwire: true,
            window: None,
            degraded: Vec::new(),
        })],
        origins: vec![origin("vercel"), origin("netlify"), origin("pages")],
        steers: vec![Arc::new(Steer {
            name: name("www.example.com"),
            zone: ZoneId(0),
            rungs: vec![
                rung(Place::Primary, 0, Some(CheckId(0))),
                rung(Place::Backup(1), 1, Some(CheckId(0))),
                rung(Place::Emergency, 2, None),
            ],
            ttl: 30,
            failback: Failback::After(Duration::from_secs(300)),
            strict: false,
            hosts: vec!["www.example.com".to_owned()],
            form: Form::Cname,
            leave_degraded: false,
        })],
    }
}

fn watch(id: u32, origin: &str, verdict: Verdict) -> Arc<WatchStatus> {
    Arc::new(WatchStatus {
        id: WatchId(id),
        origin: OriginId(id),
        origin_name: origin.into(),
        target: Target::Hostname(name(&format!("{origin}.example.net"))),
        port: 443,
        check: CheckId(0),
        check_name: "site".into(),
        host: "www.example.com".into(),
        verdict,
        stale: false,
        unseen: false,
        degraded: None,
        findings: Arc::default(),
    })
}

/// The verdict of the dead primary.
pub(crate) fn down() -> Verdict {
    Verdict::Down { since: ago(130), passes: 1, cause: Cause::ConnectRefused }
}

/// Served from `rung` for `reason`; the primary is down, the backup up.
pub(crate) fn snapshot(rung: usize, reason: Reason) -> Snapshot {
    let config = config();
    let steer = Arc::clone(&config.steers[0]);
    let decision = |rung: usize, reason| Decision {
        rung,
        place: steer.rungs[rung].place,
        origins: steer.rungs[rung].origins.clone(),
        data: Data::Cname(config.origins[rung].cname.clone().unwrap()),
        ttl: 30,
        reason,
    };
    let rung_status = |id: u32, class, watches: &[WatchId]| RungStatus {
        place: steer.rungs[id as usize].place,
        quorum: Default::default(),
        degraded: false,
        class,
        origins: Arc::new([OriginStatus {
            origin: OriginId(id),
            name: config.origins[id as usize].name.as_str().into(),
            class,
            degraded: false,
            drained: false,
            ready: if class == Class::Down { Ready::WouldFail } else { Ready::Ready },
            foreseen: Arc::default(),
            need: 1,
            watches: watches.into(),
        }]),
    };
    let status = SteerStatus {
        id: SteerId(0),
        zone: ZoneId(0),
        spot: None,
        decision: Some(Arc::new(decision(rung, reason))),
        since: ago(129),
        serial: Serial(8),
        rungs: Arc::new([
            rung_status(0, Class::Down, &[WatchId(0)]),
            rung_status(1, Class::Up, &[WatchId(1)]),
            rung_status(2, Class::Untried, &[]),
        ]),
        former: Some(Former {
            served: Arc::new(Served {
                place: Place::Primary,
                origins: vec!["eu".to_owned()],
                data: decision(0, Reason::Preferred).data,
            }),
            until: ago(129).wall,
            gone: ago(99).wall,
        }),
        explanation: Arc::default(),
        steer: Arc::clone(&steer),
    };
    Snapshot {
        generation: Generation(42),
        zones: Zones::default(),
        status: Status {
            steers: [Arc::new(status)].into_iter().collect(),
            steered: Arc::default(),
            watches: [watch(0, "vercel", down()), watch(1, "netlify", Verdict::Up { since: ago(3_600) })]
                .into_iter()
                .collect(),
            orders: Arc::default(),
            doubt: None,
            waiting: None,
        },
        answering: Arc::default(),
    }
}

/// A hold of `www.example.com` on its emergency, by alice.
pub(crate) fn hold(until: Option<Wall>) -> Order {
    Order {
        id: OrderId(7),
        what: What::Hold { name: name("WWW.example.com"), place: Place::Emergency },
        actor: "alice".to_owned(),
        reason: "database move".to_owned(),
        given: ago(60).wall,
        until,
    }
}

/// The last probe of the primary: refused, two seconds ago.
pub(crate) fn refused() -> Observation {
    Observation {
        watch: WatchId(0),
        epoch: Epoch(1),
        purpose: Purpose::Confirm(2),
        started: ago(2).moment,
        finished: ago(2).moment + Duration::from_millis(13),
        outcome: Outcome::Failed(Cause::ConnectRefused),
        address: Some("192.0.2.1".parse().unwrap()),
        phases: Phases { connect: Some(Duration::from_micros(12_700)), ..Phases::default() },
        warnings: Vec::new(),
        certificate: None,
        status: None,
        detail: None,
    }
}

/// The last probe of the backup: passed, with a certificate good for nine days.
pub(crate) fn passed() -> Observation {
    Observation {
        watch: WatchId(1),
        purpose: Purpose::Scheduled,
        outcome: Outcome::Passed,
        certificate: Some(Arc::new(Certificate {
            subject: "CN=www.example.com".to_owned(),
            issuer: "CN=Test".to_owned(),
            names: vec!["www.example.com".to_owned()],
            not_before: 1_790_000_000,
            not_after: now().wall.seconds() + 9 * 86_400 + 1,
            chain: 2,
        })),
        status: Some(200),
        ..refused()
    }
}

/// Figures of both watches; three entries wait for the disk.
pub(crate) fn figures() -> Figures {
    let row = |watch, verdict, last: Observation, recent: &str, outcomes: &[(&str, u64)]| WatchFigures {
        watch: WatchId(watch),
        verdict,
        last: Some(last),
        recent: recent.to_owned(),
        next: Some(now().moment + Duration::from_millis(3_800)),
        probes: 1_204,
        failures: 4,
        outcomes: outcomes.iter().map(|&(outcome, count)| (outcome.to_owned(), count)).collect(),
    };
    Figures {
        watches: vec![
            row(0, down(), refused(), "++---+", &[("connect-refused", 4), ("passed", 1_200)]),
            row(1, Verdict::Up { since: ago(3_600) }, passed(), "++++++", &[("passed", 1_204)]),
        ],
        recorded: 23,
        committed: 20,
        storage: None,
        room: None,
    }
}

pub(crate) fn ready() -> Readiness {
    Readiness { ready: true, degraded: Vec::new() }
}
