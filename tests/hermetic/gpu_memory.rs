//! GPU memory: an engine is checked against it before anything is loaded. There is no GPU here: libraries that play a script
//! (`fake_nvml/nvml.c`, `fake_cuda/cuda.c`) tell of memory, and the engine's file is a hole of its size.

use std::fs;

use crate::support::left_behind;
use crate::support::left_behind::words;
use crate::support::made_up;
use crate::support::made_up::bareflight;
use crate::support::stand_in;
use serde_json::Value;
use tempfile::TempDir;

const LLAMA_8B_IN_8_BITS_GIB: u64 = 8;

/// A folder with both libraries in it and an engine whose one rank is so large; `sim:` plays it.
fn engine(gib: u64) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    made_up::library(&folder, "fake_nvml/nvml.c", "nvml.so");
    made_up::library(&folder, "fake_cuda/cuda.c", "cuda.so");
    let target = stand_in::target(&folder, "explicit,base_us=2000", 1).replace("trtllm:", "sim:");
    let file = fs::File::create(folder.path().join("engine/rank0.engine")).expect("made");
    file.set_len(gib << 30).expect("a file with a hole");
    (folder, target)
}

/// NVML tells.
const BY_NVML: [&str; 4] = ["--nvml-library", "./nvml.so", "--gpu-telemetry", "all"];
/// There is no NVML, and CUDA tells.
const BY_CUDA: [&str; 4] = ["--gpu-telemetry", "none", "--cuda-library", "./cuda.so"];

/// What `bareflight plan` says of a load on that engine.
fn plan(gib: u64, script: &[(&str, &str)], teller: [&str; 4], more: &[&str]) -> (i32, String) {
    let (folder, target) = engine(gib);
    let arguments = [&["plan", "--target", &target][..], &teller[..], more].concat();
    let output = bareflight(&folder, script, &arguments);
    let message = words(&output.stdout) + &words(&output.stderr);
    (output.status.code().expect("an exit code"), message)
}

#[test]
fn weights_that_do_not_fit_refuse_the_run_before_anything_is_written() {
    let (folder, target) = engine(90);
    let output = bareflight(&folder, &[], &[&["run", "--target", &target][..], &BY_NVML].concat());
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("90.0 GiB") && message.contains("80.0 GiB"), "{message}");
    assert!(message.contains("--tp_size") && !message.contains("KV cache"), "{message}");
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn weights_that_fit_only_an_empty_gpu_name_what_holds_its_memory() {
    for (teller, script) in
        [(BY_NVML, ("FAKE_NVML_FREE_GIB", "5")), (BY_CUDA, ("FAKE_CUDA_FREE_GIB", "5"))]
    {
        let (code, message) = plan(LLAMA_8B_IN_8_BITS_GIB, &[script], teller, &[]);
        assert_eq!(code, 3, "{message}");
        assert!(
            message.contains("only 5.0 GiB are free") && message.contains("nvidia-smi"),
            "{message}"
        );
    }
}

#[test]
fn a_load_that_the_kv_cache_does_not_hold_is_warned_of_with_the_load_that_it_does() {
    // 0.9 of the 1 GiB that is left holds 14 752 tokens of 64 KiB, in blocks of 32; 1 200 tokens are 38 blocks.
    for (teller, script) in
        [(BY_NVML, ("FAKE_NVML_FREE_GIB", "9")), (BY_CUDA, ("FAKE_CUDA_FREE_GIB", "9"))]
    {
        let load = |concurrency| ["--scenario", "D(1000,200)", "--concurrency", concurrency];
        let (code, message) = plan(LLAMA_8B_IN_8_BITS_GIB, &[script], teller, &load("4,32"));
        assert_eq!(code, 0, "{message}");
        assert!(message.contains("warning[kv_cache]"), "{message}");
        assert!(message.contains("32 requests in flight take up to 38912 tokens"), "{message}");
        assert!(message.contains("it holds 14752 at most"), "{message}");
        assert!(message.contains("up to about 12 requests at once"), "{message}");
        let (code, message) = plan(LLAMA_8B_IN_8_BITS_GIB, &[script], teller, &load("4,12"));
        assert!(code == 0 && !message.contains("kv_cache"), "{message}");
        assert!(message.contains("holds at most       14752 tokens"), "{message}");
        assert!(message.contains("takes  14592 tokens, for 12 requests in flight"), "{message}");
    }
}

