//! Which rung of a ladder to serve, and which of its origins.
//!
//! The class of a rung is that of as many of its undrained origins as its quorum asks for, one where it has none: the
//! best, or the second best of two that are needed. With too few of them it is down, which is what *dead* means here;
//! *short* is one that is dead though some of its origins work or may work. *Degraded* counts only where the name leaves
//! degraded rungs; *well* is up and not degraded. A rung is *unready* when it is alive only by origins that would
//! fail their visitors although they pass their checks. Rules apply from the top; `served` is the rung of the decision before.
//!
//! ```text
//!   order, sight       served rung           other rungs                      decision
//!   ──────────────────────────────────────────────────────────────────────────────────────────────────────────
//!   held               any                   any                              the held rung
//!   in doubt           not all drained       any                              as it was, less what was drained
//!   -                  unready, strict       any alive and ready              as if the served one were dead
//!   -                  degraded              one well                         the first one well
//!   -                  unready               a better one up                  the first of them well; else the first well
//!                                                                             of all; else the first of them
//!   -                  up, suspect, untried  no better one well               stays
//!   -                  up, suspect, untried  a better one well, failback due  the best one that is due
//!   -                  up, suspect, untried  a better one well, not due       stays, failback waits
//!   -                  emergency, not dead   one up                           the first one well, else up
//!   -                  emergency, not dead   none up                          stays
//!   -                  dead or none          one up                           the first one well, else up
//!   -                  dead or none          none up, one suspect             the first one suspect
//!   -                  dead or none          none usable, one untried         the first one untried
//!   -                  dead or none          unready, an emergency usable     the emergency, if it is ready
//!   -                  dead or none          unready                          the first one well, up, suspect, untried
//!   -                  dead or none          all dead, an emergency alive     the emergency
//!   -                  short                 all dead                         stays, what is left of it
//!   -                  dead or none          all dead, one short              the first one short, what is left of it
//!                                                                             (that works, else that may work)
//!   -                  dead or none          all dead, an emergency           the emergency, if not drained
//!   -                  dead or none          all dead, one drained that works  that one, drained as it is
//!   -                  dead or none          all dead, no emergency           the last served, with all its origins
//! ```
//!
//! *Other rungs* leave the emergency out, and unready ones where a row does not speak of them and anything is ready:
//! readiness keeps from moving to a rung, and unless `strict` it takes nobody off the rung that is served but back to a
//! better one. Failback governs only what it says: a rung that is not dead is left for a better one. Failing over,
//! leaving a dead, degraded or unready rung and leaving the emergency never wait.
//!
//! What is left of a short rung is its usable origins; all that are not drained, where fewer are alive than its panic
//! share asks for: the few would be overrun by the traffic of all.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Failback, Place, Quorum};
use crate::decision::{Order, Reason};
use crate::time::{Moment, Now};
use crate::verdict::origin::agreed;
use crate::verdict::{Class, Grade};

/// A hold-down doubles at most this often.
const RELAPSES_MAX: u32 = 5;
/// A doubled hold-down does not grow beyond this (one configured longer stays as it is).
const HOLD_MAX: Duration = Duration::from_secs(24 * 3600);
/// A rung that dies within this many hold-downs of the failback to it has relapsed.
const RELAPSE_HOLDS: u32 = 10;
/// And at least within this.
const RELAPSE_MIN: Duration = Duration::from_secs(3600);

/// One rung as its name sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RungView {
    pub place: Place,
    /// How many of its origins have to be usable.
    pub quorum: Quorum,
    /// In the order of the configuration. Never empty.
    pub origins: Vec<OriginView>,
}

/// One origin of a rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OriginView {
    /// `Untried` for one that is served unasked.
    pub class: Class,
    /// It is degraded, and its name leaves what is.
    pub degraded: bool,
    pub drained: bool,
    /// It passes its check and would fail its visitors all the same.
    pub would_fail: bool,
}

