"""STAND-IN: configurations."""

from tensorrt_llm.llmapi.llm_args import CudaGraphConfig, KvCacheConfig
