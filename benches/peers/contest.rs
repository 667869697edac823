//! Servers side by side: all are started with the same zone, and each is measured while the others are stopped, in
//! rounds, so that they share whatever else happens on the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::cpu::{self, Cores, Times};
use crate::load::{Expected, Judged, Outcome, Queries, connects, tcp, udp};
use crate::running::{Running, Start, free_port};
use crate::servers::{self, Kind, Place, Server};
use crate::world::Question;

/// Asked before each measurement, without counting.
pub const WARM_UP: Duration = Duration::from_millis(150);
/// Threads of connections that are closed end in this time.
const SETTLE: Duration = Duration::from_millis(50);
/// Asking every question once takes no longer.
const LEARNING: Duration = Duration::from_secs(60);

/// What all contests share.
pub struct Setting {
    pub cores: Cores,
    /// Who takes part, and their programs.
    pub entrants: Vec<(&'static Server, PathBuf)>,
    /// Scratch, removed at the end.
    pub folder: PathBuf,
}

impl Setting {
    /// Starts one, in an empty folder of its own.
    ///
    /// # Errors
    /// If it does not start, with what it said.
    pub fn start(&self, server: &Server, program: &Path, zone: &Path, workers: usize) -> io::Result<Running> {
        self.start_on(server, program, zone, workers, &self.cores.of(workers))
    }

    /// The same, on other cores.
    ///
    /// # Errors
    /// If it does not start, with what it said.
    pub fn start_on(
        &self,
        server: &Server,
        program: &Path,
        zone: &Path,
        workers: usize,
        cores: &[usize],
    ) -> io::Result<Running> {
        let folder = self.empty(server.name)?;
        let place = Place { folder: &folder, zone, port: free_port(), workers };
        let command = servers::command(server, program, &place)?;
        Running::start(command, place.port, &folder, cores, &self.cores, server.kind == Kind::Echo)
    }

    /// A new folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn empty(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join(format!("{name}-{}", free_port()));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Ours or the echo, if it takes part.
    pub fn of(&self, kind: Kind) -> Option<(&'static Server, &Path)> {
        self.entrants.iter().find(|(server, _)| server.kind == kind).map(|(server, path)| (*server, path.as_path()))
    }
}

/// Questions, and what answers them.
pub struct Asked {
    pub queries: Queries,
    pub expected: Expected,
}

impl Asked {
    pub fn new(questions: &[Question]) -> Self {
        let queries = Queries::new(questions.iter().map(|question| question.wire(0)));
        let expected = Expected::unknown(queries.len());
        Self { queries, expected }
    }

    /// Asks each question once: the answers of this server are those that are expected of all.
    ///
    /// # Errors
    /// If there are no sockets to be had, or one in a hundred questions has no answer.
    pub fn learn(&mut self, from: &Running) -> io::Result<()> {
        let Self { queries, expected } = self;
        from.resume();
        queries.rewind();
        let plan = udp::Plan { most: queries.len() as u64, ..udp::Plan::closed(LEARNING) };
        udp::run(from.server, queries, &plan, &mut |question, reply| {
            expected.learn(question, reply);
            Judged::Right
        })?;
        queries.rewind();
        from.pause();
        if expected.known() < queries.len() / 100 * 99 {
            return Err(io::Error::other(format!("only {} of {} questions answered", expected.known(), queries.len())));
        }
        Ok(())
    }
}

/// How servers are asked.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Way {
    Closed,
    /// So many per second.
    Paced(f64),
    Pipelined(tcp::Pace),
    Connects,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Sample {
    pub outcome: Outcome,
    /// What the server used.
    pub used: Times,
    /// The share of its time that the server was running.
    pub busy: f64,
    /// Cores that other processes used meanwhile.
    pub others: f64,
}

impl Sample {
    /// CPU time per answer, in microseconds.
    pub fn cost(&self) -> f64 {
        self.used.total * 1e6 / self.outcome.received.max(1) as f64
    }

