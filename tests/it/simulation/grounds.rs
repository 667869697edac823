//! What may not move a name, told by what really happened: an outcome that says nothing, a doubt, time alone, and an
//! origin that sends its visitors away.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use failoverd::config::{Config, Failback, OriginId, Place};
use failoverd::decision::{Data, Reason};
use failoverd::dns::Name;
use failoverd::probe::Cause;
use failoverd::ready::Ready;
use failoverd::snapshot::Snapshot;
use failoverd::snapshot::status::{RungStatus, SteerStatus};
use failoverd::time::{Moment, Now};

use super::world::Health;

/// Two moves within this time are one too many, unless something new was seen or asked for.
const REST: Duration = Duration::from_secs(1);

/// What a snapshot was published for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    /// Time went by, and nothing else.
    Time,
    Another,
}

#[derive(Default)]
pub struct Grounds {
    /// Since when each address is alive and astray, and since when it is simply well, without a break.
    astray: BTreeMap<IpAddr, Moment>,
    well: BTreeMap<IpAddr, Moment>,
    /// Since when nothing of ours has failed, and nothing was forgotten by a restart or arranged anew by a reload.
    sound: Option<Moment>,
    reloaded: Option<Moment>,
    turned: BTreeMap<Name, Moment>,
}

impl Grounds {
    pub fn health(&mut self, address: IpAddr, health: Health, now: Now) {
        for (since, is_so) in [(&mut self.astray, health == Health::Astray), (&mut self.well, health == Health::Alive)]
        {
            match is_so {
                true => drop(since.entry(address).or_insert(now.moment)),
                false => drop(since.remove(&address)),
            }
        }
    }

    /// Something of ours failed or was mended, or the process began anew.
    pub fn sound(&mut self, is_sound: bool, now: Now) {
        self.sound = is_sound.then_some(now.moment);
    }

    pub fn reloaded(&mut self, now: Now) {
        self.reloaded = Some(now.moment);
        self.sound = self.sound.map(|_| now.moment);
    }

    pub fn restarted(&mut self) {
        self.turned.clear();
    }

    pub fn published(&mut self, next: &Snapshot, before: &Snapshot, by: For, config: &Config, now: Now) {
        let is_ordered = next.status.orders != before.status.orders;
        let is_reloaded = self.reloaded.is_some_and(|at| now.moment.since(at) < Duration::from_secs(3));
        for (name, former) in both(next, before) {
            let (Some(decision), Some(old)) = (&name.decision, &former.decision) else { continue };
            let owner = &name.steer.name;
            let is_held = |reason: &Reason| matches!(reason, Reason::Held { .. });
            if is_ordered || is_reloaded || is_held(&decision.reason) || is_held(&old.reason) {
                continue;
            }
            if next.status.doubt.is_some() {
                assert_eq!((decision.place, &decision.origins), (old.place, &old.origins), "{owner} moved by a doubt");
                continue;
            }
            if decision.place == old.place {
                continue;
            }
            let is_restless = self.turned.get(owner).is_some_and(|&at| now.moment.since(at) < REST);
            // What waits for the velocity limit moves when there is room.
            let is_rest = before.status.doubt.is_none() && config.velocity.is_none();
            if by == For::Time && is_rest && is_restless {
                let is_due = decision.rung < old.rung && matches!(name.steer.failback, Failback::After(_));
                assert!(is_due, "{owner} moved twice, the second time for nothing");
            }
            self.not_astray(name, &name.rungs[decision.rung], config, now);
            self.turned.insert(owner.clone(), now.moment);
        }
    }

