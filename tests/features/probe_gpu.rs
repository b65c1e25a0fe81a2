//! `doctor --probe-gpu`: a GPU that is made up (`fake_cuda/`) is measured from end to end, and what is missing is told by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::left_behind::words;
use crate::support::made_up;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a driver, cuBLASLt and NVML, all made up.
fn made_up_cuda() -> TempDir {
    let folder = made_up::cuda();
    made_up::library(&folder, "fake_nvml/nvml.c", "nvml.so");
    folder
}

/// The doctor in this folder, which is where CUDA's libraries are looked for, and the user's cache too.
fn doctor(folder: &TempDir, script: &[(&str, &str)], arguments: &[&str]) -> Output {
    let place = folder.path().to_str().expect("a path");
    // Little memory, so that little of the host is locked; the management library knows the GPU by CUDA's UUID.
    let here = [
        ("LD_LIBRARY_PATH", place),
        ("XDG_CACHE_HOME", place),
        ("FAKE_CUDA_FREE_GIB", "0.5"),
        ("FAKE_NVML_CUDA_UUIDS", "1"),
    ];
    let arguments =
        [&["doctor", "--probe-gpu", "--json", "--nvml-library", "./nvml.so"][..], arguments]
            .concat();
    made_up::bareflight(folder, &[&here[..], script].concat(), &arguments)
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", words(&output.stderr)))
}

/// The sentences of the lines about the probe, with their status.
fn probes(report: &Value) -> Vec<(String, String)> {
    let all = report["findings"].as_array().expect("a list");
    let word = |line: &Value, key: &str| line[key].as_str().expect("a word").to_owned();
    let of_probe = all.iter().filter(|line| line["id"] == "probe");
    of_probe.map(|line| (word(line, "status"), word(line, "sentence"))).collect()
}

fn is(measured: &Value, key: &str, expected: f64) {
    let found = measured[key].as_f64().unwrap_or_else(|| panic!("{key}: {measured}"));
    assert!((found / expected - 1.0).abs() < 1e-3, "{key}: {found} and not {expected}");
}

#[test]
fn every_figure_of_a_simulated_gpu_is_found_again_and_kept_by_its_uuid() {
    let folder = made_up_cuda();
    let two = [("FAKE_CUDA_GPUS", "2"), ("FAKE_NVML_GPUS", "2"), ("FAKE_NVML_THROTTLE", "4")];
    let report = report(&doctor(&folder, &two, &[]));
    let gpus = report["measured"].as_array().expect("a list");
    assert_eq!(gpus.len(), 2);
    for gpu in gpus {
        assert_eq!(gpu["name"], "Fake GPU (no hardware)");
        is(gpu, "read_bytes_per_s", 4_000e9);
        is(gpu, "copy_bytes_per_s", 3_000e9);
        is(gpu, "from_host_bytes_per_s", 50e9);
        is(gpu, "to_host_bytes_per_s", 40e9);
        is(gpu, "bfloat16_flops", 800e12);
        is(gpu, "float8_flops", 1_600e12);
        is(gpu, "launch_us", 2.0);
        is(gpu, "launch_and_wait_us", 7.0);
        is(&gpu["peers"][0], "bytes_per_s", 400e9);
        assert_eq!(gpu["peers"][0]["direct"], true);
        assert_eq!(
            (&gpu["sm_mhz"], &gpu["throttled_by"][0]),
            (&1_500.into(), &"the power cap".into())
        );
        assert_eq!(gpu["missing"], serde_json::json!([]));
    }
    let kept = fs::read_to_string(folder.path().join("bareflight/measured-gpus.json"));
    let kept: Value = serde_json::from_str(&kept.expect("it was kept")).expect("JSON");
    let uuid = gpus[1]["uuid"].as_str().expect("a UUID");
    assert_eq!(kept[uuid], gpus[1]);
}

