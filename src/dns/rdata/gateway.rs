//! RDATA whose form depends on a byte inside it: IPSECKEY (RFC 4025), AMTRELAY (RFC 8777), HIP (RFC 8005).

use std::fmt::Write as _;

use super::field::{Measured, domain_name, ipv4, ipv6, name_length, number, print_name};
use super::{Fault, Token, Words, encoding};
use crate::dns::schema::Field;

const NO_SUCH_GATEWAY: &str = "a gateway type above 3";

/// A gateway of `kind`: 0 nothing (`.`), 1 IPv4, 2 IPv6, 3 a name.
fn parse_address(kind: u8, words: &mut Words<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = words.need("a gateway")?;
    match kind {
        0 if token.bytes == b"." => Ok(()),
        0 => Err(token.is_not("`.`, which is what stands for no gateway")),
        1 => {
            out.extend_from_slice(&ipv4(&token)?.octets());
            Ok(())
        }
        2 => {
            out.extend_from_slice(&ipv6(&token)?.octets());
            Ok(())
        }
        3 => domain_name(&token, origin, out),
        _ => Err(token.fault("the gateway type is a number up to 3")),
    }
}

fn measure_address(kind: u8, wire: &[u8]) -> Measured {
    match kind {
        0 => Ok(0),
        1 if wire.len() >= 4 => Ok(4),
        2 if wire.len() >= 16 => Ok(16),
        1 | 2 => Err("too short"),
        3 => name_length(wire),
        _ => Err(NO_SUCH_GATEWAY),
    }
}

fn print_address(kind: u8, wire: &[u8], out: &mut String) -> Option<()> {
    match kind {
        0 => out.push('.'),
        1 => Field::A.print(wire, out)?,
        2 => Field::Aaaa.print(wire, out)?,
        3 => print_name(wire, out)?,
        _ => return None,
    }
    Some(())
}

/// IPSECKEY behind its precedence: gateway type, algorithm, gateway, key.
pub(super) fn parse_gateway(words: &mut Words<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let kind: u8 = number(words, "a gateway type, which is a number up to 3")?;
    let algorithm: u8 = number(words, "an algorithm, which is a number up to 255")?;
    out.extend([kind, algorithm]);
    parse_address(kind, words, origin, out)?;
    encoding::parse_base64(words, out)
}

pub(super) fn measure_gateway(wire: &[u8]) -> Measured {
    let [kind, _, rest @ ..] = wire else {
        return Err("too short");
    };
    measure_address(*kind, rest)?;
    Ok(wire.len())
}

pub(super) fn print_gateway(wire: &[u8], out: &mut String) -> Option<()> {
    let [kind, algorithm, rest @ ..] = wire else {
        return None;
    };
    let (gateway, key) = rest.split_at_checked(measure_address(*kind, rest).ok()?)?;
    write!(out, "{kind} {algorithm} ").ok()?;
    print_address(*kind, gateway, out)?;
    if !key.is_empty() {
        out.push(' ');
    }
    encoding::push_base64(key, out);
    Some(())
}

/// AMTRELAY behind its precedence: discovery bit, relay type, relay.
pub(super) fn parse_relay(words: &mut Words<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = words.need("a discovery bit")?;
    let discovery = match token.bytes {
        b"0" => 0,
        b"1" => 0x80,
        _ => return Err(token.is_not("a discovery bit, which is 0 or 1")),
    };
    let kind: u8 = number(words, "a relay type, which is a number up to 3")?;
    out.push(discovery | kind & 0x7f);
    parse_address(kind, words, origin, out)
}

pub(super) fn measure_relay(wire: &[u8]) -> Measured {
    let (first, relay) = wire.split_first().ok_or("too short")?;
    Ok(1 + measure_address(first & 0x7f, relay)?)
}

pub(super) fn print_relay(wire: &[u8], out: &mut String) -> Option<()> {
    let (first, relay) = wire.split_first()?;
    write!(out, "{} {} ", first >> 7, first & 0x7f).ok()?;
    print_address(first & 0x7f, relay, out)
}

/// HIP: algorithm, host identity tag, key, rendezvous servers; in wire the lengths of tag and key stand first.
pub(super) fn parse_host_identity(words: &mut Words<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let algorithm: u8 = number(words, "an algorithm, which is a number up to 255")?;
    let token = words.need("a host identity tag")?;
    let tag = encoding::decode_hex(token.bytes).filter(|tag| !tag.is_empty());
    let tag = tag.ok_or_else(|| token.is_not("a host identity tag in hexadecimal"))?;
    out.push(counted(&tag, &token)?);
    out.push(algorithm);
    let token = words.need("a key in base64")?;
    let mut key = Vec::new();
    if !encoding::decode_base64(token.bytes, &mut key) || key.is_empty() {
        return Err(token.is_not("a key in base64"));
    }
    out.extend_from_slice(&counted::<u16>(&key, &token)?.to_be_bytes());
    out.extend_from_slice(&tag);
    out.extend_from_slice(&key);
    words.try_for_each(|token| domain_name(&token, origin, out))
}

fn counted<N: TryFrom<usize>>(bytes: &[u8], token: &Token<'_>) -> Result<N, Fault> {
    N::try_from(bytes.len()).map_err(|_| token.fault("too long"))
}

/// The parts of HIP in wire form.
struct HostIdentity<'w> {
    algorithm: u8,
    tag: &'w [u8],
    key: &'w [u8],
    /// Names one after the other.
    servers: &'w [u8],
}

fn split_host_identity(wire: &[u8]) -> Option<HostIdentity<'_>> {
    let (&[tag_length, algorithm, high, low], rest) = wire.split_first_chunk::<4>()?;
    let (tag, rest) = rest.split_at_checked(usize::from(tag_length))?;
    let (key, servers) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    (!tag.is_empty() && !key.is_empty()).then_some(HostIdentity { algorithm, tag, key, servers })
}

pub(super) fn measure_host_identity(wire: &[u8]) -> Measured {
    let mut servers = split_host_identity(wire).ok_or("a tag or key that is empty or too long")?.servers;
    while !servers.is_empty() {
        servers = servers.get(name_length(servers)?..).unwrap_or_default();
    }
    Ok(wire.len())
}

pub(super) fn print_host_identity(wire: &[u8], out: &mut String) -> Option<()> {
    let HostIdentity { algorithm, tag, key, mut servers } = split_host_identity(wire)?;
    write!(out, "{algorithm} ").ok()?;
    encoding::push_hex(tag, out);
    out.push(' ');
    encoding::push_base64(key, out);
    while !servers.is_empty() {
        let (server, after) = servers.split_at_checked(name_length(servers).ok()?)?;
        out.push(' ');
        print_name(server, out)?;
        servers = after;
    }
    Some(())
}
