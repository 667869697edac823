//! The zones of a snapshot, found by apex hash.

use std::sync::Arc;

use crate::dns::{Name, Serial};
use crate::zone::table::{Table, front_of_folded, hash_folded};

/// One version of one zone: what a transfer would send.
#[derive(Clone, Debug)]
pub struct ZoneVersion {
    /// As written in the configuration.
    pub apex: Name,
    pub serial: Serial,
    pub table: Table,
}

/// All zones. Cloning shares them; replacing one copies the directory, which is as small as the number of zones.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    /// Sorted by apex hash; equal hashes stand side by side.
    rows: Arc<[(u64, Arc<ZoneVersion>)]>,
    /// How many bytes the apexes have in wire form: only suffixes of such a length need be looked for.
    lengths: Lengths,
    /// Names of the largest zone, or what it had before it was replaced.
    largest: usize,
}

/// A set of lengths of names: bit `n % 64` of word `n / 64`.
#[derive(Clone, Copy, Default, Debug)]
struct Lengths([u64; 4]);

impl Lengths {
    fn add(&mut self, length: usize) {
        self.0[length / 64 % 4] |= 1 << (length % 64);
    }

    #[inline]
    fn has(self, length: usize) -> bool {
        self.0[length / 64 % 4] >> (length % 64) & 1 != 0
    }
}

impl Zones {
    /// The zone of exactly this apex, given as folded wire.
    #[inline]
    pub fn at(&self, apex: &[u8]) -> Option<&Arc<ZoneVersion>> {
        if let [(_, only)] = &self.rows[..] {
            return (only.table.apex_wire() == apex).then_some(only);
        }
        let hash = hash_folded(apex);
        let first = self.rows.partition_point(|&(row, _)| row < hash);
        let same = self.rows[first..].iter().take_while(|&&(row, _)| row == hash);
        same.map(|(_, zone)| zone).find(|zone| zone.table.apex_wire() == apex)
    }

    /// Names of the largest zone, or what it had before it was replaced.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// The deepest zone that holds `name`, given as folded wire, and how many bytes of it stand before the apex.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<(&Arc<ZoneVersion>, usize)> {
        if let [(_, only)] = &self.rows[..] {
            return front_of_folded(name, only.table.apex_wire()).map(|front| (only, front));
        }
        let mut front = 0;
        loop {
            let suffix = name.get(front..)?;
            if self.lengths.has(suffix.len())
                && let Some(zone) = self.at(suffix)
            {
                return Some((zone, front));
            }
            match usize::from(*suffix.first()?) {
                0 => return None,
                label => front += label + 1,
            }
        }
    }

    /// The same zones with that of the same apex replaced, or added.
    #[must_use]
    pub fn with(&self, zone: Arc<ZoneVersion>) -> Self {
        let (hash, names) = (hash_folded(zone.table.apex_wire()), zone.table.names());
        let first = self.rows.partition_point(|&(row, _)| row < hash);
        let known = |(row, old): &&(u64, Arc<ZoneVersion>)| *row == hash && old.apex == zone.apex;
        match self.rows.iter().skip(first).position(|row| known(&row)) {
            Some(after) => {
                let mut rows: Arc<[_]> = Arc::clone(&self.rows);
                if let Some(row) = Arc::make_mut(&mut rows).get_mut(first + after) {
                    row.1 = zone;
                }
                Self { rows, lengths: self.lengths, largest: self.largest.max(names) }
            }
            None => self.iter().cloned().chain([zone]).collect(),
        }
    }

    /// The zones that are not the same version in `before`, each with the one that is there instead.
    pub fn unshared<'z>(
        &'z self,
        before: &'z Self,
    ) -> impl Iterator<Item = (&'z Arc<ZoneVersion>, Option<&'z Arc<ZoneVersion>>)> {
        let same = |index: usize, zone| before.rows.get(index).is_some_and(|(_, old)| Arc::ptr_eq(old, zone));
        let rows = self.rows.iter().enumerate().filter(move |(index, (_, zone))| !same(*index, zone));
        rows.map(|(_, (_, zone))| (zone, before.at(zone.table.apex_wire())))
            .filter(|(zone, old)| old.is_none_or(|old| !Arc::ptr_eq(old, zone)))
    }

    /// All of them, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ZoneVersion>> {
        self.rows.iter().map(|(_, zone)| zone)
    }
}

impl FromIterator<Arc<ZoneVersion>> for Zones {
    fn from_iter<I: IntoIterator<Item = Arc<ZoneVersion>>>(zones: I) -> Self {
        let mut rows: Vec<_> = zones.into_iter().map(|zone| (hash_folded(zone.table.apex_wire()), zone)).collect();
        rows.sort_by_key(|&(hash, _)| hash);
        let mut lengths = Lengths::default();
        rows.iter().for_each(|(_, zone)| lengths.add(zone.table.apex_wire().len()));
        let largest = rows.iter().map(|(_, zone)| zone.table.names()).max().unwrap_or(0);
        Self { rows: rows.into(), lengths, largest }
    }
}
