//! Zones signed elsewhere (RFC 4035 §3.1): signatures and proofs for who sets DO, and for nobody else.
//!
//! The signatures are made up: a nameserver serves them as they are, and only validators look inside.

use std::collections::BTreeSet;

use failoverd::dns::name::wire_length;
use failoverd::dns::{Name, Type};

use super::asked::Asked;
use super::model::{Row, Set, Zone, zone_of};

const TYPES: [Type; 2] = [Type::RRSIG, Type::NSEC];

impl Zone {
    /// Adds an NSEC for each name with data of this zone's own and delegations, and an RRSIG for each RRset that is to
    /// have one (RFC 4035 §2.2, §2.3).
    pub fn sign(&mut self) {
        let is_below_cut = |name: &Name| !self.is_plain(name) && !self.has(name, Type::NS);
        let owners: BTreeSet<Name> = self.rows.iter().map(|row| row.owner.clone()).collect();
        let owners: Vec<Name> =
            owners.into_iter().filter(|owner| self.is_plain(owner) || !is_below_cut(owner)).collect();
        // Canonical order; below a DNAME nothing may stand in zones that are signed here.
        let minimum = self.rows.iter().find(|row| row.rtype == Type::SOA).map_or(0, |row| row.ttl);
        for (at, owner) in owners.iter().enumerate() {
            let next = owners.get(at + 1).unwrap_or(&self.apex);
            // The bitmap is nothing a nameserver looks at.
            let rdata = [next.folded().as_wire(), &[0, 1, 0x40]].concat();
            self.rows.push(Row { owner: owner.clone(), rtype: Type::NSEC, ttl: minimum, rdata });
        }
        let keys: BTreeSet<(Name, Type)> = self.rows.iter().map(|row| (row.owner.clone(), row.rtype)).collect();
        for (owner, rtype) in keys {
            let is_delegation = owner != self.apex && self.has(&owner, Type::NS);
            let is_own = if is_delegation { matches!(rtype, Type::DS | Type::NSEC) } else { self.is_plain(&owner) };
            let Some(set) = self.set(&owner, rtype).filter(|_| is_own) else { continue };
            let labels = owner.label_count() - usize::from(owner.is_wildcard());
            let head = [&rtype.0.to_be_bytes()[..], &[13, labels as u8], &set.ttl.to_be_bytes()].concat();
            let rdata = [&head[..], &[0; 8], &[0, 1], self.apex.folded().as_wire(), &[7; 64]].concat();
            self.rows.push(Row { owner, rtype: Type::RRSIG, ttl: set.ttl, rdata });
        }
    }

    fn is_signed(&self) -> bool {
        self.has(&self.apex, Type::NSEC)
    }
}

/// Questions for what is otherwise beside other data, and for anything: their answers have no proofs to be told apart.
pub fn are_asked_for(zones: &[Zone], asked: &Asked) -> bool {
    let qtype = asked.question.as_ref().map(|(_, qtype, _)| *qtype);
    zones.iter().any(Zone::is_signed) && qtype.is_some_and(|qtype| TYPES.contains(&qtype) || qtype == Type::ANY)
}

/// The RRsets that would be there without signing, but for DS.
pub fn without_proofs(sets: Vec<Set>) -> Vec<Set> {
    sets.into_iter().filter(|set| !TYPES.contains(&set.rtype)).collect()
}

/// Holds what signs and proves against the zones. The DS that a referral may have is given back.
///
/// # Panics
/// If a signature or a proof is missing, wrong, or not wanted.
pub fn check(zones: &[Zone], asked: &Asked, sections: &[Vec<Set>; 3], rcode: u16, is_truncated: bool) -> Vec<Set> {
    let wants = asked.opt.as_ref().is_some_and(|opt| opt.wants_dnssec);
    let all = || sections.iter().flatten();
    if !wants {
        assert!(!all().any(|set| TYPES.contains(&set.rtype)), "signatures without DO: {sections:?}");
        return Vec::new();
    }
    for set in all() {
        let stands = match set.rtype {
            Type::NSEC => zones.iter().any(|zone| zone.set(&set.owner, Type::NSEC).as_ref() == Some(set)),
            Type::RRSIG => set.rdata.iter().all(|rdata| signs_at(zones, &set.owner, rdata)),
            _ => true,
        };
        assert!(stands, "nothing of ours: {set:?}");
    }
    let [answer, authority, _] = sections;
    let cuts = authority.iter().filter(|set| set.rtype == Type::NS);
    let referred = cuts.filter_map(|cut| zone_of(zones, &cut.owner, Type::DS)?.set(&cut.owner, Type::DS)).collect();
    if is_truncated {
        return referred;
    }
    for section in [answer, authority] {
        for set in section.iter().filter(|set| set.rtype != Type::RRSIG) {
            let is_synthesized = set.rtype == Type::CNAME
                && answer.iter().any(|other| other.rtype == Type::DNAME && is_below(&set.owner, &other.owner));
            let Some(zone) = zone_of(zones, &set.owner, set.rtype).filter(|zone| zone.is_signed()) else { continue };
            let is_delegation = set.rtype == Type::NS && set.owner != zone.apex;
            let has = section.iter().any(|other| {
                let covers = |rdata: &Vec<u8>| rdata.starts_with(&set.rtype.0.to_be_bytes());
                other.rtype == Type::RRSIG && other.owner == set.owner && other.rdata.iter().any(covers)
            });
            assert_eq!(has, !is_synthesized && !is_delegation, "a signature of {set:?}: {sections:?}");
        }
    }
    check_proofs(zones, asked, sections, rcode);
    referred
}

