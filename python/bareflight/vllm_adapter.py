"""`vllm:MODEL_DIR`: vLLM's engine core in this process, beneath its convenience class.

Requests are made ready by vLLM's input processor before the clock; a step is one iteration of the engine core and nothing
more. The options after the target's name and `--engine-arg` are vLLM's own arguments, but for two:

- ``core=child``: the engine core in a child process, as vLLM's servers have it; the way there and back is then measured too.
- ``request_seeds=1``: the seed of each request goes to vLLM where it samples.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from bareflight import model_folder, signatures, vllm_library, vllm_settings
from bareflight.adapter import Adapter, Ended, Refused, Request, Step
from bareflight.kv_events import VllmEvents
from bareflight.twin import Twin

#: Why vLLM ended a request, in the words of the contract.
REASONS = {"length": "length", "stop": "stop", "repetition": "stop_word"}
#: Kinds of events of a request, as vLLM numbers them.
QUEUED, SCHEDULED, PREEMPTED = 1, 2, 3


class Engine(Adapter):
    """vLLM's engine core."""

    SETTINGS = frozenset({"max_batch_size", "max_num_tokens", "kv_reuse", "kv_tokens", "chunked_context", "cuda_graphs", "kv_events"})
    OPTIONS = None

    @classmethod
    def describe(cls, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        version = vllm_library.version()
        if version is None:
            raise Refused(
                "vLLM is not installed in this environment: install bareflight into the environment that has it, and start the "
                "`bareflight` of that environment"
            )
        folder, cpu = model_folder.read(model), vllm_library.is_cpu_build()
        arguments = vllm_settings.arguments(model, settings, folder, cpu)
        child = in_child(settings)
        if child and settings.get("kv_events") is not None:
            raise Refused("`--kv-events` are taken from the engine core in this process: leave it out, or leave out `core=child`")
        ranks = int(arguments.get("tensor_parallel_size") or 1) * int(arguments.get("pipeline_parallel_size") or 1)
        level = "EngineCore in a child process" if child else "EngineCore (InprocClient)"
        return {
            "title": f"vLLM {version}: {level}{', CPU' if cpu else ''}",
            "limits": {
                "max_sequence_tokens": longest_of(arguments),
                "vocab_size": folder.vocab_size,
                "max_batch_size": settings.get("max_batch_size"),
            },
            "special_ids": folder.special_ids,
            "gpus": 0 if cpu else ranks,
            "dummy_weights": arguments.get("load_format") == "dummy",
            "details": {
                "library": "vllm",
                "version": version,
                "adapter_ran_with": list(vllm_library.RUN_VERSIONS),
                "adapter_read": list(vllm_library.READ_VERSIONS),
                "driver_level": level,
                "child_processes": children(child, ranks),
                "stamps": "engine thread, after the message of a child process" if child else "engine thread",
                "request_seeds": "sent" if sends_seeds(settings) else "not sent",
                "detokenizes": False,
                "arguments": arguments,
                **({} if cpu else {"unproven": "nobody has run this adapter on a GPU"}),
            },
        }

    def open(self, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        self.child = in_child(settings)
        vllm_library.check_environment()
        vllm_library.refuse_moved()
        self.sends_seeds = sends_seeds(settings)
        self.statistics = bool(settings.get("iteration_stats"))
        folder, cpu = model_folder.read(model), vllm_library.is_cpu_build()
        arguments = vllm_settings.arguments(model, settings, folder, cpu)
        wanted = self.with_details(arguments)
        self.has_details = bool(wanted.get("enable_logging_iteration_details"))
        self.engine = vllm_library.build([f"--model={wanted['model']}", *vllm_settings.argv(wanted)], self.child)
        self.client = self.engine.engine_core
        if self.child:
            vllm_library.watch_child(self.client)
        self.events = None if settings.get("kv_events") is None else VllmEvents(self.client)
        self.config = self.engine.vllm_config
        self.vocab_size = folder.vocab_size or self.config.model_config.get_vocab_size()
        self.longest = self.config.model_config.max_model_len
        self.check_blocks(arguments, settings.get("kv_tokens"))
        self.make_request = vllm_library.request_maker(self.engine)
        self.params: dict[tuple[int, str], Any] = {}
        self.ready: dict[int, Any] = {}
        self.name_of: dict[int, str] = {}
        self.index_of: dict[str, int] = {}
        self.times: dict[int, tuple[int | None, int | None, int | None]] = {}
        self.lookups: dict[int, tuple[int, int]] = {}
        self.wanted: dict[int, int] = {}
        self.block = self.config.cache_config.block_size
        self.told: list[tuple[Any, ...]] = []
        self.steps = self.preempted = 0
        # Looked up once, and called in every step.
        self.get_output = self.client.get_output
        return self.resolved()

    def with_details(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments, and statistics of what an iteration worked on, where vLLM hands them over and does not log them."""
        stats = signatures.first_of("vllm.v1.metrics.stats:SchedulerStats")
        hands_over = not signatures.missing_fields(stats, ("iteration_details",))
        if self.statistics and hands_over and "enable_logging_iteration_details" not in arguments:
            return {**arguments, "enable_logging_iteration_details": True}
        return arguments

    def check_blocks(self, arguments: dict[str, Any], tokens: int | None) -> None:
        """Refuses an engine that took another size of block than was asked for."""
        block = self.config.cache_config.block_size
        if tokens is not None and block != arguments["block_size"]:
            raise Refused(
                f"`--kv-tokens` was said in blocks of {arguments['block_size']} tokens, and vLLM takes blocks of {block} for this "
                f"model: give `--engine-arg block_size={block}`"
            )

    def resolved(self) -> dict[str, Any]:
        """What vLLM made of the settings."""
        cache, scheduler = self.config.cache_config, self.config.scheduler_config
        return {
            "max_model_len": self.longest,
            "max_num_seqs": scheduler.max_num_seqs,
            "max_num_batched_tokens": scheduler.max_num_batched_tokens,
            "chunked_prefill": getattr(scheduler, "enable_chunked_prefill", None),
            "async_scheduling": getattr(scheduler, "async_scheduling", None),
            "prefix_caching": cache.enable_prefix_caching,
            "kv_block_size": cache.block_size,
            "kv_blocks": cache.num_gpu_blocks,
            "dtype": str(self.config.model_config.dtype).removeprefix("torch."),
            "eager": getattr(self.config.model_config, "enforce_eager", None),
            "client": type(self.client).__name__,
            **self.workers(),
        }

    def workers(self) -> dict[str, str]:
        """Who computes, where vLLM does not do it on this thread."""
        executor = getattr(getattr(self.client, "engine_core", None), "model_executor", None)
        if executor is None:
            return {}
        name = type(executor).__name__
        # The one that calls its worker as a function; all others start processes.
        parts = {} if name.startswith("UniProc") else {"child_processes": f"workers of {name}"}
        return {"executor": name, **parts}

    def prepare(self, requests: list[Request]) -> list[tuple[int, str]]:
        refused = []
        for request in requests:
            prompt = memoryview(request.prompt).cast("I").tolist()
            why = self.why_not(prompt, request.max_tokens)
            if why is None:
                try:
                    params = self.params_of(request.max_tokens, request.terms)
                    self.ready[request.index] = self.make_request(str(request.index), prompt, params)
                    continue
                except ValueError as error:
                    why = " ".join(str(error).split())
            refused.append((request.index, why))
        return refused

    def why_not(self, prompt: list[int], most: int) -> str | None:
        """Why a request would not get what it asks for."""
        if not prompt:
            return "the prompt is empty"
        if len(prompt) + most > self.longest:
            return (
                f"prompt and output need {len(prompt) + most} tokens, and the engine has `max_model_len` {self.longest}: it would "
                "end short"
            )
        if max(prompt) >= self.vocab_size:
            return f"the prompt has the id {max(prompt)}, and the vocabulary has {self.vocab_size} ids"
        return None

    def params_of(self, most: int, terms: dict[str, Any]) -> Any:
        """Sampling parameters of a request; most requests of a plan have the same."""
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        key = (most, json.dumps(terms, sort_keys=True))
        if key not in self.params:
            if len(self.params) >= 256:
                self.params.clear()
            said = {name: terms[name] for name in ("top_p", "top_k") if terms.get(name) is not None}
            if self.sends_seeds and terms.get("seed") is not None:
                said["seed"] = terms["seed"]
            self.params[key] = SamplingParams(
                max_tokens=most,
                min_tokens=terms.get("min_tokens") or 0,
                ignore_eos=bool(terms.get("ignore_eos")),
                temperature=terms.get("temperature") or 0.0,
                detokenize=False,
                output_kind=RequestOutputKind.DELTA,
                **said,
            )
        return self.params[key]

    def add(self, index: int) -> None:
        request = self.ready.pop(index)
        # vLLM gives requests names of its own, with a random end; outputs have those.
        name = request.request_id
        self.client.add_request(request)
        self.wanted[index] = request.sampling_params.max_tokens
        self.name_of[index] = name
        self.index_of[name] = index

    def cancel(self, index: int) -> bool:
        name = self.name_of[index]
        self.forget(index, name)
        self.client.abort_requests([name])
        # vLLM says no word of an aborted request.
        return True

    def busy(self) -> bool:
        # What the core still holds of ended requests it lets go of in its next iteration, with the next request.
        return bool(self.index_of)

    def step(self) -> Step:
        began = time.monotonic_ns()
        given = self.get_output()
        at = time.monotonic_ns()
        ids: list[int] = []
        counts: list[int] = []
        tokens: list[int] = []
        ended: list[Ended] = []
        for output in given.outputs:
            index = self.index_of.get(output.request_id)
            if index is None:  # It was aborted while its iteration ran.
                continue
            new = output.new_token_ids
            if new:
                ids.append(index)
                counts.append(len(new))
                tokens += new
            if output.events:
                self.note_events(index, output, given.timestamp)
            if output.finish_reason is not None:
                ended.append(self.end(index, output, given.timestamp))
        if self.statistics:
            self.note_iteration(began, at, given, len(ended))
        return Step(at, ids, counts if len(tokens) != len(ids) else [], tokens, ended)

    def note_iteration(self, began: int, at: int, given: Any, completed: int) -> None:
        """Keeps the statistics of an iteration; one that worked on nothing is none."""
        stats = given.scheduler_stats
        if stats is None or (self.has_details and stats.iteration_details is None):
            return
        self.steps += 1
        self.told.append((self.steps, began, at, given.timestamp, completed, self.preempted, stats))
        self.preempted = 0

    def note_events(self, index: int, output: Any, now: float) -> None:
        """Keeps the engine's stamps of a request and what it found in the cache, which come with its first output."""
        queued, scheduled, first = self.times.get(index, (None, None, ns(now)))
        if (prefill := getattr(output, "prefill_stats", None)) is not None:
            self.lookups[index] = (prefill.num_prompt_tokens, prefill.num_cached_tokens)
        for event in output.events:
            if event.type == QUEUED:
                queued = ns(event.timestamp)
            elif event.type == SCHEDULED and scheduled is None:
                scheduled = ns(event.timestamp)
            elif event.type == PREEMPTED:
                self.preempted += 1
        self.times[index] = (queued, scheduled, first)

    def end(self, index: int, output: Any, now: float) -> Ended:
        """The end of a request."""
        known, lookup, wanted = self.times.get(index), self.lookups.get(index), self.wanted[index]
        self.forget(index, output.request_id)
        times = None if known is None else (*known, ns(now))
        word = str(output.finish_reason)
        if word == "stop" and output.stop_reason is not None:
            return Ended(index, "stop_word", times)
        # An abort that was asked for has no output: this one is vLLM's own.
        reason = REASONS.get(word, f"error:vLLM ended the request: {word}")
        # Only of this one the length is known.
        blocks = self.blocks_of(*lookup, wanted) if word == "length" and lookup is not None else None
        return Ended(index, reason, times, blocks)

    def blocks_of(self, prompt: int, cached: int, output: int) -> tuple[int, int, int, int | None]:
        """Blocks of the KV cache that a request had: in total, new, found in the cache, looked for and not found."""
        total = -(-(prompt + output - 1) // self.block)
        found = cached // self.block
        # The last token of a prompt is always computed.
        missed = (prompt - 1) // self.block - found if self.config.cache_config.enable_prefix_caching else None
        return total, total - found, found, missed

    def forget(self, index: int, name: str) -> None:
        """Lets go of what it knows of a request."""
        del self.index_of[name], self.name_of[index], self.wanted[index]
        self.times.pop(index, None)
        self.lookups.pop(index, None)

    def iterations(self) -> list[str]:
        told, self.told = self.told, []
        return [json.dumps(self.iteration(*each)) for each in told]

    def iteration(
        self, number: int, began: int, at: int, stamp: float, completed: int, preempted: int, stats: Any
    ) -> dict[str, Any]:
        """Statistics of one iteration."""
        details = getattr(stats, "iteration_details", None)
        prefix = stats.prefix_cache_stats
        waiting = stats.num_waiting_reqs + getattr(stats, "num_skipped_waiting_reqs", 0)
        hits = {} if prefix is None else {"queried_tokens": prefix.queries, "hit_tokens": prefix.hits}
        return {
            "iteration": number,
            "at_ns": at,
            "latency_ns": at - began,
            "active": stats.num_running_reqs,
            "queued": waiting,
            "completed": completed,
            "max_batch_size": self.config.scheduler_config.max_num_seqs,
            "batch": None
            if details is None
            else {
                "context_requests": details.num_ctx_requests,
                "context_tokens": details.num_ctx_tokens,
                "generation_requests": details.num_generation_requests,
                "paused": preempted,
            },
            "kv": self.kv_level(stats.kv_cache_usage),
            "engine": {
                "stamp_ns": ns(stamp),
                "kv_cache_usage": stats.kv_cache_usage,
                "preempted": preempted,
                **hits,
                **speculation(stats),
            },
        }

    def kv_events(self) -> list[str]:
        return [] if self.events is None else self.events.texts()

    def kv_level(self, usage: float) -> dict[str, int] | None:
        """Blocks of the KV cache that are in use."""
        blocks = self.config.cache_config.num_gpu_blocks
        if not blocks:
            return None
        # One block holds nothing, and is not counted by vLLM either.
        return {"used_blocks": round(usage * (blocks - 1)), "max_blocks": blocks - 1}

    def close(self) -> None:
        self.client.shutdown()

    @classmethod
    def release(cls) -> None:
        model_folder.give_back_gpu_memory()

    @classmethod
    def examine(cls) -> list[tuple[str, str]]:
        """Findings of the installed vLLM: its version, and names that moved."""
        return vllm_library.findings()

    @classmethod
    def served(cls, model: str, settings: dict[str, Any], port: str, name: str, folder: str) -> Twin:
        """The same engine behind `vllm serve`. It needs no file in `folder`."""
        return vllm_settings.served(model, settings, port, name)


def ns(seconds: float) -> int:
    """An instant of `time.monotonic()` in nanoseconds."""
    return round(seconds * 1e9)


def in_child(settings: dict[str, Any]) -> bool:
    """Whether the engine core is to live in a child process."""
    word = settings.get("options", {}).get("core", "here")
    if word not in ("here", "child"):
        raise Refused(f"the option `core` is `{word}`: use `here` or `child`")
    return word == "child"


def sends_seeds(settings: dict[str, Any]) -> bool:
    """Whether vLLM gets the seed of each request."""
    word = settings.get("options", {}).get("request_seeds", "0")
    if word not in ("0", "1"):
        raise Refused(f"the option `request_seeds` is `{word}`: use 0 or 1")
    return word == "1"


def longest_of(arguments: dict[str, Any]) -> int | None:
    """Longest prompt and output together; None where vLLM finds it while it loads."""
    return None if arguments["max_model_len"] == -1 else arguments["max_model_len"]


def children(child: bool, ranks: int) -> str:
    """Which part of the engine lives in child processes."""
    parts = (["engine core"] if child else []) + ([f"{ranks} workers"] if ranks > 1 else [])
    return " and ".join(parts) or "none"


def speculation(stats: Any) -> dict[str, int]:
    """Drafted tokens of an iteration, and those that were accepted."""
    found = getattr(stats, "spec_decoding_stats", None)
    if found is None:
        return {}
    return {"drafted_tokens": found.num_draft_tokens, "accepted_tokens": found.num_accepted_tokens}


if __name__ == "__main__":
    sys.exit(signatures.print_findings(Engine.examine()))
