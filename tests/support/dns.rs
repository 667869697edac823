//! One question, one answer, no resolver in between that could hide a mistake.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const AAAA: u16 = 28;

pub(crate) const NOERROR: u8 = 0;
pub(crate) const NXDOMAIN: u8 = 3;
pub(crate) const REFUSED: u8 = 5;

/// A message as far as tests look into it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) rcode: u8,
    pub(crate) is_authoritative: bool,
    pub(crate) is_truncated: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Record {
    pub(crate) owner: String,
    pub(crate) rtype: u16,
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Data {
    Address(IpAddr),
    Name(String),
    Serial(u32),
    Other(Vec<u8>),
}

impl Answer {
    /// Addresses of the answer section, sorted.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .answers
            .iter()
            .filter_map(|record| if let Data::Address(one) = record.data { Some(one.to_string()) } else { None })
            .collect();
        found.sort();
        found
    }

    /// The serial of a SOA in answer or authority.
    pub(crate) fn serial(&self) -> Option<u32> {
        let all = self.answers.iter().chain(&self.authority);
        all.filter_map(|record| if let Data::Serial(serial) = record.data { Some(serial) } else { None }).next()
    }
}

/// The query for `name`, with the RD bit where asked for.
pub(crate) fn question(name: &str, rtype: u16, recursion: bool, id: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([u8::from(recursion), 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        query.push(u8::try_from(label.len()).expect("a label"));
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1]);
    query
}

/// Asks over UDP. `None` where nothing comes `within`.
pub(crate) fn ask(server: SocketAddr, name: &str, rtype: u16, within: Duration) -> Option<Answer> {
    ask_with(server, name, rtype, false, within)
}

/// Asks a resolver over UDP.
pub(crate) fn resolve(resolver: SocketAddr, name: &str, rtype: u16, within: Duration) -> Option<Answer> {
    ask_with(resolver, name, rtype, true, within)
}

fn ask_with(server: SocketAddr, name: &str, rtype: u16, recursion: bool, within: Duration) -> Option<Answer> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a UDP socket");
    socket.set_read_timeout(Some(within)).expect("a timeout");
    socket.connect(server).ok()?;
    socket.send(&question(name, rtype, recursion, id)).ok()?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).ok()?;
        if buffer[..length].starts_with(&id.to_be_bytes()) {
            return Some(read(&buffer[..length]).expect("a well-formed response"));
        }
    }
}

/// Asks over TCP.
pub(crate) fn ask_tcp(server: SocketAddr, name: &str, rtype: u16, within: Duration) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, within).ok()?;
    stream.set_read_timeout(Some(within)).expect("a timeout");
    let query = question(name, rtype, false, 77);
    let length = u16::try_from(query.len()).expect("short").to_be_bytes();
    stream.write_all(&[&length, query.as_slice()].concat()).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(read(&message).expect("a well-formed response"))
}

/// Reads a message; `None` where it is malformed.
pub(crate) fn read(message: &[u8]) -> Option<Answer> {
    let count = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let flags = count(2)?;
    let mut at = 12;
    for _ in 0..count(4)? {
        name_at(message, &mut at)?;
        at += 4;
    }
    let mut section = |records: u16| (0..records).map(|_| record_at(message, &mut at)).collect::<Option<Vec<_>>>();
    Some(Answer {
        rcode: u8::try_from(flags & 15).ok()?,
        is_authoritative: flags & 0x0400 != 0,
        is_truncated: flags & 0x0200 != 0,
        answers: section(count(6)?)?,
        authority: section(count(8)?)?,
        additional: section(count(10)?)?,
    })
}

fn record_at(message: &[u8], at: &mut usize) -> Option<Record> {
    let owner = name_at(message, at)?;
    let head = message.get(*at..*at + 10)?;
    let rtype = u16::from_be_bytes([head[0], head[1]]);
    let ttl = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let start = *at + 10;
    let rdata = message.get(start..start + length)?;
    *at = start + length;
    let mut inside = start;
    let data = match rtype {
        A => Data::Address(<[u8; 4]>::try_from(rdata).ok()?.into()),
        AAAA => Data::Address(<[u8; 16]>::try_from(rdata).ok()?.into()),
        NS | CNAME => Data::Name(name_at(message, &mut inside)?),
        SOA => {
            name_at(message, &mut inside)?;
            name_at(message, &mut inside)?;
            Data::Serial(u32::from_be_bytes(message.get(inside..inside + 4)?.try_into().ok()?))
        }
        _ => Data::Other(rdata.to_vec()),
    };
    Some(Record { owner, rtype, ttl, data })
}

/// The name at `at`, lower case with a dot at its end; `at` moves behind it. Pointers must go backwards.
fn name_at(message: &[u8], at: &mut usize) -> Option<String> {
    let (mut name, mut here, mut end) = (String::new(), *at, None);
    loop {
        match usize::from(*message.get(here)?) {
            0 => break,
            high @ 0xc0.. => {
                let target = (high & 0x3f) << 8 | usize::from(*message.get(here + 1)?);
                end.get_or_insert(here + 2);
                if target >= here {
                    return None;
                }
                here = target;
            }
            length => {
                let label = message.get(here + 1..here + 1 + length)?;
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                name.push('.');
                here += 1 + length;
            }
        }
    }
    *at = end.unwrap_or(here + 1);
    if name.is_empty() {
        name.push('.');
    }
    Some(name)
}
