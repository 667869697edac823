//! DNS over TLS, HTTPS and QUIC (RFC 7858, 8484, 9250), asked by kdig, dig and curl, and by clients that misbehave.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicClientConfig;
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::nginx::{Authority, Identity};
use crate::support::daemon::{Daemon, get};
use crate::support::{dns, free_port, hold, rounds, tool, wait};

const HOST: &str = "ns1.example.test";
const NAME: &str = "static.example.test";
const ADDRESS: &str = "192.0.2.80";
/// Only a hang takes so long.
const LONG: Duration = Duration::from_secs(20);
/// Far above what a handshake and a query take; below every deadline of the server.
const SOON: Duration = Duration::from_secs(3);

/// A daemon on all three transports.
struct World {
    daemon: Daemon,
    authority: Authority,
    tls: SocketAddr,
    https: SocketAddr,
    quic: SocketAddr,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    /// With more configuration.
    fn with(more: &str) -> Self {
        let authority = Authority::new("an authority of our own");
        let body = format!("[server.tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n{more}");
        let mut daemon = Daemon::prepare(&body, &[SocketAddr::from((Ipv4Addr::LOCALHOST, 9))]);
        let [tls, https, quic] = [(); 3].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        daemon.listen = vec![format!("tls://{tls}"), format!("https://{https}"), format!("quic://{quic}")];
        let world = |daemon| Self { daemon, authority, tls, https, quic };
        let mut world = world(daemon);
        world.install(&world.authority.valid(HOST));
        world.daemon.write("ca.pem", &world.authority.pem);
        world.daemon.launch();
        world.daemon.wait_ready();
        world.daemon.wait_api();
        world
    }

    fn install(&self, identity: &Identity) {
        self.daemon.write("certificate.pem", &identity.certificate);
        self.daemon.write("key.pem", &identity.key);
    }

    /// What a client that trusts our authority speaks, with this protocol.
    fn client(&self, alpn: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(self.authority.pem.as_bytes()) {
            roots.add(root.expect("PEM")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = if alpn.is_empty() { Vec::new() } else { vec![alpn.as_bytes().to_vec()] };
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }

    /// A figure of `/metrics`.
    fn metric(&self, line: &str) -> u64 {
        let (_, text) = get(self.daemon.ops, "/metrics").expect("metrics");
        let value = text.lines().find_map(|have| have.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {line} in {text}")).parse().expect("a number")
    }

    /// A query that all transports must answer soon.
    fn assert_all_answer(&self) {
        for transport in ["+tls", "+https", "+quic"] {
            let began = Instant::now();
            assert_eq!(self.kdig(&[transport, "+short", NAME]).trim(), ADDRESS, "{transport}");
            assert!(began.elapsed() < SOON, "{transport} took {:?}", began.elapsed());
        }
    }

    /// What kdig says, having verified our certificate.
    fn kdig(&self, words: &[&str]) -> String {
        let to = match words[0] {
            "+tls" => self.tls,
            "+quic" => self.quic,
            _ => self.https,
        };
        let mut command = Command::new(tool("kdig", "knot-dnsutils"));
        command.arg(format!("@{}", to.ip())).args(["-p", &to.port().to_string(), "+retry=0", "+time=5"]);
        command.arg(format!("+tls-ca={}", self.daemon.path("ca.pem").display())).arg(format!("+tls-host={HOST}"));
        said(command.args(words))
    }

    /// Status, head and body of what curl is answered.
    fn curl(&self, words: &[&str]) -> (u16, String, Vec<u8>) {
        let mut command = Command::new(tool("curl", "curl"));
        command.args(["--silent", "--max-time", "20", "--cacert"]).arg(self.daemon.path("ca.pem"));
        command.arg("--resolve").arg(format!("{HOST}:{}:{}", self.https.port(), self.https.ip()));
        command.arg("--dump-header").arg(self.daemon.path("head")).arg("--output").arg(self.daemon.path("body"));
        let status = said(command.args(["--write-out", "%{http_code}"]).args(words));
        let head = fs::read_to_string(self.daemon.path("head")).expect("a head").to_ascii_lowercase();
        (status.parse().expect("a status"), head, fs::read(self.daemon.path("body")).unwrap_or_default())
    }

    fn url(&self, rest: &str) -> String {
        format!("https://{HOST}:{}{rest}", self.https.port())
    }
}

/// What a program writes.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
    text
}

/// base64url without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let letters = (0..=chunk.len()).map(|at| char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]));
        text.extend(letters);
    }
    text
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("short").to_be_bytes(), message].concat()
}

