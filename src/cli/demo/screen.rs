//! The terminal in raw mode, given back in any case: at the end, at an error, at a panic.

use std::io::{self, Write};
use std::panic;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Other screen, cursor hidden.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// Colours off, cursor shown, former screen.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";

/// Holds the terminal; dropping gives it back as it was.
pub(crate) struct Screen {
    before: Termios,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If standard input is no terminal.
    pub(crate) fn take() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        // The message of a panic would be lost on the other screen.
        let (former, kept) = (panic::take_hook(), before.clone());
        panic::set_hook(Box::new(move |info| {
            give_back(&kept);
            former(info);
        }));
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        let screen = Self { before };
        io::stdout().write_all(ENTER)?;
        Ok(screen)
    }

    /// Shows `lines`, each cut at the terminal's width by itself; colours are left as they are.
    pub(crate) fn show(&self, lines: &[String]) -> io::Result<()> {
        // Home, then each line and the rest of its row blank, then all rows below: nothing flickers.
        let mut picture = String::from("\x1b[?7l\x1b[H");
        for line in lines {
            picture.push_str(line);
            picture.push_str("\x1b[0m\x1b[K\r\n");
        }
        picture.push_str("\x1b[J\x1b[?7h");
        let mut out = io::stdout().lock();
        out.write_all(picture.as_bytes())?;
        out.flush()
    }

    /// The next key, if one comes within `patience`.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(crate) fn key(&self, patience: Duration) -> io::Result<Option<u8>> {
        let input = io::stdin();
        let mut wanted = [PollFd::new(&input, PollFlags::IN)];
        let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        match poll(&mut wanted, Some(&patience)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut byte = [0];
        match rustix::io::read(input, &mut byte)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(Some(byte[0])),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.before);
    }
}

fn give_back(before: &Termios) {
    // There is nobody left to tell.
    drop(io::stdout().write_all(LEAVE));
    drop(io::stdout().flush());
    let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
}
