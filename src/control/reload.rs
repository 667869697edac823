//! Another configuration under the same verdicts: start and reload.
//!
//! Everything is built before anything is replaced. Watches keep their verdicts by identity, names their standing by
//! name and rung; a verdict lost by a reload never moves a name, because an unknown rung that is served stays served.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Config, Form, OriginId, Place, Rung, Steer, SteerId};
use crate::control::line::SerialLine;
use crate::control::names::NameState;
use crate::control::turns::planted;
use crate::control::watches::{self, WatchState};
use crate::control::{
    Controller, Effects, Loaded, Marks, PendingReload, RESERVATION_PATIENCE, Reload, Reply, RestoredDecision, Ticket,
    ZoneState, journal, steer_id,
};
use crate::decision::{Data, Decision, Reason, Served, Standing};
use crate::dns::Name;
use crate::probe::watch::{Seat, Watch, plan};
use crate::time::Now;

/// A zone that loses more than this share of its records needs `--force`, in percent.
const SHRINK_MAX: usize = 30;

impl Controller {
    /// Watches, schedule and names for the configuration in force; `before` are the watches of the `old` one.
    pub(super) fn arrange(&mut self, before: Vec<WatchState>, old: &Config, now: Now) {
        let plan = plan(&self.config);
        let asked = |watch: &Watch| (watch.key(&self.config), (&*self.config.checks[watch.check.0 as usize]).into());
        let keys: Vec<_> = plan.watches.iter().map(asked).collect();
        let carried = self.schedule.arrange(&keys, now.moment);
        self.told.arrange(&plan.watches, &self.config);
        self.watches = watches::arrange(&self.config, &plan, self.scenes(&plan), before, &carried);
        self.called = watches::called(&self.watches);
        self.find_well();
        self.trust.arrange(&plan.watches, &self.config, &carried);
        let origins = self.watches.iter().map(|state| Arc::clone(&state.origin_name)).collect();
        self.sight.arrange(self.config.server.doubt_share, origins, |epoch| self.schedule.locate(epoch).is_some());
        let ids = ids_by_name(&self.config);
        let same = |id: OriginId| ids.get(old.origins[id.0 as usize].name.as_str()).copied();
        let before = std::mem::take(&mut self.names).into_iter().enumerate();
        let mut known: BTreeMap<Name, (usize, NameState)> =
            before.map(|(index, state)| (state.steer.name.clone(), (index, state))).collect();
        let mut stands: BTreeMap<SteerId, SteerId> = BTreeMap::new();
        let mut edited: BTreeSet<SteerId> = BTreeSet::new();
        self.names = self
            .config
            .steers
            .iter()
            .zip(plan.seats)
            .enumerate()
            .map(|(index, (steer, seats))| match known.remove(&steer.name) {
                Some((old, state)) => {
                    stands.insert(steer_id(old), steer_id(index));
                    if !same_ladder(&state.steer.rungs, &steer.rungs, &same) {
                        edited.insert(steer_id(index));
                    }
                    state.under(Arc::clone(steer), seats, &same, now)
                }
                None => NameState::new(Arc::clone(steer), seats, now),
            })
            .collect();
        // What is marked is marked by the numbers of the configuration before; all is decided and shown anew.
        self.touched.clear();
        self.unnumbered.clear();
        self.shown.clear();
        self.shown_names.clear();
        self.unpublished.retain_mut(|turn| {
            let stays = stands.get(&turn.name);
            turn.name = stays.copied().unwrap_or(turn.name);
            stays.is_some()
        });
        let still = |name| stands.get(&name).copied();
        self.velocity.arrange(Self::limit(&self.config), still);
        // What a person edited, a person moved.
        self.freed = std::mem::take(&mut self.freed).into_iter().filter_map(still).chain(edited).collect();
        self.wakes = self.names.iter().enumerate().filter_map(|(at, name)| Some((name.wake?, steer_id(at)))).collect();
        self.flattened.follow(flattened_names(&self.config), now.moment);
        self.hostnames.keep(&self.config);
        self.pace_all(now);
        (self.rebuilt, self.restated) = (true, true);
    }

