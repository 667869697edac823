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
//! listens, and probes are tasks of their own. Their number is bounded by the controller, which has one scheduled
//! probe of a watch in flight and its confirmations.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::config::Config;
use crate::control::{Controller, Effects, Event, Reply, Ticket};
use crate::edge::clock;
use crate::edge::handle::Call;
use crate::edge::headline;
use crate::edge::prober::Prober;
use crate::edge::publication::Publisher;
use crate::edge::sdnotify::Notifier;
use crate::edge::storage::Storage;
use crate::probe::{LocalFault, Observation, Outcome, Phases, Request};
use crate::snapshot::Snapshot;
use crate::time::Moment;

/// Events of one kind taken in before a snapshot is published: a flood of them delays nothing longer than this.
const BATCH: usize = 256;
/// The longest sleep. The timer does not count a suspend of the machine; this ends it soon after.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long a stop waits for the disk.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);
/// Probes of one person's call under way at once.
const MANUAL: usize = 16;

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
    prober: Prober,
    calls: mpsc::Receiver<Call>,
    /// Probes, canary and lookups under way; each ends in an event.
    work: JoinSet<Event>,
    /// Probes that people asked for.
    manual: JoinSet<()>,
    askers: BTreeMap<Ticket, oneshot::Sender<Reply>>,
    last_ticket: u64,
    config: watch::Sender<Arc<Config>>,
    notifier: Notifier,
    /// The reload that the service manager was told of.
    reload: Option<Reload>,
    /// What the controller was last told of the storage.
    durable: u64,
    trouble: Option<String>,
}

impl Control {
    pub(super) fn new(
        controller: Controller,
        publisher: Publisher,
        storage: Storage,
        prober: Prober,
        calls: mpsc::Receiver<Call>,
        config: watch::Sender<Arc<Config>>,
        notifier: Notifier,
    ) -> Self {
        let durable = *storage.durable().borrow();
        Self {
            controller,
            publisher,
            storage,
            prober,
            calls,
            work: JoinSet::new(),
            manual: JoinSet::new(),
            askers: BTreeMap::new(),
            last_ticket: 0,
            config,
            notifier,
            reload: None,
            durable,
            trouble: None,
        }
    }

    /// Goes round until told to stop. `first` are the effects of the start.
    pub(super) async fn run(mut self, first: Effects, mut stop: watch::Receiver<bool>) {
        self.carry_out(first);
        let mut batch = Vec::new();
        loop {
            let nap = self.nap(clock::moment());
            tokio::select! {
                biased;
                _ = stop.wait_for(|&stop| stop) => break,
                Some(call) = self.calls.recv() => self.take(call, &mut batch),
                Some(done) = self.work.join_next(), if !self.work.is_empty() => batch.extend(done.ok()),
                () = self.storage.moved() => {}
                () = sleep(nap) => {}
            }
            self.drain(&mut batch);
            self.turn(&mut batch);
        }
        self.end();
    }

