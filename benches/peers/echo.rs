//! The ceiling: a server that does nothing but turn a query into a reply, by one bit, with the system calls of a good
//! one. Datagrams come and go in batches; a connection gets one write per read.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use failoverd::edge::batch::Batch;
use rustix::event::epoll;
use rustix::io::retry_on_intr;
use socket2::{Domain, SockRef, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Room for datagrams that come while we do not run, if the system gives as much.
const ROOM: usize = 2 << 20;
/// What a connection may send at once.
const INBOX: usize = 1 << 16;
/// The listener among the connections.
const LISTENER: u64 = 0;

/// Echoes until the process ends.
///
/// # Errors
/// If the port is taken.
pub fn serve(port: u16) -> io::Result<()> {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&here.into())?;
    listener.listen(BACKLOG)?;
    listener.set_nonblocking(true)?;
    let socket = UdpSocket::bind(here)?;
    let _ = SockRef::from(&socket).set_recv_buffer_size(ROOM);
    let batch = Batch::new(socket)?;
    thread::spawn(move || datagrams(batch));
    streams(&listener.into())
}

fn datagrams(mut batch: Batch) {
    let mut reply = [0; 4096];
    loop {
        // Nothing for a while, or the ICMP error of a reply that nobody waited for.
        let received = batch.receive().unwrap_or(0);
        for at in 0..received {
            let query = batch.datagram(at);
            let reply = &mut reply[..query.len()];
            reply.copy_from_slice(query);
            turn(reply);
            batch.push(at, reply);
        }
        if received > 0 {
            batch.send();
        }
    }
}

/// A query into a reply.
fn turn(message: &mut [u8]) {
    if let Some(flags) = message.get_mut(2) {
        *flags |= 0x80;
    }
}

struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    filled: usize,
}

fn streams(listener: &TcpListener) -> io::Result<()> {
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&watch, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut connections = BTreeMap::new();
    let mut last = LISTENER;
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        // Interrupted: we have been stopped while others were measured.
        retry_on_intr(|| epoll::wait(&watch, rustix::buffer::spare_capacity(&mut events), None))?;
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    last += 1;
                    epoll::add(&watch, &stream, epoll::EventData::new_u64(last), epoll::EventFlags::IN)?;
                    connections.insert(last, Connection { stream, inbox: vec![0; INBOX], filled: 0 });
                }
            } else if connections.get_mut(&key).is_some_and(|connection| connection.echo().is_err()) {
                connections.remove(&key);
            }
        }
    }
}

impl Connection {
    /// Turns the whole messages that are there, and keeps the beginning of one that is not.
    fn echo(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.inbox[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut whole = 0;
        while let Some([high, low]) = self.inbox[whole..self.filled].first_chunk() {
            let end = whole + 2 + usize::from(u16::from_be_bytes([*high, *low]));
            if end > self.filled {
                break;
            }
            turn(&mut self.inbox[whole + 2..end]);
            whole = end;
        }
        // Clients have few queries in flight: what is not taken at once is from one that does not read.
        self.stream.write_all(&self.inbox[..whole])?;
        self.inbox.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        Ok(())
    }
}
