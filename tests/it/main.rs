//! One integration binary: the core by scenarios and simulation, the daemon by real sockets.
#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside it")]
#![cfg_attr(
    feature = "edge",
    expect(clippy::disallowed_methods, reason = "tests watch the real clock; the core does not")
)]

#[cfg(feature = "edge")]
#[path = "../support/mod.rs"]
mod support; // starting the daemon, asking it, waiting for it

#[cfg(feature = "edge")]
mod alerts; //        webhooks: signed, in order, once
mod allocations; //   none, whatever is asked
#[cfg(feature = "edge")]
mod cli; //           every verb, as a person types it
#[cfg(feature = "edge")]
mod cli_render; //    what the command line shows, as golden text
mod config_errors; // broken configurations and what is said about them
mod config_good; //   configurations and what they mean
mod corpus; //        inputs that a fuzzer found, replayed
#[cfg(feature = "edge")]
mod daemon; //        the daemon on real sockets
mod docs; //          what the documents promise
#[cfg(feature = "edge")]
mod flips; //         ten thousand turns at once
mod oracle; //        what must hold of any input; shared with tests/fuzz
#[cfg(feature = "edge")]
mod replay; //        a recorded incident, decided again
mod rfc; //           the protocol, one file per RFC, tests named by section
mod scenarios; //     stories an operator can read
mod simulation; //    seeded worlds against a shadow model
#[cfg(feature = "edge")]
mod storage; //       what survives a crash
mod tidy; //          the shape of the project
#[cfg(feature = "edge")]
mod ways; //          the ways to ask, by the daemon
mod wire; //          a slow reader of messages
mod zone_errors; //   broken zone files and what is said about them
