#!/usr/bin/env python3
"""Runs a real Triton (from the wheel nvidia-pytriton) on models that look like TensorRT-LLM's and vLLM's.

Prints one line, READY grpc=HOST:PORT http=HOST:PORT, and serves until its standard input is closed.
"""
import argparse
import os
import pathlib
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent


def tensors(kind, rows):
    """Each row: NAME TYPE DIMS, DIMS as `1` or `-1,-1`; a `?` behind the name makes it optional."""
    made = []
    for row in rows:
        name, datatype, dims = row.split()
        optional = " optional: true" if name.endswith("?") else ""
        made.append('%s { name: "%s" data_type: TYPE_%s dims: [ %s ]%s }' % (kind, name.rstrip("?"), datatype, dims, optional))
    return "\n".join(made)


def config(name, inputs, outputs, parameters, batch, decoupled, platform=""):
    lines = ['name: "%s"' % name, platform or 'backend: "python"', "max_batch_size: %d" % batch,
             tensors("input", inputs), tensors("output", outputs)]
    if decoupled:
        lines.append("model_transaction_policy { decoupled: true }")
    for key, value in parameters.items():
        lines.append('parameters { key: "%s" value { string_value: "%s" } }' % (key, value))
    return "\n".join(lines) + "\n"


def engine_inputs(seed, minimum):
    return ["input_ids INT32 -1", "input_lengths INT32 1", "request_output_len INT32 1", "end_id? INT32 1",
            "streaming? BOOL 1", "runtime_top_k? INT32 1", "temperature? FP32 1", "return_perf_metrics? BOOL 1",
            "exclude_input_in_output? BOOL 1", seed + "? UINT64 1", minimum + "? INT32 1"]


