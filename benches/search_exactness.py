#!/usr/bin/env python3
"""Exactness of `bareflight search`: simulated engines whose limit is computed by hand, against what whole searches find.

Three kinds of engine, each with a limit in closed form. t is the time of an iteration, n the tokens of an answer.

  queue, rate          b places and a fixed t serve b / (n t) requests a second. With constant arrivals and a bound on TTFT of some
                       services, a rate above that lets the queue grow past the bound, and one below never does.
  batch, rate          An iteration takes base + slope · (sequences in it). At rate r there are N = r n t of them, so that
                       t = base / (1 - r n slope), and a bound L on TPOT is met up to r = (1 - base / L) / (n slope).
  batch, concurrency   The same engine with C in flight has t = base + slope · C: up to C = (L - base) / slope, rounded down.
  queue, concurrency   One place and C in flight: a first token waits for C - 1 services and one iteration, so that a bound L is
                       met up to C = (L - t) / (n t) + 1, rounded down.

Exit code 1 where a limit is off by more than 2 %, or a search takes 12 probes or more.

    python3 benches/search_exactness.py [--program target/release/bareflight] [--seeds 1,2,3]
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

OFF = 0.02
PROBES = 12


@dataclasses.dataclass
class Case:
    """An engine, what is asked of it, and its limit by hand."""

    name: str
    axis: str
    profile: str
    places: int
    scenario: str
    slo: str
    by_hand: float


def queue_rate(places, tokens, iteration_us):
    service_s = tokens * iteration_us * 1e-6
    return Case(f"queue: {places} places, {tokens} x {iteration_us} us", "rate", f"explicit,base_us={iteration_us}", places,
                f"D(4,{tokens})", f"ttft.p90<{3000 * service_s:g}ms", places / service_s)


def batch_profile(base_us, slope_us):
    # One token of a prompt costs what one of an answer does, so that every sequence of an iteration costs the same.
    return f"explicit,base_us={base_us},decode_us_per_sequence={slope_us},prefill_us_per_token={slope_us}"


def batch_rate(base_us, slope_us, tokens, bound_us):
    by_hand = (1 - base_us / bound_us) / (tokens * slope_us * 1e-6)
    return Case(f"batch: {base_us} + {slope_us} us x sequences, {tokens} tokens", "rate", batch_profile(base_us, slope_us), 256,
                f"D(1,{tokens})", f"tpot.p90<{bound_us}us", by_hand)


def batch_concurrency(base_us, slope_us, tokens, bound_us):
    by_hand = (bound_us - base_us) // slope_us
    return Case(f"batch: {base_us} + {slope_us} us x sequences, {tokens} tokens", "concurrency",
                batch_profile(base_us, slope_us), 256, f"D(1,{tokens})", f"tpot.p90<{bound_us}us", by_hand)


def queue_concurrency(tokens, iteration_us, bound_ms):
    service_ms = tokens * iteration_us / 1000
    by_hand = (bound_ms - iteration_us / 1000) // service_ms + 1
    return Case(f"queue: 1 place, {tokens} x {iteration_us} us", "concurrency", f"explicit,base_us={iteration_us}", 1,
                f"D(4,{tokens})", f"ttft.p90<{bound_ms}ms", by_hand)


CASES = [
    queue_rate(1, 10, 2000),
    queue_rate(1, 5, 4000),
    queue_rate(4, 16, 2500),
    queue_rate(8, 20, 4000),
    batch_rate(1000, 100, 50, 2000),
    batch_rate(1000, 200, 40, 4000),
    batch_rate(2000, 50, 40, 3000),
    batch_concurrency(1000, 100, 200, 2050),
    batch_concurrency(1000, 50, 200, 2180),
    batch_concurrency(500, 40, 200, 2020),
    queue_concurrency(10, 2000, 130),
    queue_concurrency(5, 1000, 100),
]


def search(program, case, seed):
    with tempfile.TemporaryDirectory() as folder:
        arrivals = ["--arrivals", "constant"] if case.axis == "rate" else []
        ended = subprocess.run(
            [program, "search", "--quiet", "--target", f"sim:{case.profile}", "--max-batch-size", str(case.places),
             "--scenario", case.scenario, "--search", case.axis, "--slo", case.slo, "--seed", str(seed), "--out", folder]
            + arrivals, check=False, capture_output=True, text=True)
        found = list(pathlib.Path(folder).glob("*/search.json"))
        if not found:
            sys.exit(ended.stderr)
        return json.loads(found[0].read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/bareflight")
    parser.add_argument("--seeds", default="1,2,3")
    arguments = parser.parse_args()
    print(f"{'engine':44}  {'search':11}  {'objective':16}  seed  by hand   found      off  {'interval':17}  probes  seconds")
    is_exact = True
    for case in CASES:
        for seed in arguments.seeds.split(","):
            result = search(arguments.program, case, int(seed))
            limit = result["outcome"]["limit"] or float("nan")
            low, high = (it or float("nan") for it in result["outcome"]["interval"])
            off = limit / case.by_hand - 1
            probes = len(result["probes"])
            is_exact = is_exact and abs(off) <= OFF and probes < PROBES
            seconds = sum(probe["seconds"] for probe in result["probes"])
            print(f"{case.name:44}  {case.axis:11}  {case.slo:16}  {seed:>4}  {case.by_hand:7.2f}  {limit:6.2f}  "
                  f"{100 * off:+5.2f} %  {low:7.2f}–{high:<9.2f}  {probes:6}  {seconds:7.1f}", flush=True)
    return 0 if is_exact else 1


if __name__ == "__main__":
    sys.exit(main())
