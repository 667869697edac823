//! The world: sockets, files, clock, signals, storage, HTTP. `daemon` wires and spawns everything.

pub mod admin; //       the HTTP API: what people and the command line ask and order
pub mod alerts; //      webhooks, told from the committed journal
#[cfg(target_os = "linux")]
pub mod batch; //       datagrams by the batch
pub mod bind; //        listening sockets, or why there are none
pub mod clock; //       the only place that reads a clock
pub mod daemon; //      wires and spawns everything
mod descriptors; //     how many connections there are descriptors for
pub mod encrypted; //   DNS over TLS, HTTPS and QUIC
pub mod files; //       the disk, and what has changed on it
pub mod handle; //      what the HTTP API may ask of the running daemon
pub mod headline; //    a journal entry as one line
pub mod holder; //      who holds a port
pub mod http; //        a router on a listener, bounded
pub mod load; //        a configuration and its zones from disk, checked
pub mod nameserver; //  the answering threads, started and stopped
pub mod ops; //         /metrics, /livez, /readyz
mod ourselves; //       refuses resolvers that are this very server
mod pin; //             a thread on a core of its own, and threads that give way
#[cfg(any(test, not(target_os = "linux")))]
mod portable; //        datagrams one by one
pub mod prober; //      one probe from the first packet to the facts
pub mod publication; // the one cell of the one snapshot
pub mod recorder; //    all that happens, onto the disk
pub mod sdnotify; //    words to the service manager
pub mod secrets; //     made at the first start
mod shelf; //  counters of the answering threads
pub mod signals; //     reload and stop
pub mod storage; //     journal, decisions, orders, durable
mod tcp; //             an answering thread over TCP
mod udp; //             an answering thread over UDP
