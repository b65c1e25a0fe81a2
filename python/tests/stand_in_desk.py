"""A STAND-IN for the desk of the Rust side, for tests and drivers without it: a closed loop that records what an adapter says.

It fails on whatever the real desk calls a breach of the contract.
"""

from __future__ import annotations

import json
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Shot:
    """A request and all that became of it."""

    index: int
    prompt: list[int]
    max_tokens: int
    terms: dict[str, Any]
    #: After so many tokens it is cancelled.
    cancel_after: int | None = None
    added_ns: int = 0
    stamps: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    reason: str | None = None
    times: tuple[int | None, ...] | None = None
    blocks: tuple[int, int, int, int | None] | None = None
    refused: str | None = None

    @property
    def is_over(self) -> bool:
        return self.reason is not None or self.refused is not None


class Breach(Exception):
    """The adapter broke its contract."""


class Desk:
    """Hands out shots, `concurrency` at a time, and takes what comes back."""

    def __init__(self, shots: list[Shot], concurrency: int) -> None:
        self.shots = {shot.index: shot for shot in shots}
        self.concurrency = concurrency
        self.waiting = list(self.shots)
        self.to_prepare: list[Shot] | None = list(shots)
        self.to_cancel: list[int] = []
        self.in_flight: set[int] = set()
        self.statistics: list[dict[str, Any]] = []
        self.blocks: list[dict[str, Any]] = []
        self.failure: str | None = None
        self.opened_at = 0
        self.facts: Any = None
        self.over = threading.Event()
        self.ended_with: str | None = None

    def take(self, wait_us: int) -> tuple[list[tuple[int, bytes, int, str]], list[int], list[int], bool]:
        if self.to_prepare is not None:
            ready, self.to_prepare = self.to_prepare, None
            return [(s.index, array("I", s.prompt).tobytes(), s.max_tokens, json.dumps(s.terms)) for s in ready], [], [], False
        added = []
        while self.waiting and len(self.in_flight) < self.concurrency:
            index = self.waiting.pop(0)
            self.in_flight.add(index)
            self.shots[index].added_ns = time.monotonic_ns()
            added.append(index)
        cancelled, self.to_cancel = self.to_cancel, []
        stop = not added and not cancelled and not self.in_flight
        return [], added, cancelled, stop

    def deliver(self, at_ns: int, ids: list[int], counts: list[int], tokens: list[int], ended: list[Any]) -> None:
        counts = counts or [1] * len(ids)
        if len(counts) != len(ids) or sum(counts) != len(tokens):
            raise Breach(f"{len(ids)} requests, {len(counts)} counts, {len(tokens)} tokens")
        at = 0
        for index, count in zip(ids, counts):
            shot = self.open_shot(index, "output")
            shot.stamps.append(at_ns)
            shot.counts.append(count)
            shot.tokens += tokens[at : at + count]
            at += count
            if shot.cancel_after is not None and len(shot.tokens) >= shot.cancel_after and index not in self.to_cancel:
                self.to_cancel.append(index)
        for index, reason, times, *rest in ended:
            shot = self.open_shot(index, "end")
            shot.reason, shot.times = reason, times
            shot.blocks = rest[0] if rest else None
            self.in_flight.discard(index)

    def open_shot(self, index: int, what: str) -> Shot:
        if index not in self.in_flight:
            raise Breach(f"{what} of request {index}, which is not open")
        return self.shots[index]

    def prepared(self, requests: int) -> None:
        pass

    def is_open(self, index: int) -> bool:
        return index in self.in_flight

    def refuse(self, index: int, words: str) -> None:
        self.open_shot(index, "refusal").refused = words
        self.in_flight.discard(index)

    def iterations(self, texts: list[str]) -> None:
        self.statistics += [json.loads(text) for text in texts]

    def kv_events(self, texts: list[str]) -> None:
        self.blocks += [json.loads(text) for text in texts]

    def opened(self, facts: Any = None) -> None:
        self.opened_at, self.facts = time.monotonic_ns(), facts

    def failed(self, words: str) -> None:
        self.failure = words

    def ended(self, why: str | None = None) -> None:
        self.ended_with = why
        self.over.set()
