"""Signatures of a library's functions that an adapter relies on, held against the installed library by `inspect`."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, NamedTuple


class Needed(NamedTuple):
    """A name that an adapter uses."""

    #: Module and name: ``package.module:Class.method``. Several, parted by ``|``: the first that is there counts.
    where: str
    #: Parameters that it passes by name, or that must be there.
    parameters: tuple[str, ...] = ()
    #: Fields that it reads of an object of that class.
    fields: tuple[str, ...] = ()
    #: What is lost without it; empty where the adapter cannot work at all.
    without: str = ""


class Moved(NamedTuple):
    """A name that is not as the adapter knows it."""

    where: str
    what: str
    #: What is lost; empty where the adapter cannot work at all.
    without: str


def find(where: str) -> Any:
    """The object of a name. Raises ImportError or AttributeError."""
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(module)
    for name in filter(None, path.split(".")):
        found = getattr(found, name)
    return found


def first_of(where: str) -> Any:
    """The first object of several names that is there. Raises AttributeError where none is."""
    missing = []
    for name in where.split("|"):
        try:
            return find(name)
        except (ImportError, AttributeError) as error:
            missing.append(f"{name} ({error})")
    raise AttributeError("; ".join(missing))


def moved(needed: list[Needed]) -> list[Moved]:
    """What is not as the adapter knows it."""
    faults = []
    for need in needed:
        try:
            found = first_of(need.where)
        except AttributeError as error:
            faults.append(Moved(need.where, f"is not there: {error}", need.without))
            continue
        if need.parameters and (gone := missing_parameters(found, need.parameters)):
            faults.append(Moved(need.where, f"takes no {', '.join(gone)}", need.without))
        if need.fields and (gone := missing_fields(found, need.fields)):
            faults.append(Moved(need.where, f"has no field {', '.join(gone)}", need.without))
    return faults


def missing_parameters(function: Any, names: tuple[str, ...]) -> list[str]:
    """Which of `names` a function does not take."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # Compiled code may have no signature; its first call will tell.
        return []
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return []
    return [name for name in names if name not in parameters]


def missing_fields(kind: Any, names: tuple[str, ...]) -> list[str]:
    """Which of `names` objects of a class do not have, as far as the class says."""
    known = set(dir(kind))
    for base in getattr(kind, "__mro__", (kind,)):
        known |= set(vars(base).get("__annotations__", {}))
    known |= set(getattr(kind, "__struct_fields__", ()))
    return [name for name in names if name not in known]


def takes(function: Any, name: str) -> bool:
    """Whether a function takes a parameter of that name."""
    return not missing_parameters(function, (name,))


def release_of(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: `0.32.0+cpu` gives (0, 32)."""
    numbers = []
    for part in version.split(".")[:2]:
        digits = "".join(character for character in part if character.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers)


def findings(library: str, version: str | None, known: tuple[str, ...], needed: list[Needed]) -> list[tuple[str, str]]:
    """Findings of an installed library: `ok`, `warn` or `fail`, each with a sentence."""
    if version is None:
        remedy = "start the `bareflight` of the environment that has it"
        return [("fail", f"{library} is not installed in this environment: {remedy}")]
    found = []
    faults = moved(needed)
    for fault in faults:
        lost = f"; without it: {fault.without}" if fault.without else ""
        words = f"{library} {version}: `{fault.where}` {fault.what}{lost}; the adapter knows {', '.join(known)}"
        found.append(("warn" if fault.without else "fail", words))
    if release_of(version) not in {release_of(each) for each in known}:
        words = f"{library} {version} is not among the versions that the adapter knows ({', '.join(known)}): try a short run first"
        found.append(("warn", words))
    if not faults:
        found.append(("ok", f"{library} {version}: all {len(needed)} names that the adapter uses are as it knows them"))
    return found


def print_findings(found: list[tuple[str, str]]) -> int:
    """Prints findings, one a line; returns 1 where one of them is a failure."""
    for status, words in found:
        print(f"{status}: {words}")
    return int(any(status == "fail" for status, _ in found))
