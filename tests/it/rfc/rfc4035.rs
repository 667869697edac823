//! RFC 4035 §3.1: a signed zone served with its signatures and proofs, to who sets DO. The zone of appendix A, the
//! questions of appendix B; corners in a zone of our own.

use std::collections::BTreeSet;

use failoverd::dns::Name;
use failoverd::zone::table::{Node, Table};

use super::signed::{NSEC, OPTOUT, QTYPES, RFC4035, RFC5155, is_of_dnssec, load_zone, names, world};
use super::world::{World, name};

const PARENT: &str = "@ SOA ns mail 1 2 3 4 300\nsub NS ns.sub\nns.sub A 192.0.2.1\nsub DS digest\nplain NS ns.sub";
const CHILD: &str = "@ SOA ns mail 1 2 3 4 300\n@ A 192.0.2.2";

#[test]
fn s3_1_4_1_ds_is_answered_from_the_parents_side() {
    for zones in [&[("example.com", PARENT)][..], &[("example.com", PARENT), ("sub.example.com", CHILD)]] {
        let mut world = World::new(zones);
        let reply = world.dig("sub.example.com DS");
        assert_eq!((reply.rcode.as_str(), reply.answer.len(), reply.authority.len()), ("NOERROR", 1, 0));
        assert!(reply.aa && reply.answer[0].starts_with("sub.example.com. 300 DS "));
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
    reply.is("NXDOMAIN", &[], &[". 30 SOA ns. mail. 1 2 3 4 30", ". 30 RRSIG \\# 11 00067369676E6174757265"]);
}

#[test]
fn s3_1_without_do_nothing_of_dnssec_is_sent() {
    let mut world = world(&[RFC4035]);
    world.dig("x.w.example MX").is_briefly("NOERROR", &["x.w.example. MX"], &[]);
    world.dig("ml.example A +edns=1232").is_briefly("NXDOMAIN", &[], &["example. SOA"]);
    world.dig("mc.a.example MX").is_briefly("NOERROR", &[], &["a.example. NS", "a.example. NS"]);
}

#[test]
fn s3_1_1_an_answer_has_its_signature_behind_it() {
    let reply = world(&[RFC4035]).dig("x.w.example MX +do");
    reply.is_briefly("NOERROR", &["x.w.example. MX", "x.w.example. RRSIG MX"], &[]);
    let additional = super::signed::brief(&reply.additional);
    assert_eq!(
        additional,
        ["xx.example. A", "xx.example. RRSIG A", "xx.example. AAAA", "xx.example. RRSIG AAAA"],
        "B.1"
    );
    assert_eq!(reply.opt, Some((1232, true)));
}

const SOA: [&str; 2] = ["example. SOA", "example. RRSIG SOA"];

#[test]
fn s3_1_3_1_no_data() {
    let mut world = world(&[RFC4035]);
    let nsec = ["ns1.example. NSEC", "ns1.example. RRSIG NSEC"];
    world.dig("ns1.example MX +do").is_briefly("NOERROR", &[], &[SOA, nsec].concat());
    // B.8: DS of a zone whose parent is not here.
    let nsec = ["example. NSEC", "example. RRSIG NSEC"];
    world.dig("example DS +do").is_briefly("NOERROR", &[], &[SOA, nsec].concat());
    // An empty non-terminal has no NSEC: the one before says that the next name is below it.
    let nsec = ["ns2.example. NSEC", "ns2.example. RRSIG NSEC"];
    world.dig("w.example A +do").is_briefly("NOERROR", &[], &[SOA, nsec].concat());
}

#[test]
fn s3_1_3_2_no_such_name() {
    let nsec = ["b.example. NSEC", "b.example. RRSIG NSEC", "example. NSEC", "example. RRSIG NSEC"];
    let mut world = world(&[RFC4035]);
    world.dig("ml.example A +do").is_briefly("NXDOMAIN", &[], &[&SOA[..], &nsec].concat());
    // One NSEC may say both, and is sent once.
    world.dig("aa.example A +do").is_briefly(
        "NXDOMAIN",
        &[],
        &[&SOA[..], &["a.example. NSEC", "a.example. RRSIG NSEC"], &nsec[2..]].concat(),
    );
    world.dig("zz.x.w.example A +do").is_briefly(
        "NXDOMAIN",
        &[],
        &[SOA, ["x.w.example. NSEC", "x.w.example. RRSIG NSEC"]].concat(),
    );
}

#[test]
fn s3_1_3_3_a_wildcard_answers_because_nothing_closer_exists() {
    let reply = world(&[RFC4035]).dig("a.z.w.example MX +do");
    reply.is_briefly(
        "NOERROR",
        &["a.z.w.example. MX", "a.z.w.example. RRSIG MX"],
        &["x.y.w.example. NSEC", "x.y.w.example. RRSIG NSEC"],
    );
    assert!(reply.additional[0].starts_with("ai.example. 3600 A "), "additional data comes last");
}

#[test]
fn s3_1_3_4_a_wildcard_without_the_type() {
    let nsec = ["x.y.w.example. NSEC", "x.y.w.example. RRSIG NSEC", "*.w.example. NSEC", "*.w.example. RRSIG NSEC"];
    world(&[RFC4035]).dig("a.z.w.example AAAA +do").is_briefly("NOERROR", &[], &[&SOA[..], &nsec].concat());
}

#[test]
fn s3_1_4_referrals_have_ds_or_the_proof_that_there_is_none() {
    let mut world = world(&[RFC4035]);
    let signed = world.dig("mc.a.example MX +do");
    signed.is_briefly("NOERROR", &[], &["a.example. NS", "a.example. NS", "a.example. DS", "a.example. RRSIG DS"]);
    assert!(!signed.aa);
    assert_eq!(
        super::signed::brief(&signed.additional),
        ["ns1.a.example. A", "ns2.a.example. A"],
        "glue is not signed"
    );
    world.dig("mc.b.example MX +do").is_briefly(
        "NOERROR",
        &[],
        &["b.example. NS", "b.example. NS", "b.example. NSEC", "b.example. RRSIG NSEC"],
    );
    let ds = world.dig("a.example DS +do");
    ds.is_briefly("NOERROR", &["a.example. DS", "a.example. RRSIG DS"], &[]);
    assert!(ds.aa);
    let nsec = ["b.example. NSEC", "b.example. RRSIG NSEC"];
    world.dig("b.example DS +do").is_briefly("NOERROR", &[], &[SOA, nsec].concat());
}

#[test]
fn s2_5_signatures_and_nsec_are_asked_for_at_the_alias_itself() {
    let mut world = world(&[NSEC]);
    world.dig("www2.nsec.test RRSIG").is_briefly(
        "NOERROR",
        &["www2.nsec.test. RRSIG CNAME", "www2.nsec.test. RRSIG NSEC"],
        &[],
    );
    world.dig("www2.nsec.test NSEC").is_briefly("NOERROR", &["www2.nsec.test. NSEC"], &[]);
    world.dig("svc.nsec.test ANY +do").is_briefly(
        "NOERROR",
        &["svc.nsec.test. HTTPS", "svc.nsec.test. RRSIG HTTPS"],
        &[],
    );
}

#[test]
fn s3_1_3_each_wildcard_of_a_chain_is_proven() {
    let mut world = world(&[NSEC]);
    world.dig("q.wwild.nsec.test A +do").is_briefly(
        "NOERROR",
        &[
            "q.wwild.nsec.test. CNAME",
            "q.wwild.nsec.test. RRSIG CNAME",
            "any.wild.nsec.test. A",
            "any.wild.nsec.test. RRSIG A",
        ],
        &[
            "*.wwild.nsec.test. NSEC",
            "*.wwild.nsec.test. RRSIG NSEC",
            "*.wild.nsec.test. NSEC",
            "*.wild.nsec.test. RRSIG NSEC",
        ],
    );
    // To a delegation: its NS come first, then what is proven of it and of the way to it.
    let reply = world.dig("q.wplain.nsec.test A +do");
    assert!(reply.aa && reply.authority[0].starts_with("plain.nsec.test. 300 NS "), "{:?}", reply.authority);
    let proven: Vec<_> =
        super::signed::brief(&reply.authority).into_iter().filter(|line| line.ends_with(" NSEC")).collect();
    assert_eq!(
        proven,
        [
            "*.wplain.nsec.test. NSEC",
            "*.wplain.nsec.test. RRSIG NSEC",
            "plain.nsec.test. NSEC",
            "plain.nsec.test. RRSIG NSEC"
        ]
    );
}

/// RFC 6672 §5.3.1.
#[test]
fn a_dname_is_signed_and_its_cname_is_not() {
    world(&[NSEC]).dig("x.dn.nsec.test A +do").is_briefly(
        "NOERROR",
        &[
            "dn.nsec.test. DNAME",
            "dn.nsec.test. RRSIG DNAME",
            "x.dn.nsec.test. CNAME",
            "x.new.nsec.test. A",
            "x.new.nsec.test. RRSIG A",
        ],
        &[],
    );
}

#[test]
fn rfc_4034_s3_a_signature_has_the_ttl_of_what_it_signs() {
    // The SOA has 600 and MINIMUM 60: RFC 2308 §5.
    let reply = world(&[NSEC]).dig("nobody.nsec.test A +do");
    for line in reply.authority.iter().take(2) {
        assert!(line.starts_with("nsec.test. 60 "), "{line}");
    }
}

/// In all replies to all questions, at all sizes: signatures behind what they sign or TC, nothing twice, nothing of
/// DNSSEC for who did not ask.
#[test]
fn s3_1_1_an_rrset_and_its_signatures_go_together_or_not_at_all() {
    let (mut truncated, mut signed) = (0, 0);
    for zone in [RFC4035, RFC5155, NSEC, OPTOUT] {
        let table = load_zone(zone).unwrap().table;
        let mut world = world(&[zone]);
        for (index, asked) in names(zone).iter().enumerate() {
            for (at, qtype) in QTYPES.iter().enumerate() {
                let size = 512 + (index * 31 + at * 57) % 721;
                let plain = world.dig(&format!("{asked} {qtype} +edns={size}"));
                let is_asked = |rtype: &str| rtype == *qtype || *qtype == "ANY";
                assert!(
                    plain.rows().iter().all(|(_, _, rtype, _)| !is_of_dnssec(rtype) || is_asked(rtype)),
                    "{asked} {qtype}: {plain:?}"
                );
                let reply = world.dig(&format!("{asked} {qtype} +do +edns={size}"));
                assert!(reply.bytes.len() <= size, "{asked} {qtype}");
                let lines: Vec<&String> =
                    [&reply.answer, &reply.authority, &reply.additional].into_iter().flatten().collect();
                assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len(), "twice in {reply:?}");
                truncated += usize::from(reply.tc);
                let rows = reply.rows();
                for (row, next) in rows.iter().zip(rows.iter().skip(1).map(Some).chain([None])) {
                    let (section, owner, rtype, _) = row;
                    let is_last = next.is_none_or(|next| (next.0, &next.1, &next.2) != (*section, owner, rtype));
                    if rtype == "RRSIG" || !is_last {
                        continue;
                    }
                    // What the zone has of it: a node of that name, or the wildcard that stands for it.
                    let source = table.get(&name(owner)).or_else(|| wildcard(&table, &name(owner)));
                    let wanted = source.filter(|node| !node.is_under_cut() || node.is_hashed());
                    let rtype = super::world::rtype(rtype);
                    let has =
                        wanted.is_some_and(|node| node.records(rtype).is_some() && node.signatures(rtype).is_some());
                    let follows = next.is_some_and(|next| {
                        next.2 == "RRSIG" && (next.0, &next.1) == (*section, owner) && next.3 == rtype.to_string()
                    });
                    assert!(follows == has, "{asked} {qtype} +edns={size}: {owner} {rtype} in {reply:#?}");
                    signed += usize::from(has);
                }
            }
        }
    }
    assert!(signed > 5000 && truncated > 100, "{signed} signed, {truncated} truncated");
}

