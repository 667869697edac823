//! Certificate failures that may be our own clock or roots.
//!
//! A certificate that is expired, not yet valid or of an unknown issuer is what a wrong clock or missing roots of our
//! own look like too. Such a failure is held back until a *peer* has answered: another https or tls watch, of another origin
//! and another target.
//!
//! ```text
//!   what peers show that were asked after the failure ended            the failure
//!   ────────────────────────────────────────────────────────────────────────────────
//!   one got past its certificate                                       counts
//!   all that got as far as a certificate failed on trust as well       is excused: ours
//!   none got as far as a certificate                                   counts
//!   there are no peers                                                 counts at once
//! ```
//!
//! A witness round costs a round trip, so a certificate that alone expires turns its watch down in the usual time;
//! and since every failure is weighed on its own, a clock that is set right again takes no old failure with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::expect::Subject;
use crate::config::{Config, OriginId};
use crate::probe::watch::Watch;
use crate::probe::{Cause, LocalFault, Observation, Outcome, Phase, Purpose, Target, WatchId};
use crate::time::Moment;
use crate::verdict::Class;

/// Peers asked at a time about one failure.
const WITNESSES: usize = 3;
/// Failures held back at most; of more the oldest are excused.
const HELD_MAX: usize = 4096;

/// Weighs trust failures of one watch against what the others show.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// By [`WatchId`].
    peers: Vec<Peer>,
    held: Vec<Held>,
}

/// What an observation counts as.
#[derive(Clone, PartialEq, Debug)]
pub struct Weighed {
    /// Failures held back before that count now, oldest first: to be fed to their watches' verdicts and to
    /// `Schedule::released`, before `outcome`.
    pub release: Vec<Observation>,
    /// What the observation itself counts as, for the verdict and `Schedule::observed`: its own outcome, or
    /// `Inconclusive(ClockOrRoots)` where it is held back.
    pub outcome: Outcome,
    /// Watches to ask at once, with [`Weighed::since`].
    pub witnesses: Vec<WatchId>,
    /// For `Schedule::witness`.
    pub since: Moment,
}

/// A watch as evidence for the others.
#[derive(Clone, Debug)]
struct Peer {
    /// It is shown a certificate.
    shows: bool,
    origin: OriginId,
    target: Target,
    /// Roots of its own, else the system's.
    roots: Option<Arc<str>>,
    /// Its check expects days before expiry, so that its pass speaks of the calendar too.
    counts_days: bool,
    /// What it showed last, and when that probe started.
    last: Option<(Shown, Moment)>,
}

/// What an answer shows of our clock and roots, best witness first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Shown {
    /// The certificate held.
    Proof,
    /// Failed on trust.
    Distrust,
    /// Did not get as far as a certificate.
    Nothing,
}

/// A failure that waits for its witnesses.
#[derive(Clone, Debug)]
struct Held {
    failure: Observation,
    doubted: Doubted,
    /// Peers asked, with what they showed since.
    asked: Vec<(WatchId, Option<Shown>)>,
}

/// What becomes of a failure that was held back.
enum Settled {
    Counts,
    Excused,
    /// These more are to be asked.
    Waits(Vec<WatchId>),
}

/// What of ours could be at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doubted {
    Clock,
    Roots,
    /// `cert_days` of `expect`: a clock that is weeks ahead.
    Days,
}

impl Trust {
    /// (Re)load; `continued` is what `Schedule::arrange` gave.
    pub fn arrange(&mut self, watches: &[Watch], config: &Config, continued: &[Option<WatchId>]) {
        let former = std::mem::take(&mut self.peers);
        let mut moved: BTreeMap<WatchId, WatchId> = BTreeMap::new();
        for (index, watch) in (0..).zip(watches) {
            let check = &config.checks[watch.check.0 as usize];
            let before = continued.get(index as usize).copied().flatten();
            moved.extend(before.map(|before| (before, WatchId(index))));
            self.peers.push(Peer {
                shows: check.ask.sees_certificate(),
                origin: watch.origin,
                target: watch.target.clone(),
                roots: check.ca.clone(),
                counts_days: check.expect.iter().any(|expression| expression.subject() == Subject::CertDays),
                last: before.and_then(|before| former.get(before.0 as usize)).and_then(|peer| peer.last),
            });
        }
        self.held.retain_mut(|held| {
            held.asked = held.asked.iter().filter_map(|&(peer, shown)| Some((*moved.get(&peer)?, shown))).collect();
            let stays = moved.get(&held.failure.watch);
            held.failure.watch = stays.copied().unwrap_or(held.failure.watch);
            stays.is_some()
        });
    }

