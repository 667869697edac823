//! Why a steered name is answered as it is, for clients that may know: the text of an Extended DNS Error (RFC 8914).

use crate::answer::Client;
use crate::answer::lookup::{Found, find};
use crate::answer::query::Ask;
use crate::dns::Type;
use crate::dns::name::NAME_MAX;
use crate::snapshot::Snapshot;
use crate::zone::table::hash_folded;

/// The text, if the client may have it and the question's own name is steered, by itself or by a wildcard. A name that
/// leads to a steered one by CNAME is not: resolvers ask for the target by its own name too.
#[inline]
pub(super) fn text<'s>(ask: &Ask, via: &Client, from: &'s Snapshot) -> Option<&'s str> {
    let allowed = &from.answering.explain_to;
    if allowed.is_empty() || ask.opt.is_none() {
        return None;
    }
    let client = via.address.ip().to_canonical();
    if !allowed.iter().any(|prefix| prefix.contains(&client)) {
        return None;
    }
    of_name(ask.name(), ask.hash, from)
}

fn of_name<'s>(name: &[u8], hash: u64, from: &'s Snapshot) -> Option<&'s str> {
    let (zone, _) = from.zones.find(name)?;
    match find(&zone.table, name, hash, Type::A) {
        Found::Exact(_) => from.status.explanation(name, hash),
        Found::Wildcard { node, .. } => {
            let mut name = [0; NAME_MAX];
            let star = node.full_name(&mut name);
            from.status.explanation(star, hash_folded(star))
        }
        _ => None,
    }
}
