//! The same zone files and the same questions to Knot, NSD, BIND and us. Where the three agree, we must agree, or have a
//! reason that is written down in [`EXCEPTIONS`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use failoverd::answer::{Draw, Transport};
use failoverd::dns::Name;
use failoverd::dns::message::{Header, flag};
use failoverd::zone::table::Table;
use failoverd::zone::{Files, load};

use self::world::{Answer, World, query};

#[path = "../it/rfc/world.rs"]
#[expect(dead_code, reason = "the tests by RFC use all of it, these a part")]
mod world;

/// Zones of one run, by apex.
type Zones = BTreeMap<String, String>;

const SOA: &str = "@ 300 IN SOA ns mail 1 3600 600 86400 60\n@ 300 NS ns\nns 300 A 192.0.2.53\n";

/// What a person writes, and each thing that went wrong in some nameserver once.
const EXAMPLE_COM: &str = "
www 60 A 192.0.2.1
www 60 A 192.0.2.2
www 60 AAAA 2001:db8::1
WwW2 CNAME www
@ MX 10 mail
@ MX 20 mail.example.net.
@ TXT \"v=spf1 -all\"
mail A 192.0.2.3
far CNAME www.example.net.
away CNAME elsewhere.test.
away2 CNAME away
dead CNAME nobody
bare CNAME ns
ring1 CNAME ring2
ring2 CNAME ring1
self CNAME self
into CNAME x.sub
intods CNAME sub
a.b.deep A 192.0.2.4
*.wild A 192.0.2.5
*.wild TXT wild
x.wild MX 10 mail
y.z.wild A 192.0.2.6
*.walias CNAME www
*.wdead CNAME nobody
*.wloop CNAME x.wloop
only.*.went TXT deep
*.wfar CNAME www.example.net.
sub NS ns.sub
sub NS ns
sub DS 12345 8 2 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
ns.sub A 192.0.2.7
ns.sub AAAA 2001:db8::7
*.sub A 192.0.2.8
plain NS ns.example.net.
sibling NS ns.plain2
plain2 NS ns.plain2
ns.plain2 A 192.0.2.9
old DNAME new
old A 192.0.2.10
x.new A 192.0.2.11
alias.new CNAME www
dfar DNAME deep.example.net.
dtest DNAME example.test.
d1 DNAME d2
d2 DNAME new
dvia CNAME x.old
dsub DNAME sub
_sip._tcp SRV 0 0 5060 www
svc HTTPS 1 . alpn=h2
salias HTTPS 0 www
ptr PTR www
unknown TYPE65280 \\# 3 010203
label.with.dots\\.inside A 192.0.2.12
UPPER A 192.0.2.13
dlong DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
";

const EXAMPLE_NET: &str = "
www CNAME www.deep
www.deep A 192.0.2.21
x.deep A 192.0.2.22
mail A 192.0.2.23
sub NS ns.sub
ns.sub A 192.0.2.24
sub DS 12345 8 2 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
back CNAME www.example.com.
";

/// A child whose parent is served too.
const SUB_EXAMPLE_NET: &str = "
@ A 192.0.2.31
www A 192.0.2.32
up CNAME www.example.net.
";

/// An apex with a DNAME.
const APEX_TEST: &str = "
@ DNAME new.example.com.
@ A 192.0.2.41
";

fn written_zones() -> Zones {
    let zones = [("example.com", EXAMPLE_COM), ("example.net", EXAMPLE_NET), ("sub.example.net", SUB_EXAMPLE_NET)];
    let mut zones: Zones = zones.map(|(apex, text)| (apex.into(), format!("$TTL 300\n{SOA}{text}"))).into();
    zones.insert(
        "apex.test".into(),
        format!(
            "$TTL 300\n@ SOA ns.example.com. mail.example.com. 1 3600 600 86400 60\n@ NS ns.example.com.\n{APEX_TEST}"
        ),
    );
    zones
}

const LABELS: [&str; 4] = ["a", "b", "c", "*"];

/// Zones `r0.test`, `r1.test`, … of a few records that all four servers take.
fn drawn_zones(seed: u64, count: usize) -> Zones {
    let mut draw = failoverd::answer::Desk::new(seed).draw;
    (0..count).map(|index| (format!("r{index}.test"), drawn_zone(&mut draw, index, count))).collect()
}

