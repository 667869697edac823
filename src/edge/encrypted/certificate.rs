//! The certificate that encrypted transports show: read from files, judged, and renewed while in use.
//!
//! Handshakes take the pair that is in force at that moment; a renewal swaps it whole and interrupts nobody. certbot
//! and its like replace files without telling anyone, so the files are looked at once a minute, whatever `watch` says.
//! A pair that cannot be used never replaces one that can: the old one is shown on, and the trouble is told.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{Config, Tls};
use crate::edge::clock;
use crate::edge::files::{Disk, Looks};
use crate::time::Wall;
use crate::zone::Files;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// From so many days before its end on, a certificate should have been renewed: certbot does at 30.
const DAYS_MIN: i64 = 14;
/// Largest file: chains are a few KiB.
const FILE_MAX: u64 = 1 << 20;
const DAY: i64 = 86_400;

/// Why a pair of files cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfit {
    what: String,
    help: String,
}

/// In one line.
impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.help)
    }
}

impl Unfit {
    fn new(file: &Path, what: impl fmt::Display, help: impl Into<String>) -> Self {
        Self { what: format!("[server.tls] {}: {what}", file.display()), help: help.into() }
    }

    /// As errors of the configuration look.
    pub fn report(&self) -> String {
        format!("error: {}\n  |\n  = help: {}\n\n1 error", self.what, self.help)
    }
}

/// A certificate with its chain and key, fit for use.
#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    not_after: Wall,
}

/// Checks the files that `[server.tls]` names; a warning if the certificate ends soon.
///
/// # Errors
/// Why they cannot be used.
pub fn check(files: &dyn Files, tls: &Tls) -> Result<Option<String>, Unfit> {
    let now = clock::wall();
    let pair = Pair::read(files, tls, now)?;
    Ok(ends_soon(pair.not_after, now).map(|soon| format!("{}: {soon}", tls.certificate.display())))
}

fn ends_soon(not_after: Wall, now: Wall) -> Option<String> {
    let days = (not_after.seconds() - now.seconds()).div_euclid(DAY);
    match days {
        ..0 => Some(format!("the certificate has expired on {not_after}; is its renewal broken?")),
        0..DAYS_MIN => Some(format!("the certificate expires in {days} days, on {not_after}; is its renewal broken?")),
        _ => None,
    }
}

impl Pair {
    fn read(files: &dyn Files, tls: &Tls, now: Wall) -> Result<Self, Unfit> {
        let (chain, pem) = (read(files, &tls.certificate)?, read(files, &tls.key)?);
        let chain = certificates(&tls.certificate, &chain)?;
        let secret = private_key(&tls.key, &pem)?;
        let provider = rustls::crypto::ring::default_provider();
        let not_after = validity(&tls.certificate, chain.first(), now)?;
        let key = certified(tls, chain, secret, &provider)?;
        Ok(Self { key: Arc::new(key), not_after })
    }
}

fn read(files: &dyn Files, path: &Path) -> Result<Vec<u8>, Unfit> {
    let unreadable = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "the user that failoverd runs as must be allowed to read it",
            std::io::ErrorKind::NotFound => "paths are relative to the file they stand in",
            _ => "is it a file?",
        };
        Unfit::new(path, format!("cannot be read: {error}"), help)
    };
    let mut bytes = Vec::new();
    let file = files.open(path).map_err(unreadable)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Unfit::new(path, format!("larger than {FILE_MAX} bytes"), "is it the right file?"));
    }
    Ok(bytes)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| Unfit::new(path, format!("not PEM: {error}"), "is the file whole?"))?;
    if chain.is_empty() {
        let help = if holds(pem, b"PRIVATE KEY-----") {
            "it holds a private key: are `certificate` and `key` exchanged?"
        } else {
            "PEM begins with `-----BEGIN CERTIFICATE-----`; `openssl x509 -inform der` turns DER into it"
        };
        return Err(Unfit::new(path, "holds no certificate", help));
    }
    Ok(chain)
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Unfit> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let help = if holds(pem, b"BEGIN ENCRYPTED PRIVATE KEY") {
            "it is locked by a passphrase, which nobody could give at start: `openssl pkey` takes that away"
        } else if holds(pem, b"BEGIN CERTIFICATE") {
            "it holds a certificate: are `certificate` and `key` exchanged?"
        } else {
            "PEM of a key begins with `-----BEGIN PRIVATE KEY-----`"
        };
        Unfit::new(path, "holds no private key", help)
    })
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// When the certificate ends; it must have begun, and not yet ended.
fn validity(path: &Path, leaf: Option<&CertificateDer<'_>>, now: Wall) -> Result<Wall, Unfit> {
    let leaf = leaf.and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let Some((_, leaf)) = leaf else {
        return Err(Unfit::new(path, "its first certificate is broken", "is the file whole?"));
    };
    let wall = |seconds: i64| Wall::from_millis(seconds.saturating_mul(1000));
    let (from, to) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    if now.seconds() > to {
        return Err(Unfit::new(path, format!("the certificate has expired on {}", wall(to)), "renew it"));
    }
    if now.seconds() < from {
        let what = format!("the certificate is not valid before {}", wall(from));
        return Err(Unfit::new(path, what, "is the clock of this host right?"));
    }
    Ok(wall(to))
}

