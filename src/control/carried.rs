//! What a controller knows, for another that goes on from there: that is how a record is decided again from its middle.
//!
//! What is carried over decides the turns to come: verdicts, what names remember, orders, what host names resolve to.
//! What is not: probes on their way, races, failures that wait for a witness, the averages of `degraded`, a doubt, the moves
//! of the velocity limit's last window. All of them last seconds or a window, or as many probes as they look back on.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::control::{Controller, Marks, Restored, RestoredDecision, watch_id};
use crate::decision::Standing;
use crate::dns::Name;
use crate::probe::watch::Key;
use crate::probe::{Epoch, WatchId};
use crate::time::Now;
use crate::verdict::{Verdict, window};

/// What a controller knows at one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Carried {
    pub restored: Restored,
    /// By [`WatchId`]; empty at a start.
    pub watches: Vec<CarriedWatch>,
    pub names: Vec<(Name, Standing)>,
    /// Addresses of the host names served flattened, and whether the name is gone.
    pub resolved: Vec<(Name, Vec<IpAddr>, bool)>,
}

/// What is known of one watch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CarriedWatch {
    pub epoch: Epoch,
    pub verdict: Verdict,
    /// Which of its last scheduled probes failed.
    pub failed: window::Marks,
    pub unseen: bool,
}

/// One watch, as it is known again under another configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watched {
    pub key: Key,
    pub epoch: Epoch,
    pub origin: Arc<str>,
    pub check: Arc<str>,
    /// `192.0.2.1:443`.
    pub endpoint: Arc<str>,
    pub host: Arc<str>,
}

impl Controller {
    /// What another needs to go on from here.
    pub fn carried(&self, now: Now) -> Carried {
        let decisions = self.names.iter().filter_map(|state| {
            let served = state.served.as_ref()?;
            let (name, place, origins) = (state.steer.name.clone(), served.place, served.origins.clone());
            Some(RestoredDecision { name, place, origins, at: now.wall })
        });
        let versions = self.zones.iter().filter_map(|zone| zone.version.as_ref());
        let serials = versions.map(|version| (version.apex.folded(), version.serial)).collect();
        let watches = self.watches.iter().enumerate().map(|(index, state)| CarriedWatch {
            epoch: self.schedule.epoch(watch_id(index)),
            verdict: state.verdict.clone(),
            failed: state.failed,
            unseen: state.unseen,
        });
        Carried {
            restored: Restored {
                marks: Marks { generation: self.generations.last(), serials },
                decisions: decisions.collect(),
                orders: self.orders.all().to_vec(),
                next_sequence: self.sequence + 1,
                next_order: self.orders.next(),
                clean: Vec::new(),
            },
            watches: watches.collect(),
            names: self.names.iter().map(|state| (state.steer.name.clone(), (*state.standing).clone())).collect(),
            resolved: self.flattened.all(),
        }
    }

    /// Goes on where another was. To be called on one that was made from its files and `carried.restored`, before
    /// anything else.
    pub fn resume(&mut self, carried: Carried, now: Now) {
        let Carried { restored: _, watches, names, resolved } = carried;
        if watches.len() == self.watches.len() {
            let epochs: Vec<_> = watches.iter().map(|watch| watch.epoch).collect();
            self.schedule.renumber(&epochs);
            for (state, known) in self.watches.iter_mut().zip(watches) {
                if known.verdict.class().is_usable() {
                    self.sight.passed(known.epoch, &state.origin_name, now.moment, now.moment);
                }
                (state.verdict, state.failed, state.unseen) = (known.verdict, known.failed, known.unseen);
            }
            self.find_well();
        }
        for (name, standing) in names {
            if let Some(state) = self.names.iter_mut().find(|state| state.steer.name == name) {
                state.standing = Arc::new(standing);
            }
        }
        self.flattened.take_over(resolved);
        self.touch_all(now);
    }

    /// All watches of the configuration in force, by [`WatchId`].
    pub fn watched(&self) -> Vec<Watched> {
        let watched = self.watches.iter().enumerate().map(|(index, state)| Watched {
            key: state.watch.key(&self.config),
            epoch: self.schedule.epoch(watch_id(index)),
            origin: Arc::clone(&state.origin_name),
            check: Arc::clone(&state.check_name),
            endpoint: Arc::clone(&state.endpoint),
            host: Arc::clone(&state.watch.host),
        });
        watched.collect()
    }

    /// Where the watch of this epoch stands; `None` if it is gone.
    pub fn locate(&self, epoch: Epoch) -> Option<WatchId> {
        self.schedule.locate(epoch)
    }
}
