//! A small, slow reader of DNS messages for tests: independent of the engine's own.

use failoverd::dns::{Name, Type, rdata};

/// The name at `at`, uncompressed, and where the bytes go on behind it.
pub fn name_at(message: &[u8], mut at: usize) -> (Name, usize) {
    let (mut wire, mut after) = (Vec::new(), None);
    for _ in 0..128 {
        match message[at] {
            0 => {
                wire.push(0);
                return (Name::from_wire(&wire).expect("a name"), after.unwrap_or(at + 1));
            }
            length if length < 64 => {
                wire.extend_from_slice(&message[at..=at + usize::from(length)]);
                at += usize::from(length) + 1;
            }
            high => {
                after.get_or_insert(at + 2);
                at = usize::from(high & 0x3f) << 8 | usize::from(message[at + 1]);
            }
        }
    }
    panic!("a loop of pointers")
}

/// Rcode and flags, then every record of the three sections but OPT, one a line.
pub fn lines(message: &[u8]) -> Vec<String> {
    let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let rcode = match message[3] & 15 {
        0 => "NOERROR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        5 => "REFUSED",
        other => return vec![format!("rcode {other}")],
    };
    let mut flags = String::new();
    for (mask, text) in [(0x04, " aa"), (0x02, " tc")] {
        if message[2] & mask != 0 {
            flags.push_str(text);
        }
    }
    let mut lines = vec![format!("{rcode}{flags}")];
    let mut at = 12;
    for _ in 0..number(4) {
        at = name_at(message, at).1 + 4;
    }
    for count in [number(6), number(8), number(10)] {
        for _ in 0..count {
            let (owner, after) = name_at(message, at);
            let rtype = Type(number(after));
            let ttl = u32::from(number(after + 4)) << 16 | u32::from(number(after + 6));
            let length = usize::from(number(after + 8));
            let start = after + 10;
            at = start + length;
            let plain = match rtype {
                Type::OPT => continue,
                Type::CNAME | Type::NS | Type::PTR | Type::DNAME => name_at(message, start).0.as_wire().to_vec(),
                Type::SOA => {
                    let (mname, next) = name_at(message, start);
                    let (rname, next) = name_at(message, next);
                    [mname.as_wire(), rname.as_wire(), &message[next..at]].concat()
                }
                _ => message[start..at].to_vec(),
            };
            lines.push(format!("{owner} {ttl} IN {rtype} {}", rdata::print(rtype, &plain)));
        }
    }
    lines
}
