//! DNS over QUIC (RFC 9250): one query and its reply on each stream.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream, VarInt};
use rustls::ServerConfig;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::room::{Hold, Place};
use super::{Answered, GRACE, STREAMS, Shared};
use crate::answer::{Client, Transport, read};
use crate::config::Streams;
use crate::dns::message::MESSAGE_MAX;
use crate::edge::clock;
use crate::edge::tcp::Closed;

/// With so many handshakes under way, a client has to prove first that it is where it says (RFC 9000 §8.1.2).
const UNPROVEN: usize = 64;
/// Handshakes that may wait to be taken up, and bytes that may wait with each and with all.
const WAITING: usize = 512;
const WAITING_BYTES: u64 = 16 * 1024;
const WAITING_BYTES_OF_ALL: u64 = 4 * 1024 * 1024;
/// Bytes under way on a stream: one message and its length; on a connection, either way: two of them.
const STREAM_WINDOW: u32 = 2 + MESSAGE_MAX as u32;
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;
/// The length that goes before each message (RFC 9250 §4.2).
const PREFIX: usize = 2;
/// RFC 7828; not to be sent over QUIC (RFC 9250 §5.5.2).
const TCP_KEEPALIVE: u16 = 11;

/// Error codes (RFC 9250 §4.3).
const NO_ERROR: VarInt = VarInt::from_u32(0x0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(0x1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(0x2);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x4);
const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(0x5);

/// QUIC as DNS needs it; `idle` is told to clients.
pub(super) fn config(tls: ServerConfig, idle: Duration) -> io::Result<quinn::ServerConfig> {
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .datagram_receive_buffer_size(None);
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(WAITING)
        .incoming_buffer_size(WAITING_BYTES)
        .incoming_buffer_size_total(WAITING_BYTES_OF_ALL);
    Ok(config)
}

/// QUIC on a socket. Needs the runtime it will run on.
pub(super) fn endpoint(socket: UdpSocket, config: quinn::ServerConfig) -> io::Result<Endpoint> {
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(quinn::TokioRuntime))
}

