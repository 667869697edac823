//! Who answers: failoverd as it is and at its fastest usual pace, and others the same.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;

use crate::origin::{Authority, Death, HOST, PORT};

const ZONE: &str = "example.test";
const RECORDS: &str = "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 1209600 5\n@ NS ns1\nns1 A 127.0.0.1\n";

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// failoverd with `every = "1s"`
    Second,
    /// The same without tripwires
    Untripped,
    /// failoverd as it is
    Default,
    /// gdnsd: interval 2 (1 leaves no timeout), all thresholds 1
    Gdnsd,
    /// gdnsd as it is
    GdnsdDefault,
    /// PowerDNS: ifurlup, health checks every second
    Pdns,
    /// PowerDNS: ifurlup as it is
    PdnsDefault,
}

impl Kind {
    /// Others know no certificates.
    pub fn can_see(self, death: Death) -> bool {
        self.is_ours() || death != Death::Expired
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Second | Self::Untripped | Self::Default)
    }

    pub fn told(self) -> &'static str {
        match self {
            Self::Second => "failoverd, `every = \"1s\"`",
            Self::Untripped => "failoverd, `every = \"1s\"`, `tripwire = false`",
            Self::Default => "failoverd, default configuration",
            Self::Gdnsd => "gdnsd, `interval => 2`, `timeout => 1`, thresholds 1",
            Self::GdnsdDefault => "gdnsd, default configuration",
            Self::Pdns => "PowerDNS, `ifurlup`, `lua-health-checks-interval=1`, `timeout=1`",
            Self::PdnsDefault => "PowerDNS, `ifurlup`, default configuration",
        }
    }
}

/// What the check is about.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub every: Duration,
    pub timeout: Duration,
    /// `max(confirm × (fall − 1), blip)`.
    pub span: Duration,
    /// Passes until an origin is up again.
    pub rise: u32,
    pub tripwire: bool,
}

impl Pace {
    pub fn of(kind: Kind) -> Self {
        let second = Duration::from_secs(1);
        let pace = Self { every: second, timeout: second, span: second, rise: 3, tripwire: true };
        match kind {
            Kind::Second => pace,
            Kind::Untripped => Self { tripwire: false, ..pace },
            Kind::Default => Self { every: Duration::from_secs(5), timeout: Duration::from_secs(2), ..pace },
            Kind::Gdnsd => Self { every: second * 2, span: Duration::ZERO, rise: 1, tripwire: false, ..pace },
            Kind::GdnsdDefault => Self {
                every: second * 10,
                timeout: second * 3,
                // It goes down with the tenth failure and is up again with the twentieth pass.
                span: second * 90,
                rise: 20,
                tripwire: false,
            },
            Kind::Pdns => Self { span: Duration::ZERO, rise: 1, tripwire: false, ..pace },
            Kind::PdnsDefault => {
                Self { every: second * 5, timeout: second * 2, span: Duration::ZERO, rise: 1, tripwire: false }
            }
        }
    }

    /// A death nobody has seen by then is not going to be seen, and a recovery neither.
    pub fn patience(&self) -> Duration {
        let slowest = self.every + self.timeout + self.span;
        Duration::from_secs(60).max(slowest * 2).max(self.every * self.rise * 2)
    }
}

