//! A zone file to a table that can be served: read, checked, and ready.
//!
//! `cargo bench --bench load`; names as `1M`. What it weighs in memory is printed at the end.

mod world;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use world::World;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("load");
    let mut weights = Vec::new();
    for (size, names) in [("1k", 1_000), ("1M", 1_000_000)] {
        let world = World::new(names);
        group.throughput(Throughput::Bytes(world.zone.len() as u64));
        group.bench_function(size, |bencher| bencher.iter(|| black_box(world.version())));
        let table = &world.version().table;
        weights.push((size, table.bytes(), table.records(), table.names()));
    }
    group.finish();
    criterion.final_summary();
    for (size, bytes, records, names) in weights {
        let kib = bytes / 1024;
        println!("{size}: {kib} KiB for {records} records of {names} names, {} bytes a record", bytes / records);
    }
}
