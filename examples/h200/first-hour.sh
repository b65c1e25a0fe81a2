#!/usr/bin/env bash
# The checks of docs/H200.md on a new machine, with a transcript to send back. Each line says PASS, FAIL or SKIP, which check, and
# what was seen. Ends with 1 where something failed.
#   first-hour.sh ENGINE_DIR [MODEL_DIR]
# MODEL_DIR is the Hugging Face folder of the engine's model: its end token and its tokenizer. From the environment:
#   BAREFLIGHT    the program (bareflight)               OUT          where everything goes (first-hour)
#   TRTLLM_ROOT   the installation (/app/tensorrt_llm)   CUDA_HOME    CUDA's headers (/usr/local/cuda)
#   KV_FRACTION   share of the memory for each of two engines side by side (0.3)
#   COMPARE_REQUESTS, COMPARE_BLOCKS   of the comparison with trtllm-serve (100 in each of 6)
set -uo pipefail

engine=${1:?usage: first-hour.sh ENGINE_DIR [MODEL_DIR]}
model=${2:-}
bareflight=${BAREFLIGHT:-bareflight}
root=${TRTLLM_ROOT:-/app/tensorrt_llm}
cuda=${CUDA_HOME:-/usr/local/cuda}
repository=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-first-hour}
mkdir -p "$out"
out=$(cd "$out" && pwd)
transcript=$out/transcript.txt
: >"$transcript"
passed=0 failed=0 skipped=0

say() { # PASS|FAIL|SKIP, name, what was seen
    case $1 in
    PASS) passed=$((passed + 1)) ;;
    FAIL) failed=$((failed + 1)) ;;
    SKIP) skipped=$((skipped + 1)) ;;
    esac
    printf '%s %s: %s\n' "$1" "$2" "${3//$'\n'/ · }" | tee -a "$transcript"
}

# Runs a command; what it prints is in the transcript, and its standard output in $out/NAME.txt.
note() { # name, command …
    local name=$1
    shift
    printf '\n$ %s\n' "$*" >>"$transcript"
    timeout 900 "$@" >"$out/$name.txt" 2>"$out/$name.err"
    rc=$?
    cat "$out/$name.txt" "$out/$name.err" >>"$transcript"
    printf '(exit code %s)\n\n' "$rc" >>"$transcript"
}

# The same for a run of the engine, whose newest folder is then in $folder.
run() { # name, flags of `run` …
    local name=$1
    shift
    note "$name" "$bareflight" run --target "trtllm:$engine" --quiet --out "$out/$name" "$@"
    folder=$(find "$out/$name" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort | tail -n 1)
}

words() { tail -n 3 "$out/$1.err"; }

# A verdict over the folder of the last run, by one of the checks below: a line `PASS|FAIL|SKIP what was seen`.
judge() { # name
    local verdict
    verdict=$(python3 "$out/judge.py" "$1" "$folder" "$rc" 2>&1 | tail -n 1)
    case $verdict in
    PASS\ * | FAIL\ * | SKIP\ *) say "${verdict%% *}" "$1" "${verdict#* }" ;;
    *) say FAIL "$1" "exit code $rc; $(words "$1"); $verdict" ;;
    esac
}

cat >"$out/judge.py" <<'PYTHON'
"""Judges the folder of one run: prints PASS, FAIL or SKIP and what was seen."""
import csv, gzip, json, os, statistics, sys

check, folder, code = sys.argv[1], sys.argv[2], int(sys.argv[3])


def load(name):
    with open(os.path.join(folder, name)) as file:
        return json.load(file)


def rows(part="measured"):
    with open(os.path.join(folder, "requests.csv")) as file:
        return [row for row in csv.DictReader(file) if row["part"] == part]


def deliveries():
    of = {}
    with gzip.open(os.path.join(folder, "deliveries.csv.gz"), "rt") as file:
        for row in csv.DictReader(file):
            of.setdefault((row["point"], row["request_id"]), []).append(int(row["tokens"]))
    return of


def details():
    return load("manifest.json")["target"]["details"]


def outcomes():
    seen = {}
    for row in rows():
        seen[row["outcome"]] = seen.get(row["outcome"], 0) + 1
    return seen


def first_run():
    seen = outcomes()
    fine = code in (0, 4) and set(seen) == {"completed"}
    return fine, f"exit code {code}, {seen}"


def versions():
    found = details()
    library, built = found["library_version"], found["engine"]["version"]
    return library.split("+")[0] == built, f"library {library}, engine built by {built}"


def fixed_lengths():
    lengths = sorted({int(row["output_tokens"]) for row in rows()})
    return lengths == [256] and set(outcomes()) == {"completed"}, f"output tokens {lengths}, {outcomes()}"


