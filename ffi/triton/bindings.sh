#!/bin/bash
# Makes bindings.rs from tritonserver.h. Needs bindgen (`cargo install bindgen-cli --version 0.72.1`) and libclang, which
# `pip install libclang` brings too: LIBCLANG_PATH=.../site-packages/clang/native. No other build needs either.
set -euo pipefail
cd "$(dirname "$0")"
bindgen tritonserver.h \
    --dynamic-loading TritonApi --dynamic-link-require-all \
    --allowlist-function 'TRITONSERVER_.*' --allowlist-type 'TRITONSERVER_.*' \
    --no-layout-tests --rust-edition 2024 --rust-target 1.88 \
    --raw-line '//! Which functions does Triton core export? Made by bindings.sh from tritonserver.h: change these, not this.' \
    --output bindings.rs -- -xc -std=c11 "$@"
