//! Thousands of names that want to move at once, and a velocity limit: every round costs what it moves.

use std::fmt::Write as _;

use super::world::World;

const NAMES: usize = 3_000;
const LIMIT: usize = 100;
/// Seconds of a window: more than the death may take until it is believed.
const PER: f64 = 20.0;

/// They stand on one origin, and are asked as one.
fn crowd() -> World {
    let mut config = format!(
        "contract = 1\n[server]\nlisten = [\"127.0.0.1:5300\"]\n[zone.\"fo.example.com\"]\nfile = \"fo.zone\"\n\
         [velocity]\nnames = {LIMIT}\nper = \"{PER}s\"\nlonger = \"5s\"\n[check.web]\nhttp = \"/\"\n\
         [origin.eu]\na = [\"192.0.2.10\"]\n[origin.us]\na = [\"192.0.2.20\"]\n[ladder.web]\nprimary = \"eu\"\n\
         backup = \"us\"\n[defaults.steer]\ncheck = \"web\"\nfailback = \"manual\"\n"
    );
    for name in 0..NAMES {
        let _ =
            write!(config, "[steer.\"n{name}.fo.example.com\"]\nladder = \"web\"\nhost = [\"www.fo.example.com\"]\n");
    }
    World::new(&config, "$TTL 3600\n@ SOA ns1 h 7 3600 600 1209600 30\n@ NS ns1\nns1 A 192.0.2.1\n")
}

#[test]
fn a_round_shows_what_it_moves_and_leaves_the_rest_alone() {
    let mut world = crowd();
    world.run_to(20.0);
    assert_eq!(world.on("primary"), NAMES);
    world.act("eu refuses");
    let before = world.shown();
    world.run_to(27.0);
    assert_eq!((world.on("backup"), world.waiting()), (LIMIT, NAMES - LIMIT));
    assert_eq!(world.shown().changed_since(&before), NAMES, "all are told to wait, or moved");
    for window in 2..=NAMES / LIMIT {
        let before = world.shown();
        world.run_to(27.0 + PER * (window - 1) as f64);
        assert_eq!((world.on("backup"), world.waiting()), (LIMIT * window, NAMES - LIMIT * window));
        assert_eq!(world.shown().changed_since(&before), LIMIT, "window {window}");
    }
    let told = world.act("turns");
    let limited: Vec<_> = told.iter().filter(|line| line.contains("velocity") || line.contains("nobody")).collect();
    assert_eq!(limited.len(), 2, "one entry when it begins, one when it ends: {limited:?}");
}
