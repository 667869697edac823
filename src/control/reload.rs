//! Another configuration under the same verdicts: start and reload.
//!
//! Everything is built before anything is replaced. Watches keep their verdicts by identity, names their standing by
//! name and rung; a verdict lost by a reload never moves a name, because an unknown rung that is served stays served.

use std::sync::Arc;

use crate::config::{Config, Form, OriginId, Steer};
use crate::control::line::SerialLine;
use crate::control::names::NameState;
use crate::control::watches::{self, WatchState};
use crate::control::{
    Controller, Effects, Loaded, Marks, PendingReload, RESERVATION_PATIENCE, Reload, Reply, RestoredDecision, Ticket,
    ZoneState, journal,
};
use crate::decision::{Data, Decision, Reason, Standing};
use crate::dns::Name;
use crate::probe::watch::{Seat, plan};
use crate::snapshot::steered;
use crate::time::Now;

/// A zone that loses more than this share of its records needs `--force`, in percent.
const SHRINK_MAX: usize = 30;

impl Controller {
    /// Watches, schedule and names for the configuration in force; `before` are the watches of the `old` one.
    pub(super) fn arrange(&mut self, before: Vec<WatchState>, old: &Config, now: Now) {
        let plan = plan(&self.config);
        self.watches = watches::arrange(&self.config, &plan, before);
        let keys: Vec<_> = self.watches.iter().map(|state| (state.key.clone(), (&*state.check).into())).collect();
        let carried = self.schedule.arrange(&keys, now.moment);
        self.trust.arrange(&plan.watches, &self.config, &carried);
        let origins = self.watches.iter().map(|state| Arc::clone(&state.origin_name)).collect();
        self.sight.arrange(self.config.server.doubt_share, origins, |epoch| self.schedule.locate(epoch).is_some());
        let mut known: Vec<NameState> = std::mem::take(&mut self.names);
        self.names = self
            .config
            .steers
            .iter()
            .zip(plan.seats)
            .map(|(steer, seats)| {
                let at = known.iter().position(|state| state.steer.name == steer.name);
                match at.map(|at| known.swap_remove(at)) {
                    Some(state) => {
                        let same = |id: OriginId| {
                            let name = &old.origins[id.0 as usize].name;
                            let at = self.config.origins.iter().position(|origin| origin.name == *name)?;
                            Some(OriginId(u32::try_from(at).unwrap_or(u32::MAX)))
                        };
                        state.under(Arc::clone(steer), seats, same, now)
                    }
                    None => NameState::new(Arc::clone(steer), seats, now),
                }
            })
            .collect();
        self.flattened.follow(flattened_names(&self.config), now.moment);
        (self.rebuilt, self.restated) = (true, true);
    }

    /// Serves what an earlier run decided, where its rung still stands and is not too old.
    pub(super) fn restore(&mut self, decisions: &[RestoredDecision], now: Now) {
        let age_max = self.config.server.state_max_age;
        for restored in decisions {
            let Some(state) = self.names.iter_mut().find(|state| state.steer.name == restored.name) else {
                continue;
            };
            let Some(rung) = state.rung_at(restored.place) else {
                continue;
            };
            if now.wall.since(restored.at) > age_max {
                continue;
            }
            let ids = &state.steer.rungs[rung].origins;
            let name_of = |id: &OriginId| self.config.origins[id.0 as usize].name.as_str();
            let kept: Vec<_> =
                ids.iter().filter(|id| restored.origins.iter().any(|name| name == name_of(id))).copied().collect();
            if kept.is_empty() {
                continue;
            }
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
            state.standing = Standing::restored(restored.place);
            // A flattened rung has no addresses yet: it is decided as soon as they are known.
            if let Some(data) = data {
                state.decision = Some(Decision {
                    rung,
                    place: restored.place,
                    origins: kept,
                    data,
                    ttl: state.steer.ttl,
                    reason: Reason::Restored,
                });
            }
        }
    }

