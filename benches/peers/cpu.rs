//! What the kernel charges to processes, how much memory they hold, and which cores they run on.

use std::fs;
use std::process;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Clock ticks per second in `/proc/PID/stat` (USER_HZ).
const TICKS: f64 = 100.0;
/// Where the kernel tells and takes the priority of our session, if it groups processes by it.
const AUTOGROUP: &str = "/proc/self/autogroup";
/// Ahead of what else runs; only root may ask for it.
const NICE: i32 = -20;

/// CPU time used so far, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Times {
    pub total: f64,
    /// In user space; sampled at the tick, so only good over many of them.
    pub user: f64,
}

/// Memory in MiB.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Memory {
    /// Resident; pages that processes share are counted for each of them.
    pub rss: f64,
    /// The same with shared pages divided among those that share them.
    pub pss: f64,
}

/// A process and its descendants that are alive.
pub fn tree(pid: u32) -> Vec<u32> {
    let (mut found, mut left) = (Vec::new(), vec![pid]);
    while let Some(pid) = left.pop() {
        found.push(pid);
        for task in tasks(pid) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
            left.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

fn tasks(pid: u32) -> Vec<u32> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Of a process and its descendants, with their threads that have ended.
pub fn times(pid: u32) -> Times {
    let mut sum = Times::default();
    for pid in tree(pid) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name of the program stands in parentheses and may hold anything.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11);
        let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / TICKS;
        let (user, system) = (ticks(), ticks());
        // Exact to the nanosecond, but only of threads that live.
        let living: f64 = tasks(pid).into_iter().map(|task| on_core(pid, task)).sum();
        sum.total += living.max(user + system);
        sum.user += user;
    }
    sum
}

fn on_core(pid: u32, task: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Of a process and its descendants.
pub fn memory(pid: u32) -> Memory {
    let mut sum = Memory::default();
    for pid in tree(pid) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let shares = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.rss += kib(&status, "VmRSS:") / 1024.0;
        sum.pss += kib(&shares, "Pss:") / 1024.0;
    }
    sum
}

fn kib(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// Seconds that anybody has kept these cores busy.
pub fn busy(cores: &[usize]) -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let of = |core: &usize| {
        let line = stat.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} "))).unwrap_or_default();
        let fields: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        // user, nice, system; idle and iowait are none; irq, softirq, steal.
        fields
            .iter()
            .enumerate()
            .filter(|(at, _)| matches!(at, 0..3 | 5..8))
            .map(|(_, ticks)| ticks / TICKS)
            .sum::<f64>()
    };
    cores.iter().map(of).sum()
}

/// Who runs where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cores {
    /// Every server, whenever it has one worker.
    pub server: usize,
    /// The load.
    pub client: usize,
    /// The second worker; the client's, where there is no third.
    pub second: usize,
}

impl Cores {
    /// Of those that we may use: the client on another physical core than the server, if there is one.
    pub fn choose() -> Self {
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let mut free: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        if free.is_empty() {
            free.push(0);
        }
        let server = free.remove(0);
        // Hyperthreads of one core slow each other down: they come last.
        let siblings = siblings(server);
        free.sort_by_key(|core| siblings.contains(core));
        let client = free.first().copied().unwrap_or(server);
        Self { server, client, second: free.get(1).copied().unwrap_or(client) }
    }

    /// A server with so many workers.
    pub fn of(&self, workers: usize) -> Vec<usize> {
        if workers > 1 { vec![self.server, self.second] } else { vec![self.server] }
    }
}

/// `0-1` or `0,32`: the hyperthreads of the core that this one is.
fn siblings(core: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let text = fs::read_to_string(path).unwrap_or_default();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// The calling thread, and the processes it starts from now on, run on these cores only.
pub fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    // Where it is refused, all run everywhere: the figures are noisier, not wrong.
    let _ = sched_setaffinity(None, &set);
}

/// Our session goes ahead of what else runs, until this is dropped.
#[derive(Clone)]
pub struct Priority {
    /// What the session had: where the kernel groups by session, the priority of a process counts inside its own only.
    session: Option<i32>,
}

impl Priority {
    /// Takes it for us and what we start; `None` if only root may.
    pub fn take() -> Option<Self> {
        setpriority_process(None, NICE).ok()?;
        let told = fs::read_to_string(AUTOGROUP).unwrap_or_default();
        let session = told.trim().rsplit_once(' ').and_then(|(_, nice)| nice.parse().ok());
        let is_taken = fs::write(AUTOGROUP, NICE.to_string()).is_ok();
        Some(Self { session: session.filter(|_| is_taken) })
    }

    /// Gives back what outlives us.
    pub fn give_back(&self) {
        if let Some(nice) = self.session {
            let _ = fs::write(AUTOGROUP, nice.to_string());
        }
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Of this process itself.
pub fn own_time() -> f64 {
    let me = process::id();
    tasks(me).into_iter().map(|task| on_core(me, task)).sum()
}
