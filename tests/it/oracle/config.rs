//! Configurations: taken, or refused with words on what is wrong.

use std::path::{Path, PathBuf};

use failoverd::config;
use failoverd::zone::Files;

/// Two files, each its own bytes: `failoverd.toml`, and `more.toml` in the same folder.
struct Two<'b>(&'b [u8], &'b [u8]);

impl Files for Two<'_> {
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        Ok(Box::new(if path.ends_with("more.toml") { self.1 } else { self.0 }))
    }

    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn list(&self, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
        Ok(vec![folder.join("more.toml"), folder.join("failoverd.toml")])
    }
}

/// # Panics
/// If an error says nothing, or names no place in a file.
pub fn any_text(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == 0xff);
    let files = Two(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let env = |name: &str| (name.len() < 4).then(|| "30s".to_owned());
    match config::read(&files, Path::new("failoverd.toml"), &env, "host") {
        Ok(read) => {
            assert!(!read.warnings.iter().any(|warning| warning.is_empty() || warning.contains('\n')));
            assert!(read.config.steers.iter().all(|steer| !steer.rungs.is_empty() && steer.ttl > 0));
        }
        Err(errors) => {
            let text = errors.to_string();
            assert!(errors.len() > 0 && text.contains("error"), "{text}");
            assert!(!errors.styled().is_empty());
        }
    }
}