/// Does this signature stand at the name, or at a wildcard that covers it?
fn signs_at(zones: &[Zone], owner: &Name, rdata: &[u8]) -> bool {
    let labels = usize::from(rdata[3]);
    // RFC 4592 §2.3: a wildcard covers names that begin with an asterisk too.
    let source = if labels < owner.label_count() - usize::from(owner.is_wildcard()) {
        let above = std::iter::successors(Some(owner.clone()), Name::parent).find(|name| name.label_count() == labels);
        above.and_then(|above| above.child(b"*").ok())
    } else {
        Some(owner.clone())
    };
    let is_it = |zone: &Zone| {
        let source = source.as_ref().expect("labels");
        zone.rows.iter().any(|row| row.owner == *source && row.rtype == Type::RRSIG && row.rdata == rdata)
    };
    zones.iter().any(is_it)
}

/// RFC 4035 §3.1.3 and §3.1.4, for the name the aliases led to.
fn check_proofs(zones: &[Zone], asked: &Asked, [answer, authority, _]: &[Vec<Set>; 3], rcode: u16) {
    let Some((qname, qtype, _)) = &asked.question else { return };
    let mut sought = qname.clone();
    let proofs: Vec<&Set> = authority.iter().filter(|set| set.rtype == Type::NSEC).collect();
    for alias in answer.iter().filter(|set| set.rtype == Type::CNAME && *qtype != Type::CNAME) {
        check_expansion(zones, alias, answer, &proofs);
        sought = alias.rdata.first().and_then(|rdata| Name::from_wire(rdata).ok()).expect("one name");
    }
    if let Some(set) = answer.iter().find(|set| set.owner == sought && set.rtype == *qtype) {
        check_expansion(zones, set, answer, &proofs);
        return;
    }
    let Some(zone) = zone_of(zones, &sought, *qtype).filter(|zone| zone.is_signed()) else { return };
    if let Some(cut) = authority.iter().find(|set| set.rtype == Type::NS) {
        let has_ds = zone.has(&cut.owner, Type::DS);
        assert_eq!(authority.iter().any(|set| set.rtype == Type::DS), has_ds, "DS, or a proof");
        assert!(has_ds || proofs.iter().any(|proof| proof.owner == cut.owner), "no proof that there is no DS");
    } else if authority.iter().any(|set| set.rtype == Type::SOA) {
        let encloser = std::iter::successors(Some(sought.clone()), Name::parent).find(|name| zone.exists(name));
        let encloser = encloser.expect("the apex");
        let star = encloser.child(b"*").expect("short enough");
        let shows = |name: &Name| proofs.iter().any(|proof| covers(proof, name, &zone.apex));
        let stands = |name: &Name| proofs.iter().any(|proof| proof.owner == *name);
        if encloser == sought {
            assert!(rcode == 0 && (stands(&sought) || shows(&sought)), "NODATA of {sought} without proof: {proofs:?}");
        } else if rcode == 3 {
            assert!(shows(&sought) && shows(&star), "NXDOMAIN of {sought} without proof: {proofs:?}");
        } else {
            assert!(shows(&sought) && (stands(&star) || shows(&star)), "NODATA of {star} without proof: {proofs:?}");
        }
    }
}

/// An answer that a wildcard gave comes with the proof that nothing is closer.
fn check_expansion(zones: &[Zone], set: &Set, answer: &[Set], proofs: &[&Set]) {
    let is_synthesized = answer.iter().any(|other| other.rtype == Type::DNAME && is_below(&set.owner, &other.owner));
    let Some(zone) = zone_of(zones, &set.owner, set.rtype).filter(|zone| zone.is_signed() && !is_synthesized) else {
        return;
    };
    if zone.set(&set.owner, set.rtype).is_none() {
        let is_shown = proofs.iter().any(|proof| covers(proof, &set.owner, &zone.apex));
        assert!(is_shown, "{} came from a wildcard without proof: {proofs:?}", set.owner);
    }
}

/// The name is between the owner of the NSEC and the next one.
fn covers(proof: &Set, name: &Name, apex: &Name) -> bool {
    let rdata = proof.rdata.first().expect("an NSEC");
    let next = Name::from_wire(&rdata[..wire_length(rdata).expect("a name")]).expect("a name");
    proof.owner < *name && (*name < next || next == *apex)
}

fn is_below(name: &Name, above: &Name) -> bool {
    name != above && name.is_within(above)
}
