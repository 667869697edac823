//! What an operator asked for. An order never overwrites what the probes saw; both are shown.

use serde::{Deserialize, Serialize};

use crate::config::Place;
use crate::dns::Name;
use crate::time::Wall;

/// Number of an order, unique within a node's state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub u64);

/// An order in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    pub id: OrderId,
    pub what: What,
    /// Who gave it: the name of the token used.
    pub actor: String,
    pub reason: String,
    pub given: Wall,
    /// `None` is until released.
    pub until: Option<Wall>,
}

/// What an order asks for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Serve this rung of this steered name.
    Hold { name: Name, place: Place },
    /// Serve this origin nowhere.
    Drain { origin: String },
}
