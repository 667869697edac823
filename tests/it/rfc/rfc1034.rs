//! RFC 1034: the algorithm of a name server. RFC 2181 where it made it clearer.

use failoverd::answer::Transport;
use failoverd::zone::table::{Change, RRset};

use super::world::{World, name, query, rtype};

const SOA: &str = "example.com. 300 SOA ns.example.com. mail.example.com. 1 2 3 4 300";

fn world() -> World {
    World::new(&[
        (
            "example.com",
            "
            @ SOA ns mail 1 2 3 4 300
            @ NS ns
            ns A 192.0.2.1
            www 60 A 192.0.2.2
            www 60 A 192.0.2.3
            www AAAA 2001:db8::1
            alias CNAME www
            far CNAME www.example.net.
            away CNAME elsewhere.test.
            one CNAME two
            two CNAME three
            three CNAME www
            dead CNAME nobody
            bare CNAME ns
            ring1 CNAME ring2
            ring2 CNAME ring1
            self CNAME self
            into CNAME x.sub
            a.b.deep A 192.0.2.4
            sub NS ns.sub
            sub NS ns.example.net.
            ns.sub A 192.0.2.5
            *.sub A 192.0.2.6
            ",
        ),
        ("example.net", "@ SOA ns mail 1 2 3 4 5\n@ NS ns\nns A 192.0.2.7\nwww CNAME www.deep\nwww.deep A 192.0.2.8"),
        ("sub.example.net", "@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.9"),
    ])
}

#[test]
fn s4_3_2_step_3a_data_at_the_name() {
    let reply = world().dig("www.example.com A");
    reply.is("NOERROR", &["www.example.com. 60 A 192.0.2.2", "www.example.com. 60 A 192.0.2.3"], &[]);
    assert!(reply.aa && !reply.tc && reply.opt.is_none());
    let reply = world().dig("example.com NS");
    reply.is("NOERROR", &["example.com. 300 NS ns.example.com."], &[]);
    assert_eq!(reply.additional, ["ns.example.com. 300 A 192.0.2.1"]);
    assert!(reply.aa, "NS at the apex are the zone's own");
}

#[test]
fn s4_3_2_step_2_the_nearest_zone_or_refused() {
    world().dig("www.sub.example.net A").is("NOERROR", &["www.sub.example.net. 300 A 192.0.2.9"], &[]);
    for outside in ["example.org", "com", ".", "notexample.com"] {
        let reply = world().dig(&format!("{outside} A"));
        reply.is("REFUSED", &[], &[]);
        assert!(!reply.aa && reply.additional.is_empty());
    }
}

#[test]
fn s4_3_2_step_3b_referral() {
    for asked in ["sub.example.com A", "x.sub.example.com A", "ns.sub.example.com A", "a.b.c.sub.example.com NS"] {
        let reply = world().dig(asked);
        reply.is(
            "NOERROR",
            &[],
            &["sub.example.com. 300 NS ns.sub.example.com.", "sub.example.com. 300 NS ns.example.net."],
        );
        assert!(!reply.aa, "{asked}: data below a cut is not ours");
        assert_eq!(reply.additional, ["ns.sub.example.com. 300 A 192.0.2.5"]);
    }
}

#[test]
fn s3_6_2_aliases_are_followed_each_before_its_target() {
    world().dig("one.example.com A").is(
        "NOERROR",
        &[
            "one.example.com. 300 CNAME two.example.com.",
            "two.example.com. 300 CNAME three.example.com.",
            "three.example.com. 300 CNAME www.example.com.",
            "www.example.com. 60 A 192.0.2.2",
            "www.example.com. 60 A 192.0.2.3",
        ],
        &[],
    );
    world().dig("one.example.com CNAME").is("NOERROR", &["one.example.com. 300 CNAME two.example.com."], &[]);
}

#[test]
fn s3_6_2_aliases_lead_across_our_zones() {
    let reply = world().dig("far.example.com A");
    reply.is(
        "NOERROR",
        &[
            "far.example.com. 300 CNAME www.example.net.",
            "www.example.net. 300 CNAME www.deep.example.net.",
            "www.deep.example.net. 300 A 192.0.2.8",
        ],
        &[],
    );
    assert!(reply.aa);
    world().dig("away.example.com A").is("NOERROR", &["away.example.com. 300 CNAME elsewhere.test."], &[]);
}

#[test]
fn s3_6_2_the_end_of_the_chain_gives_the_rcode() {
    let reply = world().dig("dead.example.com A");
    reply.is("NXDOMAIN", &["dead.example.com. 300 CNAME nobody.example.com."], &[SOA]);
    assert!(reply.aa);
    world().dig("bare.example.com AAAA").is("NOERROR", &["bare.example.com. 300 CNAME ns.example.com."], &[SOA]);
    let reply = world().dig("into.example.com A");
    let [ns, other] = ["sub.example.com. 300 NS ns.sub.example.com.", "sub.example.com. 300 NS ns.example.net."];
    reply.is("NOERROR", &["into.example.com. 300 CNAME x.sub.example.com."], &[ns, other]);
    assert!(reply.aa, "AA is of the first name");
}

