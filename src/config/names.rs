//! Names as people write them: absolute, the final dot left out, in any case.

use super::errors::At;
use super::value::{Reading, Text};
use crate::dns::Name;

/// A name of DNS, folded. `what` is said in messages: ``the zone`` or the key.
pub(crate) fn owner(reading: &mut Reading<'_>, text: &Text, what: &str) -> Option<Name> {
    let value = text.value.as_str();
    if common_mistakes(reading, text.at, &text.shown(), value, what) {
        return None;
    }
    match Name::absolute(value) {
        Ok(name) => Some(name.folded()),
        Err(why) => {
            reading.found.error(text.at, format!("{} is no name for {what}: {why}", text.shown()));
            None
        }
    }
}

/// A host name: what clients connect to, and may stand in SNI and Host.
pub(crate) fn host(reading: &mut Reading<'_>, text: &Text, what: &str) -> Option<Name> {
    let name = owner(reading, text, what)?;
    if is_host(&name) {
        return Some(name);
    }
    let problem = reading.found.error(text.at, format!("{} is no host name", text.shown()));
    if name.is_wildcard() {
        problem.help("a wildcard is no host: write one of the names it stands for");
    } else {
        problem.help("host names are labels of letters, digits, `-` and `_`, with dots between");
    }
    None
}

/// Is this made of letters, digits, hyphens and underscores?
pub(crate) fn is_host(name: &Name) -> bool {
    let fits = |label: &[u8]| label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    !name.is_root() && name.labels().all(fits)
}

fn common_mistakes(reading: &mut Reading<'_>, at: At, shown: &str, value: &str, what: &str) -> bool {
    let inner = value.split_once("://").map(|(_, rest)| rest);
    let host = inner.unwrap_or(value).split(['/', '?']).next().unwrap_or("");
    let port = host.rsplit_once(':').filter(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    if !value.is_ascii() {
        reading.found.error(at, format!("{shown} is not ASCII")).help(format!(
            "{what} takes the A-label, which begins with `xn--`; `idn2 {}` prints it",
            value.chars().filter(|c| !c.is_control()).take(80).collect::<String>()
        ));
    } else if value.contains(char::is_whitespace) {
        reading.found.error(at, format!("{shown} holds a space")).help("remove it");
    } else if inner.is_some() || value.contains('/') {
        let host = port.map_or(host, |(host, _)| host);
        reading.found.error(at, format!("{shown} is a URL, {what} takes a name")).help(format!("write `\"{host}\"`"));
    } else if let Some((host, port)) = port {
        let problem = reading.found.error(at, format!("{shown} has a port, {what} takes a name"));
        problem.help(format!("write `\"{host}\"`; ports of probes are set by `port` of a check, or `probe = {{ port = {port} }}` of an origin"));
    } else {
        return false;
    }
    true
}
