//! Each rule with a zone that breaks it and one that does not.

use std::io;
use std::path::{Path, PathBuf};

use super::super::{Read, read};
use crate::dns::{Name, Type};
use crate::zone::Files;
use crate::zone::load::{Report, Zone};
use crate::zone::table::Builder;

struct One(String);

impl Files for One {
    fn open(&self, _: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

fn name(text: &str) -> Name {
    Name::absolute(text).unwrap()
}

fn wire(text: &str) -> Vec<u8> {
    name(text).as_wire().to_vec()
}

/// A configuration whose names are steered between two hosted origins, or two of our own.
fn config(names: &[(&str, &str)]) -> Read {
    let mut text = r#"
[zone."example.com"]
file = "a"
[zone."sub.example.com"]
file = "b"
[check.site]
https = "/"
[origin.vercel]
cname = "cname.vercel-dns.com"
[origin.netlify]
cname = "apex-loadbalancer.netlify.com"
[origin.ours]
cname = "web.example.com"
[origin.moved]
cname = "www.old.example.com"
[origin.eu]
a = ["192.0.2.1"]
[origin.us]
a = ["192.0.2.2"]
[defaults.steer]
check = "site"
"#
    .to_owned();
    for (name, ladder) in names {
        let (primary, backup) = ladder.split_once(' ').unwrap();
        text += &format!("[steer.\"{name}\"]\nprimary = \"{primary}\"\nbackup = \"{backup}\"\nhost = \"h.example\"\n");
    }
    let files = One(text);
    read(&files, Path::new("f.toml"), &|_| None, "ns").unwrap_or_else(|errors| panic!("{errors}"))
}

/// Zone `example.com` with a delegation of `sub.example.com`, and that with SOA and NS alone.
fn zones(records: &[(&str, Type, Vec<u8>)]) -> Vec<Zone> {
    let delegation = ("sub.example.com", Type::NS, wire("ns.example.net"));
    undelegated_zones(&[&[delegation], records].concat())
}

/// The same without the delegation.
fn undelegated_zones(records: &[(&str, Type, Vec<u8>)]) -> Vec<Zone> {
    let zone = |apex: &str, records: &[(&str, Type, Vec<u8>)]| {
        let mut builder = Builder::new(name(apex));
        let soa = [
            wire("ns.example.net"),
            wire("host.example.net"),
            [1u32, 3600, 900, 604_800, 20].iter().flat_map(|n| n.to_be_bytes()).collect(),
        ]
        .concat();
        builder.push(&name(apex), Type::SOA, 3600, &soa).unwrap();
        builder.push(&name(apex), Type::NS, 3600, &wire("ns.example.net")).unwrap();
        for (owner, rtype, rdata) in records {
            builder.push(&name(owner), *rtype, 300, rdata).unwrap();
        }
        let (table, oddities) = builder.finish();
        assert!(oddities.is_empty());
        let serial = table.soa().unwrap().serial;
        Zone { table, serial, records: records.len() + 2, signatures_until: None, report: Report::default() }
    };
    vec![zone("example.com", records), zone("sub.example.com", &[])]
}

/// The titles of all errors.
fn said(read: &Read, zones: &[Zone]) -> Vec<String> {
    match read.against(zones) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            errors.to_string().lines().filter_map(|line| line.strip_prefix("error: ").map(str::to_owned)).collect()
        }
    }
}

const WWW: &str = "www.example.com";
const HOSTED: (&str, &str) = (WWW, "vercel ours");
const OWN: (&str, &str) = (WWW, "eu us");

#[test]
fn clean_zones_say_nothing() {
    let zones = zones(&[
        ("web.example.com", Type::A, vec![192, 0, 2, 9]),
        ("below.www.example.com", Type::TXT, b"\x01x".to_vec()),
    ]);
    for steer in [HOSTED, OWN] {
        assert_eq!(config(&[steer]).against(&zones).unwrap(), [""; 0]);
    }
}

#[test]
fn a_cname_stands_alone() {
    let records =
        [(WWW, Type::TXT, b"\x01x".to_vec()), (WWW, Type::MX, [&[0, 1][..], &wire("mx.example.net")].concat())];
    let zones = zones(&records);
    let expected = format!(
        "`www.example.com` is served as CNAME, and the zone file has {}, {} at the same name",
        Type::MX,
        Type::TXT
    );
    assert_eq!(said(&config(&[HOSTED]), &zones), [expected]);
    assert_eq!(said(&config(&[OWN]), &zones), [""; 0], "beside addresses they may stand");
}

#[test]
fn addresses_in_the_file_would_be_replaced() {
    for rtype in [Type::A, Type::CNAME] {
        let rdata = if rtype == Type::A { vec![192, 0, 2, 1] } else { wire("x.example.net") };
        let said = said(&config(&[OWN]), &zones(&[(WWW, rtype, rdata)]));
        assert!(said[0].starts_with("`www.example.com` is steered, and the zone file has"), "{said:?}");
    }
}

