//! RFC 5155 §7.2: proofs by hashed names. The zone of appendix A, the questions of appendix B.

use std::collections::BTreeSet;

use failoverd::dns::Name;
use failoverd::zone::table::Denial;

use super::signed::{OPTOUT, RFC5155, load_zone, names, world};
use super::world::{Answer, name};

const APEX: &str = "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom";
const A: &str = "35mthgpgcu1qg68fab165klnsnk3dpvl";
const NS1: &str = "2t7b4g4vsa5smi47k61mv5bv1a22bojr";
const X_W: &str = "b4um86eghhds6nea196smvmlo4ors995";
const Y_W: &str = "ji6neoaepv8b5o6k4ev33abha8ht9fgc";
const W: &str = "k8udemvp1j2f7eg6jebps17vp3n8i58h";
const NS2: &str = "q04jkcevqvmu85r014c7dkba38o0ji5r";
const STAR_W: &str = "r53bq7cc2uvmubfu5ocmm6pers9tk9en";

/// Authority has these records and the NSEC3 of these hashes, each signed, in any order.
#[track_caller]
fn proves(reply: &Answer, rcode: &str, answer: &[&str], others: &[&str], hashes: &[&str]) {
    let proofs =
        hashes.iter().flat_map(|hash| [format!("{hash}.example. NSEC3"), format!("{hash}.example. RRSIG NSEC3")]);
    let authority: Vec<String> = others.iter().map(|&line| line.to_owned()).chain(proofs).collect();
    reply.is_briefly(rcode, answer, &authority.iter().map(String::as_str).collect::<Vec<_>>());
}

const SOA: [&str; 2] = ["example. SOA", "example. RRSIG SOA"];

#[test]
fn s7_2_2_name_error() {
    let mut world = world(&[RFC5155]);
    // B.1: x.w encloses; c.x.w and *.x.w are covered.
    proves(&world.dig("a.c.x.w.example A +do"), "NXDOMAIN", &[], &SOA, &[APEX, X_W, A]);
    world.dig("a.c.x.w.example A").is_briefly("NXDOMAIN", &[], &["example. SOA"]);
}

#[test]
fn s7_2_3_no_data() {
    let mut world = world(&[RFC5155]);
    proves(&world.dig("ns1.example MX +do"), "NOERROR", &[], &SOA, &[NS1]);
    // B.2.1: an empty non-terminal has an NSEC3 of its own.
    proves(&world.dig("y.w.example A +do"), "NOERROR", &[], &SOA, &[Y_W]);
}

#[test]
fn s7_2_4_no_ds() {
    let mut world = world(&[RFC5155]);
    // B.6: at the apex of a child.
    proves(&world.dig("example DS +do"), "NOERROR", &[], &SOA, &[APEX]);
    // A delegation left out by opt-out: the apex encloses, and the span that covers it is flagged.
    proves(&world.dig("c.example DS +do"), "NOERROR", &[], &SOA, &[APEX, A]);
}

#[test]
fn s7_2_5_a_wildcard_without_the_type() {
    proves(&world(&[RFC5155]).dig("a.z.w.example AAAA +do"), "NOERROR", &[], &SOA, &[W, NS2, STAR_W]);
}

#[test]
fn s7_2_6_a_wildcard_answers() {
    let answer = ["a.z.w.example. MX", "a.z.w.example. RRSIG MX"];
    proves(&world(&[RFC5155]).dig("a.z.w.example MX +do"), "NOERROR", &answer, &[], &[NS2]);
}

#[test]
fn s7_2_7_referrals() {
    let mut world = world(&[RFC5155]);
    let ns = ["c.example. NS", "c.example. NS"];
    proves(&world.dig("mc.c.example MX +do"), "NOERROR", &[], &ns, &[APEX, A]);
    let signed = ["a.example. NS", "a.example. NS", "a.example. DS", "a.example. RRSIG DS"];
    proves(&world.dig("mc.a.example MX +do"), "NOERROR", &[], &signed, &[]);
}

