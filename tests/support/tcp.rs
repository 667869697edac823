//! TCP clients of a nameserver: from any loopback address, at any pace.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::dns::{self, Answer};

/// Only a broken run takes so long.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// As many descriptors as this process may have: thousands of clients live in it.
pub(crate) fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("the soft limit at the hard one");
}

/// The source of client `number`: its own address in 127.64.0.0/10.
pub(crate) fn source(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number % (1 << 22)).expect("masked");
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 64, 0, 0).to_bits() + number)
}

/// Connects from `client`.
pub(crate) fn connect(client: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((client, 0)).into())?;
    socket.connect_timeout(&server.into(), LONG)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(LONG))?;
    Ok(socket.into())
}

/// With its length before it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("short").to_be_bytes(), message].concat()
}

/// The next message.
pub(crate) fn next(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// One question over an open connection.
pub(crate) fn ask(stream: &mut TcpStream, name: &str, rtype: u16, id: u16) -> io::Result<Answer> {
    stream.write_all(&framed(&dns::question(name, rtype, false, id)))?;
    let message = next(stream)?;
    if !message.starts_with(&id.to_be_bytes()) {
        return Err(io::Error::other("another question's answer"));
    }
    dns::read(&message).ok_or_else(|| io::Error::other("malformed"))
}

/// True if the other side has closed; what it has sent is thrown away.
pub(crate) fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 4096];
    let is_closed = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
            Err(_) => break true,
        }
    };
    stream.set_nonblocking(false).expect("a socket");
    is_closed
}
