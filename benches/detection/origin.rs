//! Origins that can die in many ways, and be mended.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

/// What probes ask for.
pub const HOST: &str = "www.example.test";
pub const PORT: u16 = 80;
/// Longer than any timeout here.
const SLOW: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(10);

/// How an origin dies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub enum Death {
    /// Nothing listens any more; connections that were open stay
    Refused,
    /// SIGKILL of its process
    Crash,
    /// Connections are accepted and reset
    Reset,
    /// Packets to it vanish
    Blackhole,
    /// HTTP status 500
    Error,
    /// Answers come after any timeout
    Slow,
    /// The certificate has ended
    Expired,
    /// Connections are accepted and never answered
    HalfOpen,
    /// Every other packet to it vanishes
    Loss,
}

impl Death {
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Crash,
        Self::Reset,
        Self::Blackhole,
        Self::Error,
        Self::Slow,
        Self::Expired,
        Self::HalfOpen,
        Self::Loss,
    ];

    /// As in the table.
    pub fn told(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Crash => "crash (SIGKILL)",
            Self::Reset => "reset",
            Self::Blackhole => "blackhole",
            Self::Error => "HTTP 500",
            Self::Slow => "slow",
            Self::Expired => "expired certificate",
            Self::HalfOpen => "half-open",
            Self::Loss => "50 % packet loss",
        }
    }

    /// It is known only when a probe has timed out.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Blackhole | Self::Slow | Self::HalfOpen | Self::Loss)
    }
}

/// Sets up loopback and the filters of this namespace.
pub fn prepare() -> io::Result<()> {
    tell("ip", &["link", "set", "lo", "up"])?;
    tell("nft", &["add table inet detection"])?;
    tell("nft", &["add set inet detection dead { type ipv4_addr; }"])?;
    tell("nft", &["add set inet detection lossy { type ipv4_addr; }"])?;
    tell("nft", &["add chain inet detection input { type filter hook input priority 0; }"])?;
    tell("nft", &["add rule inet detection input ip daddr @dead drop"])?;
    tell("nft", &["add rule inet detection input ip daddr @lossy numgen random mod 2 0 drop"])
}

fn tell(program: &str, words: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(words).output().map_err(|error| {
        io::Error::new(error.kind(), format!("{program}: {error}; it is in Debian's iproute2 or nftables"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr))))
}

/// What a living origin does with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    Well,
    Reset,
    Error,
    Slow,
    HalfOpen,
}

impl Manner {
    const ALL: [Self; 5] = [Self::Well, Self::Reset, Self::Error, Self::Slow, Self::HalfOpen];
}

/// One that serves from threads of this process, over HTTP or HTTPS.
pub struct Origin {
    address: SocketAddr,
    manner: Arc<AtomicU8>,
    /// Certificates, good and ended, and which of them it shows.
    identities: Option<[Arc<ServerConfig>; 2]>,
    tls: Option<Arc<Mutex<Arc<ServerConfig>>>>,
    listening: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    process: Option<Child>,
    own_process: bool,
}

impl Origin {
    /// At this address; `by` how it is to die decides what it is made of.
    pub fn start(address: Ipv4Addr, by: Death, authority: &Authority) -> io::Result<Self> {
        let identities = match by {
            Death::Expired => Some([authority.identity(2024, 2090)?, authority.identity(2023, 2025)?]),
            _ => None,
        };
        let tls = identities.as_ref().map(|[good, _]| Arc::new(Mutex::new(Arc::clone(good))));
        let mut origin = Self {
            address: SocketAddr::from((address, PORT)),
            manner: Arc::new(AtomicU8::new(0)),
            identities,
            tls,
            listening: None,
            process: None,
            own_process: by == Death::Crash,
        };
        origin.serve()?;
        Ok(origin)
    }

    /// Lets it die; the moment it did.
    pub fn die(&mut self, by: Death) -> io::Result<Instant> {
        let set = |manner: Manner| {
            let at = Instant::now();
            self.manner.store(manner as u8, Ordering::SeqCst);
            Ok(at)
        };
        match by {
            Death::Reset => set(Manner::Reset),
            Death::Error => set(Manner::Error),
            Death::Slow => set(Manner::Slow),
            Death::HalfOpen => set(Manner::HalfOpen),
            Death::Refused => {
                let at = Instant::now();
                self.hang_up();
                Ok(at)
            }
            Death::Crash => {
                let at = Instant::now();
                self.kill();
                Ok(at)
            }
            Death::Expired => Ok(self.show(1)),
            Death::Blackhole => self.filter("add", "dead"),
            Death::Loss => self.filter("add", "lossy"),
        }
    }

