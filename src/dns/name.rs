//! Domain names in wire form (RFC 1035 §3.1): length-prefixed labels, ended by the root's zero byte.
//!
//! Names keep the case they were written in; equality, order and hashing ignore ASCII case (RFC 4343), and only
//! ASCII: `@[\`{` and bytes of 0x80 and above are not letters.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};

/// Longest name in wire form, with the root's zero byte (RFC 1035 §2.3.4).
pub const NAME_MAX: usize = 255;
/// Longest label, without its length byte (RFC 1035 §2.3.4).
pub const LABEL_MAX: usize = 63;

/// An absolute domain name: 1 to 255 bytes of wire form, always well formed.
#[derive(Clone)]
pub struct Name(Box<[u8]>);

/// Why a text or a run of bytes is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// Two dots in a row, or a leading dot.
    EmptyLabel,
    /// A label of over 63 bytes.
    LabelTooLong,
    /// More than 255 bytes in wire form.
    NameTooLong,
    /// A backslash with nothing, or with digits that are no byte, behind it.
    BadEscape,
    /// A relative name where no origin was given.
    Relative,
    /// Bytes end before the name does, or hold a compression pointer.
    Malformed,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyLabel => "empty label (two dots in a row, or a leading dot)",
            Self::LabelTooLong => "a label is longer than 63 bytes",
            Self::NameTooLong => "the name is longer than 255 bytes",
            Self::BadEscape => "bad escape: a backslash takes one character or three digits up to 255",
            Self::Relative => "the name is relative and no origin is known",
            Self::Malformed => "not a name in wire form",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads an uncompressed wire name that fills `wire` exactly.
    ///
    /// # Errors
    /// [`NameError::Malformed`], [`NameError::NameTooLong`].
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let length = wire_length(wire)?;
        if length == wire.len() { Ok(Self(wire.into())) } else { Err(NameError::Malformed) }
    }

    /// Reads presentation format (RFC 1035 §5.1) with `\X` and `\DDD` escapes. A text without a final dot is
    /// relative and gets `origin` appended; `@` alone is the origin.
    ///
    /// # Errors
    /// Any [`NameError`] but `Malformed`.
    pub fn parse(text: &[u8], origin: Option<&Self>) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        write_text(text, origin.map(Self::as_wire), &mut wire)?;
        Ok(Self(wire.into()))
    }

    /// Reads an absolute name as a person writes it in a configuration: the final dot may be missing.
    ///
    /// # Errors
    /// Any [`NameError`] but `Malformed` and `Relative`.
    pub fn absolute(text: &str) -> Result<Self, NameError> {
        Self::parse(text.as_bytes(), Some(&Self::root()))
    }

    /// The wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Number of labels, the root's not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Labels from the leftmost on, without the root's.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// True for `.`.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// True if the leftmost label is `*` (RFC 4592 §2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let first = usize::from(self.0[0]);
        (first > 0).then(|| Self(self.0[first + 1..].into()))
    }

    /// True if this is `ancestor` or below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.strip(ancestor).is_some()
    }

    /// The labels in front of `ancestor`, as wire bytes without the closing zero; `None` if not within it.
    pub fn strip(&self, ancestor: &Self) -> Option<&[u8]> {
        let front = self.0.len().checked_sub(ancestor.0.len())?;
        if !self.0[front..].eq_ignore_ascii_case(&ancestor.0) {
            return None;
        }
        let mut at = 0;
        while at < front {
            at += usize::from(self.0[at]) + 1;
        }
        (at == front).then(|| &self.0[..front])
    }

    /// The name of `label` directly below this one.
    ///
    /// # Errors
    /// [`NameError::EmptyLabel`], [`NameError::LabelTooLong`], [`NameError::NameTooLong`].
    pub fn child(&self, label: &[u8]) -> Result<Self, NameError> {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > LABEL_MAX {
            return Err(NameError::LabelTooLong);
        }
        if self.0.len() + label.len() + 1 > NAME_MAX {
            return Err(NameError::NameTooLong);
        }
        let mut wire = Vec::with_capacity(self.0.len() + label.len() + 1);
        wire.push(u8::try_from(label.len()).map_err(|_| NameError::LabelTooLong)?);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        Ok(Self(wire.into()))
    }

    /// The same name with ASCII letters in lower case.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }

    /// Order of RFC 4034 §6.1: by labels from the right, each as folded bytes.
    pub fn canonical_cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (Starts::of(self), Starts::of(other));
        for (one, two) in ours.rightmost_first(self).zip(theirs.rightmost_first(other)) {
            let (one, two) = (one.iter().map(u8::to_ascii_lowercase), two.iter().map(u8::to_ascii_lowercase));
            match one.cmp(two) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        ours.count.cmp(&theirs.count)
    }

    /// Presentation format without the final dot, as people write host names; `.` for the root.
    pub fn to_host(&self) -> String {
        let text = self.to_string();
        if self.is_root() { text } else { text.trim_end_matches('.').to_owned() }
    }
}

