//! Every verb, as a person types it.

use std::process::Command;
use std::time::Duration;

use crate::daemon::{BACKUP, EMERGENCY, PRIMARY, World};
use crate::support::daemon::{BINARY, Daemon, get};
use crate::support::{hold, wait};

const NAME: &str = "www.example.test";
const SOON: Duration = Duration::from_secs(15);

#[test]
fn hold_and_release_move_the_answer() {
    let world = World::new();
    let daemon = world.start();
    daemon.say(&["hold", NAME, "backup", "--for", "10m", "--reason", "night shift"]);
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    let explained = daemon.say(&["explain", NAME]);
    assert!(explained.contains("night shift") && explained.contains("hold"), "{explained}");
    daemon.say(&["release", NAME]);
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
}

#[test]
fn an_order_ends_by_itself() {
    let world = World::new();
    let daemon = world.start();
    daemon.say(&["hold", NAME, "emergency", "--for", "2s", "--reason", "a short look"]);
    daemon.wait_address(NAME, EMERGENCY.into(), SOON);
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
}

#[test]
fn drain_takes_an_origin_out_and_release_brings_it_back() {
    let world = World::new();
    let daemon = world.start();
    daemon.say(&["drain", "eu", "--reason", "new kernel"]);
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    hold("the drain holds", Duration::from_secs(2), || match daemon.addresses(NAME) {
        Some(addresses) if addresses == [BACKUP.to_string()] => Ok(()),
        other => Err(format!("answered {other:?}")),
    });
    daemon.say(&["release", "eu"]);
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
}

#[test]
fn beyond_the_velocity_limit_names_wait_for_a_person() {
    let mut world = World::new();
    let others: Vec<String> = (1..5).map(|n| format!("n{n}.example.test")).collect();
    let stands = "primary = \"eu\"\nbackup = \"us\"\nemergency = \"last\"\ncheck = \"site\"\nttl = \"5s\"\n";
    let mut config = format!("{}\n[velocity]\nnames = 2\nper = \"1h\"\nbeyond = \"person\"\n", world.config());
    others.iter().for_each(|name| config += &format!("[steer.\"{name}\"]\n{stands}"));
    let daemon = Daemon::start(&config, &[world.resolver.address]);
    let names: Vec<&str> = [NAME].into_iter().chain(others.iter().map(String::as_str)).collect();
    for name in &names {
        daemon.wait_address(name, PRIMARY.into(), SOON);
    }
    wait("all is seen up", SOON, || daemon.sees_all_up().then_some(()));
    let checked = daemon.say(&["check"]);
    assert!(checked.contains("velocity limit: of 5 automation moves at most 2 names in 1h"), "{checked}");
    assert_eq!(daemon.say(&["approve", "--all"]).matches("no name waits for the velocity limit").count(), 1);

    world.primary.break_down();
    let waiting = || -> Vec<&str> {
        let serves = |name: &&str, address| daemon.addresses(name).is_some_and(|all| all == [address]);
        let (moved, waits): (Vec<_>, Vec<_>) = names.iter().partition(|name| serves(name, BACKUP.to_string()));
        assert!(moved.len() <= 2, "{moved:?} have moved");
        waits
    };
    wait("two have moved", SOON, || (waiting().len() == 3).then_some(()));
    let status = wait("the others wait", SOON, || {
        let status = daemon.say(&["status"]);
        status.contains("3 names wait for the velocity limit (2 in 1h): a person decides").then_some(status)
    });
    assert!(status.0.contains("failoverd approve --all"), "{}", status.0);
    let first = waiting()[0];
    let explained = daemon.say(&["explain", first]);
    for word in ["would go to backup, waits for the velocity limit", &format!("failoverd approve {first}")] {
        assert!(explained.contains(word), "no `{word}` in\n{explained}");
    }
    let metrics = get(daemon.ops, "/metrics").expect("metrics").1;
    for line in ["failoverd_names_waiting 3", "failoverd_velocity_room 0"] {
        assert!(metrics.lines().any(|told| told == line), "no `{line}` in\n{metrics}");
    }

    let said = daemon.say(&["approve", first]);
    assert!(said.contains(&format!("{first} goes to its backup")), "{said}");
    daemon.wait_address(first, BACKUP.into(), SOON);
    assert!(daemon.say(&["approve", first]).contains("does not wait"), "once more changes nothing");
    assert!(!daemon.verb(&["approve", "nobody.example.test"]).status.success());
    assert!(daemon.say(&["approve", "--all"]).contains("2 names move"));
    for name in &names {
        daemon.wait_address(name, BACKUP.into(), SOON);
    }
    let of_limit = |entry: &serde_json::Value| {
        let event = entry["event"].as_str().unwrap_or_default();
        ["limit-reached", "moves-approved", "limit-cleared"].contains(&event).then(|| event.to_owned())
    };
    let told = wait("its end is told", SOON, || {
        let told: Vec<String> = daemon.events().iter().filter_map(of_limit).collect();
        told.iter().any(|event| event == "limit-cleared").then_some(told)
    });
    assert_eq!(told.0, ["limit-reached", "moves-approved", "moves-approved", "limit-cleared"]);
    let events = daemon.say(&["events", "-n", "1000"]);
    assert!(events.contains("operator lets") && events.contains("no name waits for the velocity limit"), "{events}");
}

