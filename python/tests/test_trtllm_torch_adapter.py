"""Tests of the adapter of TensorRT-LLM's PyTorch backend, against a STAND-IN of its modules: it has never met the real library.

    python -m unittest discover -s python/tests
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from types import ModuleType
from unittest import mock

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE / "stand_in_tensorrt_llm")]

from drive import hold, settings_of, shots_of  # noqa: E402
from stand_in_desk import Desk, Shot  # noqa: E402

from bareflight import host, signatures, trtllm_library  # noqa: E402
from bareflight import trtllm_torch_adapter as adapter  # noqa: E402
from bareflight.adapter import Refused  # noqa: E402

LONGEST = 512
OUTPUT = 12


def setUpModule():
    global FOLDER, ENVIRONMENT
    FOLDER = tempfile.mkdtemp(prefix="bareflight-model-")
    unittest.addModuleCleanup(shutil.rmtree, FOLDER)
    Path(FOLDER, "config.json").write_text(json.dumps({"vocab_size": 8192, "max_position_embeddings": 4096, "eos_token_id": 2}))
    ENVIRONMENT = mock.patch.dict(os.environ)
    ENVIRONMENT.start()


def tearDownModule():
    ENVIRONMENT.stop()


def settings(**options: str) -> dict:
    return settings_of({"max_seq_len": str(LONGEST), **options})


def opened(wanted: dict) -> adapter.Engine:
    engine = adapter.Engine()
    engine.facts = engine.open(FOLDER, wanted)
    return engine


class Played(unittest.TestCase):
    """Requests through the host's loop."""

    def play(self, wanted: dict, shots: list[Shot], concurrency: int) -> Desk:
        self.engine = engine = opened(wanted)
        desk = Desk(shots, concurrency)
        try:
            host.loop(engine, desk, True)
        finally:
            engine.close()
        return desk

    def test_every_request_has_its_tokens_hooked_or_awaited_with_pairs_or_a_dictionary(self):
        executor = signatures.find("tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor")
        for responses in ("hooked", "awaited"):
            for hands_over in (list, dict):
                with mock.patch.object(executor, "hands_over", hands_over):
                    shots = shots_of(20, 0, 8000, 20, OUTPUT)
                    self.play(settings(responses=responses), shots, 8)
                    hold(shots, OUTPUT)
                    self.assertIn(responses, self.engine.facts["driver_level"])
                    self.assertEqual(shots[3].tokens[0], sum(shots[3].prompt) % 8192)
                    self.assertFalse(self.engine.index_of or self.engine.id_of)

    def test_the_stamp_is_taken_on_the_engines_thread(self):
        engine = opened(settings())
        threads = []
        clock = time.monotonic_ns

        def watched():
            threads.append(threading.current_thread())
            return clock()

        with mock.patch.object(adapter.time, "monotonic_ns", watched):
            engine.hook(None)
            engine.engine._enqueue_responses([(1, None)])
            threading.Thread(target=engine.engine._enqueue_responses, args=([(1, None)],), name="loop").start()
            while len(engine.inbox) < 2:
                time.sleep(0.001)
        engine.close()
        self.assertEqual([thread.name for thread in threads][-1], "loop")

    def test_a_cancelled_request_says_no_more_whether_it_runs_or_waits(self):
        engine = opened({**settings(), "max_batch_size": 1})
        running, waiting, last = shots = shots_of(3, 0, 8000, 20, OUTPUT)
        running.cancel_after = 4
        desk = Desk(shots, 3)
        step = engine.step

        def cancels_the_one_that_waits():
            if running.tokens and waiting.reason is None and 1 not in desk.to_cancel:
                desk.to_cancel.append(1)
            return step()

        with mock.patch.object(engine, "step", cancels_the_one_that_waits):
            host.loop(engine, desk, True)
        engine.close()
        self.assertEqual([shot.reason for shot in shots], ["cancelled", "cancelled", "length"])
        self.assertEqual(len(waiting.tokens), 0)
        self.assertEqual(len(last.tokens), OUTPUT)

    def test_stamps_of_the_engine_are_in_order_and_of_our_clock(self):
        shots = shots_of(4, 0, 8000, 20, OUTPUT)
        self.play(settings(), shots, 2)
        for shot in shots:
            arrival, scheduled, first, last = shot.times
            self.assertTrue(shot.added_ns - 1_000_000 < arrival <= scheduled <= first <= last)
        self.play({**settings(), "engine_stamps": False}, shots_of(1, 0, 8000, 20, OUTPUT), 1)

    def test_iterations_are_read_by_the_librarys_own_code(self):
        shots = shots_of(6, 0, 8000, 20, 60)
        desk = self.play(settings(), shots, 3)
        told = desk.statistics
        self.assertTrue(told)
        numbers = [each["iteration"] for each in told]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(told))))
        first = told[0]
        self.assertEqual((first["latency_ns"], first["max_batch_size"]), (1_000_000, 8))
        self.assertEqual(first["kv"]["max_blocks"], 100)
        self.assertEqual(first["batch"]["paused"], 0)

    def test_events_of_the_caches_blocks_are_read_from_each_kind(self):
        wanted = {**settings(), "kv_reuse": True, "kv_events": 100}
        engine = opened(wanted)
        told = [json.loads(text) for text in engine.kv_events()]
        engine.close()
        self.assertEqual(engine.llm.args.kv_cache_config.given["event_buffer_max_size"], 100)
        created, stored, updated, removed = told
        self.assertEqual((created["what"], created["blocks_per_level"], created["window"]), ("created", [8, 0], 512))
        self.assertEqual((stored["parent"], stored["blocks"], stored["beyond_gpu"]), ("00000000000000ff", ["f" * 16], 0))
        self.assertEqual((updated["block"], updated["level"], updated["priority"]), ("f" * 16, [0, 1], None))
        self.assertEqual((removed["blocks"], [each["event"] for each in told]), (["0" * 14 + "10"], [0, 1, 2, 3]))

    def test_a_response_without_content_is_passed_over(self):
        engine = opened(settings())
        engine.index_of, engine.id_of = {7: 0}, {0: 7}
        engine.inbox.append((time.monotonic_ns(), [(7, None)]))
        self.assertEqual(engine.step().ids, [])
        engine.index_of, engine.id_of = {}, {}
        engine.close()

    def test_frames_of_newer_versions_are_read_by_the_librarys_own_code(self):
        newer = ModuleType("tensorrt_llm.executor.iteration_stats")
        newer.materialize_stats_batch = lambda frames: [{**frame[0], "iterLatencyMS": 7.0} for frame in frames]
        for each in newer.materialize_stats_batch([({"hostStepTimeMS": 1.0},)]):
            self.assertEqual(each["iterLatencyMS"], 7.0)
        with mock.patch.dict(sys.modules, {newer.__name__: newer}):
            desk = self.play(settings(), shots_of(6, 0, 8000, 20, 60), 3)
            self.assertEqual([status for status, _ in adapter.Engine.examine()], ["ok"])
        self.assertEqual({each["engine"]["iterLatencyMS"] for each in desk.statistics}, {7.0})

    def test_an_error_of_a_request_ends_that_request_and_not_the_engine(self):
        shots = shots_of(2, 0, 8000, 20, OUTPUT)
        self.play(settings(stand_in_error_at="3"), shots, 1)
        self.assertEqual([shot.reason for shot in shots], ["error:out of pages", "length"])

    def test_a_dead_loop_is_the_end_of_the_engine(self):
        for responses in ("hooked", "awaited"):
            with self.assertRaisesRegex(host.EngineFailed, "`step`.*illegal memory access"):
                self.play(settings(responses=responses, stand_in_fails_at="3"), shots_of(1, 0, 8000, 20, OUTPUT), 1)

    def test_a_fatal_error_that_ended_all_requests_is_the_end_of_the_engine(self):
        shots = shots_of(4, 0, 8000, 20, OUTPUT)
        with self.assertRaisesRegex(host.EngineFailed, "`step`.*out of memory"):
            self.play(settings(stand_in_fatal_at="3"), shots, 2)
        self.assertEqual({shot.reason for shot in shots[:2]}, {"error:out of memory"})

    def test_what_would_be_cut_or_cannot_be_read_is_refused_before_it_is_sent(self):
        engine = opened({**settings(), "max_num_tokens": 256})
        cases = {
            "max_seq_len": ([7] * (LONGEST - OUTPUT + 1), OUTPUT),
            "max_num_tokens": ([7] * 257, OUTPUT),
            "empty": ([], OUTPUT),
            "vocabulary": ([7, 8192], OUTPUT),
        }
        for word, (prompt, most) in cases.items():
            refused = {}
            desk = Desk([Shot(0, prompt, most, {})], 1)
            host.prepare(engine, desk, desk.take(0)[0], refused)
            self.assertIn(word, refused[0])
        self.assertEqual(engine.engine.request_queue.qsize(), 0)
        engine.close()

    def test_requests_are_made_by_the_librarys_own_code_and_queued_only_when_they_start(self):
        engine = opened(settings())
        desk = Desk(shots_of(1, 0, 8000, 20, OUTPUT), 1)
        host.prepare(engine, desk, desk.take(0)[0], {})
        self.assertEqual((engine.engine.next_id, engine.engine.request_queue.qsize()), (1, 0))
        made = engine.ready[0]
        self.assertEqual((made.client_id, made.end_id, made.py_original_end_id, made.streaming), (1, -1, 2, True))
        engine.add(0)
        self.assertEqual(engine.id_of, {0: 1})
        engine.close()

    def test_a_seed_is_sent_only_where_that_was_asked_for(self):
        terms = {"temperature": 0.7, "seed": 5, "ignore_eos": True, "min_tokens": 3}
        for options, seed in (({}, None), ({"request_seeds": "1"}, 5)):
            engine = opened(settings(**options))
            params = engine.params_of(9, terms)
            self.assertEqual((params.seed, params.temperature, params.detokenize, params.min_tokens), (seed, 0.7, False, 3))
            self.assertIsNone(engine.params_of(9, {}).temperature)
            engine.close()

    def test_settings_reach_the_library(self):
        wanted = {**settings(disable_overlap_scheduler="true"), "kv_tokens": 4096, "max_batch_size": 4, "cuda_graphs": True}
        engine = opened(wanted)
        cache = engine.llm.args.kv_cache_config.given
        self.assertEqual(cache, {"enable_block_reuse": False, "enable_partial_reuse": False, "max_tokens": 4096})
        self.assertEqual(type(engine.llm.args.cuda_graph_config).__name__, "CudaGraphConfig")
        self.assertTrue(engine.facts["disable_overlap_scheduler"])
        engine.close()

    def test_an_older_version_without_the_place_for_the_hook_is_awaited(self):
        engine = opened(settings())
        with mock.patch.object(type(engine.engine), "_enqueue_responses", new=lambda self: None):
            del engine.engine._enqueue_responses
            self.assertFalse(engine.hook(None))
            with self.assertRaisesRegex(Refused, "responses=awaited"):
                engine.hook("hooked")
        engine.close()

    def test_an_older_version_that_knows_fewer_arguments_is_asked_for_those(self):
        kind = signatures.find("tensorrt_llm.llmapi.llm_args:TorchLlmArgs")
        fewer = {name: each for name, each in kind.model_fields.items() if name != "return_perf_metrics"}
        with mock.patch.object(kind, "model_fields", fewer):
            opened(settings()).close()