    /// Serves what an earlier run decided, where its rung still stands and is not too old.
    pub(super) fn restore(&mut self, decisions: &[RestoredDecision], now: Now) {
        let age_max = self.config.server.state_max_age;
        let known = ids_by_name(&self.config);
        let mut states: BTreeMap<&Name, &mut NameState> =
            self.config.steers.iter().map(|steer| &steer.name).zip(&mut self.names).collect();
        for restored in decisions {
            let Some(state) = states.get_mut(&restored.name) else {
                continue;
            };
            if now.wall.since(restored.at) > age_max {
                continue;
            }
            let ids: Vec<_> = restored.origins.iter().filter_map(|name| known.get(name.as_str()).copied()).collect();
            let Some(rung) = same_rung(&state.steer.rungs, restored.place, &ids) else {
                continue;
            };
            let all = &state.steer.rungs[rung].origins;
            let kept: Vec<_> = all.iter().filter(|id| ids.contains(id)).copied().collect();
            if kept.is_empty() {
                continue;
            }
            let (place, indices) = (state.steer.rungs[rung].place, indices(all, &kept));
            let origins = kept.iter().map(|id| &self.config.origins[id.0 as usize]);
            let data = match state.steer.form {
                Form::Cname => origins.filter_map(|origin| origin.cname.clone()).next().map(Data::Cname),
                Form::Address => {
                    let mut all: Vec<_> = origins.flat_map(|origin| origin.addresses()).collect();
                    all.sort_by_key(std::net::IpAddr::is_ipv6);
                    all.dedup();
                    (!all.is_empty()).then_some(Data::Addresses(all))
                }
            };
            state.standing = Arc::new(Standing::restored(place, indices));
            // A flattened rung has no addresses yet: it is decided as soon as they are known.
            if let Some(data) = data {
                let (ttl, reason) = (state.steer.ttl, Reason::Restored);
                state.served = Some(Arc::new(Served { place, origins: restored.origins.clone(), data: data.clone() }));
                state.decision = Some(Arc::new(Decision { rung, place, origins: kept, data, ttl, reason }));
            }
        }
        self.pace_all(now);
    }

    pub(super) fn reloaded(&mut self, reload: Reload, force: bool, now: Now, fx: &mut Effects) {
        if !force && let Some(loss) = self.loss(&reload.loaded) {
            self.reload_refused(reload.ticket, loss, now, fx);
            return;
        }
        self.apply_pending(now, fx);
        // A file serial raised beyond what is reserved is reserved first, so that no crash can serve it twice.
        let lines: BTreeMap<&Name, &SerialLine> =
            self.retired.iter().chain(self.zones.iter().map(|zone| (&zone.apex, &zone.line))).collect();
        let wanted: Vec<_> = reload
            .loaded
            .config
            .zones
            .iter()
            .zip(&reload.loaded.zones)
            .filter_map(|(file, zone)| {
                let mut line =
                    lines.get(&file.apex).map_or_else(|| SerialLine::new(zone.serial, None), |line| (*line).clone());
                line.refile(zone.serial);
                let wanted = line.peek();
                (!line.covers(wanted)).then(|| (file.apex.folded(), wanted.ahead(super::line::RESERVED)))
            })
            .collect();
        if wanted.is_empty() || self.storage.is_some() {
            self.apply(reload, now, fx);
            return;
        }
        let mut marks = self.marks();
        for (apex, serial) in &wanted {
            marks.serials.retain(|(name, _)| name != apex);
            marks.serials.push((apex.clone(), *serial));
        }
        fx.reserve = Some(marks);
        self.pending_reload = Some(PendingReload { reload, wanted, until: now.moment + RESERVATION_PATIENCE });
    }

    /// Applies the reload that waited for its serials: they are reserved, or there is nobody to reserve them.
    pub(super) fn apply_pending(&mut self, now: Now, fx: &mut Effects) {
        if let Some(pending) = self.pending_reload.take() {
            self.apply(pending.reload, now, fx);
        }
    }

    pub(super) fn reload_refused(&mut self, ticket: Option<Ticket>, errors: String, now: Now, fx: &mut Effects) {
        if let Some(ticket) = ticket {
            fx.replies.push((ticket, Reply::Denied { why: errors.clone() }));
        }
        self.record(journal::What::ReloadRefused { errors }, now, fx);
    }

    /// What the reload would take away that a slip of the hand takes away too; `None` if nothing of weight.
    fn loss(&self, loaded: &Loaded) -> Option<String> {
        let files = loaded.config.zones.iter().map(|file| &file.apex);
        let records: BTreeMap<&Name, usize> = files.zip(loaded.zones.iter().map(|zone| zone.records)).collect();
        for zone in &self.zones {
            let left = records.get(&zone.apex).copied().unwrap_or(0);
            let had = zone.records;
            if left * 100 < had * (100 - SHRINK_MAX) {
                return Some(format!(
                    "zone {} would shrink from {had} to {left} records; if that is meant, use `failoverd reload --force`",
                    zone.apex
                ));
            }
        }
        let steered: BTreeSet<&Name> = loaded.config.steers.iter().map(|steer| &steer.name).collect();
        let gone = self.names.iter().find(|state| !steered.contains(&state.steer.name))?;
        Some(format!(
            "{} would not be steered any more; if that is meant, use `failoverd reload --force`",
            gone.steer.name.to_host()
        ))
    }

