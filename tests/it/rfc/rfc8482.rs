//! RFC 8482: ANY gets one RRset.

use super::world::World;

#[test]
fn s4_1_one_rrset_is_an_answer() {
    let mut world = World::new(&[(
        "example.com",
        "@ SOA ns mail 1 2 3 4 5\n@ MX 10 mail\nmail A 192.0.2.1\nmail TXT hello\nalias CNAME mail\nold DNAME new\na.ent A 192.0.2.2",
    )]);
    let reply = world.dig("mail.example.com ANY");
    reply.is("NOERROR", &["mail.example.com. 300 A 192.0.2.1"], &[]);
    assert!(reply.aa && reply.additional.is_empty());
    world.dig("alias.example.com ANY").is("NOERROR", &["alias.example.com. 300 CNAME mail.example.com."], &[]);
    assert_eq!(world.dig("x.old.example.com ANY").answer.len(), 2);
    let soa = "example.com. 5 SOA ns.example.com. mail.example.com. 1 2 3 4 5";
    world.dig("ent.example.com ANY").is("NOERROR", &[], &[soa]);
    world.dig("nobody.example.com ANY").is("NXDOMAIN", &[], &[soa]);
}
