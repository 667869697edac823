//! An answering thread over UDP: receives what is there, answers it as one batch, and sleeps when there is no more.
//!
//! A socket bound to one address receives and sends plainly. One bound to all addresses of a family must reply from
//! the address that was asked, which the system tells with each datagram (quinn-udp asks it to).

use std::array;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::bind::ignore_path_mtu;
use super::nameserver::Worker;
use crate::answer::{Ask, Client, Disposition, Transport, answer, reach, read};
use crate::snapshot::Snapshot;

/// The largest datagram of a plain socket that is read whole. Queries are a fraction of it (RFC 6891 has clients ask
/// for less than this in replies, which are the larger part).
const PLAIN: usize = 4096;
/// A buffer of a wildcard socket: the system may put several datagrams of one client into one buffer, 64 KiB at most.
const GATHERED: usize = 65_536;
/// How long counters may be late that could not be put on the shelf at once.
const LATE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Answers what comes in at `socket` until the bell rings. `ours` are all addresses that are listened on for UDP.
pub(super) fn serve(socket: UdpSocket, mut worker: Worker, ours: &[SocketAddr]) {
    let mut door = match Door::new(socket, ours) {
        Ok(door) => door,
        Err(error) => {
            tracing::error!(%error, "a UDP socket cannot be set up; this thread answers nothing");
            return;
        }
    };
    let mut is_counted = true;
    while !worker.ear.hears() {
        match door.receive() {
            Ok(()) => {
                worker.batch(|worker, snapshot| door.answer(worker, snapshot));
                // What a panic has left over is answered too.
                while door.has_more() {
                    worker.batch(|worker, snapshot| door.answer(worker, snapshot));
                }
                is_counted = worker.shelf.put(&worker.desk.tally, &worker.sockets);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let patience = (!is_counted).then_some(&LATE);
                let mut events =
                    [PollFd::new(&door.socket, PollFlags::IN), PollFd::new(&*worker.ear.line, PollFlags::IN)];
                // An error (a signal) only makes us look again.
                let _ = poll(&mut events, patience);
                if !is_counted {
                    is_counted = worker.shelf.put(&worker.desk.tally, &worker.sockets);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An ICMP error of an earlier reply, or no memory for this datagram: the next one is another matter.
            Err(_) => worker.sockets.trouble += 1,
        }
    }
}

/// A socket with the datagrams that came in through it.
struct Door<'o> {
    /// Where we listen ourselves.
    ours: &'o [SocketAddr],
    socket: UdpSocket,
    /// Of a socket bound to all addresses.
    wildcard: Option<UdpSocketState>,
    /// [`BATCH_SIZE`] buffers of equal size.
    buffers: Vec<u8>,
    datagrams: Vec<Datagram>,
    /// What they ask, as far as they have been read.
    asks: Vec<Ask>,
    /// How many of `asks` have been taken up.
    taken: usize,
}

/// One query.
#[derive(Debug)]
struct Datagram {
    /// Where in the buffers.
    bytes: Range<usize>,
    client: SocketAddr,
    /// The address that was asked, where the system told.
    asked: Option<IpAddr>,
}

/// Why no client sent a query: there is nobody to reply to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Forged {
    /// From port 0.
    Portless,
    /// From an address that is nobody's or everybody's.
    Multicast,
    /// From one of our own sockets, as if we asked ourselves.
    Looped,
}

impl Datagram {
    fn forged(&self, ours: &[SocketAddr]) -> Option<Forged> {
        let ip = self.client.ip();
        let is_everybody = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        // A socket on all addresses of a family has those of the loopback network, and the one that was asked.
        let is_ours = |our: &SocketAddr| {
            let is_local = ip.is_loopback() || self.asked == Some(ip);
            our.port() == self.client.port()
                && (our.ip() == ip || our.ip().is_unspecified() && our.is_ipv4() == ip.is_ipv4() && is_local)
        };
        if self.client.port() == 0 {
            Some(Forged::Portless)
        } else if ip.is_unspecified() || ip.is_multicast() || is_everybody {
            Some(Forged::Multicast)
        } else {
            ours.iter().any(is_ours).then_some(Forged::Looped)
        }
    }
}

impl<'o> Door<'o> {
    fn new(socket: UdpSocket, ours: &'o [SocketAddr]) -> io::Result<Self> {
        let is_wildcard = socket.local_addr()?.ip().is_unspecified();
        let wildcard = is_wildcard.then(|| UdpSocketState::new(UdpSockRef::from(&socket))).transpose()?;
        ignore_path_mtu(&socket);
        let size = if is_wildcard { GATHERED } else { PLAIN };
        Ok(Self {
            ours,
            socket,
            wildcard,
            buffers: vec![0; BATCH_SIZE * size],
            datagrams: Vec::new(),
            asks: Vec::new(),
            taken: 0,
        })
    }

