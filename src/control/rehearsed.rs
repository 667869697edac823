//! Would those that are not served serve their visitors? Every observation is a rehearsal; what is new is told before
//! it matters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{Config, Origin, OriginId};
use crate::control::flattened::Flattened;
use crate::control::journal::{self, Rehearsed};
use crate::control::watches::WatchState;
use crate::control::{Controller, Effects};
use crate::dns::Name;
use crate::probe::watch::{Plan, Watch};
use crate::probe::{Detail, Observation, Outcome, Target, WatchId};
use crate::ready::caa::Ours;
use crate::ready::foresight::Resolved;
use crate::ready::rehearsal::{Company, Records, Scene, findings};
use crate::ready::{Ready, of_targets};
use crate::time::Now;
use crate::verdict::Class;

/// Names told of in one journal entry.
const NAMES_TOLD: usize = 3;
/// Watches of other rungs that are compared with, at most.
const COMPARED: usize = 32;

/// What host names served as CNAME resolve to, as the probe had it that last found other address families: it is these
/// that are asked for.
#[derive(Debug, Default)]
pub(crate) struct Hostnames(BTreeMap<Name, Vec<IpAddr>>);

impl Hostnames {
    /// Forgets what no origin has any more.
    pub(super) fn keep(&mut self, config: &Config) {
        let known: BTreeSet<&Name> = config.origins.iter().filter_map(|origin| origin.cname.as_ref()).collect();
        self.0.retain(|name, _| known.contains(name));
    }

    /// Takes in what a probe had.
    fn learn(&mut self, name: &Name, resolved: &[IpAddr]) {
        match self.0.get_mut(name) {
            Some(known) => *known = resolved.to_vec(),
            None => drop(self.0.insert(name.clone(), resolved.to_vec())),
        }
    }
}

/// All that is known of what host names resolve to.
pub(crate) struct Known<'c> {
    pub(crate) flattened: &'c Flattened,
    pub(crate) hostnames: &'c Hostnames,
}

impl Resolved for Known<'_> {
    fn addresses(&self, hostname: &Name) -> Option<&[IpAddr]> {
        let flattened = Some(self.flattened.addresses(hostname)).filter(|addresses| !addresses.is_empty());
        flattened.or_else(|| self.hostnames.0.get(hostname).map(Vec::as_slice))
    }

    fn is_gone(&self, hostname: &Name) -> bool {
        self.flattened.is_gone(hostname)
    }
}

/// What was told of each origin, for each host it is asked as.
#[derive(Debug, Default)]
pub(crate) struct Told {
    lines: Vec<Line>,
    /// By [`WatchId`]: its line.
    by_watch: Vec<usize>,
}

/// One origin as one host: the watches that speak for it.
#[derive(Debug)]
struct Line {
    origin: Arc<str>,
    host: Arc<str>,
    watches: Vec<WatchId>,
    ready: Ready,
    /// It was said aloud, so its end is, too.
    spoken: bool,
}

impl Told {
    /// All watches that speak for the same origin as the same host, this one among them.
    pub(super) fn beside(&self, id: WatchId) -> &[WatchId] {
        self.by_watch.get(id.0 as usize).map_or(&[], |&place| &self.lines[place].watches)
    }

    /// For other watches; what was told stays told.
    pub(super) fn arrange(&mut self, watches: &[Watch], config: &Config) {
        let before = std::mem::take(&mut self.lines).into_iter();
        let mut before: BTreeMap<(Arc<str>, Arc<str>), (Ready, bool)> =
            before.map(|line| ((line.origin, line.host), (line.ready, line.spoken))).collect();
        let mut places: BTreeMap<(OriginId, Arc<str>), usize> = BTreeMap::new();
        self.by_watch.clear();
        for (index, watch) in watches.iter().enumerate() {
            let place = *places.entry((watch.origin, Arc::clone(&watch.host))).or_insert_with(|| {
                let origin: Arc<str> = config.origins[watch.origin.0 as usize].name.as_str().into();
                let (ready, spoken) =
                    before.remove(&(Arc::clone(&origin), Arc::clone(&watch.host))).unwrap_or_default();
                self.lines.push(Line { origin, host: Arc::clone(&watch.host), watches: Vec::new(), ready, spoken });
                self.lines.len() - 1
            });
            self.lines[place].watches.push(super::watch_id(index));
            self.by_watch.push(place);
        }
    }
}

impl Controller {
    /// What is known of each watch before it is asked.
    pub(super) fn scenes(&self, plan: &Plan) -> Vec<Arc<Scene>> {
        let ours = Ours::new(self.zones.iter().map(|zone| &zone.table));
        let mut known: BTreeMap<&str, Arc<Records>> = BTreeMap::new();
        let scene = |watch| {
            let Watch { origin, check, host, .. }: &Watch = watch;
            let records = known.entry(&**host).or_insert_with(|| Arc::new(Records::of(host, &ours)));
            let (origin, check) = (&self.config.origins[origin.0 as usize], &self.config.checks[check.0 as usize]);
            Arc::new(Scene::new(origin, check, host, Arc::clone(records)))
        };
        plan.watches.iter().map(scene).collect()
    }

    /// Takes in what a probe means for visitors; `class` is its watch's after it.
    pub(super) fn rehearse(&mut self, seen: &Observation, class: Class, now: Now, fx: &mut Effects) {
        let id = seen.watch;
        self.learn(id, seen.detail.as_deref());
        if !matches!(seen.outcome, Outcome::Inconclusive(_)) {
            let state = &self.watches[id.0 as usize];
            let company = Others { controller: self, state };
            let found = findings(seen, &state.scene, &company, now.wall);
            if self.watches[id.0 as usize].standing.hear(&seen.outcome, class, found) {
                self.shown.insert(id);
                self.touch_names_of(id, now);
            }
        }
        self.tell(id, now, fx);
    }

