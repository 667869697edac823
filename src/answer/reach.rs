//! Reach: the memory that answers will read, asked for before the first of them is written. What an answer may read next,
//! as the target of an alias, is left to it: to find that out ahead costs more than it saves.

use crate::answer::Ask;
use crate::snapshot::Snapshot;
use crate::zone::table::fetch;

/// Tables of fewer names, which take about 512 KiB, are in the cache anyway.
const REACH_FROM: usize = 10_000;

/// Touches the memory that answers to these queries will read. Changes nothing.
#[inline]
pub fn reach(from: &Snapshot, asks: &[Ask]) {
    if from.zones.largest() >= REACH_FROM {
        let bucket = |ask: &Ask| from.zones.find(ask.name())?.0.table.bucket(ask.hash);
        fetch(asks.iter().filter_map(bucket));
    }
}
