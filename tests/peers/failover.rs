//! Real origins die in every way an origin dies, under the default timings of a check.
//!
//! The promise: the answer has changed within `every + max(confirm × (fall − 1), blip)` and half a second, plus
//! `timeout` for a death that does not answer. A short restart of nginx never moves anything.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::Namespace;
use crate::nginx::{Authority, Identity, Manner, Nginx};
use crate::support::daemon::Daemon;
use crate::support::resolver::Resolver;
use crate::support::{Draw, free_port, hold, rounds, wait};

pub(crate) const NAME: &str = "www.example.test";
const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 2);
const EMERGENCY: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 3);

/// Defaults of a check, as docs/configuration.md has them.
const EVERY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);
const FALL: u32 = 3;
const CONFIRM: Duration = Duration::from_millis(500);
const BLIP: Duration = Duration::from_secs(1);
/// Publication, and asking.
const MARGIN: Duration = Duration::from_millis(500);
/// `rise` is 3: three rounds, and one to begin with.
const RISEN: Duration = Duration::from_secs(25);

fn bound() -> Duration {
    let confirmations = CONFIRM * (FALL - 1);
    EVERY + confirmations.max(BLIP) + MARGIN
}

/// Three nginx and a daemon between them.
pub(crate) struct World {
    pub(crate) primary: Nginx,
    _backup: Nginx,
    _emergency: Nginx,
    pub(crate) resolver: Resolver,
    pub(crate) authority: Authority,
    pub(crate) good: Identity,
    port: u16,
}

impl World {
    /// The primary listens at `primary`, behind the words of `wrapper`.
    pub(crate) fn new(wrapper: &[&str], primary: Ipv4Addr) -> Self {
        let authority = Authority::new("our authority");
        let good = authority.valid(NAME);
        let port = free_port();
        Self {
            primary: Nginx::start(wrapper, primary, port, &good, Manner::Fine),
            _backup: Nginx::start(&[], BACKUP, port, &good, Manner::Fine),
            _emergency: Nginx::start(&[], EMERGENCY, port, &good, Manner::Fine),
            resolver: Resolver::start(),
            authority,
            good,
            port,
        }
    }

    /// Default timings; failback at once, so that a try need not wait five minutes for the next.
    pub(crate) fn config(&self) -> String {
        let (primary, port) = (self.primary.address, self.port);
        format!(
            "[check.site]\nhttps = \"/healthz\"\nca_file = \"ca.pem\"\nexpect = [\"status in 200..299\", \"body ~ \
             'ok'\"]\n\n[origin.eu]\na = [\"{primary}\"]\nprobe = {{ port = {port} }}\n\n[origin.us]\na = \
             [\"{BACKUP}\"]\nprobe = {{ port = {port} }}\n\n[origin.last]\na = [\"{EMERGENCY}\"]\nprobe = {{ port = \
             {port} }}\n\n[steer.\"{NAME}\"]\nprimary = \"eu\"\nbackup = \"us\"\nemergency = \"last\"\ncheck = \
             \"site\"\nttl = \"5s\"\nfailback = \"auto\"\n"
        )
    }

    /// Ready, and serving the primary on evidence.
    pub(crate) fn start(&self) -> Daemon {
        let mut daemon = Daemon::prepare(&self.config(), &[self.resolver.address]);
        daemon.write("ca.pem", &self.authority.pem);
        daemon.launch();
        daemon.wait_ready();
        self.wait_primary(&daemon);
        daemon
    }

    /// Waits until the primary is served and up.
    pub(crate) fn wait_primary(&self, daemon: &Daemon) {
        daemon.wait_address(NAME, self.primary.address, RISEN);
        wait("eu is up", RISEN, || (watch(daemon, "eu")["class"] == "up").then_some(()));
    }
}

/// The watch of an origin, as `explain --json` has it.
pub(crate) fn watch(daemon: &Daemon, origin: &str) -> Value {
    let explained: Value = serde_json::from_str(&daemon.say(&["explain", NAME, "--json"])).expect("JSON");
    let mut watches = explained["watches"].as_array().expect("watches").iter();
    watches.find(|watch| watch["origin"] == origin).cloned().expect("a watch of the origin")
}

/// Lets a random part of the check interval pass, so that deaths come at every point of it.
fn at_a_random_moment(draw: &mut Draw, daemon: &Daemon) {
    let pause = Duration::from_millis(draw.below(u64::try_from(EVERY.as_millis()).expect("short")));
    hold("nothing happens without a cause", pause, || match daemon.addresses(NAME) {
        Some(_) => Ok(()),
        None => Err("no answer"),
    });
}

