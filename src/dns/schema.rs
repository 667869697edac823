//! The RDATA schema table: one row per RR type, each a list of field kinds. It serves parsing, printing, wire form,
//! DNSSEC canonical form and additional-section processing, so that a new type is one row.

use std::fmt;

use crate::dns::rdata;

/// RR type (RFC 1035 §3.2.2, and the IANA registry).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Type(pub u16);

/// RR class (RFC 1035 §3.2.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Class(pub u16);

/// What is known of one RR type.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub rtype: Type,
    /// In upper case, as printed.
    pub mnemonic: &'static str,
    /// In wire order; a kind that takes "the rest" stands last.
    pub fields: &'static [Field],
    /// RDATA as a person writes it, to show to one who did not.
    pub example: &'static str,
}

/// A kind of RDATA field: how it is written, how long it is, how it is read. The codecs are in [`rdata`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// Unsigned numbers in network byte order.
    U8,
    U16,
    U32,
    /// 32 bits of seconds; text may have units (`1h30m`).
    Seconds,
    /// 32 bits of seconds since 1970, as `YYYYMMDDHHmmSS` (RFC 4034 §3.2).
    Time,
    /// 16 bits, an RR type's mnemonic.
    Covered,
    /// 8 bits, a DNSSEC algorithm's number or mnemonic (RFC 4034 appendix A.1).
    Algorithm,
    /// 16 bits, a certificate type's number or mnemonic (RFC 4398 §2.1).
    CertificateType,
    /// 8 bits, a notification scheme's number or mnemonic (RFC 9859 §2.1).
    Scheme,
    A,
    Aaaa,
    Eui48,
    Eui64,
    /// 64 bits as four groups of hexadecimal digits (RFC 6742 §2.1.2).
    Locator,
    /// A domain name.
    Name(NameRole),
    /// One character-string: a length byte and up to 255 bytes.
    Text,
    /// A character-string that may be missing at the end.
    OptionalText,
    /// One character-string or more, to the end.
    Texts,
    /// A character-string of at least four digits (RFC 1183 §3.1).
    Digits,
    /// A character-string of letters and digits (RFC 8659 §4.1).
    Tag,
    /// Text without a length byte, to the end.
    RestText,
    /// Binary to the end, at least one byte.
    Hex,
    Base64,
    /// Binary to the end, maybe empty; `Base64OrDash` writes nothing as `-`.
    OptionalBase64,
    Base64OrDash,
    /// A digest's type in 8 bits, then the digest to the end. Lengths of the known types; others may have any.
    Digest(&'static [(u8, usize)]),
    /// A length byte and the salt, in hexadecimal or `-` (RFC 5155 §3.3).
    Salt,
    /// A length byte and a hash, in base32hex (RFC 5155 §3.3).
    HashedName,
    /// Type bitmap in windows (RFC 4034 §4.1.2); the `Optional` one may be empty.
    Types,
    OptionalTypes,
    /// Type bitmap of the old NXT (RFC 2535 §5.2).
    OldTypes,
    /// Service parameters (RFC 9460 §2.2).
    Parameters,
    /// A location (RFC 1876).
    Location,
    /// Address prefixes (RFC 3123).
    Prefixes,
    /// A protocol and the bitmap of its ports (RFC 1035 §3.4.2).
    Services,
    /// `0x` and hexadecimal digits with dots (RFC 1706).
    Nsap,
    /// An ATM address: `+` and digits, or hexadecimal digits with dots.
    Atma,
    /// Prefix length, address suffix, prefix name (RFC 2874 §3.1).
    A6,
    /// Gateway type, algorithm, gateway, key (RFC 4025 §2.1, after the precedence).
    Gateway,
    /// Discovery bit, relay type, relay (RFC 8777 §4.2, after the precedence).
    Relay,
    /// The whole of HIP (RFC 8005 §5).
    HostIdentity,
    /// Bytes without a text form but `\# length hex` (RFC 3597 §5).
    Opaque,
}

