//! What does the engine say of itself while it runs? A thread of its own reads it, keeps it and writes it down.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the engine is asked. An engine keeps its last words in a ring, so between two questions fewer must come than
/// it holds.
pub const PERIOD: Duration = Duration::from_millis(20);

/// One kind of things that an engine says of itself.
pub trait Speaker: Send + 'static {
    /// One thing that was said.
    type Said: Send;
    /// What is kept of it for the summary, once it is written down.
    type Gist: Send + Copy;
    /// What is said, in the words of a fault.
    const WHAT: &'static str;
    /// The file that it is written to.
    const FILE: &'static str;
    /// Name of the thread that listens and writes.
    const THREAD: &'static str;

    /// Appends what was said since the last call, in its order.
    ///
    /// # Errors
    /// In the engine's words, when it says no more.
    fn listen(&mut self, into: &mut Vec<Self::Said>) -> Result<(), String>;

    /// Writes one thing down.
    ///
    /// # Errors
    /// When `out` refuses.
    fn write(out: &mut impl Write, point: u32, said: &Self::Said) -> io::Result<()>;

    /// What is kept of one thing.
    fn gist(said: Self::Said) -> Self::Gist;
}

/// Listens to an engine while points are measured, and writes down what it says.
#[derive(Debug)]
pub struct Scribe<S: Speaker> {
    orders: SyncSender<Order<S::Gist>>,
    thread: JoinHandle<()>,
}

enum Order<Gist> {
    /// Forget all but the last of what was said so far, and keep what is said from now on.
    Begin { point: u32, begun: SyncSender<()> },
    /// Hand over what was said since.
    End { kept: SyncSender<Kept<Gist>> },
}

/// What was said during one point.
#[derive(Debug)]
pub struct Kept<Gist> {
    /// In the order in which it was said.
    pub said: Vec<Gist>,
    /// The last thing that was said before the point, whenever that was. What is missing between it and the first of the
    /// point was said in the point and lost.
    pub before: Option<Gist>,
    /// Why there may be less than was said: the engine gave no more, or the file could not be written.
    pub fault: Option<String>,
}

impl<Gist> Default for Kept<Gist> {
    fn default() -> Self {
        Self { said: Vec::new(), before: None, fault: None }
    }
}

impl<S: Speaker> Scribe<S> {
    /// Starts the thread, which appends to `path`.
    ///
    /// # Errors
    /// When the file cannot be made or the system cannot start a thread.
    pub fn start(speaker: S, path: &Path) -> io::Result<Self> {
        // Several targets of one experiment may be played one after another into one file.
        let out = BufWriter::new(OpenOptions::new().create(true).append(true).open(path)?);
        let (orders, inbox) = sync_channel(1);
        let desk = Desk { speaker, out, heard: Vec::new(), last: None, open: None };
        let thread =
            std::thread::Builder::new().name(S::THREAD.into()).spawn(move || desk.serve(&inbox))?;
        Ok(Self { orders, thread })
    }

    /// Everything that is said from now on belongs to `point`; returns when what was said before is out of the way.
    pub fn begin(&self, point: u32) {
        let (begun, wait) = sync_channel(1);
        self.ask(Order::Begin { point, begun }, &wait);
    }

    /// Ends the point and hands over what was said.
    pub fn end(&self) -> Kept<S::Gist> {
        let (kept, wait) = sync_channel(1);
        self.ask(Order::End { kept }, &wait)
    }

    fn ask<Answer>(&self, order: Order<S::Gist>, answer: &Receiver<Answer>) -> Answer {
        self.orders.send(order).expect("the thread lives until `stop`");
        answer.recv().expect("the thread answers every order")
    }

    /// Ends the thread; the engine is asked no more.
    ///
    /// # Panics
    /// If the thread has panicked.
    pub fn stop(self) {
        drop(self.orders);
        self.thread.join().expect("the thread does not panic");
    }
}

