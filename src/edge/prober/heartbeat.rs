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

use crate::config::{Ask, Config};
use crate::edge::admin::gate::{bearer, same, sha256};
use crate::edge::{clock, http};
use crate::probe::watch::plan;
use crate::probe::{Beat, Call, Target, TroubleKind};
use crate::time::Moment;

/// Calls of one origin for one check closer together than this are refused: the shortest `every`.
const APART: Duration = Duration::from_millis(100);
/// Connections open at once; callers come and go.
const CONNECTIONS: usize = 256;
/// Distance of the tries to listen.
const AGAIN: Duration = Duration::from_secs(2);

/// What origins said last. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::edge) struct Beats(Arc<Shared>);

#[derive(Default)]
struct Shared {
    listens: AtomicBool,
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

    /// The last call of `origin` for `check`.
    ///
    /// # Errors
    /// [`TroubleKind::Deaf`] while nothing listens.
    pub(super) fn last(&self, origin: &str, check: &str, now: Moment) -> Result<Option<Beat>, TroubleKind> {
        if !self.listens() {
            return Err(TroubleKind::Deaf);
        }
        let known = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.get(&(Arc::from(origin), Arc::from(check)));
        Ok(last.map(|last| Beat { age: now.since(last.at), failed: last.failed }))
    }

    /// As if somebody listened.
    #[cfg(test)]
    pub(super) fn hear(&self) {
        self.0.listens.store(true, Ordering::Relaxed);
    }

    /// Notes a call. False if it comes too soon after the one before, and says nothing new.
    pub(super) fn note(&self, call: &Call) -> bool {
        let mut known = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(&call.origin), Arc::clone(&call.check));
        let next = Last { at: call.at, failed: call.failed };
        match known.get(&key) {
            Some(last) if call.at.since(last.at) < APART => false,
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
                http::serve_at_most(CONNECTIONS, listener, routes(desk)).await;
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
    use crate::config::{Check, CheckId, OriginId, Place, Quorum, Rung, Secret, Steer};
    use crate::probe::fixture;

    const ALPHA: &str = "alpha-secret-0123";
    const BETA: &str = "beta-secret-01234";

    /// Check `alpha` watches `eu` and `us`, check `beta` watches `cron` alone.
    fn config() -> Arc<Config> {
        let mut config = fixture::config();
        let beat = |name: &str, secret: &str| {
            Arc::new(Check { ask: Ask::Heartbeat(Secret(secret.to_owned())), ..fixture::check(name) })
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
            let last = beats.last("us", "alpha", clock::moment()).unwrap().unwrap();
            assert!(!last.failed && last.age < Duration::from_secs(20));
            assert_eq!(beats.last("cron", "alpha", clock::moment()), Ok(None));
        };
        tokio::select! {
            () = door.keep(beats.clone(), configs, tell) => unreachable!("kept until dropped"),
            () = asking => {}
        }
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
                assert_eq!(beats.last("eu", "alpha", began), Err(TroubleKind::Deaf));
            }
            assert!(clock::moment().since(began) < Duration::from_secs(30), "it is never free");
        }
    }
}
