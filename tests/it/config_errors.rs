//! Broken configurations and what is said about them: `configs_broken/NN-name.toml` beside `NN-name.txt`.
//! `UPDATE_EXPECT=1` writes the messages anew; read them before you keep them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use failoverd::config;
use failoverd::zone::Files;

/// The files of one folder; paths are relative to it, so that messages do not depend on where the project lies.
struct Folder(PathBuf);

impl Files for Folder {
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(fs::File::open(self.0.join(path))?))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.join(path).canonicalize()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(self.0.join(folder))?.map(|entry| entry.map(|entry| folder.join(entry.file_name()))).collect()
    }
}

fn folder(name: &str) -> Folder {
    Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name))
}

/// The environment of all fixtures.
fn env(name: &str) -> Option<String> {
    let set: BTreeMap<&str, &str> = [
        ("PROBE_TOKEN", "s3cret"),
        ("OPS_WEBHOOK", "https://hooks.example.com/T0/B0/secret"),
        ("BAD_WEBHOOK", "hooks.example.com secret"),
        ("TOKEN_WITH_NEWLINE", "s3cret\n"),
    ]
    .into();
    set.get(name).map(|value| (*value).to_owned())
}

fn read(folder: &Folder, file: &str) -> Result<config::Read, config::Errors> {
    config::read(folder, Path::new(file), &env, "host.example")
}

fn fixtures(folder: &Folder) -> Vec<String> {
    let entries = folder.list(Path::new("")).unwrap();
    let mut names: Vec<String> =
        entries.iter().filter_map(|path| path.to_str()?.strip_suffix(".toml").map(str::to_owned)).collect();
    names.sort();
    names
}

#[test]
fn every_broken_configuration_says_what_would_be_right() {
    let folder = folder("configs_broken");
    let names = fixtures(&folder);
    assert!(names.len() >= 60, "{} fixtures", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let Err(errors) = read(&folder, &format!("{name}.toml")) else {
            wrong.push(format!("{name}.toml was accepted"));
            continue;
        };
        let said = format!("{errors}\n");
        let expected = folder.0.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name}.toml now says\n\n{said}"));
        }
        for secret in ["s3cret", "T0/B0", "hunter2", "opensesame"] {
            assert!(!said.contains(secret), "{name}: a secret is shown");
        }
    }
    assert!(wrong.is_empty(), "{}\n\nUPDATE_EXPECT=1 writes the messages anew", wrong.join("\n----\n"));
}

#[test]
fn every_message_names_its_place_and_a_way_out() {
    let folder = folder("configs_broken");
    for name in fixtures(&folder) {
        let said = read(&folder, &format!("{name}.toml")).unwrap_err().to_string();
        for error in said.split("\n\n").filter(|part| part.starts_with("error")) {
            // A file that is no text has no line to show.
            if !error.contains("not UTF-8") {
                assert!(error.contains(" --> "), "{name} has no place:\n{error}");
                assert!(error.contains('^'), "{name} has no caret:\n{error}");
            }
            let way_out = error.contains("help: ") || error.contains("first here");
            assert!(way_out, "{name} has no way out:\n{error}");
        }
    }
}

/// Cutting a good file anywhere, or breaking any one line of it, is an error or a configuration, never a panic.
#[test]
fn no_damage_panics() {
    let good = config::template();
    let folder = tempfile::tempdir().unwrap();
    let files = Folder(folder.path().to_owned());
    let check = |text: &str| {
        fs::write(folder.path().join("f.toml"), text).unwrap();
        if let Err(errors) = read(&files, "f.toml") {
            assert!(errors.len() > 0 && !errors.to_string().is_empty());
        }
    };
    for end in (0..good.len()).filter(|&end| good.is_char_boundary(end)).step_by(3) {
        check(&good[..end]);
    }
    for with in ["", "= 1", "[x", "\"", "{}", "é = [[]]", "\u{0}"] {
        for line in 0..good.lines().count() {
            let broken: Vec<&str> =
                good.lines().enumerate().map(|(place, text)| if place == line { with } else { text }).collect();
            check(&broken.join("\n"));
        }
    }
}

/// Every key with every kind of value: an error or a configuration, never a panic.
#[test]
fn no_value_of_any_key_panics() {
    let folder = tempfile::tempdir().unwrap();
    let files = Folder(folder.path().to_owned());
    let values = [
        "1",
        "-1",
        "99999999999999999999",
        "0xff",
        "1.5",
        "nan",
        "true",
        "false",
        "1979-05-27",
        "\"\"",
        "\"x\"",
        "\"é.example\"",
        "\"5s\"",
        "\"${PROBE_TOKEN}\"",
        "\"${UNSET}\"",
        "\"a${\"",
        "\"::\"",
        "\"http://[\"",
        "\"a:b:c://?\"",
        "[]",
        "[1]",
        "[\"\"]",
        "[[\"x\"]]",
        "{}",
        "{ a = 1 }",
        "{ origin = 1 }",
        "{ all = \"x\" }",
        "{ origin = \"x\", check = false }",
        "[{}]",
        "\'\'\'\nstatus in\'\'\'",
        "[\"\"\"\nstatus \\u00e9 in\"\"\"]",
        "[\"body ~~ \'(\'\"]",
        "[\"127.0.0.1\"]",
    ];
    let mut tried = 0;
    for section in config::bounds::SECTIONS {
        for row in section.rows {
            for value in values {
                let header = match section.header {
                    header if header.starts_with('[') => header.replace("NAME", "x"),
                    _ if section.path == "origin.probe" => "[origin.x.probe]".to_owned(),
                    _ if section.path == "rung" => "[ladder.x.primary]".to_owned(),
                    _ => String::new(),
                };
                fs::write(folder.path().join("f.toml"), format!("{header}\n{} = {value}\n", row.key)).unwrap();
                if let Err(errors) = read(&files, "f.toml") {
                    assert!(errors.to_string().starts_with("error"), "{header} {} = {value}", row.key);
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 2000, "{tried}");
}
