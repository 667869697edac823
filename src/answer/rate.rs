//! Rate: what one prefix of clients gets of one kind of response is bounded.
//!
//! So queries with a forged address turn into no flood at its owner.
//!
//! Each (prefix, class, name) has a bucket, as in BIND, Knot and NSD. Positive answers are counted by the name that
//! gives them, negative ones by zone and errors alone: random names below one zone, wildcard, DNAME or cut share a
//! bucket, and whoever floods cannot make more buckets than there are names.
//!
//! A bucket is one number: until when its key is busy if each response granted takes `1 / rate`. A response is granted
//! while that is less than `rate` responses ahead. So in any `t` seconds at most `rate × (t + 1)` are granted, and who
//! asks for less is never limited. Limited responses cost the client nothing more: as soon as the flood ends, it is
//! answered.
//!
//! Workers share nothing. The kernel spreads the sockets of a prefix over the workers of a listen address, so each
//! grants its share of the rate: together `rate × (t + workers)`. The burst is not divided, so that a short one is whole
//! wherever it arrives. A single socket that asks the same without pause gets one worker's share; resolvers draw a port
//! for each query.
//!
//! Memory is bounded: [`LINES`] lines of four buckets. A key has one line, where one that is not busy gives way to it,
//! else the least busy one: an overfull table forgets and grants, it never limits one client for another. At `rate` a
//! bucket is busy for `1 / rate` per response, so that 65,536 are enough for 13 million responses per second at 200, and
//! for 65,536 at 1. Two keys are taken for one if they share line and tag: one pair in 2⁴⁶, and which is unknown to those
//! who do not know the key of the hash.

use std::fmt;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::answer::Client;
use crate::answer::desk::Desk;
use crate::answer::query::Ask;
use crate::answer::reply::{Section, Writer};
use crate::config::RateLimit;
use crate::dns::message::Rcode;
use crate::time::Moment;
use crate::zone::table::hash_folded;

/// Kinds of responses that are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Answer,
    Referral,
    Nodata,
    Nxdomain,
    Error,
}

impl Class {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 5] = [Self::Answer, Self::Referral, Self::Nodata, Self::Nxdomain, Self::Error];

    /// As metrics have it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Referral => "referral",
            Self::Nodata => "nodata",
            Self::Nxdomain => "nxdomain",
            Self::Error => "error",
        }
    }

    /// The class of a reply that is written but for its OPT.
    fn of(reply: &Writer<'_>) -> Self {
        match reply.rcode {
            Rcode::NXDOMAIN => Self::Nxdomain,
            // A DNAME whose synthesis overflows is an answer.
            Rcode::NOERROR | Rcode::YXDOMAIN if reply.has(Section::Answer) => Self::Answer,
            // A cut so large that its NS do not fit is one still.
            Rcode::NOERROR if !reply.is_authoritative && (reply.has(Section::Authority) || reply.is_truncated) => {
                Self::Referral
            }
            Rcode::NOERROR if reply.is_truncated => Self::Answer,
            Rcode::NOERROR if reply.is_authoritative => Self::Nodata,
            _ => Self::Error,
        }
    }
}

/// What gave an answer, as places in the question's name.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Imputed {
    /// Where the name begins that gave it: the question's own, that of the cut or DNAME above it, or what a wildcard
    /// stands below.
    pub(super) name: usize,
    /// Where the apex of its zone begins.
    pub(super) zone: usize,
    pub(super) is_wildcard: bool,
}

impl Imputed {
    /// What `class` counts by.
    fn hash(self, class: Class, ask: &Ask) -> u64 {
        let from = |front| hash_folded(ask.name().get(front..).unwrap_or_default());
        match class {
            Class::Answer if self.is_wildcard => !from(self.name),
            Class::Answer | Class::Referral => from(self.name),
            Class::Nodata | Class::Nxdomain => from(self.zone),
            Class::Error => 0,
        }
    }
}

/// What a response is let do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    Whole,
    /// Goes out truncated.
    Slip,
    Nothing,
}

