//! A table from another one by changes: copies the shards of the names that change, shares all others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dns::{Name, Type};
use crate::zone::table::build::{Shards, sorted, wire_size};
use crate::zone::table::denial::Denial;
use crate::zone::table::node::{COVER, CUT, Draft, Raw, SILENT, Slot, UNDER, WILDCARD};
use crate::zone::table::shard::{Placed, Shard};
use crate::zone::table::{Change, RRSET_MAX, RRset, Row, Table, front_of, shard_index};

/// Names per shard, on average, above which the table is spread over more shards.
const CROWDED: usize = 1024;

impl Table {
    /// The table after these changes, made in their order; those of names outside the zone are left out. Costs what
    /// changed; names below an added or removed cut or DNAME are found by reading the table once.
    #[must_use]
    pub fn with(&self, changes: &[Change]) -> Self {
        let mut edit = Edit {
            table: self,
            touched: BTreeMap::new(),
            created: BTreeSet::new(),
            covers: BTreeSet::new(),
            apart: BTreeSet::new(),
        };
        for change in changes {
            edit.make(change);
        }
        edit.flag_covered();
        let mut table = edit.finish();
        table.settle_absence();
        table.denial =
            if changes.iter().any(moves_denial) { Denial::of(&table).map(Arc::new) } else { self.denial.clone() };
        table
    }

    /// The same table, with every shard that `before` has in equal bytes taken from there: after a reload, memory and
    /// comparisons cost what changed.
    #[must_use]
    pub fn sharing(&self, before: &Self) -> Self {
        if self.shard_bits != before.shard_bits || self.apex.wire != before.apex.wire {
            return self.clone();
        }
        let rows = self.rows.iter().zip(before.rows.iter()).map(|(row, old)| {
            if row.iter().zip(old.iter()).all(|(shard, old)| shard.is_equal(old)) {
                return Arc::clone(old);
            }
            row.iter()
                .zip(old.iter())
                .map(|(shard, old)| if shard.is_equal(old) { old.clone() } else { shard.clone() })
                .collect()
        });
        let denial = if self.denial == before.denial { &before.denial } else { &self.denial };
        Self { rows: rows.collect(), denial: denial.clone(), ..self.clone() }
    }
}

/// By relative name: hash of the full name and the node's new bytes; none where it is gone.
type Rewrites = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// Changes in the making: the nodes they touch, as they will be.
struct Edit<'t> {
    table: &'t Table,
    /// By relative name; `None` where a name is gone.
    touched: BTreeMap<Vec<u8>, Option<Draft>>,
    /// Names that were not there before.
    created: BTreeSet<Vec<u8>>,
    /// Names that became, or ceased to be, a cut or the owner of a DNAME.
    covers: BTreeSet<Vec<u8>>,
    /// Names to set apart.
    apart: BTreeSet<Vec<u8>>,
}

impl<'t> Edit<'t> {
    fn make(&mut self, change: &Change) {
        let (Change::Set { owner, .. }
        | Change::Remove { owner, .. }
        | Change::Silence { owner, .. }
        | Change::Apart { owner }) = change;
        let Some(relative) = self.relative(owner) else { return };
        match change {
            Change::Set { rrset, .. } => self.set(relative, rrset),
            Change::Remove { rtype, .. } => self.remove(relative, *rtype),
            Change::Silence { silent: true, .. } => self.create(&relative).flags |= SILENT,
            Change::Silence { silent: false, .. } => {
                if let Some(draft) = self.draft(&relative) {
                    draft.flags &= !SILENT;
                }
                self.drop_if_gone(relative);
            }
            Change::Apart { .. } => {
                self.draft(&relative);
                self.apart.insert(relative);
            }
        }
    }

    fn relative(&self, owner: &Name) -> Option<Vec<u8>> {
        let mut folded = owner.as_wire().to_ascii_lowercase();
        folded.truncate(front_of(&folded, &self.table.apex.wire)?);
        Some(folded)
    }

    /// Signatures replace those of the types they cover.
    fn set(&mut self, relative: Vec<u8>, rrset: &RRset) {
        let rdata = sorted(rrset.rtype, rrset.rdata.iter().map(Vec::as_slice));
        if rdata.is_empty() {
            return self.remove(relative, rrset.rtype);
        }
        let slot = |rdata: &[u8]| Slot::of(rrset.rtype, rdata);
        for set in rdata.chunk_by(|a, b| slot(a) == slot(b)) {
            let slot = slot(set[0]);
            if wire_size(set) > RRSET_MAX {
                self.edit(&relative, |draft| draft.remove(slot));
                continue;
            }
            let table = self.table;
            let draft = self.create(&relative);
            let before = draft.flags;
            draft.set(slot, rrset.ttl, set.iter().copied(), &table.apex.wire);
            let after = draft.flags;
            self.note_cover(relative.clone(), before, after);
        }
    }

