//! A zone file to a table, in one pass; a second pass over the file is made only to say where a finding stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::dns::{Name, Serial, Type, rdata};
use crate::zone::Files;
use crate::zone::check::{self, Finding, Which};
use crate::zone::master::{self, Parsed, Part};
use crate::zone::report::Spot;
use crate::zone::table::{Builder, PushError, Table};

pub use crate::zone::report::{Level, Problem, Report};

/// A zone as it was loaded.
#[derive(Clone, Debug)]
pub struct Zone {
    pub table: Table,
    /// The file's own.
    pub serial: Serial,
    pub records: usize,
    /// When the first of its signatures runs out: seconds since 1970, modulo 2³² (RFC 4034 §3.1.5).
    pub signatures_until: Option<u32>,
    /// Warnings only.
    pub report: Report,
}

/// Loads the zone of `apex` from `file`. Of a `steered` name it is known that it has addresses, whatever the file says.
///
/// # Errors
/// All that is wrong, if there is an error among it.
pub fn load(files: &dyn Files, apex: &Name, file: &Path, steered: &dyn Fn(&Name) -> bool) -> Result<Zone, Report> {
    let mut report = Report::default();
    let mut builder = Builder::new(apex.clone());
    master::read(files, apex, file, &mut report, &mut |parsed, report| {
        if let Some(problem) = misplaced_soa(parsed, apex) {
            report.push(problem);
        } else if let Err(error) = builder.push_wire(parsed.owner, parsed.rtype, parsed.ttl, parsed.rdata) {
            report.push(refused(parsed, apex, error));
        }
    });
    let complete = report.errors() == 0;
    let (table, oddities) = builder.finish();
    let findings = check::check(&table, oddities, complete, steered);
    if !findings.is_empty() {
        locate(files, apex, file, findings, &mut report);
    }
    match table.soa() {
        Some(soa) if report.errors() == 0 => {
            let signatures_until = check::signatures_until(&table);
            Ok(Zone { serial: soa.serial, records: table.records(), signatures_until, table, report })
        }
        _ => Err(report),
    }
}

/// What is wrong with a SOA because of where it stands in the zone.
fn misplaced_soa(parsed: &Parsed<'_>, apex: &Name) -> Option<Problem> {
    if parsed.rtype != Type::SOA {
        return None;
    }
    let owner = parsed.name();
    (owner.is_within(apex) && owner != *apex).then(|| Problem {
        level: Level::Error,
        text: format!("a SOA at `{owner}`, which is not the apex {apex}"),
        help: Some(
            "a zone has one SOA, at its apex; is this the file of another zone, or the $ORIGIN wrong?".to_owned(),
        ),
        spot: parsed.spot(Part::Owner),
    })
}

/// What is wrong with a record that the table does not take.
fn refused(parsed: &Parsed<'_>, apex: &Name, error: PushError) -> Problem {
    let spot = parsed.spot(Part::Owner);
    if error != PushError::OutOfZone {
        return Problem { level: Level::Error, text: error.to_string(), help: None, spot };
    }
    Problem {
        level: Level::Warning,
        text: format!("`{}` is outside the zone {apex} and left out", parsed.name()),
        help: Some(format!("a name without a final dot is completed with the origin; others end in {apex}")),
        spot,
    }
}

/// Reads the files again to find the lines the findings are about, and reports them in the order of these.
fn locate(files: &dyn Files, apex: &Name, file: &Path, findings: Vec<Finding>, report: &mut Report) {
    // By owner, folded.
    let mut wanted: BTreeMap<Vec<u8>, Vec<Search>> = BTreeMap::new();
    for (rank, finding) in findings.into_iter().enumerate() {
        let owner = finding.owner.as_wire().to_ascii_lowercase();
        wanted.entry(owner).or_default().push(Search::new(rank, finding));
    }
    let (mut order, mut owner) = (0, Vec::new());
    master::read(files, apex, file, &mut Report::default(), &mut |parsed, _| {
        owner.clear();
        owner.extend_from_slice(parsed.owner);
        owner.make_ascii_lowercase();
        let Some(searches) = wanted.get_mut(&owner) else { return };
        for rtype in [Some(parsed.rtype), None] {
            for search in searches.iter_mut().filter(|search| search.finding.rtype == rtype) {
                order += 1;
                search.meet(parsed, order);
            }
        }
    });
    let mut found: Vec<Search> = wanted.into_values().flatten().collect();
    found.sort_by_key(|search| (search.spot.as_ref().map_or(0, |(order, _)| *order), search.rank));
    for Search { finding, spot, .. } in found {
        let spot = spot.map_or_else(|| Spot::file(file), |(_, spot)| spot);
        report.push(Problem { level: finding.level, text: finding.text, help: finding.help, spot });
    }
}

