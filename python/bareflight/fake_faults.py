"""Faults that the fake engine plays, each by its name: what an engine or its library can do wrong."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

from bareflight.adapter import Ended, Refused, Step

#: Name and what it does.
FAULTS = {
    "describe": "`describe` raises",
    "open": "`open` raises",
    "prepare": "`prepare` raises",
    "add": "`add` raises",
    "step": "a step raises",
    "hang": "a step never returns",
    "exit": "a step ends the process",
    "interrupt": "a step is interrupted by Ctrl-C",
    "close": "`close` raises",
    "close_hang": "`close` never returns",
    "end_twice": "a request ends twice",
    "after_end": "output comes after the end",
    "unknown_request": "output of a request that nobody asked",
    "no_step": "a step gives text instead of numbers",
    "silent_abort": "a cancelled request goes on",
    "print": "the engine, its C side and a child print to standard output",
    "pin": "the engine pins every thread of the process to one core",
    "thread": "the engine leaves a thread that does not end",
    "take_signal": "importing it takes over SIGINT",
    "set_signal": "`open` sets a handler of a signal",
    "spawn": "the engine starts a child through `multiprocessing`",
    "child": "the engine has a child that must live until `close`",
}

def describe(name: str | None) -> None:
    """Plays a fault of `describe`."""
    if name is not None and name not in FAULTS:
        raise Refused(f"it has no fault `{name}`: it knows {', '.join(sorted(FAULTS))}")
    if name == "describe":
        raise RuntimeError("played fault: describe")
    if name == "take_signal":
        signal.signal(signal.SIGINT, signal.default_int_handler)


def answer(queue: multiprocessing.Queue) -> None:
    """What a spawned child does."""
    queue.put(os.getpid())


class Faults:
    """The one fault that an engine plays, if any."""

    def __init__(self, name: str | None, at_step: int) -> None:
        self.name = name
        self.at_step = at_step
        # An engine that is late gives all that is due in one step, which may be all there is: nothing would come after an end.
        self.one_output_a_step = name == "after_end"
        self.gone: list[int] = []
        self.child: subprocess.Popen | None = None

    def play(self, place: str) -> None:
        """Raises, where that is the fault."""
        if self.name == place:
            raise RuntimeError(f"played fault: {place}")

    def open(self) -> None:
        """Plays a fault of `open`."""
        self.play("open")
        if self.name == "print":
            os.write(1, b"the engine prints to file descriptor 1\n")
            print("the engine prints to sys.stdout")
            subprocess.run(["echo", "a child of the engine prints"], check=True)
        elif self.name == "pin":
            core = {min(os.sched_getaffinity(0))}
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), core)
        elif self.name == "thread":
            threading.Thread(target=time.sleep, args=(3600,), name="left-behind", daemon=False).start()
        elif self.name == "set_signal":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        elif self.name == "spawn":
            spawn()
        elif self.name == "child":
            self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])

    def step(self, step: Step, number: int) -> Step:
        """What becomes of a step."""
        if number == self.at_step:
            self.play("step")
            if self.name == "exit":
                os._exit(86)
            if self.name == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            if self.name == "hang":
                print("played fault: hang", file=sys.stderr)
            while self.name == "hang":
                time.sleep(1)
        at, ids, counts, tokens, ended = step
        if self.name == "unknown_request":
            return Step(at, [*ids, 4_000_000], [*counts, 1], [*tokens, 1], ended)
        if self.name == "no_step":
            return Step(at, ["a"], [1], [1], ended)  # type: ignore[list-item]
        if self.name == "end_twice" and ended:
            return Step(at, ids, counts, tokens, [*ended, Ended(ended[0].index, "length")])
        if self.name == "after_end" and ids and not self.gone and all(end.index != ids[0] for end in ended):
            # It ends in its first step, and the engine goes on with it: whatever else runs, there is output after that.
            self.gone = [ids[0]]
            return Step(at, ids, counts, tokens, [*ended, Ended(ids[0], "length")])
        return step

    def close(self) -> None:
        """Plays a fault of `close`."""
        if self.child is not None:
            died = self.child.poll()
            self.child.kill()
            self.child.wait()
            if died is not None:
                raise RuntimeError(f"its child had ended before it was closed: {died}")
        self.play("close")
        while self.name == "close_hang":
            time.sleep(1)


def spawn() -> None:
    """Starts a child as engines start their workers, and waits for its word."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=answer, args=(queue,))
    child.start()
    said = queue.get(timeout=60)
    child.join(60)
    if said != child.pid or child.exitcode != 0:
        raise RuntimeError(f"its child said {said} and ended with {child.exitcode}")
