//! Query: what a message asks, with everything worked out once that later steps need.

use crate::answer::edns::Options;
use crate::answer::signed::Signature;
use crate::dns::folded::Folded;
use crate::dns::message::{HEADER, Header, Opcode, Opt, record};
use crate::dns::name::NAME_MAX;
use crate::dns::{Class, Type};
use crate::zone::table::hash_folded;

/// Signs a message (RFC 8945); where it stands, the query cannot be answered as if it were not there.
const TSIG: Type = Type(250);

/// A message as it was read. Holds no reference to it: the bytes are handed in again with each step.
#[derive(Clone, Debug)]
pub struct Ask {
    pub header: Header,
    /// Why it gets no ordinary answer.
    pub defect: Option<Defect>,
    /// The question's type and class; 0 where there is no question to echo.
    pub qtype: Type,
    pub qclass: Class,
    /// The OPT, also of messages with a defect that can be read, so that the reply can have one too.
    pub opt: Option<Opt>,
    /// What its options ask for.
    pub options: Options,
    /// Where its TSIG begins.
    pub signature: Option<u16>,
    /// Hash of the folded name.
    pub hash: u64,
    name: Folded,
}

/// Why a message gets no ordinary answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// Under 12 bytes, or itself a reply: answering would let two servers talk for ever (CVE-2024-2169).
    Unanswerable,
    /// An opcode other than QUERY.
    Opcode,
    /// Does not parse, has more than one question (RFC 9619) or OPT (RFC 6891 §6.1.1), a malformed option, or none of a
    /// question and a cookie (RFC 7873 §5.4).
    Malformed,
    /// An EDNS version above 0 (RFC 6891 §6.1.3).
    Version,
    /// Signed, and we have no keys (RFC 8945 §5.2.1).
    Signed,
}

/// Reads a message. Total: what is wrong with it is in the result.
pub fn read(query: &[u8]) -> Ask {
    let mut ask = Ask::default();
    ask.read(query);
    ask
}

impl Default for Ask {
    /// What is to be read into; it gets no answer.
    fn default() -> Self {
        Self {
            header: Header::default(),
            defect: Some(Defect::Unanswerable),
            qtype: Type(0),
            qclass: Class(0),
            opt: None,
            options: Options::default(),
            signature: None,
            hash: 0,
            name: Folded::default(),
        }
    }
}

impl Ask {
    /// Reads a message, as [`read`] does, in place of the one before: nothing is moved, which would cost as much.
    #[inline]
    pub fn read(&mut self, query: &[u8]) {
        self.header = Header::default();
        (self.qtype, self.qclass) = (Type(0), Class(0));
        (self.opt, self.options, self.signature) = (None, Options::default(), None);
        self.hash = 0;
        self.name.clear();
        self.defect = self.read_message(query);
    }

    fn read_message(&mut self, query: &[u8]) -> Option<Defect> {
        let Some(header) = Header::read(query).filter(|header| !header.is_response()) else {
            return Some(Defect::Unanswerable);
        };
        self.header = header;
        let is_whole = self.read_sections(query).is_some();
        if !is_whole {
            // BIND, Knot and NSD agree: what cannot be read to its end is answered without OPT.
            self.opt = None;
        }
        let is_understood = is_whole && self.read_options(query).is_some();
        // RFC 6891 §6.1.3: of a version we do not know, we cannot know what an opcode means.
        if is_whole && self.has_unknown_version() {
            Some(Defect::Version)
        } else if header.opcode() != Opcode::QUERY {
            Some(Defect::Opcode)
        } else if !is_understood || !self.has_question() && self.options.cookie.is_none() {
            // RFC 7873 §5.4: without a question, a cookie alone is asked for.
            Some(Defect::Malformed)
        } else if self.signature.is_some() {
            Some(Defect::Signed)
        } else {
            None
        }
    }

    /// The question's name: folded, uncompressed.
    #[inline]
    pub fn name(&self) -> &[u8] {
        self.name.as_wire()
    }

    /// True if there is a question to echo.
    pub fn has_question(&self) -> bool {
        !self.name().is_empty()
    }

    /// Bytes of the header and the question.
    pub fn question_end(&self) -> usize {
        if self.has_question() { HEADER + self.name().len() + 4 } else { HEADER }
    }

    /// `None` if malformed.
    fn read_sections(&mut self, query: &[u8]) -> Option<()> {
        let [questions, answers, authorities, additionals] = self.header.counts;
        let mut at = match questions {
            0 => HEADER,
            1 => self.read_question(query)?,
            // RFC 9619 §4: "MUST be treated as an incorrectly formatted message".
            _ => return None,
        };
        for _ in 0..u32::from(answers) + u32::from(authorities) {
            let view = record(query, at).filter(|view| !matches!(view.rtype, Type::OPT | TSIG))?;
            at = view.rdata.end;
        }
        self.read_additional(query, at, additionals)
    }

