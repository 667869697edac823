//! Flips in bulk: what turns in one batch is served by one publication, and what does not turn is shared.

#[path = "../../benches/world/mod.rs"]
mod world;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use failoverd::config::{self, Place};
use failoverd::control::{Controller, Event, Loaded, Restored};
use failoverd::decision::Decision;
use failoverd::dns::Name;
use failoverd::probe::{Cause, Observation, Outcome, Phases, Target};
use failoverd::snapshot::{Generation, Snapshot};
use failoverd::time::{Moment, Now, Wall};
use failoverd::zone::load;
use world::steered::{Steered, Watched};
use world::{APEX, OneFile, World};

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

/// Ladders and settings that differ in one thing each; the same two origins, asked the same.
const KINDS: [&str; 6] = [
    "primary = \"eu\"\nbackup = \"us\"",
    "primary = \"us\"\nbackup = \"eu\"",
    "primary = \"eu\"\nemergency = \"us\"",
    "primary = \"eu\"\nbackup = \"us\"\nttl = \"60s\"",
    "primary = \"eu\"\nbackup = \"us\"\nfailback = \"manual\"",
    "primary = { all = [\"eu\", \"us\"] }\nbackup = \"us\"",
];

/// What is decided for names of these kinds, in turns, at the end of each time with these origins dead.
fn decisions(kinds: &[&str], names: usize, world: &World) -> Vec<Vec<Decision>> {
    let (eu, us) = ([192, 0, 2, 10].into(), [192, 0, 2, 20].into());
    let mut text = format!(
        "contract = 1\n[zone.\"{APEX}\"]\nfile = \"{APEX}.zone\"\n[defaults.check]\nevery = \"1s\"\nfall = 1\n\
         rise = 1\nblip = \"0s\"\n[defaults.steer]\nfailback = \"auto\"\ncheck = \"site\"\n[check.site]\n\
         http = \"/\"\n[origin.eu]\na = [\"{eu}\"]\n[origin.us]\na = [\"{us}\"]\n",
    );
    for (number, kind) in (0..names).zip(kinds.iter().cycle()) {
        write!(text, "[steer.\"s{number}.{APEX}\"]\nhost = [\"www.{APEX}\"]\n{kind}\n").expect("a String takes all");
    }
    let read = config::read(&OneFile(&text), Path::new("failoverd.toml"), &|_| None, "ns1");
    let read = read.unwrap_or_else(|errors| panic!("{errors}"));
    let apex = Name::absolute(APEX).expect("a name");
    let zone = load::load(&OneFile(&world.zone), &apex, Path::new(APEX), &|_| false).expect("no errors");
    let loaded =
        Loaded { config: Arc::new(read.config), zones: vec![zone], warnings: Vec::new(), files: Arc::default() };
    let moment = Moment::from_boot(Duration::from_secs(1000));
    let mut now = Now { moment, wall: Wall::from_millis(1_795_257_120_000) };
    let (mut controller, mut effects) = Controller::new(loaded, Restored::default(), now);
    let (mut published, mut seen) = (None, Vec::new());
    for dead in [&[][..], &[eu], &[], &[us], &[eu, us], &[us], &[]] {
        for _ in 0..30 {
            now = now + Duration::from_millis(100);
            let requests = std::mem::take(&mut effects.probes);
            controller.handle(Event::Canary { started: now.moment, passed: true }, now, &mut effects);
            for request in requests {
                let Target::Address(address) = request.target else { panic!("an address") };
                let outcome =
                    if dead.contains(&address) { Outcome::Failed(Cause::ConnectRefused) } else { Outcome::Passed };
                let seen = Observation {
                    watch: request.watch,
                    epoch: request.epoch,
                    purpose: request.purpose,
                    started: now.moment,
                    finished: now.moment,
                    outcome,
                    address: Some(address),
                    phases: Phases::default(),
                    warnings: Vec::new(),
                    certificate: None,
                    status: None,
                    detail: None,
                };
                controller.handle(Event::Observed(seen), now, &mut effects);
            }
            controller.handle(Event::Elapsed, now, &mut effects);
            published = controller.publish(now, &mut effects, |_| now).or(published);
        }
        let steers = published.as_ref().expect("a snapshot").status.steers.iter();
        let of = |steer: &Arc<failoverd::snapshot::status::SteerStatus>| {
            let number = steer.steer.name.to_host().split('.').next().expect("a label")[1..].parse::<usize>();
            (number.expect("a number"), Decision::clone(steer.decision.as_ref().expect("a decision")))
        };
        let mut decided: Vec<_> = steers.map(of).collect();
        decided.sort_by_key(|&(number, _)| number);
        seen.push(decided.into_iter().map(|(_, decision)| decision).collect());
    }
    seen
}

#[test]
fn a_name_among_many_is_decided_as_it_would_be_alone() {
    let (world, names) = (World::new(1000), 20 * KINDS.len());
    let together = decisions(&KINDS, names, &world);
    for (at, kind) in KINDS.iter().enumerate() {
        let alone = decisions(&[kind], 1, &world);
        assert!(alone.windows(2).any(|pair| pair[0] != pair[1]), "it turns");
        for (step, (together, alone)) in together.iter().zip(&alone).enumerate() {
            for number in (at..names).step_by(KINDS.len()) {
                assert_eq!(together[number], alone[0], "name {number} of kind {at} in step {step}");
            }
        }
    }
}
