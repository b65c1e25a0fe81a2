#!/usr/bin/env bash
# Does the program work with the feature `parquet`? Workloads are read from Parquet and runs exported to it.
#   parquet_feature.sh [lint]     lint: lints with the feature, instead of claims
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = lint ]; then
    exec cargo clippy --lib --bins --test hermetic --features parquet --quiet -- -D warnings
fi
cargo test --quiet --features parquet --test hermetic parquet -- --test-threads=2
