"""STAND-IN: a batch of requests, a token of each per iteration, prompts cut by the budget."""

import time
from types import SimpleNamespace

from vllm.distributed.kv_events import BlockRemoved, BlockStored, KVEventBatch, NullEventPublisher
from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType, EngineCoreOutput, FinishReason
from vllm.v1.metrics.stats import SchedulerIterationDetails, SchedulerStats

VOCABULARY = 8192


class Scheduler:
    def __init__(self, args, blocks):
        self.args = args
        self.blocks = blocks
        self.waiting = []
        self.running = []
        self.gone = set()
        self.iteration = 0
        self.kv_event_publisher = NullEventPublisher()
        self.stored = []

    def add_request(self, request):
        state = SimpleNamespace(request=request, done=0, left=len(request.prompt_token_ids), events=[])
        self.event(state, EngineCoreEventType.QUEUED)
        self.waiting.append(state)

    def event(self, state, kind):
        if not self.args.disable_log_stats:
            state.events.append(EngineCoreEvent(kind, time.monotonic()))

    def abort(self, names):
        for batch in (self.waiting, self.running):
            self.gone |= {state.request.request_id for state in batch if state.request.request_id in names}
            batch[:] = [state for state in batch if state.request.request_id not in names]

    def has_requests(self):
        return bool(self.waiting or self.running or self.gone)

    def schedule(self):
        """One iteration: who gets how many tokens. The caller hands the result to `update`."""
        self.gone.clear()
        self.iteration += 1
        if self.iteration == self.args.stand_in_fails_at:
            raise RuntimeError("CPU Generator does not use offset")
        if self.iteration == self.args.stand_in_preempts_at:
            state = self.running.pop()
            self.event(state, EngineCoreEventType.PREEMPTED)
            self.waiting.insert(0, state)
        while self.waiting and len(self.running) < self.args.max_num_seqs:
            state = self.waiting.pop(0)
            self.event(state, EngineCoreEventType.SCHEDULED)
            self.running.append(state)
        budget = self.args.max_num_batched_tokens
        plan = []
        for state in self.running:
            share = min(state.left or 1, budget)
            budget -= share
            if share:
                plan.append((state, share))
        return plan

    def update(self, plan):
        outputs = []
        context = [(state, share) for state, share in plan if state.left]
        for state, share in plan:
            if state not in self.running:
                continue
            state.left = max(0, state.left - share)
            if not state.left:
                outputs.append(self.advance(state))
        self.publish([state for state, _ in context if not state.left])
        return outputs, self.stats(plan, context)

    def publish(self, prefilled):
        """Whole blocks of prompts are stored; those of the prompt before the last one are removed."""
        if not (self.args.kv_events_config or {}).get("enable_kv_cache_events"):
            return
        events = []
        for state in prefilled:
            ids = state.request.prompt_token_ids
            size = self.args.block_size
            hashes = [hash(tuple(ids[:end])).to_bytes(32, "big", signed=True) for end in range(size, len(ids) + 1, size)]
            events.append(BlockStored(hashes, None, ids, size))
            self.stored.append(hashes)
            if len(self.stored) > 2:
                events.append(BlockRemoved(self.stored.pop(0)))
        if events:
            self.kv_event_publisher.publish(KVEventBatch(time.time(), events))

    def advance(self, state):
        params = state.request.sampling_params
        count = min(self.args.stand_in_tokens, params.max_tokens - state.done)
        first = sum(state.request.prompt_token_ids)
        tokens = [(first + state.done + i) % VOCABULARY for i in range(count)]
        state.done += count
        output = EngineCoreOutput(state.request.request_id, tokens, events=state.events or None)
        if state.done == count:
            output.prefill_stats = SimpleNamespace(num_prompt_tokens=len(state.request.prompt_token_ids), num_cached_tokens=0)
        state.events = []
        if state.done == params.max_tokens:
            output.finish_reason = FinishReason.LENGTH
        elif self.iteration == self.args.stand_in_aborts_at:
            output.finish_reason = FinishReason.ABORT
        if output.finish_reason is not None:
            self.running.remove(state)
            self.gone.add(state.request.request_id)
        return output

    def stats(self, plan, context):
        if self.args.disable_log_stats:
            return None
        block = self.args.block_size
        used = sum(-(-(len(s.request.prompt_token_ids) - s.left + s.done) // block) for s in self.running)
        stats = SchedulerStats(len(self.running), len(self.waiting), 0, used / (self.blocks - 1))
        if self.args.enable_logging_iteration_details and plan:
            tokens = sum(share for _, share in context)
            generating = len(plan) - len(context)
            stats.iteration_details = SchedulerIterationDetails(
                self.iteration, len(context), tokens, generating, generating, 0.1
            )
        return stats
