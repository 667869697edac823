//! What absence is proven by in a signed zone: its names in canonical order (NSEC, RFC 4034 §6.1), or the hashes of its
//! names in order (NSEC3, RFC 5155 §3). Both are searched by halves; neither is a copy of the records, which stay with
//! their nodes.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::dns::Type;
use crate::dns::name::NAME_MAX;
use crate::zone::table::{Node, Table};

/// Bytes of a hash of NSEC3: SHA-1, the only one there is (RFC 5155 §11).
pub const HASH_LENGTH: usize = 20;
/// Letters of a hash in base32hex.
const HASH_LETTERS: usize = 32;
/// Bytes of a name and a salt, the most that is hashed at once.
const HASHED_MAX: usize = NAME_MAX + u8::MAX as usize;
/// Bytes of the key of a name: each byte may take two, each label ends in one.
const KEY_MAX: usize = 3 * NAME_MAX;

/// How a signed zone proves that something is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denial {
    /// It has neither NSEC nor a usable NSEC3PARAM: it cannot.
    Unproven,
    Nsec(Names),
    Nsec3(Hashes),
}

impl Denial {
    /// That of a table, if its SOA is signed. NSEC3PARAM goes before NSEC, as in a zone that changes from one to the
    /// other (RFC 5155 §10.4).
    pub(super) fn of(table: &Table) -> Option<Self> {
        let apex = table.apex_node()?;
        apex.signatures(Type::SOA)?;
        if let Some(hashes) = Hashes::of(table, &apex) {
            return Some(Self::Nsec3(hashes));
        }
        let has_nsec = apex.records(Type::NSEC).is_some();
        Some(if has_nsec { Self::Nsec(Names::of(table)) } else { Self::Unproven })
    }

    /// Bytes it keeps allocated.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Unproven => 0,
            Self::Nsec(names) => names.keys.len() + names.ends.len() * size_of::<u32>(),
            Self::Nsec3(hashes) => hashes.salt.len() + hashes.sorted.len() * HASH_LENGTH,
        }
    }
}

/// The names that own NSEC, in canonical order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    /// One [`Key`] behind the other.
    keys: Box<[u8]>,
    /// Where each ends.
    ends: Box<[u32]>,
}

impl Names {
    fn of(table: &Table) -> Self {
        let owners = table.iter().filter(|node| !node.is_under_cut() && node.records(Type::NSEC).is_some());
        let mut sorted: Vec<Box<[u8]>> = owners.map(|node| Key::of(node.relative()).bytes().into()).collect();
        sorted.sort_unstable();
        let (mut keys, mut ends) = (Vec::new(), Vec::new());
        for key in sorted {
            keys.extend_from_slice(&key);
            // 4 GiB of names are more than a table holds.
            ends.push(u32::try_from(keys.len()).unwrap_or(u32::MAX));
        }
        Self { keys: keys.into(), ends: ends.into() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn key(&self, index: usize) -> &[u8] {
        let end = |index: usize| self.ends.get(index).map_or(0, |&end| end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.keys.get(start..end(index)).unwrap_or(&[])
    }

    /// The owner of the NSEC that matches or covers the name, which is folded and relative to the apex of `table`.
    pub fn covering<'t>(&self, table: &'t Table, relative: &[u8]) -> Option<Node<'t>> {
        let key = Key::of(relative);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) <= key.bytes() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // The apex is before every other name, so that there is one in front.
        self.owner(table, low.checked_sub(1)?)
    }

    /// All owners, in order.
    pub fn owners<'t>(&self, table: &'t Table) -> impl Iterator<Item = Node<'t>> {
        (0..self.len()).filter_map(|index| self.owner(table, index))
    }

    fn owner<'t>(&self, table: &'t Table, index: usize) -> Option<Node<'t>> {
        let mut name = [0; NAME_MAX];
        table.at(relative_of(self.key(index), &mut name)?)
    }
}

/// A name as bytes whose plain order is the canonical order of names: labels from the right, each closed by a zero; a
/// zero in a label is `1 2`, a one is `1 3`.
struct Key {
    bytes: [u8; KEY_MAX],
    length: usize,
}

