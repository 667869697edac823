//! How queries are answered, beside what the zones say: part of every snapshot, so that a query sees one state of it.

use std::time::Duration;

use super::bounds::section;
use super::value::{preset_integer, preset_span};

/// What `[server]` and its tables say of answering.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Answering {
    pub streams: Streams,
}

/// `[server.tcp]`: connections, of all transports that have them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Streams {
    /// Open at once.
    pub connections: usize,
    /// Of one client: an IPv4 address or an IPv6 /56.
    pub per_client: usize,
    /// Without a query or an answer under way. What edns-tcp-keepalive tells clients (RFC 7828).
    pub idle: Duration,
    /// From the first byte of a query to its last.
    pub receive: Duration,
    /// Until answers are taken that are ready.
    pub send: Duration,
}

/// As in the table of bounds.
impl Default for Streams {
    fn default() -> Self {
        let of = section("server.tcp");
        let count = |key| usize::try_from(preset_integer(of, key)).unwrap_or(usize::MAX);
        Self {
            connections: count("connections"),
            per_client: count("per_client"),
            idle: preset_span(of, "idle"),
            receive: preset_span(of, "receive"),
            send: preset_span(of, "send"),
        }
    }
}
