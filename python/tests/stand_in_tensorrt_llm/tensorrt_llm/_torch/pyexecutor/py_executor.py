"""STAND-IN: an engine with a loop on a thread of its own."""

import datetime
import enum
import queue
import threading
import time
from types import SimpleNamespace

from tensorrt_llm._torch.pyexecutor.llm_request import LlmResponse, LlmResult

STEP_S = 0.001


class FinishReason(enum.Enum):
    NOT_FINISHED = 0
    END_ID = 1
    STOP_WORDS = 2
    LENGTH = 3
    TIMED_OUT = 4
    CANCELLED = 5


def since_start():
    return datetime.timedelta(seconds=time.monotonic())


class KVCacheCreatedData(SimpleNamespace):
    pass


class KVCacheStoredData(SimpleNamespace):
    pass


class KVCacheRemovedData(SimpleNamespace):
    pass


class KVCacheUpdatedData(SimpleNamespace):
    pass


def events_of_blocks():
    """One of each kind, as TensorRT-LLM makes them."""
    block = SimpleNamespace(block_hash=-1, cache_level=0, priority=35)
    offloaded = SimpleNamespace(old_value=0, new_value=1)
    datas = [
        KVCacheCreatedData(num_blocks_per_cache_level=[8, 0]),
        KVCacheStoredData(parent_hash=255, blocks=[block]),
        KVCacheUpdatedData(block_hash="ff" * 32, cache_level=offloaded, priority=None),
        KVCacheRemovedData(block_hashes=[16]),
    ]
    return [SimpleNamespace(event_id=i, window_size=512, data=data) for i, data in enumerate(datas)]


class PyExecutor:
    #: Responses are handed over as pairs; a dictionary in older versions.
    hands_over = list

    def __init__(self, args):
        self.args = args
        self.request_queue = queue.Queue()
        self.response_cv = threading.Condition()
        self.responses = {}
        self.is_shutdown = False
        self._event_loop_error = None
        self._fatal_error = None
        self.next_id = 1
        self.waiting = []
        self.active = []
        self.cancelled = set()
        self.stats = []
        self.stats_lock = threading.Lock()
        self.iteration = 0
        self.worker_thread = threading.Thread(target=self._event_loop_wrapper, daemon=True)
        self.worker_thread.start()

    def enqueue_request(self, request, result_wait_queue=None):
        number, self.next_id = self.next_id, self.next_id + 1
        self.request_queue.put((number, request))
        return number

    def cancel_request(self, id):
        self.request_queue.put((id, None))

    def can_enqueue_requests(self):
        return not self.is_shutdown

    def await_responses(self, id=None, timeout=None):
        with self.response_cv:
            self.response_cv.wait_for(lambda: self.responses or self.is_shutdown, timeout.total_seconds())
            found = [response for responses in self.responses.values() for response in responses]
            self.responses = {}
        return found

    def get_latest_iteration_stats(self):
        with self.stats_lock:
            found, self.stats = self.stats, []
        return found

    def get_latest_kv_cache_events(self):
        if not self.args.kv_cache_config.given.get("event_buffer_max_size"):
            return []
        return events_of_blocks()

    def shutdown(self):
        self.is_shutdown = True
        self.worker_thread.join()

    def _event_loop_wrapper(self):
        try:
            while not self.is_shutdown:
                self._step()
        except Exception as error:
            self._event_loop_error = error
        finally:
            self.is_shutdown = True
            with self.response_cv:
                self.response_cv.notify_all()

    def _step(self):
        time.sleep(STEP_S)
        self._fetch()
        if not self.active:
            return
        self.iteration += 1
        if self.iteration == self.args.stand_in_fails_at:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if self.iteration == self.args.stand_in_fatal_at:
            # All requests fail, then the loop ends.
            self._fatal_error = RuntimeError("Fatal error: out of memory")
            self.is_shutdown = True
            self._enqueue_responses(
                [(state.number, LlmResponse(state.number, error_msg="out of memory")) for state in self.active]
            )
            return
        responses = [(state.number, self._advance(state)) for state in list(self.active)]
        self._enqueue_responses(self.hands_over(responses))
        if self.args.enable_iter_perf_stats:
            self._tell()

    def _fetch(self):
        while not self.request_queue.empty():
            number, request = self.request_queue.get()
            if request is None:
                self.cancelled.add(number)
                # One that waits is dropped without a word.
                self.waiting = [state for state in self.waiting if state.number != number]
            else:
                self.waiting.append(SimpleNamespace(number=number, request=request, done=0, arrival=since_start()))
        while self.waiting and len(self.active) < self.args.max_batch_size:
            state = self.waiting.pop(0)
            state.scheduled = since_start()
            self.active.append(state)

    def _advance(self, state):
        request = state.request
        if self.iteration == self.args.stand_in_error_at:
            self.active.remove(state)
            return LlmResponse(state.number, error_msg="out of pages", client_id=request.client_id)
        cancelled = state.number in self.cancelled
        tokens = [] if cancelled else [(sum(request.input_token_ids) + state.done) % 8192]
        state.done += len(tokens)
        if state.done == 1:
            state.first = since_start()
        reason = FinishReason.CANCELLED if cancelled else FinishReason.NOT_FINISHED
        if state.done == request.max_tokens:
            reason = FinishReason.LENGTH
        final = reason is not FinishReason.NOT_FINISHED
        metrics = None
        if final:
            self.active.remove(state)
            if request.sampling.return_perf_metrics and not cancelled:
                timing = SimpleNamespace(
                    arrival_time=state.arrival,
                    first_scheduled_time=state.scheduled,
                    first_token_time=state.first,
                    last_token_time=since_start(),
                )
                metrics = SimpleNamespace(timing_metrics=timing)
        result = SimpleNamespace(output_token_ids=[tokens], finish_reasons=[reason], request_perf_metrics=metrics)
        return LlmResponse(state.number, result=LlmResult(result, final), client_id=request.client_id)

    def _tell(self):
        told = {
            "iter": self.iteration,
            "iterLatencyMS": 2.0,
            "hostStepTimeMS": 1.0,
            "numActiveRequests": len(self.active),
            "numQueuedRequests": len(self.waiting),
            "numCompletedRequests": 0,
            "maxNumActiveRequests": self.args.max_batch_size,
            "inflightBatchingStats": {"numContextRequests": 0, "numGenRequests": len(self.active), "numCtxTokens": 0},
            "kvCacheStats": {"maxNumBlocks": 100, "usedNumBlocks": len(self.active)},
        }
        with self.stats_lock:
            self.stats.append((told, None))

    def _enqueue_responses(self, responses):
        pairs = responses.items() if isinstance(responses, dict) else responses
        with self.response_cv:
            for number, response in pairs:
                self.responses.setdefault(number, []).append(response)
            self.response_cv.notify_all()
