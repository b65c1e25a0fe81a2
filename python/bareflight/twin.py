"""The twin of an engine: the same engine with the same settings behind its own server."""

from __future__ import annotations

import sys
from typing import NamedTuple


class Twin(NamedTuple):
    """What starts a twin. Nothing has been started or written."""

    #: The command.
    argv: list[str]
    #: Variables over those of this process.
    env: dict[str, str]
    #: Files that the command reads: path and text.
    files: dict[str, str]
    #: How an `openai:` target asks it, as settings of a run: `endpoint`, `model`, `vocab_size`, `extra_inputs`. With token ids as
    #: prompts (`endpoint` is `completions`) and ids of its output where it has them, equal work is proved by hashes of tokens.
    ask: dict[str, str | int]


def module_command(module: str, *words: str) -> list[str]:
    """A command that runs a module in the Python of this process."""
    return [sys.executable, "-m", module, *words]