/// What a name remembers between decisions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    served: Option<Place>,
    /// What was served of that rung.
    origins: Vec<usize>,
    /// The place comes from an earlier run, and no probe has confirmed it yet.
    restored: bool,
    /// A person approved the failback that waits.
    approved: bool,
    /// Since when each rung is well and may be failed back to, by place; a suspicion that passes does not break it.
    up_since: Vec<(Place, Moment)>,
    /// The last move to a better rung.
    failed_back: Option<(Place, Moment)>,
    relapses: u32,
}

/// What to serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Index into the ladder.
    pub rung: usize,
    /// Indices into the rung's origins, ascending. Never empty.
    pub origins: Vec<usize>,
    pub why: Why,
    /// When a failback falls due: decide again then.
    pub wake: Option<Moment>,
}

/// Why; [`Reason`] tells it to people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    Preferred,
    Unproven,
    FailedOver,
    FailbackWaits {
        until: Now,
    },
    FailbackManual,
    LastResort,
    Degraded,
    TooFew,
    Panic,
    AllDead,
    Held,
    Doubt,
    Restored,
    /// The velocity limit has no room for the move to this rung, wanted since then.
    Waits {
        to: Place,
        since: Now,
    },
}

impl Why {
    /// As it is shown and recorded; `hold` is the order that holds the name, if one does.
    pub fn reason(self, hold: Option<&Order>) -> Reason {
        match self {
            Self::Preferred => Reason::Preferred,
            Self::Unproven => Reason::Unproven,
            Self::FailedOver => Reason::FailedOver,
            Self::FailbackWaits { until } => Reason::FailbackWaits { until: until.wall },
            Self::FailbackManual => Reason::FailbackManual,
            Self::LastResort => Reason::LastResort,
            Self::Degraded => Reason::Degraded,
            Self::TooFew => Reason::TooFew,
            Self::Panic => Reason::Panic,
            Self::AllDead => Reason::AllDead,
            Self::Held => Reason::Held {
                actor: hold.map(|order| order.actor.clone()).unwrap_or_default(),
                reason: hold.map(|order| order.reason.clone()).unwrap_or_default(),
                until: hold.and_then(|order| order.until),
            },
            Self::Doubt => Reason::Doubt,
            Self::Restored => Reason::Restored,
            Self::Waits { to, since } => Reason::Waits { to, since: since.wall },
        }
    }
}

/// The grade of a rung of these undrained origins.
pub fn rung_grade(quorum: Quorum, undrained: impl Iterator<Item = Grade> + Clone) -> Grade {
    agreed(quorum.needs(undrained.clone().count()), undrained)
}

impl OriginView {
    fn grade(&self) -> Grade {
        Grade { class: self.class, degraded: self.degraded }
    }
}

impl RungView {
    fn undrained(&self) -> impl Iterator<Item = Grade> + Clone {
        self.origins.iter().filter(|origin| !origin.drained).map(OriginView::grade)
    }

    /// That of so many of the origins that are not drained as are needed; down if all are.
    pub fn class(&self) -> Class {
        rung_grade(self.quorum, self.undrained()).class
    }

    fn is_degraded(&self) -> bool {
        rung_grade(self.quorum, self.undrained()).degraded
    }

    fn is_well(&self) -> bool {
        let grade = rung_grade(self.quorum, self.undrained());
        grade.class == Class::Up && !grade.degraded
    }

    /// Dead, though some of its origins work or may work.
    fn is_short(&self) -> bool {
        self.is_dead() && self.undrained().any(|origin| origin.class != Class::Down)
    }

    /// Dead, though some of its origins work.
    fn is_short_and_works(&self) -> bool {
        self.is_dead() && self.undrained().any(|origin| origin.class.is_usable())
    }

    /// Short, and fewer are left than its panic share asks for.
    fn panics(&self) -> bool {
        let calm = self.quorum.calm_from(self.undrained().count());
        calm > 0 && self.is_short() && agreed(calm, self.undrained()).class == Class::Down
    }

    fn is_dead(&self) -> bool {
        self.class() == Class::Down
    }

    /// Without the origins that would fail it were not usable any more; or dead, where it is only not known yet.
    fn is_unready(&self) -> bool {
        let is_failing = |origin: &OriginView| origin.would_fail && origin.class != Class::Down;
        let undrained = || self.origins.iter().filter(|origin| !origin.drained);
        if self.is_dead() || !undrained().any(is_failing) {
            return false;
        }
        let needed = self.quorum.needs(undrained().count());
        let ready = agreed(needed, undrained().filter(|origin| !is_failing(origin)).map(OriginView::grade)).class;
        if self.class().is_usable() { !ready.is_usable() } else { ready == Class::Down }
    }

