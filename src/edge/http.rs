//! A router on a listener, bounded: connections, time to the request's head, idle time.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections open at once on one listener; more wait in the backlog. Enough for a fleet of dashboards.
const CONNECTIONS: usize = 64;
/// From the opening of a connection, or the last reply on it, to the end of the next request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Pause after an `accept` that fails, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` until dropped; dropping closes every connection.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    serve_at_most(CONNECTIONS, listener, routes).await;
}

/// The same, with so many connections open at once.
pub(crate) async fn serve_at_most(connections: usize, listener: TcpListener, routes: Router) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        if open.len() >= connections {
            open.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                open.spawn(converse(stream, routes.clone()));
            }
            Err(trouble) => pause(&trouble).await,
        }
    }
}

async fn pause(trouble: &io::Error) {
    tracing::warn!(%trouble, "cannot accept an HTTP connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// One connection to its end; what goes wrong on it is the client's trouble.
async fn converse(stream: TcpStream, routes: Router) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(trouble) = connection.await {
        tracing::debug!(%trouble, "HTTP connection ended early");
    }
}
