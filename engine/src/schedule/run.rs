//! Engine thread: one forward pass per iteration over all running requests.
//!
//! Requests join and leave between iterations. Per iteration the inbox and the statistics are locked once, both for a few
//! moves; the buffers live as long as the loop, and what is allocated is what candle takes and returns as owned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::packing::pack;
use super::sequence::Sequence;
use super::waiting::Waiting;
use crate::delivery::{Delivery, End, FinishReason, KvUse, Sink, Stamps};
use crate::inbox::{Arrival, Inbox};
use crate::info::ModelInfo;
use crate::kv::{BlockPool, KvStore};
use crate::model::batch::Batch;
use crate::model::forward::Model;
use crate::sampling::Sampler;
use crate::stats::{IterationStats, StatsRing};

/// State of the engine thread.
pub(crate) struct Loop {
    info: ModelInfo,
    max_total: usize,
    now_ns: fn() -> i64,
    inbox: Arc<Inbox>,
    stats: Arc<StatsRing>,
    sink: Box<dyn Sink>,
    model: Model,
    kv: KvStore,
    pool: BlockPool,
    waiting: Waiting,
    active: Vec<Sequence>,
    sampler: Sampler,
    iteration: u64,
    // Buffers that live as long as the loop.
    arrivals: Vec<Arrival>,
    cancels: Vec<u64>,
    batch: Batch,
    /// Tokens that each of `active` gets in this iteration.
    chunks: Vec<usize>,
    logits: Vec<f32>,
    /// The token chosen for each of `active`, and the reason to end if it is the last.
    chosen: Vec<Option<(u32, Option<FinishReason>)>>,
}

impl Loop {
    pub(crate) fn new(
        info: ModelInfo,
        model: Model,
        inbox: Arc<Inbox>,
        stats: Arc<StatsRing>,
        sink: Box<dyn Sink>,
        now_ns: fn() -> i64,
    ) -> Loop {
        let blocks = info.kv_tokens / info.tokens_per_block;
        Loop {
            max_total: info.max_total_tokens(),
            now_ns,
            inbox,
            stats,
            sink,
            kv: KvStore::new(model.shape(), blocks, info.tokens_per_block),
            pool: BlockPool::new(blocks, info.tokens_per_block, info.block_reuse),
            model,
            waiting: Waiting::default(),
            active: Vec::with_capacity(info.max_batch_size),
            sampler: Sampler::default(),
            iteration: 0,
            arrivals: Vec::new(),
            cancels: Vec::new(),
            batch: Batch::default(),
            chunks: Vec::new(),
            logits: Vec::new(),
            chosen: Vec::new(),
            info,
        }
    }