    /// Makes it well again; the moment it was.
    pub fn mend(&mut self, after: Death) -> io::Result<Instant> {
        match after {
            Death::Reset | Death::Error | Death::Slow | Death::HalfOpen => {
                self.manner.store(Manner::Well as u8, Ordering::SeqCst);
                Ok(Instant::now())
            }
            Death::Refused | Death::Crash => {
                self.serve()?;
                Ok(Instant::now())
            }
            Death::Expired => Ok(self.show(0)),
            Death::Blackhole => self.filter("delete", "dead"),
            Death::Loss => self.filter("delete", "lossy"),
        }
    }

    fn filter(&self, verb: &str, set: &str) -> io::Result<Instant> {
        let at = Instant::now();
        tell("nft", &[&format!("{verb} element inet detection {set} {{ {} }}", self.address.ip())])?;
        // The filter works from somewhere in between; the earlier is the stricter.
        Ok(if verb == "add" { at } else { Instant::now() })
    }

    fn show(&self, identity: usize) -> Instant {
        if let (Some(tls), Some(identities)) = (&self.tls, &self.identities) {
            *tls.lock().expect("nobody panics with it") = Arc::clone(&identities[identity]);
        }
        Instant::now()
    }

    fn serve(&mut self) -> io::Result<()> {
        if self.own_process {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["--origin", &self.address.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?;
            // It says when it listens.
            let mut line = String::new();
            if let Some(stdout) = child.stdout.take() {
                BufReader::new(stdout).read_line(&mut line)?;
            }
            self.process = Some(child);
            return Ok(());
        }
        let listener = bind(self.address)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, manner, tls) = (Arc::clone(&stop), Arc::clone(&self.manner), self.tls.clone());
        let running = thread::spawn(move || accept(&listener, &stopping, &manner, tls.as_ref()));
        self.listening = Some((stop, running));
        Ok(())
    }

    fn hang_up(&mut self) {
        if let Some((stop, running)) = self.listening.take() {
            stop.store(true, Ordering::SeqCst);
            // Wakes it.
            drop(TcpStream::connect(self.address));
            let _ = running.join();
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.hang_up();
        self.kill();
    }
}

/// Serves at `address` until killed.
pub fn be(address: SocketAddr) -> io::Result<()> {
    let listener = bind(address)?;
    println!("listening");
    accept(&listener, &AtomicBool::new(false), &Arc::new(AtomicU8::new(0)), None);
    Ok(())
}

/// Right after the one before it ended.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let began = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            bound => return bound,
        }
    }
}

fn accept(
    listener: &TcpListener,
    stop: &AtomicBool,
    manner: &Arc<AtomicU8>,
    tls: Option<&Arc<Mutex<Arc<ServerConfig>>>>,
) {
    for stream in listener.incoming().map_while(Result::ok) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let manner = Arc::clone(manner);
        let identity = tls.map(|tls| Arc::clone(&tls.lock().expect("nobody panics with it")));
        // Probes that give up end it; a wire is held for as long as it is.
        thread::spawn(move || drop(serve(stream, &manner, identity)));
    }
}

fn serve(stream: TcpStream, manner: &AtomicU8, identity: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let now = || Manner::ALL[usize::from(manner.load(Ordering::SeqCst)) % Manner::ALL.len()];
    if now() == Manner::Reset {
        return SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
    match identity {
        None => reply(&stream, now),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            reply(StreamOwned::new(connection, &stream), now)
        }
    }?;
    stream.shutdown(Shutdown::Write)
}

fn reply(mut stream: impl Read + Write, manner: impl Fn() -> Manner) -> io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&part[..count]),
        }
    }
    let status = match manner() {
        Manner::HalfOpen => {
            // Until whoever asks gives up.
            while stream.read(&mut part)? > 0 {}
            return Ok(());
        }
        Manner::Error => "500 Internal Server Error",
        Manner::Slow => {
            thread::sleep(SLOW);
            "200 OK"
        }
        Manner::Well | Manner::Reset => "200 OK",
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")?;
    stream.flush()
}

/// Signs the certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "detection");
        let pem = params.self_signed(&key).map_err(io::Error::other)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Its certificate, in a file.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        let path = folder.join("ca.pem");
        fs::write(&path, &self.pem)?;
        Ok(path)
    }

    /// Good for [`HOST`] between these years.
    fn identity(&self, from: i32, to: i32) -> io::Result<Arc<ServerConfig>> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).map_err(io::Error::other)?;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let pem = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?.pem();
        let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(io::Error::other)?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        Ok(Arc::new(config.map_err(io::Error::other)?))
    }
}
