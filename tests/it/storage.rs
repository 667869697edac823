//! What is committed survives, and a disk in trouble holds nothing up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use failoverd::config::Place;
use failoverd::control::journal::{Ending, Entry, Served, Stages, Turn, What};
use failoverd::control::{Marks, Restored};
use failoverd::decision::order::{self, Order, OrderId};
use failoverd::decision::{Data, Reason};
use failoverd::dns::Name;
use failoverd::dns::Serial;
use failoverd::edge::clock;
use failoverd::edge::storage::Storage;
use failoverd::snapshot::Generation;
use failoverd::time::Wall;
use failoverd::verdict::Class;

/// Only a broken run waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn name(text: &str) -> Name {
    Name::absolute(text).expect("a name")
}

pub(crate) fn entry(sequence: u64, what: What) -> Entry {
    Entry { sequence, at: Wall::from_millis(1_795_257_127_000), node: "ns1".into(), what }
}

/// `owner` is now served from `origin`.
pub(crate) fn turned(sequence: u64, owner: &str, place: Place, origin: &str) -> Entry {
    let address = "192.0.2.1".parse().expect("an address");
    let turn = Turn {
        name: name(owner),
        zone: name("example.com"),
        from: None,
        to: Served { place, origins: vec![origin.to_owned()], data: Data::Addresses(vec![address]) }.into(),
        reason: Reason::FailedOver,
        evidence: ["primary eu down: connection refused (192.0.2.1:443)".to_owned()].into(),
        generation: Generation(sequence),
        serial: Serial(17),
        ttl: 30,
        stages: Stages::default(),
    };
    entry(sequence, What::Turned(Box::new(turn)))
}

pub(crate) fn verdict(sequence: u64) -> Entry {
    let (from, to) = (Class::Suspect.into(), Class::Down.into());
    let what =
        What::Verdict { origin: "eu".into(), target: "192.0.2.1:443".into(), host: "h".into(), from, to, why: None };
    entry(sequence, what)
}

fn drain(id: u64, origin: &str) -> Order {
    Order {
        id: OrderId(id),
        what: order::What::Drain { origin: origin.to_owned() },
        actor: "alice".to_owned(),
        reason: "kernel".to_owned(),
        given: Wall::from_millis(1),
        until: Some(Wall::from_millis(2)),
    }
}

fn marks(generation: u64, serials: &[(&str, u32)]) -> Marks {
    let serials = serials.iter().map(|&(apex, serial)| (name(apex), Serial(serial)));
    Marks { generation: Generation(generation), serials: serials.collect() }
}

pub(crate) fn start(folder: &Path) -> (Storage, Restored) {
    Storage::start(folder).expect("nobody else uses it")
}

/// Waits until entries up to `sequence` are durable, as the controller counts.
pub(crate) fn wait_durable(storage: &Storage, sequence: u64) {
    let began = clock::moment();
    while storage.progress(clock::moment()).durable < sequence {
        assert!(clock::moment().since(began) < PATIENCE, "{:?}", storage.progress(clock::moment()));
        std::thread::yield_now();
    }
}

fn close(storage: &Storage, clean: Option<Vec<(Name, Serial, u64)>>) {
    assert!(storage.close(clean, PATIENCE), "{:?}", storage.trouble());
}

/// What a process killed now would leave: the file as it is, while it is open.
fn killed(folder: &Path) -> tempfile::TempDir {
    let left = tempfile::tempdir().expect("a folder");
    fs::copy(folder.join("state.redb"), left.path().join("state.redb")).expect("copied");
    left
}

fn set_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.to_string_lossy().contains(".bad-")).collect()
}

/// Two turns of one name, one of another, an order that stands and one that has ended.
fn past(storage: &Storage) -> Vec<Entry> {
    let ended = What::OrderEnded { order: drain(1, "eu"), by: Ending::Expired };
    let entries = vec![
        turned(1, "www.example.com", Place::Backup(1), "us"),
        turned(2, "api.example.com", Place::Primary, "eu"),
        entry(3, What::Ordered(drain(1, "eu"))),
        entry(4, What::Ordered(drain(2, "us"))),
        entry(5, ended),
        turned(6, "WWW.example.com", Place::Emergency, "last"),
    ];
    for entry in &entries {
        storage.push(entry.clone());
    }
    storage.reserve(marks(1000, &[("example.com", 1017), ("example.org", 7)]));
    storage.set_cursor("ops", 4);
    wait_durable(storage, 6);
    entries
}