    /// Weighs an observation (whose `watch` is of the last arrangement); `class` is its verdict's before it.
    pub fn weigh(&mut self, observation: &Observation, class: Class) -> Weighed {
        let mut weighed = Weighed {
            release: Vec::new(),
            outcome: observation.outcome.clone(),
            witnesses: Vec::new(),
            since: observation.finished,
        };
        let watch = observation.watch;
        let is_shown = self.peers.get(watch.0 as usize).is_some_and(|peer| peer.shows);
        if !is_shown || observation.purpose == Purpose::Manual {
            return weighed;
        }
        self.peers[watch.0 as usize].last = Some((shown(&observation.outcome, Doubted::Clock), observation.started));
        self.testify(observation, &mut weighed);

        let Outcome::Failed(cause) = &observation.outcome else {
            if observation.outcome == Outcome::Passed {
                self.held.retain(|held| held.failure.watch != watch || held.failure.started > observation.started);
            }
            return weighed;
        };
        // A watch that is down stays down, whoever is at fault.
        let Some(doubted) = doubted(cause).filter(|_| class != Class::Down) else {
            return weighed;
        };
        let mut held = Held { failure: observation.clone(), doubted, asked: Vec::new() };
        let witnesses = self.ask_more(&mut held);
        if witnesses.is_empty() {
            return weighed;
        }
        if observation.purpose == Purpose::Witness {
            // It was asked about another's trouble; its own next probe speaks for itself. Else witnesses would call
            // witnesses without end.
            weighed.outcome = Outcome::Inconclusive(LocalFault::ClockOrRoots);
            return weighed;
        }
        match self.settle(&mut held) {
            Settled::Counts => return weighed,
            Settled::Excused => {}
            Settled::Waits(more) => {
                weighed.witnesses = witnesses;
                weighed.witnesses.extend(more);
                if self.held.len() >= HELD_MAX {
                    self.held.remove(0);
                }
                self.held.push(held);
            }
        }
        weighed.outcome = Outcome::Inconclusive(LocalFault::ClockOrRoots);
        weighed
    }

    /// Lets an answer speak about the failures that are held back.
    fn testify(&mut self, answer: &Observation, weighed: &mut Weighed) {
        for mut held in std::mem::take(&mut self.held) {
            let speaks =
                answer.started >= held.failure.finished && self.is_peer(answer.watch, held.failure.watch, held.doubted);
            if speaks {
                let shown = shown(&answer.outcome, held.doubted);
                match held.asked.iter_mut().find(|(peer, _)| *peer == answer.watch) {
                    Some((_, before)) => *before = Some(shown),
                    None if shown == Shown::Proof => held.asked.push((answer.watch, Some(shown))),
                    None => {}
                }
            }
            match self.settle(&mut held) {
                Settled::Counts => weighed.release.push(held.failure),
                Settled::Excused => {}
                Settled::Waits(more) => {
                    weighed.witnesses.extend(more);
                    self.held.push(held);
                }
            }
        }
        weighed.release.sort_by_key(|failure| failure.started);
    }

    /// The table at the head of the file.
    fn settle(&self, held: &mut Held) -> Settled {
        let any = |wanted: Option<Shown>| held.asked.iter().any(|&(_, shown)| shown == wanted);
        if any(Some(Shown::Proof)) {
            Settled::Counts
        } else if any(None) {
            Settled::Waits(Vec::new())
        } else if any(Some(Shown::Distrust)) {
            Settled::Excused
        } else {
            let more = self.ask_more(held);
            if more.is_empty() { Settled::Counts } else { Settled::Waits(more) }
        }
    }

