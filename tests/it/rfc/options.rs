//! Queries with EDNS options, from any client over any transport, and the options of replies.

use std::net::IpAddr;
use std::sync::Arc;

use failoverd::answer::{Client, Disposition, Transport, answer, reach, read};
use failoverd::config::{Answering, Cookies};
use failoverd::dns::Type;
use failoverd::dns::message::{Opt, record, skip_name};
use failoverd::time::Wall;

use super::world::{Answer, World, query};

pub(super) const NSID: u16 = 3;
pub(super) const SUBNET: u16 = 8;
pub(super) const EXPIRE: u16 = 9;
pub(super) const COOKIE: u16 = 10;
pub(super) const KEEPALIVE: u16 = 11;
pub(super) const PADDING: u16 = 12;
pub(super) const ERROR: u16 = 15;

/// The secret of RFC 9018 appendix A.
pub(super) const SECRET: [u8; 16] = *b"\xe5\xe9\x73\xe5\xa6\xb2\xa4\x3f\x48\xe7\xdc\x84\x9e\x37\xbf\xcf";

/// A nameserver named `ns1` with everything at its defaults, in 2026.
pub(super) fn world() -> World {
    let many: String = (1..=120).map(|host| format!("many A 192.0.2.{host}\n")).collect();
    let mut world = World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1\n{many}"))]);
    world.snapshot.answering =
        Arc::new(Answering { name: "ns1".into(), nsid: true, cookies: Cookies::of([SECRET]), ..Answering::default() });
    world.desk.now.wall = Wall::from_millis(1_795_257_127_512);
    world
}

pub(super) fn answering(world: &mut World, change: impl FnOnce(&mut Answering)) {
    change(Arc::make_mut(&mut world.snapshot.answering));
}

/// An option's code, length and data.
pub(super) fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data].concat()
}

/// The query of `question`, with these bytes as the RDATA of its OPT.
pub(super) fn with_options(question: &str, options: &[u8]) -> Vec<u8> {
    let (mut bytes, _) = query(&format!("{question} +edns=1232"));
    let length = bytes.len() - 2;
    bytes[length..].copy_from_slice(&(options.len() as u16).to_be_bytes());
    bytes.extend_from_slice(options);
    bytes
}

/// Sends any bytes as a client at `address`.
pub(super) fn send(world: &mut World, bytes: &[u8], address: IpAddr, transport: Transport) -> Option<Answer> {
    let client = Client { address: (address, 5300).into(), transport };
    let ask = read(bytes);
    reach(&world.snapshot, std::slice::from_ref(&ask));
    match answer(bytes, &ask, &client, &world.snapshot, &mut world.desk, &mut world.reply) {
        Disposition::Send => Some(Answer::parse(world.reply.bytes())),
        Disposition::Drop => None,
    }
}

/// Asks with options over UDP from 192.0.2.1; there must be a reply.
pub(super) fn ask(world: &mut World, question: &str, options: &[u8]) -> Answer {
    over(world, question, options, Transport::Udp)
}

/// The same over any transport.
pub(super) fn over(world: &mut World, question: &str, options: &[u8], transport: Transport) -> Answer {
    let bytes = with_options(question, options);
    send(world, &bytes, [192, 0, 2, 1].into(), transport).expect("a reply")
}

/// The options of a reply.
pub(super) fn options(reply: &Answer) -> Vec<(u16, Vec<u8>)> {
    let bytes = &reply.bytes;
    let count = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let mut at = 12;
    for _ in 0..count(4) {
        at = skip_name(bytes, at).unwrap() + 4;
    }
    for _ in 0..count(6) + count(8) + count(10) {
        let view = record(bytes, at).unwrap();
        if view.rtype == Type::OPT {
            let opt = Opt::read(bytes, &view).expect("options that fill the RDATA");
            assert_eq!(opt.version, 0);
            return opt.options(bytes).map(|(code, data)| (code, data.to_vec())).collect();
        }
        at = view.rdata.end;
    }
    panic!("no OPT in {reply:?}")
}

/// The data of the one option of this code.
pub(super) fn one(reply: &Answer, code: u16) -> Vec<u8> {
    let found: Vec<_> = options(reply).into_iter().filter(|&(other, _)| other == code).collect();
    assert_eq!(found.len(), 1, "{reply:?}");
    found[0].1.clone()
}
