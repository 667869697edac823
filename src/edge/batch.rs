//! Datagrams of one socket, up to 64 with each call to the system: recvmmsg(2) and sendmmsg(2). And the socket options
//! that no library sets safely.
//!
//! The only file with `unsafe`. Its two rules: what the system is given to fill are plain bytes or C structures for which
//! all bytes are values, and every pointer is made anew for each call from memory that the batch owns and that is not
//! touched until the call returns.
#![expect(unsafe_code, reason = "the system's batched calls take pointers, and no library we use wraps both of them")]

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{self, addr_of};
use std::time::Duration;

/// Datagrams taken in or sent with one call: more gains nothing measurable, and each waits for the others.
pub const BATCH: usize = 64;
/// The longest datagram that is read whole. Queries are a fraction of it (RFC 6891 has clients ask for less than this in
/// replies, which are the larger part).
const QUERY: usize = 4096;
/// The longest that is sent: what a reply over UDP may have.
const REPLY: usize = 1232;
/// From one buffer to the next: their beginnings, which are all that is mostly used, fall on different cache sets.
const QUERY_STRIDE: usize = QUERY + 128;
const REPLY_STRIDE: usize = REPLY + 112;
/// How long to wait for a datagram before the caller looks whether to go on. It is woken to stop; this is for systems
/// that do not wake it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Room for one control message with the address that was asked, of either family.
const CONTROL: usize = 64;

/// A socket with the datagrams that came in through it and those that are to leave.
///
/// A socket bound to all addresses of a family is told with each datagram which of them was asked, and replies from there.
pub struct Batch {
    socket: UdpSocket,
    /// Of a socket bound to all addresses: its control messages are read and written.
    is_wildcard: bool,
    queries: Box<[u8]>,
    /// Who sent them; both families fit.
    clients: Box<[libc::sockaddr_in6]>,
    controls: Box<[Control]>,
    incoming: Box<[libc::mmsghdr]>,
    received: usize,
    replies: Box<[u8]>,
    outgoing: Vec<Outgoing>,
    /// Where to send each of `outgoing` from, if it says so.
    sources: Box<[Control]>,
}

/// A control message as the system has it (cmsg(3)), aligned as it wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// A datagram to be sent.
#[derive(Clone, Copy)]
struct Outgoing {
    to: libc::sockaddr_in6,
    /// Bytes of `to` that count.
    to_length: libc::socklen_t,
    /// Bytes of the control message that says where to send it from.
    source_length: usize,
    length: usize,
}

// SAFETY: the pointers in `incoming` are made anew before each call that reads them, and mean nothing in between.
unsafe impl Send for Batch {}

impl Batch {
    /// Receives from and sends to `socket`, which from now on waits in [`Batch::receive`].
    ///
    /// # Errors
    /// As the system says, if it does not tell the address that was asked.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let local = socket.local_addr()?;
        let is_wildcard = local.ip().is_unspecified();
        if is_wildcard {
            tell_address(&socket, local.is_ipv4())?;
        }
        // SAFETY: of both structures, all bits zero is a value: null pointers and numbers.
        let (client, head) = unsafe { (zeroed::<libc::sockaddr_in6>(), zeroed::<libc::mmsghdr>()) };
        Ok(Self {
            socket,
            is_wildcard,
            queries: vec![0; BATCH * QUERY_STRIDE].into(),
            clients: vec![client; BATCH].into(),
            controls: vec![Control([0; CONTROL]); BATCH].into(),
            incoming: vec![head; BATCH].into(),
            received: 0,
            replies: vec![0; BATCH * REPLY_STRIDE].into(),
            outgoing: Vec::with_capacity(BATCH),
            sources: vec![Control([0; CONTROL]); BATCH].into(),
        })
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Takes in what is there, at least one datagram; how many. What was received before is gone.
    ///
    /// # Errors
    /// As the system says: `WouldBlock` after a while without any. A socket that is shut down brings empty datagrams of
    /// nobody.
    pub fn receive(&mut self) -> io::Result<usize> {
        self.received = 0;
        let mut vectors = [MaybeUninit::<libc::iovec>::uninit(); BATCH];
        let queries = self.queries.chunks_exact_mut(QUERY_STRIDE);
        let places = queries.zip(&mut self.clients).zip(&mut self.controls);
        for ((head, vector), ((query, client), control)) in self.incoming.iter_mut().zip(&mut vectors).zip(places) {
            vector.write(libc::iovec { iov_base: query.as_mut_ptr().cast(), iov_len: QUERY });
            let head = &mut head.msg_hdr;
            client.sin6_family = libc::AF_UNSPEC as libc::sa_family_t;
            head.msg_name = ptr::from_mut(client).cast();
            head.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            head.msg_iov = vector.as_mut_ptr();
            head.msg_iovlen = 1;
            if self.is_wildcard {
                head.msg_control = control.0.as_mut_ptr().cast();
                head.msg_controllen = CONTROL as _;
            }
        }
        // SAFETY: each head points to a query's bytes, an address, and perhaps a control buffer, with their true sizes,
        // all owned by `self` or by this frame and borrowed by nobody else during the call.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                self.incoming.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        self.received = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(self.received)
    }

