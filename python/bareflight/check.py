"""`bareflight adapter check MODULE[,KEY=VALUE…]`: runs an adapter without bareflight's clock and holds it against the contract."""

from __future__ import annotations

import sys
import time
from array import array
from typing import Any

from bareflight import host
from bareflight.adapter import REASONS, Request

REQUESTS = 8
TOKENS = 5
DEADLINE_S = 60


def settings_of(options: dict[str, str]) -> dict[str, Any]:
    """Settings as bareflight hands them over, with none set."""
    return {**host.DEFAULTS, "iteration_stats": True, "engine_stamps": True, "options": options}


def check(module: str, options: dict[str, str]) -> list[str]:
    """What breaks the contract; empty where nothing does."""
    faults: list[str] = []
    kind = host.find(module)
    settings = settings_of(options)
    host.check_settings(kind, settings)
    said = kind.describe("", settings)
    if not said.get("title"):
        faults.append("`describe` gives no `title`")
    engine = kind()
    engine.open("", settings)
    prompt = array("I", [1, 2, 3, 4]).tobytes()
    terms = {"min_tokens": TOKENS, "ignore_eos": True}
    refused = engine.prepare([Request(i, prompt, TOKENS, terms) for i in range(REQUESTS)])
    faults += [f"`prepare` refuses request {index}: {why}" for index, why in refused]
    for index in range(REQUESTS):
        engine.add(index)
    given = dict.fromkeys(range(REQUESTS), 0)
    over: set[int] = set()
    if engine.cancel(REQUESTS - 1):
        over.add(REQUESTS - 1)
    until = time.monotonic() + DEADLINE_S
    while len(over) < REQUESTS and not faults:
        if time.monotonic() > until:
            faults.append(f"{REQUESTS - len(over)} requests have not ended after {DEADLINE_S} s")
            break
        before = time.monotonic_ns()
        at, ids, counts, tokens, ended = engine.step()
        if not before <= at <= time.monotonic_ns():
            faults.append("`at_ns` is not an instant of `time.monotonic_ns()` within its step")
        if sum(counts or [1] * len(ids)) != len(tokens):
            faults.append("`counts` do not add up to `tokens`")
        for index, count in zip(ids, counts or [1] * len(ids)):
            if index not in given or index in over:
                faults.append(f"output of request {index}, which is not open")
            else:
                given[index] += count
        for index, reason, *_ in ended:
            if index not in given or index in over:
                faults.append(f"an end of request {index}, which is not open")
            if reason not in REASONS and not reason.startswith("error:"):
                faults.append(f"the reason `{reason}` is none of {sorted(REASONS)}")
            over.add(index)
    for index, count in given.items():
        if not faults and index != REQUESTS - 1 and count != TOKENS:
            faults.append(f"request {index} has {count} tokens and not {TOKENS}")
    if not faults and engine.busy():
        faults.append("`busy` is true, and every request has ended")
    engine.close()
    return faults


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    if len(arguments) != 2 or arguments[0] != "check":
        print("usage: bareflight adapter check MODULE[,KEY=VALUE…]", file=sys.stderr)
        return 2
    module, *words = arguments[1].split(",")
    try:
        faults = check(module, dict(word.split("=", 1) for word in words))
    except Exception as error:  # Whatever the adapter raises is the result.
        faults = [f"{type(error).__name__}: {error}"]
    for fault in faults:
        print(f"{module}: {fault}", file=sys.stderr)
    if not faults:
        print(f"{module} keeps the contract: {REQUESTS} requests, one of them cancelled")
    return 1 if faults else 0
