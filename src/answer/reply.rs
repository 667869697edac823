//! Reply: RRsets into the sections of a message, compressed, whole or not at all.
//!
//! The question is copied as it came, so that its case is kept, and its name is what owners point to. Room for OPT is
//! set aside before anything is written.

use crate::answer::edns::{Closing, OPTION_HEAD, PADDED_TO};
use crate::answer::query::{Ask, Defect};
use crate::answer::rate::Imputed;
use crate::answer::squeeze::squeeze;
use crate::dns::message::{HEADER, MESSAGE_MAX, OPT_LENGTH, POINTER_MAX, Rcode, flag, option, skip_name};
use crate::dns::name::wire_length;
use crate::dns::{Class, Type};
use crate::zone::table::{Absence, RECORD_HEAD, Records};

/// The size we offer, and the most we send over UDP (RFC 9715 §3.1).
pub const UDP_PAYLOAD: u16 = 1232;

/// The most that is written of a reply that is then squeezed: what a pointer reaches.
const SQUEEZED_FROM: usize = POINTER_MAX + 1;

/// Where a reply is written; made once per thread and used again and again.
#[derive(Debug)]
pub struct Reply {
    buffer: Box<[u8]>,
    length: usize,
    rcode: Rcode,
    is_truncated: bool,
}

impl Default for Reply {
    fn default() -> Self {
        Self::new()
    }
}

impl Reply {
    pub fn new() -> Self {
        Self { buffer: vec![0; MESSAGE_MAX].into(), length: 0, rcode: Rcode::NOERROR, is_truncated: false }
    }

    /// The message written last; empty if none is to be sent.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The rcode of the message written last, with the bits that are in OPT.
    pub fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// True if it has TC.
    pub(super) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }
}

/// A section behind the question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// There is no room; nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

/// The owner of records: where its name stands in the message, and the name for when that is out of reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'n> {
    pub(super) at: usize,
    pub(super) name: &'n [u8],
}

/// Where the apex stands in the message, byte for byte, and its length: what the tails of names are replaced by.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApexSpot {
    pub(super) at: usize,
    pub(super) length: usize,
}

impl ApexSpot {
    pub(super) fn is_in_reach(self) -> bool {
        self.at <= POINTER_MAX
    }
}

/// Where the records of an RRset were written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// The place of the first record's TYPE, behind its owner.
    pub(super) head: usize,
    /// Bytes of each owner.
    pub(super) owner: usize,
}

/// Where no name in RDATA is compressed.
pub(super) const NO_APEX: ApexSpot = ApexSpot { at: usize::MAX, length: 0 };

/// Bytes of a stored record before its TYPE.
const OWNER: usize = 2;

/// TYPE, CLASS, TTL and RDLENGTH, which stand between owner and RDATA.
pub(super) const HEAD: usize = RECORD_HEAD - 2;

/// A reply being written.
pub(super) struct Writer<'r> {
    reply: &'r mut Reply,
    at: usize,
    /// Where the sections must end: OPT's room is behind it.
    limit: usize,
    opt_room: usize,
    /// Where they must end once the reply is squeezed; until then there is room to spare.
    squeezed_limit: Option<usize>,
    counts: [u16; 3],
    /// What gives the answer.
    pub(super) imputed: Imputed,
    pub(super) rcode: Rcode,
    pub(super) is_authoritative: bool,
    pub(super) is_truncated: bool,
}

impl<'r> Writer<'r> {
    /// Begins the reply to `query`, of at most `limit` bytes, which is at least 512. For OPT and `options` bytes of its
    /// options room is set aside.
    pub(super) fn new(reply: &'r mut Reply, query: &[u8], ask: &Ask, limit: usize, options: usize) -> Self {
        let end = ask.question_end();
        reply.buffer[..end].copy_from_slice(&query[..end]);
        let opt_room = if ask.opt.is_some() { OPT_LENGTH + options } else { 0 };
        Self {
            reply,
            at: end,
            limit: limit.min(MESSAGE_MAX) - opt_room,
            opt_room,
            squeezed_limit: None,
            counts: [0; 3],
            imputed: Imputed::default(),
            rcode: Rcode::NOERROR,
            is_authoritative: false,
            is_truncated: false,
        }
    }

    /// Writes an RRset and the signatures that go with it, all or nothing. Names in RDATA that end in the apex end in a
    /// pointer to it; signatures have none that may (RFC 4034 §3.1.7).
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub(super) fn put(
        &mut self,
        section: Section,
        records: &Records<'_>,
        signatures: Option<&Records<'_>>,
        owner: Owner<'_>,
        apex: ApexSpot,
    ) -> Result<Written, Full> {
        let start = self.at;
        let mut written = self.put_records(records, owner, apex);
        if let Some(signatures) = signatures {
            written = written.and_then(|written| self.put_records(signatures, owner, apex).map(|_| written));
        }
        self.count(section, records.count + signatures.map_or(0, |signatures| signatures.count), start, written)
    }

