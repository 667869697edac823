//! Turns counted from the journal: how many, to which rung, and how long they took.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::control::journal::{Entry, What};
use crate::edge::handle::Handle;

/// Entries read at once.
const BATCH: usize = 256;

type Labels = [(&'static str, String); 2];

/// Counts since this daemon began to serve.
pub struct Turns {
    turns: Family<Labels, Counter>,
    publish: Histogram,
    confirm: Histogram,
}

impl Turns {
    /// Counters that `registry` shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let counts = Self {
            turns: Family::default(),
            publish: Histogram::new([0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0]),
            confirm: Histogram::new([0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0]),
        };
        registry.register("turns", "Changes of decision, by steered name and the rung turned to", counts.turns.clone());
        registry.register_with_unit(
            "publish",
            "Time from the event that made a turn to the moment its snapshot is served",
            Unit::Seconds,
            counts.publish.clone(),
        );
        registry.register_with_unit(
            "confirm",
            "Time from the start of the first failing probe to the verdict that made a turn",
            Unit::Seconds,
            counts.confirm.clone(),
        );
        counts
    }

    /// Counts what is committed from now on, until the daemon stops.
    pub(super) async fn follow(self, handle: Handle) {
        let mut committed = handle.committed();
        let mut seen = *committed.borrow_and_update();
        while committed.changed().await.is_ok() {
            loop {
                let entries = handle.entries(seen, BATCH).await;
                let Some(last) = entries.last() else { break };
                seen = last.sequence;
                entries.iter().for_each(|entry| self.count(entry));
            }
        }
    }

    fn count(&self, entry: &Entry) {
        let What::Turned(turn) = &entry.what else { return };
        self.turns.get_or_create(&[("name", turn.name.to_host()), ("rung", turn.to.place.to_string())]).inc();
        self.publish.observe(Duration::from_micros(turn.stages.publish_us).as_secs_f64());
        if let Some(confirm_ms) = turn.stages.confirm_ms {
            self.confirm.observe(Duration::from_millis(confirm_ms).as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::encoding::text;

    use super::*;
    use crate::config::Place;
    use crate::control::journal::{Served, Stages, Turn};
    use crate::decision::{Data, Reason};
    use crate::dns::Serial;
    use crate::edge::admin::fixture::name;
    use crate::edge::ops::classic;
    use crate::snapshot::Generation;
    use crate::time::Wall;

    fn entry(what: What) -> Entry {
        Entry { sequence: 1, at: Wall::from_millis(0), node: "ns1".into(), what }
    }

    fn turned(place: Place, confirm_ms: Option<u64>) -> Entry {
        entry(What::Turned(Box::new(Turn {
            name: name("www.example.com"),
            zone: name("example.com"),
            from: None,
            to: Arc::new(Served { place, origins: vec!["eu".to_owned()], data: Data::Cname(name("eu.example.net")) }),
            reason: Reason::FailedOver,
            evidence: Arc::new([]),
            generation: Generation(1),
            serial: Serial(1),
            ttl: 30,
            stages: Stages { confirm_ms, publish_us: 150 },
        })))
    }

    #[test]
    fn only_turns_are_counted_each_under_the_rung_it_turns_to() {
        let mut registry = Registry::with_prefix("failoverd");
        let turns = Turns::registered(&mut registry);
        for happened in [
            turned(Place::Backup(1), Some(1_020)),
            turned(Place::Primary, None),
            turned(Place::Backup(1), Some(900)),
            entry(What::Stopped),
        ] {
            turns.count(&happened);
        }
        let mut body = String::new();
        text::encode(&mut body, &registry).unwrap();
        let body = classic::from_openmetrics(&body);
        for line in [
            "failoverd_turns_total{name=\"www.example.com\",rung=\"backup\"} 2",
            "failoverd_turns_total{name=\"www.example.com\",rung=\"primary\"} 1",
            "failoverd_publish_seconds_count 3",
            "failoverd_publish_seconds_bucket{le=\"0.0001\"} 0",
            "failoverd_publish_seconds_bucket{le=\"0.0002\"} 3",
            "failoverd_confirm_seconds_count 2",
            "failoverd_confirm_seconds_bucket{le=\"1.0\"} 1",
        ] {
            assert!(body.lines().any(|have| have == line), "{line} is not in\n{body}");
        }
    }
}