fn drawn_name(draw: &mut Draw, labels: &[&str]) -> String {
    let depth = pick(draw, 3) + 1;
    (0..depth).map(|_| labels[pick(draw, labels.len())]).collect::<Vec<_>>().join(".")
}

fn pick(draw: &mut Draw, below: usize) -> usize {
    (draw.number() % below as u64) as usize
}

fn drawn_zone(draw: &mut Draw, index: usize, count: usize) -> String {
    let mut text = format!("$TTL 300\n{SOA}");
    let mut owned: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for _ in 0..pick(draw, 9) + 2 {
        let owner = drawn_name(draw, &LABELS);
        let rtype = ["A", "TXT", "CNAME", "CNAME", "DNAME", "NS"][pick(draw, 6)];
        let zone = if pick(draw, 4) == 0 { pick(draw, count) } else { index };
        let target = format!("{}.r{zone}.test.", drawn_name(draw, &LABELS));
        let below = |owner: &str, above: &str| owner.strip_suffix(above).is_some_and(|front| front.ends_with('.'));
        let types = owned.get(&owner).cloned().unwrap_or_default();
        // Nobody loads, or nobody agrees on: CNAME with others, two CNAMEs or DNAMEs, NS or DNAME at a wildcard, data
        // below a DNAME, a DNAME at a cut.
        let alone = |alone: &str| types.contains(alone) || (rtype == alone && !types.is_empty());
        let is_dname_above = owned.iter().any(|(above, types)| types.contains("DNAME") && below(&owner, above));
        let is_dname_over = rtype == "DNAME" && owned.keys().any(|name| below(name, &owner));
        let is_odd_wildcard = matches!(rtype, "NS" | "DNAME") && owner.starts_with('*');
        let is_second = matches!(rtype, "CNAME" | "DNAME") && types.contains(rtype);
        let is_cut_with_dname =
            (rtype == "DNAME" && types.contains("NS")) || (rtype == "NS" && types.contains("DNAME"));
        if alone("CNAME") || is_dname_above || is_dname_over || is_odd_wildcard || is_second || is_cut_with_dname {
            continue;
        }
        let rdata = match rtype {
            "A" => format!("192.0.2.{}", pick(draw, 3)),
            "TXT" => "text".into(),
            _ => target,
        };
        writeln!(text, "{owner} {rtype} {rdata}").unwrap();
        owned.entry(owner).or_default().insert(rtype);
    }
    text
}

/// A running server of another make.
struct Peer {
    name: &'static str,
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Peer {
    fn knot(zones: &Zones) -> Self {
        Self::start("knotd", "knot", zones, |folder, port| {
            let mut text = format!(
                "server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n  udp-max-payload: 1232\ndatabase:\n  storage: {folder}\n\
                 log:\n  - target: stderr\n    any: warning\nzone:\n"
            );
            for apex in zones.keys() {
                write!(text, "  - domain: {apex}\n    file: {folder}/{apex}.zone\n    zonefile-sync: -1\n    journal-content: none\n").unwrap();
            }
            (text, vec!["-c".into()])
        })
    }

    fn nsd(zones: &Zones) -> Self {
        Self::start("nsd", "nsd", zones, |folder, port| {
            let mut text = format!(
                "server:\n  ip-address: 127.0.0.1@{port}\n  port: {port}\n  username: \"\"\n  database: \"\"\n  zonesdir: {folder}\n\
                 \x20 pidfile: \"\"\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  xfrdir: {folder}\n  cookie-secret-file: \"\"\n\
                 \x20 minimal-responses: yes\n  server-count: 1\nremote-control:\n  control-enable: no\n"
            );
            for apex in zones.keys() {
                write!(text, "zone:\n  name: {apex}\n  zonefile: {apex}.zone\n").unwrap();
            }
            (text, vec!["-d".into(), "-c".into()])
        })
    }

    fn bind(zones: &Zones) -> Self {
        Self::start("named", "bind9", zones, |folder, port| {
            let mut text = format!(
                "options {{ directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;\n\
                 pid-file none; session-keyfile none; dnssec-validation no; minimal-responses yes; notify no; allow-transfer {{ none; }};\n\
                 max-udp-size 1232; empty-zones-enable no; managed-keys-directory \"{folder}\"; }};\ncontrols {{ }};\n"
            );
            for apex in zones.keys() {
                writeln!(
                    text,
                    "zone \"{apex}\" {{ type primary; file \"{apex}.zone\"; check-integrity no; check-names ignore; }};"
                )
                .unwrap();
            }
            (text, vec!["-g".into(), "-n".into(), "1".into(), "-c".into()])
        })
    }

    fn start(
        program: &'static str,
        package: &str,
        zones: &Zones,
        configure: impl FnOnce(&str, u16) -> (String, Vec<String>),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_zones(folder.path(), zones);
        let port = free_port();
        let (text, mut arguments) = configure(folder.path().to_str().unwrap(), port);
        let config = folder.path().join("config");
        std::fs::write(&config, text).unwrap();
        arguments.push(config.to_str().unwrap().into());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
        let found = found.unwrap_or_else(|| panic!("{program} is missing: apt-get install {package}"));
        let child = Command::new(found).args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let peer = Self { name: program, child, port, folder };
        peer.wait_for(zones);
        peer
    }

    /// Waits until every zone is served; one that is not would agree with nobody and hide what it should show.
    fn wait_for(&self, zones: &Zones) {
        let patience = Instant::now() + Duration::from_secs(20);
        for apex in zones.keys() {
            let (question, _) = query(&format!("{apex} SOA +edns=1232"));
            while self
                .exchange(&question, Transport::Udp)
                .is_none_or(|reply| Header::read(&reply).is_none_or(|header| header.flags & flag::AA == 0))
            {
                let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                assert!(Instant::now() < patience, "{} does not serve {apex}:\n{}\n{}", self.name, zones[apex], log());
                std::thread::yield_now();
            }
        }
    }

    /// The reply; `None` if there is none within a second, or no connection.
    fn exchange(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let mut reply = vec![0; 65_535];
        if transport == Transport::Udp {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            socket.connect(address).ok()?;
            socket.send(message).ok()?;
            let length = socket.recv(&mut reply).ok()?;
            reply.truncate(length);
            return Some(reply);
        }
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat()).ok()?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        reply.truncate(usize::from(u16::from_be_bytes(length)));
        stream.read_exact(&mut reply).ok()?;
        Some(reply)
    }
}

