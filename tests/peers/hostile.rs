//! Malformed, mutated and hostile packets over UDP and TCP: the daemon answers what is a query and nothing else, stays
//! within the size allowed, serves everybody else meanwhile, and does not grow.
//!
//! UDP goes in windows: each ends in a query that is surely answered, and as one socket is served by one worker in
//! order, all replies to the window are in before that one. So silence is seen as exactly as a reply.

mod draw; //   what is sent
mod flood; //  who sends it, and what must come back
mod oracle; // what a reply may look like

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::draw::Hostile;
use self::flood::{Tcp, Udp};
use crate::support::daemon::{Daemon, get, usage};
use crate::support::{dns, free_port, rounds, wait};

/// A zone with every shape that an answer can take, and some that do not fit.
fn zone() -> String {
    let mut text = "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\n@ NS ns2\n@ MX 10 mail\n@ MX 20 \
                    mail2\n@ TXT \"v=spf1 -all\"\nns1 A 192.0.2.1\nns2 A 192.0.2.2\nns2 AAAA 2001:db8::2\nmail A \
                    192.0.2.3\nmail2 AAAA 2001:db8::3\nwww A 192.0.2.4\nwww AAAA 2001:db8::4\nwww HTTPS 1 . alpn=h2\nalias \
                    CNAME www\nring CNAME ring2\nring2 CNAME ring\ndead CNAME nobody\n*.wild A 192.0.2.5\n*.wild TXT \
                    wild\nx.y.wild MX 10 mail\nold DNAME new\nx.new A 192.0.2.6\nsub NS ns.sub\nsub NS ns1\nns.sub A \
                    192.0.2.7\nns.sub AAAA 2001:db8::7\na.b.c.deep A 192.0.2.8\n_sip._tcp SRV 0 0 5060 www\nunknown \
                    TYPE65280 \\# 3 010203\n"
        .to_owned();
    for number in 0..30 {
        let long = "x".repeat(198);
        writeln!(text, "big TXT \"{number:02}{long}\"\nmany A 192.0.2.{number}").expect("a string");
        writeln!(text, "wide NS ns{number}.wide\nns{number}.wide A 192.0.2.{number}").expect("a string");
        writeln!(text, "ns{number}.wide AAAA 2001:db8::{number}").expect("a string");
    }
    text
}

const ZONES: &str = "[zone.\"hostile.test\"]\nfile = \"hostile.test.zone\"\n";

fn daemon() -> Daemon {
    // There is nothing to resolve.
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut daemon = Daemon::prepare(ZONES, &[nobody]);
    daemon.write("hostile.test.zone", &zone());
    daemon.launch();
    daemon.wait_ready();
    daemon
}

/// Counters as `/metrics` shows them: the whole series, and its value.
fn metrics(daemon: &Daemon) -> BTreeMap<String, u64> {
    let (status, body) = get(daemon.ops, "/metrics").expect("metrics");
    assert_eq!(status, 200);
    let samples = body.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect()
}

fn counted(daemon: &Daemon, series: &str) -> u64 {
    *metrics(daemon).get(&format!("failoverd_{series}")).unwrap_or_else(|| panic!("no {series}"))
}

/// Asks a server something that has nothing to do with the flood, again and again, and takes the time of it.
struct Canary {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Duration>>,
}

/// Between two canaries.
const CANARY_EVERY: Duration = Duration::from_millis(1);
/// A canary later than this was not answered.
const PATIENCE: Duration = Duration::from_secs(2);

impl Canary {
    /// Asks `server` until it is told to stop. The reply is checked, but not that of an echo.
    fn start(server: SocketAddr, is_echo: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = thread::spawn(move || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            socket.connect(server).expect("a server");
            let mut times = Vec::new();
            let mut buffer = [0; 512];
            while !stopped.load(Ordering::Relaxed) {
                let id = times.len() as u16;
                let query = dns::question(&format!("c{id}.wild.hostile.test"), dns::A, false, id);
                let began = Instant::now();
                socket.send(&query).expect("sent");
                let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("canary {id}: {error}"));
                times.push(began.elapsed());
                let reply = &buffer[..length];
                assert_eq!(reply[..2], id.to_be_bytes(), "the canary's own reply");
                let addresses = || dns::read(reply).expect("a message").addresses();
                assert!(is_echo || addresses() == ["192.0.2.5"], "canary {id}: {reply:02x?}");
                thread::sleep(CANARY_EVERY);
            }
            times
        });
        Self { stop, asking }
    }

    /// How long each answer took; all came.
    fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join().expect("every canary answered")
    }
}

