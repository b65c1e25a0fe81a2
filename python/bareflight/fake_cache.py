"""Prefix cache of the fake engine: whole blocks of prompts, found again by all that comes before them; the oldest leave first."""

from __future__ import annotations

from bareflight import kv_events

BLOCK_TOKENS = 16


class Cache:
    """Blocks by the hash of a prompt up to their end."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.blocks: dict[int, None] = {}
        self.numbered = 0
        self.told: list[str] = []

    def take(self, ids: list[int]) -> int:
        """Looks for the blocks of a prompt, and stores those that are not there. Returns how many were found."""
        ends = range(BLOCK_TOKENS, len(ids) + 1, BLOCK_TOKENS)
        names = [hash(tuple(ids[:end])) for end in ends]
        found = next((i for i, name in enumerate(names) if name not in self.blocks), len(names))
        new = names[found:]
        if new:
            self.blocks.update(dict.fromkeys(new))
            self.tell(kv_events.stored(self.numbered, names[found - 1] if found else None, new, 0))
        gone = list(self.blocks)[: max(0, len(self.blocks) - self.room)]
        if gone:
            for name in gone:
                del self.blocks[name]
            self.tell(kv_events.removed(self.numbered, gone))
        return found

    def tell(self, event: str) -> None:
        """Keeps an event."""
        self.numbered += 1
        self.told.append(event)
