//! What a probe saw besides its outcome: what tells whether visitors would be served.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Platform;
use crate::probe::Facts;
use crate::probe::judge::BODY_MAX;

/// Headers of a response that are looked at, in lower case; the others are not kept.
pub const HEADERS: [&str; 4] = ["location", "server", "strict-transport-security", "x-vercel-error"];
/// How much of a header is kept, in bytes.
pub const HEADER_MAX: usize = 512;
/// How many addresses of a host name are kept.
const RESOLVED_MAX: usize = 16;
const NOT_FOUND: u16 = 404;

/// What a probe saw besides its outcome.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Detail {
    /// What the host name resolves to; empty where an address was asked.
    pub resolved: Vec<IpAddr>,
    /// Where a response sends its visitors.
    pub location: Option<String>,
    /// The page of a platform for names that nobody has claimed there.
    pub unclaimed: Option<Platform>,
    /// Browsers that were here once insist on a valid certificate (RFC 6797).
    pub insists: bool,
}

impl Detail {
    /// `None` where there is nothing to tell.
    pub fn of(facts: &Facts, resolved: &[IpAddr]) -> Option<Arc<Self>> {
        let detail = Self {
            resolved: resolved.iter().take(RESOLVED_MAX).copied().collect(),
            location: header(facts, "location").map(str::to_owned),
            unclaimed: unclaimed(facts),
            insists: header(facts, "strict-transport-security").is_some_and(|value| max_age(value) > 0),
        };
        (detail != Self::default()).then(|| Arc::new(detail))
    }
}

fn header<'f>(facts: &'f Facts, name: &str) -> Option<&'f str> {
    let value = facts.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())?;
    let end = (0..=HEADER_MAX.min(value.len())).rev().find(|&end| value.is_char_boundary(end));
    value.get(..end.unwrap_or(0))
}

/// Whose page for unclaimed names this is.
fn unclaimed(facts: &Facts) -> Option<Platform> {
    if facts.status != Some(NOT_FOUND) {
        return None;
    }
    let body = &facts.body[..facts.body.len().min(BODY_MAX)];
    let says = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    let is_of = |server: &str| header(facts, "server").is_some_and(|value| value.starts_with(server));
    if header(facts, "x-vercel-error") == Some("DEPLOYMENT_NOT_FOUND") {
        Some(Platform::Vercel)
    } else if says("Not Found - Request ID") {
        Some(Platform::Netlify)
    } else if says("There isn't a GitHub Pages site here.") {
        Some(Platform::GithubPages)
    } else if is_of("Fly/") && body.is_empty() {
        Some(Platform::Fly)
    } else {
        None
    }
}

/// The `max-age` of Strict-Transport-Security in seconds; zero where there is none.
fn max_age(value: &str) -> u64 {
    let ages = value.split(';').filter_map(|part| {
        let (name, age) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| age.trim().trim_matches('"').parse().ok())?
    });
    ages.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(status: u16, headers: &[(&str, &str)], body: &str) -> Facts {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Facts { status: Some(status), headers, body: body.into(), ..Facts::default() }
    }

    #[test]
    fn the_pages_of_the_platforms_for_unclaimed_names_are_known() {
        let vercel: &[(&str, &str)] = &[("server", "Vercel"), ("x-vercel-error", "DEPLOYMENT_NOT_FOUND")];
        let github = "<p><strong>There isn't a GitHub Pages site here.</strong></p>";
        for (facts, platform) in [
            (facts(404, vercel, "The deployment could not be found on Vercel."), Some(Platform::Vercel)),
            (facts(404, &[("server", "Netlify")], "Not Found - Request ID: 01J"), Some(Platform::Netlify)),
            (facts(404, &[("server", "GitHub.com")], github), Some(Platform::GithubPages)),
            (facts(404, &[("server", "Fly/a1b2c3 (2026-11-01)")], ""), Some(Platform::Fly)),
            (facts(404, &[("server", "Fly/a1b2c3 (2026-11-01)")], "no such page"), None),
            (facts(404, &[("x-vercel-error", "NOT_FOUND")], ""), None),
            (facts(200, vercel, github), None),
            (facts(404, &[], "Not Found"), None),
        ] {
            assert_eq!(unclaimed(&facts), platform, "{facts:?}");
        }
    }

    #[test]
    fn an_ordinary_page_has_no_detail() {
        assert_eq!(Detail::of(&facts(200, &[("server", "nginx")], "ok"), &[]), None);
        let insisting = facts(200, &[("strict-transport-security", "includeSubDomains; Max-Age=\"31536000\"")], "");
        assert!(Detail::of(&insisting, &[]).unwrap().insists);
        assert_eq!(Detail::of(&facts(200, &[("strict-transport-security", "max-age=0")], ""), &[]), None);
        let many = [IpAddr::from([192, 0, 2, 1]); 40];
        assert_eq!(Detail::of(&facts(200, &[], ""), &many).unwrap().resolved.len(), RESOLVED_MAX);
    }
}
