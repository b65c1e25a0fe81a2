#!/usr/bin/env python3
"""How often `compare` is wrong of two equal targets, and how often it finds a difference of 2 %, on simulated engines.

    python3 benches/comparison_power.py [--program target/release/bareflight] [--repeat 40] [--blocks 8]

Each repetition compares one engine with itself, and with one whose every step takes 2 % longer, in turns. Of each row it
prints how many intervals leave 1 out, how many answers are `faster` or `slower` beyond a margin of 0.5 %, and the bias of the
equal pair: mean log ratio over its standard error.
"""
import argparse
import json
import math
import pathlib
import subprocess
import tempfile

ENGINE = "sim:explicit,base_us={},prefill_us_per_token=5"
BASE_US = 2000
PAIRS = [("equal", BASE_US), ("2 % slower", BASE_US * 102 // 100)]
ROWS = ["ttft_p50", "tpot_p50", "itl_p50", "e2e_p50", "output_throughput", "request_throughput"]


def compared(program, candidate_us, seed, typed):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [program, "compare", "--target", ENGINE.format(BASE_US), "--target", ENGINE.format(candidate_us)]
            + ["--scenario", typed.scenario, "--concurrency", str(typed.concurrency)]
            + ["--requests", str(typed.requests), "--blocks", str(typed.blocks), "--margin", "0.5%"]
            + ["--seed", str(seed), "--no-deliveries", "-q"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        [run] = pathlib.Path(folder, "runs").iterdir()
        [pair] = json.loads((run / "comparison.json").read_text())["pairs"]
    return {row["metric"]: row["ratio"] for row in pair["rows"] if row.get("ratio")}


def line(metric, ratios):
    apart = sum(not ratio["low"] <= 1 <= ratio["high"] for ratio in ratios)
    answered = sum(ratio["answer"] in ("faster", "slower") for ratio in ratios)
    logs = [math.log(ratio["ratio"]) for ratio in ratios]
    mean = sum(logs) / len(logs)
    spread = math.sqrt(sum((log - mean) ** 2 for log in logs) / max(len(logs) - 1, 1))
    z = mean / (spread / math.sqrt(len(logs))) if spread else 0.0
    count = len(ratios)
    return f"  {metric:20} {apart:3} of {count}  {answered:3} of {count}  {math.exp(mean):9.4f}  {z:+7.2f}"


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--program", default="target/release/bareflight")
    words.add_argument("--repeat", type=int, default=40)
    words.add_argument("--blocks", type=int, default=8)
    words.add_argument("--concurrency", type=int, default=4)
    words.add_argument("--requests", type=int, default=24)
    words.add_argument("--scenario", default="D(64,24)")
    typed = words.parse_args()
    program = str(pathlib.Path(typed.program).resolve())
    found = {name: {} for name, _ in PAIRS}
    for seed in range(1, typed.repeat + 1):
        for name, candidate_us in PAIRS:
            for metric, ratio in compared(program, candidate_us, seed, typed).items():
                found[name].setdefault(metric, []).append(ratio)
    for name, _ in PAIRS:
        print(f"{name}, {typed.blocks} blocks of {typed.requests} requests at {typed.concurrency}")
        print(f"  {'':20} {'1 left out':>10} {'answered':>10} {'ratio':>10} {'z':>8}")
        for metric in ROWS:
            if metric in found[name]:
                print(line(metric, found[name][metric]))


if __name__ == "__main__":
    main()
