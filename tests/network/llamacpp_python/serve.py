#!/usr/bin/env python3
"""Runs llama.cpp's own HTTP server (from the wheel xllamacpp) on a tiny random model.

Prints one line, READY url=http://HOST:PORT, and serves until its standard input is closed.
"""
import argparse
import os
import pathlib
import socket
import sys
import tempfile

import xllamacpp

import tiny_model

SLOTS = 8


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def parameters(model, pooling, context, port):
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(model)
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = port or free_port()
    wanted.endpoint_metrics = True
    wanted.n_parallel, wanted.n_ctx, wanted.cont_batching = SLOTS, SLOTS * context, True
    # More threads wait for each other by spinning.
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    wanted.n_gpu_layers = 0
    wanted.offline = True
    wanted.fit_params = False
    wanted.verbosity = 1
    wanted.embedding = pooling is not None
    if pooling is not None:
        wanted.pooling_type = pooling
    wanted.model_alias = {"tiny"}
    return wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embeddings", action="store_true")
    parser.add_argument("--rerank", action="store_true")
    parser.add_argument("--characters", action="store_true", help="each word is one character and one token")
    parser.add_argument("--context", type=int, default=512, help="tokens of each of %d slots" % SLOTS)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bareflight-llamacpp-") as folder:
        model = pathlib.Path(folder) / "tiny.gguf"
        tiny_model.write(model, ranks=options.rerank, characters=options.characters)
        kinds = xllamacpp.llama_pooling_type
        pooling = (kinds.LLAMA_POOLING_TYPE_RANK if options.rerank
                   else kinds.LLAMA_POOLING_TYPE_MEAN if options.embeddings else None)
        server = xllamacpp.Server(parameters(model, pooling, options.context, options.port))
    print("READY url=%s" % server.listening_address, flush=True)
    sys.stdin.read()
    # Its threads would keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
