//! Claims about files for other tools, results of other tools, and several runs side by side, each with the program itself.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::fault_server::FaultServer;
use crate::support::serve_process::Serving;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bareflight");
const ALL: &str = "aiperf,genai-perf,benchmark-serving,genai-bench,trtllm-bench,mlperf,hlog,md";

fn bareflight(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).output().expect("the binary runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A sweep over a simulated engine, with exports.
fn exported(load: &[&str]) -> (TempDir, PathBuf) {
    let base = tempfile::tempdir().expect("a folder");
    let mut arguments =
        vec!["run", "--target", "sim:explicit,base_us=300", "--scenario", "D(16,8)"];
    arguments.extend(["--requests", "24", "-q", "--export", ALL, "--plots", "svg"]);
    arguments.extend(load);
    let ran = bareflight(base.path(), &arguments);
    let run = fs::read_dir(base.path().join("runs")).expect("runs").next().expect("a run");
    let run = run.expect("a folder").path();
    assert!(run.join("exports/md/report.md").exists(), "{}", err(&ran));
    (base, run)
}

fn json(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// The one file of a folder whose name holds a text.
fn found(folder: &Path, part: &str) -> PathBuf {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names = entries.map(|entry| entry.expect("an entry").path());
    names.find(|path| path.to_string_lossy().contains(part)).expect(part)
}

fn number(document: &Value, pointer: &str) -> f64 {
    document.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"))
}

/// A column of the measured requests of a point, in milliseconds or tokens.
fn column(run: &Path, point: &str, name: &str) -> Vec<f64> {
    let mut rows = csv::Reader::from_path(run.join("requests.csv")).expect("rows");
    let header = rows.headers().expect("a header").clone();
    let place = |name: &str| header.iter().position(|it| it == name).expect("a column");
    let (value, of, part) = (place(name), place("point"), place("part"));
    let rows = rows.records().map(|row| row.expect("a row"));
    let rows = rows.filter(|row| &row[of] == point && &row[part] == "measured");
    rows.map(|row| row[value].parse().expect("a number")).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(1.0)
}

#[test]
fn every_format_says_of_one_run_what_its_records_say() {
    let (_base, run) = exported(&["--concurrency", "1,4"]);
    let exports = run.join("exports");
    let ttft = mean(&column(&run, "1", "ttft_ms"));
    let latency = mean(&column(&run, "1", "e2e_ms"));
    let aiperf = json(&exports.join("aiperf/concurrency4/profile_export_aiperf.json"));
    assert!(close(number(&aiperf, "/time_to_first_token/avg"), ttft));
    assert!(close(number(&aiperf, "/request_latency/avg"), latency));
    assert_eq!(aiperf.pointer("/request_latency/unit"), Some(&"ms".into()));
    assert!(close(number(&aiperf, "/total_osl/avg"), 24.0 * 8.0));
    let lines = fs::read_to_string(exports.join("aiperf/concurrency4/profile_export.jsonl"));
    assert_eq!(lines.expect("records").lines().count(), 24);

    let genai_perf = found(&exports.join("genai-perf"), "concurrency4");
    let document = json(&genai_perf.join("profile_export_genai_perf.json"));
    assert!(close(number(&document, "/time_to_first_token/avg"), ttft));
    let stamps = json(&genai_perf.join("profile_export.json"));
    let requests = stamps.pointer("/experiments/0/requests").and_then(Value::as_array);
    assert_eq!(requests.map(Vec::len), Some(24));

    let vllm = json(&found(&exports.join("benchmark-serving"), "concurrency4"));
    assert!(close(number(&vllm, "/mean_ttft_ms"), ttft));
    assert!(close(number(&vllm, "/mean_e2el_ms"), latency));
    assert_eq!(vllm["ttfts"].as_array().map(Vec::len), Some(24));

    let genai_bench = json(&found(&exports.join("genai-bench"), "num_concurrency_4"));
    assert!(close(number(&genai_bench, "/aggregated_metrics/stats/ttft/mean") * 1e3, ttft));
    assert_eq!(genai_bench["aggregated_metrics"]["scenario"], "D(16,8)");

    let trtllm = json(&exports.join("trtllm-bench/concurrency4/report.json"));
    assert!(close(number(&trtllm, "/streaming_metrics/avg_ttft_ms"), ttft));
    assert!(close(number(&trtllm, "/performance/avg_request_latency_ms"), latency));
    let mlperf = exports.join("mlperf/concurrency4/mlperf_log_summary.txt");
    assert!(fs::read_to_string(mlperf).expect("a summary").contains("no result of MLPerf"));
}

#[test]
fn exports_and_pictures_are_made_again_byte_for_byte() {
    let (base, run) = exported(&["--concurrency", "1,2"]);
    let read = || {
        let mut all = vec![fs::read(run.join("plots/throughput.svg")).expect("a plot")];
        all.push(
            fs::read(run.join("exports/aiperf/concurrency1/profile_export.jsonl")).expect("x"),
        );
        all.push(
            fs::read(found(&run.join("exports/benchmark-serving"), "concurrency2")).expect("x"),
        );
        all
    };
    let before = read();
    fs::remove_dir_all(run.join("exports")).expect("removed");
    fs::remove_dir_all(run.join("plots")).expect("removed");
    let folder = run.to_str().expect("a plain path");
    bareflight(base.path(), &["report", folder, "--export", ALL, "--plots", "svg"]);
    assert_eq!(read(), before);
}

#[test]
fn exports_of_a_server_name_the_endpoint_that_was_asked() {
    let base = tempfile::tempdir().expect("a folder");
    let tokenizer = base.path().join("tokenizer");
    let tokenizer = tokenizer.to_str().expect("a plain path");
    let serving = Serving::start(&["--target", "sim:null", "--write-tokenizer", tokenizer]);
    let triton = format!("triton:{}/tensorrt_llm", serving.grpc);
    let (http, chat) = (serving.openai.as_str(), ["--tokenizer", tokenizer]);
    for (target, more, service, path, backend) in [
        (http, &chat[..], "openai-chat", "v1/chat/completions", "openai-chat"),
        (http, &["--endpoint", "completions"], "openai-completions", "v1/completions", "openai"),
        (&triton, &[], "triton-tensorrtllm", "", "openai"),
    ] {
        let load =
            ["--concurrency", "2", "-n", "8", "--scenario", "D(8,4)", "-q", "--out", service];
        let arguments = [&["run", target, "--export", ALL], &load[..], more].concat();
        let ran = bareflight(base.path(), &arguments);
        let run = base.path().join(service);
        assert!(run.is_dir(), "{service}: {}", err(&ran));
        let exports = found(&run, "").join("exports");
        let folder = found(&exports.join("genai-perf"), &format!("-{service}-concurrency2"));
        assert_eq!(json(&folder.join("profile_export.json"))["endpoint"], path);
        let config = &json(&folder.join("profile_export_genai_perf.json"))["input_config"];
        let named = format!(
            "{}-{}",
            config["service_kind"].as_str().expect("a kind"),
            config["endpoint_type"].as_str().expect("an endpoint")
        );
        assert_eq!(named, service);
        let bench = found(&exports.join("benchmark-serving"), "qps");
        let name = bench.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.starts_with(&format!("{backend}-infqps")), "{name}");
        assert_eq!(json(&bench)["backend"], backend);
    }
}

#[test]
fn a_failed_request_has_the_status_that_the_server_gave_it() {
    let base = tempfile::tempdir().expect("a folder");
    let asked = AtomicUsize::new(0);
    let server = FaultServer::start(move |request, wire| {
        if request.method == "GET" {
            return wire.json(404, "{}");
        }
        if asked.fetch_add(1, Ordering::SeqCst) % 4 == 3 {
            return wire.json(503, r#"{"error":{"message":"full"}}"#);
        }
        wire.json(
            200,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],
                "usage":{"prompt_tokens":20,"total_tokens":20}}"#,
        )
    });
    let target = format!("openai:{}", server.url());
    let asked = ["run", &target, "--endpoint", "embeddings", "--model", "m", "-s", "E(20)"];
    let load = ["--prompts", "ids", "--vocab-size", "500", "--concurrency", "1", "-n", "16"];
    let export = ["--warmup", "0", "-q", "--out", "run", "--export", "genai-bench,aiperf"];
    let ran = bareflight(base.path(), &[&asked[..], &load, &export].concat());
    let exports = found(&base.path().join("run"), "").join("exports");
    assert!(exports.is_dir(), "{}", err(&ran));
    let bench = json(&found(&exports.join("genai-bench"), "text-to-embeddings"));
    let codes = &bench["aggregated_metrics"]["error_codes_frequency"];
    assert!(codes["503"].as_u64().is_some_and(|count| count > 0), "{codes}");
    assert_eq!(codes.as_object().map(serde_json::Map::len), Some(1), "{codes}");
    let aiperf = found(&exports.join("aiperf"), "").join("profile_export_aiperf.json");
    assert_eq!(json(&aiperf)["error_summary"][0]["error_details"]["code"], 503);
}

