//! One real DNS question over UDP: what a client gets, not what we believe it gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

/// How long an answer from this very machine may take.
const PATIENCE: Duration = Duration::from_millis(300);

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Addresses, and their TTL in seconds.
    Addresses(Vec<IpAddr>, u32),
    /// An answer without addresses.
    Empty(ResponseCode),
    /// Nothing: the first probes are still out, or nobody listens.
    Silence,
}

/// Asks `server` for the A records of `name`.
pub(crate) fn dig(server: SocketAddr, name: &str) -> Answer {
    exchange(server, name).unwrap_or(Answer::Silence)
}

fn exchange(server: SocketAddr, name: &str) -> Option<Answer> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).ok()?, RecordType::A));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.connect(server).ok()?;
    socket.send(&message.to_vec().ok()?).ok()?;
    let mut buffer = [0; 1232];
    let length = socket.recv(&mut buffer).ok()?;
    let reply = Message::from_vec(buffer.get(..length)?).ok()?;
    if reply.metadata.id != message.metadata.id {
        return None;
    }
    let addresses: Vec<IpAddr> = reply
        .answers
        .iter()
        .filter_map(|record| if let RData::A(address) = &record.data { Some(IpAddr::V4(address.0)) } else { None })
        .collect();
    match reply.answers.first() {
        Some(record) if !addresses.is_empty() => Some(Answer::Addresses(addresses, record.ttl)),
        _ => Some(Answer::Empty(reply.metadata.response_code)),
    }
}
