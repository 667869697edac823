//! Ladders and what is to be said of them.

use std::sync::Arc;

use super::*;
use crate::config::{Check, CheckId, Quorum};
use crate::probe::fixture::{self, name};
use crate::ready::fixture::table;

const ZONE: &str = "@ SOA ns hostmaster 1 3600 600 1209600 30\n@ NS ns\nns A 192.0.2.1\n";

/// `www.example.com` on these origins, one a rung, the second and third as backups.
fn config(form: Form, origins: Vec<Origin>) -> Config {
    let rungs = (0..).zip(&origins).map(|(id, _)| Rung {
        place: if id == 0 { Place::Primary } else { Place::Backup(id as u8) },
        origins: vec![OriginId(id)],
        quorum: Quorum::default(),
        check: Some(CheckId(0).into()),
    });
    let mut config = fixture::config();
    config.steers = vec![Arc::new(Steer { rungs: rungs.collect(), form, ..fixture::steer("www.example.com") })];
    config.checks = vec![Arc::new(fixture::check("site"))];
    config.origins = origins.into_iter().map(Arc::new).collect();
    config
}

fn own(label: &str, addresses: &[&str]) -> Origin {
    let (mut a, mut aaaa) = (Vec::new(), Vec::new());
    for address in addresses {
        match address.parse().unwrap() {
            IpAddr::V4(address) => a.push(address),
            IpAddr::V6(address) => aaaa.push(address),
        }
    }
    Origin { a, aaaa, ..fixture::origin(label) }
}

fn hosted(label: &str, cname: &str, platform: Platform) -> Origin {
    Origin { cname: Some(name(cname)), platform, ..fixture::origin(label) }
}

/// What these host names resolve to; one without addresses is gone.
struct Book(Vec<(Name, Vec<IpAddr>)>);

impl Book {
    fn of(rows: &[(&str, &[&str])]) -> Self {
        let addresses = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect();
        Self(rows.iter().map(|(host, all)| (name(host), addresses(all))).collect())
    }
}

impl Resolved for Book {
    fn addresses(&self, hostname: &Name) -> Option<&[IpAddr]> {
        self.0.iter().find(|(name, _)| name == hostname).map(|(_, addresses)| &addresses[..])
    }

    fn is_gone(&self, hostname: &Name) -> bool {
        self.addresses(hostname).is_some_and(<[IpAddr]>::is_empty)
    }
}

/// What is told of the rung with this index.
fn told(config: &Config, rung: usize, resolved: &dyn Resolved) -> Vec<String> {
    let steer = &config.steers[0];
    let rung = &steer.rungs[rung];
    foresee(config, steer, rung, rung.origins[0], resolved).iter().map(Finding::told).collect()
}

#[test]
fn a_family_that_the_primary_has_is_missed() {
    let both = || own("eu", &["192.0.2.1", "2001:db8::1"]);
    let config =
        config(Form::Address, vec![both(), own("us", &["192.0.2.2"]), own("ap", &["192.0.2.3", "2001:db8::3"])]);
    assert_eq!(told(&config, 0, &Unasked), [""; 0]);
    assert_eq!(
        told(&config, 1, &Unasked),
        ["it has no IPv6 address and the primary has one; add its IPv6 address with `aaaa`"]
    );
    assert_eq!(told(&config, 2, &Unasked), [""; 0]);
}

#[test]
fn host_names_have_the_families_they_resolve_to() {
    let config = config(
        Form::Cname,
        vec![
            hosted("vercel", "v.example.net", Platform::Plain),
            hosted("netlify", "n.example.net", Platform::Netlify),
            hosted("six", "s.example.net", Platform::Plain),
        ],
    );
    assert_eq!(told(&config, 1, &Unasked), [""; 0], "nobody has asked yet");
    let book = Book::of(&[
        ("v.example.net", &["192.0.2.1", "2001:db8::1"]),
        ("n.example.net", &["192.0.2.2"]),
        ("s.example.net", &["2001:db8::3"]),
    ]);
    assert_eq!(told(&config, 1, &book), ["it has no IPv6 address and the primary has one; have Netlify give it one"]);
    assert_eq!(
        told(&config, 2, &book),
        ["it has no IPv4 address and the primary has one; have the server give it one"]
    );
}

