//! Probes against real origins on loopback, each with one fault.

mod ways; // the ways to ask

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::expect::Expression;
use crate::config::{Check, Web};
use crate::probe::judge::BODY_MAX;
use crate::probe::{Epoch, LocalFault};
use crate::verdict::Class;

const HOST: &str = "www.example.com";
/// Far longer than anything on loopback takes.
const LONG: Duration = Duration::from_secs(20);
/// For what never comes: the shorter, the sooner the test is over; nothing else depends on it.
const SHORT: Duration = Duration::from_millis(300);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn check(ask: Ask, timeout: Duration, ca: Option<&str>) -> Arc<Check> {
    Arc::new(Check {
        name: "site".into(),
        ask,
        port: 0,
        every: Duration::from_secs(5),
        standby_every: Duration::from_secs(5),
        timeout,
        fall: 3,
        rise: 3,
        confirm: Duration::from_millis(500),
        blip: Duration::from_secs(1),
        expect: Vec::new(),
        warn: Vec::new(),
        ca: ca.map(Arc::from),
        tripwire: true,
        window: None,
        degraded: Vec::new(),
    })
}

fn http() -> Ask {
    Ask::Http(Web { headers: vec![("X-Probe".into(), "token".into())], ..Web::get("/healthz?full=1") })
}

fn https() -> Ask {
    Ask::Https(Web::get("/"))
}

fn request(target: Target, port: u16, check: Arc<Check>) -> Request {
    let (watch, epoch, purpose, due) = (WatchId(3), Epoch(7), Purpose::Scheduled, clock::moment());
    Request { watch, epoch, purpose, due, target, port, host: HOST.into(), check }
}

fn loopback() -> Target {
    Target::Address(Ipv4Addr::LOCALHOST.into())
}

fn prober() -> Prober {
    Prober::new(&Resolvers::Addresses(Vec::new()))
}

async fn probe(port: u16, check: Arc<Check>) -> Observation {
    prober().probe(request(loopback(), port, check)).await
}

/// An origin on loopback that serves every connection by `serve`; its port. It ends with the test's runtime.
async fn origin<S, F>(serve: S) -> u16
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut connections = tokio::task::JoinSet::new();
    background(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    port
}

#[expect(clippy::disallowed_methods, reason = "ends with the runtime of its test")]
fn background(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// Reads until the empty line that ends a request.
async fn read_request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(_) => break,
        }
    }
    String::from_utf8(request).unwrap()
}

/// An HTTP origin that sends `response` and then closes, or never closes.
async fn web(response: impl Into<Vec<u8>>, closes: bool) -> u16 {
    let response: Arc<[u8]> = response.into().into();
    origin(move |mut stream| {
        let response = Arc::clone(&response);
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&response).await;
            if !closes {
                std::future::pending::<()>().await;
            }
        }
    })
    .await
}

fn failed(cause: Cause) -> Outcome {
    Outcome::Failed(cause)
}

