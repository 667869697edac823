//! A configuration as it was read, and what decisions know of its zones: so little that it fits into a record.
//!
//! Zone files are not recorded: they may be large, and no decision reads them but for two things. Who may issue
//! certificates for a host (CAA), and whether something stands at its `_acme-challenge`, tell how ready a standby is. To
//! decide again, a zone is made that says just that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{self, FileText, stand_in};
use crate::control::Loaded;
use crate::dns::{Name, Serial, Type};
use crate::ready::caa::Ours;
use crate::ready::rehearsal::Records;
use crate::zone::Files;
use crate::zone::load::{Report, Zone};
use crate::zone::table::{Builder, Table};

/// TTL, and the numbers of the SOA, of a zone that stands for another.
const TTL: u32 = 3600;

/// A configuration that was read.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// The node's name.
    pub node: String,
    /// The files without their secrets, the main one first.
    pub files: Vec<FileText>,
    /// By `ZoneId`.
    pub zones: Vec<Short>,
    /// Hosts of which our zones say something.
    pub hosts: Vec<Host>,
    pub warnings: Vec<String>,
}

/// A zone in short.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Short {
    pub apex: Name,
    /// Of its file.
    pub serial: Serial,
    pub records: usize,
}

/// What our zones say of a host that is asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Host {
    pub host: String,
    /// Who may issue certificates for it; `None` if anybody may.
    pub authorities: Option<Vec<String>>,
    /// Something stands at `_acme-challenge.HOST`.
    pub challenge: bool,
}

impl Load {
    /// What of a loaded configuration is recorded.
    pub fn of(loaded: &Loaded) -> Self {
        let Loaded { config, zones, warnings, files } = loaded;
        let ours = Ours::new(zones.iter().map(|zone| &zone.table));
        let mut hosts: Vec<&str> = config.steers.iter().flat_map(|steer| &steer.hosts).map(String::as_str).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let hosts = hosts.into_iter().filter_map(|host| {
            let Records { authorities, challenge } = Records::of(host, &ours);
            let is_told = authorities.is_some() || challenge;
            is_told.then(|| Host { host: host.to_owned(), authorities, challenge })
        });
        let zones = config.zones.iter().zip(zones).map(|(file, zone)| Short {
            apex: file.apex.clone(),
            serial: zone.serial,
            records: zone.records,
        });
        Self {
            node: config.server.name.clone(),
            files: files.to_vec(),
            zones: zones.collect(),
            hosts: hosts.collect(),
            warnings: warnings.clone(),
        }
    }

    /// Reads it again, with zones that stand for those it had.
    ///
    /// # Errors
    /// What is wrong, as `check` prints it: with an environment variable that says something else now, or another
    /// version of the contract.
    pub fn read(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, String> {
        let main = self.files.first().map_or("", |file| file.path.as_str());
        let read = config::read(&Recorded(&self.files), Path::new(main), env, &self.node);
        let read = read.map_err(|errors| errors.to_string())?;
        let zones = read.config.zones.iter().map(|zone| &zone.apex);
        let zones = zones.map(|apex| self.zone(apex)).collect();
        Ok(Loaded { config: Arc::new(read.config), zones, warnings: self.warnings.clone(), files: Arc::default() })
    }

    /// A zone that says of its hosts what the one of this apex said.
    pub fn zone(&self, apex: &Name) -> Zone {
        let known = self.zones.iter().find(|zone| zone.apex == *apex);
        let (serial, records) = known.map_or((Serial(1), 2), |known| (known.serial, known.records));
        let apexes = || self.zones.iter().map(|zone| &zone.apex).chain([apex]);
        let here = self.hosts.iter().filter_map(|host| Some((host, Name::absolute(&host.host).ok()?)));
        let here = here.filter(|(_, name)| {
            let deepest = apexes().filter(|apex| name.is_within(apex)).max_by_key(|apex| apex.as_wire().len());
            deepest == Some(apex)
        });
        let table = told(apex, serial, here);
        Zone { table, serial, records, signatures_until: None, report: Report::default() }
    }
}

fn told<'h>(apex: &Name, serial: Serial, hosts: impl Iterator<Item = (&'h Host, Name)>) -> Table {
    let mut builder = Builder::new(apex.clone());
    let mut soa = [apex.as_wire(), apex.as_wire()].concat();
    for number in [serial.0, TTL, TTL, TTL, TTL] {
        soa.extend(number.to_be_bytes());
    }
    // A name that does not fit into a zone was in none.
    let mut push = |owner: &Name, rtype, rdata: &[u8]| {
        let _ = builder.push(owner, rtype, TTL, rdata);
    };
    push(apex, Type::SOA, &soa);
    push(apex, Type::NS, apex.as_wire());
    for (host, name) in hosts {
        for authority in host.authorities.iter().flatten() {
            let value = if authority.is_empty() { ";" } else { authority };
            push(&name, Type::CAA, &[b"\0\x05issue", value.as_bytes()].concat());
        }
        if host.challenge
            && let Ok(challenge) = name.child(b"_acme-challenge")
        {
            push(&challenge, Type::TXT, b"\x01-");
        }
    }
    builder.finish().0
}

/// The files of a record; a secret stands for each that is not in it.
struct Recorded<'f>(&'f [FileText]);

impl Files for Recorded<'_> {
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read + '_>> {
        let known = self.0.iter().find(|file| Path::new(&file.path) == path);
        Ok(Box::new(known.map_or(stand_in(), |file| &file.text).as_bytes()))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        // The folder of a file without one is told as `.`.
        let folder = folder.strip_prefix(".").unwrap_or(folder);
        let paths = self.0.iter().map(|file| PathBuf::from(&file.path));
        Ok(paths.filter(|path| path.parent() == Some(folder)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Steer;
    use crate::probe::fixture::{self, name};
    use crate::ready::fixture::table;

    #[test]
    fn a_zone_that_stands_for_another_says_the_same_of_its_hosts() {
        let text = "@ SOA ns hostmaster 7 3600 600 1209600 30\n@ NS ns\nns A 192.0.2.1\n@ CAA 0 issue \"pki.goog\"\n\
                    none CAA 0 issue \";\"\n_acme-challenge.www TXT x\n";
        let table = table("example.com", text);
        let zone = Zone { table, serial: Serial(7), records: 6, signatures_until: None, report: Report::default() };
        let hosts = ["www.example.com", "none.example.com", "plain.example.com", "www.example.org"].map(str::to_owned);
        let mut config = fixture::config();
        config.steers.push(Arc::new(Steer { hosts: hosts.to_vec(), ..fixture::steer("www.example.com") }));
        let loaded =
            Loaded { config: Arc::new(config), zones: vec![zone], warnings: Vec::new(), files: Arc::default() };
        let load = Load::of(&loaded);
        let stands = load.zone(&name("example.com"));
        assert_eq!((stands.serial, stands.records), (Serial(7), 6));
        for host in &hosts {
            let of = |table| Records::of(host, &Ours::new([table]));
            assert_eq!(of(&stands.table), of(&loaded.zones[0].table), "{host}");
        }
        assert_eq!(Records::of(&hosts[0], &Ours::new([&stands.table])).authorities, Some(vec!["pki.goog".to_owned()]));
    }
}