    fn is_drained(&self) -> bool {
        self.origins.iter().all(|origin| origin.drained)
    }

    /// The origins that would work, drained or not.
    fn working(&self) -> Vec<usize> {
        (0..self.origins.len()).filter(|&index| self.origins[index].class.is_usable()).collect()
    }

    /// True if only an order keeps it from being served.
    fn works_drained(&self) -> bool {
        !self.working().is_empty()
    }

    /// What is served of this rung: its usable origins that would not fail and those of `kept`, served already, that are
    /// not known to be dead (nor, if `strict`, would fail); else the other usable ones, else those not known, else all that are not drained, else all.
    /// In a panic all that are not drained.
    fn serving(&self, kept: &[usize], strict: bool) -> Vec<usize> {
        let with = |wanted: &dyn Fn(usize, &OriginView) -> bool| {
            let chosen = self.origins.iter().enumerate().filter(|(index, origin)| wanted(*index, origin));
            Some(chosen.map(|(index, _)| index).collect::<Vec<_>>()).filter(|chosen| !chosen.is_empty())
        };
        let panics = self.panics();
        let fails = |origin: &OriginView| origin.class == Class::Down || strict && origin.would_fail;
        let stays = |index, origin: &OriginView| !fails(origin) && kept.contains(&index);
        let serves = |origin: &OriginView| origin.class.is_usable() && !origin.would_fail;
        with(&|index, origin| !origin.drained && (panics || serves(origin) || stays(index, origin)))
            .or_else(|| with(&|_, origin| !origin.drained && origin.class.is_usable()))
            .or_else(|| with(&|_, origin| !origin.drained && origin.class == Class::Untried))
            .or_else(|| with(&|_, origin| !origin.drained))
            .unwrap_or_else(|| (0..self.origins.len()).collect())
    }
}

impl Standing {
    /// As an earlier run left it: these origins of the place are served as if they had been all along. Hold-downs
    /// start again.
    pub fn restored(place: Place, origins: Vec<usize>) -> Self {
        Self { served: Some(place), origins, restored: true, ..Self::default() }
    }

    /// The same memory on another ladder: `moved` tells where a rung stands there, `origins` what of the served one is
    /// served. A rung that is gone is forgotten.
    #[must_use]
    pub fn moved(&self, moved: impl Fn(Place) -> Option<Place>, origins: Vec<usize>) -> Self {
        let served = self.served.and_then(&moved);
        let up_since: BTreeMap<_, _> =
            self.up_since.iter().filter_map(|&(place, since)| Some((moved(place)?, since))).collect();
        Self {
            served,
            origins: if served.is_some() { origins } else { Vec::new() },
            restored: self.restored && served.is_some(),
            approved: self.approved,
            up_since: up_since.into_iter().collect(),
            failed_back: self.failed_back.and_then(|(place, at)| Some((moved(place)?, at))),
            relapses: self.relapses,
        }
    }

    /// What is served of this rung already.
    fn kept(&self, rung: &RungView) -> &[usize] {
        if self.served == Some(rung.place) { &self.origins } else { &[] }
    }

    /// The rung served.
    pub fn served(&self) -> Option<Place> {
        self.served
    }

    /// How often in a row the rung failed back to has died again soon.
    pub fn relapses(&self) -> u32 {
        self.relapses
    }

    /// A person approves the failback that waits: the next decision makes it. False if none waits.
    pub fn approve(&mut self, ladder: &[RungView]) -> bool {
        let waits = self.served_rung(ladder).is_some_and(|served| {
            let stays = ladder[served].place != Place::Emergency && !ladder[served].is_dead();
            stays && (0..served).any(|rung| is_better(ladder, rung))
        });
        self.approved = waits;
        waits
    }

