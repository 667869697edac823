//! One probe from the first packet to the facts.
//!
//! Own socket, own TLS handshake, HTTP on top, each phase timed and each with the party at fault; or a datagram, an
//! echo, a program, each timed as a whole. The edge reports what it saw; what that means is decided by
//! [`crate::probe::judge`].
//!
//! `timeout` covers all that is the origin's: connect to the end of the body. The addresses of a host name are
//! resolved before it begins, within a limit of their own: a slow resolver of ours must not make an origin late. So is
//! its turn waited for: connections and programs are bounded, each by themselves, and who waits for a resolver holds up
//! nobody.

mod chains;
mod dns;
mod exec;
pub(in crate::edge) mod heartbeat;
mod http;
mod icmp;
mod orphans;
mod race;
mod resolve;
mod tcp;
mod tls;
mod trace;
mod tripwire;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::rand::SecureRandom;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::config::expect::Subject;
use crate::config::{Ask, Resolvers};
use crate::control::{ResolveFault, Resolved};
use crate::dns::Name;
use crate::edge::{clock, descriptors};
use crate::probe::judge::{Judged, judge};
use crate::probe::tripwire::What;
use crate::probe::{
    Cause, Detail, Facts, Observation, Outcome, Phase, Phases, Purpose, Request, Target, Trouble, TroubleKind, WatchId,
};
use crate::time::Moment;

pub(super) use exec::AT_ONCE as PROGRAMS;
pub(crate) use exec::prepare as prepare_for_programs;
use heartbeat::Beats;
pub(super) use icmp::is_forbidden as ping_is_forbidden;
use race::{RUNNERS, Race};
pub(super) use resolve::system_servers;
pub use tls::Roots;
pub use trace::{Raced, Runner};

/// A probe that starts later than this after its due moment is late: the host, or our share of it, is too small.
const LATE: Duration = Duration::from_millis(100);
/// One race of a host name takes the permits of all its runners at once, so that it never waits in the middle.
const _: () = assert!(RUNNERS <= descriptors::PROBES_MIN / HANGING_SHARE);
/// Watches whose last probe got no reply have one in so many connections at most. Each holds its own for a whole timeout,
/// and where a whole network swallows packets there would be none left for the others.
const HANGING_SHARE: usize = 2;

/// Makes probes. Cheap to clone.
#[derive(Clone)]
pub struct Prober(Arc<Inner>);

struct Inner {
    anchors: tls::Anchors,
    names: resolve::Names,
    connections: Semaphore,
    /// Turns for those that hung the last time, before they take one of the others: not all of them.
    hanging: Semaphore,
    hung: Mutex<BTreeSet<WatchId>>,
    programs: Semaphore,
    runs: orphans::Runs,
    beats: Beats,
    wires: tripwire::Wires,
    starts: Starts,
}

/// Probes of the schedule that were started, counted.
#[derive(Default)]
struct Starts {
    on_time: AtomicU64,
    late: AtomicU64,
}

impl Prober {
    /// Reads the system's root certificates and, where `resolvers` says so, its resolvers. Neither can fail: see
    /// [`Prober::roots`] and [`Prober::resolver_trouble`] for what became of them.
    pub fn new(resolvers: &Resolvers) -> Self {
        Self(Arc::new(Inner {
            anchors: tls::Anchors::load(),
            names: resolve::Names::new(resolvers),
            connections: Semaphore::new(descriptors::probes()),
            hanging: Semaphore::new(descriptors::probes() / HANGING_SHARE),
            hung: Mutex::default(),
            programs: Semaphore::new(exec::AT_ONCE),
            runs: orphans::Runs::new(),
            beats: Beats::default(),
            wires: tripwire::Wires::new(),
            starts: Starts::default(),
        }))
    }

    /// Reads both again. Probes under way end as they began; last good addresses stay known.
    pub fn reload(&self, resolvers: &Resolvers) {
        self.0.anchors.reload();
        self.0.names.reload(resolvers);
    }

    /// Which root certificates are trusted where a check names none.
    pub fn roots(&self) -> Roots {
        self.0.anchors.roots()
    }

    /// Why host names cannot be resolved at all, if so.
    pub fn resolver_trouble(&self) -> Option<String> {
        self.0.names.trouble()
    }

    /// What origins have told us by calling.
    pub(super) fn beats(&self) -> &Beats {
        &self.0.beats
    }

