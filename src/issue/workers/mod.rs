//! Workers: several processes that play disjoint slices of one plan from one agreed instant, led by this one.
//!
//! Workers send, stamp and record by themselves, and stream ended requests and deliveries here, where they go into the same
//! log as those of one process: everything behind it is unchanged. A link carries frames and nothing else, so that sockets
//! can be replaced by another transport.

pub mod link;
mod merge;
pub mod message;
pub mod offset;
mod opening;
pub mod remote_worker;
mod statistics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use self::merge::Merge;
use self::message::{FromWorker, Order, PlayOrder, PlayedPart, RampOrder, Report};
use self::offset::RoundTrip;
use self::remote_worker::{News, RemoteWorker};
use crate::clock::{self, MonoNs, Nanos};
use crate::issue::pace::{Pace, Played, RampPace};
use crate::issue::shots::Shots;
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::metrics::facts::WorkersFacts;
use crate::record::backpressure::Waited;
use crate::record::live::LiveSnapshot;
use crate::record::log::RecordLog;
use crate::record::recorder::PhaseRecords;
use crate::store::manifest::WorkerEntry;
use crate::targets::{Drain, EngineStatistics};

/// From the orders to the agreed instant: they have to arrive before it.
const LEAD: Nanos = Nanos::from_millis(100);
/// Round trips before each phase.
const TRIPS: usize = 16;
/// Between two looks at what the user wants.
const LOOK: Duration = Duration::from_millis(20);
/// The same whether `plan.csv` holds what was sent.
const LOOK_OF_DRAWING: Nanos = Nanos::from_millis(1);
/// How often the live view is renewed.
const PUBLISH_EVERY: Nanos = Nanos::from_millis(200);
/// How long a worker may take for something that needs no load.
const PATIENCE: Nanos = Nanos::from_millis(10_000);
/// How long a worker may take to open its target.
const OPENING: Nanos = Nanos::from_millis(120_000);
/// How long an engine may load, compile and capture graphs.
const OPENING_OF_ENGINE: Nanos = Nanos::from_millis(3_600_000);
/// How long it may take to close.
const CLOSING_OF_ENGINE: Nanos = Nanos::from_millis(60_000);

/// Why workers could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// A worker refused.
    #[error("worker {number} of {workers}: {words}")]
    Refused {
        /// From 1.
        number: usize,
        /// How many there are.
        workers: usize,
        /// Its words.
        words: String,
    },
    /// A worker would play something else.
    #[error(
        "worker {0} draws another plan than this process: what it reads (files, environment) must be the same, and the same version of the program"
    )]
    OtherPlan(usize),
    /// A child that plays one side refused, was lost, or would play something else.
    #[error("{who}: {words}")]
    Child {
        /// What it is called.
        who: String,
        /// Its words.
        words: String,
    },
    /// A process or a socket.
    #[error("workers cannot be started: {0}")]
    Start(#[from] std::io::Error),
}

/// What the processes are to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Each sends a part of one load.
    Workers,
    /// The only one plays a side by itself, in another environment; it is called so.
    Child(String),
}

impl Role {
    /// How long one may take to open its target.
    const fn opening(&self) -> Nanos {
        match self {
            Self::Workers => OPENING,
            Self::Child(_) => OPENING_OF_ENGINE,
        }
    }

    /// How long they may take to close it.
    const fn closing(&self) -> Nanos {
        match self {
            Self::Workers => Nanos(2 * PATIENCE.0),
            Self::Child(_) => CLOSING_OF_ENGINE,
        }
    }
}

/// The workers of a run.
pub struct Workers {
    role: Role,
    all: Vec<RemoteWorker>,
    news: Receiver<News>,
    live: Arc<LiveSnapshot>,
    in_flight: Arc<AtomicU32>,
    stop: Stop,
    facts: Option<serde_json::Value>,
    iterations: Option<statistics::Heard>,
    broken: Option<String>,
}

/// What has been passed on of the user's wishes.
#[derive(Default)]
struct PassedOn {
    stop: bool,
    enough: bool,
    end_tail: bool,
    /// When workers that have not ended are given up.
    give_up: Option<MonoNs>,
}

