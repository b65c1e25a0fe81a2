"""STAND-IN: arguments of `LLM`."""


class TorchLlmArgs:
    model_fields = {
        "model": None,
        "max_seq_len": None,
        "max_batch_size": 8,
        "max_num_tokens": 256,
        "enable_chunked_prefill": False,
        "kv_cache_config": None,
        "cuda_graph_config": None,
        "stream_interval": 1,
        "enable_iter_perf_stats": False,
        "return_perf_metrics": False,
        "disable_overlap_scheduler": False,
        "backend": "pytorch",
        # Played by the stand-in alone.
        "stand_in_fails_at": 0,
        "stand_in_error_at": 0,
        "stand_in_fatal_at": 0,
    }

    def __init__(self, **given):
        for name, default in self.model_fields.items():
            setattr(self, name, given.get(name, default))
