"""Conformance test of an adapter: `bareflight adapter check MODULE[,KEY=VALUE…]`.

The engine runs in a child process, so that one that hangs, crashes or ends its process is named too. The child says on a pipe
which method it calls next, and in the end what it found.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from bareflight import conformance, host

#: How long one call may take; opening an engine may read a large model.
PATIENCE_S = {"open": 3_600.0}
COMMON_PATIENCE_S = 90.0
#: Between two looks at a child that says nothing.
LOOK_S = 0.2


def check(module: str, model: str, options: dict[str, str], patience_s: float = COMMON_PATIENCE_S) -> tuple[bool, str]:
    """Whether an adapter keeps the contract, and what breaks it otherwise."""
    reads, writes = os.pipe()
    command = [sys.executable, "-m", "bareflight.check", module, model, json.dumps(options), str(writes)]
    try:
        # A session of its own, so that all that the engine starts can be ended with it.
        child = subprocess.Popen(command, pass_fds=[writes], stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    finally:
        os.close(writes)
    try:
        faults = listen(child, reads, patience_s)
    finally:
        os.close(reads)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdin.close()
    if faults:
        return False, "\n".join(f"{module}: {fault}" for fault in faults)
    return True, f"{module} keeps the contract: {conformance.REQUESTS} requests, one of them cancelled"


def listen(child: subprocess.Popen[bytes], reads: int, patience_s: float) -> list[str]:
    """What the child finds, or what becomes of it."""
    where, said, heard = "import", b"", time.monotonic()
    while True:
        has_ended = child.poll() is not None
        if select.select([reads], [], [], 0 if has_ended else LOOK_S)[0]:
            said += os.read(reads, 1 << 16)
            *lines, said = said.split(b"\n")
            for word in map(json.loads, lines):
                if "faults" in word:
                    return word["faults"]
                if word["where"].startswith("fork "):
                    return [f"`{word['where'].removeprefix('fork ')}` of the adapter forks a copy of the process that goes on with the work"]
                where, heard = word["where"], time.monotonic()
            if lines:
                continue
        if has_ended:
            return [f"the process ends {words_of(child.returncode)} in {place(where)}"]
        if time.monotonic() - heard > PATIENCE_S.get(where, patience_s):
            return [f"{place(where)} has not come back after {time.monotonic() - heard:.0f} s"]


def place(where: str) -> str:
    """A method, or the import of the module."""
    return "the import of the module" if where == "import" else f"`{where}` of the adapter"


def words_of(code: int) -> str:
    """How a process has ended."""
    if code >= 0:
        return f"with code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def run(module: str, model: str, options: dict[str, str], pipe: int) -> None:
    """The child: the same order of threads and signals as in a run."""
    lock = threading.Lock()

    def tell(word: dict[str, Any]) -> None:
        with lock:
            os.write(pipe, json.dumps(word).encode() + b"\n")

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_the_leading_process()
    faults = faults_of(module, model, options, lambda where: tell({"where": where}))
    tell({"faults": faults})
    # Whatever the engine has left must not keep the one who waits.
    os._exit(0)


def end_with_the_leading_process() -> None:
    """Ends this process and all that it has started when the leading process is gone: Ctrl-C reaches that one alone."""
    leading = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        os.read(leading, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="bf-leading", daemon=True).start()


def faults_of(module: str, model: str, options: dict[str, str], say: Any) -> list[str]:
    """What breaks the contract; empty where nothing does."""
    before = conformance.children_of_this_process()
    try:
        adapter = host.find(module)
        trial = conformance.Trial(adapter, model, options, say)
        trial.describe()
        if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
            return ["importing it takes over SIGINT, which ends a run in order: it must leave signals alone"]
    except conformance.Broken as broken:
        return [str(broken)]
    except BaseException as error:  # Whatever the import raises is the result.
        return [host.words_of(error, "import")]
    faults: list[str] = []

    def engine() -> None:
        try:
            trial.run()
        except conformance.Broken as broken:
            faults.append(str(broken))
        except BaseException as error:  # As above.
            faults.append(host.words_of(error, "a method"))

    thread = threading.Thread(target=engine, name="engine", daemon=True)
    thread.start()
    thread.join()
    return faults or conformance.left_behind(before)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]))
