"""Worked example of an adapter: an engine that gives each running request one token in every step."""

import time

from bareflight.adapter import Adapter, Ended, Refused, Step

VOCABULARY = 1_000


class Engine(Adapter):
    SETTINGS = frozenset({"max_batch_size"})
    OPTIONS = frozenset({"step_ms"})

    @classmethod
    def describe(cls, model, settings):
        if float(settings["options"].get("step_ms", 1)) <= 0:
            raise Refused("`step_ms` must be above 0")
        return {
            "title": "toy engine: one token for every request in each step",
            "simulated": True,
            "limits": {"vocab_size": VOCABULARY, "max_sequence_tokens": 4_096},
            "details": {"driver_level": "toy engine", "child_processes": "none"},
        }

    def open(self, model, settings):
        self.step_s = float(settings["options"].get("step_ms", 1)) / 1e3
        self.most = settings["max_batch_size"] or 64
        self.ready, self.waiting, self.running = {}, [], {}

    def prepare(self, requests):
        # Everything that costs time belongs here: a request is made before the clock starts.
        for request in requests:
            prompt = memoryview(request.prompt).cast("I").tolist()
            self.ready[request.index] = (prompt, request.max_tokens)
        return []

    def add(self, index):
        self.waiting.append(index)

    def cancel(self, index):
        self.running.pop(index, None)
        if index in self.waiting:
            self.waiting.remove(index)
        return True  # No word of it will follow.

    def busy(self):
        return bool(self.running or self.waiting)

    def step(self):
        while self.waiting and len(self.running) < self.most:
            index = self.waiting.pop(0)
            prompt, most = self.ready.pop(index)
            self.running[index] = [sum(prompt) % VOCABULARY, most]
        time.sleep(self.step_s)  # The engine's own work.
        at = time.monotonic_ns()  # At once, before any loop over outputs.
        ids, tokens, ended = list(self.running), [], []
        for index in ids:
            state = self.running[index]
            tokens.append(state[0])
            state[1] -= 1
            if state[1] == 0:
                ended.append(Ended(index, "length"))
                del self.running[index]
        return Step(at, ids, [], tokens, ended)
