//! Queries made from choices: near to what the zones hold, with any OPT, then bent.

use failoverd::dns::{Name, Type};

use super::input::Input;
use super::world::{World, some_name};

const TYPES: [u16; 40] = [
    1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 39, 43, 64, 65, 255, 252, 251, 46, 47, 48, 50, 51, 52, 99, 257, 0, 41, 128,
    249, 250, 253, 254, 3, 14, 18, 65280, 65535, 129, 32768, 262,
];
const SIZES: [u16; 8] = [0, 511, 512, 513, 1231, 1232, 4096, 65535];
const OPTIONS: [u16; 12] = [3, 8, 9, 10, 11, 12, 15, 5, 13, 18, 65001, 0];

/// A message for these zones.
pub fn made(input: &mut Input<'_>, world: &World) -> Vec<u8> {
    let form = input.byte();
    let mut query = vec![0x2b, 0x67, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    if form & 1 != 0 {
        query[2] = input.byte() & 0x7f;
        query[3] = input.byte();
    }
    let qname = question_name(input, world);
    query.extend(qname.as_wire().iter().map(|byte| if form & 2 != 0 { byte.to_ascii_uppercase() } else { *byte }));
    let choice = input.byte();
    let qtype = TYPES.get(usize::from(choice >> 1)).copied().unwrap_or_else(|| input.word());
    query.extend(qtype.to_be_bytes());
    query.extend(if form & 4 != 0 { input.word() } else { 1 }.to_be_bytes());
    if form & 8 != 0 {
        // A record of the other sections.
        let section = input.below(3);
        query[7 + 2 * section] += 1;
        query.extend_from_slice(&[[0xc0, 12], [0, 1], [0, 1], [0, 0], [0, 0]].concat());
        if form & 16 != 0 {
            let at = query.len() - 8;
            query[at..at + 2].copy_from_slice(&input.word().to_be_bytes());
        }
        let rdata = input.byte() & 0x1f;
        query.extend_from_slice(&[0, rdata]);
        query.extend_from_slice(&vec![0x41; usize::from(rdata)]);
    }
    if form & 32 != 0 {
        query[11] += 1;
        opt(input, &mut query);
    }
    if form & 64 != 0 {
        bend(input, &mut query);
    }
    query
}

/// A name that stands in a zone or in RDATA there, or one above, below or beside it.
fn question_name(input: &mut Input<'_>, world: &World) -> Name {
    let owners: Vec<&Name> = world.zones.iter().flat_map(|zone| zone.rows.iter().map(|row| &row.owner)).collect();
    let form = input.byte();
    if form & 3 == 3 || owners.is_empty() {
        return some_name(input);
    }
    let mut name = owners[usize::from(input.word()) % owners.len()].clone();
    for _ in 0..form >> 2 & 3 {
        name = name.parent().unwrap_or(name);
    }
    for _ in 0..form >> 4 & 7 {
        let label: &[u8] = input.one_of(&[b"a", b"*", b"b", b"www", b"ns", b"sub", b"x", &[b'l'; 63]]);
        name = name.child(label).unwrap_or(name);
    }
    name
}

fn opt(input: &mut Input<'_>, query: &mut Vec<u8>) {
    let form = input.byte();
    let size = SIZES[usize::from(form & 7)];
    query.extend_from_slice(&[0, 0, 41]);
    query.extend(size.to_be_bytes());
    query.extend_from_slice(&[0, if form & 0xc0 == 0xc0 { input.byte() } else { 0 }]);
    query.extend_from_slice(&[if form & 8 != 0 { 0x80 } else { 0 }, if form & 16 != 0 { input.byte() } else { 0 }]);
    let mut options = Vec::new();
    if form & 32 != 0 {
        for _ in 0..1 + input.below(3) {
            let code = OPTIONS[input.below(OPTIONS.len())];
            let length = if code == 10 && form & 0x40 == 0 { 8 } else { input.byte() & 0x3f };
            options.extend(code.to_be_bytes());
            options.extend_from_slice(&[0, length]);
            options.extend_from_slice(&vec![input.byte(); usize::from(length)]);
        }
    }
    query.extend((options.len() as u16).to_be_bytes());
    query.extend(options);
}

/// Bytes changed, put in and taken away.
fn bend(input: &mut Input<'_>, query: &mut Vec<u8>) {
    while !input.is_empty() && !query.is_empty() {
        let (form, at, byte) = (input.byte(), usize::from(input.byte()) % query.len(), input.byte());
        match form & 3 {
            0 => query[at] = byte,
            1 => query.insert(at, byte),
            2 => drop(query.remove(at)),
            _ => query.truncate(at),
        }
    }
}

/// The query for a name and type with nothing odd about it.
pub fn plain(qname: &Name, qtype: Type) -> Vec<u8> {
    let head = [0x2b, 0x67, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&head[..], qname.as_wire(), &qtype.0.to_be_bytes(), &[0, 1]].concat()
}

/// The same with an OPT that has DO.
pub fn dnssec(qname: &Name, qtype: Type) -> Vec<u8> {
    let mut query = plain(qname, qtype);
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0]);
    query
}
