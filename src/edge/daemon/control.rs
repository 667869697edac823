//! The one writer: takes what has happened, publishes once, does what follows.
//!
//! ```text
//!  calls (orders, reloads) ─┐
//!  probes that came back ───┼─► handle each ─► publish once ─► probes, journal, replies
//!  storage's progress ──────┤
//!  the next deadline ───────┘
//! ```
//!
//! It never waits for a disk, a person or a network: storage takes what it is given, replies go to whoever still
//! listens, and probes run on a thread of their own ([`super::probes`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::config::Config;
use crate::control::{Controller, Effects, Event, Reply, Ticket};
use crate::edge::clock;
use crate::edge::handle::Call;
use crate::edge::headline;
use crate::edge::publication::Publisher;
use crate::edge::recorder::Recorder;
use crate::edge::sdnotify::Notifier;
use crate::edge::storage::Storage;
use crate::snapshot::Snapshot;
use crate::time::Moment;

use super::probes::{Probes, Work};

/// Events of one kind taken in before the clock is looked at again.
const BATCH: usize = 256;
/// How long events are taken in before a snapshot is published. When ten thousand probes come back at once, what has
/// turned so far is served, and an order waits no longer than this.
const TAKING: Duration = Duration::from_millis(2);
/// Probes that come back thick, and those that are due thick, are taken together: between two rounds of the loop is so
/// much time, unless a person asks for something.
const GATHER: Duration = Duration::from_millis(5);
/// The longest sleep. The timer does not count a suspend of the machine; this ends it soon after.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long a stop waits for the disk.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// A reload that has begun.
struct Reload {
    /// Gone if whoever asked for it gave up.
    under_way: Weak<()>,
    /// Once the files are read.
    ticket: Option<Ticket>,
}

/// The loop's whole state.
pub(super) struct Control {
    controller: Controller,
    publisher: Publisher,
    storage: Storage,
    probes: Probes,
    calls: mpsc::Receiver<Call>,
    askers: BTreeMap<Ticket, oneshot::Sender<Reply>>,
    last_ticket: u64,
    config: watch::Sender<Arc<Config>>,
    notifier: Notifier,
    recorder: Recorder,
    /// The reload that the service manager was told of.
    reload: Option<Reload>,
    /// What the controller was last told of the storage.
    durable: u64,
    trouble: Option<String>,
}

impl Control {
    #[expect(clippy::too_many_arguments, reason = "each is moved in whole")]
    pub(super) fn new(
        controller: Controller,
        publisher: Publisher,
        storage: Storage,
        probes: Probes,
        calls: mpsc::Receiver<Call>,
        config: watch::Sender<Arc<Config>>,
        notifier: Notifier,
        recorder: Recorder,
    ) -> Self {
        let durable = *storage.durable().borrow();
        Self {
            controller,
            publisher,
            storage,
            probes,
            calls,
            askers: BTreeMap::new(),
            last_ticket: 0,
            config,
            notifier,
            recorder,
            reload: None,
            durable,
            trouble: None,
        }
    }

