//! `[server]`, `[admin]`, `[alert]` and `[cli]`: this node and who talks to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::answering;
use super::bounds::{RESOLVERS_MAX, Section, section};
use super::encrypted::{self, Encrypted, EncryptedListen, Scheme};
use super::errors::{At, Findings, Located, quoted};
use super::spec::Block;
use super::value::{Fields, Reading, Text, preset, preset_span};
use super::{Admin, Alert, Asking, Cli, Listen, Resolvers, Secret, Server, Token};
use super::{recording, secret};

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// `[admin]`, and where its two addresses are set.
#[derive(Debug)]
pub(crate) struct AdminSpec {
    pub(crate) admin: Admin,
    pub(crate) places: [Option<At>; 2],
}

/// The fields of a block, if there is one.
fn open<'t>(reading: &mut Reading<'_>, of: &'static Section, block: Option<&Block<'t>>) -> Option<Fields<'t>> {
    block.map(|block| reading.open(of, block.at, block.table))
}

/// `[server]`; all defaults without one.
pub(crate) fn server(reading: &mut Reading<'_>, block: Option<&Block<'_>>, host_name: &str) -> Server {
    let of = section("server");
    let fields = open(reading, of, block);
    let mut server = Server {
        name: host_name.to_owned(),
        listen: [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
            .map(|ip| Listen { address: SocketAddr::new(ip, DNS_PORT), udp: true, tcp: true })
            .into(),
        workers: None,
        state: preset(of, "state").into(),
        state_max_age: preset_span(of, "state_max_age"),
        resolvers: Resolvers::System,
        watch: false,
        doubt_share: preset(of, "doubt_share").parse().unwrap_or(0.5),
        answering: Arc::default(),
        encrypted: Encrypted::default(),
        asking: Asking::default(),
        record: recording::presets(of),
    };
    let Some(fields) = fields else {
        server.answering = Arc::new(answering::read(reading, None, &server.name));
        return server;
    };
    if let Some(name) = reading.text(&fields, "name") {
        if name.value.chars().any(|c| c.is_control() || c.is_whitespace()) {
            reading
                .found
                .error(name.at, "`name` holds a space or a control character")
                .help("write one word, like `\"ns1\"`");
        }
        server.name = name.value;
    }
    let mut listen = Listens::default();
    if let Some(texts) = reading.texts(&fields, "listen") {
        listen = listens(reading, &fields, texts);
        server.listen = listen.plain;
    }
    if let (Some(at), false) = (listen.first_encrypted, fields.has("tls")) {
        encrypted::without_certificate(reading, at);
    }
    server.encrypted.listen = listen.encrypted;
    if let Some(workers) = reading.integer(&fields, "workers") {
        server.workers = usize::try_from(workers.value).ok();
    }
    if let Some(state) = reading.text(&fields, "state") {
        server.state = reading.joined(&state);
    }
    if let Some(age) = reading.span(&fields, "state_max_age") {
        server.state_max_age = age.value;
    }
    if let Some(resolvers) = resolvers(reading, &fields, &server.listen) {
        server.resolvers = resolvers;
    }
    server.watch = reading.boolean(&fields, "watch").unwrap_or(server.watch);
    server.doubt_share = reading.number(&fields, "doubt_share").unwrap_or(server.doubt_share);
    server.asking.exec = reading.boolean(&fields, "exec").unwrap_or(false);
    server.record = recording::read(reading, of, &fields);
    server.answering = Arc::new(answering::read(reading, Some(&fields), &server.name));
    server
}

/// The addresses of `listen`, by who answers there.
#[derive(Default)]
struct Listens {
    plain: Vec<Listen>,
    encrypted: Vec<EncryptedListen>,
    first_encrypted: Option<At>,
}

fn listens(reading: &mut Reading<'_>, fields: &Fields<'_>, texts: Vec<Text>) -> Listens {
    if texts.is_empty() {
        let at = fields.at_of("listen");
        reading
            .found
            .error(at, "`listen` is empty: nobody could ask")
            .help("leave it out to listen on port 53 of every address");
    }
    let mut all = Listens::default();
    let mut seen: Vec<(Listen, At)> = Vec::new();
    for text in texts {
        let value = text.value.as_str();
        let (scheme, udp, tcp, rest) = match value.split_once("://") {
            Some(("udp", rest)) => (None, true, false, rest),
            Some(("tcp", rest)) => (None, false, true, rest),
            Some((word, rest)) => match Scheme::named(word) {
                Some(scheme) => (Some(scheme), scheme.is_udp(), !scheme.is_udp(), rest),
                None => {
                    no_transport(reading, &text, word, rest);
                    continue;
                }
            },
            None => (None, true, true, value),
        };
        let rest = match rest.split_once('?') {
            Some((_, option)) if option.starts_with("proxy") => {
                reading.reserved(text.at, &format!("?{option}"));
                continue;
            }
            Some((address, option)) => {
                reading
                    .found
                    .error(text.at, format!("{} is no option of an address", quoted(option)))
                    .help(format!("write `\"{address}\"`"));
                continue;
            }
            None => rest,
        };
        if let (Some(Scheme::Https), Some((address, path))) = (scheme, rest.split_once('/')) {
            let what = format!("{} has a path, where only `https://address:port` belongs", text.shown());
            let problem = reading.found.error(text.at, what);
            problem.help(format!("write `\"https://{address}\"`, and `https_path = \"/{path}\"` in `[server.tls]`"));
            continue;
        }
        let Some(address) = address(reading, &text, rest, scheme.map(Scheme::port)) else {
            continue;
        };
        let listen = Listen { address, udp, tcp };
        let twice = |(other, _): &&(Listen, At)| {
            other.address == address && address.port() != 0 && (other.udp && udp || other.tcp && tcp)
        };
        if let Some(&(_, first)) = seen.iter().find(twice) {
            reading
                .found
                .error(text.at, format!("`{address}` is listed twice"))
                .note(first, "first here")
                .help("remove one of them");
            continue;
        }
        seen.push((listen, text.at));
        match scheme {
            None => all.plain.push(listen),
            Some(scheme) => {
                all.encrypted.push(EncryptedListen { address, scheme });
                all.first_encrypted.get_or_insert(text.at);
            }
        }
    }
    all
}

/// `word` is none of the words that may stand before `://rest`.
fn no_transport(reading: &mut Reading<'_>, text: &Text, word: &str, rest: &str) {
    let meant = Scheme::meant_by(word);
    if meant.is_none() && word == "h3" {
        // DNS over HTTP/3.
        reading.reserved(text.at, &format!("{word}://"));
        return;
    }
    let what = format!("{} is no transport", quoted(&format!("{word}://")));
    let problem = reading.found.error(text.at, what);
    match meant {
        Some(scheme) => problem.help(format!("DNS over {scheme} is `\"{}://{rest}\"`", scheme.word())),
        None => problem.help(format!(
            "write `\"{rest}\"` for UDP and TCP, `\"udp://{rest}\"` or `\"tcp://{rest}\"` for one of them; or \
             `tls://`, `https://`, `quic://`"
        )),
    };
}

fn resolvers(reading: &mut Reading<'_>, fields: &Fields<'_>, listen: &[Listen]) -> Option<Resolvers> {
    let (value, at) = fields.raw("resolvers")?;
    if let Some(text) = value.as_str() {
        let text = reading.expand(text, at)?.value;
        if text == "system" {
            return Some(Resolvers::System);
        }
        let written = reading.found.text_at(at).to_owned();
        let problem = reading.found.error(at, "`resolvers` takes `\"system\"` or a list of addresses");
        if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
            problem.help(format!("write `resolvers = [{written}]`"));
        } else {
            problem.help("like `resolvers = [\"192.0.2.53\"]`");
        }
        return None;
    }
    let texts = reading.texts(fields, "resolvers")?;
    if texts.is_empty() || texts.len() > RESOLVERS_MAX {
        let what = format!("`resolvers` takes 1 to {RESOLVERS_MAX} addresses, not {}", texts.len());
        reading.found.error(at, what).help("leave it out to use those of the system");
    }
    let mut addresses = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(address) = address(reading, &text, &text.value, Some(DNS_PORT)) else {
            continue;
        };
        if listen.iter().any(|ours| is_ours(ours, address)) {
            reading
                .found
                .error(text.at, format!("the resolver {} is this server itself", quoted(&text.value)))
                .help("name a recursive resolver: this server only knows its own zones");
            continue;
        }
        addresses.push(address);
    }
    Some(Resolvers::Addresses(addresses))
}

