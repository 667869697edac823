//! TLS between a socket and the machine that knows DNS (RFC 7858): rustls's own connection, which neither waits nor owns
//! the socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

/// Encrypted bytes that may wait for the client to take them, beside the answers that wait in plain text.
const WAITING_MAX: usize = 16 * 1024;
/// Reads in a row that brought no plain text: who sends such for ever has to let others have their turn.
const READS: usize = 8;

/// One encrypted connection.
pub(super) struct Session {
    socket: TcpStream,
    tls: ServerConnection,
    /// Bytes of plain text that were decrypted and not yet received.
    decrypted: usize,
    /// The client said that it will send no more (`close_notify`), and nobody was told yet.
    has_ended: bool,
}

impl Session {
    /// Before its handshake.
    ///
    /// # Errors
    /// If `config` cannot serve.
    pub(super) fn new(socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(WAITING_MAX));
        Ok(Self { socket, tls, decrypted: 0, has_ended: false })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// True until client and server agree on keys.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.tls.is_handshaking()
    }

    pub(super) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// True if there is plain text, or its end, of which the socket will not tell.
    pub(super) fn holds_more(&self) -> bool {
        self.decrypted > 0 || self.has_ended
    }

    /// Takes in plain text, and takes part in the handshake; into no room, only the latter. A connection that ends
    /// without `close_notify` ends all the same: each message has its length, so that nothing can be cut off unseen.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..READS {
            if !buffer.is_empty() {
                match self.tls.reader().read(buffer) {
                    Ok(count) => {
                        self.decrypted = self.decrypted.saturating_sub(count);
                        self.has_ended &= count > 0;
                        return Ok(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !self.is_shaking_hands() => {
                        return Ok(0);
                    }
                    Err(error) => return Err(error),
                }
            } else if !self.is_shaking_hands() {
                return Ok(0);
            }
            self.tls.read_tls(&mut self.socket)?;
            match self.tls.process_new_packets() {
                Ok(state) => {
                    self.decrypted = state.plaintext_bytes_to_read();
                    self.has_ended = state.peer_has_closed();
                }
                Err(error) => {
                    // The client is told why, if it still listens.
                    let _ = self.flush();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
            self.flush()
                .or_else(|error| if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) })?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Sends plain text, and what waits of the handshake. How much of it was taken.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.tls.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// Says that nothing more comes (RFC 8446 §6.1), so that the client need not wonder whether it was cut off.
impl Drop for Session {
    fn drop(&mut self) {
        self.tls.send_close_notify();
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::super::connection::{Closed, Connection, Wire};
    use super::*;
    use crate::answer::Transport;
    use crate::config::Answering;
    use crate::time::Moment;

    /// Both ends over loopback: the client blocks, the server does not.
    fn pair() -> (TcpStream, ClientConnection, Session) {
        let key = rcgen::generate_simple_self_signed(vec!["ns.test".to_owned()]).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(key.cert.der().clone()).expect("a root");
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], key.signing_key.serialize_der().try_into().expect("a key"))
            .expect("a pair");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = ClientConnection::new(Arc::new(client), ServerName::try_from("ns.test").expect("a name"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let there = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let (here, _) = listener.accept().expect("accepted");
        here.set_nonblocking(true).expect("nonblocking");
        (there, client.expect("a client"), Session::new(here, &Arc::new(server)).expect("a session"))
    }

    /// Lets the server do what it can until it has received `wanted` bytes or the end.
    fn receive(session: &mut Session, room: usize, wanted: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; room];
        loop {
            match session.receive(&mut buffer) {
                Ok(0) => return all,
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            if all.len() >= wanted {
                return all;
            }
        }
    }

    #[test]
    fn what_goes_in_comes_out_and_the_end_is_told() {
        let (mut socket, mut client, mut session) = pair();
        assert!(session.is_shaking_hands());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = rustls::Stream::new(&mut client, &mut socket);
                stream.write_all(&[7; 20_000]).expect("written");
                let mut back = [0; 30_000];
                stream.read_exact(&mut back).expect("an answer");
                assert!(back.iter().all(|&byte| byte == 9));
                client.send_close_notify();
                client.write_tls(&mut socket).expect("written");
                // The socket stays open: only `close_notify` tells the end. Ours comes then.
                let mut rest = Vec::new();
                rustls::Stream::new(&mut client, &mut socket).read_to_end(&mut rest).expect("a clean end");
            });
            assert_eq!(receive(&mut session, 100, 20_000), [7; 20_000]);
            assert!(!session.is_shaking_hands());
            let mut left: &[u8] = &[9; 30_000];
            while !left.is_empty() || session.wants_write() {
                match session.send(left) {
                    Ok(count) => left = &left[count..],
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            assert!(receive(&mut session, 100, 1).is_empty());
            assert!(!session.holds_more(), "the end is told once");
            drop(session);
        });
    }

    #[test]
    fn what_waits_encrypted_has_the_time_of_answers() {
        let (mut socket, mut client, mut session) = pair();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = rustls::Stream::new(&mut client, &mut socket);
                stream.write_all(&[7]).expect("written");
                stream.flush().expect("sent");
            });
            assert_eq!(receive(&mut session, 1, 1), [7]);
        });
        // The client reads no more.
        while session.send(&[9; 10_000]).is_ok() {}
        assert!(session.wants_write());
        let (by, now) = (Answering::default(), Moment::default());
        let from = SocketAddr::from(([192, 0, 2, 1], 5353));
        let connection = Connection::new(Wire::Tls(Box::new(session)), from, Transport::Tls, now);
        assert_eq!(connection.deadline(&by), (now + by.streams.send, Closed::SlowReply));
    }

    #[test]
    fn what_is_no_tls_is_an_error_and_is_told_so() {
        let (mut socket, _client, mut session) = pair();
        socket.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
        let error = loop {
            match session.receive(&mut [0; 9]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                other => break other.expect_err("no TLS"),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(session);
        let mut alert = Vec::new();
        let _ = socket.read_to_end(&mut alert);
        assert_eq!(alert.first(), Some(&21), "an alert: {alert:?}");
    }
}
