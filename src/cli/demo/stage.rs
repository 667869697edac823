//! The stage: three toy origins, a toy resolver, a configuration in a scratch folder, and the daemon itself.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::{self, Runtime};

use crate::cli::demo::Trouble;
use crate::cli::demo::dig::{Answer, dig};
use crate::cli::demo::toy::{Resolver, Toy};
use crate::edge::daemon::{self, Daemon};
use crate::edge::handle::Handle;

/// The name that climbs down the ladder.
pub(crate) const NAME: &str = "www.example.test";
/// Ports tried after the one that was asked for.
const OTHER_PORTS: u16 = 20;
/// Where the toys like to listen; any port will do.
const TOY_PORT: u16 = 5380;
/// From [`NAME`]'s configuration below: how often an origin is asked.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// How long failures must last to count.
pub(crate) const BLIP: Duration = Duration::from_millis(400);
/// How long a probe may take.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);
/// Passes until an origin is up again.
pub(crate) const RISE: u32 = 2;
/// How long a better rung must be up before a usable one is left for it.
pub(crate) const FAILBACK: Duration = Duration::from_secs(5);

const ZONE: &str = "\
$TTL 60
@    SOA ns1 hostmaster 1 3600 600 1209600 5
     NS  ns1
ns1  A   127.0.0.1
";

/// Everything the demo set up; dropping the parts takes them down.
pub(crate) struct Stage {
    /// Where the nameserver answers.
    pub(crate) server: SocketAddr,
    /// In the order of the ladder: primary, backup, emergency.
    pub(crate) toys: Vec<Toy>,
    pub(crate) handle: Handle,
    /// Said once at the start: the port is not the one asked for.
    pub(crate) notice: Option<String>,
    daemon: Option<Daemon>,
    runtime: Runtime,
    _resolver: Resolver,
    _folder: Scratch,
}

impl Stage {
    /// Sets everything up. The nameserver listens at `port`, or at the next free one.
    pub(crate) fn set(port: u16) -> Result<Self, Trouble> {
        let cannot = |what: &str, error: io::Error| Trouble::Stage(format!("{what}: {error}"));
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| cannot("the runtime", error))?;
        let resolver = runtime.block_on(Resolver::start()).map_err(|error| cannot("the toy resolver", error))?;
        let toys = runtime.block_on(toys()).map_err(|error| cannot("the toy origins (127.0.0.11 to .13)", error))?;
        let (server, notice) = free(port)?;
        let folder = Scratch::new().map_err(|error| cannot("a scratch folder", error))?;
        let config = folder.path.join("failoverd.toml");
        let admin = free_tcp().map_err(|error| cannot("a port for the admin API", error))?;
        let ops = free_tcp().map_err(|error| cannot("a port for metrics", error))?;
        let text = config_text(server, admin, ops, resolver.address, &toys, &folder.path);
        fs::write(&config, text)
            .and_then(|()| fs::write(folder.path.join("example.test.zone"), ZONE))
            .map_err(|error| cannot("the configuration", error))?;
        let daemon = runtime
            .block_on(daemon::start(daemon::Options { config, ..daemon::Options::default() }))
            .map_err(|error| Trouble::Stage(error.to_string()))?;
        let handle = daemon.handle();
        Ok(Self { server, toys, handle, notice, daemon: Some(daemon), runtime, _resolver: resolver, _folder: folder })
    }

    /// What a client gets now.
    pub(crate) fn ask(&self) -> Answer {
        dig(self.server, NAME)
    }

    /// The line that asks the same from a shell.
    pub(crate) fn dig_line(&self) -> String {
        format!("dig @{} -p {} {NAME} +short", self.server.ip(), self.server.port())
    }

    /// Breaks a toy that is up, mends one that is broken.
    ///
    /// # Errors
    /// If its address was taken by something else meanwhile.
    pub(crate) fn toggle(&mut self, toy: usize) -> Result<(), Trouble> {
        let runtime = self.runtime.handle().clone();
        let Some(toy) = self.toys.get_mut(toy) else {
            return Ok(());
        };
        runtime.block_on(async {
            if toy.is_up() {
                toy.break_down().await;
                return Ok(());
            }
            let mended = toy.mend(&runtime).await;
            mended.map_err(|error| Trouble::Stage(format!("{} cannot listen again: {error}", toy.name)))
        })
    }

    /// Waits for something asked of the daemon.
    pub(crate) fn wait_for<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// Stops the daemon in order; the rest goes when dropped.
    pub(crate) fn strike(mut self) {
        if let Some(daemon) = self.daemon.take() {
            self.runtime.block_on(daemon.stop());
        }
    }
}

async fn toys() -> io::Result<Vec<Toy>> {
    let hosts = [("east", 11), ("west", 12), ("static", 13)].map(|(name, last)| (name, Ipv4Addr::new(127, 0, 0, last)));
    let mut port = TOY_PORT;
    let mut toys = Vec::new();
    for (name, host) in hosts {
        let toy = match Toy::start(name, host, port).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Toy::start(name, host, 0).await?,
            other => other?,
        };
        port = toy.address.port();
        toys.push(toy);
    }
    Ok(toys)
}

/// The address the nameserver will have: both UDP and TCP must be free.
fn free(wanted: u16) -> Result<(SocketAddr, Option<String>), Trouble> {
    let last = wanted.saturating_add(OTHER_PORTS);
    for port in wanted..=last {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            let notice = (port != wanted).then(|| format!("port {wanted} is taken, so the demo listens at {port}"));
            return Ok((address, notice));
        }
    }
    Err(Trouble::Stage(format!("ports {wanted} to {last} of 127.0.0.1 are taken; try --port")))
}

fn free_tcp() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn config_text(
    server: SocketAddr,
    admin: SocketAddr,
    ops: SocketAddr,
    resolver: SocketAddr,
    toys: &[Toy],
    folder: &Path,
) -> String {
    let state = folder.join("state");
    let origins: String = toys
        .iter()
        .map(|toy| {
            let (host, port) = (toy.address.ip(), toy.address.port());
            format!("[origin.{}]\na = [\"{host}\"]\nprobe = {{ port = {port} }}\n\n", toy.name)
        })
        .collect();
    let (every, timeout, blip, failback) =
        (EVERY.as_millis(), TIMEOUT.as_millis(), BLIP.as_millis(), FAILBACK.as_secs());
    format!(
        r#"contract = 1

[server]
name = "demo"
listen = ["{server}"]
workers = 1
state = "{state}"
resolvers = ["{resolver}"]

[admin]
listen = "{admin}"
ops_listen = "{ops}"

[zone."example.test"]
file = "example.test.zone"

[check.fast]
http = "/healthz"
every = "{every}ms"
timeout = "{timeout}ms"
fall = 2
rise = {RISE}
confirm = "200ms"
blip = "{blip}ms"
expect = ["status in 200..299", "body ~ 'fine'"]

{origins}[steer."{NAME}"]
primary = "east"
backup = "west"
emergency = "static"
check = "fast"
ttl = "5s"
failback = "{failback}s"
"#,
        state = state.display()
    )
}

/// A folder that goes with its owner.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("failoverd-demo-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind at worst; the system empties its scratch folder.
        drop(fs::remove_dir_all(&self.path));
    }
}
