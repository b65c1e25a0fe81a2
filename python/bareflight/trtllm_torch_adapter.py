"""`trtllm-torch:MODEL`: TensorRT-LLM's PyTorch backend in this process. NEVER RUN ON A GPU: written from its sources.

The engine is TensorRT-LLM's `PyExecutor`, which `LLM` builds and whose loop is a thread of its own. This adapter puts itself in the
place where that loop hands over its responses: their stamp is taken there, on the engine's thread, and everything else is done by
bareflight's. Requests are made by the library's own code before the clock and caught just before they are queued.

The options after the target's name and `--engine-arg` are arguments of `LLM`, but for two:

- ``responses=hooked`` or ``awaited``: where responses are taken. Default: hooked, where this version has the place, else awaited.
- ``request_seeds=1``: the seed of each request goes to the engine where it samples.
"""

from __future__ import annotations

import datetime
import json
import sys
import threading
import time
from collections import deque
from typing import Any

from bareflight import kv_events, model_folder, signatures, trtllm_library, trtllm_settings
from bareflight.adapter import Adapter, Ended, Refused, Request, Step
from bareflight.twin import Twin

#: Why the engine ended a request, in the words of the contract.
REASONS = {"LENGTH": "length", "END_ID": "stop", "STOP_WORDS": "stop_word", "TIMED_OUT": "timed_out"}
#: A step waits so long for responses; orders are looked at after that.
WAIT_S = 0.0005