/// A nameserver as a child process; ends with this.
pub struct Server {
    pub dns: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Steers [`HOST`] between `primary` and `backup`.
    pub fn start(
        number: u8,
        kind: Kind,
        death: Death,
        primary: Ipv4Addr,
        backup: Ipv4Addr,
        authority: &Authority,
    ) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("detection-").tempdir()?;
        let port = |base: u16| base + u16::from(number);
        let dns = SocketAddr::from((Ipv4Addr::LOCALHOST, port(5300)));
        let place = folder.path();
        let mut command = match kind {
            Kind::Gdnsd => gdnsd(place, dns, primary, backup, GDNSD_FAST)?,
            Kind::GdnsdDefault => gdnsd(place, dns, primary, backup, "")?,
            Kind::Pdns => pdns(place, dns, primary, backup, ", {timeout=1}", "lua-health-checks-interval=1\n")?,
            Kind::PdnsDefault => pdns(place, dns, primary, backup, "", "")?,
            Kind::Second | Kind::Untripped | Kind::Default => {
                let path = authority.write(place)?;
                let ask = match death {
                    Death::Expired => format!("https = \"/\"\nport = {PORT}\nca_file = \"{}\"", path.display()),
                    _ => "http = \"/\"".to_owned(),
                };
                let pace = match kind {
                    Kind::Default => "",
                    Kind::Untripped => "every = \"1s\"\ntripwire = false",
                    _ => "every = \"1s\"",
                };
                fs::write(place.join("zone"), RECORDS)?;
                let config = format!(
                    "contract = 1\n[server]\nname = \"bench\"\nlisten = [\"{dns}\"]\nworkers = 1\nstate = \"{}\"\n\
                     resolvers = [\"127.0.0.1:9\"]\n[admin]\nlisten = \"127.0.0.1:{}\"\nops_listen = \"127.0.0.1:{}\"\n\
                     [zone.\"{ZONE}\"]\nfile = \"zone\"\n[check.up]\n{ask}\n{pace}\n\
                     [origin.main]\na = [\"{primary}\"]\n[origin.spare]\na = [\"{backup}\"]\n\
                     [steer.\"{HOST}\"]\nprimary = \"main\"\nbackup = \"spare\"\ncheck = \"up\"\nfailback = \"auto\"\n",
                    place.join("state").display(),
                    port(8100),
                    port(9100),
                );
                let file = place.join("failoverd.toml");
                fs::write(&file, config)?;
                let mut command = Command::new(env!("CARGO_BIN_EXE_failoverd"));
                command.arg("run").arg("--config").arg(file);
                command
            }
        };
        let log = fs::File::create(place.join("log"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { dns, child, _folder: folder })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const GDNSD_FAST: &str = "interval => 2\n timeout => 1\n up_thresh => 1\n ok_thresh => 1\n down_thresh => 1\n";

fn gdnsd(place: &Path, dns: SocketAddr, primary: Ipv4Addr, backup: Ipv4Addr, pace: &str) -> io::Result<Command> {
    fs::create_dir_all(place.join("etc/zones"))?;
    fs::write(place.join("etc/zones").join(ZONE), format!("{RECORDS}www 5 DYNA simplefo!www\n"))?;
    let folder = place.display();
    fs::write(
        place.join("etc/config"),
        format!(
            "options => {{\n listen => {dns}\n udp_threads = 1\n tcp_threads = 1\n run_dir = {folder}/run\n \
             state_dir = {folder}/state\n}}\nservice_types => {{\n web => {{\n plugin => http_status\n vhost => {HOST}\n \
             url_path => /\n port => {PORT}\n {pace} }}\n}}\nplugins => {{\n simplefo => {{\n service_types => web\n www => {{ primary => \
             {primary}, secondary => {backup} }}\n }}\n}}\n"
        ),
    )?;
    let mut command = Command::new("gdnsd");
    command.arg("-c").arg(place.join("etc")).arg("start");
    Ok(command)
}

/// `options` of the record, and `settings` of the server.
fn pdns(
    place: &Path,
    dns: SocketAddr,
    primary: Ipv4Addr,
    backup: Ipv4Addr,
    options: &str,
    settings: &str,
) -> io::Result<Command> {
    let record =
        format!("www 1 IN LUA A \"ifurlup('http://{HOST}/', {{{{'{primary}'}}, {{'{backup}'}}}}{options})\"\n");
    fs::write(place.join("zone"), format!("$ORIGIN {ZONE}.\n{RECORDS}{record}"))?;
    let zone = place.join("zone");
    fs::write(place.join("zones.conf"), format!("zone \"{ZONE}\" {{ type native; file \"{}\"; }};\n", zone.display()))?;
    let config = format!(
        "launch=bind\nbind-config={}\nlocal-address=127.0.0.1\nlocal-port={}\nsocket-dir={}\ndaemon=no\nguardian=no\n\
         write-pid=no\ndisable-syslog=yes\ncache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\nenable-lua-records=yes\n\
         {settings}security-poll-suffix=\n",
        place.join("zones.conf").display(),
        dns.port(),
        place.display()
    );
    fs::write(place.join("pdns.conf"), config)?;
    let mut command = Command::new("pdns_server");
    command.arg(format!("--config-dir={}", place.display()));
    Ok(command)
}
