//! What one answering thread owns: a plain value, so that a test builds one from a seed.

use bytemuck::{Pod, Zeroable};

use crate::answer::cookie::Proof;
use crate::answer::rate::{Class, Limiter};
use crate::answer::{Ask, Transport};
use crate::dns::message::Rcode;
use crate::time::Now;

/// Clock, dice, buckets and counters of one answering thread.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Set once per batch.
    pub now: Now,
    pub draw: Draw,
    pub limiter: Limiter,
    pub tally: Tally,
}

impl Desk {
    /// Its draws follow from `seed` alone.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let limiter = Limiter::new([draw.number(), draw.number()], 1);
        Self { now: Now::default(), draw: Draw(seed), limiter, tally: Tally::default() }
    }
}

/// Numbers that look random and follow from a seed (SplitMix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, any of 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// What was asked and answered, counted since the start. All of it counters, so that it can be read as a row of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable, Debug)]
#[repr(C)]
pub struct Tally {
    pub udp: u64,
    pub tcp: u64,
    pub tls: u64,
    pub https: u64,
    pub quic: u64,
    /// Messages with an OPT.
    pub edns: u64,
    /// Cookies of clients alone, those that prove an address, and those that do not.
    pub cookies_new: u64,
    pub cookies_right: u64,
    pub cookies_wrong: u64,
    /// Messages that got no reply: replies themselves, under 12 bytes, or about a silent name.
    pub dropped: u64,
    /// Replies with TC.
    pub truncated: u64,
    /// Replies not sent, and replies sent without records, to keep to the rate limit; by [`Class`].
    pub(super) limited: [u64; Class::ALL.len()],
    pub(super) slipped: [u64; Class::ALL.len()],
    /// Bytes of messages received and sent, without those of the transport.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Replies by rcode, in the order of [`RCODES`]; the last counts all others.
    rcodes: [u64; RCODES.len() + 1],
}

/// The rcodes that are counted apart.
const RCODES: [Rcode; 9] = [
    Rcode::NOERROR,
    Rcode::NXDOMAIN,
    Rcode::REFUSED,
    Rcode::FORMERR,
    Rcode::NOTIMP,
    Rcode::YXDOMAIN,
    Rcode::BADVERS,
    Rcode::NOTAUTH,
    Rcode::BADCOOKIE,
];

impl Tally {
    pub(super) fn asked(&mut self, ask: &Ask, bytes: usize, transport: Transport) {
        match transport {
            Transport::Udp => self.udp += 1,
            Transport::Tcp => self.tcp += 1,
            Transport::Tls => self.tls += 1,
            Transport::Https => self.https += 1,
            Transport::Quic => self.quic += 1,
        }
        self.edns += u64::from(ask.opt.is_some());
        self.bytes_in += bytes as u64;
    }

    pub(super) fn proved(&mut self, ask: &Ask, proof: Proof) {
        match proof {
            Proof::None => self.cookies_new += u64::from(ask.options.cookie.is_some()),
            Proof::Right { .. } => self.cookies_right += 1,
            Proof::Wrong => self.cookies_wrong += 1,
        }
    }

    pub(super) fn replied(&mut self, rcode: Rcode, truncated: bool, bytes: usize) {
        let index = RCODES.iter().position(|&known| known == rcode).unwrap_or(RCODES.len());
        self.rcodes[index] += 1;
        self.truncated += u64::from(truncated);
        self.bytes_out += bytes as u64;
    }

    /// Replies with this rcode, of those counted apart.
    pub fn replies(&self, rcode: Rcode) -> u64 {
        RCODES.iter().position(|&known| known == rcode).map_or(0, |index| self.rcodes[index])
    }

    /// Adds the counters of another thread.
    pub fn add(&mut self, other: &Self) {
        let Self {
            udp,
            tcp,
            tls,
            https,
            quic,
            edns,
            cookies_new,
            cookies_right,
            cookies_wrong,
            dropped,
            truncated,
            limited,
            slipped,
            bytes_in,
            bytes_out,
            rcodes,
        } = other;
        self.udp += udp;
        self.tcp += tcp;
        self.tls += tls;
        self.https += https;
        self.quic += quic;
        self.edns += edns;
        self.cookies_new += cookies_new;
        self.cookies_right += cookies_right;
        self.cookies_wrong += cookies_wrong;
        self.dropped += dropped;
        self.truncated += truncated;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
        self.limited.iter_mut().zip(limited).for_each(|(sum, one)| *sum += one);
        self.slipped.iter_mut().zip(slipped).for_each(|(sum, one)| *sum += one);
        self.rcodes.iter_mut().zip(rcodes).for_each(|(sum, one)| *sum += one);
    }

    /// Every counter: what is counted, the value of its label (empty if it has none), and how many.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let fixed = [
            ("queries", "udp", self.udp),
            ("queries", "tcp", self.tcp),
            ("queries", "tls", self.tls),
            ("queries", "https", self.https),
            ("queries", "quic", self.quic),
            ("queries_edns", "", self.edns),
            ("queries_cookie", "new", self.cookies_new),
            ("queries_cookie", "right", self.cookies_right),
            ("queries_cookie", "wrong", self.cookies_wrong),
            ("queries_dropped", "", self.dropped),
            ("replies_truncated", "", self.truncated),
            ("query_bytes", "", self.bytes_in),
            ("reply_bytes", "", self.bytes_out),
        ];
        let words = RCODES.map(Rcode::word).into_iter().chain(["other"]);
        let by_class = |what, counts| {
            Class::ALL.into_iter().zip(counts).map(move |(class, count): (Class, u64)| (what, class.word(), count))
        };
        fixed
            .into_iter()
            .chain(by_class("replies_limited", self.limited))
            .chain(by_class("replies_slipped", self.slipped))
            .chain(words.zip(self.rcodes).map(|(word, count)| ("replies", word, count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_row_by_row() {
        let mut one = Tally {
            udp: 1,
            tcp: 2,
            edns: 3,
            cookies_right: 8,
            dropped: 4,
            truncated: 5,
            bytes_in: 6,
            bytes_out: 7,
            ..Tally::default()
        };
        one.replied(Rcode::REFUSED, true, 3);
        one.replied(Rcode(24), false, 0);
        (one.limited[3], one.slipped[4]) = (8, 9);
        let mut sum = one;
        sum.add(&one);
        for (single, double) in one.rows().zip(sum.rows()) {
            assert_eq!((double.0, double.1, double.2), (single.0, single.1, 2 * single.2));
        }
        assert_eq!(sum.replies(Rcode::REFUSED), 2);
        assert_eq!(sum.rows().find(|row| (row.0, row.1) == ("replies", "other")), Some(("replies", "other", 2)));
    }

    #[test]
    fn draws_follow_from_the_seed() {
        let draw = |seed| Desk::new(seed).draw.number();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
