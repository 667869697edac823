//! Lookup: bytes and a snapshot in, bytes out.
//!
//! Three calls are the only way to an answer, for every transport: [`read`], [`reach`], [`answer`]. A batch of queries
//! is read, then reached for, then answered, so that the memory of one is on its way while another is worked on. None of
//! them allocates, waits or fails.

mod additional; //  glue, and addresses that save a question
mod chaos; //       who answers, and what version of it
mod cookie; //      a client that was here before
pub mod desk; //    what one answering thread owns
mod edns; //        options of queries and replies
mod explain; //     why a steered name is answered as it is
pub mod lookup; //  the node of one zone that governs a name
mod proof; //       that something is not there: NSEC, NSEC3
pub mod query; //   the question of a message
mod rate; //        how much of it a prefix of clients gets
pub mod reply; //   sections into bytes
mod resolve; //     RFC 1034 §4.3.2 over all zones
mod signed; //      queries with a signature
mod squeeze; //     names compressed as far as they go, where room is short
pub mod stream; //  a TCP connection as a pure machine

use std::hint::black_box;
use std::net::SocketAddr;

pub use desk::{Desk, Draw, Tally};
pub use edns::Options;
pub use query::{Ask, Defect, read};
pub use rate::Limiter;
pub use reply::Reply;
pub use stream::Stream;

use crate::dns::message::{ExtendedError, MESSAGE_MAX, Rcode, UDP_MAX};
use crate::dns::{Class, Type};
use crate::snapshot::Snapshot;
use cookie::Proof;
use edns::{Closing, SetAside};
use rate::Grant;
use reply::{UDP_PAYLOAD, Writer};

/// How a query came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Udp,
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

impl Transport {
    /// True where nobody between us and the client can read along: padding has a sense (RFC 7830 §6).
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub transport: Transport,
}

/// What becomes of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// The reply is to be sent.
    Send,
    /// Nothing is sent.
    Drop,
}

/// Tables of fewer names, which take about 512 KiB, are in the cache anyway.
const REACH_FROM: usize = 10_000;
/// Queries whose memory is fetched at the same time: more than a processor has loads under way.
const REACHED: usize = 64;

/// Touches the memory that [`answer`] will read for these queries, so that what one of them needs is on its way while
/// the others' is asked for. Changes nothing.
pub fn reach(from: &Snapshot, asks: &[Ask]) {
    if from.zones.largest() < REACH_FROM {
        return;
    }
    for asks in asks.chunks(REACHED) {
        let mut spots = [None; REACHED];
        for (spot, ask) in spots.iter_mut().zip(asks) {
            *spot = from.zones.find(ask.name()).and_then(|(zone, _)| zone.table.spot(ask.hash));
        }
        // None of these loads depends on another one of the same loop: the processor makes them all at once.
        let buckets = spots.iter().flatten().fold(0, |sum, spot| sum ^ spot.touch_bucket());
        let nodes = spots.iter().flatten().fold(0, |sum, spot| sum ^ spot.touch_node());
        black_box((buckets, nodes));
    }
}

/// Answers the query that `ask` was read from.
pub fn answer(query: &[u8], ask: &Ask, via: &Client, from: &Snapshot, at: &mut Desk, out: &mut Reply) -> Disposition {
    at.tally.asked(ask, query.len(), via.transport);
    let proof = edns::proof(ask, via, &from.answering, at);
    at.tally.proved(ask, proof);
    let disposition = respond(query, ask, via, proof, from, at, out);
    match disposition {
        Disposition::Send => at.tally.replied(out.rcode(), out.is_truncated(), out.bytes().len()),
        Disposition::Drop => at.tally.dropped += 1,
    }
    disposition
}