/// Would a question to `address` come to `listen`?
fn is_ours(listen: &Listen, address: SocketAddr) -> bool {
    let (ours, theirs) = (listen.address.ip(), address.ip());
    let everywhere = ours.is_unspecified() && (theirs.is_loopback() || theirs.is_unspecified());
    listen.address.port() == address.port() && (ours == theirs || everywhere)
}

/// `address:port`, or an address alone where there is a default port.
fn address(reading: &mut Reading<'_>, text: &Text, value: &str, port: Option<u16>) -> Option<SocketAddr> {
    if let Ok(address) = value.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = value.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    if let (Some(ip), Some(port)) = (bare, port) {
        return Some(SocketAddr::new(ip, port));
    }
    let example = port.unwrap_or(DNS_PORT);
    let shown = text.shown();
    if let Some(ip) = bare {
        let right = SocketAddr::new(ip, example);
        reading.found.error(text.at, format!("{shown} has no port")).help(format!("write `\"{right}\"`"));
        return None;
    }
    let (host, number) = value.rsplit_once(':').unwrap_or(if value.bytes().all(|b| b.is_ascii_digit()) {
        ("", value)
    } else {
        (value, "")
    });
    let number_given = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let problem = reading
        .found
        .error(text.at, format!("{shown} is not an address{}", if port.is_none() { " with a port" } else { "" }));
    match (host, number) {
        _ if number_given && number.parse::<u16>().is_err() => problem.help("ports go up to 65535"),
        ("" | "*", number) if number_given => problem.help(format!("write `\"0.0.0.0:{number}\"` for IPv4, `\"[::]:{number}\"` for IPv6")),
        ("localhost", number) if number_given => problem.help(format!("write `\"127.0.0.1:{number}\"`")),
        _ => problem.help(format!("write the IP address, like `\"192.0.2.1:{example}\"` or `\"[2001:db8::1]:{example}\"`; names are not looked up here")),
    };
    None
}

