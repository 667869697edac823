//! TCP under every kind of client: the idle, the slow, the many, those who never read; and us without descriptors, and
//! stopping.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use crate::support::daemon::{Daemon, ZONE, get, usage};
use crate::support::tcp::{LONG, ask, connect, framed, is_closed, next, raise_descriptors, source};
use crate::support::{dns, rounds, tool, wait};

const NAME: &str = "static.example.test";
const ADDRESS: &str = "192.0.2.80";
const IDLE: usize = 2_000;
const SLOW: usize = 500;
/// What a new query may take however many connections there are.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Kilobytes that one connection may cost us.
const MEMORY: u64 = 64;

/// A daemon with this `[server.tcp]`, and a name whose answer takes 40 KiB.
fn start(tcp: &str) -> Daemon {
    raise_descriptors();
    let mut daemon = Daemon::prepare(&format!("[server.tcp]\n{tcp}\n"), &["127.0.0.1:9".parse().expect("an address")]);
    let fat: String = (0..200).map(|number| format!("fat TXT \"{number:0>200}\"\n")).collect();
    daemon.write("example.test.zone", &format!("{ZONE}{fat}"));
    daemon.launch();
    daemon.wait_ready();
    daemon
}

fn descriptors(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors").count()
}

/// One figure of the daemon.
fn figure(daemon: &Daemon, series: &str) -> u64 {
    let (_, text) = get(daemon.ops, "/metrics").expect("metrics");
    let value =
        text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series}:\n{text}"));
    value.trim().parse().expect("a count")
}

fn closed(daemon: &Daemon, why: &str) -> u64 {
    figure(daemon, &format!("failoverd_connections_closed_total{{reason=\"{why}\"}}"))
}

/// Keeps this many clients connected who do nothing, or send one byte a second: whoever is closed comes again.
struct Crowd<'a> {
    server: SocketAddr,
    stop: &'a AtomicBool,
    connected: &'a AtomicUsize,
    again: &'a AtomicUsize,
}

