//! What people ask of the controller: orders given, replaced, released and run out, failbacks and moves approved.

use std::sync::Arc;

use crate::control::journal::{self, Ending};
use crate::control::names::Memo;
use crate::control::{Asked, Controller, Effects, Released, Reply, Span, Ticket, steer_id};
use crate::decision::Order;
use crate::decision::order::What;
use crate::dns::Name;
use crate::time::Now;
use crate::verdict::Class;

impl Controller {
    pub(super) fn sweep_orders(&mut self, now: Now, fx: &mut Effects) {
        for (order, by) in self.orders.sweep(&self.config, now.wall) {
            self.order_ended(order, by, now, fx);
        }
    }

    fn order_ended(&mut self, order: Order, by: Ending, now: Now, fx: &mut Effects) {
        self.touch_target_of(&order.what, now);
        self.restated = true;
        self.record(journal::What::OrderEnded { order, by }, now, fx);
    }

    pub(super) fn asked(&mut self, ticket: Ticket, actor: String, asked: Asked, now: Now, fx: &mut Effects) {
        let outcome = match asked {
            Asked::Order { what, span, reason, force } => self.order(what, span, reason, force, actor, now, fx),
            Asked::Release(target) => self.release(&target, actor, now, fx),
            Asked::Failback { name } => self.approve_failback(name, actor, now, fx),
            Asked::Approve { name } => self.approve(name, actor, now, fx),
        };
        match outcome {
            Ok(said) => self.waiting.push((ticket, self.sequence, said)),
            Err(why) => fx.replies.push((ticket, Reply::Denied { why })),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an order is exactly these facts")]
    fn order(
        &mut self,
        what: What,
        span: Span,
        reason: String,
        force: bool,
        actor: String,
        now: Now,
        fx: &mut Effects,
    ) -> Result<String, String> {
        let said = self.order_makes_sense(&what, force, now)?;
        let (order, replaced) = self.orders.give(what, actor, reason, span, now.wall);
        if let Some(replaced) = replaced {
            self.order_ended(replaced, Ending::Replaced { by: order.id }, now, fx);
        }
        self.touch_target_of(&order.what, now);
        self.restated = true;
        let until = order.until.map_or_else(|| "until released".to_owned(), |until| format!("until {until}"));
        self.record(journal::What::Ordered(order), now, fx);
        Ok(format!("{said} {until}"))
    }

    /// What the order will do, in words; or why it is not obeyed.
    fn order_makes_sense(&self, what: &What, force: bool, now: Now) -> Result<String, String> {
        let ground = self.ground(now);
        match what {
            What::Hold { name, place } => {
                let state = self.names.iter().find(|state| state.steer.name == *name);
                let state = state.ok_or_else(|| self.unknown_name(name))?;
                let Some(rung) = state.rung_at(*place) else {
                    let rungs: Vec<_> = state.steer.rungs.iter().map(|rung| rung.place.to_string()).collect();
                    return Err(format!("{} has no rung {place}; its rungs are {}", name.to_host(), rungs.join(", ")));
                };
                let origins = 0..state.steer.rungs[rung].origins.len();
                let seen = origins.map(|at| state.seen(rung, at, &ground));
                let class = seen.filter(|seen| !seen.drained).map(|seen| seen.class).min().unwrap_or(Class::Down);
                if class == Class::Down && !force {
                    return Err(format!(
                        "the {place} of {} is down; holding it there would serve a dead origin (use --force to do so)",
                        name.to_host()
                    ));
                }
                Ok(format!("{} is held on its {place}", name.to_host()))
            }
            What::Drain { origin } => {
                let Some(drained) = self.config.origins.iter().position(|known| known.name == *origin) else {
                    let known: Vec<_> = self.config.origins.iter().map(|known| known.name.as_str()).collect();
                    return Err(format!("unknown origin `{origin}`; the origins are {}", known.join(", ")));
                };
                // While a name is held, only the rung it is held on can be served.
                let stranded = self.names.iter().find(|state| {
                    let hold = self.orders.hold(&state.steer.name).map(|(place, _)| place);
                    let rungs = state.steer.rungs.iter().enumerate();
                    let open = rungs.filter(|(_, rung)| hold.is_none_or(|place| rung.place == place));
                    let mut open = open.flat_map(|(index, rung)| {
                        rung.origins.iter().enumerate().map(move |(at, id)| (index, at, id.0 as usize))
                    });
                    let is_left = |(rung, at, id): (usize, usize, usize)| {
                        let seen = state.seen(rung, at, &ground);
                        id != drained && !seen.drained && seen.class != Class::Down
                    };
                    open.clone().any(|(.., id)| id == drained) && !open.any(is_left)
                });
                match stranded {
                    Some(state) if !force => Err(format!(
                        "{} would have nothing usable left without `{origin}` (use --force to drain it all the same)",
                        state.steer.name.to_host()
                    )),
                    _ => Ok(format!("{origin} is drained")),
                }
            }
        }
    }

    pub(super) fn unknown_name(&self, name: &Name) -> String {
        let known: Vec<_> = self.names.iter().take(10).map(|state| state.steer.name.to_host()).collect();
        format!("{} is not a steered name; steered are {}", name.to_host(), known.join(", "))
    }

    fn release(&mut self, target: &Released, actor: String, now: Now, fx: &mut Effects) -> Result<String, String> {
        let told = match target {
            Released::Name(name) => name.to_host(),
            Released::Origin(origin) => origin.clone(),
        };
        let order = self.orders.release(target).ok_or_else(|| format!("no order stands on {told}"))?;
        self.order_ended(order, Ending::Released { actor }, now, fx);
        Ok(format!("{told} is released"))
    }

    fn approve_failback(&mut self, name: Name, actor: String, now: Now, fx: &mut Effects) -> Result<String, String> {
        let index = self.names.iter().position(|state| state.steer.name == name);
        let index = index.ok_or_else(|| self.unknown_name(&name))?;
        if let Some((place, _)) = self.orders.hold(&name) {
            return Err(format!("{} is held on its {place}; release it first", name.to_host()));
        }
        if self.doubt.is_some() {
            return Err("our own sight is in doubt and nothing moves by itself; `hold` overrules it".to_owned());
        }
        // A look may see what status does not show yet.
        self.shown_names.insert(steer_id(index));
        let (ground, names) = self.names_on_ground(now);
        let state = &mut names[index];
        state.look(&ground, &mut Memo::default());
        let ladder = state.ladder();
        if !Arc::make_mut(&mut state.standing).approve(&ladder) {
            return Err(format!("no failback of {} waits: no better rung is up", name.to_host()));
        }
        self.free(steer_id(index), now);
        let said = format!("{} goes back", name.to_host());
        self.record(journal::What::FailbackApproved { name, actor }, now, fx);
        Ok(said)
    }

    /// What an order moves is not limited; a name that waited already waits on, unless the order takes its rung away.
    fn touch_target_of(&mut self, what: &What, now: Now) {
        let users: Vec<_> = match what {
            What::Hold { name, .. } => self.positions(|state| state.steer.name == *name),
            What::Drain { origin } => self.users_of(|known| known.name == *origin),
        };
        for name in users {
            match self.velocity.waits(name) {
                None => self.free(name, now),
                Some(_) => self.touch(name, now),
            }
        }
    }
}
