//! Events to bytes.
//!
//! ```text
//!   tag   then
//!   ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
//!   1…    the moment, as a step from the one before; the calendar, where it does not show what was expected (0x40)
//!   1     time has passed
//!   2     published, no news                3  published: when that was served
//!   4     committed: up to which number     5  anything rare, in JSON
//!   6     a word: its text, once            7  a turn: the words it is made of, its numbers
//!   8     the beginning of a segment        9  started     10  stopped     11  reloaded: the word of its JSON
//!   0x80  an observation: watch, start and end, phases; and where they are not as they were before (flags), its epoch,
//!         the word of its outcome, the word of what else was seen
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::control::Event;
use crate::control::journal::{Entry, Turn, What};
use crate::probe::{Observation, Outcome, Phases, Purpose};
use crate::record::bytes::{put, put_step, put_text};
use crate::record::memory::{Clock, Known, Rest, Watches, nanos};
use crate::record::step::{Began, Happened};
use crate::time::Now;

pub(super) const ELAPSED: u8 = 1;
pub(super) const PUBLISHED: u8 = 2;
pub(super) const SERVED: u8 = 3;
pub(super) const COMMITTED: u8 = 4;
pub(super) const RARE: u8 = 5;
pub(super) const WORD: u8 = 6;
pub(super) const TURNED: u8 = 7;
pub(super) const BEGAN: u8 = 8;
pub(super) const STARTED: u8 = 9;
pub(super) const STOPPED: u8 = 10;
pub(super) const RELOADED: u8 = 11;
pub(super) const OBSERVED: u8 = 0x80;

/// The calendar follows.
pub(super) const WALL: u8 = 0x40;

/// Flags of an observation.
pub(super) const PURPOSE: u8 = 0x30;
pub(super) const PURPOSE_SHIFT: u32 = 4;
pub(super) const NEW_TROUBLE: u8 = 0x08;
pub(super) const NEW_REST: u8 = 0x04;
pub(super) const NEW_EPOCH: u8 = 0x02;
pub(super) const SAME_TROUBLE: u8 = 0x01;

/// Purposes that are told by a byte more.
pub(super) const MANUAL: u8 = 0;
pub(super) const TRIPWIRE: u8 = 1;

/// Words of one segment. More are a reason to begin another.
const WORDS_MAX: usize = 100_000;
/// Bytes of words of one segment, likewise.
const WORD_BYTES_MAX: usize = 64 << 20;

/// Writes one segment; what it remembers ends with it.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    clock: Clock,
    watches: Watches,
    words: BTreeMap<Arc<str>, u64>,
    word_bytes: usize,
    committed: u64,
    /// Events in `bytes`.
    events: u64,
}

/// The bytes of a segment's beginning, a chunk by itself.
pub fn began(began: &Began) -> Vec<u8> {
    let mut bytes = vec![BEGAN];
    put_text(&mut bytes, &json(began));
    bytes
}

impl Writer {
    /// After a beginning at `now`.
    pub fn new(now: Now) -> Self {
        let mut clock = Clock::default();
        clock.learn(nanos(now.moment), now.wall.millis());
        Self {
            bytes: Vec::new(),
            clock,
            watches: Watches::default(),
            words: BTreeMap::new(),
            word_bytes: 0,
            committed: 0,
            events: 0,
        }
    }

    /// An event that the controller is given at `now`.
    pub fn event(&mut self, event: &Event, now: Now) {
        self.events += 1;
        match event {
            Event::Observed(seen) => self.observed(seen, now),
            Event::Committed { sequence } => {
                self.tag(COMMITTED, now);
                put_step(&mut self.bytes, self.committed, *sequence);
                self.committed = *sequence;
            }
            rare => match Happened::of(rare) {
                Happened::Elapsed => self.tag(ELAPSED, now),
                // The same files are read again and again.
                happened @ Happened::Reloaded { .. } => {
                    let word = self.word(&json(&happened));
                    self.tag(RELOADED, now);
                    put(&mut self.bytes, word);
                }
                happened => {
                    self.tag(RARE, now);
                    put_text(&mut self.bytes, &json(&happened));
                }
            },
        }
    }

    /// What had happened was published, `served` if that was news; with what was recorded of it.
    pub fn published(&mut self, now: Now, served: Option<Now>, entries: &[Entry]) {
        self.tag(if served.is_some() { SERVED } else { PUBLISHED }, now);
        if let Some(served) = served {
            let wall = self.clock.expect(nanos(served.moment));
            put_step(&mut self.bytes, self.clock.moment, nanos(served.moment));
            put_step(&mut self.bytes, wall as u64, served.wall.millis() as u64);
        }
        for entry in entries {
            if let What::Turned(turn) = &entry.what {
                self.turned(turn);
            }
        }
    }