/// What `reply`, which goes to a client whose address nothing proves, is let do; counted.
pub(super) fn grant(limit: &RateLimit, ask: &Ask, client: &Client, reply: &Writer<'_>, at: &mut Desk) -> Grant {
    let ip = client.address.ip().to_canonical();
    if limit.exempt.iter().any(|prefix| prefix.contains(&ip)) {
        return Grant::Whole;
    }
    let class = Class::of(reply);
    let name = reply.imputed.hash(class, ask);
    let granted = at.limiter.grant(limit, ip, class, name, at.now.moment);
    match granted {
        Grant::Whole => {}
        Grant::Slip => at.tally.slipped[class as usize] += 1,
        Grant::Nothing => at.tally.limited[class as usize] += 1,
    }
    granted
}

/// Lines of buckets: a power of two. With 64 bytes each they take 1 MiB.
const LINES: usize = 16 * 1024;

/// The buckets of one answering thread. They take memory from the first response on that is to be limited.
#[derive(Clone)]
pub struct Limiter {
    key: [u64; 2],
    workers: u32,
    lines: Vec<Line>,
}

/// One cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line([Bucket; 4]);

#[derive(Clone, Copy, Default)]
struct Bucket {
    tag: u32,
    /// Responses that were not granted, wrapping.
    suppressed: u32,
    /// Nanoseconds since boot. In the past: as good as empty.
    busy_until: u64,
}

impl Limiter {
    /// One of `workers` that share a listen address. Whoever does not know `key` cannot tell which clients collide.
    pub fn new(key: [u64; 2], workers: u32) -> Self {
        Self { key, workers: workers.max(1), lines: Vec::new() }
    }

    fn grant(&mut self, limit: &RateLimit, ip: IpAddr, class: Class, name: u64, now: Moment) -> Grant {
        if self.lines.is_empty() {
            self.lines = vec![Line::default(); LINES];
        }
        let [high, low] = prefix(ip, limit);
        let hash = siphash(self.key, [high, low, name, class as u64]);
        let line = &mut self.lines[hash as usize % LINES];
        let bucket = line.bucket((hash >> 32) as u32);
        // Rounded up: the rate is never exceeded. At most 256 × 10⁹.
        let step = (u64::from(self.workers) * 1_000_000_000).div_ceil(u64::from(limit.responses_per_second.max(1)));
        let now = u64::try_from(now.since_boot().as_nanos()).unwrap_or(u64::MAX);
        let ahead = bucket.busy_until.saturating_sub(now);
        if ahead <= step * u64::from(limit.responses_per_second.saturating_sub(1)) {
            bucket.busy_until = bucket.busy_until.max(now).saturating_add(step);
            return Grant::Whole;
        }
        bucket.suppressed = bucket.suppressed.wrapping_add(1);
        match limit.slip {
            0 => Grant::Nothing,
            slip if bucket.suppressed.is_multiple_of(slip) => Grant::Slip,
            _ => Grant::Nothing,
        }
    }
}

/// Without its buckets.
impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Line {
    /// The bucket of `tag`. It takes the place of the one that is busy for the shortest time, if it has none.
    fn bucket(&mut self, tag: u32) -> &mut Bucket {
        let of_tag = self.0.iter().position(|bucket| bucket.tag == tag);
        let place = of_tag.unwrap_or_else(|| {
            let least = (0..self.0.len()).min_by_key(|&place| self.0[place].busy_until).unwrap_or(0);
            self.0[least] = Bucket { tag, ..Bucket::default() };
            least
        });
        &mut self.0[place]
    }
}

/// The bits of `ip` that count, as one IPv6 address.
fn prefix(ip: IpAddr, limit: &RateLimit) -> [u64; 2] {
    let (whole, ignored) = match ip {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped().to_bits(), 32_u32.saturating_sub(limit.ipv4_prefix.into())),
        IpAddr::V6(ip) => (ip.to_bits(), 128_u32.saturating_sub(limit.ipv6_prefix.into())),
    };
    let kept = whole & u128::MAX.checked_shl(ignored).unwrap_or(0);
    [(kept >> 64) as u64, kept as u64]
}

/// SipHash-1-3 of four words: who does not know the key cannot find words that collide.
fn siphash([high, low]: [u64; 2], words: [u64; 4]) -> u64 {
    SipHasher13::new_with_keys(high, low).hash(words.map(u64::to_le_bytes).as_flattened())
}

#[cfg(test)]
mod tests;
