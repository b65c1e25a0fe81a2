//! Statistics collector: a thread that reads what an engine reports while it runs, keeps a summary and logs every item.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::record::disk::remedy;
use crate::threads::Own;

/// How often the source is read. An engine keeps its latest items in a ring, so fewer must arrive within one period than
/// the ring holds.
pub const PERIOD: Duration = Duration::from_millis(20);
/// How long one answer of the thread may take: an engine whose call for statistics never returns would hold the run up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at a thread that is about to end.
const LOOK: Duration = Duration::from_millis(1);

/// One kind of statistics that an engine reports.
pub trait Source: Send + 'static {
    /// One item.
    type Item: Send;
    /// The part of an item that the summary of a point is computed from.
    type Summary: Send + Copy;
    /// What is reported, for error messages.
    const WHAT: &'static str;
    /// Name of the thread that reads and logs.
    const THREAD: Own;

    /// Appends the items that were reported since the last call, in order.
    ///
    /// # Errors
    /// With the engine's message, when it reports no more.
    fn read(&mut self, into: &mut Vec<Self::Item>) -> Result<(), String>;

    /// What is kept of one item.
    fn summary(item: Self::Item) -> Self::Summary;
}

/// Where items are written while a point is measured.
pub trait Log<Item>: Send {
    /// Name of the file, for error messages.
    fn name(&self) -> &'static str;

    /// Writes items of a point, so that they are on disk when it returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    fn write(&mut self, point: u32, items: &[Item]) -> io::Result<()>;
}

/// Reads a source while points are measured, keeps summaries and logs every item.
#[derive(Debug)]
pub struct Collector<S: Source> {
    commands: SyncSender<Command<S::Summary>>,
    thread: JoinHandle<()>,
    patience: Duration,
    /// A call of the engine's has not returned in its time; nothing more is asked of the thread.
    hangs: bool,
}

enum Command<Summary> {
    /// Drop all but the last item so far, and keep items from now on.
    Begin { point: u32, begun: SyncSender<()> },
    /// Return what was collected since.
    End { collected: SyncSender<Collected<Summary>> },
}

/// What was reported during one point.
#[derive(Debug)]
pub struct Collected<Summary> {
    /// In the order in which items were reported.
    pub items: Vec<Summary>,
    /// The last item before the point, whenever that was. Items missing between it and the first one of the point were
    /// reported in the point and lost.
    pub before: Option<Summary>,
    /// Why items may be missing: the engine stopped reporting, or the log could not be written.
    pub fault: Option<String>,
}

impl<Summary> Default for Collected<Summary> {
    fn default() -> Self {
        Self { items: Vec::new(), before: None, fault: None }
    }
}

impl<S: Source> Collector<S> {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(source: S, log: Box<dyn Log<S::Item>>) -> io::Result<Self> {
        let (commands, inbox) = sync_channel(1);
        let worker = Worker { source, log, unread: Vec::new(), last: None, open: None };
        let thread = S::THREAD.builder().spawn(move || worker.run(&inbox))?;
        Ok(Self { commands, thread, patience: PATIENCE, hangs: false })
    }

    /// Items from now on belong to `point`; returns when earlier ones have been read and dropped, or the engine hangs.
    pub fn begin(&mut self, point: u32) {
        let (begun, wait) = sync_channel(1);
        let _the_end_tells_a_hang = self.call(Command::Begin { point, begun }, &wait);
    }

    /// Ends the point and returns what was collected, a period later: an engine may report after it has answered.
    pub fn end(&mut self) -> Collected<S::Summary> {
        let (collected, wait) = sync_channel(1);
        let hangs = Collected { fault: Some(self.hang()), ..Collected::default() };
        self.call(Command::End { collected }, &wait).unwrap_or(hangs)
    }

    /// The thread's answer; `None` where it does not come in its time, now or before.
    fn call<Answer>(
        &mut self,
        command: Command<S::Summary>,
        answer: &Receiver<Answer>,
    ) -> Option<Answer> {
        if self.hangs {
            return None;
        }
        self.commands.send(command).expect("the thread lives until `stop`");
        match answer.recv_timeout(self.patience) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => {
                self.hangs = true;
                None
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the thread answers every command"),
        }
    }

    fn hang(&self) -> String {
        format!(
            "{} ended: a call of the engine for them has not returned after {} s",
            S::WHAT,
            self.patience.as_secs_f64()
        )
    }

    /// Ends the thread; the source is not read any more. A thread that is inside a call which does not return is left there.
    ///
    /// # Errors
    /// With what hangs, where it does.
    ///
    /// # Panics
    /// If the thread has panicked.
    pub fn stop(self) -> Result<(), String> {
        let hang = self.hang();
        let Self { commands, thread, patience, hangs } = self;
        drop(commands);
        let by = Instant::now() + patience;
        while !thread.is_finished() {
            if hangs || Instant::now() >= by {
                return Err(hang);
            }
            std::thread::sleep(LOOK);
        }
        thread.join().expect("the thread does not panic");
        Ok(())
    }
}

struct Worker<S: Source> {
    source: S,
    log: Box<dyn Log<S::Item>>,
    unread: Vec<S::Item>,
    /// The last item ever reported, kept or not.
    last: Option<S::Summary>,
    open: Option<(u32, Collected<S::Summary>)>,
}

