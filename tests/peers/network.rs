//! Network namespaces: a host of its own behind a cable that can be cut. They need root.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

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

fn ip(words: &[&str]) {
    let output = Command::new(tool("ip", "iproute2")).args(words).output().expect("ip");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words:?}: {why}(network namespaces need root)");
}