impl Crowd<'_> {
    fn run(&self, first: usize, count: usize, is_slow: bool) {
        let query = framed(&dns::question(NAME, dns::A, false, 1));
        // 20 clients, so that no cap per client gets in the way.
        let connected = |number: usize| connect(source(first + number % 20), self.server).expect("a connection");
        let mut clients: Vec<(TcpStream, usize)> = Vec::new();
        for number in 0..count {
            clients.push((connected(number), 0));
            self.connected.fetch_add(1, Ordering::Relaxed);
        }
        let mut byte = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let is_time = byte.elapsed() >= Duration::from_secs(1);
            if is_time {
                byte = Instant::now();
            }
            for (number, (stream, sent)) in clients.iter_mut().enumerate() {
                if is_slow && is_time {
                    // A closed one is found out below.
                    let _ = stream.write(&query[*sent..=*sent]);
                    *sent = (*sent + 1) % query.len();
                }
                if is_closed(stream) {
                    self.again.fetch_add(1, Ordering::Relaxed);
                    (*stream, *sent) = (connected(number), 0);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Median, 99th percentile and maximum.
fn spread(mut took: Vec<Duration>) -> [Duration; 3] {
    took.sort();
    [took.len() / 2, took.len() * 99 / 100, took.len() - 1].map(|at| took[at])
}

/// 2,000 idle connections and 500 slow senders: new queries are answered at once.
fn crowded(what: &str, tcp: &str) {
    let (daemon, has_room) = (start(tcp), tcp.is_empty());
    let pid = daemon.pid();
    let (before, descriptors_before) = (usage(pid).0, descriptors(&daemon));
    let (stop, connected, again) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let crowd = Crowd { server: daemon.dns, stop: &stop, connected: &connected, again: &again };
    thread::scope(|scope| {
        scope.spawn(|| crowd.run(0, IDLE, false));
        scope.spawn(|| crowd.run(1000, SLOW, true));
        // A failed test lets go of the crowd.
        let _let_go = LetGo(&stop);
        wait("all are connected", Duration::from_secs(60), || {
            (connected.load(Ordering::Relaxed) == IDLE + SLOW).then_some(())
        });
        let (mut udp, mut tcp, mut most, mut memory) = (Vec::new(), Vec::new(), 0, 0);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(rounds(12, 60) as u64) {
            let sent = Instant::now();
            assert_eq!(daemon.addresses(NAME).expect("an answer over UDP"), [ADDRESS]);
            udp.push(sent.elapsed());
            let sent = Instant::now();
            let mut stream = connect(source(2000), daemon.dns).expect("a connection");
            assert_eq!(ask(&mut stream, NAME, dns::A, 1).expect("an answer over TCP").addresses(), [ADDRESS]);
            tcp.push(sent.elapsed());
            drop(stream);
            thread::sleep(Duration::from_millis(5));
            if udp.len() % 50 == 1 {
                most = most.max(figure(&daemon, "failoverd_connections_open "));
                memory = memory.max(usage(pid).0);
            }
        }
        let per_connection = memory.saturating_sub(before) as f64 / most as f64;
        println!(
            "{what}: {} queries each; UDP [median, p99, max] {:?}, TCP {:?}; at most {most} open, {per_connection:.1} kB \
             each; {} closed and come again; idle {}, slow-query {}, full {}",
            udp.len(),
            spread(udp.clone()),
            spread(tcp.clone()),
            again.load(Ordering::Relaxed),
            closed(&daemon, "idle"),
            closed(&daemon, "slow-query"),
            closed(&daemon, "full"),
        );
        assert!(per_connection <= MEMORY as f64, "{per_connection} kB for each of {most}");
        // Where the machine is ours alone. A crowd that comes again 20,000 times a second is more than was promised.
        if rounds(0, 1) == 1 {
            for [_, most, slowest] in [spread(udp), spread(tcp)] {
                let bound = if has_room { slowest } else { most };
                assert!(bound < AT_ONCE, "{bound:?}");
            }
        }
    });
    wait("the descriptors are back", LONG, || (descriptors(&daemon) <= descriptors_before).then_some(()));
}

struct LetGo<'a>(&'a AtomicBool);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn two_thousand_idle_and_five_hundred_slow_hold_up_nobody() {
    crowded("with room for all", "");
}

#[test]
fn nor_when_they_are_more_than_there_is_room_for() {
    crowded("with room for 500", "connections = 500\nper_client = 500");
}

#[test]
fn the_idle_and_the_slow_are_closed_in_time() {
    let daemon = start("idle = \"2s\"\nreceive = \"1s\"");
    let began = Instant::now();
    let mut idle = connect(source(0), daemon.dns).expect("a connection");
    let mut slow = connect(source(0), daemon.dns).expect("a connection");
    // A length that nothing follows.
    slow.write_all(&[0xff, 0xff]).expect("a write");
    assert!(next(&mut slow).is_err() && began.elapsed() >= Duration::from_secs(1));
    // Use puts it off.
    assert_eq!(ask(&mut idle, NAME, dns::A, 1).expect("an answer").addresses(), [ADDRESS]);
    let asked = Instant::now();
    assert!(next(&mut idle).is_err() && asked.elapsed() >= Duration::from_secs(2));
    wait("both are counted", LONG, || {
        (closed(&daemon, "idle") == 1 && closed(&daemon, "slow-query") == 1).then_some(())
    });
}

#[test]
fn as_many_connections_a_second_as_the_client_reaches() {
    let daemon = start("");
    let before = descriptors(&daemon);
    let memory = usage(daemon.pid()).0;
    let span = Duration::from_secs(rounds(5, 60) as u64);
    let began = Instant::now();
    let done: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|half| {
                let server = daemon.dns;
                scope.spawn(move || {
                    let mut count = 0;
                    while began.elapsed() < span {
                        // A new address each time: the ports of one would run out.
                        let mut stream = connect(source(half << 21 | count), server).expect("a connection");
                        let answer = ask(&mut stream, NAME, dns::A, count as u16).expect("an answer");
                        assert_eq!(answer.addresses(), [ADDRESS]);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("all answered")).sum()
    });
    let rate = done as f64 / span.as_secs_f64();
    wait("the descriptors are back", LONG, || (descriptors(&daemon) <= before).then_some(()));
    wait("none is open", LONG, || (figure(&daemon, "failoverd_connections_open ") == 0).then_some(()));
    let after = usage(daemon.pid()).0;
    println!("{done} connections of one query, {rate:.0} a second; {memory} kB before, {after} kB after");
    // A leak of 64 bytes a connection would show in a minute.
    assert!(after < memory + 8_000, "{memory} kB before, {after} kB after");
}

#[test]
fn without_descriptors_it_answers_and_recovers() {
    let daemon = start("");
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid"));
    let open: Vec<u64> = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .expect("its descriptors")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // The number of a descriptor counts, not how many there are: eight more.
    let eighth_free = (0..).filter(|number| !open.contains(number)).nth(8).expect("a number");
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(eighth_free), maximum };
    let before = prlimit(pid, Resource::Nofile, limit).expect("a limit on our own child");
    let mut crowd: Vec<_> = (0..100).map(|number| connect(source(number), daemon.dns).expect("a connection")).collect();
    // Who says nothing at all is let in after a second.
    crowd.iter_mut().for_each(|stream| stream.write_all(&[0]).expect("the beginning of a query"));
    for id in 0..20 {
        assert_eq!(daemon.addresses(NAME).expect("an answer over UDP"), [ADDRESS]);
        let mut stream = connect(source(200), daemon.dns).expect("a connection");
        assert_eq!(ask(&mut stream, NAME, dns::A, id).expect("an answer over TCP").addresses(), [ADDRESS]);
    }
    prlimit(pid, Resource::Nofile, before).expect("the limit back");
    assert!(closed(&daemon, "no-descriptors") > 0);
    drop(crowd);
    let mut crowd: Vec<_> = (0..100).map(|number| connect(source(number), daemon.dns).expect("a connection")).collect();
    wait("all are in", LONG, || (figure(&daemon, "failoverd_connections_open ") == 100).then_some(()));
    for stream in &mut crowd {
        assert_eq!(ask(stream, NAME, dns::A, 7).expect("an answer").addresses(), [ADDRESS]);
    }
}

#[test]
fn a_limit_of_descriptors_below_the_cap_is_told() {
    let mut daemon = Daemon::prepare("", &["127.0.0.1:9".parse().expect("an address")]);
    daemon.wrapper = vec![tool("prlimit", "util-linux").display().to_string(), "--nofile=512:512".to_owned()];
    daemon.launch();
    daemon.wait_ready();
    let log = daemon.log();
    assert_eq!(log.matches("at most 256 TCP connections").count(), 1, "{log}");
}

#[test]
fn what_was_asked_before_the_stop_is_answered() {
    let mut daemon = start("");
    let mut stream = connect(source(0), daemon.dns).expect("a connection");
    let mut idle = connect(source(1), daemon.dns).expect("a connection");
    // 4 MB of answers: more than the system takes at once.
    let query = framed(&dns::question("fat.example.test", 16, false, 9));
    stream.write_all(&query.repeat(100)).expect("a write");
    next(&mut stream).expect("the first");
    daemon.signal(Signal::TERM);
    for _ in 1..100 {
        assert_eq!(dns::read(&next(&mut stream).expect("an answer")).expect("well-formed").answers.len(), 200);
    }
    assert!(next(&mut stream).is_err() && next(&mut idle).is_err(), "then it is closed");
    assert!(daemon.wait_end().success());
}

#[test]
fn those_who_never_read_are_closed_and_hold_little() {
    let daemon = start("send = \"2s\"");
    let before = usage(daemon.pid()).0;
    let query = framed(&dns::question("fat.example.test", 16, false, 9));
    let mut deaf: Vec<_> = (0..100).map(|number| connect(source(number), daemon.dns).expect("a connection")).collect();
    for stream in &mut deaf {
        stream.set_nonblocking(true).expect("a socket");
        // As much as it takes of 20 MB of answers.
        let _ = stream.write(&query.repeat(500));
    }
    let mut most = 0;
    wait("all are closed", LONG, || {
        assert_eq!(daemon.addresses(NAME).expect("an answer"), [ADDRESS]);
        most = most.max(usage(daemon.pid()).0);
        (closed(&daemon, "slow-reply") == 100).then_some(())
    });
    let each = most.saturating_sub(before) as f64 / 100.0;
    println!("{each:.1} kB for each of 100 clients that never read");
    assert!(each <= 100.0, "{each} kB");
    // Nor does the system hold on to what they did not take.
    wait("nothing outlives its connection", LONG, || (orphans(daemon.dns) == 0).then_some(()));
}

/// Connections of `server` that are closed on its side alone: the system still holds answers for their clients.
fn orphans(server: SocketAddr) -> usize {
    const FIN_WAIT1: &str = "04";
    let port = format!(":{:04X}", server.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 3 && row[1].ends_with(&port) && row[3] == FIN_WAIT1).count()
}

#[test]
fn pipelined_queries_of_many_connections_are_answered_in_order() {
    let daemon = start("");
    let mut streams: Vec<_> =
        (0..50).map(|number| connect(source(number), daemon.dns).expect("a connection")).collect();
    let began = Instant::now();
    let turns = rounds(100, 2_000);
    for turn in 0..turns {
        for stream in &mut streams {
            let ids = (0..8).map(|at| (turn * 8 + at) as u16);
            let batch: Vec<u8> = ids.flat_map(|id| framed(&dns::question(NAME, dns::A, false, id))).collect();
            stream.write_all(&batch).expect("a write");
        }
        for stream in &mut streams {
            for at in 0..8 {
                let message = next(stream).expect("an answer");
                assert!(message.starts_with(&((turn * 8 + at) as u16).to_be_bytes()), "in order");
                assert_eq!(dns::read(&message).expect("well-formed").addresses(), [ADDRESS]);
            }
        }
    }
    println!("50 × 8 pipelined: {:.0} queries a second", (turns * 400) as f64 / began.elapsed().as_secs_f64());
}