/// Number, median and 99th percentile.
fn summary(times: &mut [Duration]) -> (usize, Duration, Duration) {
    times.sort();
    (times.len(), times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Sends back what it gets over UDP and TCP, one thread for each: the least that any server does.
fn echo() -> SocketAddr {
    let port = free_port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = UdpSocket::bind(address).expect("a socket");
    let listener = TcpListener::bind(address).expect("a listener");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            // An error is the ICMP of somebody who has gone.
            if let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let _gone = socket.send_to(&buffer[..length], client);
            }
        }
    });
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut all = Vec::new();
            let _gone = stream.read_to_end(&mut all).and_then(|_| stream.write_all(&all));
        }
    });
    address
}

/// Kilobytes in use, looked at while the flood goes on.
struct Memory {
    pid: u32,
    /// At the first look after the warm-up.
    warm: Option<u64>,
    peak: u64,
}

impl Memory {
    fn look(&mut self, is_warm: bool) {
        let now = usage(self.pid).0;
        if is_warm {
            self.warm.get_or_insert(now);
        }
        self.peak = self.peak.max(now);
    }
}

/// Of the packets, so many in a thousand go over TCP.
const OVER_TCP: usize = 50;
/// A seed's flood changes this often between the two.
const PARTS: usize = 10;
/// Kilobytes.
const GROWTH: u64 = 1024;

#[test]
fn hostile_packets_are_survived() {
    let packets = rounds(200_000, 10_000_000);
    let seeds = rounds(2, 20) as u64;
    let is_full = rounds(0, 1) == 1;
    let daemon = daemon();
    let each = packets / seeds as usize;
    let (over_tcp, over_udp) = (each * OVER_TCP / 1000, each - each * OVER_TCP / 1000);

    let mut memory = Memory { pid: daemon.pid(), warm: None, peak: 0 };
    let (mut udp, mut tcp) = (Udp::to(daemon.dns), Tcp::to(daemon.dns));
    // A part of the same flood goes to a server that does nothing, in turns, so that this machine's own troubles are
    // those of both.
    let nothing = echo();
    let (mut udp_echo, mut tcp_echo) = (Udp::to_echo(nothing), Tcp::to_echo(nothing));
    let (mut times, mut echo_times, mut took) = (Vec::new(), Vec::new(), Duration::ZERO);
    for seed in 1..=seeds {
        let canary = Canary::start(daemon.dns, false);
        let (began, mut hostile) = (Instant::now(), Hostile::new(seed));
        // The first seed is the warm-up: by its end, everything has been used once.
        for part in 0..PARTS {
            let share = |whole: usize| whole / PARTS + usize::from(part < whole % PARTS);
            tcp.flood(&mut hostile, share(over_tcp));
            udp.flood(&mut hostile, share(over_udp));
            memory.look(seed > 1);
        }
        took += began.elapsed();
        times.extend(canary.stop());
        let (canary, mut hostile) = (Canary::start(nothing, true), Hostile::new(seed));
        for _ in 0..PARTS {
            tcp_echo.flood(&mut hostile, over_tcp / PARTS / 4);
            udp_echo.flood(&mut hostile, over_udp / PARTS / 4);
        }
        echo_times.extend(canary.stop());
    }
    println!(
        "hostile: {} packets over UDP ({} replies) and {} over TCP ({} replies, {} connections) from {seeds} seeds in \
         {took:.1?}",
        udp.sent, udp.replies, tcp.sent, tcp.replies, tcp.connections
    );
    assert_eq!(udp.sent + tcp.sent, packets);
    assert!(udp.replies > udp.sent / 2 && tcp.replies > tcp.sent / 4, "most of it is worth a reply");

    let warm = memory.warm.expect("more than one seed");
    println!("hostile: {warm} kB resident after the warm-up, {} kB at most", memory.peak);
    assert!(memory.peak <= warm + GROWTH, "from {warm} kB to {} kB", memory.peak);

    let after = metrics(&daemon);
    assert_eq!(after["failoverd_socket_events_total{kind=\"panics\"}"], 0);
    assert_eq!(after["failoverd_socket_events_total{kind=\"unsent\"}"], 0);
    assert!(daemon.addresses("www.hostile.test").is_some_and(|found| found == ["192.0.2.4"]));

    let ((count, median, p99), (echo_count, echo_median, echo_p99)) = (summary(&mut times), summary(&mut echo_times));
    println!(
        "hostile: {count} canaries, all answered, median {median:.0?}, p99 {p99:.0?}; those of an echo server: \
         {echo_count}, median {echo_median:.0?}, p99 {echo_p99:.0?}; p99 differs by {:.3} ms",
        (p99.as_secs_f64() - echo_p99.as_secs_f64()) * 1000.0
    );
    assert!(!is_full || p99 <= echo_p99 + Duration::from_millis(2), "{p99:?} against {echo_p99:?}");
}

