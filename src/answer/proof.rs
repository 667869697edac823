//! Proofs that something is not there: NSEC (RFC 4035 §3.1.3) and NSEC3 (RFC 5155 §7.2), for names, types, wildcards
//! and delegations.
//!
//! Proofs are gathered while the answer is written, as an alias may pass through several wildcards, and follow it into
//! the authority section, none of them twice.

use crate::answer::reply::{Full, Section, Writer};
use crate::answer::resolve::{ALIASES_MAX, Sought};
use crate::dns::Type;
use crate::dns::name::NAME_MAX;
use crate::zone::table::{Denial, Hashes, Names, Node, Table};

/// What is to be proven of the name that is looked for. Its *encloser* is the closest one, given as the number of bytes
/// that stand before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// Neither the name nor a wildcard for it exists (RFC 4035 §3.1.3.2, RFC 5155 §7.2.2).
    NoName { encloser: usize },
    /// The name that stands `front` bytes into it exists, and the type does not: as of NODATA (RFC 4035 §3.1.3.1,
    /// RFC 5155 §7.2.3 and §7.2.4) and of delegations without DS (RFC 4035 §3.1.4, RFC 5155 §7.2.7).
    NoType { front: usize },
    /// A wildcard answers, as nothing closer exists (RFC 4035 §3.1.3.3, RFC 5155 §7.2.6).
    Expanded { encloser: usize },
    /// The same, and the wildcard does not have the type (RFC 4035 §3.1.3.4, RFC 5155 §7.2.5).
    NoTypeAtWildcard { encloser: usize },
}

/// One for each alias through a wildcard, and the three of a name error.
const PROOFS_MAX: usize = ALIASES_MAX + 1 + 3;

/// The owner of an NSEC or NSEC3.
#[derive(Clone, Copy)]
struct Proof<'s> {
    node: Node<'s>,
    rtype: Type,
    /// Bytes of its name before the part that stands in the message already, at `rest`.
    literal: usize,
    rest: usize,
}

/// What has been gathered.
pub(super) struct Proofs<'s> {
    list: [Option<Proof<'s>>; PROOFS_MAX],
    count: usize,
}

impl<'s> Proofs<'s> {
    pub(super) fn new() -> Self {
        Self { list: [None; PROOFS_MAX], count: 0 }
    }

    /// Gathers what proves `claim` of the name that is looked for in `table`.
    pub(super) fn gather(&mut self, claim: Claim, table: &'s Table, sought: &Sought<'_>) {
        let end = sought.name().len().saturating_sub(table.apex_wire().len());
        let mut asking = Asking { table, sought, end, into: self };
        match table.denial() {
            Some(Denial::Nsec(names)) => asking.nsec(names, claim),
            Some(Denial::Nsec3(hashes)) => asking.nsec3(hashes, claim),
            Some(Denial::Unproven) | None => {}
        }
    }

    /// Writes all of them, each with its signatures, behind what the authority section has.
    ///
    /// # Errors
    /// [`Full`]: without its proofs a reply is not whole.
    pub(super) fn put(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        for proof in self.list[..self.count].iter().flatten() {
            let mut name = [0; NAME_MAX];
            let name = proof.node.full_name(&mut name);
            if let Some(records) = proof.node.records(proof.rtype) {
                let signatures = proof.node.signatures(proof.rtype);
                out.put_new(Section::Authority, &records, signatures.as_ref(), name, proof.literal, proof.rest)?;
            }
        }
        Ok(())
    }
}

/// One claim being proven.
struct Asking<'a, 's> {
    table: &'s Table,
    sought: &'a Sought<'a>,
    /// Where the apex begins in the name that is looked for.
    end: usize,
    into: &'a mut Proofs<'s>,
}

