//! The order book: what operators asked for, from the giving to the end.
//!
//! At most one order stands on a target; a new one takes the place of the old. Expiry is by the wall clock, as the
//! operator wrote it down. An order whose target vanishes by reload ends, journaled.

use std::sync::Arc;

use crate::config::{Config, Place, Steer};
use crate::control::journal::Ending;
use crate::control::{Released, Span};
use crate::decision::order::{Order, OrderId, What};
use crate::dns::Name;
use crate::time::Wall;

/// Orders in force.
#[derive(Debug, Default)]
pub(crate) struct OrderBook {
    orders: Arc<Vec<Order>>,
    next: u64,
}

impl OrderBook {
    /// The book of an earlier run. Orders are judged against the configuration and the clock by [`OrderBook::sweep`].
    pub(crate) fn restored(orders: Vec<Order>, next: u64) -> Self {
        let next = orders.iter().map(|order| order.id.0 + 1).fold(next.max(1), u64::max);
        Self { orders: Arc::new(orders), next }
    }

    /// Shared with the snapshot.
    pub(crate) fn all(&self) -> Arc<Vec<Order>> {
        Arc::clone(&self.orders)
    }

    /// The number of the next order.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The rung `name` is held on, and the order that says so.
    pub(crate) fn hold(&self, name: &Name) -> Option<(Place, &Order)> {
        self.orders.iter().find_map(|order| match &order.what {
            What::Hold { name: held, place } if held == name => Some((*place, order)),
            _ => None,
        })
    }

    /// True if an order drains `origin`.
    pub(crate) fn is_drained(&self, origin: &str) -> bool {
        self.orders.iter().any(|order| matches!(&order.what, What::Drain { origin: drained } if drained == origin))
    }

    /// Puts an order into force. Returns it, and the one whose place it took.
    pub(crate) fn give(
        &mut self,
        what: What,
        actor: String,
        reason: String,
        span: Span,
        now: Wall,
    ) -> (Order, Option<Order>) {
        let id = OrderId(self.next.max(1));
        self.next = id.0 + 1;
        let until = match span {
            Span::For(length) => Some(now + length),
            Span::UntilReleased => None,
        };
        let order = Order { id, what, actor, reason, given: now, until };
        let orders = Arc::make_mut(&mut self.orders);
        let replaced = orders.iter().position(|old| same_target(&old.what, &order.what)).map(|at| orders.remove(at));
        orders.push(order.clone());
        (order, replaced)
    }

    /// Takes the order on this target out of force.
    pub(crate) fn release(&mut self, target: &Released) -> Option<Order> {
        let at = self.orders.iter().position(|order| match (&order.what, target) {
            (What::Hold { name, .. }, Released::Name(released)) => name == released,
            (What::Drain { origin }, Released::Origin(released)) => origin == released,
            _ => false,
        })?;
        Some(Arc::make_mut(&mut self.orders).remove(at))
    }

    /// Takes out what has run out, and what points at nothing in `config`.
    pub(crate) fn sweep(&mut self, config: &Config, now: Wall) -> Vec<(Order, Ending)> {
        let ending = |order: &Order| {
            if order.until.is_some_and(|until| until <= now) {
                Some(Ending::Expired)
            } else if target_exists(&order.what, config) {
                None
            } else {
                Some(Ending::Vanished)
            }
        };
        if self.orders.iter().all(|order| ending(order).is_none()) {
            return Vec::new();
        }
        let (mut ended, mut kept) = (Vec::new(), Vec::new());
        for order in self.orders.iter() {
            match ending(order) {
                Some(by) => ended.push((order.clone(), by)),
                None => kept.push(order.clone()),
            }
        }
        self.orders = Arc::new(kept);
        ended
    }
}

fn same_target(one: &What, other: &What) -> bool {
    match (one, other) {
        (What::Hold { name, .. }, What::Hold { name: second, .. }) => name == second,
        (What::Drain { origin }, What::Drain { origin: second }) => origin == second,
        _ => false,
    }
}

fn target_exists(what: &What, config: &Config) -> bool {
    match what {
        What::Hold { name, place } => steer(config, name).is_some_and(|steer| has_rung(steer, *place)),
        What::Drain { origin } => config.origins.iter().any(|known| known.name == *origin),
    }
}

fn steer<'c>(config: &'c Config, name: &Name) -> Option<&'c Arc<Steer>> {
    config.steers.iter().find(|steer| steer.name == *name)
}

fn has_rung(steer: &Steer, place: Place) -> bool {
    steer.rungs.iter().any(|rung| rung.place == place)
}
