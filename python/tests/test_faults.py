"""Claims about engines in Python that do something wrong."""

from __future__ import annotations

import unittest

from pathlib import Path

from program import ProgramTest

TOY = Path(__file__).resolve().parents[2] / "examples/python/toy_adapter.py"


class Faults(ProgramTest):
    def fails(self, fault: str, words: str):
        """The run fails as a whole, with these words; what had ended before is kept."""
        run = self.measure(f"fault={fault},fault_step=60", "-n", "5000", "--warmup", "0")
        self.assertEqual(run.code, 1, run)
        self.assertIn(words, run.told)
        self.assertEqual(run.json("manifest.json")["state"], "failed")
        return run

    def test_an_engine_that_raises_in_a_step_fails_the_run_and_keeps_what_had_ended(self) -> None:
        run = self.fails("step", "`step` of the adapter raised RuntimeError: played fault: step (fake_faults.py:")
        outcomes = [row["outcome"] for row in run.requests()]
        self.assertGreater(outcomes.count("completed"), 0)
        # Those in flight, and no other.
        self.assertLessEqual(outcomes.count("failed"), 2)

    def test_a_breach_of_the_contract_fails_the_run_and_is_named(self) -> None:
        for fault, words in [
            ("end_twice", "the adapter broke its contract: a second end of request"),
            ("after_end", "the adapter broke its contract: output of request"),
            ("unknown_request", "the adapter broke its contract: output of request 4000000, which it was not given"),
            ("no_step", "`step` of the adapter gave what is no `Step`"),
        ]:
            with self.subTest(fault):
                self.setUp()
                self.fails(fault, words)

    def test_a_request_that_the_adapter_does_not_take_is_refused_alone(self) -> None:
        for fault in ("prepare", "add"):
            with self.subTest(fault):
                self.setUp()
                run = self.measure(f"fault={fault}", "-n", "6")
                self.assertEqual(run.code, 1, run)
                rows = run.requests()
                self.assertEqual([(row["outcome"], row["reason"]) for row in rows], [("failed", "refused")] * 6)
                self.assertIn(f"played fault: {fault}", rows[0]["failure_words"])

    def test_an_engine_that_cannot_be_opened_is_refused_before_load(self) -> None:
        for fault in ("describe", "open"):
            with self.subTest(fault):
                self.setUp()
                run = self.measure(f"fault={fault}", "-n", "6")
                self.assertEqual(run.code, 3, run)
                self.assertIn(f"`{fault}` of the adapter raised RuntimeError: played fault: {fault}", run.told)

    def test_an_engine_that_hangs_in_a_step_is_left_behind_after_an_interrupt(self) -> None:
        child = self.begin_measure("fault=hang,fault_step=60", "-n", "5000", "--warmup", "0", "--drain", "200ms")
        self.wait_for(child, "engine.log", lambda text: "played fault: hang" in text)
        child.send_signal(2)
        run = self.end(child)
        self.assertEqual(run.code, 130, run)
        faults = run.json("manifest.json")["faults"]
        self.assertTrue(any("did not come back from its adapter" in fault for fault in faults), faults)
        self.assertGreater([row["outcome"] for row in run.requests()].count("completed"), 1)

    def test_an_engine_that_never_closes_is_left_behind_and_the_result_stands(self) -> None:
        run = self.measure("fault=close_hang", "-n", "6")
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("did not come back from its adapter", run.told)
        self.assertEqual(run.counts()["completed"], 6)

    def test_an_error_in_close_is_said_and_the_result_stands(self) -> None:
        run = self.measure("fault=close", "-n", "6")
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("`close` of the adapter raised RuntimeError: played fault: close", run.told)

    def test_a_process_that_its_engine_ends_leaves_records_that_are_reported_as_failed(self) -> None:
        run = self.measure("fault=exit,fault_step=60", "-n", "5000", "--warmup", "0")
        self.assertEqual(run.code, 86, run)
        report = self.program("report", str(run.directory()))
        self.assertEqual(report.code, 1, report)
        self.assertIn("FAILED: the process ended in the middle of the run", " ".join(report.out.split()))
        self.assertIn("INCOMPLETE", report.out)

    def test_a_fault_that_does_not_exist_is_refused_in_plain_words(self) -> None:
        run = self.measure("fault=nosuch", "-n", "6")
        self.assertEqual(run.code, 3, run)
        self.assertIn("it has no fault `nosuch`", run.told)
        self.assertNotIn("raised", run.told)