#[test]
fn a_load_without_concurrency_is_left_out_of_genai_bench_and_said() {
    let (base, run) = exported(&["--rate", "400"]);
    assert!(run.join("exports/aiperf/request_rate400/profile_export_aiperf.json").exists());
    let folder = run.to_str().expect("a plain path");
    let again = bareflight(base.path(), &["report", folder, "--export", "genai-bench"]);
    assert!(err(&again).contains("left out of export genai-bench: "), "{}", err(&again));
}

#[test]
fn exports_of_a_run_read_in_stand_beside_it_with_the_same_numbers() {
    let (base, run) = exported(&["--concurrency", "2,4"]);
    let exports = run.join("exports");
    let others = [
        exports.join("aiperf/concurrency4/profile_export_aiperf.json"),
        found(&exports.join("genai-perf"), "concurrency4").join("profile_export_genai_perf.json"),
        found(&exports.join("benchmark-serving"), "concurrency4"),
        found(&exports.join("genai-bench"), "num_concurrency_4"),
    ];
    let mut arguments = vec!["report", run.to_str().expect("a plain path")];
    arguments.extend(others.iter().map(|path| path.to_str().expect("a plain path")));
    arguments.extend(["--format", "md", "--plots", "svg", "-o", "together"]);
    let said = out(&bareflight(base.path(), &arguments));
    let at_four = said.split("**concurrency 4**").nth(1).expect("the load of all");
    let ttft = at_four.lines().find(|line| line.starts_with("| TTFT mean")).expect("a row");
    let ratios: Vec<&str> =
        ttft.split('|').map(str::trim).filter(|cell| *cell == "1.000").collect();
    assert_eq!(ratios.len(), 4, "{ttft}");
    let ours = format!("bareflight {} as ", env!("CARGO_PKG_VERSION"));
    assert_eq!(said.matches(&ours).count(), 4, "{said}");
    assert!(!said.contains("SOMEBODY ELSE"), "{said}");
    assert!(said.contains("undecided"), "{said}");
    let summary = fs::read_to_string(base.path().join("together/benchmark_summary.txt"));
    assert!(summary.expect("a summary").contains("B / A = "));
    assert!(base.path().join("together/benchmark_comparison.svg").exists());
    let page = fs::read_to_string(base.path().join("together/benchmark_comparison.html"));
    let page = page.expect("a page");
    assert!(page.contains("concurrency 4") && page.contains("undecided") && page.contains("<svg"));
}

