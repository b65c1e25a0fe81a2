"""TensorRT-LLM's PyTorch backend as it is installed: its version, the names that the adapter uses of it, and how its engine is made
across versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable
from typing import Any

from bareflight import signatures
from bareflight.adapter import Refused
from bareflight.signatures import Needed

#: Versions whose sources this adapter was written from. None was run.
KNOWN_VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4")
#: What it uses of TensorRT-LLM.
NEEDED = [
    Needed("tensorrt_llm:LLM"),
    Needed("tensorrt_llm:LLM._prepare_sampling_params", ("sampling_params",)),
    Needed("tensorrt_llm:LLM.shutdown"),
    Needed(
        "tensorrt_llm:SamplingParams",
        ("max_tokens", "min_tokens", "ignore_eos", "temperature", "top_p", "top_k", "seed", "detokenize", "return_perf_metrics"),
    ),
    Needed("tensorrt_llm.executor.request:GenerationRequest", ("prompt_token_ids", "sampling_params", "streaming")),
    Needed("tensorrt_llm.executor.request:GenerationRequest.set_id", ("id",)),
    Needed("tensorrt_llm.executor.worker:GenerationExecutorWorker._enqueue_request", ("request",)),
    Needed("tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor.enqueue_request", ("request",)),
    Needed("tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor.cancel_request", ("id",)),
    Needed("tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor.await_responses", ("timeout",)),
    Needed("tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor.can_enqueue_requests"),
    Needed(
        "tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor._enqueue_responses",
        ("responses",),
        without="stamps on the engine's thread: responses are awaited by a second thread, with its lag",
    ),
    Needed(
        "tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor.get_latest_iteration_stats", without="statistics of iterations"
    ),
    Needed(
        "tensorrt_llm.executor.iteration_stats:materialize_stats_batch"
        "|tensorrt_llm.executor.worker:GenerationExecutorWorker._stats_serializer",
        without="statistics of iterations",
    ),
    Needed(
        "tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor.get_latest_kv_cache_events",
        without="events of the KV cache's blocks (`--kv-events`)",
    ),
    Needed("tensorrt_llm._torch.pyexecutor.llm_request:LlmResponse", fields=("request_id", "error_msg", "result")),
    Needed("tensorrt_llm.llmapi:KvCacheConfig"),
    Needed("tensorrt_llm.llmapi.llm_args:TorchLlmArgs", fields=("model_fields",)),
]
#: What it uses that only sources show: attributes that are set while objects are made, and what results hand over.
NEEDED_IN_SOURCE = [
    Needed("tensorrt_llm:LLM", fields=("_executor", "args")),
    Needed("tensorrt_llm.executor.worker:GenerationExecutorWorker", fields=("engine",)),
    Needed(
        "tensorrt_llm.executor.worker:GenerationExecutorWorker",
        fields=("max_seq_len",),
        without="the engine's own longest sequence: that of the settings counts",
    ),
    Needed("tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor", fields=("is_shutdown", "worker_thread")),
    Needed(
        "tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor",
        fields=("_event_loop_error",),
        without="the words of a loop that failed: its log has them",
    ),
    Needed("tensorrt_llm._torch.pyexecutor.llm_request:LlmResult", fields=("deserialize", "_result")),
    Needed(
        "tensorrt_llm.llmapi.llm_args:TorchLlmArgs",
        fields=(
            "max_batch_size", "max_num_tokens", "max_seq_len", "kv_cache_config", "cuda_graph_config", "enable_chunked_prefill",
            "disable_overlap_scheduler", "load_format", "backend",
        ),
    ),
    Needed("tensorrt_llm.llmapi.llm_args:TorchLlmArgs", fields=("enable_iter_perf_stats",), without="statistics of iterations"),
    Needed("tensorrt_llm.llmapi.llm_args:KvCacheConfig", fields=("enable_block_reuse", "enable_partial_reuse", "max_tokens")),
]
#: What ours adds that older versions may not know: left out there.
OPTIONAL = frozenset({"return_perf_metrics", "enable_iter_perf_stats", "stream_interval"})


def version() -> str | None:
    """The version of TensorRT-LLM that is installed, without importing it."""
    for name in ("tensorrt_llm", "tensorrt-llm"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def findings() -> list[tuple[str, str]]:
    """Findings of the installed TensorRT-LLM: its version, and names that moved."""
    return signatures.findings("TensorRT-LLM", version(), KNOWN_VERSIONS, NEEDED)


def refuse_moved() -> None:
    """Refuses a TensorRT-LLM that is not as the adapter knows it, by the names that moved."""
    faults = [fault for fault in signatures.moved(NEEDED) if not fault.without]
    if faults:
        words = "; ".join(f"`{fault.where}` {fault.what}" for fault in faults)
        raise Refused(f"TensorRT-LLM {version()} is not as this adapter knows it: {words}")


def check_environment() -> None:
    """Refuses an environment in which the engine would not live in this process."""
    os.environ.setdefault("TRTLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("TLLM_NUMA_AWARE_WORKER_AFFINITY", "0")
    given = os.environ.setdefault("TLLM_WORKER_USE_SINGLE_PROCESS", "1")
    if given != "1":
        raise Refused(
            f"TLLM_WORKER_USE_SINGLE_PROCESS is {given}, and the engine is to live in this process: set it to 1, or unset it"
        )


def build(arguments: dict[str, Any]) -> Any:
    """TensorRT-LLM's `LLM` from its arguments."""
    from tensorrt_llm import LLM
    from tensorrt_llm import llmapi

    known = signatures.find("tensorrt_llm.llmapi.llm_args:TorchLlmArgs").model_fields
    said = {
        name: value for name, value in arguments.items() if name in known or name not in OPTIONAL
    }
    said["kv_cache_config"] = llmapi.KvCacheConfig(**said["kv_cache_config"])
    if isinstance(said.get("cuda_graph_config"), dict):
        said["cuda_graph_config"] = llmapi.CudaGraphConfig(**said["cuda_graph_config"])
    return LLM(**said)


def engine_of(worker: Any) -> Any:
    """The PyExecutor in a worker of this process."""
    engine = getattr(worker, "engine", None)
    if engine is None or not hasattr(engine, "enqueue_request"):
        raise Refused(
            f"TensorRT-LLM made a {type(worker).__name__} and no engine in this process: was it imported before "
            "TLLM_WORKER_USE_SINGLE_PROCESS=1 was set? Set it in the shell"
        )
    if not hasattr(engine, "await_responses") or type(engine).__module__.startswith("tensorrt_llm.bindings"):
        raise Refused(f"TensorRT-LLM made a {type(engine).__name__} and no PyExecutor: use the PyTorch backend")
    return engine


def statistics_reader(worker: Any) -> Callable[[list[Any]], list[dict[str, Any]]]:
    """A function that makes JSON objects of the engine's records of iterations, with the library's own code."""
    try:
        # Newer versions hand over frames, and have a function for all kinds of records.
        return signatures.find("tensorrt_llm.executor.iteration_stats:materialize_stats_batch")
    except (ImportError, AttributeError):
        serialize = worker._stats_serializer
        return lambda records: [json.loads(serialize(record)) for record in records]
