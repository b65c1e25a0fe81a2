"""Facts of a model's folder, read from its files without any engine: vocabulary, longest sequence, special tokens."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NamedTuple

from bareflight.adapter import Refused

#: Names under which models say how many positions they were made for; the smallest that is there counts.
LENGTH_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "max_seq_length",
    "seq_length",
    "model_max_length",
    "max_target_positions",
)


class ModelFolder(NamedTuple):
    """What a folder says of its model."""

    folder: str
    vocab_size: int | None
    #: Longest prompt and output together that the model was made for.
    max_positions: int | None
    #: Tokens that end a sequence.
    end_ids: list[int]
    #: Tokens that stand for no text: begin, end, padding, and what the tokenizer calls special.
    special_ids: list[int]


def read_json(folder: str, name: str) -> dict[str, Any]:
    """A JSON file of the folder; empty where there is none."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            read = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Refused(f"`{os.path.join(folder, name)}` is no JSON: {error}") from error
    return read if isinstance(read, dict) else {}


def folder_of(model: str) -> str:
    """The folder of a model: itself, or the local copy of a model that is named as on Hugging Face."""
    if os.path.isfile(os.path.join(model, "config.json")):
        return model
    if os.path.exists(model):
        raise Refused(f"`{model}` is no model's folder: it has no config.json")
    # Names on Hugging Face are `NAME` or `OWNER/NAME`.
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise Refused(f"there is no folder `{model}`")
    try:
        from huggingface_hub import snapshot_download

        return snapshot_download(model, local_files_only=True)
    except Exception as error:  # Whatever the reason, the remedy is the same.
        raise Refused(
            f"there is no folder `{model}`, and no local copy of a model of that name ({type(error).__name__}): "
            f"give a folder with config.json, or fetch the model first (`hf download {model}`)"
        ) from error


def read(model: str) -> ModelFolder:
    """Facts of a model."""
    folder = folder_of(model)
    config = read_json(folder, "config.json")
    # Models with several parts keep the language part's figures one level down.
    text = {**config, **(config.get("text_config") or {})}
    generation = read_json(folder, "generation_config.json")
    end_ids = _ids(text, "eos_token_id") | _ids(generation, "eos_token_id")
    special = end_ids | _ids(text, "bos_token_id") | _ids(text, "pad_token_id") | _ids(generation, "pad_token_id")
    for token in read_json(folder, "tokenizer.json").get("added_tokens") or []:
        if token.get("special"):
            special.add(token["id"])
    vocab_size = text.get("vocab_size")
    lengths = [text[key] for key in LENGTH_KEYS if isinstance(text.get(key), int)]
    # The tokenizer may know ids for which the model has no row.
    within = sorted(token for token in special if vocab_size is None or token < vocab_size)
    return ModelFolder(folder, vocab_size, min(lengths, default=None), sorted(end_ids), within)


def _ids(facts: dict[str, Any], key: str) -> set[int]:
    """One id, several, or none."""
    value = facts.get(key)
    values = value if isinstance(value, list) else [value]
    return {each for each in values if isinstance(each, int) and not isinstance(each, bool)}


def give_back_gpu_memory() -> None:
    """Gives GPU memory back that PyTorch keeps for tensors to come."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
