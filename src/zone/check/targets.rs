//! Names that NS, MX and SRV records point at: addresses, not aliases (RFC 2181 §10.3), and glue where it is needed.

use super::{Finding, Findings, covering, find, name_in, without_repeated_apex, without_root};
use crate::dns::folded::Folded;
use crate::dns::name::NAME_MAX;
use crate::dns::{Name, Type};
use crate::zone::check::Which;
use crate::zone::master::Part;
use crate::zone::report::Level;
use crate::zone::table::{Node, Table, fetch, hash_folded};

/// Names of the zone that an NS record of it points at: folded wire, sorted, for there may be many. Gathered when they
/// are first asked for: most glue is that of the delegation it stands below.
#[derive(Default)]
pub(super) struct Glue(Option<Vec<Vec<u8>>>);

impl Glue {
    /// True if an NS record of the zone points at this node, which stands at or below this `cut`.
    pub(super) fn is_wanted(&mut self, table: &Table, node: &Node<'_>, cut: &Node<'_>) -> bool {
        let mut name = [0; NAME_MAX];
        let name = node.full_name(&mut name);
        let mut of_the_cut = cut.records(Type::NS).into_iter().flat_map(|set| set.rdata());
        of_the_cut.any(|server| server.eq_ignore_ascii_case(name))
            || self.0.get_or_insert_with(|| servers(table)).binary_search_by(|server| server[..].cmp(name)).is_ok()
    }
}

fn servers(table: &Table) -> Vec<Vec<u8>> {
    let servers = table.iter().filter_map(|node| node.records(Type::NS)).flat_map(|set| set.rdata());
    let servers = servers.filter_map(|rdata| Name::from_wire(rdata).ok());
    let servers = servers.filter(|name| name.is_within(table.apex()));
    let mut names: Vec<_> = servers.map(|name| name.as_wire().to_ascii_lowercase()).collect();
    names.sort_unstable();
    names
}

/// What a name of this zone has to offer a record that points at it.
enum Standing {
    Addresses,
    Alias,
    /// Nothing, or no addresses.
    Nothing,
    /// No addresses here, and it is below this delegation.
    Delegated(Name),
}

/// Types that point at a host, how many bytes stand before its name, and whether a target may be left out as `.`.
const POINTERS: [(Type, usize, bool); 3] = [(Type::NS, 0, false), (Type::MX, 2, true), (Type::SRV, 6, true)];

pub(super) fn check(
    table: &Table,
    node: &Node<'_>,
    complete: bool,
    steered: &dyn Fn(&Name) -> bool,
    findings: &mut Findings,
) {
    let mut folded = Folded::default();
    for set in node.sets() {
        let rtype = set.rtype;
        if matches!(rtype, Type::CNAME | Type::DNAME | Type::PTR) {
            for rdata in set.rdata().filter(|rdata| may_repeat(rdata, table.apex_wire())) {
                let meant =
                    name_in(rdata, 0).and_then(|target| Some((without_repeated_apex(&target, table.apex())?, target)));
                if let Some((meant, target)) = meant {
                    findings.add(twice(node.owner(), rtype, rdata, &target, &meant));
                }
            }
        }
        let Some(&(_, skip, may_be_root)) = POINTERS.iter().find(|(pointer, _, _)| *pointer == rtype) else {
            continue;
        };
        for rdata in set.rdata() {
            let named = rdata.get(skip..).and_then(|name| find(table, name, &mut folded));
            if named.is_some_and(|node| has_address(&node)) {
                continue;
            }
            let Some(target) = name_in(rdata, skip).filter(|name| !(name.is_root() && may_be_root)) else {
                continue;
            };
            if target.is_within(table.apex()) && !is_steered(table, &target, steered) {
                findings.list_target(table, node, rtype, rdata, &target, complete);
            }
        }
    }
}

fn has_address(node: &Node<'_>) -> bool {
    node.records(Type::A).is_some() || node.records(Type::AAAA).is_some()
}

/// A first look that nearly all names pass: true for each wire name that may end in the apex (folded) twice.
fn may_repeat(name: &[u8], apex: &[u8]) -> bool {
    let apex = without_root(apex);
    let twice = name.len().checked_sub(2 * apex.len() + 1);
    twice.is_some_and(|at| name[at..][..apex.len()].eq_ignore_ascii_case(apex))
}

