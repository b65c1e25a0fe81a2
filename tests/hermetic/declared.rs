//! What the user says of server and run, the unit of times, settings files with variables, and `init`.

use std::process::{Command, Output, Stdio};

use crate::support::left_behind::{directory, read, words};
use serde_json::Value;
use tempfile::TempDir;

const FEW: [&str; 9] = [
    "run",
    "--target",
    "sim:explicit,base_us=200",
    "--isl=16",
    "--osl=8",
    "-n12",
    "-q",
    "--concurrency=1",
    "--window=whole",
];

fn run(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1").stdin(Stdio::null());
    command.output().expect("the binary runs")
}

#[test]
fn what_is_said_of_the_server_is_in_every_artefact_and_divides_rates_and_cost() {
    let out = tempfile::tempdir().expect("a folder");
    let said = [
        "--server-engine=vLLM",
        "--server-version=0.11",
        "--server-gpu-type=H100",
        "--server-gpu-count=8",
        "--note=ticket=A-1",
        "--note",
        "rack=7",
        "--gpu-hour-price=2",
        "--export=genai-bench,benchmark-serving,md",
    ];
    let output = run(&out, &[&FEW[..], &said].concat());
    let printed = words(&output.stdout);
    assert!(printed.contains("vLLM 0.11 on 8 × H100"), "{printed}{}", words(&output.stderr));
    assert!(printed.contains("rack=7, ticket=A-1"), "{printed}");
    assert!(printed.contains("each of its 8 GPUs"), "{printed}");
    assert!(printed.contains("output per GPU"), "{printed}");
    let folder = directory(&out);
    let json = |name: &str| -> Value { serde_json::from_str(&read(&folder, name)).expect(name) };
    let server = serde_json::json!({
        "engine": "vLLM", "version": "0.11", "gpu_type": "H100", "gpu_count": 8
    });
    assert_eq!(json("summary.json")["declared"]["server"], server);
    assert_eq!(json("manifest.json")["declared"]["notes"]["ticket"], "A-1");
    let csv = read(&folder, "summary.csv");
    let (header, row) = csv.split_once('\n').expect("two lines");
    let columns =
        "server_engine,server_version,server_gpu_type,server_gpu_count,note_rack,note_ticket";
    assert!(header.ends_with(columns), "{header}");
    assert!(row.trim_end().ends_with("vLLM,0.11,H100,8,7,A-1"), "{row}");
    let page = read(&folder, "report.html");
    assert!(page.contains("declared.server.gpu_type") && page.contains("H100"));
    let exports = words_below(&folder.join("exports"));
    assert!(exports.contains("\"server_gpu_type\": \"H100, SIMULATED\""), "{exports}");
    assert!(exports.contains("\"ticket\":\"A-1\"") || exports.contains("\"ticket\": \"A-1\""));
    assert!(exports.contains("vLLM 0.11 on 8 × H100"), "Markdown says it");
    let again = words(&run(&out, &["report", &folder.display().to_string()]).stdout);
    assert!(again.contains("vLLM 0.11 on 8 × H100"), "{again}");
}

/// Everything that is written below a folder, in one text.
fn words_below(folder: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        text += &if path.is_dir() {
            words_below(&path)
        } else {
            std::fs::read_to_string(&path).unwrap_or_default()
        };
    }
    text
}

#[test]
fn seconds_are_on_the_console_and_in_markdown_and_files_keep_milliseconds() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &[&FEW[..], &["--time-unit", "s", "--export", "md"]].concat());
    let printed = words(&output.stdout);
    assert!(printed.contains("TTFT (s)") && !printed.contains("TTFT (ms)"), "{printed}");
    let folder = directory(&out);
    assert!(words_below(&folder.join("exports")).contains("TTFT p50 / p99 s"));
    assert!(read(&folder, "summary.csv").contains("avg_ttft_ms"));
    let folder = folder.display().to_string();
    let again = words(&run(&out, &["report", &folder]).stdout);
    assert!(again.contains("TTFT (s)"), "{again}");
    let again = words(&run(&out, &["report", &folder, "--time-unit", "ms"]).stdout);
    assert!(again.contains("TTFT (ms)"), "{again}");
}

#[test]
fn notes_that_are_none_are_refused() {
    let out = tempfile::tempdir().expect("a folder");
    for (typed, named) in [
        (&["--note", "ticket"][..], "KEY=VALUE"),
        (&["--note=a=1", "--note=a=2"], "note `a` is given twice"),
        (&["--server-gpu-count", "0"], "--server-gpu-count"),
    ] {
        let output = run(&out, &[&FEW[..], typed].concat());
        let said = words(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(named), "{typed:?}: {said}");
    }
}

#[test]
fn a_settings_file_takes_variables_and_says_which_is_missing() {
    let out = tempfile::tempdir().expect("a folder");
    let file = "target = '${TARGET_OF_TEST:-sim:null}'\nrequests = ${REQUESTS_OF_TEST}\nconcurrency = [1]\n";
    std::fs::write(out.path().join("c.toml"), file).expect("written");
    let planned = |requests: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["plan", "--config", "c.toml"]).current_dir(out.path());
        command.envs(requests.map(|it| ("REQUESTS_OF_TEST", it))).output().expect("it runs")
    };
    let output = planned(Some("17"));
    let text = words(&output.stdout);
    assert!(text.contains("17") && text.contains("\"sim:null\""), "{text}");
    let output = planned(None);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("line 2: the variable `REQUESTS_OF_TEST` is not set"), "{said}");
}

#[test]
fn init_without_a_terminal_says_which_flags_to_give_and_writes_with_them() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &["init"]);
    let said = words(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("--yes"), "{said}");
    let given = ["init", "--target", "sim:null", "--load", "1,2", "--size", "9", "--yes"];
    assert_eq!(run(&out, &given).status.code(), Some(0));
    let again = run(&out, &given);
    assert!(words(&again.stderr).contains("--force"), "a file is not written over");
    let plan = run(&out, &["plan", "--config", "bareflight.toml"]);
    let text = words(&plan.stdout);
    assert!(text.contains("[1,2]") && plan.status.code() == Some(0), "{}", words(&plan.stderr));
    let measured = run(&out, &["run", "-q", "--config", "bareflight.toml"]);
    assert!(matches!(measured.status.code(), Some(0 | 4)), "{}", words(&measured.stderr));
}
