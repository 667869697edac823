//! What one probe, made with the name's own SNI and Host, means for visitors.
//!
//! ```text
//!   seen                                              means
//!   ─────────────────────────────────────────────────────────────────────────────────────────────────
//!   certificate of another name, ended, untrusted     would fail; whether CAA forbids a new one, too
//!   handshake ended by a platform                     would fail: it has no certificate for the name
//!   certificate near its end and not renewed          warn
//!   the platform's page for unclaimed names           would fail
//!   redirect to its own name at the platform          warn
//!   redirect to another origin, or to another host
//!   that no other rung sends visitors to              would fail
//!   host name gone                                    would fail: dangling
//!   another answer than expected, no answer           would fail
//!   CAA forbids the authority of the certificate      warn; would fail if it is the only one there can be
//! ```

use std::sync::Arc;

use crate::config::{Ask, Check, Origin, Platform};
use crate::dns::Name;
use crate::probe::{Cause, Certificate, Detail, Observation, Outcome, Phase};
use crate::ready::caa::{self, Ours};
use crate::ready::{Finding, Kind, Ready};
use crate::time::Wall;

const DAY: i64 = 86_400;
/// A certificate that is not renewed with a third of its lifetime left will not be; at most this early.
const RENEWAL: i64 = 30 * DAY;
/// Less than this, and a third of the lifetime, is told as urgent.
const URGENT: i64 = 14 * DAY;
/// Names of a certificate that are told.
const NAMES_SHOWN: usize = 3;

/// What is known of a watch before it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scene {
    pub platform: Platform,
    pub host: String,
    /// Its host name, if it has one.
    pub cname: Option<Name>,
    pub records: Arc<Records>,
    /// The certificate is seen.
    pub is_tls: bool,
}

/// What our zones say of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Records {
    /// The authorities that may issue for it; `None` if any may.
    pub authorities: Option<Vec<String>>,
    /// Something stands at `_acme-challenge.HOST`, or is delegated from there; or that is no name of ours.
    pub challenge: bool,
}

impl Records {
    /// Of this host.
    pub fn of(host: &str, ours: &Ours<'_>) -> Self {
        let name = Name::absolute(host).ok();
        let challenge = name.as_ref().and_then(|name| ours.has(&name.child(b"_acme-challenge").ok()?, name));
        Self {
            authorities: name.as_ref().and_then(|name| ours.authorities(name)),
            challenge: challenge.unwrap_or(true),
        }
    }
}

/// What the other rungs of the name show, which tells a fault from a habit.
pub trait Company {
    /// The origin of the configuration that lives at this host name or address.
    fn origin_at(&self, host: &str) -> Option<String>;
    /// Is it known that no other rung sends its visitors to this host? Not before all of them were asked and one has
    /// passed: what all do is a habit.
    fn none_sends_to(&self, host: &str) -> bool;
    /// Has another rung told browsers to insist on a valid certificate?
    fn insists(&self) -> bool;
}

impl Scene {
    /// Of an origin asked by `check` as `host`, of which our zones say this.
    pub fn new(origin: &Origin, check: &Check, host: &str, records: Arc<Records>) -> Self {
        Self {
            platform: origin.platform,
            host: host.to_owned(),
            cname: origin.cname.clone(),
            records,
            is_tls: matches!(check.ask, Ask::Https(_) | Ask::Tls),
        }
    }

    /// The finding that CAA forbids new certificates: of the authority of `certificate`, else of the platform's.
    pub(crate) fn forbidden(&self, certificate: Option<&Certificate>) -> Option<Finding> {
        let permitted = self.records.authorities.as_ref()?;
        let issuer = certificate.and_then(|certificate| caa::authority_of(&certificate.issuer));
        let wanted: Vec<&str> = issuer.map_or_else(|| self.platform.authorities().to_vec(), |issuer| vec![issuer]);
        let &first = wanted.first()?;
        if wanted.iter().any(|wanted| permitted.iter().any(|permitted| permitted == wanted)) {
            return None;
        }
        let is_valid = issuer.is_some();
        let level = if is_valid || self.platform.takes_certificates() { Ready::Warn } else { Ready::WouldFail };
        let of = if is_valid { "which its certificate is from" } else { "which issues its certificates" };
        Some(Finding::new(
            Kind::Caa,
            level,
            format!("the CAA records for {} do not permit {first}, {of}", self.host),
            format!("add `CAA 0 issue \"{first}\"` beside them"),
        ))
    }

