"""Claims about the process that an engine in Python shares with its measurement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from program import PROGRAM, ProgramTest

HOOK = """
import bareflight.fake
from bareflight.fake import Engine as Fake


class Engine(Fake):
{body}
"""


class HostRules(ProgramTest):
    def adapter(self, name: str, body: str) -> None:
        """Writes a module in the working directory, with the fake engine changed."""
        (self.folder / f"{name}.py").write_text(HOOK.format(body=body))

    def measure_module(self, name: str, *arguments: str, **settings: object):
        """Measures that module."""
        return self.program(
            "run", "--out", "runs", "--target", f"py:{name}", "-n", "4", "--concurrency", "2", "--scenario", "D(16,8)",
            *arguments, **settings,
        )

    def test_results_alone_are_on_standard_output(self) -> None:
        run = self.measure("fault=print", "-n", "4")
        self.assertIn(run.code, (0, 4), run)
        said = ("the engine prints to file descriptor 1", "the engine prints to sys.stdout", "a child of the engine prints")
        log = run.read("engine.log")
        for words in said:
            self.assertNotIn(words, run.out)
            self.assertIn(words, log)
        self.assertTrue(run.out.startswith("concurrency 2"), run.out)

    def test_a_module_that_prints_when_it_is_imported_spoils_no_output(self) -> None:
        self.adapter("loud", "    pass\nprint('loud at import')")
        run = self.program("plan", "--target", "py:loud", "-n", "4")
        self.assertEqual(run.code, 0, run)
        self.assertNotIn("loud", run.out.replace("py:loud", ""))
        self.assertIn("loud at import", run.told)

    def test_the_environment_is_set_before_a_module_is_imported_and_the_users_stands(self) -> None:
        body = """    pass
import os
assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
assert os.environ["TLLM_WORKER_USE_SINGLE_PROCESS"] == "1"
assert os.environ["VLLM_NO_USAGE_STATS"] == "mine"
"""
        self.adapter("strict", body)
        run = self.measure_module("strict", env={**os.environ, "VLLM_NO_USAGE_STATS": "mine"})
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(run.engine()["environment"]["VLLM_NO_USAGE_STATS"], "mine")

    def test_ctrl_c_in_a_step_ends_with_complete_records(self) -> None:
        run = self.measure("fault=interrupt,fault_step=60", "-n", "5000", "--warmup", "0")
        self.assertEqual(run.code, 130, run)
        self.assertNotIn("KeyboardInterrupt", run.told + run.read("engine.log"))
        rows = run.requests()
        self.assertGreater(len(rows), 0)
        self.assertEqual({(row["outcome"], row["output_tokens"]) for row in rows}, {("completed", "8")})
        self.assertEqual(run.json("manifest.json")["state"], "interrupted")
        self.assertEqual(run.counts()["completed"], len(rows))

    def test_ctrl_c_from_outside_leaves_children_of_the_engine_alone(self) -> None:
        child = self.begin_measure("fault=child", "-n", "5000")
        self.wait_for_requests(child, 5)
        os.killpg(child.pid, signal.SIGINT)
        run = self.end(child)
        self.assertEqual(run.code, 130, run)
        self.assertNotIn("its child had ended", run.told)

    def test_a_second_ctrl_c_ends_at_once(self) -> None:
        child = self.begin_measure("fault=hang,fault_step=60", "-n", "5000", "--warmup", "0")
        self.wait_for(child, "engine.log", lambda text: "played fault: hang" in text)
        child.send_signal(signal.SIGINT)
        while "interrupted" not in child.stderr.readline():
            self.assertIsNone(child.poll())
        child.send_signal(signal.SIGINT)
        self.assertEqual(self.end(child).code, 130)

    def test_a_spawned_child_does_not_begin_the_program_again(self) -> None:
        run = self.measure("fault=spawn", "-n", "4")
        self.assertIn(run.code, (0, 4), run)

    def test_a_child_spawned_under_the_console_script_does_not_either(self) -> None:
        script = Path(sys.executable).with_name("bareflight")
        if not script.exists():
            self.skipTest(f"there is no `{script}`: the package is not installed")
        done = subprocess.run(
            [script, "run", "--out", "runs", "--target", "py:bareflight.fake,fault=spawn", "-n", "4"],
            cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )
        self.assertIn(done.returncode, (0, 4), done.stderr)

    def test_threads_of_the_harness_get_their_cores_back(self) -> None:
        cores = len(os.sched_getaffinity(0))
        if cores < 2:
            self.skipTest("there is one core")
        run = self.measure("fault=pin", "-n", "4")
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("had pinned thread", run.read("engine.log"))

    def test_the_collector_is_frozen_after_opening_and_the_log_says_how_much(self) -> None:
        body = """    def busy(self):
        import gc
        assert gc.get_freeze_count() > 1000
        return super().busy()
