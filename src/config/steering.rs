//! `[zone]`, `[ladder]`, `[steer]` and `[defaults.steer]`: the names and their orders of preference.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::bounds::{BACKUPS_MAX, FAILBACK_MAX, FAILBACK_MIN, section};
use super::combination::{self, ChecksSpec};
use super::errors::{At, Located, quoted};
use super::node::required;
use super::spec::Block;
use super::value::{Fields, Reading, Text};
use super::{Failback, Place, Quorum, duration, names};
use crate::dns::Name;

/// `[zone."NAME"]`.
#[derive(Debug)]
pub(crate) struct ZoneSpec {
    pub(crate) apex: Located<Name>,
    pub(crate) file: PathBuf,
}

/// `[defaults.steer]`.
#[derive(Debug, Default)]
pub(crate) struct SteerDefaults {
    pub(crate) ttl: Option<u32>,
    pub(crate) failback: Option<Failback>,
    /// The inner one is `None` where it is wrong, and that has been said.
    pub(crate) check: Option<Option<ChecksSpec>>,
    pub(crate) leave_degraded: Option<bool>,
    pub(crate) strict: Option<bool>,
}

/// `[ladder.NAME]`, or the same keys inline.
#[derive(Debug)]
pub(crate) struct LadderSpec {
    pub(crate) name: Located<String>,
    /// In the order of preference; empty if its primary is missing or wrong.
    pub(crate) rungs: Vec<RungSpec>,
}

/// One rung as written.
#[derive(Clone, Debug)]
pub(crate) struct RungSpec {
    pub(crate) place: Place,
    pub(crate) origins: Vec<Text>,
    pub(crate) check: CheckUse,
    pub(crate) quorum: Quorum,
}

/// Which check a rung asks for.
#[derive(Clone, Debug)]
pub(crate) enum CheckUse {
    /// The steered name's.
    Inherit,
    Named(ChecksSpec),
    /// `check = false`: unwatched.
    Off(At),
}

/// `[steer."NAME"]`.
#[derive(Debug)]
pub(crate) struct SteerSpec {
    pub(crate) name: Located<Name>,
    pub(crate) ladder: LadderUse,
    /// `None`: the steered name itself.
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) own: SteerDefaults,
}

/// Where a steered name's ladder is.
#[derive(Debug)]
pub(crate) enum LadderUse {
    Named(Text),
    Inline(LadderSpec),
    /// Missing or wrong, and already said.
    Broken,
}

/// `[zone."NAME"]`.
pub(crate) fn zone(reading: &mut Reading<'_>, block: &Block<'_>) -> Option<ZoneSpec> {
    let fields = reading.open(section("zone"), block.at, block.table);
    let reserved = fields.has("primaries");
    let file = if reserved { None } else { required(reading, &fields, "file", "\"example.com.zone\"") };
    let apex = name_of(reading, block, "a zone")?;
    if apex.is_wildcard() {
        reading
            .found
            .error(block.name.at, "a zone cannot be a wildcard")
            .help("wildcards stand in the zone file, or in `[steer.\"*.…\"]`");
        return None;
    }
    let file = file.map_or_else(PathBuf::new, |file| reading.joined(&file));
    Some(ZoneSpec { apex: Located { value: apex, at: block.name.at }, file })
}

fn name_of(reading: &mut Reading<'_>, block: &Block<'_>, what: &str) -> Option<Name> {
    let text = Text { value: block.name.value.clone(), at: block.name.at, env: None };
    names::owner(reading, &text, what)
}

/// `[defaults.steer]`.
pub(crate) fn defaults(reading: &mut Reading<'_>, block: Option<&Block<'_>>) -> SteerDefaults {
    let Some(block) = block else {
        return SteerDefaults::default();
    };
    let fields = reading.open(section("defaults.steer"), block.at, block.table);
    common(reading, &fields)
}

fn common(reading: &mut Reading<'_>, fields: &Fields<'_>) -> SteerDefaults {
    SteerDefaults {
        ttl: ttl(reading, fields),
        failback: failback(reading, fields),
        check: fields.has("check").then(|| combination::checks(reading, fields)),
        leave_degraded: reading.boolean(fields, "leave_degraded"),
        strict: reading.boolean(fields, "strict"),
    }
}