#[test]
fn hints_of_https_records_are_refused_and_only_they() {
    let https = |params: &[u8]| [&[0, 1, 0][..], params].concat();
    let alpn = [0, 1, 0, 3, 2, b'h', b'2'];
    let hint = [0, 4, 0, 4, 192, 0, 2, 1];
    let hint6 = [&[0, 6, 0, 16][..], &[0; 16]].concat();
    for (params, errors) in
        [(alpn.to_vec(), 0), (hint.to_vec(), 1), ([&alpn[..], &hint6].concat(), 1), (vec![0, 1, 0], 0)]
    {
        let zones = zones(&[(WWW, Type::HTTPS, https(&params))]);
        assert_eq!(said(&config(&[OWN]), &zones).len(), errors, "{params:?}");
    }
}

#[test]
fn hints_of_records_that_lead_to_a_steered_name_are_told() {
    let svcb = |target: &str, params: &[u8]| [&[0, 1][..], &wire(target), params].concat();
    let hint = [0, 4, 0, 4, 192, 0, 2, 1];
    let other = "_8443._https.example.com";
    for (owner, target, params, told) in [
        (other, WWW, &hint[..], 1),
        (other, WWW, &[], 0),
        (other, "web.example.com", &hint, 0),
        ("a.example.com", "x.wild.example.com", &hint, 1),
        ("x.wild.example.com", "x.wild.example.com", &hint, 0),
    ] {
        for rtype in [Type::HTTPS, Type::SVCB] {
            let zones = zones(&[(owner, rtype, svcb(target, params))]);
            let warnings = config(&[OWN, ("*.wild.example.com", "eu us")]).against(&zones).unwrap();
            assert_eq!(warnings.len(), told, "{owner} {rtype} {target}: {warnings:?}");
            let names = format!("old origin: {rtype} at {owner}; remove ipv4hint");
            assert!(warnings.iter().all(|warning| warning.contains(&names)), "{warnings:?}");
        }
    }
}

#[test]
fn a_zone_below_ours_is_delegated_and_alone() {
    let read = config(&[]);
    let told = |records: &[(&str, Type, Vec<u8>)]| read.against(&undelegated_zones(records)).unwrap();
    let ns = || wire("ns.example.net");
    let lost = "f.toml:4:7: `sub.example.com` is a zone of its own but not delegated in `example.com`; add `sub.example.com. NS …` to the file of example.com";
    assert_eq!(told(&[]), [lost]);
    assert_eq!(told(&[("sub.example.com", Type::NS, ns())]), [""; 0]);
    assert_eq!(told(&[("example.com", Type::DNAME, ns())]), [""; 0], "an NS could not stand there");
    let a = || vec![192, 0, 2, 1];
    let glue = [("example.com", Type::MX, [&[0, 1][..], &ns()].concat()), ("other.example.com", Type::A, a())];
    assert_eq!(told(&glue), [lost]);
    let glue = [("d.example.com", Type::NS, wire("ns.sub.example.com")), ("ns.sub.example.com", Type::A, a())];
    assert_eq!(told(&glue), [lost]);
    let own = told(&[("sub.example.com", Type::A, a()), ("www.sub.example.com", Type::TXT, b"\x01x".to_vec())]);
    assert_eq!(
        own,
        [
            lost,
            "f.toml:4:7: `sub.example.com` is a zone of its own, and the file of `example.com` has records there that are never answered: A at sub.example.com, TXT at www.sub.example.com; move them into the file of sub.example.com"
        ]
    );
}

#[test]
fn names_that_are_given_away_cannot_be_steered() {
    let ns = || wire("ns.example.net");
    for (owner, rtype, rdata, expected) in [
        ("www.example.com", Type::NS, ns(), "`www.example.com` is delegated to other servers in its zone file"),
        (
            "b.example.com",
            Type::NS,
            ns(),
            "`a.b.example.com` is below the delegation of `b.example.com` in its zone file",
        ),
        (
            "b.example.com",
            Type::DNAME,
            ns(),
            "`a.b.example.com` is below the DNAME at `b.example.com` in its zone file",
        ),
        ("example.com", Type::DNAME, ns(), "`a.b.example.com` is below the DNAME at `example.com` in its zone file"),
    ] {
        let read = config(&[OWN, ("a.b.example.com", "eu us")]);
        let said = said(&read, &zones(&[(owner, rtype, rdata)]));
        assert!(said.contains(&expected.to_owned()), "{said:?}");
    }
}

#[test]
fn the_deepest_zone_holds_the_name() {
    // Delegated in the parent, but the child is ours too: the name stands in the child.
    let zones = zones(&[]);
    assert_eq!(said(&config(&[("www.sub.example.com", "eu us")]), &zones), [""; 0]);
}

