//! The additional section: glue that a referral cannot do without, and addresses that save the asker a question.

use crate::answer::reply::{Full, HEAD, NO_APEX, Owner, Section, Writer, Written};
use crate::answer::resolve::is_within;
use crate::dns::Type;
use crate::dns::folded::Folded;
use crate::dns::message::POINTER_MAX;
use crate::dns::name::wire_length;
use crate::dns::schema::targets;
use crate::zone::table::{Node, Records, Table, front_of, hash_folded};

/// Targets whose addresses are looked up for one answer, so that its cost has a bound (CVE-2024-11187).
const TARGETS_MAX: usize = 16;

/// Addresses of the name servers of a referral (RFC 9471): those within the delegated zone are required, as nobody could
/// find them without; those elsewhere in this zone are added while there is room.
///
/// # Errors
/// [`Full`] if required glue has no room: the reply is truncated (§2.1).
pub(super) fn glue(
    table: &Table,
    cut: &[u8],
    wants_signatures: bool,
    records: &Records<'_>,
    written: Written,
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    let mut folded = Folded::default();
    for is_required in [true, false] {
        let mut head = written.head;
        for target in records.rdata() {
            let owner = Owner { at: head + HEAD, name: target };
            head = owner.at + out.rdata_length(head) + written.owner;
            if is_within(target, cut) != is_required {
                continue;
            }
            let Some((name, front)) = local(target, table, &mut folded) else { continue };
            let Some(node) = table.find(&name[..front], hash_folded(name)).filter(|node| !node.is_silent()) else {
                continue;
            };
            for set in addresses(node) {
                // RFC 4035 §2.2: glue is not signed.
                if is_required {
                    out.put(Section::Additional, &set, None, owner, NO_APEX)?;
                } else {
                    put_if_it_fits(&set, signatures(node, set.rtype, wants_signatures).as_ref(), owner, out);
                }
            }
        }
    }
    Ok(())
}

/// Types whose data holds no name: what answers them is whole.
#[inline]
pub(super) fn stands_alone(rtype: Type) -> bool {
    matches!(rtype, Type::A | Type::AAAA | Type::TXT)
}

/// Addresses of the hosts that an answer names (RFC 1035 §3.3.9 for MX, RFC 2782 for SRV, RFC 9460 §4.1 for SVCB), while
/// there is room and as far as they are in the same zone.
#[inline]
pub(super) fn useful(
    table: &Table,
    records: &Records<'_>,
    wants_signatures: bool,
    written: Written,
    answered: Owner<'_>,
    out: &mut Writer<'_>,
) {
    if stands_alone(records.rtype) || matches!(records.rtype, Type::CNAME | Type::SOA) {
        return;
    }
    let mut folded = Folded::default();
    let mut known = [0; TARGETS_MAX];
    let mut count = 0;
    let mut head = written.head;
    for rdata in records.rdata() {
        let at = head + HEAD;
        head = at + out.rdata_length(head) + written.owner;
        for target in targets_of(records.rtype, rdata) {
            let is_service = matches!(records.rtype, Type::SVCB | Type::HTTPS);
            // RFC 9460 §2.5.2: the target "." is the owner itself; for others it is "no such host".
            let owner = match (target, is_service) {
                ([0], true) => answered,
                ([0], false) => continue,
                _ => Owner { at: target_at(records.rtype).map_or(usize::MAX, |offset| at + offset), name: target },
            };
            let Some((name, front)) = local(owner.name, table, &mut folded) else { continue };
            let hash = hash_folded(name);
            if count == TARGETS_MAX || known[..count].contains(&hash) {
                continue;
            }
            (known[count], count) = (hash, count + 1);
            // NS may need glue; other types take data of the zone alone.
            let Some(node) = table.find(&name[..front], hash).filter(|node| may_help(*node, records.rtype)) else {
                continue;
            };
            // RFC 9460 §4.1: in AliasMode the next step is the target's own record; the owner's own is the answer.
            let is_elsewhere = !owner.name.eq_ignore_ascii_case(answered.name);
            let next = if is_service && is_elsewhere { node.records(records.rtype) } else { None };
            for set in addresses(node).chain(next) {
                put_if_it_fits(&set, signatures(node, set.rtype, wants_signatures).as_ref(), owner, out);
            }
        }
    }
}

/// Nothing depends on these records: without room they are left out, with their signatures. So they are where a pointer
/// cannot reach their owner, behind 16 KiB of answer. Neither addresses nor SVCB hold names to compress.
fn put_if_it_fits(set: &Records<'_>, signatures: Option<&Records<'_>>, owner: Owner<'_>, out: &mut Writer<'_>) {
    if (owner.at <= POINTER_MAX || owner.at == usize::MAX) && !out.is_short_of_room() {
        let _left_out = out.put(Section::Additional, set, signatures, owner, NO_APEX);
    }
}

/// The signatures of an RRset, if they are wanted.
#[inline]
pub(super) fn signatures<'t>(node: Node<'t>, rtype: Type, wanted: bool) -> Option<Records<'t>> {
    if wanted { node.signatures(rtype) } else { None }
}

/// Where the target stands in the RDATA of types that have it at a fixed place.
fn target_at(rtype: Type) -> Option<usize> {
    match rtype {
        Type::NS => Some(0),
        Type::MX | Type::SVCB | Type::HTTPS => Some(2),
        Type::SRV => Some(6),
        _ => None,
    }
}

/// The names in the RDATA of a record whose addresses help.
#[inline]
fn targets_of(rtype: Type, rdata: &[u8]) -> impl Iterator<Item = &[u8]> {
    let fixed = target_at(rtype).map(|offset| rdata.get(offset..).unwrap_or_default());
    let others = fixed.is_none().then(|| targets(rtype, rdata));
    fixed.into_iter().chain(others.into_iter().flatten())
}

/// The name that stands at the beginning of `target`, folded, and how much of it stands before the apex; `None` if it is
/// not in this zone.
#[inline]
fn local<'f>(target: &[u8], table: &Table, into: &'f mut Folded) -> Option<(&'f [u8], usize)> {
    let name = into.set(target.get(..wire_length(target).ok()?)?)?;
    Some((name, front_of(name, table.apex_wire())?))
}

/// Silent names help nobody, and what is below a cut helps only who is sent there.
fn may_help(node: Node<'_>, rtype: Type) -> bool {
    !node.is_silent() && (rtype == Type::NS || node.is_plain())
}

fn addresses(node: Node<'_>) -> impl Iterator<Item = Records<'_>> {
    [Type::A, Type::AAAA].into_iter().filter_map(move |rtype| node.records(rtype))
}