    /// The datagrams received last.
    pub fn len(&self) -> usize {
        self.received
    }

    pub fn is_empty(&self) -> bool {
        self.received == 0
    }

    /// The bytes of datagram `number`.
    #[inline]
    pub fn datagram(&self, number: usize) -> &[u8] {
        let length = (self.incoming[number].msg_len as usize).min(QUERY);
        &self.queries[number * QUERY_STRIDE..][..length]
    }

    /// Who sent datagram `number`: port 0 of no address if the system did not say.
    #[inline]
    pub fn client(&self, number: usize) -> SocketAddr {
        address(&self.clients[number])
    }

    /// The address that datagram `number` was sent to, where the socket is bound to all of a family.
    pub fn asked(&self, number: usize) -> Option<IpAddr> {
        if !self.is_wildcard {
            return None;
        }
        let head = &self.incoming[number].msg_hdr;
        #[allow(clippy::unnecessary_cast, reason = "C libraries differ in the type")]
        let length = head.msg_controllen as usize;
        asked(self.controls.get(number)?.0.get(..length)?)
    }

    /// Puts a reply to datagram `number` on the pile; false if it is too long or the pile is as high as a batch.
    #[inline]
    pub fn push(&mut self, number: usize, reply: &[u8]) -> bool {
        let to_length = self.incoming[number].msg_hdr.msg_namelen;
        let mut source_length = 0;
        if let (Some(asked), Some(control)) = (self.asked(number), self.sources.get_mut(self.outgoing.len())) {
            (*control, source_length) = source(asked);
        }
        self.pile(reply, Outgoing { to: self.clients[number], to_length, source_length, length: reply.len() })
    }

    /// Puts a datagram to anyone on the pile, as [`Batch::push`] does: what a client needs.
    pub fn push_to(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        let (to, to_length) = raw(to);
        self.pile(datagram, Outgoing { to, to_length, source_length: 0, length: datagram.len() })
    }

    #[inline]
    fn pile(&mut self, bytes: &[u8], outgoing: Outgoing) -> bool {
        if bytes.len() > REPLY || self.outgoing.len() == BATCH {
            return false;
        }
        self.replies[self.outgoing.len() * REPLY_STRIDE..][..bytes.len()].copy_from_slice(bytes);
        self.outgoing.push(outgoing);
        true
    }

    /// Sends the pile; how many of it the system did not take, which are gone.
    pub fn send(&mut self) -> usize {
        let mut vectors = [MaybeUninit::<libc::iovec>::uninit(); BATCH];
        let mut heads = [MaybeUninit::<libc::mmsghdr>::uninit(); BATCH];
        let count = self.outgoing.len();
        let replies = self.replies.chunks_exact_mut(REPLY_STRIDE);
        let piled = self.outgoing.iter_mut().zip(&mut self.sources).zip(replies);
        for ((head, vector), ((outgoing, source), reply)) in heads.iter_mut().zip(&mut vectors).zip(piled) {
            vector.write(libc::iovec { iov_base: reply.as_mut_ptr().cast(), iov_len: outgoing.length });
            // SAFETY: all bits zero is a value of it; not all C libraries let us name its fields alone.
            let mut wanted = unsafe { zeroed::<libc::mmsghdr>() };
            wanted.msg_hdr.msg_name = ptr::from_mut(&mut outgoing.to).cast();
            wanted.msg_hdr.msg_namelen = outgoing.to_length;
            wanted.msg_hdr.msg_iov = vector.as_mut_ptr();
            wanted.msg_hdr.msg_iovlen = 1;
            if outgoing.source_length > 0 {
                wanted.msg_hdr.msg_control = source.0.as_mut_ptr().cast();
                wanted.msg_hdr.msg_controllen = outgoing.source_length as _;
            }
            head.write(wanted);
        }
        let (mut at, mut refused) = (0, 0);
        while at < count {
            // SAFETY: the first `count` heads were written above and point into `self` and this frame, with true sizes;
            // `at` is below `count`. The system only reads, but for `msg_len`.
            let sent = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    heads[at..].as_mut_ptr().cast(),
                    (count - at) as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            let error = || io::Error::last_os_error().kind();
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => at += sent,
                _ if error() == io::ErrorKind::Interrupted => {}
                // No room for this reply, nor for the others: who waited here would answer nobody.
                _ if error() == io::ErrorKind::WouldBlock => (at, refused) = (count, refused + count - at),
                // The first of them was not taken; the others may be.
                _ => (at, refused) = (at + 1, refused + 1),
            }
        }
        self.outgoing.clear();
        refused
    }
}

