//! What the documents promise works: every whole configuration in README.md is one that `check` takes.

use std::path::{Path, PathBuf};

/// One file, whatever its name.
struct One<'a>(&'a str);

impl failoverd::zone::Files for One<'_> {
    fn open(&self, _path: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }

    fn list(&self, _folder: &Path) -> std::io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

/// The configuration in `text`.
///
/// # Panics
/// With every error, as `check` prints them.
pub(crate) fn config(text: &str) -> failoverd::config::Config {
    let environment = |name: &str| Some(format!("value-of-{name}"));
    let read = failoverd::config::read(&One(text), Path::new("failoverd.toml"), &environment, "host");
    read.unwrap_or_else(|errors| panic!("{errors}\n{text}")).config
}

/// The fenced blocks of `language` in `page`.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once(&format!("```{language}\n")) {
        let Some((block, after)) = after.split_once("```") else {
            break;
        };
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

#[test]
fn the_configurations_of_the_readme_are_right() {
    let page = include_str!("../../README.md");
    let whole: Vec<String> = blocks(page, "toml").into_iter().filter(|block| block.contains("contract = 1")).collect();
    assert_eq!(whole.len(), 2, "Vercel → Netlify → GitHub Pages, and three regions");
    for text in whole {
        let config = config(&text);
        assert!(!config.steers.is_empty() && config.steers.iter().all(|steer| steer.rungs.len() == 3));
    }
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "README.md",
        "docs/architecture.md",
        "docs/lexicon.md",
        "docs/life-of-a-query.md",
        "docs/life-of-a-probe.md",
        "docs/verdicts.md",
        "docs/velocity.md",
        "docs/readiness.md",
        "docs/checks.md",
        "docs/protocol.md",
        "docs/contributing.md",
    ] {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or(target);
            let path = root.join(page).parent().expect("a folder").join(file);
            assert!(target.contains("://") || path.exists(), "{page}: `{target}` leads nowhere");
        }
    }
}
