//! Zones as the model and as the engine have them: standing ones that hold every corner, and small ones from bytes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use failoverd::answer::{Client, Desk, Disposition, Reply, Transport, answer, reach, read};
use failoverd::config::{Answering, Cookies};
use failoverd::dns::{Name, Serial, Type};
use failoverd::snapshot::{Generation, Snapshot, ZoneVersion};
use failoverd::zone::report::Report;
use failoverd::zone::table::{Builder, Change};
use failoverd::zone::{Files, master};

use super::input::Input;
use super::model::{Row, Zone};

/// A nameserver without sockets, and what it should know.
pub struct World {
    pub zones: Vec<Zone>,
    pub snapshot: Snapshot,
}

/// One file, whatever its name.
struct One<'t>(&'t str);

impl Files for One<'_> {
    fn open(&self, _: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

impl World {
    /// Serves these zones.
    pub fn of(zones: Vec<Zone>) -> Self {
        let versions = zones.iter().map(|zone| {
            let mut builder = Builder::new(zone.apex.clone());
            for row in &zone.rows {
                builder.push(&row.owner, row.rtype, row.ttl, &row.rdata).expect("a record for this zone");
            }
            let silences: Vec<Change> =
                zone.silent.iter().map(|owner| Change::Silence { owner: owner.clone(), silent: true }).collect();
            let table = builder.finish().0.with(&silences);
            Arc::new(ZoneVersion { apex: zone.apex.clone(), serial: Serial(1), table })
        });
        let snapshot = Snapshot {
            generation: Generation(1),
            zones: versions.collect(),
            answering: Arc::new(Answering {
                name: "ns1".into(),
                nsid: true,
                cookies: Cookies::of([[7; 16]]),
                ..Answering::default()
            }),
            ..Snapshot::default()
        };
        Self { snapshot, zones }
    }

    /// Zones in master format by apex; `; silent NAME` makes a name silent, and `; signed` signs all.
    fn parse(texts: &[(&str, &str)]) -> Self {
        let zones = texts.iter().map(|(apex, text)| {
            let mut zone = Zone::new(name(apex));
            let text = format!("$TTL 300\n{text}");
            let mut report = Report::default();
            master::read(&One(&text), &zone.apex.clone(), Path::new(apex), &mut report, &mut |record, _| {
                let (owner, rdata) = (record.name(), record.rdata.to_vec());
                zone.rows.push(Row { owner, rtype: record.rtype, ttl: record.ttl, rdata });
            });
            assert!(report.is_empty(), "{report}");
            if text.lines().any(|line| line == "; signed") {
                zone.sign();
            }
            let silent = text.lines().filter_map(|line| line.strip_prefix("; silent "));
            zone.silent =
                silent.map(|owner| Name::parse(owner.as_bytes(), Some(&zone.apex)).expect("a name")).collect();
            zone
        });
        Self::of(zones.collect())
    }

    /// What the engine replies; none if it is silent.
    pub fn exchange(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let client = Client { address: ([127, 0, 0, 1], 5300).into(), transport };
        let (mut desk, mut out) = (Desk::new(1), Reply::new());
        let ask = read(query);
        reach(&self.snapshot, std::slice::from_ref(&ask));
        let disposition = answer(query, &ask, &client, &self.snapshot, &mut desk, &mut out);
        (disposition == Disposition::Send).then(|| out.bytes().to_vec())
    }
}

pub fn name(text: &str) -> Name {
    Name::absolute(text).expect("a name")
}

/// Worlds that are always the same; made once.
pub fn standing(at: usize) -> &'static World {
    static WORLDS: OnceLock<Vec<World>> = OnceLock::new();
    let worlds = WORLDS.get_or_init(|| STANDING.iter().map(|texts| World::parse(texts)).collect());
    &worlds[at % worlds.len()]
}

/// How many there are.
pub const STANDING_COUNT: usize = STANDING.len();