/// What a name inside RDATA is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameRole {
    /// May be compressed in messages (RFC 3597 §4: the types of RFC 1035 only).
    pub compresses: bool,
    /// In lower case in the canonical form (RFC 4034 §6.2 as amended by RFC 6840 §5.1).
    pub folds: bool,
    /// Its addresses belong into the additional section.
    pub feeds_additional: bool,
}

use Field::{
    A, Aaaa, Algorithm, Base64, Base64OrDash, CertificateType, Covered, Digest, Digits, Eui48, Eui64, Gateway,
    HashedName, Hex, HostIdentity, Location, Locator, Name, Nsap, OldTypes, Opaque, OptionalBase64, OptionalText,
    OptionalTypes, Parameters, Prefixes, Relay, RestText, Salt, Scheme, Seconds, Services, Tag, Text, Texts, Time,
    Types, U8, U16, U32,
};

const fn name(compresses: bool, folds: bool, feeds_additional: bool) -> Field {
    Name(NameRole { compresses, folds, feeds_additional })
}

/// A name in a type of RFC 1035: compresses and folds.
const OLD: Field = name(true, true, false);
/// The same, and its addresses are wanted.
const OLD_HOST: Field = name(true, true, true);
/// A name in a later type of the list in RFC 4034 §6.2: folds.
const FOLD: Field = name(false, true, false);
const FOLD_HOST: Field = name(false, true, true);
/// A name in any other type: kept as it is.
const KEEP: Field = name(false, false, false);
const KEEP_HOST: Field = name(false, false, true);

/// Digest lengths of DS (IANA "DNSSEC Delegation Signer Digest Algorithms").
const DS_DIGESTS: Field = Digest(&[(1, 20), (2, 32), (3, 32), (4, 48)]);
/// Digest lengths of SSHFP (RFC 4255 §3.1.2, RFC 6594 §3).
const SSHFP_DIGESTS: Field = Digest(&[(1, 20), (2, 32)]);
/// Digest lengths of ZONEMD (RFC 8976 §2.2.3).
const ZONE_DIGESTS: Field = Digest(&[(1, 48), (2, 64)]);

const SIGNATURE: &[Field] = &[Covered, Algorithm, U8, Seconds, Time, Time, U16, FOLD, Base64];
const PUBLIC_KEY: &[Field] = &[U16, U8, Algorithm, Base64];
const DELEGATION: &[Field] = &[U16, Algorithm, DS_DIGESTS];

