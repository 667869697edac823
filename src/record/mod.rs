//! The record: all that went into a controller and the turns that came out, compactly; and the same decided again.
//!
//! ```text
//!   Event, Now ──► write ──► chunk ──► segments on the disk ──► chunk ──► read ──► Step ──► replay ──► turns
//!                 (words,   (checksums)   (edge/recorder)                                │
//!                  memory)                                                               └──► another configuration
//! ```
//!
//! A controller is a pure function of the files, of what an earlier run left behind, and of each event with its time. So
//! these are what is recorded, and the same come to the same turns. What is frequent (an observation) is a few numbers
//! beside what was known of its watch before; what is rare is JSON, whose fields have names, so that a later version
//! still reads it.

mod against; //  another configuration, given the same observations
mod bytes; //    numbers and texts
pub mod chunk; // lengths and checksums
mod load; //     a configuration as it was read, and its zones in short
mod memory; //   what writer and reader know of what came before
mod read; //     bytes to steps
pub mod replay; // decides a record again
mod step; //     what is recorded
mod write; //    events to bytes

pub use against::{Comparison, Pair, Sparse};
pub use load::{Load, Short};
pub use read::{Reader, Unreadable};
pub use replay::{Difference, Outcome, Replay, Told};
pub use step::{Began, Happened, Step};
pub use write::{Writer, began};
