//! One function per route.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::config::Config;
use crate::control::{Asked, Figures, Released, Span};
use crate::decision::order::What;
use crate::dns::Name;
use crate::edge::admin::gate::Actor;
use crate::edge::admin::refusal::Refusal;
use crate::edge::admin::show::Sight;
use crate::edge::admin::{lines, view, words};
use crate::edge::clock;
use crate::edge::handle::{Answered, Handle};
use crate::time::Now;

/// What the control loop may take to tell its figures before they are left out.
const FIGURES_TIME: Duration = Duration::from_secs(1);
/// Entries per reply of `events`: the default, and the most.
const EVENTS: usize = 100;
const EVENTS_MAX: usize = 1_000;
/// An order without `for` lasts so long.
const SPAN_DEFAULT: Duration = Duration::from_secs(3_600);
/// An order's reason is a sentence, not a report.
const REASON_MAX: usize = 500;
const NO_REASON: &str = "no reason given";

/// What the routes work on.
#[derive(Clone)]
pub struct Api {
    pub handle: Handle,
    /// When this daemon began to serve.
    pub started: Now,
}

type Reply<T> = Result<Json<T>, Refusal>;

/// Every route, unguarded.
pub(super) fn routes(api: Api) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/explain/{name}", get(explain))
        .route("/v1/figures", get(figures))
        .route("/v1/events", get(events))
        .route("/v1/hold", post(hold))
        .route("/v1/drain", post(drain))
        .route("/v1/release", post(release))
        .route("/v1/failback", post(failback))
        .route("/v1/approve", post(approve))
        .route("/v1/reload", post(reload))
        .route("/v1/probe", post(probe))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

async fn status(State(api): State<Api>) -> Reply<view::Status> {
    Ok(Json(api.look(|sight| sight.status()).await))
}

async fn explain(State(api): State<Api>, Path(name): Path<String>) -> Reply<view::Explain> {
    let told = api.look(|sight| sight.explain(&name)).await;
    told.map(Json).ok_or_else(|| no_such_name(&api.handle.config(), &name))
}

async fn figures(State(api): State<Api>) -> Reply<view::Figures> {
    Ok(Json(api.look(|sight| sight.figures()).await))
}

async fn events(
    State(api): State<Api>,
    asked: Result<Query<view::EventsAsked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked.map_err(|rejection| {
        Refusal::new(StatusCode::BAD_REQUEST, rejection.body_text())
            .help("the query may hold after=NUMBER, limit=NUMBER, follow=true")
    })?;
    let limit = asked.limit.unwrap_or(EVENTS).clamp(1, EVENTS_MAX);
    let entries = match asked.after {
        Some(after) => api.handle.entries(after, limit).await,
        None => api.handle.latest(limit).await,
    };
    let sent = entries.last().map_or(asked.after.unwrap_or_else(|| *api.handle.committed().borrow()), |e| e.sequence);
    let first = lines::lines(entries);
    let body = if asked.follow { lines::follow(api.handle, first, sent) } else { Body::from(first) };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn hold(State(api): State<Api>, Extension(actor): Extension<Actor>, body: Sent) -> Reply<view::Done> {
    let asked: view::Hold = read(body)?;
    let name = steered(&api.handle.config(), &asked.name)?;
    let place = words::read_place(&asked.rung).map_err(unprocessable)?;
    let what = What::Hold { name, place };
    let asked = order(what, asked.span.as_deref(), asked.reason, asked.force)?;
    api.ask(&actor, asked).await
}

async fn drain(State(api): State<Api>, Extension(actor): Extension<Actor>, body: Sent) -> Reply<view::Done> {
    let asked: view::Drain = read(body)?;
    let origin = origin(&api.handle.config(), &asked.origin)?;
    let asked = order(What::Drain { origin }, asked.span.as_deref(), asked.reason, asked.force)?;
    api.ask(&actor, asked).await
}

async fn release(State(api): State<Api>, Extension(actor): Extension<Actor>, body: Sent) -> Reply<view::Done> {
    let asked: view::Release = read(body)?;
    let released = released(&api, &asked.target)?;
    api.ask(&actor, Asked::Release(released)).await
}

async fn failback(State(api): State<Api>, Extension(actor): Extension<Actor>, body: Sent) -> Reply<view::Done> {
    let asked: view::Failback = read(body)?;
    let name = steered(&api.handle.config(), &asked.name)?;
    api.ask(&actor, Asked::Failback { name }).await
}

async fn approve(State(api): State<Api>, Extension(actor): Extension<Actor>, body: Sent) -> Reply<view::Done> {
    let asked: view::Approve = read(body)?;
    let name = match (asked.name, asked.all) {
        (Some(name), false) => Some(steered(&api.handle.config(), &name)?),
        (None, true) => None,
        _ => return Err(unprocessable("say which name may move, or `\"all\": true`".to_owned())),
    };
    api.ask(&actor, Asked::Approve { name }).await
}

async fn reload(State(api): State<Api>, Extension(actor): Extension<Actor>, body: Sent) -> Reply<view::Reloaded> {
    let asked: view::Reload = read(body)?;
    match api.handle.reload(&actor.0, asked.force).await {
        Ok(warnings) => Ok(Json(view::Reloaded {
            node: api.handle.config().server.name.clone(),
            generation: api.handle.snapshot().generation.0,
            warnings,
        })),
        Err(errors) => Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, errors)
            .help("nothing has changed: the configuration read before goes on serving")),
    }
}