    fn certify(&self) -> String {
        self.platform.certify(&self.host)
    }

    fn claim(&self) -> String {
        self.platform.claim(&self.host)
    }
}

/// What `seen` means for visitors of `scene.host`; nothing if they would be served. An observation that is no word on
/// the origin has no findings either.
pub fn findings(seen: &Observation, scene: &Scene, company: &dyn Company, now: Wall) -> Vec<Finding> {
    match &seen.outcome {
        Outcome::Passed => passed(seen, scene, company, now),
        Outcome::Failed(cause) => failed(seen, cause, scene, company, now),
        Outcome::Inconclusive(_) => Vec::new(),
    }
}

fn passed(seen: &Observation, scene: &Scene, company: &dyn Company, now: Wall) -> Vec<Finding> {
    let certificate = seen.certificate.as_deref();
    let mut findings = Vec::new();
    findings.extend(seen.detail.as_deref().and_then(|detail| page(seen, detail, scene, company)));
    findings.extend(certificate.and_then(|certificate| ending(certificate, scene, now)));
    findings.extend(scene.forbidden(certificate));
    findings
}

fn failed(seen: &Observation, cause: &Cause, scene: &Scene, company: &dyn Company, now: Wall) -> Vec<Finding> {
    let (platform, host) = (scene.platform, &scene.host);
    let fails = |kind, seen: String, advice: String| Finding::new(kind, Ready::WouldFail, seen, advice);
    let certificate = seen.certificate.as_deref();
    let first = match cause {
        Cause::CertWrongName => {
            let names = certificate.map_or_else(|| "another name".to_owned(), names);
            let advice = format!("{}; {}", scene.claim(), scene.certify());
            fails(Kind::CertificateName, format!("its certificate is for {names}, not for {host}"), advice)
        }
        Cause::CertExpired => {
            let since = certificate.map_or(0, |certificate| now.seconds().saturating_sub(certificate.not_after));
            fails(Kind::CertificateEnds, format!("its certificate ended {} ago", span(since)), scene.certify())
        }
        Cause::CertNotYetValid | Cause::CertUnknownIssuer | Cause::CertInvalid(_) => {
            fails(Kind::CertificateTrust, format!("browsers refuse it: {cause}"), scene.certify())
        }
        Cause::Tls(_) | Cause::Reset(Phase::Tls) if platform != Platform::Plain => fails(
            Kind::Unclaimed,
            format!("{} ends the handshake for {host}: it has no certificate for it", platform.name()),
            format!("{}; {}", scene.claim(), scene.certify()),
        ),
        Cause::NameGone => {
            let cname = scene.cname.as_ref().map_or_else(|| "its host name".to_owned(), Name::to_host);
            fails(
                Kind::Dangling,
                format!("{cname} does not exist any more; whoever takes it gets the visitors of {host}"),
                "point `cname` at a site that exists, or take the origin off its ladders".to_owned(),
            )
        }
        Cause::Unexpected { .. } => {
            let detail = seen.detail.as_deref();
            return match detail.and_then(|detail| page(seen, detail, scene, company)) {
                Some(finding) => vec![finding],
                None if detail.is_some_and(|detail| is_upgrade(detail, scene)) => vec![fails(
                    Kind::Answer,
                    format!("{cause}: it serves {host} by HTTPS only"),
                    "ask it by `https` in its check".to_owned(),
                )],
                None => vec![fails(Kind::Answer, cause.to_string(), String::new())],
            };
        }
        _ => return vec![fails(Kind::Down, cause.to_string(), String::new())],
    };
    let about_certificate = first.kind != Kind::Dangling;
    let first = if about_certificate && company.insists() {
        let seen = format!("{}; browsers that know its HSTS let nobody pass", first.seen);
        Finding { seen, ..first }
    } else {
        first
    };
    let forbidden = about_certificate.then(|| scene.forbidden(None)).flatten();
    [first].into_iter().chain(forbidden).collect()
}

