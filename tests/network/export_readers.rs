//! Exports of ours in the hands of the tools whose shape they have: genai-bench, aiperf, HdrHistogram's reader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::python::environment;
use crate::support::fault_server::FaultServer;

tests! {
    genai_bench_makes_the_workbook_that_we_wrote_and_its_plots_of_our_export,
    genai_bench_reads_the_cells_of_several_scenarios_as_one_experiment,
    genai_bench_makes_the_workbook_that_we_wrote_of_embeddings_by_batch_size,
    aiperf_plots_our_export,
    hdr_histogram_reads_our_interval_log,
}

/// A sweep of a simulated engine with exports, in a folder that goes when this goes.
struct Exported {
    _folder: TempDir,
    run: PathBuf,
}

impl Exported {
    fn of(formats: &str) -> Self {
        Self::asking(formats, &["D(16,8)"])
    }

    /// With several scenarios each cell has a folder of its own.
    fn asking(formats: &str, scenarios: &[&str]) -> Self {
        let scenarios = scenarios.iter().flat_map(|it| ["--scenario", it]);
        let load = ["--requests", "40", "--concurrency", "1,4,16"];
        let asked = ["--target", "sim:explicit,base_us=2000"];
        let asked = asked.into_iter().chain(scenarios).chain(load);
        Self::of_run(formats, &asked.collect::<Vec<_>>())
    }

    fn of_run(formats: &str, asked: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        finished(
            Command::new(env!("CARGO_BIN_EXE_bareflight"))
                .arg("run")
                .args(asked)
                .args(["-q", "--export", formats])
                .current_dir(folder.path()),
        );
        let mut runs = fs::read_dir(folder.path().join("runs")).expect("runs");
        let run = runs.next().expect("a run").expect("an entry").path();
        Self { _folder: folder, run }
    }

    fn folder(&self, format: &str) -> PathBuf {
        self.run.join("exports").join(format)
    }
}

/// Runs to the end; what it printed.
fn finished(command: &mut Command) -> String {
    let output = command.env("NO_COLOR", "1").output().expect("the program starts");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{out}\n{error}");
    out
}

/// A tool that leaves its log where it runs.
fn program(name: &str, folder: &Path) -> Command {
    let programs = environment(name);
    let mut command = Command::new(programs.parent().expect("a folder of programs").join(name));
    command.current_dir(folder);
    command
}

fn script(environment_name: &str, name: &str) -> Command {
    let mut command = Command::new(environment(environment_name));
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network/client_scripts");
    command.arg(scripts.join(name));
    command
}

fn pictures(folder: &Path) -> usize {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|it| it == "png")).count()
}

fn genai_bench_makes_the_workbook_that_we_wrote_and_its_plots_of_our_export() {
    is_read_by_genai_bench(&Exported::of("genai-bench"));
}

fn genai_bench_reads_the_cells_of_several_scenarios_as_one_experiment() {
    is_read_by_genai_bench(&Exported::asking(
        "genai-bench",
        &["D(16,8)", "D(100,100)", "U(4,16)/(2,9)"],
    ));
}

fn genai_bench_makes_the_workbook_that_we_wrote_of_embeddings_by_batch_size() {
    let server = FaultServer::start(|request, wire| {
        if request.method == "GET" {
            return wire.json(404, "{}");
        }
        let texts = request.json()["input"].as_array().map_or(1, Vec::len);
        let of = |index| json!({"object": "embedding", "index": index, "embedding": [0.5]});
        let data: Vec<Value> = (0..texts).map(of).collect();
        let usage = json!({"prompt_tokens": 20 * texts, "total_tokens": 20 * texts});
        wire.json(200, &json!({"object": "list", "data": data, "usage": usage}).to_string())
    });
    let target = format!("openai:{}", server.url());
    let asked = ["--target", &target, "--endpoint", "embeddings", "--model", "m", "-s", "E(20)"];
    let load = ["--batch-size", "1,8", "--prompts", "ids", "--vocab-size", "500"];
    let times = ["--concurrency", "1", "--requests", "20"];
    is_read_by_genai_bench(&Exported::of_run("genai-bench", &[&asked[..], &load, &times].concat()));
}

fn is_read_by_genai_bench(exported: &Exported) {
    let folder = exported.folder("genai-bench");
    finished(
        program("genai-bench", &folder)
            .args(["excel", "--excel-name", "theirs", "--metric-percentile", "mean"])
            .args(["--metrics-time-unit", "s", "--experiment-folder"])
            .arg(&folder),
    );
    let (ours, theirs) = (folder.join("genai-bench_summary.xlsx"), folder.join("theirs.xlsx"));
    let said = finished(script("genai-bench", "workbook_cells.py").arg(ours).arg(theirs));
    assert_eq!(said.trim(), "0 differences");
    finished(
        program("genai-bench", &folder)
            .args(["plot", "--group-key", "traffic_scenario", "--experiments-folder"])
            .arg(&folder),
    );
    assert!(pictures(&folder) >= 8, "{} pictures", pictures(&folder));
}

fn aiperf_plots_our_export() {
    let exported = Exported::of("aiperf");
    let folder = exported.folder("aiperf");
    finished(program("aiperf", &folder).arg("plot").arg(&folder));
    assert!(folder.join("plots/ttft_vs_throughput.png").exists());
    // Of one point, which has a line for each request.
    let point = folder.join("concurrency4");
    finished(program("aiperf", &folder).arg("plot").arg(&point));
    assert!(pictures(&point.join("plots")) > 1, "{} pictures", pictures(&point.join("plots")));
}

fn hdr_histogram_reads_our_interval_log() {
    let exported = Exported::of("hlog");
    let log = exported.folder("hlog").join("concurrency4/latency.hlog");
    let said = finished(script("hdrhistogram", "read_hlog.py").arg(log));
    let told: Value = serde_json::from_str(&said).expect("JSON");
    for tag in ["TTFT", "latency", "TPOT"] {
        assert_eq!(told[tag]["count"], 40, "{tag}: {told}");
    }
    // On a busy machine a first delivery may bring more than one of the eight tokens.
    assert!(
        told["ITL"]["count"].as_u64().is_some_and(|gaps| (40..=40 * 7).contains(&gaps)),
        "{told}"
    );
    let summary = fs::read(exported.run.join("summary.json")).expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    for (tag, quantity) in [("TTFT", "ttft_ms"), ("latency", "e2e_ms"), ("ITL", "itl_ms")] {
        let ours =
            summary["points"][1]["distributions"][quantity]["max"].as_f64().expect("a maximum");
        let theirs = told[tag]["max_ms"].as_f64().expect("a maximum");
        assert!((ours - theirs).abs() <= 0.002 * ours, "{tag}: {ours} and {theirs}");
    }
}
