//! Origins that call us: the listener they call, and what they said last.
//!
//! ```text
//!   /heartbeat/ORIGIN/CHECK    with `Authorization: Bearer SECRET`
//!   /beat/SECRET/ORIGIN        for who can only fetch a URL; ORIGIN may be left out where the check asks one only
//! ```
//!
//! GET, HEAD and POST are the same, and what comes with them is not read. `?status=fail` reports a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ring::digest;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::{Ask, Check, Config};
use crate::edge::admin::gate::{bearer, same, sha256};
use crate::edge::{clock, http};
use crate::probe::watch::plan;
use crate::probe::{Beat, Call, Target, TroubleKind};
use crate::time::Moment;

/// Calls of one origin for one check closer together than this are refused: the shortest `every`.
const APART: Duration = Duration::from_millis(100);
/// How long it is told that calls may have been lost.
const TOLD: Duration = Duration::from_secs(60);
/// Distance of the tries to listen.
const AGAIN: Duration = Duration::from_secs(2);

/// What origins said last. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::edge) struct Beats(Arc<Shared>);

#[derive(Default)]
struct Shared {
    listens: AtomicBool,
    /// When a caller was last sent away, or not let in, unheard.
    lost: Mutex<Option<Moment>>,
    last: Mutex<BTreeMap<Called, Last>>,
}

/// An origin, and the check it calls for.
type Called = (Arc<str>, Arc<str>);

#[derive(Clone, Copy)]
struct Last {
    at: Moment,
    failed: bool,
}

impl Beats {
    /// Can origins call?
    pub(in crate::edge) fn listens(&self) -> bool {
        self.0.listens.load(Ordering::Relaxed)
    }

    /// Why origins cannot be heard at `address`, or not all of them.
    pub(in crate::edge) fn trouble(&self, address: SocketAddr, now: Moment) -> Option<String> {
        if !self.listens() {
            return Some(format!("nothing listens on {address}"));
        }
        let is_lost = self.lost().is_some_and(|at| now.since(at) < TOLD);
        is_lost.then(|| format!("{address} had more callers than it can hear; who was silent meanwhile is not blamed"))
    }

    /// The last call of `origin` for `check`.
    ///
    /// # Errors
    /// [`TroubleKind::Deaf`] while nothing listens, and where one that is missing may have been lost by us.
    pub(super) fn last(&self, origin: &str, check: &Check, now: Moment) -> Result<Option<Beat>, TroubleKind> {
        if !self.listens() {
            return Err(TroubleKind::Deaf);
        }
        let known = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.get(&(Arc::from(origin), Arc::from(check.name.as_str())));
        let beat = last.map(|last| Beat { age: now.since(last.at), failed: last.failed });
        let patience = check.every.saturating_add(check.timeout);
        let is_missing = beat.is_none_or(|beat| beat.age > patience);
        let is_lost = || self.lost().is_some_and(|at| now.since(at) <= patience);
        if is_missing && is_lost() { Err(TroubleKind::Deaf) } else { Ok(beat) }
    }

    fn lost(&self) -> Option<Moment> {
        *self.0.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody was not heard.
    fn lose(&self, now: Moment) {
        *self.0.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// As if somebody listened.
    #[cfg(test)]
    pub(super) fn hear(&self) {
        self.0.listens.store(true, Ordering::Relaxed);
    }

    /// Notes a call. False if it comes too soon after the one before, unless it reports the first failure.
    pub(super) fn note(&self, call: &Call) -> bool {
        let mut known = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(&call.origin), Arc::clone(&call.check));
        let next = Last { at: call.at, failed: call.failed };
        match known.get(&key) {
            Some(last) if call.at.since(last.at) < APART && (last.failed || !call.failed) => false,
            _ => {
                known.insert(key, next);
                true
            }
        }
    }
}

/// Who is told of calls.
pub(in crate::edge) type Tell = Arc<dyn Fn(Call) + Send + Sync>;

/// Where origins call: the address, and the socket if it could be had at the start.
pub(in crate::edge) struct Door {
    address: SocketAddr,
    bound: Option<TcpListener>,
}

impl Door {
    /// Binds `address`. Where it cannot be had it is tried again while the door is kept.
    pub(in crate::edge) fn open(address: SocketAddr) -> Self {
        let bound = bind(address).inspect_err(|error| {
            tracing::error!(%error, "cannot listen for heartbeats on {address}; it is tried again");
        });
        Self { address, bound: bound.ok() }
    }

