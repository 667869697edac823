//! What machines read, on `[admin] ops_listen` and without a token: `/metrics`, `/livez`, `/readyz`.

pub mod classic; // the text format of before OpenMetrics
pub mod figures; // snapshot, figures and counters as metrics
pub mod turns; //   turns counted from the journal

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::control::Figures;
use crate::edge::handle::Handle;
use crate::edge::{clock, http};
use crate::time::Now;

/// The control loop answers within this, or the daemon is not alive.
const ALIVE_TIME: Duration = Duration::from_secs(1);
/// What all of a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(10);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters of the nameserver: rows of name, label and count.
pub type Queries = Arc<dyn Fn() -> Vec<(&'static str, &'static str, u64)> + Send + Sync>;

/// Serves `/metrics`, `/livez` and `/readyz` until dropped.
pub async fn serve(listener: TcpListener, handle: Handle, queries: Queries) {
    let mut counted = Registry::with_prefix("failoverd");
    let turns = turns::Turns::registered(&mut counted);
    let ops = Ops { handle: handle.clone(), queries, counted: Arc::new(counted), started: clock::now() };
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(|| async { (StatusCode::NOT_FOUND, "here are /metrics, /livez and /readyz\n") })
        .layer(middleware::from_fn(|request, next: middleware::Next| async move {
            let late = (StatusCode::GATEWAY_TIMEOUT, "no answer within 10 s\n");
            timeout(REQUEST_TIME, next.run(request)).await.unwrap_or_else(|_| late.into_response())
        }))
        .with_state(ops);
    tokio::join!(http::serve(listener, routes), turns.follow(handle));
}

#[derive(Clone)]
struct Ops {
    handle: Handle,
    queries: Queries,
    /// Metrics that count over time; all others are made at each scrape.
    counted: Arc<Registry>,
    started: Now,
}

/// 200 while the control loop answers.
async fn livez(State(ops): State<Ops>) -> Response {
    liveness(timeout(ALIVE_TIME, ops.handle.figures()).await.ok()).into_response()
}

/// What the control loop said: nothing in time, that it is gone, or its figures.
fn liveness(said: Option<Option<Figures>>) -> (StatusCode, &'static str) {
    match said {
        Some(Some(_)) => (StatusCode::OK, "alive\n"),
        Some(None) => (StatusCode::SERVICE_UNAVAILABLE, "the control loop is gone\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the control loop does not answer within 1 s\n"),
    }
}

/// 200 while this node is fit to be asked, degraded or not; the reasons are in the body, one a line.
async fn readyz(State(ops): State<Ops>) -> Response {
    let readiness = ops.handle.readiness();
    let (status, word) = match (readiness.ready, readiness.degraded.is_empty()) {
        (true, true) => (StatusCode::OK, "ready"),
        (true, false) => (StatusCode::OK, "ready, degraded"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let mut body = format!("{word}\n");
    for reason in &readiness.degraded {
        let _ = writeln!(body, "{reason}");
    }
    (status, body).into_response()
}

/// OpenMetrics to who asks for it, else the classic text format.
async fn metrics(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    let figures = timeout(ALIVE_TIME, ops.handle.figures()).await.ok().flatten();
    let mut now = Registry::with_prefix("failoverd");
    now.register_collector(Box::new(figures::Scrape {
        snapshot: ops.handle.snapshot(),
        config: ops.handle.config(),
        readiness: ops.handle.readiness(),
        figures,
        queries: (ops.queries)().into_iter().chain(ops.handle.counted()).collect(),
        certificate_ends: ops.handle.certificate_ends(),
        started: ops.started,
        now: clock::now(),
    }));
    let mut body = String::new();
    let written = text::encode_registry(&mut body, &now)
        .and_then(|()| text::encode_registry(&mut body, &ops.counted))
        .and_then(|()| text::encode_eof(&mut body));
    if written.is_err() {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n").into_response();
    }
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/openmetrics-text") {
        ([(header::CONTENT_TYPE, OPENMETRICS)], body).into_response()
    } else {
        ([(header::CONTENT_TYPE, CLASSIC)], classic::from_openmetrics(&body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_alive_only_while_the_control_loop_answers() {
        assert_eq!(liveness(Some(Some(Figures::default()))).0, StatusCode::OK);
        assert_eq!(liveness(Some(None)).0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(liveness(None).0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
