//! A table of what is seen and what it means.

use std::sync::Arc;

use super::*;
use crate::config::{CheckId, OriginId};
use crate::probe::fixture::{self, name};
use crate::ready::fixture::{saw, table};

const NOW: Wall = Wall::from_millis(1_795_257_127_512);
const HOST: &str = "www.example.com";

/// A ladder whose primary is `vercel` at vercel.example.net; others send visitors to example.com.
struct Beside {
    insists: bool,
}

impl Company for Beside {
    fn origin_at(&self, host: &str) -> Option<String> {
        (host == "vercel.example.net").then(|| "vercel".to_owned())
    }

    fn none_sends_to(&self, host: &str) -> bool {
        host != "example.com"
    }

    fn insists(&self) -> bool {
        self.insists
    }
}

fn scene(platform: Platform) -> Scene {
    Scene {
        platform,
        host: HOST.to_owned(),
        cname: Some(name("acme.example.net")),
        records: records(None, false),
        is_tls: true,
    }
}

fn records(authorities: Option<&str>, challenge: bool) -> Arc<Records> {
    let authorities = authorities.map(|one| vec![one.to_owned()]);
    Arc::new(Records { authorities, challenge })
}

/// Valid from a day count before now to one after it.
fn certificate(names: &[&str], age: i64, left: i64) -> Option<Arc<Certificate>> {
    Some(Arc::new(Certificate {
        subject: String::new(),
        issuer: "C=US, O=Let's Encrypt, CN=R11".to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        not_before: NOW.seconds() - age * DAY,
        not_after: NOW.seconds() + left * DAY + 60,
        chain: 2,
    }))
}

fn judged(seen: &Observation, scene: &Scene) -> Vec<(Kind, Ready, String)> {
    let found = findings(seen, scene, &Beside { insists: false }, NOW);
    found.into_iter().map(|finding| (finding.kind, finding.level, finding.seen)).collect()
}

fn redirected(status: u16, to: &str) -> Observation {
    let detail = Detail { location: Some(to.to_owned()), ..Detail::default() };
    Observation { status: Some(status), detail: Some(Arc::new(detail)), ..saw(Outcome::Passed) }
}

#[test]
fn a_site_that_serves_has_no_findings() {
    let good = Observation { certificate: certificate(&[HOST], 30, 60), status: Some(200), ..saw(Outcome::Passed) };
    for platform in Platform::ALL {
        assert_eq!(judged(&good, &scene(platform)), []);
    }
    let silent = saw(Outcome::Inconclusive(crate::probe::LocalFault::NoRoute));
    assert_eq!(judged(&silent, &scene(Platform::Plain)), []);
}

#[test]
fn a_certificate_for_another_name_says_for_which_and_what_to_do() {
    let many = certificate(&["*.netlify.app", "netlify.app", "a.example", "b.example"], 30, 60);
    let wrong = Observation { certificate: many, ..saw(Outcome::Failed(Cause::CertWrongName)) };
    let found = findings(&wrong, &scene(Platform::Netlify), &Beside { insists: true }, NOW);
    assert_eq!(
        found[0].seen,
        "its certificate is for *.netlify.app, netlify.app, a.example and 1 more, not for www.example.com; browsers that \
         know its HSTS let nobody pass"
    );
    assert!(found[0].advice.starts_with("add www.example.com to the domains of the Netlify site; upload"));
    assert_eq!((found.len(), found[0].level, found[0].kind), (1, Ready::WouldFail, Kind::CertificateName));
}