    /// Goes round until told to stop. `first` are the effects of the start.
    pub(super) async fn run(mut self, first: Effects, mut stop: watch::Receiver<bool>) {
        self.carry_out(first);
        let mut batch = Vec::new();
        let mut gathered = clock::moment();
        let mut is_flood = false;
        loop {
            let now = clock::moment();
            let pause = if is_flood { Duration::ZERO } else { (gathered + GATHER).since(now) };
            let nap = self.nap(now).max(pause);
            let probes = &self.probes;
            let back = async move {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                probes.back().await;
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|&stop| stop) => break,
                Some(call) = self.calls.recv() => self.take(call, &mut batch),
                () = back => {}
                () = self.storage.moved() => {}
                () = sleep(nap) => {}
            }
            self.drain(&mut batch);
            is_flood = self.turn(&mut batch);
            gathered = clock::moment();
            if is_flood {
                // On a core that is shared with an answering thread, that one has waited.
                thread::yield_now();
            }
        }
        self.end();
    }

    /// What else is waiting: orders and reloads first.
    fn drain(&mut self, batch: &mut Vec<Event>) {
        for _ in 0..BATCH {
            let Ok(call) = self.calls.try_recv() else { break };
            self.take(call, batch);
        }
        self.probes.take(BATCH, batch);
        let progress = self.storage.progress(clock::moment());
        if progress.durable != self.durable {
            self.durable = progress.durable;
            batch.push(Event::Committed { sequence: progress.durable });
        }
        batch.extend(progress.reserved.map(|marks| Event::Reserved { marks }));
        if progress.trouble != self.trouble {
            match &progress.trouble {
                Some(trouble) => tracing::error!(%trouble, "storage is in trouble; answers and turns go on"),
                None => tracing::info!("storage is well again"),
            }
            self.trouble.clone_from(&progress.trouble);
            batch.push(Event::Storage { trouble: progress.trouble });
        }
        if batch.is_empty() {
            batch.push(Event::Elapsed);
        }
    }

    /// Takes a batch in, and what more has come back while there is time, and publishes once. True if not all that has
    /// come back is taken in yet.
    fn turn(&mut self, batch: &mut Vec<Event>) -> bool {
        let mut effects = Effects::default();
        let began = clock::moment();
        while !batch.is_empty() {
            for event in batch.drain(..) {
                let now = clock::now();
                self.recorder.event(&event, now);
                self.controller.handle(event, now, &mut effects);
            }
            if clock::moment().since(began) < TAKING {
                self.probes.take(BATCH, batch);
            }
        }
        // A turn is served before anything else is done about it.
        let publisher = &mut self.publisher;
        let (now, mut served) = (clock::now(), None);
        let published = self.controller.publish(now, &mut effects, |snapshot| {
            publisher.publish(Arc::clone(snapshot));
            *served.insert(clock::now())
        });
        self.recorder.published(now, served, &effects.record);
        self.recorder.turn(&self.controller, now);
        let is_new = !Arc::ptr_eq(self.controller.config(), &self.config.borrow());
        if is_new {
            self.configured();
        }
        self.carry_out(effects);
        if let Some(snapshot) = published.as_ref().filter(|_| self.notifier.is_heard()) {
            self.notifier.status(&status_line(snapshot));
        }
        self.notifier.alive(clock::moment());
        self.probes.has_more()
    }

    /// Another configuration is in force.
    fn configured(&mut self) {
        let config = Arc::clone(self.controller.config());
        self.probes.ask([Work::Reload(config.server.resolvers.clone())]);
        self.storage.steered(config.steers.iter().map(|steer| &steer.name));
        self.config.send_replace(config);
    }

    fn take(&mut self, call: Call, batch: &mut Vec<Event>) {
        match call {
            Call::Ask { actor, asked, reply } => {
                let ticket = self.ticket(reply);
                batch.push(Event::Asked { ticket, actor, asked });
            }
            Call::Reload { actor, loaded, force, reply } => {
                let ticket = Some(self.reload_ticket(reply));
                batch.push(Event::Reloaded { ticket, actor, loaded, force });
            }
            Call::ReloadRefused { errors, reply } => {
                let ticket = Some(self.reload_ticket(reply));
                batch.push(Event::ReloadRefused { ticket, errors });
            }
            Call::Inspect { reply } => {
                let ticket = self.ticket(reply);
                batch.push(Event::Inspect { ticket });
            }
            Call::Probe { requests, reply } => self.probes.ask([Work::Manual { requests, reply }]),
            Call::Race { requests, reply } => self.probes.ask([Work::Race { requests, reply }]),
            Call::Reloading { under_way } => {
                self.reload = Some(Reload { under_way, ticket: None });
                self.notifier.reloading();
            }
        }
    }

    fn ticket(&mut self, reply: oneshot::Sender<Reply>) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.askers.insert(ticket, reply);
        ticket
    }

    fn reload_ticket(&mut self, reply: oneshot::Sender<Reply>) -> Ticket {
        let ticket = self.ticket(reply);
        if let Some(reload) = &mut self.reload {
            reload.ticket = Some(ticket);
        }
        ticket
    }

    fn carry_out(&mut self, effects: Effects) {
        let Effects { probes, wires, canary, resolve, record, reserve, replies, refused: _ } = effects;
        let probes = probes.into_iter().map(Work::Probe);
        let canary = canary.then_some(Work::Canary);
        let wires = wires.into_iter().map(Work::Wire);
        self.probes.ask(probes.chain(canary).chain(resolve.into_iter().map(Work::Resolve)).chain(wires));
        headline::log(&record);
        self.storage.push_all(record);
        if let Some(marks) = reserve {
            self.storage.reserve(marks);
        }
        let is_over = self.reload.as_ref().is_some_and(|reload| {
            reload.under_way.strong_count() == 0 || replies.iter().any(|(ticket, _)| Some(*ticket) == reload.ticket)
        });
        if is_over {
            self.reload = None;
            self.notifier.ready();
        }
        for (ticket, reply) in replies {
            if let Some(asker) = self.askers.remove(&ticket) {
                // Whoever asked may have gone.
                let _ = asker.send(reply);
            }
        }
    }

    /// How long to sleep if nothing happens.
    fn nap(&self, now: Moment) -> Duration {
        let deadline = self.controller.next_deadline().map(|deadline| deadline.since(now));
        [deadline, self.notifier.alive_in(now)].into_iter().flatten().fold(SLEEP_MAX, Duration::min)
    }

    /// Journals the stop, and says that the serials served last may be served again.
    fn end(mut self) {
        self.notifier.stopping();
        let mut effects = Effects::default();
        let now = clock::now();
        self.controller.stopped(now, &mut effects);
        self.carry_out(effects);
        self.recorder.end(now, CLOSE_PATIENCE);
        if !self.storage.close(Some(self.controller.clean()), CLOSE_PATIENCE) {
            tracing::error!("the disk did not take all of the journal in time; the next serials will leap ahead");
        }
    }
}

fn status_line(snapshot: &Snapshot) -> String {
    let off = snapshot.status.steers.iter().filter(|steer| steer.decision.as_ref().is_some_and(|d| d.rung > 0)).count();
    let doubt = if snapshot.status.doubt.is_some() { "; our own sight is in doubt" } else { "" };
    let waiting = snapshot.status.waiting.as_ref();
    let waiting = waiting.map_or_else(String::new, |waits| format!("; {} wait for the velocity limit", waits.names));
    format!(
        "generation {}: {} zones, {} steered names, {off} not on their primary{doubt}{waiting}",
        snapshot.generation.0,
        snapshot.zones.iter().count(),
        snapshot.status.steers.len()
    )
}
