//! From a snapshot and the figures to the views. Pure: the same inputs give the same JSON.

mod configured; // what the file says
mod probing; //    what the probes saw
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::config::{Check, CheckId, Config, Place};
use crate::control;
use crate::control::journal::Entry;
use crate::decision::order::What;
use crate::decision::{Data, Decision, Order, Reason};
use crate::edge::admin::{view, words};
use crate::edge::handle::Readiness;
use crate::probe::{Cause, Observation, WatchId};
use crate::ready::{Finding, Ready};
use crate::snapshot::Snapshot;
use crate::snapshot::status::{OriginStatus, RungStatus, SteerStatus, WatchStatus};
use crate::time::{Moment, Now};
use crate::verdict::{Class, Verdict};

/// All that a view is made from, at one moment.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    pub snapshot: &'a Snapshot,
    pub config: &'a Config,
    pub readiness: &'a Readiness,
    /// `None` if the control loop did not tell in time.
    pub figures: Option<&'a control::Figures>,
    /// When this daemon began to serve.
    pub started: Now,
    pub now: Now,
}

impl Sight<'_> {
    /// The node at a glance.
    #[must_use]
    pub fn status(&self) -> view::Status {
        let status = &self.snapshot.status;
        let mut degraded = self.readiness.degraded.clone();
        if self.figures.is_none() {
            degraded.push("the control loop does not answer: figures and journal are not shown".to_owned());
        }
        let mut zones: Vec<view::Zone> = self
            .snapshot
            .zones
            .iter()
            .map(|zone| view::Zone { name: zone.apex.to_host(), serial: zone.serial.0 })
            .collect();
        zones.sort_by(|a, b| a.name.cmp(&b.name));
        view::Status {
            node: self.config.server.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.snapshot.generation.0,
            now: words::timestamp(self.now.wall),
            uptime_seconds: self.age(self.started.moment),
            ready: self.readiness.ready,
            degraded,
            doubt: self.doubt(),
            waiting: self.waiting(),
            journal: self.journal(),
            zones,
            names: status.steers.iter().map(|steer| self.steered(steer)).collect(),
            orders: status.orders.iter().map(|order| self.order(order)).collect(),
        }
    }

    /// One steered name through the six words; `None` if there is none of this folded host name.
    #[must_use]
    pub fn explain(&self, name: &str) -> Option<view::Explain> {
        let wanted = name.trim_end_matches('.').to_ascii_lowercase();
        let steer = self.snapshot.status.steers.iter().find(|s| s.steer.name.to_host() == wanted)?;
        let mut ids: Vec<WatchId> = Vec::new();
        for id in steer.rungs.iter().flat_map(|rung| &*rung.origins).flat_map(|origin| &*origin.watches) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        let steered = self.steered(steer);
        Some(view::Explain {
            node: self.config.server.name.clone(),
            generation: self.snapshot.generation.0,
            now: words::timestamp(self.now.wall),
            doubt: self.doubt(),
            waiting: self.waiting(),
            journal: self.journal(),
            config: self.configured(steer, &ids),
            watches: ids.iter().filter_map(|&id| self.watch(id)).collect(),
            answer: steered.serving.as_ref().map(|s| records(&steered.name, s)).unwrap_or_default(),
            steered,
        })
    }

    /// Every watch with its figures.
    #[must_use]
    pub fn figures(&self) -> view::Figures {
        view::Figures {
            node: self.config.server.name.clone(),
            generation: self.snapshot.generation.0,
            now: words::timestamp(self.now.wall),
            journal: self.journal(),
            watches: self.snapshot.status.watches.iter().filter_map(|watch| self.watch(watch.id)).collect(),
        }
    }

    /// A probe made just now, beside its watch; `None` if a reload took the watch away meanwhile.
    #[must_use]
    pub fn probed(&self, id: WatchId, seen: &Observation) -> Option<view::Probed> {
        let watch = self.watch_status(id)?;
        Some(view::Probed {
            origin: watch.origin_name.to_string(),
            target: watch.target.to_string(),
            port: watch.port,
            check: watch.check_name.to_string(),
            host: watch.host.to_string(),
            class: watch.verdict.class(),
            probe: self.probe(watch, seen),
            race: None,
            no_race: None,
        })
    }

    /// Whole seconds since `moment`.
    fn age(&self, moment: Moment) -> u64 {
        self.now.moment.since(moment).as_secs()
    }

    fn doubt(&self) -> Option<view::Doubt> {
        self.snapshot.status.doubt.as_ref().map(|doubt| view::Doubt {
            since: words::timestamp(doubt.since.wall),
            since_seconds: self.age(doubt.since.moment),
            evidence: doubt.evidence.clone(),
        })
    }

    fn waiting(&self) -> Option<view::Waiting> {
        self.snapshot.status.waiting.as_ref().map(|waits| view::Waiting {
            names: waits.names,
            limit: waits.limit.names,
            per_ms: whole_millis(waits.limit.per),
            next_in_ms: waits.next.map(|next| whole_millis(next.since(self.now.moment))),
        })
    }

    fn journal(&self) -> Option<view::Journal> {
        self.figures.map(|figures| view::Journal {
            recorded: figures.recorded,
            committed: figures.committed,
            durable: figures.committed >= figures.recorded,
            trouble: figures.storage.clone(),
        })
    }

    fn steered(&self, status: &SteerStatus) -> view::Steered {
        let name = status.steer.name.to_host();
        let zone = self.config.zones.get(status.zone.0 as usize).map(|zone| &zone.apex);
        let order = self.snapshot.status.orders.iter().find(
            |order| matches!(&order.what, What::Hold { name, .. } if name.folded() == status.steer.name.folded()),
        );
        view::Steered {
            name,
            zone: zone.map(|apex| apex.to_host()).unwrap_or_default(),
            zone_serial: zone
                .and_then(|apex| self.snapshot.zones.at(apex.folded().as_wire()))
                .map(|version| version.serial.0),
            serving: status.decision.as_ref().map(|decision| self.serving(status, decision)),
            since: words::timestamp(status.since.wall),
            since_seconds: self.age(status.since.moment),
            serial: status.serial.0,
            rungs: status.rungs.iter().enumerate().map(|(index, rung)| self.rung(status, index, rung)).collect(),
            order: order.map(|order| self.order(order)),
            former: status.former.as_ref().map(|former| view::Former {
                rung: former.served.place.to_string(),
                origins: former.served.origins.clone(),
                answer: answer(&former.served.data),
                until: words::timestamp(former.until),
                gone: words::timestamp(former.gone),
                remaining_seconds: seconds_up(former.gone.since(self.now.wall)),
            }),
        }
    }

    fn serving(&self, status: &SteerStatus, decision: &Decision) -> view::Serving {
        view::Serving {
            rung: decision.place.to_string(),
            origins: self.origin_names(decision),
            answer: answer(&decision.data),
            ttl: decision.ttl,
            why: words::reason_word(&decision.reason).to_owned(),
            because: self.because(status, decision),
            failback_due: match decision.reason {
                Reason::FailbackWaits { until } => Some(words::timestamp(until)),
                _ => None,
            },
            waits_since: match decision.reason {
                Reason::Waits { since, .. } => Some(words::timestamp(since)),
                _ => None,
            },
        }
    }

    /// The reason in a sentence, with what was seen of the rungs it speaks of.
    fn because(&self, status: &SteerStatus, decision: &Decision) -> String {
        let before = || status.rungs.iter().take(decision.rung).enumerate();
        let dead = || {
            let told: Vec<String> = before()
                .filter(|(_, rung)| rung.class != Class::Up || is_unready(rung))
                .map(|(index, rung)| format!("{} {}", place(status, index), self.state_of(rung)))
                .collect();
            told.join("; ")
        };
        match &decision.reason {
            Reason::FailedOver if !dead().is_empty() => dead(),
            Reason::LastResort if !dead().is_empty() => format!("last resort: {}", dead()),
            Reason::Degraded => {
                let degraded = before().filter(|(_, rung)| rung.degraded || rung.class != Class::Up);
                let told = degraded.map(|(index, rung)| format!("{} {}", place(status, index), self.state_of(rung)));
                told.collect::<Vec<_>>().join("; ")
            }
            Reason::TooFew | Reason::Panic => match status.rungs.get(decision.rung) {
                Some(rung) => format!("{}: {}", words::reason(&decision.reason), self.state_of(rung)),
                None => words::reason(&decision.reason),
            },
            Reason::FailbackWaits { until } => match before().find(|(_, rung)| is_back(rung)) {
                Some((index, _)) => format!(
                    "{} is up again; failback at {}",
                    place(status, index),
                    words::clock(words::timestamp(*until), words::timestamp(self.now.wall))
                ),
                None => words::reason(&decision.reason),
            },
            Reason::FailbackManual => match before().find(|(_, rung)| is_back(rung)) {
                Some((index, _)) => {
                    let name = status.steer.name.to_host();
                    format!("{} is up again; waits for `failoverd failback {name}`", place(status, index))
                }
                None => words::reason(&decision.reason),
            },
            Reason::Waits { to, .. } => match status.rungs.get(decision.rung).filter(|rung| rung.class != Class::Up) {
                Some(rung) => format!(
                    "{} {}; would go to {to}, waits for the velocity limit",
                    decision.place,
                    self.state_of(rung)
                ),
                None => words::reason(&decision.reason),
            },
            other => words::reason(other),
        }
    }

    /// `(vercel) is down: connection refused`, of the origins of a rung that is not up, or not well.
    fn state_of(&self, rung: &RungStatus) -> String {
        let told: Vec<String> = rung
            .origins
            .iter()
            .map(|origin| {
                let state = match (origin.drained, origin.degraded) {
                    (true, _) => "is drained",
                    (_, true) => "is degraded",
                    _ => class_is(origin.class),
                };
                let would_fail = origin.ready == Ready::WouldFail && origin.class != Class::Down;
                let findings = if would_fail { self.findings(origin) } else { Vec::new() };
                let cause = self.degraded(origin).or_else(|| self.cause(origin)).filter(|_| !origin.drained);
                match (findings.first(), cause) {
                    (Some(finding), _) => format!("({}) would fail: {}", origin.name, finding.seen),
                    (None, Some(cause)) => format!("({}) {state}: {cause}", origin.name),
                    (None, None) => format!("({}) {state}", origin.name),
                }
            })
            .collect();
        let (needs, undrained) = needs(rung);
        match needs {
            0 | 1 => told.join(", "),
            _ => format!("{} (needs {needs} of {undrained})", told.join(", ")),
        }
    }

    fn rung(&self, status: &SteerStatus, index: usize, rung: &RungStatus) -> view::Rung {
        let decision = status.decision.as_ref().filter(|decision| decision.rung == index);
        let configured = status.steer.rungs.get(index);
        view::Rung {
            rung: place(status, index),
            class: rung.class,
            degraded: rung.degraded,
            needs: needs(rung).0,
            served: decision.is_some(),
            unchecked: configured.is_some_and(|rung| rung.check.is_none())
                && rung.origins.iter().all(|origin| origin.watches.is_empty()),
            origins: rung
                .origins
                .iter()
                .map(|origin| view::Origin {
                    name: origin.name.to_string(),
                    class: origin.class,
                    degraded: self.degraded(origin),
                    drained: origin.drained,
                    served: decision.is_some_and(|decision| decision.origins.contains(&origin.origin)),
                    cause: self.cause(origin),
                    since_seconds: self.since(origin).map(|since| self.age(since.moment)),
                    stale: self.watches_of(origin).any(|watch| watch.stale),
                    ready: origin.ready,
                    findings: self.findings(origin),
                })
                .collect(),
        }
    }

    /// What is wrong with an origin for the visitors of a name, the worst first.
    fn findings(&self, origin: &OriginStatus) -> Vec<Finding> {
        let seen = self.watches_of(origin).flat_map(|watch| &*watch.findings);
        let mut findings: Vec<Finding> = seen.chain(&*origin.foreseen).cloned().collect();
        findings.sort_by(|one, other| other.level.cmp(&one.level).then_with(|| one.cmp(other)));
        findings.dedup();
        findings
    }

    fn watches_of(&self, origin: &OriginStatus) -> impl Iterator<Item = &WatchStatus> {
        origin.watches.iter().filter_map(|&id| self.watch_status(id))
    }

    /// Why an origin is of its class: the cause of the first of its watches that is of it too. Where several checks
    /// may speak, it says which does.
    fn cause(&self, origin: &OriginStatus) -> Option<String> {
        let same = self.watches_of(origin).filter(|watch| watch.verdict.class() == origin.class);
        self.speaking(origin, same, |watch| cause(&watch.verdict).map(ToString::to_string))
    }

    /// By which rule an origin is degraded.
    fn degraded(&self, origin: &OriginStatus) -> Option<String> {
        let all = self.watches_of(origin).filter(|_| origin.degraded);
        self.speaking(origin, all, |watch| watch.degraded.as_ref().map(ToString::to_string))
    }

    /// What the first of `watches` says that says anything.
    fn speaking<'w>(
        &self,
        origin: &OriginStatus,
        mut watches: impl Iterator<Item = &'w WatchStatus>,
        says: impl Fn(&WatchStatus) -> Option<String>,
    ) -> Option<String> {
        let (speaks, said) = watches.find_map(|watch| Some((watch, says(watch)?)))?;
        let several = self.watches_of(origin).any(|other| other.check != speaks.check);
        Some(if several { format!("{}: {said}", speaks.check_name) } else { said })
    }

    /// Since when an origin is of its class: since the first of its watches was up, or the last went down.
    fn since(&self, origin: &OriginStatus) -> Option<Now> {
        let same = self.watches_of(origin).filter(|watch| watch.verdict.class() == origin.class);
        let moments = same.filter_map(|watch| since(&watch.verdict));
        match origin.class {
            Class::Up | Class::Suspect => moments.min_by_key(|now| now.moment),
            Class::Untried | Class::Down => moments.max_by_key(|now| now.moment),
        }
    }

    fn order(&self, order: &Order) -> view::Order {
        let (kind, target, rung) = match &order.what {
            What::Hold { name, place } => ("hold", name.to_host(), Some(place.to_string())),
            What::Drain { origin } => ("drain", origin.clone(), None),
        };
        view::Order {
            id: order.id.0,
            kind: kind.to_owned(),
            target,
            rung,
            actor: order.actor.clone(),
            reason: order.reason.clone(),
            given: words::timestamp(order.given),
            until: order.until.map(words::timestamp),
            remaining_seconds: order.until.map(|until| seconds_up(until.since(self.now.wall))),
        }
    }

    fn check(&self, id: CheckId) -> Option<&Check> {
        self.config.checks.get(id.0 as usize).map(AsRef::as_ref)
    }

    fn watch_status(&self, id: WatchId) -> Option<&WatchStatus> {
        self.snapshot.status.watches.get(id.0 as usize).map(AsRef::as_ref).filter(|watch| watch.id == id)
    }

    fn origin_names(&self, decision: &Decision) -> Vec<String> {
        let origins = decision.origins.iter().filter_map(|id| self.config.origins.get(id.0 as usize));
        origins.map(|origin| origin.name.clone()).collect()
    }
}

