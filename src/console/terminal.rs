//! The whole terminal, taken by a view and given back: modes, frames, keys, and lines that wait meanwhile.
//!
//! Signals stay the terminal's: Ctrl-C is SIGINT, as everywhere else, and only keys are read here. Whatever prints while a view
//! has the terminal waits and is printed when it is given back, which happens at the view's end, at a panic, and before a
//! second Ctrl-C ends the program. Where this process is killed or crashes, its keeper gives it back (see [`Keeper`]).

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::process::getpgrp;
use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp,
    tcgetwinsize, tcsetattr,
};

use crate::console::keeper::Keeper;
use crate::console::streams;

/// What a view has taken, while it has it.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

struct Taken {
    screen: File,
    /// The keyboard's mode before, where it was changed.
    keyboard: Option<Termios>,
    /// Without one, only a kill leaves the terminal as it is.
    keeper: Option<Keeper>,
    waiting: Vec<(Stream, Vec<u8>)>,
}

/// Where a text that waits belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Results,
    Notices,
}

/// The alternate screen, without cursor and wrapped lines.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
pub(super) const LEAVE: &[u8] = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/// The size of a terminal that does not say its own.
const UNKNOWN: (u16, u16) = (80, 24);
/// Turns a special character of a terminal off.
const NO_CHARACTER: u8 = 0;

fn taken() -> MutexGuard<'static, Option<Taken>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the terminal that notices go to, until [`release`]; does nothing where it is taken.
///
/// # Errors
/// When the system cannot duplicate the stream, or the terminal cannot be written.
pub fn take() -> io::Result<()> {
    let mut taken = taken();
    if taken.is_some() {
        return Ok(());
    }
    let mut screen = streams::notices_file()?;
    give_back_at_a_panic();
    let keyboard = listen_to_keys();
    let keeper = Keeper::start(keyboard.as_ref()).ok();
    screen.write_all(ENTER)?;
    *taken = Some(Taken { screen, keyboard, keeper, waiting: Vec::new() });
    Ok(())
}

/// Gives the terminal back as it was, and prints what has waited.
pub fn release() {
    let Some(Taken { mut screen, keyboard, keeper, waiting }) = taken().take() else { return };
    // A terminal that is gone needs nothing.
    let _gone = screen.write_all(LEAVE);
    if let Some(mode) = keyboard {
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &mode);
    }
    if let Some(keeper) = keeper {
        keeper.dismiss();
    }
    for (stream, text) in waiting {
        let mut to: Box<dyn Write> = match stream {
            Stream::Results => streams::results(),
            Stream::Notices => streams::notices(),
        };
        // Nobody reads.
        let _closed = to.write_all(&text);
    }
}

fn give_back_at_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            release();
            report(panic);
        }));
    });
}

/// Keys come one by one and are not shown; the mode before. A keyboard of somebody else, as of a job in the background, is left
/// alone.
fn listen_to_keys() -> Option<Termios> {
    let is_ours = isatty(stdin()) && tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp());
    if !is_ours {
        return None;
    }
    let before = tcgetattr(stdin()).ok()?;
    let mut mode = before.clone();
    mode.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    // A read returns at once.
    mode.special_codes[SpecialCodeIndex::VMIN] = 0;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    // Suspended or dumped, the program would leave the terminal taken.
    mode.special_codes[SpecialCodeIndex::VSUSP] = NO_CHARACTER;
    mode.special_codes[SpecialCodeIndex::VQUIT] = NO_CHARACTER;
    tcsetattr(stdin(), OptionalActions::Now, &mode).ok()?;
    Some(before)
}

/// Shows a frame; nothing where the terminal has been given back.
///
/// # Errors
/// Those of the terminal.
pub fn show(frame: &[u8]) -> io::Result<()> {
    match taken().as_mut() {
        Some(taken) => taken.screen.write_all(frame),
        None => Ok(()),
    }
}

/// Columns and rows of the terminal that is taken.
///
/// # Errors
/// When it is none any more.
pub fn size() -> io::Result<(u16, u16)> {
    let taken = taken();
    let Some(Taken { screen, .. }) = taken.as_ref() else {
        return Err(io::Error::from(io::ErrorKind::NotConnected));
    };
    let size = tcgetwinsize(screen)?;
    Ok(if size.ws_col == 0 || size.ws_row == 0 { UNKNOWN } else { (size.ws_col, size.ws_row) })
}

/// The keys since the last look.
pub fn keys() -> Vec<u8> {
    if taken().as_ref().is_none_or(|taken| taken.keyboard.is_none()) {
        return Vec::new();
    }
    let mut typed = [0; 64];
    let count = rustix::io::read(stdin(), &mut typed).unwrap_or(0);
    typed[..count].to_vec()
}

/// The last lines of the notices that wait.
pub fn last_notices(most: usize) -> Vec<String> {
    let taken = taken();
    let waiting = taken.iter().flat_map(|taken| &taken.waiting);
    let notices = waiting.filter(|(stream, _)| *stream == Stream::Notices);
    let lines: Vec<String> = notices
        .flat_map(|(_, text)| {
            String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    lines[lines.len().saturating_sub(most)..].to_vec()
}

/// Keeps a text until the terminal is given back; whether it was kept.
pub(super) fn keep(stream: Stream, text: &[u8]) -> bool {
    match taken().as_mut() {
        Some(taken) => {
            taken.waiting.push((stream, text.to_vec()));
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const CHILD: &str = "console::terminal::tests::takes_the_terminal_and_panics";

    #[test]
    #[ignore = "a part of the next test, which runs it on a terminal of its own"]
    fn takes_the_terminal_and_panics() {
        take().expect("a terminal");
        panic!("as planned");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        let this = std::env::current_exe().expect("a path");
        let line = format!("{} --exact {CHILD} --ignored --nocapture", this.display());
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .expect("`script` of util-linux is there");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        let (entered, left) = ("\x1b[?1049h", "\x1b[?1049l");
        let (_, after) = seen.split_once(entered).unwrap_or_else(|| panic!("never taken: {seen}"));
        let (_, after) =
            after.split_once(left).unwrap_or_else(|| panic!("never given back: {seen}"));
        assert!(after.contains("as planned"), "{seen}");
    }
}
