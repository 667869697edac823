//! The zones that all servers are given: those written down in `zones/`, one folder per run; drawn ones; or those of a
//! folder named by `PEERS_ZONES`. A file whose first line is `; sign: …` is signed before it is served.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use failoverd::answer::Draw;
use failoverd::dns::Name;
use failoverd::zone::Files;
use failoverd::zone::load::load;
use failoverd::zone::table::Table;

use crate::support::tool;

/// Zones of one run, by apex.
pub(super) type Zones = BTreeMap<String, String>;

/// Every `.zone` file of a folder; the apex is the file's name, `root` for the root.
pub(super) fn in_folder(folder: &Path) -> Zones {
    let mut zones = Zones::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "zone") {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a file name of text");
            let apex = if stem == "root" { "." } else { stem };
            let text = fs::read_to_string(&path).expect("a zone file");
            zones.insert(apex.to_owned(), signed_as_told(apex, text));
        }
    }
    zones
}

/// The zones of one of our folders.
pub(super) fn written(name: &str) -> Zones {
    in_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/answers/zones").join(name))
}

/// The name of a zone's file.
pub(super) fn file_name(apex: &str) -> String {
    format!("{}.zone", if apex == "." { "root" } else { apex })
}

pub(super) fn write_all(folder: &Path, zones: &Zones) {
    for (apex, text) in zones {
        fs::write(folder.join(file_name(apex)), text).expect("a zone file");
    }
}

/// The zones as our own loader reads them; those that it refuses as its report.
pub(super) fn tables(zones: &Zones) -> BTreeMap<String, Result<Table, String>> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    write_all(folder.path(), zones);
    let table = |apex: &String| {
        let file = folder.path().join(file_name(apex));
        load(&Disk, &Name::absolute(apex).expect("an apex"), &file, &|_| false)
    };
    zones
        .keys()
        .map(|apex| (apex.clone(), table(apex).map(|zone| zone.table).map_err(|report| report.to_string())))
        .collect()
}

/// The files of the disk.
struct Disk;

impl Files for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(path)?))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }
}

/// How a zone is signed, after its file's first line: `nsec`, `nsec3`, and behind that `optout`, `salt`.
fn signed_as_told(apex: &str, text: String) -> String {
    match text.lines().next().and_then(|line| line.strip_prefix("; sign: ")) {
        Some(how) => sign(apex, &text, how),
        None => text,
    }
}

/// One key for all zones: its public part without the owner, its private part, and its tag.
fn key() -> &'static (String, String, String) {
    static KEY: OnceLock<(String, String, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let output = Command::new(tool("dnssec-keygen", "bind9-utils"))
            .args(["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "key.test"])
            .current_dir(folder.path())
            .output()
            .expect("dnssec-keygen");
        let name = String::from_utf8(output.stdout).expect("text").trim().to_owned();
        let read = |ending: &str| fs::read_to_string(folder.path().join(format!("{name}.{ending}"))).expect("a key");
        let public = read("key");
        let public = public.lines().find(|line| !line.starts_with(';')).expect("a DNSKEY");
        let public = public.split_once(" IN ").expect("an owner").1.to_owned();
        (public, read("private"), name.rsplit_once('+').expect("a tag").1.to_owned())
    })
}

