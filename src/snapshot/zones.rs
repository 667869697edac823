//! The zones of a snapshot, found by apex hash.

use std::sync::Arc;

use crate::dns::{Name, Serial};
use crate::zone::table::{Table, hash_folded};

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
}

impl Zones {
    /// The zone of exactly this apex, given as folded wire.
    pub fn at(&self, apex: &[u8]) -> Option<&Arc<ZoneVersion>> {
        let hash = hash_folded(apex);
        let first = self.rows.partition_point(|&(row, _)| row < hash);
        let same = self.rows[first..].iter().take_while(|&&(row, _)| row == hash);
        same.map(|(_, zone)| zone).find(|zone| zone.apex.as_wire().eq_ignore_ascii_case(apex))
    }

    /// The deepest zone that holds `name`, given as folded wire, and how many bytes of it stand before the apex.
    pub fn find(&self, name: &[u8]) -> Option<(&Arc<ZoneVersion>, usize)> {
        let mut front = 0;
        loop {
            if let Some(zone) = self.at(&name[front..]) {
                return Some((zone, front));
            }
            match usize::from(*name.get(front)?) {
                0 => return None,
                label => front += label + 1,
            }
        }
    }

    /// The same zones with that of the same apex replaced, or added.
    #[must_use]
    pub fn with(&self, zone: Arc<ZoneVersion>) -> Self {
        let hash = hash_folded(zone.apex.folded().as_wire());
        let first = self.rows.partition_point(|&(row, _)| row < hash);
        let known = |(row, old): &&(u64, Arc<ZoneVersion>)| *row == hash && old.apex == zone.apex;
        match self.rows.iter().skip(first).position(|row| known(&row)) {
            Some(after) => {
                let mut rows: Arc<[_]> = Arc::clone(&self.rows);
                if let Some(row) = Arc::make_mut(&mut rows).get_mut(first + after) {
                    row.1 = zone;
                }
                Self { rows }
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
        rows.map(|(_, (_, zone))| (zone, before.at(zone.apex.folded().as_wire())))
            .filter(|(zone, old)| old.is_none_or(|old| !Arc::ptr_eq(old, zone)))
    }

    /// All of them, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ZoneVersion>> {
        self.rows.iter().map(|(_, zone)| zone)
    }
}

impl FromIterator<Arc<ZoneVersion>> for Zones {
    fn from_iter<I: IntoIterator<Item = Arc<ZoneVersion>>>(zones: I) -> Self {
        let mut rows: Vec<_> =
            zones.into_iter().map(|zone| (hash_folded(zone.apex.folded().as_wire()), zone)).collect();
        rows.sort_by_key(|&(hash, _)| hash);
        Self { rows: rows.into() }
    }
}
