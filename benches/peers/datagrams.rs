//! Datagrams in batches.

use std::io;
use std::net::{SocketAddr, UdpSocket};

const MOST: usize = 64;
const SIZE: usize = 4096;

pub struct Batch {
    buffers: Vec<[u8; SIZE]>,
    received: Vec<(usize, Option<SocketAddr>)>,
    queued: Vec<(Option<SocketAddr>, Vec<u8>)>,
    takes_addresses: bool,
}

impl Batch {
    pub fn new(takes_addresses: bool) -> Self {
        Self { buffers: vec![[0; SIZE]; MOST], received: Vec::new(), queued: Vec::new(), takes_addresses }
    }

    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received.clear();
        while self.received.len() < MOST {
            let buffer = &mut self.buffers[self.received.len()];
            let one = if self.takes_addresses {
                socket.recv_from(buffer).map(|(length, from)| (length, Some(from)))
            } else {
                socket.recv(buffer).map(|length| (length, None))
            };
            match one {
                Ok(one) => self.received.push(one),
                Err(error) if self.received.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.received.len())
    }

    pub fn datagram(&self, at: usize) -> &[u8] {
        &self.buffers[at][..self.received[at].0]
    }

    pub fn push(&mut self, at: usize, bytes: &[u8]) {
        self.queued.push((self.received[at].1, bytes.to_vec()));
    }

    pub fn push_to(&mut self, _: SocketAddr, bytes: &[u8]) {
        self.queued.push((None, bytes.to_vec()));
    }

    pub fn send(&mut self, socket: &UdpSocket) -> (usize, usize) {
        let mut sent = 0;
        let all = self.queued.len();
        for (to, bytes) in self.queued.drain(..) {
            let done = match to {
                Some(to) => socket.send_to(&bytes, to),
                None => socket.send(&bytes),
            };
            sent += usize::from(done.is_ok());
        }
        (sent, all - sent)
    }
}
