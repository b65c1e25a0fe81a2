"""Claims about measurements of an engine in Python."""

from __future__ import annotations

import json
import signal
import unittest
import urllib.request
from pathlib import Path

from program import ProgramTest


class Runs(ProgramTest):
    def test_a_closed_loop_records_every_request_with_its_tokens(self) -> None:
        run = self.measure("itl_us=200", "-n", "60", "--concurrency", "8")
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(run.counts()["completed"], 60)
        rows = run.requests()
        self.assertEqual(len(rows), 60)
        for row in rows:
            self.assertEqual((row["output_tokens"], row["outcome"], row["reason"]), ("8", "completed", "length"))
            self.assertEqual((row["token_source"], row["stamp_source"]), ("ids", "engine"))
            # Never early: what is due is due after the prefill and seven gaps.
            self.assertGreaterEqual(int(row["first_token_ns"]) - int(row["submit_ns"]), 2_000_000)
            self.assertGreaterEqual(int(row["last_token_ns"]) - int(row["submit_ns"]), 2_000_000 + 7 * 200_000)
            self.assertEqual((row["kv_total_blocks"], row["kv_new_blocks"]), ("2", "2"))
            self.assertEqual(row["engine_last_token_ns"], row["last_token_ns"])

    def test_an_open_loop_sends_what_was_planned(self) -> None:
        run = self.measure("itl_us=200", "-n", "60", "--rate", "300", "--timeout", "60s")
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(run.counts()["completed"], 60)

    def test_all_at_once_and_several_tokens_in_one_step(self) -> None:
        run = self.measure("batch=3", "-n", "40", "--batch")
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual({row["output_tokens"] for row in run.requests()}, {"8"})
        self.assertEqual(run.counts()["completed"], 40)

    def test_without_streaming_output_comes_in_one_piece(self) -> None:
        run = self.measure("itl_us=200", "-n", "10", "--no-streaming")
        self.assertIn(run.code, (0, 4), run)
        rows = run.requests()
        self.assertEqual({row["output_tokens"] for row in rows}, {"8"})
        self.assertTrue(all(row["first_token_ns"] == row["last_token_ns"] for row in rows), rows)

    def test_a_request_that_takes_too_long_is_cancelled_in_the_engine(self) -> None:
        run = self.measure("itl_us=2000", "-n", "6", "--scenario", "D(16,20000)", "--timeout", "50ms")
        self.assertEqual(run.code, 1, run)
        self.assertEqual({row["outcome"] for row in run.requests()}, {"timed_out"})
        self.assertEqual(run.counts()["timed_out"], 6)

    def test_an_engine_that_goes_on_after_a_cancel_is_left_alone(self) -> None:
        run = self.measure(
            "itl_us=2000,fault=silent_abort", "-n", "2", "--scenario", "D(16,50)", "--timeout", "20ms", "--warmup", "0"
        )
        self.assertEqual(run.code, 1, run)
        self.assertEqual({row["outcome"] for row in run.requests()}, {"timed_out"})

    def test_a_full_batch_lets_others_wait(self) -> None:
        run = self.measure("itl_us=500", "-n", "20", "--concurrency", "4", "--max-batch-size", "1")
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(run.counts()["completed"], 20)
        self.assertEqual(run.json("manifest.json")["target"]["limits"]["max_batch_size"], 1)

    def test_iterations_are_kept_and_none_is_lost(self) -> None:
        run = self.measure("itl_us=300", "-n", "40", "--concurrency", "4")
        lines = [json.loads(line) for line in run.read("iterations.jsonl").splitlines()]
        numbers = [line["iteration"] for line in lines]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        self.assertEqual(sum(line["completed"] for line in lines if line["point"] == 0) >= 40, True)

    def test_events_of_the_caches_blocks_are_kept_between_two_looks(self) -> None:
        cache = ("--kv-reuse", "--kv-events", "1000", "--warmup", "0")
        run = self.measure("itl_us=300,cache_blocks=10", "-n", "20", "--scenario", "D(64,8)", "--prefix-tokens", "32", *cache)
        self.assertIn(run.code, (0, 4), run)
        events = [json.loads(line) for line in run.read("kv_events.jsonl").splitlines()]
        self.assertEqual([each["event"] for each in events], list(range(len(events))))
        self.assertTrue(all(each["since_ns"] < each["at_ns"] for each in events), events)
        stored = [len(each["blocks"]) for each in events if each["what"] == "stored"]
        removed = [len(each["blocks"]) for each in events if each["what"] == "removed"]
        # What is stored and not removed fits into the cache.
        self.assertEqual(sum(stored) - sum(removed), 10)
        (point,) = run.json("summary.json")["points"]
        self.assertEqual(point["kv_events"]["lost"], 0)
        self.assertGreater(point["kv_events"]["blocks_stored"], 0)
        self.assertIn("2", {row["kv_reused_blocks"] for row in run.requests()})

    def test_events_of_a_cache_need_the_cache(self) -> None:
        run = self.measure("itl_us=300", "-n", "4", "--kv-events", "9")
        self.assertEqual(run.code, 2, run)
        self.assertIn("--kv-reuse", run.told)

    def test_the_engines_thread_has_the_name_by_which_its_wait_for_a_core_is_found(self) -> None:
        child = self.begin_measure("itl_us=2000", "-n", "100", "--scenario", "D(16,100)")
        self.wait_for_requests(child, 1)
        names = [path.read_text().strip() for path in Path(f"/proc/{child.pid}/task").glob("*/comm")]
        self.assertEqual(names.count("engine-python"), 1, names)
        self.assertIn("bf-recorder", names)
        child.send_signal(signal.SIGINT)
        self.assertEqual(self.end(child).code, 130)

    def test_iterations_can_be_left_out(self) -> None:
        run = self.measure("itl_us=300", "-n", "10", "--iteration-stats", "0")
        self.assertIn(run.code, (0, 4), run)
        self.assertEqual(list(run.directory().glob("iterations.jsonl")), [])

    def test_what_the_adapter_does_not_have_is_refused_before_load(self) -> None:
        for arguments, words in [
            (("--kv-tokens", "4096"), "`--kv-tokens`"),
            (("--engine-arg", "nosuch=1"), "no option `nosuch`"),
            (("--engine-arg", "itl_us=1"), "`itl_us` stands after"),
            (("--scenario", "D(70000,8)"), "65536"),
            (("--cuda-graphs",), "it has no `--cuda-graphs`"),
            (("--no-chunked-context",), "it has no `--no-chunked-context`"),
            (("--kv-fraction", "0.5"), "--kv-fraction"),
        ]:
            with self.subTest(arguments):
                run = self.measure("itl_us=300", "-n", "4", *arguments)
                self.assertIn(run.code, (2, 3), run)
                self.assertIn(words, run.told)
                self.assertFalse(run.folder.exists())

    def test_arguments_of_the_engine_reach_it_and_the_manifest(self) -> None:
        run = self.measure("itl_us=300", "-n", "4", "--engine-arg", "batch=8")
        self.assertIn(run.code, (0, 4), run)
        self.assertTrue(all(row["first_tokens"] == "8" for row in run.requests()))
        settings = run.json("manifest.json")["target"]["details"]["settings"]
        self.assertEqual(settings["options"], {"itl_us": "300", "batch": "8"})
        self.assertIn('engine_arg = ["batch=8"]', run.read("resolved.toml"))

    def test_labels_stand_in_manifest_table_and_page(self) -> None:
        run = self.measure("itl_us=300", "-n", "4")
        engine = run.engine()
        for key in ("python", "driver_level", "child_processes", "stamps", "prepared", "switch_interval_s", "garbage_collector"):
            self.assertIn(key, engine)
        self.assertEqual(engine["environment"]["VLLM_WORKER_MULTIPROC_METHOD"], "spawn")
        flat = " ".join(run.out.split())
        for words in ("driver level the fake engine itself", "child processes: none", "stamps: engine's thread"):
            self.assertIn(words, flat)
            self.assertIn(words.replace("'", "&#39;"), run.read("report.html").replace("&#x27;", "&#39;").replace("'", "&#39;"))

    def test_reports_can_be_made_again(self) -> None:
        run = self.measure("itl_us=300", "-n", "4")
        again = self.program("report", str(run.directory()))
        self.assertEqual(again.code, run.code, again)
        # A run prints each point as it ends, and the rest after the last.
        self.assertEqual(lines_of(again.out), lines_of(run.out))

    def test_two_engines_are_compared_in_one_process(self) -> None:
        run = self.program(
            "compare", "--target", "py:bareflight.fake,itl_us=300", "--target", "py:bareflight.fake,itl_us=600",
            "--concurrency", "2", "-n", "20", "--scenario", "D(16,8)", "--blocks", "6", "--out", "runs",
        )
        self.assertIn(run.code, (0, 4, 6), run)
        self.assertIn("ITL", run.out)
        self.assertEqual(" ".join(run.out.split()).count("driver level the fake engine itself"), 2)


def lines_of(table: str) -> list[str]:
    """Without the path of the folder, which may be relative."""
    return sorted(line for line in table.splitlines() if not line.startswith("files in"))


class Served(ProgramTest):
    def test_the_engine_is_served(self) -> None:
        child = self.begin("serve", "--target", "py:bareflight.fake", "--port", "0", "--grpc-port", "0", "--tokenizer", tokenizer(self))
        ready = json.loads(child.stdout.readline())
        asked = {"model": ready["model"], "prompt": [1, 2, 3], "max_tokens": 5, "ignore_eos": True}
        request = urllib.request.Request(
            f"{ready['openai'].rstrip('/')}/v1/completions", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            usage = json.load(answer)["usage"]
        self.assertEqual(usage["completion_tokens"], 5)
        child.terminate()
        self.assertEqual(self.end(child).code, 0)


def tokenizer(test: ProgramTest) -> str:
    """A tokenizer of whole words."""
    vocabulary = {f"w{i}": i for i in range(32_000)}
    text = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    }
    path = test.folder / "tokenizer.json"
    path.write_text(json.dumps(text))
    return str(path)


if __name__ == "__main__":
    unittest.main()
