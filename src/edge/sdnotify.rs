//! Words to the service manager, as sd_notify(3) has them. Without `NOTIFY_SOCKET` nothing is said.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::time::Moment;

/// The service manager's ear.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// A third of what the watchdog waits: late by as much again, it is still well in time.
    alive_every: Option<Duration>,
    last_alive: Moment,
    last_status: String,
}

impl Notifier {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(path) => Self::to(path.as_bytes(), watchdog.map(Duration::from_micros)),
            None => Self::default(),
        }
    }

    /// To this socket, a path or `@` and an abstract name; `watchdog` is how long it waits for a sign of life.
    fn to(path: &[u8], watchdog: Option<Duration>) -> Self {
        let address = match path {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            path => SocketAddr::from_pathname(OsStr::from_bytes(path)),
        };
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // The control loop never waits, not even for the service manager.
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        Self { socket: socket.ok(), alive_every: watchdog.map(|wait| wait / 3), ..Self::default() }
    }

    /// The sockets are bound and the first snapshot is served.
    pub fn ready(&mut self) {
        self.say("READY=1");
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub fn reloading(&mut self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    pub fn stopping(&mut self) {
        self.say("STOPPING=1");
    }

    /// Is there a service manager that listens?
    pub fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    /// One line for `systemctl status`, said when it changes.
    pub fn status(&mut self, line: &str) {
        if self.last_status != line {
            line.clone_into(&mut self.last_status);
            self.say(&format!("STATUS={line}"));
        }
    }

    /// The control loop goes round: said as often as the watchdog wants to hear it.
    pub fn alive(&mut self, now: Moment) {
        if self.alive_every.is_some_and(|every| now.since(self.last_alive) >= every) {
            self.last_alive = now;
            self.say("WATCHDOG=1");
        }
    }

    /// How soon [`Notifier::alive`] is to be called.
    pub fn alive_in(&self, now: Moment) -> Option<Duration> {
        self.alive_every.map(|every| every.saturating_sub(now.since(self.last_alive)))
    }

    fn say(&self, words: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(words.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_each_word_and_signs_of_life_no_more_often_than_it_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("set");
        let heard = || {
            let mut words = [0; 200];
            let length = manager.recv(&mut words).ok()?;
            Some(String::from_utf8_lossy(&words[..length]).into_owned())
        };
        let mut notifier = Notifier::to(path.as_os_str().as_bytes(), Some(Duration::from_secs(10)));
        notifier.ready();
        notifier.status("all is well");
        notifier.status("all is well");
        let start = Moment::from_boot(Duration::from_secs(1000));
        for second in 0..12 {
            notifier.alive(start + Duration::from_secs(second));
        }
        // Said at 8 s; the next is due a third of 10 s later, whenever that is asked.
        let due = |tenths: u64| notifier.alive_in(start + Duration::from_millis(100 * tenths));
        assert_eq!(due(80), Some(Duration::from_secs(10) / 3));
        assert_eq!(due(110), Some(Duration::from_secs(10) / 3 - Duration::from_secs(3)));
        assert_eq!(due(120), Some(Duration::ZERO));
        notifier.reloading();
        notifier.stopping();
        let words = ["READY=1", "STATUS=all is well", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"];
        for word in words {
            assert_eq!(heard().as_deref(), Some(word));
        }
        assert!(heard().is_some_and(|word| word.starts_with("RELOADING=1\nMONOTONIC_USEC=")));
        assert_eq!((heard().as_deref(), heard()), (Some("STOPPING=1"), None));
        // Nobody listening is no trouble.
        drop(manager);
        notifier.ready();
        Notifier::default().ready();
    }
}
