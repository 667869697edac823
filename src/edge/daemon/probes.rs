//! Where probes run: on a thread of their own, so that a thousand handshakes at once delay no order and no turn.
//!
//! Work goes in and events come out by the round: either side is woken once for all that has gathered, since waking a
//! thread costs as much as a tenth of a probe. What may gather is bounded by the controller, which has one scheduled
//! probe of a watch in flight, its confirmations and a witness; and by the number of people who may ask at once.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;

use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};

use crate::config::Resolvers;
use crate::control::Event;
use crate::dns::Name;
use crate::edge::clock;
use crate::edge::prober::{Prober, Raced};
use crate::probe::tripwire::{self, News, What, Wire};
use crate::probe::{LocalFault, Observation, Outcome, Phases, Request, WatchId};

/// Probes of one person's call under way at once.
const MANUAL: usize = 16;

/// Something to ask the world.
pub(super) enum Work {
    Probe(Request),
    Wire(tripwire::Order),
    /// Do the resolvers answer?
    Canary,
    Resolve(Name),
    /// A person asks; the observations go to the person alone.
    Manual {
        requests: Vec<Request>,
        reply: oneshot::Sender<Vec<Observation>>,
    },
    /// The same with the races that failures start.
    Race {
        requests: Vec<Request>,
        reply: oneshot::Sender<Vec<(WatchId, Raced)>>,
    },
    /// The system's roots and these resolvers are to be read again.
    Reload(Resolvers),
}

/// Both ends: what is to be asked, and what came back. Cheap to clone.
#[derive(Clone)]
pub(super) struct Probes(Arc<Shared>);

struct Shared {
    prober: Prober,
    asked: Mutex<Vec<Work>>,
    /// Rings when something is asked.
    begin: Notify,
    done: Mutex<Vec<Event>>,
    /// Rings when something is done.
    back: Notify,
}

impl Probes {
    pub(super) fn new(prober: Prober) -> Self {
        let (asked, done) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { prober, asked, begin: Notify::new(), done, back: Notify::new() }))
    }

    /// Asks all of this.
    pub(super) fn ask(&self, work: impl IntoIterator<Item = Work>) {
        let mut asked = locked(&self.0.asked);
        asked.extend(work);
        if !asked.is_empty() {
            self.0.begin.notify_one();
        }
    }

    /// Waits until something has come back.
    pub(super) async fn back(&self) {
        while !self.has_more() {
            self.0.back.notified().await;
        }
    }

    /// Takes what has come back, `most` of it.
    pub(super) fn take(&self, most: usize, batch: &mut Vec<Event>) {
        let mut done = locked(&self.0.done);
        let count = done.len().min(most);
        batch.extend(done.drain(..count));
    }

    /// True if something has come back that was not taken.
    pub(super) fn has_more(&self) -> bool {
        !locked(&self.0.done).is_empty()
    }

    /// What has happened beside what was asked.
    pub(super) fn tell(&self, event: Event) {
        locked(&self.0.done).push(event);
        self.0.back.notify_one();
    }

    /// Does what is asked, for as long as this is awaited.
    pub(super) async fn run(self) {
        let mut running = JoinSet::new();
        let mut wires = Wires::default();
        let prober = self.0.prober.clone();
        running.spawn(async move { prober.reap().await });
        loop {
            tokio::select! {
                () = self.0.begin.notified() => {
                    let asked = std::mem::take(&mut *locked(&self.0.asked));
                    for work in asked {
                        match work {
                            Work::Wire(tripwire::Order::Open(wire)) => {
                                wires.open(wire, running.spawn(self.clone().hold(wire)));
                            }
                            Work::Wire(tripwire::Order::Close(wire)) => wires.close(wire),
                            work => {
                                running.spawn(self.clone().do_one(work));
                            }
                        }
                    }
                }
                // One that broke down has been reported by the panic itself.
                Some(_) = running.join_next(), if !running.is_empty() => {
                    while running.try_join_next().is_some() {}
                }
            }
        }
    }

    /// Holds a wire until it ends.
    async fn hold(self, wire: Wire) {
        let tell = |what| self.tell(Event::Wire(News { wire, at: clock::moment(), what }));
        let what = self.0.prober.hold(wire.to, || tell(What::Held)).await;
        tell(what);
    }

    async fn do_one(self, work: Work) {
        let prober = &self.0.prober;
        let event = match work {
            // Held and let go of by the loop.
            Work::Wire(_) => return,
            Work::Probe(request) => Event::Observed(guarded(prober, request).await),
            Work::Canary => {
                let started = clock::moment();
                Event::Canary { started, passed: prober.canary().await }
            }
            Work::Resolve(hostname) => {
                let outcome = prober.resolve(&hostname).await;
                Event::Resolved { hostname, outcome }
            }
            Work::Manual { requests, reply } => {
                let one = |prober: Prober, request: Request| async move { guarded(&prober, request).await };
                return all(prober, requests, reply, one).await;
            }
            Work::Race { requests, reply } => {
                let one =
                    |prober: Prober, request: Request| async move { (request.watch, prober.race_out(request).await) };
                return all(prober, requests, reply, one).await;
            }
            Work::Reload(resolvers) => {
                let prober = prober.clone();
                // It reads files.
                return drop(spawn_blocking(move || prober.reload(&resolvers)).await);
            }
        };
        self.tell(event);
    }
}

