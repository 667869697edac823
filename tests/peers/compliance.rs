//! The list of DNS compliance: how a server takes flags, opcodes, types, versions, flags and options of EDNS that it
//! knows, does not know, or gets malformed (RFC 8906 §8, the checks of ISC's `genreport`, RFC 6891, RFC 7873). Every
//! check over UDP and TCP, IPv4 and IPv6, against the daemon.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use failoverd::dns::Name;
use failoverd::dns::message::{Header, record, skip_name};

use crate::support::daemon::Daemon;

/// The zone that is asked about: its SOA is there, TYPE666 is not.
const ZONE: &str = "example.test";

const SOA: u16 = 6;
const UNKNOWN_TYPE: u16 = 666;

/// Flags of the header.
const QR: u16 = 0x8000;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const RA: u16 = 0x0080;
const Z: u16 = 0x0040;
const AD: u16 = 0x0020;
const CD: u16 = 0x0010;

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

const NSID: u16 = 3;
const SUBNET: u16 = 8;
const EXPIRE: u16 = 9;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;
const UNKNOWN_OPTION: u16 = 100;

/// What is sent.
#[derive(Clone)]
struct Query {
    opcode: u16,
    flags: u16,
    qtype: u16,
    class: u16,
    opts: Vec<Opt>,
    /// Behind everything.
    trailing: &'static [u8],
    questions: u16,
}

#[derive(Clone)]
struct Opt {
    owner: &'static [u8],
    size: u16,
    version: u8,
    flags: u16,
    rdata: Vec<u8>,
    /// More than the RDATA has.
    claimed: u16,
}

impl Opt {
    fn new() -> Self {
        Self { owner: b"\0", size: 4096, version: 0, flags: 0, rdata: Vec::new(), claimed: 0 }
    }
}

fn plain() -> Query {
    Query { opcode: 0, flags: 0, qtype: SOA, class: 1, opts: Vec::new(), trailing: b"", questions: 1 }
}

fn edns(edit: impl FnOnce(&mut Opt)) -> Query {
    let mut opt = Opt::new();
    edit(&mut opt);
    Query { opts: vec![opt], ..plain() }
}

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data].concat()
}

fn with(code: u16, data: &[u8]) -> Query {
    edns(|opt| opt.rdata = option(code, data))
}

fn version_1(edit: impl FnOnce(&mut Opt)) -> Query {
    edns(|opt| {
        opt.version = 1;
        edit(opt);
    })
}

impl Query {
    fn bytes(&self) -> Vec<u8> {
        let flags = self.opcode << 11 | self.flags;
        let words = [0x5a5a, flags, self.questions, 0, 0, self.opts.len() as u16];
        let mut bytes: Vec<u8> = words.map(u16::to_be_bytes).concat();
        if self.questions > 0 {
            bytes.extend_from_slice(Name::absolute(ZONE).expect("a name").as_wire());
            bytes.extend_from_slice([self.qtype, self.class].map(u16::to_be_bytes).as_flattened());
        }
        for opt in &self.opts {
            bytes.extend_from_slice(opt.owner);
            bytes.extend_from_slice([41, opt.size].map(u16::to_be_bytes).as_flattened());
            bytes.extend_from_slice(&[0, opt.version]);
            let length = opt.rdata.len() as u16 + opt.claimed;
            bytes.extend_from_slice([opt.flags, length].map(u16::to_be_bytes).as_flattened());
            bytes.extend_from_slice(&opt.rdata);
        }
        bytes.extend_from_slice(self.trailing);
        bytes
    }
}

/// What came back.
struct Reply {
    flags: u16,
    rcode: u16,
    has_soa: bool,
    /// SOA in the authority section.
    is_negative: bool,
    answers: usize,
    opt: Option<ReplyOpt>,
}

struct ReplyOpt {
    version: u8,
    flags: u16,
    options: Vec<(u16, Vec<u8>)>,
}

