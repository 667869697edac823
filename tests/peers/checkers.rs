//! What Zonemaster and DNSViz say of us: on a tree that is right, nothing; on one with a spoilt signature, just that.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::tool;
use crate::tree::{Tree, run, v4, v6, with_tree};

/// Test cases of Zonemaster left out, with the reason. All others are run, those added in the future too.
const OMITTED: [(&str, &str); 4] = [
    ("address01", "the addresses are private: nothing else may be on an island"),
    ("address02", "nobody delegates reverse zones of private addresses"),
    ("address03", "needs what address02 needs"),
    ("connectivity03", "asks the registries of the real world for the AS of an address"),
];

/// What Zonemaster says of a zone that is not signed, at `NOTICE` and above.
const UNSIGNED: [&str; 2] = ["NEITHER_DNSKEY_NOR_DS", "NOT_SIGNED"];

/// Zonemaster's entries about a zone at `NOTICE` and above, and the test cases that were run.
fn zonemaster(tree: &Tree, zone: &str) -> (Vec<Value>, BTreeSet<String>) {
    let program = tool("zonemaster-cli", "zonemaster-cli");
    let defaults = run(Command::new(&program).args(["--dump-profile", "--no-progress"]));
    let mut profile: Value = serde_json::from_str(&defaults).expect("the default profile");
    let cases = profile["test_cases"].as_array_mut().expect("test cases");
    let before = cases.len();
    cases.retain(|case| OMITTED.iter().all(|(omitted, _)| case != omitted));
    assert_eq!(before - cases.len(), OMITTED.len(), "what is left out is there to be left out");
    let cases: Vec<String> = cases.iter().map(|case| case.as_str().expect("a name").to_owned()).collect();
    let only = serde_json::json!({ "test_cases": cases, "net": { "ipv4": true, "ipv6": true } });
    let profile = tree.write("zonemaster.json", &only.to_string());
    let hints = tree.path("hints");
    let text = run(Command::new(&program).args([
        "--hints",
        &hints,
        "--profile",
        &profile,
        "--level",
        "DEBUG",
        "--json",
        "--raw",
        "--no-progress",
        zone,
    ]));
    let entries: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    // It says when a test case begins, by its name.
    let begun = entries.iter().filter(|entry| entry["tag"] == "TEST_CASE_START");
    let begun = begun.filter_map(|entry| Some(entry["args"]["testcase"].as_str()?.to_ascii_lowercase())).collect();
    let heard = ["NOTICE", "WARNING", "ERROR", "CRITICAL"];
    (entries.into_iter().filter(|entry| heard.iter().any(|level| entry["level"] == *level)).collect(), begun)
}

#[test]
fn zonemaster_finds_nothing() {
    with_tree(|tree| {
        let mut cases = BTreeMap::new();
        // Not the root: whoever says that a TLD does not exist is a recursor to it.
        let zones =
            ["test", "example.test", "kid.example.test", "guest.example.test", "far.example.test", "signed.test"];
        for zone in zones.into_iter().chain(["hashed.test", "plain.signed.test"]) {
            let (found, begun) = zonemaster(tree, zone);
            let is_signed = matches!(zone, "test" | "signed.test" | "hashed.test");
            let expected: &[&str] = if is_signed { &[] } else { &UNSIGNED };
            let tags: BTreeSet<&str> = found.iter().map(|entry| entry["tag"].as_str().expect("a tag")).collect();
            assert_eq!(tags, expected.iter().copied().collect(), "{zone}: {found:#?}");
            cases.insert(zone, begun.len());
        }
        println!("Zonemaster: test cases run by zone: {cases:?}; nothing found");
    });
}