"""
        self.adapter("frozen", body)
        run = self.measure_module("frozen")
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("objects are frozen for the garbage collector", run.read("engine.log"))
        self.assertIn("frozen", run.engine()["garbage_collector"])

    def test_the_switch_interval_that_an_adapter_wants_is_set_and_said(self) -> None:
        body = """    SWITCH_INTERVAL_S = 1e-4

    def busy(self):
        import sys
        assert abs(sys.getswitchinterval() - 1e-4) < 1e-6
        return super().busy()
"""
        self.adapter("switching", body)
        run = self.measure_module("switching")
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(run.engine()["switch_interval_s"], 1e-4)
        self.assertIn("switch interval 0.100 ms", " ".join(run.out.split()))

    def test_what_is_known_only_after_opening_is_kept(self) -> None:
        body = """    def open(self, model, settings):
        super().open(model, settings)
        return {"blocks": 7, "driver_level": "known late"}
"""
        self.adapter("late", body)
        run = self.measure_module("late")
        self.assertIn(run.code, (0, 4), run)
        opened = run.json("manifest.json")["target"]["details"]["opened"]
        self.assertEqual(opened["blocks"], 7)
        self.assertIn("driver level known late", " ".join(run.out.split()))

    def test_everything_of_an_engine_is_called_on_one_thread(self) -> None:
        body = """    def open(self, model, settings):
        import threading
        self.thread = threading.get_ident()
        super().open(model, settings)

    def here(self):
        import threading
        assert threading.get_ident() == self.thread

    def prepare(self, requests):
        self.here()
        return super().prepare(requests)

    def step(self):
        self.here()
        return super().step()

    def iterations(self):
        self.here()
        return super().iterations()

    def close(self):
        self.here()
        super().close()
"""
        self.adapter("threaded", body)
        run = self.measure_module("threaded")
        self.assertIn(run.code, (0, 4), run)
        self.assertNotIn("closing the target", run.told)

    def test_an_engine_that_takes_signals_is_refused_by_name(self) -> None:
        run = self.measure("fault=take_signal", "-n", "4")
        self.assertEqual(run.code, 3, run)
        self.assertIn("SIGINT", run.told)
        run = self.measure("fault=set_signal", "-n", "4")
        self.assertEqual(run.code, 3, run)
        self.assertIn("signal only works in main thread", run.told)

    def test_a_thread_that_an_engine_leaves_does_not_keep_the_process(self) -> None:
        run = self.measure("fault=thread", "-n", "4")
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("left its thread `left-behind`", run.told + run.read("engine.log"))

    def test_the_program_starts_itself_again_inside_the_environment(self) -> None:
        run = self.program(
            "ladder", "--target", "py:bareflight.fake,itl_us=500", "--concurrency", "2", "-n", "20", "--scenario", "D(16,8)",
            "--blocks", "6", "--tokenizer", "none", "--out", "runs",
        )
        if "tokenizer" in run.told and run.code in (2, 3):
            from test_runs import tokenizer

            run = self.program(
                "ladder", "--target", "py:bareflight.fake,itl_us=500", "--concurrency", "2", "-n", "20", "--scenario",
                "D(16,8)", "--blocks", "6", "--tokenizer", tokenizer(self), "--out", "runs",
            )
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("openai", run.out)


if __name__ == "__main__":
    unittest.main()
