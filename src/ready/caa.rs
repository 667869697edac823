//! Who may issue certificates for a name of ours: CAA records (RFC 8659), and the authority a certificate came from.

use std::collections::BTreeMap;

use crate::dns::{Name, Type};
use crate::zone::table::Table;

/// What issuers call themselves in certificates, and in CAA records.
const AUTHORITIES: [(&str, &str); 12] = [
    ("O=Let's Encrypt", "letsencrypt.org"),
    ("O=Google Trust Services", "pki.goog"),
    ("O=ZeroSSL", "sectigo.com"),
    ("O=Sectigo", "sectigo.com"),
    ("O=DigiCert", "digicert.com"),
    ("O=GlobalSign", "globalsign.com"),
    ("O=Amazon", "amazon.com"),
    ("O=Buypass", "buypass.com"),
    ("O=SSL Corp", "ssl.com"),
    ("O=Entrust", "entrust.net"),
    ("O=IdenTrust", "identrust.com"),
    ("O=Actalis", "actalis.it"),
];

/// Our own zones, by apex.
#[derive(Debug, Default)]
pub struct Ours<'z>(BTreeMap<Name, &'z Table>);

impl<'z> Ours<'z> {
    pub fn new(tables: impl IntoIterator<Item = &'z Table>) -> Self {
        Self(tables.into_iter().map(|table| (table.apex().folded(), table)).collect())
    }

    /// The table of the deepest zone that holds the name.
    fn table_of(&self, name: &Name) -> Option<&'z Table> {
        let mut above = Some(name.folded());
        while let Some(apex) = above {
            if let Some(table) = self.0.get(&apex) {
                return Some(table);
            }
            above = apex.parent();
        }
        None
    }

    /// RDATA of the records of this type at the name; empty if there are none.
    pub(crate) fn rdata(&self, name: &Name, rtype: Type) -> Vec<Vec<u8>> {
        let node = self.table_of(name).and_then(|table| table.get(&name.folded()));
        node.and_then(|node| node.rrset(rtype)).map(|rrset| rrset.rdata).unwrap_or_default()
    }

    /// Does anything stand at the name, or is it or a name above it, `top` excepted, given to other servers? `None` if
    /// it is not in our zones.
    pub(crate) fn has(&self, name: &Name, top: &Name) -> Option<bool> {
        let table = self.table_of(name)?;
        let mut above = Some(name.folded());
        while let Some(here) = above.filter(|here| here.is_within(top) && here != top) {
            let node = table.get(&here);
            if node.as_ref().is_some_and(|node| here == name.folded() && !node.is_empty() || node.is_cut()) {
                return Some(true);
            }
            above = here.parent();
        }
        Some(false)
    }

    /// The authorities that may issue for this name, in lower case; `None` if any may. The nearest records upwards
    /// count (RFC 8659 §3), as far up as our zones reach.
    pub fn authorities(&self, name: &Name) -> Option<Vec<String>> {
        let mut here = name.folded();
        let mut table = self.table_of(&here)?;
        loop {
            let records = table.get(&here).and_then(|node| node.rrset(Type::CAA));
            if let Some(records) = records {
                return permitted(&records.rdata, name.is_wildcard());
            }
            here = here.parent()?;
            if !here.is_within(table.apex()) {
                table = self.table_of(&here)?;
            }
        }
    }
}

/// What one set of records says; `None` if it speaks of other things than who may issue.
fn permitted(records: &[Vec<u8>], wildcard: bool) -> Option<Vec<String>> {
    let of = |tag: &str| {
        let values = records.iter().filter_map(|rdata| property(rdata)).filter(move |(known, _)| known == tag);
        values.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let (issue, issue_wild) = (of("issue"), of("issuewild"));
    let values = if wildcard && !issue_wild.is_empty() { issue_wild } else { issue };
    // "\;" permits nobody: an empty name that equals no authority.
    (!values.is_empty()).then_some(values)
}

/// Tag and, without parameters, value of a record (RFC 8659 §4.1), both in lower case.
fn property(rdata: &[u8]) -> Option<(String, String)> {
    let (_flags, rest) = rdata.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let tag = rest.get(..usize::from(length))?;
    let value = rest.get(usize::from(length)..)?;
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let authority = value.split(';').next().unwrap_or("").trim().to_owned();
    Some((String::from_utf8_lossy(tag).to_ascii_lowercase(), authority))
}

/// The authority of an issuer as certificates have it, `C=US, O=Let's Encrypt, CN=R11`; `None` for one we do not know.
pub fn authority_of(issuer: &str) -> Option<&'static str> {
    AUTHORITIES.into_iter().find(|(organisation, _)| issuer.contains(organisation)).map(|(_, authority)| authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::fixture::name;
    use crate::ready::fixture::table;

    const APEX: &str = "@ SOA ns hostmaster 1 3600 600 1209600 30\n@ NS ns\nns A 192.0.2.1\n";

    #[test]
    fn the_nearest_records_upwards_count() {
        let upper = table(
            "example.com",
            &format!(
                "{APEX}@ CAA 0 issue \"LetsEncrypt.org; validationmethods=dns-01\"\n@ CAA 0 issue \"pki.goog\"\n\
                 none CAA 0 issue \";\"\nmail CAA 0 iodef \"mailto:a@example.com\"\n\
                 wild CAA 0 issue \"pki.goog\"\nwild CAA 0 issuewild \";\"\n"
            ),
        );
        let lower = table("fo.example.com", APEX);
        let ours = Ours::new([&upper, &lower]);
        let both = Some(vec!["letsencrypt.org".to_owned(), "pki.goog".to_owned()]);
        for (host, authorities) in [
            ("example.com", both.clone()),
            ("a.b.example.com", both.clone()),
            ("www.fo.example.com", both),
            ("none.example.com", Some(vec![String::new()])),
            ("x.mail.example.com", None),
            ("x.wild.example.com", Some(vec!["pki.goog".to_owned()])),
            ("*.wild.example.com", Some(vec![String::new()])),
            ("example.net", None),
        ] {
            assert_eq!(ours.authorities(&name(host)), authorities, "{host}");
        }
    }

    #[test]
    fn a_challenge_stands_there_or_is_delegated() {
        let zone = table(
            "example.com",
            &format!("{APEX}_acme-challenge.www CNAME x.example.net.\n_acme-challenge.api NS ns.example.net.\n"),
        );
        let ours = Ours::new([&zone]);
        for (host, has) in [
            ("www.example.com", Some(true)),
            ("api.example.com", Some(true)),
            ("shop.example.com", Some(false)),
            ("example.net", None),
        ] {
            let host = name(host);
            assert_eq!(ours.has(&host.child(b"_acme-challenge").unwrap(), &host), has, "{host:?}");
        }
    }

    #[test]
    fn broken_records_say_nothing() {
        for rdata in [&b""[..], &[0], &[0, 9, b'i'], &[0, 255]] {
            assert_eq!(property(rdata), None);
        }
        assert_eq!(authority_of("C=US, O=Let's Encrypt, CN=R11"), Some("letsencrypt.org"));
        assert_eq!(authority_of("CN=our authority"), None);
    }
}