    fn remove(&mut self, relative: Vec<u8>, rtype: Type) {
        self.edit(&relative, |draft| match rtype {
            Type::RRSIG => draft.remove_signatures(),
            _ => draft.remove(Slot::plain(rtype)),
        });
    }

    /// Takes something away from a node, if it is there, and the node, if that was all.
    fn edit(&mut self, relative: &[u8], take: impl FnOnce(&mut Draft)) {
        let Some(draft) = self.draft(relative) else { return };
        let before = draft.flags;
        take(draft);
        let after = draft.flags;
        self.note_cover(relative.to_vec(), before, after);
        self.drop_if_gone(relative.to_vec());
    }

    fn note_cover(&mut self, relative: Vec<u8>, before: u8, after: u8) {
        if covers(&relative, before) != covers(&relative, after) {
            self.covers.insert(relative);
        }
    }

    /// The node as it stands after the changes made so far, to be changed.
    fn draft(&mut self, relative: &[u8]) -> Option<&mut Draft> {
        if !self.touched.contains_key(relative) {
            let draft = self.stored(relative).map(Draft::of);
            self.touched.insert(relative.to_vec(), draft);
        }
        self.touched.get_mut(relative)?.as_mut()
    }

    fn stored(&self, relative: &[u8]) -> Option<Raw<'t>> {
        Some(self.table.find(relative, self.table.hash_of(relative))?.raw)
    }

    /// The node of `relative`, made if need be with all names above it.
    fn create(&mut self, relative: &[u8]) -> &mut Draft {
        let mut missing = Vec::new();
        let mut front = 0;
        while self.draft(&relative[front..]).is_none() {
            missing.push(front);
            match relative.get(front) {
                Some(&label) => front += usize::from(label) + 1,
                None => break,
            }
        }
        for front in missing.into_iter().rev() {
            let name = &relative[front..];
            if let Some((label, above)) = split_label(name)
                && let Some(parent) = self.draft(above)
            {
                parent.children += u32::from(!above.is_empty());
                if label == b"\x01*" {
                    parent.flags |= WILDCARD;
                }
            }
            self.touched.insert(name.to_vec(), Some(Draft::default()));
            self.created.insert(name.to_vec());
        }
        self.touched.entry(relative.to_vec()).or_default().get_or_insert_default()
    }

    /// Takes the name away if nothing keeps it, and then its ancestors for which that was the last reason to be.
    fn drop_if_gone(&mut self, relative: Vec<u8>) {
        let mut name = &relative[..];
        while let Some((label, above)) = split_label(name) {
            let Some(draft) = self.draft(name) else { return };
            if !draft.is_empty() || draft.children > 0 || draft.flags & SILENT != 0 {
                return;
            }
            self.touched.insert(name.to_vec(), None);
            if let Some(parent) = self.draft(above) {
                parent.children = parent.children.saturating_sub(u32::from(!above.is_empty()));
                if label == b"\x01*" {
                    parent.flags &= !WILDCARD;
                }
            }
            name = above;
        }
    }

    /// Sets or clears the flag of the new names and of all names below a changed cut or DNAME.
    fn flag_covered(&mut self) {
        let mut names = std::mem::take(&mut self.created);
        let covers = std::mem::take(&mut self.covers);
        let is_below = |name: &[u8]| ancestors(name).any(|above| covers.contains(above));
        // The children of the apex are not counted: it always has some.
        let parents =
            covers.iter().any(|name| name.is_empty() || self.draft(name).is_some_and(|draft| draft.children > 0));
        if parents {
            names.extend(self.touched.keys().filter(|name| is_below(name)).cloned());
            let nodes = self.table.shards().flat_map(Shard::nodes);
            names.extend(nodes.map(|raw| raw.relative()).filter(|name| is_below(name)).map(<[u8]>::to_vec));
        }
        for name in names {
            let under = ancestors(&name).any(|above| self.is_cover(above));
            if let Some(draft) = self.draft(&name) {
                draft.flags = if under { draft.flags | UNDER } else { draft.flags & !UNDER };
            }
        }
    }

    fn is_cover(&self, relative: &[u8]) -> bool {
        let flags = match self.touched.get(relative) {
            Some(draft) => draft.as_ref().map_or(0, |draft| draft.flags),
            None => self.stored(relative).map_or(0, Raw::flags),
        };
        covers(relative, flags)
    }

    fn finish(self) -> Table {
        let table = self.table;
        let (mut names, mut records) = (table.names, table.records);
        let mut shards: BTreeMap<usize, Rewrites> = BTreeMap::new();
        let (mut apart, mut free) = (BTreeMap::new(), table.apart.end());
        for (relative, draft) in self.touched {
            let hash = table.hash_of(&relative);
            let old = table.find(&relative, hash).map(|node| node.raw);
            let mut bytes = Vec::new();
            if let Some(draft) = &draft {
                draft.write(&relative, &mut bytes);
                names += 1;
                records += draft.record_count();
            }
            if let Some(old) = old {
                names -= 1;
                records -= old.record_count();
            }
            let spot = table.spot_of(&relative, hash);
            if !bytes.is_empty()
                && let Some(spot) = spot
            {
                apart.insert(spot, bytes);
                continue;
            }
            if let Some(spot) = spot {
                apart.insert(spot, Vec::new());
            } else if !bytes.is_empty() && self.apart.contains(&relative) {
                let mut here = Vec::new();
                Raw::write_spot(&relative, free, &mut here);
                apart.insert(free, std::mem::replace(&mut bytes, here));
                free.0 += 1;
            }
            if old.map_or(&[][..], |old| &old.0[..old.length()]) != bytes {
                shards.entry(shard_index(hash, table.shard_bits)).or_default().insert(relative, (hash, bytes));
            }
        }
        let apart = if apart.is_empty() { table.apart.clone() } else { table.apart.with(&apart) };
        if shards.is_empty() {
            return Table { records, apart, ..table.clone() };
        }
        if names >> table.shard_bits > CROWDED {
            let spread = spread(table, shards.into_values().flatten().collect(), names, records);
            return Table { apart, ..spread };
        }
        let mut rows = table.rows.to_vec();
        for same_row in shards.into_iter().collect::<Vec<_>>().chunk_by(|a, b| table.place(a.0).0 == table.place(b.0).0)
        {
            let row = table.place(same_row[0].0).0;
            let mut copy: Vec<Shard> = rows[row].to_vec();
            for (index, changed) in same_row {
                let column = table.place(*index).1;
                copy[column] = rewritten(table, &copy[column], changed);
            }
            rows[row] = Row::from(copy);
        }
        Table { rows: rows.into(), names, records, apart, ..table.clone() }
    }
}

