//! Pings, in a network of its own: where the kernel lets us, and where not.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::network::on_an_island;
use crate::support::daemon::{Daemon, FAST};
use crate::support::resolver::Resolver;
use crate::support::wait;

const V4: Ipv4Addr = Ipv4Addr::new(198, 18, 77, 1);
const V6: &str = "2001:2::77";
/// Nobody has it.
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 18, 77, 99);
/// The groups that may ping, of this network.
const GROUPS: &str = "/proc/sys/net/ipv4/ping_group_range";
const SOON: Duration = Duration::from_secs(15);

#[test]
fn a_ping_is_answered_where_the_kernel_lets_us() {
    let v6: IpAddr = V6.parse().expect("an address");
    on_an_island(&[V4.into(), v6], || {
        fs::write(GROUPS, "0 2147483647").expect("to be root");
        let resolver = Resolver::start();
        let daemon = Daemon::start(
            &format!(
                "[defaults]\ncheck = {{ {FAST} }}\n\n[check.ping]\nicmp = true\n\n[origin.here]\na = [\"{V4}\"]\naaaa = \
                 [\"{V6}\"]\n\n[origin.gone]\na = [\"{NOBODY}\"]\n\n[steer.\"www.example.test\"]\nprimary = \"gone\"\n\
                 backup = \"here\"\ncheck = \"ping\"\nttl = \"5s\"\n"
            ),
            &[resolver.address],
        );
        daemon.wait_address("www.example.test", V4.into(), SOON);
        let outcomes = || {
            let seen: serde_json::Value = serde_json::from_str(&daemon.say(&["probe", "--json"])).expect("JSON");
            let seen = seen.as_array().expect("a list").clone();
            let told = seen.iter().map(|one| {
                let told = |pointer: &str| one.pointer(pointer).and_then(|word| word.as_str()).unwrap_or("").to_owned();
                (told("/target"), told("/probe/outcome"), told("/probe/label"))
            });
            let mut told: Vec<_> = told.collect();
            told.sort();
            told
        };
        let row = |target: &str, outcome: &str, label: &str| (target.to_owned(), outcome.to_owned(), label.to_owned());
        let (here, gone) = (V4.to_string(), NOBODY.to_string());
        let answered = vec![row(&here, "passed", ""), row(&gone, "failed", "timeout"), row(V6, "passed", "")];
        assert_eq!(outcomes(), answered);
        let is_warned = || {
            let output = daemon.verb(&["check"]);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stderr).contains("ping_group_range")
        };
        assert!(!is_warned());

        // The kernel no longer lets us: nothing is known, and nothing moves.
        fs::write(GROUPS, "1 0").expect("to be root");
        let forbidden = |target: &str| row(target, "inconclusive", "ping-forbidden");
        assert_eq!(outcomes(), [forbidden(&here), forbidden(&gone), forbidden(V6)]);
        let status = wait("stale watches", SOON, || {
            let status = daemon.say(&["status"]);
            status.contains("stale").then_some(status)
        });
        assert_eq!(daemon.addresses("www.example.test"), Some(vec![V4.to_string()]), "{}", status.0);
        assert!(is_warned());
    });
}
