//! Who is compared: one function per server writes its configuration and gives its arguments.
//!
//! All are set up alike: one worker thread, one address, no log of queries, no rate limit, minimal responses, room for
//! a thousand connections, and a foreground process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::running::free_port;
use crate::world::APEX;

/// Where programs are that only root usually calls.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"];

const PROFILES: &str = "/etc/apparmor.d";

/// What a server is given.
pub struct Place<'p> {
    /// Empty, and its own.
    pub folder: &'p Path,
    pub zone: &'p Path,
    /// Of 127.0.0.1, for both UDP and TCP.
    pub port: u16,
    pub workers: usize,
}

impl Place<'_> {
    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// What a server is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Ours,
    /// The ceiling.
    Echo,
    Peer,
}

/// One that is compared.
pub struct Server {
    pub name: &'static str,
    pub kind: Kind,
    /// Found on the PATH, or in the folders of root; ours and the echo have paths of their own.
    program: &'static str,
    /// Debian's, which hold it.
    pub packages: &'static str,
    arguments: fn(&Place<'_>) -> io::Result<Vec<OsString>>,
}

/// All of them, in the order of the tables.
pub static SERVERS: [Server; 7] = [
    Server { name: "echo", kind: Kind::Echo, program: "", packages: "", arguments: echo },
    Server { name: "failoverd", kind: Kind::Ours, program: "", packages: "", arguments: failoverd },
    Server { name: "gdnsd", kind: Kind::Peer, program: "gdnsd", packages: "gdnsd", arguments: gdnsd },
    Server { name: "knot", kind: Kind::Peer, program: "knotd", packages: "knot", arguments: knot },
    Server { name: "nsd", kind: Kind::Peer, program: "nsd", packages: "nsd", arguments: nsd },
    Server { name: "bind", kind: Kind::Peer, program: "named", packages: "bind9", arguments: bind },
    Server {
        name: "pdns",
        kind: Kind::Peer,
        program: "pdns_server",
        packages: "pdns-server pdns-backend-bind",
        arguments: pdns,
    },
];

/// Its command line, with its configuration written.
///
/// # Errors
/// If its configuration cannot be written.
pub fn command(server: &Server, program: &Path, place: &Place<'_>) -> io::Result<Command> {
    let mut command = Command::new(unconfined(program, place.folder)?);
    command.args((server.arguments)(place)?).current_dir(place.folder);
    Ok(command)
}

/// A profile of AppArmor lets a server read its usual folders only, by the path of its program. A copy has none.
fn unconfined(program: &Path, folder: &Path) -> io::Result<PathBuf> {
    let profile = program.display().to_string().trim_start_matches('/').replace('/', ".");
    let Some(name) = program.file_name().filter(|_| Path::new(PROFILES).join(profile).exists()) else {
        return Ok(program.to_owned());
    };
    let copy = folder.join(name);
    fs::copy(program, &copy)?;
    Ok(copy)
}

/// Where a peer's program is, if it is installed.
pub fn find(server: &Server) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(server.program)).find(|program| program.is_file())
}

/// The version of the package a peer came in.
pub fn version(server: &Server) -> Option<String> {
    let package = server.packages.split(' ').next()?;
    let told = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output().ok()?;
    Some(String::from_utf8_lossy(&told.stdout).trim().to_owned()).filter(|version| !version.is_empty())
}

fn words<const N: usize>(words: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    words.into_iter().map(|word| word.as_ref().to_owned()).collect()
}

fn echo(place: &Place<'_>) -> io::Result<Vec<OsString>> {
    Ok(words([&"--echo", &place.port.to_string()]))
}

fn failoverd(place: &Place<'_>) -> io::Result<Vec<OsString>> {
    ours(place, free_port(), "")
}

/// Ours, with the port of its API and more of a configuration.
///
/// # Errors
/// If the configuration cannot be written.
pub fn ours(place: &Place<'_>, admin: u16, more: &str) -> io::Result<Vec<OsString>> {
    let Place { folder, zone, port, workers } = place;
    let config = format!(
        "[server]\nname = \"bench\"\nlisten = [\"127.0.0.1:{port}\"]\nworkers = {workers}\nstate = \"{}\"\n\
         [admin]\nlisten = \"127.0.0.1:{admin}\"\nops_listen = \"127.0.0.1:{}\"\n\
         [zone.\"{APEX}\"]\nfile = \"{}\"\n{more}",
        state(folder).display(),
        free_port(),
        zone.display()
    );
    Ok(words([&"run", &"--config", &place.write("failoverd.toml", &config)?]))
}

/// Where ours keeps what it remembers, and the token of its API.
pub fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

