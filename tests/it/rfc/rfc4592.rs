//! RFC 4592: wildcards. The zone is that of §2.2.1.

use super::world::World;

const SOA: &str = "example. 300 SOA ns.example. mail.example. 1 2 3 4 300";

fn world() -> World {
    World::new(&[(
        "example",
        "
        @ SOA ns mail 1 2 3 4 300
        @ NS ns.example.com.
        * TXT wildcard
        * MX 10 host1
        sub.* TXT not-wildcard
        host1 A 192.0.2.1
        _ssh._tcp.host1 SRV 0 0 22 host1
        _ssh._tcp.host2 SRV 0 0 22 host1
        subdel NS ns.example.com.
        *.alias CNAME host1
        *.loop CNAME x.loop
        only.*.ent TXT deep
        ",
    )])
}

#[test]
fn s2_2_1_synthesized() {
    let mut world = world();
    for (asked, answer) in [
        ("host3.example MX", "host3.example. 300 MX 10 host1.example."),
        ("foo.bar.example TXT", "foo.bar.example. 300 TXT wildcard"),
    ] {
        let reply = world.dig(asked);
        reply.is("NOERROR", &[answer], &[]);
        assert!(reply.aa);
    }
    world.dig("host3.example A").is("NOERROR", &[], &[SOA]);
}

#[test]
fn s2_2_1_not_synthesized() {
    let mut world = world();
    world.dig("host1.example MX").is("NOERROR", &[], &[SOA]);
    world.dig("sub.*.example MX").is("NOERROR", &[], &[SOA]);
    world.dig("_telnet._tcp.host1.example SRV").is("NXDOMAIN", &[], &[SOA]);
    world.dig("host.subdel.example A").is("NOERROR", &[], &["subdel.example. 300 NS ns.example.com."]);
    world.dig("ghost.*.example MX").is("NXDOMAIN", &[], &[SOA]);
}

#[test]
fn s2_2_2_an_empty_non_terminal_blocks_and_has_no_data() {
    world().dig("_tcp.host1.example TXT").is("NOERROR", &[], &[SOA]);
    world().dig("host2.example TXT").is("NOERROR", &[], &[SOA]);
    world().dig("x.host2.example TXT").is("NXDOMAIN", &[], &[SOA]);
}

#[test]
fn s2_2_2_a_wildcard_that_is_an_empty_non_terminal_stands_for_no_data() {
    world().dig("x.ent.example TXT").is("NOERROR", &[], &[SOA]);
    world().dig("only.x.ent.example TXT").is("NOERROR", &[], &[SOA]);
}

#[test]
fn s2_3_the_asterisk_in_a_question_is_a_label_like_others() {
    world().dig("*.example TXT").is("NOERROR", &["*.example. 300 TXT wildcard"], &[]);
    world().dig("sub.*.example TXT").is("NOERROR", &["sub.*.example. 300 TXT not-wildcard"], &[]);
}

#[test]
fn s4_4_a_wildcard_may_own_a_cname() {
    world().dig("x.alias.example A").is(
        "NOERROR",
        &["x.alias.example. 300 CNAME host1.example.", "host1.example. 300 A 192.0.2.1"],
        &[],
    );
    world().dig("x.alias.example CNAME").is("NOERROR", &["x.alias.example. 300 CNAME host1.example."], &[]);
    world().dig("y.loop.example A").is(
        "NOERROR",
        &["y.loop.example. 300 CNAME x.loop.example.", "x.loop.example. 300 CNAME x.loop.example."],
        &[],
    );
}
