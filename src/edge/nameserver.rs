//! The answering threads, started and stopped.
//!
//! Plain threads around the pure engine: one UDP thread per worker and listen address, and one TCP thread per worker for
//! all addresses. Each owns its desk, its reply buffer and its counters, and shares nothing that is written but a copy of
//! the counters, put on its [`Shelf`] after each batch for whoever collects them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use ring::rand::SecureRandom;

use super::bind::{self, BindError, bind};
use super::encrypted;
use super::pin::pin;
use super::publication::Reader;
use super::shelf::{Shelf, SocketTally};
use super::tcp::Share;
use super::{clock, descriptors, tcp, udp};
use crate::answer::{Desk, Limiter, Reply, Tally};
use crate::config::{EncryptedListen, Listen, Scheme};
use crate::snapshot::Snapshot;

/// UDP threads per listen address where neither configuration nor system tells a number.
const WORKERS: usize = 1;

/// Listens and answers until it is dropped, which takes as long as the batches under way.
#[derive(Debug)]
pub struct Nameserver {
    local: Vec<Listen>,
    encrypted: Vec<EncryptedListen>,
    shelves: Vec<Arc<Shelf>>,
    bell: Option<Bell>,
    threads: Vec<JoinHandle<()>>,
}

/// Sockets that are ours, and answer nothing yet.
#[derive(Debug)]
pub struct Bound {
    plain: Vec<bind::Bound>,
    encrypted: Option<encrypted::Bound>,
}

impl Bound {
    /// Adds what is listened on with encryption.
    #[must_use]
    pub fn with(self, encrypted: Option<encrypted::Bound>) -> Self {
        Self { encrypted, ..self }
    }

    /// Starts answering from what `reader` loads.
    ///
    /// # Errors
    /// If the system gives no thread; nothing is left listening.
    pub fn serve(self, reader: &Reader) -> io::Result<Nameserver> {
        let (bell, ear) = bell()?;
        let mut nameserver = Nameserver {
            local: self.plain.iter().map(|bound| bound.listen).collect(),
            encrypted: self.encrypted.iter().flat_map(|bound| bound.listen.iter().copied()).collect(),
            shelves: Vec::new(),
            bell: Some(bell),
            threads: Vec::new(),
        };
        // By worker, then by address.
        let mut listeners: Vec<Vec<_>> = Vec::new();
        let heard = self.plain.iter().map(|bound| bound.listen).filter(|listen| listen.udp);
        let ours: Arc<[SocketAddr]> = heard.map(|listen| listen.address).collect();
        for bound in self.plain {
            listeners.resize_with(listeners.len().max(bound.tcp.len()), Vec::new);
            listeners.iter_mut().zip(bound.tcp).for_each(|(of_worker, listener)| of_worker.push(listener));
            let workers = u32::try_from(bound.udp.len()).unwrap_or(u32::MAX);
            for (worker, socket) in bound.udp.into_iter().enumerate() {
                let number = nameserver.threads.len();
                let batch = udp::batch(socket)?;
                nameserver.bell.as_mut().map_or(Ok(()), |bell| bell.wakes(batch.socket()))?;
                let mut answering = nameserver.worker(reader, &ear);
                answering.desk.limiter = Limiter::new([seed(), seed()], workers);
                let ours = Arc::clone(&ours);
                nameserver.spawn(format!("udp-{number}"), move || {
                    pin(worker, workers as usize);
                    udp::serve(batch, answering, &ours);
                })?;
            }
        }
        let over_tcp = |scheme| nameserver.encrypted.iter().any(|listen| listen.scheme == scheme);
        let transports = [!listeners.is_empty(), over_tcp(Scheme::Tls), over_tcp(Scheme::Https)];
        let transports = transports.into_iter().filter(|is_served| *is_served).count();
        let affordable = descriptors::affordable(&reader.load().answering.streams, transports);
        let (threads, clients) = (listeners.len(), Arc::<tcp::Clients>::default());
        for (number, listeners) in listeners.into_iter().enumerate() {
            let answering = nameserver.worker(reader, &ear);
            let share = Share { number, threads, affordable, clients: Arc::clone(&clients) };
            nameserver.spawn(format!("tcp-{number}"), move || tcp::serve(listeners, None, share, answering))?;
        }
        for (name, serve) in self.encrypted.map(encrypted::Bound::parts).transpose()?.unwrap_or_default() {
            let answering = nameserver.worker(reader, &ear);
            nameserver.spawn(name.to_owned(), move || serve(answering, affordable))?;
        }
        Ok(nameserver)
    }
}

