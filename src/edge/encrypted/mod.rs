//! DNS over TLS, HTTPS and QUIC (RFC 7858, 8484, 9250): the same answers, on connections that nobody can read along.
//!
//! ```text
//!  tls://    our stream loop ─ rustls ────────┐
//!  https://  tokio ─ rustls ─ hyper ──────────┼─► read, reach, answer ─► counters
//!  quic://   tokio ─ quinn ───────────────────┘
//! ```
//!
//! Why not hickory-server's listeners (0.26.3): its HTTPS knows no GET and sends no `Cache-Control`; it bounds neither
//! connections nor streams; one slow handshake holds up its accept loop, and one ECONNABORTED ends it for good; and its
//! `ResponseHandler` takes records, never the bytes our engine has written. hyper and quinn are the transports beneath
//! it anyway.
//!
//! Why threads of their own: a handshake costs as much as a thousand answers over UDP. All connections of HTTPS and
//! QUIC are tasks of one runtime on one thread, those of TLS live on another, and both give way to the answering threads
//! of UDP and TCP (the lowest priority): a flood of handshakes takes what CPU is left over, hardly more, and not more than
//! two cores.

pub mod certificate; // shown to clients, renewed while in use
mod doh; //             DNS over HTTPS
mod doq; //             DNS over QUIC
mod freshness; //       how long a reply may be kept
mod room; //            how many connections, and how much memory each

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::certificate::Certificates;
use self::room::Room;
use super::bind::{self, BindError};
use super::nameserver::{Ear, Worker};
use super::shelf::SocketTally;
use super::tcp::{self, Share};
use crate::answer::{Client, Defect, Disposition, answer, reach, read};
use crate::config::{Encrypted, EncryptedListen, Scheme, Streams, Tls};

/// How long connections have to end at a stop.
const GRACE: Duration = Duration::from_secs(1);
/// Queries of one connection under way at once: what browsers and resolvers expect at least (RFC 9113 §6.5.2).
const STREAMS: u32 = 100;
/// Pause after an `accept` that fails, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How soon a listener that ended begins anew.
const AGAIN: Duration = Duration::from_secs(1);
/// How late the count of open connections may be.
const LATE: Duration = Duration::from_secs(1);
/// The lowest priority: where UDP and TCP want all of a core, these threads get a sixtieth of it, and what they leave.
const NICE: i32 = 19;

/// Sockets that are ours, and answer nothing yet.
#[derive(Debug)]
pub struct Bound {
    /// As asked for, with the port that was drawn where it was 0.
    pub(super) listen: Vec<EncryptedListen>,
    tls: Tls,
    certificates: Arc<Certificates>,
    sockets: Vec<Socket>,
}

#[derive(Debug)]
enum Socket {
    Tls(TcpListener),
    Https(TcpListener),
    Quic(UdpSocket),
}

/// The work of a thread, before it knows its desk and how many connections there are descriptors for.
type Serve = Box<dyn FnOnce(Worker, usize) + Send>;

impl Bound {
    /// Binds every address of `encrypted`, which shows `certificates`.
    ///
    /// # Errors
    /// The first address that cannot be had; nothing is left listening.
    pub fn bind(encrypted: &Encrypted, certificates: Arc<Certificates>) -> Result<Option<Self>, BindError> {
        let Some(tls) = encrypted.tls.clone() else { return Ok(None) };
        let mut bound = Self { listen: Vec::new(), tls, certificates, sockets: Vec::new() };
        for listen in &encrypted.listen {
            let (address, socket) = match listen.scheme {
                Scheme::Tls => bind::listener(listen.address).map(|(at, socket)| (at, Socket::Tls(socket)))?,
                Scheme::Https => bind::listener(listen.address).map(|(at, socket)| (at, Socket::Https(socket)))?,
                Scheme::Quic => bind::datagrams(listen.address).map(|(at, socket)| (at, Socket::Quic(socket)))?,
            };
            bound.listen.push(EncryptedListen { address, ..*listen });
            bound.sockets.push(socket);
        }
        Ok((!bound.sockets.is_empty()).then_some(bound))
    }

