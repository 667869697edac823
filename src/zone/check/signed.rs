//! A zone signed elsewhere: signatures and links that a validating resolver would miss. Nothing is verified: that is
//! for who signed it, and for those who ask.

use super::{Finding, Findings};
use crate::dns::name::wire_length;
use crate::dns::{Name, Type};
use crate::zone::master::Part;
use crate::zone::table::{Denial, Hashes, Names, Node, Table, parameters_of};

/// More of them are warned about: resolvers may treat such a zone as unsigned (RFC 9276 §3.2).
const ITERATIONS_GOOD: u16 = 150;
/// More of them are refused, as each negative answer hashes a few names as often (RFC 5155 §10.3 stops here too).
const ITERATIONS_MAX: u16 = 2500;

pub(super) fn check(table: &Table, complete: bool, findings: &mut Findings) {
    let Some(denial) = table.denial() else { return };
    let apex = table.apex();
    match denial {
        Denial::Unproven if complete => {
            let text = format!("the zone {apex} is signed but has neither NSEC nor a usable NSEC3PARAM at its apex");
            let help = "without them no resolver can tell a missing name from one that was taken away: sign it again";
            findings.add(Finding::warning(apex.clone(), Type::SOA, text).help(help));
        }
        Denial::Nsec(names) if complete => linked(table, names, findings),
        Denial::Nsec3(hashes) => {
            iterations(apex, hashes, findings);
            if complete {
                linked_hashes(table, hashes, findings);
            }
        }
        _ => {}
    }
    if complete {
        let is_nsec = matches!(denial, Denial::Nsec(_));
        let is_nsec3 = matches!(denial, Denial::Nsec3(_));
        for node in table.iter() {
            unsigned(&node, findings);
            if is_nsec && !node.is_under_cut() && !node.is_empty() && node.records(Type::NSEC).is_none() {
                without_nsec(&node, findings);
            }
            if !is_nsec3 && node.records(Type::NSEC3).is_some() {
                let text = format!("an NSEC3 at `{}`, and no NSEC3PARAM at the apex", node.owner());
                let help = "without NSEC3PARAM no server knows how names were hashed: sign the zone again";
                findings.add(Finding::warning(node.owner(), Type::NSEC3, text).help(help));
            }
        }
    }
}

fn iterations(apex: &Name, hashes: &Hashes, findings: &mut Findings) {
    let count = hashes.iterations;
    let finding = if count > ITERATIONS_MAX {
        let text = format!("NSEC3 with {count} iterations: more than {ITERATIONS_MAX} are not served");
        Finding::error(apex.clone(), Type::NSEC3PARAM, text)
    } else if count > ITERATIONS_GOOD {
        let text = format!("NSEC3 with {count} iterations: resolvers may treat the zone as unsigned");
        Finding::warning(apex.clone(), Type::NSEC3PARAM, text)
    } else {
        return;
    };
    findings.add(finding.part(Part::Rdata).help("sign it with 0 iterations and no salt (RFC 9276 §3.1)"));
}

/// RRsets of the zone's own without signatures (RFC 4035 §2.2): all but the NS of a delegation, and glue.
fn unsigned(node: &Node<'_>, findings: &mut Findings) {
    if node.is_under_cut() && !node.is_hashed() {
        return;
    }
    for rtype in node.types().filter(|&rtype| rtype != Type::RRSIG) {
        let is_ours = !node.is_cut() || matches!(rtype, Type::DS | Type::NSEC | Type::NSEC3);
        if is_ours && node.signatures(rtype).is_none() {
            let owner = node.owner();
            let text = format!("the {rtype} of `{owner}` has no signature, in a zone that is signed");
            findings
                .add(Finding::warning(owner, rtype, text).help("validating resolvers refuse it: sign the zone again"));
        }
    }
}

fn without_nsec(node: &Node<'_>, findings: &mut Findings) {
    let Some(rtype) = node.types().next() else { return };
    let owner = node.owner();
    let text = format!("`{owner}` has no NSEC, in a zone that is signed with NSEC");
    let help = "the NSEC before it says that it does not exist: sign the zone again";
    findings.add(Finding { rtype: None, ..Finding::warning(owner, rtype, text).part(Part::Owner).help(help) });
}

/// Each NSEC names the next owner of one, the last the first (RFC 4034 §4.1.1).
fn linked(table: &Table, names: &Names, findings: &mut Findings) {
    let owners: Vec<Name> = names.owners(table).map(|node| node.owner()).collect();
    let following = owners.iter().cycle().skip(1);
    for ((node, owner), next) in names.owners(table).zip(&owners).zip(following) {
        let rdata = node.records(Type::NSEC).and_then(|records| records.rdata().next()).unwrap_or(&[]);
        let named = wire_length(rdata).ok().and_then(|end| Name::from_wire(&rdata[..end]).ok());
        if named.as_ref() != Some(next) {
            let named = named.map_or_else(|| "nothing".to_owned(), |name| format!("`{name}`"));
            let text = format!("the NSEC of `{owner}` names {named} as the next name, which is `{next}`");
            let help = "the chain of NSEC is broken there: sign the zone again";
            findings.add(Finding::warning(owner.clone(), Type::NSEC, text).part(Part::Rdata).help(help));
        }
    }
}

/// Each NSEC3 names the next hash, the last the first (RFC 5155 §3.1.7).
fn linked_hashes(table: &Table, hashes: &Hashes, findings: &mut Findings) {
    let following = hashes.owners(table).cycle().skip(1);
    for ((_, node), (next, _)) in hashes.owners(table).zip(following) {
        let of_ours = |rdata: &&[u8]| parameters_of(rdata) == Some((hashes.iterations, &hashes.salt));
        let rdata = node.records(Type::NSEC3).and_then(|records| records.rdata().find(of_ours)).unwrap_or(&[]);
        // Behind the salt: the length of the hash, the hash.
        let named = rdata.get(5 + hashes.salt.len() + 1..).and_then(|rest| rest.get(..next.len()));
        if named != Some(next) {
            let owner = node.owner();
            let text = format!("the NSEC3 of `{owner}` does not name the next hash");
            let help = "the chain of NSEC3 is broken there: sign the zone again";
            findings.add(Finding::warning(owner, Type::NSEC3, text).part(Part::Rdata).help(help));
        }
    }
}

/// When the first of all signatures runs out: seconds since 1970, modulo 2³² (RFC 4034 §3.1.5); `None` in an unsigned
/// zone.
pub(crate) fn signatures_until(table: &Table) -> Option<u32> {
    if !table.is_signed() {
        return None;
    }
    // Type covered, algorithm, labels and the original TTL stand before it.
    let until = |rdata: &[u8]| Some(u32::from_be_bytes(*rdata.get(8..)?.first_chunk()?));
    let signatures = table.iter().flat_map(|node| node.sets()).filter(|set| set.rtype == Type::RRSIG);
    let all = signatures.flat_map(|set| set.rdata()).filter_map(until);
    // RFC 1982: the circle is halved by the difference.
    all.reduce(|one, other| if one.wrapping_sub(other) as i32 <= 0 { one } else { other })
}
