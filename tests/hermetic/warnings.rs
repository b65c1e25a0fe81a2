//! Warning codes at the command line: shown everywhere, denied, allowed, explained.

use std::process::{Command, Output};

use crate::support::left_behind::{directory, read, words};
use serde_json::Value;
use tempfile::TempDir;

/// So few requests that percentiles are marked, of a simulated engine.
const FEW: [&str; 9] = [
    "run",
    "--target",
    "sim:explicit,base_us=200",
    "--isl",
    "16",
    "--osl=8",
    "-n12",
    "-q",
    "--concurrency=1",
];

fn run(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

#[test]
fn codes_are_on_the_console_and_in_every_artefact() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &FEW);
    let printed = words(&output.stdout);
    assert!(printed.contains("W041 note: SIMULATED"), "{printed}");
    assert!(printed.contains("W050 note: `~` marks"), "{printed}");
    let folder = directory(&out);
    let summary: Value = serde_json::from_str(&read(&folder, "summary.json")).expect("JSON");
    let codes: Vec<&str> = summary["notes"]
        .as_array()
        .expect("notes")
        .iter()
        .map(|note| note["code"].as_str().expect("a code"))
        .collect();
    assert!(codes.contains(&"W041") && codes.contains(&"W050"), "{codes:?}");
    let checks = summary["points"][0]["checks"].as_array().expect("checks");
    let headroom = checks.iter().find(|check| check["id"] == "headroom").expect("one");
    assert_eq!(headroom["code"], "W005");
    let manifest: Value = serde_json::from_str(&read(&folder, "manifest.json")).expect("JSON");
    assert!(manifest["codes"].as_array().expect("codes").contains(&"W050".into()), "{manifest}");
    let csv = read(&folder, "summary.csv");
    let (header, row) = csv.split_once('\n').expect("two lines");
    assert!(header.contains(",warning_codes,") && row.contains("W041;"), "{header}\n{row}");
    assert!(read(&folder, "report.html").contains("<code>W050</code>"));
}

#[test]
fn a_denied_warning_ends_with_code_4_and_says_why_and_so_does_its_report() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &[&FEW[..], &["--deny", "W050"]].concat());
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("W050 uncertified percentiles is denied: "), "{said}");
    let folder = directory(&out).display().to_string();
    assert_eq!(run(&out, &["report", &folder]).status.code(), Some(4), "the run remembers it");
}

#[test]
fn an_unknown_code_is_refused_with_the_list_and_one_on_both_lists_by_name() {
    let out = tempfile::tempdir().expect("a folder");
    for (typed, named) in [
        (&["--deny", "W999"][..], "W005 headroom"),
        (&["--allow", "hedroom"], "did you mean W005"),
        (&["--allow", "W012", "--deny", "W005,W012"], "`W012` is both denied and allowed"),
    ] {
        let output = run(&out, &[&FEW[..], typed].concat());
        let said = words(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(named), "{typed:?}: {said}");
    }
}

#[test]
fn a_code_is_explained_and_an_unknown_one_is_not() {
    let out = tempfile::tempdir().expect("a folder");
    let said = words(&run(&out, &["explain", "W012"]).stdout);
    assert!(said.contains("W012 involuntary switches") && said.contains("remedy"), "{said}");
    let all = words(&run(&out, &["explain"]).stdout);
    assert!(all.contains("W001 schedule lag") && all.contains("W090 fault"), "{all}");
    assert_eq!(run(&out, &["explain", "W998"]).status.code(), Some(2));
}

/// Codes of the notes of a document, wherever they stand in it.
fn codes_in(document: &Value, notes: &str) -> Vec<String> {
    let notes = document.pointer(notes).and_then(Value::as_array).expect("notes");
    notes.iter().map(|note| note["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn notes_of_a_comparison_have_codes_that_can_be_denied() {
    let out = tempfile::tempdir().expect("a folder");
    let sides =
        ["compare", "--target", "null:", "--target", "null:", "--blocks", "2", "-n12", "-q"];
    let output = run(&out, &[&sides[..], &["--deny", "W100"]].concat());
    let (printed, said) = (words(&output.stdout), words(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{printed}{said}");
    assert!(
        printed.contains("W100 note: fewer than") && printed.contains("W103 note: "),
        "{printed}"
    );
    assert!(said.contains("W100 few blocks is denied: fewer than"), "{said}");
    let folder = directory(&out);
    let document: Value = serde_json::from_str(&read(&folder, "comparison.json")).expect("JSON");
    assert!(codes_in(&document, "/notes").contains(&"W100".to_owned()), "{document}");
    assert!(read(&folder, "comparison.html").contains("<code>W100</code>"));
}

#[test]
fn notes_of_a_ladder_have_codes_that_can_be_denied() {
    let out = tempfile::tempdir().expect("a folder");
    let ladder =
        ["ladder", "--target", "sim:explicit,base_us=200", "--in-process", "--blocks", "2"];
    let asked =
        ["--isl", "16", "--osl=4", "-n12", "-q", "--concurrency=1", "--deny", "rung left out"];
    let output = run(&out, &[&ladder[..], &asked].concat());
    let (printed, said) = (words(&output.stdout), words(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{printed}{said}");
    assert!(printed.contains("W110 note: L2 engine in process, ids does not apply"), "{printed}");
    assert!(said.contains("W110 rung left out is denied"), "{said}");
}

#[test]
fn notes_of_a_search_have_codes_that_can_be_denied() {
    let out = tempfile::tempdir().expect("a folder");
    let search = ["search", "--target", "sim:explicit,base_us=2000", "--slo", "ttft<0.1ms", "-q"];
    let asked = ["--isl", "16", "--osl=4", "-n12", "--deny", "W124"];
    let output = run(&out, &[&search[..], &asked].concat());
    let (printed, said) = (words(&output.stdout), words(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{printed}{said}");
    assert!(printed.contains("W124 note: one request at a time misses"), "{printed}");
    assert!(said.contains("W124 never met is denied"), "{said}");
    let document: Value =
        serde_json::from_str(&read(&directory(&out), "search.json")).expect("JSON");
    assert_eq!(codes_in(&document, "/outcome/notes"), ["W124"]);
}