impl Workers {
    /// Plays shots on all workers and returns when each has its record.
    pub fn play(
        &mut self,
        shots: &mut Shots<'_>,
        pace: &Pace,
        log: Option<Box<dyn RecordLog>>,
    ) -> (Played, PhaseRecords) {
        let mut merge = Merge::begin(shots, log);
        self.connect(shots, pace, &mut merge);
        self.settle_clocks(&mut merge);
        // A far worker hears of it later.
        let at = clock::now() + LEAD + self.longest_trip();
        self.order(shots, pace, at);
        let mut passed_on = PassedOn::default();
        let mut publish_at = MonoNs(0);
        while self.all.iter().any(RemoteWorker::is_playing) {
            self.pass_on(&mut passed_on, pace);
            match self.news.recv_timeout(LOOK) {
                Ok(news) => self.take(news, &mut merge),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            merge.keep_drawing(shots);
            if clock::now() >= publish_at {
                self.publish(&merge);
                publish_at = clock::now() + PUBLISH_EVERY;
            }
        }
        // Each request that was sent has its row.
        while merge.keep_drawing(shots) {
            clock::sleep(LOOK_OF_DRAWING);
        }
        self.check_clocks(&mut merge);
        self.note_lost(merge.without_record());
        self.publish(&merge);
        let parts: Vec<&PlayedPart> =
            self.all.iter().filter_map(|worker| worker.part.as_ref()).collect();
        let played = self.played(at);
        let late_events = parts.iter().map(|part| part.late_events).sum();
        let recorder_cpu = Nanos(parts.iter().map(|part| part.recorder_cpu.0).sum());
        (played, merge.end(late_events, recorder_cpu))
    }

    /// Has every worker open its connections, which may take longer than orders do.
    fn connect(&mut self, shots: &Shots<'_>, pace: &Pace, merge: &mut Merge) {
        let shots = shots.len() + shots.fill_len();
        for worker in &mut self.all {
            worker.is_connected = false;
            worker.tell(&Order::Connect { load: pace.load, shots });
        }
        let give_up = clock::now() + OPENING;
        let is_waiting = |worker: &RemoteWorker| !worker.is_connected && !worker.is_lost();
        while self.all.iter().any(is_waiting) && clock::now() < give_up {
            if let Ok(news) = self.news.recv_timeout(LOOK) {
                self.take(news, merge);
            }
        }
    }

    /// Asks each worker for its time before a phase.
    fn settle_clocks(&mut self, merge: &mut Merge) {
        for number in 0..self.all.len() {
            self.ask_for_time(number, merge);
            self.all[number].settle_clock();
        }
    }

    /// Asks again behind a phase, since clocks of two hosts drift apart.
    fn check_clocks(&mut self, merge: &mut Merge) {
        for number in 0..self.all.len() {
            self.ask_for_time(number, merge);
            self.all[number].note_drift();
        }
    }

    /// Several times, one worker after the other.
    fn ask_for_time(&mut self, number: usize, merge: &mut Merge) {
        self.all[number].forget_trips();
        let give_up = clock::now() + PATIENCE;
        for trip in 0..TRIPS {
            self.all[number].tell(&Order::Ping(clock::now()));
            while self.all[number].trips() <= trip
                && !self.all[number].is_lost()
                && clock::now() < give_up
            {
                if let Ok(news) = self.news.recv_timeout(LOOK) {
                    self.take(news, merge);
                }
            }
        }
    }

    fn longest_trip(&self) -> Nanos {
        let bounds = self.all.iter().map(|worker| Nanos(2 * worker.worst_bound.0));
        bounds.max().unwrap_or(Nanos::ZERO).min(PATIENCE)
    }

    fn order(&mut self, shots: &Shots<'_>, pace: &Pace, at: MonoNs) {
        let first = shots.facts().next().map(|shot| shot.id);
        let Some(first) = first else { return };
        let order = PlayOrder {
            first,
            at,
            load: pace.load,
            ramp: pace.ramp.map(|ramp| ramp_of(ramp, pace.load, shots)),
            tail: pace.tail,
            duration: pace.duration,
        };
        for worker in &mut self.all {
            worker.begin();
            let at = at + worker.ahead();
            worker.tell(&Order::Play(PlayOrder { at, ..order.clone() }));
        }
    }

    /// Passes on that the end is asked for, that enough is shown, and that nobody needs the tail any more.
    fn pass_on(&mut self, done: &mut PassedOn, pace: &Pace) {
        let mut tell_all = |order: &Order| {
            self.all.iter_mut().for_each(|worker| worker.tell(order));
        };
        if self.stop.is_asked() && !std::mem::replace(&mut done.stop, true) {
            tell_all(&Order::Stop);
            done.give_up = Some(clock::now() + pace.drain + pace.graces.cancelled + PATIENCE);
        }
        if self.stop.is_enough() && !std::mem::replace(&mut done.enough, true) {
            tell_all(&Order::Enough);
        }
        let is_waiting = |worker: &RemoteWorker| worker.is_playing() && !worker.counted_ended;
        if !done.end_tail && !self.all.iter().any(is_waiting) {
            done.end_tail = true;
            for worker in &mut self.all {
                worker.tell(&Order::EndTail);
            }
        }
        if done.give_up.is_some_and(|at| clock::now() > at) {
            let silent = std::io::Error::other("it did not end when it was asked to");
            for worker in self.all.iter_mut().filter(|worker| worker.is_playing()) {
                worker.lose(&silent);
            }
        }
    }

    fn take(&mut self, News { number, at, what }: News, merge: &mut Merge) {
        let worker = &mut self.all[number];
        match what {
            Ok(FromWorker::Records(part)) => {
                (worker.sent.sent, worker.sent.counted) = (part.sent, part.counted);
                worker.sent.in_flight = part.in_flight;
                let ahead = worker.ahead();
                merge.take(part, ahead);
            }
            Ok(FromWorker::Report(report)) => match report {
                Report::Pong { asked, received, answered } => {
                    worker.note_trip(RoundTrip { asked, received, answered, heard: at });
                }
                Report::Connected => worker.is_connected = true,
                Report::CountedEnded => worker.counted_ended = true,
                Report::Played(part) => {
                    if let Some(words) = &part.broken {
                        self.broken.get_or_insert_with(|| words.clone());
                    }
                    worker.end(*part);
                }
                Report::Iterations(texts) => {
                    if let Some(heard) = &self.iterations {
                        heard.add(texts);
                    }
                }
                Report::Ready { .. }
                | Report::Calibrated(_)
                | Report::Refused(_)
                | Report::Closed(_) => {}
            },
            Err(error) => worker.lose(&error),
        }
    }

    /// Names workers that were lost, with what is not known of their part.
    fn note_lost(&mut self, without_record: usize) {
        for worker in &self.all {
            let Some(why) = worker.lost() else { continue };
            let sent = &worker.sent;
            let words = format!(
                "{} (process {} on {}) was lost: {why}; {} of its requests that count have a record, {} were in \
                 flight, and {without_record} that count were not sent or have no record",
                self.name(worker.number),
                worker.pid,
                worker.host,
                sent.counted,
                sent.in_flight,
            );
            self.broken.get_or_insert(words);
        }
    }

    fn played(&self, at: MonoNs) -> Played {
        let now = clock::now();
        let nothing = Played {
            start: at,
            end: now,
            interrupted: true,
            ran_out: false,
            ramp_ran_out: false,
            given_up: 0,
        };
        let any_lost = self.all.iter().any(RemoteWorker::is_lost);
        let ours = self.all.iter().filter_map(|worker| {
            let played = worker.part.as_ref()?.played;
            let ahead = worker.ahead();
            Some(Played { start: played.start - ahead, end: played.end - ahead, ..played })
        });
        let all = ours.reduce(|a, b| Played {
            start: a.start.min(b.start),
            end: a.end.max(b.end),
            interrupted: a.interrupted || b.interrupted,
            ran_out: a.ran_out || b.ran_out,
            ramp_ran_out: a.ramp_ran_out || b.ramp_ran_out,
            given_up: a.given_up + b.given_up,
        });
        let all = all.unwrap_or(nothing);
        Played { interrupted: all.interrupted || any_lost, ..all }
    }

    fn publish(&self, merge: &Merge) {
        let sum = |of: fn(&RemoteWorker) -> u32| self.all.iter().map(of).sum::<u32>();
        self.in_flight.store(sum(|worker| worker.sent.in_flight), Ordering::Relaxed);
        self.live.publish(merge.snapshot(u64::from(sum(|worker| worker.sent.sent))));
    }

    /// What is known of the target since it was opened.
    pub fn facts(&self) -> Option<serde_json::Value> {
        self.facts.clone()
    }

    /// Ends that belonged to no open request, so far, of all workers.
    pub fn stray_ends(&self) -> u64 {
        self.all.iter().map(|worker| worker.stray_ends).sum()
    }

    /// How long threads of workers have waited for their recorders, so far.
    pub fn waited(&self) -> Waited {
        self.all.iter().map(|worker| worker.waited).fold(Waited::default(), |a, b| Waited {
            waits: a.waits + b.waits,
            span: Nanos(a.span.0 + b.span.0),
            lost: a.lost + b.lost,
        })
    }

    /// Why the load as a whole cannot go on: the target of a worker has failed, or a worker was lost.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// For a live view.
    pub fn live(&self) -> (Arc<LiveSnapshot>, Arc<AtomicU32>) {
        (Arc::clone(&self.live), Arc::clone(&self.in_flight))
    }

    /// What one of them is called.
    fn name(&self, number: usize) -> String {
        match &self.role {
            Role::Workers => format!("worker {} of {}", number + 1, self.all.len()),
            Role::Child(who) => who.clone(),
        }
    }

    /// Iterations that their engines report, where they do.
    pub fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        self.iterations.clone().map(|heard| Box::new(heard) as Box<dyn EngineStatistics>)
    }

