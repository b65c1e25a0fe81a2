"""Events of blocks of a KV cache, as `kv_events.jsonl` has them: each a JSON object without its instants, which bareflight adds."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from bareflight.adapter import Refused

#: Names of blocks have 64 bits.
MASK = (1 << 64) - 1


def name_of(block: int | bytes | str) -> str:
    """The name of a block: 64 bits of what the engine calls it, as 16 hexadecimal digits."""
    if isinstance(block, bytes):
        number = int.from_bytes(block[-8:], "big")
    else:
        # A text is a digest in hexadecimal digits.
        number = int(block, 16) if isinstance(block, str) else block
    return f"{number & MASK:016x}"


def created(event: int, blocks_per_level: list[int], window: int | None = None) -> str:
    """The cache exists."""
    return json.dumps({"event": event, "window": window, "what": "created", "blocks_per_level": blocks_per_level})


def stored(event: int, parent: Any, blocks: list[Any], beyond_gpu: int, window: int | None = None) -> str:
    """Blocks can be reused from now on."""
    said = {"parent": None if parent is None else name_of(parent), "blocks": [name_of(block) for block in blocks]}
    return json.dumps({"event": event, "window": window, "what": "stored", **said, "beyond_gpu": beyond_gpu})


def removed(event: int, blocks: list[Any], window: int | None = None) -> str:
    """Blocks are there no more."""
    return json.dumps({"event": event, "window": window, "what": "removed", "blocks": [name_of(block) for block in blocks]})


def updated(
    event: int, block: Any, level: tuple[int, int] | None, priority: tuple[int, int] | None, window: int | None = None
) -> str:
    """A block went to another level, or matters more or less than before."""
    said = {"block": name_of(block), "level": level, "priority": priority}
    return json.dumps({"event": event, "window": window, "what": "updated", **said})


class VllmEvents:
    """Takes the place of vLLM's publisher of events, which has a socket or nothing: events are kept until they are asked for."""

    def __init__(self, client: Any) -> None:
        scheduler = getattr(getattr(client, "engine_core", None), "scheduler", None)
        if not hasattr(scheduler, "kv_event_publisher"):
            raise Refused("this version of vLLM has no `Scheduler.kv_event_publisher`: leave out `--kv-events`")
        self.numbered = 0
        self.batches: deque[Any] = deque()
        scheduler.kv_event_publisher = self

    def publish(self, events: Any) -> None:
        """Called by the engine core in an iteration."""
        self.batches.append(events)

    def shutdown(self) -> None:
        """Called by the engine core when it is closed."""

    def texts(self) -> list[str]:
        """What happened since the last call."""
        told = []
        while self.batches:
            for event in self.batches.popleft().events:
                kind = type(event).__name__
                if kind == "BlockStored":
                    beyond = len(event.block_hashes) if getattr(event, "medium", None) not in (None, "GPU") else 0
                    told.append(stored(self.numbered, event.parent_block_hash, event.block_hashes, beyond))
                elif kind == "BlockRemoved":
                    told.append(removed(self.numbered, event.block_hashes))
                else:  # `AllBlocksCleared` follows a reset of the cache, which nobody asks for here.
                    raise RuntimeError(f"vLLM's event `{kind}` of its KV cache is not known")
                self.numbered += 1
        return told


def texts_of_trtllm(events: Any) -> list[str]:
    """Events of TensorRT-LLM, of its C++ side or of its manager in Python, which have the same names."""
    told = []
    for event in events:
        number, window, data = event.event_id, event.window_size, event.data
        # Windows without a bound are written as numbers of a kind that differs between versions.
        window = window if 0 <= window < 1 << 32 else None
        kind = type(data).__name__
        if kind == "KVCacheCreatedData":
            told.append(created(number, list(data.num_blocks_per_cache_level), window))
        elif kind == "KVCacheStoredData":
            beyond = sum(block.cache_level > 0 for block in data.blocks)
            told.append(stored(number, data.parent_hash, [block.block_hash for block in data.blocks], beyond, window))
        elif kind == "KVCacheRemovedData":
            told.append(removed(number, list(data.block_hashes), window))
        elif kind == "KVCacheUpdatedData":
            told.append(updated(number, data.block_hash, change_of(data.cache_level), change_of(data.priority), window))
        else:
            raise RuntimeError(f"TensorRT-LLM's event `{kind}` of its KV cache is not known")
    return told


def change_of(difference: Any) -> tuple[int, int] | None:
    """Before and after; None where nothing changed."""
    return None if difference is None else (difference.old_value, difference.new_value)
