//! Seeded simulation of the whole core: random origins, faults of theirs and of ours, orders, reloads, crashes and
//! clock jumps, against a shadow model that knows what was really true.
//!
//! A failing seed is printed and replays alone: `FAILOVERD_SEED=17 cargo test simulation`.

mod shadow;
mod tape;
mod world;

use world::World;

/// Simulated seconds per seed.
const SPAN: u64 = 180;

/// Seeds of a plain run; `FAILOVERD_PROOF=full` runs ten thousand.
const SEEDS: u64 = 400;

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("FAILOVERD_SEED") {
        Some(seed) => seed..seed + 1,
        None if std::env::var("FAILOVERD_PROOF").is_ok_and(|proof| proof == "full") => 0..10_000,
        None => 0..number("FAILOVERD_SEEDS").unwrap_or(SEEDS),
    }
}

#[test]
fn random_worlds_keep_every_promise() {
    let (mut turns, mut downs, mut restarts, mut doubts) = (0, 0, 0, 0);
    let (mut windows, mut degraded, mut short, mut panics) = (0, 0, 0, 0);
    let (mut waits, mut approvals) = (0, 0);
    for seed in seeds() {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run(SPAN);
            world.settle();
            world.tally()
        });
        match run {
            Ok(tally) => {
                turns += tally.turns;
                downs += tally.downs;
                restarts += tally.restarts;
                doubts += tally.doubts;
                windows += tally.windows;
                degraded += tally.degraded;
                short += tally.short;
                panics += tally.panics;
                waits += tally.waits;
                approvals += tally.approvals;
            }
            Err(panic) => {
                eprintln!("seed {seed} broke a promise; replay it with FAILOVERD_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{turns} turns, {downs} deaths believed, {restarts} restarts, {doubts} doubts");
    println!("{windows} deaths by a window, {degraded} degraded, {short} short of their quorum, {panics} panics");
    println!("the velocity limit reached {waits} times, {approvals} approvals");
    if std::env::var("FAILOVERD_SEED").is_err() {
        // A simulation in which nothing happens proves nothing.
        assert!(turns > 500 && downs > 500 && restarts > 50 && doubts > 10);
        assert!(windows > 50 && degraded > 50 && short > 50 && panics > 20);
        assert!(waits > 50 && approvals > 10);
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 17, 99] {
        let trace = || {
            let mut world = World::new(seed);
            world.run(60);
            world.trace()
        };
        assert_eq!(trace(), trace());
    }
}

/// Whatever happens in a world, its record comes to the same turns: of reloads, restarts, orders, clocks that jump, and
/// across segments.
#[test]
fn a_record_comes_to_the_same_turns() {
    let seeds = if std::env::var("FAILOVERD_PROOF").is_ok_and(|proof| proof == "full") { 2000 } else { 100 };
    let (mut turns, mut bytes, mut events, mut segments) = (0, 0, 0, 0);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        world.run(SPAN);
        world.settle();
        let told = world.tally().turns;
        let outcome = tape::replayed(world.tape(), 0);
        assert_eq!(outcome.differences, [], "seed {seed}");
        assert_eq!((outcome.turns as u64, outcome.rebuilt.len()), (told, 0), "seed {seed}");
        turns += outcome.turns;
        events += outcome.observations;
        bytes += world.tape().size();
        segments += outcome.starts;
    }
    println!("{turns} turns of {events} observations in {bytes} bytes, {segments} starts");
    assert!(turns > 500);
}

/// From the middle of a run it goes on from what was known then: what differs is told, and is little.
#[test]
fn a_record_without_its_beginning_comes_to_nearly_the_same_turns() {
    let (mut turns, mut differences) = (0, 0);
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.run(SPAN);
        let outcome = tape::replayed(world.tape(), 1);
        turns += outcome.turns;
        differences += outcome.differences.len();
    }
    println!("{differences} differences in {turns} turns");
    assert!(turns > 200 && differences * 20 < turns, "{differences} differences in {turns} turns");
}
