//! `[check]`, `[defaults.check]` and `[origin]`: what is probed and how.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::bounds::section;
use super::combination::{self, ChecksSpec};
use super::errors::{At, Located, quoted};
use super::spec::Block;
use super::value::{Fields, Reading, Text, within};
use super::{Ask, Platform, Rule, Window, ask, names, platform};
use crate::config::expect::{Expression, ExpressionError, Subject};
use crate::dns::Name;

/// The keys that `[check.NAME]` and `[defaults.check]` share, where set.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckDefaults {
    pub(crate) every: Option<Located<Duration>>,
    pub(crate) standby_every: Option<Located<Duration>>,
    pub(crate) timeout: Option<Located<Duration>>,
    pub(crate) fall: Option<Located<u64>>,
    pub(crate) rise: Option<Located<u64>>,
    pub(crate) confirm: Option<Located<Duration>>,
    pub(crate) blip: Option<Located<Duration>>,
    pub(crate) tripwire: Option<bool>,
    /// The inner one is `None` for `window = false`.
    pub(crate) window: Option<Option<Window>>,
    pub(crate) degraded: Option<Vec<Rule>>,
}

/// `[check.NAME]`.
#[derive(Debug)]
pub(crate) struct CheckSpec {
    pub(crate) name: Located<String>,
    pub(crate) ask: Ask,
    /// Where it says so.
    pub(crate) ask_at: At,
    /// `None` where the check needs one and names none.
    pub(crate) port: Option<u16>,
    pub(crate) times: CheckDefaults,
    pub(crate) expect: Vec<Expression>,
    pub(crate) warn: Vec<Expression>,
    pub(crate) ca: Option<Arc<str>>,
}

/// `[origin.NAME]`.
#[derive(Debug)]
pub(crate) struct OriginSpec {
    pub(crate) name: Located<String>,
    pub(crate) cname: Option<Located<Name>>,
    pub(crate) a: Vec<Ipv4Addr>,
    pub(crate) aaaa: Vec<Ipv6Addr>,
    pub(crate) probe_port: Option<u16>,
    pub(crate) probe_check: Option<ChecksSpec>,
    /// `None`: as its host name tells.
    pub(crate) platform: Option<Platform>,
}

/// `[defaults.check]`.
pub(crate) fn defaults(reading: &mut Reading<'_>, block: Option<&Block<'_>>) -> CheckDefaults {
    let Some(block) = block else {
        return CheckDefaults::default();
    };
    let fields = reading.open(section("defaults.check"), block.at, block.table);
    times(reading, &fields)
}

fn times(reading: &mut Reading<'_>, fields: &Fields<'_>) -> CheckDefaults {
    CheckDefaults {
        every: reading.span(fields, "every"),
        standby_every: reading.span(fields, "standby_every"),
        timeout: reading.span(fields, "timeout"),
        fall: reading.integer(fields, "fall"),
        rise: reading.integer(fields, "rise"),
        confirm: reading.span(fields, "confirm"),
        blip: reading.span(fields, "blip"),
        tripwire: reading.boolean(fields, "tripwire"),
        window: window(reading, fields),
        degraded: rules(reading, fields),
    }
}

