//! Damaged runs: files of a run folder that were cut, edited or mixed up are told with folder, file and place, and no number is made
//! of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::left_behind::{directory, in_one_line, words};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bareflight");

/// A small run, and its folder.
fn measured(out: &TempDir) -> PathBuf {
    let ran = Command::new(PROGRAM)
        .args(["run", "--target", "sim:explicit,base_us=200", "--scenario", "D(16,8)"])
        .args(["--concurrency", "2", "--requests", "40", "-q"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    directory(out)
}

fn report(folder: &Path) -> Output {
    Command::new(PROGRAM).arg("report").arg(folder).output().expect("the binary runs")
}

/// A copy of a folder, in which one file is changed.
fn with(folder: &Path, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> TempDir {
    let copy = TempDir::new().expect("a folder");
    for file in fs::read_dir(folder).expect("a folder").flatten().filter(|it| it.path().is_file()) {
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("copied");
    }
    let path = copy.path().join(name);
    let changed = change(fs::read(&path).expect(name));
    fs::write(path, changed).expect("written");
    copy
}

/// What is said of a folder that cannot be read back.
fn told_of(copy: &TempDir) -> String {
    let output = report(copy.path());
    let told = words(&output.stderr);
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{told}{}",
        words(&output.stdout)
    );
    assert!(!told.contains("panicked"), "{told}");
    let folder = copy.path().display().to_string();
    assert!(told.contains(&folder), "the folder is named: {told}");
    told
}

fn as_text(change: impl Fn(&str) -> String) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
    move |bytes| change(&String::from_utf8(bytes).expect("text")).into_bytes()
}

/// The fourth line with its field of this name changed.
fn field(text: &str, column: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let place = lines[0].split(',').position(|name| name == column).expect(column);
    let mut fields: Vec<&str> = lines[3].split(',').collect();
    fields[place] = value;
    lines[3] = fields.join(",");
    lines.join("\n") + "\n"
}

#[test]
fn a_field_that_is_none_is_told_by_folder_line_and_column() {
    let out = TempDir::new().expect("a folder");
    let folder = measured(&out);
    for (column, value) in [
        ("submit_ns", "nan"),
        ("submit_ns", "1e300"),
        ("output_tokens", "-3"),
        ("output_tokens", "many"),
        ("outcome", "fine"),
        ("oddities", "strange"),
        ("end_ns", "99999999999999999999999"),
        ("request_id", ""),
    ] {
        let copy = with(&folder, "requests.csv", as_text(|text| field(text, column, value)));
        let told = told_of(&copy);
        assert!(told.contains("line 4") && told.contains(&format!("`{column}`")), "{told}");
    }
}

#[test]
fn a_table_that_was_cut_or_is_another_one_is_told() {
    let out = TempDir::new().expect("a folder");
    let folder = measured(&out);
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    for name in ["requests.csv", "deliveries.csv.gz", "manifest.json"] {
        let told = told_of(&with(&folder, name, cut));
        assert!(told.contains(name) || told.contains("deliveries"), "{name}: {told}");
    }
    for name in ["requests.csv", "deliveries.csv.gz", "manifest.json"] {
        told_of(&with(&folder, name, |_| Vec::new()));
        told_of(&with(&folder, name, |_| b"a,b\n1,2\n".to_vec()));
        told_of(&with(&folder, name, |_| vec![0, 255, 3, 254]));
    }
    let without = |name: &str| {
        let copy = with(&folder, name, |bytes| bytes);
        fs::remove_file(copy.path().join(name)).expect("it was there");
        copy
    };
    for name in ["requests.csv", "manifest.json"] {
        assert!(told_of(&without(name)).contains(name), "{name}");
    }
    // As after `--no-deliveries`: what hangs on them is left out and told.
    let noted = words(&report(without("deliveries.csv.gz").path()).stdout);
    assert!(noted.contains("W066") && noted.contains("were not kept"), "{noted}");
}

#[test]
fn rows_that_were_taken_out_or_given_twice_make_no_other_run() {
    let out = TempDir::new().expect("a folder");
    let folder = measured(&out);
    let without_a_row = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.remove(5);
        lines.join("\n") + "\n"
    };
    told_of(&with(&folder, "requests.csv", as_text(without_a_row)));
    let twice = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.insert(5, lines[5]);
        lines.join("\n") + "\n"
    };
    let doubled = report(with(&folder, "requests.csv", as_text(twice)).path());
    let noted = words(&doubled.stdout);
    assert_eq!(doubled.status.code(), Some(4), "{noted}");
    assert!(noted.contains("INVALID") && noted.contains("1 requests recorded twice"), "{noted}");
}

#[test]
fn a_run_of_another_version_is_told_with_what_reads_it() {
    let out = TempDir::new().expect("a folder");
    let folder = measured(&out);
    let version = |text: &str, number: &str| {
        let (before, after) = text.split_once("\"schema_version\": ").expect("it has one");
        format!(
            "{before}\"schema_version\": {number}{}",
            after.trim_start_matches(char::is_numeric)
        )
    };
    let newer = with(&folder, "manifest.json", as_text(|text| version(text, "999")));
    let told = told_of(&newer);
    assert!(told.contains("newer bareflight (schema 999"), "{told}");
    let cut = with(&folder, "manifest.json", |bytes| bytes[..bytes.len() / 2].to_vec());
    let told = told_of(&cut);
    assert!(told.contains("manifest.json") && told.contains("copy its folder"), "{told}");
}

#[test]
fn a_comparison_with_a_damaged_run_names_it() {
    let out = TempDir::new().expect("a folder");
    let folder = measured(&out);
    let copy = with(&folder, "requests.csv", as_text(|text| field(text, "end_ns", "x")));
    let output = Command::new(PROGRAM)
        .arg("compare")
        .args([&folder, copy.path()])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let told = words(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(
        told.contains(&copy.path().display().to_string()) && told.contains("`end_ns`"),
        "{told}"
    );
}

#[test]
fn a_comparison_that_is_given_as_a_run_is_told_by_what_it_is_with_the_runs_below_it() {
    let out = TempDir::new().expect("a folder");
    let ran = Command::new(PROGRAM)
        .args(["compare", "--target", "null:", "--target", "null:", "--blocks", "2"])
        .args(["--requests", "40", "--concurrency", "2", "-q"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let folder = directory(&out);
    assert!(folder.join("comparison.json").is_file(), "{}", words(&ran.stderr));
    let output = report(&folder);
    let told = in_one_line(&words(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("no run but a comparison"), "{told}");
    let (_, command) = told.split_once("`bareflight report ").expect("a command");
    let runs: Vec<&str> = command.split('`').next().expect("its end").split(' ').collect();
    assert_eq!(runs.len(), 2, "{told}");
    let together = Command::new(PROGRAM).arg("report").args(&runs).output().expect("it runs");
    assert!(together.status.success(), "{}", words(&together.stderr));
}
