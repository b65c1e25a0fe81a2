#!/usr/bin/env python3
"""Rates and TTFT of short runs held against runs twenty times as long, on simulated engines.

    python3 benches/steady_state.py [--program target/release/bareflight] [--seeds 3]

Of each case it prints, over several seeds, how far the default number of requests is from a run of twenty times as many:
`steady` as measured (ramp, window between first and last submission), `whole` with `--window whole`, as other benchmarks do.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

CASES = [
    # Each prompt of 16 tokens holds everything else up for 4 ms.
    ("D(16,12)", 32, "sim:explicit,base_us=6000,prefill_us_per_token=250", []),
    ("U(64,64)/(16,496)", 32, "sim:explicit,base_us=2000,prefill_us_per_token=10", []),
    ("N(128,64)/(200,150)", 16, "sim:explicit,base_us=2000,prefill_us_per_token=10", []),
]
RATES = ["output_throughput_tokens_per_s", "request_throughput_per_s"]


def measured(program, scenario, slots, target, more, requests, seed):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [program, "run", "--target", target, "--scenario", scenario, "--concurrency", str(slots)]
            + ["--requests", str(requests), "--seed", str(seed), "--no-deliveries", "-q"] + more,
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        [run] = pathlib.Path(folder, "runs").iterdir()
        [point] = json.loads((run / "summary.json").read_text())["points"]
    found = {rate: point["rates"][rate] for rate in RATES}
    for which in ["p50", "p99"]:
        found[f"ttft_{which}"] = point["distributions"]["ttft_ms"]["percentiles"][which]["value"]
    return found


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--program", default="target/release/bareflight")
    words.add_argument("--seeds", type=int, default=3)
    typed = words.parse_args()
    program = str(pathlib.Path(typed.program).resolve())
    for scenario, slots, target, more in CASES:
        requests = max(4 * slots, 40)
        long = measured(program, scenario, slots, target, more, 20 * requests, 1_000)
        print(f"{scenario} at {slots}, {requests} requests against {20 * requests}")
        for kind in ["steady", "whole"]:
            runs = [
                measured(program, scenario, slots, target, [*more, "--window", kind], requests, seed)
                for seed in range(1, typed.seeds + 1)
            ]
            for key, reference in long.items():
                off = [100 * (run[key] / reference - 1) for run in runs]
                each = " ".join(f"{value:+.1f}" for value in off)
                mean = sum(off) / len(off)
                print(f"  {kind:6} {key:32} {reference:10.2f}  {mean:+6.1f} %  ({each})")


if __name__ == "__main__":
    main()
