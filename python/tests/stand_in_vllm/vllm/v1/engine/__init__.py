"""STAND-IN: what goes into an engine core and comes out of it."""

import enum
import time
from dataclasses import dataclass, field


class FinishReason(enum.IntEnum):
    STOP = 0
    LENGTH = 1
    ABORT = 2
    ERROR = 3
    REPETITION = 4

    def __str__(self):
        return ("stop", "length", "abort", "error", "repetition")[self.value]


class EngineCoreEventType(enum.IntEnum):
    QUEUED = 1
    SCHEDULED = 2
    PREEMPTED = 3


@dataclass
class EngineCoreEvent:
    type: EngineCoreEventType
    timestamp: float


@dataclass
class EngineCoreRequest:
    request_id: str
    prompt_token_ids: list
    sampling_params: object
    external_req_id: str | None = None


@dataclass
class EngineCoreOutput:
    request_id: str
    new_token_ids: list
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    events: list | None = None
    prefill_stats: object | None = None


@dataclass
class EngineCoreOutputs:
    outputs: list = field(default_factory=list)
    scheduler_stats: object | None = None
    timestamp: float = 0.0

    def __post_init__(self):
        self.timestamp = self.timestamp or time.monotonic()
