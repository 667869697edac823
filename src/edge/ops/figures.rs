//! Snapshot, figures and counters as metrics, made at each scrape: what Prometheus sees is what DNS serves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::config::Config;
use crate::control::{Figures, WatchFigures};
use crate::edge::admin::words;
use crate::edge::handle::Readiness;
use crate::probe::Outcome;
use crate::ready::Ready;
use crate::snapshot::Snapshot;
use crate::snapshot::status::WatchStatus;
use crate::time::{Now, Wall};
use crate::verdict::Class;

/// All that one scrape is made from.
#[derive(Debug)]
pub struct Scrape {
    pub snapshot: Arc<Snapshot>,
    pub config: Arc<Config>,
    pub readiness: Readiness,
    /// `None` if the control loop did not tell in time.
    pub figures: Option<Figures>,
    /// Rows of name, label and count of the nameserver and the prober.
    pub queries: Vec<(&'static str, &'static str, u64)>,
    /// When the certificate of encrypted transports ends, if there are any.
    pub certificate_ends: Option<Wall>,
    pub started: Now,
    pub now: Now,
}

type Labels = Vec<(&'static str, String)>;

/// Writes families of samples that all have labels, or a single one that has none.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
    fn gauges<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            match labels.is_empty() {
                true => family.encode_gauge(&value)?,
                false => family.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn gauge<V: EncodeGaugeValue>(&mut self, name: &str, help: &str, value: V) -> fmt::Result {
        self.gauges(name, help, [(Labels::new(), value)])
    }

    fn counters<V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            match labels.is_empty() {
                true => family.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
                false => family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
            }
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        self.node(&mut sheet)?;
        self.queries(&mut sheet)?;
        self.names(&mut sheet)?;
        self.watches(&mut sheet)?;
        self.journal(&mut sheet)
    }
}

