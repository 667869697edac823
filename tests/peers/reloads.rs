//! A reload every second under load: no query lost or wrong, no connection refused or closed.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::support::daemon::{Daemon, ZONE};
use crate::support::tcp::{ask, connect, raise_descriptors, source};
use crate::support::{dns, rounds};

const NAME: &str = "both.example.test";
/// Sockets of the load; each has 65,536 ids.
const SOCKETS: usize = 2;
/// Queries under way while the maximum is measured.
const WINDOW: usize = 64;
/// After which a query is lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// The zone's two versions: in each, both addresses are of the same one.
fn zone(serial: usize) -> String {
    let version = serial % 2 + 1;
    let records = format!("both A 192.0.2.{version}\nboth A 192.0.2.10{version}\n");
    ZONE.replace("hostmaster 1 ", &format!("hostmaster {} ", serial + 1)) + &records
}

fn is_right(message: &[u8]) -> bool {
    dns::read(message).is_some_and(|answer| {
        let addresses = answer.addresses();
        answer.rcode == dns::NOERROR
            && (addresses == ["192.0.2.1", "192.0.2.101"] || addresses == ["192.0.2.102", "192.0.2.2"])
    })
}

/// A socket of the load, with which of its ids wait for an answer.
struct Lane {
    socket: UdpSocket,
    waiting: Vec<AtomicBool>,
}

impl Lane {
    fn new(daemon: &Daemon) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        // As root. What overflows here was not lost by the daemon.
        set_socket_recv_buffer_size_force(&socket, 4 << 20).expect("a buffer");
        socket.connect(daemon.dns).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        Self { socket, waiting: (0..=u16::MAX).map(|_| AtomicBool::new(false)).collect() }
    }
}

/// Queries a second, with [`WINDOW`] of them under way: what client and daemon reach together on this machine.
fn maximum(lane: &Lane) -> f64 {
    let query = dns::question(NAME, dns::A, false, 1);
    let mut buffer = [0; 1500];
    for _ in 0..WINDOW {
        lane.socket.send(&query).expect("a send");
    }
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        lane.socket.recv(&mut buffer).expect("an answer");
        lane.socket.send(&query).expect("a send");
        count += 1;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    // The last ones.
    while lane.socket.recv(&mut buffer).is_ok() {}
    rate
}

/// What came of the load.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    lost: AtomicU64,
    wrong: AtomicU64,
    connections: AtomicU64,
    over_tcp: AtomicU64,
}

