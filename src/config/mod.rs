//! What: `failoverd.toml` as typed, cross-checked values.
//!
//! [`spec`] is what the file says, with the place of every value; [`Config`] is what it means. An id in a `Config`
//! is an index into that `Config`'s own tables and always exists there: nothing downstream checks again.

mod against; //   steered names against the zones' static data
mod answering; // how queries are answered
mod ask; //       the ways to ask
pub mod bounds; // every key: type, default, bounds, reason
pub mod budget; // the worst case of a failover; requests of the probes
mod combination; // several checks that speak together
pub mod duration; // "1m30s"
mod encrypted; // tls:// https:// quic:// [server.tls]
mod errors; //    file, line, caret, what would be right
pub mod expect; // expressions of `expect` and `warn`
mod include; //   the files
mod names; //     names as people write them
mod node; //      [server] [admin] [alert] [cli]
mod platform; //  what is known of where origins live
mod probing; //   [check] [origin]
mod rate_limit; // [server.rate_limit]
mod recording; // [server] record; files without their secrets
mod resolve; //   references become ids; rules between tables
mod secret; //    tokens and signing secrets
mod spec; //      what the files say, table by table
mod steering; //  [zone] [ladder] [steer]
mod streams; //   [server.tcp]
mod value; //     one table's values, by the rows of bounds
mod velocity; //  [velocity]
pub mod window; // thresholds over a number of observations

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::expect::Expression;
use crate::dns::Name;
use crate::zone::Files;
use crate::zone::load::Zone;

pub use answering::{Answering, Cookies};
pub use ask::{Ask, Asking, Question, Web};
pub use encrypted::{Encrypted, EncryptedListen, Scheme, Tls};
pub use errors::Errors;
pub use platform::Platform;
pub use rate_limit::RateLimit;
pub use recording::{FileText, stand_in};
pub use streams::Streams;
pub use velocity::{Beyond, Names, Velocity};
pub use window::{Bad, Limit, Rule, Window};

use errors::Findings;
use resolve::Places;
use value::Reading;

/// A configuration that was read, and where its parts stand.
#[derive(Clone, Debug)]
pub struct Read {
    pub config: Config,
    /// One line each: place, what, what would be better.
    pub warnings: Vec<String>,
    /// Every file it was made of: the named one first, what it includes, certificates, secrets. Not the zone files.
    pub files: Vec<PathBuf>,
    /// The texts, to show places in.
    found: Findings,
    places: Places,
}

/// Reads `path` and all it includes. `env` looks an environment variable up; `host_name` is the default of
/// `[server] name`.
///
/// # Errors
/// Everything that is wrong, each with its place and what would be right.
pub fn read(
    files: &dyn Files,
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    host_name: &str,
) -> Result<Read, Errors> {
    let mut reading = Reading { files, env, found: Findings::default(), paths: Vec::new() };
    if !include::read(&mut reading, path) {
        return Err(reading.found.into_errors());
    }
    let (spec, whole) = spec::read(&mut reading, host_name);
    let Reading { mut found, paths, .. } = reading;
    if !whole {
        return Err(found.into_errors());
    }
    let (config, places) = resolve::resolve(&mut found, spec);
    found.take_errors()?;
    let warnings = found.warnings_in_words();
    Ok(Read { config, warnings, files: paths, found, places })
}

impl Read {
    /// Checks the steered names against the zones, which are given by [`ZoneId`]. Returns further warnings.
    ///
    /// # Errors
    /// Every conflict, at the header of its steered name.
    pub fn against(&self, zones: &[Zone]) -> Result<Vec<String>, Errors> {
        let mut found = self.found.clone();
        against::check(&mut found, &self.config, &self.places, zones);
        found.take_errors()?;
        Ok(found.warnings_in_words())
    }
}

/// The first configuration of `failoverd init`: commented, complete, for the zone of [`template_zone`].
pub fn template() -> &'static str {
    include_str!("template/failoverd.toml")
}

/// The zone file that goes with [`template`], named `fo.example.com.zone`.
pub fn template_zone() -> &'static str {
    include_str!("template/fo.example.com.zone")
}

/// Index into [`Config::zones`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ZoneId(pub u32);
/// Index into [`Config::checks`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CheckId(pub u32);
/// Index into [`Config::origins`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OriginId(pub u32);
/// Index into [`Config::steers`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SteerId(pub u32);

