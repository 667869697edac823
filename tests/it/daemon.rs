//! The daemon on real sockets: what a client, an operator and a monitor see.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, FAST, ZONE, get};
use crate::support::dns::{self, Data};
use crate::support::origin::Origin;
use crate::support::resolver::Resolver;
use crate::support::{free_port, hold, wait};

const NAME: &str = "www.example.test";
/// Far above what the settings of [`FAST`] need; only a hang comes near it.
const SOON: Duration = Duration::from_secs(15);

pub(crate) const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
pub(crate) const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 2);
pub(crate) const EMERGENCY: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 3);

/// Three origins and a name that climbs down them.
pub(crate) struct World {
    pub(crate) primary: Origin,
    pub(crate) backup: Origin,
    pub(crate) emergency: Origin,
    pub(crate) resolver: Resolver,
    port: u16,
}

impl World {
    pub(crate) fn new() -> Self {
        let port = free_port();
        Self {
            primary: Origin::start(PRIMARY, port),
            backup: Origin::start(BACKUP, port),
            emergency: Origin::start(EMERGENCY, port),
            resolver: Resolver::start(),
            port,
        }
    }

    pub(crate) fn config(&self) -> String {
        format!(
            "[defaults]\ncheck = {{ {FAST} }}\n\n[check.site]\nhttp = \"/healthz\"\n\n\
             [origin.eu]\na = [\"{PRIMARY}\"]\nprobe = {{ port = {port} }}\n\n\
             [origin.us]\na = [\"{BACKUP}\"]\nprobe = {{ port = {port} }}\n\n\
             [origin.last]\na = [\"{EMERGENCY}\"]\nprobe = {{ port = {port} }}\n\n\
             [steer.\"{NAME}\"]\nprimary = \"eu\"\nbackup = \"us\"\nemergency = \"last\"\ncheck = \"site\"\nttl = \
             \"5s\"\nfailback = \"auto\"\n",
            port = self.port
        )
    }

    pub(crate) fn start(&self) -> Daemon {
        let daemon = Daemon::start(&self.config(), &[self.resolver.address]);
        daemon.wait_address(NAME, PRIMARY.into(), SOON);
        daemon
    }
}

#[test]
fn the_answer_walks_down_the_ladder_and_up_again() {
    let mut world = World::new();
    let daemon = world.start();
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    world.backup.break_down();
    daemon.wait_address(NAME, EMERGENCY.into(), SOON);
    world.backup.mend();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    world.primary.mend();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
}

#[test]
fn everything_down_still_answers() {
    let mut world = World::new();
    let daemon = world.start();
    world.primary.break_down();
    world.backup.break_down();
    daemon.wait_address(NAME, EMERGENCY.into(), SOON);
    world.emergency.break_down();
    hold("never empty", Duration::from_secs(4), || match daemon.addresses(NAME) {
        Some(addresses) if !addresses.is_empty() => Ok(()),
        other => Err(format!("answered {other:?}")),
    });
}

#[test]
fn static_data_is_answered_over_udp_and_tcp() {
    let world = World::new();
    let daemon = world.start();
    let over_udp = daemon.ask("static.example.test", dns::A).expect("an answer");
    assert_eq!((over_udp.rcode, over_udp.is_authoritative), (dns::NOERROR, true));
    assert_eq!(over_udp.addresses(), ["192.0.2.80"]);
    let over_tcp = dns::ask_tcp(daemon.dns, "static.example.test", dns::A, SOON).expect("an answer");
    assert_eq!(over_tcp.answers, over_udp.answers);

    let missing = daemon.ask("nothing.example.test", dns::A).expect("an answer");
    assert_eq!(missing.rcode, dns::NXDOMAIN);
    assert!(missing.serial().is_some(), "the SOA stands in the authority section: {missing:?}");
    let no_data = daemon.ask("static.example.test", dns::AAAA).expect("an answer");
    assert_eq!((no_data.rcode, no_data.answers.len()), (dns::NOERROR, 0));
    assert_eq!(daemon.ask("example.org", dns::A).expect("an answer").rcode, dns::REFUSED);
    let apex = daemon.ask("example.test", dns::NS).expect("an answer");
    assert_eq!(apex.answers[0].data, Data::Name("ns1.example.test.".to_owned()));
}

#[test]
fn a_turn_has_its_own_serial() {
    let mut world = World::new();
    let daemon = world.start();
    let serial = || daemon.ask("example.test", dns::SOA).and_then(|answer| answer.serial()).expect("a SOA");
    let before = serial();
    hold("no turn, no new serial", Duration::from_secs(2), || match serial() {
        same if same == before => Ok(()),
        other => Err(format!("{before} became {other}")),
    });
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    assert!(serial().wrapping_sub(before) as i32 > 0, "{before} → {}", serial());
}

#[test]
fn a_start_in_vain_costs_no_serials() {
    let world = World::new();
    let mut daemon = world.start();
    let serial = |daemon: &Daemon| wait("a SOA", SOON, || daemon.ask("example.test", dns::SOA)?.serial()).0;
    let before = serial(&daemon);
    assert!(daemon.stop().success());
    let held = UdpSocket::bind(daemon.dns).expect("the port is free again");
    for _ in 0..3 {
        daemon.launch();
        assert!(!daemon.wait_end().success());
    }
    drop(held);
    daemon.launch();
    assert_eq!(serial(&daemon), before);
}

