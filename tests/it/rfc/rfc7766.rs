//! RFC 7766: a TCP connection.

use std::time::Duration;

use failoverd::answer::stream::{Activity, Ending, FRAME_MAX, READ, ROOM};
use failoverd::answer::{Client, Stream, Transport};
use failoverd::config::Answering;
use failoverd::time::Moment;
use proptest::prelude::*;

use super::world::{Answer, World, query};

fn world() -> World {
    let fat: String = (1..=200).map(|host| format!("fat TXT {host}{}\n", "x".repeat(250))).collect();
    World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1\nmail A 192.0.2.2\n{fat}"))])
}

fn stream() -> Stream {
    let client = Client { address: ([127, 0, 0, 1], 5300).into(), transport: Transport::Tcp };
    Stream::new(client, Moment::default())
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
            stream.sent(some, Moment::default());
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
            stream.sent(usize::MAX, Moment::default());
            prop_assert!(stream.outgoing().is_empty());
        }
    }
}

#[test]
fn s6_2_2_a_client_that_does_not_read_is_not_read_either() {
    let (mut world, mut stream) = (world(), stream());
    let question = framed(&query("fat.example.com TXT").0);
    world.feed(&mut stream, &question.repeat(10));
    assert!((ROOM..ROOM + FRAME_MAX).contains(&stream.outgoing().len()));
    assert!(stream.wanted() == 0 && !stream.has_waiting());
    let mut answered = 0;
    for _ in 0..10 {
        answered += replies(stream.outgoing()).len();
        stream.sent(stream.outgoing().len(), Moment::default());
        assert_eq!(stream.has_waiting(), answered < 10);
        world.feed(&mut stream, &[]);
    }
    assert_eq!(answered, 10);
    assert!(stream.wanted() > 0);
}

fn after(millis: u64) -> Moment {
    Moment::default() + Duration::from_millis(millis)
}

/// The defaults: 10 s idle, 5 s for a query, 5 s for its answer.
fn deadline(stream: &Stream) -> (Moment, Activity) {
    stream.deadline(&Answering::default())
}

#[test]
fn s6_2_3_idle_connections_are_closed_and_a_piece_of_a_query_is_no_life() {
    let (mut world, mut stream) = (world(), stream());
    assert_eq!(deadline(&stream), (after(10_000), Activity::Idle));
    let question = framed(&query("www.example.com A").0);
    for (at, byte) in question[..question.len() - 1].iter().enumerate() {
        world.desk.now.moment = after(6_000 + 100 * at as u64);
        world.feed(&mut stream, &[*byte]);
        assert_eq!(deadline(&stream), (after(11_000), Activity::Receiving), "from its first byte");
    }
    world.desk.now.moment = after(10_000);
    world.feed(&mut stream, &question[question.len() - 1..]);
    assert_eq!(deadline(&stream), (after(15_000), Activity::Sending));
    stream.sent(usize::MAX, after(12_000));
    assert_eq!(deadline(&stream), (after(22_000), Activity::Idle));
}

#[test]
fn s6_2_3_the_rest_of_one_read_has_a_time_of_its_own() {
    let (mut world, mut stream) = (world(), stream());
    let question = framed(&query("www.example.com A").0);
    world.desk.now.moment = after(1_000);
    world.feed(&mut stream, &question[..5]);
    world.desk.now.moment = after(4_000);
    world.feed(&mut stream, &[&question[5..], &question[..5]].concat());
    stream.sent(usize::MAX, after(4_000));
    assert_eq!(deadline(&stream), (after(9_000), Activity::Receiving));
}

#[test]
fn s6_2_3_answers_must_be_taken_in_time_however_many_more_come() {
    let (mut world, mut stream) = (world(), stream());
    let question = framed(&query("www.example.com A").0);
    world.feed(&mut stream, &question);
    let first = stream.outgoing().len();
    world.desk.now.moment = after(2_000);
    world.feed(&mut stream, &question);
    stream.sent(first - 1, after(3_000));
    assert_eq!(deadline(&stream), (after(5_000), Activity::Sending), "one byte of the first is left");
    stream.sent(1, after(4_000));
    assert_eq!(deadline(&stream), (after(9_000), Activity::Sending), "the second");
    stream.sent(usize::MAX, after(5_000));
    assert_eq!(deadline(&stream), (after(15_000), Activity::Idle));
}

#[test]
fn s6_2_4_what_was_asked_before_the_client_closed_is_answered() {
    let (mut world, mut stream) = (world(), stream());
    world.feed(&mut stream, &framed(&query("www.example.com A").0));
    stream.ended();
    assert!(stream.wanted() == 0 && stream.is_over().is_none());
    assert_eq!(replies(stream.outgoing()).len(), 1);
    stream.sent(stream.outgoing().len(), Moment::default());
    assert_eq!(stream.is_over(), Some(Ending::Ended));
}

/// Where a client sends what cannot be a message, nobody knows where the next one begins.
#[test]
fn s8_a_message_without_a_header_ends_the_connection_behind_the_answers_before_it() {
    for length in 0..12 {
        let (mut world, mut stream) = (world(), stream());
        let question = framed(&query("www.example.com A").0);
        world.feed(&mut stream, &[&question[..], &framed(&vec![0; length]), &question].concat());
        assert_eq!((stream.wanted(), stream.is_over(), replies(stream.outgoing()).len()), (0, None, 1));
        stream.sent(usize::MAX, Moment::default());
        assert_eq!(stream.is_over(), Some(Ending::Malformed));
    }
}

proptest! {
    /// A connection holds a query and its answers, whatever it sends and takes.
    #[test]
    fn s6_2_2_what_a_connection_holds_is_bounded(
        steps in proptest::collection::vec((0..4_u8, 0..3 * READ), 1..200),
    ) {
        let (mut world, mut stream) = (world(), stream());
        let (fat, slim) = (framed(&query("fat.example.com TXT").0), framed(&query("www.example.com A").0));
        let (mut pending, mut held) = (Vec::new(), 0);
        for (what, count) in steps {
            match what {
                0 => pending.extend(fat.repeat(1 + count % 5)),
                1 => pending.extend([&[0xff, 0xff][..], &slim, &vec![0; 65_535 - slim.len()]].concat()),
                2 => pending.extend(slim.repeat(count % 300)),
                _ => {
                    stream.sent(count, Moment::default());
                    if stream.has_waiting() {
                        world.feed(&mut stream, &[]);
                    }
                }
            }
            while stream.wanted() > 0 && !pending.is_empty() {
                let some: Vec<u8> = pending.drain(..stream.wanted().min(pending.len())).collect();
                held += some.len();
                let before = stream.outgoing().len();
                world.feed(&mut stream, &some);
                prop_assert!(stream.outgoing().len() >= before);
            }
            prop_assert!(stream.held() <= ROOM + FRAME_MAX + READ, "{} bytes", stream.held());
        }
        prop_assert!(held > 0 || stream.held() == 0);
    }
}
