"""Entry point of the program that Python holds: takes standard output, sets the environment, then Rust's main runs without the GIL."""

import os
import signal
import sys

# Set before any engine is imported; what the user has set stands.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "TLLM_WORKER_USE_SINGLE_PROCESS": "1",
    "TLLM_NUMA_AWARE_WORKER_AFFINITY": "0",
}


def run() -> int:
    """Runs the program with the arguments of this process; returns its exit code."""
    from bareflight import _native, check, host

    if sys.argv[1:2] == ["adapter"]:
        return check.main(sys.argv[2:])
    # Engines, their C++ and their children print to standard error; results alone go to the real standard output.
    results = os.dup(1)
    os.dup2(2, 1)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Rust chains its handlers to what it finds, and Python's would raise KeyboardInterrupt at the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-m", "bareflight"]
    return _native.main(["bareflight", *sys.argv[1:]], command, results, host)


if __name__ == "__main__":
    sys.exit(run())