def empty_final_response():
    end, arrived = details()["end_token"], deliveries()
    of = lambda row: arrived.get((row["point"], row["request_id"]), [])
    differing = [row["request_id"] for row in rows() if sum(of(row)) != int(row["output_tokens"])]
    short = [row for row in rows() if int(row["output_tokens"]) < int(row["requested_tokens"])]
    reasons = sorted({row["reason"] for row in short})
    fine = set(outcomes()) == {"completed"} and not differing and reasons in ([], ["end_token"])
    seen = f"end token {end and end.get('id')}, {len(short)} of {len(rows())} outputs ended early by {reasons}, "
    return fine, seen + f"{len(differing)} with another number of tokens than their deliveries"


def time_out():
    points = sorted({row["point"] for row in rows()})
    state, left = load("manifest.json")["state"], [row for row in rows() if not row["end_ns"]]
    fine = set(outcomes()) == {"timed_out"} and len(points) == 2 and state == "complete" and not left
    return fine, f"{outcomes()} at {len(points)} points, {len(left)} without an end, manifest `{state}`"


def cancel():
    manifest = load("manifest.json")
    fine = code == 130 and manifest["state"] == "interrupted"
    return fine, f"exit code {code}, manifest `{manifest['state']}`, {outcomes()}"


def deltas():
    arrived = deliveries()
    sums = all(
        sum(arrived.get((row["point"], row["request_id"]), [])) == int(row["output_tokens"]) for row in rows()
    )
    sizes = [tokens for row in rows() for tokens in arrived.get((row["point"], row["request_id"]), [])]
    most = max(sizes, default=0)
    seen = f"{len(sizes)} deliveries of {sum(sizes)} tokens, {most} at most in one; sums "
    return sums and most > 0, seen + ("agree" if sums else "differ")


def engine_stamps():
    values = [float(row["overhead_ttft_ms"]) for row in rows() if row["overhead_ttft_ms"]]
    if not values:
        return False, "no request has the engine's own stamps"
    middle = statistics.median(values)
    return 0 < middle < 1, f"overhead_ttft {middle:.3f} ms (p50), {min(values):.3f} at least; right is above 0 and below 1"


def iterations():
    found = load("summary.json")["points"][0]["iterations"]
    if not found or not found["with_context_ms"] or not found["generation_only_ms"]:
        return False, f"no iterations of both kinds: {found and found['iterations']}"
    prompts, others = found["with_context_ms"]["mean"], found["generation_only_ms"]["mean"]
    busy = found["busy_fraction"]
    fine = prompts > 1.5 * others and busy <= 1.05
    seen = f"{prompts:.2f} ms with a prompt of thousands, {others:.2f} ms without, busy {100 * busy:.1f} %"
    return fine, seen + ("" if fine else "; latency and batch of a line may belong to two iterations")


def engine_log():
    with open(os.path.join(folder, "engine.log"), errors="replace") as file:
        lines = file.read().splitlines()
    with open(os.path.join(folder, "..", "..", "log.txt"), errors="replace") as file:
        mixed = [line for line in file if "[TensorRT-LLM]" in line or "[TRT" in line]
    return bool(lines) and not mixed, f"{len(lines)} lines in engine.log, {len(mixed)} among results"


def kv_capacity():
    with open(os.path.join(folder, "iterations.jsonl")) as file:
        kv = json.loads(file.readline())["engine"]["kvCacheStats"]
    tokens = kv["maxNumBlocks"] * kv["tokensPerBlock"]
    return tokens > 0, f"room for {tokens} tokens ({kv['maxNumBlocks']} blocks of {kv['tokensPerBlock']})"


CHECKS = {
    "run": first_run, "versions": versions, "kv-capacity": kv_capacity, "fixed-lengths": fixed_lengths,
    "empty-final-response": empty_final_response, "time-out": time_out, "cancel": cancel, "deltas": deltas,
    "engine-stamps": engine_stamps, "iterations": iterations, "log": engine_log,
}
fine, seen = CHECKS[check]()
print("PASS" if fine else "FAIL", seen)
PYTHON

# --- this machine -------------------------------------------------------------------------------------------------------------
if ! command -v "$bareflight" >/dev/null; then
    say FAIL program "no \`$bareflight\`: build it with --features trtllm, and set BAREFLIGHT or PATH"
    exit 1
fi
if ! command -v python3 >/dev/null; then
    say FAIL python3 "it reads what runs have left; install it"
    exit 1
fi
note program "$bareflight" --version
say PASS program "$(cat "$out/program.txt")"

