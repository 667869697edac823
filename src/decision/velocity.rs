//! How many names automation may move at once.
//!
//! A *move* is a turn of automation's own that changes the rung of a name. What a person asked for is none: orders and
//! their end, what was approved, a ladder that was edited; nor is the first decision of a name. Moves of the last window
//! leave *room* for so many more; a name that finds none waits, and keeps what it has.
//!
//! ```text
//!   a name wants to move and is    room   beyond    first in line   it
//!   ────────────────────────────────────────────────────────────────────────────────────────────────
//!   new                            some   person    -               moves
//!   new                            some   confirm   yes             moves
//!   new                            some   confirm   no              waits
//!   new                            none   -         -               waits
//!   waiting, wants it for `longer` some   confirm   yes             moves
//!   waiting, otherwise             -      -         -               waits on, where it stands in line
//!   waiting, for another rung now  -      -         -               waits from now on
//!   waiting, approved by a person  -      -         -               moves, and takes no room
//!   waiting, wants it no more      -      -         -               waits no more
//! ```
//!
//! In line stand first those whose served rung is dead, then the others; among these who came first, of those that came
//! together who stands first in the file. So nothing overtakes, and nothing waits for ever: with `confirm`, whenever there
//! is room and the first in line has waited long enough, it moves. With `person` nobody stands in line for room, and who is
//! new takes what there is.
//!
//! Nothing here walks over all that wait: a round costs what it moves, and what is new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::config::{Beyond, Place, SteerId};
use crate::time::{Moment, Now};

/// So many names may move in any window of this length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// At least one.
    pub names: usize,
    pub per: Duration,
    pub beyond: Beyond,
}

/// Automation wants this name on another rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    pub name: SteerId,
    pub to: Place,
    /// The rung it is served from is dead.
    pub is_dead: bool,
}

/// A wish that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    pub to: Place,
    pub is_dead: bool,
    /// Since when it wants this.
    pub since: Now,
}

/// Where a name stands in line: the dead first, then who came first.
type Turn = (bool, Moment, SteerId);

/// The moves of the last window, and who waits for room. Without a limit nobody does.
#[derive(Clone, Debug, Default)]
pub struct Velocity {
    limit: Option<Limit>,
    /// When how many moved, in order; those of more than a window ago may be left.
    moves: VecDeque<(Moment, usize)>,
    /// All of these.
    moved: usize,
    waiting: BTreeMap<SteerId, Waiting>,
    line: BTreeSet<Turn>,
}

impl Waiting {
    fn turn(&self, name: SteerId) -> Turn {
        (!self.is_dead, self.since.moment, name)
    }
}

impl Velocity {
    /// Nobody has moved yet.
    pub fn new(limit: Option<Limit>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The limit in force.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Another configuration: what moved has moved, who waits goes on. `moved` tells the number a name has now, if it is
    /// still there.
    pub fn arrange(&mut self, limit: Option<Limit>, moved: impl Fn(SteerId) -> Option<SteerId>) {
        self.limit = limit;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        self.waiting = waiting.filter_map(|(name, waiting)| Some((moved(name)?, waiting))).collect();
        self.line = self.waiting.iter().map(|(&name, waiting)| waiting.turn(name)).collect();
    }

    /// Names want to move now. Those that may are taken as moved; the others wait.
    pub fn weigh(&mut self, wishes: &[Wish], now: Now) -> BTreeSet<SteerId> {
        let Some(limit) = self.limit else { return wishes.iter().map(|wish| wish.name).collect() };
        while let Some(&(at, names)) = self.moves.front()
            && at + limit.per <= now.moment
        {
            self.moves.pop_front();
            self.moved -= names;
        }
        let mut turns: Vec<(Turn, bool)> = wishes.iter().map(|wish| self.wait(wish, now)).collect();
        turns.sort_unstable();
        let mut room = limit.names.saturating_sub(self.moved);
        let mut going = BTreeSet::new();
        for (turn @ (_, since, name), is_new) in turns {
            let may = match limit.beyond {
                Beyond::Person => is_new,
                Beyond::Confirm { longer } => {
                    self.line.first() == Some(&turn) && (is_new || since + longer <= now.moment)
                }
            };
            if may && room > 0 {
                room -= 1;
                self.withdraw(name);
                going.insert(name);
            }
        }
        if !going.is_empty() {
            self.moves.push_back((now.moment, going.len()));
            self.moved += going.len();
        }
        going
    }

    /// Puts a wish in line; true if it is new.
    fn wait(&mut self, wish: &Wish, now: Now) -> (Turn, bool) {
        let before = self.waiting.get(&wish.name).copied();
        let since = before.filter(|before| before.to == wish.to).map_or(now, |before| before.since);
        let waiting = Waiting { to: wish.to, is_dead: wish.is_dead, since };
        let turn = waiting.turn(wish.name);
        if before != Some(waiting) {
            self.withdraw(wish.name);
            self.waiting.insert(wish.name, waiting);
            self.line.insert(turn);
        }
        (turn, before.is_none())
    }

    /// A name does not want to move, or moves without asking. True if it waited.
    pub fn withdraw(&mut self, name: SteerId) -> bool {
        let waiting = self.waiting.remove(&name);
        if let Some(waiting) = &waiting {
            self.line.remove(&waiting.turn(name));
        }
        waiting.is_some()
    }

    /// The wish of this name, if it waits.
    pub fn waits(&self, name: SteerId) -> Option<&Waiting> {
        self.waiting.get(&name)
    }

    /// All that wait, in the order of the file.
    pub fn all(&self) -> impl Iterator<Item = SteerId> {
        self.waiting.keys().copied()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many more names may move now; `None` without a limit.
    pub fn room(&self, now: Moment) -> Option<usize> {
        let limit = self.limit?;
        let recent = self.moves.iter().rev().take_while(|&&(at, _)| at + limit.per > now);
        Some(limit.names.saturating_sub(recent.map(|&(_, names)| names).sum()))
    }

    /// Who may move now: to be weighed.
    pub fn due(&self, now: Moment) -> impl Iterator<Item = SteerId> {
        let room = self.next_deadline().filter(|&at| at <= now).and_then(|_| self.room(now)).unwrap_or(0);
        let longer = match self.limit {
            Some(Limit { beyond: Beyond::Confirm { longer }, .. }) => longer,
            _ => Duration::MAX,
        };
        let confirmed = self.line.iter().take_while(move |&&(_, since, _)| since + longer <= now);
        confirmed.map(|&(.., name)| name).take(room)
    }

    /// When the first in line may move; never, where a person decides.
    pub fn next_deadline(&self) -> Option<Moment> {
        let limit = self.limit?;
        let Beyond::Confirm { longer } = limit.beyond else { return None };
        let &(_, since, _) = self.line.first()?;
        self.room_from(&limit).max(Some(since + longer))
    }

    /// From when there is room: when so many of the moves are a window ago that one more may follow. `None` if there has
    /// been room all along.
    fn room_from(&self, limit: &Limit) -> Option<Moment> {
        let mut crowd = (self.moved + 1).saturating_sub(limit.names);
        if crowd == 0 {
            return None;
        }
        self.moves.iter().find_map(|&(at, names)| {
            crowd = crowd.saturating_sub(names);
            (crowd == 0).then_some(at + limit.per)
        })
    }
}

#[cfg(test)]
mod tests;
