//! `[check]`, `[defaults.check]` and `[origin]`: what is probed and how.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::bounds::{Kind, section};
use super::errors::{At, Located, quoted};
use super::spec::Block;
use super::value::{Fields, Reading, Text, in_order, within};
use super::{Ask, names};
use crate::config::expect::{Expression, Subject};
use crate::dns::Name;

/// Headers the prober sets itself.
const OWN_HEADERS: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];

/// The keys that `[check.NAME]` and `[defaults.check]` share, where set.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckDefaults {
    pub(crate) every: Option<Located<Duration>>,
    pub(crate) timeout: Option<Located<Duration>>,
    pub(crate) fall: Option<Located<u64>>,
    pub(crate) rise: Option<Located<u64>>,
    pub(crate) confirm: Option<Located<Duration>>,
    pub(crate) blip: Option<Located<Duration>>,
    pub(crate) tripwire: Option<bool>,
}

/// `[check.NAME]`.
#[derive(Debug)]
pub(crate) struct CheckSpec {
    pub(crate) name: Located<String>,
    pub(crate) ask: Ask,
    /// `None` only for `tcp = true` without `port`.
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
    pub(crate) probe_check: Option<Text>,
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
        timeout: reading.span(fields, "timeout"),
        fall: reading.integer(fields, "fall"),
        rise: reading.integer(fields, "rise"),
        confirm: reading.span(fields, "confirm"),
        blip: reading.span(fields, "blip"),
        tripwire: reading.boolean(fields, "tripwire"),
    }
}

/// `[check.NAME]`. One that is wrong still has its name, so that those who refer to it are not called wrong too.
pub(crate) fn check(reading: &mut Reading<'_>, block: &Block<'_>) -> CheckSpec {
    let fields = reading.open(section("check"), block.at, block.table);
    let kinds: Vec<&str> = ["https", "http", "tcp"].into_iter().filter(|kind| fields.has(kind)).collect();
    let reserved = fields.section.rows.iter().any(|row| row.kind == Kind::Reserved && fields.has(row.key));
    match kinds[..] {
        [_] => {}
        [] if reserved => {}
        [] => {
            let what = format!("check {} does not say what to ask", quoted(&block.name.value));
            reading.found.error(block.at, what).help("add one of `https = \"/\"`, `http = \"/\"`, `tcp = 443`");
        }
        [first, second, ..] => {
            let what = format!("check {} has both `{first}` and `{second}`", quoted(&block.name.value));
            reading
                .found
                .error(fields.at_of(second), what)
                .note(fields.at_of(first), "the first")
                .help("keep one of them, or make two checks");
        }
    }
    let kind = kinds.first().copied().unwrap_or("https");
    let port = reading.integer(&fields, "port").and_then(|port| u16::try_from(port.value).ok());
    let (ask, port) = match kind {
        "tcp" => (Ask::Tcp, tcp_port(reading, &fields, port)),
        _ => {
            let path = path(reading, &fields, kind);
            let headers = headers(reading, &fields);
            if kind == "https" {
                (Ask::Https { path, headers }, port.or(Some(443)))
            } else {
                (Ask::Http { path, headers }, port.or(Some(80)))
            }
        }
    };
    for key in ["headers", "ca_file"] {
        let useless = if key == "headers" { kind == "tcp" } else { kind != "https" };
        if useless && fields.has(key) {
            let what = format!("`{key}` means nothing for `{kind}`");
            reading.found.error(fields.at_of(key), what).help(if key == "headers" {
                "remove it, or use `https` or `http`"
            } else {
                "remove it, or use `https`"
            });
        }
    }
    let by_default = if kind == "tcp" { "" } else { "status in 200..299" };
    let expect = match expressions(reading, &fields, "expect", kind) {
        Some(expect) => expect,
        None => Expression::parse(by_default).into_iter().collect(),
    };
    let warn = expressions(reading, &fields, "warn", kind).unwrap_or_default();
    CheckSpec {
        name: block.name.clone(),
        ask,
        port,
        times: times(reading, &fields),
        expect,
        warn,
        ca: roots(reading, &fields),
    }
}

fn tcp_port(reading: &mut Reading<'_>, fields: &Fields<'_>, port: Option<u16>) -> Option<u16> {
    let (value, at) = fields.raw("tcp")?;
    match value {
        DeValue::Boolean(true) => return port,
        DeValue::Integer(number) => {
            let number =
                u16::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().filter(|&port| port > 0);
            if number.is_none() {
                reading.found.error(at, "`tcp` must be a port between 1 and 65535");
            } else if fields.has("port") {
                reading
                    .found
                    .error(fields.at_of("port"), "the port is given twice, by `tcp` and by `port`")
                    .note(at, "here too")
                    .help("keep `tcp = …` and remove `port`");
            }
            return number.or(Some(1));
        }
        DeValue::Boolean(false) => {
            reading.found.error(at, "`tcp = false` asks nothing").help("write the port, like `tcp = 443`");
        }
        _ => {
            let unquoted = value
                .as_str()
                .map(|text| text.rsplit(':').next().unwrap_or(text).to_owned())
                .filter(|port| port.parse::<u16>().is_ok());
            reading.mistyped("tcp", value, at, "a port, or true", unquoted);
        }
    }
    Some(1)
}

