//! A question to a nameserver and its reply (RFC 1035 §4.1), for checks that ask one.

use crate::config::Question;
use crate::config::expect::Reply;
use crate::dns::message::{HEADER, Header, Opcode, Rcode, RecordView, flag, record};
use crate::dns::name::NAME_MAX;
use crate::dns::schema::{self, Field};
use crate::dns::{Class, Name, Serial, Type, rdata};

/// From the end of SOA's names: serial, refresh, retry, expire, minimum.
const SOA_NUMBERS: usize = 20;

/// Why bytes are no reply to a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// Another's, or forged: the true one may still come.
    NotOurs,
    /// Cut; the whole of it is had over TCP.
    Truncated,
    /// It answers, but cannot be read.
    Broken(&'static str),
}

/// A query for `question` in class IN, without recursion: an authority is asked.
pub fn query(id: u16, question: &Question) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [id, 0, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(question.name.as_wire());
    message.extend(question.rtype.0.to_be_bytes());
    message.extend(Class::IN.0.to_be_bytes());
    message
}

/// Reads a reply to the query with this `id`.
///
/// # Errors
/// If it is none, or not whole.
pub fn reply(message: &[u8], id: u16, question: &Question) -> Result<Reply, Unfit> {
    let header = Header::read(message).ok_or(Unfit::NotOurs)?;
    if header.id != id || !header.is_response() || header.opcode() != Opcode::QUERY {
        return Err(Unfit::NotOurs);
    }
    let [questions, answers, authorities, _] = header.counts;
    let mut reply =
        Reply { rcode: header.rcode(), authoritative: header.flags & flag::AA != 0, answer: Vec::new(), serial: None };
    // Who could not read the question cannot repeat it.
    if questions == 0 && header.rcode() == Rcode::FORMERR {
        return Ok(reply);
    }
    let mut at = asked(message, question).filter(|_| questions == 1).ok_or(Unfit::NotOurs)?;
    if header.flags & flag::TC != 0 {
        return Err(Unfit::Truncated);
    }
    for place in 0..u32::from(answers) + u32::from(authorities) {
        let view = record(message, at).ok_or(Unfit::Broken("it ends amid its records"))?;
        at = view.rdata.end;
        let rdata = expanded(message, &view).ok_or(Unfit::Broken("a name in a record cannot be read"))?;
        if view.rtype == Type::SOA && reply.serial.is_none() {
            reply.serial = serial(&rdata);
        }
        if place < u32::from(answers) {
            reply.answer.push(rdata::print(view.rtype, &rdata));
        }
    }
    Ok(reply)
}

/// The place behind the question, if it is this one.
fn asked(message: &[u8], question: &Question) -> Option<usize> {
    let (name, at) = name(message, HEADER)?;
    let &[t0, t1, c0, c1] = message.get(at..)?.first_chunk()?;
    let name = Name::from_wire(&name).ok()?;
    let is_same = name.folded() == question.name.folded()
        && Type(u16::from_be_bytes([t0, t1])) == question.rtype
        && Class(u16::from_be_bytes([c0, c1])) == Class::IN;
    is_same.then_some(at + 4)
}

/// RDATA with the names in it written out.
fn expanded(message: &[u8], view: &RecordView) -> Option<Vec<u8>> {
    let whole = message.get(view.rdata.clone())?;
    let Some(row) = schema::row(view.rtype) else {
        return Some(whole.to_vec());
    };
    let (mut out, mut at) = (Vec::with_capacity(whole.len()), view.rdata.start);
    for field in row.fields.chunks(1) {
        if let [Field::Name(_)] = field {
            let (wire, next) = name(message, at)?;
            out.extend(wire);
            at = next;
        } else if let Some((_, piece)) = rdata::pieces(field, message.get(at..view.rdata.end)?).next() {
            out.extend(piece);
            at += piece.len();
        } else {
            break;
        }
    }
    // What is left is no part of its type; printing will say so.
    out.extend(message.get(at..view.rdata.end)?);
    Some(out)
}

fn serial(soa: &[u8]) -> Option<Serial> {
    let numbers = soa.get(soa.len().checked_sub(SOA_NUMBERS)?..)?;
    Some(Serial(u32::from_be_bytes(*numbers.first_chunk()?)))
}

