"""STAND-IN: makes requests."""

import copy
import itertools

from vllm.v1.engine import EngineCoreRequest

SUFFIXES = itertools.count(0xB8D0DDC4)


class InputProcessor:
    def process_inputs(self, request_id, prompt, params, supported_tasks, arrival_time=None):
        assert supported_tasks == ("generate",)
        assert prompt["type"] == "token"
        return EngineCoreRequest(request_id, prompt["prompt_token_ids"], copy.copy(params))

    @staticmethod
    def assign_request_id(request):
        request.external_req_id = request.request_id
        request.request_id = f"{request.request_id}-{next(SUFFIXES):x}"
