//! Fetching: the memory of lookups to come, asked for ahead and side by side.
//!
//! A table of a million names is not in the cache, and a lookup in it waits for two lines, one after the other: that of
//! the bucket, and that of the node. So the lookups of many names are made together, a step at a time: no load of a step
//! depends on another one of the same step, and the processor makes them all at once.

use std::hint::black_box;

use crate::zone::table::Table;
use crate::zone::table::shard::Shard;

/// Names that are fetched at once: more than a processor has loads under way.
const AT_ONCE: usize = 32;

/// Where a name would be found.
#[derive(Clone, Copy)]
pub struct Bucket<'t> {
    shard: &'t Shard,
    hash: u64,
}

impl Table {
    /// Where the name of this hash would be found.
    #[inline]
    pub fn bucket(&self, hash: u64) -> Option<Bucket<'_>> {
        Some(Bucket { shard: self.shard(hash)?, hash })
    }
}

/// Touches the memory that finding these names will read. Changes nothing.
#[inline]
pub fn fetch<'t>(buckets: impl IntoIterator<Item = Bucket<'t>>) {
    let mut buckets = buckets.into_iter().fuse();
    loop {
        let step: [Option<Bucket<'_>>; AT_ONCE] = std::array::from_fn(|_| buckets.next());
        black_box(step.iter().flatten().fold(0, |sum, bucket| sum ^ bucket.shard.touch_bucket(bucket.hash)));
        // Found out first, so that little stands between one load of what follows and the next.
        let nodes =
            step.map(|bucket| bucket.and_then(|bucket| Some((bucket.shard, bucket.shard.node_at(bucket.hash)?))));
        black_box(nodes.iter().flatten().fold(0, |sum, (shard, at)| sum ^ shard.touch_node(*at)));
        if step[AT_ONCE - 1].is_none() {
            return;
        }
    }
}