    /// How long a better rung has to be up before it is failed back to; `None` waits for a person.
    pub fn hold_down(&self, failback: Failback) -> Option<Duration> {
        match failback {
            Failback::Auto => Some(Duration::ZERO),
            Failback::Manual => None,
            Failback::After(hold) => {
                let doubled = hold.saturating_mul(1 << self.relapses.min(RELAPSES_MAX));
                Some(doubled.min(HOLD_MAX).max(hold))
            }
        }
    }

    fn up_since(&self, place: Place) -> Option<Moment> {
        self.up_since.iter().find(|&&(up, _)| up == place).map(|&(_, since)| since)
    }

    fn served_rung(&self, ladder: &[RungView]) -> Option<usize> {
        ladder.iter().position(|rung| Some(rung.place) == self.served)
    }

    /// Brings the memory up to date with what is seen now, before a decision.
    fn witness(&mut self, ladder: &[RungView], failback: Failback, strict: bool, now: Moment) {
        self.up_since.retain(|&(place, _)| ladder.iter().any(|rung| rung.place == place));
        let nothing_ready = nothing_ready(ladder);
        for rung in ladder {
            let is_sound = !rung.is_degraded() && (nothing_ready || !rung.is_unready());
            match rung.class() {
                Class::Up if is_sound => {
                    if let Err(at) = self.up_since.binary_search_by_key(&rung.place, |&(place, _)| place) {
                        self.up_since.insert(at, (rung.place, now));
                    }
                }
                Class::Suspect if is_sound => {}
                Class::Up | Class::Suspect | Class::Untried | Class::Down => {
                    self.up_since.retain(|&(place, _)| place != rung.place);
                }
            }
        }
        let Some((place, at)) = self.failed_back else { return };
        let window = match failback {
            Failback::After(hold) => hold.saturating_mul(RELAPSE_HOLDS).max(RELAPSE_MIN),
            Failback::Auto | Failback::Manual => RELAPSE_MIN,
        };
        if now.since(at) > window {
            // It has held: old relapses are forgiven.
            (self.failed_back, self.relapses) = (None, 0);
        } else if let Some(rung) = ladder.iter().find(|rung| rung.place == place)
            && (rung.is_dead() || rung.is_degraded() || strict && rung.is_unready())
        {
            self.failed_back = None;
            // To drain a rung is a person's wish, not the rung's weakness.
            self.relapses = (self.relapses + u32::from(!rung.is_drained())).min(RELAPSES_MAX);
        }
    }

    /// Stays on the rung that is served, though the rules would leave it: what is left to serve of it.
    pub fn stay(
        &mut self,
        ladder: &[RungView],
        rung: usize,
        failback: Failback,
        strict: bool,
        why: Why,
        now: Moment,
    ) -> Choice {
        self.witness(ladder, failback, strict, now);
        let origins = ladder[rung].serving(self.kept(&ladder[rung]), strict);
        (self.served, self.approved) = (Some(ladder[rung].place), false);
        self.origins.clone_from(&origins);
        Choice { rung, origins, why, wake: None }
    }

    /// Remembers a decision of the rules; `before` is the rung it leaves.
    fn settle(&mut self, ladder: &[RungView], before: Option<usize>, choice: &Choice, by_rule: bool, now: Moment) {
        let place = ladder[choice.rung].place;
        if self.served != Some(place) {
            self.failed_back = match before {
                Some(before) if by_rule && choice.rung < before => Some((place, now)),
                _ => None,
            };
        }
        // An approval is for the failback that waits now, not for one to come.
        self.approved &= !by_rule;
        self.restored &= choice.why == Why::Restored;
        self.served = Some(place);
        self.origins.clone_from(&choice.origins);
    }
}

