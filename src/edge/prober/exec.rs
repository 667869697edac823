//! A program that asks the origin in its own way.
//!
//! No shell reads its command, its environment holds nothing of ours, it may do nothing that only we may, and its output
//! is read to a bound. All its processes are killed (see [`orphans`](super::orphans)): when it has come to its end and left
//! others behind, when its time is over, and when whoever waits for it goes away.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use crate::probe::judge::BODY_MAX;
use crate::probe::{Request, TroubleKind};

use super::orphans::{self, Runs};

/// Programs that run at once; more wait for their turn.
pub(in crate::edge) const AT_ONCE: usize = 32;
/// How long the last of the output may take after the end: a process that is nobody's may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How much is read at a time.
const PIECE: usize = 8192;

/// Readies this process for programs; before it has a second thread, since each has privileges of its own. What lets it
/// bind port 53 is not handed on to them, and whom they leave behind becomes a child of ours.
pub(crate) fn prepare() {
    // A privilege that is ambient (systemd's way to grant one) is kept by whatever is executed. Ours stays with us.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::clear_ambient_capability_set();
    orphans::inherit();
}

/// Runs `command` against `address`: what it printed goes to `output`, [`BODY_MAX`] bytes at most. Its exit code, `None`
/// if it was killed by a signal.
///
/// # Errors
/// If it cannot be started or waited for, which is our own host's trouble.
pub(super) async fn run(
    runs: &Runs,
    command: &[String],
    request: &Request,
    address: IpAddr,
    output: &mut Vec<u8>,
) -> Result<Option<i32>, TroubleKind> {
    let (program, arguments) = command.split_first().ok_or_else(|| TroubleKind::Program("nothing".to_owned()))?;
    let (address, port) = (address.to_string(), request.port.to_string());
    let fill =
        |word: &String| word.replace("{address}", &address).replace("{host}", &request.host).replace("{port}", &port);
    let mut prepared = Command::new(program);
    prepared
        .args(arguments.iter().map(fill))
        .env_clear()
        .env("FAILOVERD_ADDRESS", &address)
        .env("FAILOVERD_HOST", &*request.host)
        .env("FAILOVERD_PORT", &port)
        .env("FAILOVERD_CHECK", &request.check.name)
        .env("FAILOVERD_TIMEOUT_MS", request.check.timeout.as_millis().to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let (mut child, run) = runs.start(&mut prepared).map_err(|error| unstarted(&error, program))?;
    let mut stdout = child.stdout.take();
    let ended = tokio::select! {
        biased;
        ended = child.wait() => ended,
        never = listen(stdout.as_mut(), output) => match never {},
    };
    // Whoever it left behind holds the pipe open.
    drop(run);
    if let Some(stdout) = &mut stdout {
        // Either way it is over.
        let _ = timeout(LAST_WORDS, read(stdout, output)).await;
    }
    match ended {
        Ok(status) => Ok(status.code()),
        Err(error) => Err(TroubleKind::Program(format!("{program}: {error}"))),
    }
}

/// Reads what is printed for as long as this is awaited.
async fn listen(stdout: Option<&mut ChildStdout>, output: &mut Vec<u8>) -> Infallible {
    if let Some(stdout) = stdout {
        read(stdout, output).await;
    }
    pending().await
}

/// Reads to the end of what was printed, and throws away what is too much: who prints must not be made to wait.
async fn read(stdout: &mut ChildStdout, output: &mut Vec<u8>) {
    let mut piece = [0; PIECE];
    while let Ok(length @ 1..) = stdout.read(&mut piece).await {
        let room = BODY_MAX.saturating_sub(output.len());
        output.extend_from_slice(&piece[..length.min(room)]);
    }
}

/// Whose fault it is that `program` does not run: never the origin's.
fn unstarted(error: &io::Error, program: &str) -> TroubleKind {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN | Errno::NOMEM) => TroubleKind::NoProcess,
        Some(Errno::MFILE | Errno::NFILE) => TroubleKind::Descriptors,
        _ => TroubleKind::Program(format!("{program}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_program_from_running_is_our_own() {
        for (errno, kind) in [
            (Errno::AGAIN, TroubleKind::NoProcess),
            (Errno::NOMEM, TroubleKind::NoProcess),
            (Errno::MFILE, TroubleKind::Descriptors),
        ] {
            assert_eq!(unstarted(&errno.into(), "/x"), kind);
        }
        let TroubleKind::Program(why) = unstarted(&Errno::NOENT.into(), "/x") else { panic!("a missing program") };
        assert!(why.starts_with("/x: "), "{why}");
    }
}
