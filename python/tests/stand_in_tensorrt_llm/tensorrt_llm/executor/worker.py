"""STAND-IN: the worker that holds an engine in this process."""

import json
from types import SimpleNamespace

from tensorrt_llm._torch.pyexecutor.py_executor import PyExecutor


class GenerationExecutorWorker:
    def __init__(self, args):
        self.max_seq_len = args.max_seq_len
        self.engine = PyExecutor(args)

    def _enqueue_request(self, request, result_wait_queue=None):
        params = request.sampling_params
        most = min(params.max_tokens, self.max_seq_len - len(request.prompt_token_ids))
        executor_request = SimpleNamespace(
            client_id=request.id,
            input_token_ids=request.prompt_token_ids,
            max_tokens=most,
            streaming=request.streaming,
            end_id=-1 if params.ignore_eos else params.end_id,
            py_original_end_id=params.end_id,
            sampling=params,
        )
        return self.engine.enqueue_request(executor_request)

    @staticmethod
    def _stats_serializer(stats):
        return json.dumps(stats[0])

    def shutdown(self):
        self.engine.shutdown()
