//! What can happen, what the world is to do about it, and what people are told.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Config, FileText, Place};
use crate::control::journal::Entry;
use crate::decision::Order;
use crate::decision::order::What;
use crate::dns::Name;
use crate::dns::Serial;
use crate::probe::{Call, Observation, Request, WatchId, tripwire};
use crate::snapshot::{Generation, Refused};
use crate::time::{Moment, Wall};
use crate::verdict::Verdict;
use crate::zone::load::Zone;

/// Names one question to the controller, so that its reply finds the way back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// All that can happen.
#[derive(Debug)]
pub enum Event {
    /// A probe came back.
    Observed(Observation),
    /// Something became of a tripwire.
    Wire(tripwire::News),
    /// An origin that calls us has called.
    Called(Call),
    /// The canary came back: did the resolvers answer?
    Canary { started: Moment, passed: bool },
    /// A host name served flattened was resolved; `Err` keeps the last good addresses.
    Resolved { hostname: Name, outcome: Result<Resolved, ResolveFault> },
    /// A person asks for something.
    Asked { ticket: Ticket, actor: String, asked: Asked },
    /// A reload was built by the edge: config and zone tables, of the same files.
    Reloaded { ticket: Option<Ticket>, actor: Option<String>, loaded: Box<Loaded>, force: bool },
    /// A reload was refused before it came here; nothing changed. Journaled.
    ReloadRefused { ticket: Option<Ticket>, errors: String },
    /// All entries up to this sequence number are durable.
    Committed { sequence: u64 },
    /// Storage cannot commit (the reason in words), or can again (`None`).
    Storage { trouble: Option<String> },
    /// Serials and generations up to these marks are durably reserved.
    Reserved { marks: Marks },
    /// Figures that no snapshot holds are wanted: last observation and next probe of each watch.
    Inspect { ticket: Ticket },
    /// The next deadline has come.
    Elapsed,
}

/// A host name's addresses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resolved {
    pub addresses: Vec<IpAddr>,
    pub ttl: Duration,
}

/// Why a host name has no addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ResolveFault {
    /// NXDOMAIN or NODATA.
    Gone,
    /// The resolvers did not answer.
    Unanswered,
}

/// A configuration with its zones, both checked, from one reading of the files.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Arc<Config>,
    /// By [`ZoneId`]: the static table, steered names not in it, and the file's serial.
    pub zones: Vec<Zone>,
    /// Warnings of the zone files and the configuration, in words.
    pub warnings: Vec<String>,
    /// The files of the configuration without their secrets, for the record.
    pub files: Arc<[FileText]>,
}

/// What a person may ask of the controller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Asked {
    /// Hold a name on a rung, or drain an origin.
    Order { what: What, span: Span, reason: String, force: bool },
    /// End the order on this name or origin.
    Release(Released),
    /// Approve a failback that waits.
    Failback { name: Name },
    /// Let a name move that waits for the velocity limit; all of them without a name.
    Approve { name: Option<Name> },
}

/// What an order is released from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Released {
    Name(Name),
    Origin(String),
}

/// How long an order lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Span {
    For(Duration),
    UntilReleased,
}

/// What the world is to do.
#[derive(Debug, Default)]
pub struct Effects {
    /// Probes to start now.
    pub probes: Vec<Request>,
    /// Tripwires to open and to let go of, in this order.
    pub wires: Vec<tripwire::Order>,
    /// Ask the canary now.
    pub canary: bool,
    /// Host names to resolve now.
    pub resolve: Vec<Name>,
    /// For the journal, in this order; numbered.
    pub record: Vec<Entry>,
    /// Marks to reserve durably before more serials are served.
    pub reserve: Option<Marks>,
    pub replies: Vec<(Ticket, Reply)>,
    /// A snapshot the guard refused.
    pub refused: Vec<Refused>,
}

/// Upper bounds of what may be served before the next reservation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Marks {
    pub generation: Generation,
    /// By zone apex, folded.
    pub serials: Vec<(Name, Serial)>,
}

/// An answer to a person.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// Done; in force from this generation on, journaled as this entry.
    Done {
        generation: Generation,
        sequence: u64,
        said: String,
    },
    /// Not done, and why; what would be right.
    Denied {
        why: String,
    },
    Figures(Box<Figures>),
}

/// What no snapshot holds, because it changes with every probe.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub watches: Vec<WatchFigures>,
    /// Last sequence number made, and last one known durable.
    pub recorded: u64,
    pub committed: u64,
    /// Trouble of the storage, in words.
    pub storage: Option<String>,
    /// How many more names automation may move now; `None` without a velocity limit.
    pub room: Option<usize>,
}

/// The figures of one watch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WatchFigures {
    pub watch: WatchId,
    /// With its counters as of now; the snapshot's is as of the last change of class.
    pub verdict: Verdict,
    pub last: Option<Observation>,
    /// The last few outcomes, oldest first: `+` passed, `-` failed, `?` inconclusive.
    pub recent: String,
    pub next: Option<Moment>,
    pub probes: u64,
    pub failures: u64,
    /// Probes by the label of their outcome, sorted: `passed`, a cause's, a local fault's.
    pub outcomes: Vec<(String, u64)>,
}

/// What an earlier run left behind.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Restored {
    pub marks: Marks,
    /// Last committed decision per steered name.
    pub decisions: Vec<RestoredDecision>,
    pub orders: Vec<Order>,
    pub next_sequence: u64,
    pub next_order: u64,
    /// Serial and content digest per zone, set only by a clean shutdown: the serial may be served again.
    pub clean: Vec<(Name, Serial, u64)>,
}

/// A decision as the journal has it: by name, so that a changed configuration still finds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestoredDecision {
    pub name: Name,
    pub place: Place,
    pub origins: Vec<String>,
    pub at: Wall,
}