    /// The threads that serve all this, by name.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(super) fn parts(self) -> io::Result<Vec<(&'static str, Serve)>> {
        let mut parts: Vec<(&'static str, Serve)> = Vec::new();
        let (over_tls, others): (Vec<_>, Vec<_>) =
            self.sockets.into_iter().partition(|socket| matches!(socket, Socket::Tls(_)));
        let listeners: Vec<_> = over_tls.into_iter().filter_map(Socket::into_listener).collect();
        if !listeners.is_empty() {
            let tls = Arc::new(config(Scheme::Tls, &self.certificates)?);
            let serve = move |worker, affordable| {
                give_way();
                tcp::serve(listeners, Some(tls), Share::alone(affordable), worker);
            };
            parts.push(("tls", Box::new(serve)));
        }
        if !others.is_empty() {
            let https = Arc::new(config(Scheme::Https, &self.certificates)?);
            let quic = config(Scheme::Quic, &self.certificates)?;
            let path = self.tls.https_path.into();
            let serve = move |worker, affordable| {
                give_way();
                if let Err(error) = serve(others, https, quic, path, worker, affordable) {
                    tracing::error!(%error, "HTTPS and QUIC cannot be set up; nobody answers there");
                }
            };
            parts.push(("encrypted", Box::new(serve)));
        }
        Ok(parts)
    }
}

impl Socket {
    fn into_listener(self) -> Option<TcpListener> {
        match self {
            Self::Tls(listener) | Self::Https(listener) => Some(listener),
            Self::Quic(_) => None,
        }
    }
}

/// This thread gives way to those that answer over UDP and TCP. On Linux "process 0" is the calling thread.
/// Without the permission it works all the same.
fn give_way() {
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// Serves HTTPS and QUIC until the bell rings.
fn serve(
    sockets: Vec<Socket>,
    https: Arc<ServerConfig>,
    quic: ServerConfig,
    path: Arc<str>,
    worker: Worker,
    affordable: usize,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let quic = doq::config(quic, worker.reader.load().answering.streams.idle)?;
    let ear = worker.ear.clone();
    let engine = Arc::new(Engine(Mutex::new(worker)));
    let (stop, stopping) = watch::channel(false);
    let rooms = [Room::new(affordable), Room::new(affordable)];
    let shared =
        |room: &Arc<Room>| Shared { engine: Arc::clone(&engine), room: Arc::clone(room), stopping: stopping.clone() };
    let trouble = || {
        let engine = Arc::clone(&engine);
        move || engine.count(|sockets| sockets.trouble += 1)
    };
    let mut listeners = JoinSet::new();
    let inside = runtime.enter();
    for socket in sockets {
        match socket {
            Socket::Https(listener) => {
                let (https, path, shared) = (Arc::clone(&https), Arc::clone(&path), shared(&rooms[0]));
                let begin = move || {
                    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
                    let site = doh::Site::new(Arc::clone(&https), Arc::clone(&path), shared.clone());
                    Ok(doh::serve(listener, site))
                };
                listeners.spawn_on(kept("HTTPS", AGAIN, begin, trouble(), stopping.clone()), runtime.handle());
            }
            Socket::Quic(socket) => {
                let (quic, shared) = (quic.clone(), shared(&rooms[1]));
                let begin = move || Ok(doq::serve(doq::endpoint(socket.try_clone()?, quic.clone())?, shared.clone()));
                listeners.spawn_on(kept("QUIC", AGAIN, begin, trouble(), stopping.clone()), runtime.handle());
            }
            // Has a thread of its own.
            Socket::Tls(_) => {}
        }
    }
    drop(inside);
    runtime.block_on(run(listeners, &rooms, &engine, ear, stop));
    runtime.shutdown_background();
    Ok(())
}

/// Runs a listener until told to stop: one that cannot begin, breaks down or ends before is told and counted, and begins
/// anew after `pause`.
async fn kept<F>(
    what: &str,
    pause: Duration,
    mut begin: impl FnMut() -> io::Result<F>,
    trouble: impl Fn(),
    mut stopping: watch::Receiver<bool>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        let begun = begin().map(|listener| drop(running.spawn(listener)));
        let ended = tokio::select! {
            biased;
            _ = stopping.wait_for(|&stop| stop) => break,
            ended = running.join_next() => ended,
        };
        match (begun, ended) {
            (Err(error), _) => tracing::error!(%error, "{what} cannot listen; it is tried again"),
            (_, Some(Err(error))) => {
                tracing::error!(%error, "a listener of {what} broke down; this is a defect of failoverd. It begins anew");
            }
            _ => tracing::error!("a listener of {what} ended. It begins anew"),
        }
        trouble();
        tokio::select! {
            _ = stopping.wait_for(|&stop| stop) => break,
            () = sleep(pause) => {}
        }
    }
    // Frees the socket before the connections have ended.
    drop(begin);
    while running.join_next().await.is_some() {}
}

