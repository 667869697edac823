//! The TLS handshake of a probe: whom it trusts, and the certificate it was shown.
//!
//! Certificates are verified by webpki as any client would. The verifier also writes down what the leaf says, so that
//! the certificate of a failed handshake can be shown to a person.
//!
//! Sessions are never resumed. A resumed handshake shows no certificate and asks for no signature: one that has ended
//! or was exchanged for a wrong one, or a key that is gone, would stay unseen for as long as a ticket lasts. What a
//! full handshake costs instead is bounded by remembering chains that hold ([`super::chains`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::chains::{Chain, Chains};
use super::tcp;
use crate::probe::{Certificate, TroubleKind};

/// Names of what is spoken after a handshake (RFC 7301).
pub(super) const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

/// Which roots are trusted where a check names none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roots {
    /// The system's, and how many.
    System(usize),
    /// The system has none: Mozilla's, as they were when this program was built.
    Compiled(usize),
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(count) => write!(f, "{count} root certificates of the system"),
            Self::Compiled(count) => {
                write!(f, "{count} compiled-in root certificates (the system has none: is ca-certificates installed?)")
            }
        }
    }
}

/// All roots in use: the default ones, and those of the checks that name their own.
pub(super) struct Anchors {
    provider: Arc<CryptoProvider>,
    set: RwLock<Arc<AnchorSet>>,
}

/// The roots as they were at one loading of the files.
struct AnchorSet {
    roots: Roots,
    default: Arc<Trust>,
    /// By the PEM of the check; `None` where it holds no certificate that can be used.
    own: Mutex<BTreeMap<Arc<str>, Option<Arc<Trust>>>>,
}

/// What one check trusts.
#[derive(Debug)]
struct Trust {
    webpki: Arc<WebPkiServerVerifier>,
    /// Certificates trusted as such, not as an authority: a check may name an origin's self-signed one.
    pinned: Vec<CertificateDer<'static>>,
    chains: Chains,
    /// Of every handshake, but for its verifier.
    client: ClientConfig,
}

impl Anchors {
    /// Reads the system's roots, else takes the compiled-in ones.
    pub(super) fn load() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let set = RwLock::new(Arc::new(AnchorSet::load(&provider)));
        Self { provider, set }
    }

    /// Reads the system's roots again; handshakes under way keep theirs.
    pub(super) fn reload(&self) {
        let fresh = Arc::new(AnchorSet::load(&self.provider));
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Which default roots are in use.
    pub(super) fn roots(&self) -> Roots {
        self.set().roots
    }

    fn set(&self) -> Arc<AnchorSet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Prepares the handshake of one probe with `host`, a name or an address, trusting `ca` (PEM) or the default, to
    /// speak `protocol` (RFC 7301), if any.
    ///
    /// # Errors
    /// If `ca` holds no certificate, or `host` can be in none.
    pub(super) fn prepare(
        &self,
        host: &str,
        ca: Option<&Arc<str>>,
        protocol: Option<&[u8]>,
    ) -> Result<Handshake, TroubleKind> {
        let trust = match ca {
            None => Arc::clone(&self.set().default),
            Some(pem) => self
                .set()
                .own(pem, &self.provider)
                .ok_or_else(|| TroubleKind::Tls("the check's ca_file holds no usable certificate".into()))?,
        };
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| TroubleKind::Tls(format!("`{host}` cannot be the name of a server")))?;
        let mut client = trust.client.clone();
        client.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        let recorder = Arc::new(Recorder { trust, shown: Mutex::new(None) });
        client.dangerous().set_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>);
        Ok(Handshake { connector: TlsConnector::from(Arc::new(client)), name, recorder })
    }
}

