"""Claims about the worked example of an adapter."""

from __future__ import annotations

import os
import unittest
from pathlib import Path

from program import ProgramTest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/python/toy_adapter.py"


class Example(ProgramTest):
    def test_the_guide_shows_it_as_it_is(self) -> None:
        guide = (ROOT / "docs/PYTHON_ENGINES.md").read_text()
        self.assertIn(f"```python\n{EXAMPLE.read_text()}```", guide)

    def test_it_keeps_the_contract_and_is_measured(self) -> None:
        (self.folder / EXAMPLE.name).write_text(EXAMPLE.read_text())
        # By the console script too, which has no working directory on its path.
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        checked = self.program("adapter", "check", "toy_adapter", env=environment)
        self.assertEqual(checked.code, 0, checked)
        run = self.program(
            "run", "--out", "runs", "--target", "py:toy_adapter,step_ms=2", "-n", "12", "--concurrency", "4",
            "--max-batch-size", "2", "--scenario", "D(16,8)",
        )
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(run.counts()["completed"], 12)
        self.assertEqual({row["output_tokens"] for row in run.requests()}, {"8"})

    def test_its_refusal_is_shown_in_its_own_words(self) -> None:
        (self.folder / EXAMPLE.name).write_text(EXAMPLE.read_text())
        run = self.program("run", "--target", "py:toy_adapter,step_ms=0", "-n", "4")
        self.assertEqual(run.code, 3, run)
        self.assertIn("`step_ms` must be above 0", run.told)
        self.assertNotIn("raised", run.told)


if __name__ == "__main__":
    unittest.main()
