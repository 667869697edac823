//! Numbers that only move forward: generations, and one line of serials per zone.
//!
//! Numbers are reserved ahead, durably, before the first of them is served; so whatever a crash forgets, none is
//! served twice. The reservation is renewed when half of it is used.

use crate::dns::Serial;
use crate::snapshot::Generation;

/// Numbers reserved at a time.
pub(crate) const RESERVED: u32 = 1000;

/// The line of serials of one zone.
#[derive(Clone, Debug)]
pub(crate) struct SerialLine {
    /// What the zone's file says.
    file: Serial,
    last: Option<Serial>,
    /// Upper bound an earlier run reserved; numbers up to it may have been served.
    former: Option<Serial>,
    /// Upper bound reserved by this run, durable or asked for.
    reserved: Option<Serial>,
}

impl SerialLine {
    pub(crate) fn new(file: Serial, former: Option<Serial>) -> Self {
        Self { file, last: None, former, reserved: None }
    }

    /// Goes on from the last serial of a clean shutdown, served again with the content it was served with. Nothing of
    /// what was reserved beyond it has been served.
    pub(crate) fn resume(&mut self, last: Serial) {
        (self.last, self.former) = (Some(last), None);
    }

    /// What the zone's file says.
    pub(crate) fn file(&self) -> Serial {
        self.file
    }

    /// A new file: true if it raised the serial above what was served, which is a change of its own.
    pub(crate) fn refile(&mut self, file: Serial) -> bool {
        self.file = file;
        self.last.is_some_and(|last| file > last)
    }

    /// The number the next version would get.
    pub(crate) fn peek(&self) -> Serial {
        next(self.file, self.last, self.former)
    }

    /// Takes the next number.
    pub(crate) fn take(&mut self) -> Serial {
        let next = self.peek();
        self.former = None;
        self.last = Some(next);
        next
    }

    /// Takes what the file says, whatever was served before: the SOA of a zone signed elsewhere cannot be changed.
    pub(crate) fn follow(&mut self) -> Serial {
        self.former = None;
        self.last = Some(self.file);
        self.file
    }

    /// The bound to reserve, if what is reserved is more than half used.
    pub(crate) fn wants(&mut self) -> Option<Serial> {
        let next = self.peek();
        let enough = self.reserved.is_some_and(|reserved| reserved > next.ahead(RESERVED / 2));
        if enough {
            return None;
        }
        self.reserved = Some(next.ahead(RESERVED));
        self.reserved
    }

    /// The bound asked for last; repeated with every reservation, as marks are kept whole.
    pub(crate) fn reserved(&self) -> Option<Serial> {
        self.reserved
    }

    /// True if `wanted` is covered by a reservation that has been asked for.
    pub(crate) fn covers(&self, wanted: Serial) -> bool {
        self.reserved.is_some_and(|reserved| wanted <= reserved)
    }
}

/// The line of generations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GenerationLine {
    last: Generation,
    reserved: Generation,
}

impl GenerationLine {
    /// Starts above what an earlier run reserved.
    pub(crate) fn new(former: Generation) -> Self {
        Self { last: former, reserved: former }
    }

    pub(crate) fn last(self) -> Generation {
        self.last
    }

    pub(crate) fn take(&mut self) -> Generation {
        self.last.0 += 1;
        self.last
    }

    /// The bound to reserve, if what is reserved is more than half used.
    pub(crate) fn wants(&mut self) -> Option<Generation> {
        if self.reserved.0 > self.last.0 + u64::from(RESERVED) / 2 {
            return None;
        }
        self.reserved = Generation(self.last.0 + u64::from(RESERVED));
        Some(self.reserved)
    }

    pub(crate) fn reserved(self) -> Generation {
        self.reserved
    }
}

/// The serial of the next version of a zone: the file's own if it is greater than the last served and the mark
/// reserved by an earlier run, else one past these. (One past, too, where RFC 1982 knows no greater: a secondary would
/// not follow the file there.) The clock is never asked: a date serial in the file must not send secondaries
/// backwards, nor a clock jump poison the line.
fn next(file: Serial, last: Option<Serial>, reserved: Option<Serial>) -> Serial {
    let served = [last, reserved].into_iter().flatten().reduce(Serial::greater);
    served.map_or(file, |served| if file > served { file } else { served.next() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_goes_on_above_the_mark_and_only_once() {
        let mut line = SerialLine::new(Serial(7), Some(Serial(1007)));
        assert_eq!([line.take(), line.take()], [Serial(1008), Serial(1009)]);
    }

    #[test]
    fn a_raised_file_serial_is_a_change_and_a_lowered_one_is_not() {
        let mut line = SerialLine::new(Serial(7), None);
        assert_eq!(line.take(), Serial(7));
        assert!(!line.refile(Serial(5)));
        assert_eq!(line.take(), Serial(8));
        assert!(line.refile(Serial(2_026_112_101)));
        assert_eq!(line.take(), Serial(2_026_112_101));
    }

    #[test]
    fn a_signed_zone_has_the_serial_of_its_file() {
        let mut line = SerialLine::new(Serial(7), Some(Serial(1007)));
        assert_eq!(line.follow(), Serial(7));
        assert!(!line.refile(Serial(5)));
        assert_eq!((line.follow(), line.peek()), (Serial(5), Serial(6)));
    }

    #[test]
    fn reservations_are_renewed_at_half() {
        let mut line = SerialLine::new(Serial(1), None);
        assert_eq!(line.wants(), Some(Serial(1001)));
        for _ in 0..499 {
            line.take();
            assert_eq!(line.wants(), None, "next is {}", line.peek());
        }
        line.take();
        assert_eq!(line.wants(), Some(Serial(1501)));
        let mut generations = GenerationLine::new(Generation(40));
        assert_eq!(generations.wants(), Some(Generation(1040)));
        assert_eq!(generations.take(), Generation(41));
        assert_eq!(generations.wants(), None);
    }

    #[test]
    fn next_is_the_greatest_of_file_last_and_mark() {
        for (file, last, mark, next_is) in [
            (5, None, None, 5),
            (5, Some(5), None, 6),
            (2_026_112_101, Some(17), None, 2_026_112_101),
            (5, Some(9), Some(1000), 1001),
            (0, Some(u32::MAX), None, 0),
            (2_026_112_101, Some(2_026_112_205), Some(2_026_112_150), 2_026_112_206),
        ] {
            assert_eq!(next(Serial(file), last.map(Serial), mark.map(Serial)), Serial(next_is));
        }
    }

    #[test]
    fn a_file_half_the_circle_away_is_followed_only_as_far_as_it_is_greater() {
        const HALF: u32 = 1 << 31;
        for served in [0, 9, HALF - 1, HALF, u32::MAX] {
            for (ahead, follows) in
                [(1, true), (HALF - 2, true), (HALF - 1, true), (HALF, false), (HALF + 1, false), (HALF + 2, false)]
            {
                let (served, file) = (Serial(served), Serial(served).ahead(ahead));
                let expected = if follows { file } else { served.next() };
                assert!(expected > served);
                assert_eq!(next(file, Some(served), None), expected, "{file} in the file, {served} served");
                assert_eq!(next(file, None, Some(served)), expected, "{file} in the file, {served} reserved");
            }
        }
    }
}