#[test]
fn what_one_gpu_cannot_do_is_told_beside_what_it_can() {
    let folder = made_up_cuda();
    let script = [
        ("FAKE_CUDA_NO_FP8", "1"),
        ("FAKE_CUDA_FAIL", "cuMemcpyHtoDAsync"),
        ("FAKE_CUDA_PEERS", "0"),
    ];
    let report = report(&doctor(&folder, &script, &[]));
    let gpu = &report["measured"][0];
    assert_eq!((&gpu["float8_flops"], &gpu["from_host_bytes_per_s"]), (&Value::Null, &Value::Null));
    is(gpu, "bfloat16_flops", 800e12);
    let (status, sentence) = &probes(&report)[0];
    assert_eq!(status, "pass", "{sentence}");
    assert!(sentence.contains("FP8: cuBLASLt does not multiply such matrices"), "{sentence}");
    assert!(
        sentence.contains("from the host: cuMemcpyHtoDAsync failed with CUDA error 999"),
        "{sentence}"
    );
}

#[test]
fn without_cublaslt_the_rest_is_measured_all_the_same() {
    let folder = made_up_cuda();
    fs::remove_file(folder.path().join("libcublasLt.so")).expect("removed");
    let report = report(&doctor(&folder, &[], &[]));
    is(&report["measured"][0], "read_bytes_per_s", 4_000e9);
    let (_, sentence) = &probes(&report)[0];
    assert!(sentence.contains("BF16: cuBLASLt cannot be used"), "{sentence}");
}

#[test]
fn a_library_that_is_absent_is_an_error_and_never_a_panic() {
    let folder = made_up_cuda();
    fs::remove_file(folder.path().join("libcuda.so")).expect("removed");
    let output = doctor(&folder, &[], &[]);
    let (status, sentence) = probes(&report(&output)).remove(0);
    assert_eq!((status.as_str(), output.status.code()), ("fail", Some(3)), "{sentence}");
    assert!(sentence.contains("libcuda") && sentence.contains("LD_LIBRARY_PATH"), "{sentence}");
    assert!(!words(&output.stderr).contains("panicked"), "{}", words(&output.stderr));
}

/// Names of a library's own functions that begin so.
fn functions(library: &Path, prefix: &str) -> BTreeSet<String> {
    let listed = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output();
    let listed = words(&listed.expect("`nm` is needed for this test").stdout);
    let names = listed.lines().filter_map(|line| line.split_whitespace().last());
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// Names in a sentence `… lacks a, b, c): …`.
fn lacking(sentence: &str) -> BTreeSet<String> {
    let list = sentence.split("lacks ").nth(1).unwrap_or_else(|| panic!("{sentence}"));
    let list = list.split(')').next().expect("the end of the list");
    list.split(", ").map(str::to_owned).collect()
}

/// The made-up libraries have no other functions, and a whole probe runs with them: so the list of those that are asked for first
/// is complete, and cudarc meets none that is missing.
#[test]
fn every_function_that_the_probe_calls_is_asked_for_before() {
    let folder = made_up_cuda();
    let place = folder.path();
    // What only the loader for `--cuda-library` and the profiler call.
    let others = ["cuCtxPopCurrent_v2", "cuCtxPushCurrent_v2", "cuProfilerStart", "cuProfilerStop"];
    let mut driver = functions(&place.join("libcuda.so"), "cu");
    driver.retain(|name| !others.contains(&name.as_str()));
    let matrices = functions(&place.join("libcublasLt.so"), "cublasLt");
    fs::write(place.join("nothing.c"), "int nothing;\n").expect("written");
    let empty = place.join("nothing.c");
    let build = |name: &str| {
        let built =
            Command::new("cc").args(["-shared", "-o"]).args([&place.join(name), &empty]).status();
        assert!(built.expect("`cc` is needed for this test").success());
    };
    build("libcublasLt.so");
    let without_matrices = report(&doctor(&folder, &[], &[]));
    assert_eq!(lacking(&probes(&without_matrices)[0].1), matrices);
    build("libcuda.so");
    let output = doctor(&folder, &[], &[]);
    assert_eq!(lacking(&probes(&report(&output))[0].1), driver);
    assert!(!words(&output.stderr).contains("panicked"), "{}", words(&output.stderr));
}

#[test]
fn a_library_that_is_named_cannot_be_kept_to_and_is_refused() {
    let folder = made_up_cuda();
    let output = doctor(&folder, &[], &["--cuda-library", "./libcuda.so"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output.stderr).contains("LD_LIBRARY_PATH"), "{}", words(&output.stderr));
}
