//! Standard output: colours where there is a terminal, and a quiet end when the reader is gone.

use std::io;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::look::Look;

/// Prints `text` as it is. When the reader is gone (`failoverd events | head`), there is nobody left to tell: ends.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    written(anstream::stdout().lock(), text)
}

fn written(mut out: impl io::Write, text: &str) -> Result<(), Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(Exit::Ok as i32),
        Err(error) => Err(Failure::new(Exit::Trouble, format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Draws a picture in the place of the one before; on a pipe, below it.
pub(super) fn frame(picture: &str, look: Look) -> Result<(), Failure> {
    if !look.glyphs {
        return print(&format!("{picture}\n"));
    }
    let room = look.height.map_or(usize::MAX, |height| height.saturating_sub(1));
    let colours = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let mut drawn = String::from("\x1b[H");
    for text in picture.lines().take(room) {
        if colours {
            drawn.push_str(text);
        } else {
            drawn.push_str(&strip_str(text).to_string());
        }
        drawn.push_str("\x1b[K\n");
    }
    drawn.push_str("\x1b[J");
    written(io::stdout().lock(), &drawn)
}

/// Prints a view as JSON, indented for people.
pub(super) fn json(view: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(view)
        .map_err(|error| Failure::new(Exit::Trouble, format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// Prints a view as one line of JSON.
pub(super) fn json_line(view: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(view)
        .map_err(|error| Failure::new(Exit::Trouble, format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}
