//! Listening sockets, or why there are none and what would help.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use socket2::{Domain, Protocol, Socket, Type};

use super::holder::{self, Holder};
use crate::config::Listen;

/// Receive buffer of a UDP socket, in bytes: 5,000 queries, which is 40 ms of what one core answers. The kernel gives as
/// much of it as `net.core.rmem_max` allows (by default a tenth), or all of it to whoever administers the network.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;
/// Send buffer of a TCP connection, in bytes; the kernel takes the double for its own needs. Of a client that does not
/// read, this is what stays in the kernel: left to itself it grows it to megabytes.
const SEND_BUFFER: usize = 128 * 1024;
/// How long the kernel offers answers that the client does not take, also after we have closed the connection: at least
/// as long as `send` of [server.tcp] may be. Left to itself it goes on for as long as the client says that it is alive.
const OFFERED: Duration = Duration::from_secs(60);
/// Connections that may wait to be accepted. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// How often a port is drawn again that is free for UDP and taken for TCP.
const DRAWS: usize = 32;

/// Which of DNS's two transports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Udp,
    Tcp,
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// What listens on one address: one UDP socket and one TCP listener per worker; all nonblocking.
#[derive(Debug)]
pub(super) struct Bound {
    /// As asked for, with the port that was drawn where it was 0.
    pub listen: Listen,
    pub udp: Vec<UdpSocket>,
    pub tcp: Vec<TcpListener>,
}

/// Binds one address for `workers` threads of each transport. Where both transports are asked for on port 0, they get the same one.
pub(super) fn bind(listen: &Listen, workers: usize) -> Result<Bound, BindError> {
    let mut draws = if listen.address.port() == 0 && listen.udp && listen.tcp { DRAWS } else { 1 };
    loop {
        draws -= 1;
        let mut address = listen.address;
        let udp = if listen.udp { bind_udp(address, workers).map_err(said(Wire::Udp, address))? } else { Vec::new() };
        if let Some(first) = udp.first() {
            address = first.local_addr().map_err(said(Wire::Udp, address))?;
        }
        let tcp = match bind_tcp(address, if listen.tcp { workers } else { 0 }) {
            Ok(tcp) => tcp,
            Err(error) if draws > 0 && error.kind() == io::ErrorKind::AddrInUse => continue,
            Err(error) => return Err(said(Wire::Tcp, address)(error)),
        };
        if let Some(tcp) = tcp.first() {
            address = tcp.local_addr().map_err(said(Wire::Tcp, address))?;
        }
        return Ok(Bound { listen: Listen { address, ..*listen }, udp, tcp });
    }
}

/// One TCP listener, and its address with the port that was drawn where it was 0.
pub(super) fn listener(address: SocketAddr) -> Result<(SocketAddr, TcpListener), BindError> {
    let bound = bind_tcp(address, 1).and_then(|mut listeners| {
        let listener = listeners.pop().ok_or(io::ErrorKind::NotFound)?;
        Ok((listener.local_addr()?, listener))
    });
    bound.map_err(said(Wire::Tcp, address))
}

/// One UDP socket, likewise.
pub(super) fn datagrams(address: SocketAddr) -> Result<(SocketAddr, UdpSocket), BindError> {
    let bound = bind_udp(address, 1).and_then(|mut sockets| {
        let socket = sockets.pop().ok_or(io::ErrorKind::NotFound)?;
        Ok((socket.local_addr()?, socket))
    });
    bound.map_err(said(Wire::Udp, address))
}

/// The first socket asks for the address alone, so that a second nameserver is told instead of taking half of the
/// queries; then it lets in its siblings.
fn bind_udp(mut address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let mut sockets = Vec::with_capacity(workers);
    for sibling in 0..workers {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(sibling > 0)?;
        socket.bind(&address.into())?;
        socket.set_reuse_port(workers > 1)?;
        socket.set_nonblocking(true)?;
        // Less is less buffer, not less service.
        let _ = set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
            .or_else(|_| set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER));
        let socket = UdpSocket::from(socket);
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Replies never believe a "packet too big", which anyone can forge to have them fragmented: they are small enough
/// for every path (1,232 bytes) and leave without the "don't fragment" bit. As most nameservers do; refused by none.
pub(super) fn ignore_path_mtu(socket: &UdpSocket) {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
        };
        let _ = match socket.local_addr() {
            Ok(SocketAddr::V4(_)) => set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT),
            Ok(SocketAddr::V6(_)) => set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::OMIT),
            Err(_) => Ok(()),
        };
    }
}

/// As [`bind_udp`]: the first asks for the address alone, and lets in its siblings before any of them listens.
fn bind_tcp(mut address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::with_capacity(workers);
    for sibling in 0..workers {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Connections of the run before us that are not yet forgotten do not stand in the way.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(sibling > 0)?;
        socket.bind(&address.into())?;
        socket.set_reuse_port(workers > 1)?;
        socket.set_nonblocking(true)?;
        // Connections have these from their listener.
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.set_tcp_user_timeout(Some(OFFERED))?;
        if let Some(bound) = socket.local_addr()?.as_socket() {
            address = bound;
        }
        sockets.push(socket);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    let listeners: Vec<TcpListener> = sockets.into_iter().map(Into::into).collect();
    listeners.iter().for_each(wait_for_queries);
    Ok(listeners)
}

/// Has the kernel hand over a connection with its first query, which comes right behind: so it costs one turn of the
/// loop instead of two. All who connect speak first, over TLS as well. One who stays silent is handed over after a
/// second; until then it takes less of us than an accepted one, and of the kernel the same place that a SYN alone takes,
/// which any flood of those can fill as well: when it is full, SYN cookies (`net.ipv4.tcp_syncookies`, on unless someone
/// turned them off) let everyone in.
fn wait_for_queries(listener: &TcpListener) {
    // Without it the same is done a little dearer.
    #[cfg(target_os = "linux")]
    let _ = super::batch::defer_accept(listener);
    #[cfg(not(target_os = "linux"))]
    let _ = listener;
}

/// An address of `listen` that cannot be had: which, why, who has it, and what would help.
#[derive(Debug)]
pub struct BindError {
    /// Which socket; `None` if the sockets were to be had, but not what else answering takes: a thread, a descriptor.
    wanted: Option<(Wire, SocketAddr)>,
    error: io::Error,
    holder: Option<Holder>,
}

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        Self { wanted: None, error, holder: None }
    }
}

