//! RFC 1035: messages. RFC 2181 §9 on truncation, RFC 4343 on case.

use failoverd::answer::Transport;
use failoverd::dns::message::{Header, flag};

use super::world::{Answer, World, query};

fn world() -> World {
    let many: String = (1..=40).map(|host| format!("many A 192.0.2.{host}\n")).collect();
    let fat: String = (1..=230).map(|host| format!("fat TXT {host}{}\n", "x".repeat(250))).collect();
    World::new(&[(
        "example.com",
        &format!(
            "@ SOA ns.example.com. Mail.Example.com. 1 2 3 4 5
            @ NS ns
            @ MX 10 mail
            @ MX 20 mail.example.net.
            mail A 192.0.2.1
            mail AAAA 2001:db8::1
            long CNAME many
            {many}{fat}"
        ),
    )])
}

#[test]
fn s4_1_1_flags_are_copied_or_cleared() {
    let (mut bytes, _) = query("mail.example.com A");
    // RD and CD come back; AA, TC, RA, Z, AD and the rcode of a query mean nothing.
    bytes[2..4].copy_from_slice(&0x07ff_u16.to_be_bytes());
    let header = Header::read(&world().exchange(&bytes, Transport::Udp).unwrap()).unwrap();
    assert_eq!(header.flags, flag::QR | flag::AA | flag::RD | flag::CD);
    bytes[2..4].copy_from_slice(&[0, 0]);
    let header = Header::read(&world().exchange(&bytes, Transport::Udp).unwrap()).unwrap();
    assert_eq!(header.flags, flag::QR | flag::AA);
}

#[test]
fn s4_1_2_the_question_comes_back_in_its_case() {
    let (bytes, _) = query("mAiL.eXaMpLe.CoM A");
    let reply = world().exchange(&bytes, Transport::Udp).unwrap();
    assert_eq!(reply[12..bytes.len()], bytes[12..]);
    assert_eq!(reply[bytes.len()..bytes.len() + 2], [0xc0, 0x0c], "the owner is the question's name");
    assert_eq!(Answer::parse(&reply).answer, ["mAiL.eXaMpLe.CoM. 300 A 192.0.2.1"]);
}

#[test]
fn s4_1_4_names_end_in_pointers_to_the_apex_in_the_question() {
    let reply = world().dig("example.com MX");
    reply.is("NOERROR", &["example.com. 300 MX 10 mail.example.com.", "example.com. 300 MX 20 mail.example.net."], &[]);
    assert_eq!(reply.additional, ["mail.example.com. 300 A 192.0.2.1", "mail.example.com. 300 AAAA 2001:db8::1"]);
    let question = 12 + 13 + 4;
    let [near, far] = [12 + 2 + 5 + 2, 12 + 2 + 18];
    assert_eq!(reply.bytes.len(), question + near + far + (12 + 4) + (12 + 16));
    let soa = world().dig("x.y.example.com A");
    soa.is("NXDOMAIN", &[], &["example.com. 5 SOA ns.example.com. Mail.Example.com. 1 2 3 4 5"]);
    assert_eq!(soa.bytes.len(), 12 + 17 + 4 + 12 + (3 + 2) + 18 + 20, "what has another case is no pointer");
}

/// RFC 1034 §3.1: "you should preserve the case".
#[test]
fn s2_3_3_names_in_rdata_keep_their_case() {
    let reply = world().dig("EXAMPLE.com NS");
    reply.is("NOERROR", &["EXAMPLE.com. 300 NS ns.example.com."], &[]);
    let reply = world().dig("x.exAMPLE.com A");
    reply.is("NXDOMAIN", &[], &["exAMPLE.com. 5 SOA ns.example.com. Mail.Example.com. 1 2 3 4 5"]);
}

#[test]
fn s4_1_4_where_room_is_short_all_names_are_compressed() {
    let hosts: String = (0..30).map(|host| format!("sub NS ns{host:02}.hoster.example.\n")).collect();
    let mut world = World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\n{hosts}"))]);
    // Header and question, records of 2 + 10 + 5 + 2 bytes, the whole name in the first, OPT.
    let reply = world.dig("sub.example.com A +edns=1232");
    assert_eq!((reply.authority.len(), reply.tc), (30, false), "as they are");
    let reply = world.dig("sub.example.com A +edns=628");
    assert_eq!((reply.authority.len(), reply.tc, reply.bytes.len()), (30, false, 628));
    let reply = world.dig("sub.example.com A +edns=627");
    assert_eq!((reply.authority.len(), reply.tc), (0, true));
}

#[test]
fn s4_2_1_udp_holds_512_bytes_and_tc_drops_whole_rrsets() {
    let reply = world().dig("many.example.com A");
    assert_eq!((reply.tc, reply.answer.len(), reply.aa), (true, 0, true));
    let reply = world().dig("long.example.com A");
    assert_eq!(reply.answer, ["long.example.com. 300 CNAME many.example.com."]);
    assert!(reply.tc);
    let reply = world().dig("many.example.com A +edns=4096");
    assert_eq!((reply.tc, reply.answer.len()), (false, 40));
    let reply = world().dig("fat.example.com TXT +edns=65535");
    assert_eq!((reply.tc, reply.answer.len(), reply.opt), (true, 0, Some((1232, false))), "TC never loses OPT");
}

#[test]
fn s4_2_2_tcp_holds_65535_bytes() {
    let reply = world().dig("fat.example.com TXT +tcp");
    assert_eq!((reply.tc, reply.answer.len()), (false, 230));
    assert!(reply.bytes.len() > 60_000);
}

#[test]
fn s3_3_9_mail_exchangers_bring_their_addresses_while_there_is_room() {
    let text: String = (0..30).map(|host| format!("@ MX {host} mail{host}\nmail{host} A 192.0.2.{host}\n")).collect();
    let mut world = World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\n{text}"))]);
    let reply = world.dig("example.com MX +edns=1232");
    assert_eq!((reply.answer.len(), reply.tc), (30, false), "additional data left out is not truncation");
    assert_eq!(reply.additional.len(), 16, "and only so many are looked up");
    assert!(world.dig("example.com MX +edns=900").bytes.len() <= 900);
}
