"""STAND-IN: events of blocks of the KV cache."""

from dataclasses import dataclass


@dataclass
class BlockStored:
    block_hashes: list
    parent_block_hash: object
    token_ids: list
    block_size: int
    medium: str = "GPU"


@dataclass
class BlockRemoved:
    block_hashes: list
    medium: str = "GPU"


@dataclass
class KVEventBatch:
    ts: float
    events: list


class NullEventPublisher:
    def publish(self, events):
        pass

    def shutdown(self):
        pass
