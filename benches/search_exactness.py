#!/usr/bin/env python3
"""Exactness of `bareflight search`: simulated engines whose highest rate is computed by hand, against what the search finds.

An engine of b places whose iteration takes t, asked for n tokens each, serves b / (n t) requests a second. With constant arrivals
and a bound on TTFT of some services, a rate above that lets the queue grow past the bound, and one below never does.

    python3 benches/search_exactness.py [--program target/release/bareflight]
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

# Places, tokens, microseconds per iteration.
ENGINES = [(1, 10, 2000), (1, 5, 4000), (4, 16, 2500), (8, 20, 4000)]


def search(program, places, tokens, iteration_us, slo_ms):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [program, "search", "--quiet", "--target", f"sim:explicit,base_us={iteration_us}",
             "--max-batch-size", str(places), "--scenario", f"D(4,{tokens})", "--arrivals", "constant",
             "--slo", f"ttft.p90<{slo_ms}ms", "--out", folder],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = next(pathlib.Path(folder).glob("*/search.json"))
        return json.loads(found.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/bareflight")
    program = parser.parse_args().program
    print("places  tokens  iteration  by hand, /s  found, /s  off      interval           probes  seconds")
    for places, tokens, iteration_us in ENGINES:
        by_hand = places / (tokens * iteration_us * 1e-6)
        slo_ms = 3 * tokens * iteration_us / 1000
        result = search(program, places, tokens, iteration_us, slo_ms)
        limit = result["outcome"]["limit"] or float("nan")
        low, high = (it or float("nan") for it in result["outcome"]["interval"])
        seconds = sum(probe["seconds"] for probe in result["probes"])
        print(f"{places:6}  {tokens:6}  {iteration_us:6} us  {by_hand:11.3f}  {limit:9.3f}  {100 * (limit / by_hand - 1):+5.2f} %  "
              f"{low:8.3f}–{high:<8.3f}  {len(result['probes']):6}  {seconds:7.1f}")


if __name__ == "__main__":
    main()
