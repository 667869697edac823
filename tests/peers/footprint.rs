//! Memory and CPU: 100 origins every five seconds and a zone of 1,000 names stay below 30 MB and 5 % of one core.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::nginx::{Authority, Manner, Nginx};
use crate::support::daemon::{Daemon, ZONE, usage};
use crate::support::resolver::Resolver;
use crate::support::{dns, free_port, hold, rounds, wait};

const ORIGINS: u8 = 100;
const NAMES: usize = 1000;
/// Kilobytes.
const MEMORY: u64 = 30_000;
/// Of one core.
const CPU: f64 = 0.05;

#[test]
fn a_hundred_origins_are_light_over_https() {
    a_hundred_origins("https = \"/healthz\"\nca_file = \"ca.pem\"", |nginx| nginx.port);
}

#[test]
fn a_hundred_origins_are_light_over_http() {
    a_hundred_origins("http = \"/healthz\"", |nginx| nginx.plain_port);
}

fn a_hundred_origins(check: &str, port: impl Fn(&Nginx) -> u16) {
    let authority = Authority::new("our authority");
    // One certificate for all names, one server for all addresses of 127.0.0.0/8.
    let identity = authority.valid("*.example.test");
    let origins = Nginx::start(&[], Ipv4Addr::UNSPECIFIED, free_port(), &identity, Manner::Fine);
    let port = port(&origins);
    let mut config = format!("[check.site]\n{check}\nevery = \"5s\"\n\n");
    for number in 1..=ORIGINS {
        let origin = format!("[origin.o{number}]\na = [\"127.0.4.{number}\"]\nprobe = {{ port = {port} }}\n\n");
        config.push_str(&origin);
        if number % 2 == 1 {
            let backup = number + 1;
            let steer = format!(
                "[steer.\"s{number}.example.test\"]\nprimary = \"o{number}\"\nbackup = \"o{backup}\"\ncheck = \
                 \"site\"\nttl = \"30s\"\n\n"
            );
            config.push_str(&steer);
        }
    }
    let mut zone = ZONE.to_owned();
    for number in 0..NAMES {
        writeln!(zone, "n{number} A 192.0.2.{}", number % 250).expect("a string");
    }
    let resolver = Resolver::start();
    let mut daemon = Daemon::prepare(&config, &[resolver.address]);
    daemon.write("example.test.zone", &zone);
    daemon.write("ca.pem", &authority.pem);
    daemon.launch();
    daemon.wait_ready();
    wait("every origin is probed", Duration::from_secs(30), || {
        let status: serde_json::Value = serde_json::from_str(&daemon.say(&["status", "--json"])).expect("JSON");
        let text = status.to_string();
        (!text.contains("\"untried\"") && text.contains("\"up\"")).then_some(())
    });

    let pid = daemon.pid();
    let span = Duration::from_secs(u64::try_from(rounds(10, 60)).expect("small"));
    let mut peak = 0;
    let idle = share(pid, || {
        hold::<String>("nobody asks", span, || {
            peak = peak.max(usage(pid).0);
            Ok(())
        });
    });
    let mut number = 0;
    let asked = share(pid, || {
        hold("answers all the while", span, || {
            number = (number + 1) % NAMES;
            peak = peak.max(usage(pid).0);
            match daemon.ask(&format!("n{number}.example.test"), dns::A) {
                Some(answer) if answer.answers.len() == 1 => Ok(()),
                other => Err(format!("answered {other:?}")),
            }
        });
    });
    println!(
        "footprint over {}: {:.1} MB resident, {:.2} % of one core, {:.2} % while it is asked 200 times a second",
        check.split(' ').next().expect("a word"),
        peak as f64 / 1000.0,
        idle * 100.0,
        asked * 100.0
    );
    assert!(peak < MEMORY, "{peak} kB resident");
    assert!(idle < CPU && asked < CPU, "{idle} and {asked} of one core");
}

/// Of one core, what the process uses during `work`.
fn share(pid: u32, work: impl FnOnce()) -> f64 {
    let (began, (_, before)) = (Instant::now(), usage(pid));
    work();
    (usage(pid).1 - before).as_secs_f64() / began.elapsed().as_secs_f64()
}
