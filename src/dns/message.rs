//! Header, records and OPT of a message as they are on the wire (RFC 1035 §4.1, RFC 6891), and the numbers of the
//! protocol. Nothing here keeps a copy: readers give places in the message.

use std::fmt;
use std::ops::Range;

use crate::dns::{Class, Type};

/// Length of the header (RFC 1035 §4.1.1), and so the place of the question.
pub const HEADER: usize = 12;
/// Longest message, over TCP (RFC 1035 §4.2.2).
pub const MESSAGE_MAX: usize = 65_535;
/// Longest reply over UDP to a query without OPT (RFC 1035 §4.2.1).
pub const UDP_MAX: usize = 512;
/// An OPT record without options (RFC 6891 §6.1.2).
pub const OPT_LENGTH: usize = 11;
/// Places above this are out of reach of a compression pointer (RFC 1035 §4.1.4).
pub const POINTER_MAX: usize = 0x3fff;

/// Flags of the header's second word (RFC 1035 §4.1.1, RFC 4035 §3).
pub mod flag {
    /// This is a reply.
    pub const QR: u16 = 0x8000;
    /// The answer comes from the authority for the name.
    pub const AA: u16 = 0x0400;
    /// The reply was cut.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Checking disabled.
    pub const CD: u16 = 0x0010;
    /// DNSSEC OK, in the flags of OPT (RFC 3225 §3).
    pub const DO: u16 = 0x8000;
}

/// Codes of EDNS options.
pub mod option {
    /// RFC 5001.
    pub const NSID: u16 = 3;
    /// Client subnet, RFC 7871.
    pub const SUBNET: u16 = 8;
    /// RFC 7873.
    pub const COOKIE: u16 = 10;
    /// edns-tcp-keepalive, RFC 7828.
    pub const KEEPALIVE: u16 = 11;
    /// RFC 7830.
    pub const PADDING: u16 = 12;
    /// Extended DNS Error, RFC 8914.
    pub const ERROR: u16 = 15;
}

/// Kind of query (RFC 1035 §4.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opcode(pub u8);

impl Opcode {
    pub const QUERY: Self = Self(0);
    pub const NOTIFY: Self = Self(4);
    pub const UPDATE: Self = Self(5);
}

/// Response code, with the upper bits that OPT carries (RFC 1035 §4.1.1, RFC 6891 §6.1.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rcode(pub u16);

impl Rcode {
    pub const NOERROR: Self = Self(0);
    pub const FORMERR: Self = Self(1);
    pub const SERVFAIL: Self = Self(2);
    pub const NXDOMAIN: Self = Self(3);
    pub const NOTIMP: Self = Self(4);
    pub const REFUSED: Self = Self(5);
    pub const YXDOMAIN: Self = Self(6);
    pub const NOTAUTH: Self = Self(9);
    pub const BADVERS: Self = Self(16);
    /// RFC 7873 §8.
    pub const BADCOOKIE: Self = Self(23);

    /// The name people know it by, in lower case; `other` where it has none here.
    pub fn word(self) -> &'static str {
        match self {
            Self::NOERROR => "noerror",
            Self::FORMERR => "formerr",
            Self::SERVFAIL => "servfail",
            Self::NXDOMAIN => "nxdomain",
            Self::NOTIMP => "notimp",
            Self::REFUSED => "refused",
            Self::YXDOMAIN => "yxdomain",
            Self::NOTAUTH => "notauth",
            Self::BADVERS => "badvers",
            Self::BADCOOKIE => "badcookie",
            _ => "other",
        }
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word() {
            "other" => write!(f, "RCODE{}", self.0),
            word => f.write_str(&word.to_ascii_uppercase()),
        }
    }
}

/// Extended DNS Error: INFO-CODE of RFC 8914 §4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedError(pub u16);

impl ExtendedError {
    pub const OTHER: Self = Self(0);
    pub const NOT_READY: Self = Self(14);
    pub const PROHIBITED: Self = Self(18);
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    pub const NOT_SUPPORTED: Self = Self(21);
}

/// The header of a message.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Header {
    pub id: u16,
    /// QR, opcode, the flags and the lower four bits of the rcode.
    pub flags: u16,
    /// QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT as the message claims them.
    pub counts: [u16; 4],
}

impl Header {
    /// `None` under 12 bytes.
    pub fn read(message: &[u8]) -> Option<Self> {
        let head: &[u8; HEADER] = message.first_chunk()?;
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        Some(Self { id: word(0), flags: word(2), counts: [word(4), word(6), word(8), word(10)] })
    }

    pub fn is_response(&self) -> bool {
        self.flags & flag::QR != 0
    }

    pub fn opcode(&self) -> Opcode {
        Opcode((self.flags >> 11) as u8 & 0xf)
    }

    /// The rcode without OPT's upper bits.
    pub fn rcode(&self) -> Rcode {
        Rcode(self.flags & 0xf)
    }
}

/// Where a record stands in a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordView {
    /// First byte of the owner.
    pub owner: usize,
    pub rtype: Type,
    pub class: Class,
    pub ttl: u32,
    /// The RDATA; ends where the next record begins.
    pub rdata: Range<usize>,
}

