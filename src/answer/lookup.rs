//! Lookup: the node of one zone that governs a name.
//!
//! The full name is asked first. Whatever its depth, a node that neither is a cut nor stands below a cut or DNAME is the
//! answer. Only otherwise does the walk of RFC 1034 §4.3.2 run, from the apex down to the first label that is missing:
//! a flood of random names costs one missed bucket line and a short walk through lines that are in the cache.

use crate::dns::Type;
use crate::dns::name::NAME_MAX;
use crate::zone::table::{Node, Table, hash_folded};

/// What governs a name in a zone. `front` is how many bytes of the name stand before the node's.
#[derive(Clone, Copy, Debug)]
pub enum Found<'t> {
    /// The node of the name itself: data, or an empty non-terminal.
    Exact(Node<'t>),
    /// The wildcard that stands for the name (RFC 4592 §3.3.1); `front` is that of its parent, the closest encloser.
    Wildcard { node: Node<'t>, front: usize },
    /// The zone cut at or above the name (RFC 1034 §4.3.2 step 3b).
    Cut { node: Node<'t>, front: usize },
    /// A DNAME above the name (RFC 6672 §3.2 step 3c).
    Dname { node: Node<'t>, front: usize },
    /// The name does not exist, nor does a wildcard for it; `front` is that of the closest encloser.
    Missing { front: usize },
}

/// What governs `name` (folded wire, within the zone, with this hash) in `table`, asked for `qtype`.
#[inline]
pub fn find<'t>(table: &'t Table, name: &[u8], hash: u64, qtype: Type) -> Found<'t> {
    let relative = name.len().saturating_sub(table.apex_wire().len());
    match table.find(&name[..relative], hash) {
        Some(node) if node.is_plain() => Found::Exact(node),
        node => walk(table, name, node, qtype),
    }
}

/// RFC 1034 §4.3.2 step 3: matches down, label by label, starting at the apex. `whole` is the node of the name itself.
fn walk<'t>(table: &'t Table, name: &[u8], whole: Option<Node<'t>>, qtype: Type) -> Found<'t> {
    let relative = name.len().saturating_sub(table.apex_wire().len());
    let (mut starts, mut labels) = ([0_u8; NAME_MAX / 2 + 1], 0);
    let mut at = 0;
    while at < relative && labels < starts.len() {
        starts[labels] = at as u8;
        labels += 1;
        at += usize::from(name[at]) + 1;
    }
    let Some(mut encloser) = table.apex_node() else {
        return Found::Missing { front: relative };
    };
    let mut front = relative;
    for &start in starts[..labels].iter().rev() {
        // RFC 6672 §2.3: a DNAME redirects what is below its owner, and never the owner.
        if encloser.is_dname() {
            return Found::Dname { node: encloser, front };
        }
        let start = usize::from(start);
        let node = if start == 0 { whole } else { table.find(&name[start..relative], hash_folded(&name[start..])) };
        // RFC 5155 §7.2.8: the owner of an NSEC3 is asked for "as if it did not exist".
        let Some(node) = node.filter(|node| !node.is_hashed()) else {
            // 3c. "A match is impossible": RFC 8020 §2, nothing below a missing name exists.
            return match wildcard(table, encloser, &name[front..]) {
                Some(node) => Found::Wildcard { node, front },
                None => Found::Missing { front },
            };
        };
        // 3b. "A match would take us out of the authoritative data." DS alone belongs to the parent's side of the cut
        // (RFC 4035 §3.1.4.1).
        if node.is_cut() && !(start == 0 && qtype == Type::DS) {
            return Found::Cut { node, front: start };
        }
        (encloser, front) = (node, start);
    }
    // 3a. "The whole of QNAME is matched."
    Found::Exact(encloser)
}

/// The source of synthesis: `*` directly below the closest encloser (RFC 4592 §3.3.1), and nowhere else.
fn wildcard<'t>(table: &'t Table, encloser: Node<'t>, encloser_name: &[u8]) -> Option<Node<'t>> {
    if !encloser.has_wildcard() {
        return None;
    }
    let mut name = [0; NAME_MAX + 2];
    let length = encloser_name.len() + 2;
    name[..2].copy_from_slice(b"\x01*");
    name.get_mut(2..length)?.copy_from_slice(encloser_name);
    let relative = length.checked_sub(table.apex_wire().len())?;
    table.find(&name[..relative], hash_folded(&name[..length]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dns::Name;
    use crate::zone::table::Builder;

    const TYPES: [Type; 4] = [Type::A, Type::NS, Type::DNAME, Type::DS];

    fn labels() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("*")], 0..5)
    }

    fn name(labels: &[&str]) -> Name {
        Name::absolute(&[labels, &["zone"]].concat().join(".")).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn full_name_first_and_walking_down_find_the_same(
            records in proptest::collection::vec((labels(), 0..4_usize), 0..8),
            asked in proptest::collection::vec((labels(), 0..4_usize), 1..20),
        ) {
            let mut builder = Builder::new(name(&[]));
            for (owner, rtype) in &records {
                builder.push(&name(owner), TYPES[*rtype], 60, name(&["t"]).as_wire()).unwrap();
            }
            let (table, _) = builder.finish();
            for (asked, qtype) in asked {
                let asked = name(&asked);
                let (wire, qtype) = (asked.as_wire(), TYPES[qtype]);
                let whole = table.get(&asked);
                let (first, down) = (find(&table, wire, hash_folded(wire), qtype), walk(&table, wire, whole, qtype));
                prop_assert_eq!(format!("{first:?}"), format!("{down:?}"), "{}", asked);
            }
        }
    }
}
