//! Any bytes against several zones: what must hold of every reply, and equality with the model.

use failoverd::answer::Transport;
use failoverd::dns::{Name, Type};

use super::asked::{self, Asked, Sense};
use super::input::Input;
use super::model::{self, Expected, Set, by_key};
use super::reply::{self, Record, Reply};
use super::signed;
use super::world::{self, World};

/// The most a reply over UDP may have (RFC 9715 §3.1).
const UDP_PAYLOAD: usize = 1232;
/// OPT without options.
const OPT_LENGTH: usize = 11;
/// The most that options we were asked for, and the code of an error, add to a reply without records.
const OPTIONS_MAX: usize = 200;

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const YXDOMAIN: u16 = 6;
const NOTAUTH: u16 = 9;
const BADVERS: u16 = 16;

/// By the lowest bits of a byte: UDP mostly, where there is least room.
const TRANSPORTS: [Transport; 8] = [
    Transport::Udp,
    Transport::Udp,
    Transport::Udp,
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Https,
    Transport::Quic,
];

/// The first byte says which zones are served, the second how the query comes; the rest is the message itself, or
/// what it is made from.
///
/// # Panics
/// If the engine breaks a rule.
pub fn any_bytes(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (zones, form) = (input.byte(), input.byte());
    let transport = TRANSPORTS[usize::from(form & 7)];
    let chosen;
    let served = match usize::from(zones) % (2 * world::STANDING_COUNT) {
        at if at < world::STANDING_COUNT => world::standing(at),
        _ => {
            chosen = world::chosen(&mut input);
            &chosen
        }
    };
    let query = if form & 0x80 == 0 { super::query::made(&mut input, served) } else { input.rest().to_vec() };
    check(served, &query, transport);
}

/// Asks and holds the reply against all rules.
///
/// # Panics
/// If one is broken.
pub fn check(world: &World, query: &[u8], transport: Transport) {
    let asked = asked::read(query);
    let bytes = world.exchange(query, transport);
    assert_eq!(bytes, world.exchange(query, transport), "the same question has the same answer");
    let expected = expected(world, &asked);
    let Some(bytes) = bytes else {
        let may_be_silent = asked.sense == Sense::None || expected.is_some_and(|expected| expected.is_silent);
        assert!(may_be_silent, "silence is for replies, stumps and silent names: {asked:?}");
        return;
    };
    assert!(asked.sense != Sense::None, "replies and stumps get no reply");
    let reply = reply::read(&bytes);
    check_head(&asked, &reply);
    check_size(&asked, &reply, query.len(), transport);
    check_options(&asked, &reply, transport);
    check_rcode(&asked, &reply);
    check_aliases(&asked, &reply);
    assert!(!reply.is_signed || asked.is_signed || asked.sense == Sense::Malformed, "TSIG for TSIG");
    if let Some(expected) = expected.as_ref().filter(|expected| asked.sense == Sense::Fine && !expected.is_silent) {
        let is_truncated = reply.flags & 0x0200 != 0;
        assert!(is_truncated || reply.rcode == expected.rcode, "{reply:?}\n{expected:?}");
    }
    let all: Vec<Record> = reply.sections.concat();
    reply::sets(&all);
    if reply.rcode != NOERROR && reply.rcode != NXDOMAIN && reply.rcode != YXDOMAIN {
        assert!(all.is_empty(), "an error carries no records: {reply:?}");
        return;
    }
    if asked.sense == Sense::Fine
        && let Some(expected) = expected
    {
        if expected.is_silent {
            // What leads to it may have found no room.
            assert!(reply.flags & 0x0200 != 0, "a silent name speaks: {reply:?}");
            return;
        }
        let limit = if transport == Transport::Udp { udp_limit(&asked) } else { 65_535 };
        check_sections(world, query, limit, &asked, &reply, &expected);
    }
}

/// What the model says, where it is asked at all.
fn expected(world: &World, asked: &Asked) -> Option<Expected> {
    let (qname, qtype, qclass) = asked.question.as_ref()?;
    let is_looked_up = asked.opcode() == 0
        && matches!(asked.sense, Sense::Fine | Sense::Doubtful)
        && asked.opt.as_ref().is_none_or(|opt| opt.version == 0)
        && !asked.is_signed
        && matches!(qclass, 1 | 255)
        && (*qtype == Type::ANY || !is_meta(*qtype));
    is_looked_up.then(|| {
        let mut expected = model::answer(&world.zones, qname, *qtype);
        // RFC 1035 §6.2: an answer to class ANY "can never be authoritative".
        expected.aa &= *qclass == 1;
        expected
    })
}