/// A port free for UDP and TCP, below those that the system gives to clients.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    let first = 20_000 + (std::process::id() % 1000) as u16 * 10;
    std::iter::repeat_with(|| first + TAKEN.fetch_add(1, Ordering::Relaxed))
        .take(2000)
        .find(is_free)
        .expect("a free port")
}

fn write_zones(folder: &Path, zones: &Zones) {
    for (apex, text) in zones {
        std::fs::write(folder.join(format!("{apex}.zone")), text).unwrap();
    }
}

/// The files of a folder on the disk.
struct Disk;

impl Files for Disk {
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(std::fs::File::open(path)?))
    }

    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
        path.canonicalize()
    }
}

/// Us, without sockets, from the same files. Zones that we refuse to load are given as errors.
fn tables(zones: &Zones) -> BTreeMap<String, Result<Table, String>> {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), zones);
    let table = |apex: &String| {
        let file = folder.path().join(format!("{apex}.zone"));
        load::load(&Disk, &Name::absolute(apex).unwrap(), &file, &|_| false)
    };
    zones
        .keys()
        .map(|apex| (apex.clone(), table(apex).map(|zone| zone.table).map_err(|report| report.to_string())))
        .collect()
}

/// What is compared: order, case and compression do not matter, additional data only where it is glue.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Gist {
    rcode: String,
    aa: bool,
    tc: bool,
    answer: BTreeSet<String>,
    authority: BTreeSet<String>,
    glue: BTreeSet<String>,
}

fn gist(reply: Option<Vec<u8>>) -> Option<Gist> {
    let reply = Answer::parse(&reply?);
    let folded = |lines: &[String]| lines.iter().map(|line| line.to_ascii_lowercase()).collect::<BTreeSet<_>>();
    let authority = folded(&reply.authority);
    let cut = authority
        .first()
        .filter(|line| line.contains(" ns "))
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned());
    let mut glue = folded(&reply.additional);
    // Glue that the referral cannot do without (RFC 9471 §2.1).
    glue.retain(|line| {
        cut.as_deref().is_some_and(|cut| line.split(' ').next().is_some_and(|owner| owner.ends_with(cut)))
    });
    Some(Gist { rcode: reply.rcode, aa: reply.aa, tc: reply.tc, answer: folded(&reply.answer), authority, glue })
}

