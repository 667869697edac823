//! A slow reader of queries: what it is sure about, the engine must see the same way.

use failoverd::dns::{Name, Type};

use super::reply;

/// What a message asks.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub id: u16,
    pub flags: u16,
    pub sense: Sense,
    /// Name, type and class, where the only question can be read; and its bytes.
    pub question: Option<(Name, Type, u16)>,
    pub question_bytes: Vec<u8>,
    /// The first OPT that can be read.
    pub opt: Option<Opt>,
    /// A TSIG stands in the additional section.
    pub is_signed: bool,
}

/// The OPT of a query (RFC 6891 §6.1.2).
#[derive(Clone, Debug)]
pub struct Opt {
    pub size: u16,
    pub version: u8,
    pub wants_dnssec: bool,
    pub options: Vec<(u16, Vec<u8>)>,
}

/// Can the message be understood?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sense {
    /// Under 12 bytes, or a reply.
    #[default]
    None,
    /// By nobody.
    Malformed,
    /// By some: a pointer leads astray in a part that need not be read, or an option is not as its document has it.
    Doubtful,
    Fine,
}

impl Asked {
    pub fn opcode(&self) -> u16 {
        self.flags >> 11 & 0xf
    }
}

pub fn read(query: &[u8]) -> Asked {
    let mut asked = Asked::default();
    if query.len() < 12 {
        return asked;
    }
    let mut reading = Reading { query, at: 0, is_doubtful: false };
    let header: Vec<u16> = (0..6).map(|_| reading.word().unwrap_or(0)).collect();
    (asked.id, asked.flags) = (header[0], header[1]);
    if asked.flags & 0x8000 == 0 {
        let whole = asked.read(&mut reading, &header[2..]);
        asked.sense = match whole {
            None => Sense::Malformed,
            Some(()) if reading.is_doubtful || asked.has_odd_options() => Sense::Doubtful,
            Some(()) => Sense::Fine,
        };
    }
    asked
}

impl Asked {
    fn read(&mut self, reading: &mut Reading<'_>, counts: &[u16]) -> Option<()> {
        let question_at = reading.at;
        if counts[0] == 1 {
            let (qname, is_plain) = reading.name()?;
            let (qtype, qclass) = (Type(reading.word()?), reading.word()?);
            if !is_plain {
                return None;
            }
            self.question = Some((qname?, qtype, qclass));
            self.question_bytes = reading.query[question_at..reading.at].to_vec();
        } else if counts[0] > 1 {
            return None;
        }
        for (section, &count) in counts[1..].iter().enumerate() {
            for _ in 0..count {
                let owner_at = reading.at;
                reading.name()?;
                let rtype = Type(reading.word()?);
                let (size, high, low) = (reading.word()?, reading.word()?, reading.word()?);
                let length = usize::from(reading.word()?);
                let rdata = reading.query.get(reading.at..reading.at + length)?;
                reading.at += length;
                if rtype == Type::OPT {
                    let [_, version] = high.to_be_bytes();
                    // What the RDATA of another version is, nobody knows.
                    let options = if version == 0 { reply::options(rdata) } else { Some(Vec::new()) };
                    let is_first = section == 2 && self.opt.is_none() && reading.query[owner_at] == 0;
                    let options = options.filter(|_| is_first)?;
                    self.opt = Some(Opt { size, version, wants_dnssec: low & 0x8000 != 0, options });
                }
                if self.is_signed {
                    // RFC 8945 §5.1: a TSIG is the last record of all.
                    return None;
                }
                if rtype == Type(250) {
                    if section != 2 {
                        return None;
                    }
                    // Whether the TSIG itself is well formed is left to the engine's own tests.
                    (self.is_signed, reading.is_doubtful) = (true, true);
                }
            }
        }
        // RFC 7873 §5.4: a cookie may come without a question.
        let has_cookie = self.opt.as_ref().is_some_and(|opt| opt.options.iter().any(|&(code, _)| code == 10));
        reading.is_doubtful |= counts[0] == 0;
        (reading.at == reading.query.len() && (counts[0] == 1 || has_cookie)).then_some(())
    }

    /// Options twice, or with a length that their documents do not know.
    fn has_odd_options(&self) -> bool {
        let Some(opt) = &self.opt else { return false };
        let mut codes: Vec<u16> = opt.options.iter().map(|&(code, _)| code).collect();
        codes.sort_unstable();
        codes.windows(2).any(|pair| pair[0] == pair[1])
            || opt.options.iter().any(|(code, data)| match code {
                // NSID (RFC 5001 §2.1) and EXPIRE (RFC 7314 §4) of queries are empty, and so is keepalive (RFC 7828 §3.2.1).
                3 | 9 | 11 => !data.is_empty(),
                // RFC 7871 §6 has addresses cut to their prefix: whether they are is left to the engine's own tests.
                8 => true,
                // RFC 7873 §4.
                10 => !matches!(data.len(), 8 | 16..=40),
                _ => false,
            })
    }
}

struct Reading<'q> {
    query: &'q [u8],
    at: usize,
    is_doubtful: bool,
}

impl Reading<'_> {
    fn word(&mut self) -> Option<u16> {
        let word = self.query.get(self.at..)?.first_chunk()?;
        self.at += 2;
        Some(u16::from_be_bytes(*word))
    }

    /// Passes a name. The name itself is known where its pointers lead to one; and whether it has none.
    fn name(&mut self) -> Option<(Option<Name>, bool)> {
        let (start, mut wire, mut here, mut behind) = (self.at, Vec::new(), self.at, None);
        let mut before = start;
        loop {
            // In what a pointer leads to, nothing must be readable for the message to have an end.
            let length = match (self.query.get(here), behind) {
                (Some(&length), _) => length,
                (None, None) => return None,
                (None, Some(_)) => 64,
            };
            match length {
                0 => {
                    wire.push(0);
                    self.at = behind.unwrap_or(here + 1);
                    return Some((Name::from_wire(&wire).ok(), behind.is_none()));
                }
                1..=63 => {
                    let end = here + usize::from(length) + 1;
                    let Some(label) = self.query.get(here..end) else {
                        behind?;
                        break;
                    };
                    wire.extend_from_slice(label);
                    here = end;
                    if wire.len() >= 255 {
                        behind?;
                        break;
                    }
                }
                0xc0.. => {
                    let Some(&low) = self.query.get(here + 1) else {
                        behind?;
                        break;
                    };
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    if behind.is_none() {
                        behind = Some(here + 2);
                        if target >= start {
                            return None;
                        }
                    } else if target >= before {
                        break;
                    }
                    (here, before) = (target, target);
                }
                64..=0xbf if behind.is_none() => return None,
                64..=0xbf => break,
            }
        }
        self.is_doubtful = true;
        self.at = behind?;
        Some((None, false))
    }
}