    /// What else is waiting: orders and reloads first.
    fn drain(&mut self, batch: &mut Vec<Event>) {
        for _ in 0..BATCH {
            let Ok(call) = self.calls.try_recv() else { break };
            self.take(call, batch);
        }
        for _ in 0..BATCH {
            let Some(done) = self.work.try_join_next() else { break };
            batch.extend(done.ok());
        }
        while self.manual.try_join_next().is_some() {}
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

    /// Takes all of a batch in, and publishes once.
    fn turn(&mut self, batch: &mut Vec<Event>) {
        let mut effects = Effects::default();
        for event in batch.drain(..) {
            self.controller.handle(event, clock::now(), &mut effects);
        }
        // A turn is served before anything else is done about it.
        let publisher = &mut self.publisher;
        let published = self.controller.publish(clock::now(), &mut effects, |snapshot| {
            publisher.publish(Arc::clone(snapshot));
            clock::now()
        });
        let is_new = !Arc::ptr_eq(self.controller.config(), &self.config.borrow());
        if is_new {
            self.configured();
        }
        self.carry_out(effects);
        if let Some(snapshot) = published.as_ref().filter(|_| self.notifier.is_heard()) {
            self.notifier.status(&status_line(snapshot));
        }
        self.notifier.alive(clock::moment());
    }

    /// Another configuration is in force.
    fn configured(&mut self) {
        let config = Arc::clone(self.controller.config());
        let (prober, resolvers) = (self.prober.clone(), config.server.resolvers.clone());
        // It reads the system's roots and resolvers from disk.
        drop(spawn_blocking(move || prober.reload(&resolvers)));
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
            Call::Probe { requests, reply } => {
                self.manual.spawn(probe_all(self.prober.clone(), requests, reply));
            }
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
        let Effects { probes, canary, resolve, record, reserve, replies, refused: _ } = effects;
        for request in probes {
            self.work.spawn(probe(self.prober.clone(), request));
        }
        if canary {
            let prober = self.prober.clone();
            self.work.spawn(async move {
                let started = clock::moment();
                Event::Canary { started, passed: prober.canary().await }
            });
        }
        for hostname in resolve {
            let prober = self.prober.clone();
            self.work.spawn(async move {
                let outcome = prober.resolve(&hostname).await;
                Event::Resolved { hostname, outcome }
            });
        }
        for entry in record {
            headline::log(&entry);
            self.storage.push(entry);
        }
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
        self.controller.stopped(clock::now(), &mut effects);
        self.carry_out(effects);
        if !self.storage.close(Some(self.controller.clean()), CLOSE_PATIENCE) {
            tracing::error!("the disk did not take all of the journal in time; the next serials will leap ahead");
        }
    }
}

async fn probe(prober: Prober, request: Request) -> Event {
    Event::Observed(guarded(&prober, request).await)
}

/// One probe, and an observation of it whatever happens: the schedule waits for it.
async fn guarded(prober: &Prober, request: Request) -> Observation {
    let started = clock::moment();
    let Request { watch, epoch, purpose, .. } = request;
    let mut task = JoinSet::new();
    let prober = prober.clone();
    task.spawn(async move { prober.probe(request).await });
    match task.join_next().await {
        Some(Ok(seen)) => seen,
        broken => {
            tracing::error!(?broken, "a probe broke down; this is a defect of failoverd");
            Observation {
                watch,
                epoch,
                purpose,
                started,
                finished: clock::moment(),
                outcome: Outcome::Inconclusive(LocalFault::Broken),
                address: None,
                phases: Phases::default(),
                warnings: Vec::new(),
                certificate: None,
                status: None,
            }
        }
    }
}

/// Some at a time, so that a person's question never crowds out the schedule.
async fn probe_all(prober: Prober, requests: Vec<Request>, reply: oneshot::Sender<Vec<Observation>>) {
    let mut seen = Vec::new();
    let mut under_way = JoinSet::new();
    for request in requests {
        if under_way.len() >= MANUAL {
            seen.extend(under_way.join_next().await.and_then(Result::ok));
        }
        let prober = prober.clone();
        under_way.spawn(async move { guarded(&prober, request).await });
    }
    while let Some(one) = under_way.join_next().await {
        seen.extend(one.ok());
    }
    let _ = reply.send(seen);
}

fn status_line(snapshot: &Snapshot) -> String {
    let off = snapshot.status.steers.iter().filter(|steer| steer.decision.as_ref().is_some_and(|d| d.rung > 0)).count();
    let doubt = if snapshot.status.doubt.is_some() { "; our own sight is in doubt" } else { "" };
    format!(
        "generation {}: {} zones, {} steered names, {off} not on their primary{doubt}",
        snapshot.generation.0,
        snapshot.zones.iter().count(),
        snapshot.status.steers.len()
    )
}
