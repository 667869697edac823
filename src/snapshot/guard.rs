//! Never empty, never backwards: a snapshot that breaks these rules is refused, and the refusal is an event.
//!
//! An outage of 2025 began with a stale plan written over a newer one and ended with an empty name. Here neither can
//! be published, whatever the stages before believe.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dns::Type;
use crate::snapshot::steered::TYPES;
use crate::snapshot::{Snapshot, ZoneVersion, Zones};

/// Why a snapshot was not published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "refused")]
pub enum Refused {
    /// The generation, or the serial of a zone whose content differs, is not above the published one.
    Backwards { what: String },
    /// A steered name that gave replies would have no data.
    EmptyName { name: String },
    /// A zone would have no SOA or no NS at its apex.
    BrokenApex { zone: String },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards { what } => write!(f, "{what} would go backwards"),
            Self::EmptyName { name } => write!(f, "{name} would have no data"),
            Self::BrokenApex { zone } => write!(f, "{zone} would lose its SOA or NS"),
        }
    }
}

/// Checks `next` against the `published` snapshot. Costs what changed: a zone or name shared by both is not looked at.
///
/// # Errors
/// The first rule broken.
pub fn guard(published: Option<&Snapshot>, next: &Snapshot) -> Result<(), Refused> {
    if published.is_some_and(|before| next.generation <= before.generation) {
        return Err(Refused::Backwards { what: "the generation".into() });
    }
    let (none, mut reshaped) = (Zones::default(), false);
    for (zone, before) in next.zones.unshared(published.map_or(&none, |before| &before.zones)) {
        apex_is_whole(zone)?;
        reshaped |= before.is_none_or(|before| !zone.table.is_same_but_apart(&before.table));
        if let Some(before) = before
            && zone.serial != before.serial
            // Its serial is the signer's: what the file says is all that can be served.
            && !zone.table.is_signed()
            && zone.serial.partial_cmp(&before.serial) != Some(std::cmp::Ordering::Greater)
        {
            return Err(Refused::Backwards { what: format!("the serial of {}", zone.apex) });
        }
    }
    for (_, name) in next.status.steers.unshared(published.map(|before| &before.status.steers)) {
        if name.decision.is_none() {
            continue;
        }
        let owner = name.steer.name.as_wire();
        let held = next.zones.find(owner).and_then(|(zone, front)| match name.spot {
            // That a query for the name leads there was seen when the shards were made.
            Some(spot) if !reshaped => zone.table.at_spot(spot).filter(|node| {
                let (relative, wanted) = (node.relative(), &owner[..front]);
                relative == wanted || relative.eq_ignore_ascii_case(wanted)
            }),
            _ => zone.table.get(&name.steer.name),
        });
        if !held.is_some_and(|node| TYPES.into_iter().any(|rtype| node.records(rtype).is_some())) {
            return Err(Refused::EmptyName { name: name.steer.name.to_string() });
        }
    }
    Ok(())
}

fn apex_is_whole(zone: &ZoneVersion) -> Result<(), Refused> {
    let apex = zone.table.get(&zone.apex);
    if apex.is_some_and(|node| node.records(Type::SOA).is_some() && node.records(Type::NS).is_some()) {
        Ok(())
    } else {
        Err(Refused::BrokenApex { zone: zone.apex.to_string() })
    }
}