/// Certificate and key, which must belong together.
fn certified(
    tls: &Tls,
    chain: Vec<CertificateDer<'static>>,
    secret: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Unfit> {
    let signing = provider.key_provider.load_private_key(secret).map_err(|error| {
        Unfit::new(
            &tls.key,
            format!("this private key cannot be used: {error}"),
            "use ECDSA P-256, Ed25519 or RSA 2048",
        )
    })?;
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let what = format!("the private key does not match the first certificate of {}", tls.certificate.display());
            let is_later = pair
                .cert
                .iter()
                .skip(1)
                .any(|other| CertifiedKey::new(vec![other.clone()], Arc::clone(&pair.key)).keys_match().is_ok());
            let help = if is_later {
                "it matches a later one: the certificate of this server stands first, then those that lead to a root"
            } else {
                "both files come from one issuance: take them from the same folder"
            };
            Err(Unfit::new(&tls.key, what, help))
        }
        Err(error) => Err(Unfit::new(&tls.certificate, format!("cannot be used: {error}"), "is the file whole?")),
    }
}

/// The pair in force, as every handshake asks for it.
#[derive(Debug)]
pub struct Certificates {
    pair: RwLock<Arc<Pair>>,
    kept: Mutex<Kept>,
}

/// How the files were when they were last read.
#[derive(Debug)]
struct Kept {
    tls: Tls,
    looks: Looks,
    trouble: Option<Unfit>,
    /// When the log last told that the certificate ends soon.
    warned: Option<Wall>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn load(tls: &Tls) -> Result<Arc<Self>, Unfit> {
        let disk = Disk::default();
        let pair = Pair::read(&disk, tls, clock::wall())?;
        let kept = Kept { tls: tls.clone(), looks: disk.looks(), trouble: None, warned: None };
        Ok(Arc::new(Self { pair: RwLock::new(Arc::new(pair)), kept: Mutex::new(kept) }))
    }

