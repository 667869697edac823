//! Answers by shape of question: from the bytes of a query to the bytes of its reply, without sockets.
//!
//! `cargo bench --bench answer`; names as `1k/mixed`. Queries are taken in batches of 64, as an answering thread takes
//! them: all are read, then reached for, then answered.

mod world;

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use criterion::{Criterion, Throughput};
use failoverd::answer::{Ask, Client, Desk, Reply, Transport, answer, reach};
use failoverd::snapshot::Snapshot;
use world::{Shape, World};

/// Queries an answering thread takes at once.
const BATCH: usize = 64;
/// Questions asked in one round.
const ROUND: usize = 1 << 20;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    for (size, names) in [("1k", 1_000), ("1M", 1_000_000)] {
        let world = World::new(names);
        let snapshot = world.snapshot();
        let mut group = criterion.benchmark_group(size);
        for (label, shape) in Shape::ALL {
            let questions = world.questions(shape, ROUND, 7);
            let queries: Vec<Vec<u8>> = questions.iter().map(|question| question.wire(1)).collect();
            group.throughput(Throughput::Elements(queries.len() as u64));
            group.bench_function(label, |bencher| bencher.iter(|| serve(&snapshot, &queries)));
        }
        group.finish();
    }
    criterion.final_summary();
}

/// Answers them all; the bytes that would be sent.
fn serve(snapshot: &Snapshot, queries: &[Vec<u8>]) -> usize {
    let via = Client { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 4096)), transport: Transport::Udp };
    let (mut desk, mut reply) = (Desk::new(1), Reply::new());
    let mut asks = vec![Ask::default(); BATCH];
    let mut bytes = 0;
    for batch in queries.chunks(BATCH) {
        batch.iter().zip(&mut asks).for_each(|(query, ask)| ask.read(query));
        reach(snapshot, &asks[..batch.len()]);
        for (query, ask) in batch.iter().zip(&asks) {
            answer(query, ask, &via, snapshot, &mut desk, &mut reply);
            bytes += black_box(reply.bytes()).len();
        }
    }
    bytes
}
