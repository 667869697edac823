//! The algorithm of RFC 1034 §4.3.2 over all our zones, with RFC 6672 (DNAME), RFC 4592 (wildcards), RFC 2308 (negative
//! answers), RFC 9471 (glue) and RFC 4035 (signatures) where they change it. The steps are quoted beside the lines that
//! take them.

use crate::answer::Disposition;
use crate::answer::additional::{self, signatures};
use crate::answer::lookup::{Found, find};
use crate::answer::proof::{Claim, Proofs};
use crate::answer::query::Ask;
use crate::answer::rate::Imputed;
use crate::answer::reply::{ApexSpot, Full, HEAD, NO_APEX, Owner, Section, Writer, Written};
use crate::dns::Type;
use crate::dns::folded::Folded;
use crate::dns::message::{HEADER, Opt, POINTER_MAX, Rcode};
use crate::dns::name::{NAME_MAX, wire_length};
use crate::snapshot::{Snapshot, ZoneVersion};
use crate::zone::table::{Node, Records, Table, front_of, hash_folded};

/// Aliases followed for one query: Knot follows 5, BIND 11, NSD any number. The one behind them is shown, and the answer
/// ends there.
pub(super) const ALIASES_MAX: usize = 64;

/// The name that is looked for: at first the question's, then the target of each alias.
pub(super) struct Sought<'a> {
    question: &'a [u8],
    /// The target of the last alias.
    target: Option<Folded>,
    hash: u64,
    /// It begins at `at` in the message; its first `literal` bytes stand there, the others at `rest`.
    at: usize,
    literal: usize,
    rest: usize,
}

impl<'a> Sought<'a> {
    fn question(ask: &'a Ask) -> Self {
        Self { question: ask.name(), target: None, hash: ask.hash, at: HEADER, literal: NAME_MAX, rest: 0 }
    }

    /// Folded wire.
    #[inline]
    pub(super) fn name(&self) -> &[u8] {
        match &self.target {
            Some(target) => target.as_wire(),
            None => self.question,
        }
    }

    /// The suffix that begins `front` bytes into the name, as the owner of records.
    #[inline]
    pub(super) fn suffix(&self, front: usize) -> Owner<'_> {
        let at = if front < self.literal { self.at + front } else { self.rest + front - self.literal };
        Owner { at, name: &self.name()[front..] }
    }

    /// Goes on to the name `front` followed by `rest`, whose place in the message is as in [`Sought`].
    fn go_on(&mut self, front: &[u8], rest: &[u8], at: usize, literal: usize, rest_at: usize) {
        let target = self.target.get_or_insert_default().join(front, rest);
        self.hash = hash_folded(target.unwrap_or_default());
        (self.at, self.literal, self.rest) = (at, literal, rest_at);
    }
}

/// The DNAMEs in the answer, each by the hash of its owner, and where its target stands.
struct Dnames {
    list: [(u64, u16); ALIASES_MAX + 1],
    count: usize,
}

impl Dnames {
    fn new() -> Self {
        Self { list: [(0, 0); ALIASES_MAX + 1], count: 0 }
    }

    fn push(&mut self, owner: u64, target: usize) {
        if let (Some(place), Ok(target)) = (self.list.get_mut(self.count), u16::try_from(target)) {
            *place = (owner, target);
            self.count += 1;
        }
    }

    /// Where the target of the DNAME with this hash of its owner stands, if it is in the answer.
    fn target(&self, owner: u64) -> Option<usize> {
        self.list[..self.count].iter().find(|&&(hash, _)| hash == owner).map(|&(_, at)| usize::from(at))
    }
}

/// Writes the sections that answer `ask`, and the rcode and AA.
///
/// # Errors
/// [`Full`] if an RRset that belongs into the reply found no room: it is truncated.
pub(super) fn resolve(ask: &Ask, from: &Snapshot, out: &mut Writer<'_>) -> Result<Disposition, Full> {
    // 2. "Search the available zones for the zone which is the nearest ancestor to QNAME."
    let Some(zone) = zone_of(ask.name(), ask.qtype, from) else {
        out.rcode = Rcode::REFUSED;
        return Ok(Disposition::Send);
    };
    let table = &zone.table;
    // 3. "Start matching down, label by label, in the zone."
    let found = find(table, ask.name(), ask.hash, ask.qtype);
    // RFC 1035 §4.1.1: AA corresponds to the name which matches the query name, or the first owner name.
    out.is_authoritative = !matches!(found, Found::Cut { .. });
    out.imputed = imputed(&found, ask.name().len() - table.apex_wire().len());
    // What most ask for is there, and brings nothing along.
    if let Found::Exact(node) | Found::Wildcard { node, .. } = found
        && additional::stands_alone(ask.qtype)
        && !is_signed(table, ask)
        && let Some(records) = node.records(ask.qtype)
    {
        out.put(Section::Answer, &records, None, Owner { at: HEADER, name: ask.name() }, NO_APEX)?;
        return Ok(Disposition::Send);
    }
    proven(ask, from, (table, found), out)
}

