//! When each watch is asked next; the confirmation race.
//!
//! Scheduled starts of a watch lie on a grid of its own: one per `every`, at an offset that is a hash of what it asks.
//! One scheduled probe of a watch is in flight at a time.
//!
//! A failure is confirmed fast. When a probe of a watch that is not down fails, or a scheduled one
//! is open for longer than it usually takes, up to `fall − 1` confirmations race it. Times count from the start of the
//! first probe:
//!
//! ```text
//!   first        1·confirm     2·confirm  …          max((fall − 1)·confirm, blip)
//!     ├────────────┼─────────────┼─────────────────────┤
//!   scheduled    confirm 1     confirm 2             confirm fall − 1
//! ```
//!
//! They do not wait for each other, and a pass of any probe that started at or after the first calls off the rest.
//!
//! An origin that calls us is not asked: its probes only look whether it has called. Each call puts the next look off
//! to where the call after it is overdue, so a watch whose origin calls in time is never looked at. There is no race,
//! and no look while we may have been away ourselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::config::Check;
use crate::probe::watch::Key;
use crate::probe::{Cause, Epoch, Observation, Outcome, Purpose, WatchId};
use crate::time::Moment;
use crate::verdict::Class;

/// First probes after a start or reload are spread over this, or over `every` if that is less: a name without a
/// remembered decision waits for them.
const FIRST_ROUND: Duration = Duration::from_secs(1);
/// Where they are many, they are this far apart on average: a herd of them would be slow by itself.
const FIRST_APART: Duration = Duration::from_millis(1);
/// Scheduled probes that start at once, at most. More are due together only after a machine slept or stood still; the
/// others are spread as first probes are: a herd would be slow by itself, and confirmed for it.
const AT_ONCE: usize = 256;
/// A probe that has not come back this long after twice its timeout never will: the watch is asked again.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// The last confirmation of a race that began before the first probe came back starts this much later, since that
/// probe's real start is not known yet and the failures have to span `blip`.
const START_SLACK: Duration = Duration::from_millis(10);
/// A probe takes longer than usual at this multiple of the average of those that passed.
const UNUSUAL: u32 = 3;
/// A new measurement's share of that average: one in eight.
const AVERAGE_OVER: u32 = 8;
/// Nobody has asked for what is due for this long: the machine slept, or stood still. Who calls us called in vain.
const AWAY: Duration = Duration::from_secs(5);
/// Intervals without a conclusive observation after which a verdict is stale.
const STALE_INTERVALS: u32 = 3;

/// How often a watch is asked; from its check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    pub every: Duration,
    /// The same for a standby.
    pub standby_every: Duration,
    pub timeout: Duration,
    pub fall: u32,
    pub confirm: Duration,
    pub blip: Duration,
    /// The origin calls us.
    pub awaited: bool,
    /// A probe is a program: one that is still open is not raced, only one that has failed. Where many take long the
    /// machine is busy with them, and racing them would keep it so.
    pub dear: bool,
}

impl From<&Check> for Timing {
    fn from(check: &Check) -> Self {
        let Check { every, standby_every, timeout, fall, confirm, blip, .. } = *check;
        let (awaited, dear) = (check.ask.is_awaited(), check.ask.is_dear());
        Self { every, standby_every, timeout, fall, confirm, blip, awaited, dear }
    }
}

impl Timing {
    /// From the first failing start to the last confirmation's.
    pub fn race_span(&self) -> Duration {
        self.confirm.saturating_mul(self.fall.saturating_sub(1)).max(self.blip)
    }

    /// Number of confirmations a race has: none if one failure is enough at once.
    pub fn confirmations(&self) -> u32 {
        match self.fall {
            _ if self.awaited => 0,
            0 | 1 if self.blip.is_zero() => 0,
            0 | 1 => 1,
            fall => fall - 1,
        }
    }

    /// From a call to where the next one is overdue.
    fn overdue(&self) -> Duration {
        self.every.saturating_add(self.timeout)
    }