#[test]
fn records_must_not_point_at_a_cname() {
    let srv = [&[0, 1, 0, 1, 0, 80][..], &wire(WWW)].concat();
    let mx = [&[0, 1][..], &wire("WWW.Example.com")].concat();
    let records = [
        ("example.com", Type::MX, mx),
        ("_x._tcp.example.com", Type::SRV, srv),
        ("d.example.com", Type::NS, wire(WWW)),
    ];
    let zones = zones(&records);
    let errors = config(&[HOSTED]).against(&zones).unwrap_err();
    assert_eq!(errors.len(), 1);
    let text = errors.to_string();
    for owner in ["at example.com", "at _x._tcp.example.com", "at d.example.com"] {
        assert!(text.contains(owner), "{text}");
    }
    assert_eq!(said(&config(&[OWN]), &zones), [""; 0], "addresses may be pointed at");
}

#[test]
fn a_steered_wildcard_counts_where_it_answers() {
    let mx = |target: &str| [&[0, 1][..], &wire(target)].concat();
    let read = config(&[("*.example.com", "vercel netlify")]);
    let there = [("example.com", Type::MX, mx("mail.example.com"))];
    assert_eq!(said(&read, &zones(&there)).len(), 1);
    let hidden = [("example.com", Type::MX, mx("mail.example.com")), ("mail.example.com", Type::A, vec![192, 0, 2, 1])];
    assert_eq!(said(&read, &zones(&hidden)), [""; 0]);
    let below =
        [("example.com", Type::MX, mx("a.mail.example.com")), ("mail.example.com", Type::A, vec![192, 0, 2, 1])];
    assert_eq!(said(&read, &zones(&below)), [""; 0], "its closest encloser has no wildcard");
}

#[test]
fn host_names_must_not_lead_back() {
    let back = "the backup rung of `www.example.com` leads back to itself";
    // By a static CNAME.
    let zones_static = zones(&[("web.example.com", Type::CNAME, wire(WWW))]);
    assert!(said(&config(&[HOSTED]), &zones_static).contains(&back.to_owned()));
    // By another steered name.
    let both = config(&[HOSTED, ("web.example.com", "vercel moved")]);
    let by_dname = zones(&[("old.example.com", Type::DNAME, wire("example.com"))]);
    assert!(said(&both, &by_dname).contains(&back.to_owned()), "web may go to www.old, which the DNAME turns into www");
    // By a static wildcard.
    let wild = zones(&[("*.example.com", Type::CNAME, wire(WWW))]);
    assert!(said(&config(&[HOSTED]), &wild).contains(&back.to_owned()));
    // A loop that never comes back to the name itself ends.
    let elsewhere = zones(&[
        ("web.example.com", Type::CNAME, wire("x.example.com")),
        ("x.example.com", Type::CNAME, wire("web.example.com")),
    ]);
    assert_eq!(said(&config(&[HOSTED]), &elsewhere), [""; 0]);
}

#[test]
fn signed_zones_are_refused_once_per_zone() {
    let zones = zones(&[("example.com", Type::DNSKEY, vec![1, 0, 3, 13, 0])]);
    let said = said(&config(&[OWN, ("a.example.com", "eu us"), ("b.example.com", "eu us")]), &zones);
    assert_eq!(said.len(), 1);
    assert_eq!(
        said[0],
        "`www.example.com` cannot be steered: its zone `example.com` is signed (DNSKEY at the apex), and failoverd \
         cannot sign yet (nor can 2 more names in it)"
    );
}

#[test]
fn a_negative_ttl_above_the_steered_one_is_a_warning() {
    let text = "[zone.\"example.com\"]\nfile = \"a\"\n[check.site]\nhttps = \"/\"\n[origin.eu]\na = [\"192.0.2.1\"]\n[origin.us]\na = [\"192.0.2.2\"]\n\
                [steer.\"www.example.com\"]\nprimary = \"eu\"\nbackup = \"us\"\ncheck = \"site\"\nttl = \"10s\"\n";
    let read = read(&One(text.to_owned()), Path::new("f.toml"), &|_| None, "ns").unwrap();
    let warnings = read.against(&zones(&[])[..1]).unwrap();
    assert_eq!(
        warnings,
        [
            "f.toml:9:1: the negative TTL of zone `example.com` is 20 s, above the 10 s of `www.example.com`; resolvers remember a missing address or type for that long; set the last number of its SOA to 10"
        ]
    );
}

#[test]
fn errors_point_at_the_header() {
    let errors = config(&[OWN]).against(&zones(&[(WWW, Type::A, vec![192, 0, 2, 1])])).unwrap_err().to_string();
    assert!(errors.contains("[steer.\"www.example.com\"]") && errors.contains("^^^^"), "{errors}");
}