impl<S: Source> Worker<S> {
    fn run(mut self, inbox: &Receiver<Command<S::Summary>>) {
        loop {
            match inbox.recv_timeout(PERIOD) {
                Ok(Command::Begin { point, begun }) => {
                    self.open = None;
                    let fault = self.read().err();
                    self.last = self.unread.drain(..).last().map(S::summary).or(self.last);
                    let collected = Collected { before: self.last, fault, ..Collected::default() };
                    self.open = Some((point, collected));
                    // A caller that has gone away is not waited for, here and below.
                    let _nobody_waits = begun.send(());
                }
                Ok(Command::End { collected }) => {
                    self.collect();
                    // What belongs to the last answers may be reported after them.
                    std::thread::sleep(PERIOD);
                    self.collect();
                    let all = self.open.take().map(|(_, all)| all).unwrap_or_default();
                    let _nobody_waits = collected.send(all);
                }
                Err(RecvTimeoutError::Timeout) => self.collect(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn read(&mut self) -> Result<(), String> {
        self.source.read(&mut self.unread).map_err(|error| format!("{} ended: {error}", S::WHAT))
    }

    /// Reads, logs and keeps. After the first fault the point is left as it is.
    fn collect(&mut self) {
        if self.open.as_ref().is_none_or(|(_, collected)| collected.fault.is_some()) {
            return;
        }
        let read = self.read();
        let Some((point, collected)) = self.open.as_mut() else { return };
        let written = self
            .log
            .write(*point, &self.unread)
            .map_err(|error| cannot_be_written(self.log.name(), &error));
        collected.items.extend(self.unread.drain(..).map(S::summary));
        self.last = collected.items.last().copied().or(self.last);
        collected.fault = read.and(written).err();
    }
}

fn cannot_be_written(name: &str, error: &io::Error) -> String {
    format!("`{name}` cannot be written: {error}{}", remedy(error))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A source of numbers that the test chooses.
    #[derive(Clone, Default)]
    struct Numbers(Arc<Mutex<Vec<u64>>>);

    impl Numbers {
        fn report(&self, numbers: impl IntoIterator<Item = u64>) {
            self.0.lock().unwrap().extend(numbers);
        }
    }

    impl Source for Numbers {
        type Item = u64;
        type Summary = u64;
        const WHAT: &'static str = "numbers";
        const THREAD: Own = Own::Scrape;

        fn read(&mut self, into: &mut Vec<u64>) -> Result<(), String> {
            let mut numbers = self.0.lock().unwrap();
            if numbers.contains(&u64::MAX) {
                return Err("the engine is gone".into());
            }
            into.append(&mut numbers);
            Ok(())
        }

        fn summary(item: u64) -> u64 {
            item
        }
    }

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<(u32, u64)>>>);

    impl Log<u64> for Lines {
        fn name(&self) -> &'static str {
            "numbers.txt"
        }

        fn write(&mut self, point: u32, items: &[u64]) -> io::Result<()> {
            self.0.lock().unwrap().extend(items.iter().map(|item| (point, *item)));
            Ok(())
        }
    }

    #[test]
    fn an_engine_that_stops_reporting_leaves_a_fault() {
        let engine = Numbers::default();
        let mut collector = Collector::start(engine.clone(), Box::new(Lines::default())).unwrap();
        collector.begin(0);
        engine.report([u64::MAX]);
        assert!(collector.end().fault.unwrap().contains("the engine is gone"));
        assert_eq!(collector.stop(), Ok(()));
    }

    #[test]
    fn an_engine_whose_call_never_returns_is_given_up_and_never_asked_again() {
        let engine = Numbers::default();
        let mut collector = Collector::start(engine.clone(), Box::new(Lines::default())).unwrap();
        collector.patience = Duration::from_millis(50);
        collector.begin(0);
        // Whoever reads waits for this lock.
        let hold = engine.0.lock().unwrap();
        assert!(collector.end().fault.unwrap().contains("has not returned after 0.05 s"));
        collector.patience = Duration::from_hours(1);
        collector.begin(1);
        assert!(collector.end().fault.unwrap().contains("numbers ended"));
        assert!(collector.stop().unwrap_err().contains("has not returned"));
        drop(hold);
    }

    #[test]
    fn a_point_keeps_its_own_items_and_knows_the_last_one_before_it() {
        let (engine, lines) = (Numbers::default(), Lines::default());
        let mut collector = Collector::start(engine.clone(), Box::new(lines.clone())).unwrap();
        collector.begin(0);
        engine.report([4]);
        let nothing_before = collector.end();
        // Between the points: a warm-up.
        engine.report([5, 6]);
        collector.begin(1);
        engine.report([9, 10]);
        let after_a_warm_up = collector.end();
        collector.begin(2);
        engine.report([12]);
        let right_after_a_point = collector.end();
        assert_eq!(collector.stop(), Ok(()));
        let seen = |collected: Collected<u64>| (collected.before, collected.items);
        assert_eq!(seen(nothing_before), (None, vec![4]));
        assert_eq!(seen(after_a_warm_up), (Some(6), vec![9, 10]));
        assert_eq!(seen(right_after_a_point), (Some(10), vec![12]));
        assert_eq!(*lines.0.lock().unwrap(), [(0, 4), (1, 9), (1, 10), (2, 12)]);
    }
}
