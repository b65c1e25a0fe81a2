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
logs=${CARGO_TARGET_DIR:-target}/all
mkdir -p "$logs"
declare -A jobs
# Starts a job beside the steps, in a process group of its own, with a log.
beside() { # NAME COMMAND...
    set -m
    "${@:2}" >"$logs/$1.log" 2>&1 &
    set +m
    jobs[$1]=$!
}
# Waits for it, and shows what it printed where it failed.
finish() { # NAME
    local process=${jobs[$1]}
    unset "jobs[$1]"
    wait "$process" || { cat "$logs/$1.log"; echo "$1 failed" >&2; exit 1; }
}
end_jobs() {
    local process
    for process in "${jobs[@]}"; do
        kill -- "-$process" 2>/dev/null || true
    done
}
trap end_jobs EXIT

# From here on this job gets what others leave of the cores: a thread of a test that wakes up has its core at once, so that claims
# about time hold beside it (docs/TESTING.md says how that was tried).
give_way() { chrt --idle --pid 0 "$BASHPID"; }
build_sanitized() {
    give_way
    BUILD_ONLY=1 sh tests/cpp/run.sh thread
    BUILD_ONLY=1 sh tests/cpp/run.sh address,undefined
}
# As soon as the cargo that runs the tests has given the target folder back. Lints write no program: a build with features would put
# another one in the place of that which tests run.
lint() {
    until grep -q '^running' "$logs/tests.log"; do sleep 0.2; done
    give_way
    cargo clippy --workspace --all-targets --quiet -- -D warnings
    bash tests/features.sh lint
}

step "setup"
.ci/setup test
# What the network suite needs is fetched while the tests are compiled.
if [ "${BAREFLIGHT_SKIP_NETWORK:-}" != 1 ]; then
    beside environment bash tests/network/environment.sh "${CARGO_TARGET_DIR:-target}/tmp"
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
# With the module of Python, which no test of cargo asks for.
cargo build --workspace --lib --bins --tests --quiet
if [ -n "${jobs[environment]:-}" ]; then
    finish environment
fi
# A build with features makes the headers of the bridge anew while others read them.
rm -rf "$logs/cxxbridge"
cp -rL "${CARGO_TARGET_DIR:-target}/cxxbridge" "$logs/cxxbridge"
export CXX_INCLUDE=$logs/cxxbridge

step "tests; beside them lints and documentation, and what is compiled for the sanitizers"
: >"$logs/tests.log"
beside sanitized build_sanitized
beside lints lint
cargo test --workspace --quiet -- --test-threads=2 | tee "$logs/tests.log"

step "engines in Python"
bash tests/python.sh built

step "the rest of lints and documentation"
finish lints

step "tests with the features trtllm, parquet and mpi"
bash tests/features.sh

step "the C++ side under sanitizers"
finish sanitized
for sanitizer in thread address,undefined; do
    sh tests/cpp/run.sh "$sanitizer" >"$logs/$sanitizer.log" 2>&1 || { cat "$logs/$sanitizer.log"; exit 1; }
    tail -n 1 "$logs/$sanitizer.log"
done

step "the main job"
# A machine that tests share may be too busy for a valid measurement (exit code 4); everything else must hold.
# The binary that the tests ran: `cargo run` alone would build the dependencies once more, with other features.
"${CARGO_TARGET_DIR:-target}/debug/bareflight" run --target local:dummy-pico --concurrency 1,4 --requests 20 --scenario 'D(32,16)' \
    --out target/ci-runs || [ $? -eq 4 ]

step "done"
