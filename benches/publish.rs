//! What a flip costs: from the observation that turns names to the swap that serves them, in the real controller.
//!
//! `cargo bench --bench publish`; names as `1M/10000/one`: names in the zone, steered names, how many turn at once.
//! *one* and *each* have a watch of each origin per name; *each* takes an observation for every name and publishes
//! once, *all* turns every name by the one watch they share. The table at the end tells what means do not.

mod world;

use std::time::Duration;

use criterion::Criterion;
use world::World;
use world::steered::{Steered, Watched};

/// Turns of one name that the table is made of, and of all.
const SINGLE: usize = 1000;
const WHOLE: usize = 40;

/// How many names turn at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turning {
    One,
    Each,
    All,
}

impl Turning {
    fn label(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Each => "each",
            Self::All => "all",
        }
    }
}

/// Turns names away and back, and checks now and then that they did.
struct Flips {
    steered: Steered,
    turning: Turning,
    number: usize,
}

impl Flips {
    fn new(world: &World, names: usize, turning: Turning) -> Self {
        let watched = if turning == Turning::All { Watched::Together } else { Watched::Apart };
        Self { steered: Steered::new(world, names, watched), turning, number: 0 }
    }

    fn next(&mut self) -> Duration {
        // Every name away, then every name back.
        let watches = self.steered.watches();
        let rounds = if self.turning == Turning::One { watches } else { 1 };
        let (round, at) = (self.number / rounds, self.number % rounds);
        self.number += 1;
        let passes = round % 2 == 1;
        let turned = if self.turning == Turning::One { at..at + 1 } else { 0..watches };
        let took = self.steered.turn(turned.clone(), passes);
        let names = if self.turning == Turning::One { turned } else { 0..self.steered.names.len() };
        self.steered.expect_turned(names, passes);
        took
    }
}

fn main() {
    let mut criterion =
        Criterion::default().configure_from_args().sample_size(10).measurement_time(Duration::from_secs(2));
    let mut rows = Vec::new();
    for (size, names) in [("1k", 1_000), ("1M", 1_000_000)] {
        let world = World::new(names);
        let mut group = criterion.benchmark_group(size);
        for (steered, turning) in
            [(1, Turning::One), (10_000, Turning::One), (10_000, Turning::Each), (10_000, Turning::All)]
        {
            let label = format!("{steered}/{}", turning.label());
            let mut flips = Flips::new(&world, steered, turning);
            group.bench_function(&label, |bencher| {
                bencher.iter_custom(|count| (0..count).map(|_| flips.next()).sum());
            });
            let count = if turning == Turning::One { SINGLE } else { WHOLE };
            let mut times: Vec<Duration> = (0..count).map(|_| flips.next()).collect();
            times.sort_unstable();
            rows.push((format!("{size}/{label}"), times));
        }
        group.finish();
    }
    criterion.final_summary();
    println!("\n{:<20} {:>10} {:>10} {:>10}", "microseconds", "min", "median", "p99");
    for (label, times) in rows {
        let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100].as_secs_f64() * 1e6;
        println!("{label:<20} {:>10.1} {:>10.1} {:>10.1}", at(0), at(50), at(99));
    }
}