    /// The daemon serves.
    pub fn started(&mut self, version: &str, now: Now) {
        self.tag(STARTED, now);
        put_text(&mut self.bytes, version);
    }

    /// The daemon stops in order.
    pub fn stopped(&mut self, now: Now) {
        self.tag(STOPPED, now);
    }

    /// Bytes that have not been taken yet.
    pub fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// What was written since the last time, and how many events are in it.
    pub fn take(&mut self) -> (Vec<u8>, u64) {
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.events))
    }

    /// It remembers so much that another segment had better begin.
    pub fn is_full(&self) -> bool {
        self.words.len() >= WORDS_MAX || self.word_bytes >= WORD_BYTES_MAX
    }

    fn tag(&mut self, tag: u8, now: Now) {
        let (moment, wall) = (nanos(now.moment), now.wall.millis());
        let expected = self.clock.expect(moment);
        self.bytes.push(if expected == wall { tag } else { tag | WALL });
        put_step(&mut self.bytes, self.clock.moment, moment);
        if expected != wall {
            put_step(&mut self.bytes, expected as u64, wall as u64);
        }
        self.clock.learn(moment, wall);
    }

    /// The number of a text, which is written where it is new. To be asked for before a tag.
    fn word(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.words.get(text) {
            return number;
        }
        self.bytes.push(WORD);
        put_text(&mut self.bytes, text);
        let number = self.words.len() as u64;
        self.word_bytes += text.len();
        self.words.insert(text.into(), number);
        number
    }

    fn observed(&mut self, seen: &Observation, now: Now) {
        let mut spare = Known::default();
        let known = self.watches.of(seen.watch, &mut spare);
        let (mut flags, mut trouble, mut rest) = (OBSERVED, None, None);
        if known.epoch != seen.epoch {
            known.epoch = seen.epoch;
            flags |= NEW_EPOCH;
        }
        if seen.outcome != Outcome::Passed {
            if known.trouble == seen.outcome {
                flags |= SAME_TROUBLE;
            } else {
                known.trouble = seen.outcome.clone();
                trouble = Some(json(&seen.outcome));
                flags |= NEW_TROUBLE;
            }
        }
        if !known.rest.is_of(seen) {
            known.rest = Rest::of(seen);
            rest = Some(json(&known.rest));
            flags |= NEW_REST;
        }
        let trouble = trouble.map(|text| self.word(&text));
        let rest = rest.map(|text| self.word(&text));
        let (purpose, number) = match seen.purpose {
            Purpose::Scheduled => (0, None),
            Purpose::Confirm(number) => (1, Some(number)),
            Purpose::Witness => (2, None),
            Purpose::Manual => (3, Some(MANUAL)),
            Purpose::Tripwire => (3, Some(TRIPWIRE)),
        };
        self.tag(flags | purpose << PURPOSE_SHIFT, now);
        let bytes = &mut self.bytes;
        bytes.extend(number);
        put(bytes, u64::from(seen.watch.0));
        if flags & NEW_EPOCH != 0 {
            put(bytes, seen.epoch.0);
        }
        put_step(bytes, nanos(now.moment), nanos(seen.finished));
        put_step(bytes, nanos(seen.finished), nanos(seen.started));
        phases(bytes, &seen.phases);
        trouble.into_iter().chain(rest).for_each(|word| put(bytes, word));
    }

    fn turned(&mut self, turn: &Turn) {
        let Turn { name, zone, from, to, reason, evidence, generation, serial, ttl, stages } = turn;
        let from = from.as_ref().map_or_else(String::new, json);
        let texts = [name.to_host(), zone.to_host(), from, json(to), json(reason), json(evidence)];
        let words = texts.map(|text| self.word(&text));
        self.bytes.push(TURNED);
        let numbers = [generation.0, u64::from(serial.0), u64::from(*ttl), stages.publish_us];
        let confirm = stages.confirm_ms.map_or(0, |confirm| confirm.saturating_add(1));
        words.into_iter().chain(numbers).chain([confirm]).for_each(|number| put(&mut self.bytes, number));
    }
}

/// Which phases there are, and how many microseconds each took.
fn phases(bytes: &mut Vec<u8>, phases: &Phases) {
    let Phases { resolve, connect, tls, first_byte, body, answer } = phases;
    let all = [resolve, connect, tls, first_byte, body, answer];
    bytes.push((0..).zip(all).map(|(bit, phase)| u8::from(phase.is_some()) << bit).sum());
    for phase in all.into_iter().flatten() {
        put(bytes, u64::try_from(phase.as_micros()).unwrap_or(u64::MAX));
    }
}

/// Our own types are all JSON.
fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
