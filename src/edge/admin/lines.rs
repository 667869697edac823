//! The journal as a body of lines that may go on: one JSON object a line, and an empty line now and then while
//! nothing happens, so that a client that is gone is noticed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::control::journal::Entry;
use crate::edge::admin::show;
use crate::edge::handle::Handle;

/// Entries read at once while following.
const BATCH: usize = 256;
/// Silence after which an empty line is sent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One JSON object a line.
pub(super) fn lines(entries: Vec<Entry>) -> Bytes {
    let mut text = Vec::new();
    for entry in entries {
        if serde_json::to_writer(&mut text, &show::event(entry)).is_ok() {
            text.push(b'\n');
        }
    }
    text.into()
}

/// Where a follower stands in the journal.
struct Place {
    handle: Handle,
    committed: watch::Receiver<u64>,
    /// The last sequence number sent.
    sent: u64,
}

impl Place {
    /// The next lines, or an empty one after a while; `None` once the daemon stops.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            self.committed.borrow_and_update();
            let entries = self.handle.entries(self.sent, BATCH).await;
            if let Some(last) = entries.last() {
                self.sent = last.sequence;
                return Some((lines(entries), self));
            }
            match timeout(HEARTBEAT, self.committed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Bytes::from_static(b"\n"), self)),
            }
        }
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Place)>> + Send>>;

/// `first`, then everything committed after `sent`, until the client leaves.
pub(super) fn follow(handle: Handle, first: Bytes, sent: u64) -> Body {
    let committed = handle.committed();
    let place = Place { handle, committed, sent };
    let first = if first.is_empty() { Bytes::from_static(b"\n") } else { first };
    Body::new(Following { next: Box::pin(async move { Some((first, place)) }) })
}

struct Following {
    next: Next,
}

impl HttpBody for Following {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.next.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.next = Box::pin(async { None });
                Poll::Ready(None)
            }
            Poll::Ready(Some((lines, place))) => {
                self.next = Box::pin(place.next());
                Poll::Ready(Some(Ok(Frame::data(lines))))
            }
        }
    }
}
