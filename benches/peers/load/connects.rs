//! Load over TCP with a connection for each query, fifty at once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Count, Flight, Judged, Outcome, Queries, nanoseconds};

/// At once.
const CALLERS: usize = 50;
/// A SYN that was dropped comes again after a second; nothing else takes as long.
const LATE: Duration = Duration::from_millis(900);
/// So long after the last call is made, those that were late may still come through.
const DRAIN: Duration = Duration::from_millis(1_500);
/// Returns at once: this thread never sleeps.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// One that calls, asks, hears and hangs up.
struct Caller {
    stream: TcpStream,
    flight: Flight,
    reply: Vec<u8>,
    filled: usize,
    state: State,
    /// When it called.
    since: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Connecting,
    Waiting,
    Done,
}

impl Caller {
    fn new(server: SocketAddr, watch: &impl AsFd, at: usize) -> io::Result<Self> {
        let stream = call(server, watch, at)?;
        let flight = Flight::new(1);
        Ok(Self { stream, flight, reply: vec![0; 4096], filled: 0, state: State::Connecting, since: 1 })
    }

    fn again(&mut self, server: SocketAddr, watch: &impl AsFd, at: usize, now: u64) -> io::Result<()> {
        self.stream = call(server, watch, at)?;
        (self.filled, self.state, self.since) = (0, State::Connecting, now);
        Ok(())
    }

    /// Takes the next step; whether the reply has come.
    fn step<R: FnMut(u32, &[u8]) -> Judged>(
        &mut self,
        watch: &impl AsFd,
        at: usize,
        queries: &mut Queries,
        count: &mut Count<'_, R>,
        now: u64,
    ) -> io::Result<bool> {
        if self.state == State::Connecting {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            count.outcome.late += u64::from(now > self.since + nanoseconds(LATE));
            let question = queries.take();
            // The connection is a part of what the query costs: it began with the call.
            let id = self.flight.issue(question, self.since, &mut count.outcome.lost);
            queries.stamp(question, id);
            count.outcome.sent += 1;
            self.state = State::Waiting;
            self.stream.write_all(queries.framed(question, question))?;
            epoll::modify(watch, &self.stream, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
            return Ok(false);
        }
        match self.stream.read(&mut self.reply[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        let Some([high, low]) = self.reply[..self.filled].first_chunk() else { return Ok(false) };
        let end = 2 + usize::from(u16::from_be_bytes([*high, *low]));
        Ok(end <= self.filled && count.reply(&self.reply[2..end], &mut self.flight, now))
    }
}

/// A connection that is on its way.
fn call(server: SocketAddr, watch: &impl AsFd, at: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Each has an address of its own: the ports of one would run out, as a port rests for a minute after its use.
    let own = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + at % 250).expect("below 256"));
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    SockRef::from(&socket).set_tcp_nodelay(true)?;
    epoll::add(watch, &socket, epoll::EventData::new_u64(at as u64), epoll::EventFlags::OUT)?;
    Ok(socket.into())
}

/// Asks `server` for `time`; `judge` says what the reply to a question is worth.
///
/// # Errors
/// If there are no sockets to be had.
pub fn run(
    server: SocketAddr,
    queries: &mut Queries,
    time: Duration,
    judge: &mut impl FnMut(u32, &[u8]) -> Judged,
) -> io::Result<Outcome> {
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut count = Count::new(time, judge);
    let drained = nanoseconds(time + DRAIN);
    let began = Instant::now();
    let clock = || nanoseconds(began.elapsed()).max(1);
    let mut callers = (0..CALLERS).map(|at| Caller::new(server, &watch, at)).collect::<io::Result<Vec<_>>>()?;
    let mut events = Vec::with_capacity(CALLERS);
    let mut done = 0;
    while done < CALLERS {
        let mut now = clock();
        if now > drained {
            break;
        }
        events.clear();
        epoll::wait(&watch, rustix::buffer::spare_capacity(&mut events), Some(&AT_ONCE))?;
        for event in &events {
            let at = usize::try_from(event.data.u64()).expect("an index");
            let caller = &mut callers[at];
            now = clock();
            let is_over = match caller.step(&watch, at, queries, &mut count, now) {
                Ok(is_over) => is_over,
                Err(_) => {
                    // Refused or cut off: a query that was not even sent is lost with it.
                    count.outcome.lost += caller.flight.forget().max(1);
                    true
                }
            };
            if is_over && now < count.end {
                caller.again(server, &watch, at, now)?;
            } else if is_over {
                // Kept open it would tell of its end again and again.
                epoll::delete(&watch, &caller.stream)?;
                caller.state = State::Done;
                done += 1;
            }
        }
    }
    for caller in &mut callers {
        if caller.state != State::Done {
            count.outcome.late += u64::from(caller.state == State::Connecting);
            count.outcome.lost += caller.flight.forget().max(1);
        }
    }
    Ok(count.outcome)
}