class Engine(Adapter):
    """TensorRT-LLM's PyExecutor."""

    SETTINGS = frozenset({"max_batch_size", "max_num_tokens", "kv_reuse", "kv_tokens", "chunked_context", "cuda_graphs", "kv_events"})
    OPTIONS = None
    #: The engine's thread is not to be kept waiting by ours.
    SWITCH_INTERVAL_S = 1e-4

    @classmethod
    def describe(cls, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        version = trtllm_library.version()
        if version is None:
            raise Refused(
                "TensorRT-LLM is not installed in this environment: install bareflight into the environment that has it (NVIDIA's "
                "container), and start the `bareflight` of that environment"
            )
        folder = model_folder.read(model)
        arguments = trtllm_settings.arguments(model, settings, folder)
        most = arguments.get("max_num_tokens")
        whole_prompts = not arguments.get("enable_chunked_prefill")
        return {
            "title": f"TensorRT-LLM {version}: PyExecutor (PyTorch backend); this adapter was never run on a GPU",
            "limits": {
                "max_prompt_tokens": most if whole_prompts else None,
                "max_sequence_tokens": arguments["max_seq_len"],
                "vocab_size": folder.vocab_size,
                "max_batch_size": settings.get("max_batch_size"),
            },
            "special_ids": folder.special_ids,
            "gpus": 1,
            "dummy_weights": str(arguments.get("load_format")).lower() == "dummy",
            "details": {
                "library": "tensorrt_llm",
                "version": version,
                "adapter_ran_with": [],
                "adapter_read": list(trtllm_library.KNOWN_VERSIONS),
                "driver_level": f"PyExecutor, responses {wanted_responses(settings) or 'hooked where this version allows it'}",
                "child_processes": "none",
                "stamps": "engine thread where hooked, else a second thread with its lag",
                "orders_are_seen_within_s": WAIT_S,
                "request_seeds": "sent" if sends_seeds(settings) else "not sent",
                "detokenizes": False,
                "unproven": "nobody has run this adapter, on a GPU or elsewhere",
                "arguments": arguments,
            },
        }

    def open(self, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        trtllm_library.check_environment()
        trtllm_library.refuse_moved()
        self.statistics = bool(settings.get("iteration_stats"))
        self.stamps = bool(settings.get("engine_stamps"))
        self.sends_seeds = sends_seeds(settings)
        folder = model_folder.read(model)
        arguments = trtllm_settings.arguments(model, settings, folder)
        self.vocab_size = folder.vocab_size
        self.llm = trtllm_library.build(arguments)
        self.worker = self.llm._executor
        self.engine = trtllm_library.engine_of(self.worker)
        self.longest = int(getattr(self.worker, "max_seq_len", None) or arguments["max_seq_len"])
        self.whole = None if arguments.get("enable_chunked_prefill") else getattr(self.llm.args, "max_num_tokens", None)
        self.params: dict[tuple[int, str], Any] = {}
        self.ready: dict[int, Any] = {}
        self.id_of: dict[int, int] = {}
        self.index_of: dict[int, int] = {}
        self.inbox: deque[tuple[int, list[tuple[int, Any]]]] = deque()
        self.wake = threading.Event()
        self.read_statistics = trtllm_library.statistics_reader(self.worker) if self.statistics else list
        self.hooked = self.hook(wanted_responses(settings))
        return self.resolved()

    def resolved(self) -> dict[str, Any]:
        """What the engine made of the settings."""
        args = self.llm.args
        return {
            "driver_level": f"PyExecutor, responses {'hooked' if self.hooked else 'awaited'}",
            "stamps": "engine thread" if self.hooked else "second thread, lag up to one change of threads and a poll",
            "max_seq_len": self.longest,
            **{
                name: getattr(args, name, None)
                for name in ("max_batch_size", "max_num_tokens", "disable_overlap_scheduler", "enable_chunked_prefill", "backend")
            },
        }

    def hook(self, wanted: str | None) -> bool:
        """Puts itself where the engine's loop hands over responses; False where this version has no such place."""
        method = getattr(self.engine, "_enqueue_responses", None)
        possible = method is not None and signatures.takes(method, "responses")
        if wanted == "awaited":
            return False
        if not possible:
            if wanted == "hooked":
                raise Refused(
                    f"TensorRT-LLM {trtllm_library.version()} has no `PyExecutor._enqueue_responses(responses)`: use "
                    "`responses=awaited`"
                )
            return False
        inbox, wake, clock = self.inbox, self.wake, time.monotonic_ns

        def take(responses: Any) -> None:
            """Called by the engine's thread: a stamp, and the responses as they are."""
            at = clock()
            # A dictionary in older versions, pairs in newer ones.
            pairs = list(responses.items() if hasattr(responses, "items") else responses)
            if pairs:
                inbox.append((at, pairs))
                wake.set()

        self.engine._enqueue_responses = take
        return True

    def prepare(self, requests: list[Request]) -> list[tuple[int, str]]:
        refused = []
        with Caught(self.engine) as caught:
            for request in requests:
                prompt = memoryview(request.prompt).cast("I").tolist()
                why = self.why_not(prompt, request.max_tokens)
                if why is None:
                    try:
                        self.ready[request.index] = self.make(caught, request, prompt)
                        continue
                    except Exception as error:  # The library wraps whatever it finds into errors of its own.
                        why = " ".join(str(error).split()) or type(error).__name__
                refused.append((request.index, why))
        return refused

    def why_not(self, prompt: list[int], most: int) -> str | None:
        """Why a request would not get what it asks for."""
        if not prompt:
            return "the prompt is empty"
        if len(prompt) + most > self.longest:
            return (
                f"prompt and output need {len(prompt) + most} tokens, and the engine has `max_seq_len` {self.longest}: the output "
                "would be cut"
            )
        if self.whole is not None and len(prompt) > self.whole:
            return (
                f"the prompt has {len(prompt)} tokens, and without chunked context an iteration takes `max_num_tokens` {self.whole}"
            )
        if self.vocab_size is not None and max(prompt) >= self.vocab_size:
            return f"the prompt has the id {max(prompt)}, and the vocabulary has {self.vocab_size} ids"
        return None

    def make(self, caught: Caught, request: Request, prompt: list[int]) -> Any:
        """The engine's own form of a request, as the library's worker makes it."""
        from tensorrt_llm.executor.request import GenerationRequest

        params = self.params_of(request.max_tokens, request.terms)
        wanted = GenerationRequest(prompt_token_ids=prompt, sampling_params=params, streaming=True)
        # Ids of clients begin at 1: the library reads 0 as none.
        wanted.set_id(request.index + 1)
        self.worker._enqueue_request(wanted)
        made = caught.take()
        most = getattr(made, "max_tokens", request.max_tokens)
        if most != request.max_tokens:
            raise Refused(f"the library asks for {most} tokens instead of {request.max_tokens}")
        return made

    def params_of(self, most: int, terms: dict[str, Any]) -> Any:
        """Sampling parameters of a request; most requests of a plan have the same."""
        from tensorrt_llm import SamplingParams

        key = (most, json.dumps(terms, sort_keys=True))
        if key not in self.params:
            if len(self.params) >= 256:
                self.params.clear()
            # Without any of these the engine is greedy.
            said = {name: terms[name] for name in ("temperature", "top_p", "top_k") if terms.get(name) is not None}
            if self.sends_seeds and terms.get("seed") is not None:
                said["seed"] = terms["seed"]
            params = SamplingParams(
                max_tokens=most,
                min_tokens=terms.get("min_tokens") or None,
                ignore_eos=bool(terms.get("ignore_eos")),
                detokenize=False,
                return_perf_metrics=self.stamps,
                **said,
            )
            self.params[key] = self.llm._prepare_sampling_params(params)
        return self.params[key]

    def add(self, index: int) -> None:
        number = self.engine.enqueue_request(self.ready.pop(index))
        self.id_of[index] = number
        self.index_of[number] = index

    def cancel(self, index: int) -> bool:
        number = self.id_of.pop(index)
        del self.index_of[number]
        self.engine.cancel_request(number)
        # One that still waits is dropped without a word, one that runs says so: neither is listened to.
        return True

    def busy(self) -> bool:
        # A loop that has ended is found out by a step, also where all requests ended with it.
        return bool(self.index_of) or getattr(self.engine, "is_shutdown", False)

    def step(self) -> Step:
        at, responses = self.next_responses()
        ids: list[int] = []
        counts: list[int] = []
        tokens: list[int] = []
        ended: list[Ended] = []
        for number, response in responses:
            index = self.index_of.get(number)
            # It was cancelled; or, in newer versions, the loop had nothing to say of it.
            if index is None or response is None:
                continue
            if response.error_msg is not None:
                ended.append(self.end(index, number, f"error:{response.error_msg}", None))
                continue
            result = response.result
            if isinstance(getattr(result, "_result", None), bytes):
                result.deserialize()
            new = result.output_token_ids[0]
            if new:
                ids.append(index)
                counts.append(len(new))
                tokens += new
            if result.is_final:
                ended.append(self.end(index, number, reason_of(result), times_of(result)))
        return Step(at, ids, counts if len(tokens) != len(ids) else [], tokens, ended)

    def next_responses(self) -> tuple[int, list[tuple[int, Any]]]:
        """One hand-over of the engine's loop, or nothing after a short wait."""
        if not self.hooked:
            found = self.engine.await_responses(timeout=datetime.timedelta(seconds=WAIT_S))
            at = time.monotonic_ns()
            if not found:
                self.check_alive()
            return at, [(response.request_id, response) for response in found]
        if not self.inbox:
            self.wake.wait(WAIT_S)
        # What comes after this is either seen now or sets it again.
        self.wake.clear()
        if self.inbox:
            return self.inbox.popleft()
        self.check_alive()
        return time.monotonic_ns(), []

    def check_alive(self) -> None:
        """Raises where the engine's loop is dead: it would say nothing for ever."""
        error = getattr(self.engine, "_event_loop_error", None) or getattr(self.engine, "_fatal_error", None)
        if error is not None:
            raise RuntimeError(f"the engine's loop has failed: {error}")
        thread = getattr(self.engine, "worker_thread", None)
        if getattr(self.engine, "is_shutdown", False) or (thread is not None and not thread.is_alive()):
            raise RuntimeError("the engine's loop has ended; its log says why")

    def end(self, index: int, number: int, reason: str, times: Any) -> Ended:
        """The end of a request."""
        del self.index_of[number]
        del self.id_of[index]
        return Ended(index, reason, times)

    def iterations(self) -> list[str]:
        found = self.engine.get_latest_iteration_stats()
        at = time.monotonic_ns()
        return [json.dumps(iteration(said, at)) for said in self.read_statistics(list(found or []))]

    def kv_events(self) -> list[str]:
        return kv_events.texts_of_trtllm(self.engine.get_latest_kv_cache_events() or [])

    def close(self) -> None:
        self.llm.shutdown()

    @classmethod
    def release(cls) -> None:
        model_folder.give_back_gpu_memory()

    @classmethod
    def examine(cls) -> list[tuple[str, str]]:
        """Findings of the installed TensorRT-LLM: its version, and names that moved."""
        return trtllm_library.findings()

    @classmethod
    def served(cls, model: str, settings: dict[str, Any], port: str, name: str, folder: str) -> Twin:
        """The same engine behind `trtllm-serve`, which calls its model by its folder's name and not by `name`."""
        return trtllm_settings.served(model, settings, port, folder)


class Caught:
    """Catches what the library's worker would queue, while requests are made ready."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.requests: list[Any] = []

    def __enter__(self) -> Caught:
        def catch(request: Any, *_: Any, **__: Any) -> int:
            self.requests.append(request)
            return 0

        self.engine.enqueue_request = catch
        return self

    def __exit__(self, *_: object) -> None:
        # The class's own method is there again.
        del self.engine.enqueue_request

    def take(self) -> Any:
        """The one request that was caught."""
        if len(self.requests) != 1:
            caught, self.requests = len(self.requests), []
            raise RuntimeError(f"the library's worker queued {caught} requests for one")
        return self.requests.pop()


def wanted_responses(settings: dict[str, Any]) -> str | None:
    """Where responses are to be taken; None for the best place there is."""
    word = settings.get("options", {}).get("responses")
    if word not in (None, "hooked", "awaited"):
        raise Refused(f"the option `responses` is `{word}`: use `hooked` or `awaited`")
    return word


def sends_seeds(settings: dict[str, Any]) -> bool:
    """Whether the engine gets the seed of each request."""
    word = settings.get("options", {}).get("request_seeds", "0")
    if word not in ("0", "1"):
        raise Refused(f"the option `request_seeds` is `{word}`: use 0 or 1")
    return word == "1"


def reason_of(result: Any) -> str:
    """Why a request has ended, in the words of the contract."""
    reasons = result.finish_reasons
    word = getattr(reasons[0], "name", str(reasons[0])) if reasons else "none"
    return REASONS.get(word, f"error:the engine ended the request: {word}")


def times_of(result: Any) -> tuple[int | None, int | None, int | None, int | None] | None:
    """The engine's stamps of a request: arrival, first scheduled, first token, last token."""
    metrics = getattr(result, "request_perf_metrics", None)
    timing = getattr(metrics, "timing_metrics", None)
    if timing is None:
        return None
    stamps = (timing.arrival_time, timing.first_scheduled_time, timing.first_token_time, timing.last_token_time)
    arrival, scheduled, first, last = (round(each.total_seconds() * 1e9) or None for each in stamps)
    return arrival, scheduled, first, last


def iteration(said: dict[str, Any], read_at: int) -> dict[str, Any]:
    """Statistics of one iteration; its own stamp is of the wall clock, so that the time is when it was read."""
    batch = said.get("inflightBatchingStats")
    cache = said.get("kvCacheStats")
    # Under the overlap scheduler the latency of an iteration spans two loops; the host's time is of one.
    latency_ms = said.get("hostStepTimeMS", said.get("iterLatencyMS", 0.0))
    return {
        "iteration": said["iter"],
        "at_ns": read_at,
        "latency_ns": round(latency_ms * 1e6),
        "active": said.get("numActiveRequests", 0),
        "queued": said.get("numQueuedRequests", 0),
        "completed": said.get("numCompletedRequests", 0),
        "max_batch_size": said.get("maxBatchSizeRuntime") or said.get("maxNumActiveRequests") or None,
        "batch": None
        if batch is None
        else {
            "context_requests": batch.get("numContextRequests", 0),
            "context_tokens": batch.get("numCtxTokens", 0),
            "generation_requests": batch.get("numGenRequests", 0),
            "paused": batch.get("numPausedRequests", 0),
        },
        "kv": None
        if cache is None
        else {"used_blocks": cache.get("usedNumBlocks", 0), "max_blocks": cache.get("maxNumBlocks", 0)},
        "engine": said,
    }


if __name__ == "__main__":
    sys.exit(signatures.print_findings(Engine.examine()))
