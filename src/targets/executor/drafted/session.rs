//! Session over a draft and a target executor: a poller thread for each, and the requests between them.
//!
//! What the draft engine says of ends and failures goes through the target's poller, which alone owns the sink: events of one
//! request come from one thread, in their order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::clock::{MonoNs, now};
use crate::ffi::engine::{Delivery, Engine, Poller, Sequences};
use crate::load::plan::Shot;
use crate::record::event::Ending;
use crate::record::request_record::{EngineTimes, EngineUse};
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::executor::answered::{ending_of, failure_in, times_of, use_of};
use crate::targets::executor::asked::{PerRequest, ToldWords, head_of};
use crate::targets::executor::drafted::request::{Ask, DraftedRequest, Next, Side};
use crate::targets::executor::kv_events::ExecutorKvEvents;
use crate::targets::executor::polling::poll_until_closed;
use crate::targets::executor::session::hand_over;
use crate::targets::executor::statistics::ExecutorStatistics;
use crate::targets::mpi_job::JobEnd;
use crate::targets::{Drain, EngineStatistics, KvEvents, Session};

/// How long one poll may block: also how late an end is seen that the draft engine brings.
const POLL_US: u32 = 5_000;

/// Requests between the two engines, and what the draft's poller wants the target's to tell.
#[derive(Default)]
struct Book {
    open: Mutex<HashMap<RequestId, DraftedRequest>>,
    words: Mutex<Vec<Word>>,
}

/// What happened on the draft engine's side.
enum Word {
    /// A request is over.
    Over(RequestId, MonoNs, Over),
    /// The draft engine as a whole answers no more.
    Broken(String),
}

/// How a request ended, with what was held back until then.
struct Over {
    output: Vec<u32>,
    said: (EngineTimes, EngineUse),
    end: Result<Ending, Failure>,
}

impl Book {
    fn open(&self) -> MutexGuard<'_, HashMap<RequestId, DraftedRequest>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn words(&self) -> MutexGuard<'_, Vec<Word>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request out.
    fn close(&self, id: RequestId, end: Result<Ending, Failure>) -> Option<Over> {
        let mut request = self.open().remove(&id)?;
        Some(Over { output: request.take_output(true), said: request.said(), end })
    }
}

/// One thread's handles on both engines.
struct Hands {
    draft: Engine,
    target: Engine,
    book: Arc<Book>,
}

impl Hands {
    fn for_another_thread(&self) -> Self {
        Self {
            draft: self.draft.for_another_thread(),
            target: self.target.for_another_thread(),
            book: Arc::clone(&self.book),
        }
    }

    fn engine(&self, side: Side) -> &Engine {
        match side {
            Side::Draft => &self.draft,
            Side::Target => &self.target,
        }
    }

    /// Asks one of the engines. A cancel that came while the request was between them is made good.
    fn send(&self, id: RequestId, ask: &Ask) -> Result<(), Failure> {
        hand_over(self.engine(ask.side), ask.head, &ask.tokens)?;
        if self.book.open().get(&id).is_some_and(DraftedRequest::is_cancelled) {
            self.cancel_there(ask.side, ask.head.id);
        }
        Ok(())
    }

    fn cancel_there(&self, side: Side, executor_id: u64) {
        // An executor that cannot even cancel is about to fail its requests, which its poller will see.
        let _seen_by_the_poller = self.engine(side).cancel(executor_id);
    }

    /// Goes on with a request; what it came to, if it is over.
    fn go_on(&self, id: RequestId, next: Next) -> Option<Over> {
        match next {
            Next::Ask(ask) => {
                let failure = self.send(id, &ask).err()?;
                self.book.close(id, Err(failure))
            }
            Next::End(ending) => self.book.close(id, Ok(ending)),
        }
    }
}

/// The request that a delivery belongs to, where that is its current call.
fn current<'a>(
    open: &'a mut HashMap<RequestId, DraftedRequest>,
    side: Side,
    delivery: &Delivery,
) -> Option<(RequestId, &'a mut DraftedRequest)> {
    let id = RequestId(delivery.id as u32);
    let request = open.get_mut(&id).filter(|request| request.place() == (side, delivery.id))?;
    Some((id, request))
}