impl Nameserver {
    /// Binds every address of `listen`. `workers` UDP threads per address; `None` is one per core.
    ///
    /// # Errors
    /// The first address that cannot be had; nothing is left listening.
    pub fn bind(listen: &[Listen], workers: Option<usize>) -> Result<Bound, BindError> {
        let cores = || thread::available_parallelism().map_or(WORKERS, usize::from);
        let workers = workers.unwrap_or_else(cores).max(1);
        let plain = listen.iter().map(|listen| bind(listen, workers)).collect::<Result<_, _>>()?;
        Ok(Bound { plain, encrypted: None })
    }

    fn worker(&mut self, reader: &Reader, ear: &Ear) -> Worker {
        let shelf = Arc::new(Shelf::default());
        self.shelves.push(Arc::clone(&shelf));
        Worker {
            reader: reader.clone(),
            desk: Desk::new(seed()),
            reply: Reply::new(),
            sockets: SocketTally::default(),
            shelf,
            ear: ear.clone(),
        }
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name).spawn(work)?);
        Ok(())
    }

    /// What is listened on, in the order of the configuration; ports that were drawn stand where 0 was asked for.
    pub fn local_addresses(&self) -> &[Listen] {
        &self.local
    }

    /// What is listened on with encryption, likewise.
    pub fn encrypted_addresses(&self) -> &[EncryptedListen] {
        &self.encrypted
    }

    /// What all threads together have answered so far.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for shelf in &self.shelves {
            sum.add(&shelf.counted().0);
        }
        sum
    }

    /// What has happened at the sockets of all threads so far.
    pub fn sockets(&self) -> SocketTally {
        let mut sum = SocketTally::default();
        for shelf in &self.shelves {
            sum.add(&shelf.counted().1);
        }
        sum
    }
}

impl Drop for Nameserver {
    fn drop(&mut self) {
        drop(self.bell.take());
        for thread in self.threads.drain(..) {
            // One that panicked has been reported by the panic itself.
            let _ = thread.join();
        }
    }
}

/// What one answering thread owns.
pub(super) struct Worker {
    pub reader: Reader,
    pub desk: Desk,
    pub reply: Reply,
    pub sockets: SocketTally,
    pub shelf: Arc<Shelf>,
    pub ear: Ear,
}

impl Worker {
    /// Answers a batch, by one snapshot and one reading of the clock. A panic of the engine costs what `work` had in
    /// hand, not the thread.
    pub(super) fn batch(&mut self, work: impl FnOnce(&mut Self, &Snapshot)) {
        self.desk.now = clock::now();
        let snapshot = self.reader.load();
        let worked = catch_unwind(AssertUnwindSafe(|| work(self, &snapshot)));
        if worked.is_err() {
            self.sockets.panics += 1;
            self.reply = Reply::new();
        }
    }
}

/// Dropping it ends all threads that have an [`Ear`] for it.
#[derive(Debug)]
struct Bell {
    rung: Arc<AtomicBool>,
    /// Its closing wakes whoever polls the other end.
    _line: UnixStream,
    /// Sockets that a thread waits at, and at nothing else.
    waits: Vec<UdpSocket>,
}

impl Bell {
    /// Has it wake the thread that receives from `socket`.
    fn wakes(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.waits.push(socket.try_clone()?);
        Ok(())
    }
}

/// A thread's side of the [`Bell`].
#[derive(Clone, Debug)]
pub(super) struct Ear {
    rung: Arc<AtomicBool>,
    /// Polled beside the sockets: it becomes readable when the bell rings, and is never read.
    pub line: Arc<UnixStream>,
}

