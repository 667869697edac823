//! A record decided again: by the configuration it was made with, and beside it by another.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::journal::{Entry, Turn, What};
use crate::control::{Controller, Effects, Event, Loaded, Ticket};
use crate::dns::Name;
use crate::record::Load;
use crate::record::against::{Comparison, Other};
use crate::record::step::{Began, Happened, Step};
use crate::time::Wall;

/// Makes of what was recorded of the files a configuration to decide by; the reason in words if that cannot be.
pub type Reload<'l> = &'l dyn Fn(&Load) -> Result<Loaded, String>;

/// Decides a record again, step by step.
pub struct Replay<'l> {
    load: Reload<'l>,
    controller: Option<Controller>,
    /// Of the segment under way: run and number.
    part: Option<(u64, u64)>,
    /// Turns as they were recorded, and as they come now.
    recorded: Vec<Told>,
    decided: Vec<Told>,
    other: Option<Other<'l>>,
    outcome: Outcome,
}

/// One turn, and when.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    pub at: Wall,
    pub turn: Box<Turn>,
}

/// What came of a replay.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// First and last moment of the record.
    pub span: Option<(Wall, Wall)>,
    pub observations: u64,
    pub events: u64,
    /// Runs of the daemon that begin in it.
    pub starts: u64,
    /// Where it goes on from the middle of a run, for want of what was before, and how many events are known to be
    /// missing there.
    pub rebuilt: Vec<(Wall, u64)>,
    /// Turns that were recorded, and those of them that came again.
    pub turns: usize,
    pub same: usize,
    pub differences: Vec<Difference>,
    pub comparison: Option<Comparison>,
}

/// A turn that was recorded and did not come again, or the other way round.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    pub name: Name,
    pub recorded: Option<Told>,
    pub decided: Option<Told>,
}

impl<'l> Replay<'l> {
    /// By the configuration that was recorded; `load` reads it.
    pub fn new(load: Reload<'l>) -> Self {
        Self {
            load,
            controller: None,
            part: None,
            recorded: Vec::new(),
            decided: Vec::new(),
            other: None,
            outcome: Outcome::default(),
        }
    }

    /// Beside it by another configuration, which `load` makes.
    #[must_use]
    pub fn against(mut self, load: Reload<'l>) -> Self {
        self.other = Some(Other::new(load));
        self
    }

    /// Takes the next step, and gives what is told of it: the entries of the journal as they come now.
    ///
    /// # Errors
    /// If a configuration that was recorded cannot be read any more.
    pub fn step(&mut self, step: Step) -> Result<Vec<Entry>, String> {
        let mut fx = Effects::default();
        match step {
            Step::Began(began) => self.began(*began)?,
            Step::Happened(happened, now) => {
                self.passed(now.wall);
                self.outcome.events += 1;
                self.outcome.observations += u64::from(matches!(happened, Happened::Observed(_)));
                let Some(controller) = &mut self.controller else { return Ok(Vec::new()) };
                if let Some(other) = &mut self.other {
                    other.happened(&happened, controller, now);
                }
                let event = match happened {
                    Happened::Reloaded { actor, load, force } => {
                        let loaded = Box::new((self.load)(&load)?);
                        Event::Reloaded { ticket: None, actor, loaded, force }
                    }
                    happened => event(happened),
                };
                controller.handle(event, now, &mut fx);
            }
            Step::Published { now, served } => {
                self.passed(now.wall);
                let Some(controller) = &mut self.controller else { return Ok(Vec::new()) };
                controller.publish(now, &mut fx, |_| served.unwrap_or(now));
                if let Some(other) = &mut self.other {
                    other.published(now, served);
                }
            }
            Step::Turned { at, turn } => self.recorded.push(Told { at, turn }),
            Step::Started { version, now } => {
                let Some(controller) = &mut self.controller else { return Ok(Vec::new()) };
                controller.started(&version, now, &mut fx);
            }
            Step::Stopped { now } => {
                self.passed(now.wall);
                if let Some(controller) = &mut self.controller {
                    controller.stopped(now, &mut fx);
                }
                self.part = None;
            }
        }
        for entry in &fx.record {
            if let What::Turned(turn) = &entry.what {
                self.decided.push(Told { at: entry.at, turn: turn.clone() });
            }
        }
        Ok(fx.record)
    }

    /// Steps are missing here: what follows is not the same run's next.
    pub fn lost(&mut self) {
        self.part = None;
    }

    /// The last moment so far.
    pub fn last(&self) -> Option<Wall> {
        self.outcome.span.map(|(_, last)| last)
    }

    fn passed(&mut self, wall: Wall) {
        let (first, _) = *self.outcome.span.get_or_insert((wall, wall));
        self.outcome.span = Some((first, wall));
    }

