//! Alerts against a real HTTP receiver: never lost, in order, once, signed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use failoverd::config::{Alert, Config, Place};
use failoverd::edge::alerts::{self, Undelivered};
use failoverd::edge::load;
use failoverd::edge::storage::Storage;
use ring::hmac;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::storage::{start, turned, verdict, wait_durable};

/// Only a broken run waits this long.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &[u8] = b"a key of thirty-two bytes, or so";

/// One POST as it came.
#[derive(Clone, Debug)]
struct Post {
    headers: Vec<(String, String)>,
    body: String,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("no {name} in {:?}", self.headers), |(_, value)| value.as_str())
    }

    fn sequence(&self) -> u64 {
        self.json()["data"]["sequence"].as_u64().expect("a number")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// As a receiver checks it.
    fn is_signed_with(&self, key: &[u8]) -> bool {
        let signature = self.header("webhook-signature").strip_prefix("v1,").expect("version 1");
        let signed = format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, signed.as_bytes(), &BASE64_STANDARD.decode(signature).expect("base64")).is_ok()
    }
}

/// What the receiver does with the next posts; accepts when the list is at its end.
#[derive(Clone, Copy)]
enum Mood {
    Fail,
    HangUp,
}

struct Target {
    address: SocketAddr,
    posts: Receiver<Post>,
    moods: Arc<Mutex<Vec<Mood>>>,
}

impl Target {
    fn start(moods: &[Mood]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, posts) = sync_channel(1000);
        let moods = Arc::new(Mutex::new(moods.iter().rev().copied().collect::<Vec<_>>()));
        let shared = Arc::clone(&moods);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let post = read(&stream);
                let mood = shared.lock().expect("not poisoned").pop();
                let reply = match mood {
                    Some(Mood::HangUp) => "",
                    Some(Mood::Fail) => {
                        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    }
                    None => "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
                };
                if seen.send(post).is_err() {
                    return;
                }
                let _ = (&stream).write_all(reply.as_bytes());
            }
        });
        Self { address, posts, moods }
    }

    fn next(&self) -> Post {
        self.posts.recv_timeout(PATIENCE).expect("a post")
    }

    fn alert(&self, name: &str) -> Alert {
        Alert { name: name.to_owned(), webhook: format!("http://{}/hook", self.address), secret: None }
    }
}

fn read(stream: &TcpStream) -> Post {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").expect("a length").1.parse().expect("one");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    Post { headers, body: String::from_utf8(body).expect("UTF-8") }
}

/// The alerts of a daemon, without the daemon.
struct Alerting {
    storage: Storage,
    config: watch::Sender<Arc<Config>>,
    undelivered: Undelivered,
    runtime: Option<Runtime>,
}

impl Alerting {
    fn start(folder: &Path, alerts: Vec<Alert>) -> Self {
        let (storage, _) = start(&folder.join("state"));
        let (config, configs) = watch::channel(with(&config(folder), alerts));
        let undelivered = Undelivered::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.spawn(alerts::run(configs, storage.clone(), KEY.to_vec(), undelivered.clone()));
        Self { storage, config, undelivered, runtime: Some(runtime) }
    }

    fn stop(mut self) {
        self.runtime.take().expect("running").shutdown_timeout(PATIENCE);
        assert!(self.storage.close(None, PATIENCE));
    }

    /// Pushes a turn and waits until it is durable.
    fn turn(&self, sequence: u64) {
        self.storage.push(turned(sequence, "www.example.com", Place::Backup(1), "us"));
        wait_durable(&self.storage, sequence);
    }

    /// Waits until this alert's cursor is where it should be.
    fn wait_cursor(&self, alert: &str, sequence: u64) {
        let began = failoverd::edge::clock::moment();
        while self.storage.cursor(alert) != Some(sequence) {
            let waited = failoverd::edge::clock::moment().since(began);
            assert!(waited < PATIENCE, "{alert} is at {:?}", self.storage.cursor(alert));
            thread::yield_now();
        }
    }
}

fn config(folder: &Path) -> Config {
    let zone = "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 1209600 5\n@ NS ns1\nns1 A 127.0.0.1\n";
    fs::write(folder.join("example.com.zone"), zone).expect("written");
    let path = folder.join("failoverd.toml");
    fs::write(&path, "contract = 1\n[zone.\"example.com\"]\nfile = \"example.com.zone\"\n").expect("written");
    (*load::load(&path).unwrap_or_else(|errors| panic!("{errors}")).config).clone()
}

fn with(config: &Config, alerts: Vec<Alert>) -> Arc<Config> {
    Arc::new(Config { alerts, ..config.clone() })
}

