"""Arguments of an engine that its users give as text, `key=value`: names, values, and the command line that they make."""

from __future__ import annotations

import json
from typing import Any

from bareflight.adapter import Refused

#: An argument of a command line: text, number, switch, or a JSON object.
Value = Any


def name_of(key: str) -> str:
    """The name of an argument as Python has it: `max-model-len` and `max_model_len` are one."""
    return key.strip().lstrip("-").replace("-", "_")


def value_of(text: str) -> Value:
    """The value that a text stands for: a switch, a number, a JSON object or list, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def given(settings: dict[str, Any], own: frozenset[str]) -> dict[str, Value]:
    """The engine's arguments of a run: `--engine-arg key=value`, and options after the target's name that are not `own`."""
    texts = {**settings.get("options", {}), **settings.get("engine_args", {})}
    return {name_of(key): value_of(text) for key, text in texts.items() if name_of(key) not in own}


def refuse_owned(arguments: dict[str, Value], owned: dict[str, str]) -> None:
    """Refuses arguments for which bareflight has a flag of its own."""
    for name in arguments:
        if name in owned:
            raise Refused(f"the engine's argument `{name}` is set by {owned[name]}: use that")


def argv_of(arguments: dict[str, Value]) -> list[str]:
    """A command line of arguments: `--name=value`, a switch as `--name` or `--no-name`, None left out."""
    argv = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if value is None:
            continue
        if value is True:
            argv.append(f"--{flag}")
        elif value is False:
            argv.append(f"--no-{flag}")
        elif isinstance(value, (dict, list)):
            argv.append(f"--{flag}={json.dumps(value)}")
        else:
            argv.append(f"--{flag}={value}")
    return argv
