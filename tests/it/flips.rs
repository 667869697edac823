//! Flips in bulk: what turns in one batch is served by one publication, and what does not turn is shared.

#[path = "../../benches/world/mod.rs"]
mod world;

use failoverd::config::Place;
use failoverd::snapshot::{Generation, Snapshot};
use world::World;
use world::steered::{Steered, Watched};

fn table(snapshot: &Snapshot) -> &failoverd::zone::table::Table {
    &snapshot.zones.iter().next().expect("one zone").table
}

#[test]
fn ten_thousand_turns_in_a_batch_are_one_publication() {
    let (world, names) = (World::new(1000), 10_000);
    for watched in [Watched::Together, Watched::Apart] {
        let mut steered = Steered::new(&world, names, watched);
        for (passes, place) in [(false, Place::Backup(1)), (true, Place::Primary), (false, Place::Backup(1))] {
            let before = steered.reader.snapshot();
            steered.turn(0..steered.watches(), passes);
            let after = steered.reader.snapshot();
            assert_eq!(after.generation, Generation(before.generation.0 + 1), "published once");
            let serials = [&before, &after].map(|snapshot| table(snapshot).soa().expect("a SOA").serial);
            assert_eq!(serials[1], serials[0].next());
            assert_eq!(steered.recorded, names, "each turn is told once");
            steered.expect_turned(0..names, passes);
            let places = after.status.steers.iter().map(|steer| steer.decision.as_ref().map(|decision| decision.place));
            assert_eq!(places.filter(|&served| served == Some(place)).count(), names);
        }
    }
}

#[test]
fn a_turn_shares_all_that_did_not_turn() {
    let names = 10_000;
    let mut steered = Steered::new(&World::new(20_000), names, Watched::Apart);
    for turned in [0, 5_000, names - 1] {
        let before = steered.reader.snapshot();
        steered.turn(turned..turned + 1, false);
        let after = steered.reader.snapshot();
        assert!(table(&after).is_same_but_apart(table(&before)), "no shard is copied");
        assert!(!table(&after).same_content(table(&before)));
        let told = |(index, _)| index;
        assert_eq!(after.status.steers.unshared(Some(&before.status.steers)).map(told).collect::<Vec<_>>(), [turned]);
        assert_eq!(after.status.watches.unshared(Some(&before.status.watches)).count(), 1);
        assert_eq!(steered.recorded, 1);
        steered.expect_turned(turned..turned + 1, false);
    }
    steered.expect_turned(1..5_000, true);
}
