#!/usr/bin/env bash
# Makes bindings.rs from tritonserver.h, or says whether the two agree.
#   bindings.sh            writes bindings.rs
#   bindings.sh --check    compares, and changes nothing
# Needs bindgen (`cargo install bindgen-cli --version 0.72.1`) and libclang, which `pip install libclang` brings too:
# LIBCLANG_PATH=.../site-packages/clang/native. No other build needs either.
# The wheel has no headers of its own, so that the C compiler's are used.
set -euo pipefail
cd "$(dirname "$0")"

made=$(mktemp)
trap 'rm -f "$made"' EXIT
bindgen tritonserver.h \
    --dynamic-loading TritonApi --dynamic-link-require-all \
    --allowlist-function 'TRITONSERVER_.*' --allowlist-type 'TRITONSERVER_.*' \
    --no-layout-tests --disable-header-comment --rust-edition 2024 --rust-target 1.88 \
    --raw-line '//! Which functions does Triton core export? Made by bindings.sh from tritonserver.h: change these, not this.' \
    --output "$made" -- -xc -std=c11 -isystem "$(cc -print-file-name=include)"
rustfmt --edition 2024 --config-path ../../rustfmt.toml "$made"

if [ "${1:-}" = --check ]; then
    diff -u bindings.rs "$made"
else
    cp "$made" bindings.rs
fi