/// Answers with what was found, and proves what is not there.
#[inline(never)]
fn proven<'s>(
    ask: &Ask,
    from: &'s Snapshot,
    first: (&'s Table, Found<'s>),
    out: &mut Writer<'_>,
) -> Result<Disposition, Full> {
    // Made when there is something to prove.
    let mut proofs = None;
    let disposition = follow(ask, from, first, &mut proofs, out)?;
    put_proofs(&mut proofs, out)?;
    Ok(disposition)
}

/// RFC 4035 §3.1: signatures and proofs of a signed zone are for who sets DO.
#[inline]
fn is_signed(table: &Table, ask: &Ask) -> bool {
    table.is_signed() && ask.opt.as_ref().is_some_and(Opt::wants_dnssec)
}

/// Answers with what was found in a zone, and goes on where an alias leads.
fn follow<'s>(
    ask: &Ask,
    from: &'s Snapshot,
    first: (&'s Table, Found<'s>),
    proofs: &mut Option<Proofs<'s>>,
    out: &mut Writer<'_>,
) -> Result<Disposition, Full> {
    let mut sought = Sought::question(ask);
    // Hashes of the names looked for: equal ones mean a loop.
    let mut seen = [0; ALIASES_MAX + 1];
    // Made with the first of them: most answers have none.
    let mut dnames: Option<Dnames> = None;
    let (mut table, mut found) = first;
    for alias in 0..=ALIASES_MAX {
        seen[alias] = sought.hash;
        let apex_front = sought.name().len() - table.apex_wire().len();
        let signed = is_signed(table, ask);
        match found {
            // 3a. "The whole of QNAME is matched", or 3c. "the * label": the owner is QNAME then, not the wildcard.
            Found::Exact(node) | Found::Wildcard { node, .. } => {
                // No steered answer is known yet; what the file has beside it is known.
                if node.is_silent() && node.records(ask.qtype).is_none() {
                    return Ok(Disposition::Drop);
                }
                let expanded = if let Found::Wildcard { front, .. } = found { Some(front) } else { None };
                let owner = sought.suffix(0);
                if ask.qtype == Type::RRSIG && node.all_signatures().next().is_some() {
                    // Signatures are an RRset of their own only to who asks for them.
                    for set in node.all_signatures() {
                        out.put(Section::Answer, &set, None, owner, NO_APEX)?;
                    }
                    if let Some(encloser) = expanded.filter(|_| signed) {
                        gather(proofs, Claim::Expanded { encloser }, table, &sought);
                    }
                    return Ok(Disposition::Send);
                }
                if let Some(records) = asked_for(node, ask.qtype) {
                    // RFC 2181 §5: the DNAME that led here, and is asked for, is in the answer already.
                    if ask.qtype == Type::DNAME
                        && dnames.as_ref().is_some_and(|dnames| dnames.target(sought.hash).is_some())
                    {
                        return Ok(Disposition::Send);
                    }
                    let signatures = signatures(node, records.rtype, signed);
                    let apex = apex_spot(&records, table, sought.suffix(apex_front), out);
                    let written = out.put(Section::Answer, &records, signatures.as_ref(), owner, apex)?;
                    if let Some(encloser) = expanded.filter(|_| signed) {
                        gather(proofs, Claim::Expanded { encloser }, table, &sought);
                    }
                    put_proofs(proofs, out)?;
                    // 6. "Using local data only, attempt to add other RRs which may be useful."
                    if ask.qtype != Type::ANY {
                        additional::useful(table, &records, signed, written, owner, out);
                    }
                    return Ok(Disposition::Send);
                }
                // 3a. "If the data at the node is a CNAME, and QTYPE doesn't match CNAME, copy the CNAME RR into the
                // answer section, change QNAME to the canonical name …" What signs and proves the CNAME itself stands
                // beside it (RFC 4035 §2.5).
                let cname = if is_beside_cname(ask.qtype) { None } else { alias_of(node, Type::CNAME) };
                let Some((records, target)) = cname else {
                    // "The QNAME exists, but not the QTYPE": NODATA (RFC 2308 §2.2).
                    let claim = match expanded {
                        Some(encloser) => Claim::NoTypeAtWildcard { encloser },
                        None => Claim::NoType { front: 0 },
                    };
                    return negative(claim, table, &sought, signed, proofs, out);
                };
                let signatures = signatures(node, Type::CNAME, signed);
                let apex = apex_spot(&records, table, sought.suffix(apex_front), out);
                let written = out.put(Section::Answer, &records, signatures.as_ref(), owner, apex)?;
                if let Some(encloser) = expanded.filter(|_| signed) {
                    gather(proofs, Claim::Expanded { encloser }, table, &sought);
                }
                let (at, literal) = alias_place(&records, written, apex);
                sought.go_on(target, &[], at, literal, apex.at);
            }
            // RFC 6672 §3.2 step 3c: "Copy the DNAME record into the answer section", then its CNAME.
            Found::Dname { node, front } => {
                let Some((records, target)) = alias_of(node, Type::DNAME) else {
                    return Ok(Disposition::Send);
                };
                let owner = sought.suffix(front);
                let owner_hash = hash_folded(owner.name);
                let dnames = dnames.get_or_insert_with(Dnames::new);
                let target_at = match dnames.target(owner_hash) {
                    Some(at) => at,
                    None => {
                        let signatures = signatures(node, Type::DNAME, signed);
                        let at = out.put(Section::Answer, &records, signatures.as_ref(), owner, NO_APEX)?.head + HEAD;
                        dnames.push(owner_hash, at);
                        at
                    }
                };
                // "If the name is longer than 255 octets, the RCODE is YXDOMAIN" (§2.2).
                if front + target.len() > NAME_MAX {
                    out.rcode = Rcode::YXDOMAIN;
                    return Ok(Disposition::Send);
                }
                // §3.1: the synthesized CNAME has the TTL of the DNAME, whose signature vouches for it (§5.3.1). The
                // prefix keeps the case it was asked in.
                let mut prefix = [0; NAME_MAX];
                prefix[..front].copy_from_slice(&sought.name()[..front]);
                if front <= sought.literal {
                    prefix[..front].copy_from_slice(&out.bytes()[sought.at..sought.at + front]);
                }
                let rest = Owner { at: target_at, name: target };
                let written = out.put_alias(sought.suffix(0), records.ttl(), &prefix[..front], rest)?;
                // An alias that was asked for is the answer, and one that leads below its own DNAME leads on for ever.
                if matches!(ask.qtype, Type::CNAME | Type::ANY) || is_within(target, sought.suffix(front).name) {
                    return Ok(Disposition::Send);
                }
                sought.go_on(&prefix[..front], target, written.head + HEAD, front, target_at);
            }
            // 3b. "We have a referral. Copy the NS RRs for the subzone into the authority section."
            Found::Cut { node, front } => {
                let Some(records) = node.records(Type::NS) else {
                    return Ok(Disposition::Send);
                };
                let cut = sought.suffix(front);
                let apex = apex_spot(&records, table, sought.suffix(apex_front), out);
                let written = out.put(Section::Authority, &records, None, cut, apex)?;
                // RFC 4035 §3.1.4: DS, or the proof that there is none; RFC 4035 §2.2: the NS are not signed.
                if signed && let Some(records) = node.records(Type::DS) {
                    out.put(Section::Authority, &records, node.signatures(Type::DS).as_ref(), cut, NO_APEX)?;
                } else if signed {
                    gather(proofs, Claim::NoType { front }, table, &sought);
                }
                put_proofs(proofs, out)?;
                additional::glue(table, cut.name, signed, &records, written, out)?;
                return Ok(Disposition::Send);
            }
            // 3c. "If the * label does not exist": an authoritative name error.
            Found::Missing { front } => {
                out.rcode = Rcode::NXDOMAIN;
                return negative(Claim::NoName { encloser: front }, table, &sought, signed, proofs, out);
            }
        }
        // "… and go back to step 1": it leads round, out of our zones, or on.
        let leads_round = seen[..=alias].contains(&sought.hash);
        let Some(zone) = zone_of(sought.name(), ask.qtype, from).filter(|_| !leads_round) else {
            break;
        };
        table = &zone.table;
        found = find(table, sought.name(), sought.hash, ask.qtype);
    }
    Ok(Disposition::Send)
}

