//! The zone that is measured, of any number of names, and questions about it. The same in every run.
//!
//! Of each hundred names 70 have addresses, 10 are aliases, 5 have MX, 5 TXT and 4 SRV, 2 are wildcards and 4 are
//! delegations with glue; three in ten stand one label deeper. Of each hundred questions 80 are about what is there
//! (below the cut, where there is one), 10 about names that are not, 5 about names that a wildcard stands for, and 5
//! about types that a name does not have. Names are drawn evenly, which is the hardest for every cache.
#![allow(dead_code, unreachable_pub, reason = "each bench uses a part of it")]

pub mod steered;

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use failoverd::answer::Draw;
use failoverd::dns::{Name, Serial, Type};
use failoverd::snapshot::{Generation, Snapshot, ZoneVersion, Zones};
use failoverd::zone::{Files, load};

/// The zone's name.
pub const APEX: &str = "example.test";
/// What host names begin with.
const WORDS: [&str; 16] = [
    "api", "www", "cdn", "mail", "img", "static", "app", "web", "auth", "login", "shop", "blog", "stage", "edge",
    "node", "proxy",
];
/// The types that data are asked for.
const ASKED: [Type; 2] = [Type::A, Type::AAAA];

/// What a question is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// What is there, whatever it is.
    Mixed,
    /// An address that is there.
    Address,
    /// A name that is not there.
    Missing,
    /// A name that a wildcard stands for.
    Wildcard,
    /// A type that the name does not have.
    NoType,
    /// A name below a cut.
    Referral,
    /// An address behind an alias.
    Alias,
    /// Mail exchangers, with the addresses of their hosts.
    Mail,
}

impl Shape {
    /// Each with its label.
    pub const ALL: [(&'static str, Self); 8] = [
        ("mixed", Self::Mixed),
        ("address", Self::Address),
        ("missing", Self::Missing),
        ("wildcard", Self::Wildcard),
        ("no-type", Self::NoType),
        ("referral", Self::Referral),
        ("alias", Self::Alias),
        ("mail", Self::Mail),
    ];
}

/// The zone as text, and what can be asked about it.
pub struct World {
    pub zone: String,
    names: usize,
    existing: Vec<(String, Type)>,
    addresses: Vec<(String, Type)>,
    without: Vec<(String, Type)>,
    wildcards: Vec<String>,
    cuts: Vec<String>,
    aliases: Vec<String>,
    mail: Vec<String>,
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// Absolute, without the closing dot.
    pub name: String,
    pub qtype: Type,
}

impl Question {
    /// As a message, with RD as resolvers of users send it.
    pub fn wire(&self, id: u16) -> Vec<u8> {
        let mut wire = [id.to_be_bytes(), [1, 0], [0, 1], [0; 2], [0; 2], [0; 2]].concat();
        for label in self.name.split('.') {
            wire.push(u8::try_from(label.len()).expect("a label"));
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        wire.extend_from_slice(&[self.qtype.0, 1].map(u16::to_be_bytes).concat());
        wire
    }
}

fn one_of<'a, T>(draw: &mut Draw, all: &'a [T]) -> &'a T {
    &all[below(draw, all.len())]
}

fn below(draw: &mut Draw, end: usize) -> usize {
    usize::try_from(draw.number() % end as u64).expect("below a usize")
}

impl World {
    /// About `names` names, at least 100.
    pub fn new(names: usize) -> Self {
        let mut world = Self {
            zone: format!(
                "$ORIGIN {APEX}.\n$TTL 3600\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\n@ NS ns2\n\
                 ns1 A 10.0.0.1\nns1 AAAA 2001:db8::1\nns2 A 10.0.0.2\n@ A 10.0.0.3\n"
            ),
            names,
            existing: Vec::new(),
            addresses: Vec::new(),
            without: Vec::new(),
            wildcards: Vec::new(),
            cuts: Vec::new(),
            aliases: Vec::new(),
            mail: Vec::new(),
        };
        let mut draw = Draw::from_seed(1);
        for number in 0..names {
            world.add(number, &mut draw);
        }
        world
    }