#[test]
fn a_bad_reload_keeps_the_old_configuration_serving() {
    let world = World::new();
    let mut daemon = world.start();
    daemon.configure(&world.config().replace("primary = \"eu\"", "primary = \"nobody\""));
    let refused = daemon.verb(&["reload"]);
    let text = [refused.stdout.as_slice(), refused.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(!refused.status.success() && text.contains("nobody"), "{text}");
    daemon.signal(Signal::HUP);
    hold("the old one serves", Duration::from_secs(2), || match daemon.addresses(NAME) {
        Some(addresses) if addresses == [PRIMARY.to_string()] => Ok(()),
        other => Err(format!("answered {other:?}")),
    });
    // A good one is taken.
    daemon.configure(&world.config().replace("ttl = \"5s\"", "ttl = \"7s\""));
    daemon.say(&["reload"]);
    wait("the new TTL", SOON, || {
        daemon.ask(NAME, dns::A).filter(|answer| answer.answers.iter().all(|record| record.ttl == 7))
    });
}

#[test]
fn a_restart_serves_what_was_served_before() {
    let mut world = World::new();
    let mut daemon = world.start();
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    assert!(daemon.stop().success());
    daemon.launch();
    let (first, _) = wait("the first answer", SOON, || daemon.addresses(NAME));
    assert_eq!(first, [BACKUP.to_string()]);
}

#[test]
fn monitors_see_it_live_ready_and_counted() {
    let mut world = World::new();
    let daemon = world.start();
    assert_eq!(get(daemon.ops, "/livez").map(|(status, _)| status), Some(200));
    assert_eq!(get(daemon.ops, "/readyz").map(|(status, _)| status), Some(200));
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    let (status, metrics) = get(daemon.ops, "/metrics").expect("metrics");
    assert_eq!(status, 200);
    let panics = "failoverd_socket_events_total{kind=\"panics\"} 0";
    for word in ["failoverd_", "connect-refused", "example.test", panics] {
        assert!(metrics.contains(word), "no `{word}` in\n{metrics}");
    }
    assert_ne!(get(daemon.admin, "/v1/status").map(|(status, _)| status), Some(200), "the admin API asks for a token");
}

/// `full` takes no byte more.
fn turns_without_a_log(full: impl Fn() -> Stdio) {
    let mut world = World::new();
    let mut daemon = Daemon::prepare(&world.config(), &[world.resolver.address]);
    daemon.launch_into(full(), full());
    daemon.wait_ready();
    daemon.wait_address(NAME, PRIMARY.into(), SOON);
    world.primary.break_down();
    daemon.wait_address(NAME, BACKUP.into(), SOON);
    assert!(daemon.stop().success());
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    turns_without_a_log(|| OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into());
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (_reader, mut writer) = std::io::pipe().expect("a pipe");
    let full = writer.try_clone().expect("a handle");
    // Fills it to the brim, then waits for good.
    thread::spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {});
    turns_without_a_log(|| full.try_clone().expect("a handle").into());
}

/// What the daemon tells its service manager, word by word.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    /// Hears `daemon`, which is not started yet.
    fn of(daemon: &mut Daemon) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        daemon.environment.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
        Self { socket, _folder: folder }
    }

    /// The next word that is no status line.
    fn hear(&self) -> String {
        loop {
            let mut words = [0; 1000];
            let length = self.socket.recv(&mut words).expect("a word to the service manager");
            let words = String::from_utf8_lossy(&words[..length]).into_owned();
            if !words.starts_with("STATUS=") {
                return words;
            }
        }
    }
}

#[test]
fn a_reload_asked_for_as_soon_as_it_is_ready_is_done() {
    let world = World::new();
    let mut daemon = Daemon::prepare(&world.config(), &[world.resolver.address]);
    let manager = Manager::of(&mut daemon);
    for ttl in [7, 8, 9] {
        daemon.launch();
        assert_eq!(manager.hear(), "READY=1");
        daemon.write("example.test.zone", &ZONE.replace("$TTL 60", &format!("$TTL {ttl}")));
        daemon.signal(Signal::HUP);
        assert!(manager.hear().starts_with("RELOADING=1"));
        assert_eq!(manager.hear(), "READY=1");
        // Done when it is said, not soon after.
        let answer = daemon.ask("static.example.test", dns::A).expect("an answer");
        assert_eq!(answer.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [ttl]);
        assert!(daemon.stop().success());
        assert_eq!(manager.hear(), "STOPPING=1");
    }
}

/// Without a file, the secret of cookies is random, and lives as long as the process.
#[test]
fn a_reload_does_not_forget_the_clients() {
    let world = World::new();
    let daemon = world.start();
    // `static.example.test A` with a client cookie (RFC 7873), and the server cookie where there is one.
    let cookie_for = |sent: &[u8]| {
        let mut query = b"\x12\x34\0\0\0\x01\0\0\0\0\0\x01\x06static\x07example\x04test\0\0\x01\0\x01".to_vec();
        query.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0");
        query.extend_from_slice(&[4 + sent.len() as u8, 0, 10, 0, sent.len() as u8]);
        query.extend_from_slice(sent);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(SOON)).expect("set");
        socket.send_to(&query, daemon.dns).expect("sent");
        let mut reply = [0; 1232];
        let length = socket.recv(&mut reply).expect("a reply");
        // Its options end the message: one of 24 bytes.
        reply[..length].last_chunk::<24>().copied().expect("a cookie")
    };
    let first = cookie_for(b"\x24\x64\xc4\xab\xcf\x10\xc9\x57");
    daemon.say(&["reload"]);
    assert_eq!(cookie_for(&first), first, "what is taken comes back as it was");
}