/// Each with the zones that are served side by side.
const STANDING: [&[(&str, &str)]; 8] = [
    &[("example.com", PLAIN)],
    // RFC 4592 §2.2.1, and more of the kind.
    &[("example", WILDCARDS)],
    &[
        ("example.com", ALIASES),
        (
            "example.net",
            "@ SOA ns mail 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.1\n*.w A 192.0.2.2\nback CNAME loop1.example.com.\n",
        ),
    ],
    &[(".", ROOT), ("com", COM), ("example.com", CUTS)],
    &[("example.com", CUTS)],
    &[("example.com", STEERED), ("big.example.com", BIG)],
    &[("example", SIGNED_WILDCARDS)],
    &[("com", COM), ("example.com", SIGNED_CUTS)],
];

const PLAIN: &str = r#"
@ 3600 SOA ns1 Host.Master 7 7200 3600 1209600 60
@ NS ns1
@ NS Ns2
@ NS ns.elsewhere.test.
@ MX 10 mail
@ MX 20 mail.sub.example.com.
@ MX 0 .
@ A 192.0.2.1
@ AAAA 2001:db8::1
@ TXT "v=spf1 -all" "more"
@ CAA 0 issue "ca.example.net"
@ HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1
@ DS 12345 13 2 0123456789012345678901234567890123456789012345678901234567890123
ns1 A 192.0.2.53
ns1 60 AAAA 2001:db8::53
ns2 A 192.0.2.54
mail A 192.0.2.25
mail 30 A 192.0.2.26
www CNAME @
WWW2 300 CNAME WWW
alias CNAME x.elsewhere.test.
gone CNAME nobody
_sip._tcp SRV 0 5 5060 mail
_sip._tcp SRV 0 5 5060 sip.elsewhere.test.
_sip._tcp SRV 1 0 0 .
svc SVCB 0 target
svc SVCB 1 mail port=8443
target SVCB 1 . port=1
target A 192.0.2.80
own HTTPS 0 own
own A 192.0.2.81
naptr NAPTR 1 1 "a" "" "" mail
naptr NAPTR 1 2 "s" "" "" _sip._tcp
naptr NAPTR 1 3 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .
x AFSDB 1 mail
x RT 1 mail
x KX 1 mail
x MINFO mail Mail
x PTR Mail
x RP mail txt
x TYPE65280 \# 3 010203
a.b.c.d.e.f.g.h.i.j.k TXT deep
"#;

const WILDCARDS: &str = r#"
@ SOA ns admin 1 2 3 4 5000
@ NS ns.example.com.
@ NS ns.example.net.
* TXT "this is a wildcard"
* MX 10 host1
sub.* TXT "this is not a wildcard"
host1 A 192.0.2.1
_ssh._tcp.host1 SRV 0 0 22 host1
_ssh._tcp.host2 SRV 0 0 22 host1
subdel NS ns.example.com.
subdel NS ns.subdel
ns.subdel A 192.0.2.3
c.subdel A 192.0.2.4
*.ent.w A 192.0.2.5
*.cname CNAME host1
*.loop CNAME x.loop
*.a.cname CNAME y.cname
*.d DNAME host1
x.d TXT x
*.ns NS host1
www.*.ns A 192.0.2.6
*.https HTTPS 1 . alpn=h2
*.https A 192.0.2.7
*.mx MX 0 x.mx
*.*.two TXT "two stars"
"#;

const SIGNED_WILDCARDS: &str = r#"; signed
@ SOA ns admin 1 2 3 4 5000
@ NS ns.example.com.
@ DNSKEY 257 3 13 AQID
* TXT "this is a wildcard"
* MX 10 host1
sub.* TXT "this is not a wildcard"
host1 A 192.0.2.1
host1 AAAA 2001:db8::1
mail MX 0 host1
a.ent.w A 192.0.2.5
*.w A 192.0.2.6
*.cname CNAME host1
twice CNAME x.again
*.again CNAME y.cname
out CNAME www.example.net.
none CNAME x.host1
d DNAME w
dd DNAME cname
subdel NS ns.subdel
ns.subdel A 192.0.2.3
safe NS ns.subdel
safe DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123
"#;

const SIGNED_CUTS: &str = r#"; signed
@ 600 SOA ns admin 1 2 3 4 5
@ NS ns
ns A 192.0.2.4
mail MX 10 ns
sub NS ns.sub
sub NS ns
ns.sub A 192.0.2.7
ent.below.sub A 192.0.2.7
safe NS ns.sub
safe NS ns.safe
safe 60 DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123
safe 60 DS 2 13 2 0123456789012345678901234567890123456789012345678901234567890123
ns.safe A 192.0.2.8
www A 192.0.2.9
a.b.c A 192.0.2.10
wide TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
wide TXT "1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
tosafe CNAME x.safe
tosub CNAME x.sub
"#;