    /// What has been counted: rows of name, label and count.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let Starts { on_time, late } = &self.0.starts;
        [("on-time", on_time), ("late", late)]
            .map(|(when, count)| ("probe_starts", when, count.load(Ordering::Relaxed)))
            .into_iter()
            .chain([("tripwires", "", self.0.wires.count())])
    }

    /// Current addresses of a host name, sorted.
    ///
    /// # Errors
    /// [`ResolveFault::Gone`], or [`ResolveFault::Unanswered`] even where older addresses are known.
    pub async fn resolve(&self, hostname: &Name) -> Result<Resolved, ResolveFault> {
        self.0.names.resolve(hostname).await
    }

    /// Do the resolvers answer? At most 2 s.
    pub async fn canary(&self) -> bool {
        self.0.names.canary().await
    }

    /// Opens an idle connection, says so to `held`, and holds it until it ends.
    pub async fn hold(&self, to: SocketAddr, held: impl FnOnce()) -> What {
        self.0.wires.hold(to, held).await
    }

    /// Takes in processes that programs left behind, for as long as this is awaited.
    pub async fn reap(&self) {
        self.0.runs.reap().await;
    }

    /// Carries out one probe. Waiting for our own turn is no part of it, and lasts no longer than the probe may.
    pub async fn probe(&self, request: Request) -> Observation {
        self.probe_from(request).await.0
    }

    /// The same, and our end of its connection.
    async fn probe_from(&self, request: Request) -> (Observation, Option<SocketAddr>) {
        if let Target::Origin(origin) = &request.target {
            return (self.look(&request, origin), None);
        }
        let limit = request.check.timeout;
        let asked = clock::moment();
        let (addresses, is_named) = match &request.target {
            &Target::Address(address) => (Ok(vec![address]), false),
            Target::Hostname(name) => (self.0.names.addresses(name, limit).await, true),
            Target::Origin(_) => (Ok(Vec::new()), false),
        };
        let resolving = clock::moment().since(asked);
        let phases = Phases { resolve: is_named.then_some(resolving), ..Phases::default() };
        let resolved = addresses.as_ref().ok().filter(|_| is_named).cloned().unwrap_or_default();
        let field = addresses.map(|addresses| match request.purpose {
            Purpose::Confirm(number) => race::other_family_first(race::field(&addresses, drawn()), number),
            _ => race::field(&addresses, drawn()),
        });
        let permits = field.as_ref().map_or(0, |field| u32::try_from(field.len()).unwrap_or(u32::MAX));
        // A program has turns of its own, and one at a time: no number of them holds up a connection.
        let (turns, permits) = match request.check.ask {
            Ask::Exec(_) => (&self.0.programs, permits.min(1)),
            _ => (&self.0.connections, permits),
        };
        let is_hanging = self.0.is_hanging(&request);
        let taking = async {
            let patience = if is_hanging { Some(self.0.hanging.acquire_many(permits).await) } else { None };
            (patience, turns.acquire_many(permits).await)
        };
        let turn = timeout(limit, taking).await;
        let started = clock::moment() - resolving;
        if request.purpose != Purpose::Manual {
            self.0.starts.count(started.since(request.due));
        }
        let attempt = match (field, &turn) {
            (Err(fault), _) => Attempt::none(&request, phases, Phase::Resolve, unresolved(fault)),
            (Ok(_), Err(_)) => Attempt::none(&request, phases, Phase::Connect, TroubleKind::Busy),
            (Ok(field), Ok(_)) => self.race(&request, field, phases).await,
        };
        self.0.remember(&request, &attempt.judged.outcome);
        let local = attempt.facts.local;
        (attempt.observed(&request, started, &resolved), local)
    }

    /// Looks whether the origin has called.
    fn look(&self, request: &Request, origin: &str) -> Observation {
        let started = clock::moment();
        let mut facts = Facts::default();
        match self.0.beats.last(origin, &request.check, started) {
            Ok(beat) => facts.beat = beat,
            Err(kind) => facts.trouble = Some(Trouble { phase: Phase::Answer, kind }),
        }
        Attempt::of(request, None, facts).observed(request, started, &[])
    }

    /// Passes when one of the addresses does, else fails as the first one.
    async fn race(&self, request: &Request, field: Vec<IpAddr>, phases: Phases) -> Attempt {
        let deadline = clock::moment() + request.check.timeout;
        let attempts = field.into_iter().map(|address| self.attempt(request, address, phases, deadline)).collect();
        // A program is dear: the next address only when one has failed.
        let apart = if request.check.ask.is_dear() { request.check.timeout } else { race::STAGGER };
        match race::run(attempts, apart, |attempt| attempt.judged.outcome == Outcome::Passed).await {
            Race::Won(attempt) => attempt,
            // One that is the origin's fault says more than one that is ours (no route to that family).
            Race::Lost(attempts) => attempts
                .into_iter()
                .min_by_key(|attempt| matches!(attempt.judged.outcome, Outcome::Inconclusive(_)))
                .unwrap_or_else(|| Attempt::none(request, phases, Phase::Resolve, TroubleKind::ResolverFailed)),
        }
    }

    /// One address.
    async fn attempt(&self, request: &Request, address: IpAddr, phases: Phases, deadline: Moment) -> Attempt {
        let mut facts = Facts { phases, ..Facts::default() };
        facts.trouble = self.0.ask(request, address, deadline, &mut facts).await.err();
        Attempt::of(request, Some(address), facts)
    }
}

