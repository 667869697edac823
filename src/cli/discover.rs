//! Where the daemon is and what opens its door: from flags, the environment, or the configuration file.
//!
//! The file is read leniently here: an operator's shell need not have the variables, the zone files or the rights
//! that the daemon has.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::cli::exit::{Exit, Failure};
use crate::config::Secret;

/// Where `failoverd.toml` is looked for, in this order.
pub(super) const CONFIG_PLACES: [&str; 2] = ["failoverd.toml", "/etc/failoverd/failoverd.toml"];
const ADMIN_DEFAULT: &str = "127.0.0.1:8053";
const STATE_DEFAULT: &str = "/var/lib/failoverd";
/// Made by the daemon at its first start, in the state folder.
const TOKEN_FILE: &str = "operator.token";

/// What was given on the command line or in the environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) config: Option<PathBuf>,
    pub(super) admin: Vec<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) token: Option<Secret>,
}

/// The nodes to ask, and the token for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Door {
    /// Base URLs, the local one first. Never empty.
    pub(super) bases: Vec<String>,
    pub(super) token: Secret,
    /// Where the addresses come from, for messages.
    pub(super) source: String,
    /// Where the token comes from, for messages.
    pub(super) token_source: String,
}

/// The configuration file meant: the one given, else the first that exists.
///
/// # Errors
/// If none is given and none exists.
pub(super) fn config(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let found = CONFIG_PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        Failure::new(Exit::Config, "there is no configuration file")
            .help(format!("looked for {}", CONFIG_PLACES.map(|place| format!("`{place}`")).join(" and ")))
            .help("name one with --config FILE or FAILOVERD_CONFIG, or write a first one with `failoverd init`")
    })
}

/// The nodes and the token.
///
/// # Errors
/// If nothing says where the daemon is, or no token can be read.
pub(super) fn door(given: &Given) -> Result<Door, Failure> {
    let needs_file = given.admin.is_empty() || (given.token.is_none() && given.token_file.is_none());
    let file = match config(given.config.as_deref()) {
        Ok(path) => Some(Hints::read(&path).map(|hints| (path, hints))),
        Err(missing) if needs_file && given.admin.is_empty() => {
            return Err(missing.help("or say where the daemon is: --admin URL with --token-file FILE"));
        }
        Err(_) => None,
    };
    let file = match file {
        Some(Err(failure)) if needs_file => return Err(failure),
        other => other.and_then(Result::ok),
    };
    let (bases, source) = match (&file, given.admin.is_empty()) {
        (Some((path, hints)), true) => (hints.bases(), format!("[admin] listen in {}", path.display())),
        _ => (given.admin.iter().map(|url| base(url)).collect(), "--admin".to_owned()),
    };
    let (token, token_source) = token(given, file.as_ref().map(|(_, hints)| hints))?;
    Ok(Door { bases, token, source, token_source })
}

fn token(given: &Given, hints: Option<&Hints>) -> Result<(Secret, String), Failure> {
    if let Some(token) = &given.token {
        return Ok((token.clone(), "FAILOVERD_TOKEN".to_owned()));
    }
    let path = match (&given.token_file, hints) {
        (Some(path), _) => path.clone(),
        (None, Some(hints)) => hints.state.join(TOKEN_FILE),
        (None, None) => Path::new(STATE_DEFAULT).join(TOKEN_FILE),
    };
    let refused = |error: &io::Error| {
        let failure = Failure::new(Exit::Denied, format!("cannot read the token in {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                failure.help("run this as root or as the daemon's user, or give your own [admin.token.NAME] secret:")
            }
            io::ErrorKind::NotFound => {
                failure.help("the daemon makes it at its first start: is it running with this state folder?")
            }
            _ => failure,
        }
        .help("--token-file FILE, or FAILOVERD_TOKEN in the environment")
    };
    let text = fs::read_to_string(&path).map_err(|error| refused(&error))?;
    let token = text.trim().to_owned();
    if token.is_empty() {
        return Err(Failure::new(Exit::Denied, format!("{} is empty", path.display())));
    }
    Ok((Secret(token), path.display().to_string()))
}

/// A base URL as people write it: the scheme may be missing, a slash at the end too much.
fn base(text: &str) -> String {
    let text = text.trim().trim_end_matches('/');
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}

