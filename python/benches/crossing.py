"""Cost of the crossing from Python to Rust: per step and per delivery, against an append in pure Python.

Run it in an environment with bareflight. It measures inside a run: each step of an engine that never sleeps is handed over and
timed, then appended to a list in Python and timed again. Then the issuer's lag while an engine never leaves Python.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bareflight import fake
from bareflight.adapter import Ended, Step

BATCHES = (1, 8, 32, 256)
TOKENS = 2_000
RATE = 500


class Engine(fake.Engine):
    """Gives every running request one token in each step, at once."""

    def busy(self) -> bool:
        return bool(self.left)

    def step(self) -> Step:
        at = time.monotonic_ns()
        ids, ended = list(self.left), []
        for index in ids:
            self.left[index] -= 1
            if self.left[index] == 0:
                del self.left[index]
                ended.append(Ended(index, "length"))
        return Step(at, ids, [], ids, ended)

    def iterations(self) -> list[str]:
        return []


def measure(batch: int) -> None:
    """Runs the program in this process with a host that times each step; prints the medians as JSON."""
    from bareflight import __main__ as program
    from bareflight import host

    crossing: list[int] = []
    pure: list[int] = []
    log: list[tuple[int, int]] = []

    def deliver(desk, step):
        begun = time.perf_counter_ns()
        orders = desk.deliver(*step)
        crossed = time.perf_counter_ns()
        if len(step.ids) == batch and not step.ended:
            at = step.at_ns
            again = time.perf_counter_ns()
            for index in step.ids:
                log.append((index, at))
            crossing.append(crossed - begun)
            pure.append(time.perf_counter_ns() - again)
            log.clear()
        return orders

    host.deliver = deliver
    sys.argv = [
        "bareflight", "run", "--quiet", "--target", "py:crossing", "--concurrency", str(batch), "-n", str(3 * batch),
        "--scenario", f"D(16,{TOKENS})", "--out", "runs", "--iteration-stats", "0", "--no-deliveries",
    ]
    program.run()
    print(json.dumps({"crossing": statistics.median(crossing), "pure": statistics.median(pure), "steps": len(crossing)}), file=sys.stderr)


def lag_us() -> list[float]:
    """The issuer's lag of each request while the engine's thread never leaves Python, in microseconds."""
    command = [
        sys.executable, "-m", "bareflight", "run", "--quiet", "--target", "py:bareflight.fake,hot=1", "--rate", str(RATE),
        "-n", "3000", "--scenario", "D(16,16)", "--out", "runs", "--no-deliveries",
    ]
    subprocess.run(command, check=False, capture_output=True, timeout=300)
    (rows,) = Path().glob("runs/*fake*/requests.csv")
    lags = [float(row["schedule_lag_ms"]) * 1e3 for row in csv.DictReader(rows.open()) if row["part"] == "measured"]
    return sorted(lags)


def main() -> None:
    """Every batch in a process of its own."""
    here = Path(__file__).resolve()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print("| batch | steps | one step handed over, us | per delivery, us | appended in Python, us | ratio |")
        print("|---|---|---|---|---|---|")
        for batch in BATCHES:
            done = subprocess.run(
                [sys.executable, str(here), str(batch)], capture_output=True, text=True, timeout=300, check=False
            )
            found = json.loads(done.stderr.strip().splitlines()[-1])
            crossing, pure = found["crossing"] / 1e3, found["pure"] / 1e3
            print(
                f"| {batch} | {found['steps']} | {crossing:.2f} | {crossing / batch:.3f} | {pure:.2f} | {crossing / pure:.1f} |",
                flush=True,
            )
        lags = lag_us()
        print(
            f"\nThe issuer's lag at {RATE} requests/s while the engine's thread never leaves Python: p50 "
            f"{lags[len(lags) // 2]:.1f} us, p90 {lags[len(lags) * 9 // 10]:.1f} us, {len(lags)} requests."
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
