"""Rules of the contract that every adapter keeps: its engine is run without a clock, and what it gives is held against them."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
import weakref
from array import array
from collections.abc import Callable
from operator import index as whole
from typing import Any

from bareflight import host
from bareflight.adapter import REASONS, Adapter, Refused, Request

REQUESTS = 8
#: Of the first request; each one has one more than the one before.
TOKENS = 5
DEADLINE_S = 60
#: What every iteration says.
ITERATION = frozenset({"iteration", "at_ns", "latency_ns", "active", "queued", "completed"})
#: What a description may say.
DESCRIPTION = frozenset({"title", "simulated", "dummy_weights", "gpus", "limits", "special_ids", "details"})
#: The last one is cancelled.
CANCELLED = REQUESTS - 1
#: Ids and counts have 32 bits.
MOST = (1 << 32) - 1


class Broken(Exception):
    """A rule was broken; the words say which."""


def settings_of(adapter: type[Adapter], options: dict[str, str]) -> dict[str, Any]:
    """Settings as bareflight hands them over, with none set but those that show more of the adapter."""
    cache = {"kv_reuse": True, "kv_events": 1_000} if {"kv_reuse", "kv_events"} <= adapter.SETTINGS else {}
    return {**host.DEFAULTS, **cache, "iteration_stats": True, "engine_stamps": True, "options": options}


class Trial:
    """One engine, from its description to its end. `say` hears which method is called next."""

    def __init__(self, adapter: type[Adapter], model: str, options: dict[str, str], say: Callable[[str], None]) -> None:
        self.adapter, self.model, self.say = adapter, model, say
        self.settings = settings_of(adapter, options)
        self.process = os.getpid()

    def call(self, where: str, method: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a method; what it raises becomes a broken rule that names it."""
        self.say(where)
        try:
            given = method(*arguments)
        except Refused as refused:
            raise Broken(f"`{where}` refuses: {refused}") from refused
        except BaseException as error:
            raise Broken(host.words_of(error, where)) from error
        finally:
            if os.getpid() != self.process:
                # The leading process names it; this one is a copy that must not go on with the work.
                self.say(f"fork {where}")
                os._exit(0)
        return given

    def describe(self) -> None:
        """What the adapter says before anything is loaded."""
        host.check_settings(self.adapter, self.settings)
        said = self.call("describe", self.adapter.describe, self.model, self.settings)
        if not isinstance(said, dict):
            raise Broken(f"`describe` gives {kind(said)} and not a dictionary")
        if not isinstance(said.get("title"), str) or not said["title"]:
            raise Broken("`describe` gives no `title`")
        if unknown := sorted(set(said) - DESCRIPTION):
            raise Broken(f"`describe` gives {', '.join(map(str, unknown))}, and may give {', '.join(sorted(DESCRIPTION))}")
        as_json(said, "describe")
        for status, sentence in self.call("examine", self.adapter.examine):
            if status == "fail":
                raise Broken(f"`examine`: {sentence}")

    def run(self) -> None:
        """Opens the engine, has it answer, and closes it. Called on a thread of its own, as in a run."""
        begun = time.monotonic_ns()
        engine = self.call("open", self.adapter)
        facts = self.call("open", engine.open, self.model, self.settings)
        if facts is not None and not isinstance(facts, dict):
            raise Broken(f"`open` gives {kind(facts)} and not a dictionary or None")
        as_json(facts, "open")
        # Where a rule is broken the process ends without `close`, which may hang then.
        self.answer(engine, begun)
        self.call("close", engine.close)
        gone = weakref.ref(engine)
        del engine
        gc.collect()
        self.call("release", self.adapter.release)
        if gone() is not None:
            raise Broken("something still holds the engine after `close`: with `--one-at-a-time` its memory would not be free")

    def answer(self, engine: Adapter, begun: int) -> None:
        """Has all requests answered."""
        prompt = array("I", [1, 2, 3, 4] * 8).tobytes()
        requests = [Request(index, prompt, tokens_of(index), terms_of(index)) for index in range(REQUESTS)]
        refused = self.call("prepare", engine.prepare, requests)
        if not isinstance(refused, list):
            raise Broken(f"`prepare` gives {kind(refused)} and not a list of (index, why)")
        for index, why in refused:
            raise Broken(f"`prepare` refuses request {index}: {why}")
        for index in range(REQUESTS):
            self.call("add", engine.add, index)
        watch = Watch(begun)
        silent = self.call("cancel", engine.cancel, CANCELLED)
        if not isinstance(silent, bool):
            raise Broken(f"`cancel` gives {kind(silent)} and not True or False")
        if silent:
            watch.over.add(CANCELLED)
        until = time.monotonic() + DEADLINE_S
        while len(watch.over) < REQUESTS:
            if time.monotonic() > until:
                raise Broken(f"{REQUESTS - len(watch.over)} requests have not ended after {DEADLINE_S} s")
            if not self.call("busy", engine.busy):
                raise Broken(f"`busy` is false, and {REQUESTS - len(watch.over)} requests have not ended")
            watch.step(self.call("step", engine.step))
        watch.end()
        if self.call("busy", engine.busy):
            raise Broken("`busy` is true, and every request has ended")
        self.statistics(engine)

    def statistics(self, engine: Adapter) -> None:
        """What it says beside its output."""
        for text in texts(self.call("iterations", engine.iterations), "iterations"):
            if missing := ITERATION - parsed(text, "iterations").keys():
                raise Broken(f"an iteration has no {', '.join(sorted(missing))}: {text}")
        for text in texts(self.call("kv_events", engine.kv_events), "kv_events"):
            if missing := {"event", "what"} - parsed(text, "kv_events").keys():
                raise Broken(f"an event of the KV cache has no {', '.join(sorted(missing))}: {text}")