#[test]
fn a_certificate_that_nobody_renews_is_told_in_time() {
    for (age, left, told) in [
        (30, 60, None),
        (59, 31, None),
        (61, 29, Some("its certificate has not been renewed: 29 days of 90 days are left")),
        (76, 14, Some("its certificate has not been renewed: 14 days of 90 days are left")),
        (77, 13, Some("its certificate ends in 13 days and has not been renewed")),
        (89, 1, Some("its certificate ends in 24 h and has not been renewed")),
        // Of a year's certificate a third is too early to say so; of a week's, two weeks are.
        (300, 65, None),
        (336, 29, Some("its certificate has not been renewed: 29 days of 365 days are left")),
        (3, 4, None),
        (5, 2, Some("its certificate ends in 2 days and has not been renewed")),
    ] {
        let seen = Observation { certificate: certificate(&[HOST], age, left), ..saw(Outcome::Passed) };
        let found = judged(&seen, &scene(Platform::Plain));
        let wanted = told.map(|told| (Kind::CertificateEnds, Ready::Warn, told.to_owned()));
        assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "{age} {left}");
    }
    let seen = Observation { certificate: certificate(&[HOST], 89, 1), ..saw(Outcome::Passed) };
    let advice = |scene: &Scene| findings(&seen, scene, &Beside { insists: false }, NOW)[0].advice.clone();
    assert!(
        advice(&scene(Platform::Plain)).ends_with("(nothing stands at _acme-challenge.www.example.com in our zones)")
    );
    assert!(
        advice(&Scene { records: records(None, true), ..scene(Platform::Plain) })
            .ends_with("at _acme-challenge.www.example.com")
    );
    let ended = Observation { certificate: certificate(&[HOST], 93, -3), ..saw(Outcome::Failed(Cause::CertExpired)) };
    assert_eq!(judged(&ended, &scene(Platform::Plain))[0].2, "its certificate ended 2 days ago");
}

#[test]
fn what_caa_forbids_is_told_of_the_authority_that_is_seen_else_of_the_platforms() {
    let google = || records(Some("pki.goog"), false);
    let valid = Observation { certificate: certificate(&[HOST], 1, 89), ..saw(Outcome::Passed) };
    let plain = Scene { records: google(), ..scene(Platform::Plain) };
    assert_eq!(
        judged(&valid, &plain),
        [(
            Kind::Caa,
            Ready::Warn,
            "the CAA records for www.example.com do not permit letsencrypt.org, which its certificate is from"
                .to_owned()
        )]
    );
    assert_eq!(judged(&saw(Outcome::Passed), &plain), [], "nobody knows where its certificates come from");
    let level = |platform, seen: &Observation| {
        let found = judged(seen, &Scene { records: google(), ..scene(platform) });
        found.iter().map(|(kind, level, _)| (*kind, *level)).collect::<Vec<_>>()
    };
    assert_eq!(level(Platform::Netlify, &saw(Outcome::Passed)), [(Kind::Caa, Ready::Warn)], "one may be uploaded");
    assert_eq!(level(Platform::GithubPages, &saw(Outcome::Passed)), [(Kind::Caa, Ready::WouldFail)]);
    assert_eq!(level(Platform::GithubPages, &valid), [(Kind::Caa, Ready::Warn)]);
    let wrong =
        Observation { certificate: certificate(&["*.github.io"], 1, 89), ..saw(Outcome::Failed(Cause::CertWrongName)) };
    let both = [(Kind::CertificateName, Ready::WouldFail), (Kind::Caa, Ready::WouldFail)];
    assert_eq!(level(Platform::GithubPages, &wrong), both);
    let permitted = Scene { records: records(Some("letsencrypt.org"), false), ..scene(Platform::Netlify) };
    assert_eq!(judged(&valid, &permitted), []);
}

#[test]
fn a_redirect_is_judged_by_where_it_leads() {
    for (status, to, told) in [
        (301, "/de/", None),
        (308, "https://WWW.example.com/", None),
        (200, "https://elsewhere.example/", None),
        (301, "https://example.com/", None),
        (
            302,
            "https://vercel.example.net/",
            Some((Ready::WouldFail, "it sends visitors of www.example.com back to vercel (vercel.example.net)")),
        ),
        (
            301,
            "//user@elsewhere.example:8443/x",
            Some((
                Ready::WouldFail,
                "it sends visitors of www.example.com away to elsewhere.example, and no other rung does",
            )),
        ),
        (
            301,
            "https://acme.example.net",
            Some((Ready::Warn, "it sends visitors of www.example.com on to its own name acme.example.net")),
        ),
    ] {
        let wanted = told.map(|(level, told)| (Kind::Redirect, level, told.to_owned()));
        let found = judged(&redirected(status, to), &scene(Platform::Plain));
        assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "{to}");
    }
}