/// The name at `at` in wire form and the place behind it. Each pointer leads before the part it stands in (RFC 9267
/// §2), so there is an end.
fn name(message: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut wire, mut at, mut before, mut behind) = (Vec::new(), at, at, None);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                wire.push(0);
                return Some((wire, behind.unwrap_or(at + 1)));
            }
            1..=63 => {
                let end = at + 1 + usize::from(length);
                wire.extend(message.get(at..end)?);
                if wire.len() >= NAME_MAX {
                    return None;
                }
                at = end;
            }
            0xc0..=0xff => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                behind.get_or_insert(at + 2);
                if target >= before {
                    return None;
                }
                (at, before) = (target, target);
            }
            64..=0xbf => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(name: &str, rtype: Type) -> Question {
        Question { name: Name::absolute(name).unwrap(), rtype }
    }

    /// A reply to `asked` with these counts of records and their bytes.
    fn message(asked: &Question, flags: u16, answers: u16, authorities: u16, records: &[u8]) -> Vec<u8> {
        let mut message = query(7, asked);
        message[2..4].copy_from_slice(&(flag::QR | flags).to_be_bytes());
        message[6..8].copy_from_slice(&answers.to_be_bytes());
        message[8..10].copy_from_slice(&authorities.to_be_bytes());
        message.extend(records);
        message
    }

    /// A record of the question's name.
    fn own(rtype: Type, rdata: &[u8]) -> Vec<u8> {
        let mut record = vec![0xc0, 12];
        record.extend(rtype.0.to_be_bytes());
        record.extend([0, 1, 0, 0, 0, 60]);
        record.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
        record.extend(rdata);
        record
    }

    #[test]
    fn a_query_is_what_an_authority_is_asked() {
        let asked = question("a.test", Type::AAAA);
        assert_eq!(query(0x1234, &asked), b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x1c\0\x01");
    }

    #[test]
    fn rdata_is_printed_with_its_names_written_out() {
        let asked = question("a.test", Type::MX);
        let records = [own(Type::A, &[192, 0, 2, 1]), own(Type::MX, b"\0\x05\x02mx\xc0\x0e")].concat();
        let read = reply(&message(&asked, flag::AA, 2, 0, &records), 7, &asked).unwrap();
        assert_eq!(read.answer, ["192.0.2.1", "5 mx.test."]);
        assert_eq!((read.rcode, read.authoritative, read.serial), (Rcode::NOERROR, true, None));
    }

    #[test]
    fn the_serial_is_the_answers_or_that_of_the_denial() {
        let soa =
            own(Type::SOA, &[&b"\x02ns\xc0\x0e\x01h\xc0\x0e"[..], &2_026_112_100u32.to_be_bytes(), &[0; 16]].concat());
        let asked = question("a.test", Type::SOA);
        for (flags, answers, authorities, count) in [(0, 1, 0, 1), (3, 0, 1, 0)] {
            let read = reply(&message(&asked, flags, answers, authorities, &soa), 7, &asked).unwrap();
            assert_eq!((read.serial, read.answer.len()), (Some(Serial(2_026_112_100)), count));
        }
    }

    #[test]
    fn only_the_reply_to_this_query_is_read() {
        let asked = question("a.test", Type::A);
        let good = message(&asked, 0, 0, 0, &[]);
        assert!(reply(&good, 7, &asked).is_ok());
        assert!(reply(&good, 7, &question("A.TEST", Type::A)).is_ok(), "case does not matter");
        assert_eq!(reply(&good, 8, &asked), Err(Unfit::NotOurs));
        for other in [question("b.test", Type::A), question("a.test", Type::AAAA)] {
            assert_eq!(reply(&good, 7, &other), Err(Unfit::NotOurs));
        }
        assert_eq!(reply(&query(7, &asked), 7, &asked), Err(Unfit::NotOurs), "our own query");
        assert_eq!(reply(b"", 7, &asked), Err(Unfit::NotOurs));
        assert_eq!(reply(&message(&asked, flag::TC, 0, 0, &[]), 7, &asked), Err(Unfit::Truncated));
        assert!(matches!(reply(&message(&asked, 0, 1, 0, &[]), 7, &asked), Err(Unfit::Broken(_))));
        let mut mute = good[..HEADER].to_vec();
        mute[5] = 0;
        assert_eq!(reply(&mute, 7, &asked), Err(Unfit::NotOurs));
        mute[3] = 1;
        assert_eq!(reply(&mute, 7, &asked).unwrap().rcode, Rcode::FORMERR);
    }

    #[test]
    fn a_pointer_that_leads_nowhere_is_an_error_and_not_a_loop() {
        let asked = question("a.test", Type::CNAME);
        let at = u8::try_from(query(7, &asked).len() + 12).unwrap();
        for target in [[0xc0, at], [0xc0, at + 1], [0xff, 0xff]] {
            let broken = message(&asked, 0, 1, 0, &own(Type::CNAME, &target));
            assert!(matches!(reply(&broken, 7, &asked), Err(Unfit::Broken(_))), "{target:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), count in 0u16..4) {
            let asked = question("a.test", Type::SOA);
            let _ = reply(&message(&asked, 0, count, count, &bytes), 7, &asked);
            let _ = reply(&bytes, 7, &asked);
        }
    }
}
