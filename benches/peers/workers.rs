//! Ours with one worker and with two: what a second one costs the first.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::contest::{Asked, Sample, Setting, WARM_UP, measure};
use crate::load::Judged;
use crate::load::udp::{self, Plan};
use crate::report::{median, table, thousands};
use crate::running::Running;
use crate::servers::Kind;

/// Ports of clients: many, so that each worker gets about half of them.
const SOCKETS: usize = 32;
/// In flight per worker in the closed loop.
const WINDOW: usize = 192;
/// Of what the closed loop reached.
const SHARE: f64 = 0.8;

/// One number of workers.
struct Side {
    workers: usize,
    running: Running,
    /// As fast as they are answered, one per round.
    closed: Vec<Sample>,
    /// At 80 % of that.
    paced: Vec<Sample>,
}

/// Measures both in turns; a table and what it says.
///
/// # Errors
/// If ours does not start.
pub fn run(setting: &Setting, zone: &Path, asked: &mut Asked, rounds: usize, time: Duration) -> io::Result<String> {
    let Some((server, program)) = setting.of(Kind::Ours) else { return Ok("failoverd does not take part.\n".into()) };
    let mut sides = Vec::new();
    for workers in [1, 2] {
        let running = setting.start(server, program, zone, workers)?;
        running.pause();
        sides.push(Side { workers, running, closed: Vec::new(), paced: Vec::new() });
    }
    if let [one, ..] = &sides[..] {
        asked.learn(&one.running)?;
    }
    let is_shared = setting.cores.second == setting.cores.client;
    for _ in 0..rounds {
        for side in &mut sides {
            side.running.resume();
            let plan =
                Plan { sockets: SOCKETS, window: WINDOW * side.workers, yields: is_shared, ..Plan::closed(time) };
            let closed = one(setting, side, asked, plan)?;
            let rate = closed.outcome.per_second() * SHARE;
            let plan = Plan { sockets: SOCKETS, yields: is_shared, ..Plan::paced(rate, time) };
            let paced = one(setting, side, asked, plan)?;
            side.running.pause();
            side.closed.push(closed);
            side.paced.push(paced);
        }
    }
    Ok(told(&sides, is_shared))
}

fn one(setting: &Setting, side: &Side, asked: &mut Asked, plan: Plan) -> io::Result<Sample> {
    let cores = [setting.cores.of(side.workers), vec![setting.cores.client]].concat();
    let Asked { queries, expected } = asked;
    let server = side.running.server;
    let warm_up = Plan { time: WARM_UP, ..plan.clone() };
    udp::run(server, queries, &warm_up, &mut |_, _| Judged::Right)?;
    measure(&side.running, &cores, || {
        udp::run(server, queries, &plan, &mut |question, reply| expected.judge(question, reply))
    })
}

fn told(sides: &[Side], is_shared: bool) -> String {
    let cost = |samples: &[Sample]| median(samples.iter().map(Sample::cost));
    let lost = |samples: &[Sample]| samples.iter().map(|sample| sample.outcome.lost).sum::<u64>().to_string();
    let rate = |samples: &[Sample]| thousands(median(samples.iter().map(|sample| sample.outcome.per_second())));
    let line = |side: &Side| {
        vec![
            side.workers.to_string(),
            rate(&side.closed),
            format!("{:.2}", cost(&side.closed)),
            rate(&side.paced),
            format!("{:.2}", cost(&side.paced)),
            lost(&side.paced),
            side.paced.iter().map(|sample| sample.outcome.wrong).sum::<u64>().to_string(),
        ]
    };
    let header = ["workers", "most answers/s", "CPU µs/answer", "at 80 %: answers/s", "CPU µs/answer", "lost", "wrong"];
    let mut text = table(&header, &sides.iter().map(line).collect::<Vec<_>>());
    if let [one, two] = sides {
        let ratio = |of: fn(&Side) -> &Vec<Sample>| {
            median(of(two).iter().zip(of(one)).map(|(two, one)| two.cost() / one.cost().max(1e-3)))
        };
        text += &format!(
            "\nCPU per answer with two workers / with one: {:.2} at most, {:.2} at 80 %.\n",
            ratio(|side| &side.closed),
            ratio(|side| &side.paced)
        );
    }
    if is_shared {
        text += "The second worker shares its core with the load: this machine has no third.\n";
    }
    text
}