impl Key {
    /// Of a name relative to the apex, folded.
    fn of(relative: &[u8]) -> Self {
        let (mut starts, mut labels, mut at) = ([0_u8; NAME_MAX / 2 + 1], 0, 0);
        while at < relative.len() && labels < starts.len() {
            starts[labels] = at as u8;
            labels += 1;
            at += usize::from(relative[at]) + 1;
        }
        let mut key = Self { bytes: [0; KEY_MAX], length: 0 };
        for &start in starts[..labels].iter().rev() {
            let start = usize::from(start);
            let end = start + 1 + usize::from(relative[start]);
            for &byte in relative.get(start + 1..end).unwrap_or(&[]) {
                match byte {
                    0 | 1 => key.push(&[1, byte + 2]),
                    _ => key.push(&[byte]),
                }
            }
            key.push(&[0]);
        }
        key
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The relative name of a key, written to the end of `into`; `None` for bytes that are no key.
fn relative_of<'n>(key: &[u8], into: &'n mut [u8; NAME_MAX]) -> Option<&'n [u8]> {
    let mut front = NAME_MAX;
    for label in key.split_inclusive(|&byte| byte == 0) {
        let label = label.strip_suffix(&[0])?;
        let escapes = label.iter().filter(|&&byte| byte == 1).count();
        let length = label.len() - escapes;
        front = front.checked_sub(length + 1)?;
        into[front] = u8::try_from(length).ok()?;
        let mut at = front + 1;
        let mut bytes = label.iter();
        while let Some(&byte) = bytes.next() {
            into[at] = if byte == 1 { bytes.next()?.checked_sub(2)? } else { byte };
            at += 1;
        }
    }
    Some(&into[front..])
}

/// The hashes of names that own NSEC3 of the parameters at the apex, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashes {
    /// Times a hash is hashed again.
    pub iterations: u16,
    pub salt: Box<[u8]>,
    sorted: Box<[[u8; HASH_LENGTH]]>,
}

impl Hashes {
    fn of(table: &Table, apex: &Node<'_>) -> Option<Self> {
        let mut parameters = apex.records(Type::NSEC3PARAM)?.rdata();
        // RFC 5155 §4.1.2: NSEC3PARAM with a flag set is to be ignored.
        let (iterations, salt) = parameters.find_map(|rdata| parameters_of(rdata).filter(|_| rdata[1] == 0))?;
        let is_ours = |node: &Node<'_>| {
            let records = node.records(Type::NSEC3);
            records.is_some_and(|records| records.rdata().any(|one| parameters_of(one) == Some((iterations, salt))))
        };
        let owners = table.iter().filter(is_ours);
        let mut sorted: Vec<_> = owners.filter_map(|node| hash_of_owner(node.relative())).collect();
        sorted.sort_unstable();
        (!sorted.is_empty()).then(|| Self { iterations, salt: salt.into(), sorted: sorted.into() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The hash of a full name, given as folded wire (RFC 5155 §5).
    pub fn hash(&self, name: &[u8]) -> [u8; HASH_LENGTH] {
        let mut hashed = self.hash_once(name);
        for _ in 0..self.iterations {
            hashed = self.hash_once(&hashed);
        }
        hashed
    }

    fn hash_once(&self, bytes: &[u8]) -> [u8; HASH_LENGTH] {
        let mut salted = [0; HASHED_MAX];
        let (bytes, end) = (&bytes[..bytes.len().min(NAME_MAX)], bytes.len().min(NAME_MAX) + self.salt.len());
        salted[..bytes.len()].copy_from_slice(bytes);
        salted[bytes.len()..end].copy_from_slice(&self.salt);
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &salted[..end]);
        hash.as_ref().try_into().unwrap_or_default()
    }

    /// The owner of the NSEC3 of exactly this hash.
    pub fn matching<'t>(&self, table: &'t Table, hash: &[u8; HASH_LENGTH]) -> Option<Node<'t>> {
        self.sorted.binary_search(hash).ok()?;
        owner_of_hash(table, hash)
    }

    /// The owner of the NSEC3 in whose gap the hash lies: the one before it, or the last for a hash before the first
    /// (RFC 5155 §7.1: the order goes round).
    pub fn covering<'t>(&self, table: &'t Table, hash: &[u8; HASH_LENGTH]) -> Option<Node<'t>> {
        let before = self.sorted.partition_point(|one| one <= hash);
        owner_of_hash(table, self.sorted.get(before.checked_sub(1).unwrap_or(self.len().checked_sub(1)?))?)
    }

    /// All hashes, in order, with the owners of their NSEC3.
    pub fn owners<'t>(&self, table: &'t Table) -> impl Iterator<Item = (&[u8; HASH_LENGTH], Node<'t>)> + Clone {
        self.sorted.iter().filter_map(|hash| Some((hash, owner_of_hash(table, hash)?)))
    }
}

