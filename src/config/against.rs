//! Steered names against what stands in the zone files: everything that would make an answer wrong in the protocol,
//! or a surprise, is found before it is served.

use std::collections::{BTreeMap, BTreeSet};

use super::errors::{At, Findings, quoted};
use super::resolve::Places;
use super::{Config, Form, OriginId, Steer};
use crate::dns::{Name, Type};
use crate::zone::load::Zone;
use crate::zone::table::{Node, Table};

/// Longest chain of names that is followed.
const CHAIN_MAX: usize = 64;
/// Records of one kind that are named in a message.
const RECORDS_SHOWN: usize = 3;
/// Keys of the service parameters that carry addresses (RFC 9460 §7.3).
const HINTS: [u16; 2] = [4, 6];

/// All of the checks. What is found points at the header of the steered name.
pub(crate) fn check(found: &mut Findings, config: &Config, places: &Places, zones: &[Zone]) {
    let view = View::new(config, places, zones);
    view.signed_zones(found);
    view.delegations(found);
    for (steer, &at) in config.steers.iter().zip(&places.steers) {
        let Some(zone) = zones.get(steer.zone.0 as usize) else {
            continue;
        };
        if view.cut_off(found, steer, at, &zone.table) {
            continue;
        }
        if let Some(node) = zone.table.get(&steer.name) {
            beside(found, steer, at, &node);
        }
        if steer.form == Form::Cname {
            view.leads_back(found, steer, at);
        }
    }
    view.pointers(found);
    view.hints_elsewhere(found);
    view.negative_ttls(found);
}

/// Configuration and zones together.
struct View<'v> {
    config: &'v Config,
    places: &'v Places,
    zones: &'v [Zone],
    by_apex: BTreeMap<&'v Name, &'v Table>,
    by_name: BTreeMap<&'v Name, &'v Steer>,
    /// By [`ZoneId`](super::ZoneId): its steered names and their headers.
    by_zone: Vec<Vec<(&'v Steer, At)>>,
    /// The steered names and every name above one.
    existing: BTreeSet<Name>,
}

impl<'v> View<'v> {
    fn new(config: &'v Config, places: &'v Places, zones: &'v [Zone]) -> Self {
        let mut by_zone = vec![Vec::new(); zones.len()];
        let mut existing = BTreeSet::new();
        for (steer, &at) in config.steers.iter().zip(&places.steers) {
            if let Some(steers) = by_zone.get_mut(steer.zone.0 as usize) {
                steers.push((&**steer, at));
            }
            let mut above = Some(steer.name.clone());
            while let Some(name) = above {
                above = name.parent();
                if !existing.insert(name) {
                    break;
                }
            }
        }
        let by_apex = zones.iter().map(|zone| (zone.table.apex(), &zone.table)).collect();
        let by_name = config.steers.iter().map(|steer| (&steer.name, &**steer)).collect();
        Self { config, places, zones, by_apex, by_name, by_zone, existing }
    }

    /// A changing answer cannot carry the signatures of the file, and there are no keys here to make new ones.
    fn signed_zones(&self, found: &mut Findings) {
        for (zone, here) in self.zones.iter().zip(&self.by_zone) {
            let Some(&(first, at)) = here.first() else { continue };
            let Some(apex) = zone.table.get(zone.table.apex()) else {
                continue;
            };
            let signed = [Type::DNSKEY, Type::RRSIG, Type::NSEC, Type::NSEC3PARAM];
            let Some(rtype) = signed.into_iter().find(|&rtype| apex.types().any(|there| there == rtype)) else {
                continue;
            };
            let more = match here.len() - 1 {
                0 => String::new(),
                count => format!(" (nor can {count} more names in it)"),
            };
            let zone = zone.table.apex().to_host();
            let what = format!(
                "{} cannot be steered: its zone {} is signed ({rtype} at the apex), and failoverd cannot sign yet{more}",
                quoted(&first.name.to_host()),
                quoted(&zone)
            );
            found
                .error(at, what)
                .label("a steered answer would have no signature: validating resolvers would refuse it as bogus")
                .help(format!(
                    "steer a name in an unsigned zone of its own, delegated from {zone} without DS, and let a CNAME \
                     point at it; or serve this zone unsigned"
                ));
        }
    }