/// Answers until told to stop, and then until the connections have heard of it.
pub(super) async fn serve(endpoint: Endpoint, shared: Shared) {
    let mut open = JoinSet::new();
    let mut stopping = shared.stopping.clone();
    let shaking = Arc::new(AtomicUsize::new(0));
    loop {
        let incoming = tokio::select! {
            biased;
            _ = stopping.wait_for(|&stop| stop) => break,
            Some(_) = open.join_next() => continue,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let is_proven = incoming.remote_address_validated();
        if !is_proven && shaking.load(Ordering::Relaxed) >= UNPROVEN {
            // Fails only where it was asked to prove it before.
            let _ = incoming.retry();
            continue;
        }
        let limits = shared.engine.limits();
        let place = shared.room.enter(incoming.remote_address(), &limits);
        shared.engine.count(|sockets| sockets.accepted += 1);
        let (shake, shared) = (Shake::begin(&shaking), shared.clone());
        open.spawn(async move {
            let why = converse(incoming, &place, shake, limits, &shared).await;
            shared.engine.count(|sockets| sockets.closed(why));
        });
    }
    endpoint.close(NO_ERROR, b"");
    let _ = timeout(GRACE, endpoint.wait_idle()).await;
}

/// A handshake under way.
struct Shake(Arc<AtomicUsize>);

impl Shake {
    fn begin(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Shake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection to its end; why it was closed.
async fn converse(incoming: Incoming, place: &Place, shake: Shake, limits: Streams, shared: &Shared) -> Closed {
    let shaken = tokio::select! {
        biased;
        why = place.evicted() => return why,
        shaken = timeout(limits.receive, async { incoming.accept()?.await }) => shaken,
    };
    drop(shake);
    let Ok(Ok(connection)) = shaken else {
        return Closed::Handshake;
    };
    place.used();
    let (why, code, words) = attend(&connection, place, &limits, shared).await;
    connection.close(code, words);
    why
}

/// Answers until the connection is to be closed: why, and what the client is told.
async fn attend(
    connection: &Connection,
    place: &Place,
    limits: &Streams,
    shared: &Shared,
) -> (Closed, VarInt, &'static [u8]) {
    let mut streams = JoinSet::new();
    loop {
        let left = limits.idle.saturating_sub(clock::moment().since(place.active()));
        if left.is_zero() {
            return (Closed::Idle, NO_ERROR, b"idle");
        }
        tokio::select! {
            biased;
            why = place.evicted() => return (why, EXCESSIVE_LOAD, b"too many connections"),
            Some(ended) = streams.join_next() => {
                if let Ok(Err(Misuse(what))) = ended {
                    return (Closed::Malformed, PROTOCOL_ERROR, what);
                }
            }
            stream = connection.accept_bi() => {
                let Ok((send, receive)) = stream else {
                    return (Closed::Done, NO_ERROR, b"");
                };
                place.used();
                // Paths change; who asks is whoever is there now.
                let client = Client { address: connection.remote_address(), transport: Transport::Quic };
                let stream = Exchange { send, receive, hold: place.hold(), limits: limits.clone() };
                streams.spawn(stream.run(client, shared.clone()));
            }
            () = sleep(left) => {}
        }
    }
}

/// The client breaks the protocol: the whole connection is to be closed (RFC 9250 §4.3.3).
#[derive(PartialEq, Eq, Debug)]
struct Misuse(&'static [u8]);

/// Why a stream gets no reply.
#[derive(PartialEq, Eq, Debug)]
enum Missing {
    /// The client has taken the query back, or is gone.
    Cancelled,
    /// It would take more memory than the connection may have.
    Memory,
    /// The query did not arrive in time, or the reply was not taken.
    Late,
    /// We have nothing to say about that name at this moment.
    Silent,
    Misuse(Misuse),
}

/// One query and its reply.
struct Exchange {
    send: SendStream,
    receive: RecvStream,
    hold: Hold,
    limits: Streams,
}

impl Exchange {
    /// A stream that is dropped looks as if all was said: what ends otherwise is reset.
    async fn run(mut self, client: Client, shared: Shared) -> Result<(), Misuse> {
        let missing = match self.answer(client, &shared).await {
            Ok(()) => return Ok(()),
            Err(missing) => missing,
        };
        let code = match missing {
            Missing::Cancelled => NO_ERROR,
            Missing::Memory => EXCESSIVE_LOAD,
            Missing::Late => UNSPECIFIED_ERROR,
            Missing::Silent => INTERNAL_ERROR,
            Missing::Misuse(_) => PROTOCOL_ERROR,
        };
        // Either may be closed already.
        let _ = self.receive.stop(code);
        let _ = self.send.reset(code);
        if let Missing::Misuse(misuse) = missing { Err(misuse) } else { Ok(()) }
    }

    async fn answer(&mut self, client: Client, shared: &Shared) -> Result<(), Missing> {
        let arrival = timeout(self.limits.receive, whole(&mut self.receive, &mut self.hold));
        let query = arrival.await.map_err(|_| Missing::Late)??;
        let reply = match shared.engine.answer(message(&query).map_err(Missing::Misuse)?, &client) {
            Answered::Reply(reply) => reply,
            Answered::NoQuery => return Err(Missing::Misuse(Misuse(b"not a query"))),
            Answered::Silent => return Err(Missing::Silent),
        };
        if !self.hold.grow(reply.len()) {
            return Err(Missing::Memory);
        }
        let framed = [&(reply.len() as u16).to_be_bytes(), &*reply].concat();
        let written = timeout(self.limits.send, self.send.write_all(&framed)).await.map_err(|_| Missing::Late)?;
        written.map_err(|_| Missing::Cancelled)?;
        // Fails only where the client has stopped listening.
        let _ = self.send.finish();
        Ok(())
    }
}

/// All that the client sends on the stream: "the server MUST defer processing until FIN" (RFC 9250 §4.2).
async fn whole(receive: &mut RecvStream, hold: &mut Hold) -> Result<Vec<u8>, Missing> {
    let mut bytes = Vec::new();
    loop {
        match receive.read_chunk(PREFIX + MESSAGE_MAX, true).await {
            Ok(None) => return Ok(bytes),
            Ok(Some(chunk)) if bytes.len() + chunk.bytes.len() > PREFIX + MESSAGE_MAX => {
                return Err(Missing::Misuse(Misuse(b"more than one message")));
            }
            Ok(Some(chunk)) if !hold.grow(chunk.bytes.len()) => return Err(Missing::Memory),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
            Err(_) => return Err(Missing::Cancelled),
        }
    }
}

/// The one message of a stream, as RFC 9250 §4.2 and §4.3.3 want it.
fn message(bytes: &[u8]) -> Result<&[u8], Misuse> {
    let Some((&[high, low], query)) = bytes.split_first_chunk() else {
        return Err(Misuse(b"no message"));
    };
    match query.len().cmp(&usize::from(u16::from_be_bytes([high, low]))) {
        std::cmp::Ordering::Less => return Err(Misuse(b"the end comes before that of the message")),
        std::cmp::Ordering::Greater => return Err(Misuse(b"more than one message")),
        std::cmp::Ordering::Equal => {}
    }
    let ask = read(query);
    if ask.header.id != 0 {
        return Err(Misuse(b"the message id is not 0"));
    }
    if ask.opt.is_some_and(|opt| options(query.get(opt.options).unwrap_or_default()).any(|code| code == TCP_KEEPALIVE))
    {
        return Err(Misuse(b"edns-tcp-keepalive over QUIC"));
    }
    Ok(query)
}

/// The codes of EDNS options (RFC 6891 §6.1.2).
fn options(mut rest: &[u8]) -> impl Iterator<Item = u16> + '_ {
    std::iter::from_fn(move || {
        let (&[c0, c1, l0, l1], values) = rest.split_first_chunk()?;
        rest = values.get(usize::from(u16::from_be_bytes([l0, l1]))..)?;
        Some(u16::from_be_bytes([c0, c1]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&u16::try_from(message.len()).expect("short").to_be_bytes(), message].concat()
    }

    fn query(id: u8, options: &[u8]) -> Vec<u8> {
        let length = u8::try_from(options.len()).expect("short");
        let head = [0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        [&head, b"\x01a\0\0\x01\0\x01".as_slice(), b"\0\0\x29\x10\0\0\0\0\0\0", &[length], options].concat()
    }

    #[test]
    fn a_stream_carries_one_query_with_id_0() {
        let good = query(0, b"\0\x0c\0\x02\0\0");
        assert_eq!(message(&framed(&good)), Ok(&*good));
        for (bytes, why) in [
            (Vec::new(), "no message"),
            (vec![0], "no message"),
            (framed(&good)[..9].to_vec(), "the end comes before that of the message"),
            ([framed(&good), framed(&good)].concat(), "more than one message"),
            (framed(&query(1, b"")), "the message id is not 0"),
            (framed(&query(0, b"\0\x0c\0\0\0\x0b\0\0")), "edns-tcp-keepalive over QUIC"),
        ] {
            assert_eq!(message(&bytes), Err(Misuse(why.as_bytes())), "{why}");
        }
    }

    #[test]
    fn broken_options_end() {
        for bytes in [&b""[..], b"\0", b"\0\x01\0\x09", b"\0\x01\xff\xff\0"] {
            assert_eq!(options(bytes).count(), 0);
        }
    }
}
