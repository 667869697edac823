//! `failoverd init`: a first configuration and zone, commented. Never writes over a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::exit::{Exit, Failure};
use crate::cli::out;
use crate::config;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Folder to write into; made if it is missing
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(super) fn init(Args { folder }: &Args) -> Result<Exit, Failure> {
    let files = [("failoverd.toml", config::template()), ("fo.example.com.zone", config::template_zone())];
    write(folder, &files)?;
    let file = folder.join("failoverd.toml");
    out::print(&format!(
        "wrote {}\n\nnext:\n  edit both files: your zone, your origins\n  failoverd check --config {}\n  failoverd run --config {}\n",
        files.map(|(name, _)| folder.join(name).display().to_string()).join(" and "),
        file.display(),
        file.display()
    ))?;
    Ok(Exit::Ok)
}

/// Writes all files, or none: one that exists stops it before the first is written.
fn write(folder: &Path, files: &[(&str, &str)]) -> Result<(), Failure> {
    if let Some((name, _)) = files.iter().find(|(name, _)| folder.join(name).exists()) {
        return Err(Failure::new(Exit::Usage, format!("{} exists already", folder.join(name).display()))
            .help("nothing was written; name another folder: failoverd init FOLDER"));
    }
    for (name, text) in files {
        let path = folder.join(name);
        one(&path, text)
            .map_err(|error| Failure::new(Exit::Trouble, format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(())
}

fn one(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over_and_nothing_half() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("failoverd.toml", "one"), ("zones/example.zone", "two")];
        write(folder.path(), &files).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("zones/example.zone")).unwrap(), "two");

        fs::remove_file(folder.path().join("failoverd.toml")).unwrap();
        fs::write(folder.path().join("zones/example.zone"), "mine").unwrap();
        let failure = write(folder.path(), &files).unwrap_err();
        assert!(failure.error.contains("example.zone exists already"), "{}", failure.error);
        assert!(!folder.path().join("failoverd.toml").exists());
        assert_eq!(fs::read_to_string(folder.path().join("zones/example.zone")).unwrap(), "mine");
    }
}