#[tokio::test]
async fn a_healthy_http_origin_passes_and_is_asked_as_the_check_says() {
    let (asked, mut was_asked) = tokio::sync::mpsc::channel(1);
    let port = origin(move |mut stream| {
        let asked = asked.clone();
        async move {
            asked.send(read_request(&mut stream).await).await.unwrap();
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let seen = probe(port, check(http(), LONG, None)).await;
    assert_eq!(seen.outcome, Outcome::Passed);
    assert_eq!((seen.watch, seen.epoch, seen.purpose), (WatchId(3), Epoch(7), Purpose::Scheduled));
    assert_eq!((seen.status, seen.address), (Some(200), Some(Ipv4Addr::LOCALHOST.into())));
    assert!(seen.phases.connect.is_some() && seen.phases.first_byte.is_some() && seen.phases.body.is_some());
    assert_eq!((seen.phases.resolve, seen.phases.tls, seen.certificate), (None, None, None));
    assert!(seen.finished >= seen.started + seen.phases.total());
    let asked = was_asked.recv().await.unwrap().to_lowercase();
    assert!(asked.starts_with("get /healthz?full=1 http/1.1\r\n"), "{asked}");
    for line in ["host: www.example.com", "x-probe: token", "connection: close"] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "no `{line}` in {asked}");
    }
    assert!(asked.contains(concat!("user-agent: failoverd/", env!("CARGO_PKG_VERSION"))), "{asked}");
}

#[tokio::test]
async fn a_tcp_check_wants_the_connection_and_nothing_else() {
    let port = origin(|_stream| std::future::pending()).await;
    let seen = probe(port, check(Ask::Tcp, LONG, None)).await;
    assert_eq!((seen.outcome, seen.status), (Outcome::Passed, None));
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for ask in [Ask::Tcp, http(), https()] {
        let seen = probe(port, check(ask, LONG, None)).await;
        assert_eq!(seen.outcome, failed(Cause::ConnectRefused));
    }
}

#[tokio::test]
async fn a_reset_is_told_with_its_phase() {
    let port = origin(|mut stream| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let seen = probe(port, check(http(), LONG, None)).await;
    assert_eq!(seen.outcome, failed(Cause::Reset(Phase::FirstByte)));

    let port = origin(|mut stream| async move {
        stream.read_u8().await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let seen = probe(port, check(https(), LONG, None)).await;
    assert_eq!(seen.outcome, failed(Cause::Reset(Phase::Tls)));
}

#[tokio::test]
async fn an_end_before_the_response_or_amid_its_body_is_a_reset() {
    let port = web("", true).await;
    assert_eq!(probe(port, check(http(), LONG, None)).await.outcome, failed(Cause::Reset(Phase::FirstByte)));
    let port = web("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true).await;
    let seen = probe(port, check(http(), LONG, None)).await;
    assert_eq!((seen.outcome, seen.status), (failed(Cause::Reset(Phase::Body)), Some(200)));
}

#[tokio::test]
async fn silence_is_a_timeout_of_its_phase() {
    let silent = origin(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let seen = probe(silent, check(http(), SHORT, None)).await;
    assert_eq!(seen.outcome, failed(Cause::Timeout(Phase::FirstByte)));
    assert!(seen.finished.since(seen.started) >= SHORT);
    let seen = probe(silent, check(https(), SHORT, None)).await;
    assert_eq!(seen.outcome, failed(Cause::Timeout(Phase::Tls)));
    let slow = web("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nslow", false).await;
    let seen = probe(slow, check(http(), SHORT, None)).await;
    assert_eq!(seen.outcome, failed(Cause::Timeout(Phase::Body)));
}

#[tokio::test]
async fn a_connect_that_nobody_answers_times_out() {
    // The backlog of a listener that never accepts is filled; after that Linux drops what asks to connect.
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let to = listener.local_addr().unwrap().as_socket().unwrap();
    let waiting: Vec<_> = (0..16).map(|_| new()).collect();
    for socket in &waiting {
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.connect(&to.into()).unwrap_err().raw_os_error(), Some(Errno::INPROGRESS.raw_os_error()));
    }
    let seen = probe(to.port(), check(http(), SHORT, None)).await;
    assert_eq!(seen.outcome, failed(Cause::ConnectTimeout));
    assert!(seen.phases.connect.is_some() && seen.phases.first_byte.is_none());
    drop(waiting);
}

#[tokio::test]
async fn what_is_not_http_is_told_as_such() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "\0\0\0\0", "HTTP/1.1 abc\r\n\r\n"] {
        let port = web(garbage, true).await;
        let seen = probe(port, check(http(), LONG, None)).await;
        assert!(matches!(seen.outcome, Outcome::Failed(Cause::Protocol(_))), "{garbage:?}: {:?}", seen.outcome);
    }
    let port = web("HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
    let seen = probe(port, check(https(), SHORT, None)).await;
    assert!(
        matches!(seen.outcome, Outcome::Failed(Cause::Tls(_) | Cause::Timeout(Phase::Tls))),
        "plain HTTP on the TLS port: {:?}",
        seen.outcome
    );
}

#[tokio::test]
async fn statuses_are_facts_and_redirects_are_not_followed() {
    for (response, status) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500),
        ("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 302),
    ] {
        let seen = probe(web(response, true).await, check(http(), LONG, None)).await;
        assert_eq!(seen.status, Some(status));
        assert!(matches!(seen.outcome, Outcome::Failed(Cause::Unexpected { .. })));
    }
    let throttled = web("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", true).await;
    let seen = probe(throttled, check(http(), LONG, None)).await;
    assert_eq!(seen.outcome, Outcome::Inconclusive(LocalFault::Throttled));
}

#[tokio::test]
async fn expectations_and_warnings_are_judged_by_what_was_seen() {
    let port = web("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall bad", true).await;
    let mut check = Arc::unwrap_or_clone(check(http(), LONG, None));
    check.warn = vec![Expression::parse("body ~ 'good'").unwrap()];
    let seen = probe(port, Arc::new(check.clone())).await;
    assert_eq!((seen.outcome, seen.warnings.len()), (Outcome::Passed, 1));
    check.expect = vec![Expression::parse("body ~ 'ok'").unwrap()];
    let seen = probe(port, Arc::new(check)).await;
    assert!(
        matches!(&seen.outcome, Outcome::Failed(Cause::Unexpected { expression, .. }) if expression == "body ~ 'ok'"),
        "{:?}",
        seen.outcome
    );
}

#[tokio::test]
async fn a_body_is_read_to_its_bound_and_no_further() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(endless.len() + 3 * BODY_MAX, b'x');
    let port = web(endless, false).await;
    let request = request(loopback(), port, check(http(), LONG, None));
    let prober = prober();
    let mut facts = Facts::default();
    let deadline = clock::moment() + LONG;
    let asked = prober.0.ask(&request, Ipv4Addr::LOCALHOST.into(), deadline, &mut facts).await;
    assert_eq!((asked, facts.body.len()), (Ok(()), BODY_MAX));
}

#[tokio::test]
async fn bodies_of_every_framing_are_read_whole() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let port = web(response, true).await;
        let request = request(loopback(), port, check(http(), LONG, None));
        let mut facts = Facts::default();
        let deadline = clock::moment() + LONG;
        let asked = prober().0.ask(&request, Ipv4Addr::LOCALHOST.into(), deadline, &mut facts).await;
        assert_eq!((asked, facts.status, &facts.body[..]), (Ok(()), Some(200), &b"hello"[..]), "{response:?}");
    }
}