/// The table, by number: one row, one line.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    row_of(1, "A", &[A], "192.0.2.1"),
    row_of(2, "NS", &[OLD_HOST], "ns1.example.com."),
    row_of(3, "MD", &[OLD_HOST], "host.example.com."),
    row_of(4, "MF", &[OLD_HOST], "host.example.com."),
    row_of(5, "CNAME", &[OLD], "www.example.com."),
    row_of(6, "SOA", &[OLD, OLD, U32, Seconds, Seconds, Seconds, Seconds], "ns1.example.com. hostmaster.example.com. 1 2h 15m 4w 1h"),
    row_of(7, "MB", &[OLD_HOST], "host.example.com."),
    row_of(8, "MG", &[OLD], "list.example.com."),
    row_of(9, "MR", &[OLD], "new.example.com."),
    row_of(10, "NULL", &[Opaque], r"\# 2 00ff"),
    row_of(11, "WKS", &[A, Services], "192.0.2.1 tcp smtp domain"),
    row_of(12, "PTR", &[OLD], "host.example.com."),
    row_of(13, "HINFO", &[Text, Text], r#""PC" "Linux""#),
    row_of(14, "MINFO", &[OLD, OLD], "requests.example.com. errors.example.com."),
    row_of(15, "MX", &[U16, OLD_HOST], "10 mail.example.com."),
    row_of(16, "TXT", &[Texts], r#""v=spf1 -all""#),
    row_of(17, "RP", &[FOLD, FOLD], "person.example.com. text.example.com."),
    row_of(18, "AFSDB", &[U16, FOLD_HOST], "1 host.example.com."),
    row_of(19, "X25", &[Digits], "311061700956"),
    row_of(20, "ISDN", &[Text, OptionalText], "150862028003217 004"),
    row_of(21, "RT", &[U16, FOLD_HOST], "10 host.example.com."),
    row_of(22, "NSAP", &[Nsap], "0x47.0005.80.005a00"),
    row_of(23, "NSAP-PTR", &[KEEP], "host.example.com."),
    row_of(24, "SIG", SIGNATURE, "A 8 2 3600 20300101000000 20250101000000 12345 example.com. AQID"),
    row_of(25, "KEY", &[U16, U8, Algorithm, OptionalBase64], "256 3 8 AQID"),
    row_of(26, "PX", &[U16, FOLD, FOLD], "10 a.example.com. b.example.com."),
    row_of(27, "GPOS", &[Text, Text, Text], "-32.6882 116.8652 10.0"),
    row_of(28, "AAAA", &[Aaaa], "2001:db8::1"),
    row_of(29, "LOC", &[Location], "52 22 23.000 N 4 53 32.000 E -2.00m"),
    row_of(30, "NXT", &[FOLD, OldTypes], "next.example.com. A MX"),
    row_of(31, "EID", &[Hex], "010203"),
    row_of(32, "NIMLOC", &[Hex], "010203"),
    row_of(33, "SRV", &[U16, U16, U16, FOLD_HOST], "0 5 5060 sip.example.com."),
    row_of(34, "ATMA", &[Field::Atma], "+61200000000"),
    row_of(35, "NAPTR", &[U16, U16, Text, Text, Text, FOLD_HOST], r#"100 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" ."#),
    row_of(36, "KX", &[U16, FOLD_HOST], "10 host.example.com."),
    row_of(37, "CERT", &[CertificateType, U16, Algorithm, Base64], "PKIX 12345 8 AQID"),
    row_of(38, "A6", &[Field::A6], "64 ::1 prefix.example.com."),
    row_of(39, "DNAME", &[FOLD], "example.net."),
    row_of(40, "SINK", &[U8, U8, U8, OptionalBase64], "1 0 2 AQID"),
    row_of(42, "APL", &[Prefixes], "1:192.0.2.0/24 !2:2001:db8::/32"),
    row_of(43, "DS", DELEGATION, "12345 13 2 <64 hexadecimal digits>"),
    row_of(44, "SSHFP", &[U8, SSHFP_DIGESTS], "4 2 <64 hexadecimal digits>"),
    row_of(45, "IPSECKEY", &[U8, Gateway], "10 1 2 192.0.2.38 AQID"),
    row_of(46, "RRSIG", SIGNATURE, "A 8 2 3600 20300101000000 20250101000000 12345 example.com. AQID"),
    row_of(47, "NSEC", &[KEEP, Types], "next.example.com. A MX"),
    row_of(48, "DNSKEY", PUBLIC_KEY, "257 3 13 AQID"),
    row_of(49, "DHCID", &[Base64], "AQID"),
    row_of(50, "NSEC3", &[U8, U8, U16, Salt, HashedName, OptionalTypes], "1 0 0 - 2vptu5timamqttgl4luu9kg21e0aor3s A MX"),
    row_of(51, "NSEC3PARAM", &[U8, U8, U16, Salt], "1 0 0 -"),
    row_of(52, "TLSA", &[U8, U8, U8, Hex], "3 1 1 <64 hexadecimal digits>"),
    row_of(53, "SMIMEA", &[U8, U8, U8, Hex], "3 0 0 010203"),
    row_of(55, "HIP", &[HostIdentity], "2 200100107b1a74df365639cc39f1d578 AQID"),
    row_of(56, "NINFO", &[Texts], r#""text""#),
    row_of(57, "RKEY", PUBLIC_KEY, "0 3 8 AQID"),
    row_of(58, "TALINK", &[KEEP, KEEP], "a.example.com. b.example.com."),
    row_of(59, "CDS", DELEGATION, "0 0 0 00"),
    row_of(60, "CDNSKEY", PUBLIC_KEY, "0 3 0 AA=="),
    row_of(61, "OPENPGPKEY", &[Base64], "AQID"),
    row_of(62, "CSYNC", &[U32, U16, OptionalTypes], "66 3 A NS AAAA"),
    row_of(63, "ZONEMD", &[U32, U8, ZONE_DIGESTS], "2026112101 1 1 <96 hexadecimal digits>"),
    row_of(64, "SVCB", &[U16, KEEP_HOST, Parameters], "1 svc.example.com. port=8443"),
    row_of(65, "HTTPS", &[U16, KEEP_HOST, Parameters], "1 . alpn=h2,h3"),
    row_of(66, "DSYNC", &[Covered, Scheme, U16, KEEP], "CDS NOTIFY 5353 scanner.example.com."),
    row_of(67, "HHIT", &[Base64], "AQID"),
    row_of(68, "BRID", &[Base64], "AQID"),
    row_of(99, "SPF", &[Texts], r#""v=spf1 -all""#),
    row_of(104, "NID", &[U16, Locator], "10 14:4fff:ff20:ee64"),
    row_of(105, "L32", &[U16, A], "10 10.1.2.0"),
    row_of(106, "L64", &[U16, Locator], "10 2001:db8:1140:1000"),
    row_of(107, "LP", &[U16, KEEP], "10 l64.example.com."),
    row_of(108, "EUI48", &[Eui48], "00-00-5e-00-53-2a"),
    row_of(109, "EUI64", &[Eui64], "00-00-5e-ef-10-00-00-2a"),
    row_of(256, "URI", &[U16, U16, RestText], r#"10 1 "https://www.example.com/""#),
    row_of(257, "CAA", &[U8, Tag, RestText], r#"0 issue "ca.example.net""#),
    row_of(258, "AVC", &[Texts], r#""text""#),
    row_of(259, "DOA", &[U32, U32, U8, Text, Base64OrDash], r#"0 1 2 "" -"#),
    row_of(260, "AMTRELAY", &[U8, Relay], "10 0 1 192.0.2.15"),
    row_of(261, "RESINFO", &[Texts], r#""qnamemin" "exterr=15-17""#),
    row_of(262, "WALLET", &[Texts], r#""BTC" "address""#),
    row_of(32768, "TA", DELEGATION, "12345 8 77 0102"),
    row_of(32769, "DLV", DELEGATION, "12345 8 77 0102"),
];

/// Places in [`ROWS`] of the types that are met all the time; past its end where there is no row.
const LOW: [u8; 66] = {
    let mut low = [u8::MAX; 66];
    let mut at = 0;
    while at < ROWS.len() {
        if (ROWS[at].rtype.0 as usize) < low.len() {
            low[ROWS[at].rtype.0 as usize] = at as u8;
        }
        at += 1;
    }
    low
};

/// Types without RDATA in a zone: of questions and of messages (RFC 6895 §3.1).
const META: &[(Type, &str)] = &[
    (Type::OPT, "OPT"),
    (Type(249), "TKEY"),
    (Type(250), "TSIG"),
    (Type::IXFR, "IXFR"),
    (Type::AXFR, "AXFR"),
    (Type(253), "MAILB"),
    (Type(254), "MAILA"),
    (Type::ANY, "ANY"),
];

const fn row_of(rtype: u16, mnemonic: &'static str, fields: &'static [Field], example: &'static str) -> Row {
    Row { rtype: Type(rtype), mnemonic, fields, example }
}

/// The row of a type, if it has one.
pub fn row(rtype: Type) -> Option<&'static Row> {
    if let Some(&place) = LOW.get(usize::from(rtype.0)) {
        return ROWS.get(usize::from(place));
    }
    ROWS.binary_search_by_key(&rtype, |row| row.rtype).ok().and_then(|at| ROWS.get(at))
}

/// Names in well-formed, uncompressed RDATA whose addresses belong into the additional section (RFC 1035 §3.3, RFC
/// 2782, RFC 3403 §4.4, RFC 9460 §4.1), each as uncompressed wire. The root as target of SVCB and HTTPS stands for
/// the owner itself. NAPTR counts only if its flags say that an address follows.
pub fn targets(rtype: Type, rdata: &[u8]) -> impl Iterator<Item = &[u8]> {
    let fields = row(rtype).map_or(&[][..], |row| row.fields);
    let wanted = fields.iter().any(|field| matches!(field, Name(role) if role.feeds_additional));
    let terminal = rtype != Type::NAPTR || matches!(rdata.get(4..6), Some([1, b'a' | b'A']));
    rdata::pieces(if wanted && terminal { fields } else { &[] }, rdata).filter_map(|(field, bytes)| match field {
        Name(role) if role.feeds_additional => Some(bytes),
        _ => None,
    })
}

impl Type {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const PTR: Self = Self(12);
    pub const MX: Self = Self(15);
    pub const TXT: Self = Self(16);
    pub const AAAA: Self = Self(28);
    pub const SRV: Self = Self(33);
    pub const NAPTR: Self = Self(35);
    pub const DNAME: Self = Self(39);
    pub const OPT: Self = Self(41);
    pub const DS: Self = Self(43);
    pub const RRSIG: Self = Self(46);
    pub const NSEC: Self = Self(47);
    pub const DNSKEY: Self = Self(48);
    pub const NSEC3: Self = Self(50);
    pub const NSEC3PARAM: Self = Self(51);
    pub const CDS: Self = Self(59);
    pub const CDNSKEY: Self = Self(60);
    pub const SVCB: Self = Self(64);
    pub const HTTPS: Self = Self(65);
    pub const TLSA: Self = Self(52);
    pub const CAA: Self = Self(257);
    pub const IXFR: Self = Self(251);
    pub const AXFR: Self = Self(252);
    pub const ANY: Self = Self(255);

    /// The type a mnemonic names, in any case; also `TYPE123` (RFC 3597 §5).
    pub fn from_mnemonic(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// [`Type::from_mnemonic`] of bytes.
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        // Nearly all records of most zones, found without a search.
        match text {
            b"A" => return Some(Self::A),
            b"AAAA" => return Some(Self::AAAA),
            b"CNAME" => return Some(Self::CNAME),
            b"MX" => return Some(Self::MX),
            b"NS" => return Some(Self::NS),
            b"PTR" => return Some(Self::PTR),
            b"SRV" => return Some(Self::SRV),
            b"TXT" => return Some(Self::TXT),
            b"RRSIG" => return Some(Self::RRSIG),
            _ => {}
        }
        if let Some(row) = ROWS.iter().find(|row| row.mnemonic.as_bytes().eq_ignore_ascii_case(text)) {
            return Some(row.rtype);
        }
        let meta = META.iter().find(|(_, mnemonic)| mnemonic.as_bytes().eq_ignore_ascii_case(text));
        meta.map(|&(rtype, _)| rtype).or_else(|| numbered(text, b"TYPE").map(Self))
    }

    /// True for types that never stand in a zone: OPT, and the numbers for questions only (RFC 6895 §3.1).
    pub fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }
}

impl Class {
    pub const IN: Self = Self(1);
    pub const CH: Self = Self(3);
    pub const HS: Self = Self(4);
    pub const NONE: Self = Self(254);
    pub const ANY: Self = Self(255);

    /// The class a mnemonic names, in any case; also `CLASS1` (RFC 3597 §5).
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case(b"IN") => Some(Self::IN),
            _ if text.eq_ignore_ascii_case(b"CH") || text.eq_ignore_ascii_case(b"CHAOS") => Some(Self::CH),
            _ if text.eq_ignore_ascii_case(b"HS") || text.eq_ignore_ascii_case(b"HESIOD") => Some(Self::HS),
            _ => numbered(text, b"CLASS").map(Self),
        }
    }
}

/// The number behind `prefix`: one to five digits, up to 65,535.
fn numbered(text: &[u8], prefix: &[u8]) -> Option<u16> {
    let (front, digits) = text.split_at_checked(prefix.len())?;
    if !front.eq_ignore_ascii_case(prefix) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The mnemonic, or `TYPE123` (RFC 3597 §5).
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meta = || META.iter().find(|(rtype, _)| rtype == self).map(|&(_, mnemonic)| mnemonic);
        match row(*self).map(|row| row.mnemonic).or_else(meta) {
            Some(mnemonic) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The mnemonic, or `CLASS123` (RFC 3597 §5).
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("IN"),
            3 => f.write_str("CH"),
            4 => f.write_str("HS"),
            number => write!(f, "CLASS{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_mnemonics_unique() {
        for pair in ROWS.windows(2) {
            assert!(pair[0].rtype < pair[1].rtype, "{:?}", pair[1]);
        }
        for row in ROWS {
            assert_eq!(Type::from_mnemonic(row.mnemonic), Some(row.rtype));
            assert_eq!(Type::from_mnemonic(&row.mnemonic.to_lowercase()), Some(row.rtype));
            assert_eq!(row.rtype.to_string(), row.mnemonic);
        }
    }

    #[test]
    fn numbers_stand_for_types_and_classes() {
        assert_eq!(Type::from_mnemonic("type65534"), Some(Type(65534)));
        assert_eq!(Type::from_mnemonic("TYPE1"), Some(Type::A));
        assert_eq!(Type(65534).to_string(), "TYPE65534");
        for bad in ["TYPE", "TYPE65536", "TYPE+1", "TYP1", "", "AB", "TYPE1x"] {
            assert_eq!(Type::from_mnemonic(bad), None, "{bad}");
        }
        assert_eq!(Class::from_bytes(b"class1"), Some(Class::IN));
        assert_eq!(Class(7).to_string(), "CLASS7");
    }

    /// RFC 4034 §6.2 without HINFO and NSEC (RFC 6840 §5.1).
    #[test]
    fn types_that_fold_are_those_of_the_rfcs() {
        let folding: Vec<&str> = ROWS
            .iter()
            .filter(|row| row.fields.iter().any(|field| matches!(field, Name(role) if role.folds)))
            .map(|row| row.mnemonic)
            .collect();
        let listed = "NS MD MF CNAME SOA MB MG MR PTR MINFO MX RP AFSDB RT SIG PX NXT SRV NAPTR KX DNAME RRSIG";
        assert_eq!(folding.join(" "), listed, "A6 folds too; its name is inside a field of its own");
    }

    #[test]
    fn targets_are_the_names_whose_addresses_help() {
        let all = |rtype, rdata: &[u8]| targets(rtype, rdata).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(all(Type::MX, b"\x00\x0a\x01m\x00"), [b"\x01m\x00"]);
        assert_eq!(all(Type::SRV, b"\x00\x00\x00\x00\x00\x50\x01s\x00"), [b"\x01s\x00"]);
        assert_eq!(all(Type::HTTPS, b"\x00\x01\x00\x00\x03\x00\x02\x01\xbb"), [b"\x00"]);
        assert_eq!(all(Type::NAPTR, b"\x00\x01\x00\x02\x01a\x00\x00\x01n\x00"), [b"\x01n\x00"]);
        assert!(all(Type::NAPTR, b"\x00\x01\x00\x02\x01u\x00\x00\x01n\x00").is_empty());
        assert!(all(Type::CNAME, b"\x01c\x00").is_empty());
        assert!(all(Type::MX, b"\x00").is_empty());
    }
}
