//! What must hold of any input, one function per fuzz target: bytes in, a panic if a rule is broken.
//!
//! Fuzzing (tests/fuzz) and plain tests share this. Nothing here uses the engine's own readers to judge the engine.

pub mod answer; //  any bytes against several zones
pub mod asked; //   a slow reader of queries
pub mod config; //  configurations
pub mod input; //   bytes as choices
pub mod master; //  zone files
pub mod message; // the message reader
pub mod model; //   RFC 1034 §4.3.2 written down slowly
pub mod query; //   queries made from choices
pub mod rdata; //   RDATA between text and wire
pub mod reply; //   a slow reader of replies
pub mod signed; //  signatures and proofs
pub mod stream; //  TCP framing
pub mod world; //   zones as the model and as the engine have them

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every fuzz target.
pub const TARGETS: [Target; 6] = [
    ("answer", answer::any_bytes),
    ("config", config::any_text),
    ("master", master::any_file),
    ("message", message::any_bytes),
    ("rdata", rdata::any_bytes),
    ("stream", stream::any_bytes),
];