impl Scrape {
    fn node(&self, sheet: &mut Sheet) -> fmt::Result {
        let version =
            vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("node", self.config.server.name.clone())];
        sheet.gauges("build_info", "Always 1; which version runs on which node", [(version, 1i64)])?;
        let started = self.started.wall.seconds();
        sheet.gauge("start_time_seconds", "When this daemon began to serve, in seconds since 1970", started)?;
        sheet.gauge("ready", "1 while this node is fit to be asked", i64::from(self.readiness.ready))?;
        let reasons = self.readiness.degraded.len();
        sheet.gauge(
            "degraded_reasons",
            "Reasons for which this node works, but not wholly; /readyz tells them",
            reasons,
        )?;
        let doubt = i64::from(self.snapshot.status.doubt.is_some());
        sheet.gauge("doubt", "1 while our own sight is in doubt and automation is frozen", doubt)?;
        sheet.gauge("generation", "Number of the snapshot that is served", self.snapshot.generation.0)?;
        let zones = self.snapshot.zones.iter().map(|zone| (vec![("zone", zone.apex.to_host())], zone.serial.0));
        sheet.gauges("zone_serial", "SOA serial of each zone", zones)?;
        sheet.gauges(
            "tls_certificate_expiry_timestamp_seconds",
            "When the certificate that encrypted transports show expires, in seconds since 1970",
            self.certificate_ends.map(|ends| (Labels::new(), ends.seconds())),
        )
    }

    /// Rows of one name stand together whatever order they came in.
    fn queries(&self, sheet: &mut Sheet) -> fmt::Result {
        let mut names: Vec<&str> = Vec::new();
        for &(name, _, _) in &self.queries {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let (label, help) = match name {
                "queries" => ("transport", "Queries received, by transport"),
                "queries_edns" => ("kind", "Queries that carried EDNS(0)"),
                "queries_cookie" => (
                    "proof",
                    "Queries with a DNS cookie: of the client alone, with a server cookie that is right, or wrong",
                ),
                "queries_dropped" => ("kind", "Queries that got no reply at all"),
                "query_bytes" => ("kind", "Bytes of queries"),
                "replies" => ("rcode", "Replies sent, by response code"),
                "replies_truncated" => ("kind", "Replies cut to fit, so that the client asks again over TCP"),
                "replies_limited" => ("class", "Replies not sent because of the rate limit, by class of the reply"),
                "replies_slipped" => ("class", "Replies sent without records because of the rate limit, by class"),
                "reply_bytes" => ("kind", "Bytes of replies"),
                "connections_open" => ("kind", "Connections of clients that are open now: TCP, TLS, HTTPS and QUIC"),
                "connections_closed" => ("reason", "Connections of clients that were closed, by reason"),
                "probe_starts" => ("when", "Probes started, on time or late: more than 100 ms after their due moment"),
                "tripwires" => ("kind", "Idle connections to origins, whose end is a reason to ask"),
                "socket_events" => ("kind", "What happened at sockets: connections, failures, contained panics"),
                _ => ("kind", "Counted by the answering threads"),
            };
            let rows = self.queries.iter().filter(|row| row.0 == name);
            let rows = rows.map(|&(_, kind, count)| match kind {
                "" => (Labels::new(), count),
                kind => (vec![(label, kind.to_owned())], count),
            });
            match name {
                "connections_open" | "tripwires" => sheet.gauges(name, help, rows)?,
                _ => sheet.counters(name, help, rows)?,
            }
        }
        Ok(())
    }

    fn names(&self, sheet: &mut Sheet) -> fmt::Result {
        let steers = || self.snapshot.status.steers.iter().map(|steer| (steer.steer.name.to_host(), steer));
        let rungs = steers().flat_map(|(name, status)| {
            let served = status.decision.as_ref().map(|decision| decision.rung);
            status.steer.rungs.iter().enumerate().map(move |(index, rung)| {
                let labels = vec![("name", name.clone()), ("rung", rung.place.to_string())];
                (labels, i64::from(served == Some(index)))
            })
        });
        let ready = steers().flat_map(|(name, status)| {
            let rungs = status.steer.rungs.iter().zip(&*status.rungs);
            rungs.flat_map(move |(rung, seen)| {
                let (name, place) = (name.clone(), rung.place.to_string());
                seen.origins.iter().filter_map(move |origin| {
                    let value = match origin.ready {
                        Ready::Ready => 1.0,
                        Ready::Warn => 0.5,
                        Ready::WouldFail => 0.0,
                        Ready::Unknown => return None,
                    };
                    let labels =
                        vec![("name", name.clone()), ("rung", place.clone()), ("origin", origin.name.to_string())];
                    Some((labels, value))
                })
            })
        });
        let ready: Vec<(Labels, f64)> = ready.collect();
        let help = "1 for an origin that would serve the visitors of a name, 0.5 with a warning, 0 if it would fail";
        sheet.gauges("origin_ready", help, ready)?;
        sheet.gauges("rung_served", "1 for the rung a steered name is served from, 0 for its others", rungs)?;
        let info = steers().filter_map(|(name, status)| {
            let decision = status.decision.as_ref()?;
            let origins = decision.origins.iter().filter_map(|id| self.config.origins.get(id.0 as usize));
            let origins: Vec<&str> = origins.map(|origin| origin.name.as_str()).collect();
            let labels = vec![
                ("name", name),
                ("rung", decision.place.to_string()),
                ("origins", origins.join(",")),
                ("reason", words::reason_word(&decision.reason).to_owned()),
            ];
            Some((labels, 1i64))
        });
        sheet.gauges("serving_info", "Always 1; what a steered name serves, and why", info)?;
        let since = steers()
            .filter(|(_, status)| status.decision.is_some())
            .map(|(name, status)| (vec![("name", name)], self.now.moment.since(status.since.moment).as_secs_f64()));
        sheet.gauges("serving_seconds", "How long a steered name has been on its present rung", since)?;
        let ttl = steers().filter_map(|(name, status)| Some((vec![("name", name)], status.decision.as_ref()?.ttl)));
        sheet.gauges("ttl_seconds", "TTL of a steered name's answer", ttl)?;
        let waiting = self.snapshot.status.waiting.as_ref().map_or(0, |waits| waits.names);
        sheet.gauge("names_waiting", "Steered names that wait for the velocity limit", waiting)?;
        let room = self.figures.as_ref().and_then(|figures| figures.room);
        let room = room.map(|room| (Labels::new(), u64::try_from(room).unwrap_or(u64::MAX)));
        sheet.gauges("velocity_room", "How many more names automation may move now, where that is limited", room)?;
        let orders = self.snapshot.status.orders.len();
        sheet.gauge("orders", "Orders in force", orders)
    }

    fn watches(&self, sheet: &mut Sheet) -> fmt::Result {
        let watches = || self.snapshot.status.watches.iter().map(|watch| (identity(watch), watch));
        let classes = watches().flat_map(|(labels, watch)| {
            [Class::Up, Class::Suspect, Class::Untried, Class::Down].map(|class| {
                let mut labels = labels.clone();
                labels.push(("class", class_word(class).to_owned()));
                (labels, i64::from(watch.verdict.class() == class))
            })
        });
        sheet.gauges("watch_class", "1 for the class of a watch's verdict, 0 for the others", classes)?;
        let stale = watches().map(|(labels, watch)| (labels, i64::from(watch.stale)));
        let degraded = watches().map(|(labels, watch)| (labels, i64::from(watch.degraded.is_some())));
        sheet.gauges("watch_degraded", "1 while a watch is up, and not well by a rule of its check", degraded)?;
        sheet.gauges("watch_stale", "1 while a watch has had no conclusive probe for three intervals", stale)?;

        let Some(figures) = &self.figures else { return Ok(()) };
        let rows = || {
            figures.watches.iter().filter_map(|row| {
                let watch = self.snapshot.status.watches.get(row.watch.0 as usize)?;
                Some((identity(watch), row))
            })
        };
        let outcomes = rows().flat_map(|(labels, row)| {
            row.outcomes.iter().map(move |(outcome, count)| {
                let mut labels = labels.clone();
                labels.push(("outcome", outcome.clone()));
                (labels, *count)
            })
        });
        sheet.counters(
            "probes",
            "Probes, by watch and outcome: passed, the cause of failure, or a local fault",
            outcomes,
        )?;
        let last = rows().filter_map(|(mut labels, row)| {
            let (outcome, cause) = last_outcome(row)?;
            labels.extend([("outcome", outcome.to_owned()), ("cause", cause.to_owned())]);
            Some((labels, 1i64))
        });
        sheet.gauges("probe_last_info", "Always 1; what came of the last probe of a watch", last)?;
        let phases = rows().flat_map(|(labels, row)| {
            phases(row).into_iter().map(move |(phase, took)| {
                let mut labels = labels.clone();
                labels.push(("phase", phase.to_owned()));
                (labels, took.as_secs_f64())
            })
        });
        sheet.gauges("probe_phase_seconds", "How long each phase of the last probe of a watch took", phases)?;
        let expiry =
            rows().filter_map(|(labels, row)| Some((labels, row.last.as_ref()?.certificate.as_ref()?.not_after)));
        sheet.gauges(
            "probe_certificate_expiry_timestamp_seconds",
            "When the certificate seen by the last probe of a watch expires, in seconds since 1970",
            expiry,
        )
    }

    fn journal(&self, sheet: &mut Sheet) -> fmt::Result {
        let Some(figures) = &self.figures else { return Ok(()) };
        sheet.gauge("journal_recorded", "Sequence number of the last journal entry made", figures.recorded)?;
        sheet.gauge(
            "journal_committed",
            "Sequence number of the last journal entry known durable",
            figures.committed,
        )?;
        let trouble = i64::from(figures.storage.is_some());
        sheet.gauge("storage_trouble", "1 while storage cannot commit; turns go on and are not durable", trouble)
    }
}