    /// A zone below another zone of ours is reached through a delegation in that one, and nothing of that one's own is
    /// answered there. Where it is delegated, the check of the upper file has said what is hidden.
    fn delegations(&self, found: &mut Findings) {
        // The undelegated zones, with the apex of the zone above and what that one has there.
        let mut lost: BTreeMap<&Name, (&Name, At, Vec<String>)> = BTreeMap::new();
        for (zone, &at) in self.zones.iter().zip(&self.places.zones) {
            let apex = zone.table.apex();
            let Some(above) = apex.parent().and_then(|parent| self.table_of(&parent)) else {
                continue;
            };
            if !gives_away(above, apex) {
                lost.insert(apex, (above.apex(), at, Vec::new()));
            }
        }
        let uppers: BTreeSet<&Name> = lost.values().map(|&(above, ..)| above).collect();
        for table in uppers.iter().filter_map(|apex| self.by_apex.get(apex)) {
            let servers: BTreeSet<Name> = table
                .iter()
                .filter_map(|node| node.rrset(Type::NS))
                .flat_map(|rrset| rrset.rdata)
                .filter_map(|rdata| Name::from_wire(&rdata).ok())
                .collect();
            for node in table.iter() {
                let owner = node.owner();
                let Some((above, _, records)) = self.table_of(&owner).and_then(|deepest| lost.get_mut(deepest.apex()))
                else {
                    continue;
                };
                if *above != table.apex() {
                    continue;
                }
                let of_a_cut = |rtype| match rtype {
                    Type::NS | Type::DS => true,
                    Type::A | Type::AAAA => servers.contains(&owner),
                    _ => false,
                };
                let own = node.types().filter(|&rtype| !of_a_cut(rtype));
                records.extend(own.map(|rtype| format!("{rtype} at {}", owner.to_host())));
            }
        }
        for (apex, (above, at, mut records)) in lost {
            let (apex, above) = (apex.to_host(), above.to_host());
            let what = format!("{} is a zone of its own but not delegated in {}", quoted(&apex), quoted(&above));
            found.warning(at, what).help(format!("add `{apex}. NS …` to the file of {above}"));
            if records.is_empty() {
                continue;
            }
            records.sort();
            let what = format!(
                "{} is a zone of its own, and the file of {} has records there that are never answered: {}",
                quoted(&apex),
                quoted(&above),
                first_few(&records)
            );
            found.warning(at, what).help(format!("move them into the file of {apex}"));
        }
    }

    /// Is the name given away by a delegation or DNAME?
    fn cut_off(&self, found: &mut Findings, steer: &Steer, at: At, table: &Table) -> bool {
        let mut above = Some(steer.name.clone());
        while let Some(name) = above.filter(|name| name.is_within(table.apex())) {
            let node = table.get(&name);
            let itself = name == steer.name;
            let has = |rtype| node.as_ref().is_some_and(|node| node.types().any(|there| there == rtype));
            let shown = quoted(&steer.name.to_host());
            let owner = quoted(&name.to_host());
            if has(Type::NS) && name != *table.apex() {
                let what = if itself {
                    format!("{shown} is delegated to other servers in its zone file")
                } else {
                    format!("{shown} is below the delegation of {owner} in its zone file")
                };
                found
                    .error(at, what)
                    .label("resolvers would never ask us for it")
                    .help(format!("remove the NS records at {owner}, or steer a name outside of it"));
                return true;
            }
            if has(Type::DNAME) && !itself {
                found
                    .error(at, format!("{shown} is below the DNAME at {owner} in its zone file"))
                    .label("the DNAME would be the answer")
                    .help(format!("remove the DNAME at {owner}, or steer a name outside of it"));
                return true;
            }
            above = name.parent();
        }
        false
    }