impl From<u32> for SteerId {
    fn from(row: u32) -> Self {
        Self(row)
    }
}

impl From<SteerId> for u32 {
    fn from(id: SteerId) -> Self {
        id.0
    }
}

/// A whole configuration: every reference in it exists, every value is within its bounds.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    pub server: Server,
    pub admin: Admin,
    pub alerts: Vec<Alert>,
    /// How many names automation may move at once; all where absent.
    pub velocity: Option<Velocity>,
    pub cli: Cli,
    pub zones: Vec<ZoneFile>,
    pub checks: Vec<Arc<Check>>,
    pub origins: Vec<Arc<Origin>>,
    pub steers: Vec<Arc<Steer>>,
}

/// `[server]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Server {
    /// Names this node in the journal and in alerts; default the host name, handed in by the edge.
    pub name: String,
    pub listen: Vec<Listen>,
    /// UDP threads per listen address; `None` is one per core.
    pub workers: Option<usize>,
    /// Folder of journal, serials, orders and the admin token.
    pub state: PathBuf,
    /// A persisted decision older than this is not served at start.
    pub state_max_age: Duration,
    pub resolvers: Resolvers,
    /// Reload when a file changes.
    pub watch: bool,
    /// Share of 10 and more origins that must turn down within one window before our own sight is in doubt.
    pub doubt_share: f64,
    /// How queries are answered.
    pub answering: Arc<Answering>,
    /// Encrypted transports.
    pub encrypted: Encrypted,
    /// What checks need of this node.
    pub asking: Asking,
    pub record: Recording,
}

/// `[server] record`: all that happens is kept, to be decided again by `failoverd replay`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recording {
    pub on: bool,
    /// How much is kept, in bytes; the oldest goes first.
    pub keep: u64,
}

/// One address of `[server] listen` without encryption.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Listen {
    pub address: SocketAddr,
    pub udp: bool,
    pub tcp: bool,
}

/// `[server] resolvers`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolvers {
    /// Those of `/etc/resolv.conf`.
    System,
    Addresses(Vec<SocketAddr>),
}

/// `[admin]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    pub ops_listen: SocketAddr,
    /// `[admin.token.NAME]`: who may give orders besides the token made at first start, which is `operator`'s.
    pub tokens: Vec<Token>,
}

/// `[admin.token.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The actor of orders given with it.
    pub actor: String,
    pub secret: Secret,
}

/// A value that never shows in logs or `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `[alert.NAME]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Alert {
    pub name: String,
    /// Absolute http or https URL.
    pub webhook: String,
    /// Standard Webhooks signing secret (`whsec_…`, decoded bytes); `None` uses the one made at first start.
    pub secret: Option<Vec<u8>>,
}

/// The name alone: the secret is one, and so are most webhook URLs.
impl std::fmt::Debug for Alert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alert").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `[cli]`: nodes the command line talks to besides the local one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cli {
    /// Base URLs without a final slash, `http://10.0.0.2:8053`.
    pub nodes: Vec<String>,
}

/// `[zone."NAME"]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneFile {
    pub apex: Name,
    /// Absolute, or relative to the working folder: the folder of the file it stands in is already joined.
    pub file: PathBuf,
}

/// `[check.NAME]`: how an origin is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    pub name: String,
    pub ask: Ask,
    /// Port asked; an origin's `probe.port` goes first. 0 if every origin asked with this check has one, or none is
    /// needed.
    pub port: u16,
    pub every: Duration,
    /// The same while no name waits for the origin: its rung comes after the one served. At least `every`.
    pub standby_every: Duration,
    pub timeout: Duration,
    /// Consecutive failures until down.
    pub fall: u32,
    /// Consecutive passes until up again.
    pub rise: u32,
    /// Distance of the confirmations after a first failure.
    pub confirm: Duration,
    /// Failures must span at least this long to count as down.
    pub blip: Duration,
    /// All must hold, else the origin is failed.
    pub expect: Vec<Expression>,
    /// One that does not hold is a warning and moves nothing.
    pub warn: Vec<Expression>,
    /// Roots to trust instead of the system's, as PEM.
    pub ca: Option<Arc<str>>,
    /// Hold an idle connection to each address, whose end is a reason to ask at once.
    pub tripwire: bool,
    /// So many failed of so many is down too.
    pub window: Option<Window>,
    /// One that holds makes what is up degraded.
    pub degraded: Vec<Rule>,
}