#[test]
fn addresses_are_those_the_platform_publishes() {
    let at = |platform, cname: Option<&str>, addresses: &[&str]| {
        let cname = cname.map(name);
        config(Form::Address, vec![Origin { platform, cname, ..own("it", addresses) }])
    };
    let nothing = Book::of(&[]);
    assert_eq!(told(&at(Platform::Netlify, None, &["75.2.60.5"]), 0, &nothing), [""; 0]);
    assert_eq!(
        told(&at(Platform::Netlify, None, &["104.198.14.52"]), 0, &nothing),
        ["104.198.14.52 is none of the addresses that Netlify publishes; there are 75.2.60.5"]
    );
    let pages = at(Platform::GithubPages, None, &["185.199.108.153", "192.30.252.153", "2606:50c0:8000::153"]);
    assert!(told(&pages, 0, &nothing)[0].starts_with("192.30.252.153 is none of the addresses that GitHub Pages"));
    // An address per customer is found by the host name, which has to be asked first.
    let vercel = at(Platform::Vercel, Some("acme.vercel-dns-1.com"), &["216.198.79.1"]);
    assert_eq!(told(&vercel, 0, &nothing), [""; 0]);
    assert_eq!(told(&vercel, 0, &Book::of(&[("acme.vercel-dns-1.com", &["216.198.79.1"])])), [""; 0]);
    assert_eq!(told(&vercel, 0, &Book::of(&[("acme.vercel-dns-1.com", &["64.29.17.1"])])).len(), 1);
}

#[test]
fn own_addresses_are_those_of_the_host_name_beside_them() {
    let plain = config(
        Form::Address,
        vec![Origin { cname: Some(name("lb.example.net")), ..own("eu", &["192.0.2.1", "192.0.2.2"]) }],
    );
    for (resolved, finding) in [
        (&["192.0.2.1", "192.0.2.2"][..], None),
        (&["192.0.2.1", "192.0.2.9"], None),
        (&["2001:db8::1"], None),
        (&["192.0.2.9"], Some("192.0.2.1, 192.0.2.2 is not what lb.example.net resolves to; there are 192.0.2.9")),
        (
            &[],
            Some(
                "its host name lb.example.net does not exist any more; point `cname` at a site that exists, or remove it",
            ),
        ),
    ] {
        let found = told(&plain, 0, &Book::of(&[("lb.example.net", resolved)]));
        assert_eq!(found, finding.into_iter().collect::<Vec<_>>(), "{resolved:?}");
    }
}

#[test]
fn a_platform_is_to_be_asked_by_https() {
    let mut config = config(Form::Cname, vec![hosted("netlify", "acme.netlify.app", Platform::Netlify)]);
    assert_eq!(told(&config, 0, &Unasked), [""; 0]);
    config.checks = vec![Arc::new(Check { ask: Ask::Tcp, ..fixture::check("port") })];
    assert_eq!(
        told(&config, 0, &Unasked),
        ["its certificate for www.example.com is never seen: check port asks without TLS; ask it by `https`"]
    );
    Arc::make_mut(&mut config.origins[0]).platform = Platform::Plain;
    assert_eq!(told(&config, 0, &Unasked), [""; 0]);
}

#[test]
fn warnings_say_what_the_files_alone_show_and_names_that_share_one_share_the_line() {
    let mut config = config(
        Form::Address,
        vec![
            own("eu", &["192.0.2.1", "2001:db8::1"]),
            Origin { platform: Platform::GithubPages, ..own("pages", &["185.199.108.153"]) },
        ],
    );
    let www = Arc::clone(&config.steers[0]);
    for host in ["a", "b", "c"] {
        let steer = Steer { name: name(&format!("{host}.example.com")), ..(*www).clone() };
        config.steers.push(Arc::new(steer));
    }
    Arc::make_mut(&mut config.steers[1]).ttl = 3600;
    let zone = table(
        "example.com",
        &format!(
            "{ZONE}@ CAA 0 issue \"pki.goog\"\n_443._tcp.b TLSA 3 1 1 {}\nc HTTPS 1 . ech=AAAA\n",
            "ab".repeat(32)
        ),
    );
    let said = warnings(&config, &Ours::new([&zone]));
    let pages = "2606:50c0:8000::153\", \"2606:50c0:8001::153\", \"2606:50c0:8002::153\", \"2606:50c0:8003::153";
    assert_eq!(
        said,
        [
            format!("www.example.com, a.example.com, b.example.com and 1 more: backup pages: it has no IPv6 address and the primary has one; GitHub Pages publishes `aaaa = [\"{pages}\"]`"),
            "www.example.com, a.example.com, b.example.com and 1 more: backup pages: the CAA records for www.example.com do not permit letsencrypt.org, which issues its certificates; add `CAA 0 issue \"letsencrypt.org\"` beside them".to_owned(),
            "a.example.com: its TTL of 3600 s keeps visitors on a dead rung for that long; use 300 s or less".to_owned(),
            "b.example.com: the TLSA records at _443._tcp.b.example.com pin keys that not every rung may have; list the keys of all rungs, or remove them".to_owned(),
            "c.example.com: its HTTPS record carries `ech`, the keys of one origin alone; remove `ech`".to_owned(),
        ]
    );
}