    /// Takes the next few witnesses for a failure; those that have answered since need not be asked again. After the
    /// first few, peers that showed nothing the last time are passed over.
    fn ask_more(&self, held: &mut Held) -> Vec<WatchId> {
        let is_first = held.asked.is_empty();
        let asked: Vec<WatchId> = held.asked.iter().map(|&(peer, _)| peer).collect();
        let mut chosen = self.witnesses(held.failure.watch, held.doubted, &asked);
        chosen.retain(|peer| {
            is_first || self.peers[peer.0 as usize].last.is_none_or(|(shown, _)| shown != Shown::Nothing)
        });
        for &peer in &chosen {
            let since = self.peers[peer.0 as usize].last.filter(|&(_, started)| started >= held.failure.finished);
            let shown = since.map(|(shown, _)| shown).filter(|_| held.doubted != Doubted::Days);
            held.asked.push((peer, shown));
        }
        chosen
    }

    /// The best few peers of a watch that are not `asked` yet, one per origin.
    fn witnesses(&self, watch: WatchId, doubted: Doubted, asked: &[WatchId]) -> Vec<WatchId> {
        let mut best: [Vec<(OriginId, WatchId)>; 4] = Default::default();
        for (peer, id) in self.peers.iter().zip((0..).map(WatchId)) {
            let rank = match peer.last.map(|(shown, _)| shown) {
                Some(Shown::Proof) => 0,
                None => 1,
                Some(Shown::Distrust) => 2,
                Some(Shown::Nothing) => 3,
            };
            let row: &mut Vec<_> = &mut best[rank];
            let room = row.len() < WITNESSES && row.iter().all(|&(origin, _)| origin != peer.origin);
            if room && !asked.contains(&id) && self.is_peer(id, watch, doubted) {
                row.push((peer.origin, id));
            }
        }
        let mut chosen: Vec<(OriginId, WatchId)> = Vec::new();
        for (origin, id) in best.into_iter().flatten() {
            if chosen.len() < WITNESSES && chosen.iter().all(|&(taken, _)| taken != origin) {
                chosen.push((origin, id));
            }
        }
        chosen.into_iter().map(|(_, id)| id).collect()
    }

    /// Can `peer` vouch for what `watch` makes doubtful?
    fn is_peer(&self, peer: WatchId, watch: WatchId, doubted: Doubted) -> bool {
        let (Some(peer), Some(watch)) = (self.peers.get(peer.0 as usize), self.peers.get(watch.0 as usize)) else {
            return false;
        };
        let same_ground = match doubted {
            Doubted::Clock => true,
            Doubted::Roots => peer.roots == watch.roots,
            Doubted::Days => peer.counts_days,
        };
        peer.shows && peer.origin != watch.origin && peer.target != watch.target && same_ground
    }
}

/// What a failure makes doubtful; `None` if it is plainly the origin's.
fn doubted(cause: &Cause) -> Option<Doubted> {
    match cause {
        Cause::CertExpired | Cause::CertNotYetValid => Some(Doubted::Clock),
        Cause::CertUnknownIssuer => Some(Doubted::Roots),
        Cause::Unexpected { .. } if cause.is_trust() => Some(Doubted::Days),
        _ => None,
    }
}

/// What an answer of an https watch shows of what is doubted.
fn shown(outcome: &Outcome, about: Doubted) -> Shown {
    match outcome {
        Outcome::Passed => Shown::Proof,
        Outcome::Failed(cause) => match (doubted(cause), cause) {
            // The certificate itself held, so neither clock nor roots are far off.
            (Some(Doubted::Days), _) if about != Doubted::Days => Shown::Proof,
            (Some(_), _) => Shown::Distrust,
            _ if about == Doubted::Days => Shown::Nothing,
            (None, Cause::Unexpected { .. } | Cause::CertWrongName) => Shown::Proof,
            (None, Cause::Timeout(phase) | Cause::Reset(phase)) if *phase > Phase::Tls => Shown::Proof,
            _ => Shown::Nothing,
        },
        Outcome::Inconclusive(LocalFault::Throttled) if about != Doubted::Days => Shown::Proof,
        Outcome::Inconclusive(_) => Shown::Nothing,
    }
}

#[cfg(test)]
mod tests;
