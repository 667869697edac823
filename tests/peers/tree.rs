//! An internet on an island: a root, a TLD and zones below it, signed and not, each on two servers with two families.
//! The zones and what a resolver must find in them are files in `tree/`.
//!
//! `FAILOVERD_TREE=knot` puts Knot in our place: what a resolver or checker finds wrong then too is a mistake of the tree,
//! not ours. (Asked itself, Knot does not follow aliases into its other zones; and it steers nothing.)

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::network::on_an_island;
use crate::support::daemon::{BINARY, FAST, get};
use crate::support::dns;
use crate::support::origin::Origin;
use crate::support::resolver::Resolver;
use crate::support::{free_port, tool, wait};

/// The last byte of the servers' addresses, two for each level of the tree, and the zones they have.
const SERVERS: [(u8, &[&str]); 8] = [
    (1, &["."]),
    (2, &["."]),
    (11, &["test"]),
    (12, &["test"]),
    (21, &["example.test", "kid.example.test"]),
    (22, &["example.test", "kid.example.test"]),
    (31, &["signed.test", "plain.signed.test", "hashed.test", "bogus.test", "guest.example.test", "far.example.test"]),
    (32, &["signed.test", "plain.signed.test", "hashed.test", "bogus.test", "guest.example.test", "far.example.test"]),
];

/// One server with all zones of the tree: parents and children in one place.
const ALL: u8 = 9;

/// Free for resolvers and clients.
const GUEST: u8 = 40;

/// Zone files: apex, text, and how it is signed.
const ZONES: [(&str, &str, Signing); 10] = [
    // Children first: a parent takes their DS when it is signed.
    ("bogus.test", include_str!("tree/bogus.test.zone"), Signing::Nsec("ECDSAP256SHA256")),
    ("hashed.test", include_str!("tree/hashed.test.zone"), Signing::Nsec3("RSASHA256")),
    ("signed.test", include_str!("tree/signed.test.zone"), Signing::Nsec("ECDSAP256SHA256")),
    ("test", include_str!("tree/test.zone"), Signing::OptOut("ED25519")),
    (".", include_str!("tree/root.zone"), Signing::Nsec("RSASHA256")),
    ("example.test", include_str!("tree/example.test.zone"), Signing::None),
    ("kid.example.test", include_str!("tree/kid.example.test.zone"), Signing::None),
    ("guest.example.test", include_str!("tree/guest.example.test.zone"), Signing::None),
    ("far.example.test", include_str!("tree/far.example.test.zone"), Signing::None),
    ("plain.signed.test", include_str!("tree/plain.signed.test.zone"), Signing::None),
];

/// How a zone is signed, and with which algorithm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signing {
    None,
    Nsec(&'static str),
    Nsec3(&'static str),
    /// NSEC3 that leaves out insecure delegations.
    OptOut(&'static str),
}

/// Root hints.
const HINTS: &str = "\
. 3600000 NS a.root-servers.
. 3600000 NS b.root-servers.
a.root-servers. 3600000 A 10.53.0.1
a.root-servers. 3600000 AAAA fd00:53::1
b.root-servers. 3600000 A 10.53.0.2
b.root-servers. 3600000 AAAA fd00:53::2
";

/// Steered names of `example.test`; the first moves with its origin.
pub(crate) const STEERED: &str = "www.example.test";
pub(crate) const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 4, 1);
pub(crate) const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 4, 2);
/// TTL of the steered names, in seconds.
pub(crate) const TTL: u32 = 5;

/// All servers, up and answering.
pub(crate) struct Tree {
    pub(crate) is_knot: bool,
    servers: Vec<Server>,
    pub(crate) primary: Origin,
    _backup: Origin,
    _resolver: Resolver,
    folder: tempfile::TempDir,
    /// The key of the root, as a DNSKEY record.
    pub(crate) anchor: String,
    /// The same as a DS record's RDATA: tag, algorithm, digest type, digest.
    pub(crate) anchor_ds: String,
}

