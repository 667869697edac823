//! The load: questions made beforehand, asked as fast as they are answered or evenly paced, and every reply looked at.
//!
//! One thread that never sleeps, so that servers pay for their own waiting only. It allocates nothing per query.

pub mod connects;
mod histogram;
pub mod tcp;
pub mod udp;

use std::time::Duration;

pub use histogram::Histogram;

/// Nobody waits longer for a reply: it is lost.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Messages as they go over TCP, one after the other; without the two bytes of their length they go over UDP.
pub struct Queries {
    wire: Vec<u8>,
    /// Where each begins, and where the last one ends.
    starts: Vec<u32>,
    next: usize,
}

impl Queries {
    /// # Panics
    /// If there are none, or more than 4 GiB of them.
    pub fn new(messages: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let (mut wire, mut starts) = (Vec::new(), vec![0]);
        for message in messages {
            wire.extend_from_slice(&u16::try_from(message.len()).expect("a message").to_be_bytes());
            wire.extend_from_slice(&message);
            starts.push(u32::try_from(wire.len()).expect("fewer than 4 GiB"));
        }
        assert!(starts.len() > 1, "no questions");
        Self { wire, starts, next: 0 }
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// From the first one on again.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// The number of the next one, round and round.
    fn take(&mut self) -> u32 {
        let taken = self.next;
        self.next = if taken + 1 == self.len() { 0 } else { taken + 1 };
        u32::try_from(taken).expect("as many as there are starts")
    }

    /// How many can be taken before it begins anew.
    fn left(&self) -> usize {
        self.len() - self.next
    }

    /// Gives a question its ID; the message.
    fn stamp(&mut self, question: u32, id: u16) -> &[u8] {
        let (start, end) = self.place(question);
        let message = &mut self.wire[start + 2..end];
        message[..2].copy_from_slice(&id.to_be_bytes());
        message
    }

    /// Consecutive messages with their lengths before them.
    fn framed(&self, first: u32, last: u32) -> &[u8] {
        &self.wire[self.place(first).0..self.place(last).1]
    }

    fn place(&self, question: u32) -> (usize, usize) {
        let at = question as usize;
        (self.starts[at] as usize, self.starts[at + 1] as usize)
    }
}

/// What a reply is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    Right,
    /// With another number of records: some do not follow an alias to its target.
    Unlike,
    Wrong,
}

/// What an answer is known by: rcode, AA, TC and the number of answer records, as far as 255. The records themselves
/// may come in another order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sight(u16);

impl Sight {
    const NONE: Self = Self(0);

    fn of(reply: &[u8]) -> Self {
        let &[_, _, high, low, _, _, more, count, ..] = reply else { return Self(1 << 15) };
        let count = if more > 0 { 255 } else { count };
        let flags = u16::from(high >> 1 & 3) << 12;
        Self(1 << 15 | flags | u16::from(low & 15) << 8 | u16::from(count))
    }

    /// All but the number of records.
    fn kind(self) -> u16 {
        self.0 >> 8
    }
}

/// The answers of one server, which the others are compared with.
pub struct Expected(Vec<Sight>);

impl Expected {
    pub fn unknown(questions: usize) -> Self {
        Self(vec![Sight::NONE; questions])
    }

    /// What this reply is will be right from now on.
    pub fn learn(&mut self, question: u32, reply: &[u8]) {
        self.0[question as usize] = Sight::of(reply);
    }

    /// What has not been learnt is right.
    pub fn judge(&self, question: u32, reply: &[u8]) -> Judged {
        let (expected, seen) = (self.0[question as usize], Sight::of(reply));
        if expected == Sight::NONE || expected == seen {
            Judged::Right
        } else if expected.kind() == seen.kind() {
            Judged::Unlike
        } else {
            Judged::Wrong
        }
    }

    pub fn known(&self) -> usize {
        self.0.iter().filter(|sight| **sight != Sight::NONE).count()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How long questions were asked, in seconds.
    pub seconds: f64,
    pub sent: u64,
    /// Replies, those after the end too.
    pub received: u64,
    /// Replies before the end.
    pub in_time: u64,
    /// Without a reply.
    pub lost: u64,
    /// Replies with another rcode, AA or TC than is right.
    pub wrong: u64,
    /// Replies with another number of records.
    pub unlike: u64,
    /// Connections that took over 900 ms to come about: a SYN of theirs was dropped.
    pub late: u64,
    /// From the sending of a question to its reply, in nanoseconds.
    pub latency: Histogram,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.in_time as f64 / self.seconds
    }
}

/// The questions of one socket that have no reply yet.
struct Flight {
    slots: Vec<Slot>,
    next: usize,
    count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    /// When it was sent, in nanoseconds of the run; 0: nothing is in flight.
    since: u64,
    question: u32,
}

const FREE: Slot = Slot { since: 0, question: 0 };

impl Flight {
    /// IDs come round again after so many.
    fn new(slots: usize) -> Self {
        Self { slots: vec![FREE; slots], next: 0, count: 0 }
    }

    /// An ID for a question that is sent at `now`; the one that had it before is given up, and counted in `lost`.
    fn issue(&mut self, question: u32, now: u64, lost: &mut u64) -> u16 {
        let id = self.next;
        self.next = if id + 1 == self.slots.len() { 0 } else { id + 1 };
        if self.slots[id] == FREE {
            self.count += 1;
        } else {
            *lost += 1;
        }
        self.slots[id] = Slot { since: now, question };
        u16::try_from(id).expect("at most 65,536 slots")
    }

    /// The question that this is a reply to.
    fn land(&mut self, reply: &[u8]) -> Option<Slot> {
        let &[high, low, flags, ..] = reply else { return None };
        let slot = self.slots.get_mut(usize::from(u16::from_be_bytes([high, low])))?;
        if flags & 0x80 == 0 || *slot == FREE {
            return None;
        }
        self.count -= 1;
        Some(std::mem::replace(slot, FREE))
    }

    /// Gives up all; how many.
    fn forget(&mut self) -> u64 {
        self.slots.fill(FREE);
        std::mem::take(&mut self.count) as u64
    }
}

/// A run as it goes.
struct Count<'r, R> {
    outcome: Outcome,
    /// When questions end, in nanoseconds of the run.
    end: u64,
    judge: &'r mut R,
}

impl<'r, R: FnMut(u32, &[u8]) -> Judged> Count<'r, R> {
    fn new(time: Duration, judge: &'r mut R) -> Self {
        Self { outcome: Outcome { seconds: time.as_secs_f64(), ..Outcome::default() }, end: nanoseconds(time), judge }
    }

    /// Whether it was a reply to something.
    fn reply(&mut self, reply: &[u8], flight: &mut Flight, now: u64) -> bool {
        let Some(slot) = flight.land(reply) else { return false };
        let outcome = &mut self.outcome;
        outcome.received += 1;
        outcome.in_time += u64::from(now < self.end);
        outcome.latency.add(now.saturating_sub(slot.since));
        match (self.judge)(slot.question, reply) {
            Judged::Right => {}
            Judged::Unlike => outcome.unlike += 1,
            Judged::Wrong => outcome.wrong += 1,
        }
        true
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
