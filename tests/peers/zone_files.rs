//! Zone files that cover every RR type and all syntax load into the same records as in BIND (`named-compilezone`), byte
//! for byte, and Knot (`kzonecheck`) accepts them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use failoverd::dns::{Name, rdata};
use failoverd::zone::Files;
use failoverd::zone::load::{Zone, load};
use failoverd::zone::print::print;

/// Owner in lower case, type, TTL, RDATA.
type Row = (Vec<u8>, u16, u32, Vec<u8>);

/// Files that Knot's parser reads as they are; the others use what it does not know, and are offered as records.
const READ_BY_KNOT: [&str; 4] = ["delegations.zone", "no-ttl.zone", "signed.zone", "types.zone"];

/// The files below this folder.
struct Folder(PathBuf);

impl Files for Folder {
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(File::open(self.0.join(path))?))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(self.0.join(path))
    }
}

fn good_zones() -> (PathBuf, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/zones_good");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".zone")).collect();
    names.sort();
    assert!(names.len() >= 6);
    (folder, names)
}

fn load_in(folder: &Path, file: &str) -> Zone {
    load(&Folder(folder.to_owned()), &Name::absolute("example.com").unwrap(), Path::new(file), &|_| false)
        .unwrap_or_else(|report| panic!("{file}\n{report}"))
}

fn rows(zone: &Zone) -> BTreeSet<Row> {
    let of_node = |owner: Vec<u8>, rrsets: Vec<failoverd::zone::table::RRset>| {
        rrsets.into_iter().flat_map(move |rrset| {
            let owner = owner.clone();
            rrset.rdata.into_iter().map(move |rdata| (owner.clone(), rrset.rtype.0, rrset.ttl, rdata))
        })
    };
    zone.table
        .iter()
        .flat_map(|node| of_node(node.owner().folded().as_wire().to_vec(), node.rrsets().collect()))
        .collect()
}

fn shown(rows: impl IntoIterator<Item = Row>) -> String {
    let mut text = String::new();
    for (owner, rtype, ttl, bytes) in rows {
        let rtype = failoverd::dns::Type(rtype);
        writeln!(text, "{} {ttl} {rtype} {}", Name::from_wire(&owner).unwrap(), rdata::print(rtype, &bytes)).unwrap();
    }
    text
}

/// Runs a tool, or tells how to get it.
fn run(tool: &str, package: &str, arguments: &[&str], folder: &Path) -> Output {
    Command::new(tool).args(arguments).current_dir(folder).output().unwrap_or_else(|error| {
        panic!("{tool}: {error}; install it with: apt-get install -y --no-install-recommends {package}")
    })
}

/// What BIND makes of a file, in its raw format.
fn compile(folder: &Path, file: &str) -> BTreeSet<Row> {
    let out = compile_as(folder, file, "raw=0");
    parse_raw(&out).unwrap_or_else(|| panic!("{file}: {} bytes of raw zone are not as expected", out.len()))
}

fn compile_as(folder: &Path, file: &str, format: &str) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let checks =
        ["-k", "ignore", "-n", "ignore", "-m", "ignore", "-M", "ignore", "-S", "ignore", "-r", "ignore", "-i", "none"];
    let rest = ["-s", "full", "-F", format, "-o", out.to_str().unwrap(), "example.com", file];
    let output = run("named-compilezone", "bind9-utils", &[&checks[..], &rest].concat(), folder);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{file}: named-compilezone says\n{said}");
    fs::read(out).unwrap()
}

/// The raw format, version 0: a head of 12 bytes, then RRsets, each with its length in front.
fn parse_raw(raw: &[u8]) -> Option<BTreeSet<Row>> {
    let mut rows = BTreeSet::new();
    let mut rest = raw.get(12..)?;
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let (rrset, after) = rest.split_at_checked(length)?;
        rest = after;
        // Length, class, type, covered type, TTL, number of records, length of the name.
        let word = |at: usize| Some(u16::from_be_bytes([*rrset.get(at)?, *rrset.get(at + 1)?]));
        let long = |at: usize| Some(u32::from(word(at)?) << 16 | u32::from(word(at + 2)?));
        let (rtype, ttl, count, name) = (word(6)?, long(10)?, long(14)?, usize::from(word(18)?));
        let owner = rrset.get(20..20 + name)?.to_ascii_lowercase();
        let mut records = rrset.get(20 + name..)?;
        for _ in 0..count {
            let (rdata, after) =
                records.get(2..)?.split_at_checked(usize::from(u16::from_be_bytes(*records.first_chunk()?)))?;
            rows.insert((owner.clone(), rtype, ttl, rdata.to_vec()));
            records = after;
        }
    }
    Some(rows)
}

#[test]
fn bind_reads_the_same_records() {
    let (folder, files) = good_zones();
    for file in files {
        let (ours, theirs) = (rows(&load_in(&folder, &file)), compile(&folder, &file));
        let (only_ours, only_theirs) = (ours.difference(&theirs).cloned(), theirs.difference(&ours).cloned());
        assert!(ours == theirs, "{file}\nonly ours:\n{}only BIND's:\n{}", shown(only_ours), shown(only_theirs));
    }
}

#[test]
fn what_bind_prints_is_read_back() {
    let (folder, files) = good_zones();
    for file in files {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("printed.zone"), compile_as(&folder, &file, "text")).unwrap();
        let (ours, back) = (rows(&load_in(&folder, &file)), rows(&load_in(scratch.path(), "printed.zone")));
        let (lost, gained) = (ours.difference(&back).cloned(), back.difference(&ours).cloned());
        assert!(ours == back, "{file}\nlost:\n{}gained:\n{}", shown(lost), shown(gained));
    }
}

#[test]
fn bind_reads_what_we_print() {
    let (folder, files) = good_zones();
    for file in files {
        let zone = load_in(&folder, &file);
        let scratch = tempfile::tempdir().unwrap();
        let mut text = String::new();
        print(&zone.table, &mut text).unwrap();
        fs::write(scratch.path().join("printed.zone"), &text).unwrap();
        let (ours, theirs) = (rows(&zone), compile(scratch.path(), "printed.zone"));
        let (lost, gained) = (ours.difference(&theirs).cloned(), theirs.difference(&ours).cloned());
        assert!(ours == theirs, "{file}\nlost:\n{}gained:\n{}", shown(lost), shown(gained));
    }
}

/// Knot is offered the file where it knows the syntax, and always the records with their RDATA as bytes, which it checks
/// against its own idea of each type.
#[test]
fn knot_accepts_the_same_zones() {
    let (folder, files) = good_zones();
    let accepts = |folder: &Path, file: &str, name: &str| {
        let output = run("kzonecheck", "knot-dnssecutils", &["-v", "-d", "off", "-o", "example.com", file], folder);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{name} ({file}): kzonecheck says\n{said}");
    };
    for file in files {
        if READ_BY_KNOT.contains(&file.as_str()) {
            accepts(&folder, &file, &file);
        }
        let scratch = tempfile::tempdir().unwrap();
        let mut text = String::new();
        for (owner, rtype, ttl, bytes) in rows(&load_in(&folder, &file)) {
            let owner = Name::from_wire(&owner).unwrap();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{owner} {ttl} IN TYPE{rtype} \\# {} {hex}", bytes.len()).unwrap();
        }
        fs::write(scratch.path().join("records.zone"), text).unwrap();
        accepts(scratch.path(), "records.zone", &file);
    }
}
