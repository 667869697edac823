//! How queries are answered, beside what the zones say: part of every snapshot, so that a query sees one state of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use toml::de::DeValue;

use super::bounds::section;
use super::errors::quoted;
use super::value::{Fields, Reading, preset};

/// Most secrets of cookies: the one in use, the one before it, the one after it (RFC 9018 §5).
const SECRETS_MAX: usize = 3;
/// Hexadecimal digits of a secret: 128 bits (RFC 9018 §4.4).
const SECRET_DIGITS: usize = 32;

/// What `[server]` and its tables say of answering.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Answering {
    /// `[server] name`: who answers.
    pub name: Arc<str>,
    /// The name is told to those that ask for NSID (RFC 5001).
    pub nsid: bool,
    /// The name and the version are told to those that ask in class CH (RFC 4892).
    pub identity: bool,
    /// Clients that are told why a steered name is answered as it is.
    pub explain_to: Vec<IpNet>,
    pub cookies: Cookies,
}

/// `[server.cookies]` (RFC 7873).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Cookies {
    pub enabled: bool,
    secrets: Vec<CookieSecret>,
}

/// A key of SipHash that never shows in logs or `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct CookieSecret([u8; 16]);

impl fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecret(…)")
    }
}

impl Cookies {
    /// Cookies of these secrets: the first makes them, all take them.
    pub fn of(secrets: impl IntoIterator<Item = [u8; 16]>) -> Self {
        Self { enabled: true, secrets: secrets.into_iter().map(CookieSecret).collect() }
    }

    /// The secrets, that which makes cookies first. None where cookies are not answered.
    pub fn secrets(&self) -> impl Iterator<Item = &[u8; 16]> {
        self.secrets.iter().filter(|_| self.enabled).map(|secret| &secret.0)
    }

    /// Where the configuration gives no secret, this one is used.
    pub fn complete(&mut self, secret: [u8; 16]) {
        if self.secrets.is_empty() {
            self.secrets.push(CookieSecret(secret));
        }
    }
}

/// What `[server]` says of answering; `name` is the node's.
pub(crate) fn read(reading: &mut Reading<'_>, fields: Option<&Fields<'_>>, name: &str) -> Answering {
    let of = section("server");
    let is_on = |key| preset(of, key) == "true";
    let mut answering = Answering {
        name: name.into(),
        nsid: is_on("nsid"),
        identity: is_on("identity"),
        explain_to: Vec::new(),
        cookies: Cookies { enabled: preset(section("server.cookies"), "enabled") == "true", secrets: Vec::new() },
    };
    let Some(fields) = fields else { return answering };
    answering.nsid = reading.boolean(fields, "nsid").unwrap_or(answering.nsid);
    answering.identity = reading.boolean(fields, "identity").unwrap_or(answering.identity);
    answering.explain_to = prefixes(reading, fields, "explain_to");
    match fields.raw("cookies") {
        Some((DeValue::Table(table), at)) => {
            let fields = reading.open(section("server.cookies"), at, table);
            answering.cookies.enabled = reading.boolean(&fields, "enabled").unwrap_or(answering.cookies.enabled);
            answering.cookies.secrets = secrets(reading, &fields);
        }
        Some((_, at)) => {
            reading.found.error(at, "`cookies` is a table").help("write `[server.cookies]` on a line of its own");
        }
        None => {}
    }
    answering
}

/// A list of prefixes, or addresses, which are prefixes of their whole length.
pub(crate) fn prefixes(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str) -> Vec<IpNet> {
    let mut prefixes = Vec::new();
    for text in reading.texts(fields, key).unwrap_or_default() {
        let net = text.value.parse::<IpNet>().ok().or_else(|| Some(text.value.parse::<IpAddr>().ok()?.into()));
        match net {
            Some(net) if net == net.trunc() => prefixes.push(net),
            Some(net) => {
                let what = format!("{} has bits behind its length", text.shown());
                let problem = reading.found.error(text.at, what);
                problem.help(format!("write `\"{}\"`, or `\"{}\"` for the one address", net.trunc(), net.addr()));
            }
            None => {
                let what = format!("{} is no prefix of addresses", text.shown());
                reading.found.error(text.at, what).help("write it like `\"192.0.2.0/24\"` or `\"2001:db8::/32\"`");
            }
        }
    }
    prefixes
}

/// The secrets of `secret_file`: a line each, of hexadecimal digits. What is wrong with one is told without showing it.
fn secrets(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Vec<CookieSecret> {
    let Some(path) = reading.text(fields, "secret_file") else { return Vec::new() };
    let Some(text) = reading.file(&path) else { return Vec::new() };
    let shown = quoted(&path.value);
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match secret(line.trim()) {
            Some(secret) => secrets.push(secret),
            None => {
                let what = format!("line {number} of {shown} is no secret: {SECRET_DIGITS} hexadecimal digits");
                reading.found.error(path.at, what).help("`openssl rand -hex 16` makes a good one");
                return Vec::new();
            }
        }
    }
    if secrets.is_empty() || secrets.len() > SECRETS_MAX {
        let what = format!("{shown} holds {} secrets; 1 to {SECRETS_MAX} are of use", secrets.len());
        let problem = reading.found.error(path.at, what);
        problem.help("the first makes cookies; behind it, those that made them before or will make them next");
        return Vec::new();
    }
    secrets
}

fn secret(line: &str) -> Option<CookieSecret> {
    if line.len() != SECRET_DIGITS {
        return None;
    }
    let mut secret = [0; SECRET_DIGITS / 2];
    for (byte, digits) in secret.iter_mut().zip(line.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?;
    }
    Some(CookieSecret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_32_hexadecimal_digits_and_never_show() {
        let good = secret("e5e973e5a6b2a43f48e7dc849E37BFCF").expect("a secret");
        assert_eq!(good.0[..3], [0xe5, 0xe9, 0x73]);
        let cookies = Cookies::of([good.0]);
        assert_eq!(format!("{cookies:?}"), "Cookies { enabled: true, secrets: [CookieSecret(…)] }");
        for bad in [
            "",
            "e5",
            "e5e973e5a6b2a43f48e7dc849e37bfc",
            "e5e973e5a6b2a43f48e7dc849e37bfcg",
            "+5e973e5a6b2a43f48e7dc849e37bfcf",
        ] {
            assert_eq!(secret(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_random_secret_stands_in_for_none_alone() {
        let mut cookies = Cookies { enabled: true, secrets: Vec::new() };
        cookies.complete([1; 16]);
        cookies.complete([2; 16]);
        assert_eq!(cookies.secrets().collect::<Vec<_>>(), [&[1; 16]]);
        cookies.enabled = false;
        assert_eq!(cookies.secrets().next(), None);
    }
}