/// What gives the answer to the question's own name, whose zone's apex begins at `zone`.
fn imputed(found: &Found<'_>, zone: usize) -> Imputed {
    let name = match found {
        Found::Exact(_) => 0,
        Found::Wildcard { front, .. } | Found::Cut { front, .. } | Found::Dname { front, .. } => *front,
        Found::Missing { .. } => zone,
    };
    Imputed { name, zone, is_wildcard: matches!(found, Found::Wildcard { .. }) }
}

/// The zone to search: the deepest one that holds the name; for DS the parent's, if that is ours too, as DS belong to
/// the parent's side of a cut (RFC 4035 §3.1.4.1).
fn zone_of<'s>(name: &[u8], qtype: Type, from: &'s Snapshot) -> Option<&'s ZoneVersion> {
    let (zone, front) = from.zones.find(name)?;
    if qtype == Type::DS && front == 0 && name.len() > 1 {
        let above = name.get(usize::from(name[0]) + 1..).and_then(|above| from.zones.find(above));
        return Some(above.map_or(zone, |(parent, _)| parent));
    }
    Some(zone)
}

/// The CNAME or DNAME of a node, and its target in uncompressed wire form.
fn alias_of(node: Node<'_>, rtype: Type) -> Option<(Records<'_>, &[u8])> {
    let records = node.records(rtype)?;
    let rdata = records.rdata().next()?;
    Some((records, rdata.get(..wire_length(rdata).ok()?)?))
}

