//! A ping, through the kernel's own sockets for it: no privilege is needed, only that the group of this process is in
//! the sysctl `net.ipv4.ping_group_range`. The kernel picks the identifier, fills in the checksum and hands over only
//! what answers this socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{random, tcp};
use crate::probe::TroubleKind;

/// Bytes that come back with the echo, drawn for each ping.
const PAYLOAD: usize = 16;
/// Type, code, checksum, identifier, sequence (RFC 792, RFC 4443 §4.1).
const HEADER: usize = 8;

/// Types of request and reply.
fn types(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (8, 0),
        IpAddr::V6(_) => (128, 129),
    }
}

/// Pings `address` once and waits for the echo.
///
/// # Errors
/// What came instead.
pub(super) async fn ping(address: IpAddr) -> Result<(), TroubleKind> {
    let socket = open(address).map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ACCESS | Errno::PERM) => TroubleKind::PingForbidden,
        _ => tcp::trouble(&error, address),
    })?;
    echo(socket, address).await.map_err(|error| tcp::trouble(&error, address))
}

/// Does the kernel keep us from pinging?
pub(in crate::edge) fn is_forbidden() -> bool {
    let refused = open(Ipv4Addr::LOCALHOST.into()).err().and_then(|error| error.raw_os_error());
    matches!(refused.map(Errno::from_raw_os_error), Some(Errno::ACCESS | Errno::PERM))
}

fn open(address: IpAddr) -> io::Result<std::net::UdpSocket> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn echo(socket: std::net::UdpSocket, address: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(SocketAddr::new(address, 0)).await?;
    let (request, reply) = types(address);
    let drawn: [u8; PAYLOAD + 2] = random();
    let (sequence, payload) = drawn.split_at(2);
    let sent = [&[request, 0, 0, 0, 0, 0], sequence, payload].concat();
    socket.send(&sent).await?;
    let mut heard = [0; HEADER + PAYLOAD + 1];
    loop {
        let length = socket.recv(&mut heard).await?;
        let [kind, code, _, _, _, _, rest @ ..] = &heard[..length] else { continue };
        if (*kind, *code) == (reply, 0) && *rest == drawn {
            return Ok(());
        }
    }
}
