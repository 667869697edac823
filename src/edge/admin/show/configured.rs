//! What the file says of a steered name, as a view.

use super::{Sight, whole_millis};
use crate::config::expect::Expression;
use crate::config::{Ask, Check, Failback};
use crate::edge::admin::{view, words};
use crate::probe::WatchId;
use crate::snapshot::status::SteerStatus;

impl Sight<'_> {
    pub(super) fn configured(&self, status: &SteerStatus, watched: &[WatchId]) -> view::Configured {
        let steer = &status.steer;
        let of_rungs = steer.rungs.iter().filter_map(|rung| rung.check);
        let of_watches = watched.iter().filter_map(|&id| self.watch_status(id)).map(|watch| watch.check);
        let mut checks: Vec<_> = of_rungs.chain(of_watches).collect();
        checks.sort_unstable();
        checks.dedup();
        view::Configured {
            form: steer.form,
            ttl: steer.ttl,
            failback: match steer.failback {
                Failback::Auto => "auto: as soon as a better rung is up".to_owned(),
                Failback::After(hold_down) => {
                    format!("after a better rung has been up for {}", words::span(hold_down))
                }
                Failback::Manual => "manual: waits for `failoverd failback`".to_owned(),
            },
            hosts: steer.hosts.clone(),
            ladder: steer
                .rungs
                .iter()
                .map(|rung| view::ConfiguredRung {
                    rung: rung.place.to_string(),
                    origins: rung
                        .origins
                        .iter()
                        .filter_map(|id| self.config.origins.get(id.0 as usize))
                        .map(|origin| view::ConfiguredOrigin {
                            name: origin.name.clone(),
                            cname: origin.cname.as_ref().map(|name| name.to_host()),
                            addresses: origin.addresses().collect(),
                        })
                        .collect(),
                    check: rung.check.and_then(|id| self.check(id)).map(|check| check.name.clone()),
                })
                .collect(),
            checks: checks.into_iter().filter_map(|id| self.check(id)).map(configured_check).collect(),
        }
    }
}

fn configured_check(check: &Check) -> view::ConfiguredCheck {
    let texts = |all: &[Expression]| all.iter().map(|one| one.text.clone()).collect();
    view::ConfiguredCheck {
        name: check.name.clone(),
        ask: match &check.ask {
            Ask::Https(web) | Ask::Http(web) => {
                let method = if web.method == "GET" { String::new() } else { format!("{} ", web.method) };
                format!("{} {method}{}", check.ask.word(), web.path)
            }
            Ask::Dns(question) => format!("dns {question}"),
            // Its arguments may hold secrets.
            Ask::Exec(command) => format!("exec {}", command.first().map_or("", String::as_str)),
            Ask::Tcp | Ask::Tls | Ask::Icmp | Ask::Heartbeat(_) => check.ask.word().to_owned(),
        },
        port: check.port,
        every_ms: whole_millis(check.every),
        timeout_ms: whole_millis(check.timeout),
        fall: check.fall,
        rise: check.rise,
        confirm_ms: whole_millis(check.confirm),
        blip_ms: whole_millis(check.blip),
        expect: texts(&check.expect),
        warn: texts(&check.warn),
    }
}