/// Has the system tell the address that each datagram was sent to (ip(7), ipv6(7)).
fn tell_address(socket: &UdpSocket, is_v4: bool) -> io::Result<()> {
    let (level, option) =
        if is_v4 { (libc::IPPROTO_IP, libc::IP_PKTINFO) } else { (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) };
    set(socket.as_raw_fd(), level, option, 1)
}

/// Has the system keep a connection to itself until its client has sent something, or for a second (tcp(7)).
///
/// # Errors
/// As the system says.
pub(super) fn defer_accept(listener: &TcpListener) -> io::Result<()> {
    set(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)
}

fn set(socket: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option's value is an int, whose address and size these are.
    let result = unsafe {
        libc::setsockopt(socket, level, option, addr_of!(value).cast(), size_of::<libc::c_int>() as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[inline]
fn address(raw: &libc::sockaddr_in6) -> SocketAddr {
    match libc::c_int::from(raw.sin6_family) {
        libc::AF_INET => {
            // SAFETY: an address of this family is a `sockaddr_in`, which is smaller, and aligned no more strictly.
            let v4 = unsafe { &*ptr::from_ref(raw).cast::<libc::sockaddr_in>() };
            (Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), u16::from_be(v4.sin_port)).into()
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), raw.sin6_flowinfo, raw.sin6_scope_id).into()
        }
        _ => (Ipv4Addr::UNSPECIFIED, 0).into(),
    }
}

