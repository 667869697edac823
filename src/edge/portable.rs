//! Datagrams of one socket where the system has no batched calls: one call each, and the same interface as `batch`.

use std::array;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Datagrams taken in before they are answered.
pub(super) const BATCH: usize = 64;
/// The longest datagram of a plain socket that is read whole.
const PLAIN: usize = 4096;
/// A buffer of a wildcard socket: the system may put several datagrams of one client into one buffer, 64 KiB at most.
const GATHERED: usize = 65_536;
/// How long to wait for a datagram before the caller looks whether to go on.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A socket with the datagrams that came in through it. What is pushed leaves at once.
pub(super) struct Batch {
    socket: UdpSocket,
    /// Of a socket bound to all addresses, which replies from the one that was asked.
    wildcard: Option<UdpSocketState>,
    buffers: Vec<u8>,
    datagrams: Vec<Datagram>,
}

/// Where in the buffers a datagram stands, who sent it, and where to if the system told.
#[derive(Debug)]
struct Datagram {
    bytes: Range<usize>,
    client: SocketAddr,
    asked: Option<IpAddr>,
}

impl Batch {
    /// # Errors
    /// As the system says.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let is_wildcard = socket.local_addr()?.ip().is_unspecified();
        let wildcard = is_wildcard.then(|| UdpSocketState::new(UdpSockRef::from(&socket))).transpose()?;
        let size = if is_wildcard { BATCH_SIZE * GATHERED } else { BATCH * PLAIN };
        Ok(Self { socket, wildcard, buffers: vec![0; size], datagrams: Vec::new() })
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Takes in what is there, at least one datagram; how many.
    ///
    /// # Errors
    /// As the system says: `WouldBlock` after a while without any.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        self.datagrams.clear();
        match self.take_in() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // An error (a signal) only makes us look again.
                let _ = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&PATIENCE));
                self.take_in()?;
            }
            taken => taken?,
        }
        Ok(self.datagrams.len())
    }

    fn take_in(&mut self) -> io::Result<()> {
        let Some(state) = &self.wildcard else {
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
            return Ok(());
        };
        let mut buffers = self.buffers.chunks_exact_mut(GATHERED);
        let mut slices: [_; BATCH_SIZE] = array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let count = state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)?;
        for (at, meta) in metas[..count].iter().enumerate() {
            self.datagrams.extend(parted(meta, at * GATHERED));
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// The bytes of datagram `number`.
    pub(super) fn datagram(&self, number: usize) -> &[u8] {
        &self.buffers[self.datagrams[number].bytes.clone()]
    }

    /// Who sent datagram `number`.
    pub(super) fn client(&self, number: usize) -> SocketAddr {
        self.datagrams[number].client
    }

    /// The address that datagram `number` was sent to, where the socket is bound to all of a family.
    pub(super) fn asked(&self, number: usize) -> Option<IpAddr> {
        self.datagrams[number].asked
    }

    /// Sends a reply to datagram `number`; false if the system did not take it.
    pub(super) fn push(&mut self, number: usize, reply: &[u8]) -> bool {
        let to = &self.datagrams[number];
        let sent = match &self.wildcard {
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
        };
        sent.is_ok()
    }

    /// What was pushed has left: nothing is to be done.
    pub(super) fn send(&mut self) -> usize {
        0
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
    fn queries_are_received_and_replied_to_from_the_address_that_was_asked() {
        for (address, asked) in [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.1.2.3"), ("[::]:0", "::1")] {
            let socket = UdpSocket::bind(address).unwrap();
            let to = SocketAddr::new(asked.parse().unwrap(), socket.local_addr().unwrap().port());
            let mut batch = Batch::new(socket).unwrap();
            assert_eq!(batch.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let client = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
            for number in 0..BATCH as u8 {
                client.send_to(&[number; 9], to).unwrap();
            }
            let mut seen = 0;
            while seen < BATCH {
                for number in 0..batch.receive().unwrap() {
                    assert_eq!(batch.datagram(number), [seen as u8; 9]);
                    assert_eq!(batch.client(number), client.local_addr().unwrap());
                    assert_eq!(batch.asked(number).is_some(), batch.wildcard.is_some());
                    assert!(batch.push(number, &[seen as u8]));
                    seen += 1;
                }
                assert_eq!((batch.is_empty(), batch.send()), (false, 0));
            }
            for _ in 0..BATCH {
                assert_eq!(client.recv_from(&mut [0; 9]).unwrap(), (1, to));
            }
            assert!(batch.socket().local_addr().is_ok() && batch.len() <= BATCH);
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