/// `[admin]` and its tokens; all defaults without them.
pub(crate) fn admin<'b, 't: 'b>(
    reading: &mut Reading<'_>,
    block: Option<&Block<'t>>,
    tokens: impl Iterator<Item = &'b Block<'t>>,
) -> AdminSpec {
    let of = section("admin");
    let fields = open(reading, of, block);
    let mut places = [None; 2];
    let mut addresses = [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0); 2];
    for (place, key) in ["listen", "ops_listen"].into_iter().enumerate() {
        addresses[place] = preset(of, key).parse().unwrap_or(addresses[place]);
        let Some(fields) = &fields else { continue };
        let Some(text) = reading.text(fields, key) else {
            continue;
        };
        if let Some(address) = address(reading, &text, &text.value, None) {
            addresses[place] = address;
            places[place] = Some(text.at);
        }
    }
    let [listen, ops_listen] = addresses;
    if listen == ops_listen && listen.port() != 0 {
        let at = places[1].or(places[0]);
        reading
            .found
            .error(at, "`listen` and `ops_listen` of [admin] are the same address")
            .help("give each its own port: one needs a token, the other does not");
    }
    if let (Some(at), false) = (places[0], listen.ip().is_loopback()) {
        reading
            .found
            .warning(
                at,
                format!("the API listens on {listen}, which is not loopback: tokens cross the network unencrypted"),
            )
            .help("keep it on a private network, or on 127.0.0.1 behind a tunnel");
    }
    let tokens = tokens.filter_map(|block| token(reading, block)).collect();
    AdminSpec { admin: Admin { listen, ops_listen, tokens }, places }
}

