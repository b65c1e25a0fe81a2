//! HOT PATH. Session over one executor: its poller thread turns deliveries into events.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::clock::MonoNs;
use crate::console;
use crate::ffi::engine::{Batch, Engine, Poller, RequestHead};
use crate::load::plan::Shot;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::executor::kv_events::ExecutorKvEvents;
use crate::targets::executor::open_executors::{CLOSE_WITHIN, OpenExecutors};
use crate::targets::executor::polling::poll_until_closed;
use crate::targets::executor::request::{PerRequest, WordLists, head_of};
use crate::targets::executor::response::{ending_of, failure_in, failure_of, times_of, use_of};
use crate::targets::executor::statistics::ExecutorStatistics;
use crate::targets::mpi_job::JobEnd;
use crate::targets::{Drain, EngineStatistics, KvEvents, Session};
use crate::threads::Own;

/// How long one poll may block; only shutting down has to wait for it.
const POLL_US: u32 = 50_000;

/// An opened executor.
pub struct ExecutorSession {
    engine: Engine,
    per_request: PerRequest,
    prompt: Vec<i32>,
    word_lists: WordLists,
    has_kv_events: bool,
    /// The first exception of a cancel.
    cancel_error: Option<String>,
    /// `None` once it is closed.
    open: Option<OpenExecutors>,
}

impl ExecutorSession {
    /// Starts the poller thread of `engine`, which owns `sink` from now on. When `job_end` comes, the whole target
    /// has failed.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        engine: Engine,
        per_request: PerRequest,
        job_end: JobEnd,
        sink: Sink,
    ) -> std::io::Result<Self> {
        let closing = Arc::new(AtomicBool::new(false));
        let poller = engine.poller();
        let closed = Arc::clone(&closing);
        let ended = job_end.clone();
        let poller =
            Own::Poller.builder().spawn(move || pump_all(poller, sink, &closed, &ended))?;
        let open = OpenExecutors {
            engines: vec![engine.for_another_thread()],
            pollers: vec![poller],
            closing,
            job_end,
        };
        Ok(Self {
            engine,
            per_request,
            prompt: Vec::with_capacity(1 << 14),
            word_lists: WordLists::default(),
            has_kv_events: false,
            cancel_error: None,
            open: Some(open),
        })
    }

    /// The same session; the executor may keep events of its KV cache.
    #[must_use]
    pub fn with_kv_events(mut self, has_kv_events: bool) -> Self {
        self.has_kv_events = has_kv_events;
        self
    }
}

impl Drop for ExecutorSession {
    /// On every path that does not finish it, an error's above all.
    fn drop(&mut self) {
        close_unfinished(self.open.take());
    }
}

/// Closes executors whose session nobody has finished.
pub(super) fn close_unfinished(open: Option<OpenExecutors>) {
    if let Some(Drain::Forced(text)) = open.map(|open| open.close(CLOSE_WITHIN)) {
        console::print_notice(format_args!("closing the target: {text}"));
    }
}

/// How a session ended, with an exception of a cancel where there was one.
pub(super) fn drained(drain: Drain, cancel_error: Option<String>) -> Drain {
    let Some(error) = cancel_error else { return drain };
    let cancelled = format!("a request could not be cancelled: {error}");
    Drain::Forced(match drain {
        Drain::Clean => cancelled,
        Drain::Forced(text) => format!("{text}; {cancelled}"),
    })
}

impl Session for ExecutorSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        self.word_lists
            .update(&shot.request.terms, |stop, bad| self.engine.set_words(stop, bad))?;
        let ids = &shot.request.prompt.ids;
        self.prompt.clear();
        self.prompt.extend(ids.iter().map(|id| *id as i32));
        hand_over(&self.engine, head_of(shot, self.per_request), &self.prompt)
    }

    fn cancel(&mut self, id: RequestId) {
        if let Err(error) = self.engine.cancel(u64::from(id.0)) {
            self.cancel_error.get_or_insert(error.to_string());
        }
    }

    fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        let engine = self.engine.for_another_thread();
        Some(Box::new(ExecutorStatistics::new(engine)))
    }

    fn kv_events(&self) -> Option<Box<dyn KvEvents>> {
        let engine = self.has_kv_events.then(|| self.engine.for_another_thread())?;
        Some(Box::new(ExecutorKvEvents::new(engine)))
    }

    fn finish(mut self: Box<Self>, _by: MonoNs) -> Drain {
        // Requests that are open at `by` are the executor's, which ends them in `CLOSE_WITHIN` or is left.
        let drain = self.open.take().map_or(Drain::Clean, |open| open.close(CLOSE_WITHIN));
        drained(drain, self.cancel_error.take())
    }
}

