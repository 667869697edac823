//! Network namespaces: a host of its own behind a cable that can be cut, two hosts and the cable between them, and an
//! internet of its own without a cable. They need root.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::tool;

/// A namespace with one address, reached over a pair of virtual cards. Dropping it removes both.
pub(crate) struct Namespace {
    pub(crate) name: String,
    /// Our end of the cable.
    pub(crate) ours: Ipv4Addr,
    /// Its end.
    pub(crate) theirs: Ipv4Addr,
    card: String,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let tag = std::process::id() % 10_000;
        // 198.18.0.0/15 is set aside for tests between hosts (RFC 2544).
        let block = |last| Ipv4Addr::new(198, 18 + (tag % 2) as u8, number, last);
        let namespace = Self {
            name: format!("failoverd-{tag}-{number}"),
            card: format!("fo{tag}x{number}"),
            ours: block(1),
            theirs: block(2),
        };
        let (name, card) = (namespace.name.as_str(), namespace.card.as_str());
        ip(&["netns", "add", name]);
        ip(&["link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", name]);
        ip(&["address", "add", &format!("{}/30", namespace.ours), "dev", card]);
        ip(&["link", "set", card, "up"]);
        ip(&["-n", name, "address", "add", &format!("{}/30", namespace.theirs), "dev", "eth0"]);
        ip(&["-n", name, "link", "set", "eth0", "up"]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        namespace
    }

