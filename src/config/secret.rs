//! Secrets of tokens and webhooks as they are written.

/// Shortest token, in characters: 64 bits of hex.
pub(crate) const TOKEN_MIN: usize = 16;
/// Signing secrets of Standard Webhooks: 24 to 64 bytes.
const SIGNING: std::ops::RangeInclusive<usize> = 24..=64;

/// The bytes of a Standard Webhooks secret, `whsec_` and base64.
pub(crate) fn signing(text: &str) -> Option<Vec<u8>> {
    base64(text.strip_prefix("whsec_")?).filter(|bytes| SIGNING.contains(&bytes.len()))
}

/// RFC 4648 §4, with its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bits, mut held, mut bytes) = (0u32, 0u32, Vec::new());
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(((bits >> held) & 0xff) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648_section_10() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYmFy", Some(b"foobar")),
            ("Zm9vYg", None),
            ("Zh==", None),
            ("Z===", None),
            ("Zm9-", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
    }

    #[test]
    fn signing_secrets_have_prefix_and_length() {
        assert_eq!(signing("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").map(|bytes| bytes.len()), Some(24));
        assert_eq!(signing("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), None);
        assert_eq!(signing("whsec_Zm9v"), None);
    }
}
