//! Ours with one worker and with two: what a second one costs the first.
//!
//! Beside them two processes with one worker each, at the same places: they share nothing, so what two workers of one
//! process cost more than they is what they share.

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

/// One number of workers and processes.
struct Side {
    name: &'static str,
    workers: usize,
    first: Running,
    second: Option<Running>,
    /// As fast as they are answered, one per round.
    closed: Vec<Sample>,
    /// At 80 % of that.
    paced: Vec<Sample>,
}

/// Measures all in turns; a table and what it says.
///
/// # Errors
/// If ours does not start.
pub fn run(setting: &Setting, zone: &Path, asked: &mut Asked, rounds: usize, time: Duration) -> io::Result<String> {
    let Some((server, program)) = setting.of(Kind::Ours) else { return Ok("failoverd does not take part.\n".into()) };
    let one = setting.start(server, program, zone, 1)?;
    asked.learn(&one)?;
    let both = setting.start(server, program, zone, 2)?;
    both.pause();
    let apart = setting.start(server, program, zone, 1)?;
    apart.pause();
    let other = setting.start_on(server, program, zone, 1, &[setting.cores.second])?;
    other.pause();
    let side =
        |name, workers, first, second| Side { name, workers, first, second, closed: Vec::new(), paced: Vec::new() };
    let mut sides = [
        side("one worker", 1, one, None),
        side("two workers", 2, both, None),
        side("two processes of one worker", 2, apart, Some(other)),
    ];
    let yields = setting.cores.second == setting.cores.client;
    for _ in 0..rounds {
        for side in &mut sides {
            side.running().for_each(Running::resume);
            let other = side.second.as_ref().map(|running| running.server);
            let plan = Plan { sockets: SOCKETS, window: WINDOW * side.workers, other, yields, ..Plan::closed(time) };
            let closed = side.measure(setting, asked, &plan)?;
            let rate = closed.outcome.per_second() * SHARE;
            let plan = Plan { sockets: SOCKETS, other, yields, ..Plan::paced(rate, time) };
            let paced = side.measure(setting, asked, &plan)?;
            side.running().for_each(Running::pause);
            side.closed.push(closed);
            side.paced.push(paced);
        }
    }
    Ok(told(&sides, yields))
}

impl Side {
    fn running(&self) -> impl Iterator<Item = &Running> {
        [&self.first].into_iter().chain(&self.second)
    }

    fn measure(&self, setting: &Setting, asked: &mut Asked, plan: &Plan) -> io::Result<Sample> {
        let mut cores = setting.cores.of(self.workers);
        cores.push(setting.cores.client);
        cores.dedup();
        let Asked { queries, expected } = asked;
        let server = self.first.server;
        let warm_up = Plan { time: WARM_UP, ..plan.clone() };
        udp::run(server, queries, &warm_up, &mut |_, _| Judged::Right)?;
        let running: Vec<&Running> = self.running().collect();
        measure(&running, &cores, || {
            udp::run(server, queries, plan, &mut |question, reply| expected.judge(question, reply))
        })
    }
}

fn told(sides: &[Side; 3], is_shared: bool) -> String {
    let cost = |samples: &[Sample]| median(samples.iter().map(Sample::cost));
    let lost = |samples: &[Sample]| samples.iter().map(|sample| sample.outcome.lost).sum::<u64>().to_string();
    let rate = |samples: &[Sample]| thousands(median(samples.iter().map(|sample| sample.outcome.per_second())));
    let line = |side: &Side| {
        vec![
            side.name.to_owned(),
            rate(&side.closed),
            format!("{:.2}", cost(&side.closed)),
            rate(&side.paced),
            format!("{:.2}", cost(&side.paced)),
            lost(&side.paced),
            side.paced.iter().map(|sample| sample.outcome.wrong).sum::<u64>().to_string(),
        ]
    };
    let header =
        ["failoverd", "most answers/s", "CPU µs/answer", "at 80 %: answers/s", "CPU µs/answer", "lost", "wrong"];
    let mut text = table(&header, &sides.iter().map(line).collect::<Vec<_>>());
    let [one, both, apart] = sides;
    let over = |of: fn(&Side) -> &Vec<Sample>, other: &Side| {
        median(of(both).iter().zip(of(other)).map(|(both, other)| both.cost() / other.cost().max(1e-3)))
    };
    for (other, name) in [(one, "one worker"), (apart, "two processes")] {
        text += &format!(
            "\nCPU per answer of two workers / {name}: {:.2} in the closed loop, {:.2} at 80 %.\n",
            over(|side| &side.closed, other),
            over(|side| &side.paced, other)
        );
    }
    if is_shared {
        text += "\nThis machine has no third core: the second worker, and the second process, share theirs with the \
                 load, so they are to be compared with each other.\n";
    }
    text
}
