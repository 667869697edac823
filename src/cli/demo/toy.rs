//! An HTTP origin and a resolver, as small as they can be.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections a toy serves at once; more wait.
const CONNECTIONS: usize = 32;
/// The longest request head a toy reads, in bytes.
const HEAD: usize = 8192;
/// The longest a client may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers every request with its name. While broken, nothing listens at its address.
pub(crate) struct Toy {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    running: JoinSet<()>,
}

impl Toy {
    /// Up at once.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub(crate) async fn start(name: &'static str, host: Ipv4Addr, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((host, port)).await?;
        let address = listener.local_addr()?;
        let mut running = JoinSet::new();
        running.spawn(serve(listener, name));
        Ok(Self { name, address, running })
    }

    pub(crate) fn is_up(&self) -> bool {
        !self.running.is_empty()
    }

    /// Closes its door and every open connection.
    pub(crate) async fn break_down(&mut self) {
        self.running.shutdown().await;
    }

    /// Opens again at the same address.
    ///
    /// # Errors
    /// If something else has taken the address meanwhile.
    pub(crate) async fn mend(&mut self, runtime: &Handle) -> io::Result<()> {
        if !self.is_up() {
            let listener = TcpListener::bind(self.address).await?;
            self.running.spawn_on(serve(listener, self.name), runtime);
        }
        Ok(())
    }
}

/// Accepts until dropped; connections end with it.
async fn serve(listener: TcpListener, name: &'static str) {
    let mut open = JoinSet::new();
    loop {
        while open.len() >= CONNECTIONS {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            open.spawn(async move { drop(timeout(PATIENCE, answer(stream, name)).await) });
        }
    }
}

async fn answer(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let body = format!("{name} is fine\n");
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// A resolver that knows no name and says so, which is all a canary wants. Lives until dropped.
pub(crate) struct Resolver {
    pub(crate) address: SocketAddr,
    _running: JoinSet<()>,
}

impl Resolver {
    /// On a port of its own.
    ///
    /// # Errors
    /// If no port can be bound.
    pub(crate) async fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut message = [0; 512];
            loop {
                let Ok((length, client)) = socket.recv_from(&mut message).await else {
                    continue;
                };
                if let Some(reply) = empty_answer(&message[..length]) {
                    drop(socket.send_to(&reply, client).await);
                }
            }
        });
        Ok(Self { address, _running: running })
    }
}

/// The question again, NOERROR, with no record. `None` if it is not a query with one question.
fn empty_answer(query: &[u8]) -> Option<Vec<u8>> {
    let is_query = query.get(2)? & 0x80 == 0;
    if !is_query || query.get(4..6)? != [0, 1] {
        return None;
    }
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(*query.get(end)?);
    }
    let question = query.get(12..end + 5)?;
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x80 | (query.get(2)? & 0x01), 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    reply.extend(question);
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_repeats_id_and_question_and_drops_the_rest() {
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x00\x00\x01\x00\x01opt";
        let reply = empty_answer(query).unwrap();
        assert_eq!(reply, b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01");
        for end in 0..query.len() - 3 {
            assert_eq!(empty_answer(&query[..end]), None, "cut at {end}");
        }
        assert_eq!(empty_answer(&reply), None, "a response is not answered");
    }
}
