//! A configuration and its zones from disk, checked: the one code path of start, reload and `failoverd check`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Ask, Check, Config, Tls};
use crate::control::Loaded;
use crate::dns::Name;
use crate::edge::clock;
use crate::edge::encrypted::certificate;
use crate::edge::files::Disk;
use crate::edge::ourselves;
use crate::edge::prober::{PROGRAMS, ping_is_forbidden, system_servers};
use crate::edge::secrets;
use crate::probe::watch::plan;
use crate::ready::caa::Ours;
use crate::ready::foresight;
use crate::time::Wall;
use crate::zone::Files;
use crate::zone::load::{Zone, load as load_zone};

/// Signatures that run out within this many seconds, a week, are warned about.
const SIGNATURES_SHORT: i64 = 7 * 24 * 3600;

/// Reads and checks the configuration at `path` and every zone it names.
///
/// # Errors
/// All errors of the files, as a person reads them: those of the configuration, else those of all zones, else those
/// of both together.
pub fn load(path: &Path) -> Result<Loaded, String> {
    load_from(&Disk::default(), path)
}

/// The same, from these files.
///
/// # Errors
/// As [`load`].
pub fn load_from(files: &dyn Files, path: &Path) -> Result<Loaded, String> {
    load_with(files, path, certificate_fit)
}

/// The same while names are answered: a certificate that cannot be used keeps no other change from being taken, for the
/// one before is shown on. It becomes a warning.
///
/// # Errors
/// As [`load`], but for the certificate.
pub fn reload_from(files: &dyn Files, path: &Path) -> Result<Loaded, String> {
    load_with(files, path, |files, tls| {
        Ok(certificate::check(files, tls).unwrap_or_else(|unfit| Some(format!("{unfit}; the next start would fail"))))
    })
}

/// A warning if it ends soon, or an error as it is printed.
fn certificate_fit(files: &dyn Files, tls: &Tls) -> Result<Option<String>, String> {
    certificate::check(files, tls).map_err(|unfit| unfit.report())
}

fn load_with(
    files: &dyn Files,
    path: &Path,
    certificate: fn(&dyn Files, &Tls) -> Result<Option<String>, String>,
) -> Result<Loaded, String> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut read = config::read(files, path, &environment, &host_name()).map_err(|errors| errors.to_string())?;
    let cookie_secret = secrets::cookie_secret().map_err(|error| format!("no secret for cookies: {error}"))?;
    Arc::make_mut(&mut read.config.server.answering).cookies.complete(cookie_secret);
    // The canary asks them even where no host name of an origin has to be resolved.
    ourselves::refuse(&read.config.server, &system_servers())?;
    let mut warnings = read.warnings.clone();
    if let Some(tls) = &read.config.server.encrypted.tls {
        warnings.extend(certificate(files, tls)?);
    }
    warnings.extend(unpinged(&read.config));
    warnings.extend(crowded(&read.config));
    let mut zones = Vec::new();
    let mut errors = Vec::new();
    let steered: BTreeSet<&Name> = read.config.steers.iter().map(|steer| &steer.name).collect();
    for zone in &read.config.zones {
        match load_zone(files, &zone.apex, &zone.file, &|name| steered.contains(name)) {
            Ok(loaded) => {
                warnings.extend(loaded.report.lines());
                warnings.extend(running_out(&loaded, &zone.file, clock::wall()));
                zones.push(loaded);
            }
            Err(report) => errors.push(report.to_string()),
        }
    }
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    warnings.extend(read.against(&zones).map_err(|errors| errors.to_string())?);
    let ours = Ours::new(zones.iter().map(|zone| &zone.table));
    warnings.extend(foresight::warnings(&read.config, &ours));
    let files = read.texts().into();
    Ok(Loaded { config: Arc::new(read.config), zones, warnings, files })
}

/// A word on pings that this host will not send.
fn unpinged(config: &Config) -> Option<String> {
    let check = config.checks.iter().find(|check| check.ask == Ask::Icmp)?;
    ping_is_forbidden().then(|| {
        format!(
            "check {} pings, which this host does not let the group of this process do: nothing will be known of its \
             origins. `sysctl net.ipv4.ping_group_range=\"0 2147483647\"` allows it to all",
            check.name
        )
    })
}

/// A word on programs that would wait for each other if all of them took as long as they may.
fn crowded(config: &Config) -> Option<String> {
    let checks = plan(config).watches.into_iter().filter_map(|watch| config.checks.get(watch.check.0 as usize));
    let share = |check: &Arc<Check>| check.timeout.as_secs_f64() / check.every.as_secs_f64();
    let needed: f64 = checks.filter(|check| matches!(check.ask, Ask::Exec(_))).map(share).sum();
    (needed > PROGRAMS as f64).then(|| {
        format!(
            "checks by programs: up to {} would run at once if all of them took their whole `timeout`, and {PROGRAMS} \
             may; the others would wait, and some would tell nothing of their origins. Raise `every` or lower `timeout`",
            needed.ceil()
        )
    })
}