fn identity(watch: &WatchStatus) -> Labels {
    vec![
        ("origin", watch.origin_name.to_string()),
        ("target", watch.target.to_string()),
        ("port", watch.port.to_string()),
        ("check", watch.check_name.to_string()),
        ("host", watch.host.to_string()),
    ]
}

fn class_word(class: Class) -> &'static str {
    match class {
        Class::Up => "up",
        Class::Suspect => "suspect",
        Class::Untried => "unknown",
        Class::Down => "down",
    }
}

fn last_outcome(row: &WatchFigures) -> Option<(&'static str, &'static str)> {
    Some(match &row.last.as_ref()?.outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Failed(cause) => ("failed", cause.label()),
        Outcome::Inconclusive(fault) => ("inconclusive", fault.label()),
    })
}

fn phases(row: &WatchFigures) -> Vec<(&'static str, Duration)> {
    let Some(seen) = &row.last else { return Vec::new() };
    let phases = seen.phases;
    [
        ("resolve", phases.resolve),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("first_byte", phases.first_byte),
        ("body", phases.body),
        ("answer", phases.answer),
    ]
    .into_iter()
    .filter_map(|(phase, took)| Some((phase, took?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::decision::Reason;
    use crate::edge::admin::fixture::{self, ago, now};
    use crate::edge::ops::classic;

    fn scraped(figures: Option<Figures>) -> String {
        let mut registry = Registry::with_prefix("failoverd");
        registry.register_collector(Box::new(Scrape {
            snapshot: Arc::new(fixture::snapshot(1, Reason::FailedOver)),
            config: Arc::new(fixture::config()),
            readiness: fixture::ready(),
            figures,
            queries: vec![
                ("queries", "udp", 5),
                ("replies", "noerror", 4),
                ("queries", "tcp", 1),
                ("replies_truncated", "", 2),
                ("connections_open", "", 3),
                ("connections_closed", "idle", 4),
                ("probe_starts", "late", 1),
            ],
            certificate_ends: None,
            started: ago(60),
            now: now(),
        }));
        let mut body = String::new();
        text::encode(&mut body, &registry).unwrap();
        classic::from_openmetrics(&body)
    }

    #[test]
    fn the_series_people_alert_on_are_there() {
        let body = scraped(Some(fixture::figures()));
        for line in [
            "failoverd_generation 42",
            "failoverd_doubt 0",
            "failoverd_ready 1",
            "failoverd_queries_total{transport=\"udp\"} 5",
            "failoverd_queries_total{transport=\"tcp\"} 1",
            "failoverd_replies_total{rcode=\"noerror\"} 4",
            "failoverd_replies_truncated_total 2",
            "failoverd_connections_open 3",
            "failoverd_connections_closed_total{reason=\"idle\"} 4",
            "failoverd_probe_starts_total{when=\"late\"} 1",
            "failoverd_rung_served{name=\"www.example.com\",rung=\"primary\"} 0",
            "failoverd_rung_served{name=\"www.example.com\",rung=\"backup\"} 1",
            "failoverd_serving_info{name=\"www.example.com\",rung=\"backup\",origins=\"netlify\",reason=\"failed-over\"} 1",
            "failoverd_watch_class{origin=\"vercel\",target=\"vercel.example.net\",port=\"443\",check=\"site\",host=\"www.example.com\",class=\"down\"} 1",
            "failoverd_probes_total{origin=\"vercel\",target=\"vercel.example.net\",port=\"443\",check=\"site\",host=\"www.example.com\",outcome=\"connect-refused\"} 4",
            "failoverd_journal_committed 20",
            "failoverd_storage_trouble 0",
        ] {
            assert!(body.lines().any(|have| have == line), "{line} is not in\n{body}");
        }
    }

    #[test]
    fn without_the_control_loop_the_rest_is_still_told() {
        let body = scraped(None);
        assert!(body.contains("failoverd_generation 42") && !body.contains("failoverd_journal_committed"), "{body}");
    }

    /// Text format 0.0.4: one HELP and one TYPE before the samples of a family, no series twice.
    #[test]
    fn every_series_is_told_once_below_its_help() {
        let body = scraped(Some(fixture::figures()));
        let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
        let mut family = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap().to_owned();
                assert!(families.insert(family.clone()), "{family} stands in two places");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(rest.split(' ').next().unwrap(), family);
            } else {
                let (name, _) = line.rsplit_once(' ').unwrap();
                assert_eq!(name.split('{').next().unwrap(), family, "{line}");
                assert!(series.insert(name.to_owned()), "{name} twice");
            }
        }
        assert!(families.len() >= 12 && series.len() >= families.len());
    }
}
