"""STAND-IN: responses."""

import pickle
from dataclasses import dataclass


class LlmResult:
    """What the engine hands over is serialized until somebody asks for it."""

    def __init__(self, result, is_final=False):
        self._result = pickle.dumps(result)
        self.is_final = is_final

    def deserialize(self):
        self._result = pickle.loads(self._result)

    def __getattr__(self, item):
        return getattr(object.__getattribute__(self, "_result"), item)


@dataclass
class LlmResponse:
    request_id: int
    error_msg: str | None = None
    result: LlmResult | None = None
    client_id: int | None = None