/// A case in which we differ from three peers on purpose: what it is, and why.
struct Exception {
    holds: fn(question: &str, ours: &Gist, theirs: &Gist) -> bool,
    reason: &'static str,
}

const EXCEPTIONS: [Exception; 0] = [];

struct Parties {
    us: World,
    peers: [Peer; 3],
    agreed: usize,
    differences: Vec<String>,
    excused: BTreeMap<&'static str, usize>,
}

impl Parties {
    fn new(zones: &Zones) -> Self {
        let peers = [Peer::knot(zones), Peer::nsd(zones), Peer::bind(zones)];
        Self {
            us: World::of(tables(zones).into_values().map(|table| table.unwrap_or_else(|report| panic!("{report}")))),
            peers,
            agreed: 0,
            differences: Vec::new(),
            excused: BTreeMap::new(),
        }
    }

    /// Asks all four; notes it if the three agree and we do not.
    fn ask(&mut self, question: &str, message: &[u8], transport: Transport, compare: fn(Gist) -> Gist) {
        let peers: Vec<_> =
            self.peers.iter().map(|peer| gist(peer.exchange(message, transport)).map(compare)).collect();
        let ours = gist(self.us.exchange(message, transport)).map(compare);
        if peers[0] != peers[1] || peers[0] != peers[2] {
            return;
        }
        self.agreed += 1;
        if ours == peers[0] {
            return;
        }
        let excuse = ours
            .as_ref()
            .zip(peers[0].as_ref())
            .and_then(|(ours, theirs)| EXCEPTIONS.iter().find(|exception| (exception.holds)(question, ours, theirs)));
        match excuse {
            Some(exception) => *self.excused.entry(exception.reason).or_default() += 1,
            None => self.differences.push(format!("{question}\n  ours   {ours:?}\n  theirs {:?}", peers[0])),
        }
    }

    fn conclude(self, at_least: usize) {
        assert!(
            self.differences.is_empty(),
            "{} differences:\n{}",
            self.differences.len(),
            self.differences.join("\n")
        );
        assert!(self.agreed >= at_least, "the peers agreed on {} questions only", self.agreed);
    }
}

const QTYPES: [&str; 12] = ["A", "AAAA", "NS", "CNAME", "MX", "TXT", "SOA", "DNAME", "DS", "SRV", "PTR", "TYPE65280"];

/// Every owner, every name above it, and names below, beside and across.
fn names(zones: &Zones) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["org".to_owned(), "test".to_owned(), "nobody.test".to_owned()]);
    for (apex, text) in zones {
        for owner in text.lines().filter(|line| !line.starts_with('$')).filter_map(|line| line.split(' ').next()) {
            let full = if owner == "@" || owner.is_empty() { apex.clone() } else { format!("{owner}.{apex}") };
            for front in ["x.", "x.y.", "*.", "a."] {
                names.insert(format!("{front}{full}"));
            }
            let mut rest = full.as_str();
            while rest.len() > apex.len() {
                names.insert(rest.to_owned());
                rest = rest.split_once('.').map_or("", |(_, rest)| rest);
            }
            names.insert(apex.clone());
        }
    }
    names.retain(|name| Name::absolute(name).is_ok());
    names
}

#[test]
fn written_zones_are_answered_as_three_peers_agree() {
    let zones = written_zones();
    let mut parties = Parties::new(&zones);
    for name in names(&zones) {
        for qtype in QTYPES {
            let question = format!("{name} {qtype} +edns=1232");
            let (message, transport) = query(&question);
            parties.ask(&question, &message, transport, |gist| gist);
        }
    }
    parties.conclude(2000);
}

#[test]
fn drawn_zones_are_answered_as_three_peers_agree() {
    let rounds = std::env::var("PEERS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    for seed in 0..rounds {
        let mut zones = drawn_zones(seed, 60);
        // We are the strictest about what a zone may hold.
        let loaded = tables(&zones);
        zones.retain(|apex, _| loaded[apex].is_ok());
        assert!(zones.len() > 30, "{} zones of 60 can be loaded", zones.len());
        let mut parties = Parties::new(&zones);
        for name in names(&zones) {
            for qtype in ["A", "TXT", "CNAME", "NS", "DNAME", "DS"] {
                let question = format!("{name} {qtype} +edns=1232 ; seed {seed}");
                let (message, transport) = query(&question);
                parties.ask(&question, &message, transport, |gist| gist);
            }
        }
        parties.conclude(2000);
    }
}

