//! A decision as RRsets: what stands at a steered name in a version of its zone.

use std::net::IpAddr;

use crate::decision::{Data, Decision};
use crate::dns::{Name, Type};
use crate::zone::table::{Change, Holding, RRset};

/// The types a steered name may have.
pub const TYPES: [Type; 3] = [Type::A, Type::AAAA, Type::CNAME];

/// The changes that make `owner` hold exactly what `decision` says. Without a decision the name exists and gives no
/// reply: no data, marked silent.
pub fn changes(owner: &Name, decision: Option<&Decision>) -> Vec<Change> {
    let rrsets = decision.map(rrsets).unwrap_or_default();
    let mut changes: Vec<_> = TYPES
        .into_iter()
        .filter(|&rtype| !rrsets.iter().any(|rrset| rrset.rtype == rtype))
        .map(|rtype| Change::Remove { owner: owner.clone(), rtype })
        .collect();
    changes.push(Change::Silence { owner: owner.clone(), silent: decision.is_none() });
    changes.extend(rrsets.into_iter().map(|rrset| Change::Set { owner: owner.clone(), rrset }));
    changes.push(Change::Apart { owner: owner.clone() });
    changes
}

/// The same for a name that stands apart already.
pub fn holding(decision: Option<&Decision>) -> Holding<'_> {
    let (addresses, cname) = match decision.map(|decision| &decision.data) {
        Some(Data::Addresses(addresses)) => (&addresses[..], None),
        Some(Data::Cname(target)) => (&[][..], Some(target)),
        None => (&[][..], None),
    };
    Holding { ttl: decision.map_or(0, |decision| decision.ttl), addresses, cname, silent: decision.is_none() }
}

/// The changes that take a name that is steered no more out of a zone.
pub fn removal(owner: &Name) -> Vec<Change> {
    let remove = TYPES.into_iter().map(|rtype| Change::Remove { owner: owner.clone(), rtype });
    remove.chain([Change::Silence { owner: owner.clone(), silent: false }]).collect()
}

/// One RRset per type, one TTL for all (RFC 2181 §5.2).
fn rrsets(decision: &Decision) -> Vec<RRset> {
    let set = |rtype, rdata: Vec<Vec<u8>>| (!rdata.is_empty()).then_some(RRset { rtype, ttl: decision.ttl, rdata });
    match &decision.data {
        Data::Cname(target) => set(Type::CNAME, vec![target.as_wire().to_vec()]).into_iter().collect(),
        Data::Addresses(all) => {
            let four = all.iter().filter_map(|a| if let IpAddr::V4(a) = a { Some(a.octets().to_vec()) } else { None });
            let six = all.iter().filter_map(|a| if let IpAddr::V6(a) = a { Some(a.octets().to_vec()) } else { None });
            [set(Type::A, four.collect()), set(Type::AAAA, six.collect())].into_iter().flatten().collect()
        }
    }
}
