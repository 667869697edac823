//! A TCP connection as a pure machine (RFC 7766): bytes in, bytes out, a deadline. Answers leave in the order of their
//! queries, and all that one read brought leaves in one write.
//!
//! A connection holds memory only for what is under way: the beginning of a query, and answers the client has not taken
//! yet. Nothing is read while more answers than [`ROOM`] wait, so a client that does not take its answers is not asked
//! for more queries either, and is given up after a while.
//!
//! What is to go out is one queue of whole messages. A transfer of a zone, which is many messages, fits in as a second
//! source of them: it would add its next message whenever less than [`ROOM`] waits, so that the answers of queries
//! behind it (which RFC 7766 §6.2.1.1 lets overtake it) never wait for more than one.

use std::mem;

use crate::answer::{Client, Desk, Disposition, Reply, answer, read};
use crate::config::Answering;
use crate::dns::message::{HEADER, MESSAGE_MAX};
use crate::snapshot::Snapshot;
use crate::time::Moment;

/// Queries are answered while fewer bytes than this wait to be sent. One answer may go over it, so that at most this
/// and [`FRAME_MAX`] wait.
pub const ROOM: usize = 8 * 1024;
/// The most that is read at once: 200 pipelined queries.
pub const READ: usize = 8 * 1024;
/// The largest message with its length.
pub const FRAME_MAX: usize = PREFIX + MESSAGE_MAX;
/// The memory that an idle connection may keep for its next answers.
const KEPT: usize = 2 * 1024;

/// The length that goes before each message (RFC 1035 §4.2.2).
const PREFIX: usize = 2;

/// One connection. `incoming` is at most [`FRAME_MAX`] long and `outgoing` at most [`ROOM`] more than that; either only
/// while the other is below [`ROOM`] and [`READ`].
#[derive(Debug)]
pub struct Stream {
    client: Client,
    /// A query that is not whole yet, or queries that wait for room.
    incoming: Vec<u8>,
    /// Answers with their lengths, as far as they were not sent.
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that the client is to take by its deadline, which counts from `offered`.
    due: usize,
    offered: Moment,
    /// When the first byte of the query came that is not whole yet.
    began: Moment,
    /// When the connection began, the last whole query came, or the last answer was taken.
    active: Moment,
    ending: Option<Ending>,
}

/// Why no more is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The client said that it will send no more (RFC 7766 §6.2.4).
    Ended,
    /// A message too short to hold a header: these are no queries, and where the next one begins nobody knows.
    Malformed,
}

/// What a connection is doing, which says how long it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// Nothing (RFC 7766 §6.2.3).
    Idle,
    /// The client is sending a query.
    Receiving,
    /// The client is taking answers.
    Sending,
}

impl Stream {
    pub fn new(client: Client, now: Moment) -> Self {
        Self {
            client,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            due: 0,
            offered: now,
            began: now,
            active: now,
            ending: None,
        }
    }

    /// Takes what was read and answers every whole query in it, as far as there is room for answers. Where queries are
    /// left, [`Stream::has_waiting`] is true once there is room again, and this is called with no bytes.
    pub fn received(&mut self, bytes: &[u8], from: &Snapshot, at: &mut Desk, out: &mut Reply) {
        if self.incoming.is_empty() {
            self.began = at.now.moment;
            let taken = self.answered(bytes, from, at, out);
            self.incoming.extend_from_slice(&bytes[taken..]);
            return;
        }
        let mut held = mem::take(&mut self.incoming);
        // Grown by what came and not to the double: it is given back when the query is whole.
        held.reserve_exact(bytes.len());
        held.extend_from_slice(bytes);
        let taken = self.answered(&held, from, at, out);
        if taken > 0 {
            self.began = at.now.moment;
            held.drain(..taken);
            held.shrink_to_fit();
        }
        self.incoming = held;
    }

