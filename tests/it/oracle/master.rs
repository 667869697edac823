//! Zone files: loaded or refused with places in the file; what is loaded prints to a file that loads to the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use failoverd::dns::Name;
use failoverd::zone::load::{Report, load};
use failoverd::zone::table::Table;
use failoverd::zone::{Files, print};

/// Between two files of one input.
const NEXT_FILE: u8 = 0xff;

/// Files by path.
struct Shelf(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Shelf {
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        let bytes = self.0.get(path).ok_or(std::io::ErrorKind::NotFound)?;
        Ok(Box::new(&bytes[..]))
    }

    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
        self.0.contains_key(path).then(|| path.to_owned()).ok_or(std::io::ErrorKind::NotFound.into())
    }
}

/// A zone file; the files behind a byte of 0xff are called `a`, `b` and so on for `$INCLUDE`.
///
/// # Panics
/// If a place is not in the file, or a zone does not come back.
pub fn any_file(bytes: &[u8]) {
    if makes_too_much(bytes) {
        return;
    }
    let apex = Name::absolute("example.com").expect("a name");
    let named = ["main", "a", "b", "c"].into_iter().zip(bytes.splitn(4, |&byte| byte == NEXT_FILE));
    let shelf = Shelf(named.map(|(name, text)| (Path::new("/z").join(name), text.to_vec())).collect());
    match load(&shelf, &apex, Path::new("/z/main"), &|_| false) {
        Ok(zone) => {
            check_report(&shelf, &zone.report);
            assert_eq!(zone.report.errors(), 0);
            assert_eq!(zone.records, zone.table.records());
            let text = printed(&zone.table);
            let again = Shelf([("/z/main".into(), text.clone().into_bytes())].into());
            let again = load(&again, &apex, Path::new("/z/main"), &|_| false);
            let again = again.unwrap_or_else(|report| panic!("{report}\n{text}"));
            assert!(again.table.same_content(&zone.table) && again.serial == zone.serial, "{text}");
            assert_eq!(printed(&again.table), text);
        }
        Err(report) => {
            check_report(&shelf, &report);
            assert!(report.errors() > 0);
        }
    }
}

/// `$GENERATE` may make a million records of one line, on purpose: nothing to spend a fuzzer's time on.
fn makes_too_much(bytes: &[u8]) -> bool {
    let text = bytes.to_ascii_lowercase();
    let is_digits =
        |window: &[u8]| window[0] == b'-' && window[1..].iter().all(|byte| byte.is_ascii_digit() || *byte == b'+');
    text.windows(9).any(|window| window == b"$generate")
        && (text.windows(5).any(is_digits) || text.windows(8).filter(|window| *window == b"$include").count() > 4)
}

fn printed(table: &Table) -> String {
    let mut text = String::new();
    print::print(table, &mut text).expect("a string takes all");
    text
}

/// Each problem names a file that is there and a line that it has.
fn check_report(shelf: &Shelf, report: &Report) {
    assert_eq!(report.lines().count() > 0, report.errors() + report.warnings() > 0);
    for problem in &report.problems {
        let spot = &problem.spot;
        let bytes = shelf.0.get(&spot.file).unwrap_or_else(|| panic!("no file {}", spot.file.display()));
        let lines = 1 + bytes.iter().filter(|&&byte| byte == b'\n').count();
        assert!(spot.line <= lines, "line {} of {lines}: {}", spot.line, problem.text);
        assert!(spot.source.get(spot.span.0..spot.span.1).is_some(), "{spot:?}");
        assert!(!problem.text.is_empty() && (spot.column > 0) == (spot.line > 0));
    }
}
