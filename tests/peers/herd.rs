//! Ten thousand origins die in the same second, and flap: what the loop that decides pays for it, beside a quiet day.
//!
//! One nginx on all addresses of 127.0.0.0/8 is every origin. The resolver answers throughout, so the deaths are believed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::nginx::{Authority, Manner, Nginx};
use crate::scale::{fleet, starts};
use crate::support::daemon::{Daemon, thread_usage, usage};
use crate::support::resolver::Resolver;
use crate::support::{free_port, hold, rounds, wait};

/// CPU of the loop that decides, as a multiple of that of a quiet time of the same length: when all are dead, and when all
/// flap. Flapping, every failure is confirmed and every turn of a class is shown: more is seen, and seen to be new.
const DEAD: f64 = 1.5;
const FLAPPING: f64 = 2.5;
/// Time in and out, when all flap.
const FLAP: Duration = Duration::from_secs(3);

/// CPU of the loop and of the probes' thread per second, probes per second, and the most memory, in kilobytes.
#[derive(Clone, Copy)]
struct Cost {
    control: f64,
    probes: f64,
    started: f64,
    memory: u64,
}

fn cost(daemon: &Daemon, span: Duration, mut meanwhile: impl FnMut()) -> Cost {
    let pid = daemon.pid();
    let count = || {
        let (on_time, late) = starts(daemon);
        (on_time + late) as f64
    };
    let asked = count();
    let used = || (thread_usage(pid, "control"), thread_usage(pid, "probes"));
    let (began, before) = (Instant::now(), used());
    let mut memory = 0;
    hold::<String>("it is asked", span, || {
        memory = memory.max(usage(pid).0);
        meanwhile();
        Ok(())
    });
    let (after, seconds) = (used(), began.elapsed().as_secs_f64());
    Cost {
        control: (after.0 - before.0).as_secs_f64() / seconds,
        probes: (after.1 - before.1).as_secs_f64() / seconds,
        started: (count() - asked) / seconds,
        memory,
    }
}

#[test]
fn an_outage_of_everything_costs_no_more_than_a_quiet_day() {
    let (watches, every) = (rounds(1_000, 10_000), rounds(2, 5));
    let span = Duration::from_secs(u64::try_from(rounds(12, 60)).expect("small"));
    let identity = Authority::new("our authority").valid("*.example.test");
    let mut nginx = Nginx::start(&[], Ipv4Addr::UNSPECIFIED, free_port(), &identity, Manner::Fine);
    let config = fleet("http = \"/healthz\"", nginx.plain_port, watches, every);
    let resolver = Resolver::start();
    let daemon = Daemon::start(&config, &[resolver.address]);
    let rounds_of = |count: usize| Duration::from_secs(u64::try_from(count * every).expect("small"));
    hold::<String>("all are up", rounds_of(3), || Ok(()));

    let quiet = cost(&daemon, span, || ());
    let died = SystemTime::now();
    nginx.kill();
    let dead = cost(&daemon, span, || ());
    let (down, last) = turned_down(&daemon);
    let settled = last.duration_since(died).expect("after the death");
    nginx.run();
    hold::<String>("all come back", rounds_of(6), || Ok(()));
    let (mut is_up, mut since) = (true, Instant::now());
    let flapping = cost(&daemon, span, || {
        if since.elapsed() >= FLAP {
            if is_up {
                nginx.kill();
            } else {
                nginx.run();
            }
            (is_up, since) = (!is_up, Instant::now());
        }
    });
    if !is_up {
        nginx.run();
    }
    let told = |name: &str, cost: Cost| {
        println!(
            "herd: {watches} watches every {every} s, {name}: loop {:.2} % of a core ({:.2} of quiet), probes {:.2} % ({:.2}), \
             {:.0} probes/s, {:.1} MB",
            cost.control * 100.0,
            cost.control / quiet.control,
            cost.probes * 100.0,
            cost.probes / quiet.probes,
            cost.started,
            cost.memory as f64 / 1000.0
        );
    };
    told("quiet", quiet);
    told("all dead", dead);
    told("all flapping", flapping);
    println!("herd: all {down} seen dead {:.1} s after the death", settled.as_secs_f64());
    assert_eq!(down, watches, "every watch was seen dead");
    assert!(settled < rounds_of(1) + Duration::from_secs(4), "after {settled:?}");
    assert!(dead.control < quiet.control * DEAD, "all dead: {:.2}", dead.control / quiet.control);
    assert!(flapping.control < quiet.control * FLAPPING, "all flapping: {:.2}", flapping.control / quiet.control);
    wait("it recovers by itself", rounds_of(6), || daemon.sees_all_up().then_some(()));
}

/// How many watches the journal tells to be down, and when the last of them turned.
fn turned_down(daemon: &Daemon) -> (usize, SystemTime) {
    let entries = daemon.events().into_iter();
    let deaths = entries.filter(|entry| entry["event"] == "verdict" && entry["to"] == "down");
    let moments: Vec<SystemTime> = deaths.map(|entry| moment(&entry["at"])).collect();
    (moments.len(), moments.into_iter().max().expect("a death"))
}

fn moment(at: &Value) -> SystemTime {
    let at: jiff::Timestamp =
        at.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("a moment: {at}"));
    at.into()
}
