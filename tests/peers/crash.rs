//! `kill -9` at any moment, a full disk, a hung disk: nothing acknowledged is lost, no serial is used twice, and
//! failing over never waits for storage.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::daemon::{Daemon, get};
use crate::support::origin::Origin;
use crate::support::resolver::Resolver;
use crate::support::{Draw, dns, free_port, hold, rounds, tool, wait};

const NAME: &str = "www.example.test";
const ZONE: &str = "example.test";
const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 1);
const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 2);
/// Far above what the fast check below needs.
const SOON: Duration = Duration::from_secs(15);
/// A turn older than this is committed: the restart serves it.
const COMMITTED: Duration = Duration::from_millis(50);

struct World {
    primary: Origin,
    _backup: Origin,
    hook: Origin,
    resolver: Resolver,
    config: String,
}

impl World {
    fn new() -> Self {
        let (port, hook) = (free_port(), Origin::keeping(free_port()));
        let config = format!(
            "[alert.ops]\nwebhook = \"http://{}/hook\"\n\n[check.site]\nhttp = \"/\"\nevery = \"200ms\"\ntimeout = \
             \"150ms\"\nfall = 2\nrise = 2\nconfirm = \"50ms\"\nblip = \"100ms\"\n\n[origin.eu]\na = \
             [\"{PRIMARY}\"]\nprobe = {{ port = {port} }}\n\n[origin.us]\na = [\"{BACKUP}\"]\nprobe = {{ port = {port} \
             }}\n\n[steer.\"{NAME}\"]\nprimary = \"eu\"\nbackup = \"us\"\ncheck = \"site\"\nttl = \"5s\"\nfailback = \
             \"auto\"\n",
            hook.address
        );
        Self {
            primary: Origin::start(PRIMARY, port),
            _backup: Origin::start(BACKUP, port),
            hook,
            resolver: Resolver::start(),
            config,
        }
    }

    fn toggle(&mut self) {
        if self.primary.is_up() {
            self.primary.break_down();
        } else {
            self.primary.mend();
        }
    }
}

/// One sight of the server from outside: an answer between two looks at the same serial.
#[derive(Clone, Debug)]
struct Sight {
    /// Which life of the daemon.
    run: usize,
    serial: u32,
    addresses: Vec<String>,
    /// Since when this answer is seen without a break.
    since: Instant,
}

/// A client that asks all the time, and writes down what it gets.
struct Logger {
    run: Arc<Mutex<usize>>,
    sights: Arc<Mutex<Vec<Sight>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Logger {
    fn start(server: SocketAddr) -> Self {
        let logger = Self { run: Arc::default(), sights: Arc::default(), stop: Arc::default(), thread: None };
        let (run, sights, stop) = (Arc::clone(&logger.run), Arc::clone(&logger.sights), Arc::clone(&logger.stop));
        let patience = Duration::from_millis(30);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let before = *run.lock().expect("not poisoned");
                let serial = || dns::ask(server, ZONE, dns::SOA, patience)?.serial();
                let seen = serial().and_then(|first| {
                    let addresses = dns::ask(server, NAME, dns::A, patience)?.addresses();
                    (serial()? == first && !addresses.is_empty()).then_some((first, addresses))
                });
                // The lock is held while writing down, so that a kill is never between a look and its line.
                let now = run.lock().expect("not poisoned");
                if let (Some((serial, addresses)), true) = (seen, *now == before) {
                    let mut sights = sights.lock().expect("not poisoned");
                    let is_news = sights.last().is_none_or(|last: &Sight| {
                        (last.run, last.serial, &last.addresses) != (*now, serial, &addresses)
                    });
                    if is_news {
                        sights.push(Sight { run: *now, serial, addresses, since: Instant::now() });
                    }
                }
                drop(now);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { thread: Some(thread), ..logger }
    }

    fn last(&self) -> Option<Sight> {
        self.sights.lock().expect("not poisoned").last().cloned()
    }

    fn first_of(&self, run: usize) -> Option<Sight> {
        self.sights.lock().expect("not poisoned").iter().find(|sight| sight.run == run).cloned()
    }

    /// The next life begins: what is seen from now on is of it.
    fn next_run(&self) -> usize {
        let mut run = self.run.lock().expect("not poisoned");
        *run += 1;
        *run
    }

    fn stop(mut self) -> Vec<Sight> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().expect("running").join().expect("the logger");
        std::mem::take(&mut self.sights.lock().expect("not poisoned"))
    }
}

/// Entries known so far are still there, unchanged, and there is no gap.
fn still_told(known: &[Value], now: &[Value]) {
    assert!(now.len() >= known.len(), "{} entries became {}", known.len(), now.len());
    for (index, (before, after)) in known.iter().zip(now).enumerate() {
        assert_eq!(before, after, "entry {index}");
    }
    for (index, entry) in now.iter().enumerate() {
        assert_eq!(entry["sequence"].as_u64(), u64::try_from(index + 1).ok(), "a gap in the journal");
    }
}

