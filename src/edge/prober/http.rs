//! The HTTP exchange of a probe: one request, one response, no redirect followed, and no more of the body than is judged:
//! a download behind the path cannot make a probe expensive.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT,
};
use hyper::rt::Executor;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;

use super::tls;
use crate::config::Web;
use crate::probe::TroubleKind;
use crate::probe::detail::{HEADER_MAX, HEADERS};
use crate::probe::judge::BODY_MAX;

/// What probes call themselves.
const AGENT: &str = concat!("failoverd/", env!("CARGO_PKG_VERSION"));

/// The request of a probe: what `web` says, of `host`. The check's own headers go before ours.
///
/// # Errors
/// If path or headers cannot be sent as HTTP.
pub(super) fn request(host: &str, web: &Web) -> Result<Request<Full<Bytes>>, TroubleKind> {
    let Web { method, path, headers, send, http2 } = web;
    let unsendable = |what: &str| TroubleKind::Protocol(format!("the check's {what} cannot be sent"));
    let mut own = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable(&format!("header `{name}`")))?;
        let value = HeaderValue::from_str(value).map_err(|_| unsendable(&format!("header `{name}`")))?;
        own.append(name, value);
    }
    let bracketed = host.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
    let host = bracketed.as_deref().unwrap_or(host);
    own.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    let mut request = Request::new(Full::from(send.clone()));
    *request.method_mut() = method.parse::<Method>().map_err(|_| unsendable("method"))?;
    let uri = if *http2 {
        // The host is a part of it there, and the connection none of the request's business (RFC 9113 §8.2.2, §8.3.1).
        format!("https://{host}{path}")
    } else {
        let host = HeaderValue::from_str(host).map_err(|_| unsendable("host"))?;
        own.entry(HOST).or_insert(host);
        own.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
        path.clone()
    };
    *request.uri_mut() = uri.parse::<Uri>().map_err(|_| unsendable(&format!("path `{path}`")))?;
    *request.headers_mut() = own;
    Ok(request)
}

/// Sends `request` over `stream` and waits for the head of the response.
///
/// # Errors
/// What came instead.
pub(super) async fn ask<S>(stream: S, request: Request<Full<Bytes>>, address: IpAddr) -> Result<Reply, TroubleKind>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let told = |error: hyper::Error| trouble(&error, address);
    let (mut sender, connection) = http1::handshake(TokioIo::new(Abrupt(stream))).await.map_err(told)?;
    let mut reply = Reply { connection: Some(Box::pin(connection)), response: None, address, tasks: Tasks::default() };
    reply.response = Some(reply.beside(sender.send_request(request)).await.map_err(told)?);
    Ok(reply)
}

/// The same over HTTP/2.
///
/// # Errors
/// What came instead.
pub(super) async fn ask_http2<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    address: IpAddr,
) -> Result<Reply, TroubleKind>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let told = |error: hyper::Error| trouble(&error, address);
    let tasks = Tasks::default();
    let stream = TokioIo::new(Abrupt(stream));
    let (mut sender, connection) = http2::handshake(tasks.clone(), stream).await.map_err(told)?;
    let mut reply = Reply { connection: Some(Box::pin(connection)), response: None, address, tasks };
    reply.response = Some(reply.beside(sender.send_request(request)).await.map_err(told)?);
    Ok(reply)
}

/// What hyper does beside an HTTP/2 connection; it ends with the reply.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }
}

/// A stream whose end is not announced. hyper says goodbye when the response is whole: over TLS with a record of its
/// own, to an origin that was asked to close and has mostly done so. The drop of the socket says it all, see
/// [`super::tcp::close_at_once`].
struct Abrupt<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Abrupt<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, to)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Abrupt<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A response whose body is still on its way, with the connection that brings it.
pub(super) struct Reply {
    /// Works only while it is polled; `None` once it has come to its end.
    connection: Option<Connection>,
    response: Option<Response<Incoming>>,
    address: IpAddr,
    #[expect(dead_code, reason = "held to end with this")]
    tasks: Tasks,
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Reply {
    /// The status code.
    pub(super) fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status().as_u16())
    }

    /// Those of its headers that readiness looks at, cut where they are long.
    pub(super) fn known_headers(&self) -> Vec<(String, String)> {
        let Some(response) = &self.response else { return Vec::new() };
        let kept = HEADERS.into_iter().filter_map(|name| {
            let value = response.headers().get(name)?.as_bytes();
            let value = String::from_utf8_lossy(value.get(..HEADER_MAX).unwrap_or(value));
            Some((name.to_owned(), value.into_owned()))
        });
        kept.collect()
    }

    /// Name and value of every header; names are in lower case.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let headers = self.response.iter().flat_map(|response| response.headers());
        headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect()
    }

    /// Reads the body into `body`, [`BODY_MAX`] bytes at most. What came before an error is kept.
    ///
    /// # Errors
    /// What came instead of its end.
    pub(super) async fn read(&mut self, body: &mut Vec<u8>) -> Result<(), TroubleKind> {
        let Some(response) = self.response.take() else {
            return Ok(());
        };
        let has_length =
            [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|header| response.headers().contains_key(header));
        let mut incoming = response.into_body();
        while body.len() < BODY_MAX {
            match self.beside(next_piece(&mut incoming)).await {
                Ok(Some(piece)) => {
                    let room = BODY_MAX - body.len();
                    body.extend_from_slice(&piece[..piece.len().min(room)]);
                }
                Ok(None) => break,
                // A body without length ends with the connection; that many servers then forget TLS's own goodbye
                // is no reason to call them down.
                Err(error) if !has_length && is_early_end(&error) => break,
                Err(error) => return Err(trouble(&error, self.address)),
            }
        }
        Ok(())
    }

    /// Runs `work` and the connection beside it, until `work` is done.
    async fn beside<T>(&mut self, work: impl Future<Output = hyper::Result<T>>) -> hyper::Result<T> {
        let mut work = pin!(work);
        let mut ended = None;
        poll_fn(|context| {
            if let Some(connection) = &mut self.connection
                && let Poll::Ready(end) = connection.as_mut().poll(context)
            {
                self.connection = None;
                ended = end.err();
            }
            // What ended the connection says more than "canceled", which is all that the request hears of it.
            work.as_mut().poll(context).map_err(|error| match ended.take() {
                Some(end) if error.is_canceled() => end,
                _ => error,
            })
        })
        .await
    }
}

/// The next piece of a body; trailers are passed over.
async fn next_piece(incoming: &mut Incoming) -> hyper::Result<Option<Bytes>> {
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// What an error of hyper means.
fn trouble(error: &hyper::Error, address: IpAddr) -> TroubleKind {
    match socket_error(error) {
        Some(below) => tls::trouble(below, address),
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => TroubleKind::Reset,
        None => TroubleKind::Protocol(error.to_string()),
    }
}

/// The connection was closed, as opposed to reset, before the end of the message.
fn is_early_end(error: &hyper::Error) -> bool {
    socket_error(error).is_some_and(|below| below.kind() == io::ErrorKind::UnexpectedEof)
}

/// The error of the stream below that made hyper give up.
fn socket_error(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(below) = cause.downcast_ref() {
            return Some(below);
        }
        source = cause.source();
    }
    None
}
