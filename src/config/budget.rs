//! What the numbers add up to: how long a death of the primary can last in the worst case, and how many requests the
//! probes make.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Check, CheckId, Checks, Config, Form, OriginId, Place, Rung, Steer, SteerId, Window, duration};
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
    /// Set where several checks speak for an origin of the primary.
    pub several: Option<Several>,
    /// The check whose window is slowest to find that so many of so many probes are lost, and how long that takes.
    pub window: Option<(Window, Duration)>,
}

/// How long it takes where several checks speak.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Several {
    /// As `all of site, db`.
    pub checks: String,
    /// The slowest of them, which the budget is for: a death that only it sees.
    pub slowest: String,
    /// Until a death is found that every one of them sees.
    pub all_see: Duration,
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
        let Self { name, wait, confirmation, timeout, publication, ttl, several, window } = self;
        let answered = *publication + *ttl;
        let [wait, confirmation, timeout, publication, ttl, worst] =
            [*wait, *confirmation, *timeout, *publication, *ttl, readable(self.worst())].map(duration::show);
        let name = name.to_host();
        write!(
            f,
            "{name}: {wait} next probe + {confirmation} confirmation + {timeout} timeout + {publication} publication + \
             {ttl} TTL = {worst} worst case"
        )?;
        if let Some(Several { checks, slowest, all_see }) = several {
            let all_see = duration::show(readable(*all_see + answered));
            write!(f, "; {slowest} is the slowest of several ({checks}); {all_see} if each of them sees it")?;
        }
        if let Some((window, found)) = window {
            let found = duration::show(readable(*found + answered));
            write!(f, "; {found} if {window} probes fail, though not in a row")?;
        }
        Ok(())
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
    let asked = primary.iter().flat_map(|rung| rung.origins.iter().filter_map(|&origin| checks(config, rung, origin)));
    let check = |id: &CheckId| &*config.checks[id.0 as usize];
    let slowest_of = |checks: &&Checks| checks.of.iter().map(check).max_by_key(|check| found_after(check));
    let combination = asked.clone().max_by_key(|checks| slowest_of(checks).map(found_after));
    let slowest = combination.as_ref().and_then(slowest_of);
    let several = combination.filter(|checks| checks.of.len() > 1).map(|checks| Several {
        checks: in_words(config, checks),
        slowest: slowest.map(|check| check.name.clone()).unwrap_or_default(),
        all_see: seen_by_all(checks.need, checks.of.iter().map(|id| found_after(check(id))).collect()),
    });
    let windows = asked.flat_map(|checks| &checks.of).filter_map(|id| {
        let check = check(id);
        check.window.map(|window| (window, check.every * window.of + confirmation(check) + check.timeout))
    });
    let (wait, confirmation, timeout) =
        slowest.map_or_else(Default::default, |check| (check.every, confirmation(check), check.timeout));
    let ttl = Duration::from_secs(steer.ttl.into());
    let window = windows.max_by_key(|&(_, found)| found);
    Budget { name: steer.name.clone(), wait, confirmation, timeout, publication: PUBLICATION, ttl, several, window }
}

/// When an origin is down that each of its checks sees die: no more than `need` − 1 of them may be left.
fn seen_by_all(need: usize, mut found: Vec<Duration>) -> Duration {
    found.sort_unstable();
    let deciding = found.len().saturating_sub(need);
    found.get(deciding).copied().unwrap_or_default()
}

/// `site`, `all of site, db`, `any of site, db`, `2 of site, db, cdn`.
pub fn in_words(config: &Config, checks: &Checks) -> String {
    let names: Vec<&str> = checks.of.iter().map(|id| config.checks[id.0 as usize].name.as_str()).collect();
    let names = names.join(", ");
    match checks.need {
        _ if checks.of.len() < 2 => names,
        1 => format!("any of {names}"),
        need if need == checks.of.len() => format!("all of {names}"),
        need => format!("{need} of {names}"),
    }
}

fn confirmation(check: &Check) -> Duration {
    if check.ask.is_awaited() {
        // Each of the missed heartbeats is waited for.
        return check.every.saturating_mul(check.fall.saturating_sub(1));
    }
    let race = check.confirm.saturating_mul(check.fall.saturating_sub(1)).max(check.blip);
    // One that is still open is not raced: it has to come to its end first.
    if check.ask.is_dear() && !race.is_zero() { race.max(check.timeout) } else { race }
}

fn found_after(check: &Check) -> Duration {
    check.every + confirmation(check) + check.timeout
}

/// What an origin of a rung is asked with: its own check goes first. `None`: it is served unasked.
fn checks<'c>(config: &'c Config, rung: &'c Rung, origin: OriginId) -> Option<&'c Checks> {
    config.origins[origin.0 as usize].probe_check.as_ref().or(rung.check.as_ref())
}

/// Scheduled probe requests per origin in 30 days while all is well; confirmations come on top.
pub fn probes_per_month(config: &Config) -> Vec<(OriginId, u64)> {
    let mut sums: Vec<(OriginId, u64)> = (0u32..).zip(&config.origins).map(|(id, _)| (OriginId(id), 0)).collect();
    for ((origin, check, ..), is_first) in watched(config) {
        let check = &config.checks[check.0 as usize];
        if check.ask.is_awaited() {
            continue;
        }
        let every = if is_first { check.every } else { check.standby_every }.as_millis().max(1);
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

/// Everything that is asked, each once, and if it stands on a first rung: that is what is served while all is well.
fn watched(config: &Config) -> BTreeMap<Watched<'_>, bool> {
    let mut watched = BTreeMap::new();
    for steer in &config.steers {
        for (&origin, rung) in steer.rungs.iter().flat_map(|rung| rung.origins.iter().map(move |origin| (origin, rung)))
        {
            for &check in checks(config, rung, origin).map_or(&[][..], |checks| &checks.of) {
                let ask = &config.checks[check.0 as usize].ask;
                let names_host = ask.names_host();
                let asked = if ask.is_awaited() { vec![None] } else { targets(config, steer, origin) };
                for target in asked {
                    let hosts = steer.hosts.iter().map(|host| if names_host { host.as_str() } else { "" });
                    for host in hosts {
                        *watched.entry((origin, check, target, host)).or_default() |= rung.place == Place::Primary;
                    }
                }
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
