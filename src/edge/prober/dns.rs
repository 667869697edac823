//! A question to an origin that is a nameserver: over UDP from a fresh port and with an id nobody can guess, and over
//! TCP where the reply did not fit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::{random, tcp};
use crate::config::Question;
use crate::config::expect::Reply;
use crate::probe::TroubleKind;
use crate::probe::nameserver::{Unfit, query, reply};

/// Room for a reply over UDP: without EDNS none is longer than 512 bytes, but some senders do not know.
const DATAGRAM: usize = 4096;

/// Asks `to`.
///
/// # Errors
/// What came instead of a reply.
pub(super) async fn ask(to: SocketAddr, question: &Question) -> Result<Reply, TroubleKind> {
    let id = u16::from_ne_bytes(random());
    let asked = query(id, question);
    let told = over_udp(to, &asked, |message| reply(message, id, question)).await;
    match told.map_err(|error| tcp::trouble(&error, to.ip()))? {
        Err(Unfit::Truncated) => {}
        told => return told.map_err(unfit),
    }
    let mut stream = tcp::connect(to).await?;
    tcp::close_at_once(&stream);
    let message = over_tcp(&mut stream, &asked).await.map_err(|error| tcp::trouble(&error, to.ip()))?;
    reply(&message, id, question).map_err(unfit)
}

/// Sends `asked` and waits for what `read` takes for its reply; anything else may be forged, and is passed over.
async fn over_udp<T>(
    to: SocketAddr,
    asked: &[u8],
    read: impl Fn(&[u8]) -> Result<T, Unfit>,
) -> io::Result<Result<T, Unfit>> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    socket.send(asked).await?;
    let mut datagram = [0; DATAGRAM];
    loop {
        let length = socket.recv(&mut datagram).await?;
        match read(&datagram[..length]) {
            Err(Unfit::NotOurs) => {}
            told => return Ok(told),
        }
    }
}

/// RFC 7766 §8: each message with its length before it.
async fn over_tcp(stream: &mut TcpStream, asked: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(asked.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), asked].concat()).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

fn unfit(unfit: Unfit) -> TroubleKind {
    TroubleKind::Protocol(match unfit {
        Unfit::NotOurs => "a reply to another question".to_owned(),
        Unfit::Truncated => "truncated over TCP too".to_owned(),
        Unfit::Broken(why) => why.to_owned(),
    })
}
