//! Cells of `bareflight run`: scenarios with loads in folders of their own, one that fails, and a run that goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::left_behind::{directory, read, words};

fn bareflight(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

/// Two scenarios at two loads.
const CELLS: [&str; 4] =
    ["isl_8_osl_4_conc_1", "isl_8_osl_4_conc_2", "isl_16_osl_2_conc_1", "isl_16_osl_2_conc_2"];
const SWEEP: [&str; 10] =
    ["-s", "D(8,4)", "-s", "D(16,2)", "--concurrency", "1,2", "--requests", "4", "--warmup", "1"];

fn run(out: &TempDir, target: &str) -> Output {
    bareflight(out, &[&["run", "--target", target][..], &SWEEP].concat())
}

fn index(folder: &Path) -> Value {
    serde_json::from_str(&read(folder, "index.json")).expect("JSON")
}

fn states(folder: &Path) -> Vec<String> {
    let index = index(folder);
    let cells = index["cells"].as_array().expect("cells");
    cells.iter().map(|cell| cell["state"].as_str().expect("a state").to_owned()).collect()
}

/// Every file below a folder with its bytes.
fn bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a file")))
        .collect();
    files.sort();
    files
}

#[test]
fn scenarios_with_loads_are_cells_of_one_directory_with_an_index_and_one_summary() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, "sim:explicit,base_us=200");
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{message}");
    let folder = directory(&out);
    for cell in CELLS {
        let of_cell = folder.join(cell);
        assert!(of_cell.join("requests.csv").is_file(), "{cell}");
        assert!(of_cell.join("report.html").is_file(), "{cell}");
        assert_eq!(read(&of_cell, "summary.csv").lines().count(), 2, "{cell}");
        // A cell is a run of its own, which is reported again from its records.
        let before = read(&of_cell, "summary.json");
        let again = bareflight(&out, &["report", &of_cell.display().to_string()]);
        assert!(matches!(again.status.code(), Some(0 | 4)), "{}", words(&again.stderr));
        assert_eq!(read(&of_cell, "summary.json"), before, "{cell}");
    }
    let names: Vec<String> = index(&folder)["cells"]
        .as_array()
        .expect("cells")
        .iter()
        .map(|cell| cell["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names, CELLS);
    assert_eq!(states(&folder), ["complete"; 4]);
    assert_eq!(read(&folder, "index.csv").lines().count(), 5);
    assert_eq!(read(&folder, "summary.csv").lines().count(), 5);
    let page = read(&folder, "report.html");
    for scenario in ["D(8,4)", "D(16,2)"] {
        assert!(page.contains(&format!("<h3>{scenario}</h3>")), "{scenario} has a table");
        assert!(page.matches(scenario).count() > 4, "{scenario} is a curve in every chart");
        assert!(printed.contains(&format!("\n{scenario}\n")), "{printed}");
    }
    // All of it is made again from the records.
    let made = ["summary.csv", "summary.json", "report.html"];
    let before = made.map(|name| read(&folder, name));
    let again = bareflight(&out, &["report", &folder.display().to_string()]);
    assert!(matches!(again.status.code(), Some(0 | 4)), "{}", words(&again.stderr));
    assert!(words(&again.stdout).contains("\nD(16,2)\n"));
    assert_eq!(made.map(|name| read(&folder, name)), before);
    assert!(message.contains("cell 4 of 4: isl_16_osl_2_conc_2, about"), "{message}");
    // Beside another run each scenario is one side, with a point for each load.
    let cells = folder.display().to_string();
    let beside =
        bareflight(&out, &["report", &cells, &folder.join(CELLS[0]).display().to_string()]);
    let (said, lines) = (words(&beside.stdout), |text: &str| {
        words(&beside.stdout).lines().filter(|line| line.contains(text)).count()
    });
    assert!(said.contains("  C  "), "{said}{}", words(&beside.stderr));
    assert!(!said.contains("  D  "), "{said}");
    assert_eq!(lines("requests completed"), 2, "{said}");
}

#[test]
fn a_cell_that_fails_is_kept_and_told_and_the_next_one_is_measured() {
    let out = tempfile::tempdir().expect("a folder");
    // Each session of the target takes so many requests and no more, which is in the second cell.
    let output = run(&out, "sim:explicit,base_us=200,throw_at_enqueue=20");
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{printed}{message}");
    let folder = directory(&out);
    let states = states(&folder);
    let failed = states.iter().position(|state| state == "failed").expect("one has failed");
    assert_eq!(states.get(failed + 1).map_or("complete", |it| it), "complete", "{states:?}");
    let name = CELLS[failed];
    assert!(folder.join(name).join("manifest.json").is_file(), "it is kept");
    assert!(message.contains(&format!("cell {name} has no result")), "{message}");
    assert!(printed.contains("cells without a result"), "{printed}");
    assert!(read(&folder, "report.html").contains("Cells without a result"));
}

#[test]
fn a_run_goes_on_with_what_is_missing_and_finished_cells_keep_their_bytes() {
    let out = tempfile::tempdir().expect("a folder");
    run(&out, "sim:explicit,base_us=200");
    let folder = directory(&out);
    let name = folder.display().to_string();
    let kept: Vec<_> = [0, 1, 3].map(|cell| bytes(&folder.join(CELLS[cell]))).into();
    let plan = index(&folder)["cells"][2]["plan_hash"].clone();
    fs::remove_dir_all(folder.join(CELLS[2])).expect("removed");
    let output = bareflight(&out, &["run", "--resume", &name]);
    let message = words(&output.stderr);
    assert!(message.contains(&format!("cell 1 of 1: {}", CELLS[2])), "{message}");
    let still: Vec<_> = [0, 1, 3].map(|cell| bytes(&folder.join(CELLS[cell]))).into();
    assert!(kept == still, "a finished cell was written again");
    assert_eq!(states(&folder), ["complete"; 4], "{message}");
    assert_eq!(index(&folder)["cells"][2]["plan_hash"], plan, "the same is asked");
    assert_eq!(read(&folder, "summary.csv").lines().count(), 5);
    // Where a cell would be asked something else, nothing is sent.
    let manifest = folder.join(CELLS[0]).join("manifest.json");
    let hash = index(&folder)["cells"][0]["plan_hash"].as_str().expect("a hash").to_owned();
    let text = read(&folder.join(CELLS[0]), "manifest.json");
    fs::write(&manifest, text.replace(&hash, &"0".repeat(64))).expect("written");
    fs::remove_dir_all(folder.join(CELLS[2])).expect("removed");
    let output = bareflight(&out, &["run", "--resume", &name]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output.stderr));
    assert!(words(&output.stderr).contains(&format!("cell `{}`", CELLS[0])));
    assert!(!folder.join(CELLS[2]).exists(), "nothing was sent");
    let refused = bareflight(&out, &["run", "--resume", &name, "--seed", "3"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(words(&refused.stderr).contains("`--seed`"), "{}", words(&refused.stderr));
}

#[test]
fn cells_are_those_of_a_run_and_of_nothing_else() {
    let out = tempfile::tempdir().expect("a folder");
    let two = ["-s", "D(1,1)", "-s", "D(2,1)"];
    for command in [
        vec!["compare", "--target", "null:", "--target", "null:"],
        vec!["search", "--target", "null:", "--slo", "ttft<1s"],
        vec!["ladder", "--target", "sim:null"],
    ] {
        let output = bareflight(&out, &[&command[..], &two].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let message = words(&output.stderr);
        assert!(message.contains("one `--scenario`"), "{command:?}: {message}");
    }
}
