//! Host names served by their addresses (flattened), where a CNAME cannot stand: resolved in the background, TTL
//! honoured and capped, the last good set kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::control::event::{ResolveFault, Resolved};
use crate::dns::Name;
use crate::time::Moment;

/// Resolved no more often than this, whatever the TTL.
const SOONEST: Duration = Duration::from_secs(5);
/// Resolved at least this often: a long TTL must not keep a moved origin's old address.
const LATEST: Duration = Duration::from_secs(300);
/// Distance of attempts while the resolvers do not answer or the name is gone.
const RETRY: Duration = Duration::from_secs(5);
/// An attempt without an end is made again after this; above any timeout of the resolver.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// The host names served flattened.
#[derive(Debug, Default)]
pub(crate) struct Flattened {
    hosts: BTreeMap<Name, Host>,
    /// When each is due, in order.
    queue: BTreeSet<(Moment, Name)>,
}

#[derive(Debug)]
struct Host {
    /// The last good set, sorted; empty if there never was one.
    addresses: Vec<IpAddr>,
    /// When to ask next.
    due: Moment,
    /// The resolvers say that there is no such name any more.
    gone: bool,
}

impl Flattened {
    /// Follows exactly these host names from now on; what is known of them stays.
    pub(crate) fn follow(&mut self, names: impl IntoIterator<Item = Name>, now: Moment) {
        let mut known = std::mem::take(&mut self.hosts);
        for name in names {
            // One that several rungs share comes again.
            self.hosts.entry(name).or_insert_with_key(|name| {
                known.remove(name).unwrap_or(Host { addresses: Vec::new(), due: now, gone: false })
            });
        }
        self.queue = self.hosts.iter().map(|(name, host)| (host.due, name.clone())).collect();
    }

    /// The host names to resolve now.
    pub(crate) fn due(&mut self, now: Moment) -> Vec<Name> {
        let mut names = Vec::new();
        while self.queue.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, name)) = self.queue.pop_first()
        {
            names.push(name);
        }
        for name in &names {
            self.plan(name, now + GIVEN_UP);
        }
        names
    }

    fn plan(&mut self, name: &Name, due: Moment) {
        if let Some(host) = self.hosts.get_mut(name) {
            self.queue.remove(&(host.due, name.clone()));
            self.queue.insert((due, name.clone()));
            host.due = due;
        }
    }

    /// All that is known: addresses, and whether the name is gone.
    pub(crate) fn all(&self) -> Vec<(Name, Vec<IpAddr>, bool)> {
        self.hosts.iter().map(|(name, host)| (name.clone(), host.addresses.clone(), host.gone)).collect()
    }

    /// Takes over what another knew of the names that are followed.
    pub(crate) fn take_over(&mut self, known: Vec<(Name, Vec<IpAddr>, bool)>) {
        for (name, addresses, gone) in known {
            if let Some(host) = self.hosts.get_mut(&name) {
                (host.addresses, host.gone) = (addresses, gone);
            }
        }
    }

    /// Takes an answer in. True if the addresses changed, or the name went or came back.
    pub(crate) fn resolved(&mut self, name: &Name, outcome: Result<Resolved, ResolveFault>, now: Moment) -> bool {
        match outcome {
            Ok(Resolved { mut addresses, ttl }) if !addresses.is_empty() => {
                self.plan(name, now + ttl.clamp(SOONEST, LATEST));
                addresses.sort();
                addresses.dedup();
                let Some(host) = self.hosts.get_mut(name) else { return false };
                let is_back = std::mem::replace(&mut host.gone, false);
                std::mem::replace(&mut host.addresses, addresses.clone()) != addresses || is_back
            }
            Err(ResolveFault::Gone) => {
                self.plan(name, now + RETRY);
                self.hosts.get_mut(name).is_some_and(|host| !std::mem::replace(&mut host.gone, true))
            }
            _ => {
                self.plan(name, now + RETRY);
                false
            }
        }
    }

    /// True if any address was ever learnt.
    pub(crate) fn knows(&self, name: &Name) -> bool {
        !self.addresses(name).is_empty()
    }

    pub(crate) fn addresses(&self, name: &Name) -> &[IpAddr] {
        self.hosts.get(name).map_or(&[], |host| &host.addresses)
    }

    /// There is no such name any more; its last good addresses are kept.
    pub(crate) fn is_gone(&self, name: &Name) -> bool {
        self.hosts.get(name).is_some_and(|host| host.gone)
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.queue.first().map(|&(due, _)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_set_survives_trouble_and_order_does_not_matter() {
        let name = Name::absolute("pages.example.net").unwrap();
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        let answer = |last: [u8; 2]| {
            let addresses = last.map(|byte| IpAddr::from([192, 0, 2, byte])).to_vec();
            Ok(Resolved { addresses, ttl: Duration::from_secs(60) })
        };
        let mut flattened = Flattened::default();
        flattened.follow([name.clone()], at(0));
        assert_eq!(flattened.due(at(0)), std::slice::from_ref(&name));
        assert!(flattened.due(at(1)).is_empty(), "asked once");
        assert!(flattened.resolved(&name, answer([2, 1]), at(1)));
        assert_eq!(flattened.next_deadline(), Some(at(61)));
        assert!(!flattened.resolved(&name, answer([1, 2]), at(61)), "the same set in another order");
        for (fault, is_news) in
            [(ResolveFault::Unanswered, false), (ResolveFault::Gone, true), (ResolveFault::Gone, false)]
        {
            assert_eq!(flattened.resolved(&name, Err(fault), at(90)), is_news);
            assert_eq!(flattened.addresses(&name).len(), 2);
        }
        assert!(flattened.is_gone(&name));
        assert_eq!(flattened.next_deadline(), Some(at(95)));
        flattened.follow([name.clone(), name.clone()], at(99));
        assert_eq!(flattened.addresses(&name).len(), 2, "two rungs share it");
        flattened.follow([], at(100));
        assert!(!flattened.knows(&name));
    }
}
