//! The only place that reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::time::{Moment, Now, Wall};

/// Both clocks.
pub fn now() -> Now {
    Now { moment: moment(), wall: wall() }
}

/// The monotonic clock. It counts a virtual machine's suspend, so an hour asleep is an hour without probes.
pub fn moment() -> Moment {
    let at = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(at.tv_nsec).unwrap_or(0);
    Moment::from_boot(Duration::new(seconds, nanoseconds))
}

/// The calendar, as far as the system's idea of it is right.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
pub fn wall() -> Wall {
    let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    };
    Wall::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let mut last = moment();
        for _ in 0..10_000 {
            let next = moment();
            assert!(next >= last);
            last = next;
        }
        assert!(last.since_boot() > Duration::ZERO);
    }

    #[test]
    fn the_wall_clock_is_the_calendar() {
        let printed = now().wall.to_string();
        assert!(printed.starts_with("20") && printed.ends_with('Z'), "{printed}");
    }
}