/// Touches the places that the checks of these nodes will look at, so that the waits for their memory overlap.
pub(super) fn reach(table: &Table, group: &[Node<'_>]) {
    let mut folded = Folded::default();
    let mut places = Vec::with_capacity(2 * group.len());
    for node in group {
        if node.is_under_cut() {
            let mut name = [0; NAME_MAX];
            let name = node.full_name(&mut name);
            let above = name.get(usize::from(name[0]) + 1..).unwrap_or_default();
            places.extend(table.bucket(hash_folded(above)));
        }
        for set in node.sets() {
            let pointer = POINTERS.iter().find(|(pointer, ..)| *pointer == set.rtype);
            let skip = match pointer {
                Some(&(_, skip, _)) => skip,
                None if set.rtype == Type::CNAME => 0,
                None => continue,
            };
            for name in set.rdata().filter_map(|rdata| rdata.get(skip..)) {
                places.extend(folded.set(name).and_then(|name| table.bucket(hash_folded(name))));
            }
        }
    }
    fetch(places);
}

/// True for a steered name and for one that a steered wildcard answers: their addresses come while we run.
fn is_steered(table: &Table, target: &Name, steered: &dyn Fn(&Name) -> bool) -> bool {
    if steered(target) {
        return true;
    }
    let mut above = if table.get(target).is_some() { None } else { target.parent() };
    while let Some(name) = above.filter(|name| name.is_within(table.apex())) {
        if name.child(b"*").is_ok_and(|wildcard| steered(&wildcard)) {
            return true;
        }
        above = if table.get(&name).is_some() || steered(&name) { None } else { name.parent() };
    }
    false
}

fn twice(owner: Name, rtype: Type, rdata: &[u8], target: &Name, meant: &Name) -> Finding {
    let text = format!("{rtype} points at `{target}`, which has the zone's name in it twice");
    Finding::warning(owner, rtype, text)
        .which(Which::Rdata(rdata.to_vec()))
        .part(Part::Rdata)
        .help(format!("if a final dot is missing: `{meant}`"))
}

impl Findings {
    fn list_target(
        &mut self,
        table: &Table,
        node: &Node<'_>,
        rtype: Type,
        rdata: &[u8],
        target: &Name,
        complete: bool,
    ) {
        let owner = node.owner();
        let find = |level, text: String| {
            let finding = Finding::new(level, owner.clone(), rtype, text);
            finding.which(Which::Rdata(rdata.to_vec())).part(Part::Rdata)
        };
        match standing(table, target) {
            Standing::Addresses => {}
            Standing::Alias => {
                let level = if rtype == Type::NS { Level::Error } else { Level::Warning };
                let text = format!("{rtype} points at `{target}`, which is an alias (CNAME)");
                self.add(find(level, text).help("point at the name that has the addresses (RFC 2181 §10.3)"));
            }
            _ if !complete => {}
            Standing::Delegated(cut) => {
                // Only the delegation's own name servers are out of reach without it.
                if rtype == Type::NS && cut == owner {
                    let text = format!(
                        "the name server `{target}` is below the delegation itself and has no address here (glue)"
                    );
                    self.add(
                        find(Level::Warning, text)
                            .help(format!("add `{target} A …`: resolvers could not reach it otherwise")),
                    );
                }
            }
            Standing::Nothing => {
                if let Some(meant) = without_repeated_apex(target, table.apex()) {
                    self.add(twice(owner.clone(), rtype, rdata, target, &meant));
                    return;
                }
                let text = format!("{rtype} points at `{target}`, which has no address in this zone");
                self.add(find(Level::Warning, text).help(if looks_like_address(target, table.apex()) {
                    format!("{rtype} takes a name, not an address: give a name A or AAAA and point at that")
                } else {
                    format!("add `{target} A …`")
                }));
            }
        }
    }
}

fn standing(table: &Table, target: &Name) -> Standing {
    let of = |node: Node<'_>| {
        if has_address(&node) {
            return Some(Standing::Addresses);
        }
        node.records(Type::CNAME).is_some().then_some(Standing::Alias)
    };
    let node = table.get(target);
    let exists = node.is_some();
    let cut = node.as_ref().is_some_and(Node::is_cut);
    if let Some(standing) = node.and_then(of) {
        return standing;
    }
    if cut {
        return Standing::Delegated(target.clone());
    }
    match covering(table, target.folded().as_wire()) {
        Some((above, Type::NS)) => return Standing::Delegated(above.owner()),
        // A DNAME makes an alias of it.
        Some(_) => return Standing::Alias,
        None => {}
    }
    let encloser = || std::iter::successors(target.parent(), Name::parent).find(|name| table.get(name).is_some());
    let wildcard = || encloser()?.child(b"*").ok();
    let wildcard = if exists { None } else { wildcard() };
    wildcard.and_then(|name| table.get(&name).and_then(of)).unwrap_or(Standing::Nothing)
}

/// True for `192.0.2.1.example.com.`: somebody wrote an address where a name belongs.
fn looks_like_address(name: &Name, apex: &Name) -> bool {
    let labels = name.label_count() - apex.label_count();
    labels == 4 && name.labels().take(4).all(|label| label.iter().all(u8::is_ascii_digit))
        || name.labels().next().is_some_and(|label| label.contains(&b':'))
}