    /// Writes an RRset and its signatures, all or nothing, as [`Writer::put`] does, for an owner that is not in the
    /// message yet but for what follows its first `literal` bytes, which stands at `rest`. No RDATA is compressed.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn put_new(
        &mut self,
        section: Section,
        records: &Records<'_>,
        signatures: Option<&Records<'_>>,
        name: &[u8],
        literal: usize,
        rest: usize,
    ) -> Result<Written, Full> {
        let Some((front, behind)) = name.split_at_checked(literal).filter(|_| literal > 0) else {
            return self.put(section, records, signatures, Owner { at: rest, name }, NO_APEX);
        };
        let start = self.at;
        let mut write = || {
            self.push(front)?;
            self.push_owner(Owner { at: rest, name: behind })?;
            let head = self.at;
            let mut others = *records;
            let end = RECORD_HEAD + records.rdata().next().map_or(0, <[u8]>::len);
            let (first, after) = records.wire.split_at_checked(end).ok_or(Full)?;
            self.push(&first[OWNER..])?;
            others.wire = after;
            let owner = Owner { at: start, name };
            self.put_records(&others, owner, NO_APEX)?;
            if let Some(signatures) = signatures {
                self.put_records(signatures, owner, NO_APEX)?;
            }
            Ok(Written { head, owner: head - start })
        };
        let written = write();
        self.count(section, records.count + signatures.map_or(0, |signatures| signatures.count), start, written)
    }

    /// Writes the SOA of an answer that something is not there; the apex stands at `apex` in the message.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn put_absence(&mut self, absence: &Absence, apex: usize) -> Result<(), Full> {
        let start = self.at;
        self.push(&absence.wire)?;
        for &place in &absence.pointers {
            self.reply.buffer[start + place..start + place + 2].copy_from_slice(&pointer(apex));
        }
        self.counts[Section::Authority as usize] += 1;
        Ok(())
    }

    /// Counts the records written since `start`, or takes back what was written of them.
    #[inline]
    fn count(
        &mut self,
        section: Section,
        records: u16,
        start: usize,
        written: Result<Written, Full>,
    ) -> Result<Written, Full> {
        match written {
            Ok(_) => self.counts[section as usize] += records,
            Err(Full) => self.at = start,
        }
        written
    }

    #[inline]
    fn put_records(&mut self, records: &Records<'_>, owner: Owner<'_>, apex: ApexSpot) -> Result<Written, Full> {
        let start = self.at;
        if records.tails.is_empty() && owner.at <= POINTER_MAX {
            self.push(records.wire)?;
            if owner.at != HEADER {
                self.point_owners(start, pointer(owner.at));
            }
            return Ok(Written { head: start + 2, owner: 2 });
        }
        let mut tails = records.tails;
        let per_record = tails.len() / usize::from(records.count.max(1));
        let ttl = records.ttl();
        let mut owner_length = 0;
        for rdata in records.rdata() {
            let record = self.at;
            self.push_owner(owner)?;
            owner_length = self.at - record;
            self.push_head(records.rtype, ttl)?;
            let (these, rest) = tails.split_at_checked(per_record).unwrap_or((&[], &[]));
            tails = rest;
            self.push_rdata(records.rtype, rdata, these, apex)?;
            self.close_rdata(record + owner_length);
        }
        Ok(Written { head: start + owner_length, owner: owner_length })
    }

    /// Patches the owner of each record from `at` on.
    fn point_owners(&mut self, mut at: usize, pointer: [u8; 2]) {
        while at < self.at {
            self.reply.buffer[at..at + 2].copy_from_slice(&pointer);
            at += RECORD_HEAD + self.rdata_length(at + 2);
        }
    }

    /// RDLENGTH of the record whose TYPE stands at `head`.
    pub(super) fn rdata_length(&self, head: usize) -> usize {
        self.reply
            .buffer
            .get(head + HEAD - 2..head + HEAD)
            .map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])))
    }

    /// A record of one name, the labels `front` and then what stands at `rest` in the message.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn put_alias(
        &mut self,
        owner: Owner<'_>,
        ttl: u32,
        front: &[u8],
        rest: Owner<'_>,
    ) -> Result<Written, Full> {
        let start = self.at;
        let mut write = || {
            self.push_owner(owner)?;
            let head = self.at;
            self.push_head(Type::CNAME, ttl)?;
            self.push(front)?;
            self.push_owner(rest)?;
            self.close_rdata(head);
            Ok(Written { head, owner: head - start })
        };
        let written = write();
        self.count(Section::Answer, 1, start, written)
    }

    /// Replaces the TTL of the records written last, from these on.
    pub(super) fn set_ttl(&mut self, written: Written, ttl: u32) {
        let mut head = written.head;
        while head < self.at {
            self.reply.buffer[head + 4..head + 8].copy_from_slice(&ttl.to_be_bytes());
            // Of two records of one owner, one may have a pointer and the other the root itself.
            let next = head + HEAD + self.rdata_length(head);
            head = skip_name(&self.reply.buffer[..self.at], next).unwrap_or(self.at);
        }
    }

    /// True if `section` holds records.
    pub(super) fn has(&self, section: Section) -> bool {
        self.counts[section as usize] > 0
    }

    /// Takes out all records and sets TC: the client is to ask again over TCP.
    pub(super) fn cut(&mut self, ask: &Ask) {
        (self.at, self.counts, self.is_truncated) = (ask.question_end(), [0; 3], true);
    }

    /// Begins again, for a reply that had no room: without data that may be left out, and to be squeezed.
    pub(super) fn begin_again(&mut self, ask: &Ask) {
        self.squeezed_limit = Some(self.limit);
        (self.at, self.limit, self.counts) = (ask.question_end(), SQUEEZED_FROM, [0; 3]);
        (self.rcode, self.is_authoritative) = (Rcode::NOERROR, false);
    }

    /// Squeezes what was written since [`Writer::begin_again`].
    ///
    /// # Errors
    /// [`Full`] if RRsets were left out.
    pub(super) fn squeeze(&mut self, ask: &Ask) -> Result<(), Full> {
        self.limit = self.squeezed_limit.take().unwrap_or(self.limit);
        let (into, from) = self.reply.buffer.split_at_mut(SQUEEZED_FROM);
        from[..self.at].copy_from_slice(&into[..self.at]);
        let squeezed = squeeze(&from[..self.at], ask.question_end(), self.counts, &mut into[..self.limit]);
        (self.at, self.counts) = (squeezed.length, squeezed.counts);
        if squeezed.is_whole { Ok(()) } else { Err(Full) }
    }

    /// True while data that may be left out is left out, to make room.
    pub(super) fn is_short_of_room(&self) -> bool {
        self.squeezed_limit.is_some()
    }

    /// True if this name, byte for byte, stands at `at`.
    pub(super) fn has_name(&self, mut at: usize, name: &[u8]) -> bool {
        // Mostly it stands there whole: it is the end of the question's.
        if self.bytes().get(at..at + name.len()) == Some(name) {
            return true;
        }
        let mut rest = name;
        // Not more pointers than labels: each leads to one that was written before.
        for _ in 0..name.len() {
            let Some(&label) = self.bytes().get(at) else { return false };
            if label >= 0xc0 {
                at =
                    usize::from(label & 0x3f) << 8 | usize::from(self.bytes().get(at + 1).copied().unwrap_or_default());
                continue;
            }
            let length = usize::from(label) + 1;
            let Some((label, after)) = rest.split_at_checked(length) else { return false };
            if self.bytes().get(at..at + length) != Some(label) {
                return false;
            }
            if after.is_empty() {
                return true;
            }
            (at, rest) = (at + length, after);
        }
        false
    }

    /// What was written so far, from the header on.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.reply.buffer[..self.at]
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at + bytes.len();
        if end > self.limit {
            return Err(Full);
        }
        self.reply.buffer[self.at..end].copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    /// A pointer, or the name itself where it is shorter or out of a pointer's reach.
    fn push_owner(&mut self, owner: Owner<'_>) -> Result<(), Full> {
        if owner.at <= POINTER_MAX && owner.name.len() > 1 {
            self.push(&pointer(owner.at))
        } else {
            self.push(owner.name)
        }
    }

    fn push_head(&mut self, rtype: Type, ttl: u32) -> Result<(), Full> {
        let mut head = [0; HEAD];
        head[..2].copy_from_slice(&rtype.0.to_be_bytes());
        head[2..4].copy_from_slice(&Class::IN.0.to_be_bytes());
        head[4..8].copy_from_slice(&ttl.to_be_bytes());
        self.push(&head)
    }

    /// Sets RDLENGTH of the record whose TYPE stands at `head` and whose RDATA has just been written.
    fn close_rdata(&mut self, head: usize) {
        let length = (self.at - head - HEAD) as u16;
        self.reply.buffer[head + HEAD - 2..head + HEAD].copy_from_slice(&length.to_be_bytes());
    }

    fn push_rdata(&mut self, rtype: Type, rdata: &[u8], tails: &[u8], apex: ApexSpot) -> Result<(), Full> {
        let (preference, mut rest) =
            rdata.split_at_checked(if rtype == Type::MX { 2 } else { 0 }).unwrap_or((rdata, &[]));
        self.push(preference)?;
        for &tail in tails {
            let front = usize::from(tail).wrapping_sub(1);
            let whole =
                if tail == 0 { wire_length(rest).unwrap_or(rest.len()) } else { (front + apex.length).min(rest.len()) };
            if tail > 0 && apex.is_in_reach() {
                self.push(&rest[..front])?;
                self.push(&pointer(apex.at))?;
            } else {
                self.push(&rest[..whole])?;
            }
            rest = &rest[whole..];
        }
        self.push(rest)
    }

    /// Writes OPT, TSIG and the header. The reply is then ready to be sent.
    pub(super) fn finish(&mut self, ask: &Ask, closing: &Closing<'_>) {
        let mut additional = self.counts[Section::Additional as usize];
        if let Some(opt) = &ask.opt {
            // RFC 6891 §6.1.3: the upper bits of the rcode, version 0; §6.1.4: DO as it came, all other flags 0.
            let [size, do_flag] = [UDP_PAYLOAD, opt.flags & flag::DO].map(u16::to_be_bytes);
            let upper = (self.rcode.0 >> 4) as u8;
            let record = [0, 0, 41, size[0], size[1], upper, 0, do_flag[0], do_flag[1], 0, 0];
            self.limit += self.opt_room;
            let at = self.at;
            if self.push(&record).is_ok() {
                additional += 1;
                self.push_options(at + OPT_LENGTH, closing);
            }
        }
        if let Some(tsig) = &closing.tsig {
            let start = self.at;
            match tsig.parts().into_iter().try_for_each(|part| self.push(part)) {
                Ok(()) => additional += 1,
                Err(Full) => self.at = start,
            }
        }
        // RFC 1035 §4.1.1 and RFC 4035 §3.1.6 copy RD and CD; what they mean to another opcode is not known.
        let copied = if ask.defect == Some(Defect::Opcode) { 0x7800 } else { 0x7800 | flag::RD | flag::CD };
        let mut flags = ask.header.flags & copied | flag::QR | self.rcode.0 & 0xf;
        if self.is_authoritative {
            flags |= flag::AA;
        }
        if self.is_truncated {
            flags |= flag::TC;
        }
        let [answer, authority, _] = self.counts;
        let words = [ask.header.id, flags, u16::from(ask.has_question()), answer, authority, additional];
        self.reply.buffer[..HEADER].copy_from_slice(words.map(u16::to_be_bytes).as_flattened());
        self.reply.length = self.at;
        (self.reply.rcode, self.reply.is_truncated) = (self.rcode, self.is_truncated);
    }

    /// Writes the options of the OPT whose RDATA begins at `start`, as far as there is room.
    fn push_options(&mut self, start: usize, closing: &Closing<'_>) {
        let _ = self.push(closing.set_aside);
        if let Some((error, text)) = closing.error {
            // RFC 8914 §2: the code, and text that may be missing.
            let text = if self.limit - self.at < OPTION_HEAD + 2 + text.len() { "" } else { text };
            let head = [option::ERROR, 2 + text.len() as u16, error.0].map(u16::to_be_bytes);
            if self.push(head.as_flattened()).is_ok() {
                let _ = self.push(text.as_bytes());
            }
        }
        if closing.is_padded {
            self.pad();
        }
        if self.at > start {
            let length = (self.at - start) as u16;
            self.reply.buffer[start - 2..start].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// RFC 7830 §4: octets of padding "SHOULD be set to 0x00"; the length is RFC 8467 §4.1's.
    fn pad(&mut self) {
        let end = (self.at + OPTION_HEAD).next_multiple_of(PADDED_TO).min(self.limit);
        if let Some(length) = end.checked_sub(self.at + OPTION_HEAD) {
            let head = [option::PADDING, length as u16].map(u16::to_be_bytes);
            if self.push(head.as_flattened()).is_ok() {
                self.reply.buffer[self.at..end].fill(0);
                self.at = end;
            }
        }
    }

    /// Writes a TXT of class CH about the question's name, with a TTL of 0.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn put_chaos(&mut self, text: &str) -> Result<(), Full> {
        let text = text.as_bytes();
        let text = &text[..text.len().min(255)];
        let start = self.at;
        let head = [pointer(HEADER), Type::TXT.0.to_be_bytes(), Class::CH.0.to_be_bytes(), [0; 2], [0; 2]];
        let length = (1 + text.len() as u16).to_be_bytes();
        let parts = [head.as_flattened(), &length, &[text.len() as u8], text];
        let written = parts.into_iter().try_for_each(|part| self.push(part));
        match written {
            Ok(()) => self.counts[Section::Answer as usize] += 1,
            Err(Full) => self.at = start,
        }
        written
    }
}

fn pointer(at: usize) -> [u8; 2] {
    (0xc000 | at as u16).to_be_bytes()
}
