//! RFC 6672: DNAME.

use super::world::World;

const SOA: &str = "example.com. 300 SOA ns.example.com. mail.example.com. 1 2 3 4 300";

fn world() -> World {
    let long = "a".repeat(60);
    World::new(&[
        (
            "example.com",
            &format!(
                "
                @ SOA ns mail 1 2 3 4 300
                old 60 DNAME new
                old A 192.0.2.1
                x.new A 192.0.2.2
                away DNAME example.test.
                net DNAME deep.example.net.
                first DNAME second
                second DNAME new
                ring DNAME x.ring
                grow1 DNAME x.grow2
                grow2 DNAME grow1
                root DNAME .
                via CNAME x.old
                big DNAME {long}.{long}.{long}
                hidden.away A 192.0.2.3
                "
            ),
        ),
        ("example.net", "@ SOA ns mail 1 2 3 4 5\nwww.deep A 192.0.2.4\nmore.deep DNAME new.example.com."),
        ("apex.test", "@ SOA ns mail 1 2 3 4 5\n@ NS ns.example.com.\n@ DNAME new.example.com.\n@ A 192.0.2.5"),
    ])
}

#[test]
fn s3_1_a_cname_is_synthesized_with_the_ttl_of_the_dname() {
    let reply = world().dig("X.old.example.com A");
    reply.is(
        "NOERROR",
        &[
            "old.example.com. 60 DNAME new.example.com.",
            "X.old.example.com. 60 CNAME X.new.example.com.",
            "X.new.example.com. 300 A 192.0.2.2",
        ],
        &[],
    );
    assert!(reply.aa);
    world().dig("y.away.example.com A").is(
        "NOERROR",
        &["away.example.com. 300 DNAME example.test.", "y.away.example.com. 300 CNAME y.example.test."],
        &[],
    );
}

#[test]
fn s3_2_it_is_followed_again_and_across_zones() {
    world().dig("x.first.example.com A").is(
        "NOERROR",
        &[
            "first.example.com. 300 DNAME second.example.com.",
            "x.first.example.com. 300 CNAME x.second.example.com.",
            "second.example.com. 300 DNAME new.example.com.",
            "x.second.example.com. 300 CNAME x.new.example.com.",
            "x.new.example.com. 300 A 192.0.2.2",
        ],
        &[],
    );
    world().dig("x.more.net.example.com A").is(
        "NOERROR",
        &[
            "net.example.com. 300 DNAME deep.example.net.",
            "x.more.net.example.com. 300 CNAME x.more.deep.example.net.",
            "more.deep.example.net. 300 DNAME new.example.com.",
            "x.more.deep.example.net. 300 CNAME x.new.example.com.",
            "x.new.example.com. 300 A 192.0.2.2",
        ],
        &[],
    );
    let reply = world().dig("via.example.com A");
    assert_eq!((reply.answer.len(), reply.rcode.as_str()), (4, "NOERROR"));
    let reply = world().dig("nobody.old.example.com A");
    assert_eq!(
        (reply.answer.len(), reply.rcode.as_str(), &reply.authority[..]),
        (2, "NXDOMAIN", &[SOA.to_owned()][..])
    );
}

#[test]
fn s2_3_the_owner_itself_is_served_and_nothing_below_it() {
    world().dig("old.example.com A").is("NOERROR", &["old.example.com. 300 A 192.0.2.1"], &[]);
    world().dig("old.example.com DNAME").is("NOERROR", &["old.example.com. 60 DNAME new.example.com."], &[]);
    world().dig("old.example.com TXT").is("NOERROR", &[], &[SOA]);
    let reply = world().dig("hidden.away.example.com A");
    assert_eq!(reply.answer.len(), 2, "data below a DNAME is not served: {:?}", reply.answer);
}

#[test]
fn s2_3_at_an_apex() {
    world().dig("x.apex.test A").is(
        "NOERROR",
        &[
            "apex.test. 300 DNAME new.example.com.",
            "x.apex.test. 300 CNAME x.new.example.com.",
            "x.new.example.com. 300 A 192.0.2.2",
        ],
        &[],
    );
    world().dig("apex.test A").is("NOERROR", &["apex.test. 300 A 192.0.2.5"], &[]);
}

#[test]
fn s3_2_asked_for_cname_the_synthesized_one_is_the_answer() {
    let dname = "old.example.com. 60 DNAME new.example.com.";
    world().dig("x.old.example.com CNAME").is(
        "NOERROR",
        &[dname, "x.old.example.com. 60 CNAME x.new.example.com."],
        &[],
    );
    world().dig("n.old.example.com CNAME").is(
        "NOERROR",
        &[dname, "n.old.example.com. 60 CNAME n.new.example.com."],
        &[],
    );
}

#[test]
fn s2_2_yxdomain_if_the_name_becomes_too_long() {
    let reply = world().dig(&format!("{}.big.example.com A", "b".repeat(60)));
    assert_eq!((reply.rcode.as_str(), reply.answer.len(), reply.aa), ("YXDOMAIN", 1, true));
    assert!(reply.authority.is_empty());
}

#[test]
fn loops_end_and_no_dname_comes_twice() {
    world().dig("a.ring.example.com A").is(
        "NOERROR",
        &["ring.example.com. 300 DNAME x.ring.example.com.", "a.ring.example.com. 300 CNAME a.x.ring.example.com."],
        &[],
    );
    let reply = world().dig("a.grow1.example.com A +tcp");
    assert_eq!((reply.rcode.as_str(), reply.answer.len()), ("NOERROR", 2 + 65));
    assert_eq!(reply.answer.iter().filter(|line| line.contains(" DNAME ")).count(), 2);
    world().dig("org.root.example.com A").is(
        "NOERROR",
        &["root.example.com. 300 DNAME .", "org.root.example.com. 300 CNAME org."],
        &[],
    );
}
