//! Semantic checks of a zone. Errors are what would make it answer wrongly or not at all, and what Knot and BIND refuse
//! to load: no SOA or NS at the apex, several SOA, CNAME beside other data, several CNAME or DNAME, data below a DNAME,
//! NS at a wildcard or pointing at an alias, an RRset no message can hold. The rest are warnings: missing glue, hidden
//! data, odd timers, mixed TTLs, duplicates, forgotten final dots; in a signed zone missing signatures and broken chains.

mod signed;
mod targets;

use crate::dns::folded::Folded;
use crate::dns::name::{NAME_MAX, wire_length};
use crate::dns::{Name, Type};
use crate::zone::master::Part;
use crate::zone::report::Level;
use crate::zone::table::{Node, Oddity, Records, Soa, Table, front_of, hash_folded};

pub(crate) use signed::signatures_until;

/// Most findings of one level that are worked out; far more than a report keeps, so that these are the first of the
/// file more often than not.
const FINDINGS_MAX: usize = 1_000;
/// Most CNAMEs followed in search of a circle.
const CHAIN_MAX: usize = 16;

/// Names checked at a time, after what they point at was fetched for all of them.
const GROUP: usize = 64;

/// Something that is wrong with the zone as a whole, and which record to show for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub level: Level,
    pub owner: Name,
    /// None: any record of the owner.
    pub rtype: Option<Type>,
    pub which: Which,
    pub part: Part,
    pub text: String,
    pub help: Option<String>,
}

/// Which record of an owner and type is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    First,
    Second,
    /// The first that has stood there before.
    Repeated,
    /// The first whose TTL differs from that of the first.
    OtherTtl,
    /// The one with this RDATA.
    Rdata(Vec<u8>),
}

/// Checks a zone. With `complete` false some records could not be read, and nothing is called missing.
pub fn check(table: &Table, oddities: Vec<Oddity>, complete: bool, steered: &dyn Fn(&Name) -> bool) -> Vec<Finding> {
    let mut findings = Findings { list: Vec::new(), errors: 0, warnings: 0 };
    for oddity in oddities {
        findings.add(odd(oddity));
    }
    apex(table, complete, &mut findings);
    let mut glue = targets::Glue::default();
    // Records of hashes stand where no name is: below an apex with a DNAME too.
    let is_odd = |node: &Node<'_>| has_odd_name(node.relative(), table.apex_wire());
    let names_to_check = table.iter().filter(|node| !node.is_hashed());
    let mut some = names_to_check.filter(|node| node.is_under_cut() || node.has(concerns_others) || is_odd(node));
    let mut group = Vec::with_capacity(GROUP);
    loop {
        group.clear();
        group.extend(some.by_ref().take(GROUP));
        if group.is_empty() {
            break;
        }
        targets::reach(table, &group);
        for node in &group {
            names(table, node, &mut findings);
            if node.is_under_cut() {
                hidden(table, node, &mut glue, &mut findings);
                continue;
            }
            aliases(table, node, &mut findings);
            delegation(table, node, &mut glue, complete, &mut findings);
            targets::check(table, node, complete, steered, &mut findings);
        }
    }
    signed::check(table, complete, &mut findings);
    findings.list
}

/// What has been found, bounded.
struct Findings {
    list: Vec<Finding>,
    errors: usize,
    warnings: usize,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        let count = match finding.level {
            Level::Error => &mut self.errors,
            Level::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= FINDINGS_MAX {
            self.list.push(finding);
        }
    }
}

impl Finding {
    fn new(level: Level, owner: Name, rtype: Type, text: String) -> Self {
        Self { level, owner, rtype: Some(rtype), which: Which::First, part: Part::Type, text, help: None }
    }

    fn error(owner: Name, rtype: Type, text: impl Into<String>) -> Self {
        Self::new(Level::Error, owner, rtype, text.into())
    }

    fn warning(owner: Name, rtype: Type, text: impl Into<String>) -> Self {
        Self::new(Level::Warning, owner, rtype, text.into())
    }

    fn which(self, which: Which) -> Self {
        Self { which, ..self }
    }

    fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// What the table did to records that do not go together.
fn odd(oddity: Oddity) -> Finding {
    match oddity {
        Oddity::MixedTtl { owner, rtype, lowest } => {
            let text = format!("the {rtype} records of `{owner}` have different TTLs; all get the lowest, {lowest}");
            Finding::warning(owner, rtype, text)
                .which(Which::OtherTtl)
                .help("give all records of a name and type one TTL")
        }
        Oddity::Duplicate { owner, rtype } => {
            let text = format!("the same {rtype} record of `{owner}` again; one is kept");
            Finding::warning(owner, rtype, text).which(Which::Repeated)
        }
        Oddity::TooLarge { owner, rtype, bytes } => {
            let text = format!("the {rtype} records of `{owner}` take {bytes} bytes; no message can hold them");
            Finding::error(owner, rtype, text).help("spread them over several names; a message has 65535 bytes")
        }
    }
}

/// SOA and NS at the apex, and the SOA's fields.
fn apex(table: &Table, complete: bool, findings: &mut Findings) {
    let apex = table.apex();
    let node = table.get(apex);
    let count = |rtype| node.as_ref().and_then(|node| node.rrset(rtype)).map_or(0, |rrset| rrset.rdata.len());
    match count(Type::SOA) {
        0 if complete => {
            findings.add(Finding::error(apex.clone(), Type::SOA, format!("no SOA at the apex {apex}")).help(format!(
                "add `{apex} SOA ns1.{apex} hostmaster.{apex} 1 2h 15m 4w 1h`; is this the file of another zone?"
            )));
        }
        0 | 1 => {}
        _ => findings.add(
            Finding::error(apex.clone(), Type::SOA, "a second SOA")
                .which(Which::Second)
                .help("a zone has exactly one SOA"),
        ),
    }
    if complete && count(Type::NS) == 0 {
        let text = format!("no NS at the apex {apex}");
        findings.add(
            Finding::error(apex.clone(), Type::NS, text).help("add the NS records that the parent zone has for it"),
        );
    }
    if let Some(soa) = table.soa() {
        timers(apex, &soa, findings);
    }
}

/// Values of the SOA that secondaries and caches suffer from (RFC 1912 §2.2, RFC 2308 §5).
fn timers(apex: &Name, soa: &Soa, findings: &mut Findings) {
    let mut odd = |text: String, help: &str| {
        findings.add(Finding::warning(apex.clone(), Type::SOA, text).part(Part::Rdata).help(help));
    };
    let Soa { refresh, retry, expire, minimum, .. } = *soa;
    if refresh < retry {
        odd(
            format!("SOA: refresh ({refresh}) is shorter than retry ({retry})"),
            "secondaries ask every `refresh` seconds, and every `retry` after a failure: make retry the shorter one",
        );
    }
    if u64::from(expire) <= u64::from(refresh) + u64::from(retry) {
        odd(
            format!("SOA: expire ({expire}) is not longer than refresh and retry together ({refresh} + {retry})"),
            "secondaries would drop the zone before they have tried again; two to four weeks are usual",
        );
    }
    if minimum > 86_400 {
        odd(
            format!("SOA: the last field ({minimum}) is over a day"),
            "it is how long caches believe that a name does not exist; an hour is usual (RFC 2308)",
        );
    }
    if soa.rname.labels().next().is_some_and(|label| label.contains(&b'@')) {
        odd(
            format!("SOA: the mailbox `{}` has an @", soa.rname),
            "write `hostmaster.example.com.` for hostmaster@example.com",
        );
    }
}

/// True for the types that say something of other names, or of what may stand beside them.
fn concerns_others(rtype: Type) -> bool {
    matches!(rtype, Type::CNAME | Type::DNAME | Type::DS | Type::MX | Type::NS | Type::PTR | Type::SRV)
}

/// A first look that nearly all names pass: true for each that [`names`] may say something about.
fn has_odd_name(relative: &[u8], apex: &[u8]) -> bool {
    !relative.is_ascii() || !apex.is_ascii() || relative.ends_with(without_root(apex))
}

/// A wire name without its closing zero.
fn without_root(wire: &[u8]) -> &[u8] {
    &wire[..wire.len().saturating_sub(1)]
}

/// Owners that end in the apex twice, because somebody forgot a final dot, and hosts in letters that DNS does not know.
fn names(table: &Table, node: &Node<'_>, findings: &mut Findings) {
    let Some(rtype) = node.types().next().filter(|_| has_odd_name(node.relative(), table.apex_wire())) else {
        return;
    };
    let owner = node.owner();
    let is_host =
        || node.types().any(|rtype| matches!(rtype, Type::A | Type::AAAA | Type::CNAME | Type::MX | Type::NS));
    if !owner.as_wire().is_ascii() && is_host() {
        let text = format!("`{owner}` is not in ASCII; no browser or mail server asks for it so");
        findings.add(any_record(&owner, rtype, text).help("write the A-label, as xn--mller-kva for müller"));
    }
    let Some(meant) = without_repeated_apex(&owner, table.apex()) else {
        return;
    };
    let text = format!("`{owner}` has the zone's name in it twice");
    findings.add(any_record(&owner, rtype, text).help(format!("if a final dot is missing: `{meant}`")));
}

/// A warning about an owner, whatever its types.
fn any_record(owner: &Name, rtype: Type, text: String) -> Finding {
    Finding { rtype: None, ..Finding::warning(owner.clone(), rtype, text).part(Part::Owner) }
}

/// What `name` was to be, if it ends in the apex twice. An apex of one label repeats by chance.
fn without_repeated_apex(name: &Name, apex: &Name) -> Option<Name> {
    let front = name.strip(apex)?;
    let meant = Name::from_wire(&[front, &[0]].concat()).ok()?;
    (apex.label_count() > 1 && meant.is_within(apex)).then_some(meant)
}

/// CNAME and DNAME (RFC 1034 §3.6.2, RFC 2181 §10.1, RFC 6672 §2.4).
fn aliases(table: &Table, node: &Node<'_>, findings: &mut Findings) {
    for rtype in [Type::CNAME, Type::DNAME] {
        let Some(records) = node.records(rtype) else { continue };
        let owner = node.owner();
        if records.count > 1 {
            let text = format!("a second {rtype} at `{owner}`");
            findings.add(
                Finding::error(owner.clone(), rtype, text)
                    .which(Which::Second)
                    .help("a name is an alias of one other name"),
            );
        }
        if rtype == Type::DNAME && owner.is_wildcard() {
            let text = format!("a DNAME at the wildcard `{owner}`, which resolvers treat in different ways");
            findings.add(Finding::warning(owner.clone(), rtype, text));
        }
        if rtype == Type::DNAME {
            continue;
        }
        let others: Vec<String> =
            node.types().filter(|&other| !may_stand_beside_cname(other)).map(|other| other.to_string()).collect();
        if !others.is_empty() {
            let text = format!("`{owner}` is an alias (CNAME) and has other data: {}", others.join(", "));
            let help = if owner == *table.apex() {
                "an apex cannot be a CNAME: give it A and AAAA records, or steer it"
            } else {
                "a CNAME stands alone: take either it or the others away"
            };
            findings.add(Finding::error(owner.clone(), rtype, text).help(help));
        }
        if returns_to_itself(table, node, records) {
            let text = format!("the CNAME of `{owner}` leads back to it");
            findings.add(
                Finding::warning(owner, rtype, text).part(Part::Rdata).help("let it end at a name with addresses"),
            );
        }
    }
}

/// The CNAME itself and what DNSSEC puts beside it (RFC 4034 §3, §4).
fn may_stand_beside_cname(rtype: Type) -> bool {
    matches!(rtype, Type::CNAME | Type::RRSIG | Type::NSEC | Type(24 | 25 | 30))
}

fn returns_to_itself(table: &Table, node: &Node<'_>, alias: Records<'_>) -> bool {
    let mut folded = Folded::default();
    let mut next = Some(alias);
    for _ in 0..CHAIN_MAX {
        let Some(target) = next.and_then(|records| records.rdata().next()) else { return false };
        let Some(named) = find(table, target, &mut folded) else { return false };
        if named.is_same(node) {
            return true;
        }
        next = named.records(Type::CNAME);
    }
    false
}

/// The node of a wire name.
fn find<'t>(table: &'t Table, wire: &[u8], folded: &mut Folded) -> Option<Node<'t>> {
    let full = folded.set(wire)?;
    let front = front_of(full, table.apex_wire())?;
    table.find(&full[..front], hash_folded(full))
}

