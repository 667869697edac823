//! What is recorded, one step after the other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::control::carried::Carried;
use crate::control::journal::Turn;
use crate::control::{Asked, Event, Marks, ResolveFault, Resolved};
use crate::dns::Name;
use crate::probe::{Call, Observation};
use crate::record::Load;
use crate::time::{Moment, Now, Wall};

/// One thing that went into a controller, or came out of it. Nearly all of them are observations, so those need no box.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// The beginning of a segment.
    Began(Box<Began>),
    Happened(Happened, Now),
    /// What had happened was published at `now`; `served` if that was news.
    Published {
        now: Now,
        served: Option<Now>,
    },
    /// A turn of the publication before.
    Turned {
        at: Wall,
        turn: Box<Turn>,
    },
    Started {
        version: String,
        now: Now,
    },
    Stopped {
        now: Now,
    },
}

/// Where a controller stood when a segment began: at its start, or in the middle of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Began {
    /// Tells one run of the daemon from another.
    pub run: u64,
    /// Segments of a run are numbered from 0. The first is that of its start, unless the record began later.
    pub part: u64,
    /// So many events before it are not in the record.
    pub missing: u64,
    pub now: Now,
    pub load: Arc<Load>,
    pub carried: Carried,
}

/// An [`Event`] as it is recorded: without what is only for the one who waits for a reply.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Happened {
    Observed(Observation),
    Called(Call),
    Canary { started: Moment, passed: bool },
    Resolved { hostname: Name, outcome: Result<Resolved, ResolveFault> },
    Asked { actor: String, asked: Asked },
    Reloaded { actor: Option<String>, load: Arc<Load>, force: bool },
    ReloadRefused { errors: String },
    Committed { sequence: u64 },
    Storage { trouble: Option<String> },
    Reserved { marks: Marks },
    Elapsed,
}

impl Happened {
    /// What of an event is recorded.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Observed(seen) => Self::Observed(seen.clone()),
            Event::Called(call) => Self::Called(call.clone()),
            Event::Canary { started, passed } => Self::Canary { started: *started, passed: *passed },
            Event::Resolved { hostname, outcome } => {
                Self::Resolved { hostname: hostname.clone(), outcome: outcome.clone() }
            }
            Event::Asked { ticket: _, actor, asked } => Self::Asked { actor: actor.clone(), asked: asked.clone() },
            Event::Reloaded { ticket: _, actor, loaded, force } => {
                Self::Reloaded { actor: actor.clone(), load: Arc::new(Load::of(loaded)), force: *force }
            }
            Event::ReloadRefused { ticket: _, errors } => Self::ReloadRefused { errors: errors.clone() },
            Event::Committed { sequence } => Self::Committed { sequence: *sequence },
            Event::Storage { trouble } => Self::Storage { trouble: trouble.clone() },
            Event::Reserved { marks } => Self::Reserved { marks: marks.clone() },
            // A question moves nothing, and the end of a wire is only a reason to ask; what was seen then is recorded. That
            // time has passed counts.
            Event::Inspect { ticket: _ } | Event::Wire(_) | Event::Elapsed => Self::Elapsed,
        }
    }
}