/// The address of a server, resolver or client by its last byte.
pub(crate) fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 53, 0, last)
}

/// The same of the other family. The last byte is written as it is in the other: `fd00:53::11` is 10.53.0.11.
pub(crate) fn v6(last: u8) -> Ipv6Addr {
    format!("fd00:53::{last}").parse().expect("decimal digits are hexadecimal digits")
}

/// Where a guest of the island may listen at port 53.
pub(crate) fn guest() -> Ipv4Addr {
    v4(GUEST)
}

/// The server of all zones.
pub(crate) fn all() -> Ipv4Addr {
    v4(ALL)
}

/// Plants a tree on an island of its own and tells the story there.
pub(crate) fn with_tree<T: Send>(story: impl FnOnce(&mut Tree) -> T + Send) -> T {
    let hosts = SERVERS.iter().map(|(last, _)| *last).chain([ALL, GUEST]);
    let addresses: Vec<IpAddr> = hosts.flat_map(|last| [v4(last).into(), v6(last).into()]).collect();
    on_an_island(&addresses, || story(&mut Tree::plant()))
}

impl Tree {
    fn plant() -> Self {
        let folder = tempfile::Builder::new().prefix("failoverd-tree-").tempdir().expect("a scratch folder");
        let here = folder.path();
        let is_knot = std::env::var("FAILOVERD_TREE").is_ok_and(|who| who == "knot");
        for (apex, text, signing) in ZONES {
            let mut text = written_out(text);
            if is_knot && apex == "example.test" {
                // What we would answer for the steered names.
                write!(text, "www {TTL} A {PRIMARY}\napp CNAME static\n*.turn A {PRIMARY}\n").expect("a string");
            }
            fs::write(file(here, apex), text).expect("a zone file");
            sign(here, apex, signing);
        }
        spoil(here);
        let (anchor, anchor_ds) = anchor(here);
        fs::write(here.join("hints"), HINTS).expect("a file");
        let port = free_port();
        let resolver = Resolver::start();
        resolver.tell("static.example.test", PRIMARY);
        resolver.tell("svc.example.test", BACKUP);
        let steering = steering(port);
        let everything = (ALL, &ZONES.map(|(apex, _, _)| apex)[..]);
        let primary = Origin::start(PRIMARY, port);
        let backup = Origin::start(BACKUP, port);
        let all = SERVERS.iter().chain([&everything]);
        let mut servers: Vec<Server> = if is_knot {
            all.map(|(last, zones)| Server::knot(here, *last, zones)).collect()
        } else {
            all.map(|(last, zones)| Server::ours(here, *last, zones, &steering, resolver.address)).collect()
        };
        for server in &mut servers {
            server.wait();
        }
        Self { is_knot, servers, primary, _backup: backup, _resolver: resolver, folder, anchor, anchor_ds }
    }

    /// The folder of the tree.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A file in the folder of the tree; its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.folder.path().join(name), text).expect("a file");
        self.path(name)
    }

    /// Waits until every server of the steered name gives just this address.
    pub(crate) fn wait_turn(&self, address: Ipv4Addr) {
        for server in self.servers.iter().filter(|server| server.is_steering) {
            wait(&format!("{STEERED} turns to {address}"), Duration::from_secs(15), || {
                let now = dns::ask(server.address, STEERED, dns::A, Duration::from_secs(1))?.addresses();
                (now == [address.to_string()]).then_some(())
            });
        }
    }
}

/// One nameserver. Dropping it kills it.
struct Server {
    address: SocketAddr,
    ops: Option<SocketAddr>,
    is_steering: bool,
    child: Child,
    log: std::path::PathBuf,
}

