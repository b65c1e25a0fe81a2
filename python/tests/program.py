"""The program under test: runs `python -m bareflight` and reads what it wrote."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

PROGRAM = [sys.executable, "-m", "bareflight"]
#: Longer than anything here takes on a machine that does other things too.
DEADLINE_S = 120


class Ended:
    """A run that has ended."""

    def __init__(self, code: int, out: str, told: str, folder: Path) -> None:
        self.code = code
        self.out = out
        self.told = told
        self.folder = folder

    def __str__(self) -> str:
        return f"code {self.code}\n{self.out}\n{self.told}"

    def read(self, name: str) -> str:
        """A file of the run's directory."""
        found = list(self.folder.glob(f"*/{name}"))
        assert len(found) == 1, f"{found}: {self}"
        return found[0].read_text()

    def directory(self) -> Path:
        """The run's directory."""
        (found,) = self.folder.iterdir()
        return found

    def json(self, name: str) -> dict:
        """A JSON file of the run's directory."""
        return json.loads(self.read(name))

    def counts(self) -> dict:
        """Counts of the only point."""
        (point,) = self.json("summary.json")["points"]
        return point["counts"]

    def engine(self) -> dict:
        """What the adapter and the host say of the engine."""
        return self.json("manifest.json")["target"]["details"]["engine"]

    def requests(self) -> list[dict[str, str]]:
        """Measured requests that were sent."""
        rows = csv.DictReader(self.read("requests.csv").splitlines())
        return [row for row in rows if row["part"] == "measured" and row["outcome"] != "not_sent"]


class ProgramTest(unittest.TestCase):
    """A test that runs the program in a folder of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def begin(self, *arguments: str, **settings: object) -> subprocess.Popen:
        """Starts the program, in a process group of its own."""
        child = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            start_new_session=True,
            **settings,
        )
        self.addCleanup(end_group, child)
        return child

    def end(self, child: subprocess.Popen) -> Ended:
        """Waits for its end."""
        out, told = child.communicate(timeout=DEADLINE_S)
        return Ended(child.returncode, out, told, self.folder / "runs")

    def program(self, *arguments: str, **settings: object) -> Ended:
        """Runs the program to its end."""
        return self.end(self.begin(*arguments, **settings))

    def measure(self, options: str, *arguments: str, **settings: object) -> Ended:
        """Runs a measurement of the fake engine with these options."""
        return self.end(self.begin_measure(options, *arguments, **settings))

    def begin_measure(self, options: str, *arguments: str, **settings: object) -> subprocess.Popen:
        """Starts a measurement of the fake engine with these options."""
        target = f"py:bareflight.fake,{options}"
        load = () if {"--concurrency", "--rate", "--batch"} & set(arguments) else ("--concurrency", "2")
        shape = () if "--scenario" in arguments else ("--scenario", "D(16,8)")
        return self.begin("run", "--out", "runs", "--target", target, *load, *shape, *arguments, **settings)

    def wait_for_requests(self, child: subprocess.Popen, number: int) -> None:
        """Until so many requests have ended."""
        self.wait_for(child, "requests.partial.csv", lambda text: text.count("\n") > number)

    def wait_for(self, child: subprocess.Popen, name: str, holds: Callable[[str], bool]) -> None:
        """Until a file of the run's directory has come so far."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until and child.poll() is None:
            if any(holds(path.read_text()) for path in self.folder.glob(f"runs/*/{name}")):
                return
            time.sleep(0.005)
        self.fail(f"`{name}` did not come so far")


def end_group(child: subprocess.Popen) -> None:
    """Leaves nothing behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()