/// One connection of DNS over TLS.
type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<Stream> {
    let socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(LONG))?;
    let host = ServerName::try_from(HOST).expect("a name");
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), host).expect("a client"), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Asks on an open connection.
fn ask(stream: &mut Stream, id: u16) -> std::io::Result<Vec<u8>> {
    stream.write_all(&framed(&dns::question(NAME, dns::A, false, id)))?;
    read_framed(stream)
}

fn read_framed(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

#[test]
fn the_clients_of_others_get_the_same_answers() {
    let world = World::new();
    for transport in ["+tls", "+https", "+https-get", "+quic"] {
        assert_eq!(world.kdig(&[transport, "+short", NAME]).trim(), ADDRESS, "kdig {transport}");
        let missing = world.kdig(&[transport, "nothing.example.test"]);
        assert!(missing.contains("NXDOMAIN") && missing.contains("SOA"), "kdig {transport}: {missing}");
    }
    for (transport, to) in [("+tls", world.tls), ("+https", world.https), ("+https-get", world.https)] {
        let mut dig = Command::new(tool("dig", "bind9-dnsutils"));
        dig.arg(format!("@{}", to.ip())).args(["-p", &to.port().to_string(), transport, "+short", NAME]);
        dig.arg(format!("+tls-ca={}", world.daemon.path("ca.pem").display())).arg(format!("+tls-hostname={HOST}"));
        assert_eq!(said(&mut dig).trim(), ADDRESS, "dig {transport}");
    }
    wait("queries are counted by transport", LONG, || {
        let counted = ["tls", "https", "quic"];
        let counted = counted.map(|one| world.metric(&format!("failoverd_queries_total{{transport=\"{one}\"}}")));
        (counted == [3, 6, 2]).then_some(())
    });
    let expiry = world.metric("failoverd_tls_certificate_expiry_timestamp_seconds");
    assert_eq!(expiry, 3_786_912_000, "the first of 2090");
}

#[test]
fn requests_over_https_and_what_becomes_of_them() {
    let world = World::new();
    let query = dns::question(NAME, dns::A, false, 0);
    let dns_of = |query: &[u8]| format!("?dns={}", base64url(query));
    let mut response = query.clone();
    response[2] |= 0x80;
    let file = |name: &str, bytes: &[u8]| {
        fs::write(world.daemon.path(name), bytes).expect("a file");
        format!("@{}", world.daemon.path(name).display())
    };
    let (good, none) = (file("query", &query), file("none", b""));
    let (large, too_large) = (file("large", &[0; 65_535]), file("too_large", &[0; 65_536]));
    let as_dns = "content-type: application/dns-message";
    let post =
        |body: &str, of_type: &str| vec!["--data-binary".to_owned(), body.to_owned(), "-H".into(), of_type.into()];
    for version in ["--http2", "--http1.1"] {
        for (what, path, words, status) in [
            ("GET", format!("/dns-query{}", dns_of(&query)), vec![], 200),
            ("GET among others", format!("/dns-query?a=b&dns={}&c", base64url(&query)), vec![], 200),
            ("GET of nothing", "/dns-query".into(), vec![], 400),
            ("GET of an empty query", "/dns-query?dns=".into(), vec![], 400),
            ("GET with padding", format!("/dns-query{}=", dns_of(&query)), vec![], 400),
            ("GET of what is no base64url", "/dns-query?dns=AA+/".into(), vec![], 400),
            ("GET of too little", format!("/dns-query{}", dns_of(&query[..11])), vec![], 400),
            ("GET of a reply", format!("/dns-query{}", dns_of(&response)), vec![], 400),
            ("GET of a query that is cut off", format!("/dns-query{}", dns_of(&query[..20])), vec![], 200),
            ("HEAD", format!("/dns-query{}", dns_of(&query)), vec!["--head".into()], 200),
            ("HEAD of nothing", "/dns-query".into(), vec!["--head".into()], 400),
            ("HEAD of another path", "/resolve".into(), vec!["--head".into()], 404),
            ("another path", format!("/resolve{}", dns_of(&query)), vec![], 404),
            ("a path that only begins like it", format!("/dns-query/{}", dns_of(&query)), vec![], 404),
            ("PUT", "/dns-query".into(), ["-X", "PUT"].map(str::to_owned).to_vec(), 405),
            ("POST", "/dns-query".into(), post(&good, as_dns), 200),
            (
                "POST with parameters of the type",
                "/dns-query".into(),
                post(&good, "Content-Type: Application/DNS-Message; a=b"),
                200,
            ),
            ("POST of another type", "/dns-query".into(), post(&good, "content-type: application/json"), 415),
            ("POST without a type", "/dns-query".into(), post(&good, "content-type:"), 415),
            ("POST of nothing", "/dns-query".into(), post(&none, as_dns), 400),
            ("POST of the most", "/dns-query".into(), post(&large, as_dns), 200),
            ("POST of more", "/dns-query".into(), post(&too_large, as_dns), 413),
            (
                "POST of more, without saying so before",
                "/dns-query".into(),
                [post(&too_large, as_dns), vec!["-H".into(), "transfer-encoding: chunked".into()]].concat(),
                413,
            ),
        ] {
            let url = world.url(&path);
            let words: Vec<&str> = [version, &*url].into_iter().chain(words.iter().map(String::as_str)).collect();
            let (seen, head, body) = world.curl(&words);
            assert_eq!(seen, status, "{version} {what}: {head}");
            let is_head = what.starts_with("HEAD");
            let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
            let length: usize = length.expect("a length").0.parse().expect("a number");
            // What curl writes as the body of HEAD is the head.
            assert!(if is_head { length > 12 } else { length == body.len() }, "{version} {what}: {head}");
            if status == 200 {
                assert!(head.contains("content-type: application/dns-message\r\n"), "{version} {what}: {head}");
            }
            if status == 200 && !is_head {
                assert_eq!((&body[..2], body[2] & 0x80), (&[0, 0][..], 0x80), "{version} {what}: the id is kept");
            }
            if status != 200 {
                assert!(head.contains("cache-control: no-store\r\n"), "{version} {what}: {head}");
            }
            assert!(status != 405 || head.contains("allow: get, head, post\r\n"), "{head}");
        }
    }
}

#[test]
fn caches_are_told_how_long_a_reply_is_fresh() {
    let world = World::new();
    let zone =
        format!("{}short 7 A 192.0.2.1\nalias 90 CNAME short\nlost 90 CNAME gone\n", crate::support::daemon::ZONE);
    world.daemon.write("example.test.zone", &zone);
    world.daemon.say(&["reload"]);
    for (name, rtype, cache) in [
        (NAME, dns::A, "max-age=60"),
        ("short.example.test", dns::A, "max-age=7"),
        ("alias.example.test", dns::A, "max-age=7"),
        ("nothing.example.test", dns::A, "max-age=5"),
        (NAME, dns::AAAA, "max-age=5"),
        ("lost.example.test", dns::A, "max-age=5"),
        ("example.org", dns::A, "no-store"),
    ] {
        let url = world.url(&format!("/dns-query?dns={}", base64url(&dns::question(name, rtype, false, 0))));
        let (status, head, _) = world.curl(&[&url]);
        assert_eq!(status, 200);
        assert!(head.contains(&format!("cache-control: {cache}\r\n")), "{name}: {head}");
    }
}

#[test]
fn queries_over_tls_are_pipelined_and_answered_in_their_order() {
    let world = World::new();
    // Neither naming a protocol nor naming ours is wrong.
    for alpn in ["", "dot"] {
        let mut stream = connect(world.tls, &world.client(alpn)).expect("connected");
        let all: Vec<u8> = (0..500).flat_map(|id| framed(&dns::question(NAME, dns::A, false, id))).collect();
        for piece in all.chunks(777) {
            stream.write_all(piece).expect("written");
        }
        for id in 0..500_u16 {
            let reply = read_framed(&mut stream).expect("an answer");
            assert_eq!((&reply[..2], reply[3] & 0xf), (&id.to_be_bytes()[..], dns::NOERROR));
        }
        stream.conn.send_close_notify();
        stream.flush().expect("written");
        assert_eq!(stream.read(&mut [0]).expect("a clean end, with close_notify"), 0);
    }
}

/// The serial number of the certificate that `to` shows.
fn shown(to: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<Vec<u8>> {
    let stream = connect(to, config)?;
    Ok(stream.conn.peer_certificates().expect("a certificate")[0].to_vec())
}

fn leaf(identity: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM").to_vec()
}

#[test]
fn a_renewed_certificate_is_shown_at_once_and_a_bad_one_never() {
    let world = World::new();
    let (dot, doh) = (world.client("dot"), world.client("h2"));
    let mut old = connect(world.tls, &dot).expect("connected");
    ask(&mut old, 1).expect("an answer");
    let is_over = AtomicBool::new(false);
    let handshakes = AtomicU32::new(0);
    thread::scope(|scope| {
        // Throughout, nobody is turned away.
        let knocking = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                shown(world.tls, &dot).expect("a handshake over TLS");
                shown(world.https, &doh).expect("a handshake over HTTPS");
                handshakes.fetch_add(2, Ordering::Relaxed);
            }
        });
        for round in 0..rounds(3, 20) {
            let next = world.authority.valid(HOST);
            world.install(&next);
            world.daemon.signal(Signal::HUP);
            if round == 0 {
                ask(&mut old, 2).expect("connections that are open go on");
            }
            for (to, client) in [(world.tls, &dot), (world.https, &doh)] {
                wait("the new certificate is shown", LONG, || (shown(to, client).ok()? == leaf(&next)).then_some(()));
            }
        }
        let last = shown(world.tls, &dot).expect("a handshake");
        for (what, identity, why, could_start) in [
            (
                "another key",
                Identity { key: world.authority.valid(HOST).key, ..world.authority.valid(HOST) },
                "does not match",
                false,
            ),
            ("expired", world.authority.expired(HOST), "has expired", true),
            (
                "no PEM",
                Identity { certificate: "no\n".into(), ..world.authority.valid(HOST) },
                "holds no certificate",
                false,
            ),
        ] {
            world.install(&identity);
            let check = world.daemon.verb(&["check"]);
            let told = String::from_utf8_lossy(&check.stderr).into_owned();
            assert!(check.status.success() == could_start && told.contains(why), "{what}: {told}");
            // The rest of the configuration is taken.
            let reload = world.daemon.verb(&["reload"]);
            let told = String::from_utf8_lossy(&reload.stderr).into_owned();
            assert!(reload.status.success() && told.contains(why), "{what}: {told}");
            wait("readiness tells", LONG, || get(world.daemon.ops, "/readyz")?.1.contains(why).then_some(()));
            assert_eq!(shown(world.tls, &dot).expect("a handshake"), last, "{what}");
        }
        // The busier the host, the longer they take: UDP and TCP go first.
        wait("handshakes throughout", LONG, || (handshakes.load(Ordering::Relaxed) > 20).then_some(()));
        is_over.store(true, Ordering::Relaxed);
        knocking.join().expect("no handshake failed");
    });
}

