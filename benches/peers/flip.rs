//! Names that turn under load: ten thousand steered names in a zone, their primary drained, released, killed and
//! revived, single names held, while half of what the server can answer is asked.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use failoverd::dns::Type;

use crate::contest::{Asked, Setting, WARM_UP};
use crate::load::{Judged, Outcome, udp};
use crate::report::{median, table, thousands};
use crate::running::{Running, free_port};
use crate::servers::{self, Kind, Place};
use crate::world::{APEX, Question, Shape, World};

/// Steered names, all of them on one ladder.
const NAMES: usize = 10_000;
/// Questions: every other one about a steered name.
const QUESTIONS: usize = 200_000;
/// Where their origins live.
const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Single names that are held on the backup and let go again.
const HELD: usize = 20;
/// Of what the closed loop reached.
const SHARE: f64 = 0.5;
const CAPACITY_TIME: Duration = Duration::from_secs(1);
/// First probes take this long at most.
const FIRST: Duration = Duration::from_secs(10);
/// Between two looks at what is to be done next.
const LOOK: Duration = Duration::from_millis(2);
/// What the API may take for one order.
const ORDER: Duration = Duration::from_secs(30);

/// What is done to the origins and names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Drain,
    Release,
    Hold(usize),
    LetGo(usize),
    Kill,
    Revive,
}

/// What there is to do, and at which share of the time.
fn script() -> Vec<(f64, Deed)> {
    let mut script = vec![(0.05, Deed::Drain), (0.15, Deed::Release), (0.5, Deed::Kill), (0.75, Deed::Revive)];
    for name in 0..HELD {
        let step = 0.1 * name as f64 / HELD as f64;
        script.extend([(0.25 + step, Deed::Hold(name)), (0.36 + step, Deed::LetGo(name))]);
    }
    script.sort_by(|a, b| a.0.total_cmp(&b.0));
    script
}

/// A run at half load.
struct Run {
    outcome: Outcome,
    /// Answers with the address of the primary, and of the backup.
    primary: u64,
    backup: u64,
    /// How long the API took for orders about all names, and about one.
    all: Vec<f64>,
    single: Vec<f64>,
}

/// Where the probes go; a listener that is gone is a dead origin.
struct Origins {
    port: u16,
    primary: Option<TcpListener>,
    backup: TcpListener,
}

/// Measures in turns the echo, ours while nothing turns, and ours while names turn.
///
/// # Errors
/// If ours does not start, or the API refuses an order.
pub fn run(setting: &Setting, world: &World, zone: &Path, rounds: usize, time: Duration) -> io::Result<String> {
    let Some((_, program)) = setting.of(Kind::Ours) else { return Ok("failoverd does not take part.\n".into()) };
    let mut origins = Origins::new()?;
    let folder = setting.empty("flip")?;
    let place = Place { folder: &folder, zone, port: free_port(), workers: 1 };
    let admin = free_port();
    let mut command = std::process::Command::new(program);
    command.args(servers::ours(&place, admin, &steered(origins.port))?);
    let cores = setting.cores.of(1);
    let ours = Running::start(command, place.port, &folder, &cores, &setting.cores, false)?;
    let token = fs::read_to_string(servers::state(&folder).join("operator.token"))?;
    let api = Api { address: SocketAddr::from((Ipv4Addr::LOCALHOST, admin)), token: token.trim().to_owned() };
    wait_for_primary(&ours, &mut origins)?;
    let echo = match setting.of(Kind::Echo) {
        Some((server, program)) => Some(setting.start(server, program, zone, 1)?),
        None => None,
    };

    let mut asked = Asked::new(&questions(world));
    asked.learn(&ours)?;
    ours.resume();
    let mut legal = Legal::default();
    let capacity =
        udp::run(ours.server, &mut asked.queries, &udp::Plan::closed(CAPACITY_TIME), &mut |_, _| Judged::Right)?;
    let rate = capacity.per_second() * SHARE;
    eprintln!("  flip: {NAMES} names, {rate:.0}/s");

    let (mut echoes, mut quiet, mut turning) = (Vec::new(), Vec::new(), Vec::new());
    let plan = udp::Plan::paced(rate, time);
    let warm_up = udp::Plan::paced(rate, WARM_UP);
    for _ in 0..rounds {
        if let Some(echo) = &echo {
            ours.pause();
            echo.resume();
            udp::run(echo.server, &mut asked.queries, &warm_up, &mut |_, _| Judged::Right)?;
            echoes.push(udp::run(echo.server, &mut asked.queries, &plan, &mut |_, _| Judged::Right)?);
            echo.pause();
            ours.resume();
        }
        udp::run(ours.server, &mut asked.queries, &warm_up, &mut |_, _| Judged::Right)?;
        quiet.push(half_load(&ours, &mut asked, &plan, &mut legal)?);
        turning.push(turn_under_load(&ours, &mut asked, &plan, &mut origins, &api)?);
    }
    Ok(told(rate, &echoes, &quiet, &turning))
}

