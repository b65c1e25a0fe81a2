#!/usr/bin/env bash
# Python environments of the network suite: made once below a folder from the package index, then kept.
#   environment.sh FOLDER [NAME]...     without a name: all of them
# Prints nothing unless something fails.
set -euo pipefail

into=${1:?usage: environment.sh FOLDER [NAME]...}
shift
[ $# -gt 0 ] || set -- triton llamacpp clients aiperf genai-bench hdrhistogram perf-analyzer
mkdir -p "$into"

# One after the other, also where several processes ask: two that make the same environment would break it.
exec 9>"$into/environment.lock"
flock 9

make() { # NAME then one argument for each call of pip
    local venv=$into/$1-venv wanted=$*
    if [ "$(cat "$venv/complete" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    python3 -m venv --clear "$venv"
    shift
    local packages
    for packages in "$@"; do
        # shellcheck disable=SC2086  # several packages and options
        "$venv/bin/python" -m pip install -q --disable-pip-version-check $packages
    done
    echo "$wanted" >"$venv/complete"
}

for name in "$@"; do
    case $name in
    # Triton's Python backend breaks on text tensors under numpy 2.
    triton) make triton '--no-deps nvidia-pytriton==0.7.0' 'numpy<2' ;;
    llamacpp) make llamacpp 'xllamacpp==2026.10.11549' ;;
    clients) make clients 'openai>=1.60 tritonclient[grpc]>=2.50 numpy' ;;
    aiperf) make aiperf 'aiperf==0.13.0' ;;
    hdrhistogram) make hdrhistogram 'hdrhistogram==0.10.3' ;;
    genai-bench) make genai-bench 'genai-bench==0.0.5' ;;
    # The last release of Triton's client that brings the program, which wants a CUDA runtime even without a GPU.
    perf-analyzer) make perf-analyzer 'tritonclient[grpc]==2.51.0 nvidia-cuda-runtime-cu12' ;;
    *) echo "environment.sh: no environment '$name'" >&2; exit 2 ;;
    esac
done
