//! Secrets made at the first start: the operator's token and the key that signs alerts; and one that is made at every
//! start, that of cookies.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SecureRandom;

/// Bytes of randomness in each.
const LENGTH: usize = 32;
/// What a Standard Webhooks secret begins with.
const WEBHOOK_PREFIX: &str = "whsec_";

/// Where the operator's token is kept.
pub fn token_path(state: &Path) -> PathBuf {
    state.join("operator.token")
}

/// The operator's token, made if there is none.
///
/// # Errors
/// If it can neither be read nor made.
pub fn token(state: &Path) -> io::Result<String> {
    kept(&token_path(state), |random| random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The key that signs alerts without a secret of their own, made if there is none.
///
/// # Errors
/// If it can neither be read nor made, or is not `whsec_` and base64.
pub fn webhook_key(state: &Path) -> io::Result<Vec<u8>> {
    let path = state.join("webhook.secret");
    let text = kept(&path, |random| format!("{WEBHOOK_PREFIX}{}", BASE64_STANDARD.encode(random)))?;
    let encoded = text.strip_prefix(WEBHOOK_PREFIX).unwrap_or(&text);
    BASE64_STANDARD.decode(encoded).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}; it is to be whsec_BASE64", path.display()))
    })
}

/// The secret of cookies without a secret of their own: the same until the process ends, so that a reload does not
/// forget the clients.
///
/// # Errors
/// If the system gives no randomness.
pub fn cookie_secret() -> io::Result<[u8; 16]> {
    static SECRET: OnceLock<[u8; 16]> = OnceLock::new();
    if let Some(secret) = SECRET.get() {
        return Ok(*secret);
    }
    let random = random()?;
    let secret = random.first_chunk().copied().unwrap_or_default();
    Ok(*SECRET.get_or_init(|| secret))
}

/// The text in a file that only we may read; written whole or not at all.
fn kept(path: &Path, make: impl FnOnce(&[u8; LENGTH]) -> String) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let text = make(&random()?);
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(text)
}

#[expect(clippy::disallowed_types, reason = "the edge draws the randomness that the core is handed")]
fn random() -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let drawn = ring::rand::SystemRandom::new().fill(&mut bytes);
    drawn.map(|()| bytes).map_err(|_| io::Error::other("the system gives no randomness"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_of_cookies_is_random_and_stays() {
        let first = cookie_secret().expect("randomness");
        assert_eq!(first, cookie_secret().expect("randomness"));
        assert_ne!(first, [0; 16]);
    }

    #[test]
    fn secrets_are_made_once_and_for_our_eyes_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = token(folder.path()).expect("a token");
        assert_eq!((first.len(), first == token(folder.path()).expect("a token")), (64, true));
        let key = webhook_key(folder.path()).expect("a key");
        assert_eq!((key.len(), key == webhook_key(folder.path()).expect("a key")), (32, true));
        for name in ["operator.token", "webhook.secret"] {
            let mode = fs::metadata(folder.path().join(name)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
