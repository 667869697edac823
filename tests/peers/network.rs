//! Network namespaces: a host of its own behind a cable that can be cut, and an internet of its own without a cable. They
//! need root.

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
    let there = File::open(format!("/run/netns/{}", island.0)).expect("the namespace just made");
    let end = thread::scope(|scope| {
        let told = scope.spawn(|| {
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).expect("to be root");
            story()
        });
        told.join()
    });
    end.unwrap_or_else(|panic| resume_unwind(panic))
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
