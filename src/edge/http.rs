//! A router on a listener, bounded: connections, time to the request's head, idle time, time to take a reply.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Sleep, sleep, timeout};

use crate::edge::clock;
use crate::time::Moment;

/// Connections open at once on one listener; more wait in the backlog. Enough for a fleet of dashboards.
const CONNECTIONS: usize = 64;
/// From the opening of a connection, or the last reply on it, to the end of the next request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a client may take nothing of a reply that is ready for it.
const TAKE_TIME: Duration = Duration::from_secs(10);
/// Pause after an `accept` that fails, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Callers connected at once: each says one thing and goes.
pub(crate) const CALLERS: usize = 256;
/// How long one may be there before it has to make room: many who call in the same second are all heard in their turn.
const CALL_ROOM: Duration = Duration::from_secs(1);
/// From the opening of a caller's connection to its end.
const CALL_TIME: Duration = Duration::from_secs(5);
/// How much of what a caller sends beside its request is taken, so that it hears the reply before the end.
const CALL_REST: u64 = 64 * 1024;

/// Serves `routes` until dropped; dropping closes every connection.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        if open.len() >= CONNECTIONS {
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

/// The same for callers of whom nobody is known before he has spoken: one request a connection, all of it within
/// [`CALL_TIME`], and whoever has been there longest makes room for those who wait. `lost` is told of each that had to, and of
/// each that could not be let in: it may have had something to say.
pub(crate) async fn serve_callers(listener: TcpListener, routes: Router, lost: impl Fn()) {
    let mut open = JoinSet::new();
    let mut callers: VecDeque<(Moment, AbortHandle)> = VecDeque::new();
    loop {
        while open.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(trouble) => {
                lost();
                pause(&trouble).await;
                continue;
            }
        };
        while open.try_join_next().is_some() {}
        while open.len() >= CALLERS {
            callers.retain(|(_, caller)| !caller.is_finished());
            let since = callers.front().map_or_else(clock::moment, |&(since, _)| since);
            let left = CALL_ROOM.saturating_sub(clock::moment().since(since));
            if timeout(left, open.join_next()).await.is_err()
                && let Some((_, oldest)) = callers.pop_front()
            {
                lost();
                oldest.abort();
                open.join_next().await;
            }
        }
        callers.push_back((clock::moment(), open.spawn(hear(stream, routes.clone()))));
        if callers.len() > 2 * CALLERS {
            callers.retain(|(_, caller)| !caller.is_finished());
        }
    }
}

async fn pause(trouble: &io::Error) {
    tracing::warn!(%trouble, "cannot accept an HTTP connection");
    sleep(ACCEPT_PAUSE).await;
}

/// One connection to its end; what goes wrong on it is the client's trouble.
async fn converse(stream: TcpStream, routes: Router) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(Taken::within(TAKE_TIME, stream)), TowerToHyperService::new(routes));
    if let Err(trouble) = connection.await {
        tracing::debug!(%trouble, "HTTP connection ended early");
    }
}

/// One call. Closed with something unread, the connection would be reset, and the reply lost with it.
async fn hear(stream: TcpStream, routes: Router) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CALL_TIME)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let call = async {
        let mut stream = connection.without_shutdown().await.ok()?.io.into_inner();
        stream.shutdown().await.ok()?;
        tokio::io::copy(&mut stream.take(CALL_REST), &mut tokio::io::sink()).await.ok()
    };
    if timeout(CALL_TIME, call).await.ok().flatten().is_none() {
        tracing::debug!("a call ended early");
    }
}

/// A stream whose reader has to take what is written within a time, else writing fails.
struct Taken<S> {
    stream: S,
    limit: Duration,
    /// Runs while nothing is taken.
    late: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    fn within(limit: Duration, stream: S) -> Self {
        Self { stream, limit, late: None }
    }

    /// What became of a try to write, or its time.
    fn tried<T>(&mut self, tried: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.late = None;
            return tried;
        }
        let limit = self.limit;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(limit)));
        late.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.tried(tried, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.tried(tried, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(context);
        self.tried(tried, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_shutdown(context);
        self.tried(tried, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_of_a_reply_is_not_waited_for() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Taken::within(Duration::from_millis(50), ours);
        ours.write_all(&[7; 16]).await.unwrap();
        assert_eq!(theirs.read(&mut [0; 16]).await.unwrap(), 16);
        ours.write_all(&[7; 16]).await.unwrap();
        assert_eq!(ours.write_all(&[7; 16]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
