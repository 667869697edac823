//! Our own troubles move nothing: no descriptors, no route, dead resolvers, missing roots, a wrong clock.

use std::net::Ipv4Addr;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::failover::{NAME, World, watch};
use crate::network::Namespace;
use crate::support::daemon::Daemon;
use crate::support::{hold, rounds, tool, wait};

const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);

/// Long enough for every watch to be down, were the failures counted: two rounds and their confirmations.
fn watched() -> Duration {
    Duration::from_secs(u64::try_from(rounds(12, 60)).expect("small"))
}

/// For the whole time, the answer is the primary.
fn stays(daemon: &Daemon, what: &str, address: Ipv4Addr) {
    let primary = vec![address.to_string()];
    hold(what, watched(), || match daemon.addresses(NAME) {
        Some(addresses) if addresses == primary => Ok(()),
        other => Err(format!("answered {other:?}")),
    });
}

/// The last probe of the primary was inconclusive, and names our fault.
fn saw(daemon: &Daemon, fault: &str) {
    let last = watch(daemon, "eu")["last"].clone();
    assert_eq!((&last["outcome"], &last["label"]), (&"inconclusive".into(), &fault.into()), "{last:#}");
}

#[test]
fn without_descriptors_nothing_moves() {
    let world = World::new(&[], PRIMARY);
    let daemon = world.start();
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid"));
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors").count();
    // The highest descriptor in use counts, not how many there are.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), maximum });
    let before = before.expect("a limit on our own child");
    stays(&daemon, "no descriptors", PRIMARY);
    prlimit(pid, Resource::Nofile, before).expect("the limit back");
    assert!(open > 3);
    let recent = watch(&daemon, "eu")["recent"].to_string();
    assert!(recent.contains('?') && !recent.contains('-'), "inconclusive, and no failure: {recent}");
    wait("it recovers by itself", Duration::from_secs(30), || {
        (watch(&daemon, "eu")["last"]["outcome"] == "passed").then_some(())
    });
}

#[test]
fn without_a_route_nothing_moves() {
    let namespace = Namespace::new();
    let world = World::new(&namespace.enter(), namespace.theirs);
    let daemon = world.start();
    namespace.lose_route();
    stays(&daemon, "no route", namespace.theirs);
    saw(&daemon, "no-route");
    namespace.find_route();
    world.wait_primary(&daemon);
}

#[test]
fn dead_resolvers_move_nothing() {
    let world = World::new(&[], PRIMARY);
    world.resolver.tell("eu.origin.test", PRIMARY);
    let address = format!("[origin.eu]\na = [\"{PRIMARY}\"]");
    // A host name in place of the address; flattened, since the other rungs are addresses.
    let config = world.config().replace(&address, "[origin.eu]\ncname = \"eu.origin.test\"");
    assert!(config.contains("eu.origin.test"));
    let mut daemon = Daemon::prepare(&config, &[world.resolver.address]);
    daemon.write("ca.pem", &world.authority.pem);
    daemon.launch();
    daemon.wait_ready();
    world.wait_primary(&daemon);
    world.resolver.be_silent(true);
    stays(&daemon, "dead resolvers", PRIMARY);
    world.resolver.be_silent(false);
    world.wait_primary(&daemon);
}

/// The probes fail, our own fault is named, and nothing is believed of them.
fn fails_and_is_not_down(daemon: &Daemon) {
    saw(daemon, "clock-or-roots");
    assert_ne!(watch(daemon, "eu")["class"], "down");
}

#[test]
fn missing_roots_move_nothing() {
    let world = World::new(&[], PRIMARY);
    let mut daemon = world.start();
    // The roots of somebody else: from here on no certificate holds, as if ours were missing.
    daemon.write("ca.pem", &crate::nginx::Authority::new("a stranger").pem);
    daemon.configure(&world.config());
    daemon.say(&["reload"]);
    stays(&daemon, "missing roots", PRIMARY);
    fails_and_is_not_down(&daemon);
}

#[test]
fn a_wrong_clock_moves_nothing() {
    let world = World::new(&[], PRIMARY);
    let mut daemon = Daemon::prepare(&world.config(), &[world.resolver.address]);
    daemon.write("ca.pem", &world.authority.pem);
    // The calendar follows a file; the monotonic clock is left alone.
    let faketime = tool("faketime", "faketime");
    let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .iter()
        .map(|triple| std::path::PathBuf::from(format!("/usr/lib/{triple}/faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists());
    let library = library.unwrap_or_else(|| panic!("no libfaketime beside {}", faketime.display()));
    daemon.write("clock", "+0\n");
    let set = |name: &str, value: String| (name.to_owned(), value);
    daemon.environment = vec![
        set("LD_PRELOAD", library.display().to_string()),
        set("FAKETIME_TIMESTAMP_FILE", daemon.path("clock").display().to_string()),
        set("FAKETIME_NO_CACHE", "1".to_owned()),
        set("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    daemon.launch();
    daemon.wait_ready();
    world.wait_primary(&daemon);
    // A century on, every certificate has expired.
    daemon.write("clock", "+36500d\n");
    stays(&daemon, "a clock a century ahead", PRIMARY);
    fails_and_is_not_down(&daemon);
    daemon.write("clock", "+0\n");
    world.wait_primary(&daemon);
}