/// Signs a zone with `dnssec-signzone`.
pub(super) fn sign(apex: &str, text: &str, how: &str) -> String {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (public, private, tag) = key();
    let absolute = if apex == "." { ".".to_owned() } else { format!("{apex}.") };
    let name = format!("K{absolute}+013+{tag}");
    fs::write(folder.path().join(format!("{name}.key")), format!("{absolute} IN {public}\n")).expect("a key");
    fs::write(folder.path().join(format!("{name}.private")), private).expect("a key");
    fs::write(folder.path().join("zone"), format!("{text}\n@ IN {public}\n")).expect("a zone");
    let mut command = Command::new(tool("dnssec-signzone", "bind9-utils"));
    command.args(["-q", "-P", "-z", "-O", "full", "-f", "signed", "-o", apex]);
    if how.contains("nsec3") {
        let (salt, iterations) = if how.contains("salt") { ("ab12", "3") } else { ("-", "0") };
        command.args(["-3", salt, "-H", iterations]);
        command.args(how.contains("optout").then_some("-A"));
    }
    let output = command.args(["zone", &name]).current_dir(folder.path()).output().expect("dnssec-signzone");
    assert!(output.status.success(), "{apex}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(folder.path().join("signed")).expect("a signed zone")
}

const SOA: &str = "@ 300 IN SOA ns mail 1 3600 600 86400 60\n@ 300 NS ns\nns 300 A 192.0.2.53\n";

/// Labels of drawn names; few, so that they meet.
pub(super) const LABELS: [&str; 6] = ["a", "b", "c", "*", "a", "B"];

/// Zones `r0.test`, `r1.test`, … of a few records that all servers take, some of them with a zone below them, some signed.
pub(super) fn drawn(seed: u64, count: usize) -> Zones {
    let mut draw = failoverd::answer::Desk::new(seed).draw;
    let mut apexes: Vec<String> = (0..count).map(|index| format!("r{index}.test")).collect();
    for index in 0..count / 6 {
        apexes.push(format!("{}.r{index}.test", ["a", "b", "a.a"][pick(&mut draw, 3)]));
    }
    let texts: Vec<String> = apexes.iter().map(|apex| drawn_zone(&mut draw, apex, &apexes)).collect();
    apexes.into_iter().zip(texts).collect()
}

/// Signs the zones that were drawn to be signed. Apart from [`drawn`], as only zones that load can be signed.
pub(super) fn sign_drawn(zones: &mut Zones) {
    for (apex, text) in zones {
        *text = signed_as_told(apex, std::mem::take(text));
    }
}

pub(super) fn pick(draw: &mut Draw, below: usize) -> usize {
    (draw.number() % below as u64) as usize
}

fn drawn_name(draw: &mut Draw) -> String {
    let depth = if pick(draw, 8) == 0 { 6 } else { pick(draw, 3) + 1 };
    (0..depth).map(|_| LABELS[pick(draw, LABELS.len())]).collect::<Vec<_>>().join(".")
}

fn drawn_zone(draw: &mut Draw, apex: &str, apexes: &[String]) -> String {
    let how = ["; sign: nsec\n", "; sign: nsec3\n", "; sign: nsec3 optout\n"].get(pick(draw, 9)).unwrap_or(&"");
    let mut text = format!("{how}$TTL 300\n{SOA}");
    // Types by owner in lower case.
    let mut owned: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for _ in 0..pick(draw, 12) + 2 {
        let written = if pick(draw, 12) == 0 { "@".to_owned() } else { drawn_name(draw) };
        let owner = written.to_ascii_lowercase();
        let types_drawn =
            ["A", "A", "AAAA", "TXT", "CNAME", "CNAME", "CNAME", "DNAME", "NS", "NS", "MX", "SVCB", "SRV", "DS"];
        let rtype = types_drawn[pick(draw, types_drawn.len())];
        let zone = if pick(draw, 4) == 0 { &apexes[pick(draw, apexes.len())] } else { apex };
        let target = format!("{}.{zone}.", drawn_name(draw));
        let below = |owner: &str, above: &str| {
            above == "@" && owner != "@" || owner.strip_suffix(above).is_some_and(|front| front.ends_with('.'))
        };
        let types = owned.get(&owner).cloned().unwrap_or_default();
        // Nobody loads, or nobody agrees on: CNAME with others, two CNAMEs or DNAMEs, NS or DNAME at a wildcard, data
        // below a DNAME, a DNAME at a cut, DS elsewhere than at a cut, aliases and more NS at an apex.
        let alone = |alone: &str| types.contains(alone) || (rtype == alone && !types.is_empty());
        let is_dname_above = owned.iter().any(|(above, types)| types.contains("DNAME") && below(&owner, above));
        let is_dname_over = rtype == "DNAME" && (owner == "@" || owned.keys().any(|name| below(name, &owner)));
        let is_odd_wildcard = matches!(rtype, "NS" | "DNAME" | "DS") && owner.starts_with('*');
        let is_second = matches!(rtype, "CNAME" | "DNAME") && types.contains(rtype);
        let is_cut_with_dname =
            (rtype == "DNAME" && types.contains("NS")) || (rtype == "NS" && types.contains("DNAME"));
        let is_stray = rtype == "DS" && !types.contains("NS");
        let is_of_no_apex = owner == "@" && matches!(rtype, "CNAME" | "NS" | "DS");
        if alone("CNAME")
            || is_dname_above
            || is_dname_over
            || is_odd_wildcard
            || is_second
            || is_cut_with_dname
            || is_stray
            || is_of_no_apex
        {
            continue;
        }
        let rdata = match rtype {
            "A" => format!("192.0.2.{}", pick(draw, 3)),
            "AAAA" => format!("2001:db8::{}", pick(draw, 3)),
            "TXT" => "text".into(),
            "MX" => format!("{} {target}", pick(draw, 2)),
            "SVCB" => format!("{} {target}", pick(draw, 2)),
            "SRV" => format!("0 0 {} {target}", pick(draw, 2)),
            "DS" => format!("{} 13 2 {}", pick(draw, 3), "ab".repeat(32)),
            _ => target,
        };
        writeln!(text, "{written} {rtype} {rdata}").expect("a string");
        owned.entry(owner).or_default().insert(rtype);
    }
    text
}
