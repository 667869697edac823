//! Load over UDP: a closed loop with so many in flight, or a fixed rate whatever the server does.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use failoverd::edge::batch::{self, Batch};
use rustix::thread::sched_yield;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Count, Flight, Judged, Outcome, PATIENCE, Queries, nanoseconds};

/// Questions are sent in batches of this many, as far as the window allows.
const BATCH: usize = batch::BATCH / 2;
/// IDs of one socket: at a fixed rate, this many may wait.
const IDS: usize = 4096;
/// Replies are awaited so long after the last question.
const DRAIN: Duration = Duration::from_millis(300);
/// Room for replies, if the system gives as much.
const ROOM: usize = 4 << 20;

/// How to ask.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each has a port of its own, so that they spread over the sockets of a server.
    pub sockets: usize,
    /// Every other socket asks this one instead.
    pub other: Option<SocketAddr>,
    /// Most in flight, on all sockets together.
    pub window: usize,
    /// Questions per second; as fast as they are answered if none.
    pub rate: Option<f64>,
    pub time: Duration,
    /// At most so many questions.
    pub most: u64,
    /// Lets others run on our core whenever there is nothing to do.
    pub yields: bool,
}

impl Plan {
    /// A closed loop that keeps a server with one worker busy, without filling its socket.
    pub fn closed(time: Duration) -> Self {
        Self { sockets: 4, other: None, window: 192, rate: None, time, most: u64::MAX, yields: false }
    }

    /// So many per second, with room for as many to wait as there are IDs.
    pub fn paced(rate: f64, time: Duration) -> Self {
        Self { rate: Some(rate), window: 4 * (IDS - BATCH), ..Self::closed(time) }
    }
}

struct Client {
    server: SocketAddr,
    batch: Batch,
    flight: Flight,
    /// When the last reply came, or the first question was sent.
    moved: u64,
}

impl Client {
    fn new(server: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        let _ = socket.set_recv_buffer_size(ROOM);
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        // Others' datagrams do not reach it.
        socket.connect(&server.into())?;
        let batch = Batch::new(socket.into())?;
        // It waits by itself, and we never do.
        batch.socket().set_nonblocking(true)?;
        Ok(Self { server, batch, flight: Flight::new(IDS), moved: 0 })
    }
}

/// Asks `server`; `judge` says what the reply to a question is worth.
///
/// # Errors
/// If there are no sockets to be had.
pub fn run(
    server: SocketAddr,
    queries: &mut Queries,
    plan: &Plan,
    judge: &mut impl FnMut(u32, &[u8]) -> Judged,
) -> io::Result<Outcome> {
    let of = |at: usize| plan.other.filter(|_| at % 2 == 1).unwrap_or(server);
    let mut clients = (0..plan.sockets).map(|at| Client::new(of(at))).collect::<io::Result<Vec<_>>>()?;
    let window = plan.window / plan.sockets;
    let batch_size = BATCH.min(window);
    let mut count = Count::new(plan.time, judge);
    let drained = nanoseconds(plan.time + DRAIN);
    let began = Instant::now();
    let clock = || nanoseconds(began.elapsed()).max(1);
    loop {
        let (mut waiting, mut moved) = (0, 0);
        let mut now = clock();
        for client in &mut clients {
            if client.flight.count > 0 {
                now = clock();
                moved += receive(client, &mut count, now);
            }
            let outcome = &mut count.outcome;
            if now < count.end && outcome.sent < plan.most {
                let room = window.saturating_sub(client.flight.count);
                let due = match plan.rate {
                    Some(rate) => (now as f64 * rate / 1e9) as u64,
                    // Not one by one: a server that is behind gets them in batches, as from many clients.
                    None if room < batch_size => 0,
                    None => u64::MAX,
                };
                let due = due.min(plan.most).saturating_sub(outcome.sent);
                let sent = usize::try_from(due).unwrap_or(usize::MAX).min(room).min(batch_size);
                if sent > 0 {
                    if client.flight.count == 0 {
                        client.moved = now;
                    }
                    for _ in 0..sent {
                        let question = queries.take();
                        let id = client.flight.issue(question, now, &mut outcome.lost);
                        client.batch.push_to(client.server, queries.stamp(question, id));
                    }
                    // One that is refused has no reply: it is lost.
                    client.batch.send();
                    outcome.sent += sent as u64;
                    moved += sent;
                }
            }
            if client.flight.count > 0 && now > client.moved + nanoseconds(PATIENCE) {
                outcome.lost += client.flight.forget();
            }
            waiting += client.flight.count;
        }
        let is_over = now >= count.end || count.outcome.sent >= plan.most;
        if is_over && (waiting == 0 || now > drained) {
            break;
        }
        if plan.yields && moved == 0 {
            sched_yield();
        }
    }
    count.outcome.lost += clients.iter_mut().map(|client| client.flight.forget()).sum::<u64>();
    // What the server has sent, and we were too slow to take in, it has not lost.
    count.outcome.lost = count.outcome.lost.saturating_sub(overflowed(&clients));
    Ok(count.outcome)
}

/// Datagrams that found no room in our sockets.
fn overflowed(clients: &[Client]) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let ports =
        clients.iter().filter_map(|client| client.batch.socket().local_addr().ok()).map(|address| address.port());
    let ends: Vec<String> = ports.map(|port| format!(":{port:04X}")).collect();
    let dropped = |line: &str| {
        let local = line.split_whitespace().nth(1)?;
        let is_ours = ends.iter().any(|end| local.ends_with(end.as_str()));
        line.split_whitespace().last()?.parse::<u64>().ok().filter(|_| is_ours)
    };
    table.lines().filter_map(dropped).sum()
}

/// Takes in what is there; how many.
fn receive<R: FnMut(u32, &[u8]) -> Judged>(client: &mut Client, count: &mut Count<'_, R>, now: u64) -> usize {
    // Nothing there, or the ICMP error of an earlier question: its reply is missing, which tells.
    let received = client.batch.receive().unwrap_or(0);
    for at in 0..received {
        count.reply(client.batch.datagram(at), &mut client.flight, now);
    }
    if received > 0 {
        client.moved = now;
    }
    received
}
