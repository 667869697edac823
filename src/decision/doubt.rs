//! Is our own sight in doubt?
//!
//! Before a watch turns down, something else must have shown that we can still see: a probe of any watch that passed,
//! or the canary, after that watch's first failure had become known. (After, not while: what came in before may stem
//! from a time when our uplink still worked.)
//!
//! ```text
//!   doubt     begins when a watch would turn down and               ends with
//!   ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
//!   blind     nothing has passed since its first failure was        a pass of any watch, or of the canary
//!             known, and two origins or more were up
//!   swept     of ten origins or more, over the share turned down    a pass of the canary, or so many of them again
//!             within one window, and no canary passed in it         that it is no more over the share
//! ```
//!
//! The witness is asked when the first failure becomes known, so it has a second to come back: where a single failure turns a
//! watch down (`fall = 1`), the death waits so long for it.
//!
//! A window that is full of failures is no streak: its watch may have passed a moment ago. It turns down with the first
//! observation, failed or passed, that has a witness in the same way; a pass of the watch itself is one. Until then it
//! is not in doubt but suspect.
//!
//! While in doubt no failure counts, so no verdict turns down and decisions stay; nor do failures of probes that
//! started before the doubt ended.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::probe::Epoch;
use crate::time::Moment;

/// Origins that must have been up for their common silence to mean us.
const BLIND_MIN: usize = 2;
/// Origins there must be for a sweep to mean us.
const SWEEP_MIN: usize = 10;
/// Turning down within this counts as one sweep.
const WINDOW: Duration = Duration::from_secs(10);
/// How long after a watch's first failure its witnesses may take, before nothing counts as passing any more.
const PATIENCE: Duration = Duration::from_secs(1);
/// The canary is asked this often at most; after it failed, once a second.
const CANARY_GAP: Duration = Duration::from_millis(250);
const CANARY_RETRY: Duration = Duration::from_secs(1);
/// A canary that has not come back for this long is asked again.
const CANARY_LOST: Duration = Duration::from_secs(10);

/// What tells whether it is the origins that fail, or we.
#[derive(Clone, Debug)]
pub struct Sight {
    share: f64,
    /// All watched origins.
    origins: BTreeSet<Arc<str>>,
    /// Those that passed and have not turned down since.
    up: BTreeSet<Arc<str>>,
    /// Per failing watch, when its first failure became known.
    failing: Dated<Epoch>,
    /// Those that turned down lately.
    turned: Dated<Arc<str>>,
    /// End of the latest pass of a watch.
    last_pass: Option<Moment>,
    /// Start of the latest canary that passed.
    last_canary: Option<Moment>,
    canary: Canary,
    doubt: Option<Doubt>,
    /// End of the last doubt.
    cleared: Option<Moment>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Canary {
    /// Not asked yet.
    Rests,
    Asked(Moment),
    /// Came back; may be asked again from then on.
    Answered {
        again: Moment,
    },
}

#[derive(Clone, Debug)]
struct Doubt {
    kind: Kind,
    since: Moment,
    /// A pass at or after this ends it.
    from: Moment,
    evidence: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Blind,
    Swept,
}

impl Sight {
    /// `share` is `[server] doubt_share`.
    pub fn new(share: f64) -> Self {
        Self {
            share,
            origins: BTreeSet::new(),
            up: BTreeSet::new(),
            failing: Dated::default(),
            turned: Dated::default(),
            last_pass: None,
            last_canary: None,
            canary: Canary::Rests,
            doubt: None,
            cleared: None,
        }
    }

    /// (Re)load: the origins that are watched, by name, and which watches there still are
    /// (`Schedule::locate(epoch).is_some()`).
    pub fn arrange(&mut self, share: f64, origins: BTreeSet<Arc<str>>, exists: impl Fn(Epoch) -> bool) {
        self.share = share;
        self.up.retain(|origin| origins.contains(origin));
        self.turned.retain(|origin| origins.contains(origin));
        self.failing.retain(|&watch| exists(watch));
        self.origins = origins;
    }

    /// A probe passed and ended at `finished`. If that ends a doubt, all verdicts are to be reprieved.
    pub fn passed(&mut self, watch: Epoch, origin: &str, finished: Moment, now: Moment) {
        self.last_pass = self.last_pass.max(Some(finished));
        self.failing.remove(&watch);
        if !self.up.contains(origin)
            && let Some(name) = self.origins.get(origin)
        {
            self.up.insert(Arc::clone(name));
        }
        self.turned.remove(origin);
        let ends = self.doubt.as_ref().is_some_and(|doubt| match doubt.kind {
            Kind::Blind => finished >= doubt.from,
            Kind::Swept => !self.is_swept(),
        });
        if ends {
            self.clear(now);
        }
    }

