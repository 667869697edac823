//! Signed queries (RFC 8945): we have no keys, and say so.

use std::ops::Range;

use crate::dns::Class;
use crate::dns::message::{RecordView, skip_name};
use crate::time::Wall;

/// The error of a key that is not known (RFC 8945 §5.2.1).
const BADKEY: u16 = 17;
/// TSIG's type, class ANY and a TTL of 0 (RFC 8945 §4.2).
const HEAD: [u8; 8] = [0, 250, 0, 255, 0, 0, 0, 0];
/// RDATA behind the algorithm: time signed, fudge, no MAC, original id, error, no other data.
const TAIL: usize = 6 + 5 * 2;

/// Where a query's TSIG stands in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    owner: Range<usize>,
    algorithm: Range<usize>,
    fudge: [u8; 2],
    id: [u8; 2],
}

impl Signature {
    /// `None` if it is not laid out as RFC 8945 §4.2 has it.
    pub(super) fn read(query: &[u8], record: &RecordView) -> Option<Self> {
        let start = record.rdata.start;
        let algorithm = start..skip_name(query, start).filter(|_| record.class == Class::ANY)?;
        let (&[.., f0, f1, m0, m1], rest) = query.get(algorithm.end..record.rdata.end)?.split_first_chunk::<10>()?;
        let rest = rest.get(usize::from(u16::from_be_bytes([m0, m1]))..)?;
        let (&[i0, i1, _, _, o0, o1], other) = rest.split_first_chunk()?;
        let owner = record.owner..skip_name(query, record.owner)?;
        (other.len() == usize::from(u16::from_be_bytes([o0, o1]))).then_some(Self {
            owner,
            algorithm,
            fudge: [f0, f1],
            id: [i0, i1],
        })
    }

    /// The parts of the TSIG that tells the client so: without a MAC (RFC 8945 §5.3.2). `None` for names that were
    /// compressed, which nobody does.
    pub(super) fn refused<'q>(&self, query: &'q [u8], now: Wall) -> Option<Refused<'q>> {
        let [owner, algorithm] = [&self.owner, &self.algorithm].map(|place| whole_name(query.get(place.clone())?));
        let (owner, algorithm) = (owner?, algorithm?);
        let length = (algorithm.len() + TAIL) as u16;
        let mut tail = [0; TAIL];
        // 48 bits of seconds since 1970.
        tail[..6].copy_from_slice(&now.seconds().to_be_bytes()[2..]);
        tail[6..8].copy_from_slice(&self.fudge);
        tail[10..12].copy_from_slice(&self.id);
        tail[12..14].copy_from_slice(&BADKEY.to_be_bytes());
        Some(Refused { owner, head: HEAD, length: length.to_be_bytes(), algorithm, tail })
    }
}

/// A TSIG record.
#[derive(Clone, Copy)]
pub(super) struct Refused<'q> {
    owner: &'q [u8],
    head: [u8; 8],
    length: [u8; 2],
    algorithm: &'q [u8],
    tail: [u8; TAIL],
}

impl Refused<'_> {
    /// Its bytes, in order.
    pub(super) fn parts(&self) -> [&[u8]; 5] {
        [self.owner, &self.head, &self.length, self.algorithm, &self.tail]
    }
}

/// The name, if no pointer is in it.
fn whole_name(name: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match usize::from(*name.get(at)?) {
            0 => return (at + 1 == name.len()).then_some(name),
            label @ 1..=63 => at += label + 1,
            _ => return None,
        }
    }
}
