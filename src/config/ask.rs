//! The ways to ask: what each sends, what it can see, and how `[check.NAME]` says it.

use std::net::SocketAddr;

use toml::de::{DeTable, DeValue};

use super::bounds::{Kind, section};
use super::errors::{At, quoted};
use super::expect::Subject;
use super::value::{Fields, Reading, Text, in_order, within};
use super::{Secret, names, node};
use crate::dns::Name;
use crate::dns::schema::Type;

/// What a check sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    Https(Web),
    Http(Web),
    /// Connects.
    Tcp,
    /// Connects and shakes hands.
    Tls,
    /// Asks the origin as a nameserver.
    Dns(Question),
    /// Pings.
    Icmp,
    /// Runs a program: its path, and its arguments with `{address}`, `{host}` and `{port}` in them.
    Exec(Vec<String>),
    /// The origin calls us, with this secret.
    Heartbeat(Secret),
}

/// An HTTP request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Web {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Body of the request; most have none.
    pub send: String,
    /// HTTP/2 and nothing older; only over TLS.
    pub http2: bool,
}

impl Web {
    /// A GET of `path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET".to_owned(), path: path.into(), headers: Vec::new(), send: String::new(), http2: false }
    }
}

/// What a nameserver is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub name: Name,
    pub rtype: Type,
}

/// `www.example.com A`.
impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name.to_host(), self.rtype)
    }
}

/// What the ways to ask need of this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asking {
    /// `[server] exec`: checks may run programs.
    pub exec: bool,
    /// `[heartbeat] listen`.
    pub heartbeat: Option<SocketAddr>,
}

/// The keys of `[check.NAME]` that say how to ask.
pub(crate) const KINDS: [&str; 8] = ["https", "http", "tcp", "tls", "dns", "icmp", "exec", "heartbeat"];

impl Ask {
    /// Its key in the file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Https(_) => "https",
            Self::Http(_) => "http",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dns(_) => "dns",
            Self::Icmp => "icmp",
            Self::Exec(_) => "exec",
            Self::Heartbeat(_) => "heartbeat",
        }
    }

    /// Is the origin asked for each of a name's hosts?
    pub fn names_host(&self) -> bool {
        matches!(self, Self::Https(_) | Self::Http(_) | Self::Tls | Self::Exec(_))
    }

    /// Does it go to a port?
    pub fn has_port(&self) -> bool {
        !matches!(self, Self::Icmp | Self::Heartbeat(_))
    }

    /// Does the origin show a certificate?
    pub fn sees_certificate(&self) -> bool {
        matches!(self, Self::Https(_) | Self::Tls)
    }

    /// Is there a status?
    pub fn is_web(&self) -> bool {
        matches!(self, Self::Https(_) | Self::Http(_))
    }

    /// Does the origin call us? Nothing is sent then, and no address of the origin is asked.
    pub fn is_awaited(&self) -> bool {
        matches!(self, Self::Heartbeat(_))
    }

    /// Is a probe so dear that one is made only when the one before it has failed?
    pub fn is_dear(&self) -> bool {
        matches!(self, Self::Exec(_))
    }

    /// What must hold where no expression of a check speaks of it.
    pub fn usual(&self) -> Option<(Subject, &'static str)> {
        match self {
            Self::Https(_) | Self::Http(_) => Some((Subject::Status, "status in 200..299")),
            Self::Dns(_) => Some((Subject::Rcode, "rcode == 'NOERROR'")),
            Self::Exec(_) => Some((Subject::Exit, "exit == 0")),
            Self::Tcp | Self::Tls | Self::Icmp | Self::Heartbeat(_) => None,
        }
    }

    /// Can an expression of a check speak of this?
    pub(crate) fn sees(&self, subject: Subject) -> bool {
        let is_exec = matches!(self, Self::Exec(_));
        match subject {
            Subject::Status | Subject::Header => self.is_web(),
            Subject::Body | Subject::Json => self.is_web() || is_exec,
            Subject::Time => !self.is_awaited(),
            Subject::CertDays => self.sees_certificate(),
            Subject::Exit => is_exec,
            Subject::Rcode | Subject::Authority | Subject::Answer | Subject::Serial | Subject::SerialAge => {
                matches!(self, Self::Dns(_))
            }
        }
    }
}

// ---- reading

/// Headers the prober sets itself.
const OWN_HEADERS: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];
/// Methods that ask something of a server; the others are about the connection.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Keys that mean something for some ways to ask only, and those ways.
const ONLY_FOR: [(&str, &[&str]); 8] = [
    ("headers", &["https", "http"]),
    ("method", &["https", "http"]),
    ("send", &["https", "http"]),
    ("http2", &["https"]),
    ("ca_file", &["https", "tls"]),
    ("port", &["https", "http", "tcp", "tls", "dns", "exec"]),
    ("confirm", &["https", "http", "tcp", "tls", "dns", "icmp", "exec"]),
    ("blip", &["https", "http", "tcp", "tls", "dns", "icmp", "exec"]),
];
const DNS_PORT: u16 = 53;

