//! DNS over HTTPS (RFC 8484): GET, HEAD and POST, over HTTP/2 and HTTP/1.1, with the freshness that HTTP caches need.
//!
//! | asked | answered |
//! |---|---|
//! | a query that can be answered, whatever its rcode | 200 |
//! | no `dns` parameter, bad base64url, no query in it | 400 |
//! | another path | 404 |
//! | none of GET, HEAD and POST | 405 |
//! | a body that does not arrive | 408 |
//! | more than 65,535 bytes | 413 |
//! | a body that is not `application/dns-message` | 415 |
//! | a name about which we have nothing to say yet, too much at once | 503 |

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::room::{Hold, Owed, Place};
use super::{ACCEPT_PAUSE, Answered, GRACE, STREAMS, Shared, freshness};
use crate::answer::{Client, Transport};
use crate::config::Streams;
use crate::dns::message::MESSAGE_MAX;
use crate::edge::clock;
use crate::edge::tcp::Closed;
use crate::time::Moment;

const DNS_MESSAGE: &str = "application/dns-message";
/// Bytes of a request's head. GET carries its query there: one of some 10,000 bytes, far above any that is sent.
const HEAD_MAX: u32 = 16 * 1024;
/// The most that is read of a body that is refused.
const DISCARDED: usize = 4 * MESSAGE_MAX;
/// Bytes a client may send on a stream, and on all of a connection, before we have taken the first of them.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;

/// What all connections of a listener need.
#[derive(Clone)]
pub(super) struct Site {
    acceptor: TlsAcceptor,
    path: Arc<str>,
    shared: Shared,
}

impl Site {
    pub(super) fn new(config: Arc<ServerConfig>, path: Arc<str>, shared: Shared) -> Self {
        Self { acceptor: TlsAcceptor::from(config), path, shared }
    }
}