/// The shard with the changed nodes in place of, or beside, the old ones.
fn rewritten(table: &Table, shard: &Shard, changed: &Rewrites) -> Shard {
    let mut nodes: Vec<(u64, &[u8], &[u8])> = shard
        .nodes()
        .filter(|raw| !changed.contains_key(raw.relative()))
        .map(|raw| (table.hash_of(raw.relative()), raw.relative(), raw.0))
        .chain(changed.iter().map(|(name, (hash, bytes))| (*hash, &name[..], &bytes[..])))
        .filter(|(_, _, bytes)| !bytes.is_empty())
        .collect();
    nodes.sort_unstable_by_key(|&(hash, name, _)| (hash, name));
    let mut data = Vec::new();
    let mut placed: Vec<Placed> = Vec::with_capacity(nodes.len());
    for (hash, _, bytes) in nodes {
        placed.push((hash, data.len()..data.len() + bytes.len()));
        data.extend_from_slice(bytes);
    }
    Shard::build(&placed, &data)
}

/// The whole table over as many shards as it needs now.
fn spread(table: &Table, changed: Rewrites, names: usize, records: usize) -> Table {
    let old = table
        .shards()
        .flat_map(Shard::nodes)
        .map(|raw| (raw.relative().to_vec(), (table.hash_of(raw.relative()), raw.0.to_vec())));
    let mut all: Rewrites = old.collect();
    all.extend(changed);
    let mut nodes: Vec<_> = all.into_iter().filter(|(_, (_, bytes))| !bytes.is_empty()).collect();
    nodes.sort_by_key(|&(_, (hash, _))| hash);
    let mut shards = Shards::new(names);
    for (_, (hash, bytes)) in nodes {
        shards.push(hash, |data| data.extend_from_slice(&bytes));
    }
    shards.finish(Arc::clone(&table.apex), records)
}

/// True for what the order of names or hashes is made of.
fn moves_denial(change: &Change) -> bool {
    let rtype = match change {
        Change::Set { rrset, .. } => rrset.rtype,
        Change::Remove { rtype, .. } => *rtype,
        Change::Silence { .. } | Change::Apart { .. } => return false,
    };
    // NS and DNAME: which names are covered.
    let covers = matches!(rtype, Type::NS | Type::DNAME);
    covers || matches!(rtype, Type::RRSIG | Type::NSEC | Type::NSEC3 | Type::NSEC3PARAM)
}

/// The leftmost label with its length byte, and the name above it; `None` for the apex.
fn split_label(relative: &[u8]) -> Option<(&[u8], &[u8])> {
    relative.split_at_checked(usize::from(*relative.first()?) + 1)
}

/// The names above, the apex last.
fn ancestors(relative: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(split_label(relative), |(_, above)| split_label(above)).map(|(_, above)| above)
}

/// True if names below are no data of the zone. NS at the apex are no cut.
fn covers(relative: &[u8], flags: u8) -> bool {
    flags & (if relative.is_empty() { COVER & !CUT } else { COVER }) != 0
}