/// Two executors that are driven together.
pub struct DraftedSession {
    hands: Hands,
    per_request: PerRequest,
    drafts: u32,
    words: ToldWords,
    closing: Arc<AtomicBool>,
    job_end: JobEnd,
    tells_kv_events: bool,
    pollers: [JoinHandle<Result<(), String>>; 2],
}

impl DraftedSession {
    /// Starts the poller threads of both engines; up to `drafts` tokens are proposed in each round.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        (draft, target): (Engine, Engine),
        drafts: u32,
        per_request: PerRequest,
        job_end: JobEnd,
        sink: Sink,
    ) -> std::io::Result<Self> {
        let hands = Hands { draft, target, book: Arc::default() };
        let closing = Arc::new(AtomicBool::new(false));
        let spawn = |name: &str, run: Box<dyn FnOnce() -> Result<(), String> + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run)
        };
        let (closed, ended) = (Arc::clone(&closing), job_end.clone());
        let (poller, mine) = (hands.draft.poller(), hands.for_another_thread());
        let of_draft =
            spawn("bf-drafts", Box::new(move || pump_drafts(poller, &mine, &closed, &ended)))?;
        let (closed, ended) = (Arc::clone(&closing), job_end.clone());
        let (poller, mine) = (hands.target.poller(), hands.for_another_thread());
        let of_target =
            spawn("bf-poller", Box::new(move || pump_target(poller, &mine, sink, &closed, &ended)))
                // The other one must not poll for ever.
                .inspect_err(|_| closing.store(true, Ordering::Release))?;
        Ok(Self {
            hands,
            per_request,
            drafts,
            words: ToldWords::default(),
            closing,
            job_end,
            tells_kv_events: false,
            pollers: [of_draft, of_target],
        })
    }

    /// The same; whether the target was told to keep events of its KV cache.
    #[must_use]
    pub fn telling_kv_events(self, tells_kv_events: bool) -> Self {
        Self { tells_kv_events, ..self }
    }
}

impl Session for DraftedSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let terms = &shot.request.terms;
        self.words.tell(terms, |stop, bad| {
            // What ends an output is the target's affair; what it may not hold need not be drafted.
            self.hands.draft.set_words(&Sequences::default(), bad)?;
            self.hands.target.set_words(stop, bad)
        })?;
        let prompt = shot.request.prompt.ids.iter().map(|id| *id as i32).collect();
        let (head, begun) = (head_of(shot, self.per_request), now());
        let mut request = DraftedRequest::new(head, prompt, Arc::clone(terms), self.drafts, begun);
        let Next::Ask(ask) = request.begin(begun) else {
            return Err(Failure::new(FailureKind::Refused, "no time is allotted to it"));
        };
        self.hands.book.open().insert(shot.id, request);
        self.hands.send(shot.id, &ask).inspect_err(|_| {
            self.hands.book.open().remove(&shot.id);
        })
    }

    fn cancel(&mut self, id: RequestId) {
        let place = self.hands.book.open().get_mut(&id).map(|request| {
            request.cancel();
            request.place()
        });
        if let Some((side, executor_id)) = place {
            self.hands.cancel_there(side, executor_id);
        }
    }

    fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        let engine = self.hands.target.for_another_thread();
        Some(Box::new(ExecutorStatistics::new(engine)))
    }

    fn kv_events(&self) -> Option<Box<dyn KvEvents>> {
        let engine = self.tells_kv_events.then(|| self.hands.target.for_another_thread())?;
        Some(Box::new(ExecutorKvEvents::new(engine)))
    }

    fn finish(self: Box<Self>, _by: MonoNs) -> Drain {
        if self.job_end.has_come() {
            // The engines wait for a rank that is gone, and closing them would wait, too.
            std::mem::forget(self);
            return Drain::Forced(JobEnd::WORDS.into());
        }
        let closed = [self.hands.draft.close(), self.hands.target.close()];
        self.closing.store(true, Ordering::Release);
        let polled = self
            .pollers
            .map(|poller| poller.join().unwrap_or_else(|_| Err("a poller thread panicked".into())));
        let closed = closed.into_iter().map(|it| it.map_err(|error| error.to_string()));
        match closed.chain(polled).find_map(Result::err) {
            None => Drain::Clean,
            Some(words) => Drain::Forced(words),
        }
    }
}