/// How a check asks, and at which port. `None` as a port: the origin's own must say.
pub(crate) fn ask(reading: &mut Reading<'_>, fields: &Fields<'_>, name: &str) -> (Ask, Option<u16>) {
    let kind = kind(reading, fields, name);
    for (key, kinds) in ONLY_FOR {
        if !kinds.contains(&kind) && fields.has(key) {
            let known = kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or ");
            let problem = reading.found.error(fields.at_of(key), format!("`{key}` means nothing for `{kind}`"));
            match kinds.len() {
                1 | 2 => problem.help(format!("remove it, or use {known}")),
                _ => problem.help("remove it"),
            };
        }
    }
    let port = reading.integer(fields, "port").and_then(|port| u16::try_from(port.value).ok());
    match kind {
        "tcp" => (Ask::Tcp, port_of(reading, fields, kind, port)),
        "tls" => (Ask::Tls, port_of(reading, fields, kind, port)),
        "dns" => (Ask::Dns(question(reading, fields)), port.or(Some(DNS_PORT))),
        "icmp" => {
            said_true(reading, fields, kind);
            (Ask::Icmp, Some(0))
        }
        "exec" => {
            let command = command(reading, fields);
            let names_port = command.iter().skip(1).any(|word| word.contains("{port}"));
            (Ask::Exec(command), if names_port { port } else { port.or(Some(0)) })
        }
        "heartbeat" => (Ask::Heartbeat(beat(reading, fields)), Some(0)),
        "http" => (Ask::Http(web(reading, fields, kind)), port.or(Some(80))),
        _ => (Ask::Https(web(reading, fields, kind)), port.or(Some(443))),
    }
}

/// Exactly one of [`KINDS`].
fn kind(reading: &mut Reading<'_>, fields: &Fields<'_>, name: &str) -> &'static str {
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    let reserved = fields.section.rows.iter().any(|row| row.kind == Kind::Reserved && fields.has(row.key));
    match kinds[..] {
        [_] => {}
        [] if reserved => {}
        [] => {
            let what = format!("check {} does not say what to ask", quoted(name));
            reading.found.error(fields.at, what).help(
                "add one of `https = \"/\"`, `http = \"/\"`, `tcp = 443`, `tls = 853`, `dns = \"NAME A\"`, \
                 `icmp = true`, `exec = [\"/PATH\"]`, `heartbeat = { secret_file = \"FILE\" }`",
            );
        }
        [first, second, ..] => {
            let what = format!("check {} has both `{first}` and `{second}`", quoted(name));
            reading
                .found
                .error(fields.at_of(second), what)
                .note(fields.at_of(first), "the first")
                .help("keep one of them, or make two checks");
        }
    }
    kinds.first().copied().unwrap_or("https")
}

/// `true`; else an error.
fn said_true(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str) {
    match fields.raw(key) {
        Some((DeValue::Boolean(false), at)) => {
            reading.found.error(at, format!("`{key} = false` asks nothing")).help(format!("write `{key} = true`"));
        }
        Some((DeValue::Boolean(true), _)) | None => {}
        Some((value, at)) => reading.mistyped(key, value, at, "true", Some("true".to_owned())),
    }
}

/// `tcp = 443`, or `tcp = true` with `port`.
fn port_of(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str, port: Option<u16>) -> Option<u16> {
    let (value, at) = fields.raw(key)?;
    match value {
        DeValue::Boolean(true) => return port,
        DeValue::Integer(number) => {
            let number =
                u16::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().filter(|&port| port > 0);
            if number.is_none() {
                reading.found.error(at, format!("`{key}` must be a port between 1 and 65535"));
            } else if fields.has("port") {
                reading
                    .found
                    .error(fields.at_of("port"), format!("the port is given twice, by `{key}` and by `port`"))
                    .note(at, "here too")
                    .help(format!("keep `{key} = …` and remove `port`"));
            }
            return number.or(Some(1));
        }
        DeValue::Boolean(false) => {
            let example = if key == "tls" { 853 } else { 443 };
            reading
                .found
                .error(at, format!("`{key} = false` asks nothing"))
                .help(format!("write the port, like `{key} = {example}`"));
        }
        _ => {
            let unquoted = value
                .as_str()
                .map(|text| text.rsplit(':').next().unwrap_or(text).to_owned())
                .filter(|port| port.parse::<u16>().is_ok());
            reading.mistyped(key, value, at, "a port, or true", unquoted);
        }
    }
    Some(1)
}