/// Polls until the session closes. If `poll` throws, polling stops and its message fails the target.
fn pump_all(
    poller: Poller,
    mut sink: Sink,
    closing: &AtomicBool,
    job_end: &JobEnd,
) -> Result<(), String> {
    poll_until_closed(poller, POLL_US, closing, job_end, |poller| {
        if pump(&poller.last(), &mut sink) > 0 {
            pump_failures(poller, &mut sink);
        }
    })
    .inspect_err(|message| sink.fail_target(message.as_str()))
}

/// Hands one request to an executor.
///
/// # Errors
/// When it is refused.
pub(super) fn hand_over(engine: &Engine, head: RequestHead, tokens: &[i32]) -> Result<(), Failure> {
    match engine.submit_batch(&[head], tokens) {
        Ok(refused) => refused.into_iter().next().map_or(Ok(()), |one| Err(failure_of(one))),
        Err(error) => Err(Failure::new(FailureKind::Engine, error.to_string())),
    }
}

/// Puts every delivery of a batch into the sink, except failed ones; returns how many failed.
#[inline]
fn pump(batch: &Batch<'_>, sink: &mut Sink) -> usize {
    let mut failed = 0;
    for delivery in batch.deliveries {
        let id = RequestId(delivery.id as u32);
        let at = MonoNs(delivery.received_ns);
        if delivery.error >= 0 {
            failed += 1;
            continue;
        }
        if delivery.token_count > 0 {
            sink.output(id, at, batch.tokens(delivery).iter().map(|token| *token as u32));
        }
        if delivery.is_final {
            if let Some(ending) = batch.ending(delivery) {
                sink.engine_times(id, times_of(ending));
                sink.engine_use(id, use_of(ending));
            }
            sink.end(id, at, ending_of(delivery));
        }
    }
    failed
}

/// Reports failed deliveries. Kept out of the hot loop: failures are rare, and their messages allocate.
fn pump_failures(poller: &Poller, sink: &mut Sink) {
    for delivery in poller.last().deliveries.iter().filter(|delivery| delivery.error >= 0) {
        let at = MonoNs(delivery.received_ns);
        sink.fail(RequestId(delivery.id as u32), at, failure_in(poller, delivery));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::gate::Gate;
    use crate::record::recorder::Recorder;
    use crate::settings::engine::EngineSettings;
    use crate::targets::executor::request::plain_head;
    use crate::targets::sim::wire_config;

    const REQUESTS: u64 = 64;
    const TOKENS: i32 = 200;

    fn submit_all(engine: &Engine, gate: &Gate) {
        for id in 0..REQUESTS {
            gate.open(RequestId(id as u32));
            let head = plain_head(id, 4, TOKENS);
            let refused =
                engine.submit_batch(&[head], &[5, 6, 7, 8]).expect("the executor is open");
            assert!(refused.is_empty());
        }
    }

    #[test]
    fn polling_and_passing_on_allocates_nothing_per_delivery() {
        let config = wire_config("null", &EngineSettings::default());
        let engine = Engine::open_simulated(&config).expect("a profile");
        let recorder = Recorder::start().expect("a thread");
        let gate = std::sync::Arc::new(Gate::new(REQUESTS as usize, 1));
        let mut sink = recorder.sink(&gate);
        let mut poller = engine.poller();
        submit_all(&engine, &gate);
        let mut deliveries = 0;
        let counted = allocation_counter::measure(|| {
            while gate.in_flight() > 0 {
                let batch = poller.poll(POLL_US).expect("the executor is open");
                deliveries += batch.deliveries.len();
                assert_eq!(pump(&batch, &mut sink), 0);
            }
        });
        assert!(deliveries as u64 >= REQUESTS, "{deliveries}");
        assert_eq!(counted.count_total, 0, "over {deliveries} deliveries");
        engine.close().expect("closes");
    }
}