#[test]
fn an_expired_certificate_keeps_nobody_from_starting() {
    let mut world = World::new();
    assert!(world.daemon.stop().success());
    let expired = world.authority.expired(HOST);
    world.install(&expired);
    world.daemon.launch();
    world.daemon.wait_ready();
    assert_eq!(world.daemon.addresses(NAME).expect("an answer over UDP"), [ADDRESS]);
    let refused = connect(world.tls, &world.client("dot")).expect_err("the client looks at dates");
    assert!(refused.to_string().contains("xpired"), "{refused}");
    let (_, ready) = get(world.daemon.ops, "/readyz").expect("readiness");
    assert!(ready.contains("has expired"), "{ready}");
}

#[test]
fn slow_handshakes_stall_nobody() {
    let world = World::new();
    // The beginning of a ClientHello, and silence.
    let begun = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let slow: Vec<TcpStream> = (0..200)
        .flat_map(|_| [world.tls, world.https])
        .map(|to| {
            let mut stream = TcpStream::connect(to).expect("connected");
            stream.write_all(&begun).expect("written");
            stream
        })
        .collect();
    for _ in 0..10 {
        world.assert_all_answer();
    }
    for mut stream in slow {
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        // An alert first, or just the end; not a timeout.
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
            "closed in time"
        );
    }
    wait("they are counted", LONG, || {
        (world.metric("failoverd_connections_closed_total{reason=\"handshake\"}") >= 400).then_some(())
    });
}