fn ttl(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<u32> {
    let ttl = reading.span(fields, "ttl")?;
    if ttl.value.subsec_millis() > 0 {
        let right = duration::show(Duration::from_secs(ttl.value.as_secs()));
        reading.found.error(ttl.at, "TTLs are whole seconds").help(format!("write `ttl = \"{right}\"`"));
    }
    u32::try_from(ttl.value.as_secs()).ok()
}

fn failback(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Failback> {
    let (value, at) = fields.raw("failback")?;
    let span = match value {
        DeValue::String(text) => {
            let text = reading.expand(text, at)?;
            let right = match text.value.to_ascii_lowercase().as_str() {
                "auto" | "automatic" | "immediate" | "always" => Some((Failback::Auto, "auto")),
                "manual" | "never" | "off" | "none" => Some((Failback::Manual, "manual")),
                _ => None,
            };
            match right {
                Some((failback, right)) if text.value == right => return Some(failback),
                Some((_, right)) => {
                    let problem = reading.found.error(at, format!("{} is no failback", text.shown()));
                    problem.help(format!("write `failback = \"{right}\"`"));
                    return None;
                }
                None => reading.span_of("failback", &text)?,
            }
        }
        DeValue::Table(_) => {
            reading.reserved(at, "failback = { … }");
            return None;
        }
        DeValue::Boolean(value) => {
            let right = if *value { "\"auto\"" } else { "\"manual\"" };
            reading.mistyped(
                "failback",
                &DeValue::Boolean(*value),
                at,
                "`\"auto\"`, `\"manual\"` or a duration",
                Some(right.to_owned()),
            );
            return None;
        }
        _ => reading.any_span("failback", value, at)?,
    };
    if (FAILBACK_MIN..=FAILBACK_MAX).contains(&span) {
        return Some(Failback::After(span));
    }
    let problem =
        reading.found.error(at, format!("`failback` must be between 1s and 7d, not {}", quoted(&duration::show(span))));
    problem.help(if span < FAILBACK_MIN {
        "write `failback = \"auto\"` to go back at once"
    } else {
        "write `failback = \"manual\"` to wait for a person"
    });
    None
}

/// `[ladder.NAME]`.
pub(crate) fn ladder(reading: &mut Reading<'_>, block: &Block<'_>) -> LadderSpec {
    let fields = reading.open(section("ladder"), block.at, block.table);
    if !fields.has("primary") && !fields.has_misspelt("primary") {
        let what = format!("ladder {} has no `primary`", quoted(&block.name.value));
        reading
            .found
            .error(block.at, what)
            .help("add `primary = \"ORIGIN\"`: the rung that is served whenever it works");
    }
    LadderSpec { name: block.name.clone(), rungs: rungs(reading, &fields) }
}

fn rungs(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Vec<RungSpec> {
    let mut rungs = Vec::new();
    if let Some((value, at)) = fields.raw("primary") {
        rungs.extend(rung(reading, "primary", value, at, Place::Primary));
    }
    match fields.raw("backup") {
        Some((DeValue::Array(list), at)) => {
            if list.len() > BACKUPS_MAX {
                reading
                    .found
                    .error(at, format!("{} backups, {BACKUPS_MAX} are allowed", list.len()))
                    .help("a visitor never gets as far: shorten the list");
            } else if list.is_empty() {
                reading.found.error(at, "`backup` is an empty list").help("name an origin, or remove the key");
            }
            for (place, item) in (1..).zip(list.iter().take(BACKUPS_MAX)) {
                let at = At::new(at.file, item.span());
                rungs.extend(rung(reading, "backup", item.get_ref(), at, Place::Backup(place)));
            }
        }
        Some((value, at)) => rungs.extend(rung(reading, "backup", value, at, Place::Backup(1))),
        None => {}
    }
    if let Some((value, at)) = fields.raw("emergency") {
        rungs.extend(rung(reading, "emergency", value, at, Place::Emergency));
    }
    rungs
}

fn rung(reading: &mut Reading<'_>, key: &str, value: &DeValue<'_>, at: At, place: Place) -> Option<RungSpec> {
    let fields = match value {
        DeValue::String(text) => {
            let origin = reading.expand(text, at)?;
            return Some(RungSpec {
                place,
                origins: vec![origin],
                check: CheckUse::Inherit,
                quorum: Quorum::default(),
            });
        }
        DeValue::Array(_) if key != "backup" => {
            let shown = reading.found.text_at(at).to_owned();
            reading.found.error(at, format!("`{key}` is one rung, not a list"))
                .help(format!("equals that are served together: `{key} = {{ all = {shown} }}`; only `backup` may be a list of rungs in their order"));
            return None;
        }
        DeValue::Array(_) => {
            let shown = reading.found.text_at(at).to_owned();
            reading
                .found
                .error(at, "a list of backups holds rungs, not lists")
                .help(format!("equals that are served together: `{{ all = {shown} }}`"));
            return None;
        }
        _ => reading.inline(section("rung"), key, value, at)?,
    };
    let origins = match (fields.has("origin"), fields.has("all")) {
        (true, false) => reading.text(&fields, "origin").map(|origin| vec![origin]),
        (false, true) => equals(reading, &fields),
        (true, true) => {
            reading
                .found
                .error(at, "a rung has either `origin` or `all`, not both")
                .help("put every origin into `all`");
            None
        }
        (false, false) => {
            if !fields.has("weights") {
                reading
                    .found
                    .error(at, "this rung names no origin")
                    .help("write `{ origin = \"…\" }` or `{ all = [\"…\", \"…\"] }`");
            }
            None
        }
    };
    let check = check_use(reading, &fields, place);
    let quorum = quorum(reading, &fields, origins.as_ref().map_or(0, Vec::len));
    Some(RungSpec { place, origins: origins?, check, quorum })
}

/// `min_up` and `panic` of a rung of so many origins; 0 if they are wrong.
fn quorum(reading: &mut Reading<'_>, fields: &Fields<'_>, origins: usize) -> Quorum {
    let alone = fields.has("origin") && !fields.has("all");
    if alone && let Some(key) = ["min_up", "panic"].into_iter().find(|key| fields.has(key)) {
        let problem = reading.found.error(fields.at_of(key), format!("`{key}` means nothing for one origin"));
        problem.help("it is for equals: `{ all = [\"…\", \"…\"] }`");
        return Quorum::default();
    }
    let min_up = reading.integer(fields, "min_up");
    if let Some(min_up) = min_up.as_ref().filter(|min_up| origins > 0 && min_up.value > origins as u64) {
        let what = format!("`min_up` is {}, and this rung has {origins}: it would always be dead", min_up.value);
        reading.found.error(min_up.at, what).help(format!("at most {origins}"));
    }
    let min_up = min_up.map_or(1, |min_up| usize::try_from(min_up.value).unwrap_or(usize::MAX));
    Quorum { min_up, panic: share(reading, fields, "panic") }
}

/// A share in percent.
fn share(reading: &mut Reading<'_>, fields: &Fields<'_>, key: &str) -> Option<u8> {
    let (value, at) = fields.raw(key)?;
    let DeValue::String(text) = value else {
        let right = matches!(value, DeValue::Integer(_)).then(|| format!("\"{}%\"", reading.found.text_at(at)));
        reading.mistyped(key, value, at, "a share, like `\"50%\"`", right);
        return None;
    };
    let text = reading.expand(text, at)?;
    let share = text.value.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    let share = share.filter(|share| (1..=100).contains(share));
    if share.is_none() {
        let problem = reading.found.error(at, format!("{} is no share", text.shown()));
        problem.help("a share is between `\"1%\"` and `\"100%\"`");
    }
    share
}

fn equals(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Vec<Text>> {
    let origins = reading.texts(fields, "all")?;
    let at = fields.at_of("all");
    if origins.is_empty() {
        reading.found.error(at, "`all` is empty: this rung would have no answer").help("name at least one origin");
        return None;
    }
    for (place, origin) in origins.iter().enumerate() {
        if let Some(first) = origins[..place].iter().find(|other| other.value == origin.value) {
            reading
                .found
                .error(origin.at, format!("{} stands twice in one rung", origin.shown()))
                .note(first.at, "first here")
                .help("remove one of them");
        }
    }
    Some(origins)
}

fn check_use(reading: &mut Reading<'_>, fields: &Fields<'_>, place: Place) -> CheckUse {
    match fields.raw("check") {
        None => CheckUse::Inherit,
        Some((DeValue::Boolean(false), at)) if place == Place::Emergency => CheckUse::Off(at),
        Some((DeValue::Boolean(false), at)) => {
            reading
                .found
                .error(at, format!("the {place} rung cannot go unchecked"))
                .help("only the emergency may: name a check, or remove the key");
            CheckUse::Inherit
        }
        Some((DeValue::Boolean(true), at)) => {
            reading
                .found
                .error(at, "`check` takes the name of a check, or false")
                .help("remove the key to use the check of the steered name");
            CheckUse::Inherit
        }
        Some(_) => combination::checks(reading, fields).map_or(CheckUse::Inherit, CheckUse::Named),
    }
}

/// `[steer."NAME"]`.
pub(crate) fn steer(reading: &mut Reading<'_>, block: &Block<'_>) -> Option<SteerSpec> {
    let fields = reading.open(section("steer"), block.at, block.table);
    let name = name_of(reading, block, "a steered name");
    let inline = ["primary", "backup", "emergency"].into_iter().find(|key| fields.has(key));
    let ladder = match (fields.has("ladder"), inline) {
        (true, Some(key)) => {
            reading
                .found
                .error(fields.at_of(key), format!("both `ladder` and `{key}` are set"))
                .note(fields.at_of("ladder"), "the ladder")
                .help("use the ladder, or write all rungs here");
            LadderUse::Broken
        }
        (true, None) => reading.text(&fields, "ladder").map_or(LadderUse::Broken, LadderUse::Named),
        (false, Some(_)) => {
            if !fields.has("primary") && !fields.has_misspelt("primary") {
                reading
                    .found
                    .error(block.at, format!("{} has no `primary`", quoted(&block.name.value)))
                    .help("add `primary = \"ORIGIN\"`: the rung that is served whenever it works");
            }
            LadderUse::Inline(LadderSpec { name: block.name.clone(), rungs: rungs(reading, &fields) })
        }
        (false, None) => {
            reading
                .found
                .error(block.at, format!("{} has no ladder", quoted(&block.name.value)))
                .help("add `ladder = \"NAME\"`, or `primary = \"ORIGIN\"` and `backup = \"ORIGIN\"`");
            LadderUse::Broken
        }
    };
    let own = common(reading, &fields);
    let hosts = hosts(reading, &fields, name.as_ref(), block);
    Some(SteerSpec { name: Located { value: name?, at: block.at }, ladder, hosts, own })
}

fn hosts(
    reading: &mut Reading<'_>,
    fields: &Fields<'_>,
    name: Option<&Name>,
    block: &Block<'_>,
) -> Option<Vec<String>> {
    if !fields.has("host") {
        let name = name?;
        if name.is_wildcard() {
            let example = block.name.value.replacen('*', "www", 1);
            reading
                .found
                .error(block.at, format!("{} is a wildcard and has no `host`", quoted(&block.name.value)))
                .help(format!(
                    "probes need a name for SNI and Host: add one that must work, like `host = \"{example}\"`"
                ));
        } else if !names::is_host(name) {
            reading
                .found
                .error(block.at, format!("{} is no host name, so its probes need one", quoted(&block.name.value)))
                .help("add `host = \"…\"`: it is sent as SNI and Host");
        }
        return None;
    }
    let texts = reading.texts(fields, "host")?;
    if texts.is_empty() {
        reading
            .found
            .error(fields.at_of("host"), "`host` is an empty list")
            .help("name a host, or remove the key to use the steered name");
    }
    let mut hosts: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        if text.value.parse::<std::net::IpAddr>().is_ok() {
            reading
                .found
                .error(text.at, "`host` takes a name, not an address")
                .help("it is sent as SNI and Host; addresses are the origins'");
            continue;
        }
        let Some(host) = names::host(reading, &text, "`host`") else {
            continue;
        };
        let host = host.to_host();
        if hosts.contains(&host) {
            reading.found.error(text.at, format!("{} is listed twice", text.shown())).help("remove one of them");
            continue;
        }
        hosts.push(host);
    }
    Some(hosts)
}