impl Tally {
    /// Sends `rate` queries a second, evenly.
    fn send(&self, lanes: &[Lane], rate: f64, stop: &AtomicBool) {
        let mut query = dns::question(NAME, dns::A, false, 0);
        let began = Instant::now();
        let mut count = 0_usize;
        while !stop.load(Ordering::Relaxed) {
            let due = (began.elapsed().as_secs_f64() * rate) as usize;
            if count >= due {
                thread::sleep(Duration::from_micros(200));
            }
            // After a pause of ours, no burst to make up for it.
            count = count.max(due.saturating_sub(WINDOW));
            while count < due {
                let (lane, id) = (&lanes[count % SOCKETS], (count / SOCKETS) as u16);
                query[..2].copy_from_slice(&id.to_be_bytes());
                if lane.waiting[usize::from(id)].swap(true, Ordering::AcqRel) {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
                lane.socket.send(&query).expect("a send");
                self.sent.fetch_add(1, Ordering::Relaxed);
                count += 1;
            }
        }
    }

    fn receive(&self, lane: &Lane, stop: &AtomicBool) {
        let mut buffer = [0; 1500];
        let mut quiet_since = Instant::now();
        while !stop.load(Ordering::Relaxed) || quiet_since.elapsed() < PATIENCE {
            let Ok(length) = lane.socket.recv(&mut buffer) else {
                continue;
            };
            quiet_since = Instant::now();
            let message = &buffer[..length];
            let id = usize::from(u16::from_be_bytes([message[0], message[1]]));
            if !is_right(message) || !lane.waiting[id].swap(false, Ordering::AcqRel) {
                self.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
        let lost = lane.waiting.iter().filter(|waiting| waiting.load(Ordering::Acquire)).count();
        self.lost.fetch_add(lost as u64, Ordering::Relaxed);
    }

    /// Connections that stay open through all reloads, and a new one every time.
    fn connect(&self, daemon: &Daemon, stop: &AtomicBool) {
        let open = |number| connect(source(number), daemon.dns).expect("no connection is refused");
        let mut kept: Vec<_> = (0..20).map(open).collect();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let at = number % kept.len();
            let mut new = open(number);
            for stream in [&mut kept[at], &mut new] {
                let answer = ask(stream, NAME, dns::A, number as u16).expect("an answer over TCP").addresses();
                let is_one = answer == ["192.0.2.1", "192.0.2.101"] || answer == ["192.0.2.102", "192.0.2.2"];
                assert!(is_one, "{answer:?}");
                self.over_tcp.fetch_add(1, Ordering::Relaxed);
            }
            self.connections.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Queries the kernel threw away because the daemon's buffer was full: it did not get a core for too long. On a machine
/// that has other work too, that is what is lost.
fn overflowed(daemon: &Daemon) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").expect("the table of sockets");
    let port = format!(":{:04X}", daemon.dns.port());
    let ours = table.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)));
    ours.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

#[test]
fn a_reload_a_second_at_half_of_capacity_costs_no_query() {
    raise_descriptors();
    let mut daemon = Daemon::prepare("", &["127.0.0.1:9".parse().expect("an address")]);
    daemon.write("example.test.zone", &zone(0));
    daemon.launch();
    daemon.wait_ready();
    let lanes: Vec<Lane> = (0..SOCKETS).map(|_| Lane::new(&daemon)).collect();
    let maximum = maximum(&lanes[0]);
    let rate = maximum / 2.0;
    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    let reloads = rounds(6, 60);
    // Queries due while it went on.
    let planned = AtomicU64::new(0);
    let loaded = Instant::now();
    thread::scope(|scope| {
        let stop = LetGo(&stop);
        let connecting = scope.spawn(|| tally.connect(&daemon, stop.0));
        scope.spawn(|| tally.send(&lanes, rate, stop.0));
        for lane in &lanes {
            let tally = &tally;
            let stop = stop.0;
            scope.spawn(move || tally.receive(lane, stop));
        }
        let began = Instant::now();
        for number in 1..=reloads {
            daemon.write("example.test.zone", &zone(number));
            daemon.say(&["reload"]);
            let serial =
                dns::ask_tcp(daemon.dns, "example.test", dns::SOA, PATIENCE).and_then(|answer| answer.serial());
            assert!(serial >= Some(number as u32 + 1), "reload {number} is served: {serial:?}");
            thread::sleep((Duration::from_secs(1) * number as u32).saturating_sub(began.elapsed()));
        }
        planned.store((loaded.elapsed().as_secs_f64() * rate) as u64, Ordering::Relaxed);
        drop(stop);
        connecting.join().expect("every connection was answered");
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (sent, lost, wrong) = (count(&tally.sent), count(&tally.lost), count(&tally.wrong));
    println!(
        "{reloads} reloads, {rate:.0} queries a second of {maximum:.0}: {sent} sent, {lost} lost ({} of them \
         before they reached the daemon), {wrong} wrong; {} connections, {} queries over TCP",
        overflowed(&daemon),
        count(&tally.connections),
        count(&tally.over_tcp)
    );
    assert_eq!((lost, wrong), (0, 0));
    // What skips queries after a pause proves less than it tells.
    let planned = count(&planned);
    assert!(sent as f64 >= 0.9 * planned as f64, "{sent} of {planned} planned queries were sent only");
    assert!(count(&tally.over_tcp) > 0);
}

/// A failed test lets go of the load.
struct LetGo<'a>(&'a AtomicBool);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
