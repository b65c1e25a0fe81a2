#!/usr/bin/env bash
# Does the program work with its features? `trtllm` against an installation made of our simulated executor: discovered, compiled,
# linked, loaded, run; with and without mpirun; `parquet` and `mpi` with it. One build has all, since each costs minutes.
#   features.sh [lint]     lint: lints and documentation with the features, instead of claims
# `upload` and `png` bring 130 crates, whose code would take minutes to make: lints check their types here, and their claims are run by
# hand (docs/TESTING.md).
set -euo pipefail
cd "$(dirname "$0")/.."

TRTLLM_ROOT=${CARGO_TARGET_DIR:-target}/simulated-trtllm
bash tests/simulated_installation/make.sh "$TRTLLM_ROOT"
TRTLLM_ROOT=$(cd "$TRTLLM_ROOT" && pwd)
export TRTLLM_ROOT CUDA_HOME=$TRTLLM_ROOT/cuda

if [ "${1:-}" = lint ]; then
    cargo clippy --lib --bins --test features --test hermetic --features trtllm,parquet,mpi,upload,png --quiet -- -D warnings
    RUSTDOCFLAGS="-D warnings" exec cargo doc --workspace --no-deps --features bareflight/trtllm,bareflight/parquet,bareflight/mpi --quiet
fi
cargo test --quiet --features trtllm,parquet,mpi --test features -- --test-threads=2
