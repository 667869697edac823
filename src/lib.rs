//! failoverd: an authoritative DNS nameserver whose answers follow the health of the origins behind a name.
//!
//! ```text
//!  zones/*.zone, failoverd.toml                                  resolver
//!         │ files                                        query │      ▲ response
//!         ▼                                                    ▼      │
//!      config ──► probe ──► verdict ──► decision ──► snapshot ──► answer
//!       (what)    (saw)     (means)     (serve)      (version)    (lookup)
//!                  ▲  Observation    ▲ Order              │
//!                  └─ edge/prober    └─ edge/admin        └─► edge/admin and metrics read the same snapshot
//! ```
//!
//! Data runs one way. What may be answered was decided when the world changed; a query only picks one of the
//! prepared variants. Everything outside `edge` and `cli` is pure: no socket, file, clock, task, lock, global or
//! randomness.

pub mod answer; //   lookup: bytes and a snapshot in, bytes out
pub mod config; //   what: the file, cross-checked into typed values
pub mod control; //  the switchboard: Controller::handle(Event, Now) -> Effects
pub mod decision; // serve: verdicts and orders to a decision, one total function
pub mod dns; //      ground floor: wire names, the RDATA schema table, message reader and writer
pub mod probe; //    saw: what to ask and when, what is expected, what came back
pub mod ready; //    ready: would a standby serve its visitors if it had to?
pub mod record; //   all that happened, compactly; and decided again
pub mod snapshot; // version: zones and decisions as one immutable value
pub mod time; //     the only time the core knows
pub mod verdict; //  means: observations to verdicts, one machine per watch
pub mod zone; //     master file to checked, wire-ready zone table, and back

#[cfg(feature = "edge")]
pub mod cli; //      one file per verb
#[cfg(feature = "edge")]
pub mod edge; //     the world: sockets, files, clock, signals, storage, HTTP