    fn lost(&self) -> Duration {
        self.timeout.saturating_mul(2).saturating_add(LOST_AFTER)
    }
}

/// One probe to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    pub watch: WatchId,
    pub purpose: Purpose,
    /// When it was to start; whoever asks late for what is due starts it late.
    pub due: Moment,
}

/// The timer of all watches. Starts and observations cost the logarithm of their number.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// By [`WatchId`].
    entries: Vec<Entry>,
    /// Where the watch of an epoch stands.
    by_epoch: BTreeMap<Epoch, u32>,
    /// The next deadline of each entry, as it knows it.
    queue: BTreeSet<(Moment, u32)>,
    last_epoch: u64,
    /// When it was last asked for what is due.
    asked: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Key,
    timing: Timing,
    /// Nobody waits for it: it is asked less often.
    is_standby: bool,
    epoch: Epoch,
    /// Next scheduled start.
    next: Moment,
    scheduled: Option<Open>,
    /// Start of the one out of turn in flight.
    witness: Option<Moment>,
    wanted: Option<Wanted>,
    /// Confirmations in flight, with their starts.
    confirmations: Vec<(u8, Moment)>,
    race: Option<Race>,
    /// Moving average of how long passed probes took.
    usual: Option<Duration>,
    class: Class,
    /// Start of the latest probe of any purpose.
    last_start: Option<Moment>,
    /// End of the latest conclusive probe; at first the arrangement.
    conclusive: Moment,
    queued: Option<Moment>,
}

/// A scheduled probe in flight.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: Moment,
    /// It took too long, and a race began over it.
    raced: bool,
}

/// A probe out of turn is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Wanted {
    /// One that started at or after this will do as well.
    since: Moment,
    /// When it is to start.
    at: Moment,
    is_tripped: bool,
}

#[derive(Clone, Debug)]
struct Race {
    /// Start of the first probe that failed, or that takes too long.
    first: Moment,
    /// Confirmations to come, with their planned starts, in order.
    plan: VecDeque<(u8, Moment)>,
    /// A confirmation was inconclusive: the ordinary schedule goes on instead of one more.
    spoiled: bool,
    /// One more confirmation was added, since the planned ones all failed and still did not suffice.
    extended: bool,
}

impl Schedule {
    /// Without watches.
    pub fn new() -> Self {
        Self::default()
    }

    /// (Re)load. Watches of unchanged keys keep timers, probes in flight, averages and epoch under their new timing;
    /// others get a new epoch. Gives, per watch, the one of the arrangement before that it continues.
    pub fn arrange(&mut self, watches: &[(Key, Timing)], now: Moment) -> Vec<Option<WatchId>> {
        let mut former: BTreeMap<Key, VecDeque<(u32, Entry)>> = BTreeMap::new();
        for (index, entry) in (0..).zip(std::mem::take(&mut self.entries)) {
            former.entry(entry.key.clone()).or_default().push_back((index, entry));
        }
        self.queue.clear();
        self.by_epoch.clear();
        let found: Vec<_> = watches.iter().map(|(key, _)| former.get_mut(key).and_then(VecDeque::pop_front)).collect();
        let new = u32::try_from(found.iter().filter(|found| found.is_none()).count()).unwrap_or(u32::MAX);
        let mut continued = Vec::new();
        for ((index, &(ref key, timing)), found) in (0..).zip(watches).zip(found) {
            let (before, mut entry) = match found {
                Some((before, entry)) => (Some(WatchId(before)), entry),
                None => (None, self.fresh(key.clone(), timing, new, now)),
            };
            let pace = entry.every();
            if timing.awaited && timing != entry.timing {
                entry.next = now + timing.overdue();
            }
            entry.timing = timing;
            if !timing.awaited && entry.every() < pace {
                entry.next = entry.next.min(grid(key, entry.every(), now));
            }
            entry.queued = None;
            self.by_epoch.insert(entry.epoch, index);
            self.entries.push(entry);
            self.requeue(index);
            continued.push(before);
        }
        continued
    }

