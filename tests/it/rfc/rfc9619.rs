//! RFC 9619: a query has one question.

use super::world::{Answer, World, query};

#[test]
fn s4_other_counts_are_formerr() {
    let mut world = World::new(&[("example.com", "@ SOA ns mail 1 2 3 4 5")]);
    let (bytes, transport) = query("example.com SOA");
    for count in [0, 2, 255] {
        let mut bytes = bytes.clone();
        bytes[5] = count;
        if count == 2 {
            bytes.extend_from_within(12..);
        }
        let reply = Answer::parse(&world.exchange(&bytes, transport).unwrap());
        reply.is("FORMERR", &[], &[]);
        assert_eq!(reply.bytes[4..6], [0, 0], "no question comes back");
    }
}