class Checked(ProgramTest):
    def test_the_fake_engine_keeps_the_contract(self) -> None:
        run = self.program("adapter", "check", "bareflight.fake")
        self.assertEqual(run.code, 0, run)
        self.assertIn("bareflight.fake keeps the contract", run.out)

    def test_each_breach_is_named(self) -> None:
        for fault, words in [
            ("end_twice", "an end of request"),
            ("after_end", "output of request"),
            ("unknown_request", "output of request 4000000"),
            ("prepare", "played fault: prepare"),
            ("close", "played fault: close"),
            ("no_step", "`ids` of a step has 'a', which is no whole number"),
            ("exit", "the process ends with code 86 in `step` of the adapter"),
            ("take_signal", "takes over SIGINT"),
            ("set_signal", "signal only works in main thread"),
            ("thread", "leaves its thread `left-behind`"),
        ]:
            with self.subTest(fault):
                run = self.program("adapter", "check", f"bareflight.fake,fault={fault}")
                self.assertEqual(run.code, 1, run)
                self.assertIn(words, run.told)

    def test_what_an_engine_may_do_keeps_the_contract(self) -> None:
        for fault in ("print", "pin", "spawn", "child"):
            with self.subTest(fault):
                run = self.program("adapter", "check", f"bareflight.fake,fault={fault}")
                self.assertEqual(run.code, 0, run)
                self.assertEqual(len(run.out.splitlines()), 1, "results alone go to standard output")

    def test_an_adapter_that_does_anything_wrong_has_one_clear_sentence(self) -> None:
        (self.folder / TOY.name).write_text(TOY.read_text())
        for body, words in [
            ("def step(self): return None", "`step` gives None and not a `Step`"),
            ("def step(self): return [1]", "`step` gives `list` and not a `Step`"),
            ("def step(self): return Step('now', [], [], [], [])", "`at_ns` is 'now'"),
            ("def step(self): return Step(time.time_ns(), [], [], [], [])", "no instant of `time.monotonic_ns()`"),
            ("def step(self): return super().step()._replace(counts=[-1])", "`counts` of a step has -1"),
            ("def step(self): return super().step()._replace(tokens=[1 << 32])", "`tokens` of a step has 4294967296"),
            ("def step(self): return super().step()._replace(tokens=None)", "`tokens` of a step is None and not a list"),
            ("def step(self): return super().step()._replace(ids=[0], tokens=[])", "do not add up"),
            ("def step(self): return super().step()._replace(ended=[3])", "`ended` of a step has 3, which is no `Ended`"),
            ("def step(self): return super().step()._replace(ended=[Ended(0, 'done')])", "the reason `done`"),
            ("def step(self): raise KeyboardInterrupt", "`step` of the adapter raised KeyboardInterrupt"),
            ("def step(self): raise SystemExit(3)", "`step` of the adapter raised SystemExit: 3"),
            ("def step(self): os.kill(os.getpid(), 11)", "the process ends by SIGSEGV in `step`"),
            ("def step(self): os.fork(); return super().step()", "`step` of the adapter forks a copy"),
            ("def open(self, *_): super().open(*_); os.fork() or time.sleep(3600)", "leaves 1 child process(es)"),
            ("def open(self, *_): super().open(*_); return 'opened'", "`open` gives `str` and not a dictionary"),
            ("def open(self, *_): super().open(*_); KEPT.append(self)", "still holds the engine after `close`"),
            ("def prepare(self, _): return None", "`prepare` gives None and not a list"),
            ("def cancel(self, index): super().cancel(index)", "`cancel` gives None and not True or False"),
            ("def busy(self): return False", "`busy` is false, and 7 requests have not ended"),
            ("def iterations(self): return [{}]", "`iterations` gives what is no list of texts"),
            ("def iterations(self): return ['{}']", "an iteration has no active, at_ns"),
            ("def iterations(self): return ['no']", "a text of `iterations` is no JSON"),
            ("@classmethod\n    def describe(cls, *_): return 'toy'", "`describe` gives `str` and not a dictionary"),
            ("@classmethod\n    def describe(cls, *_): return {'title': 'x', 'gpu': 1}", "`describe` gives gpu"),
            ("@classmethod\n    def describe(cls, *_): raise SystemExit", "`describe` of the adapter raised SystemExit"),
        ]:
            with self.subTest(body):
                lines = ["import os, time", "from toy_adapter import Engine as Toy, Ended, Step", "KEPT = []", "class Engine(Toy):"]
                module = f"wrong_{abs(hash(body))}"
                (self.folder / f"{module}.py").write_text("\n".join([*lines, f"    {body}"]) + "\n")
                self.named(module, words)

    def test_a_module_whose_import_does_anything_wrong_has_one_clear_sentence(self) -> None:
        for name, text, words in [
            ("exits", "import os\nos._exit(4)\n", "the process ends with code 4 in the import of the module"),
            ("leaves", "raise SystemExit('enough')\n", "raised SystemExit: enough"),
            ("lacks", "import nosuchmodule\n", "nosuchmodule"),
            ("broken", "def (\n", "SyntaxError"),
        ]:
            with self.subTest(name):
                (self.folder / f"{name}.py").write_text(text)
                self.named(name, words)

    def named(self, module: str, words: str) -> None:
        """The check ends with 1 and one line that has these words."""
        run = self.program("adapter", "check", module)
        self.assertEqual(run.code, 1, run)
        self.assertIn(words, run.told)
        self.assertEqual(run.told.count(f"{module}: "), 1, run)
        self.assertNotIn("Traceback", run.told)

    def test_a_module_without_an_adapter_is_named(self) -> None:
        for module, words in [("json", "no class `Engine`"), ("nosuch", "no module `nosuch`"), ("vllm:m", "bareflight.vllm_adapter")]:
            with self.subTest(module):
                run = self.program("adapter", "check", module)
                self.assertEqual(run.code, 1, run)
                self.assertIn(words, run.told)

    def test_the_doctor_asks_the_adapter(self) -> None:
        run = self.program("doctor", "--target", "py:bareflight.fake", "--json")
        self.assertIn("the fake engine needs the standard library alone", run.out)


if __name__ == "__main__":
    unittest.main()