    /// The part of it in user space.
    pub fn user_cost(&self) -> f64 {
        self.used.user * 1e6 / self.outcome.received.max(1) as f64
    }
}

/// Counts what servers and everybody else use while `run` runs.
///
/// # Errors
/// Those of `run`.
pub fn measure(servers: &[&Running], cores: &[usize], run: impl FnOnce() -> io::Result<Outcome>) -> io::Result<Sample> {
    let times = || {
        servers
            .iter()
            .map(|running| running.times())
            .fold(Times::default(), |sum, times| Times { total: sum.total + times.total, user: sum.user + times.user })
    };
    let look = || (times(), cpu::own_time(), cpu::busy(cores));
    let before = look();
    let began = Instant::now();
    let outcome = run()?;
    // Threads of connections, if it has them, are still on their way out.
    thread::sleep(SETTLE);
    let after = look();
    let used = Times { total: after.0.total - before.0.total, user: after.0.user - before.0.user };
    let others = after.2 - before.2 - used.total - (after.1 - before.1);
    let (busy, others) = (used.total / outcome.seconds, (others / began.elapsed().as_secs_f64()).max(0.0));
    Ok(Sample { outcome, used, busy, others })
}

/// One that takes part, and what was measured of it so far.
pub struct Entrant {
    pub server: &'static Server,
    pub running: Running,
}

/// All who have started with one zone.
pub struct Contest {
    pub entrants: Vec<Entrant>,
    /// Who did not start, and why.
    pub absent: Vec<String>,
}

/// What was measured of one server.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    pub kind: Kind,
    /// One per round.
    pub samples: Vec<Sample>,
}

impl Contest {
    /// Starts them one after the other, and stops each until it is measured.
    pub fn start(setting: &Setting, zone: &Path) -> Self {
        let (mut entrants, mut absent) = (Vec::new(), Vec::new());
        for (server, program) in &setting.entrants {
            match setting.start(server, program, zone, 1) {
                Ok(running) => {
                    eprintln!("{}: ready in {:.2} s", server.name, running.start.ready);
                    running.pause();
                    entrants.push(Entrant { server, running });
                }
                Err(error) => absent.push(format!("{} does not start: {error}", server.name)),
            }
        }
        Self { entrants, absent }
    }

    /// Who says what is right: we, or without us the first peer.
    pub fn judge(&self) -> Option<&Running> {
        let by = |kind| self.entrants.iter().find(|entrant| entrant.server.kind == kind);
        by(Kind::Ours).or_else(|| by(Kind::Peer)).map(|entrant| &entrant.running)
    }

    pub fn starts(&self) -> Vec<(&'static str, Kind, Start)> {
        let real = self.entrants.iter().filter(|entrant| entrant.server.kind != Kind::Echo);
        real.map(|entrant| (entrant.server.name, entrant.server.kind, entrant.running.start)).collect()
    }

    /// Measures all in so many rounds.
    ///
    /// # Errors
    /// If there are no sockets to be had.
    pub fn compare(
        &self,
        setting: &Setting,
        asked: &mut Asked,
        way: Way,
        rounds: usize,
        time: Duration,
    ) -> io::Result<Vec<Row>> {
        let row = |entrant: &Entrant| Row { name: entrant.server.name, kind: entrant.server.kind, samples: Vec::new() };
        let mut rows: Vec<Row> = self.entrants.iter().map(row).collect();
        for round in 1..=rounds {
            for (row, entrant) in rows.iter_mut().zip(&self.entrants) {
                let sample = self.one(setting, entrant, asked, way, time)?;
                eprintln!(
                    "  round {round}: {:10} {:9.0}/s {:7.2} us, lost {}, others {:.2}",
                    row.name,
                    sample.outcome.per_second(),
                    sample.cost(),
                    sample.outcome.lost,
                    sample.others
                );
                row.samples.push(sample);
            }
        }
        Ok(rows)
    }

    fn one(
        &self,
        setting: &Setting,
        entrant: &Entrant,
        asked: &mut Asked,
        way: Way,
        time: Duration,
    ) -> io::Result<Sample> {
        let Entrant { server, running } = entrant;
        let cores = [setting.cores.server, setting.cores.client];
        let is_echo = server.kind == Kind::Echo;
        running.resume();
        if way != Way::Connects {
            ask(running, asked, way, WARM_UP, is_echo)?;
            thread::sleep(SETTLE);
        }
        let sample = measure(&[running], &cores, || ask(running, asked, way, time, is_echo));
        running.pause();
        sample
    }
}

fn ask(running: &Running, asked: &mut Asked, way: Way, time: Duration, is_echo: bool) -> io::Result<Outcome> {
    let Asked { queries, expected } = asked;
    let mut judge = |question, reply: &[u8]| if is_echo { Judged::Right } else { expected.judge(question, reply) };
    match way {
        Way::Closed => udp::run(running.server, queries, &udp::Plan::closed(time), &mut judge),
        Way::Paced(rate) => udp::run(running.server, queries, &udp::Plan::paced(rate, time), &mut judge),
        Way::Pipelined(pace) => tcp::run(running.server, queries, pace, time, &mut judge),
        Way::Connects => connects::run(running.server, queries, time, &mut judge),
    }
}