/// Whole options of an OPT, and what is behind them.
fn options(rdata: &[u8]) -> (Vec<(u16, Vec<u8>)>, &[u8]) {
    let (mut options, mut rest) = (Vec::new(), rdata);
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [code, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
        let Some((data, behind)) = after.split_at_checked(usize::from(length)) else { break };
        options.push((code, data.to_vec()));
        rest = behind;
    }
    (options, rest)
}

/// # Panics
/// If the reply is malformed.
fn read(bytes: &[u8]) -> Reply {
    let header = Header::read(bytes).expect("a header");
    assert_eq!(header.id, 0x5a5a);
    let mut at = 12;
    for _ in 0..header.counts[0] {
        at = skip_name(bytes, at).expect("a question") + 4;
    }
    let mut reply = Reply {
        flags: header.flags & !0x780f,
        rcode: header.rcode().0,
        has_soa: false,
        is_negative: false,
        answers: usize::from(header.counts[1]),
        opt: None,
    };
    for (section, &count) in header.counts[1..].iter().enumerate() {
        for _ in 0..count {
            let view = record(bytes, at).expect("a record");
            at = view.rdata.end;
            if view.rtype.0 == SOA {
                (reply.has_soa, reply.is_negative) =
                    (reply.has_soa | (section == 0), reply.is_negative | (section == 1));
            }
            if view.rtype.0 == 41 {
                assert!(reply.opt.is_none() && section == 2 && bytes[view.owner] == 0, "an OPT out of place");
                reply.rcode |= (view.ttl >> 24 << 4) as u16;
                let (options, rest) = options(&bytes[view.rdata]);
                assert!(rest.is_empty(), "options do not fill the RDATA");
                reply.opt = Some(ReplyOpt { version: (view.ttl >> 16) as u8, flags: view.ttl as u16, options });
            }
        }
    }
    assert_eq!(at, bytes.len(), "bytes behind the last record");
    reply
}

/// What must come back.
#[derive(Clone, Copy)]
enum Want {
    /// NOERROR, the SOA, AA.
    Soa,
    /// NOERROR, no such type, AA.
    NoData,
    /// This rcode and no records.
    Error(u16),
}

/// Of OPT and options in the reply. An option comes back only if asked for, and no flag but DO.
#[derive(Clone, Copy)]
enum Edns {
    /// Not there.
    None,
    /// There, without options but perhaps an extended error.
    Bare,
    /// There, with DO and what was asked for.
    Do,
    /// With this option, of a length in these bounds.
    Option(u16, usize, usize),
    /// The same, over TCP alone.
    OverTcp(u16, usize),
}

struct Check {
    name: &'static str,
    query: Query,
    want: Want,
    edns: Edns,
}