/// What stands at a delegation, and DS without one.
fn delegation(table: &Table, node: &Node<'_>, glue: &mut targets::Glue, complete: bool, findings: &mut Findings) {
    let (ns, ds) = (node.records(Type::NS).is_some(), node.records(Type::DS).is_some());
    if !ns && !ds {
        return;
    }
    let owner = node.owner();
    if ns && owner.is_wildcard() {
        let text = format!("an NS at the wildcard `{owner}`: a delegation has a name of its own");
        findings
            .add(Finding::error(owner.clone(), Type::NS, text).help("RFC 4592 §4.2: what it would mean is undefined"));
    }
    if ds && owner == *table.apex() {
        let text = format!("a DS at the apex {owner}");
        findings.add(Finding::warning(owner.clone(), Type::DS, text).help("the DS of a zone stands in its parent"));
    } else if ds && !ns && complete {
        let text = format!("a DS at `{owner}`, which is not delegated (no NS)");
        findings.add(
            Finding::warning(owner.clone(), Type::DS, text).help("a DS stands beside the NS records of a delegation"),
        );
    }
    if !node.is_cut() {
        return;
    }
    for rtype in node.types().filter(|rtype| !matches!(*rtype, Type::NS | Type::DS | Type::NSEC | Type::RRSIG)) {
        if !(matches!(rtype, Type::A | Type::AAAA) && glue.is_wanted(table, node, node)) {
            let text = format!("{rtype} at `{owner}` is hidden: the name is delegated (NS)");
            findings.add(
                Finding::warning(owner.clone(), rtype, text).help("it belongs into the zone of those name servers"),
            );
        }
    }
}

