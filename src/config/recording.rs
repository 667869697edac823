//! `[server] record` and `record_keep`; and what of a configuration's files may be recorded.

use super::bounds::Section;
use super::errors::{At, Findings, quoted};
use super::value::{Fields, Reading, preset};
use super::{Read, Recording};

/// Least that is of use: a few hours of a small node.
const KEEP_MIN: u64 = 2_000_000;
/// A terabyte.
const KEEP_MAX: u64 = 1_000_000_000_000;
/// Units of a size.
const UNITS: [(&str, u64); 3] = [("MB", 1_000_000), ("GB", 1_000_000_000), ("KB", 1_000)];
/// A token, or a signing secret: what stands for every secret.
pub(crate) const STAND_IN: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A file of a configuration, for the record: secrets in it are made unreadable, environment variables are not filled
/// in.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct FileText {
    pub path: String,
    pub text: String,
}

/// All defaults where nothing is set.
pub(crate) fn presets(of: &'static Section) -> Recording {
    Recording { on: preset(of, "record") == "true", keep: size(preset(of, "record_keep")).unwrap_or(KEEP_MIN) }
}

/// The keys of `[server]`.
pub(crate) fn read(reading: &mut Reading<'_>, of: &'static Section, fields: &Fields<'_>) -> Recording {
    let mut recording = presets(of);
    recording.on = reading.boolean(fields, "record").unwrap_or(recording.on);
    if let Some(text) = reading.text(fields, "record_keep") {
        match size(&text.value) {
            Some(keep) if (KEEP_MIN..=KEEP_MAX).contains(&keep) => recording.keep = keep,
            Some(_) => {
                let what = format!("`record_keep` must be between 2MB and 1000GB, not {}", quoted(&text.value));
                let row = of.row("record_keep");
                reading.found.error(text.at, what).help(row.map_or("", |row| row.reason));
            }
            None => {
                let what = format!("{} is no size", quoted(&text.value));
                reading.found.error(text.at, what).help("sizes look like `500MB` or `2GB`");
            }
        }
    }
    recording
}

/// `256MB` in bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(word, unit)| Some((text.strip_suffix(word)?, unit)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(*unit)
}

impl Read {
    /// The files that it was made of, the named one first, without the secrets in them. Not the zone files.
    pub fn texts(&self) -> Vec<FileText> {
        let sources = (0..).zip(&self.found.sources).map(|(file, source)| FileText {
            path: source.path.clone(),
            text: unmasked(&source.text, self.found.hidden.iter().filter(|(at, _)| at.file == file)),
        });
        sources.chain(self.found.attached.iter().cloned()).collect()
    }
}

/// The text with something readable in place of the stars of secrets, so that it is TOML again.
fn unmasked<'a>(text: &str, hidden: impl Iterator<Item = &'a (At, &'static str)>) -> String {
    let mut places: Vec<_> = hidden.map(|(at, stand_in)| (at.start, at.end, stand_in)).collect();
    places.sort_unstable();
    let (mut whole, mut done) = (String::with_capacity(text.len()), 0);
    for (start, end, stand_in) in places {
        let Some(before) = text.get(done..start) else { continue };
        whole.push_str(before);
        whole.push_str(&format!("\"{stand_in}\""));
        done = end;
    }
    whole.push_str(text.get(done..).unwrap_or(""));
    whole
}

/// A file that a configuration names, for the record. Certificates are public; of all else only the shape is kept, so
/// that it is still read as what it was.
pub(crate) fn attach(found: &mut Findings, path: String, text: &str) {
    let is_public = text.contains("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY");
    let text = if is_public { text.to_owned() } else { text.lines().map(shape).collect::<Vec<_>>().join("\n") };
    found.attached.push(FileText { path, text });
}

fn shape(line: &str) -> String {
    let (prefix, rest) = line.split_at(if line.starts_with("whsec_") { "whsec_".len() } else { 0 });
    let blank = rest.chars().map(|c| if c == '=' || c.is_whitespace() { c } else { 'A' });
    prefix.chars().chain(blank).collect()
}

/// What stands in the place of a file that was not recorded.
pub fn stand_in() -> &'static str {
    STAND_IN
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::zone::Files;

    struct Folder;

    impl Files for Folder {
        fn open(&self, path: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
            let text: &[u8] = match path.to_str() {
                Some("etc/main.toml") => b"contract = 1\n[server]\nrecord = true\n[alert.ops]\nwebhook = \"https://hooks.example.com/x\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n[admin.token.alice]\nsecret_file = \"alice\"\n[server.cookies]\nsecret_file = \"cookies\"\n",
                Some("etc/alice") => b"fedcba9876543210fedcba98\n",
                Some("etc/cookies") => b"e5e973e5a6b2a43f48e7dc849e37bfcf\n",
                _ => return Err(std::io::ErrorKind::NotFound.into()),
            };
            Ok(Box::new(text))
        }

        fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
            Ok(path.to_owned())
        }
    }

    /// The files as they were recorded.
    struct Recorded(Vec<FileText>);

    impl Files for Recorded {
        fn open(&self, path: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
            let file = self.0.iter().find(|file| Path::new(&file.path) == path);
            Ok(Box::new(file.ok_or(std::io::ErrorKind::NotFound)?.text.as_bytes()))
        }

        fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
            Ok(path.to_owned())
        }
    }

    #[test]
    fn no_secret_is_in_the_texts_and_they_are_read_again() {
        let read = |files: &dyn Files| super::super::read(files, Path::new("etc/main.toml"), &|_| None, "host");
        let first = read(&Folder).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(first.config.server.record.on);
        let texts = first.texts();
        assert_eq!(texts.len(), 3);
        for secret in ["MfKQ9r8GKYqr", "fedcba98", "e5e973e5", "hooks.example"] {
            assert!(texts.iter().all(|file| !file.text.contains(secret)), "{texts:?}");
        }
        let again = read(&Recorded(texts)).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(again.config.zones, first.config.zones);
        assert_eq!(again.config.alerts.len(), 1);
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("256MB", Some(256_000_000)), ("2 GB", Some(2_000_000_000)), ("1", None), ("MB", None), ("-1MB", None)]
        {
            assert_eq!(size(text), bytes, "{text}");
        }
        assert_eq!(size("99999999999GB"), None);
    }
}