#[test]
fn status_and_explain_tell_the_six_words() {
    let mut world = World::new();
    let daemon = world.start();
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    let status = daemon.say(&["status"]);
    for word in [NAME, "backup", "eu", "us", "down"] {
        assert!(status.contains(word), "no `{word}` in\n{status}");
    }
    let explained = daemon.say(&["explain", NAME]);
    for word in ["connection refused", "backup", "127.0.1.2"] {
        assert!(explained.contains(word), "no `{word}` in\n{explained}");
    }
    for verb in [&["status", "--json"][..], &["explain", NAME, "--json"]] {
        let text = daemon.say(verb);
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{verb:?}: {error}\n{text}"));
    }
}

#[test]
fn the_turn_is_in_the_journal() {
    let mut world = World::new();
    let daemon = world.start();
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    wait("the turn", SOON, || {
        let turns = daemon.events().into_iter().filter(|entry| entry["event"] == "turned");
        let mut turns = turns.filter(|entry| entry["to"]["place"].to_string().contains("backup"));
        turns.next()
    });
    assert!(daemon.say(&["events"]).contains(NAME));
    let lines = daemon.say(&["events", "--json"]);
    let mut entries = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    assert!(entries.any(|entry| entry["event"] == "turned" && entry["name"] == "www.example.test"), "{lines}");
}

#[test]
fn check_names_the_place_of_a_mistake() {
    let world = World::new();
    let mut daemon = world.start();
    daemon.say(&["check"]);
    daemon.configure(&world.config().replace("backup = \"us\"", "backup = \"uss\""));
    let output = daemon.verb(&["check"]);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success());
    for word in ["uss", "did you mean `us`", "failoverd.toml:"] {
        assert!(text.contains(word), "no `{word}` in\n{text}");
    }
}

#[test]
fn a_probe_by_hand_moves_nothing_and_shows_phases() {
    let world = World::new();
    let daemon = world.start();
    let said = daemon.say(&["probe", "eu", "--trace"]);
    assert!(said.contains("eu") && said.contains("connect"), "{said}");
    assert_eq!(daemon.addresses(NAME), Some(vec![PRIMARY.to_string()]));
}

#[test]
fn init_writes_a_configuration_that_checks() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let run = |words: &[&str]| Command::new(BINARY).args(words).current_dir(folder.path()).output().expect("failoverd");
    let made = run(&["init"]);
    assert!(made.status.success(), "{made:?}");
    let checked = run(&["check", "--config", "failoverd.toml"]);
    let text = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.status.success(), "{text}");
}

/// The demo is its own proof: it ends with an error where a step does not happen in its bound.
#[test]
fn the_demo_plays_its_script() {
    let output = Command::new(BINARY).args(["demo", "--script"]).output().expect("failoverd");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let place = |word: &str| text.find(word).unwrap_or_else(|| panic!("no `{word}` in\n{text}"));
    assert!(place("primary") < place("backup") && place("backup") < place("emergency"));
    assert!(place("emergency") < text.rfind("primary").expect("the end"));
}