#[test]
fn a_target_that_fails_gets_each_message_in_order_and_once_accepted_never_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target::start(&[Mood::Fail, Mood::HangUp]);
    let alerting = Alerting::start(folder.path(), vec![target.alert("ops")]);
    alerting.wait_cursor("ops", 0);
    alerting.turn(1);
    alerting.storage.push(verdict(2));
    alerting.turn(3);

    let tries = [target.next(), target.next(), target.next(), target.next()];
    assert_eq!(tries.each_ref().map(Post::sequence), [1, 1, 1, 3]);
    let ids = tries.each_ref().map(|post| post.header("webhook-id"));
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert!(ids[0].starts_with("msg_ns1_1_"), "{ids:?}");
    assert!(tries.iter().all(|post| post.is_signed_with(KEY)));
    assert!(!tries[0].is_signed_with(b"another key"));
    let told = tries[3].json();
    assert_eq!(told["type"], "turn");
    for field in ["node", "name", "zone", "to", "reason", "evidence", "serial", "ttl", "generation", "text"] {
        assert!(!told["data"][field].is_null(), "no {field} in {told}");
    }
    alerting.wait_cursor("ops", 3);
    assert!(alerting.undelivered.lines().is_empty());
    assert!(target.posts.try_recv().is_err());
    alerting.stop();
}

#[test]
fn a_restart_goes_on_after_what_was_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target::start(&[]);
    let alerting = Alerting::start(folder.path(), vec![target.alert("ops")]);
    alerting.wait_cursor("ops", 0);
    alerting.turn(1);
    assert_eq!(target.next().sequence(), 1);
    alerting.wait_cursor("ops", 1);
    // Down for the next one.
    *target.moods.lock().expect("not poisoned") = vec![Mood::Fail; 1000];
    alerting.turn(2);
    let failed = target.next();
    assert_eq!(failed.sequence(), 2);
    alerting.stop();

    target.moods.lock().expect("not poisoned").clear();
    let alerting = Alerting::start(folder.path(), vec![target.alert("ops")]);
    let mut next = target.next();
    assert_eq!((next.sequence(), next.header("webhook-id")), (2, failed.header("webhook-id")));
    alerting.turn(3);
    next = target.next();
    assert_eq!(next.sequence(), 3);
    alerting.wait_cursor("ops", 3);
    alerting.stop();
}

#[test]
fn a_slow_target_holds_up_nobody_and_a_new_one_begins_at_the_present() {
    let folder = tempfile::tempdir().expect("a folder");
    // Takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let slow = Alert {
        name: "slow".to_owned(),
        webhook: format!("http://{}/", silent.local_addr().expect("an address")),
        secret: None,
    };
    let quick = Target::start(&[]);
    let alerting = Alerting::start(folder.path(), vec![slow.clone(), quick.alert("quick")]);
    alerting.wait_cursor("slow", 0);
    alerting.wait_cursor("quick", 0);
    for sequence in 1..=3 {
        alerting.turn(sequence);
        assert_eq!(quick.next().sequence(), sequence);
    }
    assert_eq!(alerting.storage.cursor("slow"), Some(0));

    let own_key = b"its own key".to_vec();
    let late = Target::start(&[]);
    let late_alert = Alert { secret: Some(own_key.clone()), ..late.alert("late") };
    let config = with(&alerting.config.borrow(), vec![slow, quick.alert("quick"), late_alert]);
    alerting.config.send_replace(config);
    alerting.wait_cursor("late", 3);
    alerting.turn(4);
    let first = late.next();
    assert_eq!((first.sequence(), first.is_signed_with(&own_key)), (4, true));
    assert_eq!(quick.next().sequence(), 4);
    alerting.stop();
}

#[test]
fn an_alert_that_was_removed_begins_at_the_present_when_it_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gone, stays) = (Target::start(&[]), Target::start(&[]));
    let both = || vec![gone.alert("gone"), stays.alert("stays")];
    let alerting = Alerting::start(folder.path(), both());
    alerting.wait_cursor("gone", 0);
    alerting.turn(1);
    alerting.wait_cursor("gone", 1);
    let base = config(folder.path());
    alerting.config.send_replace(with(&base, vec![stays.alert("stays")]));
    let began = failoverd::edge::clock::moment();
    while alerting.storage.cursor("gone").is_some() {
        assert!(failoverd::edge::clock::moment().since(began) < PATIENCE);
        thread::yield_now();
    }
    alerting.turn(2);
    alerting.config.send_replace(with(&base, both()));
    alerting.wait_cursor("gone", 2);
    alerting.turn(3);
    assert_eq!([gone.next().sequence(), gone.next().sequence()], [1, 3]);
    alerting.wait_cursor("gone", 3);
    alerting.wait_cursor("stays", 3);
    alerting.stop();

    // Removed while the daemon was down.
    let alerting = Alerting::start(folder.path(), vec![stays.alert("stays")]);
    alerting.turn(4);
    alerting.wait_cursor("stays", 4);
    alerting.stop();
    let (storage, _) = start(&folder.path().join("state"));
    assert_eq!((storage.cursor("gone"), storage.cursor("stays")), (None, Some(4)));
    assert!(storage.close(None, PATIENCE));
}