/// Kinds of queries: how much larger is what comes back? Over UDP never more than was allowed, and never over 1232.
#[test]
fn amplification_is_bounded() {
    let daemon = daemon();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.connect(daemon.dns).expect("the daemon");
    let exchange = |query: &[u8]| {
        socket.send(query).expect("sent");
        let mut buffer = vec![0; 65_535];
        let length = socket.recv(&mut buffer).expect("a reply");
        buffer.truncate(length);
        buffer
    };
    let (any, txt, mx, dnskey, https) = (255, 16, 15, 48, 65);
    let kinds = [
        ("ANY at the apex", "hostile.test", any),
        ("ANY of a large set", "big.hostile.test", any),
        ("TXT of 6 kB", "big.hostile.test", txt),
        ("30 addresses", "many.hostile.test", dns::A),
        ("NS of the apex", "hostile.test", dns::NS),
        ("referral with glue", "x.sub.hostile.test", dns::A),
        ("referral of 30 NS", "x.wide.hostile.test", dns::A),
        ("MX with addresses", "hostile.test", mx),
        ("HTTPS with addresses", "www.hostile.test", https),
        ("DNSKEY", "hostile.test", dnskey),
        ("SOA", "hostile.test", dns::SOA),
        ("no such name", "nobody.hostile.test", dns::A),
        ("DNAME", "x.old.hostile.test", dns::A),
        ("not our zone", "example.org", dns::A),
    ];
    println!(
        "{:<24} {:>6} {:>6} {:>6}   {:>6} {:>6} {:>6}",
        "amplification", "query", "reply", "ratio", "EDNS", "reply", "ratio"
    );
    let mut most: f64 = 0.0;
    for (kind, name, rtype) in kinds {
        let plain = dns::question(name, rtype, false, 7);
        let reply = exchange(&plain);
        // RFC 6891 §6.2.5: as much as can be asked for, with DO.
        let mut edns = plain.clone();
        edns[11] = 1;
        edns.extend(b"\0\0\x29\xff\xff\0\0\x80\0\0\0");
        let large = exchange(&edns);
        let ratio = |reply: &[u8], query: &[u8]| reply.len() as f64 / query.len() as f64;
        let (small_ratio, large_ratio) = (ratio(&reply, &plain), ratio(&large, &edns));
        println!(
            "{kind:<24} {:>6} {:>6} {small_ratio:>6.1}   {:>6} {:>6} {large_ratio:>6.1}",
            plain.len(),
            reply.len(),
            edns.len(),
            large.len()
        );
        assert!(reply.len() <= 512 && large.len() <= 1232, "{kind}");
        // What does not fit is not sent in part: the client asks over TCP.
        assert!(kind != "TXT of 6 kB" || reply.len() == plain.len() && large.len() == edns.len());
        most = most.max(small_ratio).max(large_ratio);
    }
    println!("amplification: {most:.1} at most");
    // Measured, and a little more: 25.5. The largest reply to the smallest of these queries would be 30.
    assert!(most <= 27.0, "{most:.1} times the query");
}