fn respond(
    query: &[u8],
    ask: &Ask,
    via: &Client,
    proof: Proof,
    from: &Snapshot,
    at: &mut Desk,
    out: &mut Reply,
) -> Disposition {
    if ask.defect == Some(Defect::Unanswerable) || query.len() < ask.question_end() {
        out.clear();
        return Disposition::Drop;
    }
    let limit = match (via.transport, &ask.opt) {
        (Transport::Udp, None) => UDP_MAX,
        // RFC 6891 §6.2.3: "values lower than 512 MUST be treated as equal to 512".
        (Transport::Udp, Some(opt)) => usize::from(opt.size.min(UDP_PAYLOAD)).max(UDP_MAX),
        _ => MESSAGE_MAX,
    };
    let by = &from.answering;
    let set_aside = SetAside::new(ask, proof, via, by, at);
    let mut closing = Closing {
        set_aside: set_aside.as_ref().map_or(&[], SetAside::bytes),
        error: None,
        is_padded: ask.options.padding && via.transport.is_encrypted(),
        tsig: None,
    };
    let mut writer = Writer::new(out, query, ask, limit, closing.set_aside.len());
    match refusal(ask, via, proof, from) {
        Some((rcode, error)) => {
            writer.rcode = rcode;
            closing.error = error.map(|error| (error, ""));
            if ask.defect == Some(Defect::Signed) {
                closing.tsig = ask.signature.and_then(|place| signed::refused(query, place, at.now.wall));
            }
        }
        None if ask.qclass == Class::CH => chaos::tell(ask, by, &mut writer),
        None => {
            let mut outcome = resolve::resolve(ask, from, &mut writer);
            if outcome.is_err() && via.transport == Transport::Udp {
                writer.begin_again(ask);
                outcome = resolve::resolve(ask, from, &mut writer);
                outcome = writer.squeeze(ask).and(outcome);
            }
            match outcome {
                Ok(Disposition::Send) => {}
                Ok(Disposition::Drop) => {
                    out.clear();
                    return Disposition::Drop;
                }
                // RFC 2181 §9: TC where an RRset that is required was left out, not where additional data was.
                Err(reply::Full) => writer.is_truncated = true,
            }
            // RFC 1035 §6.2: an answer to class ANY "can never be authoritative".
            writer.is_authoritative &= ask.qclass == Class::IN;
            closing.error = match writer.rcode {
                Rcode::REFUSED => Some((ExtendedError::NOT_AUTHORITATIVE, "")),
                Rcode::NOERROR => explain::text(ask, via, from).map(|text| (ExtendedError::OTHER, text)),
                _ => None,
            };
        }
    }
    // A client is who it seems to be where it took part in a handshake, or showed a cookie of ours.
    let is_proven = via.transport != Transport::Udp || proof.is_proven();
    if let (false, Some(limit)) = (is_proven, &by.rate_limit) {
        match rate::grant(limit, ask, via, &writer, at) {
            Grant::Whole => {}
            Grant::Slip => {
                writer.cut(ask);
                closing.error = None;
            }
            Grant::Nothing => {
                out.clear();
                return Disposition::Drop;
            }
        }
    }
    writer.finish(ask, closing);
    Disposition::Send
}

/// The rcode of what is not looked up at all, and why.
fn refusal(ask: &Ask, via: &Client, proof: Proof, from: &Snapshot) -> Option<(Rcode, Option<ExtendedError>)> {
    match ask.defect {
        Some(Defect::Unanswerable | Defect::Malformed) => return Some((Rcode::FORMERR, None)),
        // RFC 8906 §3.1.4: NOTIMP, with OPT if the query has one. RFC 8490 §5.1: DSO is such an opcode.
        Some(Defect::Opcode) => return Some((Rcode::NOTIMP, None)),
        // RFC 6891 §6.1.3.
        Some(Defect::Version) => return Some((Rcode::BADVERS, None)),
        // RFC 8945 §5.2.1: an unknown key.
        Some(Defect::Signed) => return Some((Rcode::NOTAUTH, None)),
        None => {}
    }
    if !ask.has_question() {
        // RFC 7873 §5.4: NOERROR for a good cookie or none yet, BADCOOKIE for a wrong one, and in both a good one.
        let rcode = match proof {
            _ if from.answering.cookies.secrets().next().is_none() => Rcode::FORMERR,
            _ if proof.is_proven() || proof == Proof::None => Rcode::NOERROR,
            _ => Rcode::BADCOOKIE,
        };
        return Some((rcode, None));
    }
    match ask.qclass {
        // RFC 1034 §3.7.1: class ANY matches every class, so ours.
        Class::IN | Class::ANY => {}
        // RFC 4892 §2: who answers may be told, or not.
        Class::CH if from.answering.identity && chaos::knows(ask) => return None,
        Class::CH => return Some((Rcode::REFUSED, Some(ExtendedError::PROHIBITED))),
        _ => return Some((Rcode::REFUSED, Some(ExtendedError::NOT_SUPPORTED))),
    }
    match ask.qtype {
        // No data can have these types, nor may they be asked for (RFC 6895 §3.1; NXNAME: RFC 9824 §3.5).
        Type(41 | 128 | 249 | 250) => Some((Rcode::FORMERR, None)),
        // RFC 5936 §4.2: over UDP, AXFR "is not defined".
        Type::AXFR if via.transport == Transport::Udp => Some((Rcode::NOTIMP, Some(ExtendedError::NOT_SUPPORTED))),
        // RFC 5936 §2.2.1: a transfer of what is no zone of ours, and one that policy denies.
        Type::AXFR | Type::IXFR if from.zones.at(ask.name()).is_none() => {
            Some((Rcode::NOTAUTH, Some(ExtendedError::NOT_AUTHORITATIVE)))
        }
        Type::AXFR | Type::IXFR => Some((Rcode::REFUSED, Some(ExtendedError::PROHIBITED))),
        // MAILB and MAILA are obsolete (RFC 1035 §3.2.3).
        Type(253 | 254) => Some((Rcode::NOTIMP, Some(ExtendedError::NOT_SUPPORTED))),
        _ => None,
    }
}
