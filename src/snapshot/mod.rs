//! Version: zones and decisions as one immutable value.
//!
//! A [`Snapshot`] is a small root of shared parts. The next one is made from it by replacing what changed; all else
//! is shared. What the admin API shows and what DNS serves is the same value.

pub mod guard; //   never empty, never backwards
pub mod parts; //   a persistent vector of shared parts
pub mod status; //  what people are shown
pub mod steered; // a decision as RRsets
pub mod zones; //   the zones of a snapshot, found by apex

pub use guard::{Refused, guard};
pub use parts::Parts;
pub use zones::{ZoneVersion, Zones};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Answering;

/// Number of a snapshot; only moves forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// All that is served and shown, at one generation.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    pub generation: Generation,
    pub zones: Zones,
    pub status: status::Status,
    /// How queries are answered, beside what the zones say.
    pub answering: Arc<Answering>,
}