/// Types that no data can have (RFC 6895 §3.1).
fn is_meta(rtype: Type) -> bool {
    matches!(rtype.0, 41 | 128 | 249..=255)
}

/// RFC 1035 §4.1.1: what is echoed, and what is not set.
fn check_head(asked: &Asked, reply: &Reply) {
    assert_eq!(reply.id, asked.id, "the id comes back");
    let echoed = 0x7800 | 0x0100 | 0x0010;
    let [aa, tc] = [0x0400, 0x0200];
    // What we do not understand we may say without its flags.
    let may_lack = if asked.opcode() == 0 { 0 } else { 0x0110 };
    let [found, wanted] = [reply.flags & !(aa | tc), 0x8000 | asked.flags & echoed];
    assert_eq!(found | may_lack, wanted | may_lack, "QR, opcode, RD and CD, and no other");
    let may_lack = asked.opcode() != 0 || asked.sense != Sense::Fine;
    assert!(
        reply.question == asked.question_bytes || reply.question.is_empty() && may_lack,
        "the question comes back as it was: {reply:?}"
    );
}

fn udp_limit(asked: &Asked) -> usize {
    asked.opt.as_ref().map_or(512, |opt| usize::from(opt.size).clamp(512, UDP_PAYLOAD))
}

fn check_size(asked: &Asked, reply: &Reply, query: usize, transport: Transport) {
    let limit = if transport == Transport::Udp { udp_limit(asked) } else { 65_535 };
    assert!(reply.size <= limit, "{} of {limit} bytes", reply.size);
    if reply.sections.iter().all(Vec::is_empty) && !transport.is_encrypted() {
        let added = if reply.opt.is_some() { OPT_LENGTH + OPTIONS_MAX } else { 0 };
        assert!(reply.size <= query + added, "an error is no amplifier");
    }
}

/// RFC 6891 §6.1.1, §7: OPT in the reply if and only if one was in the query; no option that was not asked for but
/// explanations (RFC 8914 §3).
fn check_options(asked: &Asked, reply: &Reply, transport: Transport) {
    if asked.sense != Sense::Malformed {
        assert_eq!(reply.opt.is_some(), asked.opt.is_some(), "OPT for OPT");
    }
    let Some(opt) = &reply.opt else { return };
    assert!(usize::from(opt.size) >= 512 && opt.version == 0 && opt.flags & 0x7fff == 0, "of the flags, DO alone");
    // Of a message that nobody understands, its OPT may have been read or not.
    let Some(wanted) = &asked.opt else { return };
    assert_eq!(opt.flags != 0, wanted.wants_dnssec, "DO comes back");
    for (code, _) in &opt.options {
        let was_sent = wanted.options.iter().any(|(sent, _)| sent == code);
        let may_be = match code {
            15 => true,
            11 => matches!(transport, Transport::Tcp | Transport::Tls),
            12 => was_sent && transport.is_encrypted(),
            _ => was_sent,
        };
        assert!(may_be, "option {code} was not asked for");
    }
    if transport == Transport::Udp {
        assert!(opt.options.iter().all(|&(code, _)| code != 11), "RFC 7828 §3.2.1: no keepalive over UDP");
    }
}