#[test]
fn what_is_not_tls_or_not_ours_ends_there() {
    let world = World::new();
    for to in [world.tls, world.https] {
        let mut stream = TcpStream::connect(to).expect("connected");
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        stream.write_all(b"GET /dns-query HTTP/1.1\r\nhost: a\r\n\r\n").expect("written");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "at most an alert: {answer:?}");
        let wrong = connect(to, &world.client("smtp")).expect_err("an ALPN nobody speaks here");
        assert!(wrong.to_string().contains("NoApplicationProtocol"), "{wrong}");
    }
    // TLS, and then what is no DNS.
    let mut stream = connect(world.tls, &world.client("dot")).expect("connected");
    stream.write_all(b"\0\x03abc").expect("written");
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "closed");
    world.assert_all_answer();
}

#[test]
fn thousands_of_idle_connections_are_held_within_the_caps() {
    const IDLE: usize = 2000;
    let world = World::with("[server.tcp]\nconnections = 2000\nper_client = 2000\nidle = \"2m\"\n");
    let client = world.client("dot");
    let mut open: Vec<Stream> = (0..IDLE).map(|_| connect(world.tls, &client).expect("connected")).collect();
    for at in [0, IDLE / 2, IDLE - 1] {
        ask(&mut open[at], 7).expect("an answer");
    }
    world.assert_all_answer();
    let (kilobytes, _) = crate::support::daemon::usage(world.daemon.pid());
    println!("{kilobytes} KiB with {IDLE} idle connections over TLS");
    assert!(kilobytes < 64 * 2000, "{kilobytes} KiB");
    // kdig took the place of one that was idle for longest: neither of those that asked.
    ask(&mut open[0], 8).expect("an answer");
    let closed = open.iter_mut().map(|stream| {
        stream.sock.set_nonblocking(true).expect("nonblocking");
        matches!(stream.read(&mut [0]), Ok(0))
    });
    assert_eq!(closed.filter(|is_closed| *is_closed).count(), 1);
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(of_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[of_type, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn replies_over_https_must_be_taken_in_time() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    let world = World::with("[server.tcp]\nsend = \"1s\"\nidle = \"1m\"\n");
    let path = format!("/dns-query?dns={}", base64url(&dns::question(NAME, dns::A, false, 0)));
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    // GET, https, the path and the authority, as HPACK writes them without a table (RFC 7541 §6.2.2).
    let head = [&[0x82, 0x87, 0x04][..], &text(&path), &[0x01], &text(HOST)].concat();
    let ask = |stream| frame(HEADERS, 0x5, stream, &head);
    let mut client = connect(world.https, &world.client("h2")).expect("connected");
    client.sock.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    // No byte of any reply may come.
    let no_window = [0, 4, 0, 0, 0, 0];
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("written");
    client.write_all(&[frame(SETTINGS, 0, 0, &no_window), ask(1)].concat()).expect("written");
    // It is never idle: other queries come, and are taken back.
    let mut streams = (3..).step_by(2);
    wait("it is closed", LONG, || {
        let stream = streams.next().expect("many");
        let taken_back = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        let is_written = client.write_all(&[ask(stream), taken_back].concat()).is_ok();
        let read = client.read(&mut [0; 999]);
        let is_open = read.as_ref().map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |&count| count > 0);
        (!is_written || !is_open).then_some(())
    });
    wait("it is counted", LONG, || {
        (world.metric("failoverd_connections_closed_total{reason=\"slow-reply\"}") == 1).then_some(())
    });
    world.assert_all_answer();
}

#[test]
fn a_slow_head_ends_its_connection_and_a_pause_between_requests_does_not() {
    let world = World::with("[server.tcp]\nreceive = \"1s\"\nidle = \"1m\"\n");
    let query = base64url(&dns::question(NAME, dns::A, false, 0));
    let request = format!("GET /dns-query?dns={query} HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let client = world.client("http/1.1");
    let [mut slow, mut idle] = [(); 2].map(|()| connect(world.https, &client).expect("connected"));
    let mut ask = || {
        idle.write_all(request.as_bytes()).expect("written");
        let mut reply = [0; 999];
        let count = idle.read(&mut reply).expect("a reply");
        assert!(reply[..count].starts_with(b"HTTP/1.1 200"));
    };
    ask();
    slow.sock.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let mut bytes = request.bytes();
    wait("the slow one is closed", LONG, || {
        let is_written = slow.write_all(&[bytes.next().expect("more bytes")]).is_ok();
        let read = slow.read(&mut [0; 9]);
        let is_open = read.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        (!is_written || !is_open).then_some(())
    });
    wait("it is counted", LONG, || {
        (world.metric("failoverd_connections_closed_total{reason=\"slow-query\"}") == 1).then_some(())
    });
    ask();
}

#[test]
fn who_only_begins_to_shake_hands_puts_out_nobody_who_is_in() {
    let world = World::with("[server.tcp]\nconnections = 256\n");
    let mut open = connect(world.tls, &world.client("dot")).expect("connected");
    ask(&mut open, 1).expect("an answer");
    let half: Vec<_> = (0..400).map(|_| TcpStream::connect(world.tls).expect("connected")).collect();
    let full = "failoverd_connections_closed_total{reason=\"client-full\"}";
    wait("some had to go", LONG, || (world.metric(full) >= 100).then_some(()));
    ask(&mut open, 2).expect("an answer");
    drop(half);
}

/// A connection of DNS over QUIC, and what it takes.
struct Quic {
    runtime: tokio::runtime::Runtime,
    endpoint: quinn::Endpoint,
    connection: quinn::Connection,
}

impl Quic {
    fn connect(world: &World, alpn: &str) -> Result<Self, quinn::ConnectionError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tls = QuicClientConfig::try_from(world.client(alpn)).expect("a configuration");
        let (endpoint, connection) = runtime.block_on(async {
            let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("an endpoint");
            let config = quinn::ClientConfig::new(Arc::new(tls));
            let connecting = endpoint.connect_with(config, world.quic, HOST).expect("a connection");
            Ok::<_, quinn::ConnectionError>((endpoint, connecting.await?))
        })?;
        Ok(Self { runtime, endpoint, connection })
    }

    /// Sends these bytes on a stream of their own, and says that they are all; what comes back.
    fn exchange(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.runtime.block_on(async {
            let (mut send, mut receive) = self.connection.open_bi().await.map_err(|error| error.to_string())?;
            send.write_all(bytes).await.map_err(|error| error.to_string())?;
            send.finish().map_err(|error| error.to_string())?;
            receive.read_to_end(70_000).await.map_err(|error| error.to_string())
        })
    }

    /// The code with which the server closes the connection.
    fn closed(&self) -> u64 {
        match self.runtime.block_on(self.connection.closed()) {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("{other}"),
        }
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.connection.close(0u32.into(), b"");
        let _ = self.runtime.block_on(async { tokio::time::timeout(SOON, self.endpoint.wait_idle()).await });
    }
}

#[test]
fn a_client_of_quic_is_answered_on_each_stream() {
    let world = World::new();
    let quic = Quic::connect(&world, "doq").expect("connected");
    let query = framed(&dns::question(NAME, dns::A, false, 0));
    let began = Instant::now();
    for _ in 0..300 {
        let reply = quic.exchange(&query).expect("an answer");
        assert_eq!(reply.len(), 2 + usize::from(u16::from_be_bytes([reply[0], reply[1]])));
        assert_eq!((&reply[2..4], reply[4] & 0x80, reply[5] & 0xf), (&[0, 0][..], 0x80, dns::NOERROR));
    }
    println!("300 exchanges one after another over QUIC: {:?}", began.elapsed());
    let quic = Quic::connect(&world, "doq").expect("connected");
    // All streams at once, and the answers only after the end of the query (RFC 9250 §4.2).
    quic.runtime.block_on(async {
        let mut open = Vec::new();
        for _ in 0..100 {
            let (mut send, receive) = quic.connection.open_bi().await.expect("a stream");
            send.write_all(&query).await.expect("written");
            open.push((send, receive));
        }
        let early = tokio::time::timeout(Duration::from_millis(300), open[0].1.read_chunk(9, true)).await;
        assert!(early.is_err(), "not before the end of the query: {early:?}");
        let more = tokio::time::timeout(Duration::from_millis(100), quic.connection.open_bi()).await;
        assert!(more.is_err(), "no more streams than that");
        for (mut send, mut receive) in open {
            send.finish().expect("finished");
            assert!(receive.read_to_end(70_000).await.expect("an answer").len() > 12);
        }
    });
    wait("they are counted", LONG, || {
        (world.metric("failoverd_queries_total{transport=\"quic\"}") == 400).then_some(())
    });
}

#[test]
fn a_client_that_breaks_the_rules_of_quic_is_told_so() {
    const PROTOCOL_ERROR: u64 = 2;
    let world = World::new();
    let query = dns::question(NAME, dns::A, false, 0);
    let with_keepalive = {
        let mut query = query.clone();
        query[11] = 1;
        [&query[..], b"\0\0\x29\x10\0\0\0\0\0\0\x04\0\x0b\0\0"].concat()
    };
    for (what, bytes) in [
        ("an id", framed(&dns::question(NAME, dns::A, false, 1))),
        ("edns-tcp-keepalive", framed(&with_keepalive)),
        ("two messages", framed(&query).repeat(2)),
        ("less than a message", framed(&query)[..20].to_vec()),
        ("nothing", Vec::new()),
        ("more than any message", vec![0xff; 65_538]),
    ] {
        let quic = Quic::connect(&world, "doq").expect("connected");
        assert!(quic.exchange(&bytes).is_err(), "{what}");
        assert_eq!(quic.closed(), PROTOCOL_ERROR, "{what}");
    }
    assert!(Quic::connect(&world, "h3").is_err(), "an ALPN that is not ours");
    // A query that is taken back harms nobody.
    let quic = Quic::connect(&world, "doq").expect("connected");
    quic.runtime.block_on(async {
        let (mut send, _receive) = quic.connection.open_bi().await.expect("a stream");
        send.write_all(&framed(&query)[..9]).await.expect("written");
        send.reset(3u32.into()).expect("reset");
    });
    assert!(quic.exchange(&framed(&query)).is_ok());
}

#[test]
fn a_stop_says_goodbye() {
    let mut world = World::new();
    let quic = Quic::connect(&world, "doq").expect("connected");
    let mut stream = connect(world.tls, &world.client("dot")).expect("connected");
    ask(&mut stream, 1).expect("an answer");
    assert!(world.daemon.stop().success());
    assert_eq!(quic.closed(), 0);
    assert_eq!(stream.read(&mut [0]).expect("close_notify"), 0);
}

#[test]
fn a_flood_of_handshakes_does_not_slow_udp() {
    let world = World::new();
    let client = world.client("dot");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for to in [world.tls, world.https] {
            let (client, is_over) = (&client, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // HTTPS refuses the protocol at the end of the same work.
                    let _ = connect(to, client);
                }
            });
        }
        hold("UDP is answered", Duration::from_secs(3), || match world.daemon.addresses(NAME) {
            Some(addresses) if addresses == [ADDRESS] => Ok(()),
            other => Err(format!("answered {other:?}")),
        });
        is_over.store(true, Ordering::Relaxed);
    });
}