    /// A failure counts (as weighed) for a watch that is not down; `now` is when it became known. Comes before
    /// [`Sight::turns_down`].
    pub fn failed(&mut self, watch: Epoch, now: Moment) {
        if self.failing.get(&watch).is_none() {
            self.failing.insert(watch, now);
        }
    }

    /// Has anything passed since it became known that this watch fails? With fewer than two origins there is nobody to
    /// tell, and a watch whose last probe passed needs nobody.
    pub fn is_vouched_for(&self, watch: Epoch) -> bool {
        let seen = self.last_pass.max(self.last_canary);
        self.up.len() < BLIND_MIN || self.failing.get(&watch).is_none_or(|known| seen >= Some(known))
    }

    /// Until when its witnesses may still come back, if this watch fails and nobody has vouched for it.
    pub fn patience_ends(&self, watch: Epoch) -> Option<Moment> {
        let known = self.failing.get(&watch).filter(|_| self.doubt.is_none() && !self.is_vouched_for(watch))?;
        Some(known + PATIENCE)
    }

    /// Is it too early to doubt ourselves? Where a single failure turns a watch down, its witnesses are still on their way.
    pub fn awaits_witness(&self, watch: Epoch, now: Moment) -> bool {
        self.patience_ends(watch).is_some_and(|end| now < end)
    }

    /// True from the first failure of a watch to its next pass, its death, or the end of a doubt.
    pub fn is_failing(&self, watch: Epoch) -> bool {
        self.failing.get(&watch).is_some()
    }

    /// A watch would turn down now. False while in doubt, which may begin with this: its verdict is to stay what it
    /// was.
    pub fn turns_down(&mut self, watch: Epoch, origin: &str, now: Moment) -> bool {
        if self.doubt.is_some() {
            return false;
        }
        if let Some(known) = self.failing.get(&watch).filter(|_| !self.is_vouched_for(watch)) {
            let evidence = format!(
                "nothing passes any more, neither one of the {} origins that were up nor the canary",
                self.up.len()
            );
            self.doubt = Some(Doubt { kind: Kind::Blind, since: now, from: known, evidence });
            return false;
        }
        while self.turned.oldest().is_some_and(|at| now.since(at) > WINDOW) {
            self.turned.remove_oldest();
        }
        if let Some(name) = self.origins.get(origin) {
            self.turned.insert(Arc::clone(name), now);
        }
        let from = self.turned.oldest().unwrap_or(now);
        if self.is_swept() && self.last_canary < Some(from) {
            let (turned, all) = (self.turned.len(), self.origins.len());
            let evidence = format!("{turned} of {all} origins turned down within 10 s, and the canary does not pass");
            self.doubt = Some(Doubt { kind: Kind::Swept, since: now, from, evidence });
            return false;
        }
        self.up.remove(origin);
        self.failing.remove(&watch);
        true
    }

    /// False for a failure that is not to be counted: our sight is in doubt, or was when its probe started.
    pub fn counts(&self, started: Moment) -> bool {
        self.doubt.is_none() && self.cleared.is_none_or(|cleared| started >= cleared)
    }

    /// Is any origin but this one up, as far as we know?
    pub fn sees_other_than(&self, origin: &str) -> bool {
        self.up.len() > usize::from(self.up.contains(origin))
    }

    /// The canary came back. If that ends a doubt, all verdicts are to be reprieved.
    pub fn canary(&mut self, passed: bool, started: Moment, now: Moment) {
        self.canary = Canary::Answered { again: if passed { started + CANARY_GAP } else { started + CANARY_RETRY } };
        if passed {
            self.last_canary = self.last_canary.max(Some(started));
            if self.doubt.as_ref().is_some_and(|doubt| started >= doubt.from) {
                self.clear(now);
            }
        }
    }

    /// Should the canary be asked now? Marks it asked.
    pub fn wants_canary(&mut self, now: Moment) -> bool {
        let asks = self.next_deadline().is_some_and(|at| at <= now);
        if asks {
            self.canary = Canary::Asked(now);
        }
        asks
    }