const ALIASES: &str = r#"
@ SOA ns mail 1 2 3 4 5
@ NS ns.example.net.
@ TXT apex
c1 CNAME c2
c2 CNAME c3
c3 CNAME c4
c4 CNAME c5
c5 CNAME c6
c6 CNAME c7
c7 CNAME c8
c8 CNAME c9
c9 CNAME c10
c10 CNAME c11
c11 CNAME c12
c12 CNAME c13
c13 CNAME c14
c14 CNAME c15
c15 CNAME c16
c16 CNAME c17
c17 CNAME c18
c18 A 192.0.2.1
loop1 CNAME loop2
loop2 CNAME back.example.net.
self CNAME self
d DNAME example.net.
d TXT beside
below.d A 192.0.2.9
dd DNAME d
deep DNAME a.deep
up.deeper DNAME deeper
ddd 60 DNAME dd
into DNAME w.example.net.
cut NS ns.cut
ns.cut A 192.0.2.2
tocut CNAME x.cut
todname CNAME www.d
long DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test.
x DNAME .
star.* CNAME c18
* DNAME w.example.net.
"#;

const ROOT: &str = r#"
. SOA a.root. admin.root. 1 2 3 4 5
. NS a.root.
. NS a.net.
a.root. A 192.0.2.1
com. NS a.com.
a.com. A 192.0.2.2
com. DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123
net. NS a.net.
a.net. A 192.0.2.3
a.net. AAAA 2001:db8::3
org. CNAME com.
* TXT root
"#;

const COM: &str = r#"
@ SOA a admin 1 2 3 4 5
@ NS a
a A 192.0.2.2
example NS ns.example
example NS ns.sibling
example DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123
ns.example A 192.0.2.4
sibling NS ns.sibling
ns.sibling A 192.0.2.5
alias CNAME www.example
down CNAME x.sub.example
"#;

const CUTS: &str = r#"
@ SOA ns admin 1 2 3 4 5
@ NS ns
ns A 192.0.2.4
www A 192.0.2.6
mail MX 10 ns.sub
srv SRV 0 0 1 host.sub
sub NS ns.sub
sub NS ns
sub NS ns.other
sub NS ns.elsewhere.test.
sub 60 DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123
sub TXT occluded
ns.sub A 192.0.2.7
ns.sub AAAA 2001:db8::7
host.sub A 192.0.2.8
deep.sub NS ns.deep.sub
ns.deep.sub A 192.0.2.9
other NS ns.other
ns.other A 192.0.2.10
*.star NS ns.star
ns.star A 192.0.2.11
many NS n1.many
many NS n2.many
many NS n3.many
many NS n4.many
many NS n5.many
many NS n6.many
many NS n7.many
many NS n8.many
many NS n9.many
many NS n10.many
many NS n11.many
many NS n12.many
many NS n13.many
$GENERATE 1-13 n$.many A 192.0.2.$
$GENERATE 1-13 n$.many AAAA 2001:db8::$
$GENERATE 1-40 wide NS x${0,20,d}.wide
$GENERATE 1-40 x${0,20,d}.wide A 192.0.2.$
tosub CNAME a.sub
dn DNAME sub
"#;

const STEERED: &str = r#"
@ SOA ns admin 1 2 3 4 5
@ NS ns
ns A 192.0.2.4
www A 192.0.2.6
; silent quiet
; silent quiet.below.ent
; silent *.hush
; silent mx
; silent ns.cut
quiet TXT known
mx MX 10 quiet
mail MX 10 mx
mx A 192.0.2.7
to CNAME quiet
tohush CNAME x.hush
sub.hush A 192.0.2.8
dn DNAME hush
cut NS ns.cut
ns.cut A 192.0.2.9
"#;

const BIG: &str = r#"
@ SOA ns admin 1 2 3 4 5
@ NS ns
$GENERATE 1-250 a A 192.0.2.$
$GENERATE 1-30 just A 192.0.2.$
$GENERATE 1-200 mx MX "10 h$"
$GENERATE 1-200 h$ A 192.0.2.$
$GENERATE 1-200 fat TXT "$ 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
$GENERATE 1-22 ns$ A 192.0.2.$
$GENERATE 1-20 srv SRV "0 0 $ h$"
alias CNAME mx
edge TXT 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234
edge TXT 1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
"#;