fn bell() -> io::Result<(Bell, Ear)> {
    let rung = Arc::new(AtomicBool::new(false));
    let (here, there) = UnixStream::pair()?;
    Ok((Bell { rung: Arc::clone(&rung), _line: here, waits: Vec::new() }, Ear { rung, line: Arc::new(there) }))
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.rung.store(true, Ordering::Relaxed);
        for socket in &self.waits {
            // "Not connected", says the system, and wakes the thread all the same.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Read);
        }
    }
}

impl Ear {
    /// Whether to end; asked once per batch, for a thread too busy to poll.
    pub(super) fn hears(&self) -> bool {
        self.rung.load(Ordering::Relaxed)
    }
}

/// Unpredictable, so that a client cannot foresee a draw.
#[expect(clippy::disallowed_types, reason = "the edge draws the seeds that the core is handed")]
fn seed() -> u64 {
    let mut seed = [0; 8];
    match ring::rand::SystemRandom::new().fill(&mut seed) {
        Ok(()) => u64::from_ne_bytes(seed),
        // Then at least another one per thread and start.
        Err(_) => u64::try_from(clock::moment().since_boot().as_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
    use std::time::Duration;

    use socket2::{Domain, Socket};

    use super::*;
    use crate::config::{Answering, Streams};
    use crate::dns::Serial;
    use crate::dns::{Name, Type};
    use crate::edge::publication::{Publisher, cell};
    use crate::snapshot::{Generation, Snapshot, ZoneVersion, Zones};
    use crate::zone::table::Builder;

    /// Only a broken run takes so long.
    const LONG: Duration = Duration::from_secs(20);
    const REFUSED: u8 = 5;

    /// Without any zone: everything is refused, which is all that these tests need of an answer.
    fn start(addresses: &[&str], workers: usize) -> (Nameserver, Publisher) {
        start_with(addresses, workers, Streams::default())
    }

    fn start_with(addresses: &[&str], workers: usize, streams: Streams) -> (Nameserver, Publisher) {
        let listen: Vec<_> = addresses
            .iter()
            .map(|address| Listen { address: address.parse().unwrap(), udp: true, tcp: true })
            .collect();
        let answering = Arc::new(Answering { streams, ..Answering::default() });
        let first = Snapshot { generation: Generation(1), answering, ..Snapshot::default() };
        let (publisher, reader) = cell(first);
        (Nameserver::bind(&listen, Some(workers)).unwrap().serve(&reader).unwrap(), publisher)
    }

    fn port(nameserver: &Nameserver) -> u16 {
        nameserver.local_addresses()[0].address.port()
    }

    /// `id`, one question: www.example.com A IN.
    fn query(id: u16) -> Vec<u8> {
        let mut query = id.to_be_bytes().to_vec();
        query.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        query.extend(b"\x03www\x07example\x03com\0\0\x01\0\x01");
        query
    }

    fn assert_refused(reply: &[u8], id: u16) {
        assert_eq!(&reply[..2], id.to_be_bytes());
        assert_eq!((reply[2] & 0x80, reply[3] & 0x0f), (0x80, REFUSED));
    }

    /// Asks over UDP from a fresh socket of the family of `to`; who answered.
    fn ask(to: SocketAddr, id: u16) -> SocketAddr {
        let any: SocketAddr =
            if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.send_to(&query(id), to).unwrap();
        let mut reply = [0; 512];
        let (length, from) = socket.recv_from(&mut reply).unwrap();
        assert_refused(&reply[..length], id);
        from
    }

    /// The same connection, let in and answered once: who is silent is let in after a second, in no order.
    fn asked(mut stream: TcpStream) -> TcpStream {
        stream.write_all(&framed(&query(1))).unwrap();
        assert_refused(&read_reply(&mut stream), 1);
        stream
    }

    /// By a farewell or by a reset, which is what makes room at once.
    fn is_closed(stream: &mut TcpStream) -> bool {
        match stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn connect(port: u16) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// A connection whose client has this address.
    fn from(client: Ipv4Addr, nameserver: &Nameserver) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
        socket.connect(&nameserver.local_addresses()[0].address.into()).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.into()
    }

    fn framed(query: &[u8]) -> Vec<u8> {
        let mut framed = u16::try_from(query.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(query);
        framed
    }

    fn read_reply(stream: &mut TcpStream) -> Vec<u8> {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).unwrap();
        reply
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        let began = clock::moment();
        while !holds() {
            assert!(clock::moment().since(began) < LONG, "never: {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn queries_over_udp_are_answered_by_every_worker_and_counted() {
        let (nameserver, _publisher) = start(&["127.0.0.1:0"], 3);
        let to = nameserver.local_addresses()[0].address;
        for id in 0..200 {
            assert_eq!(ask(to, id), to);
        }
        until("200 queries are counted", || {
            nameserver.tally().rows().any(|(what, _, count)| what == "queries" && count == 200)
        });
        assert!(nameserver.shelves.iter().filter(|shelf| shelf.counted().0.rows().any(|row| row.2 > 0)).count() > 1);
    }

    #[test]
    fn a_wildcard_socket_replies_from_the_address_that_was_asked() {
        let (nameserver, _publisher) = start(&["0.0.0.0:0"], 2);
        let port = port(&nameserver);
        for (id, address) in ["127.0.0.1", "127.0.0.2", "127.1.2.3"].into_iter().enumerate() {
            let to = SocketAddr::new(address.parse().unwrap(), port);
            assert_eq!(ask(to, u16::try_from(id).unwrap()), to);
        }
    }

    #[test]
    fn both_families_listen_side_by_side_on_one_port() {
        let (first, _publisher) = start(&["0.0.0.0:0"], 1);
        let both = [format!("0.0.0.0:{}", port(&first)), format!("[::]:{}", port(&first))];
        drop(first);
        let (nameserver, _publisher) = start(&[&both[0], &both[1]], 1);
        for address in ["127.0.0.1".parse().unwrap(), Ipv6Addr::LOCALHOST.into()] {
            let to = SocketAddr::new(address, port(&nameserver));
            assert_eq!(ask(to, 9), to);
        }
    }

    #[test]
    fn what_is_no_query_gets_no_reply() {
        let (nameserver, _publisher) = start(&["127.0.0.1:0"], 1);
        let to = nameserver.local_addresses()[0].address;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let mut response = query(1);
        response[2] |= 0x80;
        for nothing in [&b""[..], b"short", &response] {
            socket.send_to(nothing, to).unwrap();
        }
        // One socket, one thread: the reply to the query behind them is the first that comes.
        socket.send_to(&query(2), to).unwrap();
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).unwrap();
        assert_refused(&reply[..length], 2);
    }

    #[test]
    fn pipelined_queries_over_tcp_are_answered_in_their_order_however_they_are_cut() {
        let (nameserver, _publisher) = start(&["127.0.0.1:0"], 1);
        let mut stream = connect(port(&nameserver));
        let all: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
        for piece in all.chunks(33) {
            stream.write_all(piece).unwrap();
        }
        for id in 0..100 {
            assert_refused(&read_reply(&mut stream), id);
        }
    }

    /// A zone whose `www.example.com TXT` is larger than the room a connection has for what waits to be sent.
    fn start_with_large_text(address: &str) -> (Nameserver, Publisher) {
        let apex = Name::absolute("example.com").unwrap();
        let www = Name::absolute("www.example.com").unwrap();
        let mut builder = Builder::new(apex.clone());
        for number in 0..200_u8 {
            let text: Vec<u8> = std::iter::once(200).chain(std::iter::repeat_n(number, 200)).collect();
            builder.push(&www, Type(16), 30, &text).unwrap();
        }
        let zone = ZoneVersion { apex, serial: Serial(1), table: builder.finish().0 };
        let zones = Zones::from_iter([Arc::new(zone)]);
        let (publisher, reader) = cell(Snapshot { generation: Generation(1), zones, ..Snapshot::default() });
        let listen = Listen { address: address.parse().unwrap(), udp: true, tcp: true };
        (Nameserver::bind(&[listen], Some(1)).unwrap().serve(&reader).unwrap(), publisher)
    }

    #[test]
    fn a_reader_slower_than_its_answers_gets_them_all_in_order() {
        let (nameserver, _publisher) = start_with_large_text("127.0.0.1:0");
        let mut stream = connect(port(&nameserver));
        let mut text = |id| {
            let mut text = query(id);
            let rtype = text.len() - 3;
            text[rtype] = 16;
            framed(&text)
        };
        let all: Vec<u8> = (0..500).flat_map(&mut text).collect();
        let mut writing = stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || writing.write_all(&all).unwrap());
            // 20 MB of answers in all: more than the buffers of both ends hold.
            until("the connection is accepted", || nameserver.sockets().accepted == 1);
            for id in 0..500 {
                let reply = read_reply(&mut stream);
                assert_eq!((&reply[..2], reply[3] & 0x0f), (&u16::to_be_bytes(id)[..], 0));
                assert!(reply.len() > 200 * 200);
            }
        });
    }

    #[test]
    fn a_client_that_says_no_more_still_gets_its_answer_then_the_end() {
        let (nameserver, _publisher) = start(&["127.0.0.1:0"], 1);
        let mut stream = connect(port(&nameserver));
        stream.write_all(&framed(&query(7))).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_refused(&read_reply(&mut stream), 7);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    fn closed(nameserver: &Nameserver, why: &str) -> u64 {
        let sockets = nameserver.sockets();
        sockets.rows().find(|row| (row.0, row.1) == ("connections_closed", why)).unwrap().2
    }

    #[test]
    fn one_client_with_many_connections_loses_its_own_idlest() {
        let streams = Streams { per_client: 8, ..Streams::default() };
        let (nameserver, _publisher) = start_with(&["127.0.0.1:0"], 1, streams);
        let mut other = asked(from(Ipv4Addr::new(127, 0, 0, 2), &nameserver));
        let mut own: Vec<_> = (0..9).map(|_| asked(connect(port(&nameserver)))).collect();
        until("all are accepted", || nameserver.sockets().accepted == 10);
        assert_eq!(closed(&nameserver, "client-full"), 1);
        assert!(is_closed(&mut own[0]), "its idlest");
        for stream in own[8..].iter_mut().chain([&mut other]) {
            stream.write_all(&framed(&query(2))).unwrap();
            assert_refused(&read_reply(stream), 2);
        }
        assert_eq!(nameserver.sockets().open, 9);
    }

    #[test]
    fn one_client_has_its_cap_whatever_threads_its_connections_are_on() {
        let streams = Streams { per_client: 8, ..Streams::default() };
        let (nameserver, _publisher) = start_with(&["127.0.0.1:0"], 8, streams);
        let mut own: Vec<_> = (0..8).map(|_| asked(connect(port(&nameserver)))).collect();
        until("all are in", || nameserver.sockets().open == 8);
        for stream in &mut own {
            stream.write_all(&framed(&query(2))).unwrap();
            assert_refused(&read_reply(stream), 2);
        }
        assert_eq!(closed(&nameserver, "client-full"), 0);
        // A thread that has none of its own to close lets it in, and threads may do so at the same moment.
        own.extend((0..100).map(|_| connect(port(&nameserver))));
        until("all are accepted", || nameserver.sockets().accepted == 108);
        until("the rest is gone", || nameserver.sockets().open <= 8 + 2 * 8);
    }

    #[test]
    fn when_all_is_full_the_idlest_of_all_makes_room() {
        let streams = Streams { connections: 4, per_client: 4, ..Streams::default() };
        let (nameserver, _publisher) = start_with(&["127.0.0.1:0"], 1, streams);
        let mut all: Vec<_> = (0..4).map(|_| asked(from(Ipv4Addr::LOCALHOST, &nameserver))).collect();
        until("four are in", || nameserver.sockets().open == 4);
        let mut new: Vec<_> = (2..5).map(|host| asked(from(Ipv4Addr::new(127, 0, 0, host), &nameserver))).collect();
        until("three are gone", || closed(&nameserver, "full") == 3);
        for gone in &mut all[..3] {
            assert!(is_closed(gone));
        }
        for stream in all[3..].iter_mut().chain(&mut new) {
            stream.write_all(&framed(&query(3))).unwrap();
            assert_refused(&read_reply(stream), 3);
        }
        assert_eq!(nameserver.sockets().open, 4);
    }

    #[test]
    fn time_runs_out_for_the_idle_and_for_those_who_dribble() {
        let span = Duration::from_millis(200);
        let streams = Streams { idle: span, receive: span, ..Streams::default() };
        let (nameserver, _publisher) = start_with(&["127.0.0.1:0"], 1, streams);
        let mut idle = connect(port(&nameserver));
        let mut dribbling = connect(port(&nameserver));
        dribbling.write_all(&[0]).unwrap();
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        assert_eq!(dribbling.read(&mut [0]).unwrap(), 0);
        until("both are counted", || nameserver.sockets().open == 0);
        assert_eq!((closed(&nameserver, "idle"), closed(&nameserver, "slow-query")), (1, 1));
    }

    #[test]
    fn a_message_that_is_none_ends_the_connection_behind_the_answers_before_it() {
        let (nameserver, _publisher) = start(&["127.0.0.1:0"], 1);
        for none in [&[0, 0][..], &[0, 3, 1, 2, 3]] {
            let mut stream = connect(port(&nameserver));
            stream.write_all(&[&framed(&query(5)), none].concat()).unwrap();
            assert_refused(&read_reply(&mut stream), 5);
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        until("both are counted", || closed(&nameserver, "malformed") == 2);
    }

    #[test]
    fn dropping_it_frees_the_ports_and_closes_the_connections_at_once() {
        let (nameserver, _publisher) = start(&["127.0.0.1:0"], 2);
        let listen = nameserver.local_addresses()[0];
        let mut stream = connect(listen.address.port());
        stream.write_all(&framed(&query(1))).unwrap();
        assert_refused(&read_reply(&mut stream), 1);
        drop(nameserver);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        let (again, _publisher) = start(&[&listen.address.to_string()], 2);
        assert_eq!(again.local_addresses(), [listen]);
    }

    #[test]
    fn what_was_asked_before_it_stops_is_answered() {
        let (nameserver, _publisher) = start_with_large_text("127.0.0.1:0");
        let mut stream = connect(port(&nameserver));
        until("it is in", || nameserver.sockets().open == 1);
        let mut text = query(0);
        let rtype = text.len() - 3;
        text[rtype] = 16;
        // 4 MB of answers: more than the system takes at once, so that the thread is in the midst of them.
        stream.write_all(&framed(&text).repeat(100)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| drop(nameserver));
            for _ in 0..100 {
                assert!(read_reply(&mut stream).len() > 200 * 200);
            }
        });
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_panic_of_the_engine_costs_one_batch() {
        let (nameserver, _publisher) = start(&["127.0.0.1:0"], 1);
        let (_bell, ear) = bell().unwrap();
        let first = Snapshot { generation: Generation(1), ..Snapshot::default() };
        let (_publisher_too, reader) = cell(first);
        let mut worker = Worker {
            reader,
            desk: Desk::new(1),
            reply: Reply::new(),
            sockets: SocketTally::default(),
            shelf: Arc::default(),
            ear,
        };
        worker.batch(|_, _| panic!("as meant by this test"));
        worker.batch(|worker, snapshot| worker.sockets.accepted += snapshot.generation.0);
        assert_eq!((worker.sockets.panics, worker.sockets.accepted), (1, 1));
        drop(nameserver);
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_that_leaves_nothing_listening() {
        let (first, _publisher) = start(&["127.0.0.1:0"], 2);
        let taken = first.local_addresses()[0];
        let free = Listen { address: "127.0.0.2:0".parse().unwrap(), ..taken };
        let error = Nameserver::bind(&[free, taken], Some(1)).unwrap_err();
        assert!(error.to_string().contains(&taken.address.to_string()), "{error}");
    }
}