    /// When [`Sight::wants_canary`] says yes next, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Moment> {
        let unproven = self.failing.newest().filter(|&known| self.last_canary < Some(known));
        let wanted = self.doubt.as_ref().map(|doubt| doubt.since).max(unproven)?;
        Some(match self.canary {
            Canary::Rests => wanted,
            Canary::Asked(at) => at + CANARY_LOST,
            Canary::Answered { again } => again.max(wanted),
        })
    }

    /// Since when our sight is in doubt, and why, in words; `None` while all is well.
    pub fn doubt(&self) -> Option<(Moment, &str)> {
        self.doubt.as_ref().map(|doubt| (doubt.since, doubt.evidence.as_str()))
    }

    fn is_swept(&self) -> bool {
        let (turned, all) = (self.turned.len(), self.origins.len());
        let over = turned as f64 > self.share * all as f64;
        all >= SWEEP_MIN && over
    }

    /// Failures from before this moment are forgotten.
    fn clear(&mut self, now: Moment) {
        self.doubt = None;
        self.cleared = Some(now);
        self.failing = Dated::default();
        self.turned = Dated::default();
    }
}

/// When something happened, by what it happened to and in order of time: when everything fails at once, each failure
/// must not cost a walk over all of them.
#[derive(Clone, Debug)]
struct Dated<K> {
    moments: BTreeMap<K, Moment>,
    /// The same, turned round.
    order: BTreeSet<(Moment, K)>,
}