/// A response that is not the site: nobody's page, or a way to somewhere else.
fn page(seen: &Observation, detail: &Detail, scene: &Scene, company: &dyn Company) -> Option<Finding> {
    let host = &scene.host;
    if let Some(platform) = detail.unclaimed {
        return Some(Finding::new(
            Kind::Unclaimed,
            Ready::WouldFail,
            format!("{} answers that nobody has claimed {host} there", platform.name()),
            platform.claim(host),
        ));
    }
    let location = detail.location.as_deref().filter(|_| seen.status.is_some_and(|status| status / 100 == 3))?;
    let to = host_of(location)?.to_ascii_lowercase();
    if to == *host {
        return None;
    }
    if scene.cname.as_ref().is_some_and(|cname| cname.to_host() == to) {
        let seen = format!("it sends visitors of {host} on to its own name {to}");
        return Some(Finding::new(Kind::Redirect, Ready::Warn, seen, scene.claim()));
    }
    if let Some(origin) = company.origin_at(&to) {
        return Some(Finding::new(
            Kind::Redirect,
            Ready::WouldFail,
            format!("it sends visitors of {host} back to {origin} ({to})"),
            format!("make it serve {host} itself: {}", scene.claim()),
        ));
    }
    company.none_sends_to(&to).then(|| {
        Finding::new(
            Kind::Redirect,
            Ready::WouldFail,
            format!("it sends visitors of {host} away to {to}, and no other rung does"),
            format!("make it serve {host} itself: {}", scene.claim()),
        )
    })
}

/// A redirect to the same name by HTTPS, seen without TLS.
fn is_upgrade(detail: &Detail, scene: &Scene) -> bool {
    let to = detail.location.as_deref().filter(|location| location.starts_with("https://"));
    !scene.is_tls && to.and_then(host_of).is_some_and(|to| to.eq_ignore_ascii_case(&scene.host))
}

/// The host of a `Location`, without port; `None` for a path on the same host.
pub fn host_of(location: &str) -> Option<&str> {
    let rest = location.split_once("://").map_or_else(|| location.strip_prefix("//"), |(_, rest)| Some(rest))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(host.trim_end_matches('.')).filter(|host| !host.is_empty())
}

/// A certificate that nobody renews.
fn ending(certificate: &Certificate, scene: &Scene, now: Wall) -> Option<Finding> {
    let left = certificate.not_after.saturating_sub(now.seconds());
    let lifetime = certificate.not_after.saturating_sub(certificate.not_before);
    let third = lifetime / 3;
    if left >= third.min(RENEWAL) {
        return None;
    }
    let seen = if left < third.min(URGENT) {
        format!("its certificate ends in {} and has not been renewed", span(left))
    } else {
        format!("its certificate has not been renewed: {} of {} are left", span(left), span(lifetime))
    };
    let missing = match scene.platform {
        Platform::Netlify | Platform::GithubPages => String::new(),
        _ if scene.records.challenge => String::new(),
        _ => format!(" (nothing stands at _acme-challenge.{} in our zones)", scene.host),
    };
    Some(Finding::new(Kind::CertificateEnds, Ready::Warn, seen, format!("{}{missing}", scene.certify())))
}

/// The names a certificate is for, the first few of them.
fn names(certificate: &Certificate) -> String {
    let shown = certificate.names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match certificate.names.len().saturating_sub(NAMES_SHOWN) {
        _ if shown.is_empty() => "no name at all".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Seconds as days, hours below two days.
fn span(seconds: i64) -> String {
    match seconds {
        seconds if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        seconds => format!("{} h", seconds.max(0) / 3600),
    }
}

#[cfg(test)]
mod tests;
