//! Options of EDNS(0) (RFC 6891 §6.1.2): those of a query, read once, and those of its reply.
//!
//! Room for what was asked for is set aside before the reply is begun, so that an option never goes missing; what nobody
//! asked for (an error's code, padding) takes what room is left.

use std::time::Duration;

use crate::answer::cookie::{COOKIES, Cookie, Proof};
use crate::answer::desk::Desk;
use crate::answer::query::Ask;
use crate::answer::signed::Refused;
use crate::answer::{Client, Transport};
use crate::config::Answering;
use crate::dns::message::{ExtendedError, option};
use crate::zone::table::OPTIONS_MAX;

/// Code and length, which go before an option's data (RFC 6891 §6.1.2).
pub(super) const OPTION_HEAD: usize = 4;
/// Replies on encrypted transports are padded to a multiple of this (RFC 8467 §4.1).
pub(super) const PADDED_TO: usize = 468;
/// Longest NSID we send: a node's name, or the host's.
const NSID_MAX: usize = 64;
/// Bytes of an IPv6 address, the longest a client subnet can have.
const ADDRESS_MAX: usize = 16;
/// Family, source and scope, which go before a client subnet's address (RFC 7871 §6).
const SUBNET_HEAD: usize = 4;
/// The options that room is set aside for, at their longest.
const SET_ASIDE_MAX: usize = 4 * OPTION_HEAD + NSID_MAX + COOKIES + SUBNET_HEAD + ADDRESS_MAX + 2;
const _: () = assert!(SET_ASIDE_MAX == OPTIONS_MAX);

/// What the options of a query ask for. Of an option that comes twice, the first counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Who answers (RFC 5001 §2.1).
    pub nsid: bool,
    /// How long the connection may be idle (RFC 7828 §3.2.1).
    pub keepalive: bool,
    /// A length that tells nothing (RFC 7830 §3).
    pub padding: bool,
    pub cookie: Option<Cookie>,
    pub subnet: Option<Subnet>,
}

/// The client subnet of a query (RFC 7871 §6). Our answers are the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    family: u16,
    source: u8,
    address: [u8; ADDRESS_MAX],
}

impl Options {
    /// `None` if one of them is malformed: FORMERR. Those we do not know are ignored (RFC 6891 §6.1.2).
    pub(super) fn read<'m>(all: impl Iterator<Item = (u16, &'m [u8])>) -> Option<Self> {
        let mut options = Self::default();
        for (code, data) in all {
            match code {
                // RFC 5001 §2.1: a payload in a query is ignored.
                option::NSID => options.nsid = true,
                option::SUBNET => options.subnet = options.subnet.or(Some(Subnet::read(data)?)),
                option::COOKIE => options.cookie = options.cookie.or(Some(Cookie::read(data)?)),
                // RFC 7828 §3.2.1: a query's has no timeout. One that has is as little understood as an unknown option.
                option::KEEPALIVE => options.keepalive |= data.is_empty(),
                option::PADDING => options.padding = true,
                _ => {}
            }
        }
        Some(options)
    }
}

impl Subnet {
    /// `None` if malformed (RFC 7871 §7.2.1: "(e.g., an unknown FAMILY) MUST be rejected and a FORMERR").
    fn read(data: &[u8]) -> Option<Self> {
        let (&[f0, f1, source, scope], bytes) = data.split_first_chunk()?;
        let family = u16::from_be_bytes([f0, f1]);
        // Family 0 is of queries that want no address used at all; the address is empty then.
        let bits = match family {
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        // §6: the scope "MUST be set to 0" in queries; the address has as many octets as the source needs, and zeros
        // behind its bits.
        if source > bits || scope != 0 || bytes.len() != usize::from(source).div_ceil(8) {
            return None;
        }
        let unused = bytes.len() * 8 - usize::from(source);
        if bytes.last().is_some_and(|last| last & ((1 << unused) - 1) != 0) {
            return None;
        }
        let mut address = [0; ADDRESS_MAX];
        address.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { family, source, address })
    }
}

/// What the query's cookie proves of its sender.
#[inline]
pub(super) fn proof(ask: &Ask, via: &Client, by: &Answering, at: &Desk) -> Proof {
    match &ask.options.cookie {
        Some(cookie) => cookie.proof(by.cookies.secrets(), via.address.ip(), clock(at)),
        None => Proof::None,
    }
}

/// Seconds since 1970, as cookies have them.
fn clock(at: &Desk) -> u32 {
    at.now.wall.seconds() as u32
}

/// The options of a reply that room is set aside for.
pub(super) struct SetAside {
    bytes: [u8; SET_ASIDE_MAX],
    length: usize,
}

impl SetAside {
    /// Those that were asked for; `None` if none was.
    #[inline]
    pub(super) fn new(ask: &Ask, proof: Proof, via: &Client, by: &Answering, at: &Desk) -> Option<Self> {
        let has_options = ask.opt.as_ref().is_some_and(|opt| !opt.options.is_empty());
        (has_options && ask.options != Options::default()).then(|| Self::written(&ask.options, proof, via, by, at))
    }

    fn written(options: &Options, proof: Proof, via: &Client, by: &Answering, at: &Desk) -> Self {
        let mut all = Self { bytes: [0; SET_ASIDE_MAX], length: 0 };
        if options.nsid && by.nsid {
            // RFC 5001 §2.2: "only if the resolver has requested it".
            all.push(option::NSID, &[by.name.as_bytes()]);
        }
        if let (Some(cookie), Some(secret)) = (options.cookie, by.cookies.secrets().next()) {
            all.push(option::COOKIE, &[&cookie.answered(proof, secret, via.address.ip(), clock(at))]);
        }
        if let Some(Subnet { family, source, address }) = options.subnet {
            // RFC 7871 §7.2.1: family, source and address as they came; scope 0 says that the answer is for everyone.
            let [f0, f1] = family.to_be_bytes();
            let address = &address[..usize::from(source).div_ceil(8)];
            all.push(option::SUBNET, &[&[f0, f1, source, 0], address]);
        }
        // RFC 7828 §3.3: over UDP it is ignored.
        if options.keepalive && matches!(via.transport, Transport::Tcp | Transport::Tls) {
            all.push(option::KEEPALIVE, &[&tenths(by.streams.idle).to_be_bytes()]);
        }
        all
    }

    fn push(&mut self, code: u16, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let Some(room) = self.bytes.get_mut(self.length..self.length + OPTION_HEAD + length) else { return };
        let head = [code, length as u16].map(u16::to_be_bytes);
        room[..OPTION_HEAD].copy_from_slice(head.as_flattened());
        let mut at = OPTION_HEAD;
        for part in parts {
            room[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.length += OPTION_HEAD + length;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// RFC 7828 §3.1: a timeout in units of 100 milliseconds.
fn tenths(span: Duration) -> u16 {
    u16::try_from(span.as_millis() / 100).unwrap_or(u16::MAX)
}

/// What the end of the reply is to say.
#[derive(Clone, Copy, Default)]
pub(super) struct Closing<'s> {
    pub(super) set_aside: &'s [u8],
    /// RFC 8914; left out where there is no room.
    pub(super) error: Option<(ExtendedError, &'s str)>,
    /// RFC 7830.
    pub(super) is_padded: bool,
    /// RFC 8945; stands behind OPT.
    pub(super) tsig: Option<Refused<'s>>,
}