    fn apply(&mut self, reload: Reload, now: Now, fx: &mut Effects) {
        let Reload { ticket, loaded, actor } = reload;
        let Loaded { config, zones, warnings, files: _ } = *loaded;
        let old = std::mem::replace(&mut self.config, Arc::clone(&config));
        self.node = self.config.server.name.as_str().into();
        let known = std::mem::take(&mut self.zones).into_iter();
        let mut known: BTreeMap<Name, ZoneState> = known.map(|state| (state.apex.clone(), state)).collect();
        self.zones = config
            .zones
            .iter()
            .zip(zones)
            .map(|(file, zone)| {
                let mut state = match known.remove(&file.apex) {
                    Some(old) => ZoneState { table: zone.table, records: zone.records, ..old },
                    None => ZoneState {
                        version: None,
                        table: zone.table,
                        apex: file.apex.clone(),
                        records: zone.records,
                        clean: None,
                        line: self.retired.remove(&file.apex).unwrap_or_else(|| SerialLine::new(zone.serial, None)),
                        changed: true,
                        silenced: false,
                    },
                };
                state.changed |= state.line.refile(zone.serial);
                state
            })
            .collect();
        self.retired.extend(known.into_values().map(|gone| (gone.apex, gone.line)));
        let before = std::mem::take(&mut self.watches);
        self.arrange(before, &old, now);
        self.rewire(fx);
        self.replant();
        self.sweep_orders(now, fx);
        self.touch_all(now);
        self.record(journal::What::Reloaded { actor, warnings }, now, fx);
        if let Some(ticket) = ticket {
            let restart = waits_for_restart(&old, &config);
            let said = if restart.is_empty() {
                "reloaded".to_owned()
            } else {
                format!("reloaded; applies only at restart: {}", restart.join(", "))
            };
            self.waiting.push((ticket, self.sequence, said));
        }
    }

    /// Puts what is decided into tables fresh from their files. Where that leaves the content the same, so does the
    /// serial stay.
    fn replant(&mut self) {
        let mut by_zone: Vec<Vec<&mut NameState>> = self.zones.iter().map(|_| Vec::new()).collect();
        for state in &mut self.names {
            by_zone[state.steer.zone.0 as usize].push(state);
        }
        for (zone, mut names) in self.zones.iter_mut().zip(by_zone) {
            let table = if names.is_empty() {
                zone.table.clone()
            } else {
                planted(&zone.table, names.iter().map(|state| &**state))
            };
            for state in &mut names {
                state.spot = table.spot(&state.steer.name);
            }
            match &zone.version {
                Some(version) if version.table.same_content(&table) => {
                    zone.table = table;
                    zone.silenced = true;
                }
                _ => {
                    zone.table = table;
                    zone.changed = true;
                }
            }
        }
    }

    /// All numbers reserved or asked for.
    pub(super) fn marks(&self) -> Marks {
        let serials = self.zones.iter().filter_map(|zone| Some((zone.apex.folded(), zone.line.reserved()?)));
        Marks { generation: self.generations.reserved(), serials: serials.collect() }
    }

    /// Asks for more numbers where half of what is reserved is used.
    pub(super) fn reserve(&mut self, fx: &mut Effects) {
        let mut wants = self.generations.wants().is_some();
        for zone in &mut self.zones {
            wants |= zone.line.wants().is_some();
        }
        if wants {
            let mut marks = self.marks();
            // A reload that waits has asked for more already; marks never go back.
            for (apex, serial) in fx.reserve.take().map(|marks| marks.serials).unwrap_or_default() {
                match marks.serials.iter_mut().find(|(name, _)| *name == apex) {
                    Some((_, mark)) => *mark = mark.greater(serial),
                    None => marks.serials.push((apex, serial)),
                }
            }
            fx.reserve = Some(marks);
        }
    }
}