fn window(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Option<Window>> {
    match fields.raw("window") {
        Some((DeValue::Boolean(false), _)) => return Some(None),
        Some((value @ DeValue::Integer(failed), at)) => {
            let right = format!("\"{} of 10\"", failed.as_str());
            reading.mistyped("window", value, at, "`\"6 of 10\"`, or false", Some(right));
            return None;
        }
        _ => {}
    }
    let text = reading.text(fields, "window")?;
    parsed(reading, &text, Window::parse(&text.value)).map(Some)
}

fn rules(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Vec<Rule>> {
    let texts = reading.texts(fields, "degraded")?;
    Some(texts.into_iter().filter_map(|text| parsed(reading, &text, Rule::parse(&text.value))).collect())
}

/// What a text says; an error with its caret inside the string if it says nothing.
fn parsed<T>(reading: &mut Reading<'_>, text: &Text, said: Result<T, ExpressionError>) -> Option<T> {
    match said {
        Ok(said) => Some(said),
        Err(fault) => {
            let raw = reading.found.text_at(text.at).to_owned();
            let at = if text.env.is_some() { text.at } else { within(&raw, text.at, &text.value, fault.at) };
            let problem = reading.found.error(at, fault.what);
            if let Some(help) = fault.help {
                problem.help(help);
            }
            None
        }
    }
}

/// `[check.NAME]`. One that is wrong still has its name, so that those who refer to it are not called wrong too.
pub(crate) fn check(reading: &mut Reading<'_>, block: &Block<'_>) -> CheckSpec {
    let fields = reading.open(section("check"), block.at, block.table);
    let (ask, port) = ask::ask(reading, &fields, &block.name.value);
    let expect = match expressions(reading, &fields, "expect", &ask) {
        Some(expect) => expect,
        None => ask.usual().into_iter().filter_map(|(_, text)| Expression::parse(text).ok()).collect(),
    };
    let warn = expressions(reading, &fields, "warn", &ask).unwrap_or_default();
    let ca = if ask.sees_certificate() { roots(reading, &fields) } else { None };
    CheckSpec {
        name: block.name.clone(),
        ask_at: ask_at(&fields),
        ask,
        port,
        times: times(reading, &fields),
        expect,
        warn,
        ca,
    }
}

fn ask_at(fields: &Fields<'_>) -> At {
    ask::KINDS.into_iter().find(|kind| fields.has(kind)).map_or(fields.at, |kind| fields.at_of(kind))
}

fn expressions(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str, ask: &Ask) -> Option<Vec<Expression>> {
    let texts = reading.texts(fields, key)?;
    Some(texts.into_iter().filter_map(|text| expression(reading, text, ask)).collect())
}

fn expression(reading: &mut Reading<'_>, text: Text, ask: &Ask) -> Option<Expression> {
    match Expression::parse(&text.value) {
        Ok(expression) if ask.sees(expression.subject()) => Some(expression),
        Ok(expression) => {
            let (kind, what, better) = unseen(ask, expression.subject());
            reading
                .found
                .error(text.at, format!("{kind} check sees {what}"))
                .help(format!("use {better}, or remove the expression"));
            None
        }
        Err(fault) => parsed(reading, &text, Err(fault)),
    }
}

/// What a check does not see, in words: its kind with an article, what it lacks, and the kind that has it.
fn unseen(ask: &Ask, subject: Subject) -> (String, &'static str, &'static str) {
    let word = ask.word();
    let article = if word.starts_with(['h', 'i', 'e']) && word != "heartbeat" { "an" } else { "a" };
    let (what, better) = match subject {
        Subject::Status => ("no `status`", "`https`"),
        Subject::Header => ("no `header`", "`https`"),
        Subject::Body => ("no `body`", "`https`"),
        Subject::Json => ("no `json`", "`https`"),
        Subject::Time => ("no `time`", "`https`"),
        Subject::CertDays => ("no certificate", "`https`"),
        Subject::Exit => ("no `exit`", "`exec`"),
        Subject::Rcode => ("no `rcode`", "`dns`"),
        Subject::Authority => ("no `aa`", "`dns`"),
        Subject::Answer => ("no `answer`", "`dns`"),
        Subject::Serial | Subject::SerialAge => ("no serial", "`dns`"),
    };
    (format!("{article} {word}"), what, better)
}

fn roots(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Arc<str>> {
    let path = reading.text(fields, "ca_file")?;
    let pem = reading.file(&path)?;
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        let problem = reading.found.error(path.at, format!("{} holds no certificate in PEM", quoted(&path.value)));
        problem
            .help("it has a line `-----BEGIN CERTIFICATE-----`; `openssl x509 -inform der -in FILE` converts from DER");
        return None;
    }
    Some(pem.into())
}

/// `[origin.NAME]`. One that is wrong still has its name.
pub(crate) fn origin(reading: &mut Reading<'_>, block: &Block<'_>) -> OriginSpec {
    let fields = reading.open(section("origin"), block.at, block.table);
    if !["cname", "a", "aaaa"].iter().any(|key| fields.has(key)) {
        let what = format!("origin {} has neither a host name nor an address", quoted(&block.name.value));
        reading
            .found
            .error(block.at, what)
            .help("add `cname = \"host.example.net\"`, or `a = [\"192.0.2.10\"]` and `aaaa = [\"2001:db8::10\"]`");
    }
    let cname = cname(reading, &fields);
    let a = addresses(reading, &fields, "a");
    let aaaa = addresses(reading, &fields, "aaaa");
    for key in ["a", "aaaa"] {
        if let Some((DeValue::Array(list), at)) = fields.raw(key)
            && list.is_empty()
            && cname.is_none()
            && !fields.has("cname")
        {
            reading.found.error(at, format!("`{key}` is empty")).help("add an address, or remove the key");
        }
    }
    let mut spec = OriginSpec {
        name: block.name.clone(),
        cname,
        a: a.iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }).collect(),
        aaaa: aaaa.iter().filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }).collect(),
        probe_port: None,
        probe_check: None,
        platform: platform::read(reading, &fields),
    };
    if let Some((value, at)) = fields.raw("probe")
        && let Some(probe) = reading.inline(section("origin.probe"), "probe", value, at)
    {
        spec.probe_port = reading.integer(&probe, "port").and_then(|port| u16::try_from(port.value).ok());
        spec.probe_check = combination::checks(reading, &probe);
    }
    spec
}

