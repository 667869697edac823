//! Bytes to steps. What was written comes back; anything else is refused, and ends the reading.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::control::journal::{Stages, Turn};
use crate::dns::{Name, Serial};
use crate::probe::{Epoch, Observation, Outcome, Phases, Purpose, WatchId};
use crate::record::bytes::Bytes;
use crate::record::memory::{Clock, Known, Watches, moment, nanos, now};
use crate::record::step::{Began, Happened, Step};
use crate::record::write::{
    BEGAN, COMMITTED, ELAPSED, MANUAL, NEW_EPOCH, NEW_REST, NEW_TROUBLE, OBSERVED, PUBLISHED, PURPOSE, PURPOSE_SHIFT,
    RARE, RELOADED, SAME_TROUBLE, SERVED, STARTED, STOPPED, TRIPWIRE, TURNED, WALL, WORD,
};
use crate::snapshot::Generation;
use crate::time::Now;

/// Reads the chunks of a segment.
#[derive(Debug, Default)]
pub struct Reader {
    clock: Clock,
    watches: Watches,
    words: Vec<Arc<str>>,
    committed: u64,
    last: Now,
}

/// These bytes are none that a [`Writer`](super::Writer) of this version writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record cannot be understood from here on (is it of a newer failoverd?)")
    }
}

impl Reader {
    /// Gives `take` every step of a chunk.
    ///
    /// # Errors
    /// At the first that cannot be understood; those before it were taken.
    pub fn read(&mut self, chunk: &[u8], take: &mut dyn FnMut(Step)) -> Result<(), Unreadable> {
        let mut bytes = Bytes(chunk);
        while !bytes.is_empty() {
            if let Some(step) = self.step(&mut bytes).ok_or(Unreadable)? {
                take(step);
            }
        }
        Ok(())
    }

    /// The next step; `Some(None)` if it was a word.
    fn step(&mut self, bytes: &mut Bytes<'_>) -> Option<Option<Step>> {
        let tag = bytes.byte()?;
        if tag & OBSERVED != 0 {
            let now = self.now(tag, bytes)?;
            return Some(Some(Step::Happened(Happened::Observed(self.observed(tag, now, bytes)?), now)));
        }
        let step = match tag & !WALL {
            WORD => {
                self.words.push(bytes.text()?.into());
                return Some(None);
            }
            BEGAN => {
                let began: Began = json(bytes.text()?)?;
                *self = Self::default();
                self.clock.learn(nanos(began.now.moment), began.now.wall.millis());
                Step::Began(Box::new(began))
            }
            ELAPSED => Step::Happened(Happened::Elapsed, self.now(tag, bytes)?),
            COMMITTED => {
                let now = self.now(tag, bytes)?;
                self.committed = bytes.step(self.committed)?;
                Step::Happened(Happened::Committed { sequence: self.committed }, now)
            }
            RARE => {
                let now = self.now(tag, bytes)?;
                Step::Happened(json(bytes.text()?)?, now)
            }
            RELOADED => {
                let now = self.now(tag, bytes)?;
                Step::Happened(json(self.word(bytes)?)?, now)
            }
            PUBLISHED => Step::Published { now: self.now(tag, bytes)?, served: None },
            SERVED => {
                let now = self.now(tag, bytes)?;
                let served = bytes.step(self.clock.moment)?;
                let wall = bytes.step(self.clock.expect(served) as u64)? as i64;
                Step::Published { now, served: Some(self::now(served, wall)) }
            }
            TURNED => Step::Turned { at: self.last.wall, turn: Box::new(self.turned(bytes)?) },
            STARTED => {
                let now = self.now(tag, bytes)?;
                Step::Started { version: bytes.text()?.to_owned(), now }
            }
            STOPPED => Step::Stopped { now: self.now(tag, bytes)? },
            _ => return None,
        };
        Some(Some(step))
    }

    fn now(&mut self, tag: u8, bytes: &mut Bytes<'_>) -> Option<Now> {
        let moment = bytes.step(self.clock.moment)?;
        let mut wall = self.clock.expect(moment);
        if tag & WALL != 0 {
            wall = bytes.step(wall as u64)? as i64;
        }
        self.clock.learn(moment, wall);
        self.last = now(moment, wall);
        Some(self.last)
    }

    fn word(&self, bytes: &mut Bytes<'_>) -> Option<&Arc<str>> {
        self.words.get(usize::try_from(bytes.number()?).ok()?)
    }

    fn observed(&mut self, tag: u8, now: Now, bytes: &mut Bytes<'_>) -> Option<Observation> {
        let purpose = match (tag & PURPOSE) >> PURPOSE_SHIFT {
            0 => Purpose::Scheduled,
            1 => Purpose::Confirm(bytes.byte()?),
            2 => Purpose::Witness,
            _ => match bytes.byte()? {
                MANUAL => Purpose::Manual,
                TRIPWIRE => Purpose::Tripwire,
                _ => return None,
            },
        };
        let watch = WatchId(u32::try_from(bytes.number()?).ok()?);
        let epoch = if tag & NEW_EPOCH != 0 { Some(bytes.number()?) } else { None };
        let finished = bytes.step(nanos(now.moment))?;
        let started = bytes.step(finished)?;
        let phases = phases(bytes)?;
        let trouble: Option<Outcome> = if tag & NEW_TROUBLE != 0 { Some(json(self.word(bytes)?)?) } else { None };
        let rest = if tag & NEW_REST != 0 { Some(json(self.word(bytes)?)?) } else { None };
        let mut spare = Known::default();
        let known = self.watches.of(watch, &mut spare);
        known.epoch = epoch.map_or(known.epoch, Epoch);
        if let Some(rest) = rest {
            known.rest = rest;
        }
        let fails = tag & (NEW_TROUBLE | SAME_TROUBLE) != 0;
        if let Some(trouble) = trouble {
            known.trouble = trouble;
        }
        let mut seen = Observation {
            watch,
            epoch: known.epoch,
            purpose,
            started: moment(started),
            finished: moment(finished),
            outcome: if fails { known.trouble.clone() } else { Outcome::Passed },
            address: None,
            phases,
            warnings: Vec::new(),
            certificate: None,
            status: None,
            detail: None,
        };
        known.rest.put_into(&mut seen);
        Some(seen)
    }

    fn turned(&self, bytes: &mut Bytes<'_>) -> Option<Turn> {
        let name = Name::absolute(self.word(bytes)?).ok()?;
        let zone = Name::absolute(self.word(bytes)?).ok()?;
        let from = match &**self.word(bytes)? {
            "" => None,
            from => Some(json(from)?),
        };
        Some(Turn {
            name,
            zone,
            from,
            to: json(self.word(bytes)?)?,
            reason: json(self.word(bytes)?)?,
            evidence: json(self.word(bytes)?)?,
            generation: Generation(bytes.number()?),
            serial: Serial(u32::try_from(bytes.number()?).ok()?),
            ttl: u32::try_from(bytes.number()?).ok()?,
            stages: Stages { publish_us: bytes.number()?, confirm_ms: bytes.number()?.checked_sub(1) },
        })
    }
}

fn phases(bytes: &mut Bytes<'_>) -> Option<Phases> {
    let mut phases = Phases::default();
    let Phases { resolve, connect, tls, first_byte, body, answer } = &mut phases;
    let there = bytes.byte()?;
    for (bit, phase) in (0..).zip([resolve, connect, tls, first_byte, body, answer]) {
        if there & (1 << bit) != 0 {
            *phase = Some(Duration::from_micros(bytes.number()?));
        }
    }
    Some(phases)
}

fn json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
