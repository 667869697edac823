//! Encrypted transports: `tls://`, `https://` and `quic://` of `[server] listen`, and `[server.tls]`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::bounds::section;
use super::errors::At;
use super::node::required;
use super::spec::Block;
use super::value::{Reading, preset};

/// What `[server]` says of encrypted transports.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Encrypted {
    /// In the order of the file.
    pub listen: Vec<EncryptedListen>,
    /// There whenever `listen` is not empty.
    pub tls: Option<Tls>,
}

/// One address of `[server] listen` with a scheme that encrypts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EncryptedListen {
    pub address: SocketAddr,
    pub scheme: Scheme,
}

/// How DNS is wrapped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheme {
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

impl Scheme {
    /// All of them, as they stand before `://`.
    const ALL: [(&'static str, Self); 3] = [("tls", Self::Tls), ("https", Self::Https), ("quic", Self::Quic)];
    /// What people call them elsewhere.
    const ALIASES: &'static [(&'static str, Self)] =
        &[("dot", Self::Tls), ("doh", Self::Https), ("h2", Self::Https), ("http", Self::Https), ("doq", Self::Quic)];

    /// The scheme written so.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|&(_, scheme)| scheme)
    }

    /// The scheme that another word for it means.
    pub(crate) fn meant_by(word: &str) -> Option<Self> {
        Self::ALIASES.iter().find(|(alias, _)| *alias == word).map(|&(_, scheme)| scheme)
    }

    /// As it stands before `://`.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, scheme)| *scheme == self).map_or("", |&(name, _)| name)
    }

    /// The port where the address names none (RFC 7858 §3.1, RFC 8484 §1, RFC 9250 §4.1.1).
    pub fn port(self) -> u16 {
        match self {
            Self::Tls | Self::Quic => 853,
            Self::Https => 443,
        }
    }

    /// True where it runs over UDP, else it runs over TCP.
    pub fn is_udp(self) -> bool {
        self == Self::Quic
    }
}

/// As people say it: `TLS`, `HTTPS`, `QUIC`.
impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word().to_ascii_uppercase())
    }
}

/// `https://127.0.0.1:443`
impl fmt::Display for EncryptedListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.word(), self.address)
    }
}

/// `[server.tls]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// PEM: the certificate of this server, then those between it and a root.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// Where DNS is asked for over HTTPS.
    pub https_path: String,
}

/// An encrypted address stands at `at`, and there is no `[server.tls]`.
pub(crate) fn without_certificate(reading: &mut Reading<'_>, at: At) {
    reading.found.error(at, "an encrypted address needs a certificate, and there is no `[server.tls]`").help(
        "add `[server.tls]` with `certificate = \"fullchain.pem\"` and `key = \"privkey.pem\"`, as certbot makes them",
    );
}

/// `[server.tls]`; `is_used` if there are addresses that need it.
pub(crate) fn tls(reading: &mut Reading<'_>, block: Option<&Block<'_>>, is_used: bool) -> Option<Tls> {
    let of = section("server.tls");
    let fields = block.map(|block| reading.open(of, block.at, block.table))?;
    if !is_used {
        reading
            .found
            .warning(fields.at, "`[server.tls]` is not used: no address of `listen` is encrypted")
            .help("add `\"tls://0.0.0.0:853\"`, `\"https://0.0.0.0:443\"` or `\"quic://0.0.0.0:853\"` to `listen`");
    }
    let certificate = required(reading, &fields, "certificate", "\"fullchain.pem\"");
    let key = required(reading, &fields, "key", "\"privkey.pem\"");
    let mut https_path = preset(of, "https_path").to_owned();
    if let Some(path) = reading.text(&fields, "https_path") {
        let is_path = path.value.starts_with('/') && path.value.bytes().all(is_of_path);
        if !is_path {
            let what = format!("{} is no path of a URL", path.shown());
            reading.found.error(path.at, what).help("it begins with `/`, like `\"/dns-query\"`, and has no `?` or `#`");
        }
        https_path = path.value;
    }
    let (certificate, key) = certificate.zip(key)?;
    Some(Tls { certificate: reading.joined(&certificate), key: reading.joined(&key), https_path })
}

/// RFC 3986 §3.3.
fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte)
}