#[rustfmt::skip]
fn checks() -> Vec<Check> {
    let flagged = |flags| Query { flags, ..plain() };
    let cookie = |length: usize| with(COOKIE, &vec![7; length]);
    let all = [option(NSID, b""), option(SUBNET, &[0, 1, 0, 0]), option(EXPIRE, b""), option(COOKIE, &[1; 8])].concat();
    let twice = Query { opts: vec![Opt::new(), Opt::new()], ..plain() };
    let dnssec = |opt: &mut Opt| opt.flags = 0x8000;
    let rows: Vec<(&'static str, Query, Want, Edns)> = vec![
        // The message (RFC 8906 §8.1 and §3.1).
        ("dns", plain(), Want::Soa, Edns::None),
        ("aa", flagged(AA), Want::Soa, Edns::None),
        ("ad", flagged(AD), Want::Soa, Edns::None),
        ("cd", flagged(CD), Want::Soa, Edns::None),
        ("ra", flagged(RA), Want::Soa, Edns::None),
        ("rd", flagged(RD), Want::Soa, Edns::None),
        ("tc", flagged(TC), Want::Soa, Edns::None),
        ("zflag", flagged(Z), Want::Soa, Edns::None),
        ("all flags", flagged(AA | TC | RD | RA | Z | AD | CD), Want::Soa, Edns::None),
        ("opcode", Query { opcode: 15, ..plain() }, Want::Error(NOTIMP), Edns::None),
        ("opcodeflg", Query { opcode: 15, ..flagged(TC | RD | RA | CD | AD | AA | Z) }, Want::Error(NOTIMP), Edns::None),
        ("opcode 1", Query { opcode: 1, ..plain() }, Want::Error(NOTIMP), Edns::None),
        ("opcode 2", Query { opcode: 2, ..plain() }, Want::Error(NOTIMP), Edns::None),
        ("opcode 3", Query { opcode: 3, ..plain() }, Want::Error(NOTIMP), Edns::None),
        ("opcode 6", Query { opcode: 6, ..plain() }, Want::Error(NOTIMP), Edns::None),
        ("opcode with EDNS", Query { opcode: 15, ..edns(|_| {}) }, Want::Error(NOTIMP), Edns::Bare),
        ("type666", Query { qtype: UNKNOWN_TYPE, ..plain() }, Want::NoData, Edns::None),
        ("type 65279", Query { qtype: 65_279, ..plain() }, Want::NoData, Edns::None),
        ("type666 with EDNS", Query { qtype: UNKNOWN_TYPE, ..edns(|_| {}) }, Want::NoData, Edns::Bare),
        ("class CH", Query { class: 3, ..plain() }, Want::Error(REFUSED), Edns::None),
        ("class HS", Query { class: 4, ..plain() }, Want::Error(REFUSED), Edns::None),
        ("class 2", Query { class: 2, ..plain() }, Want::Error(REFUSED), Edns::None),
        ("type 0", Query { qtype: 0, ..plain() }, Want::NoData, Edns::None),
        ("type OPT", Query { qtype: 41, ..plain() }, Want::Error(FORMERR), Edns::None),
        ("no question", Query { questions: 0, ..plain() }, Want::Error(FORMERR), Edns::None),
        ("bytes behind", Query { trailing: b"trailing", ..plain() }, Want::Error(FORMERR), Edns::None),
        // EDNS (RFC 8906 §8.2).
        ("edns", edns(|_| {}), Want::Soa, Edns::Bare),
        ("edns1", version_1(|_| {}), Want::Error(BADVERS), Edns::Bare),
        ("edns255", edns(|opt| opt.version = 255), Want::Error(BADVERS), Edns::Bare),
        ("edns@512", edns(|opt| opt.size = 512), Want::Soa, Edns::Bare),
        ("edns@0", edns(|opt| opt.size = 0), Want::Soa, Edns::Bare),
        ("edns@1", edns(|opt| opt.size = 1), Want::Soa, Edns::Bare),
        ("edns@511", edns(|opt| opt.size = 511), Want::Soa, Edns::Bare),
        ("edns@65535", edns(|opt| opt.size = 65_535), Want::Soa, Edns::Bare),
        ("ednsopt", with(UNKNOWN_OPTION, b""), Want::Soa, Edns::Bare),
        ("ednsopt with data", with(UNKNOWN_OPTION, &[1; 100]), Want::Soa, Edns::Bare),
        ("ednsopt 0", with(0, b""), Want::Soa, Edns::Bare),
        ("ednsopt 65535", with(65_535, b"x"), Want::Soa, Edns::Bare),
        ("edns1opt", version_1(|opt| opt.rdata = option(UNKNOWN_OPTION, b"")), Want::Error(BADVERS), Edns::Bare),
        ("do", edns(dnssec), Want::Soa, Edns::Do),
        ("docd", Query { flags: CD, ..edns(dnssec) }, Want::Soa, Edns::Do),
        ("doad", Query { flags: AD, ..edns(dnssec) }, Want::Soa, Edns::Do),
        ("do@512", edns(|opt| (opt.flags, opt.size) = (0x8000, 512)), Want::Soa, Edns::Do),
        ("edns1do", version_1(dnssec), Want::Error(BADVERS), Edns::Do),
        ("ednsflags", edns(|opt| opt.flags = 0x0080), Want::Soa, Edns::Bare),
        ("all ednsflags", edns(|opt| opt.flags = 0x7fff), Want::Soa, Edns::Bare),
        ("edns1flags", version_1(|opt| opt.flags = 0x0080), Want::Error(BADVERS), Edns::Bare),
        ("opcode and edns1", Query { opcode: 15, ..version_1(|_| {}) }, Want::Error(BADVERS), Edns::Bare),
        // Options (RFC 8906 §8.2.6 and §8.2.7).
        ("optlist", edns(|opt| opt.rdata = all.clone()), Want::Soa, Edns::Option(COOKIE, 16, 40)),
        ("optlist with DO", edns(|opt| (opt.rdata, opt.flags) = (all.clone(), 0x8000)), Want::Soa, Edns::Do),
        ("edns1 optlist", version_1(|opt| opt.rdata = all.clone()), Want::Error(BADVERS), Edns::Bare),
        ("ednsnsid", with(NSID, b""), Want::Soa, Edns::Option(NSID, 1, 64)),
        ("ednsnsid with data", with(NSID, b"ignored"), Want::Soa, Edns::Option(NSID, 1, 64)),
        ("edns1nsid", version_1(|opt| opt.rdata = option(NSID, b"")), Want::Error(BADVERS), Edns::Bare),
        ("ednsexpire", with(EXPIRE, b""), Want::Soa, Edns::Bare),
        ("edns1expire", version_1(|opt| opt.rdata = option(EXPIRE, b"")), Want::Error(BADVERS), Edns::Bare),
        ("ednssubnet", with(SUBNET, &[0, 1, 0, 0]), Want::Soa, Edns::Option(SUBNET, 4, 4)),
        ("ednssubnet/24", with(SUBNET, &[0, 1, 24, 0, 192, 0, 2]), Want::Soa, Edns::Option(SUBNET, 7, 7)),
        ("ednssubnet v6", with(SUBNET, &[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8]), Want::Soa, Edns::Option(SUBNET, 8, 8)),
        ("ednssubnet, scope set", with(SUBNET, &[0, 1, 24, 24, 192, 0, 2]), Want::Error(FORMERR), Edns::Bare),
        ("ednssubnet, too long", with(SUBNET, &[0, 1, 24, 0, 192, 0, 2, 1]), Want::Error(FORMERR), Edns::Bare),
        ("ednssubnet, too short", with(SUBNET, &[0, 1, 24, 0, 192]), Want::Error(FORMERR), Edns::Bare),
        ("ednssubnet, cut", with(SUBNET, &[0, 1, 24]), Want::Error(FORMERR), Edns::Bare),
        ("ednssubnet, /33", with(SUBNET, &[0, 1, 33, 0, 192, 0, 2, 1, 0]), Want::Error(FORMERR), Edns::Bare),
        ("ednssubnet, bits behind", with(SUBNET, &[0, 1, 23, 0, 192, 0, 3]), Want::Error(FORMERR), Edns::Bare),
        ("ednssubnet, family 9", with(SUBNET, &[0, 9, 8, 0, 1]), Want::Error(FORMERR), Edns::Bare),
        ("edns1subnet", version_1(|opt| opt.rdata = option(SUBNET, &[0, 1, 0, 0])), Want::Error(BADVERS), Edns::Bare),
        ("keepalive", with(KEEPALIVE, b""), Want::Soa, Edns::OverTcp(KEEPALIVE, 2)),
        ("padding", with(PADDING, &[0; 20]), Want::Soa, Edns::Bare),
        // Cookies (RFC 7873 §5.2).
        ("ednscookie", cookie(8), Want::Soa, Edns::Option(COOKIE, 16, 40)),
        ("ednscookie, a server's too", cookie(24), Want::Soa, Edns::Option(COOKIE, 16, 40)),
        ("ednscookie, 16 bytes", cookie(16), Want::Soa, Edns::Option(COOKIE, 16, 40)),
        ("ednscookie, 40 bytes", cookie(40), Want::Soa, Edns::Option(COOKIE, 16, 40)),
        ("edns1cookie", version_1(|opt| opt.rdata = option(COOKIE, &[1; 8])), Want::Error(BADVERS), Edns::Bare),
        ("ednscookie, empty", cookie(0), Want::Error(FORMERR), Edns::Bare),
        ("ednscookie, 7 bytes", cookie(7), Want::Error(FORMERR), Edns::Bare),
        ("ednscookie, 9 bytes", cookie(9), Want::Error(FORMERR), Edns::Bare),
        ("ednscookie, 15 bytes", cookie(15), Want::Error(FORMERR), Edns::Bare),
        ("ednscookie, 41 bytes", cookie(41), Want::Error(FORMERR), Edns::Bare),
        ("ednscookie without a question", Query { questions: 0, ..cookie(8) }, Want::Error(NOERROR), Edns::Option(COOKIE, 16, 40)),
        // Malformed OPT (RFC 6891 §6.1).
        ("two OPTs", twice, Want::Error(FORMERR), Edns::None),
        ("OPT owner not the root", edns(|opt| opt.owner = b"\x01a\0"), Want::Error(FORMERR), Edns::None),
        ("an option runs over", edns(|opt| opt.rdata = vec![0, 100, 0, 9]), Want::Error(FORMERR), Edns::None),
        ("an option is cut", edns(|opt| opt.rdata = vec![0, 100, 0]), Want::Error(FORMERR), Edns::None),
        ("OPT runs over", edns(|opt| opt.claimed = 4), Want::Error(FORMERR), Edns::None),
        ("bytes behind OPT", Query { trailing: b"\0", ..edns(|_| {}) }, Want::Error(FORMERR), Edns::None),
        // What resolvers send in our days (`bind11` and `dig11`).
        ("bind11", edns(|opt| (opt.rdata, opt.flags) = (option(COOKIE, &[1; 8]), 0x8000)), Want::Soa, Edns::Do),
        ("dig11", Query { flags: RD | AD, ..cookie(8) }, Want::Soa, Edns::Option(COOKIE, 16, 40)),
    ];
    rows.into_iter().map(|(name, query, want, edns)| Check { name, query, want, edns }).collect()
}

