"""Claims about `--python`: a comparison whose sides live in other environments, and a run that goes over to one."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import unittest
from pathlib import Path

from program import DEADLINE_S, Ended, ProgramTest

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
#: The program that no Python holds, where this tree has built it.
PLAIN = TARGET / "debug" / "bareflight"


class OtherPython(ProgramTest):
    def environment(self, name: str) -> str:
        """Another Python, as far as the program can see."""
        path = self.folder / name / "bin" / "python"
        path.parent.mkdir(parents=True)
        path.write_text(f'#!/bin/sh\nexport BAREFLIGHT_TEST_PLACE={name}\nexec "{sys.executable}" "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def compare(self, *arguments: str, engine: str = "py:bareflight.fake,itl_us=300") -> subprocess.Popen:
        a, b = self.environment("a"), self.environment("b")
        return self.begin(
            "compare", "--target", engine, "--python", a, "--target", "py:bareflight.fake,itl_us=600", "--python", b,
            "--concurrency", "2", "-n", "20", "--scenario", "D(16,8)", "--blocks", "5", "--out", "runs", *arguments,
        )

    def sides(self, run: Ended) -> list[dict]:
        """Manifests of the sides."""
        found = sorted(run.directory().glob("*/manifest.json"))
        return [json.loads(path.read_text()) for path in found]

    def test_each_side_lives_in_a_child_process_of_its_python(self) -> None:
        run = self.end(self.compare())
        self.assertIn(run.code, (0, 4, 6), run)
        for side, name in zip(self.sides(run), ("a", "b"), strict=True):
            details = side["target"]["details"]
            self.assertTrue(details["child"]["python"].endswith(f"/{name}/bin/python"), details)
            self.assertEqual(details["engine"]["interpreter"], sys.executable)
            (worker,) = side["workers"]
            self.assertNotIn("lost", worker)
        flat = " ".join(run.out.split())
        self.assertEqual(flat.count("in a child process of"), 2, run)
        summary = next(run.directory().glob("A*/summary.json"))
        points = json.loads(summary.read_text())["points"]
        self.assertEqual([point["counts"]["completed"] for point in points], [20] * len(points))
        self.assertTrue(all(point.get("iterations") for point in points), "iterations of the child's engine")

    def test_one_side_is_open_at_a_time_where_that_is_asked_for(self) -> None:
        run = self.end(self.compare("--one-at-a-time"))
        self.assertIn(run.code, (0, 4, 6), run)
        self.assertEqual(len(self.sides(run)), 2)

    def test_the_twin_of_a_side_in_another_environment_is_a_side_too(self) -> None:
        a = self.environment("a")
        run = self.program(
            "compare", "--target", "py:bareflight.fake,itl_us=300", "--python", a, "--serve-twin", "--concurrency", "2", "-n", "8",
            "--scenario", "D(16,8)", "--blocks", "5", "--out", "runs",
        )
        self.assertIn(run.code, (0, 4, 6), run)
        self.assertEqual([side["target"]["kind"] for side in self.sides(run)], ["py", "openai"])
        self.assertIn("output tokens (40 of 40 pairs alike)", " ".join(run.out.split()))

    def test_results_go_to_standard_output_also_from_the_python_that_was_gone_over_to(self) -> None:
        run = self.program("plan", "--target", "py:bareflight.fake", "--python", self.environment("a"), "-n", "4")
        self.assertEqual(run.code, 0, run)
        self.assertIn("py:bareflight.fake", run.out)

    def test_events_of_a_cache_stay_in_the_process_of_its_engine(self) -> None:
        run = self.end(self.compare("--kv-reuse", "--kv-events", "9"))
        self.assertEqual(run.code, 2, run)
        self.assertIn("`--kv-events`", run.told)

    def test_a_lost_child_is_named_and_what_was_measured_is_kept(self) -> None:
        run = self.end(self.compare(engine="py:bareflight.fake,itl_us=300,fault=exit,fault_step=300"))
        self.assertEqual(run.code, 1, run)
        first = self.sides(run)[0]
        self.assertEqual(first["state"], "failed")
        words = " ".join(first["faults"])
        self.assertIn("the child process of", words)
        self.assertIn("was lost", words)
        rows = next(run.directory().glob("A*/requests.csv")).read_text().splitlines()
        self.assertGreater(len(rows), 1)

    def test_ctrl_c_ends_both_sides_with_complete_records(self) -> None:
        child = self.compare("--no-deliveries", engine="py:bareflight.fake,itl_us=20000")
        self.wait_for(child, "*/requests.csv", lambda text: text.count("\n") > 4)
        child.send_signal(signal.SIGINT)
        run = self.end(child)
        self.assertEqual(run.code, 130, run)
        self.assertTrue(all(side["state"] == "interrupted" for side in self.sides(run)), run)

    def test_a_python_without_bareflight_is_one_error_with_the_command(self) -> None:
        bare = self.folder / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
        run = self.program(
            "run", "--target", "py:bareflight.fake", "--python", str(bare / "bin" / "python"), "-n", "2", "--out", "runs"
        )
        self.assertEqual(run.code, 3, run)
        self.assertIn("-m pip install .", run.told)
        self.assertFalse(run.folder.exists())

    def test_a_target_without_an_engine_in_python_is_refused_by_name(self) -> None:
        run = self.program("run", "--target", "null:", "--python", sys.executable, "--out", "runs")
        self.assertEqual(run.code, 2, run)
        self.assertIn("target `null:` has no `--python`", run.told)

    @unittest.skipUnless(PLAIN.exists(), "this tree has no plain program")
    def test_the_plain_program_goes_over_to_the_python_that_is_named(self) -> None:
        done = subprocess.run(
            [str(PLAIN), "run", "--target", "py:bareflight.fake,itl_us=300", "--python", sys.executable, "--concurrency", "2",
             "-n", "8", "--scenario", "D(16,8)", "--out", "runs"],
            capture_output=True, text=True, cwd=self.folder, timeout=DEADLINE_S, check=False,
        )
        run = Ended(done.returncode, done.stdout, done.stderr, self.folder / "runs")
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(run.counts()["completed"], 8)
        self.assertEqual(run.engine()["interpreter"], sys.executable)


if __name__ == "__main__":
    unittest.main()
