//! Keeper of a taken terminal: a process that gives it back where this one is killed or crashes.
//!
//! The keeper is this program again, called with [`KEEPER`]. It reads one line, the keyboard's mode before, and then waits for the
//! end of its standard input: a last word says that the terminal was given back, silence that it has to do so itself. The keys of
//! the terminal and its own background do not stop it, since a shell starts it with those signals ignored.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use serde::{Deserialize, Serialize};

use crate::console::streams;
use crate::console::terminal::LEAVE;
use crate::host;

/// First argument of a keeper.
pub const KEEPER: &str = "keeper-of-a-terminal";
/// What the keeper hears last, where there is nothing to do.
const GIVEN_BACK: &[u8] = b"given back";
/// Becomes its arguments with the signals of a terminal ignored, which only a process between can do without `unsafe`.
const IGNORING: &str = "trap '' HUP INT QUIT TERM TSTP TTIN TTOU; exec \"$@\"";
/// What a view changes of the keyboard's mode.
const MODES: LocalModes = LocalModes::ICANON.union(LocalModes::ECHO);
const CODES: [SpecialCodeIndex; 4] = [
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VQUIT,
];

/// As much of the keyboard's mode as a view changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mode {
    modes: u32,
    codes: [u8; CODES.len()],
}

impl Mode {
    fn of(keyboard: &Termios) -> Self {
        Self {
            modes: (keyboard.local_modes & MODES).bits(),
            codes: CODES.map(|code| keyboard.special_codes[code]),
        }
    }

    fn restore(self, keyboard: &mut Termios) {
        keyboard.local_modes =
            (keyboard.local_modes - MODES) | LocalModes::from_bits_retain(self.modes);
        for (code, value) in CODES.into_iter().zip(self.codes) {
            keyboard.special_codes[code] = value;
        }
    }
}

/// The keeper, as the one sees it who has taken the terminal.
#[derive(Debug)]
pub struct Keeper {
    process: Child,
}

impl Keeper {
    /// Starts one, which knows this mode of the keyboard.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(keyboard: Option<&Termios>) -> io::Result<Self> {
        let this = host::this_program()?;
        let mut process = Command::new("sh")
            .args(["-c", IGNORING, "sh"])
            .arg(this.get_program())
            .args(this.get_args())
            .arg(KEEPER)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(io::stdin().as_fd().try_clone_to_owned()?))
            .stderr(streams::notices_of_a_child()?)
            .spawn()?;
        let mut line = serde_json::to_vec(&keyboard.map(Mode::of))?;
        line.push(b'\n');
        let told = process.stdin.as_mut().map_or(Ok(()), |to| to.write_all(&line));
        let keeper = Self { process };
        told.map(|()| keeper)
    }

    /// Says that the terminal was given back, and waits until the keeper has gone.
    pub fn dismiss(mut self) {
        // One that has gone has nothing to do.
        let _gone = self.process.stdin.take().map(|mut to| to.write_all(GIVEN_BACK));
        let _gone = self.process.wait();
    }
}

/// Runs this process as a keeper.
///
/// # Errors
/// When what it hears is no mode, or the terminal cannot be given back.
pub fn keep() -> io::Result<()> {
    let mut heard = Vec::new();
    io::stdin().lock().read_to_end(&mut heard)?;
    if heard.ends_with(GIVEN_BACK) {
        return Ok(());
    }
    let shown = io::stderr().write_all(LEAVE);
    // Whoever took it may have died before it had said anything.
    let line = heard.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mode: Option<Mode> = serde_json::from_slice(line).unwrap_or(None);
    if let Some(mode) = mode {
        let keyboard = io::stdout();
        let mut now = tcgetattr(&keyboard)?;
        mode.restore(&mut now);
        tcsetattr(&keyboard, OptionalActions::Now, &now)?;
    }
    shown
}