fn web(reading: &mut Reading<'_>, fields: &Fields<'_>, kind: &str) -> Web {
    let path = path(reading, fields, kind);
    let headers = headers(reading, fields);
    let send = reading.text(fields, "send").map(|text| text.value).unwrap_or_default();
    let by_default = if send.is_empty() { "GET" } else { "POST" };
    let method = match reading.text(fields, "method") {
        Some(text) => method(reading, &text, !send.is_empty()),
        None => by_default.to_owned(),
    };
    let http2 = reading.boolean(fields, "http2").unwrap_or(false);
    Web { method, path, headers, send, http2 }
}

fn method(reading: &mut Reading<'_>, text: &Text, sends: bool) -> String {
    let upper = text.value.to_ascii_uppercase();
    if !METHODS.contains(&upper.as_str()) {
        let known = METHODS.map(|method| format!("`{method}`")).join(", ");
        reading
            .found
            .error(text.at, format!("{} is no method of a probe", text.shown()))
            .help(format!("use one of {known}"));
    } else if upper != text.value {
        reading
            .found
            .error(text.at, format!("{} is not in capitals, and methods differ by case", text.shown()))
            .help(format!("write `method = \"{upper}\"`"));
    } else if sends && matches!(upper.as_str(), "GET" | "HEAD") {
        reading
            .found
            .error(text.at, format!("a {upper} request has no body, but `send` is set"))
            .help("write `method = \"POST\"`, or remove `send`");
    }
    upper
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

/// `dns = "www.example.com A"`.
fn question(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Question {
    let mut asked = Question { name: Name::root(), rtype: Type::A };
    let Some(text) = reading.text(fields, "dns") else {
        return asked;
    };
    let mut words = text.value.split_whitespace();
    let (name, rtype, more) = (words.next(), words.next(), words.next());
    if let Some(name) = name.filter(|&name| name != ".") {
        let name = Text { value: name.to_owned(), ..text.clone() };
        asked.name = names::owner(reading, &name, "`dns`").unwrap_or(asked.name);
    }
    match rtype.map(|word| (word, Type::from_mnemonic(word))) {
        None => {}
        Some((_, Some(known))) if !known.is_meta() => asked.rtype = known,
        Some((word, _)) => {
            let problem = reading.found.error(text.at, format!("{} is no type of record", quoted(word)));
            problem.help("write a name and a type, like `dns = \"www.example.com A\"`");
        }
    }
    if let Some(extra) = more {
        let problem = reading.found.error(text.at, format!("{} is one word too many", quoted(extra)));
        problem.help("write a name and a type, like `dns = \"www.example.com A\"`");
    }
    asked
}

/// `exec = ["/path", "argument"]`.
fn command(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Vec<String> {
    let Some((value, at)) = fields.raw("exec") else {
        return Vec::new();
    };
    if let DeValue::String(text) = value {
        let words = text.split_whitespace().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        reading
            .found
            .error(at, "`exec` takes a list, for no shell reads it")
            .help(format!("write `exec = [{words}]`; what needs a shell goes into a script"));
        return Vec::new();
    }
    let words = reading.texts(fields, "exec").unwrap_or_default();
    match words.first() {
        Some(program) if program.value.starts_with('/') => {}
        Some(program) => {
            let what = format!("{} is no absolute path", program.shown());
            let name = program.value.rsplit('/').next().unwrap_or_default();
            reading.found.error(program.at, what).help(format!("write all of it, like `/usr/local/bin/{name}`"));
        }
        None if matches!(value, DeValue::Array(list) if list.is_empty()) => {
            reading.found.error(at, "`exec` is empty").help("write the path of a program, and its arguments");
        }
        None => {}
    }
    if let Some(word) = words.iter().find(|word| word.value.contains('\0')) {
        reading.found.error(word.at, "a word of a command holds no NUL");
    }
    words.into_iter().map(|word| word.value).collect()
}

/// `heartbeat = { secret_file = "beat.token" }`.
fn beat(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Secret {
    let none = Secret(String::new());
    let Some((value, at)) = fields.raw("heartbeat") else {
        return none;
    };
    match value {
        // A secret in the wrong place is one all the same.
        DeValue::String(_) => reading.found.mask(at),
        DeValue::Table(table) => {
            let others = table.iter().filter(|(key, value)| key.get_ref() != "secret_file" && value.get_ref().is_str());
            others.for_each(|(_, value)| reading.found.mask(At::new(at.file, value.span())));
        }
        _ => {}
    }
    if !matches!(value, DeValue::Table(_)) {
        let right = "{ secret_file = \"beat.token\" }".to_owned();
        reading.mistyped("heartbeat", value, at, "a table with the file of its secret", Some(right));
        return none;
    }
    let Some(table) = reading.inline(section("check.heartbeat"), "heartbeat", value, at) else {
        return none;
    };
    let path = node::required(reading, &table, "secret_file", "\"beat.token\"");
    path.and_then(|path| node::secret_in(reading, &path)).unwrap_or(none)
}
