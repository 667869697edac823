//! Load over TCP: connections with several queries each, either as soon as there is room or in bursts.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::{Count, Flight, Judged, Outcome, Queries, nanoseconds};

const CONNECTIONS: usize = 50;
/// Queries in flight on each.
const PIPELINED: usize = 8;
/// IDs of one connection.
const IDS: usize = 64;
/// Replies to as many as are in flight, with room to spare.
const INBOX: usize = 1 << 16;
/// A connection that has been silent so long has lost its queries.
const SILENCE: Duration = Duration::from_secs(1);
/// Replies are awaited so long after the last question.
const DRAIN: Duration = Duration::from_millis(300);
/// Returns at once: this thread never sleeps.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// When the next queries are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As many as have been answered, as soon as they have.
    Continuous,
    /// All of them, once all have been answered.
    Bursts,
}

struct Connection {
    stream: TcpStream,
    flight: Flight,
    inbox: Vec<u8>,
    filled: usize,
    /// What the system has not taken yet.
    unsent: Vec<u8>,
    moved: u64,
}

impl Connection {
    fn dial(server: SocketAddr, watch: &impl std::os::fd::AsFd, at: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(watch, &stream, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
        Ok(Self { stream, flight: Flight::new(IDS), inbox: vec![0; INBOX], filled: 0, unsent: Vec::new(), moved: 0 })
    }

    /// Sends what there is room for.
    fn ask(&mut self, queries: &mut Queries, pace: Pace, outcome: &mut Outcome, now: u64) -> io::Result<()> {
        let room = PIPELINED - self.flight.count.min(PIPELINED);
        let wanted = if pace == Pace::Bursts && room < PIPELINED { 0 } else { room.min(queries.left()) };
        if wanted > 0 && self.unsent.is_empty() {
            let first = queries.take();
            let mut last = first;
            for at in 0..wanted {
                if at > 0 {
                    last = queries.take();
                }
                let id = self.flight.issue(last, now, &mut outcome.lost);
                queries.stamp(last, id);
            }
            outcome.sent += wanted as u64;
            let bytes = queries.framed(first, last);
            let taken = match self.stream.write(bytes) {
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            self.unsent.extend_from_slice(&bytes[taken..]);
        } else if !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(taken) => drop(self.unsent.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes in what is there.
    fn hear<R: FnMut(u32, &[u8]) -> Judged>(&mut self, count: &mut Count<'_, R>, now: u64) -> io::Result<()> {
        match self.stream.read(&mut self.inbox[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut at = 0;
        while let Some([high, low]) = self.inbox[at..self.filled].first_chunk() {
            let end = at + 2 + usize::from(u16::from_be_bytes([*high, *low]));
            if end > self.filled {
                break;
            }
            count.reply(&self.inbox[at + 2..end], &mut self.flight, now);
            at = end;
        }
        self.inbox.copy_within(at..self.filled, 0);
        self.filled -= at;
        self.moved = now;
        Ok(())
    }
}

/// Asks `server` for `time`; `judge` says what the reply to a question is worth.
///
/// # Errors
/// If it cannot be connected to.
pub fn run(
    server: SocketAddr,
    queries: &mut Queries,
    pace: Pace,
    time: Duration,
    judge: &mut impl FnMut(u32, &[u8]) -> Judged,
) -> io::Result<Outcome> {
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections =
        (0..CONNECTIONS).map(|at| Connection::dial(server, &watch, at)).collect::<io::Result<Vec<_>>>()?;
    let mut count = Count::new(time, judge);
    let drained = nanoseconds(time + DRAIN);
    let began = Instant::now();
    let clock = || nanoseconds(began.elapsed()).max(1);
    let mut events = Vec::with_capacity(CONNECTIONS);
    let mut is_first = true;
    let mut looked = 0;
    loop {
        let mut now = clock();
        // Nobody has anything to hear at first, and now and then somebody never will.
        if is_first || now > looked + nanoseconds(SILENCE) / 8 {
            (is_first, looked) = (false, now);
            for (at, connection) in connections.iter_mut().enumerate() {
                if connection.flight.count > 0 && now > connection.moved + nanoseconds(SILENCE) {
                    count.outcome.lost += connection.flight.forget();
                    *connection = Connection::dial(server, &watch, at)?;
                }
                if now < count.end && (connection.flight.count == 0 || !connection.unsent.is_empty()) {
                    connection.moved = now;
                    // An error is heard of again, at the next reading.
                    let _ = connection.ask(queries, pace, &mut count.outcome, now);
                }
            }
        }
        events.clear();
        epoll::wait(&watch, rustix::buffer::spare_capacity(&mut events), Some(&AT_ONCE))?;
        for event in &events {
            let at = usize::try_from(event.data.u64()).expect("an index");
            let connection = &mut connections[at];
            now = clock();
            let heard = connection.hear(&mut count, now).and_then(|()| {
                if now < count.end { connection.ask(queries, pace, &mut count.outcome, now) } else { Ok(()) }
            });
            if heard.is_err() {
                count.outcome.lost += connection.flight.forget();
                *connection = Connection::dial(server, &watch, at)?;
                connection.moved = now;
            }
        }
        let waiting: usize = if now < count.end { 1 } else { connections.iter().map(|one| one.flight.count).sum() };
        if now >= count.end && (waiting == 0 || now > drained) {
            break;
        }
    }
    count.outcome.lost += connections.iter_mut().map(|one| one.flight.forget()).sum::<u64>();
    Ok(count.outcome)
}