    fn add(&mut self, number: usize, draw: &mut Draw) {
        let mut host = format!("{}-{number:x}", one_of(draw, &WORDS));
        if below(draw, 10) < 3 {
            write!(host, ".g{:x}", below(draw, self.names / 500 + 1)).expect("a String takes all");
        }
        let full = format!("{host}.{APEX}");
        // Aliases and hosts of mail need somebody to point to.
        let kind = if self.addresses.is_empty() { 0 } else { number % 100 };
        let zone = &mut self.zone;
        let mut target = || one_of(draw, &self.addresses).0.clone();
        let written = match kind {
            0..70 => {
                self.without.push((full.clone(), Type::MX));
                self.addresses.push((full.clone(), Type::A));
                self.existing.push((full.clone(), *one_of(draw, &ASKED[..1 + kind % 2])));
                let [_, b, c, d] = u32::try_from(number).expect("fewer than 2³²").to_be_bytes();
                let v6 =
                    if kind % 2 == 1 { format!("{host} AAAA 2001:db8::{b:x}:{c:x}:{d:x}\n") } else { String::new() };
                let more = if kind % 20 == 0 { format!("{host} A 11.{b}.{c}.{d}\n") } else { String::new() };
                write!(zone, "{host} A 10.{b}.{c}.{d}\n{more}{v6}")
            }
            70..80 => {
                self.aliases.push(full.clone());
                self.existing.push((full, Type::A));
                writeln!(zone, "{host} CNAME {}.", target())
            }
            80..85 => {
                self.mail.push(full.clone());
                self.existing.push((full, Type::MX));
                writeln!(zone, "{host} MX 10 {}.\n{host} MX 20 {}.", target(), target())
            }
            85..90 => {
                self.existing.push((full, Type::TXT));
                writeln!(zone, "{host} TXT \"{}\"", "text of this name ".repeat(1 + number % 9))
            }
            90..94 => {
                self.existing.push((format!("_sip._tcp.{full}"), Type::SRV));
                writeln!(zone, "_sip._tcp.{host} SRV 0 5 5060 {}.", target())
            }
            94..96 => {
                self.wildcards.push(full);
                writeln!(zone, "*.{host} A 10.9.9.9\n*.{host} TXT wild")
            }
            _ => {
                self.existing.push((format!("www.{full}"), Type::A));
                self.cuts.push(full);
                writeln!(
                    zone,
                    "{host} NS ns1.{host}\n{host} NS ns2.{host}\nns1.{host} A 10.8.8.1\nns2.{host} A 10.8.8.2"
                )
            }
        };
        written.expect("a String takes all");
    }

    /// `count` questions of one shape.
    pub fn questions(&self, shape: Shape, count: usize, seed: u64) -> Vec<Question> {
        let mut draw = Draw::from_seed(seed);
        (0..count).map(|_| self.question(shape, &mut draw)).collect()
    }

    fn question(&self, shape: Shape, draw: &mut Draw) -> Question {
        let (name, qtype) = match shape {
            Shape::Mixed => match below(draw, 100) {
                0..80 => one_of(draw, &self.existing).clone(),
                80..90 => return self.question(Shape::Missing, draw),
                90..95 => return self.question(Shape::Wildcard, draw),
                _ => return self.question(Shape::NoType, draw),
            },
            Shape::Address => one_of(draw, &self.addresses).clone(),
            Shape::Missing => (format!("{}-no{:x}.{APEX}", one_of(draw, &WORDS), draw.number() >> 32), Type::A),
            Shape::Wildcard => (format!("x{:x}.{}", draw.number() >> 44, one_of(draw, &self.wildcards)), Type::A),
            Shape::NoType => one_of(draw, &self.without).clone(),
            Shape::Referral => (format!("www.{}", one_of(draw, &self.cuts)), Type::A),
            Shape::Alias => (one_of(draw, &self.aliases).clone(), Type::A),
            Shape::Mail => (one_of(draw, &self.mail).clone(), Type::MX),
        };
        Question { name, qtype }
    }

    /// The zone, loaded as the daemon loads it.
    ///
    /// # Panics
    /// If it has an error, which would be one of this file.
    pub fn version(&self) -> Arc<ZoneVersion> {
        let apex = Name::absolute(APEX).expect("a name");
        let zone = load::load(&OneFile(&self.zone), &apex, Path::new(APEX), &|_| false).expect("a zone without errors");
        Arc::new(ZoneVersion { apex, serial: Serial(1), table: zone.table })
    }

    /// A snapshot that serves the zone alone.
    pub fn snapshot(&self) -> Snapshot {
        let zones = Zones::from_iter([self.version()]);
        Snapshot { generation: Generation(1), zones, ..Snapshot::default() }
    }
}

/// One file, whatever its name.
pub struct OneFile<'t>(pub &'t str);

impl Files for OneFile<'_> {
    fn open(&self, _: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}