/// Addresses of one /24 that the flood comes from.
const SOURCES: u8 = 20;

#[test]
fn a_flood_from_one_prefix_is_limited_and_leaves_others_alone() {
    let rate = 200;
    let mut daemon = daemon();
    // It is a matter of the configuration, not of the start.
    daemon.wait_api();
    daemon.configure(&format!("{ZONES}[server.rate_limit]\nresponses_per_second = {rate}\n"));
    println!("{}", daemon.say(&["reload"]).trim_end());
    let span = Duration::from_secs(rounds(3, 30) as u64);
    let from = |last: [u8; 2]| {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, last[0], last[1]), 0)).expect("127.0.0.0/8");
        socket.connect(daemon.dns).expect("the daemon");
        socket
    };
    let flood: Vec<UdpSocket> = (1..=SOURCES).map(|source| from([1, source])).collect();
    flood.iter().for_each(|socket| socket.set_nonblocking(true).expect("nonblocking"));
    let other = from([2, 1]);
    other.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let query = dns::question("www.hostile.test", dns::A, false, 9);
    let (mut whole, mut truncated, mut others) = (0_u64, 0_u64, 0_u64);
    let mut buffer = [0; 512];
    let mut drain = |whole: &mut u64, truncated: &mut u64| {
        for socket in &flood {
            while let Ok(length) = socket.recv(&mut buffer) {
                let answer = dns::read(&buffer[..length]).expect("a message");
                if answer.is_truncated {
                    assert_eq!(length, query.len(), "a header and a question");
                    *truncated += 1;
                } else {
                    assert_eq!(answer.addresses(), ["192.0.2.4"]);
                    *whole += 1;
                }
            }
        }
    };
    let began = Instant::now();
    while began.elapsed() < span {
        flood.iter().for_each(|socket| _ = socket.send(&query));
        // A query of another prefix, at most a hundred a second: each is answered in full.
        if others < began.elapsed().as_millis() as u64 / 10 {
            other.send(&query).expect("sent");
            let mut buffer = [0; 512];
            let length = other.recv(&mut buffer).expect("an answer, in spite of the flood");
            assert_eq!(dns::read(&buffer[..length]).expect("a message").addresses(), ["192.0.2.4"]);
            others += 1;
        }
        drain(&mut whole, &mut truncated);
        thread::sleep(Duration::from_micros(500));
    }
    let took = began.elapsed().as_secs_f64();
    // TCP is not limited, whoever asks; the counters are those of the flood once they are still.
    let over_tcp = dns::ask_tcp(daemon.dns, "www.hostile.test", dns::A, PATIENCE).expect("an answer over TCP");
    assert_eq!(over_tcp.addresses(), ["192.0.2.4"]);
    let count = || {
        let of = |what: &str| counted(&daemon, &format!("replies_{what}_total{{class=\"answer\"}}"));
        (of("limited"), of("slipped"))
    };
    let mut last = (0, 0);
    let ((limited, slipped), _) = wait("counters at rest", Duration::from_secs(5), || {
        drain(&mut whole, &mut truncated);
        let now = count();
        (std::mem::replace(&mut last, now) == now && now.1 == truncated).then_some(now)
    });
    println!(
        "rate limit: {} queries in {took:.1} s from one /24: {whole} whole, {slipped} slipped, {limited} unanswered; \
         {others} of {others} queries of another prefix",
        whole + slipped + limited
    );
    let most = f64::from(rate) * (took + 1.0);
    assert!(whole as f64 <= most + 1.0, "{whole} whole, of at most {most:.0}");
    assert!(whole as f64 >= f64::from(rate) * (span.as_secs_f64() + 0.5), "{whole} whole");
    assert!(limited.abs_diff(slipped) <= 1 && slipped > whole, "every second one slips: {limited}, {slipped}");
    assert_eq!(truncated, slipped);
}
