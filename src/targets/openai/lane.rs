//! Client thread: its connections, its in-flight requests, and their timeouts.
//!
//! A lane is one thread with its own connections, its own sink and its own single-threaded runtime: nothing in it
//! is shared, so nothing is locked. A request is in `flights` from its start to its end, and whoever takes it out
//! ends it: the answer itself, a cancel, or a timeout. So each ends once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;

use crate::clock::{MonoNs, Nanos, now};
use crate::network::secret::ApiKey;
use crate::network::stamp::ReadStamp;
use crate::record::event::Ending;
use crate::record::request_record::StampSource;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::answer::{Answer, Output};
use crate::targets::openai::flight::{Course, Landing, Phase, fly};
use crate::targets::openai::options::{CountTokens, Timeouts};
use crate::targets::openai::request_body::Outgoing;
use crate::targets::openai::transport::{Route, Transport};

/// What every lane of a session knows.
#[derive(Clone)]
pub struct LaneSettings {
    /// The way to the server.
    pub route: Arc<Route>,
    /// How long what may take.
    pub timeouts: Timeouts,
    /// Counts tokens of the output.
    pub tokenizer: Option<CountTokens>,
    /// Blotted out of every server's words.
    pub api_key: Option<ApiKey>,
    /// The kernel's stamps are this session's default.
    pub kernel_stamps: bool,
    /// The server's monotonic clock is ours.
    pub same_host: bool,
}

/// What the issuing thread asks of a lane.
#[derive(Debug)]
pub enum Command {
    /// Send this.
    Fire(Box<Outgoing>),
    /// End this early.
    Cancel(RequestId),
    /// End: wait for what is under way until then, and cancel the rest.
    Finish(MonoNs),
}

/// One thread's requests.
pub struct Lane {
    settings: LaneSettings,
    transport: Transport,
    sink: RefCell<Sink>,
    flights: RefCell<HashMap<RequestId, Flight>>,
    /// Room of answers that have ended, for the next ones.
    spare: RefCell<Vec<Answer>>,
    empty: Notify,
}

struct Flight {
    task: AbortHandle,
    course: Rc<Course>,
}

/// Runs a lane until it is told to finish; how many requests it had to cancel then.
pub async fn run(
    settings: LaneSettings,
    sink: Sink,
    mut commands: UnboundedReceiver<Command>,
) -> usize {
    let lane = Rc::new(Lane {
        transport: Transport::new(Arc::clone(&settings.route)),
        sink: RefCell::new(sink),
        flights: RefCell::default(),
        spare: RefCell::default(),
        empty: Notify::new(),
        settings,
    });
    tokio::task::spawn_local(watch_the_time(Rc::clone(&lane)));
    let by = loop {
        match commands.recv().await {
            Some(Command::Fire(outgoing)) => lane.fire(*outgoing),
            Some(Command::Cancel(id)) => lane.cancel(id),
            Some(Command::Finish(by)) => break by,
            // The session is gone without a finish: nobody waits for what is under way.
            None => break now(),
        }
    };
    lane.drain(by).await
}

impl Lane {
    fn fire(self: &Rc<Self>, outgoing: Outgoing) {
        let id = outgoing.id;
        let course = Rc::new(Course::new(outgoing.handed_over));
        let task = tokio::task::spawn_local(fly(Rc::clone(self), outgoing, Rc::clone(&course)));
        let flight = Flight { task: task.abort_handle(), course };
        self.flights.borrow_mut().insert(id, flight);
    }

    /// Takes a request out, which gives the right to end it.
    fn take_out(&self, id: RequestId) -> Option<Flight> {
        let mut flights = self.flights.borrow_mut();
        let flight = flights.remove(&id);
        if flights.is_empty() {
            self.empty.notify_one();
        }
        flight
    }

    fn cancel(&self, id: RequestId) {
        if let Some(flight) = self.take_out(id) {
            flight.task.abort();
            self.sink.borrow_mut().end(id, now(), Ending::Cancelled);
        }
    }

    async fn drain(&self, by: MonoNs) -> usize {
        while !self.flights.borrow().is_empty() && now() < by {
            let left = Duration::from_nanos((by - now()).0.max(0).unsigned_abs());
            let _empty_or_out_of_time = tokio::time::timeout(left, self.empty.notified()).await;
        }
        let left: Vec<_> = self.flights.borrow().keys().copied().collect();
        for &id in &left {
            self.cancel(id);
        }
        left.len()
    }

    /// The connections of this lane.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// What counts tokens of the output.
    pub fn tokenizer(&self) -> Option<&CountTokens> {
        self.settings.tokenizer.as_ref()
    }

