//! Addresses in the form nearly all are written in, read in one pass. For any other form, and for what is wrong, the
//! standard library is asked.

/// Groups of 16 bits in an IPv6 address.
const GROUPS: usize = 8;

/// An IPv4 address.
pub(super) fn four(text: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    let mut rest = text;
    for (place, octet) in octets.iter_mut().enumerate() {
        let digits = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, after) = rest.split_at_checked(digits)?;
        *octet = match *number {
            [a] => a - b'0',
            [a @ b'1'..=b'9', b] => (a - b'0') * 10 + b - b'0',
            [a @ b'1'..=b'9', b, c] => {
                (a - b'0').checked_mul(100)?.checked_add((b - b'0') * 10)?.checked_add(c - b'0')?
            }
            _ => return None,
        };
        rest = if place < 3 { after.strip_prefix(b".")? } else { after };
    }
    rest.is_empty().then_some(octets)
}

/// An IPv6 address in groups of hexadecimal digits; its end is not written as IPv4.
pub(super) fn six(text: &[u8]) -> Option<[u8; 16]> {
    let mut groups = [[0; 2]; GROUPS];
    let (mut count, mut gap) = (0, None);
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        (rest, gap) = (after, Some(0));
    }
    while !rest.is_empty() {
        let (mut value, mut digits) = (0_u16, 0);
        while let Some(digit) = rest.get(digits).and_then(|&byte| super::encoding::hex_value(byte)) {
            if digits == 4 {
                return None;
            }
            value = value << 4 | u16::from(digit);
            digits += 1;
        }
        if digits == 0 {
            return None;
        }
        *groups.get_mut(count)? = value.to_be_bytes();
        count += 1;
        rest = match rest.get(digits..)? {
            [] => &[],
            [b':', b':', after @ ..] if gap.is_none() => {
                gap = Some(count);
                after
            }
            [b':', after @ ..] if !after.is_empty() => after,
            _ => return None,
        };
    }
    match gap {
        None if count == GROUPS => {}
        // It stands for one group of zeros or more.
        Some(at) if count < GROUPS => groups[at..].rotate_right(GROUPS - count),
        _ => return None,
    }
    groups.as_flattened().try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn agrees(text: &str) {
        let bytes = text.as_bytes();
        assert_eq!(four(bytes), text.parse().ok().map(|address: Ipv4Addr| address.octets()), "{text}");
        let known = text.parse().ok().map(|address: Ipv6Addr| address.octets());
        // One that ends as IPv4 does is left to the standard library.
        assert_eq!(six(bytes), known.filter(|_| !text.contains('.')), "{text}");
    }

    #[test]
    fn each_form_reads_as_the_standard_library_reads_it() {
        for text in [
            "192.0.2.1",
            "0.0.0.0",
            "255.255.255.255",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.",
            "1.2.3.4.5",
            "01.2.3.4",
            "00.0.0.0",
            "1..2.3",
            ".1.2.3",
            "1.2.3.0004",
            "999.1.1.1",
            "::",
            "::1",
            "1::",
            "1::2",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "1::2::3",
            ":1",
            "1:",
            ":::",
            "12345::",
            "g::",
            "2001:DB8::aBcD",
            "::ffff:192.0.2.1",
            "1:2:3:4:5:6:7",
            "",
        ] {
            agrees(text);
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_as_the_standard_library_reads_it(four in "[0-9.]{1,16}", six in "[0-9a-fA-F:]{1,40}", groups in proptest::collection::vec("[0-9a-f]{0,4}", 1..10), octets in proptest::collection::vec(0..300_u16, 3..6)) {
            agrees(&four);
            agrees(&six);
            agrees(&groups.join(":"));
            agrees(&octets.iter().map(u16::to_string).collect::<Vec<_>>().join("."));
        }
    }
}
