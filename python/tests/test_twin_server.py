"""Tests of the process of a twin, with a STAND-IN server of the standard library.

    python -m unittest discover -s python/tests
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bareflight import twin_server  # noqa: E402
from bareflight.twin import Twin  # noqa: E402

#: Answers `/health` on the port that it is given, has a child, and tells the child's number and what it read.
SERVER = """
import http.server, os, subprocess, sys
port, told, read = sys.argv[1:4]
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(told + ".part", "w").write(f"{child.pid} {open(read).read()} {os.environ['TWIN_VARIABLE']}")
os.rename(told + ".part", told)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""
DIES = "import sys; print('no memory for the KV cache'); sys.exit(7)"


def is_alive(number: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TwinProcess(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def server(self, port: int) -> twin_server.TwinServer:
        told, read = os.path.join(self.folder, "told"), os.path.join(self.folder, "settings.json")
        argv = [sys.executable, "-c", SERVER, str(port), told, read]
        twin = Twin(argv, {"TWIN_VARIABLE": "set"}, {read: "written"}, {"endpoint": "completions", "model": "twin"})
        return twin_server.TwinServer(twin, f"http://127.0.0.1:{port}", os.path.join(self.folder, "twin.log"))

    def test_it_is_waited_for_and_ends_with_all_that_it_started(self):
        with self.server(twin_server.free_port()) as server:
            server.wait(60)
            child, read, variable = Path(self.folder, "told").read_text().split()
            self.assertEqual((read, variable), ("written", "set"))
            self.assertTrue(is_alive(int(child)))
        self.assertIsNotNone(server.process.returncode)
        until = time.monotonic() + 60
        while is_alive(int(child)) and time.monotonic() < until:
            time.sleep(0.01)
        self.assertFalse(is_alive(int(child)))
        server.end()

    def test_a_twin_that_dies_is_named_with_its_last_words(self):
        twin = Twin([sys.executable, "-c", DIES], {}, {}, {"model": "twin"})
        with twin_server.TwinServer(twin, "http://127.0.0.1:1", os.path.join(self.folder, "twin.log")) as server:
            with self.assertRaisesRegex(twin_server.TwinFailed, "ended with 7.*\n.*no memory for the KV cache"):
                server.wait(60)

    def test_a_twin_that_is_never_ready_is_given_up(self):
        twin = Twin([sys.executable, "-c", "import time; time.sleep(600)"], {}, {}, {"model": "twin"})
        port = twin_server.free_port()
        with twin_server.TwinServer(twin, f"http://127.0.0.1:{port}", os.path.join(self.folder, "twin.log")) as server:
            with self.assertRaisesRegex(twin_server.TwinFailed, "not ready after 0 s"):
                server.wait(0)

    def test_a_command_gets_the_twins_address_and_the_settings_that_ask_it(self):
        server = mock.Mock(url="http://127.0.0.1:9")
        server.twin.ask = {"endpoint": "completions", "model": "twin", "vocab_size": 8192, "extra_inputs": '{"a":true}'}
        words = twin_server.filled(["run", "--target", "openai:{url}", "--model", "{model}", "{set:B}"], server)
        self.assertEqual(words[:5], ["run", "--target", "openai:http://127.0.0.1:9", "--model", "twin"])
        self.assertEqual(words[5::2], ["--set"] * 4)
        self.assertEqual(
            words[6::2],
            ['B:endpoint="completions"', 'B:model="twin"', "B:vocab_size=8192", 'B:extra_inputs="{\\"a\\":true}"'],
        )

    def test_the_command_returns_what_its_command_returns_and_names_what_it_cannot_do(self):
        def start(module, model, settings, folder):
            self.assertEqual((module, model), ("bareflight.vllm_adapter", "/m"))
            self.assertEqual(settings["options"], {"a": "1", "b": "2"})
            self.assertEqual((settings["kv_tokens"], settings["kv_reuse"]), (64, False))
            return self.server(twin_server.free_port())

        words = ["twin_server", "vllm:/m,a=1", "--kv-tokens", "64", "--engine-arg", "b=2", "--"]
        with mock.patch.object(twin_server, "start", start), contextlib.redirect_stderr(io.StringIO()):
            for code in (0, 6):
                with mock.patch.object(sys, "argv", [*words, sys.executable, "-c", f"raise SystemExit({code})"]):
                    self.assertEqual(twin_server.main(), code)
        said = io.StringIO()
        with mock.patch.object(sys, "argv", ["twin_server", "null:", "--", "true"]), contextlib.redirect_stderr(said):
            with self.assertRaises(SystemExit):
                twin_server.main()
        self.assertIn("has no twin", said.getvalue())


if __name__ == "__main__":
    unittest.main()