/// Messages that are odd as messages; the rcode is compared, and whether there is a reply at all.
#[test]
fn odd_messages_get_the_rcode_three_peers_agree_on() {
    let zones = written_zones();
    let mut parties = Parties::new(&zones);
    for transport in [Transport::Udp, Transport::Tcp] {
        for (what, message) in odd_messages() {
            parties.ask(&format!("{what} over {transport:?}"), &message, transport, |gist| Gist {
                answer: BTreeSet::new(),
                authority: BTreeSet::new(),
                glue: BTreeSet::new(),
                aa: false,
                ..gist
            });
        }
    }
    parties.conclude(60);
}

fn odd_messages() -> Vec<(String, Vec<u8>)> {
    let (plain, edns) = (query("www.example.com A").0, query("www.example.com A +edns=1232").0);
    let mut odd: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, base: &[u8], edit: &dyn Fn(&mut Vec<u8>)| {
        let mut message = base.to_vec();
        edit(&mut message);
        odd.push((what.into(), message));
    };
    let opt = &edns[edns.len() - 11..];
    for (kind, base) in [("plain", &plain), ("edns", &edns)] {
        for opcode in [1, 3, 6, 7, 15] {
            add(&format!("{kind}, opcode {opcode}"), base, &|message| {
                message[2] = opcode << 3;
            });
        }
        for class in [0, 2, 3, 4, 5, 254, 255] {
            add(&format!("{kind}, class {class}"), base, &|message| {
                let end = plain.len();
                message[end - 1] = class;
            });
        }
        for rtype in [0_u16, 41, 128, 200, 249, 250, 251, 252, 253, 254, 255, 65_535] {
            add(&format!("{kind}, type {rtype}"), base, &|message| {
                let at = plain.len() - 4;
                message[at..at + 2].copy_from_slice(&rtype.to_be_bytes());
            });
        }
        for rtype in [251, 252] {
            add(&format!("{kind}, type {rtype} at an apex"), base, &|message| {
                message[plain.len() - 3] = rtype;
                message.drain(12..16);
            });
        }
        for count in [0, 2] {
            add(&format!("{kind}, {count} questions"), base, &|message| {
                message[5] = count;
            });
        }
        add(&format!("{kind}, bytes behind"), base, &|message| {
            message.extend_from_slice(b"trailing");
        });
        add(&format!("{kind}, cut in the name"), base, &|message| {
            message.truncate(16);
        });
        add(&format!("{kind}, cut in the type"), base, &|message| {
            message.truncate(plain.len() - 3);
        });
        add(&format!("{kind}, header only"), base, &|message| message.truncate(12));
        add(&format!("{kind}, pointer as a name"), base, &|message| {
            message[12] = 0xc0;
        });
        add(&format!("{kind}, all flags"), base, &|message| {
            message[2..4].copy_from_slice(&[0x07, 0xff]);
        });
        add(&format!("{kind}, an answer claimed"), base, &|message| message[7] = 1);
        add(&format!("{kind}, an additional record claimed"), base, &|message| {
            message[11] += 1;
        });
        add(&format!("{kind}, a response"), base, &|message| message[2] |= 0x80);
    }
    add("two OPTs", &edns, &|message| {
        message[11] = 2;
        message.extend_from_slice(opt);
    });
    add("version 1", &edns, &|message| message[plain.len() + 6] = 1);
    add("version 255", &edns, &|message| message[plain.len() + 6] = 255);
    add("version 1 and opcode 15", &edns, &|message| {
        message[plain.len() + 6] = 1;
        message[2] = 15 << 3;
    });
    add("OPT owner not the root", &edns, &|message| {
        drop(message.splice(plain.len()..=plain.len(), *b"\x01a\0"));
    });
    add("an option runs over", &edns, &|message| {
        let end = message.len();
        message[end - 1] = 4;
        message.extend_from_slice(&[0, 9, 0, 9]);
    });
    add("an unknown option", &edns, &|message| {
        let end = message.len();
        message[end - 1] = 4;
        message.extend_from_slice(&[0xff, 0xf0, 0, 0]);
    });
    add("size 0", &edns, &|message| {
        message[plain.len() + 3..plain.len() + 5].copy_from_slice(&[0, 0]);
    });
    add("an A record in the additional section", &plain, &|message| {
        message[11] = 1;
        message.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04abcd");
    });
    odd
}
