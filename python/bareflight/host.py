"""Host of engines: finds adapters, and runs an engine's thread. The loop is written here, once, for all adapters."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import threading
import time
import traceback
from functools import lru_cache
from typing import Any

from bareflight.adapter import Adapter, Request

#: How long an idle thread sleeps at the desk; an order wakes it.
IDLE_US = 50_000
#: Between two looks at the engine's statistics.
STATISTICS_NS = 20_000_000
#: Settings that are set, where they are not these.
DEFAULTS = {"max_batch_size": None, "max_num_tokens": None, "max_queue_size": None, "kv_reuse": False, "kv_tokens": None}


def find(module: str) -> type[Adapter]:
    """The adapter of a module."""
    found = getattr(importlib.import_module(module), "Engine", None)
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise TypeError(f"`{module}` has no class `Engine` that is a `bareflight.adapter.Adapter`: see docs/PYTHON_ENGINES.md")
    return found


def words_of(error: BaseException, where: str) -> str:
    """An exception on one line, with the place in which it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"`{where}` of the adapter raised {type(error).__name__}: {error}{at}"


def check_settings(engine: type[Adapter], settings: dict[str, Any]) -> None:
    """Refuses what the adapter does not honour."""
    for name, default in DEFAULTS.items():
        if settings.get(name) != default and name not in engine.SETTINGS:
            raise ValueError(f"it has no `--{name.replace('_', '-')}`: leave it out")
    for option in settings.get("options", {}):
        if engine.OPTIONS is not None and option not in engine.OPTIONS:
            known = ", ".join(sorted(engine.OPTIONS)) or "none"
            raise ValueError(f"it has no option `{option}`: it knows {known}")


def describe(module: str, model: str, settings_json: str) -> tuple[bool, str]:
    """What an engine is, as JSON; or False and why it cannot be used."""
    try:
        engine = find(module)
        settings = json.loads(settings_json)
        check_settings(engine, settings)
        said = dict(engine.describe(model, settings))
        said["details"] = {
            "python": sys.version.split()[0],
            "switch_interval_s": sys.getswitchinterval(),
            "garbage_collector": "frozen after opening, then as the engine has it",
            "stamps": "engine thread",
            "prepared": "before the clock, and between steps while the engine is busy",
            **said.get("details", {}),
        }
        return True, json.dumps(said)
    except (KeyboardInterrupt, SystemExit) as error:
        return False, words_of(error, "describe")
    except Exception as error:  # The adapter's words are the reason.
        return False, words_of(error, "describe")


def start(module: str, model: str, settings_json: str, desk: Any) -> None:
    """Starts the engine's thread. Python does not wait for it at the end, since it may never come back."""
    arguments = (module, model, json.loads(settings_json), desk)
    threading.Thread(target=run, args=arguments, name="bf-engine", daemon=True).start()


def run(module: str, model: str, settings: dict[str, Any], desk: Any) -> None:
    """The engine's thread: opens the engine, runs it, closes it."""
    masks = affinity_masks()
    try:
        engine = find(module)()
        engine.open(model, settings)
    except BaseException as error:  # Whatever it is, somebody waits for the engine.
        desk.ended(words_of(error, "open"))
        return
    restore_affinity(masks)
    gc.collect()
    gc.freeze()
    desk.opened()
    try:
        loop(engine, desk, settings["iteration_stats"])
    except EngineFailed as failure:
        print(f"bareflight: {failure}", file=sys.stderr)
        desk.failed(str(failure))
        desk.ended(str(failure))
        return
    try:
        engine.close()
    except BaseException as error:  # Its thread ends here either way.
        desk.ended(words_of(error, "close"))
    else:
        desk.ended(None)


class EngineFailed(Exception):
    """The engine as a whole has failed; the words are for the user."""


@lru_cache(maxsize=64)
def terms_of(text: str) -> dict[str, Any]:
    """Terms of a request; most requests of a plan have the same."""
    return json.loads(text)


def prepare(engine: Adapter, desk: Any, orders: list[tuple[int, bytes, int, str]], refused: dict[int, str]) -> None:
    """Has requests made ready, and notes which are refused."""
    requests = [Request(index, prompt, most, terms_of(terms)) for index, prompt, most, terms in orders]
    try:
        refused.update(engine.prepare(requests))
    except Exception as error:  # It refuses these requests, and no other.
        words = words_of(error, "prepare")
        refused.update((request.index, words) for request in requests)
    desk.prepared(len(requests))


def add(engine: Adapter, desk: Any, index: int, refused: dict[int, str]) -> None:
    """Starts a request, or says why it is refused."""
    why = refused.pop(index, None)
    if why is None:
        try:
            engine.add(index)
            return
        except Exception as error:  # It refuses this request, and no other.
            why = words_of(error, "add")
    desk.refuse(index, why)


def cancel(engine: Adapter, desk: Any, index: int) -> None:
    """Ends a request early, unless it has ended."""
    if not desk.is_open(index):
        return
    try:
        silent = engine.cancel(index)
    except Exception as error:
        raise EngineFailed(words_of(error, "cancel")) from error
    if silent:
        desk.deliver(time.monotonic_ns(), [], [], [], [(index, "cancelled", None)])


def loop(engine: Adapter, desk: Any, statistics: bool) -> None:
    """Steps the engine until it is to be closed: orders between steps, one call per step."""
    refused: dict[int, str] = {}
    next_statistics = 0
    orders = True
    where = "busy"
    try:
        while True:
            where = "busy"
            busy = engine.busy()
            if orders or not busy:
                to_prepare, added, cancelled, stop = desk.take(0 if busy else IDLE_US)
                if to_prepare:
                    prepare(engine, desk, to_prepare, refused)
                for index in added:
                    add(engine, desk, index, refused)
                for index in cancelled:
                    cancel(engine, desk, index)
                if stop:
                    return
                where = "busy"
                busy = engine.busy()
            orders = False
            if busy:
                where = "step"
                orders = desk.deliver(*engine.step())
            if statistics and (now := time.monotonic_ns()) >= next_statistics:
                next_statistics = now + STATISTICS_NS
                where = "iterations"
                if texts := engine.iterations():
                    desk.iterations(texts)
    except EngineFailed:
        raise
    except BaseException as error:  # The engine is dead, whatever it raised.
        raise EngineFailed(words_of(error, where)) from error


def affinity_masks() -> dict[int, set[int]]:
    """The cores on which each thread of this process may run."""
    masks = {}
    for thread in map(int, os.listdir("/proc/self/task")):
        try:
            masks[thread] = os.sched_getaffinity(thread)
        except ProcessLookupError:  # It ended meanwhile.
            continue
    return masks


def restore_affinity(masks: dict[int, set[int]]) -> None:
    """Gives each thread that was there before the engine its cores back, but for the engine's own."""
    own = threading.get_native_id()
    for thread, mask in masks.items():
        try:
            if thread != own and os.sched_getaffinity(thread) != mask:
                os.sched_setaffinity(thread, mask)
                print(f"bareflight: the engine had pinned thread {thread}; it has its cores back", file=sys.stderr)
        except ProcessLookupError:  # It ended meanwhile.
            continue
