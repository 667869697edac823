//! What black-box tests share: the daemon as a child process, toy and real origins, a raw DNS client, and waiting for a
//! condition with a deadline. Nothing here sleeps and hopes.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod daemon; //   failoverd itself, as a child
pub(crate) mod dns; //      one question, one answer, no resolver in between
pub(crate) mod origin; //   HTTP origins made of threads
pub(crate) mod resolver; // a resolver that can be told to fall silent
pub(crate) mod tcp; //      clients over TCP

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `condition` gives something, and says how long that took.
///
/// # Panics
/// When `within` has passed: with `what` was waited for.
pub(crate) fn wait<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> (T, Duration) {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return (found, began.elapsed());
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(LOOK);
    }
}

/// Looks for the whole of `span`, and fails as soon as `condition` does not hold.
pub(crate) fn hold<E: std::fmt::Display>(what: &str, span: Duration, mut condition: impl FnMut() -> Result<(), E>) {
    let began = Instant::now();
    while began.elapsed() < span {
        if let Err(why) = condition() {
            panic!("{what}: {why}, after {:?}", began.elapsed());
        }
        std::thread::sleep(LOOK);
    }
}

/// A port of 127.0.0.1 that is free for both UDP and TCP. Ports below the ephemeral range, so that no outgoing
/// connection of another test takes it in between.
pub(crate) fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..10_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(37));
        let port = 10_000 + u16::try_from(step % 20_000).expect("below 20,000");
        let is_free = UdpSocket::bind(("0.0.0.0", port)).is_ok() && TcpListener::bind(("0.0.0.0", port)).is_ok();
        if is_free {
            return port;
        }
    }
    panic!("no free port");
}

/// `full` counts where asked for (`tests/run full`), one round otherwise.
pub(crate) fn rounds(round: usize, full: usize) -> usize {
    if std::env::var("FAILOVERD_PROOF").is_ok_and(|mode| mode == "full") { full } else { round }
}

/// The path of a tool of Debian's.
///
/// # Panics
/// With the line that installs it: a missing tool is a failure, never a skip.
pub(crate) fn tool(command: &str, package: &str) -> std::path::PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"];
    let found = folders.iter().map(|folder| std::path::Path::new(folder).join(command)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("`{command}` is missing; install it with: sudo apt-get install {package}"))
}

/// Draws numbers from a seed, so that a failing run can be repeated: its seed is printed.
pub(crate) struct Draw(u64);

impl Draw {
    /// From `FAILOVERD_SEED`, or the clock.
    pub(crate) fn new() -> Self {
        let given = std::env::var("FAILOVERD_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            u64::try_from(since.as_nanos() & u128::from(u64::MAX)).expect("masked")
        });
        println!("FAILOVERD_SEED={seed}");
        Self(seed)
    }

    /// Evenly from `0..below` (splitmix64).
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}
