#!/usr/bin/env bash
# Does the program work with its features `trtllm`, `parquet` and `mpi`? The first against an installation made of our simulated
# executor: discovered, compiled, linked, loaded, run; with and without mpirun. One build has all, since each costs minutes.
#   features.sh [lint]     lint: lints and documentation with the features, instead of claims
set -euo pipefail
cd "$(dirname "$0")/.."

TRTLLM_ROOT=${CARGO_TARGET_DIR:-target}/simulated-trtllm
bash tests/simulated_installation/make.sh "$TRTLLM_ROOT"
TRTLLM_ROOT=$(cd "$TRTLLM_ROOT" && pwd)
export TRTLLM_ROOT CUDA_HOME=$TRTLLM_ROOT/cuda

if [ "${1:-}" = lint ]; then
    cargo clippy --lib --bins --test features --features trtllm,parquet,mpi --quiet -- -D warnings
    RUSTDOCFLAGS="-D warnings" exec cargo doc --workspace --no-deps --features bareflight/trtllm,bareflight/parquet,bareflight/mpi --quiet
fi
cargo test --quiet --features trtllm,parquet,mpi --test features -- --test-threads=2