/// What is wrong with the reply, or its absence.
fn verdict(check: &Check, reply: Option<&Reply>, is_tcp: bool) -> Vec<String> {
    let Some(reply) = reply else { return vec!["no reply".into()] };
    let mut faults = Vec::new();
    let mut want = |is: bool, fault: String| {
        if !is {
            faults.push(fault);
        }
    };
    let (rcode, has_soa, is_negative, aa) = match check.want {
        Want::Soa => (NOERROR, true, false, AA),
        Want::NoData => (NOERROR, false, true, AA),
        Want::Error(rcode) => (rcode, false, false, 0),
    };
    want(reply.rcode == rcode, format!("rcode {}, not {rcode}", reply.rcode));
    want(reply.has_soa == has_soa && reply.answers == usize::from(has_soa), "the answer section".into());
    want(reply.is_negative == is_negative, "the authority section".into());
    // RD and CD are copied, unless the opcode leaves open what they mean; RA, Z, AD and TC are not ours to set.
    let copied = if rcode == NOTIMP { 0 } else { RD | CD };
    let flags = QR | aa | check.query.flags & copied;
    want(reply.flags == flags, format!("flags {:04x}, not {flags:04x}", reply.flags));
    let Some(opt) = &reply.opt else {
        want(matches!(check.edns, Edns::None), "no OPT".into());
        return faults;
    };
    // Nor of a query whose OPT cannot be read.
    want(!matches!(check.edns, Edns::None), "an OPT nobody asked for".into());
    want(opt.version == 0, format!("EDNS version {}", opt.version));
    let dnssec = check.query.opts.first().map_or(0, |opt| opt.flags) & 0x8000;
    want(opt.flags == dnssec, format!("EDNS flags {:04x}, not {dnssec:04x}", opt.flags));
    let asked: Vec<u16> = check.query.opts.iter().flat_map(|opt| options(&opt.rdata).0).map(|(code, _)| code).collect();
    let is_bare = matches!(check.edns, Edns::Bare);
    for (code, _) in &opt.options {
        // RFC 8914: an error may be explained unasked.
        want(*code == EXTENDED_ERROR || !is_bare && asked.contains(code), format!("option {code} was not asked for"));
        want(*code != UNKNOWN_OPTION && *code != 0 && *code != 65_535, format!("option {code} is echoed"));
    }
    let length = |code: u16| opt.options.iter().find(|(known, _)| *known == code).map(|(_, data)| data.len());
    match check.edns {
        Edns::Option(code, from, to) => {
            want(
                length(code).is_some_and(|length| (from..=to).contains(&length)),
                format!("option {code}: {:?}", length(code)),
            );
        }
        Edns::OverTcp(code, size) => {
            want(length(code) == is_tcp.then_some(size), format!("option {code}: {:?}", length(code)));
        }
        Edns::None | Edns::Bare | Edns::Do => {}
    }
    faults
}

