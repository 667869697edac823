//! Certificate chains that were seen: what they say, and until when they hold.
//!
//! An origin shows the same chain in every probe, and what it means is a pure function of its bytes, the name, the
//! roots and the time. So it is read and judged when it is new and remembered by its digest. That it holds is
//! remembered until the first of its certificates ends; that it does not is judged anew each time. Whether the origin
//! has the key of the certificate is no part of this: each handshake proves it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{Context, SHA256};
use rustls::Error;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::bounds::WATCHES_MAX;
use crate::probe::Certificate;

/// Chains remembered: one for each watch there can be.
const KNOWN: usize = WATCHES_MAX;

/// What is known of chains, under one set of roots.
#[derive(Debug, Default)]
pub(super) struct Chains {
    known: Mutex<BTreeMap<Digest, Known>>,
}

/// SHA-256 of the name and the whole chain.
type Digest = [u8; 32];

#[derive(Clone, Debug)]
struct Known {
    /// What the leaf says; `None` where it cannot be read.
    says: Option<Arc<Certificate>>,
    holds: Option<Span>,
}

/// A chain held when it was judged, and holds until one of its certificates ends.
#[derive(Clone, Copy, Debug)]
struct Span {
    judged: UnixTime,
    ends: UnixTime,
}

impl Span {
    /// A clock that went back behind the judgement knows nothing of it.
    fn covers(self, now: UnixTime) -> bool {
        self.judged <= now && now < self.ends
    }
}

/// A chain as a handshake shows it.
pub(super) struct Chain<'a> {
    pub(super) leaf: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    /// Whose it should be.
    pub(super) name: &'a ServerName<'a>,
}

impl Chains {
    /// What `chain` says, and whether it holds at `now`: as remembered, else as `judge` finds.
    pub(super) fn look(
        &self,
        chain: &Chain,
        now: UnixTime,
        judge: impl FnOnce() -> Result<(), Error>,
    ) -> (Option<Arc<Certificate>>, Result<(), Error>) {
        let digest = chain.digest();
        let before = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(Known { says, holds: Some(span) }) = &before
            && span.covers(now)
        {
            return (says.clone(), Ok(()));
        }
        let is_new = before.is_none();
        let says = before.map_or_else(|| chain.describe().map(Arc::new), |known| known.says);
        let judged = judge();
        let holds = judged.is_ok().then(|| chain.ends()).flatten().map(|ends| Span { judged: now, ends });
        if is_new || holds.is_some() {
            self.remember(digest, Known { says: says.clone(), holds });
        }
        (says, judged)
    }

    /// When there are too many, those go that no watch shows; an origin with a new certificate in every probe must
    /// not fill our memory.
    fn remember(&self, digest: Digest, chain: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.retain(|_, chain| chain.says.as_ref().is_some_and(|says| Arc::strong_count(says) > 1));
        }
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(digest, chain);
    }
}

impl Chain<'_> {
    fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'_>> {
        [self.leaf].into_iter().chain(self.intermediates)
    }

    fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        let name = self.name.to_str();
        for part in [name.as_bytes()].into_iter().chain(self.certificates().map(|one| one.as_ref())) {
            // Lengths keep two chains apart whose bytes are divided differently.
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// When the first of its certificates ends, needed or not; `None` if one cannot be read.
    fn ends(&self) -> Option<UnixTime> {
        let mut ends = None;
        for certificate in self.certificates() {
            let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
            let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
            ends = Some(ends.map_or(seconds, |earlier: u64| earlier.min(seconds)));
        }
        ends.map(|seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }

    /// What its leaf says.
    fn describe(&self) -> Option<Certificate> {
        let (_, certificate) = X509Certificate::from_der(self.leaf).ok()?;
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name_of).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        Some(Certificate {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            names,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            chain: self.certificates().count(),
        })
    }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::slice;
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::CertificateError;

    use super::*;

    /// 2026-01-01 and 2027-01-01.
    const STARTS: u64 = 1_767_225_600;
    const ENDS: u64 = 1_798_761_600;

    fn certificate(until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    /// How often each look is judged.
    struct Bench {
        chains: Chains,
        judged: Cell<u32>,
    }

    impl Bench {
        fn new() -> Self {
            Self { chains: Chains::default(), judged: Cell::new(0) }
        }

        fn look(&self, certificates: &[CertificateDer<'_>], name: &str, now: u64, holds: bool) -> bool {
            let name = ServerName::try_from(name).unwrap();
            let (leaf, intermediates) = certificates.split_first().unwrap();
            let (says, judged) = self.chains.look(&Chain { leaf, intermediates, name: &name }, at(now), || {
                self.judged.set(self.judged.get() + 1);
                if holds { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) }
            });
            assert_eq!(says.unwrap().names, ["www.example.com"]);
            judged.is_ok()
        }
    }

    #[test]
    fn a_chain_that_holds_is_judged_once_until_the_first_of_it_ends() {
        let bench = Bench::new();
        let chain = [certificate(2090), certificate(2027)];
        for now in [STARTS + 9, STARTS + 9, STARTS + 10, ENDS - 1] {
            assert!(bench.look(&chain, "www.example.com", now, true));
        }
        assert_eq!(bench.judged.get(), 1);
        assert!(!bench.look(&chain, "www.example.com", ENDS, false), "the second of the chain has ended");
        assert!(!bench.look(&chain, "www.example.com", STARTS + 8, false), "the clock went back");
        assert_eq!(bench.judged.get(), 3);
    }

    #[test]
    fn another_name_certificate_or_order_is_another_chain() {
        let bench = Bench::new();
        let (one, two) = (certificate(2090), certificate(2090));
        for (chain, name) in [
            (slice::from_ref(&one), "www.example.com"),
            (slice::from_ref(&one), "example.com"),
            (slice::from_ref(&two), "www.example.com"),
            (&[one.clone(), two.clone()], "www.example.com"),
            (&[two.clone(), one.clone()], "www.example.com"),
        ] {
            assert!(bench.look(chain, name, STARTS + 9, true));
        }
        assert_eq!(bench.judged.get(), 5);
    }

    #[test]
    fn what_does_not_hold_is_judged_each_time_and_read_once() {
        let bench = Bench::new();
        let chain = [certificate(2090)];
        assert!(!bench.look(&chain, "www.example.com", STARTS + 9, false));
        assert!(bench.look(&chain, "www.example.com", STARTS + 9, true), "its issuer became known");
        assert!(bench.look(&chain, "www.example.com", STARTS + 9, true));
        assert_eq!(bench.judged.get(), 2);
        assert_eq!(bench.chains.known.lock().unwrap().len(), 1);
    }
}
