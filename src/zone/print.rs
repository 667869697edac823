//! A table as a master file: canonical order (RFC 4034 §6.1), the SOA first, absolute owners, one record a line. It
//! loads back to equal content.

use std::fmt::{self, Write as _};

use crate::dns::{Name, Type, rdata};
use crate::zone::table::{Node, Table};

/// Writes all records of the zone.
///
/// # Errors
/// Those of `out`.
pub fn print(table: &Table, out: &mut impl fmt::Write) -> fmt::Result {
    let mut names: Vec<Name> = table.iter().map(|node| node.owner()).collect();
    names.sort_unstable();
    let mut line = String::new();
    for name in &names {
        if let Some(node) = table.get(name) {
            print_node(name, &node, &mut line, out)?;
        }
    }
    Ok(())
}

fn print_node(name: &Name, node: &Node<'_>, line: &mut String, out: &mut impl fmt::Write) -> fmt::Result {
    let mut rrsets: Vec<_> = node.rrsets().collect();
    rrsets.sort_by_key(|rrset| (rrset.rtype != Type::SOA, rrset.rtype));
    for rrset in rrsets {
        for bytes in &rrset.rdata {
            line.clear();
            write!(line, "{name}\t{}\tIN\t{}\t", rrset.ttl, rrset.rtype)?;
            rdata::write(rrset.rtype, bytes, line);
            line.push('\n');
            out.write_str(line)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::dns::rdata::tests::any_rdata;
    use crate::zone::Files;
    use crate::zone::load::load;
    use crate::zone::table::Builder;

    /// One file, whatever its name.
    struct One(String);

    impl Files for One {
        fn open(&self, _: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
            Ok(Box::new(self.0.as_bytes()))
        }

        fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
            Ok(path.to_owned())
        }
    }

    fn apex() -> Name {
        Name::absolute("Example.com").unwrap()
    }

    fn printed(table: &Table) -> String {
        let mut text = String::new();
        print(table, &mut text).unwrap();
        text
    }

    #[test]
    fn the_order_is_canonical_and_the_soa_first() {
        let text =
            "@ 1 SOA a. b. 1 2 3 4 5\nz A 192.0.2.1\n@ NS a.\na.z TXT x\nB A 192.0.2.2\nB A 192.0.2.1\n@ A 192.0.2.1\n";
        let zone = load(&One(text.to_owned()), &apex(), Path::new("zone"), &|_| false).unwrap();
        let owners: Vec<String> = printed(&zone.table)
            .lines()
            .map(|line| line.split('\t').filter(|word| !matches!(*word, "IN" | "1")).collect::<Vec<_>>().join(" "))
            .map(|line| line.to_lowercase())
            .collect();
        assert_eq!(
            owners,
            [
                "example.com. soa a. b. 1 2 3 4 5",
                "example.com. a 192.0.2.1",
                "example.com. ns a.",
                "b.example.com. a 192.0.2.1",
                "b.example.com. a 192.0.2.2",
                "z.example.com. a 192.0.2.1",
                "a.z.example.com. txt \"x\"",
            ]
        );
    }

    proptest! {
        /// Records of any type at any name come back as they were.
        #[test]
        fn what_is_printed_loads_to_equal_content(
            records in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..20), 0..=0x7fff_ffff_u32, any_rdata()), 0..20),
        ) {
            let mut builder = Builder::new(apex());
            let soa = rdata::parse(Type::SOA, "a. b. 1 3h 1h 1w 1h", &apex()).unwrap();
            let ns = rdata::parse(Type::NS, "a.", &apex()).unwrap();
            builder.push(&apex(), Type::SOA, 60, &soa).unwrap();
            builder.push(&apex(), Type::NS, 60, &ns).unwrap();
            for (label, ttl, (rtype, rdata)) in &records {
                let alone = matches!(*rtype, Type::CNAME | Type::DNAME | Type::SOA | Type::NS);
                if !alone && rdata::check(*rtype, rdata).is_ok() {
                    builder.push(&apex().child(label).unwrap(), *rtype, *ttl, rdata).unwrap();
                }
            }
            let (table, _) = builder.finish();
            let text = printed(&table);
            let back = load(&One(text.clone()), &apex(), Path::new("zone"), &|_| false);
            let back = back.map_err(|report| TestCaseError::fail(format!("{report}\n{text}")))?;
            prop_assert!(back.table.same_content(&table), "{}\n{}", text, printed(&back.table));
            prop_assert_eq!(back.records, table.records());
        }
    }
}
