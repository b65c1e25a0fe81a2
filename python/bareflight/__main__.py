"""Entry point of the program that Python holds: takes standard output, sets the environment, then Rust's main runs without the GIL."""

from __future__ import annotations

import os
import signal
import sys
import threading

#: Set before any engine is imported; what the user has set stands.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "TLLM_WORKER_USE_SINGLE_PROCESS": "1",
    "TLLM_NUMA_AWARE_WORKER_AFFINITY": "0",
    "TRTLLM_NO_USAGE_STATS": "1",
}
#: How long threads that an engine has left may take to end.
PATIENCE_S = 5.0


def run() -> int:
    """Runs the program with the arguments of this process; returns its exit code."""
    from bareflight import _native, host

    results = keep_results()
    set_environment()
    # Rust chains its handlers to what it finds, and Python's would raise KeyboardInterrupt at the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-m", "bareflight"]
    code = _native.main(["bareflight", *sys.argv[1:]], command, results, host)
    end_threads(code)
    return code


def keep_results() -> int:
    """The real standard output, for results alone: engines, their C++ and their children print elsewhere from now on."""
    results = os.dup(1)
    os.dup2(2, 1)
    # A line must not wait in a buffer when the process is killed.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    return results


def set_environment() -> None:
    """Sets what the user has not set."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def end_threads(code: int) -> None:
    """Waits for threads that Python would wait for without end, and ends the process without those that stay."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(PATIENCE_S)
            if thread.is_alive():
                print(f"bareflight: the engine left its thread `{thread.name}`; the process ends without it", file=sys.stderr)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)


if __name__ == "__main__":
    sys.exit(run())