async fn probe(State(api): State<Api>, body: Sent) -> Reply<Vec<view::Probed>> {
    let asked: view::ProbeNow = read(body)?;
    let wanted = asked.origin.map(|name| origin_or_name(&api.handle.config(), name)).transpose()?;
    if asked.race {
        let raced = api.handle.race(wanted.as_deref()).await;
        let told = api.look(|sight| raced.iter().filter_map(|(id, raced)| sight.raced(*id, raced)).collect()).await;
        return Ok(Json(told));
    }
    let seen = api.handle.probe(wanted.as_deref()).await;
    let told = api.look(|sight| seen.iter().filter_map(|(id, seen)| sight.probed(*id, seen)).collect()).await;
    Ok(Json(told))
}

async fn nothing_here(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
        .help("GET /v1/status, /v1/explain/NAME, /v1/figures, /v1/events; POST /v1/hold, drain, release, failback, approve, reload, probe")
}

async fn wrong_method(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} is asked by another method", uri.path()))
        .help("status, explain, figures and events are read by GET; all else is POST")
}

impl Api {
    /// Makes a view of what is served and known now.
    async fn look<T>(&self, view: impl FnOnce(Sight<'_>) -> T) -> T {
        let figures: Option<Figures> = timeout(FIGURES_TIME, self.handle.figures()).await.ok().flatten();
        view(Sight {
            snapshot: &self.handle.snapshot(),
            config: &self.handle.config(),
            readiness: &self.handle.readiness(),
            figures: figures.as_ref(),
            started: self.started,
            now: clock::now(),
        })
    }

    async fn ask(&self, Actor(actor): &Actor, asked: Asked) -> Reply<view::Done> {
        match self.handle.ask(actor, asked).await {
            Answered::Done { generation, durable, said } => Ok(Json(view::Done {
                node: self.handle.config().server.name.clone(),
                generation: generation.0,
                durable,
                said,
            })),
            Answered::Denied { why } => Err(Refusal::new(StatusCode::CONFLICT, why)),
        }
    }
}

/// A request's body, or why there is none.
type Sent = Result<Bytes, BytesRejection>;

/// Reads a JSON body; an empty one is `{}`.
fn read<T: DeserializeOwned + Serialize>(body: Sent) -> Result<T, Refusal> {
    let bytes = body.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not what this route takes: {error}"))
    })
}

fn unprocessable(error: String) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error)
}

fn order(what: What, span: Option<&str>, reason: Option<String>, force: bool) -> Result<Asked, Refusal> {
    let span = match span {
        None => Span::For(SPAN_DEFAULT),
        Some(words::UNTIL_RELEASED) => Span::UntilReleased,
        Some(text) => Span::For(words::read_span(text).map_err(unprocessable)?),
    };
    let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let reason = reason.unwrap_or_else(|| NO_REASON.to_owned());
    if reason.chars().count() > REASON_MAX {
        return Err(unprocessable(format!("a reason has at most {REASON_MAX} characters")));
    }
    Ok(Asked::Order { what, span, reason, force })
}

/// A steered name of the configuration, as it has it.
fn steered(config: &Config, text: &str) -> Result<Name, Refusal> {
    let wanted = Name::absolute(text).map(|name| name.folded()).map_err(|_| no_such_name(config, text))?;
    let found = config.steers.iter().find(|steer| steer.name.folded() == wanted);
    found.map(|steer| steer.name.clone()).ok_or_else(|| no_such_name(config, text))
}

/// What may be probed: an origin, or all that a steered name stands on.
fn origin_or_name(config: &Config, text: String) -> Result<String, Refusal> {
    match steered(config, &text) {
        Ok(_) => Ok(text),
        Err(_) => origin(config, &text),
    }
}

fn origin(config: &Config, text: &str) -> Result<String, Refusal> {
    if config.origins.iter().any(|origin| origin.name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<String> = config.origins.iter().map(|origin| origin.name.clone()).collect();
    Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no origin `{text}`")).help(there_are("origins", &names)))
}

/// What an order stands on: orders in force first, since a reload may have taken the name away.
fn released(api: &Api, target: &str) -> Result<Released, Refusal> {
    let wanted = Name::absolute(target).map(|name| name.folded()).ok();
    let snapshot = api.handle.snapshot();
    let standing = snapshot.status.orders.iter().find_map(|order| match &order.what {
        What::Hold { name, .. } if Some(name.folded()) == wanted => Some(Released::Name(name.clone())),
        What::Drain { origin } if origin == target => Some(Released::Origin(origin.clone())),
        _ => None,
    });
    let config = api.handle.config();
    let known = || match (steered(&config, target), origin(&config, target)) {
        (Ok(name), _) => Some(Released::Name(name)),
        (_, Ok(origin)) => Some(Released::Origin(origin)),
        _ => None,
    };
    standing.or_else(known).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, format!("`{target}` is neither a steered name nor an origin"))
            .help("`failoverd status` lists the orders in force")
    })
}

fn no_such_name(config: &Config, text: &str) -> Refusal {
    let names: Vec<String> = config.steers.iter().map(|steer| steer.name.to_host()).collect();
    Refusal::new(StatusCode::NOT_FOUND, format!("`{text}` is not a steered name"))
        .help(there_are("steered names", &names))
}

/// `there are: a, b, c, … (40 in all)`.
fn there_are(kind: &str, names: &[String]) -> String {
    const SHOWN: usize = 10;
    match names.len() {
        0 => format!("the configuration has no {kind}"),
        all if all > SHOWN => format!("{kind} are: {}, … ({all} in all)", names[..SHOWN].join(", ")),
        _ => format!("{kind} are: {}", names.join(", ")),
    }
}
