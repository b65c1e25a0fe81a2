#!/usr/bin/env bash
# The main job, from nothing: builds bareflight and benchmarks the embedded engine in this process. No GPU, no download.
# Arguments are handed to `bareflight run`.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/setup build
cargo build --release --locked
exec target/release/bareflight run "$@"
