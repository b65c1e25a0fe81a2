//! Crew: several processes that play disjoint slices of one plan from one agreed instant, led by this one.
//!
//! Workers send, stamp and record by themselves, and stream ended requests and deliveries here, where they go into the same
//! log as those of one process: everything behind it is unchanged. A link carries frames and nothing else, so that sockets
//! can be replaced by another transport.

pub mod link;
pub mod member;
mod merge;
pub mod message;
pub mod offset;
mod statistics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use self::member::{Member, News};
use self::merge::Merge;
use self::message::{FromWorker, Order, PlayOrder, PlayedPart, RampOrder, Report};
use self::offset::RoundTrip;
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

/// Why a crew could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum CrewError {
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

/// The workers of a run.
pub struct Crew {
    role: Role,
    members: Vec<Member>,
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

impl Crew {
    /// Waits until every worker has opened its target; `plans` are the hashes of the plans to be played.
    ///
    /// # Errors
    /// When a worker refuses, is lost, or would play another plan.
    pub fn open(
        role: Role,
        members: Vec<Member>,
        news: Receiver<News>,
        begin: &Order,
        plans: &[String],
        stop: Stop,
    ) -> Result<Self, CrewError> {
        let opening = role.opening();
        let mut crew = Self {
            role,
            members,
            news,
            live: Arc::default(),
            in_flight: Arc::default(),
            stop,
            facts: None,
            iterations: None,
            broken: None,
        };
        for member in &mut crew.members {
            member.tell(begin);
        }
        let mut waiting = crew.members.len();
        let give_up = clock::now() + opening;
        while waiting > 0 {
            let Ok(news) = crew.news.recv_timeout(LOOK) else {
                if crew.stop.is_asked() {
                    return Err(crew.refusal(0, "it was ended while it opened".to_owned()));
                }
                if clock::now() > give_up {
                    return Err(crew.refusal(0, "it does not say that it is ready".to_owned()));
                }
                continue;
            };
            match news.what {
                Ok(FromWorker::Report(Report::Ready {
                    plans: own,
                    facts,
                    has_statistics,
                    process,
                    host,
                })) => {
                    if own != plans {
                        return Err(crew.other_plan(news.number));
                    }
                    if has_statistics {
                        crew.iterations.get_or_insert_default();
                    }
                    let member = &mut crew.members[news.number];
                    (member.pid, member.host) = (process, host);
                    crew.facts = crew.facts.take().or(facts);
                    waiting -= 1;
                }
                Ok(FromWorker::Report(Report::Refused(words))) => {
                    return Err(crew.refusal(news.number, words));
                }
                Ok(_) => {}
                Err(error) => {
                    let member = &mut crew.members[news.number];
                    member.lose(&error);
                    let words = member.lost().unwrap_or_default().to_owned();
                    return Err(crew.refusal(news.number, words));
                }
            }
        }
        Ok(crew)
    }

    fn other_plan(&self, number: usize) -> CrewError {
        match &self.role {
            Role::Workers => CrewError::OtherPlan(number + 1),
            Role::Child(who) => CrewError::Child {
                who: who.clone(),
                words: "it draws another plan than this process: its bareflight must be this one"
                    .into(),
            },
        }
    }

    /// What a member is called.
    fn name(&self, number: usize) -> String {
        match &self.role {
            Role::Workers => format!("worker {} of {}", number + 1, self.members.len()),
            Role::Child(who) => who.clone(),
        }
    }

    fn refusal(&self, number: usize, words: String) -> CrewError {
        if let Role::Child(who) = &self.role {
            return CrewError::Child { who: who.clone(), words };
        }
        CrewError::Refused { number: number + 1, workers: self.members.len(), words }
    }

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
        let at = clock::now() + LEAD;
        self.order(shots, pace, at);
        let mut passed_on = PassedOn::default();
        let mut publish_at = MonoNs(0);
        while self.members.iter().any(Member::is_playing) {
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
        merge.keep_drawing(shots);
        self.note_lost(merge.without_record());
        self.publish(&merge);
        let parts: Vec<&PlayedPart> =
            self.members.iter().filter_map(|member| member.part.as_ref()).collect();
        let played = self.played(at);
        let late_events = parts.iter().map(|part| part.late_events).sum();
        let recorder_cpu = Nanos(parts.iter().map(|part| part.recorder_cpu.0).sum());
        (played, merge.end(late_events, recorder_cpu))
    }

    /// Has every worker open its connections, which may take longer than orders do.
    fn connect(&mut self, shots: &Shots<'_>, pace: &Pace, merge: &mut Merge) {
        let shots = shots.len() + shots.fill_len();
        for member in &mut self.members {
            member.is_connected = false;
            member.tell(&Order::Connect { load: pace.load, shots });
        }
        let give_up = clock::now() + OPENING;
        let is_waiting = |member: &Member| !member.is_connected && !member.is_lost();
        while self.members.iter().any(is_waiting) && clock::now() < give_up {
            if let Ok(news) = self.news.recv_timeout(LOOK) {
                self.take(news, merge);
            }
        }
    }

    /// Asks each worker for its time, several times, one worker after the other.
    fn settle_clocks(&mut self, merge: &mut Merge) {
        for number in 0..self.members.len() {
            self.members[number].forget_trips();
            let give_up = clock::now() + PATIENCE;
            for trip in 0..TRIPS {
                self.members[number].tell(&Order::Ping(clock::now()));
                while self.members[number].trips() <= trip
                    && !self.members[number].is_lost()
                    && clock::now() < give_up
                {
                    if let Ok(news) = self.news.recv_timeout(LOOK) {
                        self.take(news, merge);
                    }
                }
            }
            self.members[number].settle_clock();
        }
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
        for member in &mut self.members {
            member.begin();
            let at = at + member.ahead();
            member.tell(&Order::Play(PlayOrder { at, ..order.clone() }));
        }
    }

