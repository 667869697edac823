//! File descriptors: as many as the system lets us have, and how many of them are for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Streams;
use crate::probe::tripwire::MOST;

/// Descriptors for all else: listeners, the API, files.
const OTHERS: u64 = 512;
/// Connections of probes open at once where descriptors are few: half of the 1,024 a process may have by default. At a
/// timeout of 2 s they still start 256 probes a second of origins that swallow every packet.
pub(super) const PROBES_MIN: usize = 512;
/// Where there are enough. In the worst case each holds the buffers of a TLS session, some 30 kB.
const PROBES_MAX: usize = 4096;
/// Probes get this part of the descriptors, within these bounds; tripwires as much, if they need it.
const PROBES_SHARE: u64 = 16;

/// How many connections of probes may be open at once.
pub(super) fn probes() -> usize {
    for_probes(getrlimit(Resource::Nofile).current)
}

/// How many tripwires may be held.
pub(super) fn wires() -> usize {
    for_wires(getrlimit(Resource::Nofile).current)
}

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
    let others = OTHERS + (for_probes(Some(limit)) + for_wires(Some(limit))) as u64;
    usize::try_from(limit - others.min(limit / 2)).unwrap_or(usize::MAX) / transports.max(1)
}

/// Of a limit; `None` is no limit.
fn for_probes(limit: Option<u64>) -> usize {
    let share = limit.map_or(PROBES_MAX, |limit| usize::try_from(limit / PROBES_SHARE).unwrap_or(usize::MAX));
    share.clamp(PROBES_MIN, PROBES_MAX)
}

fn for_wires(limit: Option<u64>) -> usize {
    limit.map_or(MOST, |limit| usize::try_from(limit / PROBES_SHARE).unwrap_or(MOST).min(MOST))
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
            (Some(20_000), 0, 17_214),
            (Some(20_000), 1, 17_214),
            (Some(20_000), 3, 5_738),
            (None, 3, usize::MAX),
        ] {
            assert_eq!(for_connections(limit, transports), connections, "{limit:?} for {transports}");
        }
    }
    #[test]
    fn probes_get_their_part() {
        for (limit, probes) in
            [(Some(0), 512), (Some(1024), 512), (Some(20_000), 1250), (Some(1 << 20), 4096), (None, 4096)]
        {
            assert_eq!(for_probes(limit), probes, "{limit:?}");
        }
    }
}
