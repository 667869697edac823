//! The shapes of the API's JSON, shared by the daemon and the command line.
//!
//! Times are RFC 3339 in UTC; spans are in the unit their key ends in. A span is counted on the monotonic clock where
//! there is one, so that a jump of the calendar does not age what it did not age.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Form, Platform};
use crate::control::journal::What;
use crate::ready::{Finding, Ready};
use crate::verdict::Class;

/// `GET /v1/status`: one node at a glance.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// `[server] name`.
    pub node: String,
    /// Of the running daemon.
    pub version: String,
    pub generation: u64,
    /// The daemon's calendar when this was made.
    pub now: Timestamp,
    pub uptime_seconds: u64,
    pub ready: bool,
    /// Works, but not wholly: one reason each.
    pub degraded: Vec<String>,
    /// Set while automation is frozen.
    pub doubt: Option<Doubt>,
    /// Set while names wait for the velocity limit.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// `None` if the control loop did not tell in time.
    pub journal: Option<Journal>,
    pub zones: Vec<Zone>,
    /// In the order of the configuration.
    pub names: Vec<Steered>,
    /// In force now.
    pub orders: Vec<Order>,
}

/// Our own sight is in doubt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Doubt {
    pub since: Timestamp,
    pub since_seconds: u64,
    pub evidence: String,
}

/// Names that automation would move, if there were room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    pub names: usize,
    /// So many may move in any window.
    pub limit: usize,
    /// Length of the window.
    pub per_ms: u64,
    /// When the first of them may move; `None` where only a person lets them.
    pub next_in_ms: Option<u64>,
}

/// How far the journal is behind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Journal {
    /// Sequence number of the last entry made.
    pub recorded: u64,
    /// Sequence number of the last entry known durable.
    pub committed: u64,
    /// Nothing is waiting for the disk.
    pub durable: bool,
    /// Why storage cannot commit.
    pub trouble: Option<String>,
}

/// One zone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Zone {
    pub name: String,
    pub serial: u32,
}

/// One steered name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Steered {
    pub name: String,
    pub zone: String,
    /// The zone's serial now.
    pub zone_serial: Option<u32>,
    /// `None` for the first seconds of a first start, while the name gives no reply.
    pub serving: Option<Serving>,
    /// Since when this rung is served.
    pub since: Timestamp,
    pub since_seconds: u64,
    /// Serial in which the present decision was first served.
    pub serial: u32,
    pub rungs: Vec<Rung>,
    /// The hold on this name.
    pub order: Option<Order>,
    pub former: Option<Former>,
}

/// What a steered name serves, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Serving {
    /// `primary`, `backup`, `backup-2`, `emergency`.
    pub rung: String,
    pub origins: Vec<String>,
    pub answer: Answer,
    /// Seconds.
    pub ttl: u32,
    /// A fixed word: `preferred`, `failed-over`, `held`, …
    pub why: String,
    /// The same in a sentence, with what was seen.
    pub because: String,
    /// When the failback that waits falls due.
    pub failback_due: Option<Timestamp>,
    /// Since when automation would rather serve another rung, and waits for the velocity limit.
    #[serde(default)]
    pub waits_since: Option<Timestamp>,
}

/// What the answer holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Cname(String),
    Addresses(Vec<IpAddr>),
}

/// One rung of a ladder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rung {
    pub rung: String,
    /// That of as many of its origins as it needs; drained ones left out.
    pub class: Class,
    /// It works, and not well.
    pub degraded: bool,
    /// How many of its origins have to be usable.
    pub needs: usize,
    pub served: bool,
    /// An emergency without a check: served unasked.
    pub unchecked: bool,
    pub origins: Vec<Origin>,
}

/// One origin as one rung sees it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Origin {
    pub name: String,
    pub class: Class,
    /// The rule by which it is degraded.
    pub degraded: Option<String>,
    pub drained: bool,
    pub served: bool,
    /// Why it is suspect or down, in words; with the check that speaks, where several may.
    pub cause: Option<String>,
    pub since_seconds: Option<u64>,
    /// Not probed for three intervals.
    pub stale: bool,
    /// Would it serve its visitors?
    #[serde(default)]
    pub ready: Ready,
    /// Why not, or not for long, the worst first.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// An order in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    pub id: u64,
    /// `hold` or `drain`.
    pub kind: String,
    /// The steered name held, or the origin drained.
    pub target: String,
    /// The rung a name is held on.
    pub rung: Option<String>,
    pub actor: String,
    pub reason: String,
    pub given: Timestamp,
    /// `None` is until released.
    pub until: Option<Timestamp>,
    pub remaining_seconds: Option<u64>,
}