/// Hands what the draft engine proposes to the target.
fn pump_drafts(
    poller: Poller,
    hands: &Hands,
    closing: &AtomicBool,
    job_end: &JobEnd,
) -> Result<(), String> {
    poll_until_closed(poller, POLL_US, closing, job_end, |poller| {
        for delivery in poller.last().deliveries.iter().filter(|delivery| delivery.is_final) {
            pass_on(poller, delivery, hands);
        }
    })
    .inspect_err(|words| {
        hands.book.words().push(Word::Broken(format!("the draft engine: {words}")));
    })
}

fn pass_on(poller: &Poller, delivery: &Delivery, hands: &Hands) {
    let batch = poller.last();
    let next = {
        let mut open = hands.book.open();
        let Some((id, request)) = current(&mut open, Side::Draft, delivery) else { return };
        let next = if delivery.error >= 0 {
            let Failure { kind, message } = failure_in(poller, delivery);
            Err(Failure::new(kind, format!("the draft engine: {message}")))
        } else {
            let times = batch.ending(delivery).map(times_of).unwrap_or_default();
            Ok(request.drafted(batch.tokens(delivery), ending_of(delivery), times, now()))
        };
        (id, next)
    };
    let over = match next {
        (id, Ok(next)) => hands.go_on(id, next).map(|over| (id, over)),
        (id, Err(failure)) => hands.book.close(id, Err(failure)).map(|over| (id, over)),
    };
    if let Some((id, over)) = over {
        hands.book.words().push(Word::Over(id, MonoNs(delivery.received_ns), over));
    }
}

/// Tells what the target accepts, and begins the next round.
fn pump_target(
    poller: Poller,
    hands: &Hands,
    mut sink: Sink,
    closing: &AtomicBool,
    job_end: &JobEnd,
) -> Result<(), String> {
    poll_until_closed(poller, POLL_US, closing, job_end, |poller| {
        for delivery in poller.last().deliveries.iter().filter(|delivery| delivery.is_final) {
            take_in(poller, delivery, hands, &mut sink);
        }
        tell_words_of_drafts(&hands.book, &mut sink);
    })
    .inspect_err(|words| sink.break_off(words.as_str()))
}

fn take_in(poller: &Poller, delivery: &Delivery, hands: &Hands, sink: &mut Sink) {
    let batch = poller.last();
    let at = MonoNs(delivery.received_ns);
    let (id, next, output) = {
        let mut open = hands.book.open();
        let Some((id, request)) = current(&mut open, Side::Target, delivery) else { return };
        if delivery.error >= 0 {
            (id, Err(failure_in(poller, delivery)), Vec::new())
        } else {
            let said = batch.ending(delivery);
            let times = said.map(times_of).unwrap_or_default();
            let counts = said.map(use_of).unwrap_or_default();
            let tokens = batch.tokens(delivery);
            let next = request.verified(tokens, ending_of(delivery), times, counts, now());
            (id, Ok(next), request.take_output(false))
        }
    };
    if !output.is_empty() {
        sink.output(id, at, output.into_iter());
    }
    let over = match next {
        Ok(next) => hands.go_on(id, next),
        Err(failure) => hands.book.close(id, Err(failure)),
    };
    if let Some(over) = over {
        tell_end(id, at, over, sink);
    }
}

fn tell_words_of_drafts(book: &Book, sink: &mut Sink) {
    let words = std::mem::take(&mut *book.words());
    for word in words {
        match word {
            Word::Over(id, at, over) => tell_end(id, at, over, sink),
            Word::Broken(words) => sink.break_off(words),
        }
    }
}

fn tell_end(id: RequestId, at: MonoNs, over: Over, sink: &mut Sink) {
    let Over { output, said: (times, counts), end } = over;
    if !output.is_empty() {
        sink.output(id, at, output.into_iter());
    }
    match end {
        Ok(ending) => {
            sink.engine_times(id, times);
            sink.engine_use(id, counts);
            sink.end(id, at, ending);
        }
        Err(failure) => sink.fail(id, at, failure),
    }
}
