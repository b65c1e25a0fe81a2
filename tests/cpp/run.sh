#!/bin/sh
# Do the C++ claims hold? Usage: tests/cpp/run.sh [plain|address|undefined|address,undefined|thread] [part of a claim's sentence]
# CXX_INCLUDE is the folder with rust/cxx.h and bareflight/ffi/bridge.rs.h that cxx_build generated. With BUILD_ONLY=1 nothing is run.
set -eu

mode=${1:-plain}
wanted=${2:-}
cd "$(dirname "$0")/../.."

case $mode in
    plain) sanitize= ;;
    address | undefined | thread | address,undefined) sanitize="-fsanitize=$mode -fno-sanitize-recover=all" ;;
    *)
        echo "run.sh: unknown mode '$mode': use plain, address, undefined, address,undefined or thread" >&2
        exit 2
        ;;
esac

# Otherwise every executor that a claim opens would write its log between them.
export TLLM_LOG_LEVEL="${TLLM_LOG_LEVEL:-ERROR}"

generated=${CXX_INCLUDE:-target/cxxbridge}
if [ ! -e "$generated/bareflight/ffi/bridge.rs.h" ]; then
    echo "run.sh: no generated bridge header: run 'cargo build' first, or set CXX_INCLUDE" >&2
    exit 2
fi

build=target/tests-cpp/$mode
mkdir -p "$build/include"
# So that "bareflight/cpp/engine.h" means this checkout.
ln -sfn "$(pwd)" "$build/include/bareflight"

flags="-std=c++17 -O1 -g -Wall -Wextra -Werror $sanitize -pthread"
flags="$flags -Icpp/simulated/include -I$build/include -I$generated"
flags="$flags -Dtensorrt_llm=simulated_tensorrt_llm -DBAREFLIGHT_ENGINE_NAMESPACE=simulated"

objects=
for source in cpp/simulated/*.cc cpp/convert.cc cpp/executor_engine.cc cpp/executor_settings.cc cpp/raw_loop.cc tests/cpp/*.cc; do
    object=$build/$(echo "$source" | tr / _).o
    objects="$objects $object"
    # Kept when neither the source nor any header is newer.
    if [ -e "$object" ] && [ -z "$(find "$source" cpp tests/cpp ffi -newer "$object" \( -name '*.h' -o -name '*.rs' -o -path "$source" \))" ]; then
        continue
    fi
    # shellcheck disable=SC2086  # the flags are words on purpose
    ${CXX:-g++} $flags -c "$source" -o "$object"
done
# shellcheck disable=SC2086
${CXX:-g++} $flags $objects -o "$build/driver"
[ "${BUILD_ONLY:-}" = 1 ] || exec "$build/driver" "$wanted"
