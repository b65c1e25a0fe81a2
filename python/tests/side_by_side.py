"""All tests, several at a time: most of a test of the program is waiting. Prints a line for each module, and in full what fails."""

from __future__ import annotations

import subprocess
import sys
import time
import unittest
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed

from program import ProgramTest

#: At a time. Tests claim counts and one-sided times, which other tests do not change.
AT_ONCE = 10
#: These wait for an engine's thread that never comes back: they begin first.
LONGEST = ("left_behind", "lost_child", "raises", "kept", "twin")


def each(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    """The tests of a suite."""
    found: list[unittest.TestCase] = []
    for part in suite:
        found += each(part) if isinstance(part, unittest.TestSuite) else [part]
    return found


def jobs() -> list[str]:
    """What runs in a process of its own: a test of the program, or a module of tests that need none."""
    loader = unittest.TestLoader()
    tests = each(loader.discover("."))
    if loader.errors:
        sys.exit("\n".join(loader.errors))
    whole = {type(test).__module__ for test in tests if not isinstance(test, ProgramTest)}
    alone = [test.id() for test in tests if type(test).__module__ not in whole]
    return sorted([*whole, *alone], key=lambda name: not any(word in name for word in LONGEST))


def run(name: str) -> tuple[str, float, subprocess.CompletedProcess]:
    """One job to its end."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "unittest", name], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return name, time.monotonic() - begun, done


def main() -> int:
    """Runs everything; 1 where something fails."""
    begun = time.monotonic()
    failed, count, longest = [], Counter(), ("", 0.0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for job in as_completed([pool.submit(run, name) for name in jobs()]):
            name, took, done = job.result()
            count[name.split(".")[0]] += 1
            longest = max(longest, (name, took), key=lambda it: it[1])
            if done.returncode != 0:
                failed.append(name)
                print(done.stderr, file=sys.stderr)
    print(", ".join(f"{module} {number}" for module, number in sorted(count.items())))
    print(f"{sum(count.values())} jobs in {time.monotonic() - begun:.0f} s; the longest: {longest[0]}, {longest[1]:.0f} s")
    for name in failed:
        print(f"FAILED {name}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