    /// Runs until the inbox is shut down, or until an iteration fails.
    pub(crate) fn run(mut self) {
        loop {
            let idle = self.active.is_empty() && self.waiting.len() == 0;
            let open = self.inbox.take(idle, &mut self.arrivals, &mut self.cancels);
            for arrival in self.arrivals.drain(..) {
                self.waiting.insert(arrival);
            }
            if !open {
                return self.end_all(FinishReason::Cancelled, None);
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                self.apply_cancels();
                self.admit();
                if self.active.is_empty() { Ok(()) } else { self.iterate() }
            }));
            let failure = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(panic) => panic_message(&*panic),
            };
            self.inbox.fail(&failure);
            // A request may have been accepted between the last `take` and `fail`.
            self.inbox.take(false, &mut self.arrivals, &mut self.cancels);
            for arrival in self.arrivals.drain(..) {
                self.waiting.insert(arrival);
            }
            return self.end_all(FinishReason::Error, Some(&failure));
        }
    }

    fn apply_cancels(&mut self) {
        while let Some(id) = self.cancels.pop() {
            if let Some(arrival) = self.waiting.remove(id) {
                self.end_waiting(arrival, FinishReason::Cancelled, None);
            } else if let Some(at) = self.active.iter().position(|sequence| sequence.id == id) {
                let sequence = self.active.remove(at);
                let at_ns = (self.now_ns)();
                self.end_active(sequence, at_ns, &[], FinishReason::Cancelled, None);
            }
        }
    }

    /// In order of priority, as long as there is room; the first that does not fit holds up the rest, so none starves.
    fn admit(&mut self) {
        while self.active.len() < self.info.max_batch_size {
            let Some(first) = self.waiting.first() else { return };
            let prompt = &first.request.prompt;
            let max_output = first.request.max_tokens.min(self.max_total - prompt.len());
            let Some(table) = self.pool.admit(prompt, prompt.len() + max_output) else {
                assert!(
                    !self.active.is_empty(),
                    "a request that was accepted fits into an empty cache"
                );
                return;
            };
            let arrival = self.waiting.take_first().expect("it was looked at above");
            let reused = table.reused() * self.info.tokens_per_block;
            self.active.push(Sequence::new(arrival, table, reused, max_output));
            self.inbox.admitted();
        }
    }

    fn iterate(&mut self) -> Result<(), String> {
        let started_ns = (self.now_ns)();
        let mut record = self.fill_batch(started_ns);
        self.model
            .forward(&self.batch, &mut self.kv, &mut self.logits)
            .map_err(|error| format!("the forward pass failed: {error}"))?;
        self.choose()?;
        let ended_ns = (self.now_ns)();
        record.latency_ns = ended_ns - started_ns;
        record.completed = self.append(ended_ns);
        self.stats.push(record);
        self.iteration += 1;
        self.deliver(ended_ns);
        Ok(())
    }

    /// Packs the batch and takes the blocks that it needs; the record of this iteration as far as it is known.
    fn fill_batch(&mut self, started_ns: i64) -> IterationStats {
        pack(self.active.iter().map(Sequence::pending), self.info.max_num_tokens, &mut self.chunks);
        self.batch.clear();
        let (mut context_requests, mut context_tokens, mut generation_requests) = (0, 0, 0);
        for (sequence, &chunk) in self.active.iter_mut().zip(&self.chunks) {
            if chunk == 0 {
                continue;
            }
            sequence.stamps.first_scheduled_ns.get_or_insert(started_ns);
            if sequence.is_generating() {
                generation_requests += 1;
            } else {
                context_requests += 1;
                context_tokens += chunk;
            }
            let until = sequence.computed + chunk;
            self.pool.grow(&mut sequence.table, until);
            let wants_logits = until == sequence.tokens.len();
            let tokens = &sequence.tokens[sequence.computed..until];
            self.batch.push(tokens, sequence.computed, sequence.table.blocks(), wants_logits);
        }
        IterationStats {
            iteration: self.iteration,
            at_ns: started_ns,
            latency_ns: 0,
            queued: self.waiting.len(),
            active: self.active.len(),
            max_active: self.info.max_batch_size,
            scheduled: context_requests + generation_requests,
            context_requests,
            context_tokens,
            generation_requests,
            completed: 0,
            kv_blocks_used: self.pool.used(),
            kv_blocks_reserved: self.pool.reserved(),
            kv_blocks_max: self.pool.capacity(),
            tokens_per_block: self.info.tokens_per_block,
        }
    }

    /// Records the computed tokens, and chooses a token for each sequence whose last known token was.
    fn choose(&mut self) -> Result<(), String> {
        self.chosen.clear();
        let mut rows = self.logits.chunks_exact(self.info.vocab_size);
        for (sequence, &chunk) in self.active.iter_mut().zip(&self.chunks) {
            sequence.computed += chunk;
            self.pool.publish(&mut sequence.table, &sequence.tokens, sequence.computed);
            if chunk == 0 || sequence.pending() > 0 {
                self.chosen.push(None);
                continue;
            }
            let row = rows.next().ok_or("the forward pass gave too few logits")?;
            let masked = sequence.masked(&self.info.eos_token_ids);
            let token = self.sampler.choose(row, masked, sequence.sampling, &mut sequence.draws);
            let token = token
                .ok_or("the logits are not finite numbers; the weights are broken or overflow")?;
            self.chosen.push(Some((token, None)));
        }
        Ok(())
    }

    /// Appends the chosen tokens; returns how many requests end with theirs.
    fn append(&mut self, at_ns: i64) -> usize {
        let mut completed = 0;
        for (sequence, chosen) in self.active.iter_mut().zip(&mut self.chosen) {
            if let Some((token, reason)) = chosen {
                *reason = sequence.append(*token, at_ns, &self.info.eos_token_ids);
                completed += usize::from(reason.is_some());
            }
        }
        completed
    }

    /// Delivers the chosen tokens; requests that end leave the batch.
    fn deliver(&mut self, at_ns: i64) {
        let mut index = 0;
        for chosen in 0..self.chosen.len() {
            match self.chosen[chosen] {
                None => index += 1,
                Some((token, None)) => {
                    let id = self.active[index].id;
                    index += 1;
                    self.sink.deliver(Delivery { id, at_ns, tokens: &[token], end: None });
                }
                Some((token, Some(reason))) => {
                    let sequence = self.active.remove(index);
                    self.end_active(sequence, at_ns, &[token], reason, None);
                }
            }
        }
    }

    /// Ends every request once, even if the sink panics: each request has left before the sink is called.
    fn end_all(&mut self, reason: FinishReason, error: Option<&str>) {
        while catch_unwind(AssertUnwindSafe(|| self.end_each(reason, error))).is_err() {}
    }

    fn end_each(&mut self, reason: FinishReason, error: Option<&str>) {
        let at_ns = (self.now_ns)();
        while !self.active.is_empty() {
            let sequence = self.active.remove(0);
            self.end_active(sequence, at_ns, &[], reason, error);
        }
        while let Some(arrival) = self.waiting.take_first() {
            self.end_waiting(arrival, reason, error);
        }
    }

    /// The sequence has left `active`, and its id is free, before the sink is called, so it ends once even if the sink panics.
    fn end_active(
        &mut self,
        sequence: Sequence,
        at_ns: i64,
        tokens: &[u32],
        reason: FinishReason,
        error: Option<&str>,
    ) {
        let (id, stamps, kv) = (sequence.id, sequence.stamps, sequence.table.usage());
        self.pool.release(sequence.table);
        self.inbox.ended(id, false);
        let end = End { reason, error, stamps, kv };
        self.sink.deliver(Delivery { id, at_ns, tokens, end: Some(end) });
    }

    fn end_waiting(&mut self, arrival: Arrival, reason: FinishReason, error: Option<&str>) {
        let id = arrival.request.id;
        self.inbox.ended(id, true);
        let stamps = Stamps {
            arrival_ns: arrival.arrival_ns,
            first_scheduled_ns: None,
            first_token_ns: None,
            last_token_ns: None,
        };
        let end = End { reason, error, stamps, kv: KvUse::default() };
        self.sink.deliver(Delivery { id, at_ns: (self.now_ns)(), tokens: &[], end: Some(end) });
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the engine thread panicked: {}", text.unwrap_or("no message"))
}