    /// Where it is; a port that was drawn stands where 0 was asked for.
    pub(in crate::edge) fn address(&self) -> SocketAddr {
        self.bound.as_ref().and_then(|bound| bound.local_addr().ok()).unwrap_or(self.address)
    }

    /// Takes calls for as long as this is awaited.
    pub(in crate::edge) async fn keep(self, beats: Beats, configs: watch::Receiver<Arc<Config>>, tell: Tell) {
        let Self { address, mut bound } = self;
        loop {
            let listener = bound.take().or_else(|| bind(address).ok());
            if let Some(listener) = listener.and_then(|bound| tokio::net::TcpListener::from_std(bound).ok()) {
                beats.0.listens.store(true, Ordering::Relaxed);
                let desk = Desk {
                    beats: beats.clone(),
                    configs: configs.clone(),
                    tell: Arc::clone(&tell),
                    known: Arc::default(),
                };
                http::serve_callers(listener, routes(desk), || beats.lose(clock::moment())).await;
                beats.0.listens.store(false, Ordering::Relaxed);
            }
            sleep(AGAIN).await;
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/heartbeat/{origin}/{check}", get(by_header).post(by_header))
        .route("/beat/{secret}", get(by_path_alone).post(by_path_alone))
        .route("/beat/{secret}/{origin}", get(by_path).post(by_path))
        .fallback(|| async {
            (StatusCode::NOT_FOUND, "heartbeats are /heartbeat/ORIGIN/CHECK or /beat/SECRET/ORIGIN\n")
        })
        .with_state(desk)
}

/// Where calls are answered.
#[derive(Clone)]
struct Desk {
    beats: Beats,
    configs: watch::Receiver<Arc<Config>>,
    tell: Tell,
    known: Arc<Mutex<Option<Arc<Known>>>>,
}

/// Who may call, under one configuration.
struct Known {
    config: Arc<Config>,
    checks: Vec<Expected>,
}

/// One check that waits for calls.
struct Expected {
    check: Arc<str>,
    secret: digest::Digest,
    origins: BTreeSet<Arc<str>>,
}

impl Known {
    fn of(config: &Arc<Config>) -> Self {
        let mut origins: BTreeMap<u32, BTreeSet<Arc<str>>> = BTreeMap::new();
        for watch in plan(config).watches {
            if let Target::Origin(name) = watch.target {
                origins.entry(watch.check.0).or_default().insert(name);
            }
        }
        let expected = (0u32..).zip(&config.checks).filter_map(|(id, check)| match &check.ask {
            Ask::Heartbeat(secret) => Some(Expected {
                check: check.name.as_str().into(),
                secret: sha256(&secret.0),
                origins: origins.remove(&id).unwrap_or_default(),
            }),
            _ => None,
        });
        Self { checks: expected.collect(), config: Arc::clone(config) }
    }

    /// The check this secret is of. All are compared, so that the time tells nothing.
    fn with_secret(&self, given: &str) -> Option<&Expected> {
        let given = sha256(given);
        self.checks
            .iter()
            .fold(None, |found, one| if same(one.secret.as_ref(), given.as_ref()) { Some(one) } else { found })
    }
}

async fn by_header(
    State(desk): State<Desk>,
    Path((origin, check)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    desk.answer(given.unwrap_or_default(), Some(&check), Some(&origin), query.as_deref())
}

async fn by_path(
    State(desk): State<Desk>,
    Path((secret, origin)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    desk.answer(&secret, None, Some(&origin), query.as_deref())
}

async fn by_path_alone(State(desk): State<Desk>, Path(secret): Path<String>, RawQuery(query): RawQuery) -> Response {
    desk.answer(&secret, None, None, query.as_deref())
}

impl Desk {
    fn known(&self) -> Arc<Known> {
        let config = Arc::clone(&self.configs.borrow());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if Arc::ptr_eq(&known.config, &config) => Arc::clone(known),
            _ => Arc::clone(known.insert(Arc::new(Known::of(&config)))),
        }
    }

    /// Takes a call: of whom, and what it says.
    fn answer(&self, secret: &str, check: Option<&str>, origin: Option<&str>, query: Option<&str>) -> Response {
        let known = self.known();
        let expected = known.with_secret(secret).filter(|one| check.is_none_or(|check| *one.check == *check));
        let Some(expected) = expected else {
            return (StatusCode::UNAUTHORIZED, "no heartbeat check has this secret\n").into_response();
        };
        let origin = match origin {
            Some(origin) => expected.origins.get(origin),
            None => expected.origins.first().filter(|_| expected.origins.len() == 1),
        };
        let Some(origin) = origin else {
            let names = expected.origins.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
            let said = format!("name an origin that is watched by check {}: {names}\n", expected.check);
            return (StatusCode::NOT_FOUND, said).into_response();
        };
        let failed = match status(query) {
            None | Some("ok") => false,
            Some("fail") => true,
            Some(_) => return (StatusCode::BAD_REQUEST, "status is `ok` or `fail`\n").into_response(),
        };
        let call = Call { origin: Arc::clone(origin), check: Arc::clone(&expected.check), at: clock::moment(), failed };
        if !self.beats.note(&call) {
            return (StatusCode::TOO_MANY_REQUESTS, "one call in 100 ms is enough\n").into_response();
        }
        (self.tell)(call);
        (StatusCode::OK, "heard\n").into_response()
    }
}

/// The value of `status` in a query.
fn status(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("status="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CheckId, OriginId, Place, Quorum, Rung, Secret, Steer};
    use crate::probe::fixture::{self, check};

    const ALPHA: &str = "alpha-secret-0123";
    const BETA: &str = "beta-secret-01234";

    /// Check `alpha` watches `eu` and `us`, check `beta` watches `cron` alone.
    fn config() -> Arc<Config> {
        let mut config = fixture::config();
        let beat = |name: &str, secret: &str| {
            Arc::new(Check { ask: Ask::Heartbeat(Secret(secret.to_owned())), ..check(name) })
        };
        config.checks = vec![beat("alpha", ALPHA), beat("beta", BETA)];
        config.origins = ["eu", "us", "cron"].map(|name| Arc::new(fixture::origin(name))).into();
        for (origin, last) in config.origins.iter_mut().zip(1..) {
            Arc::make_mut(origin).a = vec![[192, 0, 2, last].into(), [192, 0, 2, last + 100].into()];
        }
        let rung = |place, origins: &[u32], check| Rung {
            place,
            origins: origins.iter().map(|&id| OriginId(id)).collect(),
            check: Some(CheckId(check).into()),
            quorum: Quorum::default(),
        };
        let rungs = vec![rung(Place::Primary, &[0, 1], 0), rung(Place::Backup(1), &[2], 1)];
        config.steers = vec![Arc::new(Steer { rungs, ..fixture::steer("www.example.com") })];
        Arc::new(config)
    }

    /// What each request is answered, and what is told of it.
    #[tokio::test]
    async fn who_has_the_secret_speaks_for_an_origin_of_its_check_and_for_no_other() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (_keep, configs) = watch::channel(config());
        let door = Door::open(SocketAddr::from(([127, 0, 0, 1], 0)));
        let base = format!("http://{}", door.address());
        let told: Arc<Mutex<Vec<(String, String, bool)>>> = Arc::default();
        let telling = Arc::clone(&told);
        let tell: Tell = Arc::new(move |call: Call| {
            let call = (call.origin.to_string(), call.check.to_string(), call.failed);
            telling.lock().unwrap().push(call);
        });
        let beats = Beats::default();
        assert!(!beats.listens());
        let asking = async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            for (path, secret, status, call) in [
                ("/heartbeat/eu/alpha", Some(ALPHA), 200, Some(("eu", "alpha", false))),
                ("/heartbeat/us/alpha", Some(ALPHA), 200, Some(("us", "alpha", false))),
                ("/heartbeat/us/alpha", Some(ALPHA), 429, None),
                ("/heartbeat/us/alpha?status=fail", Some(ALPHA), 200, Some(("us", "alpha", true))),
                ("/heartbeat/us/alpha?status=fail", Some(ALPHA), 429, None),
                ("/heartbeat/cron/alpha", Some(ALPHA), 404, None),
                ("/heartbeat/eu/alpha", Some(BETA), 401, None),
                ("/heartbeat/eu/alpha", Some("alpha-secret-012"), 401, None),
                ("/heartbeat/eu/alpha", None, 401, None),
                ("/heartbeat/eu/gamma", Some(ALPHA), 401, None),
                ("/beat/beta-secret-01234?a=1&status=ok", None, 200, Some(("cron", "beta", false))),
                ("/beat/beta-secret-01234/cron?status=maybe", None, 400, None),
                ("/beat/alpha-secret-0123", None, 404, None),
                ("/beat/nothing", None, 401, None),
                ("/beat/", None, 404, None),
                ("/", Some(ALPHA), 404, None),
            ] {
                let mut request = client.post(format!("{base}{path}")).body("not read");
                if let Some(secret) = secret {
                    request = request.bearer_auth(secret);
                }
                assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{path} with {secret:?}");
                let call = call.map(|(origin, check, failed)| (origin.to_owned(), check.to_owned(), failed));
                assert_eq!(told.lock().unwrap().pop(), call, "{path}");
            }
            // What is only fetched counts too, once the last call is a while ago.
            sleep(APART).await;
            let fetched = client.get(format!("{base}/beat/{ALPHA}/us")).send().await.unwrap();
            assert_eq!((fetched.status().as_u16(), fetched.text().await.unwrap().as_str()), (200, "heard\n"));
            let last = beats.last("us", &check("alpha"), clock::moment()).unwrap().unwrap();
            assert!(!last.failed && last.age < Duration::from_secs(20));
            assert_eq!(beats.last("cron", &check("alpha"), clock::moment()), Ok(None));
        };
        tokio::select! {
            () = door.keep(beats.clone(), configs, tell) => unreachable!("kept until dropped"),
            () = asking => {}
        }
    }

    /// An open door, how to call there, and what is heard.
    struct Open {
        beats: Beats,
        address: SocketAddr,
        keeping: tokio::task::JoinSet<()>,
        _configs: watch::Sender<Arc<Config>>,
    }

    fn open() -> Open {
        let (keep, configs) = watch::channel(config());
        let door = Door::open(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (address, beats, mut keeping) = (door.address(), Beats::default(), tokio::task::JoinSet::new());
        keeping.spawn(door.keep(beats.clone(), configs, Arc::new(|_| {})));
        Open { beats, address, keeping, _configs: keep }
    }

    /// More than there is room for, and none of them says anything.
    #[tokio::test]
    async fn strangers_keep_no_call_out_and_who_is_silent_meanwhile_is_not_blamed() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let open = open();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build().unwrap();
        let call = || client.post(format!("http://{}/heartbeat/eu/alpha", open.address)).bearer_auth(ALPHA).send();
        let mut strangers = Vec::new();
        for number in 0..http::CALLERS + 50 {
            if number == http::CALLERS - 10 {
                assert_eq!(call().await.unwrap().status(), 200);
                assert_eq!(open.beats.last("us", &check("alpha"), clock::moment()), Ok(None), "there was room for all");
                assert_eq!(open.beats.trouble(open.address, clock::moment()), None);
            }
            strangers.push(tokio::net::TcpStream::connect(open.address).await.unwrap());
        }
        sleep(APART).await;
        assert_eq!(call().await.unwrap().status(), 200);
        let now = clock::moment();
        assert!(matches!(open.beats.last("eu", &check("alpha"), now), Ok(Some(Beat { failed: false, .. }))));
        assert_eq!(open.beats.last("us", &check("alpha"), now), Err(TroubleKind::Deaf));
        assert!(open.beats.trouble(open.address, now).is_some_and(|told| told.contains("more callers")));
        // Later calls had their chance: every 5 s, and 2 s more.
        assert_eq!(open.beats.last("us", &check("alpha"), now + Duration::from_secs(8)), Ok(None));
        drop(open.keeping);
    }

    /// Who sends requests and never reads replies gets one.
    #[tokio::test]
    async fn a_connection_is_for_one_call() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let open = open();
        let mut stream = tokio::net::TcpStream::connect(open.address).await.unwrap();
        let sent = format!("POST /beat/{ALPHA}/eu HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").repeat(9);
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
        assert!(heard.starts_with("HTTP/1.1 200 OK"), "{heard}");
        drop(open.keeping);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_leaves_us_deaf_until_it_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let door = Door::open(address);
        let (_keep, configs) = watch::channel(config());
        let beats = Beats::default();
        let tell: Tell = Arc::new(|_| {});
        let mut keeping = Box::pin(door.keep(beats.clone(), configs, tell));
        let mut taken = Some(taken);
        let began = clock::moment();
        while !beats.listens() {
            let step = tokio::time::timeout(Duration::from_millis(10), keeping.as_mut());
            assert!(step.await.is_err());
            if taken.take().is_some() {
                assert_eq!(beats.last("eu", &check("alpha"), began), Err(TroubleKind::Deaf));
            }
            assert!(clock::moment().since(began) < Duration::from_secs(30), "it is never free");
        }
    }
}
