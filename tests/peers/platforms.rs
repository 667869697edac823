//! Vercel → Netlify → GitHub Pages, with stand-ins that behave as those platforms do towards a name that nobody has
//! claimed there, and towards one without a certificate. What would have happened is said before the disaster, and the
//! ladder passes over the backup that would fail for the emergency that is ready.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::nginx::{Authority, Identity};
use crate::support::daemon::{Daemon, FAST, get};
use crate::support::resolver::Resolver;
use crate::support::{free_port, wait};

const NAME: &str = "www.example.test";
/// Two probes a second apart, and a machine that does other things.
const SOON: Duration = Duration::from_secs(20);

/// Which platform, and what it says to strangers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Vercel,
    Netlify,
    GithubPages,
}

impl Kind {
    /// Host name of the customer's site, whose parent the platform has a certificate for.
    fn site(self) -> &'static str {
        match self {
            Self::Vercel => "acme.vercel.app",
            Self::Netlify => "acme.netlify.app",
            Self::GithubPages => "acme.github.io",
        }
    }

    fn wildcard(self) -> String {
        self.site().replacen("acme", "*", 1)
    }

    /// The whole response to a name that nobody has claimed.
    fn stranger(self) -> String {
        let (header, body) = match self {
            Self::Vercel => (
                "server: Vercel\r\nx-vercel-error: DEPLOYMENT_NOT_FOUND",
                "The deployment could not be found on Vercel.\n",
            ),
            Self::Netlify => ("server: Netlify", "Not Found - Request ID: 01JDPROOF"),
            Self::GithubPages => {
                ("server: GitHub.com", "<html><p><strong>There isn't a GitHub Pages site here.</strong></p></html>")
            }
        };
        format!(
            "HTTP/1.1 404 Not Found\r\n{header}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

#[derive(Debug)]
struct Shared {
    kind: Kind,
    own: Arc<CertifiedKey>,
    /// Custom domains, with a certificate once there is one.
    domains: Mutex<Vec<(String, Option<Arc<CertifiedKey>>)>>,
    stop: AtomicBool,
}

impl ResolvesServerCert for Shared {
    /// As the platforms do: their own certificate for who has none.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let domains = self.domains.lock().expect("not poisoned");
        let known = domains.iter().find(|(name, _)| hello.server_name() == Some(name));
        Some(known.and_then(|(_, key)| key.clone()).unwrap_or_else(|| Arc::clone(&self.own)))
    }
}

/// One platform, by HTTPS and by HTTP.
struct Platform {
    shared: Arc<Shared>,
    addresses: [SocketAddr; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Platform {
    fn start(kind: Kind, host: Ipv4Addr, port: u16, plain: u16, authority: &Authority) -> Self {
        let own = key(&authority.valid(&kind.wildcard()));
        let domains = Mutex::default();
        let shared = Arc::new(Shared { kind, own, domains, stop: AtomicBool::new(false) });
        let mut platform = Self { shared, addresses: [(host, port).into(), (host, plain).into()], threads: Vec::new() };
        for (address, is_tls) in platform.addresses.into_iter().zip([true, false]) {
            let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
            let shared = Arc::clone(&platform.shared);
            platform.threads.push(std::thread::spawn(move || listen(&listener, &shared, is_tls)));
        }
        platform
    }

    /// A customer claims the name, with or without a certificate.
    fn claim(&self, name: &str, identity: Option<&Identity>) {
        let mut domains = self.shared.domains.lock().expect("not poisoned");
        domains.retain(|(known, _)| known != name);
        domains.push((name.to_owned(), identity.map(key)));
    }

    fn die(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for address in self.addresses {
            // Wakes the accept.
            drop(TcpStream::connect_timeout(&address, Duration::from_secs(1)));
        }
        self.threads.drain(..).for_each(|thread| thread.join().expect("a thread of the platform"));
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.die();
        }
    }
}

fn key(identity: &Identity) -> Arc<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    Arc::new(CertifiedKey::new(chain.expect("certificates"), any_supported_type(&key).expect("a usable key")))
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>, is_tls: bool) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(shared) as _;
    let config = Arc::new(config.expect("versions").with_no_client_auth().with_cert_resolver(resolver));
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let (shared, config) = (Arc::clone(shared), Arc::clone(&config));
        std::thread::spawn(move || {
            drop(stream.set_read_timeout(Some(Duration::from_secs(2))));
            if is_tls {
                let connection = ServerConnection::new(config).expect("a TLS server");
                answer(StreamOwned::new(connection, stream), &shared);
            } else {
                answer(stream, &shared);
            }
        });
    }
}

