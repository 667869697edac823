//! The race a failure starts, run for a person to see: by a schedule and a verdict of its own, so it moves nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{CheckId, OriginId};
use crate::edge::clock;
use crate::probe::schedule::{Schedule, Timing};
use crate::probe::watch::{Key, Watch};
use crate::probe::{Observation, Purpose, Request, WatchId};
use crate::time::Now;
use crate::verdict::{Class, Thresholds, Verdict};

use super::Prober;

/// The only watch of the schedule.
const WATCH: WatchId = WatchId(0);

/// One race, as if its watch had been up.
#[derive(Clone, PartialEq, Debug)]
pub struct Raced {
    /// In the order of their starts.
    pub runners: Vec<Runner>,
    /// What was believed in the end, and how long after the first start.
    pub class: Class,
    pub after: Duration,
}

/// One probe of a race.
#[derive(Clone, PartialEq, Debug)]
pub struct Runner {
    /// From the first start to its own.
    pub offset: Duration,
    /// Our end of its connection, if it got that far.
    pub local: Option<SocketAddr>,
    pub seen: Observation,
}

impl Prober {
    /// Asks `request` once, and if that fails runs the race to its end: the time of a scheduled probe, its
    /// confirmations and a timeout. An origin that calls us is looked at once: nothing confirms a call that is missed.
    pub async fn race_out(&self, request: Request) -> Raced {
        if request.check.ask.is_awaited() {
            return self.looked(request).await;
        }
        let Request { target, port, host, check, .. } = &request;
        let (target, host) = (target.clone(), host.clone());
        let watch = Watch { origin: OriginId(0), target, port: *port, check: CheckId(0), host };
        let limits = Thresholds::from(&**check);
        let mut schedule = Schedule::new();
        schedule.arrange(&[(Key::new(&watch, check), Timing::from(&**check))], clock::moment());
        let mut verdict = Verdict::Up { since: clock::now() };
        let mut decided = None;
        let mut running: JoinSet<(Observation, Option<SocketAddr>)> = JoinSet::new();
        let mut done: Vec<(Observation, Option<SocketAddr>)> = Vec::new();
        loop {
            let is_over = decided.is_some() && verdict.class() != Class::Suspect;
            for start in schedule.due(clock::moment()).into_iter().filter(|_| !is_over) {
                let (prober, epoch) = (self.clone(), schedule.epoch(WATCH));
                let request =
                    Request { watch: WATCH, epoch, purpose: start.purpose, due: start.due, ..request.clone() };
                running.spawn(async move { prober.probe_from(request).await });
            }
            // All that is to come belongs to the ordinary schedule.
            let is_idle = schedule.next_deadline() >= schedule.next_of(WATCH);
            if running.is_empty() && decided.is_some() && (is_over || is_idle) {
                break;
            }
            let nap = schedule.next_deadline().map_or(Duration::ZERO, |at| at.since(clock::moment()));
            tokio::select! {
                joined = running.join_next(), if !running.is_empty() => {
                    // One that broke down has been reported by the panic itself.
                    let Some(Ok((seen, local))) = joined else { continue };
                    let now = clock::now();
                    if !is_over {
                        let started = Now { moment: seen.started, wall: now.wall };
                        verdict = verdict.observe(&seen.outcome, started, limits, now);
                        decided = Some(now.moment);
                    }
                    schedule.observed(&seen, verdict.class(), now.moment);
                    done.push((seen, local));
                }
                () = sleep(nap), if !is_over || running.is_empty() => {}
            }
        }
        done.sort_by_key(|(seen, _)| seen.started);
        let first = done.first().map_or_else(clock::moment, |(seen, _)| seen.started);
        let runner = |(seen, local): (Observation, _)| Runner { offset: seen.started.since(first), local, seen };
        let after = decided.map_or(Duration::ZERO, |at| at.since(first));
        Raced { runners: done.into_iter().map(runner).collect(), class: verdict.class(), after }
    }

    async fn looked(&self, request: Request) -> Raced {
        let (limits, up) = (Thresholds::from(&*request.check), Verdict::Up { since: clock::now() });
        let seen = self.probe(Request { purpose: Purpose::Scheduled, due: clock::moment(), ..request }).await;
        let now = clock::now();
        let class = up.observe(&seen.outcome, now, limits, now).class();
        let after = now.moment.since(seen.started);
        Raced { runners: vec![Runner { offset: Duration::ZERO, local: None, seen }], class, after }
    }
}

impl Raced {
    /// The probe it began with.
    pub fn first(&self) -> Option<&Observation> {
        self.runners.iter().map(|runner| &runner.seen).find(|seen| seen.purpose == Purpose::Scheduled)
    }
}
