//! Any bytes and mutated queries: the engine never panics, its replies parse, fit, and echo what was asked.

use failoverd::answer::{Transport, read};
use failoverd::dns::Type;
use failoverd::dns::message::{Header, Opcode};
use failoverd::zone::table::Builder;
use proptest::prelude::*;

use super::world::{Answer, World, name, query};

const ZONE: &str = "
@ SOA ns mail 1 2 3 4 5
@ NS ns
@ MX 10 mail
ns A 192.0.2.1
mail A 192.0.2.2
www CNAME mail
*.wild A 192.0.2.3
sub NS ns.sub
ns.sub A 192.0.2.4
old DNAME new
x.new A 192.0.2.5
big TXT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
";

fn questions() -> impl Strategy<Value = String> {
    let known = ["", "www.", "nobody.", "q.wild.", "x.sub.", "x.old.", "big.", "mail."].map(String::from);
    let host = prop_oneof![4 => prop::sample::select(known.to_vec()), 1 => "[a-z]{1,20}\\."];
    let rtype = prop_oneof![
        Just("A"),
        Just("MX"),
        Just("NS"),
        Just("SOA"),
        Just("ANY"),
        Just("AXFR"),
        Just("TYPE0"),
        Just("TYPE65535")
    ];
    let options = prop_oneof![Just(""), Just("+tcp"), Just("+edns=0"), Just("+edns=1232"), Just("+edns=65535 +do")];
    (host, rtype, options).prop_map(|(host, rtype, options)| format!("{host}example.com {rtype} {options}"))
}

fn holds(world: &mut World, bytes: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let Some(reply) = world.exchange(bytes, transport) else {
        prop_assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0, "silence is for replies and stumps");
        return Ok(());
    };
    let (answer, ask, header) = (Answer::parse(&reply), read(bytes), Header::read(&reply).unwrap());
    let size = match transport {
        Transport::Udp => ask.opt.as_ref().map_or(512, |opt| usize::from(opt.size).clamp(512, 1232)),
        _ => 65_535,
    };
    prop_assert!(reply.len() <= size);
    prop_assert_eq!(&reply[..2], &bytes[..2]);
    prop_assert_eq!(header.opcode(), Opcode(bytes[2] >> 3 & 0xf));
    prop_assert_eq!(usize::from(header.counts[0]), usize::from(ask.has_question()));
    prop_assert_eq!(&reply[12..ask.question_end()], &bytes[12..ask.question_end()]);
    prop_assert_eq!(answer.opt.is_some(), ask.opt.is_some());
    // Four bytes of an option's head and two of an Extended DNS Error.
    let opt = if answer.opt.is_some() { 11 + 6 } else { 0 };
    if answer.rcode != "NOERROR" && answer.rcode != "NXDOMAIN" {
        prop_assert!(reply.len() <= ask.question_end() + opt, "an error is no amplifier");
    }
    Ok(())
}

#[test]
fn rdata_that_is_not_what_its_type_says_does_no_harm() {
    for rdata in [&[][..], &[0], &[63], &[5, b'a'], &[0xc0, 0x0c], &[1; 300], &[200; 65]] {
        for rtype in [Type::NS, Type::CNAME, Type::SOA, Type::MX, Type::DNAME, Type::SRV, Type::HTTPS, Type::A] {
            let mut builder = Builder::new(name("example.com"));
            for owner in ["example.com", "x.example.com"] {
                builder.push(&name(owner), rtype, 60, rdata).unwrap();
            }
            let mut world = World::of([builder.finish().0]);
            for asked in ["example.com", "x.example.com", "y.x.example.com", "nobody.example.com"] {
                for qtype in [rtype, Type::TXT, Type::SOA, Type::ANY] {
                    let (bytes, transport) = query(&format!("{asked} TYPE{} +tcp", qtype.0));
                    assert!(world.exchange(&bytes, transport).is_some());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600), tcp in any::<bool>()) {
        holds(&mut World::new(&[("example.com", ZONE)]), &bytes, if tcp { Transport::Tcp } else { Transport::Udp })?;
    }

    #[test]
    fn mutated_queries(question in questions(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..5)) {
        let (mut bytes, transport) = query(&question);
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        holds(&mut World::new(&[("example.com", ZONE)]), &bytes, transport)?;
    }
}
