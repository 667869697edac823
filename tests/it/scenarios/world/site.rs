//! What an origin that is alive shows: its certificate, its page, where it sends visitors.

use std::sync::Arc;

use failoverd::config::Ask;
use failoverd::control::journal::Rehearsed;
use failoverd::probe::{Certificate, Facts, Phase, Request, Trouble, TroubleKind};
use failoverd::ready::Ready;
use failoverd::time::Wall;

const DAY: i64 = 86_400;
/// Lifetime of certificates, in days.
const LIFETIME: i64 = 90;

/// One origin's manners.
#[derive(Clone, Default)]
pub(super) struct Site {
    /// Names, when it ends, and who issued it; without one the certificate is fine.
    certificate: Option<(Vec<String>, i64, String)>,
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: String,
    /// The handshake is ended.
    hangs_up: bool,
}

impl Site {
    /// Takes over what the words of a story say.
    pub(super) fn show(&mut self, words: &[&str], now: Wall) {
        match words {
            ["the", "site"] => *self = Self::default(),
            ["certificate", names @ ..] => {
                let (names, issuer) = split(names, "by");
                let (names, days) = split(names, "for");
                let days: i64 = days.first().map_or(LIFETIME, |days| days.parse().expect("days"));
                let names = names.iter().map(|&name| name.to_owned()).collect();
                // A minute more, so that whole days are left.
                let ends = now.seconds() + days * DAY + if days > 0 { 60 } else { 0 };
                self.certificate = Some((names, ends, issuer.join(" ")));
            }
            ["no", "handshake"] => self.hangs_up = true,
            ["unclaimed", "vercel"] => self.page(404, "x-vercel-error", "DEPLOYMENT_NOT_FOUND", "not found"),
            ["unclaimed", "netlify"] => self.page(404, "server", "Netlify", "Not Found - Request ID: 01J"),
            ["unclaimed", "github-pages"] => {
                self.page(404, "server", "GitHub.com", "<strong>There isn't a GitHub Pages site here.</strong>");
            }
            ["unclaimed", "fly"] => self.page(404, "server", "Fly/1a2b3c", ""),
            [status, location] => self.page(status.parse().expect("a status"), "location", location, ""),
            [status] => self.page(status.parse().expect("a status"), "server", "nginx", "some page"),
            other => panic!("no site shows {other:?}"),
        }
    }

    fn page(&mut self, status: u16, header: &str, value: &str, body: &str) {
        self.status = Some(status);
        self.headers = vec![(header.to_owned(), value.to_owned())];
        self.body = body.to_owned();
    }

    /// What a prober would see.
    pub(super) fn facts(&self, request: &Request, now: Wall) -> Facts {
        let is_tls = matches!(request.check.ask, Ask::Https { .. });
        let trouble = |kind| Some(Trouble { phase: Phase::Tls, kind });
        let (names, ends, issuer) = self
            .certificate
            .clone()
            .unwrap_or_else(|| (vec![request.host.to_string()], now.seconds() + LIFETIME * DAY, String::new()));
        let covers = |name: &String| match name.strip_prefix("*.") {
            Some(parent) => request.host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => **name == *request.host,
        };
        let trouble = match () {
            () if !is_tls => None,
            () if self.hangs_up => trouble(TroubleKind::Reset),
            () if ends <= now.seconds() => trouble(TroubleKind::CertExpired),
            () if !names.iter().any(covers) => trouble(TroubleKind::CertWrongName),
            () => None,
        };
        let certificate = Certificate {
            subject: String::new(),
            issuer: if issuer.is_empty() { String::new() } else { format!("C=US, O={issuer}, CN=R11") },
            names,
            not_before: ends - LIFETIME * DAY,
            not_after: ends,
            chain: 2,
        };
        let is_answered = trouble.is_none();
        Facts {
            trouble,
            certificate: (is_tls && !self.hangs_up).then(|| Arc::new(certificate)),
            status: is_answered.then_some(self.status.unwrap_or(200)),
            headers: if is_answered { self.headers.clone() } else { Vec::new() },
            body: self.body.clone().into_bytes(),
            ..Facts::default()
        }
    }
}

/// What stands before this word, and what after it.
fn split<'w>(words: &'w [&'w str], at: &str) -> (&'w [&'w str], &'w [&'w str]) {
    match words.iter().position(|&word| word == at) {
        Some(place) => (&words[..place], &words[place + 1..]),
        None => (words, &[]),
    }
}

/// The journal's line of a rehearsal.
pub(super) fn told(at: f64, told: &Rehearsed) -> String {
    let names: Vec<_> = told.names.iter().map(|name| name.to_host()).collect();
    let findings: Vec<_> = told.findings.iter().map(|finding| finding.seen.as_str()).collect();
    let place = told.place.map_or_else(|| "standby".to_owned(), |place| place.to_string());
    let (origin, names) = (&told.origin, names.join(", "));
    match told.to {
        Ready::WouldFail => format!("{at:.1}s {place} {origin} would fail for {names}: {}", findings.join("; ")),
        Ready::Warn => format!("{at:.1}s {place} {origin} needs attention for {names}: {}", findings.join("; ")),
        Ready::Ready | Ready::Unknown => format!("{at:.1}s {place} {origin} is ready again for {names}"),
    }
}
