//! What the numbers add up to: how long a death of the primary can last in the worst case, and how many requests the
//! probes make.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Check, CheckId, Config, Form, OriginId, Rung, Steer, SteerId, duration};
use crate::dns::Name;

/// From decision to answer: building and swapping a snapshot.
const PUBLICATION: Duration = Duration::from_millis(1);
/// The month of [`probes_per_month`]: 30 days.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// The worst case between the death of a name's primary and the last cache of the old answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Budget {
    pub name: Name,
    /// Until the next scheduled probe.
    pub wait: Duration,
    /// `max(confirm × (fall − 1), blip)`.
    pub confirmation: Duration,
    /// Of a probe that gets no reply; none if the death answers (a refused connection).
    pub timeout: Duration,
    pub publication: Duration,
    pub ttl: Duration,
}

impl Budget {
    /// The sum.
    pub fn worst(&self) -> Duration {
        self.wait + self.confirmation + self.timeout + self.publication + self.ttl
    }
}

/// One line: `www.example.com: 5s next probe + 1s confirmation + 2s timeout + 1ms publication + 30s TTL = 38s1ms worst case`.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, wait, confirmation, timeout, publication, ttl } = self;
        let [wait, confirmation, timeout, publication, ttl, worst] =
            [*wait, *confirmation, *timeout, *publication, *ttl, readable(self.worst())].map(duration::show);
        let name = name.to_host();
        write!(
            f,
            "{name}: {wait} next probe + {confirmation} confirmation + {timeout} timeout + {publication} publication + \
             {ttl} TTL = {worst} worst case"
        )
    }
}

/// To a tenth of a second where it is longer than a minute.
fn readable(sum: Duration) -> Duration {
    if sum <= Duration::from_secs(60) {
        return sum;
    }
    let tenths = (sum.as_millis() + 50) / 100;
    Duration::from_millis(u64::try_from(tenths).unwrap_or(u64::MAX).saturating_mul(100))
}

/// The budget of a steered name: that of the slowest check on its primary.
///
/// # Panics
/// If the id is of another configuration.
pub fn budget(config: &Config, steer: SteerId) -> Budget {
    let steer = &config.steers[steer.0 as usize];
    let primary = steer.rungs.first();
    let asked = primary.iter().flat_map(|rung| rung.origins.iter().filter_map(|&origin| check(config, rung, origin)));
    let slowest = asked.map(|check| &*config.checks[check.0 as usize]).max_by_key(|check| found_after(check));
    let (wait, confirmation, timeout) =
        slowest.map_or_else(Default::default, |check| (check.every, confirmation(check), check.timeout));
    let ttl = Duration::from_secs(steer.ttl.into());
    Budget { name: steer.name.clone(), wait, confirmation, timeout, publication: PUBLICATION, ttl }
}

fn confirmation(check: &Check) -> Duration {
    if check.ask.is_awaited() {
        // Each of the missed heartbeats is waited for.
        return check.every.saturating_mul(check.fall.saturating_sub(1));
    }
    check.confirm.saturating_mul(check.fall.saturating_sub(1)).max(check.blip)
}

fn found_after(check: &Check) -> Duration {
    check.every + confirmation(check) + check.timeout
}

/// What an origin of a rung is asked with: its own check goes first. `None`: it is served unasked.
fn check(config: &Config, rung: &Rung, origin: OriginId) -> Option<CheckId> {
    config.origins[origin.0 as usize].probe_check.or(rung.check)
}

/// Scheduled probe requests per origin in 30 days while all is well; confirmations come on top.
pub fn probes_per_month(config: &Config) -> Vec<(OriginId, u64)> {
    let mut sums: Vec<(OriginId, u64)> = (0u32..).zip(&config.origins).map(|(id, _)| (OriginId(id), 0)).collect();
    for (origin, check, ..) in watched(config) {
        if config.checks[check.0 as usize].ask.is_awaited() {
            continue;
        }
        let every = config.checks[check.0 as usize].every.as_millis().max(1);
        sums[origin.0 as usize].1 += u64::try_from(MONTH.as_millis() / every).unwrap_or(u64::MAX);
    }
    sums
}

/// Number of watches.
pub(crate) fn watches(config: &Config) -> usize {
    watched(config).len()
}

/// One watch: who is asked, how, where (`None`: at its host name), and as whom.
type Watched<'c> = (OriginId, CheckId, Option<IpAddr>, &'c str);

/// Everything that is asked, each once.
fn watched(config: &Config) -> BTreeSet<Watched<'_>> {
    let mut watched = BTreeSet::new();
    for steer in &config.steers {
        for (&origin, rung) in steer.rungs.iter().flat_map(|rung| rung.origins.iter().map(move |origin| (origin, rung)))
        {
            let Some(check) = check(config, rung, origin) else {
                continue;
            };
            let ask = &config.checks[check.0 as usize].ask;
            let names_host = ask.names_host();
            let asked = if ask.is_awaited() { vec![None] } else { targets(config, steer, origin) };
            for target in asked {
                let hosts = steer.hosts.iter().map(|host| if names_host { host.as_str() } else { "" });
                watched.extend(hosts.map(|host| (origin, check, target, host)));
            }
        }
    }
    watched
}

/// Where an origin is probed for a name: at its host name where that is what is served, else at its addresses.
fn targets(config: &Config, steer: &Steer, origin: OriginId) -> Vec<Option<IpAddr>> {
    let origin = &config.origins[origin.0 as usize];
    let addresses: Vec<_> = origin.addresses().map(Some).collect();
    let by_name = origin.cname.is_some() && (steer.form == Form::Cname || addresses.is_empty());
    if by_name { vec![None] } else { addresses }
}
