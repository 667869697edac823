//! failoverd itself, as a child process with its own folder and ports.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::dns::{self, Answer};
use super::{free_port, wait};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_failoverd");

/// How long a query may take before the server counts as not answering.
const PATIENCE: Duration = Duration::from_millis(500);

/// A zone file for `example.test` with what every test wants: SOA, NS and one static name.
pub(crate) const ZONE: &str = "\
$TTL 60
@       SOA ns1 hostmaster 1 3600 600 1209600 5
        NS  ns1
ns1     A   127.0.0.1
static  A   192.0.2.80
";

/// Checks so fast that an outage is seen within a second; the rest of a `[defaults.check]`.
pub(crate) const FAST: &str =
    r#"every = "1s", timeout = "500ms", fall = 2, rise = 2, confirm = "100ms", blip = "200ms""#;

/// One node. Dropping it kills it and removes its folder; its log is printed if the test failed.
pub(crate) struct Daemon {
    folder: tempfile::TempDir,
    pub(crate) dns: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) ops: SocketAddr,
    /// What it is started under: `faketime`, `prlimit`, `ip netns exec`.
    pub(crate) wrapper: Vec<String>,
    /// Environment of the daemon.
    pub(crate) environment: Vec<(String, String)>,
    /// Where its state lives; its own folder unless set before the first launch.
    pub(crate) state: PathBuf,
    /// More entries of `listen`.
    pub(crate) listen: Vec<String>,
    /// More lines of `[server]`.
    pub(crate) server: String,
    resolvers: Vec<SocketAddr>,
    body: String,
    child: Option<Child>,
}

