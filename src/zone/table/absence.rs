//! The SOA as negative answers have it (RFC 2308 §3), rendered once for each version of a zone: a flood of names that
//! are not there is answered by a copy. Where a question has the apex in another case than the zone, whose case names keep,
//! it is written anew.

use crate::dns::Type;
use crate::dns::name::wire_length;
use crate::zone::table::node::{OWNER, RECORD_HEAD};
use crate::zone::table::{Node, Records};

/// One whole record. Its owner, and each name in it that ends in the apex, ends in a pointer to be filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Absence {
    pub wire: Box<[u8]>,
    /// Where the pointers stand: each is two bytes.
    pub pointers: Vec<usize>,
}

impl Absence {
    /// Of the zone with this apex; `None` if it has no SOA, or one that is broken, and for the root, to which no pointer is
    /// worth while.
    pub(super) fn of(apex: Node<'_>) -> Option<Self> {
        let soa: Records<'_> = apex.records(Type::SOA).filter(|_| apex.table.apex_wire().len() > OWNER.len())?;
        let (mut rest, apex_length) = (soa.rdata().next()?, apex.table.apex_wire().len());
        let minimum = u32::from_be_bytes(*rest.last_chunk()?);
        let (mut wire, mut pointers) = (soa.wire.get(..RECORD_HEAD)?.to_vec(), vec![0]);
        // RFC 2308 §5: the lesser of its own TTL and MINIMUM.
        wire[6..10].copy_from_slice(&soa.ttl().min(minimum).to_be_bytes());
        for &tail in soa.tails {
            let (name, behind) = rest.split_at_checked(wire_length(rest).ok()?)?;
            rest = behind;
            if tail == 0 {
                wire.extend_from_slice(name);
            } else {
                wire.extend_from_slice(name.get(..name.len().checked_sub(apex_length)?)?);
                pointers.push(wire.len());
                wire.extend_from_slice(&OWNER);
            }
        }
        wire.extend_from_slice(rest);
        let length = u16::try_from(wire.len() - RECORD_HEAD).ok()?;
        wire[RECORD_HEAD - 2..RECORD_HEAD].copy_from_slice(&length.to_be_bytes());
        Some(Self { wire: wire.into(), pointers })
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::{Name, Serial, Type};
    use crate::zone::table::{Builder, Change};

    const NUMBERS: &[u8] = b"\0\0\0\x07\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x3c";

    #[test]
    fn it_is_the_soa_with_the_lesser_ttl_and_gaps_for_the_apex() {
        let apex = Name::absolute("zone.test").unwrap();
        let mut builder = Builder::new(apex.clone());
        let rdata = [b"\x02ns\x04zone\x04test\0\x04host\x05other\0", NUMBERS].concat();
        builder.push(&apex, Type::SOA, 3600, &rdata).unwrap();
        let (table, _) = builder.finish();
        let absence = table.absence().unwrap();
        let head = b"\xc0\x0c\0\x06\0\x01\0\0\0\x3c\0\x25";
        assert_eq!(*absence.wire, [&head[..], b"\x02ns\xc0\x0c\x04host\x05other\0", NUMBERS].concat());
        assert_eq!(absence.pointers, [0, 15]);

        let later = table.with_serial(Serial(8));
        let place = absence.wire.len() - 20;
        assert_eq!(later.absence().unwrap().wire[place..place + 4], 8_u32.to_be_bytes());
        let gone = table.with(&[Change::Remove { owner: apex, rtype: Type::SOA }]);
        assert_eq!(gone.absence(), None);
    }
}
