//! Real origins: nginx from Debian's packages, with certificates made here.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::daemon::get;
use crate::support::{free_port, tool, wait};

/// An authority of our own, and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, for `ca_file`.
    pub(crate) pem: String,
}

/// Certificate chain and key of one server, as PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// Under this name: two of one name with different keys would be a forgery, not a stranger.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Good for `name`, now.
    pub(crate) fn valid(&self, name: &str) -> Identity {
        self.signed(name, 2024, 2090)
    }

    /// Good for `name`, until the end of 2024.
    pub(crate) fn expired(&self, name: &str) -> Identity {
        self.signed(name, 2023, 2025)
    }

    fn signed(&self, name: &str, from: i32, to: i32) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// Good for `name` since so many days and for so many more.
    pub(crate) fn lasting(&self, name: &str, since: u64, left: u64) -> Identity {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = (SystemTime::now() - days(since)).into();
        params.not_after = (SystemTime::now() + days(left)).into();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// Good for `name`, signed by nobody but itself.
    pub(crate) fn self_signed(name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        Identity { certificate: params.self_signed(&key).expect("a certificate").pem(), key: key.serialize_pem() }
    }
}

/// What `/healthz` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    Fine,
    /// Status 500.
    Error,
    /// The body comes at a byte a second.
    Slow,
    /// The connection is closed without a reply.
    Reset,
}

/// One nginx. Dropping it kills it.
pub(crate) struct Nginx {
    folder: tempfile::TempDir,
    wrapper: Vec<String>,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// The same without TLS.
    pub(crate) plain_port: u16,
    child: Option<Child>,
}

impl Nginx {
    /// Serves `https://address:port/healthz`, with `wrapper` (such as `ip netns exec …`) before its command line.
    pub(crate) fn start(wrapper: &[&str], address: Ipv4Addr, port: u16, identity: &Identity, manner: Manner) -> Self {
        let folder = tempfile::Builder::new().prefix("failoverd-nginx-").tempdir().expect("a scratch folder");
        let wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        let mut nginx = Self { folder, wrapper, address: address.into(), port, plain_port: free_port(), child: None };
        nginx.set(identity, manner);
        nginx.run();
        nginx
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration; takes force with the next start.
    pub(crate) fn set(&self, identity: &Identity, manner: Manner) {
        let write = |name: &str, text: &str| fs::write(self.path(name), text).expect("a file");
        write("certificate.pem", &identity.certificate);
        write("key.pem", &identity.key);
        fs::create_dir_all(self.path("slow")).expect("a folder");
        write("slow/healthz", &"ok ".repeat(2000));
        let location = match manner {
            Manner::Fine => "return 200 'ok';".to_owned(),
            Manner::Error => "return 500 'broken';".to_owned(),
            Manner::Reset => "return 444;".to_owned(),
            Manner::Slow => format!("root {}; limit_rate_after 1k; limit_rate 1;", self.path("slow").display()),
        };
        let here = self.folder.path().display();
        let text = format!(
            "daemon off; master_process off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;\n\
             user root; worker_rlimit_nofile 8192;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n access_log off; client_body_temp_path {here}/b; proxy_temp_path {here}/p;\n \
             fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n \
             server {{ listen {}:{} ssl backlog=4096; listen {}:{} backlog=4096;\n  ssl_certificate {here}/certificate.pem; ssl_certificate_key {here}/key.pem;\n  \
             location /healthz {{ {location} }}\n  location /requests {{ stub_status; }} }} }}\n",
            self.address, self.port, self.address, self.plain_port
        );
        write("nginx.conf", &text);
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "already running");
        let program = tool("nginx", "nginx-light").display().to_string();
        let mut words = self.wrapper.clone();
        words.extend([program, "-p".into(), self.folder.path().display().to_string()]);
        words.extend(["-e".into(), self.path("error.log").display().to_string()]);
        words.extend(["-c".into(), self.path("nginx.conf").display().to_string()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("nginx"));
        wait("nginx", Duration::from_secs(10), || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none(), "nginx: {}", fs::read_to_string(self.path("error.log")).unwrap_or_default());
            std::net::TcpStream::connect_timeout(&(self.address, self.port).into(), Duration::from_millis(200)).ok()
        });
    }

    /// How many requests it has answered, the questions for it left out. `asked` of them came before this one.
    pub(crate) fn requests(&self, asked: u64) -> u64 {
        let server = (self.address, self.plain_port).into();
        let (_, text) = wait("nginx's counters", Duration::from_secs(10), || get(server, "/requests")).0;
        // The line below "server accepts handled requests".
        let row = text.lines().nth(2).expect("a row of counters");
        let requests: u64 = row.split_whitespace().nth(2).and_then(|word| word.parse().ok()).expect("a counter");
        requests - asked - 1
    }

    /// Kills it at once: connections are refused from now on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not zero");
            kill_process(pid, Signal::KILL).expect("a signal to our own child");
            child.wait().expect("its end");
        }
    }

    /// Another certificate or manner, at once.
    pub(crate) fn turn_into(&mut self, identity: &Identity, manner: Manner) {
        self.kill();
        self.set(identity, manner);
        self.run();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill();
    }
}