fn raw(address: SocketAddr) -> (libc::sockaddr_in6, libc::socklen_t) {
    // SAFETY: all bits zero is a value of it.
    let mut raw = unsafe { zeroed::<libc::sockaddr_in6>() };
    let length = match address {
        SocketAddr::V4(address) => {
            // SAFETY: as in `address`.
            let v4 = unsafe { &mut *ptr::from_mut(&mut raw).cast::<libc::sockaddr_in>() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = address.port().to_be();
            v4.sin_addr.s_addr = u32::from(*address.ip()).to_be();
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = address.port().to_be();
            raw.sin6_addr.s6_addr = address.ip().octets();
            raw.sin6_scope_id = address.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (raw, length as libc::socklen_t)
}

/// Bytes of a control message's head: length, level and type.
const CONTROL_HEAD: usize = size_of::<libc::cmsghdr>();

/// The address in the first control message, if it tells one: the second half of an `in_pktinfo`, or the first of an
/// `in6_pktinfo`.
fn asked(control: &[u8]) -> Option<IpAddr> {
    let (head, data) = control.split_at_checked(CONTROL_HEAD)?;
    let [level, kind] = kind_of(head)?;
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(IpAddr::from(*data.get(8..)?.first_chunk::<4>()?)),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => Some(IpAddr::from(*data.first_chunk::<16>()?)),
        _ => None,
    }
}

/// Level and type, which stand at the end of a control message's head.
fn kind_of(head: &[u8]) -> Option<[libc::c_int; 2]> {
    let kind: &[u8; 8] = head.last_chunk()?;
    let [l0, l1, l2, l3, t0, t1, t2, t3] = *kind;
    Some([libc::c_int::from_ne_bytes([l0, l1, l2, l3]), libc::c_int::from_ne_bytes([t0, t1, t2, t3])])
}

/// A control message that has a datagram sent from this address, and its length.
fn source(from: IpAddr) -> (Control, usize) {
    let mut control = Control([0; CONTROL]);
    // `in_pktinfo` is interface, source, destination; `in6_pktinfo` is address, interface. Interface 0 is any.
    let (level, kind, at, data) = match from {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO, 4, size_of::<libc::in_pktinfo>()),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 0, size_of::<libc::in6_pktinfo>()),
    };
    let length = CONTROL_HEAD + data;
    let bytes = &mut control.0;
    bytes[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
    bytes[CONTROL_HEAD - 8..CONTROL_HEAD - 4].copy_from_slice(&level.to_ne_bytes());
    bytes[CONTROL_HEAD - 4..CONTROL_HEAD].copy_from_slice(&kind.to_ne_bytes());
    match from {
        IpAddr::V4(ip) => bytes[CONTROL_HEAD + at..][..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[CONTROL_HEAD + at..][..16].copy_from_slice(&ip.octets()),
    }
    (control, length.next_multiple_of(size_of::<usize>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(address: &str) -> (Batch, UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(address).unwrap();
        let to = socket.local_addr().unwrap();
        let client = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        (Batch::new(socket).unwrap(), client, to)
    }

    fn reach(to: SocketAddr, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), to.port())
    }

    #[test]
    fn a_batch_is_received_and_replied_to_by_either_family() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut batch, client, to) = pair(address);
            for number in 0..100_u8 {
                client.send_to(&[number; 40], to).unwrap();
            }
            let mut seen = 0;
            while seen < 100 {
                let count = batch.receive().unwrap();
                assert_eq!((batch.len(), batch.is_empty()), (count, false));
                for number in 0..count {
                    assert_eq!(batch.datagram(number), [seen; 40]);
                    assert_eq!((batch.client(number), batch.asked(number)), (client.local_addr().unwrap(), None));
                    assert!(batch.push(number, &[seen, 1]));
                    seen += 1;
                }
                assert_eq!(batch.send(), 0);
            }
            let mut reply = [0; 8];
            for number in 0..100_u8 {
                assert_eq!(client.recv_from(&mut reply).unwrap(), (2, to));
                assert_eq!(reply[..2], [number, 1]);
            }
        }
    }

    #[test]
    fn a_socket_on_all_addresses_replies_from_the_one_that_was_asked() {
        for (address, asked) in [("0.0.0.0:0", "127.0.0.1"), ("0.0.0.0:0", "127.1.2.3"), ("[::]:0", "::1")] {
            let socket = UdpSocket::bind(address).unwrap();
            let to = reach(socket.local_addr().unwrap(), asked);
            let mut batch = Batch::new(socket).unwrap();
            let client = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
            client.send_to(b"who", to).unwrap();
            assert_eq!(batch.receive().unwrap(), 1);
            assert_eq!(batch.asked(0), Some(to.ip()));
            assert!(batch.push(0, b"me"));
            assert_eq!(batch.send(), 0);
            assert_eq!(client.recv_from(&mut [0; 8]).unwrap(), (2, to));
        }
    }

    #[test]
    fn empty_and_long_datagrams_are_received_and_long_replies_are_not_sent() {
        let (mut batch, client, to) = pair("127.0.0.1:0");
        client.send_to(&[], to).unwrap();
        assert_eq!((batch.receive().unwrap(), batch.datagram(0)), (1, &[][..]));
        client.send_to(&[7; QUERY + 1], to).unwrap();
        assert_eq!((batch.receive().unwrap(), batch.datagram(0)), (1, &[7; QUERY][..]));
        assert!(!batch.push(0, &[0; REPLY + 1]));
        for _ in 0..BATCH {
            assert!(batch.push(0, &[1; REPLY]));
        }
        assert!(!batch.push(0, &[2]));
        assert_eq!(batch.send(), 0);
        assert_eq!(client.recv(&mut [0; 2 * REPLY]).unwrap(), REPLY);
    }

    #[test]
    fn what_the_system_does_not_take_is_counted_and_holds_up_nothing() {
        let (mut batch, client, _) = pair("127.0.0.1:0");
        let here = client.local_addr().unwrap();
        // No socket may send to port 0.
        for to in [here, reach(here, "127.0.0.1"), SocketAddr::new(here.ip(), 0), here] {
            assert!(batch.push_to(to, b"x"));
        }
        assert_eq!(batch.send(), 1);
        for _ in 0..3 {
            assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1);
        }
        assert_eq!(batch.send(), 0);
    }

    #[test]
    fn who_waits_is_woken_by_a_shutdown() {
        let (mut batch, _client, to) = pair("127.0.0.1:0");
        let socket = batch.socket().try_clone().unwrap();
        let waiting = std::thread::spawn(move || {
            let received = batch.receive();
            (received.map_err(|error| error.kind()), batch.client(0).port())
        });
        let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Read);
        let (received, port) = waiting.join().unwrap();
        assert!(received == Err(io::ErrorKind::WouldBlock) || port == 0, "{received:?} from {port} at {to}");
    }
}
