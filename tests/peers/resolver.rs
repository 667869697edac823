//! A real resolver: Unbound, with our server for the delegated subdomain, follows a failover within its TTL.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::daemon::{Daemon, FAST};
use crate::support::dns;
use crate::support::origin::Origin;
use crate::support::resolver::Resolver;
use crate::support::{free_port, rounds, tool, wait};

const NAME: &str = "www.example.test";
const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 1);
const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 2);
/// TTL of the steered name, in seconds.
const TTL: u32 = 5;

/// A child that is killed with its owner.
struct Unbound {
    address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Unbound {
    fn start(authority: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("failoverd-unbound-").tempdir().expect("a scratch folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let here = folder.path().display();
        let (port, authority) = (address.port(), format!("{}@{}", authority.ip(), authority.port()));
        let text = format!(
            "server:\n interface: 127.0.0.1@{port}\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \
             \"{here}\"\n pidfile: \"{here}/pid\"\n use-syslog: no\n logfile: \"{here}/log\"\n do-not-query-localhost: \
             no\n module-config: \"iterator\"\n cache-min-ttl: 0\n do-ip6: no\n local-zone: \"test.\" nodefault\n \
             access-control: 127.0.0.0/8 allow\nremote-control:\n control-enable: no\nstub-zone:\n name: \
             \"example.test\"\n stub-addr: {authority}\n"
        );
        let file = folder.path().join("unbound.conf");
        fs::write(&file, text).expect("a file");
        let mut command = Command::new(tool("unbound", "unbound"));
        command.arg("-c").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("unbound");
        let unbound = Self { address, child, _folder: folder };
        wait("unbound", Duration::from_secs(10), || unbound.addresses());
        unbound
    }

    fn addresses(&self) -> Option<Vec<String>> {
        let answer = dns::resolve(self.address, NAME, dns::A, Duration::from_secs(1))?;
        Some(answer.addresses()).filter(|addresses| !addresses.is_empty())
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn unbound_follows_within_the_ttl() {
    let port = free_port();
    let mut primary = Origin::start(PRIMARY, port);
    let _backup = Origin::start(BACKUP, port);
    let resolver = Resolver::start();
    let config = format!(
        "[defaults]\ncheck = {{ {FAST} }}\n\n[check.site]\nhttp = \"/\"\n\n[origin.eu]\na = [\"{PRIMARY}\"]\nprobe = {{ \
         port = {port} }}\n\n[origin.us]\na = [\"{BACKUP}\"]\nprobe = {{ port = {port} }}\n\n[steer.\"{NAME}\"]\n\
         primary = \"eu\"\nbackup = \"us\"\ncheck = \"site\"\nttl = \"{TTL}s\"\nfailback = \"auto\"\n"
    );
    let daemon = Daemon::start(&config, &[resolver.address]);
    daemon.wait_address(NAME, PRIMARY.into(), Duration::from_secs(15));
    let unbound = Unbound::start(daemon.dns);
    // Whole seconds are counted down; half a second more for asking.
    let within = Duration::from_secs(u64::from(TTL) + 1) + Duration::from_millis(500);
    let follows = |address: Ipv4Addr| {
        wait("unbound follows", within, || unbound.addresses().filter(|now| *now == [address.to_string()])).1
    };
    let mut taken = Vec::new();
    for _ in 0..rounds(2, 20) {
        follows(PRIMARY);
        primary.break_down();
        daemon.wait_address(NAME, BACKUP.into(), Duration::from_secs(15));
        taken.push(follows(BACKUP));
        primary.mend();
        daemon.wait_address(NAME, PRIMARY.into(), Duration::from_secs(15));
        taken.push(follows(PRIMARY));
    }
    println!("unbound: {} turns followed within {within:?}: {taken:.1?}", taken.len());
}
