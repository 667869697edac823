//! What is written together, and the state that follows from it.
//!
//! A [`Batch`] takes in whatever is handed over until the storage thread is free; entries are kept one by one, all
//! else as its last value. [`State`] is what the tables hold: kept in memory too, so that a file that had to be made
//! anew is whole again with its first commit.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::journal::{Entry, What};
use crate::control::{Marks, Restored, RestoredDecision};
use crate::decision::order::{self, Order};
use crate::dns::Name;
use crate::dns::Serial;
use crate::time::Wall;

/// Entries that may wait for a disk that does not write. Some 10 MB; beyond it the oldest verdicts go first.
pub(super) const WAITING_MAX: usize = 20_000;

/// Entries that may wait to be settled, while the storage thread is away: some milliseconds of work.
const UNSETTLED_MAX: usize = 4096;

/// What waits to be committed in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// As many of them were looked at for what follows from them.
    pub(super) settled: usize,
    /// By folded name in presentation format.
    pub(super) decisions: BTreeMap<String, RestoredDecision>,
    /// By number; `None` takes it out of force.
    pub(super) orders: BTreeMap<u64, Option<Order>>,
    pub(super) next_order: Option<u64>,
    pub(super) marks: Option<Marks>,
    pub(super) clean: Option<Vec<(Name, Serial, u64)>>,
    pub(super) cursors: BTreeMap<String, u64>,
    /// The alerts there are: cursors of others are forgotten.
    pub(super) alerts: Option<BTreeSet<String>>,
    /// The names that are steered: decisions of others are forgotten.
    pub(super) steered: Option<BTreeSet<String>>,
    /// Decisions and orders of the file give way to these.
    pub(super) whole: bool,
    /// Entries lost because more than [`WAITING_MAX`] waited.
    pub(super) lost: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.marks.is_none()
            && self.clean.is_none()
            && self.cursors.is_empty()
            && self.alerts.is_none()
            && self.steered.is_none()
            && !self.whole
    }

    /// Takes an entry in. Costs whoever has to say something nothing else; see [`Batch::settle`].
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        if self.entries.len() - self.settled > UNSETTLED_MAX {
            self.settle();
        }
        self.shed();
    }

    /// Takes in what follows from the entries for decisions and orders. For the storage thread, before anything is done
    /// with these.
    pub(super) fn settle(&mut self) {
        for entry in &self.entries[self.settled..] {
            match &entry.what {
                What::Turned(turn) => {
                    let decision = RestoredDecision {
                        name: turn.name.clone(),
                        place: turn.to.place,
                        origins: turn.to.origins.clone(),
                        at: entry.at,
                    };
                    self.decisions.insert(key(&turn.name), decision);
                }
                What::Ordered(order) => {
                    self.orders.insert(order.id.0, Some(order.clone()));
                    self.next_order = self.next_order.max(Some(order.id.0 + 1));
                }
                What::OrderEnded { order, .. } => {
                    self.orders.insert(order.id.0, None);
                }
                _ => {}
            }
        }
        self.settled = self.entries.len();
    }

    /// Takes marks in. Those that wait already stay reserved.
    pub(super) fn reserve(&mut self, marks: &Marks) {
        raise(self.marks.get_or_insert_default(), marks);
    }

    /// Forgets the cursors of all other alerts.
    pub(super) fn keep_cursors(&mut self, alerts: BTreeSet<String>) {
        self.cursors.retain(|alert, _| alerts.contains(alert));
        self.alerts = Some(alerts);
    }

    /// Takes in a batch that came later.
    pub(super) fn append(&mut self, mut later: Self) {
        self.settle();
        later.settle();
        self.entries.extend(later.entries);
        self.settled = self.entries.len();
        self.decisions.extend(later.decisions);
        self.orders.extend(later.orders);
        self.next_order = self.next_order.max(later.next_order);
        if let Some(marks) = &later.marks {
            self.reserve(marks);
        }
        self.clean = later.clean.or(self.clean.take());
        if let Some(alerts) = later.alerts {
            self.keep_cursors(alerts);
        }
        self.cursors.extend(later.cursors);
        self.steered = later.steered.or(self.steered.take());
        self.whole |= later.whole;
        self.lost += later.lost;
        self.shed();
    }

    /// Counts entries and orders on from those of a file that was opened late.
    pub(super) fn shift(&mut self, entries: u64, orders: u64) {
        self.settle();
        for entry in &mut self.entries {
            entry.sequence += entries;
            if let What::Ordered(order) | What::OrderEnded { order, .. } = &mut entry.what {
                order.id.0 += orders;
            }
        }
        if orders == 0 {
            return;
        }
        let shifted = std::mem::take(&mut self.orders).into_iter().map(|(number, mut order)| {
            if let Some(order) = &mut order {
                order.id.0 += orders;
            }
            (number + orders, order)
        });
        self.orders = shifted.collect();
        self.next_order = self.next_order.map(|next| next + orders);
    }

    /// What was in force stays known to the letter; of the history the least is given up.
    fn shed(&mut self) {
        let waiting = self.entries.len();
        if waiting <= WAITING_MAX {
            return;
        }
        self.settle();
        self.entries.retain(|entry| !matches!(entry.what, What::Verdict { .. }));
        if self.entries.len() > WAITING_MAX * 9 / 10 {
            self.entries.drain(..WAITING_MAX / 10);
        }
        self.settled = self.entries.len();
        self.lost += waiting - self.entries.len();
    }
}