/// The configuration of the steered names.
fn steered(port: u16) -> String {
    let mut text = format!(
        "[check.up]\ntcp = true\nevery = \"500ms\"\ntimeout = \"400ms\"\nfall = 2\nrise = 1\nconfirm = \"100ms\"\n\
         blip = \"0s\"\n[defaults.steer]\ncheck = \"up\"\nfailback = \"auto\"\n\
         [origin.main]\na = [\"{PRIMARY}\"]\nprobe = {{ port = {port} }}\n\
         [origin.spare]\na = [\"{BACKUP}\"]\nprobe = {{ port = {port} }}\n\
         [ladder.pair]\nprimary = \"main\"\nbackup = \"spare\"\n"
    );
    for number in 0..NAMES {
        // One host for all: they share two watches.
        text += &format!("[steer.\"{}\"]\nladder = \"pair\"\nhost = \"{APEX}\"\n", name(number));
    }
    text
}

fn name(number: usize) -> String {
    format!("f{number}.{APEX}")
}

/// Steered names at even places, what is in the zone at odd ones.
fn questions(world: &World) -> Vec<Question> {
    let mixed = world.questions(Shape::Mixed, QUESTIONS / 2, 11);
    let steered = (0..QUESTIONS / 2).map(|at| Question { name: name(at * 7 % NAMES), qtype: Type::A });
    steered.zip(mixed).flat_map(|(steered, mixed)| [steered, mixed]).collect()
}

/// What answers of steered names there were.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Legal {
    primary: u64,
    backup: u64,
}

impl Legal {
    /// Whether it is one of the two answers: one address, with authority.
    fn allows(&mut self, reply: &[u8]) -> bool {
        let is_answer = reply.len() > 16 && reply[2] & 0x06 == 0x04 && reply[3] & 15 == 0 && reply[6..8] == [0, 1];
        let address = reply.last_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets));
        self.primary += u64::from(is_answer && address == Some(PRIMARY));
        self.backup += u64::from(is_answer && address == Some(BACKUP));
        is_answer && (address == Some(PRIMARY) || address == Some(BACKUP))
    }
}

fn half_load(ours: &Running, asked: &mut Asked, plan: &udp::Plan, legal: &mut Legal) -> io::Result<Outcome> {
    let Asked { queries, expected } = asked;
    udp::run(ours.server, queries, plan, &mut |question, reply| match question % 2 {
        0 if legal.allows(reply) => Judged::Right,
        0 => Judged::Wrong,
        _ => expected.judge(question, reply),
    })
}

/// The same while the script is played.
fn turn_under_load(
    ours: &Running,
    asked: &mut Asked,
    plan: &udp::Plan,
    origins: &mut Origins,
    api: &Api,
) -> io::Result<Run> {
    let mut legal = Legal::default();
    thread::scope(|scope| {
        let play = scope.spawn(|| origins.play(plan.time, api));
        let outcome = half_load(ours, asked, plan, &mut legal);
        let played = play.join().unwrap_or_else(|_| Err(io::Error::other("the script broke off")));
        let (all, single) = played?;
        Ok(Run { outcome: outcome?, primary: legal.primary, backup: legal.backup, all, single })
    })
}

impl Origins {
    fn new() -> io::Result<Self> {
        let port = free_port();
        let (primary, backup) = (listen(PRIMARY, port)?, listen(BACKUP, port)?);
        Ok(Self { port, primary: Some(primary), backup })
    }

    /// Lets in who probes.
    fn accept(&mut self) {
        for listener in self.primary.iter().chain([&self.backup]) {
            while listener.accept().is_ok() {}
        }
    }

