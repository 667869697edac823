//! Serve: verdicts and orders to a decision, one total function per steered name.
//!
//! [`ladder`] draws the table and chooses rung and origins; [`doubt`] tells when automation has to keep still,
//! [`velocity`] how many names it may move at once.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::{OriginId, Place};
use crate::dns::Name;
use crate::time::Wall;

pub mod doubt; //  is our own sight in doubt?
pub mod ladder; // which rung and origins to serve
pub mod order; //  what an operator asked for
pub mod velocity; // how many names may move at once

pub use doubt::Sight;
pub use ladder::{Choice, OriginView, RungView, Standing, Why, decide};
pub use order::Order;
pub use velocity::Velocity;

#[cfg(test)]
mod scenarios;

/// What is served for a steered name, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Index into the steered name's rungs.
    pub rung: usize,
    pub place: Place,
    /// The origins served: those of the rung that are not left out. Never empty.
    pub origins: Vec<OriginId>,
    /// What the answer holds. Never empty.
    pub data: Data,
    /// TTL of the answer in seconds.
    pub ttl: u32,
    pub reason: Reason,
}

/// What an answer of a steered name holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    Cname(Name),
    /// IPv4 first, each family in the order of the configuration.
    Addresses(Vec<IpAddr>),
}

/// What is served for a name, told by names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Served {
    pub place: Place,
    pub origins: Vec<String>,
    pub data: Data,
}

/// Why a decision is as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Reason {
    /// The first rung, and it is usable.
    Preferred,
    /// Nothing is known yet: the best guess by the ladder.
    Unproven,
    /// No rung before it is up.
    FailedOver,
    /// A better rung is up again; failback waits until then.
    FailbackWaits { until: Wall },
    /// A better rung is up again; failback waits for a person.
    FailbackManual,
    /// Every other rung is dead.
    LastResort,
    /// A rung before it is up, but degraded.
    Degraded,
    /// Every rung is dead; of this one some origins still work, though fewer than its quorum.
    TooFew,
    /// The same, and so few that all of its origins are served rather than the few overrun.
    Panic,
    /// Everything is dead: the last served rung, whole.
    AllDead,
    /// An order holds the name here.
    Held { actor: String, reason: String, until: Option<Wall> },
    /// Our own sight is in doubt: the last good decision is kept.
    Doubt,
    /// Restored from the journal at start; not yet confirmed by probes.
    Restored,
    /// Automation wants another rung since then, and waits for the velocity limit.
    Waits { to: Place, since: Wall },
}
