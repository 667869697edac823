//! A thread on a core of its own, and threads that give way to it.

/// How far a thread gives way: where an answering thread wants all of a core, it gets a quarter of it, and what that one
/// leaves.
const NICE: i32 = 5;

/// The calling thread has the time: where the machine is busy, those that answer and decide come first. What decides
/// does not give way itself: one that does is not woken before the other pauses, and a turn would wait for that.
pub(super) fn give_way() {
    // On Linux "process 0" is the calling thread, elsewhere all of them. Without the permission it works all the same.
    if cfg!(target_os = "linux") {
        let own = rustix::process::getpriority_process(None).unwrap_or(0);
        let _ = rustix::process::setpriority_process(None, own.saturating_add(NICE).min(19));
    }
}

/// Keeps the calling thread on one of the cores that the process may use: worker `number` of `workers` has its own, so
/// that the memory it works with stays where it is. A single worker, and workers that outnumber the cores, are left to
/// the scheduler, which can do better there.
#[cfg(target_os = "linux")]
pub(super) fn pin(number: usize, workers: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    if workers < 2 || workers > cores.clone().count() {
        return;
    }
    if let Some(core) = cores.nth(number) {
        let mut own = CpuSet::new();
        own.set(core);
        // A system that does not let us is as good as one core.
        let _ = sched_setaffinity(None, &own);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_number: usize, _workers: usize) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use rustix::thread::sched_getaffinity;

    use super::*;

    /// Cores that a fresh thread may use after asking for its own.
    fn cores_of(number: usize, workers: usize) -> u32 {
        let pinned = move || {
            pin(number, workers);
            sched_getaffinity(None).unwrap().count()
        };
        thread::spawn(pinned).join().unwrap()
    }

    #[test]
    fn a_thread_gives_way_alone() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let given = thread::spawn(move || {
            give_way();
            nice()
        });
        assert_eq!((given.join().unwrap(), nice()), ((before + NICE).min(19), before));
    }

    #[test]
    fn each_of_several_workers_has_a_core_of_its_own_if_there_are_enough() {
        let all = sched_getaffinity(None).unwrap().count();
        assert_eq!(cores_of(0, 1), all);
        assert_eq!(cores_of(0, all as usize + 1), all);
        if all > 1 {
            assert_eq!((cores_of(0, 2), cores_of(1, 2)), (1, 1));
        }
    }
}