class BeforeLoading(unittest.TestCase):
    """What is known and refused before an engine is loaded."""

    def describe(self, wanted: dict) -> dict:
        host.check_settings(adapter.Engine, wanted)
        return adapter.Engine.describe(FOLDER, wanted)

    def test_limits_and_labels_are_said(self):
        said = self.describe({**settings(), "max_num_tokens": 300})
        self.assertEqual(said["limits"], {
            "max_prompt_tokens": 300, "max_sequence_tokens": LONGEST, "vocab_size": 8192, "max_batch_size": None,
        })
        self.assertIn("never run on a GPU", said["title"])
        self.assertIn("nobody has run", said["details"]["unproven"])
        json.dumps(said)
        chunked = {**settings(), "max_num_tokens": 300, "chunked_context": True}
        self.assertIsNone(adapter.Engine.describe(FOLDER, chunked)["limits"]["max_prompt_tokens"])

    def test_bad_settings_are_refused_by_their_names(self):
        cases = [
            ({**settings(), "max_queue_size": 4}, "--max-queue-size"),
            (settings(tensor_parallel_size="2"), "tensor_parallel_size.*trtllm-serve"),
            (settings(max_batch_size="2"), "--max-batch-size"),
            (settings(kv_cache_config='{"enable_block_reuse": true}'), "--kv-reuse"),
            (settings(kv_cache_config="much"), "JSON object"),
            (settings(responses="guessed"), "hooked"),
            (settings(request_seeds="2"), "request_seeds"),
            (settings(max_seq_len="long"), "max_seq_len"),
        ]
        for wanted, words in cases:
            with self.assertRaisesRegex((Refused, ValueError), words):
                self.describe(wanted)

    def test_an_environment_that_puts_the_engine_into_a_child_is_refused(self):
        with mock.patch.dict(os.environ, {"TLLM_WORKER_USE_SINGLE_PROCESS": "0"}):
            with self.assertRaisesRegex(Refused, "TLLM_WORKER_USE_SINGLE_PROCESS is 0"):
                opened(settings())

    def test_a_proxy_instead_of_an_engine_is_refused(self):
        with self.assertRaisesRegex(Refused, "no engine in this process"):
            trtllm_library.engine_of(object())

    def test_what_moved_is_named(self):
        self.assertEqual([status for status, _ in adapter.Engine.examine()], ["ok"])
        executor = signatures.find("tensorrt_llm._torch.pyexecutor.py_executor:PyExecutor")
        with (
            mock.patch.object(executor, "cancel_request", new=lambda self, request: None),
            mock.patch.object(executor, "_enqueue_responses", new=lambda self, batch: None),
        ):
            found = adapter.Engine.examine()
            self.assertEqual([status for status, _ in found], ["fail", "warn"])
            self.assertIn("awaited by a second thread", found[1][1])
            with self.assertRaisesRegex(Refused, "cancel_request` takes no id"):
                opened(settings())

    def test_an_environment_without_the_library_is_refused_with_the_remedy(self):
        with mock.patch.object(trtllm_library, "version", return_value=None):
            with self.assertRaisesRegex(Refused, "not installed in this environment"):
                self.describe(settings())


class TheTwin(unittest.TestCase):
    """The same engine behind its own server."""

    def test_the_twin_reads_the_same_arguments_from_a_file(self):
        wanted = {**settings(load_format="dummy"), "kv_tokens": 4096, "cuda_graphs": False}
        argv, env, files, ask = adapter.Engine.served(FOLDER, wanted, 8123, "twin", "/runs/1")
        self.assertEqual(argv[:5], [sys.executable, "-m", "tensorrt_llm.commands.serve", "serve", FOLDER])
        self.assertIn("--backend=pytorch", argv)
        self.assertIn("--extra_llm_api_options=/runs/1/trtllm-serve.yaml", argv)
        self.assertEqual(env["TLLM_WORKER_USE_SINGLE_PROCESS"], "0")
        read = json.loads(files["/runs/1/trtllm-serve.yaml"])
        self.assertEqual(read["kv_cache_config"]["max_tokens"], 4096)
        self.assertEqual((read["cuda_graph_config"], read["load_format"]), (None, "dummy"))
        self.assertNotIn("model", read)
        self.assertEqual(ask["model"], Path(FOLDER).name)


if __name__ == "__main__":
    unittest.main()