    pub(super) fn reloaded(&mut self, reload: Reload, force: bool, now: Now, fx: &mut Effects) {
        if !force && let Some(loss) = self.loss(&reload.loaded) {
            self.reload_refused(reload.ticket, loss, now, fx);
            return;
        }
        self.apply_pending(now, fx);
        // A file serial raised beyond what is reserved is reserved first, so that no crash can serve it twice.
        let wanted: Vec<_> = reload
            .loaded
            .config
            .zones
            .iter()
            .zip(&reload.loaded.zones)
            .filter_map(|(file, zone)| {
                let mut line = self.line_of(&file.apex).unwrap_or_else(|| SerialLine::new(zone.serial, None));
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

    fn line_of(&self, apex: &Name) -> Option<SerialLine> {
        let served = self.zones.iter().find(|known| known.apex == *apex).map(|known| &known.line);
        served.or_else(|| self.retired.get(apex)).cloned()
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
        for zone in &self.zones {
            let at = loaded.config.zones.iter().position(|file| file.apex == zone.apex);
            let left = at.and_then(|at| loaded.zones.get(at)).map_or(0, |zone| zone.records);
            let had = zone.records;
            if left * 100 < had * (100 - SHRINK_MAX) {
                return Some(format!(
                    "zone {} would shrink from {had} to {left} records; if that is meant, use `failoverd reload --force`",
                    zone.apex
                ));
            }
        }
        let gone =
            self.names.iter().find(|state| !loaded.config.steers.iter().any(|steer| steer.name == state.steer.name))?;
        Some(format!(
            "{} would not be steered any more; if that is meant, use `failoverd reload --force`",
            gone.steer.name.to_host()
        ))
    }

    fn apply(&mut self, reload: Reload, now: Now, fx: &mut Effects) {
        let Reload { ticket, loaded, actor } = reload;
        let Loaded { config, zones, warnings } = *loaded;
        let old = std::mem::replace(&mut self.config, Arc::clone(&config));
        let mut known: Vec<ZoneState> = std::mem::take(&mut self.zones);
        self.zones = config
            .zones
            .iter()
            .zip(zones)
            .map(|(file, zone)| {
                let at = known.iter().position(|state| state.apex == file.apex);
                let mut state = match at.map(|at| known.swap_remove(at)) {
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
        self.retired.extend(known.into_iter().map(|gone| (gone.apex, gone.line)));
        let before = std::mem::take(&mut self.watches);
        self.arrange(before, &old, now);
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
        for (index, zone) in self.zones.iter_mut().enumerate() {
            let names = self.names.iter().filter(|state| state.steer.zone.0 as usize == index);
            let changes: Vec<_> =
                names.flat_map(|state| steered::changes(&state.steer.name, state.decision.as_ref())).collect();
            let table = zone.table.with(&changes);
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
    /// The same name under another configuration: what it stands on stays if its rung does.
    fn under(
        self,
        steer: Arc<Steer>,
        seats: Vec<Vec<Seat>>,
        same: impl Fn(OriginId) -> Option<OriginId>,
        now: Now,
    ) -> Self {
        // Ids are of the configuration that goes; the decision is remade before it is served again.
        let decision = self.decision.clone().and_then(|decision| {
            let origins = decision.origins.iter().filter_map(|&id| same(id)).collect();
            let rung = steer.rungs.iter().position(|rung| rung.place == decision.place)?;
            Some(Decision { rung, origins, ..decision })
        });
        Self { steer, seats, decision, wake: Some(now.moment), rungs: Vec::new(), ..self }
    }
}

/// Host names that some name serves by address and that have none of their own.
fn flattened_names(config: &Config) -> Vec<Name> {
    let served = config.steers.iter().filter(|steer| steer.form == Form::Address);
    let origins = served.flat_map(|steer| &steer.rungs).flat_map(|rung| &rung.origins);
    origins
        .map(|id| &config.origins[id.0 as usize])
        .filter(|origin| origin.addresses().next().is_none())
        .filter_map(|origin| origin.cname.clone())
        .collect()
}

/// The settings of `new` that take effect only at the next start.
pub fn waits_for_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let settings = [
        ("[server] listen", old.server.listen != new.server.listen),
        ("[server] workers", old.server.workers != new.server.workers),
        ("[server] state", old.server.state != new.server.state),
        ("[admin] listen", old.admin.listen != new.admin.listen),
        ("[admin] ops_listen", old.admin.ops_listen != new.admin.ops_listen),
        ("[admin.token]", old.admin.tokens != new.admin.tokens),
    ];
    settings.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
}