    fn began(&mut self, began: Began) -> Result<(), String> {
        let Began { run, part, missing, now, load, carried } = began;
        self.passed(now.wall);
        let follows = self.part.is_some_and(|(before, number)| before == run && number.checked_add(1) == Some(part));
        self.part = Some((run, part));
        if follows && missing == 0 {
            return Ok(());
        }
        let is_start = part == 0 && carried.watches.is_empty();
        if is_start {
            self.outcome.starts += 1;
        } else {
            self.outcome.rebuilt.push((now.wall, missing));
        }
        let (mut controller, _) = Controller::new((self.load)(&load)?, carried.restored.clone(), now);
        if let Some(other) = &mut self.other {
            other.began(&load, &carried, &controller, is_start, now)?;
        }
        if !is_start {
            controller.resume(carried, now);
            // What was served stands, and is no news.
            controller.publish(now, &mut Effects::default(), |_| now);
        }
        self.controller = Some(controller);
        Ok(())
    }

    /// What came of it, of the turns of this time and name.
    pub fn end(self, counts: &dyn Fn(Wall, &Name) -> bool) -> Outcome {
        let Self { controller, recorded, decided, other, mut outcome, .. } = self;
        let config = controller.map(|controller| Arc::clone(controller.config()));
        let of_interest = |turns: Vec<Told>| -> Vec<Told> {
            turns.into_iter().filter(|told| counts(told.at, &told.turn.name)).collect()
        };
        let (recorded, decided) = (of_interest(recorded), of_interest(decided));
        outcome.turns = recorded.len();
        outcome.comparison = other.map(|other| other.compared(&decided, config.as_deref(), counts));
        outcome.differences = differences(recorded, decided);
        let lost = outcome.differences.iter().filter(|difference| difference.recorded.is_some()).count();
        outcome.same = outcome.turns - lost;
        outcome
    }
}

/// Name by name, in the order of time.
fn differences(recorded: Vec<Told>, decided: Vec<Told>) -> Vec<Difference> {
    let mut by_name: BTreeMap<Name, (Vec<Told>, Vec<Told>)> = BTreeMap::new();
    for told in recorded {
        by_name.entry(told.turn.name.clone()).or_default().0.push(told);
    }
    for told in decided {
        by_name.entry(told.turn.name.clone()).or_default().1.push(told);
    }
    let mut differences = Vec::new();
    for (name, (recorded, decided)) in by_name {
        let mut decided = decided.into_iter().peekable();
        for recorded in recorded {
            // What came earlier, and was not recorded, is new.
            while let Some(new) = decided.next_if(|new| new.at < recorded.at) {
                differences.push(Difference { name: name.clone(), recorded: None, decided: Some(new) });
            }
            let again = decided.next_if(|again| again.at == recorded.at);
            if again.as_ref().is_none_or(|again| !is_same(&again.turn, &recorded.turn)) {
                differences.push(Difference { name: name.clone(), recorded: Some(recorded), decided: again });
            }
        }
        differences.extend(decided.map(|new| Difference { name: name.clone(), recorded: None, decided: Some(new) }));
    }
    differences
        .sort_by_key(|difference| difference.recorded.as_ref().or(difference.decided.as_ref()).map(|told| told.at));
    differences
}

/// The same change for the same reason and by the same evidence. Serials follow the zone files, which are not recorded;
/// generations count what was shown too.
fn is_same(one: &Turn, other: &Turn) -> bool {
    let of = |turn: &Turn| (turn.from.clone(), Arc::clone(&turn.to), turn.reason.clone(), turn.ttl);
    of(one) == of(other) && one.evidence == other.evidence && one.stages.confirm_ms == other.stages.confirm_ms
}

/// The event of what is recorded. A reload has to be read again, and is not made here.
pub(super) fn event(happened: Happened) -> Event {
    match happened {
        Happened::Observed(seen) => Event::Observed(seen),
        Happened::Called(call) => Event::Called(call),
        Happened::Canary { started, passed } => Event::Canary { started, passed },
        Happened::Resolved { hostname, outcome } => Event::Resolved { hostname, outcome },
        Happened::Asked { actor, asked } => Event::Asked { ticket: Ticket(0), actor, asked },
        Happened::ReloadRefused { errors } => Event::ReloadRefused { ticket: None, errors },
        Happened::Committed { sequence } => Event::Committed { sequence },
        Happened::Storage { trouble } => Event::Storage { trouble },
        Happened::Reserved { marks } => Event::Reserved { marks },
        Happened::Reloaded { .. } | Happened::Elapsed => Event::Elapsed,
    }
}
