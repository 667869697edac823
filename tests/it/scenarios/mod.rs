//! Scenarios an operator can read: a configuration, a zone, what happens when, and what a client is told.
//!
//! A scenario file has three parts divided by lines of `----`: the configuration, the zone file, and the story. In the
//! story a line says when and what; indented lines below a question are what comes back.
//!
//! ```text
//! 10s  eu refuses                  # the origin of that name, all its addresses; also: is silent, heals
//! 10s  eu refuses db               # one check alone, which from then on fares by itself; also: is silent to db, heals db
//! 10s  eu refuses IPv6             # one address family alone; our IPv6 routes fail
//! 10s  eu loses 50%                # of its probes; or: takes 900ms
//! 10s  our network fails           # every probe and the canary; or: our routes fail, which no origin is blamed for
//! 12s  ask www.fo.example.com A
//!   www.fo.example.com. 30 IN A 192.0.2.20
//! 12s  status www.fo.example.com
//!   backup us (failed-over)
//! 12s  look www.fo.example.com     # every rung, and its origins
//!   primary down: eu down
//! 12s  explain www.fo.example.com to 192.0.2.200   # what its Extended DNS Error says
//!   0: serving backup since 10:32:10Z; primary: connection refused
//! ```
//!
//! Who waits for the velocity limit is asked by `who waits`; `approve NAME` and `approve all` let them move.
//!
//! What an origin shows beside being alive is told by `shows`, whether it would serve is asked by `ready`:
//!
//! ```text
//! 5s   netlify shows certificate *.netlify.app               # also: `… for 6 days`, `… by Let's Encrypt`
//! 5s   pages shows unclaimed github-pages
//! 5s   us shows 301 https://eu.example.net/
//! 20s  ready www.fo.example.com
//!   primary vercel: ready
//!   backup netlify: would fail
//!     its certificate is for *.netlify.app, not for www.fo.example.com; …
//! ```
//!
//! Idle connections are held to origins that work, and what becomes of them is told apart from how probes fare:
//!
//! ```text
//! 65s  eu crashes                  # it refuses from now on, and its connections end
//! 65s  wires of eu end             # the connections alone; `wires end`: those to all origins
//! 0s   eu closes idle connections after 15s
//! 90s  eu was wired                # connections opened to it since this was asked last; `eu was asked` counts probes
//!   1 times
//! ```
//!
//! An origin whose check is a heartbeat calls us:
//!
//! ```text
//! 0s   eu calls every 5s           # and once at once; `eu calls`: once, `eu reports a failure`: once; `eu stops calling`
//! 30s  we hear nobody              # `we hear again`
//! 60s  this host sleeps 120s       # nothing is done meanwhile, and nobody heard
//! ```
//!
//! `UPDATE_EXPECT=1` writes the expectations anew.

mod crowd;
mod loss;
mod world;

use std::path::Path;

#[test]
fn scenarios_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the scenarios are there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 79, "scenarios are missing");
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let told = world::tell(&text);
        if told != text {
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::write(&file, &told).expect("writable");
            } else {
                let differs = text.lines().zip(told.lines()).find(|(want, got)| want != got);
                wrong.push(format!("{}: {differs:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 accepts what is new:\n{}", wrong.join("\n"));
}
