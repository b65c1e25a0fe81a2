"""Process of a twin: the same engine with the same settings behind its own server, started, waited for, ended.

    python -m bareflight.twin_server vllm:MODEL_DIR[,KEY=VALUE…] [FLAGS] -- COMMAND WORD…

starts the twin, runs the command, in which `{url}`, `{model}` and `{set:SIDE}` stand for the twin's address, its model's name and
the `--set` words that make a side of a comparison ask it, and ends the twin.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any

from bareflight import host
from bareflight.adapter import Refused
from bareflight.twin import Twin

#: Where adapters are, by kind of target.
MODULES = {"vllm": "bareflight.vllm_adapter", "trtllm-torch": "bareflight.trtllm_torch_adapter"}
#: The name under which the twin serves its model, where its server lets us choose.
NAME = "twin"
#: How long a server may take until it is ready, and after it was told to end.
READY_S, END_S = 600.0, 20.0
LOOK_S = 0.25
LOG_LINES = 15


class TwinFailed(Exception):
    """The twin could not be started; the words are for the user."""


class TwinServer:
    """A running twin. Its process leads a group of its own, since an engine's children outlive a killed server."""

    def __init__(self, twin: Twin, url: str, log: str) -> None:
        self.twin, self.url, self.log = twin, url, log
        for path, text in twin.files.items():
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                twin.argv,
                env={**os.environ, **twin.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> TwinServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def wait(self, patience_s: float = READY_S) -> None:
        """Waits until it answers."""
        until = time.monotonic() + patience_s
        while not self.answers():
            if self.process.poll() is not None:
                raise TwinFailed(f"the twin ended with {self.process.returncode} before it was ready:\n{self.last_lines()}")
            if time.monotonic() > until:
                raise TwinFailed(f"the twin was not ready after {patience_s:.0f} s; its log is {self.log}:\n{self.last_lines()}")
            time.sleep(LOOK_S)

    def answers(self) -> bool:
        """Whether it says that it is well."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def last_lines(self) -> str:
        """The last lines of its log."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-LOG_LINES:])

    def end(self) -> None:
        """Ends it and all that it started: asks first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:  # All of them are gone.
                break
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(module: str, model: str, settings: dict[str, Any], folder: str) -> TwinServer:
    """Starts the twin of an engine; what it needs and writes lies in `folder`."""
    adapter = host.find(module)
    host.check_settings(adapter, settings)
    port = free_port()
    twin = adapter.served(model, settings, port, NAME, folder)  # type: ignore[attr-defined]
    return TwinServer(twin, f"http://127.0.0.1:{port}", os.path.join(folder, "twin.log"))


def set_words(side: str, ask: dict[str, str | int]) -> list[str]:
    """Words of a command line that make a side of a comparison ask the twin."""
    words = []
    for name, value in ask.items():
        quoted = value.replace('"', '\\"') if isinstance(value, str) else value
        words += ["--set", f'{side}:{name}="{quoted}"' if isinstance(value, str) else f"{side}:{name}={value}"]
    return words


def filled(command: list[str], server: TwinServer) -> list[str]:
    """A command with the twin's address and name in it."""
    words = []
    for word in command:
        if word.startswith("{set:") and word.endswith("}"):
            words += set_words(word[5:-1], server.twin.ask)
        else:
            words.append(word.replace("{url}", server.url).replace("{model}", str(server.twin.ask["model"])))
    return words


def settings_of(arguments: argparse.Namespace, options: dict[str, str]) -> dict[str, Any]:
    """Settings of a run from flags of the command line."""
    said = {name: getattr(arguments, name) for name in ("max_batch_size", "max_num_tokens", "kv_reuse", "kv_tokens")}
    engine = dict(word.split("=", 1) for word in arguments.engine_arg)
    return {**host.DEFAULTS, **said, "iteration_stats": True, "engine_stamps": True, "options": {**options, **engine}}


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bareflight.twin_server", description=__doc__.splitlines()[0])
    parser.add_argument("target", help="`vllm:MODEL_DIR` or `trtllm-torch:MODEL`, with options as in the run")
    parser.add_argument("--max-batch-size", type=int)
    parser.add_argument("--max-num-tokens", type=int)
    parser.add_argument("--kv-tokens", type=int)
    parser.add_argument("--kv-reuse", action="store_true")
    parser.add_argument("--engine-arg", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="runs while the twin is up; after `--`")
    arguments = parser.parse_args()
    kind, _, rest = arguments.target.partition(":")
    if kind not in MODULES:
        parser.error(f"`{arguments.target}` has no twin: use {' or '.join(f'{name}:MODEL' for name in MODULES)}")
    model, *words = rest.split(",")
    settings = settings_of(arguments, dict(word.split("=", 1) for word in words))
    with tempfile.TemporaryDirectory(prefix="bareflight-twin-") as folder:
        try:
            with start(MODULES[kind], model, settings, folder) as server:
                print(f"twin: {' '.join(server.twin.argv)}", file=sys.stderr)
                server.wait()
                print(f"twin: ready at {server.url}", file=sys.stderr)
                return subprocess.run(filled(arguments.command, server), check=False).returncode
        except (TwinFailed, Refused, ValueError) as refusal:
            print(f"twin: {refusal}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