ENGINE_OUT = ["output_ids INT32 -1,-1", "sequence_length INT32 -1"] + [
    name + " INT64 1" for name in ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")]
TEXT_IN = ["text_input STRING 1", "max_tokens INT32 1", "stream? BOOL 1", "top_k? INT32 1", "seed? UINT64 1",
           "end_id? INT32 1", "exclude_input_in_output? BOOL 1"]
LLM_API_IN = ["text_input STRING 1", "streaming? BOOL 1", "sampling_param_max_tokens? INT32 1",
              "sampling_param_exclude_input_from_output? BOOL 1", "return_finish_reason? BOOL 1"]
VLLM_IN = ["text_input STRING 1", "stream? BOOL 1", "sampling_parameters? STRING 1", "exclude_input_in_output? BOOL 1",
           "return_num_output_tokens? BOOL 1"]

ENSEMBLE = """platform: "ensemble"
ensemble_scheduling { step [
  { model_name: "preprocessing" model_version: -1
    input_map { key: "QUERY" value: "text_input" }
    output_map { key: "INPUT_ID" value: "ids" } output_map { key: "REQUEST_INPUT_LEN" value: "length" } },
  { model_name: "tensorrt_llm" model_version: -1
    input_map { key: "input_ids" value: "ids" } input_map { key: "input_lengths" value: "length" }
    input_map { key: "request_output_len" value: "max_tokens" } input_map { key: "streaming" value: "stream" }
    output_map { key: "output_ids" value: "tokens" } output_map { key: "sequence_length" value: "count" } },
  { model_name: "postprocessing" model_version: -1
    input_map { key: "TOKENS_BATCH" value: "tokens" } input_map { key: "SEQUENCE_LENGTH" value: "count" }
    output_map { key: "OUTPUT" value: "text_output" } }
] }"""


def models(timing):
    """name -> (config text, whether it has code)."""
    make = {}

    def add(name, inputs, outputs, batch, decoupled, **parameters):
        make[name] = (config(name, inputs, outputs, {**timing, **parameters}, batch, decoupled), True)

    add("tensorrt_llm", engine_inputs("seed", "min_tokens"), ENGINE_OUT, 64, True, flavour="engine")
    add("tensorrt_llm_0x", engine_inputs("random_seed", "min_length"), ENGINE_OUT, 64, True, flavour="engine", final="empty")
    add("unary", engine_inputs("seed", "min_tokens")[:3], ENGINE_OUT[:2], 64, False, flavour="unary", echo="true")
    add("tensorrt_llm_bls", TEXT_IN, ["text_output STRING -1"], 64, True, flavour="bls", final="empty")
    add("bls_accumulating", TEXT_IN, ["text_output STRING -1"], 64, True, flavour="bls", final="empty", accumulate_tokens="true")
    add("llm_api", LLM_API_IN, ["text_output STRING -1", "finish_reason STRING -1"], 0, True, flavour="llmapi", accumulate_tokens="true")
    add("llm_api_echo", LLM_API_IN[:3], ["text_output STRING -1"], 0, True, flavour="llmapi", accumulate_tokens="true", echo="true")
    add("vllm_model", VLLM_IN, ["text_output STRING -1", "num_output_tokens UINT32 1"], 0, True, flavour="vllm", final="empty")
    add("not_a_language_model", ["IMAGE FP32 3"], ["CLASS FP32 1"], 0, False, flavour="unary")
    add("preprocessing", ["QUERY STRING 1"], ["INPUT_ID INT32 -1", "REQUEST_INPUT_LEN INT32 1"], 64, False, flavour="preprocessing")
    add("postprocessing", ["TOKENS_BATCH INT32 -1,-1", "SEQUENCE_LENGTH INT32 -1"], ["OUTPUT STRING -1"], 64, False, flavour="postprocessing")
    inputs = ["text_input STRING 1", "max_tokens INT32 1", "stream BOOL 1"]
    make["ensemble"] = (config("ensemble", inputs, ["text_output STRING -1"], {}, 64, False, ENSEMBLE), False)
    return make


def write_repository(root, timing, only=None):
    for name, (text, has_code) in models(timing).items():
        if only and name not in only:
            continue
        version = root / name / "1"
        version.mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(text)
        if has_code:
            shutil.copy(HERE / "model.py", version / "model.py")


def find_triton():
    for base in map(pathlib.Path, site.getsitepackages()):
        if (base / "pytriton/tritonserver/bin/tritonserver").exists():
            return base / "pytriton/tritonserver", base / "nvidia_pytriton.libs"
    sys.exit("nvidia-pytriton is not installed in %s" % sys.prefix)


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def lay_out(work, timing, only=None):
    """The repository and a backend folder with the stub of this Python."""
    triton, _ = find_triton()
    write_repository(work / "repository", timing, only)
    shutil.copytree(triton / "backends", work / "backends")
    version = "%d.%d" % sys.version_info[:2]
    stub = work / "backends/python/triton_python_backend_stub"
    shutil.copy2(triton / "python_backend_stubs" / version / "triton_python_backend_stub", stub)
    stub.chmod(0o755)


def environment(work):
    triton, libraries = find_triton()
    python_library = pathlib.Path(sys.base_prefix) / "lib"
    return {**os.environ, "LD_LIBRARY_PATH": "%s:%s" % (libraries, python_library),
            "PATH": "%s/bin:%s" % (sys.prefix, os.environ["PATH"]), "PYTHONPATH": ":".join(site.getsitepackages()),
            "OPENBLAS_NUM_THREADS": "1", "BAREFLIGHT_CANCELLED": str(work / "cancelled")}


def start(work, ports):
    triton, _ = find_triton()
    command = [str(triton / "bin/tritonserver"), "--model-repository", str(work / "repository"),
               "--backend-directory", str(work / "backends"), "--disable-auto-complete-config",
               "--grpc-address", "127.0.0.1", "--http-address", "127.0.0.1",
               "--grpc-port", str(ports[0]), "--http-port", str(ports[1]), "--exit-timeout-secs", "2",
               "--cuda-memory-pool-byte-size", "0:0", "--pinned-memory-pool-byte-size", "0", "--log-info", "false",
               "--backend-config", "python,shm-region-prefix-name=bf%d_" % os.getpid()]
    command += ["--metrics-port", str(ports[2])] if len(ports) > 2 else ["--allow-metrics", "false"]
    log = open(work / "log", "wb")
    return subprocess.Popen(command, env=environment(work), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def await_ready(server, port):
    while server.poll() is None:
        try:
            if urllib.request.urlopen("http://127.0.0.1:%d/v2/health/ready" % port, timeout=1).status == 200:
                return True
        except OSError:
            time.sleep(0.05)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ttft-ms", default="50")
    parser.add_argument("--itl-ms", default="10")
    parser.add_argument("--lay-out", type=pathlib.Path, help="only write repository and backends there, for a core in another process, and print what that process needs in its environment")
    parser.add_argument("--only", nargs="+", help="lay out these models, not all")
    parser.add_argument("--ports", nargs=3, type=int, help="of gRPC, HTTP and metrics; default: any two, and no metrics")
    options = parser.parse_args()
    timing = {"ttft_ms": options.ttft_ms, "itl_ms": options.itl_ms}
    if options.lay_out:
        lay_out(options.lay_out, timing, options.only)
        made = environment(options.lay_out)
        for name in ("LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "BAREFLIGHT_CANCELLED"):
            print("%s=%s" % (name, made[name]))
        print("TRITON_LIBRARY=%s" % find_triton()[1])
        return
    work = pathlib.Path(tempfile.mkdtemp(prefix="bareflight-triton-"))
    lay_out(work, timing)
    ports = options.ports or free_ports(2)
    server = start(work, ports)
    try:
        if not await_ready(server, ports[1]):
            sys.exit((work / "log").read_text(errors="replace"))
        print("READY grpc=127.0.0.1:%d http=127.0.0.1:%d cancelled=%s" % (*ports[:2], work / "cancelled"), flush=True)
        sys.stdin.read()
    finally:
        server.terminate()
        try:
            server.wait(8)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
        for left in pathlib.Path("/dev/shm").glob("bf%d_*" % os.getpid()):
            left.unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