fn token(reading: &mut Reading<'_>, block: &Block<'_>) -> Option<Token> {
    let fields = reading.open(section("admin.token"), block.at, block.table);
    let path = required(reading, &fields, "secret_file", "\"alice.token\"")?;
    Some(Token { actor: block.name.value.clone(), secret: secret_in(reading, &path)? })
}

/// The one word that a file holds.
pub(crate) fn secret_in(reading: &mut Reading<'_>, path: &Text) -> Option<Secret> {
    let secret = reading.file(path)?.trim().to_owned();
    if secret.len() < secret::TOKEN_MIN || secret.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let what = format!(
            "{} does not hold a token: one word of {} characters and more",
            quoted(&path.value),
            secret::TOKEN_MIN
        );
        reading.found.error(path.at, what).help("`openssl rand -hex 32` makes a good one");
        return None;
    }
    Some(Secret(secret))
}

/// A string that must be there.
pub(crate) fn required(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str, example: &str) -> Option<Text> {
    if !fields.has(key) && fields.has_misspelt(key) {
        return None;
    }
    if !fields.has(key) {
        let shown = reading.found.text_at(fields.at).to_owned();
        reading
            .found
            .error(fields.at, format!("{} has no `{key}`", quoted(&shown)))
            .help(format!("add `{key} = {example}`"));
        return None;
    }
    reading.text(fields, key)
}

/// `[alert.NAME]`.
pub(crate) fn alert(reading: &mut Reading<'_>, block: &Block<'_>) -> Option<Alert> {
    let fields = reading.open(section("alert"), block.at, block.table);
    let webhook = required(reading, &fields, "webhook", "\"https://hooks.example.com/…\"");
    if let (Some((_, at)), true) = (fields.raw("secret"), fields.has("secret_file")) {
        reading
            .found
            .error(at, "both `secret` and `secret_file` are set")
            .note(fields.at_of("secret_file"), "and here")
            .help("keep one of them");
    }
    let mut secret = None;
    if let Some(text) = reading.text(&fields, "secret") {
        secret = signing_secret(reading, &text, &text.value);
        if text.env.is_none() {
            reading.found.mask(text.at);
        }
    } else if let Some(path) = reading.text(&fields, "secret_file") {
        secret = reading.file(&path).and_then(|text| signing_secret(reading, &path, text.trim()));
    }
    let webhook = webhook?;
    web_address(reading, &webhook, true)?;
    if webhook.env.is_none() {
        reading.found.hidden.push((webhook.at, "https://hidden.invalid/"));
    }
    Some(Alert { name: block.name.value.clone(), webhook: webhook.value, secret })
}

fn signing_secret(reading: &mut Reading<'_>, from: &Text, value: &str) -> Option<Vec<u8>> {
    let secret = secret::signing(value);
    if secret.is_none() {
        reading.found.error(from.at, "this is not a signing secret: `whsec_` and the base64 of 24 to 64 bytes")
            .help("`echo whsec_$(openssl rand -base64 32)` makes a good one; or leave it out and use the one made at first start");
    }
    secret
}

/// `[cli]`.
pub(crate) fn cli(reading: &mut Reading<'_>, block: Option<&Block<'_>>) -> Cli {
    let Some(fields) = open(reading, section("cli"), block) else {
        return Cli::default();
    };
    let nodes = reading.texts(&fields, "nodes").unwrap_or_default();
    let good = nodes.into_iter().filter_map(|node| web_address(reading, &node, false).map(|()| node.value));
    Cli { nodes: good.map(|node| node.trim_end_matches('/').to_owned()).collect() }
}