fn wildcard<'t>(table: &'t Table, owner: &Name) -> Option<Node<'t>> {
    let encloser = std::iter::successors(owner.parent(), Name::parent).find(|above| table.get(above).is_some())?;
    table.get(&encloser.child(b"*").ok()?)
}

/// What a validator does with a name error (RFC 4035 §5.4), for every name error of the zone.
#[test]
fn s5_4_every_name_error_is_proven() {
    let table = load_zone(NSEC).unwrap().table;
    let mut world = world(&[NSEC]);
    let mut proven = 0;
    for asked in names(NSEC) {
        let reply = world.dig(&format!("{asked} A +do +tcp"));
        if reply.rcode != "NXDOMAIN" || !reply.answer.is_empty() {
            continue;
        }
        let gaps: Vec<(Name, Name)> = reply
            .authority
            .iter()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|words| words[2] == "NSEC")
            .map(|words| (name(words[0]), name(words[3])))
            .collect();
        let is_covered = |name: &Name| {
            gaps.iter().any(|(owner, next)| {
                owner < name && (name < next || next == table.apex()) && name.is_within(table.apex())
            })
        };
        let asked = name(&asked);
        let encloser =
            std::iter::successors(asked.parent(), Name::parent).find(|above| table.get(above).is_some()).unwrap();
        assert!(is_covered(&asked) && is_covered(&encloser.child(b"*").unwrap()), "{asked}: {gaps:?}");
        proven += 1;
    }
    assert!(proven > 100, "{proven}");
}
