//! `[server.tcp]`: how many connections there may be, and how long each may take.

use std::time::Duration;

use super::bounds::section;
use super::spec::Block;
use super::value::{Reading, preset_integer, preset_span};

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

/// `[server.tcp]`.
pub(crate) fn read(reading: &mut Reading<'_>, block: Option<&Block<'_>>) -> Streams {
    let mut streams = Streams::default();
    let Some(fields) = block.map(|block| reading.open(section("server.tcp"), block.at, block.table)) else {
        return streams;
    };
    for (key, limit) in [("connections", &mut streams.connections), ("per_client", &mut streams.per_client)] {
        if let Some(given) = reading.integer(&fields, key) {
            *limit = usize::try_from(given.value).unwrap_or(usize::MAX);
        }
    }
    for (key, limit) in [("idle", &mut streams.idle), ("receive", &mut streams.receive), ("send", &mut streams.send)] {
        if let Some(given) = reading.span(&fields, key) {
            *limit = given.value;
        }
    }
    if streams.per_client > streams.connections {
        if fields.has("per_client") {
            let what = format!(
                "`per_client` is {}, more than the {} `connections` there are for all",
                streams.per_client, streams.connections
            );
            let problem = reading.found.error(fields.at_of("per_client"), what);
            problem.help(format!("write at most `per_client = {}`", streams.connections));
        }
        streams.per_client = streams.connections;
    }
    streams
}
