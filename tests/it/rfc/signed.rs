//! Zones signed elsewhere, from files, and replies in brief: `owner TYPE`, signatures as `owner RRSIG TYPE`.

use std::io;
use std::path::{Path, PathBuf};

use failoverd::dns::Type;
use failoverd::zone::Files;
use failoverd::zone::load::{Report, Zone, load};

use super::world::{Answer, World, name};

/// The names and data of RFC 4035 appendix A, signed with NSEC.
pub(super) const RFC4035: (&str, &str) = ("example", include_str!("zones/rfc4035.zone"));
/// Those of RFC 5155 appendix A, signed with NSEC3, 12 iterations, salt `aabbccdd` and opt-out.
pub(super) const RFC5155: (&str, &str) = ("example", include_str!("zones/rfc5155.zone"));
/// Corners of names, wildcards, aliases and delegations, with NSEC.
pub(super) const NSEC: (&str, &str) = ("nsec.test", include_str!("zones/nsec.zone"));
/// The same with NSEC3 and opt-out.
pub(super) const OPTOUT: (&str, &str) = ("optout.test", include_str!("zones/optout.zone"));

/// One file, whatever its name.
struct One<'t>(&'t str);

impl Files for One<'_> {
    fn open(&self, _: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.into())
    }
}

pub(super) fn load_zone((apex, text): (&str, &str)) -> Result<Zone, Report> {
    load(&One(text), &name(apex), Path::new("zone"), &|_| false)
}

pub(super) fn world(zones: &[(&str, &str)]) -> World {
    World::of(zones.iter().map(|&zone| load_zone(zone).unwrap_or_else(|report| panic!("{report}")).table))
}

/// Records as `owner TYPE`.
pub(super) fn brief(lines: &[String]) -> Vec<String> {
    let of = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        let covered = if words[2] == "RRSIG" { format!(" {}", words[3]) } else { String::new() };
        format!("{} {}{covered}", words[0], words[2])
    };
    lines.iter().map(of).collect()
}

impl Answer {
    /// Compares rcode, answer and authority in brief; the order of the authority section does not matter.
    #[track_caller]
    pub(super) fn is_briefly(&self, rcode: &str, answer: &[&str], authority: &[&str]) {
        let sorted = |lines: &[String]| {
            let mut lines = brief(lines);
            lines.sort();
            lines
        };
        let mut expected: Vec<String> = authority.iter().map(|&line| line.to_owned()).collect();
        expected.sort();
        assert_eq!(
            (self.rcode.as_str(), brief(&self.answer), sorted(&self.authority)),
            (rcode, answer.iter().map(|&line| line.to_owned()).collect(), expected)
        );
    }

    /// Owner, type and, for signatures, the type covered, of all records in their order.
    pub(super) fn rows(&self) -> Vec<(usize, String, String, String)> {
        let sections = [&self.answer, &self.authority, &self.additional];
        let rows =
            sections.iter().enumerate().flat_map(|(section, lines)| lines.iter().map(move |line| (section, line)));
        rows.map(|(section, line)| {
            let words: Vec<&str> = line.split(' ').collect();
            (
                section,
                words[0].to_ascii_lowercase(),
                words[2].to_owned(),
                words.get(3).copied().unwrap_or_default().to_owned(),
            )
        })
        .collect()
    }
}

/// The types that are asked for at every name.
pub(super) const QTYPES: [&str; 14] =
    ["A", "AAAA", "NS", "CNAME", "MX", "TXT", "SOA", "DNAME", "DS", "HTTPS", "RRSIG", "NSEC", "DNSKEY", "ANY"];

/// Every owner of the zone, names above, below and beside.
pub(super) fn names((apex, text): (&str, &str)) -> Vec<String> {
    let mut names = Vec::new();
    let zone = load_zone((apex, text)).unwrap();
    for node in zone.table.iter() {
        let owner = node.owner().to_string();
        for front in ["", "x.", "x.y.", "*.", "zz."] {
            names.push(format!("{front}{owner}"));
        }
    }
    names.retain(|name| failoverd::dns::Name::absolute(name).is_ok());
    names.sort();
    names.dedup();
    names
}

/// True for types that a reply has only for who asks for DNSSEC, or for them.
pub(super) fn is_of_dnssec(rtype: &str) -> bool {
    [Type::RRSIG, Type::NSEC, Type::NSEC3].iter().any(|one| one.to_string() == rtype)
}
