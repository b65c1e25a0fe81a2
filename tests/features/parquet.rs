//! Parquet: read as a workload and written as an export.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use bareflight_engine::dummy_tokenizer;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use crate::support::left_behind::words;

fn play(folder: &TempDir, arguments: &[&str]) -> Output {
    let tokenizer = folder.path().join("tokenizer.json");
    dummy_tokenizer(4_096).save(&tokenizer, false).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--target", "sim:null", "--warmup", "0", "--window", "whole", "--quiet"]);
    command.arg("--tokenizer").arg(&tokenizer).arg("--out").arg(folder.path().join("runs"));
    command.args(arguments).env("CI", "1").output().expect("the binary runs")
}

/// Folders of runs, in the order of their names.
fn runs(folder: &TempDir) -> Vec<PathBuf> {
    let runs = fs::read_dir(folder.path().join("runs")).into_iter().flatten();
    let mut runs: Vec<_> = runs.map(|run| run.expect("a folder").path()).collect();
    runs.sort();
    runs
}

fn is_ok(output: &Output) {
    // What was asked is the claim, and not whether this machine was quiet enough for numbers.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
}

/// Two rows: a text and the number of tokens that it is answered with.
fn two_rows(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("prompts.parquet");
    let schema = "message prompts { required binary said (UTF8); required int64 answer; }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().build());
    let file = File::create(&path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut said = group.next_column().expect("a column").expect("the first");
    let texts: Vec<ByteArray> = vec!["one two three".into(), "four".into()];
    said.typed::<ByteArrayType>().write_batch(&texts, None, None).expect("texts");
    said.close().expect("a column");
    let mut answer = group.next_column().expect("a column").expect("the second");
    answer.typed::<Int64Type>().write_batch(&[5, 2], None, None).expect("numbers");
    answer.close().expect("a column");
    group.close().expect("a group");
    writer.close().expect("a file");
    path
}

/// Rows and columns of a Parquet file.
fn shape(path: &Path) -> (i64, Vec<String>) {
    let file = File::open(path).expect("a file");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    let facts = reader.metadata().file_metadata();
    let columns = facts.schema_descr().columns().iter();
    (facts.num_rows(), columns.map(|column| column.name().to_owned()).collect())
}

#[test]
fn prompts_and_output_lengths_are_columns_of_a_parquet_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = two_rows(&folder);
    let columns = ["--prompt-column", "said", "--output-tokens-column", "answer"];
    let load = ["--workload-order", "file", "--concurrency", "1", "--requests", "2"];
    for kind in ["parquet", "jsonl"] {
        let file = format!("{kind}:{}", path.display());
        is_ok(&play(&folder, &[&["--workload", &file], &columns[..], &load].concat()));
    }
    for run in runs(&folder) {
        let plan = fs::read_to_string(run.join("plan.csv")).expect("a plan");
        let outputs: Vec<_> = plan.lines().skip(1).map(|row| row.split(',').nth(5)).collect();
        assert_eq!(outputs, [Some("5"), Some("2")]);
    }
    let text = format!("text:{}", path.display());
    let refused = play(&folder, &["--workload", &text, "--output-tokens", "2"]);
    assert!(words(&refused.stderr).contains("--prompt-column"), "{}", words(&refused.stderr));
}

#[test]
fn an_export_has_the_rows_and_columns_of_the_tables_and_reads_as_a_workload() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = ["--scenario", "D(16,3)", "--concurrency", "2", "--requests", "7"];
    is_ok(&play(&folder, &[&load[..], &["--export", "parquet"]].concat()));
    let run = &runs(&folder)[0];
    let mut table = csv::Reader::from_path(run.join("requests.csv")).expect("a table");
    let header: Vec<String> =
        table.headers().expect("a header").iter().map(str::to_owned).collect();
    let exported = run.join("exports/parquet/requests.parquet");
    assert_eq!(shape(&exported), (7, header));
    let (deliveries, columns) = shape(&run.join("exports/parquet/deliveries.parquet"));
    assert!(deliveries >= 7, "{deliveries}");
    assert_eq!(columns, ["point", "request_id", "t_ns", "tokens"]);
    let file = format!("parquet:{}", exported.display());
    let asked = ["--prompt-column", "outcome", "--output-tokens-column", "output_tokens"];
    let again = ["--workload", &file, "--concurrency", "1", "--requests", "7"];
    is_ok(&play(&folder, &[&again[..], &asked].concat()));
}

#[test]
fn datasets_are_read_as_they_are_published_with_nested_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/workloads");
    for (kind, requests) in [("openorca", "2"), ("sharegpt", "1")] {
        let file = format!("{kind}:{fixtures}/{kind}.parquet");
        let load = ["--concurrency", "1", "--requests", requests];
        is_ok(&play(&folder, &[&["--workload", &file], &load[..]].concat()));
    }
}

#[test]
fn a_file_that_is_no_parquet_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("broken.parquet");
    fs::write(&path, "PAR1 and nothing else").expect("a file");
    let refused = play(&folder, &["--workload", &format!("parquet:{}", path.display())]);
    let message = words(&refused.stderr);
    assert!(message.contains("broken.parquet") && message.contains("Parquet"), "{message}");
}