impl<K> Default for Dated<K> {
    fn default() -> Self {
        Self { moments: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Dated<K> {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn get(&self, key: &K) -> Option<Moment> {
        self.moments.get(key).copied()
    }

    /// In place of what was known of `key`.
    fn insert(&mut self, key: K, at: Moment) {
        self.remove(&key);
        self.moments.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((key, at)) = self.moments.remove_entry(key) {
            self.order.remove(&(at, key));
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.moments.remove(&key);
        }
    }

    fn retain(&mut self, keeps: impl Fn(&K) -> bool) {
        self.moments.retain(|key, _| keeps(key));
        self.order.retain(|(_, key)| keeps(key));
    }

    fn oldest(&self) -> Option<Moment> {
        self.order.first().map(|&(at, _)| at)
    }

    fn newest(&self) -> Option<Moment> {
        self.order.last().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(millis))
    }

    fn name(number: u64) -> String {
        format!("o{number}")
    }

    /// Origins o1, o2, … with one watch each, all up: the last passes ended at 1 s.
    fn sight(count: u64) -> Sight {
        let mut sight = Sight::new(0.5);
        sight.arrange(0.5, (1..=count).map(|number| Arc::from(name(number))).collect(), |_| true);
        (1..=count).for_each(|number| sight.passed(Epoch(number), &name(number), at(1000), at(1000)));
        sight
    }

    /// The origin fails first at `from`, and again a second later, when it would turn down.
    fn dies(sight: &mut Sight, number: u64, from: u64) -> bool {
        sight.failed(Epoch(number), at(from));
        sight.failed(Epoch(number), at(from + 1000));
        sight.turns_down(Epoch(number), &name(number), at(from + 1000))
    }

    #[test]
    fn one_of_two_dies_and_the_other_vouches() {
        let mut sight = sight(2);
        sight.failed(Epoch(1), at(2000));
        sight.passed(Epoch(2), "o2", at(2005), at(2005));
        assert!(dies(&mut sight, 1, 2000));
        assert_eq!(sight.doubt(), None);
    }

    #[test]
    fn both_die_and_the_canary_vouches() {
        let mut sight = sight(2);
        sight.failed(Epoch(1), at(2000));
        assert!(sight.wants_canary(at(2000)));
        sight.canary(true, at(2000), at(2010));
        assert!(dies(&mut sight, 1, 2000));
        // The other is all that was up: nobody would be left to compare with.
        assert!(dies(&mut sight, 2, 2000));
    }

    #[test]
    fn blind_until_anything_passes() {
        for by_canary in [true, false] {
            let mut sight = sight(2);
            assert!(!dies(&mut sight, 1, 2000));
            assert!(!dies(&mut sight, 2, 2100));
            let evidence = "nothing passes any more, neither one of the 2 origins that were up nor the canary";
            assert_eq!(sight.doubt(), Some((at(3000), evidence)));
            assert!(!sight.counts(at(3500)), "no failure counts");
            sight.canary(false, at(3000), at(5000));
            assert!(sight.doubt().is_some());
            if by_canary {
                sight.canary(true, at(6000), at(6010));
            } else {
                sight.passed(Epoch(2), "o2", at(6005), at(6010));
            }
            assert_eq!(sight.doubt(), None);
            assert!(!sight.counts(at(6009)), "nor one that began in the dark");
            assert!(sight.counts(at(6010)));
            // It is over for good: what dies now dies.
            sight.failed(Epoch(1), at(7000));
            sight.passed(Epoch(2), "o2", at(7005), at(7005));
            assert!(dies(&mut sight, 1, 7000));
        }
    }

    #[test]
    fn what_came_in_before_the_failure_was_known_vouches_for_nothing() {
        let mut sight = sight(2);
        // It ended while the first failing probe was still open.
        sight.passed(Epoch(2), "o2", at(1999), at(1999));
        sight.canary(true, at(1998), at(2003));
        assert!(!dies(&mut sight, 1, 2000));
        sight.passed(Epoch(2), "o2", at(1999), at(3100));
        assert!(sight.doubt().is_some(), "nor does one that comes late");
    }

    #[test]
    fn a_full_window_waits_for_a_witness_and_doubts_nobody() {
        let mut sight = sight(2);
        sight.failed(Epoch(1), at(2000));
        assert!(!sight.is_vouched_for(Epoch(1)), "nothing has passed since");
        sight.passed(Epoch(2), "o2", at(2005), at(2005));
        assert!(sight.is_vouched_for(Epoch(1)));
        assert!(sight.turns_down(Epoch(1), "o1", at(2010)));
        // Its own pass vouches too, though it ended a moment before it came in.
        sight.failed(Epoch(2), at(3000));
        sight.passed(Epoch(2), "o2", at(3500), at(3510));
        assert!(sight.is_vouched_for(Epoch(2)));
        assert!(sight.turns_down(Epoch(2), "o2", at(3510)));
        assert_eq!(sight.doubt(), None);
    }

    #[test]
    fn a_lone_origin_has_nobody_to_compare_with() {
        let mut sight = sight(1);
        assert!(dies(&mut sight, 1, 2000));
    }

    #[test]
    fn the_second_of_two_that_die_one_by_one_is_not_doubted() {
        let mut sight = sight(2);
        sight.failed(Epoch(1), at(2000));
        sight.passed(Epoch(2), "o2", at(2005), at(2005));
        assert!(dies(&mut sight, 1, 2000));
        assert!(dies(&mut sight, 2, 60_000));
    }

    #[test]
    fn a_sweep_is_doubted_though_others_pass() {
        let mut sight = sight(10);
        for number in 1..=6 {
            sight.failed(Epoch(number), at(2000));
        }
        sight.passed(Epoch(10), "o10", at(2005), at(2005));
        assert!((1..=5).all(|number| dies(&mut sight, number, 2000)));
        assert!(!dies(&mut sight, 6, 2000), "half of them is not over half");
        assert_eq!(
            sight.doubt(),
            Some((at(3000), "6 of 10 origins turned down within 10 s, and the canary does not pass"))
        );
        sight.passed(Epoch(10), "o10", at(4000), at(4000));
        assert!(sight.doubt().is_some(), "those that pass were never in question");
        let mut by_return = sight.clone();
        by_return.passed(Epoch(1), "o1", at(4000), at(4000));
        assert!(by_return.doubt().is_none(), "five of ten are not over half");
        sight.canary(true, at(4000), at(4010));
        assert!(sight.doubt().is_none());
    }

    #[test]
    fn no_sweep_with_a_canary_or_over_a_longer_time_or_among_few() {
        let swept = |count: u64, apart: u64, canary: bool| {
            let mut sight = sight(count);
            (1..count).all(|number| {
                let from = 2000 + number * apart;
                sight.failed(Epoch(number), at(from));
                sight.passed(Epoch(count), &name(count), at(from), at(from));
                if canary && number == 1 {
                    sight.canary(true, at(from + 1000), at(from + 1000));
                }
                dies(&mut sight, number, from)
            })
        };
        assert!(!swept(10, 100, false));
        assert!(swept(10, 100, true));
        assert!(swept(10, 2100, false));
        assert!(swept(9, 100, false));
    }

    #[test]
    fn the_canary_is_asked_when_something_fails_and_not_too_often() {
        let mut sight = sight(2);
        assert_eq!(sight.next_deadline(), None);
        assert!(!sight.wants_canary(at(1500)));
        sight.failed(Epoch(1), at(2000));
        assert_eq!(sight.next_deadline(), Some(at(2000)));
        assert!(sight.wants_canary(at(2000)));
        assert!(!sight.wants_canary(at(2100)), "it is on its way");
        sight.canary(true, at(2000), at(2110));
        assert_eq!(sight.next_deadline(), None, "it has vouched");
        sight.failed(Epoch(2), at(2120));
        assert_eq!(sight.next_deadline(), Some(at(2250)), "for what was known when it started");
        assert!(sight.wants_canary(at(2250)));
        sight.canary(false, at(2250), at(2400));
        assert_eq!(sight.next_deadline(), Some(at(3250)));
        assert!(sight.wants_canary(at(3250)));
        assert_eq!(sight.next_deadline(), Some(at(13_250)), "lost, then");
        sight.passed(Epoch(1), "o1", at(3300), at(3300));
        sight.passed(Epoch(2), "o2", at(3300), at(3300));
        assert_eq!(sight.next_deadline(), None, "nothing fails");
    }

    #[test]
    fn a_reload_forgets_what_is_gone_and_keeps_the_rest() {
        let mut sight = sight(3);
        sight.failed(Epoch(1), at(2000));
        sight.failed(Epoch(3), at(2000));
        sight.arrange(0.5, ["o1", "o2"].map(Arc::from).into(), |watch| watch != Epoch(3));
        assert_eq!(sight.up.len(), 2);
        assert_eq!(sight.failing.moments.keys().collect::<Vec<_>>(), [&Epoch(1)]);
        sight.passed(Epoch(9), "unwatched", at(2100), at(2100));
        assert_eq!(sight.up.len(), 2);
        assert!(dies(&mut sight, 1, 2050), "known since 2000, and something passed after");
    }

    proptest! {
        /// Whatever comes in, the newest failure and the oldest turn are those of a walk over all.
        #[test]
        fn the_ends_of_time_are_those_of_a_walk(
            events in vec((0..7_u8, 0..12_u64, 0..40_000_u64), 0..200),
            share in prop_oneof![Just(0.1), Just(0.5), Just(1.0)],
        ) {
            let mut sight = Sight::new(share);
            let origins: BTreeSet<Arc<str>> = (0..12).map(|number| Arc::from(name(number))).collect();
            sight.arrange(share, origins.clone(), |_| true);
            let mut failing = BTreeMap::new();
            // Not in the order of time: nothing rests on that.
            for (event, number, millis) in events {
                let (watch, now) = (Epoch(number), at(millis));
                match event {
                    0 | 1 => {
                        sight.failed(watch, now);
                        failing.entry(watch).or_insert(now);
                    }
                    2 => {
                        let was_in_doubt = sight.doubt().is_some();
                        sight.passed(watch, &name(number), now, now);
                        failing.remove(&watch);
                        if was_in_doubt && sight.doubt().is_none() {
                            failing.clear();
                        }
                    }
                    3 | 4 => {
                        let mut turned = sight.turned.moments.clone();
                        turned.retain(|_, &mut at| now.since(at) <= WINDOW);
                        turned.insert(Arc::from(name(number)), now);
                        let was_in_doubt = sight.doubt().is_some();
                        let down = sight.turns_down(watch, &name(number), now);
                        if down {
                            failing.remove(&watch);
                            prop_assert_eq!(&sight.turned.moments, &turned);
                        } else {
                            prop_assert!(was_in_doubt || sight.doubt().is_some());
                        }
                    }
                    5 => {
                        let was_in_doubt = sight.doubt().is_some();
                        sight.canary(millis % 2 == 0, now, now);
                        if was_in_doubt && sight.doubt().is_none() {
                            failing.clear();
                        }
                    }
                    _ => {
                        sight.arrange(share, origins.clone(), |watch| watch != Epoch(number));
                        failing.remove(&watch);
                    }
                }
                prop_assert_eq!(&sight.failing.moments, &failing);
                prop_assert_eq!(sight.failing.newest(), failing.values().copied().max());
                prop_assert_eq!(sight.turned.oldest(), sight.turned.moments.values().copied().min());
                prop_assert_eq!(sight.turned.len(), sight.turned.moments.len());
            }
        }
    }
}