fn gdnsd(place: &Place<'_>) -> io::Result<Vec<OsString>> {
    let Place { folder, zone, port, .. } = place;
    fs::create_dir_all(folder.join("etc/zones"))?;
    std::os::unix::fs::symlink(zone, folder.join("etc/zones").join(APEX))?;
    let folder = folder.display();
    place.write(
        "etc/config",
        &format!(
            "options => {{\n listen => 127.0.0.1:{port}\n udp_threads = 1\n tcp_threads = 1\n \
             tcp_clients_per_thread = 1000\n run_dir = {folder}/run\n state_dir = {folder}/state\n}}\n"
        ),
    )?;
    Ok(words([&"-c", &place.folder.join("etc"), &"start"]))
}

fn knot(place: &Place<'_>) -> io::Result<Vec<OsString>> {
    let Place { folder, zone, port, .. } = place;
    let (folder, zone) = (folder.display(), zone.display());
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n  tcp-max-clients: 1000\nlog:\n- target: stderr\n  any: error\ndatabase:\n  \
         storage: {folder}\ntemplate:\n- id: default\n  storage: {folder}\n  journal-content: none\n  \
         zonefile-sync: -1\n  zonefile-load: whole\n  semantic-checks: off\nzone:\n- domain: {APEX}\n  \
         file: {zone}\n"
    );
    Ok(words([&"-c", &place.write("knot.conf", &config)?]))
}

fn nsd(place: &Place<'_>) -> io::Result<Vec<OsString>> {
    let Place { folder, zone, port, .. } = place;
    let (folder, zone) = (folder.display(), zone.display());
    // Since 4.7 there is no database any more, and an empty name of it is ignored.
    let config = format!(
        "server:\n server-count: 1\n ip-address: 127.0.0.1@{port}\n do-ip6: no\n username: \"\"\n database: \"\"\n \
         pidfile: \"\"\n zonesdir: \"{folder}\"\n xfrdfile: \"{folder}/xfrd.state\"\n xfrdir: \"{folder}\"\n \
         zonelistfile: \"{folder}/zone.list\"\n verbosity: 0\n rrl-ratelimit: 0\n minimal-responses: yes\n \
         tcp-count: 1000\nremote-control:\n control-enable: no\nzone:\n name: \"{APEX}\"\n zonefile: \"{zone}\"\n"
    );
    Ok(words([&"-d", &"-c", &place.write("nsd.conf", &config)?]))
}

fn bind(place: &Place<'_>) -> io::Result<Vec<OsString>> {
    let Place { folder, zone, port, .. } = place;
    let (folder, zone) = (folder.display(), zone.display());
    let config = format!(
        "options {{\n directory \"{folder}\";\n listen-on port {port} {{ 127.0.0.1; }};\n listen-on-v6 {{ none; }};\n \
         pid-file none;\n session-keyfile \"{folder}/session.key\";\n recursion no;\n dnssec-validation no;\n \
         minimal-responses yes;\n allow-transfer {{ none; }};\n notify no;\n empty-zones-enable no;\n querylog no;\n \
         zone-statistics none;\n tcp-clients 1000;\n}};\ncontrols {{ }};\nlogging {{ category default {{ null; }}; \
         }};\nzone \"{APEX}\" {{ type primary; file \"{zone}\"; check-integrity no; }};\n"
    );
    Ok(words([&"-f", &"-4", &"-n", &"1", &"-c", &place.write("named.conf", &config)?]))
}

fn pdns(place: &Place<'_>) -> io::Result<Vec<OsString>> {
    let Place { folder, zone, port, .. } = place;
    let zones = format!("zone \"{APEX}\" {{ type native; file \"{}\"; }};\n", zone.display());
    let zones = place.write("zones.conf", &zones)?;
    // Its caches are what makes it fast: all that is asked fits in, and stays.
    let config = format!(
        "launch=bind\nbind-config={}\nlocal-address=127.0.0.1\nlocal-port={port}\nsocket-dir={}\ndaemon=no\n\
         guardian=no\nwrite-pid=no\ndisable-syslog=yes\nloglevel=0\nreceiver-threads=1\ndistributor-threads=1\n\
         cache-ttl=600\nquery-cache-ttl=600\nnegquery-cache-ttl=600\nmax-cache-entries=4000000\n\
         max-packet-cache-entries=4000000\nmax-tcp-connections=1000\ndisable-axfr=yes\nsecurity-poll-suffix=\n\
         version-string=anonymous\n",
        zones.display(),
        folder.display()
    );
    place.write("pdns.conf", &config)?;
    Ok(words([&format!("--config-dir={}", folder.display())]))
}