#[test]
fn failures_are_told_as_what_they_mean_for_visitors() {
    let failed = |cause: Cause| saw(Outcome::Failed(cause));
    let unexpected = || Cause::Unexpected { expression: "status in 200..299".into(), seen: "301".into() };
    let plain = Scene { is_tls: false, ..scene(Platform::Plain) };
    let upgraded =
        Observation { outcome: Outcome::Failed(unexpected()), ..redirected(301, "https://www.example.com/") };
    let unclaimed = Observation {
        detail: Some(Arc::new(Detail { unclaimed: Some(Platform::GithubPages), ..Detail::default() })),
        ..failed(unexpected())
    };
    for (seen, scene, kind, told) in [
        (
            failed(Cause::NameGone),
            scene(Platform::Plain),
            Kind::Dangling,
            "acme.example.net does not exist any more; whoever takes it gets the visitors of www.example.com",
        ),
        (
            failed(Cause::Reset(Phase::Tls)),
            scene(Platform::Fly),
            Kind::Unclaimed,
            "Fly ends the handshake for www.example.com: it has no certificate for it",
        ),
        (failed(Cause::Reset(Phase::Tls)), scene(Platform::Plain), Kind::Down, "connection reset (tls)"),
        (
            failed(Cause::CertUnknownIssuer),
            scene(Platform::Plain),
            Kind::CertificateTrust,
            "browsers refuse it: certificate of an unknown issuer (self-signed?)",
        ),
        (failed(Cause::ConnectRefused), scene(Platform::Plain), Kind::Down, "connection refused"),
        (failed(unexpected()), scene(Platform::Plain), Kind::Answer, "expected status in 200..299, saw 301"),
        (
            upgraded,
            plain,
            Kind::Answer,
            "expected status in 200..299, saw 301: it serves www.example.com by HTTPS only",
        ),
        (
            unclaimed,
            scene(Platform::GithubPages),
            Kind::Unclaimed,
            "GitHub Pages answers that nobody has claimed www.example.com there",
        ),
    ] {
        assert_eq!(judged(&seen, &scene), [(kind, Ready::WouldFail, told.to_owned())]);
    }
}

#[test]
fn hosts_of_locations() {
    for (location, host) in [
        ("https://a.example/x", Some("a.example")),
        ("https://a.example.?q", Some("a.example")),
        ("//a.example:80", Some("a.example")),
        ("https://[2001:db8::1]:443/", Some("2001:db8::1")),
        ("https://b@a.example/", Some("a.example")),
        ("/x", None),
        ("x/y", None),
        ("https:///x", None),
        ("", None),
    ] {
        assert_eq!(host_of(location), host, "{location}");
    }
}

#[test]
fn a_scene_is_set_by_the_zones() {
    let zone = table(
        "example.com",
        "@ SOA ns hostmaster 1 3600 600 1209600 30\n@ NS ns\nns A 192.0.2.1\n@ CAA 0 issue \"pki.goog\"\n\
         _acme-challenge.www TXT \"x\"\n",
    );
    let mut config = fixture::flock(1, fixture::check("site"));
    Arc::make_mut(&mut config.origins[0]).platform = Platform::Fly;
    let (origin, check) = (&config.origins[OriginId(0).0 as usize], &config.checks[CheckId(0).0 as usize]);
    let of = |host| Arc::new(Records::of(host, &Ours::new([&zone])));
    let scene = Scene::new(origin, check, HOST, of(HOST));
    assert_eq!(
        scene,
        Scene {
            platform: Platform::Fly,
            host: HOST.to_owned(),
            cname: None,
            records: records(Some("pki.goog"), true),
            is_tls: true,
        }
    );
    assert!(!of("shop.example.com").challenge);
    assert!(of("www.example.net").challenge, "no name of ours");
}
