//! Ten thousand watches: what a probe costs, what a watch holds in memory, that none is late and that they are spread.
//!
//! One nginx on all addresses of 127.0.0.0/8 is every origin; its own counter says how many probes came.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::nginx::{Authority, Manner, Nginx};
use crate::support::daemon::{Daemon, get, usage};
use crate::support::resolver::Resolver;
use crate::support::{free_port, hold, rounds, wait};

/// Kilobytes that the daemon may hold with 10,000 watches.
const MEMORY: u64 = 300_000;
/// Probes that start more than 100 ms after their due moment.
const LATE: f64 = 0.01;
/// Probes of the busiest second, as a multiple of the average.
const UNEVEN: f64 = 1.3;

/// Bytes of the record per probe, with all that is recorded beside it.
const RECORDED: f64 = 60.0;

#[test]
fn many_watches_over_https() {
    many_watches("https = \"/healthz\"\nca_file = \"ca.pem\"", "", |nginx| nginx.port);
}

#[test]
fn many_watches_over_http() {
    many_watches("http = \"/healthz\"", "", |nginx| nginx.plain_port);
}

#[test]
fn many_watches_recorded() {
    many_watches("http = \"/healthz\"", "record = true\n", |nginx| nginx.plain_port);
}

fn many_watches(check: &str, server: &str, port: impl Fn(&Nginx) -> u16) {
    let (watches, every) = (rounds(1_000, 10_000), rounds(2, 10));
    let span = Duration::from_secs(u64::try_from(rounds(10, 40)).expect("small"));
    let authority = Authority::new("our authority");
    let identity = authority.valid("*.example.test");
    let nginx = Nginx::start(&[], Ipv4Addr::UNSPECIFIED, free_port(), &identity, Manner::Fine);
    let config = fleet(check, port(&nginx), watches, every);
    let resolver = Resolver::start();
    let mut daemon = Daemon::prepare(&config, &[resolver.address]);
    daemon.write("ca.pem", &authority.pem);
    daemon.server = server.to_owned();
    daemon.launch();
    let pid = daemon.pid();

    // Two intervals after the start all is as it will stay.
    let mut looks = Looks::new(&nginx);
    let first = looks.during(Duration::from_secs(2 * u64::try_from(every).expect("small")), pid);
    let before = recorded(&daemon);
    let steady = looks.during(span, pid);
    let recorded = recorded(&daemon) - before;
    let probes = steady.probes as f64;
    let each = steady.cpu.as_secs_f64() * 1000.0 / probes;
    let (on_time, late) = starts(&daemon);
    let late_share = late as f64 / (on_time + late) as f64;
    println!(
        "scale: {watches} watches every {every} s over {}: {each:.3} ms of CPU per probe, {:.0} probes/s, {:.1} MB \
         resident, {:.2} % late, busiest second {:.2} of the average (first round: {:.0} in its busiest second)",
        check.split(' ').next().expect("a word"),
        probes / span.as_secs_f64(),
        first.memory.max(steady.memory) as f64 / 1000.0,
        late_share * 100.0,
        steady.busiest,
        first.busiest * first.probes as f64 / (2 * every) as f64,
    );
    if !server.is_empty() {
        println!("scale: recorded {:.1} bytes per probe", recorded as f64 / probes);
        assert!((1.0..RECORDED).contains(&(recorded as f64 / probes)), "{recorded} bytes of {probes} probes");
    }
    let expected = (watches as f64 / every as f64) * span.as_secs_f64();
    assert!((0.95..1.05).contains(&(probes / expected)), "{probes} probes where {expected} are due");
    assert!(first.memory.max(steady.memory) < MEMORY, "{} kB resident", first.memory.max(steady.memory));
    assert!(late_share < LATE, "{late} of {} probes were late", on_time + late);
    assert!(steady.busiest < UNEVEN, "{} of the average in one second", steady.busiest);
}

/// Bytes in its record so far.
fn recorded(daemon: &Daemon) -> u64 {
    let Ok(entries) = fs::read_dir(daemon.state.join("record")) else { return 0 };
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).expect("a segment").len()).sum()
}

/// A configuration of so many watches, two to a name: every address of 127.64.0.0 and above is an origin, asked every so
/// many seconds.
pub(crate) fn fleet(check: &str, port: u16, watches: usize, every: usize) -> String {
    let mut config = format!(
        "[check.site]\n{check}\nport = {port}\nevery = \"{every}s\"\n\n\
         [defaults.steer]\nttl = \"30s\"\ncheck = \"site\"\n\n"
    );
    for number in 1..=watches {
        let [_, b, c, d] = u32::try_from(number).expect("small").to_be_bytes();
        writeln!(config, "[origin.o{number}]\na = [\"127.{}.{c}.{d}\"]", 64 + b).expect("a string");
    }
    for (primary, backup) in (1..=watches).step_by(2).map(|number| (number, number + 1)) {
        let steer = format!("[steer.\"s{primary}.example.test\"]\nprimary = \"o{primary}\"\nbackup = \"o{backup}\"\n");
        config.push_str(&steer);
    }
    config
}

/// Looks at the origin's counter, each of which is a request too.
struct Looks<'a> {
    nginx: &'a Nginx,
    asked: u64,
}

/// What a span of time brought.
struct Seen {
    probes: u64,
    cpu: Duration,
    /// Kilobytes, at most.
    memory: u64,
    /// Probes of the busiest second, as a multiple of the average.
    busiest: f64,
}

impl<'a> Looks<'a> {
    fn new(nginx: &'a Nginx) -> Self {
        Self { nginx, asked: 0 }
    }

    fn look(&mut self) -> u64 {
        let requests = self.nginx.requests(self.asked);
        self.asked += 1;
        requests
    }

    fn during(&mut self, span: Duration, pid: u32) -> Seen {
        let (began, before) = (Instant::now(), self.look());
        let (_, cpu_before) = usage(pid);
        let (mut last_at, mut last, mut memory, mut densest) = (began, before, 0, 0.0f64);
        hold::<String>("the origin is asked", span, || {
            memory = memory.max(usage(pid).0);
            let passed = last_at.elapsed();
            if passed >= Duration::from_secs(1) {
                let now = self.look();
                densest = densest.max((now - last) as f64 / passed.as_secs_f64());
                (last_at, last) = (last_at + passed, now);
            }
            Ok(())
        });
        let (_, cpu_after) = usage(pid);
        let probes = self.look() - before;
        let average = probes as f64 / began.elapsed().as_secs_f64();
        Seen { probes, cpu: cpu_after - cpu_before, memory, busiest: densest / average }
    }
}

/// Probes started on time and late, of the daemon's own metrics.
pub(crate) fn starts(daemon: &Daemon) -> (u64, u64) {
    // A page of some 20 MB.
    let (_, text) = wait("metrics", Duration::from_secs(30), || get(daemon.ops, "/metrics")).0;
    let count = |when: &str| {
        let series = format!("failoverd_probe_starts_total{{when=\"{when}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).and_then(|count| count.parse().ok()).expect("a count")
    };
    (count("on-time"), count("late"))
}