const APEXES: [&str; 4] = ["z", "s.z", "y", "."];
/// Few, so that names meet.
const PLACES: [&str; 8] = ["z", "z", "z", "s.z", "s.z", "y", ".", "x"];
const DEPTHS: [usize; 8] = [0, 1, 1, 2, 2, 3, 3, 4];
const LABELS: [&[u8]; 8] = [b"a", b"a", b"b", b"b", b"*", b"*", b"s", b"A"];
const TYPES: [Type; 10] =
    [Type::A, Type::NS, Type::CNAME, Type::DNAME, Type::DS, Type::MX, Type::AAAA, Type::SRV, Type::HTTPS, Type::TXT];

/// One to four tiny zones of a dozen records on which wildcards, cuts and aliases meet by chance. Records that cannot
/// stand where they would are left out.
pub fn chosen(input: &mut Input<'_>) -> World {
    let count = 1 + input.below(APEXES.len());
    let mut zones: Vec<Zone> = APEXES[..count].iter().map(|apex| Zone::new(name(apex))).collect();
    for zone in &mut zones {
        let minimum = u32::from(input.byte());
        let numbers = [1, 2, 3, 4, minimum].map(u32::to_be_bytes);
        let rdata = [name("ns.z").as_wire(), name("Mail.z").as_wire(), numbers.as_flattened()].concat();
        zone.rows.push(Row { owner: zone.apex.clone(), rtype: Type::SOA, ttl: 60, rdata });
    }
    for _ in 0..input.below(16) {
        let (owner, form) = (some_name(input), input.byte());
        let rtype = TYPES[usize::from(form & 0xf) % TYPES.len()];
        let host = input.byte();
        let target =
            if matches!(rtype, Type::A | Type::AAAA | Type::TXT | Type::DS) { name(".") } else { some_name(input) };
        let target = if rtype == Type::DNAME { target.folded() } else { target };
        let rdata = match rtype {
            Type::A => vec![192, 0, 2, host],
            Type::AAAA => [&[0; 15][..], &[host]].concat(),
            Type::TXT => [&[host.min(200)][..], &vec![b'x'; usize::from(host.min(200))]].concat(),
            Type::DS => [&[0, 1, 13, 2, host][..], &[0; 31]].concat(),
            Type::MX | Type::HTTPS => [&[0, host & 1][..], target.as_wire()].concat(),
            Type::SRV => [&[0, 0, 0, 0, 0, host][..], target.as_wire()].concat(),
            _ => target.as_wire().to_vec(),
        };
        let row = Row { owner, rtype, ttl: if form & 0x80 == 0 { 60 } else { 30 }, rdata };
        for zone in &mut zones {
            if form & 0x70 == 0x70 && row.owner.is_within(&zone.apex) {
                zone.silent.insert(row.owner.clone());
            } else if may_stand(zone, &row) {
                zone.rows.push(row.clone());
            }
        }
    }
    World::of(zones)
}

/// Up to four labels below one of the apexes, or below none.
pub fn some_name(input: &mut Input<'_>) -> Name {
    let form = usize::from(input.byte());
    let mut owner = name(PLACES[form >> 3 & 7]);
    for _ in 0..DEPTHS[form & 7] {
        let choice = input.byte();
        // Long labels now and then, so that names can be too long.
        let label = if choice > 0xf0 { &[b'a'; 63] } else { LABELS[usize::from(choice & 7)] };
        owner = owner.child(label).unwrap_or(owner);
    }
    owner
}

fn may_stand(zone: &Zone, row: &Row) -> bool {
    let beside: Vec<&Row> = zone.rows.iter().filter(|other| other.owner == row.owner).collect();
    let is_alias = |rtype| rtype == Type::CNAME;
    row.owner.is_within(&zone.apex)
        && (beside.is_empty() || !is_alias(row.rtype))
        && !beside.iter().any(|other| is_alias(other.rtype))
        && !(row.rtype == Type::DNAME && beside.iter().any(|other| other.rtype == Type::DNAME))
}
