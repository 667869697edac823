//! RFC 9210: operating DNS over TCP.

use std::time::Duration;

use failoverd::answer::stream::Activity;
use failoverd::answer::{Client, Stream, Transport};
use failoverd::config::{Answering, Streams};
use failoverd::time::Moment;

use super::world::{World, query};

fn world() -> World {
    let fat: String = (1..=200).map(|host| format!("fat TXT {host}{}\n", "x".repeat(250))).collect();
    World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1\n{fat}"))])
}

fn stream() -> Stream {
    let client = Client { address: ([127, 0, 0, 1], 5300).into(), transport: Transport::Tcp };
    Stream::new(client, Moment::default())
}

/// "Authoritative servers MUST service requests over TCP", the large ones too, and whether or not UDP was tried.
#[test]
fn s3_what_udp_truncates_tcp_answers_whole() {
    let mut world = world();
    assert!(world.dig("fat.example.com TXT").tc);
    let (mut stream, question) = (stream(), query("fat.example.com TXT").0);
    let framed = [&(question.len() as u16).to_be_bytes(), &question[..]].concat();
    stream.received(&framed, &world.snapshot, &mut world.desk, &mut world.reply);
    let reply = stream.outgoing();
    assert_eq!(usize::from(u16::from_be_bytes([reply[0], reply[1]])), reply.len() - 2);
    assert_eq!((reply[4] & 2, u16::from_be_bytes([reply[8], reply[9]])), (0, 200), "no TC, and all 200 records");
}

/// "Operators … SHOULD … configure … the number of connections, idle timeouts": and the timeouts of this very moment
/// hold, for connections that are open too.
#[test]
fn s4_2_the_time_a_connection_may_be_idle_follows_the_configuration() {
    let stream = stream();
    for seconds in [1, 10, 3600] {
        let streams = Streams { idle: Duration::from_secs(seconds), ..Streams::default() };
        let deadline = stream.deadline(&Answering { streams });
        assert_eq!(deadline, (Moment::from_boot(Duration::from_secs(seconds)), Activity::Idle));
    }
}

/// The order in which connections make room for others is that of their use, not of their age or their bytes.
#[test]
fn s4_2_a_dribbling_client_is_as_good_as_an_idle_one() {
    let (mut world, mut stream) = (world(), stream());
    let question = query("www.example.com A").0;
    let framed = [&(question.len() as u16).to_be_bytes(), &question[..]].concat();
    let later = Moment::from_boot(Duration::from_secs(3));
    world.desk.now.moment = later;
    for byte in &framed[..framed.len() - 1] {
        stream.received(&[*byte], &world.snapshot, &mut world.desk, &mut world.reply);
        assert_eq!(stream.active(), Moment::default());
    }
    stream.received(&framed[framed.len() - 1..], &world.snapshot, &mut world.desk, &mut world.reply);
    assert_eq!(stream.active(), later);
}

/// A connection that is idle holds no memory to speak of.
#[test]
fn s4_2_memory_is_held_only_while_something_is_under_way() {
    let (mut world, mut stream) = (world(), stream());
    assert_eq!(stream.held(), 0);
    for asked in ["www.example.com A", "fat.example.com TXT"] {
        let question = query(asked).0;
        let framed = [&(question.len() as u16).to_be_bytes(), &question[..]].concat();
        for piece in framed.repeat(3).chunks(7) {
            stream.received(piece, &world.snapshot, &mut world.desk, &mut world.reply);
            stream.sent(usize::MAX, Moment::default());
            while stream.has_waiting() {
                stream.received(&[], &world.snapshot, &mut world.desk, &mut world.reply);
                stream.sent(usize::MAX, Moment::default());
            }
        }
        assert!(stream.held() <= 2048, "{}", stream.held());
    }
}
