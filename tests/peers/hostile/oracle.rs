//! What a reply may look like, told from the packet alone by a reader of its own.

/// Bytes of a header.
pub(super) const HEADER: usize = 12;
const OPT: u16 = 41;

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// True if the packet deserves a reply: it is no reply itself, and not less than a header.
pub(super) fn is_query(packet: &[u8]) -> bool {
    packet.len() >= HEADER && packet[2] & 0x80 == 0
}

/// The place behind the name at `at`.
fn name_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// The records behind the questions: type, class and where each ends; `None` in the place of one that is cut off.
fn records(bytes: &[u8]) -> impl Iterator<Item = Option<(u16, u16, usize)>> {
    let count = |at| usize::from(word(bytes, at).unwrap_or(0));
    let questions = (0..count(4)).try_fold(HEADER, |at, _| Some(name_end(bytes, at)? + 4));
    let mut at = questions;
    (0..count(6) + count(8) + count(10)).map(move |_| {
        let head = name_end(bytes, at?)?;
        let end = head + 10 + usize::from(word(bytes, head + 8)?);
        at = (end <= bytes.len()).then_some(end);
        Some((word(bytes, head)?, word(bytes, head + 2)?, at?))
    })
}

/// The most a reply over UDP may have: what the first OPT asks for, between 512 and 1232 (RFC 6891 §6.2.3).
fn udp_limit(packet: &[u8]) -> usize {
    let mut known = records(packet).map_while(|record| record);
    known.find(|record| record.0 == OPT).map_or(512, |(_, size, _)| usize::from(size).clamp(512, 1232))
}

/// What is wrong with `reply` as one to `packet`.
pub(super) fn fault(packet: &[u8], reply: &[u8], is_udp: bool) -> Option<&'static str> {
    if !is_query(packet) {
        return Some("a reply to what is no query");
    }
    if reply.len() < HEADER || reply[2] & 0x80 == 0 {
        return Some("no reply");
    }
    if reply[..2] != packet[..2] {
        return Some("another id");
    }
    // Opcode and RD as they came; Z clear (RFC 1035 §4.1.1). What RD means to an opcode we do not know, we do not know.
    let is_unknown = packet[2] & 0x78 != 0;
    let echoed = if is_unknown { 0x78 } else { 0x79 };
    if (reply[2] ^ packet[2]) & echoed != 0 || reply[3] & 0x40 != 0 {
        return Some("other flags");
    }
    if is_udp && reply.len() > udp_limit(packet) {
        return Some("oversized");
    }
    match word(reply, 4) {
        Some(0) => {
            // RFC 1035 §4.1.1: a query that can be read has its question echoed. The upper bits of the rcode stand in OPT,
            // which follows the header then (RFC 6891 §6.1.3).
            let is_error = reply[3] & 0xf != 0 || reply.get(HEADER + 5).is_some_and(|&upper| upper != 0);
            let had_question = word(packet, 4) != Some(0);
            if had_question && !is_error {
                return Some("no question");
            }
        }
        Some(1) => {
            let Some(end) = name_end(reply, HEADER).map(|end| end + 4) else {
                return Some("a broken question");
            };
            if packet.get(HEADER..end) != reply.get(HEADER..end) {
                return Some("another question");
            }
        }
        _ => return Some("many questions"),
    }
    let mut end = if word(reply, 4) == Some(0) { Some(HEADER) } else { name_end(reply, HEADER).map(|end| end + 4) };
    let mut opts = 0;
    for record in records(reply) {
        end = record.map(|record| record.2);
        opts += usize::from(record.is_some_and(|record| record.0 == OPT));
    }
    match (end == Some(reply.len()), opts) {
        (false, _) => Some("records that do not fill it"),
        (true, 0 | 1) => None,
        _ => Some("several OPT"),
    }
}

#[test]
fn faults_are_found() {
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    assert_eq!(fault(query, &reply, true), None);
    for (at, value, wanted) in [
        (0, 0, "another id"),
        (2, 1, "no reply"),
        (2, 0x89, "other flags"),
        (2, 0x80, "other flags"),
        (3, 0x40, "other flags"),
        (5, 0, "no question"),
        (5, 2, "many questions"),
        (7, 1, "records that do not fill it"),
        (13, b'b', "another question"),
    ] {
        let mut wrong = reply.clone();
        wrong[at] = value;
        assert_eq!(fault(query, &wrong, true), Some(wanted), "{at}");
    }
    let mut long = reply.clone();
    long.resize(513, 0);
    assert_eq!(fault(query, &long, true), Some("oversized"));
    assert_eq!(fault(query, &long, false), Some("records that do not fill it"));
    assert_eq!(fault(&reply, &reply, true), Some("a reply to what is no query"));
    assert_eq!(fault(&query[..11], &reply, true), Some("a reply to what is no query"));
    let mut asked = query.to_vec();
    asked[11] = 1;
    asked.extend(b"\0\0\x29\x10\0\0\0\0\0\0\0");
    assert_eq!((udp_limit(query), udp_limit(&asked)), (512, 1232));
}
