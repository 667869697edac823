//! Lost packets, in numbers: what finds a lossy origin, how soon, and what a good line never sets off.

use super::world::World;

/// Scheduled probes of a watch are this far apart: the default.
const EVERY: f64 = 5.0;
const NAME: &str = "www.fo.example.com";

fn world(window: Option<&str>, seed: u64) -> World {
    let window = window.map(|window| format!("window = \"{window}\"\n")).unwrap_or_default();
    let config = format!(
        "contract = 1\n[server]\nlisten = [\"127.0.0.1:5300\"]\n[zone.\"fo.example.com\"]\nfile = \"fo.zone\"\n\
         [check.web]\nhttp = \"/\"\n{window}[origin.eu]\na = [\"192.0.2.10\"]\n[origin.us]\na = [\"192.0.2.20\"]\n\
         [steer.\"{NAME}\"]\nprimary = \"eu\"\nbackup = \"us\"\ncheck = \"web\"\nfailback = \"manual\"\n"
    );
    let mut world = World::new(&config, "$TTL 3600\n@ SOA ns1 h 7 3600 600 1209600 30\n@ NS ns1\nns1 A 192.0.2.1\n");
    world.seed(seed);
    world
}

/// How many of `seeds` had left the primary so long after half of its packets began to be lost.
fn left_after(window: Option<&str>, seconds: &[f64], seeds: u64) -> Vec<u64> {
    let mut left = vec![0; seconds.len()];
    for seed in 1..=seeds {
        let mut world = world(window, seed);
        // As in the world, the loss begins anywhere between two probes.
        let begins = 100.0 + seed as f64 % 50.0 / 50.0 * EVERY;
        world.run_to(begins);
        world.act("eu loses 50%");
        for (left, after) in left.iter_mut().zip(seconds) {
            world.run_to(begins + after);
            *left += u64::from(world.act(&format!("status {NAME}"))[0].starts_with("backup"));
        }
    }
    left
}

/// A window of 10 looks back on 50 s; a second confirms, and a lost probe takes two more.
#[test]
fn half_of_the_packets_lost_is_found_within_the_bound() {
    let (bound, seeds) = (10.0 * EVERY + 1.0 + 2.0, 400);
    let least =
        [(None, [85, 95]), (Some("6 of 10"), [85, 95]), (Some("5 of 10"), [87, 96]), (Some("4 of 10"), [92, 97])];
    for (window, least) in least {
        let left = left_after(window, &[bound, 2.0 * bound], seeds);
        let percent = left.iter().map(|&left| left * 100 / seeds).collect::<Vec<_>>();
        println!("window {window:?}: {}% left within {bound} s, {}% within twice that", percent[0], percent[1]);
        assert!(percent.iter().zip(least).all(|(&left, least)| left >= least), "{window:?}: {percent:?}");
    }
}

#[test]
fn one_percent_moves_nothing_in_ten_thousand_probes() {
    for window in [None, Some("6 of 10"), Some("4 of 10")] {
        let mut world = world(window, 7);
        world.run_to(10.0);
        world.act("turns");
        world.act("eu loses 1%");
        world.act("us loses 1%");
        world.run_to(10.0 + 10_000.0 * EVERY);
        assert_eq!(world.act("turns"), Vec::<String>::new(), "{window:?}");
        assert!(world.probes() > 20_000 && world.lost() > 150, "{} of {}", world.lost(), world.probes());
    }
}
