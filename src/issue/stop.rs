//! Stop request of the user, read by the issuer, and what is done at each signal.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::console::terminal;
use crate::threads::Own;

/// Set by Ctrl-C, SIGTERM or SIGHUP; read by the issuer between two requests. Beside it, whether the phase that runs has shown
/// enough: it then ends early, and the run goes on.
#[derive(Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
    failure: Arc<Mutex<Option<String>>>,
    has_failed: Arc<AtomicBool>,
    company: Option<Arc<Company>>,
    duties: Arc<Mutex<Duties>>,
}

/// Other processes that play the same plan.
struct Company {
    /// Told once, when all requests that count have ended here.
    tell: Box<dyn Fn() + Send + Sync>,
    is_told: AtomicBool,
    have_ended: AtomicBool,
}

/// What is to be done at signals, by a thread that waits for nothing else.
#[derive(Default)]
struct Duties {
    first: Vec<Duty>,
    second: Vec<Duty>,
}

type Duty = Box<dyn FnOnce() + Send>;

impl Stop {
    /// The exit code of an interrupted program.
    pub const EXIT_CODE: i32 = 130;

    /// Never set, unless by [`Self::ask`].
    pub fn never() -> Self {
        Self::default()
    }

    /// Set by the first Ctrl-C, SIGTERM or SIGHUP. The second one ends the program with code 130 as soon as its duties are done,
    /// and a third one at once; what is on disk by then is intact, since rows are flushed whole.
    ///
    /// # Errors
    /// When the kernel refuses the handler.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let (signals, wake) = UnixStream::pair()?;
        let is_ending = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, Self::EXIT_CODE, Arc::clone(&is_ending))?;
            flag::register(signal, Arc::clone(&stop.asked))?;
            // One byte for each signal.
            low_level::pipe::register(signal, wake.try_clone()?)?;
        }
        if !is_ignored(SIGHUP)? {
            stop.hear_hangup(wake)?;
        }
        let duties = Arc::clone(&stop.duties);
        let keep = move || attend(signals, &duties, &is_ending);
        Own::Signals.builder().spawn(keep)?;
        Ok(stop)
    }

    /// A terminal that closes is heard once: the kernel and the shell both tell of it, and it is one wish.
    fn hear_hangup(&self, mut wake: UnixStream) -> io::Result<()> {
        let (mut hangups, heard) = UnixStream::pair()?;
        flag::register(SIGHUP, Arc::clone(&self.asked))?;
        low_level::pipe::register(SIGHUP, heard)?;
        let keep = move || {
            let mut byte = [0];
            if hangups.read_exact(&mut byte).is_ok() {
                // Whoever attends is gone only when the program ends.
                let _is_ending = wake.write_all(&byte);
            }
            while hangups.read_exact(&mut byte).is_ok() {}
        };
        Own::Hangup.builder().spawn(keep)?;
        Ok(())
    }

    /// Does this at the first signal, beside what goes on.
    pub fn at_first_signal(&self, duty: impl FnOnce() + Send + 'static) {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner).first.push(Box::new(duty));
    }

    /// Does this at the second signal, before the program ends.
    pub fn at_second_signal(&self, duty: impl FnOnce() + Send + 'static) {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner).second.push(Box::new(duty));
    }

    /// Whether the end was asked for, or what is measured has failed.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.has_failed.load(Ordering::Relaxed)
    }

    /// Ends what runs, since what is measured has failed as a whole, as these words say.
    pub fn fail(&self, words: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(words);
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Why what is measured has failed as a whole, where it has.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is measured next has not failed.
    pub fn forget_failure(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.has_failed.store(false, Ordering::Relaxed);
    }

    /// Asks for the end, as Ctrl-C does.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether the phase that runs has shown enough.
    pub fn is_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    /// In company: `tell` is called when all requests that count have ended here, and the tail goes on until those of the others
    /// have ended too.
    #[must_use]
    pub fn in_company(self, tell: impl Fn() + Send + Sync + 'static) -> Self {
        let company = Company {
            tell: Box::new(tell),
            is_told: AtomicBool::new(false),
            have_ended: AtomicBool::new(false),
        };
        Self { company: Some(Arc::new(company)), ..self }
    }

    /// Whether the requests that count of every other process have ended. Asked when those of this one have.
    pub fn have_others_ended(&self) -> bool {
        let Some(company) = &self.company else { return true };
        if !company.is_told.swap(true, Ordering::Relaxed) {
            (company.tell)();
        }
        company.have_ended.load(Ordering::Relaxed)
    }

    /// Says so, or takes it back before the next phase.
    pub fn set_others_ended(&self, ended: bool) {
        if let Some(company) = &self.company {
            company.have_ended.store(ended, Ordering::Relaxed);
            if !ended {
                company.is_told.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Says so, or takes it back before the next phase.
    pub fn set_enough(&self, enough: bool) {
        self.enough.store(enough, Ordering::Relaxed);
    }
}

/// Whether whoever started us wants this signal ignored, as `nohup` does.
fn is_ignored(signal: i32) -> io::Result<bool> {
    let status = fs::read_to_string("/proc/self/status")?;
    let masks = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = masks.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    Ok(mask & (1 << (signal - 1)) != 0)
}

/// Waits for the first signal and for the second, and ends the program after that.
fn attend(mut signals: UnixStream, duties: &Mutex<Duties>, is_ending: &AtomicBool) {
    let take = |of: fn(&mut Duties) -> &mut Vec<Duty>| {
        std::mem::take(of(&mut duties.lock().unwrap_or_else(PoisonError::into_inner)))
    };
    let mut byte = [0];
    if signals.read_exact(&mut byte).is_err() {
        return;
    }
    for duty in take(|duties| &mut duties.first) {
        duty();
    }
    if signals.read_exact(&mut byte).is_err() {
        return;
    }
    terminal::release();
    is_ending.store(true, Ordering::SeqCst);
    for duty in take(|duties| &mut duties.second) {
        duty();
    }
    low_level::exit(Stop::EXIT_CODE);
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("asked", &self.asked).finish_non_exhaustive()
    }
}
