//! The connection of a probe, and what the errors of a socket mean.
//!
//! Each probe opens its own socket from a fresh port to a literal address. An error is told apart by its errno: the
//! few that are our own (no descriptor, no port, no route) must never be held against an origin.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use crate::probe::TroubleKind;

/// Connects to `to`.
///
/// # Errors
/// What became of it instead, in the words of the core.
pub(super) async fn connect(to: SocketAddr) -> Result<TcpStream, TroubleKind> {
    match open(to).await {
        Ok(stream) => Ok(stream),
        Err(error) => Err(trouble(&error, to.ip())),
    }
}

async fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.connect(to).await
}

/// When this connection is dropped, it ends with a reset instead of a farewell, and neither side keeps a port waiting
/// for a minute: 1,000 probes a second of one address would use up all ports in half a minute. Not for a handshake
/// under way, whose last alert tells the origin what we hold against its certificate.
pub(super) fn close_at_once(stream: &TcpStream) {
    // Without it the probe is as good.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// What an error of a socket that talks to `address` means.
pub(super) fn trouble(error: &io::Error, address: IpAddr) -> TroubleKind {
    match error.raw_os_error() {
        Some(code) => kind_of(Errno::from_raw_os_error(code), || is_routed(address)),
        None => match error.kind() {
            // An end where more was due: told by the layers above the socket, which have no errno.
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::WriteZero => TroubleKind::Reset,
            io::ErrorKind::TimedOut => TroubleKind::Timeout,
            _ => TroubleKind::Protocol(error.to_string()),
        },
    }
}

/// The table of errno. `is_routed` is asked only where it matters.
fn kind_of(error: Errno, is_routed: impl Fn() -> bool) -> TroubleKind {
    match error {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => TroubleKind::Descriptors,
        // Also said where the host has no source address to speak to that family from: then it is the route we lack.
        Errno::ADDRNOTAVAIL if is_routed() => TroubleKind::Ports,
        Errno::ADDRNOTAVAIL => TroubleKind::Unreachable { routed: false },
        Errno::CONNREFUSED => TroubleKind::Refused,
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::NOTCONN => TroubleKind::Reset,
        Errno::TIMEDOUT => TroubleKind::Timeout,
        // ENETUNREACH, EHOSTUNREACH; and what else keeps a packet from leaving or a host from being reached (a family
        // switched off, a firewall of either side): ours exactly when our own route lookup fails.
        _ => TroubleKind::Unreachable { routed: is_routed() },
    }
}

/// Whether our own routing table knows a way to `address`. Connecting a UDP socket looks the route up and sends
/// nothing.
fn is_routed(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Without a descriptor for the question there is no answer; the benefit of the doubt goes to the origin.
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 53))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_errno() {
        let routed = TroubleKind::Unreachable { routed: true };
        let unrouted = TroubleKind::Unreachable { routed: false };
        for (error, with_route, without) in [
            (Errno::MFILE, TroubleKind::Descriptors, TroubleKind::Descriptors),
            (Errno::NFILE, TroubleKind::Descriptors, TroubleKind::Descriptors),
            (Errno::NOBUFS, TroubleKind::Descriptors, TroubleKind::Descriptors),
            (Errno::NOMEM, TroubleKind::Descriptors, TroubleKind::Descriptors),
            (Errno::ADDRNOTAVAIL, TroubleKind::Ports, unrouted.clone()),
            (Errno::CONNREFUSED, TroubleKind::Refused, TroubleKind::Refused),
            (Errno::CONNRESET, TroubleKind::Reset, TroubleKind::Reset),
            (Errno::PIPE, TroubleKind::Reset, TroubleKind::Reset),
            (Errno::TIMEDOUT, TroubleKind::Timeout, TroubleKind::Timeout),
            (Errno::NETUNREACH, routed.clone(), unrouted.clone()),
            (Errno::HOSTUNREACH, routed.clone(), unrouted.clone()),
            (Errno::AFNOSUPPORT, routed.clone(), unrouted.clone()),
            (Errno::PERM, routed, unrouted),
        ] {
            assert_eq!(kind_of(error, || true), with_route, "{error} with a route");
            assert_eq!(kind_of(error, || false), without, "{error} without");
        }
    }

    #[test]
    fn an_end_without_errno_is_a_reset() {
        let early = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(trouble(&early, Ipv4Addr::LOCALHOST.into()), TroubleKind::Reset);
    }

    #[test]
    fn loopback_is_routed_and_a_broadcast_is_not() {
        assert!(is_routed(Ipv4Addr::LOCALHOST.into()));
        // EACCES without SO_BROADCAST: any failing lookup will do.
        assert!(!is_routed(Ipv4Addr::BROADCAST.into()));
    }
}