/// A word on signatures that have run out, or are about to.
fn running_out(zone: &Zone, file: &Path, now: Wall) -> Option<String> {
    // RFC 4034 §3.1.5: 32 bits of seconds; what is up to 68 years ahead is ahead.
    let left = i64::from(zone.signatures_until?.wrapping_sub(now.seconds() as u32) as i32);
    let until = Wall::from_millis((now.seconds() + left) * 1000);
    let apex = zone.table.apex().to_host();
    match left {
        ..0 => {
            Some(format!("{}: signatures of {apex} have run out, the first on {until}; sign it again", file.display()))
        }
        0..SIGNATURES_SHORT => {
            Some(format!("{}: the first signature of {apex} runs out on {until}; sign it again", file.display()))
        }
        _ => None,
    }
}

/// The machine's name: the node's, where the configuration gives none.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn warnings_are_lines_and_none_is_about_a_steered_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write(
            "failoverd.toml",
            r#"
            contract = 1
            [server]
            listen = ["127.0.0.1:5300"]
            [zone."example.com"]
            file = "zone"
            [check.web]
            http = "/healthz"
            [origin.eu]
            a = ["192.0.2.10"]
            [origin.us]
            a = ["192.0.2.20"]
            [origin.pages]
            a = ["192.0.2.30"]
            [steer."www.example.com"]
            primary = "eu"
            backup = "us"
            emergency = "pages"
            check = "web"
            "#,
        );
        let head = "$TTL 5\n@ SOA ns.test. a. 1 2h 1h 4w 5\n@ NS ns.test.\n";
        write("zone", &format!("{head}@ MX 5 www\n@ MX 5 gone\nb A 192.0.2.1\nb A 192.0.2.1\n"));
        let path = folder.path().join("failoverd.toml");
        let warnings = load(&path).unwrap_or_else(|errors| panic!("{errors}")).warnings;
        let place = |line: &str| format!("{}:{line}: ", folder.path().join("zone").display());
        assert_eq!(warnings.len(), 2, "{warnings:#?}");
        for (warning, line) in warnings.iter().zip(["5:6", "7:3"]) {
            assert!(warning.starts_with(&place(line)) && warning.lines().count() == 1, "{warning}");
            assert!(!warning.contains("warning"), "{warning}");
        }
    }

    #[test]
    fn more_programs_than_may_run_at_once_are_told() {
        use crate::config::{CheckId, OriginId, Place, Quorum, Rung, Steer};
        use crate::probe::fixture;
        let mut config = fixture::config();
        let ask = Ask::Exec(vec!["/bin/true".into()]);
        // Two of five seconds each: 80 of them fill 32 turns.
        config.checks = vec![Arc::new(Check { ask, ..fixture::check("way") })];
        for (last, is_told) in [(80, false), (81, true)] {
            let mut origin = fixture::origin("eu");
            origin.a = (1..=last).map(|last| [192, 0, 2, last].into()).collect();
            config.origins = vec![Arc::new(origin)];
            let (origins, check) = (vec![OriginId(0)], Some(CheckId(0).into()));
            let rung = Rung { place: Place::Primary, origins, check, quorum: Quorum::default() };
            config.steers = vec![Arc::new(Steer { rungs: vec![rung], ..fixture::steer("www.example.com") })];
            let told = crowded(&config);
            assert_eq!(told.is_some(), is_told, "{last} programs: {told:?}");
            assert!(told.is_none_or(|told| told.contains("up to 33 would run at once")));
        }
    }

    /// An address of this host that is not loopback, if it has a way out. Nothing is sent.
    fn own_address() -> Option<String> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip().to_string())
    }

    #[test]
    fn a_resolver_that_is_this_server_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failoverd.toml");
        let load_with = |resolver: &str| {
            let text = format!("[server]\nlisten = [\"0.0.0.0:5399\"]\nresolvers = [\"{resolver}\"]\n");
            fs::write(&path, text).unwrap();
            load(&path).map(|loaded| loaded.warnings)
        };
        assert!(load_with("203.0.113.9:5399").is_ok());
        if let Some(own) = own_address() {
            let said = load_with(&format!("{own}:5399")).unwrap_err();
            assert!(said.contains(&format!("the resolver {own}:5399 is this server itself")), "{said}");
            assert!(load_with(&format!("{own}:53")).is_ok());
        }
    }
}
