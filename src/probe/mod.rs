//! Saw: what to ask and when, what is expected, what came back.
//!
//! The edge does the asking and reports [`Facts`]; what they mean is decided here.

pub mod judge; //    facts of one probe to its outcome
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
use crate::dns::Name;
use crate::time::Moment;

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
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Hostname(name) => f.write_str(&name.to_host()),
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
    /// Not HTTP.
    Protocol(String),
    /// An expectation did not hold: the expression, and what was seen.
    Unexpected {
        expression: String,
        seen: String,
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
            Self::Unexpected { .. } => "unexpected",
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
            Self::Protocol(why) => write!(f, "not a valid HTTP response: {why}"),
            Self::Unexpected { expression, seen } => write!(f, "expected {expression}, saw {seen}"),
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
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first byte",
            Self::Body => "body",
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
}

impl Phases {
    /// The sum of those that were reached.
    pub fn total(&self) -> Duration {
        [self.resolve, self.connect, self.tls, self.first_byte, self.body].into_iter().flatten().sum()
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
    /// The first 64 KiB of the body.
    pub body: Vec<u8>,
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
}
