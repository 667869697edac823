//! RFC 1034 §4.3.2 written down slowly over lists of records: what a reply must hold, and what it may.

use std::collections::{BTreeMap, BTreeSet};

use failoverd::dns::{Name, Type};

/// Aliases followed for one query.
const ALIASES_MAX: usize = 64;

/// One record of class IN as it stands in a zone file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub owner: Name,
    pub rtype: Type,
    pub ttl: u32,
    /// Uncompressed wire.
    pub rdata: Vec<u8>,
}

/// A zone as a list.
#[derive(Clone, Debug)]
pub struct Zone {
    pub apex: Name,
    pub rows: Vec<Row>,
    /// Names whose answer is not known yet.
    pub silent: BTreeSet<Name>,
}

/// An RRset: its records' RDATA with the names of the types of RFC 1035 in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Set {
    pub owner: Name,
    pub rtype: Type,
    pub ttl: u32,
    pub rdata: BTreeSet<Vec<u8>>,
}

/// What a reply should hold.
#[derive(Clone, Default, Debug)]
pub struct Expected {
    /// Nothing at all is sent.
    pub is_silent: bool,
    pub rcode: u16,
    pub aa: bool,
    pub answer: Vec<Set>,
    /// At least one of these stands in the answer besides: of ANY (RFC 8482 §4.1).
    pub some_of: Vec<Set>,
    pub authority: Vec<Set>,
    /// Must stand in the additional section (RFC 9471 §2).
    pub glue: Vec<Set>,
    /// May stand there.
    pub helpful: Vec<Set>,
}

impl Zone {
    pub fn new(apex: Name) -> Self {
        Self { apex, rows: Vec::new(), silent: BTreeSet::new() }
    }

    /// The RRset at exactly this name, called by another `owner` where it stands for that.
    fn set_as(&self, owner: &Name, node: &Name, rtype: Type) -> Option<Set> {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.owner == *node && row.rtype == rtype).collect();
        let ttl = rows.iter().map(|row| row.ttl).min()?;
        Some(Set {
            owner: owner.clone(),
            rtype,
            ttl,
            rdata: rows.iter().map(|row| folded(rtype, &row.rdata)).collect(),
        })
    }

    pub fn set(&self, owner: &Name, rtype: Type) -> Option<Set> {
        self.set_as(owner, owner, rtype)
    }

    pub fn has(&self, owner: &Name, rtype: Type) -> bool {
        self.rows.iter().any(|row| row.owner == *owner && row.rtype == rtype)
    }

    /// A name exists if it or a name below it owns a record (RFC 4592 §2.2).
    pub fn exists(&self, name: &Name) -> bool {
        *name == self.apex
            || self.rows.iter().any(|row| row.owner.is_within(name))
            || self.silent.iter().any(|silent| silent.is_within(name))
    }

    /// The SOA of a negative answer, its TTL the lesser of its own and MINIMUM (RFC 2308 §5).
    fn negative(&self) -> Option<Set> {
        let mut soa = self.set(&self.apex, Type::SOA)?;
        let minimum = soa.rdata.first().and_then(|rdata| rdata.last_chunk()).map(|&bytes| u32::from_be_bytes(bytes));
        soa.ttl = soa.ttl.min(minimum.unwrap_or(0));
        Some(soa)
    }

    /// Addresses that stand at a name in this zone, if it speaks.
    fn addresses(&self, host: &Name) -> Vec<Set> {
        if self.silent.contains(host) {
            return Vec::new();
        }
        [Type::A, Type::AAAA].into_iter().filter_map(|rtype| self.set(host, rtype)).collect()
    }

    /// Neither a cut nor below a cut or a DNAME.
    pub fn is_plain(&self, name: &Name) -> bool {
        path_to(name, &self.apex).iter().all(|above| {
            let is_apex = *above == self.apex;
            (is_apex || !self.has(above, Type::NS)) && (above == name || !self.has(above, Type::DNAME))
        })
    }

    /// What saves the asker a question: addresses of hosts named in `set`, and the next record of a service.
    fn helpful(&self, set: &Set, owner: &Name) -> Vec<Set> {
        let is_service = matches!(set.rtype, Type::SVCB | Type::HTTPS);
        let mut found = Vec::new();
        for target in set.rdata.iter().filter_map(|rdata| target_of(set.rtype, rdata)) {
            // RFC 9460 §2.5.2: "." is the owner itself.
            let host = if target.is_root() && is_service { owner.clone() } else { target.clone() };
            if !host.is_within(&self.apex) || self.silent.contains(&host) {
                continue;
            }
            if set.rtype != Type::NS && !self.is_plain(&host) {
                continue;
            }
            found.extend(self.addresses(&host));
            if is_service && host != *owner {
                found.extend(self.set(&host, set.rtype));
            }
        }
        found
    }

    /// Types at a name.
    fn types(&self, node: &Name) -> BTreeSet<Type> {
        self.rows.iter().filter(|row| row.owner == *node).map(|row| row.rtype).collect()
    }
}

