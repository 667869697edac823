//! Host names of origins, resolved as their clients' resolvers would.
//!
//! Addresses are kept for their TTL. When they have run out, they are asked for anew, once for all who wait; when the
//! resolvers do not answer, the last good ones are probed on: that a resolver is dead says nothing about an origin.
//! Only "there is no such name" (NXDOMAIN, NODATA) is the origin's fault. A question once asked is asked to its end,
//! even when who asked has gone on with the last good addresses.
//!
//! Dead resolvers are asked no more than living ones: so many questions are under way at once, however many names
//! there are, and one that was not answered is not asked again for a while.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name as HickoryName, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::Resolvers;
use crate::control::{ResolveFault, Resolved};
use crate::dns::Name;
use crate::edge::clock;
use crate::time::Moment;

/// One try at one resolver; hickory makes up to [`TRIES`] of them.
const TRY: Duration = Duration::from_millis(1_500);
const TRIES: usize = 2;
/// When a question counts as unanswered; and how long it waits for its turn.
const ROUND: Duration = Duration::from_secs(5);
/// Questions under way at once. One that nobody answers holds six sockets for each resolver that is asked: two families,
/// of three tries each.
pub(super) const QUESTIONS: usize = 32;
/// From a question that was not answered to the next for that name. RFC 9520 §3.2 wants a second at least, and five
/// minutes at most.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a probe waits for fresh addresses while good ones are known; and a question for the other family, once one
/// has brought addresses (RFC 8305 §3).
const PATIENCE: Duration = Duration::from_millis(500);
/// The other family is asked for again this soon, where it was not answered.
const HALF: Duration = Duration::from_secs(30);
/// Bounds of a TTL. Below: a name of TTL 0 with many watches would be asked for by each of them. Above: a wrong
/// record published with a week's TTL should not be probed for a week.
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_secs(3600);
/// A name that nobody asked for during this time is forgotten at the next reload.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Resolvers that have answered nothing for so long are told: two rounds.
const SILENCE: Duration = Duration::from_secs(10);
/// When the canary counts as dead.
const CANARY: Duration = Duration::from_secs(2);

/// The resolvers, and all names asked of them.
pub(super) struct Names {
    resolver: RwLock<Result<Arc<TokioResolver>, String>>,
    known: Mutex<BTreeMap<Name, Arc<Entry>>>,
    /// Questions under way, at most one per name; they end with their owner.
    questions: Mutex<JoinSet<()>>,
    turns: Arc<Semaphore>,
    silence: Arc<Silence>,
}

/// Since when questions bring no answer at all, if so.
#[derive(Debug, Default)]
struct Silence(Mutex<Option<Moment>>);

impl Silence {
    /// A question asked at `asked` has ended.
    fn heard(&self, is_answered: bool, asked: Moment) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *since = if is_answered { None } else { Some(since.map_or(asked, |since| since.min(asked))) };
    }

    fn trouble(&self, now: Moment) -> Option<String> {
        let silent = now.since((*self.0.lock().unwrap_or_else(PoisonError::into_inner))?);
        (silent >= SILENCE).then(|| format!("no question was answered for {} s", silent.as_secs()))
    }
}

/// One name.
struct Entry {
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
struct State {
    /// Last good addresses, sorted, IPv4 first; empty before the first.
    good: Vec<IpAddr>,
    /// What the last question brought; `None` before the first has ended.
    last: Option<Result<(), ResolveFault>>,
    /// `good` is current until then.
    expires: Moment,
    /// Not asked for again until then: the last question was not answered.
    again: Moment,
    /// Since when a question is under way.
    asking_since: Option<Moment>,
    /// When someone last wanted it.
    wanted: Moment,
}

impl Names {
    /// Reads `resolvers`. Nothing is asked yet.
    pub(super) fn new(resolvers: &Resolvers) -> Self {
        Self {
            resolver: RwLock::new(resolver(resolvers)),
            known: Mutex::new(BTreeMap::new()),
            questions: Mutex::new(JoinSet::new()),
            turns: Arc::new(Semaphore::new(QUESTIONS)),
            silence: Arc::default(),
        }
    }

    /// Reads `resolvers` again; what is known of the names that are in use stays.
    pub(super) fn reload(&self, resolvers: &Resolvers) {
        *self.resolver.write().unwrap_or_else(PoisonError::into_inner) = resolver(resolvers);
        let now = clock::moment();
        // Others may be asked now, or nobody any more.
        self.silence.heard(true, now);
        let oldest = now - FORGOTTEN;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, entry| entry.state.borrow().wanted >= oldest);
        for entry in known.values() {
            entry.state.send_if_modified(|state| {
                state.again = now;
                false
            });
        }
    }

