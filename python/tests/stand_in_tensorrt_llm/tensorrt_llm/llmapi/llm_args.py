"""STAND-IN: arguments of `LLM`."""


class TorchLlmArgs:
    model: str
    max_seq_len: int = None
    max_batch_size: int = 8
    max_num_tokens: int = 256
    enable_chunked_prefill: bool = False
    kv_cache_config: object = None
    cuda_graph_config: object = None
    stream_interval: int = 1
    enable_iter_perf_stats: bool = False
    return_perf_metrics: bool = False
    disable_overlap_scheduler: bool = False
    load_format: str = None
    backend: str = "pytorch"
    # Played by the stand-in alone.
    stand_in_fails_at: int = 0
    stand_in_error_at: int = 0
    stand_in_fatal_at: int = 0

    # As pydantic makes them of the fields.
    model_fields = {name: None for name in list(__annotations__)}

    def __init__(self, **given):
        for name in self.model_fields:
            setattr(self, name, given.get(name, getattr(type(self), name, None)))


class KvCacheConfig:
    enable_block_reuse: bool = True
    enable_partial_reuse: bool = True
    max_tokens: int = None

    def __init__(self, **given):
        self.given = given


class CudaGraphConfig:
    def __init__(self, **given):
        self.given = given
