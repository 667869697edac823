//! What programs leave behind.
//!
//! A program runs in a process group of its own, which is killed whole. Who gets out of the group (`setsid`) does not get
//! away: each run has a mark, which its processes hand down in their environment, and a process whose parent is gone
//! becomes a child of ours ([`inherit`]). Whenever a run or a child of ours ends, children with the mark of a run that is
//! over are killed, with all below them, and the dead are taken in, so that none stays a zombie.
//!
//! Who got out of the group, lost its parent *and* cleared its environment is nobody's that we know. It lives on, and is
//! taken in when it ends.

use std::collections::BTreeSet;
use std::fs;
use std::future::pending;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::random;

/// The variable that holds a run's mark.
const MARK: &str = "FAILOVERD_RUN";
/// Processes that are looked for below one, at most; who has more gets the others killed when these have ended.
const BELOW: usize = 4096;

/// The runs of programs under way.
pub(super) struct Runs {
    /// What all marks begin with: nobody else's do.
    ours: String,
    /// Are processes without a parent handed to us? Else the system takes them in.
    inherits: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Runs so far.
    count: u64,
    under_way: BTreeSet<u64>,
    /// First processes of runs, which the runtime takes in when they end. Kept until they are no children of ours.
    first: Vec<Pid>,
}

/// One run. Dropping it kills all its processes.
pub(super) struct Run<'r> {
    runs: &'r Runs,
    number: u64,
    first: Option<Pid>,
}

impl Runs {
    pub(super) fn new() -> Self {
        let ours = format!("{:016x}-", u64::from_ne_bytes(random()));
        Self { ours, inherits: inherits(), state: Mutex::default() }
    }

    /// Starts `command`, which leads a process group.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<(Child, Run<'_>)> {
        // Held all the while: who has ended before it is known would be taken for a stranger.
        let mut state = self.state();
        state.count += 1;
        let number = state.count;
        let child = command.env(MARK, format!("{}{number}", self.ours)).process_group(0).spawn()?;
        let first = child.id().and_then(pid);
        state.under_way.insert(number);
        state.first.extend(first);
        Ok((child, Run { runs: self, number, first }))
    }

    /// Takes in whatever ends, for as long as this is awaited.
    pub(super) async fn reap(&self) {
        match signal(SignalKind::child()) {
            Ok(mut ended) if self.inherits => {
                while ended.recv().await.is_some() {
                    self.sweep();
                }
            }
            _ => pending().await,
        }
    }

    /// Kills who is left of runs that are over, and takes in the dead. Those who die of it tell so by a signal.
    fn sweep(&self) {
        if !self.inherits {
            return;
        }
        let mut state = self.state();
        let children: Vec<Pid> = children("self").collect();
        state.first.retain(|first| children.contains(first));
        for child in children.into_iter().filter(|child| !state.first.contains(child)) {
            let run = self.run_of(child);
            if run.is_some_and(|run| !state.under_way.contains(&run)) {
                below(child).into_iter().chain([child]).for_each(kill);
            }
            // One that lives on is passed over.
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }

    /// The run a process says it is of.
    fn run_of(&self, process: Pid) -> Option<u64> {
        let environment = fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).ok()?;
        let mark = environment.split(|&byte| byte == 0).find_map(|variable| variable.strip_prefix(MARK.as_bytes()))?;
        str::from_utf8(mark).ok()?.strip_prefix('=')?.strip_prefix(&self.ours)?.parse().ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.runs.state().under_way.remove(&self.number);
        if let Some(first) = self.first {
            // While it lives, all of them are below it, in whatever group. Who has ended already is not to be found.
            let below = below(first);
            let _ = kill_process_group(first, Signal::KILL);
            below.into_iter().for_each(kill);
        }
        self.runs.sweep();
    }
}

fn kill(process: Pid) {
    let _ = kill_process(process, Signal::KILL);
}

/// All processes below one, the nearest first.
fn below(process: Pid) -> Vec<Pid> {
    let mut found: Vec<Pid> = Vec::new();
    let mut looked = 0;
    let mut next = Some(process);
    while let Some(parent) = next.filter(|_| found.len() < BELOW) {
        found.extend(children(&parent.as_raw_nonzero().to_string()));
        next = found.get(looked).copied();
        looked += 1;
    }
    found
}

/// Children of a process, by the threads that have them; none where the system does not tell.
fn children(process: &str) -> impl Iterator<Item = Pid> + use<> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(|word| pid(word.parse().ok()?)).collect::<Vec<_>>())
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// From now on processes below this one whose parent ends are children of ours. Where the system does not know that, or
/// this is its first process, nothing is to be done.
pub(crate) fn inherit() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

fn inherits() -> bool {
    #[cfg(target_os = "linux")]
    let is_heir = rustix::process::child_subreaper().is_ok_and(|heir| heir.is_some());
    #[cfg(not(target_os = "linux"))]
    let is_heir = false;
    is_heir
}