/// The answer before the present one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Former {
    pub rung: String,
    pub origins: Vec<String>,
    pub answer: Answer,
    /// When it was last answered.
    pub until: Timestamp,
    /// When the last honest cache of it expires.
    pub gone: Timestamp,
    /// Zero once it has.
    pub remaining_seconds: u64,
}

/// `GET /v1/explain/NAME`: one name, through the six words.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Explain {
    pub node: String,
    pub generation: u64,
    pub now: Timestamp,
    pub doubt: Option<Doubt>,
    /// Set while names wait for the velocity limit, this one or others.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    pub journal: Option<Journal>,
    pub config: Configured,
    /// What its ladder is watched by, in the order of the rungs.
    pub watches: Vec<Watch>,
    pub steered: Steered,
    /// What a client gets now, one record a line.
    pub answer: Vec<String>,
}

/// What the file says of one steered name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Configured {
    pub form: Form,
    pub ttl: u32,
    /// In words.
    pub failback: String,
    /// A degraded rung is left for one that is up and not degraded.
    pub leave_degraded: bool,
    /// A rung that would fail its visitors counts as dead while any other lives.
    #[serde(default)]
    pub strict: bool,
    pub hosts: Vec<String>,
    pub ladder: Vec<ConfiguredRung>,
    pub checks: Vec<ConfiguredCheck>,
}

/// One rung as the file has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConfiguredRung {
    pub rung: String,
    pub origins: Vec<ConfiguredOrigin>,
    /// `site`, or `all of site, db`.
    pub check: Option<String>,
    /// `at least 2 up, panic below 50%`.
    pub quorum: Option<String>,
}

/// One origin as the file has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConfiguredOrigin {
    pub name: String,
    pub cname: Option<String>,
    pub addresses: Vec<IpAddr>,
    /// `vercel`, `netlify`, `github-pages`, `fly`, `plain`.
    #[serde(default)]
    pub platform: Platform,
}

/// One check as the file has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConfiguredCheck {
    pub name: String,
    /// `https /healthz`, `tcp`.
    pub ask: String,
    pub port: u16,
    pub every_ms: u64,
    /// While no name waits for the origin.
    #[serde(default)]
    pub standby_every_ms: u64,
    pub timeout_ms: u64,
    pub fall: u32,
    pub rise: u32,
    pub confirm_ms: u64,
    pub blip_ms: u64,
    /// `6 of 10`.
    pub window: Option<String>,
    pub expect: Vec<String>,
    pub warn: Vec<String>,
    pub degraded: Vec<String>,
}

/// `GET /v1/figures`: what changes with every probe.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub node: String,
    pub generation: u64,
    pub now: Timestamp,
    pub journal: Option<Journal>,
    pub watches: Vec<Watch>,
}

/// One watch: what is asked, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Watch {
    pub origin: String,
    /// Address or host name.
    pub target: String,
    pub port: u16,
    pub check: String,
    /// SNI and Host.
    pub host: String,
    pub class: Class,
    pub since: Option<Timestamp>,
    pub since_seconds: Option<u64>,
    /// How far it is on its way to another class, in words.
    pub progress: Option<String>,
    /// Why it is suspect or down, in words.
    pub cause: Option<String>,
    /// Not probed for three intervals.
    pub stale: bool,
    /// Our host has no route to its family.
    pub unseen: bool,
    /// The rule by which it is degraded.
    pub degraded: Option<String>,
    pub last: Option<Probe>,
    /// Oldest first: `+` passed, `-` failed, `?` inconclusive.
    pub recent: String,
    pub next_in_ms: Option<u64>,
    pub probes: u64,
    pub failures: u64,
}

