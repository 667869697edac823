//! What people are shown: by `status`, `explain`, the API and metrics. Part of the snapshot, so that it is what DNS
//! serves.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{CheckId, OriginId, Place, Quorum, Steer, SteerId, ZoneId};
use crate::decision::velocity::Limit;
use crate::decision::{Decision, Order, Served};
use crate::dns::{Name, Serial};
use crate::probe::{Target, WatchId};
use crate::ready::{Finding, Ready};
use crate::snapshot::Parts;
use crate::time::{Moment, Now, Wall};
use crate::verdict::{Class, Verdict};
use crate::zone::table::{Spot, hash_folded};

/// Longest [`SteerStatus::explanation`]: it travels in replies over UDP.
pub const EXPLANATION_MAX: usize = 120;

/// The state of everything, at the generation of the snapshot it is in.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// By [`SteerId`].
    pub steers: Parts<SteerStatus>,
    /// Where in `steers` a name is: the hash of its folded wire, in order.
    pub steered: Arc<[(u64, SteerId)]>,
    /// By [`WatchId`].
    pub watches: Parts<WatchStatus>,
    /// In force now.
    pub orders: Arc<Vec<Order>>,
    /// Set while our own sight is in doubt: since when, and the evidence in words.
    pub doubt: Option<Arc<Doubt>>,
    /// Set while names wait for the velocity limit.
    pub waiting: Option<Arc<Waits>>,
}

impl Status {
    /// Where each of these names is, as [`Status::steered`] has it.
    pub fn index<'n>(names: impl Iterator<Item = (&'n Name, SteerId)>) -> Arc<[(u64, SteerId)]> {
        let mut rows: Vec<_> = names.map(|(name, id)| (hash_folded(name.folded().as_wire()), id)).collect();
        rows.sort_unstable();
        rows.into()
    }

    /// [`SteerStatus::explanation`] of the steered name of this folded wire, which has this hash.
    pub fn explanation(&self, name: &[u8], hash: u64) -> Option<&str> {
        let first = self.steered.partition_point(|&(row, _)| row < hash);
        let same = self.steered[first..].iter().take_while(|&&(row, _)| row == hash);
        let mut steers = same.filter_map(|(_, id)| self.steers.get(id.0 as usize));
        let steer = steers.find(|status| status.steer.name.as_wire().eq_ignore_ascii_case(name))?;
        Some(&steer.explanation).filter(|text| !text.is_empty()).map(|text| &**text)
    }
}

/// Why automation is frozen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Doubt {
    pub since: Now,
    pub evidence: String,
}

/// Names that automation would move, if there were room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waits {
    pub names: usize,
    pub limit: Limit,
    /// When the first in line may move; `None` where a person decides.
    pub next: Option<Moment>,
}

/// One steered name.
#[derive(Clone, Debug)]
pub struct SteerStatus {
    pub id: SteerId,
    pub steer: Arc<Steer>,
    pub zone: ZoneId,
    /// Where its node stands in the table of its zone.
    pub spot: Option<Spot>,
    /// What is served; `None` for the first seconds of the first start, while the name gives no reply.
    pub decision: Option<Arc<Decision>>,
    /// Since when this rung is served.
    pub since: Now,
    /// Serial in which the decision was first served.
    pub serial: Serial,
    /// Class of each rung: the best of its origins, drained ones left out.
    pub rungs: Arc<[RungStatus]>,
    /// The last answer before this one, and when the last cache of it expires.
    pub former: Option<Former>,
    /// What is served, since when, and what is wrong with the rungs before it, in a line of at most
    /// [`EXPLANATION_MAX`] bytes; empty without a decision.
    pub explanation: Arc<str>,
}

/// One rung of a steered name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RungStatus {
    pub place: Place,
    /// That of as many of its undrained origins as its quorum asks for.
    pub class: Class,
    pub degraded: bool,
    pub quorum: Quorum,
    /// Per origin of the rung, in its order.
    pub origins: Arc<[OriginStatus]>,
}

/// One origin as one rung sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginStatus {
    pub origin: OriginId,
    pub name: Arc<str>,
    pub class: Class,
    pub degraded: bool,
    pub drained: bool,
    /// Would it serve its visitors? What its watches tell is in their [`WatchStatus::findings`].
    pub ready: Ready,
    /// What was told before anybody was asked.
    pub foreseen: Arc<[Finding]>,
    /// How many of its checks have to pass.
    pub need: usize,
    /// Target by target and check by check.
    pub watches: Arc<[WatchId]>,
}

/// The answer before the present one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Former {
    pub served: Arc<Served>,
    /// When it was last answered.
    pub until: Wall,
    /// When the last honest cache of it expires: `until` plus its TTL.
    pub gone: Wall,
}

/// One watch.
#[derive(Clone, Debug)]
pub struct WatchStatus {
    pub id: WatchId,
    pub origin: OriginId,
    pub origin_name: Arc<str>,
    pub target: Target,
    pub port: u16,
    pub check: CheckId,
    pub check_name: Arc<str>,
    pub host: Arc<str>,
    pub verdict: Verdict,
    /// Not probed for three intervals: the class is kept, and this says so.
    pub stale: bool,
    /// Our host has no route to its family: it follows the other one.
    pub unseen: bool,
    /// The rule by which it is degraded, as it stands in the file.
    pub degraded: Option<Arc<str>>,
    /// What visitors would meet with.
    pub findings: Arc<[Finding]>,
}
