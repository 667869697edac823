//! The ways to ask, by the daemon on real sockets: what a name's answer does when an origin is asked by them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::daemon::{BACKUP, PRIMARY};
use crate::support::daemon::{Daemon, FAST, get, get_with};
use crate::support::origin::Origin;
use crate::support::resolver::Resolver;
use crate::support::{free_port, wait};

const NAME: &str = "www.example.test";
/// Far above what the settings of [`FAST`] need; only a hang comes near it.
const SOON: Duration = Duration::from_secs(15);
const SECRET: &str = "0123456789abcdef";

/// A daemon whose primary is asked by `check`, with its backup asked over HTTP. `more` are further tables.
fn prepared(check: &str, more: &str) -> (Daemon, (Origin, Resolver)) {
    let (port, resolver) = (free_port(), Resolver::start());
    let body = format!(
        "{more}[defaults]\ncheck = {{ {FAST} }}\n\n[check.way]\n{check}\n\n[check.site]\nhttp = \"/\"\nport = {port}\n\n\
         [origin.eu]\na = [\"{PRIMARY}\"]\nprobe = {{ check = \"way\" }}\n\n[origin.us]\na = [\"{BACKUP}\"]\n\n\
         [steer.\"{NAME}\"]\nprimary = \"eu\"\nbackup = \"us\"\ncheck = \"site\"\nttl = \"5s\"\nfailback = \"auto\"\n"
    );
    (Daemon::prepare(&body, &[resolver.address]), (Origin::start(BACKUP, port), resolver))
}

fn launch(daemon: &mut Daemon) {
    daemon.launch();
    daemon.wait_ready();
}

/// What an origin tells us by calling, for as long as this lives.
const SILENT: u8 = 0;
const WELL: u8 = 1;
const ILL: u8 = 2;

/// Ends the calls, however the story ends.
struct Ending<'a>(&'a AtomicU8);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
    }
}

#[test]
fn an_origin_that_calls_is_served_and_one_that_stops_is_left() {
    let door = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let listen = format!("[heartbeat]\nlisten = \"{door}\"\n\n");
    let (mut daemon, _world) = prepared("heartbeat = { secret_file = \"beat.token\" }", &listen);
    daemon.write("beat.token", SECRET);
    launch(&mut daemon);
    let state = AtomicU8::new(WELL);
    let done = AtomicU8::new(0);
    let call = |status: &str| {
        let path = format!("/heartbeat/eu/way?status={status}");
        get_with(door, &path, &format!("authorization: Bearer {SECRET}\r\n")).map(|(code, _)| code)
    };
    wait("a call that is heard", SOON, || call("ok").filter(|&code| code == 200));
    assert_eq!(get(door, "/heartbeat/eu/way").map(|(code, _)| code), Some(401), "nobody without the secret");
    thread::scope(|scope| {
        let _calls = Ending(&done);
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) == 0 {
                match state.load(Ordering::Relaxed) {
                    SILENT => None,
                    ILL => call("fail"),
                    _ => call("ok"),
                };
                thread::park_timeout(Duration::from_millis(250));
            }
        });
        daemon.wait_address(NAME, PRIMARY.into(), SOON);
        for trouble in [SILENT, ILL] {
            state.store(trouble, Ordering::Relaxed);
            daemon.wait_address(NAME, BACKUP.into(), SOON);
            state.store(WELL, Ordering::Relaxed);
            daemon.wait_address(NAME, PRIMARY.into(), SOON);
        }
    });
    let told: Vec<String> = daemon.events().iter().map(ToString::to_string).collect();
    for why in ["no heartbeat for ", "it reports its own failure"] {
        assert!(told.iter().any(|entry| entry.contains(why)), "{why}: {told:#?}");
    }
    let traced = daemon.say(&["probe", "eu", "--trace"]);
    assert!(traced.contains("eu at eu, check way"), "{traced}");
}

/// A check by a program, which ends with the daemon and leaves nobody behind.
#[test]
fn a_program_decides_and_ends_with_the_daemon() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (verdict, pids) = (scratch.path().join("verdict"), scratch.path().join("pids"));
    let script = format!(
        "PATH=/bin:/usr/bin; read word < {}; case $word in hang) sleep 1000 & echo $! >> {pids}; setsid sleep 1000 & \
         echo $! >> {pids}; wait;; esac; exit $word",
        verdict.display(),
        pids = pids.display()
    );
    let say = |word: &str| std::fs::write(&verdict, format!("{word}\n")).expect("a file");
    say("0");
    let (mut daemon, _world) = prepared(&format!("exec = [\"/bin/sh\", \"-c\", '{script}']"), "");
    "exec = true\n".clone_into(&mut daemon.server);
    launch(&mut daemon);
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    say("3");
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    say("0");
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    say("hang");
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    let children = || {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        text.lines().filter_map(|line| line.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    // Killed by its timeout, or by the stop: none of them sleeps on.
    wait("a program that hangs", SOON, || children().iter().any(|&pid| sleeps(pid)).then_some(()));
    daemon.stop();
    wait("the end of all programs", SOON, || (!children().iter().any(|&pid| sleeps(pid))).then_some(()));
}

/// As systemd starts it: with the privilege that lets it bind port 53, and hands it on to whatever it executes.
#[test]
fn a_program_has_none_of_our_privileges() {
    let scratch = tempfile::tempdir().expect("a folder");
    let seen = scratch.path().join("seen");
    let script = format!("/bin/grep CapAmb /proc/self/status > {0}.new; /bin/mv {0}.new {0}", seen.display());
    let (mut daemon, _world) = prepared(&format!("exec = [\"/bin/sh\", \"-c\", '{script}']"), "");
    "exec = true\n".clone_into(&mut daemon.server);
    let (inherited, ambient) = ("--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service");
    daemon.wrapper = ["unshare", "--map-root-user", "setpriv", inherited, ambient].map(str::to_owned).to_vec();
    launch(&mut daemon);
    let (told, _) = wait("a run", SOON, || std::fs::read_to_string(&seen).ok());
    assert!(told.contains("CapAmb:\t0000000000000000"), "{told}");
}

/// Is this still the `sleep` of the script above?
fn sleeps(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.starts_with("Name:\tsleep") && !status.contains("State:\tZ")
}

#[test]
fn a_program_is_not_run_unless_the_server_says_so() {
    let (mut daemon, _world) = prepared("exec = [\"/bin/true\"]", "");
    daemon.launch();
    assert!(!daemon.wait_end().success());
    assert!(daemon.log().contains("set `exec = true` in [server] to allow them"), "{}", daemon.log());
}
