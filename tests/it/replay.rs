//! An incident of the real daemon, recorded, comes to the same turns when it is decided again.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{BACKUP, EMERGENCY, PRIMARY, World};
use crate::support::daemon::{BINARY, Daemon};
use crate::support::{hold, wait};

const NAME: &str = "www.example.test";
const SOON: Duration = Duration::from_secs(15);

/// A node that records from its start.
fn recording(world: &World) -> Daemon {
    let mut daemon = Daemon::prepare(&world.config(), &[world.resolver.address]);
    daemon.server = "record = true\n".to_owned();
    daemon.launch();
    daemon.wait_ready();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    daemon
}

fn replay(daemon: &Daemon, words: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("replay").arg("--state").arg(&daemon.state).args(words).env_remove("FAILOVERD_CONFIG");
    command.output().expect("the command line")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn lines(output: &Output) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn turns(events: &[Value]) -> Vec<Value> {
    events.iter().filter(|event| event["event"] == "turned").cloned().collect()
}

fn segments(daemon: &Daemon) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(daemon.state.join("record")).map(|entries| entries.map(|entry| entry.expect("one").path()));
    let mut found: Vec<_> = entries.into_iter().flatten().collect();
    found.sort();
    found
}

#[test]
fn an_incident_comes_to_the_same_turns_and_with_another_fall_to_later_ones() {
    let mut world = World::new();
    let mut daemon = recording(&world);
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    // So long that five scheduled probes have failed.
    hold("the backup serves", Duration::from_secs(6), || match daemon.addresses(NAME) {
        Some(addresses) if addresses == [BACKUP.to_string()] => Ok(()),
        other => Err(format!("answered {other:?}")),
    });
    world.primary.mend();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    daemon.configure(&world.config().replace("ttl = \"5s\"", "ttl = \"7s\""));
    daemon.say(&["reload"]);
    daemon.say(&["hold", NAME, "emergency", "--for", "10m", "--reason", "night shift"]);
    daemon.wait_address(NAME, EMERGENCY.into(), SOON);
    daemon.say(&["release", NAME]);
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    daemon.say(&["drain", "eu", "--reason", "new kernel"]);
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    daemon.say(&["release", "eu"]);
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    let journal = daemon.events();
    assert!(daemon.stop().success());

    let again = replay(&daemon, &["--json"]);
    assert!(again.status.success(), "{}\n{}", text(&again), String::from_utf8_lossy(&again.stderr));
    let again = lines(&again);
    // Number, time, evidence, generation, serial and all.
    assert_eq!(turns(&again), turns(&journal));
    let summary = &again.last().expect("a summary")["replay"];
    assert_eq!(summary["turns"], 7, "{summary}");
    assert_eq!((&summary["same"], &summary["rebuilt"]), (&summary["turns"], &Value::Array(Vec::new())));
    let told = text(&replay(&daemon, &[]));
    assert!(told.contains("7 turns, the same as were recorded"), "{told}");
    for word in ["primary eu → backup us", "night shift", "new kernel", "configuration and zones read again"] {
        assert!(told.contains(word), "no `{word}` in\n{told}");
    }
    assert!(text(&replay(&daemon, &["--name", "other.example.test"])).contains("no turn was recorded"));

    let config = fs::read_to_string(daemon.path("failoverd.toml")).expect("a configuration");
    daemon.write("patient.toml", &config.replace("fall = 2", "fall = 5"));
    let patient = daemon.path("patient.toml").display().to_string();
    let beside = replay(&daemon, &["--json", "--config", &patient]);
    assert!(beside.status.success(), "{}", String::from_utf8_lossy(&beside.stderr));
    let beside = lines(&beside);
    let other = &beside.last().expect("a summary")["replay"]["other"];
    let moves = other["moves"].as_array().expect("moves");
    let is_failover = |one: &&Value| one["recorded"]["reason"]["why"] == "failed-over";
    let failover = moves.iter().find(is_failover).expect("the failover");
    let at = |side: &str| failover[side]["at"].as_str().expect("both moved").to_owned();
    assert!(at("now") > at("recorded"), "{failover:#}");
    assert!(other["unconfirmed"].as_u64() > Some(0), "{other:#}");
    let beside = text(&replay(&daemon, &["--config", &patient]));
    for word in ["later", "confirmations that the new configuration asks for were not made", "1 reload in the record"] {
        assert!(beside.contains(word), "no `{word}` in\n{beside}");
    }
    // What nobody asked is said to be untried.
    daemon.write("other.toml", &config.replace("/healthz", "/ready"));
    let other = text(&replay(&daemon, &["--config", &daemon.path("other.toml").display().to_string()]));
    assert!(other.contains("3 watches of the new configuration have no record"), "{other}");
}

#[test]
fn a_kill_costs_the_torn_end_alone() {
    let mut world = World::new();
    let mut daemon = recording(&world);
    world.primary.break_down();
    // Also of one that runs.
    wait("both turns in journal and record", SOON, || {
        let recorded = turns(&lines(&replay(&daemon, &["--json"])));
        (recorded.len() == 2 && turns(&daemon.events()) == recorded).then_some(())
    });
    daemon.kill();
    let torn = segments(&daemon).pop().expect("a segment");
    let whole = fs::read(&torn).expect("a segment");
    fs::write(&torn, [whole.as_slice(), b"\x20\0\0\0half a chunk"].concat()).expect("torn");
    daemon.launch();
    daemon.wait_ready();
    world.primary.mend();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    let journal = daemon.events();
    assert!(daemon.stop().success());
    assert_eq!(segments(&daemon).len(), 2);
    let again = replay(&daemon, &["--json"]);
    assert!(again.status.success(), "{}", text(&again));
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(told.contains("the last 16 bytes are torn"), "{told}");
    let again = lines(&again);
    assert_eq!(turns(&again), turns(&journal));
    assert_eq!(again.last().expect("a summary")["replay"]["starts"], 2);
}

#[test]
fn a_reload_begins_and_ends_the_record() {
    let mut world = World::new();
    let mut daemon = world.start();
    assert!(segments(&daemon).is_empty());
    let nothing = replay(&daemon, &[]);
    assert!(!nothing.status.success());
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("record = true"));
    daemon.server = "record = true\n".to_owned();
    daemon.configure(&world.config());
    daemon.say(&["reload"]);
    wait("a segment", SOON, || (!segments(&daemon).is_empty()).then_some(()));
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    daemon.server.clear();
    daemon.configure(&world.config());
    daemon.say(&["reload"]);
    world.primary.mend();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    let journal = turns(&daemon.events());
    assert!(daemon.stop().success());
    let again = replay(&daemon, &["--json"]);
    assert!(again.status.success(), "{}", text(&again));
    let again = lines(&again);
    // The first decision was before it, the way back after it.
    let at = |turn: &Value| (turn["at"].clone(), turn["from"].clone(), turn["to"].clone(), turn["evidence"].clone());
    assert_eq!(turns(&again).iter().map(at).collect::<Vec<_>>(), journal[1..2].iter().map(at).collect::<Vec<_>>());
    let summary = &again.last().expect("a summary")["replay"];
    assert_eq!((&summary["starts"], summary["rebuilt"].as_array().map(Vec::len)), (&Value::from(0), Some(1)));
}