if command -v nvidia-smi >/dev/null; then
    note gpus nvidia-smi --query-gpu=name,uuid,driver_version,memory.total,clocks.sm,clocks.max.sm,persistence_mode \
        --format=csv,noheader
    if [ "$rc" = 0 ]; then say PASS gpus "$(cat "$out/gpus.txt")"; else say FAIL gpus "$(words gpus)"; fi
    note doctor "$bareflight" doctor --target "trtllm:$engine"
    if [ "$rc" = 0 ]; then
        say PASS doctor "nothing is in the way"
    else
        say FAIL doctor "exit code $rc: $(grep -i fail "$out/doctor.txt" | head -n 4)"
    fi
else
    say SKIP gpus "no nvidia-smi here"
    say SKIP doctor "it would miss the GPU"
fi
if command -v nvidia-smi >/dev/null; then
    note probe-gpu "$bareflight" doctor --probe-gpu --json
    # The doctor's other lines have their own verdict above.
    probed=$(python3 -c 'import json, sys
lines = [line for line in json.load(sys.stdin)["findings"] if line["id"] == "probe"]
worst = "FAIL" if not lines or any(line["status"] == "fail" for line in lines) else "PASS"
print(worst, " | ".join(line["sentence"] for line in lines))' <"$out/probe-gpu.txt" 2>>"$transcript")
    case $probed in
    PASS\ * | FAIL\ *) say "${probed%% *}" probe-gpu "${probed#* }" ;;
    *) say FAIL probe-gpu "exit code $rc: $(words probe-gpu)" ;;
    esac
else
    say SKIP probe-gpu "no nvidia-smi here"
fi

# --- headers and libraries ----------------------------------------------------------------------------------------------------
absent() { # library, list: the names of the list that the library does not define
    nm -D --defined-only "$root/lib/$1" | awk '{ print $3 }' | sort | comm -13 - <(sort "$repository/tests/$2")
}
if ! command -v nm >/dev/null; then
    say SKIP symbols "no nm here"
elif [ ! -e "$root/lib/libtensorrt_llm.so" ]; then
    say FAIL symbols "no $root/lib/libtensorrt_llm.so: set TRTLLM_ROOT"
else
    missing=$(absent libtensorrt_llm.so needed_symbols.txt
        absent libnvinfer_plugin_tensorrt_llm.so needed_plugin_symbols.txt)
    if [ -z "$missing" ]; then
        say PASS symbols "all that the bridge needs are there"
    else
        say FAIL symbols "not there: $missing"
    fi
fi

cat >"$out/sizes.cc" <<'CPP'
#include <cstdio>
#include <tensorrt_llm/executor/executor.h>
namespace tle = tensorrt_llm::executor;
int main() {
    std::printf("%zu %zu %zu %zu\n", sizeof(tle::Result), sizeof(tle::RequestPerfMetrics), sizeof(tle::IterationStats),
        sizeof(tle::ExecutorConfig));
}
CPP
if ! command -v g++ >/dev/null; then
    say SKIP sizes "no g++ here"
else
    # CUDA 13 keeps libcu++, which its own headers include, in a folder of its own.
    note compile-sizes g++ -std=c++17 "-I$root/include" "-I$cuda/include" "-I$cuda/include/cccl" "$out/sizes.cc" -o "$out/sizes"
    note sizes "$out/sizes"
    if [ "$rc" = 0 ]; then
        say PASS sizes "$(cat "$out/sizes.txt") (Result, RequestPerfMetrics, IterationStats, ExecutorConfig; 1.2.1 is expected to say 488 or 536, 136, 320, 1048)"
    else
        say FAIL sizes "$(words compile-sizes)"
    fi
fi