    /// Why there is no resolver, if there is none; or for how long they have been silent.
    pub(super) fn trouble(&self) -> Option<String> {
        let none = self.resolver.read().unwrap_or_else(PoisonError::into_inner).as_ref().err().cloned();
        none.or_else(|| self.silence.trouble(clock::moment()))
    }

    /// Current addresses of `name` and how long they stay so.
    pub(super) async fn resolve(&self, name: &Name) -> Result<Resolved, ResolveFault> {
        let state = self.current(name, ROUND).await;
        match state.last {
            Some(Ok(())) => {
                Ok(Resolved { addresses: state.good, ttl: state.expires.since(clock::moment()).max(TTL_MIN) })
            }
            Some(Err(fault)) => Err(fault),
            None => Err(ResolveFault::Unanswered),
        }
    }

    /// Addresses of `name` to probe: current ones, else after a short wait the last good ones. Waits for `limit` at
    /// most where none are known.
    pub(super) async fn addresses(&self, name: &Name, limit: Duration) -> Result<Vec<IpAddr>, ResolveFault> {
        let state = self.current(name, limit).await;
        match state.last {
            _ if !state.good.is_empty() => Ok(state.good),
            Some(Err(fault)) => Err(fault),
            Some(Ok(())) | None => Err(ResolveFault::Unanswered),
        }
    }

    /// The state of `name`, asked for if it has run out and waited for as long as that makes sense, at most `limit`.
    async fn current(&self, name: &Name, limit: Duration) -> State {
        let entry = self.entry(name);
        let mut changes = entry.state.subscribe();
        let now = clock::moment();
        let before = entry.state.borrow().clone();
        if before.last == Some(Ok(())) && before.expires > now || before.again > now {
            return before;
        }
        self.ask(name, &entry);
        let patience = match before.last {
            _ if before.good.is_empty() => limit,
            // The last question brought nothing: this one goes on behind our back.
            Some(Err(_)) => Duration::ZERO,
            _ => limit.min(PATIENCE),
        };
        // Either way the state tells what is known now.
        let _ = timeout(patience, changes.wait_for(|state| state.asking_since.is_none())).await;
        entry.state.borrow().clone()
    }

    fn entry(&self, name: &Name) -> Arc<Entry> {
        let now = clock::moment();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(name.folded()).or_insert_with(|| {
            let state =
                State { good: Vec::new(), last: None, expires: now, again: now, asking_since: None, wanted: now };
            Arc::new(Entry { state: watch::Sender::new(state) })
        });
        entry.state.send_if_modified(|state| {
            state.wanted = now;
            false
        });
        Arc::clone(entry)
    }

    /// Starts a question, unless one is under way.
    fn ask(&self, name: &Name, entry: &Arc<Entry>) {
        let now = clock::moment();
        let begins = entry.state.send_if_modified(|state| {
            // A question that is long past its end has died on the way.
            let is_asking = state.asking_since.is_some_and(|since| now.since(since) < 3 * ROUND);
            if !is_asking {
                state.asking_since = Some(now);
            }
            !is_asking
        });
        if !begins {
            return;
        }
        let resolver = self.resolver.read().unwrap_or_else(PoisonError::into_inner).as_ref().ok().cloned();
        let asked = hickory_name(name);
        let entry = Arc::clone(entry);
        let silence = Arc::clone(&self.silence);
        let turns = Arc::clone(&self.turns);
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        while questions.try_join_next().is_some() {}
        questions.spawn(async move {
            let unasked = (Err(ResolveFault::Unanswered), Err(ResolveFault::Unanswered));
            let turn = timeout(ROUND, turns.acquire()).await;
            let (v4, v6) = match (resolver, asked, &turn) {
                (Some(resolver), Some(asked), Ok(_)) => {
                    let family = |rtype| look_up(&resolver, &asked, rtype);
                    both(family(RecordType::A), family(RecordType::AAAA)).await
                }
                _ => unasked,
            };
            let is_answered = [&v4, &v6].iter().any(|family| !matches!(family, Err(ResolveFault::Unanswered)));
            // One without a turn was not asked.
            if turn.is_ok() {
                silence.heard(is_answered, now);
            }
            entry.state.send_modify(|state| state.learn(v4, v6, clock::moment()));
        });
    }