/// The names from `apex` down to `name`, both included; none if it is elsewhere.
pub fn path_to(name: &Name, apex: &Name) -> Vec<Name> {
    let mut path: Vec<Name> =
        std::iter::successors(Some(name.clone()), Name::parent).take_while(|above| above.is_within(apex)).collect();
    path.reverse();
    path
}

/// The zone to search: the deepest that holds the name; for DS one above its owner, where we have one (RFC 4035
/// §3.1.4.1).
pub fn zone_of<'z>(zones: &'z [Zone], qname: &Name, qtype: Type) -> Option<&'z Zone> {
    let deepest = |strictly: bool| {
        let holds = |zone: &&Zone| qname.is_within(&zone.apex) && !(strictly && zone.apex == *qname);
        zones.iter().filter(holds).max_by_key(|zone| zone.apex.label_count())
    };
    deepest(qtype == Type::DS).or_else(|| deepest(false))
}

/// What the answer to a question of class IN and an ordinary type is.
pub fn answer(zones: &[Zone], qname: &Name, qtype: Type) -> Expected {
    let mut expected = Expected::default();
    let (mut sought, mut seen) = (qname.clone(), Vec::new());
    'restart: loop {
        if seen.contains(&sought) || seen.len() > ALIASES_MAX {
            return expected;
        }
        let is_first = seen.is_empty();
        seen.push(sought.clone());
        // 2. "Search the available zones for the zone which is the nearest ancestor to QNAME."
        let Some(zone) = zone_of(zones, &sought, qtype) else {
            if is_first {
                expected.rcode = 5;
            }
            return expected;
        };
        expected.aa |= is_first;
        // 3. "Start matching down, label by label, in the zone."
        let mut node = zone.apex.clone();
        for next in &path_to(&sought, &zone.apex)[1..] {
            if let Some(dname) = zone.set(&node, Type::DNAME) {
                let target = dname.rdata.first().and_then(|rdata| Name::from_wire(rdata).ok()).expect("one name");
                let ttl = dname.ttl;
                expected.add(dname);
                let Ok(next) = Name::from_wire(&[sought.strip(&node).expect("below"), target.as_wire()].concat())
                else {
                    expected.rcode = 6;
                    return expected;
                };
                let rdata = [folded(Type::CNAME, next.as_wire())].into();
                expected.add(Set { owner: sought.clone(), rtype: Type::CNAME, ttl, rdata });
                if matches!(qtype, Type::CNAME | Type::ANY) || target.is_within(&node) {
                    return expected;
                }
                sought = next;
                continue 'restart;
            }
            if !zone.exists(next) {
                // 3c. "If the * label does not exist", an authoritative name error; else the data there.
                let star = node.child(b"*").ok().filter(|star| zone.exists(star));
                let Some(star) = star else {
                    expected.rcode = 3;
                    expected.authority.extend(zone.negative());
                    return expected;
                };
                node = star;
                break;
            }
            // 3b. A cut; DS alone is asked of the side above it.
            let is_ds_here = *next == sought && qtype == Type::DS;
            if let Some(cut) = zone.set(next, Type::NS).filter(|_| !is_ds_here) {
                expected.aa &= !is_first;
                expected.refer(zone, cut);
                return expected;
            }
            node = next.clone();
        }
        // 3a. "The whole of QNAME is matched."
        if zone.silent.contains(&node) && (qtype == Type::ANY || !zone.has(&node, qtype)) {
            return Expected { is_silent: true, ..Expected::default() };
        }
        if qtype == Type::ANY {
            expected.some_of =
                zone.types(&node).into_iter().filter_map(|rtype| zone.set_as(&sought, &node, rtype)).collect();
            if !expected.some_of.is_empty() {
                return expected;
            }
        }
        if let Some(set) = zone.set_as(&sought, &node, qtype) {
            expected.helpful = zone.helpful(&set, &sought);
            expected.add(set);
            return expected;
        }
        // RFC 4035 §2.5: what signs and proves a CNAME stands beside it, and is not looked for at its target.
        let is_beside = matches!(qtype, Type::RRSIG | Type::NSEC);
        let Some(cname) = zone.set_as(&sought, &node, Type::CNAME).filter(|_| !is_beside) else {
            expected.authority.extend(zone.negative());
            return expected;
        };
        sought = cname.rdata.first().and_then(|rdata| Name::from_wire(rdata).ok()).expect("one name");
        expected.add(cname);
    }
}

