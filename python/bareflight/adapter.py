"""The contract between bareflight and an adapter: the public interface of `py:MODULE`.

A module that `py:MODULE` names has a class `Engine`, a subclass of :class:`Adapter`. bareflight calls it in this order:

1. ``Engine.describe(model, settings)`` on the main thread; nothing is loaded.
2. ``Engine()`` and ``open`` on the engine's own thread, and from then on everything on that thread.
3. ``prepare``, before the clock starts where the engine is idle, else between two steps.
4. ``add``, ``cancel`` between steps, and ``step`` for as long as ``busy()``.
5. ``close``.

Indices are bareflight's ids of requests; they are unique within a session. An exception in ``prepare`` or ``add`` refuses the
request; an exception in ``step`` or ``cancel`` is the end of the engine, and fails the run with its words. :class:`Refused` is
shown in its own words, any other exception with its type and place.

``settings`` has ``max_batch_size``, ``max_num_tokens``, ``max_queue_size``, ``kv_reuse``, ``kv_tokens``, ``chunked_context``,
``cuda_graphs``, ``kv_events`` (None where nobody set them: the engine's own way), ``iteration_stats``, ``engine_stamps`` (whether they are wanted), and ``options``, which has the texts of
``py:MODULE,KEY=VALUE`` and of ``--engine-arg KEY=VALUE``.

docs/PYTHON_ENGINES.md has a worked example; ``bareflight adapter check MODULE`` holds an adapter against this contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from bareflight.twin import Twin

#: What ended a request. Beside these, ``"error:WORDS"``.
REASONS = frozenset({"length", "stop", "stop_word", "cancelled", "timed_out"})


class Refused(Exception):
    """In `describe`, `open`, `prepare` or `add`: it cannot be used, in words for the user that name the remedy."""


class Request(NamedTuple):
    """A request to make ready."""

    index: int
    #: Token ids, ``u32``, little endian: ``array("I", prompt)`` or ``memoryview(prompt).cast("I")``.
    prompt: bytes
    max_tokens: int
    #: ``min_tokens``, ``ignore_eos``; with sampling ``temperature``, ``seed``, ``top_p``, ``top_k``.
    terms: dict[str, Any]


class Ended(NamedTuple):
    """The end of a request."""

    index: int
    #: One of :data:`REASONS`, or ``"error:WORDS"``.
    reason: str
    #: The engine's own stamps in ``time.monotonic_ns()``: arrival, first scheduled, first token, last token; each may be None.
    times: tuple[int | None, int | None, int | None, int | None] | None = None
    #: Its KV-cache blocks: in total, newly allocated, found in the cache, looked for and not found (None where unknown).
    blocks: tuple[int, int, int, int | None] | None = None


class Step(NamedTuple):
    """What one step of the engine gave."""

    #: ``time.monotonic_ns()`` right after the engine returned, before any loop over its outputs.
    at_ns: int
    #: Requests with output.
    ids: list[int]
    #: Tokens of each; empty for one token each.
    counts: list[int]
    #: All tokens, request by request.
    tokens: list[int]
    #: Requests that are over. Their last output comes in the same step or before, never after.
    ended: list[Ended]


class Adapter(ABC):
    """An engine, as bareflight drives it. Every method is called on one thread."""

    #: Settings that it honours, of ``max_batch_size``, ``max_num_tokens``, ``max_queue_size``, ``kv_reuse``, ``kv_tokens``,
    #: ``chunked_context``, ``cuda_graphs``, ``kv_events``. Others are refused by their names where the user sets them.
    SETTINGS: frozenset[str] = frozenset()
    #: Options (``py:MODULE,KEY=VALUE``, ``--engine-arg KEY=VALUE``) that it honours; None takes any.
    OPTIONS: frozenset[str] | None = frozenset()
    #: For ``sys.setswitchinterval`` while the engine is open: 1e-4 where a thread of the engine makes or stamps output. None
    #: leaves Python's.
    SWITCH_INTERVAL_S: float | None = None

    @classmethod
    @abstractmethod
    def describe(cls, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        """What it would open, cheaply: ``title`` (needed), ``limits`` (``max_prompt_tokens``, ``max_sequence_tokens``, ``vocab_size``,
        ``max_batch_size``, ``max_queue_size``), ``special_ids``, ``gpus``, ``simulated``, ``dummy_weights``, and ``details``: whatever
        the manifest should keep. Of these, tables and pages show ``driver_level``, ``child_processes``, ``stamps``, ``prepared`` and
        ``unproven`` (what nobody has tried), all text. An exception refuses the target with its words."""

    @classmethod
    def examine(cls) -> list[tuple[str, str]]:
        """What ``bareflight doctor --target`` says: ``ok``, ``warn`` or ``fail``, each with a sentence. Nothing is loaded."""
        return []

    @abstractmethod
    def open(self, model: str, settings: dict[str, Any]) -> dict[str, Any] | None:
        """Loads the engine. An exception refuses the target with its words. What it returns is kept in the manifest as ``opened``:
        what is known only now; the labels of ``details`` may stand there too, and count more."""

    @abstractmethod
    def prepare(self, requests: list[Request]) -> list[tuple[int, str]]:
        """Makes requests ready, so that ``add`` only hands them over. Returns which are refused, and why."""

    @abstractmethod
    def add(self, index: int) -> None:
        """Starts a request that was made ready."""

    @abstractmethod
    def cancel(self, index: int) -> bool:
        """Ends a request early. True: no word of it will follow, and bareflight ends it. False: its end follows in a step."""

    @abstractmethod
    def busy(self) -> bool:
        """Whether ``step`` has anything to do."""

    @abstractmethod
    def step(self) -> Step:
        """One iteration of the engine. It may return without output. New requests wait for its return."""

    def iterations(self) -> list[str]:
        """Statistics of iterations since the last call, each a JSON object with ``iteration``, ``at_ns``, ``latency_ns``, ``active``,
        ``queued``, ``completed`` and, or null, ``max_batch_size``, ``batch``, ``kv``. Called between steps, at most every 20 ms, and
        only where they are wanted."""
        return []

    def kv_events(self) -> list[str]:
        """What happened to blocks of the KV cache since the last call, each a JSON object of `kv_events.jsonl` without its instants
        (`bareflight.kv_events` makes them). Called as ``iterations``, and only where ``--kv-events`` asks for it: its number is the room
        of a buffer, where the engine has one."""
        return []

    @classmethod
    def release(cls) -> None:
        """After ``close``, when bareflight holds nothing of the engine any more: gives memory back that its library keeps for later."""

    @classmethod
    def served(cls, model: str, settings: dict[str, Any], port: str, name: str, folder: str) -> Twin:
        """How the same engine with the same settings is started behind its own server, for ``--serve-twin``. Nothing is started or
        written here. `port` and `folder` are texts that bareflight replaces later, in commands, variables and paths of files, so use them as they
        are; `name` is what the server may call its model."""
        raise Refused("its adapter does not say how its engine is served: give it a method `served` (docs/PYTHON_ENGINES.md)")

    def close(self) -> None:
        """Lets go of the engine. After 20 s the process ends without it."""