    /// Keeps the pair up to date: looks at the files at each new configuration and once a minute.
    pub async fn keep(self: Arc<Self>, mut configs: watch::Receiver<Arc<Config>>) {
        let mut is_over = false;
        loop {
            let is_new = tokio::select! {
                changed = configs.changed(), if !is_over => {
                    is_over = changed.is_err();
                    true
                }
                () = sleep(LOOK) => false,
            };
            let tls = configs.borrow_and_update().server.encrypted.tls.clone();
            let this = Arc::clone(&self);
            let looked = spawn_blocking(move || this.look(tls, is_new)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "looking at the certificate broke down; this is a defect of failoverd");
            }
        }
    }

    /// Reads the files again if they have changed, are others now, or are to be read anyway. A configuration without
    /// certificate changes nothing: its listeners are there until the next start.
    fn look(&self, tls: Option<Tls>, anyway: bool) {
        let now = clock::wall();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let tls = tls.unwrap_or_else(|| kept.tls.clone());
        let is_other = (&tls.certificate, &tls.key) != (&kept.tls.certificate, &kept.tls.key);
        if anyway || is_other || kept.looks.now() != kept.looks {
            let disk = Disk::default();
            let read = Pair::read(&disk, &tls, now);
            (kept.tls, kept.looks) = (tls, disk.looks());
            match read {
                Ok(pair) => self.adopt(pair, &mut kept),
                Err(unfit) => {
                    tracing::error!("the certificate before is shown on: {unfit}");
                    kept.trouble = Some(unfit);
                }
            }
        }
        if let Some(soon) = ends_soon(self.not_after(), now)
            && kept.warned.is_none_or(|warned| now.seconds() - warned.seconds() >= DAY)
        {
            kept.warned = Some(now);
            tracing::warn!("{}: {soon}", kept.tls.certificate.display());
        }
    }

    fn adopt(&self, pair: Pair, kept: &mut Kept) {
        kept.trouble = None;
        let mut in_force = self.pair.write().unwrap_or_else(PoisonError::into_inner);
        if in_force.key.cert != pair.key.cert {
            kept.warned = None;
            tracing::info!(
                "{}: a new certificate is shown, valid until {}",
                kept.tls.certificate.display(),
                pair.not_after
            );
        }
        *in_force = Arc::new(pair);
    }

    fn pair(&self) -> Arc<Pair> {
        Arc::clone(&self.pair.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the certificate in force ends.
    pub fn not_after(&self) -> Wall {
        self.pair().not_after
    }

    /// What is wrong with the certificate, in a line each.
    pub fn trouble(&self) -> Vec<String> {
        let trouble = self.kept.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone();
        let unfit = trouble.map(|unfit| format!("the certificate before is shown on: {unfit}"));
        unfit.into_iter().chain(ends_soon(self.not_after(), clock::wall())).collect()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair().key))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate of these years and its key, both PEM.
    fn pair(from: i32, to: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["ns.test".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(certificate: &str, key: &str) -> Self {
            let folder = Self(tempfile::tempdir().expect("a folder"));
            folder.write(certificate, key);
            folder
        }

        fn write(&self, certificate: &str, key: &str) {
            fs::write(self.0.path().join("certificate.pem"), certificate).expect("written");
            fs::write(self.0.path().join("key.pem"), key).expect("written");
        }

        fn tls(&self) -> Tls {
            let path = |name: &str| self.0.path().join(name);
            Tls { certificate: path("certificate.pem"), key: path("key.pem"), https_path: "/dns-query".to_owned() }
        }

        fn check(&self) -> Result<Option<String>, Unfit> {
            check(&Disk::default(), &self.tls())
        }
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_told_with_its_file() {
        let ((good, key), (other, _)) = (pair(2020, 2090), pair(2020, 2090));
        for (certificate, secret, file, what, help) in [
            ("", &*key, "certificate.pem", "holds no certificate", "PEM begins with"),
            ("no", &key, "certificate.pem", "holds no certificate", "PEM begins with"),
            (&key, &good, "certificate.pem", "holds no certificate", "exchanged"),
            (&good[..200], &key, "certificate.pem", "not PEM", "whole"),
            (&good, "", "key.pem", "holds no private key", "PEM of a key"),
            (&good, &good, "key.pem", "holds no private key", "exchanged"),
            (&good, &key.replace("BEGIN ", "BEGIN ENCRYPTED "), "key.pem", "holds no private key", "passphrase"),
            (&other, &key, "key.pem", "does not match", "one issuance"),
            (&format!("{other}{good}"), &key, "key.pem", "does not match", "matches a later one"),
            (&pair(2020, 2021).0, &key, "certificate.pem", "has expired on 2021-01-01", "renew"),
            (&pair(2080, 2090).0, &key, "certificate.pem", "not valid before 2080-01-01", "clock"),
        ] {
            let report = Folder::new(certificate, secret).check().expect_err(what).report();
            for part in [file, what, help] {
                assert!(report.contains(part), "no `{part}` in {report}");
            }
        }
        let folder = Folder::new(&good, &key);
        assert_eq!(folder.check(), Ok(None));
        assert_eq!(Folder::new(&format!("{good}{other}"), &key).check(), Ok(None), "a chain");
        fs::remove_file(folder.tls().key).expect("removed");
        assert!(folder.check().expect_err("missing").report().contains("key.pem: cannot be read"));
    }

    #[test]
    fn a_key_that_may_not_be_read_is_told_as_such() {
        let (good, key) = pair(2020, 2090);
        let folder = Folder::new(&good, &key);
        fs::set_permissions(folder.tls().key, fs::Permissions::from_mode(0o0)).expect("set");
        // Root may read everything.
        if let Err(unfit) = folder.check() {
            assert!(unfit.report().contains("the user that failoverd runs as"), "{unfit}");
        }
    }

    #[test]
    fn a_certificate_that_ends_soon_is_worth_a_warning() {
        let at = |day: i64| Wall::from_millis(day * DAY * 1000);
        assert_eq!(ends_soon(at(100), at(100 - DAYS_MIN)), None);
        assert!(ends_soon(at(100), at(90)).expect("a warning").contains("expires in 10 days, on 1970-04-11"));
        assert!(ends_soon(at(100), at(101)).expect("a warning").contains("has expired"));
    }

    #[test]
    fn a_renewed_pair_is_taken_and_a_bad_one_is_not() {
        let ((first, first_key), (second, second_key)) = (pair(2020, 2090), pair(2020, 2080));
        let folder = Folder::new(&first, &first_key);
        let certificates = Certificates::load(&folder.tls()).expect("a good pair");
        let ends = certificates.not_after();
        certificates.look(None, false);
        assert_eq!((certificates.not_after(), certificates.trouble()), (ends, vec![]));
        // Half of a renewal: the certificate is there before its key.
        folder.write(&second, &first_key);
        certificates.look(None, false);
        assert_eq!(certificates.not_after(), ends, "the old one is shown on");
        assert!(certificates.trouble()[0].contains("does not match"), "{:?}", certificates.trouble());
        folder.write(&second, &second_key);
        certificates.look(None, false);
        assert!(certificates.not_after() < ends && certificates.trouble().is_empty());
        // Other files, by another configuration.
        let elsewhere = Folder::new(&first, &first_key);
        certificates.look(Some(elsewhere.tls()), false);
        assert_eq!(certificates.not_after(), ends);
    }
}