/// One journal entry as a line of `events`.
#[must_use]
pub fn event(entry: Entry) -> view::Event {
    let Entry { sequence, at, node, what } = entry;
    view::Event { sequence, at: words::timestamp(at), node: node.to_string(), what }
}

/// What a client gets, in presentation format.
fn records(owner: &str, serving: &view::Serving) -> Vec<String> {
    let (owner, ttl) = (format!("{}.", owner.trim_end_matches('.')), serving.ttl);
    match &serving.answer {
        view::Answer::Cname(target) => vec![format!("{owner} {ttl} IN CNAME {}.", target.trim_end_matches('.'))],
        view::Answer::Addresses(addresses) => addresses
            .iter()
            .map(|address| format!("{owner} {ttl} IN {} {address}", if address.is_ipv4() { "A" } else { "AAAA" }))
            .collect(),
    }
}

fn answer(data: &Data) -> view::Answer {
    match data {
        Data::Cname(target) => view::Answer::Cname(target.to_host()),
        Data::Addresses(addresses) => view::Answer::Addresses(addresses.clone()),
    }
}

fn place(status: &SteerStatus, index: usize) -> String {
    status.steer.rungs.get(index).map_or(Place::Primary, |rung| rung.place).to_string()
}

/// How many of the undrained origins of a rung have to be usable, and how many there are.
fn needs(rung: &RungStatus) -> (usize, usize) {
    let undrained = rung.origins.iter().filter(|origin| !origin.drained).count();
    (rung.quorum.needs(undrained), undrained)
}

