"""Claims about the loop that drives an adapter, with a desk in Python."""

from __future__ import annotations

import sys
import threading
import unittest

from bareflight import host
from bareflight.adapter import Adapter, Ended, Refused, Step


class Desk:
    """Gives orders one batch at a time, and keeps what it is told."""

    def __init__(self, *orders: tuple) -> None:
        self.orders = list(orders)
        self.log: list[tuple] = []
        self.open: set[int] = set()

    def take(self, wait_us: int) -> tuple:
        # It is to be closed when it is at rest and nothing is left.
        taken = self.orders.pop(0) if self.orders else ([], [], [], wait_us > 0)
        self.open.update(taken[1])
        return taken

    def deliver(self, at: int, ids: list, counts: list, tokens: list, ended: list) -> None:
        self.log.append(("deliver", ids, [end[:2] for end in ended]))
        self.open.difference_update(end[0] for end in ended)

    def is_open(self, index: int) -> bool:
        return index in self.open

    def __getattr__(self, name: str):
        return lambda *given: self.log.append((name, *given))

    def said(self, name: str) -> list[tuple]:
        return [entry[1:] for entry in self.log if entry[0] == name]


class Scripted(Adapter):
    """One token for each request that was added, in one step."""

    TERMS: list = []

    def __init__(self) -> None:
        self.added: list[int] = []

    @classmethod
    def describe(cls, model, settings):
        return {"title": "scripted"}

    def open(self, model, settings):
        pass

    def prepare(self, requests):
        self.TERMS.extend(request.terms for request in requests)
        return [(request.index, "no") for request in requests if request.index == 13]

    def add(self, index):
        if index == 7:
            raise Refused("seven is not for me")
        self.added.append(index)

    def cancel(self, index):
        self.added.remove(index)
        return True

    def busy(self):
        return bool(self.added)

    def step(self):
        ids, self.added = self.added, []
        return Step(1, ids, [], ids, [Ended(index, "length") for index in ids])

    def iterations(self):
        return ["{}"]


def request(index: int) -> tuple:
    return (index, b"\0\0\0\0", 1, '{"min_tokens": 1}')