impl Daemon {
    /// Writes configuration and zone files, and starts nothing. `body` is all but `[server]` and `[admin]`; the zone
    /// `example.test` is always there.
    pub(crate) fn prepare(body: &str, resolvers: &[SocketAddr]) -> Self {
        let folder = tempfile::Builder::new().prefix("failoverd-").tempdir().expect("a scratch folder");
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let state = folder.path().join("state");
        let daemon = Self {
            dns: local(),
            admin: local(),
            ops: local(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            state,
            listen: Vec::new(),
            server: String::new(),
            resolvers: resolvers.to_vec(),
            body: body.to_owned(),
            child: None,
            folder,
        };
        daemon.write("example.test.zone", ZONE);
        daemon
    }

    /// Prepares, starts, and waits until it is ready.
    pub(crate) fn start(body: &str, resolvers: &[SocketAddr]) -> Self {
        let mut daemon = Self::prepare(body, resolvers);
        daemon.launch();
        daemon.wait_ready();
        daemon
    }

    /// A file in the daemon's folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file in the scratch folder");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces everything but `[server]` and `[admin]`, for the next reload.
    pub(crate) fn configure(&mut self, body: &str) {
        body.clone_into(&mut self.body);
        self.write_config();
    }

    fn write_config(&self) {
        let resolvers: Vec<String> = self.resolvers.iter().map(|one| format!("\"{one}\"")).collect();
        let listen: Vec<String> =
            [self.dns.to_string()].iter().chain(&self.listen).map(|one| format!("\"{one}\"")).collect();
        let text = format!(
            "contract = 1\n\n[server]\nname = \"test\"\nlisten = [{}]\nworkers = 1\nstate = \"{}\"\nresolvers = \
             [{}]\n{}\n[admin]\nlisten = \"{}\"\nops_listen = \"{}\"\n\n[zone.\"example.test\"]\nfile = \
             \"example.test.zone\"\n\n{}",
            listen.join(", "),
            self.state.display(),
            resolvers.join(", "),
            self.server,
            self.admin,
            self.ops,
            self.body
        );
        self.write("failoverd.toml", &text);
    }

    /// Starts the process and returns at once.
    pub(crate) fn launch(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log file");
        self.launch_into(log.try_clone().expect("a handle").into(), log.into());
    }

    /// The same, with another place for what it writes.
    pub(crate) fn launch_into(&mut self, stdout: Stdio, stderr: Stdio) {
        assert!(self.child.is_none(), "already running");
        self.write_config();
        let mut words = self.wrapper.clone();
        words.extend([BINARY.to_owned(), "run".to_owned(), "--config".to_owned()]);
        words.push(self.path("failoverd.toml").display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}")));
    }

    /// Waits until `/readyz` says so.
    pub(crate) fn wait_ready(&mut self) {
        wait("ready", Duration::from_secs(15), || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().expect("a child")) {
                panic!("failoverd ended at once: {status}\n{}", self.log());
            }
            get(self.ops, "/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// The process that answers: the last of a chain of wrappers.
    pub(crate) fn pid(&self) -> u32 {
        let mut pid = self.child.as_ref().expect("running").id();
        while !self.wrapper.is_empty() {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            let Some(child) = children.split_whitespace().next().and_then(|word| word.parse().ok()) else {
                break;
            };
            pid = child;
        }
        pid
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("not zero");
        kill_process(pid, signal).expect("a signal to our own child");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().expect("running").wait().expect("its end");
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.signal(Signal::TERM);
        self.wait_end()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait_end(&mut self) -> std::process::ExitStatus {
        let child = self.child.as_mut().expect("running");
        let (status, _) = wait("the end", Duration::from_secs(10), || child.try_wait().expect("a child"));
        self.child = None;
        status
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child").is_none())
    }

    /// Everything it has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A verb of the command line, against this node.
    pub(crate) fn verb(&self, words: &[&str]) -> Output {
        let config = self.path("failoverd.toml");
        let mut command = Command::new(BINARY);
        command.args(words).arg("--config").arg(config).stdin(Stdio::null());
        command.output().expect("the command line")
    }

    /// The same; its output.
    ///
    /// # Panics
    /// If it does not end well.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        // It is ready a moment before its API has its token.
        self.wait_api();
        let output = self.verb(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "failoverd {words:?}: {}\n{text}\n{errors}", output.status);
        text
    }

    /// Addresses of a name, sorted; `None` where nothing was answered in time.
    pub(crate) fn addresses(&self, name: &str) -> Option<Vec<String>> {
        self.ask(name, dns::A).map(|answer| answer.addresses())
    }

    pub(crate) fn ask(&self, name: &str, rtype: u16) -> Option<Answer> {
        dns::ask(self.dns, name, rtype, PATIENCE)
    }

    /// Waits until `name` is answered with just this address; how long that took.
    pub(crate) fn wait_address(&self, name: &str, address: IpAddr, within: Duration) -> Duration {
        let wanted = vec![address.to_string()];
        let what = format!("{name} at {address}");
        let began = Instant::now();
        wait(&what, within, || {
            let now = self.addresses(name);
            if began.elapsed() > within {
                println!("{what}: last answer {now:?}");
            }
            now.filter(|addresses| *addresses == wanted)
        })
        .1
    }

    /// The whole committed journal, oldest first, as the API tells it.
    ///
    /// # Panics
    /// If the API does not answer.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |entry| entry["sequence"].as_u64().expect("a sequence number"));
            let (status, text) = self.api(&format!("/v1/events?after={after}&limit=1000")).expect("the API");
            assert_eq!(status, 200, "{text}");
            let before = all.len();
            let lines = text.lines().filter(|line| line.starts_with('{'));
            all.extend(lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
            if all.len() == before {
                return all;
            }
        }
    }

    /// GET from the admin API, with the token made at first start.
    pub(crate) fn api(&self, path: &str) -> Option<(u16, String)> {
        let token = fs::read_to_string(self.state.join("operator.token")).ok()?;
        get_with(self.admin, path, &format!("authorization: Bearer {}\r\n", token.trim()))
    }

    /// Every origin of every rung of every name is up, and our own sight is not in doubt.
    pub(crate) fn sees_all_up(&self) -> bool {
        let Some((200, text)) = self.api("/v1/status") else { return false };
        let status: Value = serde_json::from_str(&text).expect("JSON");
        let lists = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
        let rungs = lists(&status, "names").into_iter().flat_map(|name| lists(&name, "rungs"));
        let mut origins = rungs.flat_map(|rung| lists(&rung, "origins")).peekable();
        status["doubt"].is_null() && origins.peek().is_some() && origins.all(|origin| origin["class"] == "up")
    }

    /// Waits until the admin API answers.
    pub(crate) fn wait_api(&self) {
        wait("the admin API", Duration::from_secs(10), || self.api("/v1/status").filter(|(status, _)| *status == 200));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(6000);
            let from = (from..=log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
            println!("---- log of failoverd ----\n{}\n--------------------------", &log[from..]);
        }
        if self.is_running() {
            self.kill();
        }
    }
}

/// Status and body of a GET, over one plain connection. `None` where nobody answers.
pub(crate) fn get(server: SocketAddr, path: &str) -> Option<(u16, String)> {
    get_with(server, path, "")
}

pub(crate) fn get_with(server: SocketAddr, path: &str, headers: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {server}\r\n{headers}connection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, if is_chunked { unchunked(body)? } else { body.to_owned() }))
}

/// The body without the lengths between its parts (RFC 9112 §7.1).
fn unchunked(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n")?;
        let length = usize::from_str_radix(length.trim(), 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..length)?);
        body = rest.get(length + 2..)?;
    }
}

/// Kilobytes of memory in use (`VmRSS`), and CPU time used so far.
pub(crate) fn usage(pid: u32) -> (u64, Duration) {
    let proc = Path::new("/proc").join(pid.to_string());
    let status = fs::read_to_string(proc.join("status")).expect("a running process");
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let rss = rss.split_whitespace().next().and_then(|word| word.parse().ok()).expect("kilobytes");
    let stat = fs::read_to_string(proc.join("stat")).expect("a running process");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("ticks");
    // utime and stime are the 14th and 15th field, in hundredths of a second on Linux.
    (rss, Duration::from_millis((ticks(11) + ticks(12)) * 10))
}

/// CPU time that the thread of this name has used so far.
pub(crate) fn thread_usage(pid: u32, thread: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    let tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
    let mut named =
        tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == thread));
    let stat = named.next().and_then(|task| fs::read_to_string(task.join("schedstat")).ok());
    let nanoseconds =
        stat.as_deref().and_then(|stat| stat.split_whitespace().next()).and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_else(|| panic!("no thread `{thread}`")))
}
