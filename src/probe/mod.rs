//! Saw: what to ask and when, what is expected, what came back.
//!
//! The edge does the asking and reports [`Facts`]; what they mean is decided here.

pub mod detail; //   what a probe saw besides its outcome
pub mod judge; //    facts of one probe to its outcome
pub mod nameserver; // a question to a nameserver and its reply
pub mod schedule; // when each watch is asked next; the confirmation race
pub mod tripwire; // idle connections whose end is a reason to ask
pub mod trust; //    certificate failures that may be our own clock or roots
pub mod watch; //    the watches a configuration needs, and their identity

#[cfg(test)]
pub(crate) mod fixture;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Check;
use crate::config::expect::Reply;
use crate::dns::Name;
use crate::time::Moment;

pub use detail::Detail;

/// Index of a watch in the controller's table; meaningful only together with its [`Epoch`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WatchId(pub u32);

impl From<u32> for WatchId {
    fn from(row: u32) -> Self {
        Self(row)
    }
}

impl From<WatchId> for u32 {
    fn from(id: WatchId) -> Self {
        id.0
    }
}

/// Changes when a watch's identity does: an observation of another epoch is late and dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// What is asked: one of an origin's addresses, or its host name, resolved for each probe.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Target {
    Address(IpAddr),
    Hostname(Name),
    /// The whole origin, by its name: it calls us.
    Origin(Arc<str>),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Hostname(name) => f.write_str(&name.to_host()),
            Self::Origin(name) => f.write_str(name),
        }
    }
}

/// One probe to carry out.
#[derive(Clone, Debug)]
pub struct Request {
    pub watch: WatchId,
    pub epoch: Epoch,
    pub purpose: Purpose,
    /// When it was to start.
    pub due: Moment,
    pub target: Target,
    pub port: u16,
    /// SNI and Host.
    pub host: Arc<str>,
    pub check: Arc<Check>,
}

/// Why a probe is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    Scheduled,
    /// One of the race after a failure, counted from 1.
    Confirm(u8),
    /// Asked of a neighbour to tell its trouble from ours.
    Witness,
    /// Its [tripwire] ended.
    Tripwire,
    /// A person's `failoverd probe`; moves nothing.
    Manual,
}

/// What came of one probe, as the edge saw it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Observation {
    pub watch: WatchId,
    pub epoch: Epoch,
    pub purpose: Purpose,
    pub started: Moment,
    pub finished: Moment,
    pub outcome: Outcome,
    /// Address the outcome speaks of; for a host name the one that decided it.
    pub address: Option<IpAddr>,
    pub phases: Phases,
    /// `warn` expressions that did not hold, as they stand in the file, with what was seen.
    pub warnings: Vec<String>,
    /// The certificate the origin showed, even when it did not hold.
    pub certificate: Option<Arc<Certificate>>,
    /// HTTP status, where one came.
    pub status: Option<u16>,
    /// What tells whether visitors would be served; `None` where there is nothing to tell.
    #[serde(default)]
    pub detail: Option<Arc<Detail>>,
}

/// The three outcomes of a probe: trouble of our own never moves a verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Passed,
    Failed(Cause),
    Inconclusive(LocalFault),
}

/// Where an origin is at fault.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// NXDOMAIN or NODATA of a host name we serve as CNAME.
    NameGone,
    ConnectRefused,
    ConnectTimeout,
    /// A router said so, and our own route lookup succeeds.
    Unreachable,
    /// The connection was reset or closed early, in the named phase.
    Reset(Phase),
    /// No end within `timeout`, in the named phase.
    Timeout(Phase),
    /// The handshake failed other than by the certificate.
    Tls(String),
    CertExpired,
    CertNotYetValid,
    CertWrongName,
    CertUnknownIssuer,
    /// Any other fault of the certificate.
    CertInvalid(String),
    /// Not HTTP, or not DNS.
    Protocol(String),
    /// An origin that calls us has not called for so many seconds; `None`: not yet.
    Silent(Option<u64>),
    /// An origin that calls us reports its own failure.
    Reported,
    /// An expectation did not hold: the expression, and what was seen.
    Unexpected {
        expression: String,
        seen: String,
    },
    /// Of a verdict alone: so many of the last scheduled probes failed, though not in a row.
    TooMany {
        failed: u32,
        of: u32,
        /// Why the latest failed, where it is known.
        lately: Option<Box<Cause>>,
    },
}

