//! Instructions per answer, counted by callgrind: a figure that no other work on the machine changes.
//!
//! `cargo bench --bench instructions` (needs valgrind) runs itself under callgrind, once with one round of questions
//! and once with eleven, and prints what a question of the difference takes. With a shape's name as argument, that one.

mod world;

use std::env;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};

use failoverd::answer::{Ask, Client, Desk, Reply, Transport, answer, reach};
use world::{Shape, World};

/// Questions of a round, and rounds of the longer run.
const QUESTIONS: usize = 5_000;
const ROUNDS: u64 = 11;
/// Queries an answering thread takes at once.
const BATCH: usize = 64;
/// Set for the run that is counted: how many rounds it makes.
const COUNTED: &str = "FAILOVERD_ROUNDS";

fn main() -> ExitCode {
    let wanted = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = Shape::ALL.iter().filter(|(label, _)| wanted.as_ref().is_none_or(|wanted| wanted == label));
    if let Some(rounds) = env::var(COUNTED).ok().and_then(|rounds| rounds.parse().ok()) {
        chosen.for_each(|&(_, shape)| serve(shape, rounds));
        return ExitCode::SUCCESS;
    }
    println!("| questions about 1,000 names | instructions per answer |\n|---|---:|");
    for (label, _) in chosen {
        let counts = [1, ROUNDS].map(|rounds| counted(label, rounds));
        let [Some(one), Some(many)] = counts else {
            eprintln!("callgrind did not count; install it with: sudo apt-get install valgrind");
            return ExitCode::FAILURE;
        };
        println!("| {label} | {} |", (many - one) / ((ROUNDS - 1) * QUESTIONS as u64));
    }
    ExitCode::SUCCESS
}

/// Instructions of a run of this program with so many rounds.
fn counted(label: &str, rounds: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .arg(label)
        .env(COUNTED, rounds.to_string())
        .output()
        .ok()?;
    let said = String::from_utf8(output.stderr).ok()?;
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn serve(shape: Shape, rounds: u64) {
    let world = World::new(1_000);
    let snapshot = world.snapshot();
    let queries: Vec<Vec<u8>> = world.questions(shape, QUESTIONS, 7).iter().map(|question| question.wire(1)).collect();
    let via = Client { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 4096)), transport: Transport::Udp };
    let (mut desk, mut reply) = (Desk::new(1), Reply::new());
    let mut asks = vec![Ask::default(); BATCH];
    for _ in 0..rounds {
        for batch in queries.chunks(BATCH) {
            batch.iter().zip(&mut asks).for_each(|(query, ask)| ask.read(query));
            reach(&snapshot, &asks[..batch.len()]);
            for (query, ask) in batch.iter().zip(&asks) {
                answer(query, ask, &via, &snapshot, &mut desk, &mut reply);
                black_box(reply.bytes());
            }
        }
    }
}