class Loop(unittest.TestCase):
    def test_what_is_refused_is_refused_alone_and_in_its_own_words(self) -> None:
        desk = Desk(([request(1), request(7), request(13)], [1, 7, 13], [], False))
        host.loop(Scripted(), desk, False)
        self.assertEqual(desk.said("refuse"), [(7, "seven is not for me"), (13, "no")])
        self.assertEqual(desk.said("deliver"), [([1], [(1, "length")])])
        self.assertEqual(desk.said("prepared"), [(3,)])

    def test_a_cancel_of_what_has_ended_does_not_reach_the_engine(self) -> None:
        desk = Desk(([request(1)], [1], [], False), ([], [], [], False), ([], [], [1, 99], False))
        host.loop(Scripted(), desk, False)
        self.assertEqual(desk.said("deliver"), [([1], [(1, "length")])])

    def test_a_cancel_without_a_further_word_is_ended_by_the_host(self) -> None:
        desk = Desk(([request(1), request(2)], [1, 2], [2], False))
        host.loop(Scripted(), desk, False)
        self.assertEqual(desk.said("deliver"), [([], [(2, "cancelled")]), ([1], [(1, "length")])])

    def test_what_the_output_of_a_step_leads_to_waits_for_the_step_after_however_fast_it_comes(self) -> None:
        class Answering(Desk):
            """Request 1 ends in a first step, and while that is handed over request 3 is sent."""

            def take(self, wait_us):
                return super().take(wait_us) if self.orders else ([], [], [], len(self.open) == 0)

            def deliver(self, at, ids, counts, tokens, ended):
                super().deliver(at, ids, counts, tokens, ended)
                if any(end[0] == 1 for end in ended):
                    self.orders.append(([request(3)], [3], [], False))

        class Long(Scripted):
            """Request 2 takes three steps, each other one takes one."""

            def __init__(self) -> None:
                super().__init__()
                self.steps = 0

            def step(self):
                self.steps += 1
                ids = list(self.added)
                over = [index for index in ids if index != 2 or self.steps >= 3]
                self.added = [index for index in ids if index not in over]
                return Step(self.steps, ids, [], ids, [Ended(index, "length") for index in over])

        desk = Answering(([request(1), request(2)], [1, 2], [], False))
        host.loop(Long(), desk, False)
        self.assertEqual([ids for ids, _ in desk.said("deliver")], [[1, 2], [2], [2, 3]])

    def test_requests_of_one_instant_begin_in_one_step_and_nothing_else_comes_before_it(self) -> None:
        later = ([request(3)], [], [], False)
        desk = Desk(([request(1)], [1], [], False), ([request(2)], [2], [], False), ([], [], [], False), ([request(3)], [3], [], False))
        host.loop(Scripted(), desk, False)
        self.assertEqual([ids for ids, _ in desk.said("deliver")], [[1, 2], [3]])
        desk = Desk(([request(1)], [1], [], False), later, ([], [], [], False), ([], [3], [], False))
        host.loop(Scripted(), desk, False)
        names = [entry[0] for entry in desk.log]
        self.assertLess(names.index("deliver"), len(names) - 1 - names[::-1].index("prepared"), desk.log)
        self.assertEqual([ids for ids, _ in desk.said("deliver")], [[1], [3]])

    def test_what_comes_while_a_step_runs_is_in_the_next_one(self) -> None:
        nothing = ([], [], [], False)
        desk = Desk(([request(1)], [1], [], False), nothing, ([request(2)], [2], [], False))
        host.loop(Scripted(), desk, False)
        self.assertEqual([ids for ids, _ in desk.said("deliver")], [[1], [2]])

    def test_statistics_come_before_the_end_that_somebody_waits_for(self) -> None:
        desk = Desk(([request(1)], [1], [], False))
        host.loop(Scripted(), desk, True)
        names = [entry[0] for entry in desk.log]
        self.assertLess(names.index("iterations"), names.index("deliver"))

    def test_terms_are_read_once(self) -> None:
        Scripted.TERMS.clear()
        desk = Desk(([request(1), request(2)], [], [], False))
        host.loop(Scripted(), desk, False)
        first, second = Scripted.TERMS
        self.assertIs(first, second)

    def test_what_raises_is_the_end_of_the_engine_with_place_and_words(self) -> None:
        class Broken(Scripted):
            def step(self):
                raise KeyError("k")

            def close(self):
                raise ValueError("and close too")

        host_of(Broken, desk := Desk(([request(1)], [1], [], False)))
        (words,) = desk.said("failed")[0]
        self.assertRegex(words, r"`step` of the adapter raised KeyError: 'k' \(test_host.py:\d+\)")
        self.assertEqual(desk.said("ended"), [(words,)])


class Thread(unittest.TestCase):
    def test_the_interpreter_is_put_back_when_the_last_engine_has_closed(self) -> None:
        before = sys.getswitchinterval()

        class Switching(Scripted):
            SWITCH_INTERVAL_S = before / 10

        gate = threading.Event()

        class Waiting(Desk):
            def take(self, wait_us):
                gate.wait(60)
                return super().take(wait_us)

        slow, fast = Waiting(), Desk()
        thread = threading.Thread(target=host_of, args=(Switching, slow))
        thread.start()
        while not slow.said("opened"):
            pass
        host_of(Switching, fast)
        self.assertAlmostEqual(sys.getswitchinterval(), before / 10)
        gate.set()
        thread.join(60)
        self.assertAlmostEqual(sys.getswitchinterval(), before)


def host_of(adapter: type[Adapter], desk: Desk) -> None:
    """Runs an adapter's thread to its end, on this one."""
    module = type(sys)("scripted_adapter")
    module.Engine = adapter
    sys.modules[module.__name__] = module
    host.run(module.__name__, "", {"iteration_stats": False}, desk)


class Settings(unittest.TestCase):
    def test_what_an_adapter_does_not_honour_is_refused_by_its_flag(self) -> None:
        settings = {**host.DEFAULTS, "options": {}}
        host.check_settings(Scripted, settings)
        for changed, words in [({"kv_reuse": True}, "--kv-reuse"), ({"max_num_tokens": 4}, "--max-num-tokens"), ({"options": {"a": "b"}}, "`a`")]:
            with self.assertRaisesRegex(Refused, words):
                host.check_settings(Scripted, {**settings, **changed})


if __name__ == "__main__":
    unittest.main()
