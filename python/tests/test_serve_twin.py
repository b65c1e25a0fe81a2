"""Claims about an engine in Python held against its own server."""

from __future__ import annotations

import json
import os
import unittest

from bareflight.fake import tokenizer
from program import Ended, ProgramTest

TARGET = "py:bareflight.fake,itl_us=300"
WITHOUT_SERVER = """
from bareflight.fake import Engine as Fake
from bareflight.adapter import Adapter
class Engine(Fake):
    served = Adapter.served
"""
#: A server that ends at once, with a word.
WITH_DYING_SERVER = """
import sys
from bareflight.fake import Engine as Fake
class Engine(Fake):
    @classmethod
    def served(cls, *given):
        return super().served(*given)._replace(argv=[sys.executable, "-c", "import sys; sys.exit('no memory for the KV cache')", "{port}"])
"""


class ServedTwin(ProgramTest):
    def compare(self, *arguments: str, target: str = TARGET) -> Ended:
        return self.program(
            "compare", "--target", target, "--serve-twin", "--concurrency", "2", "-n", "6", "--scenario", "D(16,8)",
            "--blocks", "5", "--out", "runs", *arguments,
        )

    def test_the_twin_is_asked_the_same_and_answers_with_the_same_tokens(self) -> None:
        run = self.compare("--max-batch-size", "3", "--engine-arg", "prefill_us=900")
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("output tokens (30 of 30 pairs alike)", " ".join(run.out.split()))
        launch = run.json("launch.json")
        self.assertEqual(launch["name"], "py-twin")
        words = " ".join(launch["command_line"])
        for part in ("py:bareflight.fake,itl_us=300,prefill_us=900", "--max-batch-size 3", "-m bareflight serve"):
            self.assertIn(part, words)
        self.assertIn("stopped_by", launch)
        self.assertFalse(os.path.exists(f"/proc/{launch['pid']}"), "it has ended with the comparison")
        self.assertIn("driver level the fake engine itself", " ".join(run.out.split()))

    def test_a_setting_of_the_twin_alone_is_its_clients(self) -> None:
        run = self.compare("--set", "B:http2=true")
        self.assertIn(run.code, (0, 4), run)
        run = self.compare("--set", "C:http2=true")
        self.assertEqual(run.code, 2, run)
        self.assertIn("there is no side C", run.told)

    def test_one_side_is_closed_before_the_other_opens(self) -> None:
        run = self.compare("--one-at-a-time")
        self.assertIn(run.code, (0, 4), run)
        flat = " ".join(run.out.split())
        self.assertIn("one side open at a time", flat)
        self.assertIn("output tokens (30 of 30 pairs alike)", flat)
        # Side by side it is ABBABA after the lead-in of B and A: the twin is started for the lead-in and again for two blocks in a row.
        self.assertEqual(run.json("launch.json")["starts"], 4)
        for side in run.directory().glob("*/manifest.json"):
            manifest = json.loads(side.read_text())
            self.assertEqual((manifest["state"], len(manifest["points"])), ("complete", 6), side)

    def test_a_ladder_has_the_rung_of_the_engine_s_own_server(self) -> None:
        (self.folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
        run = self.program(
            "ladder", "--target", TARGET, "--serve-twin", "--concurrency", "1", "-n", "4", "--scenario", "D(16,8)", "--blocks", "2",
            "--tokenizer", "tokenizer.json", "--out", "runs",
        )
        self.assertIn(run.code, (0, 4), run)
        self.assertIn("L7 its own server, OpenAI, ids", run.out)
        ladder = run.json("ladder.json")
        twin = next(rung for rung in ladder["rungs"] if rung["level"] == "L7")
        (engine,) = (rung["side"] for rung in ladder["rungs"] if rung["level"] == "L2")
        self.assertEqual((twin["stands_on"], twin["cpu"]["adds_ms"]), (engine, None), "its children's CPU time is not known")
        self.assertEqual(run.json("launch.json")["name"], "py-twin")

    def test_a_twin_that_dies_is_found_before_load_with_its_last_words(self) -> None:
        (self.folder / "dying.py").write_text(WITH_DYING_SERVER)
        run = self.compare(target="py:dying")
        self.assertEqual(run.code, 3, run)
        self.assertIn("no memory for the KV cache", run.told)
        self.assertEqual(list(self.folder.glob("runs/*compare*/*/requests.csv")), [])

    def test_what_has_no_server_is_refused_with_what_to_do(self) -> None:
        (self.folder / "lonely.py").write_text(WITHOUT_SERVER)
        run = self.compare(target="py:lonely")
        self.assertEqual(run.code, 3, run)
        self.assertIn("give it a method `served`", run.told)
        run = self.compare(target="sim:null")
        self.assertEqual(run.code, 3, run)
        self.assertIn("has no `--serve-twin`", run.told)
        run = self.compare("--launch", "vllm")
        self.assertEqual(run.code, 2, run)


if __name__ == "__main__":
    unittest.main()