/// What the tables hold besides the journal.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) decisions: BTreeMap<String, RestoredDecision>,
    pub(super) orders: BTreeMap<u64, Order>,
    pub(super) cursors: BTreeMap<String, u64>,
    pub(super) marks: Marks,
    pub(super) clean: Vec<(Name, Serial, u64)>,
    pub(super) next_order: u64,
    /// When the file was last written: the decisions in it were the served ones at least until then.
    pub(super) seen: Wall,
    /// Of the journal; 0 if it is empty.
    pub(super) last_sequence: u64,
}

impl State {
    /// As the controller takes it. A decision is as old as the last sign of life, not as its turn.
    pub(super) fn restored(&self) -> Restored {
        let alive =
            |decision: &RestoredDecision| RestoredDecision { at: decision.at.max(self.seen), ..decision.clone() };
        Restored {
            marks: self.marks.clone(),
            decisions: self.decisions.values().map(alive).collect(),
            orders: self.orders.values().cloned().collect(),
            next_sequence: self.last_sequence + 1,
            next_order: self.next_order.max(1),
            clean: self.clean.clone(),
        }
    }

    /// What a controller that went on without this state does not know, in words.
    pub(super) fn late(&self) -> Option<String> {
        let orders = self.orders.len();
        (orders > 0 || !self.decisions.is_empty() || self.marks != Marks::default()).then(|| {
            format!(
                "the state of the last run was read late: {orders} orders and the reserved serials of that run are not \
                 in force until a restart"
            )
        })
    }

    /// Takes those orders out of `batch`'s future that are numbered up to `last`, of a run before, and whose name or
    /// origin has been ordered about anew.
    pub(super) fn supersede(&self, last: u64, batch: &mut Batch) {
        let told = batch.entries.iter().filter_map(|entry| match &entry.what {
            What::Ordered(order) | What::OrderEnded { order, .. } => Some(order),
            _ => None,
        });
        let anew: Vec<_> = told.chain(batch.orders.values().flatten()).map(Order::clone).collect();
        for (&number, order) in self.orders.range(..=last) {
            if anew.iter().any(|new| new.id.0 > last && is_about_the_same(&new.what, &order.what)) {
                batch.orders.insert(number, None);
            }
        }
    }

    /// Follows a batch. Its marks become those of both: numbers that may have been served stay reserved, also those
    /// of a zone that is not in the configuration now.
    pub(super) fn follow(&mut self, batch: &mut Batch) {
        batch.settle();
        if let Some(steered) = &batch.steered {
            self.decisions.retain(|name, _| steered.contains(name));
        }
        self.decisions.extend(batch.decisions.iter().map(|(name, decision)| (name.clone(), decision.clone())));
        for (&number, order) in &batch.orders {
            match order {
                Some(order) => self.orders.insert(number, order.clone()),
                None => self.orders.remove(&number),
            };
        }
        self.next_order = self.next_order.max(batch.next_order.unwrap_or(0));
        if let Some(alerts) = &batch.alerts {
            self.cursors.retain(|alert, _| alerts.contains(alert));
        }
        self.cursors.extend(batch.cursors.iter().map(|(alert, &sequence)| (alert.clone(), sequence)));
        if let Some(marks) = &mut batch.marks {
            self.raise(marks);
            marks.clone_from(&self.marks);
        }
    }

    /// Reserves up to the higher of both marks.
    pub(super) fn raise(&mut self, marks: &Marks) {
        raise(&mut self.marks, marks);
    }

    /// All of it, for a file that holds none of it.
    pub(super) fn batch(&self) -> Batch {
        Batch {
            decisions: self.decisions.clone(),
            orders: self.orders.iter().map(|(&number, order)| (number, Some(order.clone()))).collect(),
            next_order: Some(self.next_order),
            marks: Some(self.marks.clone()),
            cursors: self.cursors.clone(),
            whole: true,
            ..Batch::default()
        }
    }
}