/// `[origin.NAME]`: where a service lives. Has at least one address or a host name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    pub name: String,
    pub cname: Option<Name>,
    pub a: Vec<Ipv4Addr>,
    pub aaaa: Vec<Ipv6Addr>,
    pub probe_port: Option<u16>,
    pub probe_check: Option<Checks>,
    /// What it lives on, as the file says or as its host name tells.
    pub platform: Platform,
}

impl Origin {
    /// Own addresses, IPv4 first, in the order of the file.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.a.iter().map(|&a| IpAddr::V4(a)).chain(self.aaaa.iter().map(|&a| IpAddr::V6(a)))
    }
}

/// `[steer."NAME"]` with its ladder resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steer {
    /// Owner name, folded.
    pub name: Name,
    /// The deepest zone that holds it.
    pub zone: ZoneId,
    /// In the order of preference: primary, backups, emergency. Never empty.
    pub rungs: Vec<Rung>,
    /// TTL of every record of the name, in seconds, 5 or more.
    pub ttl: u32,
    pub failback: Failback,
    /// A rung that would fail its visitors counts as dead while any other lives.
    pub strict: bool,
    /// SNI and Host of probes; each is probed. Never empty.
    pub hosts: Vec<String>,
    /// How the name is served: as CNAME if every rung can be and nothing else stands at the name, else by address.
    pub form: Form,
    /// A degraded rung is left for one that is up and not degraded.
    pub leave_degraded: bool,
}

/// How the answers of a steered name look, the same for every rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One CNAME: the origin's host name.
    Cname,
    /// A and AAAA: the origin's own addresses, else its host name resolved (flattened).
    Address,
}

/// One step of a ladder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rung {
    pub place: Place,
    /// One origin, or several equals (`{ all = […] }`). Never empty.
    pub origins: Vec<OriginId>,
    /// The check of this rung, for origins without a `probe_check`; `None` only on an emergency that has none: it is
    /// served unasked.
    pub check: Option<Checks>,
    /// How many of its origins have to be usable.
    pub quorum: Quorum,
}

/// Which checks speak for an origin, and how many of them have to pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checks {
    /// 1 to their number.
    pub need: usize,
    /// In the order of the file. Never empty.
    pub of: Vec<CheckId>,
}

/// One check alone.
impl From<CheckId> for Checks {
    fn from(check: CheckId) -> Self {
        Self { need: 1, of: vec![check] }
    }
}

/// How many origins of a rung of equals have to be usable, lest the few be overrun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quorum {
    /// With fewer the rung is dead for failover. 1 and more.
    pub min_up: usize,
    /// With a smaller share, in percent, the rung is dead for failover; and where nothing better is left, all of its
    /// origins are served.
    pub panic: Option<u8>,
}

/// One origin is enough.
impl Default for Quorum {
    fn default() -> Self {
        Self { min_up: 1, panic: None }
    }
}

impl Quorum {
    /// How many of so many undrained origins have to be usable.
    pub fn needs(self, undrained: usize) -> usize {
        self.min_up.max(self.calm_from(undrained)).max(1)
    }

    /// From how many usable ones of so many undrained there is no panic.
    pub fn calm_from(self, undrained: usize) -> usize {
        self.panic.map_or(0, |share| (undrained * usize::from(share)).div_ceil(100))
    }
}

/// Where a rung stands on its ladder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Place {
    Primary,
    /// Counted from 1.
    Backup(u8),
    Emergency,
}

/// `primary`, `backup` (the first), `backup-2`, `emergency`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Backup(1) => f.write_str("backup"),
            Self::Backup(n) => write!(f, "backup-{n}"),
            Self::Emergency => f.write_str("emergency"),
        }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

/// As [`Place`] prints.
impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "primary" => Ok(Self::Primary),
            "backup" => Ok(Self::Backup(1)),
            "emergency" => Ok(Self::Emergency),
            other => {
                let number = other.strip_prefix("backup-").and_then(|number| number.parse().ok());
                number.map(Self::Backup).ok_or_else(|| format!("`{other}` is no place on a ladder"))
            }
        }
    }
}

/// What leaving a usable rung for a better one waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failback {
    /// `rise` alone.
    Auto,
    /// The better rung has been up for this long; a relapse doubles it.
    After(Duration),
    /// A person (`failoverd failback NAME`).
    Manual,
}
