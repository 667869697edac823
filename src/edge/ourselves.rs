//! Refuses resolvers that are this very server.
//!
//! It would be asked for names that it does not know, and the canary, which tells our own trouble from the origins',
//! would be asked of ourselves.
//!
//! What the core cannot see is looked at here: the system's resolvers, and which addresses are this host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::bind::Wire;
use super::holder;
use crate::config::{Listen, Resolvers, Server};

/// Docker's own resolver. What is sent there is turned elsewhere before any socket sees it.
const DOCKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Refuses resolvers that are this server; `system` are those of the system, empty if it tells none.
///
/// # Errors
/// The first that is, and what would be right.
pub(super) fn refuse(server: &Server, system: &[SocketAddr]) -> Result<(), String> {
    let Some(address) = found(&server.listen, &server.resolvers, system, is_heard_everywhere) else {
        return Ok(());
    };
    let (what, help) = match server.resolvers {
        Resolvers::System => (
            format!("/etc/resolv.conf names {}, which is failoverd itself", address.ip()),
            "set `[server] resolvers = [\"…\"]` to recursive resolvers, or `listen` only on the addresses that visitors \
             ask: this server only knows its own zones",
        ),
        Resolvers::Addresses(_) => (
            format!("the resolver {address} is this server itself, which listens on every address"),
            "name a recursive resolver in `[server] resolvers`: this server only knows its own zones",
        ),
    };
    Err(format!("error: {what}\n  |\n  = help: {help}\n\n1 error"))
}

/// The first resolver that one of the listening sockets would hear. `everywhere` tells whether a socket on all
/// addresses hears this one.
fn found(
    listen: &[Listen],
    resolvers: &Resolvers,
    system: &[SocketAddr],
    everywhere: impl Fn(SocketAddr) -> bool,
) -> Option<SocketAddr> {
    let asked = match resolvers {
        Resolvers::System => system,
        Resolvers::Addresses(addresses) => addresses,
    };
    let hears = |ours: &Listen, theirs: SocketAddr| {
        let ip = ours.address.ip();
        // A socket for all of IPv6 hears no IPv4.
        let all = ip.is_unspecified() && ip.is_ipv4() == theirs.is_ipv4();
        ours.address.port() == theirs.port() && (ip == theirs.ip() || all && everywhere(theirs))
    };
    asked.iter().copied().find(|&theirs| listen.iter().any(|ours| hears(ours, theirs)))
}

fn is_heard_everywhere(address: SocketAddr) -> bool {
    address.ip() != DOCKER && is_of_this_host(address.ip()) && !is_held(address)
}

/// Only an address of this host can be bound; except where the host lets foreign ones be bound too, which tells
/// nothing then.
fn is_of_this_host(address: IpAddr) -> bool {
    let binds = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    let foreign: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(203, 0, 113, 113).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0xfffe).into(),
    };
    address.is_loopback() || address.is_unspecified() || binds(address) && !binds(foreign)
}

/// Has another process a socket for just this address? It hears what is sent there, whoever listens on all of them.
fn is_held(address: SocketAddr) -> bool {
    let is_other = |pid| pid != std::process::id();
    holder::find(Wire::Udp, address)
        .is_some_and(|holder| holder.address == address && holder.process.is_none_or(|process| is_other(process.pid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn listens(texts: &[&str]) -> Vec<Listen> {
        addresses(texts).into_iter().map(|address| Listen { address, udp: true, tcp: true }).collect()
    }

    #[test]
    fn a_resolver_is_ours_if_a_socket_of_ours_hears_it() {
        let everywhere = |address: SocketAddr| ["127.0.0.1", "192.0.2.1", "::1"].contains(&&*address.ip().to_string());
        for (listen, resolvers, ours) in [
            (&["0.0.0.0:53", "[::]:53"][..], &["9.9.9.9:53", "127.0.0.1:53"][..], Some("127.0.0.1:53")),
            (&["0.0.0.0:53", "[::]:53"], &["9.9.9.9:53", "[::1]:53"], Some("[::1]:53")),
            (&["0.0.0.0:53"], &["192.0.2.1:53"], Some("192.0.2.1:53")),
            (&["0.0.0.0:53"], &["[::1]:53", "9.9.9.9:53"], None),
            (&["[::]:53"], &["127.0.0.1:53"], None),
            (&["0.0.0.0:5300"], &["127.0.0.1:53"], None),
            (&["192.0.2.1:53"], &["127.0.0.1:53"], None),
            (&["192.0.2.7:53"], &["192.0.2.7:53"], Some("192.0.2.7:53")),
            (&["192.0.2.7:53"], &["192.0.2.7:5300"], None),
            (&["0.0.0.0:53"], &[], None),
        ] {
            let (listen, resolvers) = (listens(listen), addresses(resolvers));
            let ours: Option<SocketAddr> = ours.map(|text| text.parse().unwrap());
            assert_eq!(found(&listen, &Resolvers::System, &resolvers, everywhere), ours, "{listen:?} {resolvers:?}");
            let named = Resolvers::Addresses(resolvers);
            assert_eq!(found(&listen, &named, &addresses(&["127.0.0.1:53"]), everywhere), ours, "{listen:?} {named:?}");
        }
    }

    #[test]
    fn addresses_of_this_host_are_known() {
        let bound = UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        assert!(is_of_this_host(bound.ip()));
        assert!(is_heard_everywhere(bound), "closed again: nobody else hears it");
        assert!(!is_of_this_host("203.0.113.9".parse().unwrap()));
        assert!(!is_heard_everywhere(SocketAddr::new(DOCKER, bound.port())));
    }

    #[test]
    fn a_socket_of_another_process_hears_before_us() {
        // Ours is no other's.
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        assert!(!is_held(socket.local_addr().unwrap()));
    }

    #[test]
    fn the_way_out_is_named() {
        let text = "[server]\nlisten = [\"192.0.2.1:53\"]\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failoverd.toml");
        let server = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let files = crate::edge::files::Disk::default();
            crate::config::read(&files, &path, &|_| None, "ns").unwrap().config.server
        };
        let said = refuse(&server(text), &addresses(&["192.0.2.1:53"])).unwrap_err();
        assert!(said.starts_with("error: /etc/resolv.conf names 192.0.2.1, which is failoverd itself\n"), "{said}");
        assert!(said.contains("set `[server] resolvers = [\"…\"]`"), "{said}");
        assert_eq!(refuse(&server(text), &addresses(&["9.9.9.9:53"])), Ok(()));
        assert_eq!(refuse(&server(text), &[]), Ok(()));
    }
}