#[test]
fn zonemaster_would_find_something() {
    with_tree(|tree| {
        // Without the DS in the parent that its keys call for, and with one of another key.
        let wrong = "12345,13,2,000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let hints = tree.path("hints");
        let mut command = Command::new(tool("zonemaster-cli", "zonemaster-cli"));
        command.args(["--hints", &hints, "--level", "ERROR", "--json", "--raw", "--no-progress", "--test", "DNSSEC"]);
        for (name, last) in [("ns1", 31), ("ns2", 32)] {
            command.args(["--ns", &format!("{name}.signed.test/{}", v4(last))]);
        }
        let text = run(command.args(["--ds", wrong, "signed.test"]));
        assert!(text.contains("DS02_NO_VALID_DNSKEY_FOR_ANY_DS"), "{text}");
    });
}

/// DNSViz asks all servers of the names and of everything above; what it prints of that.
fn dnsviz(tree: &Tree, names: &[&str]) -> String {
    let anchor = tree.write("anchor", &tree.anchor);
    let roots = [("a", 1), ("b", 2)]
        .map(|(name, last)| format!("{name}.root-servers.={},{name}.root-servers.=[{}]", v4(last), v6(last)));
    let probed = tree.path("dnsviz.json");
    let program = tool("dnsviz", "dnsviz");
    let mut probe = Command::new(&program);
    probe.args(["probe", "-A", "-E", "-x", &format!(".:{}", roots.join(",")), "-o", &probed]).args(names);
    let output = probe.stdin(Stdio::null()).output().expect("dnsviz");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("No global"), "{said}");
    // Debian's dnsviz 0.9.4 looks for the version of pygraphviz where 1.7 has it no more, and gives up.
    let program = program.display();
    let start = format!(
        "import pygraphviz, runpy, sys, types\nif not hasattr(pygraphviz, 'release'):\n    pygraphviz.release = \
         types.SimpleNamespace(version=pygraphviz.__version__)\nsys.argv[0] = '{program}'\nrunpy.run_path('{program}', \
         run_name='__main__')\n"
    );
    let mut print = Command::new("/usr/bin/python3");
    print.arg(tree.write("start-dnsviz.py", &start)).args(["print", "-P", "-t", &anchor, "-r", &probed]);
    run(&mut print)
}

#[test]
fn dnsviz_finds_the_spoilt_signature_alone() {
    with_tree(|tree| {
        let text = dnsviz(
            tree,
            &[
                ".",
                "test",
                "signed.test",
                "hashed.test",
                "bogus.test",
                "example.test",
                "kid.example.test",
                "guest.example.test",
                "far.example.test",
                "plain.signed.test",
                "www.signed.test",
                "any.wild.signed.test",
                "any.wild.hashed.test",
                "b.deep.signed.test",
                "b.deep.hashed.test",
                "chain.signed.test",
                "x.old.signed.test",
                "www.moved.signed.test",
                "big.signed.test",
                "www.example.test",
                "app.example.test",
                "www.bogus.test",
            ],
        );
        // A name stands at the beginning of a line: with the state of its zone and of its delegation, if it is a zone.
        let heads = text.lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>();
        for zone in ["test", "signed.test", "hashed.test", "bogus.test"] {
            assert!(heads.contains(&format!("{zone} [.] [.]").as_str()), "{zone} is secure:\n{text}");
        }
        let insecure =
            ["example.test", "kid.example.test", "guest.example.test", "far.example.test", "plain.signed.test"];
        for zone in insecure {
            assert!(heads.contains(&format!("{zone} [-] [-]").as_str()), "{zone} is insecure:\n{text}");
        }
        let mut name = "";
        let mut complaints = Vec::new();
        for line in text.lines() {
            let said = line.trim_start();
            if !line.starts_with(' ') {
                name = line;
            } else if said.starts_with("E:") || said.starts_with("W:") {
                complaints.push((name, said));
            }
            let is_well = ["[.]", "[-]", "E:", "W:"].iter().any(|mark| said.starts_with(mark));
            assert!(!line.starts_with(' ') || is_well || name == "www.bogus.test", "{name}: {line}\n{text}");
        }
        assert_eq!(complaints, [("www.bogus.test", "E:SIGNATURE_INVALID")], "{text}");
        println!("DNSViz: {} names; nothing found but what was spoilt", heads.len());
    });
}