#[test]
fn a_folder_of_results_is_one_side_for_each_tool_and_model() {
    let (base, run) = exported(&["--concurrency", "2,4"]);
    let folder = run.join("exports/benchmark-serving");
    let said = out(&bareflight(base.path(), &["import", folder.to_str().expect("a plain path")]));
    assert!(said.contains("\nconcurrency 2\n") && said.contains("\nconcurrency 4\n"), "{said}");
    assert!(said.contains("  A  ") && !said.contains("  B  "), "{said}");
    fs::create_dir(base.path().join("empty")).expect("a folder");
    let nothing = bareflight(base.path(), &["import", "empty"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(err(&nothing).contains("no run directory"), "{}", err(&nothing));
}

/// A load that is measured twice has files of its own each time, in every format that names files by load.
#[test]
fn no_point_of_a_load_that_is_measured_again_is_lost() {
    let (_base, run) = exported(&["--concurrency", "2,2"]);
    let exports = run.join("exports");
    for (format, name) in [
        ("aiperf", "profile_export_aiperf.json"),
        ("genai-perf", "profile_export_genai_perf.json"),
        ("benchmark-serving", ".json"),
        ("trtllm-bench", "report.json"),
        ("mlperf", "mlperf_log_summary.txt"),
        ("hlog", "latency.hlog"),
    ] {
        let files = below(&exports.join(format));
        let of_points = files.iter().filter(|it| it.to_string_lossy().ends_with(name)).count();
        assert_eq!(of_points, 2, "{format}: {files:?}");
    }
}

#[test]
fn what_is_about_several_runs_is_refused_for_one() {
    let (base, run) = exported(&["--concurrency", "2"]);
    let run = run.to_str().expect("a plain path");
    for flag in [["--out", "x"], ["--margin", "3%"]] {
        let said = bareflight(base.path(), &["report", run, flag[0], flag[1]]);
        assert_eq!(said.status.code(), Some(2), "{}", err(&said));
        assert!(err(&said).contains(flag[0]), "{}", err(&said));
    }
    assert!(
        out(&bareflight(base.path(), &["report", run, "--format", "html"]))
            .starts_with("<!doctype html>")
    );
}

#[test]
fn a_file_of_no_known_tool_ends_with_a_usage_error() {
    let base = tempfile::tempdir().expect("a folder");
    fs::write(base.path().join("x.json"), "{\"a\": 1}").expect("written");
    let said = bareflight(base.path(), &["import", "x.json"]);
    assert_eq!(said.status.code(), Some(2));
    assert!(err(&said).contains("x.json") && err(&said).contains("genai-bench"), "{}", err(&said));
}

#[test]
fn files_of_one_run_are_refused_where_there_are_several_sides() {
    let base = tempfile::tempdir().expect("a folder");
    let said = bareflight(
        base.path(),
        &["compare", "--target", "null:", "--target", "null:", "--export", "aiperf"],
    );
    assert_eq!(said.status.code(), Some(2), "{}", err(&said));
    assert!(err(&said).contains("--export"), "{}", err(&said));
}

/// Every file below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

/// The files of an archive as one text, read by its local headers.
fn unpacked(bytes: &[u8]) -> String {
    let number =
        |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four")) as usize;
    let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (mut at, mut text) = (0, String::new());
    while bytes[at..].starts_with(b"PK\x03\x04") {
        let (packed, begin) = (number(at + 18), at + 30 + short(at + 26) + short(at + 28));
        let mut file = flate2::read::DeflateDecoder::new(&bytes[begin..begin + packed]);
        file.read_to_string(&mut text).expect("a text");
        at = begin + packed;
    }
    text
}

#[test]
fn every_exported_file_says_that_its_numbers_are_simulated() {
    let (_base, run) = exported(&["--concurrency", "2"]);
    for path in below(&run.join("exports")) {
        let bytes = fs::read(&path).expect("a file");
        let is_workbook = path.extension().is_some_and(|it| it == "xlsx");
        let text =
            if is_workbook { unpacked(&bytes) } else { String::from_utf8(bytes).expect("a text") };
        assert!(text.to_lowercase().contains("simulated"), "{}", path.display());
    }
}

#[test]
fn exports_carry_verdict_warnings_and_what_the_user_declared() {
    let declared = ["--server-engine", "vLLM", "--server-gpu-type", "H100", "--note", "team=blue"];
    let (_base, run) = exported(&[&["--concurrency", "2"][..], &declared].concat());
    let exports = run.join("exports");
    let documents = [
        exports.join("trtllm-bench/concurrency2/report.json"),
        exports.join("aiperf/concurrency2/profile_export_aiperf.json"),
        found(&exports.join("genai-perf"), "concurrency2").join("profile_export_genai_perf.json"),
        found(&exports.join("genai-bench"), "num_concurrency_2"),
        found(&exports.join("benchmark-serving"), "concurrency2"),
    ];
    for path in documents {
        let ours = &json(&path)["bareflight"];
        assert_eq!(ours["marks"][0], "simulated", "{}", path.display());
        assert_eq!(ours["server"]["engine"], "vLLM");
        assert_eq!(ours["notes"]["team"], "blue");
        assert!(ours["verdict"].is_string() && ours["warnings"][0]["code"].is_string(), "{ours}");
    }
    for text in
        ["mlperf/concurrency2/mlperf_log_summary.txt", "mlperf/README.txt", "hlog/README.txt"]
    {
        let text = fs::read_to_string(exports.join(text)).expect(text);
        assert!(text.contains("verdict: ") && text.contains("server: vLLM on H100"), "{text}");
        assert!(text.contains("notes: team=blue"), "{text}");
    }
}

#[test]
fn an_interval_log_has_a_line_for_each_second_and_tag_with_the_largest_value() {
    let (_base, run) = exported(&["--concurrency", "4"]);
    let log =
        fs::read_to_string(run.join("exports/hlog/concurrency4/latency.hlog")).expect("a log");
    assert!(log.starts_with("#[") && log.contains("\n#[StartTime: "), "{log}");
    let largest = column(&run, "0", "e2e_ms").into_iter().fold(0.0, f64::max);
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("Tag=")).collect();
    for tag in ["TTFT", "ITL", "TPOT", "latency"] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("Tag={tag},"))), "{tag}");
    }
    let most = lines.iter().filter(|line| line.starts_with("Tag=latency,"));
    let most =
        most.map(|line| line.split(',').nth(3).expect("a field").parse::<f64>().expect("ms"));
    let most = most.fold(0.0, f64::max);
    assert!((most - largest).abs() <= 0.002 * largest, "{most} {largest}");
    assert!(lines.iter().all(|line| line.contains(",HIST")), "compressed, version 2");
}