impl AnchorSet {
    fn load(provider: &Arc<CryptoProvider>) -> Self {
        let mut store = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "a system root certificate cannot be read");
        }
        let (added, _unusable) = store.add_parsable_certificates(system.certs);
        let roots = if added > 0 {
            Roots::System(added)
        } else {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            Roots::Compiled(store.len())
        };
        let default = Trust::new(store, Vec::new(), provider).expect("the compiled-in roots are never empty");
        Self { roots, default: Arc::new(default), own: Mutex::new(BTreeMap::new()) }
    }

    fn own(&self, pem: &Arc<str>, provider: &Arc<CryptoProvider>) -> Option<Arc<Trust>> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.entry(Arc::clone(pem)).or_insert_with(|| Trust::from_pem(pem, provider).map(Arc::new)).clone()
    }
}

impl Trust {
    fn new(store: RootCertStore, pinned: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Option<Self> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        let webpki = builder.build().ok()?;
        let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_webpki_verifier(Arc::clone(&webpki))
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        Some(Self { webpki, pinned, chains: Chains::default(), client })
    }

    fn from_pem(pem: &str, provider: &Arc<CryptoProvider>) -> Option<Self> {
        let pinned: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(pinned.iter().cloned());
        Self::new(store, pinned, provider)
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.contains(leaf) {
            return verify_pinned(leaf, name, now);
        }
        match self.webpki.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            // What `openssl req -x509` makes: signed by itself and marked as an authority. webpki minds the mark
            // first; a person wants to hear that nobody vouches for it.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if is_self_issued(leaf) => {
                Err(CertificateError::UnknownIssuer.into())
            }
            verified => verified,
        }
    }
}

/// A certificate that is trusted as such must still be in its time and for this name.
fn verify_pinned(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < certificate.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > certificate.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
    Ok(ServerCertVerified::assertion())
}

fn is_self_issued(leaf: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(leaf).is_ok_and(|(_, leaf)| leaf.subject().as_raw() == leaf.issuer().as_raw())
}

/// One handshake, prepared.
pub(super) struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
    recorder: Arc<Recorder>,
}

impl Handshake {
    /// Shakes hands over `stream`, which leads to `address`.
    ///
    /// # Errors
    /// What became of it instead.
    pub(super) async fn run(&self, stream: TcpStream, address: IpAddr) -> Result<TlsStream<TcpStream>, TroubleKind> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| trouble(&error, address))
    }

    /// The certificate that was shown, if the handshake came that far; whether it held or not.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.recorder.shown.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Writes the chain down, then judges it.
#[derive(Debug)]
struct Recorder {
    trust: Arc<Trust>,
    shown: Mutex<Option<Arc<Certificate>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = Chain { leaf, intermediates, name };
        let judge = || self.trust.verify(leaf, intermediates, name, ocsp, now).map(drop);
        let (says, judged) = self.trust.chains.look(&chain, now, judge);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = says;
        // An error ends the handshake with the alert that names it: nothing is ever asked of whom we do not trust.
        judged.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.webpki.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.webpki.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.webpki.supported_verify_schemes()
    }
}

/// What an error of a TLS stream to `address` means, be it rustls's own or the socket's below.
pub(super) fn trouble(error: &io::Error, address: IpAddr) -> TroubleKind {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(fault)) => fault_of(fault),
        Some(Error::InvalidMessage(_)) => TroubleKind::Tls("what came back is not TLS".into()),
        Some(Error::AlertReceived(alert)) => TroubleKind::Tls(format!("the origin ended it with alert {alert:?}")),
        Some(other) => TroubleKind::Tls(other.to_string()),
        None => tcp::trouble(error, address),
    }
}

/// Whose fault a certificate has.
fn fault_of(fault: &CertificateError) -> TroubleKind {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TroubleKind::CertExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TroubleKind::CertNotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TroubleKind::CertWrongName
        }
        // A signature that does not hold under a root of the issuer's name: signed by another issuer of that name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TroubleKind::CertUnknownIssuer,
        other => TroubleKind::CertInvalid(other.to_string()),
    }
}
