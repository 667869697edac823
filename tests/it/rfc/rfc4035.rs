//! RFC 4035: what DNSSEC asks of a server that holds the data and signs nothing.

use super::world::World;

const PARENT: &str = "@ SOA ns mail 1 2 3 4 300\nsub NS ns.sub\nns.sub A 192.0.2.1\nsub DS digest\nplain NS ns.sub";
const CHILD: &str = "@ SOA ns mail 1 2 3 4 300\n@ A 192.0.2.2";

#[test]
fn s3_1_4_1_ds_is_answered_from_the_parents_side() {
    for zones in [&[("example.com", PARENT)][..], &[("example.com", PARENT), ("sub.example.com", CHILD)]] {
        let mut world = World::new(zones);
        let reply = world.dig("sub.example.com DS");
        reply.is("NOERROR", &["sub.example.com. 300 DS digest"], &[]);
        assert!(reply.aa);
        let none = world.dig("plain.example.com DS");
        none.is("NOERROR", &[], &["example.com. 300 SOA ns.example.com. mail.example.com. 1 2 3 4 300"]);
        assert!(none.aa);
    }
}

#[test]
fn s3_1_4_1_a_child_without_its_parent_has_no_ds() {
    let reply = World::new(&[("sub.example.com", CHILD)]).dig("sub.example.com DS");
    reply.is("NOERROR", &[], &["sub.example.com. 300 SOA ns.sub.example.com. mail.sub.example.com. 1 2 3 4 300"]);
}

#[test]
fn s3_1_4_1_ds_below_the_cut_is_referred() {
    let reply = World::new(&[("example.com", PARENT)]).dig("x.sub.example.com DS");
    reply.is("NOERROR", &[], &["sub.example.com. 300 NS ns.sub.example.com."]);
    assert!(!reply.aa);
}

#[test]
fn s3_1_3_the_signature_of_the_soa_has_its_ttl_at_the_root_too() {
    // The owner of the SOA, whose names are compressed, is one byte; that of the signature is a pointer.
    let root = "@ SOA ns mail 1 2 3 4 30\n@ TYPE48 key\n@ TYPE46 \0\u{6}signature";
    let reply = World::new(&[(".", root)]).dig("nobody A +do");
    reply.is("NXDOMAIN", &[], &[". 30 SOA ns. mail. 1 2 3 4 30", ". 30 TYPE46 signature"]);
}
