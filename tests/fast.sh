#!/usr/bin/env bash
# The tests that answer soonest after a change: floors, unit tests, and the contract that every target keeps.
set -euo pipefail
cd "$(dirname "$0")/.."
export CANDLE_NUM_THREADS=1
cargo test --quiet --lib --test floors -- --test-threads=2
cargo test --quiet --test hermetic target_contract -- --test-threads=2