impl Cause {
    /// Faults that a wrong clock or missing roots of our own would produce too.
    pub fn is_trust(&self) -> bool {
        match self {
            Self::CertExpired | Self::CertNotYetValid | Self::CertUnknownIssuer => true,
            Self::Unexpected { expression, .. } => expression.starts_with("cert_days"),
            _ => false,
        }
    }

    /// The metric label: a fixed, small set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NameGone => "name-gone",
            Self::ConnectRefused => "connect-refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::Unreachable => "unreachable",
            Self::Reset(_) => "reset",
            Self::Timeout(_) => "timeout",
            Self::Tls(_) => "tls",
            Self::CertExpired => "cert-expired",
            Self::CertNotYetValid => "cert-not-yet-valid",
            Self::CertWrongName => "cert-wrong-name",
            Self::CertUnknownIssuer => "cert-unknown-issuer",
            Self::CertInvalid(_) => "cert-invalid",
            Self::Protocol(_) => "protocol",
            Self::Silent(_) => "silent",
            Self::Reported => "reported",
            Self::Unexpected { .. } => "unexpected",
            Self::TooMany { .. } => "too-many",
        }
    }
}

/// As a person reads it at three in the morning.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameGone => f.write_str("its host name does not exist any more"),
            Self::ConnectRefused => f.write_str("connection refused"),
            Self::ConnectTimeout => f.write_str("connect timed out"),
            Self::Unreachable => f.write_str("host unreachable"),
            Self::Reset(phase) => write!(f, "connection reset ({phase})"),
            Self::Timeout(phase) => write!(f, "timed out ({phase})"),
            Self::Tls(why) => write!(f, "TLS handshake failed: {why}"),
            Self::CertExpired => f.write_str("certificate expired"),
            Self::CertNotYetValid => f.write_str("certificate not yet valid"),
            Self::CertWrongName => f.write_str("certificate is for another name"),
            Self::CertUnknownIssuer => f.write_str("certificate of an unknown issuer (self-signed?)"),
            Self::CertInvalid(why) => write!(f, "certificate invalid: {why}"),
            Self::Protocol(why) => write!(f, "not a valid response: {why}"),
            Self::Silent(Some(seconds)) => write!(f, "no heartbeat for {seconds} s"),
            Self::Silent(None) => f.write_str("no heartbeat yet"),
            Self::Reported => f.write_str("it reports its own failure"),
            Self::Unexpected { expression, seen } => write!(f, "expected {expression}, saw {seen}"),
            Self::TooMany { failed, of, lately: None } => write!(f, "{failed} of the last {of} probes failed"),
            Self::TooMany { failed, of, lately: Some(cause) } => {
                write!(f, "{failed} of the last {of} probes failed, lately: {cause}")
            }
        }
    }
}

/// Where we are at fault ourselves. Nothing else counts as our own.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalFault {
    NoDescriptors,
    NoPorts,
    /// Unreachable, and our own route lookup for that address fails.
    NoRoute,
    /// The resolver timed out or answered SERVFAIL, and no last good addresses are known.
    Resolver,
    /// No turn came within the timeout of the check.
    Busy,
    /// 429: the origin throttles us.
    Throttled,
    /// Every https watch of a round fails on trust: our clock or our roots.
    ClockOrRoots,
    /// The kernel does not let our group ping.
    PingForbidden,
    /// A check's program cannot be started, and why.
    Program(String),
    /// No process can be started at all.
    NoProcess,
    /// Nothing of ours listens for heartbeats, or too many call.
    Deaf,
    /// The probe itself broke down: a defect of ours.
    Broken,
}

impl LocalFault {
    /// The metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoDescriptors => "no-descriptors",
            Self::NoPorts => "no-ports",
            Self::NoRoute => "no-route",
            Self::Resolver => "resolver",
            Self::Busy => "busy",
            Self::Throttled => "throttled",
            Self::ClockOrRoots => "clock-or-roots",
            Self::PingForbidden => "ping-forbidden",
            Self::Program(_) => "program",
            Self::NoProcess => "no-process",
            Self::Deaf => "deaf",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for LocalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDescriptors => "this host has no file descriptor left",
            Self::NoPorts => "this host has no local port left",
            Self::NoRoute => "this host has no route to it",
            Self::Resolver => "the resolvers do not answer",
            Self::Busy => "this host has too many probes under way",
            Self::Throttled => "the origin throttles our probes (429)",
            Self::ClockOrRoots => "all certificates fail at once: this host's clock or root certificates",
            Self::PingForbidden => {
                "this host does not let failoverd ping: its group is not in the sysctl net.ipv4.ping_group_range"
            }
            Self::Program(why) => return write!(f, "this host cannot run {why}"),
            Self::NoProcess => "this host can start no more processes",
            Self::Deaf => {
                "this host could not hear heartbeats: nothing listens ([heartbeat] takes effect at a start), or too many call"
            }
            Self::Broken => "the probe itself broke down (a defect of failoverd; its log says where)",
        })
    }
}

