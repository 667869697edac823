//! What can be told of a standby before anybody is asked: from the configuration, our zones, and what host names resolve
//! to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{Ask, Check, Config, Form, Origin, OriginId, Place, Platform, Rung, Steer};
use crate::dns::{Name, Type};
use crate::ready::caa::Ours;
use crate::ready::rehearsal::{Records, Scene};
use crate::ready::{Finding, Kind, Ready};

/// Above this TTL in seconds a turn is slow whatever the probes do: five minutes.
const TTL_LONG: u32 = 300;
/// Key of the service parameter that carries the keys of encrypted handshakes (RFC 9460 §14.3.2).
const ECH: u16 = 5;
/// Names told of in one warning.
const NAMES_SHOWN: usize = 3;

/// What host names resolve to, as far as it is known.
pub trait Resolved {
    /// Addresses of a host name; `None` if nobody has asked yet.
    fn addresses(&self, hostname: &Name) -> Option<&[IpAddr]>;
    /// The resolvers say that there is no such name any more.
    fn is_gone(&self, hostname: &Name) -> bool;
}

/// Nothing has been resolved yet.
#[derive(Clone, Copy, Debug)]
pub struct Unasked;

impl Resolved for Unasked {
    fn addresses(&self, _hostname: &Name) -> Option<&[IpAddr]> {
        None
    }

    fn is_gone(&self, _hostname: &Name) -> bool {
        false
    }
}

/// Which address families an origin has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

/// What is to be said of an origin on this rung of a name.
pub fn foresee(config: &Config, steer: &Steer, rung: &Rung, id: OriginId, resolved: &dyn Resolved) -> Vec<Finding> {
    let Some(origin) = config.origins.get(id.0 as usize) else { return Vec::new() };
    let mut findings = Vec::new();
    if rung.place != Place::Primary {
        findings.extend(family(config, steer, origin, resolved));
    }
    if steer.form == Form::Address {
        findings.extend(addresses(origin, resolved));
    }
    findings.extend(unseen(config, steer, rung, origin));
    findings
}

/// What would be served of an origin, by families; `None` if it is not known.
fn families(origin: &Origin, form: Form, resolved: &dyn Resolved) -> Option<Families> {
    let own: Vec<IpAddr> = origin.addresses().collect();
    let of = |addresses: &[IpAddr]| Families {
        v4: addresses.iter().any(IpAddr::is_ipv4),
        v6: addresses.iter().any(IpAddr::is_ipv6),
    };
    match &origin.cname {
        Some(cname) if form == Form::Cname || own.is_empty() => {
            resolved.addresses(cname).filter(|addresses| !addresses.is_empty()).map(of)
        }
        _ => Some(of(&own)),
    }
}

/// Clients that reach the primary by one family alone.
fn family(config: &Config, steer: &Steer, origin: &Origin, resolved: &dyn Resolved) -> Option<Finding> {
    let primary = steer.rungs.first()?.origins.iter().filter_map(|id| config.origins.get(id.0 as usize));
    let primary: Vec<Families> = primary.filter_map(|origin| families(origin, steer.form, resolved)).collect();
    let here = families(origin, steer.form, resolved)?;
    let lost = |of: fn(&Families) -> bool| primary.iter().any(of) && !of(&here);
    let (family, key) = match (lost(|families| families.v6), lost(|families| families.v4)) {
        (true, _) => ("IPv6", "aaaa"),
        (_, true) => ("IPv4", "a"),
        _ => return None,
    };
    let known: Vec<String> = origin
        .platform
        .apex_addresses()
        .iter()
        .filter(|address| address.is_ipv6() == (key == "aaaa"))
        .map(|address| format!("\"{address}\""))
        .collect();
    let advice = match (origin.addresses().next(), known.is_empty()) {
        (Some(_), false) => format!("{} publishes `{key} = [{}]`", origin.platform.name(), known.join(", ")),
        (Some(_), true) => format!("add its {family} address with `{key}`"),
        (None, _) => format!("have {} give it one", origin.platform.name()),
    };
    let seen = format!("it has no {family} address and the primary has one");
    Some(Finding::new(Kind::Family, Ready::Warn, seen, advice))
}

/// Own addresses beside a host name or a platform that has others.
fn addresses(origin: &Origin, resolved: &dyn Resolved) -> Option<Finding> {
    let published = origin.platform.apex_addresses();
    let mut own = origin.addresses().peekable();
    own.peek()?;
    let cname = origin.cname.as_ref();
    if let Some(cname) = cname.filter(|cname| resolved.is_gone(cname)) {
        let seen = format!("its host name {} does not exist any more", cname.to_host());
        let advice = "point `cname` at a site that exists, or remove it";
        return Some(Finding::new(Kind::Dangling, Ready::Warn, seen, advice));
    }
    let found = cname.and_then(|cname| resolved.addresses(cname)).unwrap_or(&[]);
    let same = |one: &IpAddr, other: &IpAddr| one.is_ipv4() == other.is_ipv4();
    // Where the platform has only one family, or nobody has asked, the other is nobody's business.
    let expects = |address: &IpAddr| {
        let known = published.iter().chain(found).any(|other| same(other, address));
        known && (cname.is_none() || !found.is_empty())
    };
    let strays: Vec<IpAddr> =
        own.filter(|address| expects(address) && !published.contains(address) && !found.contains(address)).collect();
    // Of a host name whose addresses change with the place that asks, some always differ.
    let all = || origin.addresses().filter(|address| strays.iter().any(|stray| same(stray, address)));
    if strays.is_empty() || published.is_empty() && all().any(|address| !strays.contains(&address)) {
        return None;
    }
    let listed = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let others: Vec<IpAddr> =
        published.iter().chain(found).filter(|other| strays.iter().any(|one| same(one, other))).copied().collect();
    let seen = match (published.is_empty(), cname) {
        (true, Some(cname)) => format!("{} is not what {} resolves to", listed(&strays), cname.to_host()),
        _ => format!("{} is none of the addresses that {} publishes", listed(&strays), origin.platform.name()),
    };
    Some(Finding::new(Kind::Addresses, Ready::Warn, seen, format!("there are {}", listed(&others))))
}