    /// Does one of the host names lead back to the steered name, through our own zones?
    fn leads_back(&self, found: &mut Findings, steer: &Steer, at: At) {
        for rung in &steer.rungs {
            let Some(&origin) = rung.origins.first() else { continue };
            let Some(target) = self.cname_of(origin) else { continue };
            let mut open: Vec<Vec<Name>> = vec![vec![target]];
            let mut seen: BTreeSet<Name> = BTreeSet::new();
            while let Some(way) = open.pop() {
                let Some(here) = way.last() else { continue };
                if *here == steer.name || self.steered(here).is_some_and(|other| other.name == steer.name) {
                    let way: Vec<String> = way.iter().map(|name| name.to_host()).collect();
                    let name = &self.config.origins[origin.0 as usize].name;
                    let what =
                        format!("the {} rung of {} leads back to itself", rung.place, quoted(&steer.name.to_host()));
                    let problem = found.error(at, what);
                    if let Some(Some(place)) = self.places.cnames.get(origin.0 as usize) {
                        problem.note(*place, format!("the host name of origin `{name}`"));
                    }
                    problem.help(format!(
                        "the way is {} → {}; point the origin at the service itself",
                        steer.name.to_host(),
                        way.join(" → ")
                    ));
                    break;
                }
                if way.len() >= CHAIN_MAX || !seen.insert(here.clone()) {
                    continue;
                }
                for next in self.aliases(here) {
                    open.push(way.iter().cloned().chain([next]).collect());
                }
            }
        }
    }

    fn cname_of(&self, origin: OriginId) -> Option<Name> {
        self.config.origins.get(origin.0 as usize)?.cname.clone()
    }

    /// Where our own answer for this name may lead.
    fn aliases(&self, name: &Name) -> Vec<Name> {
        if let Some(steer) = self.steered(name) {
            if steer.form == Form::Address {
                return Vec::new();
            }
            return steer
                .rungs
                .iter()
                .flat_map(|rung| rung.origins.iter().filter_map(|&origin| self.cname_of(origin)))
                .collect();
        }
        let Some(table) = self.table_of(name) else {
            return Vec::new();
        };
        let owner = match table.get(name) {
            Some(_) => Some(name.clone()),
            None => closest(name, |above| table.get(above).is_some()).and_then(|above| above.child(b"*").ok()),
        };
        if let Some(cname) = owner.and_then(|owner| table.get(&owner)).and_then(|node| node.rrset(Type::CNAME)) {
            return cname.rdata.iter().filter_map(|rdata| Name::from_wire(rdata).ok()).collect();
        }
        let mut above = name.parent();
        while let Some(owner) = above.filter(|above| above.is_within(table.apex())) {
            if let Some(dname) = table.get(&owner).and_then(|node| node.rrset(Type::DNAME)) {
                let front = name.strip(&owner).unwrap_or(&[]);
                let moved = dname.rdata.iter().filter_map(|target| Name::from_wire(&[front, target].concat()).ok());
                return moved.collect();
            }
            above = owner.parent();
        }
        Vec::new()
    }