    fn has_unknown_version(&self) -> bool {
        self.opt.as_ref().is_some_and(|opt| opt.version > 0)
    }

    /// The question's name is not compressed: nothing stands before it that it could point to.
    fn read_question(&mut self, query: &[u8]) -> Option<usize> {
        let mut end = HEADER;
        loop {
            let label = *query.get(end)?;
            end += usize::from(label) + 1;
            match label {
                0 => break,
                1..=63 if end - HEADER < NAME_MAX => {}
                _ => return None,
            }
        }
        let &[t0, t1, c0, c1] = query.get(end..)?.first_chunk()?;
        self.hash = hash_folded(self.name.set(&query[HEADER..end])?);
        self.qtype = Type(u16::from_be_bytes([t0, t1]));
        self.qclass = Class(u16::from_be_bytes([c0, c1]));
        Some(end + 4)
    }

    /// The additional section, to the end of the message. `None` if malformed.
    fn read_additional(&mut self, query: &[u8], mut at: usize, count: u16) -> Option<()> {
        for _ in 0..count {
            let view = record(query, at)?;
            at = view.rdata.end;
            match view.rtype {
                // RFC 8945 §5.1: a TSIG is the last record, else FORMERR.
                _ if self.signature.is_some() => return None,
                // RFC 6891 §6.1.1: more than one OPT is FORMERR.
                Type::OPT if self.opt.is_some() => return None,
                Type::OPT => self.opt = Some(Opt::read(query, &view)?),
                TSIG => {
                    Signature::read(query, &view)?;
                    self.signature = u16::try_from(view.owner).ok();
                }
                _ => {}
            }
        }
        (at == query.len()).then_some(())
    }

    /// What the options ask for. `None` if one of them is malformed; then none of them is answered.
    fn read_options(&mut self, query: &[u8]) -> Option<()> {
        if let Some(opt) = self.opt.as_ref().filter(|opt| opt.version == 0 && !opt.options.is_empty()) {
            self.options = Options::read(opt.options(query))?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0";
    const QUESTION: &[u8] = b"\x03WwW\x07Example\x03com\0\0\x01\0\x01";
    const OPT: &[u8] = b"\0\0\x29\x10\0\0\0\x80\0\0\0";

    fn with(edit: impl FnOnce(&mut Vec<u8>)) -> Ask {
        let mut query = [HEAD, QUESTION].concat();
        edit(&mut query);
        read(&query)
    }

    #[test]
    fn a_question_is_folded_and_hashed() {
        let ask = with(|_| {});
        assert_eq!((ask.defect, ask.qtype, ask.qclass, ask.header.id), (None, Type::A, Class::IN, 0x1234));
        assert_eq!(ask.name(), b"\x03www\x07example\x03com\0");
        assert_eq!(ask.hash, hash_folded(ask.name()));
        assert_eq!(ask.question_end(), HEAD.len() + QUESTION.len());
        assert!(ask.opt.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let additional = |count: u8, bytes: &'static [&'static [u8]]| {
            with(move |query| {
                query[11] = count;
                query.extend_from_slice(&bytes.concat());
            })
        };
        for (ask, defect) in [
            (read(&HEAD[..11]), Some(Defect::Unanswerable)),
            (with(|query| query[2] |= 0x80), Some(Defect::Unanswerable)),
            (with(|query| query[2] = 0x28), Some(Defect::Opcode)),
            (with(|query| query[5] = 0), Some(Defect::Malformed)),
            (with(|query| query[5] = 2), Some(Defect::Malformed)),
            (with(|query| query.truncate(20)), Some(Defect::Malformed)),
            (with(|query| query.truncate(query.len() - 1)), Some(Defect::Malformed)),
            (with(|query| query[12] = 0xc0), Some(Defect::Malformed)),
            (with(|query| query.push(0)), Some(Defect::Malformed)),
            (additional(1, &[OPT]), None),
            (additional(2, &[OPT, OPT]), Some(Defect::Malformed)),
            (additional(2, &[OPT]), Some(Defect::Malformed)),
            (additional(1, &[b"\x01a", OPT]), Some(Defect::Malformed)),
            (additional(1, &[b"\0\0\x29\x10\0\0\x01\0\0\0\0"]), Some(Defect::Version)),
            (additional(1, &[b"\0\0\xfa\0\xff\0\0\0\0\0\0"]), Some(Defect::Malformed)),
            (additional(1, &[b"\0\0\xfa\0\xff\0\0\0\0\0\x11\0", &[0; 16]]), Some(Defect::Signed)),
            (additional(1, &[b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04abcd"]), None),
        ] {
            assert_eq!(ask.defect, defect, "{ask:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(query in proptest::collection::vec(any::<u8>(), 0..80)) {
            let ask = read(&query);
            prop_assert!(ask.question_end() <= query.len() || ask.defect == Some(Defect::Unanswerable));
        }
    }
}
