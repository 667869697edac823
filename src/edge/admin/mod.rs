//! The HTTP API: what people, the command line and the dashboard ask and order.
//!
//! | route | does | reply |
//! |---|---|---|
//! | `GET /v1/status` | the node at a glance | [`view::Status`] |
//! | `GET /v1/explain/NAME` | one steered name through the six words | [`view::Explain`] |
//! | `GET /v1/figures` | last probe and next probe of every watch | [`view::Figures`] |
//! | `GET /v1/events?after=&limit=&follow=` | committed journal entries, one JSON object a line | [`view::Event`] |
//! | `POST /v1/hold` | hold a name on a rung ([`view::Hold`]) | [`view::Done`] |
//! | `POST /v1/drain` | serve an origin nowhere ([`view::Drain`]) | [`view::Done`] |
//! | `POST /v1/release` | end the order on a name or origin ([`view::Release`]) | [`view::Done`] |
//! | `POST /v1/failback` | approve a failback that waits ([`view::Failback`]) | [`view::Done`] |
//! | `POST /v1/reload` | read the files again ([`view::Reload`]) | [`view::Reloaded`] |
//! | `POST /v1/probe` | probe now, beside the schedule ([`view::ProbeNow`]) | [`view::Probed`] |
//!
//! Every request carries `Authorization: Bearer TOKEN`; the token's name is the actor. What is not 2xx carries
//! [`view::Failure`]. Reads come from the snapshot that DNS serves; writes become events of the control loop.

#[cfg(test)]
pub(crate) mod fixture; // a hand-made snapshot
pub mod gate; //  who may ask: Host header, token, time
pub mod lines; // the journal as a body of lines that may go on
pub mod refusal; // what is not done, as a reply
pub mod routes; // one function per route
pub mod show; //  from a snapshot to the views
pub mod view; //  the shapes of the JSON
pub mod words; // words for spans, times, rungs, reasons

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use crate::edge::handle::Handle;
use crate::edge::{clock, http};

/// Serves the API until dropped. `tokens` are pairs of actor and secret.
pub async fn serve(listener: TcpListener, handle: Handle, tokens: Vec<(String, String)>) {
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let gate = Arc::new(gate::Gate::new(&tokens, loopback));
    http::serve(listener, router(routes::Api { handle, started: clock::now() }, gate)).await;
}

fn router(api: routes::Api, gate: Arc<gate::Gate>) -> Router {
    gate::guarded(routes::routes(api), gate)
}
