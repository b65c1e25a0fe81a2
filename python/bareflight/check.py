"""Conformance test of an adapter: `bareflight adapter check MODULE[,KEY=VALUE…]` runs it without a clock and holds it against
the contract."""

from __future__ import annotations

import json
import time
from array import array
from typing import Any

from bareflight import host
from bareflight.adapter import REASONS, Adapter, Request

REQUESTS = 8
#: Of the first request; each one has one more than the one before.
TOKENS = 5
DEADLINE_S = 60
#: What every iteration says.
ITERATION = frozenset({"iteration", "at_ns", "latency_ns", "active", "queued", "completed"})
#: The last one is cancelled.
CANCELLED = REQUESTS - 1


def settings_of(options: dict[str, str]) -> dict[str, Any]:
    """Settings as bareflight hands them over, with none set."""
    return {**host.DEFAULTS, "iteration_stats": True, "engine_stamps": True, "options": options}


def check(module: str, model: str, options: dict[str, str]) -> tuple[bool, str]:
    """Whether an adapter keeps the contract, and what breaks it otherwise."""
    try:
        faults = faults_of(host.find(module), model, settings_of(options))
    except BaseException as error:  # Whatever the adapter raises is the result.
        faults = [f"{type(error).__name__}: {error}"]
    if faults:
        return False, "\n".join(f"{module}: {fault}" for fault in faults)
    return True, f"{module} keeps the contract: {REQUESTS} requests, one of them cancelled"


def faults_of(adapter: type[Adapter], model: str, settings: dict[str, Any]) -> list[str]:
    """What breaks the contract; empty where nothing does."""
    host.check_settings(adapter, settings)
    said = adapter.describe(model, settings)
    faults = [f"`examine`: {sentence}" for status, sentence in adapter.examine() if status == "fail"]
    if not said.get("title"):
        faults.append("`describe` gives no `title`")
    engine = adapter()
    begun = time.monotonic_ns()
    engine.open(model, settings)
    try:
        faults += begin(engine)
        if not faults:
            faults += Watch(begun).run(engine)
        if not faults and engine.busy():
            faults.append("`busy` is true, and every request has ended")
        for text in engine.iterations():
            if missing := ITERATION - json.loads(text).keys():
                faults.append(f"an iteration has no {', '.join(sorted(missing))}: {text}")
                break
    finally:
        engine.close()
    return faults


def begin(engine: Adapter) -> list[str]:
    """Starts all requests; returns which were refused."""
    prompt = array("I", [1, 2, 3, 4]).tobytes()
    refused = engine.prepare([Request(index, prompt, tokens_of(index), terms_of(index)) for index in range(REQUESTS)])
    if refused:
        return [f"`prepare` refuses request {index}: {why}" for index, why in refused]
    for index in range(REQUESTS):
        engine.add(index)
    return []


def tokens_of(index: int) -> int:
    """How many a request asks for."""
    return TOKENS + index


def terms_of(index: int) -> dict[str, Any]:
    """That it gets them all."""
    return {"min_tokens": tokens_of(index), "ignore_eos": True}


class Watch:
    """Counts what an engine gives."""

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.given = dict.fromkeys(range(REQUESTS), 0)
        self.over: set[int] = set()
        self.faults: list[str] = []

    def run(self, engine: Adapter) -> list[str]:
        """Steps it until every request has ended."""
        if engine.cancel(CANCELLED):
            self.over.add(CANCELLED)
        until = time.monotonic() + DEADLINE_S
        while len(self.over) < REQUESTS and not self.faults:
            if time.monotonic() > until:
                return [f"{REQUESTS - len(self.over)} requests have not ended after {DEADLINE_S} s"]
            if not engine.busy():
                return [f"`busy` is false, and {REQUESTS - len(self.over)} requests have not ended"]
            self.step(engine)
        for index, count in self.given.items():
            if not self.faults and index != CANCELLED and count != tokens_of(index):
                self.faults.append(f"request {index} has {count} tokens and not {tokens_of(index)}")
        return self.faults

    def step(self, engine: Adapter) -> None:
        """One step, held against the contract."""
        at, ids, counts, tokens, ended = engine.step()
        # An engine with a loop of its own may have stamped before its step was called.
        if not self.begun <= at <= time.monotonic_ns():
            self.faults.append("`at_ns` is no instant of `time.monotonic_ns()` between `open` and now")
        if counts and len(counts) != len(ids):
            self.faults.append("`counts` has not one number for each of `ids`")
        if sum(counts or [1] * len(ids)) != len(tokens):
            self.faults.append("`counts` do not add up to `tokens`")
        for index, count in zip(ids, counts or [1] * len(ids)):
            if self.is_open(index, "output"):
                self.given[index] += count
        for index, reason, *_ in ended:
            self.is_open(index, "an end")
            if reason not in REASONS and not reason.startswith("error:"):
                self.faults.append(f"the reason `{reason}` is none of {', '.join(sorted(REASONS))}")
            self.over.add(index)

    def is_open(self, index: int, what: str) -> bool:
        """Whether it is; a fault where not."""
        is_open = index in self.given and index not in self.over
        if not is_open:
            self.faults.append(f"{what} of request {index}, which is not open")
        return is_open
