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
TURNS = 5
FOUND = Path("found.json")


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
    """Runs the program in this process with a host that times each step; writes the medians as JSON."""
    from bareflight import __main__ as program
    from bareflight import host

    crossing: list[int] = []
    pure: list[int] = []
    log: list[tuple[int, int]] = []

    def deliver(desk, step):
        begun = time.perf_counter_ns()
        desk.deliver(*step)
        crossed = time.perf_counter_ns()
        if len(step.ids) == batch and not step.ended:
            at = step.at_ns
            again = time.perf_counter_ns()
            for index in step.ids:
                log.append((index, at))
            crossing.append(crossed - begun)
            pure.append(time.perf_counter_ns() - again)
            log.clear()

    host.deliver = deliver
    sys.argv = [
        "bareflight", "run", "--quiet", "--target", "py:crossing", "--concurrency", str(batch), "-n", str(3 * batch),
        "--scenario", f"D(16,{TOKENS})", "--out", "runs", "--iteration-stats", "0", "--no-deliveries",
    ]
    program.run()
    # Standard streams belong to the engine's log by now.
    found = {"crossing": statistics.median(crossing), "pure": statistics.median(pure), "steps": len(crossing)}
    FOUND.write_text(json.dumps(found))


def lag_us(target: str, out: str) -> float:
    """The median lag of the issuer in a run, in microseconds."""
    command = [
        sys.executable, "-m", "bareflight", "run", "--quiet", "--target", target, "--rate", str(RATE), "-n", "2000",
        "--scenario", "D(16,16)", "--out", out, "--no-deliveries",
    ]
    subprocess.run(command, check=False, capture_output=True, timeout=300)
    (rows,) = Path(out).glob("*/requests.csv")
    measured = [row for row in csv.DictReader(rows.open()) if row["part"] == "measured"]
    return statistics.median(float(row["schedule_lag_ms"]) * 1e3 for row in measured)


def main() -> None:
    """Every batch in a process of its own."""
    here = Path(__file__).resolve()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print("| batch | steps | one step handed over, us | per delivery, us | appended in Python, us | ratio |")
        print("|---|---|---|---|---|---|")
        for batch in BATCHES:
            subprocess.run([sys.executable, str(here), str(batch)], capture_output=True, timeout=300, check=False)
            found = json.loads(FOUND.read_text())
            FOUND.unlink()
            crossing, pure = found["crossing"] / 1e3, found["pure"] / 1e3
            print(
                f"| {batch} | {found['steps']} | {crossing:.2f} | {crossing / batch:.3f} | {pure:.2f} | {crossing / pure:.1f} |",
                flush=True,
            )
        hot, null = [], []
        for turn in range(TURNS):
            null.append(lag_us("null:", f"null-{turn}"))
            hot.append(lag_us("py:bareflight.fake,hot=1", f"hot-{turn}"))
        print(f"\nThe issuer's median lag at {RATE} requests/s, us, in {TURNS} turns:")
        print(f"- without an engine: {', '.join(f'{lag:.1f}' for lag in null)}")
        print(f"- while the engine's thread never leaves Python: {', '.join(f'{lag:.1f}' for lag in hot)}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