    /// A watch that nobody has asked yet, one of so many.
    fn fresh(&mut self, key: Key, timing: Timing, many: u32, now: Moment) -> Entry {
        self.last_epoch += 1;
        let next = match timing.awaited {
            true => now + timing.overdue(),
            false => scattered(&key, timing.every, many, now),
        };
        Entry {
            key,
            timing,
            is_standby: false,
            epoch: Epoch(self.last_epoch),
            next,
            scheduled: None,
            witness: None,
            wanted: None,
            confirmations: Vec::new(),
            race: None,
            usual: None,
            class: Class::Untried,
            last_start: None,
            conclusive: now,
            queued: None,
        }
    }

    /// The epoch to give to this watch's probes.
    ///
    /// # Panics
    /// If the watch is not of the last arrangement.
    pub fn epoch(&self, watch: WatchId) -> Epoch {
        self.entries[watch.0 as usize].epoch
    }

    /// Takes these epochs over, one per watch of the last arrangement; later ones follow them.
    pub fn renumber(&mut self, epochs: &[Epoch]) {
        self.by_epoch.clear();
        for ((index, entry), &epoch) in (0..).zip(&mut self.entries).zip(epochs) {
            entry.epoch = epoch;
            self.by_epoch.insert(epoch, index);
            self.last_epoch = self.last_epoch.max(epoch.0);
        }
    }

    /// Where the watch of this epoch stands now; `None` if it is gone. Epochs are unique over all watches: the
    /// observation of a probe started before a reload finds its watch by it, whatever its number was then.
    pub fn locate(&self, epoch: Epoch) -> Option<WatchId> {
        self.by_epoch.get(&epoch).copied().map(WatchId)
    }

    /// Where the watch of this observation stands now; `None` if it is gone. After no reload it is where it was.
    pub fn locate_seen(&self, observation: &Observation) -> Option<WatchId> {
        let before = self.entries.get(observation.watch.0 as usize);
        match before {
            Some(entry) if entry.epoch == observation.epoch => Some(observation.watch),
            _ => self.locate(observation.epoch),
        }
    }

    /// False for an observation whose watch is gone or another by now: it is to be dropped.
    pub fn is_current(&self, observation: &Observation) -> bool {
        self.locate_seen(observation).is_some()
    }

    /// What is to be started now. Marks it in flight.
    pub fn due(&mut self, now: Moment) -> Vec<Start> {
        if self.asked.replace(now).is_some_and(|before| now.since(before) > AWAY) {
            self.was_away(now);
        }
        let mut ripe = Vec::new();
        while let Some(&(deadline, index)) = self.queue.first() {
            if deadline > now {
                break;
            }
            self.queue.pop_first();
            ripe.push(index);
        }
        let many = u32::try_from(ripe.len()).unwrap_or(u32::MAX);
        let mut starts = Vec::new();
        for index in ripe {
            let entry = &mut self.entries[index as usize];
            entry.queued = None;
            let ready = entry.due(now, starts.len() < AT_ONCE, many).into_iter();
            starts.extend(ready.map(|(purpose, due)| Start { watch: WatchId(index), purpose, due }));
            self.requeue(index);
        }
        starts
    }

