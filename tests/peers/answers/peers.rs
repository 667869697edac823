//! The parties: Knot, NSD, BIND and failoverd as child processes with the same zones, and many questions to each at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use failoverd::dns::Type;

use super::questions::{Question, Via};
use super::zones::{Zones, file_name, write_all};
use crate::support::daemon::Daemon;
use crate::support::{free_port, tool};

/// Questions under way to one server over UDP.
const WINDOW: usize = 64;
/// Questions on one TCP connection.
const PIPELINED: usize = 24;
/// How long a reply may take when many are asked for; what is lost is asked again, one by one.
const SOON: Duration = Duration::from_millis(250);
/// How long a reply may take at last.
const AT_LAST: Duration = Duration::from_millis(800);

/// A running server of another make.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Peer {
    pub(super) fn knot(zones: &Zones) -> Self {
        Self::start("knotd", "knot", zones, |folder, port| {
            let mut text = format!(
                "server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n  udp-max-payload: 1232\ndatabase:\n  storage: {folder}\n\
                 log:\n  - target: stderr\n    any: warning\nzone:\n"
            );
            for apex in zones.keys() {
                let file = file_name(apex);
                writeln!(
                    text,
                    "  - domain: {apex}\n    file: {folder}/{file}\n    zonefile-sync: -1\n    journal-content: none"
                )
                .expect("a string");
            }
            (text, vec!["-c".into()])
        })
    }

    pub(super) fn nsd(zones: &Zones) -> Self {
        Self::start("nsd", "nsd", zones, |folder, port| {
            let mut text = format!(
                "server:\n  ip-address: 127.0.0.1@{port}\n  port: {port}\n  username: \"\"\n  database: \"\"\n  zonesdir: {folder}\n\
                 \x20 pidfile: \"\"\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  xfrdir: {folder}\n  cookie-secret-file: \"\"\n\
                 \x20 minimal-responses: yes\n  server-count: 1\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n  tcp-count: 500\n\
                 remote-control:\n  control-enable: no\n"
            );
            for apex in zones.keys() {
                writeln!(text, "zone:\n  name: {apex}\n  zonefile: {}", file_name(apex)).expect("a string");
            }
            (text, vec!["-d".into(), "-c".into()])
        })
    }

    pub(super) fn bind(zones: &Zones) -> Self {
        Self::start("named", "bind9", zones, |folder, port| {
            let mut text = format!(
                "options {{ directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;\n\
                 pid-file none; session-keyfile none; dnssec-validation no; minimal-responses yes; notify no; allow-transfer {{ none; }};\n\
                 max-udp-size 1232; empty-zones-enable no; managed-keys-directory \"{folder}\"; max-records-per-type 0;\n\
                 max-types-per-name 0; zero-no-soa-ttl no; }};\ncontrols {{ }};\n"
            );
            for apex in zones.keys() {
                writeln!(
                    text,
                    "zone \"{apex}\" {{ type primary; file \"{}\"; check-integrity no; check-names ignore; }};",
                    file_name(apex)
                )
                .expect("a string");
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
        let folder = tempfile::tempdir().expect("a scratch folder");
        write_all(folder.path(), zones);
        let port = free_port();
        let (text, mut arguments) = configure(folder.path().to_str().expect("a path of text"), port);
        let config = folder.path().join("config");
        std::fs::write(&config, text).expect("a file");
        arguments.push(config.display().to_string());
        let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
        let mut command = Command::new(tool(program, package));
        let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { name: program, address: (Ipv4Addr::LOCALHOST, port).into(), child, folder }
    }

    /// Waits until zones are served, and says which are not. One that is not would agree with nobody and hide what it
    /// should show.
    pub(super) fn refused(&self, zones: &Zones) -> Vec<String> {
        unserved(self.address, zones)
    }

    /// What it wrote about itself.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Zones without an authoritative answer after some seconds.
fn unserved(server: SocketAddr, zones: &Zones) -> Vec<String> {
    let mut waited: Vec<&String> = zones.keys().collect();
    let began = Instant::now();
    while !waited.is_empty() && began.elapsed() < Duration::from_secs(10) {
        let questions: Vec<Question> = waited.iter().map(|apex| Question::new(apex, Type(6), Via::EDNS)).collect();
        let replies = ask_all(server, &questions);
        let mut served = replies.iter().map(|reply| reply.as_ref().is_some_and(|reply| reply[2] & 4 != 0));
        waited.retain(|_| !served.next().unwrap_or_default());
        if !waited.is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    waited.into_iter().cloned().collect()
}

/// failoverd with the same zones.
pub(super) fn ourselves(zones: &Zones) -> Daemon {
    let mut body = String::new();
    for apex in zones.keys() {
        writeln!(body, "[zone.\"{apex}\"]\nfile = \"{}\"", file_name(apex)).expect("a string");
    }
    let mut daemon = Daemon::prepare(&body, &[SocketAddr::from(([127, 0, 0, 1], 9))]);
    write_all(&daemon.path(""), zones);
    daemon.launch();
    daemon.wait_ready();
    let unserved = unserved(daemon.dns, zones);
    assert!(unserved.is_empty(), "failoverd does not serve {unserved:?}\n{}", daemon.log());
    daemon
}

/// The replies of one server, in the order of the questions; `None` where there is none.
pub(super) fn ask_all(server: SocketAddr, questions: &[Question]) -> Vec<Option<Vec<u8>>> {
    let mut replies = vec![None; questions.len()];
    let over = |is_tcp: bool| (0..questions.len()).filter(move |&at| questions[at].is_tcp == is_tcp);
    // Ids are 16 bits.
    for chunk in over(false).collect::<Vec<_>>().chunks(50_000) {
        ask_udp(server, questions, chunk, &mut replies, WINDOW, SOON);
    }
    let again =
        |replies: &[Option<Vec<u8>>]| -> Vec<usize> { over(false).filter(|&at| replies[at].is_none()).collect() };
    for chunk in again(&replies).chunks(50_000) {
        ask_udp(server, questions, chunk, &mut replies, 16, AT_LAST);
    }
    for chunk in over(true).collect::<Vec<_>>().chunks(PIPELINED) {
        ask_tcp(server, questions, chunk, &mut replies, SOON);
    }
    for at in over(true).filter(|&at| replies[at].is_none()).collect::<Vec<_>>() {
        ask_tcp(server, questions, &[at], &mut replies, AT_LAST);
    }
    replies
}

/// The message of a question, with the number `id`.
fn numbered(question: &Question, id: u16) -> Vec<u8> {
    let mut message = question.message.clone();
    if let Some(place) = message.first_chunk_mut() {
        *place = id.to_be_bytes();
    }
    message
}

fn ask_udp(
    server: SocketAddr,
    questions: &[Question],
    chosen: &[usize],
    replies: &mut [Option<Vec<u8>>],
    window: usize,
    patience: Duration,
) {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(local).expect("a UDP socket");
    socket.connect(server).expect("loopback");
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    let mut waiting: BTreeMap<u16, usize> = BTreeMap::new();
    let mut buffer = vec![0; 65_535];
    let mut next = 0;
    while next < chosen.len() || !waiting.is_empty() {
        while next < chosen.len() && waiting.len() < window {
            let id = (next % 65_536) as u16;
            if socket.send(&numbered(&questions[chosen[next]], id)).is_ok() {
                waiting.insert(id, chosen[next]);
            }
            next += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let id = buffer[..length].first_chunk().map(|&id| u16::from_be_bytes(id));
                if let Some(at) = id.and_then(|id| waiting.remove(&id)) {
                    replies[at] = Some(buffer[..length].to_vec());
                }
            }
            // Not there yet, or never: what is missing is asked again at the end.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => waiting.clear(),
            Err(_) => waiting.clear(),
        }
    }
}

fn ask_tcp(
    server: SocketAddr,
    questions: &[Question],
    chosen: &[usize],
    replies: &mut [Option<Vec<u8>>],
    patience: Duration,
) {
    let mut exchange = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        for (id, &at) in chosen.iter().enumerate() {
            let message = numbered(&questions[at], id as u16);
            bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&message);
        }
        stream.write_all(&bytes)?;
        for _ in chosen {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut reply)?;
            let id = reply.first_chunk().map(|&id| usize::from(u16::from_be_bytes(id)));
            if let Some(&at) = id.and_then(|id| chosen.get(id)) {
                replies[at] = Some(reply);
            }
        }
        Ok(())
    };
    // A connection that breaks leaves its questions without a reply; they are asked again one by one.
    let _unanswered = exchange();
}