fn cname(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Located<Name>> {
    let text = reading.text(fields, "cname")?;
    if let Ok(ip) = text.value.trim_matches(['[', ']']).parse::<IpAddr>() {
        let key = if ip.is_ipv4() { "a" } else { "aaaa" };
        reading
            .found
            .error(text.at, "`cname` takes a host name, not an address")
            .help(format!("write `{key} = [\"{ip}\"]`"));
        return None;
    }
    let name = names::host(reading, &text, "`cname`")?;
    Some(Located { value: name, at: text.at })
}

fn addresses(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str) -> Vec<IpAddr> {
    let mut seen: Vec<(IpAddr, At)> = Vec::new();
    for text in reading.texts(fields, key).unwrap_or_default() {
        let Ok(ip) = text.value.parse::<IpAddr>() else {
            let port = text.value.parse::<std::net::SocketAddr>().ok();
            let is_name = text.value.contains(|c: char| c.is_ascii_alphabetic()) && !text.value.contains(':');
            let problem = reading.found.error(text.at, format!("{} is not an IP address", text.shown()));
            match port {
                Some(port) => problem.help(format!(
                    "DNS has no ports: write `\"{}\"`, and `probe = {{ port = {} }}` for the probes",
                    port.ip(),
                    port.port()
                )),
                None if text.value.contains('/') => problem.help("one address, not a network"),
                None if is_name => problem.help(format!("a host name goes into `cname = \"{}\"`", text.value)),
                None => problem.help(if key == "a" { "like `192.0.2.10`" } else { "like `2001:db8::10`" }),
            };
            continue;
        };
        if ip.is_ipv4() != (key == "a") {
            let (other, family) = if key == "a" { ("aaaa", "IPv6") } else { ("a", "IPv4") };
            reading
                .found
                .error(text.at, format!("{} is an {family} address", text.shown()))
                .help(format!("it belongs into `{other} = [\"{ip}\"]`"));
        } else if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            reading
                .found
                .error(text.at, format!("no service can live at {}", text.shown()))
                .help("write the address that clients connect to");
        } else if let Some(&(_, first)) = seen.iter().find(|(other, _)| *other == ip) {
            reading
                .found
                .error(text.at, format!("{} is listed twice", text.shown()))
                .note(first, "first here")
                .help("remove one of them");
        } else {
            seen.push((ip, text.at));
        }
    }
    seen.into_iter().map(|(ip, _)| ip).collect()
}