/// The wires that are held, or were.
#[derive(Default)]
struct Wires(BTreeMap<SocketAddr, (Wire, AbortHandle)>);

impl Wires {
    fn open(&mut self, wire: Wire, task: AbortHandle) {
        if self.0.len() >= tripwire::MOST {
            self.0.retain(|_, (_, task)| !task.is_finished());
        }
        self.0.insert(wire.to, (wire, task));
    }

    fn close(&mut self, wire: Wire) {
        if let Some((_, task)) = self.0.remove(&wire.to) {
            task.abort();
        }
    }
}

/// Nothing is done under a lock that could leave it half done.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One probe, and an observation of it whatever happens: the schedule waits for it.
async fn guarded(prober: &Prober, request: Request) -> Observation {
    let started = clock::moment();
    let Request { watch, epoch, purpose, .. } = request;
    let seen = contained(prober.probe(request)).await;
    seen.unwrap_or_else(|_| {
        tracing::error!("a probe broke down; this is a defect of failoverd");
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
            detail: None,
        }
    })
}

/// What comes of `work`, or its panic.
async fn contained<T>(work: impl Future<Output = T>) -> thread::Result<T> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// Some at a time, so that a person's question never crowds out the schedule.
async fn all<T, F>(
    prober: &Prober,
    requests: Vec<Request>,
    reply: oneshot::Sender<Vec<T>>,
    one: impl Fn(Prober, Request) -> F,
) where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut seen = Vec::new();
    let mut under_way = JoinSet::new();
    for request in requests {
        if under_way.len() >= MANUAL {
            seen.extend(under_way.join_next().await.and_then(Result::ok));
        }
        under_way.spawn(one(prober.clone(), request));
    }
    while let Some(one) = under_way.join_next().await {
        seen.extend(one.ok());
    }
    // Whoever asked may have gone.
    let _ = reply.send(seen);
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Context;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_contained_wherever_it_strikes() {
        assert_eq!(contained(async { 7 }).await.unwrap(), 7);
        assert!(contained(async { panic!("at once") }).await.is_err());
        let later = async {
            tokio::task::yield_now().await;
            panic!("later")
        };
        assert!(contained(later).await.is_err());
    }

    #[tokio::test]
    async fn all_that_is_asked_in_a_round_comes_back() {
        let probes = Probes::new(Prober::new(&Resolvers::Addresses(Vec::new())));
        probes.ask([Work::Canary, Work::Canary]);
        probes.ask([Work::Canary]);
        let mut events = Vec::new();
        let running = probes.clone().run();
        let gathering = async {
            while events.len() < 3 {
                probes.back().await;
                probes.take(2, &mut events);
            }
        };
        tokio::select! {
            () = running => unreachable!("it runs for ever"),
            () = gathering => {}
        }
        assert!(events.iter().all(|event| matches!(event, Event::Canary { passed: false, .. })), "no resolver");
        let mut back: Pin<Box<dyn Future<Output = ()>>> = Box::pin(probes.back());
        assert!(back.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending(), "all is taken");
    }
}
