"""Settings of a run as arguments of TensorRT-LLM's `LLM`: one dictionary, for the engine in this process and for its twin behind
`trtllm-serve`."""

from __future__ import annotations

import json
import os
from typing import Any

from bareflight import engine_arguments, model_folder
from bareflight.adapter import Refused
from bareflight.model_folder import ModelFolder
from bareflight.twin import Twin, module_command

#: Options of the adapter itself. All others are arguments of `LLM`.
OWN_OPTIONS = frozenset({"responses", "request_seeds"})
#: Arguments of `LLM` for which bareflight has a flag.
OWNED = {
    "model": "the target's name",
    "max_batch_size": "`--max-batch-size`",
    "max_num_tokens": "`--max-num-tokens`",
    "enable_iter_perf_stats": "`--iteration-stats`",
    "return_perf_metrics": "`--perf-metrics`",
    "stream_interval": "nobody: every token is delivered as it is made",
}


def longest(arguments: dict[str, Any], folder: ModelFolder) -> int:
    """Longest prompt and output together."""
    asked = arguments.get("max_seq_len", folder.max_positions)
    if asked is None:
        raise Refused(
            f"`{folder.folder}/config.json` does not say how long a sequence may be: give `--engine-arg max_seq_len=N`"
        )
    if not isinstance(asked, int) or asked <= 0:
        raise Refused(f"the engine's argument `max_seq_len` is `{asked}`: give a number of tokens")
    return asked


def arguments(model: str, settings: dict[str, Any], folder: ModelFolder) -> dict[str, Any]:
    """Arguments of `LLM` for a run, as JSON has them. Every default that a benchmark depends on is said."""
    asked = engine_arguments.given(settings, OWN_OPTIONS)
    engine_arguments.refuse_owned(asked, OWNED)
    refuse_ranks(asked)
    reuse = bool(settings.get("kv_reuse"))
    cache: dict[str, Any] = {"enable_block_reuse": reuse, "enable_partial_reuse": reuse}
    if (tokens := settings.get("kv_tokens")) is not None:
        cache["max_tokens"] = tokens
    if (room := settings.get("kv_events")) is not None:
        cache["event_buffer_max_size"] = room
    theirs = asked.pop("kv_cache_config", {})
    if not isinstance(theirs, dict):
        raise Refused(f"the engine's argument `kv_cache_config` is `{theirs}`: give a JSON object")
    engine_arguments.refuse_owned(theirs, {"enable_block_reuse": "`--kv-reuse`", "max_tokens": "`--kv-tokens`", "event_buffer_max_size": "`--kv-events`"})
    said: dict[str, Any] = {
        "model": folder.folder,
        "max_seq_len": longest(asked, folder),
        "kv_cache_config": {**cache, **theirs},
        "stream_interval": 1,
        "enable_iter_perf_stats": bool(settings.get("iteration_stats")),
        "return_perf_metrics": bool(settings.get("engine_stamps")),
    }
    for name in ("max_batch_size", "max_num_tokens"):
        if settings.get(name) is not None:
            said[name] = settings[name]
    if (chunked := settings.get("chunked_context")) is not None:
        said["enable_chunked_prefill"] = chunked
    if (graphs := settings.get("cuda_graphs")) is not None and "cuda_graph_config" not in asked:
        said["cuda_graph_config"] = {} if graphs else None
    return {**said, **asked}


def refuse_ranks(arguments: dict[str, Any]) -> None:
    """Refuses more than one GPU."""
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "context_parallel_size"):
        if int(arguments.get(name) or 1) > 1:
            raise Refused(
                f"`{name}` is {arguments[name]}: with more than one GPU TensorRT-LLM's `LLM` puts its ranks into other processes, "
                "and none of them is this one: measure it behind `trtllm-serve` with an `openai:` target"
            )


def served(model: str, settings: dict[str, Any], port: str, folder: str) -> Twin:
    """The same engine behind TensorRT-LLM's own server. The server calls its model by the folder's name."""
    facts = model_folder.read(model)
    said = arguments(model, settings, facts)
    path = os.path.join(folder, "trtllm-serve.yaml")
    rest = {name: value for name, value in said.items() if name != "model"}
    # JSON is YAML. `--extra_llm_api_options` is the older name of `--config`, and both are taken.
    words = ["serve", said["model"], "--backend=pytorch", "--host=127.0.0.1", f"--port={port}"]
    argv = module_command("tensorrt_llm.commands.serve", *words, f"--extra_llm_api_options={path}")
    # This process has switched the worker's own process off for itself.
    env = {"TLLM_WORKER_USE_SINGLE_PROCESS": "0", "TRTLLM_NO_USAGE_STATS": "1"}
    ask: dict[str, str | int] = {"endpoint": "completions", "model": os.path.basename(os.path.abspath(facts.folder))}
    if facts.vocab_size is not None:
        ask["vocab_size"] = facts.vocab_size
    return Twin(argv, env, {path: json.dumps(rest, indent=1)}, ask)
