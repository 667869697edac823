//! HTTP origins made of threads: they can be broken and mended, and remember what was sent to them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }
}

struct Shared {
    status: AtomicU16,
    received: Mutex<Vec<Received>>,
    keep: bool,
}

/// Answers every request with its status. While broken nothing listens: connections are refused.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Origin {
    /// Listens on `host` (any 127.0.0.0/8 address) at `port`.
    pub(crate) fn start(host: Ipv4Addr, port: u16) -> Self {
        Self::with(host, port, false)
    }

    /// The same, keeping what it receives: for webhooks.
    pub(crate) fn keeping(port: u16) -> Self {
        Self::with(Ipv4Addr::LOCALHOST, port, true)
    }

    fn with(host: Ipv4Addr, port: u16, keep: bool) -> Self {
        let shared = Arc::new(Shared { status: AtomicU16::new(200), received: Mutex::default(), keep });
        let mut origin = Self { address: (host, port).into(), shared, running: None };
        origin.mend();
        origin
    }

    /// Refuses connections from now on.
    pub(crate) fn break_down(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.store(true, Ordering::SeqCst);
            // Wakes the accept.
            drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
            thread.join().expect("the origin's thread");
        }
    }

    /// Accepts connections again.
    pub(crate) fn mend(&mut self) {
        if self.running.is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        let (stop, shared) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.shared));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else {
                    continue;
                };
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        self.running = Some((stop, thread));
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// The status of answers from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// All requests so far, if it keeps them.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("not poisoned").clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.break_down();
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut received = Received::default();
    reader.read_line(&mut received.line)?;
    let mut line = String::new();
    // A head that was cut off, by a client that was killed, is no request.
    while !matches!(line.as_str(), "\r\n" | "\n") {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((name, value)) = line.split_once(':') {
            received.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let length = received.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    received.body = String::from_utf8_lossy(&body).into_owned();
    if shared.keep {
        shared.received.lock().expect("not poisoned").push(received);
    }
    let status = shared.status.load(Ordering::SeqCst);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
}
