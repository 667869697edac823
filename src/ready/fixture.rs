//! Zones and observations for the tests of this stage.

use std::io;
use std::path::{Path, PathBuf};

use crate::probe::fixture::name;
use crate::probe::{Epoch, Observation, Outcome, Phases, Purpose, WatchId};
use crate::time::Moment;
use crate::zone::Files;
use crate::zone::load::load;
use crate::zone::table::Table;

struct One<'t>(&'t str);

impl Files for One<'_> {
    fn open(&self, _: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// The zone of this apex from the text of its file.
pub(crate) fn table(apex: &str, text: &str) -> Table {
    let text = format!("$TTL 300\n{text}");
    let zone = load(&One(&text), &name(apex), Path::new("zone"), &|_| true);
    zone.unwrap_or_else(|report| panic!("{report}")).table
}

/// A probe that came back with this outcome and nothing else.
pub(crate) fn saw(outcome: Outcome) -> Observation {
    Observation {
        watch: WatchId(0),
        epoch: Epoch(1),
        purpose: Purpose::Scheduled,
        started: Moment::default(),
        finished: Moment::default(),
        outcome,
        address: None,
        phases: Phases::default(),
        warnings: Vec::new(),
        certificate: None,
        status: None,
        detail: None,
    }
}
