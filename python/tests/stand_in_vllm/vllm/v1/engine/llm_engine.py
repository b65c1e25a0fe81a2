"""STAND-IN: the class that holds an engine core."""

from types import SimpleNamespace

from vllm.v1.engine.core_client import InprocClient
from vllm.v1.engine.input_processor import InputProcessor


class LLMEngine:
    def __init__(self, args):
        block = args.stand_in_block_size or args.block_size
        blocks = args.num_gpu_blocks_override or 4096
        self.vllm_config = SimpleNamespace(
            model_config=SimpleNamespace(
                max_model_len=args.max_model_len, dtype="torch.bfloat16", enforce_eager=args.enforce_eager
            ),
            cache_config=SimpleNamespace(
                block_size=block, num_gpu_blocks=blocks, enable_prefix_caching=args.enable_prefix_caching
            ),
            scheduler_config=SimpleNamespace(
                max_num_seqs=args.max_num_seqs,
                max_num_batched_tokens=args.max_num_batched_tokens,
                enable_chunked_prefill=args.enable_chunked_prefill,
                async_scheduling=args.async_scheduling,
            ),
        )
        self.input_processor = InputProcessor()
        self.engine_core = InprocClient(args, blocks)

    @classmethod
    def from_engine_args(cls, engine_args, usage_context=None, stat_loggers=None, enable_multiprocessing=False):
        assert not enable_multiprocessing, "the stand-in has no child process"
        return cls(engine_args)

    def get_supported_tasks(self):
        return ("generate",)
