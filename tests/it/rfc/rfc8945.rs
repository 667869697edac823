//! RFC 8945: queries that are signed with a key we do not have.

use super::world::{Answer, World, query};

const WWW: &str = "www.example.com A";

fn tsig(class: u16, algorithm: &[u8], mac: &[u8], tail: &[u8]) -> Vec<u8> {
    let rdata = [algorithm, &[0, 0, 0x6b, 1, 0xbd, 0x5b, 1, 0x2c, 0, mac.len() as u8], mac, tail].concat();
    let head = [&b"\x03key\0\0\xfa"[..], &class.to_be_bytes(), &[0; 4], &(rdata.len() as u16).to_be_bytes()].concat();
    [head, rdata].concat()
}

fn plain() -> Vec<u8> {
    tsig(255, b"\x0bhmac-sha256\0", &[7; 32], b"\x12\x34\0\0\0\0")
}

fn ask(question: &str, records: &[&[u8]]) -> Vec<u8> {
    let mut world = World::new(&[("example.com", "@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1")]);
    let (mut bytes, transport) = query(question);
    bytes[11] += records.len() as u8;
    bytes.extend_from_slice(&records.concat());
    world.exchange(&bytes, transport).unwrap()
}

#[test]
fn s5_2_1_an_unknown_key_is_notauth_with_badkey_and_no_mac() {
    for question in [WWW, "www.example.com A +edns=1232", "example.org A"] {
        let reply = ask(question, &[&plain()]);
        assert_eq!(Answer::parse(&reply).rcode, "NOTAUTH");
        let tail = reply.len() - 16;
        // Fudge, no MAC, the original id, BADKEY, nothing else.
        assert_eq!(reply[tail + 6..], [1, 0x2c, 0, 0, 0x12, 0x34, 0, 17, 0, 0]);
        assert!(reply[..tail].ends_with(b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x1d\x0bhmac-sha256\0"));
    }
    let other = tsig(255, b"\x03foo\0", &[], b"\x12\x34\0\0\0\0");
    assert_eq!(Answer::parse(&ask(WWW, &[&other])).rcode, "NOTAUTH");
}

#[test]
fn s5_1_anywhere_but_at_the_end_and_twice_it_is_formerr() {
    let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(Answer::parse(&ask(WWW, &[opt, &plain()])).rcode, "NOTAUTH");
    for records in [[&plain()[..], opt], [&plain(), &plain()]] {
        Answer::parse(&ask(WWW, &records)).is("FORMERR", &[], &[]);
    }
}

#[test]
fn s4_2_what_is_not_laid_out_like_one_is_formerr() {
    let whole = b"\x0bhmac-sha256\0";
    for record in [
        tsig(1, whole, &[7; 32], b"\x12\x34\0\0\0\0"),
        tsig(255, whole, &[7; 32], b""),
        tsig(255, whole, &[7; 32], b"\x12\x34\0\0\0\x01"),
        tsig(255, whole, &[7; 32], b"\x12\x34\0\0\0\0\0"),
        b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\0".to_vec(),
    ] {
        Answer::parse(&ask(WWW, &[&record])).is("FORMERR", &[], &[]);
    }
}
