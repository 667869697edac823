//! Zone files with realistic mistakes, each with the message a person gets; and good ones, which load.
//!
//! `zones_broken/NN-name.zone` is loaded as `example.com` and compared with `NN-name.txt`. After a change of messages,
//! run with `UPDATE_EXPECT=1` and read the difference.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use failoverd::dns::Name;
use failoverd::dns::schema::ROWS;
use failoverd::zone::Files;
use failoverd::zone::load::{Zone, load};
use failoverd::zone::print::print;
use failoverd::zone::report::Report;

/// The files of this folder, under names relative to it.
struct Folder(PathBuf);

impl Files for Folder {
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(File::open(self.0.join(path))?))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(self.0.join(path))
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

fn zone_files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".zone"))
        .collect();
    names.sort();
    names
}

fn load_in(folder: &Path, file: &str) -> Result<Zone, Report> {
    load(&Folder(folder.to_owned()), &Name::absolute("example.com").unwrap(), Path::new(file), &|_| false)
}

#[test]
fn every_broken_zone_has_its_message() {
    let folder = folder("zones_broken");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    let files = zone_files(&folder);
    assert!(files.len() >= 60, "{} broken zone files", files.len());
    for file in files {
        let (verdict, report) = match load_in(&folder, &file) {
            Ok(zone) => ("loads", zone.report),
            Err(report) => ("refused", report),
        };
        assert!(!report.is_empty(), "{file}: nothing is said");
        let said = format!("{report}, {verdict}\n");
        let expected = folder.join(&file).with_extension("txt");
        if update {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{file} says\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "not as expected (UPDATE_EXPECT=1 writes it down):\n{}", wrong.join("\n"));
}

#[test]
fn every_good_zone_loads_and_prints_to_the_same_content() {
    let folder = folder("zones_good");
    let files = zone_files(&folder);
    let mut missing: Vec<&str> = ROWS.iter().map(|row| row.mnemonic).collect();
    for file in files {
        let zone = load_in(&folder, &file).unwrap_or_else(|report| panic!("{file}\n{report}"));
        let mut text = String::new();
        print(&zone.table, &mut text).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("printed.zone"), &text).unwrap();
        let back = load_in(scratch.path(), "printed.zone").unwrap_or_else(|report| panic!("{file}\n{report}"));
        assert!(back.table.same_content(&zone.table), "{file}");
        assert_eq!((back.serial, back.records), (zone.serial, zone.records), "{file}");
        missing.retain(|mnemonic| !text.contains(&format!("\tIN\t{mnemonic}\t")));
    }
    // BIND has given up MD and MF, so the files that it is to read have none.
    assert_eq!(missing, ["MD", "MF"], "no good zone has these types");
}
