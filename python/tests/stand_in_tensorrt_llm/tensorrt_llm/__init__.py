"""STAND-IN for TensorRT-LLM: see README.md beside this package."""

from dataclasses import dataclass

from tensorrt_llm.executor.worker import GenerationExecutorWorker
from tensorrt_llm.llmapi.llm_args import TorchLlmArgs


@dataclass
class SamplingParams:
    max_tokens: int = 32
    min_tokens: int | None = None
    ignore_eos: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    detokenize: bool = True
    return_perf_metrics: bool = False
    end_id: int | None = None


class LLM:
    def __init__(self, model, **arguments):
        for name in arguments:
            if name not in TorchLlmArgs.model_fields:
                raise ValueError(f"{name}: Extra inputs are not permitted")
        self.args = TorchLlmArgs(model=model, **arguments)
        self._executor = GenerationExecutorWorker(self.args)

    def _prepare_sampling_params(self, sampling_params=None):
        sampling_params.end_id = 2
        return sampling_params

    def shutdown(self):
        self._executor.shutdown()
        self._executor = None