impl Server {
    fn ours(tree: &Path, last: u8, zones: &[&str], steering: &str, resolver: SocketAddr) -> Self {
        let here = tree.join(format!("server-{last}"));
        fs::create_dir(&here).expect("a folder");
        let (v4, v6) = (v4(last), v6(last));
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (admin, ops) = (local(), local());
        let mut text = format!(
            "contract = 1\n\n[server]\nname = \"ns{last}\"\nlisten = [\"{v4}:53\", \"[{v6}]:53\"]\nworkers = 1\nstate = \
             \"state\"\nresolvers = [\"{resolver}\"]\n\n[admin]\nlisten = \"{admin}\"\nops_listen = \"{ops}\"\n\n"
        );
        for apex in zones {
            write!(text, "[zone.\"{apex}\"]\nfile = \"{}\"\n\n", file(tree, apex)).expect("a string");
        }
        let is_steering = zones.contains(&"example.test");
        if is_steering {
            text.push_str(steering);
        }
        let config = here.join("failoverd.toml");
        fs::write(&config, text).expect("a file");
        let mut command = Command::new(BINARY);
        command.args(["run", "--config"]).arg(&config);
        Self::spawn(command, here.join("log"), v4, Some(ops), is_steering)
    }

    fn knot(tree: &Path, last: u8, zones: &[&str]) -> Self {
        let here = tree.join(format!("server-{last}"));
        fs::create_dir(&here).expect("a folder");
        let folder = here.display();
        let (v4, v6) = (v4(last), v6(last));
        let mut text = format!(
            "server:\n  rundir: {folder}\n  listen: [ {v4}@53, {v6}@53 ]\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\ndatabase:\n  storage: {folder}\nlog:\n  - target: stderr\n    any: warning\nzone:\n"
        );
        for apex in zones {
            let file = file(tree, apex);
            let line = format!(
                "  - domain: {apex}\n    file: {file}\n    zonefile-sync: -1\n    journal-content: none\n    \
                 semantic-checks: off\n"
            );
            text.push_str(&line);
        }
        let config = here.join("conf");
        fs::write(&config, text).expect("a file");
        let mut command = Command::new(tool("knotd", "knot"));
        command.arg("-c").arg(&config);
        Self::spawn(command, here.join("log"), v4, None, zones.contains(&"example.test"))
    }

    fn spawn(
        mut command: Command,
        log: std::path::PathBuf,
        address: Ipv4Addr,
        ops: Option<SocketAddr>,
        is_steering: bool,
    ) -> Self {
        let into = fs::File::create(&log).expect("a file");
        command.stdin(Stdio::null()).stdout(into.try_clone().expect("a handle")).stderr(into);
        let child = command.spawn().expect("a nameserver");
        Self { address: (address, 53).into(), ops, is_steering, child, log }
    }

