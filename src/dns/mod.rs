//! Ground floor: what DNS is made of, and nothing of what we make of it.

pub mod folded; //  a name in lower case, in a place of its own
pub mod message; // header, question and OPT of a query; numbers of the protocol
pub mod name; //    domain names in wire form
pub mod rdata; //   RDATA between text and wire, driven by the schema
pub mod schema; //  one row per RR type: mnemonic and field kinds
pub mod serial; //  SOA serials (RFC 1982)

pub use name::Name;
pub use schema::{Class, Type};
pub use serial::Serial;
