"""`py:bareflight.fake`: an engine of due instants, in the standard library alone. The worked example of an adapter, and the
engine of the tests.

Options: `itl_us` (between two tokens of a request), `prefill_us` (from its start to its first token), `batch` (tokens that one
step gives of a request), `cache_blocks` (room of the prefix cache, with `--kv-reuse`), `hot` (1: a step never sleeps), `fault` (what it does wrong, see `FAULTS`), `fault_step` (in which step; the first).
"""

from __future__ import annotations

import heapq
import json
import os
import sys
import time
from typing import Any

from bareflight import fake_faults
from bareflight.adapter import Adapter, Ended, Request, Step
from bareflight.fake_cache import BLOCK_TOKENS, Cache
from bareflight.twin import Twin, module_command

VOCABULARY = 32_000
KV_BLOCKS = 100_000


class Engine(Adapter):
    """A heap of due instants: each request's next token comes when it is due, never before."""

    SETTINGS = frozenset({"max_batch_size", "kv_reuse", "kv_events"})
    OPTIONS = frozenset({"itl_us", "prefill_us", "batch", "cache_blocks", "fault", "fault_step", "hot"})

    @classmethod
    def describe(cls, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        fake_faults.describe(settings["options"].get("fault"))
        return {
            "title": "FAKE engine in Python: tokens at due instants",
            "simulated": True,
            "limits": {"vocab_size": VOCABULARY, "max_sequence_tokens": 65_536, "max_batch_size": settings["max_batch_size"]},
            "details": {"driver_level": "the fake engine itself", "child_processes": "none"},
        }

    @classmethod
    def examine(cls) -> list[tuple[str, str]]:
        return [("ok", "the fake engine needs the standard library alone")]

    def open(self, model: str, settings: dict[str, Any]) -> None:
        options = settings["options"]
        self.itl_ns = int(options.get("itl_us", 1_000)) * 1_000
        self.prefill_ns = int(options.get("prefill_us", 2_000)) * 1_000
        self.batch = int(options.get("batch", 1))
        self.hot = options.get("hot") == "1"
        self.most = settings["max_batch_size"] or sys.maxsize
        self.cache = Cache(int(options.get("cache_blocks", KV_BLOCKS))) if settings["kv_reuse"] else None
        self.ready: dict[int, tuple[int, int, int, list[int]]] = {}
        self.found: dict[int, tuple[int, int | None]] = {}
        self.left: dict[int, int] = {}
        self.blocks: dict[int, int] = {}
        self.salt: dict[int, int] = {}
        self.first: dict[int, int] = {}
        self.waiting: list[int] = []
        self.due: list[tuple[int, int]] = []
        self.steps = 0
        self.told: list[str] = []
        self.faults = fake_faults.Faults(options.get("fault"), int(options.get("fault_step", 1)))
        self.faults.open()

    def prepare(self, requests: list[Request]) -> list[tuple[int, str]]:
        self.faults.play("prepare")
        refused = []
        for index, prompt, most, _terms in requests:
            ids = memoryview(prompt).cast("I")
            if len(ids) == 0 or max(ids) >= VOCABULARY:
                refused.append((index, f"the prompt is empty or has an id of {VOCABULARY} or more"))
            # What is said hangs on the prompt alone, as with a greedy model.
            self.ready[index] = (most, -(-(len(ids) + most) // BLOCK_TOKENS), sum(ids) * 7, ids.tolist())
        return refused

    def add(self, index: int) -> None:
        self.faults.play("add")
        self.left[index], self.blocks[index], self.salt[index], ids = self.ready.pop(index)
        self.found[index] = self.look_up(ids)
        self.waiting.append(index)
        self.start_waiting()

    def look_up(self, ids: list[int]) -> tuple[int, int | None]:
        """Blocks of a prompt that are in the cache, and those that were looked for and are not; None without a cache."""
        if self.cache is None:
            return 0, None
        found = self.cache.take(ids)
        return found, len(ids) // BLOCK_TOKENS - found

    def start_waiting(self) -> None:
        """Requests that fit into the batch begin their prefill."""
        while self.waiting and len(self.due) < self.most:
            heapq.heappush(self.due, (time.monotonic_ns() + self.prefill_ns, self.waiting.pop(0)))

    def cancel(self, index: int) -> bool:
        if self.faults.name == "silent_abort":
            return False
        self.left.pop(index, None)
        self.blocks.pop(index, None)
        self.salt.pop(index, None)
        self.found.pop(index, None)
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
            salt = self.salt[index] + self.left[index]
            tokens.extend((salt + i) % VOCABULARY for i in range(count))
            self.first.setdefault(index, at)
            if self.left[index] > 0:
                heapq.heappush(self.due, (due + self.itl_ns, index))
            else:
                del self.left[index], self.salt[index]
                times, blocks = (None, None, self.first.pop(index), at), self.blocks.pop(index)
                found, missed = self.found.pop(index)
                ended.append(Ended(index, "length", times, (blocks, blocks - found, found, missed)))
            if self.faults.one_output_a_step:
                break
        self.start_waiting()
        self.tell(began, at, len(ended))
        step = Step(at, ids, counts, tokens, ended)
        return step if self.faults.name is None else self.faults.step(step, self.steps)

    def wait(self, due: int) -> None:
        """Until an instant: hot in Python, or asleep for at most 5 ms, so that new requests are seen."""
        if self.hot:
            until = min(due, time.monotonic_ns() + 5_000_000)
            while time.monotonic_ns() < until:
                pass
        elif (left := due - time.monotonic_ns()) > 0:
            time.sleep(min(left, 5_000_000) / 1e9)

    def tell(self, began: int, at: int, completed: int) -> None:
        """Statistics of one step."""
        told = {
            "iteration": self.steps, "at_ns": at, "latency_ns": at - began, "active": len(self.due),
            "queued": len(self.waiting), "completed": completed, "max_batch_size": None, "batch": None,
            "kv": {"used_blocks": sum(self.blocks.values()), "max_blocks": KV_BLOCKS},
        }
        self.told.append(json.dumps(told))

    def iterations(self) -> list[str]:
        told, self.told = self.told, []
        return told

    def kv_events(self) -> list[str]:
        if self.cache is None:
            return []
        told, self.cache.told = self.cache.told, []
        return told

    def close(self) -> None:
        self.faults.close()

    @classmethod
    def served(cls, model: str, settings: dict[str, Any], port: str, name: str, folder: str) -> Twin:
        """The same engine behind bareflight's own server, which needs a tokenizer for its text."""
        target = ",".join(["py:bareflight.fake", *(f"{key}={value}" for key, value in settings["options"].items())])
        vocabulary = f"{folder}/tokenizer.json"
        words = ["serve", "--target", target, "--port", port, "--grpc-port", "0", "--model-name", name, "--tokenizer", vocabulary]
        if settings["kv_reuse"]:
            words.append("--kv-reuse")
        if settings["max_batch_size"] is not None:
            words += ["--max-batch-size", str(settings["max_batch_size"])]
        ask: dict[str, str | int] = {
            "endpoint": "completions", "model": name, "vocab_size": VOCABULARY, "extra_inputs": '{"return_token_ids":true}',
        }
        return Twin(module_command("bareflight", *words), {}, {vocabulary: json.dumps(tokenizer())}, ask)


def tokenizer() -> dict[str, Any]:
    """A tokenizer of made-up words, as Hugging Face writes it."""
    model = {"type": "WordLevel", "vocab": {f"w{i}": i for i in range(VOCABULARY)}, "unk_token": "w0"}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None, "model": model,
    }
