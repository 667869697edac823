//! What a flip costs: from the observation that turns names to the swap that serves them, in the real controller.
//!
//! `cargo bench --bench publish`; names as `1M/10000/one`: names in the zone, steered names, how many turn at once.
//! *one* and *each* have a watch of each origin per name; *each* takes an observation for every name and publishes
//! once, *all* turns every name by the one watch they share. The table at the end tells what means do not.

mod world;

use std::time::Duration;

use criterion::Criterion;
use world::World;
use world::steered::{Steered, Took, Watched};

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

    fn next(&mut self) -> Took {
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
                bencher.iter_custom(|count| (0..count).map(|_| flips.next().wall).sum());
            });
            let count = if turning == Turning::One { SINGLE } else { WHOLE };
            let times: Vec<Took> = (0..count).map(|_| flips.next()).collect();
            rows.push((format!("{size}/{label}"), times));
        }
        group.finish();
    }
    criterion.final_summary();
    let [min, median, p99] = ["min", "median", "p99"];
    println!("\n{:20} {:^32} {:^32}", "", "microseconds", "of the processor");
    println!("{:20} {min:>10} {median:>10} {p99:>10} {min:>10} {median:>10} {p99:>10}", "");
    for (label, times) in rows {
        let [wall, processor] = [|took: &Took| took.wall, |took: &Took| took.processor].map(|of| spread(&times, of));
        println!("{label:20} {wall} {processor}");
    }
}

/// Smallest, median and 99th of a hundred, in columns.
fn spread(times: &[Took], of: fn(&Took) -> Duration) -> String {
    let mut times: Vec<Duration> = times.iter().map(of).collect();
    times.sort_unstable();
    let columns = [0, 50, 99].map(|hundredths| {
        let at = times[(times.len() - 1) * hundredths / 100];
        format!("{:>10.1}", at.as_secs_f64() * 1e6)
    });
    columns.join(" ")
}
