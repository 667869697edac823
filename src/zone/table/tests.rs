//! The table against a model that is plainly right: a map of names to sets of records.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

const APEX: &str = "example.com.";

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes(), Some(&Name::absolute(APEX).unwrap())).unwrap()
}

fn soa(serial: u32) -> Vec<u8> {
    let mut rdata = [name("ns").as_wire(), name("mail").as_wire()].concat();
    for number in [serial, 2, 3, 4, 5] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata
}

/// TTL and RDATA by type.
type Sets = BTreeMap<Type, (u32, BTreeSet<Vec<u8>>)>;

/// What should be there: RRsets by name and type, and the silent names.
#[derive(Clone, Default, Debug)]
struct Model {
    sets: BTreeMap<Name, Sets>,
    silent: BTreeSet<Name>,
}

impl Model {
    fn make(&mut self, change: &Change) {
        match change {
            Change::Set { owner, rrset } if rrset.rdata.is_empty() => {
                self.make(&Change::Remove { owner: owner.clone(), rtype: rrset.rtype });
            }
            Change::Set { owner, rrset } => {
                self.sets
                    .entry(owner.clone())
                    .or_default()
                    .insert(rrset.rtype, (rrset.ttl, rrset.rdata.iter().cloned().collect()));
            }
            Change::Remove { owner, rtype } => {
                if let Some(sets) = self.sets.get_mut(owner) {
                    sets.remove(rtype);
                }
                self.sets.retain(|_, sets| !sets.is_empty());
            }
            Change::Silence { owner, silent: true } => drop(self.silent.insert(owner.clone())),
            Change::Silence { owner, silent: false } => drop(self.silent.remove(owner)),
            // Where a name stands shows in no answer.
            Change::Apart { .. } => {}
        }
    }

    fn turn(&mut self, owner: &Name, held: &Holding<'_>) {
        let of = |ipv6: bool| held.addresses.iter().filter(move |address| address.is_ipv6() == ipv6);
        let octets = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let cname = held.cname.map(|target| target.as_wire().to_vec()).into_iter().collect();
        for (rtype, rdata) in [
            (Type::A, of(false).map(octets).collect()),
            (Type::AAAA, of(true).map(octets).collect()),
            (Type::CNAME, cname),
        ] {
            self.make(&Change::Set { owner: owner.clone(), rrset: RRset { rtype, ttl: held.ttl, rdata } });
        }
        self.make(&Change::Silence { owner: owner.clone(), silent: held.silent });
    }

    /// Every name that exists: owners and all that is between them and the apex.
    fn names(&self) -> BTreeSet<Name> {
        let apex = name("@");
        let mut names = BTreeSet::from([apex.clone()]);
        for owner in self.sets.keys().chain(&self.silent) {
            names.extend(
                std::iter::successors(Some(owner.clone()), Name::parent).take_while(|name| name.is_within(&apex)),
            );
        }
        names
    }

    fn owns(&self, owner: &Name, rtype: Type) -> bool {
        self.sets.get(owner).is_some_and(|sets| sets.contains_key(&rtype))
    }

    fn is_cut(&self, owner: &Name) -> bool {
        *owner != name("@") && self.owns(owner, Type::NS)
    }

    fn is_covered(&self, owner: &Name) -> bool {
        let mut above =
            std::iter::successors(owner.parent(), Name::parent).take_while(|above| above.is_within(&name("@")));
        above.any(|above| self.is_cut(&above) || self.owns(&above, Type::DNAME))
    }

    fn agrees(&self, table: &Table) {
        let names = self.names();
        assert_eq!(table.iter().map(|node| node.owner()).collect::<BTreeSet<_>>(), names);
        assert_eq!((table.names(), table.iter().count()), (names.len(), names.len()));
        let mut records = 0;
        for owner in names {
            let node = table.get(&owner).unwrap();
            let sets = self.sets.get(&owner).cloned().unwrap_or_default();
            let expected: Vec<RRset> = sets
                .into_iter()
                .map(|(rtype, (ttl, rdata))| RRset { rtype, ttl, rdata: rdata.into_iter().collect() })
                .collect();
            records += expected.iter().map(|set| set.rdata.len()).sum::<usize>();
            assert_eq!(node.rrsets().collect::<Vec<_>>(), expected, "{owner}");
            assert_eq!(node.is_empty(), expected.is_empty(), "{owner}");
            assert_eq!(node.is_cut(), self.is_cut(&owner), "cut {owner}");
            assert_eq!(node.is_dname(), self.owns(&owner, Type::DNAME), "dname {owner}");
            assert_eq!(node.is_under_cut(), self.is_covered(&owner), "under {owner}");
            assert_eq!(node.has_wildcard(), self.names().contains(&owner.child(b"*").unwrap()), "wildcard {owner}");
            assert_eq!(node.is_silent(), self.silent.contains(&owner), "silent {owner}");
        }
        assert_eq!(table.records(), records);
    }

