"""Settings of a run as vLLM's arguments: one command line, for the engine in this process and for its twin behind `vllm serve`."""

from __future__ import annotations

from typing import Any

from bareflight import engine_arguments, model_folder, vllm_library
from bareflight.adapter import Refused
from bareflight.model_folder import ModelFolder
from bareflight.twin import Twin, module_command

#: Options of the adapter itself. All others are vLLM's arguments.
OWN_OPTIONS = frozenset({"core", "request_seeds"})
#: Arguments of vLLM for which bareflight has a flag.
OWNED = {
    "model": "the target's name",
    "max_num_seqs": "`--max-batch-size`",
    "max_num_batched_tokens": "`--max-num-tokens`",
    "enable_prefix_caching": "`--kv-reuse`",
    "num_gpu_blocks_override": "`--kv-tokens`",
    "kv_events_config": "`--kv-events`",
    "disable_log_stats": "`--iteration-stats` and `--perf-metrics`",
    "served_model_name": "the twin's client",
    "host": "the twin's client",
    "port": "the twin's client",
}
#: Tokens in a block of the KV cache, where `--kv-tokens` has to be said in blocks.
BLOCK_ON_GPU, BLOCK_ON_CPU = 16, 128


def longest(arguments: dict[str, Any], folder: ModelFolder) -> int | None:
    """Longest prompt and output together; None where vLLM itself is to find it."""
    asked = arguments.get("max_model_len", folder.max_positions)
    if asked in (-1, "auto"):
        return None
    if isinstance(asked, int) and asked > 0:
        return asked
    if asked is None:
        raise Refused(
            f"`{folder.folder}/config.json` does not say how long a sequence may be: give `--engine-arg max_model_len=N`"
        )
    raise Refused(f"the engine's argument `max_model_len` is `{asked}`: give a number of tokens, or `auto`")


def arguments(model: str, settings: dict[str, Any], folder: ModelFolder, cpu: bool) -> dict[str, Any]:
    """vLLM's arguments for a run. Every default that a benchmark depends on is said."""
    asked = engine_arguments.given(settings, OWN_OPTIONS)
    engine_arguments.refuse_owned(asked, OWNED)
    if int(asked.get("data_parallel_size") or 1) > 1:
        raise Refused("`data_parallel_size` makes several engines, and one is measured here: measure them behind `vllm serve`")
    said: dict[str, Any] = {
        "model": folder.folder if folder.folder != model else model,
        "max_model_len": longest(asked, folder),
        "enable_prefix_caching": bool(settings.get("kv_reuse")),
        "max_num_seqs": settings.get("max_batch_size"),
        "max_num_batched_tokens": settings.get("max_num_tokens"),
    }
    if said["max_model_len"] is None:
        said["max_model_len"] = -1
    if not (settings.get("iteration_stats") or settings.get("engine_stamps")):
        said["disable_log_stats"] = True
    if (chunked := settings.get("chunked_context")) is not None:
        said["enable_chunked_prefill"] = chunked
    if (graphs := settings.get("cuda_graphs")) is not None and "enforce_eager" not in asked:
        said["enforce_eager"] = not graphs
    if settings.get("kv_events") is not None:
        # Where it publishes them is taken over; its own ways are a socket and nothing.
        said["kv_events_config"] = {"enable_kv_cache_events": True, "publisher": "null"}
    if (tokens := settings.get("kv_tokens")) is not None:
        block = asked.get("block_size") or (BLOCK_ON_CPU if cpu else BLOCK_ON_GPU)
        said["block_size"] = block
        # One block holds nothing: vLLM keeps it for tokens outside a window.
        said["num_gpu_blocks_override"] = -(-tokens // block) + 1
    return {**said, **{name: value for name, value in asked.items() if name != "max_model_len"}}


def argv(arguments: dict[str, Any]) -> list[str]:
    """The command line of arguments, without the model."""
    return engine_arguments.argv_of({name: value for name, value in arguments.items() if name != "model"})


def served(model: str, settings: dict[str, Any], port: str, name: str) -> Twin:
    """The same engine behind vLLM's own server."""
    folder = model_folder.read(model)
    said = arguments(model, settings, folder, vllm_library.is_cpu_build())
    if "override_generation_config" not in said:
        # A request without a temperature is greedy here; the server would take what the model's folder proposes.
        said["override_generation_config"] = {"temperature": 0}
    words = ["serve", said["model"], "--host=127.0.0.1", f"--port={port}", f"--served-model-name={name}", *argv(said)]
    # This process has switched the engine core's own process off for itself.
    env = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn", "VLLM_NO_USAGE_STATS": "1"}
    # With ids of its output, equal work is proved by hashes of tokens.
    ask: dict[str, str | int] = {"endpoint": "completions", "model": name, "extra_inputs": '{"return_token_ids":true}'}
    if folder.vocab_size is not None:
        ask["vocab_size"] = folder.vocab_size
    return Twin(module_command("vllm.entrypoints.cli.main", *words), env, {}, ask)