    /// An answer without a memory.
    pub fn take_answer(&self) -> Answer {
        let mut answer = self.spare.borrow_mut().pop().unwrap_or_default();
        answer.restart();
        answer
    }

    /// For the next request.
    pub fn give_back_answer(&self, answer: Answer) {
        self.spare.borrow_mut().push(answer);
    }

    /// The first byte is about to be written.
    pub fn note_sent(&self, id: RequestId, at: MonoNs) {
        self.sink.borrow_mut().sent(id, at);
    }

    /// Output has arrived.
    #[inline]
    pub fn deliver(&self, id: RequestId, output: Output, stamp: ReadStamp) {
        let Output { tokens, hash } = output;
        self.sink.borrow_mut().delivery_seen_late(id, stamp.at, tokens, hash, stamp.lag_ns);
    }

    /// Says so where a request's stamps were not all the session's default.
    pub fn note_stamps(&self, id: RequestId, all_by_kernel: bool) {
        if self.settings.kernel_stamps && !all_by_kernel {
            self.sink.borrow_mut().stamps_of(id, StampSource::User);
        }
    }

    /// Ends a request, unless it was ended from outside.
    pub fn land(&self, outgoing: &Outgoing, landed: Result<Landing, Failure>, answer: &Answer) {
        let id = outgoing.id;
        if self.take_out(id).is_none() {
            return;
        }
        let mut sink = self.sink.borrow_mut();
        match landed {
            Err(failure) => sink.fail(id, now(), self.without_key(failure)),
            Ok(Landing { at, closing }) => {
                let (tokens, source) = closing.tokens;
                sink.token_count(id, tokens, source);
                if let Some((usage, retokenized)) = closing.mismatch {
                    sink.token_mismatch(id, usage, retokenized);
                }
                if let Some(prompt) = closing.prompt {
                    sink.prompt_count(id, prompt);
                }
                if let Some(times) = answer.times().filter(|_| self.settings.same_host) {
                    sink.engine_times(id, times);
                }
                sink.end(id, at, Ending::Completed(closing.finish));
            }
        }
    }

    fn without_key(&self, failure: Failure) -> Failure {
        match &self.settings.api_key {
            Some(key) => Failure { message: key.blot_out_of(&failure.message), ..failure },
            None => failure,
        }
    }

    /// Ends every request that has outlived a timeout.
    fn end_overdue(&self) {
        let at = now();
        let overdue: Vec<_> = {
            let flights = self.flights.borrow();
            let late = |(id, flight): (&RequestId, &Flight)| {
                Some((*id, self.verdict_on(&flight.course, at)?))
            };
            flights.iter().filter_map(late).collect()
        };
        for (id, verdict) in overdue {
            let Some(flight) = self.take_out(id) else { continue };
            flight.task.abort();
            let mut sink = self.sink.borrow_mut();
            match verdict {
                Overdue::Total => {
                    sink.timed_out(id, at);
                    sink.end(id, at, Ending::Cancelled);
                }
                Overdue::Failed(failure) => sink.fail(id, at, failure),
            }
        }
    }

    fn verdict_on(&self, course: &Course, at: MonoNs) -> Option<Overdue> {
        let Timeouts { first_byte, idle, total, .. } = self.settings.timeouts;
        let exceeds =
            |span: Nanos, limit: Duration| span.0 > 0 && span.0 as u128 > limit.as_nanos();
        if total.is_some_and(|total| exceeds(at - course.begun, total)) {
            return Some(Overdue::Total);
        }
        let (phase, since) = course.phase();
        let silent = |limit: Duration, kind: FailureKind, what: &str| {
            exceeds(at - since, limit)
                .then(|| Overdue::Failed(Failure::new(kind, format!("{what} within {limit:?}"))))
        };
        match phase {
            Phase::Connecting => None,
            Phase::Waiting => silent(first_byte, FailureKind::Silent, "no answer began"),
            Phase::Answering => silent(idle, FailureKind::Idle, "no further output"),
        }
    }
}

enum Overdue {
    Total,
    Failed(Failure),
}

/// Looks a few times per timeout, so that no token has to arm or disarm anything.
async fn watch_the_time(lane: Rc<Lane>) {
    let Timeouts { first_byte, idle, total, .. } = lane.settings.timeouts;
    let shortest = first_byte.min(idle).min(total.unwrap_or(idle));
    let tick = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250));
    loop {
        tokio::time::sleep(tick).await;
        lane.end_overdue();
    }
}