#[test]
fn what_was_written_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, fresh) = start(&folder.path().join("made/on/the/way"));
    assert_eq!((fresh.next_sequence, fresh.next_order, fresh.decisions.len(), fresh.orders.len()), (1, 1, 0, 0));
    assert_eq!(storage.cursor("ops"), None);
    let entries = past(&storage);
    assert_eq!(storage.entries(0, 100).expect("readable"), entries);
    assert_eq!(storage.entries(2, 3).expect("readable"), entries[2..5]);
    assert_eq!(storage.latest(2).expect("readable"), entries[4..]);
    assert_eq!(*storage.committed().borrow(), 6);
    let clean = vec![(name("example.com"), Serial(20), 4711)];
    close(&storage, Some(clean.clone()));

    let (storage, restored) = start(&folder.path().join("made/on/the/way"));
    assert_eq!((restored.next_sequence, restored.next_order), (7, 3));
    assert_eq!(restored.orders, [drain(2, "us")]);
    assert_eq!(restored.marks, marks(1000, &[("example.com", 1017), ("example.org", 7)]));
    assert_eq!(restored.clean, clean);
    let decisions: Vec<_> =
        restored.decisions.iter().map(|one| (one.name.to_host(), one.place, one.origins.join("+"))).collect();
    assert_eq!(
        decisions,
        [
            ("api.example.com".to_owned(), Place::Primary, "eu".to_owned()),
            ("WWW.example.com".to_owned(), Place::Emergency, "last".to_owned())
        ]
    );
    assert_eq!((storage.cursor("ops"), storage.latest(100).expect("readable")), (Some(4), entries));
    // The serials move again from here on: a clean end is told once.
    let left = killed(&folder.path().join("made/on/the/way"));
    close(&storage, None);
    let (storage, restored) = start(left.path());
    assert!(restored.clean.is_empty());
    close(&storage, None);
}

#[test]
fn a_decision_is_as_old_as_the_last_sign_of_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, _) = start(folder.path());
    let before = clock::now().wall;
    past(&storage);
    close(&storage, None);
    let (storage, restored) = start(folder.path());
    assert!(restored.decisions.iter().all(|decision| decision.at >= before));
    close(&storage, None);
}

#[test]
fn decisions_of_names_no_longer_steered_are_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, _) = start(folder.path());
    past(&storage);
    storage.steered([name("www.EXAMPLE.com"), name("new.example.com")].iter());
    close(&storage, None);
    let (storage, restored) = start(folder.path());
    assert_eq!(restored.decisions.iter().map(|one| one.place).collect::<Vec<_>>(), [Place::Emergency]);
    close(&storage, None);
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, _) = start(folder.path());
    let mut entries = past(&storage);
    for sequence in 7..40 {
        entries.push(turned(sequence, "www.example.com", Place::Primary, "eu"));
        storage.push(entries.last().expect("one").clone());
        wait_durable(&storage, sequence);
        if sequence % 8 == 0 {
            let left = killed(folder.path());
            let (again, restored) = start(left.path());
            assert_eq!(again.entries(0, 100).expect("readable"), entries);
            assert_eq!((restored.next_sequence, restored.orders.len()), (sequence + 1, 1));
            assert_eq!(restored.marks.generation, Generation(1000));
            assert!(restored.clean.is_empty() && set_aside(left.path()).is_empty());
            close(&again, None);
        }
    }
    close(&storage, None);
}

#[test]
fn reserved_numbers_never_go_back_and_outlive_their_zone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, _) = start(folder.path());
    for next in [
        marks(1000, &[("example.com", 1000), ("example.org", 7)]),
        marks(900, &[("example.com", 900)]),
        // Twice half way round the circle of serials.
        marks(2000, &[("EXAMPLE.com", 0x7fff_ffff), ("example.net", 1)]),
        marks(2000, &[("example.com", 0xffff_fff0)]),
        marks(2000, &[("example.com", 5)]),
    ] {
        storage.reserve(next);
        assert!(storage.wait_reserved(PATIENCE));
        assert!(storage.progress(clock::moment()).reserved.is_some());
    }
    close(&storage, None);
    let (storage, restored) = start(folder.path());
    assert_eq!(restored.marks, marks(2000, &[("example.com", 5), ("example.org", 7), ("example.net", 1)]));
    close(&storage, None);
}

#[test]
fn an_unreadable_file_is_set_aside_and_the_start_goes_on() {
    let whole = tempfile::tempdir().expect("a folder");
    let (storage, _) = start(whole.path());
    past(&storage);
    close(&storage, None);
    let good = fs::read(whole.path().join("state.redb")).expect("readable");
    let mut no_root = good.clone();
    no_root[..320].fill(0xff);
    let mut no_data = good.clone();
    no_data[4096..].fill(0x5a);
    for (how, bytes) in [
        ("not a database", b"this is not a database".repeat(500)),
        ("no header", no_root),
        ("no data", no_data),
        ("cut off", good[..good.len() / 3].to_vec()),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("state.redb"), &bytes).expect("written");
        let (storage, restored) = start(folder.path());
        assert_eq!((restored.next_sequence, restored.orders.len()), (1, 0), "{how}");
        let aside = set_aside(folder.path());
        assert_eq!(aside.len(), 1, "{how}: {aside:?}");
        assert_eq!(fs::read(&aside[0]).expect("readable").len(), bytes.len(), "{how}");
        storage.push(turned(1, "www.example.com", Place::Primary, "eu"));
        wait_durable(&storage, 1);
        assert_eq!(storage.trouble(), None, "{how}");
        close(&storage, None);
    }
}

