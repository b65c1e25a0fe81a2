"""Claims about time in the check of an adapter: an engine that says nothing is named, and one that is late is judged alike."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).parents[1])]

from bareflight import check  # noqa: E402

LATE = """
import time
from bareflight.fake import Engine as Fake


class Engine(Fake):
    def cancel(self, index):
        time.sleep(0.1)
        return super().cancel(index)
"""


class Timing(unittest.TestCase):
    def test_a_method_that_never_comes_back_is_named_after_its_time(self) -> None:
        for fault, where in (("hang", "step"), ("close_hang", "close")):
            with self.subTest(fault):
                begun = time.monotonic()
                kept, words = check.check("bareflight.fake", "", {"fault": fault}, 1.0)
                self.assertFalse(kept)
                self.assertRegex(words, f"`{where}` of the adapter has not come back after [0-9]+ s")
                self.assertLess(time.monotonic() - begun, 60)

    def test_an_import_that_never_comes_back_is_named_after_its_time(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "waits.py").write_text("import time\ntime.sleep(3600)\n")
            path = os.pathsep.join([folder, str(Path(__file__).parents[1])])
            with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
                kept, words = check.check("waits", "", {}, 1.0)
        self.assertFalse(kept)
        self.assertRegex(words, "waits: the import of the module has not come back after [0-9]+ s")

    def test_output_after_an_end_is_found_where_the_first_step_comes_when_all_is_due(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "late.py").write_text(LATE)
            path = os.pathsep.join([folder, str(Path(__file__).parents[1])])
            with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
                kept, words = check.check("late", "", {"fault": "after_end"})
        self.assertFalse(kept)
        self.assertIn("output of request", words)


if __name__ == "__main__":
    unittest.main()