    /// Plays the script; what the API took for orders about all names and about one, in seconds.
    fn play(&mut self, time: Duration, api: &Api) -> io::Result<(Vec<f64>, Vec<f64>)> {
        let (mut all, mut single) = (Vec::new(), Vec::new());
        let began = Instant::now();
        for (share, deed) in script() {
            while began.elapsed() < time.mul_f64(share) {
                self.accept();
                thread::sleep(LOOK);
            }
            match deed {
                Deed::Drain => all.push(api.order("drain", "{\"origin\":\"main\"}")?),
                Deed::Release => all.push(api.order("release", "{\"target\":\"main\"}")?),
                Deed::Hold(number) => {
                    let body = format!("{{\"name\":\"{}\",\"rung\":\"backup\"}}", name(number));
                    single.push(api.order("hold", &body)?);
                }
                Deed::LetGo(number) => {
                    single.push(api.order("release", &format!("{{\"target\":\"{}\"}}", name(number)))?);
                }
                Deed::Kill => self.primary = None,
                Deed::Revive => self.primary = Some(listen(PRIMARY, self.port)?),
            }
        }
        while began.elapsed() < time {
            self.accept();
            thread::sleep(LOOK);
        }
        Ok((all, single))
    }
}

fn listen(address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((address, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The admin API.
struct Api {
    address: SocketAddr,
    token: String,
}

impl Api {
    /// Gives an order; how long it took until it was in force and on disk, in seconds.
    fn order(&self, verb: &str, body: &str) -> io::Result<f64> {
        let began = Instant::now();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ORDER))?;
        let request = format!(
            "POST /v1/{verb} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        if !reply.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(format!("{verb} {body}: {reply}")));
        }
        Ok(began.elapsed().as_secs_f64())
    }
}

/// Until the first probes have passed, a steered name has no answer, or one that does not last.
fn wait_for_primary(ours: &Running, origins: &mut Origins) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(ours.server)?;
    socket.set_read_timeout(Some(LOOK * 10))?;
    let query = Question { name: name(NAMES - 1), qtype: Type::A }.wire(1);
    let mut reply = [0; 512];
    let mut passed = 0;
    let began = Instant::now();
    while began.elapsed() < FIRST {
        origins.accept();
        let heard = match socket.send(&query).and_then(|_| socket.recv(&mut reply)) {
            Ok(length) => Legal::default().allows(&reply[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => return Err(error),
        };
        // A while longer, for the probes of the second origin.
        passed += usize::from(heard);
        if passed > 500 {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    Err(io::Error::other("the steered names have no answer"))
}

fn told(rate: f64, echoes: &[Outcome], quiet: &[Outcome], turning: &[Run]) -> String {
    let at = |outcomes: &[&Outcome], share| {
        median(outcomes.iter().map(|outcome| outcome.latency.quantile(share) as f64)) / 1e3
    };
    let line = |name: &str, outcomes: &[&Outcome]| {
        let longest = outcomes.iter().map(|outcome| outcome.latency.longest()).max().unwrap_or(0) as f64 / 1e3;
        let mut cells = vec![name.to_owned()];
        cells.extend([0.5, 0.99, 0.999].map(|share| format!("{:.0}", at(outcomes, share))));
        cells.push(format!("{longest:.0}"));
        cells.push(thousands(outcomes.iter().map(|outcome| outcome.received as f64).sum()));
        cells.push(outcomes.iter().map(|outcome| outcome.lost).sum::<u64>().to_string());
        cells.push(outcomes.iter().map(|outcome| outcome.wrong).sum::<u64>().to_string());
        cells
    };
    let echoes: Vec<&Outcome> = echoes.iter().collect();
    let quiet: Vec<&Outcome> = quiet.iter().collect();
    let turned: Vec<&Outcome> = turning.iter().map(|run| &run.outcome).collect();
    let header = ["at half load", "p50 µs", "p99 µs", "p99.9 µs", "longest µs", "answers", "lost", "wrong"];
    let mut rows = Vec::new();
    if !echoes.is_empty() {
        rows.push(line("echo", &echoes));
    }
    rows.push(line("failoverd, nothing turns", &quiet));
    rows.push(line("failoverd, names turn", &turned));
    let mut text = table(&header, &rows);
    let milliseconds = |times: fn(&Run) -> &Vec<f64>| median(turning.iter().flat_map(times).copied()) * 1e3;
    text += &format!(
        "\n{} questions/s, every other one about one of {NAMES} steered names. In each of {} rounds all of them turned \
         {} times (drained, released, killed, revived) and {HELD} of them alone twice: {} answers with the primary, {} \
         with the backup. An order was in force and on disk after {:.1} ms for all, {:.1} ms for one (medians).\n",
        thousands(rate),
        turning.len(),
        4,
        thousands(turning.iter().map(|run| run.primary as f64).sum()),
        thousands(turning.iter().map(|run| run.backup as f64).sum()),
        milliseconds(|run| &run.all),
        milliseconds(|run| &run.single),
    );
    if !echoes.is_empty() {
        let more = (at(&turned, 0.99) - at(&echoes, 0.99)) / 1e3;
        text += &format!("p99 while names turn is {more:+.2} ms against the echo's.\n");
    }
    text
}