    /// Calls may have come while nobody listened: the clock of each origin that calls us begins anew.
    fn was_away(&mut self, now: Moment) {
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            if entry.timing.awaited {
                entry.next = now + entry.timing.overdue();
                self.requeue(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
    }

    /// A probe came back, with its outcome as [`Trust`](super::trust::Trust) weighed it; `class` is the verdict's
    /// after it. Starts a race, goes on with one or calls it off. A `Manual` probe moves nothing.
    pub fn observed(&mut self, observation: &Observation, class: Class, now: Moment) {
        self.with(observation, |entry| entry.observed(observation, class, now));
    }

    /// A failure that was held back by [`Trust`](super::trust::Trust) counts after all; `class` is the verdict's after
    /// it. Starts the race it would have started.
    pub fn released(&mut self, observation: &Observation, class: Class, now: Moment) {
        self.with(observation, |entry| {
            entry.class = class;
            entry.conclusive = entry.conclusive.max(observation.finished);
            entry.failed(observation);
            entry.end_race(now);
        });
    }

    fn with(&mut self, observation: &Observation, change: impl FnOnce(&mut Entry)) {
        if let Some(WatchId(index)) = self.locate_seen(observation) {
            change(&mut self.entries[index as usize]);
            self.requeue(index);
        }
    }

    /// Asks this watch out of turn as soon as possible, unless a probe of it that started at or after `since` is in
    /// flight or done.
    pub fn witness(&mut self, watch: WatchId, since: Moment) {
        self.want(watch, Wanted { since, at: since, is_tripped: false });
    }

    /// The same for a watch whose [tripwire](super::tripwire) ended at `since`. Where many end at once, only so many
    /// are asked at once.
    pub fn tripped(&mut self, watch: WatchId, since: Moment) {
        self.want(watch, Wanted { since, at: since, is_tripped: true });
    }

    fn want(&mut self, watch: WatchId, wanted: Wanted) {
        let Some(entry) = self.entries.get_mut(watch.0 as usize) else {
            return;
        };
        // What an origin said to us some time ago proves nothing now.
        if !entry.timing.awaited && entry.last_start.is_none_or(|start| start < wanted.since) {
            entry.wanted = entry.wanted.max(Some(wanted));
            self.requeue(watch.0);
        }
    }

    /// Asks a standby less often from its next probe on, and one that is none any more at its full pace at once.
    pub fn pace(&mut self, watch: WatchId, is_standby: bool, now: Moment) {
        let Some(entry) = self.entries.get_mut(watch.0 as usize) else {
            return;
        };
        // Who calls us keeps a pace of his own.
        if entry.timing.awaited || std::mem::replace(&mut entry.is_standby, is_standby) == is_standby {
            return;
        }
        let next = grid(&entry.key, entry.every(), now);
        entry.next = if is_standby && entry.last_start.is_some() { next } else { entry.next.min(next) };
        // Nobody was late by an interval that did not hold until now.
        entry.conclusive = entry.conclusive.max(now - entry.every());
        self.requeue(watch.0);
    }

    /// When [`Schedule::due`] has something to do next.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.queue.first().map(|&(deadline, _)| deadline)
    }

    /// Next scheduled start of a watch.
    pub fn next_of(&self, watch: WatchId) -> Option<Moment> {
        self.entries.get(watch.0 as usize).map(|entry| entry.next)
    }

    /// True if a watch has had no conclusive observation for three intervals and a timeout.
    pub fn is_stale(&self, watch: WatchId, now: Moment) -> bool {
        self.stale_at(watch).is_some_and(|at| now > at)
    }

    /// The moment after which a watch is stale, if nothing conclusive comes.
    pub fn stale_at(&self, watch: WatchId) -> Option<Moment> {
        let entry = self.entries.get(watch.0 as usize)?;
        Some(entry.conclusive + entry.every().saturating_mul(STALE_INTERVALS) + entry.timing.timeout)
    }

    fn requeue(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let deadline = entry.deadline();
        if entry.queued != Some(deadline) {
            if let Some(queued) = entry.queued.replace(deadline) {
                self.queue.remove(&(queued, index));
            }
            self.queue.insert((deadline, index));
        }
    }
}

impl Entry {
    /// Time between two scheduled probes.
    fn every(&self) -> Duration {
        if self.is_standby { self.timing.standby_every } else { self.timing.every }
    }

    /// When something is to be done about this watch.
    fn deadline(&self) -> Moment {
        let lost = self.timing.lost();
        let scheduled = match self.scheduled {
            Some(open) => self.slow_at(open).unwrap_or(open.start + lost),
            None => self.next,
        };
        let witness = match self.witness {
            Some(start) => Some(start + lost),
            None => self.wanted.map(|wanted| wanted.at),
        };
        let planned = self.race.as_ref().and_then(|race| race.plan.front()).map(|&(_, at)| at);
        let confirmation = planned.filter(|_| self.has_room());
        let oldest = self.confirmations.iter().map(|&(_, start)| start + lost).min();
        [witness, confirmation, oldest].into_iter().flatten().fold(scheduled, Moment::min)
    }