/// One request, one response. A client that goes away in the middle is none of our business.
fn answer(stream: impl Read + Write, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    let (mut host, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            host = value.trim().to_owned();
        }
        line.clear();
    }
    let is_claimed = shared.domains.lock().expect("not poisoned").iter().any(|(name, _)| *name == host);
    let reply = match is_claimed {
        true => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".to_owned(),
        false => shared.kind.stranger(),
    };
    let stream = reader.get_mut();
    drop(stream.write_all(reply.as_bytes()).and_then(|()| stream.flush()));
}

/// The three of the example, and failoverd in front of them.
struct World {
    authority: Authority,
    vercel: Platform,
    netlify: Platform,
    pages: Platform,
    resolver: Resolver,
    port: u16,
    plain: u16,
}

impl World {
    /// The name is well at home on the first and the last, and unknown to the second.
    fn new(hosts: [u8; 3]) -> Self {
        let authority = Authority::new("an authority of the test");
        let (port, plain) = (free_port(), free_port());
        let resolver = Resolver::start();
        let [vercel, netlify, pages] = [Kind::Vercel, Kind::Netlify, Kind::GithubPages].map(|kind| {
            let host = Ipv4Addr::new(127, 0, 3, hosts[kind as usize]);
            resolver.tell(kind.site(), host);
            Platform::start(kind, host, port, plain, &authority)
        });
        let good = authority.valid(NAME);
        vercel.claim(NAME, Some(&good));
        pages.claim(NAME, Some(&good));
        Self { authority, vercel, netlify, pages, resolver, port, plain }
    }

    /// `check` is the body of the check; it asks `port`.
    fn start(&self, check: &str, port: u16) -> Daemon {
        let origin = |name: &str, kind: Kind| {
            format!("[origin.{name}]\ncname = \"{}\"\nprobe = {{ port = {port} }}\n\n", kind.site())
        };
        let body = format!(
            "[check.site]\n{check}\n{}\n\n{}{}{}[steer.\"{NAME}\"]\nprimary = \"vercel\"\nbackup = \"netlify\"\n\
             emergency = \"pages\"\ncheck = \"site\"\nttl = \"5s\"\nfailback = \"auto\"\n",
            FAST.replace(", ", "\n"),
            origin("vercel", Kind::Vercel),
            origin("netlify", Kind::Netlify),
            origin("pages", Kind::GithubPages)
        );
        let mut daemon = Daemon::prepare(&body, &[self.resolver.address]);
        daemon.write("ca.pem", &self.authority.pem);
        daemon.launch();
        daemon.wait_ready();
        daemon
    }
}

/// What `status` says of an origin.
fn seen(daemon: &Daemon, origin: &str) -> Value {
    let status: Value = serde_json::from_str(&daemon.say(&["status", "--json"])).expect("JSON");
    let rungs = status["names"][0]["rungs"].as_array().expect("rungs").iter();
    let mut origins = rungs.flat_map(|rung| rung["origins"].as_array().expect("origins").iter());
    origins.find(|one| one["name"] == origin).cloned().expect("the origin")
}

/// Waits until an origin is this ready; its worst finding then.
fn wait_for(daemon: &Daemon, origin: &str, ready: &str) -> String {
    let what = format!("{origin} is {ready}");
    let (found, _) = wait(&what, SOON, || {
        let seen = seen(daemon, origin);
        (seen["ready"] == ready).then(|| seen["findings"][0]["seen"].as_str().unwrap_or_default().to_owned())
    });
    found
}

/// The rung that is served.
fn served(daemon: &Daemon) -> Option<String> {
    let status: Value = serde_json::from_str(&daemon.say(&["status", "--json"])).ok()?;
    Some(status["names"][0]["serving"]["origins"][0].as_str()?.to_owned())
}

