//! What is recorded: turns, orders and what else tells the past. The storage keeps entries in order; `events`, alerts
//! and the replies to orders are told from what is committed.
//!
//! When an origin takes ten thousand names with it, so many entries say nearly the same: they share what they can.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Beyond, Place};
use crate::decision::Reason;
pub use crate::decision::Served;
use crate::decision::order::{Order, OrderId};
use crate::decision::velocity::Limit;
use crate::dns::Name;
use crate::dns::Serial;
use crate::ready::{Finding, Ready};
use crate::snapshot::{Generation, Refused};
use crate::time::Wall;
use crate::verdict::Grade;

/// One line of the past.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1, without gaps.
    pub sequence: u64,
    pub at: Wall,
    /// The node's name.
    pub node: Arc<str>,
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum What {
    /// The daemon began to serve.
    Started {
        version: String,
        generation: Generation,
    },
    /// The daemon stopped in order.
    Stopped,
    /// A change of decision.
    Turned(Box<Turn>),
    /// A verdict changed its class, or is degraded, or no more so.
    Verdict {
        origin: Arc<str>,
        target: Arc<str>,
        host: Arc<str>,
        from: Grade,
        to: Grade,
        why: Option<Arc<str>>,
    },
    Ordered(Order),
    /// An order ended: released by someone, run out, or its target vanished by reload.
    OrderEnded {
        order: Order,
        by: Ending,
    },
    FailbackApproved {
        name: Name,
        actor: String,
    },
    /// Automation wants to move more names than the velocity limit lets it; so many of them wait.
    LimitReached {
        limit: LimitTold,
        waiting: usize,
    },
    /// No name waits for the velocity limit any more.
    LimitCleared {
        seconds: u64,
    },
    /// A person let names move that waited for the velocity limit.
    MovesApproved(Box<Approved>),
    Reloaded {
        actor: Option<String>,
        warnings: Vec<String>,
    },
    ReloadRefused {
        errors: String,
    },
    DoubtBegan {
        evidence: String,
    },
    DoubtEnded {
        seconds: u64,
    },
    SnapshotRefused(Refused),
    /// An origin that is not served became more or less ready.
    Rehearsed(Box<Rehearsed>),
}

/// How ready an origin is for the names it does not serve, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rehearsed {
    pub origin: String,
    /// SNI and Host it was asked with; empty for a check that names none.
    pub host: String,
    /// Its rung on the ladder of the first name.
    pub place: Option<Place>,
    /// The first few names that would get it.
    pub names: Vec<Name>,
    /// How many more there are.
    pub others: usize,
    pub from: Ready,
    pub to: Ready,
    /// The worst first; none when it is ready again.
    pub findings: Vec<Finding>,
}

/// The velocity limit that was in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitTold {
    pub names: usize,
    pub per_ms: u64,
    /// Those that wait need a person; else longer confirmation and room.
    pub person: bool,
}

impl From<Limit> for LimitTold {
    fn from(Limit { names, per, beyond }: Limit) -> Self {
        let per_ms = u64::try_from(per.as_millis()).unwrap_or(u64::MAX);
        Self { names, per_ms, person: beyond == Beyond::Person }
    }
}

/// Names that a person let move.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approved {
    /// The first few.
    pub names: Vec<Name>,
    /// How many more there are.
    pub others: usize,
    pub actor: String,
}

/// How an order ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Released {
        actor: String,
    },
    Expired,
    /// Another order on the same target took its place.
    Replaced {
        by: OrderId,
    },
    /// Its name, rung or origin is no more in the configuration.
    Vanished,
}

/// A change of decision, with its evidence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub name: Name,
    pub zone: Name,
    /// Where it was served before; `None` for the first decision.
    pub from: Option<Arc<Served>>,
    pub to: Arc<Served>,
    pub reason: Reason,
    /// What the probes saw, in words: one line per origin concerned.
    pub evidence: Arc<[String]>,
    pub generation: Generation,
    pub serial: Serial,
    /// TTL in seconds of the new answer.
    pub ttl: u32,
    /// How long the stages took.
    pub stages: Stages,
}

/// Time per stage of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stages {
    /// From the start of the first failing probe to the verdict, in milliseconds; `None` where no probe made the turn.
    pub confirm_ms: Option<u64>,
    /// From the event to the snapshot being served, in microseconds.
    #[serde(default)]
    pub publish_us: u64,
}