/// The few values of the file that the command line needs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Hints {
    listen: Option<String>,
    state: PathBuf,
    nodes: Vec<String>,
}

impl Hints {
    fn read(path: &Path) -> Result<Self, Failure> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let main = table(path)?;
        let mut hints = Self { state: STATE_DEFAULT.into(), ..Self::default() };
        hints.take(&main, folder);
        for pattern in strings(main.get("include")) {
            for included in matching(&folder.join(pattern)) {
                hints.take(&table(&included)?, folder);
            }
        }
        Ok(hints)
    }

    fn take(&mut self, table: &Table, folder: &Path) {
        let text = |section: &str, key: &str| table.get(section)?.get(key)?.as_str().map(str::to_owned);
        if let Some(listen) = text("admin", "listen") {
            self.listen = Some(listen);
        }
        if let Some(state) = text("server", "state") {
            self.state = folder.join(state);
        }
        self.nodes.extend(strings(table.get("cli").and_then(|cli| cli.get("nodes"))));
    }

    fn bases(&self) -> Vec<String> {
        let listen = self.listen.as_deref().unwrap_or(ADMIN_DEFAULT);
        let mut bases = vec![base(&reachable(listen))];
        for node in self.nodes.iter().map(|node| base(node)) {
            if !bases.contains(&node) {
                bases.push(node);
            }
        }
        bases
    }
}

/// A wildcard is listened on; loopback is where it is asked.
fn reachable(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() && address.is_ipv4() => format!("127.0.0.1:{}", address.port()),
        Ok(address) if address.ip().is_unspecified() => format!("[::1]:{}", address.port()),
        _ => listen.to_owned(),
    }
}

fn table(path: &Path) -> Result<Table, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Config, format!("cannot read {}: {error}", path.display())))?;
    text.parse().map_err(|error| {
        Failure::new(Exit::Config, format!("{} is not TOML: {error}", path.display()))
            .help(format!("`failoverd check --config {}` tells all that is wrong with it", path.display()))
    })
}

fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

/// Files of a pattern whose last part may hold one `*`, sorted.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((front, back)) = name.split_once('*') else {
        return vec![pattern.to_owned()];
    };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut found: Vec<PathBuf> = entries
        .into_iter()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= front.len() + back.len() && name.starts_with(front) && name.ends_with(back)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_file_says_where_the_daemon_is_and_its_state_holds_the_token() {
        let folder = folder(&[
            ("f.toml", "include = ['conf.d/*.toml']\n[admin]\nlisten = '0.0.0.0:9000'\n[server]\nstate = 'st'\n"),
            ("conf.d/nodes.toml", "[cli]\nnodes = ['http://10.0.0.2:8053/', '127.0.0.1:9000']\n"),
            ("conf.d/ignored.txt", "not toml ["),
            ("st/operator.token", "abc\n"),
        ]);
        let config = folder.path().join("f.toml");
        let door = door(&Given { config: Some(config), ..Given::default() }).unwrap();
        assert_eq!(door.bases, ["http://127.0.0.1:9000", "http://10.0.0.2:8053"]);
        assert_eq!(door.token.0, "abc");
    }

    #[test]
    fn flags_go_before_the_file_and_need_none() {
        let given = Given {
            config: Some("/nowhere/failoverd.toml".into()),
            admin: vec!["127.0.0.1:1".into(), "https://ns2.example/".into()],
            token: Some(Secret("t".into())),
            token_file: None,
        };
        let found = door(&given).unwrap();
        assert_eq!(found.bases, ["http://127.0.0.1:1", "https://ns2.example"]);
        assert_eq!(found.token.0, "t");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = folder(&[("f.toml", "[server]\nstate = 'st'\n"), ("bad.toml", "[admin\n")]);
        let missing =
            |name: &str| door(&Given { config: Some(folder.path().join(name)), ..Given::default() }).unwrap_err();
        let failure = missing("f.toml");
        assert_eq!(failure.exit, Exit::Denied);
        assert!(failure.error.contains("st/operator.token"), "{}", failure.error);
        assert_eq!(missing("none.toml").exit, Exit::Config);
        assert!(missing("bad.toml").error.contains("is not TOML"));
    }
}