# --- the engine ---------------------------------------------------------------------------------------------------------------
note engine "$bareflight" inspect engine "$engine" --json
limits=$(python3 -c 'import json, sys
limits = json.load(sys.stdin)["limits"]
print(limits["max_seq_len"], limits["max_input_len"], limits["max_batch_size"])' <"$out/engine.txt" 2>>"$transcript")
read -r max_seq max_input max_batch <<<"$limits" || true
if [ -z "${max_batch:-}" ]; then
    say FAIL engine "$(words engine)"
    exit 1
fi
say PASS engine "sequences of $max_seq, prompts of $max_input, batches of $max_batch"

run run --scenario 'D(128,64)' --concurrency 1 --requests 20
judge run
if [ ! -e "$folder/requests.csv" ]; then
    say FAIL rest "the engine does not answer: nothing else was tried; see $transcript"
    exit 1
fi
judge versions
judge kv-capacity
judge deltas
judge engine-stamps

run log --scenario 'D(128,8)' --concurrency 1 --requests 4 --engine-log info
judge log

run fixed-lengths --scenario 'D(128,256)' --concurrency 4 --requests 20
judge fixed-lengths

run empty-final-response --scenario 'D(128,256)' --concurrency 4 --requests 50 --stop-at-eos ${model:+--tokenizer "$model"}
if [ "$rc" = 3 ]; then
    say SKIP empty-final-response "the end token is not known: give MODEL_DIR"
else
    judge empty-final-response
fi

run clamp --scenario "D($((max_seq - 96)),200)" --concurrency 1 --requests 4
if [ "$rc" = 3 ] && [ -z "$folder" ]; then
    say PASS clamp "refused with exit code 3, nothing was sent: $(words clamp | head -n 1)"
else
    say FAIL clamp "exit code $rc: a sequence longer than the engine's was not refused"
fi

long=$((max_seq - 129 < 2000 ? max_seq - 129 : 2000))
run time-out --scenario "D(128,$long)" --concurrency 2,4 --requests 8 --warmup 0 --timeout 200ms --window whole
judge time-out

printf '\n$ %s run … & kill -INT\n' "$bareflight" >>"$transcript"
"$bareflight" run --target "trtllm:$engine" --quiet --out "$out/cancel" --scenario "D(128,$long)" --concurrency 4 \
    --requests 20000 --warmup 0 >"$out/cancel.txt" 2>"$out/cancel.err" &
job=$!
for _ in $(seq 240); do
    folder=$(find "$out/cancel" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort | tail -n 1)
    [ -e "$folder/requests.partial.csv" ] && [ "$(wc -l <"$folder/requests.partial.csv")" -gt 4 ] && break
    kill -0 "$job" 2>/dev/null || break
    sleep 0.5
done
began=$SECONDS
kill -INT "$job" 2>/dev/null
wait "$job"
rc=$?
cat "$out/cancel.txt" "$out/cancel.err" >>"$transcript"
printf '(exit code %s, %s s after Ctrl-C)\n\n' "$rc" "$((SECONDS - began))" >>"$transcript"
judge cancel

prompt=$((max_input / 2 < 2000 ? max_input / 2 : 2000))
run iterations --scenario "D($prompt,8)" --concurrency 1 --requests 20
judge iterations

# --- what lies around the engine ----------------------------------------------------------------------------------------------
kv=${KV_FRACTION:-0.3}
note ladder "$bareflight" ladder --target "trtllm:$engine" --quiet --out "$out/ladder" --kv-fraction "$kv" \
    --scenario 'D(128,32)' --concurrency 1 --requests 8 --warmup 1 --blocks 2 ${model:+--tokenizer "$model"}
if { [ "$rc" = 0 ] || [ "$rc" = 4 ]; } && [ -n "$(find "$out/ladder" -name ladder.json)" ]; then
    say PASS ladder "exit code $rc; $(grep -E '^ *L[0-9]' "$out/ladder.txt" | head -n 8)"
else
    say FAIL ladder "exit code $rc: $(words ladder)"
fi

serve() {
    local port server
    # Any that is free: on one that is not, something else would be compared with.
    port=$(python3 -c 'import socket; it = socket.socket(); it.bind(("127.0.0.1", 0)); print(it.getsockname()[1])')
    # It uses blocks of the KV cache again unless it is told not to; ours does not.
    printf 'kv_cache_config:\n  enable_block_reuse: false\n  free_gpu_memory_fraction: %s\n' "$kv" >"$out/trtllm-serve.yml"
    trtllm-serve "$engine" --backend tensorrt --tokenizer "$model" --host 127.0.0.1 --port "$port" \
        --extra_llm_api_options "$out/trtllm-serve.yml" >"$out/trtllm-serve.txt" 2>&1 &
    server=$!
    for _ in $(seq 300); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
        kill -0 "$server" 2>/dev/null || break
        sleep 2
    done
    note compare "$bareflight" compare --target "trtllm:$engine" --target "openai:http://127.0.0.1:$port" \
        --set "A:engine.kv_fraction=$kv" --set B:endpoint=completions --tokenizer "$model" --quiet --out "$out/compare" \
        --scenario 'D(1024,128)' --concurrency 8 --requests "${COMPARE_REQUESTS:-100}" --blocks "${COMPARE_BLOCKS:-6}"
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    if [ "$rc" = 0 ] || [ "$rc" = 4 ]; then
        say PASS compare "exit code $rc; $(grep -E '^ +(TTFT p50|Request latency p50|Output)' "$out/compare.txt" | head -n 3)"
    else
        say FAIL compare "exit code $rc: $(words compare); $(tail -n 2 "$out/trtllm-serve.txt")"
    fi
}
if ! command -v trtllm-serve >/dev/null; then
    say SKIP compare "no trtllm-serve here"
elif [ -z "$model" ]; then
    say SKIP compare "trtllm-serve needs a tokenizer: give MODEL_DIR"
else
    serve
fi

printf '%s passed, %s failed, %s skipped; to send back: %s\n' "$passed" "$failed" "$skipped" "$transcript" | tee -a "$transcript"
[ "$failed" = 0 ]