    /// The table of the deepest zone that holds the name.
    fn table_of(&self, name: &Name) -> Option<&'v Table> {
        let mut above = Some(name.clone());
        while let Some(apex) = above {
            if let Some(table) = self.by_apex.get(&apex) {
                return Some(table);
            }
            above = apex.parent();
        }
        None
    }

    /// The steered name whose answer this name gets: itself, or a steered wildcard above it.
    fn steered(&self, name: &Name) -> Option<&'v Steer> {
        if let Some(steer) = self.by_name.get(name) {
            return Some(steer);
        }
        let table = self.table_of(name)?;
        let exists = |name: &Name| table.get(name).is_some() || self.existing.contains(name);
        if exists(name) {
            return None;
        }
        let wildcard = closest(name, exists)?.child(b"*").ok()?;
        self.by_name.get(&wildcard).copied()
    }

    /// NS, MX and SRV must not point at an alias (RFC 2181 §10.3, RFC 2782).
    fn pointers(&self, found: &mut Findings) {
        if self.config.steers.iter().all(|steer| steer.form == Form::Address) {
            return;
        }
        let wildcards = self.config.steers.iter().any(|steer| steer.name.is_wildcard());
        let mut pointing: BTreeMap<&Name, Vec<(Name, Type)>> = BTreeMap::new();
        for node in self.zones.iter().flat_map(|zone| zone.table.iter()) {
            for (rtype, before) in [(Type::NS, 0), (Type::MX, 2), (Type::SRV, 6)] {
                let Some(rrset) = node.rrset(rtype) else { continue };
                for rdata in &rrset.rdata {
                    let Some(Ok(target)) = rdata.get(before..).map(Name::from_wire) else {
                        continue;
                    };
                    if !wildcards && !self.by_name.contains_key(&target) {
                        continue;
                    }
                    if let Some(steer) = self.steered(&target).filter(|steer| steer.form == Form::Cname) {
                        pointing.entry(&steer.name).or_default().push((node.owner(), rtype));
                    }
                }
            }
        }
        for (steer, &at) in self.config.steers.iter().zip(&self.places.steers) {
            let Some(records) = pointing.get_mut(&steer.name) else {
                continue;
            };
            records.sort();
            let records: Vec<String> =
                records.iter().map(|(owner, rtype)| format!("{rtype} at {}", owner.to_host())).collect();
            let what = format!(
                "{} is served as CNAME, and NS, MX and SRV records must not point at one",
                quoted(&steer.name.to_host())
            );
            found.error(at, what)
                .label(format!("pointed at by {}", first_few(&records)))
                .help("point these records at a name with addresses, or give every origin of the ladder its own `a` and `aaaa` on a rung of several, or none a `cname`");
        }
    }

    /// HTTPS and SVCB records at other names that lead to a steered one, but bring addresses of their own.
    fn hints_elsewhere(&self, found: &mut Findings) {
        let wildcards = self.config.steers.iter().any(|steer| steer.name.is_wildcard());
        let mut leading: BTreeMap<&Name, BTreeSet<String>> = BTreeMap::new();
        for node in self.zones.iter().flat_map(|zone| zone.table.iter()) {
            for rtype in [Type::HTTPS, Type::SVCB] {
                let Some(rrset) = node.rrset(rtype) else { continue };
                let owner = node.owner();
                // What stands at a steered name itself is refused.
                if self.by_name.contains_key(&owner) {
                    continue;
                }
                for rdata in rrset.rdata.iter().filter(|rdata| has_hint(rdata)) {
                    let Some(target) = service_target(rdata) else { continue };
                    if !wildcards && !self.by_name.contains_key(&target) {
                        continue;
                    }
                    if let Some(steer) = self.steered(&target) {
                        leading.entry(&steer.name).or_default().insert(format!("{rtype} at {}", owner.to_host()));
                    }
                }
            }
        }
        for (steer, &at) in self.config.steers.iter().zip(&self.places.steers) {
            let Some(records) = leading.get(&steer.name) else { continue };
            let records: Vec<String> = records.iter().cloned().collect();
            let what = format!(
                "{} is steered, and records that lead to it carry ipv4hint or ipv6hint, which go on pointing at the \
                 old origin: {}",
                quoted(&steer.name.to_host()),
                first_few(&records)
            );
            found.warning(at, what).help("remove ipv4hint and ipv6hint from them");
        }
    }

    /// A resolver that asked too early remembers "no" for longer than any answer.
    fn negative_ttls(&self, found: &mut Findings) {
        for (zone, here) in self.zones.iter().zip(&self.by_zone) {
            let Some(&(lowest, at)) = here.iter().min_by_key(|(steer, _)| steer.ttl) else {
                continue;
            };
            let Some(soa) = zone.table.soa() else { continue };
            let negative = soa.ttl.min(soa.minimum);
            if negative > lowest.ttl {
                let what = format!(
                    "the negative TTL of zone {} is {negative} s, above the {} s of {}",
                    quoted(&zone.table.apex().to_host()),
                    lowest.ttl,
                    quoted(&lowest.name.to_host())
                );
                found.warning(at, what).help(format!(
                    "resolvers remember a missing address or type for that long; set the last number of its SOA to {}",
                    lowest.ttl
                ));
            }
        }
    }
}

