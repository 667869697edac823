//! Small configurations for the tests of this stage and those after it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    Admin, Ask, Check, Cli, Config, Failback, Form, Origin, Platform, Resolvers, Server, Steer, Web, ZoneFile, ZoneId,
};
use crate::dns::Name;

pub(crate) fn name(text: &str) -> Name {
    Name::absolute(text).unwrap()
}

/// A zone and nothing in it.
pub(crate) fn config() -> Config {
    Config {
        server: Server {
            name: "ns1".into(),
            listen: vec![],
            workers: None,
            state: "/tmp".into(),
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
            listen: "127.0.0.1:8053".parse().unwrap(),
            ops_listen: "127.0.0.1:9153".parse().unwrap(),
            tokens: vec![],
        },
        alerts: vec![],
        velocity: None,
        cli: Cli::default(),
        zones: vec![ZoneFile { apex: name("example.com"), file: "example.com.zone".into() }],
        checks: vec![],
        origins: vec![],
        steers: vec![],
    }
}

/// An https check with the defaults of the contract.
pub(crate) fn check(name: &str) -> Check {
    Check {
        name: name.into(),
        ask: Ask::Https(Web::get("/")),
        port: 443,
        every: Duration::from_secs(5),
        standby_every: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        fall: 3,
        rise: 3,
        confirm: Duration::from_millis(500),
        blip: Duration::from_secs(1),
        expect: vec![],
        warn: vec![],
        ca: None,
        tripwire: true,
        window: None,
        degraded: vec![],
    }
}

/// An origin with nothing to serve yet.
pub(crate) fn origin(name: &str) -> Origin {
    Origin {
        name: name.into(),
        cname: None,
        a: vec![],
        aaaa: vec![],
        probe_port: None,
        probe_check: None,
        platform: Platform::Plain,
    }
}

/// A steered name without rungs.
pub(crate) fn steer(owner: &str) -> Steer {
    Steer {
        name: name(owner),
        zone: ZoneId(0),
        rungs: vec![],
        ttl: 30,
        failback: Failback::After(Duration::from_secs(300)),
        strict: false,
        hosts: vec![owner.into()],
        form: Form::Address,
        leave_degraded: false,
    }
}

/// `count` https watches of as many origins, one address each, asked by `check`.
pub(crate) fn flock(count: u8, check: Check) -> Config {
    let mut config = config();
    config.checks = vec![Arc::new(check)];
    config.origins = (1..=count)
        .map(|last| Arc::new(Origin { a: vec![[192, 0, 2, last].into()], ..origin(&format!("o{last}")) }))
        .collect();
    config
}