#[test]
fn a_request_that_the_kv_cache_never_holds_is_refused() {
    let few = ["--scenario", "D(1000,200)", "--concurrency", "1", "--kv-tokens", "1100"];
    // A setting bounds the cache where nobody knows of a GPU, too.
    let (folder, target) = engine(LLAMA_8B_IN_8_BITS_GIB);
    let output = bareflight(&folder, &[], &[&["plan", "--target", &target][..], &few].concat());
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(
        message.contains("1216 tokens") && message.contains("`--kv-tokens` lets it hold 1120"),
        "{message}"
    );
}

#[test]
fn cuda_names_the_gpu_where_there_is_no_nvml_and_gives_its_context_back() {
    let (folder, target) = engine(LLAMA_8B_IN_8_BITS_GIB);
    let steps = folder.path().join("steps");
    let script = [
        ("FAKE_CUDA_NAME", "NVIDIA H100 80GB HBM3"),
        ("FAKE_CUDA_CONTEXTS", steps.to_str().expect("a path")),
    ];
    let load = ["--scenario", "D(16,8)", "--concurrency", "2", "--requests", "8", "--warmup", "1"];
    let arguments = [&["run", "--target", &target][..], &BY_CUDA, &load].concat();
    let output = bareflight(&folder, &script, &arguments);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let summary = left_behind::document(&left_behind::directory(&folder), "summary");
    let roofline = &summary["points"][0]["roofline"];
    assert_eq!(roofline["machine"], "H100 SXM");
    assert_eq!(roofline["machine_from"], "cuda");
    let steps = fs::read_to_string(steps).expect("a context was made");
    assert_eq!(steps.lines().collect::<Vec<_>>(), ["retain 0", "push 0", "pop 0", "release 0"]);
}

#[test]
fn a_driver_that_was_named_and_refuses_ends_the_run_with_its_function() {
    let script = [("FAKE_CUDA_CONTEXT", "1")];
    let (code, message) = plan(LLAMA_8B_IN_8_BITS_GIB, &script, BY_CUDA, &[]);
    assert!(code == 3 && message.contains("cuDevicePrimaryCtxRetain failed"), "{message}");
}

#[test]
fn only_the_gpus_that_device_ids_name_are_asked_for_their_memory() {
    let two = [("FAKE_CUDA_GPUS", "2"), ("FAKE_CUDA_FREE_GIB", "5,78")];
    let load = ["--scenario", "D(16,8)", "--concurrency", "1"];
    let planned =
        |ids: &[&str]| plan(LLAMA_8B_IN_8_BITS_GIB, &two, BY_CUDA, &[&load, ids].concat());
    for ids in [&[][..], &["--device-ids", "0"]] {
        let (code, message) = planned(ids);
        assert!(code == 3 && message.contains("only 5.0 GiB are free"), "{ids:?}: {message}");
    }
    let (code, message) = planned(&["--device-ids", "1"]);
    assert_eq!(code, 0, "{message}");
    // 0.9 × 70 GiB ÷ 64 KiB.
    assert!(message.contains("holds at most       1032192 tokens"), "{message}");
}

#[test]
fn device_ids_that_the_engine_cannot_take_are_refused_before_load() {
    let two = [("FAKE_CUDA_GPUS", "2")];
    for (ids, named) in [
        ("7", "device id 7 is asked for, and CUDA shows 2 GPUs"),
        ("0,1", "`--device-ids 0,1` does not go with the engine, which was built for 1 rank"),
        ("1,1", "each another"),
    ] {
        let (code, message) = plan(LLAMA_8B_IN_8_BITS_GIB, &two, BY_CUDA, &["--device-ids", ids]);
        assert!(code == 3 && message.contains(named), "{ids}: {message}");
    }
}

