"""Tests of the adapter of vLLM: against a STAND-IN of vLLM's modules, or, where `BAREFLIGHT_VLLM_MODEL` names the folder of a small
model, against the installed vLLM.

    python -m unittest discover -s python/tests
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

HERE = Path(__file__).parent
MODEL = os.environ.get("BAREFLIGHT_VLLM_MODEL", "")
REAL = bool(MODEL)
sys.path[:0] = [str(HERE), str(HERE.parent)]
if not REAL:
    sys.path.insert(0, str(HERE / "stand_in_vllm"))
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

from drive import hold, settings_of, shots_of  # noqa: E402
from stand_in_desk import Desk, Shot  # noqa: E402

from bareflight import host, model_folder, signatures, vllm_adapter, vllm_library, vllm_settings  # noqa: E402
from bareflight.adapter import Refused  # noqa: E402

LONGEST = 512
OUTPUT = 24
stand_in_only = unittest.skipIf(REAL, "only the stand-in plays this")


def model_dir() -> str:
    """The folder of a model: the one that was named, or one with a configuration alone."""
    if REAL:
        return MODEL
    folder = tempfile.mkdtemp(prefix="bareflight-model-")
    atexit.register(shutil.rmtree, folder)
    config = {"vocab_size": 8192, "max_position_embeddings": 4096, "bos_token_id": 0, "eos_token_id": 2}
    Path(folder, "config.json").write_text(json.dumps(config))
    Path(folder, "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 3]}))
    special = [{"id": 1, "special": True}, {"id": 9, "special": False}, {"id": 8192, "special": True}]
    Path(folder, "tokenizer.json").write_text(json.dumps({"added_tokens": special}))
    return folder


FOLDER = model_dir()


def settings(**options: str) -> dict:
    eager = {"enforce_eager": "true", "dtype": "bfloat16"} if REAL else {}
    return settings_of({"max_model_len": str(LONGEST), **eager, **options})


def opened(wanted: dict) -> vllm_adapter.Engine:
    engine = vllm_adapter.Engine()
    engine.facts = engine.open(FOLDER, wanted)
    return engine


class Played(unittest.TestCase):
    """Requests through the host's loop. One engine for all of them."""

    @classmethod
    def setUpClass(cls):
        cls.engine = opened(settings())
        cls.next_index = 0

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def shots(self, count: int, prompt: int = 20, output: int = OUTPUT) -> list[Shot]:
        first, Played.next_index = Played.next_index, Played.next_index + count
        return shots_of(count, first, 8000, prompt, output)

    def play(self, shots: list[Shot], concurrency: int) -> Desk:
        desk = Desk(shots, concurrency)
        host.loop(self.engine, desk, True)
        return desk

    def test_every_request_has_its_tokens_at_any_concurrency(self):
        for concurrency in (1, 8, 32):
            shots = self.shots(concurrency * 2)
            self.play(shots, concurrency)
            hold(shots, OUTPUT)
            self.assertFalse(self.engine.index_of or self.engine.name_of or self.engine.times)

    def test_output_comes_token_by_token(self):
        (shot,) = shots = self.shots(1)
        self.play(shots, 1)
        self.assertEqual(shot.counts, [1] * OUTPUT)
        self.assertEqual(len(set(shot.stamps)), OUTPUT)

    def test_greedy_tokens_are_the_same_again_and_in_company(self):
        alone, again, *company = shots = self.shots(8)
        for shot in shots[1:]:
            shot.prompt = alone.prompt
        self.play([alone], 1)
        self.play([again], 1)
        self.assertEqual(alone.tokens, again.tokens)
        if not REAL:  # Sums of another batch may differ in the last bit.
            self.play(company, 6)
            self.assertEqual({tuple(shot.tokens) for shot in company}, {tuple(alone.tokens)})

    def test_a_cancelled_request_says_no_more_and_the_others_go_on(self):
        shots = self.shots(6)
        for shot in shots[::2]:
            shot.cancel_after = 5
        self.play(shots, 6)
        hold(shots, OUTPUT)
        # What output leads to, a cancel too, is done behind the step after.
        self.assertEqual([len(shot.tokens) for shot in shots[::2]], [6] * 3)

    def test_a_waiting_request_can_be_cancelled(self):
        (shot,) = self.shots(1)
        desk = Desk([shot], 1)
        host.prepare(self.engine, desk, desk.take(0)[0], {})
        desk.take(0)
        self.engine.add(shot.index)
        self.assertTrue(self.engine.cancel(shot.index))
        self.assertFalse(self.engine.busy())
        self.assertEqual(self.engine.step().ids, [])

    def test_stamps_of_the_engine_are_in_order_and_of_our_clock(self):
        shots = self.shots(4)
        self.play(shots, 2)
        for shot in shots:
            queued, scheduled, first, last = shot.times
            self.assertLessEqual(shot.added_ns, queued + 1_000)
            self.assertTrue(queued <= scheduled <= first <= last)
            self.assertLessEqual(first, shot.stamps[0] + 1_000)
            self.assertLessEqual(last, shot.stamps[-1] + 1_000)
            self.assertGreater(last, shot.stamps[-2])

    def test_iterations_say_batch_queue_and_cache(self):
        shots = self.shots(6, prompt=50)
        self.engine.iterations()
        desk = self.play(shots, 3)
        told = desk.statistics + [json.loads(text) for text in self.engine.iterations()]
        numbers = [each["iteration"] for each in told]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(told))))
        self.assertEqual(sum(each["completed"] for each in told), 6)
        self.assertEqual(sum(each["batch"]["context_tokens"] for each in told), 6 * 50)
        self.assertEqual(max(each["batch"]["generation_requests"] for each in told), 3)
        self.assertEqual(max(each["active"] for each in told), 3)
        self.assertTrue(all(0 <= each["kv"]["used_blocks"] <= each["kv"]["max_blocks"] for each in told))
        self.assertGreater(max(each["kv"]["used_blocks"] for each in told), 0)
        self.assertTrue(all(each["engine"]["stamp_ns"] <= each["at_ns"] + 1_000 for each in told))
        self.assertEqual({each["engine"]["preempted"] for each in told}, {0})

    def test_what_would_end_short_or_cannot_be_read_is_refused_before_it_is_sent(self):
        cases = {
            "max_model_len": ([7] * (LONGEST - OUTPUT + 1), OUTPUT),
            "empty": ([], OUTPUT),
            "vocabulary": ([7, 8192], OUTPUT),
        }
        for word, (prompt, most) in cases.items():
            shot = Shot(10_000, prompt, most, {})
            refused = {}
            desk = Desk([shot], 1)
            host.prepare(self.engine, desk, desk.take(0)[0], refused)
            self.assertIn(word, refused[10_000])
        shots = self.shots(1, prompt=LONGEST - OUTPUT)
        self.play(shots, 1)
        hold(shots, OUTPUT)

    def test_what_vllm_itself_refuses_fails_that_request_alone(self):
        good, bad = shots = self.shots(2)
        with mock.patch.object(self.engine, "make_request", wraps=self.engine.make_request) as make:
            make.side_effect = lambda name, *rest: refuse() if name == str(bad.index) else mock.DEFAULT

            def refuse():
                raise ValueError("top_p must be in (0, 1]")

            self.play(shots, 2)
        self.assertIn("top_p", bad.refused)
        hold([good], OUTPUT)

    def test_blocks_of_the_cache_are_counted_where_the_length_is_known(self):
        (shot,) = shots = self.shots(1, prompt=200, output=100)
        self.play(shots, 1)
        block = self.engine.facts["kv_block_size"]
        total = -(-299 // block)
        self.assertEqual(shot.blocks, (total, total, 0, None))

    def test_terms_that_vllm_refuses_are_refused_in_its_words(self):
        (shot,) = self.shots(1)
        shot.terms = {"temperature": 1.0, "top_p": 1.5}
        self.play([shot], 1)
        self.assertIn("top_p", shot.refused)

    def test_names_of_requests_are_the_engines_own(self):
        (shot,) = self.shots(1)
        made = self.engine.make_request(str(shot.index), shot.prompt, self.engine.params_of(3, {}))
        self.assertNotEqual(made.request_id, str(shot.index))

    def test_terms_become_sampling_parameters(self):
        params = self.engine.params_of(9, {"min_tokens": 4, "ignore_eos": True})
        self.assertEqual((params.max_tokens, params.min_tokens, params.ignore_eos), (9, 4, True))
        self.assertEqual((params.temperature, params.seed, params.detokenize, params.output_kind.name), (0.0, None, False, "DELTA"))
        params = self.engine.params_of(9, {"temperature": 0.5, "seed": 7, "top_p": 0.9, "top_k": 4})
        self.assertEqual((params.temperature, params.top_p, params.top_k, params.seed), (0.5, 0.9, 4, None))
        with mock.patch.object(self.engine, "sends_seeds", True):
            self.assertEqual(self.engine.params_of(8, {"temperature": 0.5, "seed": 7}).seed, 7)

    def test_what_the_engine_made_of_the_settings_is_said(self):
        facts = self.engine.facts
        self.assertEqual((facts["max_model_len"], facts["prefix_caching"], facts["client"]), (LONGEST, False, "InprocClient"))
        self.assertGreater(facts["kv_blocks"], 0)
        self.assertEqual((facts["executor"], "child_processes" in facts), ("UniProcExecutor", False))

    def test_an_engine_at_rest_is_not_busy(self):
        self.play(self.shots(3), 3)
        self.assertFalse(self.engine.busy())


class OtherSettings(unittest.TestCase):
    """Engines that are opened otherwise."""

    def play(self, wanted: dict, shots: list[Shot], concurrency: int) -> Desk:
        engine = opened(wanted)
        desk = Desk(shots, concurrency)
        try:
            host.loop(engine, desk, True)
        finally:
            engine.close()
        desk.statistics += [json.loads(text) for text in engine.iterations()]
        return desk

    def test_a_batch_and_a_budget_of_tokens_hold(self):
        wanted = {**settings(), "max_batch_size": 2, "max_num_tokens": 64}
        shots = shots_of(6, 0, 8000, 100, 8)
        desk = self.play(wanted, shots, 6)
        hold(shots, 8)
        self.assertEqual(max(each["active"] for each in desk.statistics), 2)
        self.assertLessEqual(max(each["batch"]["context_tokens"] for each in desk.statistics), 64)
        self.assertGreaterEqual(max(each["queued"] for each in desk.statistics), 4)

    def test_a_prefix_is_reused_only_where_that_was_asked_for(self):
        if REAL:
            for reuse, hits in ((True, 256), (False, 0)):
                shots = shots_of(2, 0, 8000, 300, 4)
                shots[1].prompt = shots[0].prompt
                desk = self.play({**settings(), "kv_reuse": reuse}, shots, 1)
                self.assertEqual(sum(each["engine"].get("hit_tokens", 0) for each in desk.statistics), hits)
                self.assertEqual(shots[1].blocks, (3, 1, 2, 0) if reuse else (3, 3, 0, None))
        arguments = vllm_settings.arguments(FOLDER, settings(), model_folder.read(FOLDER), False)
        self.assertIn("--no-enable-prefix-caching", vllm_settings.argv(arguments))

    def test_the_cache_has_the_tokens_that_were_asked_for(self):
        wanted = {**settings(block_size="32"), "kv_tokens": 2048}
        engine = opened(wanted)
        engine.close()
        self.assertEqual((engine.facts["kv_block_size"], engine.facts["kv_blocks"]), (32, 65))

    def test_without_statistics_the_engine_makes_none(self):
        shots = shots_of(2, 0, 8000, 20, 8)
        desk = self.play({**settings(), "iteration_stats": False, "engine_stamps": False}, shots, 2)
        hold(shots, 8)
        self.assertEqual((desk.statistics, shots[0].times), ([], None))

    def test_events_of_the_caches_blocks_are_handed_over_in_their_order(self):
        wanted = {**settings(), "kv_reuse": True, "kv_events": 100}
        shots = shots_of(3, 0, 8000, 300, 4)
        engine = opened(wanted)
        desk = Desk(shots, 1)
        try:
            host.loop(engine, desk, False, True)
        finally:
            engine.close()
        block = engine.facts["kv_block_size"]
        self.assertEqual([each["event"] for each in desk.blocks], list(range(len(desk.blocks))))
        stored = [name for each in desk.blocks if each["what"] == "stored" for name in each["blocks"]]
        self.assertEqual(len(stored), 3 * (300 // block))
        self.assertEqual((len(set(stored)), {len(name) for name in stored}), (len(stored), {16}))
        removed = [name for each in desk.blocks if each["what"] == "removed" for name in each["blocks"]]
        self.assertTrue(set(removed) <= set(stored), removed)
        if not REAL:
            self.assertEqual(removed, stored[: 300 // block])

    def test_without_being_asked_for_there_are_no_events_of_blocks(self):
        shots = shots_of(2, 0, 8000, 300, 4)
        self.assertEqual(self.play({**settings(), "kv_reuse": True}, shots, 1).blocks, [])

    @stand_in_only
    def test_an_iteration_that_gives_nothing_yet_is_a_step_without_output(self):
        shots = shots_of(4, 0, 8000, 20, 8)
        self.play(settings(async_scheduling="true"), shots, 2)
        hold(shots, 8)

    @stand_in_only
    def test_several_tokens_of_one_iteration_are_one_delivery(self):
        shots = shots_of(3, 0, 8000, 20, 8)
        self.play(settings(stand_in_tokens="3"), shots, 3)
        self.assertEqual(shots[0].counts, [3, 3, 2])

    def test_a_preempted_request_is_counted_and_ends_whole(self):
        # The real one runs out of blocks: six requests need five of 16 each.
        wanted = {**settings(block_size="32"), "kv_tokens": 512} if REAL else settings(stand_in_preempts_at="4")
        shots = shots_of(6, 0, 8000, 100, 60)
        desk = self.play(wanted, shots, 6)
        hold(shots, 60)
        self.assertGreaterEqual(sum(each["batch"]["paused"] for each in desk.statistics), 1)
        if REAL:
            self.assertGreater(max(each["kv"]["used_blocks"] for each in desk.statistics), 12)
            self.assertEqual(max(each["kv"]["max_blocks"] for each in desk.statistics), 16)

    @stand_in_only
    def test_an_abort_that_nobody_asked_for_is_an_error_of_that_request(self):
        shots = shots_of(1, 0, 8000, 20, 8)
        self.play(settings(stand_in_aborts_at="3"), shots, 1)
        self.assertEqual(shots[0].reason, "error:vLLM ended the request: abort")

    @stand_in_only
    def test_an_exception_in_an_iteration_is_the_end_of_the_engine(self):
        with self.assertRaisesRegex(host.EngineFailed, "`step`.*CPU Generator does not use offset"):
            self.play(settings(stand_in_fails_at="3"), shots_of(1, 0, 8000, 20, 8), 1)

    @stand_in_only
    def test_blocks_of_another_size_are_refused_with_the_remedy(self):
        with self.assertRaisesRegex(Refused, "block_size=64"):
            opened({**settings(stand_in_block_size="64"), "kv_tokens": 2048})


class BeforeLoading(unittest.TestCase):
    """What is known and refused before an engine is loaded."""

    def describe(self, wanted: dict) -> dict:
        host.check_settings(vllm_adapter.Engine, wanted)
        return vllm_adapter.Engine.describe(FOLDER, wanted)

    def test_limits_special_tokens_and_labels_are_said(self):
        said = self.describe(settings())
        self.assertEqual(said["limits"]["max_sequence_tokens"], LONGEST)
        self.assertEqual(said["limits"]["vocab_size"], 8192)
        self.assertEqual(said["special_ids"], [0, 1, 2, 3])
        details = said["details"]
        self.assertEqual(details["driver_level"], "EngineCore (InprocClient)")
        self.assertEqual((details["child_processes"], details["request_seeds"]), ("none", "not sent"))
        self.assertFalse(details["arguments"]["enable_prefix_caching"])
        json.dumps(said)

    def test_a_child_process_and_workers_are_named(self):
        self.assertEqual(self.describe(settings(core="child"))["details"]["child_processes"], "engine core")
        said = self.describe(settings(tensor_parallel_size="2"))
        self.assertEqual(said["details"]["child_processes"], "2 workers")
        self.assertEqual(said["gpus"], 0 if vllm_library.is_cpu_build() else 2)
        self.assertTrue(self.describe(settings(load_format="dummy"))["dummy_weights"])

    def test_the_longest_sequence_is_the_models_unless_told(self):
        wanted = settings()
        del wanted["options"]["max_model_len"]
        self.assertEqual(self.describe(wanted)["limits"]["max_sequence_tokens"], 4096)
        self.assertIsNone(self.describe(settings(max_model_len="auto"))["limits"]["max_sequence_tokens"])
        with self.assertRaisesRegex(Refused, "max_model_len"):
            self.describe(settings(max_model_len="many"))

    def test_bad_settings_are_refused_by_their_names(self):
        cases = [
            ({**settings(), "max_queue_size": 4}, "--max-queue-size"),
            (settings(max_num_seqs="4"), "max_num_seqs.*--max-batch-size"),
            (settings(**{"enable-prefix-caching": "true"}), "enable_prefix_caching.*--kv-reuse"),
            (settings(data_parallel_size="2"), "data_parallel_size.*vllm serve"),
            (settings(core="elsewhere"), "`core` is `elsewhere`"),
            (settings(request_seeds="yes"), "`request_seeds` is `yes`"),
            ({**settings(core="child"), "kv_events": 9}, "--kv-events.*core=child"),
            ({**settings(kv_events_config="{}"), "kv_events": 9}, "kv_events_config.*--kv-events"),
        ]
        for wanted, words in cases:
            with self.assertRaisesRegex((Refused, ValueError), words):
                self.describe(wanted)

    def test_an_argument_that_vllm_does_not_know_is_refused_in_its_words(self):
        with self.assertRaisesRegex(Refused, "refuses its arguments.*no-such-thing"):
            opened(settings(no_such_thing="1"))
        with self.assertRaisesRegex(Refused, "refuses its arguments.*max-num-seqs"):
            vllm_library.build([f"--model={FOLDER}", "--max-num-seqs=many"], False)

    def test_a_folder_without_a_model_is_refused(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(Refused, "no config.json"):
            vllm_adapter.Engine.describe(folder, settings())
        with self.assertRaisesRegex(Refused, "there is no folder `/no/such/folder`$"):
            vllm_adapter.Engine.describe("/no/such/folder", settings())
        with self.assertRaisesRegex(Refused, "hf download nobody/no-such-model"):
            vllm_adapter.Engine.describe("nobody/no-such-model", settings())

    def test_an_environment_without_vllm_is_refused_with_the_remedy(self):
        with mock.patch.object(vllm_library, "version", return_value=None):
            with self.assertRaisesRegex(Refused, "not installed in this environment"):
                self.describe(settings())
            self.assertEqual(vllm_adapter.Engine.examine()[0][0], "fail")

    def test_an_environment_that_puts_the_core_into_a_child_is_refused(self):
        with mock.patch.dict(os.environ, {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}):
            with self.assertRaisesRegex(Refused, "VLLM_ENABLE_V1_MULTIPROCESSING"):
                opened(settings())

    def test_the_death_of_a_core_in_a_child_process_is_an_exception_and_no_silence(self):
        client = SimpleNamespace(outputs_queue=queue.Queue(), resources=SimpleNamespace(engine_dead=False))
        vllm_library.watch_child(client)
        client.resources.engine_dead = True
        self.assertIn("engine core has ended", str(client.outputs_queue.get(timeout=60)))

    def test_the_library_is_as_the_adapter_knows_it(self):
        found = vllm_adapter.Engine.examine()
        self.assertEqual([status for status, _ in found], ["ok"], found)

    def test_what_moved_is_named(self):
        client = signatures.find("vllm.v1.engine.core_client:InprocClient")
        gone = signatures.Needed("vllm.v1.engine.core_client:InprocClient.get_no_output")
        optional = signatures.Needed("vllm.v1.engine:EngineCoreOutput", fields=("no_events",), without="stamps")
        needed = [*vllm_library.NEEDED, gone, optional]
        with (
            mock.patch.object(vllm_library, "NEEDED", needed),
            mock.patch.object(client, "abort_requests", new=lambda self, ids: None),
        ):
            found = vllm_adapter.Engine.examine()
            words = " ".join(words for _, words in found)
            self.assertIn("get_no_output` is not there", words)
            self.assertIn("abort_requests` takes no request_ids", words)
            self.assertIn("has no field no_events; without it: stamps", words)
            self.assertEqual(sorted(status for status, _ in found), ["fail", "fail", "warn"])
            with self.assertRaisesRegex(Refused, "InprocClient.get_no_output"):
                opened(settings())

    def test_a_version_that_nobody_tried_is_a_warning(self):
        with mock.patch.object(vllm_library, "version", return_value="0.99.1"):
            found = vllm_adapter.Engine.examine()
        self.assertEqual(sorted(status for status, _ in found), ["ok", "warn"])


class Twin(unittest.TestCase):
    """The same engine behind its own server."""

    def test_the_twin_has_the_same_arguments(self):
        sizes = {"max_batch_size": 16, "max_num_tokens": 1024, "kv_tokens": 4096}
        wanted = {**settings(enforce_eager="true", block_size="32"), **sizes}
        argv, env, files, ask = vllm_adapter.Engine.served(FOLDER, wanted, 8123, "twin", "/nowhere")
        self.assertEqual(argv[:5], [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", FOLDER])
        said = vllm_settings.argv(vllm_settings.arguments(FOLDER, wanted, model_folder.read(FOLDER), False))
        self.assertEqual([word for word in argv if word in said], said)
        for word in ("--max-num-seqs=16", "--max-num-batched-tokens=1024", "--num-gpu-blocks-override=129", "--block-size=32",
                     "--no-enable-prefix-caching", "--enforce-eager", f"--max-model-len={LONGEST}", "--port=8123",
                     "--served-model-name=twin", "--host=127.0.0.1"):
            self.assertIn(word, argv)
        self.assertEqual((env["VLLM_ENABLE_V1_MULTIPROCESSING"], files), ("1", {}))
        self.assertEqual((ask["endpoint"], ask["model"], ask["vocab_size"]), ("completions", "twin", 8192))

    def test_the_adapters_own_options_do_not_reach_the_server(self):
        argv = vllm_adapter.Engine.served(FOLDER, settings(core="child", request_seeds="1"), 1, "x", "/nowhere").argv
        self.assertFalse([word for word in argv if "core" in word or "seed" in word])

    def test_engine_arguments_and_flags_of_the_run_are_passed(self):
        wanted = {**settings(), "engine_args": {"kv-cache-dtype": "fp8"}, "cuda_graphs": False, "chunked_context": True}
        argv = vllm_adapter.Engine.served(FOLDER, wanted, 1, "x", "/nowhere").argv
        for word in ("--kv-cache-dtype=fp8", "--enforce-eager", "--enable-chunked-prefill"):
            self.assertIn(word, argv)


if __name__ == "__main__":
    unittest.main()