/// An absolute http or https URL; `path` tells whether it may have one.
fn web_address(reading: &mut Reading<'_>, text: &Text, path: bool) -> Option<()> {
    let value = text.value.as_str();
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let tail = rest.zip(host).map_or("", |(rest, host)| rest.strip_prefix(host).unwrap_or(""));
    let port = host.and_then(|host| host.rsplit_once(':')).filter(|(_, port)| !port.ends_with(']'));
    let what = match host {
        _ if value.contains(|c: char| c.is_whitespace() || c.is_control()) => "holds a space",
        None => "is not an http or https URL",
        Some("") => "has no host",
        _ if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) => "has no valid port",
        _ if !path && !tail.trim_matches('/').is_empty() => "has a path, where only `http://host:port` belongs",
        Some(_) => return Some(()),
    };
    let problem = reading.found.error(text.at, format!("{} {what}", text.shown()));
    let example = if path { "https://hooks.example.com/path" } else { "http://10.0.0.2:8053" };
    match (rest, host) {
        (None, _) if text.env.is_none() && !value.contains("://") => {
            problem.help(format!("write `\"{}{value}\"`", if path { "https://" } else { "http://" }))
        }
        (_, Some(host)) if !path && !host.is_empty() && text.env.is_none() => {
            problem.help(format!("write `\"{}\"`", value.strip_suffix(tail).unwrap_or(value)))
        }
        _ => problem.help(format!("it looks like `{example}`")),
    };
    None
}

/// `[heartbeat]`: where origins call us.
pub(crate) fn heartbeat(reading: &mut Reading<'_>, block: Option<&Block<'_>>) -> Option<Located<SocketAddr>> {
    let fields = open(reading, section("heartbeat"), block)?;
    let text = required(reading, &fields, "listen", "\"0.0.0.0:9154\"")?;
    let address = address(reading, &text, &text.value, None)?;
    Some(Located { value: address, at: text.at })
}

/// Where two of our own listeners would take the same TCP port.
pub(crate) fn same_port(
    found: &mut Findings,
    server: &Server,
    spec: &AdminSpec,
    heartbeat: Option<&Located<SocketAddr>>,
) {
    let [listen, ops_listen] = spec.places;
    let mut addresses = vec![
        ("`listen` of [admin]", spec.admin.listen, listen),
        ("`ops_listen` of [admin]", spec.admin.ops_listen, ops_listen),
    ];
    if let Some(beats) = heartbeat {
        let clash = addresses.iter().find(|(_, address, _)| meets(*address, beats.value));
        if let Some((name, ..)) = clash {
            let what = format!("{}, `listen` of [heartbeat], is also {name}", beats.value);
            found.error(beats.at, what).help("give them different ports");
        }
        addresses.push(("`listen` of [heartbeat]", beats.value, Some(beats.at)));
    }
    for (name, address, place) in addresses {
        let plain = server.listen.iter().filter(|listen| listen.tcp).map(|listen| listen.address);
        let encrypted = server.encrypted.listen.iter().filter(|listen| !listen.scheme.is_udp());
        if plain.chain(encrypted.map(|listen| listen.address)).any(|listen| meets(listen, address)) {
            let what = format!("{address}, {name}, is also an address of [server] `listen`");
            found.error(place, what).help("give them different ports");
        }
    }
}

/// Would both take the same port?
fn meets(one: SocketAddr, other: SocketAddr) -> bool {
    let (ours, theirs) = (one.ip(), other.ip());
    let everywhere = ours.is_unspecified() || theirs.is_unspecified();
    let meets = ours == theirs || everywhere && ours.is_ipv4() == theirs.is_ipv4();
    meets && one.port() == other.port() && one.port() != 0
}
