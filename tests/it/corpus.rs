//! The corpus of the fuzz targets, replayed: each input through the same rules as when it was found.

use std::panic::catch_unwind;
use std::path::Path;

use crate::oracle::TARGETS;

/// Most bytes that all inputs of all targets may take in the project.
const CORPUS_MAX: u64 = 2 << 20;

#[test]
fn every_input_of_the_corpus_keeps_the_rules() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let (mut broken, mut size) = (Vec::new(), 0);
    for (target, check) in TARGETS {
        assert!(home.join(format!("fuzz_targets/{target}.rs")).exists(), "no fuzz target {target}");
        let folder = std::fs::read_dir(home.join("corpus").join(target)).expect("a corpus for each target");
        let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "an empty corpus for {target}");
        for path in paths {
            let bytes = std::fs::read(&path).expect("an input");
            size += bytes.len() as u64;
            if catch_unwind(|| check(&bytes)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(size < CORPUS_MAX, "{size} bytes: `cargo fuzz cmin` makes a corpus smaller");
}