/// Is the name at or below a delegation of this zone, or below a DNAME in it?
fn gives_away(table: &Table, name: &Name) -> bool {
    let mut above = Some(name.clone());
    while let Some(here) = above.filter(|here| here.is_within(table.apex())) {
        if table.get(&here).is_some_and(|node| node.is_cut() || node.is_dname() && here != *name) {
            return true;
        }
        above = here.parent();
    }
    false
}

/// The first of these, and how many more there are.
fn first_few(records: &[String]) -> String {
    let shown = records.iter().take(RECORDS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match records.len().saturating_sub(RECORDS_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The nearest name above that exists.
fn closest(name: &Name, exists: impl Fn(&Name) -> bool) -> Option<Name> {
    let mut above = name.parent();
    while let Some(here) = above {
        if exists(&here) {
            return Some(here);
        }
        above = here.parent();
    }
    None
}

/// Static data at the steered name itself.
fn beside(found: &mut Findings, steer: &Steer, at: At, node: &Node<'_>) {
    let shown = quoted(&steer.name.to_host());
    let types: Vec<Type> = node.types().collect();
    if types.is_empty() {
        return;
    }
    let list = |types: &[Type]| types.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
    if steer.form == Form::Cname {
        let what = format!("{shown} is served as CNAME, and the zone file has {} at the same name", list(&types));
        found.error(at, what)
            .label("a CNAME stands alone")
            .help("remove these records from the zone file, or serve addresses: give the origins `a` and `aaaa` instead of `cname`");
        return;
    }
    let replaced: Vec<Type> =
        types.iter().copied().filter(|rtype| [Type::A, Type::AAAA, Type::CNAME].contains(rtype)).collect();
    if !replaced.is_empty() {
        let what = format!("{shown} is steered, and the zone file has {} at the same name", list(&replaced));
        found
            .error(at, what)
            .label("the steered answer would replace them")
            .help("remove these records from the zone file; as an origin they can stay in use");
    }
    for rtype in [Type::HTTPS, Type::SVCB] {
        let Some(rrset) = node.rrset(rtype) else { continue };
        if rrset.rdata.iter().any(|rdata| has_hint(rdata)) {
            let what =
                format!("{shown} is steered, and the {rtype} record at the same name carries ipv4hint or ipv6hint");
            found
                .error(at, what)
                .label("clients would go to the hints whatever we answer")
                .help(format!("remove ipv4hint and ipv6hint from the {rtype} record"));
        }
    }
}

/// The TargetName of SVCB or HTTPS RDATA (RFC 9460 §2.2).
fn service_target(rdata: &[u8]) -> Option<Name> {
    let after_priority = rdata.get(2..)?;
    let length = crate::dns::name::wire_length(after_priority).ok()?;
    Name::from_wire(after_priority.get(..length)?).ok()
}

/// Does this SVCB or HTTPS RDATA (RFC 9460 §2.2) carry addresses?
fn has_hint(rdata: &[u8]) -> bool {
    let after_priority = rdata.get(2..).unwrap_or(&[]);
    let Ok(target) = crate::dns::name::wire_length(after_priority) else {
        return false;
    };
    let mut rest = after_priority.get(target..).unwrap_or(&[]);
    while let [k1, k2, l1, l2, after @ ..] = rest {
        if HINTS.contains(&u16::from_be_bytes([*k1, *k2])) {
            return true;
        }
        rest = after.get(usize::from(u16::from_be_bytes([*l1, *l2]))..).unwrap_or(&[]);
    }
    false
}

#[cfg(test)]
mod tests;