    /// Answers the whole queries at the front of `bytes`, while there is room. How many bytes that took.
    fn answered(&mut self, bytes: &[u8], from: &Snapshot, at: &mut Desk, out: &mut Reply) -> usize {
        let mut taken = 0;
        while self.has_room()
            && let Some(query) = first_message(&bytes[taken..])
        {
            if query.len() < HEADER {
                self.ending.get_or_insert(Ending::Malformed);
                return bytes.len();
            }
            let ask = read(query);
            if answer(query, &ask, &self.client, from, at, out) == Disposition::Send {
                // RFC 7766 §8: length and message in one write.
                if self.outgoing.is_empty() {
                    self.offered = at.now.moment;
                }
                self.outgoing.reserve(PREFIX + out.bytes().len());
                self.outgoing.extend_from_slice(&(out.bytes().len() as u16).to_be_bytes());
                self.outgoing.extend_from_slice(out.bytes());
            }
            self.active = at.now.moment;
            taken += PREFIX + query.len();
        }
        if self.due == 0 {
            self.due = self.outgoing.len();
        }
        taken
    }

    /// What is to be written next.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// Takes note that the first `count` bytes of [`Stream::outgoing`] were written.
    pub fn sent(&mut self, count: usize, now: Moment) {
        let count = count.min(self.outgoing.len());
        self.outgoing.drain(..count);
        self.outgoing.shrink_to(KEPT);
        self.due = self.due.saturating_sub(count);
        if self.due == 0 {
            // What has come behind it in the meantime has a time of its own.
            self.due = self.outgoing.len();
            self.offered = now;
            self.active = now;
        }
    }

    /// Takes note that the client will send no more; what it asked is still answered.
    pub fn ended(&mut self) {
        self.ending.get_or_insert(Ending::Ended);
    }

    /// How many bytes may be read: none after the end, and none while answers wait for the client to take them.
    pub fn wanted(&self) -> usize {
        let waiting = self.outgoing.len();
        if self.ending.is_some() || self.has_waiting() || waiting >= ROOM {
            return 0;
        }
        match (self.incoming.len(), self.incoming.first_chunk()) {
            // A long query gets its memory only while nothing else does.
            (READ.., _) if waiting > 0 => 0,
            (held @ READ.., Some(&[high, low])) => {
                let whole = PREFIX + usize::from(u16::from_be_bytes([high, low]));
                (whole - held.min(whole)).min(READ)
            }
            _ => READ,
        }
    }

    /// True if there is room for the answers of queries that are here already: [`Stream::received`] is due.
    pub fn has_waiting(&self) -> bool {
        self.has_room() && first_message(&self.incoming).is_some()
    }

    /// When the connection is to be closed if nothing happens, and what it did not do by then.
    pub fn deadline(&self, by: &Answering) -> (Moment, Activity) {
        let limits = &by.streams;
        if !self.outgoing.is_empty() {
            (self.offered + limits.send, Activity::Sending)
        } else if !self.incoming.is_empty() {
            (self.began + limits.receive, Activity::Receiving)
        } else {
            (self.active + limits.idle, Activity::Idle)
        }
    }

    /// When the connection last was of use: the more recent, the later it makes room for others.
    pub fn active(&self) -> Moment {
        self.active
    }

    /// Why no more is read, once all that was asked before is answered and sent: the connection is to be closed.
    pub fn is_over(&self) -> Option<Ending> {
        self.ending.filter(|_| self.is_quiet())
    }

    /// True if every whole query that came is answered and every answer sent.
    pub fn is_quiet(&self) -> bool {
        self.outgoing.is_empty() && !self.has_waiting()
    }

    /// How many bytes of memory its buffers take: at most [`ROOM`], [`FRAME_MAX`] and [`READ`] together.
    pub fn held(&self) -> usize {
        self.incoming.capacity() + self.outgoing.capacity()
    }

    fn has_room(&self) -> bool {
        self.outgoing.len() < ROOM
    }
}

/// The first message of what was received, if it is whole.
fn first_message(incoming: &[u8]) -> Option<&[u8]> {
    let &[high, low] = incoming.first_chunk()?;
    incoming.get(PREFIX..PREFIX + usize::from(u16::from_be_bytes([high, low])))
}

const _: () = assert!(MESSAGE_MAX == u16::MAX as usize);