/// What to serve for one name. Total: every ladder that is not empty has an answer, and no answer is empty.
///
/// `hold` is the place an order holds the name on; one that is not on the ladder is passed over. `frozen` is true while
/// our own sight is in doubt; `strict` lets an unready rung count as dead while another lives.
pub fn decide(
    ladder: &[RungView],
    failback: Failback,
    standing: &mut Standing,
    hold: Option<Place>,
    frozen: bool,
    strict: bool,
    now: Now,
) -> Choice {
    standing.witness(ladder, failback, strict, now.moment);
    let before = standing.served_rung(ladder);
    let held = ladder.iter().position(|rung| Some(rung.place) == hold);
    let choice = match (held, before) {
        (Some(rung), _) => {
            let origins = ladder[rung].serving(standing.kept(&ladder[rung]), strict);
            Choice { rung, origins, why: Why::Held, wake: None }
        }
        (None, Some(served)) if frozen && !ladder[served].is_drained() => still(ladder, served, standing),
        _ => by_the_rules(ladder, failback, standing, before, strict, now),
    };
    if choice.rung < ladder.len() {
        standing.settle(ladder, before, &choice, held.is_none() && !frozen, now.moment);
    }
    choice
}

/// What was served, less what has been drained since.
fn still(ladder: &[RungView], served: usize, standing: &Standing) -> Choice {
    let rung = &ladder[served];
    let is_served = |index: &usize| rung.origins.get(*index).is_some_and(|origin| !origin.drained);
    let mut origins: Vec<usize> = standing.origins.iter().copied().filter(is_served).collect();
    if origins.is_empty() {
        origins = rung.serving(&[], false);
    }
    Choice { rung: served, origins, why: Why::Doubt, wake: None }
}

fn by_the_rules(
    ladder: &[RungView],
    failback: Failback,
    standing: &Standing,
    before: Option<usize>,
    strict: bool,
    now: Now,
) -> Choice {
    let serve = |rung: usize, why: Why, wake: Option<Moment>| {
        let origins = ladder.get(rung).map(|rung| rung.serving(standing.kept(rung), strict)).unwrap_or_default();
        Choice { rung, origins, why, wake }
    };
    let first_of = |wanted: &dyn Fn(&RungView) -> bool| {
        ladder.iter().position(|rung| rung.place != Place::Emergency && wanted(rung))
    };
    let first = |unready: bool, wanted: &dyn Fn(&RungView) -> bool| {
        first_of(&|rung| rung.is_unready() == unready && wanted(rung))
    };
    let first_up =
        |unready| first(unready, &RungView::is_well).or_else(|| first(unready, &|rung| rung.class() == Class::Up));
    let alive = |unready| {
        let of = |class| first(unready, &|rung| rung.class() == class);
        first_up(unready).or_else(|| of(Class::Suspect)).or_else(|| of(Class::Untried))
    };
    let emergency = || ladder.iter().position(|rung| rung.place == Place::Emergency && !rung.is_drained());
    let emergency_alive = || emergency().filter(|&rung| !ladder[rung].is_dead());
    let emergency_ready = || emergency_alive().filter(|&rung| !ladder[rung].is_unready());
    let stays = |served: usize| {
        let gives_way = || strict && ladder[served].is_unready() && alive(false).or_else(emergency_ready).is_some();
        !ladder[served].is_dead() && !gives_way()
    };
    let settled = |rung: usize| serve(rung, why_here(ladder, rung, standing), None);

    match before.filter(|&served| stays(served)) {
        Some(served) if ladder[served].place == Place::Emergency => {
            let unready = || first_up(true).filter(|_| nothing_ready(ladder));
            settled(first_up(false).or_else(unready).unwrap_or(served))
        }
        Some(served) => match left_for(ladder, served)
            .map_or_else(|| waiting(ladder, failback, standing, served, now), Waiting::AtOnce)
        {
            Waiting::AtOnce(rung) => settled(rung),
            Waiting::Nothing => settled(served),
            // A rung between may be due before the best one is: that one goes on waiting.
            Waiting::Due(better) => match waiting(ladder, failback, standing, better, now) {
                Waiting::Until(until) => serve(better, Why::FailbackWaits { until }, Some(until.moment)),
                _ => settled(better),
            },
            Waiting::Until(until) => serve(served, Why::FailbackWaits { until }, Some(until.moment)),
            Waiting::ForApproval => serve(served, Why::FailbackManual, None),
        },
        None => {
            let unready = || alive(true).map(|unready| emergency_ready().unwrap_or(unready));
            let left = |is_such: &dyn Fn(&RungView) -> bool| {
                before.filter(|&served| is_such(&ladder[served])).or_else(|| first_of(is_such))
            };
            let short = || left(&RungView::is_short_and_works).or_else(|| left(&RungView::is_short));
            match alive(false).or_else(unready).or_else(emergency_alive).or_else(short).or_else(emergency) {
                Some(rung) => settled(rung),
                // A drain that leaves nothing usable gives way, and is flagged: better a drained origin than a dead one.
                None => match ladder.iter().position(RungView::works_drained) {
                    Some(rung) => Choice { rung, origins: ladder[rung].working(), why: Why::AllDead, wake: None },
                    None => serve(before.unwrap_or(0), Why::AllDead, None),
                },
            }
        }
    }
}

