//! Origins that call us, what is heard of them, and this host asleep.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use failoverd::config::Config;
use failoverd::probe::judge::judge;
use failoverd::probe::watch::plan;
use failoverd::probe::{Beat, Call, Facts, Outcome, Phase, Request, Target, Trouble, TroubleKind};
use failoverd::time::{Moment, Now};

/// Who calls, and what was heard last.
#[derive(Default)]
pub struct Callers {
    /// Of each origin that calls by itself.
    every: BTreeMap<String, Duration>,
    /// By origin and check.
    last: BTreeMap<(String, String), (Moment, bool)>,
    is_deaf: bool,
}

impl Callers {
    /// From now on `origin` calls once in each `every`.
    pub fn begin(&mut self, origin: &str, every: Duration) {
        self.every.insert(origin.to_owned(), every);
    }

    pub fn end(&mut self, origin: &str) {
        self.every.remove(origin);
    }

    /// When `origin` calls next, if it does so by itself.
    pub fn pace(&self, origin: &str) -> Option<Duration> {
        self.every.get(origin).copied()
    }

    /// Whether nothing of ours listens from now on.
    pub fn deafen(&mut self, is_deaf: bool) {
        self.is_deaf = is_deaf;
    }

    /// What is heard when `origin` calls for each of its checks.
    pub fn call(&mut self, config: &Config, origin: &str, failed: bool, at: Moment) -> Vec<Call> {
        if self.is_deaf {
            return Vec::new();
        }
        let watches = plan(config).watches.into_iter();
        let of = watches.filter(|watch| matches!(&watch.target, Target::Origin(name) if **name == *origin));
        let call = |check: &str| Call { origin: Arc::from(origin), check: Arc::from(check), at, failed };
        let calls: Vec<_> = of.map(|watch| call(&config.checks[watch.check.0 as usize].name)).collect();
        assert!(!calls.is_empty(), "nothing waits for calls of {origin}");
        for call in &calls {
            self.last.insert((origin.to_owned(), call.check.to_string()), (at, failed));
        }
        calls
    }

    /// What a look for the last call tells. It is a moment later than asked for, as every look is.
    pub fn look(&self, origin: &str, request: &Request, now: Now) -> Outcome {
        let last = self.last.get(&(origin.to_owned(), request.check.name.clone()));
        let beat = last.map(|&(at, failed)| Beat { age: now.moment.since(at) + Duration::from_millis(1), failed });
        let trouble = self.is_deaf.then_some(Trouble { phase: Phase::Answer, kind: TroubleKind::Deaf });
        judge(&request.check, &Facts { beat, trouble, ..Facts::default() }, now.wall).outcome
    }
}