fn said(wire: Wire, address: SocketAddr) -> impl FnOnce(io::Error) -> BindError {
    move |error| {
        let is_held = error.kind() == io::ErrorKind::AddrInUse;
        let holder = if is_held { holder::find(wire, address) } else { None };
        BindError { wanted: Some((wire, address)), error, holder }
    }
}

impl BindError {
    /// What would be right.
    fn help(&self) -> Option<String> {
        let port = self.wanted?.1.port();
        match (self.error.raw_os_error().map(Errno::from_raw_os_error)?, &self.holder) {
            (Errno::ADDRINUSE, Some(holder)) if holder.is_resolved() => Some(format!(
                "listen on this host's own addresses instead (listen = [\"192.0.2.1:{port}\"]), or set \
                 `DNSStubListener=no` in /etc/systemd/resolved.conf and restart systemd-resolved"
            )),
            (Errno::ADDRINUSE, Some(_)) => Some("stop it, or listen on another address or port".into()),
            (Errno::ADDRINUSE, None) => {
                Some(format!("another process holds it: `ss -lnp 'sport = :{port}'`, as root, shows which"))
            }
            (Errno::ACCESS | Errno::PERM, _) if port < 1024 => Some(
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE (the systemd unit grants it); or listen on \
                 a port above"
                    .into(),
            ),
            (Errno::ADDRNOTAVAIL, _) => Some("no interface of this host has that address".into()),
            (Errno::AFNOSUPPORT, _) => Some("this host has that family switched off: leave the address out".into()),
            _ => None,
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wanted {
            Some((wire, address)) => write!(f, "cannot listen on {wire} {address}: {}", self.error)?,
            None => write!(f, "cannot start answering: {}", self.error)?,
        }
        if let Some(holder) = &self.holder {
            write!(f, "\n  held by {holder}")?;
        }
        match self.help() {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::holder::Process;
    use super::*;

    fn any_port(address: &str) -> Listen {
        Listen { address: address.parse().unwrap(), udp: true, tcp: true }
    }

    #[test]
    fn both_transports_and_all_workers_get_the_same_drawn_port() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let bound = bind(&any_port(address), 3).unwrap();
            let port = bound.listen.address.port();
            assert_ne!(port, 0);
            assert_eq!(bound.udp.len(), 3);
            assert!(bound.udp.iter().all(|socket| socket.local_addr().unwrap().port() == port));
            assert_eq!(bound.tcp.len(), 3);
            assert_eq!(socket2::SockRef::from(&bound.tcp[2]).tcp_user_timeout().unwrap(), Some(OFFERED));
            assert_eq!(bound.tcp[2].local_addr().unwrap().port(), port);
        }
    }

    #[test]
    fn a_second_nameserver_is_told_who_has_the_port() {
        for workers in [1, 3] {
            let first = bind(&any_port("127.0.0.1:0"), workers).unwrap();
            let address = first.listen.address;
            let error = bind(&Listen { address, udp: true, tcp: false }, workers).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot listen on UDP {address}: Address already in use")), "{error}");
            assert!(error.contains(&format!("(pid {}) on {address}", std::process::id())), "{error}");
            let error = bind(&Listen { address, udp: false, tcp: true }, workers).unwrap_err().to_string();
            assert!(error.contains("cannot listen on TCP") && error.contains("held by"), "{error}");
        }
    }

    #[test]
    fn each_error_says_what_would_help() {
        let resolved = |process| Some(Holder { address: "127.0.0.53:53".parse().unwrap(), process });
        let process = Some(Process { name: "systemd-resolve".into(), pid: 312 });
        let nginx = Some(Holder {
            address: "0.0.0.0:53".parse().unwrap(),
            process: Some(Process { name: "nginx".into(), pid: 7 }),
        });
        for (errno, holder, parts) in [
            (Errno::ADDRINUSE, resolved(process), ["systemd-resolve (pid 312) on 127.0.0.53:53", "DNSStubListener=no"]),
            (Errno::ADDRINUSE, resolved(None), ["held by systemd-resolved on 127.0.0.53:53", "own addresses"]),
            (Errno::ADDRINUSE, nginx, ["held by nginx (pid 7) on 0.0.0.0:53", "stop it"]),
            (Errno::ADDRINUSE, None, ["Address already in use", "ss -lnp 'sport = :53'"]),
            (Errno::ACCESS, None, ["Permission denied", "CAP_NET_BIND_SERVICE"]),
            (Errno::ADDRNOTAVAIL, None, ["UDP 0.0.0.0:53", "no interface of this host has that address"]),
        ] {
            let error =
                BindError { wanted: Some((Wire::Udp, "0.0.0.0:53".parse().unwrap())), error: errno.into(), holder };
            for part in parts {
                assert!(error.to_string().contains(part), "no `{part}` in {error}");
            }
        }
    }

    #[test]
    fn an_address_of_another_host_is_told_as_such() {
        let error = bind(&any_port("192.0.2.1:0"), 1).unwrap_err().to_string();
        assert!(error.contains("no interface of this host has that address"), "{error}");
    }
}