/// The checks an origin of a rung is asked with.
fn checks<'c>(config: &'c Config, rung: &'c Rung, origin: &'c Origin) -> impl Iterator<Item = &'c Check> {
    let checks = origin.probe_check.as_ref().or(rung.check.as_ref()).map_or(&[][..], |checks| &checks.of);
    checks.iter().filter_map(|id| config.checks.get(id.0 as usize)).map(|check| &**check)
}

/// A platform serves by HTTPS, whatever the check asks.
fn unseen(config: &Config, steer: &Steer, rung: &Rung, origin: &Origin) -> Option<Finding> {
    let checks: Vec<&Check> = checks(config, rung, origin).collect();
    let (check, host) = (checks.first()?, steer.hosts.first()?);
    let sees_none = |check: &&Check| matches!(check.ask, Ask::Http(_) | Ask::Tcp);
    (origin.platform != Platform::Plain && checks.iter().all(sees_none)).then(|| {
        let seen = format!("its certificate for {host} is never seen: check {} asks without TLS", check.name);
        Finding::new(Kind::Unseen, Ready::Warn, seen, "ask it by `https`")
    })
}

/// What `failoverd check` and a reload say of all names, one line each.
pub fn warnings(config: &Config, ours: &Ours<'_>) -> Vec<String> {
    let mut told: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
    let mut order = 0;
    let mut tell = |known: &mut BTreeMap<String, usize>, what: String, name: &Name| {
        let place = *known.entry(what.clone()).or_insert_with(|| {
            order += 1;
            order
        });
        let names = told.entry((place, what)).or_default();
        let name = name.to_host();
        if names.last() != Some(&name) {
            names.push(name);
        }
    };
    let mut known = BTreeMap::new();
    for steer in &config.steers {
        for rung in &steer.rungs {
            for &id in &rung.origins {
                let Some(origin) = config.origins.get(id.0 as usize) else { continue };
                let forbidden = forbidden(config, steer, rung, origin, ours);
                for finding in foresee(config, steer, rung, id, &Unasked).into_iter().chain(forbidden) {
                    tell(&mut known, format!("{} {}: {}", rung.place, origin.name, finding.told()), &steer.name);
                }
            }
        }
        for finding in pinned(steer, ours).into_iter().chain(slow(steer)) {
            tell(&mut known, finding.told(), &steer.name);
        }
    }
    told.into_iter().map(|((_, what), names)| format!("{}: {what}", few(&names))).collect()
}

/// CAA records that keep the platform of an origin from its certificates.
fn forbidden(config: &Config, steer: &Steer, rung: &Rung, origin: &Origin, ours: &Ours<'_>) -> Option<Finding> {
    let check = checks(config, rung, origin).next()?;
    if origin.platform.authorities().is_empty() {
        return None;
    }
    let scene = |host: &String| Scene::new(origin, check, host, Arc::new(Records::of(host, ours)));
    steer.hosts.iter().find_map(|host| scene(host).forbidden(None))
}

/// Records that hold only for the origin they were made for.
fn pinned(steer: &Steer, ours: &Ours<'_>) -> Option<Finding> {
    let one = steer.rungs.len() < 2;
    let tlsa = steer.name.child(b"_tcp").and_then(|below| below.child(b"_443")).ok();
    if let Some(owner) = tlsa.filter(|owner| !one && !ours.rdata(owner, Type::TLSA).is_empty()) {
        let seen = format!("the TLSA records at {} pin keys that not every rung may have", owner.to_host());
        let advice = "list the keys of all rungs, or remove them";
        return Some(Finding::new(Kind::Pinned, Ready::Warn, seen, advice));
    }
    let has_keys = |rtype| ours.rdata(&steer.name, rtype).iter().any(|rdata| has_parameter(rdata, ECH));
    let rtype = [Type::HTTPS, Type::SVCB].into_iter().find(|&rtype| !one && has_keys(rtype))?;
    let seen = format!("its {rtype} record carries `ech`, the keys of one origin alone");
    Some(Finding::new(Kind::Pinned, Ready::Warn, seen, "remove `ech`"))
}

/// Does this SVCB or HTTPS RDATA (RFC 9460 §2.2) carry this parameter?
fn has_parameter(rdata: &[u8], wanted: u16) -> bool {
    let after_priority = rdata.get(2..).unwrap_or(&[]);
    let Ok(target) = crate::dns::name::wire_length(after_priority) else { return false };
    let mut rest = after_priority.get(target..).unwrap_or(&[]);
    while let [k1, k2, l1, l2, after @ ..] = rest {
        if u16::from_be_bytes([*k1, *k2]) == wanted {
            return true;
        }
        rest = after.get(usize::from(u16::from_be_bytes([*l1, *l2]))..).unwrap_or(&[]);
    }
    false
}

fn slow(steer: &Steer) -> Option<Finding> {
    (steer.ttl > TTL_LONG && steer.rungs.len() > 1).then(|| {
        let seen = format!("its TTL of {} s keeps visitors on a dead rung for that long", steer.ttl);
        Finding::new(Kind::Ttl, Ready::Warn, seen, format!("use {TTL_LONG} s or less"))
    })
}

/// The first few names, and how many more.
fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