/// The RRset that answers `qtype`: for ANY one of them, which is a whole answer (RFC 8482 §4.1), and of what DNSSEC put
/// there only if there is nothing else. NSEC3 are no data of a name (RFC 5155 §7.2.8).
#[inline]
fn asked_for<'t>(node: Node<'t>, qtype: Type) -> Option<Records<'t>> {
    match qtype {
        Type::ANY => {
            let is_data = |set: &Records<'_>| !matches!(set.rtype, Type::RRSIG | Type::NSEC | Type::NSEC3);
            node.sets().find(is_data).or_else(|| node.records(Type::NSEC))
        }
        Type::NSEC3 => None,
        _ => node.records(qtype),
    }
}

/// Types that a CNAME has beside it (RFC 4035 §2.5): they are never looked for at its target.
fn is_beside_cname(qtype: Type) -> bool {
    matches!(qtype, Type::RRSIG | Type::NSEC)
}

/// Where the target of a CNAME just written begins, and how many bytes of it stand there.
fn alias_place(records: &Records<'_>, written: Written, apex: ApexSpot) -> (usize, usize) {
    let literal = match records.tails.first() {
        Some(&tail) if tail > 0 && apex.is_in_reach() => usize::from(tail) - 1,
        _ => NAME_MAX,
    };
    (written.head + HEAD, literal)
}

/// The apex as what names in the RDATA of `records` end in: only if its case in the message is theirs, which they keep
/// (RFC 1034 §3.1).
#[inline]
fn apex_spot(records: &Records<'_>, table: &Table, owner: Owner<'_>, out: &Writer<'_>) -> ApexSpot {
    if records.tails.is_empty() {
        return NO_APEX;
    }
    let is_same = out.has_name(owner.at, table.apex_wire());
    ApexSpot { at: if is_same { owner.at } else { NO_APEX.at }, length: table.apex_wire().len() }
}

/// RFC 2308 §3: the zone's SOA in the authority section, its TTL the lesser of its own and MINIMUM (§5); that of its
/// signatures is the same (RFC 4034 §3). Then what proves the answer.
fn negative<'s>(
    claim: Claim,
    table: &'s Table,
    sought: &Sought,
    signed: bool,
    proofs: &mut Option<Proofs<'s>>,
    out: &mut Writer<'_>,
) -> Result<Disposition, Full> {
    let owner = sought.suffix(sought.name().len() - table.apex_wire().len());
    let is_named = owner.at <= POINTER_MAX && out.has_name(owner.at, table.apex_wire());
    if let Some(absence) = table.absence().filter(|_| is_named && !signed) {
        out.put_absence(absence, owner.at)?;
    } else if let Some(node) = table.apex_node()
        && let Some(records) = node.records(Type::SOA)
    {
        let at = if is_named { owner.at } else { NO_APEX.at };
        let apex = ApexSpot { at, length: table.apex_wire().len() };
        let signatures = signatures(node, Type::SOA, signed);
        let written = out.put(Section::Authority, &records, signatures.as_ref(), owner, apex)?;
        let minimum = records.wire.last_chunk().map_or(0, |&minimum| u32::from_be_bytes(minimum));
        out.set_ttl(written, records.ttl().min(minimum));
    }
    if signed {
        gather(proofs, claim, table, sought);
    }
    put_proofs(proofs, out)?;
    Ok(Disposition::Send)
}

fn gather<'s>(proofs: &mut Option<Proofs<'s>>, claim: Claim, table: &'s Table, sought: &Sought) {
    proofs.get_or_insert_with(Proofs::new).gather(claim, table, sought);
}

/// Writes what was gathered, once: additional data comes after it.
fn put_proofs(proofs: &mut Option<Proofs<'_>>, out: &mut Writer<'_>) -> Result<(), Full> {
    proofs.take().map_or(Ok(()), |proofs| proofs.put(out))
}

/// True if `name` is `ancestor` or below it; both folded or not.
pub(super) fn is_within(name: &[u8], ancestor: &[u8]) -> bool {
    front_of(name, ancestor).is_some()
}