/// Answers until told to stop, and then until the connections have ended.
pub(super) async fn serve(listener: TcpListener, site: Site) {
    let mut open = JoinSet::new();
    let mut stopping = site.shared.stopping.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|&stop| stop) => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let limits = site.shared.engine.limits();
                let place = site.shared.room.enter(client, &limits);
                site.shared.engine.count(|sockets| sockets.accepted += 1);
                let (site, engine) = (site.clone(), Arc::clone(&site.shared.engine));
                open.spawn(async move {
                    let why = converse(stream, client, place, limits, site).await;
                    engine.count(|sockets| sockets.closed(why));
                });
            }
            Err(error) => {
                site.shared.engine.count(|sockets| sockets.trouble += 1);
                // Any other was the trouble of one connection that was gone before it was ours: the next one.
                if is_out_of_room(&error) {
                    site.shared.room.evict_one();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// The whole process or system has no room for one more.
fn is_out_of_room(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// One connection.
struct Talk {
    client: Client,
    place: Place,
    limits: Streams,
    site: Site,
    turn: Mutex<Turn>,
}

/// Whose turn it is on a connection of HTTP/1.1. HTTP/2 has many requests at once, and takes no turns.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// No byte of the next request has come.
    Waiting,
    /// The first byte of a head came then.
    Arriving(Moment),
    /// The head is whole; its body has a time of its own.
    Answering,
}

/// One connection to its end; what goes wrong on it is the client's trouble.
async fn converse(stream: TcpStream, client: SocketAddr, place: Place, limits: Streams, site: Site) -> Closed {
    let _ = stream.set_nodelay(true);
    let shaken = tokio::select! {
        biased;
        why = place.evicted() => return why,
        shaken = timeout(limits.receive, site.acceptor.accept(stream)) => shaken,
    };
    let Ok(Ok(stream)) = shaken else {
        return Closed::Handshake;
    };
    place.used();
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let client = Client { address: client, transport: Transport::Https };
    let idle = limits.idle;
    let talk = Arc::new(Talk { client, place, limits, site, turn: Mutex::new(Turn::Waiting) });
    let to = Arc::clone(&talk);
    let service = service_fn(move |request| respond(request, Arc::clone(&to)));
    if is_h2 {
        let mut builder = http2::Builder::new(Requests::default());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MESSAGE_MAX);
        talk.attend(builder.serve_connection(TokioIo::new(stream), service), |it| it.graceful_shutdown()).await
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(HEAD_MAX as usize);
        let stream = Heard { stream, talk: Arc::clone(&talk) };
        talk.attend(builder.serve_connection(TokioIo::new(stream), service), |it| it.graceful_shutdown()).await
    }
}

impl Talk {
    /// Runs the connection until it ends, has to make room, has been idle for too long, or is too slow with a request's
    /// head or in taking a reply; why it was closed.
    async fn attend<C, E>(&self, connection: C, end: impl FnOnce(Pin<&mut C>)) -> Closed
    where
        C: Future<Output = Result<(), E>>,
    {
        let mut connection = pin!(connection);
        let mut stopping = self.site.shared.stopping.clone();
        let why = loop {
            let now = clock::moment();
            let idle = self.limits.idle.saturating_sub(now.since(self.place.active()));
            // What begins later, a head or a reply, has at least as much time from now on.
            let send = self.limits.send.saturating_sub(now.since(self.place.owes_since().unwrap_or(now)));
            let receive = self.limits.receive.saturating_sub(now.since(self.arriving_since().unwrap_or(now)));
            if idle.is_zero() {
                break Closed::Idle;
            }
            if receive.is_zero() {
                break Closed::SlowQuery;
            }
            if send.is_zero() {
                break Closed::SlowReply;
            }
            tokio::select! {
                biased;
                why = self.place.evicted() => return why,
                _ = stopping.wait_for(|&stop| stop) => break Closed::Stopped,
                ended = &mut connection => return if ended.is_ok() { Closed::Done } else { Closed::Broken },
                () = sleep(idle.min(receive).min(send)) => {}
            }
        };
        end(connection.as_mut());
        let _ = timeout(GRACE, connection).await;
        why
    }
}

impl Talk {
    fn take_turn(&self, turn: Turn) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// Bytes came: the beginning of a request, unless one is under way.
    fn heard(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*turn, Turn::Waiting) {
            *turn = Turn::Arriving(clock::moment());
        }
    }

    fn arriving_since(&self) -> Option<Moment> {
        match *self.turn.lock().unwrap_or_else(PoisonError::into_inner) {
            Turn::Arriving(since) => Some(since),
            Turn::Waiting | Turn::Answering => None,
        }
    }
}

/// A stream that tells when it was heard. hyper's own timer for heads runs from the end of the request before: it cannot
/// tell who is slow from who is idle.
struct Heard<S> {
    stream: S,
    talk: Arc<Talk>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.talk.heard();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The requests of one HTTP/2 connection as tasks that end with it.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Requests {
    fn execute(&self, request: F) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn(request);
    }
}

/// A reply in memory, counted as long as any part of it waits to be sent.
struct Held {
    reply: Vec<u8>,
    _hold: Hold,
    _owed: Owed,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.reply
    }
}

async fn respond(request: Request<Incoming>, talk: Arc<Talk>) -> Result<Response<Full<Bytes>>, Infallible> {
    talk.place.used();
    talk.take_turn(Turn::Answering);
    let (head, mut body) = request.into_parts();
    let response = match talk.exchange(&head, &mut body).await {
        Ok(response) => response,
        Err(refusal) => {
            if refusal != Refusal::Late {
                let _ = timeout(talk.limits.receive, discard(&mut body)).await;
            }
            refusal.response()
        }
    };
    talk.take_turn(Turn::Waiting);
    Ok(if head.method == Method::HEAD { bodiless(response) } else { response })
}

/// What HEAD is answered: all but the body (RFC 9110 §9.3.2). Over HTTP/2 a client takes one for a broken protocol.
fn bodiless(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Full::default())
}

/// Takes what is left of the body of a request that is refused, unless it is very much: clients that are still sending
/// when the response comes lose it (curl 7.88).
async fn discard(body: &mut Incoming) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        let taken = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(taken) {
            Some(less) => left = less,
            None => return,
        }
    }
}