#[test]
fn two_processes_cannot_share_a_state_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, _) = start(folder.path());
    let second = Storage::start(folder.path()).expect_err("in use");
    assert_eq!(second.folder, folder.path());
    assert!(set_aside(folder.path()).is_empty());
    close(&storage, None);
    let (storage, _) = start(folder.path());
    close(&storage, None);
}

#[test]
fn without_a_folder_it_starts_tells_and_recovers_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let (storage, _) = start(&state);
    let before = past(&storage);
    close(&storage, None);
    // A file where the folder should be: as good as a disk that is not mounted.
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&state, &elsewhere).expect("moved");
    fs::write(&state, "").expect("written");

    let (storage, restored) = start(&state);
    assert_eq!((restored.next_sequence, restored.decisions.len()), (1, 0));
    assert!(storage.trouble().is_some_and(|trouble| trouble.contains("state.redb")), "{:?}", storage.trouble());
    let during = [
        turned(1, "api.example.com", Place::Emergency, "last"),
        entry(2, What::Ordered(drain(1, "eu"))),
        turned(3, "www.example.com", Place::Backup(1), "us"),
    ];
    for entry in &during {
        storage.push(entry.clone());
    }
    storage.reserve(marks(500, &[("example.com", 100)]));
    assert!(!storage.wait_reserved(Duration::ZERO));
    assert!(storage.entries(0, 10).is_err() && !storage.is_open());

    fs::remove_file(&state).expect("removed");
    fs::rename(&elsewhere, &state).expect("moved");
    wait_durable(&storage, 3);
    assert_eq!((storage.is_open(), storage.cursor("ops")), (true, Some(4)));
    // Commits are well again; people are told what the running daemon does not know.
    assert_eq!(storage.progress(clock::moment()).trouble, None);
    let late = "the state of the last run was read late: 1 orders and the reserved serials";
    assert!(storage.trouble().is_some_and(|told| told.starts_with(late)), "{:?}", storage.trouble());
    // The journal goes on where it had ended.
    let journal = storage.entries(0, 100).expect("readable");
    assert_eq!(journal[..6], before);
    assert_eq!(journal[6..].iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!(*storage.committed().borrow(), 9);
    close(&storage, None);

    let (storage, restored) = start(&state);
    // Orders of the run before stand; those of the late one are numbered after them.
    assert_eq!(storage.trouble(), None);
    assert_eq!(restored.orders, [drain(2, "us"), drain(3, "eu")]);
    assert_eq!((restored.next_sequence, restored.next_order), (10, 4));
    assert_eq!(restored.marks, marks(1000, &[("example.com", 1017), ("example.org", 7)]));
    let places: Vec<_> = restored.decisions.iter().map(|one| one.place).collect();
    assert_eq!(places, [Place::Emergency, Place::Backup(1)]);
    close(&storage, None);
}

#[test]
fn a_state_file_read_late_gives_way_only_where_this_run_has_decided() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let (storage, _) = start(&state);
    past(&storage);
    storage.push(entry(7, What::Ordered(drain(3, "asia"))));
    wait_durable(&storage, 7);
    close(&storage, None);
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&state, &elsewhere).expect("moved");
    fs::write(&state, "").expect("written");

    let (storage, _) = start(&state);
    // The drain of "us" is given anew and ended; the hold of a serial is lower than that of the run before.
    storage.push(turned(1, "api.example.com", Place::Emergency, "last"));
    storage.push(entry(2, What::Ordered(drain(1, "us"))));
    storage.reserve(marks(500, &[("example.com", 2000), ("example.org", 3)]));
    fs::remove_file(&state).expect("removed");
    fs::rename(&elsewhere, &state).expect("moved");
    wait_durable(&storage, 2);
    // What comes after the late opening counts on too.
    storage.push(entry(3, What::OrderEnded { order: drain(1, "us"), by: Ending::Expired }));
    storage.push(entry(4, What::Ordered(drain(2, "eu"))));
    wait_durable(&storage, 4);
    close(&storage, None);

    let (storage, restored) = start(&state);
    assert_eq!(restored.orders, [drain(3, "asia"), drain(5, "eu")]);
    assert_eq!((restored.next_sequence, restored.next_order), (12, 6));
    assert_eq!(restored.marks, marks(1000, &[("example.com", 2000), ("example.org", 7)]));
    let places: Vec<_> = restored.decisions.iter().map(|one| one.place).collect();
    assert_eq!(places, [Place::Emergency, Place::Emergency]);
    assert_eq!(storage.latest(1).expect("readable"), [entry(11, What::Ordered(drain(5, "eu")))]);
    close(&storage, None);
}