#[test]
fn the_workbook_of_genai_bench_has_its_sheets_and_the_means_of_its_json() {
    let (_base, run) = exported(&["--concurrency", "1,4"]);
    let folder = run.join("exports/genai-bench");
    let text = unpacked(&fs::read(folder.join("genai-bench_summary.xlsx")).expect("a workbook"));
    for sheet in [
        "Summary",
        "Appendix",
        "Experiment Metadata",
        "Aggregated Metrics for Each Run",
        "Individual Request Metrics",
    ] {
        assert!(text.contains(&format!("<sheet name=\"{sheet}\"")), "{sheet}");
    }
    let document = json(&found(&folder, "num_concurrency_4"));
    let mean = number(&document, "/aggregated_metrics/stats/ttft/mean");
    assert!(text.contains(&format!("<v>{mean}</v>")), "{mean}");
    assert!(text.contains("Concurrency at target speed (&gt;10 tokens/s)"));
}

#[test]
fn cells_are_one_experiment_of_genai_bench_with_a_file_of_each_and_one_workbook() {
    let base = tempfile::tempdir().expect("a folder");
    let arguments = ["run", "--target", "sim:explicit,base_us=300", "--scenario", "D(16,8)"];
    let more = ["--scenario", "D(8,4)", "--concurrency", "1,2", "--requests", "12", "-q"];
    let asked = [&arguments[..], &more, &["--export", "genai-bench"]].concat();
    let ran = bareflight(base.path(), &asked);
    let run = fs::read_dir(base.path().join("runs")).expect("runs").next().expect("a run");
    let folder = run.expect("a folder").path().join("exports/genai-bench");
    assert!(folder.is_dir(), "{}", err(&ran));
    let metadata = json(&folder.join("experiment_metadata.json"));
    assert_eq!(metadata["traffic_scenario"], serde_json::json!(["D(16,8)", "D(8,4)"]));
    assert_eq!(metadata["num_concurrency"], serde_json::json!([1, 2]));
    for name in ["D16_8_text-to-text_num_concurrency_2", "D8_4_text-to-text_num_concurrency_1"] {
        assert!(json(&found(&folder, name))["aggregated_metrics"].is_object(), "{name}");
    }
    let text = unpacked(&fs::read(folder.join("genai-bench_summary.xlsx")).expect("a workbook"));
    assert!(text.contains(">D(16,8)<") && text.contains(">D(8,4)<"), "both have a row");
    let origin = fs::read_to_string(folder.join("README.txt")).expect("an origin");
    assert_eq!(origin.matches("SIMULATED").count(), 4, "{origin}");
    assert!(out(&ran).contains("exports"), "it is listed: {}", out(&ran));
}