    /// Passes on that the end is asked for, that enough is shown, and that nobody needs the tail any more.
    fn pass_on(&mut self, done: &mut PassedOn, pace: &Pace) {
        let mut tell_all = |order: &Order| {
            self.members.iter_mut().for_each(|member| member.tell(order));
        };
        if self.stop.is_asked() && !std::mem::replace(&mut done.stop, true) {
            tell_all(&Order::Stop);
            done.give_up = Some(clock::now() + pace.drain + pace.graces.cancelled + PATIENCE);
        }
        if self.stop.is_enough() && !std::mem::replace(&mut done.enough, true) {
            tell_all(&Order::Enough);
        }
        let is_waiting = |member: &Member| member.is_playing() && !member.counted_ended;
        if !done.end_tail && !self.members.iter().any(is_waiting) {
            done.end_tail = true;
            for member in &mut self.members {
                member.tell(&Order::EndTail);
            }
        }
        if done.give_up.is_some_and(|at| clock::now() > at) {
            let silent = std::io::Error::other("it did not end when it was asked to");
            for member in self.members.iter_mut().filter(|member| member.is_playing()) {
                member.lose(&silent);
            }
        }
    }

    fn take(&mut self, News { number, at, what }: News, merge: &mut Merge) {
        let member = &mut self.members[number];
        match what {
            Ok(FromWorker::Records(part)) => {
                (member.sent.sent, member.sent.counted) = (part.sent, part.counted);
                member.sent.in_flight = part.in_flight;
                let ahead = member.ahead();
                merge.take(part, ahead);
            }
            Ok(FromWorker::Report(report)) => match report {
                Report::Pong { asked, received, answered } => {
                    member.note_trip(RoundTrip { asked, received, answered, heard: at });
                }
                Report::Connected => member.is_connected = true,
                Report::CountedEnded => member.counted_ended = true,
                Report::Played(part) => {
                    if let Some(words) = &part.broken {
                        self.broken.get_or_insert_with(|| words.clone());
                    }
                    member.end(*part);
                }
                Report::Iterations(texts) => {
                    if let Some(heard) = &self.iterations {
                        heard.add(texts);
                    }
                }
                Report::Ready { .. } | Report::Refused(_) | Report::Closed(_) => {}
            },
            Err(error) => member.lose(&error),
        }
    }

    /// Names workers that were lost, with what is not known of their part.
    fn note_lost(&mut self, without_record: usize) {
        for member in &self.members {
            let Some(why) = member.lost() else { continue };
            let sent = &member.sent;
            let words = format!(
                "{} (process {} on {}) was lost: {why}; {} of its requests that count have a record, {} were in \
                 flight, and {without_record} that count were not sent or have no record",
                self.name(member.number),
                member.pid,
                member.host,
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
        let any_lost = self.members.iter().any(Member::is_lost);
        let ours = self.members.iter().filter_map(|member| {
            let played = member.part.as_ref()?.played;
            let ahead = member.ahead();
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
        let sum = |of: fn(&Member) -> u32| self.members.iter().map(of).sum::<u32>();
        self.in_flight.store(sum(|member| member.sent.in_flight), Ordering::Relaxed);
        self.live.publish(merge.snapshot(u64::from(sum(|member| member.sent.sent))));
    }

    /// What is known of the target since it was opened.
    pub fn facts(&self) -> Option<serde_json::Value> {
        self.facts.clone()
    }

    /// Ends that belonged to no open request, so far, of all workers.
    pub fn stray_ends(&self) -> u64 {
        self.members.iter().map(|member| member.stray_ends).sum()
    }

    /// How long threads of workers have waited for their recorders, so far.
    pub fn waited(&self) -> Waited {
        self.members.iter().map(|member| member.waited).fold(Waited::default(), |a, b| Waited {
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

    /// Iterations that their engines report, where they do.
    pub fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        self.iterations.clone().map(|heard| Box::new(heard) as Box<dyn EngineStatistics>)
    }

    /// What the summary says of them, where they share a load.
    pub fn facts_of_workers(&self) -> Option<WorkersFacts> {
        if self.role != Role::Workers {
            return None;
        }
        let bounds = self.members.iter().map(|member| member.worst_bound);
        Some(WorkersFacts {
            workers: self.members.len() as u32,
            clock_bound_ns: bounds.max().unwrap_or(Nanos::ZERO),
        })
    }

    /// What the manifest says of each worker.
    pub fn entries(&self) -> Vec<WorkerEntry> {
        let entry = |member: &Member| WorkerEntry {
            worker: member.number as u32 + 1,
            process: member.pid,
            host: member.host.clone(),
            clock_ahead_ns: member.correction,
            clock_bound_ns: member.worst_bound,
            lost: member.lost().map(str::to_owned),
        };
        self.members.iter().map(entry).collect()
    }

    /// Closes the target of every worker, and ends the workers.
    pub fn finish(mut self) -> Drain {
        for member in &mut self.members {
            member.tell(&Order::Finish);
        }
        let mut waiting: Vec<usize> =
            self.members.iter().filter(|it| !it.is_lost()).map(|it| it.number).collect();
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
        for member in &mut self.members {
            member.end_process(PATIENCE);
        }
        if forced.is_empty() { Drain::Clean } else { Drain::Forced(forced.join("; ")) }
    }
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
