//! A connection over which nothing is said, held until it ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::edge::descriptors;
use crate::probe::tripwire::What;

use super::tcp;

/// Wires being opened at once: after an outage thousands want one, and none is in a hurry.
const OPENINGS: usize = 32;
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// A peer that vanished without a word is noticed after the first and some of the others. What stands in between
/// (address translation, firewalls) is kept from forgetting the connection, too.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(20);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVES: u32 = 3;
/// What a server may say of itself when somebody connects (mail, SSH); one that goes on is no idle connection.
const GREETING: usize = 4096;

/// What wires share: turns to open one, and descriptors.
pub(super) struct Wires {
    openings: Semaphore,
    held: Semaphore,
}

impl Wires {
    pub(super) fn new() -> Self {
        Self { openings: Semaphore::new(OPENINGS), held: Semaphore::new(descriptors::wires()) }
    }

    /// How many there are, those being opened too.
    pub(super) fn count(&self) -> u64 {
        descriptors::wires().saturating_sub(self.held.available_permits()) as u64
    }

    /// Opens a connection to `to`, says so to `held`, and holds it until it ends.
    pub(super) async fn hold(&self, to: SocketAddr, held: impl FnOnce()) -> What {
        let Ok(_descriptor) = self.held.try_acquire() else { return What::Unfit };
        let opened = {
            let Ok(_turn) = self.openings.acquire().await else { return What::Unfit };
            timeout(OPEN_WITHIN, tcp::connect(to)).await
        };
        let Ok(Ok(stream)) = opened else { return What::Ended };
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY).with_retries(KEEPALIVES);
        // Without, a crash is told as well.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        held();
        end_of(&stream).await
    }
}

async fn end_of(stream: &TcpStream) -> What {
    let mut heard = 0;
    loop {
        if stream.readable().await.is_err() {
            return What::Ended;
        }
        // On the stack only between two waits: a thousand wires have no buffers.
        let mut buffer = [0; 512];
        match stream.try_read(&mut buffer) {
            Ok(0) => return What::Ended,
            Ok(count) => heard += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return What::Ended,
        }
        if heard > GREETING {
            return What::Unfit;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// What becomes of a wire to an origin that does this with its connection.
    async fn held_by<F: Future<Output = ()>>(origin: impl FnOnce(TcpStream) -> F) -> (What, bool) {
        let (listener, address) = listener().await;
        let (wires, was_held) = (Wires::new(), Cell::new(false));
        let origin = async {
            let (stream, _) = listener.accept().await.unwrap();
            // One that is reset before it was noticed to be open could not be opened.
            while !was_held.get() {
                tokio::task::yield_now().await;
            }
            origin(stream).await;
        };
        let (what, ()) = tokio::join!(wires.hold(address, || was_held.set(true)), origin);
        (what, was_held.get())
    }

    #[tokio::test]
    async fn an_end_is_told_however_it_comes() {
        assert_eq!(held_by(|stream| async { drop(stream) }).await, (What::Ended, true), "FIN");
        let reset = |stream: TcpStream| async move { tcp::close_at_once(&stream) };
        assert_eq!(held_by(reset).await, (What::Ended, true), "RST");
    }

    #[tokio::test]
    async fn a_greeting_is_heard_out_and_a_speech_is_not() {
        let greet = |mut stream: TcpStream| async move { stream.write_all(b"220 ready\r\n").await.unwrap() };
        assert_eq!(held_by(greet).await, (What::Ended, true));
        let speak = |mut stream: TcpStream| async move {
            // It is let go of in the middle.
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        };
        assert_eq!(held_by(speak).await, (What::Unfit, true));
    }

    #[tokio::test]
    async fn nobody_there_is_no_wire() {
        let (listener, address) = listener().await;
        drop(listener);
        let what = Wires::new().hold(address, || unreachable!("nobody listens")).await;
        assert_eq!(what, What::Ended);
    }
}