impl Starts {
    /// One more, so long after its due moment.
    fn count(&self, delay: Duration) {
        let kind = if delay > LATE { &self.late } else { &self.on_time };
        kind.fetch_add(1, Ordering::Relaxed);
    }
}

/// What came of one address.
struct Attempt {
    address: Option<IpAddr>,
    facts: Facts,
    judged: Judged,
}

impl Attempt {
    fn of(request: &Request, address: Option<IpAddr>, facts: Facts) -> Self {
        let judged = judge(&request.check, &facts, clock::wall());
        Self { address, facts, judged }
    }

    /// `resolved`: what the host name of the origin led to.
    fn observed(self, request: &Request, started: Moment, resolved: &[IpAddr]) -> Observation {
        let Self { address, facts, judged } = self;
        let detail = Detail::of(&facts, resolved);
        Observation {
            watch: request.watch,
            epoch: request.epoch,
            purpose: request.purpose,
            started,
            finished: clock::moment(),
            outcome: judged.outcome,
            address,
            phases: facts.phases,
            warnings: judged.warnings,
            certificate: facts.certificate,
            status: facts.status,
            detail,
        }
    }

    /// No address was tried.
    fn none(request: &Request, phases: Phases, phase: Phase, kind: TroubleKind) -> Self {
        let trouble = Some(Trouble { phase, kind });
        Self::of(request, None, Facts { phases, trouble, ..Facts::default() })
    }
}

impl Inner {
    /// Did the last probe of this watch hang? What a person asks is no probe of the watch's own.
    fn is_hanging(&self, request: &Request) -> bool {
        request.purpose != Purpose::Manual && self.hung().contains(&request.watch)
    }

    fn remember(&self, request: &Request, outcome: &Outcome) {
        let is_asked = !matches!(outcome, Outcome::Inconclusive(_));
        if request.purpose == Purpose::Manual || request.check.ask.is_dear() || !is_asked {
            return;
        }
        if matches!(outcome, Outcome::Failed(Cause::ConnectTimeout | Cause::Timeout(_))) {
            self.hung().insert(request.watch);
        } else {
            self.hung().remove(&request.watch);
        }
    }

    fn hung(&self) -> MutexGuard<'_, BTreeSet<WatchId>> {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one address, phase by phase, and notes in `facts` what was seen on the way.
    async fn ask(
        &self,
        request: &Request,
        address: IpAddr,
        deadline: Moment,
        facts: &mut Facts,
    ) -> Result<(), Trouble> {
        let to = SocketAddr::new(address, request.port);
        match &request.check.ask {
            Ask::Tcp => self.connected(to, deadline, facts).await.map(drop),
            Ask::Tls => self.secured(request, to, None, deadline, facts).await.map(drop),
            Ask::Http(web) => {
                let stream = self.connected(to, deadline, facts).await?;
                let asked = http::request(&request.host, web).map_err(in_phase(Phase::FirstByte))?;
                let asking = http::ask(stream, asked, address);
                let reply = step(Phase::FirstByte, deadline, &mut facts.phases.first_byte, asking).await?;
                heard(request, reply, deadline, facts).await
            }
            Ask::Https(web) => {
                let asked = http::request(&request.host, web).map_err(in_phase(Phase::FirstByte))?;
                let protocol = if web.http2 { tls::HTTP2 } else { tls::HTTP1 };
                let stream = self.secured(request, to, Some(protocol), deadline, facts).await?;
                let spent = &mut facts.phases.first_byte;
                let reply = if !web.http2 {
                    step(Phase::FirstByte, deadline, spent, http::ask(stream, asked, address)).await?
                } else if stream.get_ref().1.alpn_protocol() == Some(protocol) {
                    step(Phase::FirstByte, deadline, spent, http::ask_http2(stream, asked, address)).await?
                } else {
                    let kind = TroubleKind::Protocol("it does not speak HTTP/2".to_owned());
                    return Err(in_phase(Phase::Tls)(kind));
                };
                heard(request, reply, deadline, facts).await
            }
            Ask::Dns(question) => {
                let asking = dns::ask(to, question);
                facts.reply = Some(step(Phase::Answer, deadline, &mut facts.phases.answer, asking).await?);
                Ok(())
            }
            Ask::Icmp => step(Phase::Answer, deadline, &mut facts.phases.answer, icmp::ping(address)).await,
            Ask::Exec(command) => {
                let Facts { phases, body, exit, .. } = facts;
                let running = exec::run(&self.runs, command, request, address, body);
                *exit = step(Phase::Answer, deadline, &mut phases.answer, running).await?;
                Ok(())
            }
            Ask::Heartbeat(_) => Ok(()),
        }
    }