/// The rcodes of what is not looked up.
fn check_rcode(asked: &Asked, reply: &Reply) {
    let may_be: &[u16] = if asked.opcode() != 0 && reply.rcode == BADVERS {
        assert!(asked.opt.as_ref().is_some_and(|opt| opt.version > 0));
        return;
    } else if asked.opcode() != 0 {
        // RFC 8906 §3.1.4. NOTIFY and UPDATE of what we are no secondary or primary of have words of their own.
        if matches!(asked.opcode(), 4 | 5) { &[NOTIMP, REFUSED, NOTAUTH, FORMERR] } else { &[NOTIMP] }
    } else if asked.sense == Sense::Malformed {
        &[FORMERR]
    } else if asked.opt.as_ref().is_some_and(|opt| opt.version > 0) {
        &[BADVERS]
    } else if asked.is_signed {
        assert!(reply.rcode == FORMERR || reply.is_signed, "RFC 8945 §5.2.1: BADKEY stands in a TSIG");
        &[NOTAUTH, FORMERR]
    } else if asked.sense == Sense::Doubtful {
        return;
    } else {
        match asked.question {
            Some((_, _, qclass)) if !matches!(qclass, 1 | 255) => &[REFUSED, NOTIMP, FORMERR],
            Some((_, qtype, _)) if is_meta(qtype) && qtype != Type::ANY => &[FORMERR, NOTIMP, REFUSED, NOTAUTH],
            _ => &[NOERROR, NXDOMAIN, REFUSED, YXDOMAIN],
        }
    };
    let is_doubtful_too = asked.sense == Sense::Doubtful && reply.rcode == FORMERR;
    assert!(may_be.contains(&reply.rcode) || is_doubtful_too, "rcode {} of {may_be:?}: {asked:?}", reply.rcode);
}

/// Each alias stands before what it leads to: a stub reads the answer from the front and never goes back.
fn check_aliases(asked: &Asked, reply: &Reply) {
    let Some((qname, ..)) = &asked.question else { return };
    let mut sought = qname.clone();
    for record in reply.sections[0].iter().filter(|record| record.rtype != Type::RRSIG) {
        if record.rtype == Type::DNAME && record.owner != sought {
            assert!(sought.is_within(&record.owner), "{record:?} is not above {sought}");
        } else {
            assert_eq!(record.owner, sought, "{record:?} does not follow from what stands before it");
            if record.rtype == Type::CNAME && asked.question.as_ref().is_some_and(|(_, qtype, _)| *qtype != Type::CNAME)
            {
                sought = Name::from_wire(&record.rdata).expect("one name");
            }
        }
    }
}

fn check_sections(world: &World, query: &[u8], limit: usize, asked: &Asked, reply: &Reply, expected: &Expected) {
    let is_truncated = reply.flags & 0x0200 != 0;
    assert_eq!(reply.flags & 0x0400 != 0, expected.aa, "AA: {reply:?}\n{expected:?}");
    let sections = reply.sections.each_ref().map(|records| reply::sets(records));
    if signed::are_asked_for(&world.zones, asked) {
        return;
    }
    let referred = signed::check(&world.zones, asked, &sections, reply.rcode, is_truncated);
    let [answer, authority, additional] = sections.map(signed::without_proofs);
    check_section("answer", &answer, &expected.answer, &expected.some_of, is_truncated);
    check_section("authority", &authority, &expected.authority, &referred, is_truncated);
    check_section("additional", &additional, &expected.glue, &expected.helpful, is_truncated);
    if !is_truncated && !expected.some_of.is_empty() {
        assert!(answer.len() > expected.answer.len(), "ANY has an answer: {reply:?}");
    }
    // What is required fits, or TC says that it did not.
    if is_truncated {
        let whole = world.exchange(query, Transport::Tcp).map(|bytes| reply::read(&bytes)).expect("TCP answers too");
        let glue = by_key(&expected.glue);
        let is_spare = |record: &&Record| !glue.contains_key(&(record.owner.clone(), record.rtype));
        let spare: usize = whole.sections[2].iter().filter(is_spare).map(|record| record.size).sum();
        let opt = |reply: &Reply| reply.opt.as_ref().map_or(0, |opt| opt.length);
        let (needed, room) = (whole.size - spare - opt(&whole), limit - opt(reply).max(opt(&whole)));
        assert!(whole.flags & 0x0200 != 0 || needed > room, "TC, though {needed} bytes fit {room}: {reply:?}");
    }
}

/// `found` holds all of `required`, besides only what `may` be there, and each RRset whole.
fn check_section(what: &str, found: &[Set], required: &[Set], may: &[Set], is_truncated: bool) {
    for set in found {
        let is_known = required.iter().chain(may).any(|known| known == set);
        assert!(is_known, "{what}: {set:?} is not, or not wholly, what it may be\n{required:?}\n{may:?}");
    }
    for set in required {
        assert!(is_truncated || found.contains(set), "{what} lacks {set:?}: {found:?}");
    }
}