/// Length of the uncompressed name that `wire` begins with, its closing zero included.
///
/// # Errors
/// [`NameError::Malformed`] if the bytes end first or hold a pointer, [`NameError::NameTooLong`] over 255.
pub fn wire_length(wire: &[u8]) -> Result<usize, NameError> {
    let mut at = 0;
    loop {
        let length = usize::from(*wire.get(at).ok_or(NameError::Malformed)?);
        at += length + 1;
        match length {
            0 if at <= NAME_MAX => return Ok(at),
            0 => return Err(NameError::NameTooLong),
            1..=LABEL_MAX => {}
            _ => return Err(NameError::Malformed),
        }
    }
}

/// Appends the wire form of a name in presentation format to `out`: [`Name::parse`] without a `Name` of its own.
/// On an error `out` is as it was.
///
/// # Errors
/// Any [`NameError`] but `Malformed`.
pub fn write_text(text: &[u8], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NameError> {
    let start = out.len();
    let written = write_labels(text, origin, out);
    let written = written.and(if out.len() - start > NAME_MAX { Err(NameError::NameTooLong) } else { Ok(()) });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_labels(text: &[u8], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NameError> {
    match text {
        b"" => return Err(NameError::EmptyLabel),
        b"." => {
            out.push(0);
            return Ok(());
        }
        b"@" => {
            out.extend_from_slice(origin.ok_or(NameError::Relative)?);
            return Ok(());
        }
        _ => {}
    }
    let start = out.len();
    out.push(0);
    out.extend_from_slice(text);
    // With one byte put in front, each dot stands where the length of the label behind it belongs.
    let wire = &mut out[start..];
    let mut label = 0;
    for at in 1..wire.len() {
        match wire[at] {
            b'.' => {
                wire[label] = label_length(at - label - 1)?;
                label = at;
            }
            b'\\' => {
                out.truncate(start);
                return write_escaped(text, origin, out);
            }
            _ => {}
        }
    }
    let last = wire.len() - label - 1;
    if last == 0 {
        wire[label] = 0;
    } else {
        wire[label] = label_length(last)?;
        out.extend_from_slice(origin.ok_or(NameError::Relative)?);
    }
    Ok(())
}

/// The same for a text with escapes, byte by byte.
fn write_escaped(text: &[u8], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NameError> {
    let mut label = out.len();
    out.push(0);
    let mut at = 0;
    let mut absolute = false;
    while let Some(&byte) = text.get(at) {
        absolute = byte == b'.';
        at += match byte {
            b'.' => {
                out[label] = label_length(out.len() - label - 1)?;
                label = out.len();
                out.push(0);
                1
            }
            b'\\' => {
                let (byte, used) = unescape(&text[at..]).ok_or(NameError::BadEscape)?;
                out.push(byte);
                used
            }
            byte => {
                out.push(byte);
                1
            }
        };
    }
    if !absolute {
        out[label] = label_length(out.len() - label - 1)?;
        out.extend_from_slice(origin.ok_or(NameError::Relative)?);
    }
    Ok(())
}

/// The length byte of a label.
fn label_length(length: usize) -> Result<u8, NameError> {
    match u8::try_from(length) {
        Ok(0) => Err(NameError::EmptyLabel),
        Ok(length) if usize::from(length) <= LABEL_MAX => Ok(length),
        _ => Err(NameError::LabelTooLong),
    }
}

/// The byte an escape at the start of `text` stands for, and the escape's length (RFC 1035 §5.1).
pub fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            u8::try_from(value).ok().map(|byte| (byte, 4))
        }
        [b'\\', b'0'..=b'9', ..] | [b'\\'] => None,
        [b'\\', byte, ..] => Some((byte, 2)),
        _ => None,
    }
}

/// Where the labels of a name begin, so that it can be read from the right without an allocation.
struct Starts {
    at: [u8; NAME_MAX / 2 + 1],
    count: usize,
}

impl Starts {
    fn of(name: &Name) -> Self {
        let mut starts = Self { at: [0; NAME_MAX / 2 + 1], count: 0 };
        let mut at = 0_u8;
        for label in name.labels() {
            starts.at[starts.count] = at;
            starts.count += 1;
            at = at.wrapping_add(u8::try_from(label.len() + 1).unwrap_or(u8::MAX));
        }
        starts
    }

    fn rightmost_first<'n>(&self, name: &'n Name) -> impl Iterator<Item = &'n [u8]> {
        self.at[..self.count].iter().rev().map(|&at| {
            let at = usize::from(at);
            &name.0[at + 1..=at + usize::from(name.0[at])]
        })
    }
}

/// Labels of a name, from the leftmost on.
#[derive(Clone)]
pub struct Labels<'n>(&'n [u8]);

