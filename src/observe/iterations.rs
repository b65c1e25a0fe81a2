//! What does the engine say of itself while it runs? A thread of its own reads it, keeps it and writes it down.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::record::iterations_file::{Iteration, write_line};
use crate::target::{EngineStatistics, Said};

/// How often the engine is asked. An engine keeps its last iterations in a ring, so between two questions fewer must
/// pass than it holds.
const PERIOD: Duration = Duration::from_millis(20);

/// Reads an engine's statistics while points are measured.
#[derive(Debug)]
pub struct IterationWatch {
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
}

enum Order {
    /// Forget what was said so far, and keep what is said from now on.
    Begin { point: u32, begun: SyncSender<()> },
    /// Hand over what was said since.
    End { kept: SyncSender<Kept> },
}

/// What was said during one point.
#[derive(Debug, Default)]
pub struct Kept {
    /// In the order in which it was said.
    pub iterations: Vec<Iteration>,
    /// Why there may be less than was said: the engine gave no more, or the file could not be written.
    pub fault: Option<String>,
}

impl IterationWatch {
    /// Starts the thread, which writes to `path`.
    ///
    /// # Errors
    /// When the file cannot be made or the system cannot start a thread.
    pub fn start(statistics: Box<dyn EngineStatistics>, path: &Path) -> io::Result<Self> {
        let out = BufWriter::new(File::create(path)?);
        let (orders, inbox) = sync_channel(1);
        let reader = Reader { statistics, out, said: Vec::new(), open: None };
        let thread = std::thread::Builder::new()
            .name("bf-iterations".into())
            .spawn(move || reader.serve(&inbox))?;
        Ok(Self { orders, thread })
    }

    /// Everything that is said from now on belongs to `point`; returns when what was said before is out of the way.
    pub fn begin(&self, point: u32) {
        let (begun, wait) = sync_channel(1);
        self.ask(Order::Begin { point, begun }, &wait);
    }

    /// Ends the point and hands over what was said.
    pub fn end(&self) -> Kept {
        let (kept, wait) = sync_channel(1);
        self.ask(Order::End { kept }, &wait)
    }

    fn ask<Answer>(&self, order: Order, answer: &Receiver<Answer>) -> Answer {
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

struct Reader {
    statistics: Box<dyn EngineStatistics>,
    out: BufWriter<File>,
    said: Vec<Said>,
    open: Option<(u32, Kept)>,
}

impl Reader {
    fn serve(mut self, inbox: &Receiver<Order>) {
        loop {
            match inbox.recv_timeout(PERIOD) {
                Ok(Order::Begin { point, begun }) => {
                    self.open = None;
                    let fault = self.read().err();
                    self.said.clear();
                    self.open = Some((point, Kept { fault, ..Kept::default() }));
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

    fn read(&mut self) -> Result<(), String> {
        self.statistics
            .iterations(&mut self.said)
            .map_err(|error| format!("iteration statistics ended: {error}"))
    }

    /// One fault is enough to know: from then on the point is left as it is.
    fn keep(&mut self) {
        if self.open.as_ref().is_none_or(|(_, kept)| kept.fault.is_some()) {
            return;
        }
        let read = self.read();
        let Some((point, kept)) = self.open.as_mut() else { return };
        let written = write(&mut self.out, *point, &self.said)
            .map_err(|error| format!("`iterations.jsonl` cannot be written: {error}"));
        kept.iterations.extend(self.said.drain(..).map(|said| said.iteration));
        kept.fault = read.and(written).err();
    }
}

fn write(out: &mut impl Write, point: u32, said: &[Said]) -> io::Result<()> {
    for one in said {
        write_line(out, point, one.iteration, &one.words)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::{MonoNs, Nanos};
    use crate::record::iterations_file::read_all;

    /// An engine that says what the test tells it to.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u64>>>);

    impl EngineStatistics for Told {
        fn iterations(&mut self, into: &mut Vec<Said>) -> Result<(), String> {
            let mut numbers = self.0.lock().unwrap();
            if numbers.contains(&u64::MAX) {
                return Err("the engine is gone".into());
            }
            into.extend(
                numbers
                    .drain(..)
                    .map(|number| Said { iteration: some(number), words: "{}".into() }),
            );
            Ok(())
        }
    }

    fn some(number: u64) -> Iteration {
        Iteration {
            iteration: number,
            at: MonoNs(5),
            latency: Nanos(1),
            active: 0,
            queued: 0,
            completed: 0,
            max_batch_size: None,
            batch: None,
            kv: None,
        }
    }

    #[test]
    fn an_engine_that_says_no_more_leaves_what_it_said_and_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let told = Told::default();
        let watch =
            IterationWatch::start(Box::new(told.clone()), &folder.path().join("i")).unwrap();
        watch.begin(0);
        told.0.lock().unwrap().push(u64::MAX);
        let kept = watch.end();
        assert!(kept.fault.unwrap().contains("the engine is gone"));
        watch.stop();
    }

    #[test]
    fn what_was_said_before_a_point_is_left_out_and_the_rest_is_on_disk_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iterations.jsonl");
        let told = Told::default();
        let watch = IterationWatch::start(Box::new(told.clone()), &path).unwrap();
        let say = |numbers: &[u64]| told.0.lock().unwrap().extend_from_slice(numbers);
        for (point, first) in [(0, 10), (1, 20)] {
            say(&[first]);
            watch.begin(point);
            say(&[first + 1, first + 2]);
            let kept = watch.end();
            assert_eq!(kept.iterations, [some(first + 1), some(first + 2)]);
            assert_eq!(kept.fault, None);
        }
        watch.stop();
        let lines = read_all(BufReader::new(File::open(&path).unwrap())).unwrap();
        let numbers: Vec<_> = lines.iter().map(|(point, it)| (*point, it.iteration)).collect();
        assert_eq!(numbers, [(0, 11), (0, 12), (1, 21), (1, 22)]);
    }
}