fn is_turn(entry: &&Value) -> bool {
    entry["event"] == "turned"
}

#[test]
fn kill_at_any_moment_loses_nothing_acknowledged() {
    let mut world = World::new();
    let mut draw = Draw::new();
    let mut daemon = Daemon::start(&world.config, &[world.resolver.address]);
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    daemon.wait_api();
    let logger = Logger::start(daemon.dns);
    let (mut known, mut orders, mut restored) = (Vec::new(), BTreeSet::new(), 0);
    let kills = rounds(8, 200);
    for kill in 1..=kills {
        // Flips, some of them cut short by the next; now and then an order.
        for _ in 0..=draw.below(2) {
            world.toggle();
            let pause = Duration::from_millis(draw.below(900));
            hold("flips", pause, || Ok::<(), String>(()));
        }
        if draw.below(2) == 0 {
            let reason = format!("order of kill {kill}");
            // Only of a second, so that flips go on.
            if daemon.verb(&["hold", NAME, "backup", "--for", "1s", "--reason", &reason]).status.success() {
                orders.insert(reason);
            }
        }
        known = {
            let now = daemon.events();
            still_told(&known, &now);
            now
        };
        world.toggle();
        // The flip comes after 100 to 400 ms: before it, in it, after it.
        hold("a random moment", Duration::from_millis(draw.below(600)), || Ok::<(), String>(()));
        daemon.kill();
        let killed = Instant::now();
        let last = logger.last().expect("an answer before the kill");
        let run = logger.next_run();
        daemon.launch();
        let (first, _) = wait("an answer after the restart", SOON, || logger.first_of(run));
        daemon.wait_api();
        let now = daemon.events();
        still_told(&known, &now);
        if killed.duration_since(last.since) > COMMITTED {
            // The first probes may have moved it by the first answer we saw: then from what was served before.
            let moved =
                now.iter().find(|entry| is_turn(entry) && entry["serial"].as_u64() == Some(first.serial.into()));
            let kept = moved.map_or(first.addresses.clone(), |turn| addresses_in(&turn["from"]));
            assert_eq!(kept, last.addresses, "kill {kill}: a committed decision was forgotten");
            restored += 1;
        }
        for reason in &orders {
            let told = now.iter().any(|entry| entry["event"] == "ordered" && entry["reason"] == reason.as_str());
            assert!(told, "kill {kill}: the acknowledged `{reason}` is lost");
        }
        known = now;
    }
    assert!(restored > 0, "no kill came late enough after a flip to prove anything");

    // Serials: never back within a life, always on from one life to the next, one content each.
    let sights = logger.stop();
    let mut contents: BTreeMap<u32, &Vec<String>> = BTreeMap::new();
    for pair in sights.windows(2) {
        let step = pair[1].serial.wrapping_sub(pair[0].serial) as i32;
        let is_fine = if pair[0].run == pair[1].run { step >= 0 } else { step > 0 };
        assert!(is_fine, "serial {} was followed by {}", pair[0].serial, pair[1].serial);
    }
    for sight in &sights {
        let first = contents.entry(sight.serial).or_insert(&sight.addresses);
        assert_eq!(**first, sight.addresses, "serial {} was used twice", sight.serial);
    }

    // Webhooks: each turn was told under one id, and no id told two things.
    let turns: BTreeSet<u64> =
        daemon.events().iter().filter(is_turn).filter_map(|entry| entry["sequence"].as_u64()).collect();
    let (told, _) = wait("every turn is told", Duration::from_secs(90), || {
        let mut told: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for request in world.hook.received() {
            let body: Value =
                serde_json::from_str(&request.body).unwrap_or_else(|error| panic!("{error}: {}", request.body));
            let id = request.header("webhook-id").expect("a webhook-id").to_owned();
            assert!(request.header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));
            let sequence = sequence_in(&body).expect("the number of a journal entry");
            let (before, text) = told.entry(id.clone()).or_insert((sequence, request.body.clone()));
            assert_eq!((*before, text.as_str()), (sequence, request.body.as_str()), "{id} told two things");
        }
        let covered: BTreeSet<u64> = told.values().map(|(sequence, _)| *sequence).collect();
        turns.is_subset(&covered).then_some(told)
    });
    let mut numbers: Vec<u64> = told.values().map(|(sequence, _)| *sequence).collect();
    numbers.sort_unstable();
    let ids = numbers.len();
    numbers.dedup();
    assert_eq!(ids, numbers.len(), "a turn was told under two ids");
    println!(
        "kill -9: {kills} kills, {} turns, {} orders, {} serials, {restored} restarts held to the last answer",
        turns.len(),
        orders.len(),
        contents.len()
    );
}

