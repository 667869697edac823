//! RFC 4892: who answers, in class CH.

use failoverd::answer::Transport;

use super::options::{ERROR, answering, one, send, with_options, world};
use super::world::{Answer, World, query};

fn chaos(world: &mut World, question: &str) -> Answer {
    let (mut bytes, transport) = query(question);
    *bytes.last_mut().unwrap() = 3;
    Answer::parse(&world.exchange(&bytes, transport).unwrap())
}

#[test]
fn nothing_is_told_unless_it_is_configured() {
    for name in ["id.server", "hostname.bind", "version.server", "version.bind", "www.example.com"] {
        chaos(&mut world(), &format!("{name} TXT")).is("REFUSED", &[], &[]);
    }
    let mut bytes = with_options("id.server TXT", &[]);
    let class = bytes.len() - 12;
    bytes[class] = 3;
    let reply = send(&mut world(), &bytes, [192, 0, 2, 1].into(), Transport::Udp).unwrap();
    assert_eq!(one(&reply, ERROR), [0, 18], "RFC 8914 §4.19: Prohibited");
}

#[test]
fn s2_name_and_version_as_txt() {
    let mut world = world();
    answering(&mut world, |answering| answering.identity = true);
    let version = concat!("failoverd ", env!("CARGO_PKG_VERSION"));
    for (name, text) in
        [("id.server", "ns1"), ("hostname.bind", "ns1"), ("version.server", version), ("version.bind", version)]
    {
        for asked in ["TXT", "ANY"] {
            let reply = chaos(&mut world, &format!("{name} {asked}"));
            reply.is("NOERROR", &[&format!("{name}. 0 TXT {text}")], &[]);
            assert!(!reply.aa && !reply.tc);
            let record = 12 + name.len() + 2 + 4;
            assert_eq!(reply.bytes[record + 4..record + 6], [0, 3], "class CH");
        }
        chaos(&mut world, &format!("{name} A")).is("REFUSED", &[], &[]);
        chaos(&mut world, &format!("x.{name} TXT")).is("REFUSED", &[], &[]);
    }
    chaos(&mut world, "ID.Server TXT").is("NOERROR", &["ID.Server. 0 TXT ns1"], &[]);
    for name in ["authors.bind", "server", "bind", "www.example.com"] {
        chaos(&mut world, &format!("{name} TXT")).is("REFUSED", &[], &[]);
    }
}

#[test]
fn names_of_class_ch_are_no_names_of_class_in() {
    let mut world = world();
    answering(&mut world, |answering| answering.identity = true);
    world.dig("id.server TXT").is("REFUSED", &[], &[]);
    world.dig("version.bind TXT").is("REFUSED", &[], &[]);
}