#[test]
fn s3_6_2_loops_end() {
    world().dig("ring1.example.com A").is(
        "NOERROR",
        &["ring1.example.com. 300 CNAME ring2.example.com.", "ring2.example.com. 300 CNAME ring1.example.com."],
        &[],
    );
    world().dig("self.example.com A").is("NOERROR", &["self.example.com. 300 CNAME self.example.com."], &[]);
}

#[test]
fn s3_6_2_long_chains_are_cut() {
    let chain: String = (0..80).map(|link| format!("c{link} CNAME c{}\n", link + 1)).collect();
    let reply = World::new(&[("example.com", &format!("@ SOA ns mail 1 2 3 4 5\n{chain}c80 A 192.0.2.1"))])
        .dig("c0.example.com A +tcp");
    assert_eq!((reply.rcode.as_str(), reply.answer.len()), ("NOERROR", 65));
    assert!(reply.answer.iter().all(|line| line.contains("CNAME")));
}

#[test]
fn s4_3_3_an_empty_non_terminal_has_no_data() {
    for asked in ["deep.example.com A", "b.deep.example.com A"] {
        world().dig(asked).is("NOERROR", &[], &[SOA]);
    }
}

#[test]
fn parent_and_child_and_root_may_all_be_ours() {
    let mut world = World::new(&[
        (".", ". SOA ns mail 1 2 3 4 5\ntest NS ns.test\nns.test A 192.0.2.1\norg A 192.0.2.9"),
        ("test", "@ SOA ns mail 1 2 3 4 5\nsub NS ns.sub\nns.sub A 192.0.2.2\nwww A 192.0.2.3"),
        ("sub.test", "@ SOA ns mail 1 2 3 4 5\nwww CNAME www.test."),
    ]);
    world.dig("www.sub.test A").is("NOERROR", &["www.sub.test. 300 CNAME www.test.", "www.test. 300 A 192.0.2.3"], &[]);
    world.dig("org A").is("NOERROR", &["org. 300 A 192.0.2.9"], &[]);
    world.dig("nobody A").is("NXDOMAIN", &[], &[". 5 SOA ns. mail. 1 2 3 4 5"]);
    world.dig(". SOA").is("NOERROR", &[". 300 SOA ns. mail. 1 2 3 4 5"], &[]);
    world.dig("nobody.test A").is("NXDOMAIN", &[], &["test. 5 SOA ns.test. mail.test. 1 2 3 4 5"]);
}

#[test]
fn a_silent_name_gets_no_reply_until_it_speaks() {
    let mut world = world();
    let silence = |owner: &str, silent| Change::Silence { owner: name(owner), silent };
    let remove = |owner: &str, rtype| Change::Remove { owner: name(owner), rtype };
    let addresses = ["A", "AAAA"].map(|word| remove("www.example.com", rtype(word)));
    world.change("example.com", &addresses);
    world.change("example.com", &[silence("www.example.com", true), silence("*.new.example.com", true)]);
    for asked in ["www.example.com A", "www.example.com TXT", "alias.example.com A", "x.new.example.com A"] {
        assert_eq!(world.exchange(&query(asked).0, Transport::Udp), None, "{asked}");
    }
    assert_eq!(world.desk.tally.dropped, 4);
    world.dig("example.com MX").is("NOERROR", &[], &[SOA]);
    let rrset = RRset { rtype: rtype("A"), ttl: 5, rdata: vec![vec![192, 0, 2, 77]] };
    let set = |owner: &str| Change::Set { owner: name(owner), rrset: rrset.clone() };
    world.change("example.com", &[silence("www.example.com", false), silence("*.new.example.com", false)]);
    world.change("example.com", &[set("www.example.com"), set("*.new.example.com")]);
    world.dig("x.new.example.com A").is("NOERROR", &["x.new.example.com. 5 A 192.0.2.77"], &[]);
    assert_eq!(world.dig("alias.example.com A").answer.len(), 2);
}

#[test]
fn a_silent_apex_answers_with_what_its_file_has() {
    let mut world = world();
    world.change("example.com", &[Change::Silence { owner: name("example.com"), silent: true }]);
    world.dig("example.com NS").is("NOERROR", &["example.com. 300 NS ns.example.com."], &[]);
    world.dig("example.com SOA").is("NOERROR", &[SOA], &[]);
    for asked in ["example.com A", "example.com AAAA", "example.com CNAME", "example.com TXT", "example.com ANY"] {
        assert_eq!(world.exchange(&query(asked).0, Transport::Udp), None, "{asked}");
    }
    world.dig("nobody.example.com A").is("NXDOMAIN", &[], &[SOA]);
}
