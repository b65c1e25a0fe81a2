"""Claims about the look at a library's sources."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from bareflight import source_check
from bareflight.signatures import Needed

HERE = Path(__file__).resolve().parent
SOURCES = {
    "lib/__init__.py": "from .core import Engine as LLM\nfrom .parts import *\n_LAZY = {'Late': '.late:Late'}\n",
    "lib/core.py": (
        "from lib.base import Base\n"
        "class Engine(Base):\n"
        "    def step(self, wait, *, most=1): ...\n"
        "    def anything(self, **options): ...\n"
    ),
    "lib/base.py": (
        "try:\n    import fast\nexcept ImportError:\n    fast = None\n"
        "class Base:\n    size: int\n"
        "    def __init__(self, model):\n        self.model, self._queue = model, []\n"
        "    def close(self): ...\n"
    ),
    "lib/parts.py": "if True:\n    class Part:\n        number: int\n",
    "lib/late.py": "class Late: ...\n",
    "lib/version.py": '__version__ = "1.2.3rc4"\n',
}


class SourceCheck(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name, text in SOURCES.items():
            path = Path(folder.name, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def fault(self, *need: object, **more: object) -> str | None:
        return source_check.fault_of(source_check.Sources(self.folder), Needed(*need, **more))

    def test_imports_and_base_classes_are_followed(self) -> None:
        self.assertIsNone(self.fault("lib:LLM.step", ("wait", "most")))
        self.assertIsNone(self.fault("lib:LLM.close"))
        self.assertIsNone(self.fault("lib:LLM", ("model",)))
        self.assertIsNone(self.fault("lib:LLM", fields=("model", "_queue", "size", "step")))
        self.assertIsNone(self.fault("lib:Part", fields=("number",)))
        self.assertIsNone(self.fault("lib:Late"))
        self.assertIsNone(self.fault("lib:LLM.anything", ("whatever",)))
        self.assertIsNone(self.fault("lib.gone:LLM|lib.core:Engine"))

    def test_what_moved_is_named(self) -> None:
        self.assertEqual(self.fault("lib:LLM.step", ("wait", "least")), "takes no least")
        self.assertEqual(self.fault("lib:LLM", fields=("engine",)), "has no field engine")
        self.assertEqual(self.fault("lib:LLM.run"), "is not there")
        self.assertEqual(self.fault("lib.gone:LLM"), "is not there")

    def test_the_version_is_read(self) -> None:
        self.assertEqual(source_check.version_of(self.folder, "lib"), "1.2.3rc4")

    def test_the_stand_ins_have_what_the_adapters_use(self) -> None:
        for adapter in ("vllm", "trtllm-torch"):
            folder = HERE / f"stand_in_{source_check.ADAPTERS[adapter][0]}"
            self.assertEqual(source_check.check(adapter, str(folder))[0], 0, source_check.check(adapter, str(folder)))

    def test_a_folder_without_the_library_is_no_success(self) -> None:
        lost, lines = source_check.check("vllm", self.folder)
        self.assertEqual(lost, 1)
        self.assertIn("name a checkout", lines[0])


if __name__ == "__main__":
    unittest.main()
