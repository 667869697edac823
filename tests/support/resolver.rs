//! A resolver for host names of origins and for the canary, that can be told to fall silent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Shared {
    silent: AtomicBool,
    stop: AtomicBool,
    names: Mutex<BTreeMap<String, Ipv4Addr>>,
}

/// Answers A queries for the names it was told, NXDOMAIN for all else.
pub(crate) struct Resolver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Resolver {
    pub(crate) fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST)
    }

    /// At another address of this host.
    pub(crate) fn start_at(address: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((address, 0)).expect("a UDP socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let shared =
            Arc::new(Shared { silent: AtomicBool::new(false), stop: AtomicBool::new(false), names: Mutex::default() });
        let resolver = Self { address: socket.local_addr().expect("an address"), shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while !shared.stop.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut query) else {
                    continue;
                };
                if !shared.silent.load(Ordering::SeqCst) {
                    let names = shared.names.lock().expect("not poisoned");
                    if let Some(reply) = reply(&query[..length], &names) {
                        drop(socket.send_to(&reply, from));
                    }
                }
            }
        });
        resolver
    }

    /// From now on `name` has this address.
    pub(crate) fn tell(&self, name: &str, address: Ipv4Addr) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.shared.names.lock().expect("not poisoned").insert(name, address);
    }

    /// From now on `name` does not exist.
    pub(crate) fn forget(&self, name: &str) {
        self.shared.names.lock().expect("not poisoned").remove(name.trim_end_matches('.'));
    }

    pub(crate) fn be_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

fn reply(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let rtype = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let name = labels.join(".");
    let known = names.get(&name);
    // The root and what is known exist; all else does not.
    let rcode = if known.is_some() || name.is_empty() { 0 } else { 3 };
    let address = known.filter(|_| rtype == super::dns::A);
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | rcode, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    reply.extend(query.get(12..at + 4)?);
    if let Some(address) = address {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 2, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