    /// Takes in what is there, at least one datagram.
    fn receive(&mut self) -> io::Result<()> {
        self.datagrams.clear();
        self.asks.clear();
        self.taken = 0;
        match &self.wildcard {
            Some(state) => {
                let mut buffers = self.buffers.chunks_exact_mut(GATHERED);
                let mut slices: [_; BATCH_SIZE] =
                    array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
                let mut metas = [RecvMeta::default(); BATCH_SIZE];
                let count = state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)?;
                for (at, meta) in metas[..count].iter().enumerate() {
                    self.datagrams.extend(parted(meta, at * GATHERED));
                }
            }
            None => {
                for (at, buffer) in self.buffers.chunks_exact_mut(PLAIN).enumerate() {
                    match self.socket.recv_from(buffer) {
                        Ok((length, client)) => {
                            let bytes = at * PLAIN..at * PLAIN + length;
                            self.datagrams.push(Datagram { bytes, client, asked: None });
                        }
                        // Reported by the next call, if it lasts.
                        Err(_) if at > 0 => break,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.taken < self.asks.len()
    }

    /// Reads the batch, reaches for what its answers need, and then answers: the memory of one is on its way while
    /// another is worked on. Called again after a panic, it goes on behind the query that made it.
    fn answer(&mut self, worker: &mut Worker, snapshot: &Snapshot) {
        if self.asks.is_empty() {
            for datagram in &self.datagrams {
                self.asks.push(read(&self.buffers[datagram.bytes.clone()]));
            }
            self.asks.iter().for_each(|ask| reach(snapshot, ask));
        }
        while let (Some(datagram), Some(ask)) = (self.datagrams.get(self.taken), self.asks.get(self.taken)) {
            self.taken += 1;
            let sockets = &mut worker.sockets;
            let counter = match datagram.forged(self.ours) {
                None => None,
                Some(Forged::Portless) => Some(&mut sockets.portless),
                Some(Forged::Multicast) => Some(&mut sockets.multicast),
                Some(Forged::Looped) => Some(&mut sockets.looped),
            };
            if let Some(counter) = counter {
                *counter += 1;
                continue;
            }
            let query = &self.buffers[datagram.bytes.clone()];
            let via = Client { address: datagram.client, transport: Transport::Udp };
            match answer(query, ask, &via, snapshot, &mut worker.desk, &mut worker.reply) {
                Disposition::Send if self.send(datagram, worker.reply.bytes()).is_err() => worker.sockets.unsent += 1,
                Disposition::Send | Disposition::Drop => {}
            }
        }
    }

    fn send(&self, to: &Datagram, reply: &[u8]) -> io::Result<()> {
        match &self.wildcard {
            Some(state) => {
                let transmit = Transmit {
                    destination: to.client,
                    ecn: None,
                    contents: reply,
                    segment_size: None,
                    src_ip: to.asked,
                };
                state.try_send(UdpSockRef::from(&self.socket), &transmit)
            }
            None => self.socket.send_to(reply, to.client).map(|_| ()),
        }
    }
}

/// The datagrams that stand in one buffer, which begins at `start`: all `stride` long but the last.
fn parted(meta: &RecvMeta, start: usize) -> impl Iterator<Item = Datagram> {
    let (client, asked, length) = (meta.addr, meta.dst_ip, meta.len.min(GATHERED));
    let stride = meta.stride.max(1);
    // An empty datagram is one too.
    let count = length.div_ceil(stride).max(1);
    (0..count).map(move |number| {
        let first = number * stride;
        Datagram { bytes: start + first..start + (first + stride).min(length), client, asked }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_replied_to_is_known() {
        let explicit = ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()];
        let all = ["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()];
        for (client, asked, ours, wanted) in [
            ("192.0.2.1:4096", None, &explicit, None),
            ("192.0.2.1:0", None, &explicit, Some(Forged::Portless)),
            ("0.0.0.0:53", None, &explicit, Some(Forged::Multicast)),
            ("255.255.255.255:53", None, &explicit, Some(Forged::Multicast)),
            ("224.0.0.251:5353", None, &explicit, Some(Forged::Multicast)),
            ("[ff02::1]:53", None, &explicit, Some(Forged::Multicast)),
            ("[::]:4096", None, &explicit, Some(Forged::Multicast)),
            ("192.0.2.53:53", None, &explicit, Some(Forged::Looped)),
            ("[2001:db8::53]:53", None, &explicit, Some(Forged::Looped)),
            ("192.0.2.53:5353", None, &explicit, None),
            // Some resolvers ask from port 53.
            ("192.0.2.1:53", None, &explicit, None),
            ("127.0.0.1:53", None, &explicit, None),
            ("127.0.0.2:53", Some("127.0.0.1"), &all, Some(Forged::Looped)),
            ("[::1]:53", Some("::1"), &all, Some(Forged::Looped)),
            ("192.0.2.9:53", Some("192.0.2.9"), &all, Some(Forged::Looped)),
            ("192.0.2.9:53", Some("192.0.2.8"), &all, None),
            ("192.0.2.9:5353", Some("192.0.2.9"), &all, None),
        ] {
            let asked = asked.map(|asked| asked.parse().unwrap());
            let datagram = Datagram { bytes: 0..0, client: client.parse().unwrap(), asked };
            assert_eq!(datagram.forged(ours), wanted, "{client} asked {asked:?}");
        }
    }

    #[test]
    fn gathered_datagrams_are_parted_by_their_stride() {
        let client = "192.0.2.1:5353".parse().unwrap();
        for (len, stride, lengths) in
            [(40, 40, &[40][..]), (100, 40, &[40, 40, 20]), (80, 40, &[40, 40]), (0, 0, &[0]), (30, 0, &[1; 30])]
        {
            let mut meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (client, len, stride);
            let datagrams: Vec<_> = parted(&meta, 1000).collect();
            let mut at = 1000;
            for (datagram, &length) in datagrams.iter().zip(lengths) {
                assert_eq!((datagram.bytes.clone(), datagram.client), (at..at + length, client));
                at += length;
            }
            assert_eq!((datagrams.len(), at), (lengths.len(), 1000 + len));
        }
    }
}
