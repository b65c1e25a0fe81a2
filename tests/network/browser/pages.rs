//! Every kind of page that the program makes, from short runs of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::support::fault_server::FaultServer;
use crate::support::left_behind::words;
use crate::support::made_up;

/// A page, by the name of what made it.
pub struct Page {
    pub name: &'static str,
    pub file: PathBuf,
}

/// Arguments of a run, and the file that it leaves.
struct Made {
    name: &'static str,
    file: &'static str,
    arguments: String,
}

const ENGINE: &str = "--target sim:explicit,base_us=2000 --scenario D(16,8) --warmup 1";

fn all(out: &TempDir) -> Vec<Made> {
    made_up::library(out, "fake_nvml/nvml.c", "libfake-nvml.so");
    let broken = FaultServer::start(|_, wire| {
        wire.json(500, r#"{"error":{"message":"no memory is left on <device> 0"}}"#)
    });
    let made = |name, file, arguments: String| Made { name, file, arguments };
    let report = "report.html";
    vec![
        made("run", report, format!("run {ENGINE} --concurrency 4 --requests 60 --slo ttft<50ms")),
        made(
            "sweep",
            report,
            format!(
                "run {ENGINE} --concurrency 1,2,4,8,16,32 --requests 40 --gpu-telemetry all --nvml-library \
                 ./libfake-nvml.so"
            ),
        ),
        made(
            "cells",
            report,
            "run --target sim:explicit,base_us=2000 --warmup 1 -s D(16,8) -s D(64,4) --concurrency 1,4 --repeat 2 --requests 12"
                .to_owned(),
        ),
        made(
            "open-loop",
            report,
            format!("run {ENGINE} --arrivals poisson --request-rate 40,100,300 --requests 40 --slo ttft<9ms"),
        ),
        made(
            "failed",
            report,
            format!(
                "run --target openai:{} --model m --endpoint completions --scenario D(4,4) --concurrency 2 --requests 6 \
                 --warmup 0",
                broken.url()
            ),
        ),
        made(
            "served",
            report,
            "run --launch bareflight --launch-model sim:explicit,base_us=5000 --endpoint completions --scenario D(16,8) \
             --concurrency 2 --warmup 1 --requests 120"
                .to_owned(),
        ),
        made(
            "comparison",
            "comparison.html",
            format!("compare --target sim:explicit,base_us=1000 {ENGINE} --concurrency 2 --requests 12 --blocks 5"),
        ),
        made("ladder", "ladder.html", format!("ladder {ENGINE} --requests 4 --blocks 5")),
        made(
            "search",
            "search.html",
            format!(
                "search {ENGINE} --max-batch-size 1 --arrivals constant --slo ttft.p90<60ms --flood 16 --max-probes 5"
            ),
        ),
    ]
}

/// Makes them side by side below this folder: most of their time they wait.
pub fn make(out: &TempDir) -> Vec<Page> {
    let runs: Vec<_> = all(out)
        .into_iter()
        .map(|made| {
            let folder = out.path().to_owned();
            thread::spawn(move || one(&folder, &made))
        })
        .collect();
    let mut pages: Vec<Page> =
        runs.into_iter().map(|run| run.join().expect("a page is made")).collect();
    let run_folder = |wanted: &str| {
        let page = pages.iter().find(|page| page.name == wanted).expect("it was made");
        page.file.parent().expect("a folder").display().to_string()
    };
    let together =
        ["report", &run_folder("sweep"), &run_folder("run"), "--plots", "svg", "-o", "together"];
    let output = made_up::bareflight(out, &[], &together);
    assert!(output.status.success(), "{}", words(&output.stderr));
    for (name, file) in [("several-runs", "svg"), ("side-by-side", "html")] {
        let file = out.path().join(format!("together/benchmark_comparison.{file}"));
        pages.push(Page { name, file });
    }
    pages
}

fn one(out: &Path, made: &Made) -> Page {
    let below = out.join(made.name);
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(made.arguments.split(' '))
        .arg("--out")
        .arg(&below)
        .current_dir(out)
        .env("CI", "1")
        .env_remove("BAREFLIGHT_TARGET")
        .env("FAKE_NVML_GPUS", "2")
        .output()
        .expect("the binary runs");
    let folders = fs::read_dir(&below).into_iter().flatten().flatten();
    let mut found = folders.map(|entry| entry.path().join(made.file)).filter(|file| file.is_file());
    let file = found.next().unwrap_or_else(|| {
        panic!("{} leaves no {}: {}", made.name, made.file, words(&output.stderr))
    });
    Page { name: made.name, file }
}
