//! What the probes saw, as views.

use std::time::Duration;

use super::{Sight, cause, since, whole_millis};
use crate::config::CheckId;
use crate::edge::admin::{view, words};
use crate::edge::prober::Raced;
use crate::probe::{Cause, Observation, Outcome, Phases, Purpose, WatchId};
use crate::snapshot::status::WatchStatus;
use crate::time::Wall;
use crate::verdict::Verdict;

/// Why an origin that calls us is not raced.
const NOTHING_TO_RACE: &str = "the origin calls us, and each call that is missed counts by itself";

impl Sight<'_> {
    pub(super) fn watch(&self, id: WatchId) -> Option<view::Watch> {
        let watch = self.watch_status(id)?;
        let figures = self.figures.and_then(|figures| figures.watches.iter().find(|row| row.watch == id));
        let verdict = figures.map_or(&watch.verdict, |row| &row.verdict);
        let since = since(verdict);
        Some(view::Watch {
            origin: watch.origin_name.to_string(),
            target: watch.target.to_string(),
            port: watch.port,
            check: watch.check_name.to_string(),
            host: watch.host.to_string(),
            class: verdict.class(),
            since: since.map(|since| words::timestamp(since.wall)),
            since_seconds: since.map(|since| self.age(since.moment)),
            progress: self.progress(watch.check, verdict),
            cause: cause(verdict).map(ToString::to_string),
            stale: watch.stale,
            unseen: watch.unseen,
            degraded: watch.degraded.as_ref().map(ToString::to_string),
            last: figures.and_then(|row| row.last.as_ref()).map(|seen| self.probe(watch, seen)),
            recent: figures.map(|row| row.recent.clone()).unwrap_or_default(),
            next_in_ms: figures.and_then(|row| row.next).map(|next| whole_millis(next.since(self.now.moment))),
            probes: figures.map_or(0, |row| row.probes),
            failures: figures.map_or(0, |row| row.failures),
        })
    }

    /// A race run just now, beside its watch; `None` if a reload took the watch away meanwhile, or the probe it
    /// began with broke down.
    #[must_use]
    pub fn raced(&self, id: WatchId, raced: &Raced) -> Option<view::Probed> {
        let watch = self.watch_status(id)?;
        let probed = self.probed(id, raced.first()?)?;
        if self.check(watch.check).is_some_and(|check| check.ask.is_awaited()) {
            return Some(view::Probed { no_race: Some(NOTHING_TO_RACE.to_owned()), ..probed });
        }
        let runners = raced.runners.iter().map(|runner| view::Runner {
            offset_ms: fine_millis(runner.offset),
            source_port: runner.local.map(|local| local.port()),
            probe: self.probe(watch, &runner.seen),
        });
        let race = view::Race { runners: runners.collect(), class: raced.class, after_ms: fine_millis(raced.after) };
        Some(view::Probed { race: Some(race), ..probed })
    }

    fn progress(&self, check: CheckId, verdict: &Verdict) -> Option<String> {
        let (fall, rise) = self.check(check).map_or((0, 0), |check| (check.fall, check.rise));
        match *verdict {
            Verdict::Untried { failures: 0, .. } => Some("no conclusive probe yet".to_owned()),
            Verdict::Untried { failures, .. } | Verdict::Suspect { failures, .. } => {
                Some(format!("{failures} failed in a row; down after {fall}"))
            }
            Verdict::Up { .. } => None,
            Verdict::Down { passes, .. } => match self.check(check).and_then(|check| check.window) {
                Some(window) if passes >= rise => {
                    Some(format!("passes; up when fewer than {} of its last {} failed", window.failed, window.of))
                }
                _ => Some(format!("{passes} of {rise} passes towards up")),
            },
        }
    }

    pub(super) fn probe(&self, watch: &WatchStatus, seen: &Observation) -> view::Probe {
        let ago = self.now.moment.since(seen.started);
        let (outcome, label, cause) = match &seen.outcome {
            Outcome::Passed => (view::Outcome::Passed, None, None),
            Outcome::Failed(cause) => (view::Outcome::Failed, Some(cause.label()), Some(cause.to_string())),
            Outcome::Inconclusive(fault) => (view::Outcome::Inconclusive, Some(fault.label()), Some(fault.to_string())),
        };
        let began = self.now.wall.millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX));
        view::Probe {
            purpose: match seen.purpose {
                Purpose::Scheduled => "scheduled".to_owned(),
                Purpose::Confirm(number) => format!("confirmation {number}"),
                Purpose::Witness => "witness".to_owned(),
                Purpose::Tripwire => "tripwire".to_owned(),
                Purpose::Manual => "manual".to_owned(),
            },
            started: words::timestamp(Wall::from_millis(began)),
            ago_ms: whole_millis(ago),
            outcome,
            label: label.map(str::to_owned),
            cause,
            address: seen.address,
            status: seen.status,
            phases: phases(&seen.phases),
            total_ms: fine_millis(seen.phases.total()),
            expect: self
                .check(watch.check)
                .map(|check| expectations(check.expect.iter().map(|one| one.text.as_str()), &seen.outcome))
                .unwrap_or_default(),
            warnings: seen.warnings.clone(),
            certificate: seen.certificate.as_ref().map(|shown| view::Certificate {
                subject: shown.subject.clone(),
                issuer: shown.issuer.clone(),
                names: shown.names.clone(),
                not_before: jiff::Timestamp::from_second(shown.not_before).unwrap_or_default(),
                not_after: jiff::Timestamp::from_second(shown.not_after).unwrap_or_default(),
                days_left: shown.not_after.saturating_sub(self.now.wall.seconds()).div_euclid(86_400),
                chain: shown.chain,
            }),
        }
    }
}

/// The first expectation that does not hold ends a probe; those before it held.
pub(super) fn expectations<'a>(
    expect: impl Iterator<Item = &'a str> + Clone,
    outcome: &Outcome,
) -> Vec<view::Expectation> {
    let broken = match outcome {
        Outcome::Failed(Cause::Unexpected { expression, seen }) => Some((expression, seen)),
        _ => None,
    };
    let broken_at = broken.and_then(|(text, _)| expect.clone().position(|one| one == text));
    let told = expect.enumerate().map(|(index, text)| {
        let held = match broken_at {
            Some(at) if index == at => Some(false),
            Some(at) if index < at => Some(true),
            _ => (*outcome == Outcome::Passed).then_some(true),
        };
        let seen = broken.filter(|_| held == Some(false)).map(|(_, seen)| seen.clone());
        view::Expectation { text: text.to_owned(), held, seen }
    });
    told.collect()
}

fn phases(phases: &Phases) -> view::Phases {
    view::Phases {
        resolve_ms: phases.resolve.map(fine_millis),
        connect_ms: phases.connect.map(fine_millis),
        tls_ms: phases.tls.map(fine_millis),
        first_byte_ms: phases.first_byte.map(fine_millis),
        body_ms: phases.body.map(fine_millis),
        answer_ms: phases.answer.map(fine_millis),
    }
}

/// Milliseconds to the microsecond.
fn fine_millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}