    fn build(&self) -> Table {
        let mut builder = Builder::new(name("@"));
        for (owner, sets) in self.sets.iter().rev() {
            for (rtype, (ttl, rdata)) in sets {
                for one in rdata.iter().rev() {
                    builder.push(owner, *rtype, *ttl, one).unwrap();
                }
            }
        }
        let (table, oddities) = builder.finish();
        assert_eq!(oddities, []);
        table.with(
            &self.silent.iter().map(|owner| Change::Silence { owner: owner.clone(), silent: true }).collect::<Vec<_>>(),
        )
    }
}

fn owners() -> impl Strategy<Value = Name> {
    proptest::collection::vec(prop_oneof!["a", "b", "\\*", "deep"], 0..4)
        .prop_map(|labels| name(&if labels.is_empty() { "@".into() } else { labels.join(".") }))
}

fn changes() -> impl Strategy<Value = Change> {
    let rtype = prop_oneof![Just(Type::A), Just(Type::NS), Just(Type::DNAME), Just(Type::TXT), Just(Type::CNAME)];
    prop_oneof![
        6 => (owners(), rtype.clone(), 1..3_u32, proptest::collection::vec(0..4_u8, 0..4)).prop_map(|(owner, rtype, ttl, picks)| {
            let rdata = picks.into_iter().map(|pick| match rtype {
                Type::A => vec![192, 0, 2, pick],
                Type::TXT => vec![1, pick],
                _ => name(["ns.a", "b", "@", "x"][usize::from(pick)]).as_wire().to_vec(),
            });
            Change::Set { owner, rrset: RRset { rtype, ttl, rdata: rdata.collect() } }
        }),
        5 => (owners(), rtype).prop_map(|(owner, rtype)| Change::Remove { owner, rtype }),
        1 => (owners(), any::<bool>()).prop_map(|(owner, silent)| Change::Silence { owner, silent }),
    ]
}