    /// Whether any resolver answers at all, asked past every cache of ours.
    pub(super) async fn canary(&self) -> bool {
        let resolver = self.resolver.read().unwrap_or_else(PoisonError::into_inner).as_ref().ok().cloned();
        let Some(resolver) = resolver else { return false };
        resolver.clear_cache();
        let asked = clock::moment();
        let sings = match timeout(CANARY, resolver.lookup(HickoryName::root(), RecordType::SOA)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => is_answer(&error),
            Err(_) => false,
        };
        self.silence.heard(sings, asked);
        sings
    }
}

/// What one family's question brought.
type Family = Result<(Vec<IpAddr>, Duration), ResolveFault>;

impl State {
    /// Takes in the answers for both families. An unanswered family keeps its last good addresses.
    fn learn(&mut self, v4: Family, v6: Family, now: Moment) {
        self.asking_since = None;
        let mut addresses = Vec::new();
        let mut ttl = TTL_MAX;
        let mut unanswered = 0;
        for (family, is_v4) in [(v4, true), (v6, false)] {
            match family {
                Ok((found, lasts)) => {
                    addresses.extend(found);
                    ttl = ttl.min(lasts);
                }
                Err(ResolveFault::Gone) => {}
                Err(ResolveFault::Unanswered) => {
                    unanswered += 1;
                    addresses.extend(self.good.iter().filter(|address| address.is_ipv4() == is_v4));
                    ttl = ttl.min(HALF);
                }
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        self.last = Some(match (addresses.is_empty(), unanswered) {
            (_, 2) | (true, 1) => {
                self.again = now + AGAIN;
                Err(ResolveFault::Unanswered)
            }
            (true, _) => {
                self.good.clear();
                Err(ResolveFault::Gone)
            }
            (false, _) => {
                self.good = addresses;
                self.expires = now + ttl.max(TTL_MIN);
                Ok(())
            }
        });
    }
}

/// Asks for both families at once. A resolver that drops one of them must not make the other late.
async fn both(v4: impl Future<Output = Family>, v6: impl Future<Output = Family>) -> (Family, Family) {
    let (mut v4, mut v6) = (pin!(v4), pin!(v6));
    tokio::select! {
        first = &mut v4 => {
            let second = after(&first, v6).await;
            (first, second)
        }
        first = &mut v6 => {
            let second = after(&first, v4).await;
            (second, first)
        }
    }
}

/// What the other family's question brings, now that the first has ended.
async fn after(first: &Family, other: impl Future<Output = Family>) -> Family {
    match first {
        Ok(_) => timeout(PATIENCE, other).await.unwrap_or(Err(ResolveFault::Unanswered)),
        Err(_) => other.await,
    }
}

async fn look_up(resolver: &TokioResolver, name: &HickoryName, rtype: RecordType) -> Family {
    // Ours is the cache; hickory's would add its own idea of how long an answer lasts.
    resolver.clear_cache();
    let answer = match timeout(ROUND, resolver.lookup(name.clone(), rtype)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if is_gone(&error) => return Err(ResolveFault::Gone),
        Ok(Err(error)) => {
            tracing::debug!(%name, %rtype, %error, "not resolved");
            return Err(ResolveFault::Unanswered);
        }
        Err(_) => return Err(ResolveFault::Unanswered),
    };
    let addresses = answer.answers().iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    let addresses: Vec<_> = addresses.collect();
    // The CNAMEs of a chain count: the answer is as short-lived as its shortest link.
    let ttl = answer.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
    if addresses.is_empty() { Err(ResolveFault::Gone) } else { Ok((addresses, Duration::from_secs(ttl.into()))) }
}

/// NXDOMAIN or NODATA.
fn is_gone(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
        }
        _ => false,
    }
}

/// Any answer but those a forwarder on this very host gives when its own way out is gone.
fn is_answer(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => is_sighted(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => is_sighted(*code),
        _ => false,
    }
}

fn is_sighted(code: ResponseCode) -> bool {
    !matches!(code, ResponseCode::ServFail | ResponseCode::Refused)
}

/// Always absolute: no search list.
fn hickory_name(name: &Name) -> Option<HickoryName> {
    let mut absolute = HickoryName::from_labels(name.labels()).ok()?;
    absolute.set_fqdn(true);
    Some(absolute)
}

fn resolver(resolvers: &Resolvers) -> Result<Arc<TokioResolver>, String> {
    let servers = match resolvers {
        Resolvers::System => system_conf().map_err(|error| format!("/etc/resolv.conf: {error}"))?,
        Resolvers::Addresses(addresses) => addresses.iter().copied().map(server).collect(),
    };
    if servers.is_empty() {
        return Err("no resolver is configured".into());
    }
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options();
    builder.build().map(Arc::new).map_err(|error| error.to_string())
}

