//! File descriptors: as many as the system lets us have, and how many of them are for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Streams;

/// Descriptors for all else: listeners, probes, the API, files.
const OTHERS: u64 = 1024;

/// How many connections there are descriptors for, after the soft limit was raised to the hard one. Tells if they are
/// fewer than configured.
pub(super) fn affordable(streams: &Streams) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let affordable = for_connections(current);
    if affordable < streams.connections {
        tracing::warn!(
            "at most {affordable} TCP connections are held at once and not {}: the limit of file descriptors is {}; \
             raise it (systemd: LimitNOFILE=) or lower `connections` of [server.tcp]",
            streams.connections,
            current.unwrap_or(u64::MAX),
        );
    }
    affordable
}

/// Of a limit; `None` is no limit.
fn for_connections(limit: Option<u64>) -> usize {
    let Some(limit) = limit else {
        return usize::MAX;
    };
    usize::try_from(limit - OTHERS.min(limit / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_need_descriptors_too() {
        for (limit, connections) in
            [(Some(0), 0), (Some(256), 128), (Some(1024), 512), (Some(20_000), 18_976), (None, usize::MAX)]
        {
            assert_eq!(for_connections(limit), connections, "{limit:?}");
        }
    }
}