/// The steps of a probe, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Resolve,
    Connect,
    Tls,
    FirstByte,
    Body,
    /// The whole of what has no steps: a reply of a nameserver, an echo, a program's run.
    Answer,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first byte",
            Self::Body => "body",
            Self::Answer => "answer",
        })
    }
}

/// How long each phase took; `None` where it was not reached or does not apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Phases {
    pub resolve: Option<Duration>,
    pub connect: Option<Duration>,
    pub tls: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub body: Option<Duration>,
    #[serde(default)]
    pub answer: Option<Duration>,
}

impl Phases {
    /// The sum of those that were reached.
    pub fn total(&self) -> Duration {
        [self.resolve, self.connect, self.tls, self.first_byte, self.body, self.answer].into_iter().flatten().sum()
    }
}

/// What the leaf certificate says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// DNS names it is for.
    pub names: Vec<String>,
    /// Seconds since the epoch.
    pub not_before: i64,
    /// Seconds since the epoch.
    pub not_after: i64,
    /// Number of certificates in the chain as sent.
    pub chain: usize,
}

/// What the edge saw of one probe against one address, not yet judged. See [`judge`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    pub phases: Phases,
    /// Our end of the connection.
    pub local: Option<SocketAddr>,
    /// Where and how it ended, if before the end of the body.
    pub trouble: Option<Trouble>,
    pub certificate: Option<Arc<Certificate>>,
    /// HTTP status.
    pub status: Option<u16>,
    /// Headers of the response, names in lower case: all where the check speaks of them, else those that [`detail`] looks
    /// at.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB of the body, or of what a program printed.
    pub body: Vec<u8>,
    /// Exit code of a program that came to its end by itself.
    pub exit: Option<i32>,
    pub reply: Option<Reply>,
    pub beat: Option<Beat>,
}

/// The last call of an origin that calls us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// How long ago it came.
    pub age: Duration,
    /// It reported a failure.
    pub failed: bool,
}

/// A call of an origin that calls us.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Names of the origin and the check.
    pub origin: Arc<str>,
    pub check: Arc<str>,
    pub at: Moment,
    /// It reports a failure.
    pub failed: bool,
}

impl Call {
    /// What it says of its watch.
    pub fn observed(&self, watch: WatchId, epoch: Epoch) -> Observation {
        Observation {
            watch,
            epoch,
            purpose: Purpose::Scheduled,
            started: self.at,
            finished: self.at,
            outcome: if self.failed { Outcome::Failed(Cause::Reported) } else { Outcome::Passed },
            address: None,
            phases: Phases::default(),
            warnings: Vec::new(),
            certificate: None,
            status: None,
            detail: None,
        }
    }
}

/// How a probe ended early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    pub phase: Phase,
    pub kind: TroubleKind,
}

/// Raw kinds of trouble, before anyone is blamed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TroubleKind {
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM.
    Descriptors,
    /// EADDRNOTAVAIL.
    Ports,
    /// Too many probes of ours are under way.
    Busy,
    Refused,
    Reset,
    Timeout,
    /// ENETUNREACH or EHOSTUNREACH, and whether our own route lookup finds a way there.
    Unreachable {
        routed: bool,
    },
    /// NXDOMAIN or NODATA.
    NameGone,
    /// Resolver timeout or SERVFAIL, and nothing good remembered.
    ResolverFailed,
    CertExpired,
    CertNotYetValid,
    CertWrongName,
    CertUnknownIssuer,
    CertInvalid(String),
    Tls(String),
    Protocol(String),
    /// The kernel does not let us ping.
    PingForbidden,
    /// This program cannot be started, and why.
    Program(String),
    /// EAGAIN or ENOMEM where a process was to be started.
    NoProcess,
    /// Nothing listens for heartbeats.
    Deaf,
}