/// The resolvers of the system; none if it does not tell.
pub(in crate::edge) fn system_servers() -> Vec<SocketAddr> {
    let servers = system_conf().unwrap_or_default();
    let addresses = servers.iter().flat_map(|server| {
        let ports = server.connections.iter().map(|connection| connection.port);
        ports.map(|port| SocketAddr::new(server.ip, port))
    });
    addresses.collect()
}

fn system_conf() -> Result<Vec<NameServerConfig>, NetError> {
    read_system_conf().map(|(system, _)| system.name_servers().to_vec())
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = TRY;
    options.attempts = TRIES;
    options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
    // Clients do not read this host's file.
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 32;
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(good: &[&str]) -> State {
        let good = good.iter().map(|text| text.parse().unwrap()).collect();
        State {
            good,
            last: None,
            expires: Moment::default(),
            again: Moment::default(),
            asking_since: Some(Moment::default()),
            wanted: Moment::default(),
        }
    }

    fn found(addresses: &[&str], ttl: u64) -> Family {
        Ok((addresses.iter().map(|text| text.parse().unwrap()).collect(), Duration::from_secs(ttl)))
    }

    const GONE: Family = Err(ResolveFault::Gone);
    const UNANSWERED: Family = Err(ResolveFault::Unanswered);

    #[test]
    fn what_both_families_say_together() {
        let known = ["192.0.2.1", "2001:db8::1"];
        for (good, v4, v6, last, then, ttl) in [
            (&[][..], found(&["192.0.2.2", "192.0.2.1"], 60), GONE, Ok(()), &["192.0.2.1", "192.0.2.2"][..], 60),
            (&[], found(&["192.0.2.1"], 60), found(&["2001:db8::1"], 20), Ok(()), &known, 20),
            (&known, GONE, GONE, Err(ResolveFault::Gone), &[], 0),
            (&known, UNANSWERED, UNANSWERED, Err(ResolveFault::Unanswered), &known, 0),
            (&[], UNANSWERED, GONE, Err(ResolveFault::Unanswered), &[], 0),
            (&known, found(&["192.0.2.9"], 60), UNANSWERED, Ok(()), &["192.0.2.9", "2001:db8::1"], 30),
            (&known, UNANSWERED, found(&["2001:db8::9"], 20), Ok(()), &["192.0.2.1", "2001:db8::9"], 20),
            (&[], found(&["192.0.2.9"], 0), GONE, Ok(()), &["192.0.2.9"], 1),
            (&[], found(&["192.0.2.9"], 604_800), GONE, Ok(()), &["192.0.2.9"], 3600),
        ] {
            let mut learnt = state(good);
            let shown = format!("{v4:?} {v6:?}");
            learnt.learn(v4, v6, Moment::default());
            assert_eq!(learnt.last, Some(last), "{shown}");
            assert_eq!(learnt.good, state(then).good, "{shown}");
            assert_eq!(learnt.expires.since_boot(), Duration::from_secs(ttl), "{shown}");
            assert_eq!(learnt.asking_since, None);
        }
    }

    #[test]
    fn silence_is_told_once_it_lasts_and_ends_with_any_answer() {
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        let silence = Silence::default();
        assert_eq!(silence.trouble(at(100)), None, "nobody has asked");
        silence.heard(false, at(100));
        silence.heard(false, at(105));
        assert_eq!(silence.trouble(at(109)), None);
        assert_eq!(silence.trouble(at(110)).as_deref(), Some("no question was answered for 10 s"));
        silence.heard(true, at(108));
        assert_eq!(silence.trouble(at(200)), None);
    }

    #[tokio::test]
    async fn a_question_that_nobody_answers_counts_as_silence() {
        let names = Names::new(&Resolvers::Addresses(Vec::new()));
        let name = Name::absolute("www.example.com").unwrap();
        assert_eq!(names.resolve(&name).await, Err(ResolveFault::Unanswered));
        assert!(names.silence.trouble(clock::moment() + SILENCE).is_some());
        names.reload(&Resolvers::Addresses(Vec::new()));
        assert_eq!(names.silence.trouble(clock::moment() + SILENCE), None);
    }

    #[test]
    fn a_name_is_asked_for_as_absolute() {
        let name = Name::absolute("www.example.com").unwrap();
        let asked = hickory_name(&name).unwrap();
        assert!(asked.is_fqdn());
        assert_eq!(asked.to_string(), "www.example.com.");
    }
}
