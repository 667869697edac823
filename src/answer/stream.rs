//! A TCP connection as a pure machine (RFC 7766): bytes in, bytes out, a deadline. Answers leave in the order of their
//! queries, and all that one read brought leave in one write.

use std::net::SocketAddr;
use std::time::Duration;

use crate::answer::{Client, Desk, Disposition, Reply, Transport, answer, read};
use crate::dns::message::MESSAGE_MAX;
use crate::snapshot::Snapshot;
use crate::time::Moment;

/// A connection may be idle, take to send a query, or leave answers unread, for this long. RFC 7766 §6.2.3 asks for "a
/// few seconds"; Knot allows 10.
pub const IDLE: Duration = Duration::from_secs(10);
/// Queries are answered while fewer bytes than this wait to be sent: one answer may still go over it.
pub const OUTGOING_MAX: usize = 64 * 1024;

/// The length that goes before each message (RFC 1035 §4.2.2).
const PREFIX: usize = 2;

/// One connection. It holds at most one message and what one read brought besides, and [`OUTGOING_MAX`] and one answer.
#[derive(Debug)]
pub struct Stream {
    client: Client,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that were sent.
    sent: usize,
    /// When the last whole query came.
    active: Moment,
    is_ended: bool,
}

impl Stream {
    pub fn new(client: SocketAddr, now: Moment) -> Self {
        let client = Client { address: client, transport: Transport::Tcp };
        Self { client, incoming: Vec::new(), outgoing: Vec::new(), sent: 0, active: now, is_ended: false }
    }

    /// Takes what was read and answers every whole query in it, as far as there is room for answers. Where queries are
    /// left, [`Stream::has_waiting`] is true once there is room again, and this is called with no bytes.
    pub fn received(&mut self, bytes: &[u8], from: &Snapshot, at: &mut Desk, out: &mut Reply) {
        self.incoming.extend_from_slice(bytes);
        let mut taken = 0;
        while self.has_room()
            && let Some(query) = first_message(&self.incoming[taken..])
        {
            let query_end = taken + PREFIX + query.len();
            let ask = read(query);
            if answer(query, &ask, &self.client, from, at, out) == Disposition::Send {
                // RFC 7766 §8: length and message in one write.
                self.outgoing.extend_from_slice(&(out.bytes().len() as u16).to_be_bytes());
                self.outgoing.extend_from_slice(out.bytes());
            }
            self.active = at.now.moment;
            taken = query_end;
        }
        self.incoming.drain(..taken);
    }

    /// What is to be written next.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// Takes note that the first `count` bytes of [`Stream::outgoing`] were written.
    pub fn sent(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.outgoing.len());
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
            // A big answer must not keep its memory for as long as the connection lives.
            self.outgoing.shrink_to(OUTGOING_MAX);
        }
    }

    /// Takes note that the client will send no more; what it asked is still answered.
    pub fn ended(&mut self) {
        self.is_ended = true;
    }

    /// True while more may be read: the client has not ended, and no query waits for room.
    pub fn wants_read(&self) -> bool {
        !self.is_ended && self.has_room() && !self.has_waiting()
    }

    /// True if there is room for the answers of queries that are here already: [`Stream::received`] is due.
    pub fn has_waiting(&self) -> bool {
        self.has_room() && first_message(&self.incoming).is_some()
    }

    /// When the connection is to be closed if nothing happens.
    pub fn deadline(&self) -> Moment {
        self.active + IDLE
    }

    /// True if the connection is to be closed: its deadline has passed, or all is said.
    pub fn is_finished(&self, now: Moment) -> bool {
        now >= self.deadline()
            || (self.is_ended && self.outgoing().is_empty() && first_message(&self.incoming).is_none())
    }

    fn has_room(&self) -> bool {
        self.outgoing().len() < OUTGOING_MAX
    }
}

/// The first message of what was received, if it is whole.
fn first_message(incoming: &[u8]) -> Option<&[u8]> {
    let &[high, low] = incoming.first_chunk()?;
    incoming.get(PREFIX..PREFIX + usize::from(u16::from_be_bytes([high, low])))
}

const _: () = assert!(MESSAGE_MAX == u16::MAX as usize);
