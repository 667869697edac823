//! What writer and reader know of what came before: both keep it alike, so that only what is new is written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::probe::{Certificate, Detail, Epoch, Observation, Outcome, WatchId};
use crate::time::{Moment, Now, Wall};

/// Watches that are remembered; others are written in full each time. Above the most that a configuration may have.
const WATCHES_MAX: usize = 1 << 20;
const MILLISECOND: i128 = 1_000_000;

/// Both clocks as they ran last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// Nanoseconds since boot.
    pub(super) moment: u64,
    /// From the monotonic clock to the calendar, in nanoseconds, as far as it shows.
    offset: i128,
}

impl Clock {
    /// What the calendar shows at this moment, in milliseconds, if it runs on as it did.
    pub(super) fn expect(&self, moment: u64) -> i64 {
        ((i128::from(moment) + self.offset).div_euclid(MILLISECOND)) as i64
    }

    /// Takes in what both show: the offset is moved no further than it has to.
    pub(super) fn learn(&mut self, moment: u64, wall: i64) {
        self.moment = moment;
        let shown = i128::from(moment) + self.offset;
        let first = i128::from(wall) * MILLISECOND;
        self.offset = if shown < first {
            first - i128::from(moment)
        } else if shown >= first + MILLISECOND {
            first + MILLISECOND - 1 - i128::from(moment)
        } else {
            shown - i128::from(moment)
        };
    }
}

/// Nanoseconds since boot.
pub(super) fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since_boot().as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn moment(nanos: u64) -> Moment {
    Moment::from_boot(Duration::from_nanos(nanos))
}

pub(super) fn now(nanos: u64, millis: i64) -> Now {
    Now { moment: moment(nanos), wall: Wall::from_millis(millis) }
}

/// What was seen last of each watch.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches(Vec<Option<Box<Known>>>);

/// One watch.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) epoch: Epoch,
    pub(super) rest: Rest,
    /// The last that was no pass.
    pub(super) trouble: Outcome,
}

impl Default for Known {
    fn default() -> Self {
        Self { epoch: Epoch(0), rest: Rest::default(), trouble: Outcome::Passed }
    }
}

impl Watches {
    /// What is known of a watch; a blank in `spare` for one that is not remembered.
    pub(super) fn of<'k>(&'k mut self, watch: WatchId, spare: &'k mut Known) -> &'k mut Known {
        let index = watch.0 as usize;
        if index >= WATCHES_MAX {
            return spare;
        }
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index].get_or_insert_default()
    }
}

/// What of an observation seldom changes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rest {
    address: Option<IpAddr>,
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Arc<Certificate>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Arc<Detail>>,
}

impl Rest {
    pub(super) fn of(seen: &Observation) -> Self {
        Self {
            address: seen.address,
            status: seen.status,
            warnings: seen.warnings.clone(),
            certificate: seen.certificate.clone(),
            detail: seen.detail.clone(),
        }
    }

    pub(super) fn is_of(&self, seen: &Observation) -> bool {
        let Self { address, status, warnings, certificate, detail } = self;
        *address == seen.address
            && *status == seen.status
            && *warnings == seen.warnings
            && *certificate == seen.certificate
            && *detail == seen.detail
    }

    pub(super) fn put_into(&self, seen: &mut Observation) {
        let Self { address, status, warnings, certificate, detail } = self.clone();
        (seen.address, seen.status, seen.warnings) = (address, status, warnings);
        (seen.certificate, seen.detail) = (certificate, detail);
    }
}