fn path(reading: &mut Reading<'_>, fields: &Fields<'_>, kind: &str) -> String {
    let Some(text) = reading.text(fields, kind) else {
        return "/".to_owned();
    };
    let value = text.value.as_str();
    if let Some((_, rest)) = value.split_once("://") {
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
        reading.found.error(text.at, format!("`{kind}` takes a path, not a URL")).help(format!(
            "write `{kind} = \"{path}\"`; the address is the origin's, the host name is the steered name's `host`"
        ));
    } else if !value.starts_with('/') {
        reading
            .found
            .error(text.at, "the path does not start with `/`")
            .help(format!("write `{kind} = \"/{}\"`", value.replace(' ', "%20")));
    } else if let Some(bad) = value.find(|c: char| !c.is_ascii_graphic() || c == '#') {
        let raw = reading.found.text_at(text.at).to_owned();
        let end = bad + value[bad..].chars().next().map_or(0, char::len_utf8);
        let at = within(&raw, text.at, value, bad..end);
        reading
            .found
            .error(at, "a path holds no spaces, no `#` and only ASCII")
            .help("escape it, like `%20` for a space");
    }
    text.value
}

fn headers(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Vec<(String, String)> {
    let Some((value, at)) = fields.raw("headers") else {
        return Vec::new();
    };
    let DeValue::Table(table) = value else {
        reading.mistyped("headers", value, at, "a table", Some("{ X-Name = \"value\" }".to_owned()));
        return Vec::new();
    };
    if let Some(Kind::Map { max }) = fields.section.row("headers").map(|row| row.kind)
        && table.len() > max
    {
        reading.found.error(at, format!("{} headers, {max} are allowed", table.len()));
        return Vec::new();
    }
    in_order(table)
        .into_iter()
        .filter_map(|(name, span, _)| header(reading, table, name, At::new(at.file, span)))
        .collect()
}

fn header(reading: &mut Reading<'_>, table: &DeTable<'_>, name: &str, at: At) -> Option<(String, String)> {
    let value = table.get(name)?;
    let place = At::new(at.file, value.span());
    let is_token =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token {
        reading.found.error(at, format!("{} is no header name", quoted(name))).help("letters, digits and `-`");
        return None;
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        let problem = reading.found.error(at, format!("the header {} is set by the prober", quoted(name)));
        if name.eq_ignore_ascii_case("host") {
            problem.help("set `host = \"…\"` of the steered name: it is SNI and Host together");
        } else {
            problem.help("remove it");
        }
        return None;
    }
    let DeValue::String(text) = value.get_ref() else {
        let right = format!("\"{}\"", reading.found.text_at(place));
        reading.mistyped(name, value.get_ref(), place, "a string", Some(right));
        return None;
    };
    let text = reading.expand(text, place)?;
    if text.value.chars().any(|c| c.is_control() && c != '\t') {
        reading
            .found
            .error(place, format!("the value of header {} holds a control character", quoted(name)))
            .help("a line break at its end? remove it");
        return None;
    }
    Some((name.to_owned(), text.value))
}

fn expressions(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str, kind: &str) -> Option<Vec<Expression>> {
    let texts = reading.texts(fields, key)?;
    Some(texts.into_iter().filter_map(|text| expression(reading, text, kind)).collect())
}

fn expression(reading: &mut Reading<'_>, text: Text, kind: &str) -> Option<Expression> {
    match Expression::parse(&text.value) {
        Ok(expression) => {
            let unseen = match (kind, expression.subject()) {
                ("tcp", Subject::Status) => Some("a tcp check sees no `status`"),
                ("tcp", Subject::Body) => Some("a tcp check sees no `body`"),
                ("tcp", Subject::CertDays) => Some("a tcp check sees no certificate"),
                ("http", Subject::CertDays) => Some("an http check sees no certificate"),
                _ => None,
            };
            if let Some(what) = unseen {
                reading.found.error(text.at, what).help("use `https`, or remove the expression");
                return None;
            }
            Some(expression)
        }
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
    };
    if let Some((value, at)) = fields.raw("probe")
        && let Some(probe) = reading.inline(section("origin.probe"), "probe", value, at)
    {
        spec.probe_port = reading.integer(&probe, "port").and_then(|port| u16::try_from(port.value).ok());
        spec.probe_check = reading.text(&probe, "check");
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
