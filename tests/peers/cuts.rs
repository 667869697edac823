//! Networks that fail, with all origins healthy: our own uplink, half of the origins' networks, and packets that get lost.
//!
//! Every name has its primary in one of two networks and its backup in the other. failoverd runs on a host of its own, and
//! so do the origins and the resolver, with a cable between them that loses what it is told to.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::Cable;
use crate::support::daemon::Daemon;
use crate::support::origin::Origin;
use crate::support::resolver::Resolver;
use crate::support::{Draw, hold, rounds, wait};

const NAMES: u8 = 8;
const PORT: u16 = 8080;
/// Defaults of a check but for `every`, so that one round is short; the full counts take the default.
const TIMEOUT: Duration = Duration::from_secs(2);
const CONFIRMED: Duration = Duration::from_secs(1);
/// Publication, and asking.
const MARGIN: Duration = Duration::from_millis(700);

fn every() -> Duration {
    seconds(2, 5)
}

fn seconds(round: usize, full: usize) -> Duration {
    Duration::from_secs(u64::try_from(rounds(round, full)).expect("small"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    West,
    East,
}

impl Network {
    fn address(self, name: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, if self == Self::West { 1 } else { 2 }, name)
    }

    fn addresses(self) -> Vec<Ipv4Addr> {
        names().map(|name| self.address(name)).collect()
    }
}

fn names() -> std::ops::RangeInclusive<u8> {
    1..=NAMES
}

fn domain(name: u8) -> String {
    format!("n{name}.example.test")
}

/// The first half of the names live in the west, the others in the east.
fn home(name: u8) -> Network {
    if name <= NAMES / 2 { Network::West } else { Network::East }
}

fn away(name: u8) -> Network {
    if home(name) == Network::West { Network::East } else { Network::West }
}

struct World {
    cable: Cable,
    origins: Vec<Origin>,
    resolver: Option<Resolver>,
}

impl World {
    fn new() -> Self {
        let all = || [Network::West, Network::East].into_iter().flat_map(Network::addresses);
        let cable = Cable::new(all());
        let (origins, resolver) = cable.there(|| {
            let origins = all().map(|address| Origin::start(address, PORT)).collect();
            (origins, Some(Resolver::start_at(Cable::far_end())))
        });
        Self { cable, origins, resolver }
    }

    fn config(failback: &str) -> String {
        let mut config = format!(
            "[check.site]\nhttp = \"/\"\nport = {PORT}\nevery = \"{}s\"\n\n[defaults.steer]\ncheck = \"site\"\nttl = \
             \"5s\"\nfailback = \"{failback}\"\n\n",
            every().as_secs()
        );
        for name in names() {
            let (home, away) = (home(name).address(name), away(name).address(name));
            let lines = writeln!(
                config,
                "[origin.h{name}]\na = [\"{home}\"]\n[origin.a{name}]\na = [\"{away}\"]\n[steer.\"{}\"]\nprimary = \
                 \"h{name}\"\nbackup = \"a{name}\"\n",
                domain(name)
            );
            lines.expect("a string");
        }
        config
    }

    /// Runs `story` beside the daemon, once every name is served from home and every origin is up.
    fn with_daemon<T: Send>(&self, failback: &str, story: impl FnOnce(&Daemon) -> T + Send) -> T {
        let resolver = self.resolver.as_ref().expect("there while we are").address;
        self.cable.here(|| {
            let daemon = Daemon::start(&Self::config(failback), &[resolver]);
            all_home(&daemon);
            story(&daemon)
        })
    }

    /// Every address of the rest of the world, the resolver's too.
    fn everything() -> Vec<Ipv4Addr> {
        let networks = [Network::West, Network::East].into_iter().flat_map(Network::addresses);
        networks.chain([Cable::far_end()]).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let (origins, resolver) = (std::mem::take(&mut self.origins), self.resolver.take());
        // An origin ends when somebody knocks, which only neighbours can.
        self.cable.there(move || drop((origins, resolver)));
    }
}

/// Waits until every origin is up and every name at home.
fn all_home(daemon: &Daemon) {
    for name in names() {
        daemon.wait_address(&domain(name), home(name).address(name).into(), every() * 5 + TIMEOUT);
    }
    wait("all are up", every() * 5 + TIMEOUT, || daemon.sees_all_up().then_some(()));
}

/// The answer for a name. One that a busy machine was slow to give is asked for again: this is not about that.
fn answered(daemon: &Daemon, name: u8) -> Option<Vec<String>> {
    (0..5).find_map(|_| daemon.addresses(&domain(name)))
}

/// Is every name in `of` answered from home?
fn at_home(daemon: &Daemon, of: impl Iterator<Item = u8>) -> Result<(), String> {
    for name in of {
        let answered = answered(daemon, name);
        if answered != Some(vec![home(name).address(name).to_string()]) {
            return Err(format!("{} is answered {answered:?}", domain(name)));
        }
    }
    Ok(())
}

/// Turns after the first decision of each name, oldest first.
fn turns(daemon: &Daemon) -> Vec<Value> {
    let entries = daemon.events().into_iter();
    entries.filter(|entry| entry["event"] == "turned" && !entry["from"].is_null()).collect()
}

/// Cuts the uplink at random moments: whatever way it is cut, nothing moves, the reason is told, and when it is back
/// all is as before within two rounds.
fn cut(how: &str, off: impl Fn(&Cable) + Sync, on: impl Fn(&Cable) + Sync, told: &str) {
    let world = World::new();
    world.with_daemon("auto", |daemon| {
        let mut draw = Draw::new();
        for _ in 0..rounds(2, 20) {
            let pause = draw.below(u64::try_from(every().as_millis()).expect("short"));
            hold("all is well", Duration::from_millis(pause), || at_home(daemon, names()));
            off(&world.cable);
            hold(how, seconds(10, 40), || at_home(daemon, names()));
            let seen = daemon.say(&["status"]) + &daemon.say(&["explain", &domain(1)]);
            assert!(seen.contains(told), "{how}: no `{told}` in\n{seen}");
            on(&world.cable);
            let within = every() * 2 + TIMEOUT + CONFIRMED + MARGIN;
            wait("all pass again", within, || daemon.sees_all_up().then_some(()));
            at_home(daemon, names()).unwrap_or_else(|why| panic!("{how}, mended: {why}"));
        }
        assert_eq!(turns(daemon), Vec::<Value>::new(), "{how}: nothing turned");
    });
}

#[test]
fn an_uplink_that_swallows_everything_moves_nothing() {
    let all = World::everything();
    cut("everything is swallowed", |cable| cable.lose(100, &all), Cable::lose_none, "our own sight is in doubt");
}

#[test]
fn an_unplugged_uplink_moves_nothing() {
    cut("unplugged", Cable::unplug, Cable::plug, "our own sight is in doubt");
}

#[test]
fn a_card_that_is_switched_off_moves_nothing() {
    cut("switched off", Cable::switch_off, Cable::switch_on, "no route");
}

#[test]
fn half_of_the_networks_move_their_half() {
    let world = World::new();
    world.with_daemon("auto", |daemon| {
        let (west, east): (Vec<u8>, Vec<u8>) = names().partition(|&name| home(name) == Network::West);
        for _ in 0..rounds(1, 20) {
            let before = turns(daemon).len();
            let cut = Instant::now();
            world.cable.lose(100, &Network::West.addresses());
            let within = every() + TIMEOUT + CONFIRMED + MARGIN;
            for &name in &west {
                let left = within.saturating_sub(cut.elapsed());
                daemon.wait_address(&domain(name), away(name).address(name).into(), left);
            }
            hold("the east stays", seconds(5, 30), || at_home(daemon, east.iter().copied()));
            let moved = turns(daemon);
            assert_eq!(moved.len() - before, west.len(), "one turn for each name of the west: {moved:#?}");
            world.cable.lose_none();
            all_home(daemon);
            // The journal follows what is served.
            let back = || (turns(daemon).len() - before == 2 * west.len()).then_some(());
            wait("and one back", Duration::from_secs(10), back);
        }
    });
}

/// Ten minutes in the full counts, with the default hold-down before a failback; every name has an answer throughout. How
/// many turns there were, how many names are away in the end, and the journal.
fn lossy(percent: u8, addresses: &[Ipv4Addr]) -> (usize, usize, String) {
    let world = World::new();
    world.with_daemon("5m", |daemon| {
        world.cable.lose(percent, addresses);
        hold("every name has an answer", seconds(30, 600), || {
            let unanswered = |&name: &u8| answered(daemon, name).is_none_or(|addresses| addresses.is_empty());
            names().find(unanswered).map_or(Ok(()), |name| Err(format!("{} has none", domain(name))))
        });
        let moved = turns(daemon);
        for turn in &moved {
            let evidence = turn["evidence"].as_array().is_some_and(|lines| !lines.is_empty());
            assert!(evidence && !turn["reason"].is_null(), "a turn without a reason: {turn:#}");
        }
        let away = names().filter(|&name| at_home(daemon, [name].into_iter()).is_err()).count();
        (moved.len(), away, daemon.say(&["events"]))
    })
}

/// Losses of three sizes at once, each in a world of its own.
fn losses(of: &str, addresses: &[Ipv4Addr]) -> Vec<(u8, usize, usize)> {
    let told = thread::scope(|scope| {
        let under_way: Vec<_> =
            [5, 20, 50].map(|percent| (percent, scope.spawn(move || lossy(percent, addresses)))).into_iter().collect();
        let ended = under_way.into_iter().map(|(percent, one)| (percent, one.join().expect("a story that holds")));
        ended.collect::<Vec<_>>()
    });
    let counted = told.into_iter().map(|(percent, (moves, away, journal))| {
        println!("{of} loses {percent} %: {moves} moves of {NAMES} names, {away} away in the end\n{journal}");
        (percent, moves, away)
    });
    counted.collect()
}

#[test]
fn losses_of_our_uplink() {
    let counted = losses("our uplink", &World::everything());
    // TCP mends one packet in twenty.
    assert_eq!(counted[0], (5, 0, 0));
}

#[test]
fn losses_of_one_network() {
    let counted = losses("the west", &Network::West.addresses());
    assert_eq!(counted[0], (5, 0, 0));
    if rounds(0, 1) == 1 {
        assert_eq!(counted[2].2, usize::from(NAMES) / 2, "at 50 % all names of the west are away");
    }
}