/// One probe.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// `scheduled`, `confirmation 1`, `witness`, `tripwire`, `manual`.
    pub purpose: String,
    pub started: Timestamp,
    pub ago_ms: u64,
    pub outcome: Outcome,
    /// The metric label of the cause.
    pub label: Option<String>,
    /// The cause in words.
    pub cause: Option<String>,
    pub address: Option<IpAddr>,
    /// HTTP status.
    pub status: Option<u16>,
    pub phases: Phases,
    pub total_ms: f64,
    pub expect: Vec<Expectation>,
    /// `warn` expressions that did not hold, with what was seen.
    pub warnings: Vec<String>,
    pub certificate: Option<Certificate>,
}

/// The three outcomes of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Passed,
    Failed,
    /// Trouble of this host; moves nothing.
    Inconclusive,
}

/// How long each phase took; absent where it was not reached or does not apply.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Phases {
    pub resolve_ms: Option<f64>,
    pub connect_ms: Option<f64>,
    pub tls_ms: Option<f64>,
    pub first_byte_ms: Option<f64>,
    pub body_ms: Option<f64>,
    /// The whole of what has no steps: a nameserver's reply, an echo, a program's run.
    #[serde(default)]
    pub answer_ms: Option<f64>,
}

/// One expression of `expect`, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Expectation {
    pub text: String,
    /// `None` if it was not asked: the probe ended before.
    pub held: Option<bool>,
    pub seen: Option<String>,
}

/// The certificate an origin showed, even if it did not hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Negative once expired.
    pub days_left: i64,
    /// Number of certificates sent.
    pub chain: usize,
}

/// `POST /v1/probe`: one watch and its probe, made just now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Probed {
    pub origin: String,
    pub target: String,
    pub port: u16,
    pub check: String,
    pub host: String,
    /// What the verdict is, for comparison: this probe moves nothing.
    pub class: Class,
    pub probe: Probe,
    /// The race it began, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<Race>,
    /// Why there is none, though it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_race: Option<String>,
}

/// A probe and the confirmations a failure of it started, as if the watch had been up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Race {
    /// In the order of their starts.
    pub runners: Vec<Runner>,
    /// What would be believed of the watch, and how long after the first start.
    pub class: Class,
    pub after_ms: f64,
}

/// One probe of a race.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Runner {
    /// From the first start to its own.
    pub offset_ms: f64,
    pub source_port: Option<u16>,
    pub probe: Probe,
}

/// One line of `GET /v1/events`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    pub sequence: u64,
    pub at: Timestamp,
    pub node: String,
    #[serde(flatten)]
    pub what: What,
}

/// Reply to `hold`, `drain`, `release`, `failback`, `approve`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Done {
    pub node: String,
    /// In force from this generation on.
    pub generation: u64,
    /// False: obeyed, but storage did not commit in time, and a crash would forget it.
    pub durable: bool,
    /// What is in force now, in words.
    pub said: String,
}

/// Reply to `reload`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    pub node: String,
    pub generation: u64,
    pub warnings: Vec<String>,
}

/// Body of every reply that is not 2xx.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub error: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Body of `POST /v1/hold`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    pub name: String,
    /// `primary`, `backup`, `backup-2`, `emergency`.
    pub rung: String,
    /// `1h 30m` or `until-released`; an hour where absent.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default)]
    pub force: bool,
}

/// Body of `POST /v1/drain`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    pub origin: String,
    /// `1h 30m` or `until-released`; an hour where absent.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default)]
    pub force: bool,
}

/// Body of `POST /v1/release`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// A steered name or an origin.
    pub target: String,
}

/// Body of `POST /v1/failback`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failback {
    pub name: String,
}

/// Body of `POST /v1/approve`: exactly one of both.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Every name that waits.
    #[serde(default)]
    pub all: bool,
}

/// Body of `POST /v1/reload`.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    #[serde(default)]
    pub force: bool,
}

/// Body of `POST /v1/probe`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeNow {
    /// All watches where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Run the race that a failure starts.
    #[serde(default)]
    pub race: bool,
}

/// Query of `GET /v1/events`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsAsked {
    /// Entries after this sequence number; without it, the latest.
    pub after: Option<u64>,
    /// At most so many at once, 1 to 1000; 100 where absent.
    pub limit: Option<usize>,
    /// Keep the reply open and send entries as they are committed.
    #[serde(default)]
    pub follow: bool,
}