/// A finding and what of the file has been met for it.
struct Search {
    /// Which finding it was.
    rank: usize,
    finding: Finding,
    /// TTL of the first record, and the canonical RDATA met so far where that matters.
    first: Option<u32>,
    met: BTreeSet<Vec<u8>>,
    /// Where it stands, and which record of the file that is.
    spot: Option<(usize, Spot)>,
}

impl Search {
    fn new(rank: usize, finding: Finding) -> Self {
        Self { rank, finding, first: None, met: BTreeSet::new(), spot: None }
    }

    fn meet(&mut self, parsed: &Parsed<'_>, order: usize) {
        if self.spot.is_some() {
            return;
        }
        let canonical = || rdata::canonical(parsed.rtype, parsed.rdata).into_owned();
        let ttl = *self.first.get_or_insert(parsed.ttl);
        let meant = match &self.finding.which {
            Which::First => true,
            Which::Second => !self.met.insert(canonical()) || self.met.len() > 1,
            Which::Repeated => !self.met.insert(canonical()),
            Which::OtherTtl => parsed.ttl != ttl,
            Which::Rdata(rdata) => parsed.rdata.eq_ignore_ascii_case(rdata),
        };
        if meant {
            self.spot = Some((order, parsed.spot(self.finding.part)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io;
    use std::path::PathBuf;

    /// Files by path.
    struct Memory(BTreeMap<PathBuf, Vec<u8>>);

    impl Files for Memory {
        fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
            let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(&bytes[..]))
        }

        fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
            let mut canonical = PathBuf::new();
            for part in path.components() {
                match part {
                    std::path::Component::ParentDir => {
                        canonical.pop();
                    }
                    std::path::Component::CurDir => {}
                    part => canonical.push(part),
                }
            }
            if self.0.contains_key(&canonical) { Ok(canonical) } else { Err(io::ErrorKind::NotFound.into()) }
        }
    }

    const HEAD: &str = "$TTL 1h\n@ SOA ns.test. admin.test. 7 2h 1h 4w 1h\n@ NS ns.test.\n";

    fn load_all(files: &[(&str, &str)]) -> Result<Zone, Report> {
        let files = files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect();
        load(&Memory(files), &Name::absolute("example.com").unwrap(), Path::new("/z/main"), &|_| false)
    }

    fn load_body(body: &str) -> Result<Zone, Report> {
        load_all(&[("/z/main", &format!("{HEAD}{body}"))])
    }

    /// The records of a zone as text, without the SOA and NS of the head.
    fn records(zone: &Zone) -> Vec<String> {
        let mut text = String::new();
        crate::zone::print::print(&zone.table, &mut text).unwrap();
        text.lines().skip(2).map(|line| line.replace('\t', " ").replace(".example.com.", "")).collect()
    }

    #[test]
    fn master_files_are_rfc_1035_5() {
        for (body, expected) in [
            ("a A 192.0.2.1\n\tAAAA ::1", vec!["a 3600 IN A 192.0.2.1", "a 3600 IN AAAA ::1"]),
            ("a 5 IN A 192.0.2.1", vec!["a 5 IN A 192.0.2.1"]),
            ("a IN 1m A 192.0.2.1", vec!["a 60 IN A 192.0.2.1"]),
            ("a CLASS1 TYPE1 \\# 4 c0000201", vec!["a 3600 IN A 192.0.2.1"]),
            (
                "$ORIGIN b\na TXT @\n$ORIGIN example.com.\nc CNAME @",
                vec!["a.b 3600 IN TXT \"@\"", "c 3600 IN CNAME example.com."],
            ),
            ("$ORIGIN b.example.com.\n@ PTR @", vec!["b 3600 IN PTR b"]),
            ("$ttl 9\na A 192.0.2.1", vec!["a 9 IN A 192.0.2.1"]),
            ("a MX ( 10 ; first\n  b ) ; last", vec!["a 3600 IN MX 10 b"]),
            ("a TXT \"x;y\" z\\;\\059 \"\\\"\"", vec!["a 3600 IN TXT \"x;y\" \"z;;\" \"\\\"\""]),
            ("\\097\\.b TXT x\r\n TXT y", vec!["a\\.b 3600 IN TXT \"x\"", "a\\.b 3600 IN TXT \"y\""]),
            ("* A 192.0.2.1", vec!["* 3600 IN A 192.0.2.1"]),
            ("$GENERATE 1-2 h$ A 192.0.2.$", vec!["h1 3600 IN A 192.0.2.1", "h2 3600 IN A 192.0.2.2"]),
            ("$GENERATE 1-1 h 5 IN MX \"10 m$\"", vec!["h 5 IN MX 10 m1"]),
            (r#"$GENERATE 1-1 h TXT "\"x $ y\" z""#, vec![r#"h 3600 IN TXT "x 1 y" "z""#]),
        ] {
            let zone = load_body(body).unwrap_or_else(|report| panic!("{body}\n{report}"));
            assert_eq!(records(&zone), expected, "{body}");
            assert_eq!(zone.serial, Serial(7));
        }
    }

    #[test]
    fn an_included_file_hands_origin_and_owner_back() {
        let main = format!("{HEAD}a A 192.0.2.1\n$INCLUDE sub/b sub\n TXT same\nc A 192.0.2.3\n");
        let zone = load_all(&[
            ("/z/main", &main),
            ("/z/sub/b", " TXT mine\nb A 192.0.2.2\n$ORIGIN x\n$TTL 5\n$INCLUDE ../d"),
            ("/z/d", "d TXT x"),
        ]);
        let expected = [
            "a 3600 IN A 192.0.2.1",
            "a 3600 IN TXT \"mine\"",
            "a 3600 IN TXT \"same\"",
            "c 5 IN A 192.0.2.3",
            "b.sub 3600 IN A 192.0.2.2",
            "d.x.sub 5 IN TXT \"x\"",
        ];
        let mut found = records(&zone.unwrap());
        found.sort();
        let mut expected = expected.to_vec();
        // The TTL of the RRset at `a` is mixed after the inclusion: the lowest wins.
        expected[1] = "a 5 IN TXT \"mine\"";
        expected[2] = "a 5 IN TXT \"same\"";
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn inclusion_is_confined_bounded_and_without_circles() {
        for (files, said) in [
            (vec![("/z/main", "$INCLUDE ../etc/passwd"), ("/etc/passwd", "")], "outside the folder"),
            (vec![("/z/main", "$INCLUDE /zz/b"), ("/zz/b", "")], "outside the folder"),
            (vec![("/z/main", "$INCLUDE b"), ("/z/b", "$INCLUDE main")], "includes itself"),
            (vec![("/z/main", "$INCLUDE c")], "cannot open `c`"),
            (vec![("/z/main", "$INCLUDE \"\"")], "an empty file name"),
        ] {
            let report = load_all(&files).unwrap_err().to_string();
            assert!(report.contains(said), "{report}");
        }
        let deep: Vec<(String, String)> = (0..20)
            .map(|at| (format!("/z/{at}"), format!("$INCLUDE {}", at + 1)))
            .chain([("/z/main".into(), "$INCLUDE 0".into())])
            .collect();
        let deep: Vec<(&str, &str)> = deep.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert!(load_all(&deep).unwrap_err().to_string().contains("8 deep"));
    }

    #[test]
    fn all_errors_come_in_one_run() {
        let body: String = (0..80).map(|at| format!("h{at} AA 192.0.2.1\n")).collect();
        let report = load_body(&body).unwrap_err();
        assert_eq!((report.errors(), report.problems.len()), (80, 50));
        assert_eq!(report.problems[49].spot.line, 53);
    }

    #[test]
    fn a_finding_is_told_where_it_stands() {
        let body = "a A 192.0.2.1\na 30 A 192.0.2.2\nb CNAME a\nb TXT x\na A 192.0.2.1\nc MX 5 b\n";
        let report = load_body(body).unwrap_err();
        let told: Vec<_> =
            report.problems.iter().map(|problem| (problem.level, problem.spot.line, problem.spot.column)).collect();
        assert_eq!(
            told,
            [(Level::Warning, 5, 6), (Level::Error, 6, 3), (Level::Warning, 8, 3), (Level::Warning, 9, 6)],
            "{report}"
        );
    }

    #[test]
    fn steered_names_have_addresses() {
        let body = "@ MX 5 www\n@ MX 5 a.app\n@ MX 5 b.c.app\n@ MX 5 there.app\n@ MX 5 gone\nthere.app TXT x\n";
        let files = Memory([(PathBuf::from("/z/main"), format!("{HEAD}{body}").into_bytes())].into());
        let apex = Name::absolute("example.com").unwrap();
        let steered = ["WWW.example.com", "*.app.example.com"].map(|name| Name::absolute(name).unwrap());
        let warned =
            |steered: &dyn Fn(&Name) -> bool| load(&files, &apex, Path::new("/z/main"), steered).unwrap().report;
        assert_eq!(warned(&|_| false).warnings(), 5);
        let report = warned(&|name| steered.contains(name));
        let lines: Vec<usize> = report.problems.iter().map(|problem| problem.spot.line).collect();
        assert_eq!(lines, [7, 8], "{report}");
        assert_eq!(
            report.lines().last().unwrap(),
            "/z/main:8:6: MX points at `gone.example.com.`, which has no address in this zone; add `gone.example.com. A …`"
        );
    }

    #[test]
    fn a_zone_without_soa_or_ns_is_refused() {
        let report = load_all(&[("/z/main", "")]).unwrap_err().to_string();
        assert!(report.contains("no SOA") && report.contains("no NS"), "{report}");
    }

    fn line() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "a",
            "@",
            "*",
            "$TTL",
            "$ORIGIN",
            "$INCLUDE",
            "$GENERATE",
            "main",
            "1-3",
            "h$",
            "60",
            "1h",
            "IN",
            "CH",
            "A",
            "MX",
            "TXT",
            "NS",
            "CNAME",
            "DNAME",
            "SOA",
            "HTTPS",
            "TYPE9",
            "\\#",
            "2",
            "abcd",
            "192.0.2.1",
            "10",
            "b.example.com.",
            "(",
            ")",
            "\"x\"",
            "\"",
            ";",
            "\\",
            "alpn=h2",
            "$",
            "${0,3,n}",
            "\t",
        ]);
        prop_oneof![
            3 => prop::collection::vec(word, 0..9).prop_map(|words| words.join(" ")),
            1 => ".{0,40}",
        ]
    }

    proptest! {
        /// No file makes the loader panic, and every refusal says something.
        #[test]
        fn any_file_is_loaded_or_refused(lines in prop::collection::vec(line(), 0..20), bare in any::<bool>()) {
            let body = lines.join("\n");
            let result = if bare { load_all(&[("/z/main", &body)]) } else { load_body(&body) };
            match result {
                Ok(zone) => prop_assert_eq!(zone.report.errors(), 0),
                Err(report) => prop_assert!(report.errors() > 0 && !report.to_string().is_empty()),
            }
        }

        #[test]
        fn any_bytes_are_loaded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let files = Memory([(PathBuf::from("/z/main"), bytes)].into());
            let result = load(&files, &Name::absolute("example.com").unwrap(), Path::new("/z/main"), &|_| false);
            prop_assert!(result.is_err_and(|report| report.errors() > 0));
        }
    }
}
