//! What the file says of a steered name, as a view.

use super::{Sight, whole_millis};
use crate::config::expect::Expression;
use crate::config::{Ask, Check, Failback, Quorum, budget};
use crate::edge::admin::{view, words};
use crate::probe::WatchId;
use crate::snapshot::status::SteerStatus;

impl Sight<'_> {
    pub(super) fn configured(&self, status: &SteerStatus, watched: &[WatchId]) -> view::Configured {
        let steer = &status.steer;
        let of_rungs = steer.rungs.iter().filter_map(|rung| rung.check.as_ref()).flat_map(|checks| &checks.of).copied();
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
            leave_degraded: steer.leave_degraded,
            strict: steer.strict,
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
                            platform: origin.platform,
                        })
                        .collect(),
                    check: rung.check.as_ref().map(|checks| budget::in_words(self.config, checks)),
                    quorum: quorum(rung.quorum),
                })
                .collect(),
            checks: checks.into_iter().filter_map(|id| self.check(id)).map(configured_check).collect(),
        }
    }
}

/// `at least 2 up, panic below 50%`; `None` where one origin is enough.
fn quorum(quorum: Quorum) -> Option<String> {
    let min_up = (quorum.min_up > 1).then(|| format!("at least {} up", quorum.min_up));
    let panic = quorum.panic.map(|share| format!("panic below {share}%"));
    let told: Vec<String> = min_up.into_iter().chain(panic).collect();
    (!told.is_empty()).then(|| told.join(", "))
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
        standby_every_ms: whole_millis(check.standby_every),
        timeout_ms: whole_millis(check.timeout),
        fall: check.fall,
        rise: check.rise,
        confirm_ms: whole_millis(check.confirm),
        blip_ms: whole_millis(check.blip),
        window: check.window.map(|window| window.to_string()),
        expect: texts(&check.expect),
        warn: texts(&check.warn),
        degraded: check.degraded.iter().map(|rule| rule.text.to_string()).collect(),
    }
}