    /// Waits until it answers.
    fn wait(&mut self) {
        wait("a server of the tree", Duration::from_secs(20), || {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("{} ended: {status}\n{}", self.address, fs::read_to_string(&self.log).unwrap_or_default());
            }
            match self.ops {
                Some(ops) => get(ops, "/readyz").filter(|(status, _)| *status == 200).map(drop),
                None => dns::ask(self.address, "test", dns::SOA, Duration::from_secs(1)).map(drop),
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            println!("{}: {}", self.address, tail.into_iter().rev().collect::<Vec<_>>().join("\n    "));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The steered names of `example.test`: by address, by CNAME, and a wildcard.
fn steering(port: u16) -> String {
    let origin = |name: &str, address: Ipv4Addr| {
        format!("[origin.{name}]\na = [\"{address}\"]\nprobe = {{ port = {port} }}\n\n")
    };
    let steer = |name: &str, primary: &str, backup: &str, more: &str| {
        format!(
            "[steer.\"{name}\"]\nprimary = \"{primary}\"\nbackup = \"{backup}\"\ncheck = \"site\"\nttl = \
             \"{TTL}s\"\nfailback = \"auto\"\n{more}\n"
        )
    };
    [
        format!("[defaults.check]\n{}\n\n[check.site]\nhttp = \"/\"\n\n", FAST.replace(", ", "\n")),
        origin("eu", PRIMARY),
        origin("us", BACKUP),
        format!("[origin.host]\ncname = \"static.example.test\"\nprobe = {{ port = {port} }}\n\n"),
        format!("[origin.other]\ncname = \"svc.example.test\"\nprobe = {{ port = {port} }}\n\n"),
        steer(STEERED, "eu", "us", ""),
        steer("app.example.test", "host", "other", ""),
        steer("*.turn.example.test", "eu", "us", "host = [\"turn.example.test\"]\n"),
    ]
    .concat()
}

/// The file a zone is served from.
fn file(tree: &Path, apex: &str) -> String {
    tree.join(format!("{}.zone", if apex == "." { "root" } else { apex })).display().to_string()
}

/// Each line with `{1..40}` in it, forty times.
pub(crate) fn written_out(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let range = line.split_once('{').and_then(|(before, rest)| {
            let (range, after) = rest.split_once('}')?;
            let (first, last) = range.split_once("..")?;
            Some((before, first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?, after))
        });
        match range.filter(|_| !line.starts_with(';')) {
            Some((before, numbers, after)) => {
                for number in numbers {
                    writeln!(out, "{before}{number}{after}").expect("a string");
                }
            }
            None => writeln!(out, "{line}").expect("a string"),
        }
    }
    out
}

/// Signs a zone file in place; DS records of children signed before go in, its own are left for its parent.
fn sign(tree: &Path, apex: &str, signing: Signing) {
    let (algorithm, chain): (_, &[&str]) = match signing {
        Signing::None => return,
        Signing::Nsec(algorithm) => (algorithm, &[]),
        Signing::Nsec3(algorithm) => (algorithm, &["-3", "-", "-H", "0"]),
        Signing::OptOut(algorithm) => (algorithm, &["-3", "-", "-H", "0", "-A"]),
    };
    let keys = tree.join("keys");
    fs::create_dir_all(&keys).expect("a folder");
    let size: &[&str] = if algorithm == "RSASHA256" { &["-b", "2048"] } else { &[] };
    for flags in [&["-f", "KSK"][..], &[]] {
        let mut command = Command::new(tool("dnssec-keygen", "bind9-utils"));
        run(command.current_dir(&keys).args(["-q", "-a", algorithm]).args(size).args(flags).arg(apex));
    }
    let file = file(tree, apex);
    let mut command = Command::new(tool("dnssec-signzone", "bind9-utils"));
    command.current_dir(&keys).args(["-q", "-S", "-g"]).args(chain).args(["-o", apex, "-f", &file, &file]);
    run(&mut command);
}

/// Changes an address after it was signed.
fn spoil(tree: &Path) {
    let file = file(tree, "bogus.test");
    let text = fs::read_to_string(&file).expect("the signed zone");
    assert!(text.contains("192.0.2.140"), "{text}");
    fs::write(&file, text.replace("192.0.2.140", "192.0.2.149")).expect("a file");
}

/// The root's key: the DNSKEY record, and the RDATA of its DS.
fn anchor(tree: &Path) -> (String, String) {
    let keys = fs::read_dir(tree.join("keys")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let records = keys
        .filter(|path| path.extension().is_some_and(|end| end == "key"))
        .flat_map(|path| fs::read_to_string(path).expect("a key").lines().map(str::to_owned).collect::<Vec<_>>());
    let anchor = records.into_iter().find(|line| line.starts_with(". IN DNSKEY 257 ")).expect("the root's key");
    let ds = fs::read_to_string(tree.join("keys/dsset-.")).expect("the root's DS");
    let ds = ds.split_once("DS").expect("a DS").1.split_whitespace().collect::<Vec<_>>();
    (anchor, format!("{} {} {} {}", ds[0], ds[1], ds[2], ds[3..].concat()))
}

/// Runs a tool to its end; what it said.
///
/// # Panics
/// If it does not end well.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
    text.into_owned()
}