/// Data below a delegation that is not glue, and below a DNAME.
fn hidden(table: &Table, node: &Node<'_>, glue: &mut targets::Glue, findings: &mut Findings) {
    let Some((above, by)) = covering(table, node.full_name(&mut [0; NAME_MAX])) else {
        return;
    };
    for rtype in node.types() {
        let of_the_cut = match rtype {
            _ if by == Type::DNAME => false,
            Type::RRSIG | Type::NSEC => true,
            Type::A | Type::AAAA => glue.is_wanted(table, node, &above),
            _ => false,
        };
        if of_the_cut {
            continue;
        }
        let (owner, above) = (node.owner(), above.owner());
        if by == Type::DNAME {
            let text = format!("{rtype} at `{owner}`, which is below the DNAME of `{above}`");
            let finding = Finding::error(owner.clone(), rtype, text);
            findings
                .add(finding.part(Part::Owner).help("all names below a DNAME are renamed by it: none can have data"));
        } else {
            let text = format!("{rtype} at `{owner}` is hidden: it is below the delegation of `{above}`");
            let finding = Finding::warning(owner.clone(), rtype, text);
            findings
                .add(finding.part(Part::Owner).help("only addresses of name servers (glue) stand below a delegation"));
        }
    }
}

/// The highest delegation or DNAME above a full folded name, below the apex; a DNAME may be at the apex.
fn covering<'t>(table: &'t Table, full: &[u8]) -> Option<(Node<'t>, Type)> {
    let front = front_of(full, table.apex_wire())?;
    let (mut found, mut above) = (None, 0);
    while above < front {
        above += usize::from(full[above]) + 1;
        let Some(node) = table.find(&full[above..front], hash_folded(&full[above..])) else { continue };
        if node.is_cut() {
            found = Some((node, Type::NS));
        } else if node.is_dname() {
            found = Some((node, Type::DNAME));
        }
    }
    found
}

/// The first name in RDATA behind `skip` bytes.
fn name_in(rdata: &[u8], skip: usize) -> Option<Name> {
    let wire = rdata.get(skip..)?;
    Name::from_wire(wire.get(..wire_length(wire).ok()?)?).ok()
}
