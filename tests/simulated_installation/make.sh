#!/usr/bin/env bash
# An installation of TensorRT-LLM as it lies in NVIDIA's image, made of our simulated executor: include/ without a version.h,
# a Python package whose libs/ are what lib/ links to, bin/, CUDA's header, and libraries that do not fit the headers.
#   make.sh DIR
set -euo pipefail

into=${1:?usage: make.sh DIR}
cd "$(dirname "$0")/../.."
package=dist-packages/tensorrt_llm
mkdir -p "$into"/{include,bin,cuda/include,build/include,other_version,other_layout/include,unreadable,$package/libs}
into=$(cd "$into" && pwd)

is_fresh() { # file
    [ -e "$1" ] && [ -z "$(find cpp tests/simulated_installation -newer "$1" -type f -print -quit)" ]
}
if is_fresh "$into/bin/executorWorker"; then
    exit 0
fi

# Headers without the one that TensorRT-LLM's own build generates, and with the one of CUDA that a build has to find.
version=$(sed -n 's/.*version() noexcept { return "\(.*\)"; }.*/\1/p' cpp/simulated/executor.cc)
cp -r cpp/simulated/include/. "$into/include"
sed -i 's|#pragma once|#pragma once\n#include <cuda_fp16.h>|' "$into/include/tensorrt_llm/executor/types.h"
# As in CUDA 13, where libcu++ has a folder of its own.
mkdir -p "$into/cuda/include/cccl/nv"
printf '#pragma once\n#include <nv/target>\n' >"$into/cuda/include/cuda_fp16.h"
echo '#pragma once' >"$into/cuda/include/cccl/nv/target"

# The package, which says the version; folders of an older shape go.
rm -f "$into/include/tensorrt_llm/executor/version.h"
[ -L "$into/lib" ] || rm -rf "$into/lib"
ln -sfn "$package/libs" "$into/lib"
echo "__version__ = \"$version\"" >"$into/$package/version.py"

ln -sfn "$PWD" "$into/build/include/bareflight"
compile=(mpicxx -std=c++17 -O0 -fPIC -pthread -Wall -Wextra "-I$into/build/include")
library=("${compile[@]}" -shared -Wl,-soname,libtensorrt_llm.so)
all_of() { printf '#include "bareflight/%s"\n' "$@"; }

# All sources at once: most of the time goes into the headers that they share.
all_of cpp/simulated/*.cc |
    "${library[@]}" -DSIMULATED_MPI -Icpp/simulated/include -x c++ - -o "$into/lib/libtensorrt_llm.so"
"${compile[@]}" -shared -Wl,-soname,libnvinfer_plugin_tensorrt_llm.so tests/simulated_installation/plugins.cc \
    -o "$into/lib/libnvinfer_plugin_tensorrt_llm.so"

# A library of another release: all that is asked of it is its version.
echo 'namespace tensorrt_llm::executor { char const* version() noexcept { return "0.0.1+simulated"; } }' |
    "${library[@]}" -x c++ - -o "$into/other_version/libtensorrt_llm.so"

# One that claims to be of the same release, but has one more member in a struct.
cp -r cpp/simulated/include/. "$into/other_layout/include"
sed -i 's|^    .*pinnedMemUsage.*|    std::uint64_t inserted{};\n&|' "$into/other_layout/include/tensorrt_llm/executor/types.h"
{
    all_of cpp/simulated/json_serialization.cc
    echo "namespace tensorrt_llm::executor { char const* version() noexcept { return \"$version\"; } }"
} | "${library[@]}" -I"$into/other_layout/include" -x c++ - -o "$into/other_layout/libtensorrt_llm.so"

# One that is no library.
: >"$into/unreadable/libtensorrt_llm.so"

# Last, since its age says that everything is there.
"${compile[@]}" tests/simulated_installation/executor_worker.cc -L"$into/lib" -ltensorrt_llm \
    -Wl,-rpath,"$into/lib" -o "$into/bin/executorWorker"