struct Desk<S: Speaker> {
    speaker: S,
    out: BufWriter<File>,
    heard: Vec<S::Said>,
    /// The last thing that was ever said, kept or not.
    last: Option<S::Gist>,
    open: Option<(u32, Kept<S::Gist>)>,
}

impl<S: Speaker> Desk<S> {
    fn serve(mut self, inbox: &Receiver<Order<S::Gist>>) {
        loop {
            match inbox.recv_timeout(PERIOD) {
                Ok(Order::Begin { point, begun }) => {
                    self.open = None;
                    let fault = self.listen().err();
                    self.last = self.heard.drain(..).last().map(S::gist).or(self.last);
                    let kept = Kept { before: self.last, fault, ..Kept::default() };
                    self.open = Some((point, kept));
                    // Who asked and left is not waited for, here and below.
                    let _nobody_waits = begun.send(());
                }
                Ok(Order::End { kept }) => {
                    self.keep();
                    let all = self.open.take().map(|(_, all)| all).unwrap_or_default();
                    let _nobody_waits = kept.send(all);
                }
                Err(RecvTimeoutError::Timeout) => self.keep(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn listen(&mut self) -> Result<(), String> {
        self.speaker.listen(&mut self.heard).map_err(|error| format!("{} ended: {error}", S::WHAT))
    }

    /// One fault is enough to know: from then on the point is left as it is.
    fn keep(&mut self) {
        if self.open.as_ref().is_none_or(|(_, kept)| kept.fault.is_some()) {
            return;
        }
        let heard = self.listen();
        let Some((point, kept)) = self.open.as_mut() else { return };
        let written = write_all::<S>(&mut self.out, *point, &self.heard)
            .map_err(|error| format!("`{}` cannot be written: {error}", S::FILE));
        kept.said.extend(self.heard.drain(..).map(S::gist));
        self.last = kept.said.last().copied().or(self.last);
        kept.fault = heard.and(written).err();
    }
}

fn write_all<S: Speaker>(out: &mut impl Write, point: u32, heard: &[S::Said]) -> io::Result<()> {
    for said in heard {
        S::write(out, point, said)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// An engine that numbers what it says; a test says it.
    #[derive(Clone, Default)]
    struct Numbers(Arc<Mutex<Vec<u64>>>);

    impl Numbers {
        fn say(&self, numbers: impl IntoIterator<Item = u64>) {
            self.0.lock().unwrap().extend(numbers);
        }
    }

    impl Speaker for Numbers {
        type Said = u64;
        type Gist = u64;
        const WHAT: &'static str = "numbers";
        const FILE: &'static str = "numbers.txt";
        const THREAD: &'static str = "bf-numbers";

        fn listen(&mut self, into: &mut Vec<u64>) -> Result<(), String> {
            into.append(&mut self.0.lock().unwrap());
            Ok(())
        }

        fn write(out: &mut impl Write, point: u32, said: &u64) -> io::Result<()> {
            writeln!(out, "{point} {said}")
        }

        fn gist(said: u64) -> u64 {
            said
        }
    }

    #[test]
    fn a_point_keeps_what_was_said_in_it_and_knows_the_last_that_was_said_before() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, file) = (Numbers::default(), folder.path().join("numbers.txt"));
        let scribe = Scribe::start(engine.clone(), &file).unwrap();
        scribe.begin(0);
        engine.say([4]);
        let nothing_was_said_before = scribe.end();
        // Between the points: a warm-up.
        engine.say([5, 6]);
        scribe.begin(1);
        engine.say([9, 10]);
        let after_a_warm_up = scribe.end();
        scribe.begin(2);
        engine.say([12]);
        let right_after_a_point = scribe.end();
        scribe.stop();
        let seen = |kept: Kept<u64>| (kept.before, kept.said);
        assert_eq!(seen(nothing_was_said_before), (None, vec![4]));
        assert_eq!(seen(after_a_warm_up), (Some(6), vec![9, 10]));
        assert_eq!(seen(right_after_a_point), (Some(10), vec![12]));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "0 4\n1 9\n1 10\n2 12\n");
    }
}