/// Events of rehearsals: origin and how ready it became.
fn rehearsed(daemon: &Daemon) -> Vec<(String, String)> {
    let events = daemon.events().into_iter().filter(|event| event["event"] == "rehearsed");
    events
        .map(|event| {
            (event["origin"].as_str().expect("a name").to_owned(), event["to"].as_str().expect("a word").to_owned())
        })
        .collect()
}

#[test]
fn a_backup_without_a_certificate_says_so_before_the_disaster() {
    let mut world = World::new([1, 2, 3]);
    let daemon = world.start("https = \"/\"\nca_file = \"ca.pem\"", world.port);
    wait_for(&daemon, "vercel", "ready");
    wait_for(&daemon, "pages", "ready");
    assert_eq!(
        wait_for(&daemon, "netlify", "would-fail"),
        format!("its certificate is for *.netlify.app, not for {NAME}")
    );
    let told = daemon.say(&["status"]);
    assert!(
        told.contains("would fail") && told.contains("add www.example.test to the domains of the Netlify site"),
        "{told}"
    );
    wait("the event", SOON, || (rehearsed(&daemon) == [("netlify".to_owned(), "would-fail".to_owned())]).then_some(()));
    let (_, metrics) = get(daemon.ops, "/metrics").expect("metrics");
    for (rung, origin, value) in
        [("primary", "vercel", "1.0"), ("backup", "netlify", "0.0"), ("emergency", "pages", "1.0")]
    {
        let line = format!("failoverd_origin_ready{{name=\"{NAME}\",rung=\"{rung}\",origin=\"{origin}\"}} {value}");
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    // The disaster.
    world.vercel.die();
    wait("the emergency is served", SOON, || (served(&daemon)? == "pages").then_some(()));
    // Nobody would have known what Netlify wants: the name, and a certificate for it.
    world.netlify.claim(NAME, None);
    wait_for(&daemon, "netlify", "would-fail");
    let ending = world.authority.lasting(NAME, 80, 6);
    world.netlify.claim(NAME, Some(&ending));
    assert_eq!(wait_for(&daemon, "netlify", "warn"), "its certificate ends in 5 days and has not been renewed");
    wait("the backup is served", SOON, || (served(&daemon)? == "netlify").then_some(()));
}

#[test]
fn a_page_for_unclaimed_names_passes_a_careless_check_and_is_passed_over() {
    let mut world = World::new([4, 5, 6]);
    let daemon = world.start("http = \"/\"\nexpect = [\"status in 200..499\"]", world.plain);
    wait_for(&daemon, "netlify", "would-fail");
    let netlify = seen(&daemon, "netlify");
    assert_eq!(netlify["class"], "up", "its check passes");
    assert_eq!(netlify["findings"][0]["seen"], format!("Netlify answers that nobody has claimed {NAME} there"));
    // A check without TLS cannot know about certificates, and says so.
    wait_for(&daemon, "pages", "warn");
    assert_eq!(seen(&daemon, "pages")["findings"][0]["kind"], "unseen");
    world.vercel.die();
    wait("the emergency is served", SOON, || (served(&daemon)? == "pages").then_some(()));
    let explained = daemon.say(&["explain", NAME]);
    assert!(explained.contains("backup (netlify) would fail: Netlify answers that nobody has claimed"), "{explained}");
    // The emergency goes too: an unclaimed page is better than nobody.
    world.pages.die();
    wait("the backup is served all the same", SOON, || (served(&daemon)? == "netlify").then_some(()));
}

#[test]
fn each_platform_says_in_its_own_words_that_nobody_claimed_the_name() {
    let world = World::new([7, 8, 9]);
    for (kind, platform) in [(Kind::Vercel, &world.vercel), (Kind::GithubPages, &world.pages)] {
        platform.shared.domains.lock().expect("not poisoned").clear();
        assert_eq!(platform.shared.kind, kind);
    }
    let daemon = world.start("http = \"/\"\nexpect = [\"status in 200..499\"]", world.plain);
    for (origin, platform) in [("vercel", "Vercel"), ("netlify", "Netlify"), ("pages", "GitHub Pages")] {
        let told = wait_for(&daemon, origin, "would-fail");
        assert_eq!(told, format!("{platform} answers that nobody has claimed {NAME} there"));
    }
}