// ---- TLS

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `names`, changed by `change`, with its key.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let leaf = params.signed_by(&key, &self.0).unwrap();
        Shown { chain: vec![leaf.der().clone(), self.0.der().clone()], key, pem: leaf.pem() }
    }
}

/// What a TLS origin shows.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    pem: String,
}

fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![HOST.to_string()]).unwrap();
    change(&mut params);
    let leaf = params.self_signed(&key).unwrap();
    Shown { chain: vec![leaf.der().clone()], pem: leaf.pem(), key }
}

/// A TLS origin that answers 200, with the number of requests it heard.
async fn tls_web(shown: &Shown, says_goodbye: bool) -> (u16, Arc<AtomicUsize>) {
    let heard = Arc::new(AtomicUsize::new(0));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown.chain.clone(), PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let counted = Arc::clone(&heard);
    let port = origin(move |stream| {
        let (acceptor, heard) = (acceptor.clone(), Arc::clone(&counted));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            if read_request(&mut stream).await.ends_with("\r\n\r\n") {
                heard.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").await;
                let _ = stream.flush().await;
                if says_goodbye {
                    let _ = stream.shutdown().await;
                }
            }
        }
    })
    .await;
    (port, heard)
}

#[tokio::test]
async fn an_https_origin_whose_certificate_the_checks_own_roots_vouch_for_passes() {
    let authority = Authority::new();
    let shown = authority.issue(&[HOST, "example.com", "192.0.2.1"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2090, 1, 1);
    });
    // Many servers close without TLS's own goodbye: a body that ends with the connection is whole all the same.
    for says_goodbye in [true, false] {
        let (port, heard) = tls_web(&shown, says_goodbye).await;
        let seen = probe(port, check(https(), LONG, Some(&authority.pem()))).await;
        assert_eq!((seen.outcome, seen.status), (Outcome::Passed, Some(200)));
        assert!(seen.phases.tls.is_some());
        let certificate = seen.certificate.unwrap();
        assert_eq!(certificate.names, [HOST, "example.com", "192.0.2.1"]);
        assert_eq!(
            (certificate.not_before, certificate.not_after, certificate.chain),
            (1_577_836_800, 3_786_912_000, 2)
        );
        assert_eq!(heard.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_kept_and_nothing_is_asked_of_its_owner() {
    let authority = Authority::new();
    let ca = authority.pem();
    let rows: [(&str, Shown, Option<&str>, Cause); 6] = [
        (
            "expired",
            authority.issue(&[HOST], |params| params.not_after = date_time_ymd(2020, 1, 1)),
            Some(&ca),
            Cause::CertExpired,
        ),
        (
            "not yet valid",
            authority.issue(&[HOST], |params| params.not_before = date_time_ymd(2090, 1, 1)),
            Some(&ca),
            Cause::CertNotYetValid,
        ),
        ("wrong name", authority.issue(&["other.example.com"], |_| {}), Some(&ca), Cause::CertWrongName),
        ("unknown issuer", authority.issue(&[HOST], |_| {}), None, Cause::CertUnknownIssuer),
        ("self-signed", self_signed(|_| {}), None, Cause::CertUnknownIssuer),
        (
            "self-signed as openssl makes them",
            self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            None,
            Cause::CertUnknownIssuer,
        ),
    ];
    for (what, shown, ca, cause) in rows {
        let (port, heard) = tls_web(&shown, true).await;
        let seen = probe(port, check(https(), LONG, ca)).await;
        assert_eq!(seen.outcome, failed(cause), "{what}");
        assert_eq!(seen.certificate.map(|certificate| certificate.chain), Some(shown.chain.len()), "{what}");
        assert!(seen.phases.tls.is_some() && seen.phases.first_byte.is_none(), "{what}");
        assert_eq!((seen.status, heard.load(Ordering::Relaxed)), (None, 0), "{what}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_trusted_as_such_but_only_in_its_time_and_for_its_name() {
    let as_openssl = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let rows: [(Shown, Outcome); 4] = [
        (self_signed(|_| {}), Outcome::Passed),
        (self_signed(as_openssl), Outcome::Passed),
        (self_signed(|params| params.not_after = date_time_ymd(2020, 1, 1)), failed(Cause::CertExpired)),
        (
            self_signed(|params| *params = CertificateParams::new(vec!["other.example.com".into()]).unwrap()),
            failed(Cause::CertWrongName),
        ),
    ];
    for (shown, outcome) in rows {
        let (port, _) = tls_web(&shown, true).await;
        let seen = probe(port, check(https(), LONG, Some(&shown.pem))).await;
        assert_eq!(seen.outcome, outcome);
    }
}

#[tokio::test]
async fn an_ip_address_as_host_needs_a_certificate_for_it() {
    let authority = Authority::new();
    let ca = authority.pem();
    for (names, outcome) in [(["127.0.0.1"], Outcome::Passed), ([HOST], failed(Cause::CertWrongName))] {
        let (port, _) = tls_web(&authority.issue(&names, |_| {}), true).await;
        let mut request = request(loopback(), port, check(https(), LONG, Some(&ca)));
        request.host = "127.0.0.1".into();
        assert_eq!(prober().probe(request).await.outcome, outcome);
    }
}

#[tokio::test]
async fn a_ca_file_without_certificates_is_told_as_such() {
    let (port, _) = tls_web(&self_signed(|_| {}), true).await;
    let seen = probe(port, check(https(), LONG, Some("no certificate here"))).await;
    assert_eq!(seen.outcome, failed(Cause::Tls("the check's ca_file holds no usable certificate".into())));
}

#[test]
fn some_roots_are_always_trusted() {
    let (Roots::System(count) | Roots::Compiled(count)) = prober().roots();
    assert!(count > 0);
}

// ---- our own faults

/// Runs a test of this file that is ignored otherwise in a process of its own, which it may spoil.
fn alone(command: &mut Command, test: &str) {
    alone_in(command, module_path!(), test);
}

fn alone_in(command: &mut Command, module: &str, test: &str) {
    let test = format!("{}::{test}", module.split_once("::").unwrap().1);
    let output = command.args(["--ignored", "--exact", &test]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

#[test]
fn without_descriptors_nothing_is_said_of_the_origin() {
    alone(&mut this_program(), "without_descriptors");
}

#[tokio::test]
#[ignore = "takes all descriptors of its process: run by the test above"]
async fn without_descriptors() {
    let port = web(OK, true).await;
    let prober = prober();
    let limit = getrlimit(Resource::Nofile);
    let next = std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open("/dev/null").unwrap());
    setrlimit(Resource::Nofile, Rlimit { current: Some(u64::try_from(next).unwrap()), ..limit }).unwrap();
    let seen = prober.probe(request(loopback(), port, check(http(), LONG, None))).await;
    setrlimit(Resource::Nofile, limit).unwrap();
    assert_eq!(seen.outcome, Outcome::Inconclusive(LocalFault::NoDescriptors));
    let seen = prober.probe(request(loopback(), port, check(http(), LONG, None))).await;
    assert_eq!(seen.outcome, Outcome::Passed);
}

// ---- host names

/// A resolver on loopback that answers by `reply(name, type)`, where type is 1 or 28.
async fn resolver(reply: impl Fn(&str, u16) -> Said + Send + 'static) -> Resolvers {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    background(async move {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query).await {
            if let Some(response) = answer(&query[..length], &reply) {
                let _ = socket.send_to(&response, client).await;
            }
        }
    });
    Resolvers::Addresses(vec![address])
}

/// What the resolver says.
enum Said {
    Addresses(Vec<IpAddr>, u32),
    /// A response code without data.
    Code(u8),
    Nothing,
}

fn answer(query: &[u8], reply: &impl Fn(&str, u16) -> Said) -> Option<Vec<u8>> {
    let mut name = String::new();
    let mut at = 12;
    while query[at] != 0 {
        let label = &query[at + 1..=at + usize::from(query[at])];
        name += &(String::from_utf8_lossy(label).to_lowercase() + ".");
        at += label.len() + 1;
    }
    let rtype = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let (code, addresses, ttl) = match reply(&name, rtype) {
        Said::Addresses(addresses, ttl) => (0, addresses, ttl),
        Said::Code(code) => (code, Vec::new(), 0),
        Said::Nothing => return None,
    };
    let mut response = query[..2].to_vec();
    response.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    response.extend(&query[12..at + 5]);
    for address in addresses {
        let data = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        response.extend([0xc0, 12]);
        response.extend(rtype.to_be_bytes());
        response.extend([0, 1]);
        response.extend(ttl.to_be_bytes());
        response.extend([0, u8::try_from(data.len()).unwrap()]);
        response.extend(data);
    }
    Some(response)
}

fn hostname() -> Target {
    Target::Hostname(Name::absolute("origin.example.net").unwrap())
}

fn v4(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_host_name_passes_when_one_of_its_addresses_does() {
    let port = web(OK, true).await;
    let resolvers = resolver(|name, rtype| {
        assert_eq!(name, "origin.example.net.");
        match rtype {
            1 => Said::Addresses(vec![v4("127.0.0.3"), v4("127.0.0.2"), v4("127.0.0.1")], 60),
            _ => Said::Code(0),
        }
    })
    .await;
    let prober = Prober::new(&resolvers);
    assert_eq!(prober.resolver_trouble(), None);
    let name = Name::absolute("origin.example.net").unwrap();
    let resolved = prober.resolve(&name).await.unwrap();
    assert_eq!(resolved.addresses, [v4("127.0.0.1"), v4("127.0.0.2"), v4("127.0.0.3")]);
    assert!(resolved.ttl <= Duration::from_secs(60) && resolved.ttl > Duration::from_secs(30));

    let seen = prober.probe(request(hostname(), port, check(http(), LONG, None))).await;
    assert_eq!((seen.outcome, seen.address), (Outcome::Passed, Some(v4("127.0.0.1"))));
    assert!(seen.phases.resolve.is_some());
}

#[tokio::test]
async fn a_host_name_fails_as_its_first_address_does() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let resolvers = resolver(|_, rtype| match rtype {
        1 => Said::Addresses(vec![v4("127.0.0.1"), v4("127.0.0.2")], 60),
        _ => Said::Code(0),
    })
    .await;
    let seen = Prober::new(&resolvers).probe(request(hostname(), port, check(http(), LONG, None))).await;
    assert_eq!((seen.outcome, seen.address), (failed(Cause::ConnectRefused), Some(v4("127.0.0.1"))));
}

#[tokio::test]
async fn a_name_that_is_gone_is_the_origins_fault() {
    for code in [0, 3] {
        let resolvers = resolver(move |_, _| Said::Code(code)).await;
        let seen = Prober::new(&resolvers).probe(request(hostname(), 80, check(http(), LONG, None))).await;
        assert_eq!((seen.outcome, seen.address), (failed(Cause::NameGone), None), "response code {code}");
    }
}

#[tokio::test]
async fn a_resolver_that_fails_is_our_own_fault_and_the_last_good_addresses_are_probed() {
    let port = web(OK, true).await;
    let is_dead = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let dead = Arc::clone(&is_dead);
    let resolvers = resolver(move |_, rtype| match (dead.load(Ordering::Relaxed), rtype) {
        (true, _) => Said::Code(2),
        (false, 1) => Said::Addresses(vec![v4("127.0.0.1")], 0),
        (false, _) => Said::Code(0),
    })
    .await;
    let prober = Prober::new(&resolvers);
    let asked = || request(hostname(), port, check(http(), LONG, None));
    assert_eq!(prober.probe(asked()).await.outcome, Outcome::Passed);
    is_dead.store(true, Ordering::Relaxed);
    // Past the TTL; whether the next question has been answered by SERVFAIL yet or not, the probe passes.
    let began = clock::moment();
    let name = Name::absolute("origin.example.net").unwrap();
    while prober.resolve(&name).await.is_ok() {
        assert!(clock::moment().since(began) < LONG, "the TTL never ends");
        tokio::task::yield_now().await;
    }
    assert_eq!(prober.resolve(&name).await, Err(ResolveFault::Unanswered));
    assert_eq!(prober.probe(asked()).await.outcome, Outcome::Passed);

    let fresh = Prober::new(&resolvers);
    assert_eq!(fresh.probe(asked()).await.outcome, Outcome::Inconclusive(LocalFault::Resolver));
}

#[tokio::test]
async fn a_silent_resolver_is_inconclusive_within_the_timeout() {
    let resolvers = resolver(|_, _| Said::Nothing).await;
    let seen = Prober::new(&resolvers).probe(request(hostname(), 80, check(http(), SHORT, None))).await;
    assert_eq!(seen.outcome, Outcome::Inconclusive(LocalFault::Resolver));
    assert!(prober().resolver_trouble().is_some());
    assert_eq!(
        prober().probe(request(hostname(), 80, check(http(), LONG, None))).await.outcome,
        Outcome::Inconclusive(LocalFault::Resolver),
        "no resolver at all"
    );
}

/// So many names as would need more sockets than a process may have by default.
#[test]
fn silent_resolvers_take_no_more_descriptors_however_many_names_there_are() {
    alone(&mut this_program(), "many_names_and_silence");
}

#[tokio::test]
#[ignore = "counts the descriptors of its process: run by the test above"]
async fn many_names_and_silence() {
    const NAMES: usize = 400;
    let is_dead = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (dead, asked) = (Arc::clone(&is_dead), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    let resolvers = resolver(move |_, rtype| {
        counted.fetch_add(1, Ordering::Relaxed);
        match (dead.load(Ordering::Relaxed), rtype) {
            (true, _) => Said::Nothing,
            (false, 1) => Said::Addresses(vec![v4("127.0.0.1")], 60),
            (false, _) => Said::Code(0),
        }
    })
    .await;
    let prober = Prober::new(&resolvers);
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let names: Vec<_> = (0..NAMES).map(|number| Name::absolute(&format!("o{number}.example.net")).unwrap()).collect();
    let mut resolving = tokio::task::JoinSet::new();
    let ask = |resolving: &mut tokio::task::JoinSet<_>| {
        for name in names.clone() {
            let prober = prober.clone();
            resolving.spawn(async move { prober.resolve(&name).await });
        }
    };
    ask(&mut resolving);
    let mut most = 0;
    while let Ok(Some(_)) | Err(_) = timeout(Duration::from_millis(20), resolving.join_next()).await {
        most = most.max(descriptors());
    }
    let bound = 6 * resolve::QUESTIONS;
    assert!(most <= before + bound + 8, "{most} descriptors, {before} of them before");
    assert!(most > before + bound / 2, "they are asked for at once");
    // Who asks again is told at once what is known, and nobody asks the resolvers.
    ask(&mut resolving);
    let so_far = asked.load(Ordering::Relaxed);
    while let Some(told) = resolving.join_next().await {
        assert_eq!(told.unwrap(), Err(ResolveFault::Unanswered));
    }
    let more = asked.load(Ordering::Relaxed) - so_far;
    assert!(more <= bound, "{more} questions; those under way are asked to their end");
    is_dead.store(false, Ordering::Relaxed);
    let began = clock::moment();
    for name in &names {
        while prober.resolve(name).await.is_err() {
            assert!(clock::moment().since(began) < LONG, "{name:?} does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_name_whose_question_was_not_answered_is_not_asked_again_at_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let resolvers = resolver(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Said::Code(2)
    })
    .await;
    let prober = Prober::new(&resolvers);
    let blind = || prober.probe(request(hostname(), 80, check(http(), LONG, None)));
    assert_eq!(blind().await.outcome, Outcome::Inconclusive(LocalFault::Resolver));
    let once = asked.load(Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(blind().await.outcome, Outcome::Inconclusive(LocalFault::Resolver));
    }
    assert_eq!(asked.load(Ordering::Relaxed), once);
    prober.reload(&resolvers);
    assert_eq!(blind().await.outcome, Outcome::Inconclusive(LocalFault::Resolver));
    assert!(asked.load(Ordering::Relaxed) > once, "others may be asked now");
}

/// The question for the other family takes 3 s to fail, which is longer than the probe may take.
#[tokio::test]
async fn a_resolver_that_drops_one_family_does_not_hide_the_other() {
    let port = web(OK, true).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let resolvers = resolver(move |_, rtype| match rtype {
        1 => {
            counted.fetch_add(1, Ordering::Relaxed);
            Said::Addresses(vec![v4("127.0.0.1")], 60)
        }
        _ => Said::Nothing,
    })
    .await;
    let prober = Prober::new(&resolvers);
    for _ in 0..3 {
        let seen = prober.probe(request(hostname(), port, check(http(), Duration::from_secs(2), None))).await;
        assert_eq!(seen.outcome, Outcome::Passed);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "what was answered is kept");
}

#[tokio::test]
async fn the_canary_sings_at_any_answer_but_one_of_a_blind_forwarder() {
    for (said, sings) in [(0, true), (3, true), (2, false), (5, false)] {
        let resolvers = resolver(move |name, rtype| {
            assert_eq!((name, rtype), ("", 6));
            Said::Code(said)
        })
        .await;
        let prober = Prober::new(&resolvers);
        assert_eq!(prober.canary().await, sings, "response code {said}");
    }
    assert!(!prober().canary().await, "no resolver at all");
}

/// What an origin reads after its response, or at once of a connection that asks nothing.
#[tokio::test]
async fn a_finished_probe_resets_its_connection_and_leaves_no_port_waiting() {
    for ask in [http(), Ask::Tcp] {
        let is_http = ask != Ask::Tcp;
        let (ended, mut was_ended) = tokio::sync::mpsc::channel(1);
        let port = origin(move |mut stream| {
            let ended = ended.clone();
            async move {
                if is_http {
                    read_request(&mut stream).await;
                    stream.write_all(OK).await.unwrap();
                }
                ended.send(stream.read_u8().await.unwrap_err().kind()).await.unwrap();
            }
        })
        .await;
        assert_eq!(probe(port, check(ask, LONG, None)).await.outcome, Outcome::Passed);
        assert_eq!(was_ended.recv().await, Some(ErrorKind::ConnectionReset));
    }
}

#[tokio::test]
async fn starts_are_counted_by_whether_they_were_late() {
    let port = web(OK, true).await;
    let prober = prober();
    let asked = || request(loopback(), port, check(http(), LONG, None));
    let long_ago = || Request { due: clock::moment() - Duration::from_secs(1), ..asked() };
    for request in [asked(), long_ago(), asked(), Request { purpose: Purpose::Manual, ..long_ago() }] {
        assert_eq!(prober.probe(request).await.outcome, Outcome::Passed);
    }
    let rows: Vec<_> = prober.rows().collect();
    assert_eq!(rows, [("probe_starts", "on-time", 2), ("probe_starts", "late", 1), ("tripwires", "", 0)]);
}

#[tokio::test]
async fn waiting_for_a_turn_is_no_part_of_a_probe() {
    let port = web(OK, true).await;
    let prober = prober();
    let all = prober.0.connections.acquire_many(u32::try_from(descriptors::probes()).unwrap()).await.unwrap();
    let mut waiting = std::pin::pin!(prober.probe(request(loopback(), port, check(http(), LONG, None))));
    assert!(timeout(SHORT, waiting.as_mut()).await.is_err(), "it has no turn yet");
    drop(all);
    let freed = clock::moment();
    let seen = waiting.await;
    assert_eq!(seen.outcome, Outcome::Passed);
    assert!(seen.started >= freed);
}

#[tokio::test]
async fn who_gets_no_turn_within_the_timeout_says_nothing_of_the_origin() {
    let prober = prober();
    let all = prober.0.connections.acquire_many(u32::try_from(descriptors::probes()).unwrap()).await.unwrap();
    let seen = prober.probe(request(loopback(), 80, check(http(), SHORT, None))).await;
    assert_eq!((seen.outcome, seen.address), (Outcome::Inconclusive(LocalFault::Busy), None));
    drop(all);
}

/// However many there are of them.
#[tokio::test]
async fn who_hung_the_last_time_leaves_room_for_the_others() {
    let (silent, healthy) = (web("", false).await, web(OK, true).await);
    let prober = prober();
    let asked = |watch, port| {
        let request = request(loopback(), port, check(http(), SHORT, None));
        prober.probe(Request { watch: WatchId(watch), ..request })
    };
    let hung = failed(Cause::Timeout(Phase::FirstByte));
    assert_eq!(asked(1, silent).await.outcome, hung);
    let room = u32::try_from(descriptors::probes() / HANGING_SHARE).unwrap();
    let others = prober.0.hanging.acquire_many(room).await.unwrap();
    assert_eq!(asked(1, silent).await.outcome, Outcome::Inconclusive(LocalFault::Busy));
    assert_eq!(asked(2, healthy).await.outcome, Outcome::Passed);
    drop(others);
    assert_eq!(asked(1, silent).await.outcome, hung);
    assert_eq!(asked(1, healthy).await.outcome, Outcome::Passed);
    let others = prober.0.hanging.acquire_many(room).await.unwrap();
    assert_eq!(asked(1, healthy).await.outcome, Outcome::Passed, "it is one of the others again");
    drop(others);
}

#[tokio::test]
async fn a_thousand_probes_that_wait_for_a_resolver_hold_up_no_other() {
    let port = web(OK, true).await;
    let prober = Prober::new(&resolver(|_, _| Said::Nothing).await);
    let waits = || Box::pin(prober.probe(request(hostname(), port, check(http(), LONG, None))));
    let mut waiting: Vec<_> = (0..1000).map(|_| waits()).collect();
    std::future::poll_fn(|context| {
        let is_waiting = waiting.iter_mut().all(|probe| probe.as_mut().poll(context).is_pending());
        assert!(is_waiting);
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(prober.0.connections.available_permits(), descriptors::probes());
    let seen = prober.probe(request(loopback(), port, check(http(), LONG, None))).await;
    assert_eq!(seen.outcome, Outcome::Passed);
}

#[tokio::test]
async fn a_race_is_run_to_its_end_from_a_fresh_port_each_time() {
    let (asked, mut was_asked) = tokio::sync::mpsc::channel(9);
    let port = origin(move |mut stream| {
        let asked = asked.clone();
        async move {
            asked.send(stream.peer_addr().unwrap()).await.unwrap();
            read_request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let (confirm, blip) = (Duration::from_millis(20), Duration::from_millis(30));
    let expect = vec![Expression::parse("status == 200").unwrap()];
    let check = Arc::new(Check { confirm, blip, expect, ..(*check(http(), LONG, None)).clone() });
    let raced = prober().race_out(request(loopback(), port, check)).await;
    assert_eq!(raced.class, Class::Down);
    let purposes: Vec<_> = raced.runners.iter().map(|runner| runner.seen.purpose).collect();
    assert_eq!(purposes, [Purpose::Scheduled, Purpose::Confirm(1), Purpose::Confirm(2)]);
    assert_eq!(raced.first(), Some(&raced.runners[0].seen));
    assert!(raced.runners[1].offset >= confirm && raced.runners[2].offset >= confirm * 2);
    assert!(raced.after >= raced.runners[2].offset);
    for runner in &raced.runners {
        assert_eq!(was_asked.recv().await, runner.local);
    }
    let ports: BTreeSet<_> = raced.runners.iter().map(|runner| runner.local).collect();
    assert_eq!(ports.len(), 3, "{ports:?}");
}

#[tokio::test]
async fn a_race_that_never_begins_is_one_probe() {
    let port = web(OK, true).await;
    let raced = prober().race_out(request(loopback(), port, check(http(), LONG, None))).await;
    assert_eq!((raced.class, raced.runners.len()), (Class::Up, 1));
}

#[tokio::test]
async fn a_wire_is_counted_while_it_is_held() {
    let prober = prober();
    let port = origin(|mut stream| async move { drop(stream.read_u8().await) }).await;
    let tripwires = || prober.rows().find(|row| row.0 == "tripwires").unwrap().2;
    let mut wire = std::pin::pin!(prober.hold((Ipv4Addr::LOCALHOST, port).into(), || assert_eq!(tripwires(), 1)));
    assert!(timeout(SHORT, wire.as_mut()).await.is_err(), "nothing is said, and it stays");
    assert_eq!(tripwires(), 1);
}