#[test]
fn a_refusing_primary_is_left_in_time() {
    let mut world = World::new(&[], Ipv4Addr::new(127, 0, 2, 1));
    let daemon = world.start();
    let mut draw = Draw::new();
    let mut taken = Vec::new();
    for _ in 0..rounds(2, 20) {
        at_a_random_moment(&mut draw, &daemon);
        world.primary.kill();
        taken.push(daemon.wait_address(NAME, BACKUP.into(), bound()));
        world.primary.run();
        world.wait_primary(&daemon);
    }
    println!("refused: {} tries within {:?}: {taken:.1?}", taken.len(), bound());
}

#[test]
fn a_blackholed_primary_is_left_in_time() {
    let namespace = Namespace::new();
    let world = World::new(&namespace.enter(), namespace.theirs);
    let daemon = world.start();
    let mut draw = Draw::new();
    let mut taken = Vec::new();
    for _ in 0..rounds(2, 20) {
        at_a_random_moment(&mut draw, &daemon);
        namespace.swallow();
        taken.push(daemon.wait_address(NAME, BACKUP.into(), bound() + TIMEOUT));
        assert_eq!(watch(&daemon, "eu")["last"]["label"], "connect-timeout");
        namespace.heal();
        world.wait_primary(&daemon);
    }
    println!("blackholed: {} tries within {:?}: {taken:.1?}", taken.len(), bound() + TIMEOUT);
}

#[test]
fn a_short_restart_moves_nothing() {
    let mut world = World::new(&[], Ipv4Addr::new(127, 0, 2, 1));
    let daemon = world.start();
    let mut draw = Draw::new();
    let primary = vec![world.primary.address.to_string()];
    let still = || match daemon.addresses(NAME) {
        Some(addresses) if addresses == primary => Ok(()),
        other => Err(format!("answered {other:?}")),
    };
    for _ in 0..rounds(3, 50) {
        at_a_random_moment(&mut draw, &daemon);
        world.primary.kill();
        let gone = Instant::now();
        hold("gone for 0.8 s", Duration::from_millis(800).saturating_sub(Duration::from_millis(40)), still);
        world.primary.run();
        assert!(gone.elapsed() < BLIP, "nginx took {:?} to restart; this try proves nothing", gone.elapsed());
        // Longer than the confirmations of a probe that fell into the gap.
        hold("back again", CONFIRM * FALL + BLIP, still);
    }
    let turns = daemon
        .events()
        .into_iter()
        .filter(|entry| entry["event"] == "turned" && entry["name"].to_string().contains("www"));
    assert!(turns.count() <= 1, "only the first decision of all is a turn");
}

/// Changes the primary, waits for the backup, and wants the cause by its label and in words.
fn caught(change: impl FnOnce(&mut World), label: &str, words: &str) {
    let mut world = World::new(&[], Ipv4Addr::new(127, 0, 2, 1));
    let daemon = world.start();
    change(&mut world);
    daemon.wait_address(NAME, BACKUP.into(), bound() + TIMEOUT);
    let (seen, _) =
        wait("the watch is down", TIMEOUT, || Some(watch(&daemon, "eu")).filter(|watch| watch["class"] == "down"));
    assert_eq!(seen["last"]["label"], label, "{seen:#}");
    let told = daemon.say(&["explain", NAME]);
    assert!(told.contains(words), "no `{words}` in\n{told}");
}

#[test]
fn an_expired_certificate_is_named() {
    caught(
        |world| {
            let identity = world.authority.expired(NAME);
            world.primary.turn_into(&identity, Manner::Fine);
        },
        "cert-expired",
        "certificate expired",
    );
}

#[test]
fn a_certificate_for_another_name_is_named() {
    caught(
        |world| {
            let identity = world.authority.valid("other.example.test");
            world.primary.turn_into(&identity, Manner::Fine);
        },
        "cert-wrong-name",
        "certificate is for another name",
    );
}

#[test]
fn a_self_signed_certificate_is_named() {
    caught(
        |world| world.primary.turn_into(&Authority::self_signed(NAME), Manner::Fine),
        "cert-unknown-issuer",
        "unknown issuer",
    );
}

#[test]
fn a_500_is_named() {
    caught(
        |world| {
            let identity = world.good.clone();
            world.primary.turn_into(&identity, Manner::Error);
        },
        "unexpected",
        "500",
    );
}

#[test]
fn a_slow_body_is_named() {
    caught(
        |world| {
            let identity = world.good.clone();
            world.primary.turn_into(&identity, Manner::Slow);
        },
        "timeout",
        "timed out (body)",
    );
}

#[test]
fn a_reset_is_named() {
    caught(
        |world| {
            let identity = world.good.clone();
            world.primary.turn_into(&identity, Manner::Reset);
        },
        "reset",
        "connection reset (first byte)",
    );
}
