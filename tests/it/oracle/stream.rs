//! TCP framing: whatever the pieces, what leaves is what each query alone would get, in order; buffers stay bounded.

use failoverd::answer::stream::{FRAME_MAX, READ, ROOM};
use failoverd::answer::{Client, Desk, Reply, Stream, Transport};
use failoverd::dns::message::HEADER;
use failoverd::time::Moment;

use super::input::Input;
use super::query;
use super::world;

/// The first byte says which zones, the second what the bytes are: a stream as it is, or queries to be framed. Then
/// come the sizes of eight pieces and of eight writes.
///
/// # Panics
/// If the stream says anything else than its queries alone.
pub fn any_bytes(bytes: &[u8]) {
    let mut input = Input(bytes);
    let served = world::standing(usize::from(input.byte()));
    let form = input.byte();
    let sizes: [usize; 16] = std::array::from_fn(|_| usize::from(input.byte()));
    let incoming = if form & 1 == 0 { input.rest().to_vec() } else { framed(&mut input, served) };
    let (mut desk, mut reply) = (Desk::new(1), Reply::new());
    let client = Client { address: ([127, 0, 0, 1], 5300).into(), transport: Transport::Tcp };
    let mut stream = Stream::new(client, Moment::default());
    let (mut rest, mut written, mut turn) = (&incoming[..], Vec::new(), 0);
    // A client that reads slowly is not read either, so some turns only write.
    while !rest.is_empty() && stream.is_over().is_none() {
        let piece = (sizes[turn % 8] * (1 + usize::from(form >> 4) * 16)).max(usize::from(turn % 8 == 7));
        let wanted = stream.wanted();
        if wanted > 0 {
            let (piece, after) = rest.split_at(piece.min(wanted).min(rest.len()));
            stream.received(piece, &served.snapshot, &mut desk, &mut reply);
            rest = after;
        } else if stream.has_waiting() {
            stream.received(&[], &served.snapshot, &mut desk, &mut reply);
        } else {
            assert!(!stream.outgoing().is_empty(), "neither reads nor writes");
        }
        assert!(stream.held() <= ROOM + FRAME_MAX + READ, "{} bytes held", stream.held());
        let count = (sizes[8 + turn % 8] * 64).max(usize::from(turn % 8 == 7)).min(stream.outgoing().len());
        written.extend_from_slice(&stream.outgoing()[..count]);
        stream.sent(count, Moment::default());
        turn += 1;
    }
    stream.ended();
    while stream.is_over().is_none() {
        written.extend_from_slice(stream.outgoing());
        stream.sent(stream.outgoing().len(), Moment::default());
        stream.received(&[], &served.snapshot, &mut desk, &mut reply);
    }
    assert_eq!(written, one_by_one(served, &incoming));
}

/// Queries for these zones, each with its length before it; now and then a length that lies.
fn framed(input: &mut Input<'_>, served: &world::World) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !input.is_empty() && bytes.len() < 4096 {
        let length = input.byte();
        let message = query::made(&mut Input(input.take(usize::from(length & 0x3f))), served);
        let lie = usize::from(length == 0xff);
        bytes.extend(((message.len() + lie) as u16).to_be_bytes());
        bytes.extend(message);
    }
    bytes
}

/// What each whole query in the stream gets when it is alone. Behind one too short for a header nothing is read.
fn one_by_one(served: &world::World, mut incoming: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&[high, low], rest)) = incoming.split_first_chunk()
        && let Some((query, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
        && query.len() >= HEADER
    {
        if let Some(reply) = served.exchange(query, Transport::Tcp) {
            out.extend((reply.len() as u16).to_be_bytes());
            out.extend(reply);
        }
        incoming = rest;
    }
    out
}