impl Expected {
    /// Adds to the answer what is not in it yet.
    fn add(&mut self, set: Set) {
        if !self.answer.contains(&set) {
            self.answer.push(set);
        }
    }

    /// A referral: addresses within the delegated zone must come along, others of ours may.
    fn refer(&mut self, zone: &Zone, cut: Set) {
        for target in cut.rdata.iter().filter_map(|rdata| target_of(Type::NS, rdata)) {
            if target.is_within(&zone.apex) {
                let which = if target.is_within(&cut.owner) { &mut self.glue } else { &mut self.helpful };
                which.extend(zone.addresses(&target));
            }
        }
        self.authority.push(cut);
    }
}

/// Where names and other bytes stand in the RDATA of the types whose names may be compressed (RFC 3597 §4): `None` is
/// a name, a number so many bytes.
pub fn layout(rtype: Type) -> &'static [Option<usize>] {
    match rtype.0 {
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 => &[None],
        6 => &[None, None, Some(20)],
        14 => &[None, None],
        15 => &[Some(2), None],
        _ => &[],
    }
}

/// RDATA with the names that may be compressed in lower case.
pub fn folded(rtype: Type, rdata: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), rdata);
    for field in layout(rtype) {
        let length = field.or_else(|| failoverd::dns::name::wire_length(rest).ok()).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(length.min(rest.len()));
        out.extend(piece.iter().map(|byte| if field.is_none() { byte.to_ascii_lowercase() } else { *byte }));
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// The host a record names, whose addresses help.
fn target_of(rtype: Type, rdata: &[u8]) -> Option<Name> {
    let at = match rtype.0 {
        2 | 3 | 4 | 7 => 0,
        15 | 18 | 21 | 36 | 64 | 65 => 2,
        33 => 6,
        35 => {
            let text = |at: usize| rdata.get(at).map(|&length| at + 1 + usize::from(length));
            let is_address = matches!(rdata.get(4..6), Some([1, b'a' | b'A']));
            text(4).and_then(text).and_then(text).filter(|_| is_address)?
        }
        _ => return None,
    };
    let rest = rdata.get(at..)?;
    let length = failoverd::dns::name::wire_length(rest).ok()?;
    Name::from_wire(rest.get(..length)?).ok()
}

/// RRsets by owner and type.
pub fn by_key(sets: &[Set]) -> BTreeMap<(Name, Type), &Set> {
    sets.iter().map(|set| ((set.owner.clone(), set.rtype), set)).collect()
}