    /// Takes in what a host name resolved to, if its address families are not what they were.
    fn learn(&mut self, id: WatchId, detail: Option<&Detail>) {
        let Some(detail) = detail.filter(|detail| !detail.resolved.is_empty()) else { return };
        let families = [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|of| detail.resolved.iter().any(of));
        let state = &mut self.watches[id.0 as usize];
        if state.families.replace(families) == Some(families) {
            return;
        }
        let Target::Hostname(name) = &state.watch.target else { return };
        self.hostnames.learn(name, &detail.resolved);
        for &user in &state.names {
            self.names[user.0 as usize].rungs = Arc::default();
            self.touched.insert(user);
        }
    }

    /// What was foreseen of the names that stand on this host name is foreseen anew with their next decision.
    pub(super) fn foresee_again(&mut self, hostname: &Name) {
        for user in self.users_of(|origin| origin.cname.as_ref() == Some(hostname)) {
            self.names[user.0 as usize].rungs = Arc::default();
            self.touched.insert(user);
        }
    }

    /// Tells of an origin that became more or less ready while it is not served.
    fn tell(&mut self, id: WatchId, now: Now, fx: &mut Effects) {
        let Some(&place) = self.told.by_watch.get(id.0 as usize) else { return };
        if self.watches[id.0 as usize].ready() == self.told.lines[place].ready {
            return;
        }
        let states = self.told.lines[place].watches.iter().map(|id| &self.watches[id.0 as usize]);
        let ready =
            of_targets(states.clone().filter(|state| state.speaks()).map(|state| (state.class(), state.ready())));
        let line = &self.told.lines[place];
        if ready == line.ready || ready == Ready::Unknown {
            return;
        }
        let origin = self.watches[id.0 as usize].watch.origin;
        let (mut names, mut others) = (Vec::new(), 0);
        for &name in states.flat_map(|state| &state.names) {
            let state = &self.names[name.0 as usize];
            let Some(decision) = &state.decision else { return };
            if decision.origins.contains(&origin) {
                continue;
            }
            if names.len() == NAMES_TOLD {
                others += 1;
            } else if names.iter().all(|&(known, _)| known != name) {
                let rung = state.steer.rungs.iter().find(|rung| rung.origins.contains(&origin));
                names.push((name, rung.map(|rung| rung.place)));
            }
        }
        let (from, spoken) = (line.ready, line.spoken);
        let line = &mut self.told.lines[place];
        line.ready = ready;
        // Of one that is served everywhere a turn will tell, or the findings of `status`.
        if names.is_empty() || ready < from && !spoken {
            line.spoken &= ready > Ready::Unknown;
            return;
        }
        line.spoken = ready > Ready::Unknown;
        let told = line.watches.iter().map(|id| &self.watches[id.0 as usize]);
        let mut reasons: Vec<_> = told.flat_map(|state| state.standing.findings().iter().cloned()).collect();
        reasons.sort_by(|one, other| other.level.cmp(&one.level).then_with(|| one.cmp(other)));
        reasons.dedup();
        let what = journal::What::Rehearsed(Box::new(Rehearsed {
            origin: line.origin.to_string(),
            host: line.host.to_string(),
            place: names.first().and_then(|&(_, place)| place),
            names: names.iter().map(|&(name, _)| self.names[name.0 as usize].steer.name.clone()).collect(),
            others,
            from,
            to: ready,
            findings: if ready > Ready::Unknown { reasons } else { Vec::new() },
        }));
        self.record(what, now, fx);
    }
}

/// The other rungs of the names that look at a watch. Names that share a watch share its ladder, mostly: the first
/// speaks for all.
struct Others<'c> {
    controller: &'c Controller,
    state: &'c WatchState,
}

impl Others<'_> {
    /// Watches of other origins as the same host. What they showed last counts whatever became of them since: that
    /// another rung died tells nothing of this one.
    fn watches(&self) -> impl Iterator<Item = &WatchState> {
        let first = self.state.names.first().map(|name| &self.controller.names[name.0 as usize]);
        let origins = first.into_iter().flat_map(|name| &*name.rungs).flat_map(|rung| &*rung.origins);
        let watches = origins.flat_map(|origin| &*origin.watches).map(|id| &self.controller.watches[id.0 as usize]);
        let (origin, host) = (self.state.watch.origin, &self.state.watch.host);
        watches.filter(move |other| other.watch.origin != origin && other.watch.host == *host).take(COMPARED)
    }
}

impl Company for Others<'_> {
    fn origin_at(&self, host: &str) -> Option<String> {
        let address = host.parse::<IpAddr>().ok();
        let lives_there = |origin: &&Arc<Origin>| {
            let by_name = origin.cname.as_ref().is_some_and(|cname| cname.to_host().eq_ignore_ascii_case(host));
            by_name || address.is_some_and(|address| origin.addresses().any(|own| own == address))
        };
        self.controller.config.origins.iter().find(lives_there).map(|origin| origin.name.clone())
    }

    fn none_sends_to(&self, host: &str) -> bool {
        let shown = || self.watches().filter_map(|other| other.shows.as_ref());
        let sends_there = |to: &str| to.eq_ignore_ascii_case(host);
        shown().next().is_some()
            && self.watches().all(|other| other.last.is_some())
            && !shown().filter_map(|shows| shows.sends_to.as_deref()).any(sends_there)
    }

    fn insists(&self) -> bool {
        self.watches().filter_map(|other| other.shows.as_ref()).any(|shows| shows.insists)
    }
}