/// The record that begins at `at`; `None` if the message ends first or the owner is no name.
pub fn record(message: &[u8], at: usize) -> Option<RecordView> {
    let head_at = skip_name(message, at)?;
    let &[t0, t1, c0, c1, l0, l1, l2, l3, n0, n1] = message.get(head_at..)?.first_chunk()?;
    let start = head_at + 10;
    let rdata = start..start + usize::from(u16::from_be_bytes([n0, n1]));
    (rdata.end <= message.len()).then(|| RecordView {
        owner: at,
        rtype: Type(u16::from_be_bytes([t0, t1])),
        class: Class(u16::from_be_bytes([c0, c1])),
        ttl: u32::from_be_bytes([l0, l1, l2, l3]),
        rdata,
    })
}

/// The place behind the name that begins at `at`. A pointer ends the name and must lead backwards (RFC 9267 §2); it is
/// not followed.
pub fn skip_name(message: &[u8], at: usize) -> Option<usize> {
    let mut next = at;
    loop {
        let length = *message.get(next)?;
        match length {
            0 => return Some(next + 1),
            1..=63 => next += usize::from(length) + 1,
            0xc0..=0xff => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(*message.get(next + 1)?);
                return (target < at).then_some(next + 2);
            }
            64..=0xbf => return None,
        }
        if next - at >= crate::dns::name::NAME_MAX {
            return None;
        }
    }
}

/// What a query's OPT says (RFC 6891 §6.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opt {
    /// The sender's UDP payload size, as it stands there.
    pub size: u16,
    pub version: u8,
    /// DO and the bits without a meaning.
    pub flags: u16,
    /// The options' place in the message.
    pub options: Range<usize>,
}

impl Opt {
    /// `None` if the owner is not the root (RFC 6891 §6.1.2) or the options do not fill the RDATA. What the RDATA of
    /// another version means is not known.
    pub fn read(message: &[u8], record: &RecordView) -> Option<Self> {
        if message.get(record.owner) != Some(&0) {
            return None;
        }
        let opt = Self {
            size: record.class.0,
            version: (record.ttl >> 16) as u8,
            flags: record.ttl as u16,
            options: record.rdata.clone(),
        };
        if opt.version == 0 {
            let mut rest = message.get(record.rdata.clone())?;
            while !rest.is_empty() {
                (_, rest) = first_option(rest)?;
            }
        }
        Some(opt)
    }

    /// Code and data of every option, in the order of the message this was read from.
    pub fn options<'m>(&self, message: &'m [u8]) -> impl Iterator<Item = (u16, &'m [u8])> + use<'m> {
        let mut rest = message.get(self.options.clone()).unwrap_or_default();
        std::iter::from_fn(move || {
            let (option, behind) = first_option(rest)?;
            rest = behind;
            Some(option)
        })
    }

    pub fn wants_dnssec(&self) -> bool {
        self.flags & flag::DO != 0
    }
}

/// Code and data of the option that stands first, and what stands behind it (RFC 6891 §6.1.2).
fn first_option(rdata: &[u8]) -> Option<((u16, &[u8]), &[u8])> {
    let (&[c0, c1, l0, l1], rest) = rdata.split_first_chunk()?;
    let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
    Some(((u16::from_be_bytes([c0, c1]), data), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_a_pointer_that_leads_backwards() {
        for (message, at, end) in [
            (&b"\x03www\0rest"[..], 0, Some(5)),
            (b"\0", 0, Some(1)),
            (b"....\x01a\xc0\x00", 4, Some(8)),
            (b"....\x01a\xc0\x04", 4, None),
            (b"\xc0\x00", 0, None),
            (b"....\xc0", 4, None),
            (b"\x40aaaa", 0, None),
            (b"\x80aaaa", 0, None),
            (b"\x05ab", 0, None),
            (b"", 0, None),
        ] {
            assert_eq!(skip_name(message, at), end, "{message:?}");
        }
        let long = [b"\x01a".repeat(127), vec![0]].concat();
        assert_eq!(skip_name(&long, 0), Some(255));
        assert_eq!(skip_name(&[b"\x01a".repeat(128), vec![0]].concat(), 0), None);
    }

    #[test]
    fn opt_is_read_as_rfc_6891_6_1_2_lays_it_out() {
        let message = b"\x00\x00\x29\x10\x00\x01\x00\x80\x00\x00\x04\x00\x03\x00\x00";
        let view = record(message, 0).unwrap();
        let opt = Opt::read(message, &view).unwrap();
        assert_eq!((opt.size, opt.version, opt.wants_dnssec()), (4096, 0, true));
        assert_eq!(opt.options(message).collect::<Vec<_>>(), [(3, &[][..])]);
        let mut bad = *message;
        bad[14] = 1;
        assert_eq!(Opt::read(&bad, &view), None, "an option runs over the end");
        bad[6] = 2;
        let view = record(&bad, 0).unwrap();
        assert_eq!(Opt::read(&bad, &view).unwrap().version, 2, "it may mean something else there");
        assert_eq!(record(&message[..14], 0), None);
    }
}