impl Talk {
    async fn exchange(&self, head: &Parts, body: &mut Incoming) -> Result<Response<Full<Bytes>>, Refusal> {
        let mut hold = self.place.hold();
        let query = match (head.uri.path() == &*self.site.path, &head.method) {
            (false, _) => return Err(Refusal::Path),
            (true, &Method::GET | &Method::HEAD) => from_parameter(head.uri.query(), &mut hold)?,
            (true, &Method::POST) => {
                announced(&head.headers)?;
                let arrival = timeout(self.limits.receive, from_body(body, &mut hold));
                arrival.await.map_err(|_| Refusal::Late)??
            }
            _ => return Err(Refusal::Method),
        };
        let reply = match self.site.shared.engine.answer(&query, &self.client) {
            Answered::Reply(reply) => reply,
            Answered::Silent => return Err(Refusal::Silent),
            Answered::NoQuery => return Err(Refusal::NoQuery),
        };
        if !hold.grow(reply.len()) {
            return Err(Refusal::Memory);
        }
        let cache = match freshness::of(&reply) {
            Some(seconds) => HeaderValue::try_from(format!("max-age={seconds}")),
            None => Ok(HeaderValue::from_static("no-store")),
        };
        let mut response =
            Response::new(Full::new(Bytes::from_owner(Held { reply, _hold: hold, _owed: self.place.owe() })));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(DNS_MESSAGE));
        if let Ok(cache) = cache {
            response.headers_mut().insert(CACHE_CONTROL, cache);
        }
        Ok(response)
    }
}

/// The query of a GET (RFC 8484 §4.1): base64url without padding.
fn from_parameter(parameters: Option<&str>, hold: &mut Hold) -> Result<Vec<u8>, Refusal> {
    let text = parameters.unwrap_or_default().split('&').find_map(|one| one.strip_prefix("dns="));
    let text = text.ok_or(Refusal::Parameter)?;
    if text.len() > MESSAGE_MAX.div_ceil(3) * 4 {
        return Err(Refusal::TooLarge);
    }
    if !hold.grow(text.len()) {
        return Err(Refusal::Memory);
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Base64)
}

/// What the head of a POST says of its body.
fn announced(headers: &HeaderMap) -> Result<(), Refusal> {
    let of_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let of_type = of_type.split(';').next().unwrap_or_default().trim();
    if !of_type.eq_ignore_ascii_case(DNS_MESSAGE) {
        return Err(Refusal::Type);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MESSAGE_MAX as u64) { Err(Refusal::TooLarge) } else { Ok(()) }
}

/// The query of a POST.
async fn from_body(body: &mut Incoming, hold: &mut Hold) -> Result<Vec<u8>, Refusal> {
    let mut query = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Late)?.into_data() else { continue };
        if query.len() + data.len() > MESSAGE_MAX {
            return Err(Refusal::TooLarge);
        }
        if !hold.grow(data.len()) {
            return Err(Refusal::Memory);
        }
        query.extend_from_slice(&data);
    }
    Ok(query)
}

/// Why a request gets no DNS message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Path,
    Method,
    Parameter,
    Base64,
    NoQuery,
    Late,
    TooLarge,
    Type,
    Silent,
    Memory,
}

impl Refusal {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, why) = match self {
            Self::Path => (StatusCode::NOT_FOUND, "DNS is not asked for here\n"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "DNS is asked for with GET, HEAD or POST\n"),
            Self::Parameter => (StatusCode::BAD_REQUEST, "there is no parameter `dns`\n"),
            Self::Base64 => (StatusCode::BAD_REQUEST, "`dns` is not base64url without padding\n"),
            Self::NoQuery => (StatusCode::BAD_REQUEST, "that is no DNS query\n"),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "the query did not arrive\n"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "a DNS message has at most 65535 bytes\n"),
            Self::Type => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "a query is `application/dns-message`\n"),
            Self::Silent => (StatusCode::SERVICE_UNAVAILABLE, "there is no answer yet\n"),
            Self::Memory => (StatusCode::SERVICE_UNAVAILABLE, "too much at once on this connection\n"),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(why.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"))),
            Self::Silent | Self::Memory => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        response
    }
}