    fn has_room(&self) -> bool {
        self.confirmations.len() < self.timing.confirmations() as usize
    }

    /// When the scheduled probe in flight has been open for too long; `None` if no race can come of it.
    ///
    /// Not later than the last confirmation's start, however slow the origin usually is: the promised time to detect
    /// a death that does not answer is `race_span` and a timeout.
    fn slow_at(&self, open: Open) -> Option<Moment> {
        let can_race = !open.raced && self.race.is_none() && self.class != Class::Down && !self.timing.dear;
        let patience = self.usual.map_or(Duration::ZERO, |usual| usual.saturating_mul(UNUSUAL));
        (can_race && self.timing.confirmations() > 0)
            .then(|| open.start + patience.max(self.timing.confirm).min(self.timing.race_span()))
    }

    /// What starts now; a scheduled probe only if there `is_room`, else soon, as one of so `many`.
    fn due(&mut self, now: Moment, is_room: bool, many: u32) -> Vec<(Purpose, Moment)> {
        self.give_up_lost(now);
        let mut starts = Vec::new();
        if let Some(open) = self.scheduled {
            if self.slow_at(open).is_some_and(|at| at <= now) {
                self.scheduled = Some(Open { raced: true, ..open });
                self.begin_race(open.start, START_SLACK);
            }
        } else if self.next <= now {
            if is_room {
                self.scheduled = Some(Open { start: now, raced: false });
                starts.push((Purpose::Scheduled, self.next));
                self.next = match self.timing.awaited {
                    true => now + self.timing.every,
                    false => grid(&self.key, self.every(), now),
                };
            } else {
                self.next = scattered(&self.key, self.every(), many, now);
            }
        }
        while self.has_room()
            && let Some(race) = &mut self.race
            && let Some(&(number, at)) = race.plan.front()
            && at <= now
        {
            race.plan.pop_front();
            self.confirmations.push((number, now));
            starts.push((Purpose::Confirm(number), at));
        }
        if !starts.is_empty() {
            self.last_start = Some(now);
        }
        if let Some(Wanted { since, at, is_tripped }) = self.wanted
            && self.witness.is_none()
            && at <= now
        {
            let is_new = self.last_start.is_none_or(|start| start < since);
            self.wanted = None;
            if is_new && is_tripped && !is_room {
                let at = scattered(&self.key, self.timing.every, many, now);
                self.wanted = Some(Wanted { since, at, is_tripped });
            } else if is_new {
                self.witness = Some(now);
                self.last_start = Some(now);
                starts.push((if is_tripped { Purpose::Tripwire } else { Purpose::Witness }, at));
            }
        }
        starts
    }

    /// Probes that never came back.
    fn give_up_lost(&mut self, now: Moment) {
        let lost = self.timing.lost();
        let is_lost = |start: Moment| start + lost <= now;
        self.scheduled = self.scheduled.filter(|open| !is_lost(open.start));
        self.witness = self.witness.filter(|&start| !is_lost(start));
        let before = self.confirmations.len();
        self.confirmations.retain(|&(_, start)| !is_lost(start));
        if self.confirmations.len() < before {
            self.race = self.race.take().filter(|race| !race.plan.is_empty());
        }
    }

