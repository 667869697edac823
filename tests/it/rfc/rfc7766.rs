//! RFC 7766: a TCP connection.

use std::time::Duration;

use failoverd::answer::Stream;
use failoverd::answer::stream::{IDLE, OUTGOING_MAX};
use failoverd::time::Moment;
use proptest::prelude::*;

use super::world::{Answer, World, query};

fn world() -> World {
    let fat: String = (1..=200).map(|host| format!("fat TXT {host}{}\n", "x".repeat(250))).collect();
    World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1\nmail A 192.0.2.2\n{fat}"))])
}

fn stream() -> Stream {
    Stream::new(([127, 0, 0, 1], 5300).into(), Moment::default())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn replies(mut bytes: &[u8]) -> Vec<Answer> {
    let mut replies = Vec::new();
    while let Some((length, rest)) = bytes.split_at_checked(2) {
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
        replies.push(Answer::parse(message));
        bytes = rest;
    }
    replies
}

impl World {
    fn feed(&mut self, stream: &mut Stream, bytes: &[u8]) {
        stream.received(bytes, &self.snapshot, &mut self.desk, &mut self.reply);
    }
}

proptest! {
    #[test]
    fn s6_2_1_1_and_s8_pipelined_queries_in_any_pieces_are_answered_in_order(
        asked in proptest::collection::vec(prop_oneof![Just("www.example.com"), Just("mail.example.com"), Just("nobody.example.com")], 1..20),
        pieces in proptest::collection::vec(1..60_usize, 1..20),
    ) {
        let (mut world, mut stream) = (world(), stream());
        let mut bytes: &[u8] = &asked.iter().flat_map(|asked| framed(&query(&format!("{asked} A")).0)).collect::<Vec<_>>();
        let mut pieces = pieces.into_iter().cycle();
        let mut written = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(pieces.next().unwrap().min(bytes.len()));
            world.feed(&mut stream, piece);
            let some = stream.outgoing().len() / 2;
            written.extend_from_slice(&stream.outgoing()[..some]);
            stream.sent(some);
            bytes = rest;
        }
        written.extend_from_slice(stream.outgoing());
        let alone: Vec<Answer> = asked.iter().map(|asked| world.dig(&format!("{asked} A +tcp"))).collect();
        prop_assert_eq!(replies(&written), alone);
    }

    #[test]
    fn any_bytes_do_no_harm(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let (mut world, mut stream) = (world(), stream());
        for piece in pieces {
            world.feed(&mut stream, &piece);
            replies(stream.outgoing());
            stream.sent(usize::MAX);
            prop_assert!(stream.outgoing().is_empty());
        }
    }
}

#[test]
fn s6_2_2_a_client_that_does_not_read_is_not_read_either() {
    let (mut world, mut stream) = (world(), stream());
    let question = framed(&query("fat.example.com TXT").0);
    world.feed(&mut stream, &question.repeat(10));
    assert!((OUTGOING_MAX..OUTGOING_MAX + 65_537).contains(&stream.outgoing().len()));
    assert!(!stream.wants_read() && !stream.has_waiting());
    let mut answered = 0;
    for _ in 0..10 {
        answered += replies(stream.outgoing()).len();
        stream.sent(stream.outgoing().len());
        assert_eq!(stream.has_waiting(), answered < 10);
        world.feed(&mut stream, &[]);
    }
    assert_eq!(answered, 10);
    assert!(stream.wants_read());
}

#[test]
fn s6_2_3_idle_and_dribbling_connections_are_closed() {
    let (mut world, mut stream) = (world(), stream());
    let question = framed(&query("www.example.com A").0);
    world.desk.now.moment = Moment::default() + Duration::from_secs(6);
    world.feed(&mut stream, &question[..question.len() - 1]);
    assert_eq!(stream.deadline(), Moment::default() + IDLE, "a piece of a query is no life");
    world.feed(&mut stream, &question[question.len() - 1..]);
    assert_eq!(stream.deadline(), world.desk.now.moment + IDLE);
    assert!(!stream.is_finished(world.desk.now.moment));
    assert!(stream.is_finished(world.desk.now.moment + IDLE));
}

#[test]
fn s6_2_4_what_was_asked_before_the_client_closed_is_answered() {
    let (mut world, mut stream) = (world(), stream());
    world.feed(&mut stream, &framed(&query("www.example.com A").0));
    stream.ended();
    assert!(!stream.wants_read() && !stream.is_finished(Moment::default()));
    assert_eq!(replies(stream.outgoing()).len(), 1);
    stream.sent(stream.outgoing().len());
    assert!(stream.is_finished(Moment::default()));
}