    /// What the summary says of them, where they share a load.
    pub fn facts_of_workers(&self) -> Option<WorkersFacts> {
        if self.role != Role::Workers {
            return None;
        }
        let bounds = self.all.iter().map(|worker| worker.worst_bound);
        Some(WorkersFacts {
            workers: self.all.len() as u32,
            clock_bound_ns: bounds.max().unwrap_or(Nanos::ZERO),
        })
    }

    /// What the manifest says of each worker.
    pub fn entries(&self) -> Vec<WorkerEntry> {
        let entry = |worker: &RemoteWorker| WorkerEntry {
            worker: worker.number as u32 + 1,
            process: worker.pid,
            host: worker.host.clone(),
            clock_ahead_ns: worker.correction,
            clock_bound_ns: worker.worst_bound,
            lost: worker.lost().map(str::to_owned),
        };
        self.all.iter().map(entry).collect()
    }

    /// Closes the target of every worker, and ends the workers.
    pub fn finish(mut self) -> Drain {
        for worker in &mut self.all {
            worker.tell(&Order::Finish);
        }
        let mut waiting: Vec<usize> =
            self.all.iter().filter(|it| !it.is_lost()).map(|it| it.number).collect();
        let mut forced = Vec::new();
        let give_up = clock::now() + self.role.closing();
        while !waiting.is_empty() && clock::now() < give_up {
            let Ok(News { number, what, .. }) = self.news.recv_timeout(LOOK) else { continue };
            let words = match what {
                Ok(FromWorker::Report(Report::Closed(words))) => words,
                Ok(_) => continue,
                Err(_) if !waiting.contains(&number) => continue,
                Err(error) => Some(error.to_string()),
            };
            waiting.retain(|it| *it != number);
            forced.extend(words.map(|words| format!("{}: {words}", self.name(number))));
        }
        forced.extend(waiting.iter().map(|it| format!("{} did not say so", self.name(*it))));
        for worker in &mut self.all {
            worker.end_process(PATIENCE);
        }
        if forced.is_empty() { Drain::Clean } else { Drain::Forced(forced.join("; ")) }
    }
}

/// Where arrivals have instants, all workers leave the ramp at the same one: that of the first arrival of the whole plan behind
/// its span.
fn ramp_of(ramp: RampPace, load: Load, shots: &Shots<'_>) -> RampOrder {
    match load {
        Load::Closed { .. } | Load::Batch => RampOrder { over: ramp.over, then: None },
        Load::Open { .. } => {
            let over = ramp.over.unwrap_or(Nanos::ZERO);
            let mut arrivals = shots.fill_facts().filter_map(|shot| shot.intended);
            let then = arrivals.find(|at| *at >= over).unwrap_or(over);
            RampOrder { over: Some(over), then: Some(then) }
        }
    }
}
