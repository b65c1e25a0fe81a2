#!/usr/bin/env bash
# Everything that must hold: format, lints, documentation, every test, the C++ side under sanitizers, the main job.
# Sets up what it needs first. Prints the seconds of each step.
set -euo pipefail
cd "$(dirname "$0")/.."

last=0
step() {
    printf '\n== %s  (%s s so far, %s s for the step before)\n' "$1" "$SECONDS" "$((SECONDS - last))"
    last=$SECONDS
}
logs=target/all
mkdir -p "$logs"
# Waits for a job that ran beside others, and shows what it printed where it failed.
finish() { # NAME PROCESS
    wait "$2" || { cat "$logs/$1.log"; echo "$1 failed" >&2; exit 1; }
}

step "setup"
.ci/setup test
# What the network suite needs is fetched while the tests are compiled.
if [ "${BAREFLIGHT_SKIP_NETWORK:-}" != 1 ]; then
    bash tests/network/environment.sh "${CARGO_TARGET_DIR:-target}/tmp" >"$logs/environment.log" 2>&1 &
    environment=$!
fi

step "format"
cargo fmt --all --check
find cpp tests/cpp \( -name '*.cc' -o -name '*.h' \) -exec clang-format --dry-run --Werror {} +
shellcheck examples/slurm/*.sbatch tests/*.sh tests/network/*.sh .ci/run .ci/setup

# The embedded engine's arithmetic threads wait by spinning; on a machine that tests share, one is fastest.
export CANDLE_NUM_THREADS=1
# Every build here is the first one or the only one: what is kept for the next would cost time and disk.
export CARGO_INCREMENTAL=0

step "build of the tests"
cargo test --workspace --quiet --no-run
if [ -n "${environment:-}" ]; then
    finish environment "$environment"
fi

step "tests"
cargo test --workspace --quiet -- --test-threads=2

step "engines in Python"
bash tests/python.sh

step "tests with the features trtllm, parquet and mpi"
bash tests/features.sh

step "lints and documentation, and the C++ side under sanitizers beside them"
bash tests/cpp/run.sh thread >"$logs/thread.log" 2>&1 &
thread=$!
cargo clippy --workspace --all-targets --quiet -- -D warnings
bash tests/features.sh lint
finish thread "$thread"
tail -n 1 "$logs/thread.log"
bash tests/cpp/run.sh address,undefined

step "the main job"
# A machine that tests share may be too busy for a valid measurement (exit code 4); everything else must hold.
# The binary that the tests ran: `cargo run` alone would build the dependencies once more, with other features.
"${CARGO_TARGET_DIR:-target}/debug/bareflight" run --target local:dummy-pico --concurrency 1,4 --requests 20 --scenario 'D(32,16)' \
    --out target/ci-runs || [ $? -eq 4 ]

step "done"