def left_behind(before: set[str]) -> list[str]:
    """What an engine leaves of itself in its process: threads that Python waits for, and children."""
    faults = []
    for thread in threading.enumerate():
        if thread not in (threading.main_thread(), threading.current_thread()) and not thread.daemon:
            faults.append(f"the engine leaves its thread `{thread.name}`, which Python waits for: join it in `close`")
    if children := children_of_this_process() - before:
        faults.append(f"the engine leaves {len(children)} child process(es) after `close`: end them there")
    return faults


def children_of_this_process() -> set[str]:
    """Their numbers."""
    found: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
                found |= set(file.read().split())
        except OSError:  # The thread has ended, or this kernel does not say.
            continue
    return {child for child in found if is_alive(child)}


def is_alive(process: str) -> bool:
    """Whether a process runs: one that nobody waited for is none, and Python's own tracker of resources stays for its life."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stat, open(f"/proc/{process}/cmdline", encoding="utf-8") as line:
            return stat.read().rpartition(")")[2].split()[0] != "Z" and "resource_tracker" not in line.read()
    except OSError:
        return False


def tokens_of(index: int) -> int:
    """How many a request asks for."""
    return TOKENS + index


def terms_of(index: int) -> dict[str, Any]:
    """That it gets them all."""
    return {"min_tokens": tokens_of(index), "ignore_eos": True}


def kind(given: Any) -> str:
    """What something is, in words."""
    return "None" if given is None else f"`{type(given).__name__}`"


def as_json(given: Any, where: str) -> None:
    """Holds that it can be written as JSON."""
    try:
        json.dumps(given)
    except (TypeError, ValueError) as error:
        raise Broken(f"what `{where}` gives cannot be written as JSON: {error}") from error


def texts(given: Any, where: str) -> list[str]:
    """Holds that it is a list of texts."""
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise Broken(f"`{where}` gives what is no list of texts")
    return given


def parsed(text: str, where: str) -> dict[str, Any]:
    """A text of `where` as a JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Broken(f"a text of `{where}` is no JSON: {error}: {text}") from error
    if not isinstance(found, dict):
        raise Broken(f"a text of `{where}` is no JSON object: {text}")
    return found


def numbers(given: Any, what: str) -> list[int]:
    """A list of a step as numbers of 32 bits."""
    if not isinstance(given, list):
        raise Broken(f"`{what}` of a step is {kind(given)} and not a list")
    found = []
    for each in given:
        try:
            number = whole(each)
        except TypeError:
            raise Broken(f"`{what}` of a step has {each!r}, which is no whole number") from None
        if not 0 <= number <= MOST:
            raise Broken(f"`{what}` of a step has {number}: it is no number from 0 to {MOST}")
        found.append(number)
    return found


class Watch:
    """Counts what an engine gives."""

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.given = dict.fromkeys(range(REQUESTS), 0)
        self.over: set[int] = set()

    def step(self, step: Any) -> None:
        """One step, held against the contract."""
        if not isinstance(step, tuple) or len(step) != 5:
            raise Broken(f"`step` gives {kind(step)} and not a `Step` of at_ns, ids, counts, tokens, ended")
        at, ids, counts, tokens, ended = step
        # An engine with a loop of its own may have stamped before its step was called.
        if not isinstance(at, int) or not self.begun <= at <= time.monotonic_ns():
            raise Broken(f"`at_ns` is {at!r}, which is no instant of `time.monotonic_ns()` between `open` and now")
        ids, counts, tokens = numbers(ids, "ids"), numbers(counts, "counts"), numbers(tokens, "tokens")
        if counts and len(counts) != len(ids):
            raise Broken("`counts` has not one number for each of `ids`")
        if sum(counts or [1] * len(ids)) != len(tokens):
            raise Broken("`counts` do not add up to `tokens`")
        for index, count in zip(ids, counts or [1] * len(ids)):
            self.hold_open(index, "output")
            self.given[index] += count
        if not isinstance(ended, list):
            raise Broken(f"`ended` of a step is {kind(ended)} and not a list")
        for end in ended:
            self.over.add(self.ended(end))

    def ended(self, end: Any) -> int:
        """The end of a request, held against the contract."""
        if not isinstance(end, tuple) or not 2 <= len(end) <= 4:
            raise Broken(f"`ended` of a step has {end!r}, which is no `Ended`")
        index, reason = end[:2]
        self.hold_open(index, "an end")
        if not isinstance(reason, str) or (reason not in REASONS and not reason.startswith("error:")):
            raise Broken(f"the reason `{reason}` is none of {', '.join(sorted(REASONS))}, and does not begin with `error:`")
        return index

    def end(self) -> None:
        """Every request has what it asked for."""
        for index, count in self.given.items():
            if index != CANCELLED and count != tokens_of(index):
                raise Broken(f"request {index} has {count} tokens and not {tokens_of(index)}")

    def hold_open(self, index: Any, what: str) -> None:
        """Holds that a request was started and has not ended."""
        if index not in self.given or index in self.over:
            raise Broken(f"{what} of request {index}, which is not open")