/// Runs the listeners until the bell rings.
async fn run(mut listeners: JoinSet<()>, rooms: &[Arc<Room>], engine: &Engine, ear: Ear, stop: watch::Sender<bool>) {
    let open = || rooms.iter().map(|room| room.count() as u64).sum();
    let mut rung = std::pin::pin!(rung(ear));
    loop {
        tokio::select! {
            biased;
            () = &mut rung => break,
            Some(ended) = listeners.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a listener broke down; this is a defect of failoverd");
                }
            }
            () = sleep(LATE) => {
                engine.count(|sockets| sockets.open = open());
                engine.put();
            }
        }
    }
    stop.send_replace(true);
    let _ = timeout(GRACE, async { while listeners.join_next().await.is_some() {} }).await;
    engine.count(|sockets| sockets.open = 0);
    engine.put();
}

/// Ends when the bell rings.
async fn rung(ear: Ear) {
    let line = ear.line.try_clone().and_then(|line| {
        line.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(line)
    });
    match line {
        Ok(line) => drop(line.readable().await),
        Err(error) => tracing::error!(%error, "encrypted transports end: they could not be ended later"),
    }
}

/// TLS as `scheme` wants it, without early data: a query that somebody repeats for us is one more answer for them to
/// look at.
fn config(scheme: Scheme, certificates: &Arc<Certificates>) -> io::Result<ServerConfig> {
    let versions = if scheme == Scheme::Quic { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificates) as Arc<dyn rustls::server::ResolvesServerCert>);
    // Tickets that only we can read: sessions come back without our remembering them.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(io::Error::other)?;
    let names: &[&[u8]] = match scheme {
        // RFC 7858 §3.1 asks for none; clients that name one name this (RFC 8310 §8 leaves it to them).
        Scheme::Tls => &[b"dot"],
        Scheme::Https => &[b"h2", b"http/1.1"],
        Scheme::Quic => &[b"doq"],
    };
    config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// What the connections of one listener share.
#[derive(Clone)]
struct Shared {
    engine: Arc<Engine>,
    room: Arc<Room>,
    stopping: watch::Receiver<bool>,
}

/// The one desk of this thread. Its lock is never waited for: all tasks run on the one thread.
struct Engine(Mutex<Worker>);

/// What became of a message.
enum Answered {
    Reply(Vec<u8>),
    /// We have nothing to say about that name at this moment.
    Silent,
    /// It is itself a reply, or too short for a query.
    NoQuery,
}

impl Engine {
    /// Answers one message.
    fn answer(&self, query: &[u8], client: &Client) -> Answered {
        let mut worker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answered = Answered::Silent;
        worker.batch(|worker, snapshot| {
            let ask = read(query);
            reach(snapshot, slice::from_ref(&ask));
            answered = match answer(query, &ask, client, snapshot, &mut worker.desk, &mut worker.reply) {
                Disposition::Send => Answered::Reply(worker.reply.bytes().to_vec()),
                Disposition::Drop if ask.defect == Some(Defect::Unanswerable) => Answered::NoQuery,
                Disposition::Drop => Answered::Silent,
            };
        });
        put(&worker);
        answered
    }

    /// The limits in force.
    fn limits(&self) -> Streams {
        let worker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        worker.reader.load().answering.streams.clone()
    }

    /// Counts what happened at a socket.
    fn count(&self, count: impl FnOnce(&mut SocketTally)) {
        let mut worker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut worker.sockets);
    }

    fn put(&self) {
        put(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn put(worker: &Worker) {
    worker.shelf.put(&worker.desk.tally, &worker.sockets);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_listener_that_ends_is_counted_and_begins_anew_until_the_stop() {
        let (begun, trouble) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (stop, stopping) = watch::channel(false);
        let count = {
            let trouble = Arc::clone(&trouble);
            move || {
                trouble.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (begins, told) = (Arc::clone(&begun), stopping.clone());
        let stop = Arc::new(stop);
        let begin = move || {
            let number = begins.fetch_add(1, Ordering::Relaxed);
            if number == 0 {
                return Err(io::Error::other("as meant by this test"));
            }
            let (stop, mut told) = (Arc::clone(&stop), told.clone());
            Ok(async move {
                assert!(number != 1, "as meant by this test");
                if number == 3 {
                    stop.send_replace(true);
                    let _ = told.wait_for(|&stop| stop).await;
                }
            })
        };
        kept("a transport", Duration::ZERO, begin, count, stopping).await;
        assert_eq!((begun.load(Ordering::Relaxed), trouble.load(Ordering::Relaxed)), (4, 3));
    }
}