    fn observed(&mut self, observation: &Observation, class: Class, now: Moment) {
        let started = observation.started;
        match observation.purpose {
            Purpose::Manual => return,
            Purpose::Scheduled => {
                self.scheduled = self.scheduled.filter(|open| open.start > started);
                // One that outlasted its interval made the next one wait, not late.
                self.next = self.next.max(now);
            }
            Purpose::Witness | Purpose::Tripwire => self.witness = self.witness.filter(|&start| start > started),
            Purpose::Confirm(number) => {
                let mine = |&(open, start): &(u8, Moment)| open == number && start <= started;
                if let Some(at) = self.confirmations.iter().position(mine) {
                    self.confirmations.remove(at);
                }
            }
        }
        self.class = class;
        let has_called = matches!(observation.outcome, Outcome::Passed | Outcome::Failed(Cause::Reported));
        if self.timing.awaited && has_called {
            self.next = self.next.max(started + self.timing.overdue());
        }
        match &observation.outcome {
            Outcome::Passed => {
                self.conclusive = self.conclusive.max(observation.finished);
                let took = observation.finished.since(started);
                self.usual = Some(
                    self.usual.map_or(took, |usual| (usual * (AVERAGE_OVER - 1)).saturating_add(took) / AVERAGE_OVER),
                );
                self.race = self.race.take().filter(|race| race.first > started);
            }
            Outcome::Failed(_) => {
                self.conclusive = self.conclusive.max(observation.finished);
                self.failed(observation);
            }
            Outcome::Inconclusive(_) => {
                if let Some(race) = &mut self.race {
                    race.spoiled = true;
                }
            }
        }
        self.end_race(now);
    }

    fn failed(&mut self, observation: &Observation) {
        let is_scheduled = observation.purpose == Purpose::Scheduled;
        let is_first = is_scheduled || matches!(observation.purpose, Purpose::Witness | Purpose::Tripwire);
        match &mut self.race {
            // The probe the race began over: now its start is known exactly.
            Some(race) if is_scheduled && race.first < observation.started => {
                let later = observation.started.since(race.first);
                if later < START_SLACK {
                    race.first = observation.started;
                    race.plan.iter_mut().for_each(|(_, at)| *at = *at + later);
                }
            }
            Some(_) => {}
            None if self.class != Class::Down && is_first => {
                self.begin_race(observation.started, Duration::ZERO);
            }
            None => {}
        }
    }

    fn begin_race(&mut self, first: Moment, slack: Duration) {
        let count = self.timing.confirmations();
        let planned = |number: u32| {
            let after = if number == count { self.timing.race_span() + slack } else { self.timing.confirm * number };
            (u8::try_from(number).unwrap_or(u8::MAX), first + after)
        };
        let plan: VecDeque<_> = (1..=count).map(planned).collect();
        self.race = (!plan.is_empty()).then_some(Race { first, plan, spoiled: false, extended: false });
    }

    /// A race is over when all its probes have come back. If all failed and that did not suffice (the starts fell
    /// short of `blip` by a hair), one more is added.
    fn end_race(&mut self, now: Moment) {
        if self.class == Class::Down {
            self.race = None;
        }
        let waits = !self.confirmations.is_empty() || self.scheduled.is_some_and(|open| open.raced);
        match &mut self.race {
            Some(race) if race.plan.is_empty() && !waits => {
                if race.spoiled || race.extended {
                    self.race = None;
                } else {
                    race.extended = true;
                    let number = self.timing.confirmations().saturating_add(1);
                    race.plan.push_back((u8::try_from(number).unwrap_or(u8::MAX), now));
                }
            }
            _ => {}
        }
    }
}

/// When one of so `many` starts that might all start now: within a round of them, or at its place on the grid where
/// the interval is shorter than that.
fn scattered(key: &Key, every: Duration, many: u32, now: Moment) -> Moment {
    let round = FIRST_ROUND.max(FIRST_APART.saturating_mul(many));
    if round >= every {
        return grid(key, every, now);
    }
    let within = u64::try_from(round.as_nanos()).unwrap_or(u64::MAX).max(1);
    now + Duration::from_nanos(key.spread().rotate_left(32) % within)
}

/// The first scheduled start after `now`: one per `every`, at an offset given by the key.
fn grid(key: &Key, every: Duration, now: Moment) -> Moment {
    let every = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
    let nanos = u64::try_from(now.since_boot().as_nanos()).unwrap_or(u64::MAX);
    let (offset, phase) = (key.spread() % every, nanos % every);
    let wait = if phase < offset { offset - phase } else { every - (phase - offset) };
    now + Duration::from_nanos(wait)
}

#[cfg(test)]
mod tests;