    /// Nobody moves to a rung that has sent its visitors away for long enough to be known for it, while another was well
    /// for long enough to be known for that.
    fn not_astray(&self, name: &SteerStatus, to: &RungStatus, config: &Config, now: Now) {
        let longest = |span: &dyn Fn(&failoverd::config::Check) -> Duration| {
            config.checks.iter().map(|check| span(check)).max().unwrap_or_default()
        };
        let pace = longest(&|check| check.every.max(check.standby_every));
        let second = Duration::from_secs(1);
        let astray_for = pace * 2 + longest(&|check| check.timeout) + second;
        let well_for =
            longest(&|check| check.every.max(check.standby_every) * (check.rise + 2 + looks_back(check))) + astray_for;
        let is_for = |since: Option<&Moment>, span| since.is_some_and(|&since| now.moment.since(since) > span);
        if !is_for(self.sound.as_ref(), well_for) {
            return;
        }
        let addresses = |id: OriginId| config.origins[id.0 as usize].addresses().collect::<Vec<_>>();
        let all = |id, known: &BTreeMap<IpAddr, Moment>, span| {
            addresses(id).iter().all(|address| is_for(known.get(address), span))
        };
        let mut usable = to.origins.iter().filter(|seen| !seen.drained && seen.class.is_usable()).peekable();
        let is_astray = usable.peek().is_some() && usable.all(|seen| all(seen.origin, &self.astray, astray_for));
        let is_well = |rung: &&RungStatus| {
            let mut undrained = rung.origins.iter().filter(|seen| !seen.drained).peekable();
            undrained.peek().is_some() && undrained.all(|seen| all(seen.origin, &self.well, well_for))
        };
        let better = name.rungs.iter().find(is_well).map(|rung| rung.place);
        assert!(
            !is_astray || better.is_none(),
            "{} moved to {}, which sends its visitors away, and {better:?} was well all the time",
            name.steer.name,
            to.place
        );
    }
}

/// Scheduled probes that a check's windows and rules look back on.
pub fn looks_back(check: &failoverd::config::Check) -> u32 {
    let rules = check.degraded.iter().map(|rule| rule.over * 2);
    check.window.map(|window| window.of).into_iter().chain(rules).max().unwrap_or(0)
}

/// An outcome that says nothing changes nothing: not what is served, and not what is thought of any origin. It may be
/// what a certificate failure that was held back waited for.
pub fn said_nothing(before: &Snapshot, after: &Snapshot) {
    let mut watches = before.status.watches.iter().zip(after.status.watches.iter());
    if watches.any(|(old, new)| old.verdict != new.verdict && new.verdict.cause() == Some(&Cause::CertExpired)) {
        return;
    }
    nothing_moved(before, after, "an outcome that says nothing");
    for (new, old) in both(after, before) {
        let seen = |name: &SteerStatus| {
            let origins = name.rungs.iter().flat_map(|rung| rung.origins.to_vec());
            let seen = origins.map(|seen| (seen.class, seen.degraded, seen.drained, seen.ready == Ready::WouldFail));
            seen.collect::<Vec<_>>()
        };
        assert_eq!(seen(old), seen(new), "{} looks different after an outcome that says nothing", new.steer.name);
    }
}

/// Every name serves what it served. (An order may have run out at this very moment.)
pub fn nothing_moved(before: &Snapshot, after: &Snapshot, what: &str) {
    if before.status.orders != after.status.orders {
        return;
    }
    for (new, old) in both(after, before) {
        assert_eq!(served(old), served(new), "{} was moved by {what}", new.steer.name);
    }
}

fn served(name: &SteerStatus) -> Option<(Place, &[OriginId], &Data)> {
    name.decision.as_ref().map(|decision| (decision.place, &decision.origins[..], &decision.data))
}

/// The names of both snapshots, as they are and as they were.
fn both<'s>(
    next: &'s Snapshot,
    before: &'s Snapshot,
) -> impl Iterator<Item = (&'s Arc<SteerStatus>, &'s Arc<SteerStatus>)> {
    let former = |name: &SteerStatus| before.status.steers.iter().find(|old| old.steer.name == name.steer.name);
    next.status.steers.iter().filter_map(move |name| Some((name, former(name)?)))
}