#[test]
fn s7_2_8_the_owner_of_an_nsec3_is_no_name() {
    let mut world = world(&[RFC5155]);
    for qtype in ["A", "NSEC3", "RRSIG", "ANY"] {
        let reply = world.dig(&format!("{APEX}.example {qtype} +do"));
        assert_eq!((reply.rcode.as_str(), reply.answer.len()), ("NXDOMAIN", 0), "{qtype}");
        assert!(reply.authority.iter().any(|line| line.contains(" NSEC3 ")), "{reply:?}");
    }
    // A name of the zone may look like one, and has its own data, of which the NSEC3 is none.
    world.dig(&format!("{NS1}.example A")).is_briefly("NOERROR", &[&format!("{NS1}.example. A")], &[]);
    world.dig(&format!("{NS1}.example NSEC3")).is_briefly("NOERROR", &[], &["example. SOA"]);
    world.dig(&format!("{NS1}.example RRSIG")).is_briefly("NOERROR", &[&format!("{NS1}.example. RRSIG A")], &[]);
}

/// With opt-out, empty non-terminals above delegations without DS have no NSEC3: the proof goes up to one that has.
#[test]
fn s7_2_1_the_closest_encloser_is_one_that_can_be_proven() {
    let mut world = world(&[OPTOUT]);
    let apex = format!("{}.optout.test.", hash_of("optout.test"));
    for asked in ["e.f.cuts.optout.test A", "x.d.e.f.cuts.optout.test A", "y.cuts.optout.test A"] {
        let reply = world.dig(&format!("{asked} +do"));
        let owners: BTreeSet<String> =
            reply.rows().into_iter().filter(|row| row.2 == "NSEC3").map(|row| row.1).collect();
        assert!(owners.contains(&apex), "{asked}: {owners:?}");
        assert!(owners.len() >= 2, "{asked}: {owners:?}");
    }
}

fn hashes(table: &failoverd::zone::table::Table) -> &failoverd::zone::table::Hashes {
    match table.denial() {
        Some(Denial::Nsec3(hashes)) => hashes,
        other => panic!("{other:?}"),
    }
}

/// Base32hex, a bit at a time.
fn letters(hash: &[u8]) -> String {
    let bits: String = hash.iter().map(|byte| format!("{byte:08b}")).collect();
    let letter = |at: usize| char::from_digit(u32::from_str_radix(&bits[at..at + 5], 2).unwrap(), 32).unwrap();
    (0..bits.len()).step_by(5).map(letter).collect()
}

fn hash_of(text: &str) -> String {
    let table = load_zone(OPTOUT).unwrap().table;
    letters(&hashes(&table).hash(name(text).folded().as_wire()))
}

/// What a validator does with a name error (§8.4), for every name error of the zone.
#[test]
fn s8_4_every_name_error_is_proven() {
    for zone in [RFC5155, OPTOUT] {
        let table = load_zone(zone).unwrap().table;
        let hashes = hashes(&table);
        let mut world = world(&[zone]);
        let mut proven = 0;
        for asked in names(zone) {
            let reply = world.dig(&format!("{asked} A +do +tcp"));
            if reply.rcode != "NXDOMAIN" || !reply.answer.is_empty() {
                continue;
            }
            let gaps: Vec<(String, String)> = reply
                .authority
                .iter()
                .map(|line| line.split(' ').collect::<Vec<_>>())
                .filter(|words| words[2] == "NSEC3")
                .map(|words| (words[0].split('.').next().unwrap().to_lowercase(), words[7].to_lowercase()))
                .collect();
            let hash = |name: &Name| letters(&hashes.hash(name.folded().as_wire()));
            let is_matched = |name: &Name| gaps.iter().any(|(owner, _)| *owner == hash(name));
            let is_covered = |name: &Name| {
                let hash = hash(name);
                gaps.iter().any(|(owner, next)| {
                    if owner < next { *owner < hash && hash < *next } else { *owner < hash || hash < *next }
                })
            };
            // From the name up, the first that is matched encloses; the one below it is the next closer.
            let above: Vec<Name> = std::iter::successors(Some(name(&asked)), Name::parent).collect();
            let at = above.iter().position(is_matched).unwrap_or_else(|| panic!("{asked}: {gaps:?}"));
            assert!(at > 0 && is_covered(&above[at - 1]), "{asked}: {gaps:?}");
            assert!(is_covered(&above[at].child(b"*").unwrap()), "{asked}: {gaps:?}");
            proven += 1;
        }
        assert!(proven > 30, "{proven}");
    }
}
