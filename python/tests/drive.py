"""Drives an adapter through the host's loop without the Rust side: a closed loop at several concurrencies, with its counts checked.

    python python/tests/drive.py bareflight.vllm_adapter MODEL_DIR [--concurrency 1,8,32] [--option KEY=VALUE]...
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import threading
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from stand_in_desk import Desk, Shot  # noqa: E402

from bareflight import __main__ as program  # noqa: E402
from bareflight import host  # noqa: E402


def settings_of(options: dict[str, str]) -> dict[str, Any]:
    """Settings with none set by a user."""
    return {**host.DEFAULTS, "iteration_stats": True, "engine_stamps": True, "options": options}


def shots_of(count: int, first: int, vocabulary: int, prompt: int, output: int) -> list[Shot]:
    """Requests with random prompts, the same in every call with the same numbers."""
    draw = random.Random(first)
    terms = {"min_tokens": output, "ignore_eos": True}
    return [Shot(first + i, [draw.randrange(8, vocabulary) for _ in range(prompt)], output, terms) for i in range(count)]


def quantile(values: list[float], share: float) -> float:
    """The smallest value with at least that share of the values at or below it."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary_of(shots: list[Shot], desk: Desk, concurrency: int) -> dict[str, Any]:
    """Figures of one concurrency."""
    done = [shot for shot in shots if shot.reason == "length"]
    first, last = min(s.added_ns for s in done), max(s.stamps[-1] for s in done)
    gaps = [(b - a) / 1e6 for s in done for a, b in zip(s.stamps, s.stamps[1:])]
    lags = [(each["at_ns"] - each["engine"]["stamp_ns"]) / 1e3 for each in desk.statistics if "engine" in each]
    steps = [each["latency_ns"] / 1e6 for each in desk.statistics]
    return {
        "concurrency": concurrency,
        "requests": len(done),
        "tokens_per_s": round(sum(len(s.tokens) for s in done) / ((last - first) / 1e9), 1),
        "ttft_ms_p50": round(statistics.median((s.stamps[0] - s.added_ns) / 1e6 for s in done), 2),
        "itl_ms_p50": round(statistics.median(gaps), 3),
        "step_ms_p50": round(statistics.median(steps), 3) if steps else None,
        "engine_stamp_to_ours_us_p50": round(statistics.median(lags), 1) if lags else None,
        "engine_stamp_to_ours_us_p99": round(quantile(lags, 0.99), 1) if lags else None,
        "iterations": len(desk.statistics),
    }


def hold(shots: list[Shot], output: int) -> None:
    """Every request has its tokens, its engine's stamps, and no other word."""
    for shot in shots:
        assert shot.refused is None, f"request {shot.index} was refused: {shot.refused}"
        if shot.cancel_after is not None:
            assert shot.reason == "cancelled" and len(shot.tokens) < output, shot
            continue
        assert (shot.reason, len(shot.tokens)) == ("length", output), (shot.index, shot.reason, len(shot.tokens))
        assert all(a <= b for a, b in zip(shot.stamps, shot.stamps[1:]))
        if shot.times is not None and None not in shot.times:
            queued, scheduled, first, last = shot.times
            assert shot.added_ns - 10_000_000 < queued <= scheduled <= first <= last <= shot.stamps[-1] + 1_000, shot.times
            assert first <= shot.stamps[0] + 1_000


def run(arguments: argparse.Namespace, out: Any) -> None:
    """Opens the engine, plays every concurrency, closes the engine."""
    settings = settings_of(dict(word.split("=", 1) for word in arguments.option))
    kind = host.find(arguments.module)
    host.check_settings(kind, settings)
    said = kind.describe(arguments.model, settings)
    print(json.dumps(said), file=out)
    engine = kind()
    facts = engine.open(arguments.model, settings)
    print(json.dumps(facts), file=out, flush=True)
    vocabulary = said["limits"]["vocab_size"]
    next_index = 0
    for concurrency in [0, *map(int, arguments.concurrency.split(","))]:
        warm_up = concurrency == 0
        count = 4 if warm_up else max(8, arguments.requests * concurrency)
        shots = shots_of(count, next_index, vocabulary, arguments.prompt, arguments.output)
        next_index += count
        if not warm_up:
            shots[-1].cancel_after = arguments.output // 2
        desk = Desk(shots, concurrency or 4)
        host.loop(engine, desk, True)
        hold(shots, arguments.output)
        if not warm_up:
            print(json.dumps(summary_of(shots, desk, concurrency)), file=out, flush=True)
    engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module")
    parser.add_argument("model", nargs="?", default="")
    parser.add_argument("--concurrency", default="1,8,32")
    parser.add_argument("--requests", type=int, default=3, help="requests for each unit of concurrency")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--option", action="append", default=[])
    arguments = parser.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name, value in program.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    failure: list[BaseException] = []

    def engine_thread() -> None:
        try:
            run(arguments, out)
        except BaseException as error:
            failure.append(error)
            raise

    thread = threading.Thread(target=engine_thread, name="bf-engine")
    thread.start()
    thread.join()
    out.flush()
    return int(bool(failure))


if __name__ == "__main__":
    sys.exit(main())