#[test]
fn nvml_tells_of_the_gpus_that_cuda_knows_by_the_device_ids() {
    let both = ["--nvml-library", "./nvml.so", "--cuda-library", "./cuda.so"];
    // NVML: 79 GiB are free on the first, 78 on the second.
    let two = [("FAKE_NVML_GPUS", "2"), ("FAKE_CUDA_GPUS", "2"), ("FAKE_NVML_CUDA_UUIDS", "1")];
    let load = ["--scenario", "D(16,8)", "--concurrency", "1", "--gpu-telemetry", "all"];
    for (ids, room) in [
        (&[][..], "1046944"),
        (&["--device-ids", "0"], "1046944"),
        (&["--device-ids", "1"], "1032192"),
    ] {
        let (code, message) = plan(LLAMA_8B_IN_8_BITS_GIB, &two, both, &[&load, ids].concat());
        assert_eq!(code, 0, "{message}");
        assert!(
            message.contains(&format!("holds at most       {room} tokens")),
            "{ids:?}: {message}"
        );
    }
}

#[test]
fn the_doctor_tells_the_room_and_whether_a_load_fits_it() {
    let (folder, _) = engine(LLAMA_8B_IN_8_BITS_GIB);
    let asked = ["doctor", "--json", "--engine", "engine", "--nvml-library", "./nvml.so"];
    let load = ["--cuda-library", "./cuda.so", "--scenario", "D(1000,200)", "--concurrency", "32"];
    let report = |free: &str| -> Value {
        let script = [("FAKE_NVML_FREE_GIB", free)];
        let output = bareflight(&folder, &script, &[&asked[..], &load].concat());
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let find = |report: &Value, id: &str| {
        let findings = report["findings"].as_array().expect("a list");
        findings.iter().find(|finding| finding["id"] == id).expect(id).clone()
    };
    let empty = report("78");
    assert_eq!(find(&empty, "memory_plan")["status"], "pass");
    // 0.9 × 70 GiB ÷ 64 KiB.
    let room = find(&empty, "kv_room");
    assert!(room["sentence"].to_string().contains("room for 1032192 tokens at most"), "{room}");
    assert_eq!(find(&empty, "kv_load")["status"], "pass");
    assert_eq!(find(&empty, "cuda")["status"], "pass");
    let full = report("9");
    let load = find(&full, "kv_load");
    assert_eq!(load["status"], "warn", "{load}");
    assert!(load["remedy"].to_string().contains("--concurrency 12"), "{load}");
    let cuda = find(&full, "cuda")["sentence"].to_string();
    assert!(cuda.contains("compute capability 9.0, 132 multiprocessors"), "{cuda}");
}

#[test]
fn the_doctor_holds_an_engine_against_the_gpus_that_device_ids_name() {
    let (folder, _) = engine(LLAMA_8B_IN_8_BITS_GIB);
    let two = [("FAKE_CUDA_GPUS", "2"), ("FAKE_CUDA_FREE_GIB", "5,78")];
    // There is no NVML, so CUDA tells.
    let asked = ["doctor", "--json", "--engine", "engine", "--nvml-library", "./none.so"];
    let plan_of = |ids: &[&str]| {
        let arguments = [&asked[..], &["--cuda-library", "./cuda.so"], ids].concat();
        let report = bareflight(&folder, &two, &arguments).stdout;
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        let findings = report["findings"].as_array().expect("a list").clone();
        let plan = findings.into_iter().find(|finding| finding["id"] == "memory_plan");
        plan.expect("the memory is judged")["status"].as_str().map(str::to_owned)
    };
    // Without a word the engine may take the best of both.
    let judged =
        [&[][..], &["--device-ids", "1"], &["--device-ids", "0"], &["--device-ids", "0,1"]];
    let judged = judged.map(|ids| plan_of(ids).expect("a status"));
    assert_eq!(judged, ["pass", "pass", "fail", "pass"]);
}
