//! Lookup: bytes and a snapshot in, bytes out.
//!
//! Three calls are the only way to an answer, for every transport: [`read`], [`reach`], [`answer`]. A batch of queries
//! is read, then reached for, then answered, so that the memory of one is on its way while another is worked on. None of
//! them allocates, waits or fails.

mod additional; //  glue, and addresses that save a question
pub mod desk; //    what one answering thread owns
pub mod lookup; //  the node of one zone that governs a name
mod proof; //       that something is not there: NSEC, NSEC3
pub mod query; //   the question of a message
pub mod reply; //   sections into bytes
mod resolve; //     RFC 1034 §4.3.2 over all zones
pub mod stream; //  a TCP connection as a pure machine

use std::hint::black_box;
use std::net::SocketAddr;

pub use desk::{Desk, Draw, Tally};
pub use query::{Ask, Defect, read};
pub use reply::Reply;
pub use stream::Stream;

use crate::dns::message::{Header, MESSAGE_MAX, Rcode, UDP_MAX, flag};
use crate::dns::{Class, Type};
use crate::snapshot::Snapshot;
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

/// Touches the memory that [`answer`] will read, so that it comes while other queries are worked on. Changes nothing.
pub fn reach(from: &Snapshot, ask: &Ask) {
    if let Some((zone, _)) = from.zones.find(ask.name())
        && zone.table.names() >= REACH_FROM
    {
        black_box(zone.table.touch(ask.hash));
    }
}

/// Answers the query that `ask` was read from.
pub fn answer(query: &[u8], ask: &Ask, via: &Client, from: &Snapshot, at: &mut Desk, out: &mut Reply) -> Disposition {
    at.tally.asked(ask, query.len(), via.transport);
    let disposition = respond(query, ask, via, from, out);
    match (disposition, Header::read(out.bytes())) {
        (Disposition::Send, Some(header)) => {
            let rcode = if ask.defect == Some(Defect::Version) { Rcode::BADVERS } else { header.rcode() };
            at.tally.replied(rcode, header.flags & flag::TC != 0, out.bytes().len());
        }
        _ => at.tally.dropped += 1,
    }
    disposition
}

fn respond(query: &[u8], ask: &Ask, via: &Client, from: &Snapshot, out: &mut Reply) -> Disposition {
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
    let mut writer = Writer::new(out, query, ask, limit);
    match refusal(ask, from) {
        Some(rcode) => writer.rcode = rcode,
        None => match resolve::resolve(ask, from, &mut writer) {
            Ok(Disposition::Send) => {}
            Ok(Disposition::Drop) => {
                out.clear();
                return Disposition::Drop;
            }
            // RFC 2181 §9: TC where an RRset that is required was left out, not where additional data was.
            Err(reply::Full) => writer.is_truncated = true,
        },
    }
    writer.finish(ask);
    Disposition::Send
}

/// The rcode of what is not looked up at all.
fn refusal(ask: &Ask, from: &Snapshot) -> Option<Rcode> {
    match ask.defect {
        Some(Defect::Unanswerable | Defect::Malformed) => return Some(Rcode::FORMERR),
        // RFC 8906 §3.1.4: NOTIMP, with OPT if the query has one.
        Some(Defect::Opcode) => return Some(Rcode::NOTIMP),
        // RFC 6891 §6.1.3.
        Some(Defect::Version) => return Some(Rcode::BADVERS),
        // RFC 8945 §5.2.1: an unknown key.
        Some(Defect::Signed) => return Some(Rcode::NOTAUTH),
        None => {}
    }
    // Our zones are of class IN. We have nothing to say about CHAOS (RFC 4892 §2 lets us).
    if ask.qclass != Class::IN {
        return Some(Rcode::REFUSED);
    }
    match ask.qtype {
        // No data can have these types, nor may they be asked for (RFC 6895 §3.1; NXNAME: RFC 9824 §3.5).
        Type(0 | 41 | 128 | 249 | 250) => Some(Rcode::FORMERR),
        // RFC 5936 §2.2.1: a transfer of what is no zone of ours, and one that policy denies.
        Type::AXFR | Type::IXFR if from.zones.at(ask.name()).is_none() => Some(Rcode::NOTAUTH),
        Type::AXFR | Type::IXFR => Some(Rcode::REFUSED),
        // MAILB and MAILA are obsolete (RFC 1035 §3.2.3).
        Type(253 | 254) => Some(Rcode::NOTIMP),
        _ => None,
    }
}
