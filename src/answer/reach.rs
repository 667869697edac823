//! Reach: the memory that answers will read, asked for before the first of them is written.
//!
//! A table of a million names is not in the cache, and a lookup in it waits for two lines, one after the other: that of
//! the bucket, and that of the node. So the lookups of many queries are made side by side, a step at a time: no load of
//! a step depends on another one of the same step, and the processor makes them all at once. What an answer may read
//! next, as the target of an alias, is left to it: to find that out ahead costs more than it saves.

use std::hint::black_box;

use crate::answer::Ask;
use crate::snapshot::Snapshot;
use crate::zone::table::Bucket;

/// Tables of fewer names, which take about 512 KiB, are in the cache anyway.
const REACH_FROM: usize = 10_000;
/// Queries that are reached for at once: more than a processor has loads under way.
const AT_ONCE: usize = 32;

/// Touches the memory that answers to these queries will read. Changes nothing.
#[inline]
pub fn reach(from: &Snapshot, asks: &[Ask]) {
    if from.zones.largest() >= REACH_FROM {
        asks.chunks(AT_ONCE).for_each(|asks| reach_far(from, asks));
    }
}

fn reach_far(from: &Snapshot, asks: &[Ask]) {
    let mut buckets = [None; AT_ONCE];
    for (bucket, ask) in buckets.iter_mut().zip(asks) {
        *bucket = from.zones.find(ask.name()).and_then(|(zone, _)| zone.table.bucket(ask.hash));
    }
    black_box(buckets.iter().flatten().fold(0, |sum, bucket| sum ^ bucket.touch()));
    // Found out first, so that little stands between one load of what follows and the next.
    let places = buckets.map(|bucket| bucket.as_ref().and_then(Bucket::place));
    black_box(places.iter().flatten().fold(0, |sum, place| sum ^ place.touch()));
}