/// Every usable origin of the rung would fail its visitors.
fn is_unready(rung: &RungStatus) -> bool {
    let mut usable = rung.origins.iter().filter(|origin| !origin.drained && origin.class.is_usable()).peekable();
    usable.peek().is_some() && usable.all(|origin| origin.ready == Ready::WouldFail)
}

fn is_back(rung: &RungStatus) -> bool {
    rung.class == Class::Up && !is_unready(rung)
}

fn class_is(class: Class) -> &'static str {
    match class {
        Class::Up => "is up",
        Class::Suspect => "is suspect",
        Class::Untried => "is not known yet",
        Class::Down => "is down",
    }
}

fn cause(verdict: &Verdict) -> Option<&Cause> {
    match verdict {
        Verdict::Up { .. } => None,
        Verdict::Untried { cause, .. } => cause.as_ref(),
        Verdict::Suspect { cause, .. } | Verdict::Down { cause, .. } => Some(cause),
    }
}

fn since(verdict: &Verdict) -> Option<Now> {
    match *verdict {
        Verdict::Untried { .. } => None,
        Verdict::Suspect { first_failure, .. } => Some(first_failure),
        Verdict::Up { since } | Verdict::Down { since, .. } => Some(since),
    }
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds left, so that a countdown ends at zero and not before.
fn seconds_up(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