const PATIENCE: Duration = Duration::from_secs(2);

fn over_udp(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let local: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::LOCALHOST, 0).into() } else { (Ipv6Addr::LOCALHOST, 0).into() };
    let socket = UdpSocket::bind(local).expect("a UDP socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.connect(server).expect("loopback");
    socket.send(query).expect("loopback");
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

fn over_tcp(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat()).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).ok()?;
    Some(reply)
}

#[test]
fn every_check_of_the_list_is_ok_on_every_transport() {
    let checks = checks();
    let mut wrong = Vec::new();
    let mut count = 0;
    for host in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        let mut daemon = Daemon::prepare("", &[SocketAddr::from((Ipv4Addr::LOCALHOST, 9))]);
        daemon.dns.set_ip(host);
        daemon.launch();
        daemon.wait_ready();
        for check in &checks {
            for (word, is_tcp) in [("UDP", false), ("TCP", true)] {
                let query = check.query.bytes();
                let reply = if is_tcp { over_tcp(daemon.dns, &query) } else { over_udp(daemon.dns, &query) };
                let reply = reply.as_deref().map(read);
                let faults = verdict(check, reply.as_ref(), is_tcp);
                count += 1;
                if !faults.is_empty() {
                    wrong.push(format!("{} over {word} to {host}: {}", check.name, faults.join("; ")));
                }
            }
        }
    }
    println!("compliance: {} checks, {count} of them asked, {} not ok", checks.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A response is never answered, nor is less than a header.
#[test]
fn what_must_not_be_answered_is_not() {
    let daemon = Daemon::start("", &[SocketAddr::from((Ipv4Addr::LOCALHOST, 9))]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a UDP socket");
    socket.connect(daemon.dns).expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let query = plain().bytes();
    let mut response = query.clone();
    response[2] |= 0x80;
    for silent in [&response[..], &query[..11], &query[..1], b""] {
        socket.send(silent).expect("loopback");
    }
    // What is answered comes first: nothing was said to the others.
    let mut last = query;
    last[..2].copy_from_slice(&[1, 2]);
    socket.send(&last).expect("loopback");
    let mut buffer = [0; 512];
    socket.recv(&mut buffer).expect("the reply to the query");
    assert_eq!(buffer[..2], [1, 2]);
}