impl<'s> Asking<'_, 's> {
    fn nsec(&mut self, names: &Names, claim: Claim) {
        match claim {
            // "An NSEC RR proving that there is no exact match", and "that the zone contains no RRsets that would match
            // via wildcard name expansion".
            Claim::NoName { encloser } => {
                self.nsec_at(names, 0);
                self.nsec_of_wildcard(names, encloser);
            }
            // That of the name; before an empty non-terminal, which has none, the one whose next name is below it.
            Claim::NoType { front } => self.nsec_at(names, front),
            Claim::Expanded { .. } => self.nsec_at(names, 0),
            Claim::NoTypeAtWildcard { encloser } => {
                self.nsec_of_wildcard(names, encloser);
                self.nsec_at(names, 0);
            }
        }
    }

    fn nsec_at(&mut self, names: &Names, front: usize) {
        let relative = self.sought.name().get(front..self.end).unwrap_or(&[]);
        self.add(names.covering(self.table, relative), Type::NSEC);
    }

    fn nsec_of_wildcard(&mut self, names: &Names, encloser: usize) {
        let mut name = [0; NAME_MAX];
        if let Some(wildcard) = wildcard_at(self.sought.name().get(encloser..self.end), &mut name) {
            self.add(names.covering(self.table, wildcard), Type::NSEC);
        }
    }

    fn nsec3(&mut self, hashes: &Hashes, claim: Claim) {
        match claim {
            Claim::NoName { encloser } => {
                let encloser = self.closest_encloser(hashes, encloser);
                let covering = self.wildcard_hash(hashes, encloser).and_then(|hash| hashes.covering(self.table, &hash));
                self.add(covering, Type::NSEC3);
            }
            // An insecure delegation in a span of opt-out has no NSEC3, nor has an empty non-terminal above such ones.
            Claim::NoType { front } => {
                let matching = hashes.matching(self.table, &self.hash_at(hashes, front));
                match matching {
                    Some(_) => self.add(matching, Type::NSEC3),
                    None => drop(self.closest_encloser(hashes, self.above(front))),
                }
            }
            Claim::Expanded { encloser } => self.next_closer(hashes, encloser),
            Claim::NoTypeAtWildcard { encloser } => {
                let encloser = self.closest_encloser(hashes, encloser);
                let matching = self.wildcard_hash(hashes, encloser).and_then(|hash| hashes.matching(self.table, &hash));
                self.add(matching, Type::NSEC3);
            }
        }
    }

    /// RFC 5155 §7.2.1: the NSEC3 that matches the closest provable encloser, which is `front` or above it where opt-out
    /// left that without one, and the NSEC3 that covers the name below it. Returns the encloser.
    fn closest_encloser(&mut self, hashes: &Hashes, front: usize) -> usize {
        let mut front = front.min(self.end);
        loop {
            let matching = hashes.matching(self.table, &self.hash_at(hashes, front));
            if matching.is_some() || front == self.end {
                self.add(matching, Type::NSEC3);
                self.next_closer(hashes, front);
                return front;
            }
            front = self.above(front);
        }
    }

    /// The NSEC3 that covers the name one label longer than the one at `encloser`.
    fn next_closer(&mut self, hashes: &Hashes, encloser: usize) {
        let (mut below, mut front) = (0, 0);
        while front < encloser.min(self.end) {
            (below, front) = (front, self.above(front));
        }
        self.add(hashes.covering(self.table, &self.hash_at(hashes, below)), Type::NSEC3);
    }

    /// Where the name above the one at `front` begins: the apex is the last.
    fn above(&self, front: usize) -> usize {
        let label = self.sought.name().get(front).map_or(0, |&label| usize::from(label));
        (front + 1 + label).min(self.end)
    }

    fn hash_at(&self, hashes: &Hashes, front: usize) -> [u8; crate::zone::table::HASH_LENGTH] {
        hashes.hash(self.sought.name().get(front..).unwrap_or(&[]))
    }

    fn wildcard_hash(&self, hashes: &Hashes, encloser: usize) -> Option<[u8; crate::zone::table::HASH_LENGTH]> {
        let mut name = [0; NAME_MAX];
        wildcard_at(self.sought.name().get(encloser..), &mut name).map(|wildcard| hashes.hash(wildcard))
    }

    fn add(&mut self, node: Option<Node<'s>>, rtype: Type) {
        let Some(node) = node else { return };
        let known = &self.into.list[..self.into.count];
        if known.iter().flatten().any(|proof| proof.node.is_same(&node)) {
            return;
        }
        let (literal, rest) = self.place(node.relative());
        if let Some(free) = self.into.list.get_mut(self.into.count) {
            *free = Some(Proof { node, rtype, literal, rest });
            self.into.count += 1;
        }
    }

    /// How much of a name has to be written: the longest suffix of it that is one of the name that is looked for stands
    /// in the message.
    fn place(&self, relative: &[u8]) -> (usize, usize) {
        let mut front = 0;
        // Both end in the apex: what is left to compare becomes shorter with each step, label by label.
        let mut here = 0;
        while front < relative.len() {
            let left = relative.len() - front;
            while self.end - here > left {
                here = self.above(here);
            }
            if self.sought.name().get(here..self.end) == relative.get(front..) {
                break;
            }
            front += 1 + usize::from(relative[front]);
        }
        let here = if front < relative.len() { here } else { self.end };
        (front, self.sought.suffix(here).at)
    }
}

/// `*` below `encloser`, which may lack the apex, written into `into`.
fn wildcard_at<'n>(encloser: Option<&[u8]>, into: &'n mut [u8; NAME_MAX]) -> Option<&'n [u8]> {
    let encloser = encloser?;
    let length = encloser.len() + 2;
    into.get_mut(2..length)?.copy_from_slice(encloser);
    into[..2].copy_from_slice(b"\x01*");
    Some(&into[..length])
}