/// The greater of each number; serials as RFC 1982 compares them.
fn raise(marks: &mut Marks, by: &Marks) {
    marks.generation = marks.generation.max(by.generation);
    let mut new: BTreeMap<&Name, Serial> = by.serials.iter().map(|(apex, serial)| (apex, *serial)).collect();
    for (apex, mark) in &mut marks.serials {
        if let Some(serial) = new.remove(&*apex) {
            *mark = mark.greater(serial);
        }
    }
    marks.serials.extend(by.serials.iter().filter(|(apex, _)| new.contains_key(apex)).cloned());
}

fn is_about_the_same(one: &order::What, other: &order::What) -> bool {
    match (one, other) {
        (order::What::Hold { name: one, .. }, order::What::Hold { name: other, .. }) => one == other,
        (order::What::Drain { origin: one }, order::What::Drain { origin: other }) => one == other,
        _ => false,
    }
}

/// How a steered name is written as a key.
pub(super) fn key(name: &Name) -> String {
    name.folded().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::control::journal::Ending;
    use crate::decision::order::OrderId;
    use crate::snapshot::Generation;
    use crate::verdict::Class;

    fn entry(sequence: u64, what: What) -> Entry {
        Entry { sequence, at: Wall::from_millis(0), node: "ns1".into(), what }
    }

    fn verdict(sequence: u64) -> Entry {
        let (word, from, to) = (<Arc<str>>::default, Class::Up.into(), Class::Down.into());
        let what = What::Verdict { origin: word(), target: word(), host: word(), from, to, why: None };
        entry(sequence, what)
    }

    fn order(id: u64) -> Order {
        Order {
            id: OrderId(id),
            what: order::What::Drain { origin: "eu".to_owned() },
            actor: "alice".to_owned(),
            reason: String::new(),
            given: Wall::from_millis(0),
            until: None,
        }
    }

    #[test]
    fn a_disk_that_never_writes_costs_verdicts_first_and_no_order_at_all() {
        let mut batch = Batch::default();
        batch.push(entry(1, What::Ordered(order(7))));
        for sequence in 2..=WAITING_MAX as u64 {
            batch.push(verdict(sequence));
        }
        assert_eq!((batch.entries.len(), batch.lost), (WAITING_MAX, 0));
        let ended = What::OrderEnded { order: order(6), by: Ending::Expired };
        batch.push(entry(WAITING_MAX as u64 + 1, ended));
        let kept: Vec<_> = batch.entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!((kept, batch.lost), (vec![1, WAITING_MAX as u64 + 1], WAITING_MAX - 1));
        for sequence in 0..3 * WAITING_MAX as u64 {
            batch.push(entry(sequence, What::Stopped));
        }
        assert!(batch.entries.len() <= WAITING_MAX);
        // History is lost; what is in force is not.
        assert_eq!((batch.orders.get(&7), batch.orders.get(&6)), (Some(&Some(order(7))), Some(&None)));
        assert_eq!(batch.next_order, Some(8));
    }

    #[test]
    fn marks_that_meet_before_a_commit_are_all_reserved() {
        let marks = |generation, serials: &[(&str, u32)]| {
            let serials = serials.iter().map(|&(apex, serial)| (Name::absolute(apex).expect("a name"), Serial(serial)));
            Marks { generation: Generation(generation), serials: serials.collect() }
        };
        let both = marks(2000, &[("a.example", 1017), ("b.example", 4), ("c.example", 7), ("d.example", 8)]);
        let one = marks(1000, &[("a.example", 1017), ("b.example", u32::MAX), ("c.example", 7)]);
        // As a reload that waits asks for more, and a turn after it for what it knows of; and a serial that wrapped.
        let other = marks(2000, &[("a.example", 17), ("b.example", 4), ("d.example", 8)]);
        let reserved = |marks: &Marks| {
            let mut batch = Batch::default();
            batch.reserve(marks);
            batch
        };
        let sorted = |batch: &Batch| {
            let mut marks = batch.marks.clone().expect("marks");
            marks.serials.sort_by_key(|(apex, _)| apex.clone());
            marks
        };
        for (first, second) in [(&one, &other), (&other, &one)] {
            let mut batch = reserved(first);
            batch.reserve(second);
            assert_eq!(sorted(&batch), both);
            let mut appended = reserved(first);
            appended.append(reserved(second));
            assert_eq!(sorted(&appended), both);
        }
    }

    #[test]
    fn the_state_follows_batches_as_the_tables_do() {
        let mut state = State::default();
        let mut first = Batch::default();
        first.push(entry(1, What::Ordered(order(7))));
        first.cursors.insert("ops".to_owned(), 1);
        state.follow(&mut first);
        assert_eq!((state.orders.len(), state.next_order, state.cursors["ops"]), (1, 8, 1));
        let mut second = Batch::default();
        second.push(entry(2, What::OrderEnded { order: order(7), by: Ending::Expired }));
        state.follow(&mut second);
        assert!(state.orders.is_empty());
        assert_eq!(state.batch().next_order, Some(8));
    }
}
