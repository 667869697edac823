//! Names that wait for the velocity limit: what people are told of them, and what they may do.

use std::sync::Arc;

use crate::config::{Config, SteerId};
use crate::control::journal::{self, Approved};
use crate::control::{Controller, Effects, steer_id};
use crate::decision::velocity::Limit;
use crate::dns::Name;
use crate::snapshot::status::Waits;
use crate::time::Now;

/// Names an approval of many tells; how many more there are is told too.
const NAMES_TOLD: usize = 10;

impl Controller {
    /// The limit that a configuration sets.
    pub(super) fn limit(config: &Config) -> Option<Limit> {
        let velocity = config.velocity?;
        let names = velocity.names_of(config.steers.len());
        Some(Limit { names, per: velocity.per, beyond: velocity.beyond })
    }

    /// This name moves as it should in the next round, whatever the limit says.
    pub(super) fn free(&mut self, name: SteerId, now: Now) {
        self.freed.insert(name);
        self.touch(name, now);
    }

    /// A person lets names move that wait: one, or all of them. What became of it, in words.
    pub(super) fn approve(
        &mut self,
        name: Option<Name>,
        actor: String,
        now: Now,
        fx: &mut Effects,
    ) -> Result<String, String> {
        if self.velocity.limit().is_none() {
            return Err("no velocity limit is configured, so nothing waits for it".to_owned());
        }
        let approved: Vec<SteerId> = match &name {
            None => self.velocity.all().collect(),
            Some(name) => {
                let index = self.names.iter().position(|state| state.steer.name == *name);
                let id = steer_id(index.ok_or_else(|| self.unknown_name(name))?);
                self.velocity.waits(id).map(|_| id).into_iter().collect()
            }
        };
        let said = match (&name, approved.as_slice()) {
            (Some(name), []) => return Ok(format!("{} does not wait for the velocity limit", name.to_host())),
            (None, []) => return Ok("no name waits for the velocity limit".to_owned()),
            (Some(name), [id, ..]) => {
                let to = self.velocity.waits(*id).map_or_else(String::new, |waits| waits.to.to_string());
                format!("{} goes to its {to}", name.to_host())
            }
            (None, [_]) => "1 name moves".to_owned(),
            (None, all) => format!("{} names move", all.len()),
        };
        let names = approved.iter().take(NAMES_TOLD).map(|id| self.names[id.0 as usize].steer.name.clone());
        let told = Approved { names: names.collect(), others: approved.len().saturating_sub(NAMES_TOLD), actor };
        for id in approved {
            self.free(id, now);
        }
        self.record(journal::What::MovesApproved(Box::new(told)), now, fx);
        Ok(said)
    }

    /// Journals that the limit is reached, and that nobody waits for it any more.
    pub(super) fn tell_of_waiting(&mut self, now: Now, fx: &mut Effects) {
        let waiting = self.velocity.len();
        match (self.reached, self.velocity.limit()) {
            (None, Some(limit)) if waiting > 0 => {
                self.reached = Some(now);
                self.record(journal::What::LimitReached { limit: limit.into(), waiting }, now, fx);
            }
            (Some(since), _) if waiting == 0 => {
                self.reached = None;
                let seconds = now.moment.since(since.moment).as_secs();
                self.record(journal::What::LimitCleared { seconds }, now, fx);
            }
            _ => {}
        }
    }

    pub(super) fn waiting_shown(&self) -> Option<Arc<Waits>> {
        let limit = self.velocity.limit().filter(|_| !self.velocity.is_empty())?;
        Some(Arc::new(Waits { names: self.velocity.len(), limit, next: self.velocity.next_deadline() }))
    }
}