    /// Connects, to part without a farewell.
    async fn connected(&self, to: SocketAddr, deadline: Moment, facts: &mut Facts) -> Result<TcpStream, Trouble> {
        let stream = step(Phase::Connect, deadline, &mut facts.phases.connect, tcp::connect(to)).await?;
        facts.local = stream.local_addr().ok();
        tcp::close_at_once(&stream);
        Ok(stream)
    }

    /// Connects and shakes hands.
    async fn secured(
        &self,
        request: &Request,
        to: SocketAddr,
        protocol: Option<&[u8]>,
        deadline: Moment,
        facts: &mut Facts,
    ) -> Result<TlsStream<TcpStream>, Trouble> {
        let Facts { phases, local, certificate, .. } = facts;
        let stream = step(Phase::Connect, deadline, &mut phases.connect, tcp::connect(to)).await?;
        *local = stream.local_addr().ok();
        let ca = request.check.ca.as_ref();
        let handshake = self.anchors.prepare(&request.host, ca, protocol).map_err(in_phase(Phase::Tls))?;
        let secured = step(Phase::Tls, deadline, &mut phases.tls, handshake.run(stream, to.ip())).await;
        *certificate = handshake.certificate();
        let secured = secured?;
        tcp::close_at_once(secured.get_ref().0);
        Ok(secured)
    }
}

/// Takes in a response: its head, then its body.
async fn heard(request: &Request, mut reply: http::Reply, deadline: Moment, facts: &mut Facts) -> Result<(), Trouble> {
    facts.status = reply.status();
    let mut expressions = request.check.expect.iter().chain(&request.check.warn);
    let speaks_of_headers = expressions.any(|expression| expression.subject() == Subject::Header);
    facts.headers = if speaks_of_headers { reply.headers() } else { reply.known_headers() };
    step(Phase::Body, deadline, &mut facts.phases.body, reply.read(&mut facts.body)).await
}

/// One phase: does `work` until `deadline`, notes how long it took, and tells in which phase it ended early.
async fn step<T>(
    phase: Phase,
    deadline: Moment,
    spent: &mut Option<Duration>,
    work: impl Future<Output = Result<T, TroubleKind>>,
) -> Result<T, Trouble> {
    let began = clock::moment();
    let done = timeout(deadline.since(began), work).await;
    *spent = Some(clock::moment().since(began));
    done.unwrap_or(Err(TroubleKind::Timeout)).map_err(in_phase(phase))
}

/// Which of many addresses come first.
fn drawn() -> usize {
    usize::from(u16::from_ne_bytes(random()))
}

/// Bytes nobody can guess; zeros where the system has none to give.
#[expect(clippy::disallowed_types, reason = "the edge draws what nobody may guess")]
fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut drawn = [0; LENGTH];
    // A reply to an id that can be guessed is still a reply from this port.
    let _ = ring::rand::SystemRandom::new().fill(&mut drawn);
    drawn
}

fn unresolved(fault: ResolveFault) -> TroubleKind {
    match fault {
        ResolveFault::Gone => TroubleKind::NameGone,
        ResolveFault::Unanswered => TroubleKind::ResolverFailed,
    }
}

fn in_phase(phase: Phase) -> impl Fn(TroubleKind) -> Trouble {
    move |kind| Trouble { phase, kind }
}