/// Iterations and salt at the head of the RDATA of NSEC3 and NSEC3PARAM (RFC 5155 §3.2, §4.2), where the hash is SHA-1.
pub(crate) fn parameters_of(rdata: &[u8]) -> Option<(u16, &[u8])> {
    let &[1, _, high, low, length] = rdata.first_chunk()? else {
        return None;
    };
    Some((u16::from_be_bytes([high, low]), rdata.get(5..5 + usize::from(length))?))
}

/// The owner of NSEC3 is one label below the apex: the hash in base32hex (RFC 5155 §3).
fn owner_of_hash<'t>(table: &'t Table, hash: &[u8; HASH_LENGTH]) -> Option<Node<'t>> {
    let mut label = [HASH_LETTERS as u8; 1 + HASH_LETTERS];
    for (five, letters) in hash.chunks_exact(5).zip(label[1..].chunks_exact_mut(8)) {
        let bits = five.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
        for (index, letter) in letters.iter_mut().enumerate() {
            *letter = b"0123456789abcdefghijklmnopqrstuv"[(bits >> (35 - 5 * index)) as usize & 31];
        }
    }
    table.at(&label)
}

/// The hash that a folded relative name says; `None` if it is no such owner.
fn hash_of_owner(relative: &[u8]) -> Option<[u8; HASH_LENGTH]> {
    let (&[length], letters) = relative.split_first_chunk()?;
    if usize::from(length) != HASH_LETTERS || letters.len() != HASH_LETTERS {
        return None;
    }
    let mut hash = [0; HASH_LENGTH];
    for (eight, five) in letters.chunks_exact(8).zip(hash.chunks_exact_mut(5)) {
        let mut bits = 0_u64;
        for &letter in eight {
            let value = match letter {
                b'0'..=b'9' => letter - b'0',
                b'a'..=b'v' => letter - b'a' + 10,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::dns::Name;
    use crate::zone::table::{Builder, Change, RRset};

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes(), Some(&Name::absolute("example").unwrap())).unwrap()
    }

    fn relative(name: &Name) -> Vec<u8> {
        name.strip(&self::name("@")).unwrap().to_ascii_lowercase()
    }

    const SIGNATURE: [u8; 20] = [0, 6, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7];

    /// A signed zone whose NSEC stand at these names.
    fn nsec_zone(names: &BTreeSet<Name>) -> Table {
        let mut builder = Builder::new(name("@"));
        builder.push(&name("@"), Type::SOA, 60, &[0; 22]).unwrap();
        builder.push(&name("@"), Type::RRSIG, 60, &SIGNATURE).unwrap();
        for owner in names.iter().chain([&name("@")]) {
            builder.push(owner, Type::NSEC, 60, &[0, 0, 1, 2]).unwrap();
        }
        builder.finish().0
    }

    fn labels() -> impl Strategy<Value = Name> {
        let label = prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..4),
            proptest::collection::vec(0..3_u8, 1..4),
            Just(b"*".to_vec())
        ];
        proptest::collection::vec(label, 0..5)
            .prop_map(|labels| labels.iter().fold(name("@"), |name, label| name.child(label).unwrap()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn names_are_found_as_by_a_scan(owners in proptest::collection::btree_set(labels(), 0..30), asked in proptest::collection::vec(labels(), 1..30)) {
            let table = nsec_zone(&owners);
            let Some(Denial::Nsec(names)) = table.denial() else { panic!("no NSEC") };
            let all: BTreeSet<Name> = owners.iter().cloned().chain([name("@")]).collect();
            prop_assert_eq!(names.owners(&table).map(|node| node.owner()).collect::<Vec<_>>(), all.iter().cloned().collect::<Vec<_>>());
            for asked in asked.iter().chain(&owners) {
                let naive = all.iter().filter(|owner| *owner <= asked).max().unwrap();
                let found = names.covering(&table, &relative(asked)).unwrap().owner();
                prop_assert_eq!(&found, naive, "{}", asked);
            }
        }

        #[test]
        fn hashes_are_found_as_by_a_scan(owners in proptest::collection::btree_set(any::<[u8; HASH_LENGTH]>(), 1..30), asked in proptest::collection::vec(any::<[u8; HASH_LENGTH]>(), 1..30)) {
            let table = nsec3_zone(owners.iter(), 0, &[]);
            let Some(Denial::Nsec3(hashes)) = table.denial() else { panic!("no NSEC3") };
            for asked in asked.iter().chain(&owners) {
                let naive = owners.iter().filter(|owner| *owner <= asked).max().or(owners.iter().max()).unwrap();
                let found = hash_of_owner(hashes.covering(&table, asked).unwrap().relative()).unwrap();
                prop_assert_eq!(&found, naive);
                prop_assert_eq!(hashes.matching(&table, asked).is_some(), owners.contains(asked));
            }
        }
    }

    fn nsec3_zone<'h>(owners: impl Iterator<Item = &'h [u8; HASH_LENGTH]>, iterations: u16, salt: &[u8]) -> Table {
        let head = [&[1, 0][..], &iterations.to_be_bytes(), &[salt.len() as u8], salt].concat();
        let mut builder = Builder::new(name("@"));
        builder.push(&name("@"), Type::SOA, 60, &[0; 22]).unwrap();
        builder.push(&name("@"), Type::RRSIG, 60, &SIGNATURE).unwrap();
        builder.push(&name("@"), Type::NSEC3PARAM, 60, &head).unwrap();
        for hash in owners {
            // The other half of the way: letters by the book.
            let bits: String = hash.iter().map(|byte| format!("{byte:08b}")).collect();
            let letter = |at: usize| char::from_digit(u32::from_str_radix(&bits[at..at + 5], 2).unwrap(), 32).unwrap();
            let label: String = (0..160).step_by(5).map(letter).collect();
            builder.push(&name(&label), Type::NSEC3, 60, &[&head[..], &[20], &[0; 20]].concat()).unwrap();
        }
        builder.finish().0
    }

    #[test]
    fn hashes_are_those_of_rfc_5155_appendix_a() {
        let table = nsec3_zone([[0; HASH_LENGTH]].iter(), 12, &[0xaa, 0xbb, 0xcc, 0xdd]);
        let Some(Denial::Nsec3(hashes)) = table.denial() else { panic!("no NSEC3") };
        for (text, letters) in [
            ("@", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("ai", "gjeqe526plbf1g8mklp59enfd789njgi"),
            ("ns1", "2t7b4g4vsa5smi47k61mv5bv1a22bojr"),
            ("*.w", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
            ("x.y.w", "2vptu5timamqttgl4luu9kg21e0aor3s"),
        ] {
            let owner = hash_of_owner(&[&[32][..], letters.as_bytes()].concat()).unwrap();
            assert_eq!(hashes.hash(name(text).as_wire()), owner, "{text}");
        }
    }

    #[test]
    fn only_owners_of_the_parameters_at_the_apex_count() {
        let table = nsec3_zone([[7; HASH_LENGTH], [9; HASH_LENGTH]].iter(), 1, b"s");
        let len = |table: &Table| match table.denial() {
            Some(Denial::Nsec3(hashes)) => Some(hashes.len()),
            _ => None,
        };
        assert_eq!(len(&table), Some(2));
        let set = |rtype, rdata: &[u8]| Change::Set {
            owner: name("@"),
            rrset: RRset { rtype, ttl: 60, rdata: vec![rdata.to_vec()] },
        };
        // Flags set, another salt, no SHA-1.
        for other in [&[1, 1, 0, 1, 1, b's'][..], &[1, 0, 0, 1, 1, b't'], &[2, 0, 0, 1, 1, b's'], &[1]] {
            let table = table.with(&[set(Type::NSEC3PARAM, other)]);
            assert_eq!(table.denial(), Some(&Denial::Unproven), "{other:?}");
        }
        let unsigned = table.with(&[Change::Remove { owner: name("@"), rtype: Type::RRSIG }]);
        assert!(!unsigned.is_signed());
        let again = unsigned.with(&[set(Type::RRSIG, &SIGNATURE)]);
        assert_eq!(again.denial(), table.denial());
        assert!(again.get(&name("@")).unwrap().signatures(Type::SOA).is_some());
    }

    #[test]
    fn a_reload_shares_the_order() {
        let owners = BTreeSet::from([name("a"), name("b.a")]);
        let before = nsec_zone(&owners);
        let same = nsec_zone(&owners).sharing(&before);
        let shared = |table: &Table| std::ptr::eq(table.denial().unwrap(), before.denial().unwrap());
        assert!(shared(&same));
        let silent = before.with(&[Change::Silence { owner: name("a"), silent: true }]);
        assert!(shared(&silent));
        let fewer = before.with(&[Change::Remove { owner: name("a"), rtype: Type::NSEC }]);
        let Some(Denial::Nsec(names)) = fewer.denial() else { panic!("no NSEC") };
        assert_eq!(names.owners(&fewer).map(|node| node.owner()).collect::<Vec<_>>(), [name("@"), name("b.a")]);
    }
}
