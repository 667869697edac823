//! File descriptors: as many as the system lets us have, and how many of them are for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Streams;

/// Descriptors for all else: listeners, probes, the API, files.
const OTHERS: u64 = 1024;

/// How many connections there are descriptors for on each of so many `transports` over TCP (plain, TLS, HTTPS), after
/// the soft limit was raised to the hard one. Tells if they are fewer than configured.
pub(super) fn affordable(streams: &Streams, transports: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let affordable = for_connections(current, transports);
    if affordable < streams.connections {
        tracing::warn!(
            "at most {affordable} TCP connections are held at once{} and not {}: the limit of file descriptors is {}; \
             raise it (systemd: LimitNOFILE=) or lower `connections` of [server.tcp]",
            if transports > 1 { format!(" on each of {transports} transports") } else { String::new() },
            streams.connections,
            current.unwrap_or(u64::MAX),
        );
    }
    affordable
}

/// Of a limit, for each of so many `transports`; `None` is no limit.
fn for_connections(limit: Option<u64>, transports: usize) -> usize {
    let Some(limit) = limit else {
        return usize::MAX;
    };
    usize::try_from(limit - OTHERS.min(limit / 2)).unwrap_or(usize::MAX) / transports.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_need_descriptors_too() {
        for (limit, transports, connections) in [
            (Some(0), 1, 0),
            (Some(256), 1, 128),
            (Some(1024), 1, 512),
            (Some(20_000), 0, 18_976),
            (Some(20_000), 1, 18_976),
            (Some(20_000), 3, 6_325),
            (None, 3, usize::MAX),
        ] {
            assert_eq!(for_connections(limit, transports), connections, "{limit:?} for {transports}");
        }
    }
}
