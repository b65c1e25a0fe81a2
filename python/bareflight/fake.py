"""`py:bareflight.fake`: an engine of due instants, in the standard library alone. The worked example of an adapter, and the
engine of the tests.

Options: `itl_us` (between two tokens of a request), `prefill_us` (from its start to its first token), `batch` (tokens that one
step gives of a request), `fault` (see `FAULTS`), `hot` (1: a step never sleeps).
"""

from __future__ import annotations

import heapq
import json
import os
import sys
import time
from typing import Any

from bareflight.adapter import Adapter, Ended, Request, Step

VOCABULARY = 32_000
FAULTS = frozenset(
    {
        "describe", "open", "prepare", "add", "step", "hang", "end_twice", "after_end", "silent_abort",
        "unknown_request", "print", "exit", "close",
    }
)


class Engine(Adapter):
    """A heap of due instants: each request's next token comes when it is due, never before."""

    SETTINGS = frozenset({"max_batch_size"})
    OPTIONS = frozenset({"itl_us", "prefill_us", "batch", "fault", "hot"})

    @classmethod
    def describe(cls, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        fault = settings["options"].get("fault")
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"it has no fault `{fault}`: it knows {', '.join(sorted(FAULTS))}")
        if fault == "describe":
            raise RuntimeError("played fault: describe")
        return {
            "title": "FAKE engine in Python: tokens at due instants",
            "simulated": True,
            "limits": {"vocab_size": VOCABULARY, "max_sequence_tokens": 65_536, "max_batch_size": settings["max_batch_size"]},
            "details": {"driver_level": "adapter", "child_processes": "none"},
        }

    def open(self, model: str, settings: dict[str, Any]) -> None:
        options = settings["options"]
        self.itl_ns = int(options.get("itl_us", 1_000)) * 1_000
        self.prefill_ns = int(options.get("prefill_us", 2_000)) * 1_000
        self.batch = int(options.get("batch", 1))
        self.hot = options.get("hot") == "1"
        self.fault = options.get("fault")
        self.most = settings["max_batch_size"] or sys.maxsize
        self.ready: dict[int, tuple[int, int]] = {}
        self.left: dict[int, int] = {}
        self.first: dict[int, int] = {}
        self.waiting: list[int] = []
        self.due: list[tuple[int, int]] = []
        self.steps = 0
        self.told: list[str] = []
        if self.fault == "open":
            raise RuntimeError("played fault: open")
        if self.fault == "print":
            os.write(1, b"the engine prints to file descriptor 1\n")
            print("the engine prints to sys.stdout", flush=True)

    def prepare(self, requests: list[Request]) -> list[tuple[int, str]]:
        if self.fault == "prepare":
            raise RuntimeError("played fault: prepare")
        refused = []
        for index, prompt, most, _terms in requests:
            ids = memoryview(prompt).cast("I")
            if len(ids) == 0 or max(ids) >= VOCABULARY:
                refused.append((index, f"the prompt is empty or has an id of {VOCABULARY} or more"))
            self.ready[index] = (most, sum(ids))
        return refused

    def add(self, index: int) -> None:
        if self.fault == "add":
            raise RuntimeError("played fault: add")
        self.left[index], _ = self.ready.pop(index)
        self.waiting.append(index)
        self.start_waiting()

    def start_waiting(self) -> None:
        """Requests that fit into the batch begin their prefill."""
        while self.waiting and len(self.due) < self.most:
            heapq.heappush(self.due, (time.monotonic_ns() + self.prefill_ns, self.waiting.pop(0)))

    def cancel(self, index: int) -> bool:
        if self.fault == "silent_abort":
            return False
        self.left.pop(index, None)
        self.waiting = [other for other in self.waiting if other != index]
        self.due = [entry for entry in self.due if entry[1] != index]
        heapq.heapify(self.due)
        self.start_waiting()
        return True

    def busy(self) -> bool:
        return bool(self.due)

    def step(self) -> Step:
        began = time.monotonic_ns()
        self.wait(self.due[0][0])
        at = time.monotonic_ns()
        self.steps += 1
        ids: list[int] = []
        counts: list[int] = []
        tokens: list[int] = []
        ended: list[Ended] = []
        while self.due and self.due[0][0] <= at:
            due, index = heapq.heappop(self.due)
            count = min(self.batch, self.left[index])
            self.left[index] -= count
            ids.append(index)
            counts.append(count)
            tokens.extend((index * 7 + self.left[index]) % VOCABULARY for _ in range(count))
            self.first.setdefault(index, at)
            if self.left[index] > 0:
                heapq.heappush(self.due, (due + self.itl_ns, index))
            else:
                del self.left[index]
                ended.append(Ended(index, "length", (None, None, self.first.pop(index), at)))
        self.start_waiting()
        self.play_fault(ids, counts, tokens, ended)
        self.tell(began, at, len(ended))
        return Step(at, ids, counts, tokens, ended)

    def wait(self, due: int) -> None:
        """Until an instant: hot in Python, or asleep for at most 5 ms, so that new requests are seen."""
        if self.hot:
            until = min(due, time.monotonic_ns() + 5_000_000)
            while time.monotonic_ns() < until:
                pass
        elif (left := due - time.monotonic_ns()) > 0:
            time.sleep(min(left, 5_000_000) / 1e9)

    def play_fault(self, ids: list[int], counts: list[int], tokens: list[int], ended: list[Ended]) -> None:
        """Does wrong what it was asked to do wrong."""
        if self.fault == "unknown_request":
            ids.append(4_000_000)
            counts.append(1)
            tokens.append(1)
        if self.fault in {"step", "hang", "exit"} and self.steps >= 5:
            if self.fault == "step":
                raise RuntimeError("played fault: step")
            if self.fault == "exit":
                os._exit(86)
            while True:
                time.sleep(1)
        if self.fault == "end_twice" and ended:
            ended.append(ended[0])
        if self.fault == "after_end":
            if gone := getattr(self, "gone", None):
                ids.append(gone.pop())
                counts.append(1)
                tokens.append(1)
            self.gone = [end.index for end in ended]

    def tell(self, began: int, at: int, completed: int) -> None:
        """Statistics of one step."""
        told = {
            "iteration": self.steps, "at_ns": at, "latency_ns": at - began, "active": len(self.due),
            "queued": len(self.waiting), "completed": completed, "max_batch_size": None, "batch": None, "kv": None,
        }
        self.told.append(json.dumps(told))

    def iterations(self) -> list[str]:
        told, self.told = self.told, []
        return told

    def close(self) -> None:
        if self.fault == "close":
            raise RuntimeError("played fault: close")