    /// The words that run a command inside.
    pub(crate) fn enter(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Every packet towards us vanishes without a word: a blackhole, as seen from here.
    pub(crate) fn swallow(&self) {
        ip(&["-n", &self.name, "route", "replace", "blackhole", &format!("{}/32", self.ours)]);
    }

    /// Packets come through again.
    pub(crate) fn heal(&self) {
        ip(&["-n", &self.name, "route", "del", "blackhole", &format!("{}/32", self.ours)]);
    }

    /// A route of our own host leads nowhere: our fault, not the origin's.
    pub(crate) fn lose_route(&self) {
        ip(&["address", "del", &format!("{}/30", self.ours), "dev", &self.card]);
        ip(&["route", "replace", "unreachable", &format!("{}/32", self.theirs)]);
    }

    /// The route is back.
    pub(crate) fn find_route(&self) {
        ip(&["route", "del", "unreachable", &format!("{}/32", self.theirs)]);
        ip(&["address", "add", &format!("{}/30", self.ours), "dev", &self.card]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is not there needs no removing.
        let tool = tool("ip", "iproute2");
        let unreachable = format!("{}/32", self.theirs);
        drop(Command::new(&tool).args(["route", "del", "unreachable", &unreachable]).output());
        drop(Command::new(&tool).args(["link", "del", &self.card]).output());
        drop(Command::new(&tool).args(["netns", "del", &self.name]).output());
    }
}

/// Runs `story` on an island: a namespace where nothing but loopback is, with `addresses` on it and every port free. What
/// it spawns, threads and processes, is there too. The island is gone afterwards.
pub(crate) fn on_an_island<T: Send>(addresses: &[IpAddr], story: impl FnOnce() -> T + Send) -> T {
    let island = Island::new(addresses);
    inside(&island.0, story)
}

/// Runs `story` in a namespace.
fn inside<T: Send>(namespace: &str, story: impl FnOnce() -> T + Send) -> T {
    let there = File::open(format!("/run/netns/{namespace}")).expect("a namespace of ours");
    let end = thread::scope(|scope| {
        let told = scope.spawn(|| {
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).expect("to be root");
            story()
        });
        told.join()
    });
    end.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Two hosts: `here` runs failoverd, `there` is all the rest of the world. The cable between them can lose packets, all of
/// them or some, on the way to and from all addresses or some.
pub(crate) struct Cable {
    here: String,
    there: String,
}

/// The ends of the cable.
const HERE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

impl Cable {
    /// The rest of the world has these addresses, beside [`Cable::far_end`].
    pub(crate) fn new(addresses: impl Iterator<Item = Ipv4Addr>) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("failoverd-{side}-{}-{number}", std::process::id());
        let cable = Self { here: name("here"), there: name("there") };
        let (here, there) = (cable.here.as_str(), cable.there.as_str());
        ip(&["netns", "add", here]);
        ip(&["netns", "add", there]);
        ip(&["link", "add", "cable", "netns", here, "type", "veth", "peer", "name", "cable", "netns", there]);
        for (side, end) in [(here, HERE), (there, THERE)] {
            ip(&["-n", side, "address", "add", &format!("{end}/24"), "dev", "cable"]);
            ip(&["-n", side, "link", "set", "lo", "up"]);
            ip(&["-n", side, "link", "set", "cable", "up"]);
        }
        for address in addresses {
            ip(&["-n", there, "address", "add", &format!("{address}/32"), "dev", "lo"]);
        }
        cable.find_way();
        cable.filter(
            "add table ip cable; add chain ip cable to { type filter hook input priority 0; }; \
                      add chain ip cable from { type filter hook output priority 0; }",
        );
        cable
    }

    /// Where the rest of the world has its resolver.
    pub(crate) fn far_end() -> Ipv4Addr {
        THERE
    }

    /// Runs `story` on the host of failoverd; what it spawns, threads and processes, runs there too.
    pub(crate) fn here<T: Send>(&self, story: impl FnOnce() -> T + Send) -> T {
        inside(&self.here, story)
    }

    /// The same in the rest of the world.
    pub(crate) fn there<T: Send>(&self, story: impl FnOnce() -> T + Send) -> T {
        inside(&self.there, story)
    }

    /// From now on so many percent of the packets to these addresses get lost, and of those from them.
    pub(crate) fn lose(&self, percent: u8, addresses: &[Ipv4Addr]) {
        let addresses: Vec<_> = addresses.iter().map(Ipv4Addr::to_string).collect();
        let these = addresses.join(", ");
        let some = if percent < 100 { format!("numgen random mod 100 < {percent} drop") } else { "drop".to_owned() };
        self.filter(&format!(
            "flush table ip cable; add rule ip cable to iifname cable ip daddr {{ {these} }} {some}; \
             add rule ip cable from oifname cable ip saddr {{ {these} }} {some}"
        ));
    }

    /// All packets arrive again.
    pub(crate) fn lose_none(&self) {
        self.filter("flush table ip cable");
    }

    /// The far end is unplugged: our card is up and has no carrier.
    pub(crate) fn unplug(&self) {
        ip(&["-n", &self.there, "link", "set", "cable", "down"]);
    }

    /// It is plugged in again.
    pub(crate) fn plug(&self) {
        ip(&["-n", &self.there, "link", "set", "cable", "up"]);
    }

    /// Our own card is switched off, and with it the way to the rest of the world.
    pub(crate) fn switch_off(&self) {
        ip(&["-n", &self.here, "link", "set", "cable", "down"]);
    }

    /// It is on again.
    pub(crate) fn switch_on(&self) {
        ip(&["-n", &self.here, "link", "set", "cable", "up"]);
        self.find_way();
    }

    fn find_way(&self) {
        ip(&["-n", &self.here, "route", "replace", "default", "via", &THERE.to_string()]);
    }

    fn filter(&self, rules: &str) {
        tool("nft", "nftables");
        ip(&["netns", "exec", &self.there, "nft", rules]);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for side in [&self.here, &self.there] {
            drop(Command::new(tool("ip", "iproute2")).args(["netns", "del", side]).output());
        }
    }
}

struct Island(String);

impl Island {
    fn new(addresses: &[IpAddr]) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let island = Self(format!("failoverd-island-{}-{number}", std::process::id()));
        let name = island.0.as_str();
        ip(&["netns", "add", name]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        for address in addresses {
            // All addresses are our own: no need to ask the neighbours whether one is taken.
            let (whole, family) = if address.is_ipv4() { ("32", "-4") } else { ("128", "-6") };
            ip(&["-n", name, family, "address", "add", &format!("{address}/{whole}"), "dev", "lo"]);
        }
        // Some tools look for a route to the outside before they ask anything. It leads back here.
        ip(&["-n", name, "-4", "route", "add", "default", "dev", "lo"]);
        ip(&["-n", name, "-6", "route", "add", "default", "dev", "lo"]);
        island
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        drop(Command::new(tool("ip", "iproute2")).args(["netns", "del", &self.0]).output());
    }
}

fn ip(words: &[&str]) {
    let output = Command::new(tool("ip", "iproute2")).args(words).output().expect("ip");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words:?}: {why}(network namespaces need root)");
}