/// What a failback from a rung that is not dead waits for.
enum Waiting {
    /// For nothing: this one is served now.
    AtOnce(usize),
    /// No better rung is up.
    Nothing,
    /// This one may be served.
    Due(usize),
    Until(Now),
    ForApproval,
}

fn waiting(ladder: &[RungView], failback: Failback, standing: &Standing, served: usize, now: Now) -> Waiting {
    let better: Vec<usize> = (0..served).filter(|&rung| is_better(ladder, rung)).collect();
    let Some(&best) = better.first() else {
        return Waiting::Nothing;
    };
    if standing.approved {
        return Waiting::Due(best);
    }
    let Some(hold) = standing.hold_down(failback) else {
        return Waiting::ForApproval;
    };
    let due = |rung: usize| standing.up_since(ladder[rung].place).unwrap_or(now.moment) + hold;
    match better.iter().find(|&&rung| due(rung) <= now.moment) {
        Some(&rung) => Waiting::Due(rung),
        None => {
            let soonest = better.iter().map(|&rung| due(rung)).min().unwrap_or(now.moment);
            Waiting::Until(now + soonest.since(now.moment))
        }
    }
}

/// What a rung that is alive is left for at once: a degraded one for the first that is well, an unready one where a better
/// one is up. That one is chosen at once which nothing would make it leave again.
fn left_for(ladder: &[RungView], served: usize) -> Option<usize> {
    let well = || (0..ladder.len()).find(|&rung| ladder[rung].place != Place::Emergency && is_better(ladder, rung));
    let ready = |wanted: &dyn Fn(&RungView) -> bool| {
        (0..served).find(|&rung| !ladder[rung].is_unready() && wanted(&ladder[rung]))
    };
    let home = || {
        let better = ready(&RungView::is_well);
        better.or_else(|| ready(&|rung| rung.class() == Class::Up).map(|degraded| well().unwrap_or(degraded)))
    };
    let well_at_once = if ladder[served].is_degraded() { well() } else { None };
    well_at_once.or_else(|| if ladder[served].is_unready() { home() } else { None })
}

/// May a rung be failed back to? It is well, and it is ready unless nothing is.
fn is_better(ladder: &[RungView], rung: usize) -> bool {
    ladder[rung].is_well() && (!ladder[rung].is_unready() || nothing_ready(ladder))
}

/// Whatever is alive would fail.
fn nothing_ready(ladder: &[RungView]) -> bool {
    ladder.iter().all(|rung| rung.is_dead() || rung.is_unready())
}

/// Why a rung is served that neither an order nor a wait explains.
fn why_here(ladder: &[RungView], rung: usize, standing: &Standing) -> Why {
    let (place, class) = (ladder[rung].place, ladder[rung].class());
    let is_last_resort =
        place == Place::Emergency && ladder.iter().all(|other| other.place == place || other.is_dead());
    let is_restored = standing.restored && standing.served == Some(place) && class == Class::Untried && !is_last_resort;
    let is_degraded = |other: &RungView| other.class() == Class::Up && other.is_degraded();
    match place {
        _ if is_restored => Why::Restored,
        _ if ladder[rung].panics() => Why::Panic,
        _ if ladder[rung].is_short() => Why::TooFew,
        Place::Emergency => Why::LastResort,
        _ if class == Class::Untried => Why::Unproven,
        _ if rung == 0 => Why::Preferred,
        _ if ladder[..rung].iter().any(is_degraded) => Why::Degraded,
        _ => Why::FailedOver,
    }
}

#[cfg(test)]
mod grades;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod tests;
