//! Signed queries (RFC 8945): we have no keys, and say so.

use crate::dns::Class;
use crate::dns::message::{RecordView, record, skip_name};
use crate::dns::name::wire_length;
use crate::time::Wall;

/// The error of a key that is not known (RFC 8945 §5.2.1).
const BADKEY: u16 = 17;
/// TSIG's type, class ANY and a TTL of 0 (RFC 8945 §4.2).
const HEAD: [u8; 8] = [0, 250, 0, 255, 0, 0, 0, 0];
/// RDATA behind the algorithm: time signed, fudge, no MAC, original id, error, no other data.
const TAIL: usize = 6 + 5 * 2;

/// The TSIG of a query.
pub(super) struct Signature<'q> {
    /// `None` if the name is compressed, which nobody does.
    owner: Option<&'q [u8]>,
    algorithm: Option<&'q [u8]>,
    fudge: [u8; 2],
    id: [u8; 2],
}

impl<'q> Signature<'q> {
    /// `None` if it is not laid out as RFC 8945 §4.2 has it.
    pub(super) fn read(query: &'q [u8], view: &RecordView) -> Option<Self> {
        let owner = query.get(view.owner..skip_name(query, view.owner)?)?;
        let algorithm_end = skip_name(query, view.rdata.start)?;
        let algorithm = query.get(view.rdata.start..algorithm_end)?;
        let (&[.., f0, f1, m0, m1], rest) = query.get(algorithm_end..view.rdata.end)?.split_first_chunk::<10>()?;
        let rest = rest.get(usize::from(u16::from_be_bytes([m0, m1]))..)?;
        let (&[i0, i1, _, _, o0, o1], other) = rest.split_first_chunk()?;
        let is_whole = view.class == Class::ANY && other.len() == usize::from(u16::from_be_bytes([o0, o1]));
        is_whole.then(|| Self {
            owner: uncompressed(owner),
            algorithm: uncompressed(algorithm),
            fudge: [f0, f1],
            id: [i0, i1],
        })
    }

    /// The TSIG that tells the client so: without a MAC (RFC 8945 §5.3.2).
    fn refused(&self, now: Wall) -> Option<Refused<'q>> {
        let (owner, algorithm) = (self.owner?, self.algorithm?);
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

/// What is to be said of the TSIG that begins at `at` in a query.
pub(super) fn refused(query: &[u8], at: u16, now: Wall) -> Option<Refused<'_>> {
    let view = record(query, at.into())?;
    Signature::read(query, &view)?.refused(now)
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
fn uncompressed(name: &[u8]) -> Option<&[u8]> {
    (wire_length(name) == Ok(name.len())).then_some(name)
}
