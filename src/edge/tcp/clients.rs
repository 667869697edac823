//! How many connections each client has, on all answering threads together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// Connections of every client that has any. Touched when one begins or ends, and held across nothing.
#[derive(Default, Debug)]
pub(in crate::edge) struct Clients([Mutex<BTreeMap<IpAddr, usize>>; SHARDS]);

impl Clients {
    pub(super) fn count(&self, client: IpAddr) -> usize {
        self.shard(client).get(&client).copied().unwrap_or(0)
    }

    pub(super) fn add(&self, client: IpAddr) {
        *self.shard(client).entry(client).or_default() += 1;
    }

    pub(super) fn remove(&self, client: IpAddr) {
        let mut shard = self.shard(client);
        match shard.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                shard.remove(&client);
            }
        }
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        // The bytes of a client's address that differ most between neighbours.
        let near = match client {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[5] ^ address.octets()[6],
        };
        self.0[usize::from(near) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_counted_by_itself_and_forgotten_with_its_last() {
        let clients = Clients::default();
        let [one, other, site] = ["192.0.2.1", "198.51.100.1", "2001:db8::"].map(|text| text.parse().unwrap());
        for client in [one, one, other, site] {
            clients.add(client);
        }
        assert_eq!([one, other, site].map(|client| clients.count(client)), [2, 1, 1]);
        for client in [one, other, site] {
            clients.remove(client);
        }
        assert_eq!([one, other, site].map(|client| clients.count(client)), [1, 0, 0]);
        clients.remove(one);
        assert!(clients.0.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
