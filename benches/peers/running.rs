//! A server as a child process: started on its core, stopped while others are measured, and ended whatever happens.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use failoverd::dns::Type;
use rustix::process::{Pid, Signal, kill_process};

use crate::cpu::{self, Cores, Memory, Times};
use crate::world::{APEX, Question};

/// A server with a million names may take a minute; what takes five has hung.
const START: Duration = Duration::from_secs(300);
/// Between two questions whether it is ready.
const LOOK: Duration = Duration::from_millis(2);
/// From its first answer to the look at its memory.
const SETTLE: Duration = Duration::from_millis(300);
/// What a server may take to end by itself.
const END: Duration = Duration::from_secs(10);
/// Lines of a failed server's words that are shown.
const WORDS: usize = 5;

/// What is to be ended when we are.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// What starting it took.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Start {
    /// Seconds from its execution to the first right answer.
    pub ready: f64,
    /// CPU time until then, in seconds.
    pub cpu: f64,
    pub memory: Memory,
}

/// A server that answers.
pub struct Running {
    child: Child,
    pub server: SocketAddr,
    pub start: Start,
}

impl Running {
    /// Starts it and waits for the first answer: to the address of `ns1`, or any if `is_echo`.
    ///
    /// # Errors
    /// If it does not start, with what it said.
    pub fn start(
        mut command: Command,
        port: u16,
        folder: &Path,
        cores: &[usize],
        home: &Cores,
        is_echo: bool,
    ) -> io::Result<Self> {
        let log = fs::File::create(folder.join("said"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let began = Instant::now();
        // A child has the cores of the thread that starts it.
        cpu::pin(cores);
        let child = command.spawn();
        cpu::pin(&[home.client]);
        let child = child?;
        children().push(child.id());
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut running = Self { child, server, start: Start::default() };
        running.wait(began, is_echo).map_err(|error| {
            let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
            let lines: Vec<&str> = said.lines().take(WORDS).collect();
            io::Error::other(format!("{error} {}", lines.join(" / ")))
        })?;
        running.start.ready = began.elapsed().as_secs_f64();
        running.start.cpu = running.times().total;
        // What was only needed for loading is given back now.
        thread::sleep(SETTLE);
        running.start.memory = cpu::memory(running.child.id());
        Ok(running)
    }

    fn wait(&mut self, began: Instant, is_echo: bool) -> io::Result<()> {
        let query = Question { name: format!("ns1.{APEX}"), qtype: Type::A }.wire(7);
        let mut reply = [0; 512];
        while began.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended at once, {status}.")));
            }
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_read_timeout(Some(LOOK * 10))?;
            socket.connect(self.server)?;
            let heard = socket.send(&query).and_then(|_| socket.recv(&mut reply));
            // A reply to it with rcode 0 and an answer; an echo has none.
            if heard.is_ok_and(|length| length >= 12)
                && reply[2] & 0x80 != 0
                && reply[3] & 15 == 0
                && (is_echo || reply[7] > 0)
            {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(io::Error::other("no answer within five minutes."))
    }

    pub fn times(&self) -> Times {
        cpu::times(self.child.id())
    }

    /// It gets no more time until it is resumed.
    pub fn pause(&self) {
        tell(self.child.id(), Signal::STOP);
    }

    pub fn resume(&self) {
        tell(self.child.id(), Signal::CONT);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id();
        let all = cpu::tree(pid);
        tell(pid, Signal::CONT);
        signal(pid, Signal::TERM);
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < END {
            thread::sleep(LOOK);
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            all.iter().for_each(|pid| signal(*pid, Signal::KILL));
            let _ = self.child.wait();
        }
        children().retain(|child| *child != pid);
    }
}

fn children() -> std::sync::MutexGuard<'static, Vec<u32>> {
    CHILDREN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ends what runs, at once: we are asked to go ourselves.
pub fn end_all() {
    for child in children().drain(..) {
        tell(child, Signal::KILL);
    }
}

fn tell(pid: u32, what: Signal) {
    cpu::tree(pid).into_iter().for_each(|pid| signal(pid, what));
}

fn signal(pid: u32, what: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, what);
    }
}

/// A port of 127.0.0.1 that nobody has, for UDP and TCP, below those that connections are given.
///
/// # Panics
/// If all are taken.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(53);
    for _ in 0..20_000 {
        let step = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 10_000 + u16::try_from(step).expect("below 20,000");
        let here = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(here).is_ok() && TcpListener::bind(here).is_ok() {
            return port;
        }
    }
    panic!("every port is taken");
}
