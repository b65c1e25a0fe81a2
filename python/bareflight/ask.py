"""One question to this environment, asked by a bareflight of another one: what an engine is, how it is served, what opens it here.

Standard input has the question as JSON (`ask`, `module`, `model`, `settings`, and `name` where it is served), standard output the
answer: `version` of this bareflight, `interpreter`, whether it is an answer (`answered`), and its `text`.
"""

from __future__ import annotations

import json
import os
import signal
import sys


def answer(question: dict, version: str) -> dict:
    """The answer to one question; a refusal is one too."""
    from bareflight import host

    told = (question["module"], question["model"], question["settings"])
    if question["ask"] == "describe":
        answered, text = host.describe(*told)
    elif question["ask"] == "served":
        answered, text = host.served(*told, question["name"])
    elif question["ask"] == "version":
        answered, text = True, ""
    else:
        answered, text = False, f"bareflight {version} of `{sys.executable}` does not know the question `{question['ask']}`"
    return {"version": version, "interpreter": sys.executable, "answered": answered, "text": text}


def main() -> None:
    """Asks, with standard output kept for the answer."""
    from bareflight import _native
    from bareflight.__main__ import keep_results, set_environment

    results = keep_results()
    set_environment()
    # As the program itself has it: an engine that changes it is refused.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    said = answer(json.load(sys.stdin), _native.version)
    sys.stdout.flush()
    with os.fdopen(results, "w") as to:
        json.dump(said, to)


if __name__ == "__main__":
    main()