/// The addresses that one side of a turn serves.
fn addresses_in(served: &Value) -> Vec<String> {
    let all = served["data"]["addresses"].as_array().into_iter().flatten();
    all.filter_map(|address| address.as_str().map(str::to_owned)).collect()
}

/// The journal's number of what a webhook tells, wherever its body has it.
fn sequence_in(body: &Value) -> Option<u64> {
    match body {
        Value::Object(fields) => {
            let own = fields.get("sequence").and_then(Value::as_u64);
            own.or_else(|| fields.values().find_map(sequence_in))
        }
        _ => None,
    }
}

/// A small disk of its own, in a file.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("failoverd-disk-").tempdir().expect("a scratch folder");
        let disk = Self { folder };
        let image = std::fs::File::create(disk.image()).expect("a file");
        image.set_len(32 << 20).expect("32 MB, mostly holes");
        std::fs::create_dir(disk.path()).expect("a folder");
        run("mkfs.ext4", "e2fsprogs", &["-q", "-F", "-m", "0", &disk.image().display().to_string()]);
        let (image, path) = (disk.image().display().to_string(), disk.path().display().to_string());
        run("mount", "mount", &["-o", "loop", &image, &path]);
        disk
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Takes the last byte.
    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.path().join("ballast")).expect("a file");
        for block in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![1; block]).is_ok() && file.sync_data().is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("the ballast");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new(tool("umount", "mount")).arg("-l").arg(self.path()).output());
    }
}

/// While it lives, writing to the disk does not return.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn new(path: &'a Path) -> Self {
        run("fsfreeze", "util-linux", &["-f", &path.display().to_string()]);
        Self(path)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", "util-linux", &["-u", &self.0.display().to_string()]);
    }
}

fn run(command: &str, package: &str, words: &[&str]) {
    let output = Command::new(tool(command, package)).args(words).output().expect("a tool");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {words:?}: {why} (disks of their own need root)");
}

/// Not durable: the exit code the command line keeps for it.
const NOT_DURABLE: i32 = 6;

fn start_on(disk: &Disk, world: &World) -> Daemon {
    let mut daemon = Daemon::prepare(&world.config, &[world.resolver.address]);
    daemon.state = disk.path().join("state");
    daemon.launch();
    daemon.wait_ready();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    daemon
}

/// The monitor's page speaks of storage.
fn degraded(daemon: &Daemon) -> Option<String> {
    let (_, text) = get(daemon.ops, "/readyz")?;
    let lower = text.to_ascii_lowercase();
    (lower.contains("storage") || lower.contains("journal") || lower.contains("disk")).then_some(text)
}

#[test]
fn a_full_disk_stops_no_failover() {
    let disk = Disk::new();
    let mut world = World::new();
    let daemon = start_on(&disk, &world);
    daemon.wait_api();
    disk.fill();
    // What is already set aside in the file takes some entries; in the end one does not fit.
    let long = "x".repeat(480);
    let (_, _) = wait("an order that does not become durable", Duration::from_secs(120), || {
        let output = daemon.verb(&["hold", NAME, "primary", "--for", "1s", "--reason", &long]);
        (output.status.code() == Some(NOT_DURABLE)).then_some(())
    });
    wait("it says so", SOON, || degraded(&daemon));
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    world.primary.mend();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    disk.empty();
    wait("it recovers by itself", Duration::from_secs(60), || degraded(&daemon).is_none().then_some(()));
    wait("the turns are recorded after all", SOON, || {
        let events = daemon.events();
        still_told(&[], &events);
        (events.iter().filter(is_turn).count() >= 3).then_some(())
    });
}

#[test]
fn a_hung_disk_stops_no_failover() {
    let disk = Disk::new();
    let mut world = World::new();
    let daemon = start_on(&disk, &world);
    daemon.wait_api();
    let path = disk.path();
    let frozen = Frozen::new(&path);
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    let output = daemon.verb(&["hold", NAME, "primary", "--for", "1m", "--force", "--reason", "while it hangs"]);
    assert_eq!(output.status.code(), Some(NOT_DURABLE), "{output:?}");
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    wait("it says so", SOON, || degraded(&daemon));
    drop(frozen);
    wait("it recovers by itself", Duration::from_secs(60), || degraded(&daemon).is_none().then_some(()));
    wait("all of it is recorded after all", SOON, || {
        let events = daemon.events();
        still_told(&[], &events);
        let is_order = |entry: &&Value| entry["event"] == "ordered" && entry["reason"] == "while it hangs";
        (events.iter().filter(is_turn).count() >= 3 && events.iter().any(|entry| is_order(&entry))).then_some(())
    });
}