impl<'n> Iterator for Labels<'n> {
    type Item = &'n [u8];

    fn next(&mut self) -> Option<&'n [u8]> {
        let (&length, rest) = self.0.split_first()?;
        if length == 0 {
            return None;
        }
        let (label, rest) = rest.split_at(usize::from(length));
        self.0 = rest;
        Some(label)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in &self.0 {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Canonical order.
impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.canonical_cmp(other)
    }
}

/// Presentation format, absolute, with every byte escaped that a master file would read otherwise.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        f.write_char('\\')?;
                        f.write_char(char::from(byte))?;
                    }
                    b'!'..=b'~' => f.write_char(char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.to_host())
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::absolute(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::absolute(text).unwrap()
    }

    #[test]
    fn text_and_wire_agree() {
        for (text, wire) in [
            (".", &b"\0"[..]),
            ("example.com.", b"\x07example\x03com\0"),
            (r"a\.b.c.", b"\x03a.b\x01c\0"),
            (r"\032\200.", b"\x02\x20\xc8\0"),
            ("*.a.", b"\x01*\x01a\0"),
        ] {
            assert_eq!(name(text).as_wire(), wire, "{text}");
            assert_eq!(Name::from_wire(wire).unwrap(), name(text));
            assert_eq!(
                Name::parse(Name::from_wire(wire).unwrap().to_string().as_bytes(), None).unwrap().as_wire(),
                wire
            );
        }
    }

    type Reading = fn(&[u8], Option<&[u8]>, &mut Vec<u8>) -> Result<(), NameError>;

    proptest! {
        /// A text is read in one go or byte by byte, with the same result.
        #[test]
        fn both_ways_of_reading_agree(text in r"[a-c.\\\\0-2@]{1,12}|[a.]{60,70}|([a-z]{1,63}\.){1,6}") {
            prop_assume!(!matches!(&text[..], "." | "@"));
            let read = |how: Reading, origin| {
                let mut out = b"before".to_vec();
                how(text.as_bytes(), origin, &mut out).map(|()| out)
            };
            for origin in [None, Some(&b"\x03com\0"[..])] {
                prop_assert_eq!(read(write_labels, origin), read(write_escaped, origin));
            }
        }
    }

    #[test]
    fn relative_names_take_the_origin() {
        let origin = name("example.com");
        assert_eq!(Name::parse(b"www", Some(&origin)).unwrap(), name("www.example.com"));
        assert_eq!(Name::parse(b"@", Some(&origin)).unwrap(), origin);
        assert_eq!(Name::parse(br"\@", Some(&origin)).unwrap().as_wire()[..2], *b"\x01@");
        assert_eq!(Name::parse(b"www", None), Err(NameError::Relative));
    }

    #[test]
    fn bounds_are_those_of_rfc_1035() {
        let label = "a".repeat(63);
        assert!(Name::absolute(&label).is_ok());
        assert_eq!(Name::absolute(&"a".repeat(64)), Err(NameError::LabelTooLong));
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(name(&longest).as_wire().len(), NAME_MAX);
        assert_eq!(Name::absolute(&format!("{longest}a")), Err(NameError::NameTooLong));
        for bad in ["a..b", ".a", ""] {
            assert_eq!(Name::absolute(bad), Err(NameError::EmptyLabel), "{bad:?}");
        }
        for bad in [r"a\", r"a\25", r"a\256"] {
            assert_eq!(Name::absolute(bad), Err(NameError::BadEscape), "{bad:?}");
        }
        assert_eq!(Name::from_wire(b"\xc0\x0c"), Err(NameError::Malformed));
    }

    #[test]
    fn only_ascii_letters_fold() {
        assert_eq!(name("WWW.Example.COM"), name("www.example.com"));
        assert_ne!(name("a["), name("a{"));
        assert_ne!(name(r"\200"), name(r"\232"));
    }

    #[test]
    fn within_is_by_labels_not_bytes() {
        assert_eq!(name("www.example.com").strip(&name("example.com")), Some(&b"\x03www"[..]));
        assert!(!name("notexample.com").is_within(&name("example.com")));
        assert!(name("example.com").is_within(&name("EXAMPLE.com")));
        // A label whose bytes look like the ancestor's wire form.
        assert!(!Name::from_wire(b"\x05a\x03com\0").unwrap().is_within(&name("com")));
    }

    #[test]
    fn canonical_order_is_rfc_4034_6_1() {
        let sorted = [
            "example",
            "a.example",
            r"yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            r"\001.z.example",
            "*.z.example",
            r"\200.z.example",
        ];
        let mut names: Vec<_> = sorted.iter().rev().map(|n| name(n)).collect();
        names.sort();
        assert_eq!(names, sorted.iter().map(|n| name(n)).collect::<Vec<_>>());
    }
}