/// Who turns, to these addresses or to a name, and if it falls silent.
fn turns() -> impl Strategy<Value = (Name, Vec<IpAddr>, bool)> {
    let address = prop_oneof![
        (0..3_u8).prop_map(|last| IpAddr::from([192, 0, 2, last])),
        (0..3_u16).prop_map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]))
    ];
    (owners(), proptest::collection::vec(address, 0..4), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn changes_agree_with_the_model_and_with_building_anew(batches in proptest::collection::vec(proptest::collection::vec(changes(), 1..8), 1..8)) {
        let (mut model, mut table) = (Model::default(), Model::default().build());
        for batch in batches {
            let before = (table.clone(), model.clone());
            table = table.with(&batch);
            batch.iter().for_each(|change| model.make(change));
            model.agrees(&table);
            before.1.agrees(&before.0);
            let anew = model.build();
            model.agrees(&anew);
            prop_assert!(table.same_content(&anew) && anew.same_content(&table));
            prop_assert_eq!(table.digest(), anew.digest());
            prop_assert!(table.shards().zip(anew.shards()).all(|(a, b)| a.is_equal(b)), "equal content is equal bytes");
            prop_assert_eq!(before.0.same_content(&table), before.1.sets == model.sets);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn names_that_stand_apart_are_like_any_other(batches in proptest::collection::vec((
        proptest::collection::vec(changes(), 1..8),
        proptest::collection::vec(owners(), 0..4),
        proptest::collection::vec(turns(), 0..4),
        any::<bool>(),
    ), 1..8)) {
        let (mut model, mut table) = (Model::default(), Model::default().build());
        let target = name("elsewhere");
        for (changes, apart, mut turns, is_alike) in batches {
            if let Some((_, addresses, silent)) = turns.first().filter(|_| is_alike).cloned() {
                turns.iter_mut().for_each(|turn| (turn.1, turn.2) = (addresses.clone(), silent));
            }
            let before = (table.clone(), model.clone());
            let apart = apart.into_iter().map(|owner| Change::Apart { owner });
            table = table.with(&changes.iter().cloned().chain(apart).collect::<Vec<_>>());
            changes.iter().for_each(|change| model.make(change));
            model.agrees(&table);
            let held = |(owner, addresses, silent): &(Name, Vec<IpAddr>, bool)| {
                let cname = (addresses.is_empty() && !silent).then(|| target.clone());
                Some((table.spot(owner)?, (owner.clone(), addresses.clone(), cname, *silent)))
            };
            let turns: BTreeMap<_, _> = turns.iter().filter_map(held).collect();
            let holding = |(_, addresses, cname, silent): &'_ (Name, Vec<IpAddr>, Option<Name>, bool)| {
                (addresses.clone(), cname.clone(), *silent)
            };
            let parts: Vec<_> = turns.iter().map(|(spot, turn)| (*spot, &turn.0, holding(turn))).collect();
            let turned = parts.iter().map(|(spot, owner, (addresses, cname, silent))| {
                (*spot, *owner, Holding { ttl: 7, addresses, cname: cname.as_ref(), silent: *silent })
            });
            let turned: Vec<_> = turned.collect();
            let next = table.turned(turned.iter().map(|&(spot, _, held)| (spot, held)));
            prop_assert!(next.is_same_but_apart(&table));
            turned.iter().for_each(|(_, owner, held)| model.turn(owner, held));
            table = next;
            model.agrees(&table);
            before.1.agrees(&before.0);
            let anew = model.build();
            prop_assert!(table.same_content(&anew) && anew.same_content(&table));
            prop_assert_eq!(table.digest(), anew.digest());
            prop_assert_eq!(before.0.same_content(&table), before.1.sets == model.sets);
        }
    }
}

#[test]
fn a_turn_copies_one_chunk_and_no_shard() {
    let hosts = hosts(20_000);
    let owner = |number: u32| name(&format!("host{}", number * 2));
    let apart = (0..1000).map(|number| Change::Apart { owner: owner(number) });
    let before = hosts.with(&apart.chain([Change::Apart { owner: name("@") }]).collect::<Vec<_>>());
    assert_eq!((before.names(), before.records(), before.digest()), (hosts.names(), hosts.records(), hosts.digest()));
    let addresses = [IpAddr::from([192, 0, 2, 1])];
    let held = Holding { ttl: 5, addresses: &addresses, cname: None, silent: false };
    let after = before.turned([(before.spot(&owner(777)).unwrap(), held)]).with_serial(Serial(2));
    assert!(after.is_same_but_apart(&before), "all shards are shared");
    let (chunks, shared) = (before.apart.chunk_count(), after.apart.shared_with(&before.apart));
    assert_eq!(chunks, 16);
    assert!(shared >= chunks - 2, "{shared} of {chunks} chunks are shared");
    assert_eq!(after.get(&owner(777)).unwrap().rrset(Type::A).unwrap().rdata, [[192, 0, 2, 1]]);
    assert_eq!((after.soa().unwrap().serial, before.soa().unwrap().serial), (Serial(2), Serial(1)));
    assert!(!after.same_content(&before));
    let all: BTreeMap<_, _> = (0..1000).map(|number| (before.spot(&owner(number)).unwrap(), held)).collect();
    let all = before.turned(all);
    assert!(all.is_same_but_apart(&before));
    assert!((0..1000).all(|number| all.get(&owner(number)).unwrap().rrset(Type::A).unwrap().ttl == 5));
}

#[test]
fn names_that_stand_apart_stay_so_when_the_table_spreads() {
    let small = hosts(10).with(&[Change::Apart { owner: name("host3") }]);
    let added = (0..5000_u32).map(|host| Change::Set {
        owner: name(&format!("new{host}")),
        rrset: RRset { rtype: Type::A, ttl: 5, rdata: vec![host.to_be_bytes().to_vec()] },
    });
    let big = small.with(&added.collect::<Vec<_>>());
    assert!(big.shard_bits > small.shard_bits);
    assert_eq!(big.spot(&name("host3")), small.spot(&name("host3")));
    assert_eq!(big.get(&name("host3")).unwrap().rrset(Type::A).unwrap().rdata, [[0, 0, 0, 3]]);
}

/// `count` hosts with an address each.
fn hosts(count: u32) -> Table {
    let mut builder = Builder::new(name("@"));
    builder.push(&name("@"), Type::SOA, 60, &soa(1)).unwrap();
    for host in 0..count {
        builder.push(&name(&format!("host{host}")), Type::A, 300, &host.to_be_bytes()).unwrap();
    }
    builder.finish().0
}

#[test]
fn a_change_copies_one_shard_and_shares_the_rest() {
    let before = hosts(20_000);
    let owner = name("host777");
    let after = before.with(&[Change::Set {
        owner: owner.clone(),
        rrset: RRset { rtype: Type::A, ttl: 5, rdata: vec![vec![192, 0, 2, 1]] },
    }]);
    assert_eq!(before.shards().zip(after.shards()).filter(|(old, new)| !old.is_same(new)).count(), 1);
    assert_eq!(before.rows.iter().zip(after.rows.iter()).filter(|(old, new)| !Arc::ptr_eq(old, new)).count(), 1);
    assert_eq!(after.get(&owner).unwrap().rrset(Type::A).unwrap().ttl, 5);
    assert_eq!(before.get(&owner).unwrap().rrset(Type::A).unwrap().ttl, 300);
    let same = after.with(&[Change::Remove { owner: name("nobody"), rtype: Type::A }]);
    assert!(Arc::ptr_eq(&same.rows, &after.rows), "a change that changes nothing copies nothing");
}

#[test]
fn a_table_that_grows_spreads_over_more_shards() {
    let small = hosts(10);
    let added: Vec<Change> = (0..5000_u32)
        .map(|host| Change::Set {
            owner: name(&format!("new{host}")),
            rrset: RRset { rtype: Type::A, ttl: 5, rdata: vec![host.to_be_bytes().to_vec()] },
        })
        .collect();
    let big = small.with(&added);
    assert_eq!((big.names(), big.records()), (5011, 5011));
    assert!(big.shard_bits > small.shard_bits);
    assert!((0..5000).all(|host| big.get(&name(&format!("new{host}"))).is_some()));
    let shards = big.shards().count();
    assert!((192..=384).contains(&(big.names() / shards)), "{} names in {shards} shards", big.names());
}

#[test]
fn a_reload_shares_every_equal_shard() {
    let before = hosts(20_000);
    let changed = name("host19999");
    let reloaded = hosts(20_000).with(&[Change::Remove { owner: changed.clone(), rtype: Type::A }]).sharing(&before);
    assert_eq!(before.shards().zip(reloaded.shards()).filter(|(old, new)| !old.is_same(new)).count(), 1);
    assert!(reloaded.get(&changed).is_none());
    assert!(!reloaded.same_content(&before));
}

#[test]
fn a_record_takes_about_as_many_bytes_as_the_head_of_the_file_counts() {
    let table = hosts(100_000);
    let per_name = table.bytes() / table.names();
    assert!((40..=56).contains(&per_name), "{per_name} bytes per name");
}

#[test]
fn the_serial_is_no_content() {
    let table = hosts(10);
    assert_eq!(table.soa().unwrap().serial, Serial(1));
    let next = table.with_serial(Serial(7));
    let soa = next.soa().unwrap();
    assert_eq!((soa.serial, soa.refresh, soa.minimum, soa.ttl, soa.mname), (Serial(7), 2, 5, 60, name("ns")));
    assert!(next.same_content(&table));
    assert_eq!(next.digest(), table.digest());
    let other = next.with(&[Change::Remove { owner: name("host1"), rtype: Type::A }]);
    assert!(!other.same_content(&table));
    assert_ne!(other.digest(), table.digest());
    assert_eq!(Builder::new(name("@")).finish().0.soa(), None);
}

#[test]
fn content_compares_across_layouts() {
    let built = hosts(500);
    let set = |host: u32, ttl| Change::Set {
        owner: name(&format!("host{host}")),
        rrset: RRset { rtype: Type::A, ttl, rdata: vec![host.to_be_bytes().to_vec()] },
    };
    let grown = hosts(10).with(&(10..500).map(|host| set(host, 300)).collect::<Vec<_>>());
    assert_ne!(grown.shard_bits, built.shard_bits);
    assert!(grown.same_content(&built) && built.same_content(&grown));
    assert_eq!(grown.digest(), built.digest());
    assert!(!grown.with(&[set(77, 301)]).same_content(&built));
}

#[test]
fn odd_records_are_told() {
    let mut builder = Builder::new(name("@"));
    for (ttl, rdata) in [(300, [192, 0, 2, 2]), (60, [192, 0, 2, 1]), (300, [192, 0, 2, 2])] {
        builder.push(&name("a"), Type::A, ttl, &rdata).unwrap();
    }
    builder.push(&name("b"), Type::NS, 60, name("NS").as_wire()).unwrap();
    builder.push(&name("b"), Type::NS, 60, name("ns").as_wire()).unwrap();
    for text in 0..300_u16 {
        builder.push(&name("c"), Type::TXT, 60, &[&[255][..], &text.to_be_bytes(), &[0; 253]].concat()).unwrap();
    }
    assert_eq!(builder.push(&Name::absolute("example.org").unwrap(), Type::A, 1, &[0; 4]), Err(PushError::OutOfZone));
    assert_eq!(builder.push(&name("a"), Type::OPT, 1, &[]), Err(PushError::MetaType));
    assert_eq!(builder.push(&name("a"), Type(65_000), 1, &vec![0; 65_536]), Err(PushError::TooLong));
    let (table, oddities) = builder.finish();
    assert_eq!(
        oddities,
        [
            Oddity::MixedTtl { owner: name("a"), rtype: Type::A, lowest: 60 },
            Oddity::Duplicate { owner: name("a"), rtype: Type::A },
            Oddity::Duplicate { owner: name("b"), rtype: Type::NS },
            Oddity::TooLarge { owner: name("c"), rtype: Type::TXT, bytes: 300 * 268 },
        ]
    );
    assert_eq!(table.get(&name("a")).unwrap().rrset(Type::A).unwrap().ttl, 60);
    assert!(table.get(&name("c")).unwrap().is_empty());
}

/// RDATA of a signature of `covered`; `mark` tells one from another.
fn signature(covered: Type, mark: u8) -> Vec<u8> {
    [&covered.0.to_be_bytes()[..], &[13, 2, 0, 0, 0, 60, 0, 0, 0, 9, 0, 0, 0, 1, 0, 7], name("@").as_wire(), &[mark]]
        .concat()
}

#[test]
fn signatures_change_by_the_type_they_cover() {
    let build = |records: &[(Type, u32, Vec<u8>)]| {
        let mut builder = Builder::new(name("@"));
        for (rtype, ttl, rdata) in records {
            builder.push(&name("www"), *rtype, *ttl, rdata).unwrap();
        }
        let (table, oddities) = builder.finish();
        assert_eq!(oddities, [], "signatures of different types may have different TTLs");
        table
    };
    let (a, mx) = (vec![192, 0, 2, 1], [&[0, 5][..], name("@").as_wire()].concat());
    let before = build(&[
        (Type::RRSIG, 30, signature(Type::MX, 1)),
        (Type::A, 60, a.clone()),
        (Type::RRSIG, 60, signature(Type::A, 1)),
        (Type::MX, 30, mx.clone()),
    ]);
    let node = before.get(&name("www")).unwrap();
    assert_eq!(node.types().collect::<Vec<_>>(), [Type::A, Type::MX, Type::RRSIG]);
    assert_eq!(node.signatures(Type::MX).unwrap().ttl(), 30);
    assert_eq!(before.records(), 4);
    let set =
        |rdata: Vec<Vec<u8>>, ttl| Change::Set { owner: name("www"), rrset: RRset { rtype: Type::RRSIG, ttl, rdata } };
    let after = before.with(&[set(vec![signature(Type::A, 3), signature(Type::A, 2), signature(Type::TXT, 1)], 60)]);
    let anew = build(&[
        (Type::A, 60, a.clone()),
        (Type::MX, 30, mx.clone()),
        (Type::RRSIG, 60, signature(Type::TXT, 1)),
        (Type::RRSIG, 60, signature(Type::A, 2)),
        (Type::RRSIG, 30, signature(Type::MX, 1)),
        (Type::RRSIG, 60, signature(Type::A, 3)),
    ]);
    assert!(after.same_content(&anew) && anew.same_content(&after) && !after.same_content(&before));
    assert_eq!((after.digest(), after.records()), (anew.digest(), 6));
    assert!(after.shards().zip(anew.shards()).all(|(a, b)| a.is_equal(b)));
    let unsigned = build(&[(Type::A, 60, a), (Type::MX, 30, mx)]);
    for change in [set(Vec::new(), 60), Change::Remove { owner: name("www"), rtype: Type::RRSIG }] {
        assert!(after.with(&[change]).same_content(&unsigned));
    }
}

#[test]
fn the_root_can_be_an_apex() {
    let mut builder = Builder::new(Name::root());
    builder.push(&Name::absolute("com").unwrap(), Type::NS, 60, Name::absolute("ns.com").unwrap().as_wire()).unwrap();
    builder.push(&Name::absolute("ns.com").unwrap(), Type::A, 60, &[192, 0, 2, 1]).unwrap();
    let (table, _) = builder.finish();
    let com = table.get(&Name::absolute("COM").unwrap()).unwrap();
    assert!(com.is_cut() && table.get(&Name::absolute("ns.com").unwrap()).unwrap().is_under_cut());
    assert_eq!(com.records(Type::NS).unwrap().tails, [0]);
    assert_eq!(table.names(), 3);
}
