//! Proofs against the real thing: other servers, other networks, other troubles. `tests/run` installs what they need;
//! `FAILOVERD_PROOF=full` gives full counts. A missing tool is a failure with the line that installs it, never a skip.
#![expect(clippy::disallowed_methods, reason = "tests watch the real clock; the core does not")]

#[path = "../support/mod.rs"]
mod support; // starting the daemon, asking it, waiting for it

mod answers; //   the same zone in other nameservers answers the same
mod checkers; //  what Zonemaster and DNSViz say of us
mod compliance; // flags, versions and options, known, unknown and malformed
mod connections; // the idle, the slow, the many
mod crash; //     kill -9, a full disk, a hung disk
mod cuts; //      networks that fail, with all origins healthy
mod encrypted; // TLS, HTTPS and QUIC, asked by the clients of others
mod failover; //  real origins die in every way an origin dies
mod footprint; // memory and CPU
mod herd; //      ten thousand origins die at once, and flap
mod hostile; //   malformed packets, floods, amplification
mod local; //     our own troubles move nothing
mod network; //   namespaces: a cable that can be cut
mod nginx; //     real origins with certificates
mod pings; //     where the kernel lets us, and where not
mod platforms; // Vercel, Netlify and GitHub Pages as a name meets them
mod reloads; //   no query lost
mod resolver; //  a real resolver follows
mod resolvers; // everything in a tree of zones, through every resolver
mod scale; //     ten thousand watches
mod tree; //      root, TLD and zones on an island
mod tripwire; //  a crash is told by the end of a connection
mod zone_files; // the same zone file means the same to other parsers
