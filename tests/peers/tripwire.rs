//! A crash is found by the end of an idle connection, long before the next probe.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::failover::{NAME, World, watch};
use crate::support::daemon::{Daemon, get};
use crate::support::{hold, wait};

const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);
const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 2);
const SOON: Duration = Duration::from_secs(20);

/// Asked once an hour, and by whatever else there is a reason for.
fn start(world: &World, tripwire: bool) -> Daemon {
    let check = format!("[check.site]\nevery = \"1h\"\ntripwire = {tripwire}\n");
    let mut daemon = Daemon::prepare(&world.config().replace("[check.site]\n", &check), &[world.resolver.address]);
    daemon.write("ca.pem", &world.authority.pem);
    daemon.launch();
    daemon.wait_ready();
    world.wait_primary(&daemon);
    daemon
}

fn tripwires(daemon: &Daemon) -> Option<u64> {
    let (_, metrics) = get(daemon.ops, "/metrics")?;
    metrics.lines().find_map(|line| line.strip_prefix("failoverd_tripwires "))?.parse().ok()
}

#[test]
fn a_crash_is_found_without_waiting_for_the_next_probe() {
    let mut world = World::new(&[], PRIMARY);
    let daemon = start(&world, true);
    wait("a wire to each origin", SOON, || (tripwires(&daemon) == Some(3)).then_some(()));
    world.primary.kill();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    assert_eq!(watch(&daemon, "eu")["class"], "down");
    wait("no wire to the dead", SOON, || (tripwires(&daemon) == Some(2)).then_some(()));
}

#[test]
fn without_it_nothing_is_known_of_a_crash() {
    let mut world = World::new(&[], PRIMARY);
    let daemon = start(&world, false);
    world.primary.kill();
    hold("nobody has asked", Duration::from_secs(5), || match daemon.addresses(NAME) {
        Some(addresses) if addresses == [PRIMARY.to_string()] => Ok(()),
        other => Err(format!("answered {other:?}")),
    });
    assert_eq!(tripwires(&daemon), Some(0));
}
