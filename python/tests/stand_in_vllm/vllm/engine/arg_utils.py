"""STAND-IN: arguments of an engine."""

import argparse
import dataclasses
import json
from dataclasses import dataclass


@dataclass
class EngineArgs:
    model: str
    max_model_len: int = -1
    max_num_seqs: int = 128
    max_num_batched_tokens: int = 2048
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    enforce_eager: bool = False
    num_gpu_blocks_override: int | None = None
    block_size: int = 16
    disable_log_stats: bool = False
    enable_logging_iteration_details: bool = False
    async_scheduling: bool = False
    kv_events_config: dict | None = None
    dtype: str = "auto"
    # Played by the stand-in alone: tokens that one iteration gives of a request; the iteration that fails or preempts.
    stand_in_tokens: int = 1
    stand_in_fails_at: int = 0
    stand_in_preempts_at: int = 0
    stand_in_aborts_at: int = 0
    stand_in_block_size: int = 0

    @staticmethod
    def add_cli_args(parser):
        for field in dataclasses.fields(EngineArgs):
            flag = f"--{field.name.replace('_', '-')}"
            if field.name == "disable_log_stats":
                parser.add_argument(flag, action="store_true")
            elif field.type is bool:
                parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default)
            else:
                default = None if field.default is dataclasses.MISSING else field.default
                parser.add_argument(flag, type=json.loads if "dict" in str(field.type) else str if field.type is str else int, default=default)
        return parser

    @classmethod
    def from_cli_args(cls, args):
        return cls(**{field.name: getattr(args, field.name) for field in dataclasses.fields(cls)})
