//! Every row of the schema, text to wire and back.

use proptest::prelude::*;

use super::*;
use crate::dns::schema::ROWS;

fn origin() -> Name {
    Name::absolute("example.com").unwrap()
}

fn read(mnemonic: &str, text: &str) -> Result<Vec<u8>, Fault> {
    parse(Type::from_mnemonic(mnemonic).unwrap(), text, &origin())
}

/// Type, what a person writes, what is printed (`=`: the same).
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("A", "192.0.2.1", "="),
    ("NS", "ns1", "ns1.example.com."),
    ("MD", "a.", "="),
    ("MF", "a.", "="),
    ("CNAME", "@", "example.com."),
    ("SOA", "ns1 admin 1 2h 15m 4w 1h", "ns1.example.com. admin.example.com. 1 7200 900 2419200 3600"),
    ("MB", "a.", "="),
    ("MG", "a.", "="),
    ("MR", "a.", "="),
    ("NULL", r"\# 2 00FF", "="),
    ("WKS", "192.0.2.1 tcp smtp 80 domain", "192.0.2.1 6 25 53 80"),
    ("PTR", "a.", "="),
    ("HINFO", "PC \"Linux x\"", "\"PC\" \"Linux x\""),
    ("MINFO", "a. b.", "="),
    ("MX", "10 mail.", "="),
    ("TXT", r#"a "b c" "" \"\059\200"#, r#""a" "b c" "" "\";\200""#),
    ("RP", "a. .", "="),
    ("AFSDB", "1 a.", "="),
    ("X25", "311061700956", "\"311061700956\""),
    ("ISDN", "150862028003217 004", "\"150862028003217\" \"004\""),
    ("RT", "10 a.", "="),
    ("NSAP", "0x47.0005.80.005a00", "0x47000580005A00"),
    ("NSAP-PTR", "a.", "="),
    ("SIG", "A 5 2 60 20240101000000 20230101000000 1 a. AQID", "="),
    ("KEY", "256 3 5 AQID", "="),
    ("PX", "10 a. b.", "="),
    ("GPOS", "-32.6882 116.8652 10.0", r#""-32.6882" "116.8652" "10.0""#),
    ("AAAA", "2001:DB8::1", "2001:db8::1"),
    ("LOC", "42 21 54 N 71 06 18 W -24m 30m", "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m"),
    ("NXT", "a. A MX NXT", "="),
    ("EID", "0102 03", "010203"),
    ("NIMLOC", "0A", "="),
    ("SRV", "0 5 5060 sip", "0 5 5060 sip.example.com."),
    ("ATMA", "+61.200000000", "+61200000000"),
    ("NAPTR", r#"100 10 U E2U+sip "!^.*$!sip:x@y!" ."#, r#"100 10 "U" "E2U+sip" "!^.*$!sip:x@y!" ."#),
    ("KX", "1 a.", "="),
    ("CERT", "PKIX 1 RSASHA256 AQID", "1 1 8 AQID"),
    ("A6", "64 ::1 sub", "64 ::1 sub.example.com."),
    ("DNAME", "a.", "="),
    ("SINK", "1 0 2 AQID", "="),
    ("APL", "1:192.0.2.0/24 !2:2001:db8::/32", "="),
    ("DS", "1 8 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "="),
    ("SSHFP", "4 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "="),
    ("IPSECKEY", "10 3 2 gw AQID", "10 3 2 gw.example.com. AQID"),
    (
        "RRSIG",
        "TYPE700 ED25519 2 1h 20240101000000 1672531200 1 a. AQ ID",
        "TYPE700 15 2 3600 20240101000000 20230101000000 1 a. AQID",
    ),
    ("NSEC", r"\000.a. A NSEC TYPE1234", r"\000.a. A NSEC TYPE1234"),
    ("DNSKEY", "257 3 ED25519 AQID", "257 3 15 AQID"),
    ("DHCID", "AQID", "="),
    (
        "NSEC3",
        "1 1 12 aabb 2VPTU5TIMAMQTTGL4LUU9KG21E0AOR3S A RRSIG",
        "1 1 12 AABB 2VPTU5TIMAMQTTGL4LUU9KG21E0AOR3S A RRSIG",
    ),
    ("NSEC3PARAM", "1 0 0 -", "="),
    ("TLSA", "3 1 1 ab cd", "3 1 1 ABCD"),
    ("SMIMEA", "3 0 0 ABCD", "="),
    (
        "HIP",
        "2 200100107B1A74DF365639CC39F1D578 AwEAAQ== rvs",
        "2 200100107B1A74DF365639CC39F1D578 AwEAAQ== rvs.example.com.",
    ),
    ("NINFO", "a b", r#""a" "b""#),
    ("RKEY", "0 3 8 AQID", "="),
    ("TALINK", "a. b.", "="),
    ("CDS", "0 0 0 00", "="),
    ("CDNSKEY", "0 3 0 AA==", "="),
    ("OPENPGPKEY", "AQ\tID", "AQID"),
    ("CSYNC", "66 3 A NS AAAA", "="),
    ("ZONEMD", "1 1 240 00010203", "="),
    (
        "SVCB",
        r#"1 svc key667="a\ b" port=8443 mandatory=port,alpn alpn="h2,f\\,o""#,
        r#"1 svc.example.com. mandatory=alpn,port alpn="h2,f\\,o" port=8443 key667="a b""#,
    ),
    (
        "HTTPS",
        "1 . alpn=h3 no-default-alpn ipv4hint=192.0.2.1,192.0.2.2 ech=AQID ipv6hint=2001:db8::1 dohpath=/q{?dns} ohttp",
        r#"1 . alpn="h3" no-default-alpn ipv4hint=192.0.2.1,192.0.2.2 ech=AQID ipv6hint=2001:db8::1 key7="/q{?dns}" key8"#,
    ),
    ("DSYNC", "CDS notify 5353 scanner", "CDS 1 5353 scanner.example.com."),
    ("BRID", "AQ ID", "AQID"),
    ("HHIT", "AQID", "="),
    ("SPF", "\"v=spf1 -all\"", "="),
    ("NID", "10 0014:4fff:ff20:ee64", "10 14:4fff:ff20:ee64"),
    ("L32", "10 10.1.2.0", "="),
    ("L64", "10 2001:db8:1140:1000", "="),
    ("LP", "10 a.", "="),
    ("EUI48", "00-00-5E-00-53-2a", "00-00-5e-00-53-2a"),
    ("EUI64", "00-00-5e-ef-10-00-00-2a", "="),
    ("URI", "10 1 \"ftp://ftp.example.com/a\"", "="),
    ("CAA", "0 issue \"ca.example; x=\\\"y\\\"\"", "="),
    ("AVC", "app", "\"app\""),
    ("DOA", "0 1 2 \"\" -", "="),
    ("AMTRELAY", "10 1 2 2001:db8::15", "="),
    ("RESINFO", "qnamemin exterr=15-17", r#""qnamemin" "exterr=15-17""#),
    ("WALLET", "BTC x", r#""BTC" "x""#),
    ("TA", "1 8 77 0102", "="),
    ("DLV", "1 8 77 0102", "="),
];

#[test]
fn every_row_reads_and_prints() {
    let mut seen = std::collections::BTreeSet::new();
    for &(mnemonic, text, printed) in EXAMPLES {
        let rtype = Type::from_mnemonic(mnemonic).unwrap();
        let wire = read(mnemonic, text).unwrap_or_else(|fault| panic!("{mnemonic} {text}: {fault}"));
        assert_eq!(print(rtype, &wire), if printed == "=" { text } else { printed }, "{mnemonic}");
        assert_eq!(read(mnemonic, &print(rtype, &wire)).unwrap(), wire, "{mnemonic}");
        let mut opaque = String::new();
        encoding::push_opaque(&wire, &mut opaque);
        assert_eq!(read(mnemonic, &opaque).unwrap(), wire, "{mnemonic} {opaque}");
        seen.insert(rtype);
    }
    let missing: Vec<_> = ROWS.iter().filter(|row| !seen.contains(&row.rtype)).map(|row| row.mnemonic).collect();
    assert!(missing.is_empty(), "no example of {missing:?}");
}

/// An example that a person may copy.
#[test]
fn the_examples_of_the_schema_can_be_read() {
    for row in ROWS {
        let digits = |count: usize| "ab".repeat(count / 2);
        let text = row.example.replace("<64 hexadecimal digits>", &digits(64));
        let text = text.replace("<96 hexadecimal digits>", &digits(96));
        assert!(parse(row.rtype, &text, &origin()).is_ok(), "{} {text}", row.mnemonic);
    }
}

/// The wire forms that the RFCs print.
#[test]
fn wire_is_that_of_the_rfcs() {
    let hex = |text: &str| decode_hex(text.replace(' ', "").as_bytes()).unwrap();
    for (mnemonic, text, wire) in [
        ("MX", "10 a.", "000a 0161 00"),
        ("SOA", ". . 1 2 3 4 5", "00 00 00000001 00000002 00000003 00000004 00000005"),
        ("APL", "1:192.168.32.0/21 !1:192.168.38.0/28", "0001 15 03 c0a820 0001 1c 83 c0a826"),
        ("WKS", "10.0.0.6 6 25", "0a000006 06 00000040"),
        ("AMTRELAY", "10 0 1 203.0.113.15", "0a 01 cb00710f"),
        ("AMTRELAY", "128 1 0 .", "80 80"),
        ("NID", "10 0014:4fff:ff20:ee64", "000a 00144fffff20ee64"),
        ("CAA", "0 issue \"a\"", "00 05 6973737565 61"),
        // RFC 9460 appendix D.2
        (
            "SVCB",
            "16 foo.example.org. mandatory=ipv4hint,alpn alpn=h2,h3-19 ipv4hint=192.0.2.1",
            "0010 03666f6f076578616d706c65036f726700 0000 0004 0001 0004 0001 0009 02 6832 05 68332d3139 0004 0004 c0000201",
        ),
        ("LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m", "00 00 16 13 8b3cf018 810cbce0 009895b8"),
        ("A6", "64 ::1:2:3:4 a.", "40 0001000200030004 016100"),
        ("HIP", "2 0102 AQID a.", "02 02 0003 0102 010203 016100"),
    ] {
        assert_eq!(read(mnemonic, text).unwrap(), hex(wire), "{mnemonic} {text}");
    }
}

#[test]
fn faults_name_the_word_and_what_would_be_right() {
    for (mnemonic, text, word, said) in [
        ("A", "2001:db8::1", 0, "`2001:db8::1` is not an IPv4 address (this is an IPv6 address; its type is AAAA)"),
        ("A", "www", 0, "`www` is not an IPv4 address (to point at a name, use CNAME)"),
        ("A", "192.0.2.1 192.0.2.2", 1, "`192.0.2.2` is one word too many (as in `A 192.0.2.1`)"),
        ("MX", "mail.", 0, "`mail.` is not a number up to 65535 (as in `MX 10 mail.example.com.`)"),
        ("MX", "10", 1, "missing a domain name (as in `MX 10 mail.example.com.`)"),
        ("MX", "70000 a.", 0, "`70000` is not a number up to 65535 (as in `MX 10 mail.example.com.`)"),
        ("A", r"\# 4 0102", 1, "4 bytes are announced, 2 are given"),
        ("A", r"\# 2 0102", 0, "not the RDATA of A: too short"),
        (
            "AAAA",
            r"\# 17 0102030405060708090a0b0c0d0e0f1011",
            0,
            "not the RDATA of AAAA: bytes are left over at the end",
        ),
        ("HTTPS", "1 . port=x", 2, "`port=x`: a port is a number up to 65535"),
        ("HTTPS", "1 . port=1 port=2", 3, "`port=2`: this parameter is given twice"),
        ("HTTPS", "1 . mandatory=alpn", 2, "`mandatory` lists a parameter that is not there"),
        ("DS", "1 8 2 00", 3, "a digest of 1 bytes; one of type 2 has 32 (compare it with what the signer printed)"),
        ("CAA", "0 is-sue x", 1, "`is-sue` is not a tag of letters and digits"),
    ] {
        let fault = read(mnemonic, text).unwrap_err();
        assert_eq!(fault.word, word, "{mnemonic} {text}");
        assert!(fault.to_string().starts_with(said), "{mnemonic} {text}: {fault}");
    }
    let long = read("TXT", &"x".repeat(256)).unwrap_err();
    assert_eq!(long.text, "a string of 256 bytes; one string holds at most 255");
    let unknown = parse(Type(65_000), "x", &origin()).unwrap_err();
    assert_eq!(unknown.text, "TYPE65000 is known by its number only");
    assert_eq!(parse(Type(65_000), r"\# 3 01 02 03", &origin()).unwrap(), [1, 2, 3]);
}

#[test]
fn malformed_wire_is_refused_and_printed_as_bytes() {
    for (mnemonic, wire) in [
        ("A", &b"\x01\x02\x03"[..]),
        ("NS", b"\x03ab"),
        ("NS", b"\xc0\x0c"),
        ("TXT", b""),
        ("TXT", b"\x05ab"),
        ("NSEC", b"\x00"),
        ("HTTPS", b"\x00\x01\x00\x00\x03\x00\x02\x00\x50\x00\x01\x00\x02\x01h"),
        ("LOC", b"\x01\x00\x00\x00\x80\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00"),
        ("APL", b"\x00\x01\x20\x04\x0a\x00\x00\x00"),
        ("IPSECKEY", b"\x00\x04\x00"),
        ("A6", b"\x81"),
        ("HIP", b"\x01\x01\x00\x00\x01"),
    ] {
        let rtype = Type::from_mnemonic(mnemonic).unwrap();
        assert!(check(rtype, wire).is_err(), "{mnemonic} {wire:?}");
        assert!(print(rtype, wire).starts_with(r"\# "), "{mnemonic}");
    }
}

#[test]
fn canonical_form_folds_the_old_names_only() {
    for (mnemonic, text, folded) in [
        ("MX", "1 MAIL.Example.", "1 mail.example."),
        ("SRV", "1 1 1 A.B.", "1 1 1 a.b."),
        ("RRSIG", "A 8 1 1 1 1 1 A. AQID", "A 8 1 1 19700101000001 19700101000001 1 a. AQID"),
        ("A6", "120 ::1 A.", "120 ::1 a."),
        ("NSEC", "A. A", "A. A"),
        ("HTTPS", "1 A.", "1 A."),
        ("TXT", "ABC", "\"ABC\""),
    ] {
        let rtype = Type::from_mnemonic(mnemonic).unwrap();
        assert_eq!(print(rtype, &canonical(rtype, &read(mnemonic, text).unwrap())), folded);
    }
}

fn wire_name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..12), 0..5).prop_map(|labels| {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label);
        }
        wire.push(0);
        wire
    })
}

fn counted(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    bytes.prop_map(|bytes| [vec![u8::try_from(bytes.len()).unwrap()], bytes].concat())
}

/// Wire of one field that is well formed more often than not.
fn field_wire(field: Field) -> BoxedStrategy<Vec<u8>> {
    let bytes = |range: std::ops::Range<usize>| prop::collection::vec(any::<u8>(), range);
    match field {
        Field::U8 | Field::Algorithm | Field::Scheme => bytes(1..2).boxed(),
        Field::U16 | Field::Covered | Field::CertificateType => bytes(2..3).boxed(),
        Field::U32 | Field::Seconds | Field::Time | Field::A => bytes(4..5).boxed(),
        Field::Eui48 => bytes(6..7).boxed(),
        Field::Eui64 | Field::Locator => bytes(8..9).boxed(),
        Field::Aaaa => bytes(16..17).boxed(),
        Field::Name(_) => wire_name().boxed(),
        Field::Text | Field::OptionalText | Field::Salt => counted(bytes(0..40)).boxed(),
        Field::HashedName => counted(bytes(1..33)).boxed(),
        Field::Texts => prop::collection::vec(counted(bytes(0..255)), 1..4).prop_map(|all| all.concat()).boxed(),
        Field::Digits => counted("[0-9]{4,20}".prop_map(String::into_bytes)).boxed(),
        Field::Tag => counted("[a-zA-Z0-9]{1,20}".prop_map(String::into_bytes)).boxed(),
        Field::Digest(lengths) => (0..5_u8, bytes(64..65))
            .prop_map(|(kind, digest)| {
                let known = lengths.iter().find(|&&(known, _)| known == kind);
                [vec![kind], digest[..known.map_or(7, |&(_, length)| length)].to_vec()].concat()
            })
            .boxed(),
        Field::Types | Field::OptionalTypes => {
            prop::collection::btree_map(any::<u8>(), (bytes(0..31), 1..=255_u8), 1..4)
                .prop_map(|windows| {
                    let window = |(window, (front, last)): (u8, (Vec<u8>, u8))| {
                        [vec![window, u8::try_from(front.len() + 1).unwrap()], front, vec![last]].concat()
                    };
                    windows.into_iter().flat_map(window).collect::<Vec<u8>>()
                })
                .boxed()
        }
        Field::Parameters => prop::collection::btree_map(9..65_534_u16, bytes(0..20), 0..4)
            .prop_map(|all| {
                let one = |(key, value): (u16, Vec<u8>)| {
                    let length = u16::try_from(value.len()).unwrap();
                    [key.to_be_bytes().to_vec(), length.to_be_bytes().to_vec(), value].concat()
                };
                all.into_iter().flat_map(one).collect::<Vec<u8>>()
            })
            .boxed(),
        Field::Gateway => (0..4_u8, any::<u8>(), wire_name(), bytes(16..40))
            .prop_map(|(kind, algorithm, name, key)| {
                let gateway = match kind {
                    1 => key[..4].to_vec(),
                    2 => key[..16].to_vec(),
                    3 => name,
                    _ => Vec::new(),
                };
                [vec![kind, algorithm], gateway, key].concat()
            })
            .boxed(),
        Field::Relay => wire_name().prop_map(|name| [vec![0x83], name].concat()).boxed(),
        _ => bytes(0..64).boxed(),
    }
}

pub(crate) fn any_rdata() -> impl Strategy<Value = (Type, Vec<u8>)> {
    prop::sample::select(ROWS).prop_flat_map(|row| {
        let fields: Vec<_> = row.fields.iter().map(|&field| field_wire(field)).collect();
        let wire =
            prop_oneof![4 => fields.prop_map(|all| all.concat()), 1 => prop::collection::vec(any::<u8>(), 0..80)];
        (Just(row.rtype), wire)
    })
}

proptest! {
    /// What the check lets pass, print can write and parse reads back to the same bytes.
    #[test]
    fn checked_wire_survives_text((rtype, wire) in any_rdata()) {
        let text = print(rtype, &wire);
        if check(rtype, &wire).is_ok() {
            let back = parse(rtype, &text, &origin());
            prop_assert_eq!(back.as_ref(), Ok(&wire), "{} {}", rtype, text);
            prop_assert_eq!(canonical(rtype, &wire).len(), wire.len());
            prop_assert!(matches!(rtype.0, 10 | 34 | 42) || !text.starts_with(r"\#"), "{} {}", rtype, text);
        } else {
            prop_assert!(text.starts_with(r"\#"));
        }
    }

    /// Any text is read or refused, and what is read is well formed.
    #[test]
    fn any_text_is_read_or_refused(row in prop::sample::select(ROWS), text in ".{0,80}") {
        if let Ok(wire) = parse(row.rtype, &text, &origin()) {
            prop_assert!(check(row.rtype, &wire).is_ok());
        }
    }

    /// Words that look like RDATA, in a wrong place or number.
    #[test]
    fn shuffled_words_are_read_or_refused(
        row in prop::sample::select(ROWS),
        words in prop::collection::vec(prop::sample::select(EXAMPLES.iter().flat_map(|(_, text, _)| text.split(' ')).collect::<Vec<_>>()), 0..8),
    ) {
        if let Ok(wire) = parse(row.rtype, &words.join(" "), &origin()) {
            prop_assert!(check(row.rtype, &wire).is_ok());
        }
    }
}
