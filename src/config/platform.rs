//! Platforms that origins live on: what is known of each, so that a standby can be judged before it is needed.
//!
//! What stands here is what the platforms publish about custom domains: which authority issues their certificates, the
//! addresses for an apex, what a name gets that nobody has claimed, and what a person has to do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::errors::quoted;
use super::value::{Fields, Reading};
use crate::dns::Name;

/// `[origin.NAME] platform`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    Vercel,
    Netlify,
    GithubPages,
    Fly,
    /// A server of one's own, or a platform nothing is known of.
    #[default]
    Plain,
}

/// Netlify, Vercel and GitHub Pages: the addresses they publish for names that cannot be a CNAME.
const VERCEL: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(76, 76, 21, 21))];
const NETLIFY: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(75, 2, 60, 5))];
const GITHUB_PAGES: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(185, 199, 108, 153)),
    IpAddr::V4(Ipv4Addr::new(185, 199, 109, 153)),
    IpAddr::V4(Ipv4Addr::new(185, 199, 110, 153)),
    IpAddr::V4(Ipv4Addr::new(185, 199, 111, 153)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x50c0, 0x8000, 0, 0, 0, 0, 0x153)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x50c0, 0x8001, 0, 0, 0, 0, 0x153)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x50c0, 0x8002, 0, 0, 0, 0, 0x153)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x50c0, 0x8003, 0, 0, 0, 0, 0x153)),
];

impl Platform {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 5] = [Self::Vercel, Self::Netlify, Self::GithubPages, Self::Fly, Self::Plain];

    /// As the file has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vercel => "vercel",
            Self::Netlify => "netlify",
            Self::GithubPages => "github-pages",
            Self::Fly => "fly",
            Self::Plain => "plain",
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vercel => "Vercel",
            Self::Netlify => "Netlify",
            Self::GithubPages => "GitHub Pages",
            Self::Fly => "Fly",
            Self::Plain => "the server",
        }
    }

    /// What an origin most likely lives on: by its host name, else by addresses that only one platform has.
    pub fn guess(cname: Option<&Name>, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        if let Some(cname) = cname {
            let host = cname.to_host();
            let known = Self::ALL.into_iter().find(|platform| platform.hosts(&host));
            return known.unwrap_or_default();
        }
        let Some(first) = addresses.into_iter().next() else { return Self::Plain };
        let known = Self::ALL.into_iter().find(|platform| platform.apex_addresses().contains(&first));
        known.unwrap_or_default()
    }

    /// Is this one of the platform's own host names?
    fn hosts(self, host: &str) -> bool {
        let below = |suffixes: &[&str]| {
            suffixes.iter().any(|suffix| host.strip_suffix(suffix).is_some_and(|front| front.ends_with('.')))
        };
        match self {
            Self::Vercel => {
                let is_numbered = |label: &str| label == "vercel-dns" || label.starts_with("vercel-dns-");
                below(&["vercel.app"])
                    || host.ends_with(".com") && host.split('.').rev().nth(1).is_some_and(is_numbered)
            }
            Self::Netlify => below(&["netlify.app", "netlify.com", "netlifyglobalcdn.com"]),
            Self::GithubPages => below(&["github.io"]),
            Self::Fly => below(&["fly.dev"]),
            Self::Plain => false,
        }
    }

    /// The authorities that issue its certificates, as CAA records name them; empty where that is not known.
    pub fn authorities(self) -> &'static [&'static str] {
        match self {
            Self::Vercel | Self::Netlify | Self::GithubPages | Self::Fly => &["letsencrypt.org"],
            Self::Plain => &[],
        }
    }

    /// Takes certificates that its customers got elsewhere.
    pub fn takes_certificates(self) -> bool {
        self != Self::GithubPages
    }

    /// What it publishes for names that cannot be a CNAME; empty where every customer has other addresses.
    pub fn apex_addresses(self) -> &'static [IpAddr] {
        match self {
            Self::Vercel => &VERCEL,
            Self::Netlify => &NETLIFY,
            Self::GithubPages => &GITHUB_PAGES,
            Self::Fly | Self::Plain => &[],
        }
    }

    /// What a person does so that the origin answers for `host`.
    pub fn claim(self, host: &str) -> String {
        match self {
            Self::Vercel => format!("add {host} to the domains of the Vercel project"),
            Self::Netlify => format!("add {host} to the domains of the Netlify site"),
            Self::GithubPages => format!("set {host} as the custom domain of the GitHub Pages repository"),
            Self::Fly => format!("run `fly certs add {host}` for the Fly app"),
            Self::Plain => format!("make the server answer for {host}"),
        }
    }

    /// What a person does so that the origin has a certificate for `host` while DNS points elsewhere.
    pub fn certify(self, host: &str) -> String {
        match self {
            Self::Vercel => format!(
                "ask Vercel for the certificate ahead and put its TXT record at _acme-challenge.{host}, or upload one: \
                 by itself it issues one only once DNS points there"
            ),
            Self::Netlify => format!(
                "upload a certificate for {host} to the Netlify site: by itself it issues one only once DNS points there"
            ),
            Self::GithubPages => format!(
                "GitHub Pages issues one only while DNS points there and takes none of yours: hold {host} on this rung \
                 for a while in a quiet hour, or use another origin"
            ),
            Self::Fly => format!("put the CNAME record that `fly certs setup {host}` shows at _acme-challenge.{host}"),
            Self::Plain => {
                format!("give the server a certificate for {host}, by the challenge at _acme-challenge.{host}")
            }
        }
    }
}

/// `platform` of an origin, where set.
pub(crate) fn read(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Platform> {
    let (value, at) = fields.raw("platform")?;
    if !matches!(value, DeValue::String(_)) {
        reading.mistyped("platform", value, at, "a string", Some("\"netlify\"".to_owned()));
        return None;
    }
    let text = reading.text(fields, "platform")?;
    let known = Platform::ALL.into_iter().find(|platform| platform.word() == text.value);
    if known.is_none() {
        let words = Platform::ALL.map(Platform::word);
        let problem = reading.found.error(text.at, format!("{} is no platform we know", quoted(&text.value)));
        problem.suggest(&text.value, words, "platform");
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_tells_the_platform() {
        for (host, platform) in [
            ("cname.vercel-dns.com", Platform::Vercel),
            ("d1d4fc829fe7bc7c.vercel-dns-017.com", Platform::Vercel),
            ("acme.vercel.app", Platform::Vercel),
            ("acme.netlify.app", Platform::Netlify),
            ("apex-loadbalancer.netlify.com", Platform::Netlify),
            ("acme.github.io", Platform::GithubPages),
            ("acme.fly.dev", Platform::Fly),
            ("notvercel.app", Platform::Plain),
            ("github.io", Platform::Plain),
            ("www.vercel-dns.com.example.net", Platform::Plain),
            ("eu.example.net", Platform::Plain),
        ] {
            assert_eq!(Platform::guess(Some(&Name::absolute(host).unwrap()), []), platform, "{host}");
        }
        for (address, platform) in [
            ("76.76.21.21", Platform::Vercel),
            ("75.2.60.5", Platform::Netlify),
            ("2606:50c0:8002::153", Platform::GithubPages),
            ("192.0.2.1", Platform::Plain),
        ] {
            assert_eq!(Platform::guess(None, [address.parse().unwrap()]), platform, "{address}");
        }
    }
}