impl NameState {
    /// The same name under another configuration. Rungs are known again by their origins, so that a list of backups
    /// may be edited during an outage; what stands on one stays as long as it does.
    fn under(
        self,
        steer: Arc<Steer>,
        seats: Vec<Vec<Seat>>,
        same: &dyn Fn(OriginId) -> Option<OriginId>,
        now: Now,
    ) -> Self {
        let moved = |place: Place| {
            let old = self.steer.rungs.iter().find(|rung| rung.place == place)?;
            let served = self.decision.as_ref().filter(|decision| decision.place == place);
            let origins = served.map_or(&old.origins, |decision| &decision.origins);
            let ids: Vec<_> = origins.iter().filter_map(|&id| same(id)).collect();
            let at = same_rung(&steer.rungs, place, &ids)?;
            Some((at, ids))
        };
        let decision = self.decision.as_deref().cloned().map(|decision| match moved(decision.place) {
            Some((rung, ids)) => {
                let origins = steer.rungs[rung].origins.iter().filter(|id| ids.contains(id)).copied().collect();
                Decision { rung, place: steer.rungs[rung].place, origins, ..decision }
            }
            // Its rung is gone: the answer stays until the next decision takes its place, in the same publish.
            None => Decision { rung: decision.rung.min(steer.rungs.len() - 1), origins: Vec::new(), ..decision },
        });
        let decision = decision.map(Arc::new);
        let served = decision
            .as_ref()
            .map_or_else(Vec::new, |decision| indices(&steer.rungs[decision.rung].origins, &decision.origins));
        let standing = self.standing.moved(|place| moved(place).map(|(at, _)| steer.rungs[at].place), served);
        let standing = Arc::new(standing);
        Self { steer, seats, decision, standing, wake: Some(now.moment), rungs: Arc::default(), ..self }
    }
}

/// The rung that `origins` stand on in another ladder: the one that holds most of them, of equals the one at the same
/// place; where none does, the one at the same place.
fn same_rung(rungs: &[Rung], place: Place, origins: &[OriginId]) -> Option<usize> {
    let shared = |rung: &Rung| rung.origins.iter().filter(|id| origins.contains(id)).count();
    let best = rungs.iter().enumerate().max_by_key(|(at, rung)| (shared(rung), rung.place == place, Reverse(*at)));
    let (at, rung) = best?;
    (shared(rung) > 0 || rung.place == place).then_some(at)
}

/// The rungs stand at the same places, with the same origins.
fn same_ladder(old: &[Rung], new: &[Rung], same: &dyn Fn(OriginId) -> Option<OriginId>) -> bool {
    let is_same = |(old, new): (&Rung, &Rung)| {
        old.place == new.place && old.origins.iter().map(|&id| same(id)).eq(new.origins.iter().map(|&id| Some(id)))
    };
    old.len() == new.len() && old.iter().zip(new).all(is_same)
}

fn ids_by_name(config: &Config) -> BTreeMap<&str, OriginId> {
    (0..).map(OriginId).zip(&config.origins).map(|(id, origin)| (origin.name.as_str(), id)).collect()
}

/// Where `some` stand in `all`.
fn indices(all: &[OriginId], some: &[OriginId]) -> Vec<usize> {
    (0..all.len()).filter(|&index| some.contains(&all[index])).collect()
}

/// Host names that some name serves by address; those with addresses of their own are compared with them.
fn flattened_names(config: &Config) -> Vec<Name> {
    let served = config.steers.iter().filter(|steer| steer.form == Form::Address);
    let origins = served.flat_map(|steer| &steer.rungs).flat_map(|rung| &rung.origins);
    origins.map(|id| &config.origins[id.0 as usize]).filter_map(|origin| origin.cname.clone()).collect()
}

/// The settings of `new` that take effect only at the next start.
pub fn waits_for_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let listened = |config: &Config| (config.server.listen.clone(), config.server.encrypted.listen.clone());
    // The files themselves are taken into use at once.
    let https_path = |config: &Config| config.server.encrypted.tls.as_ref().map(|tls| tls.https_path.clone());
    let settings = [
        ("[server] listen", listened(old) != listened(new)),
        ("[server.tls] https_path", https_path(old) != https_path(new)),
        ("[server] workers", old.server.workers != new.server.workers),
        ("[server] state", old.server.state != new.server.state),
        ("[heartbeat] listen", old.server.asking.heartbeat != new.server.asking.heartbeat),
        ("[admin] listen", old.admin.listen != new.admin.listen),
        ("[admin] ops_listen", old.admin.ops_listen != new.admin.ops_listen),
        ("[admin.token]", old.admin.tokens != new.admin.tokens),
    ];
    settings.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
}
