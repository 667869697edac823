//! TCP framing: whatever the pieces, what leaves is what each query alone would get, in order; buffers stay bounded.

use failoverd::answer::stream::OUTGOING_MAX;
use failoverd::answer::{Desk, Reply, Stream, Transport};
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
    let mut stream = Stream::new(([127, 0, 0, 1], 5300).into(), Moment::default());
    let (mut rest, mut written, mut turn) = (&incoming[..], Vec::new(), 0);
    // A client that reads slowly is not read either, so some turns only write.
    while !rest.is_empty() {
        let piece = if stream.wants_read() { sizes[turn % 8] * (1 + usize::from(form >> 4) * 16) } else { 0 };
        let (piece, after) = rest.split_at(piece.max(usize::from(turn % 8 == 7)).min(rest.len()));
        if stream.wants_read() {
            stream.received(piece, &served.snapshot, &mut desk, &mut reply);
            rest = after;
        } else if stream.has_waiting() {
            stream.received(&[], &served.snapshot, &mut desk, &mut reply);
        } else {
            assert!(!stream.outgoing().is_empty(), "neither reads nor writes");
        }
        assert!(stream.outgoing().len() < OUTGOING_MAX + 2 + 65_535, "{} bytes wait", stream.outgoing().len());
        let count = (sizes[8 + turn % 8] * 64).max(usize::from(turn % 8 == 7)).min(stream.outgoing().len());
        written.extend_from_slice(&stream.outgoing()[..count]);
        stream.sent(count);
        turn += 1;
    }
    stream.ended();
    while !stream.is_finished(Moment::default()) {
        written.extend_from_slice(stream.outgoing());
        stream.sent(stream.outgoing().len());
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

/// What each whole query in the stream gets when it is alone.
fn one_by_one(served: &world::World, mut incoming: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&[high, low], rest)) = incoming.split_first_chunk()
        && let Some((query, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
    {
        if let Some(reply) = served.exchange(query, Transport::Tcp) {
            out.extend((reply.len() as u16).to_be_bytes());
            out.extend(reply);
        }
        incoming = rest;
    }
    out
}
